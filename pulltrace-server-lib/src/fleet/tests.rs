//! What users see of reports that come, come late, or do not come.

use std::time::Duration;

use pulltrace_core::wire::check::parse;
use pulltrace_core::{Phase, Pull, Repository};
use serde_json::json;

use super::*;
use crate::fixture::{Told, digest, id, now, time};
use crate::table::Table;

/// A fleet and what readers see of it.
struct World {
    fleet: Fleet,
    table: Table,
}

impl World {
    fn new(limits: Limits) -> Self {
        Self {
            fleet: Fleet::new("e", limits, time(-100)),
            table: Table::new("e", 1_000),
        }
    }

    fn try_tell(&mut self, told: &Told) -> (Result<ReportAck, Refusal>, Changes) {
        let (report, now) = told.heard();
        let Applied { verdict, changes } = self.fleet.apply(report, now);
        self.table.take(&changes);
        (verdict, changes)
    }

    fn tell(&mut self, told: &Told) -> (ReportAck, Changes) {
        let (verdict, changes) = self.try_tell(told);
        (verdict.unwrap(), changes)
    }

    fn pass(&mut self, second: i64) -> Changes {
        let changes = self.fleet.expire(now(second));
        self.table.take(&changes);
        changes
    }

    fn shown(&self, lease: u32) -> Option<&Pull> {
        self.table.get(&id("w1", lease)).map(|row| &*row.pull)
    }

    fn phase(&self, lease: u32) -> &str {
        self.shown(lease).map_or("none", |pull| pull.phase.as_str())
    }

    fn node(&self, name: &str) -> NodeView {
        self.table
            .node(&name.parse().unwrap())
            .unwrap()
            .view
            .clone()
    }

    fn counters(&self) -> &Counters {
        &self.fleet.stats().counters
    }
}

fn world() -> World {
    World::new(Limits::default())
}

#[test]
fn a_pull_is_shown_from_its_first_report_and_its_agent_is_asked_for_everything() {
    let mut world = world();
    let (ack, _) = world.tell(&Told::new("w1", 4, 0).partial().resolving(1));
    assert!(ack.need_full);
    assert_eq!((ack.accepted_seq, ack.server_epoch.as_str()), (4, "e"));
    assert_eq!(world.phase(1), "resolving");
    let (ack, changes) = world.tell(&Told::new("w1", 5, 1).resolving(1));
    assert!(!ack.need_full);
    assert!(changes.pulls.is_empty(), "nothing of it is new");
    let (ack, _) = world.tell(&Told::new("w1", 6, 2).partial());
    assert!(!ack.need_full);
}

#[test]
fn a_report_that_comes_twice_or_late_changes_nothing() {
    let mut world = world();
    let old = Told::new("w1", 1, 0).resolving(1);
    let new = Told::new("w1", 2, 1).ended(1, "failed", 1);
    world.tell(&old);
    world.tell(&new);
    for told in [&old, &new] {
        let (ack, changes) = world.tell(told);
        assert_eq!(ack.accepted_seq, 2);
        assert!(changes.is_empty());
    }
    assert_eq!(world.phase(1), "failed");
    assert_eq!(world.counters().reports_late, 2);
}

#[test]
fn what_is_absent_from_a_full_report_ends_as_unknown_and_what_ended_stays() {
    let mut world = world();
    world.tell(&Told::new("w1", 1, 0).resolving(1).ended(2, "failed", 0));
    let (_, changes) = world.tell(&Told::new("w1", 2, 5));
    assert_eq!((world.phase(1), world.phase(2)), ("unknown", "failed"));
    assert_eq!(world.shown(1).unwrap().ended_at, Some(time(5)));
    assert_eq!(changes.ended.len(), 1);
    assert_eq!(changes.ended[0].outcome, pulltrace_core::Outcome::Unknown);
}

