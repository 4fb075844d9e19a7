//! The table's internal state of one pull, used to compute the public [`Pull`].

use std::collections::HashMap;
use std::sync::Arc;
use std::time::Duration;

use crate::blob::{Blob, BlobState};
use crate::eta::{Speeds, UnpackSpeeds};
use crate::failure::Failure;
use crate::id::{Digest, Namespace, PullId};
use crate::image::Image;
use crate::layer::{Layer, LayerInputs, LayerState};
use crate::observation::{Anomaly, LayerObservation};
use crate::pull::{DOWNLOAD_WEIGHT, Outcome, Phase, PhaseInputs, Pull};
use crate::rate::RateMeter;
use crate::time::{Mono, NodeTime, Now};
use crate::unit::{Bytes, Percent};

/// The blobs of a node by namespace and digest, as several pulls may share one.
pub(crate) type Blobs = HashMap<(Namespace, Digest), Blob>;

/// Node-wide inputs for refreshing a pull.
pub(crate) struct NodeContext<'a> {
    pub(crate) blobs: &'a Blobs,
    pub(crate) speeds: Speeds,
    pub(crate) unpack: &'a UnpackSpeeds,
    pub(crate) stall_timeout: Duration,
    /// The runtime already fetches as many blobs as it may at once.
    pub(crate) slots_exhausted: bool,
}

pub(crate) struct Entry {
    pub(crate) pull: Arc<Pull>,
    pub(crate) revision: u64,
    pub(crate) trackers: Vec<LayerTracker>,
    pub(crate) ended: Option<PullEnd>,
    pub(crate) alive: bool,
    pub(crate) stale_since: Option<NodeTime>,
    pub(crate) slow_since: Option<NodeTime>,
    pub(crate) meter: RateMeter,
    pub(crate) last_activity: Now,
    /// The longest expected unpack time, estimated when only unpacking was left.
    pub(crate) expected_unpack_time: Duration,
}

/// The end of a pull.
pub(crate) struct PullEnd {
    pub(crate) outcome: Outcome,
    pub(crate) failure: Option<Failure>,
    pub(crate) at: NodeTime,
}

/// Evidence about one layer beyond its blob.
#[derive(Clone, Debug, Default)]
pub(crate) struct LayerTracker {
    cached: bool,
    blob_cached: bool,
    remote: bool,
    unpacked: bool,
    pub(crate) unpacked_by: Option<PullId>,
    written: Option<Bytes>,
    restarted: bool,
    pub(crate) extracting_since: Option<Mono>,
    /// The unpack time, set when unpacking finishes and taken once by the table.
    pub(crate) unpack_time: Option<Duration>,
}

impl Entry {
    pub(crate) fn new(id: PullId, at: NodeTime, now: Now) -> Self {
        let pull = Pull::new(id, Phase::Resolving, at);
        Self {
            pull: Arc::new(pull),
            revision: 0,
            trackers: Vec::new(),
            ended: None,
            alive: true,
            stale_since: None,
            slow_since: None,
            meter: RateMeter::default(),
            last_activity: now,
            expected_unpack_time: Duration::ZERO,
        }
    }

    /// Sets the image. Layers that were already known keep their state.
    pub(crate) fn set_image(&mut self, image: &Arc<Image>) {
        let mut layers = Vec::with_capacity(image.layers.len());
        let mut tracks = Vec::with_capacity(image.layers.len());
        for wanted in &image.layers {
            let known = self.pull.layers.iter().position(|layer| layer.digest == wanted.digest);
            layers.push(known.map_or_else(
                || Layer::new(wanted.digest.clone(), wanted.size, LayerState::Waiting),
                |i| self.pull.layers[i].clone(),
            ));
            tracks.push(known.map_or_else(LayerTracker::default, |i| self.trackers[i].clone()));
        }
        self.trackers = tracks;
        let pull = Arc::make_mut(&mut self.pull);
        pull.layers = layers;
        pull.image = Some(Arc::clone(image));
    }

