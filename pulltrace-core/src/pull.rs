//! The life of one pull, and what there is to say of it at one moment.

use std::fmt;
use std::sync::Arc;

use crate::eta::Eta;
use crate::failure::{Failure, FailureReason};
use crate::id::{Digest, PullId};
use crate::image::Image;
use crate::layer::Layer;
use crate::observation::Evidence;
use crate::reference::{ImageRef, Repository};
use crate::time::NodeTime;
use crate::unit::{Bytes, BytesPerSecond, Percent};
use crate::wait::WaitingOn;

/// How much of the percentage the download is worth; unpacking is the rest.
pub const DOWNLOAD_SHARE: f64 = 0.8;

/// What a pull is doing, or how it ended. The words are the wire's and the metrics' labels.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
#[non_exhaustive]
pub enum Phase {
    /// The kubelet announced it, and the runtime has not begun.
    Queued,
    /// The manifest is not here yet: what is to come, and how much, is unknown.
    Resolving,
    /// The manifest is here, and bytes of layers are still to come, even while lower layers unpack.
    Downloading,
    /// All bytes are here; layers are still to be unpacked.
    Extracting,
    /// It is over.
    Ended(Outcome),
}

/// How a pull ended. The words are the wire's and the metrics' labels.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Outcome {
    /// The image is there, unpacked: there is evidence of both.
    Completed,
    /// It is over, and the image is not there.
    Failed,
    /// Somebody called it off.
    Cancelled,
    /// There is no evidence of how it ended, or whether it did.
    Unknown,
}

/// Everything that decides a pull's next phase.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct PullFacts {
    /// The manifest is here.
    pub manifest: bool,
    /// Bytes of layers are still to come.
    pub bytes_to_come: bool,
    /// How it ended, where that was just shown.
    pub ended: Option<Outcome>,
    /// It was just seen alive.
    pub alive: bool,
}

impl Phase {
    /// The one transition: from any phase, with any facts.
    ///
    /// An end stands; only one for which there was no evidence gives way, to evidence or to life.
    #[must_use]
    pub const fn next(self, facts: PullFacts) -> Self {
        match (self, facts.ended) {
            (Self::Ended(Outcome::Unknown), None) if !facts.alive => self,
            (Self::Ended(Outcome::Completed | Outcome::Failed | Outcome::Cancelled), _) => self,
            (_, Some(outcome)) => Self::Ended(outcome),
            (_, None) if !facts.manifest => Self::Resolving,
            (_, None) if facts.bytes_to_come => Self::Downloading,
            (_, None) => Self::Extracting,
        }
    }

    /// How it ended; `None` while it lives.
    #[must_use]
    pub const fn outcome(self) -> Option<Outcome> {
        match self {
            Self::Ended(outcome) => Some(outcome),
            Self::Queued | Self::Resolving | Self::Downloading | Self::Extracting => None,
        }
    }

    /// The word: `downloading`, or the outcome's.
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
    /// The word: `completed`.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Completed => "completed",
            Self::Failed => "failed",
            Self::Cancelled => "cancelled",
            Self::Unknown => "unknown",
        }
    }

    /// What the evidence says, and why it failed where it did.
    #[must_use]
    pub fn from_evidence(evidence: &Evidence) -> (Self, Option<Failure>) {
        let failed = |reason| {
            (
                Self::Failed,
                Some(Failure {
                    reason,
                    message: None,
                }),
            )
        };
        match evidence {
            Evidence::ImagePresent => (Self::Completed, None),
            Evidence::ImageAbsent => failed(FailureReason::Unexplained),
            Evidence::RuntimeRestarted => failed(FailureReason::RuntimeRestarted),
            Evidence::Silent | Evidence::Unseen => (Self::Unknown, None),
        }
    }
}

impl fmt::Display for Outcome {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.as_str())
    }
}

/// One attempt to bring one image onto one node, as it is at one moment.
///
/// Unknown is `None`, never 0.
#[derive(Clone, Debug, PartialEq)]
#[non_exhaustive]
pub struct Pull {
    /// Which pull: the same for ever.
    pub id: PullId,
    /// What it is doing, or how it ended.
    pub phase: Phase,
    /// Why it failed, where it did.
    pub failure: Option<Failure>,
    /// The digest that the image's name points to.
    pub root: Option<Digest>,
    /// Where the image comes from.
    pub repository: Option<Repository>,
    /// The image's whole names: known when it is over, or from elsewhere.
    pub names: Vec<ImageRef>,
    /// What the image is made of, once its manifest is here.
    pub image: Option<Arc<Image>>,
    /// Each layer, lowest first; empty until the manifest is here.
    pub layers: Vec<Layer>,
    /// When it began; where that was not seen, the earliest that is known of it, be it its end.
    pub started_at: NodeTime,
    /// When its manifest was first seen.
    pub resolved_at: Option<NodeTime>,
    /// When all bytes were first seen to be here.
    pub downloaded_at: Option<NodeTime>,
    /// When it ended.
    pub ended_at: Option<NodeTime>,
    /// How far it is: never goes back, and is 100 only where the pull is completed. `None` until the
    /// manifest is here.
    pub percent: Option<Percent>,
    /// What the image weighs, compressed; exact. `None` until the manifest is here.
    pub total: Option<Bytes>,
    /// What of that was on the node before, or is served remotely.
    pub cached: Bytes,
    /// What of that is to be downloaded by this pull or for it: `total` less `cached`.
    pub to_download: Option<Bytes>,
    /// What of `to_download` is here.
    pub downloaded: Bytes,
    /// What is to be unpacked, as compressed bytes.
    pub to_extract: Option<Bytes>,
    /// What of `to_extract` is unpacked.
    pub extracted: Bytes,
    /// Bytes that came and had to be fetched again.
    pub wasted: Bytes,
    /// How fast its bytes come; `None` where that is not known, or none are to come.
    pub rate: Option<BytesPerSecond>,
    /// How much longer it takes; `None` where that cannot be known.
    pub eta: Option<Eta>,
    /// What it waits for, where nothing of it moves.
    pub waiting_on: Option<WaitingOn>,
    /// When it last moved, where it should and has not for long.
    pub stalled_since: Option<NodeTime>,
    /// Since when it is far slower than pulls from its registry usually are on this node.
    pub slow_since: Option<NodeTime>,
    /// Since when the source has not been able to see it.
    pub stale_since: Option<NodeTime>,
}

