//! Reports of agents of version 0.1, shown as one row for each layer that is downloaded.
//!
//! Such an agent reports no ends, and reports an ingest as complete when it disappears for whatever
//! reason. So these rows never complete or unpack, and end as unknown when they are no longer
//! reported.

use std::collections::HashMap;
use std::sync::Arc;

use pulltrace_core::wire::check::{V0Ingest, V0Report};
use pulltrace_core::wire::v1::AgentInfo;
use pulltrace_core::{
    Bytes, Digest, Limits, Mono, NodeName, NodeTime, Now, Percent, Phase, Pull, PullFact, PullId,
    PullTable,
};

use super::report::{RateMeters, ReportHeader, ReportedPulls};

/// Replaces the missing instance id. Any other agent counts as newer.
const INSTANCE: &str = "v0.1";

/// The namespace such agents watch by default; they do not report it.
const NAMESPACE: &str = "k8s.io";

/// The report interval of such agents.
const INTERVAL_MS: u64 = 1_000;

/// Returns the header of a report. Reports have no sequence, so their time is used.
pub(super) fn header(report: &V0Report) -> ReportHeader {
    let millis = report.timestamp.unix_nanos() / 1_000_000;
    ReportHeader {
        node: report.node.clone(),
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
    }
}

/// Returns a pull for each ingest, continuing the live pulls of its node.
pub(super) fn to_pulls<'a>(
    report: &V0Report,
    live: impl Iterator<Item = &'a Arc<Pull>>,
    mut meters: RateMeters,
    now: Mono,
) -> ReportedPulls {
    let known: HashMap<Digest, &Arc<Pull>> = live.filter_map(by_digest).collect();
    let mut reported = ReportedPulls::default();
    for ingest in &report.ingests {
        let before = known.get(&ingest.digest).map(|pull| (***pull).clone());
        let Some(mut pull) = before.or_else(|| new_pull(&report.node, ingest, report.timestamp))
        else {
            continue;
        };
        apply_ingest(&mut pull, ingest);
        let mut meter = meters.remove(&ingest.digest).unwrap_or_default();
        meter.sample(pull.motion.downloaded, now);
        pull.motion.rate = meter.rate(now);
        reported.rate_meters.insert(ingest.digest.clone(), meter);
        reported.ids.insert(pull.id.clone());
        reported.pulls.push(pull);
    }
    reported
}

fn by_digest(pull: &Arc<Pull>) -> Option<(Digest, &Arc<Pull>)> {
    match &pull.id {
        PullId::Ingest { digest, .. } => Some((digest.clone(), pull)),
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
    pull.motion.downloaded = pull.motion.downloaded.max(ingest.bytes);
    let total = ingest.total.or(pull.total);
    pull.total = total.filter(|total| *total >= pull.motion.downloaded);
    pull.to_download = pull.total;
    pull.motion.percent = pull.total.map(|total| {
        let share = pull.motion.downloaded.fraction_of(total).unwrap_or_default();
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
    let known = before.map_or(Bytes::ZERO, |pull| pull.motion.downloaded);
    if now.total == Some(now.motion.downloaded) {
        return Bytes::ZERO;
    }
    now.motion.downloaded.saturating_sub(known)
}
