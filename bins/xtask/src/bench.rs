//! `cargo xtask bench agent|eta`: builds and runs the testkit's bench programs.

use crate::containerd;
use crate::error::{Error, Result};
use crate::process;
use crate::root::Root;
use crate::setup;

const BENCHES: [&str; 2] = ["agent", "eta"];

/// What the benches compare: the oldest and the newest way of containerd.
const NEWEST: &str = "2.4";

pub(crate) fn run(root: &Root, args: &[String]) -> Result<()> {
    let (bench, rest) = parse(args)?;
    setup::ensure()?;
    containerd::ensure(root, NEWEST, &mut process::run)?;
    // The agent that is measured is the one that people run.
    process::run(process::cargo(&root.dir).args(["build", "--release", "-p", "pulltrace"]))?;
    let mut cargo = process::cargo(&root.dir);
    cargo.args(["run", "--release", "-p", "pulltrace-testkit", "--bin"]);
    cargo.arg(format!("bench-{bench}")).arg("--").args(rest);
    cargo.env("PULLTRACE_CACHE", &root.cache);
    Err(process::become_program(&mut cargo))
}

fn parse(args: &[String]) -> Result<(&str, &[String])> {
    match args.split_first() {
        Some((bench, rest)) if BENCHES.contains(&bench.as_str()) => Ok((bench, rest)),
        Some((other, _)) => Err(Error::Usage(format!(
            "there is no bench `{other}`; one of {}",
            BENCHES.join(", ")
        ))),
        None => Err(Error::Usage(format!(
            "which bench? One of {}",
            BENCHES.join(", ")
        ))),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_bench_is_one_of_those_and_keeps_its_arguments() {
        let args = ["eta", "--runs", "3"].map(str::to_owned);
        assert_eq!(parse(&args).unwrap(), ("eta", &args[1..]));
        assert!(matches!(parse(&args[1..]), Err(Error::Usage(_))));
        assert!(matches!(parse(&[]), Err(Error::Usage(_))));
    }
}
