//! Counters of the containerd source.

/// Counters of a [`Containerd`](super::Containerd) source since it started.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct SourceStats {
    /// Connections to containerd, including reconnects.
    pub connections: u64,
    /// Successful polls.
    pub polls: u64,
    /// Failed polls.
    pub failed_polls: u64,
    /// Events passed to the tracker.
    pub events: u64,
    /// Event stream interruptions and overflows, after which events may be missing.
    pub event_gaps: u64,
    /// Events dropped because they arrived faster than they were processed.
    pub dropped_events: u64,
    /// Queries sent to containerd.
    pub queries: u64,
    /// Failed queries. A "not found" answer is not a failure.
    pub failed_queries: u64,
    /// Queries that were not sent because too many were queued.
    pub dropped_queries: u64,
    /// List items from containerd that were invalid or exceeded a limit.
    pub skipped_items: u64,
    /// Inputs written to the recording.
    pub recorded_inputs: u64,
    /// Bytes written to the recording.
    pub recorded_bytes: u64,
    /// Why the recording stopped early; `None` if it continues or there is none.
    pub recording_error: Option<String>,
}
