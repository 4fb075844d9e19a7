//! Validated names: nodes, namespaces, digests and pull ids.
//!
//! Names are checked when they are parsed, so a [`Digest`] always holds a valid digest. Image
//! references are in [`reference`](crate::reference).

use std::fmt;
use std::str::FromStr;
use std::sync::Arc;

use crate::time::NodeTime;

/// The maximum length of a node or namespace name in bytes (a node name is a DNS subdomain).
pub const MAX_NAME: usize = 253;

/// The maximum length of a digest in bytes: `sha512:` and 128 hex digits, with room for other
/// algorithms.
pub const MAX_DIGEST: usize = 160;

/// An invalid name, digest, id or image reference. A retry does not help.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("invalid {what} `{text}`: expected {rule}")]
pub struct NameError {
    what: &'static str,
    rule: &'static str,
    /// Truncated to 64 characters, as the input is untrusted.
    text: String,
}

impl NameError {
    pub(crate) fn new(what: &'static str, rule: &'static str, text: &str) -> Self {
        Self { what, rule, text: text.chars().take(64).collect() }
    }
}

macro_rules! name {
    ($(#[$doc:meta])* $name:ident, $what:literal, $rule:literal, $check:expr) => {
        $(#[$doc])*
        #[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
        pub struct $name(Arc<str>);

        impl $name {
            /// Returns the name as text.
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
    /// The name of a Kubernetes node.
    NodeName,
    "node name",
    "1 to 253 letters, digits, `-`, `_`, `.`",
    |t| is_plain_name(t)
);

name!(
    /// A containerd namespace: `k8s.io` for everything the kubelet pulls.
    Namespace,
    "containerd namespace",
    "1 to 253 letters, digits, `-`, `_`, `.`",
    |t| is_plain_name(t)
);

name!(
    /// The digest of a blob or layer chain: `sha256:` and hex digits, or another algorithm.
    Digest,
    "digest",
    "an algorithm, `:` and 32 to 128 lower-case hex digits (64 for sha256)",
    |t| is_digest(t)
);

name!(
    /// The id of a containerd lease.
    LeaseId,
    "lease id",
    "1 to 253 letters, digits, `-`, `_`, `.`",
    |t| is_plain_name(t)
);

name!(
    /// The UID of a pod. For a static pod it is the kubelet's UID, not that of the mirror pod.
    PodUid,
    "pod UID",
    "1 to 253 letters, digits, `-`, `_`, `.`",
    |t| is_plain_name(t)
);

name!(
    /// The container or volume of a pod that needs an image: a container name, or `Image-` and a
    /// number for an image volume, as kubelet events about volumes report only the image.
    ImageConsumer,
    "container name",
    "1 to 253 letters, digits, `-`, `_`",
    |t| is_plain_name(t) && !t.contains('.')
);

name!(
    /// The name of a Kubernetes pod or namespace.
    KubeName,
    "Kubernetes name",
    "1 to 253 letters, digits, `-`, `_`, `.`",
    |t| is_plain_name(t)
);

fn is_plain_name(text: &str) -> bool {
    (1..=MAX_NAME).contains(&text.len())
        && text.bytes().all(|b| b.is_ascii_alphanumeric() || matches!(b, b'-' | b'_' | b'.'))
}

fn is_digest(text: &str) -> bool {
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
        && hex.bytes().all(|b| b.is_ascii_digit() || matches!(b, b'a'..=b'f'))
}

impl Digest {
    /// Returns the hex digits after the algorithm.
    #[must_use]
    pub fn hex(&self) -> &str {
        self.0.split_once(':').map_or("", |(_, hex)| hex)
    }

    /// Returns the first twelve hex digits, the usual short form.
    #[must_use]
    pub fn short(&self) -> &str {
        self.hex().get(..12).unwrap_or_else(|| self.hex())
    }
}

/// The unique id of a pull, stable across restarts of agent and server.
///
/// The variant records how the pull was detected. The text form is safe in a URL path.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum PullId {
    /// The pull is held by a containerd lease.
    Lease {
        /// The node of the pull.
        node: NodeName,
        /// The containerd namespace of the lease.
        namespace: Namespace,
        /// The lease.
        lease: LeaseId,
        /// When the lease was created: lease ids are random and may repeat.
        created: NodeTime,
    },
    /// Only the record of the finished image was seen, as the pull was shorter than a poll
    /// interval.
    Record {
        /// The node of the pull.
        node: NodeName,
        /// The containerd namespace of the image.
        namespace: Namespace,
        /// The digest that the image name points to.
        root: Digest,
        /// When the record was written.
        at: NodeTime,
    },
    /// An agent of version 0.1 reported a blob download, which is all that it reports.
    Ingest {
        /// The node of the pull.
        node: NodeName,
        /// The containerd namespace: always `k8s.io`, as such an agent reports none.
        namespace: Namespace,
        /// The blob.
        digest: Digest,
        /// When it was first reported.
        since: NodeTime,
    },
    /// The kubelet announced the pull, but no lease was seen: it is queued, or failed before it
    /// started.
    Announced {
        /// The node of the kubelet.
        node: NodeName,
        /// The containerd namespace of the kubelet's pulls: always `k8s.io`.
        namespace: Namespace,
        /// The pod that needs the image; if several do, the first one that was announced.
        pod: PodUid,
        /// The container or volume of the pod that needs it.
        consumer: ImageConsumer,
        /// When it was announced, by the node's clock: each attempt is a separate pull.
        at: NodeTime,
    },
}

impl PullId {
    /// Returns the node of the pull.
    #[must_use]
    pub fn node(&self) -> &NodeName {
        match self {
            Self::Lease { node, .. }
            | Self::Record { node, .. }
            | Self::Ingest { node, .. }
            | Self::Announced { node, .. } => node,
        }
    }

    /// Returns the containerd namespace of the pull.
    #[must_use]
    pub fn namespace(&self) -> &Namespace {
        match self {
            Self::Lease { namespace, .. }
            | Self::Record { namespace, .. }
            | Self::Ingest { namespace, .. }
            | Self::Announced { namespace, .. } => namespace,
        }
    }

    /// Returns the time that is part of the id: when the lease was created, the record was written,
    /// the blob was first reported, or the pull was announced.
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
            Self::Lease { node, namespace, lease, created } => {
                write!(f, "lease~{node}~{namespace}~{lease}~{}", created.unix_nanos())
            }
            Self::Record { node, namespace, root, at } => {
                write!(f, "record~{node}~{namespace}~{root}~{}", at.unix_nanos())
            }
            Self::Ingest { node, namespace, digest, since } => {
                write!(f, "ingest~{node}~{namespace}~{digest}~{}", since.unix_nanos())
            }
            Self::Announced { node, namespace, pod, consumer: slot, at } => {
                write!(f, "announced~{node}~{namespace}~{pod}.{slot}~{}", at.unix_nanos())
            }
        }
    }
}

impl FromStr for PullId {
    type Err = NameError;

    fn from_str(text: &str) -> Result<Self, NameError> {
        let invalid = || {
            NameError::new(
                "pull id",
                "`KIND~NODE~NAMESPACE~KEY~TIME`; the kinds are lease, record, ingest and announced",
                text,
            )
        };
        let mut parts = text.split('~');
        let mut part = || parts.next().ok_or_else(invalid);
        let (kind, node, namespace, key, at) = (part()?, part()?, part()?, part()?, part()?);
        if parts.next().is_some() {
            return Err(invalid());
        }
        let (node, namespace) = (node.parse()?, namespace.parse()?);
        let nanos: i64 = at.parse().map_err(|_| invalid())?;
        // Accept only the canonical form: clients that compare ids as text would see two pulls
        // otherwise.
        if nanos.to_string() != at {
            return Err(invalid());
        }
        let at = NodeTime::from_unix_nanos(nanos).map_err(|_| invalid())?;
        Ok(match kind {
            "lease" => Self::Lease { node, namespace, lease: key.parse()?, created: at },
            "record" => Self::Record { node, namespace, root: key.parse()?, at },
            "ingest" => Self::Ingest { node, namespace, digest: key.parse()?, since: at },
            "announced" => {
                // Consumer names contain no dots; UIDs may.
                let (pod, slot) = key.rsplit_once('.').ok_or_else(invalid)?;
                Self::Announced { node, namespace, pod: pod.parse()?, consumer: slot.parse()?, at }
            }
            _ => return Err(invalid()),
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn digest_parses_common_algorithms() {
        for good in [
            format!("sha256:{}", "a".repeat(64)),
            format!("sha512:{}", "0".repeat(128)),
            format!("blake3:{}", "f".repeat(64)),
        ] {
            assert_eq!(good.parse::<Digest>().unwrap().as_str(), good);
        }
    }

    #[test]
    fn digest_rejects_malformed_text() {
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
    fn error_truncates_long_text() {
        let error = "x".repeat(10_000).parse::<NodeName>().unwrap_err();
        assert!(error.to_string().len() < 200);
    }

    #[test]
    fn pull_id_is_url_path_safe() {
        let id = PullId::Lease {
            node: "worker-1.example".parse().unwrap(),
            namespace: "k8s.io".parse().unwrap(),
            lease: "123456-aB_-".parse().unwrap(),
            created: NodeTime::from_unix(1, 5),
        };
        assert_eq!(id.to_string(), "lease~worker-1.example~k8s.io~123456-aB_-~1000000005");
    }

    #[test]
    fn pull_id_round_trips() {
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
    fn pull_id_rejects_malformed_text() {
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
