//! Pulls from the view of a reader; only pulls fail here.

use pulltrace_core::wire::v1::{LayerState, Outcome, Phase, WaitingKind};
use pulltrace_testkit::image::{Image, Layer, mib};
use pulltrace_testkit::registry::Times;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};

use crate::kit::{Kit, Scenario, image_of, scenario, total};

pub(crate) const ALL: &[Scenario] = &[
    scenario!(five_concurrent_pulls_are_distinct),
    scenario!(failing_pull_never_reaches_100_percent),
    scenario!(shared_layer_counts_once_per_node),
    scenario!(version_0_1_agent_shows_ingests_without_completion),
];

async fn five_concurrent_pulls_are_distinct(kit: Kit) -> Kit {
    let names = ["a", "b", "c", "d", "e"];
    let images = names.map(|name| {
        let size = |i: u64| mib(1) + 100_000 * u64::from(name.as_bytes()[0] - b'a') + 1_000 * i;
        let layers = (0..4).map(|i| Layer::random(&format!("{name}{i}"), size(i)));
        Image::builder().layers(layers).build()
    });
    let gates = images.each_ref().map(|image| kit.hold(image, mib(1) / 2));
    let reference = |name| kit.registry.reference(&format!("five/{name}:1"));
    let pulls: Vec<_> = names
        .iter()
        .zip(&images)
        .map(|(name, image)| kit.pull(&format!("five/{name}:1"), image))
        .collect();
    let five = |log: &crate::reader::ReaderLog| (log.live().len() == 5).then_some(());
    kit.until("five pulls are live", five).await;
    drop(gates);
    for pull in pulls {
        pull.outcome().await.expect("pull succeeds");
    }
    for (name, image) in names.iter().zip(&images) {
        let row = kit.wait_ended(&format!("five/{name}")).await;
        assert_eq!(row.outcome, Some(Outcome::Completed), "{row:#?}");
        assert_eq!(row.image_ref, Some(reference(*name)));
        assert_eq!(row.root_digest.as_ref(), Some(&image.root.digest));
        assert_eq!((row.percent, row.layers.len()), (Some(100.0), 4));
        assert_eq!(row.downloaded_bytes, Some(total(image)));
        kit.reader.log().assert_total(&row, total(image));
    }
    assert_eq!(kit.reader.log().rows().count(), 5);
    kit
}

async fn failing_pull_never_reaches_100_percent(kit: Kit) -> Kit {
    let image = image_of(&["a", "b"], 3);
    let (pull, gate, live) = kit.pull_held("broken/app:1", &image, mib(2)).await;
    assert_eq!(live.total_bytes, Some(total(&image)));
    let first = kit.registry.blob(&image.layers()[0].descriptor.digest);
    first.cut(mib(2), Times::Always);
    gate.release();
    pull.outcome().await.expect_err("pull fails");
    let row = kit.wait_ended("broken/app").await;
    assert_eq!((row.id, row.phase), (live.id, Phase::Failed));
    assert_eq!(
        row.failure.expect("a reason").reason,
        pulltrace_core::wire::v1::FailureReason::Unexplained
    );
    assert!(row.percent < Some(100.0), "{:?}", row.percent);
    kit
}

async fn shared_layer_counts_once_per_node(kit: Kit) -> Kit {
    let base = Layer::random("base", mib(8));
    let image = |name: &str| {
        let own = Layer::random(name, mib(1));
        Image::builder().layer(&base).layer(&own).build()
    };
    let (one, two) = (image("one"), image("two"));
    let (first, gate, _) = kit.pull_held("shared/one:1", &one, mib(4)).await;
    let second = kit.pull("shared/two:1", &two);
    let waits = kit.until("the second pull waits for the first", |log| {
        let (one, two) = (log.find("shared/one")?, log.find("shared/two")?);
        let waits = two.waiting_on.as_ref()?;
        let named = waits.kind == WaitingKind::SharedLayer && waits.pull.as_ref() == Some(&one.id);
        (named && two.total_known).then(|| two.clone())
    });
    let two_row = waits.await;
    // The second image's layer may be present before the agent's first poll: it then counts as
    // cached.
    let own = &two_row.layers[1];
    let own = if own.blob_cached { 0 } else { own.total_bytes };
    let nodes = kit.client.nodes().await.expect("server responds").nodes;
    assert_eq!((nodes.len(), nodes[0].live), (1, 2));
    let once = total(&one) + own;
    assert_eq!(nodes[0].to_download_bytes, once, "{nodes:#?}");
    assert!(nodes[0].downloaded_bytes <= once);
    gate.release();
    first.outcome().await.expect("first pull succeeds");
    second.outcome().await.expect("second pull succeeds");
    for (path, image) in [("shared/one", &one), ("shared/two", &two)] {
        let row = kit.wait_ended(path).await;
        assert_eq!(row.outcome, Some(Outcome::Completed));
        kit.reader.log().assert_total(&row, total(image));
        let done = |state| matches!(state, LayerState::Complete | LayerState::Cached);
        assert!(row.layers.iter().all(|layer| done(layer.state)), "{row:#?}");
    }
    kit
}

async fn version_0_1_agent_shows_ingests_without_completion(kit: Kit) -> Kit {
    const FULL: &str = include_str!("../../../pulltrace-core/tests/golden/agent_report_v0.json");
    const NOTHING: &str =
        r#"{"nodeName":"worker-1","timestamp":"2026-11-24T20:00:04Z","pulls":null}"#;
    assert_eq!(post(&kit, FULL).await, 200);
    let of_layers = |log: &crate::reader::ReaderLog| {
        let rows = log.live();
        let layers = rows.iter().filter(|row| row.node_name == "worker-1");
        (layers.count() >= 3).then_some(rows)
    };
    let rows = kit.until("each downloading layer is a row", of_layers).await;
    for row in &rows {
        assert!(row.percent < Some(100.0), "{row:#?}");
    }
    let known = rows.iter().filter(|row| row.total_known);
    let known: Vec<_> = known.map(|row| row.total_bytes).collect();
    assert_eq!(known, [Some(31_457_280)], "{rows:#?}");
    assert_eq!(post(&kit, NOTHING).await, 200);
    let over = |log: &crate::reader::ReaderLog| log.live().is_empty().then_some(());
    kit.until("the vanished pulls have ended", over).await;
    for row in kit.reader.log().rows() {
        assert_eq!(row.outcome, Some(Outcome::Unknown), "{row:#?}");
        assert!(row.percent < Some(100.0), "{row:#?}");
    }
    kit
}

/// Sends a report and returns the status of the response.
async fn post(kit: &Kit, body: &str) -> u16 {
    let address = kit.server.address();
    let mut stream = tokio::net::TcpStream::connect(address).await.expect("connected");
    let length = body.len();
    let request = format!(
        "POST /api/v1/report HTTP/1.1\r\nHost: {address}\r\nContent-Type: application/json\r\n\
         Content-Length: {length}\r\nConnection: close\r\n\r\n{body}"
    );
    stream.write_all(request.as_bytes()).await.expect("request sent");
    let mut answer = String::new();
    stream.read_to_string(&mut answer).await.expect("response");
    let status = answer.split(' ').nth(1).expect("a status");
    status.parse().expect("a number")
}
