//! Byte counts, rates and percentages as types.

use std::fmt;
use std::ops::{Add, AddAssign};

/// A number of bytes. Arithmetic saturates, so a hostile size cannot overflow a sum.
///
/// ```
/// use pulltrace_core::Bytes;
/// assert_eq!(Bytes(48_250_371).to_string(), "46.0 MiB");
/// assert_eq!(Bytes(u64::MAX) + Bytes(1), Bytes(u64::MAX));
/// ```
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Bytes(pub u64);

impl Bytes {
    /// Zero bytes. An unknown size is `None`, never zero.
    pub const ZERO: Self = Self(0);

    /// Subtracts `other`, saturating at zero.
    #[must_use]
    pub const fn saturating_sub(self, other: Self) -> Self {
        Self(self.0.saturating_sub(other.0))
    }

    /// Returns the count as a float, for rates and fractions.
    #[must_use]
    #[expect(clippy::cast_precision_loss, reason = "2^53 bytes is 8 PiB")]
    pub const fn as_f64(self) -> f64 {
        self.0 as f64
    }

    /// Returns these bytes as a fraction of `whole`, from 0 to 1; `None` if `whole` is zero.
    #[must_use]
    pub fn fraction_of(self, whole: Self) -> Option<f64> {
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
    /// Formats with IEC units and three significant digits: `312 B`, `46.0 MiB`.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(&format_iec(self.as_f64()))
    }
}

/// A rate in bytes per second: finite and never negative.
#[derive(Clone, Copy, Debug, PartialEq, PartialOrd)]
pub struct BytesPerSecond(f64);

impl BytesPerSecond {
    /// No movement. An unknown rate is `None`, never zero.
    pub const ZERO: Self = Self(0.0);

    /// Creates a rate; `None` if the number is negative, infinite or NaN.
    #[must_use]
    pub fn new(value: f64) -> Option<Self> {
        (value.is_finite() && value >= 0.0).then_some(Self(value))
    }

    /// Returns the number of bytes per second.
    #[must_use]
    pub const fn get(self) -> f64 {
        self.0
    }

    /// Returns the seconds that `bytes` take at this rate; `None` if the rate is zero.
    #[must_use]
    pub fn seconds_for(self, bytes: Bytes) -> Option<f64> {
        (self.0 > 0.0).then(|| bytes.as_f64() / self.0)
    }
}

impl fmt::Display for BytesPerSecond {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(&format!("{}/s", format_iec(self.0)))
    }
}

/// A percentage from 0 to 100.
#[derive(Clone, Copy, Debug, Default, PartialEq, PartialOrd)]
pub struct Percent(f64);

impl Percent {
    /// Not started.
    pub const ZERO: Self = Self(0.0);
    /// Completed, with evidence.
    pub const DONE: Self = Self(100.0);
    /// The maximum for anything unfinished: 100 % requires evidence.
    pub const MAX_UNFINISHED: Self = Self(99.9);

    /// Creates a percentage, clamped to 0–100; NaN becomes 0.
    #[must_use]
    pub fn new(percent: f64) -> Self {
        Self(if percent.is_nan() { 0.0 } else { percent.clamp(0.0, 100.0) })
    }

    /// Converts a fraction from 0 to 1, clamped; NaN becomes 0.
    #[must_use]
    pub fn from_fraction(share: f64) -> Self {
        Self::new(share.clamp(0.0, 1.0) * 100.0)
    }

    /// Returns the number, 0 to 100.
    #[must_use]
    pub const fn get(self) -> f64 {
        self.0
    }

    /// Returns the larger of two percentages.
    #[must_use]
    pub fn max(self, other: Self) -> Self {
        if other.0 > self.0 { other } else { self }
    }

    /// Returns the smaller of two percentages.
    #[must_use]
    pub fn min(self, other: Self) -> Self {
        if other.0 < self.0 { other } else { self }
    }
}

impl fmt::Display for Percent {
    /// Formats as a whole number, rounded down, so that only 100 prints as `100 %`.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(&format!("{:.0} %", self.0.floor()))
    }
}

fn format_iec(value: f64) -> String {
    const UNITS: [&str; 7] = ["B", "KiB", "MiB", "GiB", "TiB", "PiB", "EiB"];
    let (mut value, mut unit) = (value, 0);
    // 999.5 would round to four digits, so the next unit starts there.
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
    fn bytes_format_with_iec_units() {
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
    fn fraction_of_zero_is_none() {
        assert_eq!(Bytes(0).fraction_of(Bytes(0)), None);
        assert_eq!(Bytes(5).fraction_of(Bytes(4)), Some(1.0));
    }

    #[test]
    fn rate_rejects_nan_and_negative() {
        assert_eq!(BytesPerSecond::new(f64::NAN), None);
        assert_eq!(BytesPerSecond::new(-1.0), None);
        assert_eq!(BytesPerSecond::ZERO.seconds_for(Bytes(1)), None);
    }

    #[test]
    fn percent_never_rounds_up_to_hundred() {
        assert_eq!(Percent::MAX_UNFINISHED.to_string(), "99 %");
        assert_eq!(Percent::from_fraction(f64::NAN), Percent::ZERO);
    }
}
