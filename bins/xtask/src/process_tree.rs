//! A process and its descendants, read from `/proc`.

use std::collections::{BTreeSet, HashMap};
use std::fs;
use std::process::Command;

use crate::process;

/// Fields of `/proc/PID/stat`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Stat {
    parent: u32,
    /// Processor time in clock ticks, including that of children that were waited for.
    ticks: u64,
}

/// Returns the process and its descendants. Misses those that were re-parented.
pub(crate) fn descendants(pid: u32) -> Vec<u32> {
    tree(pid, &stats())
}

/// Returns the processor time of the process and its descendants, in clock ticks.
pub(crate) fn processor_ticks(pid: u32) -> u64 {
    let stats = stats();
    let tree = tree(pid, &stats);
    tree.iter().filter_map(|pid| stats.get(pid)).map(|stat| stat.ticks).sum()
}

/// Kills the process and its descendants.
///
/// They are stopped first, until no new one appears: a process that is killed while it forks would
/// leave its child behind.
pub(crate) fn kill_tree(root: u32) {
    let mut stopped = BTreeSet::new();
    loop {
        let tree = descendants(root).into_iter();
        let new: Vec<u32> = tree.filter(|pid| stopped.insert(*pid)).collect();
        if new.is_empty() {
            return kill(stopped);
        }
        signal("-STOP", new);
    }
}

pub(crate) fn kill(pids: impl IntoIterator<Item = u32>) {
    signal("-KILL", pids);
}

fn signal(name: &str, pids: impl IntoIterator<Item = u32>) {
    let pids: Vec<String> = pids.into_iter().map(|pid| pid.to_string()).collect();
    if !pids.is_empty() {
        // Fails if one of them has already exited, which is fine.
        drop(process::output(Command::new("kill").arg(name).args(pids)));
    }
}

/// Ids of all running processes.
pub(crate) fn pids() -> impl Iterator<Item = u32> {
    fs::read_dir("/proc")
        .into_iter()
        .flatten()
        .filter_map(|entry| entry.ok()?.file_name().to_str()?.parse().ok())
}

fn stats() -> HashMap<u32, Stat> {
    let stat = |pid| parse_stat(&fs::read_to_string(format!("/proc/{pid}/stat")).ok()?);
    pids().filter_map(|pid| Some((pid, stat(pid)?))).collect()
}

/// The process name, field 2, is in parentheses and may itself contain spaces and parentheses.
fn parse_stat(stat: &str) -> Option<Stat> {
    let (_, rest) = stat.rsplit_once(')')?;
    // The first of these is field 3 of proc(5).
    let fields: Vec<&str> = rest.split_whitespace().collect();
    let number = |index: usize| fields.get(index - 3)?.parse::<u64>().ok();
    Some(Stat {
        parent: fields.get(4 - 3)?.parse().ok()?,
        // utime, stime, cutime, cstime
        ticks: number(14)? + number(15)? + number(16)? + number(17)?,
    })
}

fn tree(root: u32, stats: &HashMap<u32, Stat>) -> Vec<u32> {
    let mut tree = vec![root];
    let mut next = 0;
    while let Some(&parent) = tree.get(next) {
        let children = stats.iter().filter(|(_, stat)| stat.parent == parent);
        tree.extend(children.map(|(pid, _)| *pid));
        next += 1;
    }
    tree
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn stat_is_parsed_with_any_process_name() {
        let stat = "12 (a) b (c) S 7 12 12 0 -1 4194304 1 2 3 4 100 20 3 1 20 0 1 0 5";
        let (parent, ticks) = (7, 124);
        assert_eq!(parse_stat(stat), Some(Stat { parent, ticks }));
        assert_eq!(parse_stat("12 (a"), None);
        assert_eq!(parse_stat("12 (a) S 7"), None);
    }

    #[test]
    fn tree_contains_all_generations() {
        let stat = |parent| Stat { parent, ticks: 1 };
        let stats = HashMap::from([(2, stat(1)), (3, stat(2)), (4, stat(3)), (5, stat(1))]);
        assert_eq!(tree(2, &stats), [2, 3, 4]);
        assert_eq!(tree(9, &stats), [9]);
    }

    #[test]
    fn own_processor_time_is_read() {
        assert!(stats().contains_key(&std::process::id()));
        assert_eq!(processor_ticks(u32::MAX), 0);
    }
}
