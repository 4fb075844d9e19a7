//! The report as a whole.

use std::sync::Arc;

use super::bound::{MAX_IMAGES, MAX_PULLS, MAX_TEXT, MAX_WORDS, count, name, number, text, unique};
use super::{CheckedPull, ReportError};
use crate::id::NodeName;
use crate::image::Image;
use crate::time::NodeTime;
use crate::wire::v1;

/// A report that was checked.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct CheckedReport {
    /// The node.
    pub node: NodeName,
    /// When the state was as told, by the node's clock.
    pub timestamp: NodeTime,
    /// Grows with each report of this agent instance.
    pub sequence: u64,
    /// Whether `pulls` is everything there is.
    pub full: bool,
    /// Who reports.
    pub agent: v1::AgentInfo,
    /// What it watches.
    pub info: v1::NodeInfo,
    /// Images that the server may not know yet.
    pub images: Vec<Arc<Image>>,
    /// The pulls; each id is one of this node, and is there once.
    pub pulls: Vec<CheckedPull>,
    /// What the agent left out or lost.
    pub dropped: v1::Dropped,
}

pub(super) fn version(told: &str) -> ReportError {
    ReportError::Version(told.chars().take(64).collect())
}

impl TryFrom<v1::AgentReport> for CheckedReport {
    type Error = ReportError;

    fn try_from(report: v1::AgentReport) -> Result<Self, ReportError> {
        if report.schema_version != v1::SCHEMA_VERSION {
            return Err(version(&report.schema_version));
        }
        let node: NodeName = name("nodeName", &report.node_name)?;
        count("images", report.images.len(), MAX_IMAGES)?;
        count("pulls", report.pulls.len(), MAX_PULLS)?;
        agent(&report.agent)?;
        info(&report.node)?;
        dropped(&report.dropped)?;
        number("sequence", report.sequence)?;
        let images = report.images.into_iter().map(super::image::image);
        let images = images.collect::<Result<Vec<_>, _>>()?;
        unique(images.iter().map(|image| &image.root))?;
        let pulls = report.pulls.into_iter();
        let pulls = pulls.map(|told| super::pull::pull(told, &node));
        let pulls = pulls.collect::<Result<Vec<_>, _>>()?;
        unique(pulls.iter().map(CheckedPull::id))?;
        Ok(Self {
            node,
            timestamp: report.timestamp,
            sequence: report.sequence,
            full: report.full,
            agent: report.agent,
            info: report.node,
            images,
            pulls,
            dropped: report.dropped,
        })
    }
}

fn agent(told: &v1::AgentInfo) -> Result<(), ReportError> {
    text("agent.version", Some(&told.version))?;
    text("agent.instance", Some(&told.instance))?;
    number("agent.intervalMs", told.interval_ms)?;
    Ok(())
}

fn info(told: &v1::NodeInfo) -> Result<(), ReportError> {
    text("node.runtimeVersion", told.runtime_version.as_ref())?;
    text("node.runtimeNamespace", told.runtime_namespace.as_ref())?;
    text("node.snapshotter", told.snapshotter.as_ref())
}

fn dropped(told: &v1::Dropped) -> Result<(), ReportError> {
    count("dropped.anomalies", told.anomalies.len(), MAX_WORDS)?;
    for word in told.anomalies.keys() {
        count("dropped.anomalies", word.len(), MAX_TEXT)?;
    }
    let counts = [told.refused, told.evicted, told.ends_lost];
    for told in counts.iter().chain(told.anomalies.values()) {
        number("dropped", *told)?;
    }
    Ok(())
}
