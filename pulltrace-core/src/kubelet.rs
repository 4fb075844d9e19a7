//! Parses the kubelet's events about images from their reason and message.
//!
//! Supports the wording of kubelets 1.24 to 1.37. The container is not part of the message; it is
//! in the event's `fieldPath`.

use std::borrow::Cow;
use std::time::Duration;

use crate::failure::{Failure, FailureReason};
use crate::link::RequestedImage;
use crate::time::parse_go_duration;
use crate::unit::Bytes;

/// The content of a kubelet event about an image.
///
/// ```
/// use std::time::Duration;
/// use pulltrace_core::kubelet::{KubeletMessage, PullEventKind};
///
/// let message = KubeletMessage::parse(
///     "Pulled",
///     r#"Successfully pulled image "r.io/app" in 2.989s (7.434s including waiting). Image size: 6621048 bytes."#,
/// );
/// let KubeletMessage { image, kind } = message.expect("an event about an image");
/// assert_eq!(image.expect("the message names it").to_string(), "r.io/app:latest");
/// let PullEventKind::Pulled { took, took_including_waiting, .. } = kind else { panic!() };
/// assert_eq!(took, Some(Duration::from_millis(2_989)));
/// assert_eq!(took_including_waiting, Some(Duration::from_millis(7_434)));
/// ```
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct KubeletMessage {
    /// The image, if the message names it.
    pub image: Option<RequestedImage>,
    /// The kind of event, and the data of that kind.
    pub kind: PullEventKind,
}

/// The kind of a kubelet event about an image.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum PullEventKind {
    /// The pull was announced; it starts after those queued before it.
    Pulling,
    /// The pull succeeded.
    Pulled {
        /// The duration of the pull; not reported by kubelets before 1.26.
        took: Option<Duration>,
        /// The duration including the time in the kubelet's queue.
        took_including_waiting: Option<Duration>,
        /// The size of the image according to the runtime; not reported by kubelets before 1.30.
        size: Option<Bytes>,
    },
    /// The image was already present.
    AlreadyPresent,
    /// The pull failed or is not allowed, the image name is invalid, or the kubelet could not query
    /// the runtime for the image.
    Failed(Failure),
    /// A pull failed, and the kubelet backs off before the next attempt.
    BackOff,
}

impl KubeletMessage {
    /// Parses the `reason` and `message` of an event from the kubelet. Returns `None` if the event
    /// is not about an image: another event, or a container that failed to start.
    #[must_use]
    pub fn parse(reason: &str, message: &str) -> Option<Self> {
        match reason {
            "Pulling" => {
                let (image, _) = quoted_after(message, "Pulling image ")?;
                Some(Self::new(Some(&image), PullEventKind::Pulling))
            }
            "Pulled" => parse_pulled(message),
            "Failed" => parse_failed(message),
            "InspectFailed" => parse_inspect_failed(message),
            "ErrImageNeverPull" => {
                let (image, _) = quoted_after(message, "Container image ")?;
                Some(Self::failed(Some(&image), FailureReason::NeverPull, ""))
            }
            "BackOff" => {
                let (image, _) = quoted_after(message, "Back-off pulling image ")?;
                Some(Self::new(Some(&image), PullEventKind::BackOff))
            }
            _ => None,
        }
    }

    /// Returns the failure that the event reports. Back-off is not a separate failure.
    #[must_use]
    pub const fn failure(&self) -> Option<&Failure> {
        match &self.kind {
            PullEventKind::Failed(failure) => Some(failure),
            _ => None,
        }
    }

    fn new(image: Option<&str>, kind: PullEventKind) -> Self {
        Self { image: image.map(RequestedImage::from_text), kind }
    }

    fn failed(image: Option<&str>, reason: FailureReason, text: &str) -> Self {
        let failure = Failure { reason, message: Failure::from_text(text).message };
        Self::new(image, PullEventKind::Failed(failure))
    }
}

