//! What the last poll showed, across all leases: layers are judged by digest, whoever holds them.

use std::collections::{BTreeMap, BTreeSet};

use pulltrace_core::{Anomaly, Digest, NodeTime, PullId};

use super::super::input::{Ingest, Poll};
use super::holding::{Holding, read_ingest};

/// Ingests that are read; what is beyond is left out and counted.
const MAX_INGESTS: usize = 20_000;

/// What tells a lease from all others: ids are random, and may come again.
pub(super) type Key = (NodeTime, String);

#[derive(Debug, Default)]
pub(super) struct View {
    pub(super) ingests: BTreeMap<Digest, Seen>,
    pub(super) holdings: BTreeMap<Key, Holding>,
    /// Blobs that some lease holds whole. Ingests are listed first, so where both are, this is right.
    pub(super) content: BTreeSet<Digest>,
    /// Chains that are being unpacked, and for which pull.
    pub(super) extracts: BTreeMap<Digest, Option<PullId>>,
    pub(super) committed: BTreeSet<Digest>,
    /// Which pull writes a blob: the newest whose lease lists it, since an older one may be dead.
    pub(super) writers: BTreeMap<Digest, Option<PullId>>,
    /// The snapshotter that pulls of this namespace use, once one was seen.
    pub(super) snapshotter: Option<String>,
}

/// An ingest whose numbers make sense.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Seen {
    pub(super) offset: u64,
    /// `None` where the writer did not say.
    pub(super) total: Option<u64>,
    pub(super) started_at: NodeTime,
    pub(super) updated_at: NodeTime,
}

impl View {
    /// Takes a poll; `pull` names the pull of a lease, where it may be one.
    pub(super) fn take(
        &mut self,
        poll: &Poll,
        pull: impl Fn(&Key) -> Option<PullId>,
        anomalies: &mut Vec<Anomaly>,
    ) {
        let snapshotter = self.snapshotter.take();
        *self = Self {
            snapshotter,
            ..Self::default()
        };
        if poll.ingests.len() > MAX_INGESTS {
            anomalies.push(Anomaly::Unreadable);
        }
        for ingest in poll.ingests.iter().take(MAX_INGESTS) {
            let Some((_, digest)) = read_ingest(&ingest.reference) else {
                continue;
            };
            match Seen::of(ingest) {
                // Two references of one blob: the one that is further is the one that is written.
                Some(seen)
                    if self
                        .ingests
                        .get(&digest)
                        .is_none_or(|other| other.offset < seen.offset) =>
                {
                    self.ingests.insert(digest, seen);
                }
                Some(_) => {}
                None => anomalies.push(Anomaly::Unreadable),
            }
        }
        for lease in &poll.leases {
            let Some(resources) = &lease.resources else {
                continue;
            };
            let holding = Holding::of(resources);
            if holding.unreadable > 0 {
                anomalies.push(Anomaly::Unreadable);
            }
            self.holdings
                .insert((lease.created_at, lease.id.clone()), holding);
        }
        // In the order of their age, so that the newest has the last word.
        for (key, holding) in &self.holdings {
            let pull = pull(key);
            self.content.extend(holding.content.iter().cloned());
            self.committed.extend(holding.committed.iter().cloned());
            self.extracts.extend(
                holding
                    .extracts
                    .keys()
                    .map(|chain| (chain.clone(), pull.clone())),
            );
            self.writers.extend(
                holding
                    .ingests
                    .keys()
                    .map(|digest| (digest.clone(), pull.clone())),
            );
            if pull.is_some() && (!holding.extracts.is_empty() || !holding.committed.is_empty()) {
                self.snapshotter.clone_from(&holding.snapshotter);
            }
        }
    }
}

impl Seen {
    fn of(ingest: &Ingest) -> Option<Self> {
        let offset = u64::try_from(ingest.offset).ok()?;
        let total = u64::try_from(ingest.total).ok()?;
        if total > 0 && offset > total {
            return None;
        }
        Some(Self {
            offset,
            total: (total > 0).then_some(total),
            started_at: ingest.started_at,
            updated_at: ingest.updated_at,
        })
    }
}
