//! Decides whether a pull can be of an image, by names and digests alone.

use pulltrace_core::{ImageRef, LinkEvidence, Pull, RequestedImage, TagOrDigest};

use super::tag_index::TagIndex;

/// The quality of a match between a pull and an image, worst first.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum MatchRank {
    /// The pull's repository is not known yet.
    Possible,
    /// The repository matches.
    Repository,
    /// The pull's digest was seen under the image's name before.
    LearnedTag,
    /// The image is named by the digest that is pulled.
    Digest,
    /// The runtime recorded the finished image under this name.
    ImageRecord,
}

impl MatchRank {
    /// Returns `None` if the pull cannot be of the image.
    pub(super) fn between(pull: &Pull, image: &RequestedImage, learned: &TagIndex) -> Option<Self> {
        // Kubelets pull into a single containerd namespace.
        if pull.id.namespace().as_str() != KUBELET_NAMESPACE {
            return None;
        }
        let image = image.image_ref()?;
        if pull.names.contains(image) {
            return Some(Self::ImageRecord);
        }
        if let TagOrDigest::Digest(digest) = image.tag_or_digest() {
            return match &pull.root {
                Some(root) if root == digest => Some(Self::Digest),
                Some(_) => None,
                None => Self::by_repository(pull, image),
            };
        }
        // A record with tags has all tags of this pull.
        if pull.names.iter().any(is_tagged) {
            return None;
        }
        let rank = Self::by_repository(pull, image)?;
        let known = |root| learned.contains(root, image);
        Some(if pull.root.as_ref().is_some_and(known) { Self::LearnedTag } else { rank })
    }

    fn by_repository(pull: &Pull, image: &ImageRef) -> Option<Self> {
        match &pull.repository {
            Some(repository) => (*repository == image.repository()).then_some(Self::Repository),
            None => Some(Self::Possible),
        }
    }

    /// Returns the evidence of a rank that is conclusive without further comparison.
    pub(super) const fn evidence(self) -> Option<LinkEvidence> {
        match self {
            Self::ImageRecord => Some(LinkEvidence::ImageRecord),
            Self::Digest => Some(LinkEvidence::Digest),
            Self::LearnedTag => Some(LinkEvidence::LearnedTag),
            Self::Repository | Self::Possible => None,
        }
    }
}

/// The containerd namespace that kubelets pull into.
pub(super) const KUBELET_NAMESPACE: &str = "k8s.io";

fn is_tagged(name: &ImageRef) -> bool {
    matches!(name.tag_or_digest(), TagOrDigest::Tag(_))
}
