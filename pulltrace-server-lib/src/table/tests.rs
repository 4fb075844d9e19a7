//! The table as readers see it.

use std::num::NonZeroU64;
use std::sync::Arc;

use pulltrace_core::{Bytes, ChangeKind, PullId};

use super::*;
use crate::change::{Changes, PullChange};
use crate::fixture::{ReportBuilder, id, now};
use crate::fleet::Fleet;
use crate::limits::Limits;

/// A table that follows a fleet of one node.
struct World {
    fleet: Fleet,
    table: Table,
}

impl World {
    fn new(tombstones: usize) -> Self {
        let limits = Limits { ended: 3, ..Limits::default() };
        Self { fleet: Fleet::new("e", limits, now(0).at), table: Table::new("e", tombstones) }
    }

    fn apply(&mut self, report: &ReportBuilder) {
        let (report, now) = report.build();
        let applied = self.fleet.apply(report, now);
        assert!(applied.response.is_ok(), "{:?}", applied.response);
        self.table.apply(&applied.changes);
    }

    fn row(&self, lease: u32) -> &Arc<Row> {
        self.table.get(&id("w1", lease)).unwrap()
    }
}

fn ids(delta: &Delta) -> Vec<&PullId> {
    delta.rows.iter().map(|row| &row.pull.id).collect()
}

#[test]
fn delta_has_each_row_once_in_latest_state() {
    let mut world = World::new(10);
    world.apply(&ReportBuilder::new("w1", 1, 0).resolving(1).resolving(2).resolving(3));
    let cursor = world.table.seq();
    world.apply(&ReportBuilder::new("w1", 2, 1).partial().ended(2, "failed", 1));
    world.apply(&ReportBuilder::new("w1", 3, 2).partial().image(9, &[1]).downloading(1, 9, &[10]));
    world.apply(&ReportBuilder::new("w1", 4, 3).partial().downloading(1, 9, &[20]));
    let delta = world.table.changed_since(cursor, 100).unwrap();
    assert_eq!(ids(&delta), [&id("w1", 2), &id("w1", 1)]);
    assert_eq!(delta.rows[1].pull.motion.downloaded, Bytes(20));
    assert_eq!(delta.nodes.len(), 1);
    assert_eq!(delta.next_cursor, world.table.seq());
    let nothing = world.table.changed_since(delta.next_cursor, 100).unwrap();
    assert!(nothing.rows.is_empty() && nothing.nodes.is_empty());
    assert_eq!(nothing.next_cursor, delta.next_cursor);
}

#[test]
fn small_steps_return_same_rows() {
    let mut world = World::new(10);
    world.apply(&ReportBuilder::new("w1", 1, 0).resolving(1).resolving(2).resolving(3));
    let whole = world.table.changed_since(0, usize::MAX).unwrap();
    let (mut cursor, mut seen) = (0, Vec::new());
    while cursor != world.table.seq() {
        let delta = world.table.changed_since(cursor, 1).unwrap();
        assert!(delta.next_cursor > cursor);
        cursor = delta.next_cursor;
        seen.extend(delta.rows.iter().map(|row| row.pull.id.clone()));
    }
    assert_eq!(ids(&whole), seen.iter().collect::<Vec<_>>());
    let page: Vec<_> = world.table.rows(Some(&id("w1", 1))).collect();
    assert_eq!(page.len(), 2);
}

#[test]
fn follower_misses_no_row_that_changes_between_reads() {
    let mut world = World::new(10);
    let cursor = world.table.seq();
    world.apply(
        &ReportBuilder::new("w1", 1, 0).image(9, &[1]).downloading(1, 9, &[10]).resolving(2),
    );
    let mut follower = Follower::new(cursor);
    // Row 1 changes before it is read, and moves behind row 2.
    world.apply(&ReportBuilder::new("w1", 2, 2).partial().downloading(1, 9, &[20]));
    let page = follower.read(&world.table, 1).unwrap();
    assert_eq!(page.rows[0].row.pull.id, id("w1", 2));
    assert!(!page.complete);
    assert_eq!(follower.cursor(), cursor, "resuming here must not lose a row");
    let page = follower.read(&world.table, 1).unwrap();
    assert_eq!(page.rows[0].row.pull.id, id("w1", 1));
    assert!(page.rows[0].needs_full(true) && page.rows[0].has_started());
    follower.read(&world.table, 9).unwrap();
    assert_eq!(follower.cursor(), world.table.seq());
}

