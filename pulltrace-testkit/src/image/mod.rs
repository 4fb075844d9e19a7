//! Builds images whose numbers are all known in advance: layers of an exact compressed size,
//! shared, duplicate and empty layers, multi-platform indexes, and invalid documents.
//! Deterministic: the same calls produce the same digests. Does not access a registry.
//!
//! - [`Layer`]: one layer, built once and shared by cloning
//! - [`ImageBuilder`]: layers → a manifest and its config
//! - [`IndexBuilder`]: images → an index

mod build;
mod layer;
mod lazy_gzip;

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::sync::Arc;

use bytes::Bytes;
use sha2::{Digest as _, Sha256};

pub use build::{ImageBuilder, IndexBuilder};
pub use layer::{Layer, MIN_GZIP_SIZE, MIN_TAR_SIZE};
pub use lazy_gzip::LazyGzip;

/// Media types of the documents and blobs that the kit builds.
pub mod media_type {
    /// An index of several manifests.
    pub const INDEX: &str = "application/vnd.oci.image.index.v1+json";
    /// The manifest of one image.
    pub const MANIFEST: &str = "application/vnd.oci.image.manifest.v1+json";
    /// The config of one image.
    pub const CONFIG: &str = "application/vnd.oci.image.config.v1+json";
    /// A gzip-compressed layer.
    pub const LAYER_GZIP: &str = "application/vnd.oci.image.layer.v1.tar+gzip";
    /// An uncompressed layer.
    pub const LAYER_TAR: &str = "application/vnd.oci.image.layer.v1.tar";
    /// The content of an attestation manifest.
    pub const IN_TOTO: &str = "application/vnd.in-toto+json";
}

/// Converts mebibytes to bytes.
#[must_use]
pub const fn mib(n: u64) -> u64 {
    n * 1024 * 1024
}

/// The digest of `data` as `sha256:<hex>`.
#[must_use]
pub fn digest(data: &[u8]) -> String {
    hex(&Sha256::digest(data))
}

fn hex(hash: &[u8]) -> String {
    let mut text = String::from("sha256:");
    for byte in hash {
        write!(text, "{byte:02x}").expect("writing to a String cannot fail");
    }
    text
}

/// The content of a blob.
#[derive(Debug, Clone)]
pub enum Blob {
    /// Held in memory.
    Bytes(Bytes),
    /// Generated on read, see [`Layer::lazy`].
    LazyGzip(Arc<LazyGzip>),
    /// Generated on read. Its digest does not match the content, so a pull of it always fails.
    Synthetic {
        /// The seed of the content.
        seed: u64,
        /// The length in bytes.
        len: u64,
    },
}

impl Blob {
    /// The length in bytes.
    #[must_use]
    pub fn len(&self) -> u64 {
        match self {
            Self::Bytes(bytes) => bytes.len() as u64,
            Self::LazyGzip(stored) => stored.len(),
            Self::Synthetic { len, .. } => *len,
        }
    }

    /// Reports whether the blob is 0 bytes long.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// Reads up to `max` bytes from `offset` on; empty past the end.
    #[must_use]
    pub fn read(&self, offset: u64, max: usize) -> Bytes {
        let rest = self.len().saturating_sub(offset);
        let n = usize::try_from(rest).map_or(max, |rest| rest.min(max));
        match self {
            Self::Bytes(bytes) => {
                let start =
                    bytes.len() - usize::try_from(rest).expect("at most the slice's length");
                bytes.slice(start..start + n)
            }
            Self::LazyGzip(stored) => stored.read(offset, n),
            Self::Synthetic { seed, .. } => {
                let mut data = vec![0; n];
                layer::fill_random(*seed, offset, &mut data);
                data.into()
            }
        }
    }
}

/// A descriptor: type, digest and size of a blob.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Descriptor {
    /// The media type.
    pub media_type: String,
    /// The digest, `sha256:<hex>`.
    pub digest: String,
    /// The declared size in bytes.
    pub size: u64,
}

/// The platform of a manifest.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Platform {
    /// `linux`, or `unknown` for an attestation.
    pub os: String,
    /// `amd64`, `arm64`, or `unknown`.
    pub architecture: String,
}

