//! The attempts to get an image that the kubelet reported in its events about one container or
//! volume.
//!
//! Events are stored unchanged and interpreted on read, so neither their order nor repeats matter.

use std::sync::Arc;
use std::time::Duration;

use pulltrace_core::kubelet::PullEventKind;
use pulltrace_core::{Bytes, Failure, FailureReason, NodeTime};

use crate::cluster::PullEvent;

/// Maximum event objects per demand; the one with the oldest last occurrence is dropped.
const MAX_EVENTS: usize = 16;

/// Maximum occurrence times per event object; the oldest is dropped.
const MAX_OCCURRENCES: usize = 8;

/// Maximum attempts per demand that are considered; earlier ones are ignored.
const MAX_ATTEMPTS: usize = 8;

/// The kubelet's first back-off after a failed pull. It doubles with each attempt.
const FIRST_BACK_OFF: Duration = Duration::from_secs(10);

/// The kubelet's longest back-off.
const MAX_BACK_OFF: Duration = Duration::from_mins(5);

/// A timestamp from a kubelet. Whole seconds are truncated: the actual time is up to a second
/// later.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct EventTime(pub(super) NodeTime);

impl EventTime {
    /// Returns the latest possible actual time.
    pub(super) fn latest(self) -> NodeTime {
        if self.0.unix_nanos() % 1_000_000_000 == 0 {
            self.0.saturating_add(Duration::from_nanos(999_999_999))
        } else {
            self.0
        }
    }

    /// Returns the whole second.
    fn second(self) -> i64 {
        self.0.unix_nanos().div_euclid(1_000_000_000)
    }
}

/// One attempt to get the image, as reported by the kubelet.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct Attempt {
    /// When it was announced; `None` if no announcement was received or none is ever sent.
    pub(super) announced: Option<EventTime>,
    /// `None` while in progress.
    pub(super) end: Option<AttemptEnd>,
    /// Counts from 1, and starts over once the image was present.
    pub(super) number: u32,
}

/// The end of an attempt.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct AttemptEnd {
    pub(super) at: EventTime,
    pub(super) outcome: AttemptOutcome,
}

/// The outcome of an attempt.
#[derive(Clone, Debug, PartialEq)]
pub(super) enum AttemptOutcome {
    /// The kubelet pulled the image.
    Pulled { took: Option<Duration>, took_including_waiting: Option<Duration>, size: Option<Bytes> },
    /// The image was already on the node.
    AlreadyPresent,
    /// The pull failed or was not allowed.
    Failed(Failure),
}

impl Attempt {
    /// Returns the time that identifies the attempt: its announcement, or else its end.
    pub(super) fn id_time(&self) -> Option<NodeTime> {
        let end = self.end.as_ref().map(|end| end.at.0);
        self.announced.map(|at| at.0).or(end)
    }

    pub(super) fn outcome(&self) -> Option<&AttemptOutcome> {
        self.end.as_ref().map(|end| &end.outcome)
    }

    pub(super) fn failure(&self) -> Option<&Failure> {
        match self.outcome() {
            Some(AttemptOutcome::Failed(failure)) => Some(failure),
            _ => None,
        }
    }

    pub(super) const fn is_open(&self) -> bool {
        self.end.is_none()
    }

    /// Estimates when the kubelet retries after the failure of this attempt. The actual retry
    /// happens at a pod sync shortly after the back-off.
    pub(super) fn next_retry_at(&self) -> Option<NodeTime> {
        let end = self.end.as_ref()?;
        let failure = self.failure()?;
        let doubled = 2_u32.saturating_pow(self.number.saturating_sub(1).min(10));
        let back_off = FIRST_BACK_OFF.saturating_mul(doubled).min(MAX_BACK_OFF);
        is_retryable(failure).then(|| end.at.0.saturating_add(back_off))
    }
}

/// Reports whether the kubelet makes further attempts. Other failures are not attempts at all.
fn is_retryable(failure: &Failure) -> bool {
    !matches!(failure.reason, FailureReason::NeverPull | FailureReason::InvalidName)
}

/// The kubelet's events about one demand, ordered by their last occurrence when first received.
#[derive(Clone, Debug, Default)]
pub(super) struct EventLog(Vec<EventRecord>);

/// The result of recording an event.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Recorded {
    /// It was known.
    Known,
    /// It adds an occurrence that is older than the last known one.
    EarlierOccurrence,
    /// It is a new event, or the last occurrence of a known one.
    Latest,
}

/// The latest version of an event object.
#[derive(Clone, Debug)]
struct EventRecord {
    name: Arc<str>,
    kind: PullEventKind,
    count: u32,
    first_seen: NodeTime,
    last_seen: NodeTime,
    /// Known repeats.
    occurrences: Vec<Occurrence>,
}

/// A repeat of an event object.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
struct Occurrence {
    count: u32,
    at: NodeTime,
}

