//! Authorization of agents and readers, checked before a request is processed.

mod token;

use std::net::{IpAddr, SocketAddr};

pub use token::TokenError;
use token::TokenSet;

/// Access control for agents and readers.
///
/// Without a token, access is allowed only on loopback listeners. Anything else requires
/// [`insecure_open`](Self::insecure_open).
///
/// ```
/// use pulltrace_server_lib::Access;
/// let access = Access::new().agent_token("s3cret")?.reader_token("0ther")?;
/// access.check_listener("0.0.0.0:8080".parse()?)?;
/// assert!(Access::new().check_listener("0.0.0.0:8080".parse()?).is_err());
/// assert!(Access::new().check_listener("127.0.0.1:8080".parse()?).is_ok());
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Debug, Default)]
#[must_use]
pub struct Access {
    agent_tokens: Option<TokenSet>,
    reader_tokens: Option<TokenSet>,
    allowed_hosts: Vec<String>,
    insecure_open: bool,
}

/// A listener that would allow unauthenticated access from other machines. A retry does not help.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{who} need no token on {listener}, which other machines can reach")]
pub struct OpenListenerError {
    listener: SocketAddr,
    who: &'static str,
}

impl OpenListenerError {
    /// Returns advice for the user.
    #[must_use]
    pub fn help(&self) -> Option<&'static str> {
        Some(match self.who {
            "agents" => "Pass --agent-token-file, listen on 127.0.0.1, or pass --insecure-open.",
            _ => "Pass --reader-token-file, listen on 127.0.0.1, or pass --insecure-open.",
        })
    }
}

/// Reason to deny a request.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum AccessDenied {
    /// The token is missing or wrong.
    InvalidToken,
    /// No token is configured, and the listener is not a loopback address.
    NoTokenConfigured,
    /// The `Host` is not one of this server: possibly DNS rebinding by another site's page.
    ForeignHost,
}

impl Access {
    /// Allows access on loopback listeners only.
    pub fn new() -> Self {
        Self::default()
    }

    /// Requires this token from agents.
    ///
    /// # Errors
    /// Fails if the token contains characters that are invalid in a header.
    pub fn agent_token(mut self, token: &str) -> Result<Self, TokenError> {
        self.agent_tokens = Some(TokenSet::from_value(token)?);
        Ok(self)
    }

    /// Requires a token in this file from agents. The file has up to 16 lines, each a token, and is
    /// reloaded every 10 s.
    ///
    /// # Errors
    /// Fails if the file cannot be read or has no valid token.
    pub fn agent_token_file(
        mut self,
        path: impl Into<std::path::PathBuf>,
    ) -> Result<Self, TokenError> {
        self.agent_tokens = Some(TokenSet::from_file(path.into())?);
        Ok(self)
    }

    /// Requires this token from readers.
    ///
    /// # Errors
    /// Fails if the token contains characters that are invalid in a header.
    pub fn reader_token(mut self, token: &str) -> Result<Self, TokenError> {
        self.reader_tokens = Some(TokenSet::from_value(token)?);
        Ok(self)
    }

    /// Requires a token in this file from readers. The file has up to 16 lines, each a token, and
    /// is reloaded every 10 s.
    ///
    /// # Errors
    /// Fails if the file cannot be read or has no valid token.
    pub fn reader_token_file(
        mut self,
        path: impl Into<std::path::PathBuf>,
    ) -> Result<Self, TokenError> {
        self.reader_tokens = Some(TokenSet::from_file(path.into())?);
        Ok(self)
    }

    /// Allows unauthenticated access wherever no token is configured.
    pub fn insecure_open(mut self) -> Self {
        self.insecure_open = true;
        self
    }

    /// Host names, without ports, that requests may use in addition to `localhost` and loopback
    /// addresses. Default: none on loopback listeners, any on others.
    pub fn allowed_hosts(mut self, hosts: impl IntoIterator<Item = String>) -> Self {
        self.allowed_hosts = hosts.into_iter().collect();
        self
    }

    /// Checks whether this listener may be opened.
    ///
    /// # Errors
    /// Fails if other machines can reach it, a token is missing, and
    /// [`insecure_open`](Self::insecure_open) is not set.
    pub fn check_listener(&self, listener: SocketAddr) -> Result<(), OpenListenerError> {
        let open = |who| Err(OpenListenerError { listener, who });
        if self.insecure_open || listener.ip().to_canonical().is_loopback() {
            Ok(())
        } else if self.reader_tokens.is_none() {
            open("readers")
        } else if self.agent_tokens.is_none() {
            open("agents")
        } else {
            Ok(())
        }
    }

    /// Returns whether unauthenticated clients may read or report.
    #[must_use]
    pub fn is_open(&self) -> bool {
        self.insecure_open && (self.agent_tokens.is_none() || self.reader_tokens.is_none())
    }

    /// Reloads the token files; on error the current tokens are kept.
    pub(crate) fn reload(&self) -> Result<(), TokenError> {
        self.agent_tokens.iter().chain(&self.reader_tokens).try_for_each(TokenSet::reload)
    }

    /// Checks whether a client may report. `listener` is the listener that accepted the connection,
    /// if known.
    pub(crate) fn authorize_agent(
        &self,
        listener: Option<SocketAddr>,
        bearer: Option<&str>,
    ) -> Result<(), AccessDenied> {
        self.authorize(self.agent_tokens.as_ref(), listener, bearer)
    }

