//! Why a pull ended without its image: one word of a closed set, what was said, and what to do.
//!
//! What the runtime's state shows is said by the source of a pull; the rest is told from a text, by
//! [`FailureReason::classify`].

mod classify;

use std::fmt;

/// Why a pull failed: one word of a closed set, and what was said.
///
/// ```
/// use pulltrace_core::{Failure, FailureReason};
/// let seen = Failure { reason: FailureReason::Unexplained, message: None };
/// let told = Failure::from_text(r#"failed to resolve image: registry.example/app:1: not found"#);
/// let back_off = Failure::from_text("Error: ImagePullBackOff");
/// let kept = seen.refine(told).refine(back_off);
/// assert_eq!(kept.reason, FailureReason::NotFound);
/// ```
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Failure {
    /// The word.
    pub reason: FailureReason,
    /// What is known beyond the word, for people.
    pub message: Option<String>,
}

/// The reasons. Their words are the wire's and the metrics' labels.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
#[non_exhaustive]
pub enum FailureReason {
    /// The registry has no such tag, digest or layer, or says so to whom it does not know.
    NotFound,
    /// The registry wants other credentials, or gives these no access: 401, 403.
    Unauthorized,
    /// The registry limits how often may be pulled: 429.
    RateLimited,
    /// The kubelet begins pulls less often than the pods of its node want them. No registry was asked.
    KubeletQps,
    /// The registry has a fault of its own: 5xx.
    RegistryError,
    /// The name of a registry has no address, or no name server told it.
    Dns,
    /// There is no connection to the registry: its port is closed, or no way leads there.
    ConnectionRefused,
    /// The registry, or what stands before it, did not answer in time.
    Timeout,
    /// Node and registry do not agree on a safe connection: a certificate, or plain HTTP against HTTPS.
    Tls,
    /// The proxy of the node does not let the pull through.
    Proxy,
    /// The disk of the node is full, or a quota of it.
    NoSpace,
    /// The image is not made for the platform of the node.
    NoMatchingPlatform,
    /// What came is not what the manifest says: other bytes, or fewer, or more.
    DigestMismatch,
    /// The image is not signed as the node wants it, or whoever judges images there refused it.
    Signature,
    /// The name of the image is none.
    InvalidName,
    /// The image is not on the node, and the pod forbids to pull it.
    NeverPull,
    /// No byte came for as long as the runtime waits for one.
    ProgressTimeout,
    /// The runtime was started anew, or went away, while it pulled.
    RuntimeRestarted,
    /// Somebody called it off: its caller, or the runtime itself.
    Cancelled,
    /// The pull is over, the image is not there, and nobody says why.
    Unexplained,
    /// Something was said, and it is none of these reasons; or a newer version told one that this
    /// version does not know.
    Other,
}

impl FailureReason {
    /// Every reason.
    pub const ALL: [Self; 21] = [
        Self::NotFound,
        Self::Unauthorized,
        Self::RateLimited,
        Self::KubeletQps,
        Self::RegistryError,
        Self::Dns,
        Self::ConnectionRefused,
        Self::Timeout,
        Self::Tls,
        Self::Proxy,
        Self::NoSpace,
        Self::NoMatchingPlatform,
        Self::DigestMismatch,
        Self::Signature,
        Self::InvalidName,
        Self::NeverPull,
        Self::ProgressTimeout,
        Self::RuntimeRestarted,
        Self::Cancelled,
        Self::Unexplained,
        Self::Other,
    ];

