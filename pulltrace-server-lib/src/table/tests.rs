//! What readers see of a table.

use std::num::NonZeroU64;

use pulltrace_core::Bytes;

use super::*;
use crate::fixture::{Told, id, now};
use crate::fleet::Fleet;
use crate::limits::Limits;

/// A table that follows a fleet of one node.
struct World {
    fleet: Fleet,
    table: Table,
}

impl World {
    fn new(tombstones: usize) -> Self {
        let limits = Limits {
            ended: 3,
            ..Limits::default()
        };
        Self {
            fleet: Fleet::new("e", limits, now(0).at),
            table: Table::new("e", tombstones),
        }
    }

    fn tell(&mut self, told: &Told) {
        let (report, now) = told.heard();
        let applied = self.fleet.apply(report, now);
        assert!(applied.verdict.is_ok(), "{:?}", applied.verdict);
        self.table.take(&applied.changes);
    }

    fn row(&self, lease: u32) -> &Arc<Row> {
        self.table.get(&id("w1", lease)).unwrap()
    }
}

fn ids(delta: &Delta) -> Vec<&PullId> {
    delta.rows.iter().map(|row| &row.pull.id).collect()
}

#[test]
fn a_reader_gets_each_changed_row_once_in_its_latest_state() {
    let mut world = World::new(10);
    world.tell(&Told::new("w1", 1, 0).resolving(1).resolving(2).resolving(3));
    let cursor = world.table.seq();
    world.tell(&Told::new("w1", 2, 1).partial().ended(2, "failed", 1));
    world.tell(
        &Told::new("w1", 3, 2)
            .partial()
            .image(9, &[1])
            .downloading(1, 9, &[10]),
    );
    world.tell(&Told::new("w1", 4, 3).partial().downloading(1, 9, &[20]));
    let delta = world.table.changed_since(cursor, 100).unwrap();
    assert_eq!(ids(&delta), [&id("w1", 2), &id("w1", 1)]);
    assert_eq!(delta.rows[1].pull.downloaded, Bytes(20));
    assert_eq!(delta.nodes.len(), 1);
    assert_eq!(delta.upto, world.table.seq());
    let nothing = world.table.changed_since(delta.upto, 100).unwrap();
    assert!(nothing.rows.is_empty() && nothing.nodes.is_empty());
    assert_eq!(nothing.upto, delta.upto);
}

#[test]
fn a_reader_in_small_steps_sees_the_same() {
    let mut world = World::new(10);
    world.tell(&Told::new("w1", 1, 0).resolving(1).resolving(2).resolving(3));
    let whole = world.table.changed_since(0, usize::MAX).unwrap();
    let (mut cursor, mut seen) = (0, Vec::new());
    while cursor != world.table.seq() {
        let delta = world.table.changed_since(cursor, 1).unwrap();
        assert!(delta.upto > cursor);
        cursor = delta.upto;
        seen.extend(delta.rows.iter().map(|row| row.pull.id.clone()));
    }
    assert_eq!(ids(&whole), seen.iter().collect::<Vec<_>>());
    let page: Vec<_> = world.table.rows(Some(&id("w1", 1))).collect();
    assert_eq!(page.len(), 2);
}

#[test]
fn a_reader_in_small_steps_misses_nothing_of_a_row_that_moves_meanwhile() {
    let mut world = World::new(10);
    let cursor = world.table.seq();
    world.tell(
        &Told::new("w1", 1, 0)
            .image(9, &[1])
            .downloading(1, 9, &[10])
            .resolving(2),
    );
    let mut follower = Follower::new(cursor);
    // A row that it has not read moves behind the one that it reads first.
    world.tell(&Told::new("w1", 2, 2).partial().downloading(1, 9, &[20]));
    let page = follower.read(&world.table, 1).unwrap();
    assert_eq!(page.rows[0].row.pull.id, id("w1", 2));
    assert!(!page.complete);
    assert_eq!(follower.cursor(), cursor, "who resumes here misses nothing");
    let page = follower.read(&world.table, 1).unwrap();
    assert_eq!(page.rows[0].row.pull.id, id("w1", 1));
    assert!(page.rows[0].is_whole(true) && page.rows[0].has_started());
    follower.read(&world.table, 9).unwrap();
    assert_eq!(follower.cursor(), world.table.seq());
}

