//! Builds images whose numbers are all known in advance: layers of an exact compressed size,
//! shared, duplicate and empty layers, multi-platform indexes, and invalid documents.
//! Deterministic: the same calls produce the same digests. Does not access a registry.
//!
//! - [`Layer`]: one layer, built once and shared by cloning
//! - [`ImageBuilder`]: layers → a manifest and its config
//! - [`IndexBuilder`]: images → an index

mod blob;
mod build;
mod elf;
mod format;
mod layer;
mod lazy_gzip;
mod manifest;
pub mod media_type;

pub use blob::Blob;
pub use build::{ImageBuilder, IndexBuilder};
pub use format::{MIN_GZIP_SIZE, MIN_TAR_SIZE, digest};
pub use layer::Layer;
pub use lazy_gzip::LazyGzip;
pub use manifest::{Descriptor, Image, LayerInfo, Manifest, Platform};

/// Converts mebibytes to bytes.
#[must_use]
pub const fn mib(n: u64) -> u64 {
    n * 1024 * 1024
}
