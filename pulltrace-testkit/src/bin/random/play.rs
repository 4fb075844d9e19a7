//! Does what the plan says, and writes down what each client was told.

use std::collections::HashMap;
use std::time::Duration;

use futures_util::{StreamExt as _, stream};
use pulltrace_agent_lib::Clock;
use pulltrace_core::NodeTime;
use pulltrace_testkit::containerd::Containerd;
use pulltrace_testkit::cri::Pull;
use pulltrace_testkit::image::{Image, Layer, Platform};
use pulltrace_testkit::registry::{Gate, Refusal, Registry, Target, Times};
use tokio::sync::{RwLock, RwLockWriteGuard};

use crate::plan::{ImagePlan, LayerPlan, Plan, PullPlan, Shape, Story, Wave};
use crate::seen::{Row, Watch};

/// A pull that has a manifest is seen within this.
const SEEN_WITHIN: Duration = Duration::from_millis(1_500);
/// A pull of which there is no manifest yet is seen within this.
const RESOLVING_WITHIN: Duration = Duration::from_millis(2_500);
/// In this time some polls show what ended before.
const POLLS: Duration = Duration::from_secs(1);
/// Anything that a test waits for comes within this.
const SOON: Duration = Duration::from_secs(90);
/// When all clients know how it ended, the collector does within this.
const ENDS_WITHIN: Duration = Duration::from_secs(45);

pub(crate) type Error = Box<dyn std::error::Error>;

/// What one client was told of one pull.
#[derive(Clone, Debug)]
pub(crate) struct Told {
    /// The plan of it, in words.
    pub(crate) plan: String,
    pub(crate) reference: String,
    pub(crate) root: String,
    pub(crate) from: NodeTime,
    pub(crate) to: NodeTime,
    pub(crate) completed: bool,
    /// The image's id, or containerd's words.
    pub(crate) words: String,
    /// It lived long enough to be seen.
    pub(crate) must_be_seen: bool,
    /// It may have ended before its root was known.
    pub(crate) may_lack_root: bool,
}

pub(crate) struct Stage<'a> {
    pub(crate) containerd: &'a Containerd,
    pub(crate) registry: &'a Registry,
    pub(crate) watch: &'a Watch,
    pub(crate) plan: &'a Plan,
    clock: Clock,
    /// Written to while a pull ends of which nothing but its start was seen:
    /// containerd does not tell which of two such ends was whose.
    quiet: RwLock<()>,
    layers: HashMap<u64, Layer>,
    images: HashMap<usize, Image>,
}

impl<'a> Stage<'a> {
    pub(crate) fn new(
        containerd: &'a Containerd,
        registry: &'a Registry,
        watch: &'a Watch,
        plan: &'a Plan,
    ) -> Self {
        Self {
            containerd,
            registry,
            watch,
            plan,
            clock: Clock::system(),
            quiet: RwLock::new(()),
            layers: HashMap::new(),
            images: HashMap::new(),
        }
    }

    /// The bytes of each image's layers on this machine, by the image's root.
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

