//! A reader of the event stream: its position and the pacing of its updates.

use std::sync::Arc;
use std::time::Duration;

use pulltrace_core::{Mono, NodeName, PullId};
use tokio::sync::watch;
use tokio::time::{Interval, MissedTickBehavior};

use crate::clock::Clock;
use crate::http::state::ApiState;
use crate::table::{Follower, NodeRow, ReadBatch, RowUpdate, SharedTable, TableVersion};

use super::chunk::{Chunk, Frame};
use super::options::{CHUNK_TARGET, Cursor, LayerMode, StreamFormat, StreamOptions};

/// Minimum time between two progress updates.
const MIN_INTERVAL: Duration = Duration::from_millis(250);

/// Ping interval. Pings also advance the cursor of a filtered reader.
const PING_INTERVAL: Duration = Duration::from_secs(5);

/// Snapshot rows scanned under one lock, so that readers do not delay the writer.
const SNAPSHOT_BATCH: usize = 500;

/// Maximum number of changed rows and layers read at once; a batch is never split across chunks.
const CHANGE_BATCH: usize = 256;

pub(super) struct Reader {
    shared: SharedTable,
    clock: Clock,
    epoch: Arc<str>,
    options: StreamOptions,
    state: ReaderState,
    follower: Follower,
    /// When all changes were last sent.
    last_full_send: Option<Mono>,
    changes: watch::Receiver<TableVersion>,
    urgent: watch::Receiver<u64>,
    stopping: watch::Receiver<bool>,
    ping: Interval,
}

/// The next step of the stream.
#[derive(Debug)]
enum ReaderState {
    /// Send the preamble, then resume at this sequence number, or start a snapshot for this reason.
    Start(Option<u64>, Option<&'static str>),
    /// Start a snapshot, with a `reset` event if there is a reason.
    StartSnapshot(Option<&'static str>),
    /// Send nodes after this one, then rows, as of this sequence number.
    SnapshotNodes(Option<NodeName>, u64),
    /// Send rows after this one, as of this sequence number.
    SnapshotRows(Option<PullId>, u64),
    /// Wait for changes.
    WaitForChange,
    /// Send the pending changes.
    SendChanges(ChangeScope),
    /// The stream has ended.
    Ended,
}

/// The changes to send.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum ChangeScope {
    /// Starts and ends only.
    Urgent,
    /// All changes.
    All,
}

impl Reader {
    /// Creates a reader. `since` is the position to resume from, if the client sent one;
    /// `Some(None)` means that it could not be parsed.
    pub(super) fn new(
        api: &ApiState,
        options: StreamOptions,
        since: Option<Option<Cursor>>,
    ) -> Self {
        let epoch: Arc<str> = api.shared.read(|table| table.epoch().into());
        let mut ping = tokio::time::interval(PING_INTERVAL);
        ping.set_missed_tick_behavior(MissedTickBehavior::Delay);
        ping.reset();
        Self {
            state: match since {
                None => ReaderState::Start(None, None),
                Some(Some(cursor)) if *cursor.epoch == *epoch => {
                    ReaderState::Start(Some(cursor.seq), None)
                }
                Some(_) => ReaderState::Start(None, Some("other_epoch")),
            },
            shared: api.shared.clone(),
            clock: api.clock,
            epoch,
            options,
            follower: Follower::new(0),
            last_full_send: None,
            changes: api.shared.subscribe(),
            urgent: api.shared.subscribe_urgent(),
            stopping: api.stopping.clone(),
            ping,
        }
    }

