//! Image records as events tell them: they name pulls, and show those that were shorter than a poll.

use std::collections::VecDeque;
use std::time::Duration;

use pulltrace_core::{Digest, NodeTime, Now, PullId};

use super::super::input::Query;
use super::Out;

/// Written names that wait to be looked up; one more is left out and counted.
const MAX_WAITING: usize = 256;

/// Ended pulls that are remembered for the records that are written after them.
const MAX_ENDED: usize = 256;

/// The CRI plugin writes an image's other names within some milliseconds after the pull.
const AFTERWARDS: Duration = Duration::from_millis(500);

/// A pull that no poll saw was shorter than this.
const SHORTEST_SEEN: Duration = Duration::from_secs(2);

#[derive(Debug, Default)]
pub(super) struct Records {
    waiting: Vec<(String, NodeTime)>,
    ended: VecDeque<(Digest, PullId, Now)>,
}

impl Records {
    pub(super) fn is_empty(&self) -> bool {
        self.waiting.is_empty()
    }

    /// Whether a record was written whose target is not known yet.
    pub(super) fn has_waiting(&self) -> bool {
        !self.waiting.is_empty()
    }

    /// A name was written; `true` where there is no room to remember it.
    pub(super) fn note(&mut self, name: &str, at: NodeTime) -> bool {
        if self.waiting.iter().any(|(known, _)| known == name) {
            return false;
        }
        let full = self.waiting.len() >= MAX_WAITING || name.len() > 1_024;
        if !full {
            self.waiting.push((name.to_owned(), at));
        }
        full
    }

    /// A poll was taken: what it shows is as new as the names, so they can be told to whom they belong.
    pub(super) fn polled(&self, out: &mut Out) {
        out.ask_all(
            self.waiting
                .iter()
                .map(|(name, _)| Query::Record { name: name.clone() }),
        );
    }

    /// A name was looked up: when it was written.
    pub(super) fn answered(&mut self, name: &str) -> Vec<NodeTime> {
        let at = self
            .waiting
            .iter()
            .filter(|(known, _)| known == name)
            .map(|(_, at)| *at)
            .collect();
        self.waiting.retain(|(known, _)| known != name);
        at
    }

    pub(super) fn ended(&mut self, root: Digest, pull: PullId, now: Now) {
        if self.ended.len() >= MAX_ENDED {
            self.ended.pop_front();
        }
        self.ended.push_back((root, pull, now));
    }

    /// The pull of this root that ended just before a record was written.
    pub(super) fn just_ended(&self, root: &Digest, at: NodeTime) -> Option<&PullId> {
        let mut ended = self.ended.iter().rev().filter(|(other, ..)| other == root);
        ended
            .find(|(_, _, end)| at <= end.node.saturating_add(AFTERWARDS))
            .map(|(_, pull, _)| pull)
    }

    /// Before this, a pull that wrote a record at `at` and that no poll saw had not begun.
    pub(super) fn earliest_start(&self, root: &Digest, at: NodeTime) -> NodeTime {
        let last = self
            .ended
            .iter()
            .rev()
            .find(|(other, ..)| other == root)
            .map(|(_, _, end)| end.node);
        let start = at.saturating_sub(SHORTEST_SEEN);
        last.filter(|last| *last < at)
            .map_or(start, |last| start.max(last))
    }
}
