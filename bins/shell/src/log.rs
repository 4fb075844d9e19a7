//! The log: its flags, and where it goes.

use std::io::{self, Write};

use clap::{Args, ValueEnum};
use tracing_subscriber::Layer as _;
use tracing_subscriber::filter::{LevelFilter, Targets};
use tracing_subscriber::layer::SubscriberExt as _;
use tracing_subscriber::util::SubscriberInitExt as _;

#[derive(Clone, Copy, Debug, Args)]
#[command(next_help_heading = "Log (on standard error)")]
pub struct LogArgs {
    /// What to log; info has a line for each pull that ended and each 15 s of a long one [default: info, and warn where pulls are shown on a terminal]
    #[arg(
        long,
        env = "PULLTRACE_LOG_LEVEL",
        value_name = "LEVEL",
        ignore_case = true,
        global = true
    )]
    pub log_level: Option<LogLevel>,

    /// How to write the log
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

/// Begins to log to what `writer` makes. `shown` where what the log says of pulls is shown anyway: then
/// only what is wrong is logged, unless a level was asked for.
///
/// # Panics
/// Where the process logs already.
pub fn begin<W: Write + 'static>(
    args: LogArgs,
    shown: bool,
    writer: impl Fn() -> W + Send + Sync + 'static,
) {
    let usual = if shown {
        LevelFilter::WARN
    } else {
        LevelFilter::INFO
    };
    let level = args.log_level.map_or(usual, filter);
    // Ours; of the libraries below only what is wrong.
    let mut targets = Targets::new()
        .with_default(level.min(LevelFilter::WARN))
        .with_target("pulltrace", level);
    if args.log_level.is_none() && shown {
        // How each pull ended is in the view.
        targets = targets.with_target("pulltrace::pull", LevelFilter::OFF);
    }
    let layer = tracing_subscriber::fmt::layer().with_writer(writer);
    let layer = match args.log_format {
        LogFormat::Json => layer
            .json()
            .flatten_event(true)
            .with_current_span(false)
            .boxed(),
        LogFormat::Text => layer.with_target(false).with_ansi(false).boxed(),
    };
    tracing_subscriber::registry()
        .with(layer.with_filter(targets))
        .init();
}

/// The log of a program that shows nothing else, on standard error.
pub fn begin_on_stderr(args: LogArgs) {
    begin(args, false, io::stderr);
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
