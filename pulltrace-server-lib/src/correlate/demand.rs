//! The image that one container or volume needs, and the attempts its kubelet reported.
//!
//! Events are stored unchanged and interpreted on read, so neither their order nor repeats matter.

use std::sync::Arc;
use std::time::Duration;

use pulltrace_core::{
    Bytes, Failure, FailureReason, ImageConsumer, Mono, NodeName, NodeTime, PodRef, PodUid, PullId,
    RequestedImage,
};

use super::matching::KUBELET_NAMESPACE;

use crate::cluster::{ImageConsumerKind, ImagePresence, PullEvent, PullEventKind};

/// Maximum event objects per demand; the one with the oldest last occurrence is dropped.
const MAX_EVENTS: usize = 16;

/// Maximum occurrence times per event object; the oldest is dropped.
const MAX_OCCURRENCES: usize = 8;

/// Maximum attempts per demand that are considered; earlier ones are ignored.
const MAX_ATTEMPTS: usize = 8;

/// Identifies a demand.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(super) struct DemandKey {
    pub(super) uid: PodUid,
    pub(super) consumer: ImageConsumer,
    pub(super) image: RequestedImage,
}

impl DemandKey {
    /// Returns the pull id of an announced attempt, or `None` if its time is unknown.
    pub(super) fn announced_id(&self, node: &NodeName, attempt: &Attempt) -> Option<PullId> {
        Some(PullId::Announced {
            node: node.clone(),
            namespace: KUBELET_NAMESPACE.parse().ok()?,
            pod: self.uid.clone(),
            consumer: self.consumer.clone(),
            at: attempt.id_time()?,
        })
    }
}

/// A container or volume that needs an image.
#[derive(Clone, Debug)]
pub(super) struct ImageDemand {
    pub(super) pod: PodRef,
    /// The pod's own data; `None` if the demand is known from events alone.
    pub(super) declared: Option<DeclaredImage>,
    events: Vec<EventRecord>,
    /// When anything about it last changed.
    pub(super) updated_at: Mono,
    /// When its last announcement was received.
    pub(super) announcement_received_at: Mono,
    /// When its pod was removed, or no longer named the image.
    pub(super) pod_removed_at: Option<Mono>,
    /// Set if an event was received as it happened. Listed events may be outdated.
    pub(super) seen_live: bool,
}

/// An image as declared by its pod, with its status.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct DeclaredImage {
    /// Position in the order in which the kubelet pulls.
    pub(super) order: usize,
    pub(super) name: Arc<str>,
    pub(super) kind: ImageConsumerKind,
    pub(super) status: ImagePresence,
    /// When the current status was first received.
    pub(super) status_since: Mono,
}

/// The latest version of an event object.
#[derive(Clone, Debug)]
struct EventRecord {
    name: Arc<str>,
    kind: PullEventKind,
    count: u32,
    first_seen: NodeTime,
    last_seen: NodeTime,
    /// Known repeats: the count and the time of each.
    occurrences: Vec<(u32, NodeTime)>,
}

/// The kubelet's first and longest back-off after a failed pull; it doubles in between.
const BACK_OFF: (Duration, Duration) = (Duration::from_secs(10), Duration::from_mins(5));

/// Estimates when the kubelet retries after this failure. The actual retry happens at a pod sync
/// shortly after the back-off.
pub(super) fn next_retry(at: EventTime, number: u32, failure: &Failure) -> Option<NodeTime> {
    let never = matches!(failure.reason, FailureReason::NeverPull | FailureReason::InvalidName);
    let doubled = 2_u32.saturating_pow(number.saturating_sub(1).min(10));
    let pause = BACK_OFF.0.saturating_mul(doubled).min(BACK_OFF.1);
    (!never).then(|| at.0.saturating_add(pause))
}

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
    pub(super) fn second(self) -> i64 {
        self.0.unix_nanos().div_euclid(1_000_000_000)
    }
}

/// One attempt to get the image, as reported by the kubelet.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct Attempt {
    /// When it was announced; `None` if no announcement was received or none is ever sent.
    pub(super) announced: Option<EventTime>,
    /// The outcome and its time; `None` while in progress.
    pub(super) end: Option<(EventTime, AttemptOutcome)>,
    /// Counts from 1, and starts over once the image was present.
    pub(super) number: u32,
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
        let end = self.end.as_ref().map(|(at, _)| at.0);
        self.announced.map(|at| at.0).or(end)
    }

    pub(super) fn failure(&self) -> Option<(EventTime, &Failure)> {
        match &self.end {
            Some((at, AttemptOutcome::Failed(failure))) => Some((*at, failure)),
            _ => None,
        }
    }

    pub(super) const fn is_open(&self) -> bool {
        self.end.is_none()
    }
}

