//! Who applies reports to the fleet and changes the table: whoever brings a report, one at a time.

use std::collections::VecDeque;
use std::fmt;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use pulltrace_core::Mono;
use pulltrace_core::wire::check::AnyReport;
use pulltrace_core::wire::v1::ReportAck;
use tokio::sync::{oneshot, watch};
use tokio::time::MissedTickBehavior;

use crate::clock::{Clock, ServerNow};
use crate::cluster::{PodSource, PodUpdate, PullEventSource, PullEventUpdate};
use crate::correlate::Correlator;
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

/// The task that lets time pass for the fleet. While it runs, reports are taken.
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
    work: Box<Work>,
    desk: Arc<Desk>,
    /// When readers are to be woken next, where that was too early.
    due: watch::Receiver<Mono>,
}

/// The fleet and its table, in the hands of one at a time.
struct Work {
    clock: Clock,
    fleet: Fleet,
    correlator: Correlator,
    shared: Shared,
    observer: Observer,
    /// The table's mark at each of the last ticks.
    marks: VecDeque<u64>,
    /// When readers were last woken, and whether there is more to wake them for.
    woken: Mono,
    pending: bool,
    due: watch::Sender<Mono>,
}

/// Where what is to be done lies. Whoever brings something does all that lies there, unless another
/// one is at it: then that one does. So nobody is held up, and no task must be woken to take a report.
#[derive(Debug)]
struct Desk {
    limit: usize,
    state: Mutex<State>,
}

struct State {
    waiting: VecDeque<Job>,
    /// Not here while somebody works, and before the writer runs.
    work: Option<Box<Work>>,
    closed: bool,
    /// Reports that were turned away.
    busy: u64,
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
    desk: Arc<Desk>,
    clock: Clock,
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

enum Job {
    Report(Box<AnyReport>, ServerNow, Verdict),
    /// A source of pods said something.
    Pod(Box<PodUpdate>, oneshot::Sender<()>),
    /// A source of kubelets' events said something.
    Event(Box<PullEventUpdate>, oneshot::Sender<()>),
    /// A second is over.
    Tick,
    /// Readers are to be woken.
    Wake,
}

type Verdict = oneshot::Sender<Result<ReportAck, Refusal>>;

impl Intake {
    /// Hands over a report, and waits for what its agent is to be answered.
    ///
    /// It is cancel-safe: a report that waits is taken also where nobody waits for the answer.
    ///
    /// # Errors
    /// Where the report was not taken.
    pub async fn report(&self, report: AnyReport) -> Result<ReportAck, IntakeError> {
        let (verdict, answer) = oneshot::channel();
        let job = Job::Report(Box::new(report), self.clock.now(), verdict);
        self.desk.bring(job)?;
        Ok(answer.await.map_err(|_| IntakeError::Stopped)??)
    }

    /// Hands over all that a source of pods says, until it ends or the server stops. The source waits
    /// while the server is busy.
    pub async fn follow_pods(&self, mut source: impl PodSource) {
        while let Some(update) = source.next().await {
            let (done, taken) = oneshot::channel();
            if !self.offer(Job::Pod(Box::new(update), done)).await || taken.await.is_err() {
                return;
            }
        }
    }

    /// The same of a source of kubelets' events.
    pub async fn follow_events(&self, mut source: impl PullEventSource) {
        while let Some(update) = source.next().await {
            let (done, taken) = oneshot::channel();
            if !self.offer(Job::Event(Box::new(update), done)).await || taken.await.is_err() {
                return;
            }
        }
    }

    /// Lays a job there once there is room; `false` where the server stops.
    async fn offer(&self, job: Job) -> bool {
        let mut job = Some(job);
        loop {
            match self.desk.lay(&mut job) {
                Ok(()) => return true,
                Err(IntakeError::Busy) => tokio::time::sleep(WAKE).await,
                Err(_) => return false,
            }
        }
    }
}

impl Desk {
    /// Lays a report there, where there is room.
    fn bring(&self, job: Job) -> Result<(), IntakeError> {
        self.lay(&mut Some(job)).inspect_err(|error| {
            if matches!(error, IntakeError::Busy) {
                self.state().busy += 1;
            }
        })
    }

    /// Lays a job there and takes it from `job`, where there is room.
    fn lay(&self, job: &mut Option<Job>) -> Result<(), IntakeError> {
        let mut state = self.state();
        if state.closed {
            return Err(IntakeError::Stopped);
        }
        if state.waiting.len() >= self.limit {
            return Err(IntakeError::Busy);
        }
        state.waiting.extend(job.take());
        self.work(state);
        Ok(())
    }

