//! `cargo xtask test [STAGE…]`: everything that CI runs, stage by stage, with a
//! table of what each took and, as the last line, how many tests there were.
//!
//! Here: the order, the report and the verdict. What a stage does is in
//! `stages`, how its commands are run in `runner`.

mod count;
mod leftovers;
mod programs;
mod runner;
mod stages;

use std::cell::RefCell;
use std::fs;
use std::path::PathBuf;
use std::time::Duration;

use crate::clock::{self, Stopwatch};
use crate::error::{Context as _, Error, Result};
use crate::kubernetes::{Build, Program};
use crate::root::Root;
use count::Counts;
use runner::Runner;
use stages::{STAGES, Stage, Verdict};

/// The versions of containerd that the tests run on, by default.
const VERSIONS: [&str; 2] = ["1.6", "2.4"];

/// A test that cannot have what it needs appends a line to the file that this
/// variable names, and ends as passed: libtest has no word for it.
const SKIPPED: &str = "PULLTRACE_SKIPPED";

/// What all stages of a run share.
#[derive(Debug)]
pub(crate) struct Plan {
    root: Root,
    versions: Vec<String>,
    skipped_file: PathBuf,
    /// Takes long, so it goes on beside the other stages until its own.
    kubernetes: RefCell<Option<Result<Build>>>,
}

#[derive(Debug)]
struct Report {
    stage: &'static str,
    word: &'static str,
    took: Duration,
    counts: Counts,
}

pub(crate) fn run(root: &Root, args: &[String]) -> Result<()> {
    run_stages(root, &chosen(args)?, &VERSIONS.map(str::to_owned))
}

/// The scenarios on these versions of containerd alone.
pub(crate) fn run_scenarios(root: &Root, versions: &[String]) -> Result<()> {
    let names = ["setup", "containerd", stages::KUBERNETES, "integration"].map(str::to_owned);
    run_stages(root, &chosen(&names)?, versions)
}

fn chosen(names: &[String]) -> Result<Vec<&'static Stage>> {
    if let Some(name) = names
        .iter()
        .find(|name| STAGES.iter().all(|stage| stage.name != **name))
    {
        let known: Vec<String> = STAGES
            .iter()
            .map(|stage| format!("  {:12}  {}", stage.name, stage.line))
            .collect();
        return Err(Error::Usage(format!(
            "there is no stage `{name}`; the stages are, in their order:\n\n{}",
            known.join("\n")
        )));
    }
    let wanted = |stage: &&Stage| names.is_empty() || names.iter().any(|name| name == stage.name);
    Ok(STAGES.iter().filter(wanted).collect())
}

