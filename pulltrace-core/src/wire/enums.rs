//! Conversions between the enums of the model and of the wire.

use super::v1;
use crate::eta::EtaBasis;
use crate::failure::FailureReason;
use crate::layer::LayerState;
use crate::link::LinkEvidence;
use crate::pull::{Outcome, Phase};
use crate::wait::WaitingKind;

impl From<Phase> for v1::Phase {
    fn from(phase: Phase) -> Self {
        match phase {
            Phase::Queued => Self::Queued,
            Phase::Resolving => Self::Resolving,
            Phase::Downloading => Self::Downloading,
            Phase::Extracting => Self::Extracting,
            Phase::Ended(Outcome::Completed) => Self::Completed,
            Phase::Ended(Outcome::Failed) => Self::Failed,
            Phase::Ended(Outcome::Cancelled) => Self::Cancelled,
            Phase::Ended(Outcome::Unknown) => Self::Unknown,
        }
    }
}

impl From<Outcome> for v1::Outcome {
    fn from(outcome: Outcome) -> Self {
        match outcome {
            Outcome::Completed => Self::Completed,
            Outcome::Failed => Self::Failed,
            Outcome::Cancelled => Self::Cancelled,
            Outcome::Unknown => Self::Unknown,
        }
    }
}

impl From<LayerState> for v1::LayerState {
    fn from(state: LayerState) -> Self {
        match state {
            LayerState::Waiting => Self::Waiting,
            LayerState::Downloading => Self::Downloading,
            LayerState::Downloaded => Self::Downloaded,
            LayerState::Extracting => Self::Extracting,
            LayerState::Complete => Self::Complete,
            LayerState::Cached => Self::Cached,
            LayerState::Remote => Self::Remote,
        }
    }
}

impl From<WaitingKind> for v1::WaitingKind {
    fn from(kind: WaitingKind) -> Self {
        match kind {
            WaitingKind::DownloadSlot => Self::DownloadSlot,
            WaitingKind::SharedLayer => Self::SharedLayer,
            WaitingKind::ParentLayer => Self::ParentLayer,
            WaitingKind::Registry => Self::Registry,
            WaitingKind::KubeletQueue => Self::KubeletQueue,
        }
    }
}

impl From<LinkEvidence> for v1::LinkEvidence {
    fn from(evidence: LinkEvidence) -> Self {
        match evidence {
            LinkEvidence::OnlyCandidate => Self::OnlyCandidate,
            LinkEvidence::Event => Self::Event,
            LinkEvidence::LearnedTag => Self::LearnedTag,
            LinkEvidence::Digest => Self::Digest,
            LinkEvidence::ImageRecord => Self::ImageRecord,
        }
    }
}

impl From<EtaBasis> for v1::EtaBasis {
    fn from(basis: EtaBasis) -> Self {
        match basis {
            EtaBasis::Learned => Self::Learned,
            EtaBasis::Assumed => Self::Assumed,
        }
    }
}

impl From<FailureReason> for v1::FailureReason {
    fn from(reason: FailureReason) -> Self {
        match reason {
            FailureReason::NotFound => Self::NotFound,
            FailureReason::Unauthorized => Self::Unauthorized,
            FailureReason::RateLimited => Self::RateLimited,
            FailureReason::KubeletQps => Self::KubeletQps,
            FailureReason::RegistryError => Self::RegistryError,
            FailureReason::Dns => Self::Dns,
            FailureReason::ConnectionRefused => Self::ConnectionRefused,
            FailureReason::Timeout => Self::Timeout,
            FailureReason::Tls => Self::Tls,
            FailureReason::Proxy => Self::Proxy,
            FailureReason::NoSpace => Self::NoSpace,
            FailureReason::NoMatchingPlatform => Self::NoMatchingPlatform,
            FailureReason::DigestMismatch => Self::DigestMismatch,
            FailureReason::Signature => Self::Signature,
            FailureReason::InvalidName => Self::InvalidName,
            FailureReason::NeverPull => Self::NeverPull,
            FailureReason::ProgressTimeout => Self::ProgressTimeout,
            FailureReason::RuntimeRestarted => Self::RuntimeRestarted,
            FailureReason::Cancelled => Self::Cancelled,
            FailureReason::Unexplained => Self::Unexplained,
            FailureReason::Other => Self::Other,
        }
    }
}

