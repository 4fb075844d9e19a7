//! Checks that no input, even from a misbehaving containerd, makes tracker and table produce an
//! inconsistent row.
//!
//! The input is parsed as a recording, up to the first invalid line.
#![no_main]

use std::collections::HashMap;

use libfuzzer_sys::fuzz_target;
use pulltrace_agent_lib::source::containerd::recording::Recording;
use pulltrace_agent_lib::source::containerd::tracker::Tracker;
use pulltrace_core::{Limits, Outcome, Percent, Phase, Pull, PullId, PullTable};

fuzz_target!(|bytes: &[u8]| {
    let Ok(recording) = Recording::open(bytes) else {
        return;
    };
    let header = recording.header().clone();
    let mut tracker = Tracker::new(header.node.clone(), header.namespace.clone());
    let mut twin = Tracker::new(header.node, header.namespace);
    let mut table = PullTable::new(Limits::default());
    let mut seen: HashMap<PullId, Pull> = HashMap::new();
    for line in recording.map_while(Result::ok) {
        let step = tracker.step(&line.input, line.now);
        assert_eq!(step, twin.step(&line.input, line.now), "same input, different output");
        table.apply(&step.observations, line.now);
        for pull in table.pulls() {
            assert_consistent(pull);
            if let Some(was) = seen.insert(pull.id.clone(), Pull::clone(pull)) {
                assert_monotonic(&was, pull);
            }
        }
        let totals = table.totals(line.now);
        assert!(totals.downloaded <= totals.to_download, "{totals:?}");
        table.expire(line.now);
        // A pull that returns after its removal is a new row.
        seen.retain(|id, _| table.get(id).is_some());
    }
});

/// Invariants of a single state of a pull.
fn assert_consistent(pull: &Pull) {
    let done = pull.motion.percent == Some(Percent::DONE);
    assert_eq!(done, pull.phase == Phase::Ended(Outcome::Completed));
    assert!(pull.to_download.is_none_or(|all| pull.motion.downloaded <= all));
    assert!(pull.to_extract.is_none_or(|all| pull.motion.extracted <= all));
    for layer in &pull.layers {
        assert!(layer.motion.downloaded <= layer.size);
    }
    if let Some(eta) = pull.motion.eta {
        assert!(eta.low <= eta.left && eta.left <= eta.high, "{eta:?}");
    }
}

/// Invariants of two consecutive states of a pull.
fn assert_monotonic(was: &Pull, is: &Pull) {
    let not_lower = |before| is.motion.percent.is_some_and(|now| now >= before);
    assert!(was.motion.percent.is_none_or(not_lower), "percentage decreased");
    let was_final =
        matches!(was.outcome(), Some(Outcome::Completed | Outcome::Failed | Outcome::Cancelled));
    assert!(!was_final || was.outcome() == is.outcome(), "outcome changed after the end");
}
