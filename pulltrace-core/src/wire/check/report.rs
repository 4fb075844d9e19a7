//! Checks a report as a whole.

use std::sync::Arc;

use super::error::ReportError;
use super::limits::{
    MAX_ANOMALIES, MAX_IMAGES, MAX_PULLS, MAX_TEXT, check_count, check_number, check_text,
    check_unique, parse_name,
};
use super::pull::CheckedPull;
use crate::id::NodeName;
use crate::image::Image;
use crate::time::NodeTime;
use crate::wire::v1;

/// A checked report.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct CheckedReport {
    /// The node.
    pub node: NodeName,
    /// When the state was observed, by the node's clock.
    pub timestamp: NodeTime,
    /// Grows with each report of this agent instance.
    pub sequence: u64,
    /// True if `pulls` is complete.
    pub full: bool,
    /// The agent.
    pub agent: v1::AgentInfo,
    /// The container runtime.
    pub node_info: v1::NodeInfo,
    /// Images that the server may not know yet.
    pub images: Vec<Arc<Image>>,
    /// The pulls, which all belong to this node and have unique ids.
    pub pulls: Vec<CheckedPull>,
    /// Data that the agent omitted or lost.
    pub dropped: v1::Dropped,
}

pub(super) fn unsupported_version(found: &str) -> ReportError {
    ReportError::UnsupportedVersion(found.chars().take(64).collect())
}

impl TryFrom<v1::AgentReport> for CheckedReport {
    type Error = ReportError;

    fn try_from(report: v1::AgentReport) -> Result<Self, ReportError> {
        if report.schema_version != v1::SCHEMA_VERSION {
            return Err(unsupported_version(&report.schema_version));
        }
        let node: NodeName = parse_name("nodeName", &report.node_name)?;
        check_count("images", report.images.len(), MAX_IMAGES)?;
        check_count("pulls", report.pulls.len(), MAX_PULLS)?;
        check_agent(&report.agent)?;
        check_node_info(&report.node)?;
        check_dropped(&report.dropped)?;
        check_number("sequence", report.sequence)?;
        let images = report.images.into_iter().map(super::image::check_image);
        let images = images.collect::<Result<Vec<_>, _>>()?;
        check_unique(images.iter().map(|image| &image.root))?;
        let pulls = report.pulls.into_iter();
        let pulls = pulls.map(|told| super::pull::check_pull(told, &node));
        let pulls = pulls.collect::<Result<Vec<_>, _>>()?;
        check_unique(pulls.iter().map(CheckedPull::id))?;
        Ok(Self {
            node,
            timestamp: report.timestamp,
            sequence: report.sequence,
            full: report.full,
            agent: report.agent,
            node_info: report.node,
            images,
            pulls,
            dropped: report.dropped,
        })
    }
}

fn check_agent(agent: &v1::AgentInfo) -> Result<(), ReportError> {
    check_text("agent.version", Some(&agent.version))?;
    check_text("agent.instance", Some(&agent.instance))?;
    check_number("agent.intervalMs", agent.interval_ms)?;
    Ok(())
}

fn check_node_info(info: &v1::NodeInfo) -> Result<(), ReportError> {
    check_text("node.runtimeVersion", info.runtime_version.as_ref())?;
    check_text("node.runtimeNamespace", info.runtime_namespace.as_ref())?;
    check_text("node.snapshotter", info.snapshotter.as_ref())
}

fn check_dropped(dropped: &v1::Dropped) -> Result<(), ReportError> {
    check_count("dropped.anomalies", dropped.anomalies.len(), MAX_ANOMALIES)?;
    for word in dropped.anomalies.keys() {
        check_count("dropped.anomalies", word.len(), MAX_TEXT)?;
    }
    let counts = [dropped.refused, dropped.evicted, dropped.ends_lost];
    for count in counts.iter().chain(dropped.anomalies.values()) {
        check_number("dropped", *count)?;
    }
    Ok(())
}
