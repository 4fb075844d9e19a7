//! Decides when a report is due and which pulls it contains.
//!
//! A state machine without I/O, driven by table changes, acknowledgements, failures and the time.
//! The table holds the state of the pulls, so no queue grows here during an outage of the
//! receiver: newer states replace older ones.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use pulltrace_core::backoff::Backoff;
use pulltrace_core::{Change, ChangeKind, Mono, NodeName, Now, PullId, PullTable};

use crate::sink::{Ack, Report};

/// Back-off after the first failure; doubles with each further one.
const INITIAL_BACKOFF: Duration = Duration::from_millis(250);

/// The longest back-off.
const MAX_BACKOFF: Duration = Duration::from_secs(30);

/// The longest wait that a receiver can request.
const MAX_REQUESTED_WAIT: Duration = Duration::from_mins(5);

/// The timing of reports.
#[derive(Clone, Copy, Debug)]
pub(crate) struct ReportSchedule {
    /// Time between two reports while something changes.
    pub(crate) interval: Duration,
    /// Time between two reports while no pull changes.
    pub(crate) heartbeat: Duration,
}

#[derive(Debug)]
pub(crate) struct Outbox {
    node: NodeName,
    schedule: ReportSchedule,
    /// Jitter must differ between agents but need not be unpredictable.
    rng: fastrand::Rng,
    /// Sequence number of the last report.
    sequence: u64,
    /// Table revision that the receiver has; `None` if the next report must be full.
    acked_revision: Option<u64>,
    epoch: Option<String>,
    in_flight: Option<InFlight>,
    /// True if a pull has started or ended, or its size has become known, since the last report.
    urgent: bool,
    /// Live pulls of unknown size. Bounded by the table.
    unsized_pulls: BTreeSet<PullId>,
    /// When the last report was built.
    last_report_at: Option<Mono>,
    /// Earliest time of the next report, as requested by the receiver.
    not_before: Mono,
    /// The wait last requested by the receiver.
    requested_wait: Duration,
    /// Earliest time of the next report because of back-off.
    retry_at: Mono,
    backoff: Backoff,
    /// Ended pulls that no acknowledged report contained, with the table revision of their end.
    /// Bounded by the table: see `drop_evicted_ends`.
    unacked_ends: BTreeMap<PullId, u64>,
    ends_lost: u64,
    delivered_reports: u64,
}

/// The report being delivered.
#[derive(Clone, Copy, Debug)]
struct InFlight {
    sequence: u64,
    revision: u64,
    full: bool,
}

impl Outbox {
    /// `seed` seeds the jitter.
    pub(crate) fn new(node: NodeName, schedule: ReportSchedule, seed: u64) -> Self {
        Self {
            node,
            schedule,
            rng: fastrand::Rng::with_seed(seed),
            sequence: 0,
            acked_revision: None,
            epoch: None,
            in_flight: None,
            urgent: false,
            unsized_pulls: BTreeSet::new(),
            last_report_at: None,
            not_before: Mono::default(),
            requested_wait: Duration::ZERO,
            retry_at: Mono::default(),
            backoff: Backoff::new(INITIAL_BACKOFF, MAX_BACKOFF),
            unacked_ends: BTreeMap::new(),
            ends_lost: 0,
            delivered_reports: 0,
        }
    }

    /// Records changes of the table.
    pub(crate) fn record(&mut self, changes: &[Change], table: &PullTable) {
        let mut ended = false;
        for change in changes {
            let is_unknown = change.kind != ChangeKind::Ended && change.pull.image.is_none();
            let was_unknown = if is_unknown {
                !self.unsized_pulls.insert(change.pull.id.clone())
            } else {
                self.unsized_pulls.remove(&change.pull.id)
            };
            match change.kind {
                ChangeKind::Progressed => self.urgent |= was_unknown && !is_unknown,
                ChangeKind::Started => {
                    self.urgent = true;
                    self.unacked_ends.remove(&change.pull.id);
                }
                ChangeKind::Ended => {
                    self.urgent = true;
                    ended = true;
                    self.unacked_ends.insert(change.pull.id.clone(), table.revision());
                }
            }
        }
        if ended {
            self.drop_evicted_ends(table);
        }
    }

    /// Counts the ends that the table evicted before a report contained them.
    fn drop_evicted_ends(&mut self, table: &PullTable) {
        let reported_revision = self.in_flight.map_or(0, |flight| flight.revision);
        let before = self.unacked_ends.len();
        self.unacked_ends
            .retain(|id, revision| *revision <= reported_revision || table.get(id).is_some());
        self.ends_lost += (before - self.unacked_ends.len()) as u64;
    }

