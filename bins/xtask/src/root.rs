//! Paths of the repository, the build folder and the cache.

use std::env;
use std::path::{Path, PathBuf};

use crate::error::{Error, Result};

#[derive(Debug, Clone)]
pub(crate) struct Root {
    /// The folder of the workspace's `Cargo.toml`.
    pub(crate) dir: PathBuf,
    /// Cargo's build folder.
    pub(crate) target: PathBuf,
    /// Keeps programs that take long to build, separately from the build folder.
    pub(crate) cache: PathBuf,
}

impl Root {
    pub(crate) fn find() -> Result<Root> {
        // The folder of this package. Cargo sets it for programs that it runs.
        let package = env::var_os("CARGO_MANIFEST_DIR")
            .map_or_else(|| PathBuf::from(env!("CARGO_MANIFEST_DIR")), PathBuf::from);
        let dir = package
            .ancestors()
            .nth(2)
            .filter(|dir| dir.join("Cargo.toml").is_file())
            .ok_or_else(|| {
                Error::Failed(format!(
                    "workspace not found two folders above {}; run this as `cargo xtask …`",
                    package.display()
                ))
            })?
            .to_path_buf();
        let set = |name| env::var_os(name).filter(|value| !value.is_empty()).map(PathBuf::from);
        let target = set("CARGO_TARGET_DIR").unwrap_or_else(|| dir.join("target"));
        Ok(Root {
            target: dir.join(target),
            cache: cache_dir(set("PULLTRACE_CACHE"), set("XDG_CACHE_HOME"), set("HOME"), &dir),
            dir,
        })
    }

    /// Reports whether this runs in CI, which does not allow skipped tests.
    pub(crate) fn is_ci() -> bool {
        env::var("CI").is_ok_and(|value| is_true(&value))
    }
}

fn is_true(value: &str) -> bool {
    !matches!(value.trim().to_ascii_lowercase().as_str(), "" | "0" | "false" | "no")
}

/// The testkit uses the same rules.
fn cache_dir(
    own: Option<PathBuf>,
    xdg: Option<PathBuf>,
    home: Option<PathBuf>,
    fallback: &Path,
) -> PathBuf {
    own.or_else(|| xdg.map(|dir| dir.join("pulltrace")))
        .or_else(|| home.map(|dir| dir.join(".cache/pulltrace")))
        .unwrap_or_else(|| fallback.join("target/cache"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn cache_folder_follows_environment() {
        let path = |text: &str| Some(PathBuf::from(text));
        let root = Path::new("/repo");
        let dir = |own, xdg, home| cache_dir(own, xdg, home, root).display().to_string();
        assert_eq!(dir(path("/c"), path("/x"), path("/h")), "/c");
        assert_eq!(dir(None, path("/x"), path("/h")), "/x/pulltrace");
        assert_eq!(dir(None, None, path("/h")), "/h/.cache/pulltrace");
        assert_eq!(dir(None, None, None), "/repo/target/cache");
    }

    #[test]
    fn ci_is_enabled_by_any_value_but_no() {
        assert!(is_true("true") && is_true("1") && is_true("yes"));
        assert!(!is_true("") && !is_true("false") && !is_true("0") && !is_true("No"));
    }
}
