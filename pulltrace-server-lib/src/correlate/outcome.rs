//! Phase 4: how did each pull and each announced row end, and why?
//!
//! The runtime does not record why a pull failed; the kubelet's events and the pod's status do.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use pulltrace_core::{
    Failure, ImageConsumer, Links, NodeTime, Outcome, Percent, Phase, PodUid, Pull, PullId,
};

use super::attempt::{Attempt, AttemptOutcome};
use super::attribution::{AttributedPull, Attribution};
use super::demand::{AttemptKey, Candidate};
use super::queue::AnnouncedRow;

/// The new result for a pull that an agent reported.
#[derive(Debug)]
pub(super) struct PullResult {
    pub(super) id: PullId,
    /// The pull with the kubelet's failure reason.
    pub(super) shown: Arc<Pull>,
    /// `None` if unknown.
    pub(super) links: Option<Links>,
    /// The attempt it served.
    pub(super) served_attempt: Option<AttemptKey>,
}

/// An announced row that no longer exists.
#[derive(Debug, PartialEq)]
pub(super) struct MissingRow {
    pub(super) id: PullId,
    /// The ended row, or `None` if another row supersedes it.
    pub(super) ended: Option<Pull>,
}

/// Returns the rows among `shown` that are not among `rows`. `now` is the node's time.
pub(super) fn missing_rows<'a>(
    shown: impl Iterator<Item = &'a Pull>,
    rows: &BTreeMap<PullId, AnnouncedRow>,
    attribution: &Attribution<'_>,
    now: NodeTime,
) -> Vec<MissingRow> {
    let links = attribution.pulls.iter().map(|attributed| &attributed.links);
    let links = links.chain(rows.values().map(|row| &row.links));
    let superseded: BTreeSet<&PullId> =
        links.filter_map(|links| links.supersedes.as_ref()).collect();
    let missing = shown.filter(|pull| !rows.contains_key(&pull.id)).map(|pull| {
        let replaced =
            superseded.contains(&pull.id) || is_renamed(&pull.id, &attribution.candidates);
        let ended = if replaced { None } else { ended_row(pull, &attribution.candidates, now) };
        MissingRow { id: pull.id.clone(), ended }
    });
    missing.collect()
}

/// Returns the attempts of a container or volume.
fn attempts_of<'c>(
    pod: &PodUid,
    consumer: &ImageConsumer,
    candidates: &'c [Candidate<'_>],
) -> impl Iterator<Item = &'c Attempt> {
    let own = candidates
        .iter()
        .filter(move |candidate| candidate.key.uid == *pod && candidate.key.consumer == *consumer);
    own.flat_map(|candidate| &candidate.attempts)
}

