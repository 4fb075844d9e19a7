//! `pulltrace-server`: gathers what all nodes pull, and shows it live. Flags, signals and exit codes are
//! here and beside here; everything else is the library's.

#![forbid(unsafe_code)]

mod cli;
mod cluster;
mod error;

use std::io::Write as _;
use std::process::ExitCode;
use std::time::Duration;

use pulltrace_server_lib::{Access, Limits, Listener, Server, Tls};
use pulltrace_shell::stop::Stop;
use pulltrace_shell::value::MetricsAddress;

use cli::{AccessArgs, Cli, TlsArgs};
use error::Error;

/// Much of a report is small allocations (`docs/adr/0008`).
#[global_allocator]
static ALLOCATOR: tikv_jemallocator::Jemalloc = tikv_jemallocator::Jemalloc;

/// After this long it ends, whatever holds it up.
const OVERDUE: Duration = Duration::from_secs(8);

fn main() -> ExitCode {
    let cli = match pulltrace_shell::args::parse::<Cli>() {
        Ok(cli) => cli,
        Err(code) => return code,
    };
    match run(cli) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            pulltrace_shell::error::print("pulltrace-server", &error);
            error.exit_code()
        }
    }
}

fn run(cli: Cli) -> Result<(), Error> {
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .enable_all()
        .build()
        .map_err(Error::Runtime)?;
    let result = runtime.block_on(serve(cli));
    runtime.shutdown_background();
    result
}

/// Serves until a signal says that it is enough.
async fn serve(cli: Cli) -> Result<(), Error> {
    let stop = Stop::on_signals().map_err(Error::Runtime)?;
    let frame_ancestors = cli.access.frame_ancestors.clone();
    let access = access(cli.access)?;
    // Before anything is opened.
    access.check(cli.http_addr)?;
    let tls = tls(cli.tls)?;
    let mut limits = Limits::default();
    limits.history_ttl = cli.history_ttl;
    let mut server = Server::builder()
        .access(access)
        .limits(limits)
        .revision(pulltrace_shell::REVISION)
        .frame_ancestors(frame_ancestors);
    if let Some(name) = cli.cluster_name {
        server = server.cluster_name(name);
    }
    let cluster = cluster::config(cli.cluster);
    let kubernetes = cluster.is_some();
    if let Some(cluster) = cluster {
        // Where the API server is away, they say so while the server runs.
        let (pods, events) = cluster.connect().await?;
        server = server.pods(pods).pull_events(events);
    }
    let mut server = server.build()?;
    let mut listener = Listener::bind(cli.http_addr).await?;
    if let Some(tls) = tls {
        listener = listener.tls(tls);
    }
    let url = listener.url();
    server.listen(listener)?;
    let mut metrics = None;
    if let MetricsAddress::At(address) = cli.metrics_addr {
        let listener = Listener::bind(address).await?;
        metrics = Some(listener.url() + "metrics");
        server.listen_metrics(listener);
    }
    pulltrace_shell::log::begin_on_stderr(cli.log);
    tracing::info!(
        target: "pulltrace::server",
        version = pulltrace_shell::VERSION,
        url,
        metrics,
        kubernetes,
        "serving"
    );
    // Whoever started it need not read it.
    let _untold = writeln!(std::io::stdout(), "{url}");
    let late = stop.clone();
    tokio::select! {
        () = server.run(async move { stop.wait().await }) => {}
        () = late.overdue(OVERDUE) => return Err(Error::Overdue),
    }
    tracing::info!(target: "pulltrace::server", "stopped");
    Ok(())
}

/// Who may report and who may read, as the flags say.
fn access(args: AccessArgs) -> Result<Access, Error> {
    let mut access = Access::new().allowed_hosts(args.allowed_host);
    if let Some(file) = args.agent_token_file {
        access = access.agent_token_file(file)?;
    } else if let Some(token) = args.agent_token {
        access = access.agent_token(&token)?;
    }
    if let Some(file) = args.reader_token_file {
        access = access.reader_token_file(file)?;
    }
    if args.insecure_open {
        access = access.insecure_open();
    }
    Ok(access)
}

fn tls(args: TlsArgs) -> Result<Option<Tls>, Error> {
    match (args.tls_cert_file, args.tls_key_file) {
        (Some(chain), Some(key)) => Ok(Some(Tls::from_files(chain, key)?)),
        (None, None) => Ok(None),
        _ => Err(Error::HalfTls),
    }
}
