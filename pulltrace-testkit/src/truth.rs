//! What can never be true of a pull, whatever the scenario: the rules by which the tests judge each
//! state that the model shows. Nothing here knows where the states come from.

use pulltrace_core::{NodeSums, Outcome, Percent, Phase, Pull, PullId};

/// What of `is`, which follows `was`, cannot be true; nothing where all may be.
///
/// `was` is the state of the same pull one batch before, where it had one.
#[must_use]
pub fn doubts(was: Option<&Pull>, is: &Pull) -> Vec<String> {
    let mut untrue = Vec::new();
    let mut claim = |holds: bool, what: &str| {
        if !holds {
            untrue.push(format!("{what}: {was:#?} then {is:#?}"));
        }
    };
    claim(
        is.percent.is_none_or(|p| p.get() <= 100.0),
        "more than 100 %",
    );
    let done = is.percent == Some(Percent::DONE);
    claim(
        done == (is.phase == Phase::Ended(Outcome::Completed)),
        "100 % is said of what is completed, and only of that",
    );
    claim(
        is.to_download.is_none_or(|all| is.downloaded <= all),
        "more is here than was to come",
    );
    claim(
        is.layers.iter().all(|layer| layer.downloaded <= layer.size),
        "a layer has more bytes than it has",
    );
    // A single blob, as agents of version 0.1 tell it, has no layers.
    let is_blob = matches!(is.id, PullId::Ingest { .. }) && is.layers.is_empty();
    let sum = is.layers.iter().map(|layer| layer.size).sum();
    claim(
        is_blob || is.total.is_none_or(|total| total == sum),
        "a total that is no sum",
    );
    let Some(was) = was else { return untrue };
    claim(
        was.percent
            .is_none_or(|before| is.percent.is_some_and(|now| now >= before)),
        "the percentage went back",
    );
    claim(
        was.total.is_none() || was.total == is.total,
        "the total changed",
    );
    let revived = was.outcome() == Some(Outcome::Unknown);
    claim(
        was.outcome().is_none() || was.outcome() == is.outcome() || revived,
        "an end was taken back",
    );
    if is.wasted == was.wasted {
        for (before, now) in was.layers.iter().zip(&is.layers) {
            claim(
                now.downloaded >= before.downloaded || now.state.is_idle(),
                "the bytes of a layer went back",
            );
            claim(now.state >= before.state, "the state of a layer went back");
        }
    }
    untrue
}

/// What of a node's sums cannot be true.
#[must_use]
pub fn doubts_of_sums(sums: &NodeSums) -> Option<String> {
    (sums.downloaded > sums.to_download).then(|| format!("more is here than was to come: {sums:?}"))
}