fn parse_pulled(message: &str) -> Option<KubeletMessage> {
    if let Some((image, rest)) = quoted_after(message, "Container image ") {
        let present = rest.starts_with(" already present on machine");
        return present.then(|| KubeletMessage::new(Some(&image), PullEventKind::AlreadyPresent));
    }
    let (image, rest) = quoted_after(message, "Successfully pulled image ")?;
    let (times, size) = match rest.split_once(". Image size: ") {
        Some((times, size)) => (times, size.strip_suffix(" bytes.")),
        None => (rest, None),
    };
    let times = times.strip_prefix(" in ").unwrap_or_default();
    let (took, with_waiting) = match times.split_once(" (") {
        Some((took, all)) => (parse_go_duration(took), all.strip_suffix(" including waiting)")),
        // Older kubelets report a single duration, which includes waiting.
        None => (None, Some(times)),
    };
    let kind = PullEventKind::Pulled {
        took,
        took_including_waiting: with_waiting.and_then(parse_go_duration),
        // The kubelet reports 0 if the runtime reported no size.
        size: size.and_then(|size| size.parse().ok()).filter(|size| *size > 0).map(Bytes),
    };
    Some(KubeletMessage::new(Some(&image), kind))
}

fn parse_failed(message: &str) -> Option<KubeletMessage> {
    if message.starts_with("Failed to pull image ") {
        return Some(parse_image_failure(message, "Failed to pull image "));
    }
    // Other `Failed` events are about containers that failed to start.
    let text = message.strip_prefix("Error: ")?;
    let (reason, text) = match text {
        "ImagePullBackOff" => return Some(KubeletMessage::new(None, PullEventKind::BackOff)),
        "ErrImageNeverPull" => (FailureReason::NeverPull, ""),
        "InvalidImageName" => (FailureReason::InvalidName, ""),
        "ErrImagePull"
        | "ImageInspectError"
        | "RegistryUnavailable"
        | "SignatureValidationFailed" => (FailureReason::classify(text), text),
        _ => return None,
    };
    Some(KubeletMessage::failed(None, reason, text))
}

fn parse_inspect_failed(message: &str) -> Option<KubeletMessage> {
    if let Some((image, rest)) = quoted_after(message, "Failed to apply default image tag ") {
        let text = rest.strip_prefix(": ").unwrap_or(rest);
        return Some(KubeletMessage::failed(Some(&image), FailureReason::InvalidName, text));
    }
    message
        .starts_with("Failed to inspect image ")
        .then(|| parse_image_failure(message, "Failed to inspect image "))
}

/// Parses `PREFIX"IMAGE": TEXT`. A message that is cut off within the name still reports a failure.
fn parse_image_failure(message: &str, prefix: &str) -> KubeletMessage {
    let (image, text) = match quoted_after(message, prefix) {
        Some((image, rest)) => (Some(image), rest.strip_prefix(": ").unwrap_or(rest)),
        None => (None, ""),
    };
    // Some versions leave the name empty here.
    let image = image.as_deref().filter(|image| !image.is_empty());
    KubeletMessage::failed(image, FailureReason::classify(text), text)
}

/// Returns the quoted name after the prefix, and the rest.
fn quoted_after<'a>(message: &'a str, prefix: &str) -> Option<(Cow<'a, str>, &'a str)> {
    parse_quoted(message.strip_prefix(prefix)?)
}

/// Parses a string quoted by Go's `%q`. Returns the string and the rest.
fn parse_quoted(text: &str) -> Option<(Cow<'_, str>, &str)> {
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
                'x' => parse_hex_escape(&mut chars, 2)?,
                'u' => parse_hex_escape(&mut chars, 4)?,
                'U' => parse_hex_escape(&mut chars, 8)?,
                other => other,
            }),
            other => found.push(other),
        }
    }
}

