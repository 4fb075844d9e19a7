//! Texts for the values of the model.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use pulltrace_core::{
    Eta, Failure, ImageRef, Layer, LayerState, NodeTime, Outcome, Phase, Pull, PullId, TagOrDigest,
    WaitingKind, WaitingOn,
};

use crate::source::Origin;

/// All pulls that a text may have to name.
pub(crate) type Pulls = BTreeMap<PullId, Arc<Pull>>;

/// Returns the best known name of a pull, with its tag or digest if known. Digests are shortened to
/// twelve digits, as in other tools.
pub(crate) fn title(pull: &Pull) -> String {
    let tagged = |name: &&ImageRef| matches!(name.tag_or_digest(), TagOrDigest::Tag(_));
    let name = pull.names.iter().find(tagged).or(pull.names.first());
    match (name, &pull.repository, &pull.root, &pull.id) {
        (Some(name), ..) => match name.tag_or_digest() {
            TagOrDigest::Tag(_) => name.to_string(),
            TagOrDigest::Digest(digest) => {
                format!("{}/{}@{}", name.domain(), name.path(), digest.short())
            }
        },
        (None, Some(repository), Some(root), _) => format!("{repository}@{}", root.short()),
        (None, Some(repository), None, _) => repository.to_string(),
        (None, None, Some(root), _) | (None, None, None, PullId::Record { root, .. }) => {
            format!("unknown image @{}", root.short())
        }
        (None, None, None, PullId::Lease { lease, .. }) => {
            format!("unknown image (lease {lease})")
        }
        (None, None, None, PullId::Ingest { digest, .. }) => {
            format!("unknown image (layer {})", digest.short())
        }
        (None, None, None, PullId::Announced { pod, .. }) => {
            format!("unknown image (pod {pod})")
        }
    }
}

/// Formats a duration, with tenths below a minute: `0.4 s`, `12.3 s`, `2 m 10 s`, `1 h 05 m`.
pub(crate) fn duration(duration: Duration) -> String {
    match duration.as_secs() {
        0..=59 => format!("{:.1} s", (duration.as_secs_f64() * 10.0).floor() / 10.0),
        _ => seconds(duration),
    }
}

/// Formats a duration, in whole seconds at most: `< 1 s`, `12 s`, `2 m 10 s`, `1 h 05 m`, `3 d 4
/// h`.
pub(crate) fn seconds(duration: Duration) -> String {
    match duration.as_secs() {
        0 => "< 1 s".to_owned(),
        s @ 1..=59 => format!("{s} s"),
        s @ 60..=3_599 => format!("{} m {:02} s", s / 60, s % 60),
        s @ 3_600..=86_399 => format!("{} h {:02} m", s / 3_600, s / 60 % 60),
        s => format!("{} d {} h", s / 86_400, s / 3_600 % 24),
    }
}

/// Formats the time left: `~2 m 10 s`.
pub(crate) fn eta_text(eta: Eta) -> String {
    approximate(eta.left)
}

fn approximate(left: Duration) -> String {
    match left.as_secs() {
        0 => seconds(left),
        _ => format!("~{}", seconds(left)),
    }
}

/// Formats the range of an estimate, `1 m 40 s to 4 m 00 s`, if it is so wide that the estimate
/// alone would mislead.
pub(crate) fn eta_range(eta: Eta) -> Option<String> {
    let wide = eta.high.saturating_sub(eta.low) > (eta.left / 2).max(Duration::from_secs(2));
    wide.then(|| format!("{} to {}", seconds(eta.low), seconds(eta.high)))
}

/// Formats the reason for a wait: `waiting for a download slot`.
pub(crate) fn waiting_text(waiting: &WaitingOn, pulls: &Pulls) -> String {
    match waiting.kind {
        WaitingKind::DownloadSlot => "waiting for a download slot".to_owned(),
        WaitingKind::Registry => "waiting for the registry".to_owned(),
        WaitingKind::ParentLayer => "waiting for the parent layer".to_owned(),
        WaitingKind::SharedLayer => {
            let layer = waiting
                .layer
                .as_ref()
                .map_or_else(|| "a layer".to_owned(), |digest| format!("layer {}", digest.short()));
            let other = waiting.pull.as_ref().map(|id| pulls.get(id));
            match other {
                Some(Some(pull)) => format!("waiting for {layer} of {}", title(pull)),
                Some(None) | None => format!("waiting for {layer} of another pull"),
            }
        }
        WaitingKind::KubeletQueue => match waiting.pull.as_ref().and_then(|id| pulls.get(id)) {
            Some(first) => format!("behind {}", title(first)),
            None => "in the kubelet queue".to_owned(),
        },
        other => format!("waiting for {}", other.as_str().replace('_', " ")),
    }
}

