//! What a source may say, and what of it makes no sense.
//!
//! A source states what it sees; the [table](crate::PullTable) decides what that means. Repeating an
//! observation is harmless, leaving one out loses only what it would have told.

use std::fmt;
use std::sync::Arc;

use crate::id::{Digest, Namespace, PullId};
use crate::image::Image;
use crate::reference::{ImageRef, Repository};
use crate::time::NodeTime;
use crate::unit::Bytes;

/// One statement of a source.
#[derive(Clone, Debug, PartialEq)]
#[non_exhaustive]
pub enum Observation {
    /// A pull is going on.
    ///
    /// Of a pull that ended as unknown it says that it lives after all; any other end stands.
    Began {
        /// Which.
        pull: PullId,
        /// When it began.
        at: NodeTime,
    },
    /// The digest that the image's name points to.
    Root {
        /// Which pull.
        pull: PullId,
        /// Of an index, or of the only manifest.
        root: Digest,
    },
    /// Where the image comes from.
    Repository {
        /// Which pull.
        pull: PullId,
        /// Host and path.
        repository: Repository,
    },
    /// A whole name of the image, as the runtime recorded it.
    Named {
        /// Which pull.
        pull: PullId,
        /// With its tag or digest.
        name: ImageRef,
    },
    /// The manifest is known: from here on sizes are exact.
    Image {
        /// Which pull.
        pull: PullId,
        /// Its layers and what they weigh.
        image: Arc<Image>,
    },
    /// The bytes of a blob on this node, whichever pull fetches it.
    Blob {
        /// The containerd namespace: blobs of two are apart.
        namespace: Namespace,
        /// The blob.
        digest: Digest,
        /// What is seen of it.
        sight: BlobSight,
    },
    /// What is seen of one layer of one pull, beyond the bytes of its blob.
    Layer {
        /// Which pull.
        pull: PullId,
        /// The layer's blob.
        digest: Digest,
        /// What is seen of it.
        sight: LayerSight,
    },
    /// The pull is over.
    Ended {
        /// Which pull.
        pull: PullId,
        /// What shows that, and how it ended.
        evidence: Evidence,
        /// When it was over, as near as that is known.
        at: NodeTime,
    },
    /// Which runtime pulls, as it names itself: `containerd 2.4.2`.
    Runtime {
        /// Name and version; at most 128 characters of it are kept.
        version: String,
    },
    /// How many blobs the runtime fetches at once on the whole node; `None` where it has no such
    /// limit, or it is not known.
    Slots {
        /// The limit.
        per_node: Option<u32>,
    },
    /// The source sees nothing any more. No pull ends by that.
    SourceLost,
    /// The source sees again.
    SourceBack,
}

/// What is seen of the bytes of a blob.
#[derive(Clone, Debug, PartialEq)]
pub enum BlobSight {
    /// It is being written.
    Ingest {
        /// Bytes on disk.
        offset: Bytes,
        /// When the writing began; a later one means that it began anew.
        started_at: NodeTime,
        /// When bytes last came.
        updated_at: NodeTime,
        /// The pull that writes it.
        by: Option<PullId>,
    },
    /// All of its bytes are there.
    Whole,
}

/// What is seen of a layer of a pull.
#[derive(Clone, Debug, PartialEq)]
pub enum LayerSight {
    /// Unpacked before the pull began: there is nothing to do.
    Cached,
    /// Its blob was here before the pull began, but it must be unpacked.
    BlobCached,
    /// A lazy snapshotter serves it without its bytes.
    Remote,
    /// A snapshot is prepared for it. That alone is not unpacking: the snapshot may be there before
    /// the first byte of the blob.
    Unpacking {
        /// The pull that unpacks it.
        by: PullId,
        /// Bytes that unpacking has written so far, where that was asked.
        written: Option<Bytes>,
    },
    /// Unpacked, in every place that it has in the image.
    Unpacked,
}

/// What shows that a pull is over.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Evidence {
    /// A record of the image points to its root, and its last layer is unpacked.
    ImagePresent,
    /// Nothing holds it any more, and the image is not there.
    ImageAbsent,
    /// The runtime that pulled it was started anew.
    RuntimeRestarted,
    /// It has not moved for longer than a living pull can; whether it lives is not known.
    Silent,
    /// It ended while nobody watched, and no evidence is left.
    Unseen,
}

/// An input that cannot be true. Counted by the [table](crate::PullTable), and otherwise ignored.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
#[non_exhaustive]
pub enum Anomaly {
    /// An observation names a pull that is not in the table.
    UnknownPull,
    /// An observation names a layer that the pull's image does not have.
    UnknownLayer,
    /// The bytes of a blob went back, though nobody began it anew.
    OffsetWentBack,
    /// A blob has more bytes than its manifest says.
    OffsetBeyondSize,
    /// Two manifests give one digest two sizes.
    SizeChanged,
    /// A pull's root became another.
    RootChanged,
    /// A pull that had ended was said to end differently.
    EndedTwice,
    /// A digest, a name, a size or a time that is none, or a list that is too long.
    Unreadable,
    /// A manifest, config or index that is none, or that contradicts itself.
    BadDocument,
    /// A snapshot of a pull belongs to no chosen manifest.
    UnknownChain,
    /// A layer is unpacked, and one below it is not.
    BrokenChain,
    /// What looked like a pull turned out to be none.
    NoPull,
    /// A layer that was there is being fetched again.
    BlobReturned,
}

impl Anomaly {
    /// Each of them, in order.
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

    /// The word for it: `offset_went_back`.
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
