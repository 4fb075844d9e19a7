//! A containerd that answers nonsense: whatever the tracker is told, it and the
//! table make no row that cannot be true.
//!
//! The input is a recording; what cannot be read of it was refused before.
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
        assert_eq!(step, twin.step(&line.input, line.now), "the same input");
        table.apply(&step.observations, line.now);
        for pull in table.pulls() {
            is_true(pull);
            if let Some(was) = seen.insert(pull.id.clone(), Pull::clone(pull)) {
                follows(&was, pull);
            }
        }
        let sums = table.sums(line.now);
        assert!(sums.downloaded <= sums.to_download, "{sums:?}");
        table.expire(line.now);
        // A row that was forgotten and comes back begins anew.
        seen.retain(|id, _| table.get(id).is_some());
    }
});

/// What holds of any state of a pull.
fn is_true(pull: &Pull) {
    let done = pull.percent == Some(Percent::DONE);
    assert_eq!(done, pull.phase == Phase::Ended(Outcome::Completed));
    assert!(pull.to_download.is_none_or(|all| pull.downloaded <= all));
    assert!(pull.to_extract.is_none_or(|all| pull.extracted <= all));
    for layer in &pull.layers {
        assert!(layer.downloaded <= layer.size);
    }
    if let Some(eta) = pull.eta {
        assert!(eta.low <= eta.left && eta.left <= eta.high, "{eta:?}");
    }
}

/// What holds of any two states of a pull that follow each other.
fn follows(was: &Pull, is: &Pull) {
    let grows = |before| is.percent.is_some_and(|now| now >= before);
    assert!(was.percent.is_none_or(grows), "percent went back");
    let stands = matches!(
        was.outcome(),
        Some(Outcome::Completed | Outcome::Failed | Outcome::Cancelled)
    );
    assert!(
        !stands || was.outcome() == is.outcome(),
        "an end was taken back"
    );
}
