//! When a reader is told what, on a clock that stands still.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::task::{Context, Wake, Waker};
use std::time::Duration;

use pulltrace_core::Mono;
use serde_json::Value;
use tokio::sync::{Semaphore, watch};

use super::reader::Reader;
use super::{Cursor, Format, Layers, Options};
use crate::access::Access;
use crate::clock::Clock;
use crate::fixture::{Told, time};
use crate::http::query::{FILTERS, Filter, Query};
use crate::http::{About, Api, HttpLimits};
use crate::limits::Limits;
use crate::metrics::Stats;
use crate::ready::Ready;
use crate::table::Table;
use crate::throughput::Throughput;
use crate::writer::Writer;

mod mirror;

struct World {
    api: Api,
    sequence: u64,
    stop: watch::Sender<bool>,
}

/// What one piece of text says: each event's name, id and data.
type Events = Vec<(String, Option<String>, Value)>;

impl World {
    fn new(limits: Limits) -> Self {
        let clock = Clock::anchored(time(100));
        let builder = Writer::builder().clock(clock).limits(limits).epoch("life");
        let (writer, intake, shared) = builder.start();
        tokio::spawn(writer.run(std::future::pending()));
        let (stop, stopping) = watch::channel(false);
        let about = About {
            version: String::new(),
            cluster_name: None,
            started_at: clock.now().at,
            keeps_ended: limits.history_ttl,
        };
        let limits = HttpLimits::default();
        let api = Api {
            about,
            throughput: Throughput::default(),
            shared,
            intake,
            access: Access::new(),
            ready: Ready::default(),
            cluster: crate::hear::Cluster::default(),
            stats: Arc::new(Stats::default()),
            clock,
            limits,
            places: Arc::new(Semaphore::new(limits.readers)),
            packers: Arc::new(Semaphore::new(limits.packed_readers)),
            stopping,
            #[cfg(feature = "ui")]
            page: crate::ui::Page::embedded(),
        };
        Self {
            api,
            sequence: 0,
            stop,
        }
    }

    async fn tell(&mut self, fill: impl FnOnce(Told) -> Told) {
        self.tell_of("w1", fill).await;
    }

    async fn tell_of(&mut self, node: &str, fill: impl FnOnce(Told) -> Told) {
        self.sequence += 1;
        let told = fill(
            Told::new(node, self.sequence, 0)
                .partial()
                .image(1, &[1, 2]),
        );
        self.api.intake.report(told.heard().0).await.unwrap();
    }

    fn now(&self) -> Mono {
        self.api.clock.now().mono
    }

    fn seq(&self) -> u64 {
        self.api.shared.read(Table::seq)
    }

    fn reader(&self, query: &str, format: Format) -> Reader {
        Reader::new(&self.api, options(query, format, Layers::Embed), None)
    }

    fn resumed(&self, options: Options, id: &str) -> Reader {
        Reader::new(&self.api, options, Some(Cursor::parse(id)))
    }
}

fn options(query: &str, format: Format, layers: Layers) -> Options {
    Options {
        filter: Filter::of(&Query::parse(Some(query), &FILTERS).unwrap(), true).unwrap(),
        layers,
        format,
    }
}

async fn next(reader: &mut Reader) -> Events {
    let text = reader.next().await.unwrap();
    assert!(text.len() < 3 * super::CHUNK, "{} bytes", text.len());
    let events = text.split_terminator("\n\n").map(|block| {
        let field = |name: &str| {
            let mut lines = block.lines().filter_map(|line| line.split_once(": "));
            lines.find_map(|(field, value)| (field == name).then(|| value.to_owned()))
        };
        let data = field("data").map_or(Value::Null, |data| serde_json::from_str(&data).unwrap());
        let kind = data["type"].as_str().map(ToOwned::to_owned);
        let name = kind.or_else(|| field("event")).unwrap_or_default();
        (name, field("id"), data)
    });
    events.filter(|(_, _, data)| !data.is_null()).collect()
}

async fn until(reader: &mut Reader, name: &str) -> Events {
    let mut all = Events::new();
    while all.last().is_none_or(|(last, ..)| last != name) {
        let events = next(reader).await;
        // Only pings come when nothing else does.
        let idle = events.iter().any(|(name, ..)| name == "ping");
        assert!(!idle || name == "ping", "no {name}: {all:?}");
        all.extend(events);
    }
    all
}

