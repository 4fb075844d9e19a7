//! Measures the error of the collector's ETA for real pulls, after a quarter, a half and three
//! quarters of their time.
//!
//! `bench-eta [--runs 5] [--containerd 2.4]…`; `cargo xtask bench eta` runs it. Each workload has
//! its own containerd and registry and all run at once: the registry's throttle is the bottleneck,
//! not the machine.

use std::process::ExitCode;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use clap::{Parser, value_parser};
use futures_util::future::join_all;
use pulltrace_agent_lib::Clock;
use pulltrace_agent_lib::source::PullSource as _;
use pulltrace_agent_lib::source::containerd::Containerd as Source;
use pulltrace_benches::{ContainerdVersions, Error, goals, log, print, runtime};
use pulltrace_core::{Eta, Limits, NodeTime, PullTable};
use pulltrace_testkit::containerd::{Containerd, ContainerdBinary, Options};
use pulltrace_testkit::image::{Image, Layer, mib};
use pulltrace_testkit::need;
use pulltrace_testkit::registry::Registry;

/// Measures the error of the estimated time left of real pulls.
#[derive(Parser)]
#[command(name = "bench-eta")]
struct Args {
    /// Pulls per workload.
    #[arg(long, value_name = "N", default_value_t = 5, value_parser = value_parser!(u16).range(1..))]
    runs: u16,
    #[command(flatten)]
    containerd: ContainerdVersions,
}

/// The fractions of a pull's duration at which the ETA is compared.
const CHECKPOINTS: [(f64, &str); 3] = [(0.25, "¼"), (0.5, "½"), (0.75, "¾")];

/// The image to pull, and the download speed.
#[derive(Clone, Copy)]
struct Workload {
    name: &'static str,
    layers: fn(run: usize) -> Vec<Layer>,
    /// Bytes per second.
    rate: u64,
    /// Halve the rate once half of the bytes are transferred.
    halve_rate: bool,
    /// The maximum of the median error at the half, in percent.
    max_error: f64,
}

const WORKLOADS: [Workload; 4] = [
    Workload {
        name: "five layers",
        layers: |run| layers(run, "five", &[12, 2, 16, 4, 8].map(mib)),
        rate: mib(2),
        halve_rate: false,
        max_error: 15.0,
    },
    Workload {
        name: "five layers, rate halved midway",
        layers: |run| layers(run, "half", &[8, 2, 12, 3, 5].map(mib)),
        rate: mib(2),
        halve_rate: true,
        max_error: 30.0,
    },
    Workload {
        name: "60 layers of 512 KiB",
        layers: |run| layers(run, "small", &[mib(1) / 2; 60]),
        rate: mib(3) / 2,
        halve_rate: false,
        max_error: 15.0,
    },
    Workload {
        name: "one layer of 40 MiB",
        layers: |run| layers(run, "huge", &[mib(40)]),
        rate: mib(2),
        halve_rate: false,
        max_error: 15.0,
    },
];

fn layers(run: usize, name: &str, sizes: &[u64]) -> Vec<Layer> {
    let layers = sizes.iter().enumerate();
    layers.map(|(i, size)| Layer::random(&format!("{name}-{run}-{i}"), *size)).collect()
}

/// An ETA and the time at which it was reported.
#[derive(Clone, Copy)]
struct Estimate {
    at: NodeTime,
    eta: Option<Eta>,
}

/// The ETA at one checkpoint of one pull, and the actual time left.
#[derive(Clone, Copy)]
struct Sample {
    actual_left: f64,
    eta: Option<Eta>,
}

impl Sample {
    /// The error in percent of the actual time left; positive if the ETA was too long.
    fn error_percent(&self) -> Option<f64> {
        let estimated = self.eta?.left.as_secs_f64();
        Some((estimated - self.actual_left) / self.actual_left * 100.0)
    }

    fn is_in_range(&self) -> bool {
        let left = self.actual_left;
        self.eta.is_some_and(|eta| eta.low.as_secs_f64() <= left && left <= eta.high.as_secs_f64())
    }
}

fn main() -> ExitCode {
    pulltrace_benches::run(bench)
}

/// Runs all workloads. Fails unless all goals are reached.
fn bench(args: &Args) -> Result<ExitCode, Error> {
    let mut all = Vec::new();
    for version in &args.containerd.versions {
        let binary = need::containerd(version)?;
        for kind in WORKLOADS {
            // Built in advance, so that it does not affect the measurement.
            let images: Vec<Image> = (0..usize::from(args.runs))
                .map(|run| Image::builder().layers((kind.layers)(run)).build())
                .collect();
            all.push((binary.clone(), kind, images));
        }
    }
    let measured = runtime()?.block_on(join_all(
        all.iter().map(|(binary, kind, images)| measure(binary, *kind, images)),
    ));
    print("| containerd | pull | at | median error | worst | within low–high | goal |");
    print("|---|---|---|---|---|---|---|");
    let mut reached = true;
    for ((binary, kind, _), pulls) in all.iter().zip(measured) {
        let pulls = pulls?;
        for (i, (part, name)) in CHECKPOINTS.iter().enumerate() {
            let points: Vec<Sample> = pulls.iter().map(|pull| pull[i]).collect();
            reached &= print_row(binary, kind, *part, name, &points);
        }
    }
    Ok(goals(reached))
}

