//! The one place of this crate that reads a clock. Nothing else lives here.

use std::time::{Instant, SystemTime};

use jiff::Timestamp;

/// The monotonic time now.
#[must_use]
#[expect(
    clippy::disallowed_methods,
    reason = "the crate's one clock: deadlines and throttles of real processes need real time"
)]
pub fn now() -> Instant {
    Instant::now()
}

/// The time now by the machine's own clock.
#[must_use]
#[expect(
    clippy::disallowed_methods,
    reason = "the crate's one clock: what stands in for a kubelet stamps what it says, and real programs read it"
)]
pub fn wall() -> Timestamp {
    // After the year 9999 nobody tests this.
    Timestamp::try_from(SystemTime::now()).unwrap_or(Timestamp::MAX)
}
