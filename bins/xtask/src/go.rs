//! The Go toolchain, which builds containerd and Kubernetes for the tests.

use std::process::Command;

use crate::error::{Error, Result};
use crate::process;

/// The minor version that `go.mod` of the tests' Kubernetes requires: 1.MINOR.
const MINOR: u32 = 24;

/// Returns an error with installation advice unless Go 1.24 or newer is on `PATH`.
pub(crate) fn require(product: &str) -> Result<()> {
    check_version(product, &version())
}

/// The installed version, such as `go1.24.0`; empty if Go is not installed.
fn version() -> String {
    if !process::found("go") {
        return String::new();
    }
    let mut go = Command::new("go");
    // Otherwise Go reports the version of the toolchain that it would download.
    go.args(["env", "GOVERSION"]).env("GOTOOLCHAIN", "local");
    process::output(go.current_dir("/")).unwrap_or_default()
}

fn check_version(product: &str, version: &str) -> Result<()> {
    let version = version.trim();
    let minor = version
        .strip_prefix("go1.")
        .and_then(|rest| rest.split(|c: char| !c.is_ascii_digit()).next())
        .and_then(|minor| minor.parse::<u32>().ok());
    let problem = match minor {
        Some(minor) if minor >= MINOR => return Ok(()),
        Some(_) => format!("the installed version is {version}"),
        None => "there is no working `go` on PATH".to_owned(),
    };
    Err(Error::Missing(format!(
        "{product} is not built: install Go 1.{MINOR} or newer (https://go.dev/dl/; the package \
         of Debian 12 is too old); {problem}"
    )))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn missing_or_old_go_is_reported_with_advice() {
        for good in ["go1.24.0", "go1.26.8\n", "go1.30rc1"] {
            check_version("X", good).unwrap();
        }
        for (bad, problem) in [
            ("go1.19.8", "the installed version is go1.19.8"),
            ("", "no working `go` on PATH"),
            ("devel", "no working `go` on PATH"),
        ] {
            let error = check_version("X 2", bad).unwrap_err();
            assert!(matches!(&error, Error::Missing(_)), "{error:?}");
            let text = error.text().unwrap();
            assert!(text.starts_with("X 2 is not built: install Go 1.24"), "{text}");
            assert!(text.contains(problem), "{text}");
        }
    }
}
