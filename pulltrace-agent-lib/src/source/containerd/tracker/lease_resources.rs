//! Classification of the resources of one lease: digests from refs, chains from snapshot keys.
//! Stateless.

use std::collections::{BTreeMap, BTreeSet};

use pulltrace_core::Digest;

use super::super::input::{Lease, Resource};

/// The maximum number of resources per lease; further ones are skipped and counted as an anomaly.
const MAX_RESOURCES: usize = 8_192;

/// The resources of a lease.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct LeaseResources {
    /// Complete blobs.
    pub(super) content: BTreeSet<Digest>,
    /// Blobs being written, with the kind from the ref of the ingest.
    pub(super) ingests: BTreeMap<Digest, BlobKind>,
    /// Chains being unpacked, with the key of the snapshot.
    pub(super) extracts: BTreeMap<Digest, String>,
    /// Unpacked chains.
    pub(super) committed: BTreeSet<Digest>,
    /// The snapshotter of the snapshots.
    pub(super) snapshotter: Option<String>,
    /// True if the lease belongs to an image import and is not a pull.
    pub(super) is_import: bool,
    /// The number of invalid digests and of resources beyond the limit.
    pub(super) unreadable: u64,
}

/// The kind of a blob, from the prefix of the ingest's ref.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum BlobKind {
    /// `index-`
    Index,
    /// `manifest-`
    Manifest,
    /// `config-`
    Config,
    /// `layer-`
    Layer,
    /// `unknown-` or `attestation-`: fetched from a registry, but none of the above.
    Other,
}

impl LeaseResources {
    pub(super) fn from_resources(resources: &[Resource]) -> Self {
        let mut parsed = Self::default();
        for resource in resources.iter().take(MAX_RESOURCES) {
            match resource.kind.as_str() {
                "content" => match resource.id.parse() {
                    Ok(digest) => _ = parsed.content.insert(digest),
                    Err(_) => parsed.unreadable += 1,
                },
                "ingests" => parsed.add_ingest(&resource.id),
                kind => {
                    if let Some(snapshotter) = kind.strip_prefix("snapshots/") {
                        parsed.add_snapshot(snapshotter, &resource.id);
                    }
                }
            }
        }
        parsed.unreadable += resources.len().saturating_sub(MAX_RESOURCES) as u64;
        parsed
    }

    /// Returns whether the lease is empty, which is the case while a pull resolves its image name.
    pub(super) fn is_empty(&self) -> bool {
        self.content.is_empty()
            && self.ingests.is_empty()
            && self.extracts.is_empty()
            && self.committed.is_empty()
            && self.snapshotter.is_none()
    }

    fn add_ingest(&mut self, reference: &str) {
        if reference.starts_with("tar-") {
            self.is_import = true;
        } else if let Some((kind, digest)) = parse_ingest_ref(reference) {
            self.ingests.insert(digest, kind);
        }
        // Other clients choose their own refs; those do not belong to pulls.
    }

    fn add_snapshot(&mut self, snapshotter: &str, key: &str) {
        self.snapshotter = Some(snapshotter.to_owned());
        // The snapshot of a container has a name that is not a digest.
        if let Some(chain) = parse_extract_key(key) {
            self.extracts.insert(chain, key.to_owned());
        } else if let Ok(chain) = key.parse() {
            self.committed.insert(chain);
        }
    }
}

/// Parses the ref of an ingest from a registry. The digest is at the end, possibly after a name
/// (`layer-<name>@sha256:…`).
pub(super) fn parse_ingest_ref(reference: &str) -> Option<(BlobKind, Digest)> {
    let (kind, rest) = reference.split_once('-')?;
    let kind = match kind {
        "index" => BlobKind::Index,
        "manifest" => BlobKind::Manifest,
        "config" => BlobKind::Config,
        "layer" => BlobKind::Layer,
        "attestation" | "unknown" => BlobKind::Other,
        _ => return None,
    };
    let digest = rest.rsplit_once('@').map_or(rest, |(_, digest)| digest);
    Some((kind, digest.parse().ok()?))
}

/// Parses the chain from the snapshot key of a pull: `extract-<time>-<random> <chain>`.
pub(super) fn parse_extract_key(key: &str) -> Option<Digest> {
    let (prefix, chain) = key.rsplit_once(' ')?;
    prefix.starts_with("extract-").then(|| chain.parse().ok())?
}

