//! The table, and the changes since a cursor.

use std::collections::{BTreeMap, BTreeSet, HashMap, VecDeque};
use std::ops::Bound;
use std::sync::Arc;

use pulltrace_core::{ChangeKind, KubeName, NodeName, PodRef, PullId};

use super::row::{NodeRow, Row};
use crate::change::{Changes, NodeView, PodView, PullChange};

/// The pulls of all nodes, as readers see them.
#[derive(Debug)]
pub struct Table {
    epoch: Arc<str>,
    seq: u64,
    urgent: u64,
    rows: HashMap<PullId, Arc<Row>>,
    /// The ids of all rows, in order, for lists. `rows` has no order, since reports look rows up by
    /// id.
    ids: BTreeSet<PullId>,
    nodes: BTreeMap<NodeName, Arc<NodeRow>>,
    pods: BTreeMap<PodRef, Arc<PodView>>,
    log: BTreeMap<u64, LogEntry>,
    /// The changes with tombstones, oldest first; at most `max_tombstones`.
    tombstone_seqs: VecDeque<u64>,
    max_tombstones: usize,
    /// The last tombstone that was dropped. Older cursors cannot resume.
    oldest_cursor: u64,
    /// Only rows that changed after this may have cached JSON.
    cached_since: u64,
}

/// The version of a table.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct TableVersion {
    /// The last change.
    pub seq: u64,
    /// The last start or end of a pull, which readers should see immediately.
    pub urgent: u64,
}

#[derive(Debug)]
enum LogEntry {
    Row(Arc<Row>),
    Tombstone(PullId),
    Node(Arc<NodeRow>),
}

/// The changes since a cursor.
#[derive(Clone, Debug, Default)]
#[non_exhaustive]
pub struct Delta {
    /// Rows in the order of their last changes, each in its latest state.
    pub rows: Vec<Arc<Row>>,
    /// Pulls that were removed from the table.
    pub removed: Vec<PullId>,
    /// Nodes in the order of their last changes; removed ones are marked.
    pub nodes: Vec<Arc<NodeRow>>,
    /// The cursor to continue from.
    pub next_cursor: u64,
}

/// A cursor that cannot resume without a gap. A retry does not help: its reader must start over with
/// a snapshot.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("cursor {cursor} is out of range: expected {oldest} to {newest}")]
pub struct CursorTooOld {
    /// The cursor.
    pub cursor: u64,
    /// The oldest cursor that can resume.
    pub oldest: u64,
    /// The last change. A cursor after it is from another table.
    pub newest: u64,
}

impl Table {
    /// Creates an empty table. `epoch` must differ each time the server starts. The table remembers
    /// `max_tombstones` removals; a reader with an older cursor must start over.
    #[must_use]
    pub fn new(epoch: impl Into<Arc<str>>, max_tombstones: usize) -> Self {
        Self {
            epoch: epoch.into(),
            seq: 0,
            urgent: 0,
            rows: HashMap::new(),
            ids: BTreeSet::new(),
            nodes: BTreeMap::new(),
            pods: BTreeMap::new(),
            log: BTreeMap::new(),
            tombstone_seqs: VecDeque::new(),
            max_tombstones,
            oldest_cursor: 0,
            cached_since: 0,
        }
    }

    /// Returns the epoch. Cursors of other epochs are invalid.
    #[must_use]
    pub fn epoch(&self) -> &str {
        &self.epoch
    }

    /// Returns the last change.
    #[must_use]
    pub const fn seq(&self) -> u64 {
        self.seq
    }

    /// Returns the last change, and the last urgent one.
    #[must_use]
    pub const fn version(&self) -> TableVersion {
        TableVersion { seq: self.seq, urgent: self.urgent }
    }

    /// Returns a pull.
    #[must_use]
    pub fn get(&self, id: &PullId) -> Option<&Arc<Row>> {
        self.rows.get(id)
    }

    /// Returns the pulls in the order of their ids; after one of them, for pagination.
    pub fn rows(&self, after: Option<&PullId>) -> impl Iterator<Item = &Arc<Row>> {
        let after = after.map_or(Bound::Unbounded, Bound::Excluded);
        let ids = self.ids.range((after, Bound::Unbounded));
        ids.filter_map(|id| self.rows.get(id))
    }

    /// Returns a node.
    #[must_use]
    pub fn node(&self, name: &NodeName) -> Option<&Arc<NodeRow>> {
        self.nodes.get(name)
    }

    /// Returns the nodes in the order of their names.
    pub fn nodes(&self) -> impl Iterator<Item = &Arc<NodeRow>> {
        self.nodes.values()
    }

    /// Returns the pods that wait for images, or did a moment ago, in the order of their namespaces
    /// and names; after one of them, for pagination.
    pub fn pods(&self, after: Option<&PodRef>) -> impl Iterator<Item = &Arc<PodView>> {
        let after = after.map_or(Bound::Unbounded, Bound::Excluded);
        self.pods.range((after, Bound::Unbounded)).map(|(_, p)| p)
    }

