//! Lines for a pipe or a log: one when a pull starts, one for each change of what it is doing, one
//! each few seconds while it gets on, one when it ends. A scene in, lines out.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use pulltrace_core::{NodeTime, Outcome, Phase, Pull, PullId};

use super::known::Known;
use super::scene::Scene;
use super::words;
use crate::source::Teller;

/// From one line of progress to the next.
const EVERY: Duration = Duration::from_secs(5);

/// What a pull waits for may change with each look at it: so long it must stand.
const CALM: Duration = Duration::from_secs(1);

/// What was said already. Bounded by the scene.
#[derive(Debug, Default)]
pub(crate) struct Plain {
    said: BTreeMap<PullId, Said>,
}

#[derive(Debug)]
struct Said {
    phase: Phase,
    notes: Vec<String>,
    text: String,
    at: NodeTime,
}

impl Plain {
    /// The lines that are due after these pulls changed.
    pub(crate) fn lines(&mut self, changed: &[Arc<Pull>], scene: &Scene) -> Vec<String> {
        self.said.retain(|id, _| scene.pulls.contains_key(id));
        let mut lines = Vec::new();
        for pull in changed {
            // A server tells also of what ended before it was asked.
            let at = match scene.teller {
                Teller::Server(_) if !self.said.contains_key(&pull.id) => pull.ended_at,
                Teller::Server(_) | Teller::Containerd(_) => None,
            };
            if let Some(text) = self.line(pull, scene) {
                lines.push(format!(
                    "{} {}",
                    stamp(at.unwrap_or(scene.now)),
                    printed(&text)
                ));
            }
        }
        lines
    }

    fn line(&mut self, pull: &Pull, scene: &Scene) -> Option<String> {
        let known = scene.known.get(&pull.id);
        let who = known.and_then(Known::who);
        let notes = words::notes(pull, &scene.teller, scene.now, &scene.pulls);
        let notes = notes.into_iter().map(|note| note.what);
        let mut notes: Vec<_> = who.into_iter().chain(notes).collect();
        // Why it failed may be heard later than that it did.
        notes.extend(pull.failure.as_ref().map(words::why));
        let node = match scene.teller {
            Teller::Containerd(_) => String::new(),
            Teller::Server(_) => format!("{} ", pull.id.node()),
        };
        let text = format!(
            "{node}{}: {}",
            words::title(pull),
            what(pull, &notes, known, scene)
        );
        let due = match self.said.get(&pull.id) {
            None => true,
            Some(said) if said.phase != pull.phase => true,
            Some(said) if pull.outcome().is_some() => said.notes != notes,
            Some(said) => {
                let wait = if said.notes == notes { EVERY } else { CALM };
                said.text != text && scene.now.since(said.at) >= wait
            }
        };
        if !due {
            return None;
        }
        let said = Said {
            phase: pull.phase,
            notes,
            text: text.clone(),
            at: scene.now,
        };
        self.said.insert(pull.id.clone(), said);
        Some(text)
    }
}

fn what(pull: &Pull, notes: &[String], known: Option<&Known>, scene: &Scene) -> String {
    if let Some(outcome) = pull.outcome() {
        let mut text = words::end(pull, outcome);
        if let (Outcome::Completed, Some(size)) = (outcome, words::size(pull)) {
            text += &format!(", {size}");
        }
        let mut facts = vec![text];
        facts.extend(words::hint(pull, &scene.teller).map(str::to_owned));
        facts.extend(known.and_then(|known| known.all(scene.now)));
        return facts.join("; ");
    }
    let mut facts = vec![pull.phase.to_string()];
    if let (Some(percent), Some(all)) = (pull.percent, pull.to_download) {
        facts[0] += &format!(" {percent}");
        facts.push(format!("{} of {all}", pull.downloaded));
    }
    facts.extend(pull.rate.map(|rate| rate.to_string()));
    facts.extend(pull.eta.map(|eta| format!("{} left", words::left(eta))));
    facts.extend(notes.iter().cloned());
    facts.join(", ")
}

/// Texts of registries may hold anything, and what is written may be read on a terminal.
fn printed(text: &str) -> String {
    let print = |c: char| if c.is_control() { '?' } else { c };
    text.chars().map(print).collect()
}

/// Whole seconds: `2026-11-24T20:29:40Z`.
fn stamp(now: NodeTime) -> String {
    let text = now.to_string();
    match text.split_once('.') {
        Some((seconds, _)) => format!("{seconds}Z"),
        None => text,
    }
}

#[cfg(test)]
mod tests;
