//! Derives the reason from error texts of the kubelet and the runtime, by an ordered list of
//! phrases from their sources.
//!
//! Each phrase contains a space or is surrounded by spaces, so that no image name or address can
//! contain it. `tests/failures.tsv` lists the texts that the phrases are taken from.

use super::reason::FailureReason as R;

/// The number of bytes of a text that are read and kept.
pub(super) const MAX_TEXT: usize = 8 << 10;

impl R {
    /// Classifies an error text: a runtime error, or the message of a kubelet event or container
    /// status.
    ///
    /// Returns [`Unexplained`](Self::Unexplained) if the text only states that the pull failed, and
    /// [`Other`](Self::Other) if no phrase matches. Only the first 8 KiB are read.
    ///
    /// ```
    /// use pulltrace_core::FailureReason;
    /// let text = r#"failed to pull and unpack image "registry.example/no-such-host:1": failed to resolve image:
    ///     unexpected status from HEAD request to https://registry.example/v2/no-such-host/manifests/1: 429 Too Many Requests"#;
    /// assert_eq!(FailureReason::classify(text), FailureReason::RateLimited);
    /// ```
    #[must_use]
    pub fn classify(text: &str) -> Self {
        let text = normalise(truncate(text));
        let contains = |phrase: &&str| text.contains(*phrase);
        let word = text.trim();
        let word = word.strip_prefix("error: ").unwrap_or(word);
        if let Some((_, reason)) = STATUS_REASONS.iter().find(|(known, _)| *known == word) {
            return *reason;
        }
        // The kubelet's call to the runtime failed. In an error reported by the runtime, the same
        // phrases are about another server.
        let by_runtime = text.contains("failed to pull and unpack image");
        if !by_runtime && CALL_LOST.iter().any(contains) {
            return Self::RuntimeRestarted;
        }
        first_match(RULES_BEFORE_STATUS, contains)
            .or_else(|| http_status(&text).map(from_status))
            .or_else(|| first_match(RULES_AFTER_STATUS, contains))
            .unwrap_or_else(|| {
                let only_back_off = text.starts_with(" back-off pulling image \"")
                    && text.trim_end().ends_with('"');
                if only_back_off { Self::Unexplained } else { Self::Other }
            })
    }
}

type Rules = &'static [(R, &'static [&'static str])];

/// The kubelet's state reasons, which give no details if they are the whole text.
const STATUS_REASONS: &[(&str, R)] = &[
    ("", R::Unexplained),
    ("errimagepull", R::Unexplained),
    ("imagepullbackoff", R::Unexplained),
    ("imageinspecterror", R::Unexplained),
    ("errimageneverpull", R::NeverPull),
    ("invalidimagename", R::InvalidName),
    ("registryunavailable", R::RegistryError),
    ("signaturevalidationfailed", R::Signature),
];

/// gRPC's texts for a lost server. The kubelet's only server is the runtime.
const CALL_LOST: &[&str] =
    &[" error reading from server: ", " transport is closing ", "dial unix "];

/// Phrases that are more specific than an HTTP status.
const RULES_BEFORE_STATUS: Rules = &[
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
    (R::NoSpace, &[" no space left on device", " disk quota exceeded"]),
    (R::NoMatchingPlatform, &[" no match for platform in manifest", " does not support platform "]),
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
    // Errors inside the runtime that are worded like those of a registry.
    (
        R::Other,
        &["dial unix ", " content digest sha256:", " parent snapshot ", " byte manifest for "],
    ),
    // Go's error for a DNS lookup that was aborted because its context was cancelled.
    (R::Cancelled, &[" operation was canceled"]),
];

/// Maps an HTTP status to a reason.
const fn from_status(status: u16) -> R {
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

/// Phrases for requests without a response, and phrases less specific than an HTTP status.
const RULES_AFTER_STATUS: Rules = &[
    (
        R::Proxy,
        &[
            " proxyconnect tcp: ",
            " socks connect ",
            // A proxy's response to CONNECT follows the address directly.
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
    (R::Tls, &[" x509: ", " tls: ", " http: server gave http response to https client"]),
    (
        R::ConnectionRefused,
        &[" connection refused", " no route to host", " network is unreachable"],
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
    (R::RegistryError, &["\": registryunavailable ", " because the registry is unavailable"]),
    (R::NotFound, &[": not found ", " code = notfound "]),
    (R::Cancelled, &[" context canceled"]),
];

fn first_match(rules: Rules, contains: impl Fn(&&str) -> bool) -> Option<R> {
    let mut rules = rules.iter();
    rules.find(|(_, phrases)| phrases.iter().any(&contains)).map(|(reason, _)| *reason)
}

/// Returns the HTTP status of the first unexpected response, as in `…unexpected status from HEAD
/// request to URL: 429 Too Many Requests`.
fn http_status(text: &str) -> Option<u16> {
    let markers = ["unexpected status", "unexpected head status code ", "failed with status code "];
    let from = markers.iter().filter_map(|marker| text.find(marker)).min()?;
    let mut parts = text.get(from..)?.split(": ").skip(1);
    parts.find_map(|part| match part.split_once(' ') {
        Some((number, _)) if number.len() == 3 => number.parse().ok(),
        _ => None,
    })
}

/// Converts to lower case and surrounds each error with spaces. Multiple errors are in brackets or
/// on separate lines.
fn normalise(text: &str) -> String {
    let small = |c: char| match c {
        '\n' | '[' | ']' | ',' => ' ',
        c => c.to_ascii_lowercase(),
    };
    format!(" {} ", text.chars().map(small).collect::<String>())
}

/// Returns the first bytes of a text, cut at a character boundary.
pub(super) fn truncate(text: &str) -> &str {
    let end = text.floor_char_boundary(MAX_TEXT);
    text.get(..end).unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn texts() -> impl Iterator<Item = String> {
        let rows = include_str!("../../tests/failures.tsv").lines();
        let rows = rows.filter(|row| !row.starts_with('#'));
        rows.map(|row| normalise(&row.rsplit('\t').next().unwrap().replace("\\n", "\n")))
    }

    #[test]
    fn phrases_match_real_texts_and_never_names() {
        let texts: Vec<String> = texts().collect();
        let rules =
            RULES_BEFORE_STATUS.iter().chain(RULES_AFTER_STATUS).flat_map(|(_, phrases)| *phrases);
        for phrase in rules.chain(CALL_LOST) {
            assert!(texts.iter().any(|text| text.contains(phrase)), "`{phrase}`");
            assert_eq!(phrase.to_ascii_lowercase(), *phrase);
            assert!(phrase.contains(' '), "`{phrase}` could be part of a name");
        }
    }

    proptest::proptest! {
        #[test]
        fn classify_accepts_any_text(text in "(unexpected status|: |429|dial|[\\[\\],\\n \"]|.){0,60}") {
            proptest::prop_assert!(R::ALL.contains(&R::classify(&text)));
            proptest::prop_assert!(R::ALL.contains(&R::classify(&text.repeat(200))));
        }

        #[test]
        fn image_name_never_decides_reason(name in "[a-z0-9./:@_-]{1,60}") {
            let text = format!("Failed to pull image \"{name}\": something new about {name} happened");
            proptest::prop_assert_eq!(R::classify(&text), R::Other);
        }
    }
}
