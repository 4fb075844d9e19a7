//! The rules that turn containerd's leases, ingests and snapshots into pulls. No I/O.
//!
//! [`Tracker::step`] takes one input and the time, and returns queries for containerd and
//! observations. The tracker remembers the last poll; an answer to a query evaluates that poll
//! again. `docs/containerd.md` describes containerd's behaviour, version by version.

mod advance;
mod chains;
mod documents;
mod layers;
mod lease_resources;
mod outcome;
mod output;
mod pull;
mod records;
mod view;

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use pulltrace_core::{Anomaly, Digest, LeaseId, Namespace, NodeName, Now, Observation, PullId};

use super::input::{Answer, Event, Input, Poll, Query, Reply, ServerInfo};
use super::version::Version;
use documents::Documents;
pub use lease_resources::is_pull_lease;
use lease_resources::parse_extract_key;
use output::OutputBuilder;
pub use output::TrackerOutput;
use pull::{Finished, TrackedPull};
use records::Records;
use view::{LeaseKey, View};

/// Time without activity after which a pull counts as dead. containerd itself cancels a pull after
/// five minutes without progress (since 1.7.10).
pub const INACTIVITY_TIMEOUT: Duration = Duration::from_mins(6);

/// Concurrent blob downloads of a node, from containerd 2.1 on.
const NODE_DOWNLOAD_SLOTS: u32 = 3;

/// The maximum number of tracked leases; further ones are skipped and counted as an anomaly.
const MAX_PULLS: usize = 1_024;

/// Time to find evidence of how a pull ended; after that its outcome is unknown.
const OUTCOME_TIMEOUT: Duration = Duration::from_secs(30);

/// Time to determine the age of the layers of a completed pull.
const LAYER_AGE_TIMEOUT: Duration = Duration::from_secs(3);

/// Derives observations from containerd's state.
#[derive(Debug)]
pub struct Tracker {
    node: NodeName,
    namespace: Namespace,
    platform: String,
    inactivity_timeout: Duration,
    server: Option<ServerInfo>,
    disconnected: bool,
    view: View,
    polls: u64,
    pulls: BTreeMap<LeaseKey, TrackedPull>,
    /// Leases that are not pulls, and leases left over from finished pulls.
    ignored: BTreeSet<LeaseKey>,
    documents: Documents,
    records: Records,
    output: OutputBuilder,
}

impl Tracker {
    /// Creates a tracker for one containerd namespace of one node.
    #[must_use]
    pub fn new(node: NodeName, namespace: Namespace) -> Self {
        Self {
            node,
            namespace,
            platform: host_platform(),
            inactivity_timeout: INACTIVITY_TIMEOUT,
            server: None,
            disconnected: false,
            view: View::default(),
            polls: 0,
            pulls: BTreeMap::new(),
            ignored: BTreeSet::new(),
            documents: Documents::default(),
            records: Records::default(),
            output: OutputBuilder::default(),
        }
    }

    /// Replaces the default [`INACTIVITY_TIMEOUT`].
    #[must_use]
    pub fn with_inactivity_timeout(mut self, inactivity_timeout: Duration) -> Self {
        self.inactivity_timeout = inactivity_timeout;
        self
    }

    /// Returns containerd's version, once connected.
    fn version(&self) -> Option<Version> {
        self.server.as_ref().map(|server| Version::parse(&server.version))
    }

    /// Processes one input.
    pub fn step(&mut self, input: &Input, now: Now) -> TrackerOutput {
        match input {
            Input::Connected(server) => self.on_connected(server, now),
            Input::Lost { .. } => self.on_lost(),
            Input::Poll(poll) => self.on_poll(poll, now),
            Input::Answer(answer) => self.on_answer(answer, now),
            Input::Event(event) => self.on_event(event),
        }
        std::mem::take(&mut self.output.collected)
    }

