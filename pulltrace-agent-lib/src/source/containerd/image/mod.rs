//! Index, manifest and config documents, and the image they describe. Pure.
//!
//! Invalid documents are rejected with an [`ImageError`]; parsing never panics. The tracker decides
//! which documents to read and how to use them.

mod document;
mod history;

use std::collections::{BTreeMap, BTreeSet};

use pulltrace_core::image::{Compression, MAX_LAYERS};
use pulltrace_core::{Bytes, Digest, Image, ImageLayer, NameError};
use sha2::{Digest as _, Sha256};

pub use document::parse_document;

/// The largest document in bytes; containerd's own limit for manifests.
pub const MAX_DOCUMENT: usize = 4 << 20;

/// A parsed document.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Document {
    /// A list of manifests, one per platform.
    Index(Index),
    /// A list of layers.
    Manifest(Manifest),
    /// The config of a runnable image.
    Config(Config),
}

/// An image index or a Docker manifest list.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Index {
    entries: Vec<Entry>,
}

#[derive(Clone, Debug, PartialEq, Eq)]
struct Entry {
    digest: Digest,
    /// `linux/amd64`; `None` if not specified.
    platform: Option<String>,
    /// True if the entry is an image and not an attestation, which has the platform
    /// `unknown/unknown`.
    is_image: bool,
}

/// An image manifest.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Manifest {
    config: Digest,
    layers: Vec<ManifestLayer>,
}

#[derive(Clone, Debug, PartialEq, Eq)]
struct ManifestLayer {
    digest: Digest,
    size: Bytes,
    media_type: String,
}

/// An image config: platform, diff ids and build steps.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Config {
    platform: Option<String>,
    diff_ids: Vec<Digest>,
    /// One entry per diff id.
    created_by: Vec<Option<String>>,
}

/// An invalid document, or documents that do not form an image. A retry does not help.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum ImageError {
    /// The document is larger than [`MAX_DOCUMENT`].
    #[error("document too large: {0} bytes, limit {MAX_DOCUMENT}")]
    TooLong(usize),
    /// The document is not valid JSON, is truncated, or has a member of the wrong type.
    #[error("invalid document (line {line}, column {column})")]
    Json {
        /// Line of the error, from 1.
        line: usize,
        /// Column of the error, from 1.
        column: usize,
    },
    /// The document is neither an index nor a manifest nor an image config.
    #[error("unknown document type: expected an index, a manifest or an image config")]
    UnknownDocument,
    /// A list exceeds its limit.
    #[error("too many items: {count} {what}, limit {limit}")]
    TooMany {
        /// The kind of items.
        what: &'static str,
        /// The number of items.
        count: usize,
        /// The limit.
        limit: usize,
    },
    /// A digest is invalid.
    #[error("invalid digest")]
    Digest(#[source] NameError),
    /// A layer has no size.
    #[error("layer without a size")]
    NoSize,
    /// A size is negative, not an integer, or does not fit into 63 bits.
    #[error("invalid size: {0}")]
    Size(String),
    /// The sum of the layer sizes does not fit into 63 bits.
    #[error("sum of the layer sizes overflows")]
    SizesOverflow,
    /// Manifest and config do not belong together.
    #[error("manifest has {layers} layers, but config has {diff_ids} diff ids")]
    LayerCount {
        /// The number of layers in the manifest.
        layers: usize,
        /// The number of diff ids in the config.
        diff_ids: usize,
    },
    /// The same layer occurs with two sizes.
    #[error("layer {digest} has conflicting sizes: {} and {} bytes", one.0, other.0)]
    TwoSizes {
        /// The layer.
        digest: Digest,
        /// The first size.
        one: Bytes,
        /// The other size.
        other: Bytes,
    },
    /// No manifest was given.
    #[error("image has no manifest")]
    NoManifest,
}

