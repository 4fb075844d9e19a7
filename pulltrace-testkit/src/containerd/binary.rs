//! Locates a containerd: Debian's on `PATH`, or one from the cache that `cargo xtask containerd`
//! fills.

use std::path::{Path, PathBuf};

use crate::missing::{Missing, on_path};

/// The version that is taken from `PATH`.
const VERSION_FROM_PATH: &str = "1.6";

/// The programs of one containerd version.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ContainerdBinary {
    /// The minor version: `1.6`, `2.4`.
    pub minor: String,
    /// The daemon.
    pub containerd: PathBuf,
    /// The command-line client of the same version.
    pub ctr: PathBuf,
}

impl ContainerdBinary {
    /// Finds the programs of a minor version such as `"1.6"` or `"2.4"`. Ignores the
    /// patch of a full version such as `"v2.4.2"`: only one patch of each minor version is available.
    ///
    /// # Errors
    /// [`Missing`] with the command to run.
    pub fn find(version: &str) -> Result<Self, Missing> {
        let numbers = major_minor(version);
        let minor = numbers.map_or_else(|| version.to_owned(), |(a, b)| format!("{a}.{b}"));
        let missing = |remedy: String| Missing::new(format!("containerd {minor}"), remedy);
        if minor == VERSION_FROM_PATH {
            let install = || missing("apt-get install containerd runc".into());
            let containerd = on_path("containerd").ok_or_else(install)?;
            let ctr = on_path("ctr").ok_or_else(install)?;
            let found = Self { minor: minor.clone(), containerd, ctr };
            let version = found.version().map_err(|error| missing(error.to_string()))?;
            return if major_minor(&version) == numbers {
                Ok(found)
            } else {
                Err(missing(format!(
                    "{} is version {version}; put a containerd {minor} (as in Debian 12) first in PATH",
                    found.containerd.display()
                )))
            };
        }
        let install = || missing(format!("run `cargo xtask containerd {minor}`"));
        let dir = cache_dir()
            .ok_or_else(|| missing("set HOME, XDG_CACHE_HOME or PULLTRACE_CACHE".into()))?
            .join("containerd")
            .join(&minor)
            .join("bin");
        let program = |name: &str| {
            let path = dir.join(name);
            path.is_file().then_some(path).ok_or_else(install)
        };
        Ok(Self { containerd: program("containerd")?, ctr: program("ctr")?, minor })
    }

    /// Reports whether this version is at least `major.minor`.
    #[must_use]
    pub fn at_least(&self, major: u32, minor: u32) -> bool {
        major_minor(&self.minor) >= Some((major, minor))
    }

    /// Returns the exact version as printed by the daemon, such as `1.6.20~ds1`.
    ///
    /// # Errors
    /// When the program cannot be run.
    pub fn version(&self) -> std::io::Result<String> {
        let output = std::process::Command::new(&self.containerd).arg("--version").output()?;
        // containerd github.com/containerd/containerd v1.6.20 <revision>
        let text = String::from_utf8_lossy(&output.stdout);
        text.split_whitespace()
            .nth(2)
            .map(|version| version.trim_start_matches('v').to_owned())
            .ok_or_else(|| std::io::Error::other(format!("invalid version output {text:?}")))
    }

    /// The folder of the programs, which also contains the shim.
    pub(super) fn dir(&self) -> &Path {
        self.containerd.parent().unwrap_or(Path::new("/"))
    }
}

/// Returns the first two numbers of a version: (2, 4) for `v2.4.2`, (1, 6) for `1.6.20~ds1`. Not a
/// semantic version: Debian's has a `~`, and minor versions have no patch.
fn major_minor(version: &str) -> Option<(u32, u32)> {
    let mut parts = version.trim_start_matches('v').split('.');
    let major = parts.next()?.parse().ok()?;
    let minor = parts.next()?;
    let digits = minor.split(|char: char| !char.is_ascii_digit()).next()?;
    Some((major, digits.parse().ok()?))
}

/// The folder in which `cargo xtask` keeps its builds.
pub(crate) fn cache_dir() -> Option<PathBuf> {
    let set = |name: &str| std::env::var_os(name).filter(|value| !value.is_empty());
    set("PULLTRACE_CACHE")
        .map(PathBuf::from)
        .or_else(|| Some(PathBuf::from(set("XDG_CACHE_HOME")?).join("pulltrace")))
        .or_else(|| Some(PathBuf::from(set("HOME")?).join(".cache/pulltrace")))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn binary(minor: &str) -> ContainerdBinary {
        ContainerdBinary {
            minor: minor.into(),
            containerd: "/bin/containerd".into(),
            ctr: "/bin/ctr".into(),
        }
    }

    #[test]
    fn versions_compare_numerically() {
        assert!(binary("2.10").at_least(2, 4));
        assert!(binary("2.4").at_least(2, 4));
        assert!(!binary("1.7").at_least(2, 0));
        assert!(!binary("x").at_least(0, 0));
    }

    #[test]
    fn minor_version_is_parsed_from_full_versions() {
        for (version, numbers) in [
            ("1.6", Some((1, 6))),
            ("1.6.20~ds1", Some((1, 6))),
            ("1.6~rc1", Some((1, 6))),
            ("v2.4.2", Some((2, 4))),
            ("1.60.1", Some((1, 60))),
            ("2", None),
            ("x", None),
        ] {
            assert_eq!(major_minor(version), numbers, "{version}");
        }
    }

    #[test]
    fn missing_containerd_error_names_command() {
        let missing = ContainerdBinary::find("v9.9.1").unwrap_err();
        assert_eq!(
            missing.to_string(),
            "containerd 9.9 is missing: run `cargo xtask containerd 9.9`"
        );
    }
}
