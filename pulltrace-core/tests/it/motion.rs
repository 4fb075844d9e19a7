//! Speeds, stalls and trickles, as a user sees them.

use std::sync::Arc;
use std::time::Duration;

use pulltrace_core::{
    BlobSight, Bytes, Compression, Digest, Evidence, Image, ImageLayer, LayerSight, Limits, Mono,
    NodeTime, Now, Observation, Pull, PullId, PullTable, Repository,
};

/// A node on which images of one layer are pulled, each with a digest of its own.
struct Node {
    table: PullTable,
    now: Now,
    count: usize,
}

impl Node {
    fn new() -> Self {
        let now = Now {
            mono: Mono::default(),
            node: NodeTime::from_unix(1_700_000_000, 0),
        };
        Self {
            table: PullTable::new(Limits::default()),
            now,
            count: 0,
        }
    }

    fn tell(&mut self, observations: &[Observation]) {
        self.table.apply(observations, self.now);
    }

    fn pass(&mut self, seconds: u64) {
        for _ in 0..seconds * 4 {
            self.now = self.now.plus(Duration::from_millis(250));
            self.tell(&[]);
        }
    }

    fn begin(&mut self, size: u64) -> (PullId, Digest) {
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
        self.tell(&[
            Observation::Began {
                pull: pull.clone(),
                at: self.now.node,
            },
            Observation::Repository {
                pull: pull.clone(),
                repository: Repository::new("r.example", "app").unwrap(),
            },
            Observation::Image {
                pull: pull.clone(),
                image: Arc::new(image),
            },
        ]);
        self.write(&digest, 0);
        (pull, digest)
    }

    fn write(&mut self, digest: &Digest, offset: u64) {
        let sight = BlobSight::Ingest {
            offset: Bytes(offset),
            started_at: self.now.node.saturating_sub(Duration::from_secs(1)),
            updated_at: self.now.node,
            by: None,
        };
        self.blob(digest, sight);
    }

    fn blob(&mut self, digest: &Digest, sight: BlobSight) {
        self.tell(&[Observation::Blob {
            namespace: "k8s.io".parse().unwrap(),
            digest: digest.clone(),
            sight,
        }]);
    }

    fn get(&self, pull: &PullId) -> &Pull {
        self.table.get(pull).unwrap()
    }

    /// A whole pull at a steady speed.
    fn pull_at(&mut self, bytes_per_second: u64, seconds: u64) {
        let (pull, digest) = self.begin(bytes_per_second * seconds);
        for second in 1..=seconds {
            self.pass(1);
            self.write(&digest, bytes_per_second * second);
        }
        self.blob(&digest, BlobSight::Whole);
        self.tell(&[
            Observation::Layer {
                pull: pull.clone(),
                digest,
                sight: LayerSight::Unpacked,
            },
            Observation::Ended {
                pull,
                evidence: Evidence::ImagePresent,
                at: self.now.node,
            },
        ]);
    }
}

const MIB: u64 = 1 << 20;

#[test]
fn a_download_without_a_byte_for_half_a_minute_is_stalled_until_the_next() {
    let mut node = Node::new();
    let (pull, digest) = node.begin(100 * MIB);
    for step in 1..=5 {
        node.pass(1);
        node.write(&digest, step * MIB);
    }
    let last = node.now.node;
    node.pass(29);
    assert_eq!(node.get(&pull).stalled_since, None);
    node.pass(2);
    let since = node.get(&pull).stalled_since.unwrap();
    assert!(
        since.since(last) < Duration::from_secs(1),
        "since its last byte"
    );
    node.write(&digest, 6 * MIB);
    assert_eq!(node.get(&pull).stalled_since, None);
}

#[test]
fn a_slow_pull_that_steps_each_forty_seconds_is_not_stalled() {
    let mut node = Node::new();
    let (pull, digest) = node.begin(100 * MIB);
    for step in 1..=6 {
        node.pass(40);
        // The first steps may look like stalls: that it is only slow must be learned.
        assert!(
            step < 4 || node.get(&pull).stalled_since.is_none(),
            "step {step}"
        );
        node.write(&digest, step * MIB);
    }
}

