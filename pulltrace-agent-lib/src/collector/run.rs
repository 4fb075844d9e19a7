//! One run: the state of the loop, and how each action changes it.

use std::pin::pin;
use std::time::Duration;

use futures_util::future::BoxFuture;
use pulltrace_core::{Change, ChangeKind, Counters, Mono, NodeName, Now, Observation, PullTable};

use super::settings::Settings;
use crate::clock::Clock;
use crate::log::{self, PullLog};
use crate::monitor::{Monitor, MonitorWriter};
use crate::sink::outbox::Outbox;
use crate::sink::{Ack, ReportSink, SinkError};
use crate::source::{Batch, PullSource, SourceError};

/// Without batches from the source, the table's time advances at this interval.
const TICK: Duration = Duration::from_secs(1);

/// The longest time the first report waits for the initial sync to complete.
const INITIAL_SYNC_TIMEOUT: Duration = Duration::from_secs(2);

/// The result of a run.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct Summary {
    /// Pulls that started. A pull that resumes after an unknown end counts again.
    pub started: u64,
    /// Pulls that ended.
    pub ended: u64,
    /// Reports that were acknowledged.
    pub reports: u64,
    /// True if the final state was acknowledged. If not, the receiver may lack any change since the
    /// last acknowledged report.
    pub delivered: bool,
    /// Ends that no acknowledged report contained.
    pub undelivered_ends: u64,
    /// Counters of the pull table.
    pub counters: Counters,
}

/// A run that ended because its source failed or its sink was closed. A retry does not help.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum RunError {
    /// The source failed. [`Summary::delivered`] is true if its last state was delivered.
    #[error("failed to watch the pulls of node {node}")]
    Source {
        /// The node.
        node: NodeName,
        /// The error of the source.
        #[source]
        source: SourceError,
        /// The result until then.
        summary: Box<Summary>,
    },
    /// The receiver of reports was dropped.
    #[error("failed to report the pulls of node {node}: the sink is closed")]
    SinkClosed {
        /// The node.
        node: NodeName,
        /// The result until then.
        summary: Box<Summary>,
    },
}

impl RunError {
    /// Returns the result of the run until it failed.
    #[must_use]
    pub fn summary(&self) -> &Summary {
        match self {
            Self::Source { summary, .. } | Self::SinkClosed { summary, .. } => summary,
        }
    }
}

/// The next thing to handle. Each action is applied completely before the next wait.
enum Action<S, K> {
    /// The source returned a batch.
    Batch(S, Batch),
    /// The source ended or failed.
    SourceEnded(Option<SourceError>),
    /// A delivery finished.
    Delivered(K, Result<Ack, SinkError>),
    /// A report is due, the table's time must advance, or the grace period has ended.
    Timer,
    /// Shutdown was requested.
    Stop,
}

/// The pending `next` call of the source. Owns the source until it completes.
type NextBatch<'a, S> = BoxFuture<'a, (S, Result<Option<Batch>, SourceError>)>;

/// The pending delivery. Owns the sink until it completes.
type Delivery<'a, K> = BoxFuture<'a, (K, Result<Ack, SinkError>)>;

/// Why the run stops.
enum StopReason {
    Normal,
    SourceFailed(SourceError),
    SinkClosed,
}

/// The run stops after the final report, at the latest at the deadline.
struct Stopping {
    reason: StopReason,
    deadline: Mono,
}

/// The last time passed to the table, and when that was on this loop's clock. They differ for a
/// replay, whose batches carry the time of the recording.
#[derive(Clone, Copy)]
struct TableTime {
    table: Now,
    at: Mono,
}

impl TableTime {
    /// Returns the table's time at a time of this loop's clock.
    fn at(self, at: Mono) -> Now {
        self.table.plus(at.since(self.at))
    }
}

struct Run<'a, S, K> {
    clock: Clock,
    grace_period: Duration,
    table: PullTable,
    outbox: Outbox,
    log: PullLog,
    /// Source and sink are owned by their pending futures. A pending `next` call therefore survives
    /// while other actions are applied, even if the source is not as cancel-safe as it should be.
    next_batch: Option<NextBatch<'a, S>>,
    sink: Option<K>,
    delivery: Option<Delivery<'a, K>>,
    /// The table's time, once there is one.
    table_time: Option<TableTime>,
    /// True if the source reported that it lost the runtime.
    disconnected: bool,
    /// When the source connected, while its initial sync is incomplete.
    syncing_since: Option<Mono>,
    /// True if the initial sync is complete or has timed out.
    synced: bool,
    poll_interval: Option<Duration>,
    stopping: Option<Stopping>,
    summary: Summary,
    monitor: MonitorWriter,
}

