//! What the server counts of itself, and as feature `metrics` what Prometheus reads of it.

#[cfg(feature = "metrics")]
mod families;
#[cfg(feature = "metrics")]
mod observe;

use std::sync::atomic::{AtomicU64, Ordering};

#[cfg(feature = "metrics")]
pub use families::{Metrics, MetricsError};

/// A number that only grows, or one that goes up and down.
#[derive(Debug, Default)]
pub(crate) struct Count(AtomicU64);

impl Count {
    pub(crate) fn add(&self, by: u64) {
        self.0.fetch_add(by, Ordering::Relaxed);
    }

    pub(crate) fn sub(&self, by: u64) {
        self.0.fetch_sub(by, Ordering::Relaxed);
    }

    #[cfg(any(test, feature = "metrics"))]
    pub(crate) fn get(&self) -> u64 {
        self.0.load(Ordering::Relaxed)
    }
}

/// Why a report was refused: the label of a metric, and what a problem says.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Rejected {
    /// No token, or a wrong one; or none can be brought.
    Unauthorized,
    /// Its `Host` is not this server's.
    Host,
    /// It is no JSON by its own word.
    ContentType,
    /// It is compressed in a way that is not understood.
    Encoding,
    /// It is too large, as it is or when unpacked.
    TooLarge,
    /// It did not come in time.
    Timeout,
    /// It broke off, or is no gzip.
    Broken,
    /// It is no JSON, or not that of a report.
    Malformed,
    /// It cannot be true, or goes over a bound.
    Invalid,
    /// Another agent reports for the node.
    Conflict,
    /// There are too many nodes.
    Full,
    /// More reports wait than can be taken.
    Busy,
    /// The server is about to stop.
    Stopping,
}

impl Rejected {
    pub(crate) const ALL: [Self; 13] = [
        Self::Unauthorized,
        Self::Host,
        Self::ContentType,
        Self::Encoding,
        Self::TooLarge,
        Self::Timeout,
        Self::Broken,
        Self::Malformed,
        Self::Invalid,
        Self::Conflict,
        Self::Full,
        Self::Busy,
        Self::Stopping,
    ];

    pub(crate) const fn as_str(self) -> &'static str {
        match self {
            Self::Unauthorized => "unauthorized",
            Self::Host => "host",
            Self::ContentType => "content_type",
            Self::Encoding => "encoding",
            Self::TooLarge => "too_large",
            Self::Timeout => "timeout",
            Self::Broken => "broken",
            Self::Malformed => "malformed",
            Self::Invalid => "invalid",
            Self::Conflict => "conflict",
            Self::Full => "full",
            Self::Busy => "busy",
            Self::Stopping => "stopping",
        }
    }
}

/// What the parts around the state count.
#[derive(Debug, Default)]
pub(crate) struct Stats {
    /// Reports that were taken.
    pub(crate) reports: Count,
    rejected: [Count; Rejected::ALL.len()],
    /// Readers of the stream now.
    pub(crate) readers: Count,
    /// Readers that did not read for too long.
    pub(crate) readers_cut_off: Count,
    /// Readers for whom there was no room.
    pub(crate) readers_refused: Count,
    /// Readers who take the stream packed, for whom there was no room to do that.
    pub(crate) readers_unpacked: Count,
    /// Connections for which there was no room.
    pub(crate) connections_refused: Count,
}

impl Stats {
    pub(crate) fn reject(&self, why: Rejected) {
        if let Some(count) = self.rejected.get(why as usize) {
            count.add(1);
        }
    }

    #[cfg(feature = "metrics")]
    pub(crate) fn rejected(&self, why: Rejected) -> u64 {
        self.rejected.get(why as usize).map_or(0, Count::get)
    }
}
