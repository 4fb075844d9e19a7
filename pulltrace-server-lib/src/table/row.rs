//! One version of a row, and what is written of it: once, for all who read it.

use std::collections::BTreeMap;
use std::num::NonZeroU64;
use std::sync::{Arc, Mutex, OnceLock, PoisonError};
use std::time::Duration;

use pulltrace_core::wire::v1::{LayerMotion, NodeStatus, PullMotion, PullStatus};
use pulltrace_core::{Bytes, Image, Layer, Links, Pull, Waiter};

use crate::fleet::{Correction, NodeView, PullChange, Scope, status, status_bare};
use crate::json;

/// Who waits for it no more is remembered of so many.
const MAX_UNLINKED: usize = 16;

/// A pull as it is since one change of the table. A later change makes another row.
#[derive(Debug)]
#[non_exhaustive]
pub struct Row {
    /// The pull.
    pub pull: Arc<Pull>,
    /// What Kubernetes knows of it.
    pub links: Option<Arc<Links>>,
    /// The change with which each of the links' pods came, in their order: a reader of that pod has not
    /// seen the row before.
    pub linked: Box<[u64]>,
    /// Who was taken for one that waits for it and is no more, with the change that said so; the last 16.
    pub unlinked: Vec<(Waiter, u64)>,
    /// From its node's clock to the server's.
    pub correction: Correction,
    /// The change that made its first version: its number for as long as it is kept.
    pub number: u64,
    /// The change that made this version.
    pub seq: u64,
    /// The last change of more than what [`PullMotion`] has: a reader whose cursor is older needs the
    /// whole row.
    pub whole_seq: u64,
    /// The same for a reader that does not read layers.
    pub bare_seq: u64,
    /// The change with which it came, or last came back to life.
    pub started_seq: u64,
    /// The change with which it ended, where it did.
    pub ended_seq: Option<u64>,
    /// The changes of each of the pull's layers, in their order.
    pub layers: Box<[LayerMarks]>,
    json: Mutex<Written>,
}

/// The changes of one layer.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct LayerMarks {
    /// The last change of anything of it.
    pub changed: u64,
    /// The change with which its first byte was seen; `None` where none was.
    pub started: Option<NonZeroU64>,
    /// The change with which nothing was left to do of it; `None` while something is.
    pub completed: Option<NonZeroU64>,
}

/// What can be written of a row.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Form {
    /// A [`PullStatus`] with its layers.
    Status,
    /// A [`PullStatus`] without its layers.
    StatusBare,
    /// A [`PullMotion`] with the layers whose bytes moved since [`Row::whole_seq`].
    Motion,
    /// A [`PullMotion`] without layers.
    MotionBare,
}

/// What was written is kept while the row is fresh, when many read it.
#[derive(Debug)]
enum Written {
    Fresh([Option<Arc<str>>; 4]),
    Settled,
}

impl Row {
    /// The first version of a row.
    pub(super) fn new(change: &PullChange, seq: u64) -> Self {
        let pull = Arc::clone(&change.pull);
        let layers = marks(&[], &[], &pull.layers, seq);
        let ended_seq = pull.outcome().map(|_| seq);
        let pods = change.links.as_ref().map_or(0, |links| links.pods.len());
        Self {
            pull,
            links: change.links.clone(),
            linked: vec![seq; pods].into(),
            unlinked: Vec::new(),
            correction: change.correction,
            number: seq,
            seq,
            whole_seq: seq,
            bare_seq: seq,
            started_seq: seq,
            ended_seq,
            layers,
            json: Mutex::new(Written::Fresh(Default::default())),
        }
    }

