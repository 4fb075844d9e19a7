//! Instants, which callers pass in: this crate reads no clock. Durations in Go's syntax.
//!
//! Separate types keep the clocks apart. [`Mono`] orders the observations of one process and
//! measures rates. [`NodeTime`] is the node's wall clock, which timestamps leases, content and
//! kubelet events.

use std::fmt;
use std::num::NonZeroU64;
use std::str::FromStr;
use std::time::{Duration, SystemTime};

/// A monotonic instant: the time since an arbitrary start chosen by the process.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Mono(pub Duration);

impl Mono {
    /// Returns the time since `earlier`; zero if `earlier` is later.
    #[must_use]
    pub fn since(self, earlier: Self) -> Duration {
        self.0.saturating_sub(earlier.0)
    }
}

impl std::ops::Add<Duration> for Mono {
    type Output = Self;

    fn add(self, by: Duration) -> Self {
        Self(self.0.saturating_add(by))
    }
}

/// A UTC instant of the node's wall clock in nanoseconds, from 1678 to 2261.
///
/// Displays and parses as RFC 3339. Earlier and later instants saturate: many programs report Go's
/// zero time (year 1), which must not invalidate the rest of the input.
///
/// ```
/// use pulltrace_core::NodeTime;
/// let t: NodeTime = "2026-11-24T20:29:40.5Z".parse()?;
/// assert_eq!(t.to_string(), "2026-11-24T20:29:40.5Z");
/// # Ok::<(), pulltrace_core::NodeTimeError>(())
/// ```
// Nanoseconds since `i64::MIN`, never zero: this makes `Option<NodeTime>` as small as `NodeTime`.
// Most instants of a pull and its layers are optional.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct NodeTime(NonZeroU64);

/// An invalid instant. A retry does not help.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("invalid time `{0}`: expected RFC 3339, or nanoseconds since 1970")]
pub struct NodeTimeError(String);

impl NodeTime {
    /// Returns the instant `seconds` and `nanos` after 1970-01-01T00:00:00Z.
    #[must_use]
    pub fn from_unix(seconds: i64, nanos: i32) -> Self {
        let whole = seconds.saturating_mul(SECOND);
        Self::from_nanos_clamped(whole.saturating_add(nanos.into()))
    }

    /// Returns the instant this many nanoseconds after 1970-01-01T00:00:00Z; the inverse of
    /// [`unix_nanos`](Self::unix_nanos).
    ///
    /// # Errors
    /// For `i64::MIN`, which cannot be represented.
    pub fn from_unix_nanos(nanos: i64) -> Result<Self, NodeTimeError> {
        let known = NonZeroU64::new(nanos.abs_diff(i64::MIN));
        known.map(Self).ok_or_else(|| NodeTimeError(nanos.to_string()))
    }

    /// Converts a system time.
    #[must_use]
    pub fn from_system(time: SystemTime) -> Self {
        let epoch = Self::from_nanos_clamped(0);
        match time.duration_since(SystemTime::UNIX_EPOCH) {
            Ok(after) => epoch.saturating_add(after),
            Err(before) => epoch.saturating_sub(before.duration()),
        }
    }

    const fn from_nanos_clamped(nanos: i64) -> Self {
        match NonZeroU64::new(nanos.abs_diff(i64::MIN)) {
            Some(known) => Self(known),
            None => Self(NonZeroU64::MIN),
        }
    }

    /// Returns the nanoseconds since 1970-01-01T00:00:00Z.
    #[must_use]
    pub const fn unix_nanos(self) -> i64 {
        i64::MIN.wrapping_add_unsigned(self.0.get())
    }

    /// Returns the time since `earlier`; zero if `earlier` is later.
    #[must_use]
    pub const fn since(self, earlier: Self) -> Duration {
        Duration::from_nanos(self.0.get().saturating_sub(earlier.0.get()))
    }

    /// Adds `by`, saturating at the last instant.
    #[must_use]
    pub fn saturating_add(self, by: Duration) -> Self {
        Self(self.0.saturating_add(saturating_nanos(by)))
    }

    /// Subtracts `by`, saturating at the first instant.
    #[must_use]
    pub fn saturating_sub(self, by: Duration) -> Self {
        let left = self.0.get().saturating_sub(saturating_nanos(by));
        Self(NonZeroU64::new(left).unwrap_or(NonZeroU64::MIN))
    }
}

const SECOND: i64 = 1_000_000_000;

/// Returns the number of nanoseconds, or `u64::MAX` if it is larger.
fn saturating_nanos(duration: Duration) -> u64 {
    u64::try_from(duration.as_nanos()).unwrap_or(u64::MAX)
}

impl fmt::Debug for NodeTime {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

impl fmt::Display for NodeTime {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let timestamp = jiff::Timestamp::from_nanosecond(self.unix_nanos().into());
        timestamp.map_err(|_| fmt::Error)?.fmt(f)
    }
}

impl FromStr for NodeTime {
    type Err = NodeTimeError;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let timestamp: jiff::Timestamp =
            text.parse().map_err(|_| NodeTimeError(text.chars().take(64).collect()))?;
        Ok(Self::from_unix(timestamp.as_second(), timestamp.subsec_nanosecond()))
    }
}

/// One moment on both clocks.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Now {
    /// For ordering and rates.
    pub mono: Mono,
    /// For comparison with containerd's timestamps.
    pub node: NodeTime,
}

impl Now {
    /// Returns the moment `by` later, on both clocks.
    #[must_use]
    pub fn plus(self, by: Duration) -> Self {
        Self { mono: self.mono + by, node: self.node.saturating_add(by) }
    }
}

