//! The log: to standard error, above a view that is drawn on the same terminal.

use std::io::{self, IsTerminal as _};

use tracing_subscriber::Layer as _;
use tracing_subscriber::filter::{LevelFilter, Targets};
use tracing_subscriber::fmt::writer::BoxMakeWriter;
use tracing_subscriber::layer::SubscriberExt as _;
use tracing_subscriber::util::SubscriberInitExt as _;

use crate::cli::{LogArgs, LogFormat, LogLevel};
use crate::view::screen::Screen;

/// Begins to log; past a screen where there is one. `quiet` where what the log says of pulls is shown
/// on standard error anyway.
pub(crate) fn begin(args: LogArgs, screen: Option<&Screen>, quiet: bool) {
    let terminal = io::stderr().is_terminal();
    let level = args.log_level.map_or(
        if terminal || quiet {
            LevelFilter::WARN
        } else {
            LevelFilter::INFO
        },
        filter,
    );
    // Ours; of the libraries below only what is wrong.
    let mut targets = Targets::new()
        .with_default(level.min(LevelFilter::WARN))
        .with_target("pulltrace", level);
    if args.log_level.is_none() && (terminal || quiet) {
        // How each pull ended is in the view.
        targets = targets.with_target("pulltrace::pull", LevelFilter::OFF);
    }
    let writer = match screen {
        Some(screen) => {
            let screen = screen.clone();
            BoxMakeWriter::new(move || screen.clone())
        }
        None => BoxMakeWriter::new(io::stderr),
    };
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
