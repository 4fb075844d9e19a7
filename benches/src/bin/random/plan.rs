//! The pulls and their faults: a pure function of the seed.
//!
//! Avoids cases in which containerd's own data is ambiguous:
//!
//! - A pull that starts and fails between two polls leaves no trace, so a fault strikes only once
//!   the pull could be observed (or the pull may be missing).
//! - Of two concurrent pulls of one image, a failed one can only be distinguished from a successful
//!   one while the image is not present yet.
//! - A pull that ends before its manifest was observed can only be identified if no other pull ends
//!   between the same two polls.

use std::fmt;

use crate::rng::Rng;

/// The plan for one seed.
pub(crate) struct Plan {
    pub(crate) seed: u64,
    pub(crate) images: Vec<ImagePlan>,
    pub(crate) waves: Vec<Wave>,
}

/// Concurrent pulls. All of them end before the next wave starts.
pub(crate) struct Wave {
    pub(crate) concurrency: usize,
    pub(crate) pulls: Vec<PullPlan>,
    /// Images to remove after the wave.
    pub(crate) removed_images: Vec<usize>,
}

#[derive(Clone, Debug)]
pub(crate) struct ImagePlan {
    pub(crate) layers: Vec<LayerPlan>,
    /// The layer that faults strike; it belongs to no other image.
    pub(crate) fault_layer: Option<usize>,
    pub(crate) shape: Shape,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Shape {
    Manifest,
    /// An index with another platform and an attestation.
    Index,
    /// An index without this machine's platform.
    Foreign,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum LayerPlan {
    /// The number is the seed of the content.
    Random {
        number: u64,
        size: u64,
    },
    Empty,
}

/// A reference and the faults while one or two clients pull it.
#[derive(Clone, Debug)]
pub(crate) struct PullPlan {
    pub(crate) repository: String,
    pub(crate) tag: String,
    pub(crate) image: usize,
    pub(crate) scenario: Scenario,
    /// Pull by the root's digest instead of the tag.
    pub(crate) by_digest: bool,
    /// Two clients pull concurrently.
    pub(crate) two_clients: bool,
    /// Pull again after the failure, without faults.
    pub(crate) retry: bool,
}

/// The fault during a pull. Byte offsets are within the fault layer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Scenario {
    Nothing,
    /// Limits the fault layer to this many bytes per second.
    Throttled(u64),
    /// Delays the manifest by this many milliseconds.
    LateManifest(u64),
    /// Holds the fault layer for this many milliseconds.
    Held {
        at: u64,
        ms: u64,
    },
    CutOnce(u64),
    ManifestRefusedOnce(u16),
    /// From here on the pull fails, after it was observed.
    CutForGood(u64),
    Corrupt(u64),
    LayerRefused(u16),
    CancelledAt(u64),
    CancelledWhileResolving,
    /// One of two clients cancels, the other continues.
    OneCancelledAt(u64),
    /// Fails at once, so the collector may miss it.
    ManifestRefused(u16),
    NoPlatform,
}

impl Scenario {
    /// Reports whether the pull may be observed, yet end before its manifest is.
    pub(crate) const fn may_end_before_manifest(self) -> bool {
        matches!(
            self,
            Self::LateManifest(_) | Self::CancelledWhileResolving | Self::ManifestRefused(_)
        )
    }

    pub(crate) const fn fails(self) -> bool {
        matches!(
            self,
            Self::CutForGood(_)
                | Self::Corrupt(_)
                | Self::LayerRefused(_)
                | Self::CancelledAt(_)
                | Self::CancelledWhileResolving
                | Self::OneCancelledAt(_)
                | Self::ManifestRefused(_)
                | Self::NoPlatform
        )
    }
}

impl PullPlan {
    /// A name such as `team/app:1`, without the tag if it is pulled by digest.
    pub(crate) fn name(&self) -> String {
        if self.by_digest {
            self.repository.clone()
        } else {
            format!("{}:{}", self.repository, self.tag)
        }
    }

    /// The number of outcomes that clients receive.
    pub(crate) fn outcomes(&self) -> usize {
        1 + usize::from(self.two_clients) + usize::from(self.retry)
    }
}

impl fmt::Display for PullPlan {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} of image {}: {:?}", self.name(), self.image, self.scenario)?;
        if self.by_digest {
            f.write_str(", by digest")?;
        }
        if self.two_clients {
            f.write_str(", by two clients")?;
        }
        if self.retry {
            f.write_str(", then retried")?;
        }
        Ok(())
    }
}

/// Generates a plan with `pulls` outcomes, or up to two more.
pub(crate) fn generate(seed: u64, pulls: usize) -> Plan {
    let mut generator = PlanGenerator {
        rng: Rng::new(seed),
        images: Vec::new(),
        pulled: Vec::new(),
        next_number: 0,
        repositories: 0,
    };
    let mut waves = Vec::new();
    let mut left = pulls;
    while left > 0 {
        let wave = generator.wave(left);
        left = left.saturating_sub(wave.pulls.iter().map(PullPlan::outcomes).sum());
        waves.push(wave);
    }
    Plan { seed, images: generator.images, waves }
}

