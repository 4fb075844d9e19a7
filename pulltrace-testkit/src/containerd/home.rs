//! Everything that a private containerd owns in the file system, and its end:
//! folders, mounts, and what a killed test run left behind.

use std::fs::{self, File};
use std::io;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU32, Ordering};

use rustix::mount::{MountFlags, UnmountFlags};

use super::containers;

/// A socket's path has at most 108 bytes, so homes lie here and not in a
/// temporary folder of any depth.
const PARENT: &str = "/tmp";
const PREFIX: &str = "pt-";

/// One private folder. It is locked for as long as we or its daemon live, so
/// that the next run can tell a forgotten one.
#[derive(Debug)]
pub(super) struct Home {
    dir: PathBuf,
    lock: File,
}

impl Home {
    /// Makes a new one, after taking away those that killed runs left behind.
    pub(super) fn create() -> io::Result<Self> {
        static COUNT: AtomicU32 = AtomicU32::new(0);
        sweep()?;
        let dir = Path::new(PARENT).join(format!(
            "{PREFIX}{}-{}",
            std::process::id(),
            COUNT.fetch_add(1, Ordering::Relaxed)
        ));
        // Locked under another name: a sweep must not see it without its lock.
        let new = dir.with_file_name(format!(
            "new-{}",
            dir.file_name().expect("a name").display()
        ));
        fs::create_dir(&new)?;
        let lock = File::create(new.join("lock"))?;
        lock.lock()?;
        for part in ["root", "state", "certs.d", "tmp"] {
            fs::create_dir(new.join(part))?;
        }
        fs::rename(&new, &dir)?;
        Ok(Self { dir, lock })
    }

    pub(super) fn root(&self) -> PathBuf {
        self.dir.join("root")
    }

    pub(super) fn state(&self) -> PathBuf {
        self.dir.join("state")
    }

    pub(super) fn socket(&self) -> PathBuf {
        self.dir.join("c.sock")
    }

    pub(super) fn ttrpc_socket(&self) -> PathBuf {
        self.dir.join("c.sock.ttrpc")
    }

    /// The state of the containers' runtime.
    pub(super) fn runc(&self) -> PathBuf {
        self.dir.join("runc")
    }

    /// The parent of the containers' control groups.
    pub(super) fn cgroup(&self) -> String {
        cgroup(&self.dir)
    }

    pub(super) fn certs(&self) -> PathBuf {
        self.dir.join("certs.d")
    }

    pub(super) fn log(&self) -> PathBuf {
        self.dir.join("containerd.log")
    }

    pub(super) fn config(&self) -> PathBuf {
        self.dir.join("config.toml")
    }

    pub(super) fn tmp(&self) -> PathBuf {
        self.dir.join("tmp")
    }

    /// The lock once more, for the daemon to hold: it may outlive us by a
    /// moment, in which nobody must take its folder away.
    pub(super) fn share_lock(&self) -> io::Result<File> {
        self.lock.try_clone()
    }

    pub(super) fn dir(&self) -> &Path {
        &self.dir
    }

    /// Gives the content store a file system of its own, of `mib` MiB.
    pub(super) fn limit_content(&self, mib: u64) -> io::Result<()> {
        in_memory(&self.root().join("io.containerd.content.v1.content"), mib)
    }

    /// Keeps all data in memory, at most `mib` MiB.
    pub(super) fn keep_in_memory(&self, mib: u64) -> io::Result<()> {
        in_memory(&self.root(), mib)
    }

    /// The snapshotter that works here: overlayfs, or native with the reason
    /// why not.
    pub(super) fn snapshotter(&self) -> Result<&'static str, (&'static str, io::Error)> {
        let try_out = || -> io::Result<()> {
            let dir = self.tmp().join("overlay");
            for part in ["lower", "upper", "work", "merged"] {
                fs::create_dir_all(dir.join(part))?;
            }
            let options = format!(
                "lowerdir={0}/lower,upperdir={0}/upper,workdir={0}/work",
                dir.display()
            );
            let options = std::ffi::CString::new(options).expect("no zero byte");
            let merged = dir.join("merged");
            rustix::mount::mount(
                "overlay",
                &merged,
                "overlay",
                MountFlags::empty(),
                &*options,
            )?;
            rustix::mount::unmount(&merged, UnmountFlags::DETACH)?;
            fs::remove_dir_all(&dir)
        };
        match try_out() {
            Ok(()) => Ok("overlayfs"),
            Err(error) => Err(("native", error)),
        }
    }
}

impl Drop for Home {
    fn drop(&mut self) {
        if let Err(error) = remove(&self.dir)
            && !std::thread::panicking()
        {
            panic!("{} could not be taken away: {error}", self.dir.display());
        }
    }
}

fn cgroup(dir: &Path) -> String {
    let name = dir.file_name().unwrap_or_default();
    format!("/{}", name.display())
}

/// Mounts a file system in memory of `mib` MiB on `dir`.
fn in_memory(dir: &Path, mib: u64) -> io::Result<()> {
    fs::create_dir_all(dir)?;
    let size = std::ffi::CString::new(format!("size={mib}m")).expect("no zero byte");
    rustix::mount::mount("tmpfs", dir, "tmpfs", MountFlags::empty(), &*size)?;
    Ok(())
}

/// Takes away the homes that nobody has locked: their run was killed.
pub(super) fn sweep() -> io::Result<()> {
    for entry in fs::read_dir(PARENT)? {
        let entry = entry?;
        if !entry.file_name().to_string_lossy().starts_with(PREFIX) {
            continue;
        }
        let dir = entry.path();
        let Ok(lock) = File::open(dir.join("lock")) else {
            // Not one of ours, or just being removed by its owner.
            continue;
        };
        if lock.try_lock().is_ok() {
            remove(&dir).map_err(|error| {
                let text = format!("{}, left by a killed run: {error}", dir.display());
                io::Error::new(error.kind(), text)
            })?;
        }
    }
    Ok(())
}

/// Ends the containers, unmounts all below `dir` and deletes it.
fn remove(dir: &Path) -> io::Result<()> {
    containers::end_all(dir, &cgroup(dir))?;
    // Later mounts may lie on earlier ones.
    for mount in mounts_below(dir)?.into_iter().rev() {
        match rustix::mount::unmount(&mount, UnmountFlags::DETACH) {
            // Gone with the mount around it.
            Ok(()) | Err(rustix::io::Errno::INVAL | rustix::io::Errno::NOENT) => {}
            Err(error) => return Err(error.into()),
        }
    }
    match fs::remove_dir_all(dir) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(()),
        other => other,
    }
}

/// Where something is mounted in `dir` or below, in the order of mounting.
pub(super) fn mounts_below(dir: &Path) -> io::Result<Vec<PathBuf>> {
    let table = fs::read_to_string("/proc/self/mountinfo")?;
    Ok(table
        .lines()
        .filter_map(|line| line.split(' ').nth(4))
        .map(|path| PathBuf::from(path.replace("\\040", " ")))
        .filter(|path| path.starts_with(dir))
        .collect())
}
