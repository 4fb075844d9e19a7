//! From what a kubelet or a runtime writes to the reason: phrases of their sources, in an order.
//!
//! Each phrase has a space, or stands between spaces, so that no name of an image and no address can
//! hold it. The texts that each phrase comes from are in `tests/failures.tsv`.

use super::{Failure, FailureReason as R};

impl R {
    /// What this text says: an error of a runtime, or the message of a kubelet's event or of a
    /// container's status.
    ///
    /// [`Unexplained`](Self::Unexplained) is what says only that it failed, [`Other`](Self::Other)
    /// what says something else. Only the first 8 KiB are read.
    ///
    /// ```
    /// use pulltrace_core::FailureReason;
    /// let text = r#"failed to pull and unpack image "registry.example/no-such-host:1": failed to resolve image:
    ///     unexpected status from HEAD request to https://registry.example/v2/no-such-host/manifests/1: 429 Too Many Requests"#;
    /// assert_eq!(FailureReason::classify(text), FailureReason::RateLimited);
    /// ```
    #[must_use]
    pub fn classify(text: &str) -> Self {
        let text = spaced(bounded(text));
        let says = |phrase: &&str| text.contains(*phrase);
        if VAGUE.contains(&text.trim()) {
            return Self::Unexplained;
        }
        // What happened to the call of the kubelet, rather than to one of the runtime.
        let by_runtime = text.contains("failed to pull and unpack image");
        if !by_runtime && CALL_LOST.iter().any(says) {
            return Self::RuntimeRestarted;
        }
        first(FIRST, says)
            .or_else(|| status(&text).map(by_status))
            .or_else(|| first(LAST, says))
            .unwrap_or_else(|| {
                let only_back_off = text.starts_with(" back-off pulling image \"")
                    && text.trim_end().ends_with('"');
                if only_back_off {
                    Self::Unexplained
                } else {
                    Self::Other
                }
            })
    }
}

type Rules = &'static [(R, &'static [&'static str])];

/// What says that it failed, and no more.
const VAGUE: &[&str] = &[
    "",
    "errimagepull",
    "error: errimagepull",
    "imagepullbackoff",
    "error: imagepullbackoff",
    "error: imageinspecterror",
];

/// gRPC's words for a server that is gone; the kubelet's only server is the runtime.
const CALL_LOST: &[&str] = &[
    " error reading from server: ",
    " transport is closing ",
    "dial unix ",
];

/// What says more than the status of an answer does.
const FIRST: Rules = &[
    (R::KubeletQps, &[" pull qps exceeded "]),
    (
        R::InvalidName,
        &[
            " couldn't parse image name",
            " couldn't parse image reference ",
            " failed to parse image reference ",
            " invalid reference format",
            " invalidimagename ",
        ],
    ),
    (
        R::NeverPull,
        &[
            " is not present with pull policy of never",
            " errimageneverpull ",
        ],
    ),
    (
        R::Signature,
        &[
            " signaturevalidationfailed",
            " the signature validation failed",
            " blocked pull of ",
            " blocking pull of ",
        ],
    ),
    (R::ProgressTimeout, &[" because of no progress in "]),
    (
        R::NoSpace,
        &[" no space left on device", " disk quota exceeded"],
    ),
    (
        R::NoMatchingPlatform,
        &[
            " no match for platform in manifest",
            " does not support platform ",
        ],
    ),
    (
        R::DigestMismatch,
        &[
            " unexpected commit digest ",
            " unexpected commit size ",
            " failed size validation: ",
            " unexpected digest: ",
            " wrong diff id ",
            " read past expected size ",
            " read exceeds expected size ",
        ],
    ),
    // Things of the runtime, for which it has the words of a registry.
    (
        R::Other,
        &[
            "dial unix ",
            " content digest sha256:",
            " parent snapshot ",
            " byte manifest for ",
        ],
    ),
    (R::RateLimited, &[" toomanyrequests: "]),
];

/// The meaning of an answer's status.
const fn by_status(status: u16) -> R {
    match status {
        401 | 403 => R::Unauthorized,
        404 | 410 => R::NotFound,
        407 => R::Proxy,
        408 => R::Timeout,
        429 => R::RateLimited,
        500..=599 => R::RegistryError,
        _ => R::Other,
    }
}

/// Where nothing answered, and what says less than a status.
const LAST: Rules = &[
    (
        R::Proxy,
        &[
            " proxyconnect tcp: ",
            " socks connect ",
            // What a proxy answers to CONNECT stands right behind the address.
            "\": proxy authentication required",
            "\": forbidden",
            "\": bad gateway",
            "\": service unavailable",
            "\": gateway timeout",
        ],
    ),
    (R::Dns, &[" dial tcp: lookup ", " no such host"]),
    (
        R::Timeout,
        &[
            " tls handshake timeout",
            " i/o timeout",
            " connection timed out",
            " context deadline exceeded",
            " timeout awaiting response headers",
            "(client.timeout ",
            " code = deadlineexceeded ",
        ],
    ),
    (
        R::Tls,
        &[
            " x509: ",
            " tls: ",
            " http: server gave http response to https client",
        ],
    ),
    (
        R::ConnectionRefused,
        &[
            " connection refused",
            " no route to host",
            " network is unreachable",
        ],
    ),
    (
        R::Unauthorized,
        &[
            " authorization failed",
            " pull access denied",
            " no basic auth credentials",
            " failed to authorize: ",
        ],
    ),
    (
        R::RegistryError,
        &[
            " unavailable: service unavailable",
            " registryunavailable",
            " the registry is unavailable",
        ],
    ),
    (
        R::NotFound,
        &[": not found ", " code = notfound ", " manifest unknown"],
    ),
    (
        R::Cancelled,
        &[
            " context canceled",
            " code = canceled ",
            " operation was canceled",
        ],
    ),
];

fn first(rules: Rules, says: impl Fn(&&str) -> bool) -> Option<R> {
    let mut rules = rules.iter();
    rules
        .find(|(_, phrases)| phrases.iter().any(&says))
        .map(|(reason, _)| *reason)
}

/// The status of the first answer that was not the wanted one: `…unexpected status from HEAD request
/// to URL: 429 Too Many Requests`.
fn status(text: &str) -> Option<u16> {
    let markers = [
        "unexpected status",
        "unexpected head status code ",
        "failed with status code ",
    ];
    let from = markers
        .iter()
        .filter_map(|marker| text.find(marker))
        .min()?;
    let mut parts = text.get(from..)?.split(": ").skip(1);
    parts.find_map(|part| match part.split_once(' ') {
        Some((number, _)) if number.len() == 3 => number.parse().ok(),
        _ => None,
    })
}

/// The text in small letters, with a space on both sides of each error in it: several stand in
/// brackets, or on a line each.
fn spaced(text: &str) -> String {
    let small = |c: char| match c {
        '\n' | '[' | ']' | ',' => ' ',
        c => c.to_ascii_lowercase(),
    };
    format!(" {} ", text.chars().map(small).collect::<String>())
}

/// The first bytes of a text, to a whole character.
pub(super) fn bounded(text: &str) -> &str {
    let end = text.floor_char_boundary(Failure::MAX_TEXT);
    text.get(..end).unwrap_or_default()
}
