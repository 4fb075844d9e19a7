//! Image references, normalised the way containerd's CRI plugin does it before a pull.
//!
//! The grammar is that of the distribution project's reference package. As in CRI, the tag is
//! dropped if there is also a digest.

use std::fmt;
use std::str::FromStr;

use crate::id::{Digest, NameError};

/// The maximum length of a repository name (host and path) in bytes: the distribution project's
/// limit.
pub const MAX_REPOSITORY: usize = 255;

const DEFAULT_DOMAIN: &str = "docker.io";
const WHAT: &str = "image reference";

/// A complete image reference: host, path, and a tag or digest.
///
/// ```
/// use pulltrace_core::ImageRef;
/// let nginx: ImageRef = "nginx".parse()?;
/// assert_eq!(nginx.to_string(), "docker.io/library/nginx:latest");
/// assert_eq!(nginx.repository().to_string(), "docker.io/library/nginx");
/// # Ok::<(), pulltrace_core::NameError>(())
/// ```
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct ImageRef {
    domain: String,
    path: String,
    tag_or_digest: TagOrDigest,
}

/// The part of a reference that selects an image within its repository.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum TagOrDigest {
    /// A tag, which may later select another image.
    Tag(String),
    /// A digest, which identifies the exact content.
    Digest(Digest),
}

/// The host and path of an image, without tag or digest: `registry.example/team/app`.
///
/// The host has no port, because containerd does not store one.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Repository {
    host: String,
    path: String,
}

impl ImageRef {
    /// Returns the registry's host and its port, if any: `localhost:5000`, `docker.io`.
    #[must_use]
    pub fn domain(&self) -> &str {
        &self.domain
    }

    /// Returns the path within the registry: `library/nginx`.
    #[must_use]
    pub fn path(&self) -> &str {
        &self.path
    }

    /// Returns the tag or digest.
    #[must_use]
    pub const fn tag_or_digest(&self) -> &TagOrDigest {
        &self.tag_or_digest
    }

    /// Returns the host without its port, and the path, as in the label that containerd stores.
    ///
    /// ```
    /// use pulltrace_core::{ImageRef, Repository};
    /// let image: ImageRef = "localhost:5000/team/app:1".parse()?;
    /// // containerd.io/distribution.source.localhost=team/app
    /// assert_eq!(image.repository(), Repository::new("localhost", "team/app")?);
    /// # Ok::<(), pulltrace_core::NameError>(())
    /// ```
    #[must_use]
    pub fn repository(&self) -> Repository {
        Repository { host: host_without_port(&self.domain).to_owned(), path: self.path.clone() }
    }
}

impl Repository {
    /// Creates a repository from a registry host and a path, as in containerd's label
    /// `containerd.io/distribution.source.<host>`.
    ///
    /// # Errors
    /// If the repository is too long, or its host or path does not match the grammar of references.
    pub fn new(host: &str, path: &str) -> Result<Self, NameError> {
        let invalid = |rule| NameError::new("image repository", rule, &format!("{host}/{path}"));
        if host.len() + 1 + path.len() > MAX_REPOSITORY {
            return Err(invalid("at most 255 bytes"));
        }
        let bare_v6 = host.matches(':').count() > 1 && is_ipv6(host);
        if !bare_v6 && !is_registry(host) {
            return Err(invalid("a valid host name"));
        }
        if !is_path(path) {
            return Err(invalid("a path of lower-case letters, digits, `.`, `_`, `-` and `/`"));
        }
        Ok(Self { host: host_without_port(host).to_owned(), path: path.to_owned() })
    }

    /// Returns the registry's host, without a port and without the brackets of an IPv6 address.
    #[must_use]
    pub fn host(&self) -> &str {
        &self.host
    }

    /// Returns the path within the registry.
    #[must_use]
    pub fn path(&self) -> &str {
        &self.path
    }
}

impl FromStr for ImageRef {
    type Err = NameError;