#[test]
fn an_unknown_end_gives_way_to_life_and_to_evidence_and_evidence_stands() {
    let mut world = world();
    world.tell(&Told::new("w1", 1, 0).resolving(1));
    world.tell(&Told::new("w1", 2, 1));
    let (_, changes) = world.tell(&Told::new("w1", 3, 2).partial().resolving(1));
    assert_eq!(world.phase(1), "resolving");
    assert_eq!(changes.pulls[0].kind, pulltrace_core::ChangeKind::Started);
    world.tell(&Told::new("w1", 4, 3));
    assert_eq!(world.phase(1), "unknown");
    world.tell(&Told::new("w1", 5, 4).partial().ended(1, "failed", 3));
    assert_eq!(world.phase(1), "failed");
    for (sequence, told) in [(6, "completed"), (7, "unknown"), (8, "cancelled")] {
        world.tell(&Told::new("w1", sequence, 5).partial().ended(1, told, 5));
    }
    world.tell(&Told::new("w1", 9, 6).partial().resolving(1));
    assert_eq!(world.phase(1), "failed");
    assert_eq!(world.counters().end_changed, 4);
}

#[test]
fn a_pull_whose_image_was_not_told_is_left_out_and_everything_is_asked_for() {
    let mut world = world();
    world.tell(&Told::new("w1", 1, 0));
    let told = Told::new("w1", 2, 1)
        .partial()
        .downloading(1, 9, &[50])
        .resolving(2);
    let (ack, _) = world.tell(&told);
    assert!(ack.need_full);
    assert_eq!((world.phase(1), world.phase(2)), ("none", "resolving"));
    assert_eq!(world.counters().images_missing, 1);
    let told = Told::new("w1", 3, 2)
        .image(9, &[1])
        .downloading(1, 9, &[50])
        .resolving(2);
    assert!(!world.tell(&told).0.need_full);
    assert_eq!(world.phase(1), "downloading");
    // From here on the image is known.
    let told = Told::new("w1", 4, 3).partial().downloading(1, 9, &[60]);
    assert!(!world.tell(&told).0.need_full);
    assert_eq!(
        world.shown(1).unwrap().downloaded,
        pulltrace_core::Bytes(60)
    );
}

#[test]
fn a_report_that_contradicts_itself_changes_nothing() {
    let mut world = world();
    world.tell(&Told::new("w1", 1, 0).image(9, &[1]).resolving(1));
    let told = Told::new("w1", 2, 1)
        .ended(1, "failed", 1)
        .downloading(2, 9, &[50, 50]);
    let (verdict, changes) = world.try_tell(&told);
    assert!(matches!(verdict, Err(Refusal::Invalid(_))), "{verdict:?}");
    assert!(changes.is_empty());
    assert_eq!(world.phase(1), "resolving");
    assert_eq!(world.counters().reports_invalid, 1);
    // A node that was not known is not known by it.
    let told = Told::new("w2", 1, 1)
        .image(9, &[1])
        .downloading(2, 9, &[50, 50]);
    assert!(world.try_tell(&told).0.is_err());
    assert_eq!(world.table.nodes().count(), 1);
    // Its sequence was not taken either.
    world.tell(&Told::new("w1", 2, 2).ended(1, "failed", 1));
    assert_eq!(world.phase(1), "failed");
}

