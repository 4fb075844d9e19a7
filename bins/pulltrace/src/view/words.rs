//! What the model says, in words for people. Nothing is decided here, and nothing drawn.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use pulltrace_core::{
    Eta, Failure, FailureReason, ImageRef, Layer, LayerState, NodeTime, Outcome, Phase, Pull,
    PullId, Version, WaitingKind, WaitingOn,
};

use crate::source::Teller;

/// The pulls that a text may have to name.
pub(crate) type Pulls = BTreeMap<PullId, Arc<Pull>>;

/// The best name there is, always with what tells two pulls of one repository apart; a digest is
/// shortened to the twelve digits that people know from other tools.
pub(crate) fn title(pull: &Pull) -> String {
    let tagged = |name: &&ImageRef| matches!(name.version(), Version::Tag(_));
    let name = pull.names.iter().find(tagged).or(pull.names.first());
    match (name, &pull.repository, &pull.root, &pull.id) {
        (Some(name), ..) => match name.version() {
            Version::Tag(_) => name.to_string(),
            Version::Digest(digest) => {
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

/// `0.4 s`, `12.3 s`, `2 m 10 s`, `1 h 05 m`.
pub(crate) fn duration(duration: Duration) -> String {
    match duration.as_secs() {
        0..=59 => format!("{:.1} s", (duration.as_secs_f64() * 10.0).floor() / 10.0),
        _ => seconds(duration),
    }
}

/// Whole seconds, never more precise than anybody needs: `< 1 s`, `12 s`, `2 m 10 s`, `1 h 05 m`, `3 d 4 h`.
pub(crate) fn seconds(duration: Duration) -> String {
    match duration.as_secs() {
        0 => "< 1 s".to_owned(),
        s @ 1..=59 => format!("{s} s"),
        s @ 60..=3_599 => format!("{} m {:02} s", s / 60, s % 60),
        s @ 3_600..=86_399 => format!("{} h {:02} m", s / 3_600, s / 60 % 60),
        s => format!("{} d {} h", s / 86_400, s / 3_600 % 24),
    }
}

/// `~2 m 10 s`.
pub(crate) fn left(eta: Eta) -> String {
    about(eta.left)
}

fn about(left: Duration) -> String {
    match left.as_secs() {
        0 => seconds(left),
        _ => format!("~{}", seconds(left)),
    }
}

/// `1 m 40 s to 4 m 00 s`, where the range is so wide that the guess alone would mislead.
pub(crate) fn range(eta: Eta) -> Option<String> {
    let wide = eta.high.saturating_sub(eta.low) > (eta.left / 2).max(Duration::from_secs(2));
    wide.then(|| format!("{} to {}", seconds(eta.low), seconds(eta.high)))
}

/// What is waited for: `waiting for a download slot`.
pub(crate) fn waiting(waiting: &WaitingOn, pulls: &Pulls) -> String {
    match waiting.kind {
        WaitingKind::DownloadSlot => "waiting for a download slot".to_owned(),
        WaitingKind::Registry => "waiting for the registry".to_owned(),
        WaitingKind::ParentLayer => "waiting for the layer below".to_owned(),
        WaitingKind::SharedLayer => {
            let layer = waiting.layer.as_ref().map_or_else(
                || "a layer".to_owned(),
                |digest| format!("layer {}", digest.short()),
            );
            let other = waiting.pull.as_ref().map(|id| pulls.get(id));
            match other {
                Some(Some(pull)) => format!("waiting for {layer} of {}", title(pull)),
                Some(None) | None => format!("waiting for {layer} of another pull"),
            }
        }
        WaitingKind::KubeletQueue => match waiting.pull.as_ref().and_then(|id| pulls.get(id)) {
            Some(first) => format!("behind {}", title(first)),
            None => "in the kubelet's queue".to_owned(),
        },
        other => format!("waiting for {}", other.as_str().replace('_', " ")),
    }
}

/// Where it stands in the queue of its kubelet: `behind registry.example/app:1 (61 %, ~40 s left), 3
/// before it`.
fn queue(waiting: &WaitingOn, what: &str, pulls: &Pulls) -> Note {
    let first = waiting.pull.as_ref().and_then(|id| pulls.get(id));
    let eta = first.and_then(|first| first.eta).map(|eta| eta.left);
    let mut facts = Vec::new();
    facts.extend(
        first
            .and_then(|first| first.percent)
            .map(|percent| percent.to_string()),
    );
    facts.extend(
        eta.or(waiting.left)
            .map(|left| format!("{} left", about(left))),
    );
    let facts = match facts.is_empty() {
        true => String::new(),
        false => format!(" ({})", facts.join(", ")),
    };
    // The first of them is named.
    let before = waiting.ahead.filter(|before| *before > 1);
    let before = before.map_or_else(String::new, |before| format!(", {before} before it"));
    Note {
        what: format!("{what}{before}"),
        text: format!("{what}{facts}{before}"),
    }
}

/// Something to be said of a live pull beside its numbers.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Note {
    /// The same as long as it goes on.
    pub(crate) what: String,
    /// With the time since when.
    pub(crate) text: String,
}

/// What is to be said of a live pull beside its numbers, most pressing first.
pub(crate) fn notes(pull: &Pull, teller: &Teller, now: NodeTime, pulls: &Pulls) -> Vec<Note> {
    let mut notes = Vec::new();
    if pull.outcome().is_some() {
        return notes;
    }
    let mut note = |since: NodeTime, what: &str, text: &dyn Fn(&str) -> String| {
        notes.push(Note {
            what: what.to_owned(),
            text: text(&seconds(now.since(since))),
        });
    };
    if let Some(since) = pull.stale_since {
        let silent = match teller {
            Teller::Containerd(_) => "containerd does not answer",
            Teller::Server(_) => "its containerd or its agent does not answer",
        };
        note(since, &format!("not seen: {silent}"), &|time| {
            format!("not seen for {time}: {silent}")
        });
    }
    match (pull.stalled_since, pull.phase) {
        (Some(since), Phase::Extracting) => {
            note(since, "stalled: unpacking does not get on", &|time| {
                format!("stalled: unpacking has not got on for {time}")
            });
        }
        (Some(since), _) => note(since, "stalled: no byte comes", &|time| {
            format!("stalled: no byte for {time}")
        }),
        (None, _) => {}
    }
    if let Some(since) = pull.slow_since {
        note(
            since,
            "slow: far below what is usual from its registry",
            &|time| format!("slow for {time}: far below what is usual from its registry"),
        );
    }
    if let Some(on) = &pull.waiting_on {
        let what = waiting(on, pulls);
        if on.kind == WaitingKind::KubeletQueue {
            notes.push(queue(on, &what, pulls));
            return notes;
        }
        note(on.since, &what, &|time| format!("{what} ({time})"));
    }
    notes
}

/// What it is doing, as one word that also says if it is in trouble.
pub(crate) fn state(pull: &Pull) -> &'static str {
    match pull.phase {
        Phase::Ended(outcome) => outcome.as_str(),
        _ if pull.stale_since.is_some() => "not seen",
        _ if pull.stalled_since.is_some() => "stalled",
        Phase::Queued | Phase::Resolving => pull.phase.as_str(),
        _ if pull.waiting_on.is_some() => "waiting",
        phase => phase.as_str(),
    }
}

/// How it ended: `completed in 12.3 s`, `failed after 4.0 s: containerd does not say why`.
pub(crate) fn end(pull: &Pull, outcome: Outcome) -> String {
    // No time at all: only its end was seen.
    let took = pull.ended_at.map(|at| at.since(pull.started_at));
    let took = took.filter(|took| !took.is_zero()).map(duration);
    let (how, link) = match outcome {
        Outcome::Completed => ("completed", "in"),
        Outcome::Failed => ("failed", "after"),
        Outcome::Cancelled => ("cancelled", "after"),
        Outcome::Unknown => ("ended unseen", "after"),
    };
    let mut text = took.map_or_else(|| how.to_owned(), |took| format!("{how} {link} {took}"));
    if let Some(failure) = &pull.failure {
        text += ": ";
        text += &why(failure);
    }
    text
}

/// What to do about a failure. Of one that is unexplained only who sees pods can say more.
pub(crate) const fn hint(pull: &Pull, teller: &Teller) -> Option<&'static str> {
    match (&pull.failure, teller) {
        (Some(failure), Teller::Server(_)) => failure.reason.hint(),
        (Some(_) | None, _) => None,
    }
}

/// Why it failed: `no space left on the node: write …`.
pub(crate) fn why(failure: &Failure) -> String {
    let reason = match failure.reason {
        FailureReason::NotFound => "the registry does not have it",
        FailureReason::Unauthorized => "the registry refused the credentials",
        FailureReason::RateLimited => "the registry limits how often may be pulled",
        FailureReason::KubeletQps => "the kubelet itself holds pulls back",
        FailureReason::RegistryError => "the registry has a fault",
        FailureReason::Dns => "the name of the registry has no address",
        FailureReason::ConnectionRefused => "nothing answers at the address of the registry",
        FailureReason::Timeout => "no answer in time",
        FailureReason::Tls => "no safe connection to the registry",
        FailureReason::Proxy => "the proxy does not let it through",
        FailureReason::NoSpace => "no space left on the node",
        FailureReason::NoMatchingPlatform => "the image is not built for this platform",
        FailureReason::DigestMismatch => "what came is not what was asked for",
        FailureReason::Signature => "the signature of the image was refused",
        FailureReason::InvalidName => "the name of the image is none",
        FailureReason::NeverPull => "it is not on the node, and may not be pulled",
        FailureReason::ProgressTimeout => "no byte came for too long",
        FailureReason::RuntimeRestarted => "containerd was restarted",
        FailureReason::Cancelled => "it was called off",
        FailureReason::Unexplained => "containerd does not say why",
        _ => "it failed",
    };
    match &failure.message {
        Some(message) => format!("{reason}: {message}"),
        None => reason.to_owned(),
    }
}

/// What was to be fetched: `72.4 MiB in 7 layers, 12.0 MiB of them cached`.
pub(crate) fn size(pull: &Pull) -> Option<String> {
    let total = pull.total?;
    let layers = match pull.layers.len() {
        // Those of a pull that ended long ago may not be kept.
        0 => String::new(),
        1 => " in 1 layer".to_owned(),
        count => format!(" in {count} layers"),
    };
    let cached = match (pull.cached, pull.to_download?) {
        (pulltrace_core::Bytes::ZERO, _) => String::new(),
        (_, pulltrace_core::Bytes::ZERO) => ", all cached".to_owned(),
        (cached, _) => format!(", {cached} of them cached"),
    };
    Some(format!("{total}{layers}{cached}"))
}

/// What a layer is doing, as one word.
pub(crate) fn layer(layer: &Layer) -> &'static str {
    match layer.state {
        LayerState::Complete => "done",
        state => state.as_str(),
    }
}

