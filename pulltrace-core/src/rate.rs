//! A calm speed from bytes that come in steps.
//!
//! Runtimes write in steps of a mebibyte, and with parallel chunks an offset stands still and then
//! jumps. A speed of the last second would flicker; this one looks back about ten seconds, and
//! further where the steps are far apart.

use std::collections::VecDeque;
use std::time::Duration;

use crate::time::Mono;
use crate::unit::{Bytes, BytesPerSecond};

/// How far a speed looks back while enough steps lie within.
pub const WINDOW: Duration = Duration::from_secs(10);

/// How far it looks back at the most, to find [`MIN_STEPS`].
const LONGEST: Duration = Duration::from_secs(60);

/// Steps that a speed should rest on.
const MIN_STEPS: usize = 3;

/// The shortest time that a speed is said of.
const SHORTEST: Duration = Duration::from_secs(1);

/// The first step is taken to have been on its way for so long at the most.
const RUN_UP: Duration = Duration::from_secs(2);

/// Samples kept; beyond that the older half is thinned to every second one.
const MAX_SAMPLES: usize = 128;

/// Measures the speed of a count of bytes that only grows.
///
/// ```
/// use std::time::Duration;
/// use pulltrace_core::{Bytes, Mono, RateMeter};
/// let mut meter = RateMeter::default();
/// for second in 0..5 {
///     meter.sample(Bytes(second * 1_000), Mono(Duration::from_secs(second)));
/// }
/// let rate = meter.rate(Mono(Duration::from_secs(4))).unwrap();
/// assert!((rate.get() - 1_000.0).abs() < 1.0);
/// ```
#[derive(Clone, Debug, Default, PartialEq)]
pub struct RateMeter {
    /// The first sample, then one for each time that the count grew.
    steps: VecDeque<(Mono, Bytes)>,
}

impl RateMeter {
    /// Tells the count at `now`. One that is smaller than the last starts the measuring anew.
    pub fn sample(&mut self, bytes: Bytes, now: Mono) {
        match self.steps.back() {
            Some((_, last)) if *last == bytes => {
                // What did not move yet has no speed that the wait could dilute.
                if let [(start, _)] = self.steps.make_contiguous() {
                    *start = (*start).max(Mono(now.0.saturating_sub(RUN_UP)));
                }
                return;
            }
            Some((_, last)) if *last > bytes => self.steps.clear(),
            _ => {}
        }
        self.steps.push_back((now, bytes));
        while self.steps.len() > 2
            && self
                .steps
                .get(1)
                .is_some_and(|(at, _)| now.since(*at) > LONGEST)
        {
            self.steps.pop_front();
        }
        if self.steps.len() > MAX_SAMPLES {
            let old = self.steps.len() / 2;
            let mut index = 0;
            self.steps.retain(|_| {
                index += 1;
                index > old || index % 2 == 1
            });
        }
    }

    /// When the count last grew; `None` while it never did.
    #[must_use]
    pub fn last_growth(&self) -> Option<Mono> {
        (self.steps.len() > 1)
            .then(|| self.steps.back().map(|(at, _)| *at))
            .flatten()
    }

    /// How long one step takes on average; `None` before the second.
    #[must_use]
    pub fn step_time(&self) -> Option<Duration> {
        let (first, last) = (self.steps.front()?.0, self.steps.back()?.0);
        let gaps = u32::try_from(self.steps.len() - 1)
            .ok()
            .filter(|gaps| *gaps > 0)?;
        Some(last.since(first) / gaps)
    }

    /// The speed at `now`; `None` while it is not known: before the first growth, and for a second
    /// after the first sample.
    #[must_use]
    pub fn rate(&self, now: Mono) -> Option<BytesPerSecond> {
        let (last_at, last) = *self.steps.back()?;
        let anchor = self.anchor(now)?;
        let (from_at, from) = self.steps[anchor];
        let gaps = u32::try_from(self.steps.len() - 1 - anchor)
            .ok()
            .filter(|gaps| *gaps > 0)?;
        // Between two steps the bytes are on their way: only a longer silence than usual counts.
        let usual = last_at.since(from_at) / gaps;
        if now.since(last_at) > WINDOW.max(usual * 4) {
            return Some(BytesPerSecond::ZERO);
        }
        let end = last_at.max(Mono(now.0.saturating_sub(usual)));
        let over = end.since(from_at);
        if now.since(from_at) < SHORTEST || over.is_zero() {
            return None;
        }
        BytesPerSecond::new(last.saturating_sub(from).as_f64() / over.as_secs_f64())
    }

