//! Transcripts of commands: the golden files of a program's error messages.
//!
//! Each program has one, which pins the wording of its errors. Other tests assert exit codes, values
//! and paths, so that a reworded message changes one file.

use std::fmt::Write as _;
use std::io;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

/// The output of several commands.
#[derive(Debug)]
pub struct Transcript {
    executable: PathBuf,
    directory: PathBuf,
    text: String,
}

impl Transcript {
    /// Returns an empty transcript of an executable that runs in the directory.
    pub fn new(executable: impl Into<PathBuf>, directory: impl Into<PathBuf>) -> Self {
        Self { executable: executable.into(), directory: directory.into(), text: String::new() }
    }

    /// Runs a command with these variables only, and records its output and exit code.
    ///
    /// `line` is as in a shell: variables, then arguments, separated by spaces; quotes are not
    /// supported.
    ///
    /// # Errors
    /// If the command cannot be run.
    pub fn run(&mut self, line: &str) -> io::Result<()> {
        let mut command = Command::new(&self.executable);
        command.current_dir(&self.directory).env_clear().env("HOME", "/nonexistent");
        command.stdin(Stdio::null());
        let words: Vec<&str> = line.split(' ').filter(|word| !word.is_empty()).collect();
        let is_variable = |word: &&str| word.starts_with("PULLTRACE_") && word.contains('=');
        let variables = words.iter().take_while(|word| is_variable(word)).count();
        let (variables, arguments) = words.split_at(variables);
        command.envs(variables.iter().filter_map(|word| word.split_once('=')));
        let output = command.args(arguments).output()?;
        let program = self.executable.file_name().unwrap_or_default().display();
        let shown = [variables, &[&*program.to_string()], arguments].concat().join(" ");
        // Writing to a string cannot fail.
        let _written = write!(
            self.text,
            "$ {shown}\n{}{}exit code {}\n\n",
            String::from_utf8_lossy(&output.stdout),
            String::from_utf8_lossy(&output.stderr),
            output.status.code().map_or_else(|| "unknown".to_owned(), |code| code.to_string()),
        );
        Ok(())
    }

    /// Compares the transcript with a golden file; with `PULLTRACE_BLESS=1`, writes that file.
    ///
    /// # Errors
    /// Returns a message with the first different line if they differ, or if the file cannot be read
    /// or written.
    pub fn check(&self, golden: &Path) -> Result<(), String> {
        let failed = |error| format!("{}: {error}", golden.display());
        if std::env::var_os("PULLTRACE_BLESS").is_some() {
            return std::fs::write(golden, &self.text).map_err(failed);
        }
        let expected = std::fs::read_to_string(golden).map_err(failed)?;
        let mut lines = self.text.lines().zip(expected.lines());
        match lines.find(|(now, before)| now != before) {
            Some((now, before)) => Err(format!(
                "{} differs: run this test with PULLTRACE_BLESS=1 if that is intended\n\
                 expected: {before}\n     got: {now}",
                golden.display()
            )),
            None if self.text == expected => Ok(()),
            None => Err(format!("{} has a different number of lines", golden.display())),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn command_is_recorded_with_variables_and_exit_code() {
        let mut transcript = Transcript::new("/bin/sh", "/");
        transcript.run("PULLTRACE_A=b -c env").unwrap();
        transcript.run("-c false").unwrap();
        let text = transcript.text;
        assert!(text.starts_with("$ PULLTRACE_A=b sh -c env\n"), "{text}");
        assert!(text.contains("\nPULLTRACE_A=b\n"), "{text}");
        assert!(text.ends_with("$ sh -c false\nexit code 1\n\n"), "{text}");
    }

    #[test]
    fn difference_names_line() {
        let golden = std::env::temp_dir().join(format!("golden-{}.txt", std::process::id()));
        std::fs::write(&golden, "one\ntwo\n").unwrap();
        let check = |text: &str| {
            let transcript = Transcript { text: text.to_owned(), ..Transcript::new("", "") };
            transcript.check(&golden)
        };
        assert_eq!(check("one\ntwo\n"), Ok(()));
        assert!(check("one\nthree\n").unwrap_err().contains("three"));
        assert!(check("one\ntwo\nmore\n").unwrap_err().contains("number of lines"));
        std::fs::remove_file(golden).unwrap();
    }
}
