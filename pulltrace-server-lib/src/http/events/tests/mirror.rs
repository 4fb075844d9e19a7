//! A client that applies everything it receives ends up with the server's state, wherever it
//! resumes.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use serde_json::{Value, json};
use tokio::sync::watch;

use super::{Events, Lcg, StreamFixture, next_events, options, read_until};
use crate::fixture::ReportBuilder;
use crate::http::events::options::{Cursor, LayerMode, StreamFormat, StreamOptions};
use crate::http::events::reader::Reader;
use crate::limits::Limits;
use crate::table::JsonForm;

/// More than are read in one batch, and more than fit into one chunk.
const PULLS_PER_NODE: u32 = 90;

/// The current stage of a test pull.
#[derive(Clone, Copy, PartialEq, Eq)]
enum PullStage {
    Resolving,
    Downloading(u64),
    Completed,
    Failed,
    /// Ended, and its name became known later.
    Named,
}

impl PullStage {
    fn next(self, draw: &mut Lcg) -> Self {
        match self {
            Self::Resolving if draw.next_below(8) == 0 => Self::Failed,
            Self::Resolving => Self::Downloading(1 + draw.next_below(9)),
            Self::Downloading(bytes) if bytes > 60 => Self::Completed,
            Self::Downloading(bytes) => Self::Downloading(bytes + 1 + draw.next_below(30)),
            Self::Completed | Self::Named => Self::Named,
            Self::Failed => Self::Failed,
        }
    }

    fn add_to_report(self, report: ReportBuilder, lease: u32) -> ReportBuilder {
        match self {
            Self::Resolving => report.resolving(lease),
            Self::Downloading(bytes) => report.downloading(lease, 1, &[bytes, bytes / 30]),
            Self::Completed => report.completed(lease, 1, 5),
            Self::Failed => report.ended(lease, "failed", 5),
            Self::Named => {
                let mut report = report.completed(lease, 1, 5);
                let pull = report.body["pulls"].as_array_mut().unwrap().last_mut();
                pull.unwrap()["names"] = json!(["docker.io/library/nginx:1"]);
                report
            }
        }
    }
}

/// The state of the client.
#[derive(Default)]
struct Mirror {
    rows: BTreeMap<String, Value>,
    /// Pull ids by the row number that motion updates use.
    ids: BTreeMap<u64, String>,
    ends: BTreeMap<String, u32>,
    id: Option<String>,
}

impl Mirror {
    fn from_events(events: &Events, wanted: &TestQuery) -> Self {
        let mut mirror = Self::default();
        mirror.apply(events, wanted);
        mirror
    }

    fn apply(&mut self, events: &Events, wanted: &TestQuery) {
        for (name, id, data) in events {
            assert_ne!(name, "reset");
            if id.is_some() {
                self.id.clone_from(id);
            }
            if name.starts_with("pull.") {
                let end = matches!(name.as_str(), "pull.completed" | "pull.failed");
                self.insert_row(&data["pull"], end, wanted);
            }
            for row in list_items(data, "rows") {
                let ended = row["outcome"].is_string();
                self.insert_row(row, ended, wanted);
            }
            for motion in list_items(data, "up") {
                self.apply_motion(motion);
            }
            for id in list_items(data, "rm") {
                self.rows.remove(id.as_str().unwrap());
            }
        }
    }

    fn insert_row(&mut self, row: &Value, end: bool, wanted: &TestQuery) {
        assert!(wanted.matches_node(row), "{row}");
        assert!(wanted.matches_phase(row) || end && wanted.must_see_end(row), "{row}");
        let id = row["id"].as_str().unwrap().to_owned();
        *self.ends.entry(id.clone()).or_default() += u32::from(end);
        self.ids.insert(row["row"].as_u64().unwrap(), id.clone());
        self.rows.insert(id, row.clone());
    }

    fn apply_motion(&mut self, motion: &Value) {
        let id = self.ids.get(&motion[0].as_u64().unwrap());
        let row = id.and_then(|id| self.rows.get_mut(id));
        let row = row.unwrap_or_else(|| panic!("no row for {motion}"));
        let numbers = [
            "percent",
            "downloadedBytes",
            "extractedBytes",
            "bytesPerSec",
            "etaSeconds",
            "etaLowSeconds",
            "etaHighSeconds",
            "layersDone",
        ];
        for (index, name) in numbers.into_iter().enumerate() {
            set_field(row, name, &motion[index + 1]);
        }
        for layer in motion[9].as_array().unwrap() {
            let index = usize::try_from(layer[0].as_u64().unwrap()).unwrap();
            let row = &mut row["layers"][index];
            set_field(row, "downloadedBytes", &layer[1]);
            set_field(row, "bytesPerSec", &layer[3]);
        }
    }

