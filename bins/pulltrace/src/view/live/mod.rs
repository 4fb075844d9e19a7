//! The live view: renders a scene for a size and a style. `screen` draws the result.
//!
//! The view never exceeds its size. If space is short, pulls lose detail before any is left out,
//! and those left out are counted.

mod drawer;

use std::collections::BTreeSet;

use pulltrace_core::{Bytes, NodeName, NodeTotals, Phase, Pull};

use super::format;
use super::scene::Scene;
use super::text::{Line, Style, Tone};
use crate::source::{Origin, SourceStatus};
use drawer::{Detail, Drawer, MINIMAL};

/// Layers shown individually.
#[derive(Clone, Copy, Debug, PartialEq, Eq, clap::ValueEnum)]
pub(crate) enum Layers {
    /// All layers, as space permits
    All,
    /// Active and waiting layers; the others are summed up
    Active,
    /// No layers
    None,
}

/// Size of the drawing area.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Size {
    pub(crate) width: usize,
    pub(crate) height: usize,
}

/// Number of ended pulls with reserved space; only then do live pulls get more detail.
const RESERVED_ENDED: usize = 3;

/// Returns the levels of detail, most detailed first.
fn detail_levels(layers: Layers) -> Vec<Detail> {
    let none = Detail { full: true, ..MINIMAL };
    let some = |layers| Detail { layers, summary: true, ..none };
    let all = Detail { idle_layers: true, ..some(usize::MAX) };
    match layers {
        Layers::None => vec![none, MINIMAL],
        Layers::Active => vec![some(8), some(3), some(1), some(0), none, MINIMAL],
        Layers::All => vec![all, some(20), some(8), some(3), some(0), none, MINIMAL],
    }
}

/// Renders the view: at most `size.height` lines of at most `size.width` cells.
pub(crate) fn render(scene: &Scene, layers: Layers, size: Size, style: Style) -> Vec<Line> {
    let (live, ended) = (scene.live(), scene.ended());
    let mut lines = header(scene, &live, size, style);
    let room = size.height.saturating_sub(lines.len());
    let for_ended = match ended.len() {
        count if count > RESERVED_ENDED => RESERVED_ENDED + 1,
        count => count,
    };
    let nodes = scene.pulls.values().map(|pull| pull.id.node());
    let grouped = nodes.collect::<BTreeSet<_>>().len() > 1;
    let drawer = Drawer {
        origin: &scene.origin,
        grouped,
        pulls: &scene.pulls,
        pod_contexts: &scene.pod_contexts,
        now: scene.now,
        width: size.width,
        style,
    };
    // Each line, and whether it is the first of a pull.
    let mut rows: Vec<(Line, bool)> = Vec::new();
    let mut shown = 0;
    for detail in detail_levels(layers) {
        rows.clear();
        shown = 0;
        let mut node = None;
        for pull in &live {
            if grouped && node != Some(pull.id.node()) {
                node = Some(pull.id.node());
                rows.push((node_heading(pull.id.node(), &live, style), false));
            }
            let lines = drawer.pull_lines(pull, detail).into_iter().enumerate();
            rows.extend(lines.map(|(index, line)| (line, index == 0)));
            shown += 1;
            if rows.len() > room {
                break;
            }
        }
        if rows.len() + for_ended <= room {
            break;
        }
    }
    // Even the shortest form is too long: the last line counts the omitted pulls.
    if rows.len() > room || (rows.len() == room && shown < live.len() + ended.len()) {
        rows.truncate(room.saturating_sub(1));
        shown = rows.iter().filter(|(_, begins)| *begins).count();
    }
    let mut rows: Vec<Line> = rows.into_iter().map(|(line, _)| line).collect();
    let left = room.saturating_sub(rows.len());
    let ended_shown = if shown < live.len() {
        0
    } else if ended.len() <= left {
        ended.len()
    } else {
        left.saturating_sub(1)
    };
    // Extra lines of ended pulls take only space that is left over.
    let mut spare = left.saturating_sub(ended_shown + usize::from(ended_shown < ended.len()));
    for pull in ended.iter().take(ended_shown) {
        rows.push(drawer.ended_line(pull));
        let beside = drawer.ended_details(pull);
        if beside.len() <= spare {
            spare -= beside.len();
            rows.extend(beside);
        }
    }
    let rest: Vec<&Pull> =
        live.iter().skip(shown).chain(ended.iter().skip(ended_shown)).copied().collect();
    if !rest.is_empty() {
        rows.push(overflow_line(&rest, style));
    }
    lines.extend(rows);
    lines.truncate(size.height);
    lines.into_iter().map(|line| line.cut(size.width, style)).collect()
}

