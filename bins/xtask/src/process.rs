//! Starting other programs, and finding out about this one. What a test stage
//! needs beyond that (a log, a deadline) is in `test/stage`.

use std::env;
use std::os::unix::process::CommandExt as _;
use std::path::Path;
use std::process::{Command, ExitStatus};

use crate::error::{Context as _, Error, Result};

/// Whether `PATH` holds the program.
pub(crate) fn found(program: &str) -> bool {
    env::var_os("PATH")
        .is_some_and(|path| env::split_paths(&path).any(|dir| dir.join(program).is_file()))
}

pub(crate) fn is_root() -> bool {
    output(Command::new("id").arg("-u")).is_ok_and(|uid| uid.trim() == "0")
}

/// The command as a person would type it.
pub(crate) fn show(command: &Command) -> String {
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

/// Runs it with this terminal; anything but success is an error.
pub(crate) fn run(command: &mut Command) -> Result<()> {
    let status = command
        .status()
        .context(|| format!("start `{}`", show(command)))?;
    check(command, status)
}

/// What it writes to its standard output.
pub(crate) fn output(command: &mut Command) -> Result<String> {
    let output = command
        .output()
        .context(|| format!("start `{}`", show(command)))?;
    if !output.status.success() {
        let said = String::from_utf8_lossy(&output.stderr);
        return Err(Error::Failed(format!(
            "`{}` failed ({}): {}",
            show(command),
            output.status,
            said.trim()
        )));
    }
    String::from_utf8(output.stdout)
        .map_err(|_| Error::Failed(format!("`{}` did not write UTF-8", show(command))))
}

pub(crate) fn check(command: &Command, status: ExitStatus) -> Result<()> {
    if status.success() {
        Ok(())
    } else {
        Err(Error::Failed(format!(
            "`{}` failed ({status})",
            show(command)
        )))
    }
}

/// Becomes that program: its exit code is ours, and Ctrl-C reaches it alone.
/// Returns only when it cannot be started.
pub(crate) fn become_program(command: &mut Command) -> Error {
    let error = command.exec();
    Error::Failed(format!("start `{}`: {error}", show(command)))
}

/// Cargo in the folder of the workspace: the one that runs us, if one does.
pub(crate) fn cargo(dir: &Path) -> Command {
    let mut cargo = Command::new(env::var_os("CARGO").unwrap_or_else(|| "cargo".into()));
    cargo.current_dir(dir);
    cargo
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_command_is_shown_as_it_would_be_typed() {
        let mut command = Command::new("/x/cargo");
        assert_eq!(show(command.args(["test", "a b"])), "cargo test 'a b'");
    }

    #[test]
    fn a_failure_names_the_command_and_what_it_said() {
        let error = output(Command::new("sh").args(["-c", "echo oh no >&2; exit 3"])).unwrap_err();
        let text = error.text().unwrap();
        assert!(
            text.contains("sh -c") && text.contains("oh no") && text.contains('3'),
            "{text}"
        );
        assert!(run(&mut Command::new("false")).is_err() && run(&mut Command::new("true")).is_ok());
    }

    #[test]
    fn programs_are_found_on_path() {
        assert!(found("sh") && !found("no-such-program"));
    }
}
