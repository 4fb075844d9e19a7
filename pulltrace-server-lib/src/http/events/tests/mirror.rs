//! What a reader knows that believes all it is told: the same as the server, from wherever it resumes.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use serde_json::{Value, json};
use tokio::sync::watch;

use super::{Draw, Events, World, next, options, until};
use crate::fixture::Told;
use crate::http::events::reader::Reader;
use crate::http::events::{Cursor, Format, Layers, Options};
use crate::limits::Limits;
use crate::table::Form;

/// More than are read in one go, and than go into one piece of text.
const PULLS: u32 = 90;

/// What a pull of the test is doing.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Doing {
    Resolving,
    Downloading(u64),
    Completed,
    Failed,
    /// It ended, and its name became known afterwards.
    Named,
}

impl Doing {
    fn next(self, draw: &mut Draw) -> Self {
        match self {
            Self::Resolving if draw.below(8) == 0 => Self::Failed,
            Self::Resolving => Self::Downloading(1 + draw.below(9)),
            Self::Downloading(bytes) if bytes > 60 => Self::Completed,
            Self::Downloading(bytes) => Self::Downloading(bytes + 1 + draw.below(30)),
            Self::Completed | Self::Named => Self::Named,
            Self::Failed => Self::Failed,
        }
    }

    fn tell(self, told: Told, lease: u32) -> Told {
        match self {
            Self::Resolving => told.resolving(lease),
            Self::Downloading(bytes) => told.downloading(lease, 1, &[bytes, bytes / 30]),
            Self::Completed => told.completed(lease, 1, 5),
            Self::Failed => told.ended(lease, "failed", 5),
            Self::Named => {
                let mut told = told.completed(lease, 1, 5);
                let pull = told.body["pulls"].as_array_mut().unwrap().last_mut();
                pull.unwrap()["names"] = json!(["docker.io/library/nginx:1"]);
                told
            }
        }
    }
}

/// What a reader knows.
#[derive(Default)]
struct Mirror {
    rows: BTreeMap<String, Value>,
    /// The id of each number that motions have.
    ids: BTreeMap<u64, String>,
    ends: BTreeMap<String, u32>,
    id: Option<String>,
}

impl Mirror {
    fn of(events: &Events, wanted: &Wanted) -> Self {
        let mut mirror = Self::default();
        mirror.take(events, wanted);
        mirror
    }

    fn take(&mut self, events: &Events, wanted: &Wanted) {
        for (name, id, data) in events {
            assert_ne!(name, "reset");
            if id.is_some() {
                self.id.clone_from(id);
            }
            if name.starts_with("pull.") {
                let end = matches!(name.as_str(), "pull.completed" | "pull.failed");
                self.row(&data["pull"], end, wanted);
            }
            for row in list(data, "rows") {
                let ended = row["outcome"].is_string();
                self.row(row, ended, wanted);
            }
            for motion in list(data, "up") {
                self.moves(motion);
            }
            for id in list(data, "rm") {
                self.rows.remove(id.as_str().unwrap());
            }
        }
    }

    fn row(&mut self, row: &Value, end: bool, wanted: &Wanted) {
        assert!(wanted.node(row), "{row}");
        assert!(wanted.phase(row) || end && wanted.end(row), "{row}");
        let id = row["id"].as_str().unwrap().to_owned();
        *self.ends.entry(id.clone()).or_default() += u32::from(end);
        self.ids.insert(row["row"].as_u64().unwrap(), id.clone());
        self.rows.insert(id, row.clone());
    }

