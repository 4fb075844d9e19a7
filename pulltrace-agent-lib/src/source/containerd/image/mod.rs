//! Index, manifest and config documents, and the image that they describe together. Pure.
//!
//! What cannot be true is refused with an [`ImageError`]; nothing is guessed, and nothing panics. Which
//! documents to read, and what a pull makes of them, is the tracker's business.

mod document;
mod history;

use std::collections::{BTreeMap, BTreeSet};

use pulltrace_core::image::{Compression, MAX_LAYERS};
use pulltrace_core::{Bytes, Digest, Image, ImageLayer, NameError};
use sha2::{Digest as _, Sha256};

/// The longest document that is read, in bytes: containerd's own limit for manifests.
pub const MAX_DOCUMENT: usize = 4 << 20;

/// What a blob holds.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Document {
    /// A list of manifests, one for each platform.
    Index(Index),
    /// A list of layers.
    Manifest(Manifest),
    /// What a manifest's `config` points to, of an image that can be run.
    Config(Config),
}

/// An image index, or a Docker manifest list.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Index {
    entries: Vec<Entry>,
}

#[derive(Clone, Debug, PartialEq, Eq)]
struct Entry {
    digest: Digest,
    /// `linux/amd64`; `None` where it is not said.
    platform: Option<String>,
    /// Not an attestation, which looks like an image of the platform `unknown/unknown`.
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

/// An image config: its platform, what its layers unpack to, and how they were built.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Config {
    platform: Option<String>,
    diff_ids: Vec<Digest>,
    /// As many as there are diff ids.
    created_by: Vec<Option<String>>,
}

/// A document, or a set of them, that describes no image.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum ImageError {
    /// Longer than [`MAX_DOCUMENT`].
    #[error("a document of {0} bytes, more than {MAX_DOCUMENT}")]
    TooLong(usize),
    /// Not JSON, cut off, or with a member of the wrong kind.
    #[error("no document of the expected form (line {line}, column {column})")]
    Json {
        /// Where reading stopped, from 1.
        line: usize,
        /// Where reading stopped, from 1.
        column: usize,
    },
    /// JSON, but neither an index nor a manifest nor the config of an image.
    #[error("neither an index nor a manifest nor the config of an image")]
    UnknownDocument,
    /// A list that is longer than any real one.
    #[error("{count} {what}, more than {limit}")]
    TooMany {
        /// What there are too many of.
        what: &'static str,
        /// How many there are.
        count: usize,
        /// How many there may be.
        limit: usize,
    },
    /// A digest that is none.
    #[error("a digest that is none")]
    Digest(#[source] NameError),
    /// A layer without a size.
    #[error("a layer without a size")]
    NoSize,
    /// A size that is negative, not whole, or does not fit into 63 bits.
    #[error("a size that is none: {0}")]
    Size(String),
    /// The sizes of all layers together do not fit into 63 bits.
    #[error("layers whose sizes overflow")]
    SizesOverflow,
    /// A manifest and a config that do not belong together.
    #[error("{layers} layers in the manifest, but {diff_ids} in the config")]
    LayerCount {
        /// How many layers the manifest has.
        layers: usize,
        /// How many the config has.
        diff_ids: usize,
    },
    /// One layer with two sizes.
    #[error("layer {digest} has two sizes: {} and {} bytes", one.0, other.0)]
    TwoSizes {
        /// The layer.
        digest: Digest,
        /// Its size in one place.
        one: Bytes,
        /// Its size in another.
        other: Bytes,
    },
    /// No manifest at all was given.
    #[error("an image without a manifest")]
    NoManifest,
}

impl Index {
    /// The manifests for this platform (`linux/amd64`), in the order of the index.
    #[must_use]
    pub fn of_platform(&self, platform: &str) -> Vec<Digest> {
        self.images(|entry| entry.platform.as_deref() == Some(platform))
    }

    /// Those entries that are images, each once.
    fn images(&self, wanted: impl Fn(&Entry) -> bool) -> Vec<Digest> {
        let mut seen = BTreeSet::new();
        let entries = self
            .entries
            .iter()
            .filter(|entry| entry.is_image && wanted(entry));
        entries
            .filter(|entry| seen.insert(&entry.digest))
            .map(|entry| entry.digest.clone())
            .collect()
    }
}

impl Manifest {
    /// The config that belongs to this manifest.
    #[must_use]
    pub fn config(&self) -> &Digest {
        &self.config
    }

