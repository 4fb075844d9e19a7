//! The one place of this crate that reads a clock. Nothing else lives here.

use std::time::Instant;

/// The monotonic time now.
#[must_use]
#[expect(
    clippy::disallowed_methods,
    reason = "the crate's one clock: deadlines and throttles of real processes need real time"
)]
pub fn now() -> Instant {
    Instant::now()
}
