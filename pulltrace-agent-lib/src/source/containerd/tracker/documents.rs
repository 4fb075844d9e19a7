//! A cache of blobs by digest. Documents are kept indefinitely, sizes, times and labels only while
//! needed.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use pulltrace_core::{Anomaly, Digest, Image, NodeTime, Repository};

use super::super::image::{self, Config, Document, ImageError, Index, Manifest};
use super::super::input::{Query, Reply};

/// The maximum number of cached documents. At the limit the cache is cleared, and documents are
/// read again when needed.
const MAX_DOCUMENTS: usize = 512;

/// The maximum number of cached [`BlobInfo`]s, handled likewise.
const MAX_INFOS: usize = 8_192;

/// Queries for the labels of a blob before it is read anyway. containerd writes labels some
/// milliseconds after the blob.
const MAX_LABEL_RETRIES: u32 = 3;

#[derive(Debug, Default)]
pub(super) struct Documents {
    indexes: BTreeMap<Digest, Index>,
    manifests: BTreeMap<Digest, Manifest>,
    configs: BTreeMap<Digest, Config>,
    /// Blobs that were read but are not image documents.
    unrecognised: BTreeSet<Digest>,
    infos: BTreeMap<Digest, BlobInfo>,
    /// Blobs reported as missing since the last poll.
    missing: BTreeSet<Digest>,
}

/// The metadata of a blob.
#[derive(Clone, Debug)]
pub(super) struct BlobInfo {
    pub(super) size: u64,
    pub(super) created_at: NodeTime,
    /// The repositories it was fetched from.
    pub(super) repositories: BTreeSet<Repository>,
    /// True if labels show that it refers to other blobs, i.e. that it is an index or a manifest.
    has_child_refs: bool,
    /// The top chain recorded on an unpacked config, by snapshotter.
    pub(super) unpacked_chains: BTreeMap<String, Digest>,
    queried: u32,
}

/// A chain of layers of an image.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Chain {
    /// The chain id.
    pub(super) id: Digest,
    /// The blob of its topmost layer.
    pub(super) layer: Digest,
}

/// An image built from its documents.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct AssembledImage {
    pub(super) image: Arc<Image>,
    /// The chains of each manifest, lowest layer first.
    pub(super) chains: Vec<Vec<Chain>>,
    /// The config of each manifest.
    pub(super) configs: Vec<Digest>,
}

/// The progress of assembling an image.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum ImageState {
    /// All documents are known.
    Complete(AssembledImage),
    /// Sizes are known, chains are not. From 2.1 on, a config waits for a download slot like a
    /// layer.
    SizesOnly(Arc<Image>),
    /// Documents have to be read first.
    Pending,
    /// The available blobs contain no image for this platform.
    Unavailable,
    /// The documents are invalid or contradict each other.
    Invalid,
}

impl Documents {
    pub(super) fn info(&self, digest: &Digest) -> Option<&BlobInfo> {
        self.infos.get(digest)
    }

    /// Returns whether containerd reported the blob as missing.
    pub(super) fn is_missing(&self, digest: &Digest) -> bool {
        self.missing.contains(digest)
    }

    pub(super) fn is_index(&self, digest: &Digest) -> bool {
        self.indexes.contains_key(digest)
    }

    pub(super) fn is_manifest(&self, digest: &Digest) -> bool {
        self.manifests.contains_key(digest)
    }

    /// Returns whether an index among these blobs lists this manifest.
    pub(super) fn is_listed_by_index(&self, digest: &Digest, content: &BTreeSet<Digest>) -> bool {
        let held = BTreeSet::from([digest.clone()]);
        content
            .iter()
            .filter(|index| *index != digest)
            .filter_map(|index| self.indexes.get(index))
            .any(|index| !image::candidates(index, &held).is_empty())
    }

    /// Returns whether the blob is a layer or config of a known manifest.
    pub(super) fn is_manifest_part(&self, digest: &Digest) -> bool {
        self.manifests.values().any(|manifest| {
            manifest.config() == digest || manifest.layers().any(|layer| layer == digest)
        })
    }

