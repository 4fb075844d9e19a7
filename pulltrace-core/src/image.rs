//! The immutable data of an image: its digests, platform and layers.

use crate::id::Digest;
use crate::unit::Bytes;

/// The maximum number of layers per image. Larger images are rejected as an anomaly.
///
/// Linux overlayfs supports 500 (`OVL_MAX_STACK`); this is twice that.
pub const MAX_LAYERS: usize = 1_000;

/// An image as a node pulls it: the manifests selected for its platform, and their layers.
///
/// A runtime may select several manifests of an index (containerd 2.1 and later pull every one that
/// matches the node), so this is their union, with each layer once.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Image {
    /// The digest that the image name points to: that of the index, or of the only manifest.
    pub root: Digest,
    /// The selected manifests. Containers run the first one.
    pub manifests: Vec<Digest>,
    /// `linux/amd64`, `linux/arm/v7`; `None` if the image does not declare it.
    pub platform: Option<String>,
    /// Each layer once, in the order of the manifests, lowest first.
    pub layers: Vec<ImageLayer>,
}

impl Image {
    /// Returns the total compressed size of the layers, each counted once.
    #[must_use]
    pub fn total(&self) -> Bytes {
        self.layers.iter().map(|layer| layer.size).sum()
    }

    /// Returns the index of the layer with this digest.
    #[must_use]
    pub fn layer(&self, digest: &Digest) -> Option<usize> {
        self.layers.iter().position(|layer| layer.digest == *digest)
    }
}

/// One layer of an image.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ImageLayer {
    /// The digest of the compressed blob.
    pub digest: Digest,
    /// The compressed size according to the manifest.
    pub size: Bytes,
    /// The chain ids that this layer completes, one for each of its positions in the manifests.
    ///
    /// A chain id identifies a layer *and* all layers below it: the snapshot created by unpacking
    /// it.
    pub chains: Vec<Digest>,
    /// The compression.
    pub compression: Compression,
    /// The media type according to the manifest.
    pub media_type: String,
    /// The build step that created the layer, if the config contains it. At most 120 characters,
    /// without the values of `ARG` and `ENV`.
    pub created_by: Option<String>,
}

/// The compression of a layer, which affects its unpack time.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
#[non_exhaustive]
pub enum Compression {
    /// gzip, used by nearly all images.
    Gzip,
    /// Zstandard.
    Zstd,
    /// An uncompressed tar archive.
    None,
    /// Unknown from the media type.
    Unknown,
}

impl Compression {
    /// Derives the compression from the media type of a layer.
    #[must_use]
    pub fn from_media_type(media_type: &str) -> Self {
        let end = |ends: &[&str]| ends.iter().any(|end| media_type.ends_with(end));
        if end(&["+gzip", ".gzip", ".tar.gzip"]) {
            Self::Gzip
        } else if end(&["+zstd", ".zstd"]) {
            Self::Zstd
        } else if end(&[".tar"]) {
            Self::None
        } else {
            Self::Unknown
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn compression_is_derived_from_media_type() {
        for (media_type, compression) in [
            ("application/vnd.oci.image.layer.v1.tar+gzip", Compression::Gzip),
            ("application/vnd.docker.image.rootfs.diff.tar.gzip", Compression::Gzip),
            ("application/vnd.oci.image.layer.v1.tar+zstd", Compression::Zstd),
            ("application/vnd.oci.image.layer.v1.tar", Compression::None),
            ("application/vnd.oci.image.layer.v1.tar+encrypted", Compression::Unknown),
        ] {
            assert_eq!(Compression::from_media_type(media_type), compression, "{media_type}");
        }
    }
}