impl EventLog {
    pub(super) const fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// Records an event.
    pub(super) fn record(&mut self, event: &PullEvent) -> Recorded {
        let repeat = Occurrence { count: event.count, at: event.last_seen };
        if let Some(record) = self.0.iter_mut().find(|record| record.name == event.name) {
            if (event.count, event.last_seen) <= (record.count, record.last_seen) {
                let is_new = record.record_occurrence(repeat);
                return if is_new { Recorded::EarlierOccurrence } else { Recorded::Known };
            }
            record.count = event.count;
            record.last_seen = event.last_seen;
            record.first_seen = record.first_seen.min(event.first_seen);
            record.kind = event.message.kind.clone();
            record.record_occurrence(repeat);
            return Recorded::Latest;
        }
        self.0.push(EventRecord {
            name: Arc::clone(&event.name),
            kind: event.message.kind.clone(),
            count: event.count.max(1),
            first_seen: event.first_seen,
            last_seen: event.last_seen.max(event.first_seen),
            occurrences: if event.count > 1 { vec![repeat] } else { Vec::new() },
        });
        self.0.sort_by(|a, b| (a.last_seen, &a.name).cmp(&(b.last_seen, &b.name)));
        if self.0.len() > MAX_EVENTS {
            self.0.remove(0);
        }
        Recorded::Latest
    }

    /// Returns the reported attempts, oldest first; at most the last eight.
    pub(super) fn attempts(&self) -> Vec<Attempt> {
        let mut announced: Vec<EventTime> = self
            .matching(|kind| *kind == PullEventKind::Pulling)
            .flat_map(EventRecord::occurrence_times)
            .collect();
        announced.sort_unstable();
        announced.dedup();
        let mut ends: Vec<AttemptEnd> = self.0.iter().flat_map(EventRecord::ends).collect();
        ends.sort_by_key(|end| end.at);
        if announced.is_empty() {
            let last = ends.pop().map(|end| Attempt { announced: None, end: Some(end), number: 1 });
            return last.into_iter().collect();
        }
        let skip = announced.len().saturating_sub(MAX_ATTEMPTS);
        let next = announced.iter().skip(1).map(Some).chain([None]);
        announced
            .iter()
            .zip(next)
            .skip(skip)
            .map(|(&at, next)| {
                let belongs = |end: &&AttemptEnd| {
                    end.at.latest() >= at.0
                        && next.is_none_or(|next| end.at.second() < next.second())
                };
                Attempt {
                    announced: Some(at),
                    end: ends.iter().find(belongs).cloned(),
                    number: self.failures_before(at).saturating_add(1),
                }
            })
            .collect()
    }

    fn matching(
        &self,
        matches_kind: impl Fn(&PullEventKind) -> bool,
    ) -> impl Iterator<Item = &EventRecord> {
        self.0.iter().filter(move |record| matches_kind(&record.kind))
    }

    /// Counts the failed attempts before this announcement, since the image was last present.
    fn failures_before(&self, at: EventTime) -> u32 {
        let is_present = |kind: &PullEventKind| {
            matches!(kind, PullEventKind::Pulled { .. } | PullEventKind::AlreadyPresent)
        };
        let last_present = self
            .matching(is_present)
            .flat_map(EventRecord::occurrence_times)
            .map(EventTime::second)
            .filter(|second| *second < at.second())
            .max();
        self.matching(|kind| matches!(kind, PullEventKind::Failed(f) if is_retryable(f)))
            .map(|record| {
                let before = record.count_before(at.second());
                let earlier = last_present.map_or(0, |second| record.count_before(second + 1));
                before.saturating_sub(earlier)
            })
            .sum()
    }
}

impl EventRecord {
    /// Records when a repeat happened. Returns whether that was new.
    fn record_occurrence(&mut self, repeat: Occurrence) -> bool {
        if repeat.count <= 1 || self.occurrences.contains(&repeat) {
            return false;
        }
        self.occurrences.push(repeat);
        self.occurrences.sort_unstable();
        if self.occurrences.len() > MAX_OCCURRENCES {
            self.occurrences.remove(0);
        }
        true
    }

