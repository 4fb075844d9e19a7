//! Plays a script against a registry and a containerd, and limits the data that they keep.

use std::collections::VecDeque;
use std::time::Duration;

use futures_util::StreamExt as _;
use futures_util::future::LocalBoxFuture;
use futures_util::stream::FuturesUnordered;
use pulltrace_testkit::cri::Cri;
use pulltrace_testkit::registry::{Gate, Registry, Target, Times};

use crate::images::{BuiltImage, ImageFactory};
use crate::script::{Fault, PullSpec, Step};

/// The host in the images' names, which containerd redirects to the registry.
pub(crate) const HOST: &str = "registry.demo";

/// The bandwidth of the registry in bytes per second: slow enough to watch, and a faster one for
/// [`crate::script::brief`].
pub(crate) const LINE_RATE: u64 = 8 << 20;
pub(crate) const BRIEF_LINE_RATE: u64 = 18 << 20;
/// The maximum of concurrent pulls; the script waits when it is reached.
const MAX_LIVE: usize = 8;
/// The layer bytes of pulled images that containerd may keep; the oldest images are removed.
const MAX_KEPT_BYTES: u64 = 300 << 20;
/// Longer than any pull of the script.
const PULL_TIMEOUT: Duration = Duration::from_secs(15 * 60);

#[derive(Debug)]
pub(crate) struct Player {
    registry: Registry,
    cri: Cri,
    library: ImageFactory,
    live: FuturesUnordered<LocalBoxFuture<'static, PullEnd>>,
    /// Images in containerd, oldest first.
    kept: VecDeque<KeptImage>,
    unexpected: Vec<String>,
}

#[derive(Debug)]
struct KeptImage {
    reference: String,
    bytes: u64,
}

#[derive(Debug)]
struct PullEnd {
    pull: PullSpec,
    bytes: u64,
    outcome: Result<(), String>,
}

impl Player {
    pub(crate) fn new(registry: Registry, line: u64, cri: Cri, library: ImageFactory) -> Self {
        registry.everything().throttle(Some(line));
        Self {
            registry,
            cri,
            library,
            live: FuturesUnordered::new(),
            kept: VecDeque::new(),
            unexpected: Vec::new(),
        }
    }

    /// The pulls that have not ended as the script expects, so far.
    pub(crate) fn unexpected(&self) -> &[String] {
        &self.unexpected
    }

    /// Plays all steps and waits for the last pull.
    pub(crate) async fn play(&mut self, script: impl Iterator<Item = Step>) {
        for step in script {
            let pause = tokio::time::sleep(step.delay);
            tokio::pin!(pause);
            loop {
                tokio::select! {
                    () = &mut pause, if self.live.len() < MAX_LIVE => break,
                    Some(ended) = self.live.next() => self.on_ended(ended).await,
                }
            }
            self.start(step.pull);
        }
        while let Some(ended) = self.live.next().await {
            self.on_ended(ended).await;
        }
    }

    fn start(&mut self, pull: PullSpec) {
        let (registry, cri, library) =
            (self.registry.clone(), self.cri.clone(), self.library.clone());
        self.live.push(Box::pin(run_pull(pull, registry, cri, library)));
    }

    async fn on_ended(&mut self, ended: PullEnd) {
        let PullEnd { pull, bytes, outcome } = ended;
        match outcome {
            Ok(()) if pull.should_fail() => {
                self.record_unexpected(format!("{} did not fail", pull.name()))
            }
            Ok(()) => self.keep(reference(&pull), bytes).await,
            Err(_) if pull.should_fail() => {}
            Err(error) => self.record_unexpected(format!("{} failed: {error}", pull.name())),
        }
    }

    async fn keep(&mut self, reference: String, bytes: u64) {
        self.kept.retain(|kept| kept.reference != reference);
        self.kept.push_back(KeptImage { reference, bytes });
        // The latest image is always kept.
        while self.kept.len() > 1
            && self.kept.iter().map(|kept| kept.bytes).sum::<u64>() > MAX_KEPT_BYTES
        {
            let Some(oldest) = self.kept.pop_front() else {
                return;
            };
            if let Err(error) = self.cri.remove(&oldest.reference).await {
                self.record_unexpected(format!("failed to remove {}: {error}", oldest.reference));
            }
        }
    }

    fn record_unexpected(&mut self, text: String) {
        // Enough to diagnose a problem.
        if self.unexpected.len() < 20 {
            self.unexpected.push(text);
        }
    }
}

fn reference(pull: &PullSpec) -> String {
    format!("{HOST}/{}", pull.name())
}

async fn run_pull(pull: PullSpec, registry: Registry, cri: Cri, library: ImageFactory) -> PullEnd {
    let for_making = pull.clone();
    let made = tokio::task::spawn_blocking(move || library.build(&for_making)).await;
    let BuiltImage { image, digests } = match made {
        Ok(made) => made,
        Err(error) => {
            return PullEnd { pull, bytes: 0, outcome: Err(error.to_string()) };
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
    let held = digests.last().and_then(|last| inject_fault(&registry, &pull, last, &mut faults));
    registry.push(&pull.name(), &image);
    let begun = cri.pull(&reference(&pull));
    let outcome = tokio::select! {
        outcome = begun.outcome_within(PULL_TIMEOUT) => outcome,
        never = release_after(held) => match never {},
    };
    for fault in faults {
        fault.clear();
    }
    PullEnd {
        bytes: image.manifest().unique_layer_bytes(),
        outcome: outcome.map(drop).map_err(|error| error.to_string()),
        pull,
    }
}

/// Injects the fault of a pull. Returns the gate to release and how long to hold it.
fn inject_fault(
    registry: &Registry,
    pull: &PullSpec,
    last: &str,
    faults: &mut Vec<Target>,
) -> Option<(Gate, Duration)> {
    let layer = registry.blob(last).in_repository(pull.repository);
    match pull.fault {
        Fault::None => None,
        Fault::CutConnection { at } => {
            layer.cut(at, Times::Always);
            faults.push(layer);
            None
        }
        Fault::Stall { at, duration: time } => {
            let gate = layer.hold(at);
            faults.push(layer);
            Some((gate, time))
        }
        Fault::NoResponse { duration: time } => {
            let manifest = registry.manifest(&pull.tag).in_repository(pull.repository);
            let gate = manifest.silent();
            faults.push(manifest);
            Some((gate, time))
        }
    }
}

/// Releases the gate this long after it was reached. Never returns, because the pull continues.
async fn release_after(held: Option<(Gate, Duration)>) -> std::convert::Infallible {
    if let Some((gate, time)) = held
        && gate.await_reached(PULL_TIMEOUT).await.is_ok()
    {
        tokio::time::sleep(time).await;
        gate.release();
    }
    std::future::pending().await
}
