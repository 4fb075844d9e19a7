//! The lines of one pull: its row, what is to be said beside it, its layers.

use pulltrace_core::{Bytes, Layer, LayerState, NodeTime, Outcome, Phase, Pull};

use super::Detail;
use crate::source::Teller;
use crate::view::known::KnownPulls;
use crate::view::text::{Line, Style, Tone, cells, elide};
use crate::view::words::{self, Pulls};

/// From here on everything about a pull fits on one line.
const WIDE: usize = 120;

/// From here on there is room for the range of an estimate, and for the build step of a layer.
const VERY_WIDE: usize = 150;

/// The longest state: `downloading`.
const STATE: usize = 11;
/// `100 %`.
const PERCENT: usize = 5;
/// `0.98 KiB of 0.98 KiB`.
const BYTES: usize = 20;
/// `0.98 KiB/s`.
const SPEED: usize = 10;
/// `~59 m 59 s left`.
const LEFT: usize = 15;

/// Draws the parts of pulls that have no state of their own.
pub(super) struct Drawer<'a> {
    pub(super) teller: &'a Teller,
    /// Whether the pulls are of more than one node.
    pub(super) grouped: bool,
    pub(super) pulls: &'a Pulls,
    pub(super) known: &'a KnownPulls,
    pub(super) now: NodeTime,
    pub(super) width: usize,
    pub(super) style: Style,
}

/// A line that takes columns as long as there is room for them.
struct Row {
    line: Line,
    width: usize,
}

impl Row {
    fn new(indent: usize, width: usize) -> Self {
        let mut line = Line::default();
        line.push(&" ".repeat(indent), Tone::Plain);
        Self { line, width }
    }

    /// Adds a column, left-aligned, where it fits.
    fn left(&mut self, text: &str, width: usize, tone: Tone) -> &mut Self {
        let mut column = Line::default();
        column.push(text, tone).pad_to(width);
        self.column(column)
    }

    /// Adds a column, right-aligned, where it fits.
    fn right(&mut self, text: &str, width: usize, tone: Tone) -> &mut Self {
        let mut column = Line::default();
        column
            .pad_to(width.saturating_sub(cells(text)))
            .push(text, tone);
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
            // What comes later is less important than what did not fit.
            self.width = 0;
        }
        self
    }
}