    /// Returns the known occurrences, including the first one.
    fn known_occurrences(&self) -> impl Iterator<Item = Occurrence> + '_ {
        let first = Occurrence { count: 1, at: self.first_seen };
        std::iter::once(first).chain(self.occurrences.iter().copied())
    }

    fn occurrence_times(&self) -> impl Iterator<Item = EventTime> + '_ {
        self.known_occurrences().map(|occurrence| EventTime(occurrence.at))
    }

    /// Returns the number of occurrences before this second, as far as known.
    fn count_before(&self, second: i64) -> u32 {
        let at_or_after = self
            .known_occurrences()
            .filter(|occurrence| EventTime(occurrence.at).second() >= second)
            .map(|occurrence| occurrence.count)
            .min();
        at_or_after.map_or(self.count, |count| count.saturating_sub(1))
    }

    /// Returns the ends of attempts that this event reports.
    fn ends(&self) -> Vec<AttemptEnd> {
        let outcome = match &self.kind {
            PullEventKind::Pulling | PullEventKind::BackOff => return Vec::new(),
            PullEventKind::Pulled { took, took_including_waiting, size } => {
                AttemptOutcome::Pulled {
                    took: *took,
                    took_including_waiting: *took_including_waiting,
                    size: *size,
                }
            }
            PullEventKind::AlreadyPresent => AttemptOutcome::AlreadyPresent,
            // Permanent: repeats of the event are the same outcome.
            PullEventKind::Failed(failure) if !is_retryable(failure) => {
                let outcome = AttemptOutcome::Failed(failure.clone());
                return vec![AttemptEnd { at: EventTime(self.first_seen), outcome }];
            }
            PullEventKind::Failed(failure) => AttemptOutcome::Failed(failure.clone()),
        };
        self.occurrence_times().map(|at| AttemptEnd { at, outcome: outcome.clone() }).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::correlate::tests::world::{
        at, failed_event, kubelet_event, pulled_event, pulling_event,
    };

    const APP: &str = "registry.test/shop/app:1";
    const NOT_FOUND: &str = "registry.test/shop/app:1: not found";

    fn log(events: &[PullEvent]) -> EventLog {
        let mut log = EventLog::default();
        for event in events {
            log.record(event);
        }
        log
    }

    fn pulling(last: f64, count: u32) -> PullEvent {
        let message = format!("Pulling image \"{APP}\"");
        kubelet_event("web", "app", "Pulling", &message, (1.0, last, count))
    }

    fn failure(reason: FailureReason) -> Attempt {
        let outcome = AttemptOutcome::Failed(Failure { reason, message: None });
        let end = Some(AttemptEnd { at: EventTime(at(2.0)), outcome });
        Attempt { announced: None, end, number: 1 }
    }

    #[test]
    fn attempts_do_not_depend_on_order_of_events() {
        let events = [
            pulling(1.0, 1),
            failed_event("web", "app", APP, NOT_FOUND, (2.0, 2.0, 1)),
            pulling(12.0, 2),
            pulled_event("web", "app", APP, 14.0, 1.5, 1.5),
        ];
        let attempts = log(&events).attempts();
        let numbers: Vec<_> = attempts.iter().map(|one| (one.number, one.id_time())).collect();
        assert_eq!(numbers, [(1, Some(at(1.0))), (2, Some(at(12.0)))]);
        assert!(attempts[0].failure().is_some());
        assert!(matches!(attempts[1].outcome(), Some(AttemptOutcome::Pulled { .. })));
        let mut reversed = events;
        reversed.reverse();
        assert_eq!(log(&reversed).attempts(), attempts);
    }

    #[test]
    fn repeated_event_is_known() {
        let mut log = EventLog::default();
        assert_eq!(log.record(&pulling(40.0, 3)), Recorded::Latest);
        assert_eq!(log.record(&pulling(40.0, 3)), Recorded::Known);
        assert_eq!(log.record(&pulling(12.0, 2)), Recorded::EarlierOccurrence);
        let times: Vec<_> = log.attempts().iter().filter_map(Attempt::id_time).collect();
        assert_eq!(times, [at(1.0), at(12.0), at(40.0)]);
    }

    #[test]
    fn attempt_number_restarts_after_success() {
        let log = log(&[
            failed_event("web", "app", APP, NOT_FOUND, (2.0, 2.0, 1)),
            pulled_event("web", "app", APP, 14.0, 1.5, 1.5),
            pulling(300.0, 2),
        ]);
        assert_eq!(log.attempts().last().map(|attempt| attempt.number), Some(1));
    }

    #[test]
    fn end_without_announcement_is_an_attempt() {
        let attempts = log(&[failed_event("web", "app", APP, NOT_FOUND, (2.0, 2.0, 1))]).attempts();
        assert_eq!(attempts.len(), 1);
        assert_eq!((attempts[0].announced, attempts[0].id_time()), (None, Some(at(2.0))));
    }

    #[test]
    fn log_evicts_oldest_event_at_limit() {
        let events: Vec<PullEvent> = (0..=MAX_EVENTS as u32)
            .map(|number| {
                let mut event = pulling_event("web", "app", APP, f64::from(number));
                event.name = format!("event-{number}").into();
                event
            })
            .collect();
        let log = log(&events);
        assert_eq!(log.0.len(), MAX_EVENTS);
        assert!(log.0.iter().all(|record| &*record.name != "event-0"));
    }

    #[test]
    fn back_off_doubles_up_to_five_minutes() {
        let pauses: Vec<u64> = [1, 2, 3, 5, 6, u32::MAX]
            .map(|number| {
                let attempt = Attempt { number, ..failure(FailureReason::NotFound) };
                attempt.next_retry_at().unwrap().since(at(2.0)).as_secs()
            })
            .to_vec();
        assert_eq!(pauses, [10, 20, 40, 160, 300, 300]);
    }

    #[test]
    fn permanent_failure_has_no_retry() {
        assert_eq!(failure(FailureReason::NeverPull).next_retry_at(), None);
        assert_eq!(failure(FailureReason::InvalidName).next_retry_at(), None);
    }
}
