//! The stream of what happens, to the letter.

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

use crate::world::{
    Reader, World, completed, downloading, failed, full, open, resolving, some, within,
};

fn told(events: &[crate::world::Event]) -> Vec<(&str, &str)> {
    events.iter().map(crate::world::Event::told).collect()
}

#[tokio::test]
async fn a_reader_is_told_what_lives_and_then_what_changes() {
    let world = World::start().await;
    let pulls = [
        failed("w1", "0-z"),
        resolving("w1", "1-a"),
        downloading("w1", "2-b", 0),
    ];
    world.tell(&full("w1", 1, &pulls)).await;
    let mut reader = Reader::open(&world, "").await;
    assert_eq!(reader.headers["content-type"], "text/event-stream");
    assert_eq!(reader.headers["cache-control"], "no-store");
    assert_eq!(reader.headers["x-accel-buffering"], "no");
    let snapshot = reader.until("snapshot-end").await;
    assert_eq!(
        told(&snapshot),
        [
            ("pull.started", "1-a"),
            ("pull.started", "2-b"),
            ("snapshot-end", "")
        ]
    );
    let started = &snapshot[1];
    assert_eq!(started.name, "", "a default event");
    assert_eq!(started.data["schemaVersion"], "v1");
    assert_eq!(started.data["nodeName"], "w1");
    assert_eq!(started.data["pull"]["layers"].as_array().unwrap().len(), 2);

    world
        .tell(&some("w1", 2, &[downloading("w1", "2-b", 100)]))
        .await;
    let progress = reader.next().await.unwrap();
    assert_eq!(progress.told(), ("pull.progress", "2-b"));
    assert_eq!(progress.data["pull"]["downloadedBytes"], 1100);

    let ends = [completed("w1", "2-b"), failed("w1", "1-a")];
    world.tell(&some("w1", 3, &ends)).await;
    let ends = [reader.next().await.unwrap(), reader.next().await.unwrap()];
    let ends: BTreeSet<_> = ends.iter().map(crate::world::Event::told).collect();
    assert_eq!(
        ends,
        [("pull.completed", "2-b"), ("pull.failed", "1-a")].into()
    );

    // One that came and went in between.
    world.tell(&some("w1", 4, &[failed("w1", "3-c")])).await;
    assert_eq!(reader.next().await.unwrap().told(), ("pull.started", "3-c"));
    let end = reader.next().await.unwrap();
    assert_eq!(end.told(), ("pull.failed", "3-c"));
    assert_eq!(end.data["pull"]["outcome"], "failed");
    let epoch = world.table.read(|table| table.epoch().to_owned());
    let (of, seq) = end.id.as_deref().unwrap().rsplit_once('-').unwrap();
    assert_eq!(of, epoch);
    assert!(seq.parse::<u64>().unwrap() <= world.table.read(Table::seq));
}

#[tokio::test]
async fn a_reader_that_comes_back_goes_on_without_a_gap() {
    let world = World::start().await;
    world.tell(&full("w1", 1, &[resolving("w1", "1-a")])).await;
    let mut reader = Reader::open(&world, "").await;
    let snapshot = reader.until("snapshot-end").await;
    let last = snapshot.last().unwrap().id.clone().unwrap();
    drop(reader);
    world.tell(&some("w1", 2, &[failed("w1", "1-a")])).await;
    world
        .tell(&some("w1", 3, &[downloading("w1", "2-b", 1)]))
        .await;
    let expected = [("pull.failed", "1-a"), ("pull.started", "2-b")];
    for (query, header) in [
        (String::new(), Some(last.as_str())),
        (format!("?since={last}"), None),
        // What the browser has seen is newer than the address that it was given.
        ("?since=older-0".to_owned(), Some(last.as_str())),
    ] {
        let mut reader = Reader::resume(&world, &query, header).await;
        let events = [reader.next().await.unwrap(), reader.next().await.unwrap()];
        assert_eq!(told(&events), expected, "{query}");
    }
}

#[tokio::test]
async fn a_reader_that_cannot_go_on_is_told_why_and_begins_anew() {
    let world = World::with(|server| {
        let mut limits = Limits::default();
        limits.tombstones = 1;
        limits.ended_per_node = 1;
        server.limits(limits)
    })
    .await;
    world.tell(&full("w1", 1, &[resolving("w1", "1-a")])).await;
    // Each end pushes another one out.
    for sequence in 2..6 {
        let name = format!("{sequence}-b");
        world
            .tell(&some("w1", sequence, &[failed("w1", &name)]))
            .await;
    }
    let epoch = world.table.read(|table| table.epoch().to_owned());
    for (since, reason) in [
        (format!("{epoch}-0"), "too_old"),
        (format!("{epoch}-999999"), "ahead"),
        ("another-1".to_owned(), "other_epoch"),
        ("nonsense".to_owned(), "other_epoch"),
    ] {
        let mut reader = Reader::resume(&world, "", Some(&since)).await;
        let events = reader.until("snapshot-end").await;
        assert_eq!(
            told(&events),
            [("reset", ""), ("pull.started", "1-a"), ("snapshot-end", "")],
            "{since}"
        );
        assert_eq!(events[0].data["reason"], reason, "{since}");
        assert_eq!(events[0].id, None);
    }
}