impl Pull {
    /// A pull of which nothing is known but that it is, and since when.
    #[must_use]
    pub const fn new(id: PullId, phase: Phase, started_at: NodeTime) -> Self {
        Self {
            id,
            phase,
            failure: None,
            root: None,
            repository: None,
            names: Vec::new(),
            image: None,
            layers: Vec::new(),
            started_at,
            resolved_at: None,
            downloaded_at: None,
            ended_at: None,
            percent: None,
            total: None,
            cached: Bytes::ZERO,
            to_download: None,
            downloaded: Bytes::ZERO,
            to_extract: None,
            extracted: Bytes::ZERO,
            wasted: Bytes::ZERO,
            rate: None,
            eta: None,
            waiting_on: None,
            stalled_since: None,
            slow_since: None,
            stale_since: None,
        }
    }

    /// How it ended; `None` while it lives.
    #[must_use]
    pub const fn outcome(&self) -> Option<Outcome> {
        self.phase.outcome()
    }

    /// Whether it is as `other` but for its layers and for what moves: how far it is, its speed, and the time
    /// left, though not what that rests on.
    #[must_use]
    pub fn is_same_but_for_motion(&self, other: &Self) -> bool {
        // Whatever comes to a pull later has to be said here.
        let Self {
            id,
            phase,
            failure,
            root,
            repository,
            names,
            image,
            layers: _,
            started_at,
            resolved_at,
            downloaded_at,
            ended_at,
            percent: _,
            total,
            cached,
            to_download,
            downloaded: _,
            to_extract,
            extracted: _,
            wasted,
            rate: _,
            eta,
            waiting_on,
            stalled_since,
            slow_since,
            stale_since,
        } = self;
        let basis = |eta: Option<Eta>| eta.map(|eta| eta.basis);
        *phase == other.phase
            && basis(*eta) == basis(other.eta)
            && (*total, *cached, *to_download, *to_extract, *wasted)
                == (
                    other.total,
                    other.cached,
                    other.to_download,
                    other.to_extract,
                    other.wasted,
                )
            && *started_at == other.started_at
            && (*resolved_at, *downloaded_at, *ended_at)
                == (other.resolved_at, other.downloaded_at, other.ended_at)
            && (*stalled_since, *slow_since, *stale_since)
                == (other.stalled_since, other.slow_since, other.stale_since)
            && *failure == other.failure
            && *waiting_on == other.waiting_on
            && *id == other.id
            && *root == other.root
            && *repository == other.repository
            && *names == other.names
            && *image == other.image
    }

    /// The best name there is: the whole name, or the repository, or the root digest.
    #[must_use]
    pub fn title(&self) -> Option<String> {
        let tagged = |name: &&ImageRef| matches!(name.version(), crate::reference::Version::Tag(_));
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

    fn all_facts() -> impl Iterator<Item = PullFacts> {
        let ends = [
            None,
            Some(Outcome::Completed),
            Some(Outcome::Failed),
            Some(Outcome::Cancelled),
            Some(Outcome::Unknown),
        ];
        ends.into_iter().flat_map(|ended| {
            (0..8_u32).map(move |bits| PullFacts {
                manifest: bits & 1 != 0,
                bytes_to_come: bits & 2 != 0,
                alive: bits & 4 != 0,
                ended,
            })
        })
    }

    #[test]
    fn it_is_over_only_where_an_end_was_shown() {
        for phase in PHASES.into_iter().filter(|phase| phase.outcome().is_none()) {
            for facts in all_facts() {
                assert_eq!(phase.next(facts).outcome(), facts.ended);
            }
        }
    }

    #[test]
    fn an_end_with_evidence_stands() {
        for outcome in [Outcome::Completed, Outcome::Failed, Outcome::Cancelled] {
            for facts in all_facts() {
                assert_eq!(Phase::Ended(outcome).next(facts), Phase::Ended(outcome));
            }
        }
    }

    #[test]
    fn an_unknown_end_gives_way_to_evidence_and_to_life() {
        let unknown = Phase::Ended(Outcome::Unknown);
        let facts = PullFacts {
            manifest: true,
            bytes_to_come: true,
            ended: None,
            alive: false,
        };
        assert_eq!(unknown.next(facts), unknown);
        assert_eq!(
            unknown.next(PullFacts {
                alive: true,
                ..facts
            }),
            Phase::Downloading
        );
        let ended = Some(Outcome::Completed);
        assert_eq!(
            unknown.next(PullFacts { ended, ..facts }),
            Phase::Ended(Outcome::Completed)
        );
    }

    #[test]
    fn what_vanished_is_never_completed() {
        for evidence in [
            Evidence::ImageAbsent,
            Evidence::RuntimeRestarted,
            Evidence::Silent,
            Evidence::Unseen,
        ] {
            assert_ne!(Outcome::from_evidence(&evidence).0, Outcome::Completed);
        }
    }
}
