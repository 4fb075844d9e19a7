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
        let word = text.trim();
        let word = word.strip_prefix("error: ").unwrap_or(word);
        if let Some((_, reason)) = WORDS.iter().find(|(known, _)| *known == word) {
            return *reason;
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

/// The kubelet's own words for a state, which say no more where they stand alone.
const WORDS: &[(&str, R)] = &[
    ("", R::Unexplained),
    ("errimagepull", R::Unexplained),
    ("imagepullbackoff", R::Unexplained),
    ("imageinspecterror", R::Unexplained),
    ("errimageneverpull", R::NeverPull),
    ("invalidimagename", R::InvalidName),
    ("registryunavailable", R::RegistryError),
    ("signaturevalidationfailed", R::Signature),
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
        ],
    ),
    (R::NeverPull, &[" is not present with pull policy of never"]),
    (
        R::Signature,
        &[
            " signaturevalidationfailed: ",
            " because the signature validation failed",
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
    // A name server was asked, and then it did not matter any more.
    (R::Cancelled, &[" operation was canceled"]),
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
            "\": registryunavailable ",
            " because the registry is unavailable",
        ],
    ),
    (R::NotFound, &[": not found ", " code = notfound "]),
    (R::Cancelled, &[" context canceled"]),
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

#[cfg(test)]
mod tests {
    use super::*;

    fn texts() -> impl Iterator<Item = String> {
        let rows = include_str!("../../tests/failures.tsv").lines();
        let rows = rows.filter(|row| !row.starts_with('#'));
        rows.map(|row| spaced(&row.rsplit('\t').next().unwrap().replace("\\n", "\n")))
    }

    #[test]
    fn each_phrase_stands_in_a_real_text_and_in_no_name() {
        let texts: Vec<String> = texts().collect();
        let rules = FIRST.iter().chain(LAST).flat_map(|(_, phrases)| *phrases);
        for phrase in rules.chain(CALL_LOST) {
            assert!(texts.iter().any(|text| text.contains(phrase)), "`{phrase}`");
            assert_eq!(phrase.to_ascii_lowercase(), *phrase);
            assert!(phrase.contains(' '), "`{phrase}` may be a name");
        }
    }

    proptest::proptest! {
        #[test]
        fn any_text_has_a_reason(text in "(unexpected status|: |429|dial|[\\[\\],\\n \"]|.){0,60}") {
            proptest::prop_assert!(R::ALL.contains(&R::classify(&text)));
            proptest::prop_assert!(R::ALL.contains(&R::classify(&text.repeat(200))));
        }

        #[test]
        fn what_an_image_is_called_is_no_reason(name in "[a-z0-9./:@_-]{1,60}") {
            let text = format!("Failed to pull image \"{name}\": something new about {name} happened");
            proptest::prop_assert_eq!(R::classify(&text), R::Other);
        }
    }
}