#[test]
fn starts_and_ends_are_read_ahead_and_once() {
    let mut world = World::new(10);
    world.tell(
        &Told::new("w1", 1, 0)
            .image(9, &[1])
            .downloading(1, 9, &[10])
            .resolving(2),
    );
    let mut follower = Follower::new(world.table.seq());
    world.tell(&Told::new("w1", 2, 1).partial().downloading(1, 9, &[20]));
    world.tell(&Told::new("w1", 3, 2).partial().ended(2, "failed", 2));
    let page = follower.read_urgent(&world.table, 9).unwrap();
    assert_eq!(page.rows.len(), 1);
    assert!(page.rows[0].has_ended());
    assert!(
        follower
            .read_urgent(&world.table, 9)
            .unwrap()
            .rows
            .is_empty()
    );
    let page = follower.read(&world.table, 9).unwrap();
    let read: Vec<_> = page.rows.iter().map(|seen| &seen.row.pull.id).collect();
    assert_eq!(read, [&id("w1", 1)]);
}

#[test]
fn a_reader_that_was_away_too_long_must_start_anew() {
    let mut world = World::new(1);
    world.tell(&Told::new("w1", 1, 10).resolving(9));
    let cursor = world.table.seq();
    let ended = |range: std::ops::RangeInclusive<u32>, sequence| {
        let told = Told::new("w1", sequence, 10).partial();
        range.fold(told, |told, lease| {
            told.ended(lease, "failed", i64::from(lease))
        })
    };
    world.tell(&ended(1..=3, 2));
    assert!(
        world
            .table
            .changed_since(cursor, 9)
            .unwrap()
            .removed
            .is_empty()
    );
    world.tell(&ended(4..=4, 3));
    let delta = world.table.changed_since(cursor, 99).unwrap();
    assert_eq!(delta.removed, [id("w1", 1)]);
    world.tell(&ended(5..=5, 4));
    let error = world.table.changed_since(cursor, 99).unwrap_err();
    assert!(error.oldest > cursor);
    assert!(world.table.changed_since(error.oldest, 99).is_ok());
    let ahead = world.table.seq() + 1;
    assert!(world.table.changed_since(ahead, 99).is_err());
}

#[test]
fn a_row_that_comes_back_is_not_told_as_removed() {
    let mut world = World::new(10);
    world.tell(&Told::new("w1", 1, 10).resolving(1));
    let cursor = world.table.seq();
    let pull = Arc::clone(&world.row(1).pull);
    let mut gone = Changes::default();
    gone.forgotten.push(id("w1", 1));
    world.table.take(&gone);
    assert_eq!(
        world.table.changed_since(cursor, 9).unwrap().removed.len(),
        1
    );
    let mut back = Changes::default();
    back.pulls.push(PullChange {
        kind: ChangeKind::Started,
        pull,
        correction: crate::fleet::Correction::NONE,
        scope: crate::fleet::Scope::Whole,
        links: None,
    });
    world.table.take(&back);
    let delta = world.table.changed_since(cursor, 9).unwrap();
    assert_eq!((delta.removed.len(), delta.rows.len()), (0, 1));
}

#[test]
fn what_only_moves_is_told_as_motion_since_the_row_was_whole() {
    let mut world = World::new(10);
    let told = Told::new("w1", 1, 0).image(9, &[1, 2, 3]);
    world.tell(&told.downloading(1, 9, &[10, 0, 10]));
    let whole = world.row(1).whole_seq;
    world.tell(
        &Told::new("w1", 2, 1)
            .partial()
            .downloading(1, 9, &[20, 0, 10]),
    );
    world.tell(
        &Told::new("w1", 3, 2)
            .partial()
            .downloading(1, 9, &[20, 0, 30]),
    );
    let row = world.row(1);
    assert_eq!(row.whole_seq, whole);
    let motion = row.motion(true);
    assert_eq!(motion.downloaded_bytes, Some(50));
    let layers = [
        (0, Some(20), None, Some(5.0)),
        (2, Some(30), None, Some(5.0)),
    ];
    assert_eq!(motion.layers, layers);
    assert!(row.motion(false).layers.is_empty());
    // A layer that begins is more than motion.
    world.tell(
        &Told::new("w1", 4, 3)
            .partial()
            .downloading(1, 9, &[20, 5, 30]),
    );
    let row = world.row(1);
    assert_eq!(row.whole_seq, row.seq);
    assert!(row.motion(true).layers.is_empty());
}