    /// Returns the next query to identify a blob; `None` if it is identified or too large to be a
    /// document.
    ///
    /// `certain` means that the blob is a document, so it is read without waiting for its labels.
    pub(super) fn identify_query(&self, digest: &Digest, certain: bool) -> Option<Query> {
        let known = self.is_index(digest)
            || self.is_manifest(digest)
            || self.configs.contains_key(digest)
            || self.unrecognised.contains(digest)
            || self.missing.contains(digest);
        if known {
            return None;
        }
        let Some(info) = self.infos.get(digest) else {
            return Some(Query::Info { digest: digest.to_string() });
        };
        if info.size > image::MAX_DOCUMENT as u64 {
            return None;
        }
        if certain || info.has_child_refs || info.queried > MAX_LABEL_RETRIES {
            Some(Query::Read { digest: digest.to_string(), size: info.size })
        } else {
            Some(Query::Info { digest: digest.to_string() })
        }
    }

    /// Stores an answer. Returns an anomaly if it is invalid.
    pub(super) fn on_answer(&mut self, query: &Query, reply: &Reply) -> Result<(), Anomaly> {
        let (Query::Info { digest } | Query::Read { digest, .. }) = query else {
            return Ok(());
        };
        let digest: Digest = digest.parse().map_err(|_| Anomaly::Unreadable)?;
        match reply {
            Reply::Info { size, created_at, labels } => {
                let asked = self.infos.get(&digest).map_or(0, |info| info.queried) + 1;
                let size = u64::try_from(*size).map_err(|_| Anomaly::Unreadable)?;
                if self.infos.len() >= MAX_INFOS {
                    self.infos.clear();
                }
                self.missing.remove(&digest);
                self.infos.insert(
                    digest,
                    BlobInfo { queried: asked, ..BlobInfo::new(size, *created_at, labels) },
                );
                Ok(())
            }
            Reply::Document { text } => {
                if self.indexes.len()
                    + self.manifests.len()
                    + self.configs.len()
                    + self.unrecognised.len()
                    >= MAX_DOCUMENTS
                {
                    self.indexes.clear();
                    self.manifests.clear();
                    self.configs.clear();
                    self.unrecognised.clear();
                }
                match image::parse_document(text) {
                    Ok(Document::Index(index)) => _ = self.indexes.insert(digest, index),
                    Ok(Document::Manifest(manifest)) => _ = self.manifests.insert(digest, manifest),
                    Ok(Document::Config(config)) => _ = self.configs.insert(digest, config),
                    // It is an error only if the caller expected a document.
                    Err(_) => _ = self.unrecognised.insert(digest),
                }
                Ok(())
            }
            Reply::NotFound => {
                if self.missing.len() >= MAX_INFOS {
                    self.missing.clear();
                }
                self.infos.remove(&digest);
                self.missing.insert(digest);
                Ok(())
            }
            _ => Ok(()),
        }
    }

    /// Forgets the missing blobs, which may exist by now.
    ///
    /// containerd 2.4 emits the event for a blob before the blob can be queried.
    pub(super) fn on_poll(&mut self) {
        self.missing.clear();
    }

    /// Drops the metadata of all other blobs. It may change once no lease holds the blob.
    pub(super) fn retain_infos(&mut self, wanted: &BTreeSet<Digest>) {
        self.infos.retain(|digest, _| wanted.contains(digest));
    }

    /// Drops the metadata of a blob that is being written again.
    pub(super) fn forget_blob(&mut self, digest: &Digest) {
        self.infos.remove(digest);
        self.missing.remove(digest);
    }

    /// Drops labels that containerd adds during a pull: the source of the root, and the unpacked
    /// chain of the configs.
    pub(super) fn forget_labels(&mut self, root: &Digest) {
        let manifests = match self.indexes.get(root) {
            Some(index) => image::candidates(index, &self.manifests.keys().cloned().collect()),
            None => vec![root.clone()],
        };
        for manifest in manifests {
            if let Some(manifest) = self.manifests.get(&manifest) {
                self.infos.remove(manifest.config());
            }
        }
        if self.info(root).is_some_and(|info| info.repositories.is_empty()) {
            self.infos.remove(root);
        }
    }

