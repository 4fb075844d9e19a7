//! Bytes, rates and percents as types: what a number means stands in its type.
//!
//! Nothing here knows what a pull is.

use std::fmt;
use std::ops::{Add, AddAssign};

/// A number of bytes. Arithmetic saturates: a hostile size cannot wrap a sum around.
///
/// ```
/// use pulltrace_core::Bytes;
/// assert_eq!(Bytes(48_250_371).to_string(), "46.0 MiB");
/// assert_eq!(Bytes(u64::MAX) + Bytes(1), Bytes(u64::MAX));
/// ```
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Bytes(pub u64);

impl Bytes {
    /// No bytes: a known zero, never "unknown".
    pub const ZERO: Self = Self(0);

    /// The difference, or zero where `other` is larger.
    #[must_use]
    pub const fn saturating_sub(self, other: Self) -> Self {
        Self(self.0.saturating_sub(other.0))
    }

    /// The count as a float, for rates and shares.
    #[must_use]
    #[expect(clippy::cast_precision_loss, reason = "2^53 bytes is 8 PiB")]
    pub const fn as_f64(self) -> f64 {
        self.0 as f64
    }

    /// What share of `whole` these bytes are, 0 to 1; `None` where `whole` is zero.
    #[must_use]
    pub fn share_of(self, whole: Self) -> Option<f64> {
        (whole.0 > 0).then(|| (self.as_f64() / whole.as_f64()).clamp(0.0, 1.0))
    }
}

impl Add for Bytes {
    type Output = Self;

    fn add(self, other: Self) -> Self {
        Self(self.0.saturating_add(other.0))
    }
}

impl AddAssign for Bytes {
    fn add_assign(&mut self, other: Self) {
        *self = *self + other;
    }
}

impl std::iter::Sum for Bytes {
    fn sum<I: Iterator<Item = Self>>(iter: I) -> Self {
        iter.fold(Self::ZERO, Add::add)
    }
}

impl fmt::Display for Bytes {
    /// IEC units with three significant digits: `312 B`, `46.0 MiB`.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(&iec(self.as_f64()))
    }
}

/// A speed in bytes per second: finite and never negative.
#[derive(Clone, Copy, Debug, PartialEq, PartialOrd)]
pub struct BytesPerSecond(f64);

impl BytesPerSecond {
    /// No movement: a known zero, never "unknown".
    pub const ZERO: Self = Self(0.0);

    /// A speed, or `None` where the number is negative, infinite or not a number.
    #[must_use]
    pub fn new(value: f64) -> Option<Self> {
        (value.is_finite() && value >= 0.0).then_some(Self(value))
    }

    /// The number of bytes per second.
    #[must_use]
    pub const fn get(self) -> f64 {
        self.0
    }

    /// How many seconds `bytes` take at this speed; `None` where nothing moves.
    #[must_use]
    pub fn seconds_for(self, bytes: Bytes) -> Option<f64> {
        (self.0 > 0.0).then(|| bytes.as_f64() / self.0)
    }
}

impl fmt::Display for BytesPerSecond {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(&format!("{}/s", iec(self.0)))
    }
}

/// How far something is, 0 to 100.
#[derive(Clone, Copy, Debug, Default, PartialEq, PartialOrd)]
pub struct Percent(f64);

impl Percent {
    /// Nothing done yet.
    pub const ZERO: Self = Self(0.0);
    /// All done, with evidence.
    pub const DONE: Self = Self(100.0);
    /// The most that is said of something that is not over: the last tenth needs evidence.
    pub const ALMOST: Self = Self(99.9);

    /// From a number of 0 to 100; numbers outside are clamped and NaN is 0.
    #[must_use]
    pub fn new(percent: f64) -> Self {
        Self(if percent.is_nan() {
            0.0
        } else {
            percent.clamp(0.0, 100.0)
        })
    }

    /// From a share of 0 to 1; numbers outside are clamped and NaN is 0.
    #[must_use]
    pub fn from_share(share: f64) -> Self {
        Self::new(share.clamp(0.0, 1.0) * 100.0)
    }

    /// The number, 0 to 100.
    #[must_use]
    pub const fn get(self) -> f64 {
        self.0
    }

    /// The larger of two.
    #[must_use]
    pub fn max(self, other: Self) -> Self {
        if other.0 > self.0 { other } else { self }
    }

    /// The smaller of two.
    #[must_use]
    pub fn min(self, other: Self) -> Self {
        if other.0 < self.0 { other } else { self }
    }
}

impl fmt::Display for Percent {
    /// Whole percents, rounded down, so that `100 %` is only ever said of 100.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(&format!("{:.0} %", self.0.floor()))
    }
}

fn iec(value: f64) -> String {
    const UNITS: [&str; 7] = ["B", "KiB", "MiB", "GiB", "TiB", "PiB", "EiB"];
    let (mut value, mut unit) = (value, 0);
    // 999.5 would print as four digits, so the next unit begins there.
    while value >= 999.5 && unit + 1 < UNITS.len() {
        value /= 1024.0;
        unit += 1;
    }
    let digits = match value {
        _ if unit == 0 => 0,
        v if v >= 99.95 => 0,
        v if v >= 9.995 => 1,
        _ => 2,
    };
    format!("{value:.digits$} {}", UNITS[unit])
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sizes_read_like_a_person_wrote_them() {
        for (bytes, text) in [
            (0, "0 B"),
            (999, "999 B"),
            (1000, "0.98 KiB"),
            (48_250_371, "46.0 MiB"),
            (5 << 30, "5.00 GiB"),
            (u64::MAX, "16.0 EiB"),
        ] {
            assert_eq!(Bytes(bytes).to_string(), text);
        }
    }

    #[test]
    fn a_share_of_nothing_is_unknown() {
        assert_eq!(Bytes(0).share_of(Bytes(0)), None);
        assert_eq!(Bytes(5).share_of(Bytes(4)), Some(1.0));
    }

    #[test]
    fn a_speed_is_finite_and_never_negative() {
        assert_eq!(BytesPerSecond::new(f64::NAN), None);
        assert_eq!(BytesPerSecond::new(-1.0), None);
        assert_eq!(BytesPerSecond::ZERO.seconds_for(Bytes(1)), None);
    }

    #[test]
    fn a_hundred_percent_is_never_rounded_up_to() {
        assert_eq!(Percent::ALMOST.to_string(), "99 %");
        assert_eq!(Percent::from_share(f64::NAN), Percent::ZERO);
    }
}
