//! Errors on one line, and advice on the next.

use std::error::Error;
use std::io::{self, Write as _};

use pulltrace_core::error::error_chain;

/// Prints an error and its causes to standard error as one line, after the program's name, and
/// advice as a second line.
pub fn print(program: &str, error: &dyn Error, help: Option<&str>) {
    let text = format!("{program}: {}\n", with_help(error_chain(error), help));
    // Ignore a closed standard error.
    let _untold = io::stderr().write_all(text.as_bytes());
}

/// Appends advice to a message as a second line, `help: …`.
#[must_use]
pub fn with_help(message: String, help: Option<&str>) -> String {
    match help {
        Some(help) => format!("{message}\nhelp: {help}"),
        None => message,
    }
}