pub(super) async fn run<S: PullSource, K: ReportSink>(
    source: S,
    sink: K,
    settings: Settings,
    monitor: Monitor,
    shutdown: impl Future<Output = ()>,
) -> Result<Summary, RunError> {
    let mut shutdown = pin!(shutdown);
    let node = settings.node.clone();
    let mut run = Run::new(source, sink, settings, monitor);
    while !run.is_finished() {
        run.start_delivery();
        let action = run.next(shutdown.as_mut()).await;
        run.apply(action);
        // A source that is always ready, such as a replay without pauses, must not starve other
        // tasks.
        tokio::task::coop::consume_budget().await;
    }
    let (summary, reason) = run.finish();
    let summary_box = || Box::new(summary.clone());
    match reason {
        StopReason::Normal => Ok(summary),
        StopReason::SourceFailed(source) => {
            Err(RunError::Source { node, source, summary: summary_box() })
        }
        StopReason::SinkClosed => Err(RunError::SinkClosed { node, summary: summary_box() }),
    }
}

impl<'a, S: PullSource + 'a, K: ReportSink + 'a> Run<'a, S, K> {
    fn new(source: S, sink: K, settings: Settings, monitor: Monitor) -> Self {
        Self {
            clock: settings.clock,
            grace_period: settings.grace_period,
            table: PullTable::new(settings.limits),
            outbox: Outbox::new(settings.node, settings.schedule, fastrand::u64(..)),
            log: PullLog::default(),
            next_batch: Some(next_batch(source)),
            sink: Some(sink),
            delivery: None,
            table_time: None,
            disconnected: false,
            syncing_since: None,
            synced: false,
            poll_interval: None,
            stopping: None,
            summary: Summary::default(),
            monitor: MonitorWriter(monitor),
        }
    }

    /// Waits for the next action.
    async fn next(
        &mut self,
        shutdown: std::pin::Pin<&mut impl Future<Output = ()>>,
    ) -> Action<S, K> {
        let at = self.clock.now().mono;
        let wait = self.next_deadline().map(|due| due.since(at));
        tokio::select! {
            biased;
            () = shutdown, if self.stopping.is_none() => Action::Stop,
            (sink, result) = or_pending(&mut self.delivery) => {
                self.delivery = None;
                Action::Delivered(sink, result)
            }
            () = sleep(wait) => Action::Timer,
            (source, result) = or_pending(&mut self.next_batch) => {
                self.next_batch = None;
                match result {
                    Ok(Some(batch)) => Action::Batch(source, batch),
                    Ok(None) => Action::SourceEnded(None),
                    Err(error) => Action::SourceEnded(Some(error)),
                }
            }
        }
    }

    fn apply(&mut self, action: Action<S, K>) {
        let at = self.clock.now().mono;
        match action {
            Action::Batch(source, batch) => {
                self.apply_batch(&batch, at);
                self.next_batch = Some(next_batch(source));
            }
            Action::SourceEnded(error) => {
                // An ended source has listed everything, so the initial sync is complete.
                self.synced |= self.syncing_since.is_some();
                self.stop(error.map_or(StopReason::Normal, StopReason::SourceFailed), at);
            }
            Action::Delivered(sink, result) => self.handle_delivery(sink, result, at),
            Action::Timer => self.on_timer(at),
            Action::Stop => self.stop(StopReason::Normal, at),
        }
        let (counters, outbox) = (self.table.counters(), &self.outbox);
        self.monitor.record_counters(counters, outbox.delivered_reports(), outbox.ends_lost());
    }

    fn apply_batch(&mut self, batch: &Batch, at: Mono) {
        for anomaly in &batch.anomalies {
            self.table.record_anomaly(*anomaly);
        }
        self.poll_interval = batch.poll_interval;
        let mut partial = batch.partial;
        for observation in &batch.observations {
            match observation {
                Observation::SourceLost => self.disconnected = true,
                Observation::SourceRecovered => (self.disconnected, partial) = (false, true),
                _ => {}
            }
        }
        self.monitor.record_batch(
            batch.observations.len(),
            batch.poll_interval,
            !self.disconnected,
            at,
        );
        self.synced |= !self.disconnected && !partial;
        self.syncing_since = match self.syncing_since {
            _ if self.disconnected || self.synced => None,
            None => Some(at),
            since => since,
        };
        // Timers may have advanced the table beyond this batch, and its time must not run
        // backwards.
        let last = self.table_time.map(|time| time.table.mono).unwrap_or_default();
        let now = Now { mono: batch.now.mono.max(last), node: batch.now.node };
        self.advance(&batch.observations, now, at);
    }

