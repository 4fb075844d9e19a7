//! The registry and its faults, tested with a plain HTTP client.

use std::time::Duration;

use pulltrace_testkit::clock;
use pulltrace_testkit::image::{Image, Layer, digest, media_type, mib};
use pulltrace_testkit::registry::{Refusal, Registry, RequestKind, ResponseEnd, Times};

use crate::http::{get, send};

const SOON: Duration = Duration::from_secs(5);

struct Fixture {
    registry: Registry,
    image: Image,
    layer: Layer,
    blob: String,
    content: Vec<u8>,
}

fn fixture(size: u64) -> Fixture {
    let registry = Registry::start().unwrap();
    let layer = Layer::random("layer", size);
    let image = Image::builder().layer(&layer).build();
    assert_eq!(registry.push("team/app:1", &image), format!("{}/team/app:1", registry.address()));
    Fixture {
        blob: format!("/v2/team/app/blobs/{}", layer.digest()),
        content: layer.blob().read(0, usize::MAX).to_vec(),
        registry,
        image,
        layer,
    }
}

#[tokio::test]
async fn manifests_are_served_by_tag_and_digest() {
    let f = fixture(10_000);
    let address = f.registry.address();
    for reference in ["1", &f.image.root.digest] {
        let path = format!("/v2/team/app/manifests/{reference}");
        let answer = get(address, &path).await;
        assert_eq!(answer.status, 200);
        assert_eq!(digest(&answer.body), f.image.root.digest);
        assert_eq!(answer.header("content-type"), media_type::MANIFEST);
        assert_eq!(answer.header("docker-content-digest"), f.image.root.digest);
        let head = send("HEAD", address, &path, None).await;
        assert_eq!(head.status, 200);
        assert_eq!(head.header("content-length"), f.image.root.size.to_string());
        assert!(head.body.is_empty());
    }
    assert_eq!(get(address, "/v2/").await.status, 200);
    for path in [
        "/v2/team/app/manifests/2",
        "/v2/team/other/manifests/1",
        "/v2/team/app/blobs/sha256:00",
        "/v1/",
    ] {
        assert_eq!(get(address, path).await.status, 404, "{path}");
    }
    let log = f.registry.manifest("1").in_repository("team/app").requests();
    let methods: Vec<_> = log.iter().map(|request| request.method.as_str()).collect();
    assert_eq!(methods, ["GET", "HEAD"]);
    assert_eq!(f.registry.manifest(&f.image.root.digest).requests().len(), 4);
    assert!(log.iter().all(|request| {
        request.kind == RequestKind::Manifest
            && request.status == Some(200)
            && request.end == Some(ResponseEnd::Complete)
    }));
    assert_eq!(log[0].sent, f.image.root.size);
}

#[tokio::test]
async fn blobs_are_served_whole_and_in_ranges() {
    let f = fixture(100_000);
    let address = f.registry.address();
    let whole = get(address, &f.blob).await;
    assert_eq!((whole.status, whole.complete), (200, true));
    assert_eq!(whole.header("content-length"), "100000");
    assert_eq!(whole.body, f.content);
    let head = send("HEAD", address, &f.blob, None).await;
    assert_eq!(head.header("content-length"), "100000");

    for (range, start, end) in [
        ("bytes=0-0", 0, 1),
        ("bytes=70000-", 70_000, 100_000),
        ("bytes=99999-200000", 99_999, 100_000),
        ("bytes=-5", 99_995, 100_000),
    ] {
        let part = send("GET", address, &f.blob, Some(range)).await;
        assert_eq!(part.status, 206, "{range}");
        assert_eq!(part.body, f.content[start..end], "{range}");
        assert_eq!(part.header("content-length"), (end - start).to_string());
        assert_eq!(part.header("content-range"), format!("bytes {start}-{}/100000", end - 1));
    }
    let outside = send("GET", address, &f.blob, Some("bytes=100000-")).await;
    assert_eq!(outside.status, 416);
    assert_eq!(outside.header("content-range"), "bytes */100000");
    let nonsense = send("GET", address, &f.blob, Some("lines=1-2")).await;
    assert_eq!((nonsense.status, nonsense.body.len()), (200, 100_000));
}

