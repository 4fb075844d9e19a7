//! Flags and their environment variables.
//!
//! No variable may be one that Kubernetes sets for a Service called `pulltrace-server`:
//! `PULLTRACE_SERVER_PORT`, `PULLTRACE_SERVER_SERVICE_HOST` and their like.

use std::net::SocketAddr;
use std::path::PathBuf;
use std::time::Duration;

use clap::{Args, Parser, ValueEnum};
use pulltrace_server_lib::{ClusterName, FrameAncestors};
use pulltrace_shell::log::LogArgs;
use pulltrace_shell::value::{self, MetricsAddress};

/// Gathers what the agents of all nodes report, and shows it live: as a page, an API with a stream, and
/// metrics.
#[derive(Debug, Parser)]
#[command(
    name = "pulltrace-server",
    version = pulltrace_shell::VERSION,
    after_help = "\
Examples:
  pulltrace-server --http-addr 127.0.0.1:8080   for agents and readers of this machine
  pulltrace-server --agent-token-file a --reader-token-file r   for those with these tokens
  pulltrace-server --insecure-open              for whoever reaches it
  pulltrace-server --kubeconfig ~/.kube/config  with the pods of a cluster, from outside

It prints its URL. It stops at SIGTERM, SIGINT and SIGHUP, once requests have ended, after 5 s at the latest.
Exit codes: 0 stopped by a signal, 1 failed (a port that is taken, a file that cannot be used), 2 the call was wrong.
A variable in [env: …] stands in for its flag; an empty one counts as not set.",
)]
pub(crate) struct Cli {
    /// Where agents report and people read
    #[arg(long, env = "PULLTRACE_HTTP_ADDR", value_name = "ADDRESS", default_value = ":8080", value_parser = value::address)]
    pub(crate) http_addr: SocketAddr,

    /// Where Prometheus reads; `off` for nowhere
    #[arg(long, env = "PULLTRACE_METRICS_ADDR", value_name = "ADDRESS", default_value = ":9090", value_parser = value::metrics_address)]
    pub(crate) metrics_addr: MetricsAddress,

    /// How long pulls that ended are kept
    #[arg(long, env = "PULLTRACE_HISTORY_TTL", value_name = "DURATION", default_value = "30m", value_parser = value::time)]
    pub(crate) history_ttl: Duration,

    /// What people call the cluster, for the page: at most 63 characters that can be seen
    #[arg(long, env = "PULLTRACE_CLUSTER_NAME", value_name = "NAME")]
    pub(crate) cluster_name: Option<ClusterName>,

    #[command(flatten)]
    pub(crate) cluster: ClusterArgs,

    #[command(flatten)]
    pub(crate) access: AccessArgs,

    #[command(flatten)]
    pub(crate) tls: TlsArgs,

    #[command(flatten)]
    pub(crate) log: LogArgs,
}

// No doc comments on these structs: clap would make them the help of the whole command.
#[derive(Debug, Args)]
#[command(next_help_heading = "Kubernetes (which pods wait for what; reads pods and events)")]
pub(crate) struct ClusterArgs {
    /// Whether to ask an API server: auto does within a pod that has a service account, and where a kubeconfig or a context is given
    #[arg(
        long,
        env = "PULLTRACE_KUBERNETES",
        value_name = "WHETHER",
        default_value = "auto"
    )]
    pub(crate) kubernetes: Whether,

    /// The kubeconfig [default: that of `kubectl`, else the service account of the pod]
    #[arg(long, env = "PULLTRACE_KUBECONFIG", value_name = "FILE")]
    pub(crate) kubeconfig: Option<PathBuf>,

    /// The context of the kubeconfig [default: its current one]
    #[arg(long, env = "PULLTRACE_KUBE_CONTEXT", value_name = "NAME")]
    pub(crate) context: Option<String>,

    /// The namespaces whose pods and events are read, by commas, at most 100 [default: all]
    #[arg(
        long,
        env = "PULLTRACE_WATCH_NAMESPACES",
        value_name = "NAMES",
        value_delimiter = ',',
        value_parser = namespace
    )]
    pub(crate) watch_namespaces: Vec<String>,
}

/// Whether to ask an API server.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(crate) enum Whether {
    Auto,
    On,
    Off,
}

/// A name that a namespace can have.
fn namespace(text: &str) -> Result<String, String> {
    let inner = |byte: u8| byte.is_ascii_lowercase() || byte.is_ascii_digit() || byte == b'-';
    let edge = text.starts_with('-') || text.ends_with('-');
    if text.is_empty() || text.len() > 63 || edge || !text.bytes().all(inner) {
        return Err(
            "no namespace; accepted are names as `kubectl get namespaces` shows them, by commas"
                .to_owned(),
        );
    }
    Ok(text.to_owned())
}

#[derive(Debug, Args)]
#[command(
    next_help_heading = "Access (on an address that only this machine reaches, none is needed)"
)]
pub(crate) struct AccessArgs {
    /// The token that agents must bring; others see a flag, so rather give the variable or a file
    #[arg(
        long,
        env = "PULLTRACE_AGENT_TOKEN",
        value_name = "TOKEN",
        hide_env_values = true
    )]
    pub(crate) agent_token: Option<String>,

    /// A file with that token, or several, one a line; read again each 10 s. It wins over the token
    #[arg(long, env = "PULLTRACE_AGENT_TOKEN_FILE", value_name = "FILE")]
    pub(crate) agent_token_file: Option<PathBuf>,

    /// A file with the token that readers must bring, or several, one a line; read again each 10 s
    #[arg(long, env = "PULLTRACE_READER_TOKEN_FILE", value_name = "FILE")]
    pub(crate) reader_token_file: Option<PathBuf>,

    /// Let whoever reaches the server report and read, where no token is set
    #[arg(long, env = "PULLTRACE_INSECURE_OPEN")]
    pub(crate) insecure_open: bool,

    /// A name by which requests may call the server [default: where only this machine reaches it, names of this machine; else any]
    #[arg(
        long,
        env = "PULLTRACE_ALLOWED_HOSTS",
        value_name = "HOST",
        value_delimiter = ','
    )]
    pub(crate) allowed_host: Vec<String>,

    /// Sites that may show the page within their own: `none`, or `self` and origins like `https://grafana.example`, by commas or spaces
    #[arg(
        long,
        env = "PULLTRACE_FRAME_ANCESTORS",
        value_name = "SITES",
        default_value = "none"
    )]
    pub(crate) frame_ancestors: FrameAncestors,
}

#[derive(Debug, Args)]
#[command(next_help_heading = "TLS (for agents and readers; files are looked at again each 60 s)")]
pub(crate) struct TlsArgs {
    /// The certificate and those that it goes back to, in PEM
    #[arg(long, env = "PULLTRACE_TLS_CERT_FILE", value_name = "FILE")]
    pub(crate) tls_cert_file: Option<PathBuf>,

    /// Its private key, in PEM
    #[arg(long, env = "PULLTRACE_TLS_KEY_FILE", value_name = "FILE")]
    pub(crate) tls_key_file: Option<PathBuf>,
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

    #[test]
    fn no_variable_is_one_that_kubernetes_sets_for_the_service() {
        for arg in Cli::command().get_arguments() {
            let name = arg.get_env().and_then(|name| name.to_str());
            assert!(
                !name.is_some_and(|name| name.starts_with("PULLTRACE_SERVER_")),
                "{name:?}"
            );
        }
    }
}