#[tokio::test(start_paused = true)]
async fn what_only_moves_is_told_each_250_ms_and_starts_and_ends_at_once() {
    let mut world = World::new(Limits::default());
    world.tell(|told| told.downloading(1, 1, &[1, 0])).await;
    let mut reader = world.reader("", Format::Event);
    until(&mut reader, "snapshot-end").await;
    let clock = world.api.clock;
    let reading = tokio::spawn(async move {
        let mut seen = Vec::new();
        loop {
            let events = next(&mut reader).await;
            let at = clock.now().mono;
            let ended = events.iter().any(|(name, ..)| name == "pull.completed");
            seen.extend(events.into_iter().map(|(name, _, data)| (at, name, data)));
            if ended {
                return seen;
            }
        }
    });
    for bytes in 2..90 {
        if bytes == 50 {
            world.tell(|told| told.resolving(2)).await;
            let at = world.now();
            tokio::time::sleep(Duration::from_millis(30)).await;
            world
                .tell(|told| told.downloading(1, 1, &[bytes, 0]).ended(2, "failed", 1))
                .await;
            // Both are told long before the next 250 ms are over.
            tokio::time::sleep(Duration::from_millis(30)).await;
            assert_eq!(world.now().since(at), Duration::from_millis(60));
            continue;
        }
        world.tell(|told| told.downloading(1, 1, &[bytes, 0])).await;
        tokio::time::sleep(Duration::from_millis(30)).await;
    }
    let ended_at = world.now();
    world.tell(|told| told.completed(1, 1, 5)).await;
    let seen = reading.await.unwrap();
    let at = |wanted: &str| {
        let found = seen.iter().filter(|(_, name, _)| name == wanted);
        found.map(|(at, ..)| *at).collect::<Vec<_>>()
    };
    let moved = at("pull.progress");
    assert!(moved.len() >= 8, "{moved:?}");
    for pair in moved.windows(2) {
        let gap = pair[1].since(pair[0]);
        assert!(gap >= Duration::from_millis(250), "{gap:?}");
    }
    let (started, failed) = (at("pull.started"), at("pull.failed"));
    assert_eq!((started.len(), failed.len()), (1, 1));
    let between = failed[0].since(started[0]);
    assert!(between <= Duration::from_millis(50), "{between:?}");
    let late = at("pull.completed")[0].since(ended_at);
    assert!(late <= Duration::from_millis(25), "{late:?}");
}

/// Counts how often a task is woken.
#[derive(Default)]
struct Wakes(AtomicUsize);

impl Wake for Wakes {
    fn wake(self: Arc<Self>) {
        self.0.fetch_add(1, Ordering::Relaxed);
    }
}

#[tokio::test(start_paused = true)]
async fn what_only_moves_does_not_wake_a_reader_before_its_time() {
    for format in [Format::Event, Format::Frame] {
        let mut world = World::new(Limits::default());
        world.tell(|told| told.downloading(1, 1, &[1, 0])).await;
        let mut reader = world.reader("", format);
        until(&mut reader, "snapshot-end").await;
        world.tell(|told| told.downloading(1, 1, &[2, 0])).await;
        next(&mut reader).await;
        let wakes = Arc::new(Wakes::default());
        let waker = Waker::from(Arc::clone(&wakes));
        let mut waits = Box::pin(reader.next());
        assert!(
            waits
                .as_mut()
                .poll(&mut Context::from_waker(&waker))
                .is_pending()
        );
        for bytes in 3..10 {
            world.tell(|told| told.downloading(1, 1, &[bytes, 0])).await;
            tokio::time::sleep(Duration::from_millis(25)).await;
        }
        assert_eq!(wakes.0.load(Ordering::Relaxed), 0);
        world.tell(|told| told.resolving(2)).await;
        tokio::time::sleep(Duration::from_millis(25)).await;
        let urgent = usize::from(format == Format::Event);
        assert_eq!(wakes.0.load(Ordering::Relaxed), urgent);
    }
}

#[tokio::test(start_paused = true)]
async fn a_reader_that_wants_nothing_of_it_is_brought_on_each_5_s() {
    let mut world = World::new(Limits::default());
    let mut reader = world.reader("node=w9", Format::Event);
    until(&mut reader, "snapshot-end").await;
    let begun = world.now();
    world.tell(|told| told.resolving(1)).await;
    let ping = next(&mut reader).await;
    assert_eq!(world.now().since(begun), Duration::from_secs(5));
    let id = format!("life-{}", world.seq());
    assert_eq!(ping[0].0, "ping");
    assert_eq!(ping[0].1.as_deref(), Some(&*id));
    let again = next(&mut reader).await;
    assert_eq!(again[0].0, "ping");
    assert_eq!(again[0].2["now"], world.api.clock.now().at.to_string());
    assert_eq!(world.now().since(begun), Duration::from_secs(10));
}