    /// Returns when the next report is due; `None` during a delivery.
    pub(crate) fn due(&self, revision: u64) -> Option<Mono> {
        if self.in_flight.is_some() {
            return None;
        }
        let since_last =
            |wait: Duration| self.last_report_at.map_or(Mono::default(), |made| made + wait);
        let when = match self.acked_revision {
            None => Mono::default(),
            Some(_) if self.backoff.failures() > 0 => Mono::default(),
            Some(acked) if revision > acked && self.urgent => Mono::default(),
            Some(acked) if revision > acked => since_last(self.schedule.interval),
            Some(_) => since_last(self.schedule.heartbeat),
        };
        Some(when.max(self.not_before).max(self.retry_at))
    }

    /// Returns when the final report before a stop is due; `None` during a delivery or if
    /// everything is delivered.
    ///
    /// It ignores the intervals and only waits for back-off.
    pub(crate) fn final_report_due(&self, revision: u64) -> Option<Mono> {
        (self.in_flight.is_none() && !self.is_delivered(revision)).then_some(self.retry_at)
    }

    /// Returns whether the receiver has the current state.
    pub(crate) fn is_delivered(&self, revision: u64) -> bool {
        self.in_flight.is_none() && self.acked_revision == Some(revision)
    }

    /// Builds a report with everything the receiver lacks.
    ///
    /// `at` is the time on the collector's clock, used to measure waits. It may differ from
    /// `now` in a replay.
    pub(crate) fn build_report(
        &mut self,
        table: &PullTable,
        now: Now,
        at: Mono,
        interval: Option<Duration>,
    ) -> Report {
        self.sequence += 1;
        self.last_report_at = Some(at);
        self.urgent = false;
        self.drop_evicted_ends(table);
        self.in_flight = Some(InFlight {
            sequence: self.sequence,
            revision: table.revision(),
            full: self.acked_revision.is_none(),
        });
        let pulls = match self.acked_revision {
            None => table.pulls().cloned().collect(),
            Some(acked) => table.changed_since(acked).cloned().collect(),
        };
        Report {
            node: self.node.clone(),
            runtime: table.runtime().map(str::to_owned),
            sequence: self.sequence,
            full: self.acked_revision.is_none(),
            now,
            pulls,
            totals: table.totals(now),
            counters: table.counters().clone(),
            ends_lost: self.ends_lost,
            poll_interval: interval,
            next_within: self.schedule.heartbeat.max(self.requested_wait),
        }
    }

    /// Handles the acknowledgement of the report in flight.
    pub(crate) fn on_ack(&mut self, ack: &Ack, at: Mono) {
        let Some(flight) = self.in_flight.take() else {
            return;
        };
        if ack.sequence != flight.sequence {
            // The acknowledgement is for another report, so the receiver's state is unknown.
            self.acked_revision = None;
            self.back_off(None, at);
            return;
        }
        self.backoff.reset();
        self.retry_at = Mono::default();
        self.delivered_reports += 1;
        let previous_epoch = self.epoch.replace(ack.epoch.clone());
        let restarted = previous_epoch.is_some_and(|before| before != ack.epoch);
        self.requested_wait = ack.next_report.unwrap_or_default().min(MAX_REQUESTED_WAIT);
        self.not_before = match self.requested_wait {
            Duration::ZERO => Mono::default(),
            asked => at + asked,
        };
        if ack.need_full || (restarted && !flight.full) {
            self.acked_revision = None;
            // All agents notice a restarted server at about the same time; jitter spreads their
            // full reports.
            let jitter = self.schedule.interval.mul_f64(self.rng.f64());
            self.not_before = self.not_before.max(at + jitter);
        } else {
            self.acked_revision = Some(flight.revision);
            self.unacked_ends.retain(|_, revision| *revision > flight.revision);
        }
    }

    /// Handles a report that was not delivered, or whose acknowledgement was lost.
    pub(crate) fn on_failure(&mut self, retry_after: Option<Duration>, at: Mono) {
        self.in_flight = None;
        self.back_off(retry_after, at);
    }

    fn back_off(&mut self, retry_after: Option<Duration>, at: Mono) {
        let delay = self.backoff.next_delay(self.rng.f64());
        let requested = retry_after.unwrap_or_default().min(MAX_REQUESTED_WAIT);
        self.retry_at = at + delay.max(requested);
    }

    /// Returns the number of acknowledged reports.
    pub(crate) const fn delivered_reports(&self) -> u64 {
        self.delivered_reports
    }

    /// Returns the number of ends that were evicted before a report contained them.
    pub(crate) const fn ends_lost(&self) -> u64 {
        self.ends_lost
    }

    /// Returns the number of ends that no acknowledged report contained, evicted or still pending.
    pub(crate) fn undelivered_ends(&self) -> u64 {
        self.ends_lost + self.unacked_ends.len() as u64
    }
}

#[cfg(test)]
mod tests;
