//! The recordings in `recordings/`, replayed into a table: checks the final state of each pull, and
//! that no state contradicts another.
//!
//! The expected values are those of the images that were pulled
//! (`demo/src/script.rs`), not from the output.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use pulltrace_agent_lib::source::PullSource as _;
use pulltrace_agent_lib::source::containerd::Replay;
use pulltrace_agent_lib::source::containerd::replay::Speed;
use pulltrace_core::{Bytes, LayerState, Limits, Outcome, Percent, Pull, PullTable, WaitingKind};

const MIB: u64 = 1 << 20;
const ALPINE: u64 = 3 * MIB + 400 * 1024;

/// The expected final state of a pull.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
struct ExpectedPull {
    repository: &'static str,
    outcome: Outcome,
    total: u64,
    layers: usize,
    /// Bytes of layers that were present before. `None` if two pulls share a layer: registry and
    /// containerd decide which one downloads it.
    cached: Option<u64>,
}

const fn expected(
    repository: &'static str,
    outcome: Outcome,
    total: u64,
    layers: usize,
    cached: Option<u64>,
) -> ExpectedPull {
    ExpectedPull { repository, outcome, total, layers, cached }
}

/// The pulls of `demo --brief`, sorted by name and start.
const BRIEF: [ExpectedPull; 7] = [
    expected("edge/proxy", Outcome::Completed, ALPINE + 17 * MIB, 2, Some(ALPINE)),
    expected(
        "obs/collector",
        Outcome::Completed,
        // 14 layers with increasing size, in steps of 200 KiB.
        ALPINE + 14 * MIB + 91 * 200 * 1024,
        15,
        Some(ALPINE),
    ),
    expected("pay/ledger", Outcome::Failed, 42 * MIB, 2, Some(0)),
    expected("shop/catalog", Outcome::Completed, ALPINE + 57 * MIB, 3, None),
    expected("shop/checkout", Outcome::Completed, ALPINE + 53 * MIB, 3, None),
    expected("tools/backup", Outcome::Completed, ALPINE + 2 * MIB, 2, Some(0)),
    expected("tools/backup", Outcome::Completed, ALPINE + 2 * MIB, 2, Some(ALPINE + 2 * MIB)),
];

fn recording(name: &str) -> PathBuf {
    Path::new(concat!(env!("CARGO_MANIFEST_DIR"), "/../recordings")).join(name)
}

/// Replays a recording into a table; `look` is called with the table after each step.
async fn replay(name: &str, mut look: impl FnMut(&PullTable)) -> PullTable {
    let file = std::fs::File::open(recording(name)).unwrap();
    let mut replay = Replay::new(std::io::BufReader::new(file), Speed::FASTEST).unwrap();
    let mut table = PullTable::new(Limits::default());
    while let Some(batch) = replay.next().await.unwrap() {
        batch.anomalies.iter().for_each(|anomaly| table.record_anomaly(*anomaly));
        table.apply(&batch.observations, batch.now);
        look(&table);
    }
    assert!(!replay.is_truncated(), "{name} is truncated");
    let anomalies = &table.counters().anomalies;
    assert_eq!(*anomalies, BTreeMap::new(), "{name}");
    table
}

fn repository(pull: &Pull) -> String {
    let repository = pull.repository.as_ref().expect("repository is known");
    assert_eq!(repository.host(), "registry.demo");
    repository.path().to_owned()
}