#[test]
fn the_pulls_of_a_silent_node_are_stale_go_on_when_it_is_back_and_end_as_unknown_if_it_is_not() {
    let mut world = world();
    let told = Told::new("w1", 1, 0)
        .image(9, &[1])
        .downloading(1, 9, &[50]);
    world.tell(&told);
    world.pass(10);
    assert_eq!(world.shown(1).unwrap().stale_since, None);
    world.pass(11);
    let shown = world.shown(1).unwrap();
    assert_eq!(shown.stale_since, Some(time(0)));
    assert_eq!((shown.phase, shown.rate), (Phase::Downloading, None));
    assert_eq!(world.node("w1").state, NodeState::Lost);
    assert_eq!(world.fleet.stats().nodes_lost, 1);

    // Its agent has nothing new to say, and all is as it was.
    let (ack, _) = world.tell(&Told::new("w1", 2, 20).partial());
    assert!(!ack.need_full);
    let shown = world.shown(1).unwrap();
    assert_eq!(shown.stale_since, None);
    assert!(shown.rate.is_some());
    assert_eq!(world.node("w1").state, NodeState::Live);

    world.pass(40);
    world.pass(20 + 1_800);
    assert_eq!(world.phase(1), "downloading");
    let changes = world.pass(20 + 1_801);
    assert_eq!(world.phase(1), "unknown");
    assert_eq!(changes.ended.len(), 1);
    // Back after all, with nothing new to say: it must say everything.
    let (ack, _) = world.tell(&Told::new("w1", 3, 2_000).partial());
    assert!(ack.need_full);
}

#[test]
fn a_node_goes_when_it_is_silent_and_nothing_of_it_is_left() {
    let mut world = world();
    world.tell(&Told::new("w1", 1, 0).resolving(1));
    world.pass(1_801);
    assert_eq!(world.phase(1), "unknown");
    assert!(world.pass(3_601).forgotten_nodes.is_empty());
    let changes = world.pass(3_602);
    assert_eq!(changes.forgotten, [id("w1", 1)]);
    assert_eq!(changes.forgotten_nodes.len(), 1);
    assert_eq!(
        world.table.nodes().count() + world.table.rows(None).count(),
        0
    );
}

#[test]
fn an_agent_that_announces_a_long_interval_is_waited_for() {
    let mut world = world();
    let mut told = Told::new("w1", 1, 0).resolving(1);
    told.body["agent"]["intervalMs"] = json!(5_000);
    world.tell(&told);
    world.pass(25);
    assert_eq!(world.node("w1").state, NodeState::Live);
    world.pass(26);
    assert_eq!(world.node("w1").state, NodeState::Lost);
}

#[test]
fn of_two_agents_with_one_node_name_the_older_is_shown_and_the_newer_refused() {
    let mut world = world();
    world.tell(&Told::new("w1", 1, 0).by("old", -50).resolving(1));
    world.tell(&Told::new("w1", 1, 1).by("new", 1).resolving(2));
    assert_eq!((world.phase(1), world.phase(2)), ("unknown", "resolving"));
    let (ack, _) = world.tell(&Told::new("w1", 2, 2).by("old", -50).partial().resolving(1));
    assert!(ack.need_full, "what is shown of it is not all its own");
    assert_eq!(world.node("w1").state, NodeState::Conflict);
    let (verdict, changes) = world.try_tell(&Told::new("w1", 2, 3).by("new", 1).resolving(2));
    assert!(matches!(verdict, Err(Refusal::Conflict(_))));
    assert!(changes.is_empty());
    world.tell(&Told::new("w1", 3, 3).by("old", -50).resolving(1));
    assert_eq!((world.phase(1), world.phase(2)), ("resolving", "unknown"));
    let counters = world.counters();
    assert_eq!((counters.conflicts, counters.reports_conflict), (1, 1));
    // The older one was stopped.
    world.tell(&Told::new("w1", 3, 14).by("new", 1).resolving(2));
    assert_eq!(world.phase(2), "resolving");
    assert_eq!(world.node("w1").state, NodeState::Live);
}

#[test]
fn a_restarted_agent_that_has_not_read_the_manifest_again_takes_nothing_back() {
    let mut world = world();
    let told = Told::new("w1", 9, 0)
        .image(9, &[1])
        .downloading(1, 9, &[50]);
    world.tell(&told);
    world.tell(&Told::new("w1", 1, 5).by("new", 4).resolving(1));
    let shown = world.shown(1).unwrap();
    assert_eq!(shown.phase, Phase::Downloading);
    assert_eq!(shown.percent.map(|percent| percent.get()), Some(40.0));
    assert_eq!(shown.layers.len(), 1);
}

