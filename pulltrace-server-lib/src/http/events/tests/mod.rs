//! Pacing of the event stream, tested with paused time.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::task::{Context, Wake, Waker};
use std::time::Duration;

use pulltrace_core::Mono;
use serde_json::Value;
use tokio::sync::{Semaphore, watch};

use super::options::{CHUNK_TARGET, Cursor, LayerMode, PARAMS, StreamFormat, StreamOptions};
use super::reader::Reader;
use crate::access::Access;
use crate::clock::Clock;
use crate::fixture::{ReportBuilder, time};
use crate::http::query::{Filter, QueryParams};
use crate::http::{ApiState, HttpLimits, ServerInfo};
use crate::limits::Limits;
use crate::metrics::HttpCounters;
use crate::ready::Readiness;
use crate::table::Table;
use crate::throughput::ThroughputHistory;
use crate::writer::Writer;

mod mirror;

struct StreamFixture {
    api: ApiState,
    sequence: u64,
    stop: watch::Sender<bool>,
}

/// The events of one chunk: name, id and data.
type Events = Vec<(String, Option<String>, Value)>;

impl StreamFixture {
    fn new(limits: Limits) -> Self {
        let clock = Clock::anchored(time(100));
        let builder = Writer::builder().clock(clock).limits(limits).epoch("life");
        let (writer, intake, shared) = builder.start();
        tokio::spawn(writer.run(std::future::pending()));
        let (stop, stopping) = watch::channel(false);
        let about = ServerInfo {
            version: String::new(),
            cluster_name: None,
            started_at: clock.now().at,
            history_ttl: limits.history_ttl,
        };
        let limits = HttpLimits::default();
        let api = ApiState {
            info: about,
            throughput: ThroughputHistory::default(),
            shared,
            intake,
            access: Access::new(),
            readiness: Readiness::default(),
            cluster: crate::sources::ConfiguredSources::default(),
            counters: Arc::new(HttpCounters::default()),
            clock,
            limits,
            reader_slots: Arc::new(Semaphore::new(limits.max_readers)),
            encoder_slots: Arc::new(Semaphore::new(limits.max_compressed_readers)),
            stopping,
            #[cfg(feature = "ui")]
            page: crate::ui::Page::embedded(),
        };
        Self { api, sequence: 0, stop }
    }

    async fn report(&mut self, fill: impl FnOnce(ReportBuilder) -> ReportBuilder) {
        self.report_from("w1", fill).await;
    }

    async fn report_from(&mut self, node: &str, fill: impl FnOnce(ReportBuilder) -> ReportBuilder) {
        self.sequence += 1;
        let report = fill(ReportBuilder::new(node, self.sequence, 0).partial().image(1, &[1, 2]));
        self.api.intake.report(report.build().0).await.unwrap();
    }

    fn now(&self) -> Mono {
        self.api.clock.now().mono
    }

    fn seq(&self) -> u64 {
        self.api.shared.read(Table::seq)
    }

    fn reader(&self, query: &str, format: StreamFormat) -> Reader {
        Reader::new(&self.api, options(query, format, LayerMode::Embed), None)
    }

    fn resumed(&self, options: StreamOptions, id: &str) -> Reader {
        Reader::new(&self.api, options, Some(Cursor::parse(id)))
    }
}

fn options(query: &str, format: StreamFormat, layers: LayerMode) -> StreamOptions {
    StreamOptions {
        filter: Filter::from_query(&QueryParams::parse(Some(query), &PARAMS).unwrap(), true)
            .unwrap(),
        layers,
        format,
    }
}