fn check_pull(name: &str, pull: &Pull, row: &ExpectedPull) {
    let context = format!("{name}: expected {row:?}, got {pull:#?}");
    assert_eq!(pull.outcome(), Some(row.outcome), "{context}");
    assert_eq!(pull.total, Some(Bytes(row.total)), "{context}");
    assert_eq!(pull.layers.len(), row.layers, "{context}");
    if let Some(cached) = row.cached {
        assert_eq!(pull.cached, Bytes(cached), "{context}");
    }
    let to_download = pull.to_download.expect("download size is known");
    assert_eq!(pull.cached + to_download, Bytes(row.total), "{context}");
    if row.outcome == Outcome::Completed {
        assert_eq!(pull.motion.percent, Some(Percent::DONE), "{context}");
        assert_eq!(pull.motion.downloaded, to_download, "{context}");
        let done = |state| matches!(state, LayerState::Complete | LayerState::Cached);
        assert!(pull.layers.iter().all(|layer| done(layer.state)), "{context}");
        assert!(!pull.names.is_empty(), "{context}");
    } else {
        assert!(pull.motion.percent < Some(Percent::DONE), "{context}");
        // It breaks after 11 of the 18 MiB of its last layer.
        let own = pull.layers.last().expect("two layers");
        assert_eq!(own.size, Bytes(18 * MIB), "{context}");
        assert!(own.motion.downloaded <= Bytes(11 * MIB), "{context}");
    }
}

async fn brief(version: &str) {
    let name = format!("brief-{version}.jsonl");
    let mut waits = Vec::new();
    let table = replay(&name, |table| {
        let on = table.pulls().filter_map(|pull| pull.waiting_on.as_ref());
        waits.extend(on.map(|on| on.kind));
    })
    .await;
    let mut pulls: Vec<_> = table.pulls().collect();
    pulls.sort_by_key(|pull| (repository(pull), pull.started_at));
    let names: Vec<_> = pulls.iter().map(|pull| repository(pull)).collect();
    let expected: Vec<_> = BRIEF.iter().map(|row| row.repository).collect();
    assert_eq!(names, expected, "{name}");
    for (pull, row) in pulls.iter().zip(&BRIEF) {
        check_pull(&name, pull, row);
    }
    assert!(waits.contains(&WaitingKind::SharedLayer), "{name}: no pull waited for a shared layer");
}

#[tokio::test]
async fn brief_recording_1_6_matches_expected_pulls() {
    brief("1.6").await;
}

#[tokio::test]
async fn brief_recording_2_0_matches_expected_pulls() {
    brief("2.0").await;
}

#[tokio::test]
async fn brief_recording_2_4_matches_expected_pulls() {
    brief("2.4").await;
}

/// Used in place of the demo where containerd cannot run.
#[tokio::test]
async fn demo_recording_covers_every_demo_situation() {
    let size = std::fs::metadata(recording("demo-2.4.jsonl")).unwrap().len();
    assert!(size < 2 * MIB, "{size} bytes are too large for the repository");
    let (mut waits, mut stalled, mut busy) = (Vec::new(), Vec::new(), 0);
    let table = replay("demo-2.4.jsonl", |table| {
        let live = || table.pulls().filter(|pull| pull.outcome().is_none());
        waits.extend(live().filter_map(|pull| Some(pull.waiting_on.as_ref()?.kind)));
        stalled.extend(live().filter_map(|pull| {
            pull.stalled_since?;
            Some(repository(pull))
        }));
        busy = busy.max(live().count());
    })
    .await;
    let with = |outcome| {
        let is = |pull: &&std::sync::Arc<Pull>| pull.outcome() == Some(outcome);
        table.pulls().filter(is).collect::<Vec<_>>()
    };
    let (completed, failed) = (with(Outcome::Completed), with(Outcome::Failed));
    assert!(completed.len() >= 10, "{}", completed.len());
    assert!(failed.iter().all(|pull| repository(pull) == "pay/ledger") && !failed.is_empty());
    let big = |pull: &&&std::sync::Arc<Pull>| pull.total > Some(Bytes(200 * MIB));
    assert_eq!(completed.iter().filter(big).count(), 1);
    let cached = |pull: &&&std::sync::Arc<Pull>| pull.to_download == Some(Bytes::ZERO);
    assert!(completed.iter().filter(cached).count() >= 1);
    assert!(stalled.contains(&"search/indexer".to_owned()));
    for kind in [WaitingKind::Registry, WaitingKind::DownloadSlot, WaitingKind::SharedLayer] {
        assert!(waits.contains(&kind), "no pull waits for {kind:?}");
    }
    assert!(busy >= 5, "{busy}");
}
