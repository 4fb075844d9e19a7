//! The library's guarantees with a real containerd: the contract of [`PullSource`], and recordings
//! that replay identically.

use std::collections::BTreeMap;
use std::fs::File;
use std::io::{self, BufReader};
use std::time::Duration;

use pulltrace_agent_lib::source::containerd::replay::Speed;
use pulltrace_agent_lib::source::containerd::{Containerd as Source, Replay};
use pulltrace_agent_lib::testing::conformance::{self, TestRuntime};
use pulltrace_core::{Limits, Outcome};
use pulltrace_testkit::cri::Pull;
use pulltrace_testkit::image::mib;
use pulltrace_testkit::registry::Gate;

use crate::kit::{Kit, Scenario, TIMEOUT, image_of, scenario, source};
use crate::watch::Watch;

pub(crate) const ALL: &[Scenario] =
    &[scenario!(containerd_source_conforms_to_contract), scenario!(recording_replays_identically)];

/// A containerd whose pulls are controlled by the test.
struct ContainerdRig {
    kit: Kit,
    pulls: BTreeMap<u32, (Pull, Gate)>,
}

impl TestRuntime for ContainerdRig {
    type Source = Source;
    type Error = io::Error;

    fn timeout(&self) -> Duration {
        TIMEOUT
    }

    async fn source(&mut self) -> Result<Source, io::Error> {
        Ok(source(&self.kit.containerd).start())
    }

    async fn start_pull(&mut self, pull: u32) -> Result<(), io::Error> {
        let image = image_of(&[&format!("layer{pull}")], 3);
        let layer = self.kit.registry.blob(&image.layers()[0].descriptor.digest);
        let gate = layer.hold(mib(2));
        let begun = self.kit.pull(&format!("rig/app{pull}:1"), &image);
        gate.await_reached(TIMEOUT).await.map_err(io::Error::other)?;
        self.pulls.insert(pull, (begun, gate));
        Ok(())
    }

    async fn complete_pull(&mut self, pull: u32) -> Result<(), io::Error> {
        let (pull, gate) = self.pulls.remove(&pull).expect("pull was started");
        gate.release();
        pull.outcome().await.map_err(io::Error::other).map(drop)
    }

    async fn fail_pull(&mut self, pull: u32) -> Result<(), io::Error> {
        let (pull, _gate) = self.pulls.remove(&pull).expect("pull was started");
        let cancelled = pull.cancel().await;
        cancelled.then_some(()).ok_or_else(|| io::Error::other("pull had already ended"))
    }

    async fn disconnect(&mut self) -> Result<(), io::Error> {
        self.kit.containerd.freeze()
    }

    async fn reconnect(&mut self) -> Result<(), io::Error> {
        self.kit.containerd.thaw()
    }
}

async fn containerd_source_conforms_to_contract(kit: Kit) -> Kit {
    let mut rig = ContainerdRig { kit, pulls: BTreeMap::new() };
    if let Err(violation) = conformance::check(&mut rig).await {
        panic!("{violation}: {violation:#?}");
    }
    rig.kit
}

async fn recording_replays_identically(mut kit: Kit) -> Kit {
    let path = kit.containerd.dir().join("recording.jsonl");
    let file = File::create(&path).expect("a file");
    kit.restart_watch(source(&kit.containerd).record_to(file), Limits::default());
    kit.watch.wait_connected().await;
    let image = image_of(&["a", "b"], 3);
    let (pull, gate) = kit.pull_held("recorded/app:1", &image, mib(2)).await;
    gate.release();
    pull.outcome().await.expect("pull succeeds");
    let (pull, _gate) = kit.pull_held("recorded/cut:1", &image_of(&["c"], 3), mib(2)).await;
    assert!(pull.cancel().await);
    kit.pull_to_end("recorded/app:1", &image).await;
    let live = kit.watch.wait_ended(3).await;
    kit.watch.wait_settled().await;

    let replay = || {
        let file = BufReader::new(File::open(&path).expect("the recording"));
        Replay::new(file, Speed::FASTEST).expect("valid recording")
    };
    let played = Watch::start(replay(), Limits::default());
    played.wait_source_end().await;
    let replayed = played.wait_ended(3).await;
    assert_eq!(replayed, live);
    assert_eq!(live.iter().filter(|pull| pull.outcome() == Some(Outcome::Completed)).count(), 2);
    played.assert_consistent(&[]);
    let kept = conformance::check_finite(replay, TIMEOUT).await;
    assert!(kept.is_ok(), "{:#?}", kept.err());
    kit
}
