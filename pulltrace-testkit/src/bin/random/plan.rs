//! What is pulled, and what happens to it: a pure function of the seed.
//!
//! Nothing is drawn that containerd itself does not show. A pull that is born
//! and fails between two polls leaves no trace, so what makes a pull fail
//! strikes only when the pull could be seen (or the pull may have no row). Of
//! two pulls of one image at the same time, one that fails is told from one
//! that succeeds only while the image is not there yet. And of a pull that ends
//! before its manifest was seen, nothing says which it was but that no other
//! ended between the same two polls: so none does.

use std::fmt;

use crate::rng::Rng;

/// Everything that one seed means.
pub(crate) struct Plan {
    pub(crate) seed: u64,
    pub(crate) images: Vec<ImagePlan>,
    pub(crate) waves: Vec<Wave>,
}

/// Pulls that go on side by side. Before the next wave all is still.
pub(crate) struct Wave {
    pub(crate) at_once: usize,
    pub(crate) pulls: Vec<PullPlan>,
    /// Images that are removed when the wave is over.
    pub(crate) removed: Vec<usize>,
}

#[derive(Clone, Debug)]
pub(crate) struct ImagePlan {
    pub(crate) layers: Vec<LayerPlan>,
    /// The layer that faults strike: no other image has it.
    pub(crate) victim: Option<usize>,
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
    /// The number chooses the content.
    Random {
        number: u64,
        size: u64,
    },
    Empty,
}

/// One reference and what happens while it is pulled, by one client or two.
#[derive(Clone, Debug)]
pub(crate) struct PullPlan {
    pub(crate) repository: String,
    pub(crate) tag: String,
    pub(crate) image: usize,
    pub(crate) story: Story,
    /// The reference names the root's digest instead of the tag.
    pub(crate) by_digest: bool,
    /// Two clients pull at once.
    pub(crate) twice: bool,
    /// After the failure it is pulled once more, and nothing happens.
    pub(crate) again: bool,
}

/// What happens during a pull. Bytes count from the start of the victim.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Story {
    Nothing,
    /// The victim comes at this many bytes per second.
    Throttled(u64),
    /// The manifest is answered so many milliseconds late.
    LateManifest(u64),
    /// The victim stands still for so many milliseconds.
    Held {
        at: u64,
        ms: u64,
    },
    CutOnce(u64),
    ManifestRefusedOnce(u16),
    /// From here on a pull fails, once it was seen.
    CutForGood(u64),
    Corrupt(u64),
    LayerRefused(u16),
    CancelledAt(u64),
    CancelledWhileResolving,
    /// Of two clients one is cancelled, the other goes on.
    OneCancelledAt(u64),
    /// It fails at once: it may have no row.
    ManifestRefused(u16),
    NoPlatform,
}

impl Story {
    /// Whether it may be seen, and end before its manifest was.
    pub(crate) const fn is_hidden(self) -> bool {
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
    /// As in `team/app:1`; without a tag where it is pulled by digest.
    pub(crate) fn name(&self) -> String {
        if self.by_digest {
            self.repository.clone()
        } else {
            format!("{}:{}", self.repository, self.tag)
        }
    }

    /// How many outcomes clients are told.
    pub(crate) fn outcomes(&self) -> usize {
        1 + usize::from(self.twice) + usize::from(self.again)
    }
}

impl fmt::Display for PullPlan {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(
            f,
            "{} of image {}: {:?}",
            self.name(),
            self.image,
            self.story
        )?;
        if self.by_digest {
            f.write_str(", by digest")?;
        }
        if self.twice {
            f.write_str(", by two clients")?;
        }
        if self.again {
            f.write_str(", then again")?;
        }
        Ok(())
    }
}

/// Draws a plan of `pulls` outcomes, or one or two more.
pub(crate) fn draw(seed: u64, pulls: usize) -> Plan {
    let mut drawing = Drawing {
        rng: Rng::new(seed),
        images: Vec::new(),
        there: Vec::new(),
        numbers: 0,
        repositories: 0,
    };
    let mut waves = Vec::new();
    let mut left = pulls;
    while left > 0 {
        let wave = drawing.wave(left);
        left = left.saturating_sub(wave.pulls.iter().map(PullPlan::outcomes).sum());
        waves.push(wave);
    }
    Plan {
        seed,
        images: drawing.images,
        waves,
    }
}

