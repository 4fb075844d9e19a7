//! A conformance test suite for [`PullSource`] implementations.
//!
//! [`check`] tests sources whose runtime the test controls, [`check_finite`] sources that end by
//! themselves and always return the same batches, such as a replay. Both return the first violated
//! [`Rule`].

mod violation;
mod watcher;

use std::time::Duration;

use pulltrace_core::EndEvidence;

pub use self::violation::{Rule, Violation};
use self::watcher::{CallMode, Watcher};
use crate::source::{Batch, PullSource};

/// A runtime controlled by the suite, and sources that watch it.
///
/// The suite numbers its pulls and starts each number once. Each pull must be of a different image
/// that is not present on the node, and must continue until the suite completes or fails it.
pub trait TestRuntime {
    /// The source under test.
    type Source: PullSource;
    /// The error type of the runtime itself.
    type Error: std::error::Error + Send + Sync + 'static;

    /// Returns how long to wait for an expected observation. Default: 30 s.
    fn timeout(&self) -> Duration {
        Duration::from_secs(30)
    }

    /// Creates a new source that watches the runtime. An earlier one may have been dropped.
    fn source(&mut self) -> impl Future<Output = Result<Self::Source, Self::Error>>;

    /// Starts a pull that keeps running.
    fn start_pull(&mut self, pull: u32) -> impl Future<Output = Result<(), Self::Error>>;

    /// Completes a pull. Its image is present afterwards.
    fn complete_pull(&mut self, pull: u32) -> impl Future<Output = Result<(), Self::Error>>;

    /// Fails a pull. Its image is absent afterwards.
    fn fail_pull(&mut self, pull: u32) -> impl Future<Output = Result<(), Self::Error>>;

    /// Disconnects the source from the runtime while the pulls continue.
    fn disconnect(&mut self) -> impl Future<Output = Result<(), Self::Error>>;

    /// Reconnects the source.
    fn reconnect(&mut self) -> impl Future<Output = Result<(), Self::Error>>;
}

/// Tests the sources of a runtime. Requires a tokio runtime with time enabled; paused time is
/// supported.
///
/// # Errors
/// Returns the first violation.
pub async fn check<R: TestRuntime>(runtime: &mut R) -> Result<(), Violation> {
    check_completed_pull(runtime, "completed pull", 1, CallMode::Await).await?;
    check_completed_pull(
        runtime,
        "completed pull with dropped `next` calls",
        2,
        CallMode::DropOnPending,
    )
    .await?;
    check_failed_pull(runtime).await?;
    check_outage(runtime).await?;
    check_restarted_source(runtime).await
}

async fn check_completed_pull<R: TestRuntime>(
    runtime: &mut R,
    during: &'static str,
    pull: u32,
    mode: CallMode,
) -> Result<(), Violation> {
    let mut watcher = new_watcher(runtime, during, mode).await?;
    runtime_result(during, runtime.start_pull(pull).await)?;
    let id = watcher.wait_for_start().await?;
    watcher.expect_no_end().await?;
    runtime_result(during, runtime.complete_pull(pull).await)?;
    watcher.wait_for_completion(&id).await?;
    watcher.expect_no_start().await
}

async fn check_failed_pull<R: TestRuntime>(runtime: &mut R) -> Result<(), Violation> {
    let during = "pull that ends without its image";
    let mut watcher = new_watcher(runtime, during, CallMode::Await).await?;
    runtime_result(during, runtime.start_pull(3).await)?;
    let id = watcher.wait_for_start().await?;
    runtime_result(during, runtime.fail_pull(3).await)?;
    if watcher.wait_for_end(&id).await? == EndEvidence::ImagePresent {
        let what = format!("the image of pull {id} is absent but was reported as present");
        return Err(watcher.violation(Rule::Evidence, what));
    }
    watcher.expect_no_start().await
}

async fn check_outage<R: TestRuntime>(runtime: &mut R) -> Result<(), Violation> {
    let during = "outage during a pull";
    let mut watcher = new_watcher(runtime, during, CallMode::Await).await?;
    runtime_result(during, runtime.start_pull(4).await)?;
    let id = watcher.wait_for_start().await?;
    runtime_result(during, runtime.disconnect().await)?;
    watcher.wait_for_disconnect().await?;
    runtime_result(during, runtime.reconnect().await)?;
    watcher.wait_for_reconnect().await?;
    watcher.expect_no_end().await?;
    runtime_result(during, runtime.complete_pull(4).await)?;
    watcher.wait_for_completion(&id).await?;
    watcher.expect_no_start().await
}

async fn check_restarted_source<R: TestRuntime>(runtime: &mut R) -> Result<(), Violation> {
    let during = "new source during a pull";
    let mut first = new_watcher(runtime, during, CallMode::Await).await?;
    runtime_result(during, runtime.start_pull(5).await)?;
    let id = first.wait_for_start().await?;
    drop(first);
    let mut second = new_watcher(runtime, during, CallMode::Await).await?;
    second.expect_in_initial_sync(&id).await?;
    runtime_result(during, runtime.complete_pull(5).await)?;
    second.wait_for_completion(&id).await?;
    second.expect_no_start().await
}

async fn new_watcher<R: TestRuntime>(
    runtime: &mut R,
    during: &'static str,
    patience: CallMode,
) -> Result<Watcher<R::Source>, Violation> {
    let source = runtime_result(during, runtime.source().await)?;
    Ok(Watcher::new(source, during, patience, runtime.timeout()))
}

fn runtime_result<T, E>(during: &'static str, result: Result<T, E>) -> Result<T, Violation>
where
    E: std::error::Error + Send + Sync + 'static,
{
    result.map_err(|error| Violation::Runtime { during, source: Box::new(error) })
}

/// Tests a source that ends by itself and returns the same batches each time it is created. Returns
/// the batches. `timeout` applies to each batch.
///
/// # Errors
/// Returns the first violation.
pub async fn check_finite<S: PullSource>(
    mut new_source: impl FnMut() -> S,
    timeout: Duration,
) -> Result<Vec<Batch>, Violation> {
    let during = "finite source";
    let batches =
        Watcher::new(new_source(), during, CallMode::Await, timeout).collect_batches().await?;
    let during = "finite source with dropped `next` calls";
    let mut dropping = Watcher::new(new_source(), during, CallMode::DropOnPending, timeout);
    let again = dropping.collect_batches().await?;
    let differs = (0..batches.len().max(again.len())).find(|i| {
        // The times of the batches may differ.
        batches.get(*i).map(|batch| &batch.observations) != again.get(*i).map(|b| &b.observations)
    });
    match differs {
        None => Ok(batches),
        Some(index) => Err(dropping.violation(
            Rule::CancelSafe,
            format!("batch {index} of {} differs or is missing", batches.len()),
        )),
    }
}