    /// The next version of this row.
    pub(super) fn next(&self, change: &PullChange, seq: u64) -> Self {
        let PullChange {
            pull,
            correction,
            scope,
            links,
            ..
        } = change;
        let (was, is) = (self.pull.outcome(), pull.outcome());
        let revived = was.is_some() && is.is_none();
        let (linked, unlinked) = self.links_next(links.as_ref(), seq);
        Self {
            linked,
            unlinked,
            correction: *correction,
            number: self.number,
            seq,
            whole_seq: if *scope >= Scope::Layers {
                seq
            } else {
                self.whole_seq
            },
            bare_seq: if *scope == Scope::Whole {
                seq
            } else {
                self.bare_seq
            },
            started_seq: if revived { seq } else { self.started_seq },
            ended_seq: is.and(if was == is { self.ended_seq } else { Some(seq) }),
            layers: marks(&self.layers, &self.pull.layers, &pull.layers, seq),
            pull: Arc::clone(pull),
            links: links.clone(),
            json: Mutex::new(Written::Fresh(Default::default())),
        }
    }

    /// Since when each pod is linked in the next version, and which are no more.
    fn links_next(&self, links: Option<&Arc<Links>>, seq: u64) -> (Box<[u64]>, Vec<(Waiter, u64)>) {
        let same = match (&self.links, links) {
            (Some(before), Some(now)) => Arc::ptr_eq(before, now),
            (before, now) => before.is_none() && now.is_none(),
        };
        if same {
            return (self.linked.clone(), self.unlinked.clone());
        }
        let mut before: BTreeMap<&Waiter, u64> =
            self.waiters().zip(self.linked.iter().copied()).collect();
        let pods = links.iter().flat_map(|links| &links.pods);
        let linked = pods.map(|(waiter, _)| before.remove(waiter).unwrap_or(seq));
        let linked = linked.collect();
        let again = |waiter: &Waiter| {
            let mut pods = links.iter().flat_map(|links| &links.pods);
            pods.any(|(pod, _)| pod == waiter)
        };
        let mut unlinked = self.unlinked.clone();
        unlinked.retain(|(waiter, _)| !again(waiter));
        unlinked.extend(before.into_keys().map(|waiter| (waiter.clone(), seq)));
        let over = unlinked.len().saturating_sub(MAX_UNLINKED);
        unlinked.drain(..over);
        (linked, unlinked)
    }

    /// Who waits for it, or waited.
    pub fn waiters(&self) -> impl Iterator<Item = &Waiter> + Clone {
        let pods = self.links.iter().flat_map(|links| &links.pods);
        pods.map(|(waiter, _)| waiter)
    }

    /// Who was known to wait for it at an earlier change, as far as that is remembered.
    pub fn waiters_at(&self, seq: u64) -> impl Iterator<Item = &Waiter> + Clone {
        let linked = self.waiters().zip(&self.linked);
        let linked = linked.filter(move |(_, at)| **at <= seq);
        let unlinked = self.unlinked.iter();
        let unlinked = unlinked.filter(move |(_, at)| *at > seq);
        let unlinked = unlinked.map(|(waiter, _)| waiter);
        linked.map(|(waiter, _)| waiter).chain(unlinked)
    }

    /// What people read of it.
    #[must_use]
    pub fn status(&self, layers: bool) -> PullStatus {
        let told = if layers { status } else { status_bare };
        let mut told = told(&self.pull, self.links.as_deref(), self.correction);
        told.row = Some(self.number);
        told
    }

    /// What moves of it; with the layers whose bytes moved since [`whole_seq`](Self::whole_seq), if
    /// asked for.
    #[must_use]
    pub fn motion(&self, layers: bool) -> PullMotion {
        let pull = &self.pull;
        let known = |bytes: Bytes| pull.total.map(|_| bytes.0);
        let moved = |(layer, marks): &(&Layer, &LayerMarks)| {
            layers && marks.changed > self.whole_seq && !layer.state.is_idle()
        };
        let moving = pull.layers.iter().zip(&self.layers).enumerate();
        let moving = moving.filter(|(_, both)| moved(both));
        let moving = moving.filter_map(|(index, (layer, _))| -> Option<LayerMotion> {
            Some((
                u32::try_from(index).ok()?,
                Some(layer.downloaded.0),
                layer.unpacked_bytes.map(|bytes| bytes.0),
                layer.rate.map(|rate| rate.get().round()),
            ))
        });
        // The layers of a pull that ended long ago may not be kept.
        let kept = |image: &&Arc<Image>| image.layers.len() == pull.layers.len();
        let done = || pull.layers.iter().filter(|layer| layer.state.is_done());
        PullMotion {
            row: self.number,
            percent: pull
                .percent
                .map(|percent| tenths(percent.get(), f64::floor)),
            downloaded_bytes: known(pull.downloaded),
            extracted_bytes: known(pull.extracted),
            bytes_per_sec: pull.rate.map(|rate| rate.get().round()),
            eta_seconds: pull.eta.map(|eta| seconds(eta.left)),
            eta_low_seconds: pull.eta.map(|eta| seconds(eta.low)),
            eta_high_seconds: pull.eta.map(|eta| seconds(eta.high)),
            layers_done: pull
                .image
                .as_ref()
                .filter(kept)
                .map(|_| done().count() as u64),
            layers: moving.collect(),
        }
    }

