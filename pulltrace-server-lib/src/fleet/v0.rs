//! What is shown of what an agent of version 0.1 tells: a row for each layer that is fetched.
//!
//! Such an agent tells of no end, and calls an ingest whole when it is gone, however that went. So
//! nothing of it is ever completed or unpacked, and what it tells of no more ends as unknown.

use std::collections::HashMap;
use std::sync::Arc;

use pulltrace_core::wire::check::{V0Ingest, V0Report};
use pulltrace_core::wire::v1::{AgentInfo, ReportAck};
use pulltrace_core::{
    Bytes, Digest, Limits, Mono, NodeName, NodeTime, Now, Observation, Percent, Phase, Pull,
    PullId, PullTable, RateMeter,
};

use super::node::Node;
use super::{Fleet, Heard, Judged, Refusal, Told};
use crate::change::Changes;
use crate::clock::ServerNow;

/// What is said of an agent that says nothing of itself. Any other one was started later.
const INSTANCE: &str = "v0.1";

/// The namespace that such an agent watches, unless it was told otherwise, which it does not say.
const NAMESPACE: &str = "k8s.io";

/// How often such an agent reports.
const INTERVAL_MS: u64 = 1_000;

impl Fleet {
    pub(super) fn take_v0(
        &mut self,
        report: V0Report,
        now: ServerNow,
        changes: &mut Changes,
    ) -> Result<ReportAck, Refusal> {
        let millis = report.timestamp.unix_nanos() / 1_000_000;
        let heard = Heard {
            node: report.node,
            sent: report.timestamp,
            sequence: u64::try_from(millis).unwrap_or(0),
            full: true,
            agent: AgentInfo {
                version: "0.1".to_owned(),
                instance: INSTANCE.to_owned(),
                started_at: NodeTime::from_unix(0, 0),
                interval_ms: INTERVAL_MS,
            },
            runtime: None,
        };
        let lost_after = self.all.limits.lost_after;
        let newer = self.nodes.get(&heard.node).is_some_and(|node| {
            let believed = &node.agents.believed;
            !believed.is_of(&heard.agent) && !believed.is_silent(now.mono, lost_after)
        });
        if newer {
            self.all.stats.counters.reports_conflict += 1;
            return Err(Refusal::Conflict(heard.node));
        }
        let standing = match self.judge(&heard, now)? {
            Judged::Late(ack) => return Ok(ack),
            Judged::Taken(standing) => standing,
        };
        let node = self.nodes.get_mut(&heard.node);
        let (pulls, meters) = pulls(node, &heard, &report.ingests, now.mono);
        let told = Told {
            ids: pulls.iter().map(|pull| pull.id.clone()).collect(),
            pulls,
            missing: 0,
        };
        let ack = self.commit(&heard, standing, told, Vec::new(), now, changes);
        if let Some(node) = self.nodes.get_mut(&heard.node) {
            node.meters = meters;
        }
        Ok(ack)
    }
}

/// How fast each ingest comes.
pub(super) type Meters = HashMap<Digest, RateMeter>;

/// A pull for each ingest: the same as before where it was told before.
fn pulls(
    node: Option<&mut Node>,
    heard: &Heard,
    ingests: &[V0Ingest],
    now: Mono,
) -> (Vec<Pull>, Meters) {
    let (mut known, mut meters) = (HashMap::new(), Meters::new());
    if let Some(node) = node {
        known = node.live().filter_map(by_digest).collect();
        meters = std::mem::take(&mut node.meters);
    }
    let mut kept = Meters::with_capacity(ingests.len());
    let mut pulls = Vec::with_capacity(ingests.len());
    for ingest in ingests {
        let before = known.get(&ingest.digest);
        let before = before.map(|pull: &Arc<Pull>| (**pull).clone());
        let Some(mut pull) = before.or_else(|| begun(&heard.node, ingest, heard.sent)) else {
            continue;
        };
        advance(&mut pull, ingest);
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

/// The pull of an ingest of which nothing is known but that it is there.
fn begun(node: &NodeName, ingest: &V0Ingest, sent: NodeTime) -> Option<Pull> {
    let at = ingest.started_at.unwrap_or(sent);
    let pull = PullId::Ingest {
        node: node.clone(),
        namespace: NAMESPACE.parse().ok()?,
        digest: ingest.digest.clone(),
        since: at,
    };
    let now = Now {
        mono: Mono::default(),
        node: at,
    };
    let changes = PullTable::new(Limits::default()).apply(&[Observation::Began { pull, at }], now);
    changes.first().map(|change| (*change.pull).clone())
}

/// What is told now. Bytes never go back; that all of them are here says nothing.
fn advance(pull: &mut Pull, ingest: &V0Ingest) {
    pull.phase = Phase::Downloading;
    (pull.waiting_on, pull.stale_since) = (None, None);
    pull.downloaded = pull.downloaded.max(ingest.bytes);
    let total = ingest.total.or(pull.total);
    pull.total = total.filter(|total| *total >= pull.downloaded);
    pull.to_download = pull.total;
    pull.percent = pull.total.map(|total| {
        let share = pull.downloaded.share_of(total).unwrap_or_default();
        Percent::from_share(share).min(Percent::ALMOST)
    });
    if let Some(name) = &ingest.name
        && pull.names.is_empty()
    {
        pull.repository = Some(name.repository());
        pull.names.push(name.clone());
    }
}

/// The bytes that came since `before`. The step to all of them does not count: it may be no bytes.
pub(super) fn grown(before: Option<&Pull>, now: &Pull) -> Bytes {
    let known = before.map_or(Bytes::ZERO, |pull| pull.downloaded);
    if now.total == Some(now.downloaded) {
        return Bytes::ZERO;
    }
    now.downloaded.saturating_sub(known)
}
