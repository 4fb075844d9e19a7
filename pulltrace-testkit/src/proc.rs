//! CPU time and memory of a process, read from `/proc`.

use std::collections::HashMap;
use std::fs;
use std::io;
use std::time::Duration;

/// The CPU time of a process in nanoseconds. `/proc/PID/stat` counts in ticks of 10 ms, which is as
/// much as an idle agent uses in a minute.
///
/// The kernel discards the time of a thread when the thread ends, so call [`CpuTime::total`] often.
#[derive(Debug)]
pub struct CpuTime {
    pid: u32,
    threads: HashMap<String, u64>,
}

impl CpuTime {
    /// Measures the process with this id.
    #[must_use]
    pub fn for_pid(pid: u32) -> Self {
        Self { pid, threads: HashMap::new() }
    }

    /// Returns the CPU time used so far.
    ///
    /// # Errors
    /// When the process no longer exists.
    pub fn total(&mut self) -> io::Result<Duration> {
        for thread in fs::read_dir(format!("/proc/{}/task", self.pid))? {
            let thread = thread?;
            let text = match fs::read_to_string(thread.path().join("schedstat")) {
                Ok(text) => text,
                // The thread has ended since the folder was listed.
                Err(error)
                    if error.kind() == io::ErrorKind::NotFound
                        || error.raw_os_error() == Some(rustix::io::Errno::SRCH.raw_os_error()) =>
                {
                    continue;
                }
                Err(error) => return Err(error),
            };
            let on_cpu = parse_schedstat(&text)
                .ok_or_else(|| io::Error::other(format!("invalid schedstat {text:?}")))?;
            let name = thread.file_name().to_string_lossy().into_owned();
            self.threads.insert(name, on_cpu);
        }
        Ok(Duration::from_nanos(self.threads.values().sum()))
    }
}

/// Parses the time spent on the CPU, in nanoseconds.
fn parse_schedstat(text: &str) -> Option<u64> {
    text.split_ascii_whitespace().next()?.parse().ok()
}

/// Returns the resident memory of a process in bytes.
///
/// # Errors
/// When the process no longer exists.
pub fn rss(pid: u32) -> io::Result<u64> {
    let text = fs::read_to_string(format!("/proc/{pid}/status"))?;
    parse_vm_rss(&text).ok_or_else(|| io::Error::other("missing VmRSS: the process has exited"))
}

fn parse_vm_rss(text: &str) -> Option<u64> {
    let line = text.lines().find_map(|line| line.strip_prefix("VmRSS:"))?;
    let kib: u64 = line.trim().strip_suffix(" kB")?.trim().parse().ok()?;
    Some(kib * 1024)
}

/// Returns the machine's load average over the last minute.
///
/// # Errors
/// When `/proc` cannot be read.
pub fn load_average() -> io::Result<String> {
    let text = fs::read_to_string("/proc/loadavg")?;
    Ok(text.split(' ').next().unwrap_or_default().to_owned())
}

#[cfg(test)]
mod tests {
    use crate::wait;

    use super::*;

    #[test]
    fn parses_schedstat_and_vm_rss() {
        assert_eq!(parse_schedstat("1234567 89 10\n"), Some(1_234_567));
        assert_eq!(parse_schedstat(""), None);
        let status = "Name:\tx\nVmHWM:\t   9999 kB\nVmRSS:\t   1024 kB\nThreads:\t1\n";
        assert_eq!(parse_vm_rss(status), Some(1 << 20));
        assert_eq!(parse_vm_rss("Name:\tx\n"), None);
    }

    #[tokio::test]
    async fn cpu_time_grows_with_work() {
        let mut cpu = CpuTime::for_pid(std::process::id());
        let before = cpu.total().unwrap();
        // The kernel updates the counter at its ticks, so a single round may not show.
        let deadline = Duration::from_secs(10);
        wait::until("CPU time has increased", deadline, async || {
            for i in 0..1_000_000_u64 {
                std::hint::black_box(i);
            }
            (cpu.total().unwrap() > before).then_some(())
        })
        .await
        .unwrap();
        assert!(rss(std::process::id()).unwrap() > 100_000);
    }

    #[test]
    fn missing_process_returns_error() {
        assert!(CpuTime::for_pid(u32::MAX).total().is_err());
        assert!(rss(u32::MAX).is_err());
    }
}
