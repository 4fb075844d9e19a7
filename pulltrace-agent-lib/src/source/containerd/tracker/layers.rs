//! The layers of one pull: which chains are unpacked, by whom, and how old they are.

use pulltrace_core::{Anomaly, Bytes, Digest, LayerSight, NodeTime, Observation};

use super::super::input::Query;
use super::Out;
use super::documents::{Assembled, Documents};
use super::holding::Holding;
use super::pull::{Age, Tracked};
use super::view::View;

impl Tracked {
    /// Notes which chains are unpacked, and says what of each layer is seen. The holding is that of a lease
    /// that lives.
    pub(super) fn see_layers(
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

    pub(super) fn say_layer(&self, digest: &Digest, sight: LayerSight, out: &mut Out) {
        out.say(Observation::Layer {
            pull: self.id.clone(),
            digest: digest.clone(),
            sight,
        });
    }

    pub(super) fn note_chains(
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
    pub(super) fn search(&mut self, chains: &[(Digest, Digest)], view: &View, out: &mut Out) {
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

    pub(super) fn note_done(&mut self, chain: &Digest) {
        let age = if self.in_work.contains(chain) {
            Age::Since
        } else {
            Age::Unknown
        };
        self.done.entry(chain.clone()).or_insert(age);
    }

    pub(super) fn stat(&self, chain: &Digest, out: &mut Out) {
        if let Some(snapshotter) = &self.snapshotter {
            out.ask(Query::Stat {
                snapshotter: snapshotter.clone(),
                key: chain.to_string(),
            });
        }
    }

    /// A chain's snapshot is not there.
    ///
    /// Where one that stands on it is, the pull is in doubt until the next poll: of one that is over by
    /// then, what it had unpacked was being collected.
    pub(super) fn chain_absent(&mut self, chain: &Digest) {
        let chains = self.image.iter().flat_map(|known| &known.chains);
        let stands = chains.filter_map(|chains| {
            let place = chains.iter().position(|(other, _)| other == chain)?;
            Some(
                chains[place + 1..]
                    .iter()
                    .any(|(above, _)| self.done.contains_key(above)),
            )
        });
        // In one manifest or in several that share it.
        let stands: Vec<bool> = stands.collect();
        if stands.is_empty() {
            return;
        }
        self.absent.insert(chain.clone());
        if self.done.get(chain) == Some(&Age::Unknown) {
            self.done.remove(chain);
        }
        self.broken |= stands.contains(&true);
    }

    /// Counts, once, what is unpacked for this lease and belongs to no chosen manifest.
    pub(super) fn doubt_chains(&mut self, holding: &Holding, out: &mut Out) {
        let Some(known) = self.image.as_ref().filter(|_| !self.strange) else {
            return;
        };
        let is_known = |chain: &Digest| {
            known
                .chains
                .iter()
                .flatten()
                .any(|(other, _)| other == chain)
        };
        if !holding.extracts.keys().all(is_known) {
            self.strange = true;
            out.doubt(Anomaly::UnknownChain);
        }
    }

    /// What unpacking a chain has written.
    pub(super) fn learn_usage(&mut self, chain: &Digest, size: i64) {
        if self.in_work.contains(chain) {
            self.written.insert(chain.clone(), size);
        }
    }

    /// A blob became whole while the pull lived; whether it is one of its layers.
    pub(super) fn note_created(&mut self, digest: &Digest) -> bool {
        let mine = self.has_layer(digest);
        if mine {
            self.in_flight.insert(digest.clone());
        }
        mine
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
    pub(super) fn was_here(&self, digest: &Digest, documents: &Documents, out: &mut Out) -> bool {
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
}
