//! Runs the commands of one stage: output into its log, progress to the
//! terminal, a deadline, and a look for what was left behind.

use std::fs::{self, File};
use std::io::{self, BufRead as _, BufReader, IsTerminal as _, PipeReader, Write as _};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::mpsc::{self, Receiver, RecvTimeoutError};
use std::thread;
use std::time::Duration;

use super::count::{Counts, failed_test};
use super::leftovers;
use crate::clock::{self, Stopwatch};
use crate::error::{Context as _, Error, Result};
use crate::process;

/// How much of a log is shown when its stage fails.
const SHOWN_LINES: usize = 60;

/// A line of progress comes this often where no terminal shows it live.
const PLAIN_PROGRESS: Duration = Duration::from_secs(20);

/// How long what a command started may take to end after it.
const GRACE: Duration = Duration::from_secs(5);

#[derive(Debug)]
pub(crate) struct Runner {
    stage: &'static str,
    pub(crate) log_path: PathBuf,
    log: File,
    limit: Duration,
    grace: Duration,
    watch: Stopwatch,
    last_progress: Duration,
    pub(crate) counts: Counts,
    /// Names of the tests that failed.
    pub(crate) failed_tests: Vec<String>,
    /// Things to be told at the end, whether or not the stage fails.
    pub(crate) notes: Vec<String>,
}

