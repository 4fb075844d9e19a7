//! Replays conform to the source contract.

use std::time::Duration;

use pulltrace_agent_lib::source::containerd::replay::{Replay, Speed};
use pulltrace_agent_lib::testing::conformance::check_finite;
use pulltrace_core::{Observation, PullFact};

use crate::common::within_ten_minutes;

/// Recorded from containerd 1.6: three pulls, one of them cancelled.
const RECORDING: &[u8] = include_bytes!("../data/three-pulls.jsonl");

#[tokio::test(start_paused = true)]
async fn recorded_replay_conforms_at_any_speed() {
    for speed in [Speed::FASTEST, Speed::REAL, Speed::times(0.1).unwrap()] {
        let make = || Replay::new(RECORDING, speed).unwrap();
        let said = within_ten_minutes("the suite", check_finite(make, Duration::from_secs(60)));
        let said = said.await.unwrap();
        let all = said.iter().flat_map(|batch| &batch.observations);
        let ends = all
            .filter(|said| matches!(said, Observation::Pull { fact: PullFact::Ended { .. }, .. }));
        assert_eq!(ends.count(), 3, "{speed:?}");
    }
}
