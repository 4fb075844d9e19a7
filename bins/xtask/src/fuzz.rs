//! `cargo xtask fuzz TARGET [SECONDS]`: runs a parser on random input.
//!
//! The targets are in `fuzz`, which is a separate workspace.

use std::path::Path;

use crate::error::{Context as _, Result};
use crate::process;
use crate::root::Root;
use crate::setup;

const DEFAULT_SECONDS: u32 = 600;

const TARGETS: &str = "fuzz/fuzz_targets";

pub(crate) fn details() -> String {
    format!(
        "\
Targets: {}.
Installs cargo-fuzz if it is missing. The inputs that were found are kept in fuzz/corpus/TARGET.",
        // Help must not fail.
        known_targets().unwrap_or_default().join(", ")
    )
}

#[derive(Debug, clap::Args)]
pub(crate) struct Args {
    /// The parser
    #[arg(value_parser = parse_target)]
    target: String,
    /// The duration of the run
    #[arg(default_value_t = DEFAULT_SECONDS, value_parser = clap::value_parser!(u32).range(1..))]
    seconds: u32,
}

fn parse_target(name: &str) -> std::result::Result<String, String> {
    let known = known_targets().map_err(|error| error.text().unwrap_or_default().to_owned())?;
    let is_known = known.iter().any(|target| target == name);
    is_known.then(|| name.to_owned()).ok_or_else(|| format!("expected one of {}", known.join(", ")))
}

fn known_targets() -> Result<Vec<String>> {
    targets(&Root::find()?.dir.join(TARGETS))
}

pub(crate) fn run(root: &Root, args: &Args) -> Result<()> {
    let target = args.target.as_str();
    setup::ensure()?;
    if !process::found("cargo-fuzz") {
        println!("installing cargo-fuzz");
        process::run(process::cargo(&root.dir).args(["install", "cargo-fuzz", "--locked"]))?;
    }
    // cargo-fuzz adds inputs to the first folder and reads the others.
    let corpus = root.dir.join("fuzz/corpus").join(target);
    let seeds = seeds(target).map(|folder| root.dir.join(folder));
    std::fs::create_dir_all(&corpus).context(|| format!("create {}", corpus.display()))?;
    let mut fuzz = process::cargo(&root.dir);
    fuzz.args(["fuzz", "run", target]).arg(corpus).args(seeds);
    fuzz.arg("--").arg(format!("-max_total_time={}", args.seconds));
    // Lets the stable compiler accept the unstable flag of the address sanitizer.
    fuzz.env("RUSTC_BOOTSTRAP", "1");
    Err(process::exec(&mut fuzz))
}

/// Returns folders of valid input to start from.
fn seeds(target: &str) -> impl Iterator<Item = String> {
    // Both targets read recordings, and real ones reach the most code of the tracker.
    let (own, real) = match target {
        "recording" | "tracker" => ("recording", Some("pulltrace-agent-lib/tests/data")),
        other => (other, None),
    };
    let own = format!("fuzz/seeds/{own}");
    std::iter::once(own).chain(real.map(str::to_owned))
}

fn targets(dir: &Path) -> Result<Vec<String>> {
    let entries = std::fs::read_dir(dir).context(|| format!("list {}", dir.display()))?;
    let mut names: Vec<String> = entries
        .filter_map(|entry| entry.ok()?.path().file_stem()?.to_str().map(str::to_owned))
        .collect();
    names.sort();
    Ok(names)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_target_has_seeds() {
        let root = Root::find().unwrap().dir;
        let targets = targets(&root.join(TARGETS)).unwrap();
        assert!(!targets.is_empty());
        for folder in targets.iter().flat_map(|target| seeds(target)) {
            let mut files = std::fs::read_dir(root.join(&folder)).unwrap();
            assert!(files.next().is_some(), "{folder} is empty");
        }
    }

    #[test]
    fn target_and_seconds_are_checked() {
        #[derive(Debug, clap::Parser)]
        struct Fuzz {
            #[command(flatten)]
            args: Args,
        }
        let parsed = |line: &str| {
            let words = std::iter::once("fuzz").chain(line.split_whitespace());
            <Fuzz as clap::Parser>::try_parse_from(words).map(|fuzz| fuzz.args.seconds)
        };
        assert_eq!(parsed("manifest").unwrap(), 600);
        assert_eq!(parsed("manifest 5").unwrap(), 5);
        for bad in ["", "other", "manifest 0", "manifest x", "manifest 1 2"] {
            assert!(parsed(bad).is_err(), "{bad}");
        }
    }
}
