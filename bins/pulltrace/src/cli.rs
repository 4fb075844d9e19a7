//! Flags and their environment variables.

use std::net::SocketAddr;
use std::path::PathBuf;
use std::time::Duration;

use clap::{Args, Parser, Subcommand, ValueEnum};
use pulltrace_agent_lib::source::containerd::replay::Speed;
use pulltrace_core::wire::v1::Phase;
use pulltrace_shell::log::LogArgs;
use pulltrace_shell::node::{LimitArgs, SourceArgs};
use pulltrace_shell::value::{address, time};

use crate::value;
use crate::view::live::Layers;

/// Watch image pulls live, on this machine or across a cluster
///
/// Shows progress, speed and time left of each pull, the reason why pulls wait or stall, and how
/// each pull ended. Only reads from containerd. Unknown values are shown as unknown, never guessed;
/// 100 % means that the image is complete.
#[derive(Debug, Parser)]
#[command(
    name = "pulltrace",
    version = pulltrace_shell::VERSION,
    arg_required_else_help = true,
    after_help = "\
Examples:
  pulltrace watch                          show the pulls of this machine, live
  pulltrace watch --namespace default      show pulls made with `ctr` or nerdctl
  pulltrace watch --output json | jq .     print each change as a JSON object
  pulltrace watch --server URL             show the pulls of all nodes
  pulltrace watch --server URL -n shop     show pulls for pods of namespace shop
  pulltrace up                             serve the pulls of this machine as a page
  pulltrace record pulls.jsonl             record the pulls of this machine
  pulltrace replay pulls.jsonl --speed 10  replay a recording ten times as fast

Exit codes: 0 done or stopped by a signal, 1 error, 2 usage error.
Flags override the variables in [env: …]; empty variables are ignored.",
)]
pub(crate) struct Cli {
    #[command(flatten)]
    pub(crate) log: LogArgs,
    #[command(subcommand)]
    pub(crate) command: Command,
}

#[derive(Debug, Subcommand)]
pub(crate) enum Command {
    Watch(WatchArgs),
    Up(UpArgs),
    Record(RecordArgs),
    Replay(ReplayArgs),
}

/// Show pulls as they happen, on this machine or on all nodes of a server
///
/// On a terminal the view is updated in place: one or two lines per pull, then the layers that are
/// active or waiting. In a progress bar, unpacked data precedes data that is only downloaded.
/// Ended pulls stay with their result. In a pipe, there is a line for each start, each change of
/// state, every 5 seconds of progress, and each end.
///
/// If containerd or the server is unavailable, says so and keeps retrying. Stop with Ctrl-C.
///
/// With `--server`, shows the pulls of a pulltrace server, including recently ended ones; the
/// containerd flags have no effect.
#[derive(Debug, Args)]
pub(crate) struct WatchArgs {
    #[command(flatten)]
    pub(crate) source: SourceArgs,
    #[command(flatten)]
    pub(crate) view: ViewArgs,

    /// Minimum time between progress updates; starts and ends are shown immediately [default: 250ms
    /// live, 1s as lines]
    #[arg(long, env = "PULLTRACE_REPORT_INTERVAL", value_name = "DURATION", value_parser = time)]
    pub(crate) report_interval: Option<Duration>,

    // Last, because flags after it would appear under its heading.
    #[command(flatten)]
    pub(crate) server: ServerArgs,
}

// No doc comments on these structs: clap would use them as the help of the whole command.
#[derive(Debug, Args)]
#[command(next_help_heading = "All nodes, from a server")]
pub(crate) struct ServerArgs {
    /// URL of a pulltrace server to use instead of the local containerd, http or https
    #[arg(long, env = "PULLTRACE_SERVER_URL", value_name = "URL", value_parser = value::server)]
    pub(crate) server: Option<String>,

    /// File with the reader token, read for every request
    #[arg(long, env = "PULLTRACE_READER_TOKEN_FILE", value_name = "FILE")]
    pub(crate) token_file: Option<PathBuf>,

    /// Only pulls on this node
    #[arg(long, value_name = "NAME", requires = "server")]
    pub(crate) node: Option<String>,

