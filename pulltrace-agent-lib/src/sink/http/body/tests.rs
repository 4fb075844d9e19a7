//! The contents of each body, checked as the server checks them.

use std::collections::BTreeSet;
use std::sync::Arc;

use pulltrace_core::wire::check::CheckedReport;
use pulltrace_core::{
    Anomaly, Bytes, Compression, Counters, EndEvidence, ImageLayer, Limits, Mono, NodeName,
    NodeTime, NodeTotals, Now, Observation, PullFact, PullId, PullTable,
};

use super::*;

fn node() -> NodeName {
    "worker-1".parse().unwrap()
}

fn at(ms: u64) -> Now {
    let start = NodeTime::from_unix(1_764_016_180, 0);
    let start = Now { mono: Mono::default(), node: start };
    start.plus(Duration::from_millis(ms))
}

fn id(pull: usize) -> PullId {
    PullId::Lease {
        node: node(),
        namespace: "k8s.io".parse().unwrap(),
        lease: format!("lease-{pull}").parse().unwrap(),
        created: at(0).node,
    }
}

fn digest(number: usize) -> Digest {
    format!("sha256:{number:064x}").parse().unwrap()
}

fn layer(number: usize, size: u64) -> ImageLayer {
    ImageLayer {
        digest: digest(number),
        size: Bytes(size),
        chains: Vec::new(),
        compression: Compression::Gzip,
        media_type: "application/vnd.oci.image.layer.v1.tar+gzip".to_owned(),
        created_by: Some("RUN make install".to_owned()),
    }
}

/// An image with this root. Images with different roots share no layer.
fn image(root: usize, layers: usize) -> Arc<Image> {
    let layers = (1..=layers).map(|number| layer(root * 10_000 + number, 1_000));
    Arc::new(Image {
        root: digest(root),
        manifests: vec![digest(root)],
        platform: Some("linux/amd64".to_owned()),
        layers: layers.collect(),
    })
}

struct TestBench {
    table: PullTable,
    identity: Identity,
    sent_images: SentImages,
    sequence: u64,
}

impl TestBench {
    fn new() -> Self {
        let mut limits = Limits::default();
        (limits.max_live, limits.max_ended) = (5_000, 5_000);
        Self {
            table: PullTable::new(limits),
            identity: Identity {
                agent: v1::AgentInfo {
                    version: "0.1.0".to_owned(),
                    instance: "a".to_owned(),
                    started_at: at(0).node,
                    interval_ms: 0,
                },
                namespace: Some("k8s.io".to_owned()),
                images_left_out: 0,
            },
            sent_images: SentImages::default(),
            sequence: 1,
        }
    }

    fn pull(&mut self, pull: usize, image: &Arc<Image>) {
        self.table.apply(&began(pull, image), at(1));
    }

    fn report(&self, full: bool, pulls: impl IntoIterator<Item = usize>) -> Report {
        let pulls = pulls.into_iter().map(|pull| self.table.get(&id(pull)).unwrap());
        Report {
            node: node(),
            runtime: Some("containerd 2.4.2".to_owned()),
            sequence: self.sequence,
            full,
            now: at(10),
            pulls: pulls.cloned().collect(),
            totals: NodeTotals::default(),
            counters: Counters::default(),
            ends_lost: 0,
            poll_interval: None,
            next_within: Duration::from_secs(5),
        }
    }

    fn parts(&mut self, report: &Report) -> Vec<Part> {
        let parts = split(report, &mut self.identity, &self.sent_images, self.sequence).unwrap();
        self.sequence += parts.len() as u64;
        parts
    }

    fn single_part(&mut self, full: bool, pulls: impl IntoIterator<Item = usize>) -> Part {
        let report = self.report(full, pulls);
        let mut parts = self.parts(&report);
        assert_eq!(parts.len(), 1);
        parts.remove(0)
    }

    fn ack(&mut self, part: Part, epoch: &str) {
        self.sent_images.on_ack(part, epoch);
    }
}

fn parse(part: &Part) -> v1::AgentReport {
    serde_json::from_slice(&part.json).unwrap()
}

fn roots(part: &Part) -> Vec<String> {
    let images = parse(part).images;
    images.into_iter().map(|image| image.root_digest).collect()
}

/// A server that applies parts in order and knows nothing else.
#[derive(Default)]
struct ModelServer {
    images: BTreeMap<Digest, Arc<Image>>,
    /// The number of layers known for each pull.
    pulls: BTreeMap<PullId, usize>,
}

impl ModelServer {
    fn apply(&mut self, part: &Part) {
        assert!(part.json.len() <= MAX_BODY, "{} bytes", part.json.len());
        let report = CheckedReport::try_from(parse(part)).unwrap();
        assert_eq!((report.full, report.sequence), (part.full, part.sequence));
        if report.full {
            self.pulls.clear();
        }
        for image in report.images {
            self.images.insert(image.root.clone(), image);
        }
        for pull in report.pulls {
            let image = pull.image().map(|root| Arc::clone(&self.images[root]));
            let pull = pull.into_pull(image).unwrap();
            self.pulls.insert(pull.id.clone(), pull.layers.len());
        }
    }
}

