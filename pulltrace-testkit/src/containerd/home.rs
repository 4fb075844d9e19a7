//! The files of a private containerd and their removal: folders, mounts, and leftovers of killed
//! test runs.

use std::fs::{self, File};
use std::io;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU32, Ordering};

use rustix::mount::{MountFlags, UnmountFlags};

use super::containers;

/// A socket path is limited to 108 bytes, so the folders are here rather than in a temporary folder
/// of unknown depth.
const PARENT_DIR: &str = "/tmp";
const PREFIX: &str = "pt-";

/// A private folder. This process and the daemon hold a lock on it while they run, so that a later
/// run can recognize an abandoned folder.
#[derive(Debug)]
pub(super) struct Home {
    dir: PathBuf,
    lock: File,
}

impl Home {
    /// Creates a folder, after removing those of killed runs.
    pub(super) fn create() -> io::Result<Self> {
        static COUNT: AtomicU32 = AtomicU32::new(0);
        remove_leftovers()?;
        let dir = Path::new(PARENT_DIR).join(format!(
            "{PREFIX}{}-{}",
            std::process::id(),
            COUNT.fetch_add(1, Ordering::Relaxed)
        ));
        // Created under another name and renamed once it is locked, so that [`remove_leftovers`] of
        // another process cannot find it unlocked.
        let new = dir.with_file_name(format!(
            "new-{}",
            dir.file_name().expect("the path has a file name").display()
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

    /// The state folder of runc.
    pub(super) fn runc(&self) -> PathBuf {
        self.dir.join("runc")
    }

    /// The parent cgroup of the containers.
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

    /// Duplicates the lock for the daemon: it may outlive this process briefly, and its folder must
    /// not be removed while it runs.
    pub(super) fn share_lock(&self) -> io::Result<File> {
        self.lock.try_clone()
    }

    pub(super) fn dir(&self) -> &Path {
        &self.dir
    }

    /// Mounts a tmpfs of `mib` MiB as the content store.
    pub(super) fn limit_content_store(&self, mib: u64) -> io::Result<()> {
        mount_tmpfs(&self.root().join("io.containerd.content.v1.content"), mib)
    }

    /// Keeps all data in memory, limited to `mib` MiB.
    pub(super) fn keep_in_memory(&self, mib: u64) -> io::Result<()> {
        mount_tmpfs(&self.root(), mib)
    }

    /// Returns the snapshotter to use: overlayfs, or native with the error if overlayfs cannot be
    /// mounted.
    pub(super) fn snapshotter(&self) -> Result<&'static str, (&'static str, io::Error)> {
        let try_out = || -> io::Result<()> {
            let dir = self.tmp().join("overlay");
            for part in ["lower", "upper", "work", "merged"] {
                fs::create_dir_all(dir.join(part))?;
            }
            let options =
                format!("lowerdir={0}/lower,upperdir={0}/upper,workdir={0}/work", dir.display());
            let options = std::ffi::CString::new(options).expect("contains no NUL byte");
            let merged = dir.join("merged");
            rustix::mount::mount("overlay", &merged, "overlay", MountFlags::empty(), &*options)?;
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
        if let Err(error) = tear_down(&self.dir)
            && !std::thread::panicking()
        {
            panic!("failed to remove {}: {error}", self.dir.display());
        }
    }
}

fn cgroup(dir: &Path) -> String {
    let name = dir.file_name().unwrap_or_default();
    format!("/{}", name.display())
}

/// Mounts a tmpfs of `mib` MiB on `dir`.
fn mount_tmpfs(dir: &Path, mib: u64) -> io::Result<()> {
    fs::create_dir_all(dir)?;
    let size = std::ffi::CString::new(format!("size={mib}m")).expect("contains no NUL byte");
    rustix::mount::mount("tmpfs", dir, "tmpfs", MountFlags::empty(), &*size)?;
    Ok(())
}

/// Removes folders that are not locked: their run was killed.
pub(super) fn remove_leftovers() -> io::Result<()> {
    for entry in fs::read_dir(PARENT_DIR)? {
        let entry = entry?;
        if !entry.file_name().to_string_lossy().starts_with(PREFIX) {
            continue;
        }
        let dir = entry.path();
        let Ok(lock) = File::open(dir.join("lock")) else {
            // Not a folder of the kit, or its owner is removing it.
            continue;
        };
        if lock.try_lock().is_ok() {
            tear_down(&dir).map_err(|error| {
                let text =
                    format!("failed to remove {}, left by a killed run: {error}", dir.display());
                io::Error::new(error.kind(), text)
            })?;
        }
    }
    Ok(())
}

/// Kills the containers, unmounts everything below `dir` and deletes it.
fn tear_down(dir: &Path) -> io::Result<()> {
    containers::kill_all(dir, &cgroup(dir))?;
    // In reverse order: later mounts may be inside of earlier ones.
    for mount in mounts_below(dir)?.into_iter().rev() {
        match rustix::mount::unmount(&mount, UnmountFlags::DETACH) {
            // Already unmounted together with its parent mount.
            Ok(()) | Err(rustix::io::Errno::INVAL | rustix::io::Errno::NOENT) => {}
            Err(error) => return Err(error.into()),
        }
    }
    match fs::remove_dir_all(dir) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(()),
        other => other,
    }
}

/// Lists mount points in `dir` or below, in the order of mounting.
pub(super) fn mounts_below(dir: &Path) -> io::Result<Vec<PathBuf>> {
    let table = fs::read_to_string("/proc/self/mountinfo")?;
    Ok(table
        .lines()
        .filter_map(|line| line.split(' ').nth(4))
        .map(|path| PathBuf::from(path.replace("\\040", " ")))
        .filter(|path| path.starts_with(dir))
        .collect())
}
