//! The lifecycle of a pull, and its state at one moment.

use std::fmt;
use std::ops::{Deref, DerefMut};
use std::sync::Arc;

use crate::eta::Eta;
use crate::failure::{Failure, FailureReason};
use crate::id::{Digest, PullId};
use crate::image::Image;
use crate::layer::Layer;
use crate::observation::EndEvidence;
use crate::reference::{ImageRef, Repository};
use crate::time::NodeTime;
use crate::unit::{Bytes, BytesPerSecond, Percent};
use crate::wait::WaitingOn;

/// The weight of the download in the percentage; the rest is unpacking.
pub const DOWNLOAD_WEIGHT: f64 = 0.8;

/// The phase of a pull, including its outcome. The names are used on the wire and as metric labels.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
#[non_exhaustive]
pub enum Phase {
    /// The kubelet announced the pull, but the runtime has not started it.
    Queued,
    /// The manifest is not known yet, so layers and sizes are unknown.
    Resolving,
    /// The manifest is known and layer bytes are missing. Lower layers may already be unpacking.
    Downloading,
    /// All bytes are present; layers still have to be unpacked.
    Extracting,
    /// The pull ended.
    Ended(Outcome),
}

words! {
    /// The outcome of a pull. The names are used on the wire and as metric labels.
    #[non_exhaustive]
    pub enum Outcome {
        /// The image is present and unpacked, with evidence of both.
        Completed = "completed",
        /// The pull ended without the image.
        Failed = "failed",
        /// The caller or the runtime cancelled the pull.
        Cancelled = "cancelled",
        /// It is unknown how the pull ended, or whether it did.
        Unknown = "unknown",
    }
}

/// The inputs that determine a pull's next phase.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct PhaseInputs {
    /// The manifest is known.
    pub manifest: bool,
    /// Layer bytes are missing.
    pub bytes_to_come: bool,
    /// The reported outcome, if any.
    pub ended: Option<Outcome>,
    /// The pull was just observed running.
    pub alive: bool,
}

impl Phase {
    /// Returns the next phase. This is the only transition.
    ///
    /// An outcome is final, except `Unknown`, which is replaced by evidence or when the pull is
    /// observed running.
    #[must_use]
    pub const fn next(self, inputs: PhaseInputs) -> Self {
        match (self, inputs.ended) {
            (Self::Ended(Outcome::Unknown), None) if !inputs.alive => self,
            (Self::Ended(Outcome::Completed | Outcome::Failed | Outcome::Cancelled), _) => self,
            (_, Some(outcome)) => Self::Ended(outcome),
            (_, None) if !inputs.manifest => Self::Resolving,
            (_, None) if inputs.bytes_to_come => Self::Downloading,
            (_, None) => Self::Extracting,
        }
    }

    /// Returns the outcome; `None` for a live pull.
    #[must_use]
    pub const fn outcome(self) -> Option<Outcome> {
        match self {
            Self::Ended(outcome) => Some(outcome),
            Self::Queued | Self::Resolving | Self::Downloading | Self::Extracting => None,
        }
    }

    /// Returns the wire name: `downloading`, or the name of the outcome.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Queued => "queued",
            Self::Resolving => "resolving",
            Self::Downloading => "downloading",
            Self::Extracting => "extracting",
            Self::Ended(outcome) => outcome.as_str(),
        }
    }
}

impl fmt::Display for Phase {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.as_str())
    }
}

impl Outcome {
    /// Returns the outcome that the evidence proves, and the failure if it failed.
    #[must_use]
    pub fn from_evidence(evidence: &EndEvidence) -> (Self, Option<Failure>) {
        let failed = |reason| (Self::Failed, Some(Failure { reason, message: None }));
        match evidence {
            EndEvidence::ImagePresent => (Self::Completed, None),
            EndEvidence::ImageAbsent => failed(FailureReason::Unexplained),
            EndEvidence::RuntimeRestarted => failed(FailureReason::RuntimeRestarted),
            EndEvidence::Inactive | EndEvidence::Unobserved => (Self::Unknown, None),
        }
    }
}