    /// The sample to measure from: the youngest that is a window old and has enough steps after it.
    fn anchor(&self, now: Mono) -> Option<usize> {
        let last = self.steps.len().checked_sub(1)?;
        (0..last)
            .rev()
            .find(|i| now.since(self.steps[*i].0) >= WINDOW && last - i >= MIN_STEPS)
            .or(Some(0))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(ms: u64) -> Mono {
        Mono(Duration::from_millis(ms))
    }

    fn close(rate: Option<BytesPerSecond>, want: f64, tolerance: f64) {
        let got = rate.expect("a rate").get();
        assert!(
            (got - want).abs() <= want * tolerance,
            "{got} is not {want}"
        );
    }

    #[test]
    fn unknown_before_it_moves() {
        let mut meter = RateMeter::default();
        assert_eq!(meter.rate(at(0)), None);
        meter.sample(Bytes(0), at(0));
        assert_eq!(meter.rate(at(5_000)), None);
        meter.sample(Bytes(10), at(500));
        assert_eq!(meter.rate(at(600)), None, "too early to say");
    }

    #[test]
    fn mebibyte_steps_read_as_a_steady_speed() {
        // 300 kB/s: a step each 3.5 s, seen by a poll each 250 ms.
        let mut meter = RateMeter::default();
        for ms in (0..60_000).step_by(250) {
            let bytes = (ms * 300) >> 20 << 20;
            meter.sample(Bytes(bytes), at(ms));
            if ms > 15_000 {
                close(meter.rate(at(ms)), 300_000.0, 0.15);
            }
        }
    }

    #[test]
    fn a_plateau_and_a_jump_stay_calm() {
        // Parallel chunks: 4 MiB at once each 2 s.
        let mut meter = RateMeter::default();
        for ms in (0..40_000).step_by(250) {
            meter.sample(Bytes((ms / 2_000) * (4 << 20)), at(ms));
            if ms > 12_000 {
                close(meter.rate(at(ms)), f64::from(2 << 20), 0.25);
            }
        }
    }

    #[test]
    fn silence_makes_it_fall() {
        let mut meter = RateMeter::default();
        for second in 0..20 {
            meter.sample(Bytes(second * 1_000), at(second * 1_000));
        }
        let before = meter.rate(at(19_000)).unwrap();
        let later = meter.rate(at(27_000)).unwrap();
        assert!(later.get() < before.get(), "{later:?}");
        assert_eq!(
            meter.rate(at(30_000)),
            Some(BytesPerSecond::ZERO),
            "nothing came for a window"
        );
    }

    #[test]
    fn a_halved_speed_is_noticed_within_a_window() {
        let mut meter = RateMeter::default();
        let mut bytes = 0;
        for ms in (0..40_000).step_by(250) {
            bytes += if ms < 20_000 { 500_000 } else { 250_000 };
            meter.sample(Bytes(bytes), at(ms));
        }
        close(meter.rate(at(39_750)), 1_000_000.0, 0.05);
    }

    #[test]
    fn a_long_wait_before_the_first_byte_does_not_count() {
        let mut meter = RateMeter::default();
        for ms in (0..60_000).step_by(250) {
            meter.sample(Bytes(0), at(ms));
        }
        for ms in (0..5_000).step_by(250) {
            meter.sample(Bytes((ms + 250) * 1_000), at(60_000 + ms));
        }
        close(meter.rate(at(64_750)), 1_000_000.0, 0.3);
    }

    #[test]
    fn memory_is_bounded() {
        let mut meter = RateMeter::default();
        for i in 0..100_000 {
            meter.sample(Bytes(i), at(i));
        }
        assert!(meter.steps.len() <= MAX_SAMPLES + 1);
        close(meter.rate(at(99_999)), 1_000.0, 0.05);
    }

    #[test]
    fn a_count_that_went_back_is_measured_anew() {
        let mut meter = RateMeter::default();
        meter.sample(Bytes(1_000), at(0));
        meter.sample(Bytes(2_000), at(1_000));
        meter.sample(Bytes(0), at(2_000));
        assert_eq!(meter.rate(at(5_000)), None);
    }
}
