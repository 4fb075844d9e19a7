//! Flags and their environment variables.

use std::path::PathBuf;
use std::time::Duration;

use clap::{Args, Parser, Subcommand};
use pulltrace_agent_lib::sink::HttpSink;
use pulltrace_shell::log::LogArgs;
use pulltrace_shell::node::SourceArgs;
use pulltrace_shell::value::{MetricsAddress, metrics_address, time};

/// Tells a pulltrace server of every image pull of this node, until it is stopped.
///
/// It only ever reads from containerd. A containerd or a server that is away is looked for until it is
/// back, and what happened meanwhile is told then.
#[derive(Debug, Parser)]
#[command(
    name = "pulltrace-agent",
    version = pulltrace_shell::VERSION,
    after_help = "\
Examples:
  pulltrace-agent --server-url http://localhost:8080   report the pulls of this machine
  pulltrace-agent check                                see whether that would work, and why not

It stops at SIGTERM, SIGINT and SIGHUP, once the last state is delivered, after 5 s at the latest.
Exit codes: 0 stopped by a signal, 1 failed (of `check`: something is not ok), 2 the call was wrong.
A variable in [env: …] stands in for its flag; an empty one counts as not set.",
)]
pub(crate) struct Cli {
    #[command(flatten)]
    pub(crate) server: ServerArgs,
    #[command(flatten)]
    pub(crate) source: SourceArgs,
    /// Where Prometheus reads of the agent itself, and whether it is well is answered; `off` for nowhere
    #[arg(long, env = "PULLTRACE_METRICS_ADDR", value_name = "ADDRESS", default_value = "off", value_parser = metrics_address, global = true)]
    pub(crate) metrics_addr: MetricsAddress,
    #[command(flatten)]
    pub(crate) log: LogArgs,
    #[command(subcommand)]
    pub(crate) command: Option<Command>,
}

#[derive(Clone, Copy, Debug, Subcommand)]
pub(crate) enum Command {
    /// Say whether everything that the agent needs is there, one line each
    ///
    /// Looks at containerd's socket and version, asks the server whether it is there, and whether it
    /// accepts the token. It changes nothing. Exit code 0 where all is ok, else 1.
    Check,
}

#[derive(Debug, Args)]
pub(crate) struct ServerArgs {
    /// The pulltrace server, http or https; required
    #[arg(long, env = "PULLTRACE_SERVER_URL", value_name = "URL", value_parser = url, global = true)]
    pub(crate) server_url: Option<String>,

    /// Tell changes at most this often; starts and ends are told at once
    #[arg(long, env = "PULLTRACE_REPORT_INTERVAL", value_name = "DURATION", default_value = "1s", value_parser = time, global = true)]
    pub(crate) report_interval: Duration,

    /// The token that the server knows agents by; others see a flag, so rather give the variable or a file
    #[arg(
        long,
        env = "PULLTRACE_AGENT_TOKEN",
        value_name = "TOKEN",
        hide_env_values = true,
        global = true
    )]
    pub(crate) agent_token: Option<String>,

    /// A file with that token, read for each report, so that it may change; it wins over the token
    #[arg(
        long,
        env = "PULLTRACE_AGENT_TOKEN_FILE",
        value_name = "FILE",
        global = true
    )]
    pub(crate) agent_token_file: Option<PathBuf>,

    /// The certificates, in PEM, that the server's must go back to [default: those of the system]
    #[arg(
        long,
        env = "PULLTRACE_SERVER_CA_FILE",
        value_name = "FILE",
        global = true
    )]
    pub(crate) server_ca_file: Option<PathBuf>,
}

fn url(text: &str) -> Result<String, String> {
    HttpSink::check_url(text).map_err(|error| error.to_string())?;
    Ok(text.to_owned())
}

#[cfg(test)]
mod tests {
    use clap::CommandFactory as _;

    use super::*;

    #[test]
    fn the_flags_are_sound() {
        Cli::command().debug_assert();
    }

    #[test]
    fn the_documentation_tells_of_each_flag() {
        let page = concat!(env!("CARGO_MANIFEST_DIR"), "/../../docs/configuration.md");
        pulltrace_shell::markdown::check(page.as_ref(), &Cli::command()).unwrap();
    }
}
