//! One lease that is a pull: what is known of it, and what is to be said and asked of it next.
//!
//! The rules of one pull. What pulls have in common is in the parent module.

use std::collections::{BTreeMap, BTreeSet};
use std::hash::{DefaultHasher, Hash, Hasher};
use std::time::Duration;

use pulltrace_core::{
    Anomaly, BlobSight, Bytes, Digest, Evidence, ImageRef, LayerSight, NodeTime, Now, Observation,
    PullId,
};

use super::super::input::{Query, Record};
use super::Out;
use super::documents::{Assembled, Documents, Known};
use super::holding::{Holding, Kind};
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
    pub(super) image: Option<Assembled>,
    /// The image cannot be known: its documents are none.
    bad: bool,
    /// Chains that are unpacked, and how old they are.
    done: BTreeMap<Digest, Age>,
    /// Chains that were seen being unpacked while the pull lived.
    in_work: BTreeSet<Digest>,
    /// Blobs that were seen being written while the pull lived.
    in_flight: BTreeSet<Digest>,
    /// What unpacking a chain has written.
    pub(super) written: BTreeMap<Digest, i64>,
    /// What its blobs are, by their ingests.
    kinds: BTreeMap<Digest, Kind>,
    sources: usize,
    unlabelled: u32,
    /// Chains that were asked for since the last poll and are not there.
    absent: BTreeSet<Digest>,
    /// What was there before was searched for once.
    searched: bool,
    snapshotter: Option<String>,
    pub(super) names: BTreeSet<ImageRef>,
    /// Which names point to its root, asked when it was over.
    pub(super) records: Option<Vec<Record>>,
    /// Of all that moves, and whether the image was known then.
    fingerprint: Option<(bool, u64)>,
    pub(super) moved: Now,
    usage_asked: Now,
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

/// What is known of how a pull ended.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Verdict {
    /// Something is to be asked first.
    Open,
    /// This, but how old its layers are is still being asked.
    Likely(Evidence),
    /// This.
    Certain(Evidence),
}

