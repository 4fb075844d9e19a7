//! What is in each body, and that a server takes it.

use std::collections::BTreeSet;
use std::sync::Arc;

use pulltrace_core::wire::check::CheckedReport;
use pulltrace_core::{
    Anomaly, Bytes, Compression, Counters, Evidence, ImageLayer, Limits, Mono, NodeName, NodeSums,
    NodeTime, Now, Observation, PullId, PullTable,
};

use super::*;

fn node() -> NodeName {
    "worker-1".parse().unwrap()
}

fn at(ms: u64) -> Now {
    let start = NodeTime::from_unix(1_764_016_180, 0);
    let start = Now {
        mono: Mono::default(),
        node: start,
    };
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

/// The image with this root; two of different roots share no layer.
fn image(root: usize, layers: usize) -> Arc<Image> {
    let layers = (1..=layers).map(|number| layer(root * 10_000 + number, 1_000));
    Arc::new(Image {
        root: digest(root),
        manifests: vec![digest(root)],
        platform: Some("linux/amd64".to_owned()),
        layers: layers.collect(),
    })
}

struct Bench {
    table: PullTable,
    who: Identity,
    told: Told,
    sequence: u64,
}

impl Bench {
    fn new() -> Self {
        let mut limits = Limits::default();
        (limits.live, limits.ended) = (5_000, 5_000);
        Self {
            table: PullTable::new(limits),
            who: Identity {
                agent: v1::AgentInfo {
                    version: "0.1.0".to_owned(),
                    instance: "a".to_owned(),
                    started_at: at(0).node,
                    interval_ms: 0,
                },
                namespace: Some("k8s.io".to_owned()),
                images_left_out: 0,
            },
            told: Told::default(),
            sequence: 1,
        }
    }

    fn pull(&mut self, pull: usize, image: &Arc<Image>) {
        self.table.apply(&began(pull, image), at(1));
    }

    fn report(&self, full: bool, pulls: impl IntoIterator<Item = usize>) -> Report {
        let pulls = pulls
            .into_iter()
            .map(|pull| self.table.get(&id(pull)).unwrap());
        Report {
            node: node(),
            runtime: Some("containerd 2.4.2".to_owned()),
            sequence: self.sequence,
            full,
            now: at(10),
            pulls: pulls.cloned().collect(),
            sums: NodeSums::default(),
            counters: Counters::default(),
            ends_lost: 0,
            interval: None,
            next_within: Duration::from_secs(5),
        }
    }

    fn parts(&mut self, report: &Report) -> Vec<Part> {
        let parts = parts(report, &mut self.who, &self.told, self.sequence).unwrap();
        self.sequence += parts.len() as u64;
        parts
    }

    fn one(&mut self, full: bool, pulls: impl IntoIterator<Item = usize>) -> Part {
        let report = self.report(full, pulls);
        let mut parts = self.parts(&report);
        assert_eq!(parts.len(), 1);
        parts.remove(0)
    }

    fn ack(&mut self, part: Part, epoch: &str) {
        self.told.acknowledged(part, epoch);
    }
}

fn read(part: &Part) -> v1::AgentReport {
    serde_json::from_slice(&part.json).unwrap()
}

fn roots(part: &Part) -> Vec<String> {
    let images = read(part).images;
    images.into_iter().map(|image| image.root_digest).collect()
}

/// A server that takes parts in their order, and knows only what they say.
#[derive(Default)]
struct Server {
    images: BTreeMap<Digest, Arc<Image>>,
    /// Of each pull how many layers were told of it.
    pulls: BTreeMap<PullId, usize>,
}

impl Server {
    fn take(&mut self, part: &Part) {
        assert!(part.json.len() <= MAX_BODY, "{} bytes", part.json.len());
        let report = CheckedReport::try_from(read(part)).unwrap();
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
fn a_report_says_who_where_and_what() {
    let mut bench = Bench::new();
    bench.pull(1, &image(1, 2));
    let mut report = bench.report(true, [1]);
    report.counters.refused = 1;
    report.counters.evicted = 2;
    report.counters.anomalies.insert(Anomaly::UnknownPull, 3);
    report.ends_lost = 4;
    let parts = bench.parts(&report);
    let said = read(&parts[0]);
    assert_eq!(said.node_name, "worker-1");
    assert_eq!(said.timestamp, at(10).node);
    assert_eq!(said.agent.interval_ms, 5_000);
    assert_eq!(
        said.node.runtime_version.as_deref(),
        Some("containerd 2.4.2")
    );
    assert_eq!(said.node.runtime_namespace.as_deref(), Some("k8s.io"));
    assert_eq!((said.dropped.refused, said.dropped.evicted), (1, 2));
    assert_eq!(said.dropped.ends_lost, 4);
    assert_eq!(said.dropped.anomalies["unknown_pull"], 3);
    assert_eq!(said.images[0].layers.len(), 2);
    assert_eq!(said.pulls[0].layers.len(), 2);
    Server::default().take(&parts[0]);
}

#[test]
fn an_image_is_told_until_a_report_of_it_was_acknowledged() {
    let mut bench = Bench::new();
    for pull in 1..=3 {
        bench.pull(pull, &image(1, 2));
    }
    let first = bench.one(true, []);
    bench.ack(first, "a");
    let lost = bench.one(false, [1, 2]);
    assert_eq!(roots(&lost).len(), 1, "once for two pulls of it");
    let told = bench.one(false, [1]);
    assert_eq!(roots(&told).len(), 1, "again, as nobody said that it came");
    bench.ack(told, "a");
    assert_eq!(roots(&bench.one(false, [1, 2, 3])), [""; 0]);
    assert_eq!(
        roots(&bench.one(true, [1])).len(),
        1,
        "a full report has it"
    );
}

#[test]
fn a_server_that_was_started_anew_is_told_again() {
    let mut bench = Bench::new();
    bench.pull(1, &image(1, 2));
    bench.pull(2, &image(2, 2));
    let first = bench.one(true, [1]);
    bench.ack(first, "a");
    let other = bench.one(false, [2]);
    bench.ack(other, "b");
    assert_eq!(roots(&bench.one(false, [1, 2])), [digest(1).to_string()]);
}

#[test]
fn an_image_of_which_more_is_known_is_told_again() {
    let mut bench = Bench::new();
    let rich = image(1, 1);
    let mut poor = Image::clone(&rich);
    poor.layers[0].created_by = None;
    bench.pull(1, &Arc::new(poor));
    let first = bench.one(true, [1]);
    bench.ack(first, "a");
    bench.pull(2, &rich);
    let richer = bench.one(false, [2]);
    assert_eq!(
        read(&richer).images[0].layers[0].created_by.as_deref(),
        Some("RUN make install")
    );
    // Both number their layers alike, so either will do for both.
    let mut server = Server::default();
    let both = bench.one(true, [1, 2]);
    server.take(&both);
    assert_eq!(server.pulls.values().sum::<usize>(), 2);
}

#[test]
fn two_pulls_that_mean_different_layers_by_one_root_are_never_mixed() {
    let mut bench = Bench::new();
    bench.pull(1, &image(1, 2));
    let mut other = Image::clone(&image(1, 2));
    other.layers = vec![layer(7, 5)];
    bench.pull(2, &Arc::new(other));
    let part = bench.one(true, [1, 2]);
    let mut server = Server::default();
    server.take(&part);
    assert_eq!((server.pulls[&id(1)], server.pulls[&id(2)]), (2, 0));
    bench.ack(part, "a");
    // Alone it is told with its own.
    let part = bench.one(false, [2]);
    server.take(&part);
    assert_eq!(server.pulls[&id(2)], 1);
    assert_eq!(bench.who.images_left_out, 1);
}

#[test]
fn sizes_that_no_number_holds_are_left_out_and_counted() {
    let mut bench = Bench::new();
    let mut huge = Image::clone(&image(1, 0));
    huge.layers = vec![layer(1, i64::MAX as u64), layer(2, i64::MAX as u64)];
    bench.pull(1, &Arc::new(huge));
    let part = bench.one(true, [1]);
    let mut server = Server::default();
    server.take(&part);
    assert_eq!(server.pulls[&id(1)], 0);
    let next = bench.one(false, []);
    assert_eq!(read(&next).dropped.anomalies[IMAGE_LEFT_OUT], 1);
}

fn began(pull: usize, image: &Arc<Image>) -> [Observation; 2] {
    let began = Observation::Began {
        pull: id(pull),
        at: at(0).node,
    };
    let image = Observation::Image {
        pull: id(pull),
        image: Arc::clone(image),
    };
    [began, image]
}

fn ended(pull: usize, ms: u64) -> Observation {
    Observation::Ended {
        pull: id(pull),
        evidence: Evidence::ImagePresent,
        at: at(ms).node,
    }
}

/// 1,500 pulls of which the first so many live, of ten images.
fn many(live: usize, layers: usize) -> Bench {
    let mut bench = Bench::new();
    let images: Vec<_> = (1..=10).map(|root| image(root, layers)).collect();
    let began = (0..1_500).flat_map(|pull| began(pull, &images[pull % 10]));
    bench.table.apply(&began.collect::<Vec<_>>(), at(1));
    let ended = (live..1_500).map(|pull| ended(pull, 10 + pull as u64));
    bench.table.apply(&ended.collect::<Vec<_>>(), at(5_000));
    bench
}

#[test]
fn a_report_that_is_too_large_goes_out_in_parts_and_nothing_is_left_out() {
    let mut bench = many(50, 20);
    let report = bench.report(true, 0..1_500);
    let parts = bench.parts(&report);
    assert!(parts.len() > 1, "{} parts", parts.len());
    let mut server = Server::default();
    server.take(&parts[0]);
    let live = (0..50).all(|pull| server.pulls.get(&id(pull)) == Some(&20));
    assert!(live, "the first part has all that live, with their layers");
    let newest = server.pulls.contains_key(&id(1_499));
    assert!(newest, "and the last that ended");
    for part in &parts[1..] {
        assert!(!part.full);
        server.take(part);
    }
    assert_eq!(server.pulls.len(), 1_500);
    assert!(server.pulls.values().all(|layers| *layers == 20));
    let sequences: BTreeSet<u64> = parts.iter().map(|part| part.sequence).collect();
    assert_eq!(sequences.len(), parts.len());
    assert_eq!(parts.iter().flat_map(roots).count(), 10, "each image once");
    assert_eq!(bench.who.images_left_out, 0);
}

#[test]
fn live_pulls_that_are_too_large_together_are_all_there_at_first_and_whole_at_last() {
    let mut bench = many(900, 40);
    let report = bench.report(true, 0..1_500);
    let parts = bench.parts(&report);
    let mut server = Server::default();
    server.take(&parts[0]);
    assert!((0..900).all(|pull| server.pulls.contains_key(&id(pull))));
    let newest = server.pulls.contains_key(&id(1_499));
    assert!(newest, "and the last that ended");
    for part in &parts[1..] {
        server.take(part);
    }
    assert_eq!(server.pulls.len(), 1_500);
    assert!(server.pulls.values().all(|layers| *layers == 40));
}

#[test]
fn changes_after_a_long_silence_are_cut_as_well() {
    let mut bench = many(0, 20);
    let first = bench.one(true, []);
    bench.ack(first, "a");
    let report = bench.report(false, 0..1_500);
    let parts = bench.parts(&report);
    let mut server = Server::default();
    for part in &parts {
        assert!(!part.full);
        server.take(part);
    }
    assert_eq!(server.pulls.len(), 1_500);
}

#[test]
fn more_pulls_than_a_server_takes_at_once_are_cut_though_they_are_small() {
    let mut bench = Bench::new();
    let began = (0..2_100).map(|pull| began(pull, &image(1, 0))[0].clone());
    bench.table.apply(&began.collect::<Vec<_>>(), at(1));
    let report = bench.report(false, 0..2_100);
    let parts = bench.parts(&report);
    let mut server = Server::default();
    parts.iter().for_each(|part| server.take(part));
    assert_eq!(server.pulls.len(), 2_100);
}

#[test]
fn a_pull_that_is_too_large_alone_is_told_without_its_image_and_counted() {
    let mut bench = Bench::new();
    let mut large = Image::clone(&image(1, 1_000));
    for layer in &mut large.layers {
        layer.media_type = "\\".repeat(255);
        layer.created_by = Some("\u{1}".repeat(120));
    }
    bench.pull(1, &Arc::new(large));
    let part = bench.one(true, [1]);
    let mut server = Server::default();
    server.take(&part);
    assert_eq!(server.pulls[&id(1)], 0);
    assert_eq!(bench.who.images_left_out, 1);
}

#[test]
fn what_is_remembered_as_told_is_bounded() {
    let mut told = Told::default();
    for number in 0..10_000 {
        let part = Part {
            sequence: 1,
            full: false,
            json: Vec::new(),
            images: [(digest(number), 0)].into(),
        };
        told.acknowledged(part, "a");
        assert!(told.marks.len() <= MAX_TOLD);
    }
}
