//! The event stream in detail.

use std::collections::BTreeSet;
use std::io::Write as _;

use flate2::write::GzDecoder;
use http_body_util::{BodyExt as _, Full};
use hyper::body::{Bytes, Incoming};
use hyper::header::{ACCEPT_ENCODING, CONTENT_ENCODING, HOST, VARY};
use hyper::{Request, Response};
use pulltrace_server_lib::table::Table;
use pulltrace_server_lib::{HttpLimits, Limits};
use serde_json::Value;

use crate::test_server::{
    Reader, TestServer, completed, downloading, failed, full_report, open, partial_report,
    resolving, with_deadline,
};

fn kinds_and_pulls(events: &[crate::test_server::Event]) -> Vec<(&str, &str)> {
    events.iter().map(crate::test_server::Event::kind_and_pull).collect()
}

#[tokio::test]
async fn stream_sends_snapshot_then_changes() {
    let world = TestServer::start().await;
    let pulls = [failed("w1", "0-z"), resolving("w1", "1-a"), downloading("w1", "2-b", 0)];
    world.report(&full_report("w1", 1, &pulls)).await;
    let mut reader = Reader::open(&world, "").await;
    assert_eq!(reader.headers["content-type"], "text/event-stream");
    assert_eq!(reader.headers["cache-control"], "no-store");
    assert_eq!(reader.headers["x-accel-buffering"], "no");
    let snapshot = reader.read_until("snapshot-end").await;
    assert_eq!(
        kinds_and_pulls(&snapshot),
        [("pull.started", "1-a"), ("pull.started", "2-b"), ("snapshot-end", "")]
    );
    let started = &snapshot[1];
    assert_eq!(started.name, "", "a default event");
    assert_eq!(started.data["schemaVersion"], "v1");
    assert_eq!(started.data["nodeName"], "w1");
    assert_eq!(started.data["pull"]["layers"].as_array().unwrap().len(), 2);

    world.report(&partial_report("w1", 2, &[downloading("w1", "2-b", 100)])).await;
    let progress = reader.next().await.unwrap();
    assert_eq!(progress.kind_and_pull(), ("pull.progress", "2-b"));
    assert_eq!(progress.data["pull"]["downloadedBytes"], 1100);

    let ends = [completed("w1", "2-b"), failed("w1", "1-a")];
    world.report(&partial_report("w1", 3, &ends)).await;
    let ends = [reader.next().await.unwrap(), reader.next().await.unwrap()];
    let ends: BTreeSet<_> = ends.iter().map(crate::test_server::Event::kind_and_pull).collect();
    assert_eq!(ends, [("pull.completed", "2-b"), ("pull.failed", "1-a")].into());

    // A pull that started and ended between two updates.
    world.report(&partial_report("w1", 4, &[failed("w1", "3-c")])).await;
    assert_eq!(reader.next().await.unwrap().kind_and_pull(), ("pull.started", "3-c"));
    let end = reader.next().await.unwrap();
    assert_eq!(end.kind_and_pull(), ("pull.failed", "3-c"));
    assert_eq!(end.data["pull"]["outcome"], "failed");
    let epoch = world.table.read(|table| table.epoch().to_owned());
    let (id_epoch, seq) = end.id.as_deref().unwrap().rsplit_once('-').unwrap();
    assert_eq!(id_epoch, epoch);
    assert!(seq.parse::<u64>().unwrap() <= world.table.read(Table::seq));
}

