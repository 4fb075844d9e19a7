//! `pulltrace-agent`: tells a pulltrace server of the pulls of this node. Flags, signals and exit codes
//! are here and beside here; what a pull is doing, and when that is told, is decided by the libraries.

#![forbid(unsafe_code)]

mod check;
mod cli;
mod error;

use std::process::ExitCode;
use std::time::Duration;

use pulltrace_agent_lib::Collector;
use pulltrace_agent_lib::metrics::{Endpoint, Metrics};
use pulltrace_agent_lib::sink::HttpSink;
use pulltrace_agent_lib::source::containerd::Containerd;
use pulltrace_shell::stop::Stop;
use pulltrace_shell::value::MetricsAddress;

use cli::{Cli, Command, ServerArgs};
use error::Error;

/// A sign of life where nothing changes.
const HEARTBEAT: Duration = Duration::from_secs(5);

/// How long the delivery of the last state may take.
const GRACE: Duration = Duration::from_secs(5);

/// After this long it ends, whatever holds it up.
const OVERDUE: Duration = Duration::from_secs(8);

fn main() -> ExitCode {
    let cli = match pulltrace_shell::args::parse::<Cli>() {
        Ok(cli) => cli,
        Err(code) => return code,
    };
    match run(cli) {
        Ok(code) => code,
        Err(error) => {
            pulltrace_shell::error::print("pulltrace-agent", &error);
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
    // A name that is being looked up must not hold up the end.
    runtime.shutdown_background();
    result
}

/// Reports until a signal says that it is enough.
async fn report(cli: Cli) -> Result<(), Error> {
    let stop = Stop::on_signals().map_err(Error::Runtime)?;
    let node = cli.source.node().map_err(Error::NodeName)?;
    let url = cli.server.server_url.clone().ok_or(Error::NoServer)?;
    let interval = cli.server.report_interval;
    let sink = sink(&url, cli.server, &cli.source)?;
    let mut source = Containerd::builder(node.clone()).namespace(cli.source.namespace);
    if let Some(socket) = cli.source.socket {
        source = source.socket(socket);
    }
    let metrics = metrics(cli.metrics_addr).await?;
    if let Some((_, metrics)) = &metrics {
        source = source.on_call(metrics.on_call());
    }
    let source = source.start();
    pulltrace_shell::log::begin_on_stderr(cli.log);
    let stats = source.stats_reader();
    let collector = Collector::builder(node.clone())
        .source(source)
        .sink(sink)
        .limits(cli.source.limits.limits())
        .report_interval(interval)
        .heartbeat(HEARTBEAT.max(interval))
        .grace(GRACE)
        .build()
        .map_err(Error::Setting)?;
    tracing::info!(
        target: "pulltrace::agent",
        version = pulltrace_shell::VERSION,
        %node,
        server = url,
        metrics = metrics.as_ref().map(|(endpoint, _)| endpoint.address().to_string()),
        "reporting"
    );
    if let Some((endpoint, metrics)) = metrics {
        metrics.watch_source(stats);
        tokio::spawn(endpoint.serve(metrics, collector.monitor()));
    }
    let late = stop.clone();
    let summary = tokio::select! {
        ran = collector.run(async move { stop.wait().await }) => ran.map_err(Error::Run)?,
        () = late.overdue(OVERDUE) => return Err(Error::Overdue),
    };
    if summary.delivered {
        tracing::info!(target: "pulltrace::agent", reports = summary.reports, "stopped");
    } else {
        tracing::warn!(
            target: "pulltrace::agent",
            reports = summary.reports,
            ends_untold = summary.ends_untold,
            "stopped, and the server did not take the last state"
        );
    }
    Ok(())
}

/// What counts, and where that is read, where it is asked for.
async fn metrics(address: MetricsAddress) -> Result<Option<(Endpoint, Metrics)>, Error> {
    let MetricsAddress::At(address) = address else {
        return Ok(None);
    };
    let endpoint = Endpoint::bind(address).await.map_err(Error::Listen)?;
    let metrics = Metrics::new(env!("CARGO_PKG_VERSION"), pulltrace_shell::REVISION);
    Ok(Some((endpoint, metrics.map_err(Error::Metrics)?)))
}

/// The sink as the flags describe it.
fn sink(
    url: &str,
    server: ServerArgs,
    source: &pulltrace_shell::node::SourceArgs,
) -> Result<HttpSink, Error> {
    let mut sink = HttpSink::builder(url)
        .version(env!("CARGO_PKG_VERSION"))
        .namespace(source.namespace.clone());
    if let Some(token) = server.agent_token {
        sink = sink.token(token);
    }
    if let Some(file) = server.agent_token_file {
        sink = sink.token_file(file);
    }
    if let Some(file) = server.server_ca_file {
        sink = sink.ca_file(file);
    }
    sink.build().map_err(Error::Setup)
}
