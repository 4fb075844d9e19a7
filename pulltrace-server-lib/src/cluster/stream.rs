//! Sources of the updates of a stream.

use std::future::poll_fn;
use std::pin::Pin;

use futures_core::Stream;

use super::{PodSource, PodUpdate, PullEventSource, PullEventUpdate, SourceError};

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
