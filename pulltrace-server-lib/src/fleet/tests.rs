//! Reports that arrive in order, late, or not at all.

use std::time::Duration;

use pulltrace_core::wire::check::parse;
use pulltrace_core::{Phase, Pull, Repository};
use serde_json::json;

use super::*;
use crate::change::{Counters, NodeView};
use crate::fixture::{ReportBuilder, digest, id, now, time};
use crate::table::Table;

/// A fleet, and the table that readers see.
struct World {
    fleet: Fleet,
    table: Table,
}

impl World {
    fn new(limits: Limits) -> Self {
        Self { fleet: Fleet::new("e", limits, time(-100)), table: Table::new("e", 1_000) }
    }

    fn try_apply(&mut self, report: &ReportBuilder) -> (Result<ReportAck, ApplyError>, Changes) {
        let (report, now) = report.build();
        let Applied { response: verdict, changes } = self.fleet.apply(report, now);
        self.table.apply(&changes);
        (verdict, changes)
    }

    fn apply(&mut self, report: &ReportBuilder) -> (ReportAck, Changes) {
        let (verdict, changes) = self.try_apply(report);
        (verdict.unwrap(), changes)
    }

    fn expire(&mut self, second: i64) -> Changes {
        let changes = self.fleet.expire(now(second));
        self.table.apply(&changes);
        changes
    }

    fn shown(&self, lease: u32) -> Option<&Pull> {
        self.table.get(&id("w1", lease)).map(|row| &*row.pull)
    }

    fn phase(&self, lease: u32) -> &str {
        self.shown(lease).map_or("none", |pull| pull.phase.as_str())
    }

    fn node(&self, name: &str) -> NodeView {
        self.table.node(&name.parse().unwrap()).unwrap().view.clone()
    }

    fn counters(&self) -> &Counters {
        &self.fleet.stats().counters
    }
}

fn world() -> World {
    World::new(Limits::default())
}

#[test]
fn partial_first_report_is_shown_and_requests_full() {
    let mut world = world();
    let (ack, _) = world.apply(&ReportBuilder::new("w1", 4, 0).partial().resolving(1));
    assert!(ack.need_full);
    assert_eq!((ack.accepted_seq, ack.server_epoch.as_str()), (4, "e"));
    assert_eq!(world.phase(1), "resolving");
    let (ack, changes) = world.apply(&ReportBuilder::new("w1", 5, 1).resolving(1));
    assert!(!ack.need_full);
    assert!(changes.pulls.is_empty(), "the pull is unchanged");
    let (ack, _) = world.apply(&ReportBuilder::new("w1", 6, 2).partial());
    assert!(!ack.need_full);
}

#[test]
fn duplicate_and_late_reports_are_ignored() {
    let mut world = world();
    let first = ReportBuilder::new("w1", 1, 0).resolving(1);
    let second = ReportBuilder::new("w1", 2, 1).ended(1, "failed", 1);
    world.apply(&first);
    world.apply(&second);
    for report in [&first, &second] {
        let (ack, changes) = world.apply(report);
        assert_eq!(ack.accepted_seq, 2);
        assert!(changes.is_empty());
    }
    assert_eq!(world.phase(1), "failed");
    assert_eq!(world.counters().reports_late, 2);
}

#[test]
fn live_pull_missing_from_full_report_becomes_unknown() {
    let mut world = world();
    world.apply(&ReportBuilder::new("w1", 1, 0).resolving(1).ended(2, "failed", 0));
    let (_, changes) = world.apply(&ReportBuilder::new("w1", 2, 5));
    assert_eq!((world.phase(1), world.phase(2)), ("unknown", "failed"));
    assert_eq!(world.shown(1).unwrap().ended_at, Some(time(5)));
    assert_eq!(changes.ended.len(), 1);
    assert_eq!(changes.ended[0].outcome, pulltrace_core::Outcome::Unknown);
}