impl Runner {
    pub(crate) fn new(stage: &'static str, logs: &Path, limit: Duration) -> Result<Runner> {
        fs::create_dir_all(logs).context(|| format!("create {}", logs.display()))?;
        let log_path = logs.join(format!("{stage}.log"));
        let log = File::create(&log_path).context(|| format!("create {}", log_path.display()))?;
        Ok(Runner {
            stage,
            log_path,
            log,
            limit,
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

    /// Runs a command with its output in the log; anything but success is an error.
    pub(crate) fn run(&mut self, command: &mut Command) -> Result<()> {
        self.write(&format!("$ {}", process::show(command)))?;
        let (reader, writer) = io::pipe().context(|| "make a pipe".to_owned())?;
        let second = writer.try_clone().context(|| "copy a pipe".to_owned())?;
        command.stdin(Stdio::null()).stdout(writer).stderr(second);
        let child = command
            .spawn()
            .context(|| format!("start `{}`", process::show(command)));
        // The command keeps its ends of the pipe, which would then never close.
        command.stdout(Stdio::null()).stderr(Stdio::null());
        self.follow(command, child?, &lines_of(reader))
    }

    fn follow(
        &mut self,
        command: &Command,
        mut child: Child,
        lines: &Receiver<String>,
    ) -> Result<()> {
        let mut last = String::new();
        let mut ended: Option<Duration> = None;
        loop {
            match lines.recv_timeout(Duration::from_millis(500)) {
                Ok(line) => {
                    self.write(&line)?;
                    self.counts.read(&line);
                    self.failed_tests
                        .extend(failed_test(&line).map(str::to_owned));
                    if !line.trim().is_empty() {
                        last = line;
                    }
                }
                Err(RecvTimeoutError::Timeout) => {
                    let running = child
                        .try_wait()
                        .context(|| "wait for a child".to_owned())?
                        .is_none();
                    if !running && ended.is_none() {
                        ended = Some(self.elapsed());
                    }
                }
                Err(RecvTimeoutError::Disconnected) => break,
            }
            self.progress(&last);
            if ended.is_some_and(|ended| self.elapsed() > ended + self.grace) {
                // Something that it started holds the pipe open: found by its
                // mark where the stage has one.
                self.notes.push(format!(
                    "`{}` has ended, and something that it started still runs",
                    process::show(command)
                ));
                break;
            }
            if ended.is_none() && self.elapsed() > self.limit {
                leftovers::kill(leftovers::family(child.id()));
                child.wait().context(|| "wait for a child".to_owned())?;
                return Err(Error::Failed(format!(
                    "`{}` was ended after {}: the stage may take no longer",
                    process::show(command),
                    clock::show(self.limit)
                )));
            }
        }
        let status = child.wait().context(|| "wait for a child".to_owned())?;
        process::check(command, status)
    }

    /// As `run`, and fails when it leaves a process or a mount behind. It gets
    /// a temporary folder of its own.
    pub(crate) fn run_and_look_behind(&mut self, command: &mut Command) -> Result<()> {
        let mark = format!("{}-{}", self.stage, std::process::id());
        // Short: paths of sockets below it may have 107 bytes.
        let dir = std::env::temp_dir().join(format!("pulltrace-{mark}"));
        fs::create_dir_all(&dir).context(|| format!("create {}", dir.display()))?;
        let result = self.run(command.env(leftovers::MARK, &mark).env("TMPDIR", &dir));

        let ended = self.elapsed();
        let mut processes = leftovers::processes(&mark);
        while !processes.is_empty() && self.elapsed() < ended + self.grace {
            thread::sleep(Duration::from_millis(100));
            processes = leftovers::processes(&mark);
        }
        leftovers::kill(processes.iter().map(|process| process.pid));
        let mounts = leftovers::mounts(&dir);
        leftovers::unmount(&mounts);
        let removed = fs::remove_dir_all(&dir).context(|| format!("remove {}", dir.display()));

        let mut left: Vec<String> = processes
            .iter()
            .map(|p| format!("process {} ({})", p.pid, p.name))
            .collect();
        left.extend(mounts.iter().map(|point| format!("mount {point}")));
        if left.is_empty() {
            return result.and(removed);
        }
        let text = format!(
            "left behind by the tests, and cleaned up now: {}",
            left.join(", ")
        );
        self.write(&text)?;
        match result {
            Ok(()) => Err(Error::Failed(text)),
            Err(error) => {
                self.notes.push(text);
                Err(error)
            }
        }
    }

    /// The end of the log.
    pub(crate) fn tail(&self) -> String {
        match fs::read(&self.log_path) {
            Ok(bytes) => last_lines(&String::from_utf8_lossy(&bytes), SHOWN_LINES),
            Err(error) => format!("(the log cannot be read: {error})"),
        }
    }

    fn progress(&mut self, last: &str) {
        let elapsed = self.elapsed();
        let line = format!("  {} {}: {}", self.stage, clock::show(elapsed), last.trim());
        let short: String = line.chars().take(79).collect();
        if io::stdout().is_terminal() {
            if elapsed >= self.last_progress + Duration::from_millis(200) {
                self.last_progress = elapsed;
                print!("\r{short}\x1b[K");
                // Only a picture of progress.
                drop(io::stdout().flush());
            }
        } else if elapsed >= self.last_progress + PLAIN_PROGRESS {
            self.last_progress = elapsed;
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

/// Lines of the pipe until its last writer is gone. A reader that lags holds
/// the writers back.
fn lines_of(reader: PipeReader) -> Receiver<String> {
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

/// Frames of a stack stay in the log: they would push out what failed.
fn last_lines(text: &str, count: usize) -> String {
    let lines: Vec<&str> = text.lines().filter(|line| !is_frame(line)).collect();
    lines[lines.len().saturating_sub(count)..].join("\n")
}

/// `  12: name` or `        at file:line`, as a panic prints its stack.
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

    fn runner(stage: &'static str, limit: Duration) -> Runner {
        let dir = std::env::temp_dir().join(format!("xtask-runner-{}", std::process::id()));
        Runner::new(stage, &dir, limit).unwrap()
    }

    fn sh(script: &str) -> Command {
        let mut command = Command::new("sh");
        command.args(["-c", script]);
        command
    }

    #[test]
    fn both_outputs_are_logged_and_tests_counted() {
        let mut runner = runner("both", Duration::from_secs(60));
        runner
            .run(&mut sh(
                "echo 'test result: ok. 2 passed; 0 failed; 1 ignored'; echo oops >&2",
            ))
            .unwrap();
        assert_eq!(
            runner.counts,
            Counts {
                passed: 2,
                failed: 0,
                skipped: 1
            }
        );
        assert!(runner.tail().contains("oops") && runner.tail().starts_with("$ sh -c"));
    }

    #[test]
    fn a_failure_is_an_error_and_failed_tests_are_kept() {
        let mut runner = runner("failure", Duration::from_secs(60));
        let error = runner
            .run(&mut sh("echo 'test a ... FAILED'; exit 4"))
            .unwrap_err();
        assert!(error.text().unwrap().contains('4'));
        assert_eq!(runner.failed_tests, ["a"]);
    }

    #[test]
    fn what_takes_too_long_is_ended() {
        let mut runner = runner("limit", Duration::from_millis(1));
        let error = runner.run(&mut sh("tail -f /dev/null; true")).unwrap_err();
        assert!(
            error.text().unwrap().contains("was ended after"),
            "{error:?}"
        );
    }

    #[test]
    fn a_process_left_behind_fails_the_stage_and_is_ended() {
        let mut runner = runner("behind", Duration::from_secs(60));
        runner.grace = Duration::from_millis(200);
        let error = runner
            .run_and_look_behind(&mut sh("tail -f /dev/null 2>&1 & true"))
            .unwrap_err();
        assert!(error.text().unwrap().contains("(tail)"), "{error:?}");
        let mark = format!("behind-{}", std::process::id());
        let ended = Stopwatch::start();
        while !leftovers::processes(&mark).is_empty() {
            assert!(ended.elapsed() < Duration::from_secs(10), "it still runs");
        }
    }

    #[test]
    fn only_the_end_of_a_log_is_shown() {
        assert_eq!(last_lines("a\nb\nc\n", 2), "b\nc");
        assert_eq!(last_lines("a\n", 60), "a");
        let panic = "oh no\n   0: core::f\n             at /x.rs:1\n  12: g\n  left: 1\n";
        assert_eq!(last_lines(panic, 60), "oh no\n  left: 1");
    }
}