#[test]
fn urgent_read_returns_starts_and_ends_once() {
    let mut world = World::new(10);
    world.apply(
        &ReportBuilder::new("w1", 1, 0).image(9, &[1]).downloading(1, 9, &[10]).resolving(2),
    );
    let mut follower = Follower::new(world.table.seq());
    world.apply(&ReportBuilder::new("w1", 2, 1).partial().downloading(1, 9, &[20]));
    world.apply(&ReportBuilder::new("w1", 3, 2).partial().ended(2, "failed", 2));
    let page = follower.read_urgent(&world.table, 9).unwrap();
    assert_eq!(page.rows.len(), 1);
    assert!(page.rows[0].has_ended());
    assert!(follower.read_urgent(&world.table, 9).unwrap().rows.is_empty());
    let page = follower.read(&world.table, 9).unwrap();
    let read: Vec<_> = page.rows.iter().map(|seen| &seen.row.pull.id).collect();
    assert_eq!(read, [&id("w1", 1)]);
}

#[test]
fn cursor_older_than_tombstones_is_rejected() {
    let mut world = World::new(1);
    world.apply(&ReportBuilder::new("w1", 1, 10).resolving(9));
    let cursor = world.table.seq();
    let report_ended = |range: std::ops::RangeInclusive<u32>, sequence| {
        let report = ReportBuilder::new("w1", sequence, 10).partial();
        range.fold(report, |told, lease| told.ended(lease, "failed", i64::from(lease)))
    };
    world.apply(&report_ended(1..=3, 2));
    assert!(world.table.changed_since(cursor, 9).unwrap().removed.is_empty());
    world.apply(&report_ended(4..=4, 3));
    let delta = world.table.changed_since(cursor, 99).unwrap();
    assert_eq!(delta.removed, [id("w1", 1)]);
    world.apply(&report_ended(5..=5, 4));
    let error = world.table.changed_since(cursor, 99).unwrap_err();
    assert!(error.oldest > cursor);
    assert!(world.table.changed_since(error.oldest, 99).is_ok());
    let ahead = world.table.seq() + 1;
    assert!(world.table.changed_since(ahead, 99).is_err());
}

#[test]
fn restored_row_is_not_reported_as_removed() {
    let mut world = World::new(10);
    world.apply(&ReportBuilder::new("w1", 1, 10).resolving(1));
    let cursor = world.table.seq();
    let pull = Arc::clone(&world.row(1).pull);
    let mut removal = Changes::default();
    removal.removed_pulls.push(id("w1", 1));
    world.table.apply(&removal);
    assert_eq!(world.table.changed_since(cursor, 9).unwrap().removed.len(), 1);
    let mut return_change = Changes::default();
    return_change.pulls.push(PullChange::new(ChangeKind::Started, pull));
    world.table.apply(&return_change);
    let delta = world.table.changed_since(cursor, 9).unwrap();
    assert_eq!((delta.removed.len(), delta.rows.len()), (0, 1));
}

#[test]
fn motion_has_layers_changed_since_full_row() {
    let mut world = World::new(10);
    let report = ReportBuilder::new("w1", 1, 0).image(9, &[1, 2, 3]);
    world.apply(&report.downloading(1, 9, &[10, 0, 10]));
    let whole = world.row(1).full_seq;
    world.apply(&ReportBuilder::new("w1", 2, 1).partial().downloading(1, 9, &[20, 0, 10]));
    world.apply(&ReportBuilder::new("w1", 3, 2).partial().downloading(1, 9, &[20, 0, 30]));
    let row = world.row(1);
    assert_eq!(row.full_seq, whole);
    let motion = row.motion(true);
    assert_eq!(motion.downloaded_bytes, Some(50));
    let layers = [(0, Some(20), None, Some(5.0)), (2, Some(30), None, Some(5.0))];
    assert_eq!(motion.layers, layers);
    assert!(row.motion(false).layers.is_empty());
    // The start of a layer is more than motion.
    world.apply(&ReportBuilder::new("w1", 4, 3).partial().downloading(1, 9, &[20, 5, 30]));
    let row = world.row(1);
    assert_eq!(row.full_seq, row.seq);
    assert!(row.motion(true).layers.is_empty());
}

