//! `cargo xtask e2e [VERSION…] [--kubelet | --random SEED]`: the scenarios on more
//! versions of containerd than the tests take, with a real kubelet, or pulls drawn
//! at random.

use crate::containerd;
use crate::error::{Error, Result};
use crate::kubernetes::{Build, Program};
use crate::process;
use crate::root::Root;
use crate::setup;
use crate::test;

const VERSIONS: [&str; 3] = ["1.6", "2.0", "2.4"];

/// On these a real kubelet runs pods.
const OF_KUBELET: [&str; 2] = ["1.6", "2.4"];

#[derive(Debug, PartialEq)]
enum Wanted {
    Scenarios {
        versions: Vec<String>,
    },
    Kubelet {
        versions: Vec<String>,
    },
    Random {
        versions: Vec<String>,
        seed: String,
        rest: Vec<String>,
    },
}

pub(crate) fn run(root: &Root, args: &[String]) -> Result<()> {
    match parse(args)? {
        Wanted::Scenarios { versions } => test::run_scenarios(root, &versions),
        Wanted::Kubelet { versions } => kubelet(root, &versions),
        Wanted::Random {
            versions,
            seed,
            rest,
        } => {
            prepare(root, &versions)?;
            let mut cargo = process::cargo(&root.dir);
            cargo.args([
                "run",
                "--release",
                "-p",
                "pulltrace-testkit",
                "--bin",
                "random",
                "--",
            ]);
            cargo.args(["--seed", &seed]).args(rest);
            if !versions.is_empty() {
                cargo.env("PULLTRACE_CONTAINERD", versions.join(","));
            }
            cargo.env("PULLTRACE_CACHE", &root.cache);
            Err(process::become_program(&mut cargo))
        }
    }
}

fn prepare(root: &Root, versions: &[String]) -> Result<()> {
    setup::ensure()?;
    let mut versions = versions.iter();
    versions.try_for_each(|version| containerd::ensure(root, version, &mut process::run))
}

/// A real kubelet, with agent and server as they are deployed.
fn kubelet(root: &Root, versions: &[String]) -> Result<()> {
    let kubernetes = Build::start(root, Program::Node)?;
    prepare(root, versions)?;
    // The same packages in both calls, or what they share is built twice.
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
    kubernetes.finish()?;
    let mut test = cargo("test");
    test.env("PULLTRACE_KUBELET", "1")
        .env("PULLTRACE_CONTAINERD", versions.join(","))
        .env("PULLTRACE_CACHE", &root.cache);
    Err(process::become_program(&mut test))
}

fn parse(args: &[String]) -> Result<Wanted> {
    let mut versions = Vec::new();
    let mut seed = None;
    let mut kubelet = false;
    let mut rest = Vec::new();
    let mut args = args.iter();
    while let Some(arg) = args.next() {
        match arg.as_str() {
            "--random" => {
                let value = args.next().ok_or_else(|| {
                    Error::Usage("--random needs a seed, a number: --random 1".to_owned())
                })?;
                if value.parse::<u64>().is_err() {
                    return Err(Error::Usage(format!(
                        "--random {value}: the seed is a number"
                    )));
                }
                seed = Some(value.clone());
            }
            "--kubelet" => kubelet = true,
            "--" => rest = args.by_ref().cloned().collect(),
            flag if flag.starts_with('-') => {
                return Err(Error::Usage(format!("e2e has no option `{flag}`")));
            }
            version => {
                containerd::check(version)?;
                versions.push(version.to_owned());
            }
        }
    }
    match seed {
        Some(_) if kubelet => Err(Error::Usage("--kubelet or --random, not both".to_owned())),
        Some(seed) => Ok(Wanted::Random {
            versions,
            seed,
            rest,
        }),
        None if !rest.is_empty() => {
            Err(Error::Usage("what follows `--` is for --random".to_owned()))
        }
        None if kubelet => {
            if versions.is_empty() {
                versions = OF_KUBELET.map(str::to_owned).to_vec();
            }
            Ok(Wanted::Kubelet { versions })
        }
        None => {
            if versions.is_empty() {
                versions = VERSIONS.map(str::to_owned).to_vec();
            }
            Ok(Wanted::Scenarios { versions })
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parsed(line: &str) -> Result<Wanted> {
        parse(
            &line
                .split_whitespace()
                .map(str::to_owned)
                .collect::<Vec<_>>(),
        )
    }

    #[test]
    fn versions_have_a_default_and_are_checked() {
        let of = |versions: &[&str]| Wanted::Scenarios {
            versions: versions
                .iter()
                .map(|version| (*version).to_owned())
                .collect(),
        };
        assert_eq!(parsed("").unwrap(), of(&VERSIONS));
        assert_eq!(parsed("2.1 1.7").unwrap(), of(&["2.1", "1.7"]));
        for bad in ["2.9", "--all", "--random", "--random x", "2.4 -- --pulls 1"] {
            assert!(matches!(parsed(bad), Err(Error::Usage(_))), "{bad}");
        }
    }

    #[test]
    fn a_kubelet_has_versions_of_its_own_and_no_seed() {
        let versions = OF_KUBELET.map(str::to_owned).to_vec();
        assert_eq!(parsed("--kubelet").unwrap(), Wanted::Kubelet { versions });
        let versions = vec!["2.2".to_owned()];
        let wanted = Wanted::Kubelet { versions };
        assert_eq!(parsed("2.2 --kubelet").unwrap(), wanted);
        let both = parsed("--kubelet --random 1");
        assert!(matches!(both, Err(Error::Usage(_))));
    }

    #[test]
    fn a_seed_asks_for_random_pulls_and_what_follows_is_theirs() {
        let wanted = parsed("2.4 --random 7 -- --pulls 10").unwrap();
        let Wanted::Random {
            versions,
            seed,
            rest,
        } = wanted
        else {
            panic!("{wanted:?}")
        };
        assert_eq!(
            (versions.len(), seed.as_str(), rest.join(" ").as_str()),
            (1, "7", "--pulls 10")
        );
    }
}
