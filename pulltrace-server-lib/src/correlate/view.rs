//! What one pod waits for: its images in the kubelet's order, and in one sentence.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::time::Duration;

use pulltrace_core::wire::v1;
use pulltrace_core::{
    Links, Mono, NodeName, Outcome, PodUid, Pull, PullId, Slot, WaitingKind, WantedImage,
};

use super::judge::Wanting;
use super::learned::Learned;
use super::want::{Standing, next_retry};
use crate::change::{Correction, ImageState, ImageView, PodView};
use crate::cluster::{Seen, SlotKind};

/// How long a pod of which all images are there is still shown: who follows it is told so.
pub(super) const READY_FOR: Duration = Duration::from_mins(1);

/// The pods of a node that are to be shown: those with an image that is not there, and those of which all
/// have been there only since a moment ago.
pub(super) fn views<'a>(
    node: &NodeName,
    wants: &[Wanting<'_>],
    linked: impl Iterator<Item = (&'a Pull, &'a Links)>,
    learned: &Learned,
    now: Mono,
) -> BTreeMap<PodUid, PodView> {
    let mut pulls: BTreeMap<(&PodUid, &Slot, &WantedImage), (&Pull, &Links)> = BTreeMap::new();
    for (pull, links) in linked {
        for (waiter, _) in &links.pods {
            let key = (&waiter.pod.uid, &waiter.slot, &waiter.image);
            let better = |known: &Pull| {
                (pull.outcome().is_none(), pull.started_at)
                    > (known.outcome().is_none(), known.started_at)
            };
            if pulls.get(&key).is_none_or(|(known, _)| better(known)) {
                pulls.insert(key, (pull, links));
            }
        }
    }
    let mut pods: BTreeMap<&PodUid, Vec<&Wanting<'_>>> = BTreeMap::new();
    for want in wants {
        pods.entry(&want.key.uid).or_default().push(want);
    }
    let mut views = BTreeMap::new();
    for (uid, mut wants) in pods {
        let order = |want: &Wanting<'_>| want.want.spec.as_ref().map_or(usize::MAX, |s| s.order);
        wants.sort_by_key(|want| (order(want), want.key));
        // What the pod names no more is of no interest, where the pod is known.
        if wants.iter().any(|want| want.want.spec.is_some()) {
            wants.retain(|want| want.want.spec.is_some());
        }
        let Some(first) = wants.first() else { continue };
        let pod = first.want.pod.clone();
        let gone = wants.iter().all(|want| want.want.gone.is_some());
        let images = wants.iter().map(|want| {
            let key = (&want.key.uid, &want.key.slot, &want.key.image);
            image(want, pulls.get(&key).copied(), learned)
        });
        let view = PodView {
            pod,
            node: node.clone(),
            images: images.collect(),
            gone,
        };
        let quiet = wants.iter().map(|want| now.since(want.want.news)).min();
        if view.is_ready() && quiet >= Some(READY_FOR) {
            continue;
        }
        views.insert(uid.clone(), view);
    }
    views
}

