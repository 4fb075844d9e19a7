//! What the kernel says of a process: its processor time and its memory.

use std::collections::HashMap;
use std::fs;
use std::io;
use std::time::Duration;

/// The processor time of a process, to the nanosecond: a tick of
/// `/proc/PID/stat` is 10 ms, as much as an idle agent takes in a minute.
///
/// The kernel forgets the time of a thread that ends, so this is asked often.
#[derive(Debug)]
pub struct Cpu {
    pid: u32,
    threads: HashMap<String, u64>,
}

impl Cpu {
    /// That of the process with this id.
    #[must_use]
    pub fn of(pid: u32) -> Self {
        Self {
            pid,
            threads: HashMap::new(),
        }
    }

    /// All of it up to now.
    ///
    /// # Errors
    /// Where the process is gone.
    pub fn total(&mut self) -> io::Result<Duration> {
        for thread in fs::read_dir(format!("/proc/{}/task", self.pid))? {
            let thread = thread?;
            let text = match fs::read_to_string(thread.path().join("schedstat")) {
                Ok(text) => text,
                // It ended in between.
                Err(error)
                    if error.kind() == io::ErrorKind::NotFound
                        || error.raw_os_error() == Some(rustix::io::Errno::SRCH.raw_os_error()) =>
                {
                    continue;
                }
                Err(error) => return Err(error),
            };
            let on_cpu = schedstat(&text)
                .ok_or_else(|| io::Error::other(format!("schedstat says {text:?}")))?;
            let name = thread.file_name().to_string_lossy().into_owned();
            self.threads.insert(name, on_cpu);
        }
        Ok(Duration::from_nanos(self.threads.values().sum()))
    }
}

/// The time on a processor, in nanoseconds.
fn schedstat(text: &str) -> Option<u64> {
    text.split_ascii_whitespace().next()?.parse().ok()
}

/// The memory of a process that is in memory, in bytes.
///
/// # Errors
/// Where the process is gone.
pub fn rss(pid: u32) -> io::Result<u64> {
    let text = fs::read_to_string(format!("/proc/{pid}/status"))?;
    vm_rss(&text).ok_or_else(|| io::Error::other("no VmRSS: the process has ended"))
}

fn vm_rss(text: &str) -> Option<u64> {
    let line = text.lines().find_map(|line| line.strip_prefix("VmRSS:"))?;
    let kib: u64 = line.trim().strip_suffix(" kB")?.trim().parse().ok()?;
    Some(kib * 1024)
}

/// The load of the machine over the last minute.
///
/// # Errors
/// Where there is no `/proc`.
pub fn load_average() -> io::Result<String> {
    let text = fs::read_to_string("/proc/loadavg")?;
    Ok(text.split(' ').next().unwrap_or_default().to_owned())
}

#[cfg(test)]
mod tests {
    use crate::wait;

    use super::*;

    #[test]
    fn the_kernels_files_are_read() {
        assert_eq!(schedstat("1234567 89 10\n"), Some(1_234_567));
        assert_eq!(schedstat(""), None);
        let status = "Name:\tx\nVmHWM:\t   9999 kB\nVmRSS:\t   1024 kB\nThreads:\t1\n";
        assert_eq!(vm_rss(status), Some(1 << 20));
        assert_eq!(vm_rss("Name:\tx\n"), None);
    }

    #[tokio::test]
    async fn work_takes_processor_time() {
        let mut cpu = Cpu::of(std::process::id());
        let before = cpu.total().unwrap();
        // The kernel adds it up at its ticks, so it may take some work.
        let deadline = Duration::from_secs(10);
        wait::until("processor time is seen", deadline, async || {
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
    fn a_process_that_is_not_there_has_no_figures() {
        assert!(Cpu::of(u32::MAX).total().is_err());
        assert!(rss(u32::MAX).is_err());
    }
}
