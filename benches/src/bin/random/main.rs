//! Random pulls with random registry faults against a private containerd. The collector must report
//! exactly the outcomes that the pulling clients received: no lost, invented or wrong pulls.
//!
//! `random --seed N [--pulls 1000] [--containerd 2.4]… [--plan]`; `cargo xtask e2e --random N` runs it. The
//! pulls depend only on the seed. Exits with 1 on any difference.

mod collector;
mod compare;
mod plan;
mod rng;
mod runner;

use std::fs::File;
use std::process::ExitCode;
use std::time::Duration;

use clap::Parser;
use pulltrace_benches::{ContainerdVersions, goals, log, print, runtime};
use pulltrace_testkit::containerd::{Containerd, Options};
use pulltrace_testkit::registry::Registry;
use pulltrace_testkit::{clock, need};

use collector::{Collector, Observed};
use compare::{Mismatches, compare};
use plan::Plan;
use runner::{ClientOutcome, Error, Runner};

/// Compares the collector's reports with the outcomes of random pulls.
#[derive(Parser)]
#[command(name = "random")]
struct Args {
    /// Seed of the pulls and faults.
    #[arg(long, value_name = "N")]
    seed: u64,
    /// Number of pulls.
    #[arg(long, value_name = "N", default_value_t = 1_000)]
    pulls: usize,
    #[command(flatten)]
    containerd: ContainerdVersions,
    /// Print the pulls and exit.
    #[arg(long)]
    plan: bool,
}

fn main() -> ExitCode {
    pulltrace_benches::run(compare_all)
}

/// Runs the plan on each version. Fails on any difference.
fn compare_all(args: &Args) -> Result<ExitCode, Error> {
    let plan = plan::generate(args.seed, args.pulls.max(1));
    if args.plan {
        print_plan(&plan);
        return Ok(ExitCode::SUCCESS);
    }
    let mut all_equal = true;
    for version in &args.containerd.versions {
        match run(&plan, version) {
            Ok(equal) => all_equal &= equal,
            Err(error) => {
                log(&format!("seed {}, containerd {version}: {error}", plan.seed));
                all_equal = false;
            }
        }
    }
    Ok(goals(all_equal))
}

/// Runs a plan. Returns whether the collector's reports match the clients' outcomes.
fn run(plan: &Plan, version: &str) -> Result<bool, Error> {
    let binary = need::containerd(version)?;
    let runtime = runtime()?;
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

fn print_plan(plan: &Plan) {
    for (i, wave) in plan.waves.iter().enumerate() {
        print(&format!("wave {}, {} concurrent", i + 1, wave.concurrency));
        for pull in &wave.pulls {
            print(&format!("  {pull}: {:?}", plan.images[pull.image].layers));
        }
        if !wave.removed_images.is_empty() {
            print(&format!("  then remove images {:?}", wave.removed_images));
        }
    }
}
