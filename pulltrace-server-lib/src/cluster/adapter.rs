//! Sources as trait objects, and streams as sources.

use std::fmt;
use std::future::poll_fn;
use std::pin::Pin;

use futures_core::Stream;

use super::{PodSource, PodUpdate, PullEventSource, PullEventUpdate, SourceError};

/// The future of `next` behind a trait object.
type NextFuture<'a, U> = Pin<Box<dyn Future<Output = Result<Option<U>, SourceError>> + Send + 'a>>;

/// The object-safe form of the source traits: a source of updates of type `U`.
trait DynSource<U>: Send {
    fn next_boxed(&mut self) -> NextFuture<'_, U>;
}

impl<S: PodSource> DynSource<PodUpdate> for S {
    fn next_boxed(&mut self) -> NextFuture<'_, PodUpdate> {
        Box::pin(self.next())
    }
}

impl<S: PullEventSource> DynSource<PullEventUpdate> for S {
    fn next_boxed(&mut self) -> NextFuture<'_, PullEventUpdate> {
        Box::pin(self.next())
    }
}

/// A [`PodSource`] as a trait object, created with [`PodSource::boxed`].
///
/// ```
/// # #[tokio::main(flavor = "current_thread")] async fn main() -> Result<(), Box<dyn std::error::Error>> {
/// use pulltrace_server_lib::cluster::{BoxPodSource, NoSource, PodSource, PodUpdate, ScriptedSource};
///
/// let (source, script) = ScriptedSource::new();
/// let with_cluster = true;
/// let mut pods: BoxPodSource =
///     if with_cluster { PodSource::boxed(source) } else { PodSource::boxed(NoSource) };
/// script.try_send(PodUpdate::Init)?;
/// assert_eq!(pods.next().await?, Some(PodUpdate::Init));
/// # Ok(()) }
/// ```
pub struct BoxPodSource(Box<dyn DynSource<PodUpdate>>);

/// A [`PullEventSource`] as a trait object, created with [`PullEventSource::boxed`].
///
/// ```
/// # #[tokio::main(flavor = "current_thread")] async fn main() -> Result<(), Box<dyn std::error::Error>> {
/// use pulltrace_server_lib::cluster::{
///     BoxPullEventSource, PullEventSource, PullEventUpdate, ScriptedSource,
/// };
///
/// let (source, script) = ScriptedSource::new();
/// let mut events: BoxPullEventSource = source.boxed();
/// script.try_send(PullEventUpdate::Init)?;
/// assert_eq!(events.next().await?, Some(PullEventUpdate::Init));
/// # Ok(()) }
/// ```
pub struct BoxPullEventSource(Box<dyn DynSource<PullEventUpdate>>);

impl BoxPodSource {
    pub(super) fn new(source: impl PodSource + 'static) -> Self {
        Self(Box::new(source))
    }
}

impl BoxPullEventSource {
    pub(super) fn new(source: impl PullEventSource + 'static) -> Self {
        Self(Box::new(source))
    }
}

impl PodSource for BoxPodSource {
    async fn next(&mut self) -> Result<Option<PodUpdate>, SourceError> {
        self.0.next_boxed().await
    }
}

impl PullEventSource for BoxPullEventSource {
    async fn next(&mut self) -> Result<Option<PullEventUpdate>, SourceError> {
        self.0.next_boxed().await
    }
}

impl fmt::Debug for BoxPodSource {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("BoxPodSource").finish_non_exhaustive()
    }
}

impl fmt::Debug for BoxPullEventSource {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("BoxPullEventSource").finish_non_exhaustive()
    }
}

/// Creates a source from a stream of updates, or of errors: a [`PodSource`] from [`PodUpdate`]s, a
/// [`PullEventSource`] from [`PullEventUpdate`]s. The stream is responsible for keeping the trait's
/// contract.
///
/// ```
/// # #[tokio::main(flavor = "current_thread")] async fn main() -> Result<(), Box<dyn std::error::Error>> {
/// use futures_util::stream;
/// use pulltrace_server_lib::cluster::{PodSource, PodUpdate, from_stream};
///
/// let mut pods = from_stream(stream::iter([Ok(PodUpdate::Init), Ok(PodUpdate::InitDone)]));
/// assert_eq!(pods.next().await?, Some(PodUpdate::Init));
/// assert_eq!(pods.next().await?, Some(PodUpdate::InitDone));
/// assert_eq!(pods.next().await?, None);
/// # Ok(()) }
/// ```
#[must_use]
pub fn from_stream<S>(stream: S) -> FromStream<S> {
    FromStream(Box::pin(stream))
}

/// A source that returns the items of a stream, created with [`from_stream`].
#[derive(Debug)]
pub struct FromStream<S>(Pin<Box<S>>);

impl<S> PodSource for FromStream<S>
where
    S: Stream<Item = Result<PodUpdate, SourceError>> + Send,
{
    async fn next(&mut self) -> Result<Option<PodUpdate>, SourceError> {
        poll_fn(|cx| self.0.as_mut().poll_next(cx)).await.transpose()
    }
}

impl<S> PullEventSource for FromStream<S>
where
    S: Stream<Item = Result<PullEventUpdate, SourceError>> + Send,
{
    async fn next(&mut self) -> Result<Option<PullEventUpdate>, SourceError> {
        poll_fn(|cx| self.0.as_mut().poll_next(cx)).await.transpose()
    }
}
