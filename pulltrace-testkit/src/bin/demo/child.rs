//! The programs that are shown: `pulltrace`, which serves the page and shows the pulls on our terminal, and with pods
//! the agent and the server.

use std::ffi::OsString;
use std::io;
use std::path::{Path, PathBuf};
use std::process::{ExitStatus, Stdio};
use std::time::Duration;

use rustix::process::{Pid, Signal};
use tokio::io::{AsyncBufReadExt as _, BufReader};
use tokio::process::{Child as Process, Command};

use crate::stop::Stop;

/// How long it may take to end when it is told to.
const END: Duration = Duration::from_secs(5);

/// A `pulltrace`, or another of its programs, that can be started.
#[derive(Debug, Clone)]
pub(crate) struct Pulltrace {
    program: PathBuf,
    args: Vec<OsString>,
}

impl Pulltrace {
    /// The one that was built with this program.
    ///
    /// # Errors
    /// One line when it is not there.
    pub(crate) fn find(name: &str) -> Result<Self, String> {
        let here = std::env::current_exe().map_err(|error| format!("this program: {error}"))?;
        let program = here.with_file_name(name);
        if program.is_file() {
            Ok(Self {
                program,
                args: Vec::new(),
            })
        } else {
            Err(format!(
                "{} is missing: start this as `cargo xtask demo`, which builds it",
                program.display()
            ))
        }
    }

    pub(crate) fn args(&self, args: impl IntoIterator<Item = impl Into<OsString>>) -> Self {
        let mut with = self.clone();
        with.args.extend(args.into_iter().map(Into::into));
        with
    }

    /// Whether it takes these arguments; it says itself what is wrong.
    pub(crate) async fn check(&self) -> io::Result<ExitStatus> {
        Command::new(&self.program)
            .args(&self.args)
            .arg("--help")
            .stdout(Stdio::null())
            .status()
            .await
    }

    /// Starts it. It ends when we do, also when we are killed.
    pub(crate) fn start(&self) -> io::Result<Child> {
        let process = self.spawn(self.command())?;
        Ok(Child { process })
    }

    /// Starts one that ends its first line with where its page is; `None` where it ended before, and
    /// has said why.
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
            // The kernel sends it when our thread ends that started it, which
            // is the first one.
            let mut command = Command::new("/usr/bin/setpriv");
            command
                .args(["--pdeathsig", "TERM", "--"])
                .arg(&self.program);
            command
        } else {
            Command::new(&self.program)
        };
        command.args(&self.args);
        for (name, value) in [
            ("PULLTRACE_NODE_NAME", "demo"),
            // What stands still is to be seen within a demo.
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
            let text = format!("{} could not be started: {error}", self.program.display());
            io::Error::new(error.kind(), text)
        })
    }
}

#[derive(Debug)]
pub(crate) struct Child {
    process: Process,
}

impl Child {
    pub(crate) async fn ended(&mut self) -> io::Result<ExitStatus> {
        self.process.wait().await
    }

    /// Tells it to end and waits; kills it after a while, or at a second wish.
    pub(crate) async fn end(&mut self, stop: &Stop) -> io::Result<ExitStatus> {
        let pid = self.process.id().and_then(|id| i32::try_from(id).ok());
        if let Some(pid) = pid.and_then(Pid::from_raw) {
            // It may be ending already, as Ctrl-C reaches it as well.
            match rustix::process::kill_process(pid, Signal::TERM) {
                Ok(()) | Err(rustix::io::Errno::SRCH) => {}
                Err(error) => return Err(error.into()),
            }
        }
        tokio::select! {
            ended = self.process.wait() => return ended,
            () = tokio::time::sleep(END) => {}
            () = stop.again() => {}
        }
        self.process.kill().await?;
        self.process.wait().await
    }
}
