//! One lease that is a pull: what is known of it, and what is to be said and asked of it next.
//!
//! The rules of one pull. What pulls have in common is in the parent module.

use std::collections::{BTreeMap, BTreeSet};
use std::hash::{DefaultHasher, Hash, Hasher};
use std::sync::Arc;
use std::time::Duration;

use pulltrace_core::{
    Anomaly, BlobSight, Bytes, Digest, Image, ImageLayer, ImageRef, NodeTime, Now, Observation,
    PullId,
};

use super::super::input::{Query, Record};
use super::Out;
use super::documents::{Assembled, Documents, Known};
use super::holding::{Holding, Kind};
use super::records::Wrote;
use super::view::View;

/// An empty lease is a pull that resolves its name, unless it is younger: containers that are made have
/// leases that live for some 15 ms.
const RESOLVING_AFTER: Duration = Duration::from_secs(1);

/// How often the bytes of an unpacking are asked, and after how long a silence: asking walks its files.
const USAGE_EVERY: Duration = Duration::from_secs(10);

/// How many polls an unlabelled manifest is waited for before its lease is taken for no pull's.
const LABEL_POLLS: u32 = 8;

/// What all pulls are looked at with.
#[derive(Clone, Copy)]
pub(super) struct Sight<'a> {
    pub(super) view: &'a View,
    pub(super) documents: &'a Documents,
    /// The platform of this node.
    pub(super) host: &'a str,
    /// After this, a pull that does not move is dead.
    pub(super) silence: Duration,
    pub(super) now: Now,
}

#[derive(Debug)]
pub(super) struct Tracked {
    pub(super) id: PullId,
    pub(super) created: NodeTime,
    pub(super) began: bool,
    pub(super) root: Option<Digest>,
    /// What its lease held when it was not known yet which of it is the root.
    pub(super) held: BTreeSet<Digest>,
    pub(super) image: Option<Assembled>,
    /// Its layers and what they weigh, while only the manifest is known.
    pub(super) sized: Option<Arc<Image>>,
    /// The image cannot be known: its documents are none.
    pub(super) bad: bool,
    /// It was said that it unpacks what it should not know of.
    pub(super) strange: bool,
    /// Chains that are unpacked, and how old they are.
    pub(super) done: BTreeMap<Digest, Age>,
    /// Chains that were seen being unpacked while the pull lived.
    pub(super) in_work: BTreeSet<Digest>,
    /// Blobs that were seen being written while the pull lived.
    pub(super) in_flight: BTreeSet<Digest>,
    /// What unpacking a chain has written.
    pub(super) written: BTreeMap<Digest, i64>,
    /// What its blobs are, by their ingests.
    pub(super) kinds: BTreeMap<Digest, Kind>,
    pub(super) sources: usize,
    pub(super) unlabelled: u32,
    /// Chains that were asked for since the last poll and are not there.
    pub(super) absent: BTreeSet<Digest>,
    /// A chain was not there on which one stands that is.
    pub(super) broken: bool,
    /// What was there before was searched for once.
    pub(super) searched: bool,
    pub(super) snapshotter: Option<String>,
    pub(super) names: BTreeSet<ImageRef>,
    /// The image records that it is known to have written.
    pub(super) wrote: Wrote,
    /// When its lease was last listed.
    pub(super) listed: NodeTime,
    /// Which names point to its root, asked when it was over.
    pub(super) records: Option<Vec<Record>>,
    /// Of all that moves, and whether the image was known then.
    pub(super) fingerprint: Option<(bool, u64)>,
    pub(super) moved: Now,
    pub(super) usage_asked: Now,
    pub(super) silent: bool,
    /// Its lease is gone, or the runtime was started anew: what is left is to find out how it ended.
    pub(super) over: Option<Over>,
}

/// A pull that is over.
#[derive(Clone, Copy, Debug)]
pub(super) struct Over {
    pub(super) since: Now,
    pub(super) restarted: bool,
    /// How many polls there had been.
    pub(super) polls: u64,
}

/// How old an unpacked chain is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Age {
    /// To be asked.
    Unknown,
    /// It was there before the pull began.
    Before,
    /// It was made while the pull lived.
    Since,
}

