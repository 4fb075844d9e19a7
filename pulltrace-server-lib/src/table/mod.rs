//! Versioned rows: a reader is a cursor and a filter, so a slow one costs nothing.
//!
//! Each change has a number. Each row stands in the order of changes once, at its last change; a row
//! that is gone leaves a mark there for a while.

mod follow;
mod row;
mod shared;

use std::collections::{BTreeMap, BTreeSet, HashMap, VecDeque};
use std::ops::Bound;
use std::sync::Arc;

use pulltrace_core::{ChangeKind, KubeName, NodeName, PodRef, PullId};

use crate::correlate::PodView;

use crate::fleet::{Changes, NodeView, PullChange};

pub use follow::{Follower, Page, Seen};
pub use row::{Form, LayerMarks, NodeRow, Row};
pub use shared::Shared;

/// What all nodes pull, as readers see it.
#[derive(Debug)]
pub struct Table {
    epoch: Arc<str>,
    seq: u64,
    urgent: u64,
    rows: HashMap<PullId, Arc<Row>>,
    /// The ids of all rows: only lists need their order, and each report finds rows by their ids.
    ids: BTreeSet<PullId>,
    nodes: BTreeMap<NodeName, Arc<NodeRow>>,
    pods: BTreeMap<PodRef, Arc<PodView>>,
    order: BTreeMap<u64, Item>,
    /// The changes that removed something, oldest first; at most `tombstones`.
    removals: VecDeque<u64>,
    tombstones: usize,
    /// The last removal that is not remembered: an older cursor cannot go on.
    floor: u64,
    /// Rows changed since this change may still hold what was written of them.
    fresh: u64,
}

/// Where the table is.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct Mark {
    /// The last change.
    pub seq: u64,
    /// The last start or end of a pull: what a reader should tell at once.
    pub urgent: u64,
}

#[derive(Debug)]
enum Item {
    Row(Arc<Row>),
    Gone(PullId),
    Node(Arc<NodeRow>),
}

/// What changed since a cursor.
#[derive(Clone, Debug, Default)]
#[non_exhaustive]
pub struct Delta {
    /// Rows in the order of their last changes, each in its latest state.
    pub rows: Vec<Arc<Row>>,
    /// Pulls that are kept no more. None of them is in the table.
    pub removed: Vec<PullId>,
    /// Nodes in the order of their last changes; one that is kept no more is marked so.
    pub nodes: Vec<Arc<NodeRow>>,
    /// The cursor from which to go on.
    pub upto: u64,
}

/// A cursor from which a reader cannot go on without a gap: it must start anew, with a snapshot.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("what changed since {cursor} is not remembered: changes {oldest} to {newest} are")]
pub struct CursorTooOld {
    /// The cursor.
    pub cursor: u64,
    /// The oldest cursor from which a reader can go on.
    pub oldest: u64,
    /// The last change. A cursor after it is not of this table.
    pub newest: u64,
}

impl Table {
    /// An empty table. `epoch` is another one for each life of the server; it remembers `tombstones`
    /// removals, and a reader whose cursor is older must start anew.
    #[must_use]
    pub fn new(epoch: impl Into<Arc<str>>, tombstones: usize) -> Self {
        Self {
            epoch: epoch.into(),
            seq: 0,
            urgent: 0,
            rows: HashMap::new(),
            ids: BTreeSet::new(),
            nodes: BTreeMap::new(),
            pods: BTreeMap::new(),
            order: BTreeMap::new(),
            removals: VecDeque::new(),
            tombstones,
            floor: 0,
            fresh: 0,
        }
    }

    /// The life of the server: cursors of another one mean nothing here.
    #[must_use]
    pub fn epoch(&self) -> &str {
        &self.epoch
    }

    /// The last change.
    #[must_use]
    pub const fn seq(&self) -> u64 {
        self.seq
    }

    /// The last change, and the last one that should be told at once.
    #[must_use]
    pub const fn mark(&self) -> Mark {
        Mark {
            seq: self.seq,
            urgent: self.urgent,
        }
    }

    /// One pull.
    #[must_use]
    pub fn get(&self, id: &PullId) -> Option<&Arc<Row>> {
        self.rows.get(id)
    }

    /// All pulls in the order of their ids, or those after one: so lists are read in pages.
    pub fn rows(&self, after: Option<&PullId>) -> impl Iterator<Item = &Arc<Row>> {
        let after = after.map_or(Bound::Unbounded, Bound::Excluded);
        let ids = self.ids.range((after, Bound::Unbounded));
        ids.filter_map(|id| self.rows.get(id))
    }

    /// One node.
    #[must_use]
    pub fn node(&self, name: &NodeName) -> Option<&Arc<NodeRow>> {
        self.nodes.get(name)
    }

    /// All nodes, in the order of their names.
    pub fn nodes(&self) -> impl Iterator<Item = &Arc<NodeRow>> {
        self.nodes.values()
    }

    /// The pods that wait for images, or did a moment ago, in the order of their namespaces and names; or
    /// those after one.
    pub fn pods(&self, after: Option<&PodRef>) -> impl Iterator<Item = &Arc<PodView>> {
        let after = after.map_or(Bound::Unbounded, Bound::Excluded);
        self.pods.range((after, Bound::Unbounded)).map(|(_, p)| p)
    }

