//! Compares the lists of the server with the kubelet's events.

use pulltrace_core::wire::v1::FailureReason;
use pulltrace_core::wire::v1::{Outcome, PullStatus};

use crate::kubelet_events::{AttemptResult, Consumer};
use crate::observed::{self, Observed};

/// A pull shorter than this many seconds may start and end between two polls of the agent.
const MIN_VISIBLE_SECONDS: f64 = 0.5;

/// A container that was in the kubelet's queue for at least this many seconds must be shown as
/// queued. Before a kubelet is known to pull serially, an announcement has 2.5 seconds to become a
/// pull.
const MIN_QUEUED_SECONDS: f64 = 4.0;

/// Returns the differences for one container, and adds those between pulltrace's durations and the
/// kubelet's to `deviations`. `shared`: another container needs the same image.
pub(crate) fn differences(
    slot: &Consumer,
    shared: bool,
    parallel: bool,
    fails: Option<FailureReason>,
    all: &Observed,
    deviations: &mut Vec<f64>,
) -> Vec<String> {
    let of = slot.key();
    let rows = all.rows_of(&of);
    let mut found = Vec::new();
    for (index, end) in slot.attempts.iter().enumerate() {
        let attempt = u32::try_from(index + 1).unwrap_or(u32::MAX);
        let mut differs = |text: String| found.push(format!("attempt {attempt}: {text}"));
        match end {
            None => {}
            Some(AttemptResult::Present) => {
                if let Some(row) = rows.iter().find(|row| row.outcome.is_some()) {
                    differs(format!("image was present, but a pull is shown: {}", format_row(row)));
                }
            }
            Some(AttemptResult::Pulled { took, with_waiting: whole }) => {
                let matches = |row: &&&PullStatus| {
                    let times = row.kubelet.as_ref();
                    times.is_some_and(|times| (times.pull_seconds - took).abs() < 0.001)
                };
                match rows.iter().find(matches) {
                    Some(row) => deviations.extend(check_pulled(row, attempt, *took, &mut differs)),
                    // Two pods need one image: the second pull ends immediately.
                    None if *took < MIN_VISIBLE_SECONDS => {}
                    None => {
                        differs(format!("no pull shown with the kubelet's duration of {took} s"))
                    }
                }
                let waited = whole - took;
                if waited > MIN_QUEUED_SECONDS && !shared && !parallel {
                    check_queued(slot, *took, all, &mut differs);
                }
            }
            Some(AttemptResult::Failed(text)) => {
                let reasons = all.failures.get(&(of.clone(), attempt));
                let reasons = reasons.map_or(&[][..], Vec::as_slice);
                if reasons.last().copied() != fails {
                    differs(format!("failure reasons {reasons:?}, expected {fails:?}: {text}"));
                }
            }
        }
    }
    if parallel && let Some(ids) = all.queued.get(&of) {
        found.push(format!("shown as queued on a kubelet with parallel pulls: {ids:?}"));
    }
    for (who, rows) in &all.duplicates {
        // If two pods need one image, a kubelet with parallel pulls starts two pulls, and both pods
        // wait for both.
        let leases = shared && parallel && rows.iter().all(|id| id.starts_with("lease~"));
        if *who == of && !leases {
            found.push(format!("two live rows in one list: {rows:?}"));
        }
    }
    for row in rows {
        if !row.candidates.is_empty() {
            found.push(format!("candidates remain: {}", format_row(row)));
        }
        let wants = row.pods.iter().filter(|link| observed::consumer_key(link) == of);
        for link in wants {
            if (&*link.image, &*link.namespace, &*link.pod_name)
                != (&*slot.image, &*slot.namespace, &*slot.pod)
            {
                found.push(format!("linked as {link:?}"));
            }
        }
        // Each namespace has its own images.
        let own = format!("/{}/", slot.namespace);
        let name = row.image_ref.as_ref().or(row.repository.as_ref());
        if let Some(name) = name.filter(|name| !name.contains(&own)) {
            found.push(format!("linked to a pull of another image: {name}"));
        }
    }
    found
}