#[tokio::test]
async fn readers_see_what_they_asked_for_and_every_end_of_it() {
    let world = World::start().await;
    world
        .tell(&full("w1", 1, &[downloading("w1", "1-a", 0)]))
        .await;
    world.tell(&full("w2", 1, &[resolving("w2", "2-b")])).await;
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
        let snapshot = reader.until("snapshot-end").await;
        let pulls: Vec<_> = snapshot.iter().map(|event| event.pull()).collect();
        assert_eq!(pulls[..pulls.len() - 1], *seen);
    }
    world.tell(&some("w1", 2, &[completed("w1", "1-a")])).await;
    world.tell(&some("w2", 2, &[failed("w2", "2-b")])).await;
    assert_eq!(node.next().await.unwrap().told(), ("pull.failed", "2-b"));
    assert_eq!(
        image.next().await.unwrap().told(),
        ("pull.completed", "1-a")
    );
    assert_eq!(
        phase.next().await.unwrap().told(),
        ("pull.completed", "1-a")
    );
    assert_eq!(ends.next().await.unwrap().told(), ("pull.failed", "2-b"));
}

#[tokio::test]
async fn layers_come_inside_their_pull_or_not_at_all_or_as_events() {
    let world = World::start().await;
    world.tell(&full("w1", 1, &[resolving("w1", "1-a")])).await;
    let mut none = Reader::open(&world, "?layers=none").await;
    let mut events = Reader::open(&world, "?layers=events").await;
    none.until("snapshot-end").await;
    events.until("snapshot-end").await;
    world
        .tell(&some("w1", 2, &[downloading("w1", "1-a", 0)]))
        .await;
    let event = none.next().await.unwrap();
    assert_eq!(event.data["pull"]["layerCount"], 2);
    assert!(event.data["pull"].get("layers").is_none());

    let first = [(); 3];
    let mut seen = Vec::new();
    for () in first {
        seen.push(events.next().await.unwrap());
    }
    assert_eq!(
        told(&seen),
        [
            ("pull.progress", "1-a"),
            ("layer.started", "1-a"),
            ("layer.started", "1-a")
        ]
    );
    assert!(
        seen.iter()
            .all(|event| event.data["pull"].get("layers").is_none())
    );
    assert_eq!(seen[2].data["layer"]["totalBytes"], 3000);
    world.tell(&some("w1", 3, &[completed("w1", "1-a")])).await;
    let seen = [
        events.next().await.unwrap(),
        events.next().await.unwrap(),
        events.next().await.unwrap(),
    ];
    let kinds: BTreeSet<_> = seen.iter().map(crate::world::Event::kind).collect();
    assert_eq!(kinds, ["pull.completed", "layer.completed"].into());
    assert!(
        world
            .get("/api/v1/events?layers=events&format=frame")
            .await
            .status
            == 400
    );
}

#[tokio::test]
async fn frames_have_all_rows_first_and_then_only_what_changed() {
    let world = World::start().await;
    let pulls = [downloading("w1", "1-a", 0), failed("w1", "2-b")];
    world.tell(&full("w1", 1, &pulls)).await;
    let mut reader = Reader::open(&world, "?format=frame").await;
    let snapshot = reader.until("snapshot-end").await;
    assert!(
        snapshot
            .iter()
            .all(|event| matches!(event.kind(), "frame" | "snapshot-end"))
    );
    let of = |name: &str| -> Vec<Value> {
        let lists = snapshot
            .iter()
            .filter_map(|event| event.data[name].as_array());
        lists.flatten().cloned().collect()
    };
    assert_eq!(of("rows").len(), 2, "ended ones, too");
    assert_eq!(of("nodes").len(), 1);
    assert_eq!(of("rows")[0]["layers"].as_array().unwrap().len(), 2);

    world
        .tell(&some("w1", 2, &[downloading("w1", "1-a", 70)]))
        .await;
    let moved = reader.until("frame").await.pop().unwrap();
    let motion = &moved.data["up"][0];
    assert_eq!(motion[0], of("rows")[0]["row"]);
    assert_eq!(motion[2], 1070);
    assert_eq!(motion[9][0][1], 70);
    assert!(moved.data.get("rows").is_none());
    let id = moved.id.clone().unwrap();
    assert!(id.ends_with(&format!("-{}", moved.data["seq"])));

    world.tell(&some("w1", 3, &[completed("w1", "1-a")])).await;
    let ended = reader.until("frame").await.pop().unwrap();
    assert_eq!(ended.data["rows"][0]["phase"], "completed");
}