async fn next_events(reader: &mut Reader) -> Events {
    let text = reader.next_chunk().await.unwrap();
    assert!(text.len() < 3 * CHUNK_TARGET, "{} bytes", text.len());
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

async fn read_until(reader: &mut Reader, name: &str) -> Events {
    let mut all = Events::new();
    while all.last().is_none_or(|(last, ..)| last != name) {
        let events = next_events(reader).await;
        // Pings are only sent when no other events are pending.
        let idle = events.iter().any(|(name, ..)| name == "ping");
        assert!(!idle || name == "ping", "no {name}: {all:?}");
        all.extend(events);
    }
    all
}

#[tokio::test(start_paused = true)]
async fn progress_is_throttled_but_starts_and_ends_are_immediate() {
    let mut world = StreamFixture::new(Limits::default());
    world.report(|report| report.downloading(1, 1, &[1, 0])).await;
    let mut reader = world.reader("", StreamFormat::Event);
    read_until(&mut reader, "snapshot-end").await;
    let clock = world.api.clock;
    let reading = tokio::spawn(async move {
        let mut seen = Vec::new();
        loop {
            let events = next_events(&mut reader).await;
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
            world.report(|report| report.resolving(2)).await;
            let at = world.now();
            tokio::time::sleep(Duration::from_millis(30)).await;
            world
                .report(|report| report.downloading(1, 1, &[bytes, 0]).ended(2, "failed", 1))
                .await;
            // Both are sent well within the 250 ms interval.
            tokio::time::sleep(Duration::from_millis(30)).await;
            assert_eq!(world.now().since(at), Duration::from_millis(60));
            continue;
        }
        world.report(|report| report.downloading(1, 1, &[bytes, 0])).await;
        tokio::time::sleep(Duration::from_millis(30)).await;
    }
    let ended_at = world.now();
    world.report(|report| report.completed(1, 1, 5)).await;
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
struct WakeCounter(AtomicUsize);

impl Wake for WakeCounter {
    fn wake(self: Arc<Self>) {
        self.0.fetch_add(1, Ordering::Relaxed);
    }
}

#[tokio::test(start_paused = true)]
async fn progress_does_not_wake_throttled_reader() {
    for format in [StreamFormat::Event, StreamFormat::Frame] {
        let mut world = StreamFixture::new(Limits::default());
        world.report(|report| report.downloading(1, 1, &[1, 0])).await;
        let mut reader = world.reader("", format);
        read_until(&mut reader, "snapshot-end").await;
        world.report(|report| report.downloading(1, 1, &[2, 0])).await;
        next_events(&mut reader).await;
        let wakes = Arc::new(WakeCounter::default());
        let waker = Waker::from(Arc::clone(&wakes));
        let mut waits = Box::pin(reader.next_chunk());
        assert!(waits.as_mut().poll(&mut Context::from_waker(&waker)).is_pending());
        for bytes in 3..10 {
            world.report(|report| report.downloading(1, 1, &[bytes, 0])).await;
            tokio::time::sleep(Duration::from_millis(25)).await;
        }
        assert_eq!(wakes.0.load(Ordering::Relaxed), 0);
        world.report(|report| report.resolving(2)).await;
        tokio::time::sleep(Duration::from_millis(25)).await;
        let urgent = usize::from(format == StreamFormat::Event);
        assert_eq!(wakes.0.load(Ordering::Relaxed), urgent);
    }
}

#[tokio::test(start_paused = true)]
async fn filtered_reader_gets_cursor_by_ping_every_5_s() {
    let mut world = StreamFixture::new(Limits::default());
    let mut reader = world.reader("node=w9", StreamFormat::Event);
    read_until(&mut reader, "snapshot-end").await;
    let start = world.now();
    world.report(|report| report.resolving(1)).await;
    let ping = next_events(&mut reader).await;
    assert_eq!(world.now().since(start), Duration::from_secs(5));
    let id = format!("life-{}", world.seq());
    assert_eq!(ping[0].0, "ping");
    assert_eq!(ping[0].1.as_deref(), Some(&*id));
    let again = next_events(&mut reader).await;
    assert_eq!(again[0].0, "ping");
    assert_eq!(again[0].2["now"], world.api.clock.now().at.to_string());
    assert_eq!(world.now().since(start), Duration::from_secs(10));
}

#[tokio::test(start_paused = true)]
async fn resume_after_urgent_event_keeps_earlier_progress() {
    let mut world = StreamFixture::new(Limits::default());
    world.report(|report| report.downloading(1, 1, &[1, 0])).await;
    let mut reader = world.reader("", StreamFormat::Event);
    read_until(&mut reader, "snapshot-end").await;
    world.report(|report| report.downloading(1, 1, &[2, 0])).await;
    assert_eq!(next_events(&mut reader).await[0].0, "pull.progress");
    // Within the following 250 ms:
    world.report(|report| report.downloading(1, 1, &[3, 0]).resolving(2)).await;
    let ahead = next_events(&mut reader).await;
    assert_eq!(ahead.len(), 1);
    assert_eq!(ahead[0].0, "pull.started");
    // A reader that reconnects here misses no event,
    let mut resumed = world.resumed(StreamOptions::default(), ahead[0].1.as_deref().unwrap());
    let events = read_until(&mut resumed, "pull.started").await;
    assert_eq!(events[0].0, "pull.progress");
    assert_eq!(events[0].2["pull"]["downloadedBytes"], 3);
    // and one that stays connected gets no event twice.
    let rest = next_events(&mut reader).await;
    assert_eq!(rest.len(), 1, "{rest:?}");
    assert_eq!(rest[0].2["pull"]["downloadedBytes"], 3);
    assert_eq!(rest[0].1, Some(format!("life-{}", world.seq())));
}

#[tokio::test(start_paused = true)]
async fn slow_reader_is_reset_after_tombstones_are_evicted() {
    let limits = Limits { tombstones: 2, ended_per_node: 1, ..Limits::default() };
    let mut world = StreamFixture::new(limits);
    world.report(|report| report.resolving(1)).await;
    let mut reader = world.reader("", StreamFormat::Event);
    read_until(&mut reader, "snapshot-end").await;
    // Each end evicts the previous one.
    for lease in 2..9_u32 {
        tokio::time::sleep(Duration::from_secs(1)).await;
        let second = i64::from(lease) - 1;
        world.report(|report| report.ended(lease, "failed", second)).await;
    }
    tokio::time::sleep(Duration::from_secs(1)).await;
    let events = read_until(&mut reader, "snapshot-end").await;
    let names: Vec<_> = events.iter().map(|(name, ..)| name.as_str()).collect();
    assert_eq!(names, ["reset", "pull.started", "snapshot-end"]);
    assert_eq!(events[0].2["reason"], "too_old");
}

#[tokio::test(start_paused = true)]
async fn large_change_is_split_into_complete_chunks() {
    let mut world = StreamFixture::new(Limits::default());
    let mut reader = world.reader("", StreamFormat::Frame);
    read_until(&mut reader, "snapshot-end").await;
    let fill = |bytes| {
        move |report: ReportBuilder| {
            (0..800).fold(report, |told, lease| told.downloading(lease, 1, &[bytes, 0]))
        }
    };
    let mut known: BTreeMap<u64, Value> = BTreeMap::new();
    for bytes in [1, 2] {
        world.report(fill(bytes)).await;
        let mut pieces = 0;
        let place = |seq: &Value| seq.as_u64().unwrap();
        let mut last_seq = 0;
        while last_seq < world.seq() {
            pieces += 1;
            for (_, id, data) in next_events(&mut reader).await {
                assert!(place(&data["seq"]) >= last_seq);
                last_seq = place(&data["seq"]);
                assert_eq!(id, Some(format!("life-{last_seq}")));
                for row in data["rows"].as_array().into_iter().flatten() {
                    known.insert(place(&row["row"]), row["downloadedBytes"].clone());
                }
                for motion in data["up"].as_array().into_iter().flatten() {
                    known.insert(place(&motion[0]), motion[2].clone());
                }
            }
        }
        // Progress updates are short enough for one chunk.
        assert!(pieces > 1 || bytes > 1);
        assert_eq!(known.len(), 800);
        assert!(known.values().all(|downloaded| *downloaded == bytes));
    }
}

#[tokio::test(start_paused = true)]
async fn stopping_server_sends_retry_and_closes_stream() {
    let mut world = StreamFixture::new(Limits::default());
    world.report(|report| report.resolving(1)).await;
    let mut reader = world.reader("", StreamFormat::Event);
    read_until(&mut reader, "snapshot-end").await;
    world.stop.send_replace(true);
    let bye = reader.next_chunk().await.unwrap();
    assert!(bye.contains("retry: 1000"), "{bye}");
    assert_eq!(reader.next_chunk().await, None);
}

#[tokio::test(start_paused = true)]
async fn frames_remove_unmatched_rows_but_show_ends() {
    let mut world = StreamFixture::new(Limits::default());
    world.report(|report| report.resolving(1).resolving(2)).await;
    let mut reader = world.reader("phase=resolving", StreamFormat::Frame);
    let snapshot = read_until(&mut reader, "snapshot-end").await;
    let rows = |events: &Events, list: &str| -> usize {
        let lists = events.iter().filter_map(|(_, _, data)| data[list].as_array());
        lists.map(Vec::len).sum()
    };
    assert_eq!(rows(&snapshot, "rows"), 2);
    world.report(|report| report.downloading(1, 1, &[1, 0]).ended(2, "failed", 1)).await;
    let frame = read_until(&mut reader, "frame").await;
    assert_eq!(frame[0].2["rm"][0], "lease~w1~k8s.io~1~0");
    assert_eq!(frame[0].2["rows"][0]["id"], "lease~w1~k8s.io~2~0");
    assert_eq!(frame[0].2["rows"][0]["phase"], "failed");
    // Progress of a row that does not match is not sent.
    world.report(|report| report.downloading(1, 1, &[2, 0])).await;
    let frame = next_events(&mut reader).await;
    assert_eq!((rows(&frame, "rows"), rows(&frame, "up"), rows(&frame, "rm")), (0, 0, 0));
}

/// A deterministic pseudo-random number generator.
struct Lcg(u64);

impl Lcg {
    fn next_below(&mut self, most: u64) -> u64 {
        self.0 = self.0.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1);
        (self.0 >> 33) % most
    }
}

#[tokio::test(start_paused = true)]
async fn slow_reader_gets_each_end_exactly_once() {
    for seed in 0..40 {
        let mut world = StreamFixture::new(Limits::default());
        let mut reader = world.reader("", StreamFormat::Event);
        read_until(&mut reader, "snapshot-end").await;
        let reading = tokio::spawn(async move {
            let mut draw = Lcg(seed + 1_000);
            let mut seen: BTreeMap<String, Vec<String>> = BTreeMap::new();
            let mut ends = 0;
            while ends < 20 {
                for (name, _, data) in next_events(&mut reader).await {
                    ends += u32::from(name == "pull.completed");
                    let id = data["pull"]["id"].as_str().unwrap_or_default();
                    seen.entry(id.to_owned()).or_default().push(name);
                }
                if draw.next_below(3) == 0 {
                    tokio::time::sleep(Duration::from_millis(draw.next_below(900))).await;
                }
            }
            seen
        });
        let mut draw = Lcg(seed);
        // Bytes of the first layer of each pull; 100 or more means completed.
        let mut bytes = [0_u64; 20];
        while bytes.iter().any(|bytes| *bytes < 100) {
            let moved: Vec<u32> = (0..20).filter(|_| draw.next_below(4) == 0).collect();
            for lease in &moved {
                bytes[*lease as usize] += draw.next_below(60);
            }
            let bytes = &bytes;
            world
                .report(|report| {
                    moved.iter().fold(report, |told, lease| match bytes[*lease as usize] {
                        bytes @ 0..100 => told.downloading(*lease, 1, &[bytes, 0]),
                        _ => told.completed(*lease, 1, 5),
                    })
                })
                .await;
            tokio::time::sleep(Duration::from_millis(draw.next_below(120))).await;
        }
        let mut seen = reading.await.unwrap();
        seen.remove("");
        assert_eq!(seen.len(), 20, "seed {seed}");
        for (id, events) in seen {
            assert_eq!(events[0], "pull.started", "seed {seed}: {id} {events:?}");
            let middle = &events[1..events.len() - 1];
            let moves = middle.iter().all(|name| name == "pull.progress");
            assert!(moves, "seed {seed}: {id} {events:?}");
            assert_eq!(events.last().unwrap(), "pull.completed", "seed {seed}: {id} {events:?}");
        }
    }
}