/// Returns the note on a pull in the kubelet's queue: `behind registry.example/app:1 (61 %, ~40 s
/// left), 3 ahead`.
fn queue_note(waiting: &WaitingOn, what: &str, pulls: &Pulls) -> Note {
    let first = waiting.pull.as_ref().and_then(|id| pulls.get(id));
    let eta = first.and_then(|first| first.motion.eta).map(|eta| eta.left);
    let mut facts = Vec::new();
    facts.extend(first.and_then(|first| first.motion.percent).map(|percent| percent.to_string()));
    facts.extend(eta.or(waiting.left).map(|left| format!("{} left", approximate(left))));
    let facts = match facts.is_empty() {
        true => String::new(),
        false => format!(" ({})", facts.join(", ")),
    };
    // The text already names the first one.
    let before = waiting.ahead.filter(|before| *before > 1);
    let before = before.map_or_else(String::new, |before| format!(", {before} ahead"));
    Note { summary: format!("{what}{before}"), text: format!("{what}{facts}{before}") }
}

/// A remark on a live pull, in addition to its numbers.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Note {
    /// Text without times; constant while the situation lasts.
    pub(crate) summary: String,
    /// Text with the time since it started.
    pub(crate) text: String,
}

/// Returns the notes on a live pull, most urgent first.
pub(crate) fn notes(pull: &Pull, origin: &Origin, now: NodeTime, pulls: &Pulls) -> Vec<Note> {
    let mut notes = Vec::new();
    if pull.outcome().is_some() {
        return notes;
    }
    let mut note = |since: NodeTime, what: &str, text: &dyn Fn(&str) -> String| {
        notes.push(Note { summary: what.to_owned(), text: text(&seconds(now.since(since))) });
    };
    if let Some(since) = pull.stale_since {
        let silent = match origin {
            Origin::Containerd(_) => "containerd is unavailable",
            Origin::Server(_) => "containerd or agent is unavailable",
        };
        note(since, &format!("stale: {silent}"), &|time| format!("stale for {time}: {silent}"));
    }
    match (pull.stalled_since, pull.phase) {
        (Some(since), Phase::Extracting) => {
            note(since, "stalled: no unpack progress", &|time| {
                format!("stalled: no unpack progress for {time}")
            });
        }
        (Some(since), _) => {
            note(since, "stalled: no data", &|time| format!("stalled: no data for {time}"))
        }
        (None, _) => {}
    }
    if let Some(since) = pull.slow_since {
        note(since, "slow: far below the usual speed of this registry", &|time| {
            format!("slow for {time}: far below the usual speed of this registry")
        });
    }
    if let Some(on) = &pull.waiting_on {
        let what = waiting_text(on, pulls);
        if on.kind == WaitingKind::KubeletQueue {
            notes.push(queue_note(on, &what, pulls));
            return notes;
        }
        note(on.since, &what, &|time| format!("{what} ({time})"));
    }
    notes
}

/// Returns the state as one label, including problems.
pub(crate) fn state_label(pull: &Pull) -> &'static str {
    match pull.phase {
        Phase::Ended(outcome) => outcome.as_str(),
        _ if pull.stale_since.is_some() => "stale",
        _ if pull.stalled_since.is_some() => "stalled",
        Phase::Queued | Phase::Resolving => pull.phase.as_str(),
        _ if pull.waiting_on.is_some() => "waiting",
        phase => phase.as_str(),
    }
}

/// Formats the end of a pull: `completed in 12.3 s`, `failed after 4.0 s: no reason given`.
pub(crate) fn outcome_text(pull: &Pull, outcome: Outcome) -> String {
    // Zero if only the end was observed.
    let took = pull.ended_at.map(|at| at.since(pull.started_at));
    let took = took.filter(|took| !took.is_zero()).map(duration);
    let (how, link) = match outcome {
        Outcome::Completed => ("completed", "in"),
        Outcome::Failed => ("failed", "after"),
        Outcome::Cancelled => ("cancelled", "after"),
        _ => ("ended with unknown outcome", "after"),
    };
    let mut text = took.map_or_else(|| how.to_owned(), |took| format!("{how} {link} {took}"));
    if let Some(failure) = &pull.failure {
        text += ": ";
        text += &failure_text(failure);
    }
    text
}

