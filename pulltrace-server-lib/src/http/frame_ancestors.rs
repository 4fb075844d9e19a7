//! Sites that may embed the page in a frame.

use std::fmt;
use std::str::FromStr;

use axum::http::HeaderValue;

/// Content security policy without the allowed embedders: the page loads only its own files.
const BASE_POLICY: &str = "default-src 'none'; script-src 'self'; style-src 'self'; font-src 'self'; \
    img-src 'self'; connect-src 'self'; manifest-src 'self'; base-uri 'none'; form-action 'none'; \
    require-trusted-types-for 'script'; trusted-types 'none'; frame-ancestors ";

/// Limited because every response carries the list.
const MAX_SITES: usize = 32;

/// Sites that may embed the page in a frame, such as a Grafana panel. Default: none.
///
/// Browsers enforce the list to prevent clickjacking; a site listed here could do it. Either
/// `none`, or a list of `self` and origins, separated by commas or spaces. The host of an origin
/// may start with `*.`:
///
/// ```
/// use pulltrace_server_lib::FrameAncestors;
/// let grafana: FrameAncestors = "self, https://grafana.example:3000".parse()?;
/// assert_eq!(grafana.to_string(), "'self' https://grafana.example:3000");
/// assert_eq!(FrameAncestors::default().to_string(), "'none'");
/// assert!("https://grafana.example/d/1".parse::<FrameAncestors>().is_err());
/// # Ok::<(), pulltrace_server_lib::FrameAncestorsError>(())
/// ```
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct FrameAncestors(Vec<String>);

/// An invalid list of frame ancestors. A retry does not help.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error(
    "{what}: expected `none`, or `self` and origins such as https://grafana.example:3000 or \
     https://*.example, separated by commas or spaces"
)]
pub struct FrameAncestorsError {
    what: String,
}

impl FromStr for FrameAncestors {
    type Err = FrameAncestorsError;

    fn from_str(text: &str) -> Result<Self, FrameAncestorsError> {
        let bad = |what: String| FrameAncestorsError { what };
        let words = text.split([',', ' ']).filter(|word| !word.is_empty());
        let words: Vec<&str> = words.take(MAX_SITES + 1).collect();
        match *words {
            [] => return Err(bad("empty list".to_owned())),
            ["none" | "'none'"] => return Ok(Self::default()),
            _ if words.len() > MAX_SITES => {
                return Err(bad(format!("more than {MAX_SITES} sites")));
            }
            _ => {}
        }
        let sites = words.into_iter().map(|word| match word {
            "self" | "'self'" => Ok("'self'".to_owned()),
            "none" | "'none'" => Err(bad("`none` combined with other sites".to_owned())),
            word if is_origin(word) => Ok(word.to_ascii_lowercase()),
            word => Err(bad(format!("invalid origin `{word}`"))),
        });
        Ok(Self(sites.collect::<Result<_, _>>()?))
    }
}

/// The source list as used in a content security policy.
impl fmt::Display for FrameAncestors {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.0.is_empty() {
            return f.write_str("'none'");
        }
        f.write_str(&self.0.join(" "))
    }
}

impl FrameAncestors {
    /// The complete content security policy.
    pub(super) fn content_security_policy(&self) -> HeaderValue {
        let text = format!("{BASE_POLICY}{self}");
        let nothing = HeaderValue::from_static("default-src 'none'; frame-ancestors 'none'");
        // Unreachable: origins consist of valid header characters.
        HeaderValue::from_str(&text).unwrap_or(nothing)
    }
}

/// Returns whether a word is a scheme, a host and optionally a port. Rejects paths, which policies
/// ignore, and anything that could start another directive.
fn is_origin(word: &str) -> bool {
    let Some((scheme, rest)) = word.split_once("://") else {
        return false;
    };
    if !scheme.eq_ignore_ascii_case("http") && !scheme.eq_ignore_ascii_case("https") {
        return false;
    }
    // Not the colons of an IPv6 address, which is in brackets.
    let (host, port) = match rest.rsplit_once(':') {
        Some((host, port)) if !port.ends_with(']') => (host, Some(port)),
        _ => (rest, None),
    };
    let is_port = |port: &str| {
        port.bytes().all(|byte| byte.is_ascii_digit())
            && port.parse().is_ok_and(|port: u16| port > 0)
    };
    is_host(host) && port.is_none_or(is_port)
}

fn is_host(host: &str) -> bool {
    if let Some(address) = host.strip_prefix('[').and_then(|rest| rest.strip_suffix(']')) {
        return address.parse::<std::net::Ipv6Addr>().is_ok();
    }
    let host = host.strip_prefix("*.").unwrap_or(host);
    let is_label = |label: &str| {
        let inner = |byte: u8| byte.is_ascii_alphanumeric() || byte == b'-' || byte == b'_';
        (1..=63).contains(&label.len()) && label.bytes().all(inner)
    };
    host.len() <= 253 && host.split('.').all(is_label)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn frame_ancestors_parses_supported_lists() {
        for (text, policy) in [
            ("none", "'none'"),
            ("'none'", "'none'"),
            ("self", "'self'"),
            ("'self' https://a.example", "'self' https://a.example"),
            ("https://a.example,http://b:3000", "https://a.example http://b:3000"),
            (" https://a.example ,  self ", "https://a.example 'self'"),
            ("HTTPS://A.example:443", "https://a.example:443"),
            ("https://*.example.com", "https://*.example.com"),
            (
                "http://127.0.0.1:3000 http://[::1]:3000 http://[::1]",
                "http://127.0.0.1:3000 http://[::1]:3000 http://[::1]",
            ),
        ] {
            let read: FrameAncestors = text.parse().unwrap();
            assert_eq!(read.to_string(), policy, "{text}");
            let header = read.content_security_policy();
            let header = header.to_str().unwrap();
            assert!(header.ends_with(&format!("; frame-ancestors {policy}")), "{header}");
        }
    }

    #[test]
    fn frame_ancestors_rejects_invalid_sites() {
        for text in [
            "",
            " , ",
            "*",
            "a.example",
            "https:",
            "https://",
            "https://*",
            "https://a.*",
            "https://a.example/",
            "https://a.example/grafana",
            "https://a.example?x",
            "https://me@a.example",
            "https://a.example:",
            "https://a.example:0",
            "https://a.example:+1",
            "https://a.example:65536",
            "https://a..example",
            "https://[::1",
            "https://[x]",
            "ftp://a.example",
            "data:",
            "'unsafe-inline'",
            "none self",
            "https://a.example 'none'",
            "https://a.example; script-src *",
            "https://a.example;script-src",
            "https://a.example\nx: y",
            "https://ä.example",
        ] {
            assert!(text.parse::<FrameAncestors>().is_err(), "{text}");
        }
        let many = "self ".repeat(MAX_SITES);
        assert!(many.parse::<FrameAncestors>().is_ok());
        assert!((many + "self").parse::<FrameAncestors>().is_err());
    }
}
