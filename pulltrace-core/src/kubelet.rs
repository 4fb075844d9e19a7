//! What the kubelet says of images in its events: from an event's reason and message.
//!
//! The wordings are those of the kubelets 1.24 to 1.37. Which of a pod's containers is meant stands
//! beside the message, in the event's `fieldPath`.

use std::borrow::Cow;
use std::time::Duration;

use crate::failure::{Failure, FailureReason};
use crate::unit::Bytes;

/// What one event says of an image. Names of images are as the pod has them, not normalised.
///
/// ```
/// use std::time::Duration;
/// use pulltrace_core::kubelet::Said;
/// let said = Said::of(
///     "Pulled",
///     r#"Successfully pulled image "nginx" in 2.989s (7.434s including waiting). Image size: 6621048 bytes."#,
/// );
/// let Said::Pulled { image, took, with_waiting, .. } = said else { panic!() };
/// assert_eq!(image, "nginx");
/// assert_eq!(took, Some(Duration::from_millis(2_989)));
/// assert_eq!(with_waiting, Some(Duration::from_millis(7_434)));
/// ```
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Said<'a> {
    /// It will pull: the pull may still have to wait for others.
    Pulling {
        /// The image.
        image: Cow<'a, str>,
    },
    /// It pulled, and the image is there.
    Pulled {
        /// The image.
        image: Cow<'a, str>,
        /// How long the pull took; not told by kubelets before 1.26.
        took: Option<Duration>,
        /// How long it took with the time in the kubelet's queue.
        with_waiting: Option<Duration>,
        /// How large the runtime says that the image is; not told by kubelets before 1.30.
        size: Option<Bytes>,
    },
    /// It had nothing to pull.
    AlreadyPresent {
        /// The image.
        image: Cow<'a, str>,
    },
    /// It could not pull, or could not ask the runtime for the image.
    Failed {
        /// The image, where this message has its name.
        image: Option<Cow<'a, str>>,
        /// What the text says.
        reason: FailureReason,
        /// The text behind the name of the image.
        text: &'a str,
    },
    /// A pull failed, and it waits before it tries again.
    BackOff {
        /// The image, where this message has its name.
        image: Option<Cow<'a, str>>,
    },
    /// The image is not there, and the pod forbids to pull it.
    NeverPull {
        /// The image, where this message has its name.
        image: Option<Cow<'a, str>>,
    },
    /// What the pod has for a name is none.
    InvalidName {
        /// What the pod has for a name, where this message has it.
        image: Option<Cow<'a, str>>,
        /// What is wrong with it, or an empty text.
        text: &'a str,
    },
    /// Nothing of an image: another event, or one of a container that does not start.
    Unrelated,
}

impl<'a> Said<'a> {
    /// From the `reason` and the `message` of an event that the kubelet reports.
    #[must_use]
    pub fn of(reason: &str, message: &'a str) -> Self {
        let said = match reason {
            "Pulling" => named(message, "Pulling image ").map(|(image, _)| Self::Pulling { image }),
            "Pulled" => pulled(message),
            "Failed" => failed(message),
            "InspectFailed" => inspect_failed(message),
            "ErrImageNeverPull" => named(message, "Container image ")
                .map(|(image, _)| Self::NeverPull { image: Some(image) }),
            "BackOff" => named(message, "Back-off pulling image ")
                .map(|(image, _)| Self::BackOff { image: Some(image) }),
            _ => None,
        };
        said.unwrap_or(Self::Unrelated)
    }

    /// The failure that it tells of; back-off is none of its own.
    #[must_use]
    pub fn failure(&self) -> Option<Failure> {
        let (reason, text) = match self {
            Self::Failed { reason, text, .. } => (*reason, *text),
            Self::NeverPull { .. } => (FailureReason::NeverPull, ""),
            Self::InvalidName { text, .. } => (FailureReason::InvalidName, *text),
            _ => return None,
        };
        Some(Failure {
            reason,
            message: Failure::from_text(text).message,
        })
    }
}

