//! The stages of `cargo xtask test`, in the order in which they run. Cheap stages that fail often
//! run first.

use std::fs;
use std::process::Command;
use std::thread;

use cargo_metadata::TargetKind;

use super::plan::{Plan, SKIPPED_VARIABLE};
use super::programs::{self, TestProgram};
use super::runner::Runner;
use super::skips::Missing;
use crate::containerd;
use crate::error::{Context as _, Error, Result};
use crate::graph::{self, Graph};
use crate::process;
use crate::root::Root;
use crate::setup;
use crate::tidy;
use crate::web;

#[derive(Debug)]
pub(crate) struct Stage {
    pub(crate) name: &'static str,
    pub(crate) summary: &'static str,
    /// Earlier stages whose failure makes this one pointless.
    pub(crate) needs: &'static [&'static str],
    pub(crate) run: fn(&Plan, &mut Runner) -> Result<Outcome>,
}

#[derive(Debug)]
pub(crate) enum Outcome {
    Done,
    /// These are missing on this machine.
    Skipped(Vec<Missing>),
    /// Not run, because these stages failed.
    Blocked(String),
}

/// The package whose tests need a real containerd.
const TESTKIT: &str = "pulltrace-testkit";
const EXAMPLES: &str = "examples";

pub(crate) const CONTAINERD: &str = "containerd";
pub(crate) const KUBERNETES: &str = "kubernetes";
const SETUP: &str = "setup";
const BUILD: &str = "build";

/// A separate workspace, because fuzzing needs other compiler flags.
const FUZZ: &str = "fuzz/Cargo.toml";

const fn stage(
    name: &'static str,
    summary: &'static str,
    needs: &'static [&'static str],
    run: fn(&Plan, &mut Runner) -> Result<Outcome>,
) -> Stage {
    Stage { name, summary, needs, run }
}

pub(crate) const STAGES: &[Stage] = &[
    stage(SETUP, "required packages are installed", &[], setup_stage),
    stage("fmt", "rustfmt", &[], fmt),
    stage("tidy", "rules of this repository", &[], tidy_stage),
    stage("web", "the page: lint, type check, build, tests, size", &[], page),
    stage("clippy", "no warnings from clippy and rustc", &[], clippy),
    stage("slim", "libraries build with each single feature and with none", &[], slim),
    stage("docs", "documentation builds without warnings", &[], docs),
    stage(BUILD, "programs and tests compile", &[], build),
    stage("unit", "tests that need no containerd", &[BUILD], unit),
    stage("doctest", "code in the documentation", &[BUILD], doctest),
    stage(CONTAINERD, "wait for the builds of containerd", &[], containerd_stage),
    stage(KUBERNETES, "wait for the build of the API server", &[], kubernetes_stage),
    stage(
        "integration",
        "scenarios on real containerd and a real API server",
        &[SETUP, BUILD, CONTAINERD, KUBERNETES],
        integration,
    ),
    stage("browser", "the page in Chromium", &[SETUP], browser),
    stage("examples", "tests of the example programs", &[SETUP, BUILD, CONTAINERD], examples),
    stage("package", "published crates build from their packages", &[], package),
    stage("deny", "cargo-deny", &[], deny),
];