fn run_stages(root: &Root, stages: &[&'static Stage], versions: &[String]) -> Result<()> {
    let logs = root.target.join("xtask");
    fs::create_dir_all(&logs).context(|| format!("create {}", logs.display()))?;
    let skipped_file = logs.join("skipped");
    fs::write(&skipped_file, "").context(|| format!("empty {}", skipped_file.display()))?;
    let wanted = stages.iter().any(|stage| stage.name == stages::KUBERNETES);
    let kubernetes = wanted.then(|| Build::start(root, Program::Apiserver));
    let plan = Plan {
        root: root.clone(),
        versions: versions.to_vec(),
        skipped_file,
        kubernetes: RefCell::new(kubernetes),
    };

    let watch = Stopwatch::start();
    let mut reports = Vec::new();
    let mut notes = Vec::new();
    for (index, stage) in stages.iter().enumerate() {
        println!(
            "[{}/{}] {}: {}",
            index + 1,
            stages.len(),
            stage.name,
            stage.line
        );
        let mut runner = Runner::new(stage.name, &logs, Duration::from_secs(60 * stage.minutes))?;
        let verdict = (stage.run)(&plan, &mut runner);
        let report = report(stage, &mut runner, &verdict);
        if let Err(error) = &verdict {
            let why = error.text().unwrap_or("it failed");
            println!(
                "--- the end of {}\n{}\n---",
                runner.log_path.display(),
                runner.tail()
            );
            println!(
                "  {} FAILED after {}: {why}",
                stage.name,
                clock::show(report.took)
            );
            if !runner.failed_tests.is_empty() {
                notes.push(format!(
                    "{}: failed: {}",
                    stage.name,
                    runner.failed_tests.join(", ")
                ));
            }
        } else {
            println!(
                "  {} {} in {}",
                stage.name,
                report.word,
                clock::show(report.took)
            );
        }
        if let Ok(Verdict::Skipped(why)) = &verdict {
            notes.push(format!("SKIPPED {}: {why}", stage.name));
        }
        notes.extend(
            runner
                .notes
                .drain(..)
                .map(|note| format!("{}: {note}", stage.name)),
        );
        reports.push(report);
    }

    let skipped = fs::read_to_string(&plan.skipped_file)
        .context(|| format!("read {}", plan.skipped_file.display()))?;
    let mut total = Counts::default();
    reports.iter().for_each(|report| total += report.counts);
    total.skip_passed(
        skipped
            .lines()
            .filter(|line| !line.trim().is_empty())
            .count() as u64,
    );
    notes.extend(skipped.lines().map(|line| format!("SKIPPED {line}")));

    print_table(&reports, watch.elapsed());
    notes.iter().for_each(|note| println!("{note}"));
    let ci_skips = Root::is_ci() && !skipped.trim().is_empty();
    if ci_skips {
        println!("tests were skipped, which CI=true forbids");
    }
    let failed = ci_skips || reports.iter().any(|report| report.word == FAILED);
    // Nothing may be printed after this line: it is what a caller reads.
    println!("{total}");
    if failed { Err(Error::Exit(1)) } else { Ok(()) }
}

const FAILED: &str = "FAILED";

/// A stage without tests counts as one test.
fn report(stage: &Stage, runner: &mut Runner, verdict: &Result<Verdict>) -> Report {
    let mut counts = runner.counts;
    let word = match verdict {
        Ok(Verdict::Done) => {
            if counts.is_empty() {
                counts.passed = 1;
            }
            "ok"
        }
        Ok(Verdict::Skipped(_)) => {
            counts.skipped += 1;
            "SKIPPED"
        }
        Err(_) => {
            if counts.failed == 0 {
                counts.failed = 1;
            }
            FAILED
        }
    };
    Report {
        stage: stage.name,
        word,
        took: runner.elapsed(),
        counts,
    }
}

fn print_table(reports: &[Report], took: Duration) {
    println!("\n{:12}  {:8} {:>12}  tests", "stage", "result", "time");
    for report in reports {
        println!(
            "{:12}  {:8} {:>12}  {}",
            report.stage,
            report.word,
            clock::show(report.took),
            report.counts
        );
    }
    println!("{:12}  {:8} {:>12}\n", "together", "", clock::show(took));
}

#[cfg(test)]
mod tests {
    use super::*;

    fn names(args: &[&str]) -> Vec<&'static str> {
        let args: Vec<String> = args.iter().map(|arg| (*arg).to_owned()).collect();
        chosen(&args)
            .unwrap()
            .iter()
            .map(|stage| stage.name)
            .collect()
    }

    #[test]
    fn stages_run_in_their_order_whatever_order_they_are_named_in() {
        assert_eq!(names(&["unit", "fmt"]), ["fmt", "unit"]);
        assert_eq!(names(&[]).len(), STAGES.len());
        let error = chosen(&["fnt".to_owned()]).unwrap_err();
        assert!(
            matches!(&error, Error::Usage(text) if text.contains("fnt") && text.contains("fmt"))
        );
    }

    #[test]
    fn a_stage_without_tests_is_one_and_a_failure_never_counts_as_none() {
        let dir = std::env::temp_dir().join(format!("xtask-report-{}", std::process::id()));
        let counts = |found: Counts, verdict: Result<Verdict>| {
            let mut runner = Runner::new("report", &dir, Duration::from_secs(1)).unwrap();
            runner.counts = found;
            report(&STAGES[0], &mut runner, &verdict).counts
        };
        let of = |passed, failed, skipped| Counts {
            passed,
            failed,
            skipped,
        };
        assert_eq!(counts(of(0, 0, 0), Ok(Verdict::Done)), of(1, 0, 0));
        assert_eq!(counts(of(7, 0, 2), Ok(Verdict::Done)), of(7, 0, 2));
        assert_eq!(
            counts(of(0, 0, 0), Ok(Verdict::Skipped(String::new()))),
            of(0, 0, 1)
        );
        assert_eq!(counts(of(7, 0, 0), Err(Error::Exit(1))), of(7, 1, 0));
        assert_eq!(counts(of(7, 3, 0), Err(Error::Exit(1))), of(7, 3, 0));
        fs::remove_dir_all(&dir).unwrap();
    }
}
