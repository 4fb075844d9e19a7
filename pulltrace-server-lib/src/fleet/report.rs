//! Reports as the fleet applies them, whatever their version.

use std::collections::{HashMap, HashSet};
use std::sync::Arc;

use pulltrace_core::wire::v1::AgentInfo;
use pulltrace_core::{Digest, Image, NodeName, NodeTime, Pull, PullId, RateMeter};

use super::agents::{Agent, ReportDecision};
use crate::clock::ServerNow;

/// A report without its images and pulls.
#[derive(Debug)]
pub(super) struct ReportHeader {
    pub(super) node: NodeName,
    /// By the node's clock.
    pub(super) sent_at: NodeTime,
    pub(super) sequence: u64,
    pub(super) full: bool,
    pub(super) agent: AgentInfo,
    pub(super) runtime_version: Option<String>,
}

impl ReportHeader {
    pub(super) fn to_agent(&self, now: ServerNow) -> Agent {
        Agent::new(&self.agent, self.sequence, now.mono)
    }
}

/// The download rates of the ingests that an agent of version 0.1 reports.
pub(super) type RateMeters = HashMap<Digest, RateMeter>;

/// The pulls of a report.
#[derive(Debug, Default)]
pub(super) struct ReportedPulls {
    pub(super) pulls: Vec<Pull>,
    /// All pulls in a full report.
    pub(super) ids: HashSet<PullId>,
    /// Number of pulls dropped because their image is unknown.
    pub(super) missing_images: u64,
    pub(super) rate_meters: RateMeters,
}

/// An accepted and valid report.
#[derive(Debug)]
pub(super) struct AcceptedReport {
    pub(super) header: ReportHeader,
    /// `None` if its node is new.
    pub(super) decision: Option<ReportDecision>,
    pub(super) images: Vec<Arc<Image>>,
    pub(super) reported: ReportedPulls,
}
