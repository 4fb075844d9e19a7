#![doc = include_str!("../README.md")]
#![forbid(unsafe_code)]
#![deny(missing_docs)]

mod blob;
pub mod change;
mod entry;
pub mod eta;
pub mod failure;
pub mod id;
pub mod image;
pub mod kubelet;
pub mod layer;
pub mod link;
mod motion;
pub mod observation;
pub mod pull;
pub mod rate;
pub mod reference;
pub mod table;
pub mod time;
pub mod unit;
mod usual;
pub mod wait;
pub mod wire;

pub use change::{Change, ChangeKind, Counters, NodeSums};
pub use eta::{Eta, EtaBasis};
pub use failure::{Failure, FailureReason};
pub use id::{Digest, KubeName, LeaseId, NameError, Namespace, NodeName, PodUid, PullId, Slot};
pub use image::{Compression, Image, ImageLayer};
pub use layer::{Layer, LayerState};
pub use link::{KubeletTimes, LinkEvidence, Links, PodRef, Waiter, WantedImage};
pub use observation::{Anomaly, BlobSight, Evidence, LayerSight, Observation};
pub use pull::{Outcome, Phase, Pull};
pub use rate::{Pace, RateMeter};
pub use reference::{ImageRef, Repository, Version};
pub use table::{Limits, PullTable};
pub use time::{Mono, NodeTime, NodeTimeError, Now};
pub use unit::{Bytes, BytesPerSecond, Percent};
pub use wait::{WaitingKind, WaitingOn};
