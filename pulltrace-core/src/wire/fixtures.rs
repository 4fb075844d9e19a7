//! Sample pulls for tests of the wire format.

use std::sync::Arc;
use std::time::Duration;

use crate::eta::{Eta, EtaBasis};
use crate::failure::{Failure, FailureReason};
use crate::id::{Digest, PullId};
use crate::image::{Compression, Image, ImageLayer};
use crate::layer::{Layer, LayerState};
use crate::pull::{Motion, Outcome, Phase, Pull, PullFacts};
use crate::reference::Repository;
use crate::time::NodeTime;
use crate::unit::{Bytes, BytesPerSecond, Percent};
use crate::wait::{WaitingKind, WaitingOn};

pub(super) fn digest(letter: char) -> Digest {
    format!("sha256:{}", letter.to_string().repeat(64)).parse().unwrap()
}

pub(super) fn at(second: i64) -> NodeTime {
    NodeTime::from_unix(1_795_550_400 + second, 250_000_000)
}

pub(super) fn id(lease: &str) -> PullId {
    PullId::Lease {
        node: "worker-1".parse().unwrap(),
        namespace: "k8s.io".parse().unwrap(),
        lease: lease.parse().unwrap(),
        created: at(0),
    }
}

pub(super) fn resolving() -> Pull {
    let mut pull = Pull::new(id("1-aaaa"), Phase::Resolving, at(0));
    pull.waiting_on = Some(WaitingOn::new(WaitingKind::Registry, at(2)));
    pull.stale_since = Some(at(9));
    pull
}

pub(super) fn live() -> Pull {
    let image_layer = |letter, size, created_by: Option<&str>| ImageLayer {
        digest: digest(letter),
        size: Bytes(size),
        chains: vec![digest('0')],
        compression: Compression::Gzip,
        media_type: "application/vnd.oci.image.layer.v1.tar+gzip".to_owned(),
        created_by: created_by.map(ToOwned::to_owned),
    };
    let mut cached = Layer::new(digest('a'), Bytes(1_000), LayerState::Cached);
    cached.motion.downloaded = Bytes(1_000);
    let mut extracting = Layer::new(digest('b'), Bytes(2_000), LayerState::Extracting);
    extracting.blob_cached = true;
    extracting.motion.downloaded = Bytes(2_000);
    extracting.motion.unpacked_bytes = Some(Bytes(8_192));
    extracting.extracting_at = Some(at(3));
    let mut downloading = Layer::new(digest('c'), Bytes(3_000), LayerState::Downloading);
    downloading.motion.downloaded = Bytes(1_500);
    downloading.motion.rate = BytesPerSecond::new(123.456);
    downloading.started_at = Some(at(2));
    let mut waiting = Layer::new(digest('d'), Bytes(4_000), LayerState::Waiting);
    waiting.waiting_on = Some(Box::new(WaitingOn {
        pull: Some(id("2-bbbb")),
        layer: Some(digest('d')),
        ..WaitingOn::new(WaitingKind::SharedLayer, at(4))
    }));
    let facts = PullFacts {
        phase: Phase::Downloading,
        root: Some(digest('1')),
        repository: Some(Repository::new("registry.example", "team/app").unwrap()),
        names: vec![
            format!("registry.example/team/app@{}", digest('1')).parse().unwrap(),
            "registry.example/team/app:1.2".parse().unwrap(),
        ],
        image: Some(Arc::new(Image {
            root: digest('1'),
            manifests: vec![digest('2')],
            platform: Some("linux/amd64".to_owned()),
            layers: vec![
                image_layer('a', 1_000, None),
                image_layer('b', 2_000, Some("RUN make")),
                image_layer('c', 3_000, None),
                image_layer('d', 4_000, None),
            ],
        })),
        resolved_at: Some(at(1)),
        total: Some(Bytes(10_000)),
        cached: Bytes(3_000),
        to_download: Some(Bytes(7_000)),
        to_extract: Some(Bytes(9_000)),
        wasted: Bytes(64),
        waiting_on: None,
        stalled_since: Some(at(5)),
        slow_since: Some(at(6)),
        stale_since: None,
        ..resolving().facts
    };
    let motion = Motion {
        percent: Some(Percent::from_fraction(0.999_97)),
        downloaded: Bytes(1_500),
        extracted: Bytes::ZERO,
        rate: BytesPerSecond::new(123.456),
        eta: Some(Eta {
            left: Duration::from_millis(44_550),
            low: Duration::from_secs(30),
            high: Duration::from_secs(90),
            basis: EtaBasis::Assumed,
        }),
    };
    Pull { facts, motion, layers: vec![cached, extracting, downloading, waiting] }
}

pub(super) fn failed() -> Pull {
    let mut pull = resolving();
    pull.phase = Phase::Ended(Outcome::Failed);
    pull.failure = Some(Failure { reason: FailureReason::Unexplained, message: None });
    pull.ended_at = Some(at(60));
    pull.waiting_on = None;
    pull.stale_since = None;
    pull
}

pub(super) fn completed() -> Pull {
    let mut pull = live();
    pull.id = id("3-cccc");
    pull.phase = Phase::Ended(Outcome::Completed);
    pull.downloaded_at = Some(at(30));
    pull.ended_at = Some(at(60));
    pull.stalled_since = None;
    pull.slow_since = None;
    pull.motion = Motion {
        percent: Some(Percent::DONE),
        downloaded: Bytes(7_000),
        extracted: Bytes(9_000),
        rate: None,
        eta: None,
    };
    for layer in pull.layers.iter_mut().skip(1) {
        layer.state = LayerState::Complete;
        layer.waiting_on = None;
        layer.started_at = Some(at(2));
        layer.completed_at = Some(at(60));
        layer.motion.downloaded = layer.size;
        layer.motion.rate = None;
    }
    pull
}
