//! Flags common to the programs that observe a node.

use std::path::PathBuf;
use std::time::Duration;

use clap::Args;
use pulltrace_core::{Limits, NameError, Namespace, NodeName};

use crate::value;

// No doc comments on these structs: clap would show them as the description of the command.
#[derive(Debug, Args)]
pub struct SourceArgs {
    /// containerd socket [default: k3s or RKE2 socket if any, else /run/containerd/containerd.sock]
    #[arg(long, env = "PULLTRACE_CONTAINERD_SOCKET", value_name = "PATH", global = true)]
    pub socket: Option<PathBuf>,

    /// containerd namespace; the kubelet uses `k8s.io`; ctr and nerdctl use `default`
    #[arg(
        long,
        env = "PULLTRACE_CONTAINERD_NAMESPACE",
        value_name = "NAME",
        default_value = "k8s.io",
        global = true
    )]
    pub namespace: Namespace,

    /// Name of this node [default: host name]
    #[arg(long, env = "PULLTRACE_NODE_NAME", value_name = "NAME", global = true)]
    pub node_name: Option<NodeName>,

    #[command(flatten)]
    pub limits: LimitArgs,
}

#[derive(Clone, Copy, Debug, Args)]
pub struct LimitArgs {
    /// Time without data after which an active download counts as stalled
    #[arg(long, env = "PULLTRACE_STALL_AFTER", value_name = "DURATION", default_value = "30s", value_parser = value::time, global = true)]
    pub stall_after: Duration,

    /// Retention period of ended pulls
    #[arg(long, env = "PULLTRACE_HISTORY_TTL", value_name = "DURATION", default_value = "30m", value_parser = value::time, global = true)]
    pub history_ttl: Duration,
}

impl LimitArgs {
    /// Returns the default limits of a pull table with these values set.
    #[must_use]
    pub fn limits(self) -> Limits {
        let mut limits = Limits::default();
        limits.stall_timeout = self.stall_after;
        limits.retention = self.history_ttl;
        limits
    }
}

impl SourceArgs {
    /// Returns the name of this node: the flag's value, or the host name.
    ///
    /// # Errors
    /// Returns an error if the host name is unreadable or not a valid node name.
    pub fn node(&self) -> Result<NodeName, NameError> {
        if let Some(name) = &self.node_name {
            return Ok(name.clone());
        }
        ["/proc/sys/kernel/hostname", "/etc/hostname"]
            .into_iter()
            .find_map(|path| std::fs::read_to_string(path).ok())
            .unwrap_or_default()
            .trim()
            .parse()
    }
}