impl Tracked {
    pub(super) fn new(id: PullId, created: NodeTime, now: Now) -> Self {
        Self {
            id,
            created,
            began: false,
            root: None,
            held: BTreeSet::new(),
            image: None,
            sized: None,
            bad: false,
            strange: false,
            done: BTreeMap::new(),
            in_work: BTreeSet::new(),
            in_flight: BTreeSet::new(),
            written: BTreeMap::new(),
            kinds: BTreeMap::new(),
            sources: 0,
            unlabelled: 0,
            absent: BTreeSet::new(),
            broken: false,
            searched: false,
            snapshotter: None,
            names: BTreeSet::new(),
            wrote: Wrote::default(),
            listed: now.node,
            records: None,
            fingerprint: None,
            moved: now,
            usage_asked: now,
            silent: false,
            over: None,
        }
    }

    /// The root of its image, or what may be it as far as that is known.
    pub(super) fn roots(&self) -> impl Iterator<Item = &Digest> {
        let held = self.held.iter().filter(|_| self.root.is_none());
        self.root.iter().chain(held)
    }

    /// Whether this blob is one of the image's layers.
    pub(super) fn has_layer(&self, digest: &Digest) -> bool {
        self.layers().any(|layer| layer.digest == *digest)
    }

    /// The layers of its image, as soon as its manifest is known.
    pub(super) fn layers(&self) -> impl Iterator<Item = &ImageLayer> {
        let known = self.image.as_ref().map(|known| &known.image);
        let known = known.or(self.sized.as_ref());
        known.into_iter().flat_map(|image| &image.layers)
    }

    /// Whether its manifest gives one of its layers another size than the blob has.
    pub(super) fn contradicts(&self, digest: &str, size: i64) -> bool {
        let mut layers = self
            .layers()
            .filter(|layer| layer.digest.as_str() == digest);
        layers.any(|layer| u64::try_from(size) != Ok(layer.size.0))
    }

    /// The lease lives: says what is seen of it. `false` where it turns out to be no pull's.
    pub(super) fn look(&mut self, holding: &Holding, sight: Sight<'_>, out: &mut Out) -> bool {
        let Sight {
            view,
            documents,
            now,
            ..
        } = sight;
        self.kinds.extend(
            holding
                .ingests
                .iter()
                .map(|(digest, kind)| (digest.clone(), *kind)),
        );
        if holding.import {
            return false;
        }
        self.find_root(holding, documents, out);
        self.snapshotter = holding
            .snapshotter
            .clone()
            .or(self.snapshotter.take())
            .or(view.snapshotter.clone());
        self.note_motion(holding, view, now);
        if !self.began {
            let resolving = holding.is_empty() && now.node.since(self.created) >= RESOLVING_AFTER;
            if !(self.is_labelled(documents) || resolving || !holding.ingests.is_empty()) {
                let stuck = self.root.is_some() && self.unlabelled > LABEL_POLLS;
                return !stuck;
            }
            // Where its bytes stopped long ago, so did the pull: nobody saw it alive.
            if now.node.since(self.moved.node) > sight.silence {
                return true;
            }
            self.began = true;
        }
        if self.silent {
            return true;
        }
        out.say(Observation::Began {
            pull: self.id.clone(),
            at: self.created,
        });
        for name in &self.names {
            out.say(Observation::Named {
                pull: self.id.clone(),
                name: name.clone(),
            });
        }
        self.say_names(documents, out);
        self.find_image(holding, documents, sight.host, out);
        self.see_layers(Some(holding), view, documents, out);
        self.doubt_chains(holding, out);
        self.ask_usage(holding, now, out);
        true
    }

    fn is_labelled(&self, documents: &Documents) -> bool {
        let info = self.root.as_ref().and_then(|root| documents.info(root));
        info.is_some_and(|info| !info.sources.is_empty())
    }

    /// When it last moved, as far as the first sight of it tells.
    fn last_motion(&self, holding: &Holding, view: &View, now: Now) -> NodeTime {
        let own = holding
            .ingests
            .keys()
            .filter_map(|digest| view.ingests.get(digest));
        match own.map(|ingest| ingest.updated_at).max() {
            Some(last) => last.max(self.created).min(now.node),
            None if holding.is_empty() => self.created.min(now.node),
            None => now.node,
        }
    }