    fn handle_delivery(&mut self, sink: K, result: Result<Ack, SinkError>, at: Mono) {
        if result.is_err() {
            self.monitor.record_failed_report();
        }
        match result {
            Ok(ack) => self.outbox.on_ack(&ack, at),
            Err(SinkError::Closed) => {
                self.outbox.on_failure(None, at);
                self.stop(StopReason::SinkClosed, at);
                return;
            }
            Err(SinkError::Unavailable { retry_after, help, source }) => {
                self.outbox.on_failure(retry_after, at);
                tracing::warn!(
                    target: "pulltrace::report",
                    error = &*source as &(dyn std::error::Error + 'static),
                    help,
                    retry_ms = self.retry_delay(at).map(|wait| wait.as_millis() as u64),
                    "report delivery failed; its changes will be sent again"
                );
            }
        }
        self.sink = Some(sink);
    }

    fn on_timer(&mut self, at: Mono) {
        if self.syncing_since.is_some_and(|since| at.since(since) >= INITIAL_SYNC_TIMEOUT) {
            self.synced = true;
            self.syncing_since = None;
        }
        let Some(time) = self.table_time else {
            return;
        };
        if at.since(time.at) >= TICK && self.stopping.is_none() {
            self.advance(&[], time.at(at), at);
        }
    }

    fn advance(&mut self, observations: &[Observation], now: Now, at: Mono) {
        self.table_time = Some(TableTime { table: now, at });
        let changes = self.table.apply(observations, now);
        if !changes.is_empty() {
            self.monitor.record_phases(&self.table);
        }
        self.outbox.record(&changes, &self.table);
        for pull in self.log.due(&changes, &self.table, now) {
            log::write(&pull, now.node);
        }
        let count = |kind| changes.iter().filter(|c: &&Change| c.kind == kind).count() as u64;
        self.summary.started += count(ChangeKind::Started);
        self.summary.ended += count(ChangeKind::Ended);
    }

    /// Stops polling the source. The first reason is kept.
    fn stop(&mut self, reason: StopReason, at: Mono) {
        self.next_batch = None;
        let deadline = at + self.grace_period;
        self.stopping.get_or_insert(Stopping { reason, deadline });
    }

    fn start_delivery(&mut self) {
        let at = self.clock.now().mono;
        let Some(time) = self.table_time else {
            return;
        };
        if self.report_due().is_none_or(|due| due > at) {
            return;
        }
        if let Some(mut sink) = self.sink.take() {
            let now = time.at(at);
            let report = self.outbox.build_report(&self.table, now, at, self.poll_interval);
            self.delivery = Some(Box::pin(async move {
                let result = sink.deliver(report).await;
                (sink, result)
            }));
        }
    }

    fn report_due(&self) -> Option<Mono> {
        let revision = self.table.revision();
        match &self.stopping {
            _ if !self.synced => None,
            None => self.outbox.due(revision),
            Some(_) => self.outbox.final_report_due(revision),
        }
    }

    fn retry_delay(&self, at: Mono) -> Option<Duration> {
        self.report_due().map(|due| due.since(at))
    }

    /// When to act next without an event from source or sink.
    fn next_deadline(&self) -> Option<Mono> {
        let other = match (&self.stopping, &self.table_time) {
            (Some(stopping), _) => Some(stopping.deadline),
            (None, Some(time)) => Some(time.at + TICK),
            (None, None) => None,
        };
        let sync_deadline = self.syncing_since.map(|since| since + INITIAL_SYNC_TIMEOUT);
        [self.report_due(), other, sync_deadline].into_iter().flatten().min()
    }

    fn is_delivered(&self) -> bool {
        !self.synced || self.outbox.is_delivered(self.table.revision())
    }

    fn is_finished(&self) -> bool {
        let has_sink = self.sink.is_some() || self.delivery.is_some();
        self.stopping.as_ref().is_some_and(|stopping| {
            !has_sink || self.is_delivered() || self.clock.now().mono >= stopping.deadline
        })
    }

    fn finish(mut self) -> (Summary, StopReason) {
        self.summary.reports = self.outbox.delivered_reports();
        self.summary.delivered = self.is_delivered() && (self.synced || self.table.revision() == 0);
        self.summary.undelivered_ends = self.outbox.undelivered_ends();
        self.summary.counters = self.table.counters().clone();
        let reason = self.stopping.map_or(StopReason::Normal, |stopping| stopping.reason);
        (self.summary, reason)
    }
}

fn next_batch<'a, S: PullSource + 'a>(mut source: S) -> NextBatch<'a, S> {
    Box::pin(async move {
        let result = source.next().await;
        (source, result)
    })
}

async fn or_pending<T>(future: &mut Option<BoxFuture<'_, T>>) -> T {
    match future {
        Some(future) => future.await,
        None => std::future::pending().await,
    }
}

async fn sleep(wait: Option<Duration>) {
    match wait {
        Some(wait) => tokio::time::sleep(wait).await,
        None => std::future::pending().await,
    }
}
