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

/// See every image pull of a containerd, or of all nodes of a cluster, live.
///
/// What is downloading, how far it is, how fast, when it will be ready; what waits, and for what; what
/// is stuck; and how each pull ended. It only ever reads from containerd. What it cannot know it says
/// so: nothing is guessed, and 100 % is only shown of an image that is there.
#[derive(Debug, Parser)]
#[command(
    name = "pulltrace",
    version = pulltrace_shell::VERSION,
    arg_required_else_help = true,
    after_help = "\
Examples:
  pulltrace watch                          the pulls of this machine, live
  pulltrace watch --namespace default      those that `ctr` and nerdctl make
  pulltrace watch --output json | jq .     each change as one JSON object
  pulltrace watch --server URL             those of all nodes, as a pulltrace server tells them
  pulltrace watch --server URL -n shop     those that pods of the namespace shop wait for
  pulltrace up                             those of this machine as a page, an API and a stream
  pulltrace record pulls.jsonl             write down what happens
  pulltrace replay pulls.jsonl --speed 10  and look at it again, ten times as fast

Exit codes: 0 done or stopped by a signal, 1 failed, 2 the call was wrong.
A variable in [env: …] stands in for its flag; an empty one counts as not set.",
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

/// Show the pulls of a containerd, or of all nodes of a server, as they happen
///
/// On a terminal the view is drawn in place: a line or two for each pull, and below it the layers that
/// move or wait. In a bar, what is unpacked stands before what is only downloaded. Pulls that ended
/// stay with how they ended. In a pipe there is a line for each start, each change of what a pull is
/// doing, each 5 seconds of progress and each end.
///
/// A containerd or a server that is not there is looked for until it is, and said to be away. Ctrl-C ends.
///
/// With `--server` it asks a pulltrace server, also for the pulls that ended of late; the flags of this
/// machine's containerd do nothing then.
#[derive(Debug, Args)]
pub(crate) struct WatchArgs {
    #[command(flatten)]
    pub(crate) source: SourceArgs,
    #[command(flatten)]
    pub(crate) view: ViewArgs,

    /// Tell changes at most this often; starts and ends are told at once [default: 250ms drawn, 1s in lines]
    #[arg(long, env = "PULLTRACE_REPORT_INTERVAL", value_name = "DURATION", value_parser = time)]
    pub(crate) report_interval: Option<Duration>,

    // Last: what follows would stand under its heading.
    #[command(flatten)]
    pub(crate) server: ServerArgs,
}

// No doc comments on these structs: clap would make them the help of the whole command.
#[derive(Debug, Args)]
#[command(next_help_heading = "All nodes, by a server")]
pub(crate) struct ServerArgs {
    /// The pulltrace server to ask instead of this machine's containerd, http or https
    #[arg(long, env = "PULLTRACE_SERVER_URL", value_name = "URL", value_parser = value::server)]
    pub(crate) server: Option<String>,

    /// A file with the token that the server knows readers by, read for each request
    #[arg(long, env = "PULLTRACE_READER_TOKEN_FILE", value_name = "FILE")]
    pub(crate) token_file: Option<PathBuf>,

    /// Only the pulls of this node
    #[arg(long, value_name = "NAME", requires = "server")]
    pub(crate) node: Option<String>,

    /// Only the pulls that pods of this Kubernetes namespace wait for
    #[arg(short = 'n', long, value_name = "NAME", requires = "server")]
    pub(crate) pod_namespace: Option<String>,

    /// Only the pulls that pods of this name wait for
    #[arg(long, value_name = "NAME", requires = "server")]
    pub(crate) pod: Option<String>,

    /// Only the pulls of images whose name has this in it, or whose digest is exactly this
    #[arg(long, value_name = "TEXT", requires = "server")]
    pub(crate) image: Option<String>,

