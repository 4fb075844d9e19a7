//! Whether what readers saw is what the kubelet said.

use pulltrace_core::wire::v1::FailureReason;
use pulltrace_core::wire::v1::{Outcome, PullStatus};

use crate::said::{End, Slot};
use crate::seen::{self, All};

/// Below so many seconds a pull may begin and end between two looks of the agent.
const UNSEEN: f64 = 0.5;

/// For so many seconds at least a container stood in the kubelet's queue, and must have been shown so: before it is
/// known that a kubelet pulls one by one, an announcement has 2.5 seconds to become a pull.
const QUEUED: f64 = 4.0;

/// What differs, of one container, and in `apart` how far our durations are from the kubelet's. `shared` is whether another container wants the same image.
pub(crate) fn differences(
    slot: &Slot,
    shared: bool,
    parallel: bool,
    fails: Option<FailureReason>,
    all: &All,
    apart: &mut Vec<f64>,
) -> Vec<String> {
    let of = slot.of();
    let rows = all.of(&of);
    let mut found = Vec::new();
    for (index, end) in slot.tries.iter().enumerate() {
        let attempt = u32::try_from(index + 1).unwrap_or(u32::MAX);
        let mut differs = |text: String| found.push(format!("try {attempt}: {text}"));
        match end {
            None => {}
            Some(End::Present) => {
                if let Some(row) = rows.iter().find(|row| row.outcome.is_some()) {
                    differs(format!(
                        "it was there already, and a pull is shown: {}",
                        line(row)
                    ));
                }
            }
            Some(End::Pulled { took, all: whole }) => {
                let told = |row: &&&PullStatus| {
                    let times = row.kubelet.as_ref();
                    times.is_some_and(|times| (times.pull_seconds - took).abs() < 0.001)
                };
                match rows.iter().find(told) {
                    Some(row) => apart.extend(pulled(row, attempt, *took, &mut differs)),
                    // Two pods want one image: the second's pull is over at once.
                    None if *took < UNSEEN => {}
                    None => differs(format!("no pull is shown that took the kubelet {took} s")),
                }
                let waited = whole - took;
                if waited > QUEUED && !shared && !parallel {
                    queued(slot, *took, all, &mut differs);
                }
            }
            Some(End::Failed(text)) => {
                let reasons = all.failed.get(&(of.clone(), attempt));
                let reasons = reasons.map_or(&[][..], Vec::as_slice);
                if reasons.last().copied() != fails {
                    differs(format!("failed by {reasons:?}, not {fails:?}: {text}"));
                }
            }
        }
    }
    if parallel && let Some(ids) = all.queued.get(&of) {
        found.push(format!(
            "called queued, of a kubelet that pulls at once: {ids:?}"
        ));
    }
    for (who, rows) in &all.twice {
        // Of two pods that want one image, a kubelet that pulls at once begins two pulls; both wait for both.
        let leases = shared && parallel && rows.iter().all(|id| id.starts_with("lease~"));
        if *who == of && !leases {
            found.push(format!("two live rows at once: {rows:?}"));
        }
    }
    for row in rows {
        if !row.candidates.is_empty() {
            found.push(format!("candidates remain: {}", line(row)));
        }
        let wants = row.pods.iter().filter(|link| seen::waiter(link) == of);
        for link in wants {
            if (&*link.image, &*link.namespace, &*link.pod_name)
                != (&*slot.image, &*slot.namespace, &*slot.pod)
            {
                found.push(format!("linked as {link:?}"));
            }
        }
        // Images of a namespace are of its name.
        let own = format!("/{}/", slot.namespace);
        let name = row.image_ref.as_ref().or(row.repository.as_ref());
        if let Some(name) = name.filter(|name| !name.contains(&own)) {
            found.push(format!("linked to a pull of {name}"));
        }
    }
    found
}

/// A pull that the kubelet measured: how many seconds we are apart from it, where the whole pull was seen.
fn pulled(
    row: &PullStatus,
    attempt: u32,
    took: f64,
    differs: &mut impl FnMut(String),
) -> Option<f64> {
    if row.outcome != Some(Outcome::Completed) || row.attempt != Some(attempt) {
        differs(format!("shown as {}", line(row)));
    }
    let ours = row.completed_at?.since(row.started_at).as_secs_f64();
    if took < UNSEEN && row.id.starts_with("record~") {
        return None;
    }
    let apart = (ours - took).abs();
    let told = row.kubelet.as_ref().and_then(|times| times.agrees);
    if apart > (took * 0.2).max(1.0) || told != Some(true) {
        differs(format!(
            "{took} s by the kubelet, {ours} s by us: {}",
            line(row)
        ));
    }
    Some(apart)
}

/// A pull that stood in the queue: it was shown so, and the row went on as the pull.
fn queued(slot: &Slot, took: f64, all: &All, differs: &mut impl FnMut(String)) {
    let of = slot.of();
    let Some(ids) = all.queued.get(&of) else {
        differs("it was queued, and never shown so".to_owned());
        return;
    };
    let rows = all.of(&of);
    let pull = rows.iter().find(|row| {
        let times = row.kubelet.as_ref();
        times.is_some_and(|times| (times.pull_seconds - took).abs() < 0.001)
    });
    if let Some(pull) = pull
        && pull
            .supersedes
            .as_ref()
            .is_none_or(|before| !ids.contains_key(before))
    {
        differs(format!("queued as {ids:?}, pulled as {}", line(pull)));
    }
}

/// What a pod that is looked at last is told of its images.
pub(crate) fn view(slots: &[Slot], fails: Option<FailureReason>, all: &All) -> Vec<String> {
    let mut found = Vec::new();
    for slot in slots {
        let key = (slot.namespace.clone(), slot.pod.clone());
        let Some(pod) = all.pods.get(&key) else {
            // Of pods that have all, it is told for a minute only.
            if matches!(slot.tries.last(), Some(Some(End::Failed(_)))) {
                found.push(format!(
                    "{} fails, and is not among the pods that wait",
                    slot.pod
                ));
            }
            continue;
        };
        let images = pod["images"].as_array().into_iter().flatten();
        let mut images = images.filter(|image| image["container"] == slot.name.as_str());
        let Some(image) = images.next() else {
            found.push(format!(
                "{} has no image for {}: {pod}",
                slot.pod, slot.name
            ));
            continue;
        };
        let state = image["state"].as_str().unwrap_or_default();
        let right = match slot.tries.last() {
            Some(Some(End::Pulled { .. } | End::Present)) => state == "present",
            Some(Some(End::Failed(_))) => {
                let reason = serde_json::to_value(fails).unwrap_or_default();
                state == "failed" && image["failure"]["reason"] == reason
            }
            _ => true,
        };
        if !right {
            found.push(format!(
                "{:?}, and its pod is told {image}",
                slot.tries.last()
            ));
        }
    }
    found
}

pub(crate) fn line(row: &PullStatus) -> String {
    let reason = row.failure.as_ref().map(|failure| failure.reason);
    let pods: Vec<_> = row
        .pods
        .iter()
        .map(|link| format!("{}/{}[{}]", link.namespace, link.pod_name, link.container))
        .collect();
    format!(
        "{} {:?} {:?} {reason:?} try {:?} of {:?}, started {} ended {:?}, kubelet {:?}, supersedes {:?}, for {pods:?}",
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
