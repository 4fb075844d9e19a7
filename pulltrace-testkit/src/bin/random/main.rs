//! Pulls drawn at random, with faults of the registry drawn at random, against
//! a private containerd: what the collector says of each must be what the
//! pulling client was told. None lost, none invented, none wrong.
//!
//! `random --seed N [--pulls 1000] [--containerd 2.4]…`; `cargo xtask e2e
//! --random N` calls it. The seed alone decides what is pulled. Ends with 1
//! where something differs.

mod compare;
mod plan;
mod play;
mod rng;
mod seen;

use std::fs::File;
use std::process::ExitCode;
use std::time::Duration;

use pulltrace_testkit::containerd::{Containerd, Options};
use pulltrace_testkit::registry::Registry;
use pulltrace_testkit::{clock, need};

use compare::{Difference, compare};
use plan::Plan;
use play::{Error, Stage, Told};
use seen::{Seen, Watch};

const USAGE: &str = "usage: random --seed N [--pulls 1000] [--containerd 2.4]… [--plan]";

struct Wanted {
    seed: u64,
    pulls: usize,
    versions: Vec<String>,
    only_plan: bool,
}

fn main() -> ExitCode {
    let wanted = match parse(std::env::args().skip(1)) {
        Ok(wanted) => wanted,
        Err(error) => {
            say(&format!("{error}\n{USAGE}"));
            return ExitCode::from(2);
        }
    };
    let plan = plan::draw(wanted.seed, wanted.pulls);
    if wanted.only_plan {
        print(&plan);
        return ExitCode::SUCCESS;
    }
    let mut all_equal = true;
    for version in &wanted.versions {
        match run(&plan, version) {
            Ok(equal) => all_equal &= equal,
            Err(error) => {
                say(&format!(
                    "seed {}, containerd {version}: {error}",
                    plan.seed
                ));
                all_equal = false;
            }
        }
    }
    ExitCode::from(u8::from(!all_equal))
}

fn parse(mut args: impl Iterator<Item = String>) -> Result<Wanted, String> {
    let mut seed = None;
    let mut pulls = 1_000;
    let mut versions = Vec::new();
    let mut only_plan = false;
    while let Some(flag) = args.next() {
        if flag == "--plan" {
            only_plan = true;
            continue;
        }
        let value = args.next().ok_or(format!("{flag} needs a value"))?;
        let number = || {
            value
                .parse::<u64>()
                .map_err(|_| format!("{flag} {value}: a number is accepted"))
        };
        match flag.as_str() {
            "--seed" => seed = Some(number()?),
            "--pulls" => pulls = usize::try_from(number()?).map_err(|error| error.to_string())?,
            "--containerd" => versions.push(value),
            _ => return Err(format!("there is no option {flag}")),
        }
    }
    if versions.is_empty() {
        let listed = std::env::var("PULLTRACE_CONTAINERD").unwrap_or_default();
        let listed = if listed.is_empty() {
            "1.6,2.4"
        } else {
            &listed
        };
        versions.extend(listed.split(',').map(|version| version.trim().to_owned()));
    }
    Ok(Wanted {
        seed: seed.ok_or("--seed is missing")?,
        pulls: pulls.max(1),
        versions,
        only_plan,
    })
}

/// Whether the collector said what the clients were told.
fn run(plan: &Plan, version: &str) -> Result<bool, Error> {
    let binary = need::containerd(version)?;
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()?;
    let path = std::env::temp_dir().join(format!("pulltrace-random-{}-{version}.jsonl", plan.seed));
    let recording = File::create(&path)?;
    let began = clock::now();
    let (told, seen, difference) = runtime.block_on(async {
        let mut options = Options::quick();
        options.memory_mib = Some(6_144);
        let containerd = Containerd::start(&binary, &options).await?;
        let registry = Registry::start()?;
        let watch = Watch::begin(&containerd.socket(), recording)?;
        play(plan, version, &containerd, &registry, &watch).await
    })?;
    let equal = difference.is_none()
        && seen.untrue_count == 0
        && seen.anomalies.is_empty()
        && seen.stopped.is_none();
    let completed = told.iter().filter(|told| told.completed).count();
    let unseen = told.iter().filter(|told| !told.must_be_seen).count();
    say(&format!(
        "seed {}, containerd {version}: {} pulls ({completed} completed, {} failed, {unseen} of them \
         too short to be sure to be seen), {} rows: {} lost, {} invented, {} wrong, {} misnamed, \
         {} mis-sized; {} untrue states in {} batches; anomalies {:?}; {:.0} s",
        plan.seed,
        told.len(),
        told.len() - completed,
        seen.rows.len(),
        difference.lost.len(),
        difference.invented.len(),
        difference.wrong.len(),
        difference.unnamed.len(),
        difference.sizes.len(),
        seen.untrue_count,
        seen.batches,
        seen.anomalies,
        began.elapsed().as_secs_f64(),
    ));
    if equal {
        std::fs::remove_file(&path)?;
        return Ok(true);
    }
    say(&difference.to_string());
    for untrue in &seen.untrue {
        say(untrue);
    }
    if let Some(why) = &seen.stopped {
        say(&format!("the collector stopped: {why}"));
    }
    say(&format!(
        "again: random --seed {} --pulls {} --containerd {version} (what the collector was told: {})",
        plan.seed,
        told.len(),
        path.display()
    ));
    Ok(false)
}

async fn play(
    plan: &Plan,
    version: &str,
    containerd: &Containerd,
    registry: &Registry,
    watch: &Watch,
) -> Result<(Vec<Told>, Seen, Difference), Error> {
    const SOON: Duration = Duration::from_secs(10);
    watch
        .until("the collector looks", SOON, |seen| seen.batches > 1)
        .await?;
    let mut stage = Stage::new(containerd, registry, watch, plan);
    let mut told: Vec<Told> = Vec::new();
    for (i, wave) in plan.waves.iter().enumerate() {
        told.extend(stage.wave(wave).await?);
        say(&format!(
            "seed {}, containerd {version}: wave {} of {}: {} pulls told, {} rows ended",
            plan.seed,
            i + 1,
            plan.waves.len(),
            told.len(),
            watch.seen().ended().len()
        ));
    }
    let totals = stage.totals();
    // Where something differs for longer, the comparison says what.
    drop(
        watch
            .until("all is told", SOON, |seen| {
                seen.live().next().is_none() && compare(&told, seen, &totals).is_none()
            })
            .await,
    );
    let seen = std::mem::take(&mut *watch.seen());
    let difference = compare(&told, &seen, &totals);
    Ok((told, seen, difference))
}

#[expect(clippy::print_stdout, reason = "the plan is what was asked for")]
fn print(plan: &Plan) {
    for (i, wave) in plan.waves.iter().enumerate() {
        println!("wave {}, {} at once", i + 1, wave.at_once);
        for pull in &wave.pulls {
            println!("  {pull}: {:?}", plan.images[pull.image].layers);
        }
        if !wave.removed.is_empty() {
            println!("  then the images {:?} are removed", wave.removed);
        }
    }
}

#[expect(clippy::print_stderr, reason = "progress and result are for people")]
fn say(text: &str) {
    eprintln!("{text}");
}