    /// Does what lies there, unless somebody is at it.
    fn work<'a>(&'a self, mut state: MutexGuard<'a, State>) {
        let Some(work) = state.work.take() else {
            return;
        };
        let mut hands = Hands {
            desk: self,
            work: Some(work),
        };
        while let Some(work) = &mut hands.work {
            let Some(job) = state.waiting.pop_front() else {
                state.work = hands.work.take();
                return;
            };
            let slow = state.waiting.len() > self.limit / 2;
            let busy = state.busy;
            drop(state);
            work.take(job, slow, busy);
            state = self.state();
        }
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Who works. Where that ends by a panic, the fleet is gone, and whoever waits is told.
struct Hands<'a> {
    desk: &'a Desk,
    work: Option<Box<Work>>,
}

impl Drop for Hands<'_> {
    fn drop(&mut self) {
        if self.work.is_some() {
            let mut state = self.desk.state();
            state.closed = true;
            state.waiting.clear();
        }
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
        let epoch = self
            .epoch
            .unwrap_or_else(|| format!("{:x}", now.at.unix_nanos()));
        let table = Table::new(epoch.as_str(), self.limits.tombstones);
        let shared = Shared::new(table);
        let desk = Arc::new(Desk {
            limit: self.limits.queue.max(1),
            state: Mutex::new(State {
                waiting: VecDeque::new(),
                work: None,
                closed: false,
                busy: 0,
            }),
        });
        let intake = Intake {
            desk: Arc::clone(&desk),
            clock: self.clock,
        };
        let (sender, due) = watch::channel(now.mono);
        let work = Work {
            clock: self.clock,
            fleet: Fleet::new(epoch, self.limits, now.at),
            correlator: Correlator::new(self.limits),
            shared: shared.clone(),
            observer: self.observer,
            marks: VecDeque::with_capacity(FRESH + 1),
            woken: now.mono,
            pending: false,
            due: sender,
        };
        let work = Box::new(work);
        (Writer { work, desk, due }, intake, shared)
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

    /// Runs until `shutdown`, and takes what waits then.
    ///
    /// # Panics
    /// Where a step of the fleet did: what it knew is gone.
    pub async fn run(self, shutdown: impl Future<Output = ()>) {
        let Self {
            work,
            desk,
            mut due,
        } = self;
        let clock = work.clock;
        let mut shutdown = std::pin::pin!(shutdown);
        let mut tick = tokio::time::interval(TICK);
        tick.set_missed_tick_behavior(MissedTickBehavior::Delay);
        desk.state().work = Some(work);
        let mut wake: Option<Mono> = None;
        loop {
            let rest = wake.map(|at| at.since(clock.now().mono));
            let job = tokio::select! {
                biased;
                () = &mut shutdown => break,
                _ = tick.tick() => Job::Tick,
                () = tokio::time::sleep(rest.unwrap_or_default()), if rest.is_some() => {
                    wake = None;
                    Job::Wake
                }
                Ok(()) = due.changed() => {
                    wake = Some(*due.borrow_and_update());
                    continue;
                }
            };
            let mut state = desk.state();
            assert!(!state.closed, "a step of the fleet panicked");
            // Before the reports, which may never be all taken.
            state.waiting.push_front(job);
            desk.work(state);
        }
        let mut state = desk.state();
        state.closed = true;
        state.waiting.push_back(Job::Wake);
        desk.work(state);
    }
}

impl Work {
    /// `slow`: whether so much waits that agents should wait, too; `busy`: how many had to.
    fn take(&mut self, job: Job, slow: bool, busy: u64) {
        match job {
            Job::Report(report, received, verdict) => {
                let Applied {
                    verdict: mut answer,
                    changes,
                } = self.fleet.apply(*report, received);
                if let Ok(ack) = &mut answer
                    && slow
                {
                    ack.next_report_ms = Some(SLOW_DOWN);
                }
                let changes = self.correlator.pulls(changes, received);
                self.publish(&changes, busy);
                // Nobody may wait for the answer any more.
                drop(verdict.send(answer));
            }
            Job::Pod(update, done) => {
                let changes = self.correlator.pod(*update, self.clock.now());
                self.listen();
                self.publish(&changes, busy);
                // Its source may be gone.
                done.send(()).ok();
            }
            Job::Event(update, done) => {
                let changes = self.correlator.event(*update, self.clock.now());
                self.listen();
                self.publish(&changes, busy);
                // Its source may be gone.
                done.send(()).ok();
            }
            Job::Tick => self.pass(busy),
            Job::Wake => self.wake(),
        }
    }

    fn pass(&mut self, busy: u64) {
        let now = self.clock.now();
        let changes = self.fleet.expire(now);
        let changes = self.correlator.pulls(changes, now);
        self.publish(&changes, busy);
        let changes = self.correlator.expire(now);
        self.publish(&changes, busy);
        let seq = self.shared.read(Table::seq);
        self.marks.push_back(seq);
        if self.marks.len() > FRESH
            && let Some(old) = self.marks.pop_front()
        {
            self.shared.write(|table, _| table.settle(old));
        }
    }

    fn publish(&mut self, changes: &Changes, busy: u64) {
        let mut stats = self.fleet.stats().clone();
        stats.counters.reports_busy = busy;
        stats.correlate = self.correlator.stats().clone();
        stats.live.queued = stats.correlate.queued;
        (self.observer)(changes, &stats);
        self.shared.write(|table, known| {
            table.take(changes);
            *known = stats;
        });
        if changes.is_empty() || self.pending {
            return;
        }
        self.pending = true;
        let due = self.woken + WAKE;
        if self.clock.now().mono >= due {
            self.wake();
        } else {
            self.due.send_replace(due);
        }
    }

    /// Says whether anything is heard of the cluster, where that changed.
    fn listen(&self) {
        if self.shared.listening() != *self.correlator.listening() {
            self.shared
                .set_listening(self.correlator.listening().clone());
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
            .field("fleet", &self.work.fleet)
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

impl fmt::Debug for State {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("State")
            .field("waiting", &self.waiting.len())
            .field("closed", &self.closed)
            .finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests;
