//! What the table keeps of one pull beyond what it shows, and how a [`Pull`] is made of it.

use std::collections::HashMap;
use std::sync::Arc;
use std::time::Duration;

use crate::blob::{Blob, BlobState};
use crate::eta::{Speeds, UnpackSpeeds};
use crate::id::{Digest, Namespace, PullId};
use crate::image::Image;
use crate::layer::{Layer, LayerFacts, LayerState};
use crate::observation::{Anomaly, LayerSight};
use crate::pull::{DOWNLOAD_SHARE, Outcome, Phase, Pull, PullFacts};
use crate::rate::RateMeter;
use crate::time::{Mono, NodeTime, Now};
use crate::unit::{Bytes, Percent};

/// Blobs of a node: by namespace and digest, not by pull.
pub(crate) type Blobs = HashMap<(Namespace, Digest), Blob>;

/// What all pulls of the node have in common at one moment.
pub(crate) struct Node<'a> {
    pub(crate) blobs: &'a Blobs,
    pub(crate) speeds: Speeds,
    pub(crate) unpack: &'a UnpackSpeeds,
    pub(crate) stall_after: Duration,
    /// All blobs that the runtime may fetch at once are being fetched.
    pub(crate) slots_taken: bool,
}

pub(crate) struct Entry {
    pub(crate) shown: Arc<Pull>,
    pub(crate) revision: u64,
    pub(crate) tracks: Vec<Track>,
    pub(crate) ended: Option<(Outcome, Option<crate::failure::Failure>, NodeTime)>,
    pub(crate) alive: bool,
    pub(crate) stale_since: Option<NodeTime>,
    pub(crate) slow_from: Option<NodeTime>,
    pub(crate) meter: RateMeter,
    pub(crate) moved: Now,
    /// The longest that the unpacking was expected to take when it was all that was left.
    pub(crate) expected: Duration,
}

/// What was seen of one layer beyond its blob.
#[derive(Clone, Debug, Default)]
pub(crate) struct Track {
    cached: bool,
    blob_cached: bool,
    remote: bool,
    unpacked: bool,
    pub(crate) unpacking: Option<PullId>,
    written: Option<Bytes>,
    restarted: bool,
    pub(crate) extracting_from: Option<Mono>,
    /// How long the unpacking took, once, when it is over.
    pub(crate) took: Option<Duration>,
}

impl Entry {
    pub(crate) fn new(id: PullId, at: NodeTime, now: Now) -> Self {
        let shown = Pull::new(id, Phase::Resolving, at);
        Self {
            shown: Arc::new(shown),
            revision: 0,
            tracks: Vec::new(),
            ended: None,
            alive: true,
            stale_since: None,
            slow_from: None,
            meter: RateMeter::default(),
            moved: now,
            expected: Duration::ZERO,
        }
    }

    /// Takes the image, keeping what is known of layers that it had already.
    pub(crate) fn set_image(&mut self, image: &Arc<Image>) {
        let mut layers = Vec::with_capacity(image.layers.len());
        let mut tracks = Vec::with_capacity(image.layers.len());
        for wanted in &image.layers {
            let known = self
                .shown
                .layers
                .iter()
                .position(|layer| layer.digest == wanted.digest);
            layers.push(known.map_or_else(
                || new_layer(wanted.digest.clone(), wanted.size),
                |i| self.shown.layers[i].clone(),
            ));
            tracks.push(known.map_or_else(Track::default, |i| self.tracks[i].clone()));
        }
        self.tracks = tracks;
        let shown = Arc::make_mut(&mut self.shown);
        shown.layers = layers;
        shown.image = Some(Arc::clone(image));
    }

