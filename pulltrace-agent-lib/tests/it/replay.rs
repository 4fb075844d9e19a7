//! A replay is a source like any other, and keeps the same contract.

use std::time::Duration;

use pulltrace_agent_lib::source::containerd::replay::{Replay, Speed};
use pulltrace_agent_lib::testing::conformance::finite;
use pulltrace_core::Observation;

use crate::common::soon;

/// A containerd 1.6 that really pulled three images, of which one was called off.
const RECORDING: &[u8] = include_bytes!("../data/three-pulls.jsonl");

#[tokio::test(start_paused = true)]
async fn a_replay_of_a_real_containerd_keeps_the_contract_at_any_speed() {
    for speed in [Speed::FASTEST, Speed::REAL, Speed::times(0.1).unwrap()] {
        let make = || Replay::new(RECORDING, speed).unwrap();
        let said = soon("the suite", finite(make, Duration::from_secs(60)));
        let said = said.await.unwrap();
        let all = said.iter().flat_map(|batch| &batch.observations);
        let ends = all.filter(|said| matches!(said, Observation::Ended { .. }));
        assert_eq!(ends.count(), 3, "{speed:?}");
    }
}
