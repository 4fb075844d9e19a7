#![doc = include_str!("../README.md")]
#![forbid(unsafe_code)]
#![deny(missing_docs)]

#[macro_use]
mod words;

mod activity;
pub mod backoff;
mod baseline;
mod blob;
pub mod change;
mod entry;
pub mod error;
pub mod eta;
pub mod failure;
pub mod id;
pub mod image;
pub mod kubelet;
pub mod layer;
pub mod link;
pub mod observation;
pub mod pull;
pub mod rate;
pub mod reference;
pub mod table;
pub mod time;
pub mod unit;
pub mod wait;
pub mod wire;

pub use change::{Change, ChangeKind, Counters, NodeTotals};
pub use eta::{Eta, EtaBasis};
pub use failure::{Failure, FailureReason};
pub use id::{
    Digest, ImageConsumer, KubeName, LeaseId, NameError, Namespace, NodeName, PodUid, PullId,
};
pub use image::{Compression, Image, ImageLayer};
pub use layer::{Layer, LayerState};
pub use link::{KubeletTimes, LinkEvidence, Links, PodRef, RequestedImage, Waiter};
pub use observation::{
    Anomaly, BlobObservation, EndEvidence, LayerObservation, Observation, PullFact,
};
pub use pull::{Outcome, Phase, Pull};
pub use rate::{RateForecast, RateMeter};
pub use reference::{ImageRef, Repository, TagOrDigest};
pub use table::{Limits, PullTable};
pub use time::{Mono, NodeTime, NodeTimeError, Now};
pub use unit::{Bytes, BytesPerSecond, Percent};
pub use wait::{WaitingKind, WaitingOn};