    fn from_str(text: &str) -> Result<Self, NameError> {
        let invalid = |rule| Err(NameError::new(WHAT, rule, text));
        // The maximum lengths of a name, a tag with its `:`, and a digest.
        if text.len() > MAX_REPOSITORY + 129 + crate::id::MAX_DIGEST {
            return invalid("a shorter reference");
        }
        let (rest, digest) = match text.split_once('@') {
            Some((rest, digest)) => match digest.parse::<Digest>() {
                Ok(digest) => (rest, Some(digest)),
                Err(_) => return invalid("a digest after the `@`"),
            },
            None => (text, None),
        };
        if is_hex_id(text) {
            return invalid("a repository name, not an image id (64 hex digits)");
        }
        let (name, tag) = match rest.rsplit_once(':') {
            // A colon before a slash separates a port, not a tag.
            Some((name, tag)) if !tag.contains('/') => (name, Some(tag)),
            _ => (rest, None),
        };
        if tag.is_some_and(|tag| !is_tag(tag)) {
            return invalid("a tag of up to 128 letters, digits, `_`, `.`, `-`");
        }
        let (domain, path) = split_domain(name);
        if domain.len() + 1 + path.len() > MAX_REPOSITORY {
            return invalid("a name of at most 255 bytes");
        }
        if !is_registry(&domain) {
            return invalid("a valid registry host name");
        }
        if !is_path(&path) {
            return invalid("a path of lower-case letters, digits, `.`, `_`, `-` and `/`");
        }
        let tag_or_digest = match (digest, tag) {
            (Some(digest), _) => TagOrDigest::Digest(digest),
            (None, tag) => TagOrDigest::Tag(tag.unwrap_or("latest").to_owned()),
        };
        Ok(Self { domain, path, tag_or_digest })
    }
}

impl fmt::Display for ImageRef {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.tag_or_digest {
            TagOrDigest::Tag(tag) => write!(f, "{}/{}:{tag}", self.domain, self.path),
            TagOrDigest::Digest(digest) => write!(f, "{}/{}@{digest}", self.domain, self.path),
        }
    }
}

impl fmt::Display for Repository {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}/{}", self.host, self.path)
    }
}

/// Splits off the registry: the first component if it looks like a host, else the default.
fn split_domain(name: &str) -> (String, String) {
    let (domain, path) = match name.split_once('/') {
        Some((first, rest))
            if first == "localhost"
                || first.contains(['.', ':'])
                || first.bytes().any(|b| b.is_ascii_uppercase()) =>
        {
            (if first == "index.docker.io" { DEFAULT_DOMAIN } else { first }, rest)
        }
        _ => (DEFAULT_DOMAIN, name),
    };
    let path = if domain == DEFAULT_DOMAIN && !path.contains('/') {
        format!("library/{path}")
    } else {
        path.to_owned()
    };
    (domain.to_owned(), path)
}

/// Removes the port and IPv6 brackets: `[::1]:5000` becomes `::1`, as containerd stores it.
fn host_without_port(domain: &str) -> &str {
    if let Some((host, _)) = domain.strip_prefix('[').and_then(|d| d.split_once(']')) {
        return host;
    }
    match domain.split_once(':') {
        Some((host, port)) if !port.contains(':') => host,
        _ => domain,
    }
}

/// Reports whether the text can be a registry: a host name, or a path component such as
/// `my_registry.example`, which containerd treats as a host although the grammar does not.
fn is_registry(text: &str) -> bool {
    is_domain(text) || is_component(text)
}

fn is_domain(text: &str) -> bool {
    let (host, port) = match text.rsplit_once(':') {
        Some((host, port)) if !port.contains(']') => (host, Some(port)),
        _ => (text, None),
    };
    if port.is_some_and(|p| p.is_empty() || !p.bytes().all(|b| b.is_ascii_digit())) {
        return false;
    }
    if let Some(v6) = host.strip_prefix('[').and_then(|h| h.strip_suffix(']')) {
        return is_ipv6(v6);
    }
    !host.is_empty()
        && host.split('.').all(|part| {
            !part.is_empty()
                && !part.starts_with('-')
                && !part.ends_with('-')
                && part.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'-')
        })
}

fn is_ipv6(text: &str) -> bool {
    !text.is_empty() && text.bytes().all(|b| b.is_ascii_hexdigit() || b == b':')
}

fn is_path(text: &str) -> bool {
    text.split('/').all(is_component)
}

/// Lower-case letters and digits, separated by one `.`, one or two `_`, or any number of `-`.
fn is_component(text: &str) -> bool {
    let word = |b: u8| b.is_ascii_lowercase() || b.is_ascii_digit();
    let bytes = text.as_bytes();
    let (Some(first), Some(last)) = (bytes.first(), bytes.last()) else {
        return false;
    };
    word(*first)
        && word(*last)
        && bytes.split(|b| word(*b)).all(|separator| {
            matches!(separator, b"" | b"." | b"_" | b"__") || separator.iter().all(|b| *b == b'-')
        })
}

fn is_tag(text: &str) -> bool {
    let word = |b: u8| b.is_ascii_alphanumeric() || b == b'_';
    text.len() <= 128
        && text.bytes().next().is_some_and(word)
        && text.bytes().all(|b| word(b) || b == b'.' || b == b'-')
}

