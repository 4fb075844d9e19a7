//! The announced rows of a node that are shown, including ended ones.
//!
//! A live row does not vanish silently: it ends, or another row supersedes it.

use std::collections::BTreeMap;
use std::ops::Deref;
use std::sync::Arc;
use std::time::Duration;

use pulltrace_core::{ChangeKind, Links, Mono, Pull, PullId};

/// Maximum ended rows of a node; the one that ended first is evicted.
const MAX_ENDED: usize = 1_000;

type LinkedPull = (Arc<Pull>, Arc<Links>);

#[derive(Debug, Default)]
pub(super) struct AnnouncedRows {
    rows: BTreeMap<PullId, LinkedPull>,
    /// When rows that no longer exist ended.
    ended_since: BTreeMap<PullId, Mono>,
}

impl Deref for AnnouncedRows {
    type Target = BTreeMap<PullId, LinkedPull>;

    fn deref(&self) -> &Self::Target {
        &self.rows
    }
}

impl AnnouncedRows {
    /// Reports whether a row may change just because time passes.
    pub(super) fn has_live(&self) -> bool {
        self.values().any(|(pull, _)| pull.outcome().is_none())
    }

    /// Reports whether an ended row has outlived the TTL.
    pub(super) fn has_expired(&self, now: Mono, ttl: Duration) -> bool {
        self.ended_since.values().any(|since| now.since(*since) >= ttl)
    }

    /// Applies the rows of an evaluation. `missing` has each row that no longer exists, with its
    /// end, or with `None` if another row supersedes it. Changed rows are added to `changed`,
    /// dropped ones to `removed`.
    pub(super) fn update(
        &mut self,
        found: BTreeMap<PullId, (Pull, Links)>,
        missing: Vec<(PullId, Option<Pull>)>,
        (now, ttl): (Mono, Duration),
        (changed, removed): (&mut BTreeMap<PullId, ChangeKind>, &mut Vec<PullId>),
    ) {
        for (id, ended) in missing {
            let since = *self.ended_since.entry(id.clone()).or_insert(now);
            match ended {
                Some(pull) if now.since(since) < ttl => {
                    if let Some((before, _)) = self.rows.get_mut(&id)
                        && **before != pull
                    {
                        *before = Arc::new(pull);
                        changed.insert(id, ChangeKind::Ended);
                    }
                }
                _ => self.remove(id, removed),
            }
        }
        for (id, (pull, links)) in found {
            self.ended_since.remove(&id);
            let before = self.rows.get(&id);
            if before.is_some_and(|(p, l)| **p == pull && **l == links) {
                continue;
            }
            let was = before.map(|(pull, _)| pull.outcome());
            let kind = match (was, pull.outcome()) {
                (Some(Some(_)), Some(_)) | (Some(None), None) => ChangeKind::Progressed,
                (_, Some(_)) => ChangeKind::Ended,
                (_, None) => ChangeKind::Started,
            };
            changed.insert(id.clone(), kind);
            self.rows.insert(id, (Arc::new(pull), Arc::new(links)));
        }
        while self.ended_since.len() > MAX_ENDED {
            let oldest = self.ended_since.iter().min_by_key(|(_, since)| **since);
            let Some(oldest) = oldest.map(|(id, _)| id.clone()) else {
                break;
            };
            changed.remove(&oldest);
            self.remove(oldest, removed);
        }
    }

    fn remove(&mut self, id: PullId, removed: &mut Vec<PullId>) {
        self.ended_since.remove(&id);
        self.rows.remove(&id);
        removed.push(id);
    }
}
