//! The activity of a pull: its rate, remaining time, waits and stalls.

use std::time::Duration;

use crate::blob::BlobState;
use crate::entry::{Entry, NodeContext};
use crate::eta::{Eta, LayerWork, Speeds, estimate};
use crate::id::{Digest, PullId};
use crate::layer::LayerState;
use crate::pull::{Phase, Pull};
use crate::time::Now;
use crate::unit::Bytes;
use crate::wait::{WaitCause, WaitingKind, update_waiting};

/// The stall timeout of unpacking if its written bytes are known.
const UNPACK_STALL_TIMEOUT: Duration = Duration::from_mins(1);

/// The minimum stall timeout of unpacking or re-hashing that shows no progress.
const HIDDEN_WORK_STALL_TIMEOUT: Duration = Duration::from_mins(5);

impl Entry {
    pub(crate) fn refresh_activity(&mut self, pull: &mut Pull, node: &NodeContext<'_>, now: Now) {
        if self.pull.motion.downloaded < pull.motion.downloaded || self.pull.phase != pull.phase {
            self.last_activity = now;
        }
        self.meter.sample(pull.motion.downloaded, now.mono);
        if pull.outcome().is_some() {
            (pull.motion.rate, pull.motion.eta, pull.waiting_on) = (None, None, None);
            (pull.stalled_since, pull.slow_since, pull.stale_since) = (None, None, None);
            for layer in &mut pull.layers {
                (layer.motion.rate, layer.waiting_on) = (None, None);
            }
            return;
        }
        pull.motion.rate =
            (pull.phase == Phase::Downloading).then(|| self.meter.rate(now.mono)).flatten();
        let waiting = self.pull_waiting_on(pull, node);
        pull.waiting_on = update_waiting(self.pull.waiting_on.as_ref(), waiting, now.node);
        self.refresh_layer_waiting(pull, node, now);
        if pull.waiting_on.is_some() {
            self.last_activity = now;
        }
        let silent = now.mono.since(self.last_activity.mono) > self.stall_timeout(pull, node);
        pull.stalled_since = silent.then_some(self.last_activity.node);
        pull.motion.eta = self.time_left(pull, node, now);
        if pull.phase == Phase::Extracting && self.pull.phase != Phase::Extracting {
            self.expected_unpack_time = pull.motion.eta.map_or(Duration::ZERO, |eta| eta.high);
        }
        pull.stale_since = self.stale_since;
        pull.slow_since =
            self.slow_since.filter(|at| now.node.since(*at) >= Duration::from_mins(1));
    }

    /// Estimates the remaining time; `None` during a stall.
    fn time_left(&self, pull: &Pull, node: &NodeContext<'_>, now: Now) -> Option<Eta> {
        let image = pull.image.as_ref().filter(|_| pull.stalled_since.is_none())?;
        let mut work = Vec::with_capacity(pull.layers.len());
        for ((layer, track), wanted) in pull.layers.iter().zip(&self.trackers).zip(&image.layers) {
            let open = !layer.state.is_done();
            let left = |bytes: Bytes| if open { bytes } else { Bytes::ZERO };
            let extracting =
                track.extracting_since.filter(|_| layer.state == LayerState::Extracting);
            work.push(LayerWork {
                to_fetch: left(layer.size.saturating_sub(layer.motion.downloaded)),
                to_unpack: left(layer.size),
                compression: wanted.compression,
                unpacking_for: extracting.map(|from| now.mono.since(from)),
            });
        }
        let forecast = pull.motion.rate.and_then(|_| self.meter.forecast(now.mono));
        let speeds = Speeds {
            pull: forecast.map(|pace| pace.rate),
            uncounted: forecast.map_or(Bytes::ZERO, |pace| pace.uncounted),
            ..node.speeds
        };
        estimate(&work, speeds, node.unpack)
    }

    /// Returns how long the pull may show no progress before it is stalled.
    fn stall_timeout(&self, pull: &Pull, node: &NodeContext<'_>) -> Duration {
        let unpacking = || pull.layers.iter().any(|layer| layer.state == LayerState::Extracting);
        let written = || {
            pull.layers
                .iter()
                .any(|l| l.state == LayerState::Extracting && l.motion.unpacked_bytes.is_some())
        };
        match pull.phase {
            Phase::Extracting if written() => UNPACK_STALL_TIMEOUT.max(node.stall_timeout),
            Phase::Extracting => {
                HIDDEN_WORK_STALL_TIMEOUT.max(self.expected_unpack_time.saturating_mul(3))
            }
            // The runtime reads a resumed blob again from its start before the next byte arrives.
            _ if unpacking() || self.is_resuming(pull, node) => {
                HIDDEN_WORK_STALL_TIMEOUT.max(node.stall_timeout)
            }
            _ => node
                .stall_timeout
                .max(self.meter.mean_step_interval().unwrap_or_default().saturating_mul(3)),
        }
    }

