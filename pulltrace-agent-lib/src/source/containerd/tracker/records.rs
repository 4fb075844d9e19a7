//! Image names announced by events. They name pulls, and reveal pulls that were shorter than the
//! poll interval ("unpolled" pulls).

use std::collections::VecDeque;
use std::time::Duration;

use pulltrace_core::{Digest, NodeTime, PullId};

use super::super::input::Query;
use super::output::OutputBuilder;

/// The maximum number of written names waiting for their lookup; further ones are skipped and
/// counted as an anomaly.
const MAX_PENDING: usize = 256;

/// The maximum number of recently ended pulls kept for names written after their end.
const MAX_ENDED: usize = 256;

/// The CRI plugin writes the other names of an image within some milliseconds after the pull.
const NAME_WRITE_DELAY: Duration = Duration::from_millis(500);

/// An unpolled pull took less time than this.
const MAX_UNPOLLED_PULL: Duration = Duration::from_secs(2);

#[derive(Debug, Default)]
pub(super) struct Records {
    pending: Vec<WrittenName>,
    ended: VecDeque<EndedPull>,
}

/// A name whose target is still unknown.
#[derive(Debug)]
struct WrittenName {
    name: String,
    at: NodeTime,
}

/// The names that a pull is known to have written.
///
/// The CRI plugin writes tag, id and digest of an image, in this order. Before 1.6.30 and 1.7.14 it
/// writes all of them for every pull and the tag twice, or the digest twice if the image was pulled
/// by digest. Since then it writes the requested name once, and other names only if they do not
/// exist yet. Ids are ignored because they add no information.
#[derive(Clone, Debug, Default)]
pub(super) struct WrittenNames {
    tag: Option<String>,
    tag_writes: u8,
    digest: Option<String>,
    digest_writes: u8,
    /// When the digest was first written.
    digest_written_at: Option<NodeTime>,
}

/// The match of a name with the names that a pull wrote before.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum NameMatch {
    /// The pull is expected to write this name next.
    Expected,
    /// The pull may have written this name.
    Possible,
}

impl WrittenNames {
    /// Matches a name written at this time; `None` if the pull cannot have written it.
    /// `skips_existing` is true if existing names are not written again.
    pub(super) fn match_name(
        &self,
        name: &str,
        at: NodeTime,
        skips_existing: bool,
    ) -> Option<NameMatch> {
        let most = if skips_existing { 1 } else { 2 };
        if is_digest_name(name) {
            match (&self.tag, &self.digest) {
                (None, None) => Some(NameMatch::Possible),
                (Some(tag), None) => {
                    (repository(tag) == repository(name)).then_some(NameMatch::Expected)
                }
                (None, Some(digest)) => {
                    (digest == name && self.digest_writes < most).then_some(NameMatch::Expected)
                }
                (Some(_), Some(_)) => None,
            }
        } else if self.digest_written_at.is_some_and(|closed| at > closed) {
            None
        } else {
            match &self.tag {
                None => Some(NameMatch::Possible),
                Some(tag) => (tag == name && self.tag_writes < most).then_some(NameMatch::Expected),
            }
        }
    }

    pub(super) fn record(&mut self, name: &str, at: NodeTime) {
        let (known, count) = if is_digest_name(name) {
            self.digest_written_at.get_or_insert(at);
            (&mut self.digest, &mut self.digest_writes)
        } else {
            (&mut self.tag, &mut self.tag_writes)
        };
        known.get_or_insert_with(|| name.to_owned());
        *count = count.saturating_add(1);
    }

    /// Returns whether a name written by the pull is known.
    pub(super) fn has_name(&self) -> bool {
        self.tag.is_some() || self.digest.is_some()
    }
}

/// A pull whose end was reported.
#[derive(Debug)]
pub(super) struct EndedPull {
    pub(super) root: Digest,
    pub(super) pull: PullId,
    /// When it finished, as far as known.
    pub(super) finished_at: NodeTime,
    /// When its end was reported.
    pub(super) reported_at: NodeTime,
    /// True if it completed, i.e. its image was present.
    pub(super) completed: bool,
    pub(super) written_names: WrittenNames,
}

impl EndedPull {
    /// Returns the latest time at which the pull may have written a name. A failed pull writes none
    /// after its end.
    fn may_write_until(&self) -> NodeTime {
        if self.completed {
            self.reported_at.saturating_add(NAME_WRITE_DELAY)
        } else {
            self.finished_at
        }
    }
}

impl Records {
    pub(super) fn is_empty(&self) -> bool {
        self.pending.is_empty()
    }

    /// Returns whether the target of a written name is still unknown.
    pub(super) fn has_pending(&self) -> bool {
        !self.pending.is_empty()
    }

    /// Adds a written name. Returns `true` if the limit is reached.
    pub(super) fn add(&mut self, name: &str, at: NodeTime) -> bool {
        let full = self.pending.len() >= MAX_PENDING || name.len() > 1_024;
        if !full {
            self.pending.push(WrittenName { name: name.to_owned(), at });
        }
        full
    }

    /// Queries the targets of pending names. Called after a poll, which is at least as recent as
    /// the names and therefore shows the pulls that wrote them.
    pub(super) fn query_pending(&self, out: &mut OutputBuilder) {
        out.query_all(
            self.pending.iter().map(|written| Query::Record { name: written.name.clone() }),
        );
    }

    /// Removes a name that was looked up and returns the times it was written.
    pub(super) fn take_pending(&mut self, name: &str) -> Vec<NodeTime> {
        let looked_up = self.pending.extract_if(.., |written| written.name == name);
        looked_up.map(|written| written.at).collect()
    }

    /// Remembers an ended pull.
    pub(super) fn add_ended(&mut self, ended: EndedPull) {
        if self.ended.len() >= MAX_ENDED {
            self.ended.pop_front();
        }
        self.ended.push_back(ended);
    }

    /// Returns the ended pulls of this root that may have written a name at this time, oldest
    /// first.
    pub(super) fn recently_ended(
        &mut self,
        root: &Digest,
        at: NodeTime,
    ) -> impl Iterator<Item = &mut EndedPull> {
        let may =
            move |ended: &&mut EndedPull| ended.root == *root && at <= ended.may_write_until();
        self.ended.iter_mut().filter(may)
    }

    /// Returns the earliest possible start of an unpolled pull that wrote a record at `at`.
    pub(super) fn earliest_start(&self, root: &Digest, at: NodeTime) -> NodeTime {
        let last = self
            .ended
            .iter()
            .rev()
            .find(|ended| ended.root == *root)
            .map(|ended| ended.reported_at);
        let start = at.saturating_sub(MAX_UNPOLLED_PULL);
        last.filter(|last| *last < at).map_or(start, |last| start.max(last))
    }
}

/// Returns whether this is the name with the digest, the last one that the CRI plugin writes for a
/// pull.
pub(super) fn is_digest_name(name: &str) -> bool {
    name.contains('@')
}

/// Removes the tag or digest from a name.
fn repository(name: &str) -> &str {
    match (name.split_once('@'), name.rsplit_once(':')) {
        (Some((repository, _)), _) => repository,
        // A colon before a slash belongs to a port.
        (None, Some((repository, tag))) if !tag.contains('/') => repository,
        (None, _) => name,
    }
}

/// Returns whether this name is the id of the image, i.e. the digest of its config.
pub(super) fn is_config_id(name: &str) -> bool {
    name.starts_with("sha256:")
}
