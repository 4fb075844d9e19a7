//! Evaluates all pulls after an input: running pulls, finished pulls, and newly written image
//! names.

use std::collections::BTreeSet;
use std::time::Duration;

use pulltrace_core::{
    Anomaly, BlobObservation, Digest, EndEvidence, ImageRef, NodeTime, Now, Observation, PullFact,
    PullId,
};

use super::super::input::ImageRecord;
use super::super::version::Version;
use super::outcome::EndAssessment;
use super::output::OutputBuilder;
use super::pull::{Finished, PullContext, TrackedPull};
use super::records::{EndedPull, NameMatch, WrittenNames, is_config_id};
use super::view::LeaseKey;
use super::{LAYER_AGE_TIMEOUT, MAX_PULLS, OUTCOME_TIMEOUT, Tracker};

impl Tracker {
    /// Evaluates all pulls with the current state.
    pub(super) fn advance(&mut self, now: Now) {
        let mut ended = Vec::new();
        let recent = self.records.has_pending();
        let has_shared_slots = self.version().is_some_and(Version::has_shared_slots);
        let context = PullContext {
            view: &self.view,
            documents: &self.documents,
            platform: &self.platform,
            inactivity_timeout: self.inactivity_timeout,
            now,
        };
        for (key, pull) in &mut self.pulls {
            if let Some(finished) = pull.finished {
                let waits = pull.root.is_none() && (recent || self.polls <= finished.polls);
                if waits {
                    continue;
                }
                if let Some(evidence) = determine_end(pull, finished, context, &mut self.output) {
                    ended.push((key.clone(), evidence));
                }
                continue;
            }
            let Some(resources) = self.view.leases.get(key) else {
                continue;
            };
            let mut written = resources.ingests.keys();
            if pull.reported_start
                && !pull.inactive
                && written.any(|digest| is_taken_over(pull, self.view.writers.get(digest)))
            {
                pull.emit(inactive_end(pull), &mut self.output);
                self.ignored.insert(key.clone());
                continue;
            }
            let was_inactive = pull.inactive;
            if !pull.evaluate_lease(resources, context, &mut self.output) {
                if pull.reported_start {
                    self.output.report_anomaly(Anomaly::NoPull);
                    let evidence = EndEvidence::Unobserved;
                    pull.emit(PullFact::Ended { evidence, at: now.node }, &mut self.output);
                }
                self.ignored.insert(key.clone());
                continue;
            }
            let waits = has_shared_slots && pull.waits_for_slot(resources, &self.view);
            let idle = now.node.since(pull.activity.last.node) > self.inactivity_timeout && !waits;
            if pull.reported_start && !was_inactive && !pull.inactive && idle {
                pull.inactive = true;
                pull.emit(inactive_end(pull), &mut self.output);
            }
        }
        let ignored = &self.ignored;
        self.pulls.retain(|key, _| !ignored.contains(key));
        for (key, evidence) in ended {
            self.finish(&key, evidence, now);
        }
        self.emit_blobs();
        if self.pulls.is_empty() {
            self.documents.retain_infos(&BTreeSet::new());
        }
    }

    fn emit_blobs(&mut self) {
        let live = || {
            self.pulls
                .values()
                .filter(|pull| pull.reported_start && pull.finished.is_none() && !pull.inactive)
        };
        let mut observations = Vec::new();
        let mut seen = BTreeSet::new();
        for pull in live() {
            if let (Some(root), None) = (&pull.root, pull.layers().next()) {
                observations.extend(
                    TrackedPull::blob_observation(&self.view, root)
                        .map(|sight| (root.clone(), sight)),
                );
            }
            for layer in pull.layers().filter(|layer| seen.insert(layer.digest.clone())) {
                let digest = &layer.digest;
                let complete = self.view.content.contains(digest);
                if complete
                    && !live().all(|pull| {
                        !pull.has_layer(digest) || pull.knows_blob_age(digest, &self.documents)
                    })
                {
                    continue;
                }
                let size_differs = self
                    .view
                    .ingests
                    .get(digest)
                    .and_then(|seen| seen.total)
                    .is_some_and(|total| total != layer.size.0);
                if !complete && size_differs {
                    self.output.collected.anomalies.push(Anomaly::SizeChanged);
                    continue;
                }
                observations.extend(
                    TrackedPull::blob_observation(&self.view, digest)
                        .map(|sight| (digest.clone(), sight)),
                );
            }
        }
        for (digest, sight) in observations {
            self.emit_blob(&digest, sight);
        }
    }

