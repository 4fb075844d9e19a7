//! The live view: a scene, a size and a style in, lines out. Nothing is drawn here.
//!
//! The view is never higher or wider than it may be. Where it does not fit it tells less of each pull
//! before it leaves a pull out, and what it leaves out it counts.

mod drawer;

use std::collections::BTreeSet;

use pulltrace_core::{Bytes, NodeName, NodeSums, Phase, Pull};

use super::scene::Scene;
use super::text::{Line, Style, Tone};
use super::words;
use crate::source::{Sight, Teller};
use drawer::Drawer;

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
    let mut lines = header(scene, &live, size, style);
    let room = size.height.saturating_sub(lines.len());
    let for_ended = match ended.len() {
        count if count > ENDED_FIRST => ENDED_FIRST + 1,
        count => count,
    };
    let nodes = scene.pulls.values().map(|pull| pull.id.node());
    let grouped = nodes.collect::<BTreeSet<_>>().len() > 1;
    let drawer = Drawer {
        teller: &scene.teller,
        grouped,
        pulls: &scene.pulls,
        known: &scene.known,
        now: scene.now,
        width: size.width,
        style,
    };
    // Each line, and whether a pull begins with it.
    let mut rows: Vec<(Line, bool)> = Vec::new();
    let mut shown = 0;
    for detail in details(layers) {
        rows.clear();
        shown = 0;
        let mut node = None;
        for pull in &live {
            if grouped && node != Some(pull.id.node()) {
                node = Some(pull.id.node());
                rows.push((node_line(pull.id.node(), &live, style), false));
            }
            let lines = drawer.pull(pull, detail).into_iter().enumerate();
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
    // Here the shortest form is too long as well: the last line counts what has none.
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
    // What else there is to say of them takes only lines that nothing else needs.
    let mut spare = left.saturating_sub(ended_shown + usize::from(ended_shown < ended.len()));
    for pull in ended.iter().take(ended_shown) {
        rows.push(drawer.ended(pull));
        let beside = drawer.beside_ended(pull);
        if beside.len() <= spare {
            spare -= beside.len();
            rows.extend(beside);
        }
    }
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

fn header(scene: &Scene, live: &[&Pull], size: Size, style: Style) -> Vec<Line> {
    let mut facts = Vec::new();
    match (live.len(), scene.sight) {
        // That nothing is seen does not say that nothing goes on.
        (0, Sight::Looking | Sight::Lost(_)) => {}
        (0, Sight::Sees) => facts.push("no pull is going on".to_owned()),
        (_, _) => facts.push(pulls(live.iter().copied())),
    }
    let NodeSums {
        to_download,
        downloaded,
        rate,
        ..
    } = scene.sums;
    if !live.is_empty() && to_download > Bytes::ZERO {
        facts.push(format!("{downloaded} of {to_download}"));
        facts.extend(rate.map(|rate| rate.to_string()));
    }
    let line = |runtime: Option<&String>| {
        let mut line = Line::default();
        let name = match &scene.teller {
            Teller::Containerd(node) => node.as_str(),
            Teller::Server(url) => url,
        };
        line.push(name, Tone::Strong);
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
    let who = scene.teller.who();
    let (text, tone) = match scene.sight {
        Sight::Lost(since) => {
            let time = words::seconds(scene.now.since(since));
            let text = match scene.pulls.is_empty() {
                true => format!("{who} has not answered for {time}: still looking for it"),
                false => format!("{who} has not answered for {time}: this was seen last"),
            };
            (text, Tone::Warning)
        }
        Sight::Looking => (format!("looking for {who}"), Tone::Faint),
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

/// `3 pulls, 1 queued`.
fn pulls<'a>(live: impl Iterator<Item = &'a Pull>) -> String {
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

/// What stands above the pulls of a node, where there are several.
fn node_line(node: &NodeName, live: &[&Pull], style: Style) -> Line {
    let mine = live.iter().copied().filter(|pull| pull.id.node() == node);
    let mut line = Line::default();
    line.push("node ", Tone::Faint)
        .push(node.as_str(), Tone::Strong)
        .push(style.dot(), Tone::Faint)
        .push(&pulls(mine), Tone::Faint);
    line
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

#[cfg(test)]
mod tests;