/// Reports whether a row was identified by an end whose announcement arrived later. It continues
/// under the id of the announcement.
fn is_renamed(id: &PullId, candidates: &[Candidate<'_>]) -> bool {
    let PullId::Announced { pod, consumer, at, .. } = id else {
        return false;
    };
    let mut renamed = false;
    for attempt in attempts_of(pod, consumer, candidates) {
        if attempt.id_time() == Some(*at) {
            return false;
        }
        renamed |= attempt.end.as_ref().is_some_and(|end| end.at.0 == *at);
    }
    renamed
}

/// Ends an announced row that no longer exists: with the outcome its kubelet reported, or as
/// unknown.
fn ended_row(row: &Pull, candidates: &[Candidate<'_>], now: NodeTime) -> Option<Pull> {
    let PullId::Announced { pod, consumer, at, .. } = &row.id else {
        return None;
    };
    let mut ended = row.clone();
    if row.outcome().is_some() {
        return Some(ended);
    }
    let end = attempts_of(pod, consumer, candidates)
        .filter(|attempt| attempt.id_time() == Some(*at))
        .find_map(|attempt| attempt.end.as_ref());
    let outcome = match end.map(|end| &end.outcome) {
        Some(AttemptOutcome::Pulled { .. } | AttemptOutcome::AlreadyPresent) => {
            ended.motion.percent = Some(Percent::DONE);
            Outcome::Completed
        }
        Some(AttemptOutcome::Failed(failure)) => {
            ended.failure = Some(failure.clone());
            Outcome::Failed
        }
        None => Outcome::Unknown,
    };
    ended.phase = Phase::Ended(outcome);
    ended.ended_at = Some(end.map_or(now, |end| end.at.0).max(row.started_at));
    ended.waiting_on = None;
    ended.stale_since = None;
    Some(ended)
}

/// Returns the result for each pull.
pub(super) fn pull_results(
    pulls: Vec<AttributedPull<'_>>,
    candidates: &[Candidate<'_>],
) -> Vec<PullResult> {
    let results = pulls.into_iter().map(|attributed| {
        let failure = kubelet_failure(&attributed, candidates);
        let refined = failure.and_then(|failure| with_kubelet_failure(attributed.pull, failure));
        let served_attempt = attributed.served.and_then(|served| {
            let demand = candidates[served.candidate].key.clone();
            Some(AttemptKey { demand, at: served.get(candidates).id_time()? })
        });
        PullResult {
            id: attributed.pull.id.clone(),
            shown: refined.map_or_else(|| Arc::clone(attributed.pull), Arc::new),
            links: Some(attributed.links).filter(|links| !links.is_empty()),
            served_attempt,
        }
    });
    results.collect()
}

/// Returns why the kubelet's attempt failed: the attempt that the pull served or, for a pod without
/// events, the one in its status.
fn kubelet_failure(
    attributed: &AttributedPull<'_>,
    candidates: &[Candidate<'_>],
) -> Option<Failure> {
    if attributed.pull.phase != Phase::Ended(Outcome::Failed) {
        return None;
    }
    let served = attributed.served.map(|served| served.get(candidates));
    served.and_then(Attempt::failure).cloned().or_else(|| {
        let id = &attributed.pull.id;
        let linked = candidates.iter().filter(|candidate| candidate.previous_links.contains(id));
        linked.filter_map(Candidate::failure).next()
    })
}

/// Returns a failed pull with its failure refined by the kubelet's, or `None` if nothing changes.
fn with_kubelet_failure(pull: &Pull, kubelet_failure: Failure) -> Option<Pull> {
    let refined = match pull.failure.clone() {
        Some(failure) => failure.refine(kubelet_failure),
        None => kubelet_failure,
    };
    if pull.failure.as_ref() == Some(&refined) {
        return None;
    }
    let mut shown = pull.clone();
    shown.failure = Some(refined);
    Some(shown)
}

#[cfg(test)]
mod tests {
    use pulltrace_core::FailureReason;

    use super::*;
    use crate::correlate::tests::facts::Facts;
    use crate::correlate::tests::world::{
        at, failed, failed_event, lease, pulled_event, pulling_event, resolved,
    };

    const APP: &str = "registry.test/shop/app:1";
    const REPOSITORY: &str = "registry.test/shop/app";
    const NOT_FOUND: &str = "registry.test/shop/app:1: not found";

    /// Returns a live row of the first candidate, announced at this time.
    fn row(facts: &Facts, announced: f64) -> Pull {
        let id = PullId::Announced {
            node: "w1".parse().unwrap(),
            namespace: "k8s.io".parse().unwrap(),
            pod: facts.candidates()[0].key.uid.clone(),
            consumer: facts.candidates()[0].key.consumer.clone(),
            at: at(announced),
        };
        Pull::new(id, Phase::Queued, at(announced))
    }

    /// Returns the end of a row that no longer exists, or `None` if it is superseded.
    fn ended(facts: &Facts, pulls: &[Arc<Pull>], row: &Pull) -> Option<Pull> {
        let attribution = facts.attribute(pulls);
        let shown = std::iter::once(row);
        let missing = missing_rows(shown, &BTreeMap::new(), &attribution, at(60.0));
        let [missing] = <[MissingRow; 1]>::try_from(missing).unwrap();
        assert_eq!(missing.id, row.id);
        missing.ended
    }

    #[test]
    fn missing_row_ends_with_reported_outcome() {
        let announced = Facts::default().event(&pulling_event("web", "app", APP, 1.0));
        let row = row(&announced, 1.0);
        let unknown = ended(&announced, &[], &row).unwrap();
        assert_eq!(unknown.phase, Phase::Ended(Outcome::Unknown));
        assert_eq!(unknown.ended_at, Some(at(60.0)));
        let pulled = announced.event(&pulled_event("web", "app", APP, 6.0, 0.1, 5.0));
        let completed = ended(&pulled, &[], &row).unwrap();
        assert_eq!(completed.phase, Phase::Ended(Outcome::Completed));
        assert_eq!(
            (completed.motion.percent, completed.ended_at),
            (Some(Percent::DONE), Some(at(6.0)))
        );
        let failed = Facts::default()
            .event(&pulling_event("web", "app", APP, 1.0))
            .event(&failed_event("web", "app", APP, NOT_FOUND, (6.0, 6.0, 1)));
        let failed = ended(&failed, &[], &row).unwrap();
        assert_eq!(failed.facts.failure.unwrap().reason, FailureReason::NotFound);
    }

    #[test]
    fn row_is_superseded_by_its_pull() {
        let facts = Facts::default().event(&pulling_event("web", "app", APP, 1.0));
        let pulls = [Arc::new(resolved(lease(1, 1.1), REPOSITORY, 'a'))];
        assert_eq!(ended(&facts, &pulls, &row(&facts, 1.0)), None);
    }

    #[test]
    fn row_of_end_is_superseded_by_late_announcement() {
        let facts = Facts::default()
            .event(&failed_event("web", "app", APP, NOT_FOUND, (2.0, 2.0, 1)))
            .event(&pulling_event("web", "app", APP, 1.0));
        assert_eq!(ended(&facts, &[], &row(&facts, 2.0)), None);
    }

    #[test]
    fn failed_pull_takes_reason_of_attempt_it_served() {
        let facts = Facts::default()
            .event(&pulling_event("web", "app", APP, 1.0))
            .event(&failed_event("web", "app", APP, NOT_FOUND, (6.0, 6.0, 1)));
        let pulls = [Arc::new(failed(resolved(lease(1, 1.1), REPOSITORY, 'a'), 6.0))];
        let Attribution { pulls: attributed, candidates } = facts.attribute(&pulls);
        let results = pull_results(attributed, &candidates);
        let failure = results[0].shown.failure.as_ref().unwrap();
        assert_eq!(failure.reason, FailureReason::NotFound);
        let served = results[0].served_attempt.as_ref().unwrap();
        assert_eq!((&served.demand, served.at), (candidates[0].key, at(1.0)));
    }

    #[test]
    fn running_pull_is_shown_as_reported() {
        let facts = Facts::default()
            .event(&pulling_event("web", "app", APP, 1.0))
            .event(&failed_event("web", "app", APP, NOT_FOUND, (6.0, 6.0, 1)));
        let pulls = [Arc::new(resolved(lease(1, 1.1), REPOSITORY, 'a'))];
        let Attribution { pulls: attributed, candidates } = facts.attribute(&pulls);
        let results = pull_results(attributed, &candidates);
        assert!(Arc::ptr_eq(&results[0].shown, &pulls[0]));
    }
}