    /// Compares the client's state with the server's.
    fn assert_matches_server(&self, world: &StreamFixture, wanted: &TestQuery) {
        let form = match wanted.layers {
            LayerMode::Embed => JsonForm::Status,
            LayerMode::None | LayerMode::Events => JsonForm::StatusNoLayers,
        };
        let rows: Vec<Value> = world.api.shared.read(|table| {
            let rows = table.rows(None);
            rows.map(|row| serde_json::from_str(&row.json(form)).unwrap()).collect()
        });
        assert_eq!(rows.len(), 2 * PULLS_PER_NODE as usize);
        for row in rows {
            let id = row["id"].as_str().unwrap();
            let known = self.rows.get(id);
            let ended = row["outcome"].is_string();
            let ends = self.ends.get(id).copied().unwrap_or(0);
            if !wanted.matches_node(&row)
                || !(wanted.matches_phase(&row) || wanted.must_see_end(&row))
            {
                assert_eq!(ends, 0, "{row}");
                // In event format, rows that no longer match are not removed.
                assert!(known.is_none() || wanted.format == StreamFormat::Event, "{row}");
            } else if wanted.matches_phase(&row) {
                assert_eq!(known, Some(&row));
                assert_eq!(ends > 0, ended, "{row}");
            } else {
                // Changes after the end are not sent to this reader.
                assert_eq!(known.unwrap()["phase"], row["phase"], "{row}");
                assert!(ends > 0, "{row}");
            }
        }
    }
}

fn list_items<'a>(data: &'a Value, name: &str) -> impl Iterator<Item = &'a Value> {
    data[name].as_array().into_iter().flatten()
}

fn set_field(row: &mut Value, name: &str, value: &Value) {
    let row = row.as_object_mut().unwrap();
    if value.is_null() {
        row.remove(name);
    } else {
        row.insert(name.to_owned(), value.clone());
    }
}

/// The parameters of a reader.
struct TestQuery {
    query: &'static str,
    format: StreamFormat,
    layers: LayerMode,
    node: Option<&'static str>,
    phases: BTreeSet<&'static str>,
}

impl TestQuery {
    fn new(query: &'static str, format: StreamFormat, layers: LayerMode) -> Self {
        let field = |name| query.split('&').find_map(|part| part.strip_prefix(name));
        Self {
            query,
            format,
            layers,
            node: field("node="),
            phases: field("phase=").into_iter().flat_map(|p| p.split(',')).collect(),
        }
    }

    fn options(&self) -> StreamOptions {
        options(self.query, self.format, self.layers)
    }

    fn matches_node(&self, row: &Value) -> bool {
        self.node.is_none_or(|node| row["nodeName"] == node)
    }

    fn matches_phase(&self, row: &Value) -> bool {
        self.phases.is_empty() || self.phases.contains(row["phase"].as_str().unwrap())
    }

    /// Returns whether the reader must receive the end of this row.
    fn must_see_end(&self, row: &Value) -> bool {
        let live = ["resolving", "downloading", "extracting"];
        let live = live.iter().any(|phase| self.phases.contains(phase));
        row["outcome"].is_string() && (live || self.matches_phase(row))
    }
}

/// Reads, sometimes slowly, until a ping confirms that all changes up to the last one were
/// received.
async fn read_all(mut reader: Reader, last: watch::Receiver<u64>, mut draw: Lcg) -> Events {
    let mut all = Events::new();
    loop {
        let events = next_events(&mut reader).await;
        let ping = events.iter().find(|(name, ..)| name == "ping");
        let over = ping.is_some_and(|(_, id, _)| {
            let cursor = Cursor::parse(id.as_deref().unwrap()).unwrap();
            cursor.seq >= *last.borrow()
        });
        all.extend(events);
        if over {
            return all;
        }
        if draw.next_below(3) == 0 {
            tokio::time::sleep(Duration::from_millis(draw.next_below(400))).await;
        }
    }
}

#[tokio::test(start_paused = true)]
async fn reader_converges_to_server_state() {
    for seed in 0..2 {
        for query in ["", "node=w1", "phase=downloading", "phase=resolving,failed"] {
            for (format, layers) in [
                (StreamFormat::Event, LayerMode::Embed),
                (StreamFormat::Frame, LayerMode::Embed),
                (StreamFormat::Frame, LayerMode::None),
            ] {
                check_reader(seed, &TestQuery::new(query, format, layers)).await;
            }
        }
    }
}

