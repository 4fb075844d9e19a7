//! What a stage of tests left behind: processes and mounts. A stage carries a
//! mark in its environment, which its processes inherit, and has a temporary
//! folder of its own.

use std::collections::HashMap;
use std::fs;
use std::path::Path;
use std::process::Command;

use crate::process;

/// The environment variable that marks the processes of a stage.
pub(crate) const MARK: &str = "PULLTRACE_TEST_STAGE";

#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Process {
    pub(crate) pid: u32,
    pub(crate) name: String,
}

/// Running processes whose environment holds the mark.
pub(crate) fn processes(mark: &str) -> Vec<Process> {
    let wanted = format!("{MARK}={mark}");
    let mut found = Vec::new();
    for pid in pids() {
        // A process that ends while we look has no files any more.
        let Ok(environ) = fs::read(format!("/proc/{pid}/environ")) else {
            continue;
        };
        if environ
            .split(|byte| *byte == 0)
            .any(|variable| variable == wanted.as_bytes())
        {
            let name = fs::read_to_string(format!("/proc/{pid}/comm")).unwrap_or_default();
            found.push(Process {
                pid,
                name: name.trim().to_owned(),
            });
        }
    }
    found
}

/// Mount points under the folder, the deepest first.
pub(crate) fn mounts(dir: &Path) -> Vec<String> {
    mounts_in(
        &fs::read_to_string("/proc/self/mountinfo").unwrap_or_default(),
        dir,
    )
}

fn mounts_in(mountinfo: &str, dir: &Path) -> Vec<String> {
    let mut mounts: Vec<String> = mountinfo
        .lines()
        .filter_map(|line| line.split(' ').nth(4))
        .filter(|point| Path::new(point).starts_with(dir))
        .map(str::to_owned)
        .collect();
    mounts.sort_by_key(|point| std::cmp::Reverse(point.len()));
    mounts
}

pub(crate) fn unmount(points: &[String]) {
    for point in points {
        // Best effort, and what is still mounted was reported already.
        drop(process::output(
            Command::new("umount").args(["--lazy", point]),
        ));
    }
}

pub(crate) fn kill(pids: impl IntoIterator<Item = u32>) {
    let pids: Vec<String> = pids.into_iter().map(|pid| pid.to_string()).collect();
    if !pids.is_empty() {
        // One that has ended meanwhile is no error.
        drop(process::output(
            Command::new("kill").arg("-KILL").args(pids),
        ));
    }
}

/// The process and all that it started, as far as they were not adopted.
pub(crate) fn family(pid: u32) -> Vec<u32> {
    let parents = pids().filter_map(|child| {
        parent(&fs::read_to_string(format!("/proc/{child}/stat")).ok()?).map(|of| (child, of))
    });
    descendants(pid, &parents.collect())
}

fn descendants(pid: u32, parents: &HashMap<u32, u32>) -> Vec<u32> {
    let mut family = vec![pid];
    let mut next = 0;
    while let Some(&parent) = family.get(next) {
        family.extend(
            parents
                .iter()
                .filter(|(_, of)| **of == parent)
                .map(|(child, _)| *child),
        );
        next += 1;
    }
    family
}

/// The fourth field of `/proc/PID/stat`; the second, a name in parentheses, may
/// hold spaces and parentheses itself.
fn parent(stat: &str) -> Option<u32> {
    stat.rsplit_once(')')?
        .1
        .split_whitespace()
        .nth(1)?
        .parse()
        .ok()
}

fn pids() -> impl Iterator<Item = u32> {
    fs::read_dir("/proc")
        .into_iter()
        .flatten()
        .filter_map(|entry| entry.ok()?.file_name().to_str()?.parse().ok())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_marked_process_is_found_and_ended_with_its_family() {
        let mark = format!("unit-{}", std::process::id());
        assert_eq!(processes(&mark), []);
        let mut shell = Command::new("sh")
            .args(["-c", "cat; true"])
            .stdin(std::process::Stdio::piped())
            .stdout(std::process::Stdio::piped())
            .env(MARK, &mark)
            .spawn()
            .unwrap();
        // An answer shows that both run.
        let (mut input, output) = (shell.stdin.take().unwrap(), shell.stdout.take().unwrap());
        std::io::Write::write_all(&mut input, b"hello\n").unwrap();
        let mut line = String::new();
        std::io::BufRead::read_line(&mut std::io::BufReader::new(output), &mut line).unwrap();
        assert_eq!(line, "hello\n");
        let mut marked: Vec<u32> = processes(&mark).iter().map(|process| process.pid).collect();
        let mut family = family(shell.id());
        marked.sort_unstable();
        family.sort_unstable();
        assert_eq!((marked.len(), &marked), (2, &family));
        kill(family);
        assert!(!shell.wait().unwrap().success());
    }

    #[test]
    fn a_parent_is_read_past_any_name() {
        assert_eq!(parent("12 (a) b (c) S 7 12 0"), Some(7));
        assert_eq!(parent("12 (a"), None);
    }

    #[test]
    fn mounts_under_the_folder_are_found_deepest_first() {
        let info = "1 0 8:1 / / rw - ext4 /dev/a rw\n\
                    2 1 0:5 / /tmp/x/rootfs rw - overlay overlay rw\n\
                    3 1 0:6 / /tmp/x/rootfs/dev rw - tmpfs tmpfs rw\n\
                    4 1 0:6 / /tmp/xy rw - tmpfs tmpfs rw\n";
        assert_eq!(
            mounts_in(info, Path::new("/tmp/x")),
            ["/tmp/x/rootfs/dev", "/tmp/x/rootfs"]
        );
    }
}
