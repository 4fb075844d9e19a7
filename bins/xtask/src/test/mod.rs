//! `cargo xtask test [STAGE…]`: runs the stages of CI and prints a table of them. The last line has
//! the number of tests.
//!
//! This module orders the stages and reports on them. [`stages`] defines each stage, and [`runner`]
//! runs its commands.

mod count;
mod leftovers;
mod plan;
mod programs;
mod runner;
mod skips;
mod stages;

use std::cell::RefCell;
use std::fs;
use std::time::Duration;

use clap::builder::{PossibleValue, PossibleValuesParser};

use crate::clock::{self, Stopwatch};
use crate::containerd;
use crate::error::{Context as _, Error, Result};
use crate::kubernetes::{self, Program};
use crate::root::Root;
use count::Counts;
use plan::Plan;
use runner::Runner;
use skips::Missing;
use stages::{CONTAINERD, KUBERNETES, Outcome, STAGES, Stage};

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Status {
    Passed,
    Failed,
    Skipped,
    /// Not run, because a stage that it needs failed.
    Blocked,
}

impl Status {
    fn label(self) -> &'static str {
        match self {
            Status::Passed => "ok",
            Status::Failed => "FAILED",
            Status::Skipped => "SKIPPED",
            Status::Blocked => "BLOCKED",
        }
    }
}

#[derive(Debug)]
struct Report {
    stage: &'static str,
    status: Status,
    duration: Duration,
    counts: Counts,
}

pub(crate) const DETAILS: &str = "\
The stages run in the order in which they are listed. A stage may take as long as it needs. A
command is ended after 5 minutes without output and without processor time. The output of a stage
is in target/xtask/STAGE.log. The builds of containerd and of the API server start at once, in the
background, if they are not cached.

With CI=true, missing prerequisites are failures, and nothing is skipped.";

#[derive(Debug, clap::Args)]
pub(crate) struct Args {
    /// Only these stages
    #[arg(value_name = "STAGE", value_parser = stage_names())]
    stages: Vec<String>,
}

fn stage_names() -> PossibleValuesParser {
    let name = |stage: &Stage| PossibleValue::new(stage.name).help(stage.summary);
    STAGES.iter().map(name).collect::<Vec<_>>().into()
}

pub(crate) fn run(root: &Root, args: &Args) -> Result<()> {
    run_stages(root, &select(&args.stages), &containerd::TEST_VERSIONS.map(str::to_owned))
}

/// Runs the scenarios on these versions of containerd.
pub(crate) fn run_scenarios(root: &Root, versions: &[String]) -> Result<()> {
    let names = ["setup", CONTAINERD, KUBERNETES, "integration"].map(str::to_owned);
    run_stages(root, &select(&names), versions)
}

/// Returns the named stages, or all, in the order in which they run.
fn select(names: &[String]) -> Vec<&'static Stage> {
    let selected = |stage: &&Stage| names.is_empty() || names.iter().any(|name| name == stage.name);
    STAGES.iter().filter(selected).collect()
}