    /// It as JSON: written once for all who ask while the row is fresh.
    #[must_use]
    pub fn json(&self, form: Form) -> Arc<str> {
        let mut json = self.json.lock().unwrap_or_else(PoisonError::into_inner);
        let slot = match &mut *json {
            Written::Settled => return self.write(form),
            Written::Fresh(slots) => match form {
                Form::Status => &mut slots[0],
                Form::StatusBare => &mut slots[1],
                Form::Motion => &mut slots[2],
                Form::MotionBare => &mut slots[3],
            },
        };
        Arc::clone(slot.get_or_insert_with(|| self.write(form)))
    }

    fn write(&self, form: Form) -> Arc<str> {
        let text = match form {
            Form::Status => json::text(&self.status(true)),
            Form::StatusBare => json::text(&self.status(false)),
            Form::Motion => json::text(&self.motion(true)),
            Form::MotionBare => json::text(&self.motion(false)),
        };
        text.into()
    }

    /// Drops what was written, and keeps nothing from here on: who follows has read it.
    pub(super) fn settle(&self) {
        *self.json.lock().unwrap_or_else(PoisonError::into_inner) = Written::Settled;
    }
}

/// A node as it is since one change of the table.
#[derive(Debug)]
#[non_exhaustive]
pub struct NodeRow {
    /// The node.
    pub view: NodeView,
    /// The change that made this version.
    pub seq: u64,
    /// Whether the server keeps it no more.
    pub removed: bool,
    json: OnceLock<Arc<str>>,
}

impl NodeRow {
    pub(super) const fn new(view: NodeView, seq: u64, removed: bool) -> Self {
        Self {
            view,
            seq,
            removed,
            json: OnceLock::new(),
        }
    }

    /// What people read of it.
    #[must_use]
    pub fn status(&self) -> NodeStatus {
        NodeStatus {
            removed: self.removed,
            ..self.view.status()
        }
    }

    /// Its [`NodeStatus`] as JSON: written once for all who ask.
    #[must_use]
    pub fn json(&self) -> Arc<str> {
        let write = || json::text(&self.status()).into();
        Arc::clone(self.json.get_or_init(write))
    }
}

/// Rounded as [`PullStatus`] has it, of which a motion takes the place: a test compares the two.
fn seconds(duration: Duration) -> f64 {
    tenths(duration.as_secs_f64(), f64::round)
}

fn tenths(number: f64, round: fn(f64) -> f64) -> f64 {
    round(number * 10.0) / 10.0
}

/// The marks of the layers as they are now.
fn marks(marks: &[LayerMarks], before: &[Layer], now: &[Layer], seq: u64) -> Box<[LayerMarks]> {
    let mark = |(index, layer): (usize, &Layer)| {
        let known = marks.get(index).zip(before.get(index));
        let known = known.filter(|(_, before)| before.digest == layer.digest);
        let (old, before) = known.map_or((LayerMarks::default(), None), |(m, b)| (*m, Some(b)));
        // Changes are counted from one.
        let since =
            |old: Option<NonZeroU64>, holds: bool| old.or(NonZeroU64::new(seq)).filter(|_| holds);
        LayerMarks {
            changed: if before == Some(layer) {
                old.changed
            } else {
                seq
            },
            started: since(old.started, layer.started_at.is_some()),
            completed: since(old.completed, layer.state.is_done()),
        }
    };
    now.iter().enumerate().map(mark).collect()
}
