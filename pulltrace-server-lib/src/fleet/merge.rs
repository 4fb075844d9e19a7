//! Merges reports into the known state of a pull.

use std::sync::Arc;

use pulltrace_core::{ChangeKind, NodeTime, Outcome, Phase, Pull};

use crate::change::{Counters, Scope};

/// A pull with a report merged into it, and the kind of change.
#[derive(Debug)]
pub(super) struct MergedPull {
    pub(super) pull: Pull,
    pub(super) kind: ChangeKind,
    pub(super) scope: Scope,
}

/// Merges a report into a pull. Returns `None` if the pull is unchanged.
///
/// A known outcome is final; an unknown one is replaced by a known outcome, or by a live pull. Data
/// of the image is kept, and the percentage never decreases.
pub(super) fn merge(
    before: &Pull,
    mut reported: Pull,
    counters: &mut Counters,
) -> Option<MergedPull> {
    let (was, is) = (before.outcome(), reported.outcome());
    if let Some(Outcome::Completed | Outcome::Failed | Outcome::Cancelled) = was
        && is != was
    {
        counters.outcome_conflicts += 1;
        return None;
    }
    reported.id.clone_from(&before.id);
    if reported.image.is_none() && before.image.is_some() {
        restore_image(before, &mut reported);
    }
    // An agent may drop the layers of pulls that ended long ago.
    if was.is_some() && is == was && reported.layers.is_empty() {
        reported.layers.clone_from(&before.layers);
    }
    if before.motion.percent > reported.motion.percent {
        counters.percent_regressed += u64::from(reported.motion.percent.is_some());
        reported.motion.percent = before.motion.percent;
    }
    if reported == *before {
        return None;
    }
    if before.stalled_since.is_none() && reported.stalled_since.is_some() {
        counters.stalls.add(reported.phase, 1);
    }
    let scope = change_scope(before, &reported);
    Some(MergedPull {
        kind: match (was, is) {
            (Some(_), None) => ChangeKind::Started,
            (_, Some(_)) if was != is => ChangeKind::Ended,
            _ => ChangeKind::Progressed,
        },
        scope,
        pull: reported,
    })
}

/// Restores the image of a pull that is reported without it: by a restarted agent that has not read
/// the manifest yet and reports no bytes, or abbreviated in a report that would be too large.
fn restore_image(before: &Pull, reported: &mut Pull) {
    reported.image.clone_from(&before.image);
    reported.layers.clone_from(&before.layers);
    reported.root = reported.root.take().or_else(|| before.root.clone());
    reported.total = before.total;
    if reported.motion.percent.is_some() {
        reported.to_download = reported.total.map(|total| total.saturating_sub(reported.cached));
    } else {
        reported.cached = before.cached;
        reported.to_download = before.to_download;
        reported.motion.downloaded = before.motion.downloaded;
        reported.to_extract = before.to_extract;
        reported.motion.extracted = before.motion.extracted;
        reported.wasted = before.wasted;
        reported.resolved_at = before.resolved_at;
        reported.downloaded_at = before.downloaded_at;
    }
    if reported.outcome().is_some() {
        clear_activity(reported);
    } else if reported.phase == Phase::Resolving {
        let here = reported.to_download == Some(reported.motion.downloaded);
        reported.phase = if here { Phase::Extracting } else { Phase::Downloading };
        // It waits for a manifest that is known here.
        reported.waiting_on = None;
    }
}

/// Returns the pull as its node last reported it, without rates and estimates.
pub(super) fn as_stale(pull: &Pull, since: NodeTime) -> Pull {
    let mut stale = pull.clone();
    stale.stale_since = pull.stale_since.or(Some(since));
    (stale.motion.rate, stale.motion.eta) = (None, None);
    for layer in &mut stale.layers {
        layer.motion.rate = None;
    }
    stale
}

/// Returns the pull with an unknown outcome.
pub(super) fn ended_unknown(pull: &Pull, at: NodeTime) -> Pull {
    let mut ended = pull.clone();
    ended.phase = Phase::Ended(Outcome::Unknown);
    ended.ended_at = Some(at.max(pull.started_at));
    clear_activity(&mut ended);
    ended
}

/// Returns the pull without its layers.
pub(super) fn without_layers(pull: &Pull) -> Pull {
    let mut bare = pull.clone();
    bare.layers = Vec::new();
    bare
}

/// Clears rates and waiting states, which an ended pull does not have.
fn clear_activity(pull: &mut Pull) {
    (pull.motion.rate, pull.motion.eta, pull.waiting_on) = (None, None, None);
    (pull.stalled_since, pull.slow_since, pull.stale_since) = (None, None, None);
    for layer in &mut pull.layers {
        (layer.motion.rate, layer.waiting_on) = (None, None);
    }
}

/// Returns the extent of a change.
fn change_scope(before: &Pull, now: &Pull) -> Scope {
    if !now.eq_ignoring_progress(before) || now.layers.len() != before.layers.len() {
        return Scope::Full;
    }
    let mut layers = now.layers.iter().zip(&before.layers);
    if layers.all(|(now, before)| now.facts == before.facts) {
        Scope::Motion
    } else {
        Scope::Layers
    }
}

/// Returns the host of the pull's registry, without port.
pub(super) fn registry_host(pull: &Pull) -> Option<Arc<str>> {
    match (&pull.repository, pull.names.first()) {
        (Some(repository), _) => Some(repository.host().into()),
        (None, Some(name)) => Some(name.repository().host().into()),
        (None, None) => None,
    }
}
