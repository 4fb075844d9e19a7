//! The bounded set of one node's pulls: observations in, changes out.
//!
//! Everything here is a function of what was handed in; whoever owns a table brings the clock.

use std::collections::{BTreeMap, HashSet};
use std::sync::Arc;
use std::time::Duration;

use crate::blob::{Blob, BlobState};
use crate::change::{Change, ChangeKind, Counters, NodeSums};
use crate::entry::{Blobs, Entry, Node};
use crate::eta::{Speeds, UnpackSpeeds};
use crate::id::{Digest, Namespace, PullId};
use crate::image::Image;
use crate::observation::{Anomaly, BlobSight, Observation};
use crate::pull::{Outcome, Phase, Pull};
use crate::rate::RateMeter;
use crate::time::{NodeTime, Now};
use crate::unit::Bytes;
use crate::usual::UsualRates;

/// The bounds of a [`PullTable`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Limits {
    /// Pulls that are going on: one more is refused and counted. Default 1,000.
    pub live: usize,
    /// Pulls that ended: beyond that the oldest go first, and are counted. Default 1,000.
    pub ended: usize,
    /// How long an ended pull is kept. Default 30 minutes.
    pub ended_for: Duration,
    /// Without a byte for so long, a download that waits for nothing is stalled. Default 30 seconds.
    pub stall_after: Duration,
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            live: 1_000,
            ended: 1_000,
            ended_for: Duration::from_mins(30),
            stall_after: Duration::from_secs(30),
        }
    }
}

/// The bounded set of one node's pulls.
///
/// ```
/// use pulltrace_core::{ChangeKind, Limits, Mono, NodeTime, Now, Observation, PullId, PullTable};
/// let now = Now { mono: Mono::default(), node: "2026-11-24T20:00:00Z".parse()? };
/// let pull = PullId::Lease {
///     node: "worker-1".parse()?,
///     namespace: "k8s.io".parse()?,
///     lease: "123456789-abcd".parse()?,
///     created: now.node,
/// };
/// let mut table = PullTable::new(Limits::default());
/// let changes = table.apply(&[Observation::Began { pull, at: now.node }], now);
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
    bytes: Bytes,
    meter: RateMeter,
    unpack: UnpackSpeeds,
    usual: UsualRates,
    slots: Option<u32>,
    runtime: Option<String>,
    lost_since: Option<NodeTime>,
}

impl PullTable {
    /// An empty table.
    #[must_use]
    pub fn new(limits: Limits) -> Self {
        Self {
            limits,
            entries: BTreeMap::new(),
            blobs: Blobs::new(),
            revision: 0,
            counters: Counters::default(),
            bytes: Bytes::ZERO,
            meter: RateMeter::default(),
            unpack: UnpackSpeeds::default(),
            usual: UsualRates::default(),
            slots: None,
            runtime: None,
            lost_since: None,
        }
    }

    /// Takes what a source says, and time that passed; returns what changed, in the order of the ids.
    ///
    /// Call it with no observations to let time pass: speeds fall and stalls show.
    pub fn apply(&mut self, observations: &[Observation], now: Now) -> Vec<Change> {
        let mut touched = HashSet::new();
        for observation in observations {
            if let Err(anomaly) = self.observe(observation, now, &mut touched) {
                self.count(anomaly);
            }
        }
        // The node has a speed while something is downloaded; the time in between is no part of it.
        if !self.pulls().any(|pull| pull.phase == Phase::Downloading) {
            self.meter = RateMeter::default();
        }
        self.meter.sample(self.bytes, now.mono);
        let changes = self.refresh(&touched, now);
        self.expire(now);
        changes
    }

    /// Drops ended pulls that are old, and the oldest of too many. [`apply`](Self::apply) does it too.
    pub fn expire(&mut self, now: Now) {
        let mut ended: Vec<(NodeTime, PullId)> = self
            .entries
            .iter()
            .filter_map(|(id, entry)| Some((entry.shown.ended_at?, id.clone())))
            .collect();
        ended.sort();
        let beyond = ended.len().saturating_sub(self.limits.ended);
        for (index, (at, id)) in ended.iter().enumerate() {
            let old = now.node.since(*at) > self.limits.ended_for;
            if old || index < beyond {
                self.entries.remove(id);
                self.counters.evicted += u64::from(!old);
            }
        }
    }

    /// Every pull, in the order of its id.
    pub fn pulls(&self) -> impl Iterator<Item = &Arc<Pull>> {
        self.entries.values().map(|entry| &entry.shown)
    }

    /// The pulls that changed after a [`revision`](Self::revision).
    pub fn changed_since(&self, revision: u64) -> impl Iterator<Item = &Arc<Pull>> {
        self.entries
            .values()
            .filter(move |entry| entry.revision > revision)
            .map(|entry| &entry.shown)
    }

