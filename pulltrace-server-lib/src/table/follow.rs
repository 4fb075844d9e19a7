//! A reader's place among the changes, where it reads them a little at a time.
//!
//! Between two reads a row may change and move behind what is still to be read. So what a reader has
//! seen of a row is not told by how far it has read, but by when it last had read all there was, and by
//! what it read since.

use std::collections::HashMap;
use std::sync::Arc;

use pulltrace_core::PullId;

use super::{CursorTooOld, NodeRow, Row, Table};

/// The most starts and ends that are remembered of one round; beyond, the reader must start anew.
const MAX_TOLD: usize = 65_536;

/// A reader's place among the changes of a [`Table`].
///
/// It reads in rounds: a round is over when all was read. It keeps no row, and of a round that goes on
/// no more than which starts and ends were told.
#[derive(Debug)]
pub struct Follower {
    /// All up to here was read at a moment when nothing came after it.
    settled: u64,
    /// How far this round has come.
    at: u64,
    /// How far starts and ends were read.
    urgent: u64,
    /// The version of each row of which a start or an end was told in this round.
    told: HashMap<PullId, u64>,
}

/// What was read.
#[derive(Debug, Default)]
#[non_exhaustive]
pub struct Page {
    /// Rows in their latest state.
    pub rows: Vec<Seen>,
    /// Pulls that are kept no more.
    pub removed: Vec<PullId>,
    /// Nodes; one that is kept no more is marked so.
    pub nodes: Vec<Arc<NodeRow>>,
    /// Whether there was no more.
    pub complete: bool,
}

/// A row, and what of it the reader has seen.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct Seen {
    /// The row.
    pub row: Arc<Row>,
    /// What changed of it up to here the reader has seen.
    pub since: u64,
}

impl Seen {
    /// Whether the reader, which reads layers or does not, needs the whole row, and not only what moved.
    #[must_use]
    pub fn is_whole(&self, layers: bool) -> bool {
        let whole = if layers {
            self.row.whole_seq
        } else {
            self.row.bare_seq
        };
        whole > self.since
    }

    /// Whether it is new to the reader, or came back to life.
    #[must_use]
    pub fn has_started(&self) -> bool {
        self.row.started_seq > self.since
    }

    /// Whether the reader is to be told that it ended.
    #[must_use]
    pub fn has_ended(&self) -> bool {
        self.row.ended_seq.is_some_and(|ended| ended > self.since)
    }
}

impl Follower {
    /// A reader that has read all up to `seq`: at a snapshot, or before it was cut off.
    #[must_use]
    pub fn new(seq: u64) -> Self {
        Self {
            settled: seq,
            at: seq,
            urgent: seq,
            told: HashMap::new(),
        }
    }

    /// From where another reader goes on without a gap: it may see again what this one read in a round
    /// that is not over.
    #[must_use]
    pub const fn cursor(&self) -> u64 {
        self.settled
    }

    /// Reads on: as much as [`Table::changed_since`] gives with `limit`.
    ///
    /// # Errors
    /// Where it has fallen too far behind, and must start anew.
    pub fn read(&mut self, table: &Table, limit: usize) -> Result<Page, CursorTooOld> {
        let delta = table.changed_since(self.at, limit)?;
        let complete = delta.upto == table.seq();
        let mut page = Page {
            removed: delta.removed,
            nodes: delta.nodes,
            complete,
            ..Page::default()
        };
        for row in delta.rows {
            self.see(row, false, &mut page);
        }
        self.at = delta.upto;
        if complete {
            self.settled = self.at;
            self.told.clear();
        }
        self.check(table)?;
        self.urgent = self.urgent.max(self.at);
        Ok(page)
    }

    /// Reads ahead: only rows that start or end, of so much. The others, what was
    /// removed, and nodes wait for [`read`](Self::read).
    ///
    /// # Errors
    /// Where it has fallen too far behind, and must start anew.
    pub fn read_urgent(&mut self, table: &Table, limit: usize) -> Result<Page, CursorTooOld> {
        let delta = table.changed_since(self.urgent, limit)?;
        let mut page = Page {
            complete: delta.upto == table.seq(),
            ..Page::default()
        };
        for row in delta.rows {
            self.see(row, true, &mut page);
        }
        self.urgent = delta.upto;
        self.check(table)?;
        Ok(page)
    }

    /// Takes a row, where it or what is urgent of it is news.
    fn see(&mut self, row: Arc<Row>, urgent: bool, page: &mut Page) {
        let since = self.settled;
        let mut seen = Seen { row, since };
        if seen.has_started() || seen.has_ended() {
            // Only of such a row something may have been told in this round.
            seen.since = self.told.get(&seen.row.pull.id).copied().unwrap_or(since);
            if seen.row.seq <= seen.since || (urgent && !seen.has_started() && !seen.has_ended()) {
                return;
            }
            self.told.insert(seen.row.pull.id.clone(), seen.row.seq);
        } else if urgent {
            return;
        }
        page.rows.push(seen);
    }

    fn check(&self, table: &Table) -> Result<(), CursorTooOld> {
        if self.told.len() <= MAX_TOLD {
            return Ok(());
        }
        Err(table.too_old(self.settled))
    }
}
