//! Image records as events tell them: they name pulls, and show those that were shorter than a poll.

use std::collections::VecDeque;
use std::time::Duration;

use pulltrace_core::{Digest, NodeTime, PullId};

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
    ended: VecDeque<Ended>,
}

/// The names that one pull was seen to write, as events told.
///
/// The CRI plugin writes an image's tag, its id and its digest, in this order. Before 1.6.30 and 1.7.14 it writes
/// them for every pull, and the tag twice; a pull by digest writes the digest twice. Since then a pull writes what
/// it was asked for once, and the other names where they are not there yet. The id tells nothing that the others
/// do not tell.
#[derive(Clone, Debug, Default)]
pub(super) struct Wrote {
    tag: Option<String>,
    tags: u8,
    digest: Option<String>,
    digests: u8,
    /// When the digest was first written.
    closed: Option<NodeTime>,
}

/// How well a name fits what a pull wrote before.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Fit {
    /// It goes on with it.
    Its,
    /// Nothing speaks against it.
    Possible,
}

impl Wrote {
    /// Whether the pull may also have written this name at this time; `keeps` is whether names that are there
    /// already are not written again.
    pub(super) fn fit(&self, name: &str, at: NodeTime, keeps: bool) -> Option<Fit> {
        let most = if keeps { 1 } else { 2 };
        if closes(name) {
            match (&self.tag, &self.digest) {
                (None, None) => Some(Fit::Possible),
                (Some(tag), None) => (repository(tag) == repository(name)).then_some(Fit::Its),
                (None, Some(digest)) => (digest == name && self.digests < most).then_some(Fit::Its),
                (Some(_), Some(_)) => None,
            }
        } else if self.closed.is_some_and(|closed| at > closed) {
            None
        } else {
            match &self.tag {
                None => Some(Fit::Possible),
                Some(tag) => (tag == name && self.tags < most).then_some(Fit::Its),
            }
        }
    }

    pub(super) fn note(&mut self, name: &str, at: NodeTime) {
        let (known, count) = if closes(name) {
            self.closed.get_or_insert(at);
            (&mut self.digest, &mut self.digests)
        } else {
            (&mut self.tag, &mut self.tags)
        };
        known.get_or_insert_with(|| name.to_owned());
        *count = count.saturating_add(1);
    }

    /// Whether any name is known that it wrote.
    pub(super) fn has_name(&self) -> bool {
        self.tag.is_some() || self.digest.is_some()
    }
}

/// A pull that is over and was said to be.
#[derive(Debug)]
pub(super) struct Ended {
    pub(super) root: Digest,
    pub(super) pull: PullId,
    /// When it was over, as near as that is known.
    pub(super) over: NodeTime,
    /// When that was said.
    pub(super) end: NodeTime,
    /// Its image was there.
    pub(super) completed: bool,
    pub(super) wrote: Wrote,
}

impl Ended {
    /// Whether it may have written a name at this time: one that failed writes none when it is over.
    fn wrote_until(&self) -> NodeTime {
        if self.completed {
            self.end.saturating_add(AFTERWARDS)
        } else {
            self.over
        }
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
    pub(super) fn ended(&mut self, ended: Ended) {
        if self.ended.len() >= MAX_ENDED {
            self.ended.pop_front();
        }
        self.ended.push_back(ended);
    }

    /// The pulls of this root that ended and may have written a name at this time, the oldest first.
    pub(super) fn just_ended(
        &mut self,
        root: &Digest,
        at: NodeTime,
    ) -> impl Iterator<Item = &mut Ended> {
        let may = move |ended: &&mut Ended| ended.root == *root && at <= ended.wrote_until();
        self.ended.iter_mut().filter(may)
    }

    /// Before this, a pull that wrote a record at `at` and that no poll saw had not begun.
    pub(super) fn earliest_start(&self, root: &Digest, at: NodeTime) -> NodeTime {
        let last = self
            .ended
            .iter()
            .rev()
            .find(|ended| ended.root == *root)
            .map(|ended| ended.end);
        let start = at.saturating_sub(SHORTEST_SEEN);
        last.filter(|last| *last < at)
            .map_or(start, |last| start.max(last))
    }
}

/// Whether this is the last of the names that the CRI plugin writes for a pull: the one with the digest.
pub(super) fn closes(name: &str) -> bool {
    name.contains('@')
}

/// A name without its tag or digest.
fn repository(name: &str) -> &str {
    match (name.split_once('@'), name.rsplit_once(':')) {
        (Some((repository, _)), _) => repository,
        // A colon before a slash belongs to a port.
        (None, Some((repository, tag))) if !tag.contains('/') => repository,
        (None, _) => name,
    }
}

/// Whether this name only repeats the config's digest.
pub(super) fn is_id(name: &str) -> bool {
    name.starts_with("sha256:")
}