    fn moves(&mut self, motion: &Value) {
        let id = self.ids.get(&motion[0].as_u64().unwrap());
        let row = id.and_then(|id| self.rows.get_mut(id));
        let row = row.unwrap_or_else(|| panic!("of what row is {motion}?"));
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
            put(row, name, &motion[index + 1]);
        }
        for layer in motion[9].as_array().unwrap() {
            let index = usize::try_from(layer[0].as_u64().unwrap()).unwrap();
            let row = &mut row["layers"][index];
            put(row, "downloadedBytes", &layer[1]);
            put(row, "bytesPerSec", &layer[3]);
        }
    }

    /// Compares it with what the server knows.
    fn check(&self, world: &World, wanted: &Wanted) {
        let form = match wanted.layers {
            Layers::Embed => Form::Status,
            Layers::None | Layers::Events => Form::StatusBare,
        };
        let rows: Vec<Value> = world.api.shared.read(|table| {
            let rows = table.rows(None);
            rows.map(|row| serde_json::from_str(&row.json(form)).unwrap())
                .collect()
        });
        assert_eq!(rows.len(), 2 * PULLS as usize);
        for row in rows {
            let id = row["id"].as_str().unwrap();
            let known = self.rows.get(id);
            let ended = row["outcome"].is_string();
            let ends = self.ends.get(id).copied().unwrap_or(0);
            if !wanted.node(&row) || !(wanted.phase(&row) || wanted.end(&row)) {
                assert_eq!(ends, 0, "{row}");
                // Events do not take away what is wanted no more.
                assert!(known.is_none() || wanted.format == Format::Event, "{row}");
            } else if wanted.phase(&row) {
                assert_eq!(known, Some(&row));
                assert_eq!(ends > 0, ended, "{row}");
            } else {
                // What is learned after the end is nothing to it.
                assert_eq!(known.unwrap()["phase"], row["phase"], "{row}");
                assert!(ends > 0, "{row}");
            }
        }
    }
}

fn list<'a>(data: &'a Value, name: &str) -> impl Iterator<Item = &'a Value> {
    data[name].as_array().into_iter().flatten()
}

fn put(row: &mut Value, name: &str, value: &Value) {
    let row = row.as_object_mut().unwrap();
    if value.is_null() {
        row.remove(name);
    } else {
        row.insert(name.to_owned(), value.clone());
    }
}

/// What a reader asked for.
struct Wanted {
    query: &'static str,
    format: Format,
    layers: Layers,
    node: Option<&'static str>,
    phases: BTreeSet<&'static str>,
}

impl Wanted {
    fn of(query: &'static str, format: Format, layers: Layers) -> Self {
        let field = |name| query.split('&').find_map(|part| part.strip_prefix(name));
        Self {
            query,
            format,
            layers,
            node: field("node="),
            phases: field("phase=")
                .into_iter()
                .flat_map(|p| p.split(','))
                .collect(),
        }
    }

    fn options(&self) -> Options {
        options(self.query, self.format, self.layers)
    }

    fn node(&self, row: &Value) -> bool {
        self.node.is_none_or(|node| row["nodeName"] == node)
    }

    fn phase(&self, row: &Value) -> bool {
        self.phases.is_empty() || self.phases.contains(row["phase"].as_str().unwrap())
    }

    /// Whether the row ended in a way that the reader must hear of.
    fn end(&self, row: &Value) -> bool {
        let live = ["resolving", "downloading", "extracting"];
        let live = live.iter().any(|phase| self.phases.contains(phase));
        row["outcome"].is_string() && (live || self.phase(row))
    }
}

/// Reads, sometimes slowly, until a ping says that it knows all changes up to the last one.
async fn read(mut reader: Reader, last: watch::Receiver<u64>, mut draw: Draw) -> Events {
    let mut all = Events::new();
    loop {
        let events = next(&mut reader).await;
        let ping = events.iter().find(|(name, ..)| name == "ping");
        let over = ping.is_some_and(|(_, id, _)| {
            let cursor = Cursor::parse(id.as_deref().unwrap()).unwrap();
            cursor.seq >= *last.borrow()
        });
        all.extend(events);
        if over {
            return all;
        }
        if draw.below(3) == 0 {
            tokio::time::sleep(Duration::from_millis(draw.below(400))).await;
        }
    }
}

#[tokio::test(start_paused = true)]
async fn whatever_moves_meanwhile_a_reader_knows_what_the_server_knows() {
    for seed in 0..2 {
        for query in ["", "node=w1", "phase=downloading", "phase=resolving,failed"] {
            for (format, layers) in [
                (Format::Event, Layers::Embed),
                (Format::Frame, Layers::Embed),
                (Format::Frame, Layers::None),
            ] {
                follow(seed, &Wanted::of(query, format, layers)).await;
            }
        }
    }
}