    /// One pull.
    #[must_use]
    pub fn get(&self, id: &PullId) -> Option<&Arc<Pull>> {
        self.entries.get(id).map(|entry| &entry.shown)
    }

    /// A number that grows with each change of a pull.
    #[must_use]
    pub const fn revision(&self) -> u64 {
        self.revision
    }

    /// Which runtime pulls, as it names itself; `None` until it did.
    #[must_use]
    pub fn runtime(&self) -> Option<&str> {
        self.runtime.as_deref()
    }

    /// What was counted.
    #[must_use]
    pub const fn counters(&self) -> &Counters {
        &self.counters
    }

    /// Counts an anomaly that a source found before it said anything.
    pub fn count(&mut self, anomaly: Anomaly) {
        *self.counters.anomalies.entry(anomaly).or_default() += 1;
    }

    /// The node's sums over its live pulls.
    #[must_use]
    pub fn sums(&self, now: Now) -> NodeSums {
        let mut sums = NodeSums {
            rate: self.meter.rate(now.mono),
            ..NodeSums::default()
        };
        let mut seen = HashSet::new();
        for pull in self.pulls().filter(|pull| pull.outcome().is_none()) {
            sums.live += 1;
            for layer in pull
                .layers
                .iter()
                .filter(|layer| !layer.state.is_idle() && !layer.blob_cached)
            {
                if seen.insert((pull.id.namespace(), &layer.digest)) {
                    sums.to_download += layer.size;
                    sums.downloaded += layer.downloaded;
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
            Observation::Began { pull, at } => self.begin(pull, *at, now),
            Observation::Root { pull, root } => {
                let shown = Arc::make_mut(&mut self.live(pull)?.shown);
                match &shown.root {
                    Some(known) if known == root => return Ok(()),
                    Some(_) => return Err(Anomaly::RootChanged),
                    None => shown.root = Some(root.clone()),
                }
                touched.insert(pull.clone());
                self.blobs
                    .entry((pull.namespace().clone(), root.clone()))
                    .or_default();
                Ok(())
            }
            Observation::Repository { pull, repository } => {
                let shown = Arc::make_mut(&mut self.known(pull)?.shown);
                if shown.repository.as_ref() != Some(repository) {
                    shown.repository = Some(repository.clone());
                    touched.insert(pull.clone());
                }
                Ok(())
            }
            Observation::Named { pull, name } => {
                const MAX_NAMES: usize = 16;
                let shown = Arc::make_mut(&mut self.known(pull)?.shown);
                if !shown.names.contains(name) && shown.names.len() < MAX_NAMES {
                    shown.names.push(name.clone());
                    touched.insert(pull.clone());
                }
                Ok(())
            }
            Observation::Image { pull, image } => self.take_image(pull, image),
            Observation::Blob {
                namespace,
                digest,
                sight,
            } => self.see_blob(namespace, digest, sight, now),
            Observation::Layer {
                pull,
                digest,
                sight,
            } => self
                .live(pull)?
                .see_layer(digest, sight, now)
                .map_or(Ok(()), Err),
            Observation::Ended { pull, evidence, at } => {
                let (outcome, failure) = Outcome::from_evidence(evidence);
                let entry = self.known(pull)?;
                match entry.shown.outcome() {
                    Some(Outcome::Completed | Outcome::Failed | Outcome::Cancelled) => {
                        Err(Anomaly::EndedTwice)
                    }
                    Some(Outcome::Unknown) | None => {
                        entry.ended = Some((outcome, failure, *at));
                        touched.insert(pull.clone());
                        Ok(())
                    }
                }
            }
            Observation::Runtime { version } => {
                self.runtime = Some(version.chars().take(128).collect());
                Ok(())
            }
            Observation::Slots { per_node } => {
                self.slots = *per_node;
                Ok(())
            }
            Observation::SourceLost => {
                let since = *self.lost_since.get_or_insert(now.node);
                for entry in self.entries.values_mut() {
                    entry.stale_since.get_or_insert(since);
                }
                Ok(())
            }
            Observation::SourceBack => {
                self.lost_since = None;
                for entry in self.entries.values_mut() {
                    entry.stale_since = None;
                }
                Ok(())
            }
        }
    }

    fn begin(&mut self, pull: &PullId, at: NodeTime, now: Now) -> Result<(), Anomaly> {
        if let Some(entry) = self.entries.get_mut(pull) {
            entry.alive = true;
            if entry.shown.outcome() == Some(Outcome::Unknown) {
                entry.ended = None;
                for layer in &entry.shown.layers {
                    let blob = self
                        .blobs
                        .entry((pull.namespace().clone(), layer.digest.clone()))
                        .or_default();
                    blob.size = Some(layer.size);
                }
            }
            return Ok(());
        }
        if self
            .entries
            .values()
            .filter(|e| e.shown.outcome().is_none())
            .count()
            >= self.limits.live
        {
            self.counters.refused += 1;
            return Ok(());
        }
        self.entries
            .insert(pull.clone(), Entry::new(pull.clone(), at, now));
        Ok(())
    }

    fn take_image(&mut self, pull: &PullId, image: &Arc<Image>) -> Result<(), Anomaly> {
        let mut changed = false;
        let entry = self.live(pull)?;
        if entry.shown.image.as_ref() != Some(image) {
            entry.set_image(image);
        }
        for layer in &image.layers {
            let blob = self
                .blobs
                .entry((pull.namespace().clone(), layer.digest.clone()))
                .or_default();
            changed |= *blob.size.get_or_insert(layer.size) != layer.size;
        }
        if changed {
            Err(Anomaly::SizeChanged)
        } else {
            Ok(())
        }
    }

    fn see_blob(
        &mut self,
        namespace: &Namespace,
        digest: &Digest,
        sight: &BlobSight,
        now: Now,
    ) -> Result<(), Anomaly> {
        // A blob of no known image tells nothing yet; a source repeats what it sees.
        let Some(blob) = self.blobs.get_mut(&(namespace.clone(), digest.clone())) else {
            return Ok(());
        };
        let step = blob.observe(sight, now);
        self.bytes += step.grown;
        if step.restarted {
            for entry in self
                .entries
                .values_mut()
                .filter(|entry| entry.shown.id.namespace() == namespace)
            {
                entry.restart_layer(digest);
            }
        }
        step.anomaly.map_or(Ok(()), Err)
    }

    fn known(&mut self, pull: &PullId) -> Result<&mut Entry, Anomaly> {
        self.entries.get_mut(pull).ok_or(Anomaly::UnknownPull)
    }

    /// A pull that is not over. What is said of one that is tells nothing new, except by its `Began`.
    fn live(&mut self, pull: &PullId) -> Result<&mut Entry, Anomaly> {
        self.known(pull).and_then(|entry| {
            let over = entry.shown.outcome().is_some() && !(entry.alive && entry.ended.is_none());
            if over {
                Err(Anomaly::EndedTwice)
            } else {
                Ok(entry)
            }
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
        let node = Node {
            blobs: &self.blobs,
            speeds: Speeds {
                pull: None,
                node: self.meter.rate(now.mono),
                downloading,
                unseen: Bytes::ZERO,
            },
            unpack: &self.unpack,
            stall_after: self.limits.stall_after,
            slots_taken: self.slots.is_some_and(|slots| in_flight >= slots as usize),
        };
        let mut changes = Vec::new();
        let mut learned = Vec::new();
        for (id, entry) in &mut self.entries {
            let was = entry.shown.outcome();
            // What is over stands: what its blobs show now is not its own any more.
            let stands = was.is_some() && !entry.alive && entry.outcome() == was;
            if stands && !touched.contains(id) {
                continue;
            }
            let before = (entry.revision > 0).then(|| Arc::clone(&entry.shown));
            if !stands {
                self.usual.judge(entry, now);
                entry.refresh(&node, now);
            }
            for (track, layer) in entry.tracks.iter_mut().zip(0..) {
                if let (Some(took), Some(image)) = (track.took.take(), &entry.shown.image) {
                    let layer: usize = layer;
                    learned.push((
                        image.layers[layer].compression,
                        image.layers[layer].size,
                        took,
                    ));
                }
            }
            // Names are set on the shown pull itself, so a touched one counts as changed.
            if before.as_ref() == Some(&entry.shown) && !touched.contains(id) {
                continue;
            }
            self.revision += 1;
            entry.revision = self.revision;
            let kind = match (was, entry.shown.outcome()) {
                (None, Some(_)) => ChangeKind::Ended,
                (Some(before), Some(after)) if before != after => ChangeKind::Ended,
                (Some(_), None) => ChangeKind::Started,
                (None, None) if before.is_none() => ChangeKind::Started,
                _ => ChangeKind::Progressed,
            };
            if kind == ChangeKind::Ended {
                self.usual.learn(&entry.shown);
            }
            changes.push(Change {
                kind,
                pull: Arc::clone(&entry.shown),
            });
        }
        for (compression, size, took) in learned {
            self.unpack.learn(compression, size, took);
        }
        if changes
            .iter()
            .any(|change| change.kind == ChangeKind::Ended)
        {
            self.drop_blobs();
        }
        changes
    }

    /// Forgets the blobs of no live pull: the shown pulls that ended have their own copy.
    fn drop_blobs(&mut self) {
        let mut wanted = HashSet::new();
        for pull in self
            .entries
            .values()
            .map(|e| &e.shown)
            .filter(|pull| pull.outcome().is_none())
        {
            let digests = pull
                .layers
                .iter()
                .map(|layer| &layer.digest)
                .chain(&pull.root);
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
