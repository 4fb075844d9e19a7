//! The model of an image pull.
#![forbid(unsafe_code)]
#![deny(missing_docs)]

pub mod id;
pub mod image;
pub mod reference;
pub mod time;
pub mod unit;

pub use id::{Digest, LeaseId, NameError, Namespace, NodeName, PullId};
pub use image::{Compression, Image, ImageLayer};
pub use reference::{ImageRef, Repository, Version};
pub use time::{Mono, NodeTime, NodeTimeError, Now};
pub use unit::{Bytes, BytesPerSecond, Percent};