    /// Assembles the image of `root` from the `held` blobs. Returns its state and the queries for
    /// missing documents.
    ///
    /// `over` means that the pull has finished: then everything fetched is on the node, whether the
    /// lease held it or not.
    pub(super) fn assemble(
        &self,
        root: &Digest,
        held: &BTreeSet<Digest>,
        platform: &str,
        over: bool,
    ) -> (ImageState, Vec<Query>) {
        let manifests = if self.is_manifest(root) {
            vec![root.clone()]
        } else if let Some(index) = self.indexes.get(root) {
            let named = if over {
                index.manifests_for_platform(platform)
            } else {
                image::candidates(index, held)
            };
            let unread: Vec<Query> =
                named.iter().filter_map(|manifest| self.identify_query(manifest, true)).collect();
            if !unread.is_empty() {
                return (ImageState::Pending, unread);
            }
            let read = named
                .iter()
                .filter_map(|d| Some((d.clone(), self.manifests.get(d)?.clone())))
                .collect();
            image::select(index, &read, held, platform)
        } else if self.unrecognised.contains(root) {
            return (ImageState::Invalid, Vec::new());
        } else {
            let ask = self.identify_query(root, true);
            let known = if ask.is_none() { ImageState::Unavailable } else { ImageState::Pending };
            return (known, ask.into_iter().collect());
        };
        let configs: Vec<Digest> = manifests
            .iter()
            .filter_map(|d| Some(self.manifests.get(d)?.config().clone()))
            .collect();
        let mut parts = Vec::new();
        let mut asks = Vec::new();
        for (digest, config) in manifests.iter().zip(&configs) {
            match (self.manifests.get(digest), self.configs.get(config)) {
                (Some(manifest), Some(config)) => parts.push((digest.clone(), manifest, config)),
                // A config that is not in the lease is not on the node yet.
                _ if over || held.contains(config) => {
                    asks.extend(self.identify_query(config, true))
                }
                _ => {}
            }
        }
        if parts.is_empty() || (parts.len() < manifests.len() && !asks.is_empty()) {
            let known = match (asks.is_empty(), over) {
                (false, true) => ImageState::Pending,
                (false, false) => self.assemble_sizes(root, &manifests, platform),
                (true, _) if configs.iter().any(|config| self.unrecognised.contains(config)) => {
                    ImageState::Invalid
                }
                (true, true) => ImageState::Unavailable,
                (true, false) => self.assemble_sizes(root, &manifests, platform),
            };
            return (known, asks);
        }
        match image::assemble(root.clone(), &parts) {
            Ok(image) => {
                let chains = parts.iter().map(|(_, manifest, config)| {
                    image::config_chain_ids(config)
                        .into_iter()
                        .zip(manifest.layers().cloned())
                        .map(|(id, layer)| Chain { id, layer })
                        .collect()
                });
                let chains = chains.collect();
                let configs =
                    parts.iter().map(|(_, manifest, _)| manifest.config().clone()).collect();
                (
                    ImageState::Complete(AssembledImage {
                        image: Arc::new(image),
                        chains,
                        configs,
                    }),
                    asks,
                )
            }
            Err(_) => (ImageState::Invalid, Vec::new()),
        }
    }

    /// Assembles the image from manifests only. Pending while another manifest may follow, because
    /// a reported total must not change.
    fn assemble_sizes(&self, root: &Digest, manifests: &[Digest], host: &str) -> ImageState {
        let index = self.indexes.get(root);
        let all = index.map_or(vec![root.clone()], |index| index.manifests_for_platform(host));
        if all != manifests {
            return ImageState::Pending;
        }
        let read = manifests.iter();
        let read = read.filter_map(|digest| Some((digest.clone(), self.manifests.get(digest)?)));
        match image::assemble_sizes(root.clone(), &read.collect::<Vec<_>>()) {
            Ok(image) => ImageState::SizesOnly(Arc::new(image)),
            Err(ImageError::NoManifest) => ImageState::Pending,
            Err(_) => ImageState::Invalid,
        }
    }
}

impl BlobInfo {
    fn new(size: u64, created_at: NodeTime, labels: &BTreeMap<String, String>) -> Self {
        let mut info = Self {
            size,
            created_at,
            repositories: BTreeSet::new(),
            has_child_refs: false,
            unpacked_chains: BTreeMap::new(),
            queried: 0,
        };
        for (key, value) in labels {
            if let Some(host) = key.strip_prefix("containerd.io/distribution.source.") {
                info.repositories
                    .extend(value.split(',').filter_map(|path| Repository::new(host, path).ok()));
            } else if key.starts_with("containerd.io/gc.ref.content.") {
                info.has_child_refs = true;
            } else if let Some(snapshotter) = key.strip_prefix("containerd.io/gc.ref.snapshot.")
                && let Ok(chain) = value.parse()
            {
                info.unpacked_chains.insert(snapshotter.to_owned(), chain);
            }
        }
        info
    }
}
