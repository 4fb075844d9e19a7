//! A Kubernetes program as a child process that never outlives this process.

use std::fs::{self, File};
use std::io;
use std::net::{Ipv4Addr, SocketAddr};
use std::path::{Path, PathBuf};
use std::process::Stdio;
use std::time::Duration;

use rustix::process::{Pid, Signal};
use tokio::net::TcpSocket;
use tokio::process::{Child, Command};

use super::binary::KubernetesBinary;
use crate::wait::{self, TimedOut};

/// Start timeout. Measured on two busy cores: 8 s.
pub(super) const START_TIMEOUT: Duration = Duration::from_secs(60);
/// Stop timeout.
const STOP_TIMEOUT: Duration = Duration::from_secs(30);

/// A Kubernetes program that failed to start.
#[derive(Debug, thiserror::Error)]
pub enum StartError {
    /// Its folder, port or process could not be created.
    #[error("failed to prepare Kubernetes")]
    Prepare(#[from] io::Error),
    /// It exited before it was ready.
    #[error("{name} exited with {status} before it was ready; end of its log:\n{log}")]
    Ended {
        /// The name of the program.
        name: &'static str,
        /// The exit status.
        status: String,
        /// The last lines of the log.
        log: String,
    },
    /// It did not become ready in time.
    #[error("{name} did not become ready in time; end of its log:\n{log}")]
    NotReady {
        /// The name of the program.
        name: &'static str,
        /// The condition that was not met.
        #[source]
        source: TimedOut,
        /// The last lines of the log.
        log: String,
    },
}

/// A port of 127.0.0.1 that stays reserved while its program does not run: the socket is bound here
/// but never listens.
#[derive(Debug)]
pub(super) struct ReservedPort {
    _bound: TcpSocket,
    pub(super) address: SocketAddr,
}

impl ReservedPort {
    pub(super) fn reserve() -> io::Result<Self> {
        let socket = TcpSocket::new_v4()?;
        // Allows the program to bind the same port, provided that it sets SO_REUSEADDR too, as Go
        // does.
        socket.set_reuseaddr(true)?;
        socket.bind(SocketAddr::from((Ipv4Addr::LOCALHOST, 0)))?;
        Ok(Self { address: socket.local_addr()?, _bound: socket })
    }
}

/// A running program, killed on drop.
#[derive(Debug)]
pub(super) struct Process {
    name: &'static str,
    child: Child,
    log: PathBuf,
}

impl Process {
    /// Starts the program `name` in `dir`. It logs into `NAME.log` there.
    pub(super) fn spawn(
        binary: &KubernetesBinary,
        name: &'static str,
        args: &[String],
        dir: &Path,
    ) -> io::Result<Self> {
        let path = log_file(dir, name);
        let log = File::options().create(true).append(true).open(&path)?;
        let child = Command::new(&binary.path)
            .arg(name)
            .args(args)
            .current_dir(dir)
            // The program exits when its stdin is closed, which happens when this process ends.
            .stdin(Stdio::piped())
            .stdout(log.try_clone()?)
            .stderr(log)
            // Ctrl-C must reach only this process.
            .process_group(0)
            .spawn()?;
        Ok(Self { name, child, log: path })
    }

    pub(super) fn pid(&self) -> Option<u32> {
        self.child.id()
    }

    /// Waits until `ready` returns a value; fails if the program exits.
    pub(super) async fn wait_until_ready<T>(
        &mut self,
        mut ready: impl AsyncFnMut() -> Option<T>,
    ) -> Result<T, StartError> {
        let Self { name, child, log } = self;
        let seen = wait::until(format!("{name} is ready"), START_TIMEOUT, async || {
            match child.try_wait() {
                Ok(None) => ready().await.map(Ok),
                Ok(Some(status)) => Some(Err(status.to_string())),
                Err(error) => Some(Err(error.to_string())),
            }
        })
        .await;
        let log = || tail(log, 20);
        match seen {
            Ok(Ok(value)) => Ok(value),
            Ok(Err(status)) => Err(StartError::Ended { name, status, log: log() }),
            Err(source) => Err(StartError::NotReady { name, source, log: log() }),
        }
    }

    pub(super) async fn kill9(mut self) -> io::Result<()> {
        self.child.kill().await
    }

    /// Sends SIGTERM and waits until it has ended.
    pub(super) async fn stop(mut self) -> io::Result<()> {
        let id = self.child.id().and_then(|id| i32::try_from(id).ok());
        if let Some(id) = id.and_then(Pid::from_raw) {
            rustix::process::kill_process(id, Signal::TERM)?;
        }
        let ended = tokio::time::timeout(STOP_TIMEOUT, self.child.wait()).await;
        let late = |_| io::Error::other(format!("{} did not stop in time", self.name));
        ended.map_err(late)?.map(drop)
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        // Fails if it has already ended.
        drop(self.child.start_kill());
        // Wait, because its folder is removed next and it must not write to it.
        let child = &mut self.child;
        let gone = || child.try_wait().transpose();
        drop(wait::until_blocking("the killed process has exited", STOP_TIMEOUT, gone));
    }
}

pub(super) fn log_file(dir: &Path, name: &str) -> PathBuf {
    dir.join(name).with_extension("log")
}

/// Returns the last lines of a file.
pub(super) fn tail(file: &Path, lines: usize) -> String {
    let text = match fs::read(file) {
        Ok(text) => text,
        Err(error) => return format!("(failed to read the log: {error})"),
    };
    let text = String::from_utf8_lossy(&text);
    let skip = text.lines().count().saturating_sub(lines);
    text.lines().skip(skip).collect::<Vec<_>>().join("\n")
}
