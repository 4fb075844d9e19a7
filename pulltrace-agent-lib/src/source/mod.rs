//! Where observations come from: the trait, and what it hands over.
//!
//! Each source has a folder or a file of its own here. None knows of sinks.

use std::time::Duration;

use pulltrace_core::{Anomaly, Now, Observation};

#[cfg(feature = "containerd")]
pub mod containerd;
#[cfg(feature = "testing")]
mod scripted;

#[cfg(feature = "testing")]
pub use scripted::{Script, ScriptError, ScriptedSource};

/// Something that sees the image pulls of a node: a container runtime, a recording, a script.
///
/// - **Who retries.** The source. A runtime that is away is not an error: the source says
///   [`Observation::SourceLost`], goes on trying with a back-off of its own, and says
///   [`Observation::SourceBack`]. The caller never calls again because of an outage.
/// - **Which errors are fatal.** All of them: after an error or the end, `next` is not called again.
/// - **Cancel-safety.** `next` is cancel-safe: a future that is dropped before it is ready has
///   taken nothing, and the next call returns what it would have returned.
/// - **An empty batch** says that time passed and nothing was seen to change. It says nothing of the
///   pulls: one that is not mentioned goes on as it was.
/// - **Repeats** are harmless, and a source may repeat all that it sees in each batch.
/// - **Order.** A batch holds what was seen up to its `now`; batches come in the order of their `now`.
/// - **The beginning.** What goes on already when a source begins to see, it need not say at once: until
///   it has, its batches are [`partial`](Batch::partial), and so is each that says
///   [`Observation::SourceBack`]. The first report waits for that, at most 2 s, since receivers take
///   what is absent from it for over.
/// - **Names.** A source that is made anew names a pull that still goes on by the same id.
///
/// A pull ends by [`Observation::Ended`] alone, with evidence: never by not being mentioned.
///
/// ```
/// use pulltrace_agent_lib::source::{Batch, PullSource, SourceError};
///
/// /// Sees nothing, once a second, for ever.
/// struct Idle(pulltrace_agent_lib::Clock);
///
/// impl PullSource for Idle {
///     async fn next(&mut self) -> Result<Option<Batch>, SourceError> {
///         tokio::time::sleep(std::time::Duration::from_secs(1)).await;
///         Ok(Some(Batch::new(self.0.now(), Vec::new())))
///     }
/// }
/// ```
pub trait PullSource: Send {
    /// What was seen since the last call; `None` where nothing will ever be seen again.
    ///
    /// # Errors
    /// Where the source can never see anything again, and that is nobody's intention.
    fn next(&mut self) -> impl Future<Output = Result<Option<Batch>, SourceError>> + Send;
}

/// What a source saw at one moment.
#[derive(Clone, Debug, PartialEq)]
#[non_exhaustive]
pub struct Batch {
    /// When it was seen, on both clocks.
    pub now: Now,
    /// What was seen, in the order in which it happened.
    pub observations: Vec<Observation>,
    /// Inputs that could not be true, found before they became observations.
    pub anomalies: Vec<Anomaly>,
    /// How long the source means to wait before it looks again; `None` where it does not poll.
    pub interval: Option<Duration>,
    /// Whether pulls may be going on that the source has not said yet, as it has just begun to see.
    pub partial: bool,
}

impl Batch {
    /// What was seen at `now`.
    #[must_use]
    pub fn new(now: Now, observations: Vec<Observation>) -> Self {
        Self {
            now,
            observations,
            anomalies: Vec::new(),
            interval: None,
            partial: false,
        }
    }
}

/// A source that will never see anything again. A retry does not help.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum SourceError {
    /// A recording could not be read further.
    #[error("the recording cannot be read further")]
    Recording(#[source] Box<dyn std::error::Error + Send + Sync>),
    /// The task that does the source's work is gone: a bug.
    #[error("the task of the source stopped")]
    Stopped,
    /// Anything else that a custom source means by it.
    #[error("the source cannot go on")]
    Other(#[source] Box<dyn std::error::Error + Send + Sync>),
}
