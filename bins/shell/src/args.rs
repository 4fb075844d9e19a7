//! The command line and the variables that stand in for flags.
//!
//! A flag wins over its variable. A variable that is empty counts as not set, as manifests and shells
//! often leave one. A value that is not accepted ends the program with exit code 2 and one line that
//! names the flag or the variable, the value, and what is accepted.

use std::error::Error as _;
use std::ffi::OsString;
use std::io::Write as _;
use std::process::ExitCode;

use clap::Parser;
use clap::error::{ContextKind, ContextValue, ErrorKind};

/// Reads the command line.
///
/// # Errors
/// The exit code, where there is nothing to run: 0 after `--help` and `--version`, else 2.
pub fn parse<T: Parser>() -> Result<T, ExitCode> {
    let args: Vec<OsString> = std::env::args_os().collect();
    let command = without_empty_variables(T::command());
    let parsed = command
        .clone()
        .try_get_matches_from(&args)
        .and_then(|matches| T::from_arg_matches(&matches));
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
    let program = command.get_name();
    let value = without_secret(value);
    Some(format!("{program}: {name} is {value:?}: {accepted}\n"))
}

/// A value as it can be shown: a URL may have a user name and a password in it.
fn without_secret(value: &str) -> String {
    match (value.split_once("://"), value.rsplit_once('@')) {
        (Some((scheme, _)), Some((_, rest))) => format!("{scheme}://…@{rest}"),
        _ => value.to_owned(),
    }
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
    fn a_url_is_shown_without_its_password() {
        for (given, shown) in [
            ("https://me:p@ss@host/x", "https://…@host/x"),
            ("https://host/x", "https://host/x"),
            ("me@host", "me@host"),
        ] {
            assert_eq!(without_secret(given), shown);
        }
    }
}