    /// Returns whether a pull is running or a written name is pending, so that frequent polls are
    /// worthwhile.
    #[must_use]
    pub fn is_busy(&self) -> bool {
        self.pulls.values().any(|pull| !pull.inactive) || !self.records.is_empty()
    }

    fn on_connected(&mut self, server: &ServerInfo, now: Now) {
        if self.disconnected || self.server.is_none() {
            self.output.observe(Observation::SourceRecovered);
        }
        self.disconnected = false;
        // The part after a `+` is build metadata.
        let version = server.version.trim_start_matches('v');
        let version = version.split('+').next().unwrap_or(version);
        self.output.observe(Observation::Runtime { version: format!("containerd {version}") });
        self.output.observe(Observation::DownloadSlots {
            per_node: Version::parse(&server.version)
                .has_shared_slots()
                .then_some(NODE_DOWNLOAD_SLOTS),
        });
        if let Some(started) = server.started_at {
            // A pull does not survive a restart of containerd, but its lease does.
            for (key, pull) in &mut self.pulls {
                if key.created_at < started && pull.finished.is_none() {
                    pull.finished =
                        Some(Finished { since: now, restarted: true, polls: self.polls });
                }
            }
        }
        self.server = Some(server.clone());
    }

    fn on_lost(&mut self) {
        self.disconnected = true;
        self.output.forget_queried();
        self.output.observe(Observation::SourceLost);
    }

    fn on_poll(&mut self, poll: &Poll, now: Now) {
        self.polls += 1;
        self.output.forget_queried();
        self.documents.on_poll();
        let started = self.server.as_ref().and_then(|server| server.started_at);
        let listed: BTreeSet<LeaseKey> = poll.leases.iter().map(LeaseKey::of).collect();
        self.ignored.retain(|key| listed.contains(key));
        for lease in
            poll.leases.iter().filter(|lease| is_pull_lease(lease) && lease.resources.is_some())
        {
            let key = LeaseKey::of(lease);
            if self.pulls.contains_key(&key) || self.ignored.contains(&key) {
                continue;
            }
            // A lease left over from before the restart. The outcome of its pull cannot be
            // determined.
            if started.is_some_and(|started| lease.created_at < started) {
                self.ignored.insert(key);
                continue;
            }
            let Ok(id) = lease.id.parse::<LeaseId>() else {
                self.output.report_anomaly(Anomaly::Unreadable);
                continue;
            };
            if self.pulls.len() >= MAX_PULLS {
                self.output.report_anomaly(Anomaly::Unreadable);
                break;
            }
            let id = PullId::Lease {
                node: self.node.clone(),
                namespace: self.namespace.clone(),
                lease: id,
                created: lease.created_at,
            };
            self.pulls.insert(key, TrackedPull::new(id, lease.created_at, now));
        }
        let pulls = &self.pulls;
        let name = |key: &LeaseKey| {
            pulls.get(key).filter(|pull| !pull.inactive).map(|pull| pull.id.clone())
        };
        self.view.update(poll, name, &mut self.output.collected.anomalies);
        for digest in self.view.ingests.keys() {
            if !self.view.content.contains(digest) {
                self.documents.forget_blob(digest);
            }
        }
        for (key, pull) in &mut self.pulls {
            pull.on_poll(&self.documents);
            if listed.contains(key) {
                pull.last_listed = now.node;
                if std::mem::take(&mut pull.chains.is_broken) {
                    self.output.report_anomaly(Anomaly::BrokenChain);
                }
            }
            if let (None, Some(lease_resources)) = (&pull.root, self.view.leases.get(key)) {
                pull.unrooted_content.clone_from(&lease_resources.content);
            }
            if pull.finished.is_none() && !listed.contains(key) {
                pull.finished = Some(Finished { since: now, restarted: false, polls: self.polls });
                for root in pull.possible_roots() {
                    self.documents.forget_labels(root);
                }
            }
        }
        self.records.query_pending(&mut self.output);
        self.advance(now);
    }