#[tokio::test]
async fn stream_resumes_without_gap() {
    let world = TestServer::start().await;
    world.report(&full_report("w1", 1, &[resolving("w1", "1-a")])).await;
    let mut reader = Reader::open(&world, "").await;
    let snapshot = reader.read_until("snapshot-end").await;
    let last = snapshot.last().unwrap().id.clone().unwrap();
    drop(reader);
    world.report(&partial_report("w1", 2, &[failed("w1", "1-a")])).await;
    world.report(&partial_report("w1", 3, &[downloading("w1", "2-b", 1)])).await;
    let expected = [("pull.failed", "1-a"), ("pull.started", "2-b")];
    for (query, header) in [
        (String::new(), Some(last.as_str())),
        (format!("?since={last}"), None),
        // The browser's last event id is newer than the URL.
        ("?since=older-0".to_owned(), Some(last.as_str())),
    ] {
        let mut reader = Reader::resume(&world, &query, header).await;
        let events = [reader.next().await.unwrap(), reader.next().await.unwrap()];
        assert_eq!(kinds_and_pulls(&events), expected, "{query}");
    }
}

#[tokio::test]
async fn stream_resets_with_reason_when_cursor_is_unusable() {
    let world = TestServer::with_settings(|server| {
        let mut limits = Limits::default();
        limits.tombstones = 1;
        limits.ended_per_node = 1;
        server.limits(limits)
    })
    .await;
    world.report(&full_report("w1", 1, &[resolving("w1", "1-a")])).await;
    // Each end evicts another one.
    for sequence in 2..6 {
        let name = format!("{sequence}-b");
        world.report(&partial_report("w1", sequence, &[failed("w1", &name)])).await;
    }
    let epoch = world.table.read(|table| table.epoch().to_owned());
    for (since, reason) in [
        (format!("{epoch}-0"), "too_old"),
        (format!("{epoch}-999999"), "ahead"),
        ("another-1".to_owned(), "other_epoch"),
        ("nonsense".to_owned(), "other_epoch"),
    ] {
        let mut reader = Reader::resume(&world, "", Some(&since)).await;
        let events = reader.read_until("snapshot-end").await;
        assert_eq!(
            kinds_and_pulls(&events),
            [("reset", ""), ("pull.started", "1-a"), ("snapshot-end", "")],
            "{since}"
        );
        assert_eq!(events[0].data["reason"], reason, "{since}");
        assert_eq!(events[0].id, None);
    }
}

#[tokio::test]
async fn filtered_readers_see_every_matching_end() {
    let world = TestServer::start().await;
    world.report(&full_report("w1", 1, &[downloading("w1", "1-a", 0)])).await;
    world.report(&full_report("w2", 1, &[resolving("w2", "2-b")])).await;
    let mut node = Reader::open(&world, "?node=w2").await;
    let mut image = Reader::open(&world, "?image=team/app").await;
    let mut phase = Reader::open(&world, "?phase=downloading").await;
    let mut ends = Reader::open(&world, "?phase=failed").await;
    for (reader, seen) in [
        (&mut node, &["2-b"][..]),
        (&mut image, &["1-a"]),
        (&mut phase, &["1-a"]),
        (&mut ends, &[]),
    ] {
        let snapshot = reader.read_until("snapshot-end").await;
        let pulls: Vec<_> = snapshot.iter().map(|event| event.pull()).collect();
        assert_eq!(pulls[..pulls.len() - 1], *seen);
    }
    world.report(&partial_report("w1", 2, &[completed("w1", "1-a")])).await;
    world.report(&partial_report("w2", 2, &[failed("w2", "2-b")])).await;
    assert_eq!(node.next().await.unwrap().kind_and_pull(), ("pull.failed", "2-b"));
    assert_eq!(image.next().await.unwrap().kind_and_pull(), ("pull.completed", "1-a"));
    assert_eq!(phase.next().await.unwrap().kind_and_pull(), ("pull.completed", "1-a"));
    assert_eq!(ends.next().await.unwrap().kind_and_pull(), ("pull.failed", "2-b"));
}

