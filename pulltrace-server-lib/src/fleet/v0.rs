//! Reports of agents of version 0.1, shown as one row for each layer that is downloaded.
//!
//! Such an agent reports no ends, and reports an ingest as complete when it disappears for whatever
//! reason. So these rows never complete or unpack, and end as unknown when they are no longer
//! reported.

use std::collections::HashMap;
use std::sync::Arc;

use pulltrace_core::wire::check::{V0Ingest, V0Report};
use pulltrace_core::wire::v1::{AgentInfo, ReportAck};
use pulltrace_core::{
    Bytes, Digest, Limits, Mono, NodeName, NodeTime, Now, Percent, Phase, Pull, PullFact, PullId,
    PullTable, RateMeter,
};

use super::node::Node;
use super::{Admission, ApplyError, Fleet, ReportHeader, ReportedPulls};
use crate::change::Changes;
use crate::clock::ServerNow;

/// Replaces the missing instance id. Any other agent counts as newer.
const INSTANCE: &str = "v0.1";

/// The namespace such agents watch by default; they do not report it.
const NAMESPACE: &str = "k8s.io";

/// The report interval of such agents.
const INTERVAL_MS: u64 = 1_000;

impl Fleet {
    pub(super) fn apply_v0(
        &mut self,
        report: V0Report,
        now: ServerNow,
        changes: &mut Changes,
    ) -> Result<ReportAck, ApplyError> {
        let millis = report.timestamp.unix_nanos() / 1_000_000;
        let header = ReportHeader {
            node: report.node,
            sent_at: report.timestamp,
            sequence: u64::try_from(millis).unwrap_or(0),
            full: true,
            agent: AgentInfo {
                version: "0.1".to_owned(),
                instance: INSTANCE.to_owned(),
                started_at: NodeTime::from_unix(0, 0),
                interval_ms: INTERVAL_MS,
            },
            runtime_version: None,
        };
        let lost_after = self.state.limits.lost_after;
        let newer = self.nodes.get(&header.node).is_some_and(|node| {
            let believed = &node.agents.active;
            !believed.matches(&header.agent) && !believed.is_silent(now.mono, lost_after)
        });
        if newer {
            self.state.stats.counters.reports_conflict += 1;
            return Err(ApplyError::Conflict(header.node));
        }
        let decision = match self.admit(&header, now)? {
            Admission::Stale(ack) => return Ok(ack),
            Admission::Accepted(standing) => standing,
        };
        let node = self.nodes.get_mut(&header.node);
        let (pulls, meters) = to_pulls(node, &header, &report.ingests, now.mono);
        let reported = ReportedPulls {
            ids: pulls.iter().map(|pull| pull.id.clone()).collect(),
            pulls,
            missing_images: 0,
        };
        let ack = self.commit(&header, decision, reported, Vec::new(), now, changes);
        if let Some(node) = self.nodes.get_mut(&header.node) {
            node.rate_meters = meters;
        }
        Ok(ack)
    }
}

/// The download rate of each ingest.
pub(super) type RateMeters = HashMap<Digest, RateMeter>;

/// Returns a pull for each ingest, continuing existing ones.
fn to_pulls(
    node: Option<&mut Node>,
    header: &ReportHeader,
    ingests: &[V0Ingest],
    now: Mono,
) -> (Vec<Pull>, RateMeters) {
    let (mut known, mut meters) = (HashMap::new(), RateMeters::new());
    if let Some(node) = node {
        known = node.live_pulls().filter_map(by_digest).collect();
        meters = std::mem::take(&mut node.rate_meters);
    }
    let mut kept = RateMeters::with_capacity(ingests.len());
    let mut pulls = Vec::with_capacity(ingests.len());
    for ingest in ingests {
        let before = known.get(&ingest.digest);
        let before = before.map(|pull: &Arc<Pull>| (**pull).clone());
        let Some(mut pull) = before.or_else(|| new_pull(&header.node, ingest, header.sent_at))
        else {
            continue;
        };
        apply_ingest(&mut pull, ingest);
        let mut meter = meters.remove(&ingest.digest).unwrap_or_default();
        meter.sample(pull.downloaded, now);
        pull.rate = meter.rate(now);
        kept.insert(ingest.digest.clone(), meter);
        pulls.push(pull);
    }
    (pulls, kept)
}

fn by_digest(pull: &Arc<Pull>) -> Option<(Digest, Arc<Pull>)> {
    match &pull.id {
        PullId::Ingest { digest, .. } => Some((digest.clone(), Arc::clone(pull))),
        PullId::Lease { .. } | PullId::Record { .. } | PullId::Announced { .. } => None,
    }
}

/// Returns the pull of a new ingest.
fn new_pull(node: &NodeName, ingest: &V0Ingest, sent: NodeTime) -> Option<Pull> {
    let at = ingest.started_at.unwrap_or(sent);
    let pull = PullId::Ingest {
        node: node.clone(),
        namespace: NAMESPACE.parse().ok()?,
        digest: ingest.digest.clone(),
        since: at,
    };
    let now = Now { mono: Mono::default(), node: at };
    let changes =
        PullTable::new(Limits::default()).apply(&[PullFact::Started { at }.of(pull)], now);
    changes.first().map(|change| (*change.pull).clone())
}

/// Applies a reported ingest. Bytes never decrease, and reaching the total does not mean
/// completion.
fn apply_ingest(pull: &mut Pull, ingest: &V0Ingest) {
    pull.phase = Phase::Downloading;
    (pull.waiting_on, pull.stale_since) = (None, None);
    pull.downloaded = pull.downloaded.max(ingest.bytes);
    let total = ingest.total.or(pull.total);
    pull.total = total.filter(|total| *total >= pull.downloaded);
    pull.to_download = pull.total;
    pull.percent = pull.total.map(|total| {
        let share = pull.downloaded.fraction_of(total).unwrap_or_default();
        Percent::from_fraction(share).min(Percent::MAX_UNFINISHED)
    });
    if let Some(name) = &ingest.name
        && pull.names.is_empty()
    {
        pull.repository = Some(name.repository());
        pull.names.push(name.clone());
    }
}

/// Returns the bytes downloaded since `before`. A jump to the total does not count: the download
/// may have been aborted.
pub(super) fn downloaded_since(before: Option<&Pull>, now: &Pull) -> Bytes {
    let known = before.map_or(Bytes::ZERO, |pull| pull.downloaded);
    if now.total == Some(now.downloaded) {
        return Bytes::ZERO;
    }
    now.downloaded.saturating_sub(known)
}
