//! One pull, i.e. one lease: its state, and the observations and queries that follow from it.
//!
//! Rules that involve several pulls are in the parent module.

use std::collections::{BTreeMap, BTreeSet};
use std::hash::{DefaultHasher, Hash, Hasher};
use std::sync::Arc;
use std::time::Duration;

use pulltrace_core::{
    Anomaly, BlobObservation, Bytes, Digest, Image, ImageLayer, ImageRef, NodeTime, Now, PullFact,
    PullId,
};

use super::super::input::{ImageRecord, Query};
use super::chains::ChainStates;
use super::documents::{AssembledImage, Documents, ImageState};
use super::lease_resources::{BlobKind, LeaseResources};
use super::output::OutputBuilder;
use super::records::WrittenNames;
use super::view::View;

/// An empty lease of this age is a pull that is resolving its image name. Leases for the creation
/// of a container are empty as well, but only exist for about 15 ms.
const MIN_RESOLVING_AGE: Duration = Duration::from_secs(1);

/// Minimum time between two usage queries, and without activity before the first: containerd walks
/// the snapshot's files to answer.
const USAGE_INTERVAL: Duration = Duration::from_secs(10);

/// Polls to wait for the labels of a manifest before its lease is ignored as not being a pull.
const MAX_UNLABELLED_POLLS: u32 = 8;

/// The state shared by all pulls.
#[derive(Clone, Copy)]
pub(super) struct PullContext<'a> {
    pub(super) view: &'a View,
    pub(super) documents: &'a Documents,
    /// The platform of this node.
    pub(super) platform: &'a str,
    /// Time without activity after which a pull counts as dead.
    pub(super) inactivity_timeout: Duration,
    pub(super) now: Now,
}

#[derive(Debug)]
pub(super) struct TrackedPull {
    pub(super) id: PullId,
    pub(super) created_at: NodeTime,
    pub(super) reported_start: bool,
    pub(super) root: Option<Digest>,
    /// Content of the lease while the root was still unknown.
    pub(super) unrooted_content: BTreeSet<Digest>,
    pub(super) image: Option<AssembledImage>,
    /// Layers and their sizes, while only the manifest is known.
    pub(super) sizes_only: Option<Arc<Image>>,
    /// True if the image's documents are invalid.
    pub(super) invalid_image: bool,
    pub(super) chains: ChainStates,
    /// Blobs that were being written at some time during the pull.
    pub(super) seen_fetching: BTreeSet<Digest>,
    /// Kinds of the blobs, taken from the refs of their ingests.
    pub(super) blob_kinds: BTreeMap<Digest, BlobKind>,
    pub(super) max_sources: usize,
    pub(super) unlabelled_polls: u32,
    pub(super) snapshotter: Option<String>,
    pub(super) names: BTreeSet<ImageRef>,
    /// The image names known to be written by this pull.
    pub(super) written_names: WrittenNames,
    /// When the lease was last listed.
    pub(super) last_listed: NodeTime,
    /// The image records that point to the root, queried after the pull has finished.
    pub(super) records: Option<Vec<ImageRecord>>,
    pub(super) activity: Activity,
    /// True if the pull counts as dead.
    pub(super) inactive: bool,
    /// Set when the lease is gone or containerd has restarted. The outcome remains to be
    /// determined.
    pub(super) finished: Option<Finished>,
}

/// When and why a pull finished.
#[derive(Clone, Copy, Debug)]
pub(super) struct Finished {
    pub(super) since: Now,
    pub(super) restarted: bool,
    /// The number of polls until then.
    pub(super) polls: u64,
}

/// The progress of a pull, of any kind.
#[derive(Debug)]
pub(super) struct Activity {
    pub(super) last: Now,
    /// The state at that time.
    hash: Option<ActivityHash>,
    usage_queried: Now,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct ActivityHash {
    /// Hash of everything that changes with activity.
    value: u64,
    /// True if the image was known. When it becomes known, more state enters the hash, which is
    /// not activity.
    has_image: bool,
}

impl TrackedPull {
    pub(super) fn new(id: PullId, created_at: NodeTime, now: Now) -> Self {
        Self {
            id,
            created_at,
            reported_start: false,
            root: None,
            unrooted_content: BTreeSet::new(),
            image: None,
            sizes_only: None,
            invalid_image: false,
            chains: ChainStates::default(),
            seen_fetching: BTreeSet::new(),
            blob_kinds: BTreeMap::new(),
            max_sources: 0,
            unlabelled_polls: 0,
            snapshotter: None,
            names: BTreeSet::new(),
            written_names: WrittenNames::default(),
            last_listed: now.node,
            records: None,
            activity: Activity { last: now, hash: None, usage_queried: now },
            inactive: false,
            finished: None,
        }
    }

