//! A conformance suite for implementations of [`PodSource`] and [`PullEventSource`].
//!
//! [`pods`] and [`pull_events`] take a cluster controlled by the test and return the first broken
//! [`Rule`].

mod checker;
mod violation;

use std::time::Duration;

use self::checker::{ContractChecker, EventUpdates, PodUpdates, UpdateSource};
use crate::cluster::{PodSource, PullEventSource};

pub use violation::{Rule, Violation};

/// A cluster controlled by the test, and sources that watch it.
///
/// The suite numbers the cluster's objects (pods or events) and creates each number once. Pods must
/// be assigned to a node and not finish; events must be from a kubelet and about an image.
pub trait Rig {
    /// The source under test.
    type Source: Send + 'static;
    /// The error of the rig itself.
    type Error: std::error::Error + Send + Sync + 'static;

    /// Timeout for an update from the source. This is a safety limit, not a requirement.
    fn timeout(&self) -> Duration {
        Duration::from_secs(30)
    }

    /// Creates a source that watches the cluster. The previous one may have been dropped.
    fn source(&mut self) -> impl Future<Output = Result<Self::Source, Self::Error>>;

    /// Creates an object and returns its key in the source's updates: the uid of a pod, the name of
    /// an event.
    fn make(&mut self, thing: u32) -> impl Future<Output = Result<String, Self::Error>>;

    /// Changes an object: the status of a pod, the count of an event.
    fn change(&mut self, thing: u32) -> impl Future<Output = Result<(), Self::Error>>;

    /// Deletes an object.
    fn remove(&mut self, thing: u32) -> impl Future<Output = Result<(), Self::Error>>;

    /// Disconnects the source from the cluster, which can still be changed.
    fn lose(&mut self) -> impl Future<Output = Result<(), Self::Error>>;

    /// Reconnects the source, with a gap that cannot be closed or without one.
    fn restore(&mut self, gap: bool) -> impl Future<Output = Result<(), Self::Error>>;
}

/// Checks the pod sources of a rig. Requires a tokio runtime with time, which may be paused.
///
/// # Errors
/// Returns the first violation.
pub async fn pods<R: Rig>(rig: &mut R) -> Result<(), Violation>
where
    R::Source: PodSource,
{
    check_all(rig, PodUpdates).await
}

/// Checks the event sources of a rig. Requires a tokio runtime with time, which may be paused.
///
/// # Errors
/// Returns the first violation.
pub async fn pull_events<R: Rig>(rig: &mut R) -> Result<(), Violation>
where
    R::Source: PullEventSource,
{
    check_all(rig, EventUpdates).await
}

async fn check_all<R: Rig, K: UpdateSource<R::Source>>(
    rig: &mut R,
    kind: fn(R::Source) -> K,
) -> Result<(), Violation> {
    check_updates(rig, kind, "following a source", 0, false).await?;
    check_updates(rig, kind, "dropping `next`", 10, true).await?;
    check_outage(rig, kind, "an outage without a gap", 20, false).await?;
    check_outage(rig, kind, "an outage with a gap", 30, true).await
}

/// Objects that exist before the source, and changes while it is followed.
async fn check_updates<R: Rig, K: UpdateSource<R::Source>>(
    rig: &mut R,
    kind: fn(R::Source) -> K,
    during: &'static str,
    base: u32,
    drops: bool,
) -> Result<(), Violation> {
    let old = rig_result(during, rig.make(base).await)?;
    let changed = rig_result(during, rig.make(base + 1).await)?;
    let mut watcher = start_checker(rig, kind, during, drops).await?;
    watcher.wait_for_init_done().await?;
    watcher.expect_known(&[&old, &changed])?;
    rig_result(during, rig.change(base + 1).await)?;
    watcher.wait_for_apply(&changed).await?;
    let new = rig_result(during, rig.make(base + 2).await)?;
    watcher.wait_for_apply(&new).await?;
    rig_result(during, rig.remove(base).await)?;
    watcher.wait_for_delete(&old).await?;
    // Any late update about the deleted object would be sent before this change.
    rig_result(during, rig.change(base + 2).await)?;
    watcher.wait_for_apply(&new).await?;
    watcher.expect_known(&[&changed, &new])
}

async fn check_outage<R: Rig, K: UpdateSource<R::Source>>(
    rig: &mut R,
    kind: fn(R::Source) -> K,
    during: &'static str,
    base: u32,
    gap: bool,
) -> Result<(), Violation> {
    let gone = rig_result(during, rig.make(base).await)?;
    let kept = rig_result(during, rig.make(base + 1).await)?;
    let mut watcher = start_checker(rig, kind, during, false).await?;
    watcher.wait_for_init_done().await?;
    rig_result(during, rig.lose().await)?;
    watcher.wait_for_failure().await?;
    rig_result(during, rig.remove(base).await)?;
    let new = rig_result(during, rig.make(base + 2).await)?;
    rig_result(during, rig.restore(gap).await)?;
    watcher.wait_for_init_done().await?;
    watcher.wait_for_known(&new).await?;
    watcher.wait_for_delete(&gone).await?;
    watcher.expect_known(&[&kept, &new])?;
    rig_result(during, rig.change(base + 1).await)?;
    watcher.wait_for_apply(&kept).await
}

async fn start_checker<R: Rig, K: UpdateSource<R::Source>>(
    rig: &mut R,
    kind: fn(R::Source) -> K,
    during: &'static str,
    drops: bool,
) -> Result<ContractChecker<K>, Violation> {
    let source = rig_result(during, rig.source().await)?;
    Ok(ContractChecker::new(kind(source), during, drops, rig.timeout()))
}

fn rig_result<T, E>(during: &'static str, result: Result<T, E>) -> Result<T, Violation>
where
    E: std::error::Error + Send + Sync + 'static,
{
    result.map_err(|error| Violation::Rig { during, source: Box::new(error) })
}
