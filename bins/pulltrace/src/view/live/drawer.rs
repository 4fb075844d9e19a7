//! The lines of one pull: its row, notes and layers.

use pulltrace_core::{Bytes, Layer, LayerState, NodeTime, Outcome, Phase, Pull};

use crate::source::Origin;
use crate::view::format::{self, Pulls};
use crate::view::pod_context::PodContexts;
use crate::view::text::{Line, Style, Tone, cells, elide};

/// Minimum width to show all values of a pull on one line.
const WIDE: usize = 120;

/// Minimum width to show the range of an estimate and the build step of a layer.
const VERY_WIDE: usize = 150;

/// The longest state is `downloading`.
const STATE_WIDTH: usize = 11;
/// `100 %`.
const PERCENT_WIDTH: usize = 5;
/// `0.98 KiB of 0.98 KiB`.
const BYTES_WIDTH: usize = 20;
/// `0.98 KiB/s`.
const SPEED_WIDTH: usize = 10;
/// `~59 m 59 s left`.
const TIME_LEFT_WIDTH: usize = 15;

/// The level of detail of a live pull.
#[derive(Clone, Copy)]
pub(super) struct Detail {
    /// Allows more than one line.
    pub(super) full: bool,
    /// Maximum number of layers with their own line.
    pub(super) layers: usize,
    /// Shows idle layers too.
    pub(super) idle_layers: bool,
    /// Sums up the layers without a line.
    pub(super) summary: bool,
}

pub(super) const MINIMAL: Detail =
    Detail { full: false, layers: 0, idle_layers: false, summary: false };

/// Renders pulls as lines.
pub(super) struct Drawer<'a> {
    pub(super) origin: &'a Origin,
    /// Set if the pulls are of more than one node.
    pub(super) grouped: bool,
    pub(super) pulls: &'a Pulls,
    pub(super) pod_contexts: &'a PodContexts,
    pub(super) now: NodeTime,
    pub(super) width: usize,
    pub(super) style: Style,
}

/// A line that accepts columns while they fit.
struct RowBuilder {
    line: Line,
    width: usize,
}

impl RowBuilder {
    fn new(indent: usize, width: usize) -> Self {
        let mut line = Line::default();
        line.push(&" ".repeat(indent), Tone::Plain);
        Self { line, width }
    }

    /// Adds a left-aligned column if it fits.
    fn left(&mut self, text: &str, width: usize, tone: Tone) -> &mut Self {
        let mut column = Line::default();
        column.push(text, tone).pad_to(width);
        self.column(column)
    }

    /// Adds a right-aligned column if it fits.
    fn right(&mut self, text: &str, width: usize, tone: Tone) -> &mut Self {
        let mut column = Line::default();
        column.pad_to(width.saturating_sub(cells(text))).push(text, tone);
        self.column(column)
    }

    fn column(&mut self, column: Line) -> &mut Self {
        if column.width() + self.line.width() <= self.width {
            self.line.join(column);
            let end = self.line.width() + 2;
            if end <= self.width {
                self.line.pad_to(end);
            }
        } else {
            // Later columns are less important than the one that did not fit.
            self.width = 0;
        }
        self
    }
}