    /// Emits a fact about this pull.
    pub(super) fn emit(&self, fact: PullFact, out: &mut OutputBuilder) {
        out.observe(fact.of(self.id.clone()));
    }

    /// Returns the root of the image or, while it is unknown, all candidates.
    pub(super) fn possible_roots(&self) -> impl Iterator<Item = &Digest> {
        let held = self.unrooted_content.iter().filter(|_| self.root.is_none());
        self.root.iter().chain(held)
    }

    /// Returns whether this blob is a layer of the image.
    pub(super) fn has_layer(&self, digest: &Digest) -> bool {
        self.layers().any(|layer| layer.digest == *digest)
    }

    /// Returns the layers of the image, once its manifest is known.
    pub(super) fn layers(&self) -> impl Iterator<Item = &ImageLayer> {
        let image = self.image.as_ref().map(|known| &known.image);
        let image = image.or(self.sizes_only.as_ref());
        image.into_iter().flat_map(|image| &image.layers)
    }

    /// Returns whether the manifest specifies another size for this layer.
    pub(super) fn contradicts_size(&self, digest: &str, size: i64) -> bool {
        let mut layers = self.layers().filter(|layer| layer.digest.as_str() == digest);
        layers.any(|layer| u64::try_from(size) != Ok(layer.size.0))
    }

    /// Evaluates the resources of an existing lease and emits observations. Returns `false` if the
    /// lease turns out not to be a pull.
    pub(super) fn evaluate_lease(
        &mut self,
        lease: &LeaseResources,
        context: PullContext<'_>,
        out: &mut OutputBuilder,
    ) -> bool {
        let PullContext { view, documents, now, .. } = context;
        self.blob_kinds.extend(lease.ingests.iter().map(|(digest, kind)| (digest.clone(), *kind)));
        if lease.is_import {
            return false;
        }
        self.find_root(lease, documents, out);
        self.snapshotter =
            lease.snapshotter.clone().or(self.snapshotter.take()).or(view.snapshotter.clone());
        self.update_activity(lease, view, now);
        if !self.reported_start {
            let resolving =
                lease.is_empty() && now.node.since(self.created_at) >= MIN_RESOLVING_AGE;
            if !(self.has_source_label(documents) || resolving || !lease.ingests.is_empty()) {
                let stuck = self.root.is_some() && self.unlabelled_polls > MAX_UNLABELLED_POLLS;
                return !stuck;
            }
            // Inactive since before it was first seen: not reported.
            if now.node.since(self.activity.last.node) > context.inactivity_timeout {
                return true;
            }
            self.reported_start = true;
        }
        if self.inactive {
            return true;
        }
        self.emit(PullFact::Started { at: self.created_at }, out);
        for name in &self.names {
            self.emit(PullFact::Named(name.clone()), out);
        }
        self.emit_root(documents, out);
        self.find_image(lease, documents, context.platform, out);
        self.emit_layers(Some(lease), view, documents, out);
        self.check_extracted_chains(lease, out);
        self.query_usage(lease, now, out);
        true
    }

    fn has_source_label(&self, documents: &Documents) -> bool {
        let info = self.root.as_ref().and_then(|root| documents.info(root));
        info.is_some_and(|info| !info.repositories.is_empty())
    }

    /// Estimates the time of the last activity when the lease is first seen.
    fn initial_activity(&self, lease: &LeaseResources, view: &View, now: Now) -> NodeTime {
        let own = lease.ingests.keys().filter_map(|digest| view.ingests.get(digest));
        match own.map(|ingest| ingest.updated_at).max() {
            Some(last) => last.max(self.created_at).min(now.node),
            None if lease.is_empty() => self.created_at.min(now.node),
            None => now.node,
        }
    }

