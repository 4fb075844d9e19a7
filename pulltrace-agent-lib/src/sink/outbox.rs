//! What is not delivered yet: when a report is due, and what is in it.
//!
//! A state machine without I/O: it is told what changed, what was acknowledged, what failed, and what
//! time it is. Each state is told by the table itself, so nothing queues up here while a receiver is
//! away: later states take the place of earlier ones.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use pulltrace_core::{Change, ChangeKind, Mono, NodeName, Now, PullId, PullTable};

use crate::sink::{Ack, Report};

/// The wait after the first failure; each further one doubles it.
const FIRST_WAIT: Duration = Duration::from_millis(250);

/// The longest wait that failures lead to.
const LONGEST_WAIT: Duration = Duration::from_secs(30);

/// The longest wait that a receiver may ask for.
const LONGEST_REQUEST: Duration = Duration::from_mins(5);

/// How often reports go out.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Pace {
    /// From one report to the next, where something changed.
    pub(crate) interval: Duration,
    /// From one report to the next, where nothing did.
    pub(crate) heartbeat: Duration,
}

#[derive(Debug)]
pub(crate) struct Outbox {
    node: NodeName,
    pace: Pace,
    random: Random,
    /// That of the last report that was made.
    sequence: u64,
    /// The state of the table that the receiver has; `None` where it must be told everything.
    acked: Option<u64>,
    epoch: Option<String>,
    flight: Option<Flight>,
    /// A pull started or ended, or its sizes became known, since the last report was made.
    urgent: bool,
    /// Live pulls whose sizes are not known yet. Bounded by the table.
    unknown: BTreeSet<PullId>,
    /// When the last report was made.
    made: Option<Mono>,
    /// Not before: what the receiver asks for.
    polite: Mono,
    /// The wait that it asked for last.
    asked: Duration,
    /// Not before: what failures cost.
    retry: Mono,
    failures: u32,
    /// Ends that no acknowledged report told yet, and the table's revision at each.
    ends: BTreeMap<PullId, u64>,
    ends_lost: u64,
    delivered: u64,
}

/// The report that is under way.
#[derive(Clone, Copy, Debug)]
struct Flight {
    sequence: u64,
    revision: u64,
    full: bool,
}

impl Outbox {
    /// `seed` is where the jitter comes from.
    pub(crate) fn new(node: NodeName, pace: Pace, seed: u64) -> Self {
        Self {
            node,
            pace,
            random: Random(seed),
            sequence: 0,
            acked: None,
            epoch: None,
            flight: None,
            urgent: false,
            unknown: BTreeSet::new(),
            made: None,
            polite: Mono::default(),
            asked: Duration::ZERO,
            retry: Mono::default(),
            failures: 0,
            ends: BTreeMap::new(),
            ends_lost: 0,
            delivered: 0,
        }
    }

    /// Takes what just changed in the table.
    pub(crate) fn note(&mut self, changes: &[Change], table: &PullTable) {
        let mut ended = false;
        for change in changes {
            let is_unknown = change.kind != ChangeKind::Ended && change.pull.image.is_none();
            let was_unknown = if is_unknown {
                !self.unknown.insert(change.pull.id.clone())
            } else {
                self.unknown.remove(&change.pull.id)
            };
            match change.kind {
                ChangeKind::Progressed => self.urgent |= was_unknown && !is_unknown,
                ChangeKind::Started => {
                    self.urgent = true;
                    self.ends.remove(&change.pull.id);
                }
                ChangeKind::Ended => {
                    self.urgent = true;
                    ended = true;
                    self.ends.insert(change.pull.id.clone(), table.revision());
                }
            }
        }
        if ended {
            self.forget_evicted(table);
        }
    }

    /// Counts ends that the table dropped before they were told. This bounds `ends` by the table.
    fn forget_evicted(&mut self, table: &PullTable) {
        let told = self.flight.map_or(0, |flight| flight.revision);
        let before = self.ends.len();
        self.ends
            .retain(|id, revision| *revision <= told || table.get(id).is_some());
        self.ends_lost += (before - self.ends.len()) as u64;
    }

    /// When the next report is due; `None` while one is under way.
    pub(crate) fn due(&self, revision: u64) -> Option<Mono> {
        if self.flight.is_some() {
            return None;
        }
        let since_last = |wait: Duration| self.made.map_or(Mono::default(), |made| made + wait);
        let when = match self.acked {
            None => Mono::default(),
            Some(_) if self.failures > 0 => Mono::default(),
            Some(acked) if revision > acked && self.urgent => Mono::default(),
            Some(acked) if revision > acked => since_last(self.pace.interval),
            Some(_) => since_last(self.pace.heartbeat),
        };
        Some(when.max(self.polite).max(self.retry))
    }

