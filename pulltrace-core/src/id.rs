//! Names that were checked when they came in: nodes, namespaces, digests, pulls.
//!
//! Parse, don't validate: whoever holds a [`Digest`] holds a digest. Image names are in
//! [`image`](crate::image).

use std::fmt;
use std::str::FromStr;
use std::sync::Arc;

use crate::time::NodeTime;

/// The longest name of a node or a namespace, in bytes (a Kubernetes node name is a DNS subdomain).
pub const MAX_NAME: usize = 253;

/// The longest digest, in bytes: `sha512:` and 128 hex digits, with room for other algorithms.
pub const MAX_DIGEST: usize = 160;

/// A text that is not the name it should be.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("no {what}: `{text}` ({rule})")]
pub struct NameError {
    what: &'static str,
    rule: &'static str,
    /// At most 64 characters of it: the text may come from anywhere.
    text: String,
}

impl NameError {
    pub(crate) fn new(what: &'static str, rule: &'static str, text: &str) -> Self {
        Self {
            what,
            rule,
            text: text.chars().take(64).collect(),
        }
    }
}

macro_rules! name {
    ($(#[$doc:meta])* $name:ident, $what:literal, $rule:literal, $check:expr) => {
        $(#[$doc])*
        #[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
        pub struct $name(Arc<str>);

        impl $name {
            /// The name as text.
            #[must_use]
            pub fn as_str(&self) -> &str {
                &self.0
            }
        }

        impl FromStr for $name {
            type Err = NameError;

            fn from_str(text: &str) -> Result<Self, NameError> {
                let check: fn(&str) -> bool = $check;
                if check(text) {
                    Ok(Self(text.into()))
                } else {
                    Err(NameError::new($what, $rule, text))
                }
            }
        }

        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.pad(&self.0)
            }
        }

        impl fmt::Debug for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str(&self.0)
            }
        }
    };
}

name!(
    /// The name of a node, as Kubernetes has it.
    NodeName,
    "node name",
    "1 to 253 letters, digits, `-`, `_`, `.`",
    |t| plain(t)
);

name!(
    /// A containerd namespace: `k8s.io` for everything the kubelet pulls.
    Namespace,
    "containerd namespace",
    "1 to 253 letters, digits, `-`, `_`, `.`",
    |t| plain(t)
);

name!(
    /// The digest of a blob or of a chain of layers: `sha256:` and hex digits; other algorithms too.
    Digest,
    "digest",
    "an algorithm, `:`, and 32 to 128 lower-case hex digits; 64 for sha256",
    |t| digest(t)
);

name!(
    /// The id of a containerd lease.
    LeaseId,
    "lease id",
    "1 to 253 letters, digits, `-`, `_`, `.`",
    |t| plain(t)
);

name!(
    /// The uid of a pod; of a static one the kubelet's own, not that of its mirror.
    PodUid,
    "pod uid",
    "1 to 253 letters, digits, `-`, `_`, `.`",
    |t| plain(t)
);

name!(
    /// What of a pod pulls an image: a container's name, or `Image-` and a number for an image volume,
    /// of which the kubelet's events tell no more than the image.
    Slot,
    "container name",
    "1 to 253 letters, digits, `-`, `_`",
    |t| plain(t) && !t.contains('.')
);

name!(
    /// The name of a pod or of a namespace of Kubernetes.
    KubeName,
    "Kubernetes name",
    "1 to 253 letters, digits, `-`, `_`, `.`",
    |t| plain(t)
);

fn plain(text: &str) -> bool {
    (1..=MAX_NAME).contains(&text.len())
        && text
            .bytes()
            .all(|b| b.is_ascii_alphanumeric() || matches!(b, b'-' | b'_' | b'.'))
}

fn digest(text: &str) -> bool {
    let Some((algorithm, hex)) = text.split_once(':') else {
        return false;
    };
    let length = match algorithm {
        "sha256" => hex.len() == 64,
        "sha384" => hex.len() == 96,
        "sha512" => hex.len() == 128,
        _ => (32..=128).contains(&hex.len()),
    };
    length
        && text.len() <= MAX_DIGEST
        && !algorithm.is_empty()
        && algorithm.bytes().all(|b| {
            b.is_ascii_lowercase() || b.is_ascii_digit() || matches!(b, b'+' | b'.' | b'_' | b'-')
        })
        && hex
            .bytes()
            .all(|b| b.is_ascii_digit() || matches!(b, b'a'..=b'f'))
}

