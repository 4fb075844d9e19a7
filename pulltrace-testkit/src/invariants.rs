//! Invariants of a pull that hold in every scenario. The tests check each state that the model
//! shows against them. Independent of the source of the states.

use pulltrace_core::{NodeTotals, Outcome, Percent, Phase, Pull, PullId};

/// Returns the invariants that `is` violates, given its predecessor `was`; empty if it is valid.
///
/// `was` is the state of the same pull one batch earlier, if it had one.
#[must_use]
pub fn violations(was: Option<&Pull>, is: &Pull) -> Vec<String> {
    let mut found = Vec::new();
    let mut check = |holds: bool, what: &str| {
        if !holds {
            found.push(format!("{what}: {was:#?} then {is:#?}"));
        }
    };
    check(is.motion.percent.is_none_or(|p| p.get() <= 100.0), "percent is above 100");
    let done = is.motion.percent == Some(Percent::DONE);
    check(
        done == (is.phase == Phase::Ended(Outcome::Completed)),
        "percent must be 100 if and only if the pull completed",
    );
    check(
        is.to_download.is_none_or(|all| is.motion.downloaded <= all),
        "downloaded exceeds to_download",
    );
    check(
        is.layers.iter().all(|layer| layer.motion.downloaded <= layer.size),
        "downloaded bytes of a layer exceed its size",
    );
    // A single blob, as reported by agents of version 0.1, has no layers.
    let is_blob = matches!(is.id, PullId::Ingest { .. }) && is.layers.is_empty();
    let sum = is.layers.iter().map(|layer| layer.size).sum();
    check(
        is_blob || is.total.is_none_or(|total| total == sum),
        "total differs from the sum of the layers",
    );
    let Some(was) = was else { return found };
    check(
        was.motion.percent.is_none_or(|before| is.motion.percent.is_some_and(|now| now >= before)),
        "percent decreased",
    );
    check(was.total.is_none() || was.total == is.total, "the total changed");
    let revived = was.outcome() == Some(Outcome::Unknown);
    check(
        was.outcome().is_none() || was.outcome() == is.outcome() || revived,
        "outcome changed after the end",
    );
    if is.wasted == was.wasted {
        for (before, now) in was.layers.iter().zip(&is.layers) {
            check(
                now.motion.downloaded >= before.motion.downloaded || now.state.is_idle(),
                "downloaded bytes of a layer decreased",
            );
            check(now.state >= before.state, "state of a layer regressed");
        }
    }
    found
}

/// Returns the invariant that a node's totals violate, if any.
#[must_use]
pub fn node_totals_violation(sums: &NodeTotals) -> Option<String> {
    (sums.downloaded > sums.to_download)
        .then(|| format!("downloaded exceeds to_download: {sums:?}"))
}
