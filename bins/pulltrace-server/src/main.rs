//! `pulltrace-server`: collects the pulls of all nodes and shows them live. This crate holds flags,
//! signals and exit codes; everything else is in the library.

#![forbid(unsafe_code)]

mod cli;
mod cluster;
mod error;

use std::io::Write as _;
use std::process::ExitCode;
use std::time::Duration;

use pulltrace_server_lib::{Access, Limits, Listener, Server, Tls};
use pulltrace_shell::shutdown::Shutdown;
use pulltrace_shell::value::MetricsAddress;

use cli::{AccessArgs, Cli, TlsArgs};
use error::Error;

/// Handling reports makes many small allocations (`docs/adr/0008`).
#[global_allocator]
static ALLOCATOR: tikv_jemallocator::Jemalloc = tikv_jemallocator::Jemalloc;

/// Time after a signal at which the process exits, even if something blocks it.
const FORCE_EXIT_AFTER: Duration = Duration::from_secs(8);

fn main() -> ExitCode {
    let cli = match pulltrace_shell::args::parse::<Cli>() {
        Ok(cli) => cli,
        Err(code) => return code,
    };
    match run(cli) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            pulltrace_shell::error::print("pulltrace-server", &error, error.help());
            error.exit_code()
        }
    }
}

fn run(cli: Cli) -> Result<(), Error> {
    let runtime =
        tokio::runtime::Builder::new_multi_thread().enable_all().build().map_err(Error::Runtime)?;
    let result = runtime.block_on(serve(cli));
    runtime.shutdown_background();
    result
}

/// Serves until a termination signal arrives.
async fn serve(cli: Cli) -> Result<(), Error> {
    let stop = Shutdown::on_signals().map_err(Error::Runtime)?;
    let frame_ancestors = cli.access.frame_ancestors.clone();
    let access = access(cli.access)?;
    // Before any port is opened.
    access.check_listener(cli.http_addr)?;
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
        // If the API server is unreachable, the sources report it while the server runs.
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
    pulltrace_shell::log::init_stderr(cli.log);
    tracing::info!(
        target: "pulltrace::server",
        version = pulltrace_shell::VERSION,
        url,
        metrics,
        kubernetes,
        "serving"
    );
    // Ignore a closed standard output.
    let _untold = writeln!(std::io::stdout(), "{url}");
    let force = stop.clone();
    tokio::select! {
        () = server.run(async move { stop.wait().await }) => {}
        () = force.wait_force(FORCE_EXIT_AFTER) => return Err(Error::ShutdownTimeout),
    }
    tracing::info!(target: "pulltrace::server", "stopped");
    Ok(())
}

/// Builds the access rules from the flags.
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
        _ => Err(Error::IncompleteTls),
    }
}