    /// Returns the pods with this name: several if a pod was recreated.
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
        // `-` sorts before all other uids.
        let pods = first.map(|first| self.pods.range(first..));
        pods.into_iter().flatten().take_while(move |(pod, _)| named(pod)).map(|(_, view)| view)
    }

    /// Returns the changes after `cursor`, oldest first: at least one, if there is any, and then
    /// more until rows and their layers together reach `limit`.
    ///
    /// If [`Delta::next_cursor`] is not [`seq`](Self::seq), there is more. Between two calls an
    /// unread row may change again and move to the end, so a reader that reads in steps must use a
    /// [`Follower`](super::Follower). It gets the latest state of each row: it may see an end
    /// without earlier changes, but never misses one.
    ///
    /// # Errors
    /// If a tombstone after the cursor was dropped, or the cursor is from another table: the reader
    /// must start over.
    pub fn changed_since(&self, cursor: u64, limit: usize) -> Result<Delta, CursorTooOld> {
        if cursor < self.oldest_cursor || cursor > self.seq {
            return Err(self.too_old(cursor));
        }
        let mut delta = Delta::default();
        let after = (Bound::Excluded(cursor), Bound::Unbounded);
        let mut cost = 0;
        for (seq, item) in self.log.range(after) {
            if cost >= limit {
                return Ok(delta);
            }
            cost += 1;
            delta.next_cursor = *seq;
            match item {
                LogEntry::Row(row) => {
                    cost += row.layer_seqs.len();
                    delta.rows.push(Arc::clone(row));
                }
                LogEntry::Node(node) => delta.nodes.push(Arc::clone(node)),
                // A row that was added again is returned as a row.
                LogEntry::Tombstone(id) if self.rows.contains_key(id) => {}
                LogEntry::Tombstone(id) => delta.removed.push(id.clone()),
            }
        }
        delta.next_cursor = self.seq;
        Ok(delta)
    }

    /// Applies the changes of one step.
    pub fn apply(&mut self, changes: &Changes) {
        for change in &changes.pulls {
            self.put_pull(change);
        }
        for id in &changes.removed_pulls {
            if let Some(row) = self.rows.remove(id) {
                self.ids.remove(id);
                self.log.remove(&row.seq);
                self.add_tombstone(|_| LogEntry::Tombstone(id.clone()));
            }
        }
        for view in &changes.nodes {
            self.put_node(view.clone());
        }
        for view in &changes.removed_pods {
            self.pods.remove(&view.pod);
        }
        for view in &changes.pods {
            let view = Arc::new(view.clone());
            self.pods.insert(view.pod.clone(), view);
        }
        if !changes.pods.is_empty() || !changes.removed_pods.is_empty() {
            // Wakes readers that follow a pod. Those that follow pulls find no changes.
            self.next_seq();
        }
        for name in &changes.removed_nodes {
            if let Some(node) = self.nodes.remove(name) {
                self.log.remove(&node.seq);
                let view = node.view.clone();
                self.add_tombstone(|seq| LogEntry::Node(Arc::new(NodeRow::new(view, seq, true))));
            }
        }
    }

    /// Drops the cached JSON of rows that did not change after `upto`: followers have read it, and
    /// it is many times the size of the row.
    pub fn drop_cached_json(&mut self, upto: u64) {
        if upto <= self.cached_since {
            return;
        }
        let old = (Bound::Excluded(self.cached_since), Bound::Included(upto));
        for item in self.log.range(old).map(|(_, item)| item) {
            if let LogEntry::Row(row) = item {
                row.drop_cache();
            }
        }
        self.cached_since = upto;
    }

    pub(super) const fn too_old(&self, cursor: u64) -> CursorTooOld {
        CursorTooOld { cursor, oldest: self.oldest_cursor, newest: self.seq }
    }

    fn next_seq(&mut self) -> u64 {
        self.seq += 1;
        self.seq
    }

    fn put_pull(&mut self, change: &PullChange) {
        let seq = self.next_seq();
        if change.kind != ChangeKind::Progressed {
            self.urgent = seq;
        }
        let row = if let Some(known) = self.rows.get_mut(&change.pull.id) {
            self.log.remove(&known.seq);
            *known = Arc::new(known.next_version(change, seq));
            Arc::clone(known)
        } else {
            let row = Row::new(change, seq);
            let (id, row) = (row.pull.id.clone(), Arc::new(row));
            self.ids.insert(id.clone());
            self.rows.insert(id, Arc::clone(&row));
            row
        };
        self.log.insert(seq, LogEntry::Row(row));
    }

    fn put_node(&mut self, view: NodeView) {
        let seq = self.next_seq();
        let name = view.name.clone();
        let node = Arc::new(NodeRow::new(view, seq, false));
        if let Some(before) = self.nodes.insert(name, Arc::clone(&node)) {
            self.log.remove(&before.seq);
        }
        self.log.insert(seq, LogEntry::Node(node));
    }

    /// Records a removal, and drops the oldest tombstone beyond the limit.
    fn add_tombstone(&mut self, item: impl FnOnce(u64) -> LogEntry) {
        let seq = self.next_seq();
        self.log.insert(seq, item(seq));
        self.tombstone_seqs.push_back(seq);
        if self.tombstone_seqs.len() > self.max_tombstones
            && let Some(oldest) = self.tombstone_seqs.pop_front()
        {
            self.log.remove(&oldest);
            self.oldest_cursor = oldest;
        }
    }
}
