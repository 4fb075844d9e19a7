//! What is believed of a report of version 0.1.
//!
//! Such an agent tells of each ingest by its reference, and of no image, manifest or end. When an ingest is
//! gone it calls it whole, also where it was cut off: so all bytes are no evidence of an end, and nothing
//! of such an agent is ever completed.

use std::collections::BTreeMap;

use super::ReportError;
use super::bound::{MAX_PULLS, count, name};
use crate::id::{Digest, NodeName};
use crate::reference::ImageRef;
use crate::time::NodeTime;
use crate::unit::Bytes;
use crate::wire::v0;

/// A report of version 0.1 that was checked.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct V0Report {
    /// The node.
    pub node: NodeName,
    /// When it was seen, by the node's clock.
    pub timestamp: NodeTime,
    /// One for each blob, in the order of their digests: each is to be a row of its own.
    pub ingests: Vec<V0Ingest>,
    /// Ingests that are no layers, or whose reference has no digest.
    pub left_out: usize,
}

/// A layer that is fetched.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct V0Ingest {
    /// The blob.
    pub digest: Digest,
    /// Bytes that are said to be here: all of them also where the ingest was cut off and is gone.
    pub bytes: Bytes,
    /// The size, where it is known.
    pub total: Option<Bytes>,
    /// The image, where one was named: stock agents name none.
    pub name: Option<ImageRef>,
    /// When it began, or the first of those that were told with it; by the node's clock.
    pub started_at: Option<NodeTime>,
}

/// How references of layers begin. Others are manifests, indexes and configs, of a few kB: as rows they
/// would only hide what takes time.
const LAYER: &str = "layer-";

impl TryFrom<v0::AgentReport> for V0Report {
    type Error = ReportError;

    fn try_from(report: v0::AgentReport) -> Result<Self, ReportError> {
        let node = name("nodeName", &report.node_name)?;
        let pulls = report.pulls.unwrap_or_default();
        let layers = pulls.iter().filter_map(|pull| pull.layers.as_ref());
        count("pulls", pulls.len(), MAX_PULLS)?;
        count("pulls.layers", layers.map(Vec::len).sum(), MAX_PULLS)?;
        let mut ingests = BTreeMap::<Digest, V0Ingest>::new();
        let mut left_out = 0;
        for pull in &pulls {
            for told in pull.layers.iter().flatten() {
                let Some(ingest) = ingest(pull, told)? else {
                    left_out += 1;
                    continue;
                };
                // One blob under two references: the one that is further is what is here.
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
            left_out,
        })
    }
}

fn ingest(pull: &v0::PullState, told: &v0::LayerState) -> Result<Option<V0Ingest>, ReportError> {
    let number = |what, number| u64::try_from(number).map_err(|_| ReportError::Number { what });
    let bytes = number("pulls.layers.downloadedBytes", told.downloaded_bytes)?;
    let total = number("pulls.layers.totalBytes", told.total_bytes)?;
    // An annotation may stand between: `layer-name@sha256:…`.
    let digest = told.digest.strip_prefix(LAYER).and_then(|rest| {
        let digest = rest.rsplit_once('@').map_or(rest, |(_, digest)| digest);
        digest.parse::<Digest>().ok()
    });
    Ok(digest.map(|digest| V0Ingest {
        digest,
        bytes: Bytes(bytes),
        // A size that is less than what is here is none.
        total: (told.total_known && total > 0 && total >= bytes).then_some(Bytes(total)),
        // `layer-sha256:…` would pass for a name with a tag.
        name: (!pull.image_ref.starts_with(LAYER))
            .then(|| pull.image_ref.parse().ok())
            .flatten(),
        started_at: pull.started_at.filter(|at| at.unix_nanos() >= 0),
    }))
}
