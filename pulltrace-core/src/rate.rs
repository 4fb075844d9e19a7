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

/// What to reckon with from a moment on.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Pace {
    /// How fast bytes come.
    pub rate: BytesPerSecond,
    /// What of them came already, about, and is not in the count yet.
    pub unseen: Bytes,
}

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
        self.rate_from(self.anchor(now, WINDOW), now)
    }

    /// What to reckon with from `now` on; `None` while the [`rate`](Self::rate) is not known.
    ///
    /// The speed is less calm than that one: where the last seconds were clearly faster or slower, it
    /// is theirs.
    #[must_use]
    pub fn pace(&self, now: Mono) -> Option<Pace> {
        /// A change of speed shows in the last seconds, where they have enough steps.
        const RECENT: Duration = Duration::from_secs(3);
        /// Up to this share, what the last seconds were faster or slower is chance.
        const CHANCE: f64 = 0.15;
        /// From this share on it is a change.
        const CHANGE: f64 = 0.35;
        let whole = self.anchor(now, WINDOW);
        let calm = self.rate_from(whole, now)?.get();
        let anchor = self.anchor(now, RECENT);
        let recent = self.rate_from(anchor, now).map(BytesPerSecond::get);
        let mut rate = calm;
        if let Some(recent) = recent.filter(|_| calm > 0.0) {
            // A step that is overdue says that bytes come slower than they did.
            let usual = self.usual_gap(whole).as_secs_f64();
            let silence = now.since(self.steps.back()?.0).as_secs_f64();
            let recent = recent.min(calm * usual / silence.max(usual));
            let differs = (recent / calm - 1.0).abs();
            let weight = ((differs - CHANCE) / (CHANGE - CHANCE)).clamp(0.0, 1.0);
            rate += (recent - calm) * weight;
        }
        Some(Pace {
            rate: BytesPerSecond::new(rate)?,
            unseen: self.unseen(anchor, rate, now),
        })
    }

    /// What came since the last step and shows with the next one.
    ///
    /// The count is never above the truth, and right after a step it is nearly as high: so the truth is
    /// the line of this speed that touches the steps from above.
    fn unseen(&self, anchor: usize, rate: f64, now: Mono) -> Bytes {
        let Some((last_at, last)) = self.steps.back() else {
            return Bytes::ZERO;
        };
        let usual = self.usual_gap(anchor);
        let near = |(at, _): &&(Mono, Bytes)| last_at.since(*at) <= usual;
        let above = |(at, bytes): &(Mono, Bytes)| {
            rate * now.since(*at).as_secs_f64() - last.saturating_sub(*bytes).as_f64()
        };
        let steps = self.steps.range(anchor..).filter(near);
        let line = steps.map(above).fold(0.0, f64::max);
        #[expect(
            clippy::cast_possible_truncation,
            clippy::cast_sign_loss,
            reason = "a float that is too large becomes the largest number, and none is below zero"
        )]
        Bytes(line.min(rate * usual.as_secs_f64()) as u64)
    }

    fn rate_from(&self, anchor: usize, now: Mono) -> Option<BytesPerSecond> {
        let (last_at, last) = *self.steps.back()?;
        let usual = self.usual_gap(anchor);
        // Of steps that come together the last one counts: then nothing is on its way.
        let (first, _) = self.steps.get(anchor)?;
        let pairs = self
            .steps
            .range(anchor..)
            .zip(self.steps.range(anchor + 1..));
        let (from_at, from) = *pairs
            .take_while(|((at, _), _)| at.since(*first) <= usual / 2)
            .find(|((at, _), (next, _))| next.since(*at) >= usual / 2)
            .map_or(self.steps.get(anchor)?, |(before, _)| before);
        if from_at == last_at {
            return None;
        }
        // Between two steps the bytes are on their way: only a longer silence than usual counts.
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

    /// How long the gap between two steps is in which a moment since the anchor usually lies: steps
    /// that come together, of blobs that are fetched at once, are one.
    fn usual_gap(&self, anchor: usize) -> Duration {
        let times = || self.steps.range(anchor..).map(|(at, _)| *at);
        let gaps = times().zip(times().skip(1));
        let gaps = gaps.map(|(before, after)| after.since(before).as_secs_f64());
        let (sum, squares) = gaps.fold((0.0, 0.0), |(sum, squares), gap| {
            (sum + gap, squares + gap * gap)
        });
        Duration::try_from_secs_f64(squares / sum).unwrap_or_default()
    }

    /// The sample to measure from: the youngest that is a window old and has enough steps after it.
    fn anchor(&self, now: Mono, window: Duration) -> usize {
        let last = self.steps.len().saturating_sub(1);
        (0..last)
            .rev()
            .find(|i| now.since(self.steps[*i].0) >= window && last - i >= MIN_STEPS)
            .unwrap_or(0)
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

    /// Tells the meter what shows of `truth` each 250 ms, and compares what is reckoned with it.
    fn reckon(shows: impl Fn(f64) -> u64, truth: impl Fn(f64) -> f64, from: u64) -> f64 {
        let mut meter = RateMeter::default();
        let mut worst = 0.0_f64;
        for ms in (0..30_000_u64).step_by(250) {
            let second = std::time::Duration::from_millis(ms).as_secs_f64();
            let shown = Bytes(shows(second));
            meter.sample(shown, at(ms));
            if ms > from {
                let pace = meter.pace(at(ms)).expect("a pace");
                let reckoned = (shown + pace.unseen).as_f64();
                worst = worst.max((reckoned - truth(second)).abs());
            }
        }
        worst
    }

    #[test]
    fn what_came_since_the_last_step_is_reckoned_with() {
        // 60 blobs of half a mebibyte, three at a time, at 1.5 MiB/s: a jump each second.
        let truth = |second: f64| second * 1.5 * 1_048_576.0;
        let worst = reckon(|second| (second.floor() as u64 * 3) << 19, truth, 5_000);
        assert!(worst < 450_000.0, "{worst}");
        // One blob that grows by mebibytes, at 0.4 MiB/s.
        let truth = |second: f64| second * 0.4 * 1_048_576.0;
        let worst = reckon(|second| ((second * 0.4) as u64) << 20, truth, 12_000);
        assert!(worst < 350_000.0, "{worst}");
    }

    #[test]
    fn jumps_that_come_together_do_not_let_the_speed_sag_between_them() {
        let mut meter = RateMeter::default();
        for second in 1..15_u64 {
            for blob in 0..3 {
                meter.sample(
                    Bytes((second * 3 + blob) << 19),
                    at(second * 1_000 + blob * 10),
                );
            }
            let rate = meter
                .rate(at(second * 1_000 + 900))
                .map_or(0.0, BytesPerSecond::get);
            if second > 4 {
                close(BytesPerSecond::new(rate), 1.5 * 1_048_576.0, 0.1);
            }
        }
    }

    #[test]
    fn a_halved_speed_is_reckoned_with_after_four_seconds() {
        let mut meter = RateMeter::default();
        let mut bytes = 0;
        for ms in (0..24_000).step_by(250) {
            bytes += if ms < 20_000 { 500_000 } else { 250_000 };
            meter.sample(Bytes(bytes), at(ms));
        }
        let pace = meter.pace(at(24_000)).expect("a pace");
        close(Some(pace.rate), 1_000_000.0, 0.1);
        let calm = meter.rate(at(24_000)).expect("a rate");
        assert!(calm.get() > 1_500_000.0, "{calm}");
    }

    #[test]
    fn an_overdue_step_is_a_slower_pace() {
        let mut meter = RateMeter::default();
        for second in 0..=20 {
            meter.sample(Bytes(second << 20), at(second * 1_000));
        }
        let pace = meter.pace(at(22_000)).expect("a pace").rate;
        close(Some(pace), f64::from(1 << 19), 0.15);
        let calm = meter.rate(at(22_000)).expect("a rate").get();
        assert!(calm > 900_000.0, "{calm}");
    }

    #[test]
    fn silence_is_no_pace() {
        let mut meter = RateMeter::default();
        for second in 0..10 {
            meter.sample(Bytes(second * 1_000), at(second * 1_000));
        }
        let pace = meter.pace(at(40_000)).expect("a pace");
        assert_eq!(
            (pace.rate, pace.unseen),
            (BytesPerSecond::ZERO, Bytes::ZERO)
        );
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
