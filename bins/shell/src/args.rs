//! Command-line parsing with environment variables as fallback.
//!
//! Flags take precedence over variables. An empty variable counts as unset: manifests and shells
//! often leave one empty. An invalid value ends the program with exit code 2 and one line that
//! names the flag or variable, the value and the expected format. If the value's parser appended
//! advice with [`with_help`](crate::error::with_help), a second line follows.

use std::error::Error as _;
use std::ffi::OsString;
use std::io::Write as _;
use std::process::ExitCode;

use clap::Parser;
use clap::error::{ContextKind, ContextValue, ErrorKind};

/// Parses the command line.
///
/// # Errors
/// Returns the exit code if the program should exit: 0 after `--help` and `--version`, otherwise 2.
pub fn parse<T: Parser>() -> Result<T, ExitCode> {
    parse_from(&std::env::args_os().collect::<Vec<_>>())
}

/// Parses these arguments, of which the first is the program's name.
///
/// # Errors
/// Returns the exit code if the program should exit: 0 after `--help` and `--version`, otherwise 2.
pub fn parse_from<T: Parser>(args: &[OsString]) -> Result<T, ExitCode> {
    let command = ignore_empty_env(T::command());
    let parsed = command
        .clone()
        .try_get_matches_from(args)
        .and_then(|matches| T::from_arg_matches(&matches));
    parsed.map_err(|error| {
        match invalid_value_message(&error, &command, args) {
            Some(line) => {
                // If standard error is closed, only the exit code remains.
                let _untold = std::io::stderr().write_all(line.as_bytes());
            }
            None => {
                let _untold = error.print();
            }
        }
        ExitCode::from(u8::try_from(error.exit_code()).unwrap_or(2))
    })
}

/// Ignores variables that are set but empty.
fn ignore_empty_env(command: clap::Command) -> clap::Command {
    command
        .mut_args(|arg| {
            let empty = |name| std::env::var_os(name).is_some_and(|value| value.is_empty());
            if arg.get_env().is_some_and(empty) { arg.env(None::<&'static str>) } else { arg }
        })
        .mut_subcommands(ignore_empty_env)
}

/// Formats an invalid value as one line; `None` for any other error.
fn invalid_value_message(
    error: &clap::Error,
    command: &clap::Command,
    args: &[OsString],
) -> Option<String> {
    if !matches!(error.kind(), ErrorKind::InvalidValue | ErrorKind::ValueValidation) {
        return None;
    }
    let Some(ContextValue::String(arg)) = error.get(ContextKind::InvalidArg) else {
        return None;
    };
    let Some(ContextValue::String(value)) = error.get(ContextKind::InvalidValue) else {
        return None;
    };
    let flag = arg.split_whitespace().next()?;
    let given = args
        .iter()
        .filter_map(|arg| arg.to_str())
        .any(|arg| arg == flag || arg.strip_prefix(flag).is_some_and(|rest| rest.starts_with('=')));
    let name = match env_name(command, flag) {
        Some(variable) if !given => variable,
        _ => flag.to_owned(),
    };
    let accepted = match error.get(ContextKind::ValidValue) {
        Some(ContextValue::Strings(values)) if !values.is_empty() => {
            format!("expected {}", values.join(", "))
        }
        _ if value.is_empty() => "expected a value".to_owned(),
        _ => error.source()?.to_string(),
    };
    let program = command.get_name();
    let value = redact_credentials(value);
    Some(format!("{program}: {name} is {value:?}: {accepted}\n"))
}

/// Redacts the user name and password of a URL.
fn redact_credentials(value: &str) -> String {
    match (value.split_once("://"), value.rsplit_once('@')) {
        (Some((scheme, _)), Some((_, rest))) => format!("{scheme}://…@{rest}"),
        _ => value.to_owned(),
    }
}

/// Returns the environment variable of a flag.
fn env_name(command: &clap::Command, flag: &str) -> Option<String> {
    let long = flag.trim_start_matches('-');
    command
        .get_arguments()
        .chain(command.get_subcommands().flat_map(clap::Command::get_arguments))
        .filter(|arg| arg.get_long() == Some(long))
        .find_map(|arg| arg.get_env()?.to_str().map(ToOwned::to_owned))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn url_credentials_are_redacted() {
        for (given, shown) in [
            ("https://me:p@ss@host/x", "https://…@host/x"),
            ("https://host/x", "https://host/x"),
            ("me@host", "me@host"),
        ] {
            assert_eq!(redact_credentials(given), shown);
        }
    }
}
