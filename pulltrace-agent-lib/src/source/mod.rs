//! Sources of observations: the [`PullSource`] trait and its implementations.
//!
//! Each source is a separate module, independent of the sinks.

use std::fmt;
use std::time::Duration;

use futures_util::future::BoxFuture;
use pulltrace_core::{Anomaly, Now, Observation};

#[cfg(feature = "containerd")]
pub mod containerd;
#[cfg(feature = "testing")]
mod scripted;
mod stream;

#[cfg(feature = "testing")]
pub use scripted::{Script, ScriptError, ScriptedSource};
pub use stream::{FromStream, from_stream};

/// A source of observations about the image pulls of a node: a container runtime, a recording, a
/// script.
///
/// - **Retries.** The source reconnects by itself. If the runtime is unavailable, it emits
///   [`Observation::SourceLost`], retries with back-off, and emits [`Observation::SourceRecovered`]
///   when it is connected again. An outage is not an error.
/// - **Errors.** Every error is fatal. After an error or `None`, `next` is not called again.
/// - **Cancel safety.** `next` is cancel-safe: dropping the future before it is ready loses
///   nothing, and the next call returns the batch.
/// - **Empty batches** mean that time passed without a change. A pull that a batch does not mention
///   continues unchanged.
/// - **Duplicates** are harmless. A source may repeat everything it observes in each batch.
/// - **Order.** A batch contains the observations up to its `now`, and batches are ordered by
///   `now`.
/// - **Initial sync.** Batches are [`partial`](Batch::partial) until all pulls that already run
///   when the source connects have been listed, and so is each batch with
///   [`Observation::SourceRecovered`]. The first report waits for the sync, at most 2 s, because
///   receivers take pulls missing from it as ended.
/// - **Stable ids.** A new source for the same runtime gives a running pull the same id.
///
/// A pull ends only by [`PullFact::Ended`](pulltrace_core::PullFact::Ended), which carries evidence;
/// never by being absent.
///
/// ```
/// use pulltrace_agent_lib::source::{Batch, PullSource, SourceError};
///
/// /// Returns an empty batch every second.
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
    /// Waits for the next batch. Returns `None` when the source has ended.
    ///
    /// # Errors
    /// Returns an error if the source failed permanently.
    fn next(&mut self) -> impl Future<Output = Result<Option<Batch>, SourceError>> + Send;

    /// Moves the source behind a pointer, so that its type can be chosen at run time.
    fn boxed(self) -> BoxPullSource
    where
        Self: Sized + 'static,
    {
        BoxPullSource::new(self)
    }
}

/// A [`PullSource`] whose type is chosen at run time; created by [`PullSource::boxed`].
///
/// ```
/// # #[cfg(feature = "testing")] {
/// use pulltrace_agent_lib::Clock;
/// use pulltrace_agent_lib::source::{self, BoxPullSource, PullSource, ScriptedSource};
///
/// fn source(is_test: bool) -> BoxPullSource {
///     if is_test {
///         ScriptedSource::new(Clock::system()).0.boxed()
///     } else {
///         source::from_stream(futures_util::stream::empty()).boxed()
///     }
/// }
/// # let _ = source(true);
/// # }
/// ```
pub struct BoxPullSource(Box<dyn DynPullSource>);

/// [`PullSource`] with a boxed future, so that it has trait objects.
trait DynPullSource: Send {
    fn next_boxed(&mut self) -> BoxFuture<'_, Result<Option<Batch>, SourceError>>;
}

impl<S: PullSource> DynPullSource for S {
    fn next_boxed(&mut self) -> BoxFuture<'_, Result<Option<Batch>, SourceError>> {
        Box::pin(self.next())
    }
}

impl BoxPullSource {
    fn new(source: impl PullSource + 'static) -> Self {
        Self(Box::new(source))
    }
}

impl PullSource for BoxPullSource {
    fn next(&mut self) -> impl Future<Output = Result<Option<Batch>, SourceError>> + Send {
        self.0.next_boxed()
    }

    fn boxed(self) -> Self {
        self
    }
}

impl fmt::Debug for BoxPullSource {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("BoxPullSource").finish_non_exhaustive()
    }
}

/// The observations of a source at one point in time.
#[derive(Clone, Debug, PartialEq)]
#[non_exhaustive]
pub struct Batch {
    /// Time of the observations on both clocks.
    pub now: Now,
    /// The observations, in order of occurrence.
    pub observations: Vec<Observation>,
    /// Anomalies in the source's input.
    pub anomalies: Vec<Anomaly>,
    /// Time until the next poll; `None` if the source does not poll.
    pub poll_interval: Option<Duration>,
    /// True if the initial sync is incomplete, so that running pulls may not be listed yet.
    pub partial: bool,
}

impl Batch {
    /// Creates a complete batch without anomalies.
    #[must_use]
    pub fn new(now: Now, observations: Vec<Observation>) -> Self {
        Self { now, observations, anomalies: Vec::new(), poll_interval: None, partial: false }
    }
}

/// A permanent failure of a source. A retry does not help.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum SourceError {
    /// The rest of a recording could not be read.
    #[error("failed to read the recording")]
    Recording(#[source] Box<dyn std::error::Error + Send + Sync>),
    /// The background task of the source stopped, which is a bug.
    #[error("the background task of the source stopped")]
    Stopped,
    /// Any other failure of a custom source.
    #[error("the source failed")]
    Other(#[source] Box<dyn std::error::Error + Send + Sync>),
}