impl Digest {
    /// The hex digits behind the algorithm.
    #[must_use]
    pub fn hex(&self) -> &str {
        self.0.split_once(':').map_or("", |(_, hex)| hex)
    }

    /// The first twelve hex digits, as people know them from other tools.
    #[must_use]
    pub fn short(&self) -> &str {
        self.hex().get(..12).unwrap_or_else(|| self.hex())
    }
}

/// What tells one pull from every other, for ever: the same over restarts of whoever watches.
///
/// It says how the pull is known. Displays as a text that is safe in a path of a URL.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum PullId {
    /// A lease of the runtime holds what is being pulled.
    Lease {
        /// The node that pulls.
        node: NodeName,
        /// The containerd namespace of the lease.
        namespace: Namespace,
        /// The lease.
        lease: LeaseId,
        /// When the lease was made: ids of leases are random, and may come again.
        created: NodeTime,
    },
    /// Only the record of the finished image was seen: the pull was shorter than a poll.
    Record {
        /// The node that pulled.
        node: NodeName,
        /// The containerd namespace of the image.
        namespace: Namespace,
        /// The digest that the image's name points to.
        root: Digest,
        /// When the record was written.
        at: NodeTime,
    },
    /// An agent of version 0.1 told of a blob that is fetched, which is all that it tells.
    Ingest {
        /// The node that pulls.
        node: NodeName,
        /// The containerd namespace, which such an agent does not tell: always `k8s.io`.
        namespace: Namespace,
        /// The blob.
        digest: Digest,
        /// When it was first told of.
        since: NodeTime,
    },
    /// The kubelet announced it, and no lease of it was seen: it is queued, or failed before it began.
    Announced {
        /// The node whose kubelet it is.
        node: NodeName,
        /// The containerd namespace that kubelets pull into: always `k8s.io`.
        namespace: Namespace,
        /// The pod that wants the image; where several do, the one that was announced first.
        pod: PodUid,
        /// What of the pod wants it.
        slot: Slot,
        /// When it was announced, by the node's clock: another try is another pull.
        at: NodeTime,
    },
}

impl PullId {
    /// The node of the pull.
    #[must_use]
    pub fn node(&self) -> &NodeName {
        match self {
            Self::Lease { node, .. }
            | Self::Record { node, .. }
            | Self::Ingest { node, .. }
            | Self::Announced { node, .. } => node,
        }
    }

    /// The containerd namespace of the pull.
    #[must_use]
    pub fn namespace(&self) -> &Namespace {
        match self {
            Self::Lease { namespace, .. }
            | Self::Record { namespace, .. }
            | Self::Ingest { namespace, .. }
            | Self::Announced { namespace, .. } => namespace,
        }
    }

    /// The time that is part of the id: when the lease was made, the record written, the blob first
    /// told of, the pull announced.
    #[must_use]
    pub const fn at(&self) -> NodeTime {
        match self {
            Self::Lease { created: at, .. }
            | Self::Record { at, .. }
            | Self::Ingest { since: at, .. }
            | Self::Announced { at, .. } => *at,
        }
    }
}

impl fmt::Display for PullId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Lease {
                node,
                namespace,
                lease,
                created,
            } => {
                write!(
                    f,
                    "lease~{node}~{namespace}~{lease}~{}",
                    created.unix_nanos()
                )
            }
            Self::Record {
                node,
                namespace,
                root,
                at,
            } => {
                write!(f, "record~{node}~{namespace}~{root}~{}", at.unix_nanos())
            }
            Self::Ingest {
                node,
                namespace,
                digest,
                since,
            } => {
                write!(
                    f,
                    "ingest~{node}~{namespace}~{digest}~{}",
                    since.unix_nanos()
                )
            }
            Self::Announced {
                node,
                namespace,
                pod,
                slot,
                at,
            } => {
                write!(
                    f,
                    "announced~{node}~{namespace}~{pod}.{slot}~{}",
                    at.unix_nanos()
                )
            }
        }
    }
}