fn image(want: &Wanting<'_>, pull: Option<(&Pull, &Links)>, learned: &Learned) -> ImageView {
    let spec = want.want.spec.as_ref();
    let live = pull.filter(|(pull, _)| pull.outcome().is_none());
    let failure = want.failure();
    let state = match (&want.standing, live) {
        (Standing::Present, _) => ImageState::Present,
        (_, Some((pull, _))) if matches!(pull.id, PullId::Announced { .. }) => ImageState::Queued,
        (_, Some(_)) => ImageState::Pulling,
        // The kubelet's word, or the status, may be under way.
        (Standing::Open(_) | Standing::Pending, None) if brought(pull) => ImageState::Present,
        (Standing::Open(_), None) => ImageState::Queued,
        (Standing::Failed(_), None) => ImageState::Failed,
        (Standing::Pending, None) if failure.is_some() => ImageState::Failed,
        (Standing::Pending, None) => ImageState::Pending,
    };
    let reason = spec.and_then(|spec| match &spec.seen {
        Seen::Waiting { reason, .. } => reason.clone(),
        Seen::Present { .. } => None,
    });
    let last = want.tries.last();
    let next = last.and_then(|one| {
        let (at, failure) = one.failure()?;
        next_retry(at, one.number, failure)
    });
    ImageView {
        name: spec.map_or_else(
            || want.key.slot.as_str().into(),
            |spec| Arc::clone(&spec.name),
        ),
        kind: spec.map_or_else(|| kind(&want.key.slot), |spec| spec.kind),
        image: want.key.image.clone(),
        state,
        pull: pull.map(|(pull, _)| pull.id.clone()),
        attempt: last.map(|one| one.number),
        reason: reason.filter(|_| state != ImageState::Present),
        next_retry_at: next.filter(|_| state == ImageState::Failed),
        failure: failure.filter(|_| state == ImageState::Failed),
        size: want.key.image.named().and_then(|name| learned.size(name)),
    }
}

/// Whether the pull brought its image.
fn brought(pull: Option<(&Pull, &Links)>) -> bool {
    pull.is_some_and(|(pull, _)| pull.outcome() == Some(Outcome::Completed))
}

/// What a slot is of which only the kubelet spoke.
fn kind(slot: &Slot) -> SlotKind {
    // No name of a container has a capital letter.
    if slot.as_str().starts_with("Image-") {
        SlotKind::Volume
    } else {
        SlotKind::Container
    }
}

/// What people read of a pod. `pull` finds a pull, and what its node's times are to be corrected by.
#[must_use]
pub fn pod_status(
    view: &PodView,
    pull: impl Fn(&PullId) -> Option<(Arc<Pull>, Correction)>,
) -> v1::PodStatus {
    let pulls: Vec<Option<(Arc<Pull>, Correction)>> = view
        .images
        .iter()
        .map(|image| image.pull.as_ref().and_then(&pull))
        .collect();
    let before = |pull: &Pull| pull.waiting_on.as_ref().and_then(|w| w.pull.clone());
    let moves = |found: &Pull| {
        let behind = before(found).and_then(|id| pull(&id));
        moving(found) || behind.is_some_and(|(pull, _)| moving(&pull))
    };
    let rate = pulls.iter().flatten().find_map(|(pull, _)| pull.rate);
    let mut counted: BTreeSet<&PullId> = BTreeSet::new();
    let (mut sum, mut least) = (Some(Duration::ZERO), Duration::ZERO);
    let mut images = Vec::new();
    for (image, found) in view.images.iter().zip(&pulls) {
        let found = found.as_ref();
        let left = left(image, found.map(|(pull, _)| &**pull), rate.map(|r| r.get()));
        let again = image.pull.as_ref().is_some_and(|id| !counted.insert(id));
        if !again && image.state != ImageState::Present {
            sum = sum.zip(left).map(|(sum, left)| sum.saturating_add(left));
            least = least.saturating_add(left.unwrap_or_default());
        }
        let correction = found.map(|(_, correction)| *correction).unwrap_or_default();
        images.push(image_status(image, left, correction));
    }
    let ready = view.is_ready();
    let any = |pull: &(Arc<Pull>, Correction)| pull.0.outcome().is_none() && moves(&pull.0);
    let least = (least > Duration::ZERO).then_some(least);
    v1::PodStatus {
        namespace: view.pod.namespace.to_string(),
        pod_name: view.pod.name.to_string(),
        uid: view.pod.uid.to_string(),
        node_name: view.node.to_string(),
        ready,
        moving: pulls.iter().flatten().any(any),
        summary: summary(view, &pulls, sum),
        eta_seconds: sum.filter(|_| !ready).map(seconds),
        eta_low_seconds: least.filter(|_| !ready).map(seconds),
        images,
    }
}