    pub(crate) async fn wave(&mut self, wave: &Wave) -> Result<Vec<Told>, Error> {
        for pull in &wave.pulls {
            self.build(pull.image);
        }
        let stage = &*self;
        let pulls = stream::iter(&wave.pulls).map(|pull| stage.perform(pull));
        let outcomes: Vec<_> = pulls.buffer_unordered(wave.at_once).collect().await;
        let mut told = Vec::new();
        for outcome in outcomes {
            told.extend(outcome?);
        }
        // What does not end is found by the comparison.
        drop(
            self.watch
                .until("nothing lives", ENDS_WITHIN, |seen| {
                    seen.live().next().is_none()
                })
                .await,
        );
        if !wave.removed.is_empty() {
            // What is not there any more when it is looked up was never there.
            tokio::time::sleep(POLLS).await;
        }
        for image in &wave.removed {
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
            // A name that is not there is no error to the CRI.
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

    /// Waits until no other pull goes on, and until polls have shown that.
    async fn alone(&self) -> RwLockWriteGuard<'_, ()> {
        let alone = self.quiet.write().await;
        tokio::time::sleep(POLLS).await;
        alone
    }

    /// The blob that faults strike.
    fn victim(&self, pull: &PullPlan) -> Target {
        let image = &self.plan.images[pull.image];
        let at = image
            .victim
            .expect("such a story is of an image with a victim");
        let LayerPlan::Random { number, .. } = image.layers[at] else {
            unreachable!("the victim is never the empty layer");
        };
        self.registry
            .blob(self.layers[&number].digest())
            .in_repository(&pull.repository)
    }

    async fn perform(&self, pull: &PullPlan) -> Result<Vec<Told>, Error> {
        let image = &self.images[&pull.image];
        let reference = self.registry.push(&pull.name(), image);
        let mut clients = Clients {
            stage: self,
            pull,
            reference,
            root: image.root.digest.clone(),
            told: Vec::new(),
            running: Vec::new(),
            was_seen: false,
        };
        let others = if pull.story.is_hidden() {
            None
        } else {
            Some(self.quiet.read().await)
        };
        clients.play().await?;
        if pull.again {
            let _others = match others {
                Some(others) => others,
                None => self.quiet.read().await,
            };
            clients.again().await?;
        }
        Ok(clients.told)
    }
}

/// The clients of one planned pull.
struct Clients<'a> {
    stage: &'a Stage<'a>,
    pull: &'a PullPlan,
    reference: String,
    root: String,
    told: Vec<Told>,
    running: Vec<(NodeTime, Pull)>,
    /// The clients that run now have lived long enough to be seen.
    was_seen: bool,
}