impl Drawer<'_> {
    /// All lines of a live pull, as detailed as they may be.
    pub(super) fn pull(&self, pull: &Pull, detail: Detail) -> Vec<Line> {
        let mut lines = Vec::new();
        let (state, tone) = (words::state(pull), state_tone(pull));
        let title = words::title(pull);
        if self.width >= WIDE {
            let estimate = self.estimate_width();
            let bar = self.width / 8;
            let rest = STATE + bar + PERCENT + BYTES + SPEED + estimate + 6 * 2;
            let name = self.width - rest;
            let mut row = Row::new(0, self.width);
            row.left(&elide(&title, name, self.style), name, Tone::Strong)
                .left(state, STATE, tone);
            self.numbers(pull, &mut row, bar);
            lines.push(row.line);
        } else if detail.full {
            let name = self.width.saturating_sub(STATE + 2);
            let mut row = Row::new(0, self.width);
            row.left(&elide(&title, name, self.style), name, Tone::Strong)
                .left(state, STATE, tone);
            lines.push(row.line);
            let mut row = Row::new(2, self.width);
            let rest = 2 + PERCENT + BYTES + SPEED + LEFT + 4 * 2;
            let bar = self.width.saturating_sub(rest).clamp(8, 40);
            self.numbers(pull, &mut row, bar);
            if pull.total.is_some() {
                lines.push(row.line);
            }
        } else {
            let name = self
                .width
                .saturating_sub(STATE + PERCENT + LEFT + 3 * 2)
                .max(8);
            let mut row = Row::new(0, self.width);
            row.left(&elide(&title, name, self.style), name, Tone::Strong)
                .left(state, STATE, tone)
                .right(&percent(pull), PERCENT, Tone::Plain);
            if let Some(eta) = pull.eta {
                row.left(&format!("{} left", words::left(eta)), LEFT, Tone::Plain);
            }
            lines.push(row.line);
        }
        if detail.full {
            lines.extend(self.known(pull));
            lines.extend(self.notes(pull));
            lines.extend(self.layers(pull, detail));
        }
        lines
    }

    const fn estimate_width(&self) -> usize {
        // `~59 m 59 s left (59 m 59 s to 23 h 59 m)`
        if self.width >= VERY_WIDE {
            LEFT + 27
        } else {
            LEFT
        }
    }

    /// Bar, percent, bytes, speed, time left: each where it is known.
    fn numbers(&self, pull: &Pull, row: &mut Row, bar: usize) {
        let Some(to_download) = pull.to_download else {
            let text = match pull.phase {
                Phase::Queued => "not begun yet",
                _ => "size not known yet",
            };
            row.left(text, bar.max(18), Tone::Faint);
            return;
        };
        // Where nothing is to be done, all of it is done.
        let share = |part: Bytes, whole: Option<Bytes>| {
            whole.map_or(0.0, |whole| part.share_of(whole).unwrap_or(1.0))
        };
        let here = share(pull.downloaded, Some(to_download));
        let unpacked = share(pull.extracted, pull.to_extract);
        row.column(self.style.bar(bar, unpacked, here))
            .right(&percent(pull), PERCENT, Tone::Plain)
            .right(
                &format!("{} of {to_download}", pull.downloaded),
                BYTES,
                Tone::Plain,
            )
            .right(
                &pull.rate.map(|rate| rate.to_string()).unwrap_or_default(),
                SPEED,
                Tone::Plain,
            );
        if let Some(eta) = pull.eta {
            let mut text = format!("{} left", words::left(eta));
            if self.width >= VERY_WIDE
                && let Some(range) = words::range(eta)
            {
                text += &format!(" ({range})");
            }
            let width = cells(&text);
            row.left(&text, width, Tone::Plain);
        }
    }

    /// Who waits for it.
    fn known(&self, pull: &Pull) -> Option<Line> {
        let text = self.known.get(&pull.id)?.all(self.now)?;
        let mut line = Line::default();
        line.push("  ", Tone::Plain).push(&text, Tone::Plain);
        Some(line)
    }

    /// What there is to say of one that is over and does not fit on its line.
    pub(super) fn beside_ended(&self, pull: &Pull) -> Vec<Line> {
        let hint = words::hint(pull, self.teller).map(|hint| {
            let mut line = Line::default();
            line.push("  ", Tone::Plain).push(hint, Tone::Faint);
            line
        });
        self.known(pull).into_iter().chain(hint).collect()
    }

    fn notes(&self, pull: &Pull) -> Option<Line> {
        let notes = words::notes(pull, self.teller, self.now, self.pulls);
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

    /// A line for each layer that has one, and one for the others.
    fn layers(&self, pull: &Pull, detail: Detail) -> Vec<Line> {
        if detail.layers == 0 && !detail.sum {
            return Vec::new();
        }
        let mut chosen: Vec<usize> = (0..pull.layers.len())
            .filter(|index| detail.idle || told(&pull.layers[*index]))
            .collect();
        if chosen.len() > detail.layers {
            // What moves says more than what waits; among equals the lowest come first.
            chosen.sort_by_key(|index| weight(pull.layers[*index].state));
            chosen.truncate(detail.layers);
            chosen.sort_unstable();
        }
        let mut lines: Vec<_> = chosen
            .iter()
            .map(|index| self.layer(pull, &pull.layers[*index]))
            .collect();
        let others = (0..pull.layers.len())
            .filter(|index| !chosen.contains(index))
            .map(|index| &pull.layers[index]);
        let sum = words::layers(others, self.pulls, self.style.dot());
        if !sum.is_empty() {
            let mut line = Line::default();
            line.push("    ", Tone::Plain).push(&sum, Tone::Faint);
            lines.push(line);
        }
        lines
    }

    fn layer(&self, pull: &Pull, layer: &Layer) -> Line {
        let mut row = Row::new(4, self.width);
        row.left(layer.digest.short(), 12, Tone::Faint);
        let tone = match layer.state {
            LayerState::Downloading => Tone::Coming,
            LayerState::Extracting | LayerState::Complete => Tone::Good,
            LayerState::Waiting
            | LayerState::Downloaded
            | LayerState::Cached
            | LayerState::Remote => Tone::Faint,
        };
        row.left(words::layer(layer), STATE, tone);
        if layer.state == LayerState::Downloading {
            let wide = self.width >= WIDE;
            let bar = if wide { 16 } else { 8 };
            let here = layer.downloaded.share_of(layer.size);
            row.column(self.style.bar(bar, 0.0, here.unwrap_or(1.0)));
            let percent = here.map(|share| pulltrace_core::Percent::from_share(share).to_string());
            row.right(&percent.unwrap_or_default(), PERCENT, Tone::Plain)
                .right(
                    &format!("{} of {}", layer.downloaded, layer.size),
                    BYTES,
                    Tone::Plain,
                );
            if let Some(rate) = layer.rate {
                row.right(&rate.to_string(), SPEED, Tone::Plain);
            }
        } else {
            row.right(&layer.size.to_string(), 8, Tone::Plain);
            let mut facts = Vec::new();
            if let (LayerState::Extracting, Some(written)) = (layer.state, layer.unpacked_bytes) {
                facts.push(format!("{written} written"));
            }
            if let (LayerState::Extracting, Some(at)) = (layer.state, layer.extracting_at) {
                facts.push(format!("for {}", words::seconds(self.now.since(at))));
            }
            if let Some(on) = &layer.waiting_on {
                let time = words::seconds(self.now.since(on.since));
                facts.push(match on.pull.as_ref().and_then(|id| self.pulls.get(id)) {
                    // The layer is named already.
                    Some(other) => format!("waiting for {} ({time})", words::title(other)),
                    None => format!("{} ({time})", words::waiting(on, self.pulls)),
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

    /// How the layer was made, where there is room to say it.
    fn build_step(&self, pull: &Pull, layer: &Layer, row: &mut Row) {
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

    /// The line of a pull that is over.
    pub(super) fn ended(&self, pull: &Pull) -> Line {
        let outcome = pull.outcome().unwrap_or(Outcome::Unknown);
        let (sign, plain, tone) = match outcome {
            Outcome::Completed => ("✓ ", "+ ", Tone::Good),
            Outcome::Failed => ("✗ ", "! ", Tone::Bad),
            Outcome::Cancelled => ("⊘ ", "- ", Tone::Warning),
            Outcome::Unknown => ("? ", "? ", Tone::Warning),
        };
        let sign = if self.style.unicode { sign } else { plain };
        let end = words::end(pull, outcome);
        let size = match outcome {
            Outcome::Completed => words::size(pull).map(|size| format!(", {size}")),
            Outcome::Failed | Outcome::Cancelled | Outcome::Unknown => None,
        };
        let mut title = words::title(pull);
        if self.grouped {
            title = format!("{} {title}", pull.id.node());
        }
        let beside = self.width.saturating_sub(cells(sign) + 2 + cells(&end));
        let name = beside
            .max(self.width / 3)
            .min(if self.width >= WIDE { 60 } else { 44 });
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

/// Whether a layer moves, or waits for something that can be named.
fn told(layer: &Layer) -> bool {
    match layer.state {
        LayerState::Downloading | LayerState::Extracting => true,
        LayerState::Waiting | LayerState::Downloaded => layer.waiting_on.is_some(),
        LayerState::Complete | LayerState::Cached | LayerState::Remote => false,
    }
}

/// What a line is spent on first.
const fn weight(state: LayerState) -> u8 {
    match state {
        LayerState::Extracting => 0,
        LayerState::Downloading => 1,
        LayerState::Downloaded => 2,
        LayerState::Waiting => 3,
        LayerState::Complete => 4,
        LayerState::Cached | LayerState::Remote => 5,
    }
}

fn percent(pull: &Pull) -> String {
    pull.percent
        .map(|percent| percent.to_string())
        .unwrap_or_default()
}

fn state_tone(pull: &Pull) -> Tone {
    match words::state(pull) {
        "downloading" => Tone::Coming,
        "extracting" => Tone::Good,
        "stalled" | "not seen" => Tone::Warning,
        _ => Tone::Plain,
    }
}
