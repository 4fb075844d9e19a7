//! Random pulls with random registry faults against a private containerd. The collector must report
//! exactly the outcomes that the pulling clients received: no lost, invented or wrong pulls.
//!
//! `random --seed N [--pulls 1000] [--containerd 2.4]…`; `cargo xtask e2e --random N` runs it. The
//! pulls depend only on the seed. Exits with 1 on any difference.

mod collector;
mod compare;
mod plan;
mod rng;
mod runner;

use std::fs::File;
use std::process::ExitCode;
use std::time::Duration;

use pulltrace_testkit::containerd::{Containerd, Options};
use pulltrace_testkit::registry::Registry;
use pulltrace_testkit::{clock, need};

use collector::{Collector, Observed};
use compare::{Mismatches, compare};
use plan::Plan;
use runner::{ClientOutcome, Error, Runner};

const USAGE: &str = "usage: random --seed N [--pulls 1000] [--containerd 2.4]… [--plan]";

struct Args {
    seed: u64,
    pulls: usize,
    versions: Vec<String>,
    only_plan: bool,
}

fn main() -> ExitCode {
    let wanted = match parse(std::env::args().skip(1)) {
        Ok(wanted) => wanted,
        Err(error) => {
            log(&format!("{error}\n{USAGE}"));
            return ExitCode::from(2);
        }
    };
    let plan = plan::generate(wanted.seed, wanted.pulls);
    if wanted.only_plan {
        print_plan(&plan);
        return ExitCode::SUCCESS;
    }
    let mut all_equal = true;
    for version in &wanted.versions {
        match run(&plan, version) {
            Ok(equal) => all_equal &= equal,
            Err(error) => {
                log(&format!("seed {}, containerd {version}: {error}", plan.seed));
                all_equal = false;
            }
        }
    }
    ExitCode::from(u8::from(!all_equal))
}

fn parse(mut args: impl Iterator<Item = String>) -> Result<Args, String> {
    let mut seed = None;
    let mut pulls = 1_000;
    let mut versions = Vec::new();
    let mut only_plan = false;
    while let Some(flag) = args.next() {
        if flag == "--plan" {
            only_plan = true;
            continue;
        }
        let value = args.next().ok_or(format!("{flag} requires a value"))?;
        let number = || {
            value.parse::<u64>().map_err(|_| format!("invalid {flag} {value}: expected a number"))
        };
        match flag.as_str() {
            "--seed" => seed = Some(number()?),
            "--pulls" => pulls = usize::try_from(number()?).map_err(|error| error.to_string())?,
            "--containerd" => versions.push(value),
            _ => return Err(format!("unknown option {flag}")),
        }
    }
    if versions.is_empty() {
        let listed = std::env::var("PULLTRACE_CONTAINERD").unwrap_or_default();
        let listed = if listed.is_empty() { "1.6,2.4" } else { &listed };
        versions.extend(listed.split(',').map(|version| version.trim().to_owned()));
    }
    Ok(Args { seed: seed.ok_or("missing --seed")?, pulls: pulls.max(1), versions, only_plan })
}

/// Runs a plan. Returns whether the collector's reports match the clients' outcomes.
fn run(plan: &Plan, version: &str) -> Result<bool, Error> {
    let binary = need::containerd(version)?;
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    let path = std::env::temp_dir().join(format!("pulltrace-random-{}-{version}.jsonl", plan.seed));
    let recording = File::create(&path)?;
    let began = clock::now();
    let (outcomes, observed, mismatches) = runtime.block_on(async {
        let mut options = Options::in_memory();
        options.memory_mib = Some(6_144);
        let containerd = Containerd::start(&binary, &options).await?;
        let registry = Registry::start()?;
        let collector = Collector::start(&containerd.socket(), recording)?;
        run_waves(plan, version, &containerd, &registry, &collector).await
    })?;
    let equal = mismatches.is_empty()
        && observed.violation_count == 0
        && observed.anomalies.is_empty()
        && observed.stop_reason.is_none();
    let completed = outcomes.iter().filter(|told| told.completed).count();
    let unseen = outcomes.iter().filter(|told| !told.must_be_seen).count();
    log(&format!(
        "seed {}, containerd {version}: {} pulls ({completed} completed, {} failed, {unseen} too \
         short to be observed reliably), {} observed: {} lost, {} invented, {} wrong, {} misnamed, \
         {} of wrong size; {} invariant violations in {} batches; anomalies {:?}; {:.0} s",
        plan.seed,
        outcomes.len(),
        outcomes.len() - completed,
        observed.pulls.len(),
        mismatches.lost.len(),
        mismatches.invented.len(),
        mismatches.wrong.len(),
        mismatches.unnamed.len(),
        mismatches.sizes.len(),
        observed.violation_count,
        observed.batches,
        observed.anomalies,
        began.elapsed().as_secs_f64(),
    ));
    if equal {
        std::fs::remove_file(&path)?;
        return Ok(true);
    }
    log(&mismatches.to_string());
    for untrue in &observed.violations {
        log(untrue);
    }
    if let Some(why) = &observed.stop_reason {
        log(&format!("the collector stopped: {why}"));
    }
    log(&format!(
        "to reproduce: random --seed {} --pulls {} --containerd {version} (recording of the collector's inputs: {})",
        plan.seed,
        outcomes.len(),
        path.display()
    ));
    Ok(false)
}

async fn run_waves(
    plan: &Plan,
    version: &str,
    containerd: &Containerd,
    registry: &Registry,
    collector: &Collector,
) -> Result<(Vec<ClientOutcome>, Observed, Mismatches), Error> {
    const SOON: Duration = Duration::from_secs(10);
    collector.until("the collector polls", SOON, |seen| seen.batches > 1).await?;
    let mut runner = Runner::new(containerd, registry, collector, plan);
    let mut outcomes: Vec<ClientOutcome> = Vec::new();
    for (i, wave) in plan.waves.iter().enumerate() {
        outcomes.extend(runner.run_wave(wave).await?);
        log(&format!(
            "seed {}, containerd {version}: wave {} of {}: {} outcomes, {} observed ends",
            plan.seed,
            i + 1,
            plan.waves.len(),
            outcomes.len(),
            collector.observed().ended().len()
        ));
    }
    let totals = runner.totals();
    // A timeout is ignored: the comparison below shows the difference.
    drop(
        collector
            .until("the collector has observed all ends", SOON, |seen| {
                seen.live().next().is_none() && compare(&outcomes, seen, &totals).is_empty()
            })
            .await,
    );
    let observed = std::mem::take(&mut *collector.observed());
    let mismatches = compare(&outcomes, &observed, &totals);
    Ok((outcomes, observed, mismatches))
}

#[expect(clippy::print_stdout, reason = "the plan is the program's output")]
fn print_plan(plan: &Plan) {
    for (i, wave) in plan.waves.iter().enumerate() {
        println!("wave {}, {} concurrent", i + 1, wave.concurrency);
        for pull in &wave.pulls {
            println!("  {pull}: {:?}", plan.images[pull.image].layers);
        }
        if !wave.removed_images.is_empty() {
            println!("  then remove images {:?}", wave.removed_images);
        }
    }
}

#[expect(clippy::print_stderr, reason = "progress and results go to stderr")]
fn log(text: &str) {
    eprintln!("{text}");
}