#[test]
fn unknown_outcome_yields_but_proven_outcome_stays() {
    let mut world = world();
    world.apply(&ReportBuilder::new("w1", 1, 0).resolving(1));
    world.apply(&ReportBuilder::new("w1", 2, 1));
    let (_, changes) = world.apply(&ReportBuilder::new("w1", 3, 2).partial().resolving(1));
    assert_eq!(world.phase(1), "resolving");
    assert_eq!(changes.pulls[0].kind, pulltrace_core::ChangeKind::Started);
    world.apply(&ReportBuilder::new("w1", 4, 3));
    assert_eq!(world.phase(1), "unknown");
    world.apply(&ReportBuilder::new("w1", 5, 4).partial().ended(1, "failed", 3));
    assert_eq!(world.phase(1), "failed");
    for (sequence, outcome) in [(6, "completed"), (7, "unknown"), (8, "cancelled")] {
        world.apply(&ReportBuilder::new("w1", sequence, 5).partial().ended(1, outcome, 5));
    }
    world.apply(&ReportBuilder::new("w1", 9, 6).partial().resolving(1));
    assert_eq!(world.phase(1), "failed");
    assert_eq!(world.counters().outcome_conflicts, 4);
}

#[test]
fn pull_without_its_image_requests_full_report() {
    let mut world = world();
    world.apply(&ReportBuilder::new("w1", 1, 0));
    let report = ReportBuilder::new("w1", 2, 1).partial().downloading(1, 9, &[50]).resolving(2);
    let (ack, _) = world.apply(&report);
    assert!(ack.need_full);
    assert_eq!((world.phase(1), world.phase(2)), ("none", "resolving"));
    assert_eq!(world.counters().images_missing, 1);
    let report =
        ReportBuilder::new("w1", 3, 2).image(9, &[1]).downloading(1, 9, &[50]).resolving(2);
    assert!(!world.apply(&report).0.need_full);
    assert_eq!(world.phase(1), "downloading");
    // The image is known now.
    let report = ReportBuilder::new("w1", 4, 3).partial().downloading(1, 9, &[60]);
    assert!(!world.apply(&report).0.need_full);
    assert_eq!(world.shown(1).unwrap().motion.downloaded, pulltrace_core::Bytes(60));
}

#[test]
fn inconsistent_report_is_rejected_without_effect() {
    let mut world = world();
    world.apply(&ReportBuilder::new("w1", 1, 0).image(9, &[1]).resolving(1));
    let report = ReportBuilder::new("w1", 2, 1).ended(1, "failed", 1).downloading(2, 9, &[50, 50]);
    let (verdict, changes) = world.try_apply(&report);
    assert!(matches!(verdict, Err(ApplyError::Invalid(_))), "{verdict:?}");
    assert!(changes.is_empty());
    assert_eq!(world.phase(1), "resolving");
    assert_eq!(world.counters().reports_invalid, 1);
    // It does not create a node.
    let report = ReportBuilder::new("w2", 1, 1).image(9, &[1]).downloading(2, 9, &[50, 50]);
    assert!(world.try_apply(&report).0.is_err());
    assert_eq!(world.table.nodes().count(), 1);
    // Its sequence was not accepted either.
    world.apply(&ReportBuilder::new("w1", 2, 2).ended(1, "failed", 1));
    assert_eq!(world.phase(1), "failed");
}

#[test]
fn silent_node_pulls_go_stale_then_unknown() {
    let mut world = world();
    let report = ReportBuilder::new("w1", 1, 0).image(9, &[1]).downloading(1, 9, &[50]);
    world.apply(&report);
    world.expire(10);
    assert_eq!(world.shown(1).unwrap().stale_since, None);
    world.expire(11);
    let shown = world.shown(1).unwrap();
    assert_eq!(shown.stale_since, Some(time(0)));
    assert_eq!((shown.phase, shown.motion.rate), (Phase::Downloading, None));
    assert_eq!(world.node("w1").state, NodeState::Lost);
    assert_eq!(world.fleet.stats().nodes_lost, 1);

    // An empty report is enough to restore the pull.
    let (ack, _) = world.apply(&ReportBuilder::new("w1", 2, 20).partial());
    assert!(!ack.need_full);
    let shown = world.shown(1).unwrap();
    assert_eq!(shown.stale_since, None);
    assert!(shown.motion.rate.is_some());
    assert_eq!(world.node("w1").state, NodeState::Live);

    world.expire(40);
    world.expire(20 + 1_800);
    assert_eq!(world.phase(1), "downloading");
    let changes = world.expire(20 + 1_801);
    assert_eq!(world.phase(1), "unknown");
    assert_eq!(changes.ended.len(), 1);
    // After its pulls have ended, an empty report is not enough.
    let (ack, _) = world.apply(&ReportBuilder::new("w1", 3, 2_000).partial());
    assert!(ack.need_full);
}

