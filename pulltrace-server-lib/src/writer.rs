//! The one task that owns the fleet and changes the table.

use std::collections::VecDeque;
use std::fmt;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use pulltrace_core::Mono;
use pulltrace_core::wire::check::AnyReport;
use pulltrace_core::wire::v1::ReportAck;
use tokio::sync::{mpsc, oneshot};
use tokio::time::MissedTickBehavior;

use crate::clock::{Clock, ServerNow};
use crate::fleet::{Applied, Changes, Fleet, Refusal, Stats};
use crate::limits::Limits;
use crate::table::{Shared, Table};

/// How often time passes for the fleet.
const TICK: Duration = Duration::from_secs(1);

/// How often readers are woken at most.
const WAKE: Duration = Duration::from_millis(20);

/// For so many ticks what was written of a row is kept for other readers.
const FRESH: usize = 10;

/// What agents are asked to wait while more than half of the queue is taken, in milliseconds.
const SLOW_DOWN: u64 = 5_000;

/// Called with what each step changed, and what there is after it: for metrics and logs.
type Observer = Box<dyn FnMut(&Changes, &Stats) + Send>;

/// The task that owns the fleet.
///
/// ```
/// use pulltrace_server_lib::writer::Writer;
/// # #[tokio::main(flavor = "current_thread")]
/// # async fn main() {
/// let (writer, intake, shared) = Writer::builder().start();
/// let (stop, stopped) = tokio::sync::oneshot::channel::<()>();
/// let task = tokio::spawn(writer.run(async { stopped.await.unwrap_or_default() }));
/// // `intake.report(…)` takes reports, and `shared.read(…)` reads what all nodes pull.
/// assert_eq!(shared.read(|table| table.rows(None).count()), 0);
/// drop(stop);
/// task.await.unwrap();
/// # drop(intake);
/// # }
/// ```
pub struct Writer {
    clock: Clock,
    fleet: Fleet,
    shared: Shared,
    queue: mpsc::Receiver<Job>,
    busy: Arc<AtomicU64>,
    observer: Observer,
    /// The table's mark at each of the last ticks.
    marks: VecDeque<u64>,
    /// When readers were last woken, and whether there is more to wake them for.
    woken: Mono,
    pending: bool,
}

/// Makes a [`Writer`].
pub struct Builder {
    clock: Clock,
    limits: Limits,
    epoch: Option<String>,
    observer: Observer,
}

/// Where reports go in; cheap to clone.
#[derive(Clone, Debug)]
pub struct Intake {
    queue: mpsc::Sender<Job>,
    clock: Clock,
    busy: Arc<AtomicU64>,
}

/// A report that was not taken.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum IntakeError {
    /// Too many others wait. A retry helps, a little later.
    #[error("too many reports wait: try again in a moment")]
    Busy,
    /// The server stops. A retry helps once it is back.
    #[error("the server is stopping")]
    Stopped,
    /// It was looked at, and refused.
    #[error(transparent)]
    Refused(#[from] Refusal),
}

#[derive(Debug)]
struct Job {
    report: AnyReport,
    received: ServerNow,
    verdict: oneshot::Sender<Result<ReportAck, Refusal>>,
}

impl Intake {
    /// Hands over a report, and waits for what its agent is to be answered.
    ///
    /// It is cancel-safe: a report that waits is taken also where nobody waits for the answer.
    ///
    /// # Errors
    /// Where the report was not taken.
    pub async fn report(&self, report: AnyReport) -> Result<ReportAck, IntakeError> {
        let (verdict, answer) = oneshot::channel();
        let job = Job {
            report,
            received: self.clock.now(),
            verdict,
        };
        self.queue.try_send(job).map_err(|error| match error {
            mpsc::error::TrySendError::Full(_) => {
                self.busy.fetch_add(1, Ordering::Relaxed);
                IntakeError::Busy
            }
            mpsc::error::TrySendError::Closed(_) => IntakeError::Stopped,
        })?;
        Ok(answer.await.map_err(|_| IntakeError::Stopped)??)
    }
}

impl Builder {
    /// The bounds. Those of [`Limits::default`] where this is not called.
    #[must_use]
    pub const fn limits(mut self, limits: Limits) -> Self {
        self.limits = limits;
        self
    }

    /// The clock. That of this machine where this is not called.
    #[must_use]
    pub const fn clock(mut self, clock: Clock) -> Self {
        self.clock = clock;
        self
    }

