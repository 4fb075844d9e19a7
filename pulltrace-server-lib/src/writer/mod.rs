//! Applies reports to the fleet and changes the table, on the task that enqueues a report, one at a
//! time.

mod error;
mod queue;
mod state;

use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use pulltrace_core::Mono;
use pulltrace_core::wire::check::AnyReport;
use pulltrace_core::wire::v1::ReportAck;
use tokio::sync::oneshot;
use tokio::time::MissedTickBehavior;

use self::queue::CombiningQueue;
use self::state::{Job, Observer, WriterState};
use crate::change::{Changes, Stats};
use crate::clock::Clock;
use crate::cluster::{PodSource, PullEventSource, SourceError};
use crate::correlate::Correlator;
use crate::fleet::Fleet;
use crate::limits::Limits;
use crate::table::{SharedTable, Table};
pub use error::IntakeError;

/// Interval of time-based changes.
const TICK: Duration = Duration::from_secs(1);

/// The task that applies time-based changes. Reports are applied while it runs.
///
/// ```
/// use pulltrace_server_lib::writer::Writer;
/// # #[tokio::main(flavor = "current_thread")]
/// # async fn main() {
/// let (writer, intake, shared) = Writer::builder().start();
/// let (stop, stopped) = tokio::sync::oneshot::channel::<()>();
/// let task = tokio::spawn(writer.run(async { stopped.await.unwrap_or_default() }));
/// // `intake.report(…)` applies reports, and `shared.read(…)` reads the pulls of all nodes.
/// assert_eq!(shared.read(|table| table.rows(None).count()), 0);
/// drop(stop);
/// task.await.unwrap();
/// # drop(intake);
/// # }
/// ```
pub struct Writer {
    state: Box<WriterState>,
    clock: Clock,
    queue: Arc<CombiningQueue>,
}

/// Builds a [`Writer`].
pub struct WriterBuilder {
    clock: Clock,
    limits: Limits,
    epoch: Option<String>,
    observer: Observer,
}

/// Accepts reports; cheap to clone.
#[derive(Clone, Debug)]
pub struct Intake {
    queue: Arc<CombiningQueue>,
    clock: Clock,
}

impl Intake {
    /// Enqueues a report and waits for the response to its agent.
    ///
    /// Cancel-safe: an enqueued report is applied even if this future is dropped.
    ///
    /// # Errors
    /// If the report was not applied.
    pub async fn report(&self, report: AnyReport) -> Result<ReportAck, IntakeError> {
        let slot = self.queue.try_reserve()?;
        let (reply, answer) = oneshot::channel();
        self.queue.push(Job::Report(Box::new(report), self.clock.now(), reply), slot)?;
        Ok(answer.await.map_err(|_| IntakeError::Stopped)??)
    }

    /// Forwards the updates of a pod source, until it ends or the server stops. The source waits
    /// while the server is busy.
    ///
    /// # Errors
    /// The error of the source.
    pub async fn forward_pods(&self, mut source: impl PodSource) -> Result<(), SourceError> {
        while let Some(update) = source.next().await? {
            if self.apply(|done| Job::Pod(Box::new(update), done)).await.is_err() {
                break;
            }
        }
        Ok(())
    }

    /// Forwards the updates of an event source, like [`forward_pods`](Self::forward_pods).
    ///
    /// # Errors
    /// The error of the source.
    pub async fn forward_events(
        &self,
        mut source: impl PullEventSource,
    ) -> Result<(), SourceError> {
        while let Some(update) = source.next().await? {
            if self.apply(|done| Job::Event(Box::new(update), done)).await.is_err() {
                break;
            }
        }
        Ok(())
    }

    /// Waits for a slot in the queue, and until the job is done.
    async fn apply(&self, job: impl FnOnce(oneshot::Sender<()>) -> Job) -> Result<(), IntakeError> {
        let slot = self.queue.reserve().await?;
        let (done, applied) = oneshot::channel();
        self.queue.push(job(done), slot)?;
        applied.await.map_err(|_| IntakeError::Stopped)
    }
}

impl WriterBuilder {
    /// Sets the bounds. Default: [`Limits::default`].
    #[must_use]
    pub const fn limits(mut self, limits: Limits) -> Self {
        self.limits = limits;
        self
    }

    /// Sets the clock. Default: the clock of this machine.
    #[must_use]
    pub const fn clock(mut self, clock: Clock) -> Self {
        self.clock = clock;
        self
    }

    /// Sets the epoch, which must differ each time the server starts and must not contain `-`.
    /// Default: derived from the start time.
    #[must_use]
    pub fn epoch(mut self, epoch: impl Into<String>) -> Self {
        self.epoch = Some(epoch.into());
        self
    }

    /// Sets a callback that gets the changes of each step and the stats after it. It must not
    /// block.
    #[must_use]
    pub fn observer(mut self, observer: impl FnMut(&Changes, &Stats) + Send + 'static) -> Self {
        self.observer = Box::new(observer);
        self
    }

    /// Returns the writer, which must be run, the intake for reports, and the shared table.
    #[must_use]
    pub fn start(self) -> (Writer, Intake, SharedTable) {
        let now = self.clock.now();
        let epoch = self.epoch.unwrap_or_else(|| format!("{:x}", now.at.unix_nanos()));
        let table = Table::new(epoch.as_str(), self.limits.tombstones);
        let shared = SharedTable::new(table);
        let queue = Arc::new(CombiningQueue::new(self.limits.queue));
        let intake = Intake { queue: Arc::clone(&queue), clock: self.clock };
        let fleet = Fleet::new(epoch, self.limits, now.at);
        let correlator = Correlator::new(self.limits);
        let state = WriterState::new(fleet, correlator, shared.clone(), self.clock, self.observer);
        (Writer { state: Box::new(state), clock: self.clock, queue }, intake, shared)
    }
}

impl Writer {
    /// Returns a builder with the default bounds and the clock of this machine.
    #[must_use]
    pub fn builder() -> WriterBuilder {
        WriterBuilder {
            clock: Clock::system(),
            limits: Limits::default(),
            epoch: None,
            observer: Box::new(|_, _| {}),
        }
    }

    /// Runs until `shutdown`, then applies the reports that are waiting.
    ///
    /// # Panics
    /// If a step of the fleet panicked, since its state is lost.
    pub async fn run(self, shutdown: impl Future<Output = ()>) {
        let Self { state, clock, queue } = self;
        let mut notify_at = state.notify_at();
        let mut shutdown = std::pin::pin!(shutdown);
        let mut tick = tokio::time::interval(TICK);
        tick.set_missed_tick_behavior(MissedTickBehavior::Delay);
        queue.start(state);
        let mut next_notify: Option<Mono> = None;
        loop {
            let rest = next_notify.map(|at| at.since(clock.now().mono));
            let job = tokio::select! {
                biased;
                () = &mut shutdown => break,
                _ = tick.tick() => Job::Tick,
                () = tokio::time::sleep(rest.unwrap_or_default()), if rest.is_some() => {
                    next_notify = None;
                    Job::Notify
                }
                Ok(()) = notify_at.changed() => {
                    next_notify = Some(*notify_at.borrow_and_update());
                    continue;
                }
            };
            queue.push_front(job);
        }
        queue.close(Job::Notify);
    }
}

impl fmt::Debug for Writer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Writer").field("fleet", self.state.fleet()).finish_non_exhaustive()
    }
}

impl fmt::Debug for WriterBuilder {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("WriterBuilder")
            .field("limits", &self.limits)
            .field("epoch", &self.epoch)
            .finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests;
