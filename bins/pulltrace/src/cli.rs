//! Flags and their environment variables.
//!
//! A flag wins over its variable. A variable that is empty counts as not set, as manifests and shells
//! often leave one. A value that is not accepted ends the program with exit code 2 and one line that
//! names the flag or the variable, the value, and what is accepted.

use std::error::Error as _;
use std::ffi::OsString;
use std::io::Write as _;
use std::path::PathBuf;
use std::process::ExitCode;
use std::time::Duration;

use clap::error::{ContextKind, ContextValue, ErrorKind};
use clap::{Args, CommandFactory as _, FromArgMatches as _, Parser, Subcommand, ValueEnum};
use pulltrace_agent_lib::source::containerd::replay::Speed;
use pulltrace_core::{Limits, Namespace, NodeName};

use crate::value;
use crate::view::live::Layers;

const VERSION: &str = concat!(
    env!("CARGO_PKG_VERSION"),
    " (",
    env!("PULLTRACE_REVISION"),
    ")"
);

/// See every image pull of a containerd, live.
///
/// What is downloading, how far it is, how fast, when it will be ready; what waits, and for what; what
/// is stuck; and how each pull ended. It only ever reads from containerd. What it cannot know it says
/// so: nothing is guessed, and 100 % is only shown of an image that is there.
#[derive(Debug, Parser)]
#[command(
    name = "pulltrace",
    version = VERSION,
    arg_required_else_help = true,
    after_help = "\
Examples:
  pulltrace watch                          the pulls of this machine, live
  pulltrace watch --namespace default      those that `ctr` and nerdctl make
  pulltrace watch --output json | jq .     each change as one JSON object
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
    Record(RecordArgs),
    Replay(ReplayArgs),
}

/// Show the pulls of a containerd as they happen
///
/// On a terminal the view is drawn in place: a line or two for each pull, and below it the layers that
/// move or wait. In a bar, what is unpacked stands before what is only downloaded. Pulls that ended
/// stay with how they ended. In a pipe there is a line for each start, each change of what a pull is
/// doing, each 5 seconds of progress and each end.
///
/// A containerd that is not there is looked for until it is, and said to be away. Ctrl-C ends.
#[derive(Debug, Args)]
pub(crate) struct WatchArgs {
    #[command(flatten)]
    pub(crate) source: SourceArgs,
    #[command(flatten)]
    pub(crate) view: ViewArgs,

    /// Tell changes at most this often; starts and ends are told at once [default: 250ms drawn, 1s in lines]
    #[arg(long, env = "PULLTRACE_REPORT_INTERVAL", value_name = "DURATION", value_parser = value::time)]
    pub(crate) report_interval: Option<Duration>,
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

#[derive(Debug, Args)]
pub(crate) struct SourceArgs {
    /// The socket of containerd [default: that of k3s or RKE2, else /run/containerd/containerd.sock]
    #[arg(long, env = "PULLTRACE_CONTAINERD_SOCKET", value_name = "PATH")]
    pub(crate) socket: Option<PathBuf>,

    /// The containerd namespace; the kubelet pulls into k8s.io, `ctr` and nerdctl into default
    #[arg(
        long,
        env = "PULLTRACE_CONTAINERD_NAMESPACE",
        value_name = "NAME",
        default_value = pulltrace_agent_lib::source::containerd::KUBERNETES
    )]
    pub(crate) namespace: Namespace,

    /// The name of this node [default: the host name]
    #[arg(long, env = "PULLTRACE_NODE_NAME", value_name = "NAME")]
    pub(crate) node_name: Option<NodeName>,

    #[command(flatten)]
    pub(crate) limits: LimitArgs,
}

#[derive(Clone, Copy, Debug, Args)]
pub(crate) struct LimitArgs {
    /// A download that waits for nothing is stalled after so long without a byte
    #[arg(long, env = "PULLTRACE_STALL_AFTER", value_name = "DURATION", default_value = "30s", value_parser = value::time)]
    stall_after: Duration,

    /// How long pulls that ended are kept
    #[arg(long, env = "PULLTRACE_HISTORY_TTL", value_name = "DURATION", default_value = "30m", value_parser = value::time)]
    history_ttl: Duration,
}

