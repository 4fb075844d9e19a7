//! What every [`PodSource`] and every [`PullEventSource`] must keep, as a test of any of them.
//!
//! [`pods`] and [`pull_events`] take a cluster that a test can command, and return the first broken [`Rule`].

mod watcher;

use std::fmt;
use std::time::Duration;

use self::watcher::{Events, Pods, Speaks, Watcher};
use crate::cluster::{PodSource, PullEventSource};

/// A cluster that a test can command, and sources that watch it.
///
/// Its things, pods or events, are counted by the suite: each number is made once. A pod has a node and does
/// not finish; an event is of a kubelet and of an image.
pub trait Rig {
    /// The sources under test.
    type Source: Send + 'static;
    /// What the rig itself may fail with.
    type Error: std::error::Error + Send + Sync + 'static;

    /// How long the source may take to say what happened. A bound of patience, not a measure.
    fn patience(&self) -> Duration {
        Duration::from_secs(30)
    }

    /// A new source that watches the cluster. An earlier one may be dropped by then.
    fn source(&mut self) -> impl Future<Output = Result<Self::Source, Self::Error>>;

    /// Makes a thing, and says what sources know it by: the uid of a pod, the name of an event.
    fn make(&mut self, thing: u32) -> impl Future<Output = Result<String, Self::Error>>;

    /// Changes a thing: the status of a pod, the count of an event.
    fn change(&mut self, thing: u32) -> impl Future<Output = Result<(), Self::Error>>;

    /// Deletes a thing.
    fn remove(&mut self, thing: u32) -> impl Future<Output = Result<(), Self::Error>>;

    /// Takes the cluster out of the source's sight, where it still can be made to change.
    fn lose(&mut self) -> impl Future<Output = Result<(), Self::Error>>;

    /// Gives it back: with a gap that cannot be closed, or without.
    fn restore(&mut self, gap: bool) -> impl Future<Output = Result<(), Self::Error>>;
}

/// A rule of the contract of sources. Its text says what must hold.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
#[non_exhaustive]
pub enum Rule {
    /// What is there is said, what happens is said, and what is gone is not there.
    Truth,
    /// `Reset`, what is there, `Done`, what changes.
    Order,
    /// At the first `Done` all that was there has been said.
    Beginning,
    /// A dropped `next` has taken nothing.
    CancelSafe,
    /// An outage is told once, and its end by `Done`.
    Outage,
    /// The source goes on.
    GoesOn,
}

impl fmt::Display for Rule {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(match self {
            Self::Truth => "what is said is what is there",
            Self::Order => "`Reset`, what is there, `Done`, what changes",
            Self::Beginning => "at the first `Done` all that was there has been said",
            Self::CancelSafe => "a dropped `next` has taken nothing",
            Self::Outage => "an outage is told once, and its end by `Done`",
            Self::GoesOn => "the source goes on",
        })
    }
}

/// A source that broke a rule, or a rig that could not do its part.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum Violation {
    /// The source broke a rule.
    #[error("{during}: the source broke the rule \"{rule}\": {what}")]
    Broken {
        /// Which.
        rule: Rule,
        /// What was being tried.
        during: &'static str,
        /// What was seen.
        what: String,
    },
    /// The rig failed: nothing is known of the source.
    #[error("{during}: the rig could not do its part")]
    Rig {
        /// What was being tried.
        during: &'static str,
        /// What failed.
        #[source]
        source: Box<dyn std::error::Error + Send + Sync>,
    },
}

impl Violation {
    /// The broken rule; `None` where the rig failed.
    #[must_use]
    pub const fn rule(&self) -> Option<Rule> {
        match self {
            Self::Broken { rule, .. } => Some(*rule),
            Self::Rig { .. } => None,
        }
    }
}

/// Checks the sources of pods of a rig. It needs a tokio runtime with time; a paused one will do.
///
/// # Errors
/// The first rule that was broken.
pub async fn pods<R: Rig>(rig: &mut R) -> Result<(), Violation>
where
    R::Source: PodSource,
{
    all(rig, Pods).await
}

/// Checks the sources of events of a rig. It needs a tokio runtime with time; a paused one will do.
///
/// # Errors
/// The first rule that was broken.
pub async fn pull_events<R: Rig>(rig: &mut R) -> Result<(), Violation>
where
    R::Source: PullEventSource,
{
    all(rig, Events).await
}

async fn all<R: Rig, K: Speaks<R::Source>>(
    rig: &mut R,
    kind: fn(R::Source) -> K,
) -> Result<(), Violation> {
    follows(rig, kind, "a source that is followed", 0, false).await?;
    follows(rig, kind, "a source whose `next` is dropped", 10, true).await?;
    outage(rig, kind, "an outage without a gap", 20, false).await?;
    outage(rig, kind, "an outage with a gap", 30, true).await
}

/// Things from before the source, and while it is followed.
async fn follows<R: Rig, K: Speaks<R::Source>>(
    rig: &mut R,
    kind: fn(R::Source) -> K,
    during: &'static str,
    base: u32,
    drops: bool,
) -> Result<(), Violation> {
    let old = did(during, rig.make(base).await)?;
    let changed = did(during, rig.make(base + 1).await)?;
    let mut watcher = watch(rig, kind, during, drops).await?;
    watcher.until_done().await?;
    watcher.expect_known(&[&old, &changed])?;
    did(during, rig.change(base + 1).await)?;
    watcher.until_applied(&changed).await?;
    let new = did(during, rig.make(base + 2).await)?;
    watcher.until_applied(&new).await?;
    did(during, rig.remove(base).await)?;
    watcher.until_gone(&old).await?;
    // Whatever else it would say of what is gone, it says before this.
    did(during, rig.change(base + 2).await)?;
    watcher.until_applied(&new).await?;
    watcher.expect_known(&[&changed, &new])
}

async fn outage<R: Rig, K: Speaks<R::Source>>(
    rig: &mut R,
    kind: fn(R::Source) -> K,
    during: &'static str,
    base: u32,
    gap: bool,
) -> Result<(), Violation> {
    let gone = did(during, rig.make(base).await)?;
    let kept = did(during, rig.make(base + 1).await)?;
    let mut watcher = watch(rig, kind, during, false).await?;
    watcher.until_done().await?;
    did(during, rig.lose().await)?;
    watcher.until_trouble().await?;
    did(during, rig.remove(base).await)?;
    let new = did(during, rig.make(base + 2).await)?;
    did(during, rig.restore(gap).await)?;
    watcher.until_done().await?;
    watcher.until_known(&new).await?;
    watcher.until_gone(&gone).await?;
    watcher.expect_known(&[&kept, &new])?;
    did(during, rig.change(base + 1).await)?;
    watcher.until_applied(&kept).await
}

async fn watch<R: Rig, K: Speaks<R::Source>>(
    rig: &mut R,
    kind: fn(R::Source) -> K,
    during: &'static str,
    drops: bool,
) -> Result<Watcher<K>, Violation> {
    let source = did(during, rig.source().await)?;
    Ok(Watcher::new(kind(source), during, drops, rig.patience()))
}

fn did<T, E>(during: &'static str, result: Result<T, E>) -> Result<T, Violation>
where
    E: std::error::Error + Send + Sync + 'static,
{
    result.map_err(|error| Violation::Rig {
        during,
        source: Box::new(error),
    })
}
