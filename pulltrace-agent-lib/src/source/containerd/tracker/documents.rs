//! What was read of blobs, by digest: documents for ever, ages and labels for as long as they are needed.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use pulltrace_core::{Anomaly, Digest, Image, NodeTime, Repository};

use super::super::image::{self, Config, Document, ImageError, Index, Manifest};
use super::super::input::{Query, Reply};

/// Documents that are kept; at the limit the cache is emptied, and what is needed is read again.
const MAX_DOCUMENTS: usize = 512;

/// Ages and labels that are kept; the same.
const MAX_INFOS: usize = 8_192;

/// How often a blob without labels is looked at again before it is read all the same: containerd writes the
/// labels some milliseconds after the blob.
const PATIENCE: u32 = 3;

#[derive(Debug, Default)]
pub(super) struct Documents {
    indexes: BTreeMap<Digest, Index>,
    manifests: BTreeMap<Digest, Manifest>,
    configs: BTreeMap<Digest, Config>,
    /// Blobs that were read and are no documents of an image.
    others: BTreeSet<Digest>,
    infos: BTreeMap<Digest, Info>,
    /// Blobs that containerd said are not there, since the last poll.
    missing: BTreeSet<Digest>,
}

/// What containerd says of a blob beside its bytes.
#[derive(Clone, Debug)]
pub(super) struct Info {
    pub(super) size: u64,
    pub(super) created_at: NodeTime,
    /// The repositories that it was fetched from.
    pub(super) sources: BTreeSet<Repository>,
    /// It names other blobs: an index or a manifest.
    refers: bool,
    /// The chains that an unpacked config names, by snapshotter.
    pub(super) unpacked: BTreeMap<String, Digest>,
    asked: u32,
}

/// An image made of its documents, and the chains of each of its manifests.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Assembled {
    pub(super) image: Arc<Image>,
    /// For each manifest, lowest first: the chain and the layer that completes it.
    pub(super) chains: Vec<Vec<(Digest, Digest)>>,
    /// The config of each manifest.
    pub(super) configs: Vec<Digest>,
}

/// What is known of how an image is made.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Known {
    /// All of it.
    Image(Assembled),
    /// What it weighs; what its layers unpack to is not here yet. From 2.1 on a config waits for a
    /// download slot as layers do.
    Sizes(Arc<Image>),
    /// Something is to be read first.
    Asking,
    /// Nothing in the lease or on the node makes it an image of this platform.
    Nothing,
    /// Its documents are none, or contradict each other.
    Bad,
}

impl Documents {
    pub(super) fn info(&self, digest: &Digest) -> Option<&Info> {
        self.infos.get(digest)
    }

    /// containerd said that the blob is not there.
    pub(super) fn is_missing(&self, digest: &Digest) -> bool {
        self.missing.contains(digest)
    }

    pub(super) fn is_index(&self, digest: &Digest) -> bool {
        self.indexes.contains_key(digest)
    }

    pub(super) fn is_manifest(&self, digest: &Digest) -> bool {
        self.manifests.contains_key(digest)
    }

    /// The manifests that indexes among these blobs name.
    pub(super) fn is_named_by(&self, digest: &Digest, content: &BTreeSet<Digest>) -> bool {
        let held = BTreeSet::from([digest.clone()]);
        content
            .iter()
            .filter(|index| *index != digest)
            .filter_map(|index| self.indexes.get(index))
            .any(|index| !image::candidates(index, &held).is_empty())
    }

    /// Whether a blob is a layer or a config of a manifest that was read.
    pub(super) fn is_part(&self, digest: &Digest) -> bool {
        self.manifests.values().any(|manifest| {
            manifest.config() == digest || manifest.layers().any(|layer| layer == digest)
        })
    }

    /// What to ask to find out what a blob is; nothing where that is known.
    pub(super) fn identify(&self, digest: &Digest, certain: bool) -> Option<Query> {
        let known = self.is_index(digest)
            || self.is_manifest(digest)
            || self.configs.contains_key(digest)
            || self.others.contains(digest)
            || self.missing.contains(digest);
        if known {
            return None;
        }
        let Some(info) = self.infos.get(digest) else {
            return Some(Query::Info {
                digest: digest.to_string(),
            });
        };
        if info.size > image::MAX_DOCUMENT as u64 {
            return None;
        }
        if certain || info.refers || info.asked > PATIENCE {
            Some(Query::Read {
                digest: digest.to_string(),
                size: info.size,
            })
        } else {
            Some(Query::Info {
                digest: digest.to_string(),
            })
        }
    }

