//! `cargo xtask setup`: what a build and its tests need from the system,
//! installed by apt where that is possible, and named where it is not; and the
//! API server of the tests.

use std::env;
use std::process::Command;

use crate::error::{Error, Result};
use crate::kubernetes;
use crate::process;
use crate::root::Root;

struct Need {
    program: &'static str,
    package: &'static str,
    why: &'static str,
    /// Only the tests need it.
    for_tests: bool,
}

/// What is going to be done with what is installed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Purpose {
    /// Programs are built and started.
    Run,
    /// The tests are run.
    Test,
}

const NEEDS: &[Need] = &[
    Need {
        program: "protoc",
        package: "protobuf-compiler",
        why: "builds containerd's API",
        for_tests: false,
    },
    Need {
        program: "make",
        package: "make",
        why: "builds the server's allocator",
        for_tests: false,
    },
    Need {
        program: "containerd",
        package: "containerd",
        why: "is what the tests watch",
        for_tests: false,
    },
    Need {
        program: "runc",
        package: "runc",
        why: "starts the tests' containers",
        for_tests: false,
    },
    Need {
        program: "chromium",
        package: "chromium",
        why: "shows the page to the tests",
        for_tests: true,
    },
    Need {
        program: "curl",
        package: "curl",
        why: "runs the examples of the documentation",
        for_tests: true,
    },
];

pub(crate) fn run(root: &Root, args: &[String]) -> Result<()> {
    if let Some(arg) = args.first() {
        return Err(Error::Usage(format!(
            "setup takes no argument, and got `{arg}`"
        )));
    }
    let missing = install_missing(Purpose::Test, process::run)?;
    match say_missing(&missing) {
        Some(text) => Err(Error::Failed(text)),
        None => {
            println!("protoc, make, containerd, runc, chromium and curl are installed");
            kubernetes::run(root, &[])
        }
    }
}

/// For the tasks that cannot go on without it.
pub(crate) fn ensure() -> Result<()> {
    match say_missing(&install_missing(Purpose::Run, process::run)?) {
        Some(text) => Err(Error::Failed(text)),
        None => Ok(()),
    }
}

/// Installs what is missing where that is possible, and returns the packages
/// that are still missing.
pub(crate) fn install_missing(
    purpose: Purpose,
    mut run: impl FnMut(&mut Command) -> Result<()>,
) -> Result<Vec<&'static str>> {
    let missing = missing_packages(purpose);
    if missing.is_empty() {
        return Ok(missing);
    }
    if !process::is_root() || !process::found("apt-get") {
        return Ok(missing);
    }
    eprintln!("installing by apt: {}", missing.join(", "));
    for args in [
        vec!["update", "-q"],
        [
            &["install", "-q", "-y", "--no-install-recommends"],
            missing.as_slice(),
        ]
        .concat(),
    ] {
        let mut apt = Command::new("apt-get");
        apt.args(args).env("DEBIAN_FRONTEND", "noninteractive");
        run(&mut apt)?;
    }
    Ok(missing_packages(purpose))
}

fn missing_packages(purpose: Purpose) -> Vec<&'static str> {
    // A compiler named by `PROTOC` is as good as one on `PATH`.
    let has = |need: &Need| {
        process::found(need.program)
            || (need.program == "protoc" && env::var_os("PROTOC").is_some())
    };
    NEEDS
        .iter()
        .filter(|need| purpose == Purpose::Test || !need.for_tests)
        .filter(|need| !has(need))
        .map(|need| need.package)
        .collect()
}

/// What to do about what is missing.
pub(crate) fn say_missing(missing: &[&str]) -> Option<String> {
    if missing.is_empty() {
        return None;
    }
    let reasons: Vec<String> = NEEDS
        .iter()
        .filter(|need| missing.contains(&need.package))
        .map(|need| format!("  {} {}", need.program, need.why))
        .collect();
    Some(format!(
        "missing on this machine:\n{}\ninstall it as root: apt-get install {}\n(elsewhere than on \
         Debian: protoc, make, containerd 1.6, runc, chromium and curl on PATH)",
        reasons.join("\n"),
        missing.join(" ")
    ))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_missing_is_named_with_the_command_that_installs_it() {
        assert_eq!(say_missing(&[]), None);
        let text = say_missing(&["containerd", "runc"]).unwrap();
        assert!(text.contains("apt-get install containerd runc"), "{text}");
        assert!(!text.contains("builds containerd's API"), "{text}");
    }
}
