//! What every [`PullSource`] must keep, as a test of any of them.
//!
//! [`driven`] is for sources whose runtime a test can command, [`finite`] for those that end by
//! themselves and always say the same, such as a replay. Both return the first broken [`Rule`].

mod watcher;

use std::fmt;
use std::time::Duration;

use pulltrace_core::Evidence;

use self::watcher::{Patience, Watcher};
use crate::source::{Batch, PullSource};

/// A runtime that a test can command, and sources that watch it.
///
/// Pulls are counted by the suite: each number is begun once, and is a pull of an image of its own
/// that is not on the node. It must go on until it is finished or abandoned.
pub trait Rig {
    /// The sources under test.
    type Source: PullSource;
    /// What the rig itself may fail with.
    type Error: std::error::Error + Send + Sync + 'static;

    /// How long the source may take to show what happened. A bound of patience, not a measure.
    fn patience(&self) -> Duration {
        Duration::from_secs(30)
    }

    /// A new source that watches the runtime. An earlier one may be dropped by then.
    fn source(&mut self) -> impl Future<Output = Result<Self::Source, Self::Error>>;

    /// Begins a pull that goes on.
    fn begin(&mut self, pull: u32) -> impl Future<Output = Result<(), Self::Error>>;

    /// Lets a pull end well: its image is there afterwards.
    fn finish(&mut self, pull: u32) -> impl Future<Output = Result<(), Self::Error>>;

    /// Lets a pull end badly: its image is not there afterwards.
    fn abandon(&mut self, pull: u32) -> impl Future<Output = Result<(), Self::Error>>;

    /// Takes the runtime out of the source's sight, while its pulls go on.
    fn lose(&mut self) -> impl Future<Output = Result<(), Self::Error>>;

    /// Gives it back.
    fn restore(&mut self) -> impl Future<Output = Result<(), Self::Error>>;
}

/// A rule of the contract of [`PullSource`]. Its text says what must hold.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
#[non_exhaustive]
pub enum Rule {
    /// What happens is seen.
    Seen,
    /// Batches come in the order of their `now`.
    Order,
    /// A dropped `next` has taken nothing.
    CancelSafe,
    /// A pull ends with evidence only.
    Evidence,
    /// What ended stays as it ended.
    EndIsFinal,
    /// An outage is told, and ends nothing.
    Outage,
    /// The first batch that is not partial comes after all that is going on was said.
    Beginning,
    /// A pull keeps its id.
    Names,
    /// Nothing is said that cannot be true.
    Coherent,
    /// The source goes on, and does not fail.
    GoesOn,
}

impl fmt::Display for Rule {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(match self {
            Self::Seen => "what happens is seen",
            Self::Order => "batches come in the order of their time",
            Self::CancelSafe => "a dropped `next` has taken nothing",
            Self::Evidence => "a pull ends with evidence only",
            Self::EndIsFinal => "what ended stays as it ended",
            Self::Outage => "an outage is told, and ends nothing",
            Self::Beginning => "batches are partial until all that goes on was said",
            Self::Names => "a pull keeps its id",
            Self::Coherent => "nothing is said that cannot be true",
            Self::GoesOn => "the source goes on, and does not fail",
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

/// Checks the sources of a rig. It needs a tokio runtime with time; a paused one will do.
///
/// # Errors
/// The first rule that was broken.
pub async fn driven<R: Rig>(rig: &mut R) -> Result<(), Violation> {
    completes(rig, "a pull that completes", 1, Patience::Waits).await?;
    completes(
        rig,
        "a pull seen by a caller that drops `next`",
        2,
        Patience::Drops,
    )
    .await?;
    vanishes(rig).await?;
    outage(rig).await?;
    anew(rig).await
}

async fn completes<R: Rig>(
    rig: &mut R,
    during: &'static str,
    pull: u32,
    patience: Patience,
) -> Result<(), Violation> {
    let mut watcher = watch(rig, during, patience).await?;
    did(during, rig.begin(pull).await)?;
    let id = watcher.until_begun().await?;
    watcher.expect_nothing_ends().await?;
    did(during, rig.finish(pull).await)?;
    watcher.until_completed(&id).await?;
    watcher.expect_nothing_returns().await
}

async fn vanishes<R: Rig>(rig: &mut R) -> Result<(), Violation> {
    let during = "a pull that ends without its image";
    let mut watcher = watch(rig, during, Patience::Waits).await?;
    did(during, rig.begin(3).await)?;
    let id = watcher.until_begun().await?;
    did(during, rig.abandon(3).await)?;
    if watcher.until_ended(&id).await? == Evidence::ImagePresent {
        let what = format!("the image of pull {id} is not there, and was said to be");
        return Err(watcher.broken(Rule::Evidence, what));
    }
    watcher.expect_nothing_returns().await
}

async fn outage<R: Rig>(rig: &mut R) -> Result<(), Violation> {
    let during = "an outage while a pull goes on";
    let mut watcher = watch(rig, during, Patience::Waits).await?;
    did(during, rig.begin(4).await)?;
    let id = watcher.until_begun().await?;
    did(during, rig.lose().await)?;
    watcher.until_lost().await?;
    did(during, rig.restore().await)?;
    watcher.until_back().await?;
    watcher.expect_nothing_ends().await?;
    did(during, rig.finish(4).await)?;
    watcher.until_completed(&id).await?;
    watcher.expect_nothing_returns().await
}

async fn anew<R: Rig>(rig: &mut R) -> Result<(), Violation> {
    let during = "a source made anew while a pull goes on";
    let mut first = watch(rig, during, Patience::Waits).await?;
    did(during, rig.begin(5).await)?;
    let id = first.until_begun().await?;
    drop(first);
    let mut second = watch(rig, during, Patience::Waits).await?;
    second.expect_beginning(&id).await?;
    did(during, rig.finish(5).await)?;
    second.until_completed(&id).await?;
    second.expect_nothing_returns().await
}

async fn watch<R: Rig>(
    rig: &mut R,
    during: &'static str,
    patience: Patience,
) -> Result<Watcher<R::Source>, Violation> {
    let source = did(during, rig.source().await)?;
    Ok(Watcher::new(source, during, patience, rig.patience()))
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

/// Checks a source that ends by itself and says the same each time that it is made, and returns what
/// it said. `patience` is how long one batch may take.
///
/// # Errors
/// The first rule that was broken.
pub async fn finite<S: PullSource>(
    mut make: impl FnMut() -> S,
    patience: Duration,
) -> Result<Vec<Batch>, Violation> {
    let during = "a source awaited to its end";
    let said = Watcher::new(make(), during, Patience::Waits, patience)
        .until_over()
        .await?;
    let during = "the same source seen by a caller that drops `next`";
    let mut dropping = Watcher::new(make(), during, Patience::Drops, patience);
    let again = dropping.until_over().await?;
    let differs = (0..said.len().max(again.len())).find(|i| {
        // Times may differ: each was seen when it was.
        said.get(*i).map(|batch| &batch.observations) != again.get(*i).map(|b| &b.observations)
    });
    match differs {
        None => Ok(said),
        Some(index) => Err(dropping.broken(
            Rule::CancelSafe,
            format!("batch {index} of {} is another one, or missing", said.len()),
        )),
    }
}
