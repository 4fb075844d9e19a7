//! The rules by which containerd's leases, ingests and snapshots become pulls: without I/O.
//!
//! [`Tracker::step`] takes one input and the time and gives back what to ask containerd next and what was
//! observed. It remembers what the last poll showed; a step that is an answer looks at that again. How
//! containerd behaves, version by version, is written in `docs/containerd.md`.

mod advance;
mod documents;
mod holding;
mod layers;
mod pull;
mod records;
mod verdict;
mod view;

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use pulltrace_core::{Anomaly, Digest, LeaseId, Namespace, NodeName, Now, Observation, PullId};

use super::input::{Answer, Event, Input, Poll, Query, Reply, Server};
use documents::Documents;
use holding::extract_chain;
pub use holding::wants;
use pull::{Over, Tracked};
use records::Records;
use view::{Key, View};

/// A pull that has not moved for so long is dead, or its end is beyond knowing: a living one is ended by
/// containerd after five minutes without progress (since 1.7.10).
pub const SILENCE: Duration = Duration::from_mins(6);

/// How many blobs containerd fetches at once on the whole node, from 2.1 on.
const SHARED_SLOTS: u32 = 3;

/// Leases that are tracked; one more is left out and counted.
const MAX_PULLS: usize = 1_024;

/// Queries in one poll; beyond, they are asked in the next.
const MAX_QUERIES: usize = 1_024;

/// How long the evidence of an end is asked for before the outcome is given up as unknown.
const JUDGE_FOR: Duration = Duration::from_secs(30);

/// How long the ages of the layers of a pull that completed are asked for.
const DETAILS_FOR: Duration = Duration::from_secs(3);

/// Turns what containerd says into observations.
#[derive(Debug)]
pub struct Tracker {
    node: NodeName,
    namespace: Namespace,
    host: String,
    silence: Duration,
    server: Option<Server>,
    lost: bool,
    view: View,
    polls: u64,
    pulls: BTreeMap<Key, Tracked>,
    /// Leases of no pull, and of pulls that are over and left their lease behind.
    ignored: BTreeSet<Key>,
    documents: Documents,
    records: Records,
    out: Out,
}

/// What a step gives back.
#[derive(Debug, Default, PartialEq)]
#[non_exhaustive]
pub struct Step {
    /// What to ask containerd, soon: the next poll asks again for what stays unanswered.
    pub queries: Vec<Query>,
    /// What was observed.
    pub observations: Vec<Observation>,
    /// Inputs that cannot be true.
    pub anomalies: Vec<Anomaly>,
}

/// Collects what a step gives back; asks each thing once in a poll.
#[derive(Debug, Default)]
struct Out {
    step: Step,
    asked: BTreeSet<Query>,
}

impl Out {
    fn say(&mut self, observation: Observation) {
        self.step.observations.push(observation);
    }

    fn doubt(&mut self, anomaly: Anomaly) {
        self.step.anomalies.push(anomaly);
    }

    fn ask(&mut self, query: Query) {
        if self.asked.len() < MAX_QUERIES && self.asked.insert(query.clone()) {
            self.step.queries.push(query);
        }
    }

    fn ask_all(&mut self, queries: impl IntoIterator<Item = Query>) {
        queries.into_iter().for_each(|query| self.ask(query));
    }

    /// Takes back what was said since `from`.
    fn unsaid(&mut self, from: usize) -> Vec<Observation> {
        self.step.observations.split_off(from)
    }
}

impl Tracker {
    /// A tracker that has seen nothing yet, of one containerd namespace of one node.
    #[must_use]
    pub fn new(node: NodeName, namespace: Namespace) -> Self {
        Self {
            node,
            namespace,
            host: host_platform(),
            silence: SILENCE,
            server: None,
            lost: false,
            view: View::default(),
            polls: 0,
            pulls: BTreeMap::new(),
            ignored: BTreeSet::new(),
            documents: Documents::default(),
            records: Records::default(),
            out: Out::default(),
        }
    }

    /// The same, that takes a pull for dead after another time than [`SILENCE`].
    #[must_use]
    pub fn with_silence(mut self, silence: Duration) -> Self {
        self.silence = silence;
        self
    }

    /// Takes one input.
    pub fn step(&mut self, input: &Input, now: Now) -> Step {
        match input {
            Input::Connected(server) => self.connected(server, now),
            Input::Lost { .. } => self.lost(),
            Input::Poll(poll) => self.poll(poll, now),
            Input::Answer(answer) => self.answer(answer, now),
            Input::Event(event) => self.event(event),
        }
        std::mem::take(&mut self.out.step)
    }