#[test]
fn report_contains_identity_pulls_and_counters() {
    let mut bench = TestBench::new();
    bench.pull(1, &image(1, 2));
    let mut report = bench.report(true, [1]);
    report.counters.refused = 1;
    report.counters.evicted = 2;
    report.counters.anomalies.insert(Anomaly::UnknownPull, 3);
    report.ends_lost = 4;
    let parts = bench.parts(&report);
    let report = parse(&parts[0]);
    assert_eq!(report.node_name, "worker-1");
    assert_eq!(report.timestamp, at(10).node);
    assert_eq!(report.agent.interval_ms, 5_000);
    assert_eq!(report.node.runtime_version.as_deref(), Some("containerd 2.4.2"));
    assert_eq!(report.node.runtime_namespace.as_deref(), Some("k8s.io"));
    assert_eq!((report.dropped.refused, report.dropped.evicted), (1, 2));
    assert_eq!(report.dropped.ends_lost, 4);
    assert_eq!(report.dropped.anomalies["unknown_pull"], 3);
    assert_eq!(report.images[0].layers.len(), 2);
    assert_eq!(report.pulls[0].layers.len(), 2);
    ModelServer::default().apply(&parts[0]);
}

#[test]
fn image_is_sent_until_acknowledged() {
    let mut bench = TestBench::new();
    for pull in 1..=3 {
        bench.pull(pull, &image(1, 2));
    }
    let first = bench.single_part(true, []);
    bench.ack(first, "a");
    let lost = bench.single_part(false, [1, 2]);
    assert_eq!(roots(&lost).len(), 1, "once for both pulls");
    let sent = bench.single_part(false, [1]);
    assert_eq!(roots(&sent).len(), 1, "repeated until acknowledged");
    bench.ack(sent, "a");
    assert_eq!(roots(&bench.single_part(false, [1, 2, 3])), [""; 0]);
    assert_eq!(roots(&bench.single_part(true, [1])).len(), 1, "a full report contains it");
}

#[test]
fn restarted_server_receives_images_again() {
    let mut bench = TestBench::new();
    bench.pull(1, &image(1, 2));
    bench.pull(2, &image(2, 2));
    let first = bench.single_part(true, [1]);
    bench.ack(first, "a");
    let other = bench.single_part(false, [2]);
    bench.ack(other, "b");
    assert_eq!(roots(&bench.single_part(false, [1, 2])), [digest(1).to_string()]);
}

#[test]
fn image_is_sent_again_when_details_are_added() {
    let mut bench = TestBench::new();
    let rich = image(1, 1);
    let mut poor = Image::clone(&rich);
    poor.layers[0].created_by = None;
    bench.pull(1, &Arc::new(poor));
    let first = bench.single_part(true, [1]);
    bench.ack(first, "a");
    bench.pull(2, &rich);
    let richer = bench.single_part(false, [2]);
    assert_eq!(parse(&richer).images[0].layers[0].created_by.as_deref(), Some("RUN make install"));
    // Both images number their layers alike, so either serves both pulls.
    let mut server = ModelServer::default();
    let both = bench.single_part(true, [1, 2]);
    server.apply(&both);
    assert_eq!(server.pulls.values().sum::<usize>(), 2);
}

#[test]
fn conflicting_layers_of_one_root_stay_separate() {
    let mut bench = TestBench::new();
    bench.pull(1, &image(1, 2));
    let mut other = Image::clone(&image(1, 2));
    other.layers = vec![layer(7, 5)];
    bench.pull(2, &Arc::new(other));
    let part = bench.single_part(true, [1, 2]);
    let mut server = ModelServer::default();
    server.apply(&part);
    assert_eq!((server.pulls[&id(1)], server.pulls[&id(2)]), (2, 0));
    bench.ack(part, "a");
    // Without the other pull, its image is sent.
    let part = bench.single_part(false, [2]);
    server.apply(&part);
    assert_eq!(server.pulls[&id(2)], 1);
    assert_eq!(bench.identity.images_left_out, 1);
}

#[test]
fn sizes_beyond_json_limit_are_omitted_and_counted() {
    let mut bench = TestBench::new();
    let mut huge = Image::clone(&image(1, 0));
    huge.layers = vec![layer(1, i64::MAX as u64), layer(2, i64::MAX as u64)];
    bench.pull(1, &Arc::new(huge));
    let part = bench.single_part(true, [1]);
    let mut server = ModelServer::default();
    server.apply(&part);
    assert_eq!(server.pulls[&id(1)], 0);
    let next = bench.single_part(false, []);
    assert_eq!(parse(&next).dropped.anomalies[IMAGE_LEFT_OUT], 1);
}

