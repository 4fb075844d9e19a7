//! One program of Kubernetes as a process that never outlives us.

use std::fs::{self, File};
use std::io;
use std::net::{Ipv4Addr, SocketAddr};
use std::path::{Path, PathBuf};
use std::process::Stdio;
use std::time::Duration;

use rustix::process::{Pid, Signal};
use tokio::net::TcpSocket;
use tokio::process::{Child, Command};

use super::KubernetesBinary;
use crate::wait::{self, TimedOut};

/// How long a start may take; measured on two busy cores: 8 s.
pub(super) const START: Duration = Duration::from_secs(60);
/// How long an end may take.
const STOP: Duration = Duration::from_secs(30);

/// A part of Kubernetes that could not be started.
#[derive(Debug, thiserror::Error)]
pub enum StartError {
    /// Its folder, its port or its process could not be made.
    #[error("could not prepare Kubernetes")]
    Prepare(#[from] io::Error),
    /// It ended before it was ready.
    #[error("the {name} ended with {status} before it was ready; the end of its log:\n{log}")]
    Ended {
        /// Which program.
        name: &'static str,
        /// Its exit status.
        status: String,
        /// The last lines of its log.
        log: String,
    },
    /// It did not become ready.
    #[error("the {name} was not ready in time; the end of its log:\n{log}")]
    NotReady {
        /// Which program.
        name: &'static str,
        /// What was waited for.
        #[source]
        source: TimedOut,
        /// The last lines of its log.
        log: String,
    },
}

/// A port of 127.0.0.1 that nobody else is given, also while the program that
/// listens on it does not run: it is bound here, and never listened on.
#[derive(Debug)]
pub(super) struct Port {
    _bound: TcpSocket,
    pub(super) address: SocketAddr,
}

impl Port {
    pub(super) fn reserve() -> io::Result<Self> {
        let socket = TcpSocket::new_v4()?;
        // Lets the program listen beside us, as long as it does the same: Go does.
        socket.set_reuseaddr(true)?;
        socket.bind(SocketAddr::from((Ipv4Addr::LOCALHOST, 0)))?;
        Ok(Self {
            address: socket.local_addr()?,
            _bound: socket,
        })
    }
}

/// A program that runs. It is killed when this is dropped.
#[derive(Debug)]
pub(super) struct Process {
    name: &'static str,
    child: Child,
    log: PathBuf,
}

impl Process {
    /// Starts the program `name` in `dir`, where it logs into `NAME.log`.
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
            // When we are gone its input ends, and it with it.
            .stdin(Stdio::piped())
            .stdout(log.try_clone()?)
            .stderr(log)
            // Ctrl-C is for us.
            .process_group(0)
            .spawn()?;
        Ok(Self {
            name,
            child,
            log: path,
        })
    }

    pub(super) fn pid(&self) -> Option<u32> {
        self.child.id()
    }

    /// Waits until `ready` answers, as long as it runs.
    pub(super) async fn until_ready<T>(
        &mut self,
        mut ready: impl AsyncFnMut() -> Option<T>,
    ) -> Result<T, StartError> {
        let Self { name, child, log } = self;
        let seen = wait::until(format!("the {name} is ready"), START, async || match child
            .try_wait()
        {
            Ok(None) => ready().await.map(Ok),
            Ok(Some(status)) => Some(Err(status.to_string())),
            Err(error) => Some(Err(error.to_string())),
        })
        .await;
        let log = || tail(log, 20);
        match seen {
            Ok(Ok(value)) => Ok(value),
            Ok(Err(status)) => Err(StartError::Ended {
                name,
                status,
                log: log(),
            }),
            Err(source) => Err(StartError::NotReady {
                name,
                source,
                log: log(),
            }),
        }
    }

    pub(super) async fn kill9(mut self) -> io::Result<()> {
        self.child.kill().await
    }

    /// Asks it to end (SIGTERM), and waits.
    pub(super) async fn stop(mut self) -> io::Result<()> {
        let id = self.child.id().and_then(|id| i32::try_from(id).ok());
        if let Some(id) = id.and_then(Pid::from_raw) {
            rustix::process::kill_process(id, Signal::TERM)?;
        }
        let ended = tokio::time::timeout(STOP, self.child.wait()).await;
        let late = |_| io::Error::other(format!("the {} does not stop", self.name));
        ended.map_err(late)?.map(drop)
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        // An error here: it has ended already.
        drop(self.child.start_kill());
        // Its folder goes after it, so it must not write any more.
        let child = &mut self.child;
        let gone = || child.try_wait().transpose();
        drop(wait::until_blocking("a killed process is gone", STOP, gone));
    }
}

pub(super) fn log_file(dir: &Path, name: &str) -> PathBuf {
    dir.join(name).with_extension("log")
}

/// The last lines of a file.
pub(super) fn tail(file: &Path, lines: usize) -> String {
    let text = match fs::read(file) {
        Ok(text) => text,
        Err(error) => return format!("(it cannot be read: {error})"),
    };
    let text = String::from_utf8_lossy(&text);
    let skip = text.lines().count().saturating_sub(lines);
    text.lines().skip(skip).collect::<Vec<_>>().join("\n")
}