    /// Records an observation of a layer. Returns an anomaly if the image has no such layer.
    pub(crate) fn observe_layer(
        &mut self,
        digest: &Digest,
        observed: &LayerObservation,
        now: Now,
    ) -> Option<Anomaly> {
        let Some(index) = self.pull.layers.iter().position(|layer| layer.digest == *digest) else {
            return Some(Anomaly::UnknownLayer);
        };
        let track = &mut self.trackers[index];
        match observed {
            LayerObservation::Cached => track.cached = true,
            LayerObservation::BlobCached => track.blob_cached = true,
            LayerObservation::Remote => track.remote = true,
            LayerObservation::Unpacked => track.unpacked = true,
            LayerObservation::Unpacking { by, written } => {
                track.unpacked_by = Some(by.clone());
                // The first value is only a baseline and does not show growth.
                if track.written.is_some() && *written > track.written {
                    self.last_activity = now;
                }
                track.written = track.written.max(*written);
            }
        }
        None
    }

    /// Records that the layer's download was restarted.
    pub(crate) fn restart_layer(&mut self, digest: &Digest) {
        for (layer, track) in self.pull.layers.iter().zip(&mut self.trackers) {
            if layer.digest == *digest {
                track.restarted = true;
                track.unpacked_by = None;
            }
        }
    }

    /// Returns the outcome that was reported for the pull.
    pub(crate) fn outcome(&self) -> Option<Outcome> {
        self.ended.as_ref().map(|end| end.outcome)
    }

    /// Recomputes the public pull. An ended pull is recomputed once more and then stays unchanged.
    pub(crate) fn refresh(&mut self, node: &NodeContext<'_>, now: Now) {
        let mut pull = Pull::clone(&self.pull);
        for index in 0..pull.layers.len() {
            self.refresh_layer(&mut pull, index, node, now);
        }
        update_sums(&mut pull);
        self.refresh_phase(&mut pull, now);
        self.refresh_activity(&mut pull, node, now);
        self.pull = Arc::new(pull);
        self.alive = false;
    }

    fn refresh_layer(&mut self, pull: &mut Pull, index: usize, node: &NodeContext<'_>, now: Now) {
        let track = &mut self.trackers[index];
        let layer = &mut pull.layers[index];
        let blob = node.blobs.get(&(pull.facts.id.namespace().clone(), layer.digest.clone()));
        let present = blob.map_or(Bytes::ZERO, |blob| blob.present(layer.size));
        let before = layer.state;
        layer.state = before.next(LayerInputs {
            bytes: present > Bytes::ZERO,
            blob_complete: blob.is_some_and(|blob| blob.state == BlobState::Complete),
            unpacking: track.unpacked_by.is_some(),
            unpacked: track.unpacked,
            cached: track.cached,
            remote: track.remote,
            restarted: std::mem::take(&mut track.restarted),
        });
        layer.blob_cached = track.blob_cached;
        layer.motion.downloaded = match layer.state {
            LayerState::Complete
            | LayerState::Cached
            | LayerState::Downloaded
            | LayerState::Extracting => layer.size,
            LayerState::Remote => Bytes::ZERO,
            LayerState::Waiting | LayerState::Downloading => present,
        };
        layer.motion.unpacked_bytes = track.written;
        layer.motion.rate = (layer.state == LayerState::Downloading)
            .then(|| blob.and_then(|blob| blob.meter.rate(now.mono)))
            .flatten();
        if layer.state == before {
            return;
        }
        self.last_activity = now;
        if matches!(layer.state, LayerState::Cached | LayerState::Remote) {
            return;
        }
        if layer.state >= LayerState::Downloading && !track.blob_cached {
            layer.started_at = blob.and_then(|blob| blob.first_byte).or(layer.started_at);
        }
        if layer.state >= LayerState::Downloaded && !track.blob_cached {
            layer.downloaded_at =
                layer.downloaded_at.or(blob.and_then(|blob| blob.completed_at)).or(Some(now.node));
        }
        if layer.state == LayerState::Extracting {
            layer.extracting_at = Some(now.node);
            track.extracting_since = Some(now.mono);
        }
        if layer.state == LayerState::Complete {
            layer.completed_at = Some(now.node);
            track.unpack_time = track.extracting_since.map(|from| now.mono.since(from));
        }
        if layer.state < LayerState::Downloaded {
            layer.downloaded_at = None;
            layer.extracting_at = None;
        }
    }

