//! What each stage of `cargo xtask test` does, in the order in which they run:
//! the cheap ones that fail most often come first.

use std::process::Command;

use super::runner::Runner;
use super::{Plan, SKIPPED};
use crate::containerd;
use crate::error::{Error, Result};
use crate::graph::{Graph, Package};
use crate::process;
use crate::root::Root;
use crate::setup;
use crate::tidy;

#[derive(Debug)]
pub(crate) struct Stage {
    pub(crate) name: &'static str,
    pub(crate) line: &'static str,
    /// After this long it is ended, so that a hang is a failure and not silence.
    pub(crate) minutes: u64,
    pub(crate) run: fn(&Plan, &mut Runner) -> Result<Verdict>,
}

#[derive(Debug)]
pub(crate) enum Verdict {
    Done,
    /// Why it could not be done on this machine.
    Skipped(String),
}

/// The package whose tests need a real containerd.
const TESTKIT: &str = "pulltrace-testkit";
const EXAMPLES: &str = "examples";

/// A workspace of its own: the flags of fuzzing are not those of a build.
const FUZZ: &str = "fuzz/Cargo.toml";

const fn stage(
    name: &'static str,
    line: &'static str,
    minutes: u64,
    run: fn(&Plan, &mut Runner) -> Result<Verdict>,
) -> Stage {
    Stage {
        name,
        line,
        minutes,
        run,
    }
}

pub(crate) const STAGES: &[Stage] = &[
    stage(
        "setup",
        "protoc, containerd and runc are installed",
        5,
        setup_stage,
    ),
    stage("fmt", "the formatting is rustfmt's", 2, fmt),
    stage("tidy", "the rules that no compiler checks", 5, tidy_stage),
    stage("clippy", "no lint of clippy or rustc speaks up", 15, clippy),
    stage(
        "slim",
        "the libraries build with any one feature, and with none",
        10,
        slim,
    ),
    stage(
        "docs",
        "the documentation builds without a warning",
        10,
        docs,
    ),
    stage("build", "programs and tests compile", 15, build),
    stage("unit", "tests that need no containerd", 10, unit),
    stage("doctest", "examples in the documentation", 10, doctest),
    stage(
        "integration",
        "scenarios on real containerd",
        25,
        integration,
    ),
    stage(
        "examples",
        "the example programs do what they say",
        10,
        examples,
    ),
    stage(
        "package",
        "the published crates build from their packages",
        10,
        package,
    ),
    stage("deny", "cargo-deny finds nothing wrong", 5, deny),
];

/// All stages select the whole workspace with all features and narrow it by
/// target: with another selection Cargo would unify features in another way,
/// and build everything again.
fn cargo(plan: &Plan, command: &str, args: &[&str]) -> Command {
    let mut cargo = process::cargo(&plan.root.dir);
    cargo
        .arg(command)
        .env("CARGO_TERM_COLOR", "never")
        .env("CARGO_TERM_PROGRESS_WHEN", "never");
    if Root::is_ci() {
        cargo.arg("--locked");
    }
    cargo.args(args);
    cargo
}

fn all(plan: &Plan, command: &str, args: &[&str]) -> Command {
    cargo(plan, command, &[&ALL[..], args].concat())
}

const ALL: [&str; 2] = ["--workspace", "--all-features"];

fn setup_stage(_plan: &Plan, runner: &mut Runner) -> Result<Verdict> {
    let missing = setup::install_missing(|command| runner.run(command))?;
    let Some(text) = setup::say_missing(&missing) else {
        return Ok(Verdict::Done);
    };
    // Without protoc nothing builds; without the others some tests cannot run,
    // and say so themselves.
    if Root::is_ci() || missing.contains(&"protobuf-compiler") {
        Err(Error::Failed(text))
    } else {
        Ok(Verdict::Skipped(text))
    }
}

