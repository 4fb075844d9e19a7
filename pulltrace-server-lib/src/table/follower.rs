//! The position of a reader that reads changes in steps.
//!
//! A row that changes between two reads moves to the end of the log. So the position alone does not
//! identify the version of a row that the reader has seen: that depends on the last time it was up
//! to date, and on the rows it has read since.

use std::collections::HashMap;
use std::sync::Arc;

use pulltrace_core::PullId;

use super::row::{NodeRow, Row};
use super::versioned::{CursorTooOld, Table};

/// Maximum starts and ends remembered per round; beyond it, the reader must start over.
const MAX_DELIVERED: usize = 65_536;

/// A reader's position in the changes of a [`Table`].
///
/// It reads in rounds. A round is complete when the reader is up to date. Only the starts and ends
/// delivered in the current round are remembered, and no rows.
#[derive(Debug)]
pub struct Follower {
    /// The last change when the reader was last up to date.
    complete_up_to: u64,
    /// Position in the current round.
    read_up_to: u64,
    /// Position of urgent reads.
    urgent_up_to: u64,
    /// The version of each row whose start or end was delivered in this round.
    delivered: HashMap<PullId, u64>,
}

/// The result of a read.
#[derive(Debug, Default)]
#[non_exhaustive]
pub struct ReadBatch {
    /// Rows in their latest state.
    pub rows: Vec<RowUpdate>,
    /// Removed pulls.
    pub removed: Vec<PullId>,
    /// Nodes; removed ones are marked.
    pub nodes: Vec<Arc<NodeRow>>,
    /// Set if the reader is up to date.
    pub complete: bool,
}

/// A row, and the part of its changes that the reader has seen.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct RowUpdate {
    /// The row.
    pub row: Arc<Row>,
    /// The reader has seen the changes up to this one.
    pub seen_seq: u64,
}

impl RowUpdate {
    /// Reports whether the reader, with or without layers, needs the full row and not just a
    /// motion.
    #[must_use]
    pub fn needs_full(&self, layers: bool) -> bool {
        let full_seq = if layers { self.row.full_seq } else { self.row.full_seq_no_layers };
        full_seq > self.seen_seq
    }

    /// Reports whether the row is new to the reader, or became live again.
    #[must_use]
    pub fn has_started(&self) -> bool {
        self.row.started_seq > self.seen_seq
    }

    /// Reports whether the row has ended and the reader has not seen that yet.
    #[must_use]
    pub fn has_ended(&self) -> bool {
        self.row.ended_seq.is_some_and(|ended| ended > self.seen_seq)
    }
}

impl Follower {
    /// Creates a reader that is up to date at `seq`: after a snapshot, or before it was
    /// disconnected.
    #[must_use]
    pub fn new(seq: u64) -> Self {
        Self { complete_up_to: seq, read_up_to: seq, urgent_up_to: seq, delivered: HashMap::new() }
    }

    /// Returns the cursor to resume from without a gap. Rows read in an incomplete round may be
    /// repeated.
    #[must_use]
    pub const fn cursor(&self) -> u64 {
        self.complete_up_to
    }

    /// Reads the next changes, with the `limit` of [`Table::changed_since`].
    ///
    /// # Errors
    /// If it has fallen too far behind and must start over.
    pub fn read(&mut self, table: &Table, limit: usize) -> Result<ReadBatch, CursorTooOld> {
        let delta = table.changed_since(self.read_up_to, limit)?;
        let complete = delta.next_cursor == table.seq();
        let mut batch = ReadBatch {
            removed: delta.removed,
            nodes: delta.nodes,
            complete,
            ..ReadBatch::default()
        };
        for row in delta.rows {
            self.push_row(row, false, &mut batch);
        }
        self.read_up_to = delta.next_cursor;
        if complete {
            self.complete_up_to = self.read_up_to;
            self.delivered.clear();
        }
        self.check_delivered(table)?;
        self.urgent_up_to = self.urgent_up_to.max(self.read_up_to);
        Ok(batch)
    }

    /// Reads ahead, only rows that start or end, with the same `limit`. Other rows, removals and
    /// nodes are left to [`read`](Self::read).
    ///
    /// # Errors
    /// If it has fallen too far behind and must start over.
    pub fn read_urgent(&mut self, table: &Table, limit: usize) -> Result<ReadBatch, CursorTooOld> {
        let delta = table.changed_since(self.urgent_up_to, limit)?;
        let mut batch =
            ReadBatch { complete: delta.next_cursor == table.seq(), ..ReadBatch::default() };
        for row in delta.rows {
            self.push_row(row, true, &mut batch);
        }
        self.urgent_up_to = delta.next_cursor;
        self.check_delivered(table)?;
        Ok(batch)
    }

    /// Adds a row to the batch if it is new to the reader; with `urgent`, only if its start or end
    /// is.
    fn push_row(&mut self, row: Arc<Row>, urgent: bool, batch: &mut ReadBatch) {
        let since = self.complete_up_to;
        let mut update = RowUpdate { row, seen_seq: since };
        if update.has_started() || update.has_ended() {
            // Only such rows may have been delivered in this round.
            update.seen_seq = self.delivered.get(&update.row.pull.id).copied().unwrap_or(since);
            if update.row.seq <= update.seen_seq
                || (urgent && !update.has_started() && !update.has_ended())
            {
                return;
            }
            self.delivered.insert(update.row.pull.id.clone(), update.row.seq);
        } else if urgent {
            return;
        }
        batch.rows.push(update);
    }

    fn check_delivered(&self, table: &Table) -> Result<(), CursorTooOld> {
        if self.delivered.len() <= MAX_DELIVERED {
            return Ok(());
        }
        Err(table.too_old(self.complete_up_to))
    }
}