/// One attempt to pull one image onto one node, at one moment.
///
/// An unknown value is `None`, never 0. Facts read like fields of the pull: `pull.phase`.
#[derive(Clone, Debug, PartialEq)]
#[non_exhaustive]
pub struct Pull {
    /// All but its layers and its progress.
    pub facts: PullFacts,
    /// Its progress.
    pub motion: Motion,
    /// The layers, lowest first; empty until the manifest is known.
    pub layers: Vec<Layer>,
}

/// The facts of a pull: all but its layers and its progress.
#[derive(Clone, Debug, PartialEq)]
#[non_exhaustive]
pub struct PullFacts {
    /// The id, which never changes.
    pub id: PullId,
    /// The phase, or the outcome.
    pub phase: Phase,
    /// Why it failed, if it did.
    pub failure: Option<Failure>,
    /// The digest that the image name points to.
    pub root: Option<Digest>,
    /// The repository of the image.
    pub repository: Option<Repository>,
    /// The full names of the image: known when the pull has ended, or from another source.
    pub names: Vec<ImageRef>,
    /// The image's manifests and layers, once its manifest is known.
    pub image: Option<Arc<Image>>,
    /// Start time, or the earliest known time of the pull if the start was not observed.
    pub started_at: NodeTime,
    /// When the manifest was first observed.
    pub resolved_at: Option<NodeTime>,
    /// When all bytes were first observed.
    pub downloaded_at: Option<NodeTime>,
    /// When it ended.
    pub ended_at: Option<NodeTime>,
    /// The exact compressed size of the image. `None` until the manifest is known.
    pub total: Option<Bytes>,
    /// Bytes of `total` that were on the node before, or are served remotely.
    pub cached: Bytes,
    /// Bytes to download, by this pull or another one: `total` minus `cached`.
    pub to_download: Option<Bytes>,
    /// Compressed bytes to unpack.
    pub to_extract: Option<Bytes>,
    /// Downloaded bytes that had to be fetched again.
    pub wasted: Bytes,
    /// The current wait, if no part of the pull makes progress.
    pub waiting_on: Option<WaitingOn>,
    /// The time of the last progress, if the pull is stalled.
    pub stalled_since: Option<NodeTime>,
    /// Since when the pull has been far slower than usual for its registry on this node.
    pub slow_since: Option<NodeTime>,
    /// Since when the source has been unable to observe the pull.
    pub stale_since: Option<NodeTime>,
}

/// The progress of a pull, which changes while the facts stay the same.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
#[non_exhaustive]
pub struct Motion {
    /// The progress, which never decreases and is 100 only for a completed pull. `None` until the
    /// manifest is known.
    pub percent: Option<Percent>,
    /// Bytes of `to_download` that are present.
    pub downloaded: Bytes,
    /// Bytes of `to_extract` that are unpacked.
    pub extracted: Bytes,
    /// The download rate; `None` if it is unknown, or no bytes are missing.
    pub rate: Option<BytesPerSecond>,
    /// The estimated remaining time; `None` if it is unknown.
    pub eta: Option<Eta>,
}

impl Deref for Pull {
    type Target = PullFacts;

    fn deref(&self) -> &PullFacts {
        &self.facts
    }
}

impl DerefMut for Pull {
    fn deref_mut(&mut self) -> &mut PullFacts {
        &mut self.facts
    }
}