#[test]
fn silent_node_without_pulls_is_removed() {
    let mut world = world();
    world.apply(&ReportBuilder::new("w1", 1, 0).resolving(1));
    world.expire(1_801);
    assert_eq!(world.phase(1), "unknown");
    assert!(world.expire(3_601).removed_nodes.is_empty());
    let changes = world.expire(3_602);
    assert_eq!(changes.removed_pulls, [id("w1", 1)]);
    assert_eq!(changes.removed_nodes.len(), 1);
    assert_eq!(world.table.nodes().count() + world.table.rows(None).count(), 0);
}

#[test]
fn long_report_interval_delays_lost_state() {
    let mut world = world();
    let mut report = ReportBuilder::new("w1", 1, 0).resolving(1);
    report.body["agent"]["intervalMs"] = json!(5_000);
    world.apply(&report);
    world.expire(25);
    assert_eq!(world.node("w1").state, NodeState::Live);
    world.expire(26);
    assert_eq!(world.node("w1").state, NodeState::Lost);
}

#[test]
fn older_of_two_agents_wins_until_silent() {
    let mut world = world();
    world.apply(&ReportBuilder::new("w1", 1, 0).reported_by("old", -50).resolving(1));
    world.apply(&ReportBuilder::new("w1", 1, 1).reported_by("new", 1).resolving(2));
    assert_eq!((world.phase(1), world.phase(2)), ("unknown", "resolving"));
    let (ack, _) =
        world.apply(&ReportBuilder::new("w1", 2, 2).reported_by("old", -50).partial().resolving(1));
    assert!(ack.need_full, "some of the shown state is from the other agent");
    assert_eq!(world.node("w1").state, NodeState::Conflict);
    let (verdict, changes) =
        world.try_apply(&ReportBuilder::new("w1", 2, 3).reported_by("new", 1).resolving(2));
    assert!(matches!(verdict, Err(ApplyError::Conflict(_))));
    assert!(changes.is_empty());
    world.apply(&ReportBuilder::new("w1", 3, 3).reported_by("old", -50).resolving(1));
    assert_eq!((world.phase(1), world.phase(2)), ("resolving", "unknown"));
    let counters = world.counters();
    assert_eq!((counters.conflicts, counters.reports_conflict), (1, 1));
    // The older agent was stopped.
    world.apply(&ReportBuilder::new("w1", 3, 14).reported_by("new", 1).resolving(2));
    assert_eq!(world.phase(2), "resolving");
    assert_eq!(world.node("w1").state, NodeState::Live);
}

#[test]
fn agent_restart_keeps_phase_and_percentage() {
    let mut world = world();
    let report = ReportBuilder::new("w1", 9, 0).image(9, &[1]).downloading(1, 9, &[50]);
    world.apply(&report);
    world.apply(&ReportBuilder::new("w1", 1, 5).reported_by("new", 4).resolving(1));
    let shown = world.shown(1).unwrap();
    assert_eq!(shown.phase, Phase::Downloading);
    assert_eq!(shown.motion.percent.map(|percent| percent.get()), Some(40.0));
    assert_eq!(shown.layers.len(), 1);
}