#[test]
fn an_unpacking_that_shows_nothing_is_given_five_minutes() {
    let mut node = Node::new();
    let (pull, digest) = node.begin(MIB);
    node.blob(&digest, BlobSight::Whole);
    let unpacking = LayerSight::Unpacking {
        by: pull.clone(),
        written: None,
    };
    node.tell(&[Observation::Layer {
        pull: pull.clone(),
        digest,
        sight: unpacking,
    }]);
    assert_eq!(node.get(&pull).phase.as_str(), "extracting");
    node.pass(4 * 60 + 50);
    assert_eq!(node.get(&pull).stalled_since, None);
    node.pass(15);
    assert!(node.get(&pull).stalled_since.is_some());
}

#[test]
fn a_trickle_is_measured_against_what_is_usual() {
    let mut node = Node::new();
    for _ in 0..3 {
        node.pull_at(10 * MIB, 3);
    }
    let (pull, digest) = node.begin(1_000 * MIB);
    for second in 1..=90 {
        node.pass(1);
        node.write(&digest, second * MIB / 4);
    }
    assert!(
        node.get(&pull).slow_since.is_some(),
        "a fortieth of what is usual, for more than a minute"
    );
    assert_eq!(node.get(&pull).stalled_since, None);
}

#[test]
fn without_a_history_nothing_is_called_slow() {
    let mut node = Node::new();
    node.pull_at(10 * MIB, 3);
    let (pull, digest) = node.begin(1_000 * MIB);
    for second in 1..=90 {
        node.pass(1);
        node.write(&digest, second * 1_000);
    }
    assert_eq!(node.get(&pull).slow_since, None);
}

#[test]
fn a_steady_pull_is_told_its_time() {
    let mut node = Node::new();
    let (pull, digest) = node.begin(100 * MIB);
    assert_eq!(node.get(&pull).eta, None, "no speed, no time");
    for second in 1..=50 {
        node.pass(1);
        node.write(&digest, second * MIB);
    }
    let eta = node.get(&pull).eta.unwrap();
    assert!((50..55).contains(&eta.left.as_secs()), "{eta:?}");
    assert!(eta.low <= eta.left && eta.left <= eta.high);
}

#[test]
fn a_prepared_snapshot_does_not_lift_a_stall() {
    let mut node = Node::new();
    let (pull, digest) = node.begin(100 * MIB);
    node.pass(1);
    node.write(&digest, MIB);
    node.pass(35);
    let since = node.get(&pull).stalled_since;
    assert!(since.is_some());
    let unpacking = LayerSight::Unpacking {
        by: pull.clone(),
        written: Some(Bytes(4_096)),
    };
    node.tell(&[Observation::Layer {
        pull: pull.clone(),
        digest,
        sight: unpacking,
    }]);
    assert_eq!(node.get(&pull).stalled_since, since);
}

#[test]
fn an_idle_hour_does_not_slow_the_node_down() {
    let mut node = Node::new();
    node.pull_at(10 * MIB, 3);
    node.pass(600);
    let (_, digest) = node.begin(100 * MIB);
    for second in 1..=5 {
        node.pass(1);
        node.write(&digest, second * 10 * MIB);
    }
    let rate = node.table.sums(node.now).rate.unwrap().get();
    assert!(
        rate > Bytes(8 * MIB).as_f64() && rate < Bytes(14 * MIB).as_f64(),
        "{rate}"
    );
}

#[test]
fn a_name_that_comes_after_the_end_changes_nothing_else() {
    let mut node = Node::new();
    let (pull, digest) = node.begin(10_000_000);
    node.pass(1);
    node.write(&digest, 4_000_000);
    let now = node.now.node;
    node.tell(&[Observation::Ended {
        pull: pull.clone(),
        evidence: Evidence::ImageAbsent,
        at: now,
    }]);
    let mut before = node.get(&pull).clone();
    assert_eq!(before.downloaded, Bytes(4_000_000));
    let name: pulltrace_core::ImageRef = "r.example/app:1".parse().unwrap();
    node.pass(1);
    node.tell(&[Observation::Named {
        pull: pull.clone(),
        name: name.clone(),
    }]);
    before.names.push(name);
    assert_eq!(*node.get(&pull), before);
}
