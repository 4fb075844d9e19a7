//! The layers of a pull: which chains are unpacked, by which pull, and how old they are.

use pulltrace_core::{Anomaly, Bytes, Digest, LayerObservation, NodeTime, PullFact};

use super::super::input::Query;
use super::chains::ChainAge;
use super::documents::{AssembledImage, Chain, Documents};
use super::lease_resources::LeaseResources;
use super::output::OutputBuilder;
use super::pull::TrackedPull;
use super::view::View;

impl TrackedPull {
    /// Updates the chains and emits an observation per layer. `resources` are those of the lease
    /// while it exists.
    pub(super) fn emit_layers(
        &mut self,
        resources: Option<&LeaseResources>,
        view: &View,
        documents: &Documents,
        out: &mut OutputBuilder,
    ) {
        let Some(image) = self.image.take() else {
            return;
        };
        self.update_chains(&image, resources, view, out);
        for layer in &image.image.layers {
            if view.ingests.contains_key(&layer.digest) {
                self.seen_fetching.insert(layer.digest.clone());
            }
            let complete = view.content.contains(&layer.digest);
            let blob_cached = complete
                && !self.seen_fetching.contains(&layer.digest)
                && self.was_blob_cached(&layer.digest, documents, out);
            if blob_cached {
                self.emit_layer(&layer.digest, LayerObservation::BlobCached, out);
            }
            let ages: Option<Vec<ChainAge>> =
                layer.chains.iter().map(|chain| self.chains.unpacked.get(chain).copied()).collect();
            match ages {
                Some(ages) if ages.contains(&ChainAge::Unknown) => {}
                Some(ages) if ages.iter().all(|age| *age == ChainAge::Preexisting) => {
                    self.emit_layer(&layer.digest, LayerObservation::Cached, out);
                }
                Some(_) => {
                    let fetched = complete
                        || self.seen_fetching.contains(&layer.digest)
                        || layer
                            .chains
                            .iter()
                            .any(|chain| self.chains.seen_unpacking.contains(chain));
                    // Unpacked but never fetched: provided by a lazy snapshotter, if the blob is
                    // not on the node.
                    let remote = !fetched && documents.is_missing(&layer.digest);
                    if !fetched && !remote && documents.info(&layer.digest).is_none() {
                        out.query(Query::Info { digest: layer.digest.to_string() });
                        continue;
                    }
                    self.emit_layer(
                        &layer.digest,
                        if remote { LayerObservation::Remote } else { LayerObservation::Unpacked },
                        out,
                    );
                }
                None => {
                    if let Some((chain, by)) = layer
                        .chains
                        .iter()
                        .find_map(|chain| Some((chain, view.extracts.get(chain)?)))
                    {
                        let own = resources
                            .is_some_and(|resources| resources.extracts.contains_key(chain));
                        let by = if own { Some(self.id.clone()) } else { by.clone() };
                        let written = self
                            .chains
                            .written
                            .get(chain)
                            .and_then(|bytes| u64::try_from(*bytes).ok())
                            .map(Bytes);
                        if let Some(by) = by {
                            self.emit_layer(
                                &layer.digest,
                                LayerObservation::Unpacking { by, written },
                                out,
                            );
                        }
                    }
                }
            }
        }
        self.image = Some(image);
    }

    pub(super) fn emit_layer(
        &self,
        digest: &Digest,
        observed: LayerObservation,
        out: &mut OutputBuilder,
    ) {
        self.emit(PullFact::Layer { digest: digest.clone(), observed }, out);
    }

    pub(super) fn update_chains(
        &mut self,
        image: &AssembledImage,
        resources: Option<&LeaseResources>,
        view: &View,
        out: &mut OutputBuilder,
    ) {
        for chains in &image.chains {
            for chain in chains {
                if view.extracts.contains_key(&chain.id) {
                    self.chains.seen_unpacking.insert(chain.id.clone());
                }
                if view.committed.contains(&chain.id) {
                    self.chains.mark_unpacked(&chain.id);
                }
            }
            // Layers are unpacked in order, so all chains below one being unpacked exist.
            let lowest = resources.and_then(|resources| {
                chains.iter().position(|chain| resources.extracts.contains_key(&chain.id))
            });
            for chain in chains.iter().take(lowest.unwrap_or(0)) {
                self.chains.mark_unpacked(&chain.id);
            }
            if lowest.is_none() {
                self.search_chains(chains, view, out);
            }
            // Chains below an old chain are old as well, so query the highest chain of unknown age
            // first.
            let is_unknown =
                |chain: &&Chain| self.chains.unpacked.get(&chain.id) == Some(&ChainAge::Unknown);
            if let Some(chain) = chains.iter().rev().find(is_unknown) {
                self.query_chain(&chain.id, out);
            }
        }
    }

