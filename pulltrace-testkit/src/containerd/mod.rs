//! A private containerd with its own root, state, socket and configuration. Everything is in one
//! folder, which is removed on drop.

mod binary;
mod config;
mod containers;
mod ctr;
mod home;

use std::fs::{self, File};
use std::io;
use std::os::unix::process::CommandExt as _;
use std::path::{Path, PathBuf};
use std::process::{Child, Command};
use std::sync::mpsc;
use std::time::Duration;

use rustix::process::{Pid, Signal};

use crate::cri::Cri;
use crate::image::{Image, Layer};
use crate::registry::Registry;
use crate::rpc::{CallError, Channel};
use crate::wait::{self, TimedOut};
use home::Home;

pub use binary::ContainerdBinary;
pub(crate) use binary::cache_dir;
pub use config::Options;
pub(crate) use containers::{cgroup_roots, remove_cgroup};
pub use ctr::{Ctr, CtrError, CtrTask};

/// Start timeout. Measured on two busy cores: less than 2 s.
const START_TIMEOUT: Duration = Duration::from_secs(60);
/// Timeout of an orderly stop.
const STOP_TIMEOUT: Duration = Duration::from_secs(20);

/// A containerd that failed to start.
#[derive(Debug, thiserror::Error)]
pub enum StartError {
    /// The folder or the configuration could not be created.
    #[error("failed to prepare containerd's folder")]
    Home(#[source] io::Error),
    /// The program could not be run.
    #[error("failed to run {program}")]
    Spawn {
        /// The path of the program.
        program: PathBuf,
        /// The cause.
        #[source]
        source: io::Error,
    },
    /// It exited before it was ready.
    #[error("containerd exited with {status} before it was ready; end of its log:\n{log}")]
    Ended {
        /// The exit status.
        status: String,
        /// The last lines of the log.
        log: String,
    },
    /// It did not become ready in time.
    #[error("containerd did not become ready in time; end of its log:\n{log}")]
    NotReady {
        /// The condition that was not met.
        #[source]
        source: TimedOut,
        /// The last lines of the log.
        log: String,
    },
}

/// A private containerd, running or killed.
///
/// Dropping it kills the daemon and removes its mounts and its folder.
#[derive(Debug)]
pub struct Containerd {
    process: Option<Process>,
    binary: ContainerdBinary,
    snapshotter: &'static str,
    home: Home,
}

impl Containerd {
    /// Starts a containerd and waits until its socket and its CRI answer.
    ///
    /// # Errors
    /// [`StartError`], with the end of its log.
    pub async fn start(binary: &ContainerdBinary, options: &Options) -> Result<Self, StartError> {
        let home = Home::create().map_err(StartError::Home)?;
        let snapshotter = match home.snapshotter() {
            Ok(snapshotter) => snapshotter,
            Err((snapshotter, error)) => {
                warn(&format!(
                    "failed to mount overlayfs ({error}); using the {snapshotter} snapshotter"
                ));
                snapshotter
            }
        };
        if let Some(mib) = options.memory_mib {
            home.keep_in_memory(mib).map_err(StartError::Home)?;
        }
        if let Some(mib) = options.content_limit_mib {
            home.limit_content_store(mib).map_err(StartError::Home)?;
        }
        let config = config::render(binary, options, &home, snapshotter);
        fs::write(home.config(), config).map_err(StartError::Home)?;
        let mut containerd = Self { process: None, binary: binary.clone(), snapshotter, home };
        for (host, registry) in &options.mirrors {
            containerd.mirror(host, registry).map_err(StartError::Home)?;
        }
        containerd.restart().await?;
        Ok(containerd)
    }

    /// The programs of its version.
    #[must_use]
    pub fn binary(&self) -> &ContainerdBinary {
        &self.binary
    }

    /// The gRPC socket.
    #[must_use]
    pub fn socket(&self) -> PathBuf {
        self.home.socket()
    }

    /// The folder of its persistent data.
    #[must_use]
    pub fn root(&self) -> PathBuf {
        self.home.root()
    }

    /// The folder that contains all of its files; deleted on drop.
    #[must_use]
    pub fn dir(&self) -> &Path {
        self.home.dir()
    }

    /// The snapshotter in use: `overlayfs`, or `native` if overlayfs cannot be mounted.
    #[must_use]
    pub fn snapshotter(&self) -> &str {
        self.snapshotter
    }

    /// The log file, shared by all restarts.
    #[must_use]
    pub fn log_path(&self) -> PathBuf {
        self.home.log()
    }

