//! One version of a row, and its JSON, which is serialised once for all readers.

use std::collections::BTreeMap;
use std::num::NonZeroU64;
use std::sync::{Arc, Mutex, OnceLock, PoisonError};

use pulltrace_core::wire::v1::{NodeStatus, PullMotion, PullStatus};
use pulltrace_core::{Layer, Links, Pull, Waiter};

use crate::change::{Correction, NodeView, PullChange, Scope};
use crate::fleet::{pull_status, pull_status_without_layers};
use crate::json;

/// Maximum removed links that are remembered.
const MAX_UNLINKED: usize = 16;

/// One version of a pull. Each change of the pull creates another row.
#[derive(Debug)]
#[non_exhaustive]
pub struct Row {
    /// The pull.
    pub pull: Arc<Pull>,
    /// Its links to pods; `None` if unknown.
    pub links: Option<Arc<Links>>,
    /// The change that added each linked pod, in their order. A reader of that pod has not seen the
    /// row before.
    pub linked_seqs: Box<[u64]>,
    /// Links that were removed, each with the change that removed it; the last 16.
    pub unlinked: Vec<(Waiter, u64)>,
    /// Converts times of its node to the server's clock.
    pub correction: Correction,
    /// The change that created its first version; identifies the row while it is kept.
    pub number: u64,
    /// The change that created this version.
    pub seq: u64,
    /// The last change beyond the fields of [`PullMotion`]: a reader with an older cursor needs the
    /// full row.
    pub full_seq: u64,
    /// Like `full_seq`, for readers without layers.
    pub full_seq_no_layers: u64,
    /// The change in which it started, or last became live again.
    pub started_seq: u64,
    /// The change in which it ended, if it has.
    pub ended_seq: Option<u64>,
    /// The changes of each layer of the pull, in their order.
    pub layer_seqs: Box<[LayerSeqs]>,
    cache: Mutex<JsonCache>,
}

/// The changes of one layer.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct LayerSeqs {
    /// The last change of any of its fields.
    pub changed: u64,
    /// The change with its first byte; `None` before that.
    pub started: Option<NonZeroU64>,
    /// The change in which it was finished; `None` before that.
    pub completed: Option<NonZeroU64>,
}

/// A JSON form of a row.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum JsonForm {
    /// A [`PullStatus`] with its layers.
    Status,
    /// A [`PullStatus`] without its layers.
    StatusNoLayers,
    /// A [`PullMotion`] with the layers whose bytes changed since [`Row::full_seq`].
    Motion,
    /// A [`PullMotion`] without layers.
    MotionNoLayers,
}

/// JSON is cached while the row is recent, when many readers need it.
#[derive(Debug)]
enum JsonCache {
    Enabled([Option<Arc<str>>; 4]),
    Disabled,
}

impl Row {
    /// Creates the first version of a row.
    pub(super) fn new(change: &PullChange, seq: u64) -> Self {
        let pull = Arc::clone(&change.pull);
        let layer_seqs = layer_seqs(&[], &[], &pull.layers, seq);
        let ended_seq = pull.outcome().map(|_| seq);
        let pods = change.links.as_ref().map_or(0, |links| links.pods.len());
        Self {
            pull,
            links: change.links.clone(),
            linked_seqs: vec![seq; pods].into(),
            unlinked: Vec::new(),
            correction: change.correction,
            number: seq,
            seq,
            full_seq: seq,
            full_seq_no_layers: seq,
            started_seq: seq,
            ended_seq,
            layer_seqs,
            cache: Mutex::new(JsonCache::Enabled(Default::default())),
        }
    }

    /// Returns the next version of this row.
    pub(super) fn next_version(&self, change: &PullChange, seq: u64) -> Self {
        let PullChange { pull, correction, scope, links, .. } = change;
        let (was, is) = (self.pull.outcome(), pull.outcome());
        let revived = was.is_some() && is.is_none();
        let (linked, unlinked) = self.next_links(links.as_ref(), seq);
        Self {
            linked_seqs: linked,
            unlinked,
            correction: *correction,
            number: self.number,
            seq,
            full_seq: if *scope >= Scope::Layers { seq } else { self.full_seq },
            full_seq_no_layers: if *scope == Scope::Full { seq } else { self.full_seq_no_layers },
            started_seq: if revived { seq } else { self.started_seq },
            ended_seq: is.and(if was == is { self.ended_seq } else { Some(seq) }),
            layer_seqs: layer_seqs(&self.layer_seqs, &self.pull.layers, &pull.layers, seq),
            pull: Arc::clone(pull),
            links: links.clone(),
            cache: Mutex::new(JsonCache::Enabled(Default::default())),
        }
    }

    /// Returns `linked_seqs` and `unlinked` of the next version.
    fn next_links(&self, links: Option<&Arc<Links>>, seq: u64) -> (Box<[u64]>, Vec<(Waiter, u64)>) {
        let same = match (&self.links, links) {
            (Some(before), Some(now)) => Arc::ptr_eq(before, now),
            (before, now) => before.is_none() && now.is_none(),
        };
        if same {
            return (self.linked_seqs.clone(), self.unlinked.clone());
        }
        let mut before: BTreeMap<&Waiter, u64> =
            self.waiters().zip(self.linked_seqs.iter().copied()).collect();
        let pods = links.iter().flat_map(|links| &links.pods);
        let linked = pods.map(|(waiter, _)| before.remove(waiter).unwrap_or(seq));
        let linked = linked.collect();
        let is_linked = |waiter: &Waiter| {
            let mut pods = links.iter().flat_map(|links| &links.pods);
            pods.any(|(pod, _)| pod == waiter)
        };
        let mut unlinked = self.unlinked.clone();
        unlinked.retain(|(waiter, _)| !is_linked(waiter));
        unlinked.extend(before.into_keys().map(|waiter| (waiter.clone(), seq)));
        let excess = unlinked.len().saturating_sub(MAX_UNLINKED);
        unlinked.drain(..excess);
        (linked, unlinked)
    }

