//! One reader: where it is, what it has been told, and when it is told more.

use std::collections::HashMap;
use std::sync::Arc;
use std::time::Duration;

use pulltrace_core::{Mono, NodeName, PullId};
use tokio::sync::watch;
use tokio::time::{Interval, MissedTickBehavior};

use crate::clock::Clock;
use crate::http::Api;
use crate::table::{Delta, Mark, NodeRow, Row, Shared};

use super::chunk::{Chunk, Frame};
use super::{Cursor, Format, Options};

/// What only moves is told at most so often.
const PACE: Duration = Duration::from_millis(250);

/// A sign of life, which brings the cursor of a filtered reader on.
const PING: Duration = Duration::from_secs(5);

/// Changes that are looked at in one go, so that the writer waits for no reader.
const PAGE: usize = 500;

/// Starts and ends that were told before what stands in front of them; with more all is told.
const MAX_AHEAD: usize = 4_096;

pub(super) struct Reader {
    shared: Shared,
    clock: Clock,
    epoch: Arc<str>,
    options: Options,
    step: Step,
    /// All changes up to this one were told.
    cursor: u64,
    /// All starts and ends up to this one were told.
    urgent: u64,
    /// The version of each row that was told ahead of the cursor.
    ahead: HashMap<PullId, u64>,
    /// Whether something between the cursor and `urgent` is still to be told.
    behind: bool,
    /// When all was told last.
    told_at: Option<Mono>,
    changes: watch::Receiver<Mark>,
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
    /// Nothing.
    End,
}

