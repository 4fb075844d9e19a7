//! Who may report, and who may read: decided before a request is looked at.

mod token;

use std::net::{IpAddr, SocketAddr};

use token::Token;
pub use token::TokenError;

/// Who may report and who may read.
///
/// Without a token a door is open only on a listener that this machine alone can reach. Anything
/// else must be asked for by [`insecure_open`](Self::insecure_open).
///
/// ```
/// use pulltrace_server_lib::Access;
/// let access = Access::new().agent_token("s3cret")?.reader_token("0ther")?;
/// access.check("0.0.0.0:8080".parse()?)?;
/// assert!(Access::new().check("0.0.0.0:8080".parse()?).is_err());
/// assert!(Access::new().check("127.0.0.1:8080".parse()?).is_ok());
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Debug, Default)]
#[must_use]
pub struct Access {
    agents: Option<Token>,
    readers: Option<Token>,
    hosts: Vec<String>,
    insecure_open: bool,
}

/// A listener that would be open to anybody who reaches it. A retry does not help.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error(
    "{who} would need no token on {listener}, which other machines can reach: {token}, listen on 127.0.0.1 instead, or allow it with --insecure-open"
)]
pub struct OpenListener {
    listener: SocketAddr,
    who: &'static str,
    token: &'static str,
}

/// Why a request goes no further.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Denied {
    /// No token, or a wrong one.
    Token,
    /// There is no token to bring, and this listener is not one of this machine alone.
    Closed,
    /// The `Host` of the request is not this server's: a page of another site may have been led here.
    Host,
}

impl Access {
    /// Agents and readers of this machine only.
    pub fn new() -> Self {
        Self::default()
    }

    /// Agents must bring this token.
    ///
    /// # Errors
    /// Where no header can carry it.
    pub fn agent_token(mut self, token: &str) -> Result<Self, TokenError> {
        self.agents = Some(Token::value(token)?);
        Ok(self)
    }

    /// Agents must bring a token of this file, which is read again each 10 s: up to 16 lines, each
    /// a token.
    ///
    /// # Errors
    /// Where the file cannot be read or holds no token.
    pub fn agent_token_file(
        mut self,
        path: impl Into<std::path::PathBuf>,
    ) -> Result<Self, TokenError> {
        self.agents = Some(Token::file(path.into())?);
        Ok(self)
    }

    /// Readers must bring this token.
    ///
    /// # Errors
    /// Where no header can carry it.
    pub fn reader_token(mut self, token: &str) -> Result<Self, TokenError> {
        self.readers = Some(Token::value(token)?);
        Ok(self)
    }

    /// Readers must bring a token of this file, which is read again each 10 s: up to 16 lines, each
    /// a token.
    ///
    /// # Errors
    /// Where the file cannot be read or holds no token.
    pub fn reader_token_file(
        mut self,
        path: impl Into<std::path::PathBuf>,
    ) -> Result<Self, TokenError> {
        self.readers = Some(Token::file(path.into())?);
        Ok(self)
    }

    /// Whoever reaches the server may do what no token is asked for.
    pub fn insecure_open(mut self) -> Self {
        self.insecure_open = true;
        self
    }

    /// The names, without ports, by which requests may call this server, beside those of this
    /// machine. Default: on a listener of this machine alone no other; elsewhere any.
    pub fn allowed_hosts(mut self, hosts: impl IntoIterator<Item = String>) -> Self {
        self.hosts = hosts.into_iter().collect();
        self
    }

    /// Whether this listener may be opened.
    ///
    /// # Errors
    /// Where other machines can reach it, no token is asked for, and nobody said that this is meant.
    pub fn check(&self, listener: SocketAddr) -> Result<(), OpenListener> {
        let open = |who, token| OpenListener {
            listener,
            who,
            token,
        };
        if self.insecure_open || listener.ip().to_canonical().is_loopback() {
            Ok(())
        } else if self.readers.is_none() {
            Err(open("readers", "give a --reader-token-file"))
        } else if self.agents.is_none() {
            Err(open("agents", "give an --agent-token-file"))
        } else {
            Ok(())
        }
    }

    /// Whether anybody may read, or report, who reaches the server.
    #[must_use]
    pub fn is_open(&self) -> bool {
        self.insecure_open && (self.agents.is_none() || self.readers.is_none())
    }

    /// Reads token files again; after an error the tokens stay as they were.
    pub(crate) fn reload(&self) -> Result<(), TokenError> {
        self.agents
            .iter()
            .chain(&self.readers)
            .try_for_each(Token::reload)
    }

    /// Whether one may report. `listener` is what it came in by, where that is known.
    pub(crate) fn agent(
        &self,
        listener: Option<SocketAddr>,
        bearer: Option<&str>,
    ) -> Result<(), Denied> {
        self.enter(self.agents.as_ref(), listener, bearer)
    }

    pub(crate) fn reader(
        &self,
        listener: Option<SocketAddr>,
        bearer: Option<&str>,
    ) -> Result<(), Denied> {
        self.enter(self.readers.as_ref(), listener, bearer)
    }

