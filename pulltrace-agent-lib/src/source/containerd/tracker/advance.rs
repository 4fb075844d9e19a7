//! Looking at every pull with what is known now: what lives, what is over, and whose a written name is.

use std::collections::BTreeSet;
use std::time::Duration;

use pulltrace_core::{
    Anomaly, BlobSight, Digest, Evidence, ImageRef, NodeTime, Now, Observation, PullId,
};

use super::super::input::Record;
use super::pull::{Over, Sight, Tracked};
use super::records::{Ended, Fit, Wrote, is_id};
use super::verdict::Verdict;
use super::view::Key;
use super::{DETAILS_FOR, JUDGE_FOR, MAX_PULLS, Out, Tracker, has_shared_slots, keeps_names};

impl Tracker {
    /// Looks at every pull with what is known now.
    pub(super) fn advance(&mut self, now: Now) {
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
            let mut written = holding.ingests.keys();
            if pull.began
                && !pull.silent
                && written.any(|digest| is_taken_over(pull, self.view.writers.get(digest)))
            {
                self.out.say(silent(pull));
                self.ignored.insert(key.clone());
                continue;
            }
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
            let waits = self
                .server
                .as_ref()
                .is_some_and(|server| has_shared_slots(&server.version))
                && pull.waits_for_slot(holding, &self.view);
            let still = now.node.since(pull.moved.node) > self.silence && !waits;
            if pull.began && !was_silent && !pull.silent && still {
                pull.silent = true;
                self.out.say(silent(pull));
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
            if let (Some(root), None) = (&pull.root, pull.layers().next()) {
                said.extend(
                    Tracked::blob_sight(&self.view, root).map(|sight| (root.clone(), sight)),
                );
            }
            for layer in pull
                .layers()
                .filter(|layer| seen.insert(layer.digest.clone()))
            {
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

    pub(super) fn say_blob(&mut self, digest: &Digest, sight: BlobSight) {
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
                pull.created.max(pull.id.at())
            } else {
                over.node
            };
            let completed = evidence == Evidence::ImagePresent;
            self.out.say(Observation::Ended {
                pull: pull.id.clone(),
                evidence,
                at,
            });
            if let Some(root) = pull.root {
                self.records.ended(Ended {
                    root,
                    pull: pull.id,
                    over: over.node,
                    end: now.node,
                    completed,
                    wrote: pull.wrote,
                });
            }
        }
        if pull.over.is_some_and(|over| over.restarted) {
            self.ignored.insert(key.clone());
        }
        let wanted = self
            .pulls
            .values()
            .flat_map(|pull| {
                let layers = pull.layers().map(|layer| &layer.digest);
                pull.root.iter().chain(layers)
            })
            .cloned()
            .collect();
        self.documents.keep_infos(&wanted);
    }

    /// An image record was written at `at`: whose pull was that?
    pub(super) fn written(&mut self, record: &Record, at: NodeTime, now: Now) {
        let Ok(root) = record.target.parse::<Digest>() else {
            self.out.doubt(Anomaly::Unreadable);
            return;
        };
        if is_id(&record.name) {
            return;
        }
        let name = image_name(&record.name);
        match self.writer(&root, &record.name, at) {
            Some(Writer::Tracked(key)) => {
                let Some(pull) = self.pulls.get_mut(&key) else {
                    return;
                };
                pull.wrote.note(&record.name, at);
                pull.root = Some(root);
                pull.names.extend(name.clone());
                let pull = pull.began.then(|| pull.id.clone());
                self.name(pull, name);
                return;
            }
            Some(Writer::Ended(pull)) => {
                self.name(Some(pull), name);
                return;
            }
            None => {}
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
        pull.wrote.note(&record.name, at);
        pull.over = Some(Over {
            since: now,
            restarted: false,
            polls: self.polls,
        });
        self.pulls.insert((at, record.name.clone()), pull);
    }

    fn name(&mut self, pull: Option<PullId>, name: Option<ImageRef>) {
        if let (Some(pull), Some(name)) = (pull, name) {
            self.out.say(Observation::Named { pull, name });
        }
    }

    /// Which pull that is known wrote this name at this time; `None` where it was one that no poll saw.
    ///
    /// The name was written when the pull was over or about to be: so those that are over come first.
    fn writer(&mut self, root: &Digest, name: &str, at: NodeTime) -> Option<Writer> {
        /// The list of a poll may be so much older than the poll's time.
        const POLL_TAKES: Duration = Duration::from_millis(100);
        let keeps = self
            .server
            .as_ref()
            .is_some_and(|server| keeps_names(&server.version));
        for wanted in [Fit::Its, Fit::Possible] {
            let fits = |wrote: &Wrote| wrote.fit(name, at, keeps) == Some(wanted);
            let tracked = |is_over: bool| {
                let same = |pull: &Tracked| {
                    pull.roots().any(|known| known == root)
                        && !pull.silent
                        && pull.over.is_some() == is_over
                };
                let mut pulls = self.pulls.iter();
                let found = pulls.find(|(_, pull)| same(pull) && fits(&pull.wrote));
                found.map(|(key, _)| Writer::Tracked(key.clone()))
            };
            if let Some(writer) = tracked(true) {
                return Some(writer);
            }
            let mut ended = self.records.just_ended(root, at);
            if let Some(ended) = ended.find(|ended| fits(&ended.wrote)) {
                ended.wrote.note(name, at);
                return Some(Writer::Ended(ended.pull.clone()));
            }
            drop(ended);
            if let Some(writer) = tracked(false) {
                return Some(writer);
            }
        }
        // A pull of which nothing but its start was seen: the record says what it was. It was written between
        // the last poll that saw the pull and the first that did not.
        let nameless = |pull: &Tracked| {
            let over = pull.over.filter(|over| !over.restarted);
            pull.began
                && pull.root.is_none()
                && over.is_some_and(|over| at <= over.since.node)
                && at >= pull.listed.saturating_sub(POLL_TAKES)
        };
        let mut pulls = self.pulls.iter();
        let found = pulls.find(|(_, pull)| nameless(pull));
        found.map(|(key, _)| Writer::Tracked(key.clone()))
    }
}

/// Who wrote the name of an image.
enum Writer {
    Tracked(Key),
    Ended(PullId),
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
            // When a pull began that no poll saw is known where it fetched its root; else it is as good as over.
            let at = match &pull.id {
                PullId::Record { at, .. } => info
                    .map(|info| info.created_at)
                    .filter(|fetched| *fetched >= pull.created)
                    .unwrap_or(*at),
                PullId::Lease { .. } | PullId::Ingest { .. } | PullId::Announced { .. } => {
                    pull.created
                }
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
            // Other pulls may have given the image other names meanwhile.
            .filter(|record| record.updated_at >= since && !pull.wrote.has_name());
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

/// The end of a pull that does not move any more.
fn silent(pull: &Tracked) -> Observation {
    Observation::Ended {
        pull: pull.id.clone(),
        evidence: Evidence::Silent,
        at: pull.moved.node,
    }
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

/// The name of an image record; `None` of those that only repeat the config's digest.
fn image_name(name: &str) -> Option<ImageRef> {
    if is_id(name) { None } else { name.parse().ok() }
}
