//! A reader that follows the table: a cursor, and the rows it has seen.

use std::collections::BTreeMap;
use std::sync::Arc;

use proptest::prelude::*;
use pulltrace_core::{Outcome, PullId};
use pulltrace_server_lib::table::{Follower, Row, RowUpdate, Table};

#[derive(Debug)]
pub(crate) struct Reader {
    follower: Follower,
    pub(crate) rows: BTreeMap<PullId, Arc<Row>>,
    /// Ends with evidence that were received.
    pub(crate) ends: BTreeMap<PullId, u32>,
}

impl Reader {
    pub(crate) fn new() -> Self {
        Self { follower: Follower::new(0), rows: BTreeMap::new(), ends: BTreeMap::new() }
    }

    /// Reads at most `limit` changes, or only the starts and ends among them.
    pub(crate) fn read(
        &mut self,
        table: &Table,
        limit: usize,
        urgent: bool,
    ) -> Result<bool, TestCaseError> {
        let cursor = self.follower.cursor();
        let page = if urgent {
            self.follower.read_urgent(table, limit)
        } else {
            self.follower.read(table, limit)
        };
        let page = match page {
            Ok(page) => page,
            Err(error) => {
                prop_assert!(cursor < error.oldest);
                self.load_snapshot(table);
                return Ok(true);
            }
        };
        prop_assert!(page.rows.len() + page.removed.len() + page.nodes.len() <= limit);
        for seen in page.rows {
            let id = seen.row.pull.id.clone();
            if seen.has_ended() && seen.row.pull.outcome() != Some(Outcome::Unknown) {
                *self.ends.entry(id.clone()).or_default() += 1;
            }
            match self.rows.get(&id) {
                Some(before) => check_transition(before, &seen)?,
                None => prop_assert!(seen.needs_full(true), "a new row is sent in full"),
            }
            self.rows.insert(id, seen.row);
        }
        for id in page.removed {
            self.rows.remove(&id);
        }
        Ok(page.complete && !urgent)
    }

    /// Reads all changes.
    pub(crate) fn catch_up(&mut self, table: &Table, limit: usize) -> Result<(), TestCaseError> {
        while !self.read(table, limit, false)? {}
        prop_assert_eq!(self.follower.cursor(), table.seq());
        Ok(())
    }

    /// Disconnects, and resumes with the last cursor.
    pub(crate) fn resume(&mut self) {
        self.follower = Follower::new(self.follower.cursor());
    }

    /// Reads a snapshot.
    fn load_snapshot(&mut self, table: &Table) {
        self.follower = Follower::new(table.seq());
        let rows = table.rows(None);
        self.rows = rows.map(|row| (row.pull.id.clone(), Arc::clone(row))).collect();
    }

    /// Asserts that the reader has the current rows.
    pub(crate) fn assert_up_to_date(&self, table: &Table) -> Result<(), TestCaseError> {
        let seen: Vec<_> = self.rows.values().map(|row| (&row.pull.id, row.seq)).collect();
        let there: Vec<_> = table.rows(None).map(|row| (&row.pull.id, row.seq)).collect();
        prop_assert_eq!(seen, there);
        Ok(())
    }
}

/// Invariants of two consecutive states of a row.
fn check_transition(before: &Row, seen: &RowUpdate) -> Result<(), TestCaseError> {
    let row = &seen.row;
    let (was, is) = (before.pull.outcome(), row.pull.outcome());
    if was.is_some_and(|was| was != Outcome::Unknown) {
        prop_assert_eq!(was, is, "an end with evidence never changes");
    }
    prop_assert!(row.pull.motion.percent >= before.pull.motion.percent, "percent decreased");
    prop_assert_eq!(
        row.pull.motion.percent.is_some_and(|percent| percent.get() >= 100.0),
        is == Some(Outcome::Completed)
    );
    if !seen.needs_full(true) {
        // The reader would get only the motion, which must lead to the same state.
        let motion = row.motion(true);
        let mut status = before.status(true);
        status.percent = motion.percent;
        status.downloaded_bytes = motion.downloaded_bytes;
        status.extracted_bytes = motion.extracted_bytes;
        status.bytes_per_sec = motion.bytes_per_sec;
        status.eta_seconds = motion.eta_seconds;
        status.eta_low_seconds = motion.eta_low_seconds;
        status.eta_high_seconds = motion.eta_high_seconds;
        for (index, downloaded, unpacked, rate) in motion.layers {
            let layer = &mut status.layers[index as usize];
            layer.downloaded_bytes = downloaded;
            layer.unpacked_bytes = unpacked;
            layer.bytes_per_sec = rate;
        }
        prop_assert_eq!(status, row.status(true));
    }
    Ok(())
}
