//! A bounded table of one node's pulls: observations in, changes out.
//!
//! Deterministic: all input, including the time, is passed as arguments.

use std::collections::{BTreeMap, HashSet};
use std::sync::Arc;
use std::time::Duration;

use crate::baseline::RateBaseline;
use crate::blob::{Blob, BlobState};
use crate::change::{Change, ChangeKind, Counters, NodeTotals};
use crate::entry::{Blobs, Entry, NodeContext, PullEnd};
use crate::eta::{Speeds, UnpackSpeeds};
use crate::id::{Digest, Namespace, PullId};
use crate::image::Image;
use crate::observation::{Anomaly, BlobObservation, Observation, PullFact};
use crate::pull::{Outcome, Phase, Pull};
use crate::rate::RateMeter;
use crate::time::{NodeTime, Now};
use crate::unit::Bytes;

/// The limits of a [`PullTable`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Limits {
    /// The maximum number of live pulls. Further ones are refused and counted. Default: 1,000.
    pub max_live: usize,
    /// The maximum number of ended pulls. Beyond it the oldest are evicted and counted. Default:
    /// 1,000.
    pub max_ended: usize,
    /// The retention period of ended pulls. Default: 30 minutes.
    pub retention: Duration,
    /// The time without new bytes after which a download that is not blocked is stalled. Default:
    /// 30 seconds.
    pub stall_timeout: Duration,
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            max_live: 1_000,
            max_ended: 1_000,
            retention: Duration::from_mins(30),
            stall_timeout: Duration::from_secs(30),
        }
    }
}

/// A bounded table of one node's pulls.
///
/// ```
/// use pulltrace_core::{ChangeKind, Limits, Mono, NodeTime, Now, PullFact, PullId, PullTable};
/// let now = Now { mono: Mono::default(), node: "2026-11-24T20:00:00Z".parse()? };
/// let pull = PullId::Lease {
///     node: "worker-1".parse()?,
///     namespace: "k8s.io".parse()?,
///     lease: "123456789-abcd".parse()?,
///     created: now.node,
/// };
/// let mut table = PullTable::new(Limits::default());
/// let changes = table.apply(&[PullFact::Started { at: now.node }.of(pull)], now);
/// assert_eq!(changes[0].kind, ChangeKind::Started);
/// assert_eq!(changes[0].pull.phase.as_str(), "resolving");
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
pub struct PullTable {
    limits: Limits,
    entries: BTreeMap<PullId, Entry>,
    blobs: Blobs,
    revision: u64,
    counters: Counters,
    downloaded: Bytes,
    meter: RateMeter,
    unpack: UnpackSpeeds,
    baseline: RateBaseline,
    download_slots: Option<u32>,
    runtime: Option<String>,
    source_lost_since: Option<NodeTime>,
}

impl PullTable {
    /// Creates an empty table.
    #[must_use]
    pub fn new(limits: Limits) -> Self {
        Self {
            limits,
            entries: BTreeMap::new(),
            blobs: Blobs::new(),
            revision: 0,
            counters: Counters::default(),
            downloaded: Bytes::ZERO,
            meter: RateMeter::default(),
            unpack: UnpackSpeeds::default(),
            baseline: RateBaseline::default(),
            download_slots: None,
            runtime: None,
            source_lost_since: None,
        }
    }

    /// Applies observations and advances the time. Returns the changes, ordered by pull id.
    ///
    /// Call it without observations to let time pass: rates decay, and stalls are detected.
    pub fn apply(&mut self, observations: &[Observation], now: Now) -> Vec<Change> {
        let mut touched = HashSet::new();
        for observation in observations {
            if let Err(anomaly) = self.observe(observation, now, &mut touched) {
                self.record_anomaly(anomaly);
            }
        }
        // Reset the node's rate when nothing downloads: idle time must not lower it.
        if !self.pulls().any(|pull| pull.phase == Phase::Downloading) {
            self.meter = RateMeter::default();
        }
        self.meter.sample(self.downloaded, now.mono);
        let changes = self.refresh(&touched, now);
        self.expire(now);
        changes
    }

