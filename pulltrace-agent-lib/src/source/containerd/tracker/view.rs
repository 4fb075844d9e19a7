//! An index of the last poll across all leases. Layers are looked up by digest, whichever lease
//! holds them.

use std::collections::{BTreeMap, BTreeSet};

use pulltrace_core::{Anomaly, Digest, NodeTime, PullId};

use super::super::input::{Ingest, Lease, Poll};
use super::lease_resources::{LeaseResources, parse_ingest_ref};

/// The maximum number of ingests; further ones are skipped and counted as an anomaly.
const MAX_INGESTS: usize = 20_000;

/// Identifies a lease. Ids are random and may repeat, so the creation time is part of the key.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct LeaseKey {
    pub(super) created_at: NodeTime,
    pub(super) id: String,
}

impl LeaseKey {
    pub(super) fn of(lease: &Lease) -> Self {
        Self { created_at: lease.created_at, id: lease.id.clone() }
    }
}

#[derive(Debug, Default)]
pub(super) struct View {
    pub(super) ingests: BTreeMap<Digest, IngestState>,
    pub(super) leases: BTreeMap<LeaseKey, LeaseResources>,
    /// Complete blobs held by any lease. They take precedence over ingests, which are listed first.
    pub(super) content: BTreeSet<Digest>,
    /// Chains being unpacked, and by which pull.
    pub(super) extracts: BTreeMap<Digest, Option<PullId>>,
    pub(super) committed: BTreeSet<Digest>,
    /// The pull that writes each blob: the newest one whose lease lists it, because an older one
    /// may be dead.
    pub(super) writers: BTreeMap<Digest, Option<PullId>>,
    /// The snapshotter used by pulls in this namespace, once known.
    pub(super) snapshotter: Option<String>,
}

/// A validated ingest.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct IngestState {
    pub(super) offset: u64,
    /// `None` if the writer did not specify the size.
    pub(super) total: Option<u64>,
    pub(super) started_at: NodeTime,
    pub(super) updated_at: NodeTime,
}

impl View {
    /// Replaces the view by a new poll. `pull` returns the id of the pull of a lease, if there is
    /// one.
    pub(super) fn update(
        &mut self,
        poll: &Poll,
        pull: impl Fn(&LeaseKey) -> Option<PullId>,
        anomalies: &mut Vec<Anomaly>,
    ) {
        let snapshotter = self.snapshotter.take();
        *self = Self { snapshotter, ..Self::default() };
        if poll.ingests.len() > MAX_INGESTS {
            anomalies.push(Anomaly::Unreadable);
        }
        for ingest in poll.ingests.iter().take(MAX_INGESTS) {
            let Some((_, digest)) = parse_ingest_ref(&ingest.reference) else {
                continue;
            };
            match IngestState::from_ingest(ingest) {
                // If two refs write the same blob, the more advanced one is used.
                Some(seen)
                    if self.ingests.get(&digest).is_none_or(|other| other.offset < seen.offset) =>
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
            let lease_resources = LeaseResources::from_resources(resources);
            if lease_resources.unreadable > 0 {
                anomalies.push(Anomaly::Unreadable);
            }
            self.leases.insert(LeaseKey::of(lease), lease_resources);
        }
        // Ordered by age, so that the newest lease overwrites older ones.
        for (key, resources) in &self.leases {
            let pull = pull(key);
            self.content.extend(resources.content.iter().cloned());
            self.committed.extend(resources.committed.iter().cloned());
            self.extracts
                .extend(resources.extracts.keys().map(|chain| (chain.clone(), pull.clone())));
            self.writers
                .extend(resources.ingests.keys().map(|digest| (digest.clone(), pull.clone())));
            if pull.is_some() && (!resources.extracts.is_empty() || !resources.committed.is_empty())
            {
                self.snapshotter.clone_from(&resources.snapshotter);
            }
        }
    }
}

impl IngestState {
    fn from_ingest(ingest: &Ingest) -> Option<Self> {
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