    /// When the last report before a stop is due; `None` while one is under way, and when all is told.
    ///
    /// It waits for no interval, and only for what failures cost.
    pub(crate) fn due_before_stop(&self, revision: u64) -> Option<Mono> {
        (self.flight.is_none() && !self.is_settled(revision)).then_some(self.retry)
    }

    /// Whether the receiver has all there is.
    pub(crate) fn is_settled(&self, revision: u64) -> bool {
        self.flight.is_none() && self.acked == Some(revision)
    }

    /// Makes the report of all that the receiver does not have. `at` is the moment on the clock that
    /// the waits are counted by, which need not be that of `now`.
    pub(crate) fn take(
        &mut self,
        table: &PullTable,
        now: Now,
        at: Mono,
        interval: Option<Duration>,
    ) -> Report {
        self.sequence += 1;
        self.made = Some(at);
        self.urgent = false;
        self.forget_evicted(table);
        self.flight = Some(Flight {
            sequence: self.sequence,
            revision: table.revision(),
            full: self.acked.is_none(),
        });
        let pulls = match self.acked {
            None => table.pulls().cloned().collect(),
            Some(acked) => table.changed_since(acked).cloned().collect(),
        };
        Report {
            node: self.node.clone(),
            runtime: table.runtime().map(str::to_owned),
            sequence: self.sequence,
            full: self.acked.is_none(),
            now,
            pulls,
            sums: table.sums(now),
            counters: table.counters().clone(),
            ends_lost: self.ends_lost,
            interval,
            next_within: self.pace.heartbeat.max(self.asked),
        }
    }

    /// Takes the answer to the report that was under way.
    pub(crate) fn acknowledged(&mut self, ack: &Ack, at: Mono) {
        let Some(flight) = self.flight.take() else {
            return;
        };
        if ack.sequence != flight.sequence {
            // The receiver speaks of another report: what it has is anybody's guess.
            self.acked = None;
            self.back_off(None, at);
            return;
        }
        self.failures = 0;
        self.retry = Mono::default();
        self.delivered += 1;
        let reborn = self.epoch.replace(ack.epoch.clone());
        let reborn = reborn.is_some_and(|before| before != ack.epoch);
        self.asked = ack.next_report.unwrap_or_default().min(LONGEST_REQUEST);
        self.polite = match self.asked {
            Duration::ZERO => Mono::default(),
            asked => at + asked,
        };
        if ack.need_full || (reborn && !flight.full) {
            self.acked = None;
            // All agents hear of a restarted server at about the same time.
            let apart = self.pace.interval.mul_f64(self.random.next());
            self.polite = self.polite.max(at + apart);
        } else {
            self.acked = Some(flight.revision);
            self.ends.retain(|_, revision| *revision > flight.revision);
        }
    }

    /// The report that was under way did not arrive, or nobody knows whether it did.
    pub(crate) fn failed(&mut self, retry_after: Option<Duration>, at: Mono) {
        self.flight = None;
        self.back_off(retry_after, at);
    }

    fn back_off(&mut self, retry_after: Option<Duration>, at: Mono) {
        let doubled = FIRST_WAIT.saturating_mul(1 << self.failures.min(16));
        let jittered = doubled
            .min(LONGEST_WAIT)
            .mul_f64(0.5 + self.random.next() / 2.0);
        let asked = retry_after.unwrap_or_default().min(LONGEST_REQUEST);
        self.retry = at + jittered.max(asked);
        self.failures = self.failures.saturating_add(1);
    }

    /// Reports that were acknowledged.
    pub(crate) const fn delivered(&self) -> u64 {
        self.delivered
    }

    /// Ends whose pulls the table dropped before a report of them was made.
    pub(crate) const fn ends_lost(&self) -> u64 {
        self.ends_lost
    }

    /// Ends that no acknowledged report told: those that wait, and those that were dropped.
    pub(crate) fn ends_untold(&self) -> u64 {
        self.ends_lost + self.ends.len() as u64
    }
}

/// Numbers that look random, from a seed: jitter must differ between agents, not surprise anybody.
#[derive(Debug)]
struct Random(u64);

impl Random {
    /// 0 to 1, by the `SplitMix64` sequence.
    #[expect(clippy::cast_precision_loss, reason = "53 bits fit a float")]
    fn next(&mut self) -> f64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        ((z ^ (z >> 31)) >> 11) as f64 / (1_u64 << 53) as f64
    }
}

#[cfg(test)]
mod tests;
