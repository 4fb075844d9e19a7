//! Phase 5: which pods are shown, and how far is each of their images?

use std::collections::BTreeMap;
use std::sync::Arc;

use pulltrace_core::{ImageConsumer, Links, Mono, NodeName, Outcome, PodUid, Pull, PullId};

use super::demand::{self, Candidate, DemandState, READY_RETENTION};
use super::tag_index::TagIndex;
use crate::change::{ImageState, ImageView, PodView};
use crate::cluster::{ImageConsumerKind, ImagePresence};

/// Input of the views, besides the results of earlier phases.
#[derive(Clone, Copy, Debug)]
pub(super) struct ViewContext<'a> {
    pub(super) node: &'a NodeName,
    pub(super) tag_index: &'a TagIndex,
    pub(super) now: Mono,
}

/// A pull or an announced row, with its links.
#[derive(Clone, Copy, Debug)]
pub(super) struct LinkedPull<'a> {
    pub(super) pull: &'a Pull,
    pub(super) links: &'a Links,
}

/// A candidate, with the pull to show for it.
#[derive(Clone, Copy, Debug)]
struct CandidateView<'a> {
    candidate: &'a Candidate<'a>,
    pull: Option<&'a Pull>,
}

/// Returns the pods of a node to show: those with a missing image, and those that became ready a
/// moment ago. `candidates` must be ordered by key.
pub(super) fn pod_views<'a>(
    candidates: &'a [Candidate<'a>],
    linked: impl Iterator<Item = LinkedPull<'a>>,
    context: ViewContext<'_>,
) -> BTreeMap<PodUid, PodView> {
    let of_candidate = |candidate| CandidateView { candidate, pull: None };
    let mut views: Vec<CandidateView<'a>> = candidates.iter().map(of_candidate).collect();
    for LinkedPull { pull, links } in linked {
        for (waiter, _) in &links.pods {
            if let Some(index) = demand::find(candidates, waiter) {
                views[index].offer(pull);
            }
        }
    }
    let pods = views.chunk_by(|a, b| a.candidate.key.uid == b.candidate.key.uid);
    let shown = pods.filter_map(|pod| {
        let uid = pod.first()?.candidate.key.uid.clone();
        Some((uid, pod_view(pod, context)?))
    });
    shown.collect()
}

