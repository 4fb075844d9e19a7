//! One node: its pulls, what its pods want, and what was found of the two when they were last judged.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::time::Duration;

use pulltrace_core::{
    ChangeKind, Digest, Failure, Links, Mono, NodeName, NodeTime, Outcome, Phase, PodUid, Pull,
    PullId,
};

use super::judge::{self, Mode, Wanting};
use super::learned::Learned;
use super::queue::{self, Around};
use super::rows::Rows;
use super::view::{self, READY_FOR};
use super::want::{Key, Standing, Want};
use crate::change::{Correction, CorrelateStats, PodView, PullChange, shift};
use crate::clock::ServerNow;

/// For so long after it ended a pull is judged anew when something is heard.
const SETTLES: Duration = Duration::from_mins(3);

#[derive(Debug, Default)]
pub(super) struct Node {
    pub(super) pulls: BTreeMap<PullId, Known>,
    pub(super) wants: BTreeMap<Key, Want>,
    /// The announced rows that are shown.
    pub(super) rows: Rows,
    /// The pods that are shown.
    pub(super) pods: BTreeMap<PodUid, PodView>,
    pub(super) correction: Correction,
    /// How far the server's clock is ahead of the node's, in milliseconds.
    pub(super) offset_ms: i64,
    /// Whether an agent reports for it.
    pub(super) seen: bool,
    mode: Mode,
    /// What of it is in the sums.
    counted: [u64; 3],
}

/// A pull of the fleet.
#[derive(Debug)]
pub(super) struct Known {
    /// As the fleet has it.
    pub(super) told: Arc<Pull>,
    /// As it is shown: what Kubernetes knows of its failure is in it.
    pub(super) shown: Arc<Pull>,
    pub(super) links: Option<Arc<Links>>,
    /// When its end was heard.
    pub(super) ended: Option<Mono>,
    /// What it serves.
    serves: Option<(Key, NodeTime)>,
}

impl Known {
    pub(super) fn new(told: Arc<Pull>) -> Self {
        Self {
            shown: Arc::clone(&told),
            told,
            links: None,
            ended: None,
            serves: None,
        }
    }

    fn is_settled(&self, now: Mono) -> bool {
        self.ended.is_some_and(|ended| now.since(ended) >= SETTLES)
    }
}

/// What a judgement needs beside the node.
#[derive(Clone, Copy, Debug)]
pub(super) struct Context<'a> {
    pub(super) learned: &'a Learned,
    pub(super) now: ServerNow,
    /// How long what nothing is heard of is kept.
    pub(super) ttl: Duration,
    /// Whether all pods that are there are known.
    pub(super) pods: bool,
}

/// What a judgement changed.
#[derive(Debug, Default)]
pub(super) struct Judged {
    /// Pulls of the fleet that are shown otherwise.
    pub(super) pulls: BTreeSet<PullId>,
    /// Announced rows that are new or changed.
    pub(super) rows: BTreeMap<PullId, ChangeKind>,
    /// Announced rows that are no more.
    pub(super) gone: Vec<PullId>,
    /// Pods that are new or changed.
    pub(super) pods: Vec<PodView>,
    /// Pods that are shown no more.
    pub(super) gone_pods: Vec<PodView>,
    /// Pulls of which their kubelet just told a time: about ours, and another.
    pub(super) agrees: u64,
    pub(super) disagrees: u64,
}