/// Checks a pull that the kubelet measured. Returns the deviation in seconds if the whole pull was
/// observed.
fn check_pulled(
    row: &PullStatus,
    attempt: u32,
    took: f64,
    differs: &mut impl FnMut(String),
) -> Option<f64> {
    if row.outcome != Some(Outcome::Completed) || row.attempt != Some(attempt) {
        differs(format!("shown as {}", format_row(row)));
    }
    let ours = row.completed_at?.since(row.started_at).as_secs_f64();
    if took < MIN_VISIBLE_SECONDS && row.id.starts_with("record~") {
        return None;
    }
    let apart = (ours - took).abs();
    let agrees = row.kubelet.as_ref().and_then(|times| times.agrees);
    if apart > (took * 0.2).max(1.0) || agrees != Some(true) {
        differs(format!("kubelet reports {took} s, pulltrace {ours} s: {}", format_row(row)));
    }
    Some(apart)
}

/// Checks that a queued pull was shown as queued, and that its row became the pull.
fn check_queued(slot: &Consumer, took: f64, all: &Observed, differs: &mut impl FnMut(String)) {
    let of = slot.key();
    let Some(ids) = all.queued.get(&of) else {
        differs("queued, but never shown as queued".to_owned());
        return;
    };
    let rows = all.rows_of(&of);
    let pull = rows.iter().find(|row| {
        let times = row.kubelet.as_ref();
        times.is_some_and(|times| (times.pull_seconds - took).abs() < 0.001)
    });
    if let Some(pull) = pull
        && pull.supersedes.as_ref().is_none_or(|before| !ids.contains_key(before))
    {
        differs(format!("queued as {ids:?}, pulled as {}", format_row(pull)));
    }
}

/// Returns the differences between the pod views and the kubelet's events.
pub(crate) fn pod_view_differences(
    slots: &[Consumer],
    fails: Option<FailureReason>,
    all: &Observed,
) -> Vec<String> {
    let mut found = Vec::new();
    for slot in slots {
        let key = (slot.namespace.clone(), slot.pod.clone());
        let Some(pod) = all.pods.get(&key) else {
            // Pods that have all images are listed for one minute only.
            if matches!(slot.attempts.last(), Some(Some(AttemptResult::Failed(_)))) {
                found.push(format!("{} fails, but is not listed as waiting", slot.pod));
            }
            continue;
        };
        let images = pod["images"].as_array().into_iter().flatten();
        let mut images = images.filter(|image| image["container"] == slot.name.as_str());
        let Some(image) = images.next() else {
            found.push(format!("{} has no image for {}: {pod}", slot.pod, slot.name));
            continue;
        };
        let state = image["state"].as_str().unwrap_or_default();
        let right = match slot.attempts.last() {
            Some(Some(AttemptResult::Pulled { .. } | AttemptResult::Present)) => state == "present",
            Some(Some(AttemptResult::Failed(_))) => {
                let reason = serde_json::to_value(fails).unwrap_or_default();
                state == "failed" && image["failure"]["reason"] == reason
            }
            _ => true,
        };
        if !right {
            found.push(format!("{:?}, but the pod view contains {image}", slot.attempts.last()));
        }
    }
    found
}

pub(crate) fn format_row(row: &PullStatus) -> String {
    let reason = row.failure.as_ref().map(|failure| failure.reason);
    let pods: Vec<_> = row
        .pods
        .iter()
        .map(|link| format!("{}/{}[{}]", link.namespace, link.pod_name, link.container))
        .collect();
    format!(
        "{} {:?} {:?} {reason:?} attempt {:?} of {:?}, started {} ended {:?}, kubelet {:?}, supersedes {:?}, for {pods:?}",
        row.id,
        row.phase,
        row.outcome,
        row.attempt,
        row.image_ref.as_ref().or(row.repository.as_ref()),
        row.started_at,
        row.completed_at.map(|at| at.to_string()),
        row.kubelet,
        row.supersedes,
    )
}
