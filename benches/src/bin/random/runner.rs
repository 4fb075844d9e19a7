//! Executes the plan and records the outcome that each client receives.

use std::collections::HashMap;
use std::time::Duration;

use futures_util::{StreamExt as _, stream};
use pulltrace_agent_lib::Clock;
pub(crate) use pulltrace_benches::Error;
use pulltrace_core::NodeTime;
use pulltrace_testkit::containerd::Containerd;
use pulltrace_testkit::cri::Pull;
use pulltrace_testkit::image::{Image, Layer, Platform};
use pulltrace_testkit::registry::{Gate, Refusal, Registry, Target, Times};
use tokio::sync::{RwLock, RwLockWriteGuard};

use crate::collector::{Collector, ObservedPull};
use crate::plan::{ImagePlan, LayerPlan, Plan, PullPlan, Scenario, Shape, Wave};

/// Time to wait for a pull with a manifest to be observed.
const SEEN_TIMEOUT: Duration = Duration::from_millis(1_500);
/// Time to wait for a pull without a manifest to be observed.
const RESOLVING_TIMEOUT: Duration = Duration::from_millis(2_500);
/// Long enough for several polls.
const SEVERAL_POLLS: Duration = Duration::from_secs(1);
/// The timeout of all other waits.
const TIMEOUT: Duration = Duration::from_secs(90);
/// Time to wait for the collector to see all ends, once all clients have their outcomes.
const END_TIMEOUT: Duration = Duration::from_secs(45);

/// The outcome of one pull by one client.
#[derive(Clone, Debug)]
pub(crate) struct ClientOutcome {
    /// The plan of the pull, formatted.
    pub(crate) plan: String,
    pub(crate) reference: String,
    pub(crate) root: String,
    pub(crate) from: NodeTime,
    pub(crate) to: NodeTime,
    pub(crate) completed: bool,
    /// The image's id or containerd's error.
    pub(crate) detail: String,
    /// It lasted long enough to be observed.
    pub(crate) must_be_seen: bool,
    /// It may have ended before its root was known.
    pub(crate) may_lack_root: bool,
}

pub(crate) struct Runner<'a> {
    pub(crate) containerd: &'a Containerd,
    pub(crate) registry: &'a Registry,
    pub(crate) collector: &'a Collector,
    pub(crate) plan: &'a Plan,
    clock: Clock,
    /// Write-locked while a pull ends without an observed manifest: containerd's data cannot tell
    /// two such ends apart.
    hidden_end_lock: RwLock<()>,
    layers: HashMap<u64, Layer>,
    images: HashMap<usize, Image>,
}

impl<'a> Runner<'a> {
    pub(crate) fn new(
        containerd: &'a Containerd,
        registry: &'a Registry,
        collector: &'a Collector,
        plan: &'a Plan,
    ) -> Self {
        Self {
            containerd,
            registry,
            collector,
            plan,
            clock: Clock::system(),
            hidden_end_lock: RwLock::new(()),
            layers: HashMap::new(),
            images: HashMap::new(),
        }
    }

    /// The size of each image's layers on this machine, by root digest.
    pub(crate) fn totals(&self) -> HashMap<String, u64> {
        let host = Platform::host();
        let mut totals = HashMap::new();
        for image in self.images.values() {
            if let Some(manifest) = image.manifests.iter().find(|m| m.platform == host) {
                totals.insert(image.root.digest.clone(), manifest.unique_layer_bytes());
            }
        }
        totals
    }

    pub(crate) async fn run_wave(&mut self, wave: &Wave) -> Result<Vec<ClientOutcome>, Error> {
        for pull in &wave.pulls {
            self.build(pull.image);
        }
        let runner = &*self;
        let pulls = stream::iter(&wave.pulls).map(|pull| runner.run_pull(pull));
        let outcomes: Vec<_> = pulls.buffer_unordered(wave.concurrency).collect().await;
        let mut told = Vec::new();
        for outcome in outcomes {
            told.extend(outcome?);
        }
        // A timeout is ignored: the comparison reports pulls that do not end.
        drop(
            self.collector
                .until("no pull is live", END_TIMEOUT, |seen| seen.live().next().is_none())
                .await,
        );
        if !wave.removed_images.is_empty() {
            // Otherwise the collector may look up an image only after it was removed.
            tokio::time::sleep(SEVERAL_POLLS).await;
        }
        for image in &wave.removed_images {
            self.remove(*image).await?;
        }
        Ok(told)
    }

    async fn remove(&self, image: usize) -> Result<(), Error> {
        let all = self.plan.waves.iter().flat_map(|wave| &wave.pulls);
        let cri = self.containerd.cri();
        for pull in all.filter(|pull| pull.image == image) {
            let name = if pull.by_digest {
                format!("{}@{}", pull.repository, self.images[&image].root.digest)
            } else {
                pull.name()
            };
            // CRI accepts the removal of an unknown name.
            cri.remove(&self.registry.reference(&name)).await?;
        }
        Ok(())
    }