impl Drawer<'_> {
    /// Returns all lines of a live pull at this level of detail.
    pub(super) fn pull_lines(&self, pull: &Pull, detail: Detail) -> Vec<Line> {
        let mut lines = Vec::new();
        let (state, tone) = (format::state_label(pull), state_tone(pull));
        let title = format::title(pull);
        if self.width >= WIDE {
            let estimate = self.estimate_width();
            let bar = self.width / 8;
            let rest =
                STATE_WIDTH + bar + PERCENT_WIDTH + BYTES_WIDTH + SPEED_WIDTH + estimate + 6 * 2;
            let name = self.width - rest;
            let mut row = RowBuilder::new(0, self.width);
            row.left(&elide(&title, name, self.style), name, Tone::Strong).left(
                state,
                STATE_WIDTH,
                tone,
            );
            self.add_progress(pull, &mut row, bar);
            lines.push(row.line);
        } else if detail.full {
            let name = self.width.saturating_sub(STATE_WIDTH + 2);
            let mut row = RowBuilder::new(0, self.width);
            row.left(&elide(&title, name, self.style), name, Tone::Strong).left(
                state,
                STATE_WIDTH,
                tone,
            );
            lines.push(row.line);
            let mut row = RowBuilder::new(2, self.width);
            let rest = 2 + PERCENT_WIDTH + BYTES_WIDTH + SPEED_WIDTH + TIME_LEFT_WIDTH + 4 * 2;
            let bar = self.width.saturating_sub(rest).clamp(8, 40);
            self.add_progress(pull, &mut row, bar);
            if pull.total.is_some() {
                lines.push(row.line);
            }
        } else {
            let name = self
                .width
                .saturating_sub(STATE_WIDTH + PERCENT_WIDTH + TIME_LEFT_WIDTH + 3 * 2)
                .max(8);
            let mut row = RowBuilder::new(0, self.width);
            row.left(&elide(&title, name, self.style), name, Tone::Strong)
                .left(state, STATE_WIDTH, tone)
                .right(&percent(pull), PERCENT_WIDTH, Tone::Plain);
            if let Some(eta) = pull.motion.eta {
                row.left(&format!("{} left", format::eta_text(eta)), TIME_LEFT_WIDTH, Tone::Plain);
            }
            lines.push(row.line);
        }
        if detail.full {
            lines.extend(self.pod_line(pull));
            lines.extend(self.note_line(pull));
            lines.extend(self.layer_lines(pull, detail));
        }
        lines
    }

    const fn estimate_width(&self) -> usize {
        // `~59 m 59 s left (59 m 59 s to 23 h 59 m)`
        if self.width >= VERY_WIDE { TIME_LEFT_WIDTH + 27 } else { TIME_LEFT_WIDTH }
    }

    /// Adds bar, percentage, bytes, speed and time left, as far as known.
    fn add_progress(&self, pull: &Pull, row: &mut RowBuilder, bar: usize) {
        let Some(to_download) = pull.to_download else {
            let text = match pull.phase {
                Phase::Queued => "not started yet",
                _ => "size unknown",
            };
            row.left(text, bar.max(18), Tone::Faint);
            return;
        };
        // An empty total counts as complete.
        let share = |part: Bytes, whole: Option<Bytes>| {
            whole.map_or(0.0, |whole| part.fraction_of(whole).unwrap_or(1.0))
        };
        let here = share(pull.motion.downloaded, Some(to_download));
        let unpacked = share(pull.motion.extracted, pull.to_extract);
        row.column(self.style.bar(bar, unpacked, here))
            .right(&percent(pull), PERCENT_WIDTH, Tone::Plain)
            .right(
                &format!("{} of {to_download}", pull.motion.downloaded),
                BYTES_WIDTH,
                Tone::Plain,
            )
            .right(
                &pull.motion.rate.map(|rate| rate.to_string()).unwrap_or_default(),
                SPEED_WIDTH,
                Tone::Plain,
            );
        if let Some(eta) = pull.motion.eta {
            let mut text = format!("{} left", format::eta_text(eta));
            if self.width >= VERY_WIDE
                && let Some(range) = format::eta_range(eta)
            {
                text += &format!(" ({range})");
            }
            let width = cells(&text);
            row.left(&text, width, Tone::Plain);
        }
    }

    /// Returns the line about waiting pods.
    fn pod_line(&self, pull: &Pull) -> Option<Line> {
        let text = self.pod_contexts.get(&pull.id)?.summary_with_retry(self.now)?;
        let mut line = Line::default();
        line.push("  ", Tone::Plain).push(&text, Tone::Plain);
        Some(line)
    }

    /// Returns details of an ended pull that do not fit on its line.
    pub(super) fn ended_details(&self, pull: &Pull) -> Vec<Line> {
        let hint = format::hint(pull, self.origin).map(|hint| {
            let mut line = Line::default();
            line.push("  ", Tone::Plain).push(hint, Tone::Faint);
            line
        });
        self.pod_line(pull).into_iter().chain(hint).collect()
    }

    fn note_line(&self, pull: &Pull) -> Option<Line> {
        let notes = format::notes(pull, self.origin, self.now, self.pulls);
        let trouble = pull.stale_since.or(pull.stalled_since).or(pull.slow_since);
        let tone = trouble.map_or(Tone::Faint, |_| Tone::Warning);
        let texts: Vec<_> = notes.into_iter().map(|note| note.text).collect();
        if texts.is_empty() {
            return None;
        }
        let mut line = Line::default();
        line.push("  ", Tone::Plain).push(&texts.join("; "), tone);
        Some(line)
    }

    /// Returns a line for each selected layer and one for the others.
    fn layer_lines(&self, pull: &Pull, detail: Detail) -> Vec<Line> {
        if detail.layers == 0 && !detail.summary {
            return Vec::new();
        }
        let mut chosen: Vec<usize> = (0..pull.layers.len())
            .filter(|index| detail.idle_layers || has_own_line(&pull.layers[*index]))
            .collect();
        if chosen.len() > detail.layers {
            // Active layers before waiting ones, then from the lowest up.
            chosen.sort_by_key(|index| line_priority(pull.layers[*index].state));
            chosen.truncate(detail.layers);
            chosen.sort_unstable();
        }
        let mut lines: Vec<_> =
            chosen.iter().map(|index| self.layer_line(pull, &pull.layers[*index])).collect();
        let others = (0..pull.layers.len())
            .filter(|index| !chosen.contains(index))
            .map(|index| &pull.layers[index]);
        let sum = format::layer_summary(others, self.pulls, self.style.separator());
        if !sum.is_empty() {
            let mut line = Line::default();
            line.push("    ", Tone::Plain).push(&sum, Tone::Faint);
            lines.push(line);
        }
        lines
    }

    fn layer_line(&self, pull: &Pull, layer: &Layer) -> Line {
        let mut row = RowBuilder::new(4, self.width);
        row.left(layer.digest.short(), 12, Tone::Faint);
        let tone = match layer.state {
            LayerState::Downloading => Tone::Active,
            LayerState::Extracting | LayerState::Complete => Tone::Good,
            _ => Tone::Faint,
        };
        row.left(format::layer_state(layer), STATE_WIDTH, tone);
        if layer.state == LayerState::Downloading {
            let wide = self.width >= WIDE;
            let bar = if wide { 16 } else { 8 };
            let here = layer.motion.downloaded.fraction_of(layer.size);
            row.column(self.style.bar(bar, 0.0, here.unwrap_or(1.0)));
            let percent =
                here.map(|share| pulltrace_core::Percent::from_fraction(share).to_string());
            row.right(&percent.unwrap_or_default(), PERCENT_WIDTH, Tone::Plain).right(
                &format!("{} of {}", layer.motion.downloaded, layer.size),
                BYTES_WIDTH,
                Tone::Plain,
            );
            if let Some(rate) = layer.motion.rate {
                row.right(&rate.to_string(), SPEED_WIDTH, Tone::Plain);
            }
        } else {
            row.right(&layer.size.to_string(), 8, Tone::Plain);
            let mut facts = Vec::new();
            if let (LayerState::Extracting, Some(written)) =
                (layer.state, layer.motion.unpacked_bytes)
            {
                facts.push(format!("{written} written"));
            }
            if let (LayerState::Extracting, Some(at)) = (layer.state, layer.extracting_at) {
                facts.push(format!("for {}", format::seconds(self.now.since(at))));
            }
            if let Some(on) = &layer.waiting_on {
                let time = format::seconds(self.now.since(on.since));
                facts.push(match on.pull.as_ref().and_then(|id| self.pulls.get(id)) {
                    // This line already names the layer.
                    Some(other) => format!("waiting for {} ({time})", format::title(other)),
                    None => format!("{} ({time})", format::waiting_text(on, self.pulls)),
                });
            }
            let room = self.width.saturating_sub(row.line.width());
            let mut text = Line::default();
            text.push(&facts.join(", "), Tone::Faint);
            row.column(text.cut(room, self.style));
        }
        self.build_step(pull, layer, &mut row);
        row.line
    }

    /// Adds the build step of the layer if there is room.
    fn build_step(&self, pull: &Pull, layer: &Layer, row: &mut RowBuilder) {
        const COLUMN: usize = 104;
        let image = pull.image.as_deref();
        let step = image
            .and_then(|image| Some(&image.layers[image.layer(&layer.digest)?]))
            .and_then(|told| told.created_by.as_deref());
        if let Some(step) = step
            && self.width >= VERY_WIDE
            && row.line.width() <= COLUMN
        {
            row.line.pad_to(COLUMN);
            let mut text = Line::default();
            text.push(step, Tone::Faint);
            row.column(text.cut(self.width - COLUMN, self.style));
        }
    }

    /// Returns the line of an ended pull.
    pub(super) fn ended_line(&self, pull: &Pull) -> Line {
        let outcome = pull.outcome().unwrap_or(Outcome::Unknown);
        let (sign, plain, tone) = match outcome {
            Outcome::Completed => ("✓ ", "+ ", Tone::Good),
            Outcome::Failed => ("✗ ", "! ", Tone::Bad),
            Outcome::Cancelled => ("⊘ ", "- ", Tone::Warning),
            _ => ("? ", "? ", Tone::Warning),
        };
        let sign = if self.style.unicode { sign } else { plain };
        let end = format::outcome_text(pull, outcome);
        let size = match outcome {
            Outcome::Completed => format::size_text(pull).map(|size| format!(", {size}")),
            _ => None,
        };
        let mut title = format::title(pull);
        if self.grouped {
            title = format!("{} {title}", pull.id.node());
        }
        let beside = self.width.saturating_sub(cells(sign) + 2 + cells(&end));
        let name = beside.max(self.width / 3).min(if self.width >= WIDE { 60 } else { 44 });
        let mut line = Line::default();
        line.push(sign, tone)
            .push(&elide(&title, name, self.style), Tone::Plain)
            .pad_to(cells(sign) + name.min(self.width / 2))
            .push("  ", Tone::Plain)
            .push(&end, tone);
        if let Some(size) = size
            && line.width() + cells(&size) <= self.width
        {
            line.push(&size, Tone::Faint);
        }
        line
    }
}

/// Reports whether a layer is active or waits for something known.
fn has_own_line(layer: &Layer) -> bool {
    match layer.state {
        LayerState::Downloading | LayerState::Extracting => true,
        LayerState::Waiting | LayerState::Downloaded => layer.waiting_on.is_some(),
        _ => false,
    }
}

/// Returns the priority of a layer for its own line; 0 is highest.
const fn line_priority(state: LayerState) -> u8 {
    match state {
        LayerState::Extracting => 0,
        LayerState::Downloading => 1,
        LayerState::Downloaded => 2,
        LayerState::Waiting => 3,
        LayerState::Complete => 4,
        _ => 5,
    }
}

fn percent(pull: &Pull) -> String {
    pull.motion.percent.map(|percent| percent.to_string()).unwrap_or_default()
}

fn state_tone(pull: &Pull) -> Tone {
    match format::state_label(pull) {
        "downloading" => Tone::Active,
        "extracting" => Tone::Good,
        "stalled" | "stale" => Tone::Warning,
        _ => Tone::Plain,
    }
}
