//! `cargo xtask setup`: installs the packages that builds and tests need, and builds containerd
//! and the API server for the tests.

use std::env;
use std::process::Command;

use crate::containerd;
use crate::error::{Error, Result};
use crate::kubernetes;
use crate::process;
use crate::root::Root;

/// A package of the system.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Requirement {
    /// The name in messages, and in the skip lines of tests that need it.
    pub(crate) name: &'static str,
    program: &'static str,
    /// The name of the package on Debian.
    pub(crate) package: &'static str,
    purpose: &'static str,
    only_for_tests: bool,
}

/// The work that needs the packages.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Purpose {
    Build,
    Test,
}

/// The only package that every build needs.
pub(crate) const COMPILER: &str = "protobuf-compiler";

const REQUIREMENTS: &[Requirement] = &[
    Requirement {
        name: "protoc",
        program: "protoc",
        package: COMPILER,
        purpose: "compiles containerd's API",
        only_for_tests: false,
    },
    Requirement {
        name: "make",
        program: "make",
        package: "make",
        purpose: "builds the server's allocator",
        only_for_tests: false,
    },
    Requirement {
        name: "containerd 1.6",
        program: "containerd",
        package: "containerd",
        purpose: "is observed by the tests",
        only_for_tests: false,
    },
    Requirement {
        name: "runc",
        program: "runc",
        package: "runc",
        purpose: "starts containers in the tests",
        only_for_tests: false,
    },
    Requirement {
        name: "chromium",
        program: "chromium",
        package: "chromium",
        purpose: "runs the browser tests",
        only_for_tests: true,
    },
    Requirement {
        name: "curl",
        program: "curl",
        package: "curl",
        purpose: "runs the examples of the documentation",
        only_for_tests: true,
    },
];

pub(crate) fn details() -> String {
    let packages: Vec<String> = REQUIREMENTS
        .iter()
        .map(|needed| format!("  {:18}  {}", needed.package, needed.purpose))
        .collect();
    format!(
        "\
Installs the missing packages with apt-get if possible (as root, on Debian):
{}

Builds containerd {} and the tests' API server into the cache, which requires
Go 1.24 or newer. The builds run while the packages are installed.",
        packages.join("\n"),
        containerd::built_test_versions().join(", ")
    )
}

pub(crate) fn run(root: &Root) -> Result<()> {
    let containerd = containerd::start(root, &containerd::built_test_versions());
    let kubernetes = kubernetes::start(root, kubernetes::Program::Apiserver);
    require_all(&install_missing(Purpose::Test, process::run)?)?;
    println!("all packages are installed");
    for build in [containerd, kubernetes] {
        for path in build?.finish()? {
            println!("{}", path.display());
        }
    }
    Ok(())
}

/// Installs the packages that a build needs, or returns an error that names them.
pub(crate) fn ensure() -> Result<()> {
    require_all(&install_missing(Purpose::Build, process::run)?)
}

fn require_all(missing: &[&Requirement]) -> Result<()> {
    match missing_text(missing) {
        Some(text) => Err(Error::Missing(text)),
        None => Ok(()),
    }
}

/// Installs missing packages if possible, and returns those that are still missing.
pub(crate) fn install_missing(
    purpose: Purpose,
    mut run: impl FnMut(&mut Command) -> Result<()>,
) -> Result<Vec<&'static Requirement>> {
    let missing = find_missing(purpose);
    if missing.is_empty() || !process::is_root() || !process::found("apt-get") {
        return Ok(missing);
    }
    let packages: Vec<&str> = missing.iter().map(|missing| missing.package).collect();
    eprintln!("installing with apt-get: {}", packages.join(", "));
    let update = ["update", "-q"];
    let install = ["install", "-q", "-y", "--no-install-recommends"];
    for args in [update.to_vec(), [&install, packages.as_slice()].concat()] {
        let mut apt = Command::new("apt-get");
        apt.args(args).env("DEBIAN_FRONTEND", "noninteractive");
        run(&mut apt)?;
    }
    Ok(find_missing(purpose))
}

fn find_missing(purpose: Purpose) -> Vec<&'static Requirement> {
    // `PROTOC` names a compiler that is not on `PATH`.
    let is_installed = |needed: &Requirement| {
        process::found(needed.program)
            || (needed.package == COMPILER && env::var_os("PROTOC").is_some())
    };
    REQUIREMENTS
        .iter()
        .filter(|needed| purpose == Purpose::Test || !needed.only_for_tests)
        .filter(|needed| !is_installed(needed))
        .collect()
}

/// Describes missing packages and how to install them.
pub(crate) fn missing_text(missing: &[&Requirement]) -> Option<String> {
    if missing.is_empty() {
        return None;
    }
    let reasons: Vec<String> = missing
        .iter()
        .map(|missing| format!("  {}, which {}", missing.name, missing.purpose))
        .collect();
    let packages: Vec<&str> = missing.iter().map(|missing| missing.package).collect();
    Some(format!(
        "missing on this machine:\n{}\ninstall as root: apt-get install {}\n(on systems other than \
         Debian: put protoc, make, containerd 1.6, runc, chromium and curl on PATH)",
        reasons.join("\n"),
        packages.join(" ")
    ))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn missing_packages_are_named_with_install_command() {
        assert_eq!(missing_text(&[]), None);
        let missing = [&REQUIREMENTS[2], &REQUIREMENTS[3]];
        let text = missing_text(&missing).unwrap();
        assert!(text.contains("apt-get install containerd runc"), "{text}");
        assert!(!text.contains("protobuf-compiler"), "{text}");
    }
}
