//! The only module of this crate that reads a clock.

use std::time::{Instant, SystemTime};

use jiff::Timestamp;

/// Returns the current monotonic time.
#[must_use]
#[expect(
    clippy::disallowed_methods,
    reason = "the crate's one clock: deadlines and throttles of real processes need real time"
)]
pub fn now() -> Instant {
    Instant::now()
}

/// Returns the current wall-clock time.
#[must_use]
#[expect(
    clippy::disallowed_methods,
    reason = "the crate's one clock: events emitted for a kubelet need real timestamps, which real programs read"
)]
pub fn wall() -> Timestamp {
    // Out of range only after the year 9999.
    Timestamp::try_from(SystemTime::now()).unwrap_or(Timestamp::MAX)
}
