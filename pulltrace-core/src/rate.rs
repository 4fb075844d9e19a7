//! Measures a smooth rate of bytes that arrive in steps.
//!
//! Runtimes write in steps of 1 MiB; with parallel chunks an offset stays constant and then jumps.
//! A rate over one second would flicker. This one averages over about ten seconds, and longer if
//! the steps are far apart.

use std::collections::VecDeque;
use std::time::Duration;

use crate::time::Mono;
use crate::unit::{Bytes, BytesPerSecond};

/// The averaging window if it contains enough steps.
pub const WINDOW: Duration = Duration::from_secs(10);

/// The maximum averaging window, extended to contain [`MIN_STEPS`].
const MAX_WINDOW: Duration = Duration::from_secs(60);

/// The desired number of steps in the window.
const MIN_STEPS: usize = 3;

/// The minimum time span of a rate.
const MIN_SPAN: Duration = Duration::from_secs(1);

/// The maximum time attributed to the first step. A longer initial wait would lower the rate.
const MAX_FIRST_GAP: Duration = Duration::from_secs(2);

/// The maximum number of samples. Beyond it, every second one of the older half is dropped.
const MAX_SAMPLES: usize = 128;

/// A forecast of the byte count from a given moment.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct RateForecast {
    /// The expected rate.
    pub rate: BytesPerSecond,
    /// Estimated bytes that have arrived but are not counted yet.
    pub uncounted: Bytes,
}

/// Measures the rate of a growing byte count.
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
    /// The first sample, then one for each growth of the count.
    steps: VecDeque<(Mono, Bytes)>,
}

