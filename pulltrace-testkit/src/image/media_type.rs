//! Media types of the documents and blobs that the kit builds.

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
