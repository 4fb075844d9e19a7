//! The origin of the displayed pulls, and its connection state.

use std::sync::{Arc, Mutex, PoisonError};

use pulltrace_agent_lib::source::{Batch, PullSource, SourceError};
use pulltrace_core::{NodeName, NodeTime, Observation};

/// The origin of the displayed pulls.
#[derive(Clone, Debug)]
pub(crate) enum Origin {
    /// containerd on this node.
    Containerd(NodeName),
    /// The server at this URL, with the pulls of all nodes.
    Server(String),
}

impl Origin {
    /// Returns the name used in messages.
    pub(crate) const fn label(&self) -> &'static str {
        match self {
            Self::Containerd(_) => "containerd",
            Self::Server(_) => "the server",
        }
    }
}

/// Connection state of a source.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) enum SourceStatus {
    /// No data yet.
    #[default]
    Connecting,
    /// Connected.
    Connected,
    /// Lost since this time.
    Lost(NodeTime),
}

/// The status that [`MonitoredSource`] shares with a view.
pub(crate) type SharedStatus = Arc<Mutex<SourceStatus>>;

/// A source that publishes its status, which views show even without pulls.
#[derive(Debug)]
pub(crate) struct MonitoredSource<S> {
    source: S,
    status: SharedStatus,
}

impl<S: PullSource> MonitoredSource<S> {
    pub(crate) fn new(source: S) -> (Self, SharedStatus) {
        let status = SharedStatus::default();
        let shared = Arc::clone(&status);
        (Self { source, status }, shared)
    }
}

impl<S: PullSource> PullSource for MonitoredSource<S> {
    async fn next(&mut self) -> Result<Option<Batch>, SourceError> {
        let batch = self.source.next().await?;
        if let Some(batch) = &batch {
            let mut status = self.status.lock().unwrap_or_else(PoisonError::into_inner);
            *status = next_status(*status, batch);
        }
        Ok(batch)
    }
}

fn next_status(before: SourceStatus, batch: &Batch) -> SourceStatus {
    let mut status = match before {
        // A first batch means that the source is connected, unless it reports a loss.
        SourceStatus::Connecting => SourceStatus::Connected,
        before => before,
    };
    for observation in &batch.observations {
        status = match (observation, status) {
            (Observation::SourceLost, SourceStatus::Connecting | SourceStatus::Connected) => {
                SourceStatus::Lost(batch.now.node)
            }
            (Observation::SourceRecovered, _) => SourceStatus::Connected,
            (_, sight) => sight,
        };
    }
    status
}
