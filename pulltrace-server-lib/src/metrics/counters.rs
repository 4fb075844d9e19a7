//! Counters of the HTTP server.

use std::sync::atomic::{AtomicU64, Ordering};

/// An atomic counter or gauge.
#[derive(Debug, Default)]
pub(crate) struct AtomicCount(AtomicU64);

impl AtomicCount {
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

/// Reason for rejecting a report: a metric label, and the `reason` of the problem response.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum RejectReason {
    /// The token is missing or wrong, or no token is configured.
    Unauthorized,
    /// The `Host` is not one of this server.
    Host,
    /// The content type is not JSON.
    ContentType,
    /// The content encoding is not supported.
    Encoding,
    /// The body is too large, compressed or uncompressed.
    TooLarge,
    /// The body was not received in time.
    Timeout,
    /// The body is incomplete, or invalid gzip.
    Broken,
    /// The body is invalid JSON, or does not have the structure of a report.
    Malformed,
    /// The report is inconsistent or exceeds a limit.
    Invalid,
    /// Another agent reports for the node.
    Conflict,
    /// The limit of nodes is reached.
    Full,
    /// The report queue is full.
    Busy,
    /// The server is shutting down.
    Stopping,
}

impl RejectReason {
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

/// Counters of the HTTP server.
#[derive(Debug, Default)]
pub(crate) struct HttpCounters {
    /// Accepted reports.
    pub(crate) reports_accepted: AtomicCount,
    rejections: [AtomicCount; RejectReason::ALL.len()],
    /// Current readers of the stream.
    pub(crate) readers: AtomicCount,
    /// Readers disconnected because they accepted no data for too long.
    pub(crate) readers_cut_off: AtomicCount,
    /// Readers rejected because of the limit.
    pub(crate) readers_refused: AtomicCount,
    /// Readers that accept gzip but got an uncompressed stream because of the limit.
    pub(crate) readers_uncompressed: AtomicCount,
    /// Connections closed because of the limit.
    pub(crate) connections_refused: AtomicCount,
}

impl HttpCounters {
    pub(crate) fn record_rejection(&self, reason: RejectReason) {
        if let Some(count) = self.rejections.get(reason as usize) {
            count.add(1);
        }
    }

    #[cfg(feature = "metrics")]
    pub(crate) fn rejected_by(&self, reason: RejectReason) -> u64 {
        self.rejections.get(reason as usize).map_or(0, AtomicCount::get)
    }
}