    fn refresh_phase(&self, pull: &mut Pull, now: Now) {
        let inputs = PhaseInputs {
            manifest: pull.image.is_some(),
            bytes_to_come: pull.to_download.is_some_and(|all| pull.motion.downloaded < all),
            ended: self.outcome(),
            alive: self.alive,
        };
        pull.phase = pull.phase.next(inputs);
        if inputs.manifest {
            pull.resolved_at.get_or_insert(now.node);
        }
        match (pull.phase.outcome(), &self.ended) {
            (Some(outcome), Some(end)) => {
                pull.failure.clone_from(&end.failure);
                pull.ended_at = Some(end.at.max(pull.started_at));
                if outcome == Outcome::Completed {
                    complete_layers(pull);
                }
            }
            _ => {
                pull.failure = None;
                pull.ended_at = None;
            }
        }
        if pull.phase == Phase::Downloading {
            pull.downloaded_at = None;
        } else if inputs.manifest
            && matches!(pull.phase, Phase::Extracting | Phase::Ended(Outcome::Completed))
        {
            let latest = pull.ended_at.unwrap_or(now.node).min(now.node);
            pull.downloaded_at.get_or_insert(latest);
        }
        pull.motion.percent = percent(pull);
    }
}

fn update_sums(pull: &mut Pull) {
    let Some(image) = &pull.image else { return };
    let total = image.total();
    let sum_layers = |keep: &dyn Fn(&&Layer) -> bool, what: &dyn Fn(&Layer) -> Bytes| -> Bytes {
        pull.layers.iter().filter(|layer| keep(layer)).map(what).sum()
    };
    let fetched = |layer: &&Layer| !layer.state.is_idle() && !layer.blob_cached;
    let (cached, to_download) =
        (sum_layers(&|l| !fetched(l), &|l| l.size), sum_layers(&fetched, &|l| l.size));
    let downloaded = sum_layers(&fetched, &|l| l.motion.downloaded);
    let to_extract = sum_layers(&|l| !l.state.is_idle(), &|l| l.size);
    let extracted = sum_layers(&|l| l.state == LayerState::Complete, &|l| l.size);
    pull.total = Some(total);
    (pull.cached, pull.to_download, pull.to_extract) =
        (cached, Some(to_download), Some(to_extract));
    (pull.motion.downloaded, pull.motion.extracted) = (downloaded, extracted);
}

/// Marks all layers complete: a completed pull has its top layer unpacked, which implies all layers
/// below.
fn complete_layers(pull: &mut Pull) {
    for layer in pull.layers.iter_mut().filter(|layer| !layer.state.is_done()) {
        layer.state = LayerState::Complete;
        layer.motion.downloaded = layer.size;
        layer.completed_at = pull.facts.ended_at;
    }
    update_sums(pull);
}

/// Computes [`Motion::percent`](crate::pull::Motion::percent).
fn percent(pull: &Pull) -> Option<Percent> {
    if pull.outcome() == Some(Outcome::Completed) {
        return Some(Percent::DONE);
    }
    let before = pull.motion.percent;
    let now = pull.image.as_ref().map(|_| {
        let fetched =
            pull.to_download.and_then(|all| pull.motion.downloaded.fraction_of(all)).unwrap_or(1.0);
        // With no bytes to unpack the fraction is undefined and counts as 1. `MAX_UNFINISHED` keeps
        // the result below 100 until completion is proven.
        let unpacked =
            pull.to_extract.and_then(|all| pull.motion.extracted.fraction_of(all)).unwrap_or(1.0);
        Percent::from_fraction(DOWNLOAD_WEIGHT * fetched + (1.0 - DOWNLOAD_WEIGHT) * unpacked)
            .min(Percent::MAX_UNFINISHED)
    });
    match (before, now) {
        (Some(before), Some(now)) => Some(before.max(now)),
        (before, now) => before.or(now),
    }
}