async fn check_reader(seed: u64, wanted: &TestQuery) {
    let mut world = StreamFixture::new(Limits::default());
    let mut draw = Lcg(seed);
    let mut pulls = vec![PullStage::Resolving; 2 * PULLS_PER_NODE as usize];
    report_pulls(&mut world, &pulls, |_| true).await;
    let mut reader = Reader::new(&world.api, wanted.options(), None);
    let snapshot = read_until(&mut reader, "snapshot-end").await;
    let (done, last) = watch::channel(u64::MAX);
    let reading = tokio::spawn(read_all(reader, last.clone(), Lcg(seed + 1_000)));
    for step in 0..12 {
        // Sometimes all change, and right after that the second half again: those rows move behind
        // the cursor of a batch being read.
        let all = step % 6 == 0;
        let moved: Vec<bool> = (0..pulls.len())
            .map(|index| all || draw.next_below(4) == 0 || step % 6 == 1 && index * 2 > pulls.len())
            .collect();
        for (pull, _) in pulls.iter_mut().zip(&moved).filter(|(_, moved)| **moved) {
            *pull = pull.next(&mut draw);
        }
        report_pulls(&mut world, &pulls, |index| moved[index]).await;
        let rest = if all { 1 } else { draw.next_below(300) };
        tokio::time::sleep(Duration::from_millis(rest)).await;
    }
    done.send_replace(world.seq());
    let mut events = snapshot;
    events.extend(reading.await.unwrap());
    let mirror = Mirror::from_events(&events, wanted);
    mirror.assert_matches_server(&world, wanted);
    if wanted.format == StreamFormat::Event {
        let most = mirror.ends.values().max().copied().unwrap_or(0);
        assert!(most <= 1, "an end was sent {most} times");
    }
    // Wherever the connection breaks, the reader resumes without a gap.
    for _ in 0..3 {
        let cut = usize::try_from(draw.next_below(events.len() as u64)).unwrap();
        let before: Events = events[..=cut].to_vec();
        let mut mirror = Mirror::from_events(&before, wanted);
        let Some(id) = &mirror.id else { continue };
        let resumed = world.resumed(wanted.options(), id);
        let after = read_all(resumed, last.clone(), Lcg(seed)).await;
        mirror.apply(&after, wanted);
        mirror.assert_matches_server(&world, wanted);
    }
}

/// Reports the pulls that changed, half of them per node.
async fn report_pulls(
    world: &mut StreamFixture,
    pulls: &[PullStage],
    moved: impl Fn(usize) -> bool,
) {
    for (node, first) in [("w1", 0), ("w2", PULLS_PER_NODE)] {
        world
            .report_from(node, |report| {
                (0..PULLS_PER_NODE).fold(report, |told, lease| {
                    let index = (first + lease) as usize;
                    if moved(index) { pulls[index].add_to_report(told, lease) } else { told }
                })
            })
            .await;
    }
}

#[tokio::test(start_paused = true)]
async fn end_is_sent_when_row_changes_while_paging() {
    for format in [StreamFormat::Event, StreamFormat::Frame] {
        let mut world = StreamFixture::new(Limits::default());
        let wanted = TestQuery::new("", format, LayerMode::Embed);
        let mut pulls = vec![PullStage::Downloading(5); 2 * PULLS_PER_NODE as usize];
        report_pulls(&mut world, &pulls, |_| true).await;
        let mut reader = world.reader("", format);
        let mut events = read_until(&mut reader, "snapshot-end").await;
        pulls.fill(PullStage::Completed);
        report_pulls(&mut world, &pulls, |_| true).await;
        tokio::time::sleep(Duration::from_millis(300)).await;
        events.extend(next_events(&mut reader).await);
        // Rows that were not read yet move to the end of the change log.
        pulls.fill(PullStage::Named);
        report_pulls(&mut world, &pulls, |_| true).await;
        let (_done, last) = watch::channel(world.seq());
        events.extend(read_all(reader, last, Lcg(1)).await);
        let mirror = Mirror::from_events(&events, &wanted);
        mirror.assert_matches_server(&world, &wanted);
        assert_eq!(mirror.ends.len(), 2 * PULLS_PER_NODE as usize);
        assert!(format == StreamFormat::Frame || mirror.ends.values().all(|ends| *ends == 1));
    }
}