impl RateMeter {
    /// Records the count at `now`. A count that is smaller than the last one resets the meter.
    pub fn sample(&mut self, bytes: Bytes, now: Mono) {
        match self.steps.back() {
            Some((_, last)) if *last == bytes => {
                // Until the count first grows, the start moves along: waiting must not lower the
                // rate.
                if let [(start, _)] = self.steps.make_contiguous() {
                    *start = (*start).max(Mono(now.0.saturating_sub(MAX_FIRST_GAP)));
                }
                return;
            }
            Some((_, last)) if *last > bytes => self.steps.clear(),
            _ => {}
        }
        self.steps.push_back((now, bytes));
        while self.steps.len() > 2
            && self.steps.get(1).is_some_and(|(at, _)| now.since(*at) > MAX_WINDOW)
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

    /// Returns when the count last grew; `None` before the first growth.
    #[must_use]
    pub fn last_growth(&self) -> Option<Mono> {
        (self.steps.len() > 1).then(|| self.steps.back().map(|(at, _)| *at)).flatten()
    }

    /// Returns the average time between two steps; `None` before the second.
    #[must_use]
    pub fn mean_step_interval(&self) -> Option<Duration> {
        let (first, last) = (self.steps.front()?.0, self.steps.back()?.0);
        let gaps = u32::try_from(self.steps.len() - 1).ok().filter(|gaps| *gaps > 0)?;
        Some(last.since(first) / gaps)
    }

    /// Returns the rate at `now`; `None` before the first growth, and within a second of the first
    /// sample.
    #[must_use]
    pub fn rate(&self, now: Mono) -> Option<BytesPerSecond> {
        self.rate_from(self.anchor(now, WINDOW), now)
    }

    /// Forecasts from `now` on; `None` while the [`rate`](Self::rate) is unknown.
    ///
    /// The forecast follows changes faster than that rate: if the last seconds were clearly faster
    /// or slower, it uses their rate.
    #[must_use]
    pub fn forecast(&self, now: Mono) -> Option<RateForecast> {
        /// The window in which a change of rate is detected, if it contains enough steps.
        const RECENT: Duration = Duration::from_secs(3);
        /// A relative difference up to this value is noise.
        const NOISE: f64 = 0.15;
        /// A relative difference from this value on is a change.
        const CHANGE: f64 = 0.35;
        let whole = self.anchor(now, WINDOW);
        let smoothed = self.rate_from(whole, now)?.get();
        let anchor = self.anchor(now, RECENT);
        let recent = self.rate_from(anchor, now).map(BytesPerSecond::get);
        let mut rate = smoothed;
        if let Some(recent) = recent.filter(|_| smoothed > 0.0) {
            // An overdue step means that the rate has dropped.
            let usual = self.typical_gap(whole).as_secs_f64();
            let silence = now.since(self.steps.back()?.0).as_secs_f64();
            let recent = recent.min(smoothed * usual / silence.max(usual));
            let differs = (recent / smoothed - 1.0).abs();
            let weight = ((differs - NOISE) / (CHANGE - NOISE)).clamp(0.0, 1.0);
            rate += (recent - smoothed) * weight;
        }
        Some(RateForecast {
            rate: BytesPerSecond::new(rate)?,
            uncounted: self.uncounted(anchor, rate, now),
        })
    }

    /// Estimates the bytes that have arrived since the last step and are counted with the next one.
    ///
    /// The count never exceeds the true value, and is almost exact right after a step. So the true
    /// value is the line with this slope that touches the steps from above.
    fn uncounted(&self, anchor: usize, rate: f64, now: Mono) -> Bytes {
        let Some((last_at, last)) = self.steps.back() else {
            return Bytes::ZERO;
        };
        let usual = self.typical_gap(anchor);
        let near = |(at, _): &&(Mono, Bytes)| last_at.since(*at) <= usual;
        let above = |(at, bytes): &(Mono, Bytes)| {
            rate * now.since(*at).as_secs_f64() - last.saturating_sub(*bytes).as_f64()
        };
        let steps = self.steps.range(anchor..).filter(near);
        let line = steps.map(above).fold(0.0, f64::max);
        #[expect(
            clippy::cast_possible_truncation,
            clippy::cast_sign_loss,
            reason = "the cast saturates, and the value is never negative"
        )]
        Bytes(line.min(rate * usual.as_secs_f64()) as u64)
    }

    fn rate_from(&self, anchor: usize, now: Mono) -> Option<BytesPerSecond> {
        let (last_at, last) = *self.steps.back()?;
        let usual = self.typical_gap(anchor);
        // Start from the last of simultaneous steps: no bytes are pending after it.
        let (first, _) = self.steps.get(anchor)?;
        let pairs = self.steps.range(anchor..).zip(self.steps.range(anchor + 1..));
        let (from_at, from) = *pairs
            .take_while(|((at, _), _)| at.since(*first) <= usual / 2)
            .find(|((at, _), (next, _))| next.since(*at) >= usual / 2)
            .map_or(self.steps.get(anchor)?, |(before, _)| before);
        if from_at == last_at {
            return None;
        }
        // Between two steps bytes are pending: only an unusually long silence lowers the rate.
        if now.since(last_at) > WINDOW.max(usual * 4) {
            return Some(BytesPerSecond::ZERO);
        }
        let end = last_at.max(Mono(now.0.saturating_sub(usual)));
        let over = end.since(from_at);
        if now.since(from_at) < MIN_SPAN || over.is_zero() {
            return None;
        }
        BytesPerSecond::new(last.saturating_sub(from).as_f64() / over.as_secs_f64())
    }

    /// Returns the average gap between steps, weighted by its length, as a random moment sees it.
    /// Steps at the same time, from blobs fetched concurrently, count as one.
    fn typical_gap(&self, anchor: usize) -> Duration {
        let times = || self.steps.range(anchor..).map(|(at, _)| *at);
        let gaps = times().zip(times().skip(1));
        let gaps = gaps.map(|(before, after)| after.since(before).as_secs_f64());
        let (sum, squares) =
            gaps.fold((0.0, 0.0), |(sum, squares), gap| (sum + gap, squares + gap * gap));
        Duration::try_from_secs_f64(squares / sum).unwrap_or_default()
    }

    /// Returns the sample to measure from: the latest one that is a window old and has enough steps
    /// after it.
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

    fn assert_close(rate: Option<BytesPerSecond>, want: f64, tolerance: f64) {
        let got = rate.expect("a rate").get();
        assert!((got - want).abs() <= want * tolerance, "{got}, expected {want}");
    }

    #[test]
    fn rate_is_unknown_before_growth() {
        let mut meter = RateMeter::default();
        assert_eq!(meter.rate(at(0)), None);
        meter.sample(Bytes(0), at(0));
        assert_eq!(meter.rate(at(5_000)), None);
        meter.sample(Bytes(10), at(500));
        assert_eq!(meter.rate(at(600)), None, "unknown in the first second");
    }

    #[test]
    fn mebibyte_steps_give_steady_rate() {
        // 300 kB/s: one step every 3.5 s, polled every 250 ms.
        let mut meter = RateMeter::default();
        for ms in (0..60_000).step_by(250) {
            let bytes = (ms * 300) >> 20 << 20;
            meter.sample(Bytes(bytes), at(ms));
            if ms > 15_000 {
                assert_close(meter.rate(at(ms)), 300_000.0, 0.15);
            }
        }
    }

    #[test]
    fn plateaus_and_jumps_give_steady_rate() {
        // Parallel chunks: 4 MiB at once every 2 s.
        let mut meter = RateMeter::default();
        for ms in (0..40_000).step_by(250) {
            meter.sample(Bytes((ms / 2_000) * (4 << 20)), at(ms));
            if ms > 12_000 {
                assert_close(meter.rate(at(ms)), f64::from(2 << 20), 0.25);
            }
        }
    }

    #[test]
    fn rate_falls_during_silence() {
        let mut meter = RateMeter::default();
        for second in 0..20 {
            meter.sample(Bytes(second * 1_000), at(second * 1_000));
        }
        let before = meter.rate(at(19_000)).unwrap();
        let later = meter.rate(at(27_000)).unwrap();
        assert!(later.get() < before.get(), "{later:?}");
        assert_eq!(meter.rate(at(30_000)), Some(BytesPerSecond::ZERO), "no bytes within a window");
    }

    #[test]
    fn rate_follows_halved_speed_within_window() {
        let mut meter = RateMeter::default();
        let mut bytes = 0;
        for ms in (0..40_000).step_by(250) {
            bytes += if ms < 20_000 { 500_000 } else { 250_000 };
            meter.sample(Bytes(bytes), at(ms));
        }
        assert_close(meter.rate(at(39_750)), 1_000_000.0, 0.05);
    }

    #[test]
    fn initial_wait_does_not_lower_rate() {
        let mut meter = RateMeter::default();
        for ms in (0..60_000).step_by(250) {
            meter.sample(Bytes(0), at(ms));
        }
        for ms in (0..5_000).step_by(250) {
            meter.sample(Bytes((ms + 250) * 1_000), at(60_000 + ms));
        }
        assert_close(meter.rate(at(64_750)), 1_000_000.0, 0.3);
    }

    /// Samples what is visible of `truth` every 250 ms. Returns the largest error of the forecast
    /// count.
    fn worst_error(visible: impl Fn(f64) -> u64, truth: impl Fn(f64) -> f64, from: u64) -> f64 {
        let mut meter = RateMeter::default();
        let mut worst = 0.0_f64;
        for ms in (0..30_000_u64).step_by(250) {
            let second = std::time::Duration::from_millis(ms).as_secs_f64();
            let counted = Bytes(visible(second));
            meter.sample(counted, at(ms));
            if ms > from {
                let pace = meter.forecast(at(ms)).expect("a pace");
                let forecast_count = (counted + pace.uncounted).as_f64();
                worst = worst.max((forecast_count - truth(second)).abs());
            }
        }
        worst
    }

    #[test]
    fn forecast_adds_uncounted_bytes() {
        // 60 blobs of half a mebibyte, three at a time, at 1.5 MiB/s: one jump per second.
        let truth = |second: f64| second * 1.5 * 1_048_576.0;
        let worst = worst_error(|second| (second.floor() as u64 * 3) << 19, truth, 5_000);
        assert!(worst < 450_000.0, "{worst}");
        // One blob that grows in steps of 1 MiB, at 0.4 MiB/s.
        let truth = |second: f64| second * 0.4 * 1_048_576.0;
        let worst = worst_error(|second| ((second * 0.4) as u64) << 20, truth, 12_000);
        assert!(worst < 350_000.0, "{worst}");
    }

    #[test]
    fn simultaneous_jumps_give_steady_rate() {
        let mut meter = RateMeter::default();
        for second in 1..15_u64 {
            for blob in 0..3 {
                meter.sample(Bytes((second * 3 + blob) << 19), at(second * 1_000 + blob * 10));
            }
            let rate = meter.rate(at(second * 1_000 + 900)).map_or(0.0, BytesPerSecond::get);
            if second > 4 {
                assert_close(BytesPerSecond::new(rate), 1.5 * 1_048_576.0, 0.1);
            }
        }
    }

    #[test]
    fn forecast_follows_halved_speed_in_four_seconds() {
        let mut meter = RateMeter::default();
        let mut bytes = 0;
        for ms in (0..24_000).step_by(250) {
            bytes += if ms < 20_000 { 500_000 } else { 250_000 };
            meter.sample(Bytes(bytes), at(ms));
        }
        let pace = meter.forecast(at(24_000)).expect("a pace");
        assert_close(Some(pace.rate), 1_000_000.0, 0.1);
        let calm = meter.rate(at(24_000)).expect("a rate");
        assert!(calm.get() > 1_500_000.0, "{calm}");
    }

    #[test]
    fn overdue_step_lowers_forecast() {
        let mut meter = RateMeter::default();
        for second in 0..=20 {
            meter.sample(Bytes(second << 20), at(second * 1_000));
        }
        let pace = meter.forecast(at(22_000)).expect("a pace").rate;
        assert_close(Some(pace), f64::from(1 << 19), 0.15);
        let calm = meter.rate(at(22_000)).expect("a rate").get();
        assert!(calm > 900_000.0, "{calm}");
    }

    #[test]
    fn forecast_is_zero_after_silence() {
        let mut meter = RateMeter::default();
        for second in 0..10 {
            meter.sample(Bytes(second * 1_000), at(second * 1_000));
        }
        let pace = meter.forecast(at(40_000)).expect("a pace");
        assert_eq!((pace.rate, pace.uncounted), (BytesPerSecond::ZERO, Bytes::ZERO));
    }

    #[test]
    fn sample_count_is_bounded() {
        let mut meter = RateMeter::default();
        for i in 0..100_000 {
            meter.sample(Bytes(i), at(i));
        }
        assert!(meter.steps.len() <= MAX_SAMPLES + 1);
        assert_close(meter.rate(at(99_999)), 1_000.0, 0.05);
    }

    #[test]
    fn decreasing_count_resets_meter() {
        let mut meter = RateMeter::default();
        meter.sample(Bytes(1_000), at(0));
        meter.sample(Bytes(2_000), at(1_000));
        meter.sample(Bytes(0), at(2_000));
        assert_eq!(meter.rate(at(5_000)), None);
    }
}