/// Returns the view of one pod, or `None` if it is not shown.
fn pod_view(candidates: &[CandidateView<'_>], context: ViewContext<'_>) -> Option<PodView> {
    let mut ordered: Vec<CandidateView<'_>> = candidates.to_vec();
    // If the pod is known, ignore images that it no longer names.
    if ordered.iter().any(|view| view.candidate.demand.declared.is_some()) {
        ordered.retain(|view| view.candidate.demand.declared.is_some());
    }
    ordered.sort_by_key(CandidateView::order);
    let demands = || ordered.iter().map(|view| view.candidate.demand);
    let pod = PodView {
        pod: demands().next()?.pod.clone(),
        node: context.node.clone(),
        images: ordered.iter().map(|view| view.image(context.tag_index)).collect(),
        gone: demands().all(|demand| demand.pod_removed_at.is_some()),
    };
    let updated_at = demands().map(|demand| demand.updated_at).max()?;
    let was_seen_ready = pod.is_ready() && context.now.since(updated_at) >= READY_RETENTION;
    (!was_seen_ready).then_some(pod)
}

impl<'a> CandidateView<'a> {
    /// Returns the position of its image in the order in which the kubelet pulls.
    fn order(&self) -> usize {
        self.candidate.demand.declared.as_ref().map_or(usize::MAX, |declared| declared.order)
    }

    /// Shows this pull, if it is live or newer than the current one.
    fn offer(&mut self, pull: &'a Pull) {
        let relevance = |pull: &Pull| (pull.outcome().is_none(), pull.started_at);
        if self.pull.is_none_or(|known| relevance(pull) > relevance(known)) {
            self.pull = Some(pull);
        }
    }

    fn image(&self, tag_index: &TagIndex) -> ImageView {
        let Self { candidate, pull } = *self;
        let declared = candidate.demand.declared.as_ref();
        let failure = candidate.failure();
        let state = image_state(candidate.state, pull, failure.is_some());
        let reason = declared.and_then(|declared| match &declared.status {
            ImagePresence::Waiting { reason, .. } => reason.clone(),
            ImagePresence::Present { .. } => None,
        });
        let consumer = &candidate.key.consumer;
        let last = candidate.attempts.last();
        ImageView {
            name: declared.map_or_else(|| consumer.as_str().into(), |one| Arc::clone(&one.name)),
            kind: declared.map_or_else(|| consumer_kind(consumer), |declared| declared.kind),
            image: candidate.key.image.clone(),
            state,
            pull: pull.map(|pull| pull.id.clone()),
            attempt: last.map(|attempt| attempt.number),
            reason: reason.filter(|_| state != ImageState::Present),
            next_retry_at: last
                .filter(|_| state == ImageState::Failed)
                .and_then(|attempt| attempt.next_retry_at()),
            failure: failure.filter(|_| state == ImageState::Failed),
            size: candidate.key.image.image_ref().and_then(|name| tag_index.size(name)),
        }
    }
}

/// Returns the state of an image from that of its demand and the pull that it waits for.
fn image_state(demand: DemandState, pull: Option<&Pull>, has_failed: bool) -> ImageState {
    let live = pull.filter(|pull| pull.outcome().is_none());
    let was_pulled = pull.is_some_and(|pull| pull.outcome() == Some(Outcome::Completed));
    match (demand, live) {
        (DemandState::Present, _) => ImageState::Present,
        (_, Some(pull)) if matches!(pull.id, PullId::Announced { .. }) => ImageState::Queued,
        (_, Some(_)) => ImageState::Pulling,
        // The kubelet's event or the pod's status may still be under way.
        (DemandState::InProgress | DemandState::Pending, None) if was_pulled => ImageState::Present,
        (DemandState::InProgress, None) => ImageState::Queued,
        (DemandState::Failed, None) => ImageState::Failed,
        (DemandState::Pending, None) if has_failed => ImageState::Failed,
        (DemandState::Pending, None) => ImageState::Pending,
    }
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

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use pulltrace_core::LinkEvidence;

    use super::*;
    use crate::correlate::tests::facts::{Facts, NOW};
    use crate::correlate::tests::world::{completed, lease, pod, pulling_event, running, waiting};

    const APP: &str = "registry.test/shop/app:1";
    const DB: &str = "registry.test/shop/db:1";

    /// Returns the view of the only pod, after a time without changes.
    fn view(candidates: &[Candidate<'_>], pulls: &[Pull], after: Duration) -> Option<PodView> {
        let links =
            Links { pods: vec![(candidates[0].waiter(), LinkEvidence::Event)], ..Links::default() };
        let linked = pulls.iter().map(|pull| LinkedPull { pull, links: &links });
        let node = "w1".parse().unwrap();
        let tag_index = TagIndex::default();
        let now = Mono(NOW.0 + after);
        let context = ViewContext { node: &node, tag_index: &tag_index, now };
        let views = pod_views(candidates, linked, context);
        assert!(views.len() <= 1);
        views.into_values().next()
    }

    #[test]
    fn image_state_combines_demand_and_pull() {
        let live = lease(1, 1.0);
        let ended = completed(lease(1, 1.0), 2.0, &[APP]);
        let id = PullId::Announced {
            node: "w1".parse().unwrap(),
            namespace: "k8s.io".parse().unwrap(),
            pod: "uid-web".parse().unwrap(),
            consumer: "app".parse().unwrap(),
            at: live.started_at,
        };
        let announced = Pull::new(id, pulltrace_core::Phase::Queued, live.started_at);
        let state = |demand, pull| image_state(demand, pull, false);
        assert_eq!(state(DemandState::Present, Some(&live)), ImageState::Present);
        assert_eq!(state(DemandState::Pending, Some(&live)), ImageState::Pulling);
        assert_eq!(state(DemandState::InProgress, Some(&announced)), ImageState::Queued);
        assert_eq!(state(DemandState::InProgress, Some(&ended)), ImageState::Present);
        assert_eq!(state(DemandState::InProgress, None), ImageState::Queued);
        assert_eq!(state(DemandState::Failed, Some(&ended)), ImageState::Failed);
        assert_eq!(state(DemandState::Pending, None), ImageState::Pending);
        assert_eq!(image_state(DemandState::Pending, None, true), ImageState::Failed);
    }

    #[test]
    fn pod_shows_declared_images_in_pull_order() {
        let facts = Facts::default()
            .pod(pod("web", vec![waiting("z-init", DB), waiting("app", APP)]))
            .event(&pulling_event("web", "renamed", APP, 1.0));
        let view = view(&facts.candidates(), &[], Duration::ZERO).unwrap();
        let names: Vec<_> = view.images.iter().map(|image| &*image.name).collect();
        assert_eq!(names, ["z-init", "app"]);
    }

    #[test]
    fn image_shows_live_pull_before_newer_ended_one() {
        let facts = Facts::default().event(&pulling_event("web", "app", APP, 1.0));
        let pulls = [completed(lease(1, 9.0), 9.5, &[APP]), lease(2, 3.0)];
        let view = view(&facts.candidates(), &pulls, Duration::ZERO).unwrap();
        assert_eq!(view.images[0].pull.as_ref(), Some(&pulls[1].id));
    }

    #[test]
    fn ready_pod_is_shown_for_a_moment() {
        let facts = Facts::default().pod(pod("web", vec![running("app", APP, 1.0)]));
        let candidates = facts.candidates();
        assert!(view(&candidates, &[], Duration::ZERO).unwrap().is_ready());
        assert_eq!(view(&candidates, &[], READY_RETENTION), None);
    }
}
