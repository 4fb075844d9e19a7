//! Text of the event stream: events, frames and control messages.

use std::fmt::Write as _;
use std::num::NonZeroU64;
use std::sync::Arc;

use pulltrace_core::NodeTime;
use pulltrace_core::wire::v1::SCHEMA_VERSION;

use crate::json;
use crate::table::{JsonForm, NodeRow, Row, RowUpdate};

use super::options::{CHUNK_TARGET, LayerMode};

/// A chunk of the stream under construction.
#[derive(Debug)]
pub(super) struct Chunk<'a> {
    pub(super) text: String,
    epoch: &'a str,
    pub(super) now: NodeTime,
    layers: LayerMode,
}

impl<'a> Chunk<'a> {
    pub(super) const fn new(epoch: &'a str, now: NodeTime, layers: LayerMode) -> Self {
        Self { text: String::new(), epoch, now, layers }
    }

    pub(super) const fn is_full(&self) -> bool {
        self.text.len() >= CHUNK_TARGET
    }

    /// Sets the client's reconnection time.
    pub(super) fn retry(&mut self) {
        self.text.push_str("retry: 1000\n\n");
    }

    /// Announces that the server is stopping.
    pub(super) fn stopping(&mut self) {
        self.text.push_str(": the server is about to stop\nretry: 1000\n\n");
    }

    pub(super) fn reset(&mut self, reason: &str) {
        self.write(format_args!("event: reset\ndata: {{\"reason\":\"{reason}\"}}\n\n"));
    }

    /// Writes `snapshot-end` or `ping`, with the reader's current position.
    pub(super) fn position(&mut self, event: &str, seq: u64) {
        let (epoch, now) = (self.epoch, self.now);
        self.write(format_args!(
            "event: {event}\nid: {epoch}-{seq}\ndata: {{\"seq\":{seq},\"now\":\"{now}\"}}\n\n"
        ));
    }

    /// Writes a row of the snapshot.
    pub(super) fn snapshot_row(&mut self, row: &Row) {
        self.pull_event("pull.started", row);
        self.layer_events(row, 0);
    }

    /// Writes the changes of a row since the reader last saw it. `new` means that the reader has
    /// not seen the row before, even if it started earlier.
    pub(super) fn row_changed(&mut self, seen: &RowUpdate, new: bool) {
        let row = &seen.row;
        let ended = seen.has_ended() || (new && row.ended_seq.is_some());
        let (first, then) = match (new || seen.has_started(), ended) {
            (true, true) => ("pull.started", Some(end_event_type(row))),
            (true, false) => ("pull.started", None),
            (false, true) => (end_event_type(row), None),
            (false, false) => ("pull.progress", None),
        };
        self.pull_event(first, row);
        self.layer_events(row, if new { 0 } else { seen.seen_seq });
        if let Some(then) = then {
            self.pull_event(then, row);
        }
    }

    /// Sets the id of the last event.
    pub(super) fn set_last_id(&mut self, seq: u64) {
        // Insert it before the blank line that ends the event.
        self.text.pop();
        let epoch = self.epoch;
        self.write(format_args!("id: {epoch}-{seq}\n\n"));
    }

    fn pull_event(&mut self, kind: &str, row: &Row) {
        let pull = row.json(self.pull_form());
        self.event(kind, row, &pull, None);
    }

    /// Writes layer events, if the reader requested them.
    fn layer_events(&mut self, row: &Row, since: u64) {
        if self.layers != LayerMode::Events
            || row.layer_seqs.iter().all(|marks| marks.changed <= since)
        {
            return;
        }
        let pull = row.json(JsonForm::StatusNoLayers);
        let status = row.status(true);
        for (marks, layer) in row.layer_seqs.iter().zip(&status.layers) {
            if marks.changed <= since {
                continue;
            }
            let layer = json::to_string(layer);
            let new = |at: Option<NonZeroU64>| at.is_some_and(|at| at.get() > since);
            let (started, completed) = (new(marks.started), new(marks.completed));
            if started {
                self.event("layer.started", row, &pull, Some(&layer));
            }
            if completed {
                self.event("layer.completed", row, &pull, Some(&layer));
            }
            if !started && !completed {
                self.event("layer.progress", row, &pull, Some(&layer));
            }
        }
    }

