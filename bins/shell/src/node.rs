//! The flags of programs that watch a node.

use std::path::PathBuf;
use std::time::Duration;

use clap::Args;
use pulltrace_core::{Limits, NameError, Namespace, NodeName};

use crate::value;

// No doc comments on these structs: clap would make them the help of the whole command.
#[derive(Debug, Args)]
pub struct SourceArgs {
    /// The socket of containerd [default: that of k3s or RKE2, else /run/containerd/containerd.sock]
    #[arg(
        long,
        env = "PULLTRACE_CONTAINERD_SOCKET",
        value_name = "PATH",
        global = true
    )]
    pub socket: Option<PathBuf>,

    /// The containerd namespace; the kubelet pulls into k8s.io, `ctr` and nerdctl into default
    #[arg(
        long,
        env = "PULLTRACE_CONTAINERD_NAMESPACE",
        value_name = "NAME",
        default_value = "k8s.io",
        global = true
    )]
    pub namespace: Namespace,

    /// The name of this node [default: the host name]
    #[arg(long, env = "PULLTRACE_NODE_NAME", value_name = "NAME", global = true)]
    pub node_name: Option<NodeName>,

    #[command(flatten)]
    pub limits: LimitArgs,
}

#[derive(Clone, Copy, Debug, Args)]
pub struct LimitArgs {
    /// A download that waits for nothing is stalled after so long without a byte
    #[arg(long, env = "PULLTRACE_STALL_AFTER", value_name = "DURATION", default_value = "30s", value_parser = value::time, global = true)]
    pub stall_after: Duration,

    /// How long pulls that ended are kept
    #[arg(long, env = "PULLTRACE_HISTORY_TTL", value_name = "DURATION", default_value = "30m", value_parser = value::time, global = true)]
    pub history_ttl: Duration,
}

impl LimitArgs {
    /// The bounds of a table of pulls.
    #[must_use]
    pub fn limits(self) -> Limits {
        let mut limits = Limits::default();
        limits.stall_after = self.stall_after;
        limits.ended_for = self.history_ttl;
        limits
    }
}

impl SourceArgs {
    /// The name of this node: as given, or that of the machine.
    ///
    /// # Errors
    /// Where the machine's name cannot name a node.
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
