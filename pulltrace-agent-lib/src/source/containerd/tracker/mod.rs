//! The rules by which containerd's leases, ingests and snapshots become pulls: without I/O.
//!
//! [`Tracker::step`] takes one input and the time and gives back what to ask containerd next and what was
//! observed. It remembers what the last poll showed; a step that is an answer looks at that again. How
//! containerd behaves, version by version, is written in `docs/containerd.md`.

mod documents;
mod holding;
mod pull;
mod records;
mod view;

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use pulltrace_core::{
    Anomaly, Digest, Evidence, ImageRef, LeaseId, Namespace, NodeName, Now, Observation, PullId,
};

use super::input::{Answer, Event, Input, Poll, Query, Reply, Server};
use documents::Documents;
use holding::extract_chain;
pub use holding::wants;
use pull::{Over, Sight, Tracked, Verdict};
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
            Input::Event(event) => self.event(event, now),
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
            if pull.over.is_none() && !listed.contains(key) {
                pull.over = Some(Over {
                    since: now,
                    restarted: false,
                    polls: self.polls,
                });
                pull.forget_config(&mut self.documents);
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
                    self.pulls
                        .values_mut()
                        .for_each(|pull| pull.chain_absent(&chain));
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

    fn event(&mut self, event: &Event, now: Now) {
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
            | Event::Gap => {}
        }
        // The next poll, which an event hastens, tells the rest.
        let _ = now;
    }

    /// Looks at every pull with what is known now.
    fn advance(&mut self, now: Now) {
        let mut ended = Vec::new();
        let recent = self.records.has_waiting();
        let sight = Sight {
            view: &self.view,
            documents: &self.documents,
            host: &self.host,
            silence: self.silence,
            now,
        };
        for (key, pull) in &mut self.pulls {
            if let Some(over) = pull.over {
                let waits = pull.root.is_none() && (recent || self.polls <= over.polls);
                if waits {
                    continue;
                }
                if let Some(evidence) = end(pull, over, sight, &mut self.out) {
                    ended.push((key.clone(), evidence));
                }
                continue;
            }
            let Some(holding) = self.view.holdings.get(key) else {
                continue;
            };
            let was_silent = pull.silent;
            if !pull.look(holding, sight, &mut self.out) {
                if pull.began {
                    self.out.doubt(Anomaly::NoPull);
                    let (pull, at) = (pull.id.clone(), now.node);
                    self.out.say(Observation::Ended {
                        pull,
                        evidence: Evidence::Unseen,
                        at,
                    });
                }
                self.ignored.insert(key.clone());
                continue;
            }
            let taken_over = holding
                .ingests
                .keys()
                .any(|digest| is_taken_over(pull, self.view.writers.get(digest)));
            let waits = self
                .server
                .as_ref()
                .is_some_and(|server| has_shared_slots(&server.version))
                && pull.waits_for_slot(holding, &self.view);
            if pull.began
                && !was_silent
                && !pull.silent
                && (taken_over || (now.node.since(pull.moved.node) > self.silence && !waits))
            {
                pull.silent = true;
                let (pull, at) = (pull.id.clone(), pull.moved.node);
                self.out.say(Observation::Ended {
                    pull,
                    evidence: Evidence::Silent,
                    at,
                });
            }
        }
        let ignored = &self.ignored;
        self.pulls.retain(|key, _| !ignored.contains(key));
        for (key, evidence) in ended {
            self.finish(&key, evidence, now);
        }
        self.say_blobs();
        if self.pulls.is_empty() {
            self.documents.keep_infos(&BTreeSet::new());
        }
    }

    fn say_blobs(&mut self) {
        let live = || {
            self.pulls
                .values()
                .filter(|pull| pull.began && pull.over.is_none() && !pull.silent)
        };
        let mut said = Vec::new();
        let mut seen = BTreeSet::new();
        for pull in live() {
            if let (Some(root), None) = (&pull.root, &pull.image) {
                said.extend(
                    Tracked::blob_sight(&self.view, root).map(|sight| (root.clone(), sight)),
                );
            }
            let layers = pull.image.iter().flat_map(|known| &known.image.layers);
            for layer in layers.filter(|layer| seen.insert(layer.digest.clone())) {
                let digest = &layer.digest;
                let whole = self.view.content.contains(digest);
                if whole
                    && !live().all(|pull| {
                        !pull.has_layer(digest) || pull.knows_age(digest, &self.documents)
                    })
                {
                    continue;
                }
                let strange = self
                    .view
                    .ingests
                    .get(digest)
                    .and_then(|seen| seen.total)
                    .is_some_and(|total| total != layer.size.0);
                if !whole && strange {
                    self.out.step.anomalies.push(Anomaly::SizeChanged);
                    continue;
                }
                said.extend(
                    Tracked::blob_sight(&self.view, digest).map(|sight| (digest.clone(), sight)),
                );
            }
        }
        for (digest, sight) in said {
            self.say_blob(&digest, sight);
        }
    }

    fn say_blob(&mut self, digest: &Digest, sight: pulltrace_core::BlobSight) {
        self.out.say(Observation::Blob {
            namespace: self.namespace.clone(),
            digest: digest.clone(),
            sight,
        });
    }

    fn finish(&mut self, key: &Key, evidence: Evidence, now: Now) {
        let Some(pull) = self.pulls.remove(key) else {
            return;
        };
        let over = pull.over.map_or(now, |over| over.since);
        if pull.began {
            let at = if matches!(pull.id, PullId::Record { .. }) {
                pull.created.max(record_time(&pull.id))
            } else {
                over.node
            };
            self.out.say(Observation::Ended {
                pull: pull.id.clone(),
                evidence,
                at,
            });
            if let Some(root) = &pull.root {
                self.records.ended(root.clone(), pull.id.clone(), now);
            }
        }
        if pull.over.is_some_and(|over| over.restarted) {
            self.ignored.insert(key.clone());
        }
        let wanted = self
            .pulls
            .values()
            .flat_map(|pull| {
                pull.root.iter().chain(
                    pull.image
                        .iter()
                        .flat_map(|known| known.image.layers.iter().map(|l| &l.digest)),
                )
            })
            .cloned()
            .collect();
        self.documents.keep_infos(&wanted);
    }

    /// An image record was written at `at`: whose pull was that?
    fn written(&mut self, record: &super::input::Record, at: pulltrace_core::NodeTime, now: Now) {
        let Ok(root) = record.target.parse::<Digest>() else {
            self.out.doubt(Anomaly::Unreadable);
            return;
        };
        let name = image_name(&record.name);
        let named = |pull: &PullId, name: ImageRef| Observation::Named {
            pull: pull.clone(),
            name,
        };
        let same = |pull: &&mut Tracked| pull.root.as_ref() == Some(&root) && !pull.silent;
        let mut known = self.pulls.values_mut().filter(same).peekable();
        if known.peek().is_some() {
            for pull in known {
                pull.names.extend(name.clone());
                if pull.began
                    && let Some(name) = &name
                {
                    self.out.say(named(&pull.id, name.clone()));
                }
            }
            return;
        }
        // A pull that ended before its root was seen: the record says what it was.
        let nameless = |pull: &&mut Tracked| {
            pull.root.is_none() && pull.over.is_some_and(|over| !over.restarted)
        };
        if let Some(pull) = self.pulls.values_mut().find(nameless) {
            pull.root = Some(root);
            pull.names.extend(name);
            return;
        }
        if let Some(ended) = self.records.just_ended(&root, at) {
            if let Some(name) = name {
                let observation = named(ended, name);
                self.out.say(observation);
            }
            return;
        }
        if self.pulls.len() >= MAX_PULLS {
            self.out.doubt(Anomaly::Unreadable);
            return;
        }
        let id = PullId::Record {
            node: self.node.clone(),
            namespace: self.namespace.clone(),
            root: root.clone(),
            at,
        };
        let mut pull = Tracked::new(id, self.records.earliest_start(&root, at), now);
        pull.root = Some(root);
        pull.names.extend(name);
        pull.over = Some(Over {
            since: now,
            restarted: false,
            polls: self.polls,
        });
        self.pulls.insert((at, record.name.clone()), pull);
    }
}

