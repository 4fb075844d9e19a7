//! Can this pull be what brings this image? By names and digests alone.

use pulltrace_core::{ImageRef, LinkEvidence, Pull, Version, WantedImage};

use super::learned::Learned;

/// How well a pull fits an image; each is better than the one before.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Fit {
    /// Nothing is known of the pull that speaks for it or against.
    Possible,
    /// It is from the image's repository.
    Repository,
    /// Its digest was seen under the image's name before.
    Learned,
    /// The image is named by the digest that is pulled.
    Digest,
    /// The runtime recorded the finished image under this name.
    Record,
}

impl Fit {
    /// `None` where the pull cannot be of the image.
    pub(super) fn of(pull: &Pull, image: &WantedImage, learned: &Learned) -> Option<Self> {
        // Kubelets pull into one namespace of containerd.
        if pull.id.namespace().as_str() != KUBELETS {
            return None;
        }
        let image = image.named()?;
        if pull.names.contains(image) {
            return Some(Self::Record);
        }
        if let Version::Digest(digest) = image.version() {
            return match &pull.root {
                Some(root) if root == digest => Some(Self::Digest),
                Some(_) => None,
                None => Self::by_repository(pull, image),
            };
        }
        // A record that names others names all that this pull brought.
        if pull.names.iter().any(is_tagged) {
            return None;
        }
        let fit = Self::by_repository(pull, image)?;
        let known = |root| learned.has(root, image);
        Some(if pull.root.as_ref().is_some_and(known) {
            Self::Learned
        } else {
            fit
        })
    }

    fn by_repository(pull: &Pull, image: &ImageRef) -> Option<Self> {
        match &pull.repository {
            Some(repository) => (*repository == image.repository()).then_some(Self::Repository),
            None => Some(Self::Possible),
        }
    }

    /// What links it, where nothing else can be meant.
    pub(super) const fn evidence(self) -> Option<LinkEvidence> {
        match self {
            Self::Record => Some(LinkEvidence::ImageRecord),
            Self::Digest => Some(LinkEvidence::Digest),
            Self::Learned => Some(LinkEvidence::LearnedTag),
            Self::Repository | Self::Possible => None,
        }
    }
}

/// The namespace of containerd that kubelets pull into.
pub(super) const KUBELETS: &str = "k8s.io";

fn is_tagged(name: &ImageRef) -> bool {
    matches!(name.version(), Version::Tag(_))
}