#[tokio::test(start_paused = true)]
async fn what_stands_before_a_start_that_was_told_ahead_is_not_lost() {
    let mut world = World::new(Limits::default());
    world.tell(|told| told.downloading(1, 1, &[1, 0])).await;
    let mut reader = world.reader("", Format::Event);
    until(&mut reader, "snapshot-end").await;
    world.tell(|told| told.downloading(1, 1, &[2, 0])).await;
    assert_eq!(next(&mut reader).await[0].0, "pull.progress");
    // Within the 250 ms that follow:
    world
        .tell(|told| told.downloading(1, 1, &[3, 0]).resolving(2))
        .await;
    let ahead = next(&mut reader).await;
    assert_eq!(ahead.len(), 1);
    assert_eq!(ahead[0].0, "pull.started");
    // A connection that breaks here misses nothing,
    let mut resumed = world.resumed(Options::default(), ahead[0].1.as_deref().unwrap());
    let events = until(&mut resumed, "pull.started").await;
    assert_eq!(events[0].0, "pull.progress");
    assert_eq!(events[0].2["pull"]["downloadedBytes"], 3);
    // and one that stays is told nothing twice.
    let rest = next(&mut reader).await;
    assert_eq!(rest.len(), 1, "{rest:?}");
    assert_eq!(rest[0].2["pull"]["downloadedBytes"], 3);
    assert_eq!(rest[0].1, Some(format!("life-{}", world.seq())));
}

#[tokio::test(start_paused = true)]
async fn a_reader_that_slept_too_long_begins_anew() {
    let limits = Limits {
        tombstones: 2,
        ended_per_node: 1,
        ..Limits::default()
    };
    let mut world = World::new(limits);
    world.tell(|told| told.resolving(1)).await;
    let mut reader = world.reader("", Format::Event);
    until(&mut reader, "snapshot-end").await;
    // Each end pushes the one before it out.
    for lease in 2..9_u32 {
        tokio::time::sleep(Duration::from_secs(1)).await;
        let second = i64::from(lease) - 1;
        world.tell(|told| told.ended(lease, "failed", second)).await;
    }
    tokio::time::sleep(Duration::from_secs(1)).await;
    let events = until(&mut reader, "snapshot-end").await;
    let names: Vec<_> = events.iter().map(|(name, ..)| name.as_str()).collect();
    assert_eq!(names, ["reset", "pull.started", "snapshot-end"]);
    assert_eq!(events[0].2["reason"], "too_old");
}

#[tokio::test(start_paused = true)]
async fn a_great_change_comes_in_pieces_and_whole() {
    let mut world = World::new(Limits::default());
    let mut reader = world.reader("", Format::Frame);
    until(&mut reader, "snapshot-end").await;
    let fill = |bytes| {
        move |told: Told| (0..800).fold(told, |told, lease| told.downloading(lease, 1, &[bytes, 0]))
    };
    let mut known: BTreeMap<u64, Value> = BTreeMap::new();
    for bytes in [1, 2] {
        world.tell(fill(bytes)).await;
        let mut pieces = 0;
        let place = |seq: &Value| seq.as_u64().unwrap();
        let mut upto = 0;
        while upto < world.seq() {
            pieces += 1;
            for (_, id, data) in next(&mut reader).await {
                assert!(place(&data["seq"]) >= upto);
                upto = place(&data["seq"]);
                assert_eq!(id, Some(format!("life-{upto}")));
                for row in data["rows"].as_array().into_iter().flatten() {
                    known.insert(place(&row["row"]), row["downloadedBytes"].clone());
                }
                for motion in data["up"].as_array().into_iter().flatten() {
                    known.insert(place(&motion[0]), motion[2].clone());
                }
            }
        }
        // What only moves is short enough for one.
        assert!(pieces > 1 || bytes > 1);
        assert_eq!(known.len(), 800);
        assert!(known.values().all(|downloaded| *downloaded == bytes));
    }
}