impl Index {
    /// Returns the manifests for this platform (`linux/amd64`), in index order.
    #[must_use]
    pub fn manifests_for_platform(&self, platform: &str) -> Vec<Digest> {
        self.image_entries(|entry| entry.platform.as_deref() == Some(platform))
    }

    /// Returns the matching image entries without duplicates.
    fn image_entries(&self, wanted: impl Fn(&Entry) -> bool) -> Vec<Digest> {
        let mut seen = BTreeSet::new();
        let entries = self.entries.iter().filter(|entry| entry.is_image && wanted(entry));
        entries
            .filter(|entry| seen.insert(&entry.digest))
            .map(|entry| entry.digest.clone())
            .collect()
    }
}

impl Manifest {
    /// Returns the digest of the config.
    #[must_use]
    pub fn config(&self) -> &Digest {
        &self.config
    }

    /// Returns the layers, lowest first, including duplicates.
    #[must_use]
    pub fn layers(&self) -> impl ExactSizeIterator<Item = &Digest> {
        self.layers.iter().map(|layer| &layer.digest)
    }
}

/// Returns the manifests of an index that are part of a pull, in index order.
///
/// An index lists all platforms, whereas the lease (`held` is its content) contains only the blobs
/// being pulled. Attestations are excluded because they are not images.
#[must_use]
pub fn candidates(index: &Index, held: &BTreeSet<Digest>) -> Vec<Digest> {
    index.image_entries(|entry| held.contains(&entry.digest))
}

/// Selects the manifests that form the image. Some clients fetch the manifests of all platforms but
/// the layers of one.
///
/// Manifests with a layer in `held` (content and ingests of the lease) are selected, together with
/// all manifests for the same platforms, because containerd 2.1 and later pulls every match.
/// Without any such layer, those for the platform `host` are selected, and if there are none, the
/// first. Manifests that have not been read (not in `manifests`) are never selected.
#[must_use]
pub fn select(
    index: &Index,
    manifests: &BTreeMap<Digest, Manifest>,
    held: &BTreeSet<Digest>,
    host: &str,
) -> Vec<Digest> {
    let content: BTreeSet<Digest> = manifests.keys().cloned().collect();
    let candidates = candidates(index, &content);
    let platform = |digest: &Digest| {
        let mut entries = index.entries.iter().filter(|entry| entry.digest == *digest);
        entries.next().and_then(|entry| entry.platform.as_deref())
    };
    let has_layer = |digest: &Digest| manifests[digest].layers().any(|layer| held.contains(layer));

    let with_layers: Vec<&Digest> = candidates.iter().filter(|digest| has_layer(digest)).collect();
    let platforms: BTreeSet<&str> = if with_layers.is_empty() {
        BTreeSet::from([host])
    } else {
        with_layers.iter().filter_map(|digest| platform(digest)).collect()
    };
    let chosen = candidates.iter().filter(|digest| {
        with_layers.contains(digest)
            || platform(digest).is_some_and(|platform| platforms.contains(platform))
    });
    let chosen: Vec<Digest> = chosen.cloned().collect();
    if chosen.is_empty() { candidates.into_iter().take(1).collect() } else { chosen }
}

/// Builds the image with this root from the selected manifests and their configs. Each layer occurs
/// once.
///
/// # Errors
/// Returns an error if the documents contradict each other or exceed a limit.
pub fn assemble(root: Digest, parts: &[(Digest, &Manifest, &Config)]) -> Result<Image, ImageError> {
    let mut steps = Vec::new();
    for (_, manifest, config) in parts {
        if manifest.layers.len() != config.diff_ids.len() {
            return Err(ImageError::LayerCount {
                layers: manifest.layers.len(),
                diff_ids: config.diff_ids.len(),
            });
        }
        let made = config_chain_ids(config).into_iter().zip(&config.created_by);
        let layers = manifest.layers.iter().zip(made);
        steps.extend(layers.map(|(layer, (chain, step))| (layer, Some(chain), step.as_ref())));
    }
    let layers = merge_layers(steps)?;
    let (_, _, first) = parts.first().ok_or(ImageError::NoManifest)?;
    Ok(Image {
        root,
        manifests: parts.iter().map(|(digest, _, _)| digest.clone()).collect(),
        platform: first.platform.clone(),
        layers,
    })
}