#[test]
fn a_pull_that_is_told_briefly_keeps_its_image_and_layers() {
    let mut world = world();
    let told = Told::new("w1", 1, 0).image(9, &[1, 2]);
    world.tell(&told.downloading(1, 9, &[50, 0]));
    // As an agent tells it whose report is too large.
    let brief = json!({"phase": "downloading", "percent": 60.0, "downloadedBytes": 150,
                       "toExtractBytes": 200});
    world.tell(&Told::new("w1", 2, 1).pull(1, &brief));
    let shown = world.shown(1).unwrap();
    assert_eq!(shown.downloaded, pulltrace_core::Bytes(150));
    assert_eq!(shown.to_download, Some(pulltrace_core::Bytes(200)));
    assert_eq!((shown.layers.len(), shown.image.is_some()), (2, true));
    // And one that ended long ago without its layers.
    world.tell(&Told::new("w1", 3, 9).partial().completed(1, 9, 9));
    let mut told = Told::new("w1", 4, 10).partial().completed(1, 9, 9);
    told.body["pulls"][0]["layers"] = json!([]);
    let (_, changes) = world.tell(&told);
    assert!(changes.pulls.is_empty(), "nothing of it is news");
}

#[test]
fn the_percentage_of_a_pull_never_goes_back() {
    let mut world = world();
    let told = Told::new("w1", 1, 0)
        .image(9, &[1])
        .downloading(1, 9, &[50]);
    world.tell(&told);
    world.tell(&Told::new("w1", 2, 1).partial().downloading(1, 9, &[25]));
    let shown = world.shown(1).unwrap();
    assert_eq!(shown.downloaded, pulltrace_core::Bytes(25));
    assert_eq!(shown.percent.map(|percent| percent.get()), Some(40.0));
    assert_eq!(world.counters().percent_back, 1);
}

#[test]
fn a_layer_that_two_pulls_share_counts_once() {
    let mut world = world();
    let told = |sequence, second, bytes: &[u64]| {
        Told::new("w1", sequence, second)
            .image(8, &[1, 2])
            .image(9, &[1, 3])
            .downloading(1, 8, bytes)
            .downloading(2, 9, bytes)
    };
    let (_, changes) = world.tell(&told(1, 1, &[50, 0]));
    assert_eq!(changes.downloaded.len(), 1);
    assert_eq!(changes.downloaded[0].bytes, pulltrace_core::Bytes(50));
    let registry = changes.downloaded[0].registry.as_deref();
    assert_eq!(registry, Some("docker.io"));
    let (_, changes) = world.tell(&told(2, 3, &[100, 7]));
    assert_eq!(
        changes.downloaded[0].bytes,
        pulltrace_core::Bytes(50 + 2 * 7)
    );
    let status = world.node("w1").status();
    assert_eq!((status.live, status.to_download_bytes), (2, 300));
    assert_eq!(status.downloaded_bytes, 100 + 2 * 7);
    assert_eq!(status.bytes_per_sec, Some(10.0));
}

#[test]
fn a_layer_that_begins_anew_counts_as_restarted_once() {
    let mut world = world();
    let told = |sequence, second, bytes: &[u64]| {
        Told::new("w1", sequence, second)
            .image(8, &[1, 2])
            .downloading(1, 8, bytes)
    };
    world.tell(&told(1, 1, &[50, 20]));
    let (_, changes) = world.tell(&told(2, 2, &[10, 30]));
    assert_eq!(changes.downloaded[0].restarts, 1);
    assert_eq!(changes.downloaded[0].bytes, pulltrace_core::Bytes(10));
    let (_, changes) = world.tell(&told(3, 3, &[60, 30]));
    assert_eq!(changes.downloaded[0].restarts, 0);
}

