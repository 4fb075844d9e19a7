//! Built images: descriptors, manifests, and the documents and blobs to push.

use std::collections::BTreeMap;

use bytes::Bytes;

use super::blob::Blob;
use super::format::digest;

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
}
