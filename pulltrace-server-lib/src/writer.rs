//! Applies reports to the fleet and changes the table, on the task that enqueues a report, one at a
//! time.

mod error;

use std::collections::VecDeque;
use std::fmt;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use pulltrace_core::Mono;
use pulltrace_core::wire::check::AnyReport;
use pulltrace_core::wire::v1::ReportAck;
use tokio::sync::{oneshot, watch};
use tokio::time::MissedTickBehavior;

use crate::change::{Changes, Stats};
use crate::clock::{Clock, ServerNow};
use crate::cluster::{PodSource, PodUpdate, PullEventSource, PullEventUpdate};
use crate::correlate::Correlator;
use crate::fleet::{Applied, ApplyError, Fleet};
use crate::limits::Limits;
use crate::table::{SharedTable, Table};
pub use error::IntakeError;

/// Interval of time-based changes.
const TICK: Duration = Duration::from_secs(1);

/// Minimum interval between notifications of readers.
const NOTIFY_INTERVAL: Duration = Duration::from_millis(20);

/// Number of ticks for which the JSON of a row stays cached.
const CACHE_TICKS: usize = 10;

/// Report delay requested from agents while the queue is more than half full, in milliseconds.
const SLOW_DOWN_MS: u64 = 5_000;

/// Called with the changes of each step and the stats after it, for metrics and logs.
type Observer = Box<dyn FnMut(&Changes, &Stats) + Send>;

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
    queue: Arc<CombiningQueue>,
    /// When to notify readers next, if notifying them immediately would be too early.
    notify_at: watch::Receiver<Mono>,
}

/// The fleet and its table, used by one task at a time.
struct WriterState {
    clock: Clock,
    fleet: Fleet,
    correlator: Correlator,
    shared: SharedTable,
    observer: Observer,
    /// The last change of the table at each of the last ticks.
    tick_seqs: VecDeque<u64>,
    /// When readers were last notified, and whether another notification is due.
    last_notified: Mono,
    notify_pending: bool,
    notify_at: watch::Sender<Mono>,
}

/// A flat-combining queue: the enqueuing task drains it unless another task already does. So
/// reports are applied without waking a task.
#[derive(Debug)]
struct CombiningQueue {
    limit: usize,
    inner: Mutex<QueueState>,
}

struct QueueState {
    jobs: VecDeque<Job>,
    /// `None` while a task drains the queue, and before the writer runs.
    writer: Option<Box<WriterState>>,
    closed: bool,
    /// Number of reports rejected because the queue was full.
    rejected: u64,
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

enum Job {
    Report(Box<AnyReport>, ServerNow, ReportReply),
    /// An update of a pod source.
    Pod(Box<PodUpdate>, oneshot::Sender<()>),
    /// An update of an event source.
    Event(Box<PullEventUpdate>, oneshot::Sender<()>),
    /// A second has passed.
    Tick,
    /// Readers must be notified.
    Notify,
}

type ReportReply = oneshot::Sender<Result<ReportAck, ApplyError>>;

impl Intake {
    /// Enqueues a report and waits for the response to its agent.
    ///
    /// Cancel-safe: an enqueued report is applied even if this future is dropped.
    ///
    /// # Errors
    /// If the report was not applied.
    pub async fn report(&self, report: AnyReport) -> Result<ReportAck, IntakeError> {
        let (reply, answer) = oneshot::channel();
        let job = Job::Report(Box::new(report), self.clock.now(), reply);
        self.queue.push_report(job)?;
        Ok(answer.await.map_err(|_| IntakeError::Stopped)??)
    }

    /// Forwards the updates of a pod source, until it ends or the server stops. The source waits
    /// while the server is busy.
    pub async fn forward_pods(&self, mut source: impl PodSource) {
        while let Some(update) = source.next().await {
            let (done, taken) = oneshot::channel();
            if !self.push_when_free(Job::Pod(Box::new(update), done)).await || taken.await.is_err()
            {
                return;
            }
        }
    }

    /// Forwards the updates of an event source, like [`forward_pods`](Self::forward_pods).
    pub async fn forward_events(&self, mut source: impl PullEventSource) {
        while let Some(update) = source.next().await {
            let (done, taken) = oneshot::channel();
            if !self.push_when_free(Job::Event(Box::new(update), done)).await
                || taken.await.is_err()
            {
                return;
            }
        }
    }

    /// Enqueues a job once there is space; returns `false` if the server is stopping.
    async fn push_when_free(&self, job: Job) -> bool {
        let mut job = Some(job);
        loop {
            match self.queue.try_push(&mut job) {
                Ok(()) => return true,
                Err(IntakeError::Busy) => tokio::time::sleep(NOTIFY_INTERVAL).await,
                Err(_) => return false,
            }
        }
    }
}

impl CombiningQueue {
    /// Enqueues a report, if there is space.
    fn push_report(&self, job: Job) -> Result<(), IntakeError> {
        self.try_push(&mut Some(job)).inspect_err(|error| {
            if matches!(error, IntakeError::Busy) {
                self.lock().rejected += 1;
            }
        })
    }

    /// Takes the job out of `job` and enqueues it, if there is space.
    fn try_push(&self, job: &mut Option<Job>) -> Result<(), IntakeError> {
        let mut inner = self.lock();
        if inner.closed {
            return Err(IntakeError::Stopped);
        }
        if inner.jobs.len() >= self.limit {
            return Err(IntakeError::Busy);
        }
        inner.jobs.extend(job.take());
        self.drain(inner);
        Ok(())
    }