    /// Returns the next chunk as soon as there is one, or `None` when the stream has ended.
    ///
    /// Dropping the future ends the stream.
    pub(super) async fn next_chunk(&mut self) -> Option<String> {
        loop {
            let epoch = Arc::clone(&self.epoch);
            let mut chunk = Chunk::new(&epoch, self.clock.now().at, self.options.layers);
            if matches!(self.state, ReaderState::Ended) {
                return None;
            }
            if *self.stopping.borrow() {
                self.state = ReaderState::Ended;
                chunk.stopping();
                return Some(chunk.text);
            }
            match std::mem::replace(&mut self.state, ReaderState::Ended) {
                ReaderState::Ended => {}
                ReaderState::Start(seq, reason) => {
                    chunk.retry();
                    self.state = self.resume_or_snapshot(seq, reason);
                }
                ReaderState::StartSnapshot(reason) => {
                    if let Some(reason) = reason {
                        chunk.reset(reason);
                    }
                    let at = self.shared.read(|table| table.seq());
                    self.state = match self.options.format {
                        StreamFormat::Event => ReaderState::SnapshotRows(None, at),
                        StreamFormat::Frame => ReaderState::SnapshotNodes(None, at),
                    };
                }
                ReaderState::SnapshotNodes(after, at) => {
                    self.state = self.snapshot_nodes(&mut chunk, after.as_ref(), at)
                }
                ReaderState::SnapshotRows(after, at) => {
                    self.state = self.snapshot_rows(&mut chunk, after.as_ref(), at)
                }
                ReaderState::WaitForChange => self.state = self.wait_for_change(&mut chunk).await,
                ReaderState::SendChanges(extent) => {
                    self.state = self.send_changes(extent, &mut chunk)
                }
            }
            if !chunk.text.is_empty() {
                return Some(chunk.text);
            }
        }
    }

    /// Resumes at a position if possible; otherwise starts a snapshot.
    fn resume_or_snapshot(
        &mut self,
        seq: Option<u64>,
        reason: Option<&'static str>,
    ) -> ReaderState {
        let Some(seq) = seq else {
            return ReaderState::StartSnapshot(reason);
        };
        match self.shared.read(|table| table.changed_since(seq, 1)) {
            Ok(_) => {
                self.follower = Follower::new(seq);
                ReaderState::WaitForChange
            }
            Err(error) if error.cursor > error.newest => ReaderState::StartSnapshot(Some("ahead")),
            Err(_) => ReaderState::StartSnapshot(Some("too_old")),
        }
    }

    fn snapshot_nodes(
        &self,
        chunk: &mut Chunk<'_>,
        after: Option<&NodeName>,
        at: u64,
    ) -> ReaderState {
        let page: Vec<_> = self.shared.read(|table| {
            let behind = |node: &&Arc<NodeRow>| Some(&node.view.name) > after;
            table.nodes().filter(behind).take(SNAPSHOT_BATCH).cloned().collect()
        });
        let mut frame = Frame::default();
        for node in &page {
            if self.options.filter.matches_node(&node.view.name) {
                frame.push_node(node);
            }
        }
        chunk.frame(&frame, at, false);
        match page.last() {
            Some(last) if page.len() == SNAPSHOT_BATCH => {
                ReaderState::SnapshotNodes(Some(last.view.name.clone()), at)
            }
            _ => ReaderState::SnapshotRows(None, at),
        }
    }

    fn snapshot_rows(
        &mut self,
        chunk: &mut Chunk<'_>,
        after: Option<&PullId>,
        at: u64,
    ) -> ReaderState {
        let page: Vec<_> = self.shared.read(|table| {
            let rows = table.rows(after);
            rows.take(SNAPSHOT_BATCH).cloned().collect()
        });
        let mut frame = Frame::default();
        let mut last = None;
        for row in &page {
            last = Some(row.pull.id.clone());
            // Rows that started, or were linked to a matching pod, since the start of the snapshot
            // are sent as changes.
            let filter = &self.options.filter;
            let wanted = row.started_seq <= at
                && filter.matches(row)
                && filter.matches_phase(row.pull.phase)
                && !filter.newly_matches(row, at);
            match self.options.format {
                StreamFormat::Event if wanted && row.pull.outcome().is_none() => {
                    chunk.snapshot_row(row)
                }
                StreamFormat::Frame if wanted => frame.push_row(row, chunk.frame_form(true)),
                StreamFormat::Event | StreamFormat::Frame => {}
            }
            if chunk.is_full() || frame.len() >= CHUNK_TARGET {
                break;
            }
        }
        chunk.frame(&frame, at, false);
        if let Some(last) = last {
            return ReaderState::SnapshotRows(Some(last), at);
        }
        chunk.position("snapshot-end", at);
        self.follower = Follower::new(at);
        ReaderState::WaitForChange
    }

