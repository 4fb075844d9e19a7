//! The ends and downloaded bytes that metrics count.

use std::collections::{HashMap, HashSet};
use std::sync::Arc;

use pulltrace_core::{Bytes, BytesPerSecond, Digest, Layer, LayerState, Pull, PullId};

use super::merge::registry_host;
use super::v0;
use crate::change::{DownloadedBytes, EndedPull};

/// Maximum layers tracked per node. Beyond it all are forgotten, and a layer shared by several
/// pulls may count more than once.
const MAX_BLOBS: usize = 16_384;

/// The counted bytes of each layer of a node's live pulls.
#[derive(Debug, Default)]
pub(super) struct BlobProgress(HashMap<Digest, Bytes>);

impl BlobProgress {
    /// Returns the bytes downloaded since `before` that were not counted for another pull of the
    /// node; `None` if nothing was downloaded or restarted.
    pub(super) fn record(&mut self, before: Option<&Pull>, now: &Pull) -> Option<DownloadedBytes> {
        let (mut grown, mut restarts) = (Bytes::ZERO, 0);
        if matches!(now.id, PullId::Ingest { .. }) {
            grown = v0::downloaded_since(before, now);
        }
        let before = before.map_or(&[][..], |pull| &pull.layers);
        for (index, layer) in now.layers.iter().enumerate() {
            let old = before.get(index).map(|layer| layer.motion.downloaded);
            if old == Some(layer.motion.downloaded) || !is_fetched(layer) {
                continue;
            }
            let restarted = old.is_some_and(|old| old > layer.motion.downloaded);
            match self.0.get_mut(&layer.digest) {
                Some(seen) if restarted => {
                    // If several pulls share the layer, the first to report the restart counts.
                    restarts += u64::from(*seen > layer.motion.downloaded);
                    *seen = layer.motion.downloaded;
                }
                Some(seen) => {
                    grown += layer.motion.downloaded.saturating_sub(*seen);
                    *seen = layer.motion.downloaded.max(*seen);
                }
                None => {
                    if self.0.len() >= MAX_BLOBS {
                        self.0.clear();
                    }
                    self.0.insert(layer.digest.clone(), layer.motion.downloaded);
                    let known = old.unwrap_or(Bytes::ZERO);
                    grown += layer.motion.downloaded.saturating_sub(known);
                }
            }
        }
        let any = grown > Bytes::ZERO || restarts > 0;
        any.then(|| DownloadedBytes { registry: registry_host(now), bytes: grown, restarts })
    }

    /// Keeps only the layers of these live pulls, so that later downloads count again.
    pub(super) fn retain_live<'a>(&mut self, live: impl Iterator<Item = &'a Arc<Pull>>) {
        let layers = live.flat_map(|pull| &pull.layers);
        let live: HashSet<&Digest> = layers.map(|layer| &layer.digest).collect();
        self.0.retain(|digest, _| live.contains(digest));
        self.0.shrink_to_fit();
    }
}

fn is_fetched(layer: &Layer) -> bool {
    !layer.state.is_idle() && !layer.blob_cached
}

/// Returns the end of a pull as counted by metrics, or `None` while it is live.
pub(crate) fn ended_pull(pull: &Pull) -> Option<EndedPull> {
    let (outcome, at) = (pull.outcome()?, pull.ended_at?);
    let since = |from: Option<_>| from.map(|from| at.since(from));
    let downloading = pull.resolved_at.map(|from| pull.downloaded_at.unwrap_or(at).since(from));
    let count = |what: fn(&&Layer) -> bool| pull.layers.iter().filter(what).count() as u64;
    let is_complete = |layer: &&Layer| {
        let here = matches!(
            layer.state,
            LayerState::Downloaded | LayerState::Extracting | LayerState::Complete
        );
        here && is_fetched(layer)
    };
    let fetched = pull.motion.downloaded > Bytes::ZERO && pull.downloaded_at.is_some();
    let throughput = downloading.filter(|took| fetched && !took.is_zero());
    Some(EndedPull {
        id: pull.id.clone(),
        started_at: pull.started_at,
        queued: None,
        registry: registry_host(pull),
        outcome,
        reason: pull.failure.as_ref().map(|failure| failure.reason),
        duration: at.since(pull.started_at),
        resolving: pull.resolved_at.map(|resolved| resolved.since(pull.started_at)),
        downloading,
        extracting: since(pull.downloaded_at),
        size: pull.total,
        downloaded: pull.motion.downloaded,
        cached: pull.cached,
        wasted: pull.wasted,
        layers_fetched: count(is_complete),
        layers_reused: count(|layer| !is_fetched(layer)),
        throughput: throughput.and_then(|took| {
            BytesPerSecond::new(pull.motion.downloaded.as_f64() / took.as_secs_f64())
        }),
    })
}
