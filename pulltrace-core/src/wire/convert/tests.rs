//! The bytes of version 1: a change of these files is a change of the wire.

use std::sync::Arc;

use super::*;
use crate::eta::Eta;
use crate::failure::FailureReason;
use crate::id::{Digest, PullId};
use crate::image::{Compression, Image};
use crate::time::NodeTime;
use crate::unit::Bytes;

const LIVE: &str = include_str!("../../../tests/golden/pull_status_v1_live.json");
const FAILED: &str = include_str!("../../../tests/golden/pull_status_v1_failed.json");
const RESOLVING: &str = include_str!("../../../tests/golden/pull_status_v1_resolving.json");

fn digest(letter: char) -> Digest {
    format!("sha256:{}", letter.to_string().repeat(64))
        .parse()
        .unwrap()
}

fn at(second: i64) -> NodeTime {
    NodeTime::from_unix(1_795_550_400 + second, 250_000_000).unwrap()
}

fn id(lease: &str) -> PullId {
    PullId::Lease {
        node: "worker-1".parse().unwrap(),
        namespace: "k8s.io".parse().unwrap(),
        lease: lease.parse().unwrap(),
        created: at(0),
    }
}

fn resolving() -> Pull {
    Pull {
        id: id("1-aaaa"),
        phase: Phase::Resolving,
        failure: None,
        root: None,
        repository: None,
        names: vec![],
        image: None,
        layers: vec![],
        started_at: at(0),
        resolved_at: None,
        downloaded_at: None,
        ended_at: None,
        percent: None,
        total: None,
        cached: Bytes::ZERO,
        to_download: None,
        downloaded: Bytes::ZERO,
        to_extract: None,
        extracted: Bytes::ZERO,
        wasted: Bytes::ZERO,
        rate: None,
        eta: None,
        waiting_on: Some(WaitingOn {
            kind: WaitingKind::Registry,
            since: at(2),
            pull: None,
            layer: None,
        }),
        stalled_since: None,
        slow_since: None,
        stale_since: Some(at(9)),
    }
}

fn layer(letter: char, size: u64, state: LayerState) -> Layer {
    Layer {
        digest: digest(letter),
        size: Bytes(size),
        state,
        blob_cached: false,
        downloaded: Bytes::ZERO,
        unpacked_bytes: None,
        rate: None,
        waiting_on: None,
        started_at: None,
        downloaded_at: None,
        extracting_at: None,
        completed_at: None,
    }
}

fn live() -> Pull {
    let told = |letter, size, created_by: Option<&str>| ImageLayer {
        digest: digest(letter),
        size: Bytes(size),
        chains: vec![digest('0')],
        compression: Compression::Gzip,
        media_type: "application/vnd.oci.image.layer.v1.tar+gzip".to_owned(),
        created_by: created_by.map(ToOwned::to_owned),
    };
    Pull {
        phase: Phase::Downloading,
        root: Some(digest('1')),
        repository: Some(
            crate::reference::Repository::new("registry.example", "team/app").unwrap(),
        ),
        names: vec![
            format!("registry.example/team/app@{}", digest('1'))
                .parse()
                .unwrap(),
            "registry.example/team/app:1.2".parse().unwrap(),
        ],
        image: Some(Arc::new(Image {
            root: digest('1'),
            manifests: vec![digest('2')],
            platform: Some("linux/amd64".to_owned()),
            layers: vec![
                told('a', 1_000, None),
                told('b', 2_000, Some("RUN make")),
                told('c', 3_000, None),
                told('d', 4_000, None),
            ],
        })),
        layers: vec![
            layer('a', 1_000, LayerState::Cached),
            Layer {
                blob_cached: true,
                downloaded: Bytes(2_000),
                unpacked_bytes: Some(Bytes(8_192)),
                extracting_at: Some(at(3)),
                ..layer('b', 2_000, LayerState::Extracting)
            },
            Layer {
                downloaded: Bytes(1_500),
                rate: BytesPerSecond::new(123.456),
                started_at: Some(at(2)),
                ..layer('c', 3_000, LayerState::Downloading)
            },
            Layer {
                waiting_on: Some(WaitingOn {
                    kind: WaitingKind::SharedLayer,
                    since: at(4),
                    pull: Some(id("2-bbbb")),
                    layer: Some(digest('d')),
                }),
                ..layer('d', 4_000, LayerState::Waiting)
            },
        ],
        resolved_at: Some(at(1)),
        percent: Some(Percent::from_share(0.999_97)),
        total: Some(Bytes(10_000)),
        cached: Bytes(3_000),
        to_download: Some(Bytes(7_000)),
        downloaded: Bytes(1_500),
        to_extract: Some(Bytes(9_000)),
        wasted: Bytes(64),
        rate: BytesPerSecond::new(123.456),
        eta: Some(Eta {
            left: Duration::from_millis(44_550),
            low: Duration::from_secs(30),
            high: Duration::from_secs(90),
            basis: EtaBasis::Assumed,
        }),
        waiting_on: None,
        stalled_since: Some(at(5)),
        slow_since: Some(at(6)),
        stale_since: None,
        ..resolving()
    }
}

