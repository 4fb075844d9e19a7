//! What one lease holds, read: digests out of references, chains out of keys.
//!
//! Nothing here remembers anything.

use std::collections::{BTreeMap, BTreeSet};

use pulltrace_core::Digest;

use super::super::input::{Lease, Resource};

/// Resources of a lease that are read; what is beyond is left out and counted as an anomaly.
const MAX_RESOURCES: usize = 8_192;

/// What a lease holds.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Holding {
    /// Blobs that are whole.
    pub(super) content: BTreeSet<Digest>,
    /// Blobs that are being written, and what their writers call them.
    pub(super) ingests: BTreeMap<Digest, Kind>,
    /// Chains that are being unpacked, with the key of the snapshot.
    pub(super) extracts: BTreeMap<Digest, String>,
    /// Chains that are unpacked.
    pub(super) committed: BTreeSet<Digest>,
    /// Who keeps the snapshots.
    pub(super) snapshotter: Option<String>,
    /// It holds what an import writes: then it is no pull.
    pub(super) import: bool,
    /// Digests that are none, and resources beyond the limit.
    pub(super) unreadable: u64,
}

/// What a blob is, by the prefix of the ingest's reference.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Kind {
    /// `index-`
    Index,
    /// `manifest-`
    Manifest,
    /// `config-`
    Config,
    /// `layer-`
    Layer,
    /// `unknown-`, `attestation-`: a registry's, but none of the above.
    Other,
}

impl Holding {
    pub(super) fn of(resources: &[Resource]) -> Self {
        let mut holding = Self::default();
        for resource in resources.iter().take(MAX_RESOURCES) {
            match resource.kind.as_str() {
                "content" => match resource.id.parse() {
                    Ok(digest) => _ = holding.content.insert(digest),
                    Err(_) => holding.unreadable += 1,
                },
                "ingests" => holding.take_ingest(&resource.id),
                kind => {
                    if let Some(snapshotter) = kind.strip_prefix("snapshots/") {
                        holding.take_snapshot(snapshotter, &resource.id);
                    }
                }
            }
        }
        holding.unreadable += resources.len().saturating_sub(MAX_RESOURCES) as u64;
        holding
    }

    /// Nothing at all: a pull that has not resolved its name looks like this.
    pub(super) fn is_empty(&self) -> bool {
        self.content.is_empty()
            && self.ingests.is_empty()
            && self.extracts.is_empty()
            && self.committed.is_empty()
            && self.snapshotter.is_none()
    }

    fn take_ingest(&mut self, reference: &str) {
        if reference.starts_with("tar-") {
            self.import = true;
        } else if let Some((kind, digest)) = read_ingest(reference) {
            self.ingests.insert(digest, kind);
        }
        // Others are written by clients that name them as they like: they are no pull's.
    }

    fn take_snapshot(&mut self, snapshotter: &str, key: &str) {
        self.snapshotter = Some(snapshotter.to_owned());
        // A container's snapshot has a name that is no digest.
        if let Some(chain) = extract_chain(key) {
            self.extracts.insert(chain, key.to_owned());
        } else if let Ok(chain) = key.parse() {
            self.committed.insert(chain);
        }
    }
}

/// The blob of an ingest that fetches from a registry: the digest stands at the end of the reference, and a
/// name may stand before it (`layer-<name>@sha256:…`).
pub(super) fn read_ingest(reference: &str) -> Option<(Kind, Digest)> {
    let (kind, rest) = reference.split_once('-')?;
    let kind = match kind {
        "index" => Kind::Index,
        "manifest" => Kind::Manifest,
        "config" => Kind::Config,
        "layer" => Kind::Layer,
        "attestation" | "unknown" => Kind::Other,
        _ => return None,
    };
    let digest = rest.rsplit_once('@').map_or(rest, |(_, digest)| digest);
    Some((kind, digest.parse().ok()?))
}

/// The chain that a snapshot of a pull unpacks: `extract-<time>-<random> <chain>`.
pub(super) fn extract_chain(key: &str) -> Option<Digest> {
    let (prefix, chain) = key.rsplit_once(' ')?;
    prefix.starts_with("extract-").then(|| chain.parse().ok())?
}