    /// Removes expired and surplus ended pulls, oldest first. [`apply`](Self::apply) does this too.
    pub fn expire(&mut self, now: Now) {
        let mut ended: Vec<(NodeTime, PullId)> = self
            .entries
            .iter()
            .filter_map(|(id, entry)| Some((entry.pull.ended_at?, id.clone())))
            .collect();
        ended.sort();
        let surplus = ended.len().saturating_sub(self.limits.max_ended);
        for (index, (at, id)) in ended.iter().enumerate() {
            let old = now.node.since(*at) > self.limits.retention;
            if old || index < surplus {
                self.entries.remove(id);
                self.counters.evicted += u64::from(!old);
            }
        }
    }

    /// Returns all pulls, ordered by id.
    pub fn pulls(&self) -> impl Iterator<Item = &Arc<Pull>> {
        self.entries.values().map(|entry| &entry.pull)
    }

    /// Returns the pulls that changed since a [`revision`](Self::revision).
    pub fn changed_since(&self, revision: u64) -> impl Iterator<Item = &Arc<Pull>> {
        self.entries
            .values()
            .filter(move |entry| entry.revision > revision)
            .map(|entry| &entry.pull)
    }

    /// Returns the pull with this id.
    #[must_use]
    pub fn get(&self, id: &PullId) -> Option<&Arc<Pull>> {
        self.entries.get(id).map(|entry| &entry.pull)
    }

    /// Returns a number that increases with each change to any pull.
    #[must_use]
    pub const fn revision(&self) -> u64 {
        self.revision
    }

    /// Returns the name and version of the container runtime; `None` until reported.
    #[must_use]
    pub fn runtime(&self) -> Option<&str> {
        self.runtime.as_deref()
    }

    /// Returns the counters.
    #[must_use]
    pub const fn counters(&self) -> &Counters {
        &self.counters
    }

    /// Counts an anomaly, for instance one that a source found in its own input.
    pub fn record_anomaly(&mut self, anomaly: Anomaly) {
        *self.counters.anomalies.entry(anomaly).or_default() += 1;
    }

    /// Returns the totals over the live pulls of the node.
    #[must_use]
    pub fn totals(&self, now: Now) -> NodeTotals {
        let mut sums = NodeTotals { rate: self.meter.rate(now.mono), ..NodeTotals::default() };
        let mut seen = HashSet::new();
        for pull in self.pulls().filter(|pull| pull.outcome().is_none()) {
            sums.live_pulls += 1;
            for layer in
                pull.layers.iter().filter(|layer| !layer.state.is_idle() && !layer.blob_cached)
            {
                if seen.insert((pull.id.namespace(), &layer.digest)) {
                    sums.to_download += layer.size;
                    sums.downloaded += layer.motion.downloaded;
                }
            }
        }
        sums
    }

    fn observe(
        &mut self,
        observation: &Observation,
        now: Now,
        touched: &mut HashSet<PullId>,
    ) -> Result<(), Anomaly> {
        match observation {
            Observation::Pull { pull, fact } => self.observe_pull(pull, fact, now, touched),
            Observation::Blob { namespace, digest, observed: blob } => {
                self.observe_blob(namespace, digest, blob, now)
            }
            Observation::Runtime { version } => {
                self.runtime = Some(version.chars().take(128).collect());
                Ok(())
            }
            Observation::DownloadSlots { per_node } => {
                self.download_slots = *per_node;
                Ok(())
            }
            Observation::SourceLost => {
                let since = *self.source_lost_since.get_or_insert(now.node);
                for entry in self.entries.values_mut() {
                    entry.stale_since.get_or_insert(since);
                }
                Ok(())
            }
            Observation::SourceRecovered => {
                self.source_lost_since = None;
                for entry in self.entries.values_mut() {
                    entry.stale_since = None;
                }
                Ok(())
            }
        }
    }

