//! Tests of rates, stalls and slow pulls.

use std::sync::Arc;
use std::time::Duration;

use pulltrace_core::{
    BlobObservation, Bytes, Compression, Digest, EndEvidence, Image, ImageLayer, LayerObservation,
    Limits, Mono, NodeTime, Now, Observation, Pull, PullFact, PullId, PullTable, Repository,
};

/// A node that pulls images of one layer, each with a different digest.
struct TestNode {
    table: PullTable,
    now: Now,
    count: usize,
}

impl TestNode {
    fn new() -> Self {
        let now = Now { mono: Mono::default(), node: NodeTime::from_unix(1_700_000_000, 0) };
        Self { table: PullTable::new(Limits::default()), now, count: 0 }
    }

    fn observe(&mut self, observations: &[Observation]) {
        self.table.apply(observations, self.now);
    }

    fn advance(&mut self, seconds: u64) {
        for _ in 0..seconds * 4 {
            self.now = self.now.plus(Duration::from_millis(250));
            self.observe(&[]);
        }
    }

    fn start_pull(&mut self, size: u64) -> (PullId, Digest) {
        self.count += 1;
        let digest: Digest = format!("sha256:{:064x}", self.count).parse().unwrap();
        let pull = PullId::Lease {
            node: "node-1".parse().unwrap(),
            namespace: "k8s.io".parse().unwrap(),
            lease: format!("{}-aaaa", self.count).parse().unwrap(),
            created: self.now.node,
        };
        let layer = ImageLayer {
            digest: digest.clone(),
            size: Bytes(size),
            chains: vec![digest.clone()],
            compression: Compression::Gzip,
            media_type: "application/vnd.oci.image.layer.v1.tar+gzip".into(),
            created_by: None,
        };
        let image = Image {
            root: digest.clone(),
            manifests: vec![digest.clone()],
            platform: None,
            layers: vec![layer],
        };
        self.observe(&[
            PullFact::Started { at: self.now.node }.of(pull.clone()),
            PullFact::Repository(Repository::new("r.example", "app").unwrap()).of(pull.clone()),
            PullFact::Image(Arc::new(image)).of(pull.clone()),
        ]);
        self.write_bytes(&digest, 0);
        (pull, digest)
    }

    fn write_bytes(&mut self, digest: &Digest, offset: u64) {
        let observed = BlobObservation::Ingest {
            offset: Bytes(offset),
            started_at: self.now.node.saturating_sub(Duration::from_secs(1)),
            updated_at: self.now.node,
            by: None,
        };
        self.observe_blob(digest, observed);
    }

    fn observe_blob(&mut self, digest: &Digest, observed: BlobObservation) {
        self.observe(&[Observation::Blob {
            namespace: "k8s.io".parse().unwrap(),
            digest: digest.clone(),
            observed,
        }]);
    }

    fn get(&self, pull: &PullId) -> &Pull {
        self.table.get(pull).unwrap()
    }

    /// Runs a complete pull at a steady rate.
    fn complete_pull_at(&mut self, bytes_per_second: u64, seconds: u64) {
        let (pull, digest) = self.start_pull(bytes_per_second * seconds);
        for second in 1..=seconds {
            self.advance(1);
            self.write_bytes(&digest, bytes_per_second * second);
        }
        self.observe_blob(&digest, BlobObservation::Complete);
        self.observe(&[
            PullFact::Layer { digest, observed: LayerObservation::Unpacked }.of(pull.clone()),
            PullFact::Ended { evidence: EndEvidence::ImagePresent, at: self.now.node }.of(pull),
        ]);
    }
}

const MIB: u64 = 1 << 20;

#[test]
fn download_stalls_after_30s_until_next_byte() {
    let mut node = TestNode::new();
    let (pull, digest) = node.start_pull(100 * MIB);
    for step in 1..=5 {
        node.advance(1);
        node.write_bytes(&digest, step * MIB);
    }
    let last = node.now.node;
    node.advance(29);
    assert_eq!(node.get(&pull).stalled_since, None);
    node.advance(2);
    let since = node.get(&pull).stalled_since.unwrap();
    assert!(since.since(last) < Duration::from_secs(1), "the stall starts at the last byte");
    node.write_bytes(&digest, 6 * MIB);
    assert_eq!(node.get(&pull).stalled_since, None);
}