    fn on_answer(&mut self, answer: &Answer, now: Now) {
        if let Err(anomaly) = self.documents.on_answer(&answer.to, &answer.reply) {
            self.output.report_anomaly(anomaly);
        }
        match (&answer.to, &answer.reply) {
            (Query::Info { digest }, Reply::Info { size, .. })
                if self.pulls.values().any(|pull| pull.contradicts_size(digest, *size)) =>
            {
                self.output.report_anomaly(Anomaly::SizeChanged);
            }
            (Query::Stat { key, .. }, Reply::Snapshot { created_at, committed: true }) => {
                if let Ok(chain) = key.parse() {
                    self.pulls
                        .values_mut()
                        .for_each(|pull| pull.on_chain_present(&chain, *created_at));
                }
            }
            (Query::Stat { key, .. }, Reply::NotFound) => {
                if let Ok(chain) = key.parse::<Digest>() {
                    for pull in self.pulls.values_mut() {
                        pull.on_chain_absent(&chain);
                    }
                }
            }
            (Query::Usage { key, .. }, Reply::Usage { size }) => {
                if let Some(chain) = parse_extract_key(key) {
                    self.pulls.values_mut().for_each(|pull| pull.chains.on_usage(&chain, *size));
                }
            }
            (Query::RecordsOf { target }, Reply::Records { .. } | Reply::NotFound) => {
                let records = match &answer.reply {
                    Reply::Records { records } => records.as_slice(),
                    _ => &[],
                };
                for pull in self.pulls.values_mut().filter(|pull| pull.finished.is_some()) {
                    if pull.root.as_ref().is_some_and(|root| root.as_str() == target) {
                        pull.records = Some(records.to_vec());
                    }
                }
            }
            (Query::Record { name }, Reply::Records { records }) => {
                for at in self.records.take_pending(name) {
                    if let Some(record) = records.first() {
                        self.on_record_written(record, at, now);
                    }
                }
            }
            (Query::Record { name }, Reply::NotFound) => _ = self.records.take_pending(name),
            _ => {}
        }
        self.advance(now);
    }

    fn on_event(&mut self, event: &Event) {
        match event {
            Event::ImageWritten { name, at } => {
                if self.records.add(name, *at) {
                    self.output.report_anomaly(Anomaly::Unreadable);
                }
            }
            Event::SnapshotCommitted { key, name } if parse_extract_key(key).is_some() => {
                if let Ok(chain) = name.parse() {
                    for pull in self
                        .pulls
                        .values_mut()
                        .filter(|pull| pull.finished.is_none() && !pull.inactive)
                    {
                        pull.on_chain_committed(&chain, &mut self.output);
                    }
                }
            }
            Event::ContentCreated { digest, .. } => {
                if let Ok(digest) = digest.parse::<Digest>() {
                    let is_running =
                        |pull: &&mut TrackedPull| pull.reported_start && pull.finished.is_none() && !pull.inactive;
                    let mut wanted = false;
                    for pull in self.pulls.values_mut().filter(is_running) {
                        wanted |= pull.on_blob_created(&digest);
                    }
                    if wanted {
                        self.emit_blob(&digest, pulltrace_core::BlobObservation::Complete);
                    }
                }
            }
            Event::SnapshotCommitted { .. }
            | Event::SnapshotPrepared { .. }
            | Event::SnapshotRemoved { .. }
            | Event::ImageDeleted { .. }
            // The next poll shows the effect of these events.
            | Event::Gap => {}
        }
    }
}

/// Returns the platform of this node, which selects the manifest of an index.
fn host_platform() -> String {
    let architecture = match std::env::consts::ARCH {
        "x86_64" => "amd64",
        "aarch64" => "arm64",
        "x86" => "386",
        "powerpc64" => "ppc64le",
        other => other,
    };
    format!("{}/{architecture}", std::env::consts::OS)
}

#[cfg(test)]
mod tests;
