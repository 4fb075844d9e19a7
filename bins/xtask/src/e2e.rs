//! `cargo xtask e2e [VERSION…] [--kubelet | --random SEED]`: the scenarios on more versions of
//! containerd than `cargo xtask test` uses, scenarios with a real kubelet, or random pulls.

use crate::containerd;
use crate::error::Result;
use crate::kubernetes::{self, Program};
use crate::process;
use crate::root::Root;
use crate::setup;
use crate::test;

const VERSIONS: [&str; 3] = ["1.6", "2.0", "2.4"];

const KUBELET_VERSIONS: [&str; 2] = ["1.6", "2.4"];

/// Options of the program `random`.
const RANDOM_OPTIONS: &str = "[--pulls 1000] [--plan]";

pub(crate) fn details() -> String {
    format!(
        "\
Without an option: the scenarios of `cargo xtask test integration` (default versions: {}).
Versions: {}, {}.

--kubelet takes six minutes (default versions: {}).
--random accepts options after `--`: {RANDOM_OPTIONS}

Installs missing packages, and builds missing versions, which requires Go.",
        VERSIONS.join(", "),
        containerd::DEBIAN_VERSION,
        containerd::known_versions(),
        KUBELET_VERSIONS.join(", "),
    )
}

#[derive(Debug, clap::Args)]
pub(crate) struct Args {
    /// Versions of containerd
    #[arg(value_name = "VERSION", value_parser = containerd::parse_version)]
    versions: Vec<String>,
    /// Run the scenarios with a real kubelet, the agent and the server
    #[arg(long, conflicts_with = "seed")]
    kubelet: bool,
    /// Run random pulls and registry faults, derived from the seed
    #[arg(long = "random", value_name = "SEED")]
    seed: Option<u64>,
    /// Options of the random run
    #[arg(value_name = "OPTION", last = true, requires = "seed")]
    options: Vec<String>,
}

impl Args {
    fn versions_or(&self, default: &[&str]) -> Vec<String> {
        if self.versions.is_empty() {
            default.iter().map(|version| (*version).to_owned()).collect()
        } else {
            self.versions.clone()
        }
    }
}

pub(crate) fn run(root: &Root, args: &Args) -> Result<()> {
    match args.seed {
        Some(seed) => run_random(root, args, seed),
        None if args.kubelet => run_kubelet(root, &args.versions_or(&KUBELET_VERSIONS)),
        None => test::run_scenarios(root, &args.versions_or(&VERSIONS)),
    }
}

fn run_random(root: &Root, args: &Args, seed: u64) -> Result<()> {
    setup::ensure()?;
    containerd::ensure(root, &args.versions)?;
    let mut cargo = process::cargo(&root.dir);
    cargo.args(["run", "--release", "-p", "pulltrace-benches"]);
    cargo.args(["--bin", "random", "--", "--seed", &seed.to_string()]);
    cargo.args(&args.options);
    if !args.versions.is_empty() {
        cargo.env("PULLTRACE_CONTAINERD", args.versions.join(","));
    }
    cargo.env("PULLTRACE_CACHE", &root.cache);
    Err(process::exec(&mut cargo))
}

fn run_kubelet(root: &Root, versions: &[String]) -> Result<()> {
    let kubernetes = kubernetes::start(root, Program::Node)?;
    let containerd = containerd::start(root, versions)?;
    setup::ensure()?;
    // Both calls select the same packages; otherwise shared dependencies are built twice.
    let cargo = |command: &str| {
        let mut cargo = process::cargo(&root.dir);
        cargo.arg(command);
        for package in ["pulltrace-agent", "pulltrace-server", "pulltrace-testkit"] {
            cargo.args(["-p", package]);
        }
        cargo.args(["--test", "kubelet"]);
        cargo
    };
    let programs = ["--bin", "pulltrace-agent", "--bin", "pulltrace-server"];
    process::run(cargo("build").args(programs))?;
    containerd.finish()?;
    kubernetes.finish()?;
    let mut test = cargo("test");
    test.env("PULLTRACE_KUBELET", "1")
        .env("PULLTRACE_CONTAINERD", versions.join(","))
        .env("PULLTRACE_CACHE", &root.cache);
    Err(process::exec(&mut test))
}

#[cfg(test)]
mod tests {
    use clap::Parser as _;

    use super::*;

    #[derive(Debug, clap::Parser)]
    struct E2e {
        #[command(flatten)]
        args: Args,
    }

    fn parsed(line: &str) -> clap::error::Result<Args> {
        let words = std::iter::once("e2e").chain(line.split_whitespace());
        E2e::try_parse_from(words).map(|e2e| e2e.args)
    }

    #[test]
    fn versions_have_defaults_and_are_checked() {
        assert_eq!(parsed("").unwrap().versions_or(&VERSIONS), VERSIONS);
        let args = parsed("2.1 1.7 --kubelet").unwrap();
        assert!(args.kubelet);
        assert_eq!(args.versions_or(&KUBELET_VERSIONS), ["2.1", "1.7"]);
        for bad in
            ["2.9", "--all", "--random", "--random x", "2.4 -- --pulls 1", "--kubelet --random 1"]
        {
            assert!(parsed(bad).is_err(), "{bad}");
        }
    }

    #[test]
    fn seed_accepts_options_after_dashes() {
        let args = parsed("2.4 --random 7 -- --pulls 10").unwrap();
        assert_eq!((args.versions.len(), args.seed), (1, Some(7)));
        assert_eq!(args.options, ["--pulls", "10"]);
    }

    #[test]
    fn random_options_are_those_of_program() {
        let file = "benches/src/bin/random/main.rs";
        let source = std::fs::read_to_string(Root::find().unwrap().dir.join(file)).unwrap();
        for option in RANDOM_OPTIONS.split(['[', ']']).filter(|o| o.starts_with('-')) {
            assert!(source.contains(&format!("[{option}]")), "{option}");
        }
    }
}
