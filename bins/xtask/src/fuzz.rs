//! `cargo xtask fuzz TARGET [SECONDS]`: runs a parser on random input.
//!
//! The targets are in `fuzz`, which is a separate workspace.

use std::path::Path;

use crate::error::{Context as _, Error, Result};
use crate::process;
use crate::root::Root;
use crate::setup;

const DEFAULT_SECONDS: u32 = 600;

const TARGETS: &str = "fuzz/fuzz_targets";

pub(crate) fn details() -> String {
    // Help must not fail.
    let targets = Root::find().and_then(|root| targets(&root.dir.join(TARGETS)));
    let targets = targets.unwrap_or_default().join(", ");
    format!(
        "\
Targets: {targets}.
Runs for {DEFAULT_SECONDS} seconds unless SECONDS is given. Installs cargo-fuzz if it is
missing. The inputs that were found are kept in fuzz/corpus/TARGET."
    )
}

pub(crate) fn run(root: &Root, args: &[String]) -> Result<()> {
    let known = targets(&root.dir.join(TARGETS))?;
    let (target, seconds) = parse(args, &known)?;
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
    fuzz.arg("--").arg(format!("-max_total_time={seconds}"));
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

fn parse<'a>(args: &'a [String], known: &[String]) -> Result<(&'a str, u32)> {
    let one_of = || format!("one of {}", known.join(", "));
    let (target, seconds) = match args {
        [target] => (target, None),
        [target, seconds] => (target, Some(seconds)),
        _ => {
            return Err(Error::Usage(format!(
                "expected TARGET [SECONDS], with TARGET {}",
                one_of()
            )));
        }
    };
    if !known.contains(target) {
        return Err(Error::Usage(format!("unknown fuzz target `{target}`; expected {}", one_of())));
    }
    let seconds = match seconds {
        None => DEFAULT_SECONDS,
        Some(text) => text.parse().ok().filter(|seconds| *seconds > 0).ok_or_else(|| {
            Error::Usage(format!("invalid seconds `{text}`: expected a number above 0"))
        })?,
    };
    Ok((target, seconds))
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
        let known = ["manifest".to_owned()];
        let parsed = |line: &str| {
            let args: Vec<String> = line.split_whitespace().map(str::to_owned).collect();
            parse(&args, &known).map(|(target, seconds)| (target.to_owned(), seconds))
        };
        assert_eq!(parsed("manifest").unwrap(), ("manifest".to_owned(), 600));
        assert_eq!(parsed("manifest 5").unwrap().1, 5);
        for bad in ["", "other", "manifest 0", "manifest x", "manifest 1 2"] {
            assert!(matches!(parsed(bad), Err(Error::Usage(_))), "{bad}");
        }
    }
}
