//! Phase 6: what changed since the last evaluation? Keeps the results to compare with.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::time::Duration;

use pulltrace_core::{ChangeKind, Links, Mono, PodUid, Pull, PullId};

use super::demand::AttemptKey;
use super::outcome::{MissingRow, PullResult};
use super::queue::AnnouncedRow;
use crate::change::PodView;

/// Time after its end for which a pull is still evaluated. Then its links are final.
const SETTLE_AFTER: Duration = Duration::from_mins(3);

/// Maximum ended rows of a node; the one that ended first is evicted.
const MAX_ENDED: usize = 1_000;

/// The changes found by an evaluation.
#[derive(Debug, Default)]
pub(super) struct NodeDelta {
    /// Reported pulls whose shown state or links changed.
    pub(super) pulls: BTreeSet<PullId>,
    /// Announced rows that are new or changed.
    pub(super) rows: BTreeMap<PullId, ChangeKind>,
    /// Announced rows that were removed.
    pub(super) removed_rows: Vec<PullId>,
    /// Pods that are new or changed.
    pub(super) pods: Vec<PodView>,
    /// Pods that are no longer shown.
    pub(super) removed_pods: Vec<PodView>,
    /// Number of pulls newly found to agree with the kubelet's duration.
    pub(super) agrees: u64,
    /// Number of pulls newly found to disagree with the kubelet's duration.
    pub(super) disagrees: u64,
}

/// A pull or an announced row as shown.
#[derive(Clone, Debug)]
pub(super) struct ShownPull {
    /// With the failure reason from Kubernetes.
    pub(super) pull: Arc<Pull>,
    /// `None` if unknown.
    pub(super) links: Option<Arc<Links>>,
}

/// A pull that an agent reported, with the result of its last evaluation.
#[derive(Debug)]
pub(super) struct TrackedPull {
    /// The pull as the fleet reports it.
    pub(super) reported: Arc<Pull>,
    pub(super) shown: ShownPull,
    /// When the report of its end was received.
    pub(super) end_received_at: Option<Mono>,
    /// The kubelet's attempt that this pull serves.
    pub(super) served_attempt: Option<AttemptKey>,
}

impl TrackedPull {
    pub(super) fn new(reported: Arc<Pull>) -> Self {
        Self {
            shown: ShownPull { pull: Arc::clone(&reported), links: None },
            reported,
            end_received_at: None,
            served_attempt: None,
        }
    }

    /// Reports whether its links are final.
    pub(super) fn is_settled(&self, now: Mono) -> bool {
        self.end_received_at.is_some_and(|ended| now.since(ended) >= SETTLE_AFTER)
    }

    /// Replaces the pull by a newer version.
    pub(super) fn update(&mut self, pull: &Arc<Pull>, now: Mono) {
        self.reported = Arc::clone(pull);
        if pull.outcome().is_some() {
            self.end_received_at.get_or_insert(now);
        } else {
            self.end_received_at = None;
            self.shown.pull = Arc::clone(pull);
        }
        if self.is_settled(now) {
            // Later changes only drop layers or repeat it: keep the evaluated phase and failure.
            let mut shown = (**pull).clone();
            shown.phase = self.shown.pull.phase;
            shown.failure.clone_from(&self.shown.pull.failure);
            self.shown.pull = Arc::new(shown);
        }
    }
}

impl ShownPull {
    fn duration_agrees(&self) -> Option<bool> {
        self.links.as_ref()?.kubelet?.agrees
    }
}

/// The announced rows that are shown, including ended ones. A live row does not vanish silently: it
/// ends, or another row supersedes it.
#[derive(Debug, Default)]
pub(super) struct AnnouncedRows {
    shown: BTreeMap<PullId, ShownPull>,
    /// When rows that no longer exist ended.
    ended_since: BTreeMap<PullId, Mono>,
}

impl AnnouncedRows {
    pub(super) fn get(&self, id: &PullId) -> Option<&ShownPull> {
        self.shown.get(id)
    }

    pub(super) fn pulls(&self) -> impl Iterator<Item = &Pull> {
        self.shown.values().map(|row| &*row.pull)
    }

    pub(super) fn is_empty(&self) -> bool {
        self.shown.is_empty()
    }

    /// Reports whether a row may change just because time passes.
    pub(super) fn has_live(&self) -> bool {
        self.pulls().any(|pull| pull.outcome().is_none())
    }

    /// Reports whether an ended row has outlived the TTL.
    pub(super) fn has_expired(&self, now: Mono, ttl: Duration) -> bool {
        self.ended_since.values().any(|since| now.since(*since) >= ttl)
    }
}

/// The rows found by an evaluation.
#[derive(Debug)]
pub(super) struct EvaluatedRows {
    pub(super) rows: BTreeMap<PullId, AnnouncedRow>,
    pub(super) missing: Vec<MissingRow>,
    pub(super) now: Mono,
    /// The retention period of ended rows that no longer exist.
    pub(super) ttl: Duration,
}