/// Returns advice on a failure. Only for pulls from a server, which also knows what the kubelet
/// reported.
pub(crate) const fn hint(pull: &Pull, origin: &Origin) -> Option<&'static str> {
    match (&pull.facts.failure, origin) {
        (Some(failure), Origin::Server(_)) => failure.reason.hint(),
        (Some(_) | None, _) => None,
    }
}

/// Formats the reason for a failure: `no space left on device: write …`.
pub(crate) fn failure_text(failure: &Failure) -> String {
    let reason = lower_first(failure.reason.title());
    match &failure.message {
        Some(message) => format!("{reason}: {message}"),
        None => reason,
    }
}

/// Lower-cases the first letter of a title, unless the first word is an acronym.
fn lower_first(title: &str) -> String {
    let mut chars = title.chars();
    match (chars.next(), chars.clone().next()) {
        (Some(first), Some(next)) if !next.is_uppercase() => {
            first.to_lowercase().chain(chars).collect()
        }
        _ => title.to_owned(),
    }
}

/// Formats the size of a pull: `72.4 MiB in 7 layers, 12.0 MiB cached`.
pub(crate) fn size_text(pull: &Pull) -> Option<String> {
    let total = pull.total?;
    let layers = match pull.layers.len() {
        // The layers of a pull that ended long ago may have been dropped.
        0 => String::new(),
        1 => " in 1 layer".to_owned(),
        count => format!(" in {count} layers"),
    };
    let cached = match (pull.cached, pull.to_download?) {
        (pulltrace_core::Bytes::ZERO, _) => String::new(),
        (_, pulltrace_core::Bytes::ZERO) => ", all cached".to_owned(),
        (cached, _) => format!(", {cached} cached"),
    };
    Some(format!("{total}{layers}{cached}"))
}

/// Returns the state of a layer as one label.
pub(crate) fn layer_state(layer: &Layer) -> &'static str {
    match layer.state {
        LayerState::Complete => "done",
        state => state.as_str(),
    }
}

/// Sums up layers: `12 cached · 3 done · 5 waiting for a download slot`; empty without layers.
pub(crate) fn layer_summary<'a>(
    layers: impl Iterator<Item = &'a Layer>,
    pulls: &Pulls,
    dot: &str,
) -> String {
    let mut counts: BTreeMap<(LayerOrder, String), usize> = BTreeMap::new();
    for l in layers {
        let words = match &l.waiting_on {
            Some(on) => waiting_text(on, pulls),
            None => layer_state(l).to_owned(),
        };
        *counts.entry((layer_order(l.state), words)).or_default() += 1;
    }
    let parts: Vec<_> =
        counts.into_iter().map(|((_, words), count)| format!("{count} {words}")).collect();
    parts.join(dot)
}

/// Sort key of layer states: finished layers first.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
struct LayerOrder(u8);

const fn layer_order(state: LayerState) -> LayerOrder {
    LayerOrder(match state {
        LayerState::Cached => 0,
        LayerState::Remote => 1,
        LayerState::Complete => 2,
        LayerState::Extracting => 3,
        LayerState::Downloaded => 4,
        LayerState::Downloading => 5,
        _ => 6,
    })
}

#[cfg(test)]
mod tests {
    use pulltrace_core::FailureReason;

    use super::*;

    #[test]
    fn durations_are_human_readable() {
        for (millis, exact, whole) in [
            (0, "0.0 s", "< 1 s"),
            (340, "0.3 s", "< 1 s"),
            (12_390, "12.3 s", "12 s"),
            (59_990, "59.9 s", "59 s"),
            (130_000, "2 m 10 s", "2 m 10 s"),
            (3_900_000, "1 h 05 m", "1 h 05 m"),
            (360_000_000, "4 d 4 h", "4 d 4 h"),
        ] {
            let time = Duration::from_millis(millis);
            assert_eq!(duration(time), exact);
            assert_eq!(seconds(time), whole);
        }
    }

    #[test]
    fn each_failure_reason_has_distinct_text() {
        let words = FailureReason::ALL.map(|reason| {
            let message = None;
            failure_text(&Failure { reason, message })
        });
        let different: std::collections::BTreeSet<_> = words.iter().collect();
        assert_eq!(different.len(), FailureReason::ALL.len());
        assert_eq!(lower_first(FailureReason::Dns.title()), "DNS lookup failed");
        assert_eq!(lower_first(FailureReason::NotFound.title()), "image not found");
    }
}