    /// The word: `unexplained`.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::NotFound => "not_found",
            Self::Unauthorized => "unauthorized",
            Self::RateLimited => "rate_limited",
            Self::KubeletQps => "kubelet_qps",
            Self::RegistryError => "registry_error",
            Self::Dns => "dns",
            Self::ConnectionRefused => "connection_refused",
            Self::Timeout => "timeout",
            Self::Tls => "tls",
            Self::Proxy => "proxy",
            Self::NoSpace => "no_space",
            Self::NoMatchingPlatform => "no_matching_platform",
            Self::DigestMismatch => "digest_mismatch",
            Self::Signature => "signature",
            Self::InvalidName => "invalid_name",
            Self::NeverPull => "never_pull",
            Self::ProgressTimeout => "progress_timeout",
            Self::RuntimeRestarted => "runtime_restarted",
            Self::Cancelled => "cancelled",
            Self::Unexplained => "unexplained",
            Self::Other => "other",
        }
    }

    /// The reason of this word; [`Other`](Self::Other) where there is none.
    #[must_use]
    pub fn of(word: &str) -> Self {
        Self::ALL
            .into_iter()
            .find(|reason| reason.as_str() == word)
            .unwrap_or(Self::Other)
    }

    /// What a person does next, in one line; `None` where only the text can tell.
    #[must_use]
    pub const fn hint(self) -> Option<&'static str> {
        Some(match self {
            Self::NotFound => {
                "the registry has no such tag or digest: check the name; a private registry may also say so where it should say 401"
            }
            Self::Unauthorized => {
                "check the pod's imagePullSecrets and what they may read; Docker Hub also says so where there is no such repository"
            }
            Self::RateLimited => {
                "the registry limits how often may be pulled: pull with an account, through a mirror, or later"
            }
            Self::KubeletQps => {
                "the kubelet itself holds pulls back, no registry was asked: it tries again; raise registryPullQPS and registryBurst if that is too slow"
            }
            Self::RegistryError => {
                "the registry has a fault of its own: look at its state or its logs; the kubelet tries again"
            }
            Self::Dns => {
                "the node cannot find the registry's address: check the host in the image's name, and the name servers of the node, not those of pods"
            }
            Self::ConnectionRefused => {
                "nothing takes the connection there: check that the registry or mirror runs, its port, and firewalls between it and the node"
            }
            Self::Timeout => {
                "no answer in time: check the network between node and registry, and how busy both are"
            }
            Self::Tls => {
                "check the registry's certificate, the CAs and the clock of the node, and whether the registry speaks HTTPS at all"
            }
            Self::Proxy => {
                "check HTTPS_PROXY and NO_PROXY of the runtime on the node, and what the proxy lets through"
            }
            Self::NoSpace => {
                "the node has no space left where the runtime stores images: free some, or give it a larger disk"
            }
            Self::NoMatchingPlatform => {
                "the image is not made for the node's platform: build it for that too, or choose other nodes by kubernetes.io/arch"
            }
            Self::DigestMismatch => {
                "what came is not what the manifest says: a mirror, a proxy or the registry serves broken data; pull past it, or push the image again"
            }
            Self::Signature => {
                "the node's policy on signatures refused the image: sign it, or look at the policy"
            }
            Self::InvalidName => {
                "correct the image's name in the pod: lower-case letters, at most one tag, no space, no https://"
            }
            Self::NeverPull => {
                "the image must be on the node, as imagePullPolicy is Never: load it there, or let it be pulled"
            }
            Self::ProgressTimeout => {
                "no byte came for as long as the runtime waits (containerd: image_pull_progress_timeout): check the network, or raise it"
            }
            Self::RuntimeRestarted => {
                "the runtime went away while it pulled: the kubelet tries again; its logs on the node say why it did"
            }
            Self::Cancelled => {
                "the runtime broke the pull off: containerd does so where no byte came for its image_pull_progress_timeout, or its caller gave up"
            }
            Self::Unexplained => {
                "nobody said why: the pod's events or the logs of the runtime on the node may"
            }
            Self::Other => return None,
        })
    }

    /// Whether it names a cause, which no later word may take away.
    #[must_use]
    pub const fn is_specific(self) -> bool {
        self.weight() == 3
    }

    /// How much it says: nothing, that there is a text, that it was broken off, the cause.
    const fn weight(self) -> u8 {
        match self {
            Self::Unexplained => 0,
            Self::Other => 1,
            // Of several layers one may fail, and the others be cancelled for it.
            Self::Cancelled => 2,
            _ => 3,
        }
    }
}

impl Failure {
    /// What this text says, and the text: at most its first [`MAX_TEXT`](Self::MAX_TEXT) bytes of it.
    #[must_use]
    pub fn from_text(text: &str) -> Self {
        let text = classify::bounded(text);
        Self {
            reason: FailureReason::classify(text),
            message: (!text.is_empty()).then(|| text.to_owned()),
        }
    }

    /// How many bytes of a text are read and kept.
    pub const MAX_TEXT: usize = 8 << 10;

    /// What is known of one attempt after it was told of again: the first cause that was named
    /// stays, and a text is taken where there was none for the same reason.
    #[must_use]
    pub fn refine(self, later: Self) -> Self {
        if later.reason.weight() > self.reason.weight() {
            return later;
        }
        let message = self
            .message
            .or_else(|| later.message.filter(|_| later.reason == self.reason));
        Self { message, ..self }
    }
}

impl fmt::Display for FailureReason {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.as_str())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use FailureReason as R;

    fn failure(reason: R, message: Option<&str>) -> Failure {
        Failure {
            reason,
            message: message.map(str::to_owned),
        }
    }

    #[test]
    fn each_word_is_read_back() {
        for (index, reason) in R::ALL.into_iter().enumerate() {
            assert_eq!(R::of(reason.as_str()), reason);
            let again = R::ALL.iter().position(|other| *other == reason);
            assert_eq!(again, Some(index), "{reason} is there twice");
        }
        assert_eq!(R::of("from_the_future"), R::Other);
    }

    #[test]
    fn a_hint_is_one_line_without_a_dot() {
        for reason in R::ALL {
            let Some(hint) = reason.hint() else {
                assert_eq!(reason, R::Other);
                continue;
            };
            assert!(hint.len() <= 160 && !hint.contains('\n'), "{reason}");
            assert!(!hint.ends_with('.'), "{reason}");
        }
    }

    #[test]
    fn back_off_does_not_take_the_cause_away() {
        let told = failure(R::NotFound, Some("app:1: not found"));
        for vague in [R::Unexplained, R::Other, R::Cancelled, R::NotFound, R::Tls] {
            let later = failure(vague, Some("later"));
            assert_eq!(told.clone().refine(later), told, "{vague}");
        }
    }

    #[test]
    fn what_the_runtime_does_not_say_the_kubelet_says() {
        let seen = failure(R::Unexplained, None);
        let cut = Failure::from_text("failed to copy: unexpected EOF");
        let broken_off = Failure::from_text("context canceled");
        let told = Failure::from_text("app:1: not found");
        let mut now = seen;
        for later in [cut, broken_off, told] {
            now = now.refine(later.clone());
            assert_eq!(now, later);
        }
    }

    #[test]
    fn a_reason_seen_gets_the_text_that_says_the_same() {
        let seen = failure(R::RuntimeRestarted, None);
        let told = Failure::from_text(
            "rpc error: code = Unavailable desc = error reading from server: EOF",
        );
        assert_eq!(seen.refine(told.clone()), told);
    }

    #[test]
    fn a_text_without_end_is_cut() {
        let told = Failure::from_text(&"ä".repeat(9000));
        assert_eq!(told.message.unwrap().len(), Failure::MAX_TEXT);
        assert_eq!(Failure::from_text("").message, None);
    }
}