    /// What a source saw of a layer; an anomaly where the image has no such layer.
    pub(crate) fn see_layer(
        &mut self,
        digest: &Digest,
        sight: &LayerSight,
        now: Now,
    ) -> Option<Anomaly> {
        let Some(index) = self
            .shown
            .layers
            .iter()
            .position(|layer| layer.digest == *digest)
        else {
            return Some(Anomaly::UnknownLayer);
        };
        let track = &mut self.tracks[index];
        match sight {
            LayerSight::Cached => track.cached = true,
            LayerSight::BlobCached => track.blob_cached = true,
            LayerSight::Remote => track.remote = true,
            LayerSight::Unpacked => track.unpacked = true,
            LayerSight::Unpacking { by, written } => {
                track.unpacking = Some(by.clone());
                // The first number says how much there is, and not that it grows.
                if track.written.is_some() && *written > track.written {
                    self.moved = now;
                }
                track.written = track.written.max(*written);
            }
        }
        None
    }

    /// The bytes of this layer were begun anew.
    pub(crate) fn restart_layer(&mut self, digest: &Digest) {
        for (layer, track) in self.shown.layers.iter().zip(&mut self.tracks) {
            if layer.digest == *digest {
                track.restarted = true;
                track.unpacking = None;
            }
        }
    }

    /// How it was said to have ended.
    pub(crate) fn outcome(&self) -> Option<Outcome> {
        self.ended.as_ref().map(|(outcome, ..)| *outcome)
    }

    /// Makes what is shown of what is known. A pull that is over is made once more, and then stands.
    pub(crate) fn refresh(&mut self, node: &Node<'_>, now: Now) {
        let mut pull = Pull::clone(&self.shown);
        for index in 0..pull.layers.len() {
            self.refresh_layer(&mut pull, index, node, now);
        }
        sum(&mut pull);
        self.refresh_phase(&mut pull, now);
        self.refresh_motion(&mut pull, node, now);
        self.shown = Arc::new(pull);
        self.alive = false;
    }

    fn refresh_layer(&mut self, pull: &mut Pull, index: usize, node: &Node<'_>, now: Now) {
        let track = &mut self.tracks[index];
        let layer = &mut pull.layers[index];
        let blob = node
            .blobs
            .get(&(pull.id.namespace().clone(), layer.digest.clone()));
        let here = blob.map_or(Bytes::ZERO, |blob| blob.here(layer.size));
        let before = layer.state;
        layer.state = before.next(LayerFacts {
            bytes: here > Bytes::ZERO,
            whole: blob.is_some_and(|blob| blob.state == BlobState::Whole),
            unpacking: track.unpacking.is_some(),
            unpacked: track.unpacked,
            cached: track.cached,
            remote: track.remote,
            restarted: std::mem::take(&mut track.restarted),
        });
        layer.blob_cached = track.blob_cached;
        layer.downloaded = match layer.state {
            LayerState::Complete
            | LayerState::Cached
            | LayerState::Downloaded
            | LayerState::Extracting => layer.size,
            LayerState::Remote => Bytes::ZERO,
            LayerState::Waiting | LayerState::Downloading => here,
        };
        layer.unpacked_bytes = track.written;
        layer.rate = (layer.state == LayerState::Downloading)
            .then(|| blob.and_then(|blob| blob.meter.rate(now.mono)))
            .flatten();
        if layer.state == before {
            return;
        }
        self.moved = now;
        if matches!(layer.state, LayerState::Cached | LayerState::Remote) {
            return;
        }
        if layer.state >= LayerState::Downloading && !track.blob_cached {
            layer.started_at = blob.and_then(|blob| blob.first_byte).or(layer.started_at);
        }
        if layer.state >= LayerState::Downloaded && !track.blob_cached {
            layer.downloaded_at = layer
                .downloaded_at
                .or(blob.and_then(|blob| blob.whole_at))
                .or(Some(now.node));
        }
        if layer.state == LayerState::Extracting {
            layer.extracting_at = Some(now.node);
            track.extracting_from = Some(now.mono);
        }
        if layer.state == LayerState::Complete {
            layer.completed_at = Some(now.node);
            track.took = track.extracting_from.map(|from| now.mono.since(from));
        }
        if layer.state < LayerState::Downloaded {
            layer.downloaded_at = None;
            layer.extracting_at = None;
        }
    }