struct Drawing {
    rng: Rng,
    images: Vec<ImagePlan>,
    /// References that were pulled with success in an earlier wave.
    there: Vec<(String, String, usize)>,
    /// What needs a number of its own has got so many.
    numbers: u64,
    repositories: usize,
}

impl Drawing {
    fn wave(&mut self, left: usize) -> Wave {
        let at_once = self.rng.index(12) + 1;
        let mut wanted = (at_once * 6).min(left);
        let mut pulls: Vec<PullPlan> = Vec::new();
        while wanted > 0 {
            let pull = self.pull(&pulls);
            wanted = wanted.saturating_sub(pull.outcomes());
            pulls.push(pull);
        }
        let completes = |pull: &&PullPlan| {
            !pull.story.fails() || pull.again || matches!(pull.story, Story::OneCancelledAt(_))
        };
        for pull in pulls.iter().filter(completes) {
            self.there
                .push((pull.repository.clone(), pull.tag.clone(), pull.image));
        }
        let mut removed = Vec::new();
        if self.rng.chance(50) {
            let (_, _, image) = self.there[self.rng.index(self.there.len())];
            removed.push(image);
        }
        Wave {
            at_once,
            pulls,
            removed,
        }
    }

    fn pull(&mut self, wave: &[PullPlan]) -> PullPlan {
        let known = !self.there.is_empty() && self.rng.chance(25);
        let (repository, tag, image) = if known {
            let (repository, tag, image) = self.there[self.rng.index(self.there.len())].clone();
            let taken = wave
                .iter()
                .any(|pull| pull.repository == repository && pull.tag == tag);
            match self.rng.between(0, 2) {
                0 if !taken => (repository, tag, image),
                1 => (repository, self.new_tag(), image),
                _ => (self.new_repository(), self.new_tag(), image),
            }
        } else {
            let image = self.image();
            (self.new_repository(), self.new_tag(), image)
        };
        let story = if known {
            self.story_of_known()
        } else {
            self.story_of_new(image)
        };
        // Of an image that may be there already, a failure of one of two is
        // told by nobody.
        let twice = match story {
            Story::OneCancelledAt(_) => true,
            Story::Nothing | Story::LayerRefused(_) | Story::Held { .. } => self.rng.chance(10),
            _ => false,
        };
        let may_repeat = story.fails()
            && !twice
            && !known
            && !matches!(story, Story::NoPlatform | Story::OneCancelledAt(_));
        let is_new = !self
            .there
            .iter()
            .map(|(there, ..)| there)
            .chain(wave.iter().map(|pull| &pull.repository))
            .any(|there| *there == repository);
        PullPlan {
            repository,
            tag,
            image,
            story,
            // A fault on a digest strikes each tag of its repository as well.
            by_digest: is_new && self.rng.chance(15),
            twice,
            again: may_repeat && self.rng.chance(40),
        }
    }

    fn new_tag(&mut self) -> String {
        self.numbers += 1;
        format!("v{}", self.numbers)
    }

    fn new_repository(&mut self) -> String {
        self.repositories += 1;
        format!("random/app-{}", self.repositories)
    }

    fn image(&mut self) -> usize {
        let mut layers = Vec::new();
        if !self.images.is_empty() && self.rng.chance(45) {
            // Another image's lower layers: shared blobs and snapshots.
            let base = self.rng.index(self.images.len());
            let base = self.images[base].clone();
            let count = self.rng.index(base.layers.len()) + 1;
            let shared = base.layers.iter().take(count).enumerate();
            layers.extend(
                shared
                    .filter(|(i, _)| Some(*i) != base.victim)
                    .map(|(_, layer)| *layer),
            );
            layers.truncate(7);
        }
        let only_the_config_is_new = !layers.is_empty() && self.rng.chance(10);
        let mut victim = None;
        if !only_the_config_is_new {
            let room = 7 - layers.len() as u64;
            for _ in 0..self.rng.between(0, room) {
                let layer = self.layer(&layers);
                layers.push(layer);
            }
            let at = self.rng.index(layers.len() + 1);
            let size = self.rng.size().max(8_000);
            layers.insert(at, self.new_layer(size));
            victim = Some(at);
        }
        let shape = match self.rng.between(1, 100) {
            1..=4 => Shape::Foreign,
            5..=30 => Shape::Index,
            _ => Shape::Manifest,
        };
        self.images.push(ImagePlan {
            layers,
            victim,
            shape,
        });
        self.images.len() - 1
    }