#[test]
fn layerless_row_matches_full_status() {
    let mut world = World::new(10);
    let report = |sequence, bytes: u64| {
        let report = ReportBuilder::new("w1", sequence, 0).image(9, &[1, 2]);
        let mut report = report.downloading(1, 9, &[bytes, 100]);
        let pull = &mut report.body["pulls"][0];
        pull["percent"] = serde_json::json!(40.0 + 0.37 * bytes as f64);
        pull["extractedBytes"] = serde_json::json!(bytes);
        report
    };
    for (sequence, bytes) in [(1, 10), (2, 20), (3, 77)] {
        world.apply(&report(sequence, bytes));
        let (mut whole, bare) = (world.row(1).status(true), world.row(1).status(false));
        assert_eq!((bare.layer_count, bare.layers_done), (Some(2), Some(0)));
        whole.layers = Vec::new();
        assert_eq!(bare, whole);
    }
}

#[test]
fn row_records_seq_of_starts_and_ends() {
    let mut world = World::new(10);
    world.apply(&ReportBuilder::new("w1", 1, 0).resolving(1));
    let started = world.row(1).seq;
    assert_eq!(world.table.version().urgent, started);
    world.apply(&ReportBuilder::new("w1", 2, 1).partial().image(9, &[1, 2]).downloading(
        1,
        9,
        &[10, 0],
    ));
    let row = world.row(1);
    assert_eq!((row.started_seq, row.ended_seq), (started, None));
    assert_eq!(row.layer_seqs[0].started, NonZeroU64::new(row.seq));
    assert_eq!((row.layer_seqs[1].started, row.layer_seqs[1].completed), (None, None));
    assert_eq!(world.table.version().urgent, started, "progress is not urgent");
    world.apply(&ReportBuilder::new("w1", 3, 9).partial().completed(1, 9, 9));
    let row = Arc::clone(world.row(1));
    assert_eq!((row.started_seq, row.ended_seq), (started, Some(row.seq)));
    assert_eq!(world.table.version().urgent, row.seq);
    assert_eq!(row.layer_seqs[0].completed, NonZeroU64::new(row.seq));
    assert!(row.layer_seqs[0].started < row.layer_seqs[0].completed);
    // Data learned later is not another end.
    let mut report = ReportBuilder::new("w1", 4, 10).partial().completed(1, 9, 9);
    report.body["pulls"][0]["names"] = serde_json::json!(["docker.io/library/nginx:1"]);
    world.apply(&report);
    assert!(world.row(1).seq > row.seq);
    assert_eq!(world.row(1).ended_seq, row.ended_seq);
}

#[test]
fn row_json_is_cached_until_dropped() {
    let mut world = World::new(10);
    world.apply(&ReportBuilder::new("w1", 1, 0).image(9, &[1]).downloading(1, 9, &[10]));
    let row = Arc::clone(world.row(1));
    let forms =
        [JsonForm::Status, JsonForm::StatusNoLayers, JsonForm::Motion, JsonForm::MotionNoLayers];
    let texts: Vec<_> = forms.iter().map(|form| row.json(*form)).collect();
    for (form, text) in forms.iter().zip(&texts) {
        assert!(Arc::ptr_eq(&row.json(*form), text));
    }
    assert!(texts[0].contains("\"layers\"") && !texts[1].contains("\"layers\""));
    assert!(texts[0].starts_with("{\"id\":\"lease~w1~k8s.io~1~0\""));
    world.table.drop_cached_json(world.table.seq());
    for (form, text) in forms.iter().zip(&texts) {
        assert_eq!(Arc::strong_count(text), 1, "the cache is dropped");
        assert_eq!(row.json(*form), *text);
        assert_eq!(Arc::strong_count(text), 1);
    }
}

#[test]
fn removed_node_is_reported_as_removed() {
    let mut world = World::new(10);
    world.apply(&ReportBuilder::new("w1", 1, 0));
    let cursor = world.table.seq();
    let changes = world.fleet.expire(now(1_801));
    world.table.apply(&changes);
    let delta = world.table.changed_since(cursor, 9).unwrap();
    assert!(delta.nodes[0].removed);
    assert!(delta.nodes[0].json().contains("\"removed\":true"));
    assert_eq!(world.table.nodes().count(), 0);
}
