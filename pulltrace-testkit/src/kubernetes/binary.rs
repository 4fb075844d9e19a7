//! Locates the Kubernetes program that `cargo xtask kubernetes` builds into the cache from the Go
//! sources of this crate.

use std::fs;
use std::io;
use std::path::{Path, PathBuf};

use sha2::{Digest as _, Sha256};

use crate::missing::Missing;

/// The Go sources.
const SOURCE_DIR: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/kubernetes");

/// A program that contains the API server and etcd.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct KubernetesBinary {
    pub(super) path: PathBuf,
}

impl KubernetesBinary {
    /// Finds the program that contains the API server.
    ///
    /// # Errors
    /// [`Missing`] with the command to run.
    pub fn apiserver() -> Result<Self, Missing> {
        find("apiserver", "cargo xtask kubernetes")
    }

    /// Finds the program that also contains the kubelet, the scheduler and the controllers.
    ///
    /// # Errors
    /// [`Missing`] with the command to run.
    pub fn node() -> Result<Self, Missing> {
        find("node", "cargo xtask kubernetes node")
    }
}

fn find(name: &str, build: &str) -> Result<KubernetesBinary, Missing> {
    let missing =
        |remedy: String| Missing::new(format!("Kubernetes for the tests ({name})"), remedy);
    let cache = crate::containerd::cache_dir()
        .ok_or_else(|| missing("set HOME, XDG_CACHE_HOME or PULLTRACE_CACHE".to_owned()))?;
    let key = cache_key(Path::new(SOURCE_DIR))
        .map_err(|error| missing(format!("{SOURCE_DIR}: {error}")))?;
    let path = cache.join("kubernetes").join(key).join(name);
    if path.is_file() {
        Ok(KubernetesBinary { path })
    } else {
        Err(missing(format!("run `{build}` (requires Go 1.24)")))
    }
}

/// Computes the name of the cache folder. xtask computes it in the same way.
fn cache_key(source: &Path) -> io::Result<String> {
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
