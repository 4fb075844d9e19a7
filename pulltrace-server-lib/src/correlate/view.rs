//! The images one pod waits for, in the kubelet's order, and a summary in one sentence.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::time::Duration;

use pulltrace_core::wire::v1;
use pulltrace_core::{
    ImageConsumer, Links, Mono, NodeName, Outcome, PodUid, Pull, PullId, RequestedImage,
    WaitingKind,
};

use super::attribution::Candidate;
use super::demand::{DemandState, next_retry};
use super::tag_index::TagIndex;
use crate::change::{Correction, ImageState, ImageView, PodView};
use crate::cluster::{ImageConsumerKind, ImagePresence};

/// Time for which a pod stays visible after all its images are present, so that followers see that
/// state.
pub(super) const READY_RETENTION: Duration = Duration::from_mins(1);

/// Returns the pods of a node to show: those with a missing image, and those that became ready a
/// moment ago.
pub(super) fn pod_views<'a>(
    node: &NodeName,
    candidates: &[Candidate<'_>],
    linked: impl Iterator<Item = (&'a Pull, &'a Links)>,
    tag_index: &TagIndex,
    now: Mono,
) -> BTreeMap<PodUid, PodView> {
    let mut pulls: BTreeMap<(&PodUid, &ImageConsumer, &RequestedImage), (&Pull, &Links)> =
        BTreeMap::new();
    for (pull, links) in linked {
        for (waiter, _) in &links.pods {
            let key = (&waiter.pod.uid, &waiter.consumer, &waiter.image);
            let better = |known: &Pull| {
                (pull.outcome().is_none(), pull.started_at)
                    > (known.outcome().is_none(), known.started_at)
            };
            if pulls.get(&key).is_none_or(|(known, _)| better(known)) {
                pulls.insert(key, (pull, links));
            }
        }
    }
    let mut pods: BTreeMap<&PodUid, Vec<&Candidate<'_>>> = BTreeMap::new();
    for candidate in candidates {
        pods.entry(&candidate.key.uid).or_default().push(candidate);
    }
    let mut views = BTreeMap::new();
    for (uid, mut candidates) in pods {
        let order = |candidate: &Candidate<'_>| {
            candidate.demand.declared.as_ref().map_or(usize::MAX, |s| s.order)
        };
        candidates.sort_by_key(|candidate| (order(candidate), candidate.key));
        // If the pod is known, ignore images that it no longer names.
        if candidates.iter().any(|candidate| candidate.demand.declared.is_some()) {
            candidates.retain(|candidate| candidate.demand.declared.is_some());
        }
        let Some(first) = candidates.first() else {
            continue;
        };
        let pod = first.demand.pod.clone();
        let deleted = candidates.iter().all(|candidate| candidate.demand.pod_removed_at.is_some());
        let images = candidates.iter().map(|candidate| {
            let key = (&candidate.key.uid, &candidate.key.consumer, &candidate.key.image);
            image_view(candidate, pulls.get(&key).copied(), tag_index)
        });
        let view = PodView { pod, node: node.clone(), images: images.collect(), gone: deleted };
        let unchanged_for =
            candidates.iter().map(|candidate| now.since(candidate.demand.updated_at)).min();
        if view.is_ready() && unchanged_for >= Some(READY_RETENTION) {
            continue;
        }
        views.insert(uid.clone(), view);
    }
    views
}

fn image_view(
    candidate: &Candidate<'_>,
    pull: Option<(&Pull, &Links)>,
    tag_index: &TagIndex,
) -> ImageView {
    let spec = candidate.demand.declared.as_ref();
    let live = pull.filter(|(pull, _)| pull.outcome().is_none());
    let failure = candidate.failure();
    let state = match (&candidate.state, live) {
        (DemandState::Present, _) => ImageState::Present,
        (_, Some((pull, _))) if matches!(pull.id, PullId::Announced { .. }) => ImageState::Queued,
        (_, Some(_)) => ImageState::Pulling,
        // The kubelet's event or the pod's status may still be under way.
        (DemandState::InProgress(_) | DemandState::Pending, None) if has_completed(pull) => {
            ImageState::Present
        }
        (DemandState::InProgress(_), None) => ImageState::Queued,
        (DemandState::Failed(_), None) => ImageState::Failed,
        (DemandState::Pending, None) if failure.is_some() => ImageState::Failed,
        (DemandState::Pending, None) => ImageState::Pending,
    };
    let reason = spec.and_then(|spec| match &spec.status {
        ImagePresence::Waiting { reason, .. } => reason.clone(),
        ImagePresence::Present { .. } => None,
    });
    let last = candidate.attempts.last();
    let next = last.and_then(|attempt| {
        let (at, failure) = attempt.failure()?;
        next_retry(at, attempt.number, failure)
    });
    ImageView {
        name: spec
            .map_or_else(|| candidate.key.consumer.as_str().into(), |spec| Arc::clone(&spec.name)),
        kind: spec.map_or_else(|| consumer_kind(&candidate.key.consumer), |spec| spec.kind),
        image: candidate.key.image.clone(),
        state,
        pull: pull.map(|(pull, _)| pull.id.clone()),
        attempt: last.map(|attempt| attempt.number),
        reason: reason.filter(|_| state != ImageState::Present),
        next_retry_at: next.filter(|_| state == ImageState::Failed),
        failure: failure.filter(|_| state == ImageState::Failed),
        size: candidate.key.image.image_ref().and_then(|name| tag_index.size(name)),
    }
}

