//! Runs the commands of a stage: writes their output to a log, shows progress, ends commands that
//! stall, and finds processes and mounts that tests left behind.

use std::fs::{self, File};
use std::io::{self, BufRead as _, BufReader, IsTerminal as _, PipeReader, Write as _};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::mpsc::{self, Receiver, RecvTimeoutError};
use std::thread;
use std::time::Duration;

use super::count::{Counts, failed_test};
use super::leftovers;
use crate::background::Build;
use crate::clock::{self, Stopwatch};
use crate::error::{Context as _, Error, Result};
use crate::process;
use crate::process_tree;
use crate::progress::{STALL_LIMIT, Watchdog};

/// The lines of the log that are shown when a stage fails.
const SHOWN_LINES: usize = 60;

/// Interval of the progress lines if the output is not a terminal.
const PLAIN_PROGRESS: Duration = Duration::from_secs(20);

/// Interval of the progress line on a terminal.
const LIVE_PROGRESS: Duration = Duration::from_millis(200);

const POLL_INTERVAL: Duration = Duration::from_millis(500);

/// The time that descendants of a command have to exit after it.
const GRACE: Duration = Duration::from_secs(5);

#[derive(Debug)]
pub(crate) struct Runner {
    stage: &'static str,
    pub(crate) log_path: PathBuf,
    log: File,
    stall_limit: Duration,
    grace: Duration,
    watch: Stopwatch,
    last_progress: Duration,
    pub(crate) counts: Counts,
    /// Names of failed tests.
    pub(crate) failed_tests: Vec<String>,
    /// Printed after the table of stages.
    pub(crate) notes: Vec<String>,
}

impl Runner {
    pub(crate) fn new(stage: &'static str, logs: &Path) -> Result<Runner> {
        fs::create_dir_all(logs).context(|| format!("create {}", logs.display()))?;
        let log_path = logs.join(format!("{stage}.log"));
        let log = File::create(&log_path).context(|| format!("create {}", log_path.display()))?;
        Ok(Runner {
            stage,
            log_path,
            log,
            stall_limit: STALL_LIMIT,
            grace: GRACE,
            watch: Stopwatch::start(),
            last_progress: Duration::ZERO,
            counts: Counts::default(),
            failed_tests: Vec::new(),
            notes: Vec::new(),
        })
    }

    pub(crate) fn elapsed(&self) -> Duration {
        self.watch.elapsed()
    }

    pub(crate) fn write(&mut self, line: &str) -> Result<()> {
        writeln!(self.log, "{line}").context(|| format!("write {}", self.log_path.display()))
    }

    /// Runs a command with its output in the log. Any exit code but 0 is an error.
    pub(crate) fn run(&mut self, command: &mut Command) -> Result<()> {
        self.write(&format!("$ {}", process::format_command(command)))?;
        let (reader, writer) = io::pipe().context(|| "create a pipe".to_owned())?;
        let second = writer.try_clone().context(|| "duplicate a pipe".to_owned())?;
        command.stdin(Stdio::null()).stdout(writer).stderr(second);
        let child =
            command.spawn().context(|| format!("start `{}`", process::format_command(command)));
        // Drops the command's ends of the pipe, which would otherwise never close.
        command.stdout(Stdio::null()).stderr(Stdio::null());
        self.follow(command, child?, &read_lines(reader))
    }

