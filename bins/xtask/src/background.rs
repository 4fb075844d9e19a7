//! Builds that run in the background while other steps run.

use std::fs::{self, File};
use std::io::Write as _;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread::{self, JoinHandle};
use std::time::Duration;

use crate::clock::{self, Stopwatch};
use crate::error::{Context as _, Error, Result};
use crate::process;
use crate::process_tree;
use crate::progress::{STALL_LIMIT, Watchdog};

/// The lines of the log that are shown when a build fails.
const SHOWN_LINES: usize = 20;

const POLL_INTERVAL: Duration = Duration::from_millis(100);

/// A build in a thread. Dropping it ends the build.
#[derive(Debug)]
pub(crate) struct Build {
    name: String,
    built: Vec<PathBuf>,
    running: Option<Running>,
}

#[derive(Debug)]
struct Running {
    /// Returns the time that the build took.
    thread: JoinHandle<Result<Duration>>,
    cancelled: Arc<AtomicBool>,
}

/// Runs the commands of a build.
#[derive(Debug)]
pub(crate) struct BuildSteps {
    log: File,
    log_path: PathBuf,
    cancelled: Arc<AtomicBool>,
}

impl Build {
    /// Returns a finished build, whose paths exist already.
    pub(crate) fn up_to_date(built: Vec<PathBuf>) -> Build {
        Build { name: String::new(), built, running: None }
    }

    /// Starts to build the paths `built`, with the output of all commands in `log`.
    pub(crate) fn start(
        name: &str,
        built: Vec<PathBuf>,
        log: &Path,
        steps: impl FnOnce(&mut BuildSteps) -> Result<()> + Send + 'static,
    ) -> Result<Build> {
        let dir = log.parent().unwrap_or(log);
        fs::create_dir_all(dir).context(|| format!("create {}", dir.display()))?;
        let file = File::create(log).context(|| format!("create {}", log.display()))?;
        eprintln!("{name}: building in the background, log {}", log.display());
        let cancelled = Arc::new(AtomicBool::new(false));
        let mut runner =
            BuildSteps { log: file, log_path: log.to_owned(), cancelled: cancelled.clone() };
        let watch = Stopwatch::start();
        let thread = thread::spawn(move || steps(&mut runner).map(|()| watch.elapsed()));
        Ok(Build { name: name.to_owned(), built, running: Some(Running { thread, cancelled }) })
    }

    pub(crate) fn is_finished(&self) -> bool {
        self.running.as_ref().is_none_or(|running| running.thread.is_finished())
    }

    /// Waits for the build and returns the paths that were built.
    pub(crate) fn finish(mut self) -> Result<Vec<PathBuf>> {
        if let Some(running) = self.running.take() {
            let took = running.thread.join().map_err(|_| {
                Error::Failed(format!("{}: the build thread panicked", self.name))
            })??;
            eprintln!("{}: built in {}", self.name, clock::format(took));
        }
        Ok(std::mem::take(&mut self.built))
    }
}

impl Drop for Build {
    fn drop(&mut self) {
        if let Some(running) = self.running.take() {
            running.cancelled.store(true, Ordering::Relaxed);
            // Its result no longer matters.
            drop(running.thread.join());
        }
    }
}

impl BuildSteps {
    /// Runs a command with its output in the log. Any exit code but 0 is an error.
    pub(crate) fn run(&mut self, command: &mut Command) -> Result<()> {
        self.run_with_limit(command, STALL_LIMIT)
    }