impl Node {
    /// Finds anew who waits for what.
    pub(super) fn judge(&mut self, name: &NodeName, context: Context<'_>) -> Judged {
        let Context {
            learned,
            now,
            ttl,
            pods,
        } = context;
        let mut judged = Judged::default();
        let node_now = shift(now.at, self.offset_ms.saturating_neg());
        let mut wants: Vec<Wanting<'_>> = self
            .wants
            .iter()
            .map(|(key, want)| Wanting::new(key, want, now.mono))
            .collect();
        for (id, known) in self.pulls.iter().filter(|(_, k)| k.is_settled(now.mono)) {
            let Some((key, at)) = &known.serves else {
                continue;
            };
            if let Some(want) = wants.iter_mut().find(|want| want.key == key) {
                want.settle(*at, id, known.told.ended_at);
            }
        }
        for want in wants.iter_mut().filter(|want| want.want.is_unheard()) {
            let waiter = want.waiter();
            let linked = self.pulls.iter().filter(|(_, known)| {
                let pods = known.links.iter().flat_map(|links| &links.pods);
                pods.map(|(other, _)| other).any(|other| *other == waiter)
            });
            want.kept = linked.map(|(id, _)| id.clone()).collect();
        }
        let open = self.pulls.values().filter(|k| !k.is_settled(now.mono));
        let mut pulls: Vec<&Arc<Pull>> = open.map(|known| &known.told).collect();
        pulls.sort_by(|a, b| (a.started_at, &a.id).cmp(&(b.started_at, &b.id)));
        let found = judge::judge(&pulls, &mut wants, learned, self.mode);
        self.mode = judge::mode(&pulls, &found, self.mode, node_now);
        let around = Around {
            mode: self.mode,
            seen: self.seen,
            pods,
            now,
            ttl,
        };
        let fresh = |id: &PullId| {
            let ended = self.pulls.get(id).and_then(|known| known.ended);
            ended.is_some_and(|ended| now.mono.since(ended) < queue::GRACE)
        };
        let rows = queue::rows(name, &pulls, &wants, &found, around, fresh);
        let links = found
            .links
            .values()
            .chain(rows.values().map(|(_, links)| links));
        let superseded: BTreeSet<PullId> = links.filter_map(|l| l.supersedes.clone()).collect();
        let mut left = Vec::new();
        for (id, (pull, _)) in self.rows.iter().filter(|(id, _)| !rows.contains_key(*id)) {
            let over = queue::over(pull, &wants, node_now);
            let other = superseded.contains(id) || queue::renamed(id, &wants);
            left.push((id.clone(), over.filter(|_| !other)));
        }

        let mut after = Vec::new();
        for pull in pulls {
            let links = found.links.get(&pull.id).filter(|links| !links.is_empty());
            let served = found.served.get(&pull.id);
            let serves = served.and_then(|one| Some((one.key.clone(), one.which.at()?)));
            let told = served.and_then(|one| one.which.failure());
            let failure = told.map(|(_, failure)| failure.clone()).or_else(|| {
                let waits = wants.iter().filter(|want| want.kept.contains(&pull.id));
                waits.filter_map(Wanting::failure).next()
            });
            let shown = failure.and_then(|failure| refined(pull, failure));
            let shown = shown.map_or_else(|| Arc::clone(pull), Arc::new);
            after.push((pull.id.clone(), links.cloned(), serves, shown));
        }
        let links = after
            .iter()
            .filter_map(|(_, links, _, shown)| Some((&**shown, links.as_ref()?)));
        let announced = rows.values().map(|(pull, links)| (pull, links));
        let pods = view::views(name, &wants, links.chain(announced), learned, now.mono);
        drop(wants);

        for (id, links, serves, shown) in after {
            let Some(known) = self.pulls.get_mut(&id) else {
                continue;
            };
            let same = known.links.as_deref() == links.as_ref();
            let agrees = |links: &Links| links.kubelet.and_then(|times| times.agrees);
            let now = links.as_ref().and_then(agrees);
            // Each pull is compared once: when its kubelet has told how long it took.
            if known.links.as_deref().and_then(agrees).is_none() {
                judged.agrees += u64::from(now == Some(true));
                judged.disagrees += u64::from(now == Some(false));
            }
            known.serves = serves;
            if !same || *known.shown != *shown {
                known.links = if same {
                    known.links.take()
                } else {
                    links.map(Arc::new)
                };
                judged.pulls.insert(id);
            }
            known.shown = shown;
        }
        self.rows.take(
            rows,
            left,
            (now.mono, ttl),
            (&mut judged.rows, &mut judged.gone),
        );
        self.take_pods(pods, &mut judged);
        judged
    }

    /// Takes what the fleet says of a pull.
    pub(super) fn take(&mut self, change: &PullChange, now: Mono) {
        let pull = &change.pull;
        let known = self
            .pulls
            .entry(pull.id.clone())
            .or_insert_with(|| Known::new(Arc::clone(pull)));
        known.told = Arc::clone(pull);
        match pull.outcome() {
            Some(_) => known.ended = known.ended.or(Some(now)),
            None => (known.ended, known.shown) = (None, Arc::clone(pull)),
        }
        if known.is_settled(now) {
            // Its layers were dropped, or it is told once more: what was found stays.
            let mut shown = (**pull).clone();
            shown.phase = known.shown.phase;
            shown.failure.clone_from(&known.shown.failure);
            known.shown = Arc::new(shown);
        }
    }