/// What is told of a batch of changes.
#[derive(Clone, Copy, PartialEq, Eq)]
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
            cursor: 0,
            urgent: 0,
            ahead: HashMap::new(),
            behind: false,
            told_at: None,
            changes: api.shared.changes(),
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
                Step::Follow => {
                    self.step = Step::Follow;
                    self.follow(&mut chunk).await;
                }
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
                (self.cursor, self.urgent) = (seq, seq);
                Step::Follow
            }
            Err(error) if error.cursor > error.newest => Step::Restart(Some("ahead")),
            Err(_) => Step::Restart(Some("too_old")),
        }
    }

    fn nodes(&self, chunk: &mut Chunk<'_>, after: Option<&NodeName>, at: u64) -> Step {
        let page: Vec<_> = self.shared.read(|table| {
            let behind = |node: &&Arc<NodeRow>| Some(&node.view.name) > after;
            table.nodes().filter(behind).take(PAGE).cloned().collect()
        });
        let mut frame = Frame::default();
        for node in &page {
            if self.options.filter.wants_node(&node.view.name) {
                frame.node(node);
            }
        }
        chunk.frame(&frame, at, false);
        match page.last() {
            Some(last) if page.len() == PAGE => Step::Nodes(Some(last.view.name.clone()), at),
            _ => Step::Rows(None, at),
        }
    }

    fn rows(&mut self, chunk: &mut Chunk<'_>, after: Option<&PullId>, at: u64) -> Step {
        let page: Vec<_> = self.shared.read(|table| {
            let rows = table.rows(after);
            rows.take(PAGE).cloned().collect()
        });
        let mut frame = Frame::default();
        let mut last = None;
        for row in &page {
            last = Some(row.pull.id.clone());
            // One that came meanwhile is told as a change.
            let wanted = row.started_seq <= at
                && self.options.filter.wants(&row.pull)
                && self.options.filter.wants_phase(row.pull.phase);
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
        (self.cursor, self.urgent, self.behind) = (at, at, false);
        self.ahead.clear();
        Step::Follow
    }

    /// Waits until something is to be told, and tells it.
    async fn follow(&mut self, chunk: &mut Chunk<'_>) {
        let mark = *self.changes.borrow_and_update();
        let now = self.clock.now().mono;
        let rest = self
            .told_at
            .map_or(Duration::ZERO, |at| PACE.saturating_sub(now.since(at)));
        let more = mark.seq > self.cursor;
        if more && (rest.is_zero() || self.ahead.len() >= MAX_AHEAD) {
            self.tell(Extent::All, chunk, now);
            return;
        }
        if mark.urgent > self.urgent && self.options.format == Format::Event {
            self.tell(Extent::Urgent, chunk, now);
            return;
        }
        tokio::select! {
            biased;
            _ = self.stopping.changed() => {}
            _ = self.ping.tick() => {
                chunk.now = self.clock.now().at;
                chunk.place("ping", self.cursor);
            }
            () = tokio::time::sleep(rest), if more => {}
            // A frame that has to wait does not get more urgent.
            changed = self.changes.changed(), if !more || self.options.format == Format::Event => if changed.is_err() {
                self.step = Step::End;
            },
        }
    }

    fn tell(&mut self, extent: Extent, chunk: &mut Chunk<'_>, now: Mono) {
        let from = match extent {
            Extent::All => self.cursor,
            Extent::Urgent => self.urgent,
        };
        let (delta, seq) = match self.shared.read(|table| {
            let delta = table.changed_since(from, PAGE);
            delta.map(|delta| (delta, table.seq()))
        }) {
            Ok(found) => found,
            Err(_) => {
                self.step = Step::Restart(Some("too_old"));
                return;
            }
        };
        let upto = match (self.options.format, extent) {
            (Format::Frame, _) => self.frame(chunk, &delta),
            (Format::Event, Extent::All) => self.events(chunk, &delta),
            (Format::Event, Extent::Urgent) => return self.starts_and_ends(chunk, &delta),
        };
        (self.cursor, self.urgent) = (upto, self.urgent.max(upto));
        if upto >= self.urgent {
            self.behind = false;
            self.ahead.clear();
        }
        // What is still to come of it follows at once.
        if upto == seq {
            self.told_at = Some(now);
        }
    }

    /// All that changed, as events; gives up to where.
    fn events(&self, chunk: &mut Chunk<'_>, delta: &Delta) -> u64 {
        let news = delta.rows.iter().map(|row| (row, self.told(row)));
        let mut news = news
            .filter(|(row, since)| row.seq > *since && self.wants_event(row, *since))
            .peekable();
        while let Some((row, since)) = news.next() {
            // After the last one all is told, also what is nothing to this reader.
            let upto = news.peek().map_or(delta.upto, |_| row.seq);
            chunk.changed(row, since, upto);
            if chunk.is_full() {
                return upto;
            }
        }
        delta.upto
    }

    /// Starts and ends only. The cursor stays where something before them was not told.
    fn starts_and_ends(&mut self, chunk: &mut Chunk<'_>, delta: &Delta) {
        let mut now = Vec::new();
        for row in &delta.rows {
            let since = self.told(row);
            if row.seq <= since || !self.wants_event(row, since) {
                continue;
            }
            if row.started_seq > since || row.ended_seq.is_some_and(|seq| seq > since) {
                now.push((row, since));
            } else {
                self.behind = true;
            }
        }
        let last = now.len().saturating_sub(1);
        for (index, (row, since)) in now.into_iter().enumerate() {
            let id = match self.behind {
                true => self.cursor,
                false if index == last => delta.upto,
                false => row.seq,
            };
            chunk.changed(row, since, id);
            self.ahead.insert(row.pull.id.clone(), row.seq);
        }
        self.urgent = delta.upto;
        if !self.behind {
            self.cursor = delta.upto;
            self.ahead.clear();
        }
    }

    /// All that changed, as one frame; gives up to where.
    fn frame(&self, chunk: &mut Chunk<'_>, delta: &Delta) -> u64 {
        let filter = &self.options.filter;
        let mut frame = Frame::default();
        let mut upto = delta.upto;
        for row in &delta.rows {
            let whole = row.whole_seq > self.cursor;
            if !filter.wants(&row.pull) {
                continue;
            }
            if filter.wants_phase(row.pull.phase) || filter.wants_end(row.pull.phase) {
                frame.row(row, chunk.frame_form(whole));
            } else if whole {
                frame.gone(&row.pull.id);
            }
            if frame.len() >= super::CHUNK {
                upto = row.seq;
                break;
            }
        }
        for (_, id) in delta.removed.iter().filter(|(seq, _)| *seq <= upto) {
            if filter.wants_node(id.node()) {
                frame.gone(id);
            }
        }
        for node in delta.nodes.iter().filter(|node| node.seq <= upto) {
            if filter.wants_node(&node.view.name) {
                frame.node(node);
            }
        }
        chunk.frame(&frame, upto, true);
        upto
    }

    /// Up to which change the reader knows a row.
    fn told(&self, row: &Row) -> u64 {
        self.ahead
            .get(&row.pull.id)
            .map_or(self.cursor, |seq| self.cursor.max(*seq))
    }

    fn wants_event(&self, row: &Row, since: u64) -> bool {
        let filter = &self.options.filter;
        let phase = row.pull.phase;
        let ends = row.ended_seq.is_some_and(|seq| seq > since);
        filter.wants(&row.pull) && (filter.wants_phase(phase) || (ends && filter.wants_end(phase)))
    }
}