#[tokio::test(start_paused = true)]
async fn a_server_that_stops_says_when_to_come_back() {
    let mut world = World::new(Limits::default());
    world.tell(|told| told.resolving(1)).await;
    let mut reader = world.reader("", Format::Event);
    until(&mut reader, "snapshot-end").await;
    world.stop.send_replace(true);
    let bye = reader.next().await.unwrap();
    assert!(bye.contains("retry: 1000"), "{bye}");
    assert_eq!(reader.next().await, None);
}

#[tokio::test(start_paused = true)]
async fn frames_take_away_what_a_reader_wants_no_more_and_show_it_each_end() {
    let mut world = World::new(Limits::default());
    world.tell(|told| told.resolving(1).resolving(2)).await;
    let mut reader = world.reader("phase=resolving", Format::Frame);
    let snapshot = until(&mut reader, "snapshot-end").await;
    let rows = |events: &Events, list: &str| -> usize {
        let lists = events
            .iter()
            .filter_map(|(_, _, data)| data[list].as_array());
        lists.map(Vec::len).sum()
    };
    assert_eq!(rows(&snapshot, "rows"), 2);
    world
        .tell(|told| told.downloading(1, 1, &[1, 0]).ended(2, "failed", 1))
        .await;
    let frame = until(&mut reader, "frame").await;
    assert_eq!(frame[0].2["rm"][0], "lease~w1~k8s.io~1~0");
    assert_eq!(frame[0].2["rows"][0]["id"], "lease~w1~k8s.io~2~0");
    assert_eq!(frame[0].2["rows"][0]["phase"], "failed");
    // What only moves of it is nothing to this reader.
    world.tell(|told| told.downloading(1, 1, &[2, 0])).await;
    let frame = next(&mut reader).await;
    assert_eq!(
        (rows(&frame, "rows"), rows(&frame, "up"), rows(&frame, "rm")),
        (0, 0, 0)
    );
}

/// Numbers that look drawn, and are the same each time.
struct Draw(u64);

impl Draw {
    fn below(&mut self, most: u64) -> u64 {
        self.0 = self
            .0
            .wrapping_mul(6_364_136_223_846_793_005)
            .wrapping_add(1);
        (self.0 >> 33) % most
    }
}

#[tokio::test(start_paused = true)]
async fn whatever_happens_and_however_slowly_one_reads_each_end_is_told_once() {
    for seed in 0..40 {
        let mut world = World::new(Limits::default());
        let mut reader = world.reader("", Format::Event);
        until(&mut reader, "snapshot-end").await;
        let reading = tokio::spawn(async move {
            let mut draw = Draw(seed + 1_000);
            let mut seen: BTreeMap<String, Vec<String>> = BTreeMap::new();
            let mut ends = 0;
            while ends < 20 {
                for (name, _, data) in next(&mut reader).await {
                    ends += u32::from(name == "pull.completed");
                    let id = data["pull"]["id"].as_str().unwrap_or_default();
                    seen.entry(id.to_owned()).or_default().push(name);
                }
                if draw.below(3) == 0 {
                    tokio::time::sleep(Duration::from_millis(draw.below(900))).await;
                }
            }
            seen
        });
        let mut draw = Draw(seed);
        // How many bytes of its first layer each pull has; more than 99 is over.
        let mut bytes = [0_u64; 20];
        while bytes.iter().any(|bytes| *bytes < 100) {
            let moved: Vec<u32> = (0..20).filter(|_| draw.below(4) == 0).collect();
            for lease in &moved {
                bytes[*lease as usize] += draw.below(60);
            }
            let bytes = &bytes;
            world
                .tell(|told| {
                    moved
                        .iter()
                        .fold(told, |told, lease| match bytes[*lease as usize] {
                            bytes @ 0..100 => told.downloading(*lease, 1, &[bytes, 0]),
                            _ => told.completed(*lease, 1, 5),
                        })
                })
                .await;
            tokio::time::sleep(Duration::from_millis(draw.below(120))).await;
        }
        let mut seen = reading.await.unwrap();
        seen.remove("");
        assert_eq!(seen.len(), 20, "seed {seed}");
        for (id, events) in seen {
            assert_eq!(events[0], "pull.started", "seed {seed}: {id} {events:?}");
            let middle = &events[1..events.len() - 1];
            let moves = middle.iter().all(|name| name == "pull.progress");
            assert!(moves, "seed {seed}: {id} {events:?}");
            assert_eq!(
                events.last().unwrap(),
                "pull.completed",
                "seed {seed}: {id} {events:?}"
            );
        }
    }
}
