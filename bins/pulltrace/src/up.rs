//! `pulltrace up`: agent and server in one process, of this machine or of a recording.

use std::fs::File;
use std::hash::{BuildHasher as _, Hasher as _};
use std::io::{BufReader, Write as _};
use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::Duration;

use pulltrace_agent_lib::sink::HttpSink;
use pulltrace_agent_lib::source::containerd::{Containerd, Replay};
use pulltrace_agent_lib::source::{Batch, PullSource, SourceError};
use pulltrace_agent_lib::{Collector, RunError};
use pulltrace_core::{Namespace, NodeName};
use pulltrace_server_lib::{Access, Limits, Listener, ServeLimits, Server};
use tokio::sync::oneshot;

use pulltrace_shell::log::LogArgs;
use pulltrace_shell::node::LimitArgs;
use pulltrace_shell::stop::Stop;

use crate::cli::UpArgs;
use crate::error::Error;
use crate::{GRACE, log, replay};

/// How often the agent reports what moves.
const INTERVAL: Duration = Duration::from_millis(500);

pub(crate) async fn run(args: UpArgs, log: LogArgs, stop: Stop) -> Result<(), Error> {
    let mut access = Access::new();
    if let Some(file) = &args.reader_token_file {
        access = access.reader_token_file(file)?;
    }
    if args.insecure_open {
        access = access.insecure_open();
    }
    // Nobody else may report to it: another token each time that it starts.
    let token = token();
    let access = access.agent_token(&token)?;
    access.check(args.http_addr)?;
    let mut limits = Limits::default();
    limits.history_ttl = args.source.limits.history_ttl;
    let mut serve = ServeLimits::default();
    serve.drain = GRACE / 3;
    let server = Server::builder().access(access).limits(limits);
    let server = server.revision(pulltrace_shell::REVISION);
    let mut server = server.serve_limits(serve).build()?;
    let listener = Listener::bind(args.http_addr).await?;
    let (url, address) = (listener.url(), listener.address());
    server.listen(listener)?;

    let agent = Agent {
        server: format!("http://{}", within(address)),
        token,
        limits: args.source.limits,
    };
    let (over, agent_is_over) = oneshot::channel::<()>();
    let serving = server.run(async {
        // However it is over.
        drop(agent_is_over.await);
    });
    let reporting = async {
        let _over = over;
        match args.replay {
            Some(path) => {
                let replay = replay::open(&path, args.speed)?;
                let (node, namespace) = {
                    let header = replay.header();
                    (header.node.clone(), header.namespace.clone())
                };
                log::begin(log, None, false);
                say(&url, args.open);
                let source = Lasting {
                    replay,
                    over: false,
                };
                let ran = agent.run(node, namespace, source, &stop).await;
                ran.map_err(|error| in_recording(error, &path))
            }
            None => {
                let node = args.source.node().map_err(Error::NodeName)?;
                let namespace = args.source.namespace;
                let mut source = Containerd::builder(node.clone()).namespace(namespace.clone());
                if let Some(socket) = args.source.socket {
                    source = source.socket(socket);
                }
                log::begin(log, None, false);
                say(&url, args.open);
                agent.run(node, namespace, source.start(), &stop).await
            }
        }
    };
    let ((), reported) = tokio::join!(serving, reporting);
    reported
}

/// How the agent reports to the server beside it.
struct Agent {
    server: String,
    token: String,
    limits: LimitArgs,
}

impl Agent {
    async fn run(
        self,
        node: NodeName,
        namespace: Namespace,
        source: impl PullSource,
        stop: &Stop,
    ) -> Result<(), Error> {
        let sink = HttpSink::builder(self.server)
            .token(self.token)
            .version(env!("CARGO_PKG_VERSION"))
            .namespace(namespace)
            .build()?;
        let collector = Collector::builder(node)
            .source(source)
            .sink(sink)
            .limits(self.limits.limits())
            .report_interval(INTERVAL)
            .grace(GRACE / 3)
            .build()
            .map_err(Error::Setting)?;
        let ran = collector.run(async { stop.wait().await }).await;
        ran.map(drop).map_err(Error::Run)
    }
}

/// A recording, and then silence: what it showed is still there to be read.
struct Lasting {
    replay: Replay<BufReader<File>>,
    over: bool,
}

impl PullSource for Lasting {
    async fn next(&mut self) -> Result<Option<Batch>, SourceError> {
        if !self.over {
            if let Some(batch) = self.replay.next().await? {
                return Ok(Some(batch));
            }
            self.over = true;
            tracing::info!(target: "pulltrace::up", "the recording is over; what it showed stays, until Ctrl-C");
        }
        std::future::pending().await
    }
}

/// A recording that cannot be played to its end is named.
fn in_recording(error: Error, path: &Path) -> Error {
    match error {
        Error::Run(RunError::Source { source, .. }) => Error::Replay {
            path: PathBuf::from(path),
            source,
        },
        other => other,
    }
}

/// Where this process itself reaches the listener.
fn within(mut address: SocketAddr) -> SocketAddr {
    if address.ip().is_unspecified() {
        // One that listens at every address of IPv6 does so at those of IPv4.
        address.set_ip(IpAddr::from(Ipv4Addr::LOCALHOST));
    }
    address
}

/// A token that nobody guesses. The hasher is the standard library's only source of randomness.
fn token() -> String {
    let random = || std::hash::RandomState::new().build_hasher().finish();
    (0..4).map(|_| format!("{:016x}", random())).collect()
}

/// Says where the page is, and opens it where that is asked for.
fn say(url: &str, open: bool) {
    let mut out = std::io::stdout();
    // Whoever started it need not read it.
    let _unread = writeln!(out, "pulltrace is at {url}").and_then(|()| out.flush());
    if open {
        let url = url.to_owned();
        tokio::task::spawn_blocking(move || {
            if let Err(error) = browse(&url) {
                tracing::warn!(target: "pulltrace::up", "no browser could be opened: {error}; open {url} yourself");
            }
        });
    }
}

/// Has the system open a page.
fn browse(url: &str) -> Result<(), String> {
    let opener = if cfg!(target_os = "macos") {
        "open"
    } else {
        "xdg-open"
    };
    let opened = Command::new(opener)
        .arg(url)
        .stdin(Stdio::null())
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .status();
    match opened {
        Ok(status) if status.success() => Ok(()),
        Ok(status) => Err(format!("{opener} failed, {status}")),
        Err(error) => Err(format!("{opener}: {error}")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_agent_reaches_a_server_that_listens_everywhere() {
        for (listens, reached) in [
            ("127.0.0.1:8080", "127.0.0.1:8080"),
            ("0.0.0.0:8080", "127.0.0.1:8080"),
            ("[::]:8080", "127.0.0.1:8080"),
            ("[::1]:8080", "[::1]:8080"),
            ("10.0.0.7:80", "10.0.0.7:80"),
        ] {
            assert_eq!(within(listens.parse().unwrap()).to_string(), reached);
        }
    }

    #[test]
    fn each_start_has_a_token_of_its_own() {
        let (one, other) = (token(), token());
        assert_eq!(one.len(), 64);
        assert_ne!(one, other);
    }
}
