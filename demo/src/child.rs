//! The child processes: `pulltrace`, which serves the page and shows the pulls in the terminal, and
//! for the demo with pods the agent and the server.

use std::ffi::OsString;
use std::io;
use std::path::{Path, PathBuf};
use std::process::{ExitStatus, Stdio};
use std::time::Duration;

use rustix::process::{Pid, Signal};
use tokio::io::{AsyncBufReadExt as _, BufReader};
use tokio::process::{Child as Process, Command};

use crate::error::DemoError;
use crate::stop::Stop;

/// The longest that a child may take to stop after SIGTERM.
const STOP_TIMEOUT: Duration = Duration::from_secs(5);

/// The command line of `pulltrace` or of another of its programs.
#[derive(Debug, Clone)]
pub(crate) struct Program {
    program: PathBuf,
    args: Vec<OsString>,
}

impl Program {
    /// Finds the program in the folder of this executable.
    ///
    /// # Errors
    /// A message of one line if it does not exist.
    pub(crate) fn find(name: &str) -> Result<Self, String> {
        let here = std::env::current_exe()
            .map_err(|error| format!("failed to find this executable: {error}"))?;
        let program = here.with_file_name(name);
        if program.is_file() {
            Ok(Self { program, args: Vec::new() })
        } else {
            Err(format!(
                "missing program {}: run `cargo xtask demo`, which builds it",
                program.display()
            ))
        }
    }

    pub(crate) fn args(&self, args: impl IntoIterator<Item = impl Into<OsString>>) -> Self {
        let mut with = self.clone();
        with.args.extend(args.into_iter().map(Into::into));
        with
    }

    /// Checks whether the program accepts these arguments. On failure it prints the error itself.
    pub(crate) async fn check_args(&self) -> io::Result<ExitStatus> {
        Command::new(&self.program)
            .args(&self.args)
            .arg("--help")
            .stdout(Stdio::null())
            .status()
            .await
    }

    /// Starts the program. It ends when this process does, even if this process is killed.
    pub(crate) fn start(&self) -> io::Result<Child> {
        let process = self.spawn(self.command())?;
        Ok(Child { process })
    }

    /// Starts a program whose first line of output ends with the URL of its page. The URL is `None`
    /// if the program exited first, after printing the reason.
    pub(crate) async fn start_page(&self) -> io::Result<(Child, Option<String>)> {
        let mut command = self.command();
        command.stdout(Stdio::piped());
        let mut process = self.spawn(command)?;
        let line = match process.stdout.take() {
            Some(stdout) => BufReader::new(stdout).lines().next_line().await?,
            None => None,
        };
        let url = line.and_then(|line| line.split_whitespace().next_back().map(str::to_owned));
        Ok((Child { process }, url))
    }

    fn command(&self) -> Command {
        let mut command = if Path::new("/usr/bin/setpriv").is_file() {
            // The kernel sends the signal when the thread that started the child ends, which is the
            // main thread.
            let mut command = Command::new("/usr/bin/setpriv");
            command.args(["--pdeathsig", "TERM", "--"]).arg(&self.program);
            command
        } else {
            Command::new(&self.program)
        };
        command.args(&self.args);
        for (name, value) in [
            ("PULLTRACE_NODE_NAME", "demo"),
            // Short enough to see a stall during the demo.
            ("PULLTRACE_STALL_AFTER", "10s"),
        ] {
            if std::env::var_os(name).is_none_or(|set| set.is_empty()) {
                command.env(name, value);
            }
        }
        command
    }

    fn spawn(&self, mut command: Command) -> io::Result<Process> {
        command.spawn().map_err(|error| {
            let text = format!("failed to start {}: {error}", self.program.display());
            io::Error::new(error.kind(), text)
        })
    }
}

#[derive(Debug)]
pub(crate) struct Child {
    process: Process,
}

impl Child {
    pub(crate) async fn wait(&mut self) -> io::Result<ExitStatus> {
        self.process.wait().await
    }

    /// Sends SIGTERM and waits. Kills it after a timeout or when another stop is requested.
    pub(crate) async fn stop(&mut self, stop: &Stop) -> io::Result<ExitStatus> {
        let pid = self.process.id().and_then(|id| i32::try_from(id).ok());
        if let Some(pid) = pid.and_then(Pid::from_raw) {
            // It may already have ended: Ctrl-C reaches it as well.
            match rustix::process::kill_process(pid, Signal::TERM) {
                Ok(()) | Err(rustix::io::Errno::SRCH) => {}
                Err(error) => return Err(error.into()),
            }
        }
        tokio::select! {
            ended = self.process.wait() => return ended,
            () = tokio::time::sleep(STOP_TIMEOUT) => {}
            () = stop.requested_again() => {}
        }
        self.process.kill().await?;
        self.process.wait().await
    }
}

/// Runs `play` while `child` shows the pulls, until either ends, the time is up, or a stop is
/// requested.
pub(crate) async fn show_until(
    child: &mut Child,
    play: impl Future<Output = ()>,
    time: Option<Duration>,
    stop: &Stop,
) -> io::Result<ExitStatus> {
    let deadline = async {
        match time {
            Some(time) => tokio::time::sleep(time).await,
            None => std::future::pending().await,
        }
    };
    tokio::select! {
        ended = child.wait() => return ended,
        () = play => {}
        () = deadline => {}
        () = stop.requested() => {}
    }
    child.stop(stop).await
}

/// A program that exits with an error has printed the reason, unless it was killed.
pub(crate) fn check_status(status: ExitStatus) -> Result<(), DemoError> {
    match status.code().map(u8::try_from) {
        Some(Ok(0)) => Ok(()),
        Some(Ok(code)) => Err(DemoError::AlreadyReported(code)),
        Some(Err(_)) | None => {
            let text = format!("the program that shows the pulls was killed ({status})");
            Err(DemoError::Failed(text))
        }
    }
}