impl Clients<'_> {
    async fn play(&mut self) -> Result<(), Error> {
        let pull = self.pull;
        let version = if pull.by_digest {
            &self.root
        } else {
            &pull.tag
        };
        let manifest = self
            .stage
            .registry
            .manifest(version)
            .in_repository(&pull.repository);
        let victim = || self.stage.victim(pull);
        match pull.story {
            Story::Nothing | Story::NoPlatform => self.begin(),
            Story::Throttled(rate) => {
                victim().throttle(Some(rate));
                self.begin();
            }
            Story::LateManifest(ms) => {
                let gate = manifest.silent();
                self.begin();
                gate.await_reached(SOON).await?;
                tokio::time::sleep(Duration::from_millis(ms)).await;
                let _alone = self.stage.alone().await;
                gate.release();
                self.outcomes().await;
                tokio::time::sleep(POLLS).await;
            }
            Story::Held { at, ms } => {
                let gate = victim().hold(at);
                self.begin();
                linger(&gate, ms).await?;
            }
            Story::CutOnce(at) => {
                victim().cut(at, Times::Once);
                self.begin();
            }
            Story::ManifestRefusedOnce(status) => {
                manifest.refuse(Refusal::status(status).times(Times::Once));
                self.begin();
            }
            Story::ManifestRefused(status) => {
                manifest.refuse(Refusal::status(status));
                self.begin();
            }
            Story::CutForGood(at) => {
                let gate = victim().hold(at);
                victim().cut(at, Times::Always);
                self.begin();
                self.seen(&gate).await?;
            }
            Story::Corrupt(at) => {
                let gate = victim().hold(at);
                victim().corrupt(at);
                self.begin();
                self.seen(&gate).await?;
            }
            Story::LayerRefused(status) => {
                let gate = victim().silent();
                self.begin();
                self.seen(&gate).await?;
                victim().refuse(Refusal::status(status));
                gate.release();
            }
            Story::CancelledAt(at) => {
                let gate = victim().hold(at);
                self.begin();
                self.seen(&gate).await?;
                self.cancel(0).await?;
                // Before that no byte comes which could complete it.
                self.await_end().await;
            }
            Story::OneCancelledAt(at) => {
                let gate = victim().hold(at);
                self.begin();
                self.seen(&gate).await?;
                let which = usize::from(at % 2 == 0);
                self.cancel(which).await?;
                self.await_end().await;
            }
            Story::CancelledWhileResolving => {
                let gate = manifest.silent();
                self.begin();
                gate.await_reached(SOON).await?;
                tokio::time::sleep(RESOLVING_WITHIN).await;
                self.was_seen = true;
                let _alone = self.stage.alone().await;
                self.cancel(0).await?;
                tokio::time::sleep(POLLS).await;
            }
        }
        self.outcomes().await;
        manifest.clear();
        if self.stage.plan.images[pull.image].victim.is_some() {
            victim().clear();
        }
        Ok(())
    }

    async fn again(&mut self) -> Result<(), Error> {
        // The kubelet waits ten seconds before it tries again.
        self.await_end().await;
        self.start();
        self.outcomes().await;
        Ok(())
    }

    fn begin(&mut self) {
        self.start();
        if self.pull.twice {
            self.start();
        }
    }

    fn start(&mut self) {
        let from = self.stage.clock.now().node;
        let pull = self.stage.containerd.cri().pull(&self.reference);
        self.running.push((from, pull));
    }

    /// Waits until the pull stands at the gate and was seen, or should have been.
    async fn seen(&mut self, gate: &Gate) -> Result<(), Error> {
        gate.await_reached(SOON).await?;
        let clients = self.running.len();
        let from = self.running[0].0;
        let seen = self.stage.watch.until("it is seen", SEEN_WITHIN, |seen| {
            let rows = seen.of_root(&self.root);
            rows.filter(|row| row.began() >= from && row.pull.outcome().is_none())
                .count()
                >= clients
        });
        // One that is not seen is found by the comparison.
        drop(seen.await);
        self.was_seen = true;
        Ok(())
    }

    /// Waits until the collector knows that a pull of these clients failed, or should.
    async fn await_end(&self) {
        let from = self.told.iter().map(|told| told.from).min();
        let ended = self
            .stage
            .watch
            .until("its end is seen", SEEN_WITHIN, |seen| {
                let ended = |row: &Row| row.pull.outcome().is_some() && Some(row.began()) >= from;
                seen.of_root(&self.root).any(ended)
            });
        drop(ended.await);
    }

    async fn cancel(&mut self, which: usize) -> Result<(), Error> {
        let (from, pull) = self.running.remove(which);
        if !pull.cancel().await {
            return Err(format!("{}: it ended before it was cancelled", self.pull).into());
        }
        self.tell(from, Err("cancelled by its client".to_owned()));
        Ok(())
    }

    async fn outcomes(&mut self) {
        for (from, pull) in std::mem::take(&mut self.running) {
            let outcome = pull.outcome_within(SOON).await;
            self.tell(from, outcome.map_err(|error| error.to_string()));
        }
        // What follows is not held back until it was seen.
        self.was_seen = false;
    }

    fn tell(&mut self, from: NodeTime, outcome: Result<String, String>) {
        let completed = outcome.is_ok();
        self.told.push(Told {
            plan: self.pull.to_string(),
            reference: self.reference.clone(),
            root: self.root.clone(),
            from,
            to: self.stage.clock.now().node,
            completed,
            words: outcome.unwrap_or_else(|words| words),
            must_be_seen: completed || self.was_seen,
            may_lack_root: !completed
                && matches!(
                    self.pull.story,
                    Story::ManifestRefused(_)
                        | Story::NoPlatform
                        | Story::ManifestRefusedOnce(_)
                        | Story::LateManifest(_)
                        | Story::CancelledWhileResolving
                ),
        });
    }
}

async fn linger(gate: &Gate, ms: u64) -> Result<(), Error> {
    gate.await_reached(SOON).await?;
    tokio::time::sleep(Duration::from_millis(ms)).await;
    gate.release();
    Ok(())
}