#[test]
fn motion_and_rows_without_layers_say_what_whole_rows_say() {
    let mut world = World::new(10);
    let told = |sequence, bytes: u64| {
        let mut told =
            Told::new("w1", sequence, 0)
                .image(9, &[1, 2])
                .downloading(1, 9, &[bytes, 100]);
        let pull = &mut told.body["pulls"][0];
        pull["percent"] = serde_json::json!(40.0 + 0.37 * bytes as f64);
        pull["bytesPerSec"] = serde_json::json!(1_234.5);
        pull["extractedBytes"] = serde_json::json!(bytes);
        pull["etaBasis"] = serde_json::json!("learned");
        for (name, seconds) in [("eta", 7.26), ("etaLow", 3.13), ("etaHigh", 9.99)] {
            pull[format!("{name}Seconds")] = serde_json::json!(seconds * bytes as f64);
        }
        told
    };
    world.tell(&told(1, 10));
    for (sequence, bytes) in [(2, 20), (3, 77)] {
        world.tell(&told(sequence, bytes));
        let row = world.row(1);
        let (whole, bare, motion) = (row.status(true), row.status(false), row.motion(true));
        assert_eq!(motion.percent, whole.percent);
        assert_eq!(motion.downloaded_bytes, whole.downloaded_bytes);
        assert_eq!(motion.extracted_bytes, whole.extracted_bytes);
        assert_eq!(motion.bytes_per_sec, whole.bytes_per_sec);
        assert!(motion.eta_seconds.is_some());
        assert_eq!(motion.eta_seconds, whole.eta_seconds);
        assert_eq!(motion.eta_low_seconds, whole.eta_low_seconds);
        assert_eq!(motion.eta_high_seconds, whole.eta_high_seconds);
        assert_eq!(motion.layers.len(), 1);
        let layer = &whole.layers[0];
        assert_eq!(
            motion.layers[0],
            (0, layer.downloaded_bytes, None, layer.bytes_per_sec)
        );
        assert_eq!((bare.layer_count, bare.layers_done), (Some(2), Some(0)));
        let mut whole = whole;
        whole.layers = Vec::new();
        assert_eq!(bare, whole);
    }
}

#[test]
fn starts_and_ends_of_pulls_and_layers_carry_their_change() {
    let mut world = World::new(10);
    world.tell(&Told::new("w1", 1, 0).resolving(1));
    let started = world.row(1).seq;
    assert_eq!(world.table.mark().urgent, started);
    world.tell(
        &Told::new("w1", 2, 1)
            .partial()
            .image(9, &[1, 2])
            .downloading(1, 9, &[10, 0]),
    );
    let row = world.row(1);
    assert_eq!((row.started_seq, row.ended_seq), (started, None));
    assert_eq!(row.layers[0].started, NonZeroU64::new(row.seq));
    assert_eq!(
        (row.layers[1].started, row.layers[1].completed),
        (None, None)
    );
    assert_eq!(world.table.mark().urgent, started, "progress can wait");
    world.tell(&Told::new("w1", 3, 9).partial().completed(1, 9, 9));
    let row = Arc::clone(world.row(1));
    assert_eq!((row.started_seq, row.ended_seq), (started, Some(row.seq)));
    assert_eq!(world.table.mark().urgent, row.seq);
    assert_eq!(row.layers[0].completed, NonZeroU64::new(row.seq));
    assert!(row.layers[0].started < row.layers[0].completed);
    // What is learned of it later is no other end.
    let mut told = Told::new("w1", 4, 10).partial().completed(1, 9, 9);
    told.body["pulls"][0]["names"] = serde_json::json!(["docker.io/library/nginx:1"]);
    world.tell(&told);
    assert!(world.row(1).seq > row.seq);
    assert_eq!(world.row(1).ended_seq, row.ended_seq);
}

#[test]
fn what_is_written_of_a_row_is_shared_while_it_is_fresh_and_let_go_after() {
    let mut world = World::new(10);
    world.tell(
        &Told::new("w1", 1, 0)
            .image(9, &[1])
            .downloading(1, 9, &[10]),
    );
    let row = Arc::clone(world.row(1));
    let forms = [
        Form::Status,
        Form::StatusBare,
        Form::Motion,
        Form::MotionBare,
    ];
    let texts: Vec<_> = forms.iter().map(|form| row.json(*form)).collect();
    for (form, text) in forms.iter().zip(&texts) {
        assert!(Arc::ptr_eq(&row.json(*form), text));
    }
    assert!(texts[0].contains("\"layers\"") && !texts[1].contains("\"layers\""));
    assert!(texts[0].starts_with("{\"id\":\"lease~w1~k8s.io~1~0\""));
    world.table.settle(world.table.seq());
    for (form, text) in forms.iter().zip(&texts) {
        assert_eq!(Arc::strong_count(text), 1, "nobody else holds it");
        assert_eq!(row.json(*form), *text);
        assert_eq!(Arc::strong_count(text), 1);
    }
}

#[test]
fn a_node_that_is_kept_no_more_is_told_as_removed() {
    let mut world = World::new(10);
    world.tell(&Told::new("w1", 1, 0));
    let cursor = world.table.seq();
    let changes = world.fleet.expire(now(1_801));
    world.table.take(&changes);
    let delta = world.table.changed_since(cursor, 9).unwrap();
    assert!(delta.nodes[0].removed);
    assert!(delta.nodes[0].json().contains("\"removed\":true"));
    assert_eq!(world.table.nodes().count(), 0);
}