    fn layer(&mut self, below: &[LayerPlan]) -> LayerPlan {
        match self.rng.between(1, 100) {
            1..=8 => LayerPlan::Empty,
            9..=16 if !below.is_empty() => self.rng.one_of(below),
            17..=26 if !self.images.is_empty() => {
                // A blob that another image has, at another place.
                let other = self.rng.index(self.images.len());
                let other = self.images[other].clone();
                let at = self.rng.index(other.layers.len());
                if other.victim == Some(at) {
                    LayerPlan::Empty
                } else {
                    other.layers[at]
                }
            }
            _ => {
                let size = self.rng.size();
                self.new_layer(size)
            }
        }
    }

    fn new_layer(&mut self, size: u64) -> LayerPlan {
        self.numbers += 1;
        LayerPlan::Random {
            number: self.numbers,
            size,
        }
    }

    fn story_of_known(&mut self) -> Story {
        match self.rng.between(1, 100) {
            1..=10 => Story::LateManifest(self.rng.between(100, 2_000)),
            11..=16 => Story::ManifestRefusedOnce(self.rng.one_of(&[429, 503])),
            17..=22 => Story::ManifestRefused(self.rng.one_of(&[404, 401, 403, 500])),
            23..=26 => Story::CancelledWhileResolving,
            _ => Story::Nothing,
        }
    }

    fn story_of_new(&mut self, image: usize) -> Story {
        let image = &self.images[image];
        if image.shape == Shape::Foreign {
            return Story::NoPlatform;
        }
        let Some(LayerPlan::Random { size, .. }) = image.victim.map(|at| image.layers[at]) else {
            return self.story_of_known();
        };
        let at = self.rng.between(1, size - 1);
        match self.rng.between(1, 100) {
            1..=8 => Story::Throttled((size / self.rng.between(1, 3)).max(1_000)),
            9..=13 => Story::LateManifest(self.rng.between(100, 2_000)),
            14..=19 => Story::Held {
                at,
                ms: self.rng.between(100, 2_500),
            },
            20..=25 => Story::CutOnce(at),
            26..=29 => Story::ManifestRefusedOnce(self.rng.one_of(&[429, 503, 500])),
            30..=36 => Story::CutForGood(at),
            37..=43 => Story::Corrupt(at),
            44..=50 => Story::LayerRefused(self.rng.one_of(&[500, 404, 403, 503])),
            51..=56 => Story::CancelledAt(at),
            57..=58 => Story::CancelledWhileResolving,
            59..=62 => Story::OneCancelledAt(at),
            63..=67 => Story::ManifestRefused(self.rng.one_of(&[404, 401, 403, 500])),
            _ => Story::Nothing,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn words(plan: &Plan) -> Vec<String> {
        let pulls = plan.waves.iter().flat_map(|wave| &wave.pulls);
        pulls.map(ToString::to_string).collect()
    }

    #[test]
    fn a_plan_is_a_function_of_its_seed() {
        assert_eq!(words(&draw(5, 300)), words(&draw(5, 300)));
        assert_ne!(words(&draw(5, 300)), words(&draw(6, 300)));
    }

    #[test]
    fn a_plan_has_as_many_outcomes_as_asked_for() {
        for seed in 0..50 {
            let plan = draw(seed, 200);
            let pulls = plan.waves.iter().flat_map(|wave| &wave.pulls);
            let outcomes: usize = pulls.map(PullPlan::outcomes).sum();
            assert!((200..=202).contains(&outcomes), "{outcomes}");
        }
    }

    #[test]
    fn images_have_one_to_eight_layers_and_a_victim_of_their_own() {
        for seed in 0..50 {
            let plan = draw(seed, 300);
            for (i, image) in plan.images.iter().enumerate() {
                assert!((1..=8).contains(&image.layers.len()), "{image:?}");
                let Some(victim) = image.victim.map(|at| image.layers[at]) else {
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
    fn every_story_is_told() {
        let plan = draw(1, 1_000);
        let all: Vec<String> = words(&plan);
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
            "then again",
        ] {
            assert!(all.iter().any(|line| line.contains(word)), "no {word}");
        }
    }
}
