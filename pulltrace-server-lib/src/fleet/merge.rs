//! What a pull is, after what was known of it and what is told now.

use std::sync::Arc;

use pulltrace_core::{ChangeKind, NodeTime, Outcome, Phase, Pull};

use super::{Counters, Scope};

/// A pull after what was told of it, and what kind of change that is.
#[derive(Debug)]
pub(super) struct Merged {
    pub(super) pull: Pull,
    pub(super) kind: ChangeKind,
    pub(super) scope: Scope,
}

/// The pull after what is told now; `None` where that changes nothing.
///
/// An outcome with evidence stands, and an unknown one gives way to evidence and to life. What is known
/// of the image stays known, and the percentage never goes back.
pub(super) fn merge(before: &Pull, mut told: Pull, counters: &mut Counters) -> Option<Merged> {
    let (was, is) = (before.outcome(), told.outcome());
    if let Some(Outcome::Completed | Outcome::Failed | Outcome::Cancelled) = was
        && is != was
    {
        counters.end_changed += 1;
        return None;
    }
    told.id.clone_from(&before.id);
    if told.image.is_none() && before.image.is_some() {
        keep_image(before, &mut told);
    }
    // An agent may not keep the layers of what ended long ago.
    if was.is_some() && is == was && told.layers.is_empty() {
        told.layers.clone_from(&before.layers);
    }
    if before.percent > told.percent {
        counters.percent_back += u64::from(told.percent.is_some());
        told.percent = before.percent;
    }
    if told == *before {
        return None;
    }
    if before.stalled_since.is_none() && told.stalled_since.is_some() {
        counters.stalls.add(told.phase, 1);
    }
    let scope = scope(before, &told);
    Some(Merged {
        kind: match (was, is) {
            (Some(_), None) => ChangeKind::Started,
            (_, Some(_)) if was != is => ChangeKind::Ended,
            _ => ChangeKind::Progressed,
        },
        scope,
        pull: told,
    })
}

/// What is told without its image: by an agent that was restarted and has not read the manifest again,
/// and says nothing of bytes then; or briefly, in a report that would else be too large.
fn keep_image(before: &Pull, told: &mut Pull) {
    told.image.clone_from(&before.image);
    told.layers.clone_from(&before.layers);
    told.root = told.root.take().or_else(|| before.root.clone());
    told.total = before.total;
    if told.percent.is_some() {
        told.to_download = told.total.map(|total| total.saturating_sub(told.cached));
    } else {
        told.cached = before.cached;
        told.to_download = before.to_download;
        told.downloaded = before.downloaded;
        told.to_extract = before.to_extract;
        told.extracted = before.extracted;
        told.wasted = before.wasted;
        told.resolved_at = before.resolved_at;
        told.downloaded_at = before.downloaded_at;
    }
    if told.outcome().is_some() {
        quiet(told);
    } else if told.phase == Phase::Resolving {
        let here = told.to_download == Some(told.downloaded);
        told.phase = if here {
            Phase::Extracting
        } else {
            Phase::Downloading
        };
        // It waits for a manifest that is known here.
        told.waiting_on = None;
    }
}

/// The pull as its node left it when it fell silent: what moved is not known any more.
pub(super) fn stale(pull: &Pull, since: NodeTime) -> Pull {
    let mut stale = pull.clone();
    stale.stale_since = pull.stale_since.or(Some(since));
    (stale.rate, stale.eta) = (None, None);
    for layer in &mut stale.layers {
        layer.rate = None;
    }
    stale
}

/// The pull with the end for which there is no evidence.
pub(super) fn given_up(pull: &Pull, at: NodeTime) -> Pull {
    let mut over = pull.clone();
    over.phase = Phase::Ended(Outcome::Unknown);
    over.ended_at = Some(at.max(pull.started_at));
    quiet(&mut over);
    over
}

/// The pull without its layers, as a long history keeps it.
pub(super) fn bare(pull: &Pull) -> Pull {
    let mut bare = pull.clone();
    bare.layers = Vec::new();
    bare
}

/// Of what is over nothing moves or waits.
fn quiet(pull: &mut Pull) {
    (pull.rate, pull.eta, pull.waiting_on) = (None, None, None);
    (pull.stalled_since, pull.slow_since, pull.stale_since) = (None, None, None);
    for layer in &mut pull.layers {
        (layer.rate, layer.waiting_on) = (None, None);
    }
}

/// How much is different.
fn scope(before: &Pull, now: &Pull) -> Scope {
    if !now.is_same_but_for_motion(before) || now.layers.len() != before.layers.len() {
        return Scope::Whole;
    }
    let mut layers = now.layers.iter().zip(&before.layers);
    if layers.all(|(now, before)| now.is_same_but_for_motion(before)) {
        Scope::Motion
    } else {
        Scope::Layers
    }
}

/// The host of the registry that it comes from, without a port.
pub(super) fn registry(pull: &Pull) -> Option<Arc<str>> {
    match (&pull.repository, pull.names.first()) {
        (Some(repository), _) => Some(repository.host().into()),
        (None, Some(name)) => Some(name.repository().host().into()),
        (None, None) => None,
    }
}
