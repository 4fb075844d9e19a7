//! Observations of a source, and anomalies in them.
//!
//! A source reports facts; the [table](crate::PullTable) interprets them. Observations may be
//! repeated. A missing one loses only its own information.

use std::fmt;
use std::sync::Arc;

use crate::id::{Digest, Namespace, PullId};
use crate::image::Image;
use crate::reference::{ImageRef, Repository};
use crate::time::NodeTime;
use crate::unit::Bytes;

/// A fact reported by a source: about a pull, about a blob of the node, or about the source.
///
/// ```
/// use pulltrace_core::{NodeTime, Observation, PullFact, PullId};
///
/// # fn main() -> Result<(), Box<dyn std::error::Error>> {
/// let at: NodeTime = "2026-11-24T20:00:00Z".parse()?;
/// let pull: PullId = "lease~worker-1~k8s.io~27~1764014400000000000".parse()?;
/// let name = PullFact::Named("docker.io/library/nginx:1.29".parse()?);
/// let batch: Vec<Observation> = vec![PullFact::Started { at }.of(pull.clone()), name.of(pull)];
/// # assert_eq!(batch.len(), 2); Ok(()) }
/// ```
#[derive(Clone, Debug, PartialEq)]
#[non_exhaustive]
pub enum Observation {
    /// A fact about a pull. [`PullFact::of`] creates it.
    Pull {
        /// The pull.
        pull: PullId,
        /// The fact.
        fact: PullFact,
    },
    /// The state of a blob on this node, for all pulls that need it.
    Blob {
        /// The containerd namespace; blobs are tracked per namespace.
        namespace: Namespace,
        /// The digest of the blob.
        digest: Digest,
        /// The observed state.
        observed: BlobObservation,
    },
    /// The container runtime, as it identifies itself: `containerd 2.4.2`.
    Runtime {
        /// Name and version; only the first 128 characters are kept.
        version: String,
    },
    /// The number of blobs that the runtime fetches at once on the whole node; `None` if it is
    /// unlimited or unknown.
    DownloadSlots {
        /// The limit.
        per_node: Option<u32>,
    },
    /// The source can no longer observe the node. Pulls become stale but do not end.
    SourceLost,
    /// The source can observe the node again.
    SourceRecovered,
}

/// A fact about a pull.
#[derive(Clone, Debug, PartialEq)]
#[non_exhaustive]
pub enum PullFact {
    /// The pull is running.
    ///
    /// This revives a pull whose outcome is unknown; any other outcome is final.
    Started {
        /// When it started.
        at: NodeTime,
    },
    /// The digest that the image name points to: that of an index, or of the only manifest.
    Root(Digest),
    /// The repository of the image: host and path.
    Repository(Repository),
    /// A full name of the image, as recorded by the runtime, with its tag or digest.
    Named(ImageRef),
    /// The manifest is known: the layers and their sizes. Sizes are exact from now on.
    Image(Arc<Image>),
    /// The state of a layer of the pull, beyond the bytes of its blob.
    Layer {
        /// The digest of the layer's blob.
        digest: Digest,
        /// The observed state.
        observed: LayerObservation,
    },
    /// The pull ended.
    Ended {
        /// The evidence, which determines the outcome.
        evidence: EndEvidence,
        /// When it ended, as precisely as known.
        at: NodeTime,
    },
}

impl PullFact {
    /// Returns the observation of this fact about a pull.
    #[must_use]
    pub const fn of(self, pull: PullId) -> Observation {
        Observation::Pull { pull, fact: self }
    }
}

/// The observed state of a blob.
#[derive(Clone, Debug, PartialEq)]
pub enum BlobObservation {
    /// The blob is being written.
    Ingest {
        /// Bytes on disk.
        offset: Bytes,
        /// When writing started; a later time means that it was restarted.
        started_at: NodeTime,
        /// When bytes were last written.
        updated_at: NodeTime,
        /// The pull that writes it.
        by: Option<PullId>,
    },
    /// All bytes are present.
    Complete,
}

/// The observed state of a layer of a pull.
#[derive(Clone, Debug, PartialEq)]
pub enum LayerObservation {
    /// Unpacked before the pull started: no work.
    Cached,
    /// The blob was present before the pull started, but has to be unpacked.
    BlobCached,
    /// A lazy snapshotter serves it without its bytes.
    Remote,
    /// A snapshot is prepared for the layer. This does not prove that it is being unpacked: the
    /// snapshot may exist before the first byte of the blob.
    Unpacking {
        /// The pull that unpacks it.
        by: PullId,
        /// Bytes written by unpacking so far, if requested from the runtime.
        written: Option<Bytes>,
    },
    /// Unpacked, at each of its positions in the image.
    Unpacked,
}

/// Evidence that a pull ended.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum EndEvidence {
    /// An image record points to the pull's root digest, and the top layer is unpacked.
    ImagePresent,
    /// The pull's content is no longer held, and the image is absent.
    ImageAbsent,
    /// The runtime restarted during the pull.
    RuntimeRestarted,
    /// No progress for longer than possible for a live pull. It may still be running.
    Inactive,
    /// It ended while no source was watching, and there is no evidence of the outcome.
    Unobserved,
}

/// Impossible input. The [table](crate::PullTable) counts it and otherwise ignores it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
#[non_exhaustive]
pub enum Anomaly {
    /// An observation refers to a pull that is not in the table.
    UnknownPull,
    /// An observation refers to a layer that the image does not have.
    UnknownLayer,
    /// The offset of a blob decreased without a restart.
    OffsetWentBack,
    /// A blob has more bytes than its manifest declares.
    OffsetBeyondSize,
    /// Two manifests declare different sizes for a digest.
    SizeChanged,
    /// The root digest of a pull changed.
    RootChanged,
    /// An ended pull was observed again.
    EndedTwice,
    /// A malformed digest, name, size or time, or a list that is too long.
    Unreadable,
    /// A malformed or inconsistent manifest, config or index.
    BadDocument,
    /// A snapshot of a pull belongs to none of the selected manifests.
    UnknownChain,
    /// A layer is unpacked, but a layer below it is not.
    BrokenChain,
    /// An apparent pull turned out not to be one.
    NoPull,
    /// A complete blob is being fetched again.
    BlobReturned,
}

impl Anomaly {
    /// All anomalies, in order.
    pub const ALL: [Self; 13] = [
        Self::UnknownPull,
        Self::UnknownLayer,
        Self::OffsetWentBack,
        Self::OffsetBeyondSize,
        Self::SizeChanged,
        Self::RootChanged,
        Self::EndedTwice,
        Self::Unreadable,
        Self::BadDocument,
        Self::UnknownChain,
        Self::BrokenChain,
        Self::NoPull,
        Self::BlobReturned,
    ];

    /// Returns the wire name, e.g. `offset_went_back`.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::UnknownPull => "unknown_pull",
            Self::UnknownLayer => "unknown_layer",
            Self::OffsetWentBack => "offset_went_back",
            Self::OffsetBeyondSize => "offset_beyond_size",
            Self::SizeChanged => "size_changed",
            Self::RootChanged => "root_changed",
            Self::EndedTwice => "ended_twice",
            Self::Unreadable => "unreadable",
            Self::BadDocument => "bad_document",
            Self::UnknownChain => "unknown_chain",
            Self::BrokenChain => "broken_chain",
            Self::NoPull => "no_pull",
            Self::BlobReturned => "blob_returned",
        }
    }
}

impl fmt::Display for Anomaly {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.as_str())
    }
}
