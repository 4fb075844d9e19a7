//! A private containerd: its own root, state, socket and configuration in a
//! folder of its own, of which nothing is left when it is dropped.

mod binary;
mod config;
mod containers;
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
use crate::ctr::Ctr;
use crate::image::{Image, Layer};
use crate::registry::Registry;
use crate::rpc::{CallError, Channel};
use crate::wait::{self, TimedOut};
use home::Home;

pub use binary::ContainerdBinary;
pub(crate) use binary::cache_dir;
pub use config::Options;
pub(crate) use containers::{cgroup_roots, remove_cgroup};

/// How long a start may take; measured on two busy cores: below 2 s.
const START: Duration = Duration::from_secs(60);
/// How long an orderly stop may take.
const STOP: Duration = Duration::from_secs(20);

/// A containerd that could not be started.
#[derive(Debug, thiserror::Error)]
pub enum StartError {
    /// Its folder or configuration could not be made.
    #[error("could not prepare a home for containerd")]
    Home(#[source] io::Error),
    /// The program could not be run.
    #[error("could not run {program}")]
    Spawn {
        /// The program.
        program: PathBuf,
        /// Why.
        #[source]
        source: io::Error,
    },
    /// It ended before it was ready.
    #[error("containerd ended with {status} before it was ready; the end of its log:\n{log}")]
    Ended {
        /// Its exit status.
        status: String,
        /// The last lines of its log.
        log: String,
    },
    /// It did not become ready.
    #[error("containerd was not ready in time; the end of its log:\n{log}")]
    NotReady {
        /// What was waited for.
        #[source]
        source: TimedOut,
        /// The last lines of its log.
        log: String,
    },
}

/// A running (or killed) private containerd.
///
/// Dropping it kills the daemon and takes away its mounts and folder.
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
                note(&format!(
                    "overlayfs does not mount here ({error}); using the {snapshotter} snapshotter"
                ));
                snapshotter
            }
        };
        if let Some(mib) = options.memory_mib {
            home.keep_in_memory(mib).map_err(StartError::Home)?;
        }
        if let Some(mib) = options.content_limit_mib {
            home.limit_content(mib).map_err(StartError::Home)?;
        }
        let config = config::render(binary, options, &home, snapshotter);
        fs::write(home.config(), config).map_err(StartError::Home)?;
        let mut containerd = Self {
            process: None,
            binary: binary.clone(),
            snapshotter,
            home,
        };
        for (host, registry) in &options.mirrors {
            containerd
                .mirror(host, registry)
                .map_err(StartError::Home)?;
        }
        containerd.restart().await?;
        Ok(containerd)
    }

    /// Which version it is.
    #[must_use]
    pub fn binary(&self) -> &ContainerdBinary {
        &self.binary
    }

    /// Its gRPC socket.
    #[must_use]
    pub fn socket(&self) -> PathBuf {
        self.home.socket()
    }

    /// Its persistent data.
    #[must_use]
    pub fn root(&self) -> PathBuf {
        self.home.root()
    }

    /// The folder that holds all it has; it is deleted at the end.
    #[must_use]
    pub fn dir(&self) -> &Path {
        self.home.dir()
    }

    /// The snapshotter in use: `overlayfs`, or `native` where that cannot be
    /// mounted.
    #[must_use]
    pub fn snapshotter(&self) -> &str {
        self.snapshotter
    }

    /// Where it logs, over all its restarts.
    #[must_use]
    pub fn log_path(&self) -> PathBuf {
        self.home.log()
    }

    /// The last `lines` lines of its log.
    #[must_use]
    pub fn log_tail(&self, lines: usize) -> String {
        let log = match fs::read(self.home.log()) {
            Ok(log) => log,
            Err(error) => return format!("(the log cannot be read: {error})"),
        };
        let log = String::from_utf8_lossy(&log);
        let skip = log.lines().count().saturating_sub(lines);
        log.lines().skip(skip).collect::<Vec<_>>().join("\n")
    }

    /// The process id; `None` while it does not run.
    #[must_use]
    pub fn pid(&self) -> Option<u32> {
        self.process.as_ref().map(|process| process.child.id())
    }

    /// A client of its CRI, as the kubelet is one.
    #[must_use]
    pub fn cri(&self) -> Cri {
        Cri::connect(&self.socket())
    }

    /// Its `ctr`, in this containerd namespace (`k8s.io` is the kubelet's).
    #[must_use]
    pub fn ctr(&self, namespace: &str) -> Ctr {
        Ctr::new(&self.binary, self.socket(), namespace, self.snapshotter)
    }

    /// Lets images of `host` come from the registry at `registry` (an
    /// address): from the next pull on.
    ///
    /// # Errors
    /// When the file cannot be written.
    pub fn mirror(&self, host: &str, registry: &str) -> io::Result<()> {
        let dir = self.home.certs().join(host);
        fs::create_dir_all(&dir)?;
        fs::write(dir.join("hosts.toml"), config::hosts_toml(registry))
    }

    /// The image that [`Containerd::run_sandbox`] pulls when it is not there
    /// yet.
    #[must_use]
    pub fn sandbox_image(&self) -> String {
        format!("{}/{}", config::PAUSE_HOST, config::PAUSE_NAME)
    }

    /// Pushes [`Containerd::sandbox_image`] to `registry` and makes it the
    /// place where that name is found.
    ///
    /// # Errors
    /// When the file cannot be written.
    pub fn serve_sandbox_image(&self, registry: &Registry) -> io::Result<()> {
        let pause = Image::builder()
            .layer(&Layer::pause())
            .entrypoint(&["/pause"]);
        registry.push(config::PAUSE_NAME, &pause.build());
        self.mirror(config::PAUSE_HOST, &registry.address().to_string())
    }

    /// Runs the sandbox of a pod `name` in the host's network, and returns its
    /// id. Needs [`Containerd::serve_sandbox_image`] before, and runc.
    ///
    /// # Errors
    /// [`CallError`].
    pub async fn run_sandbox(&self, name: &str) -> Result<String, CallError> {
        self.cri().run_sandbox(name, &self.home.cgroup()).await
    }

    /// Kills it with SIGKILL and waits until it is gone. Does nothing when it
    /// does not run.
    ///
    /// # Errors
    /// When the process cannot be waited for.
    pub fn kill9(&mut self) -> io::Result<()> {
        match self.process.take() {
            None => Ok(()),
            Some(mut process) => process.kill(),
        }
    }

    /// Asks it to end (SIGTERM) and waits; kills it when it does not. Data
    /// stay, and [`Containerd::restart`] brings it back.
    ///
    /// # Errors
    /// When the process cannot be signalled or waited for.
    pub async fn stop(&mut self) -> io::Result<()> {
        let Some(mut process) = self.process.take() else {
            return Ok(());
        };
        process.signal(Signal::TERM)?;
        let ended = wait::until("containerd ends", STOP, async || {
            process.child.try_wait().transpose()
        })
        .await;
        match ended {
            Ok(status) => status.map(drop),
            Err(TimedOut { .. }) => process.kill(),
        }
    }

    /// Stops every thread of it (SIGSTOP) until [`Containerd::thaw`].
    ///
    /// # Errors
    /// When it does not run.
    pub fn freeze(&self) -> io::Result<()> {
        self.running()?.signal(Signal::STOP)
    }

    /// Lets it go on after [`Containerd::freeze`].
    ///
    /// # Errors
    /// When it does not run.
    pub fn thaw(&self) -> io::Result<()> {
        self.running()?.signal(Signal::CONT)
    }

    /// Starts it again on the same data, after killing it when it still runs,
    /// and waits until it is ready.
    ///
    /// # Errors
    /// [`StartError`], with the end of its log.
    pub async fn restart(&mut self) -> Result<(), StartError> {
        self.spawn()?;
        self.ready().await
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
        self.process = Some(
            Process::spawn(&self.binary, &self.home, log).map_err(|source| StartError::Spawn {
                program: self.binary.containerd.clone(),
                source,
            })?,
        );
        Ok(())
    }

    async fn ready(&mut self) -> Result<(), StartError> {
        let channel = Channel::connect(&self.home.socket());
        let cri = self.cri();
        let process = self.process.as_mut();
        let child = &mut process.expect("it was spawned").child;
        let ready = wait::until("containerd and its CRI answer", START, async || {
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

    fn running(&self) -> io::Result<&Process> {
        self.process
            .as_ref()
            .ok_or_else(|| io::Error::other("containerd does not run"))
    }
}

impl Drop for Containerd {
    fn drop(&mut self) {
        // The home goes after it, and says when something holds on to it.
        if let Err(error) = self.kill9() {
            note(&format!("containerd could not be killed: {error}"));
        }
    }
}

/// Where something is mounted in `dir` or below, in the order of mounting.
///
/// # Errors
/// When the kernel's table cannot be read.
pub fn mounts_below(dir: &Path) -> io::Result<Vec<PathBuf>> {
    home::mounts_below(dir)
}

/// Takes away what killed runs left behind: mounts and folders whose owner and
/// daemon are both dead. Each start does this by itself.
///
/// # Errors
/// When something cannot be taken away; it names the folder.
pub fn sweep() -> io::Result<()> {
    home::sweep()
}

/// The daemon's process, which also ends when ours does.
#[derive(Debug)]
struct Process {
    child: Child,
    /// Ends the thread that started the child.
    _keeper: mpsc::SyncSender<()>,
}

impl Process {
    fn spawn(binary: &ContainerdBinary, home: &Home, log: File) -> io::Result<Self> {
        let path = std::env::join_paths(
            std::iter::once(binary.dir().to_owned()).chain(
                std::env::var_os("PATH")
                    .iter()
                    .flat_map(|path| std::env::split_paths(path)),
            ),
        )
        .map_err(io::Error::other)?;
        // Without this a killed test run leaves its containerd running.
        let mut command = Command::new("setpriv");
        command
            .args(["--pdeathsig", "KILL", "--"])
            .arg(&binary.containerd)
            .arg("--config")
            .arg(home.config())
            .env("PATH", path)
            .env("TMPDIR", home.tmp())
            .current_dir(home.dir())
            // Ctrl-C is for us: we end it in our order.
            .process_group(0)
            .stdin(home.share_lock()?)
            .stdout(log.try_clone()?)
            .stderr(log);
        // The kernel sends that signal when the *thread* which forked ends, so
        // one of our own does it and stays.
        let (started, child) = mpsc::sync_channel(1);
        let (keeper, ended) = mpsc::sync_channel::<()>(0);
        std::thread::Builder::new()
            .name("containerd-keeper".into())
            .spawn(move || {
                let sent = started.send(command.spawn());
                debug_assert!(sent.is_ok(), "spawn() waits for the child");
                // Ends, by an error, when the process is dropped.
                let never = ended.recv();
                debug_assert!(never.is_err(), "nothing is ever sent");
            })?;
        let child = child.recv().map_err(io::Error::other)??;
        Ok(Self {
            child,
            _keeper: keeper,
        })
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
        // Gone already after kill() and stop(): then this is an error and fine.
        drop(self.kill());
    }
}

#[expect(
    clippy::print_stderr,
    reason = "a test's reader must see what differs on this machine"
)]
fn note(text: &str) {
    eprintln!("testkit: {text}");
}