fn header(scene: &Scene, live: &[&Pull], size: Size, style: Style) -> Vec<Line> {
    let mut facts = Vec::new();
    match (live.len(), scene.status) {
        // Without a connection, it is unknown whether images are being pulled.
        (0, SourceStatus::Connecting | SourceStatus::Lost(_)) => {}
        (0, SourceStatus::Connected) => facts.push("no active pulls".to_owned()),
        (_, _) => facts.push(count_text(live.iter().copied())),
    }
    let NodeTotals { to_download, downloaded, rate, .. } = scene.sums;
    if !live.is_empty() && to_download > Bytes::ZERO {
        facts.push(format!("{downloaded} of {to_download}"));
        facts.extend(rate.map(|rate| rate.to_string()));
    }
    let line = |runtime: Option<&String>| {
        let mut line = Line::default();
        let name = match &scene.origin {
            Origin::Containerd(node) => node.as_str(),
            Origin::Server(url) => url,
        };
        line.push(name, Tone::Strong);
        for fact in runtime.into_iter().chain(&facts) {
            line.push(style.separator(), Tone::Faint).push(fact, Tone::Plain);
        }
        line
    };
    let mut first = line(scene.runtime.as_ref());
    if first.width() > size.width {
        first = line(None);
    }
    let mut lines = vec![first];
    let who = scene.origin.label();
    let (text, tone) = match scene.status {
        SourceStatus::Lost(since) => {
            let time = format::seconds(scene.now.since(since));
            let text = match scene.pulls.is_empty() {
                true => format!("{who} has been unavailable for {time}; retrying"),
                false => {
                    format!("{who} has been unavailable for {time}; showing the last known state")
                }
            };
            (text, Tone::Warning)
        }
        SourceStatus::Connecting => (format!("connecting to {who}"), Tone::Faint),
        SourceStatus::Connected if scene.pulls.is_empty() => {
            ("waiting for pulls; press Ctrl-C to stop".to_owned(), Tone::Faint)
        }
        SourceStatus::Connected => return lines,
    };
    let mut line = Line::default();
    line.push(&text, tone);
    lines.push(line);
    lines
}

/// Formats counts: `3 pulls, 1 queued`.
fn count_text<'a>(live: impl Iterator<Item = &'a Pull>) -> String {
    let (queued, going): (Vec<_>, Vec<_>) = live.partition(|pull| pull.phase == Phase::Queued);
    let going = match (going.len(), queued.is_empty()) {
        (0, false) => None,
        (1, _) => Some("1 pull".to_owned()),
        (count, _) => Some(format!("{count} pulls")),
    };
    let queued = (!queued.is_empty()).then(|| format!("{} queued", queued.len()));
    let parts: Vec<_> = going.into_iter().chain(queued).collect();
    parts.join(", ")
}

/// Returns the heading above the pulls of a node, used if there are several nodes.
fn node_heading(node: &NodeName, live: &[&Pull], style: Style) -> Line {
    let mine = live.iter().copied().filter(|pull| pull.id.node() == node);
    let mut line = Line::default();
    line.push("node ", Tone::Faint)
        .push(node.as_str(), Tone::Strong)
        .push(style.separator(), Tone::Faint)
        .push(&count_text(mine), Tone::Faint);
    line
}

fn overflow_line(rest: &[&Pull], style: Style) -> Line {
    let mut counts: Vec<(&str, usize)> = Vec::new();
    for pull in rest {
        let state = format::state_label(pull);
        match counts.iter_mut().find(|(word, _)| *word == state) {
            Some((_, count)) => *count += 1,
            None => counts.push((state, 1)),
        }
    }
    let counts: Vec<_> =
        counts.into_iter().map(|(word, count)| format!("{count} {word}")).collect();
    let mut line = Line::default();
    line.push(
        &format!("{} and {} more ({})", style.ellipsis(), rest.len(), counts.join(", ")),
        Tone::Faint,
    );
    line
}

#[cfg(test)]
mod tests;