    /// Counts polls without source labels, and resets the state that is valid for one poll.
    pub(super) fn on_poll(&mut self, documents: &Documents) {
        let root = self.root.as_ref().and_then(|root| documents.info(root));
        if let Some(info) = root {
            let waits = info.repositories.is_empty();
            self.unlabelled_polls = if waits { self.unlabelled_polls.saturating_add(1) } else { 0 };
        }
        self.chains.absent.clear();
    }

    fn find_root(
        &mut self,
        lease: &LeaseResources,
        documents: &Documents,
        out: &mut OutputBuilder,
    ) {
        if self.root.is_none() {
            let content = || lease.content.iter();
            let ingest_of_kind =
                |kind| lease.ingests.iter().find(|(_, k)| **k == kind).map(|(digest, _)| digest);
            let content_of_kind =
                |kind| content().find(|digest| self.blob_kinds.get(*digest) == Some(&kind));
            self.root = content()
                .find(|digest| {
                    documents.is_index(digest)
                        && !documents.is_listed_by_index(digest, &lease.content)
                })
                .or_else(|| content_of_kind(BlobKind::Index))
                .or_else(|| ingest_of_kind(BlobKind::Index))
                .or_else(|| {
                    // Only if all documents have been read and none of them is an index.
                    let unread = content().any(|d| {
                        documents.identify_query(d, false).is_some()
                            && !self.is_known_part(d, documents)
                    });
                    content().find(|digest| documents.is_manifest(digest)).filter(|_| !unread)
                })
                .or_else(|| ingest_of_kind(BlobKind::Manifest).filter(|_| lease.content.is_empty()))
                .cloned();
        }
        // Blobs that are not known to be layers may be documents.
        for digest in &lease.content {
            if self.is_known_part(digest, documents) {
                continue;
            }
            let certain =
                matches!(self.blob_kinds.get(digest), Some(BlobKind::Index | BlobKind::Manifest));
            // The age and labels of the root are needed in addition to its content.
            if self.root.as_ref() == Some(digest) && documents.info(digest).is_none() {
                out.query(Query::Info { digest: digest.to_string() });
            }
            out.query_all(documents.identify_query(digest, certain));
        }
        if let Some(root) = &self.root
            && documents.info(root).is_some_and(|info| info.repositories.is_empty())
            && lease.content.contains(root)
            && (self.reported_start || self.unlabelled_polls <= MAX_UNLABELLED_POLLS)
        {
            out.query(Query::Info { digest: root.to_string() });
        }
    }

    fn is_known_part(&self, digest: &Digest, documents: &Documents) -> bool {
        matches!(
            self.blob_kinds.get(digest),
            Some(BlobKind::Layer | BlobKind::Config | BlobKind::Other)
        ) || documents.is_manifest_part(digest)
    }

    pub(super) fn emit_root(&mut self, documents: &Documents, out: &mut OutputBuilder) {
        let Some(root) = &self.root else { return };
        self.emit(PullFact::Root(root.clone()), out);
        let Some(info) = documents.info(root) else {
            return;
        };
        // With several source repositories it is unknown which one this pull uses.
        if let Some(repository) = info
            .repositories
            .first()
            .filter(|_| info.repositories.len() == 1 && self.max_sources < 2)
        {
            self.emit(PullFact::Repository(repository.clone()), out);
        }
        self.max_sources = self.max_sources.max(info.repositories.len());
    }

    pub(super) fn find_image(
        &mut self,
        lease: &LeaseResources,
        documents: &Documents,
        platform: &str,
        out: &mut OutputBuilder,
    ) {
        // A blob that is still being written cannot be read.
        let Some(root) = self.root.clone().filter(|root| lease.content.contains(root)) else {
            return;
        };
        let held: BTreeSet<Digest> =
            lease.content.iter().chain(lease.ingests.keys()).cloned().collect();
        let (state, queries) = documents.assemble(&root, &held, platform, false);
        out.query_all(queries);
        match state {
            ImageState::Complete(image) => self.set_image(image, out),
            ImageState::SizesOnly(image) => {
                self.emit(PullFact::Image(image.clone()), out);
                for layer in &image.layers {
                    if lease.ingests.contains_key(&layer.digest) {
                        self.seen_fetching.insert(layer.digest.clone());
                    }
                }
                self.sizes_only = Some(image);
            }
            ImageState::Invalid if !self.invalid_image => {
                self.invalid_image = true;
                out.report_anomaly(Anomaly::BadDocument);
            }
            ImageState::Invalid | ImageState::Pending | ImageState::Unavailable => {}
        }
    }