    /// A poll passed: what waits for labels waited for one more.
    pub(super) fn count_poll(&mut self, documents: &Documents) {
        let root = self.root.as_ref().and_then(|root| documents.info(root));
        if let Some(info) = root {
            let waits = info.sources.is_empty();
            self.unlabelled = if waits {
                self.unlabelled.saturating_add(1)
            } else {
                0
            };
        }
        self.absent.clear();
    }

    fn find_root(&mut self, holding: &Holding, documents: &Documents, out: &mut Out) {
        if self.root.is_none() {
            let content = || holding.content.iter();
            let ingest = |kind| {
                holding
                    .ingests
                    .iter()
                    .find(|(_, k)| **k == kind)
                    .map(|(digest, _)| digest)
            };
            let noted = |kind| content().find(|digest| self.kinds.get(*digest) == Some(&kind));
            self.root = content()
                .find(|digest| {
                    documents.is_index(digest) && !documents.is_named_by(digest, &holding.content)
                })
                .or_else(|| noted(Kind::Index))
                .or_else(|| ingest(Kind::Index))
                .or_else(|| {
                    // Without an index among them, and none still unread.
                    let unread = content().any(|d| {
                        documents.identify(d, false).is_some() && !self.is_known_part(d, documents)
                    });
                    content()
                        .find(|digest| documents.is_manifest(digest))
                        .filter(|_| !unread)
                })
                .or_else(|| ingest(Kind::Manifest).filter(|_| holding.content.is_empty()))
                .cloned();
        }
        // Blobs that are not known to be layers may be documents.
        for digest in &holding.content {
            if self.is_known_part(digest, documents) {
                continue;
            }
            let certain = matches!(self.kinds.get(digest), Some(Kind::Index | Kind::Manifest));
            // The age and labels of the root are needed besides what it says.
            if self.root.as_ref() == Some(digest) && documents.info(digest).is_none() {
                out.ask(Query::Info {
                    digest: digest.to_string(),
                });
            }
            out.ask_all(documents.identify(digest, certain));
        }
        if let Some(root) = &self.root
            && documents
                .info(root)
                .is_some_and(|info| info.sources.is_empty())
            && holding.content.contains(root)
            && (self.began || self.unlabelled <= LABEL_POLLS)
        {
            out.ask(Query::Info {
                digest: root.to_string(),
            });
        }
    }

    fn is_known_part(&self, digest: &Digest, documents: &Documents) -> bool {
        matches!(
            self.kinds.get(digest),
            Some(Kind::Layer | Kind::Config | Kind::Other)
        ) || documents.is_part(digest)
    }

    pub(super) fn say_names(&mut self, documents: &Documents, out: &mut Out) {
        let Some(root) = &self.root else { return };
        out.say(Observation::Root {
            pull: self.id.clone(),
            root: root.clone(),
        });
        let Some(info) = documents.info(root) else {
            return;
        };
        // A blob that came from several repositories does not tell which of them it comes from now.
        if let Some(repository) = info
            .sources
            .first()
            .filter(|_| info.sources.len() == 1 && self.sources < 2)
        {
            out.say(Observation::Repository {
                pull: self.id.clone(),
                repository: repository.clone(),
            });
        }
        self.sources = self.sources.max(info.sources.len());
    }

    pub(super) fn find_image(
        &mut self,
        holding: &Holding,
        documents: &Documents,
        host: &str,
        out: &mut Out,
    ) {
        // What is still being written cannot be read: asking for it each time is in vain.
        let Some(root) = self
            .root
            .clone()
            .filter(|root| holding.content.contains(root))
        else {
            return;
        };
        let held: BTreeSet<Digest> = holding
            .content
            .iter()
            .chain(holding.ingests.keys())
            .cloned()
            .collect();
        let (known, asks) = documents.assemble(&root, &held, host, false);
        out.ask_all(asks);
        match known {
            Known::Image(image) => self.take_image(image, out),
            Known::Sizes(image) => {
                out.say(Observation::Image {
                    pull: self.id.clone(),
                    image: image.clone(),
                });
                for layer in &image.layers {
                    if holding.ingests.contains_key(&layer.digest) {
                        self.in_flight.insert(layer.digest.clone());
                    }
                }
                self.sized = Some(image);
            }
            Known::Bad if !self.bad => {
                self.bad = true;
                out.doubt(Anomaly::BadDocument);
            }
            Known::Bad | Known::Asking | Known::Nothing => {}
        }
    }

