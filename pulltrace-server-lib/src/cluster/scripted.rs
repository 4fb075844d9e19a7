//! A source controlled by a test, or by a program with its own source of updates.

use tokio::sync::mpsc;

use super::{PodSource, PodUpdate, PullEventSource, PullEventUpdate, SourceError};

/// Maximum number of updates queued between the handle and its source.
const CAPACITY: usize = 1_024;

/// A source that returns the updates sent through its [`ScriptHandle`], and ends when all handles
/// are dropped: a [`PodSource`] of [`PodUpdate`]s, a [`PullEventSource`] of [`PullEventUpdate`]s.
/// The sender is responsible for keeping the trait's contract.
///
/// ```
/// # #[tokio::main(flavor = "current_thread")] async fn main() -> Result<(), Box<dyn std::error::Error>> {
/// use pulltrace_server_lib::cluster::{PodSource, PodUpdate, ScriptedSource};
///
/// let (mut pods, script) = ScriptedSource::new();
/// script.try_send(PodUpdate::Init)?;
/// script.try_send(PodUpdate::InitDone)?;
/// drop(script);
/// assert_eq!(pods.next().await?, Some(PodUpdate::Init));
/// assert_eq!(pods.next().await?, Some(PodUpdate::InitDone));
/// assert_eq!(pods.next().await?, None);
/// # Ok(()) }
/// ```
#[derive(Debug)]
pub struct ScriptedSource<U>(mpsc::Receiver<Result<U, SourceError>>);

/// Sends updates to a [`ScriptedSource`]. Clones send to the same source.
#[derive(Debug)]
pub struct ScriptHandle<U>(mpsc::Sender<Result<U, SourceError>>);

/// A failure to send an update.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum ScriptError {
    /// The queue has 1,024 updates. A retry helps once some were received; [`ScriptHandle::send`]
    /// waits for that.
    #[error("the queue of the scripted source is full (1024 updates)")]
    Full,
    /// The source was dropped. A retry does not help.
    #[error("the scripted source was dropped")]
    Closed,
}

impl<U> ScriptedSource<U> {
    /// Creates a source and its handle.
    #[must_use]
    pub fn new() -> (Self, ScriptHandle<U>) {
        let (sender, receiver) = mpsc::channel(CAPACITY);
        (Self(receiver), ScriptHandle(sender))
    }
}

impl<U> ScriptHandle<U> {
    /// Sends an update.
    ///
    /// # Errors
    /// Fails if the queue is full or the source was dropped.
    pub fn try_send(&self, update: U) -> Result<(), ScriptError> {
        self.try_send_result(Ok(update))
    }

    /// Makes the source fail after the queued updates.
    ///
    /// # Errors
    /// Fails if the queue is full or the source was dropped.
    pub fn fail(&self, error: SourceError) -> Result<(), ScriptError> {
        self.try_send_result(Err(error))
    }

    fn try_send_result(&self, result: Result<U, SourceError>) -> Result<(), ScriptError> {
        self.0.try_send(result).map_err(|error| match error {
            mpsc::error::TrySendError::Full(_) => ScriptError::Full,
            mpsc::error::TrySendError::Closed(_) => ScriptError::Closed,
        })
    }

    /// Like [`try_send`](Self::try_send), but waits while the queue is full.
    ///
    /// # Errors
    /// Fails if the source was dropped.
    pub async fn send(&self, update: U) -> Result<(), ScriptError> {
        self.0.send(Ok(update)).await.map_err(|_| ScriptError::Closed)
    }
}

impl<U> Clone for ScriptHandle<U> {
    fn clone(&self) -> Self {
        Self(self.0.clone())
    }
}

impl PodSource for ScriptedSource<PodUpdate> {
    async fn next(&mut self) -> Result<Option<PodUpdate>, SourceError> {
        self.0.recv().await.transpose()
    }
}

impl PullEventSource for ScriptedSource<PullEventUpdate> {
    async fn next(&mut self) -> Result<Option<PullEventUpdate>, SourceError> {
        self.0.recv().await.transpose()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn script_handle_applies_backpressure_and_detects_closed_source() {
        let (mut source, script) = ScriptedSource::new();
        for _ in 0..CAPACITY {
            script.try_send(PodUpdate::Malformed).unwrap();
        }
        assert_eq!(script.try_send(PodUpdate::Malformed), Err(ScriptError::Full));
        let (sent, received) = tokio::join!(script.send(PodUpdate::InitDone), source.next());
        assert_eq!((sent, received.unwrap()), (Ok(()), Some(PodUpdate::Malformed)));
        drop(source);
        assert_eq!(script.try_send(PodUpdate::Malformed), Err(ScriptError::Closed));
        assert_eq!(script.send(PodUpdate::Malformed).await, Err(ScriptError::Closed));
    }
}