#[test]
fn abbreviated_pull_keeps_image_and_layers() {
    let mut world = world();
    let report = ReportBuilder::new("w1", 1, 0).image(9, &[1, 2]);
    world.apply(&report.downloading(1, 9, &[50, 0]));
    // Abbreviated, as in a report that would be too large.
    let brief = json!({"phase": "downloading", "percent": 60.0, "downloadedBytes": 150,
                       "toExtractBytes": 200});
    world.apply(&ReportBuilder::new("w1", 2, 1).pull(1, &brief));
    let shown = world.shown(1).unwrap();
    assert_eq!(shown.motion.downloaded, pulltrace_core::Bytes(150));
    assert_eq!(shown.to_download, Some(pulltrace_core::Bytes(200)));
    assert_eq!((shown.layers.len(), shown.image.is_some()), (2, true));
    // A pull that ended long ago, without its layers.
    world.apply(&ReportBuilder::new("w1", 3, 9).partial().completed(1, 9, 9));
    let mut report = ReportBuilder::new("w1", 4, 10).partial().completed(1, 9, 9);
    report.body["pulls"][0]["layers"] = json!([]);
    let (_, changes) = world.apply(&report);
    assert!(changes.pulls.is_empty(), "the pull is unchanged");
}

#[test]
fn percentage_never_decreases() {
    let mut world = world();
    let report = ReportBuilder::new("w1", 1, 0).image(9, &[1]).downloading(1, 9, &[50]);
    world.apply(&report);
    world.apply(&ReportBuilder::new("w1", 2, 1).partial().downloading(1, 9, &[25]));
    let shown = world.shown(1).unwrap();
    assert_eq!(shown.motion.downloaded, pulltrace_core::Bytes(25));
    assert_eq!(shown.motion.percent.map(|percent| percent.get()), Some(40.0));
    assert_eq!(world.counters().percent_regressed, 1);
}

#[test]
fn layer_shared_by_two_pulls_counts_once() {
    let mut world = world();
    let report = |sequence, second, bytes: &[u64]| {
        ReportBuilder::new("w1", sequence, second)
            .image(8, &[1, 2])
            .image(9, &[1, 3])
            .downloading(1, 8, bytes)
            .downloading(2, 9, bytes)
    };
    let (_, changes) = world.apply(&report(1, 1, &[50, 0]));
    assert_eq!(changes.downloaded.len(), 1);
    assert_eq!(changes.downloaded[0].bytes, pulltrace_core::Bytes(50));
    let registry = changes.downloaded[0].registry.as_deref();
    assert_eq!(registry, Some("docker.io"));
    let (_, changes) = world.apply(&report(2, 3, &[100, 7]));
    assert_eq!(changes.downloaded[0].bytes, pulltrace_core::Bytes(50 + 2 * 7));
    let status = world.node("w1").status();
    assert_eq!((status.live, status.to_download_bytes), (2, 300));
    assert_eq!(status.downloaded_bytes, 100 + 2 * 7);
    assert_eq!(status.bytes_per_sec, Some(10.0));
}

#[test]
fn restarted_layer_is_counted_once() {
    let mut world = world();
    let report = |sequence, second, bytes: &[u64]| {
        ReportBuilder::new("w1", sequence, second).image(8, &[1, 2]).downloading(1, 8, bytes)
    };
    world.apply(&report(1, 1, &[50, 20]));
    let (_, changes) = world.apply(&report(2, 2, &[10, 30]));
    assert_eq!(changes.downloaded[0].restarts, 1);
    assert_eq!(changes.downloaded[0].bytes, pulltrace_core::Bytes(10));
    let (_, changes) = world.apply(&report(3, 3, &[60, 30]));
    assert_eq!(changes.downloaded[0].restarts, 0);
}

#[test]
fn refetched_layer_counts_again_on_busy_node() {
    let mut world = world();
    let report = |sequence, second| {
        ReportBuilder::new("w1", sequence, second).image(8, &[5, 6]).image(9, &[1, 2]).downloading(
            2,
            8,
            &[10, 0],
        )
    };
    world.apply(&report(1, 1).downloading(1, 9, &[60, 0]));
    let over = |report: ReportBuilder| report.ended(1, "cancelled", 2);
    world.apply(&over(report(2, 2)));
    let (_, changes) = world.apply(&over(report(3, 3)).downloading(3, 9, &[30, 0]));
    assert_eq!(changes.downloaded[0].bytes, pulltrace_core::Bytes(30));
}