/// The state of a demand.
#[derive(Clone, Debug, PartialEq)]
pub(super) enum DemandState {
    /// Not announced by the kubelet yet.
    Pending,
    /// The last attempt was announced and has not ended.
    InProgress(Attempt),
    /// The last attempt failed.
    Failed(Attempt),
    /// The image is on the node, or was.
    Present,
}

impl ImageDemand {
    pub(super) const fn new(pod: PodRef, now: Mono) -> Self {
        Self {
            pod,
            declared: None,
            events: Vec::new(),
            updated_at: now,
            announcement_received_at: now,
            pod_removed_at: None,
            seen_live: false,
        }
    }

    /// Records an event. Returns whether it was new.
    pub(super) fn record_event(&mut self, event: &PullEvent, live: bool, now: Mono) -> bool {
        self.seen_live |= live;
        let known = self.events.iter_mut().find(|object| object.name == event.name);
        match known {
            Some(record) => {
                if (event.count, event.last_seen) <= (record.count, record.last_seen) {
                    return record.record_occurrence(event.count, event.last_seen);
                }
                (record.count, record.last_seen) = (event.count, event.last_seen);
                record.first_seen = record.first_seen.min(event.first_seen);
                record.kind = event.kind.clone();
                record.record_occurrence(event.count, event.last_seen);
            }
            None => {
                self.events.push(EventRecord {
                    name: Arc::clone(&event.name),
                    kind: event.kind.clone(),
                    count: event.count.max(1),
                    first_seen: event.first_seen,
                    last_seen: event.last_seen.max(event.first_seen),
                    occurrences: if event.count > 1 {
                        vec![(event.count, event.last_seen)]
                    } else {
                        Vec::new()
                    },
                });
                self.events.sort_by(|a, b| (a.last_seen, &a.name).cmp(&(b.last_seen, &b.name)));
                if self.events.len() > MAX_EVENTS {
                    self.events.remove(0);
                }
            }
        }
        self.updated_at = now;
        if event.kind == PullEventKind::Pulling {
            self.announcement_received_at = now;
        }
        true
    }

    /// Returns the reported attempts, oldest first; at most the last eight.
    pub(super) fn attempts(&self) -> Vec<Attempt> {
        let mut announced: Vec<EventTime> = self
            .events_matching(|word| *word == PullEventKind::Pulling)
            .flat_map(EventRecord::occurrence_times)
            .map(EventTime)
            .collect();
        announced.sort_unstable();
        announced.dedup();
        let mut ends: Vec<(EventTime, AttemptOutcome)> =
            self.events.iter().flat_map(EventRecord::outcomes).collect();
        ends.sort_by_key(|(at, _)| *at);
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
                let belongs = |end: &&(EventTime, AttemptOutcome)| {
                    end.0.latest() >= at.0 && next.is_none_or(|next| end.0.second() < next.second())
                };
                Attempt {
                    announced: Some(at),
                    end: ends.iter().find(belongs).cloned(),
                    number: self.failures_before(at).saturating_add(1),
                }
            })
            .collect()
    }

    /// Derives the state from the last attempt and the pod's status. The status lags, so it
    /// overrides an attempt only after `grace`.
    pub(super) fn state(&self, attempts: &[Attempt], now: Mono, grace: Duration) -> DemandState {
        let present = match &self.declared {
            Some(declared) => matches!(declared.status, ImagePresence::Present { .. }),
            None => false,
        };
        let late = |since: Mono| now.since(since) >= grace;
        match attempts.last() {
            Some(last) => match &last.end {
                Some((_, AttemptOutcome::Pulled { .. } | AttemptOutcome::AlreadyPresent)) => {
                    DemandState::Present
                }
                Some((_, AttemptOutcome::Failed(_))) if present && late(self.updated_at) => {
                    DemandState::Present
                }
                Some((_, AttemptOutcome::Failed(_))) => DemandState::Failed(last.clone()),
                None if present && late(self.announcement_received_at) => DemandState::Present,
                None => DemandState::InProgress(last.clone()),
            },
            None if present => DemandState::Present,
            None => DemandState::Pending,
        }
    }

    /// Returns the failure of this image according to the pod's status. For an image volume, that
    /// is the status of a container, so a message that quotes only other images is ignored.
    pub(super) fn failure_from_status(&self, image: &RequestedImage) -> Option<Failure> {
        let ImagePresence::Waiting { reason, message } = &self.declared.as_ref()?.status else {
            return None;
        };
        let reason_override = match reason.as_deref()? {
            "ErrImagePull" | "ImagePullBackOff" | "ImageInspectError" | "RegistryUnavailable" => {
                None
            }
            "ErrImageNeverPull" => Some(FailureReason::NeverPull),
            "InvalidImageName" => Some(FailureReason::InvalidName),
            "SignatureValidationFailed" => Some(FailureReason::Signature),
            _ => return None,
        };
        let message = message.as_deref().unwrap_or_default();
        let mut quoted = message.split('"').skip(1).step_by(2).peekable();
        if quoted.peek().is_some() && !quoted.any(|name| RequestedImage::from_text(name) == *image)
        {
            return None;
        }
        let parsed = Failure::from_text(message);
        Some(match reason_override {
            Some(reason) => Failure { reason, ..parsed },
            None => parsed,
        })
    }

    /// Reports whether it is known from its pod alone.
    pub(super) const fn has_no_events(&self) -> bool {
        self.events.is_empty()
    }

    fn events_matching(
        &self,
        matches_kind: impl Fn(&PullEventKind) -> bool,
    ) -> impl Iterator<Item = &EventRecord> {
        self.events.iter().filter(move |object| matches_kind(&object.kind))
    }

    /// Counts the failed attempts before this announcement, since the image was last present.
    fn failures_before(&self, at: EventTime) -> u32 {
        let is_present = |word: &PullEventKind| {
            matches!(word, PullEventKind::Pulled { .. } | PullEventKind::AlreadyPresent)
        };
        let seconds = self.events_matching(is_present).flat_map(EventRecord::occurrence_times);
        let seconds = seconds.map(|time| EventTime(time).second());
        let success = seconds.filter(|second| *second < at.second()).max();
        let failed = self
            .events_matching(|word| matches!(word, PullEventKind::Failed(f) if is_retryable(f)));
        failed
            .map(|object| {
                let before = object.count_before(at.second());
                let done = success.map_or(0, |second| object.count_before(second + 1));
                before.saturating_sub(done)
            })
            .sum()
    }
}

