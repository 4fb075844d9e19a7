//! Logs to standard error, above a view drawn on the same terminal.

use std::io::{self, IsTerminal as _};

use pulltrace_shell::log::{LogArgs, init as init_with};

use crate::view::screen::Screen;

/// Initializes logging; with a screen, lines are written above it. Set `quiet` if the output shows
/// the pulls anyway.
pub(crate) fn init(args: LogArgs, screen: Option<&Screen>, quiet: bool) {
    let shown = quiet || io::stderr().is_terminal();
    match screen.cloned() {
        Some(screen) => init_with(args, shown, move || screen.clone()),
        None => init_with(args, shown, io::stderr),
    }
}
