//! `pulltrace-agent`: reports the pulls of a node to a pulltrace server. This crate holds flags,
//! signals and exit codes; the libraries track pulls and decide when to report.

#![forbid(unsafe_code)]

mod check;
mod cli;
mod error;
mod sink;

use std::process::ExitCode;
use std::time::Duration;

use pulltrace_agent_lib::metrics::{Endpoint, Metrics};
use pulltrace_agent_lib::source::containerd::Containerd;
use pulltrace_agent_lib::{Collector, Settings};
use pulltrace_shell::shutdown::Shutdown;
use pulltrace_shell::value::MetricsAddress;

use cli::{Cli, Command};
use error::Error;

/// Report interval while pulls do not change.
const HEARTBEAT: Duration = Duration::from_secs(5);

/// Time limit for delivering the last state.
const GRACE: Duration = Duration::from_secs(5);

/// Time after a signal at which the process exits, even if something blocks it.
const FORCE_EXIT_AFTER: Duration = Duration::from_secs(8);

fn main() -> ExitCode {
    let cli = match pulltrace_shell::args::parse::<Cli>() {
        Ok(cli) => cli,
        Err(code) => return code,
    };
    match run(cli) {
        Ok(code) => code,
        Err(error) => {
            pulltrace_shell::error::print("pulltrace-agent", &error, error.help());
            error.exit_code()
        }
    }
}

fn run(cli: Cli) -> Result<ExitCode, Error> {
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .map_err(Error::Runtime)?;
    let result = runtime.block_on(async {
        match cli.command {
            Some(Command::Check) => check::run(cli).await,
            None => report(cli).await.map(|()| ExitCode::SUCCESS),
        }
    });
    // Don't wait for a DNS lookup in progress.
    runtime.shutdown_background();
    result
}

/// Reports until a termination signal arrives.
async fn report(cli: Cli) -> Result<(), Error> {
    let stop = Shutdown::on_signals().map_err(Error::Runtime)?;
    let node = cli.source.node().map_err(Error::NodeName)?;
    let url = cli.server.server_url.clone().ok_or(Error::NoServer)?;
    let interval = cli.server.report_interval;
    let sink = sink::build(&url, cli.server, &cli.source)?;
    let mut source = Containerd::builder(node.clone()).namespace(cli.source.namespace);
    if let Some(socket) = cli.source.socket {
        source = source.socket(socket);
    }
    let metrics = metrics(cli.metrics_addr).await?;
    if let Some((_, metrics)) = &metrics {
        source = source.on_call(metrics.on_call());
    }
    let source = source.start();
    pulltrace_shell::log::init_stderr(cli.log);
    let stats = source.stats_reader();
    let settings = Settings::new(node.clone())
        .limits(cli.source.limits.limits())
        .report_interval(interval)
        .heartbeat(HEARTBEAT.max(interval))
        .grace_period(GRACE);
    let collector = Collector::new(source, sink, settings).map_err(Error::Setting)?;
    tracing::info!(
        target: "pulltrace::agent",
        version = pulltrace_shell::VERSION,
        %node,
        server = url,
        metrics = metrics.as_ref().map(|(endpoint, _)| endpoint.address().to_string()),
        "reporting"
    );
    if let Some((endpoint, metrics)) = metrics {
        metrics.register_source(stats);
        tokio::spawn(endpoint.serve(metrics, collector.monitor()));
    }
    let force = stop.clone();
    let summary = tokio::select! {
        ran = collector.run(async move { stop.wait().await }) => ran.map_err(Error::Run)?,
        () = force.wait_force(FORCE_EXIT_AFTER) => return Err(Error::ShutdownTimeout),
    };
    if summary.delivered {
        tracing::info!(target: "pulltrace::agent", reports = summary.reports, "stopped");
    } else {
        tracing::warn!(
            target: "pulltrace::agent",
            reports = summary.reports,
            ends_untold = summary.undelivered_ends,
            "stopped; last state not delivered"
        );
    }
    Ok(())
}

/// Creates the metrics and their endpoint, if enabled.
async fn metrics(address: MetricsAddress) -> Result<Option<(Endpoint, Metrics)>, Error> {
    let MetricsAddress::At(address) = address else {
        return Ok(None);
    };
    let endpoint = Endpoint::bind(address).await.map_err(Error::Listen)?;
    let metrics = Metrics::new(env!("CARGO_PKG_VERSION"), pulltrace_shell::REVISION);
    Ok(Some((endpoint, metrics.map_err(Error::Metrics)?)))
}