    /// Whether a pull is going on, so that it is worth looking often.
    #[must_use]
    pub fn is_busy(&self) -> bool {
        self.pulls.values().any(|pull| !pull.silent) || !self.records.is_empty()
    }

    fn connected(&mut self, server: &Server, now: Now) {
        if self.lost || self.server.is_none() {
            self.out.say(Observation::SourceBack);
        }
        self.lost = false;
        // What stands behind a `+` is about the build of it.
        let version = server.version.trim_start_matches('v');
        let version = version.split('+').next().unwrap_or(version);
        self.out.say(Observation::Runtime {
            version: format!("containerd {version}"),
        });
        self.out.say(Observation::Slots {
            per_node: has_shared_slots(&server.version).then_some(SHARED_SLOTS),
        });
        if let Some(started) = server.started_at {
            // No pull outlives the containerd that did it, though its lease does.
            for ((created, _), pull) in &mut self.pulls {
                if *created < started && pull.over.is_none() {
                    pull.over = Some(Over {
                        since: now,
                        restarted: true,
                        polls: self.polls,
                    });
                }
            }
        }
        self.server = Some(server.clone());
    }

    fn lost(&mut self) {
        self.lost = true;
        self.out.asked.clear();
        self.out.say(Observation::SourceLost);
    }

    fn poll(&mut self, poll: &Poll, now: Now) {
        self.polls += 1;
        self.out.asked.clear();
        self.documents.polled();
        let started = self.server.as_ref().and_then(|server| server.started_at);
        let listed: BTreeSet<Key> = poll
            .leases
            .iter()
            .map(|lease| (lease.created_at, lease.id.clone()))
            .collect();
        self.ignored.retain(|key| listed.contains(key));
        for lease in poll
            .leases
            .iter()
            .filter(|lease| wants(lease) && lease.resources.is_some())
        {
            let key = (lease.created_at, lease.id.clone());
            if self.pulls.contains_key(&key) || self.ignored.contains(&key) {
                continue;
            }
            // What a containerd left behind that is no more: nobody can say what became of it.
            if started.is_some_and(|started| lease.created_at < started) {
                self.ignored.insert(key);
                continue;
            }
            let Ok(id) = lease.id.parse::<LeaseId>() else {
                self.out.doubt(Anomaly::Unreadable);
                continue;
            };
            if self.pulls.len() >= MAX_PULLS {
                self.out.doubt(Anomaly::Unreadable);
                break;
            }
            let id = PullId::Lease {
                node: self.node.clone(),
                namespace: self.namespace.clone(),
                lease: id,
                created: lease.created_at,
            };
            self.pulls
                .insert(key, Tracked::new(id, lease.created_at, now));
        }
        let pulls = &self.pulls;
        let name = |key: &Key| {
            pulls
                .get(key)
                .filter(|pull| !pull.silent)
                .map(|pull| pull.id.clone())
        };
        self.view.take(poll, name, &mut self.out.step.anomalies);
        for digest in self.view.ingests.keys() {
            if !self.view.content.contains(digest) {
                self.documents.forget(digest);
            }
        }
        for (key, pull) in &mut self.pulls {
            pull.count_poll(&self.documents);
            if listed.contains(key) {
                pull.listed = now.node;
                if std::mem::take(&mut pull.broken) {
                    self.out.doubt(Anomaly::BrokenChain);
                }
            }
            if let (None, Some(holding)) = (&pull.root, self.view.holdings.get(key)) {
                pull.held.clone_from(&holding.content);
            }
            if pull.over.is_none() && !listed.contains(key) {
                pull.over = Some(Over {
                    since: now,
                    restarted: false,
                    polls: self.polls,
                });
                for root in pull.roots() {
                    self.documents.forget_labels(root);
                }
            }
        }
        self.records.polled(&mut self.out);
        self.advance(now);
    }