    fn follow(
        &mut self,
        command: &Command,
        mut child: Child,
        lines: &Receiver<String>,
    ) -> Result<()> {
        let shown = process::format_command(command);
        let waiting = || format!("wait for `{shown}`");
        let mut watchdog = Watchdog::start(child.id(), self.stall_limit);
        let mut count = 0;
        let mut last = String::new();
        let mut exited: Option<Duration> = None;
        loop {
            match lines.recv_timeout(POLL_INTERVAL) {
                Ok(line) => {
                    count += 1;
                    self.write(&line)?;
                    self.counts.add_summary(&line);
                    self.failed_tests.extend(failed_test(&line).map(str::to_owned));
                    if !line.trim().is_empty() {
                        last = line;
                    }
                }
                Err(RecvTimeoutError::Timeout) => {
                    let has_exited = child.try_wait().context(waiting)?.is_some();
                    if has_exited && exited.is_none() {
                        exited = Some(self.elapsed());
                    }
                }
                Err(RecvTimeoutError::Disconnected) => break,
            }
            self.show_progress(&last);
            if exited.is_some_and(|exited| self.elapsed() > exited + self.grace) {
                // A descendant keeps the pipe open. `run_tests` finds it by its environment.
                self.notes
                    .push(format!("`{shown}` has exited, but one of its descendants still runs"));
                break;
            }
            if exited.is_none()
                && let Err(error) = watchdog.check(&shown, count)
            {
                child.wait().context(waiting)?;
                return Err(error);
            }
        }
        let status = child.wait().context(waiting)?;
        process::check(command, status)
    }

    /// Waits for a background build and returns the paths that were built.
    pub(crate) fn wait_for(&mut self, build: Build) -> Result<Vec<PathBuf>> {
        while !build.is_finished() {
            self.show_progress("waiting for the build");
            thread::sleep(POLL_INTERVAL);
        }
        build.finish()
    }

    /// Like [`Runner::run`], with a separate temporary folder. Fails if the command leaves a process
    /// or a mount behind.
    pub(crate) fn run_tests(&mut self, command: &mut Command) -> Result<()> {
        let id = format!("{}-{}", self.stage, std::process::id());
        // Short, because socket paths in it are limited to 107 bytes.
        let dir = std::env::temp_dir().join(format!("pulltrace-{id}"));
        fs::create_dir_all(&dir).context(|| format!("create {}", dir.display()))?;
        command.env(leftovers::STAGE_VARIABLE, &id);
        let result = self.run(command.env("TMPDIR", &dir));

        let exited = self.elapsed();
        let mut processes = leftovers::processes(&id);
        while !processes.is_empty() && self.elapsed() < exited + self.grace {
            thread::sleep(Duration::from_millis(100));
            processes = leftovers::processes(&id);
        }
        process_tree::kill(processes.iter().map(|process| process.pid));
        let mounts = leftovers::mounts(&dir);
        leftovers::unmount(&mounts);
        let removed = fs::remove_dir_all(&dir).context(|| format!("remove {}", dir.display()));

        let mut left_behind: Vec<String> =
            processes.iter().map(|p| format!("process {} ({})", p.pid, p.name)).collect();
        left_behind.extend(mounts.iter().map(|point| format!("mount {point}")));
        if left_behind.is_empty() {
            return result.and(removed);
        }
        let text =
            format!("left behind by the tests, and now cleaned up: {}", left_behind.join(", "));
        self.write(&text)?;
        match result {
            Ok(()) => Err(Error::Failed(text)),
            Err(error) => {
                self.notes.push(text);
                Err(error)
            }
        }
    }

    /// Returns the end of the log.
    pub(crate) fn tail(&self) -> String {
        match fs::read(&self.log_path) {
            Ok(bytes) => last_lines(&String::from_utf8_lossy(&bytes), SHOWN_LINES),
            Err(error) => format!("(failed to read the log: {error})"),
        }
    }

    fn show_progress(&mut self, last: &str) {
        let elapsed = self.elapsed();
        let is_live = io::stdout().is_terminal();
        let interval = if is_live { LIVE_PROGRESS } else { PLAIN_PROGRESS };
        if elapsed < self.last_progress + interval {
            return;
        }
        self.last_progress = elapsed;
        let line = format!("  {} {}: {}", self.stage, clock::format(elapsed), last.trim());
        let short: String = line.chars().take(79).collect();
        if is_live {
            print!("\r{short}\x1b[K");
            // Lost progress output does no harm.
            drop(io::stdout().flush());
        } else {
            println!("{short}");
        }
    }
}

