//! A source of the batches of a stream.

use std::fmt;
use std::pin::Pin;

use futures_util::{Stream, StreamExt as _};

use super::{Batch, PullSource, SourceError};

/// A [`PullSource`] of the batches of a stream; created by [`from_stream`].
pub struct FromStream<S>(Pin<Box<S>>);

/// Returns a source of the batches of a stream.
///
/// The stream follows the rules of [`PullSource`]. It is cancel-safe in any case: a stream keeps
/// its state when a call of `next` is dropped.
///
/// ```
/// # #[tokio::main] async fn main() -> Result<(), Box<dyn std::error::Error>> {
/// use futures_util::stream;
/// use pulltrace_agent_lib::Clock;
/// use pulltrace_agent_lib::source::{self, Batch, PullSource};
///
/// let batch = Batch::new(Clock::system().now(), Vec::new());
/// let mut source = source::from_stream(stream::iter([Ok(batch.clone())]));
/// assert_eq!(source.next().await?, Some(batch));
/// assert_eq!(source.next().await?, None);
/// # Ok(()) }
/// ```
pub fn from_stream<S>(stream: S) -> FromStream<S>
where
    S: Stream<Item = Result<Batch, SourceError>> + Send,
{
    FromStream(Box::pin(stream))
}

impl<S> PullSource for FromStream<S>
where
    S: Stream<Item = Result<Batch, SourceError>> + Send,
{
    async fn next(&mut self) -> Result<Option<Batch>, SourceError> {
        self.0.next().await.transpose()
    }
}

impl<S> fmt::Debug for FromStream<S> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("FromStream").finish_non_exhaustive()
    }
}