    fn is_resuming(&self, pull: &Pull, node: &NodeContext<'_>) -> bool {
        self.meter.last_growth().is_none()
            && pull.layers.iter().any(|layer| {
                let key = (pull.id.namespace().clone(), layer.digest.clone());
                node.blobs.get(&key).is_some_and(|blob| {
                    matches!(&blob.state, BlobState::Ingesting { offset, started_at, .. }
                        if *offset > Bytes::ZERO && *started_at < pull.started_at)
                })
            })
    }

    /// Returns the cause of a wait of the whole pull; `None` while any part of it makes progress.
    fn pull_waiting_on(&self, pull: &Pull, node: &NodeContext<'_>) -> Option<WaitCause> {
        let blob = |digest: &Digest| node.blobs.get(&(pull.id.namespace().clone(), digest.clone()));
        if pull.phase == Phase::Resolving {
            let queued = node.slots_exhausted
                && pull.root.as_ref().and_then(blob).is_some_and(
                    |b| matches!(&b.state, BlobState::Ingesting { offset, .. } if *offset == Bytes::ZERO),
                );
            let kind = if queued { WaitingKind::DownloadSlot } else { WaitingKind::Registry };
            return Some(WaitCause::new(kind));
        }
        let mut shared = None;
        let mut asked = true;
        for (layer, track) in
            pull.layers.iter().zip(&self.trackers).filter(|(layer, _)| !layer.state.is_done())
        {
            match blob(&layer.digest).map(|blob| &blob.state) {
                Some(BlobState::Ingesting { offset, by, .. }) => {
                    let own = by.as_ref().is_none_or(|by| *by == pull.id);
                    if own && *offset > Bytes::ZERO {
                        return None;
                    }
                    if !own {
                        shared = shared.or_else(|| {
                            by.clone().map(|by| WaitCause::shared_layer(by, layer.digest.clone()))
                        });
                    }
                }
                Some(BlobState::Complete) => match &track.unpacked_by {
                    Some(by) if *by == pull.id => return None,
                    Some(by) => {
                        shared = shared.or_else(|| {
                            Some(WaitCause::shared_layer(by.clone(), layer.digest.clone()))
                        })
                    }
                    None => {}
                },
                Some(BlobState::Absent) | None => asked = false,
            }
        }
        let slot = pull.phase == Phase::Downloading && asked && node.slots_exhausted;
        shared.or_else(|| slot.then(|| WaitCause::new(WaitingKind::DownloadSlot)))
    }

    fn refresh_layer_waiting(&self, pull: &mut Pull, node: &NodeContext<'_>, now: Now) {
        let id = pull.id.clone();
        let mut below: Option<Digest> = None;
        for (index, track) in self.trackers.iter().enumerate() {
            let layer = &pull.layers[index];
            let blob = node.blobs.get(&(id.namespace().clone(), layer.digest.clone()));
            let other = |by: &Option<PullId>| by.clone().filter(|by| *by != id);
            let waiting = match (layer.state, blob.map(|blob| &blob.state)) {
                (LayerState::Downloaded, _) if below.is_some() => {
                    below.clone().map(WaitCause::parent_layer)
                }
                (LayerState::Extracting | LayerState::Downloaded, _) => other(&track.unpacked_by)
                    .map(|by| WaitCause::shared_layer(by, layer.digest.clone())),
                (
                    LayerState::Downloading | LayerState::Waiting,
                    Some(BlobState::Ingesting { offset, by, .. }),
                ) => match other(by) {
                    Some(by) => Some(WaitCause::shared_layer(by, layer.digest.clone())),
                    None if *offset == Bytes::ZERO && node.slots_exhausted => {
                        Some(WaitCause::new(WaitingKind::DownloadSlot))
                    }
                    None => None,
                },
                _ => None,
            };
            if below.is_none() && !layer.state.is_done() {
                below = Some(layer.digest.clone());
            }
            let before = self.pull.layers.get(index).and_then(|layer| layer.waiting_on.as_deref());
            pull.layers[index].waiting_on = update_waiting(before, waiting, now.node).map(Box::new);
        }
    }
}