fn pulled(message: &str) -> Option<Said<'_>> {
    if let Some((image, rest)) = named(message, "Container image ") {
        let present = rest.starts_with(" already present on machine");
        return present.then_some(Said::AlreadyPresent { image });
    }
    let (image, rest) = named(message, "Successfully pulled image ")?;
    let (times, size) = match rest.split_once(". Image size: ") {
        Some((times, size)) => (times, size.strip_suffix(" bytes.")),
        None => (rest, None),
    };
    let times = times.strip_prefix(" in ").unwrap_or_default();
    let (took, with_waiting) = match times.split_once(" (") {
        Some((took, all)) => (duration(took), all.strip_suffix(" including waiting)")),
        // Before it told the two apart, its one number had the waiting in it.
        None => (None, Some(times)),
    };
    Some(Said::Pulled {
        image,
        took,
        with_waiting: with_waiting.and_then(duration),
        // It says 0 where the runtime did not tell it.
        size: size
            .and_then(|size| size.parse().ok())
            .filter(|size| *size > 0)
            .map(Bytes),
    })
}

fn failed(message: &str) -> Option<Said<'_>> {
    if message.starts_with("Failed to pull image ") {
        return Some(of_image(message, "Failed to pull image "));
    }
    // The rest are of containers that do not start.
    let text = message.strip_prefix("Error: ")?;
    Some(match text {
        "ImagePullBackOff" => Said::BackOff { image: None },
        "ErrImageNeverPull" => Said::NeverPull { image: None },
        "InvalidImageName" => Said::InvalidName {
            image: None,
            text: "",
        },
        "ErrImagePull"
        | "ImageInspectError"
        | "RegistryUnavailable"
        | "SignatureValidationFailed" => Said::Failed {
            image: None,
            reason: FailureReason::classify(text),
            text,
        },
        _ => return None,
    })
}

fn inspect_failed(message: &str) -> Option<Said<'_>> {
    if let Some((image, rest)) = named(message, "Failed to apply default image tag ") {
        return Some(Said::InvalidName {
            image: Some(image),
            text: rest.strip_prefix(": ").unwrap_or(rest),
        });
    }
    message
        .starts_with("Failed to inspect image ")
        .then(|| of_image(message, "Failed to inspect image "))
}

/// `PREFIX"IMAGE": TEXT`. A message that is cut within the name still says that it failed.
fn of_image<'a>(message: &'a str, prefix: &str) -> Said<'a> {
    let (image, text) = match named(message, prefix) {
        Some((image, rest)) => (Some(image), rest.strip_prefix(": ").unwrap_or(rest)),
        None => (None, ""),
    };
    Said::Failed {
        // Some versions name no image here.
        image: image.filter(|image| !image.is_empty()),
        reason: FailureReason::classify(text),
        text,
    }
}

/// The quoted name behind the prefix, and what follows it.
fn named<'a>(message: &'a str, prefix: &str) -> Option<(Cow<'a, str>, &'a str)> {
    unquoted(message.strip_prefix(prefix)?)
}

/// A text in quotes as Go's `%q` writes it, and what follows.
fn unquoted(text: &str) -> Option<(Cow<'_, str>, &str)> {
    let text = text.strip_prefix('"')?;
    let plain = text.find(['"', '\\'])?;
    let (head, tail) = text.split_at_checked(plain)?;
    if let Some(rest) = tail.strip_prefix('"') {
        return Some((Cow::Borrowed(head), rest));
    }
    let mut found = head.to_owned();
    let mut chars = tail.chars();
    loop {
        match chars.next()? {
            '"' => return Some((Cow::Owned(found), chars.as_str())),
            '\\' => found.push(match chars.next()? {
                'a' => '\u{7}',
                'b' => '\u{8}',
                'f' => '\u{c}',
                'n' => '\n',
                'r' => '\r',
                't' => '\t',
                'v' => '\u{b}',
                'x' => hex(&mut chars, 2)?,
                'u' => hex(&mut chars, 4)?,
                'U' => hex(&mut chars, 8)?,
                other => other,
            }),
            other => found.push(other),
        }
    }
}