    fn enter(
        &self,
        token: Option<&Token>,
        listener: Option<SocketAddr>,
        bearer: Option<&str>,
    ) -> Result<(), Denied> {
        match token {
            Some(token) if bearer.is_some_and(|brought| token.opens(brought)) => Ok(()),
            Some(_) => Err(Denied::Token),
            None if self.insecure_open || of_this_machine(listener) => Ok(()),
            None => Err(Denied::Closed),
        }
    }

    /// Whether a request may call the server by this name: a page of another site that had its own
    /// name resolve to this machine calls it by that.
    pub(crate) fn host(
        &self,
        listener: Option<SocketAddr>,
        host: Option<&str>,
    ) -> Result<(), Denied> {
        let name = host.map(without_port);
        let ours = |name: &str| {
            name.eq_ignore_ascii_case("localhost")
                || name.parse::<IpAddr>().is_ok_and(|ip| ip.is_loopback())
        };
        let named = |name: &str| {
            self.hosts
                .iter()
                .any(|host| host.eq_ignore_ascii_case(name))
        };
        let any = self.hosts.is_empty() && !of_this_machine(listener);
        if any || name.is_some_and(|name| ours(name) || named(name)) {
            Ok(())
        } else {
            Err(Denied::Host)
        }
    }
}

fn of_this_machine(listener: Option<SocketAddr>) -> bool {
    listener.is_some_and(|address| address.ip().to_canonical().is_loopback())
}

/// `[::1]:8080` and `::1`, `a.b:80` and `a.b`.
fn without_port(host: &str) -> &str {
    if let Some((inside, _)) = host.strip_prefix('[').and_then(|rest| rest.split_once(']')) {
        return inside;
    }
    host.rsplit_once(':').map_or(host, |(name, _)| name)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(address: &str) -> Option<SocketAddr> {
        Some(address.parse().unwrap())
    }

    #[test]
    fn readers_of_this_machine_need_no_token_and_others_do() {
        let access = Access::new();
        assert_eq!(access.reader(at("127.0.0.1:80"), None), Ok(()));
        assert_eq!(access.reader(at("[::ffff:127.0.0.1]:80"), None), Ok(()));
        assert_eq!(access.reader(at("10.0.0.1:80"), None), Err(Denied::Closed));
        assert_eq!(access.reader(None, None), Err(Denied::Closed));
        let access = Access::new().reader_token("t").unwrap();
        assert_eq!(access.reader(at("10.0.0.1:80"), Some("t")), Ok(()));
        for listener in [at("127.0.0.1:80"), at("10.0.0.1:80"), None] {
            assert_eq!(access.reader(listener, None), Err(Denied::Token));
            assert_eq!(access.reader(listener, Some("u")), Err(Denied::Token));
        }
    }

    #[test]
    fn a_token_of_readers_lets_no_agent_report() {
        let access = Access::new().reader_token("r").unwrap();
        let access = access.agent_token("a").unwrap();
        assert_eq!(access.agent(None, Some("r")), Err(Denied::Token));
        assert_eq!(access.agent(None, Some("a")), Ok(()));
        assert_eq!(access.reader(None, Some("a")), Err(Denied::Token));
    }

    #[test]
    fn a_server_that_others_reach_does_not_start_without_tokens() {
        let everywhere = "[::]:8080".parse().unwrap();
        let error = Access::new().check(everywhere).unwrap_err();
        assert!(
            error
                .to_string()
                .starts_with("readers would need no token on [::]:8080"),
            "{error}"
        );
        let half = Access::new().reader_token("r").unwrap();
        assert!(
            half.check(everywhere)
                .unwrap_err()
                .to_string()
                .starts_with("agents")
        );
        assert_eq!(Access::new().insecure_open().check(everywhere), Ok(()));
        assert_eq!(Access::new().check("[::1]:80".parse().unwrap()), Ok(()));
    }

    #[test]
    fn a_page_of_another_site_cannot_read_what_this_machine_alone_may() {
        let access = Access::new();
        let here = at("127.0.0.1:8080");
        for host in [
            "localhost:8080",
            "LOCALHOST",
            "127.0.0.1:8080",
            "[::1]:8080",
            "127.0.0.2",
        ] {
            assert_eq!(access.host(here, Some(host)), Ok(()), "{host}");
        }
        for host in [
            Some("evil.example:8080"),
            Some("localhost.evil.example"),
            Some(""),
            None,
        ] {
            assert_eq!(access.host(here, host), Err(Denied::Host), "{host:?}");
        }
        assert_eq!(access.host(at("10.0.0.1:80"), Some("evil.example")), Ok(()));
        let named = Access::new().allowed_hosts(["pull.example".to_owned()]);
        assert_eq!(
            named.host(at("10.0.0.1:80"), Some("evil.example")),
            Err(Denied::Host)
        );
        assert_eq!(named.host(here, Some("Pull.Example:443")), Ok(()));
    }
}
