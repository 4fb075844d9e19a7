//! `cargo xtask demo [ARG…]`: builds what the demo needs and becomes it.
//!
//! What the demo writes to standard output may be read by a program
//! (`--output json`), so all that is said here goes to standard error.

use std::process::{Command, Stdio};

use crate::containerd;
use crate::error::{Error, Result};
use crate::kubernetes::{Build, Program};
use crate::process;
use crate::root::Root;
use crate::setup;
use crate::web;

/// What cannot be built without; the demo does without the others.
const COMPILER: &str = "protobuf-compiler";

/// With pods: what else that takes is built here.
const KUBERNETES: &str = "--kubernetes";

/// The demo's own; printed without a build.
const HELP: &str = include_str!("../../../pulltrace-testkit/src/bin/demo/help.txt");

pub(crate) fn run(root: &Root, args: &[String]) -> Result<()> {
    if args.iter().any(|arg| arg == "--help" || arg == "-h") {
        print!("{HELP}");
        return Ok(());
    }
    let version = version(args);
    if let Some(version) = &version {
        containerd::check(version)?;
    }
    install()?;
    if let Some(version) = &version
        && !root.cache.join("containerd").join(version).exists()
    {
        let mut run = |command: &mut Command| process::run(told(command));
        containerd::ensure(root, version, &mut run)?;
    }
    let pods = args.iter().any(|arg| arg == KUBERNETES);
    // It goes on while the others are built.
    let kubernetes = pods
        .then(|| Build::start(root, Program::Node))
        .transpose()?;
    eprintln!("building the page, pulltrace and the demo");
    if process::found("npm") {
        web::build(root, &mut |command| process::run(told(command)))?;
    } else {
        eprintln!(
            "there is no npm, so there is a note in place of the page: install Node 20.19 or newer"
        );
    }
    // In one call: two would build what both need twice, with other features.
    let mut build = process::cargo(&root.dir);
    build.args(["build", "-p", "pulltrace", "-p", "pulltrace-testkit"]);
    build.args(["--bin", "pulltrace", "--bin", "demo"]);
    if pods {
        for program in ["pulltrace-agent", "pulltrace-server"] {
            build.args(["-p", program, "--bin", program]);
        }
    }
    process::run(&mut build)?;
    if let Some(kubernetes) = kubernetes {
        eprintln!(
            "waiting for Kubernetes: its first build takes some minutes, and later ones none"
        );
        kubernetes.finish()?;
    }
    // Not `cargo run`: Ctrl-C must reach the demo and nothing else, for it has
    // a containerd to stop.
    let mut demo = Command::new(root.target.join("debug/demo"));
    demo.args(args).env("PULLTRACE_CACHE", &root.cache);
    Err(process::become_program(&mut demo))
}

/// Installs what is missing where that is possible. Without containerd the
/// demo replays a recording, so only what a build needs is an error.
fn install() -> Result<()> {
    let mut failed = None;
    let missing = setup::install_missing(setup::Purpose::Run, |apt| {
        let ran = process::run(told(apt));
        // What is missing afterwards decides what that means.
        if let Err(error) = ran {
            failed = error.text().map(str::to_owned);
        }
        Ok(())
    })?;
    let Some(mut text) = setup::say_missing(&missing) else {
        return Ok(());
    };
    if let Some(failed) = failed {
        text = format!("{failed}; {text}");
    }
    if missing.contains(&COMPILER) {
        return Err(Error::Failed(text));
    }
    eprintln!("{text}");
    Ok(())
}

/// What it writes goes to standard error.
fn told(command: &mut Command) -> &mut Command {
    command.stdout(Stdio::from(std::io::stderr()))
}

/// The version of containerd that was asked for, `2.4` also of `v2.4.2`.
fn version(args: &[String]) -> Option<String> {
    let mut args = args.iter();
    let version = loop {
        let arg = args.next()?;
        if arg == "--containerd" {
            break args.next()?.as_str();
        }
        if let Some(version) = arg.strip_prefix("--containerd=") {
            break version;
        }
    };
    let parts: Vec<_> = version.trim_start_matches('v').split('.').take(2).collect();
    Some(parts.join("."))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_version_is_found_as_the_demo_finds_it() {
        let version_in = |line: &str| {
            let args: Vec<_> = line.split_whitespace().map(str::to_owned).collect();
            version(&args)
        };
        assert_eq!(version_in("--seconds 3"), None);
        assert_eq!(version_in("--containerd 2.4").as_deref(), Some("2.4"));
        assert_eq!(version_in("-x --containerd=1.6").as_deref(), Some("1.6"));
        assert_eq!(version_in("--containerd v2.4.2").as_deref(), Some("2.4"));
        assert_eq!(version_in("--containerd"), None);
    }
}
