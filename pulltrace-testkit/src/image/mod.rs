//! Builds images whose every number is known beforehand: layers of an exact
//! compressed size, shared, doubled or empty ones, indexes of several
//! platforms, and documents that are none. Deterministic: the same calls give
//! the same digests. Nothing here talks to a registry.
//!
//! - [`Layer`]: one layer, built once and shared by cloning
//! - [`ImageBuilder`]: layers → one manifest and its config
//! - [`IndexBuilder`]: images → one index

mod build;
mod layer;
mod stored;

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::sync::Arc;

use bytes::Bytes;
use sha2::{Digest as _, Sha256};

pub use build::{ImageBuilder, IndexBuilder};
pub use layer::{Layer, MIN_GZIP_SIZE, MIN_TAR_SIZE};
pub use stored::Stored;

/// Media types of the documents and blobs that the kit builds.
pub mod media_type {
    /// An index of several manifests.
    pub const INDEX: &str = "application/vnd.oci.image.index.v1+json";
    /// The manifest of one image.
    pub const MANIFEST: &str = "application/vnd.oci.image.manifest.v1+json";
    /// The config of one image.
    pub const CONFIG: &str = "application/vnd.oci.image.config.v1+json";
    /// A layer compressed by gzip.
    pub const LAYER_GZIP: &str = "application/vnd.oci.image.layer.v1.tar+gzip";
    /// A layer that is not compressed.
    pub const LAYER_TAR: &str = "application/vnd.oci.image.layer.v1.tar";
    /// The content of an attestation manifest.
    pub const IN_TOTO: &str = "application/vnd.in-toto+json";
}

/// Mebibytes as bytes, for sizes that read well.
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
        write!(text, "{byte:02x}").expect("a String takes all text");
    }
    text
}

/// The content of a blob.
#[derive(Debug, Clone)]
pub enum Blob {
    /// Held in memory.
    Bytes(Bytes),
    /// Made while it is read, as [`Layer::made_when_read`] says.
    Stored(Arc<Stored>),
    /// Made while it is read; its digest is a name and not a hash of it, so
    /// that no pull of it can succeed.
    Synthetic {
        /// Chooses the bytes.
        seed: u64,
        /// Length in bytes.
        len: u64,
    },
}

impl Blob {
    /// Length in bytes.
    #[must_use]
    pub fn len(&self) -> u64 {
        match self {
            Self::Bytes(bytes) => bytes.len() as u64,
            Self::Stored(stored) => stored.len(),
            Self::Synthetic { len, .. } => *len,
        }
    }

    /// Whether it holds no byte.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// The bytes from `offset` on, at most `max` of them; none past the end.
    #[must_use]
    pub fn read(&self, offset: u64, max: usize) -> Bytes {
        let rest = self.len().saturating_sub(offset);
        let n = usize::try_from(rest).map_or(max, |rest| rest.min(max));
        match self {
            Self::Bytes(bytes) => {
                let start = bytes.len() - usize::try_from(rest).expect("a part of a slice");
                bytes.slice(start..start + n)
            }
            Self::Stored(stored) => stored.read(offset, n),
            Self::Synthetic { seed, .. } => {
                let mut data = vec![0; n];
                layer::fill_random(*seed, offset, &mut data);
                data.into()
            }
        }
    }
}

/// What points at a blob: type, digest and size.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Descriptor {
    /// The media type.
    pub media_type: String,
    /// The digest, `sha256:<hex>`.
    pub digest: String,
    /// The declared size in bytes.
    pub size: u64,
}

/// What a manifest of an index is for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Platform {
    /// `linux`, or `unknown` for an attestation.
    pub os: String,
    /// `amd64`, `arm64`, or `unknown`.
    pub architecture: String,
}

impl Platform {
    /// Linux on `architecture`, in the words of Go (`amd64`).
    #[must_use]
    pub fn linux(architecture: &str) -> Self {
        Self {
            os: "linux".into(),
            architecture: architecture.into(),
        }
    }

    /// The platform of this machine: what its containerd chooses.
    #[must_use]
    pub fn host() -> Self {
        Self::linux(match std::env::consts::ARCH {
            "x86_64" => "amd64",
            "aarch64" => "arm64",
            other => other,
        })
    }

    /// A platform that this machine's containerd does not choose.
    #[must_use]
    pub fn foreign() -> Self {
        Self::linux("s390x")
    }

    /// The platform of an attestation manifest.
    #[must_use]
    pub fn unknown() -> Self {
        Self {
            os: "unknown".into(),
            architecture: "unknown".into(),
        }
    }
}

/// One layer of a built manifest.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct LayerInfo {
    /// Type, digest and compressed size.
    pub descriptor: Descriptor,
    /// Digest of the layer without compression.
    pub diff_id: String,
    /// The snapshot's name: this layer on top of all below.
    pub chain_id: String,
}

/// One manifest of an image and what it lists.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Manifest {
    /// The manifest itself.
    pub descriptor: Descriptor,
    /// For which platform it is.
    pub platform: Platform,
    /// Its config.
    pub config: Descriptor,
    /// Its layers, the lowest first, as often as the manifest lists them. An
    /// attestation has none.
    pub layers: Vec<LayerInfo>,
    /// Whether it is an attestation and no image.
    pub attestation: bool,
}

impl Manifest {
    /// Sum of the layers' sizes in bytes, each digest once.
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

/// An image, ready to be pushed: exact numbers, documents and blobs.
#[derive(Debug, Clone)]
pub struct Image {
    /// The document that a tag points at: an index or a manifest.
    pub root: Descriptor,
    /// The manifests, in the order of the index; one when there is no index,
    /// none for [`Image::document`].
    pub manifests: Vec<Manifest>,
    /// Manifests and indexes by digest.
    pub(crate) documents: BTreeMap<String, (String, Bytes)>,
    /// Configs and layers by digest.
    pub(crate) blobs: BTreeMap<String, Blob>,
}

impl Image {
    /// Starts an image of this machine's platform.
    #[must_use]
    pub fn builder() -> ImageBuilder {
        ImageBuilder::new()
    }

    /// Starts an index.
    #[must_use]
    pub fn index() -> IndexBuilder {
        IndexBuilder::new()
    }

    /// Any bytes in the place of a manifest: nonsense for a client to refuse.
    #[must_use]
    pub fn document(media_type: &str, data: impl Into<Bytes>) -> Self {
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

    /// The manifest that this machine's containerd chooses.
    ///
    /// # Panics
    /// When the image has none for this machine.
    #[must_use]
    pub fn manifest(&self) -> &Manifest {
        let host = Platform::host();
        self.manifests
            .iter()
            .find(|manifest| manifest.platform == host)
            .expect("the image has a manifest for this machine")
    }

    /// The layers of [`Image::manifest`], the lowest first.
    ///
    /// # Panics
    /// When the image has no manifest for this machine.
    #[must_use]
    pub fn layers(&self) -> &[LayerInfo] {
        &self.manifest().layers
    }

    /// The image as an OCI layout in a tar file, for `ctr images import`,
    /// named `name`.
    ///
    /// # Errors
    /// When the file cannot be written.
    pub fn write_archive(&self, name: &str, file: &std::path::Path) -> std::io::Result<()> {
        build::write_archive(self, name, file)
    }
}