struct PlanGenerator {
    rng: Rng,
    images: Vec<ImagePlan>,
    /// References that were pulled successfully in an earlier wave.
    pulled: Vec<(String, String, usize)>,
    /// Counter for unique tags and layers.
    next_number: u64,
    repositories: usize,
}

impl PlanGenerator {
    fn wave(&mut self, left: usize) -> Wave {
        let concurrency = self.rng.index(12) + 1;
        let mut wanted = (concurrency * 6).min(left);
        let mut pulls: Vec<PullPlan> = Vec::new();
        while wanted > 0 {
            let pull = self.pull(&pulls);
            wanted = wanted.saturating_sub(pull.outcomes());
            pulls.push(pull);
        }
        let completes = |pull: &&PullPlan| {
            !pull.scenario.fails()
                || pull.retry
                || matches!(pull.scenario, Scenario::OneCancelledAt(_))
        };
        for pull in pulls.iter().filter(completes) {
            self.pulled.push((pull.repository.clone(), pull.tag.clone(), pull.image));
        }
        let mut removed_images = Vec::new();
        if self.rng.chance(50) {
            let (_, _, image) = self.pulled[self.rng.index(self.pulled.len())];
            removed_images.push(image);
        }
        Wave { concurrency, pulls, removed_images }
    }

    fn pull(&mut self, wave: &[PullPlan]) -> PullPlan {
        let known = !self.pulled.is_empty() && self.rng.chance(25);
        let (repository, tag, image) = if known {
            let (repository, tag, image) = self.pulled[self.rng.index(self.pulled.len())].clone();
            let taken = wave.iter().any(|pull| pull.repository == repository && pull.tag == tag);
            match self.rng.between(0, 2) {
                0 if !taken => (repository, tag, image),
                1 => (repository, self.new_tag(), image),
                _ => (self.new_repository(), self.new_tag(), image),
            }
        } else {
            let image = self.image();
            (self.new_repository(), self.new_tag(), image)
        };
        let scenario = if known { self.scenario_for_known() } else { self.scenario_for_new(image) };
        // If the image may be present already, the failure of one of two pulls leaves no trace.
        let two_clients = match scenario {
            Scenario::OneCancelledAt(_) => true,
            Scenario::Nothing | Scenario::LayerRefused(_) | Scenario::Held { .. } => {
                self.rng.chance(10)
            }
            _ => false,
        };
        let may_repeat = scenario.fails()
            && !two_clients
            && !known
            && !matches!(scenario, Scenario::NoPlatform | Scenario::OneCancelledAt(_));
        let is_new = !self
            .pulled
            .iter()
            .map(|(there, ..)| there)
            .chain(wave.iter().map(|pull| &pull.repository))
            .any(|there| *there == repository);
        PullPlan {
            repository,
            tag,
            image,
            scenario,
            // A fault on a digest affects all tags of its repository as well.
            by_digest: is_new && self.rng.chance(15),
            two_clients,
            retry: may_repeat && self.rng.chance(40),
        }
    }

    fn new_tag(&mut self) -> String {
        self.next_number += 1;
        format!("v{}", self.next_number)
    }

    fn new_repository(&mut self) -> String {
        self.repositories += 1;
        format!("random/app-{}", self.repositories)
    }

    fn image(&mut self) -> usize {
        let mut layers = Vec::new();
        if !self.images.is_empty() && self.rng.chance(45) {
            // The lower layers of another image, to share blobs and snapshots.
            let base = self.rng.index(self.images.len());
            let base = self.images[base].clone();
            let count = self.rng.index(base.layers.len()) + 1;
            let shared = base.layers.iter().take(count).enumerate();
            layers.extend(
                shared.filter(|(i, _)| Some(*i) != base.fault_layer).map(|(_, layer)| *layer),
            );
            layers.truncate(7);
        }
        let only_the_config_is_new = !layers.is_empty() && self.rng.chance(10);
        let mut fault_layer = None;
        if !only_the_config_is_new {
            let room = 7 - layers.len() as u64;
            for _ in 0..self.rng.between(0, room) {
                let layer = self.layer(&layers);
                layers.push(layer);
            }
            let at = self.rng.index(layers.len() + 1);
            let size = self.rng.size().max(8_000);
            layers.insert(at, self.new_layer(size));
            fault_layer = Some(at);
        }
        let shape = match self.rng.between(1, 100) {
            1..=4 => Shape::Foreign,
            5..=30 => Shape::Index,
            _ => Shape::Manifest,
        };
        self.images.push(ImagePlan { layers, fault_layer, shape });
        self.images.len() - 1
    }