#[tokio::test]
async fn held_transfer_stops_at_exact_byte() {
    let f = fixture(200_000);
    let target = f.registry.blob(f.layer.digest());
    let gate = target.hold(123_457);
    let (address, path) = (f.registry.address(), f.blob.clone());
    let transfer = tokio::spawn(async move { get(address, &path).await });
    gate.await_reached(SOON).await.unwrap();
    assert_eq!(target.bytes_sent(), 123_457);
    assert_eq!(target.requests()[0].end, None);
    assert!(!transfer.is_finished());

    // Another range of the same blob, entirely before the gate, is not held.
    let before = send("GET", f.registry.address(), &f.blob, Some("bytes=0-9")).await;
    assert_eq!(before.body, f.content[..10]);

    gate.release();
    let answer = transfer.await.unwrap();
    assert_eq!(answer.body, f.content);
    assert_eq!(gate.reached(), 1);
}

#[tokio::test]
async fn dropped_gate_releases_transfer() {
    let f = fixture(20_000);
    let gate = f.registry.blobs().hold(0);
    let (address, path) = (f.registry.address(), f.blob.clone());
    let transfer = tokio::spawn(async move { get(address, &path).await });
    gate.await_reached(SOON).await.unwrap();
    drop(gate);
    assert_eq!(transfer.await.unwrap().body, f.content);
}

#[tokio::test]
async fn cut_transfer_delivers_exactly_the_bytes_before() {
    let f = fixture(mib(8));
    let target = f.registry.blob(f.layer.digest());
    target.cut(5_000_001, Times::Times(2));
    for _ in 0..2 {
        let answer = get(f.registry.address(), &f.blob).await;
        assert_eq!((answer.status, answer.complete), (200, false));
        assert_eq!(answer.body.len(), 5_000_001);
        assert_eq!(answer.body, f.content[..5_000_001]);
    }
    let resumed = send("GET", f.registry.address(), &f.blob, Some("bytes=5000001-")).await;
    assert_eq!((resumed.status, resumed.complete), (206, true));
    assert_eq!(resumed.body, f.content[5_000_001..]);
    let log = target.requests();
    let ends: Vec<_> = log.iter().map(|request| request.end).collect();
    assert_eq!(ends, [Some(ResponseEnd::Cut), Some(ResponseEnd::Cut), Some(ResponseEnd::Complete)]);
    assert_eq!(log[2].range_start, Some(5_000_001));
}

#[tokio::test]
async fn corrupt_flips_one_byte_in_every_transfer() {
    let f = fixture(200_000);
    f.registry.blob(f.layer.digest()).corrupt(150_000);
    let mut expected = f.content.clone();
    expected[150_000] = !expected[150_000];
    assert!(get(f.registry.address(), &f.blob).await.body == expected);
    let part = send("GET", f.registry.address(), &f.blob, Some("bytes=149999-")).await;
    assert!(part.body == expected[149_999..]);
    f.registry.clear_faults();
    assert!(get(f.registry.address(), &f.blob).await.body == f.content);
}

#[tokio::test]
async fn refusal_sends_status_and_headers_n_times() {
    let f = fixture(20_000);
    let target = f.registry.manifest("1").in_repository("team/app");
    target.refuse(Refusal::status(429).header("Retry-After", "1").times(Times::Times(2)));
    f.registry.manifest("1").in_repository("other").refuse(Refusal::status(500));
    let path = "/v2/team/app/manifests/1";
    for _ in 0..2 {
        let answer = get(f.registry.address(), path).await;
        assert_eq!(answer.status, 429);
        assert_eq!(answer.header("retry-after"), "1");
    }
    assert_eq!(get(f.registry.address(), path).await.status, 200);
    let seen: Vec<_> = target.requests().iter().map(|r| r.status).collect();
    assert_eq!(seen, [Some(429), Some(429), Some(200)]);
}

