//! Finds a containerd, or the reason why there is none to start.

use pulltrace_testkit::containerd::ContainerdBinary;
use pulltrace_testkit::need;

use crate::args::Args;

/// The versions of containerd to look for, best first.
const VERSIONS: [&str; 2] = ["2.4", "1.6"];

/// The limit of containerd's data, in MiB. Observed: half of it.
const DATA_LIMIT_MIB: u64 = 2 * 1024;
/// The data is kept in memory if this much is available, in MiB: some disks take half a minute to
/// delete it.
const MIN_FREE_MEMORY_MIB: u64 = 8 * 1024;

/// The reason why containerd is unavailable, and a remedy.
pub(crate) struct Unavailable {
    pub(crate) reason: String,
    pub(crate) remedy: Option<String>,
}

/// Finds the requested version, or the best available one.
pub(crate) fn find(args: &Args) -> Result<ContainerdBinary, Unavailable> {
    let missing = |reason: &str, remedy: &str| Unavailable {
        reason: reason.to_owned(),
        remedy: Some(remedy.to_owned()),
    };
    if args.replay {
        return Err(Unavailable { reason: "requested by --replay".into(), remedy: None });
    }
    if need::root().is_err() {
        return Err(missing(
            "starting containerd requires root",
            "run as root for real pulls: sudo -E cargo xtask demo",
        ));
    }
    if let Some(version) = &args.containerd {
        let found = ContainerdBinary::find(version);
        return found
            .map_err(|error| missing(&format!("{} is missing", error.what), &error.remedy));
    }
    let found = VERSIONS.map(ContainerdBinary::find);
    let last = found.into_iter().reduce(Result::or);
    last.and_then(Result::ok).ok_or_else(|| {
        missing(
            "containerd not found",
            "install it for real pulls: apt-get install containerd runc, or run `cargo xtask \
             containerd 2.4` (requires Go)",
        )
    })
}

/// The version without the part after `+`, which is only of interest to maintainers.
pub(crate) fn short_version(binary: &ContainerdBinary) -> std::io::Result<String> {
    let version = binary.version()?;
    Ok(version.split('+').next().unwrap_or_default().to_owned())
}

/// The limit of data in memory, in MiB; `None` if it has to be on disk.
pub(crate) fn memory_limit() -> Option<u64> {
    (available_memory_mib() >= MIN_FREE_MEMORY_MIB).then_some(DATA_LIMIT_MIB)
}

/// The memory available to programs, in MiB; 0 if unknown.
fn available_memory_mib() -> u64 {
    let table = std::fs::read_to_string("/proc/meminfo").unwrap_or_default();
    table
        .lines()
        .find_map(|line| line.strip_prefix("MemAvailable:"))
        .and_then(|rest| rest.trim().strip_suffix("kB")?.trim().parse::<u64>().ok())
        .map_or(0, |kib| kib / 1024)
}
