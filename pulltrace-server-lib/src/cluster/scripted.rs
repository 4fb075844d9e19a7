//! Sources that say what a test, or a program with a source of its own, tells them to say.

use tokio::sync::mpsc;

use super::{PodSource, PodUpdate, PullEventSource, PullEventUpdate};

/// What a script may be ahead of its source, in updates.
const CAPACITY: usize = 1_024;

/// A source that says what its [`Script`] says, and ends with it: a [`PodSource`] of [`PodUpdate`]s, a
/// [`PullEventSource`] of [`PullEventUpdate`]s. The contract of the trait is the script's to keep.
///
/// ```
/// # #[tokio::main(flavor = "current_thread")] async fn main() -> Result<(), Box<dyn std::error::Error>> {
/// use pulltrace_server_lib::cluster::{PodSource, PodUpdate, Scripted};
///
/// let (mut pods, script) = Scripted::new();
/// script.say(PodUpdate::Reset)?;
/// script.say(PodUpdate::Done)?;
/// drop(script);
/// assert_eq!(pods.next().await, Some(PodUpdate::Reset));
/// assert_eq!(pods.next().await, Some(PodUpdate::Done));
/// assert_eq!(pods.next().await, None);
/// # Ok(()) }
/// ```
#[derive(Debug)]
pub struct Scripted<U>(mpsc::Receiver<U>);

/// What tells a [`Scripted`] source what to say. Clones tell the same source.
#[derive(Debug)]
pub struct Script<U>(mpsc::Sender<U>);

/// A source that cannot be told more.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum ScriptError {
    /// 1,024 updates wait already. A retry helps once some were taken; [`Script::tell`] waits for that.
    #[error("the scripted source has 1024 updates that nobody took")]
    Full,
    /// The source is gone; a retry never helps.
    #[error("the scripted source is gone")]
    Gone,
}

impl<U> Scripted<U> {
    /// A source, and what tells it what to say.
    #[must_use]
    pub fn new() -> (Self, Script<U>) {
        let (sender, receiver) = mpsc::channel(CAPACITY);
        (Self(receiver), Script(sender))
    }
}

impl<U> Script<U> {
    /// Makes the source say this.
    ///
    /// # Errors
    /// Where the source takes no more.
    pub fn say(&self, update: U) -> Result<(), ScriptError> {
        self.0.try_send(update).map_err(|error| match error {
            mpsc::error::TrySendError::Full(_) => ScriptError::Full,
            mpsc::error::TrySendError::Closed(_) => ScriptError::Gone,
        })
    }

    /// As [`say`](Self::say), but waits where 1,024 updates wait already.
    ///
    /// # Errors
    /// Where the source is gone.
    pub async fn tell(&self, update: U) -> Result<(), ScriptError> {
        self.0.send(update).await.map_err(|_| ScriptError::Gone)
    }
}

impl<U> Clone for Script<U> {
    fn clone(&self) -> Self {
        Self(self.0.clone())
    }
}

impl PodSource for Scripted<PodUpdate> {
    async fn next(&mut self) -> Option<PodUpdate> {
        self.0.recv().await
    }
}

impl PullEventSource for Scripted<PullEventUpdate> {
    async fn next(&mut self) -> Option<PullEventUpdate> {
        self.0.recv().await
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn a_script_that_is_far_ahead_is_told_so_and_can_wait() {
        let (mut source, script) = Scripted::new();
        for _ in 0..CAPACITY {
            script.say(PodUpdate::Odd).unwrap();
        }
        assert_eq!(script.say(PodUpdate::Odd), Err(ScriptError::Full));
        let (told, taken) = tokio::join!(script.tell(PodUpdate::Done), source.next());
        assert_eq!((told, taken), (Ok(()), Some(PodUpdate::Odd)));
        drop(source);
        assert_eq!(script.say(PodUpdate::Odd), Err(ScriptError::Gone));
        assert_eq!(script.tell(PodUpdate::Odd).await, Err(ScriptError::Gone));
    }
}