/// The character of this many hex digits; a byte that is no text by itself is unknown.
fn hex(chars: &mut std::str::Chars<'_>, digits: usize) -> Option<char> {
    let (number, rest) = chars.as_str().split_at_checked(digits)?;
    *chars = rest.chars();
    let number = u32::from_str_radix(number, 16).ok()?;
    let byte = digits == 2 && number >= 0x80;
    let known = char::from_u32(number).filter(|_| !byte);
    Some(known.unwrap_or(char::REPLACEMENT_CHARACTER))
}

/// A duration as Go writes it: `412ms`, `7.434s`, `1m2.5s`, `1h0m0s`.
fn duration(text: &str) -> Option<Duration> {
    let mut rest = text;
    let mut whole = Duration::ZERO;
    while !rest.is_empty() {
        let number = rest
            .split(|c: char| !c.is_ascii_digit() && c != '.')
            .next()?;
        rest = rest.strip_prefix(number)?;
        let (nanos, length) = [
            ("ns", 1),
            ("µs", 1_000),
            ("ms", 1_000_000),
            ("s", 1_000_000_000),
            ("m", 60_000_000_000),
            ("h", 3_600_000_000_000),
        ]
        .into_iter()
        .find_map(|(unit, nanos): (&str, u64)| {
            rest.starts_with(unit).then_some((nanos, unit.len()))
        })?;
        rest = rest.get(length..)?;
        let (count, part) = number.split_once('.').unwrap_or((number, "0"));
        let whole_nanos = count.parse::<u64>().ok()?.checked_mul(nanos)?;
        let scale = 10_u64.checked_pow(u32::try_from(part.len()).ok()?)?;
        let part_nanos = part.parse::<u64>().ok()?.checked_mul(nanos)? / scale;
        let nanos = whole_nanos.checked_add(part_nanos)?;
        whole = whole.checked_add(Duration::from_nanos(nanos))?;
    }
    (!text.is_empty()).then_some(whole)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn took(text: &str, expected: Option<Duration>) {
        assert_eq!(duration(text), expected, "{text}");
    }

    #[test]
    fn durations_are_read_as_go_writes_them() {
        took("0s", Some(Duration::ZERO));
        took("412ms", Some(Duration::from_millis(412)));
        took("7.434s", Some(Duration::from_millis(7_434)));
        took("2.989123456s", Some(Duration::from_nanos(2_989_123_456)));
        took("1m2.5s", Some(Duration::from_millis(62_500)));
        took("1h0m0.001s", Some(Duration::from_millis(3_600_001)));
        took("1.5µs", Some(Duration::from_nanos(1_500)));
        took("1.000000001ms", Some(Duration::from_millis(1)));
        for bad in [
            "",
            "s",
            "1",
            "1.5",
            "-1s",
            "1d",
            "1..5s",
            ".s",
            "1s ",
            "99999999999999999999s",
            "9999999999h",
        ] {
            took(bad, None);
        }
    }

    #[track_caller]
    fn name(quoted: &str, expected: &str) {
        let message = format!("Pulling image {quoted}");
        let Said::Pulling { image } = Said::of("Pulling", &message) else {
            panic!("`{message}` names no image");
        };
        assert_eq!(image, expected);
    }

    #[test]
    fn names_are_read_as_go_quotes_them() {
        name(r#""nginx:1.27""#, "nginx:1.27");
        name(r#""a\"b\\c""#, "a\"b\\c");
        name(
            r#""a\tb\nc\x00d\u200be\U0001f600""#,
            "a\tb\nc\0d\u{200b}e\u{1f600}",
        );
        name(r#""a\xffb""#, "a\u{fffd}b");
        name(r#""ünder""#, "ünder");
        name(r#""""#, "");
    }

    #[test]
    fn a_message_that_is_cut_names_no_image() {
        for message in [
            "Pulling image ",
            "Pulling image \"",
            "Pulling image \"ngi",
            r#"Pulling image "a\"#,
            r#"Pulling image "a\u12"#,
        ] {
            assert_eq!(Said::of("Pulling", message), Said::Unrelated, "{message}");
        }
        let cut = Said::of("Failed", "Failed to pull image \"ngi");
        let failed = Failure {
            reason: FailureReason::Unexplained,
            message: None,
        };
        assert_eq!(cut.failure(), Some(failed));
    }

    #[test]
    fn each_version_says_in_its_own_words_that_it_pulled() {
        let millis = |millis| Some(Duration::from_millis(millis));
        let cases = [
            // 1.24
            (
                r#"Successfully pulled image "app" in 5.200123456s"#,
                None,
                Some(Duration::from_nanos(5_200_123_456)),
                None,
            ),
            // 1.26
            (
                r#"Successfully pulled image "app" in 1.5s (1m7.1s including waiting)"#,
                millis(1_500),
                millis(67_100),
                None,
            ),
            // 1.30
            (
                r#"Successfully pulled image "app" in 27ms (4.451s including waiting). Image size: 10817172 bytes."#,
                millis(27),
                millis(4_451),
                Some(Bytes(10_817_172)),
            ),
            (
                r#"Successfully pulled image "app" in 27ms (27ms including waiting). Image size: 0 bytes."#,
                millis(27),
                millis(27),
                None,
            ),
            (r#"Successfully pulled image "app""#, None, None, None),
            (
                r#"Successfully pulled image "app" in a while"#,
                None,
                None,
                None,
            ),
        ];
        for (message, took, with_waiting, size) in cases {
            let image = "app".into();
            let expected = Said::Pulled {
                image,
                took,
                with_waiting,
                size,
            };
            assert_eq!(Said::of("Pulled", message), expected, "{message}");
        }
    }

    #[test]
    fn what_was_there_was_not_pulled() {
        let expected = Said::AlreadyPresent {
            image: "app".into(),
        };
        for tail in ["", " and can be accessed by the pod"] {
            let message = format!("Container image \"app\" already present on machine{tail}");
            assert_eq!(Said::of("Pulled", &message), expected);
        }
    }

    #[test]
    fn a_container_that_does_not_start_is_no_matter_of_its_image() {
        for (reason, message) in [
            ("Failed", "Error: context deadline exceeded"),
            (
                "Failed",
                r#"Error: failed to create containerd task: failed to create shim task: OCI runtime create failed: runc create failed: unable to start container process: exec: "x": executable file not found in $PATH: unknown"#,
            ),
            ("Failed", r#"Error: secret "pull" not found"#),
            (
                "Failed",
                "error making pod data directories: no space left on device",
            ),
            (
                "BackOff",
                "Back-off restarting failed container app in pod web_default(5d5f10c1-8143-49ba-83c7-638c901c5966)",
            ),
            ("Created", "Created container: app"),
            ("FailedScheduling", r#"Pulling image "app""#),
            ("", ""),
        ] {
            assert_eq!(Said::of(reason, message), Said::Unrelated, "{message}");
        }
    }

    #[test]
    fn what_the_kubelet_cannot_ask_the_runtime_is_said_by_whom_it_names() {
        let message = r#"Failed to inspect image "": rpc error: code = Unavailable desc = connection error: desc = "transport: Error while dialing: dial unix /run/containerd/containerd.sock: connect: no such file or directory""#;
        let said = Said::of("InspectFailed", message);
        let Said::Failed { image, reason, .. } = &said else {
            panic!("{said:?}");
        };
        assert_eq!((image, *reason), (&None, FailureReason::RuntimeRestarted));
    }

    proptest::proptest! {
        #[test]
        fn any_event_is_read(
            reason in "Pulling|Pulled|Failed|InspectFailed|BackOff|ErrImageNeverPull|.{0,8}",
            start in r#"Pulling image "|Successfully pulled image "x" in |Failed to pull image "|Failed to inspect image "|Container image "|"#,
            text in r#"(\\[xuUn"]|[0-9.]{0,3}(ms|s|h|µs)|["\\(]|.){0,40}"#,
        ) {
            let message = start + &text;
            let said = Said::of(&reason, &message);
            drop(said.failure());
        }
    }
}