impl Platform {
    /// Linux on `architecture`, given as Go names it (`amd64`).
    #[must_use]
    pub fn linux(architecture: &str) -> Self {
        Self { os: "linux".into(), architecture: architecture.into() }
    }

    /// The platform of this machine, which its containerd selects.
    #[must_use]
    pub fn host() -> Self {
        Self::linux(match std::env::consts::ARCH {
            "x86_64" => "amd64",
            "aarch64" => "arm64",
            other => other,
        })
    }

    /// A platform that this machine's containerd does not select.
    #[must_use]
    pub fn foreign() -> Self {
        Self::linux("s390x")
    }

    /// The platform of an attestation manifest.
    #[must_use]
    pub fn unknown() -> Self {
        Self { os: "unknown".into(), architecture: "unknown".into() }
    }
}

/// A layer of a built manifest.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct LayerInfo {
    /// Type, digest and compressed size.
    pub descriptor: Descriptor,
    /// The digest of the uncompressed layer.
    pub diff_id: String,
    /// The chain id: the name of the snapshot of this layer and all below it.
    pub chain_id: String,
}

/// A manifest of an image, with its contents.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Manifest {
    /// The manifest's own descriptor.
    pub descriptor: Descriptor,
    /// The platform that it is for.
    pub platform: Platform,
    /// Its config.
    pub config: Descriptor,
    /// Its layers, lowest first, with the manifest's duplicates. Empty for an attestation.
    pub layers: Vec<LayerInfo>,
    /// True for an attestation, false for an image.
    pub attestation: bool,
}

impl Manifest {
    /// The sum of the layers' sizes in bytes, counting every digest once.
    #[must_use]
    pub fn unique_layer_bytes(&self) -> u64 {
        let sizes: BTreeMap<_, _> = self
            .layers
            .iter()
            .map(|layer| (&layer.descriptor.digest, layer.descriptor.size))
            .collect();
        sizes.values().sum()
    }
}

/// An image that is ready to be pushed: descriptors, documents and blobs.
#[derive(Debug, Clone)]
pub struct Image {
    /// The document that a tag refers to: an index or a manifest.
    pub root: Descriptor,
    /// The manifests, in the order of the index; a single one without an index, none for
    /// [`Image::raw_document`].
    pub manifests: Vec<Manifest>,
    /// Manifests and indexes by digest.
    pub(crate) documents: BTreeMap<String, (String, Bytes)>,
    /// Configs and layers by digest.
    pub(crate) blobs: BTreeMap<String, Blob>,
}

impl Image {
    /// Builds an image, by default for this machine's platform.
    #[must_use]
    pub fn builder() -> ImageBuilder {
        ImageBuilder::new()
    }

    /// Builds an index.
    #[must_use]
    pub fn index() -> IndexBuilder {
        IndexBuilder::new()
    }

    /// Arbitrary bytes in place of a manifest, for tests of invalid images.
    #[must_use]
    pub fn raw_document(media_type: &str, data: impl Into<Bytes>) -> Self {
        let data = data.into();
        let root = Descriptor {
            media_type: media_type.into(),
            digest: digest(&data),
            size: data.len() as u64,
        };
        Self {
            documents: BTreeMap::from([(root.digest.clone(), (media_type.to_owned(), data))]),
            root,
            manifests: Vec::new(),
            blobs: BTreeMap::new(),
        }
    }

    /// The manifest that this machine's containerd selects.
    ///
    /// # Panics
    /// When the image has no manifest for this machine.
    #[must_use]
    pub fn manifest(&self) -> &Manifest {
        let host = Platform::host();
        self.manifests
            .iter()
            .find(|manifest| manifest.platform == host)
            .expect("the image has a manifest for this machine")
    }

    /// The layers of [`Image::manifest`], lowest first.
    ///
    /// # Panics
    /// When the image has no manifest for this machine.
    #[must_use]
    pub fn layers(&self) -> &[LayerInfo] {
        &self.manifest().layers
    }

    /// Writes the image, named `name`, as an OCI layout in a tar file for `ctr images import`.
    ///
    /// # Errors
    /// When the file cannot be written.
    pub fn write_archive(&self, name: &str, file: &std::path::Path) -> std::io::Result<()> {
        build::write_archive(self, name, file)
    }
}