    /// Queries whether chains that no pull is unpacking already exist.
    ///
    /// A chain requires those below it, so the highest existing one is found by binary search.
    /// After this search, later polls only query the next chain.
    pub(super) fn search_chains(&mut self, chains: &[Chain], view: &View, out: &mut OutputBuilder) {
        let Some(low) =
            chains.iter().position(|chain| !self.chains.unpacked.contains_key(&chain.id))
        else {
            return;
        };
        let open = &chains[low..];
        if view.extracts.contains_key(&open[0].id) {
            return;
        }
        let high = open
            .iter()
            .position(|chain| self.chains.absent.contains(&chain.id))
            .unwrap_or(open.len());
        if high == 0 {
            self.chains.is_searched = true;
            return;
        }
        let place = match (self.chains.is_searched, high == open.len()) {
            (true, _) => 0,
            (false, true) => high - 1,
            (false, false) => high / 2,
        };
        self.query_chain(&open[place.min(high - 1)].id, out);
    }

    pub(super) fn query_chain(&self, chain: &Digest, out: &mut OutputBuilder) {
        if let Some(snapshotter) = &self.snapshotter {
            out.query(Query::Stat { snapshotter: snapshotter.clone(), key: chain.to_string() });
        }
    }

    /// Handles a missing chain.
    ///
    /// If a chain above it exists, the state is inconsistent. The next poll counts that as an
    /// anomaly if the lease still exists. Otherwise the pull had ended, and the chain was removed
    /// by garbage collection.
    pub(super) fn on_chain_absent(&mut self, chain: &Digest) {
        let chains = self.image.iter().flat_map(|known| &known.chains);
        let chains_above = chains.filter_map(|chains| {
            let place = chains.iter().position(|other| other.id == *chain)?;
            let mut above = chains[place + 1..].iter();
            Some(above.any(|above| self.chains.unpacked.contains_key(&above.id)))
        });
        // One result for each manifest that contains the chain.
        let has_chain_above: Vec<bool> = chains_above.collect();
        if has_chain_above.is_empty() {
            return;
        }
        self.chains.absent.insert(chain.clone());
        if self.chains.unpacked.get(chain) == Some(&ChainAge::Unknown) {
            self.chains.unpacked.remove(chain);
        }
        self.chains.is_broken |= has_chain_above.contains(&true);
    }

    /// Counts, once per pull, an extracted chain that belongs to none of the selected manifests.
    pub(super) fn check_extracted_chains(
        &mut self,
        resources: &LeaseResources,
        out: &mut OutputBuilder,
    ) {
        let Some(image) = self.image.as_ref().filter(|_| !self.chains.has_unknown) else {
            return;
        };
        let is_known =
            |chain: &Digest| image.chains.iter().flatten().any(|other| other.id == *chain);
        if !resources.extracts.keys().all(is_known) {
            self.chains.has_unknown = true;
            out.report_anomaly(Anomaly::UnknownChain);
        }
    }

    /// Records that a blob was completed during the pull. Returns whether it is one of its layers.
    pub(super) fn on_blob_created(&mut self, digest: &Digest) -> bool {
        let mine = self.has_layer(digest);
        if mine {
            self.seen_fetching.insert(digest.clone());
        }
        mine
    }

    /// Records that a chain exists since `created`.
    pub(super) fn on_chain_present(&mut self, chain: &Digest, created: NodeTime) {
        let Some(image) = &self.image else { return };
        let age = if created < self.created_at { ChainAge::Preexisting } else { ChainAge::New };
        for chains in &image.chains {
            let Some(place) = chains.iter().position(|other| other.id == *chain) else {
                continue;
            };
            for (index, below) in chains[..=place].iter().enumerate() {
                let seen = if self.chains.seen_unpacking.contains(&below.id) {
                    ChainAge::New
                } else {
                    ChainAge::Unknown
                };
                let entry = self.chains.unpacked.entry(below.id.clone()).or_insert(seen);
                if *entry == ChainAge::Unknown && (index == place || age == ChainAge::Preexisting) {
                    *entry = age;
                }
            }
        }
    }

    /// Records that a chain was committed during the pull.
    pub(super) fn on_chain_committed(&mut self, chain: &Digest, out: &mut OutputBuilder) {
        let Some(image) = &self.image else { return };
        let layer = image
            .chains
            .iter()
            .flatten()
            .find(|other| other.id == *chain)
            .map(|chain| chain.layer.clone());
        if let Some(layer) = layer {
            self.chains.seen_unpacking.insert(chain.clone());
            self.chains.unpacked.insert(chain.clone(), ChainAge::New);
            let whole = image.image.layers.iter().find(|l| l.digest == layer);
            if self.reported_start
                && whole.is_some_and(|l| {
                    l.chains.iter().all(|chain| self.chains.unpacked.contains_key(chain))
                })
            {
                self.emit_layer(&layer, LayerObservation::Unpacked, out);
            }
        }
    }

    /// Returns whether a blob that was never seen being written existed before the pull. Queries
    /// its age if unknown.
    pub(super) fn was_blob_cached(
        &self,
        digest: &Digest,
        documents: &Documents,
        out: &mut OutputBuilder,
    ) -> bool {
        match documents.info(digest) {
            Some(info) => info.created_at < self.created_at,
            None => {
                if !documents.is_missing(digest) {
                    out.query(Query::Info { digest: digest.to_string() });
                }
                false
            }
        }
    }

    /// Returns whether it is known if the blob existed before the pull. Until then it is not
    /// reported as complete.
    pub(super) fn knows_blob_age(&self, digest: &Digest, documents: &Documents) -> bool {
        self.seen_fetching.contains(digest) || documents.info(digest).is_some()
    }
}
