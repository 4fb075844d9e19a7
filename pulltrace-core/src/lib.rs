#![doc = include_str!("../README.md")]
#![forbid(unsafe_code)]
#![deny(missing_docs)]

mod blob;
mod entry;
pub mod eta;
pub mod failure;
pub mod id;
pub mod image;
pub mod layer;
pub mod observation;
pub mod pull;
pub mod rate;
pub mod reference;
pub mod table;
pub mod time;
pub mod unit;
pub mod wait;
pub mod wire;

pub use eta::{Eta, EtaBasis};
pub use failure::{Failure, FailureReason};
pub use id::{Digest, LeaseId, NameError, Namespace, NodeName, PullId};
pub use image::{Compression, Image, ImageLayer};
pub use layer::{Layer, LayerState};
pub use observation::{Anomaly, BlobSight, Evidence, LayerSight, Observation};
pub use pull::{Outcome, Phase, Pull};
pub use rate::RateMeter;
pub use reference::{ImageRef, Repository, Version};
pub use table::{Change, ChangeKind, Counters, Limits, NodeSums, PullTable};
pub use time::{Mono, NodeTime, NodeTimeError, Now};
pub use unit::{Bytes, BytesPerSecond, Percent};
pub use wait::{WaitingKind, WaitingOn};