#[tokio::test]
async fn layers_parameter_embeds_omits_or_splits_layers() {
    let world = TestServer::start().await;
    world.report(&full_report("w1", 1, &[resolving("w1", "1-a")])).await;
    let mut none = Reader::open(&world, "?layers=none").await;
    let mut events = Reader::open(&world, "?layers=events").await;
    none.read_until("snapshot-end").await;
    events.read_until("snapshot-end").await;
    world.report(&partial_report("w1", 2, &[downloading("w1", "1-a", 0)])).await;
    let event = none.next().await.unwrap();
    assert_eq!(event.data["pull"]["layerCount"], 2);
    assert!(event.data["pull"].get("layers").is_none());

    let first = [(); 3];
    let mut seen = Vec::new();
    for () in first {
        seen.push(events.next().await.unwrap());
    }
    assert_eq!(
        kinds_and_pulls(&seen),
        [("pull.progress", "1-a"), ("layer.started", "1-a"), ("layer.started", "1-a")]
    );
    assert!(seen.iter().all(|event| event.data["pull"].get("layers").is_none()));
    assert_eq!(seen[2].data["layer"]["totalBytes"], 3000);
    world.report(&partial_report("w1", 3, &[completed("w1", "1-a")])).await;
    let seen =
        [events.next().await.unwrap(), events.next().await.unwrap(), events.next().await.unwrap()];
    let kinds: BTreeSet<_> = seen.iter().map(crate::test_server::Event::kind).collect();
    assert_eq!(kinds, ["pull.completed", "layer.completed"].into());
    assert!(world.get("/api/v1/events?layers=events&format=frame").await.status == 400);
}

#[tokio::test]
async fn frames_start_full_and_continue_with_changes() {
    let world = TestServer::start().await;
    let pulls = [downloading("w1", "1-a", 0), failed("w1", "2-b")];
    world.report(&full_report("w1", 1, &pulls)).await;
    let mut reader = Reader::open(&world, "?format=frame").await;
    let snapshot = reader.read_until("snapshot-end").await;
    assert!(snapshot.iter().all(|event| matches!(event.kind(), "frame" | "snapshot-end")));
    let rows_in = |name: &str| -> Vec<Value> {
        let lists = snapshot.iter().filter_map(|event| event.data[name].as_array());
        lists.flatten().cloned().collect()
    };
    assert_eq!(rows_in("rows").len(), 2, "including ended pulls");
    assert_eq!(rows_in("nodes").len(), 1);
    assert_eq!(rows_in("rows")[0]["layers"].as_array().unwrap().len(), 2);

    world.report(&partial_report("w1", 2, &[downloading("w1", "1-a", 70)])).await;
    let moved = reader.read_until("frame").await.pop().unwrap();
    let motion = &moved.data["up"][0];
    assert_eq!(motion[0], rows_in("rows")[0]["row"]);
    assert_eq!(motion[2], 1070);
    assert_eq!(motion[9][0][1], 70);
    assert!(moved.data.get("rows").is_none());
    let id = moved.id.clone().unwrap();
    assert!(id.ends_with(&format!("-{}", moved.data["seq"])));

    world.report(&partial_report("w1", 3, &[completed("w1", "1-a")])).await;
    let ended = reader.read_until("frame").await.pop().unwrap();
    assert_eq!(ended.data["rows"][0]["phase"], "completed");
}

#[tokio::test]
async fn two_hundred_readers_each_get_every_end() {
    let world = TestServer::start().await;
    let pulls: Vec<_> = (0..20).map(|n| downloading("w1", &format!("{n}-a"), 0)).collect();
    world.report(&full_report("w1", 1, &pulls)).await;
    let mut readers = Vec::new();
    for _ in 0..200 {
        let mut reader = Reader::open(&world, "?layers=none").await;
        reader.read_until("snapshot-end").await;
        readers.push(reader);
    }
    assert_eq!(world.metric("pulltrace_sse_readers").await, Some(200.0));
    let reading = readers.into_iter().map(|mut reader| {
        tokio::spawn(async move {
            let mut ends = Vec::new();
            while ends.len() < 20 {
                let event = reader.next().await.unwrap();
                if matches!(event.kind(), "pull.completed" | "pull.failed") {
                    ends.push(event.kind_and_pull().1.to_owned());
                }
            }
            ends
        })
    });
    let reading: Vec<_> = reading.collect();
    for n in 0..20_u64 {
        let name = format!("{n}-a");
        let end = if n % 2 == 0 { completed("w1", &name) } else { failed("w1", &name) };
        world.report(&partial_report("w1", n + 2, &[end])).await;
    }
    for reader in reading {
        let ends = with_deadline("every end", reader).await.unwrap();
        let each: BTreeSet<_> = ends.iter().collect();
        assert_eq!((ends.len(), each.len()), (20, 20));
    }
    world.wait_for_metric("pulltrace_sse_readers", 0.0).await;
}