#[test]
fn what_is_fetched_again_counts_again_also_on_a_node_that_is_never_idle() {
    let mut world = world();
    let told = |sequence, second| {
        Told::new("w1", sequence, second)
            .image(8, &[5, 6])
            .image(9, &[1, 2])
            .downloading(2, 8, &[10, 0])
    };
    world.tell(&told(1, 1).downloading(1, 9, &[60, 0]));
    let over = |told: Told| told.ended(1, "cancelled", 2);
    world.tell(&over(told(2, 2)));
    let (_, changes) = world.tell(&over(told(3, 3)).downloading(3, 9, &[30, 0]));
    assert_eq!(changes.downloaded[0].bytes, pulltrace_core::Bytes(30));
}

#[test]
fn an_end_counts_with_how_long_each_phase_took() {
    let mut world = world();
    let told = Told::new("w1", 1, 9).image(9, &[1, 2]).completed(1, 9, 9);
    let (_, changes) = world.tell(&told);
    let [ended] = &changes.ended[..] else {
        panic!("{:?}", changes.ended)
    };
    assert_eq!(ended.registry.as_deref(), Some("docker.io"));
    assert_eq!(ended.duration, Duration::from_secs(9));
    let seconds = |seconds| Some(Duration::from_secs(seconds));
    assert_eq!(ended.resolving, seconds(1));
    assert_eq!(ended.downloading, seconds(1));
    assert_eq!(ended.extracting, seconds(7));
    assert_eq!((ended.layers_fetched, ended.layers_reused), (1, 1));
    assert_eq!(ended.throughput.map(|rate| rate.get()), Some(100.0));
    assert_eq!(changes.downloaded[0].bytes, pulltrace_core::Bytes(100));
    // Told again, it is no other end.
    let told = Told::new("w1", 2, 10).image(9, &[1, 2]).completed(1, 9, 9);
    assert!(world.tell(&told).1.is_empty());
}

#[test]
fn what_ended_before_the_server_started_is_shown_and_not_counted() {
    let mut world = world();
    let mut told = Told::new("w1", 1, 0)
        .ended(1, "failed", -101)
        .ended(2, "failed", -99);
    for pull in told.body["pulls"].as_array_mut().unwrap() {
        pull["startedAt"] = json!(time(-200).to_string());
    }
    let (_, changes) = world.tell(&told);
    assert_eq!((world.phase(1), world.phase(2)), ("failed", "failed"));
    assert_eq!(changes.ended.len(), 1);
    // What is older than the history is not taken at all.
    world.tell(&Told::new("w1", 2, 0).ended(3, "failed", -1_801));
    assert_eq!(world.phase(3), "none");
}

#[test]
fn times_are_shown_by_the_servers_clock() {
    let mut world = world();
    // The node's clock is 90 seconds behind, and the report took 300 ms.
    let mut told = Told::new("w1", 1, 100).sent(10).resolving(1);
    told.body["timestamp"] = json!("2025-11-24T16:00:09.7Z");
    assert_eq!(time(10).to_string(), "2025-11-24T16:00:10Z");
    world.tell(&told);
    let row = world.table.get(&id("w1", 1)).unwrap();
    assert_eq!(row.correction.seconds(), 90);
    assert_eq!(row.status(true).started_at, time(90));
    assert_eq!(world.node("w1").clock_offset_ms, Some(90_300));
    let seq = row.seq;
    // A faster report tells more, and changes nothing that is shown of the pull.
    world.tell(&Told::new("w1", 2, 101).sent(11).resolving(1));
    assert_eq!(world.node("w1").clock_offset_ms, Some(90_000));
    assert_eq!(world.table.get(&id("w1", 1)).unwrap().seq, seq);
    // The node's clock was set, and the agent restarted: all its rows follow.
    world.tell(
        &Told::new("w1", 1, 102)
            .sent(102)
            .by("new", 101)
            .resolving(1),
    );
    let row = world.table.get(&id("w1", 1)).unwrap();
    assert_eq!(row.status(true).started_at, time(0));
    assert_eq!(row.whole_seq, row.seq);
}