#[test]
fn end_is_counted_with_phase_durations() {
    let mut world = world();
    let report = ReportBuilder::new("w1", 1, 9).image(9, &[1, 2]).completed(1, 9, 9);
    let (_, changes) = world.apply(&report);
    let [ended] = &changes.ended[..] else { panic!("{:?}", changes.ended) };
    assert_eq!(ended.registry.as_deref(), Some("docker.io"));
    assert_eq!(ended.duration, Duration::from_secs(9));
    let seconds = |seconds| Some(Duration::from_secs(seconds));
    assert_eq!(ended.resolving, seconds(1));
    assert_eq!(ended.downloading, seconds(1));
    assert_eq!(ended.extracting, seconds(7));
    assert_eq!((ended.layers_fetched, ended.layers_reused), (1, 1));
    assert_eq!(ended.throughput.map(|rate| rate.get()), Some(100.0));
    assert_eq!(changes.downloaded[0].bytes, pulltrace_core::Bytes(100));
    // Reported again, it does not count again.
    let report = ReportBuilder::new("w1", 2, 10).image(9, &[1, 2]).completed(1, 9, 9);
    assert!(world.apply(&report).1.is_empty());
}

#[test]
fn pull_ended_before_server_start_is_not_counted() {
    let mut world = world();
    let mut report =
        ReportBuilder::new("w1", 1, 0).ended(1, "failed", -101).ended(2, "failed", -99);
    for pull in report.body["pulls"].as_array_mut().unwrap() {
        pull["startedAt"] = json!(time(-200).to_string());
    }
    let (_, changes) = world.apply(&report);
    assert_eq!((world.phase(1), world.phase(2)), ("failed", "failed"));
    assert_eq!(changes.ended.len(), 1);
    // Pulls older than the history are not accepted.
    world.apply(&ReportBuilder::new("w1", 2, 0).ended(3, "failed", -1_801));
    assert_eq!(world.phase(3), "none");
}

#[test]
fn times_are_converted_to_server_clock() {
    let mut world = world();
    // The node's clock is 90 seconds behind, and the report took 300 ms.
    let mut report = ReportBuilder::new("w1", 1, 100).sent_at(10).resolving(1);
    report.body["timestamp"] = json!("2025-11-24T16:00:09.7Z");
    assert_eq!(time(10).to_string(), "2025-11-24T16:00:10Z");
    world.apply(&report);
    let row = world.table.get(&id("w1", 1)).unwrap();
    assert_eq!(row.correction.seconds(), 90);
    assert_eq!(row.status(true).started_at, time(90));
    assert_eq!(world.node("w1").clock_offset_ms, Some(90_300));
    let seq = row.seq;
    // A faster report refines the offset without changing the shown pull.
    world.apply(&ReportBuilder::new("w1", 2, 101).sent_at(11).resolving(1));
    assert_eq!(world.node("w1").clock_offset_ms, Some(90_000));
    assert_eq!(world.table.get(&id("w1", 1)).unwrap().seq, seq);
    // The node's clock was set and the agent restarted: all rows change.
    world
        .apply(&ReportBuilder::new("w1", 1, 102).sent_at(102).reported_by("new", 101).resolving(1));
    let row = world.table.get(&id("w1", 1)).unwrap();
    assert_eq!(row.status(true).started_at, time(0));
    assert_eq!(row.full_seq, row.seq);
}

#[test]
fn live_pulls_beyond_limit_are_refused_and_counted() {
    let mut world = World::new(Limits { live_per_node: 2, live: 3, ..Limits::default() });
    world.apply(&ReportBuilder::new("w1", 1, 0).resolving(1).resolving(2).resolving(3));
    assert_eq!(world.phase(3), "none");
    world.apply(&ReportBuilder::new("w2", 1, 0).resolving(1).resolving(2));
    assert_eq!(world.fleet.stats().live.sum(), 3);
    assert_eq!(world.counters().live_refused, 2);
    // An ended pull makes room.
    world.apply(&ReportBuilder::new("w1", 2, 1).partial().ended(1, "failed", 1).resolving(3));
    assert_eq!(world.phase(3), "resolving");
}

