//! The recordings of `recordings/`, read through the tracker and the table:
//! what is known of each pull at its end, and that nothing contradicts itself.
//!
//! What must come out was written down from the images that were pulled
//! (`pulltrace-testkit/src/bin/demo/script.rs`), not from what came out.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use pulltrace_agent_lib::source::PullSource as _;
use pulltrace_agent_lib::source::containerd::Replay;
use pulltrace_agent_lib::source::containerd::replay::Speed;
use pulltrace_core::{Bytes, LayerState, Limits, Outcome, Percent, Pull, PullTable, WaitingKind};

const MIB: u64 = 1 << 20;
const ALPINE: u64 = 3 * MIB + 400 * 1024;

/// A row as it must be at the end.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
struct Row {
    repository: &'static str,
    outcome: Outcome,
    total: u64,
    layers: usize,
    /// Bytes of layers that were there before; which of two pulls loads the
    /// layer that both need is the registry's and containerd's choice.
    cached: Option<u64>,
}

const fn row(
    repository: &'static str,
    outcome: Outcome,
    total: u64,
    layers: usize,
    cached: Option<u64>,
) -> Row {
    Row {
        repository,
        outcome,
        total,
        layers,
        cached,
    }
}

/// The pulls of `demo --brief`, sorted by name, and those of one name by time.
const BRIEF: [Row; 7] = [
    row(
        "edge/proxy",
        Outcome::Completed,
        ALPINE + 17 * MIB,
        2,
        Some(ALPINE),
    ),
    row(
        "obs/collector",
        Outcome::Completed,
        // 14 layers, each 200 KiB larger than the one before.
        ALPINE + 14 * MIB + 91 * 200 * 1024,
        15,
        Some(ALPINE),
    ),
    row("pay/ledger", Outcome::Failed, 42 * MIB, 2, Some(0)),
    row(
        "shop/catalog",
        Outcome::Completed,
        ALPINE + 57 * MIB,
        3,
        None,
    ),
    row(
        "shop/checkout",
        Outcome::Completed,
        ALPINE + 53 * MIB,
        3,
        None,
    ),
    row(
        "tools/backup",
        Outcome::Completed,
        ALPINE + 2 * MIB,
        2,
        Some(0),
    ),
    row(
        "tools/backup",
        Outcome::Completed,
        ALPINE + 2 * MIB,
        2,
        Some(ALPINE + 2 * MIB),
    ),
];

fn recording(name: &str) -> PathBuf {
    Path::new(concat!(env!("CARGO_MANIFEST_DIR"), "/../recordings")).join(name)
}

/// Replays a recording into a table; `look` sees the table after each step.
async fn replay(name: &str, mut look: impl FnMut(&PullTable)) -> PullTable {
    let file = std::fs::File::open(recording(name)).unwrap();
    let mut replay = Replay::new(std::io::BufReader::new(file), Speed::FASTEST).unwrap();
    let mut table = PullTable::new(Limits::default());
    while let Some(batch) = replay.next().await.unwrap() {
        batch
            .anomalies
            .iter()
            .for_each(|anomaly| table.count(*anomaly));
        table.apply(&batch.observations, batch.now);
        look(&table);
    }
    assert!(!replay.is_torn(), "{name} is cut off");
    let anomalies = &table.counters().anomalies;
    assert_eq!(*anomalies, BTreeMap::new(), "{name}");
    table
}

fn repository(pull: &Pull) -> String {
    let repository = pull.repository.as_ref().expect("the repository is known");
    assert_eq!(repository.host(), "registry.demo");
    repository.path().to_owned()
}

fn check(name: &str, pull: &Pull, row: &Row) {
    let said = format!("{name}: {row:?} is {pull:#?}");
    assert_eq!(pull.outcome(), Some(row.outcome), "{said}");
    assert_eq!(pull.total, Some(Bytes(row.total)), "{said}");
    assert_eq!(pull.layers.len(), row.layers, "{said}");
    if let Some(cached) = row.cached {
        assert_eq!(pull.cached, Bytes(cached), "{said}");
    }
    let to_download = pull.to_download.expect("known with the total");
    assert_eq!(pull.cached + to_download, Bytes(row.total), "{said}");
    if row.outcome == Outcome::Completed {
        assert_eq!(pull.percent, Some(Percent::DONE), "{said}");
        assert_eq!(pull.downloaded, to_download, "{said}");
        let done = |state| matches!(state, LayerState::Complete | LayerState::Cached);
        assert!(pull.layers.iter().all(|layer| done(layer.state)), "{said}");
        assert!(!pull.names.is_empty(), "{said}");
    } else {
        assert!(pull.percent < Some(Percent::DONE), "{said}");
        // It breaks after 11 MiB of its own layer, which has 18.
        let own = pull.layers.last().expect("two layers");
        assert_eq!(own.size, Bytes(18 * MIB), "{said}");
        assert!(own.downloaded <= Bytes(11 * MIB), "{said}");
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
        check(&name, pull, row);
    }
    assert!(
        waits.contains(&WaitingKind::SharedLayer),
        "{name}: one of the two that share a layer waits for the other"
    );
}

#[tokio::test]
async fn what_was_pulled_on_1_6_is_seen() {
    brief("1.6").await;
}

#[tokio::test]
async fn what_was_pulled_on_2_0_is_seen() {
    brief("2.0").await;
}

#[tokio::test]
async fn what_was_pulled_on_2_4_is_seen() {
    brief("2.4").await;
}

/// It stands for the demo where no containerd can run.
#[tokio::test]
async fn the_recording_of_the_demo_shows_all_that_the_demo_shows() {
    let size = std::fs::metadata(recording("demo-2.4.jsonl"))
        .unwrap()
        .len();
    assert!(size < 2 * MIB, "{size} bytes are too many for a repository");
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
    for kind in [
        WaitingKind::Registry,
        WaitingKind::DownloadSlot,
        WaitingKind::SharedLayer,
    ] {
        assert!(waits.contains(&kind), "nothing waits for {kind:?}");
    }
    assert!(busy >= 5, "{busy}");
}