    /// The layers, lowest first; a layer that occurs twice comes twice.
    #[must_use]
    pub fn layers(&self) -> impl ExactSizeIterator<Item = &Digest> {
        self.layers.iter().map(|layer| &layer.digest)
    }
}

/// Reads a document and says what it is, by what it holds.
///
/// # Errors
/// Where it is none of the three, or holds what cannot be true.
pub fn read(text: &str) -> Result<Document, ImageError> {
    if text.len() > MAX_DOCUMENT {
        return Err(ImageError::TooLong(text.len()));
    }
    document::read(text)
}

/// The manifests of an index that are being pulled, in the order of the index.
///
/// An index names every platform, and a lease holds only what is pulled (`held` is its content). Attestations
/// are left out: they are no images.
#[must_use]
pub fn candidates(index: &Index, held: &BTreeSet<Digest>) -> Vec<Digest> {
    index.images(|entry| held.contains(&entry.digest))
}

/// Which of the candidates make up the image, where some clients fetch the manifests of every platform but
/// the layers of one.
///
/// Those of which a layer is `held` (in the content or the ingests of the lease), and all of the same
/// platform, since containerd 2.1 and later pulls each that matches; else those of the platform `host`; else
/// the first. A manifest that was not read yet (not in `manifests`) is never chosen.
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

    let with_layers: Vec<&Digest> = candidates
        .iter()
        .filter(|digest| has_layer(digest))
        .collect();
    let platforms: BTreeSet<&str> = if with_layers.is_empty() {
        BTreeSet::from([host])
    } else {
        with_layers
            .iter()
            .filter_map(|digest| platform(digest))
            .collect()
    };
    let chosen = candidates.iter().filter(|digest| {
        with_layers.contains(digest)
            || platform(digest).is_some_and(|platform| platforms.contains(platform))
    });
    let chosen: Vec<Digest> = chosen.cloned().collect();
    if chosen.is_empty() {
        candidates.into_iter().take(1).collect()
    } else {
        chosen
    }
}

/// The image whose name points to `root`, from the chosen manifests and their configs: each layer once.
///
/// # Errors
/// Where they contradict each other or go beyond the limits.
pub fn assemble(root: Digest, parts: &[(Digest, &Manifest, &Config)]) -> Result<Image, ImageError> {
    let mut steps = Vec::new();
    for (_, manifest, config) in parts {
        if manifest.layers.len() != config.diff_ids.len() {
            return Err(ImageError::LayerCount {
                layers: manifest.layers.len(),
                diff_ids: config.diff_ids.len(),
            });
        }
        let made = chains(config).into_iter().zip(&config.created_by);
        let layers = manifest.layers.iter().zip(made);
        steps.extend(layers.map(|(layer, (chain, step))| (layer, Some(chain), step.as_ref())));
    }
    let layers = join(steps)?;
    let (_, _, first) = parts.first().ok_or(ImageError::NoManifest)?;
    Ok(Image {
        root,
        manifests: parts.iter().map(|(digest, _, _)| digest.clone()).collect(),
        platform: first.platform.clone(),
        layers,
    })
}

/// The same from the manifests alone: what it weighs, before it is known what its layers unpack to.
///
/// # Errors
/// Where they contradict each other or go beyond the limits.
pub fn sizes(root: Digest, parts: &[(Digest, &Manifest)]) -> Result<Image, ImageError> {
    if parts.is_empty() {
        return Err(ImageError::NoManifest);
    }
    let layers = parts.iter().flat_map(|(_, manifest)| &manifest.layers);
    Ok(Image {
        root,
        manifests: parts.iter().map(|(digest, _)| digest.clone()).collect(),
        platform: None,
        layers: join(layers.map(|layer| (layer, None, None)))?,
    })
}

/// Each layer once, in the order in which they come, with the chains and the steps of all its places.
fn join<'a>(
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
                compression: Compression::of(&layer.media_type),
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
        return Err(ImageError::TooMany {
            what: "layers",
            count: layers.len(),
            limit: MAX_LAYERS,
        });
    }
    if total > i64::MAX as u64 {
        return Err(ImageError::SizesOverflow);
    }
    Ok(layers)
}

/// The chain ids of an image, lowest first: as many as its manifest has layers.
///
/// A chain id names the snapshot that unpacking a layer makes on top of those below.
#[must_use]
pub fn chains(config: &Config) -> Vec<Digest> {
    chain_ids(&config.diff_ids)
}

/// The chain id of each layer: of the lowest its diff id, of any other the hash of the chain below and its
/// diff id.
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
    digest.parse().expect("sixty-four hex digits are a digest")
}

#[cfg(test)]
mod tests;