    /// A pull as it is shown.
    pub(super) fn shown(&self, id: &PullId) -> Option<(Arc<Pull>, Option<Arc<Links>>)> {
        if let Some(known) = self.pulls.get(id) {
            return Some((Arc::clone(&known.shown), known.links.clone()));
        }
        let (pull, links) = self.rows.get(id)?;
        Some((Arc::clone(pull), Some(Arc::clone(links))))
    }

    /// Whether a pull of this digest goes on.
    pub(super) fn pulls_live(&self, root: &Digest) -> bool {
        let live = self.pulls.values().filter(|known| known.ended.is_none());
        live.filter_map(|known| known.told.root.as_ref())
            .any(|other| other == root)
    }

    /// What a pod wants.
    pub(super) fn wants_of(&self, uid: &PodUid) -> impl Iterator<Item = (&Key, &Want)> {
        self.wants.iter().filter(move |(key, _)| key.uid == *uid)
    }

    pub(super) fn wants_of_mut(&mut self, uid: &PodUid) -> impl Iterator<Item = (&Key, &mut Want)> {
        self.wants
            .iter_mut()
            .filter(move |(key, _)| key.uid == *uid)
    }

    fn take_pods(&mut self, pods: BTreeMap<PodUid, PodView>, judged: &mut Judged) {
        let mut before = std::mem::take(&mut self.pods);
        for (uid, view) in &pods {
            if before.remove(uid).as_ref() != Some(view) {
                judged.pods.push(view.clone());
            }
        }
        judged.gone_pods.extend(before.into_values());
        self.pods = pods;
    }

    /// Brings what is counted of it up to date.
    pub(super) fn count(&mut self, stats: &mut CorrelateStats) {
        let pods = self.pods.values().filter(|view| view.waits_for_a_pull());
        let queued = self
            .rows
            .values()
            .filter(|(pull, _)| pull.phase == Phase::Queued);
        let now = [self.wants.len(), pods.count(), queued.count()].map(|count| count as u64);
        let sums = [&mut stats.wants, &mut stats.pods_waiting, &mut stats.queued];
        for ((sum, before), now) in sums.into_iter().zip(self.counted).zip(now) {
            *sum = (*sum + now).saturating_sub(before);
        }
        self.counted = now;
    }

    /// Whether something of it changes by time alone.
    pub(super) fn is_timed(&self, now: Mono) -> bool {
        let soon = |want: &Want| {
            let news = want.news.max(want.announced);
            now.since(news) <= READY_FOR + queue::GRACE
        };
        self.rows.any_live() || self.wants.values().any(soon)
    }

    /// Forgets what nobody waits for any more and nothing was heard of for long, and no pull is about.
    /// Whether there was any.
    pub(super) fn forget(&mut self, now: Mono, ttl: Duration) -> bool {
        let before = self.wants.len();
        let open = self.pulls.values().filter(|known| !known.is_settled(now));
        let links = open.filter_map(|known| known.links.as_deref());
        let waiters = links.flat_map(|links| &links.pods).map(|(waiter, _)| Key {
            uid: waiter.pod.uid.clone(),
            slot: waiter.slot.clone(),
            image: waiter.image.clone(),
        });
        let needed: BTreeSet<Key> = waiters.collect();
        self.wants.retain(|key, want| {
            let quiet = now.since(want.news);
            let tries = want.tries();
            let waits = want.gone.is_none() && want.spec.is_some();
            let stays = match want.standing(&tries, now, judge::STATUS_LAGS) {
                Standing::Pending => waits || quiet < READY_FOR,
                Standing::Present if want.is_unheard() => quiet < READY_FOR,
                Standing::Present => quiet < ttl,
                Standing::Open(_) | Standing::Failed(_) => waits || quiet < ttl,
            };
            stays || needed.contains(key)
        });
        self.wants.len() != before || self.rows.is_due(now, ttl)
    }

    pub(super) fn is_empty(&self) -> bool {
        !self.seen && self.pulls.is_empty() && self.wants.is_empty() && self.rows.is_empty()
    }
}

/// The pull with what the kubelet says of why it failed; `None` where that adds nothing.
fn refined(pull: &Pull, said: Failure) -> Option<Pull> {
    if pull.phase != Phase::Ended(Outcome::Failed) {
        return None;
    }
    let before = pull.failure.clone();
    let after = match before.clone() {
        Some(before) => before.refine(said),
        None => said,
    };
    if Some(&after) == before.as_ref() {
        return None;
    }
    let mut pull = pull.clone();
    pull.failure = Some(after);
    Some(pull)
}