    fn layer(&mut self, below: &[LayerPlan]) -> LayerPlan {
        match self.rng.between(1, 100) {
            1..=8 => LayerPlan::Empty,
            9..=16 if !below.is_empty() => self.rng.one_of(below),
            17..=26 if !self.images.is_empty() => {
                // A blob of another image, at a different position.
                let other = self.rng.index(self.images.len());
                let other = self.images[other].clone();
                let at = self.rng.index(other.layers.len());
                if other.fault_layer == Some(at) { LayerPlan::Empty } else { other.layers[at] }
            }
            _ => {
                let size = self.rng.size();
                self.new_layer(size)
            }
        }
    }

    fn new_layer(&mut self, size: u64) -> LayerPlan {
        self.next_number += 1;
        LayerPlan::Random { number: self.next_number, size }
    }

    fn scenario_for_known(&mut self) -> Scenario {
        match self.rng.between(1, 100) {
            1..=10 => Scenario::LateManifest(self.rng.between(100, 2_000)),
            11..=16 => Scenario::ManifestRefusedOnce(self.rng.one_of(&[429, 503])),
            17..=22 => Scenario::ManifestRefused(self.rng.one_of(&[404, 401, 403, 500])),
            23..=26 => Scenario::CancelledWhileResolving,
            _ => Scenario::Nothing,
        }
    }

    fn scenario_for_new(&mut self, image: usize) -> Scenario {
        let image = &self.images[image];
        if image.shape == Shape::Foreign {
            return Scenario::NoPlatform;
        }
        let Some(LayerPlan::Random { size, .. }) = image.fault_layer.map(|at| image.layers[at])
        else {
            return self.scenario_for_known();
        };
        let at = self.rng.between(1, size - 1);
        match self.rng.between(1, 100) {
            1..=8 => Scenario::Throttled((size / self.rng.between(1, 3)).max(1_000)),
            9..=13 => Scenario::LateManifest(self.rng.between(100, 2_000)),
            14..=19 => Scenario::Held { at, ms: self.rng.between(100, 2_500) },
            20..=25 => Scenario::CutOnce(at),
            26..=29 => Scenario::ManifestRefusedOnce(self.rng.one_of(&[429, 503, 500])),
            30..=36 => Scenario::CutForGood(at),
            37..=43 => Scenario::Corrupt(at),
            44..=50 => Scenario::LayerRefused(self.rng.one_of(&[500, 404, 403, 503])),
            51..=56 => Scenario::CancelledAt(at),
            57..=58 => Scenario::CancelledWhileResolving,
            59..=62 => Scenario::OneCancelledAt(at),
            63..=67 => Scenario::ManifestRefused(self.rng.one_of(&[404, 401, 403, 500])),
            _ => Scenario::Nothing,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn descriptions(plan: &Plan) -> Vec<String> {
        let pulls = plan.waves.iter().flat_map(|wave| &wave.pulls);
        pulls.map(ToString::to_string).collect()
    }

    #[test]
    fn same_seed_generates_same_plan() {
        assert_eq!(descriptions(&generate(5, 300)), descriptions(&generate(5, 300)));
        assert_ne!(descriptions(&generate(5, 300)), descriptions(&generate(6, 300)));
    }

    #[test]
    fn plan_has_requested_number_of_outcomes() {
        for seed in 0..50 {
            let plan = generate(seed, 200);
            let pulls = plan.waves.iter().flat_map(|wave| &wave.pulls);
            let outcomes: usize = pulls.map(PullPlan::outcomes).sum();
            assert!((200..=202).contains(&outcomes), "{outcomes}");
        }
    }

    #[test]
    fn images_have_bounded_layers_and_unique_fault_layer() {
        for seed in 0..50 {
            let plan = generate(seed, 300);
            for (i, image) in plan.images.iter().enumerate() {
                assert!((1..=8).contains(&image.layers.len()), "{image:?}");
                let Some(victim) = image.fault_layer.map(|at| image.layers[at]) else {
                    continue;
                };
                let uses = plan.images.iter().enumerate().flat_map(|(j, other)| {
                    let layers = other.layers.iter().enumerate();
                    layers.map(move |(at, layer)| (j, at, *layer))
                });
                let elsewhere = uses.filter(|(j, _, layer)| *j != i && *layer == victim);
                assert_eq!(elsewhere.count(), 0, "{image:?}");
            }
        }
    }

    #[test]
    fn plan_contains_every_scenario() {
        let plan = generate(1, 1_000);
        let all: Vec<String> = descriptions(&plan);
        for word in [
            "Nothing",
            "Throttled",
            "LateManifest",
            "Held",
            "CutOnce",
            "ManifestRefusedOnce",
            "CutForGood",
            "Corrupt",
            "LayerRefused",
            "CancelledAt",
            "CancelledWhileResolving",
            "OneCancelledAt",
            "ManifestRefused(",
            "NoPlatform",
            "two clients",
            "then retried",
        ] {
            assert!(all.iter().any(|line| line.contains(word)), "missing {word}");
        }
    }
}
