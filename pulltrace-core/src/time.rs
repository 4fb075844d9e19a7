//! Instants that are handed in: this crate reads no clock.
//!
//! Two clocks never meet by accident: [`Mono`] orders what one process saw and measures speeds,
//! [`NodeTime`] is the node's wall clock, which stamps leases, contents and kubelet events.

use std::fmt;
use std::str::FromStr;
use std::time::Duration;

/// A monotonic instant: the time since an arbitrary start that one process chose.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Mono(pub Duration);

impl Mono {
    /// How long after `earlier` this is; zero where it is not after.
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

/// An instant of the node's wall clock, UTC, with nanoseconds.
///
/// Displays and parses as RFC 3339.
///
/// ```
/// use pulltrace_core::NodeTime;
/// let t: NodeTime = "2026-11-24T20:29:40.5Z".parse()?;
/// assert_eq!(t.to_string(), "2026-11-24T20:29:40.5Z");
/// # Ok::<(), pulltrace_core::NodeTimeError>(())
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct NodeTime(jiff::Timestamp);

/// A text or a number that is no instant.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("no RFC 3339 instant of the years -9999 to 9999: `{0}`")]
pub struct NodeTimeError(String);

impl NodeTime {
    /// The instant `seconds` and `nanos` after 1970-01-01T00:00:00Z.
    ///
    /// # Errors
    /// Where that lies outside the years -9999 to 9999.
    pub fn from_unix(seconds: i64, nanos: i32) -> Result<Self, NodeTimeError> {
        jiff::Timestamp::new(seconds, nanos)
            .map(Self)
            .map_err(|_| NodeTimeError(format!("{seconds} s {nanos} ns")))
    }

    /// The instant so many nanoseconds after 1970-01-01T00:00:00Z; the inverse of
    /// [`unix_nanos`](Self::unix_nanos).
    ///
    /// # Errors
    /// Where that lies outside the years -9999 to 9999.
    pub fn from_unix_nanos(nanos: i128) -> Result<Self, NodeTimeError> {
        jiff::Timestamp::from_nanosecond(nanos)
            .map(Self)
            .map_err(|_| NodeTimeError(format!("{nanos} ns")))
    }

    /// The instant that the standard library calls `time`.
    ///
    /// # Errors
    /// Where that lies outside the years -9999 to 9999.
    pub fn from_system(time: std::time::SystemTime) -> Result<Self, NodeTimeError> {
        jiff::Timestamp::try_from(time)
            .map(Self)
            .map_err(|_| NodeTimeError(format!("{time:?}")))
    }

    /// Nanoseconds since 1970-01-01T00:00:00Z.
    #[must_use]
    pub fn unix_nanos(self) -> i128 {
        self.0.as_nanosecond()
    }

    /// How long after `earlier` this is; zero where it is not after.
    #[must_use]
    pub fn since(self, earlier: Self) -> Duration {
        Duration::try_from(self.0.duration_since(earlier.0)).unwrap_or(Duration::ZERO)
    }

    /// This instant and `by`, or the last instant there is.
    #[must_use]
    pub fn saturating_add(self, by: Duration) -> Self {
        Self(self.0.saturating_add(by).unwrap_or(jiff::Timestamp::MAX))
    }

    /// This instant less `by`, or the first instant there is.
    #[must_use]
    pub fn saturating_sub(self, by: Duration) -> Self {
        Self(self.0.saturating_sub(by).unwrap_or(jiff::Timestamp::MIN))
    }
}

impl fmt::Display for NodeTime {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

impl FromStr for NodeTime {
    type Err = NodeTimeError;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        text.parse()
            .map(Self)
            .map_err(|_| NodeTimeError(text.chars().take(64).collect()))
    }
}

/// One moment on both clocks, as a source or a loop hands it in.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Now {
    /// For order and speeds.
    pub mono: Mono,
    /// For comparison with what containerd stamps.
    pub node: NodeTime,
}

impl Now {
    /// This moment and `by`, on both clocks.
    #[must_use]
    pub fn plus(self, by: Duration) -> Self {
        Self {
            mono: self.mono + by,
            node: self.node.saturating_add(by),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_instant_survives_its_text() {
        let t = NodeTime::from_unix(1_764_016_180, 123_456_789).unwrap();
        assert_eq!(t.to_string().parse(), Ok(t));
    }

    #[test]
    fn what_is_not_after_is_no_time_after() {
        let (a, b) = (
            NodeTime::from_unix(10, 0).unwrap(),
            NodeTime::from_unix(12, 0).unwrap(),
        );
        assert_eq!(b.since(a), Duration::from_secs(2));
        assert_eq!(a.since(b), Duration::ZERO);
        assert_eq!(
            Mono(Duration::from_secs(1)).since(Mono(Duration::from_secs(2))),
            Duration::ZERO
        );
    }

    #[test]
    fn the_ends_of_time_hold() {
        let end = NodeTime::from_unix(253_402_207_200, 0).unwrap();
        assert!(end.saturating_add(Duration::MAX) >= end);
        assert!(NodeTime::from_unix(i64::MAX, 0).is_err());
        assert!("tomorrow".parse::<NodeTime>().is_err());
    }
}