    /// Returns the containers and volumes that wait for the pull, or waited.
    pub fn waiters(&self) -> impl Iterator<Item = &Waiter> + Clone {
        let pods = self.links.iter().flat_map(|links| &links.pods);
        pods.map(|(waiter, _)| waiter)
    }

    /// Returns the waiters known at an earlier change, as far as that is remembered.
    pub fn waiters_at(&self, seq: u64) -> impl Iterator<Item = &Waiter> + Clone {
        let linked = self.waiters().zip(&self.linked_seqs);
        let linked = linked.filter(move |(_, at)| **at <= seq);
        let unlinked = self.unlinked.iter();
        let unlinked = unlinked.filter(move |(_, at)| *at > seq);
        let unlinked = unlinked.map(|(waiter, _)| waiter);
        linked.map(|(waiter, _)| waiter).chain(unlinked)
    }

    /// Returns the wire type.
    #[must_use]
    pub fn status(&self, layers: bool) -> PullStatus {
        let build = if layers { pull_status } else { pull_status_without_layers };
        let mut status = build(&self.pull, self.links.as_deref(), self.correction);
        status.row = Some(self.number);
        status
    }

    /// Returns the fields that change while the pull progresses; if `layers` is set, with the
    /// layers whose bytes changed since [`full_seq`](Self::full_seq).
    #[must_use]
    pub fn motion(&self, layers: bool) -> PullMotion {
        let mut motion = PullMotion::from(&*self.pull);
        motion.row = self.number;
        if layers {
            let moved = |(layer, seqs): &(&Layer, &LayerSeqs)| {
                seqs.changed > self.full_seq && !layer.state.is_idle()
            };
            let layers = self.pull.layers.iter().zip(&self.layer_seqs).enumerate();
            for (index, (layer, _)) in layers.filter(|(_, both)| moved(both)) {
                motion.push_layer(index, layer);
            }
        }
        motion
    }

    /// Returns the row as JSON, serialised once for all readers while the row is recent.
    #[must_use]
    pub fn json(&self, form: JsonForm) -> Arc<str> {
        let mut json = self.cache.lock().unwrap_or_else(PoisonError::into_inner);
        let slot = match &mut *json {
            JsonCache::Disabled => return self.serialize(form),
            JsonCache::Enabled(slots) => match form {
                JsonForm::Status => &mut slots[0],
                JsonForm::StatusNoLayers => &mut slots[1],
                JsonForm::Motion => &mut slots[2],
                JsonForm::MotionNoLayers => &mut slots[3],
            },
        };
        Arc::clone(slot.get_or_insert_with(|| self.serialize(form)))
    }

    fn serialize(&self, form: JsonForm) -> Arc<str> {
        let text = match form {
            JsonForm::Status => json::to_string(&self.status(true)),
            JsonForm::StatusNoLayers => json::to_string(&self.status(false)),
            JsonForm::Motion => json::to_string(&self.motion(true)),
            JsonForm::MotionNoLayers => json::to_string(&self.motion(false)),
        };
        text.into()
    }

    /// Drops the cached JSON and stops caching: followers have read the row.
    pub(super) fn drop_cache(&self) {
        *self.cache.lock().unwrap_or_else(PoisonError::into_inner) = JsonCache::Disabled;
    }
}

/// One version of a node.
#[derive(Debug)]
#[non_exhaustive]
pub struct NodeRow {
    /// The node.
    pub view: NodeView,
    /// The change that created this version.
    pub seq: u64,
    /// Set if the server has removed the node.
    pub removed: bool,
    json: OnceLock<Arc<str>>,
}

impl NodeRow {
    pub(super) const fn new(view: NodeView, seq: u64, removed: bool) -> Self {
        Self { view, seq, removed, json: OnceLock::new() }
    }

    /// Returns the wire type.
    #[must_use]
    pub fn status(&self) -> NodeStatus {
        NodeStatus { removed: self.removed, ..self.view.status() }
    }

    /// Returns its [`NodeStatus`] as JSON, serialised once for all readers.
    #[must_use]
    pub fn json(&self) -> Arc<str> {
        let write = || json::to_string(&self.status()).into();
        Arc::clone(self.json.get_or_init(write))
    }
}

/// Returns the changes of the current layers.
fn layer_seqs(
    previous: &[LayerSeqs],
    before: &[Layer],
    now: &[Layer],
    seq: u64,
) -> Box<[LayerSeqs]> {
    let mark = |(index, layer): (usize, &Layer)| {
        let known = previous.get(index).zip(before.get(index));
        let known = known.filter(|(_, before)| before.digest == layer.digest);
        let (old, before) = known.map_or((LayerSeqs::default(), None), |(m, b)| (*m, Some(b)));
        // Changes are numbered from one.
        let since =
            |old: Option<NonZeroU64>, holds: bool| old.or(NonZeroU64::new(seq)).filter(|_| holds);
        LayerSeqs {
            changed: if before == Some(layer) { old.changed } else { seq },
            started: since(old.started, layer.started_at.is_some()),
            completed: since(old.completed, layer.state.is_done()),
        }
    };
    now.iter().enumerate().map(mark).collect()
}
