//! The `ctr` of a private containerd: a client that downloads by itself and can be killed, and that
//! creates leases which do not belong to a pull.

use std::ffi::OsStr;
use std::io;
use std::path::{Path, PathBuf};
use std::process::Stdio;
use std::time::Duration;

use tokio::process::{Child, Command};

use super::binary::ContainerdBinary;

/// The longest that a `ctr` command in a test may take.
const OUTCOME_TIMEOUT: Duration = Duration::from_secs(120);

/// A failed `ctr` command.
#[derive(Debug, thiserror::Error)]
pub enum CtrError {
    /// The program could not be run.
    #[error("failed to run ctr {args}")]
    Run {
        /// The arguments.
        args: String,
        /// The cause.
        #[source]
        source: io::Error,
    },
    /// The command exited with an error.
    #[error("ctr {args} exited with {status}: {stderr}")]
    Failed {
        /// The arguments.
        args: String,
        /// The exit status.
        status: String,
        /// The output on stderr.
        stderr: String,
    },
}

/// `ctr` for one containerd and one containerd namespace.
#[derive(Debug, Clone)]
pub struct Ctr {
    program: PathBuf,
    socket: PathBuf,
    namespace: String,
    snapshotter: String,
    needs_local_flag: bool,
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
            needs_local_flag: binary.at_least(2, 0),
            socket,
            namespace: namespace.into(),
            snapshotter: snapshotter.into(),
        }
    }

    /// Runs a `ctr` command and returns its stdout.
    ///
    /// # Errors
    /// [`CtrError`].
    pub async fn run<S: AsRef<OsStr>>(
        &self,
        args: impl IntoIterator<Item = S>,
    ) -> Result<String, CtrError> {
        self.spawn(args)?.outcome().await
    }

    /// Starts `ctr images pull` of `reference` over plain HTTP.
    ///
    /// From 2.0 on `--local` is needed to make the client download by itself. Otherwise the daemon
    /// does, and a killed client leaves no unfinished download behind.
    ///
    /// # Errors
    /// When the program cannot be run.
    pub fn pull(&self, reference: &str) -> Result<CtrTask, CtrError> {
        let mut args = vec!["images", "pull", "--plain-http"];
        args.extend(["--snapshotter", &self.snapshotter]);
        if self.needs_local_flag {
            args.push("--local");
        }
        args.push(reference);
        self.spawn(args)
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

    /// Creates the lease `id` with these labels (`key=value`). containerd keeps it for a day.
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

    /// Creates a container from an existing image without starting it.
    ///
    /// # Errors
    /// [`CtrError`].
    pub async fn create_container(&self, reference: &str, id: &str) -> Result<String, CtrError> {
        self.run(["containers", "create", "--snapshotter", &self.snapshotter, reference, id]).await
    }

    /// Starts a `ctr` command.
    ///
    /// # Errors
    /// When the program cannot be run.
    pub fn spawn<S: AsRef<OsStr>>(
        &self,
        args: impl IntoIterator<Item = S>,
    ) -> Result<CtrTask, CtrError> {
        let args: Vec<_> = args.into_iter().map(|arg| arg.as_ref().to_owned()).collect();
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
            .map_err(|source| CtrError::Run { args: text.clone(), source })?;
        Ok(CtrTask { child, args: text })
    }
}

/// A running `ctr`, killed on drop.
#[derive(Debug)]
#[must_use = "ctr is killed on drop"]
pub struct CtrTask {
    child: Child,
    args: String,
}

impl CtrTask {
    /// The process id, or `None` if it has ended.
    #[must_use]
    pub fn pid(&self) -> Option<u32> {
        self.child.id()
    }

    /// Kills it with SIGKILL and waits until it has ended.
    ///
    /// # Errors
    /// When it cannot be killed.
    pub async fn kill9(mut self) -> io::Result<()> {
        self.child.kill().await
    }

    /// Waits up to two minutes for the command to end and returns its stdout.
    ///
    /// # Errors
    /// [`CtrError::Failed`] with its stderr.
    ///
    /// # Panics
    /// When it does not end in time, so that a test cannot hang.
    pub async fn outcome(self) -> Result<String, CtrError> {
        let Self { child, args } = self;
        let ended = tokio::time::timeout(OUTCOME_TIMEOUT, child.wait_with_output()).await;
        let output = match ended
            .unwrap_or_else(|_| panic!("ctr {args} does not end in {OUTCOME_TIMEOUT:?}"))
        {
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