#[tokio::test]
async fn two_hundred_readers_are_all_told_every_end() {
    let world = World::start().await;
    let pulls: Vec<_> = (0..20)
        .map(|n| downloading("w1", &format!("{n}-a"), 0))
        .collect();
    world.tell(&full("w1", 1, &pulls)).await;
    let mut readers = Vec::new();
    for _ in 0..200 {
        let mut reader = Reader::open(&world, "?layers=none").await;
        reader.until("snapshot-end").await;
        readers.push(reader);
    }
    assert_eq!(world.metric("pulltrace_sse_clients").await, Some(200.0));
    let reading = readers.into_iter().map(|mut reader| {
        tokio::spawn(async move {
            let mut ends = Vec::new();
            while ends.len() < 20 {
                let event = reader.next().await.unwrap();
                if matches!(event.kind(), "pull.completed" | "pull.failed") {
                    ends.push(event.told().1.to_owned());
                }
            }
            ends
        })
    });
    let reading: Vec<_> = reading.collect();
    for n in 0..20_u64 {
        let name = format!("{n}-a");
        let end = if n % 2 == 0 {
            completed("w1", &name)
        } else {
            failed("w1", &name)
        };
        world.tell(&some("w1", n + 2, &[end])).await;
    }
    for reader in reading {
        let ends = within("every end", reader).await.unwrap();
        let each: BTreeSet<_> = ends.iter().collect();
        assert_eq!((ends.len(), each.len()), (20, 20));
    }
    world.until_metric("pulltrace_sse_clients", 0.0).await;
}

#[tokio::test]
async fn one_reader_too_many_is_refused_and_the_others_stay() {
    let world = World::with(|server| {
        let mut limits = HttpLimits::default();
        limits.readers = 1;
        server.http_limits(limits)
    })
    .await;
    let mut first = Reader::open(&world, "").await;
    first.until("snapshot-end").await;
    let second = world
        .send(Request::get("/api/v1/events"), Bytes::new())
        .await;
    second.is_problem(503, "readers");
    assert_eq!(second.headers["retry-after"], "5");
    assert_eq!(
        world.metric("pulltrace_sse_readers_refused_total").await,
        Some(1.0)
    );
    world.tell(&full("w1", 1, &[resolving("w1", "1-a")])).await;
    assert_eq!(first.next().await.unwrap().told(), ("pull.started", "1-a"));
    drop(first);
    world.until_metric("pulltrace_sse_clients", 0.0).await;
    Reader::open(&world, "").await.until("snapshot-end").await;
}

/// What a packed stream says, as it comes.
struct Packed {
    body: Incoming,
    text: GzDecoder<Vec<u8>>,
}

impl Packed {
    /// Reads until it has said this, or to its end.
    async fn until(&mut self, word: &str) -> bool {
        within(word, async {
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

/// A reader who takes gzip.
async fn packed(world: &World) -> Response<Incoming> {
    let request = Request::get("/api/v1/events").header(HOST, world.address.to_string());
    let request = request.header(ACCEPT_ENCODING, "gzip, br");
    open(world.address, request.body(Full::default()).unwrap()).await
}

#[tokio::test]
async fn a_stream_is_packed_and_each_event_can_be_read_when_it_comes() {
    let world = World::with(|server| {
        let mut limits = HttpLimits::default();
        limits.packed_readers = 1;
        server.http_limits(limits)
    })
    .await;
    world
        .tell(&full("w1", 1, &[downloading("w1", "1-a", 0)]))
        .await;
    let answer = packed(&world).await;
    assert_eq!(answer.headers()[CONTENT_ENCODING], "gzip");
    assert_eq!(answer.headers()[VARY], "accept-encoding");
    let mut reader = Packed {
        body: answer.into_body(),
        text: GzDecoder::new(Vec::new()),
    };
    assert!(reader.until("event: snapshot-end").await);
    // There is room for one: the next is told the same as it is.
    let plain = packed(&world).await;
    assert!(!plain.headers().contains_key(CONTENT_ENCODING));
    let counted = world.metric("pulltrace_sse_readers_unpacked_total");
    assert_eq!(counted.await, Some(1.0));
    drop(plain);
    world
        .tell(&some("w1", 2, &[downloading("w1", "1-a", 100)]))
        .await;
    assert!(reader.until("\"downloadedBytes\":1100").await);
    world.stop().await;
    assert!(!reader.until("what nobody says").await);
    // It is whole to its last byte.
    reader.text.finish().unwrap();
}