fn run_stages(root: &Root, stages: &[&'static Stage], versions: &[String]) -> Result<()> {
    let logs = root.target.join("xtask");
    fs::create_dir_all(&logs).context(|| format!("create {}", logs.display()))?;
    let skipped_file = logs.join("skipped");
    fs::write(&skipped_file, "").context(|| format!("clear {}", skipped_file.display()))?;
    let is_selected = |name: &str| stages.iter().any(|stage| stage.name == name);
    let containerd = is_selected(CONTAINERD).then(|| containerd::start(root, versions));
    let kubernetes = is_selected(KUBERNETES).then(|| kubernetes::start(root, Program::Apiserver));
    let plan = Plan {
        root: root.clone(),
        versions: versions.to_vec(),
        skipped_file,
        containerd: RefCell::new(containerd),
        kubernetes: RefCell::new(kubernetes),
    };

    let watch = Stopwatch::start();
    let mut reports: Vec<Report> = Vec::new();
    let mut missing: Vec<(&str, Missing)> = Vec::new();
    let mut notes = Vec::new();
    for (index, stage) in stages.iter().enumerate() {
        let (number, name) = (index + 1, stage.name);
        println!("[{number}/{}] {name}: {}", stages.len(), stage.summary);
        let mut runner = Runner::new(name, &logs)?;
        let blockers = blockers(stage, &reports, Root::is_ci());
        let outcome = if blockers.is_empty() {
            (stage.run)(&plan, &mut runner)
        } else {
            Ok(Outcome::Blocked(blockers.join(", ")))
        };
        let report = report(stage, &mut runner, &outcome);
        println!("{}", finished_line(&report, &outcome, &runner));
        match outcome {
            Ok(Outcome::Done) => {}
            Ok(Outcome::Skipped(list)) => missing.extend(list.into_iter().map(|m| (name, m))),
            Ok(Outcome::Blocked(blockers)) => {
                notes.push(format!("BLOCKED {name}: {blockers} failed"))
            }
            Err(_) if runner.failed_tests.is_empty() => {}
            Err(_) => {
                let tests = runner.failed_tests.join(", ");
                notes.push(format!("{name}: failed: {tests}"));
            }
        }
        let runner_notes = runner.notes.drain(..);
        notes.extend(runner_notes.map(|note| format!("{name}: {note}")));
        reports.push(report);
    }

    let skipped_file = plan.skipped_file.display();
    let skipped =
        fs::read_to_string(&plan.skipped_file).context(|| format!("read {skipped_file}"))?;
    let skipped_tests = skipped.lines().filter(|line| !line.trim().is_empty());
    let skipped_tests = skipped_tests.count() as u64;
    notes.extend(skips::summarize(&missing, &skipped));
    if skipped_tests > 0 {
        notes.push(format!("the skipped tests are listed in {skipped_file}"));
    }
    let mut total = Counts::default();
    reports.iter().for_each(|report| total += report.counts);
    total.passed_to_skipped(skipped_tests);

    print_table(&reports, watch.elapsed());
    notes.iter().for_each(|note| println!("{note}"));
    let ci_skips = Root::is_ci() && skipped_tests > 0;
    if ci_skips {
        println!("tests were skipped, which is a failure with CI=true");
    }
    let failed = ci_skips || reports.iter().any(|report| report.status == Status::Failed);
    // The last line of the output: callers parse it.
    println!("{total}");
    if failed { Err(Error::Exit(1)) } else { Ok(()) }
}

/// Returns the failed stages that keep this one from running. Only in CI: elsewhere the tests that
/// lack something skip themselves, and the others run.
fn blockers(stage: &Stage, reports: &[Report], is_ci: bool) -> Vec<&'static str> {
    let has_failed = |report: &&Report| matches!(report.status, Status::Failed | Status::Blocked);
    let failed = reports.iter().filter(has_failed).map(|report| report.stage);
    failed.filter(|name| is_ci && stage.needs.contains(name)).collect()
}

/// A stage without tests counts as one test.
fn report(stage: &Stage, runner: &mut Runner, outcome: &Result<Outcome>) -> Report {
    let mut counts = runner.counts;
    let status = match outcome {
        Ok(Outcome::Done) => {
            if counts.is_empty() {
                counts.passed = 1;
            }
            Status::Passed
        }
        Ok(Outcome::Skipped(_)) => {
            counts.skipped += 1;
            Status::Skipped
        }
        Ok(Outcome::Blocked(_)) => {
            counts.skipped += 1;
            Status::Blocked
        }
        Err(_) => {
            counts.failed = counts.failed.max(1);
            Status::Failed
        }
    };
    Report { stage: stage.name, status, duration: runner.elapsed(), counts }
}

fn finished_line(report: &Report, outcome: &Result<Outcome>, runner: &Runner) -> String {
    let (stage, label) = (report.stage, report.status.label());
    let duration = clock::format(report.duration);
    match outcome {
        Ok(Outcome::Blocked(blockers)) => format!("  {stage} {label} by {blockers}"),
        Ok(_) => format!("  {stage} {label} in {duration}"),
        Err(error) => {
            let text = error.text().unwrap_or("unknown error");
            let line = format!("  {stage} {label} after {duration}: {text}");
            match runner.tail() {
                tail if tail.is_empty() => line,
                tail => format!("--- end of {}\n{tail}\n---\n{line}", runner.log_path.display()),
            }
        }
    }
}

