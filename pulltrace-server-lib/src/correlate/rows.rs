//! The announced rows of a node that are shown, those of which it is over among them.
//!
//! A row that was live does not go without a word: it ends, or another one supersedes it.

use std::collections::BTreeMap;
use std::ops::Deref;
use std::sync::Arc;
use std::time::Duration;

use pulltrace_core::{ChangeKind, Links, Mono, Pull, PullId};

/// The most rows of a node that are over and kept; the one that has been over longest goes.
const MAX_OVER: usize = 1_000;

type Shown = (Arc<Pull>, Arc<Links>);

#[derive(Debug, Default)]
pub(super) struct Rows {
    shown: BTreeMap<PullId, Shown>,
    /// Since when those are over that are not found any more.
    over: BTreeMap<PullId, Mono>,
}

impl Deref for Rows {
    type Target = BTreeMap<PullId, Shown>;

    fn deref(&self) -> &Self::Target {
        &self.shown
    }
}

impl Rows {
    /// Whether one of them may change by time alone.
    pub(super) fn any_live(&self) -> bool {
        self.values().any(|(pull, _)| pull.outcome().is_none())
    }

    /// Whether one has been over for so long.
    pub(super) fn is_due(&self, now: Mono, ttl: Duration) -> bool {
        self.over.values().any(|since| now.since(*since) >= ttl)
    }

    /// Takes what was found now, and of each row that was not found any more how it ended; `None` where
    /// another one supersedes it. What changed is added to `news`, and what is no more to `gone`.
    pub(super) fn take(
        &mut self,
        found: BTreeMap<PullId, (Pull, Links)>,
        left: Vec<(PullId, Option<Pull>)>,
        (now, ttl): (Mono, Duration),
        (news, gone): (&mut BTreeMap<PullId, ChangeKind>, &mut Vec<PullId>),
    ) {
        for (id, ended) in left {
            let since = *self.over.entry(id.clone()).or_insert(now);
            match ended {
                Some(pull) if now.since(since) < ttl => {
                    if let Some((before, _)) = self.shown.get_mut(&id)
                        && **before != pull
                    {
                        *before = Arc::new(pull);
                        news.insert(id, ChangeKind::Ended);
                    }
                }
                _ => self.forget(id, gone),
            }
        }
        for (id, (pull, links)) in found {
            self.over.remove(&id);
            let before = self.shown.get(&id);
            if before.is_some_and(|(p, l)| **p == pull && **l == links) {
                continue;
            }
            let was = before.map(|(pull, _)| pull.outcome());
            let kind = match (was, pull.outcome()) {
                (Some(Some(_)), Some(_)) | (Some(None), None) => ChangeKind::Progressed,
                (_, Some(_)) => ChangeKind::Ended,
                (_, None) => ChangeKind::Started,
            };
            news.insert(id.clone(), kind);
            self.shown.insert(id, (Arc::new(pull), Arc::new(links)));
        }
        while self.over.len() > MAX_OVER {
            let oldest = self.over.iter().min_by_key(|(_, since)| **since);
            let Some(oldest) = oldest.map(|(id, _)| id.clone()) else {
                break;
            };
            news.remove(&oldest);
            self.forget(oldest, gone);
        }
    }

    fn forget(&mut self, id: PullId, gone: &mut Vec<PullId>) {
        self.over.remove(&id);
        self.shown.remove(&id);
        gone.push(id);
    }
}