fn has_completed(pull: Option<(&Pull, &Links)>) -> bool {
    pull.is_some_and(|(pull, _)| pull.outcome() == Some(Outcome::Completed))
}

/// Derives the kind of a consumer known from events alone.
fn consumer_kind(consumer: &ImageConsumer) -> ImageConsumerKind {
    // Container names have no capital letters.
    if consumer.as_str().starts_with("Image-") {
        ImageConsumerKind::Volume
    } else {
        ImageConsumerKind::Container
    }
}

/// Returns the status of a pod. `pull` returns a pull and the clock correction of its node.
#[must_use]
pub fn pod_status(
    view: &PodView,
    pull: impl Fn(&PullId) -> Option<(Arc<Pull>, Correction)>,
) -> v1::PodStatus {
    let pulls: Vec<Option<(Arc<Pull>, Correction)>> =
        view.images.iter().map(|image| image.pull.as_ref().and_then(&pull)).collect();
    let before = |pull: &Pull| pull.waiting_on.as_ref().and_then(|w| w.pull.clone());
    let is_moving_or_next = |found: &Pull| {
        let behind = before(found).and_then(|id| pull(&id));
        is_moving(found) || behind.is_some_and(|(pull, _)| is_moving(&pull))
    };
    let rate = pulls.iter().flatten().find_map(|(pull, _)| pull.rate);
    let mut counted: BTreeSet<&PullId> = BTreeSet::new();
    let (mut sum, mut least) = (Some(Duration::ZERO), Duration::ZERO);
    let mut images = Vec::new();
    for (image, found) in view.images.iter().zip(&pulls) {
        let found = found.as_ref();
        let left = time_left(image, found.map(|(pull, _)| &**pull), rate.map(|r| r.get()));
        let again = image.pull.as_ref().is_some_and(|id| !counted.insert(id));
        if !again && image.state != ImageState::Present {
            sum = sum.zip(left).map(|(sum, left)| sum.saturating_add(left));
            least = least.saturating_add(left.unwrap_or_default());
        }
        let correction = found.map(|(_, correction)| *correction).unwrap_or_default();
        images.push(image_status(image, left, correction));
    }
    let ready = view.is_ready();
    let is_active =
        |pull: &(Arc<Pull>, Correction)| pull.0.outcome().is_none() && is_moving_or_next(&pull.0);
    let least = (least > Duration::ZERO).then_some(least);
    v1::PodStatus {
        namespace: view.pod.namespace.to_string(),
        pod_name: view.pod.name.to_string(),
        uid: view.pod.uid.to_string(),
        node_name: view.node.to_string(),
        ready,
        moving: pulls.iter().flatten().any(is_active),
        summary: summary(view, &pulls, sum),
        eta_seconds: sum.filter(|_| !ready).map(seconds),
        eta_low_seconds: least.filter(|_| !ready).map(seconds),
        images,
    }
}

/// Rounds to one decimal.
fn seconds(duration: Duration) -> f64 {
    (duration.as_secs_f64() * 10.0).round() / 10.0
}

/// Reports whether a pull makes progress.
fn is_moving(pull: &Pull) -> bool {
    let waits_outside = pull.waiting_on.as_ref().is_some_and(|waiting| {
        matches!(waiting.kind, WaitingKind::Registry | WaitingKind::KubeletQueue)
    });
    pull.outcome().is_none()
        && pull.stalled_since.is_none()
        && pull.stale_since.is_none()
        && !waits_outside
}

