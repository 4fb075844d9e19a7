//! One reader: where it is, what it has been told, and when it is told more.

use std::sync::Arc;
use std::time::Duration;

use pulltrace_core::{Mono, NodeName, PullId};
use tokio::sync::watch;
use tokio::time::{Interval, MissedTickBehavior};

use crate::clock::Clock;
use crate::http::Api;
use crate::table::{Follower, Mark, NodeRow, Page, Seen, Shared};

use super::chunk::{Chunk, Frame};
use super::{Cursor, Format, Layers, Options};

/// What only moves is told at most so often.
const PACE: Duration = Duration::from_millis(250);

/// A sign of life, which brings the cursor of a filtered reader on.
const PING: Duration = Duration::from_secs(5);

/// Rows of a snapshot that are looked at in one go, so that the writer waits for no reader.
const ROWS: usize = 500;

/// Changed rows and layers that are looked at in one go, and told whole.
const PAGE: usize = 256;

pub(super) struct Reader {
    shared: Shared,
    clock: Clock,
    epoch: Arc<str>,
    options: Options,
    step: Step,
    follower: Follower,
    /// When all was told last.
    told_at: Option<Mono>,
    changes: watch::Receiver<Mark>,
    urgent: watch::Receiver<u64>,
    stopping: watch::Receiver<bool>,
    ping: Interval,
}

/// What comes next.
#[derive(Debug)]
enum Step {
    /// The first words.
    Greet(Option<u64>, Option<&'static str>),
    /// A snapshot must be begun, for this reason where it is not the first thing.
    Restart(Option<&'static str>),
    /// Nodes after this one, and then rows, as of this change.
    Nodes(Option<NodeName>, u64),
    /// Rows after this one.
    Rows(Option<PullId>, u64),
    /// Changes as they come.
    Follow,
    /// What there is of changes now.
    Tell(Extent),
    /// Nothing.
    End,
}

/// What is told of the changes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Extent {
    /// Starts and ends.
    Urgent,
    /// Everything.
    All,
}

impl Reader {
    /// `since`: where the reader was before, if it says so; `Some(None)` where what it says is
    /// nonsense.
    pub(super) fn new(api: &Api, options: Options, since: Option<Option<Cursor>>) -> Self {
        let epoch: Arc<str> = api.shared.read(|table| table.epoch().into());
        let mut ping = tokio::time::interval(PING);
        ping.set_missed_tick_behavior(MissedTickBehavior::Delay);
        ping.reset();
        Self {
            step: match since {
                None => Step::Greet(None, None),
                Some(Some(cursor)) if *cursor.epoch == *epoch => {
                    Step::Greet(Some(cursor.seq), None)
                }
                Some(_) => Step::Greet(None, Some("other_epoch")),
            },
            shared: api.shared.clone(),
            clock: api.clock,
            epoch,
            options,
            follower: Follower::new(0),
            told_at: None,
            changes: api.shared.changes(),
            urgent: api.shared.urgent(),
            stopping: api.stopping.clone(),
            ping,
        }
    }

    /// The next piece of text, as soon as there is one; `None` when the stream is over.
    ///
    /// Is cancel-safe as far as the stream ends with it.
    pub(super) async fn next(&mut self) -> Option<String> {
        loop {
            let epoch = Arc::clone(&self.epoch);
            let mut chunk = Chunk::new(&epoch, self.clock.now().at, self.options.layers);
            if matches!(self.step, Step::End) {
                return None;
            }
            if *self.stopping.borrow() {
                self.step = Step::End;
                chunk.bye();
                return Some(chunk.text);
            }
            match std::mem::replace(&mut self.step, Step::End) {
                Step::End => {}
                Step::Greet(seq, reason) => {
                    chunk.retry();
                    self.step = self.place(seq, reason);
                }
                Step::Restart(reason) => {
                    if let Some(reason) = reason {
                        chunk.reset(reason);
                    }
                    let at = self.shared.read(|table| table.seq());
                    self.step = match self.options.format {
                        Format::Event => Step::Rows(None, at),
                        Format::Frame => Step::Nodes(None, at),
                    };
                }
                Step::Nodes(after, at) => self.step = self.nodes(&mut chunk, after.as_ref(), at),
                Step::Rows(after, at) => self.step = self.rows(&mut chunk, after.as_ref(), at),
                Step::Follow => self.step = self.follow(&mut chunk).await,
                Step::Tell(extent) => self.step = self.tell(extent, &mut chunk),
            }
            if !chunk.text.is_empty() {
                return Some(chunk.text);
            }
        }
    }

    /// Goes on where the reader was, or begins anew.
    fn place(&mut self, seq: Option<u64>, reason: Option<&'static str>) -> Step {
        let Some(seq) = seq else {
            return Step::Restart(reason);
        };
        match self.shared.read(|table| table.changed_since(seq, 1)) {
            Ok(_) => {
                self.follower = Follower::new(seq);
                Step::Follow
            }
            Err(error) if error.cursor > error.newest => Step::Restart(Some("ahead")),
            Err(_) => Step::Restart(Some("too_old")),
        }
    }

    fn nodes(&self, chunk: &mut Chunk<'_>, after: Option<&NodeName>, at: u64) -> Step {
        let page: Vec<_> = self.shared.read(|table| {
            let behind = |node: &&Arc<NodeRow>| Some(&node.view.name) > after;
            table.nodes().filter(behind).take(ROWS).cloned().collect()
        });
        let mut frame = Frame::default();
        for node in &page {
            if self.options.filter.wants_node(&node.view.name) {
                frame.node(node);
            }
        }
        chunk.frame(&frame, at, false);
        match page.last() {
            Some(last) if page.len() == ROWS => Step::Nodes(Some(last.view.name.clone()), at),
            _ => Step::Rows(None, at),
        }
    }