impl From<v1::FailureReason> for FailureReason {
    fn from(word: v1::FailureReason) -> Self {
        match word {
            v1::FailureReason::NotFound => Self::NotFound,
            v1::FailureReason::Unauthorized => Self::Unauthorized,
            v1::FailureReason::RateLimited => Self::RateLimited,
            v1::FailureReason::KubeletQps => Self::KubeletQps,
            v1::FailureReason::RegistryError => Self::RegistryError,
            v1::FailureReason::Dns => Self::Dns,
            v1::FailureReason::ConnectionRefused => Self::ConnectionRefused,
            v1::FailureReason::Timeout => Self::Timeout,
            v1::FailureReason::Tls => Self::Tls,
            v1::FailureReason::Proxy => Self::Proxy,
            v1::FailureReason::NoSpace => Self::NoSpace,
            v1::FailureReason::NoMatchingPlatform => Self::NoMatchingPlatform,
            v1::FailureReason::DigestMismatch => Self::DigestMismatch,
            v1::FailureReason::Signature => Self::Signature,
            v1::FailureReason::InvalidName => Self::InvalidName,
            v1::FailureReason::NeverPull => Self::NeverPull,
            v1::FailureReason::ProgressTimeout => Self::ProgressTimeout,
            v1::FailureReason::RuntimeRestarted => Self::RuntimeRestarted,
            v1::FailureReason::Cancelled => Self::Cancelled,
            v1::FailureReason::Unexplained => Self::Unexplained,
            v1::FailureReason::Other => Self::Other,
        }
    }
}

/// A value that this version does not know, so that the model cannot represent it. A retry does not
/// help.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("unknown value")]
pub struct UnknownVariant;

impl TryFrom<v1::Phase> for Phase {
    type Error = UnknownVariant;

    fn try_from(word: v1::Phase) -> Result<Self, UnknownVariant> {
        Ok(match word {
            v1::Phase::Queued => Self::Queued,
            v1::Phase::Resolving => Self::Resolving,
            v1::Phase::Downloading => Self::Downloading,
            v1::Phase::Extracting => Self::Extracting,
            v1::Phase::Completed => Self::Ended(Outcome::Completed),
            v1::Phase::Failed => Self::Ended(Outcome::Failed),
            v1::Phase::Cancelled => Self::Ended(Outcome::Cancelled),
            v1::Phase::Unknown => Self::Ended(Outcome::Unknown),
            v1::Phase::Other => return Err(UnknownVariant),
        })
    }
}

impl TryFrom<v1::LayerState> for LayerState {
    type Error = UnknownVariant;

    fn try_from(word: v1::LayerState) -> Result<Self, UnknownVariant> {
        Ok(match word {
            v1::LayerState::Waiting => Self::Waiting,
            v1::LayerState::Downloading => Self::Downloading,
            v1::LayerState::Downloaded => Self::Downloaded,
            v1::LayerState::Extracting => Self::Extracting,
            v1::LayerState::Complete => Self::Complete,
            v1::LayerState::Cached => Self::Cached,
            v1::LayerState::Remote => Self::Remote,
            v1::LayerState::Other => return Err(UnknownVariant),
        })
    }
}

impl TryFrom<v1::WaitingKind> for WaitingKind {
    type Error = UnknownVariant;

    fn try_from(word: v1::WaitingKind) -> Result<Self, UnknownVariant> {
        Ok(match word {
            v1::WaitingKind::DownloadSlot => Self::DownloadSlot,
            v1::WaitingKind::SharedLayer => Self::SharedLayer,
            v1::WaitingKind::ParentLayer => Self::ParentLayer,
            v1::WaitingKind::Registry => Self::Registry,
            v1::WaitingKind::KubeletQueue => Self::KubeletQueue,
            v1::WaitingKind::Other => return Err(UnknownVariant),
        })
    }
}

impl From<Option<v1::EtaBasis>> for EtaBasis {
    fn from(word: Option<v1::EtaBasis>) -> Self {
        match word {
            Some(v1::EtaBasis::Learned) => Self::Learned,
            // An unknown basis is treated as an assumption.
            Some(v1::EtaBasis::Assumed | v1::EtaBasis::Other) | None => Self::Assumed,
        }
    }
}