fn fmt(plan: &Plan, runner: &mut Runner) -> Result<Verdict> {
    for workspace in ["Cargo.toml", FUZZ] {
        let mut fmt = process::cargo(&plan.root.dir);
        fmt.args(["fmt", "--all", "--check", "--manifest-path", workspace]);
        runner.run(fmt.args(["--", "--color", "never"]))?;
    }
    Ok(Verdict::Done)
}

fn tidy_stage(plan: &Plan, runner: &mut Runner) -> Result<Verdict> {
    for (rule, findings) in tidy::check(&plan.root)? {
        runner.write(&format!(
            "{rule}: {}",
            if findings.is_empty() { "ok" } else { "BROKEN" }
        ))?;
        for finding in &findings {
            runner.write(&format!("  {finding}"))?;
        }
        if findings.is_empty() {
            runner.counts.passed += 1;
        } else {
            runner.counts.failed += 1;
        }
    }
    match runner.counts.failed {
        0 => Ok(Verdict::Done),
        broken => Err(Error::Failed(format!("{broken} rules are broken"))),
    }
}

fn clippy(plan: &Plan, runner: &mut Runner) -> Result<Verdict> {
    runner.run(all(plan, "clippy", &["--all-targets"]).args(["--", "-D", "warnings"]))?;
    // They would rot unseen, for only a person starts them.
    let mut fuzz = cargo(plan, "clippy", &["--manifest-path", FUZZ, "--target-dir"]);
    runner.run(fuzz.arg(&plan.root.target).args(["--", "-D", "warnings"]))?;
    Ok(Verdict::Done)
}

fn slim(plan: &Plan, runner: &mut Runner) -> Result<Verdict> {
    let graph = Graph::load(&plan.root)?;
    for library in graph
        .published()
        .filter(|package| package.of_kind("lib").next().is_some())
    {
        let none = ["-p", &library.name, "--no-default-features"];
        runner.run(cargo(plan, "clippy", &none).args(["--", "-D", "warnings"]))?;
        for feature in library
            .features
            .iter()
            .filter(|feature| *feature != "default")
        {
            let one = [&none[..], &["--features", feature]].concat();
            runner.run(cargo(plan, "clippy", &one).args(["--", "-D", "warnings"]))?;
        }
    }
    Ok(Verdict::Done)
}

fn docs(plan: &Plan, runner: &mut Runner) -> Result<Verdict> {
    runner.run(all(plan, "doc", &["--no-deps"]).env("RUSTDOCFLAGS", "-D warnings"))?;
    Ok(Verdict::Done)
}

fn build(plan: &Plan, runner: &mut Runner) -> Result<Verdict> {
    // All targets at once: programs, which tests of other packages start, would
    // alone be built with other features of their dependencies.
    runner.run(&mut all(plan, "build", &["--all-targets"]))?;
    Ok(Verdict::Done)
}

fn unit(plan: &Plan, runner: &mut Runner) -> Result<Verdict> {
    let graph = Graph::load(&plan.root)?;
    let mut targets = vec!["--lib", "--bins"];
    let others = |name: &str| name != TESTKIT && name != EXAMPLES;
    for name in test_targets(&graph, others)? {
        targets.extend(["--test", name]);
    }
    runner.run(&mut test(plan, &targets))?;
    Ok(Verdict::Done)
}

fn doctest(plan: &Plan, runner: &mut Runner) -> Result<Verdict> {
    runner.run(&mut test(plan, &["--doc"]))?;
    Ok(Verdict::Done)
}

fn integration(plan: &Plan, runner: &mut Runner) -> Result<Verdict> {
    with_containerd(plan, runner, TESTKIT)
}

fn examples(plan: &Plan, runner: &mut Runner) -> Result<Verdict> {
    with_containerd(plan, runner, EXAMPLES)
}