    fn refresh_phase(&self, pull: &mut Pull, now: Now) {
        let facts = PullFacts {
            manifest: pull.image.is_some(),
            bytes_to_come: pull.to_download.is_some_and(|all| pull.downloaded < all),
            ended: self.outcome(),
            alive: self.alive,
        };
        pull.phase = pull.phase.next(facts);
        if facts.manifest {
            pull.resolved_at.get_or_insert(now.node);
        }
        match (pull.phase.outcome(), &self.ended) {
            (Some(outcome), Some((_, failure, at))) => {
                pull.failure.clone_from(failure);
                pull.ended_at = Some((*at).max(pull.started_at));
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
        } else if facts.manifest
            && matches!(
                pull.phase,
                Phase::Extracting | Phase::Ended(Outcome::Completed)
            )
        {
            pull.downloaded_at
                .get_or_insert(pull.ended_at.unwrap_or(now.node).min(now.node));
        }
        pull.percent = percent(pull);
    }
}

fn new_layer(digest: Digest, size: Bytes) -> Layer {
    Layer {
        digest,
        size,
        state: LayerState::Waiting,
        blob_cached: false,
        downloaded: Bytes::ZERO,
        unpacked_bytes: None,
        rate: None,
        waiting_on: None,
        started_at: None,
        downloaded_at: None,
        extracting_at: None,
        completed_at: None,
    }
}

fn sum(pull: &mut Pull) {
    let Some(image) = &pull.image else { return };
    let total = image.total();
    let of = |keep: &dyn Fn(&&Layer) -> bool, what: &dyn Fn(&Layer) -> Bytes| -> Bytes {
        pull.layers
            .iter()
            .filter(|layer| keep(layer))
            .map(what)
            .sum()
    };
    let fetched = |layer: &&Layer| !layer.state.is_idle() && !layer.blob_cached;
    let (cached, to_download) = (of(&|l| !fetched(l), &|l| l.size), of(&fetched, &|l| l.size));
    let downloaded = of(&fetched, &|l| l.downloaded);
    let to_extract = of(&|l| !l.state.is_idle(), &|l| l.size);
    let extracted = of(&|l| l.state == LayerState::Complete, &|l| l.size);
    pull.total = Some(total);
    (pull.cached, pull.to_download, pull.downloaded) = (cached, Some(to_download), downloaded);
    (pull.to_extract, pull.extracted) = (Some(to_extract), extracted);
}

/// The evidence of a completed pull is that its last layer is unpacked: so is every layer below.
fn complete_layers(pull: &mut Pull) {
    for layer in pull
        .layers
        .iter_mut()
        .filter(|layer| !layer.state.is_done())
    {
        layer.state = LayerState::Complete;
        layer.downloaded = layer.size;
        layer.completed_at = pull.ended_at;
    }
    sum(pull);
}

/// See [`Pull::percent`].
fn percent(pull: &Pull) -> Option<Percent> {
    if pull.outcome() == Some(Outcome::Completed) {
        return Some(Percent::DONE);
    }
    let before = pull.percent;
    let now = pull.image.as_ref().map(|_| {
        let fetched = pull
            .to_download
            .and_then(|all| pull.downloaded.share_of(all))
            .unwrap_or(1.0);
        // Layers, not bytes: an empty image has none, and is not unpacked before it is shown to be.
        let unpacked = pull
            .to_extract
            .and_then(|all| pull.extracted.share_of(all))
            .unwrap_or(1.0);
        Percent::from_share(DOWNLOAD_SHARE * fetched + (1.0 - DOWNLOAD_SHARE) * unpacked)
            .min(Percent::ALMOST)
    });
    match (before, now) {
        (Some(before), Some(now)) => Some(before.max(now)),
        (before, now) => before.or(now),
    }
}
