//! The demo's own options. All others are passed to `pulltrace watch`.

use std::ffi::OsString;
use std::path::PathBuf;
use std::process::ExitCode;
use std::time::Duration;

use clap::{CommandFactory as _, Parser, value_parser};
use pulltrace_shell as shell;

/// The help, which `cargo xtask demo --help` prints as well, without a build.
const HELP: &str = include_str!("help.txt");

/// The parsed arguments.
#[derive(Clone, Debug, PartialEq, Eq, Parser)]
#[command(name = "demo", override_help = HELP)]
pub(crate) struct Args {
    /// With pods: a kubelet pulls, and an API server knows which pods need the images.
    #[arg(long, conflicts_with_all = ["replay", "record", "brief"])]
    pub(crate) kubernetes: bool,
    /// The duration; until Ctrl-C when `None`.
    #[arg(long, value_parser = value_parser!(u32).range(1..))]
    seconds: Option<u32>,
    /// A version of containerd; the best available one when `None`.
    #[arg(long)]
    pub(crate) containerd: Option<String>,
    #[arg(long, default_value_t = 1)]
    pub(crate) seed: u64,
    #[arg(long)]
    pub(crate) brief: bool,
    /// The port of the page; the default port or a free one when `None`.
    #[arg(long)]
    pub(crate) port: Option<u16>,
    #[arg(long, conflicts_with_all = ["record", "brief", "containerd"])]
    pub(crate) replay: bool,
    /// A file to record to instead of watching.
    #[arg(long)]
    pub(crate) record: Option<PathBuf>,
    // Flags that `watch` has, but that would point it to another source than the demo's.
    #[arg(long, value_parser = unsupported)]
    socket: Option<String>,
    #[arg(long, value_parser = unsupported)]
    namespace: Option<String>,
    #[arg(long, value_parser = unsupported)]
    server: Option<String>,
    /// Flags for `pulltrace watch`.
    #[arg(skip)]
    pub(crate) watch_flags: Vec<OsString>,
}

impl Args {
    pub(crate) fn duration(&self) -> Option<Duration> {
        self.seconds.map(|seconds| Duration::from_secs(seconds.into()))
    }
}

/// Parses the command line.
///
/// # Errors
/// Returns the exit code if the program should exit: 0 after `--help`, otherwise 2.
pub(crate) fn parse() -> Result<Args, ExitCode> {
    let (own, watch_flags) = split(std::env::args_os());
    Ok(Args { watch_flags, ..shell::args::parse_from(&own)? })
}

/// Splits the arguments into the demo's own, with their values, and those of `pulltrace watch`.
/// clap cannot collect unknown flags between known ones.
fn split(args: impl IntoIterator<Item = OsString>) -> (Vec<OsString>, Vec<OsString>) {
    let mut command = Args::command();
    // Adds `--help`.
    command.build();
    let mut args = args.into_iter();
    let (mut own, mut others): (Vec<_>, _) = (args.by_ref().take(1).collect(), Vec::new());
    while let Some(arg) = args.next() {
        let text = arg.to_str().unwrap_or_default();
        let flag = text.split('=').next().unwrap_or_default();
        let option = command.get_arguments().find(|option| {
            let long = flag.strip_prefix("--");
            (long.is_some() && option.get_long() == long)
                || (flag == "-h" && option.get_id() == "help")
        });
        let Some(option) = option else {
            others.push(arg);
            continue;
        };
        let value_follows = option.get_action().takes_values() && !text.contains('=');
        own.push(arg);
        own.extend(args.by_ref().take(usize::from(value_follows)));
    }
    (own, others)
}

fn unsupported(_: &str) -> Result<String, &'static str> {
    Err("the demo starts its own containerd and server: use `pulltrace watch` for existing ones")
}

#[cfg(test)]
mod tests {
    use clap::error::ErrorKind;

    use super::*;

    fn read(line: &str) -> Result<Args, ErrorKind> {
        let (own, watch_flags) =
            split(["demo"].into_iter().chain(line.split_whitespace()).map(Into::into));
        let parsed = Args::try_parse_from(&own).map_err(|error| error.kind())?;
        Ok(Args { watch_flags, ..parsed })
    }

    #[test]
    fn unknown_flags_are_passed_to_watch() {
        let line =
            "--output json --seconds 5 --layers all --seed=3 --containerd v1.6.20 --color=never -x";
        let args = read(line).unwrap();
        assert_eq!(args.duration(), Some(Duration::from_secs(5)));
        assert_eq!((args.seed, args.containerd.as_deref()), (3, Some("v1.6.20")));
        let passed = ["--output", "json", "--layers", "all", "--color=never", "-x"];
        assert_eq!(args.watch_flags, passed.map(OsString::from));
        let none = read("").unwrap();
        assert_eq!((none.duration(), none.seed, none.watch_flags.len()), (None, 1, 0));
    }

    #[test]
    fn invalid_arguments_are_rejected() {
        for (line, kind) in [
            ("--seconds", ErrorKind::InvalidValue),
            ("--seconds=", ErrorKind::ValueValidation),
            ("--seconds 0", ErrorKind::ValueValidation),
            ("--seconds=-1", ErrorKind::ValueValidation),
            ("--seed x", ErrorKind::ValueValidation),
            ("--port 70000", ErrorKind::ValueValidation),
            ("--server http://x", ErrorKind::ValueValidation),
            ("--socket /run/x", ErrorKind::ValueValidation),
            ("--namespace=default", ErrorKind::ValueValidation),
            ("--replay --brief", ErrorKind::ArgumentConflict),
            ("--kubernetes --brief", ErrorKind::ArgumentConflict),
            ("--output json -h", ErrorKind::DisplayHelp),
        ] {
            assert_eq!(read(line).unwrap_err(), kind, "{line}");
        }
    }

    #[test]
    fn help_describes_every_option() {
        let is_described = |name: &str| HELP.contains(&format!("--{name} "));
        let unsupported = ["socket", "namespace", "server"];
        for option in Args::command().get_arguments().filter_map(clap::Arg::get_long) {
            assert!(is_described(option) || unsupported.contains(&option), "--{option}");
        }
    }
}
