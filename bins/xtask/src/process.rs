//! Starts other programs.

use std::env;
use std::os::unix::process::CommandExt as _;
use std::path::Path;
use std::process::{Command, ExitStatus};

use crate::error::{Context as _, Error, Result};

/// Reports whether the program is on `PATH`.
pub(crate) fn found(program: &str) -> bool {
    env::var_os("PATH")
        .is_some_and(|path| env::split_paths(&path).any(|dir| dir.join(program).is_file()))
}

pub(crate) fn is_root() -> bool {
    output(Command::new("id").arg("-u")).is_ok_and(|uid| uid.trim() == "0")
}

/// Formats the command as it would be typed in a shell.
pub(crate) fn format_command(command: &Command) -> String {
    let program = Path::new(command.get_program());
    let name = program.file_name().unwrap_or(command.get_program());
    let words = std::iter::once(name).chain(command.get_args());
    words
        .map(|word| {
            let word = word.to_string_lossy();
            if word.contains([' ', '"', '$', '*']) {
                format!("'{word}'")
            } else {
                word.into_owned()
            }
        })
        .collect::<Vec<_>>()
        .join(" ")
}

/// Runs a command on this terminal. Any exit code but 0 is an error.
pub(crate) fn run(command: &mut Command) -> Result<()> {
    let status = command.status().context(|| format!("start `{}`", format_command(command)))?;
    check(command, status)
}

/// Runs a command and returns its standard output.
pub(crate) fn output(command: &mut Command) -> Result<String> {
    let output = command.output().context(|| format!("start `{}`", format_command(command)))?;
    if !output.status.success() {
        let stderr = String::from_utf8_lossy(&output.stderr);
        return Err(Error::Failed(format!(
            "`{}` failed ({}): {}",
            format_command(command),
            output.status,
            stderr.trim()
        )));
    }
    String::from_utf8(output.stdout).map_err(|_| {
        Error::Failed(format!("output of `{}` is not valid UTF-8", format_command(command)))
    })
}

pub(crate) fn check(command: &Command, status: ExitStatus) -> Result<()> {
    if status.success() {
        Ok(())
    } else {
        Err(Error::Failed(format!("`{}` failed ({status})", format_command(command))))
    }
}

/// Replaces this process, so that the program alone receives Ctrl-C and sets the exit code.
/// Returns only if the program cannot be started.
pub(crate) fn exec(command: &mut Command) -> Error {
    let error = command.exec();
    Error::Failed(format!("failed to start `{}`: {error}", format_command(command)))
}

/// Cargo in this folder; the same Cargo that runs this program, if any.
pub(crate) fn cargo(dir: &Path) -> Command {
    let mut cargo = Command::new(env::var_os("CARGO").unwrap_or_else(|| "cargo".into()));
    cargo.current_dir(dir);
    cargo
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn command_is_formatted_as_typed() {
        let mut command = Command::new("/x/cargo");
        let command = command.args(["test", "a b"]);
        assert_eq!(format_command(command), "cargo test 'a b'");
    }

    #[test]
    fn failure_names_command_status_and_stderr() {
        let error = output(Command::new("sh").args(["-c", "echo oh no >&2; exit 3"])).unwrap_err();
        let text = error.text().unwrap();
        assert!(text.contains("sh -c") && text.contains("oh no") && text.contains('3'), "{text}");
        assert!(run(&mut Command::new("false")).is_err() && run(&mut Command::new("true")).is_ok());
    }

    #[test]
    fn programs_are_found_on_path() {
        assert!(found("sh") && !found("no-such-program"));
    }
}
