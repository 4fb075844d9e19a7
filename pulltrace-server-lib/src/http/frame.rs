//! Which sites may show the page within their own.

use std::fmt;
use std::str::FromStr;

use axum::http::HeaderValue;

/// What a page of this server may do, but for who may show it: load what is its own, and no more.
const POLICY: &str = "default-src 'none'; script-src 'self'; style-src 'self'; font-src 'self'; \
    img-src 'self'; connect-src 'self'; manifest-src 'self'; base-uri 'none'; form-action 'none'; \
    require-trusted-types-for 'script'; trusted-types 'none'; frame-ancestors ";

/// Each response carries them all.
const MOST: usize = 32;

/// Which sites may show the page within a page of theirs, such as a panel of Grafana. Default: none.
///
/// A browser asks for it so that no site can make a person click on what they do not see. Whoever is named
/// here can. `none` stands alone; else it is a list, by commas or spaces, of `self` and of origins, whose
/// host may begin with `*.`:
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

/// A list that names no sites. A retry does not help.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error(
    "{what}; accepted are `none`, or `self` and origins like https://grafana.example:3000 or \
     https://*.example, by commas or spaces"
)]
pub struct FrameAncestorsError {
    what: String,
}

impl FromStr for FrameAncestors {
    type Err = FrameAncestorsError;

    fn from_str(text: &str) -> Result<Self, FrameAncestorsError> {
        let bad = |what: String| FrameAncestorsError { what };
        let words = text.split([',', ' ']).filter(|word| !word.is_empty());
        let words: Vec<&str> = words.take(MOST + 1).collect();
        match *words {
            [] => return Err(bad("it names nobody".to_owned())),
            ["none" | "'none'"] => return Ok(Self::default()),
            _ if words.len() > MOST => return Err(bad(format!("it names more than {MOST} sites"))),
            _ => {}
        }
        let sites = words.into_iter().map(|word| match word {
            "self" | "'self'" => Ok("'self'".to_owned()),
            "none" | "'none'" => Err(bad("`none` stands beside others".to_owned())),
            word if is_origin(word) => Ok(word.to_ascii_lowercase()),
            word => Err(bad(format!("`{word}` is no origin"))),
        });
        Ok(Self(sites.collect::<Result<_, _>>()?))
    }
}

/// As a policy has it.
impl fmt::Display for FrameAncestors {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.0.is_empty() {
            return f.write_str("'none'");
        }
        f.write_str(&self.0.join(" "))
    }
}

impl FrameAncestors {
    /// The whole policy, as a header.
    pub(super) fn policy(&self) -> HeaderValue {
        let text = format!("{POLICY}{self}");
        let nothing = HeaderValue::from_static("default-src 'none'; frame-ancestors 'none'");
        // Never: an origin is made of what a header may hold.
        HeaderValue::from_str(&text).unwrap_or(nothing)
    }
}

/// Whether this is a scheme, a host and perhaps a port, and nothing else: not a path, which a policy cannot
/// tell apart, and not what would begin another rule of it.
fn is_origin(word: &str) -> bool {
    let Some((scheme, rest)) = word.split_once("://") else {
        return false;
    };
    if !scheme.eq_ignore_ascii_case("http") && !scheme.eq_ignore_ascii_case("https") {
        return false;
    }
    // Not within an address of IPv6, which is in brackets.
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
    if let Some(address) = host
        .strip_prefix('[')
        .and_then(|rest| rest.strip_suffix(']'))
    {
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
    fn sites_are_read_however_they_are_listed() {
        for (text, policy) in [
            ("none", "'none'"),
            ("'none'", "'none'"),
            ("self", "'self'"),
            ("'self' https://a.example", "'self' https://a.example"),
            (
                "https://a.example,http://b:3000",
                "https://a.example http://b:3000",
            ),
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
            let header = read.policy();
            let header = header.to_str().unwrap();
            assert!(
                header.ends_with(&format!("; frame-ancestors {policy}")),
                "{header}"
            );
        }
    }

    #[test]
    fn what_names_no_site_is_refused_with_what_is_accepted() {
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
            let error = text.parse::<FrameAncestors>().unwrap_err().to_string();
            assert!(error.contains("accepted are `none`"), "{text}: {error}");
        }
        let many = "self ".repeat(MOST);
        assert!(many.parse::<FrameAncestors>().is_ok());
        assert!((many + "self").parse::<FrameAncestors>().is_err());
    }
}