#[test]
fn nodes_beyond_limit_are_refused_and_counted() {
    let mut world = World::new(Limits { nodes: 1, ..Limits::default() });
    world.apply(&ReportBuilder::new("w1", 1, 0));
    let (verdict, _) = world.try_apply(&ReportBuilder::new("w2", 1, 0));
    assert_eq!(verdict, Err(ApplyError::TooManyNodes { most: 1 }));
    assert_eq!(world.counters().nodes_refused, 1);
    world.apply(&ReportBuilder::new("w1", 2, 0));
}

#[test]
fn evicts_oldest_ended_pulls_dropping_layers_first() {
    let mut world = World::new(Limits { ended: 4, ..Limits::default() });
    let mut report = ReportBuilder::new("w1", 1, 100).image(9, &[1, 2]).resolving(99);
    for lease in 1..=6 {
        report = report.completed(lease, 9, 10 * i64::from(lease));
    }
    world.apply(&report);
    let layers: Vec<Option<usize>> =
        (1..=6).map(|lease| world.shown(lease).map(|pull| pull.layers.len())).collect();
    assert_eq!(layers, [None, None, Some(0), Some(0), Some(2), Some(2)]);
    assert_eq!(world.phase(99), "resolving", "live pulls are never evicted");
    let status = world.table.get(&id("w1", 3)).unwrap().status(true);
    assert_eq!((status.layer_count, status.layers_done), (Some(2), None));
    let counters = world.counters();
    assert_eq!((counters.ended_evicted, counters.layers_evicted), (2, 4));
    // Reported again, they stay evicted and do not count again.
    report.body["sequence"] = json!(2);
    let (_, changes) = world.apply(&report);
    assert!(changes.pulls.is_empty() && changes.ended.is_empty());
    assert_eq!(world.fleet.stats().ended, 4);
}

#[test]
fn node_history_limit_protects_other_nodes() {
    let mut world = World::new(Limits { ended_per_node: 2, ..Limits::default() });
    world.apply(&ReportBuilder::new("w2", 1, 0).ended(1, "failed", -50));
    let mut report = ReportBuilder::new("w1", 1, 0);
    for lease in 1..=5 {
        report = report.ended(lease, "failed", -i64::from(lease));
    }
    world.apply(&report);
    assert_eq!(world.fleet.stats().ended, 3);
    assert_eq!((world.phase(2), world.phase(3)), ("failed", "none"));
    assert!(world.table.get(&id("w2", 1)).is_some());
}

#[test]
fn stalled_pull_is_counted_only_while_stalled() {
    let mut world = world();
    let stalled = json!({"phase": "resolving", "stalledSince": time(0).to_string()});
    for sequence in 1..=2 {
        let report = ReportBuilder::new("w1", sequence, 40).pull(1, &stalled);
        world.apply(&report);
    }
    assert_eq!(world.fleet.stats().stalled.resolving, 1);
    world.apply(&ReportBuilder::new("w1", 3, 41).resolving(1));
    assert_eq!(world.fleet.stats().stalled.resolving, 0);
}

#[test]
fn identical_images_are_shared_and_conflicting_ones_separate() {
    let mut world = world();
    for node in ["w1", "w2"] {
        let report = ReportBuilder::new(node, 1, 0).image(9, &[1]).downloading(1, 9, &[50]);
        world.apply(&report);
    }
    let report = ReportBuilder::new("w3", 1, 0).image(9, &[1, 2]).downloading(1, 9, &[50, 50]);
    world.apply(&report);
    let image = |node: &str| {
        let row = world.table.get(&id(node, 1)).unwrap();
        Arc::clone(row.pull.image.as_ref().unwrap())
    };
    assert!(Arc::ptr_eq(&image("w1"), &image("w2")));
    assert_eq!((image("w2").layers.len(), image("w3").layers.len()), (1, 2));
}