    /// Takes an answer; an anomaly where it cannot be true.
    pub(super) fn answer(&mut self, query: &Query, reply: &Reply) -> Result<(), Anomaly> {
        let (Query::Info { digest } | Query::Read { digest, .. }) = query else {
            return Ok(());
        };
        let digest: Digest = digest.parse().map_err(|_| Anomaly::Unreadable)?;
        match reply {
            Reply::Info {
                size,
                created_at,
                labels,
            } => {
                let asked = self.infos.get(&digest).map_or(0, |info| info.asked) + 1;
                let size = u64::try_from(*size).map_err(|_| Anomaly::Unreadable)?;
                if self.infos.len() >= MAX_INFOS {
                    self.infos.clear();
                }
                self.missing.remove(&digest);
                self.infos.insert(
                    digest,
                    Info {
                        asked,
                        ..Info::new(size, *created_at, labels)
                    },
                );
                Ok(())
            }
            Reply::Document { text } => {
                if self.indexes.len()
                    + self.manifests.len()
                    + self.configs.len()
                    + self.others.len()
                    >= MAX_DOCUMENTS
                {
                    self.indexes.clear();
                    self.manifests.clear();
                    self.configs.clear();
                    self.others.clear();
                }
                match image::read(text) {
                    Ok(Document::Index(index)) => _ = self.indexes.insert(digest, index),
                    Ok(Document::Manifest(manifest)) => _ = self.manifests.insert(digest, manifest),
                    Ok(Document::Config(config)) => _ = self.configs.insert(digest, config),
                    // Whether that is wrong depends on what it should have been: the caller knows.
                    Err(_) => _ = self.others.insert(digest),
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

    /// A poll was taken: what was not there before may be there now.
    ///
    /// containerd 2.4 announces a blob before it can be asked for.
    pub(super) fn polled(&mut self) {
        self.missing.clear();
    }

    /// Forgets ages and labels of all blobs but these: they may change once nobody holds the blob.
    pub(super) fn keep_infos(&mut self, wanted: &BTreeSet<Digest>) {
        self.infos.retain(|digest, _| wanted.contains(digest));
    }

    /// Forgets the age of a blob that is being written anew.
    pub(super) fn forget(&mut self, digest: &Digest) {
        self.infos.remove(digest);
        self.missing.remove(digest);
    }

    /// Forgets labels that containerd writes while a pull goes on: where the root comes from, and what its configs
    /// were unpacked to.
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
        if self.info(root).is_some_and(|info| info.sources.is_empty()) {
            self.infos.remove(root);
        }
    }

    /// What the image of `root` is made of, as far as `held` blobs tell, and what to ask for the rest.
    ///
    /// `over` says that the pull is over: then all that was fetched is on the node, whatever the lease held.
    pub(super) fn assemble(
        &self,
        root: &Digest,
        held: &BTreeSet<Digest>,
        host: &str,
        over: bool,
    ) -> (Known, Vec<Query>) {
        let manifests = if self.is_manifest(root) {
            vec![root.clone()]
        } else if let Some(index) = self.indexes.get(root) {
            let named = if over {
                index.of_platform(host)
            } else {
                image::candidates(index, held)
            };
            let unread: Vec<Query> = named
                .iter()
                .filter_map(|manifest| self.identify(manifest, true))
                .collect();
            if !unread.is_empty() {
                return (Known::Asking, unread);
            }
            let read = named
                .iter()
                .filter_map(|d| Some((d.clone(), self.manifests.get(d)?.clone())))
                .collect();
            image::select(index, &read, held, host)
        } else if self.others.contains(root) {
            return (Known::Bad, Vec::new());
        } else {
            let ask = self.identify(root, true);
            let known = if ask.is_none() {
                Known::Nothing
            } else {
                Known::Asking
            };
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
                // A config that is not in the lease yet is not on the node yet.
                _ if over || held.contains(config) => asks.extend(self.identify(config, true)),
                _ => {}
            }
        }
        if parts.is_empty() || (parts.len() < manifests.len() && !asks.is_empty()) {
            let known = match (asks.is_empty(), over) {
                (false, true) => Known::Asking,
                (false, false) => self.sizes(root, &manifests, host),
                (true, _) if configs.iter().any(|config| self.others.contains(config)) => {
                    Known::Bad
                }
                (true, true) => Known::Nothing,
                (true, false) => self.sizes(root, &manifests, host),
            };
            return (known, asks);
        }
        match image::assemble(root.clone(), &parts) {
            Ok(image) => {
                let chains = parts.iter().map(|(_, manifest, config)| {
                    image::chains(config)
                        .into_iter()
                        .zip(manifest.layers().cloned())
                        .collect()
                });
                let chains = chains.collect();
                let configs = parts
                    .iter()
                    .map(|(_, manifest, _)| manifest.config().clone())
                    .collect();
                (
                    Known::Image(Assembled {
                        image: Arc::new(image),
                        chains,
                        configs,
                    }),
                    asks,
                )
            }
            Err(_) => (Known::Bad, Vec::new()),
        }
    }

    /// What the manifests alone say of the image; nothing while another may come, since a total stands.
    fn sizes(&self, root: &Digest, manifests: &[Digest], host: &str) -> Known {
        let index = self.indexes.get(root);
        let all = index.map_or(vec![root.clone()], |index| index.of_platform(host));
        if all != manifests {
            return Known::Asking;
        }
        let read = manifests.iter();
        let read = read.filter_map(|digest| Some((digest.clone(), self.manifests.get(digest)?)));
        match image::sizes(root.clone(), &read.collect::<Vec<_>>()) {
            Ok(image) => Known::Sizes(Arc::new(image)),
            Err(ImageError::NoManifest) => Known::Asking,
            Err(_) => Known::Bad,
        }
    }
}

impl Info {
    fn new(size: u64, created_at: NodeTime, labels: &BTreeMap<String, String>) -> Self {
        let mut info = Self {
            size,
            created_at,
            sources: BTreeSet::new(),
            refers: false,
            unpacked: BTreeMap::new(),
            asked: 0,
        };
        for (key, value) in labels {
            if let Some(host) = key.strip_prefix("containerd.io/distribution.source.") {
                info.sources.extend(
                    value
                        .split(',')
                        .filter_map(|path| Repository::new(host, path).ok()),
                );
            } else if key.starts_with("containerd.io/gc.ref.content.") {
                info.refers = true;
            } else if let Some(snapshotter) = key.strip_prefix("containerd.io/gc.ref.snapshot.")
                && let Ok(chain) = value.parse()
            {
                info.unpacked.insert(snapshotter.to_owned(), chain);
            }
        }
        info
    }
}