    /// Those of this name: more than one where a pod was made again under it.
    pub fn pods_named(
        &self,
        namespace: &KubeName,
        name: &KubeName,
    ) -> impl Iterator<Item = &Arc<PodView>> {
        let first = "-".parse().ok().map(|uid| PodRef {
            namespace: namespace.clone(),
            name: name.clone(),
            uid,
        });
        let named = move |pod: &PodRef| pod.namespace == *namespace && pod.name == *name;
        // `-` is before all other uids.
        let pods = first.map(|first| self.pods.range(first..));
        pods.into_iter()
            .flatten()
            .take_while(move |(pod, _)| named(pod))
            .map(|(_, view)| view)
    }

    /// What changed after `cursor`, oldest first: at least one change, where there is one, and then more
    /// until rows and their layers together are `limit`.
    ///
    /// Where [`Delta::upto`] is not [`seq`](Self::seq), there is more. By the next call a row may have
    /// changed and moved to where it was not read yet, so a reader that reads in steps does it by a
    /// [`Follower`]. It sees the latest state of each row: it may see an end without what came before,
    /// and never misses one.
    ///
    /// # Errors
    /// Where the cursor is older than the oldest removal that is remembered, or is not of this table:
    /// the reader must start anew.
    pub fn changed_since(&self, cursor: u64, limit: usize) -> Result<Delta, CursorTooOld> {
        if cursor < self.floor || cursor > self.seq {
            return Err(self.too_old(cursor));
        }
        let mut delta = Delta::default();
        let after = (Bound::Excluded(cursor), Bound::Unbounded);
        let mut looked_at = 0;
        for (seq, item) in self.order.range(after) {
            if looked_at >= limit {
                return Ok(delta);
            }
            looked_at += 1;
            delta.upto = *seq;
            match item {
                Item::Row(row) => {
                    looked_at += row.layers.len();
                    delta.rows.push(Arc::clone(row));
                }
                Item::Node(node) => delta.nodes.push(Arc::clone(node)),
                // One that came back is told as a row.
                Item::Gone(id) if self.rows.contains_key(id) => {}
                Item::Gone(id) => delta.removed.push(id.clone()),
            }
        }
        delta.upto = self.seq;
        Ok(delta)
    }

    /// Takes what one step of the fleet changed.
    pub fn take(&mut self, changes: &Changes) {
        for change in &changes.pulls {
            self.put(change);
        }
        for id in &changes.forgotten {
            if let Some(row) = self.rows.remove(id) {
                self.ids.remove(id);
                self.order.remove(&row.seq);
                self.bury(|_| Item::Gone(id.clone()));
            }
        }
        for view in &changes.nodes {
            self.put_node(view.clone());
        }
        for view in &changes.forgotten_pods {
            self.pods.remove(&view.pod);
        }
        for view in &changes.pods {
            let view = Arc::new(view.clone());
            self.pods.insert(view.pod.clone(), view);
        }
        if !changes.pods.is_empty() || !changes.forgotten_pods.is_empty() {
            // Who follows a pod is woken; who follows pulls reads nothing.
            self.next();
        }
        for name in &changes.forgotten_nodes {
            if let Some(node) = self.nodes.remove(name) {
                self.order.remove(&node.seq);
                let view = node.view.clone();
                self.bury(|seq| Item::Node(Arc::new(NodeRow::new(view, seq, true))));
            }
        }
    }

    /// Lets go of what was written of rows that did not change after `upto`: readers who follow have
    /// read it, and it is many times the size of the row.
    pub fn settle(&mut self, upto: u64) {
        if upto <= self.fresh {
            return;
        }
        let old = (Bound::Excluded(self.fresh), Bound::Included(upto));
        for item in self.order.range(old).map(|(_, item)| item) {
            if let Item::Row(row) = item {
                row.settle();
            }
        }
        self.fresh = upto;
    }

    const fn too_old(&self, cursor: u64) -> CursorTooOld {
        CursorTooOld {
            cursor,
            oldest: self.floor,
            newest: self.seq,
        }
    }

    fn next(&mut self) -> u64 {
        self.seq += 1;
        self.seq
    }

    fn put(&mut self, change: &PullChange) {
        let seq = self.next();
        if change.kind != ChangeKind::Progressed {
            self.urgent = seq;
        }
        let row = if let Some(known) = self.rows.get_mut(&change.pull.id) {
            self.order.remove(&known.seq);
            *known = Arc::new(known.next(change, seq));
            Arc::clone(known)
        } else {
            let row = Row::new(change, seq);
            let (id, row) = (row.pull.id.clone(), Arc::new(row));
            self.ids.insert(id.clone());
            self.rows.insert(id, Arc::clone(&row));
            row
        };
        self.order.insert(seq, Item::Row(row));
    }

    fn put_node(&mut self, view: NodeView) {
        let seq = self.next();
        let name = view.name.clone();
        let node = Arc::new(NodeRow::new(view, seq, false));
        if let Some(before) = self.nodes.insert(name, Arc::clone(&node)) {
            self.order.remove(&before.seq);
        }
        self.order.insert(seq, Item::Node(node));
    }

    /// Marks that something is gone, and forgets the oldest of too many such marks.
    fn bury(&mut self, item: impl FnOnce(u64) -> Item) {
        let seq = self.next();
        self.order.insert(seq, item(seq));
        self.removals.push_back(seq);
        if self.removals.len() > self.tombstones
            && let Some(oldest) = self.removals.pop_front()
        {
            self.order.remove(&oldest);
            self.floor = oldest;
        }
    }
}

#[cfg(test)]
mod tests;