#[tokio::test]
async fn silent_registry_answers_after_release() {
    let f = fixture(20_000);
    let target = f.registry.manifests();
    let gate = target.silent();
    let address = f.registry.address();
    let request = tokio::spawn(async move { get(address, "/v2/team/app/manifests/1").await });
    target.await_requests(1, SOON).await.unwrap();
    gate.await_reached(SOON).await.unwrap();
    assert_eq!(target.requests()[0].status, None);
    assert_eq!(get(f.registry.address(), &f.blob).await.status, 200);
    gate.release();
    assert_eq!(request.await.unwrap().status, 200);
}

/// Throttling guarantees only a minimum time; the maximum depends on the machine.
#[tokio::test]
async fn throttle_is_shared_between_transfers() {
    let f = fixture(200_000);
    f.registry.blobs().throttle(Some(1_000_000));
    let start = clock::now();
    let (a, b) =
        tokio::join!(get(f.registry.address(), &f.blob), get(f.registry.address(), &f.blob));
    assert!(a.complete && b.complete);
    let took = start.elapsed();
    assert!(took >= Duration::from_millis(400), "took {took:?}");
}

#[tokio::test]
async fn throttle_applies_to_running_transfer() {
    let f = fixture(mib(1));
    let target = f.registry.blob(f.layer.digest());
    target.throttle(Some(0));
    let (address, path) = (f.registry.address(), f.blob.clone());
    let transfer = tokio::spawn(async move { get(address, &path).await });
    target.await_requests(1, SOON).await.unwrap();
    assert_eq!(target.bytes_sent(), 0);
    target.throttle(Some(10_000_000));
    target.await_bytes(1, SOON).await.unwrap();
    target.throttle(None);
    assert!(transfer.await.unwrap().body == f.content);
}

#[tokio::test]
async fn abandoned_transfer_is_recorded() {
    let f = fixture(mib(1));
    let target = f.registry.blob(f.layer.digest());
    let gate = target.hold(100);
    let (address, path) = (f.registry.address(), f.blob.clone());
    let transfer = tokio::spawn(async move { get(address, &path).await });
    gate.await_reached(SOON).await.unwrap();
    transfer.abort();
    pulltrace_testkit::wait::until("the transfer is abandoned", SOON, async || {
        (target.requests()[0].end == Some(ResponseEnd::Abandoned)).then_some(())
    })
    .await
    .unwrap();
}

#[tokio::test]
async fn serves_sizes_over_4_gib() {
    let registry = Registry::start().unwrap();
    let size = 6 * 1024 * mib(1);
    let layer = Layer::with_wrong_digest("huge", size);
    registry.push("huge:1", &Image::builder().layer(&layer).build());
    let path = format!("/v2/huge/blobs/{}", layer.digest());
    let head = send("HEAD", registry.address(), &path, None).await;
    assert_eq!(head.header("content-length"), size.to_string());
    let range = format!("bytes={}-", size - 100);
    let tail = send("GET", registry.address(), &path, Some(&range)).await;
    assert_eq!(tail.body, layer.blob().read(size - 100, 100));
}

#[tokio::test]
async fn dropped_registry_closes_connections() {
    let f = fixture(20_000);
    let address = f.registry.address();
    let gate = f.registry.blobs().hold(0);
    let path = f.blob.clone();
    let transfer = tokio::spawn(async move { get(address, &path).await });
    gate.await_reached(SOON).await.unwrap();
    drop(f);
    assert!(!transfer.await.unwrap().complete);
    assert!(tokio::net::TcpStream::connect(address).await.is_err());
}
