//! What each stage of `cargo xtask test` does, in the order in which they run:
//! the cheap ones that fail most often come first.

use std::fs;
use std::process::Command;

use super::programs::{self, TestProgram};
use super::runner::Runner;
use super::{Plan, SKIPPED};
use crate::containerd;
use crate::error::{Context as _, Error, Result};
use crate::graph::Graph;
use crate::process;
use crate::root::Root;
use crate::setup;
use crate::tidy;
use crate::web;

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

pub(crate) const KUBERNETES: &str = "kubernetes";

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
        "protoc, make, containerd, runc, chromium and curl are installed",
        5,
        setup_stage,
    ),
    stage(
        "containerd",
        "the newer versions of containerd are built",
        10,
        containerd_stage,
    ),
    stage("fmt", "the formatting is rustfmt's", 2, fmt),
    stage("tidy", "the rules that no compiler checks", 5, tidy_stage),
    stage(
        "web",
        "the page: lints, types, build, tests, size",
        10,
        page,
    ),
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
        KUBERNETES,
        "the API server is built: begun at the start, by Go",
        15,
        kubernetes_stage,
    ),
    stage(
        "integration",
        "scenarios on real containerd, and on a real API server",
        25,
        integration,
    ),
    stage(
        "browser",
        "the page in chromium, over a server of the tests",
        10,
        browser,
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
    let missing = setup::install_missing(setup::Purpose::Test, |command| runner.run(command))?;
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

fn containerd_stage(plan: &Plan, runner: &mut Runner) -> Result<Verdict> {
    for version in &plan.versions {
        match containerd::ensure(&plan.root, version, &mut |command| runner.run(command)) {
            Ok(()) => {}
            // Each test that wants it says so, and counts as skipped.
            Err(error) if !Root::is_ci() && !process::found("go") => {
                let why = error.text().unwrap_or("it cannot be built");
                return Ok(Verdict::Skipped(why.to_owned()));
            }
            Err(error) => return Err(error),
        }
    }
    Ok(Verdict::Done)
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

/// The server embeds what is built here, so it comes before all that compiles.
fn page(plan: &Plan, runner: &mut Runner) -> Result<Verdict> {
    let mut run = |command: &mut Command| runner.run(command);
    web::build(&plan.root, &mut run)?;
    for script in ["lint", "test", "size"] {
        run(&mut web::npm(&plan.root, &["run", script]))?;
    }
    Ok(Verdict::Done)
}

fn browser(plan: &Plan, runner: &mut Runner) -> Result<Verdict> {
    if !process::found("chromium") {
        let why = "chromium is not on PATH (on Debian: apt-get install chromium)".to_owned();
        return if Root::is_ci() {
            Err(Error::Failed(why))
        } else {
            Ok(Verdict::Skipped(why))
        };
    }
    runner.run_and_look_behind(&mut web::npm(&plan.root, &["run", "e2e"]))?;
    Ok(Verdict::Done)
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
    let others = |test: &TestProgram| {
        test.kind != "test" || (test.package != TESTKIT && test.package != EXAMPLES)
    };
    run_tests(plan, runner, others)
}

fn doctest(plan: &Plan, runner: &mut Runner) -> Result<Verdict> {
    let mut test = all(plan, "test", &["--no-fail-fast", "--doc"]);
    runner.run(test.env(SKIPPED, &plan.skipped_file))?;
    Ok(Verdict::Done)
}

fn integration(plan: &Plan, runner: &mut Runner) -> Result<Verdict> {
    run_tests(plan, runner, |test| {
        test.kind == "test" && test.package == TESTKIT
    })
}

fn kubernetes_stage(plan: &Plan, runner: &mut Runner) -> Result<Verdict> {
    if let Some(build) = plan.kubernetes.take() {
        let program = build?.finish()?;
        runner.write(&format!("{}", program.display()))?;
    }
    Ok(Verdict::Done)
}

fn examples(plan: &Plan, runner: &mut Runner) -> Result<Verdict> {
    run_tests(plan, runner, |test| {
        test.kind == "test" && test.package == EXAMPLES
    })
}

/// Runs each of the chosen programs of tests, also after one has failed.
fn run_tests(
    plan: &Plan,
    runner: &mut Runner,
    chosen: impl Fn(&TestProgram) -> bool,
) -> Result<Verdict> {
    runner.run(&mut all(plan, "test", &["--no-run"]))?;
    let list = ["--no-run", "--message-format", "json-render-diagnostics"];
    let json = process::output(&mut all(plan, "test", &list))?;
    let programs = programs::parse(&json, &Graph::load(&plan.root)?);
    let mut failed = Vec::new();
    let mut ran = false;
    for program in programs.iter().filter(|program| chosen(program)) {
        ran = true;
        let mut test = program.command();
        test.env("PULLTRACE_CONTAINERD", plan.versions.join(","))
            .env("PULLTRACE_CACHE", &plan.root.cache)
            .env(SKIPPED, &plan.skipped_file);
        if let Err(error) = runner.run_and_look_behind(&mut test) {
            runner.write(error.text().unwrap_or("it failed"))?;
            failed.push(format!("{} of {}", program.target, program.package));
        }
    }
    match (ran, failed.is_empty()) {
        (true, true) => Ok(Verdict::Done),
        (true, false) => Err(Error::Failed(format!("failed: {}", failed.join(", ")))),
        (false, _) => Err(Error::Failed("there is no such test".to_owned())),
    }
}

fn package(plan: &Plan, runner: &mut Runner) -> Result<Verdict> {
    let graph = Graph::load(&plan.root)?;
    // Cargo takes a package of a registry never to change, also of the registry
    // that it makes here for packages which need each other: at the path of an
    // earlier run it would unpack and build nothing, and verify old code.
    let dir = plan
        .root
        .target
        .join(format!("xtask/package-{}", std::process::id()));
    let mut command = cargo(plan, "package", &["--target-dir"]);
    command.arg(&dir);
    for package in graph.published() {
        command.args(["-p", &package.name]);
    }
    if !Root::is_ci() {
        // Somebody who is at work has files that are not committed yet.
        command.arg("--allow-dirty");
    }
    let result = runner.run(&mut command);
    if dir.exists() {
        fs::remove_dir_all(&dir).context(|| format!("remove {}", dir.display()))?;
    }
    result?;
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
