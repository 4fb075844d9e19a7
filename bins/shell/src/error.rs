//! An error as one line.

use std::error::Error;
use std::io::{self, Write as _};

/// One line to standard error: the program, the error, and all that led to it.
pub fn print(program: &str, error: &dyn Error) {
    let text = format!("{program}: {}\n", chain(error));
    // Where standard error is gone, too, nobody can be told.
    let _untold = io::stderr().write_all(text.as_bytes());
}

/// An error and all that led to it.
#[must_use]
pub fn chain(error: &dyn Error) -> String {
    let mut text = error.to_string();
    let mut source = error.source();
    while let Some(cause) = source {
        text += &format!(": {cause}");
        source = cause.source();
    }
    text
}
