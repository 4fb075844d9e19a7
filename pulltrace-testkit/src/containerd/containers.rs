//! Removes containers that outlive their daemon: shims are not its children and survive when it is
//! killed.

use std::fs;
use std::io::{self, ErrorKind};
use std::path::{Path, PathBuf};
use std::time::Duration;

use rustix::process::{Pid, Signal, kill_process};

use crate::wait;

/// The longest that a killed process may take to disappear.
const KILL_TIMEOUT: Duration = Duration::from_secs(10);

/// Kills the shims of the daemon in `dir` and all of their descendants, and removes their sockets
/// and cgroups.
pub(super) fn kill_all(dir: &Path, cgroup: &str) -> io::Result<()> {
    let processes = processes()?;
    let mut doomed: Vec<i32> = processes
        .iter()
        .filter(|process| process.is_shim_of(dir))
        .map(|process| process.pid)
        .collect();
    let mut next = 0;
    while let Some(&parent) = doomed.get(next) {
        next += 1;
        doomed.extend(
            processes.iter().filter(|process| process.parent == parent).map(|process| process.pid),
        );
    }
    for &pid in &doomed {
        let pid = Pid::from_raw(pid).expect("a process id is not zero");
        match kill_process(pid, Signal::KILL) {
            Ok(()) | Err(rustix::io::Errno::SRCH) => {}
            Err(error) => return Err(error.into()),
        }
    }
    if !doomed.is_empty() {
        let gone = || {
            let alive = doomed.iter().any(|&pid| Process::read(pid).is_some());
            (!alive).then_some(())
        };
        wait::until_blocking(format!("processes {doomed:?} have exited"), KILL_TIMEOUT, gone)
            .map_err(io::Error::other)?;
    }
    remove_shim_sockets(dir)?;
    for root in cgroup_roots()? {
        remove_cgroup(&root.join(cgroup.trim_start_matches('/')))?;
    }
    Ok(())
}

struct Process {
    pid: i32,
    parent: i32,
    command: Vec<u8>,
}

impl Process {
    fn read(pid: i32) -> Option<Self> {
        let dir = Path::new("/proc").join(pid.to_string());
        let stat = fs::read_to_string(dir.join("stat")).ok()?;
        // "pid (name) state parent …", and the name may contain any character.
        let (_, rest) = stat.rsplit_once(')')?;
        let mut fields = rest.split_whitespace();
        let state = fields.next()?;
        let parent = fields.next()?.parse().ok()?;
        // Ignores zombies: they hold no resources.
        (state != "Z").then_some(())?;
        let command = fs::read(dir.join("cmdline")).ok()?;
        Some(Self { pid, parent, command })
    }

    fn is_shim_of(&self, dir: &Path) -> bool {
        let mut words = self.command.split(|byte| *byte == 0);
        let program = words.next().unwrap_or_default();
        let shim = program
            .rsplit(|byte| *byte == b'/')
            .next()
            .is_some_and(|name| name.starts_with(b"containerd-shim"));
        shim && words.any(|word| {
            std::str::from_utf8(word).is_ok_and(|word| Path::new(word).starts_with(dir))
        })
    }
}

fn processes() -> io::Result<Vec<Process>> {
    let mut found = Vec::new();
    for entry in fs::read_dir("/proc")? {
        if let Some(pid) = entry?.file_name().to_str().and_then(|name| name.parse().ok()) {
            found.extend(Process::read(pid));
        }
    }
    Ok(found)
}

/// Removes the sockets of the shims, which are outside of `dir`; each container records the path of
/// its own.
fn remove_shim_sockets(dir: &Path) -> io::Result<()> {
    let tasks = dir.join("state/io.containerd.runtime.v2.task");
    for namespace in entries(&tasks)? {
        for container in entries(&namespace)? {
            let Some(socket) = shim_socket(&container) else {
                continue;
            };
            match fs::remove_file(socket) {
                Err(error) if error.kind() != ErrorKind::NotFound => return Err(error),
                Ok(()) | Err(_) => {}
            }
        }
    }
    Ok(())
}

/// Returns the socket of a container's shim: text before version 2.0, JSON since.
fn shim_socket(container: &Path) -> Option<PathBuf> {
    let address = fs::read_to_string(container.join("address")).ok().or_else(|| {
        let text = fs::read(container.join("bootstrap.json")).ok()?;
        let value: serde_json::Value = serde_json::from_slice(&text).ok()?;
        Some(value.get("address")?.as_str()?.to_owned())
    })?;
    Some(address.trim().strip_prefix("unix://")?.into())
}

/// Cgroup v2 has one tree, v1 one per controller.
pub(crate) fn cgroup_roots() -> io::Result<Vec<PathBuf>> {
    let root = PathBuf::from("/sys/fs/cgroup");
    let mut roots = Vec::new();
    if !root.join("cgroup.controllers").exists() {
        roots = entries(&root)?;
    }
    roots.push(root);
    Ok(roots)
}

/// Removes a cgroup and its descendants, which must be empty.
pub(crate) fn remove_cgroup(group: &Path) -> io::Result<()> {
    for entry in entries(group)? {
        if entry.is_dir() {
            remove_cgroup(&entry)?;
        }
    }
    match fs::remove_dir(group) {
        Err(error) if error.kind() != ErrorKind::NotFound => Err(error),
        Ok(()) | Err(_) => Ok(()),
    }
}

/// Lists a folder; empty if it does not exist.
fn entries(dir: &Path) -> io::Result<Vec<PathBuf>> {
    match fs::read_dir(dir) {
        Ok(entries) => entries.map(|entry| Ok(entry?.path())).collect(),
        Err(error) if error.kind() == ErrorKind::NotFound => Ok(Vec::new()),
        Err(error) => Err(error),
    }
}