#[test]
fn live_pulls_beyond_the_limit_are_left_out_and_counted() {
    let mut world = World::new(Limits {
        live_per_node: 2,
        live: 3,
        ..Limits::default()
    });
    world.tell(&Told::new("w1", 1, 0).resolving(1).resolving(2).resolving(3));
    assert_eq!(world.phase(3), "none");
    world.tell(&Told::new("w2", 1, 0).resolving(1).resolving(2));
    assert_eq!(world.fleet.stats().live.sum(), 3);
    assert_eq!(world.counters().live_refused, 2);
    // One that ended makes room.
    world.tell(
        &Told::new("w1", 2, 1)
            .partial()
            .ended(1, "failed", 1)
            .resolving(3),
    );
    assert_eq!(world.phase(3), "resolving");
}

#[test]
fn nodes_beyond_the_limit_are_refused_and_counted() {
    let mut world = World::new(Limits {
        nodes: 1,
        ..Limits::default()
    });
    world.tell(&Told::new("w1", 1, 0));
    let (verdict, _) = world.try_tell(&Told::new("w2", 1, 0));
    assert_eq!(verdict, Err(Refusal::TooManyNodes { most: 1 }));
    assert_eq!(world.counters().nodes_refused, 1);
    world.tell(&Told::new("w1", 2, 0));
}

#[test]
fn of_too_many_ended_pulls_the_oldest_go_layers_first() {
    let mut world = World::new(Limits {
        ended: 4,
        ..Limits::default()
    });
    let mut told = Told::new("w1", 1, 100).image(9, &[1, 2]).resolving(99);
    for lease in 1..=6 {
        told = told.completed(lease, 9, 10 * i64::from(lease));
    }
    world.tell(&told);
    let layers: Vec<Option<usize>> = (1..=6)
        .map(|lease| world.shown(lease).map(|pull| pull.layers.len()))
        .collect();
    assert_eq!(layers, [None, None, Some(0), Some(0), Some(2), Some(2)]);
    assert_eq!(world.phase(99), "resolving", "live pulls never yield");
    let status = world.table.get(&id("w1", 3)).unwrap().status(true);
    assert_eq!((status.layer_count, status.layers_done), (Some(2), None));
    let counters = world.counters();
    assert_eq!((counters.ended_evicted, counters.layers_evicted), (2, 4));
    // Told again, they do not come back, and no end counts twice.
    told.body["sequence"] = json!(2);
    let (_, changes) = world.tell(&told);
    assert!(changes.pulls.is_empty() && changes.ended.is_empty());
    assert_eq!(world.fleet.stats().ended, 4);
}

#[test]
fn one_node_cannot_fill_the_history_of_all() {
    let mut world = World::new(Limits {
        ended_per_node: 2,
        ..Limits::default()
    });
    world.tell(&Told::new("w2", 1, 0).ended(1, "failed", -50));
    let mut told = Told::new("w1", 1, 0);
    for lease in 1..=5 {
        told = told.ended(lease, "failed", -i64::from(lease));
    }
    world.tell(&told);
    assert_eq!(world.fleet.stats().ended, 3);
    assert_eq!((world.phase(2), world.phase(3)), ("failed", "none"));
    assert!(world.table.get(&id("w2", 1)).is_some());
}

#[test]
fn stalls_count_once_and_show_while_they_last() {
    let mut world = world();
    let stalled = json!({"phase": "resolving", "stalledSince": time(0).to_string()});
    for sequence in 1..=2 {
        let told = Told::new("w1", sequence, 40).pull(1, &stalled);
        world.tell(&told);
    }
    assert_eq!(world.fleet.stats().stalled.resolving, 1);
    world.tell(&Told::new("w1", 3, 41).resolving(1));
    assert_eq!(world.fleet.stats().stalled.resolving, 0);
}