impl NodeDelta {
    /// Stores the results of pulls.
    pub(super) fn update_pulls(
        &mut self,
        pulls: &mut BTreeMap<PullId, TrackedPull>,
        results: Vec<PullResult>,
    ) {
        for result in results {
            let Some(tracked) = pulls.get_mut(&result.id) else {
                continue;
            };
            let shown = &mut tracked.shown;
            let first_comparison = shown.duration_agrees().is_none();
            let same_pull = Arc::ptr_eq(&shown.pull, &result.shown) || shown.pull == result.shown;
            let same_links = shown.links.as_deref() == result.links.as_ref();
            if !same_links {
                shown.links = result.links.map(Arc::new);
            }
            if !same_links || !same_pull {
                self.pulls.insert(result.id);
            }
            shown.pull = result.shown;
            // Count each pull once, when the kubelet first reports a duration.
            match shown.duration_agrees() {
                Some(true) if first_comparison => self.agrees += 1,
                Some(false) if first_comparison => self.disagrees += 1,
                _ => {}
            }
            tracked.served_attempt = result.served_attempt;
        }
    }

    /// Stores the announced rows.
    pub(super) fn update_rows(&mut self, announced: &mut AnnouncedRows, update: EvaluatedRows) {
        let EvaluatedRows { rows, missing, now, ttl } = update;
        for MissingRow { id, ended } in missing {
            let since = *announced.ended_since.entry(id.clone()).or_insert(now);
            match ended {
                Some(pull) if now.since(since) < ttl => {
                    if let Some(row) = announced.shown.get_mut(&id)
                        && *row.pull != pull
                    {
                        row.pull = Arc::new(pull);
                        self.rows.insert(id, ChangeKind::Ended);
                    }
                }
                _ => self.remove_row(announced, id),
            }
        }
        for (id, AnnouncedRow { pull, links }) in rows {
            announced.ended_since.remove(&id);
            let before = announced.shown.get(&id);
            if before.is_some_and(|row| *row.pull == pull && row.links.as_deref() == Some(&links)) {
                continue;
            }
            let kind = change_kind(before.map(|row| &*row.pull), &pull);
            self.rows.insert(id.clone(), kind);
            let row = ShownPull { pull: Arc::new(pull), links: Some(Arc::new(links)) };
            announced.shown.insert(id, row);
        }
        while announced.ended_since.len() > MAX_ENDED {
            let oldest = announced.ended_since.iter().min_by_key(|(_, since)| **since);
            let Some(oldest) = oldest.map(|(id, _)| id.clone()) else {
                break;
            };
            self.rows.remove(&oldest);
            self.remove_row(announced, oldest);
        }
    }

    fn remove_row(&mut self, announced: &mut AnnouncedRows, id: PullId) {
        announced.ended_since.remove(&id);
        announced.shown.remove(&id);
        self.removed_rows.push(id);
    }

    /// Stores the pods to show.
    pub(super) fn update_pods(
        &mut self,
        shown: &mut BTreeMap<PodUid, PodView>,
        pods: BTreeMap<PodUid, PodView>,
    ) {
        let mut before = std::mem::replace(shown, pods);
        for (uid, view) in &*shown {
            if before.remove(uid).as_ref() != Some(view) {
                self.pods.push(view.clone());
            }
        }
        self.removed_pods.extend(before.into_values());
    }
}

/// Returns the kind of change of an announced row.
fn change_kind(before: Option<&Pull>, after: &Pull) -> ChangeKind {
    let has_ended = after.outcome().is_some();
    if before.is_some_and(|before| before.outcome().is_some() == has_ended) {
        ChangeKind::Progressed
    } else if has_ended {
        ChangeKind::Ended
    } else {
        ChangeKind::Started
    }
}

#[cfg(test)]
mod tests {
    use pulltrace_core::{KubeletTimes, Outcome, Phase};

    use super::*;
    use crate::correlate::tests::facts::NOW;
    use crate::correlate::tests::world::{at, completed, lease};

    const TTL: Duration = Duration::from_mins(30);

    fn row(number: u32, phase: Phase) -> Pull {
        let id = PullId::Announced {
            node: "w1".parse().unwrap(),
            namespace: "k8s.io".parse().unwrap(),
            pod: format!("uid-{number}").parse().unwrap(),
            consumer: "app".parse().unwrap(),
            at: at(1.0),
        };
        Pull::new(id, phase, at(1.0))
    }

    fn found(pull: Pull) -> EvaluatedRows {
        let row = AnnouncedRow { pull: pull.clone(), links: Links::default() };
        EvaluatedRows {
            rows: BTreeMap::from([(pull.facts.id, row)]),
            missing: Vec::new(),
            now: NOW,
            ttl: TTL,
        }
    }

