//! Phase 1: which images do the containers and volumes of the node need, and how far are they?
//!
//! A demand has two sources: the pod's spec and status, and the kubelet's events. While demands are
//! matched with pulls they are *candidates*.

use std::cmp::Ordering;
use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::time::Duration;

use pulltrace_core::kubelet::PullEventKind;
use pulltrace_core::{
    Failure, FailureReason, ImageConsumer, Links, Mono, NodeName, NodeTime, PodRef, PodUid, PullId,
    RequestedImage, Waiter,
};

use super::attempt::{Attempt, AttemptOutcome, EventLog, Recorded};
use super::matching::KUBELET_NAMESPACE;
use crate::cluster::{ImageConsumerKind, ImagePresence, PullEvent};

/// Maximum lag of a pod's status behind its events.
const STATUS_LAG: Duration = Duration::from_secs(30);

/// Time for which a demand is kept after its image is present, so that followers see that state.
pub(super) const READY_RETENTION: Duration = Duration::from_mins(1);

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

    fn cmp_waiter(&self, waiter: &Waiter) -> Ordering {
        let by_pod = self.uid.cmp(&waiter.pod.uid);
        let by_consumer = by_pod.then_with(|| self.consumer.cmp(&waiter.consumer));
        by_consumer.then_with(|| self.image.cmp(&waiter.image))
    }
}

/// Identifies an attempt of a demand.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct AttemptKey {
    pub(super) demand: DemandKey,
    /// The attempt's [`id_time`](Attempt::id_time).
    pub(super) at: NodeTime,
}

/// A container or volume that needs an image.
#[derive(Clone, Debug)]
pub(super) struct ImageDemand {
    pub(super) pod: PodRef,
    /// The pod's own data; `None` if the demand is known from events alone.
    pub(super) declared: Option<DeclaredImage>,
    pub(super) events: EventLog,
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
}

/// The state of a demand.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum DemandState {
    /// Not announced by the kubelet yet.
    Pending,
    /// The last attempt was announced and has not ended.
    InProgress,
    /// The last attempt failed.
    Failed,
    /// The image is on the node, or was.
    Present,
}

impl ImageDemand {
    pub(super) fn new(pod: PodRef, now: Mono) -> Self {
        Self {
            pod,
            declared: None,
            events: EventLog::default(),
            updated_at: now,
            announcement_received_at: now,
            pod_removed_at: None,
            seen_live: false,
        }
    }

    /// Records an event. Returns whether it was new.
    pub(super) fn record_event(&mut self, event: &PullEvent, live: bool, now: Mono) -> bool {
        self.seen_live |= live;
        let recorded = self.events.record(event);
        if recorded == Recorded::Latest {
            self.updated_at = now;
            if event.message.kind == PullEventKind::Pulling {
                self.announcement_received_at = now;
            }
        }
        recorded != Recorded::Known
    }

    /// Records what its pod declares. Returns whether that was new.
    pub(super) fn declare(&mut self, declared: DeclaredImage, now: Mono) -> bool {
        if self.pod_removed_at.is_none() && self.declared.as_ref() == Some(&declared) {
            return false;
        }
        self.declared = Some(declared);
        self.pod_removed_at = None;
        self.updated_at = now;
        true
    }

    /// Derives the state from the last attempt and the pod's status. The status lags, so it
    /// overrides an attempt only after a while.
    pub(super) fn state(&self, attempts: &[Attempt], now: Mono) -> DemandState {
        let declared_status = self.declared.as_ref().map(|declared| &declared.status);
        let present = matches!(declared_status, Some(ImagePresence::Present { .. }));
        let overrides = |since: Mono| present && now.since(since) >= STATUS_LAG;
        let Some(last) = attempts.last() else {
            return if present { DemandState::Present } else { DemandState::Pending };
        };
        match last.outcome() {
            Some(AttemptOutcome::Pulled { .. } | AttemptOutcome::AlreadyPresent) => {
                DemandState::Present
            }
            Some(AttemptOutcome::Failed(_)) if overrides(self.updated_at) => DemandState::Present,
            Some(AttemptOutcome::Failed(_)) => DemandState::Failed,
            None if overrides(self.announcement_received_at) => DemandState::Present,
            None => DemandState::InProgress,
        }
    }

