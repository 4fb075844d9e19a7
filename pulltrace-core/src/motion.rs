//! Whether a pull moves: its speed, the time left, what it waits for, and whether it is stalled.

use std::time::Duration;

use crate::blob::BlobState;
use crate::entry::{Entry, Node};
use crate::eta::{Eta, LayerWork, Speeds, eta};
use crate::id::{Digest, PullId};
use crate::layer::LayerState;
use crate::pull::{Phase, Pull};
use crate::time::Now;
use crate::unit::Bytes;
use crate::wait::{WaitingKind, renewed};

/// After this, an unpacking whose written bytes are known not to grow is a stall.
const UNPACK_SILENCE: Duration = Duration::from_mins(1);

/// After this at the earliest, an unpacking or a re-hashing that shows nothing is a stall.
const HIDDEN_WORK: Duration = Duration::from_mins(5);

impl Entry {
    pub(crate) fn refresh_motion(&mut self, pull: &mut Pull, node: &Node<'_>, now: Now) {
        if self.shown.downloaded < pull.downloaded || self.shown.phase != pull.phase {
            self.moved = now;
        }
        self.meter.sample(pull.downloaded, now.mono);
        if pull.outcome().is_some() {
            (pull.rate, pull.eta, pull.waiting_on) = (None, None, None);
            (pull.stalled_since, pull.slow_since, pull.stale_since) = (None, None, None);
            for layer in &mut pull.layers {
                (layer.rate, layer.waiting_on) = (None, None);
            }
            return;
        }
        pull.rate = (pull.phase == Phase::Downloading)
            .then(|| self.meter.rate(now.mono))
            .flatten();
        let waits = self.waits(pull, node);
        pull.waiting_on = renewed(self.shown.waiting_on.as_ref(), waits, now.node);
        self.layer_waits(pull, node, now);
        if pull.waiting_on.is_some() {
            self.moved = now;
        }
        let silent = now.mono.since(self.moved.mono) > self.patience(pull, node);
        pull.stalled_since = silent.then_some(self.moved.node);
        pull.eta = self.time_left(pull, node, now);
        if pull.phase == Phase::Extracting && self.shown.phase != Phase::Extracting {
            self.expected = pull.eta.map_or(Duration::ZERO, |eta| eta.high);
        }
        pull.stale_since = self.stale_since;
        pull.slow_since = self
            .slow_from
            .filter(|at| now.node.since(*at) >= Duration::from_mins(1));
    }

    /// `None` while it is stalled: nobody knows when it goes on.
    fn time_left(&self, pull: &Pull, node: &Node<'_>, now: Now) -> Option<Eta> {
        let image = pull
            .image
            .as_ref()
            .filter(|_| pull.stalled_since.is_none())?;
        let mut work = Vec::with_capacity(pull.layers.len());
        for ((layer, track), wanted) in pull.layers.iter().zip(&self.tracks).zip(&image.layers) {
            let open = !layer.state.is_done();
            let left = |bytes: Bytes| if open { bytes } else { Bytes::ZERO };
            let extracting = track
                .extracting_from
                .filter(|_| layer.state == LayerState::Extracting);
            work.push(LayerWork {
                to_fetch: left(layer.size.saturating_sub(layer.downloaded)),
                to_unpack: left(layer.size),
                compression: wanted.compression,
                unpacking_for: extracting.map(|from| now.mono.since(from)),
            });
        }
        let pace = pull.rate.and_then(|_| self.meter.pace(now.mono));
        let speeds = Speeds {
            pull: pace.map(|pace| pace.rate),
            unseen: pace.map_or(Bytes::ZERO, |pace| pace.unseen),
            ..node.speeds
        };
        eta(&work, speeds, node.unpack)
    }

    /// How long the pull may show nothing before that is a stall.
    fn patience(&self, pull: &Pull, node: &Node<'_>) -> Duration {
        let unpacking = || {
            pull.layers
                .iter()
                .any(|layer| layer.state == LayerState::Extracting)
        };
        let written = || {
            pull.layers
                .iter()
                .any(|l| l.state == LayerState::Extracting && l.unpacked_bytes.is_some())
        };
        match pull.phase {
            Phase::Extracting if written() => UNPACK_SILENCE.max(node.stall_after),
            Phase::Extracting => HIDDEN_WORK.max(self.expected.saturating_mul(3)),
            // A resumed blob is read again from its start before its next byte comes.
            _ if unpacking() || self.is_resuming(pull, node) => HIDDEN_WORK.max(node.stall_after),
            _ => node
                .stall_after
                .max(self.meter.step_time().unwrap_or_default().saturating_mul(3)),
        }
    }

