//! Who tells of pulls, and whether it sees anything at the moment.

use std::sync::{Arc, Mutex, PoisonError};

use pulltrace_agent_lib::source::{Batch, PullSource, SourceError};
use pulltrace_core::{NodeName, NodeTime, Observation};

/// Who tells of the pulls that are shown.
#[derive(Clone, Debug)]
pub(crate) enum Teller {
    /// The containerd of this node.
    Containerd(NodeName),
    /// The server at this URL, of all nodes.
    Server(String),
}

impl Teller {
    /// As it is called in a sentence.
    pub(crate) const fn who(&self) -> &'static str {
        match self {
            Self::Containerd(_) => "containerd",
            Self::Server(_) => "the server",
        }
    }
}

/// Whether a source sees anything.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) enum Sight {
    /// It has not said anything yet.
    #[default]
    Looking,
    /// It sees what it tells of.
    Sees,
    /// It has not seen that since.
    Lost(NodeTime),
}

/// Where [`Watched`] leaves what it knows.
pub(crate) type Shared = Arc<Mutex<Sight>>;

/// A source, and whether it sees anything: a view says so even where no pull is going on.
#[derive(Debug)]
pub(crate) struct Watched<S> {
    source: S,
    sight: Shared,
}

impl<S: PullSource> Watched<S> {
    pub(crate) fn new(source: S) -> (Self, Shared) {
        let sight = Shared::default();
        let shared = Arc::clone(&sight);
        (Self { source, sight }, shared)
    }
}

impl<S: PullSource> PullSource for Watched<S> {
    async fn next(&mut self) -> Result<Option<Batch>, SourceError> {
        let batch = self.source.next().await?;
        if let Some(batch) = &batch {
            let mut sight = self.sight.lock().unwrap_or_else(PoisonError::into_inner);
            *sight = seen(*sight, batch);
        }
        Ok(batch)
    }
}

fn seen(before: Sight, batch: &Batch) -> Sight {
    let mut sight = match before {
        // Whoever says something else than that it is lost sees.
        Sight::Looking => Sight::Sees,
        before => before,
    };
    for observation in &batch.observations {
        sight = match (observation, sight) {
            (Observation::SourceLost, Sight::Looking | Sight::Sees) => Sight::Lost(batch.now.node),
            (Observation::SourceBack, _) => Sight::Sees,
            (_, sight) => sight,
        };
    }
    sight
}
