//! How a pull ended, by what it left behind.

use std::collections::BTreeSet;

use pulltrace_core::{Anomaly, Digest, Evidence, PullId};

use super::super::input::{Query, Record};
use super::Out;
use super::documents::{Documents, Known};
use super::pull::{Age, Over, Sight, Tracked};

/// What is known of how a pull ended.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Verdict {
    /// Something is to be asked first.
    Open,
    /// This, but how old its layers are is still being asked.
    Likely(Evidence),
    /// This.
    Certain(Evidence),
}

impl Tracked {
    /// The pull is over: what the evidence says of how it ended.
    pub(super) fn judge(&mut self, sight: Sight<'_>, out: &mut Out) -> Verdict {
        let Sight {
            view,
            documents,
            host,
            ..
        } = sight;
        let absent = match self.over {
            Some(Over {
                restarted: true, ..
            }) => Evidence::RuntimeRestarted,
            _ => Evidence::ImageAbsent,
        };
        let Some(root) = self.root.clone() else {
            return Verdict::Certain(absent);
        };
        match &self.records {
            None => {
                out.ask(Query::RecordsOf {
                    target: root.to_string(),
                });
                return Verdict::Open;
            }
            Some(records) if !records.iter().any(|record| self.may_have_written(record)) => {
                return Verdict::Certain(absent);
            }
            Some(_) => {}
        }
        if documents.info(&root).is_none() && !documents.is_missing(&root) {
            out.ask(Query::Info {
                digest: root.to_string(),
            });
            return Verdict::Open;
        }
        self.no_older_than_its_root(documents);
        self.say_names(documents, out);
        match self.image.take() {
            Some(image) => self.take_image(image, out),
            None => match documents.assemble(&root, &BTreeSet::new(), host, true) {
                (Known::Image(image), _) => self.take_image(image, out),
                (Known::Asking | Known::Sizes(_), asks) => {
                    out.ask_all(asks);
                    return Verdict::Open;
                }
                (Known::Nothing, _) => return Verdict::Certain(absent),
                (Known::Bad, _) => {
                    out.doubt(Anomaly::BadDocument);
                    return Verdict::Certain(absent);
                }
            },
        }
        let verdict = self.judge_chains(documents, out, absent);
        self.see_layers(None, view, documents, out);
        verdict
    }

    /// When a pull that no poll saw began is not known, but where it fetched its root, nothing of it is older.
    fn no_older_than_its_root(&mut self, documents: &Documents) {
        if !matches!(self.id, PullId::Record { .. }) {
            return;
        }
        let root = self.root.as_ref().and_then(|root| documents.info(root));
        if let Some(root) = root {
            self.created = self.created.max(root.created_at);
        }
    }

    /// A pull that succeeds writes its record, also where the image was there before: one that was written
    /// before the pull began is another's.
    fn may_have_written(&self, record: &Record) -> bool {
        match self.id {
            PullId::Lease { created, .. } => record.updated_at >= created,
            PullId::Record { .. } | PullId::Ingest { .. } | PullId::Announced { .. } => true,
        }
    }

    /// A record points to the root; the image is there where its last layer is unpacked.
    pub(super) fn judge_chains(
        &mut self,
        documents: &Documents,
        out: &mut Out,
        absent: Evidence,
    ) -> Verdict {
        let Some(known) = self.image.clone() else {
            return Verdict::Open;
        };
        let mut asked = false;
        let mut present = false;
        for (chains, config) in known.chains.iter().zip(&known.configs) {
            let Some((last, _)) = chains.last() else {
                return Verdict::Certain(Evidence::ImagePresent);
            };
            // A config names the chain that it was unpacked to, and who keeps it.
            match documents.info(config) {
                Some(info) => {
                    if let Some((snapshotter, _)) =
                        info.unpacked.iter().find(|(_, chain)| *chain == last)
                    {
                        present = true;
                        self.snapshotter.get_or_insert_with(|| snapshotter.clone());
                    }
                }
                None if documents.is_missing(config) => {}
                None => {
                    out.ask(Query::Info {
                        digest: config.to_string(),
                    });
                    asked = true;
                }
            }
            if self.done.contains_key(last) {
                present = true;
            } else if !present && self.snapshotter.is_some() && !self.absent.contains(last) {
                self.stat(last, out);
                asked = true;
            }
            let unknown = |(chain, _): &(Digest, Digest)| {
                !matches!(self.done.get(chain), Some(Age::Before | Age::Since))
            };
            asked |= present && self.snapshotter.is_some() && chains.iter().any(unknown);
        }
        match (present, asked) {
            (true, true) => Verdict::Likely(Evidence::ImagePresent),
            (true, false) => Verdict::Certain(Evidence::ImagePresent),
            (false, true) => Verdict::Open,
            (false, false) => Verdict::Certain(absent),
        }
    }
}
