//! A source that says what a test tells it to say.

use std::time::Duration;

use pulltrace_core::{Now, Observation};
use tokio::sync::mpsc;

use crate::clock::Clock;
use crate::source::{Batch, PullSource, SourceError};

/// What a script may be ahead of its source, in batches.
const CAPACITY: usize = 1_024;

/// A [`PullSource`] that says what its [`Script`] says. It ends when the script does, or is dropped.
///
/// ```
/// # #[tokio::main(flavor = "current_thread")] async fn main() -> Result<(), Box<dyn std::error::Error>> {
/// use pulltrace_agent_lib::{Clock, source::{PullSource, ScriptedSource}};
///
/// let (mut source, script) = ScriptedSource::new(Clock::anchored("2026-11-24T20:00:00Z".parse()?));
/// script.lose()?;
/// script.end()?;
/// assert_eq!(source.next().await?.map(|batch| batch.observations.len()), Some(1));
/// assert_eq!(source.next().await?, None);
/// # Ok(()) }
/// ```
#[derive(Debug)]
pub struct ScriptedSource {
    steps: mpsc::Receiver<Step>,
    interval: Option<Duration>,
}

#[derive(Debug)]
enum Step {
    Say(Now, Vec<Observation>),
    Fail(SourceError),
    End,
}

/// What tells a [`ScriptedSource`] what to say. Clones tell the same source.
#[derive(Clone, Debug)]
pub struct Script {
    steps: mpsc::Sender<Step>,
    clock: Clock,
}

/// A source that cannot be told more.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum ScriptError {
    /// 1,024 batches wait already: nobody takes them.
    #[error("the scripted source has 1024 batches that nobody took")]
    Full,
    /// The source is gone, or has ended.
    #[error("the scripted source is gone")]
    Gone,
}

impl ScriptedSource {
    /// A source, and what tells it what to say. Batches are stamped by `clock` when they are said.
    #[must_use]
    pub fn new(clock: Clock) -> (Self, Script) {
        let (sender, receiver) = mpsc::channel(CAPACITY);
        let source = Self {
            steps: receiver,
            interval: None,
        };
        let script = Script {
            steps: sender,
            clock,
        };
        (source, script)
    }

    /// The poll interval that each batch names from now on.
    #[must_use]
    pub fn polling_each(mut self, interval: Duration) -> Self {
        self.interval = Some(interval);
        self
    }
}

impl PullSource for ScriptedSource {
    async fn next(&mut self) -> Result<Option<Batch>, SourceError> {
        match self.steps.recv().await {
            Some(Step::Say(now, observations)) => Ok(Some(Batch {
                interval: self.interval,
                ..Batch::new(now, observations)
            })),
            Some(Step::Fail(error)) => Err(error),
            Some(Step::End) | None => Ok(None),
        }
    }
}

impl Script {
    /// Makes the source say this, as seen now. Nothing is fine: time passed.
    ///
    /// # Errors
    /// Where the source takes no more.
    pub fn say(&self, observations: Vec<Observation>) -> Result<(), ScriptError> {
        self.push(Step::Say(self.clock.now(), observations))
    }

    /// Makes the source say that it sees nothing any more.
    ///
    /// # Errors
    /// Where the source takes no more.
    pub fn lose(&self) -> Result<(), ScriptError> {
        self.say(vec![Observation::SourceLost])
    }

    /// Makes the source say that it sees again.
    ///
    /// # Errors
    /// Where the source takes no more.
    pub fn back(&self) -> Result<(), ScriptError> {
        self.say(vec![Observation::SourceBack])
    }

    /// Ends the source, after all that was said before.
    ///
    /// # Errors
    /// Where the source takes no more.
    pub fn end(&self) -> Result<(), ScriptError> {
        self.push(Step::End)
    }

    /// Makes the source fail, after all that was said before.
    ///
    /// # Errors
    /// Where the source takes no more.
    pub fn fail(&self, error: SourceError) -> Result<(), ScriptError> {
        self.push(Step::Fail(error))
    }

    /// How many batches were said that nobody took yet.
    #[must_use]
    pub fn waiting(&self) -> usize {
        CAPACITY - self.steps.capacity()
    }

    fn push(&self, step: Step) -> Result<(), ScriptError> {
        self.steps.try_send(step).map_err(|error| match error {
            mpsc::error::TrySendError::Full(_) => ScriptError::Full,
            mpsc::error::TrySendError::Closed(_) => ScriptError::Gone,
        })
    }
}
