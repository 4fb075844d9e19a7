//! A piece of the stream's text: events, frames and the words of the protocol.

use std::fmt::Write as _;
use std::num::NonZeroU64;
use std::sync::Arc;

use pulltrace_core::NodeTime;
use pulltrace_core::wire::v1::SCHEMA_VERSION;

use crate::json;
use crate::table::{Form, NodeRow, Row, Seen};

use super::Layers;

/// Text that grows until it is handed over.
#[derive(Debug)]
pub(super) struct Chunk<'a> {
    pub(super) text: String,
    epoch: &'a str,
    pub(super) now: NodeTime,
    layers: Layers,
}

impl<'a> Chunk<'a> {
    pub(super) const fn new(epoch: &'a str, now: NodeTime, layers: Layers) -> Self {
        Self {
            text: String::new(),
            epoch,
            now,
            layers,
        }
    }

    pub(super) const fn is_full(&self) -> bool {
        self.text.len() >= super::CHUNK
    }

    /// After how long to come back.
    pub(super) fn retry(&mut self) {
        self.text.push_str("retry: 1000\n\n");
    }

    /// The end of the stream.
    pub(super) fn bye(&mut self) {
        self.text
            .push_str(": the server is about to stop\nretry: 1000\n\n");
    }

    pub(super) fn reset(&mut self, reason: &str) {
        self.put(format_args!(
            "event: reset\ndata: {{\"reason\":\"{reason}\"}}\n\n"
        ));
    }

    /// `snapshot-end` and `ping`: where the reader is now.
    pub(super) fn place(&mut self, event: &str, seq: u64) {
        let (epoch, now) = (self.epoch, self.now);
        self.put(format_args!(
            "event: {event}\nid: {epoch}-{seq}\ndata: {{\"seq\":{seq},\"now\":\"{now}\"}}\n\n"
        ));
    }

    /// A row of the snapshot.
    pub(super) fn begun(&mut self, row: &Row) {
        self.pull("pull.started", row);
        self.layers(row, 0);
    }

    /// What happened to a row since a reader last saw it; `new`: it did not see it before, whenever that began.
    pub(super) fn changed(&mut self, seen: &Seen, new: bool) {
        let row = &seen.row;
        let ended = seen.has_ended() || (new && row.ended_seq.is_some());
        let (first, then) = match (new || seen.has_started(), ended) {
            (true, true) => ("pull.started", Some(end(row))),
            (true, false) => ("pull.started", None),
            (false, true) => (end(row), None),
            (false, false) => ("pull.progress", None),
        };
        self.pull(first, row);
        self.layers(row, if new { 0 } else { seen.since });
        if let Some(then) = then {
            self.pull(then, row);
        }
    }

    /// Gives the last event an id.
    pub(super) fn id(&mut self, seq: u64) {
        // Into its block, before the line that ends it.
        self.text.pop();
        let epoch = self.epoch;
        self.put(format_args!("id: {epoch}-{seq}\n\n"));
    }

    fn pull(&mut self, kind: &str, row: &Row) {
        let pull = row.json(self.pull_form());
        self.event(kind, row, &pull, None);
    }

    /// The events of layers, where they are asked for.
    fn layers(&mut self, row: &Row, since: u64) {
        if self.layers != Layers::Events || row.layers.iter().all(|marks| marks.changed <= since) {
            return;
        }
        let pull = row.json(Form::StatusBare);
        let status = row.status(true);
        for (marks, layer) in row.layers.iter().zip(&status.layers) {
            if marks.changed <= since {
                continue;
            }
            let layer = json::text(layer);
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
        self.put(format_args!(
            "data: {{\"schemaVersion\":\"{SCHEMA_VERSION}\",\"timestamp\":\"{now}\",\"type\":\"{kind}\",\"nodeName\":\"{node}\",\"pull\":{pull}"
        ));
        if let Some(layer) = layer {
            self.put(format_args!(",\"layer\":{layer}"));
        }
        self.text.push_str("}\n\n");
    }

    const fn pull_form(&self) -> Form {
        match self.layers {
            Layers::Embed => Form::Status,
            Layers::None | Layers::Events => Form::StatusBare,
        }
    }

    /// How a row is written in a frame: whole, or what moves of it.
    pub(super) fn frame_form(&self, whole: bool) -> Form {
        match (whole, self.layers) {
            (true, _) => self.pull_form(),
            (false, Layers::Embed) => Form::Motion,
            (false, Layers::None | Layers::Events) => Form::MotionBare,
        }
    }

    /// A frame; nothing where there is nothing in it.
    pub(super) fn frame(&mut self, frame: &Frame, seq: u64, with_id: bool) {
        if frame.len() == 0 {
            return;
        }
        let (epoch, now) = (self.epoch, self.now);
        self.text.reserve(frame.len() + 256);
        self.text.push_str("event: frame\n");
        if with_id {
            self.put(format_args!("id: {epoch}-{seq}\n"));
        }
        self.put(format_args!("data: {{\"seq\":{seq},\"now\":\"{now}\""));
        for (name, list) in [
            ("rows", &frame.rows),
            ("up", &frame.up),
            ("rm", &frame.rm),
            ("nodes", &frame.nodes),
        ] {
            for (index, json) in list.iter().enumerate() {
                if index == 0 {
                    self.put(format_args!(",\"{name}\":["));
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

    fn put(&mut self, text: std::fmt::Arguments<'_>) {
        // A string takes all that is written to it.
        let _never_fails = self.text.write_fmt(text);
    }
}

fn end(row: &Row) -> &'static str {
    match row.pull.outcome() {
        Some(pulltrace_core::Outcome::Completed) => "pull.completed",
        _ => "pull.failed",
    }
}

/// The lists of a frame, of what is already written as JSON.
#[derive(Debug, Default)]
pub(super) struct Frame {
    rows: Vec<Arc<str>>,
    up: Vec<Arc<str>>,
    rm: Vec<Arc<str>>,
    nodes: Vec<Arc<str>>,
    len: usize,
}

impl Frame {
    pub(super) fn row(&mut self, row: &Row, form: Form) {
        let json = row.json(form);
        self.len += json.len();
        match form {
            Form::Status | Form::StatusBare => self.rows.push(json),
            Form::Motion | Form::MotionBare => self.up.push(json),
        }
    }

    pub(super) fn gone(&mut self, id: &pulltrace_core::PullId) {
        // Ids are of characters that need no escape.
        let json = format!("\"{id}\"");
        self.len += json.len();
        self.rm.push(json.into());
    }

    pub(super) fn node(&mut self, node: &NodeRow) {
        let json = node.json();
        self.len += json.len();
        self.nodes.push(json);
    }

    /// In bytes.
    pub(super) const fn len(&self) -> usize {
        self.len
    }
}