#[test]
fn v0_ingests_become_rows_that_never_complete() {
    let mut world = world();
    let body = |second: i64, ingests: &[(u32, u64, u64)]| {
        let layer = |(layer, bytes, total): &(u32, u64, u64)| {
            json!({"digest": format!("layer-{}", digest(*layer)), "downloadedBytes": bytes,
                   "totalBytes": total, "totalKnown": *total > 0})
        };
        let layers: Vec<_> = ingests.iter().map(layer).collect();
        json!({"nodeName": "w1", "timestamp": time(second).to_string(), "pulls": [
            {"imageRef": "layer-sha256", "layers": layers, "startedAt": time(-5).to_string()}]})
    };
    let apply_v0 = |world: &mut World, second, ingests: &[(u32, u64, u64)]| {
        let report = parse(body(second, ingests).to_string().as_bytes()).unwrap();
        let applied = world.fleet.apply(report, now(second));
        world.table.apply(&applied.changes);
        applied
    };
    assert!(apply_v0(&mut world, 0, &[(1, 10, 100), (2, 5, 0)]).response.is_ok());
    apply_v0(&mut world, 2, &[(1, 40, 100), (2, 4, 0)]);
    let rows = |world: &World| -> Vec<_> {
        let rows = world.table.rows(None);
        rows.map(|row| row.status(true)).collect()
    };
    let shown = rows(&world);
    assert_eq!(shown.len(), 2);
    assert_eq!(shown[0].percent, Some(40.0));
    assert!(shown[0].bytes_per_sec.is_some_and(|rate| rate > 0.0));
    assert_eq!((shown[0].layer_count, shown[0].total_bytes), (None, Some(100)));
    assert!(!shown[1].total_known && shown[1].percent.is_none());
    // The first download is aborted, which such an agent reports as complete.
    let applied = apply_v0(&mut world, 3, &[(1, 100, 100), (2, 50, 0)]);
    assert_eq!(rows(&world)[0].percent, Some(99.9));
    let bytes: Vec<_> = applied.changes.downloaded.iter().map(|d| d.bytes.0).collect();
    assert_eq!(bytes, [45]);
    let applied = apply_v0(&mut world, 4, &[]);
    assert_eq!(applied.changes.ended.len(), 2);
    for row in rows(&world) {
        assert_eq!(row.phase, pulltrace_core::wire::v1::Phase::Unknown);
    }
    // A newer agent takes over immediately; the old one is rejected while that one reports.
    world.apply(&ReportBuilder::new("w1", 1, 5).resolving(7));
    let applied = apply_v0(&mut world, 6, &[(1, 100, 100)]);
    assert!(matches!(applied.response, Err(ApplyError::Conflict(_))));
    assert_eq!(world.phase(7), "resolving");
}

#[test]
fn registry_host_excludes_port() {
    let mut world = world();
    world.apply(&ReportBuilder::new("w1", 1, 0).resolving(1));
    let mut pull = world.shown(1).unwrap().clone();
    pull.repository = None;
    pull.names = vec!["registry.example:5000/a/b:1".parse().unwrap()];
    assert_eq!(merge::registry_host(&pull).as_deref(), Some("registry.example"));
    pull.names.clear();
    assert_eq!(merge::registry_host(&pull), None);
    pull.repository = Some(Repository::new("ghcr.io", "a/b").unwrap());
    assert_eq!(merge::registry_host(&pull).as_deref(), Some("ghcr.io"));
}

#[test]
fn each_heartbeat_updates_last_report_time() {
    let mut world = world();
    world.apply(&ReportBuilder::new("w1", 1, 0).resolving(1));
    for (sequence, second) in [(2, 5), (3, 10), (4, 12)] {
        let (_, changes) = world.apply(&ReportBuilder::new("w1", sequence, second).partial());
        assert_eq!(changes.nodes.len(), 1);
        assert_eq!(changes.nodes[0].last_report_at, time(second));
    }
}
