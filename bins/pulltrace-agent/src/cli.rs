//! Flags and their environment variables.

use std::path::PathBuf;
use std::time::Duration;

use clap::{Args, Parser, Subcommand};
use pulltrace_agent_lib::sink::HttpSink;
use pulltrace_shell::error::with_help;
use pulltrace_shell::log::LogArgs;
use pulltrace_shell::node::SourceArgs;
use pulltrace_shell::value::{MetricsAddress, metrics_address, time};

/// Report the image pulls of this node to a pulltrace server
///
/// The agent only reads from containerd. If containerd or the server is unavailable, it retries
/// until the connection is back, then reports what happened in the meantime.
#[derive(Debug, Parser)]
#[command(
    name = "pulltrace-agent",
    version = pulltrace_shell::VERSION,
    after_help = "\
Examples:
  pulltrace-agent --server-url http://localhost:8080  report the pulls
  pulltrace-agent check                               check the set-up

On SIGTERM, SIGINT or SIGHUP, reports the last state (at most 5 s) and exits.
Exit codes: 0 stopped by a signal, 1 error or failed check, 2 usage error.
Flags override the variables in [env: …]; empty variables are ignored.",
)]
pub(crate) struct Cli {
    #[command(flatten)]
    pub(crate) server: ServerArgs,
    #[command(flatten)]
    pub(crate) source: SourceArgs,
    /// Address of the agent's metrics and health endpoint; `off` disables it
    #[arg(long, env = "PULLTRACE_METRICS_ADDR", value_name = "ADDRESS", default_value = "off", value_parser = metrics_address, global = true)]
    pub(crate) metrics_addr: MetricsAddress,
    #[command(flatten)]
    pub(crate) log: LogArgs,
    #[command(subcommand)]
    pub(crate) command: Option<Command>,
}

#[derive(Clone, Copy, Debug, Subcommand)]
pub(crate) enum Command {
    /// Check containerd, the server and the token
    ///
    /// Prints one line per check: node name, containerd socket, version and namespace, server,
    /// token. Advice follows a failed check. Changes nothing. Exits with 0 if all checks pass,
    /// otherwise with 1.
    Check,
}

#[derive(Debug, Args)]
pub(crate) struct ServerArgs {
    /// URL of the pulltrace server, http or https (required)
    #[arg(long, env = "PULLTRACE_SERVER_URL", value_name = "URL", value_parser = url, global = true)]
    pub(crate) server_url: Option<String>,

    /// Minimum time between progress reports; starts and ends are reported immediately
    #[arg(long, env = "PULLTRACE_REPORT_INTERVAL", value_name = "DURATION", default_value = "1s", value_parser = time, global = true)]
    pub(crate) report_interval: Duration,

    /// Token sent to the server; visible in the process list, prefer the variable or a file
    #[arg(
        long,
        env = "PULLTRACE_AGENT_TOKEN",
        value_name = "TOKEN",
        hide_env_values = true,
        global = true
    )]
    pub(crate) agent_token: Option<String>,

    /// File with the token, read for every report; takes precedence over the token
    #[arg(long, env = "PULLTRACE_AGENT_TOKEN_FILE", value_name = "FILE", global = true)]
    pub(crate) agent_token_file: Option<PathBuf>,

    /// PEM file with the CA certificates that verify the server [default: system CA certificates]
    #[arg(long, env = "PULLTRACE_SERVER_CA_FILE", value_name = "FILE", global = true)]
    pub(crate) server_ca_file: Option<PathBuf>,
}

fn url(text: &str) -> Result<String, String> {
    HttpSink::check_url(text).map_err(|error| with_help(error.to_string(), error.help()))?;
    Ok(text.to_owned())
}

#[cfg(test)]
mod tests {
    use clap::CommandFactory as _;

    use super::*;

    #[test]
    fn clap_definitions_are_valid() {
        Cli::command().debug_assert();
    }

    #[test]
    fn configuration_docs_match_flags() {
        let page = concat!(env!("CARGO_MANIFEST_DIR"), "/../../docs/configuration.md");
        pulltrace_shell::markdown::check(page.as_ref(), &Cli::command()).unwrap();
    }
}