    fn event(&mut self, kind: &str, row: &Row, pull: &str, layer: Option<&str>) {
        let (now, node) = (self.now, row.pull.id.node());
        self.write(format_args!(
            "data: {{\"schemaVersion\":\"{SCHEMA_VERSION}\",\"timestamp\":\"{now}\",\"type\":\"{kind}\",\"nodeName\":\"{node}\",\"pull\":{pull}"
        ));
        if let Some(layer) = layer {
            self.write(format_args!(",\"layer\":{layer}"));
        }
        self.text.push_str("}\n\n");
    }

    const fn pull_form(&self) -> JsonForm {
        match self.layers {
            LayerMode::Embed => JsonForm::Status,
            LayerMode::None | LayerMode::Events => JsonForm::StatusNoLayers,
        }
    }

    /// The form of a row in a frame: full, or only the parts that change during a transfer.
    pub(super) fn frame_form(&self, whole: bool) -> JsonForm {
        match (whole, self.layers) {
            (true, _) => self.pull_form(),
            (false, LayerMode::Embed) => JsonForm::Motion,
            (false, LayerMode::None | LayerMode::Events) => JsonForm::MotionNoLayers,
        }
    }

    /// Writes a frame unless it is empty.
    pub(super) fn frame(&mut self, frame: &Frame, seq: u64, with_id: bool) {
        if frame.len() == 0 {
            return;
        }
        let (epoch, now) = (self.epoch, self.now);
        self.text.reserve(frame.len() + 256);
        self.text.push_str("event: frame\n");
        if with_id {
            self.write(format_args!("id: {epoch}-{seq}\n"));
        }
        self.write(format_args!("data: {{\"seq\":{seq},\"now\":\"{now}\""));
        for (name, list) in [
            ("rows", &frame.rows),
            ("up", &frame.motions),
            ("rm", &frame.removed),
            ("nodes", &frame.nodes),
        ] {
            for (index, json) in list.iter().enumerate() {
                if index == 0 {
                    self.write(format_args!(",\"{name}\":["));
                } else {
                    self.text.push(',');
                }
                self.text.push_str(json);
            }
            if !list.is_empty() {
                self.text.push(']');
            }
        }
        self.text.push_str("}\n\n");
    }

    fn write(&mut self, text: std::fmt::Arguments<'_>) {
        // Writing to a string cannot fail.
        let _never_fails = self.text.write_fmt(text);
    }
}

fn end_event_type(row: &Row) -> &'static str {
    match row.pull.outcome() {
        Some(pulltrace_core::Outcome::Completed) => "pull.completed",
        _ => "pull.failed",
    }
}

/// The contents of a frame, as serialized JSON.
#[derive(Debug, Default)]
pub(super) struct Frame {
    rows: Vec<Arc<str>>,
    motions: Vec<Arc<str>>,
    removed: Vec<Arc<str>>,
    nodes: Vec<Arc<str>>,
    len: usize,
}

impl Frame {
    pub(super) fn push_row(&mut self, row: &Row, form: JsonForm) {
        let json = row.json(form);
        self.len += json.len();
        match form {
            JsonForm::Status | JsonForm::StatusNoLayers => self.rows.push(json),
            JsonForm::Motion | JsonForm::MotionNoLayers => self.motions.push(json),
        }
    }

    pub(super) fn push_removed(&mut self, id: &pulltrace_core::PullId) {
        // Ids need no escaping.
        let json = format!("\"{id}\"");
        self.len += json.len();
        self.removed.push(json.into());
    }

    pub(super) fn push_node(&mut self, node: &NodeRow) {
        let json = node.json();
        self.len += json.len();
        self.nodes.push(json);
    }

    /// Size in bytes.
    pub(super) const fn len(&self) -> usize {
        self.len
    }
}