    fn run_with_limit(&mut self, command: &mut Command, limit: Duration) -> Result<()> {
        let shown = process::format_command(command);
        let write = || format!("write {}", self.log_path.display());
        writeln!(self.log, "$ {shown}").context(write)?;
        let output = self.log.try_clone().context(write)?;
        let errors = self.log.try_clone().context(write)?;
        command.stdin(Stdio::null()).stdout(output).stderr(errors);
        let child = command.spawn();
        let mut child = child.context(|| format!("start `{shown}`"))?;
        let mut watchdog = Watchdog::start(child.id(), limit);
        let status = loop {
            let status = child.try_wait();
            if let Some(status) = status.context(|| format!("wait for `{shown}`"))? {
                break status;
            }
            let output = fs::metadata(&self.log_path).map_or(0, |log| log.len());
            let mut proceed = watchdog.check(&shown, output);
            if self.cancelled.load(Ordering::Relaxed) {
                process_tree::kill_tree(child.id());
                proceed = Err(Error::Failed(format!("`{shown}` was cancelled")));
            }
            if let Err(error) = proceed {
                child.wait().context(|| format!("wait for `{shown}`"))?;
                return Err(error);
            }
            thread::sleep(POLL_INTERVAL);
        };
        if status.success() {
            return Ok(());
        }
        let log = fs::read(&self.log_path).unwrap_or_default();
        let log = String::from_utf8_lossy(&log);
        let skipped = log.lines().count().saturating_sub(SHOWN_LINES);
        let end: Vec<&str> = log.lines().skip(skipped).collect();
        Err(Error::Failed(format!(
            "`{shown}` failed ({status}); the end of {}:\n{}",
            self.log_path.display(),
            end.join("\n")
        )))
    }
}

/// A command of a background build, with a higher priority than other steps.
///
/// Tests wait for these builds, and steps that run beside them are delayed by no more than the
/// builds take. All of them have the same priority, so none starves another. Without the right to
/// raise priorities, `nice` prints a warning and runs the command as is.
pub(crate) fn command(program: impl AsRef<std::ffi::OsStr>) -> Command {
    let mut command = Command::new("nice");
    command.args(["-n", "-10"]).arg(program);
    command
}

#[cfg(test)]
mod tests {
    use super::*;

    fn log(name: &str) -> PathBuf {
        let pid = std::process::id();
        std::env::temp_dir().join(format!("xtask-build-{pid}/{name}.log"))
    }

    fn sh(script: &str) -> Command {
        let mut command = command("sh");
        command.args(["-c", script]);
        command
    }

    #[test]
    fn finished_build_returns_its_paths() {
        let built = vec![PathBuf::from("/x")];
        let build = Build::start("x", built.clone(), &log("ok"), |steps| {
            steps.run(&mut sh("echo one"))?;
            steps.run(&mut sh("echo two >&2"))
        });
        assert_eq!(build.unwrap().finish().unwrap(), built);
        let text = fs::read_to_string(log("ok")).unwrap();
        assert!(text.contains("one\n") && text.contains("two\n"), "{text}");

        let build = Build::up_to_date(built.clone());
        assert!(build.is_finished());
        assert_eq!(build.finish().unwrap(), built);
    }

    #[test]
    fn failed_build_shows_the_end_of_its_log() {
        let build = Build::start("x", Vec::new(), &log("fails"), |steps| {
            steps.run(&mut sh("seq 100; exit 3"))
        });
        let error = build.unwrap().finish().unwrap_err();
        let text = error.text().unwrap();
        assert!(text.contains("exit status: 3") && text.contains("\n100"), "{text}");
        assert!(!text.contains("\n50\n"), "{text}");
    }

    #[test]
    fn dropped_build_is_ended() {
        let build = Build::start("x", Vec::new(), &log("dropped"), |steps| {
            steps.run(&mut sh("tail -f /dev/null; true"))
        });
        // Returns only after the thread has ended.
        drop(build.unwrap());
    }

    #[test]
    fn stalled_command_is_ended() {
        let build = Build::start("x", Vec::new(), &log("stalled"), |steps| {
            let mut command = sh("tail -f /dev/null; true");
            steps.run_with_limit(&mut command, Duration::from_millis(1))
        });
        let error = build.unwrap().finish().unwrap_err();
        let text = error.text().unwrap();
        assert!(text.contains("no output and no processor time"), "{text}");
    }
}