    /// Runs the queued jobs, unless another task already does.
    fn drain<'a>(&'a self, mut inner: MutexGuard<'a, QueueState>) {
        let Some(writer) = inner.writer.take() else {
            return;
        };
        let mut guard = DrainGuard { queue: self, writer: Some(writer) };
        while let Some(writer) = &mut guard.writer {
            let Some(job) = inner.jobs.pop_front() else {
                inner.writer = guard.writer.take();
                return;
            };
            let slow = inner.jobs.len() > self.limit / 2;
            let busy = inner.rejected;
            drop(inner);
            writer.process(job, slow, busy);
            inner = self.lock();
        }
    }

    fn lock(&self) -> MutexGuard<'_, QueueState> {
        self.inner.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Closes the queue if a job panics: the fleet is lost, and callers get an error.
struct DrainGuard<'a> {
    queue: &'a CombiningQueue,
    writer: Option<Box<WriterState>>,
}

impl Drop for DrainGuard<'_> {
    fn drop(&mut self) {
        if self.writer.is_some() {
            let mut inner = self.queue.lock();
            inner.closed = true;
            inner.jobs.clear();
        }
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
        let queue = Arc::new(CombiningQueue {
            limit: self.limits.queue.max(1),
            inner: Mutex::new(QueueState {
                jobs: VecDeque::new(),
                writer: None,
                closed: false,
                rejected: 0,
            }),
        });
        let intake = Intake { queue: Arc::clone(&queue), clock: self.clock };
        let (sender, notify_at) = watch::channel(now.mono);
        let state = WriterState {
            clock: self.clock,
            fleet: Fleet::new(epoch, self.limits, now.at),
            correlator: Correlator::new(self.limits),
            shared: shared.clone(),
            observer: self.observer,
            tick_seqs: VecDeque::with_capacity(CACHE_TICKS + 1),
            last_notified: now.mono,
            notify_pending: false,
            notify_at: sender,
        };
        let state = Box::new(state);
        (Writer { state, queue, notify_at }, intake, shared)
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
        let Self { state, queue, mut notify_at } = self;
        let clock = state.clock;
        let mut shutdown = std::pin::pin!(shutdown);
        let mut tick = tokio::time::interval(TICK);
        tick.set_missed_tick_behavior(MissedTickBehavior::Delay);
        queue.lock().writer = Some(state);
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
            let mut inner = queue.lock();
            assert!(!inner.closed, "a step of the fleet panicked");
            // Ahead of reports, which may keep the queue full.
            inner.jobs.push_front(job);
            queue.drain(inner);
        }
        let mut inner = queue.lock();
        inner.closed = true;
        inner.jobs.push_back(Job::Notify);
        queue.drain(inner);
    }
}

impl WriterState {
    /// `slow_down` asks agents to wait, `rejected` is the number of reports rejected so far.
    fn process(&mut self, job: Job, slow_down: bool, rejected: u64) {
        match job {
            Job::Report(report, received, reply) => {
                let Applied { mut response, changes } = self.fleet.apply(*report, received);
                if let Ok(ack) = &mut response
                    && slow_down
                {
                    ack.next_report_ms = Some(SLOW_DOWN_MS);
                }
                let changes = self.correlator.apply_pulls(changes, received);
                self.apply_changes(&changes, rejected);
                // The caller may have stopped waiting.
                drop(reply.send(response));
            }
            Job::Pod(update, done) => {
                let changes = self.correlator.apply_pod(*update, self.clock.now());
                self.publish_cluster_health();
                self.apply_changes(&changes, rejected);
                // The source may have stopped.
                done.send(()).ok();
            }
            Job::Event(update, done) => {
                let changes = self.correlator.apply_event(*update, self.clock.now());
                self.publish_cluster_health();
                self.apply_changes(&changes, rejected);
                // The source may have stopped.
                done.send(()).ok();
            }
            Job::Tick => self.tick(rejected),
            Job::Notify => self.notify(),
        }
    }

    fn tick(&mut self, rejected: u64) {
        let now = self.clock.now();
        let changes = self.fleet.expire(now);
        let changes = self.correlator.apply_pulls(changes, now);
        self.apply_changes(&changes, rejected);
        let changes = self.correlator.expire(now);
        self.apply_changes(&changes, rejected);
        let seq = self.shared.read(Table::seq);
        self.tick_seqs.push_back(seq);
        if self.tick_seqs.len() > CACHE_TICKS
            && let Some(old) = self.tick_seqs.pop_front()
        {
            self.shared.write(|table, _| table.drop_cached_json(old));
        }
    }

    fn apply_changes(&mut self, changes: &Changes, rejected: u64) {
        let mut stats = self.fleet.stats().clone();
        stats.counters.reports_busy = rejected;
        stats.correlate = self.correlator.stats().clone();
        stats.live.queued = stats.correlate.queued;
        (self.observer)(changes, &stats);
        self.shared.write(|table, known| {
            table.apply(changes);
            *known = stats;
        });
        if changes.is_empty() || self.notify_pending {
            return;
        }
        self.notify_pending = true;
        let due = self.last_notified + NOTIFY_INTERVAL;
        if self.clock.now().mono >= due {
            self.notify();
        } else {
            self.notify_at.send_replace(due);
        }
    }

    /// Publishes the health of the sources, if it changed.
    fn publish_cluster_health(&self) {
        if self.shared.cluster_health() != *self.correlator.cluster_health() {
            self.shared.set_cluster_health(self.correlator.cluster_health().clone());
        }
    }

    fn notify(&mut self) {
        if std::mem::take(&mut self.notify_pending) {
            self.last_notified = self.clock.now().mono;
            self.shared.publish();
        }
    }
}

impl fmt::Debug for Writer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Writer").field("fleet", &self.state.fleet).finish_non_exhaustive()
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

impl fmt::Debug for QueueState {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("QueueState")
            .field("jobs", &self.jobs.len())
            .field("closed", &self.closed)
            .finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests;
