//! Image records as events tell them: they name pulls, and show those that were shorter than a poll.

use std::collections::{BTreeMap, VecDeque};
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

/// When each name was last seen to be written, by one pull.
pub(super) type Names = BTreeMap<String, NodeTime>;

/// What is known of the names of a pull when it ends.
#[derive(Debug)]
pub(super) struct Ending {
    pub(super) root: Digest,
    pub(super) pull: PullId,
    pub(super) created: NodeTime,
    pub(super) end: Now,
    /// When it wrote the last of its names, as an event told.
    pub(super) told: Option<NodeTime>,
    /// The same of other pulls of the image that are over.
    pub(super) another: Option<NodeTime>,
    /// When the last of the image's names was written that are there now.
    pub(super) found: Option<NodeTime>,
    /// Names that are there already are not written again, but for the tag.
    pub(super) keeps: bool,
    pub(super) names: Names,
}

#[derive(Debug)]
struct Ended {
    root: Digest,
    pull: PullId,
    end: Now,
    /// When the last of its names was written: the one with the digest.
    closed: Option<NodeTime>,
    /// An event told of that.
    told: bool,
    /// The name with the digest was there before and stayed: from 1.7 on, the tag is then all it writes.
    tag_only: bool,
    names: Names,
}

impl Ended {
    /// Whether it may have written this name at this time.
    fn may_write(&self, name: &str, at: NodeTime) -> bool {
        let closed = self.closed.is_some_and(|closed| at > closed);
        let again = self.names.get(name);
        if is_id(name) {
            true
        } else if closes(name) {
            !closed || again.is_some_and(|last| at.since(*last) < SAME_PULL)
        } else {
            // A pull has one tag.
            let tagged = self.names.keys().any(|name| !is_id(name) && !closes(name));
            !closed && (!tagged || (again.is_some() && !self.tag_only))
        }
    }

    /// Whether its last name is this one, of which no event told yet.
    fn closed_by(&self, name: &str, at: NodeTime) -> bool {
        let just = |closed| at >= closed && at.since(closed) < SAME_PULL;
        closes(name) && !self.told && self.closed.is_some_and(just)
    }
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

    /// A pull ended.
    pub(super) fn ended(&mut self, ending: Ending) {
        if self.ended.len() >= MAX_ENDED {
            self.ended.pop_front();
        }
        let before = self.ended.iter().filter(|ended| ended.root == ending.root);
        let another = before.filter_map(|ended| ended.closed).max();
        let another = another.max(ending.another);
        // What closed another pull of the image does not close this one.
        let own = |at: &NodeTime| *at >= ending.created && Some(*at) > another;
        let closed = ending.told.or(ending.found.filter(own));
        self.ended.push_back(Ended {
            root: ending.root,
            pull: ending.pull,
            end: ending.end,
            closed,
            told: ending.told.is_some(),
            tag_only: ending.keeps && ending.found.is_some() && closed.is_none(),
            names: ending.names,
        });
    }

    /// The pull of this root that a record belongs to which was written just after its end.
    ///
    /// The CRI plugin writes an image's tag, its id and its digest, in this order; what is written after the
    /// digest belongs to another pull of the same image. containerd 1.6 writes them for each pull, and the tag
    /// twice; from 1.7 on id and digest are written where they are not there yet.
    pub(super) fn just_ended(
        &mut self,
        root: &Digest,
        name: &str,
        at: NodeTime,
    ) -> Option<&PullId> {
        let same = |ended: &&mut Ended| {
            ended.root == *root && at <= ended.end.node.saturating_add(AFTERWARDS)
        };
        let mut candidates: Vec<_> = self.ended.iter_mut().filter(same).collect();
        let index = candidates
            .iter()
            .position(|ended| ended.closed_by(name, at))
            .or_else(|| {
                candidates
                    .iter()
                    .rposition(|ended| ended.may_write(name, at))
            })?;
        let ended = candidates.swap_remove(index);
        ended.names.insert(name.to_owned(), at);
        if closes(name) {
            ended.closed = Some(at);
            ended.told = true;
        }
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

/// Whether this name only repeats the config's digest.
pub(super) fn is_id(name: &str) -> bool {
    name.starts_with("sha256:")
}
