//! Observations for scripts, and a timeout for waits.

use std::sync::Arc;
use std::time::Duration;

use pulltrace_agent_lib::Clock;
use pulltrace_core::{
    BlobObservation, Bytes, Compression, Digest, EndEvidence, Image, ImageLayer, NodeName,
    NodeTime, Observation, PullFact, PullId,
};

pub(crate) fn node() -> NodeName {
    "worker-1".parse().unwrap()
}

pub(crate) fn start() -> NodeTime {
    "2026-11-24T20:00:00Z".parse().unwrap()
}

pub(crate) fn id(pull: u32) -> PullId {
    PullId::Lease {
        node: node(),
        namespace: "k8s.io".parse().unwrap(),
        lease: format!("lease-{pull}").parse().unwrap(),
        created: start(),
    }
}

pub(crate) fn began(pull: u32) -> Observation {
    PullFact::Started { at: start() }.of(id(pull))
}

pub(crate) fn named(pull: u32, name: &str) -> Observation {
    PullFact::Named(name.parse().unwrap()).of(id(pull))
}

pub(crate) fn ended(pull: u32, evidence: EndEvidence, clock: &Clock) -> Observation {
    PullFact::Ended { evidence, at: clock.now().node }.of(id(pull))
}

/// Awaits a future for up to ten minutes of paused time, which pass instantly.
pub(crate) async fn within_ten_minutes<T>(what: &str, future: impl Future<Output = T>) -> T {
    match tokio::time::timeout(Duration::from_mins(10), future).await {
        Ok(value) => value,
        Err(_) => panic!("timed out after ten minutes: {what}"),
    }
}

/// The manifest of a pull: one layer of 1,000 bytes.
pub(crate) fn image(pull: u32) -> Observation {
    let image = Image {
        root: digest(pull),
        manifests: vec![],
        platform: None,
        layers: vec![ImageLayer {
            digest: digest(pull),
            size: Bytes(1_000),
            chains: vec![],
            compression: Compression::Gzip,
            media_type: String::new(),
            created_by: None,
        }],
    };
    PullFact::Image(Arc::new(image)).of(id(pull))
}

/// Progress of that layer.
pub(crate) fn bytes(pull: u32, offset: u64, clock: &Clock) -> Observation {
    Observation::Blob {
        namespace: "k8s.io".parse().unwrap(),
        digest: digest(pull),
        observed: BlobObservation::Ingest {
            offset: Bytes(offset),
            started_at: start(),
            updated_at: clock.now().node,
            by: Some(id(pull)),
        },
    }
}

pub(crate) fn digest(pull: u32) -> Digest {
    format!("sha256:{pull:064x}").parse().unwrap()
}