    fn build(&mut self, number: usize) {
        if self.images.contains_key(&number) {
            return;
        }
        let ImagePlan { layers, shape, .. } = &self.plan.images[number];
        let seed = self.plan.seed;
        let layers: Vec<Layer> = layers
            .iter()
            .map(|layer| match *layer {
                LayerPlan::Empty => Layer::empty(),
                LayerPlan::Random { number, size } => self
                    .layers
                    .entry(number)
                    .or_insert_with(|| Layer::random(&format!("layer-{seed}-{number}"), size))
                    .clone(),
            })
            .collect();
        let build = |platform| {
            Image::builder()
                .platform(platform)
                .layers(layers.clone())
                .label("number", &number.to_string())
                .build()
        };
        let foreign = || build(Platform::foreign());
        let image = match shape {
            Shape::Manifest => build(Platform::host()),
            Shape::Index => Image::index()
                .image(&foreign())
                .image(&build(Platform::host()))
                .attestation()
                .build(),
            Shape::Foreign => Image::index().image(&foreign()).build(),
        };
        self.images.insert(number, image);
    }

    /// Waits until no other pull runs, and until polls have observed that.
    async fn lock_hidden_end(&self) -> RwLockWriteGuard<'_, ()> {
        let alone = self.hidden_end_lock.write().await;
        tokio::time::sleep(SEVERAL_POLLS).await;
        alone
    }

    /// The blob of the fault layer.
    fn victim(&self, pull: &PullPlan) -> Target {
        let image = &self.plan.images[pull.image];
        let at = image.fault_layer.expect("a scenario with a layer fault has a fault layer");
        let LayerPlan::Random { number, .. } = image.layers[at] else {
            unreachable!("the fault layer is never empty");
        };
        self.registry.blob(self.layers[&number].digest()).in_repository(&pull.repository)
    }

    async fn run_pull(&self, pull: &PullPlan) -> Result<Vec<ClientOutcome>, Error> {
        let image = &self.images[&pull.image];
        let reference = self.registry.push(&pull.name(), image);
        let mut clients = PullClients {
            runner: self,
            pull,
            reference,
            root: image.root.digest.clone(),
            outcomes: Vec::new(),
            running: Vec::new(),
            was_seen: false,
        };
        let others = if pull.scenario.may_end_before_manifest() {
            None
        } else {
            Some(self.hidden_end_lock.read().await)
        };
        clients.run().await?;
        if pull.retry {
            let _others = match others {
                Some(others) => others,
                None => self.hidden_end_lock.read().await,
            };
            clients.retry().await?;
        }
        Ok(clients.outcomes)
    }
}

/// The clients of one planned pull.
struct PullClients<'a> {
    runner: &'a Runner<'a>,
    pull: &'a PullPlan,
    reference: String,
    root: String,
    outcomes: Vec<ClientOutcome>,
    running: Vec<(NodeTime, Pull)>,
    /// The running clients have lasted long enough to be observed.
    was_seen: bool,
}