/// Parses a character of this many hex digits. A byte that is not a character by itself becomes
/// U+FFFD.
fn parse_hex_escape(chars: &mut std::str::Chars<'_>, digits: usize) -> Option<char> {
    let (number, rest) = chars.as_str().split_at_checked(digits)?;
    *chars = rest.chars();
    let number = u32::from_str_radix(number, 16).ok()?;
    let byte = digits == 2 && number >= 0x80;
    let known = char::from_u32(number).filter(|_| !byte);
    Some(known.unwrap_or(char::REPLACEMENT_CHARACTER))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn check_name(quoted: &str, expected: &str) {
        let (image, rest) = parse_quoted(quoted).unwrap();
        assert_eq!((&*image, rest), (expected, ""));
    }

    #[test]
    fn parses_go_quoted_names() {
        check_name(r#""nginx:1.27""#, "nginx:1.27");
        check_name(r#""a\"b\\c""#, "a\"b\\c");
        check_name(r#""a\tb\nc\x00d\u200be\U0001f600""#, "a\tb\nc\0d\u{200b}e\u{1f600}");
        check_name(r#""a\xffb""#, "a\u{fffd}b");
        check_name(r#""ünder""#, "ünder");
        check_name(r#""""#, "");
    }

    #[test]
    fn truncated_message_has_no_image() {
        for message in [
            "Pulling image ",
            "Pulling image \"",
            "Pulling image \"ngi",
            r#"Pulling image "a\"#,
            r#"Pulling image "a\u12"#,
        ] {
            assert_eq!(KubeletMessage::parse("Pulling", message), None, "{message}");
        }
        let cut = KubeletMessage::parse("Failed", "Failed to pull image \"ngi").unwrap();
        let failed = Failure { reason: FailureReason::Unexplained, message: None };
        assert_eq!((cut.image.as_ref(), cut.failure()), (None, Some(&failed)));
    }

    #[test]
    fn parses_pulled_message_of_every_version() {
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
            (r#"Successfully pulled image "app" in a while"#, None, None, None),
        ];
        for (message, took, took_including_waiting, size) in cases {
            let kind = PullEventKind::Pulled { took, took_including_waiting, size };
            let expected = KubeletMessage::new(Some("app"), kind);
            assert_eq!(KubeletMessage::parse("Pulled", message), Some(expected), "{message}");
        }
    }

    #[test]
    fn parses_already_present_message() {
        let expected = KubeletMessage::new(Some("app"), PullEventKind::AlreadyPresent);
        for tail in ["", " and can be accessed by the pod"] {
            let message = format!("Container image \"app\" already present on machine{tail}");
            assert_eq!(KubeletMessage::parse("Pulled", &message).as_ref(), Some(&expected));
        }
    }

    #[test]
    fn container_start_failure_is_unrelated() {
        for (reason, message) in [
            ("Failed", "Error: context deadline exceeded"),
            (
                "Failed",
                r#"Error: failed to create containerd task: failed to create shim task: OCI runtime create failed: runc create failed: unable to start container process: exec: "x": executable file not found in $PATH: unknown"#,
            ),
            ("Failed", r#"Error: secret "pull" not found"#),
            ("Failed", "error making pod data directories: no space left on device"),
            (
                "BackOff",
                "Back-off restarting failed container app in pod web_default(5d5f10c1-8143-49ba-83c7-638c901c5966)",
            ),
            ("Created", "Created container: app"),
            ("FailedScheduling", r#"Pulling image "app""#),
            ("", ""),
        ] {
            assert_eq!(KubeletMessage::parse(reason, message), None, "{message}");
        }
    }

    #[test]
    fn inspect_failure_reports_runtime_restart_without_image() {
        let message = r#"Failed to inspect image "": rpc error: code = Unavailable desc = connection error: desc = "transport: Error while dialing: dial unix /run/containerd/containerd.sock: connect: no such file or directory""#;
        let parsed = KubeletMessage::parse("InspectFailed", message).unwrap();
        let reason = parsed.failure().unwrap().reason;
        assert_eq!((parsed.image, reason), (None, FailureReason::RuntimeRestarted));
    }

    proptest::proptest! {
        #[test]
        fn parses_any_event(
            reason in "Pulling|Pulled|Failed|InspectFailed|BackOff|ErrImageNeverPull|.{0,8}",
            start in r#"Pulling image "|Successfully pulled image "x" in |Failed to pull image "|Failed to inspect image "|Container image "|"#,
            text in r#"(\\[xuUn"]|[0-9.]{0,3}(ms|s|h|µs)|["\\(]|.){0,40}"#,
        ) {
            let message = start + &text;
            drop(KubeletMessage::parse(&reason, &message));
        }
    }
}