    /// Only pulls that pods in this Kubernetes namespace wait for
    #[arg(short = 'n', long, value_name = "NAME", requires = "server")]
    pub(crate) pod_namespace: Option<String>,

    /// Only pulls that pods with this name wait for
    #[arg(long, value_name = "NAME", requires = "server")]
    pub(crate) pod: Option<String>,

    /// Only images whose name contains this text, or with exactly this digest
    #[arg(long, value_name = "TEXT", requires = "server")]
    pub(crate) image: Option<String>,

    /// Only pulls in these phases, comma-separated: queued, resolving, downloading, extracting,
    /// completed, failed, cancelled, unknown
    #[arg(long, value_name = "PHASE", value_delimiter = ',', value_parser = value::phase, requires = "server")]
    pub(crate) phase: Vec<Phase>,
}

/// Serve the pulls of this machine as a page, an API and an event stream
///
/// Runs agent and server in one process, prints the URL, and serves until Ctrl-C. Only this machine
/// can connect, unless another address is given.
///
/// With `--replay`, serves a recording instead of the local containerd. At its end, the last state
/// stays available.
#[derive(Debug, Args)]
pub(crate) struct UpArgs {
    /// Address of the page, the API and the event stream; port 0 selects a free port
    #[arg(long, env = "PULLTRACE_HTTP_ADDR", value_name = "ADDRESS", default_value = "127.0.0.1:8080", value_parser = address)]
    pub(crate) http_addr: SocketAddr,

    /// Open the page in the browser
    #[arg(long)]
    pub(crate) open: bool,

    /// File with the reader tokens, one per line; required if other machines can reach the address
    #[arg(long, env = "PULLTRACE_READER_TOKEN_FILE", value_name = "FILE")]
    pub(crate) reader_token_file: Option<PathBuf>,

    /// Allow unauthenticated access where no token is set
    #[arg(long, env = "PULLTRACE_INSECURE_OPEN")]
    pub(crate) insecure_open: bool,

    /// Recording made by `record`, served instead of the local containerd
    #[arg(long, value_name = "FILE")]
    pub(crate) replay: Option<PathBuf>,

    /// Replay speed as a factor; `max` or `0` to replay without waiting
    #[arg(long, value_name = "N", default_value = "1", value_parser = value::speed, allow_negative_numbers = true, requires = "replay")]
    pub(crate) speed: Speed,

    #[command(flatten)]
    pub(crate) source: SourceArgs,
}

/// Record what containerd reports, for `replay`
///
/// The file contains JSON lines: image names, digests, sizes, times, and image manifests. It can be
/// replayed elsewhere, without containerd. Meanwhile, pulls are printed as lines on standard error.
/// Stop with Ctrl-C.
#[derive(Debug, Args)]
pub(crate) struct RecordArgs {
    /// Output file; must not exist unless --force is given
    #[arg(value_name = "FILE")]
    pub(crate) file: PathBuf,

    /// Overwrite an existing file
    #[arg(long)]
    pub(crate) force: bool,

    #[command(flatten)]
    pub(crate) source: SourceArgs,
}

/// Replay a recording, shown like `watch`
#[derive(Debug, Args)]
pub(crate) struct ReplayArgs {
    /// Recording made by `record`
    #[arg(value_name = "FILE")]
    pub(crate) file: PathBuf,

    /// Replay speed as a factor; `max` or `0` to replay without waiting
    #[arg(long, value_name = "N", default_value = "1", value_parser = value::speed, allow_negative_numbers = true)]
    pub(crate) speed: Speed,

    #[command(flatten)]
    pub(crate) view: ViewArgs,
    #[command(flatten)]
    pub(crate) limits: LimitArgs,
}

#[derive(Clone, Copy, Debug, Args)]
pub(crate) struct ViewArgs {
    /// Output format: live is updated in place, plain and json are lines; auto is live on a
    /// terminal, else plain
    #[arg(long, value_name = "FORMAT", default_value = "auto", ignore_case = true)]
    pub(crate) output: Output,

    /// Layers shown individually in the live view
    #[arg(long, value_name = "LAYERS", default_value = "active", ignore_case = true)]
    pub(crate) layers: Layers,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(crate) enum Output {
    Auto,
    Live,
    Plain,
    Json,
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