async fn follow(seed: u64, wanted: &Wanted) {
    let mut world = World::new(Limits::default());
    let mut draw = Draw(seed);
    let mut pulls = vec![Doing::Resolving; 2 * PULLS as usize];
    tell(&mut world, &pulls, |_| true).await;
    let mut reader = Reader::new(&world.api, wanted.options(), None);
    let snapshot = until(&mut reader, "snapshot-end").await;
    let (done, last) = watch::channel(u64::MAX);
    let reading = tokio::spawn(read(reader, last.clone(), Draw(seed + 1_000)));
    for step in 0..12 {
        // Sometimes all, and then the second half at once again: those move behind what is being read.
        let all = step % 6 == 0;
        let moved: Vec<bool> = (0..pulls.len())
            .map(|index| all || draw.below(4) == 0 || step % 6 == 1 && index * 2 > pulls.len())
            .collect();
        for (pull, _) in pulls.iter_mut().zip(&moved).filter(|(_, moved)| **moved) {
            *pull = pull.next(&mut draw);
        }
        tell(&mut world, &pulls, |index| moved[index]).await;
        let rest = if all { 1 } else { draw.below(300) };
        tokio::time::sleep(Duration::from_millis(rest)).await;
    }
    done.send_replace(world.seq());
    let mut told = snapshot;
    told.extend(reading.await.unwrap());
    let mirror = Mirror::of(&told, wanted);
    mirror.check(&world, wanted);
    if wanted.format == Format::Event {
        let most = mirror.ends.values().max().copied().unwrap_or(0);
        assert!(most <= 1, "an end was told {most} times");
    }
    // Wherever its connection breaks, it goes on without a gap.
    for _ in 0..3 {
        let cut = usize::try_from(draw.below(told.len() as u64)).unwrap();
        let before: Events = told[..=cut].to_vec();
        let mut mirror = Mirror::of(&before, wanted);
        let Some(id) = &mirror.id else { continue };
        let resumed = world.resumed(wanted.options(), id);
        let after = read(resumed, last.clone(), Draw(seed)).await;
        mirror.take(&after, wanted);
        mirror.check(&world, wanted);
    }
}

/// Tells of the pulls that moved, half of them of each node.
async fn tell(world: &mut World, pulls: &[Doing], moved: impl Fn(usize) -> bool) {
    for (node, first) in [("w1", 0), ("w2", PULLS)] {
        world
            .tell_of(node, |told| {
                (0..PULLS).fold(told, |told, lease| {
                    let index = (first + lease) as usize;
                    if moved(index) {
                        pulls[index].tell(told, lease)
                    } else {
                        told
                    }
                })
            })
            .await;
    }
}

#[tokio::test(start_paused = true)]
async fn an_end_is_told_also_where_more_was_learned_of_it_while_others_were_read() {
    for format in [Format::Event, Format::Frame] {
        let mut world = World::new(Limits::default());
        let wanted = Wanted::of("", format, Layers::Embed);
        let mut pulls = vec![Doing::Downloading(5); 2 * PULLS as usize];
        tell(&mut world, &pulls, |_| true).await;
        let mut reader = world.reader("", format);
        let mut told = until(&mut reader, "snapshot-end").await;
        pulls.fill(Doing::Completed);
        tell(&mut world, &pulls, |_| true).await;
        tokio::time::sleep(Duration::from_millis(300)).await;
        told.extend(next(&mut reader).await);
        // Those that it has not read move behind all others.
        pulls.fill(Doing::Named);
        tell(&mut world, &pulls, |_| true).await;
        let (_done, last) = watch::channel(world.seq());
        told.extend(read(reader, last, Draw(1)).await);
        let mirror = Mirror::of(&told, &wanted);
        mirror.check(&world, &wanted);
        assert_eq!(mirror.ends.len(), 2 * PULLS as usize);
        assert!(format == Format::Frame || mirror.ends.values().all(|ends| *ends == 1));
    }
}