    fn rows(&mut self, chunk: &mut Chunk<'_>, after: Option<&PullId>, at: u64) -> Step {
        let page: Vec<_> = self.shared.read(|table| {
            let rows = table.rows(after);
            rows.take(ROWS).cloned().collect()
        });
        let mut frame = Frame::default();
        let mut last = None;
        for row in &page {
            last = Some(row.pull.id.clone());
            // One that came meanwhile, or whose pods did, is told as a change.
            let filter = &self.options.filter;
            let wanted = row.started_seq <= at
                && filter.wants(row)
                && filter.wants_phase(row.pull.phase)
                && !filter.is_new(row, at);
            match self.options.format {
                Format::Event if wanted && row.pull.outcome().is_none() => chunk.begun(row),
                Format::Frame if wanted => frame.row(row, chunk.frame_form(true)),
                Format::Event | Format::Frame => {}
            }
            if chunk.is_full() || frame.len() >= super::CHUNK {
                break;
            }
        }
        chunk.frame(&frame, at, false);
        if let Some(last) = last {
            return Step::Rows(Some(last), at);
        }
        chunk.place("snapshot-end", at);
        self.follower = Follower::new(at);
        Step::Follow
    }

    /// Waits until something is to be told.
    async fn follow(&mut self, chunk: &mut Chunk<'_>) -> Step {
        let now = self.clock.now().mono;
        let rest = self
            .told_at
            .map_or(Duration::ZERO, |at| PACE.saturating_sub(now.since(at)));
        let rested = rest.is_zero();
        if rested && self.changes.borrow_and_update().seq > self.follower.cursor() {
            return Step::Tell(Extent::All);
        }
        // While it rests, what only moves does not wake it. A frame does not get more urgent.
        let urgent = !rested && self.options.format == Format::Event;
        tokio::select! {
            biased;
            _ = self.stopping.changed() => Step::Follow,
            _ = self.ping.tick() => {
                chunk.now = self.clock.now().at;
                chunk.place("ping", self.follower.cursor());
                Step::Follow
            }
            () = tokio::time::sleep(rest), if !rested => Step::Follow,
            changed = self.urgent.changed(), if urgent => {
                changed.map_or(Step::End, |()| Step::Tell(Extent::Urgent))
            }
            changed = self.changes.changed(), if rested => {
                changed.map_or(Step::End, |()| Step::Follow)
            }
        }
    }

    /// Tells what there is, until there is no more or it is enough for one piece.
    fn tell(&mut self, extent: Extent, chunk: &mut Chunk<'_>) -> Step {
        if extent == Extent::All {
            self.urgent.mark_unchanged();
        }
        while !chunk.is_full() {
            let follower = &mut self.follower;
            let page = self.shared.read(|table| match extent {
                Extent::Urgent => follower.read_urgent(table, PAGE),
                Extent::All => follower.read(table, PAGE),
            });
            let Ok(page) = page else {
                return Step::Restart(Some("too_old"));
            };
            match self.options.format {
                Format::Event => self.events(chunk, &page),
                Format::Frame => self.frame(chunk, &page),
            }
            if page.complete {
                if extent == Extent::All {
                    self.told_at = Some(self.clock.now().mono);
                }
                return Step::Follow;
            }
        }
        Step::Tell(extent)
    }

    fn events(&self, chunk: &mut Chunk<'_>, page: &Page) {
        let before = chunk.text.len();
        let filter = &self.options.filter;
        for seen in &page.rows {
            let (row, since) = (&seen.row, seen.since);
            // One that is another pod's is told once more, since nothing of it is told later.
            if self.wants(seen) || filter.has_left(row, since) {
                chunk.changed(seen, filter.is_new(row, since));
            }
        }
        // Not with an earlier one: who resumes there would miss those after it.
        if chunk.text.len() > before {
            chunk.id(self.follower.cursor());
        }
    }

    fn frame(&self, chunk: &mut Chunk<'_>, page: &Page) {
        let filter = &self.options.filter;
        let layers = self.options.layers == Layers::Embed;
        let mut frame = Frame::default();
        for seen in &page.rows {
            let (row, whole) = (&seen.row, seen.is_whole(layers));
            let left = || {
                let phase = filter.wants(row) && !filter.wants_end(row.pull.phase);
                (whole && phase) || filter.has_left(row, seen.since)
            };
            if self.wants(seen) {
                // With its pods a row changes as a whole.
                frame.row(row, chunk.frame_form(whole));
            } else if left() {
                frame.gone(&row.pull.id);
            }
        }
        for id in &page.removed {
            if filter.wants_node(id.node()) {
                frame.gone(id);
            }
        }
        for node in &page.nodes {
            if filter.wants_node(&node.view.name) {
                frame.node(node);
            }
        }
        chunk.frame(&frame, self.follower.cursor(), true);
    }

    fn wants(&self, seen: &Seen) -> bool {
        let filter = &self.options.filter;
        let phase = seen.row.pull.phase;
        let ends = || seen.has_ended() && filter.wants_end(phase);
        filter.wants(&seen.row) && (filter.wants_phase(phase) || ends())
    }
}