    fn observe_pull(
        &mut self,
        pull: &PullId,
        fact: &PullFact,
        now: Now,
        touched: &mut HashSet<PullId>,
    ) -> Result<(), Anomaly> {
        match fact {
            PullFact::Started { at } => self.start_pull(pull, *at, now),
            PullFact::Root(root) => {
                let shown = Arc::make_mut(&mut self.live_entry_mut(pull)?.pull);
                match &shown.root {
                    Some(known) if known == root => return Ok(()),
                    Some(_) => return Err(Anomaly::RootChanged),
                    None => shown.root = Some(root.clone()),
                }
                touched.insert(pull.clone());
                self.blobs.entry((pull.namespace().clone(), root.clone())).or_default();
                Ok(())
            }
            PullFact::Repository(repository) => {
                let shown = Arc::make_mut(&mut self.entry_mut(pull)?.pull);
                if shown.repository.as_ref() != Some(repository) {
                    shown.repository = Some(repository.clone());
                    touched.insert(pull.clone());
                }
                Ok(())
            }
            PullFact::Named(name) => {
                const MAX_NAMES: usize = 16;
                let shown = Arc::make_mut(&mut self.entry_mut(pull)?.pull);
                if !shown.names.contains(name) && shown.names.len() < MAX_NAMES {
                    shown.names.push(name.clone());
                    touched.insert(pull.clone());
                }
                Ok(())
            }
            PullFact::Image(image) => self.set_image(pull, image),
            PullFact::Layer { digest, observed: layer } => {
                self.live_entry_mut(pull)?.observe_layer(digest, layer, now).map_or(Ok(()), Err)
            }
            PullFact::Ended { evidence, at } => {
                let (outcome, failure) = Outcome::from_evidence(evidence);
                let entry = self.entry_mut(pull)?;
                match entry.pull.outcome() {
                    Some(Outcome::Completed | Outcome::Failed | Outcome::Cancelled) => {
                        Err(Anomaly::EndedTwice)
                    }
                    Some(Outcome::Unknown) | None => {
                        entry.ended = Some(PullEnd { outcome, failure, at: *at });
                        touched.insert(pull.clone());
                        Ok(())
                    }
                }
            }
        }
    }

    fn start_pull(&mut self, pull: &PullId, at: NodeTime, now: Now) -> Result<(), Anomaly> {
        if let Some(entry) = self.entries.get_mut(pull) {
            entry.alive = true;
            if entry.pull.outcome() == Some(Outcome::Unknown) {
                entry.ended = None;
                for layer in &entry.pull.layers {
                    let blob = self
                        .blobs
                        .entry((pull.namespace().clone(), layer.digest.clone()))
                        .or_default();
                    blob.size = Some(layer.size);
                }
            }
            return Ok(());
        }
        if self.entries.values().filter(|e| e.pull.outcome().is_none()).count()
            >= self.limits.max_live
        {
            self.counters.refused += 1;
            return Ok(());
        }
        self.entries.insert(pull.clone(), Entry::new(pull.clone(), at, now));
        Ok(())
    }

    fn set_image(&mut self, pull: &PullId, image: &Arc<Image>) -> Result<(), Anomaly> {
        let mut changed = false;
        let entry = self.live_entry_mut(pull)?;
        if entry.pull.image.as_ref() != Some(image) {
            entry.set_image(image);
        }
        for layer in &image.layers {
            let blob =
                self.blobs.entry((pull.namespace().clone(), layer.digest.clone())).or_default();
            changed |= *blob.size.get_or_insert(layer.size) != layer.size;
        }
        if changed { Err(Anomaly::SizeChanged) } else { Ok(()) }
    }

    fn observe_blob(
        &mut self,
        namespace: &Namespace,
        digest: &Digest,
        observed: &BlobObservation,
        now: Now,
    ) -> Result<(), Anomaly> {
        // Ignoring a blob of an unknown image is harmless: sources report its state again later.
        let Some(blob) = self.blobs.get_mut(&(namespace.clone(), digest.clone())) else {
            return Ok(());
        };
        let update = blob.observe(observed, now);
        self.downloaded += update.grown;
        if update.restarted {
            for entry in
                self.entries.values_mut().filter(|entry| entry.pull.id.namespace() == namespace)
            {
                entry.restart_layer(digest);
            }
        }
        update.anomaly.map_or(Ok(()), Err)
    }

