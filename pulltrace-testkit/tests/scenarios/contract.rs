//! What the library promises of its sources, kept with a real containerd: the contract of [`PullSource`], and
//! that a recording replays as it was.

use std::collections::BTreeMap;
use std::fs::File;
use std::io::{self, BufReader};
use std::time::Duration;

use pulltrace_agent_lib::source::containerd::replay::Speed;
use pulltrace_agent_lib::source::containerd::{Containerd as Source, Replay};
use pulltrace_agent_lib::testing::conformance::{self, Rig};
use pulltrace_core::{Limits, Outcome};
use pulltrace_testkit::cri::Pull;
use pulltrace_testkit::image::mib;
use pulltrace_testkit::registry::Gate;

use crate::kit::{Kit, SOON, Scenario, image_of, scenario, source};
use crate::watch::Watch;

pub(crate) const ALL: &[Scenario] = &[
    scenario!(the_contract_of_sources_is_kept),
    scenario!(a_recording_replays_as_it_was),
];

/// A containerd whose pulls a test commands.
struct Command {
    kit: Kit,
    pulls: BTreeMap<u32, (Pull, Gate)>,
}

impl Rig for Command {
    type Source = Source;
    type Error = io::Error;

    fn patience(&self) -> Duration {
        SOON
    }

    async fn source(&mut self) -> Result<Source, io::Error> {
        Ok(source(&self.kit.containerd).start())
    }

    async fn begin(&mut self, pull: u32) -> Result<(), io::Error> {
        let image = image_of(&[&format!("layer{pull}")], 3);
        let layer = self.kit.registry.blob(&image.layers()[0].descriptor.digest);
        let gate = layer.hold(mib(2));
        let begun = self.kit.pull(&format!("rig/app{pull}:1"), &image);
        gate.await_reached(SOON).await.map_err(io::Error::other)?;
        self.pulls.insert(pull, (begun, gate));
        Ok(())
    }

    async fn finish(&mut self, pull: u32) -> Result<(), io::Error> {
        let (pull, gate) = self.pulls.remove(&pull).expect("it was begun");
        gate.release();
        pull.outcome().await.map_err(io::Error::other).map(drop)
    }

    async fn abandon(&mut self, pull: u32) -> Result<(), io::Error> {
        let (pull, _gate) = self.pulls.remove(&pull).expect("it was begun");
        let cancelled = pull.cancel().await;
        cancelled
            .then_some(())
            .ok_or_else(|| io::Error::other("it had ended"))
    }

    async fn lose(&mut self) -> Result<(), io::Error> {
        self.kit.containerd.freeze()
    }

    async fn restore(&mut self) -> Result<(), io::Error> {
        self.kit.containerd.thaw()
    }
}

async fn the_contract_of_sources_is_kept(kit: Kit) -> Kit {
    let mut rig = Command {
        kit,
        pulls: BTreeMap::new(),
    };
    if let Err(violation) = conformance::driven(&mut rig).await {
        panic!("{violation}: {violation:#?}");
    }
    rig.kit
}

async fn a_recording_replays_as_it_was(mut kit: Kit) -> Kit {
    let path = kit.containerd.dir().join("recording.jsonl");
    let file = File::create(&path).expect("a file");
    kit.watch_anew(source(&kit.containerd).record(file), Limits::default());
    kit.watch.connected().await;
    let image = image_of(&["a", "b"], 3);
    let (pull, gate) = kit.pull_half("recorded/app:1", &image, mib(2)).await;
    gate.release();
    pull.outcome().await.expect("it succeeds");
    let (pull, _gate) = kit
        .pull_half("recorded/cut:1", &image_of(&["c"], 3), mib(2))
        .await;
    assert!(pull.cancel().await);
    kit.pull_whole("recorded/app:1", &image).await;
    let live = kit.watch.ended(3).await;
    kit.watch.settled().await;

    let replay = || {
        let file = BufReader::new(File::open(&path).expect("the recording"));
        Replay::new(file, Speed::FASTEST).expect("it is a recording")
    };
    let played = Watch::begin(replay(), Limits::default());
    played.over().await;
    let replayed = played.ended(3).await;
    assert_eq!(replayed, live);
    assert_eq!(
        live.iter()
            .filter(|pull| pull.outcome() == Some(Outcome::Completed))
            .count(),
        2
    );
    played.assert_true(&[]);
    let kept = conformance::finite(replay, SOON).await;
    assert!(kept.is_ok(), "{:#?}", kept.err());
    kit
}
