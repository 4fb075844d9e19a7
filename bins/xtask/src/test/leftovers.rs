//! Processes and mounts that the tests of a stage left behind.
//!
//! A stage has its own temporary folder, and an environment variable that its processes inherit.

use std::fs;
use std::path::Path;
use std::process::Command;

use crate::process;
use crate::process_tree::pids;

/// The environment variable that marks the processes of a stage.
pub(crate) const STAGE_VARIABLE: &str = "PULLTRACE_TEST_STAGE";

#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Process {
    pub(crate) pid: u32,
    pub(crate) name: String,
}

/// Returns the running processes whose [`STAGE_VARIABLE`] has this value.
pub(crate) fn processes(value: &str) -> Vec<Process> {
    let expected = format!("{STAGE_VARIABLE}={value}");
    let mut found = Vec::new();
    for pid in pids() {
        // Fails if the process has exited in the meantime.
        let Ok(environ) = fs::read(format!("/proc/{pid}/environ")) else {
            continue;
        };
        if environ.split(|byte| *byte == 0).any(|variable| variable == expected.as_bytes()) {
            let name = fs::read_to_string(format!("/proc/{pid}/comm")).unwrap_or_default();
            found.push(Process { pid, name: name.trim().to_owned() });
        }
    }
    found
}

/// Returns the mount points below the folder, deepest first.
pub(crate) fn mounts(dir: &Path) -> Vec<String> {
    parse_mounts(&fs::read_to_string("/proc/self/mountinfo").unwrap_or_default(), dir)
}

fn parse_mounts(mountinfo: &str, dir: &Path) -> Vec<String> {
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
        // Best effort: the caller reports the mounts.
        drop(process::output(Command::new("umount").args(["--lazy", point])));
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::process_tree;

    #[test]
    fn marked_process_is_found_and_killed_with_descendants() {
        let value = format!("unit-{}", std::process::id());
        assert_eq!(processes(&value), []);
        let mut shell = Command::new("sh")
            .args(["-c", "cat; true"])
            .stdin(std::process::Stdio::piped())
            .stdout(std::process::Stdio::piped())
            .env(STAGE_VARIABLE, &value)
            .spawn()
            .unwrap();
        // Once `cat` has answered, both processes run.
        let (mut input, output) = (shell.stdin.take().unwrap(), shell.stdout.take().unwrap());
        std::io::Write::write_all(&mut input, b"hello\n").unwrap();
        let mut line = String::new();
        std::io::BufRead::read_line(&mut std::io::BufReader::new(output), &mut line).unwrap();
        assert_eq!(line, "hello\n");
        let mut marked: Vec<u32> = processes(&value).iter().map(|process| process.pid).collect();
        let mut tree = process_tree::descendants(shell.id());
        marked.sort_unstable();
        tree.sort_unstable();
        assert_eq!((marked.len(), &marked), (2, &tree));
        process_tree::kill(tree);
        assert!(!shell.wait().unwrap().success());
    }

    #[test]
    fn mounts_below_folder_are_sorted_deepest_first() {
        let info = "1 0 8:1 / / rw - ext4 /dev/a rw\n\
                    2 1 0:5 / /tmp/x/rootfs rw - overlay overlay rw\n\
                    3 1 0:6 / /tmp/x/rootfs/dev rw - tmpfs tmpfs rw\n\
                    4 1 0:6 / /tmp/xy rw - tmpfs tmpfs rw\n";
        assert_eq!(parse_mounts(info, Path::new("/tmp/x")), ["/tmp/x/rootfs/dev", "/tmp/x/rootfs"]);
    }
}
