//! What metrics count of pulls: ends, and bytes that came over the network.

use std::collections::{HashMap, HashSet};
use std::sync::Arc;

use pulltrace_core::{Bytes, BytesPerSecond, Digest, Layer, LayerState, Pull, PullId};

use super::Ended;
use super::merge::registry;
use super::v0;

/// The most layers of a node's live pulls whose bytes are told apart. Beyond, all are forgotten, and a
/// layer that several pulls share may count more than once.
const MAX_BLOBS: usize = 16_384;

/// The bytes of each layer of a node's live pulls that were counted.
#[derive(Debug, Default)]
pub(super) struct Blobs(HashMap<Digest, Bytes>);

impl Blobs {
    /// The bytes that came since `before`, and that no other pull of the node was seen to get; and how
    /// many layers began anew.
    pub(super) fn grown(&mut self, before: Option<&Pull>, now: &Pull) -> (Bytes, u64) {
        if matches!(now.id, PullId::Ingest { .. }) {
            return (v0::grown(before, now), 0);
        }
        let (mut grown, mut restarts) = (Bytes::ZERO, 0);
        let before = before.map_or(&[][..], |pull| &pull.layers);
        for (index, layer) in now.layers.iter().enumerate() {
            let old = before.get(index).map(|layer| layer.downloaded);
            if old == Some(layer.downloaded) || !is_fetched(layer) {
                continue;
            }
            let restarted = old.is_some_and(|old| old > layer.downloaded);
            match self.0.get_mut(&layer.digest) {
                Some(seen) if restarted => {
                    // Of pulls that share it the first that tells of it counts.
                    restarts += u64::from(*seen > layer.downloaded);
                    *seen = layer.downloaded;
                }
                Some(seen) => {
                    grown += layer.downloaded.saturating_sub(*seen);
                    *seen = layer.downloaded.max(*seen);
                }
                None => {
                    if self.0.len() >= MAX_BLOBS {
                        self.0.clear();
                    }
                    self.0.insert(layer.digest.clone(), layer.downloaded);
                    let known = old.unwrap_or(Bytes::ZERO);
                    grown += layer.downloaded.saturating_sub(known);
                }
            }
        }
        (grown, restarts)
    }

    /// Forgets all but the layers of these pulls, which live: what is fetched again later counts again.
    pub(super) fn keep<'a>(&mut self, live: impl Iterator<Item = &'a Arc<Pull>>) {
        let layers = live.flat_map(|pull| &pull.layers);
        let live: HashSet<&Digest> = layers.map(|layer| &layer.digest).collect();
        self.0.retain(|digest, _| live.contains(digest));
        self.0.shrink_to_fit();
    }
}

fn is_fetched(layer: &Layer) -> bool {
    !layer.state.is_idle() && !layer.blob_cached
}

/// The end of a pull, as metrics count it; `None` while it lives.
pub(crate) fn ended(pull: &Pull) -> Option<Ended> {
    let (outcome, at) = (pull.outcome()?, pull.ended_at?);
    let since = |from: Option<_>| from.map(|from| at.since(from));
    let downloading = pull
        .resolved_at
        .map(|from| pull.downloaded_at.unwrap_or(at).since(from));
    let count = |what: fn(&&Layer) -> bool| pull.layers.iter().filter(what).count() as u64;
    let whole = |layer: &&Layer| {
        let here = matches!(
            layer.state,
            LayerState::Downloaded | LayerState::Extracting | LayerState::Complete
        );
        here && is_fetched(layer)
    };
    let fetched = pull.downloaded > Bytes::ZERO && pull.downloaded_at.is_some();
    let throughput = downloading.filter(|took| fetched && !took.is_zero());
    Some(Ended {
        id: pull.id.clone(),
        started_at: pull.started_at,
        queued: None,
        registry: registry(pull),
        outcome,
        reason: pull.failure.as_ref().map(|failure| failure.reason),
        duration: at.since(pull.started_at),
        resolving: pull
            .resolved_at
            .map(|resolved| resolved.since(pull.started_at)),
        downloading,
        extracting: since(pull.downloaded_at),
        size: pull.total,
        downloaded: pull.downloaded,
        cached: pull.cached,
        wasted: pull.wasted,
        layers_fetched: count(whole),
        layers_reused: count(|layer| !is_fetched(layer)),
        throughput: throughput
            .and_then(|took| BytesPerSecond::new(pull.downloaded.as_f64() / took.as_secs_f64())),
    })
}