#[tokio::test]
async fn excess_reader_is_refused_and_others_stay() {
    let world = TestServer::with_settings(|server| {
        let mut limits = HttpLimits::default();
        limits.max_readers = 1;
        server.http_limits(limits)
    })
    .await;
    let mut first = Reader::open(&world, "").await;
    first.read_until("snapshot-end").await;
    let second = world.send(Request::get("/api/v1/events"), Bytes::new()).await;
    second.assert_problem(503, "readers");
    assert_eq!(second.headers["retry-after"], "5");
    assert_eq!(world.metric("pulltrace_sse_readers_rejected_total").await, Some(1.0));
    world.report(&full_report("w1", 1, &[resolving("w1", "1-a")])).await;
    assert_eq!(first.next().await.unwrap().kind_and_pull(), ("pull.started", "1-a"));
    drop(first);
    world.wait_for_metric("pulltrace_sse_readers", 0.0).await;
    Reader::open(&world, "").await.read_until("snapshot-end").await;
}

/// A decompressed stream.
struct GzipReader {
    body: Incoming,
    text: GzDecoder<Vec<u8>>,
}

impl GzipReader {
    /// Reads until the text contains `word`; returns false at the end of the stream.
    async fn read_until(&mut self, word: &str) -> bool {
        with_deadline(word, async {
            loop {
                let text = String::from_utf8_lossy(self.text.get_ref());
                if text.contains(word) {
                    return true;
                }
                let Some(frame) = self.body.frame().await else {
                    return false;
                };
                let data = frame.unwrap().into_data().unwrap();
                self.text.write_all(&data).unwrap();
                self.text.flush().unwrap();
            }
        })
        .await
    }
}

/// Opens a stream that accepts gzip.
async fn open_gzip(world: &TestServer) -> Response<Incoming> {
    let request = Request::get("/api/v1/events").header(HOST, world.address.to_string());
    let request = request.header(ACCEPT_ENCODING, "gzip, br");
    open(world.address, request.body(Full::default()).unwrap()).await
}

#[tokio::test]
async fn compressed_stream_is_flushed_per_event() {
    let world = TestServer::with_settings(|server| {
        let mut limits = HttpLimits::default();
        limits.max_compressed_readers = 1;
        server.http_limits(limits)
    })
    .await;
    world.report(&full_report("w1", 1, &[downloading("w1", "1-a", 0)])).await;
    let answer = open_gzip(&world).await;
    assert_eq!(answer.headers()[CONTENT_ENCODING], "gzip");
    assert_eq!(answer.headers()[VARY], "accept-encoding");
    let mut reader = GzipReader { body: answer.into_body(), text: GzDecoder::new(Vec::new()) };
    assert!(reader.read_until("event: snapshot-end").await);
    // Only one slot for compressed streams: the next reader gets plain text.
    let plain = open_gzip(&world).await;
    assert!(!plain.headers().contains_key(CONTENT_ENCODING));
    let counted = world.metric("pulltrace_sse_readers_uncompressed_total");
    assert_eq!(counted.await, Some(1.0));
    drop(plain);
    world.report(&partial_report("w1", 2, &[downloading("w1", "1-a", 100)])).await;
    assert!(reader.read_until("\"downloadedBytes\":1100").await);
    world.stop().await;
    assert!(!reader.read_until("never sent").await);
    // The gzip stream is complete.
    reader.text.finish().unwrap();
}
