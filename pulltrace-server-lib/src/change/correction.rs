//! From a node's clock to the server's: so that what readers see is never in two times at once.

use std::time::Duration;

use pulltrace_core::NodeTime;

/// What is added to a node's times to show them: whole seconds, so that they do not jitter.
///
/// Below one second there is none: reports take that long.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Correction(i64);

impl Correction {
    /// The node's times are shown as they are.
    pub const NONE: Self = Self(0);

    /// The correction by the whole seconds of an offset in milliseconds, towards zero.
    #[must_use]
    pub const fn of(offset_ms: i64) -> Self {
        Self(offset_ms / 1_000)
    }

    /// In seconds.
    #[must_use]
    pub const fn seconds(self) -> i64 {
        self.0
    }

    /// A time of the node as the server's clock has it.
    #[must_use]
    pub fn apply(self, at: NodeTime) -> NodeTime {
        shift(at, self.0.saturating_mul(1_000))
    }
}

/// `at` and so many milliseconds, which may be less than none.
pub(crate) fn shift(at: NodeTime, by_ms: i64) -> NodeTime {
    let by = Duration::from_millis(by_ms.unsigned_abs());
    if by_ms < 0 {
        at.saturating_sub(by)
    } else {
        at.saturating_add(by)
    }
}
