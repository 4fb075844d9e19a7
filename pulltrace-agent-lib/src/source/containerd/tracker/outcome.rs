//! Determines how a pull ended from the records, labels and snapshots that remain.

use std::collections::BTreeSet;

use pulltrace_core::{Anomaly, EndEvidence, PullId};

use super::super::input::{ImageRecord, Query};
use super::chains::ChainAge;
use super::documents::{Chain, Documents, ImageState};
use super::output::OutputBuilder;
use super::pull::{Finished, PullContext, TrackedPull};

/// The result of evaluating a finished pull.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum EndAssessment {
    /// Queries have to be answered first.
    Pending,
    /// The outcome is known; the age of layers is still being queried.
    Likely(EndEvidence),
    /// The outcome is final.
    Certain(EndEvidence),
}

impl TrackedPull {
    /// Evaluates the evidence of how the finished pull ended.
    pub(super) fn evaluate_end(
        &mut self,
        context: PullContext<'_>,
        out: &mut OutputBuilder,
    ) -> EndAssessment {
        let PullContext { view, documents, platform, .. } = context;
        let absent = match self.finished {
            Some(Finished { restarted: true, .. }) => EndEvidence::RuntimeRestarted,
            _ => EndEvidence::ImageAbsent,
        };
        let Some(root) = self.root.clone() else {
            return EndAssessment::Certain(absent);
        };
        match &self.records {
            None => {
                out.query(Query::RecordsOf { target: root.to_string() });
                return EndAssessment::Pending;
            }
            Some(records) if !records.iter().any(|record| self.may_have_written(record)) => {
                return EndAssessment::Certain(absent);
            }
            Some(_) => {}
        }
        if documents.info(&root).is_none() && !documents.is_missing(&root) {
            out.query(Query::Info { digest: root.to_string() });
            return EndAssessment::Pending;
        }
        self.raise_start_to_root(documents);
        self.emit_root(documents, out);
        match self.image.take() {
            Some(image) => self.set_image(image, out),
            None => match documents.assemble(&root, &BTreeSet::new(), platform, true) {
                (ImageState::Complete(image), _) => self.set_image(image, out),
                (ImageState::Pending | ImageState::SizesOnly(_), asks) => {
                    out.query_all(asks);
                    return EndAssessment::Pending;
                }
                (ImageState::Unavailable, _) => return EndAssessment::Certain(absent),
                (ImageState::Invalid, _) => {
                    out.report_anomaly(Anomaly::BadDocument);
                    return EndAssessment::Certain(absent);
                }
            },
        }
        let assessment = self.evaluate_chains(documents, out, absent);
        self.emit_layers(None, view, documents, out);
        assessment
    }

    /// Raises the estimated start of an unpolled pull to the creation time of its root, because
    /// nothing that the pull fetched is older.
    fn raise_start_to_root(&mut self, documents: &Documents) {
        if !matches!(self.id, PullId::Record { .. }) {
            return;
        }
        let root = self.root.as_ref().and_then(|root| documents.info(root));
        if let Some(root) = root {
            self.created_at = self.created_at.max(root.created_at);
        }
    }

    /// A successful pull writes its record even if the image was already present. A record that was
    /// last written before the pull started belongs to another pull.
    fn may_have_written(&self, record: &ImageRecord) -> bool {
        match self.id {
            PullId::Lease { created, .. } => record.updated_at >= created,
            PullId::Record { .. } | PullId::Ingest { .. } | PullId::Announced { .. } => true,
        }
    }

    /// Checks whether the image is present, given a record that points to its root: the chain of
    /// its last layer must exist.
    pub(super) fn evaluate_chains(
        &mut self,
        documents: &Documents,
        out: &mut OutputBuilder,
        absent: EndEvidence,
    ) -> EndAssessment {
        let Some(image) = self.image.clone() else {
            return EndAssessment::Pending;
        };
        let mut queried = false;
        let mut present = false;
        for (chains, config) in image.chains.iter().zip(&image.configs) {
            let Some(last) = chains.last().map(|chain| &chain.id) else {
                return EndAssessment::Certain(EndEvidence::ImagePresent);
            };
            // A label on the config names the chain it was unpacked to, and the snapshotter.
            match documents.info(config) {
                Some(info) => {
                    if let Some((snapshotter, _)) =
                        info.unpacked_chains.iter().find(|(_, chain)| *chain == last)
                    {
                        present = true;
                        self.snapshotter.get_or_insert_with(|| snapshotter.clone());
                    }
                }
                None if documents.is_missing(config) => {}
                None => {
                    out.query(Query::Info { digest: config.to_string() });
                    queried = true;
                }
            }
            if self.chains.unpacked.contains_key(last) {
                present = true;
            } else if !present && self.snapshotter.is_some() && !self.chains.absent.contains(last) {
                self.query_chain(last, out);
                queried = true;
            }
            let unknown = |chain: &Chain| {
                !matches!(
                    self.chains.unpacked.get(&chain.id),
                    Some(ChainAge::Preexisting | ChainAge::New)
                )
            };
            queried |= present && self.snapshotter.is_some() && chains.iter().any(unknown);
        }
        match (present, queried) {
            (true, true) => EndAssessment::Likely(EndEvidence::ImagePresent),
            (true, false) => EndAssessment::Certain(EndEvidence::ImagePresent),
            (false, true) => EndAssessment::Pending,
            (false, false) => EndAssessment::Certain(absent),
        }
    }
}