fn began(pull: usize, image: &Arc<Image>) -> [Observation; 2] {
    let began = PullFact::Started { at: at(0).node }.of(id(pull));
    let image = PullFact::Image(Arc::clone(image)).of(id(pull));
    [began, image]
}

fn ended(pull: usize, ms: u64) -> Observation {
    PullFact::Ended { evidence: EndEvidence::ImagePresent, at: at(ms).node }.of(id(pull))
}

/// 1,500 pulls of ten images; the first `live` of them have not ended.
fn many_pulls(live: usize, layers: usize) -> TestBench {
    let mut bench = TestBench::new();
    let images: Vec<_> = (1..=10).map(|root| image(root, layers)).collect();
    let began = (0..1_500).flat_map(|pull| began(pull, &images[pull % 10]));
    bench.table.apply(&began.collect::<Vec<_>>(), at(1));
    let ended = (live..1_500).map(|pull| ended(pull, 10 + pull as u64));
    bench.table.apply(&ended.collect::<Vec<_>>(), at(5_000));
    bench
}

#[test]
fn oversized_report_is_split_without_loss() {
    let mut bench = many_pulls(50, 20);
    let report = bench.report(true, 0..1_500);
    let parts = bench.parts(&report);
    assert!(parts.len() > 1, "{} parts", parts.len());
    let mut server = ModelServer::default();
    server.apply(&parts[0]);
    let live = (0..50).all(|pull| server.pulls.get(&id(pull)) == Some(&20));
    assert!(live, "the first part contains all live pulls with layers");
    let newest = server.pulls.contains_key(&id(1_499));
    assert!(newest, "and the latest ended pull");
    for part in &parts[1..] {
        assert!(!part.full);
        server.apply(part);
    }
    assert_eq!(server.pulls.len(), 1_500);
    assert!(server.pulls.values().all(|layers| *layers == 20));
    let sequences: BTreeSet<u64> = parts.iter().map(|part| part.sequence).collect();
    assert_eq!(sequences.len(), parts.len());
    assert_eq!(parts.iter().flat_map(roots).count(), 10, "each image is sent once");
    assert_eq!(bench.identity.images_left_out, 0);
}

#[test]
fn oversized_live_pulls_are_sent_first_without_layers() {
    let mut bench = many_pulls(900, 40);
    let report = bench.report(true, 0..1_500);
    let parts = bench.parts(&report);
    let mut server = ModelServer::default();
    server.apply(&parts[0]);
    assert!((0..900).all(|pull| server.pulls.contains_key(&id(pull))));
    let newest = server.pulls.contains_key(&id(1_499));
    assert!(newest, "and the latest ended pull");
    for part in &parts[1..] {
        server.apply(part);
    }
    assert_eq!(server.pulls.len(), 1_500);
    assert!(server.pulls.values().all(|layers| *layers == 40));
}

#[test]
fn large_incremental_report_is_split() {
    let mut bench = many_pulls(0, 20);
    let first = bench.single_part(true, []);
    bench.ack(first, "a");
    let report = bench.report(false, 0..1_500);
    let parts = bench.parts(&report);
    let mut server = ModelServer::default();
    for part in &parts {
        assert!(!part.full);
        server.apply(part);
    }
    assert_eq!(server.pulls.len(), 1_500);
}

#[test]
fn report_is_split_at_pull_count_limit() {
    let mut bench = TestBench::new();
    let began = (0..2_100).map(|pull| began(pull, &image(1, 0))[0].clone());
    bench.table.apply(&began.collect::<Vec<_>>(), at(1));
    let report = bench.report(false, 0..2_100);
    let parts = bench.parts(&report);
    let mut server = ModelServer::default();
    parts.iter().for_each(|part| server.apply(part));
    assert_eq!(server.pulls.len(), 2_100);
}

#[test]
fn oversized_pull_omits_image_and_is_counted() {
    let mut bench = TestBench::new();
    let mut large = Image::clone(&image(1, 1_000));
    for layer in &mut large.layers {
        layer.media_type = "\\".repeat(255);
        layer.created_by = Some("\u{1}".repeat(120));
    }
    bench.pull(1, &Arc::new(large));
    let part = bench.single_part(true, [1]);
    let mut server = ModelServer::default();
    server.apply(&part);
    assert_eq!(server.pulls[&id(1)], 0);
    assert_eq!(bench.identity.images_left_out, 1);
}

#[test]
fn sent_images_are_bounded() {
    let mut sent = SentImages::default();
    for number in 0..10_000 {
        let part = Part {
            sequence: 1,
            full: false,
            json: Vec::new(),
            images: [(digest(number), 0)].into(),
        };
        sent.on_ack(part, "a");
        assert!(sent.fingerprints.len() <= MAX_SENT_IMAGES);
    }
}