impl Drop for Runner {
    fn drop(&mut self) {
        if io::stdout().is_terminal() {
            print!("\r\x1b[K");
        }
    }
}

/// Reads lines from the pipe until all writers have closed it. The channel is bounded, so a slow
/// receiver slows down the writers.
fn read_lines(reader: PipeReader) -> Receiver<String> {
    let (sender, receiver) = mpsc::sync_channel(1024);
    thread::spawn(move || {
        let mut reader = BufReader::new(reader);
        let mut bytes = Vec::new();
        while matches!(reader.read_until(b'\n', &mut bytes), Ok(1..)) {
            let line = String::from_utf8_lossy(&bytes).trim_end().to_owned();
            if sender.send(line).is_err() {
                return;
            }
            bytes.clear();
        }
    });
    receiver
}

/// Leaves out stack frames, which would push the error out of view.
fn last_lines(text: &str, count: usize) -> String {
    let lines: Vec<&str> = text.lines().filter(|line| !is_frame(line)).collect();
    lines[lines.len().saturating_sub(count)..].join("\n")
}

/// Matches `  12: name` and `        at file:line`.
fn is_frame(line: &str) -> bool {
    let rest = line.trim_start();
    let numbered = || {
        let (number, _) = rest.split_once(": ")?;
        number.parse::<u32>().ok()
    };
    line.starts_with("  ") && (rest.starts_with("at ") || numbered().is_some())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn runner(stage: &'static str) -> Runner {
        let dir = std::env::temp_dir().join(format!("xtask-runner-{}", std::process::id()));
        Runner::new(stage, &dir).unwrap()
    }

    fn sh(script: &str) -> Command {
        let mut command = Command::new("sh");
        command.args(["-c", script]);
        command
    }

    #[test]
    fn both_streams_are_logged_and_tests_counted() {
        let mut runner = runner("both");
        runner
            .run(&mut sh("echo 'test result: ok. 2 passed; 0 failed; 1 ignored'; echo oops >&2"))
            .unwrap();
        assert_eq!(runner.counts, Counts { passed: 2, failed: 0, skipped: 1 });
        assert!(runner.tail().contains("oops") && runner.tail().starts_with("$ sh -c"));
    }

    #[test]
    fn failed_command_is_error_and_failed_tests_are_recorded() {
        let mut runner = runner("failure");
        let error = runner.run(&mut sh("echo 'test a ... FAILED'; exit 4")).unwrap_err();
        assert!(error.text().unwrap().contains('4'));
        assert_eq!(runner.failed_tests, ["a"]);
    }

    #[test]
    fn stalled_command_is_ended() {
        let mut runner = runner("stall");
        runner.stall_limit = Duration::from_millis(1);
        let error = runner.run(&mut sh("tail -f /dev/null; true")).unwrap_err();
        assert!(error.text().unwrap().contains("no output and no processor time"), "{error:?}");
    }

    #[test]
    fn process_left_behind_fails_stage_and_is_killed() {
        let mut runner = runner("behind");
        runner.grace = Duration::from_millis(200);
        let error = runner.run_tests(&mut sh("tail -f /dev/null 2>&1 & true")).unwrap_err();
        assert!(error.text().unwrap().contains("(tail)"), "{error:?}");
        let id = format!("behind-{}", std::process::id());
        let watch = Stopwatch::start();
        while !leftovers::processes(&id).is_empty() {
            assert!(watch.elapsed() < Duration::from_secs(10), "still running");
        }
    }

    #[test]
    fn only_end_of_log_is_shown() {
        assert_eq!(last_lines("a\nb\nc\n", 2), "b\nc");
        assert_eq!(last_lines("a\n", 60), "a");
        let panic = "oh no\n   0: core::f\n             at /x.rs:1\n  12: g\n  left: 1\n";
        assert_eq!(last_lines(panic, 60), "oh no\n  left: 1");
    }
}
