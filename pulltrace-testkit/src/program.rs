//! The agent and the server as deployed: separate processes that can be killed, stopped and
//! restarted.

use std::fs::{self, File};
use std::io;
use std::path::{Path, PathBuf};
use std::process::{ExitStatus, Stdio};
use std::time::Duration;

use rustix::process::{Pid, Signal};
use tokio::io::{AsyncBufReadExt as _, BufReader};
use tokio::process::{Child, ChildStdout, Command};

use crate::missing::Missing;

/// The longest that a program may take to start, or to stop after SIGTERM.
const TIMEOUT: Duration = Duration::from_secs(30);

/// Environment variable that lets `cargo xtask test` find leftover processes of its tests.
const MARKER_ENV: &str = "PULLTRACE_TEST_STAGE";

/// Finds the program of this name in the target folder of the running executable.
///
/// # Errors
/// [`Missing`] if it was not built.
pub fn find(name: &str) -> Result<PathBuf, Missing> {
    let here = std::env::current_exe().unwrap_or_default();
    // Tests are in `deps`, one level below the programs.
    let found = here.ancestors().skip(1).take(2).map(|dir| dir.join(name));
    found.into_iter().find(|file| file.is_file()).ok_or_else(|| {
        let build = "cargo build --workspace --all-features --all-targets";
        Missing::new(format!("program {name}"), build)
    })
}

/// A process and its log file.
#[derive(Debug)]
struct Program {
    path: PathBuf,
    args: Vec<String>,
    log: PathBuf,
    child: Option<Child>,
}

impl Program {
    fn new(path: PathBuf, dir: &Path, args: &[&str]) -> Self {
        let name = path.file_name().unwrap_or_default();
        Self {
            log: dir.join(name).with_extension("log"),
            path,
            args: args.iter().map(|arg| (*arg).to_owned()).collect(),
            child: None,
        }
    }

    /// Starts the process, after killing a running one, and returns its stdout.
    async fn start(&mut self) -> io::Result<ChildStdout> {
        self.kill9().await?;
        let log = File::options().create(true).append(true).open(&self.log)?;
        let mut command = Command::new(&self.path);
        command.args(&self.args).kill_on_drop(true);
        command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(log);
        for (name, _) in std::env::vars_os() {
            let text = name.to_string_lossy();
            if text.starts_with("PULLTRACE_") && text != MARKER_ENV {
                command.env_remove(&name);
            }
        }
        let mut child = command.spawn()?;
        let output = child.stdout.take();
        self.child = Some(child);
        output.ok_or_else(|| io::Error::other("missing stdout of the child process"))
    }

    async fn kill9(&mut self) -> io::Result<()> {
        match self.child.take() {
            Some(mut child) => child.kill().await,
            None => Ok(()),
        }
    }

    async fn stop(&mut self) -> io::Result<ExitStatus> {
        let gone = || io::Error::other("the program is not running");
        let mut child = self.child.take().ok_or_else(gone)?;
        let id = child.id().and_then(|id| i32::try_from(id).ok());
        let id = id.and_then(Pid::from_raw).ok_or_else(gone)?;
        rustix::process::kill_process(id, Signal::TERM)?;
        let ended = tokio::time::timeout(TIMEOUT, child.wait()).await;
        ended.map_err(|_| io::Error::other("the program did not stop in time"))?
    }

    fn log(&self) -> String {
        fs::read_to_string(&self.log).unwrap_or_else(|error| format!("(no log: {error})"))
    }
}

/// A `pulltrace-server` on a free port of 127.0.0.1 that it keeps across restarts.
#[derive(Debug)]
pub struct Server {
    program: Program,
    url: String,
}

impl Server {
    /// Starts the program at `path`, which logs into `dir`.
    ///
    /// # Errors
    /// When it cannot be run or prints no URL; includes its log.
    pub async fn start(path: PathBuf, dir: &Path) -> io::Result<Self> {
        Self::start_with(path, dir, &["--metrics-addr", "off"]).await
    }

    /// Like [`Server::start`], with these flags in addition to the address.
    ///
    /// # Errors
    /// When it cannot be run or prints no URL; includes its log.
    pub async fn start_with(path: PathBuf, dir: &Path, flags: &[&str]) -> io::Result<Self> {
        let args = [&["--http-addr", "127.0.0.1:0"], flags].concat();
        let mut server = Self { program: Program::new(path, dir, &args), url: String::new() };
        server.restart().await?;
        if let Some(address) = server.program.args.get_mut(1) {
            *address = server.url.trim_start_matches("http://").to_owned();
        }
        Ok(server)
    }

    /// The base URL, without a trailing slash.
    #[must_use]
    pub fn url(&self) -> &str {
        &self.url
    }

    /// The host and port of [`Server::url`].
    #[must_use]
    pub fn address(&self) -> &str {
        self.url.trim_start_matches("http://")
    }

    /// The process id, or `None` while it does not run.
    #[must_use]
    pub fn pid(&self) -> Option<u32> {
        self.program.child.as_ref().and_then(Child::id)
    }

    /// Restarts it on the same address, killing it first if it runs, and waits until it serves.
    ///
    /// # Errors
    /// When it cannot be run or prints no URL; includes its log.
    pub async fn restart(&mut self) -> io::Result<()> {
        let output = self.program.start().await?;
        let mut line = String::new();
        let mut output = BufReader::new(output);
        let read = tokio::time::timeout(TIMEOUT, output.read_line(&mut line)).await;
        read.map_err(|_| io::Error::other("the server did not print its URL in time"))??;
        if line.is_empty() {
            return Err(io::Error::other(format!(
                "the server exited before it printed its URL: {}",
                self.log()
            )));
        }
        self.url = line.trim().trim_end_matches('/').to_owned();
        Ok(())
    }

    /// Kills it with SIGKILL.
    ///
    /// # Errors
    /// When it cannot be killed.
    pub async fn kill9(&mut self) -> io::Result<()> {
        self.program.kill9().await
    }

    /// The log so far, including earlier runs.
    #[must_use]
    pub fn log(&self) -> String {
        self.program.log()
    }
}

/// A `pulltrace-agent` for the node `node-1`.
#[derive(Debug)]
pub struct Agent {
    program: Program,
}

impl Agent {
    /// Starts the program at `path`, which watches `socket`, reports to `server` and logs into
    /// `dir`.
    ///
    /// # Errors
    /// When it cannot be run.
    pub async fn start(
        path: PathBuf,
        dir: &Path,
        socket: &Path,
        server: &str,
        more: &[&str],
    ) -> io::Result<Self> {
        let socket = socket.to_string_lossy();
        let args = ["--server-url", server, "--node-name", "node-1", "--socket", &socket];
        let mut agent = Self { program: Program::new(path, dir, &[&args[..], more].concat()) };
        agent.restart().await?;
        Ok(agent)
    }

    /// Restarts it, killing it first if it runs.
    ///
    /// # Errors
    /// When it cannot be run.
    pub async fn restart(&mut self) -> io::Result<()> {
        // The agent prints nothing on stdout.
        self.program.start().await.map(drop)
    }

    /// Kills it with SIGKILL.
    ///
    /// # Errors
    /// When it cannot be killed.
    pub async fn kill9(&mut self) -> io::Result<()> {
        self.program.kill9().await
    }

    /// Sends SIGTERM and waits until it has ended.
    ///
    /// # Errors
    /// When it does not run, or does not end in time.
    pub async fn stop(&mut self) -> io::Result<ExitStatus> {
        self.program.stop().await
    }

    /// The log so far, including earlier runs.
    #[must_use]
    pub fn log(&self) -> String {
        self.program.log()
    }
}