fn is_hex_id(text: &str) -> bool {
    text.len() == 64 && text.bytes().all(|b| b.is_ascii_digit() || matches!(b, b'a'..=b'f'))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn check(text: &str, normal: &str) {
        assert_eq!(text.parse::<ImageRef>().map(|r| r.to_string()), Ok(normal.to_owned()));
        // Normalisation is idempotent.
        assert_eq!(normal.parse::<ImageRef>().map(|r| r.to_string()), Ok(normal.to_owned()));
    }

    #[test]
    fn references_normalise_like_containerd() {
        check("nginx", "docker.io/library/nginx:latest");
        check("nginx:1.27", "docker.io/library/nginx:1.27");
        check("library/nginx", "docker.io/library/nginx:latest");
        check("docker.io/nginx", "docker.io/library/nginx:latest");
        check("index.docker.io/library/nginx", "docker.io/library/nginx:latest");
        check("grafana/loki:3", "docker.io/grafana/loki:3");
        check("localhost/app", "localhost/app:latest");
        check("localhost:5000/app:1", "localhost:5000/app:1");
        check("registry.k8s.io/pause:3.9", "registry.k8s.io/pause:3.9");
        check("quay.io:443/a/b-c/d__e.f:v1.0-rc_1", "quay.io:443/a/b-c/d__e.f:v1.0-rc_1");
        check("[::1]:5000/app", "[::1]:5000/app:latest");
        check("Upper/app", "Upper/app:latest");
        check("localhost:5000", "docker.io/library/localhost:5000");
        check("a.b", "docker.io/library/a.b:latest");
        check("127.0.0.1/x", "127.0.0.1/x:latest");
        check("Docker.io/a", "Docker.io/a:latest");
        check("my_registry.example/a", "my_registry.example/a:latest");
        let id = "0123456789abcdef".repeat(4);
        check(&format!("{id}:1"), &format!("docker.io/library/{id}:1"));
        check(&format!("r.io/{id}"), &format!("r.io/{id}:latest"));
    }

    #[test]
    fn digest_takes_precedence_over_tag() {
        let digest = format!("sha256:{}", "0".repeat(64));
        check(&format!("repo:tag@{digest}"), &format!("docker.io/library/repo@{digest}"));
        check(&format!("r.io/repo@{digest}"), &format!("r.io/repo@{digest}"));
        let id = "0123456789abcdef".repeat(4);
        check(&format!("{id}@{digest}"), &format!("docker.io/library/{id}@{digest}"));
    }

    #[test]
    fn rejects_references_that_containerd_rejects() {
        for bad in [
            "",
            ":tag",
            "@sha256:0",
            "nginx@sha256:0",
            "NGINX",
            "a//b",
            "a/",
            "-a",
            "a_-b",
            "a___b",
            "a..b",
            "nginx:",
            "nginx:-x",
            "re po",
            "r.io/",
            "r..io/a",
            "r.io:x/a",
            "nginx\n",
            " nginx",
            "nginx:latest:latest",
            "https://registry.example/app",
            "my_registry:5000/a",
            "::1/x",
            "localhost/B",
            "r.io/a:b/c",
            "r.io/ünder",
            "${IMAGE}",
            &"a".repeat(256),
            &"0123456789abcdef".repeat(4),
            &format!("nginx:{}", "t".repeat(129)),
        ] {
            assert!(bad.parse::<ImageRef>().is_err(), "accepted `{bad}`");
        }
    }

    #[test]
    fn repository_omits_port() {
        let with = "localhost:5000/x:1".parse::<ImageRef>().unwrap().repository();
        assert_eq!(with.to_string(), "localhost/x");
        assert_eq!(Repository::new("localhost", "x").unwrap(), with);
        let v6 = "[::1]:5000/x".parse::<ImageRef>().unwrap().repository();
        assert_eq!(v6.host(), "::1");
        assert_eq!(Repository::new("::1", "x").unwrap(), v6);
        assert_eq!(Repository::new("[::1]:5000", "x").unwrap(), v6);
        let hub = "nginx:1.27".parse::<ImageRef>().unwrap().repository();
        assert_eq!(Repository::new("docker.io", "library/nginx").unwrap(), hub);
    }

    proptest::proptest! {
        #[test]
        fn parsed_reference_round_trips(text in "[a-zA-Z0-9./:@_-]{0,80}") {
            if let Ok(reference) = text.parse::<ImageRef>() {
                let again = reference.to_string().parse::<ImageRef>();
                proptest::prop_assert_eq!(again, Ok(reference));
            }
        }

        #[test]
        fn parser_does_not_panic(text in ".{0,300}") {
            drop(text.parse::<ImageRef>());
        }
    }
}
