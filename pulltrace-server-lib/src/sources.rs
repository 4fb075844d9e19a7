//! The sources of pods and events of a server: the tasks that run them, and their state.

use std::pin::Pin;

use pulltrace_core::error::error_chain;
use pulltrace_core::wire::v1::{ClusterStatus, SourceState};

use crate::cluster::{
    PodSource, PodUpdate, PullEventSource, PullEventUpdate, SourceError, SourceFailure,
    SourceFailureKind,
};
use crate::correlate::{ClusterHealth, SourceHealth};
use crate::ready::Readiness;
use crate::writer::Intake;

/// The sources a server was given.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct ConfiguredSources {
    pub(crate) pods: bool,
    pub(crate) events: bool,
}

impl ConfiguredSources {
    /// Reports whether there is at least one.
    pub(crate) const fn has_any(self) -> bool {
        self.pods || self.events
    }

    /// Returns the state of the sources as a wire type.
    pub(crate) fn status(self, health: &ClusterHealth) -> ClusterStatus {
        let (pods, pods_reason) = source_state(self.pods, &health.pods);
        let (events, events_reason) = source_state(self.events, &health.events);
        ClusterStatus { pods, events, pods_reason, events_reason }
    }
}

fn source_state(given: bool, health: &SourceHealth) -> (SourceState, Option<String>) {
    let SourceHealth::Failing(SourceFailure { kind, message }) = health else {
        let state = match health {
            _ if !given => SourceState::Off,
            SourceHealth::Live => SourceState::Live,
            _ => SourceState::Listing,
        };
        return (state, None);
    };
    let state = match kind {
        SourceFailureKind::Forbidden => SourceState::Forbidden,
        SourceFailureKind::Unauthorized => SourceState::Unauthorized,
        SourceFailureKind::Unreachable => SourceState::Unreachable,
        SourceFailureKind::Malformed => SourceState::Odd,
    };
    (state, Some(message.clone()))
}

/// Runs a source until it ends or the server stops.
pub(crate) type SourceTask = Box<dyn FnOnce(Intake, Readiness) -> SourceFuture + Send>;

/// The future of a running source.
type SourceFuture = Pin<Box<dyn Future<Output = ()> + Send>>;

/// Returns a task that forwards the updates of a pod source and reports its state.
pub(crate) fn pod_task(source: impl PodSource + 'static) -> SourceTask {
    Box::new(|intake, ready| {
        let source = MonitoredSource::new("pods", source, &ready);
        Box::pin(async move {
            let end = intake.forward_pods(source).await;
            report_end("pods", end, &ready);
        })
    })
}

/// Like `pod_task`, for an event source.
pub(crate) fn event_task(source: impl PullEventSource + 'static) -> SourceTask {
    Box::new(|intake, ready| {
        let source = MonitoredSource::new("events", source, &ready);
        Box::pin(async move {
            let end = intake.forward_events(source).await;
            report_end("events", end, &ready);
        })
    })
}

fn report_end(name: &'static str, end: Result<(), SourceError>, ready: &Readiness) {
    let reason = match end {
        Ok(()) => "the source has ended".to_owned(),
        Err(error) => {
            let reason = error_chain(&error);
            tracing::error!(target: "pulltrace::server", source = name, reason, "source failed");
            format!("failed: {reason}")
        }
    };
    ready.set_optional(name, false, reason);
}

/// Reports that the server has no such source.
pub(crate) fn report_disabled(name: &'static str, ready: &Readiness) {
    ready.set_optional(name, false, "off: no source configured");
}

/// A source whose state is reported as a condition, and logged when it changes.
struct MonitoredSource<S> {
    name: &'static str,
    source: S,
    ready: Readiness,
    live: bool,
    /// The state to report once the server has processed the last update.
    pending_state: Option<Result<(), SourceFailure>>,
}

impl<S> MonitoredSource<S> {
    fn new(name: &'static str, source: S, ready: &Readiness) -> Self {
        ready.set_optional(name, false, "listing: the initial list is incomplete");
        Self { name, source, ready: ready.clone(), live: false, pending_state: None }
    }

    fn report_state(&mut self) {
        let name = self.name;
        match self.pending_state.take() {
            None => {}
            Some(Ok(())) => {
                if !std::mem::replace(&mut self.live, true) {
                    tracing::info!(target: "pulltrace::server", source = name, "source is live");
                }
                self.ready.set_optional(name, true, "live: receiving changes");
            }
            Some(Err(SourceFailure { kind, message })) => {
                self.live = false;
                let kind = kind.as_str();
                tracing::warn!(target: "pulltrace::server", source = name, kind, message, "source failed; retrying");
                self.ready.set_optional(name, false, format!("{kind}: {message}"));
            }
        }
    }
}

impl<S: PodSource> PodSource for MonitoredSource<S> {
    async fn next(&mut self) -> Result<Option<PodUpdate>, SourceError> {
        self.report_state();
        let update = self.source.next().await;
        self.pending_state = match &update {
            Ok(Some(PodUpdate::InitDone)) => Some(Ok(())),
            Ok(Some(PodUpdate::Failing(trouble))) => Some(Err(trouble.clone())),
            _ => None,
        };
        update
    }
}

impl<S: PullEventSource> PullEventSource for MonitoredSource<S> {
    async fn next(&mut self) -> Result<Option<PullEventUpdate>, SourceError> {
        self.report_state();
        let update = self.source.next().await;
        self.pending_state = match &update {
            Ok(Some(PullEventUpdate::InitDone)) => Some(Ok(())),
            Ok(Some(PullEventUpdate::Failing(trouble))) => Some(Err(trouble.clone())),
            _ => None,
        };
        update
    }
}