/// Returns the time until an image is present, or `None` if unknown.
fn time_left(image: &ImageView, pull: Option<&Pull>, rate: Option<f64>) -> Option<Duration> {
    let own_time = || {
        let (size, rate) = (image.size?, rate?);
        Duration::try_from_secs_f64(size.as_f64() / rate).ok()
    };
    match image.state {
        ImageState::Present => Some(Duration::ZERO),
        ImageState::Pulling => pull?.eta.map(|eta| eta.left),
        ImageState::Queued => {
            let before = pull?.waiting_on.as_ref()?.left?;
            Some(before.saturating_add(own_time()?))
        }
        ImageState::Pending => own_time(),
        ImageState::Failed => None,
    }
}

fn image_status(image: &ImageView, left: Option<Duration>, correction: Correction) -> v1::PodImage {
    let left = left.filter(|_| image.state != ImageState::Present);
    let failure = image.failure.as_ref().map(|failure| {
        let mut failure = v1::Failure::from(failure);
        failure.next_retry_at = image.next_retry_at.map(|at| correction.apply(at));
        failure
    });
    v1::PodImage {
        container: image.name.to_string(),
        kind: match image.kind {
            ImageConsumerKind::Volume => v1::SlotKind::Volume,
            ImageConsumerKind::Init => v1::SlotKind::Init,
            ImageConsumerKind::Sidecar => v1::SlotKind::Sidecar,
            ImageConsumerKind::Container => v1::SlotKind::Container,
            ImageConsumerKind::Ephemeral => v1::SlotKind::Ephemeral,
        },
        image: image.image.to_string(),
        state: match image.state {
            ImageState::Failed => v1::ImageState::Failed,
            ImageState::Pending => v1::ImageState::Pending,
            ImageState::Queued => v1::ImageState::Queued,
            ImageState::Pulling => v1::ImageState::Pulling,
            ImageState::Present => v1::ImageState::Present,
        },
        pull: image.pull.as_ref().map(ToString::to_string),
        attempt: image.attempt,
        waiting_reason: image.reason.as_deref().map(str::to_owned),
        failure,
        eta_seconds: left.map(seconds),
    }
}

/// Summarises the state of a pod in one sentence.
fn summary(
    view: &PodView,
    pulls: &[Option<(Arc<Pull>, Correction)>],
    left: Option<Duration>,
) -> String {
    let open = view.images.iter().zip(pulls);
    let open: Vec<_> = open.filter(|(image, _)| image.state != ImageState::Present).collect();
    let all = view.images.len();
    let images = |count: usize| {
        if count == 1 { "1 image".to_owned() } else { format!("{count} images") }
    };
    // The image that is furthest along is the one the kubelet works on; a failure blocks all
    // others.
    let failed = open.iter().find(|(image, _)| image.state == ImageState::Failed);
    let nearest = open.iter().max_by_key(|(image, _)| image.state);
    let Some((image, pull)) = failed.or(nearest) else {
        return if all == 1 {
            "its image is present".to_owned()
        } else {
            format!("all {all} images are present")
        };
    };
    let pull = pull.as_ref().map(|(pull, _)| &**pull);
    let detail = match (image.state, pull) {
        (ImageState::Failed, _) => {
            let why = image.failure.as_ref().map_or("unexplained", |f| f.reason.as_str());
            let attempts = image.attempt.filter(|attempt| *attempt > 1);
            let tries = attempts.map_or_else(String::new, |tries| format!(", {tries} attempts"));
            format!("cannot be pulled: {why}{tries}")
        }
        (ImageState::Pending, _) => "is not requested yet".to_owned(),
        (ImageState::Queued, Some(pull)) => {
            let ahead = pull.waiting_on.as_ref().and_then(|waiting| waiting.ahead);
            match ahead {
                Some(1) => "is queued behind 1 pull".to_owned(),
                Some(ahead @ 2..) => format!("is queued behind {ahead} pulls"),
                Some(0) | None => "is queued".to_owned(),
            }
        }
        (ImageState::Queued, None) => "was just announced".to_owned(),
        (_, Some(pull)) => {
            let percent = pull.percent.map(|percent| format!(", {:.0} %", percent.get().floor()));
            let note = if pull.stale_since.is_some() {
                " (its node is not reporting)"
            } else if pull.stalled_since.is_some() {
                " (stalled)"
            } else {
                ""
            };
            format!("is {}{}{note}", pull.phase, percent.unwrap_or_default())
        }
        (_, None) => "is being pulled".to_owned(),
    };
    let count =
        if open.len() == all { images(all) } else { format!("{} of {}", open.len(), images(all)) };
    let left =
        left.map_or_else(String::new, |left| format!("; about {} s left", left.as_secs().max(1)));
    format!("waits for {count}: {} {detail}{left}", image.image)
}