    fn entry_mut(&mut self, pull: &PullId) -> Result<&mut Entry, Anomaly> {
        self.entries.get_mut(pull).ok_or(Anomaly::UnknownPull)
    }

    /// Returns the entry of a live pull, or of an ended one that `Started` has just revived.
    fn live_entry_mut(&mut self, pull: &PullId) -> Result<&mut Entry, Anomaly> {
        self.entry_mut(pull).and_then(|entry| {
            let has_ended =
                entry.pull.outcome().is_some() && !(entry.alive && entry.ended.is_none());
            if has_ended { Err(Anomaly::EndedTwice) } else { Ok(entry) }
        })
    }

    fn refresh(&mut self, touched: &HashSet<PullId>, now: Now) -> Vec<Change> {
        let downloading = self
            .pulls()
            .filter(|pull| pull.phase == Phase::Downloading && pull.waiting_on.is_none())
            .count();
        let moving = |blob: &&Blob| {
            blob.size.is_some()
                && matches!(&blob.state, BlobState::Ingesting { offset, .. } if *offset > Bytes::ZERO)
        };
        let in_flight = self.blobs.values().filter(moving).count();
        let node = NodeContext {
            blobs: &self.blobs,
            speeds: Speeds {
                pull: None,
                node: self.meter.rate(now.mono),
                downloading,
                uncounted: Bytes::ZERO,
            },
            unpack: &self.unpack,
            stall_timeout: self.limits.stall_timeout,
            slots_exhausted: self.download_slots.is_some_and(|slots| in_flight >= slots as usize),
        };
        let mut changes = Vec::new();
        let mut unpack_samples = Vec::new();
        for (id, entry) in &mut self.entries {
            let was = entry.pull.outcome();
            // Skip a pull that has ended: later changes of its blobs are due to other pulls.
            let is_final = was.is_some() && !entry.alive && entry.outcome() == was;
            if is_final && !touched.contains(id) {
                continue;
            }
            let before = (entry.revision > 0).then(|| Arc::clone(&entry.pull));
            if !is_final {
                self.baseline.update_slow_since(entry, now);
                entry.refresh(&node, now);
            }
            for (track, layer) in entry.trackers.iter_mut().zip(0..) {
                if let (Some(took), Some(image)) = (track.unpack_time.take(), &entry.pull.image) {
                    let layer: usize = layer;
                    unpack_samples.push((
                        image.layers[layer].compression,
                        image.layers[layer].size,
                        took,
                    ));
                }
            }
            // `before` already contains new names, so a touched pull counts as changed.
            if before.as_ref() == Some(&entry.pull) && !touched.contains(id) {
                continue;
            }
            self.revision += 1;
            entry.revision = self.revision;
            let kind = match (was, entry.pull.outcome()) {
                (None, Some(_)) => ChangeKind::Ended,
                (Some(before), Some(after)) if before != after => ChangeKind::Ended,
                (Some(_), None) => ChangeKind::Started,
                (None, None) if before.is_none() => ChangeKind::Started,
                _ => ChangeKind::Progressed,
            };
            if kind == ChangeKind::Ended {
                self.baseline.record(&entry.pull);
            }
            changes.push(Change { kind, pull: Arc::clone(&entry.pull) });
        }
        for (compression, size, took) in unpack_samples {
            self.unpack.record(compression, size, took);
        }
        if changes.iter().any(|change| change.kind == ChangeKind::Ended) {
            self.prune_blobs();
        }
        changes
    }

    /// Removes blobs that no live pull uses. Ended pulls keep their own sizes and byte counts.
    fn prune_blobs(&mut self) {
        let mut wanted = HashSet::new();
        for pull in self.entries.values().map(|e| &e.pull).filter(|pull| pull.outcome().is_none()) {
            let digests = pull.layers.iter().map(|layer| &layer.digest).chain(&pull.root);
            wanted.extend(digests.map(|digest| (pull.id.namespace().clone(), digest.clone())));
        }
        self.blobs.retain(|key, _| wanted.contains(key));
    }
}

impl std::fmt::Debug for PullTable {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("PullTable")
            .field("pulls", &self.entries.len())
            .field("revision", &self.revision)
            .finish_non_exhaustive()
    }
}
