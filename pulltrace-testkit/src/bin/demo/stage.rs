//! Plays a script against a registry and a containerd, and keeps what they
//! hold within bounds.

use std::collections::VecDeque;
use std::time::Duration;

use futures_util::StreamExt as _;
use futures_util::future::LocalBoxFuture;
use futures_util::stream::FuturesUnordered;
use pulltrace_testkit::cri::Cri;
use pulltrace_testkit::registry::{Gate, Registry, Target, Times};

use crate::images::{Library, Made};
use crate::script::{Pull, Step, Trouble};

/// The host in the images' names; containerd finds the registry under it.
pub(crate) const HOST: &str = "registry.demo";

/// What the line to the registry carries, in bytes per second: at the speed at
/// which people look, and as [`crate::script::brief`] is meant.
pub(crate) const LINE: u64 = 8 << 20;
pub(crate) const BRIEF_LINE: u64 = 18 << 20;
/// Pulls at once; the script waits while there are so many.
const MAX_LIVE: usize = 8;
/// What stays in containerd of the images that were pulled, in bytes of
/// layers; the oldest go first.
const KEPT: u64 = 300 << 20;
/// No pull of the script takes so long.
const END: Duration = Duration::from_secs(15 * 60);

#[derive(Debug)]
pub(crate) struct Stage {
    registry: Registry,
    cri: Cri,
    library: Library,
    live: FuturesUnordered<LocalBoxFuture<'static, Ended>>,
    /// What is in containerd, the oldest first.
    kept: VecDeque<Kept>,
    surprises: Vec<String>,
}

#[derive(Debug)]
struct Kept {
    reference: String,
    bytes: u64,
}

#[derive(Debug)]
struct Ended {
    pull: Pull,
    bytes: u64,
    outcome: Result<(), String>,
}

impl Stage {
    pub(crate) fn new(registry: Registry, line: u64, cri: Cri, library: Library) -> Self {
        registry.everything().throttle(Some(line));
        Self {
            registry,
            cri,
            library,
            live: FuturesUnordered::new(),
            kept: VecDeque::new(),
            surprises: Vec::new(),
        }
    }

    /// What did not end as the script says, until now.
    pub(crate) fn surprises(&self) -> &[String] {
        &self.surprises
    }

    /// Plays all steps, and waits for the last pull.
    pub(crate) async fn play(&mut self, script: impl Iterator<Item = Step>) {
        for step in script {
            let pause = tokio::time::sleep(step.after);
            tokio::pin!(pause);
            loop {
                tokio::select! {
                    () = &mut pause, if self.live.len() < MAX_LIVE => break,
                    Some(ended) = self.live.next() => self.ended(ended).await,
                }
            }
            self.begin(step.pull);
        }
        while let Some(ended) = self.live.next().await {
            self.ended(ended).await;
        }
    }

    fn begin(&mut self, pull: Pull) {
        let (registry, cri, library) = (
            self.registry.clone(),
            self.cri.clone(),
            self.library.clone(),
        );
        self.live.push(Box::pin(run(pull, registry, cri, library)));
    }

    async fn ended(&mut self, ended: Ended) {
        let Ended {
            pull,
            bytes,
            outcome,
        } = ended;
        match outcome {
            Ok(()) if pull.fails() => self.surprise(format!("{} did not fail", pull.name())),
            Ok(()) => self.keep(reference(&pull), bytes).await,
            Err(_) if pull.fails() => {}
            Err(error) => self.surprise(format!("{} failed: {error}", pull.name())),
        }
    }

    async fn keep(&mut self, reference: String, bytes: u64) {
        self.kept.retain(|kept| kept.reference != reference);
        self.kept.push_back(Kept { reference, bytes });
        // The latest stays in any case.
        while self.kept.len() > 1 && self.kept.iter().map(|kept| kept.bytes).sum::<u64>() > KEPT {
            let Some(oldest) = self.kept.pop_front() else {
                return;
            };
            if let Err(error) = self.cri.remove(&oldest.reference).await {
                self.surprise(format!("{} stays: {error}", oldest.reference));
            }
        }
    }

    fn surprise(&mut self, text: String) {
        // Enough to see that something is wrong, and what.
        if self.surprises.len() < 20 {
            self.surprises.push(text);
        }
    }
}

fn reference(pull: &Pull) -> String {
    format!("{HOST}/{}", pull.name())
}

async fn run(pull: Pull, registry: Registry, cri: Cri, library: Library) -> Ended {
    let for_making = pull.clone();
    let made = tokio::task::spawn_blocking(move || library.make(&for_making)).await;
    let Made { image, digests } = match made {
        Ok(made) => made,
        Err(error) => {
            return Ended {
                pull,
                bytes: 0,
                outcome: Err(error.to_string()),
            };
        }
    };
    let mut faults = Vec::new();
    for (piece, digest) in pull.layers.iter().zip(&digests) {
        if piece.rate.is_some() {
            let layer = registry.blob(digest);
            layer.throttle(piece.rate);
            faults.push(layer);
        }
    }
    let held = digests
        .last()
        .and_then(|last| trouble(&registry, &pull, last, &mut faults));
    registry.push(&pull.name(), &image);
    let begun = cri.pull(&reference(&pull));
    let outcome = tokio::select! {
        outcome = begun.outcome_within(END) => outcome,
        never = release(held) => match never {},
    };
    for fault in faults {
        fault.clear();
    }
    Ended {
        bytes: image.manifest().unique_layer_bytes(),
        outcome: outcome.map(drop).map_err(|error| error.to_string()),
        pull,
    }
}

/// Makes the registry do what the script says, and returns the gate that is to
/// be opened after a while.
fn trouble(
    registry: &Registry,
    pull: &Pull,
    last: &str,
    faults: &mut Vec<Target>,
) -> Option<(Gate, Duration)> {
    let layer = registry.blob(last).in_repository(pull.repository);
    match pull.trouble {
        Trouble::None => None,
        Trouble::Breaks { at } => {
            layer.cut(at, Times::Always);
            faults.push(layer);
            None
        }
        Trouble::Stalls { at, time } => {
            let gate = layer.hold(at);
            faults.push(layer);
            Some((gate, time))
        }
        Trouble::Silence { time } => {
            let manifest = registry.manifest(&pull.tag).in_repository(pull.repository);
            let gate = manifest.silent();
            faults.push(manifest);
            Some((gate, time))
        }
    }
}

/// Opens the gate so long after something came to stand at it. Never ends, as
/// the pull goes on then.
async fn release(held: Option<(Gate, Duration)>) -> std::convert::Infallible {
    if let Some((gate, time)) = held
        && gate.await_reached(END).await.is_ok()
    {
        tokio::time::sleep(time).await;
        gate.release();
    }
    std::future::pending().await
}