/// Whether it is worth asking what a lease holds: whether it has the form of a pull's lease.
///
/// A client that pulls makes a lease with an expiry and an id of up to nine digits, a dash and four letters.
/// Sandboxes have no expiry, image mounts and Docker's graph driver have other ids, `BuildKit` labels its own.
#[must_use]
pub fn wants(lease: &Lease) -> bool {
    let form = lease.id.split_once('-').is_some_and(|(digits, random)| {
        (1..=9).contains(&digits.len())
            && digits.bytes().all(|b| b.is_ascii_digit())
            && random.len() == 4
            && random
                .bytes()
                .all(|b| b.is_ascii_alphanumeric() || b == b'-' || b == b'_')
    });
    form && lease.labels.contains_key("containerd.io/gc.expire")
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
        Resource {
            kind: kind.into(),
            id: id.into(),
        }
    }

    #[test]
    fn the_digest_stands_at_the_end_of_a_reference() {
        let sha512 = format!("sha512:{}", "0".repeat(128));
        for (reference, kind) in [
            (format!("layer-{}", hex('a')), Kind::Layer),
            (
                format!("layer-registry.example/app:1@{}", hex('a')),
                Kind::Layer,
            ),
            (format!("index-{sha512}"), Kind::Index),
            (format!("attestation-{}", hex('b')), Kind::Other),
        ] {
            let (found, digest) = read_ingest(&reference).unwrap();
            assert_eq!(found, kind);
            assert!(reference.ends_with(digest.as_str()));
        }
        for other in [
            "layer-",
            "checkpoint-rw-1",
            "upload-1",
            "",
            "-",
            "layer-sha256:zz",
        ] {
            assert_eq!(read_ingest(other), None, "{other}");
        }
    }

    #[test]
    fn what_a_lease_holds_is_told_apart() {
        let holding = Holding::of(&[
            resource("content", &hex('a')),
            resource("content", "nonsense"),
            resource("ingests", &format!("layer-{}", hex('b'))),
            resource(
                "snapshots/overlayfs",
                &format!("extract-123-x1_z {}", hex('c')),
            ),
            resource("snapshots/overlayfs", &hex('d')),
            resource("images", "docker.io/library/x:1"),
        ]);
        assert_eq!((holding.content.len(), holding.ingests.len()), (1, 1));
        assert_eq!((holding.extracts.len(), holding.committed.len()), (1, 1));
        assert_eq!(
            (holding.snapshotter.as_deref(), holding.unreadable),
            (Some("overlayfs"), 1)
        );
        assert!(!holding.import && !holding.is_empty());
    }

    #[test]
    fn a_container_that_is_made_holds_no_chain() {
        let holding = Holding::of(&[resource("snapshots/overlayfs", "my-container")]);
        assert!(!holding.is_empty() && holding.extracts.is_empty() && holding.committed.is_empty());
    }

    #[test]
    fn ten_thousand_resources_are_bounded_and_counted() {
        let many: Vec<Resource> = (0..10_000)
            .map(|i| resource("content", &format!("sha256:{i:064x}")))
            .collect();
        let holding = Holding::of(&many);
        assert_eq!(
            (holding.content.len(), holding.unreadable),
            (MAX_RESOURCES, 1_808)
        );
    }

    #[test]
    fn only_the_leases_of_pulls_are_asked() {
        let lease = |id: &str, labels: &[&str]| Lease {
            id: id.into(),
            created_at: NodeTime::from_unix(0, 0),
            labels: labels
                .iter()
                .map(|label| ((*label).to_owned(), String::new()))
                .collect(),
            resources: None,
        };
        const EXPIRE: &str = "containerd.io/gc.expire";
        assert!(wants(&lease("123456789-a_-9", &[EXPIRE])));
        assert!(wants(&lease("7-abcd", &[EXPIRE])));
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
            assert!(!wants(&lease(id, labels)), "{id} {labels:?}");
        }
    }
}