    pub(super) fn set_image(&mut self, image: AssembledImage, out: &mut OutputBuilder) {
        self.emit(PullFact::Image(image.image.clone()), out);
        self.image = Some(image);
        self.sizes_only = None;
    }

    /// Returns whether the pull may be inactive because other pulls occupy the download slots: none
    /// of its own blobs has any bytes, but another pull's has.
    pub(super) fn waits_for_slot(&self, lease: &LeaseResources, view: &View) -> bool {
        let has_bytes =
            |digest: &Digest| view.ingests.get(digest).is_some_and(|ingest| ingest.offset > 0);
        !lease.ingests.keys().any(has_bytes)
            && view.ingests.values().any(|ingest| ingest.offset > 0)
    }

    fn update_activity(&mut self, lease: &LeaseResources, view: &View, now: Now) {
        let mut hasher = DefaultHasher::new();
        (&lease.content, &lease.extracts, &lease.committed).hash(&mut hasher);
        lease.ingests.keys().for_each(|digest| digest.hash(&mut hasher));
        self.chains.written.hash(&mut hasher);
        let layers = self
            .image
            .iter()
            .flat_map(|known| known.image.layers.iter().map(|layer| &layer.digest));
        for digest in lease.ingests.keys().chain(layers) {
            if let Some(ingest) = view.ingests.get(digest) {
                (digest, ingest.offset, ingest.updated_at.unix_nanos()).hash(&mut hasher);
            }
            // Progress of another pull on a shared layer counts as activity, too.
            view.content.contains(digest).hash(&mut hasher);
        }
        let chains = self.image.iter().flat_map(|known| known.chains.iter().flatten());
        chains.for_each(|chain| view.committed.contains(&chain.id).hash(&mut hasher));
        let hash = ActivityHash { value: hasher.finish(), has_image: self.image.is_some() };
        match self.activity.hash {
            None => {
                self.activity.last =
                    Now { node: self.initial_activity(lease, view, now), mono: now.mono }
            }
            Some(before) if before.has_image == hash.has_image && before != hash => {
                self.activity.last = now;
                self.inactive = false;
            }
            Some(_) => {}
        }
        self.activity.hash = Some(hash);
    }

    fn query_usage(&mut self, lease: &LeaseResources, now: Now, out: &mut OutputBuilder) {
        if now.mono.since(self.activity.last.mono) < USAGE_INTERVAL
            || now.mono.since(self.activity.usage_queried.mono) < USAGE_INTERVAL
        {
            return;
        }
        // A snapshot is prepared before its layer is downloaded. Until then its usage is
        // meaningless.
        let chains = self.image.iter().flat_map(|known| known.chains.iter().flatten());
        let mut unpacked = chains.filter(|chain| lease.content.contains(&chain.layer));
        let key = unpacked.find_map(|chain| lease.extracts.get(&chain.id));
        let (Some(key), Some(snapshotter)) = (key, &lease.snapshotter) else {
            return;
        };
        self.activity.usage_queried = now;
        out.query(Query::Usage { snapshotter: snapshotter.clone(), key: key.clone() });
    }

    /// Returns the state of a blob in the last poll.
    pub(super) fn blob_observation(view: &View, digest: &Digest) -> Option<BlobObservation> {
        if view.content.contains(digest) {
            return Some(BlobObservation::Complete);
        }
        let ingest = view.ingests.get(digest)?;
        Some(BlobObservation::Ingest {
            offset: Bytes(ingest.offset),
            started_at: ingest.started_at,
            updated_at: ingest.updated_at,
            by: view.writers.get(digest).cloned().flatten(),
        })
    }
}
