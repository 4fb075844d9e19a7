//! `cargo xtask kubernetes [node]`: builds the testkit's API server, or with it
//! all that a node needs, by the Go tool chain into the cache, where the testkit
//! finds it.
//!
//! The folder in the cache is named after all that the program is built from,
//! so what is there is never old.

use std::fs::{self, File};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::thread;
use std::time::{Duration, SystemTime};

use sha2::{Digest as _, Sha256};

use crate::clock::{self, Stopwatch};
use crate::error::{Context as _, Error, Result};
use crate::process;
use crate::root::Root;

/// Where the Go module is.
const SOURCE: &str = "pulltrace-testkit/kubernetes";

/// What `go.mod` asks for: 1.GO.
const GO: u32 = 24;

/// A build alone takes 2 min 30 s on two cores, and one beside other work some minutes: what takes longer hangs.
const LIMIT: Duration = Duration::from_secs(15 * 60);

/// How much of its output is shown when a build fails.
const SHOWN_LINES: usize = 20;

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Program {
    /// API server and etcd: what the tests need.
    Apiserver,
    /// With kubelet, scheduler and controllers.
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

pub(crate) fn run(root: &Root, args: &[String]) -> Result<()> {
    let args: Vec<&str> = args.iter().map(String::as_str).collect();
    let program = match args.as_slice() {
        [] => Program::Apiserver,
        ["node"] => Program::Node,
        _ => return Err(Error::Usage("it takes `node`, or nothing".to_owned())),
    };
    let built = Build::start(root, program)?.finish()?;
    println!("{}", built.display());
    Ok(())
}

/// A build that goes on in the background, unless the program is there.
/// Dropped, it ends.
#[derive(Debug)]
pub(crate) struct Build {
    place: PathBuf,
    running: Option<Running>,
}

#[derive(Debug)]
struct Running {
    child: Child,
    /// Where it builds: beside its place, so that it can be renamed into it.
    half: PathBuf,
    log: PathBuf,
    watch: Stopwatch,
    /// When it began, by the clock of files: it may be over long before anybody waits for it.
    began: SystemTime,
}

impl Build {
    pub(crate) fn start(root: &Root, program: Program) -> Result<Build> {
        let source = root.dir.join(SOURCE);
        let dir = root.cache.join("kubernetes").join(key(&source)?);
        let place = dir.join(program.name());
        if place.is_file() {
            return Ok(Build {
                place,
                running: None,
            });
        }
        check_go(&go_version())?;
        fs::create_dir_all(&dir).context(|| format!("create {}", dir.display()))?;
        // The process id keeps two builds at the same time apart.
        let half = dir.join(format!(".{}-{}", program.name(), std::process::id()));
        let log = half.with_extension("log");
        let output = File::create(&log).context(|| format!("create {}", log.display()))?;
        let began = output.metadata().and_then(|log| log.modified());
        let began = began.context(|| format!("read {}", log.display()))?;
        let errors = output.try_clone().context(|| "copy a file".to_owned())?;
        // First of all that wants the processors: it is done before the tests need it, and what builds beside it is
        // done as soon as it would be. Who may not have that has it as it comes, which `nice` says.
        let mut build = Command::new("nice");
        build.args(["-n", "-10"]);
        build.arg(source.join("build.sh")).arg(&half);
        if program == Program::Node {
            build.arg("node");
        }
        build.stdin(Stdio::null()).stdout(output).stderr(errors);
        eprintln!("kubernetes: building {}", place.display());
        let child = build
            .spawn()
            .context(|| format!("start `{}`", process::show(&build)))?;
        let watch = Stopwatch::start();
        Ok(Build {
            place,
            running: Some(Running {
                child,
                half,
                log,
                watch,
                began,
            }),
        })
    }

    /// Waits for it, and returns where the program is.
    pub(crate) fn finish(mut self) -> Result<PathBuf> {
        if let Some(running) = &mut self.running {
            running.wait()?;
            let took = running.took();
            fs::rename(&running.half, &self.place)
                .context(|| format!("move {} into place", running.half.display()))?;
            eprintln!("kubernetes: built in {took}");
        }
        Ok(self.place.clone())
    }
}

impl Running {
    /// From its start until its program was written, for people.
    fn took(&self) -> String {
        let written = fs::metadata(&self.half).and_then(|half| half.modified());
        let took = written
            .ok()
            .and_then(|at| at.duration_since(self.began).ok());
        took.map_or_else(|| "a time that is not known".to_owned(), clock::show)
    }

    fn wait(&mut self) -> Result<()> {
        let status = loop {
            let ended = self.child.try_wait();
            if let Some(status) = ended.context(|| "wait for a build".to_owned())? {
                break status;
            }
            if self.watch.elapsed() > LIMIT {
                return Err(Error::Failed(format!(
                    "the build of Kubernetes was ended after {}",
                    clock::show(LIMIT)
                )));
            }
            thread::sleep(Duration::from_millis(100));
        };
        if status.success() {
            return Ok(());
        }
        let said = fs::read_to_string(&self.log).unwrap_or_default();
        let skip = said.lines().count().saturating_sub(SHOWN_LINES);
        let said: Vec<&str> = said.lines().skip(skip).collect();
        Err(Error::Failed(format!(
            "the build of Kubernetes failed ({status}):\n{}",
            said.join("\n")
        )))
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        // Best effort: after an end of its own there is nothing to kill, and
        // nothing to remove after a rename.
        drop(self.child.kill());
        drop(self.child.wait());
        drop(fs::remove_file(&self.half));
        drop(fs::remove_file(&self.log));
    }
}

/// A name for the content of a folder. The testkit works it out in the same
/// way: sha256 over the name and the content of each file, by name.
fn key(source: &Path) -> Result<String> {
    let read = || -> std::io::Result<String> {
        let entries = fs::read_dir(source)?.collect::<std::io::Result<Vec<_>>>()?;
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
    read().context(|| format!("read {}", source.display()))
}

/// What Go says that it is; empty where there is none.
fn go_version() -> String {
    if !process::found("go") {
        return String::new();
    }
    // The one that is installed, not one that it would fetch.
    let mut go = Command::new("go");
    go.args(["env", "GOVERSION"]).env("GOTOOLCHAIN", "local");
    process::output(go.current_dir("/")).unwrap_or_default()
}

fn check_go(version: &str) -> Result<()> {
    let version = version.trim();
    let minor = version
        .strip_prefix("go1.")
        .and_then(|rest| rest.split(|c: char| !c.is_ascii_digit()).next())
        .and_then(|minor| minor.parse::<u32>().ok());
    let found = match minor {
        Some(minor) if minor >= GO => return Ok(()),
        Some(_) => format!("that on PATH is {version}"),
        None => "there is no `go` on PATH that works".to_owned(),
    };
    Err(Error::Failed(format!(
        "the tests' Kubernetes is built by Go, and {found}: install Go 1.{GO} or newer \
         (https://go.dev/dl/; Debian 12's package is too old)"
    )))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_go_that_is_missing_or_too_old_is_named_with_what_to_install() {
        for good in ["go1.24.0", "go1.26.8\n", "go1.30rc1"] {
            check_go(good).unwrap();
        }
        for (bad, said) in [
            ("go1.19.8", "that on PATH is go1.19.8"),
            ("", "no `go` on PATH"),
            ("devel", "no `go` on PATH"),
        ] {
            let error = check_go(bad).unwrap_err();
            let text = error.text().unwrap();
            assert!(
                text.contains(said) && text.contains("install Go 1.24 or newer"),
                "{text}"
            );
        }
    }

    #[test]
    fn any_change_of_the_source_is_another_program() {
        let dir = std::env::temp_dir().join(format!("xtask-key-{}", std::process::id()));
        fs::create_dir_all(&dir).unwrap();
        let mut keys = Vec::new();
        for (name, content) in [("a", "1"), ("a", "2"), ("b", "2")] {
            fs::write(dir.join(name), content).unwrap();
            keys.push(key(&dir).unwrap());
        }
        fs::rename(dir.join("b"), dir.join("c")).unwrap();
        keys.push(key(&dir).unwrap());
        fs::remove_dir_all(&dir).unwrap();
        assert!(keys.iter().all(|key| key.len() == 16));
        keys.sort();
        keys.dedup();
        assert_eq!(keys.len(), 4);
    }
}
