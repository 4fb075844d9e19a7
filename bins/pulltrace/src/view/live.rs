//! The live view: a scene, a size and a style in, lines out. Nothing is drawn here.
//!
//! The view is never higher or wider than it may be. Where it does not fit it tells less of each pull
//! before it leaves a pull out, and what it leaves out it counts.

use pulltrace_core::{Bytes, Layer, LayerState, NodeSums, NodeTime, Outcome, Pull};

use super::scene::Scene;
use super::text::{Line, Style, Tone, cells, elide};
use super::words::{self, Pulls};
use crate::source::Sight;

/// Which layers are shown one by one.
#[derive(Clone, Copy, Debug, PartialEq, Eq, clap::ValueEnum)]
pub(crate) enum Layers {
    /// Each layer, where there is room.
    All,
    /// Those that move or wait; the others are summed up.
    Active,
    /// None.
    None,
}

/// The size of what may be drawn to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Size {
    pub(crate) width: usize,
    pub(crate) height: usize,
}

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

/// Ended pulls that are shown before the others have told all of themselves.
const ENDED_FIRST: usize = 3;

/// How much is told of each live pull.
#[derive(Clone, Copy)]
struct Detail {
    /// Whether it may take more than one line.
    full: bool,
    /// How many layers have a line of their own.
    layers: usize,
    /// Whether idle layers have lines, too.
    idle: bool,
    /// Whether the layers without a line are summed up.
    sum: bool,
}

const SHORTEST: Detail = Detail {
    full: false,
    layers: 0,
    idle: false,
    sum: false,
};

/// From the most to the least.
fn details(layers: Layers) -> Vec<Detail> {
    let none = Detail {
        full: true,
        ..SHORTEST
    };
    let some = |layers| Detail {
        layers,
        sum: true,
        ..none
    };
    let all = Detail {
        idle: true,
        ..some(usize::MAX)
    };
    match layers {
        Layers::None => vec![none, SHORTEST],
        Layers::Active => vec![some(8), some(3), some(1), some(0), none, SHORTEST],
        Layers::All => vec![all, some(20), some(8), some(3), some(0), none, SHORTEST],
    }
}

/// All lines of the view; at most `size.height`, each at most `size.width` cells.
pub(crate) fn render(scene: &Scene, layers: Layers, size: Size, style: Style) -> Vec<Line> {
    let (live, ended) = (scene.live(), scene.ended());
    let mut lines = header(scene, live.len(), size, style);
    let room = size.height.saturating_sub(lines.len());
    let for_ended = match ended.len() {
        count if count > ENDED_FIRST => ENDED_FIRST + 1,
        count => count,
    };
    let drawer = Drawer {
        pulls: &scene.pulls,
        now: scene.now,
        width: size.width,
        style,
    };
    let mut rows: Vec<Line> = Vec::new();
    let mut shown = 0;
    for detail in details(layers) {
        rows.clear();
        shown = 0;
        for pull in &live {
            rows.extend(drawer.pull(pull, detail));
            shown += 1;
            if rows.len() > room {
                break;
            }
        }
        if rows.len() + for_ended <= room {
            break;
        }
    }
    // Here the shortest form is too long as well: the last line counts what has none.
    if rows.len() > room || (rows.len() == room && shown < live.len() + ended.len()) {
        rows.truncate(room.saturating_sub(1));
        shown = rows.len();
    }
    let left = room.saturating_sub(rows.len());
    let ended_shown = if shown < live.len() {
        0
    } else if ended.len() <= left {
        ended.len()
    } else {
        left.saturating_sub(1)
    };
    rows.extend(
        ended
            .iter()
            .take(ended_shown)
            .map(|pull| drawer.ended(pull)),
    );
    let rest: Vec<&Pull> = live
        .iter()
        .skip(shown)
        .chain(ended.iter().skip(ended_shown))
        .copied()
        .collect();
    if !rest.is_empty() {
        rows.push(more(&rest, style));
    }
    lines.extend(rows);
    lines.truncate(size.height);
    lines
        .into_iter()
        .map(|line| line.cut(size.width, style))
        .collect()
}

fn header(scene: &Scene, live: usize, size: Size, style: Style) -> Vec<Line> {
    let mut facts = Vec::new();
    match (live, scene.sight) {
        // That nothing is seen does not say that nothing goes on.
        (0, Sight::Looking | Sight::Lost(_)) => {}
        (0, Sight::Sees) => facts.push("no pull is going on".to_owned()),
        (1, _) => facts.push("1 pull".to_owned()),
        (count, _) => facts.push(format!("{count} pulls")),
    }
    let NodeSums {
        to_download,
        downloaded,
        rate,
        ..
    } = scene.sums;
    if live > 0 && to_download > Bytes::ZERO {
        facts.push(format!("{downloaded} of {to_download}"));
        facts.extend(rate.map(|rate| rate.to_string()));
    }
    let line = |runtime: Option<&String>| {
        let mut line = Line::default();
        line.push(scene.node.as_str(), Tone::Strong);
        for fact in runtime.into_iter().chain(&facts) {
            line.push(style.dot(), Tone::Faint).push(fact, Tone::Plain);
        }
        line
    };
    let mut first = line(scene.runtime.as_ref());
    if first.width() > size.width {
        first = line(None);
    }
    let mut lines = vec![first];
    let (text, tone) = match scene.sight {
        Sight::Lost(since) => {
            let time = words::seconds(scene.now.since(since));
            let text = match scene.pulls.is_empty() {
                true => format!("containerd has not answered for {time}: still looking for it"),
                false => format!("containerd has not answered for {time}: this was seen last"),
            };
            (text, Tone::Warning)
        }
        Sight::Looking => ("looking for containerd".to_owned(), Tone::Faint),
        Sight::Sees if scene.pulls.is_empty() => (
            "the next one shows up here; Ctrl-C ends".to_owned(),
            Tone::Faint,
        ),
        Sight::Sees => return lines,
    };
    let mut line = Line::default();
    line.push(&text, tone);
    lines.push(line);
    lines
}

fn more(rest: &[&Pull], style: Style) -> Line {
    let mut counts: Vec<(&str, usize)> = Vec::new();
    for pull in rest {
        let state = words::state(pull);
        match counts.iter_mut().find(|(word, _)| *word == state) {
            Some((_, count)) => *count += 1,
            None => counts.push((state, 1)),
        }
    }
    let counts: Vec<_> = counts
        .into_iter()
        .map(|(word, count)| format!("{count} {word}"))
        .collect();
    let mut line = Line::default();
    line.push(
        &format!(
            "{} and {} more ({})",
            style.ellipsis(),
            rest.len(),
            counts.join(", ")
        ),
        Tone::Faint,
    );
    line
}

/// Draws the parts of pulls that have no state of their own.
struct Drawer<'a> {
    pulls: &'a Pulls,
    now: NodeTime,
    width: usize,
    style: Style,
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
    fn pull(&self, pull: &Pull, detail: Detail) -> Vec<Line> {
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
            row.left("size not known yet", bar.max(18), Tone::Faint);
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

    fn notes(&self, pull: &Pull) -> Option<Line> {
        let notes = words::notes(pull, self.now, self.pulls);
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

    fn ended(&self, pull: &Pull) -> Line {
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
        let title = words::title(pull);
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

#[cfg(test)]
mod tests;