impl Pull {
    /// Creates a pull with an id, phase and start; everything else is unknown.
    #[must_use]
    pub fn new(id: PullId, phase: Phase, started_at: NodeTime) -> Self {
        let facts = PullFacts {
            id,
            phase,
            failure: None,
            root: None,
            repository: None,
            names: Vec::new(),
            image: None,
            started_at,
            resolved_at: None,
            downloaded_at: None,
            ended_at: None,
            total: None,
            cached: Bytes::ZERO,
            to_download: None,
            to_extract: None,
            wasted: Bytes::ZERO,
            waiting_on: None,
            stalled_since: None,
            slow_since: None,
            stale_since: None,
        };
        Self { facts, motion: Motion::default(), layers: Vec::new() }
    }

    /// Returns the outcome; `None` for a live pull.
    #[must_use]
    pub const fn outcome(&self) -> Option<Outcome> {
        self.facts.phase.outcome()
    }

    /// Compares two pulls except for their layers and progress. The basis of the remaining time is
    /// compared.
    #[must_use]
    pub fn eq_ignoring_progress(&self, other: &Self) -> bool {
        let basis = |pull: &Self| pull.motion.eta.map(|eta| eta.basis);
        self.facts == other.facts && basis(self) == basis(other)
    }

    /// Returns the best known name: a full name, the repository, or the root digest.
    #[must_use]
    pub fn display_name(&self) -> Option<String> {
        let tagged = |name: &&ImageRef| {
            matches!(name.tag_or_digest(), crate::reference::TagOrDigest::Tag(_))
        };
        self.names
            .iter()
            .find(tagged)
            .or(self.names.first())
            .map(ToString::to_string)
            .or_else(|| self.repository.as_ref().map(ToString::to_string))
            .or_else(|| self.root.as_ref().map(ToString::to_string))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const PHASES: [Phase; 8] = [
        Phase::Queued,
        Phase::Resolving,
        Phase::Downloading,
        Phase::Extracting,
        Phase::Ended(Outcome::Completed),
        Phase::Ended(Outcome::Failed),
        Phase::Ended(Outcome::Cancelled),
        Phase::Ended(Outcome::Unknown),
    ];

    fn all_inputs() -> impl Iterator<Item = PhaseInputs> {
        let ends = [
            None,
            Some(Outcome::Completed),
            Some(Outcome::Failed),
            Some(Outcome::Cancelled),
            Some(Outcome::Unknown),
        ];
        ends.into_iter().flat_map(|ended| {
            (0..8_u32).map(move |bits| PhaseInputs {
                manifest: bits & 1 != 0,
                bytes_to_come: bits & 2 != 0,
                alive: bits & 4 != 0,
                ended,
            })
        })
    }

    #[test]
    fn live_phase_ends_only_with_outcome() {
        for phase in PHASES.into_iter().filter(|phase| phase.outcome().is_none()) {
            for inputs in all_inputs() {
                assert_eq!(phase.next(inputs).outcome(), inputs.ended);
            }
        }
    }

    #[test]
    fn known_outcome_is_final() {
        for outcome in [Outcome::Completed, Outcome::Failed, Outcome::Cancelled] {
            for inputs in all_inputs() {
                assert_eq!(Phase::Ended(outcome).next(inputs), Phase::Ended(outcome));
            }
        }
    }

    #[test]
    fn unknown_outcome_yields_to_evidence_or_activity() {
        let unknown = Phase::Ended(Outcome::Unknown);
        let inputs = PhaseInputs { manifest: true, bytes_to_come: true, ended: None, alive: false };
        assert_eq!(unknown.next(inputs), unknown);
        assert_eq!(unknown.next(PhaseInputs { alive: true, ..inputs }), Phase::Downloading);
        let ended = Some(Outcome::Completed);
        assert_eq!(unknown.next(PhaseInputs { ended, ..inputs }), Phase::Ended(Outcome::Completed));
    }

    #[test]
    fn completion_requires_image_present() {
        for evidence in [
            EndEvidence::ImageAbsent,
            EndEvidence::RuntimeRestarted,
            EndEvidence::Inactive,
            EndEvidence::Unobserved,
        ] {
            assert_ne!(Outcome::from_evidence(&evidence).0, Outcome::Completed);
        }
    }
}
