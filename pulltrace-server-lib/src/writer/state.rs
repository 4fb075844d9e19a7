//! The state of the writer, and the jobs that change it.

use std::collections::VecDeque;
use std::time::Duration;

use pulltrace_core::Mono;
use pulltrace_core::wire::check::AnyReport;
use pulltrace_core::wire::v1::ReportAck;
use tokio::sync::{oneshot, watch};

use crate::change::{Changes, Stats};
use crate::clock::{Clock, ServerNow};
use crate::cluster::{PodUpdate, PullEventUpdate};
use crate::correlate::Correlator;
use crate::fleet::{Applied, ApplyError, Fleet};
use crate::table::{SharedTable, Table};

/// Minimum interval between notifications of readers.
const NOTIFY_INTERVAL: Duration = Duration::from_millis(20);

/// Number of ticks for which the JSON of a row stays cached.
const CACHE_TICKS: usize = 10;

/// Report delay requested from agents under high load, in milliseconds.
const SLOW_DOWN_MS: u64 = 5_000;

/// Called with the changes of each step and the stats after it, for metrics and logs.
pub(super) type Observer = Box<dyn FnMut(&Changes, &Stats) + Send>;

/// Receives the response to the agent of a report.
pub(super) type ReportReply = oneshot::Sender<Result<ReportAck, ApplyError>>;

pub(super) enum Job {
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

/// The load of the queue when a job starts.
#[derive(Clone, Copy)]
pub(super) struct QueueLoad {
    /// Set while the queue is more than half full.
    pub(super) high: bool,
    /// Number of reports rejected so far because the queue was full.
    pub(super) rejected_reports: u64,
}

/// The fleet, the correlator and their table, used by one task at a time.
pub(super) struct WriterState {
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
    /// When to notify readers next, if notifying them immediately would be too early.
    notify_at: watch::Sender<Mono>,
}

impl WriterState {
    pub(super) fn new(
        fleet: Fleet,
        correlator: Correlator,
        shared: SharedTable,
        clock: Clock,
        observer: Observer,
    ) -> Self {
        let last_notified = clock.now().mono;
        Self {
            clock,
            fleet,
            correlator,
            shared,
            observer,
            tick_seqs: VecDeque::with_capacity(CACHE_TICKS + 1),
            last_notified,
            notify_pending: false,
            notify_at: watch::Sender::new(last_notified),
        }
    }

    pub(super) const fn fleet(&self) -> &Fleet {
        &self.fleet
    }

    /// Returns a receiver of the times at which the caller must run [`Job::Notify`].
    pub(super) fn notify_at(&self) -> watch::Receiver<Mono> {
        self.notify_at.subscribe()
    }

    pub(super) fn process(&mut self, job: Job, load: QueueLoad) {
        match job {
            Job::Report(report, received, reply) => {
                let Applied { mut response, changes } = self.fleet.apply(*report, received);
                if let Ok(ack) = &mut response
                    && load.high
                {
                    ack.next_report_ms = Some(SLOW_DOWN_MS);
                }
                let changes = self.correlator.apply_pulls(changes, received);
                self.apply_changes(&changes, load);
                // The caller may have stopped waiting.
                drop(reply.send(response));
            }
            Job::Pod(update, done) => {
                let changes = self.correlator.apply_pod(*update, self.clock.now());
                self.publish_cluster_health();
                self.apply_changes(&changes, load);
                // The source may have stopped.
                done.send(()).ok();
            }
            Job::Event(update, done) => {
                let changes = self.correlator.apply_event(*update, self.clock.now());
                self.publish_cluster_health();
                self.apply_changes(&changes, load);
                // The source may have stopped.
                done.send(()).ok();
            }
            Job::Tick => self.tick(load),
            Job::Notify => self.notify(),
        }
    }

    fn tick(&mut self, load: QueueLoad) {
        let now = self.clock.now();
        let changes = self.fleet.expire(now);
        let changes = self.correlator.apply_pulls(changes, now);
        self.apply_changes(&changes, load);
        let changes = self.correlator.expire(now);
        self.apply_changes(&changes, load);
        let seq = self.shared.read(Table::seq);
        self.tick_seqs.push_back(seq);
        if self.tick_seqs.len() > CACHE_TICKS
            && let Some(old) = self.tick_seqs.pop_front()
        {
            self.shared.write(|table, _| table.drop_cached_json(old));
        }
    }

    fn apply_changes(&mut self, changes: &Changes, load: QueueLoad) {
        let mut stats = self.fleet.stats().clone();
        stats.counters.reports_busy = load.rejected_reports;
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