/// Prints a table row. Returns whether its goal was reached.
fn print_row(
    binary: &ContainerdBinary,
    kind: &Workload,
    part: f64,
    name: &str,
    points: &[Sample],
) -> bool {
    let mut errors: Vec<f64> = points.iter().filter_map(Sample::error_percent).collect();
    errors.sort_by(|a, b| a.abs().total_cmp(&b.abs()));
    let within = points.iter().filter(|point| point.is_in_range()).count();
    // A missing ETA has no error, but the goal is missed.
    let silent = points.len() - errors.len();
    let median = errors.get(errors.len() / 2).copied();
    let has_goal = part == 0.5;
    let reached = silent == 0 && median.is_some_and(|median| median.abs() <= kind.max_error);
    let percent = |error: Option<&f64>| error.map_or("–".to_owned(), |e| format!("{e:+.0} %"));
    let goal = match (has_goal, reached) {
        (false, _) => "–".to_owned(),
        (true, true) => format!("{:.0} %: reached", kind.max_error),
        (true, false) => format!("{:.0} %: **missed**", kind.max_error),
    };
    let silence = match silent {
        0 => String::new(),
        silent => format!(" ({silent} without ETA)"),
    };
    print(&format!(
        "| {} | {} | {name} | {}{silence} | {} | {within} of {} | {goal} |",
        binary.minor,
        kind.name,
        percent(median.as_ref()),
        percent(errors.last()),
        points.len(),
    ));
    !has_goal || reached
}

/// Pulls the images one after the other and samples the ETA of each.
async fn measure(
    binary: &ContainerdBinary,
    kind: Workload,
    images: &[Image],
) -> Result<Vec<[Sample; 3]>, Error> {
    let mut options = Options::in_memory();
    options.memory_mib = Some(2_048);
    let containerd = Containerd::start(binary, &options).await?;
    let registry = Registry::start()?;
    let estimates = Arc::new(Mutex::new(Vec::new()));
    let source = Source::builder("node-1".parse()?).socket(containerd.socket()).start();
    let listener = tokio::spawn(record_estimates(source, Arc::clone(&estimates)));
    let mut pulls = Vec::new();
    for (run, image) in images.iter().enumerate() {
        estimates.lock().unwrap_or_else(PoisonError::into_inner).clear();
        let name = format!("eta/run-{run}:1");
        let (from, to) = pull(&containerd, &registry, kind, image, &name).await?;
        let estimates = estimates.lock().unwrap_or_else(PoisonError::into_inner);
        pulls.push(CHECKPOINTS.map(|(part, _)| sample_at(&estimates, from, to, part)));
        let seconds = to.since(from).as_secs_f64();
        log(&format!(
            "containerd {}, {}: run {} took {seconds:.1} s",
            binary.minor,
            kind.name,
            run + 1
        ));
    }
    listener.abort();
    Ok(pulls)
}

/// Pulls one image and returns the times of its start and end.
async fn pull(
    containerd: &Containerd,
    registry: &Registry,
    kind: Workload,
    image: &Image,
    name: &str,
) -> Result<(NodeTime, NodeTime), Error> {
    const TIMEOUT: Duration = Duration::from_secs(120);
    let clock = Clock::system();
    let repository = name.split(':').next().unwrap_or(name);
    registry.blobs().throttle(Some(kind.rate));
    let reference = registry.push(name, image);
    let from = clock.now().node;
    let pull = containerd.cri().pull(&reference);
    if kind.halve_rate {
        let half = image.manifest().unique_layer_bytes() / 2;
        let blobs = registry.blobs().in_repository(repository);
        blobs.await_bytes(half, TIMEOUT).await?;
        registry.blobs().throttle(Some(kind.rate / 2));
    }
    pull.outcome_within(TIMEOUT).await?;
    Ok((from, clock.now().node))
}

/// Records each ETA of the only live pull.
async fn record_estimates(mut source: Source, estimates: Arc<Mutex<Vec<Estimate>>>) {
    let mut table = PullTable::new(Limits::default());
    while let Ok(Some(batch)) = source.next().await {
        table.apply(&batch.observations, batch.now);
        let live = table.pulls().find(|pull| pull.outcome().is_none());
        if let Some(pull) = live {
            let eta = pull.motion.eta;
            let mut estimates = estimates.lock().unwrap_or_else(PoisonError::into_inner);
            estimates.push(Estimate { at: batch.now.node, eta });
        }
    }
}

/// Returns the last ETA before this fraction of the time.
fn sample_at(estimates: &[Estimate], from: NodeTime, to: NodeTime, part: f64) -> Sample {
    let whole = to.since(from);
    let at = from.saturating_add(whole.mul_f64(part));
    let last = estimates.iter().rfind(|said| said.at <= at);
    Sample {
        // Counted from when the ETA was reported.
        actual_left: to.since(last.map_or(at, |said| said.at)).as_secs_f64(),
        eta: last.and_then(|said| said.eta),
    }
}