#[test]
fn nodes_that_pull_the_same_image_keep_it_once_and_a_node_that_lies_harms_none() {
    let mut world = world();
    for node in ["w1", "w2"] {
        let told = Told::new(node, 1, 0)
            .image(9, &[1])
            .downloading(1, 9, &[50]);
        world.tell(&told);
    }
    let told = Told::new("w3", 1, 0)
        .image(9, &[1, 2])
        .downloading(1, 9, &[50, 50]);
    world.tell(&told);
    let image = |node: &str| {
        let row = world.table.get(&id(node, 1)).unwrap();
        Arc::clone(row.pull.image.as_ref().unwrap())
    };
    assert!(Arc::ptr_eq(&image("w1"), &image("w2")));
    assert_eq!((image("w2").layers.len(), image("w3").layers.len()), (1, 2));
}

#[test]
fn an_agent_of_version_0_1_gets_a_row_for_each_ingest_and_never_a_completed_one() {
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
    let tell = |world: &mut World, second, ingests: &[(u32, u64, u64)]| {
        let report = parse(body(second, ingests).to_string().as_bytes()).unwrap();
        let applied = world.fleet.apply(report, now(second));
        world.table.take(&applied.changes);
        applied
    };
    assert!(
        tell(&mut world, 0, &[(1, 10, 100), (2, 5, 0)])
            .verdict
            .is_ok()
    );
    tell(&mut world, 2, &[(1, 40, 100), (2, 4, 0)]);
    let rows = |world: &World| -> Vec<_> {
        let rows = world.table.rows(None);
        rows.map(|row| row.status(true)).collect()
    };
    let shown = rows(&world);
    assert_eq!(shown.len(), 2);
    assert_eq!(shown[0].percent, Some(40.0));
    assert!(shown[0].bytes_per_sec.is_some_and(|rate| rate > 0.0));
    assert_eq!(
        (shown[0].layer_count, shown[0].total_bytes),
        (None, Some(100))
    );
    assert!(!shown[1].total_known && shown[1].percent.is_none());
    // The first is cut off, which such an agent tells as all its bytes.
    let applied = tell(&mut world, 3, &[(1, 100, 100), (2, 50, 0)]);
    assert_eq!(rows(&world)[0].percent, Some(99.9));
    let bytes: Vec<_> = applied
        .changes
        .downloaded
        .iter()
        .map(|d| d.bytes.0)
        .collect();
    assert_eq!(bytes, [45]);
    let applied = tell(&mut world, 4, &[]);
    assert_eq!(applied.changes.ended.len(), 2);
    for row in rows(&world) {
        assert_eq!(row.phase, pulltrace_core::wire::v1::Phase::Unknown);
    }
    // Our agent takes over at once, and the old one is refused while it reports.
    world.tell(&Told::new("w1", 1, 5).resolving(7));
    let applied = tell(&mut world, 6, &[(1, 100, 100)]);
    assert!(matches!(applied.verdict, Err(Refusal::Conflict(_))));
    assert_eq!(world.phase(7), "resolving");
}

#[test]
fn a_registry_is_known_by_its_host_without_the_port() {
    let mut world = world();
    world.tell(&Told::new("w1", 1, 0).resolving(1));
    let mut pull = world.shown(1).unwrap().clone();
    pull.repository = None;
    pull.names = vec!["registry.example:5000/a/b:1".parse().unwrap()];
    assert_eq!(merge::registry(&pull).as_deref(), Some("registry.example"));
    pull.names.clear();
    assert_eq!(merge::registry(&pull), None);
    pull.repository = Some(Repository::new("ghcr.io", "a/b").unwrap());
    assert_eq!(merge::registry(&pull).as_deref(), Some("ghcr.io"));
}

#[test]
fn when_a_node_was_heard_is_true_to_the_last_heartbeat() {
    let mut world = world();
    world.tell(&Told::new("w1", 1, 0).resolving(1));
    for (sequence, second) in [(2, 5), (3, 10), (4, 12)] {
        let (_, changes) = world.tell(&Told::new("w1", sequence, second).partial());
        assert_eq!(changes.nodes.len(), 1);
        assert_eq!(changes.nodes[0].last_report_at, time(second));
    }
}