    pub(crate) fn authorize_reader(
        &self,
        listener: Option<SocketAddr>,
        bearer: Option<&str>,
    ) -> Result<(), AccessDenied> {
        self.authorize(self.reader_tokens.as_ref(), listener, bearer)
    }

    fn authorize(
        &self,
        token: Option<&TokenSet>,
        listener: Option<SocketAddr>,
        bearer: Option<&str>,
    ) -> Result<(), AccessDenied> {
        match token {
            Some(token) if bearer.is_some_and(|candidate| token.accepts(candidate)) => Ok(()),
            Some(_) => Err(AccessDenied::InvalidToken),
            None if self.insecure_open || is_loopback(listener) => Ok(()),
            None => Err(AccessDenied::NoTokenConfigured),
        }
    }

    /// Checks the `Host` of a request. This prevents DNS rebinding: a page whose own host name
    /// resolves to this machine still sends that name.
    pub(crate) fn check_host(
        &self,
        listener: Option<SocketAddr>,
        host: Option<&str>,
    ) -> Result<(), AccessDenied> {
        let name = host.map(without_port);
        let ours = |name: &str| {
            name.eq_ignore_ascii_case("localhost")
                || name.parse::<IpAddr>().is_ok_and(|ip| ip.is_loopback())
        };
        let named =
            |name: &str| self.allowed_hosts.iter().any(|host| host.eq_ignore_ascii_case(name));
        let any = self.allowed_hosts.is_empty() && !is_loopback(listener);
        if any || name.is_some_and(|name| ours(name) || named(name)) {
            Ok(())
        } else {
            Err(AccessDenied::ForeignHost)
        }
    }
}

fn is_loopback(listener: Option<SocketAddr>) -> bool {
    listener.is_some_and(|address| address.ip().to_canonical().is_loopback())
}

/// Strips the port: `[::1]:8080` to `::1`, `a.b:80` to `a.b`.
fn without_port(host: &str) -> &str {
    if let Some((inside, _)) = host.strip_prefix('[').and_then(|rest| rest.split_once(']')) {
        return inside;
    }
    host.rsplit_once(':').map_or(host, |(name, _)| name)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn addr(address: &str) -> Option<SocketAddr> {
        Some(address.parse().unwrap())
    }

    #[test]
    fn loopback_readers_need_no_token_unless_configured() {
        let access = Access::new();
        assert_eq!(access.authorize_reader(addr("127.0.0.1:80"), None), Ok(()));
        assert_eq!(access.authorize_reader(addr("[::ffff:127.0.0.1]:80"), None), Ok(()));
        assert_eq!(
            access.authorize_reader(addr("10.0.0.1:80"), None),
            Err(AccessDenied::NoTokenConfigured)
        );
        assert_eq!(access.authorize_reader(None, None), Err(AccessDenied::NoTokenConfigured));
        let access = Access::new().reader_token("t").unwrap();
        assert_eq!(access.authorize_reader(addr("10.0.0.1:80"), Some("t")), Ok(()));
        for listener in [addr("127.0.0.1:80"), addr("10.0.0.1:80"), None] {
            assert_eq!(access.authorize_reader(listener, None), Err(AccessDenied::InvalidToken));
            assert_eq!(
                access.authorize_reader(listener, Some("u")),
                Err(AccessDenied::InvalidToken)
            );
        }
    }

    #[test]
    fn reader_and_agent_tokens_are_separate() {
        let access = Access::new().reader_token("r").unwrap();
        let access = access.agent_token("a").unwrap();
        assert_eq!(access.authorize_agent(None, Some("r")), Err(AccessDenied::InvalidToken));
        assert_eq!(access.authorize_agent(None, Some("a")), Ok(()));
        assert_eq!(access.authorize_reader(None, Some("a")), Err(AccessDenied::InvalidToken));
    }

    #[test]
    fn public_listener_requires_tokens() {
        let everywhere = "[::]:8080".parse().unwrap();
        let error = Access::new().check_listener(everywhere).unwrap_err();
        assert_eq!(error, OpenListenerError { listener: everywhere, who: "readers" });
        let half = Access::new().reader_token("r").unwrap();
        assert_eq!(half.check_listener(everywhere).unwrap_err().who, "agents");
        assert_eq!(Access::new().insecure_open().check_listener(everywhere), Ok(()));
        assert_eq!(Access::new().check_listener("[::1]:80".parse().unwrap()), Ok(()));
    }

    #[test]
    fn check_host_rejects_foreign_hosts_on_loopback() {
        let access = Access::new();
        let here = addr("127.0.0.1:8080");
        for host in ["localhost:8080", "LOCALHOST", "127.0.0.1:8080", "[::1]:8080", "127.0.0.2"] {
            assert_eq!(access.check_host(here, Some(host)), Ok(()), "{host}");
        }
        for host in [Some("evil.example:8080"), Some("localhost.evil.example"), Some(""), None] {
            assert_eq!(access.check_host(here, host), Err(AccessDenied::ForeignHost), "{host:?}");
        }
        assert_eq!(access.check_host(addr("10.0.0.1:80"), Some("evil.example")), Ok(()));
        let named = Access::new().allowed_hosts(["pull.example".to_owned()]);
        assert_eq!(
            named.check_host(addr("10.0.0.1:80"), Some("evil.example")),
            Err(AccessDenied::ForeignHost)
        );
        assert_eq!(named.check_host(here, Some("Pull.Example:443")), Ok(()));
    }
}
