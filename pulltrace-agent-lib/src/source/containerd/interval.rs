//! How long to wait between two polls, so that containerd spends under one percent of a core on them. Pure.

use std::time::Duration;

use super::input::Poll;

/// Between two polls while something is being pulled and there is little to list.
const BUSY: Duration = Duration::from_millis(250);

/// Between two polls while nothing is.
const IDLE: Duration = Duration::from_secs(1);

/// Between two polls at most, whatever they cost: beyond, a person would think that nothing moves.
const LONGEST: Duration = Duration::from_secs(2);

/// Between two polls at least, where events ask for one.
const SHORTEST: Duration = Duration::from_millis(100);

/// One part in this many of a core is what containerd may spend.
const SHARE: u32 = 100;

/// What a poll has to list.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Load {
    /// Blobs that are being written.
    pub(super) ingests: u32,
    /// Leases in the list.
    pub(super) leases: u32,
    /// Leases whose resources were listed.
    pub(super) listed: u32,
}

impl Load {
    /// What this poll had to list.
    pub(super) fn of(poll: &Poll) -> Self {
        let count = |n: usize| u32::try_from(n).unwrap_or(u32::MAX);
        let listed = poll.leases.iter().filter(|lease| lease.resources.is_some());
        Self {
            ingests: count(poll.ingests.len()),
            leases: count(poll.leases.len()),
            listed: count(listed.count()),
        }
    }

    /// What such a poll costs containerd, in its own processor time.
    ///
    /// Measured on containerd 1.6 and 2.3 with up to 400 ingests and 110 leases. The dearest are the ingests:
    /// each is a directory with five files.
    /// `cargo xtask bench agent` saw 0.54 to 1.08 ms with nothing to list, mostly below 0.8 ms; with ten leases
    /// listed, 3.5 to 4.3 ms and 30 ingests on 1.6, 6.4 and 8.1 ms and 124 and 143 ingests on 2.4.
    fn cost(self) -> Duration {
        let each = |micros: u64, count: u32| Duration::from_micros(micros * u64::from(count));
        let lists = Duration::from_micros(800);
        lists + each(48, self.ingests) + each(3, self.leases) + each(360, self.listed)
    }
}

/// How long after a poll the next one comes by itself.
pub(super) fn next(busy: bool, load: Load) -> Duration {
    let affordable = load.cost() * SHARE;
    affordable.clamp(if busy { BUSY } else { IDLE }, LONGEST)
}

/// How long after a poll the next one may come where an event asks for it.
pub(super) fn soonest(load: Load) -> Duration {
    (load.cost() * SHARE).clamp(SHORTEST, LONGEST)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn load(ingests: u32, leases: u32, listed: u32) -> Load {
        Load {
            ingests,
            leases,
            listed,
        }
    }

    #[test]
    fn an_idle_node_is_polled_each_second() {
        assert_eq!(next(false, load(0, 0, 0)), IDLE);
        assert_eq!(next(false, load(0, 110, 0)), IDLE);
    }

    #[test]
    fn a_pull_is_polled_four_times_a_second() {
        assert_eq!(next(true, load(4, 1, 1)), BUSY);
    }

    #[test]
    fn a_poll_is_taken_to_cost_about_what_was_measured() {
        let micros = |ingests, listed| load(ingests, listed, listed).cost().as_micros();
        assert!((793..1_000).contains(&micros(0, 0)));
        assert!((4_336..6_000).contains(&micros(30, 10)));
        assert!((8_098..12_000).contains(&micros(143, 10)));
    }

    #[test]
    fn many_ingests_are_polled_seldom() {
        let two_hundred = load(200, 3, 3);
        let cost = two_hundred.cost();
        assert!(cost > Duration::from_millis(9) && cost < Duration::from_millis(12));
        assert!(next(true, two_hundred) >= Duration::from_millis(900));
        assert_eq!(next(true, load(420, 1, 1)), LONGEST);
        assert_eq!(next(false, load(u32::MAX, u32::MAX, u32::MAX)), LONGEST);
    }

    proptest::proptest! {
        /// Up to the longest interval, containerd never spends more than a hundredth of a core.
        #[test]
        fn the_budget_is_kept(busy: bool, ingests in 0..400_u32, leases in 0..200_u32, listed in 0..50_u32) {
            let load = load(ingests, leases, listed);
            for interval in [next(busy, load), soonest(load)] {
                proptest::prop_assert!(interval <= LONGEST);
                proptest::prop_assert!(interval == LONGEST || load.cost() * SHARE <= interval);
            }
            proptest::prop_assert!(soonest(load) <= next(busy, load));
        }
    }
}