    /// The last `lines` lines of the log.
    #[must_use]
    pub fn log_tail(&self, lines: usize) -> String {
        let log = match fs::read(self.home.log()) {
            Ok(log) => log,
            Err(error) => return format!("(failed to read the log: {error})"),
        };
        let log = String::from_utf8_lossy(&log);
        let skip = log.lines().count().saturating_sub(lines);
        log.lines().skip(skip).collect::<Vec<_>>().join("\n")
    }

    /// The process id, or `None` while it does not run.
    #[must_use]
    pub fn pid(&self) -> Option<u32> {
        self.process.as_ref().map(|process| process.child.id())
    }

    /// Returns a client of its CRI, such as the kubelet is.
    #[must_use]
    pub fn cri(&self) -> Cri {
        Cri::connect(&self.socket())
    }

    /// Returns its `ctr` for this containerd namespace (the kubelet uses `k8s.io`).
    #[must_use]
    pub fn ctr(&self, namespace: &str) -> Ctr {
        Ctr::new(&self.binary, self.socket(), namespace, self.snapshotter)
    }

    /// Redirects pulls of `host` to the registry at the address `registry`. Takes effect with the
    /// next pull.
    ///
    /// # Errors
    /// When the file cannot be written.
    pub fn mirror(&self, host: &str, registry: &str) -> io::Result<()> {
        let dir = self.home.certs().join(host);
        fs::create_dir_all(&dir)?;
        fs::write(dir.join("hosts.toml"), config::hosts_toml(registry))
    }

    /// The image that [`Containerd::run_sandbox`] pulls if it is not present.
    #[must_use]
    pub fn sandbox_image(&self) -> String {
        format!("{}/{}", config::PAUSE_HOST, config::PAUSE_NAME)
    }

    /// Pushes [`Containerd::sandbox_image`] to `registry` and redirects the image's host to it.
    ///
    /// # Errors
    /// When the file cannot be written.
    pub fn serve_sandbox_image(&self, registry: &Registry) -> io::Result<()> {
        let pause = Image::builder().layer(&Layer::pause()).entrypoint(&["/pause"]);
        registry.push(config::PAUSE_NAME, &pause.build());
        self.mirror(config::PAUSE_HOST, &registry.address().to_string())
    }

    /// Runs the sandbox of a pod `name` in the host's network and returns its id. Requires
    /// [`Containerd::serve_sandbox_image`] before, and runc.
    ///
    /// # Errors
    /// [`CallError`].
    pub async fn run_sandbox(&self, name: &str) -> Result<String, CallError> {
        self.cri().run_sandbox(name, &self.home.cgroup()).await
    }

    /// Kills it with SIGKILL and waits until it has ended. Does nothing if it does not run.
    ///
    /// # Errors
    /// When the process cannot be waited for.
    pub fn kill9(&mut self) -> io::Result<()> {
        match self.process.take() {
            None => Ok(()),
            Some(mut process) => process.kill(),
        }
    }

    /// Sends SIGTERM and waits; kills it if it does not end in time. The data is kept for
    /// [`Containerd::restart`].
    ///
    /// # Errors
    /// When the process cannot be signalled or waited for.
    pub async fn stop(&mut self) -> io::Result<()> {
        let Some(mut process) = self.process.take() else {
            return Ok(());
        };
        process.signal(Signal::TERM)?;
        let ended = wait::until("containerd has exited", STOP_TIMEOUT, async || {
            process.child.try_wait().transpose()
        })
        .await;
        match ended {
            Ok(status) => status.map(drop),
            Err(TimedOut { .. }) => process.kill(),
        }
    }

    /// Stops all of its threads (SIGSTOP) until [`Containerd::thaw`].
    ///
    /// # Errors
    /// When it does not run.
    pub fn freeze(&self) -> io::Result<()> {
        self.running_process()?.signal(Signal::STOP)
    }

    /// Resumes it after [`Containerd::freeze`].
    ///
    /// # Errors
    /// When it does not run.
    pub fn thaw(&self) -> io::Result<()> {
        self.running_process()?.signal(Signal::CONT)
    }

    /// Restarts it on the same data, killing it first if it runs, and waits until it is ready.
    ///
    /// # Errors
    /// [`StartError`], with the end of its log.
    pub async fn restart(&mut self) -> Result<(), StartError> {
        self.spawn()?;
        self.wait_until_ready().await
    }

