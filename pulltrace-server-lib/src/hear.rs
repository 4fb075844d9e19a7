//! The sources of pods and events of a server: what drives them, and whether anything is heard.

use std::pin::Pin;

use pulltrace_core::wire::v1::{ClusterStatus, SourceState};

use crate::cluster::{
    PodSource, PodUpdate, PullEventSource, PullEventUpdate, Trouble, TroubleKind,
};
use crate::correlate::{Heard, Listening};
use crate::ready::Ready;
use crate::writer::Intake;

/// Which sources a server was given.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Cluster {
    pub(crate) pods: bool,
    pub(crate) events: bool,
}

impl Cluster {
    /// Whether there is one, and so anything may be known of pods.
    pub(crate) const fn is_any(self) -> bool {
        self.pods || self.events
    }

    /// Whether anything is heard, for people.
    pub(crate) fn status(self, listening: &Listening) -> ClusterStatus {
        let (pods, pods_reason) = state(self.pods, &listening.pods);
        let (events, events_reason) = state(self.events, &listening.events);
        ClusterStatus {
            pods,
            events,
            pods_reason,
            events_reason,
        }
    }
}

fn state(given: bool, heard: &Heard) -> (SourceState, Option<String>) {
    let Heard::Trouble(Trouble { kind, message }) = heard else {
        let state = match heard {
            _ if !given => SourceState::Off,
            Heard::Live => SourceState::Live,
            _ => SourceState::Listing,
        };
        return (state, None);
    };
    let state = match kind {
        TroubleKind::Forbidden => SourceState::Forbidden,
        TroubleKind::Unauthorized => SourceState::Unauthorized,
        TroubleKind::Unreachable => SourceState::Unreachable,
        TroubleKind::Odd => SourceState::Odd,
    };
    (state, Some(message.clone()))
}

/// What drives a source until it ends or the server stops.
pub(crate) type Drive = Box<dyn FnOnce(Intake, Ready) -> Driven + Send>;

/// A source that is driven.
type Driven = Pin<Box<dyn Future<Output = ()> + Send>>;

/// Hands over what a source of pods says, and says how that is.
pub(crate) fn pods(source: impl PodSource) -> Drive {
    Box::new(|intake, ready| {
        let told = Told::new("pods", source, &ready);
        Box::pin(async move {
            intake.follow_pods(told).await;
            ready.note("pods", false, "its source has ended");
        })
    })
}

/// The same of a source of events.
pub(crate) fn events(source: impl PullEventSource) -> Drive {
    Box::new(|intake, ready| {
        let told = Told::new("events", source, &ready);
        Box::pin(async move {
            intake.follow_events(told).await;
            ready.note("events", false, "its source has ended");
        })
    })
}

/// Says of a source that the server was not given any.
pub(crate) fn none(name: &'static str, ready: &Ready) {
    ready.note(name, false, "off: this server was given no source of them");
}

/// A source whose state is told as a condition, and logged where it changes.
struct Told<S> {
    name: &'static str,
    source: S,
    ready: Ready,
    live: bool,
    /// What is to be told once the server has taken what the source said.
    news: Option<Result<(), Trouble>>,
}

impl<S> Told<S> {
    fn new(name: &'static str, source: S, ready: &Ready) -> Self {
        ready.note(name, false, "listing: not all is known yet");
        Self {
            name,
            source,
            ready: ready.clone(),
            live: false,
            news: None,
        }
    }

    fn tell(&mut self) {
        let name = self.name;
        match self.news.take() {
            None => {}
            Some(Ok(())) => {
                if !std::mem::replace(&mut self.live, true) {
                    tracing::info!(target: "pulltrace::server", source = name, "heard");
                }
                self.ready.note(name, true, "live: what changes is heard");
            }
            Some(Err(Trouble { kind, message })) => {
                self.live = false;
                let kind = kind.as_str();
                tracing::warn!(target: "pulltrace::server", source = name, kind, message, "not heard; trying again");
                self.ready.note(name, false, format!("{kind}: {message}"));
            }
        }
    }
}

impl<S: PodSource> PodSource for Told<S> {
    async fn next(&mut self) -> Option<PodUpdate> {
        self.tell();
        let update = self.source.next().await;
        self.news = match &update {
            Some(PodUpdate::Done) => Some(Ok(())),
            Some(PodUpdate::Trouble(trouble)) => Some(Err(trouble.clone())),
            _ => None,
        };
        update
    }
}

impl<S: PullEventSource> PullEventSource for Told<S> {
    async fn next(&mut self) -> Option<PullEventUpdate> {
        self.tell();
        let update = self.source.next().await;
        self.news = match &update {
            Some(PullEventUpdate::Done) => Some(Ok(())),
            Some(PullEventUpdate::Trouble(trouble)) => Some(Err(trouble.clone())),
            _ => None,
        };
        update
    }
}