/// How old an unpacked chain is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Age {
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
            image: None,
            bad: false,
            done: BTreeMap::new(),
            in_work: BTreeSet::new(),
            in_flight: BTreeSet::new(),
            written: BTreeMap::new(),
            kinds: BTreeMap::new(),
            sources: 0,
            unlabelled: 0,
            absent: BTreeSet::new(),
            searched: false,
            snapshotter: None,
            names: BTreeSet::new(),
            records: None,
            fingerprint: None,
            moved: now,
            usage_asked: now,
            silent: false,
            over: None,
        }
    }

    /// Whether this blob is one of the image's layers.
    pub(super) fn has_layer(&self, digest: &Digest) -> bool {
        self.image
            .as_ref()
            .is_some_and(|known| known.image.layer(digest).is_some())
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
        let labelled = self.is_labelled(documents);
        self.unlabelled = if labelled {
            0
        } else {
            self.unlabelled.saturating_add(1)
        };
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
            && self.unlabelled <= LABEL_POLLS
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

    fn say_names(&mut self, documents: &Documents, out: &mut Out) {
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

    fn find_image(&mut self, holding: &Holding, documents: &Documents, host: &str, out: &mut Out) {
        let Some(root) = self.root.clone() else {
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
    }

    /// Notes which chains are unpacked, and says what of each layer is seen. The holding is that of a lease
    /// that lives.
    fn see_layers(
        &mut self,
        holding: Option<&Holding>,
        view: &View,
        documents: &Documents,
        out: &mut Out,
    ) {
        let Some(known) = self.image.take() else {
            return;
        };
        self.note_chains(&known, holding, view, out);
        for layer in &known.image.layers {
            if view.ingests.contains_key(&layer.digest) {
                self.in_flight.insert(layer.digest.clone());
            }
            let whole = view.content.contains(&layer.digest);
            let was_here = whole
                && !self.in_flight.contains(&layer.digest)
                && self.was_here(&layer.digest, documents, out);
            if was_here {
                self.say_layer(&layer.digest, LayerSight::BlobCached, out);
            }
            let ages: Option<Vec<Age>> = layer
                .chains
                .iter()
                .map(|chain| self.done.get(chain).copied())
                .collect();
            match ages {
                Some(ages) if ages.contains(&Age::Unknown) => {}
                Some(ages) if ages.iter().all(|age| *age == Age::Before) => {
                    self.say_layer(&layer.digest, LayerSight::Cached, out);
                }
                Some(_) => {
                    let fetched = whole
                        || self.in_flight.contains(&layer.digest)
                        || layer
                            .chains
                            .iter()
                            .any(|chain| self.in_work.contains(chain));
                    // Unpacked, and nobody ever fetched it: a lazy snapshotter, if it is not on the node at all.
                    let remote = !fetched && documents.is_missing(&layer.digest);
                    if !fetched && !remote && documents.info(&layer.digest).is_none() {
                        out.ask(Query::Info {
                            digest: layer.digest.to_string(),
                        });
                        continue;
                    }
                    self.say_layer(
                        &layer.digest,
                        if remote {
                            LayerSight::Remote
                        } else {
                            LayerSight::Unpacked
                        },
                        out,
                    );
                }
                None => {
                    if let Some((chain, by)) = layer
                        .chains
                        .iter()
                        .find_map(|chain| Some((chain, view.extracts.get(chain)?)))
                    {
                        let own =
                            holding.is_some_and(|holding| holding.extracts.contains_key(chain));
                        let by = if own {
                            Some(self.id.clone())
                        } else {
                            by.clone()
                        };
                        let written = self
                            .written
                            .get(chain)
                            .and_then(|bytes| u64::try_from(*bytes).ok())
                            .map(Bytes);
                        if let Some(by) = by {
                            self.say_layer(
                                &layer.digest,
                                LayerSight::Unpacking { by, written },
                                out,
                            );
                        }
                    }
                }
            }
        }
        self.image = Some(known);
    }

    fn say_layer(&self, digest: &Digest, sight: LayerSight, out: &mut Out) {
        out.say(Observation::Layer {
            pull: self.id.clone(),
            digest: digest.clone(),
            sight,
        });
    }

    fn note_chains(
        &mut self,
        known: &Assembled,
        holding: Option<&Holding>,
        view: &View,
        out: &mut Out,
    ) {
        for chains in &known.chains {
            for (chain, _) in chains {
                if view.extracts.contains_key(chain) {
                    self.in_work.insert(chain.clone());
                }
                if view.committed.contains(chain) {
                    self.note_done(chain);
                }
            }
            // Layers are unpacked in order: what is being unpacked stands on all that is below.
            let lowest = holding.and_then(|holding| {
                chains
                    .iter()
                    .position(|(chain, _)| holding.extracts.contains_key(chain))
            });
            for (chain, _) in chains.iter().take(lowest.unwrap_or(0)) {
                self.note_done(chain);
            }
            if lowest.is_none() {
                self.search(chains, view, out);
            }
            // What is below an old chain is old too, so the highest of unknown age is asked first.
            if let Some((chain, _)) = chains
                .iter()
                .rev()
                .find(|(chain, _)| self.done.get(chain) == Some(&Age::Unknown))
            {
                self.stat(chain, out);
            }
        }
    }

    /// Asks which chains are there where nobody is seen to work on them: they may be there since long.
    ///
    /// A chain stands on those below it, so the highest one is found by halving: once; later polls look at
    /// the next one only.
    fn search(&mut self, chains: &[(Digest, Digest)], view: &View, out: &mut Out) {
        let Some(low) = chains
            .iter()
            .position(|(chain, _)| !self.done.contains_key(chain))
        else {
            return;
        };
        let open = &chains[low..];
        if view.extracts.contains_key(&open[0].0) {
            return;
        }
        let high = open
            .iter()
            .position(|(chain, _)| self.absent.contains(chain))
            .unwrap_or(open.len());
        if high == 0 {
            self.searched = true;
            return;
        }
        let place = match (self.searched, high == open.len()) {
            (true, _) => 0,
            (false, true) => high - 1,
            (false, false) => high / 2,
        };
        self.stat(&open[place.min(high - 1)].0, out);
    }

    fn note_done(&mut self, chain: &Digest) {
        let age = if self.in_work.contains(chain) {
            Age::Since
        } else {
            Age::Unknown
        };
        self.done.entry(chain.clone()).or_insert(age);
    }

    fn stat(&self, chain: &Digest, out: &mut Out) {
        if let Some(snapshotter) = &self.snapshotter {
            out.ask(Query::Stat {
                snapshotter: snapshotter.clone(),
                key: chain.to_string(),
            });
        }
    }

    /// A chain's snapshot is not there.
    pub(super) fn chain_absent(&mut self, chain: &Digest) {
        if self.image.as_ref().is_some_and(|known| {
            known
                .chains
                .iter()
                .flatten()
                .any(|(other, _)| other == chain)
        }) {
            self.absent.insert(chain.clone());
            if self.done.get(chain) == Some(&Age::Unknown) {
                self.done.remove(chain);
            }
        }
    }

    /// What unpacking a chain has written.
    pub(super) fn learn_usage(&mut self, chain: &Digest, size: i64) {
        if self.in_work.contains(chain) {
            self.written.insert(chain.clone(), size);
        }
    }

    /// What is known of its configs' labels is old: the last of them is written when the pull ends.
    pub(super) fn forget_config(&self, documents: &mut Documents) {
        self.image
            .iter()
            .flat_map(|known| &known.configs)
            .for_each(|config| documents.forget(config));
    }

    /// A blob became whole while the pull lived; whether it is one of its layers.
    pub(super) fn note_created(&mut self, digest: &Digest) -> bool {
        let mine = self.has_layer(digest);
        if mine {
            self.in_flight.insert(digest.clone());
        }
        mine
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

    /// A chain's snapshot is there since `created`.
    pub(super) fn learn_chain(&mut self, chain: &Digest, created: NodeTime) {
        let Some(known) = &self.image else { return };
        let age = if created < self.created {
            Age::Before
        } else {
            Age::Since
        };
        for chains in &known.chains {
            let Some(place) = chains.iter().position(|(other, _)| other == chain) else {
                continue;
            };
            for (index, (below, _)) in chains[..=place].iter().enumerate() {
                let seen = if self.in_work.contains(below) {
                    Age::Since
                } else {
                    Age::Unknown
                };
                let entry = self.done.entry(below.clone()).or_insert(seen);
                if *entry == Age::Unknown && (index == place || age == Age::Before) {
                    *entry = age;
                }
            }
        }
    }

    /// A snapshot was committed while the pull lived.
    pub(super) fn chain_committed(&mut self, chain: &Digest, out: &mut Out) {
        let Some(known) = &self.image else { return };
        let layer = known
            .chains
            .iter()
            .flatten()
            .find(|(other, _)| other == chain)
            .map(|(_, layer)| layer.clone());
        if let Some(layer) = layer {
            self.in_work.insert(chain.clone());
            self.done.insert(chain.clone(), Age::Since);
            let whole = known.image.layers.iter().find(|l| l.digest == layer);
            if self.began
                && whole.is_some_and(|l| l.chains.iter().all(|chain| self.done.contains_key(chain)))
            {
                self.say_layer(&layer, LayerSight::Unpacked, out);
            }
        }
    }

    /// Whether a blob that was never seen being written was on the node before the pull; asks where unknown.
    fn was_here(&self, digest: &Digest, documents: &Documents, out: &mut Out) -> bool {
        match documents.info(digest) {
            Some(info) => info.created_at < self.created,
            None => {
                if !documents.is_missing(digest) {
                    out.ask(Query::Info {
                        digest: digest.to_string(),
                    });
                }
                false
            }
        }
    }

    /// Whether it is known if the blob was on the node before: until then it is not said to be whole.
    pub(super) fn knows_age(&self, digest: &Digest, documents: &Documents) -> bool {
        self.in_flight.contains(digest) || documents.info(digest).is_some()
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
        let (Some((_, key)), Some(snapshotter)) =
            (holding.extracts.first_key_value(), &holding.snapshotter)
        else {
            return;
        };
        self.usage_asked = now;
        out.ask(Query::Usage {
            snapshotter: snapshotter.clone(),
            key: key.clone(),
        });
    }

    /// The pull is over: what the evidence says of how it ended.
    pub(super) fn judge(&mut self, sight: Sight<'_>, out: &mut Out) -> Verdict {
        let Sight {
            view,
            documents,
            host,
            ..
        } = sight;
        let absent = match self.over {
            Some(Over {
                restarted: true, ..
            }) => Evidence::RuntimeRestarted,
            _ => Evidence::ImageAbsent,
        };
        let Some(root) = self.root.clone() else {
            return Verdict::Certain(absent);
        };
        match &self.records {
            None => {
                out.ask(Query::RecordsOf {
                    target: root.to_string(),
                });
                return Verdict::Open;
            }
            Some(records) if records.is_empty() => return Verdict::Certain(absent),
            Some(_) => {}
        }
        if documents.info(&root).is_none() && !documents.is_missing(&root) {
            out.ask(Query::Info {
                digest: root.to_string(),
            });
            return Verdict::Open;
        }
        self.say_names(documents, out);
        match self.image.take() {
            Some(image) => self.take_image(image, out),
            None => match documents.assemble(&root, &BTreeSet::new(), host, true) {
                (Known::Image(image), _) => self.take_image(image, out),
                (Known::Asking, asks) => {
                    out.ask_all(asks);
                    return Verdict::Open;
                }
                (Known::Nothing, _) => return Verdict::Certain(absent),
                (Known::Bad, _) => {
                    out.doubt(Anomaly::BadDocument);
                    return Verdict::Certain(absent);
                }
            },
        }
        let verdict = self.judge_chains(documents, out, absent);
        self.see_layers(None, view, documents, out);
        verdict
    }

    /// A record points to the root; the image is there where its last layer is unpacked.
    fn judge_chains(&mut self, documents: &Documents, out: &mut Out, absent: Evidence) -> Verdict {
        let Some(known) = self.image.clone() else {
            return Verdict::Open;
        };
        let mut asked = false;
        let mut present = false;
        for (chains, config) in known.chains.iter().zip(&known.configs) {
            let Some((last, _)) = chains.last() else {
                return Verdict::Certain(Evidence::ImagePresent);
            };
            // A config names the chain that it was unpacked to, and who keeps it.
            match documents.info(config) {
                Some(info) => {
                    if let Some((snapshotter, _)) =
                        info.unpacked.iter().find(|(_, chain)| *chain == last)
                    {
                        present = true;
                        self.snapshotter.get_or_insert_with(|| snapshotter.clone());
                    }
                }
                None if documents.is_missing(config) => {}
                None => {
                    out.ask(Query::Info {
                        digest: config.to_string(),
                    });
                    asked = true;
                }
            }
            if self.done.contains_key(last) {
                present = true;
            } else if !present && self.snapshotter.is_some() && !self.absent.contains(last) {
                self.stat(last, out);
                asked = true;
            }
            let unknown = |(chain, _): &(Digest, Digest)| {
                !matches!(self.done.get(chain), Some(Age::Before | Age::Since))
            };
            asked |= present && self.snapshotter.is_some() && chains.iter().any(unknown);
        }
        match (present, asked) {
            (true, true) => Verdict::Likely(Evidence::ImagePresent),
            (true, false) => Verdict::Certain(Evidence::ImagePresent),
            (false, true) => Verdict::Open,
            (false, false) => Verdict::Certain(absent),
        }
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