    pub(super) fn emit_blob(&mut self, digest: &Digest, observed: BlobObservation) {
        self.output.observe(Observation::Blob {
            namespace: self.namespace.clone(),
            digest: digest.clone(),
            observed,
        });
    }

    fn finish(&mut self, key: &LeaseKey, evidence: EndEvidence, now: Now) {
        let Some(pull) = self.pulls.remove(key) else {
            return;
        };
        let finished_at = pull.finished.map_or(now, |over| over.since);
        if pull.reported_start {
            let at = if matches!(pull.id, PullId::Record { .. }) {
                pull.created_at.max(pull.id.at())
            } else {
                finished_at.node
            };
            let completed = evidence == EndEvidence::ImagePresent;
            pull.emit(PullFact::Ended { evidence, at }, &mut self.output);
            if let Some(root) = pull.root {
                self.records.add_ended(EndedPull {
                    root,
                    pull: pull.id,
                    finished_at: finished_at.node,
                    reported_at: now.node,
                    completed,
                    written_names: pull.written_names,
                });
            }
        }
        if pull.finished.is_some_and(|over| over.restarted) {
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
        self.documents.retain_infos(&wanted);
    }

    /// Attributes an image record that was written at `at` to a pull.
    pub(super) fn on_record_written(&mut self, record: &ImageRecord, at: NodeTime, now: Now) {
        let Ok(root) = record.target.parse::<Digest>() else {
            self.output.report_anomaly(Anomaly::Unreadable);
            return;
        };
        if is_config_id(&record.name) {
            return;
        }
        let name = image_name(&record.name);
        match self.find_writer(&root, &record.name, at) {
            Some(NameWriter::Tracked(key)) => {
                let Some(pull) = self.pulls.get_mut(&key) else {
                    return;
                };
                pull.written_names.record(&record.name, at);
                pull.root = Some(root);
                pull.names.extend(name.clone());
                let pull = pull.reported_start.then(|| pull.id.clone());
                self.emit_name(pull, name);
                return;
            }
            Some(NameWriter::Ended(pull)) => {
                self.emit_name(Some(pull), name);
                return;
            }
            None => {}
        }
        if self.pulls.len() >= MAX_PULLS {
            self.output.report_anomaly(Anomaly::Unreadable);
            return;
        }
        let id = PullId::Record {
            node: self.node.clone(),
            namespace: self.namespace.clone(),
            root: root.clone(),
            at,
        };
        let mut pull = TrackedPull::new(id, self.records.earliest_start(&root, at), now);
        pull.root = Some(root);
        pull.names.extend(name);
        pull.written_names.record(&record.name, at);
        pull.finished = Some(Finished { since: now, restarted: false, polls: self.polls });
        self.pulls.insert(LeaseKey { created_at: at, id: record.name.clone() }, pull);
    }

    fn emit_name(&mut self, pull: Option<PullId>, name: Option<ImageRef>) {
        if let (Some(pull), Some(name)) = (pull, name) {
            self.output.observe(PullFact::Named(name).of(pull));
        }
    }

    /// Returns the known pull that wrote this name at this time; `None` for an unpolled pull.
    ///
    /// A name is written shortly before or after the end of a pull, so finished pulls are checked
    /// first.
    fn find_writer(&mut self, root: &Digest, name: &str, at: NodeTime) -> Option<NameWriter> {
        /// The lists of a poll may be this much older than its time.
        const MAX_POLL_DELAY: Duration = Duration::from_millis(100);
        let skips_existing = self.version().is_some_and(Version::skips_existing_names);
        for wanted in [NameMatch::Expected, NameMatch::Possible] {
            let matches =
                |wrote: &WrittenNames| wrote.match_name(name, at, skips_existing) == Some(wanted);
            let tracked = |is_over: bool| {
                let same = |pull: &TrackedPull| {
                    pull.possible_roots().any(|known| known == root)
                        && !pull.inactive
                        && pull.finished.is_some() == is_over
                };
                let mut pulls = self.pulls.iter();
                let found = pulls.find(|(_, pull)| same(pull) && matches(&pull.written_names));
                found.map(|(key, _)| NameWriter::Tracked(key.clone()))
            };
            if let Some(writer) = tracked(true) {
                return Some(writer);
            }
            let mut ended = self.records.recently_ended(root, at);
            if let Some(ended) = ended.find(|ended| matches(&ended.written_names)) {
                ended.written_names.record(name, at);
                return Some(NameWriter::Ended(ended.pull.clone()));
            }
            drop(ended);
            if let Some(writer) = tracked(false) {
                return Some(writer);
            }
        }
        // A pull of which only the start was observed: the record identifies its image. The record
        // was written between the last poll that listed the lease and the first that did not.
        let nameless = |pull: &TrackedPull| {
            let over = pull.finished.filter(|over| !over.restarted);
            pull.reported_start
                && pull.root.is_none()
                && over.is_some_and(|over| at <= over.since.node)
                && at >= pull.last_listed.saturating_sub(MAX_POLL_DELAY)
        };
        let mut pulls = self.pulls.iter();
        let found = pulls.find(|(_, pull)| nameless(pull));
        found.map(|(key, _)| NameWriter::Tracked(key.clone()))
    }
}

/// The pull that wrote an image name.
enum NameWriter {
    Tracked(LeaseKey),
    Ended(PullId),
}

/// Determines how a finished pull ended; `None` while that is open.
///
/// A pull whose start was not reported is reported now, if its image came from a registry.
fn determine_end(
    pull: &mut TrackedPull,
    finished: Finished,
    context: PullContext<'_>,
    out: &mut OutputBuilder,
) -> Option<EndEvidence> {
    let documents = context.documents;
    if pull.root.is_none() && !pull.reported_start {
        return Some(EndEvidence::Unobserved);
    }
    let from = out.collected.observations.len();
    let elapsed = context.now.mono.since(finished.since.mono);
    let evidence = match pull.evaluate_end(context, out) {
        EndAssessment::Certain(evidence) => Some(evidence),
        EndAssessment::Likely(evidence) => (elapsed > LAYER_AGE_TIMEOUT).then_some(evidence),
        EndAssessment::Pending => (elapsed > OUTCOME_TIMEOUT).then_some(EndEvidence::Unobserved),
    };
    if !pull.reported_start {
        let observations = out.split_off_observations(from);
        let info = pull.root.as_ref().and_then(|root| documents.info(root));
        if evidence.is_some() && info.is_some_and(|info| !info.repositories.is_empty()) {
            pull.reported_start = true;
            // The start of an unpolled pull is known only if it fetched its root. Otherwise the
            // time of the record is used.
            let at = match &pull.id {
                PullId::Record { at, .. } => info
                    .map(|info| info.created_at)
                    .filter(|fetched| *fetched >= pull.created_at)
                    .unwrap_or(*at),
                PullId::Lease { .. } | PullId::Ingest { .. } | PullId::Announced { .. } => {
                    pull.created_at
                }
            };
            pull.emit(PullFact::Started { at }, out);
            observations.into_iter().for_each(|observation| out.observe(observation));
        }
    }
    if evidence.is_some() && pull.reported_start {
        let since = pull.created_at;
        let records = pull
            .records
            .iter()
            .flatten()
            // Other pulls may have added names meanwhile.
            .filter(|record| record.updated_at >= since && !pull.written_names.has_name());
        let names: BTreeSet<ImageRef> = records
            .filter_map(|record| image_name(&record.name))
            .chain(pull.names.clone())
            .collect();
        for name in names {
            pull.emit(PullFact::Named(name), out);
        }
    }
    evidence
}

/// Returns the end of a pull that is inactive.
fn inactive_end(pull: &TrackedPull) -> PullFact {
    PullFact::Ended { evidence: EndEvidence::Inactive, at: pull.activity.last.node }
}

/// Returns whether a newer pull writes a blob of an older one that had been inactive before. A blob
/// has at most one writer.
fn is_taken_over(pull: &TrackedPull, writer: Option<&Option<PullId>>) -> bool {
    const STOPPED: Duration = Duration::from_secs(30);
    match writer {
        Some(Some(PullId::Lease { created, .. })) => {
            *created > pull.created_at && created.since(pull.activity.last.node) > STOPPED
        }
        _ => false,
    }
}

/// Parses the name of an image record; `None` for names that only repeat the digest of the config.
fn image_name(name: &str) -> Option<ImageRef> {
    if is_config_id(name) { None } else { name.parse().ok() }
}