    pub(super) fn take_image(&mut self, image: Assembled, out: &mut Out) {
        out.say(Observation::Image {
            pull: self.id.clone(),
            image: image.image.clone(),
        });
        self.image = Some(image);
        self.sized = None;
    }

    /// Whether it may stand still because others use the slots: nothing of it is being fetched.
    pub(super) fn waits_for_slot(&self, holding: &Holding, view: &View) -> bool {
        let moves = |digest: &Digest| {
            view.ingests
                .get(digest)
                .is_some_and(|ingest| ingest.offset > 0)
        };
        !holding.ingests.keys().any(moves) && view.ingests.values().any(|ingest| ingest.offset > 0)
    }

    fn note_motion(&mut self, holding: &Holding, view: &View, now: Now) {
        let mut hasher = DefaultHasher::new();
        (&holding.content, &holding.extracts, &holding.committed).hash(&mut hasher);
        holding
            .ingests
            .keys()
            .for_each(|digest| digest.hash(&mut hasher));
        self.written.hash(&mut hasher);
        let layers = self
            .image
            .iter()
            .flat_map(|known| known.image.layers.iter().map(|layer| &layer.digest));
        for digest in holding.ingests.keys().chain(layers) {
            if let Some(ingest) = view.ingests.get(digest) {
                (digest, ingest.offset, ingest.updated_at.unix_nanos()).hash(&mut hasher);
            }
            // A shared layer that another pull unpacks is motion too.
            view.content.contains(digest).hash(&mut hasher);
        }
        let chains = self
            .image
            .iter()
            .flat_map(|known| known.chains.iter().flatten());
        chains.for_each(|(chain, _)| view.committed.contains(chain).hash(&mut hasher));
        // To learn what the image is made of is to look at more, and no motion.
        let fingerprint = Some((self.image.is_some(), hasher.finish()));
        match self.fingerprint {
            None => {
                self.moved = Now {
                    node: self.last_motion(holding, view, now),
                    mono: now.mono,
                }
            }
            Some((known, _)) if known != self.image.is_some() => {}
            before if before != fingerprint => {
                self.moved = now;
                self.silent = false;
            }
            Some(_) => {}
        }
        self.fingerprint = fingerprint;
    }

    fn ask_usage(&mut self, holding: &Holding, now: Now, out: &mut Out) {
        if now.mono.since(self.moved.mono) < USAGE_EVERY
            || now.mono.since(self.usage_asked.mono) < USAGE_EVERY
        {
            return;
        }
        // A snapshot is prepared before its layer is there: what is in it then says nothing.
        let chains = self
            .image
            .iter()
            .flat_map(|known| known.chains.iter().flatten());
        let mut unpacked = chains.filter(|(_, layer)| holding.content.contains(layer));
        let key = unpacked.find_map(|(chain, _)| holding.extracts.get(chain));
        let (Some(key), Some(snapshotter)) = (key, &holding.snapshotter) else {
            return;
        };
        self.usage_asked = now;
        out.ask(Query::Usage {
            snapshotter: snapshotter.clone(),
            key: key.clone(),
        });
    }

    /// What the blobs of its layers look like where nobody writes them any more.
    pub(super) fn blob_sight(view: &View, digest: &Digest) -> Option<BlobSight> {
        if view.content.contains(digest) {
            return Some(BlobSight::Whole);
        }
        let ingest = view.ingests.get(digest)?;
        Some(BlobSight::Ingest {
            offset: Bytes(ingest.offset),
            started_at: ingest.started_at,
            updated_at: ingest.updated_at,
            by: view.writers.get(digest).cloned().flatten(),
        })
    }
}
