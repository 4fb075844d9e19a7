//! Lines for a pipe or a log: one for each start, each change of state, every few seconds of
//! progress, and each end. Renders changes of a scene.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use pulltrace_core::{NodeTime, Outcome, Phase, Pull, PullId};

use super::format;
use super::pod_context::PodContext;
use super::scene::Scene;
use crate::source::Origin;

/// Interval of progress lines.
const PROGRESS_INTERVAL: Duration = Duration::from_secs(5);

/// Minimum time between lines if the notes change: the reason for a wait may differ in every poll.
const DEBOUNCE: Duration = Duration::from_secs(1);

/// The last line of each pull. Bounded by the scene.
#[derive(Debug, Default)]
pub(crate) struct PlainView {
    last_lines: BTreeMap<PullId, LastLine>,
}

#[derive(Debug)]
struct LastLine {
    phase: Phase,
    notes: Vec<String>,
    text: String,
    at: NodeTime,
}

impl PlainView {
    /// Returns the lines that are due after these pulls changed.
    pub(crate) fn lines(&mut self, changed: &[Arc<Pull>], scene: &Scene) -> Vec<String> {
        self.last_lines.retain(|id, _| scene.pulls.contains_key(id));
        let mut lines = Vec::new();
        for pull in changed {
            // A server also lists pulls that ended earlier.
            let at = match scene.origin {
                Origin::Server(_) if !self.last_lines.contains_key(&pull.id) => pull.ended_at,
                Origin::Server(_) | Origin::Containerd(_) => None,
            };
            if let Some(text) = self.due_line(pull, scene) {
                lines.push(format!(
                    "{} {}",
                    timestamp(at.unwrap_or(scene.now)),
                    mask_control_chars(&text)
                ));
            }
        }
        lines
    }

    fn due_line(&mut self, pull: &Pull, scene: &Scene) -> Option<String> {
        let context = scene.pod_contexts.get(&pull.id);
        let pods = context.and_then(PodContext::summary);
        let notes = format::notes(pull, &scene.origin, scene.now, &scene.pulls);
        let notes = notes.into_iter().map(|note| note.summary);
        let mut notes: Vec<_> = pods.into_iter().chain(notes).collect();
        // The reason for a failure may arrive after the failure.
        notes.extend(pull.failure.as_ref().map(format::failure_text));
        let node = match scene.origin {
            Origin::Containerd(_) => String::new(),
            Origin::Server(_) => format!("{} ", pull.id.node()),
        };
        let text = format!("{node}{}: {}", format::title(pull), body(pull, &notes, context, scene));
        let due = match self.last_lines.get(&pull.id) {
            None => true,
            Some(last) if last.phase != pull.phase => true,
            Some(last) if pull.outcome().is_some() => last.notes != notes,
            Some(line) => {
                let wait = if line.notes == notes { PROGRESS_INTERVAL } else { DEBOUNCE };
                line.text != text && scene.now.since(line.at) >= wait
            }
        };
        if !due {
            return None;
        }
        let said = LastLine { phase: pull.phase, notes, text: text.clone(), at: scene.now };
        self.last_lines.insert(pull.id.clone(), said);
        Some(text)
    }
}

fn body(pull: &Pull, notes: &[String], context: Option<&PodContext>, scene: &Scene) -> String {
    if let Some(outcome) = pull.outcome() {
        let mut text = format::outcome_text(pull, outcome);
        if let (Outcome::Completed, Some(size)) = (outcome, format::size_text(pull)) {
            text += &format!(", {size}");
        }
        let mut facts = vec![text];
        facts.extend(format::hint(pull, &scene.origin).map(str::to_owned));
        facts.extend(context.and_then(|known| known.summary_with_retry(scene.now)));
        return facts.join(" | ");
    }
    let mut facts = vec![pull.phase.to_string()];
    if let (Some(percent), Some(all)) = (pull.motion.percent, pull.to_download) {
        facts[0] += &format!(" {percent}");
        facts.push(format!("{} of {all}", pull.motion.downloaded));
    }
    facts.extend(pull.motion.rate.map(|rate| rate.to_string()));
    facts.extend(pull.motion.eta.map(|eta| format!("{} left", format::eta_text(eta))));
    facts.extend(notes.iter().cloned());
    facts.join(", ")
}

/// Replaces control characters: texts of registries may contain any, and the output may be read on
/// a terminal.
fn mask_control_chars(text: &str) -> String {
    let print = |c: char| if c.is_control() { '?' } else { c };
    text.chars().map(print).collect()
}

/// Formats a time in whole seconds: `2026-11-24T20:29:40Z`.
fn timestamp(now: NodeTime) -> String {
    let text = now.to_string();
    match text.split_once('.') {
        Some((seconds, _)) => format!("{seconds}Z"),
        None => text,
    }
}

#[cfg(test)]
mod tests;