    /// Reports whether it no longer matters, unless a pull is linked to it.
    pub(super) fn is_stale(&self, now: Mono, ttl: Duration) -> bool {
        let unchanged_for = now.since(self.updated_at);
        let waits = self.pod_removed_at.is_none() && self.declared.is_some();
        match self.state(&self.events.attempts(), now) {
            DemandState::Pending => !waits && unchanged_for >= READY_RETENTION,
            DemandState::Present if self.events.is_empty() => unchanged_for >= READY_RETENTION,
            DemandState::Present => unchanged_for >= ttl,
            DemandState::InProgress | DemandState::Failed => !waits && unchanged_for >= ttl,
        }
    }

    /// Returns the failure of this image according to the pod's status. For an image volume, that
    /// is the status of a container, so a message that quotes only other images is ignored.
    fn failure_from_status(&self, image: &RequestedImage) -> Option<Failure> {
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
}

/// A demand while it is matched with pulls.
#[derive(Debug)]
pub(super) struct Candidate<'a> {
    pub(super) key: &'a DemandKey,
    pub(super) demand: &'a ImageDemand,
    pub(super) attempts: Vec<Attempt>,
    pub(super) state: DemandState,
    /// The pull that served each attempt, by the attempt's index.
    pub(super) served_by: BTreeMap<usize, ServingPull<'a>>,
    /// Pulls it was linked to before. Without events, its pod's status no longer shows that it
    /// waited once those pulls have ended.
    pub(super) previous_links: BTreeSet<&'a PullId>,
}

/// The pull that served an attempt.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct ServingPull<'a> {
    pub(super) id: &'a PullId,
    /// When it ended for that attempt.
    pub(super) ended_at: Option<NodeTime>,
}

/// The result of the last evaluation for one pull.
#[derive(Clone, Copy, Debug)]
pub(super) struct PreviousResult<'a> {
    pub(super) pull: ServingPull<'a>,
    pub(super) links: Option<&'a Links>,
    /// The attempt it served, if that is final.
    pub(super) settled_attempt: Option<&'a AttemptKey>,
}

/// Returns all demands as candidates, ordered by key.
pub(super) fn candidates<'a>(
    demands: &'a BTreeMap<DemandKey, ImageDemand>,
    previous: impl Iterator<Item = PreviousResult<'a>>,
    now: Mono,
) -> Vec<Candidate<'a>> {
    let mut candidates: Vec<Candidate<'a>> =
        demands.iter().map(|(key, demand)| Candidate::new(key, demand, now)).collect();
    for result in previous {
        if let Some(settled) = result.settled_attempt
            && let Ok(index) = candidates.binary_search_by(|one| one.key.cmp(&settled.demand))
        {
            candidates[index].restore_served(settled.at, result.pull);
        }
        for (waiter, _) in result.links.iter().flat_map(|links| &links.pods) {
            if let Some(index) = find(&candidates, waiter)
                && candidates[index].demand.events.is_empty()
                && candidates[index].is_waiter(waiter)
            {
                candidates[index].previous_links.insert(result.pull.id);
            }
        }
    }
    candidates
}

