//! Chooses the poll interval so that containerd spends at most one percent of a core on polls.
//! Pure.

use std::time::Duration;

use super::input::Poll;

/// Poll interval during a pull with few ingests.
const BUSY_INTERVAL: Duration = Duration::from_millis(250);

/// Poll interval without a pull.
const IDLE_INTERVAL: Duration = Duration::from_secs(1);

/// The longest poll interval, whatever a poll costs. With a longer one, progress would appear to be
/// stuck.
const MAX_INTERVAL: Duration = Duration::from_secs(2);

/// The shortest time between two polls, when events request one.
const MIN_INTERVAL: Duration = Duration::from_millis(100);

/// Polls may use 1/100 of a core.
const CPU_SHARE: u32 = 100;

/// The size of a poll.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Load {
    /// Blobs being written.
    pub(super) ingests: u32,
    /// Leases in the list.
    pub(super) leases: u32,
    /// Leases whose resources were listed.
    pub(super) listed: u32,
}

impl Load {
    /// Returns the size of this poll.
    pub(super) fn from_poll(poll: &Poll) -> Self {
        let count = |n: usize| u32::try_from(n).unwrap_or(u32::MAX);
        let listed = poll.leases.iter().filter(|lease| lease.resources.is_some());
        Self {
            ingests: count(poll.ingests.len()),
            leases: count(poll.leases.len()),
            listed: count(listed.count()),
        }
    }

    /// Estimates the CPU time that containerd spends on such a poll.
    ///
    /// Measured on containerd 1.6 and 2.3 with up to 400 ingests and 110 leases. Ingests are the
    /// most expensive: each is a directory with five files. `cargo xtask bench agent` measured 0.54
    /// to 1.08 ms with empty lists, mostly below 0.8 ms; with ten leases listed, 3.5 to 4.3 ms and
    /// 30 ingests on 1.6, and 6.4 and 8.1 ms with 124 and 143 ingests on 2.4.
    fn cost(self) -> Duration {
        let each = |micros: u64, count: u32| Duration::from_micros(micros * u64::from(count));
        let lists = Duration::from_micros(800);
        lists + each(48, self.ingests) + each(3, self.leases) + each(360, self.listed)
    }
}

/// Returns the time from a poll to the next regular one.
pub(super) fn poll_interval(busy: bool, load: Load) -> Duration {
    let affordable = load.cost() * CPU_SHARE;
    affordable.clamp(if busy { BUSY_INTERVAL } else { IDLE_INTERVAL }, MAX_INTERVAL)
}

/// Returns the minimum time from a poll to one triggered by an event.
pub(super) fn event_interval(load: Load) -> Duration {
    (load.cost() * CPU_SHARE).clamp(MIN_INTERVAL, MAX_INTERVAL)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn load(ingests: u32, leases: u32, listed: u32) -> Load {
        Load { ingests, leases, listed }
    }

    #[test]
    fn idle_node_is_polled_every_second() {
        assert_eq!(poll_interval(false, load(0, 0, 0)), IDLE_INTERVAL);
        assert_eq!(poll_interval(false, load(0, 110, 0)), IDLE_INTERVAL);
    }

    #[test]
    fn busy_node_is_polled_every_250_ms() {
        assert_eq!(poll_interval(true, load(4, 1, 1)), BUSY_INTERVAL);
    }

    #[test]
    fn cost_estimate_matches_measurements() {
        let micros = |ingests, listed| load(ingests, listed, listed).cost().as_micros();
        assert!((793..1_000).contains(&micros(0, 0)));
        assert!((4_336..6_000).contains(&micros(30, 10)));
        assert!((8_098..12_000).contains(&micros(143, 10)));
    }

    #[test]
    fn many_ingests_lengthen_interval() {
        let two_hundred = load(200, 3, 3);
        let cost = two_hundred.cost();
        assert!(cost > Duration::from_millis(9) && cost < Duration::from_millis(12));
        assert!(poll_interval(true, two_hundred) >= Duration::from_millis(900));
        assert_eq!(poll_interval(true, load(420, 1, 1)), MAX_INTERVAL);
        assert_eq!(poll_interval(false, load(u32::MAX, u32::MAX, u32::MAX)), MAX_INTERVAL);
    }

    proptest::proptest! {
        /// Below the maximum interval, polls never cost more than 1/100 of a core.
        #[test]
        fn intervals_stay_within_cpu_budget(busy: bool, ingests in 0..400_u32, leases in 0..200_u32, listed in 0..50_u32) {
            let load = load(ingests, leases, listed);
            for interval in [poll_interval(busy, load), event_interval(load)] {
                proptest::prop_assert!(interval <= MAX_INTERVAL);
                proptest::prop_assert!(interval == MAX_INTERVAL || load.cost() * CPU_SHARE <= interval);
            }
            proptest::prop_assert!(event_interval(load) <= poll_interval(busy, load));
        }
    }
}