/// One decimal.
fn seconds(duration: Duration) -> f64 {
    (duration.as_secs_f64() * 10.0).round() / 10.0
}

/// Whether it gets on.
fn moving(pull: &Pull) -> bool {
    let waits_outside = pull.waiting_on.as_ref().is_some_and(|waiting| {
        matches!(
            waiting.kind,
            WaitingKind::Registry | WaitingKind::KubeletQueue
        )
    });
    pull.outcome().is_none()
        && pull.stalled_since.is_none()
        && pull.stale_since.is_none()
        && !waits_outside
}

/// How much longer one image takes; `None` where that cannot be told.
fn left(image: &ImageView, pull: Option<&Pull>, rate: Option<f64>) -> Option<Duration> {
    let alone = || {
        let (size, rate) = (image.size?, rate?);
        Duration::try_from_secs_f64(size.as_f64() / rate).ok()
    };
    match image.state {
        ImageState::Present => Some(Duration::ZERO),
        ImageState::Pulling => pull?.eta.map(|eta| eta.left),
        ImageState::Queued => {
            let before = pull?.waiting_on.as_ref()?.left?;
            Some(before.saturating_add(alone()?))
        }
        ImageState::Pending => alone(),
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
            SlotKind::Volume => v1::SlotKind::Volume,
            SlotKind::Init => v1::SlotKind::Init,
            SlotKind::Sidecar => v1::SlotKind::Sidecar,
            SlotKind::Container => v1::SlotKind::Container,
            SlotKind::Ephemeral => v1::SlotKind::Ephemeral,
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

/// How it stands, in one sentence.
fn summary(
    view: &PodView,
    pulls: &[Option<(Arc<Pull>, Correction)>],
    left: Option<Duration>,
) -> String {
    let open = view.images.iter().zip(pulls);
    let open: Vec<_> = open
        .filter(|(image, _)| image.state != ImageState::Present)
        .collect();
    let all = view.images.len();
    let images = |count: usize| {
        if count == 1 {
            "1 image".to_owned()
        } else {
            format!("{count} images")
        }
    };
    // What is nearest to its image is what the kubelet is at; a failure stops all behind it.
    let failed = open
        .iter()
        .find(|(image, _)| image.state == ImageState::Failed);
    let nearest = open.iter().max_by_key(|(image, _)| image.state);
    let Some((image, pull)) = failed.or(nearest) else {
        return if all == 1 {
            "its image is here".to_owned()
        } else {
            format!("all of its {all} images are here")
        };
    };
    let pull = pull.as_ref().map(|(pull, _)| &**pull);
    let what = match (image.state, pull) {
        (ImageState::Failed, _) => {
            let why = image
                .failure
                .as_ref()
                .map_or("unexplained", |f| f.reason.as_str());
            let tries = image.attempt.filter(|attempt| *attempt > 1);
            let tries = tries.map_or_else(String::new, |tries| format!(", {tries} tries"));
            format!("cannot be pulled: {why}{tries}")
        }
        (ImageState::Pending, _) => "is not asked for yet".to_owned(),
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
            let percent = pull
                .percent
                .map(|percent| format!(", {:.0} %", percent.get().floor()));
            let trouble = if pull.stale_since.is_some() {
                " (its node is silent)"
            } else if pull.stalled_since.is_some() {
                " (stalled)"
            } else {
                ""
            };
            format!("is {}{}{trouble}", pull.phase, percent.unwrap_or_default())
        }
        (_, None) => "is being pulled".to_owned(),
    };
    let more = if open.len() == all {
        images(all)
    } else {
        format!("{} of {}", open.len(), images(all))
    };
    let left = left.map_or_else(String::new, |left| {
        format!("; about {} s left", left.as_secs().max(1))
    });
    format!("waits for {more}: {} {what}{left}", image.image)
}
