//! What never changes of an image: its digests, platform and layers.
//!
//! Nothing here knows how far a pull is.

use crate::id::Digest;
use crate::unit::Bytes;

/// The most layers that an image may have here; more is refused as an anomaly.
///
/// The overlay file system of Linux carries 500 (`OVL_MAX_STACK`); twice that is room to spare.
pub const MAX_LAYERS: usize = 1_000;

/// An image as a node pulls it: the manifests chosen for its platform, and the layers of them all.
///
/// A runtime may choose more than one manifest of an index (containerd 2.1 and later pulls each that
/// matches the node), so this is their union: each layer once.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Image {
    /// The digest that the image's name points to: that of the index, or of the only manifest.
    pub root: Digest,
    /// The chosen manifests; the first is the one that is run.
    pub manifests: Vec<Digest>,
    /// `linux/amd64`, `linux/arm/v7`; `None` where the image does not say.
    pub platform: Option<String>,
    /// Each layer once, in the order of the manifests, lowest first.
    pub layers: Vec<ImageLayer>,
}

impl Image {
    /// What all layers weigh, compressed, each counted once.
    #[must_use]
    pub fn total(&self) -> Bytes {
        self.layers.iter().map(|layer| layer.size).sum()
    }

    /// The layer with this digest.
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
    /// The compressed size, as the manifest says it.
    pub size: Bytes,
    /// The chain ids that this layer completes, one for each place it has in the manifests.
    ///
    /// A chain id names a layer *and* all below it: the snapshot that unpacking it makes.
    pub chains: Vec<Digest>,
    /// How it is compressed.
    pub compression: Compression,
    /// The media type, as the manifest says it.
    pub media_type: String,
    /// The build step that made it, where the config tells; at most 120 characters, and without the
    /// values of `ARG` and `ENV`.
    pub created_by: Option<String>,
}

/// How a layer is compressed, which decides how long it takes to unpack.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Compression {
    /// gzip: what nearly all images use.
    Gzip,
    /// Zstandard.
    Zstd,
    /// A plain tar.
    None,
    /// A media type that does not tell.
    Unknown,
}

impl Compression {
    /// From the media type of a layer.
    #[must_use]
    pub fn of(media_type: &str) -> Self {
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
    fn media_types_tell_their_compression() {
        for (media_type, compression) in [
            (
                "application/vnd.oci.image.layer.v1.tar+gzip",
                Compression::Gzip,
            ),
            (
                "application/vnd.docker.image.rootfs.diff.tar.gzip",
                Compression::Gzip,
            ),
            (
                "application/vnd.oci.image.layer.v1.tar+zstd",
                Compression::Zstd,
            ),
            ("application/vnd.oci.image.layer.v1.tar", Compression::None),
            (
                "application/vnd.oci.image.layer.v1.tar+encrypted",
                Compression::Unknown,
            ),
        ] {
            assert_eq!(Compression::of(media_type), compression, "{media_type}");
        }
    }
}
