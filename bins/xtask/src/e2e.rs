//! `cargo xtask e2e [VERSION…] [--kubelet | --random SEED]`: the scenarios on more versions of
//! containerd than `cargo xtask test` uses, scenarios with a real kubelet, or random pulls.

use crate::containerd;
use crate::error::{Error, Result};
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
Without an option: the scenarios of `cargo xtask test integration`, on the given
versions of containerd (default: {}). Versions: {}, {}.

  --kubelet      scenarios with a real kubelet, the agent and the server (default
                 versions: {}; six minutes)
  --random SEED  random pulls and registry faults, derived from the seed; options
                 after `--`: {RANDOM_OPTIONS}

Installs missing packages, and builds missing versions, which requires Go.",
        VERSIONS.join(", "),
        containerd::DEBIAN_VERSION,
        containerd::known_versions(),
        KUBELET_VERSIONS.join(", "),
    )
}

#[derive(Debug, PartialEq)]
enum Mode {
    Scenarios { versions: Vec<String> },
    Kubelet { versions: Vec<String> },
    Random { versions: Vec<String>, seed: String, options: Vec<String> },
}

pub(crate) fn run(root: &Root, args: &[String]) -> Result<()> {
    match parse(args)? {
        Mode::Scenarios { versions } => test::run_scenarios(root, &versions),
        Mode::Kubelet { versions } => run_kubelet(root, &versions),
        Mode::Random { versions, seed, options } => {
            setup::ensure()?;
            containerd::ensure(root, &versions)?;
            let mut cargo = process::cargo(&root.dir);
            cargo.args(["run", "--release", "-p", "pulltrace-testkit"]);
            cargo.args(["--bin", "random", "--", "--seed", &seed]);
            cargo.args(options);
            if !versions.is_empty() {
                cargo.env("PULLTRACE_CONTAINERD", versions.join(","));
            }
            cargo.env("PULLTRACE_CACHE", &root.cache);
            Err(process::exec(&mut cargo))
        }
    }
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

fn parse(args: &[String]) -> Result<Mode> {
    let mut versions = Vec::new();
    let mut seed = None;
    let mut kubelet = false;
    let mut options = Vec::new();
    let mut args = args.iter();
    while let Some(arg) = args.next() {
        match arg.as_str() {
            "--random" => {
                let value = args.next().ok_or_else(|| {
                    Error::Usage("missing seed: expected e.g. --random 1".to_owned())
                })?;
                if value.parse::<u64>().is_err() {
                    return Err(Error::Usage(format!("invalid seed `{value}`: expected a number")));
                }
                seed = Some(value.clone());
            }
            "--kubelet" => kubelet = true,
            "--" => options = args.by_ref().cloned().collect(),
            flag if flag.starts_with('-') => {
                return Err(Error::Usage(format!("unknown option `{flag}`")));
            }
            version => {
                containerd::check(version)?;
                versions.push(version.to_owned());
            }
        }
    }
    match seed {
        Some(_) if kubelet => {
            Err(Error::Usage("--kubelet and --random cannot be combined".to_owned()))
        }
        Some(seed) => Ok(Mode::Random { versions, seed, options }),
        None if !options.is_empty() => {
            Err(Error::Usage("options after `--` require --random".to_owned()))
        }
        None if kubelet => {
            if versions.is_empty() {
                versions = KUBELET_VERSIONS.map(str::to_owned).to_vec();
            }
            Ok(Mode::Kubelet { versions })
        }
        None => {
            if versions.is_empty() {
                versions = VERSIONS.map(str::to_owned).to_vec();
            }
            Ok(Mode::Scenarios { versions })
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parsed(line: &str) -> Result<Mode> {
        parse(&line.split_whitespace().map(str::to_owned).collect::<Vec<_>>())
    }

    #[test]
    fn versions_have_default_and_are_checked() {
        let scenarios = |versions: &[&str]| Mode::Scenarios {
            versions: versions.iter().map(|version| (*version).to_owned()).collect(),
        };
        assert_eq!(parsed("").unwrap(), scenarios(&VERSIONS));
        assert_eq!(parsed("2.1 1.7").unwrap(), scenarios(&["2.1", "1.7"]));
        for bad in ["2.9", "--all", "--random", "--random x", "2.4 -- --pulls 1"] {
            assert!(matches!(parsed(bad), Err(Error::Usage(_))), "{bad}");
        }
    }

    #[test]
    fn random_options_are_those_of_program() {
        let file = "pulltrace-testkit/src/bin/random/main.rs";
        let source = std::fs::read_to_string(Root::find().unwrap().dir.join(file)).unwrap();
        for option in RANDOM_OPTIONS.split(['[', ']']).filter(|o| o.starts_with('-')) {
            assert!(source.contains(&format!("[{option}]")), "{option}");
        }
    }

    #[test]
    fn kubelet_has_separate_default_versions_and_no_seed() {
        let versions = KUBELET_VERSIONS.map(str::to_owned).to_vec();
        assert_eq!(parsed("--kubelet").unwrap(), Mode::Kubelet { versions });
        let versions = vec!["2.2".to_owned()];
        let expected = Mode::Kubelet { versions };
        assert_eq!(parsed("2.2 --kubelet").unwrap(), expected);
        let both = parsed("--kubelet --random 1");
        assert!(matches!(both, Err(Error::Usage(_))));
    }

    #[test]
    fn seed_selects_random_pulls_with_options() {
        let mode = parsed("2.4 --random 7 -- --pulls 10").unwrap();
        let Mode::Random { versions, seed, options } = mode else { panic!("{mode:?}") };
        assert_eq!(
            (versions.len(), seed.as_str(), options.join(" ").as_str()),
            (1, "7", "--pulls 10")
        );
    }
}