    /// Only pulls in one of these phases: queued, resolving, downloading, extracting, completed, failed, cancelled, unknown
    #[arg(long, value_name = "PHASE", value_delimiter = ',', value_parser = value::phase, requires = "server")]
    pub(crate) phase: Vec<Phase>,
}

/// Show the pulls of this machine as a page, an API and a stream
///
/// Agent and server in one process: it prints its URL, and serves until Ctrl-C. Only this machine reaches
/// it, unless another address is given.
///
/// With `--replay` it shows a recording instead of this machine's containerd. When that is over, what it
/// showed stays to be looked at.
#[derive(Debug, Args)]
pub(crate) struct UpArgs {
    /// Where the page, the API and the stream are; port 0 is any free one
    #[arg(long, env = "PULLTRACE_HTTP_ADDR", value_name = "ADDRESS", default_value = "127.0.0.1:8080", value_parser = address)]
    pub(crate) http_addr: SocketAddr,

    /// Open the page in the browser
    #[arg(long)]
    pub(crate) open: bool,

    /// A file with the token that readers must bring, or several, one a line; needed where other machines reach the address
    #[arg(long, env = "PULLTRACE_READER_TOKEN_FILE", value_name = "FILE")]
    pub(crate) reader_token_file: Option<PathBuf>,

    /// Let whoever reaches the address read, where no token is set
    #[arg(long, env = "PULLTRACE_INSECURE_OPEN")]
    pub(crate) insecure_open: bool,

    /// A file that `record` wrote, to be shown instead of this machine's containerd
    #[arg(long, value_name = "FILE")]
    pub(crate) replay: Option<PathBuf>,

    /// How many times as fast as it happened; `max` or `0` for no wait at all
    #[arg(long, value_name = "N", default_value = "1", value_parser = value::speed, allow_negative_numbers = true, requires = "replay")]
    pub(crate) speed: Speed,

    #[command(flatten)]
    pub(crate) source: SourceArgs,
}

/// Write down what containerd tells, to be replayed
///
/// The file holds JSON lines: image names, digests, sizes and times, and the manifests of images. It
/// can be replayed elsewhere, without containerd. The pulls are shown meanwhile as lines on standard
/// error. Ctrl-C ends.
#[derive(Debug, Args)]
pub(crate) struct RecordArgs {
    /// Where to write to; a file that is there already is left alone
    #[arg(value_name = "FILE")]
    pub(crate) file: PathBuf,

    /// Overwrite the file
    #[arg(long)]
    pub(crate) force: bool,

    #[command(flatten)]
    pub(crate) source: SourceArgs,
}

/// Show the pulls of a recording, as `watch` does
#[derive(Debug, Args)]
pub(crate) struct ReplayArgs {
    /// A file that `record` wrote
    #[arg(value_name = "FILE")]
    pub(crate) file: PathBuf,

    /// How many times as fast as it happened; `max` or `0` for no wait at all
    #[arg(long, value_name = "N", default_value = "1", value_parser = value::speed, allow_negative_numbers = true)]
    pub(crate) speed: Speed,

    #[command(flatten)]
    pub(crate) view: ViewArgs,
    #[command(flatten)]
    pub(crate) limits: LimitArgs,
}

#[derive(Clone, Copy, Debug, Args)]
pub(crate) struct ViewArgs {
    /// How to show the pulls: drawn in place, as lines, or as JSON lines; auto is live on a terminal, else plain
    #[arg(long, value_name = "HOW", default_value = "auto", ignore_case = true)]
    pub(crate) output: Output,

    /// Which layers have lines of their own in the live view
    #[arg(
        long,
        value_name = "WHICH",
        default_value = "active",
        ignore_case = true
    )]
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
    fn the_flags_are_sound() {
        Cli::command().debug_assert();
    }

    #[test]
    fn the_documentation_tells_of_each_flag() {
        let page = concat!(env!("CARGO_MANIFEST_DIR"), "/../../docs/configuration.md");
        pulltrace_shell::markdown::check(page.as_ref(), &Cli::command()).unwrap();
    }
}
