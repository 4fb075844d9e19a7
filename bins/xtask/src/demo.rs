//! `cargo xtask demo [ARG…]`: builds the demo and its prerequisites, and runs it.
//!
//! Writes only to standard error: a program may parse the demo's standard output (`--output json`).

use std::process::{Command, Stdio};

use crate::containerd;
use crate::error::{Error, Result};
use crate::kubernetes::{self, Program};
use crate::process;
use crate::root::Root;
use crate::setup;
use crate::web;

/// Runs a cluster with pods, which needs more programs.
const KUBERNETES: &str = "--kubernetes";

/// The help of the demo program. Included, so that it can be printed without a build.
pub(crate) const DETAILS: &str = include_str!("../../../demo/src/help.txt").trim_ascii_end();

#[derive(Debug, clap::Args)]
pub(crate) struct Args {
    /// Options of the demo
    #[arg(value_name = "OPTION", allow_hyphen_values = true)]
    options: Vec<String>,
}

pub(crate) fn run(root: &Root, args: &Args) -> Result<()> {
    let args = args.options.as_slice();
    let version = version(args);
    if let Some(version) = &version {
        containerd::parse_version(version).map_err(Error::Failed)?;
    }
    let pods = args.iter().any(|arg| arg == KUBERNETES);
    let kubernetes = pods.then(|| kubernetes::start(root, Program::Node)).transpose()?;
    // A cached older patch of the version is good enough.
    let is_cached = |version: &String| root.cache.join("containerd").join(version).exists();
    let versions: Vec<String> = version.into_iter().filter(|v| !is_cached(v)).collect();
    let containerd = containerd::start(root, &versions)?;
    install()?;
    eprintln!("building the page, pulltrace and the demo");
    if process::found("npm") {
        web::build(root, &mut |command| process::run(to_stderr(command)))?;
    } else {
        eprintln!("npm not found, so the page is a placeholder: install Node 20.19 or newer");
    }
    // One call, because two would build shared dependencies twice, with different features.
    let mut build = process::cargo(&root.dir);
    build.args(["build", "-p", "pulltrace", "-p", "pulltrace-demo"]);
    build.args(["--bin", "pulltrace", "--bin", "demo"]);
    if pods {
        for program in ["pulltrace-agent", "pulltrace-server"] {
            build.args(["-p", program, "--bin", program]);
        }
    }
    process::run(&mut build)?;
    for build in [Some(containerd), kubernetes].into_iter().flatten() {
        if !build.is_finished() {
            eprintln!("waiting for a background build, which takes minutes the first time");
        }
        build.finish()?;
    }
    // Not `cargo run`: Ctrl-C must reach only the demo, which then stops its containerd.
    let mut demo = Command::new(root.target.join("debug/demo"));
    demo.args(args).env("PULLTRACE_CACHE", &root.cache);
    Err(process::exec(&mut demo))
}

/// Installs missing packages if possible. Without containerd the demo replays a recording, so only
/// packages that the build needs are required.
fn install() -> Result<()> {
    let mut failure = None;
    let missing = setup::install_missing(setup::Purpose::Build, |apt| {
        // Not fatal: it depends on which packages are then missing.
        if let Err(error) = process::run(to_stderr(apt)) {
            failure = error.text().map(str::to_owned);
        }
        Ok(())
    })?;
    let Some(mut text) = setup::missing_text(&missing) else {
        return Ok(());
    };
    if let Some(failure) = failure {
        text = format!("{failure}; {text}");
    }
    if missing.iter().any(|missing| missing.package == setup::COMPILER) {
        return Err(Error::Missing(text));
    }
    eprintln!("{text}");
    Ok(())
}

/// Redirects the command's standard output to standard error.
fn to_stderr(command: &mut Command) -> &mut Command {
    command.stdout(Stdio::from(std::io::stderr()))
}

/// Returns the minor version of containerd in the arguments: `2.4` also for `v2.4.2`.
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
    fn version_is_parsed_like_in_demo() {
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