    fn answer(&mut self, answer: &Answer, now: Now) {
        if let Err(anomaly) = self.documents.answer(&answer.to, &answer.reply) {
            self.out.doubt(anomaly);
        }
        match (&answer.to, &answer.reply) {
            (Query::Info { digest }, Reply::Info { size, .. })
                if self
                    .pulls
                    .values()
                    .any(|pull| pull.contradicts(digest, *size)) =>
            {
                self.out.doubt(Anomaly::SizeChanged);
            }
            (
                Query::Stat { key, .. },
                Reply::Snapshot {
                    created_at,
                    committed: true,
                },
            ) => {
                if let Ok(chain) = key.parse() {
                    self.pulls
                        .values_mut()
                        .for_each(|pull| pull.learn_chain(&chain, *created_at));
                }
            }
            (Query::Stat { key, .. }, Reply::NotFound) => {
                if let Ok(chain) = key.parse::<Digest>() {
                    for pull in self.pulls.values_mut() {
                        pull.chain_absent(&chain);
                    }
                }
            }
            (Query::Usage { key, .. }, Reply::Usage { size }) => {
                if let Some(chain) = extract_chain(key) {
                    self.pulls
                        .values_mut()
                        .for_each(|pull| pull.learn_usage(&chain, *size));
                }
            }
            (Query::RecordsOf { target }, Reply::Records { .. } | Reply::NotFound) => {
                let records = match &answer.reply {
                    Reply::Records { records } => records.as_slice(),
                    _ => &[],
                };
                for pull in self.pulls.values_mut().filter(|pull| pull.over.is_some()) {
                    if pull
                        .root
                        .as_ref()
                        .is_some_and(|root| root.as_str() == target)
                    {
                        pull.records = Some(records.to_vec());
                    }
                }
            }
            (Query::Record { name }, Reply::Records { records }) => {
                for at in self.records.answered(name) {
                    if let Some(record) = records.first() {
                        self.written(record, at, now);
                    }
                }
            }
            (Query::Record { name }, Reply::NotFound) => _ = self.records.answered(name),
            _ => {}
        }
        self.advance(now);
    }

    fn event(&mut self, event: &Event) {
        match event {
            Event::ImageWritten { name, at } => {
                if self.records.note(name, *at) {
                    self.out.doubt(Anomaly::Unreadable);
                }
            }
            Event::SnapshotCommitted { key, name } if extract_chain(key).is_some() => {
                if let Ok(chain) = name.parse() {
                    for pull in self
                        .pulls
                        .values_mut()
                        .filter(|pull| pull.over.is_none() && !pull.silent)
                    {
                        pull.chain_committed(&chain, &mut self.out);
                    }
                }
            }
            Event::ContentCreated { digest, .. } => {
                if let Ok(digest) = digest.parse::<Digest>() {
                    let lives =
                        |pull: &&mut Tracked| pull.began && pull.over.is_none() && !pull.silent;
                    let mut wanted = false;
                    for pull in self.pulls.values_mut().filter(lives) {
                        wanted |= pull.note_created(&digest);
                    }
                    if wanted {
                        self.say_blob(&digest, pulltrace_core::BlobSight::Whole);
                    }
                }
            }
            Event::SnapshotCommitted { .. }
            | Event::SnapshotPrepared { .. }
            | Event::SnapshotRemoved { .. }
            | Event::ImageDeleted { .. }
            // The next poll, which an event hastens, tells the rest.
            | Event::Gap => {}
        }
    }
}

/// From 2.1 on, pulls share the slots of a node.
fn has_shared_slots(version: &str) -> bool {
    minor(version) >= Some((2, 1))
}

/// Whether the CRI plugin leaves a name alone that is there already, but for the one that was pulled: from 1.6.30
/// and 1.7.14 on (seen on 1.6.20, 1.7.35, 2.0 and 2.4, and in the source).
fn keeps_names(version: &str) -> bool {
    let patch = numbers(version).nth(2).flatten().unwrap_or_default();
    match minor(version) {
        Some((1, 6)) => patch >= 30,
        Some((1, 7)) => patch >= 14,
        version => version >= Some((2, 0)),
    }
}

/// Major and minor of a version.
fn minor(version: &str) -> Option<(u32, u32)> {
    let mut numbers = numbers(version);
    Some((numbers.next().flatten()?, numbers.next().flatten()?))
}

/// The numbers of a version, as far as they are some.
fn numbers(version: &str) -> impl Iterator<Item = Option<u32>> {
    version.trim_start_matches('v').split('.').map(|part| {
        part.split(|c: char| !c.is_ascii_digit())
            .next()
            .and_then(|digits| digits.parse().ok())
    })
}

/// The platform that this node runs: of several in one index, the one that is pulled.
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