    /// Like [`Containerd::restart`], but does not wait until it is ready.
    ///
    /// # Errors
    /// When it cannot be run.
    pub fn spawn(&mut self) -> Result<(), StartError> {
        self.kill9().map_err(StartError::Home)?;
        let log = File::options()
            .create(true)
            .append(true)
            .open(self.home.log())
            .map_err(StartError::Home)?;
        self.process = Some(Process::spawn(&self.binary, &self.home, log).map_err(|source| {
            StartError::Spawn { program: self.binary.containerd.clone(), source }
        })?);
        Ok(())
    }

    async fn wait_until_ready(&mut self) -> Result<(), StartError> {
        let channel = Channel::connect(&self.home.socket());
        let cri = self.cri();
        let process = self.process.as_mut();
        let child = &mut process.expect("containerd was spawned").child;
        let ready = wait::until("containerd and its CRI answer", START_TIMEOUT, async || {
            match child.try_wait() {
                Ok(None) => {}
                Ok(Some(status)) => return Some(Err(status.to_string())),
                Err(error) => return Some(Err(error.to_string())),
            }
            let answers = channel.version().await.is_ok() && cri.images().await.is_ok();
            answers.then_some(Ok(()))
        })
        .await;
        let log = || self.log_tail(20);
        match ready {
            Ok(Ok(())) => Ok(()),
            Ok(Err(status)) => Err(StartError::Ended { status, log: log() }),
            Err(source) => Err(StartError::NotReady { source, log: log() }),
        }
    }

    fn running_process(&self) -> io::Result<&Process> {
        self.process.as_ref().ok_or_else(|| io::Error::other("containerd is not running"))
    }
}

impl Drop for Containerd {
    fn drop(&mut self) {
        // The home is dropped next, and panics if it cannot be removed.
        if let Err(error) = self.kill9() {
            warn(&format!("failed to kill containerd: {error}"));
        }
    }
}

/// Lists mount points in `dir` or below, in the order of mounting.
///
/// # Errors
/// When the kernel's mount table cannot be read.
pub fn mounts_below(dir: &Path) -> io::Result<Vec<PathBuf>> {
    home::mounts_below(dir)
}

/// Removes leftovers of killed runs: mounts and folders whose owner and daemon are both dead. Every
/// start does this.
///
/// # Errors
/// When something cannot be removed; names the folder.
pub fn remove_leftovers() -> io::Result<()> {
    home::remove_leftovers()
}

/// The daemon's process. It ends when this process does.
#[derive(Debug)]
struct Process {
    child: Child,
    /// Dropping it ends the thread that spawned the child.
    _keeper: mpsc::SyncSender<()>,
}

impl Process {
    fn spawn(binary: &ContainerdBinary, home: &Home, log: File) -> io::Result<Self> {
        let path =
            std::env::join_paths(std::iter::once(binary.dir().to_owned()).chain(
                std::env::var_os("PATH").iter().flat_map(|path| std::env::split_paths(path)),
            ))
            .map_err(io::Error::other)?;
        // Otherwise a killed test run would leave its containerd running.
        let mut command = Command::new("setpriv");
        command
            .args(["--pdeathsig", "KILL", "--"])
            .arg(&binary.containerd)
            .arg("--config")
            .arg(home.config())
            .env("PATH", path)
            .env("TMPDIR", home.tmp())
            .current_dir(home.dir())
            // Ctrl-C must reach only this process, which stops containerd in the right order.
            .process_group(0)
            .stdin(home.share_lock()?)
            .stdout(log.try_clone()?)
            .stderr(log);
        // The kernel sends the parent-death signal when the *thread* that forked ends, so a
        // dedicated thread spawns the child and stays alive.
        let (started, child) = mpsc::sync_channel(1);
        let (keeper, ended) = mpsc::sync_channel::<()>(0);
        std::thread::Builder::new().name("containerd-keeper".into()).spawn(move || {
            let sent = started.send(command.spawn());
            debug_assert!(sent.is_ok(), "spawn() waits for the child");
            // Returns an error when the process is dropped.
            let never = ended.recv();
            debug_assert!(never.is_err(), "the channel is only ever closed");
        })?;
        let child = child.recv().map_err(io::Error::other)??;
        Ok(Self { child, _keeper: keeper })
    }

    fn signal(&self, signal: Signal) -> io::Result<()> {
        let pid = Pid::from_child(&self.child);
        Ok(rustix::process::kill_process(pid, signal)?)
    }

    fn kill(&mut self) -> io::Result<()> {
        self.child.kill()?;
        self.child.wait().map(drop)
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        // Fails after kill() and stop(), because the process has already ended.
        drop(self.kill());
    }
}

#[expect(
    clippy::print_stderr,
    reason = "differences of this machine must be visible in the test's output"
)]
fn warn(text: &str) {
    eprintln!("testkit: {text}");
}