fn failed() -> Pull {
    Pull {
        phase: Phase::Ended(Outcome::Failed),
        failure: Some(Failure {
            reason: FailureReason::Unexplained,
            message: None,
        }),
        ended_at: Some(at(60)),
        waiting_on: None,
        stale_since: None,
        ..resolving()
    }
}

#[track_caller]
fn golden(pull: &Pull, golden: &str) {
    let status = v1::PullStatus::from(pull);
    let text = serde_json::to_string_pretty(&status).unwrap() + "\n";
    assert_eq!(text, golden, "the wire changed");
    let read: v1::PullStatus = serde_json::from_str(golden).unwrap();
    assert_eq!(read, status, "what was written is read as it was");
}

#[test]
fn a_live_pull_is_written_as_ever() {
    golden(&live(), LIVE);
}

#[test]
fn a_failed_pull_is_written_as_ever() {
    golden(&failed(), FAILED);
}

#[test]
fn what_is_unknown_is_absent() {
    golden(&resolving(), RESOLVING);
    for word in ["Bytes", "null", "percent", "layer", "eta"] {
        assert!(!RESOLVING.contains(word), "{word}");
    }
}

#[test]
fn unknown_fields_and_words_are_no_errors() {
    let newer = RESOLVING
        .replacen('{', r#"{"later":{"x":[1]},"#, 1)
        .replace(r#""resolving""#, r#""dreaming""#)
        .replace(r#""registry""#, r#""full_moon""#);
    let read: v1::PullStatus = serde_json::from_str(&newer).unwrap();
    assert_eq!(read.phase, v1::Phase::Other);
    assert_eq!(read.waiting_on.unwrap().kind, v1::WaitingKind::Other);
}

#[test]
fn every_word_of_the_model_is_the_wires() {
    let word = |value: serde_json::Value| value.as_str().unwrap().to_owned();
    for phase in [
        Phase::Resolving,
        Phase::Downloading,
        Phase::Extracting,
        Phase::Ended(Outcome::Completed),
        Phase::Ended(Outcome::Failed),
        Phase::Ended(Outcome::Cancelled),
        Phase::Ended(Outcome::Unknown),
    ] {
        let wire = serde_json::to_value(v1::Phase::from(phase)).unwrap();
        assert_eq!(word(wire), phase.as_str());
        if let Some(outcome) = phase.outcome() {
            let wire = serde_json::to_value(v1::Outcome::from(outcome)).unwrap();
            assert_eq!(word(wire), outcome.as_str());
        }
    }
    for state in [
        LayerState::Waiting,
        LayerState::Downloading,
        LayerState::Downloaded,
        LayerState::Extracting,
        LayerState::Complete,
        LayerState::Cached,
        LayerState::Remote,
    ] {
        let wire = serde_json::to_value(v1::LayerState::from(state)).unwrap();
        assert_eq!(word(wire), state.as_str());
    }
    for kind in [
        WaitingKind::DownloadSlot,
        WaitingKind::SharedLayer,
        WaitingKind::ParentLayer,
        WaitingKind::Registry,
    ] {
        let wire = serde_json::to_value(v1::WaitingKind::from(kind)).unwrap();
        assert_eq!(word(wire), kind.as_str());
    }
    for basis in [EtaBasis::Learned, EtaBasis::Assumed] {
        let wire = serde_json::to_value(v1::EtaBasis::from(basis)).unwrap();
        assert_eq!(word(wire), basis.as_str());
    }
}