    /// The name of this life of the server, which must be another one each time and has no `-`. The
    /// time of the start where this is not called.
    #[must_use]
    pub fn epoch(mut self, epoch: impl Into<String>) -> Self {
        self.epoch = Some(epoch.into());
        self
    }

    /// Is called with what each step changed, and what there is after it. It must not block.
    #[must_use]
    pub fn observer(mut self, observer: impl FnMut(&Changes, &Stats) + Send + 'static) -> Self {
        self.observer = Box::new(observer);
        self
    }

    /// The task, which is to be run, where reports go in, and what is read.
    #[must_use]
    pub fn start(self) -> (Writer, Intake, Shared) {
        let now = self.clock.now();
        let (sender, queue) = mpsc::channel(self.limits.queue.max(1));
        let busy = Arc::new(AtomicU64::new(0));
        let epoch = self
            .epoch
            .unwrap_or_else(|| format!("{:x}", now.at.unix_nanos()));
        let table = Table::new(epoch.as_str(), self.limits.tombstones);
        let shared = Shared::new(table);
        let intake = Intake {
            queue: sender,
            clock: self.clock,
            busy: Arc::clone(&busy),
        };
        let writer = Writer {
            clock: self.clock,
            fleet: Fleet::new(epoch, self.limits, now.at),
            shared: shared.clone(),
            queue,
            busy,
            observer: self.observer,
            marks: VecDeque::with_capacity(FRESH + 1),
            woken: now.mono,
            pending: false,
        };
        (writer, intake, shared)
    }
}

impl Writer {
    /// A writer with the default bounds, on the clock of this machine.
    #[must_use]
    pub fn builder() -> Builder {
        Builder {
            clock: Clock::system(),
            limits: Limits::default(),
            epoch: None,
            observer: Box::new(|_, _| {}),
        }
    }

    /// Runs until `shutdown`, and takes what waits then. It is over too when all [`Intake`]s are gone.
    pub async fn run(mut self, shutdown: impl Future<Output = ()>) {
        let mut shutdown = std::pin::pin!(shutdown);
        let mut tick = tokio::time::interval(TICK);
        tick.set_missed_tick_behavior(MissedTickBehavior::Delay);
        loop {
            let wake = WAKE.saturating_sub(self.clock.now().mono.since(self.woken));
            tokio::select! {
                biased;
                () = &mut shutdown => break,
                // Before the queue, which may never be empty.
                _ = tick.tick() => self.pass(),
                () = tokio::time::sleep(wake), if self.pending => self.wake(),
                job = self.queue.recv() => match job {
                    Some(job) => self.take(job),
                    None => break,
                },
            }
        }
        self.queue.close();
        while let Some(job) = self.queue.recv().await {
            self.take(job);
        }
        self.wake();
    }

    fn take(&mut self, job: Job) {
        let Applied {
            mut verdict,
            changes,
        } = self.fleet.apply(job.report, job.received);
        if let Ok(ack) = &mut verdict
            && self.queue.len() > self.queue.max_capacity() / 2
        {
            ack.next_report_ms = Some(SLOW_DOWN);
        }
        self.publish(&changes);
        // Nobody may wait for the answer any more.
        drop(job.verdict.send(verdict));
    }

    fn pass(&mut self) {
        let changes = self.fleet.expire(self.clock.now());
        self.publish(&changes);
        let seq = self.shared.read(Table::seq);
        self.marks.push_back(seq);
        if self.marks.len() > FRESH
            && let Some(old) = self.marks.pop_front()
        {
            self.shared.write(|table, _| table.settle(old));
        }
    }

    fn publish(&mut self, changes: &Changes) {
        let mut stats = self.fleet.stats().clone();
        stats.counters.reports_busy = self.busy.load(Ordering::Relaxed);
        (self.observer)(changes, &stats);
        self.shared.write(|table, known| {
            table.take(changes);
            *known = stats;
        });
        self.pending |= !changes.is_empty();
        if self.clock.now().mono.since(self.woken) >= WAKE {
            self.wake();
        }
    }

    fn wake(&mut self) {
        if std::mem::take(&mut self.pending) {
            self.woken = self.clock.now().mono;
            self.shared.publish();
        }
    }
}

impl fmt::Debug for Writer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Writer")
            .field("fleet", &self.fleet)
            .finish_non_exhaustive()
    }
}

impl fmt::Debug for Builder {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Builder")
            .field("limits", &self.limits)
            .field("epoch", &self.epoch)
            .finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests;
