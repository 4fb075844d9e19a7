//! The log: to standard error, above a view that is drawn on the same terminal.

use std::io::{self, IsTerminal as _};

use pulltrace_shell::log::{LogArgs, begin as begin_at};

use crate::view::screen::Screen;

/// Begins to log; past a screen where there is one. `quiet` where what the log says of pulls is shown
/// on standard error anyway.
pub(crate) fn begin(args: LogArgs, screen: Option<&Screen>, quiet: bool) {
    let shown = quiet || io::stderr().is_terminal();
    match screen.cloned() {
        Some(screen) => begin_at(args, shown, move || screen.clone()),
        None => begin_at(args, shown, io::stderr),
    }
}
