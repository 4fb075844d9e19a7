//! `cargo xtask kubernetes [node]`: builds the tests' API server, or a whole node, into the cache.
//!
//! The folder in the cache is named after a hash of the sources, so a cached program is never stale.

use std::fs;
use std::path::{Path, PathBuf};

use sha2::{Digest as _, Sha256};

use crate::background::{self, Build};
use crate::error::{Context as _, Result};
use crate::go;
use crate::root::Root;

/// The folder of the Go module.
const SOURCE: &str = "pulltrace-testkit/kubernetes";

pub(crate) const DETAILS: &str = "\
Requires Go 1.24 or newer. The first build takes minutes and downloads 500 MB.
Prints the path of the program.";

#[derive(Debug, clap::Args)]
pub(crate) struct Args {
    /// The program
    #[arg(value_enum, default_value_t = Program::Apiserver)]
    program: Program,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, clap::ValueEnum)]
pub(crate) enum Program {
    /// The API server and etcd, which `cargo xtask test` needs
    Apiserver,
    /// Also the kubelet, the scheduler and the controllers, for `cargo xtask e2e --kubelet` and `cargo
    /// xtask demo --kubernetes`
    Node,
}

impl Program {
    fn name(self) -> &'static str {
        match self {
            Program::Apiserver => "apiserver",
            Program::Node => "node",
        }
    }
}

pub(crate) fn run(root: &Root, args: &Args) -> Result<()> {
    for path in start(root, args.program)?.finish()? {
        println!("{}", path.display());
    }
    Ok(())
}

/// Starts the build in the background, unless the program is in the cache.
pub(crate) fn start(root: &Root, program: Program) -> Result<Build> {
    let source = root.dir.join(SOURCE);
    let dir = root.cache.join("kubernetes").join(hash_files(&source)?);
    let path = dir.join(program.name());
    let built = vec![path.clone()];
    if path.is_file() {
        return Ok(Build::up_to_date(built));
    }
    let name = format!("kubernetes {}", program.name());
    go::require(&name)?;
    let log = root.target.join("xtask/build-kubernetes.log");
    Build::start(&name, built, &log, move |steps| {
        fs::create_dir_all(&dir).context(|| format!("create {}", dir.display()))?;
        // The process id separates concurrent builds.
        let partial = dir.join(format!(".{}-{}", program.name(), std::process::id()));
        let mut build = background::command(source.join("build.sh"));
        build.arg(&partial);
        if program == Program::Node {
            build.arg("node");
        }
        let result = steps.run(&mut build).and_then(|()| {
            fs::rename(&partial, &path)
                .context(|| format!("move {} to {}", partial.display(), path.display()))
        });
        // Exists only after a failure, which is reported instead.
        drop(fs::remove_file(&partial));
        result
    })
}

/// Hashes the names and contents of the files in a folder. The testkit computes the same hash.
fn hash_files(dir: &Path) -> Result<String> {
    let read = || -> std::io::Result<String> {
        let entries = fs::read_dir(dir)?.collect::<std::io::Result<Vec<_>>>()?;
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
    };
    read().context(|| format!("read {}", dir.display()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_source_change_changes_the_hash() {
        let dir = std::env::temp_dir().join(format!("xtask-hash-{}", std::process::id()));
        fs::create_dir_all(&dir).unwrap();
        let mut hashes = Vec::new();
        for (name, content) in [("a", "1"), ("a", "2"), ("b", "2")] {
            fs::write(dir.join(name), content).unwrap();
            hashes.push(hash_files(&dir).unwrap());
        }
        fs::rename(dir.join("b"), dir.join("c")).unwrap();
        hashes.push(hash_files(&dir).unwrap());
        fs::remove_dir_all(&dir).unwrap();
        assert!(hashes.iter().all(|hash| hash.len() == 16));
        hashes.sort();
        hashes.dedup();
        assert_eq!(hashes.len(), 4);
    }
}