/// Parses a duration in Go's syntax, as the kubelet writes it: `412ms`, `7.434s`, `1h0m0s`. The
/// units descend, and only the last number may have a fraction. Returns `None` if the text is
/// invalid, or exceeds Go's longest duration (292 years).
///
/// ```
/// use std::time::Duration;
/// use pulltrace_core::time::parse_go_duration;
/// assert_eq!(parse_go_duration("1m2.5s"), Some(Duration::from_millis(62_500)));
/// assert_eq!(parse_go_duration("1 minute"), None);
/// ```
#[must_use]
pub fn parse_go_duration(text: &str) -> Option<Duration> {
    // jiff also accepts spaces, commas, signs, words and longer units.
    if text.chars().any(|c| !c.is_ascii_digit() && !".hmsnuµμ".contains(c)) {
        return None;
    }
    // It only accepts one of the two characters for micro, and requires a digit before the point.
    let zero = if text.starts_with('.') { "0" } else { "" };
    let text = format!("{zero}{}", text.replace('μ', "µ"));
    let duration = jiff::fmt::friendly::SpanParser::new().parse_unsigned_duration(text).ok()?;
    (duration.as_nanos() <= i64::MAX.unsigned_abs().into()).then_some(duration)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn node_time_round_trips() {
        let t = NodeTime::from_unix(1_764_016_180, 123_456_789);
        assert_eq!(t.to_string().parse(), Ok(t));
    }

    #[test]
    fn since_is_zero_for_later_instant() {
        let (a, b) = (NodeTime::from_unix(10, 0), NodeTime::from_unix(12, 0));
        assert_eq!(b.since(a), Duration::from_secs(2));
        assert_eq!(a.since(b), Duration::ZERO);
        assert_eq!(
            Mono(Duration::from_secs(1)).since(Mono(Duration::from_secs(2))),
            Duration::ZERO
        );
    }

    #[test]
    fn out_of_range_instants_saturate() {
        let last: NodeTime = "9999-12-30T22:00:00Z".parse().unwrap();
        assert_eq!(last.unix_nanos(), i64::MAX);
        assert_eq!(last.saturating_add(Duration::from_nanos(1)), last);
        // Go's zero time.
        let first: NodeTime = "0001-01-01T00:00:00Z".parse().unwrap();
        assert_eq!(first.unix_nanos(), i64::MIN + 1);
        assert_eq!(first.saturating_sub(Duration::MAX), first);
        assert_eq!(first.saturating_add(Duration::MAX), last);
        for end in [first, last] {
            assert_eq!(end.to_string().parse(), Ok(end));
        }
        assert_eq!(NodeTime::from_unix(i64::MAX, 0), last);
        assert_eq!(NodeTime::from_unix(-62_135_596_800, 0), first);
        assert!(NodeTime::from_unix_nanos(i64::MIN).is_err());
        assert!("tomorrow".parse::<NodeTime>().is_err());
    }

    #[test]
    fn instants_before_1970_sort_correctly() {
        let instants = ["1969-12-31T23:59:59.5Z", "1970-01-01T00:00:00Z", "2026-11-29T00:00:00Z"];
        let read: Vec<NodeTime> = instants.iter().map(|text| text.parse().unwrap()).collect();
        assert!(read.is_sorted());
        assert_eq!(read[0].unix_nanos(), -500_000_000);
        assert_eq!(read[1].unix_nanos(), 0);
        assert_eq!(NodeTime::from_unix(-1, 500_000_000), read[0]);
        let before = SystemTime::UNIX_EPOCH - Duration::from_millis(500);
        assert_eq!(NodeTime::from_system(before), read[0]);
    }

    #[test]
    fn optional_node_time_takes_eight_bytes() {
        assert_eq!(size_of::<Option<NodeTime>>(), 8);
    }

    #[track_caller]
    fn check_duration(text: &str, expected: Option<Duration>) {
        assert_eq!(parse_go_duration(text), expected, "{text}");
    }

    #[test]
    fn parses_go_durations() {
        check_duration("0s", Some(Duration::ZERO));
        check_duration("412ms", Some(Duration::from_millis(412)));
        check_duration("7.434s", Some(Duration::from_millis(7_434)));
        check_duration("2.989123456s", Some(Duration::from_nanos(2_989_123_456)));
        check_duration(".5s", Some(Duration::from_millis(500)));
        check_duration("1m2.5s", Some(Duration::from_millis(62_500)));
        check_duration("30m", Some(Duration::from_mins(30)));
        check_duration("1h0m0.001s", Some(Duration::from_millis(3_600_001)));
        check_duration("1h30m", Some(Duration::from_mins(90)));
        check_duration("1h2m3s4ms", Some(Duration::from_millis(3_723_004)));
        for micro in ["us", "µs", "μs"] {
            check_duration(&format!("1.5{micro}"), Some(Duration::from_nanos(1_500)));
        }
        check_duration("12ns", Some(Duration::from_nanos(12)));
        check_duration("1.000000001ms", Some(Duration::from_millis(1)));
    }

    #[test]
    fn rejects_other_durations() {
        for text in [
            "",
            "s",
            ".s",
            "1",
            "5",
            "1.5",
            "-1s",
            "+1s",
            "1d",
            "5 s",
            "1s ",
            "1s1",
            "1..5s",
            "1.2.3s",
            "1e9s",
            "1,5s",
            "1m, 2s",
            "1:00:00",
            "1min",
            "1s ago",
            "PT1S",
            "∞s",
            "99999999h",
            "9999999999h",
            "99999999999999999999s",
        ] {
            check_duration(text, None);
        }
    }
}
