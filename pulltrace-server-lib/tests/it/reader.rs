//! A reader that follows: a cursor, and what it has seen.

use std::collections::BTreeMap;
use std::sync::Arc;

use proptest::prelude::*;
use pulltrace_core::{Outcome, PullId};
use pulltrace_server_lib::table::{Follower, Row, Seen, Table};

#[derive(Debug)]
pub(crate) struct Reader {
    follower: Follower,
    pub(crate) rows: BTreeMap<PullId, Arc<Row>>,
    /// The ends that it was told, with evidence.
    pub(crate) ends: BTreeMap<PullId, u32>,
}

impl Reader {
    pub(crate) fn new() -> Self {
        Self {
            follower: Follower::new(0),
            rows: BTreeMap::new(),
            ends: BTreeMap::new(),
        }
    }

    /// Reads at most `limit` changes, or of those only starts and ends.
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
                self.start_anew(table);
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
                Some(before) => one_step(before, &seen)?,
                None => prop_assert!(seen.is_whole(true), "a new row is told whole"),
            }
            self.rows.insert(id, seen.row);
        }
        for id in page.removed {
            self.rows.remove(&id);
        }
        Ok(page.complete && !urgent)
    }

    /// Reads all there is.
    pub(crate) fn catch_up(&mut self, table: &Table, limit: usize) -> Result<(), TestCaseError> {
        while !self.read(table, limit, false)? {}
        prop_assert_eq!(self.follower.cursor(), table.seq());
        Ok(())
    }

    /// It is cut off, and comes back with the cursor that it was told last.
    pub(crate) fn resume(&mut self) {
        self.follower = Follower::new(self.follower.cursor());
    }

    /// Reads a snapshot.
    fn start_anew(&mut self, table: &Table) {
        self.follower = Follower::new(table.seq());
        let rows = table.rows(None);
        self.rows = rows
            .map(|row| (row.pull.id.clone(), Arc::clone(row)))
            .collect();
    }

    /// What it has is what there is.
    pub(crate) fn has_all(&self, table: &Table) -> Result<(), TestCaseError> {
        let seen: Vec<_> = self
            .rows
            .values()
            .map(|row| (&row.pull.id, row.seq))
            .collect();
        let there: Vec<_> = table
            .rows(None)
            .map(|row| (&row.pull.id, row.seq))
            .collect();
        prop_assert_eq!(seen, there);
        Ok(())
    }
}

/// What holds of any two states of a row that a reader sees one after the other.
fn one_step(before: &Row, seen: &Seen) -> Result<(), TestCaseError> {
    let row = &seen.row;
    let (was, is) = (before.pull.outcome(), row.pull.outcome());
    if was.is_some_and(|was| was != Outcome::Unknown) {
        prop_assert_eq!(was, is, "an end with evidence stands");
    }
    prop_assert!(row.pull.percent >= before.pull.percent, "a step back");
    prop_assert_eq!(
        row.pull
            .percent
            .is_some_and(|percent| percent.get() >= 100.0),
        is == Some(Outcome::Completed)
    );
    if !seen.is_whole(true) {
        // The reader would be told the motion alone, with which it has the same.
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