/// Reports whether the kubelet makes further attempts. Other failures are not attempts at all.
fn is_retryable(failure: &Failure) -> bool {
    !matches!(failure.reason, FailureReason::NeverPull | FailureReason::InvalidName)
}

impl EventRecord {
    /// Records when a repeat happened. Returns whether that was new.
    fn record_occurrence(&mut self, count: u32, last: NodeTime) -> bool {
        if count <= 1 || self.occurrences.contains(&(count, last)) {
            return false;
        }
        self.occurrences.push((count, last));
        self.occurrences.sort_unstable();
        if self.occurrences.len() > MAX_OCCURRENCES {
            self.occurrences.remove(0);
        }
        true
    }

    /// Returns the times of the known occurrences.
    fn occurrence_times(&self) -> impl Iterator<Item = NodeTime> + '_ {
        let later = self.occurrences.iter().map(|(_, at)| *at);
        std::iter::once(self.first_seen).chain(later)
    }

    /// Returns the number of occurrences before this second, as far as known.
    fn count_before(&self, second: i64) -> u32 {
        let known = std::iter::once((1, self.first_seen)).chain(self.occurrences.iter().copied());
        let at_or_after =
            known.filter(|(_, at)| EventTime(*at).second() >= second).map(|(count, _)| count).min();
        at_or_after.map_or(self.count, |count| count.saturating_sub(1))
    }

    /// Returns the outcomes this event reports.
    fn outcomes(&self) -> Vec<(EventTime, AttemptOutcome)> {
        let end = match &self.kind {
            PullEventKind::Pulling | PullEventKind::BackOff => return Vec::new(),
            PullEventKind::Pulled { took, took_including_waiting: with_waiting, size } => {
                AttemptOutcome::Pulled {
                    took: *took,
                    took_including_waiting: *with_waiting,
                    size: *size,
                }
            }
            PullEventKind::AlreadyPresent => AttemptOutcome::AlreadyPresent,
            // Permanent: repeats of the event are the same outcome.
            PullEventKind::Failed(failure) if !is_retryable(failure) => {
                return vec![(EventTime(self.first_seen), AttemptOutcome::Failed(failure.clone()))];
            }
            PullEventKind::Failed(failure) => AttemptOutcome::Failed(failure.clone()),
        };
        self.occurrence_times().map(|at| (EventTime(at), end.clone())).collect()
    }
}