    fn is_resuming(&self, pull: &Pull, node: &Node<'_>) -> bool {
        self.meter.last_growth().is_none()
            && pull.layers.iter().any(|layer| {
                let key = (pull.id.namespace().clone(), layer.digest.clone());
                node.blobs.get(&key).is_some_and(|blob| {
                    matches!(&blob.state, BlobState::Ingesting { offset, started_at, .. }
                        if *offset > Bytes::ZERO && *started_at < pull.started_at)
                })
            })
    }

    /// What the pull as a whole waits for: only where nothing of it moves.
    fn waits(
        &self,
        pull: &Pull,
        node: &Node<'_>,
    ) -> Option<(WaitingKind, Option<PullId>, Option<Digest>)> {
        let blob = |digest: &Digest| {
            node.blobs
                .get(&(pull.id.namespace().clone(), digest.clone()))
        };
        if pull.phase == Phase::Resolving {
            let queued = node.slots_taken
                && pull.root.as_ref().and_then(blob).is_some_and(
                    |b| matches!(&b.state, BlobState::Ingesting { offset, .. } if *offset == Bytes::ZERO),
                );
            let kind = if queued {
                WaitingKind::DownloadSlot
            } else {
                WaitingKind::Registry
            };
            return Some((kind, None, None));
        }
        let mut shared = None;
        let mut asked = true;
        for (layer, track) in pull
            .layers
            .iter()
            .zip(&self.tracks)
            .filter(|(layer, _)| !layer.state.is_done())
        {
            match blob(&layer.digest).map(|blob| &blob.state) {
                Some(BlobState::Ingesting { offset, by, .. }) => {
                    let own = by.as_ref().is_none_or(|by| *by == pull.id);
                    if own && *offset > Bytes::ZERO {
                        return None;
                    }
                    if !own {
                        shared = shared.or_else(|| by.clone().map(|by| (by, layer.digest.clone())));
                    }
                }
                Some(BlobState::Whole) => match &track.unpacking {
                    Some(by) if *by == pull.id => return None,
                    Some(by) => {
                        shared = shared.or_else(|| Some((by.clone(), layer.digest.clone())))
                    }
                    None => {}
                },
                Some(BlobState::Absent) | None => asked = false,
            }
        }
        match shared {
            Some((by, layer)) => Some((WaitingKind::SharedLayer, Some(by), Some(layer))),
            None if pull.phase == Phase::Downloading && asked && node.slots_taken => {
                Some((WaitingKind::DownloadSlot, None, None))
            }
            None => None,
        }
    }

    fn layer_waits(&self, pull: &mut Pull, node: &Node<'_>, now: Now) {
        let id = pull.id.clone();
        let mut below: Option<Digest> = None;
        for (index, track) in self.tracks.iter().enumerate() {
            let layer = &pull.layers[index];
            let blob = node
                .blobs
                .get(&(id.namespace().clone(), layer.digest.clone()));
            let other = |by: &Option<PullId>| by.clone().filter(|by| *by != id);
            let waits = match (layer.state, blob.map(|blob| &blob.state)) {
                (LayerState::Downloaded, _) if below.is_some() => {
                    Some((WaitingKind::ParentLayer, None, below.clone()))
                }
                (LayerState::Extracting | LayerState::Downloaded, _) => other(&track.unpacking)
                    .map(|by| {
                        (
                            WaitingKind::SharedLayer,
                            Some(by),
                            Some(layer.digest.clone()),
                        )
                    }),
                (
                    LayerState::Downloading | LayerState::Waiting,
                    Some(BlobState::Ingesting { offset, by, .. }),
                ) => match other(by) {
                    Some(by) => Some((
                        WaitingKind::SharedLayer,
                        Some(by),
                        Some(layer.digest.clone()),
                    )),
                    None if *offset == Bytes::ZERO && node.slots_taken => {
                        Some((WaitingKind::DownloadSlot, None, None))
                    }
                    None => None,
                },
                _ => None,
            };
            if below.is_none() && !layer.state.is_done() {
                below = Some(layer.digest.clone());
            }
            let before = self
                .shown
                .layers
                .get(index)
                .and_then(|layer| layer.waiting_on.as_deref());
            pull.layers[index].waiting_on = renewed(before, waits, now.node).map(Box::new);
        }
    }
}