impl FromStr for PullId {
    type Err = NameError;

    fn from_str(text: &str) -> Result<Self, NameError> {
        let refuse = || {
            NameError::new(
                "pull id",
                "lease, record, ingest or announced, node, namespace, what it is known by, and a time, joined by `~`",
                text,
            )
        };
        let mut parts = text.split('~');
        let mut part = || parts.next().ok_or_else(refuse);
        let (kind, node, namespace, key, at) = (part()?, part()?, part()?, part()?, part()?);
        if parts.next().is_some() {
            return Err(refuse());
        }
        let (node, namespace) = (node.parse()?, namespace.parse()?);
        let nanos: i64 = at.parse().map_err(|_| refuse())?;
        // Only as it is written: two texts of one id would be two rows to whoever compares texts.
        if nanos.to_string() != at {
            return Err(refuse());
        }
        let at = NodeTime::from_unix_nanos(nanos).map_err(|_| refuse())?;
        Ok(match kind {
            "lease" => Self::Lease {
                node,
                namespace,
                lease: key.parse()?,
                created: at,
            },
            "record" => Self::Record {
                node,
                namespace,
                root: key.parse()?,
                at,
            },
            "ingest" => Self::Ingest {
                node,
                namespace,
                digest: key.parse()?,
                since: at,
            },
            "announced" => {
                // A slot has no dots; a uid may.
                let (pod, slot) = key.rsplit_once('.').ok_or_else(refuse)?;
                Self::Announced {
                    node,
                    namespace,
                    pod: pod.parse()?,
                    slot: slot.parse()?,
                    at,
                }
            }
            _ => return Err(refuse()),
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn digests_of_every_algorithm_in_use_are_read() {
        for good in [
            format!("sha256:{}", "a".repeat(64)),
            format!("sha512:{}", "0".repeat(128)),
            format!("blake3:{}", "f".repeat(64)),
        ] {
            assert_eq!(good.parse::<Digest>().unwrap().as_str(), good);
        }
    }

    #[test]
    fn what_is_no_digest_is_refused() {
        for bad in [
            String::new(),
            "sha256:".into(),
            format!("sha256:{}", "a".repeat(63)),
            format!("sha256:{}", "A".repeat(64)),
            format!("sha256:{}/../x", "a".repeat(59)),
            "a".repeat(64),
            format!("x:{}", "a".repeat(4096)),
        ] {
            assert!(bad.parse::<Digest>().is_err(), "{bad}");
        }
    }

    #[test]
    fn an_error_never_repeats_a_long_text() {
        let error = "x".repeat(10_000).parse::<NodeName>().unwrap_err();
        assert!(error.to_string().len() < 200);
    }

    #[test]
    fn an_id_is_safe_in_a_path() {
        let id = PullId::Lease {
            node: "worker-1.example".parse().unwrap(),
            namespace: "k8s.io".parse().unwrap(),
            lease: "123456-aB_-".parse().unwrap(),
            created: NodeTime::from_unix(1, 5),
        };
        assert_eq!(
            id.to_string(),
            "lease~worker-1.example~k8s.io~123456-aB_-~1000000005"
        );
    }

    #[test]
    fn an_id_survives_its_text() {
        let digest = format!("sha256:{}", "a".repeat(64));
        for text in [
            "lease~w-1.example~k8s.io~123-aB_-~1000000005".to_owned(),
            format!("record~w-1~k8s.io~{digest}~-5"),
            format!("ingest~w-1~k8s.io~{digest}~0"),
        ] {
            assert_eq!(text.parse::<PullId>().unwrap().to_string(), text);
        }
    }

    #[test]
    fn what_is_no_id_is_refused() {
        for bad in [
            "",
            "lease~w~k8s.io~1",
            "lease~w~k8s.io~1~2~3",
            "lease~w~k8s.io~1~+2",
            "lease~w~k8s.io~1~02",
            "lease~w~k8s.io~1~9999999999999999999999999999",
            "other~w~k8s.io~1~2",
            "record~w~k8s.io~no-digest~2",
            "lease~w/../x~k8s.io~1~2",
        ] {
            assert!(bad.parse::<PullId>().is_err(), "{bad}");
        }
    }
}
