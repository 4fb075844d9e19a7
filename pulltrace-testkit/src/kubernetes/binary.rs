//! Which Kubernetes: the program that `cargo xtask kubernetes` built into the
//! cache from the sources beside this crate.

use std::fs;
use std::io;
use std::path::{Path, PathBuf};

use sha2::{Digest as _, Sha256};

use crate::need::Missing;

/// What it was built from.
const SOURCE: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/kubernetes");

/// A program with the API server in it, and etcd.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct KubernetesBinary {
    pub(super) path: PathBuf,
}

impl KubernetesBinary {
    /// Finds the program that has the API server.
    ///
    /// # Errors
    /// [`Missing`] with what to run.
    pub fn apiserver() -> Result<Self, Missing> {
        find("apiserver", "cargo xtask kubernetes")
    }

    /// Finds the one that has the kubelet, the scheduler and the controllers
    /// as well.
    ///
    /// # Errors
    /// [`Missing`] with what to run.
    pub fn node() -> Result<Self, Missing> {
        find("node", "cargo xtask kubernetes node")
    }
}

fn find(name: &str, build: &str) -> Result<KubernetesBinary, Missing> {
    let missing = |remedy: String| Missing::new(format!("the tests' Kubernetes ({name})"), remedy);
    let cache = crate::containerd::cache_dir()
        .ok_or_else(|| missing("set HOME, XDG_CACHE_HOME or PULLTRACE_CACHE".to_owned()))?;
    let key = key(Path::new(SOURCE)).map_err(|error| missing(format!("{SOURCE}: {error}")))?;
    let path = cache.join("kubernetes").join(key).join(name);
    if path.is_file() {
        Ok(KubernetesBinary { path })
    } else {
        Err(missing(format!("run `{build}` (it needs Go 1.24)")))
    }
}

/// The name of the folder in the cache, worked out as xtask does it.
fn key(source: &Path) -> io::Result<String> {
    let entries = fs::read_dir(source)?.collect::<io::Result<Vec<_>>>()?;
    let mut files: Vec<PathBuf> = entries.iter().map(fs::DirEntry::path).collect();
    files.sort();
    let mut hash = Sha256::new();
    for file in files {
        let content = fs::read(&file)?;
        let name = file.file_name().unwrap_or_default().to_string_lossy();
        hash.update(format!("{name} {}\n", content.len()));
        hash.update(content);
    }
    let hash = hash.finalize();
    Ok(hash.iter().take(8).map(|b| format!("{b:02x}")).collect())
}