/// Returns whether a lease may be a pull, so that its resources are worth listing.
///
/// The lease of a pull has an expiry and an id of up to nine digits, a dash and four characters.
/// Leases of sandboxes have no expiry, those of image mounts and Docker's graph driver have other
/// ids, and `BuildKit` adds labels.
#[must_use]
pub fn is_pull_lease(lease: &Lease) -> bool {
    let has_pull_id = lease.id.split_once('-').is_some_and(|(digits, random)| {
        (1..=9).contains(&digits.len())
            && digits.bytes().all(|b| b.is_ascii_digit())
            && random.len() == 4
            && random.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'-' || b == b'_')
    });
    has_pull_id
        && lease.labels.contains_key("containerd.io/gc.expire")
        && !lease
            .labels
            .keys()
            .any(|key| key.starts_with("buildkit/") || key == "containerd.io/gc.flat")
}

#[cfg(test)]
mod tests {
    use super::*;
    use pulltrace_core::NodeTime;

    fn hex(letter: char) -> String {
        format!("sha256:{}", letter.to_string().repeat(64))
    }

    fn resource(kind: &str, id: &str) -> Resource {
        Resource { kind: kind.into(), id: id.into() }
    }

    #[test]
    fn ingest_ref_ends_with_digest() {
        let sha512 = format!("sha512:{}", "0".repeat(128));
        for (reference, kind) in [
            (format!("layer-{}", hex('a')), BlobKind::Layer),
            (format!("layer-registry.example/app:1@{}", hex('a')), BlobKind::Layer),
            (format!("index-{sha512}"), BlobKind::Index),
            (format!("attestation-{}", hex('b')), BlobKind::Other),
        ] {
            let (found, digest) = parse_ingest_ref(&reference).unwrap();
            assert_eq!(found, kind);
            assert!(reference.ends_with(digest.as_str()));
        }
        for other in ["layer-", "checkpoint-rw-1", "upload-1", "", "-", "layer-sha256:zz"] {
            assert_eq!(parse_ingest_ref(other), None, "{other}");
        }
    }

    #[test]
    fn resources_are_classified_by_kind() {
        let parsed = LeaseResources::from_resources(&[
            resource("content", &hex('a')),
            resource("content", "nonsense"),
            resource("ingests", &format!("layer-{}", hex('b'))),
            resource("snapshots/overlayfs", &format!("extract-123-x1_z {}", hex('c'))),
            resource("snapshots/overlayfs", &hex('d')),
            resource("images", "docker.io/library/x:1"),
        ]);
        assert_eq!((parsed.content.len(), parsed.ingests.len()), (1, 1));
        assert_eq!((parsed.extracts.len(), parsed.committed.len()), (1, 1));
        assert_eq!((parsed.snapshotter.as_deref(), parsed.unreadable), (Some("overlayfs"), 1));
        assert!(!parsed.is_import && !parsed.is_empty());
    }

    #[test]
    fn container_snapshot_is_no_chain() {
        let parsed =
            LeaseResources::from_resources(&[resource("snapshots/overlayfs", "my-container")]);
        assert!(!parsed.is_empty() && parsed.extracts.is_empty() && parsed.committed.is_empty());
    }

    #[test]
    fn excess_resources_are_dropped_and_counted() {
        let many: Vec<Resource> =
            (0..10_000).map(|i| resource("content", &format!("sha256:{i:064x}"))).collect();
        let parsed = LeaseResources::from_resources(&many);
        assert_eq!((parsed.content.len(), parsed.unreadable), (MAX_RESOURCES, 1_808));
    }

    #[test]
    fn pull_lease_is_recognised_by_id_and_labels() {
        let lease = |id: &str, labels: &[&str]| Lease {
            id: id.into(),
            created_at: NodeTime::from_unix(0, 0),
            labels: labels.iter().map(|label| ((*label).to_owned(), String::new())).collect(),
            resources: None,
        };
        const EXPIRE: &str = "containerd.io/gc.expire";
        assert!(is_pull_lease(&lease("123456789-a_-9", &[EXPIRE])));
        assert!(is_pull_lease(&lease("7-abcd", &[EXPIRE])));
        for (id, labels) in [
            ("123456789-abcd", &[][..]),
            (&"0123456789abcdef".repeat(4), &[]),
            ("/mnt/image", &[EXPIRE]),
            ("moby-image-sha256:0", &[EXPIRE]),
            ("1234567890-abcd", &[EXPIRE]),
            ("123-abcde", &[EXPIRE]),
            ("123-ab/d", &[EXPIRE]),
            ("123456789-abcd", &[EXPIRE, "buildkit/lease.temporary"]),
            ("123456789-abcd", &[EXPIRE, "containerd.io/gc.flat"]),
        ] {
            assert!(!is_pull_lease(&lease(id, labels)), "{id} {labels:?}");
        }
    }
}