/// Returns the index of the candidate for a waiter.
pub(super) fn find(candidates: &[Candidate<'_>], waiter: &Waiter) -> Option<usize> {
    candidates.binary_search_by(|candidate| candidate.key.cmp_waiter(waiter)).ok()
}

impl<'a> Candidate<'a> {
    fn new(key: &'a DemandKey, demand: &'a ImageDemand, now: Mono) -> Self {
        let attempts = demand.events.attempts();
        let state = demand.state(&attempts, now);
        Self {
            key,
            demand,
            attempts,
            state,
            served_by: BTreeMap::new(),
            previous_links: BTreeSet::new(),
        }
    }

    /// Restores an earlier result for a pull that is settled.
    fn restore_served(&mut self, at: NodeTime, pull: ServingPull<'a>) {
        let index = self.attempts.iter().position(|attempt| attempt.id_time() == Some(at));
        if let Some(index) = index {
            self.served_by.insert(index, pull);
        }
    }

    /// Returns the pull that served this attempt.
    pub(super) fn serving_pull(&self, attempt: usize) -> Option<&'a PullId> {
        self.served_by.get(&attempt).map(|pull| pull.id)
    }

    /// Returns why the last attempt failed, from events, or else from the pod's status.
    pub(super) fn failure(&self) -> Option<Failure> {
        match self.attempts.last() {
            Some(last) => last.failure().cloned(),
            None => self.demand.failure_from_status(&self.key.image),
        }
    }

    pub(super) fn waiter(&self) -> Waiter {
        Waiter {
            pod: self.demand.pod.clone(),
            consumer: self.key.consumer.clone(),
            image: self.key.image.clone(),
        }
    }

    /// Reports whether this is its waiter.
    pub(super) fn is_waiter(&self, waiter: &Waiter) -> bool {
        self.demand.pod == waiter.pod
            && self.key.consumer == waiter.consumer
            && self.key.image == waiter.image
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::correlate::tests::facts::{Facts, NOW, image};
    use crate::correlate::tests::world::{
        at, failed_event, lease, pod, pulled_event, pulling_event, running, waiting,
    };

    const APP: &str = "registry.test/shop/app:1";
    const DB: &str = "registry.test/shop/db:1";
    const NOT_FOUND: &str = "registry.test/shop/app:1: not found";
    const LATER: Mono = Mono(Duration::from_secs(1_030));

    /// Returns the state at once, and after the status can be trusted.
    fn states(facts: &Facts) -> [DemandState; 2] {
        let demand = facts.0.values().next().unwrap();
        let attempts = demand.events.attempts();
        [NOW, LATER].map(|now| demand.state(&attempts, now))
    }

    #[test]
    fn state_follows_events_before_status() {
        use DemandState::{Failed, InProgress, Pending, Present};
        let announced = pulling_event("web", "app", APP, 1.0);
        let failed = failed_event("web", "app", APP, NOT_FOUND, (2.0, 2.0, 1));
        let pulled = pulled_event("web", "app", APP, 3.0, 2.0, 2.0);
        let waits = || Facts::default().pod(pod("web", vec![waiting("app", APP)]));
        let runs = || Facts::default().pod(pod("web", vec![running("app", APP, 2.0)]));
        assert_eq!(states(&waits()), [Pending; 2]);
        assert_eq!(states(&runs()), [Present; 2]);
        assert_eq!(states(&waits().event(&announced)), [InProgress; 2]);
        assert_eq!(states(&waits().event(&announced).event(&pulled)), [Present; 2]);
        assert_eq!(states(&waits().event(&announced).event(&failed)), [Failed; 2]);
        assert_eq!(states(&runs().event(&announced)), [InProgress, Present]);
        assert_eq!(states(&runs().event(&failed)), [Failed, Present]);
    }

    #[test]
    fn demand_is_kept_while_its_pod_waits() {
        let ttl = Duration::from_mins(30);
        let facts = Facts::default().pod(pod("web", vec![waiting("app", APP)]));
        let demand = facts.0.values().next().unwrap();
        let much_later = Mono(Duration::from_hours(10));
        assert!(!demand.is_stale(much_later, ttl));
        let removed = ImageDemand { pod_removed_at: Some(NOW), ..demand.clone() };
        assert!(!removed.is_stale(LATER, ttl));
        assert!(removed.is_stale(much_later, ttl));
    }

    #[test]
    fn status_about_other_images_is_no_failure() {
        let mut declared = waiting("app", APP);
        declared.presence = ImagePresence::Waiting {
            reason: Some("ErrImagePull".into()),
            message: Some(format!("failed to pull image \"{DB}\": {DB}: not found").into()),
        };
        let facts = Facts::default().pod(pod("web", vec![declared]));
        let demand = facts.0.values().next().unwrap();
        assert_eq!(demand.failure_from_status(&image(APP)), None);
        let failure = demand.failure_from_status(&image(DB)).unwrap();
        assert_eq!(failure.reason, FailureReason::NotFound);
    }

    #[test]
    fn candidate_keeps_settled_attempt_and_previous_links() {
        let facts = Facts::default()
            .event(&pulling_event("db", "db", DB, 1.0))
            .pod(pod("web", vec![running("app", APP, 3.0)]));
        let [settled, linked] = [lease(1, 1.1).facts.id, lease(2, 2.0).facts.id];
        let candidates = facts.candidates();
        let (db, web) = (&candidates[0], &candidates[1]);
        let attempt = AttemptKey { demand: db.key.clone(), at: at(1.0) };
        let links = Links {
            pods: vec![(web.waiter(), pulltrace_core::LinkEvidence::OnlyCandidate)],
            ..Links::default()
        };
        let pull = |id| ServingPull { id, ended_at: Some(at(2.0)) };
        let previous = [
            PreviousResult { pull: pull(&settled), links: None, settled_attempt: Some(&attempt) },
            PreviousResult { pull: pull(&linked), links: Some(&links), settled_attempt: None },
        ];
        let candidates = super::candidates(&facts.0, previous.into_iter(), NOW);
        assert_eq!(candidates[0].serving_pull(0), Some(&settled));
        assert_eq!(candidates[1].previous_links, BTreeSet::from([&linked]));
    }
}
