//! Log flags and log output.

use std::io::{self, Write};

use clap::{Args, ValueEnum};
use tracing_subscriber::Layer as _;
use tracing_subscriber::filter::{LevelFilter, Targets};
use tracing_subscriber::layer::SubscriberExt as _;
use tracing_subscriber::util::SubscriberInitExt as _;

#[derive(Clone, Copy, Debug, Args)]
#[command(next_help_heading = "Logging (standard error)")]
pub struct LogArgs {
    /// Log level; info includes every ended pull, and long pulls every 15 s [default: info, or warn
    /// if pulls are shown on a terminal]
    #[arg(
        long,
        env = "PULLTRACE_LOG_LEVEL",
        value_name = "LEVEL",
        ignore_case = true,
        global = true
    )]
    pub log_level: Option<LogLevel>,

    /// Log format
    #[arg(
        long,
        env = "PULLTRACE_LOG_FORMAT",
        value_name = "FORMAT",
        default_value = "text",
        ignore_case = true,
        global = true
    )]
    pub log_format: LogFormat,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum LogLevel {
    Off,
    Error,
    Warn,
    Info,
    Debug,
    Trace,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum LogFormat {
    Text,
    Json,
}

/// Initializes logging to the writers from `writer`. With `shown_in_view`, pulls are visible elsewhere:
/// only warnings are logged unless a level is set.
///
/// # Panics
/// Panics if logging is already initialized.
pub fn init<W: Write + 'static>(
    args: LogArgs,
    shown_in_view: bool,
    writer: impl Fn() -> W + Send + Sync + 'static,
) {
    let default = if shown_in_view { LevelFilter::WARN } else { LevelFilter::INFO };
    let mut targets = targets(args.log_level.map_or(default, filter));
    if args.log_level.is_none() && shown_in_view {
        // The view shows how each pull ended.
        targets = targets.with_target("pulltrace::pull", LevelFilter::OFF);
    }
    let layer = tracing_subscriber::fmt::layer().with_writer(writer);
    let layer = match args.log_format {
        LogFormat::Json => layer.json().flatten_event(true).with_current_span(false).boxed(),
        LogFormat::Text => layer.with_target(false).with_ansi(false).boxed(),
    };
    tracing_subscriber::registry().with(layer.with_filter(targets)).init();
}

/// Returns the targets that are logged at this level.
fn targets(level: LevelFilter) -> Targets {
    Targets::new()
        // Other crates log at most at warn.
        .with_default(level.min(LevelFilter::WARN))
        .with_target("pulltrace", level)
        // kube logs responses that it cannot parse in full, although pods may contain secrets.
        // Sources report the error.
        .with_target("kube_client", LevelFilter::OFF)
        // It logs each retry, which sources report once.
        .with_target("kube_runtime", LevelFilter::OFF)
}

/// Initializes logging to standard error, for programs without a view.
pub fn init_stderr(args: LogArgs) {
    init(args, false, io::stderr);
}

const fn filter(level: LogLevel) -> LevelFilter {
    match level {
        LogLevel::Off => LevelFilter::OFF,
        LogLevel::Error => LevelFilter::ERROR,
        LogLevel::Warn => LevelFilter::WARN,
        LogLevel::Info => LevelFilter::INFO,
        LogLevel::Debug => LevelFilter::DEBUG,
        LogLevel::Trace => LevelFilter::TRACE,
    }
}

#[cfg(test)]
mod tests {
    use tracing::Level;

    use super::*;

    #[test]
    fn api_server_responses_are_never_logged() {
        let targets = targets(LevelFilter::TRACE);
        assert!(!targets.would_enable("kube_client::client", &Level::ERROR));
        assert!(targets.would_enable("pulltrace::server", &Level::TRACE));
    }
}