    fn missing(id: &PullId, ended: Option<Pull>, now: Mono) -> EvaluatedRows {
        let missing = vec![MissingRow { id: id.clone(), ended }];
        EvaluatedRows { rows: BTreeMap::new(), missing, now, ttl: TTL }
    }

    fn apply(rows: &mut AnnouncedRows, update: EvaluatedRows) -> NodeDelta {
        let mut delta = NodeDelta::default();
        delta.update_rows(rows, update);
        delta
    }

    #[test]
    fn unchanged_results_are_no_change() {
        let pull = Arc::new(lease(1, 1.0));
        let mut pulls = BTreeMap::from([(pull.id.clone(), TrackedPull::new(Arc::clone(&pull)))]);
        let result = |links| PullResult {
            id: pull.id.clone(),
            shown: Arc::clone(&pull),
            links,
            served_attempt: None,
        };
        let mut delta = NodeDelta::default();
        delta.update_pulls(&mut pulls, vec![result(None)]);
        assert!(delta.pulls.is_empty());
        let links = Links { attempt: Some(1), ..Links::default() };
        delta.update_pulls(&mut pulls, vec![result(Some(links.clone()))]);
        assert_eq!(delta.pulls, BTreeSet::from([pull.id.clone()]));
        assert_eq!(pulls[&pull.id].shown.links.as_deref(), Some(&links));
    }

    #[test]
    fn comparison_with_kubelet_is_counted_once() {
        let pull = Arc::new(completed(lease(1, 1.0), 9.0, &[]));
        let mut pulls = BTreeMap::from([(pull.id.clone(), TrackedPull::new(Arc::clone(&pull)))]);
        let kubelet = KubeletTimes {
            pulling: Duration::from_secs(8),
            with_waiting: None,
            size: None,
            agrees: Some(true),
        };
        let mut delta = NodeDelta::default();
        for attempt in [1, 2] {
            let links =
                Links { attempt: Some(attempt), kubelet: Some(kubelet), ..Links::default() };
            let result = PullResult {
                id: pull.id.clone(),
                shown: Arc::clone(&pull),
                links: Some(links),
                served_attempt: None,
            };
            delta.update_pulls(&mut pulls, vec![result]);
        }
        assert_eq!((delta.agrees, delta.disagrees), (1, 0));
    }

    #[test]
    fn row_starts_once_and_ends_once() {
        let mut rows = AnnouncedRows::default();
        let queued = row(1, Phase::Queued);
        let id = queued.id.clone();
        assert_eq!(apply(&mut rows, found(queued.clone())).rows[&id], ChangeKind::Started);
        assert!(apply(&mut rows, found(queued)).rows.is_empty());
        let resolving = row(1, Phase::Resolving);
        assert_eq!(apply(&mut rows, found(resolving)).rows[&id], ChangeKind::Progressed);
        let ended = row(1, Phase::Ended(Outcome::Unknown));
        let first = apply(&mut rows, missing(&id, Some(ended.clone()), NOW));
        assert_eq!(first.rows[&id], ChangeKind::Ended);
        assert!(apply(&mut rows, missing(&id, Some(ended), NOW)).rows.is_empty());
    }

    #[test]
    fn superseded_or_expired_row_is_removed() {
        let mut rows = AnnouncedRows::default();
        let [first, second] = [row(1, Phase::Queued), row(2, Phase::Queued)];
        apply(&mut rows, found(first.clone()));
        let superseded = apply(&mut rows, missing(&first.id, None, NOW));
        assert_eq!(superseded.removed_rows, [first.facts.id]);
        apply(&mut rows, found(second.clone()));
        let ended = row(2, Phase::Ended(Outcome::Unknown));
        let kept = apply(&mut rows, missing(&second.id, Some(ended.clone()), NOW));
        assert!(kept.removed_rows.is_empty());
        let later = Mono(NOW.0 + TTL);
        assert!(rows.has_expired(later, TTL));
        let expired = apply(&mut rows, missing(&second.id, Some(ended), later));
        assert_eq!(expired.removed_rows, [second.facts.id]);
        assert!(rows.is_empty());
    }

    #[test]
    fn ended_rows_are_limited() {
        let mut rows = AnnouncedRows::default();
        let count = u32::try_from(MAX_ENDED).unwrap() + 1;
        for number in 0..count {
            let queued = row(number, Phase::Queued);
            apply(&mut rows, found(queued.clone()));
            let now = Mono(NOW.0 + Duration::from_millis(u64::from(number)));
            let ended = row(number, Phase::Ended(Outcome::Unknown));
            apply(&mut rows, missing(&queued.id, Some(ended), now));
        }
        assert!(rows.get(&row(0, Phase::Queued).id).is_none());
        assert!(rows.get(&row(1, Phase::Queued).id).is_some());
    }
}
