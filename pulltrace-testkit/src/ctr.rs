//! The `ctr` of a private containerd: a client that loads by itself and can be
//! killed, and the way to make leases that are no pulls.

use std::ffi::OsStr;
use std::io;
use std::path::{Path, PathBuf};
use std::process::Stdio;
use std::time::Duration;

use tokio::process::{Child, Command};

use crate::containerd::ContainerdBinary;

/// Within this time a `ctr` of a test has ended, or it never will.
const OUTCOME: Duration = Duration::from_secs(120);

/// A `ctr` that failed.
#[derive(Debug, thiserror::Error)]
pub enum CtrError {
    /// The program could not be run.
    #[error("could not run ctr {args}")]
    Run {
        /// Its arguments.
        args: String,
        /// Why.
        #[source]
        source: io::Error,
    },
    /// It ended with an error.
    #[error("ctr {args} ended with {status}: {stderr}")]
    Failed {
        /// Its arguments.
        args: String,
        /// Its exit status.
        status: String,
        /// What it wrote to stderr.
        stderr: String,
    },
}

/// `ctr` for one containerd and one of its namespaces.
#[derive(Debug, Clone)]
pub struct Ctr {
    program: PathBuf,
    socket: PathBuf,
    namespace: String,
    snapshotter: String,
    leaves_pulls_to_daemon: bool,
}

impl Ctr {
    pub(crate) fn new(
        binary: &ContainerdBinary,
        socket: PathBuf,
        namespace: &str,
        snapshotter: &str,
    ) -> Self {
        Self {
            program: binary.ctr.clone(),
            leaves_pulls_to_daemon: binary.at_least(2, 0),
            socket,
            namespace: namespace.into(),
            snapshotter: snapshotter.into(),
        }
    }

    /// Runs any `ctr` command to its end and returns what it printed.
    ///
    /// # Errors
    /// [`CtrError`].
    pub async fn run<S: AsRef<OsStr>>(
        &self,
        args: impl IntoIterator<Item = S>,
    ) -> Result<String, CtrError> {
        self.begin(args)?.outcome().await
    }

    /// Begins `ctr images pull` of `reference` over plain HTTP. From 2.0 on
    /// the client loads by itself only because it is told so (`--local`); else
    /// the daemon would do it and a killed client would leave nothing behind.
    ///
    /// # Errors
    /// When the program cannot be run.
    pub fn pull(&self, reference: &str) -> Result<CtrTask, CtrError> {
        let mut args = vec!["images", "pull", "--plain-http"];
        args.extend(["--snapshotter", &self.snapshotter]);
        if self.leaves_pulls_to_daemon {
            args.push("--local");
        }
        args.push(reference);
        self.begin(args)
    }

    /// Imports an archive made by [`crate::image::Image::write_archive`].
    ///
    /// # Errors
    /// [`CtrError`].
    pub async fn import(&self, archive: &Path) -> Result<String, CtrError> {
        let mut args: Vec<&OsStr> = ["images", "import", "--snapshotter", &self.snapshotter]
            .into_iter()
            .map(OsStr::new)
            .collect();
        args.push(archive.as_os_str());
        self.run(args).await
    }

    /// Makes a lease `id` with these labels (`key=value`), which containerd
    /// keeps for a day.
    ///
    /// # Errors
    /// [`CtrError`].
    pub async fn create_lease(&self, id: &str, labels: &[&str]) -> Result<String, CtrError> {
        let mut args = vec!["leases", "create", "--id", id];
        args.extend(labels);
        self.run(args).await
    }

    /// Deletes a lease.
    ///
    /// # Errors
    /// [`CtrError`].
    pub async fn delete_lease(&self, id: &str) -> Result<String, CtrError> {
        self.run(["leases", "delete", id]).await
    }

    /// Makes a container of an image that is there, without starting it.
    ///
    /// # Errors
    /// [`CtrError`].
    pub async fn create_container(&self, reference: &str, id: &str) -> Result<String, CtrError> {
        self.run([
            "containers",
            "create",
            "--snapshotter",
            &self.snapshotter,
            reference,
            id,
        ])
        .await
    }

    /// Begins any `ctr` command.
    ///
    /// # Errors
    /// When the program cannot be run.
    pub fn begin<S: AsRef<OsStr>>(
        &self,
        args: impl IntoIterator<Item = S>,
    ) -> Result<CtrTask, CtrError> {
        let args: Vec<_> = args
            .into_iter()
            .map(|arg| arg.as_ref().to_owned())
            .collect();
        let text = args.join(OsStr::new(" ")).to_string_lossy().into_owned();
        let child = Command::new(&self.program)
            .arg("--address")
            .arg(&self.socket)
            .args(["--namespace", &self.namespace])
            .args(&args)
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .kill_on_drop(true)
            .spawn()
            .map_err(|source| CtrError::Run {
                args: text.clone(),
                source,
            })?;
        Ok(CtrTask { child, args: text })
    }
}

/// A `ctr` that runs; dropping it kills it.
#[derive(Debug)]
#[must_use = "a ctr that is dropped is killed"]
pub struct CtrTask {
    child: Child,
    args: String,
}

impl CtrTask {
    /// The process id; `None` when it has ended.
    #[must_use]
    pub fn pid(&self) -> Option<u32> {
        self.child.id()
    }

    /// Kills it with SIGKILL and waits until it is gone.
    ///
    /// # Errors
    /// When it cannot be killed.
    pub async fn kill9(mut self) -> io::Result<()> {
        self.child.kill().await
    }

    /// Waits for the end, at most two minutes, and returns what it printed.
    ///
    /// # Errors
    /// [`CtrError::Failed`] with what it wrote to stderr.
    ///
    /// # Panics
    /// When there is no end in time, so that a test cannot hang.
    pub async fn outcome(self) -> Result<String, CtrError> {
        let Self { child, args } = self;
        let ended = tokio::time::timeout(OUTCOME, child.wait_with_output()).await;
        let output =
            match ended.unwrap_or_else(|_| panic!("ctr {args} does not end in {OUTCOME:?}")) {
                Ok(output) => output,
                Err(source) => return Err(CtrError::Run { args, source }),
            };
        if output.status.success() {
            return Ok(String::from_utf8_lossy(&output.stdout).into_owned());
        }
        Err(CtrError::Failed {
            args,
            status: output.status.to_string(),
            stderr: String::from_utf8_lossy(&output.stderr).trim().to_owned(),
        })
    }
}