fn with_containerd(plan: &Plan, runner: &mut Runner, package: &str) -> Result<Verdict> {
    let graph = Graph::load(&plan.root)?;
    let targets = test_targets(&graph, |name| name == package)?;
    if targets.is_empty() {
        return Err(Error::Failed(format!("{package} has no tests")));
    }
    let mut versions = Vec::new();
    for version in &plan.versions {
        runner.write(&format!("containerd {version}"))?;
        match containerd::ensure(&plan.root, version) {
            Ok(()) => versions.push(version.as_str()),
            Err(error) if Root::is_ci() => return Err(error),
            Err(error) => {
                runner.counts.skipped += 1;
                let why = error.text().unwrap_or("it cannot be installed");
                runner
                    .notes
                    .push(format!("SKIPPED all on containerd {version}: {why}"));
            }
        }
    }
    let args: Vec<&str> = targets.iter().flat_map(|name| ["--test", name]).collect();
    let mut tests = test(plan, &args);
    tests.env("PULLTRACE_CONTAINERD", versions.join(","));
    tests.env("PULLTRACE_CACHE", &plan.root.cache);
    runner.run_and_look_behind(&mut tests)?;
    Ok(Verdict::Done)
}

fn test(plan: &Plan, targets: &[&str]) -> Command {
    let mut test = all(plan, "test", &[&["--no-fail-fast"], targets].concat());
    test.env(SKIPPED, &plan.skipped_file);
    test
}

/// The integration tests of the packages. `cargo test --test NAME` takes it
/// from every package that has one, so a name may only be used once.
fn test_targets(graph: &Graph, of: impl Fn(&str) -> bool) -> Result<Vec<&str>> {
    let (mine, others): (Vec<&Package>, Vec<&Package>) =
        graph.members.iter().partition(|member| of(&member.name));
    let mine = tests_of(mine);
    let others = tests_of(others);
    match mine.iter().find(|name| others.contains(name)) {
        Some(name) => Err(Error::Failed(format!(
            "two packages have a test called `{name}`, and one of them needs containerd"
        ))),
        None => Ok(mine),
    }
}

fn tests_of(members: Vec<&Package>) -> Vec<&str> {
    members
        .into_iter()
        .flat_map(|member| member.of_kind("test"))
        .collect()
}

fn package(plan: &Plan, runner: &mut Runner) -> Result<Verdict> {
    let graph = Graph::load(&plan.root)?;
    let mut command = cargo(plan, "package", &[]);
    for package in graph.published() {
        command.args(["-p", &package.name]);
    }
    if !Root::is_ci() {
        // Somebody who is at work has files that are not committed yet.
        command.arg("--allow-dirty");
    }
    runner.run(&mut command)?;
    Ok(Verdict::Done)
}

fn deny(plan: &Plan, runner: &mut Runner) -> Result<Verdict> {
    if !process::found("cargo-deny") {
        return Ok(Verdict::Skipped(
            "cargo-deny is not installed (`cargo install --locked cargo-deny`); its rules on \
             licences, sources and banned crates were checked by the stage tidy"
                .to_owned(),
        ));
    }
    // Advisories need a clone of their database, which a release job fetches.
    let mut deny = process::cargo(&plan.root.dir);
    runner.run(deny.args([
        "deny",
        "--all-features",
        "check",
        "bans",
        "licenses",
        "sources",
    ]))?;
    Ok(Verdict::Done)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::graph::Target;

    fn member(name: &str, tests: &[&str]) -> Package {
        let target = |name: &&str| Target {
            name: (*name).to_owned(),
            kind: "test".to_owned(),
        };
        Package {
            name: name.to_owned(),
            targets: tests.iter().map(target).collect(),
            ..Package::default()
        }
    }

    #[test]
    fn tests_are_told_apart_by_name_so_no_two_packages_may_share_one() {
        let mut graph = Graph {
            members: vec![member("a", &["x"]), member(TESTKIT, &["it"])],
            foreign: vec![],
        };
        assert_eq!(
            test_targets(&graph, |name| name == TESTKIT).unwrap(),
            ["it"]
        );
        graph.members.push(member("b", &["it"]));
        assert!(test_targets(&graph, |name| name == TESTKIT).is_err());
    }
}