/// Builds the image from the manifests alone, before the configs are known: sizes without chains.
///
/// # Errors
/// Returns an error if the documents contradict each other or exceed a limit.
pub fn assemble_sizes(root: Digest, parts: &[(Digest, &Manifest)]) -> Result<Image, ImageError> {
    if parts.is_empty() {
        return Err(ImageError::NoManifest);
    }
    let layers = parts.iter().flat_map(|(_, manifest)| &manifest.layers);
    Ok(Image {
        root,
        manifests: parts.iter().map(|(digest, _)| digest.clone()).collect(),
        platform: None,
        layers: merge_layers(layers.map(|layer| (layer, None, None)))?,
    })
}

/// Merges repeated layers, in order of first occurrence. A merged layer keeps the chains of all its
/// positions.
fn merge_layers<'a>(
    steps: impl IntoIterator<Item = (&'a ManifestLayer, Option<Digest>, Option<&'a String>)>,
) -> Result<Vec<ImageLayer>, ImageError> {
    let mut layers: Vec<ImageLayer> = Vec::new();
    let mut places: BTreeMap<Digest, usize> = BTreeMap::new();
    let mut total: u64 = 0;
    for (layer, chain, step) in steps {
        let place = *places.entry(layer.digest.clone()).or_insert(layers.len());
        let Some(known) = layers.get_mut(place) else {
            total = total.saturating_add(layer.size.0);
            layers.push(ImageLayer {
                digest: layer.digest.clone(),
                size: layer.size,
                chains: chain.into_iter().collect(),
                compression: Compression::from_media_type(&layer.media_type),
                media_type: layer.media_type.clone(),
                created_by: step.cloned(),
            });
            continue;
        };
        if known.size != layer.size {
            return Err(ImageError::TwoSizes {
                digest: layer.digest.clone(),
                one: known.size,
                other: layer.size,
            });
        }
        if let Some(chain) = chain.filter(|chain| !known.chains.contains(chain)) {
            known.chains.push(chain);
        }
        if known.created_by.is_none() {
            known.created_by = step.cloned();
        }
    }
    if layers.len() > MAX_LAYERS {
        return Err(ImageError::TooMany { what: "layers", count: layers.len(), limit: MAX_LAYERS });
    }
    if total > i64::MAX as u64 {
        return Err(ImageError::SizesOverflow);
    }
    Ok(layers)
}

/// Returns the chain ids of an image, lowest first; one per layer of its manifest.
///
/// A chain id identifies the snapshot of a layer unpacked on top of those below.
#[must_use]
pub fn config_chain_ids(config: &Config) -> Vec<Digest> {
    chain_ids(&config.diff_ids)
}

/// Computes the chain ids: the first is the diff id of the lowest layer, each further one the hash
/// of the previous chain id and the layer's diff id.
fn chain_ids(diff_ids: &[Digest]) -> Vec<Digest> {
    let mut chains: Vec<Digest> = Vec::with_capacity(diff_ids.len());
    for diff_id in diff_ids {
        let chain = match chains.last() {
            None => diff_id.clone(),
            Some(below) => sha256(&format!("{below} {diff_id}")),
        };
        chains.push(chain);
    }
    chains
}

fn sha256(text: &str) -> Digest {
    use std::fmt::Write as _;

    let mut digest = String::from("sha256:");
    for byte in Sha256::digest(text) {
        // Writing to a String cannot fail.
        write!(digest, "{byte:02x}").unwrap_or_default();
    }
    digest.parse().expect("64 hex digits are a valid digest")
}

#[cfg(test)]
mod tests;