/// All stages select the whole workspace with all features and narrow it by target: with another
/// selection, Cargo would unify features differently and rebuild everything.
fn cargo(plan: &Plan, command: &str, args: &[&str]) -> Command {
    let mut cargo = process::cargo(&plan.root.dir);
    cargo.arg(command).env("CARGO_TERM_COLOR", "never").env("CARGO_TERM_PROGRESS_WHEN", "never");
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

fn setup_stage(_plan: &Plan, runner: &mut Runner) -> Result<Outcome> {
    let missing = setup::install_missing(setup::Purpose::Test, |command| runner.run(command))?;
    let Some(text) = setup::missing_text(&missing) else {
        return Ok(Outcome::Done);
    };
    let no_compiler = missing.iter().any(|m| m.package == setup::COMPILER);
    if Root::is_ci() || no_compiler {
        return Err(Error::Missing(text));
    }
    let skipped = missing.iter().map(|missing| Missing {
        name: missing.name.to_owned(),
        text: format!("{} is missing: apt-get install {}", missing.name, missing.package),
    });
    Ok(Outcome::Skipped(skipped.collect()))
}

fn containerd_stage(plan: &Plan, runner: &mut Runner) -> Result<Outcome> {
    let Some(build) = plan.containerd.take() else {
        return Ok(Outcome::Done);
    };
    match build.and_then(|build| runner.wait_for(build)) {
        Ok(paths) => {
            for path in paths {
                runner.write(&path.display().to_string())?;
            }
            Ok(Outcome::Done)
        }
        // The tests that need these versions skip themselves.
        Err(Error::Missing(text)) if !Root::is_ci() => {
            let versions = containerd::missing_versions(&plan.root, &plan.versions);
            let skipped = versions.iter().map(|version| Missing {
                name: format!("containerd {version}"),
                text: text.clone(),
            });
            Ok(Outcome::Skipped(skipped.collect()))
        }
        Err(error) => Err(error),
    }
}

/// Fails without Go also outside of CI, unlike the stage `containerd`.
fn kubernetes_stage(plan: &Plan, runner: &mut Runner) -> Result<Outcome> {
    if let Some(build) = plan.kubernetes.take() {
        for path in runner.wait_for(build?)? {
            runner.write(&path.display().to_string())?;
        }
    }
    Ok(Outcome::Done)
}

fn fmt(plan: &Plan, runner: &mut Runner) -> Result<Outcome> {
    for workspace in ["Cargo.toml", FUZZ] {
        let mut fmt = process::cargo(&plan.root.dir);
        fmt.args(["fmt", "--all", "--check", "--manifest-path", workspace]);
        runner.run(fmt.args(["--", "--color", "never"]))?;
    }
    Ok(Outcome::Done)
}

fn tidy_stage(plan: &Plan, runner: &mut Runner) -> Result<Outcome> {
    for (rule, findings) in tidy::check(&plan.root)? {
        runner
            .write(&format!("{rule}: {}", if findings.is_empty() { "ok" } else { "VIOLATED" }))?;
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
        0 => Ok(Outcome::Done),
        count => Err(Error::Failed(format!("{count} rules are violated"))),
    }
}

/// Runs before the stages that compile: the server embeds the built page.
fn page(plan: &Plan, runner: &mut Runner) -> Result<Outcome> {
    let mut run = |command: &mut Command| runner.run(command);
    web::build(&plan.root, &mut run)?;
    for script in ["lint", "test", "size"] {
        run(&mut web::npm(&plan.root, &["run", script]))?;
    }
    Ok(Outcome::Done)
}

fn browser(plan: &Plan, runner: &mut Runner) -> Result<Outcome> {
    if !process::found("chromium") {
        let text = "chromium is not on PATH (on Debian: apt-get install chromium)".to_owned();
        if Root::is_ci() {
            return Err(Error::Missing(text));
        }
        let name = "chromium".to_owned();
        return Ok(Outcome::Skipped(vec![Missing { name, text }]));
    }
    runner.run_tests(&mut web::npm(&plan.root, &["run", "e2e"]))?;
    Ok(Outcome::Done)
}

fn clippy(plan: &Plan, runner: &mut Runner) -> Result<Outcome> {
    runner.run(all(plan, "clippy", &["--all-targets"]).args(["--", "-D", "warnings"]))?;
    // No other stage compiles the fuzz targets.
    let mut fuzz = cargo(plan, "clippy", &["--manifest-path", FUZZ, "--target-dir"]);
    runner.run(fuzz.arg(&plan.root.target).args(["--", "-D", "warnings"]))?;
    Ok(Outcome::Done)
}

fn slim(plan: &Plan, runner: &mut Runner) -> Result<Outcome> {
    let graph = Graph::load(&plan.root)?;
    for library in graph
        .published()
        .filter(|package| graph::targets(package, &TargetKind::Lib).next().is_some())
    {
        let none = ["-p", &library.name, "--no-default-features"];
        runner.run(cargo(plan, "clippy", &none).args(["--", "-D", "warnings"]))?;
        for feature in library.features.keys().filter(|feature| *feature != "default") {
            let one = [&none[..], &["--features", feature]].concat();
            runner.run(cargo(plan, "clippy", &one).args(["--", "-D", "warnings"]))?;
        }
    }
    Ok(Outcome::Done)
}

fn docs(plan: &Plan, runner: &mut Runner) -> Result<Outcome> {
    runner.run(all(plan, "doc", &["--no-deps"]).env("RUSTDOCFLAGS", "-D warnings"))?;
    Ok(Outcome::Done)
}

fn build(plan: &Plan, runner: &mut Runner) -> Result<Outcome> {
    // All targets in one call: tests start programs of other packages, which would otherwise be built
    // with other features of their dependencies.
    runner.run(&mut all(plan, "build", &["--all-targets"]))?;
    Ok(Outcome::Done)
}

fn unit(plan: &Plan, runner: &mut Runner) -> Result<Outcome> {
    let is_unit_test = |test: &TestProgram| {
        test.kind != TargetKind::Test || (test.package != TESTKIT && test.package != EXAMPLES)
    };
    run_programs(plan, runner, is_unit_test)
}

fn doctest(plan: &Plan, runner: &mut Runner) -> Result<Outcome> {
    let mut test = all(plan, "test", &["--no-fail-fast", "--doc"]);
    runner.run(test.env(SKIPPED_VARIABLE, &plan.skipped_file))?;
    Ok(Outcome::Done)
}

fn integration(plan: &Plan, runner: &mut Runner) -> Result<Outcome> {
    run_programs(plan, runner, |test| test.kind == TargetKind::Test && test.package == TESTKIT)
}

fn examples(plan: &Plan, runner: &mut Runner) -> Result<Outcome> {
    run_programs(plan, runner, |test| test.kind == TargetKind::Test && test.package == EXAMPLES)
}

/// Runs the selected test programs. A failure does not keep the others from running.
fn run_programs(
    plan: &Plan,
    runner: &mut Runner,
    is_selected: impl Fn(&TestProgram) -> bool,
) -> Result<Outcome> {
    runner.run(&mut all(plan, "test", &["--no-run"]))?;
    let list = ["--no-run", "--message-format", "json-render-diagnostics"];
    let json = process::output(&mut all(plan, "test", &list))?;
    let programs = programs::parse(&json, &Graph::load(&plan.root)?);
    let mut selected = programs.iter().filter(|program| is_selected(program)).peekable();
    if selected.peek().is_none() {
        return Err(Error::Failed("no test program found".to_owned()));
    }
    let mut failed = Vec::new();
    for program in selected {
        let mut test = program.command();
        test.env("PULLTRACE_CONTAINERD", plan.versions.join(","))
            .env("PULLTRACE_CACHE", &plan.root.cache)
            .env(SKIPPED_VARIABLE, &plan.skipped_file);
        // With a single thread, libtest runs tests on the main thread, whose name is not that of
        // the test: skip lines would lack it.
        if thread::available_parallelism().is_ok_and(|threads| threads.get() == 1) {
            test.env("RUST_TEST_THREADS", "2");
        }
        if let Err(error) = runner.run_tests(&mut test) {
            runner.write(error.text().unwrap_or("unknown error"))?;
            failed.push(format!("{} of {}", program.target, program.package));
        }
    }
    if failed.is_empty() {
        Ok(Outcome::Done)
    } else {
        Err(Error::Failed(format!("failed: {}", failed.join(", "))))
    }
}

fn package(plan: &Plan, runner: &mut Runner) -> Result<Outcome> {
    let graph = Graph::load(&plan.root)?;
    // Cargo assumes that packages of a registry never change, including those of the temporary
    // registry that it creates for packages that depend on each other. With the folder of an
    // earlier run it would verify old code.
    let dir = plan.root.target.join(format!("xtask/package-{}", std::process::id()));
    let mut command = cargo(plan, "package", &["--target-dir"]);
    command.arg(&dir);
    for package in graph.published() {
        command.args(["-p", &package.name]);
    }
    if !Root::is_ci() {
        // Work in progress may be uncommitted.
        command.arg("--allow-dirty");
    }
    let result = runner.run(&mut command);
    if dir.exists() {
        fs::remove_dir_all(&dir).context(|| format!("remove {}", dir.display()))?;
    }
    result?;
    Ok(Outcome::Done)
}

fn deny(plan: &Plan, runner: &mut Runner) -> Result<Outcome> {
    if !process::found("cargo-deny") {
        let name = "cargo-deny".to_owned();
        let text = "cargo-deny is not installed (`cargo install --locked cargo-deny`); the stage \
                    tidy has checked its rules on licences, sources and banned crates"
            .to_owned();
        return Ok(Outcome::Skipped(vec![Missing { name, text }]));
    }
    // Without advisories, which need a clone of their database.
    let mut deny = process::cargo(&plan.root.dir);
    runner.run(deny.args(["deny", "--all-features", "check", "bans", "licenses", "sources"]))?;
    Ok(Outcome::Done)
}