/// Says what the evidence of an end is, once it is known. A pull that was never said to have begun is said
/// only where its image came from a registry.
fn end(pull: &mut Tracked, over: Over, sight: Sight<'_>, out: &mut Out) -> Option<Evidence> {
    let documents = sight.documents;
    if pull.root.is_none() && !pull.began {
        return Some(Evidence::Unseen);
    }
    let from = out.step.observations.len();
    let judged_for = sight.now.mono.since(over.since.mono);
    let evidence = match pull.judge(sight, out) {
        Verdict::Certain(evidence) => Some(evidence),
        Verdict::Likely(evidence) => (judged_for > DETAILS_FOR).then_some(evidence),
        Verdict::Open => (judged_for > JUDGE_FOR).then_some(Evidence::Unseen),
    };
    if !pull.began {
        let said = out.unsaid(from);
        let info = pull.root.as_ref().and_then(|root| documents.info(root));
        if evidence.is_some() && info.is_some_and(|info| !info.sources.is_empty()) {
            pull.began = true;
            let began = info
                .map(|info| info.created_at)
                .filter(|at| *at >= pull.created)
                .unwrap_or(pull.created);
            let at = if matches!(pull.id, PullId::Record { .. }) {
                began
            } else {
                pull.created
            };
            out.say(Observation::Began {
                pull: pull.id.clone(),
                at,
            });
            said.into_iter()
                .for_each(|observation| out.say(observation));
        }
    }
    if evidence.is_some() && pull.began {
        let since = pull.created;
        let records = pull
            .records
            .iter()
            .flatten()
            .filter(|record| record.updated_at >= since);
        let names: BTreeSet<ImageRef> = records
            .filter_map(|record| image_name(&record.name))
            .chain(pull.names.clone())
            .collect();
        for name in names {
            out.say(Observation::Named {
                pull: pull.id.clone(),
                name,
            });
        }
    }
    evidence
}

/// Whether a newer pull writes a blob of an older one that had stopped before: at most one writes a blob.
fn is_taken_over(pull: &Tracked, writer: Option<&Option<PullId>>) -> bool {
    const STOPPED: Duration = Duration::from_secs(30);
    match writer {
        Some(Some(PullId::Lease { created, .. })) => {
            *created > pull.created && created.since(pull.moved.node) > STOPPED
        }
        _ => false,
    }
}

fn record_time(id: &PullId) -> pulltrace_core::NodeTime {
    match id {
        PullId::Record { at, .. } => *at,
        PullId::Lease { created, .. } => *created,
    }
}

/// The name of an image record; `None` of those that only repeat the config's digest.
fn image_name(name: &str) -> Option<ImageRef> {
    if name.starts_with("sha256:") {
        None
    } else {
        name.parse().ok()
    }
}

/// From 2.1 on, pulls share the slots of a node.
fn has_shared_slots(version: &str) -> bool {
    let mut numbers = version.trim_start_matches('v').split('.').map(|part| {
        part.split(|c: char| !c.is_ascii_digit())
            .next()
            .and_then(|digits| digits.parse::<u32>().ok())
    });
    match (numbers.next().flatten(), numbers.next().flatten()) {
        (Some(major), Some(minor)) => (major, minor) >= (2, 1),
        _ => false,
    }
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
