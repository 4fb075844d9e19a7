//! A source controlled by a test.

use std::time::Duration;

use pulltrace_core::{Now, Observation};
use tokio::sync::mpsc;

use crate::clock::Clock;
use crate::source::{Batch, PullSource, SourceError};

/// The maximum number of queued batches.
const CAPACITY: usize = 1_024;

/// A [`PullSource`] that returns the batches of its [`Script`]. It ends when told to or when the
/// script is dropped.
///
/// ```
/// # #[tokio::main(flavor = "current_thread")] async fn main() -> Result<(), Box<dyn std::error::Error>> {
/// use pulltrace_agent_lib::{Clock, source::{PullSource, ScriptedSource}};
///
/// let (mut source, script) = ScriptedSource::new(Clock::anchored("2026-11-24T20:00:00Z".parse()?));
/// script.disconnect()?;
/// script.end()?;
/// assert_eq!(source.next().await?.map(|batch| batch.observations.len()), Some(1));
/// assert_eq!(source.next().await?, None);
/// # Ok(()) }
/// ```
#[derive(Debug)]
pub struct ScriptedSource {
    commands: mpsc::Receiver<Command>,
    poll_interval: Option<Duration>,
}

#[derive(Debug)]
enum Command {
    Emit(Now, Vec<Observation>),
    Fail(SourceError),
    End,
}

/// Controls a [`ScriptedSource`]. Clones control the same source.
#[derive(Clone, Debug)]
pub struct Script {
    commands: mpsc::Sender<Command>,
    clock: Clock,
}

/// A command that the source did not accept.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum ScriptError {
    /// 1,024 batches are queued. A retry helps once some were received.
    #[error("the scripted source has 1024 queued batches")]
    Full,
    /// The source was dropped. A retry does not help.
    #[error("the scripted source was dropped")]
    Closed,
}

impl ScriptedSource {
    /// Creates a source and its script. Batches get the time of `clock` when they are emitted.
    #[must_use]
    pub fn new(clock: Clock) -> (Self, Script) {
        let (sender, receiver) = mpsc::channel(CAPACITY);
        let source = Self { commands: receiver, poll_interval: None };
        let script = Script { commands: sender, clock };
        (source, script)
    }

    /// Sets the poll interval of all batches.
    #[must_use]
    pub fn with_poll_interval(mut self, interval: Duration) -> Self {
        self.poll_interval = Some(interval);
        self
    }
}

impl PullSource for ScriptedSource {
    async fn next(&mut self) -> Result<Option<Batch>, SourceError> {
        match self.commands.recv().await {
            Some(Command::Emit(now, observations)) => Ok(Some(Batch {
                poll_interval: self.poll_interval,
                ..Batch::new(now, observations)
            })),
            Some(Command::Fail(error)) => Err(error),
            Some(Command::End) | None => Ok(None),
        }
    }
}

impl Script {
    /// Emits a batch with the current time. Without observations it only means that time passed.
    ///
    /// # Errors
    /// Returns an error if the queue is full or the source was dropped.
    pub fn emit(&self, observations: Vec<Observation>) -> Result<(), ScriptError> {
        self.send(Command::Emit(self.clock.now(), observations))
    }

    /// Emits [`Observation::SourceLost`].
    ///
    /// # Errors
    /// Returns an error if the queue is full or the source was dropped.
    pub fn disconnect(&self) -> Result<(), ScriptError> {
        self.emit(vec![Observation::SourceLost])
    }

    /// Emits [`Observation::SourceRecovered`].
    ///
    /// # Errors
    /// Returns an error if the queue is full or the source was dropped.
    pub fn reconnect(&self) -> Result<(), ScriptError> {
        self.emit(vec![Observation::SourceRecovered])
    }

    /// Ends the source after the queued batches.
    ///
    /// # Errors
    /// Returns an error if the queue is full or the source was dropped.
    pub fn end(&self) -> Result<(), ScriptError> {
        self.send(Command::End)
    }

    /// Fails the source after the queued batches.
    ///
    /// # Errors
    /// Returns an error if the queue is full or the source was dropped.
    pub fn fail(&self, error: SourceError) -> Result<(), ScriptError> {
        self.send(Command::Fail(error))
    }

    /// Returns the number of queued batches.
    #[must_use]
    pub fn pending(&self) -> usize {
        CAPACITY - self.commands.capacity()
    }

    fn send(&self, step: Command) -> Result<(), ScriptError> {
        self.commands.try_send(step).map_err(|error| match error {
            mpsc::error::TrySendError::Full(_) => ScriptError::Full,
            mpsc::error::TrySendError::Closed(_) => ScriptError::Closed,
        })
    }
}
