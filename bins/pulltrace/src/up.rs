//! `pulltrace up`: agent and server in one process, for this machine or a recording.

use std::fs::File;
use std::io::{BufReader, Write as _};
use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::Duration;

use pulltrace_agent_lib::sink::HttpSink;
use pulltrace_agent_lib::source::containerd::{Containerd, Replay};
use pulltrace_agent_lib::source::{Batch, PullSource, SourceError};
use pulltrace_agent_lib::{Collector, RunError, Settings};
use pulltrace_core::{Namespace, NodeName};
use pulltrace_server_lib::{Access, Limits, Listener, ServeLimits, Server};
use tokio::sync::oneshot;

use pulltrace_shell::log::LogArgs;
use pulltrace_shell::node::LimitArgs;
use pulltrace_shell::shutdown::Shutdown;

use crate::cli::UpArgs;
use crate::error::Error;
use crate::shutdown::PART_LIMIT;
use crate::{log, replay};

/// Interval of the agent's progress reports.
const REPORT_INTERVAL: Duration = Duration::from_millis(500);

pub(crate) async fn run(args: UpArgs, log: LogArgs, stop: Shutdown) -> Result<(), Error> {
    let mut access = Access::new();
    if let Some(file) = &args.reader_token_file {
        access = access.reader_token_file(file)?;
    }
    if args.insecure_open {
        access = access.insecure_open();
    }
    // Only this process may report: the token is new on every start.
    let token = random_token().map_err(Error::Randomness)?;
    let access = access.agent_token(&token)?;
    access.check_listener(args.http_addr)?;
    let mut limits = Limits::default();
    limits.history_ttl = args.source.limits.history_ttl;
    let mut serve = ServeLimits::default();
    serve.drain_timeout = PART_LIMIT;
    let server = Server::builder().access(access).limits(limits);
    let server = server.revision(pulltrace_shell::REVISION);
    let mut server = server.serve_limits(serve).build()?;
    let listener = Listener::bind(args.http_addr).await?;
    let (url, address) = (listener.url(), listener.address());
    server.listen(listener)?;

    let agent = Agent {
        server: format!("http://{}", loopback_address(address)),
        token,
        limits: args.source.limits,
    };
    let (over, agent_is_over) = oneshot::channel::<()>();
    let serving = server.run(async {
        // Completes however the agent ends, because that drops the sender.
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
                log::init(log, None, false);
                announce(&url, args.open);
                let source = ReplayThenIdle { replay, ended: false };
                let ran = agent.run(node, namespace, source, &stop).await;
                ran.map_err(|error| with_recording_path(error, &path))
            }
            None => {
                let node = args.source.node().map_err(Error::NodeName)?;
                let namespace = args.source.namespace;
                let mut source = Containerd::builder(node.clone()).namespace(namespace.clone());
                if let Some(socket) = args.source.socket {
                    source = source.socket(socket);
                }
                log::init(log, None, false);
                announce(&url, args.open);
                agent.run(node, namespace, source.start(), &stop).await
            }
        }
    };
    let ((), reported) = tokio::join!(serving, reporting);
    reported
}

/// The agent, reporting to the server of this process.
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
        stop: &Shutdown,
    ) -> Result<(), Error> {
        let sink = HttpSink::builder(self.server)
            .token(self.token)
            .version(env!("CARGO_PKG_VERSION"))
            .namespace(namespace)
            .build()?;
        let settings = Settings::new(node)
            .limits(self.limits.limits())
            .report_interval(REPORT_INTERVAL)
            .grace_period(PART_LIMIT);
        let collector = Collector::new(source, sink, settings).map_err(Error::ReportInterval)?;
        let ran = collector.run(async { stop.wait().await }).await;
        ran.map(drop).map_err(Error::Run)
    }
}

/// A replay that idles after its end, so that the last state stays available.
struct ReplayThenIdle {
    replay: Replay<BufReader<File>>,
    ended: bool,
}

impl PullSource for ReplayThenIdle {
    async fn next(&mut self) -> Result<Option<Batch>, SourceError> {
        if !self.ended {
            if let Some(batch) = self.replay.next().await? {
                return Ok(Some(batch));
            }
            self.ended = true;
            tracing::info!(target: "pulltrace::up", "replay finished; the last state stays available until Ctrl-C");
        }
        std::future::pending().await
    }
}

/// Adds the path of the recording to a replay error.
fn with_recording_path(error: Error, path: &Path) -> Error {
    match error {
        Error::Run(RunError::Source { source, .. }) => {
            Error::Replay { path: PathBuf::from(path), source }
        }
        other => other,
    }
}

/// Returns the address at which this process reaches its own listener.
fn loopback_address(mut address: SocketAddr) -> SocketAddr {
    if address.ip().is_unspecified() {
        // A listener on all IPv6 addresses also accepts IPv4.
        address.set_ip(IpAddr::from(Ipv4Addr::LOCALHOST));
    }
    address
}

/// Returns a token of 256 random bits, in hexadecimal.
fn random_token() -> Result<String, getrandom::Error> {
    let mut bits = [0; 32];
    getrandom::fill(&mut bits)?;
    Ok(bits.iter().map(|byte| format!("{byte:02x}")).collect())
}

/// Prints the URL of the page and opens it on request.
fn announce(url: &str, open: bool) {
    let mut out = std::io::stdout();
    // Ignore a closed standard output.
    let _unread = writeln!(out, "serving at {url}").and_then(|()| out.flush());
    if open {
        let url = url.to_owned();
        tokio::task::spawn_blocking(move || {
            if let Err(error) = open_browser(&url) {
                tracing::warn!(target: "pulltrace::up", "failed to open a browser: {error}; open {url} manually");
            }
        });
    }
}

/// Opens a page in the default browser.
fn open_browser(url: &str) -> Result<(), String> {
    let opener = if cfg!(target_os = "macos") { "open" } else { "xdg-open" };
    let opened = Command::new(opener)
        .arg(url)
        .stdin(Stdio::null())
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .status();
    match opened {
        Ok(status) if status.success() => Ok(()),
        Ok(status) => Err(format!("{opener} failed: {status}")),
        Err(error) => Err(format!("{opener}: {error}")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn agent_connects_to_loopback_when_address_is_unspecified() {
        for (listens, reached) in [
            ("127.0.0.1:8080", "127.0.0.1:8080"),
            ("0.0.0.0:8080", "127.0.0.1:8080"),
            ("[::]:8080", "127.0.0.1:8080"),
            ("[::1]:8080", "[::1]:8080"),
            ("10.0.0.7:80", "10.0.0.7:80"),
        ] {
            assert_eq!(loopback_address(listens.parse().unwrap()).to_string(), reached);
        }
    }

    #[test]
    fn random_tokens_differ() {
        let (one, other) = (random_token().unwrap(), random_token().unwrap());
        assert_eq!(one.len(), 64);
        assert_ne!(one, other);
    }
}