fn print_table(reports: &[Report], total: Duration) {
    println!("\n{:12}  {:8} {:>12}  tests", "stage", "result", "time");
    for report in reports {
        println!(
            "{:12}  {:8} {:>12}  {}",
            report.stage,
            report.status.label(),
            clock::format(report.duration),
            report.counts
        );
    }
    println!("{:12}  {:8} {:>12}\n", "total", "", clock::format(total));
}

#[cfg(test)]
mod tests {
    use super::*;

    fn names(args: &[&str]) -> Vec<&'static str> {
        let args: Vec<String> = args.iter().map(|arg| (*arg).to_owned()).collect();
        select(&args).iter().map(|stage| stage.name).collect()
    }

    fn stage(name: &str) -> &'static Stage {
        STAGES.iter().find(|stage| stage.name == name).unwrap()
    }

    fn finished(stage: &'static str, status: Status) -> Report {
        Report { stage, status, duration: Duration::ZERO, counts: Counts::default() }
    }

    #[test]
    fn stages_run_in_their_order() {
        assert_eq!(names(&["unit", "fmt"]), ["fmt", "unit"]);
        assert_eq!(names(&[]).len(), STAGES.len());
    }

    #[test]
    fn stage_runs_after_those_it_needs() {
        for (index, stage) in STAGES.iter().enumerate() {
            let earlier = &STAGES[..index];
            for needed in stage.needs {
                let is_earlier = earlier.iter().any(|stage| stage.name == *needed);
                assert!(is_earlier, "{} needs {needed}", stage.name);
            }
        }
    }

    #[test]
    fn failed_prerequisite_blocks_stage_in_ci() {
        let integration = stage("integration");
        let failed = [
            finished("fmt", Status::Failed),
            finished(CONTAINERD, Status::Failed),
            finished(KUBERNETES, Status::Passed),
        ];
        assert_eq!(blockers(integration, &failed, true), [CONTAINERD]);
        assert!(blockers(integration, &failed, false).is_empty());
        assert!(blockers(stage("clippy"), &failed, true).is_empty());
        let skipped = [finished(CONTAINERD, Status::Skipped)];
        assert!(blockers(integration, &skipped, true).is_empty());

        let dir = std::env::temp_dir().join(format!("xtask-blocked-{}", std::process::id()));
        let mut runner = Runner::new("blocked", &dir).unwrap();
        let outcome = Ok(Outcome::Blocked(CONTAINERD.to_owned()));
        let report = report(integration, &mut runner, &outcome);
        assert_eq!((report.counts.skipped, report.counts.failed), (1, 0));
        let line = finished_line(&report, &outcome, &runner);
        assert_eq!(line, "  integration BLOCKED by containerd");
        fs::remove_dir_all(&dir).unwrap();
    }

    #[test]
    fn stage_without_tests_counts_as_one() {
        let dir = std::env::temp_dir().join(format!("xtask-report-{}", std::process::id()));
        let reported = |found: Counts, outcome: Result<Outcome>| {
            let mut runner = Runner::new("report", &dir).unwrap();
            runner.counts = found;
            report(&STAGES[0], &mut runner, &outcome).counts
        };
        let counts = |passed, failed, skipped| Counts { passed, failed, skipped };
        let skipped = Ok(Outcome::Skipped(Vec::new()));
        let failed = || Err(Error::Exit(1));
        let none = counts(0, 0, 0);
        assert_eq!(reported(none, Ok(Outcome::Done)), counts(1, 0, 0));
        let some = counts(7, 0, 2);
        assert_eq!(reported(some, Ok(Outcome::Done)), some);
        assert_eq!(reported(none, skipped), counts(0, 0, 1));
        assert_eq!(reported(counts(7, 0, 0), failed()), counts(7, 1, 0));
        assert_eq!(reported(counts(7, 3, 0), failed()), counts(7, 3, 0));
        fs::remove_dir_all(&dir).unwrap();
    }
}
