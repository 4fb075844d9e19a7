//! Flags and their environment variables.
//!
//! Variables must not start with `PULLTRACE_SERVER_`: Kubernetes sets `PULLTRACE_SERVER_PORT`,
//! `PULLTRACE_SERVER_SERVICE_HOST` and the like for a Service named `pulltrace-server`.

use std::net::SocketAddr;
use std::path::PathBuf;
use std::time::Duration;

use clap::{Args, Parser, ValueEnum};
use pulltrace_server_lib::{ClusterName, FrameAncestors};
use pulltrace_shell::log::LogArgs;
use pulltrace_shell::value::{self, MetricsAddress};

/// Collect the image pulls of all nodes and serve them as a page, an API with an event stream, and
/// metrics
#[derive(Debug, Parser)]
#[command(
    name = "pulltrace-server",
    version = pulltrace_shell::VERSION,
    after_help = "\
Examples:
  pulltrace-server --http-addr 127.0.0.1:8080   serve this machine only
  pulltrace-server --reader-token-file FILE     require a token from readers
  pulltrace-server --insecure-open              allow unauthenticated access
  pulltrace-server --kubeconfig ~/.kube/config  show the pods of a cluster

Prints its URL. Completes requests (at most 5 s) on SIGTERM, SIGINT or SIGHUP.
Exit codes: 0 stopped by a signal, 1 error, 2 usage error.
Flags override the variables in [env: …]; empty variables are ignored.",
)]
pub(crate) struct Cli {
    /// Address for agents, the page and the API
    #[arg(long, env = "PULLTRACE_HTTP_ADDR", value_name = "ADDRESS", default_value = ":8080", value_parser = value::address)]
    pub(crate) http_addr: SocketAddr,

    /// Address of the Prometheus endpoint; `off` disables it
    #[arg(long, env = "PULLTRACE_METRICS_ADDR", value_name = "ADDRESS", default_value = ":9090", value_parser = value::metrics_address)]
    pub(crate) metrics_addr: MetricsAddress,

    /// Retention period of ended pulls
    #[arg(long, env = "PULLTRACE_HISTORY_TTL", value_name = "DURATION", default_value = "30m", value_parser = value::time)]
    pub(crate) history_ttl: Duration,

    /// Cluster name shown on the page, at most 63 visible characters
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

// No doc comments on these structs: clap would use them as the help of the whole command.
#[derive(Debug, Args)]
#[command(next_help_heading = "Kubernetes (links pods to pulls; reads pods and events)")]
pub(crate) struct ClusterArgs {
    /// Connect to the Kubernetes API; auto connects in a pod with a service account, or if a
    /// kubeconfig or context is given
    #[arg(long, env = "PULLTRACE_KUBERNETES", value_name = "MODE", default_value = "auto")]
    pub(crate) kubernetes: KubernetesMode,

    /// Kubeconfig file [default: that of `kubectl`, else the service account of the pod]
    #[arg(long, env = "PULLTRACE_KUBECONFIG", value_name = "FILE")]
    pub(crate) kubeconfig: Option<PathBuf>,

    /// Kubeconfig context [default: current context]
    #[arg(long, env = "PULLTRACE_KUBE_CONTEXT", value_name = "NAME")]
    pub(crate) context: Option<String>,

    /// Namespaces to watch for pods and events, comma-separated, at most 100 [default: all]
    #[arg(
        long,
        env = "PULLTRACE_WATCH_NAMESPACES",
        value_name = "NAMES",
        value_delimiter = ',',
        value_parser = namespace
    )]
    pub(crate) watch_namespaces: Vec<String>,
}

/// Selects whether to connect to the Kubernetes API.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(crate) enum KubernetesMode {
    Auto,
    On,
    Off,
}

/// Parses a namespace name.
fn namespace(text: &str) -> Result<String, String> {
    let inner = |byte: u8| byte.is_ascii_lowercase() || byte.is_ascii_digit() || byte == b'-';
    let edge = text.starts_with('-') || text.ends_with('-');
    if text.is_empty() || text.len() > 63 || edge || !text.bytes().all(inner) {
        return Err(
            "invalid namespace: expected names as in `kubectl get namespaces`, comma-separated"
                .to_owned(),
        );
    }
    Ok(text.to_owned())
}

#[derive(Debug, Args)]
#[command(next_help_heading = "Access (no tokens needed if only this machine can connect)")]
pub(crate) struct AccessArgs {
    /// Token required from agents; visible in the process list, prefer the variable or a file
    #[arg(long, env = "PULLTRACE_AGENT_TOKEN", value_name = "TOKEN", hide_env_values = true)]
    pub(crate) agent_token: Option<String>,

    /// File with the agent tokens, one per line, reloaded every 10 s; takes precedence over the
    /// token
    #[arg(long, env = "PULLTRACE_AGENT_TOKEN_FILE", value_name = "FILE")]
    pub(crate) agent_token_file: Option<PathBuf>,

    /// File with the reader tokens, one per line, reloaded every 10 s
    #[arg(long, env = "PULLTRACE_READER_TOKEN_FILE", value_name = "FILE")]
    pub(crate) reader_token_file: Option<PathBuf>,

    /// Allow unauthenticated access where no token is set
    #[arg(long, env = "PULLTRACE_INSECURE_OPEN")]
    pub(crate) insecure_open: bool,

    /// Accepted host name in requests, repeatable [default: local names if only this machine can
    /// connect, else any]
    #[arg(long, env = "PULLTRACE_ALLOWED_HOSTS", value_name = "HOST", value_delimiter = ',')]
    pub(crate) allowed_host: Vec<String>,

    /// Sites that may embed the page: `none`, or `self` and origins such as
    /// `https://grafana.example`, separated by commas or spaces
    #[arg(long, env = "PULLTRACE_FRAME_ANCESTORS", value_name = "SITES", default_value = "none")]
    pub(crate) frame_ancestors: FrameAncestors,
}

#[derive(Debug, Args)]
#[command(next_help_heading = "TLS (agents and readers; files are reloaded every 60 s)")]
pub(crate) struct TlsArgs {
    /// PEM certificate chain, leaf first
    #[arg(long, env = "PULLTRACE_TLS_CERT_FILE", value_name = "FILE")]
    pub(crate) tls_cert_file: Option<PathBuf>,

    /// PEM private key of the certificate
    #[arg(long, env = "PULLTRACE_TLS_KEY_FILE", value_name = "FILE")]
    pub(crate) tls_key_file: Option<PathBuf>,
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

    #[test]
    fn variables_avoid_kubernetes_service_prefix() {
        for arg in Cli::command().get_arguments() {
            let name = arg.get_env().and_then(|name| name.to_str());
            assert!(!name.is_some_and(|name| name.starts_with("PULLTRACE_SERVER_")), "{name:?}");
        }
    }
}
