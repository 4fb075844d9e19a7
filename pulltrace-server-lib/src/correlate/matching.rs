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
    pub(super) fn between(
        pull: &Pull,
        image: &RequestedImage,
        tag_index: &TagIndex,
    ) -> Option<Self> {
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
        let is_known = |root| tag_index.contains(root, image);
        Some(if pull.root.as_ref().is_some_and(is_known) { Self::LearnedTag } else { rank })
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

pub(super) fn is_tagged(name: &ImageRef) -> bool {
    matches!(name.tag_or_digest(), TagOrDigest::Tag(_))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::correlate::tests::facts::image;
    use crate::correlate::tests::world::{completed, digest, lease, resolved};

    const APP: &str = "registry.test/shop/app:1";
    const REPOSITORY: &str = "registry.test/shop/app";

    #[test]
    fn rank_improves_with_evidence() {
        let mut index = TagIndex::default();
        let rank = |pull: &Pull, name: &str, index: &TagIndex| {
            MatchRank::between(pull, &image(name), index)
        };
        let unresolved = lease(1, 1.0);
        assert_eq!(rank(&unresolved, APP, &index), Some(MatchRank::Possible));
        let pull = resolved(unresolved, REPOSITORY, 'a');
        assert_eq!(rank(&pull, APP, &index), Some(MatchRank::Repository));
        index.insert(&digest('a'), &APP.parse().unwrap(), None);
        assert_eq!(rank(&pull, APP, &index), Some(MatchRank::LearnedTag));
        let by_digest = format!("{REPOSITORY}@{}", digest('a'));
        assert_eq!(rank(&pull, &by_digest, &index), Some(MatchRank::Digest));
        let pull = completed(pull, 5.0, &[APP]);
        assert_eq!(rank(&pull, APP, &index), Some(MatchRank::ImageRecord));
    }

    #[test]
    fn pull_of_other_image_or_namespace_never_matches() {
        let index = TagIndex::default();
        let none = |pull: &Pull, name: &str| {
            assert_eq!(MatchRank::between(pull, &image(name), &index), None, "{name}");
        };
        let pull = resolved(lease(1, 1.0), REPOSITORY, 'a');
        none(&pull, "registry.test/shop/db:1");
        none(&pull, &format!("{REPOSITORY}@{}", digest('b')));
        none(&pull, "registry.test/UPPER:1");
        none(&completed(pull.clone(), 5.0, &[APP]), "registry.test/shop/app:2");
        let mut elsewhere = pull;
        let pulltrace_core::PullId::Lease { namespace, .. } = &mut elsewhere.id else { panic!() };
        *namespace = "buildkit".parse().unwrap();
        none(&elsewhere, APP);
    }
}