impl LimitArgs {
    pub(crate) fn limits(self) -> Limits {
        let mut limits = Limits::default();
        limits.stall_after = self.stall_after;
        limits.ended_for = self.history_ttl;
        limits
    }
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

#[derive(Clone, Copy, Debug, Args)]
#[command(next_help_heading = "Log (on standard error)")]
pub(crate) struct LogArgs {
    /// What to log; info has a line for each pull that ended and each 15 s of a long one [default: warn on a terminal, else info]
    #[arg(
        long,
        env = "PULLTRACE_LOG_LEVEL",
        value_name = "LEVEL",
        ignore_case = true,
        global = true
    )]
    pub(crate) log_level: Option<LogLevel>,

    /// How to write the log
    #[arg(
        long,
        env = "PULLTRACE_LOG_FORMAT",
        value_name = "FORMAT",
        default_value = "text",
        ignore_case = true,
        global = true
    )]
    pub(crate) log_format: LogFormat,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(crate) enum LogLevel {
    Off,
    Error,
    Warn,
    Info,
    Debug,
    Trace,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(crate) enum LogFormat {
    Text,
    Json,
}

/// Reads the command line; where there is nothing to run, the exit code.
pub(crate) fn parse() -> Result<Cli, ExitCode> {
    let args: Vec<OsString> = std::env::args_os().collect();
    let command = without_empty_variables(Cli::command());
    let parsed = command
        .clone()
        .try_get_matches_from(&args)
        .and_then(|matches| Cli::from_arg_matches(&matches));
    parsed.map_err(|error| {
        match refusal(&error, &command, &args) {
            Some(line) => {
                // Where standard error is gone nobody can be told; the exit code stays.
                let _untold = std::io::stderr().write_all(line.as_bytes());
            }
            None => {
                let _untold = error.print();
            }
        }
        // 0 after --help and --version, else 2.
        ExitCode::from(u8::try_from(error.exit_code()).unwrap_or(2))
    })
}

/// An empty variable counts as not set.
fn without_empty_variables(command: clap::Command) -> clap::Command {
    command
        .mut_args(|arg| {
            let empty = |name| std::env::var_os(name).is_some_and(|value| value.is_empty());
            if arg.get_env().is_some_and(empty) {
                arg.env(None::<&'static str>)
            } else {
                arg
            }
        })
        .mut_subcommands(without_empty_variables)
}

/// A value that was not accepted, as one line; `None` where that is not what is wrong.
fn refusal(error: &clap::Error, command: &clap::Command, args: &[OsString]) -> Option<String> {
    if !matches!(
        error.kind(),
        ErrorKind::InvalidValue | ErrorKind::ValueValidation
    ) {
        return None;
    }
    let Some(ContextValue::String(arg)) = error.get(ContextKind::InvalidArg) else {
        return None;
    };
    let Some(ContextValue::String(value)) = error.get(ContextKind::InvalidValue) else {
        return None;
    };
    let flag = arg.split_whitespace().next()?;
    let given = args.iter().filter_map(|arg| arg.to_str()).any(|arg| {
        arg == flag
            || arg
                .strip_prefix(flag)
                .is_some_and(|rest| rest.starts_with('='))
    });
    let name = match variable(command, flag) {
        Some(variable) if !given => variable,
        _ => flag.to_owned(),
    };
    let accepted = match error.get(ContextKind::ValidValue) {
        Some(ContextValue::Strings(values)) if !values.is_empty() => {
            format!("accepted are {}", values.join(", "))
        }
        _ if value.is_empty() => "a value is needed".to_owned(),
        _ => error.source()?.to_string(),
    };
    Some(format!("pulltrace: {name} is {value:?}: {accepted}\n"))
}

/// The variable that stands in for a flag.
fn variable(command: &clap::Command, flag: &str) -> Option<String> {
    let long = flag.trim_start_matches('-');
    command
        .get_arguments()
        .chain(
            command
                .get_subcommands()
                .flat_map(clap::Command::get_arguments),
        )
        .filter(|arg| arg.get_long() == Some(long))
        .find_map(|arg| arg.get_env()?.to_str().map(ToOwned::to_owned))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_flags_are_sound() {
        Cli::command().debug_assert();
    }
}
