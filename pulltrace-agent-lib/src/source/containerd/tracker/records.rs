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

/// A pull by digest writes that name twice, within this.
const SAME_PULL: Duration = Duration::from_millis(100);

/// A pull that no poll saw was shorter than this.
const SHORTEST_SEEN: Duration = Duration::from_secs(2);

#[derive(Debug, Default)]
pub(super) struct Records {
    waiting: Vec<(String, NodeTime)>,
    ended: VecDeque<Ended>,
}

#[derive(Debug)]
struct Ended {
    root: Digest,
    pull: PullId,
    end: Now,
    /// When the last of its names was written: the one with the digest.
    closed: Option<NodeTime>,
    /// When a name of it was last written.
    written: Option<NodeTime>,
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

    pub(super) fn ended(&mut self, root: Digest, pull: PullId, end: Now, closed: Option<NodeTime>) {
        if self.ended.len() >= MAX_ENDED {
            self.ended.pop_front();
        }
        self.ended.push_back(Ended {
            root,
            pull,
            end,
            closed,
            written: None,
        });
    }

    /// The pull of this root that a record belongs to which was written just after its end.
    ///
    /// The CRI plugin writes an image's tag, its id and its digest, in this order, once for each pull; what is
    /// written after the digest belongs to another pull of the same image.
    pub(super) fn just_ended(
        &mut self,
        root: &Digest,
        name: &str,
        at: NodeTime,
    ) -> Option<&PullId> {
        let ended = self
            .ended
            .iter_mut()
            .rev()
            .find(|ended| ended.root == *root)?;
        if at > ended.end.node.saturating_add(AFTERWARDS) {
            return None;
        }
        let is_id = name.starts_with("sha256:");
        let soon = ended.written.is_none_or(|last| at.since(last) < SAME_PULL);
        if ended.closed.is_some_and(|closed| at > closed) && !is_id && !(closes(name) && soon) {
            return None;
        }
        if closes(name) {
            ended.closed = Some(at);
        }
        ended.written = Some(at);
        Some(&ended.pull)
    }

    /// Before this, a pull that wrote a record at `at` and that no poll saw had not begun.
    pub(super) fn earliest_start(&self, root: &Digest, at: NodeTime) -> NodeTime {
        let last = self
            .ended
            .iter()
            .rev()
            .find(|ended| ended.root == *root)
            .map(|ended| ended.end.node);
        let start = at.saturating_sub(SHORTEST_SEEN);
        last.filter(|last| *last < at)
            .map_or(start, |last| start.max(last))
    }
}

/// Whether this is the last of the names that the CRI plugin writes for a pull: the one with the digest.
pub(super) fn closes(name: &str) -> bool {
    name.contains('@')
}
