//! Checks reports of version 0.1.
//!
//! Such an agent reports ingests by their reference, and no images, manifests or ends. Once an
//! ingest is gone it is reported with its full size, even if it was aborted. So all bytes are not
//! evidence of an end, and the pulls of such an agent are never completed.

use std::collections::BTreeMap;

use super::error::ReportError;
use super::limits::{MAX_PULLS, check_count, parse_name};
use crate::id::{Digest, NodeName};
use crate::reference::ImageRef;
use crate::time::NodeTime;
use crate::unit::Bytes;
use crate::wire::v0;

/// A checked report of version 0.1.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct V0Report {
    /// The node.
    pub node: NodeName,
    /// When it was observed, by the node's clock.
    pub timestamp: NodeTime,
    /// One ingest per blob, in the order of the digests. Each becomes a separate row.
    pub ingests: Vec<V0Ingest>,
    /// The number of ingests that are not layers, or have no digest in their reference.
    pub skipped: usize,
}

/// The download of a layer.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct V0Ingest {
    /// The blob.
    pub digest: Digest,
    /// Bytes that are reported as present: the full size even if the ingest was aborted and is
    /// gone.
    pub bytes: Bytes,
    /// The size, if known.
    pub total: Option<Bytes>,
    /// The image, if it was named; unmodified agents do not name it.
    pub name: Option<ImageRef>,
    /// When it started, or the first of the ingests reported with it; by the node's clock.
    pub started_at: Option<NodeTime>,
}

/// The prefix of references to layers. Other ingests are manifests, indexes and configs of a few
/// kB; rows of these would hide the downloads that take time.
const LAYER_PREFIX: &str = "layer-";

impl TryFrom<v0::AgentReport> for V0Report {
    type Error = ReportError;

    fn try_from(report: v0::AgentReport) -> Result<Self, ReportError> {
        let node = parse_name("nodeName", &report.node_name)?;
        let pulls = report.pulls.unwrap_or_default();
        let layers = pulls.iter().filter_map(|pull| pull.layers.as_ref());
        check_count("pulls", pulls.len(), MAX_PULLS)?;
        check_count("pulls.layers", layers.map(Vec::len).sum(), MAX_PULLS)?;
        let mut ingests = BTreeMap::<Digest, V0Ingest>::new();
        let mut left_out = 0;
        for pull in &pulls {
            for layer in pull.layers.iter().flatten() {
                let Some(ingest) = check_ingest(pull, layer)? else {
                    left_out += 1;
                    continue;
                };
                // If two references have the same blob, the one with more bytes is current.
                let known = ingests.get(&ingest.digest);
                if known.is_none_or(|known| known.bytes < ingest.bytes) {
                    ingests.insert(ingest.digest.clone(), ingest);
                }
            }
        }
        Ok(Self {
            node,
            timestamp: report.timestamp,
            ingests: ingests.into_values().collect(),
            skipped: left_out,
        })
    }
}

fn check_ingest(
    pull: &v0::PullState,
    layer: &v0::LayerState,
) -> Result<Option<V0Ingest>, ReportError> {
    let number =
        |what, number| u64::try_from(number).map_err(|_| ReportError::InvalidNumber { what });
    let bytes = number("pulls.layers.downloadedBytes", layer.downloaded_bytes)?;
    let total = number("pulls.layers.totalBytes", layer.total_bytes)?;
    // An annotation may be in between: `layer-name@sha256:…`.
    let digest = layer.digest.strip_prefix(LAYER_PREFIX).and_then(|rest| {
        let digest = rest.rsplit_once('@').map_or(rest, |(_, digest)| digest);
        digest.parse::<Digest>().ok()
    });
    Ok(digest.map(|digest| V0Ingest {
        digest,
        bytes: Bytes(bytes),
        // A size below the number of bytes present is invalid.
        total: (layer.total_known && total > 0 && total >= bytes).then_some(Bytes(total)),
        // `layer-sha256:…` would be parsed as a name with a tag.
        name: (!pull.image_ref.starts_with(LAYER_PREFIX))
            .then(|| pull.image_ref.parse().ok())
            .flatten(),
        started_at: pull.started_at.filter(|at| at.unix_nanos() >= 0),
    }))
}