#[test]
fn slow_steady_pull_is_not_stalled() {
    let mut node = TestNode::new();
    let (pull, digest) = node.start_pull(100 * MIB);
    for step in 1..=6 {
        node.advance(40);
        // The first steps may count as stalls, until the table has learned that the pull is only
        // slow.
        assert!(step < 4 || node.get(&pull).stalled_since.is_none(), "step {step}");
        node.write_bytes(&digest, step * MIB);
    }
}

#[test]
fn silent_unpack_stalls_after_five_minutes() {
    let mut node = TestNode::new();
    let (pull, digest) = node.start_pull(MIB);
    node.observe_blob(&digest, BlobObservation::Complete);
    let unpacking = LayerObservation::Unpacking { by: pull.clone(), written: None };
    node.observe(&[PullFact::Layer { digest, observed: unpacking }.of(pull.clone())]);
    assert_eq!(node.get(&pull).phase.as_str(), "extracting");
    node.advance(4 * 60 + 50);
    assert_eq!(node.get(&pull).stalled_since, None);
    node.advance(15);
    assert!(node.get(&pull).stalled_since.is_some());
}

#[test]
fn pull_far_below_median_speed_is_slow() {
    let mut node = TestNode::new();
    for _ in 0..3 {
        node.complete_pull_at(10 * MIB, 3);
    }
    let (pull, digest) = node.start_pull(1_000 * MIB);
    for second in 1..=90 {
        node.advance(1);
        node.write_bytes(&digest, second * MIB / 4);
    }
    assert!(node.get(&pull).slow_since.is_some(), "a fortieth of the usual rate for over a minute");
    assert_eq!(node.get(&pull).stalled_since, None);
}

#[test]
fn pull_is_not_slow_without_history() {
    let mut node = TestNode::new();
    node.complete_pull_at(10 * MIB, 3);
    let (pull, digest) = node.start_pull(1_000 * MIB);
    for second in 1..=90 {
        node.advance(1);
        node.write_bytes(&digest, second * 1_000);
    }
    assert_eq!(node.get(&pull).slow_since, None);
}

#[test]
fn steady_pull_has_accurate_eta() {
    let mut node = TestNode::new();
    let (pull, digest) = node.start_pull(100 * MIB);
    assert_eq!(node.get(&pull).motion.eta, None, "unknown without a rate");
    for second in 1..=50 {
        node.advance(1);
        node.write_bytes(&digest, second * MIB);
    }
    let eta = node.get(&pull).motion.eta.unwrap();
    assert!((50..55).contains(&eta.left.as_secs()), "{eta:?}");
    assert!(eta.low <= eta.left && eta.left <= eta.high);
}

#[test]
fn prepared_snapshot_does_not_clear_stall() {
    let mut node = TestNode::new();
    let (pull, digest) = node.start_pull(100 * MIB);
    node.advance(1);
    node.write_bytes(&digest, MIB);
    node.advance(35);
    let since = node.get(&pull).stalled_since;
    assert!(since.is_some());
    let unpacking = LayerObservation::Unpacking { by: pull.clone(), written: Some(Bytes(4_096)) };
    node.observe(&[PullFact::Layer { digest, observed: unpacking }.of(pull.clone())]);
    assert_eq!(node.get(&pull).stalled_since, since);
}

#[test]
fn idle_time_does_not_lower_node_rate() {
    let mut node = TestNode::new();
    node.complete_pull_at(10 * MIB, 3);
    node.advance(600);
    let (_, digest) = node.start_pull(100 * MIB);
    for second in 1..=5 {
        node.advance(1);
        node.write_bytes(&digest, second * 10 * MIB);
    }
    let rate = node.table.totals(node.now).rate.unwrap().get();
    assert!(rate > Bytes(8 * MIB).as_f64() && rate < Bytes(14 * MIB).as_f64(), "{rate}");
}

#[test]
fn late_name_changes_nothing_else() {
    let mut node = TestNode::new();
    let (pull, digest) = node.start_pull(10_000_000);
    node.advance(1);
    node.write_bytes(&digest, 4_000_000);
    let now = node.now.node;
    node.observe(&[
        PullFact::Ended { evidence: EndEvidence::ImageAbsent, at: now }.of(pull.clone())
    ]);
    let mut before = node.get(&pull).clone();
    assert_eq!(before.motion.downloaded, Bytes(4_000_000));
    let name: pulltrace_core::ImageRef = "r.example/app:1".parse().unwrap();
    node.advance(1);
    node.observe(&[PullFact::Named(name.clone()).of(pull.clone())]);
    before.names.push(name);
    assert_eq!(*node.get(&pull), before);
}