    /// Waits until there is something to send.
    async fn wait_for_change(&mut self, chunk: &mut Chunk<'_>) -> ReaderState {
        let now = self.clock.now().mono;
        let rest = self
            .last_full_send
            .map_or(Duration::ZERO, |at| MIN_INTERVAL.saturating_sub(now.since(at)));
        let rested = rest.is_zero();
        if rested && self.changes.borrow_and_update().seq > self.follower.cursor() {
            return ReaderState::SendChanges(ChangeScope::All);
        }
        // During the pause, progress must not wake the reader. Frames have no urgent changes.
        let urgent = !rested && self.options.format == StreamFormat::Event;
        tokio::select! {
            biased;
            _ = self.stopping.changed() => ReaderState::WaitForChange,
            _ = self.ping.tick() => {
                chunk.now = self.clock.now().at;
                chunk.position("ping", self.follower.cursor());
                ReaderState::WaitForChange
            }
            () = tokio::time::sleep(rest), if !rested => ReaderState::WaitForChange,
            changed = self.urgent.changed(), if urgent => {
                changed.map_or(ReaderState::Ended, |()| ReaderState::SendChanges(ChangeScope::Urgent))
            }
            changed = self.changes.changed(), if rested => {
                changed.map_or(ReaderState::Ended, |()| ReaderState::WaitForChange)
            }
        }
    }

    /// Sends changes until there are none left or the chunk is full.
    fn send_changes(&mut self, extent: ChangeScope, chunk: &mut Chunk<'_>) -> ReaderState {
        if extent == ChangeScope::All {
            self.urgent.mark_unchanged();
        }
        while !chunk.is_full() {
            let follower = &mut self.follower;
            let page = self.shared.read(|table| match extent {
                ChangeScope::Urgent => follower.read_urgent(table, CHANGE_BATCH),
                ChangeScope::All => follower.read(table, CHANGE_BATCH),
            });
            let Ok(page) = page else {
                return ReaderState::StartSnapshot(Some("too_old"));
            };
            match self.options.format {
                StreamFormat::Event => self.write_events(chunk, &page),
                StreamFormat::Frame => self.write_frame(chunk, &page),
            }
            if page.complete {
                if extent == ChangeScope::All {
                    self.last_full_send = Some(self.clock.now().mono);
                }
                return ReaderState::WaitForChange;
            }
        }
        ReaderState::SendChanges(extent)
    }

    fn write_events(&self, chunk: &mut Chunk<'_>, page: &ReadBatch) {
        let before = chunk.text.len();
        let filter = &self.options.filter;
        for seen in &page.rows {
            let (row, since) = (&seen.row, seen.seen_seq);
            // A row that no longer matches is sent one last time, since later changes are not sent.
            if self.matches(seen) || filter.no_longer_matches(row, since) {
                chunk.row_changed(seen, filter.newly_matches(row, since));
            }
        }
        // Only on the last event: a client that resumed from an earlier one would miss the rest.
        if chunk.text.len() > before {
            chunk.set_last_id(self.follower.cursor());
        }
    }

    fn write_frame(&self, chunk: &mut Chunk<'_>, page: &ReadBatch) {
        let filter = &self.options.filter;
        let layers = self.options.layers == LayerMode::Embed;
        let mut frame = Frame::default();
        for seen in &page.rows {
            let (row, whole) = (&seen.row, seen.needs_full(layers));
            let left = || {
                let phase = filter.matches(row) && !filter.matches_end(row.pull.phase);
                (whole && phase) || filter.no_longer_matches(row, seen.seen_seq)
            };
            if self.matches(seen) {
                // A change of the linked pods changes the whole row.
                frame.push_row(row, chunk.frame_form(whole));
            } else if left() {
                frame.push_removed(&row.pull.id);
            }
        }
        for id in &page.removed {
            if filter.matches_node(id.node()) {
                frame.push_removed(id);
            }
        }
        for node in &page.nodes {
            if filter.matches_node(&node.view.name) {
                frame.push_node(node);
            }
        }
        chunk.frame(&frame, self.follower.cursor(), true);
    }

    fn matches(&self, seen: &RowUpdate) -> bool {
        let filter = &self.options.filter;
        let phase = seen.row.pull.phase;
        let ends = || seen.has_ended() && filter.matches_end(phase);
        filter.matches(&seen.row) && (filter.matches_phase(phase) || ends())
    }
}