/// `12 cached · 3 done · 5 waiting for a download slot`; empty where there are none.
pub(crate) fn layers<'a>(
    layers: impl Iterator<Item = &'a Layer>,
    pulls: &Pulls,
    dot: &str,
) -> String {
    let mut counts: BTreeMap<(LayerOrder, String), usize> = BTreeMap::new();
    for l in layers {
        let words = match &l.waiting_on {
            Some(on) => waiting(on, pulls),
            None => layer(l).to_owned(),
        };
        *counts.entry((order(l.state), words)).or_default() += 1;
    }
    let parts: Vec<_> = counts
        .into_iter()
        .map(|((_, words), count)| format!("{count} {words}"))
        .collect();
    parts.join(dot)
}

/// What is over first.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
struct LayerOrder(u8);

const fn order(state: LayerState) -> LayerOrder {
    LayerOrder(match state {
        LayerState::Cached => 0,
        LayerState::Remote => 1,
        LayerState::Complete => 2,
        LayerState::Extracting => 3,
        LayerState::Downloaded => 4,
        LayerState::Downloading => 5,
        LayerState::Waiting => 6,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn durations_read_as_a_person_would_say_them() {
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
    fn each_reason_is_said_in_words_of_its_own() {
        let words = FailureReason::ALL.map(|reason| {
            let message = None;
            why(&Failure { reason, message })
        });
        let different: std::collections::BTreeSet<_> = words.iter().collect();
        assert_eq!(different.len(), FailureReason::ALL.len());
    }
}