impl PullClients<'_> {
    async fn run(&mut self) -> Result<(), Error> {
        let pull = self.pull;
        let version = if pull.by_digest { &self.root } else { &pull.tag };
        let manifest = self.runner.registry.manifest(version).in_repository(&pull.repository);
        let victim = || self.runner.victim(pull);
        match pull.scenario {
            Scenario::Nothing | Scenario::NoPlatform => self.start_all(),
            Scenario::Throttled(rate) => {
                victim().throttle(Some(rate));
                self.start_all();
            }
            Scenario::LateManifest(ms) => {
                let gate = manifest.silent();
                self.start_all();
                gate.await_reached(TIMEOUT).await?;
                tokio::time::sleep(Duration::from_millis(ms)).await;
                let _alone = self.runner.lock_hidden_end().await;
                gate.release();
                self.outcomes().await;
                tokio::time::sleep(SEVERAL_POLLS).await;
            }
            Scenario::Held { at, ms } => {
                let gate = victim().hold(at);
                self.start_all();
                hold_for(&gate, ms).await?;
            }
            Scenario::CutOnce(at) => {
                victim().cut(at, Times::Once);
                self.start_all();
            }
            Scenario::ManifestRefusedOnce(status) => {
                manifest.refuse(Refusal::status(status).times(Times::Once));
                self.start_all();
            }
            Scenario::ManifestRefused(status) => {
                manifest.refuse(Refusal::status(status));
                self.start_all();
            }
            Scenario::CutForGood(at) => {
                let gate = victim().hold(at);
                victim().cut(at, Times::Always);
                self.start_all();
                self.wait_until_seen(&gate).await?;
            }
            Scenario::Corrupt(at) => {
                let gate = victim().hold(at);
                victim().corrupt(at);
                self.start_all();
                self.wait_until_seen(&gate).await?;
            }
            Scenario::LayerRefused(status) => {
                let gate = victim().silent();
                self.start_all();
                self.wait_until_seen(&gate).await?;
                victim().refuse(Refusal::status(status));
                gate.release();
            }
            Scenario::CancelledAt(at) => {
                let gate = victim().hold(at);
                self.start_all();
                self.wait_until_seen(&gate).await?;
                self.cancel(0).await?;
                // The gate stays closed until then, so the pull cannot complete.
                self.wait_for_end().await;
            }
            Scenario::OneCancelledAt(at) => {
                let gate = victim().hold(at);
                self.start_all();
                self.wait_until_seen(&gate).await?;
                let which = usize::from(at % 2 == 0);
                self.cancel(which).await?;
                self.wait_for_end().await;
            }
            Scenario::CancelledWhileResolving => {
                let gate = manifest.silent();
                self.start_all();
                gate.await_reached(TIMEOUT).await?;
                tokio::time::sleep(RESOLVING_TIMEOUT).await;
                self.was_seen = true;
                let _alone = self.runner.lock_hidden_end().await;
                self.cancel(0).await?;
                tokio::time::sleep(SEVERAL_POLLS).await;
            }
        }
        self.outcomes().await;
        manifest.clear();
        if self.runner.plan.images[pull.image].fault_layer.is_some() {
            victim().clear();
        }
        Ok(())
    }

    async fn retry(&mut self) -> Result<(), Error> {
        // Like the kubelet, which waits ten seconds before a retry.
        self.wait_for_end().await;
        self.start_one();
        self.outcomes().await;
        Ok(())
    }

    fn start_all(&mut self) {
        self.start_one();
        if self.pull.two_clients {
            self.start_one();
        }
    }

    fn start_one(&mut self) {
        let from = self.runner.clock.now().node;
        let pull = self.runner.containerd.cri().pull(&self.reference);
        self.running.push((from, pull));
    }

    /// Waits until the pull is held at the gate and has been observed, or should have been.
    async fn wait_until_seen(&mut self, gate: &Gate) -> Result<(), Error> {
        gate.await_reached(TIMEOUT).await?;
        let clients = self.running.len();
        let from = self.running[0].0;
        let seen = self.runner.collector.until(
            "the collector has observed the pull",
            SEEN_TIMEOUT,
            |seen| {
                let rows = seen.with_root(&self.root);
                rows.filter(|row| row.started_at() >= from && row.pull.outcome().is_none()).count()
                    >= clients
            },
        );
        // A timeout is ignored: the comparison reports missing pulls.
        drop(seen.await);
        self.was_seen = true;
        Ok(())
    }

    /// Waits until the collector reports a failed pull of these clients, or should have.
    async fn wait_for_end(&self) {
        let from = self.outcomes.iter().map(|told| told.from).min();
        let ended = self.runner.collector.until(
            "the collector has observed the end",
            SEEN_TIMEOUT,
            |seen| {
                let ended = |row: &ObservedPull| {
                    row.pull.outcome().is_some() && Some(row.started_at()) >= from
                };
                seen.with_root(&self.root).any(ended)
            },
        );
        drop(ended.await);
    }

    async fn cancel(&mut self, which: usize) -> Result<(), Error> {
        let (from, pull) = self.running.remove(which);
        if !pull.cancel().await {
            return Err(format!("{}: the pull ended before it was cancelled", self.pull).into());
        }
        self.record_outcome(from, Err("cancelled by the client".to_owned()));
        Ok(())
    }

    async fn outcomes(&mut self) {
        for (from, pull) in std::mem::take(&mut self.running) {
            let outcome = pull.outcome_within(TIMEOUT).await;
            self.record_outcome(from, outcome.map_err(|error| error.to_string()));
        }
        // A later pull is not held until it was observed.
        self.was_seen = false;
    }

    fn record_outcome(&mut self, from: NodeTime, outcome: Result<String, String>) {
        let completed = outcome.is_ok();
        self.outcomes.push(ClientOutcome {
            plan: self.pull.to_string(),
            reference: self.reference.clone(),
            root: self.root.clone(),
            from,
            to: self.runner.clock.now().node,
            completed,
            detail: outcome.unwrap_or_else(|words| words),
            must_be_seen: completed || self.was_seen,
            may_lack_root: !completed
                && matches!(
                    self.pull.scenario,
                    Scenario::ManifestRefused(_)
                        | Scenario::NoPlatform
                        | Scenario::ManifestRefusedOnce(_)
                        | Scenario::LateManifest(_)
                        | Scenario::CancelledWhileResolving
                ),
        });
    }
}

async fn hold_for(gate: &Gate, ms: u64) -> Result<(), Error> {
    gate.await_reached(TIMEOUT).await?;
    tokio::time::sleep(Duration::from_millis(ms)).await;
    gate.release();
    Ok(())
}
