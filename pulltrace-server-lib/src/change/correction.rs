//! Conversion of node times to the server's clock, so that readers see a single time base.

use std::time::Duration;

use pulltrace_core::NodeTime;

/// The difference added to a node's times. Whole seconds, so that times do not jitter.
///
/// Differences below one second are ignored: reports take that long.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Correction(i64);

impl Correction {
    /// No correction.
    pub const NONE: Self = Self(0);

    /// Converts an offset in milliseconds to whole seconds, rounding towards zero.
    #[must_use]
    pub const fn from_millis(offset_ms: i64) -> Self {
        Self(offset_ms / 1_000)
    }

    /// Returns the correction in seconds.
    #[must_use]
    pub const fn seconds(self) -> i64 {
        self.0
    }

    /// Converts a node time to the server's clock.
    #[must_use]
    pub fn apply(self, at: NodeTime) -> NodeTime {
        shift(at, self.0.saturating_mul(1_000))
    }
}

/// Adds milliseconds, which may be negative.
pub(crate) fn shift(at: NodeTime, by_ms: i64) -> NodeTime {
    let by = Duration::from_millis(by_ms.unsigned_abs());
    if by_ms < 0 { at.saturating_sub(by) } else { at.saturating_add(by) }
}
