//! Measures the delay until a reader of the server sees a change: real pulls, the agent and the
//! server as deployed, and a reader of the event stream, all on one machine with one clock.
//!
//! `bench-latency [--pulls 100] [--containerd 2.4]…`; `cargo xtask bench latency` runs it. The
//! agent reports through a proxy that records the reports.

mod measure;
mod proxy;

use std::process::ExitCode;
use std::time::Duration;

use clap::{Parser, value_parser};
use pulltrace_benches::{ContainerdVersions, Error, goals, log, print, runtime};
use pulltrace_testkit::{need, proc};

use measure::Latencies;

/// Measures the delay until a reader of the server sees a change.
#[derive(Parser)]
#[command(name = "bench-latency")]
struct Args {
    /// Pulls per version of containerd.
    #[arg(long, value_name = "N", default_value_t = 100, value_parser = value_parser!(u16).range(1..))]
    pulls: u16,
    #[command(flatten)]
    containerd: ContainerdVersions,
}

/// A measured latency with the budgets of its median and its 99th percentile, in milliseconds.
struct Metric {
    name: &'static str,
    samples: fn(&Latencies) -> &[Duration],
    median: Option<f64>,
    p99: Option<f64>,
}

const METRICS: [Metric; 3] = [
    Metric {
        name: "manifest request → size at the reader",
        samples: |measured| &measured.size_known,
        median: Some(300.0),
        p99: Some(1_200.0),
    },
    Metric {
        name: "report → reader, phase change",
        samples: |measured| &measured.phase_change,
        median: None,
        p99: Some(300.0),
    },
    Metric {
        name: "report → reader, progress",
        samples: |measured| &measured.progress,
        median: None,
        p99: Some(300.0),
    },
];

fn main() -> ExitCode {
    pulltrace_benches::run(bench)
}

/// Runs the benchmark. Fails unless all budgets are kept.
fn bench(args: &Args) -> Result<ExitCode, Error> {
    let pulls = usize::from(args.pulls);
    let runtime = runtime()?;
    let load_before = proc::load_average()?;
    let mut all = Vec::new();
    for version in &args.containerd.versions {
        let binary = need::containerd(version)?;
        let measured = runtime.block_on(measure::measure(&binary, pulls))?;
        let (reports, unseen) = (measured.reports, measured.superseded);
        log(&format!(
            "containerd {version}: {pulls} pulls, {reports} reports; {unseen} states superseded before they were sent"
        ));
        all.push((version, measured));
    }
    let cores = std::thread::available_parallelism()?;
    let load_after = proc::load_average()?;
    print(&format!(
        "{pulls} pulls each; {cores} cores, load average {load_before} at the start and {load_after} at the end\n"
    ));
    print("| containerd | latency | samples | p50 | budget | p99 | budget | max |");
    print("|---|---|--:|--:|--:|--:|--:|--:|");
    let mut kept = true;
    for (version, measured) in &all {
        for kind in &METRICS {
            kept &= print_row(version, kind, (kind.samples)(measured));
        }
    }
    Ok(goals(kept))
}

/// Prints a table row. Returns whether its budgets were kept.
fn print_row(version: &str, kind: &Metric, times: &[Duration]) -> bool {
    let mut times: Vec<f64> = times.iter().map(|time| time.as_secs_f64() * 1e3).collect();
    times.sort_by(f64::total_cmp);
    let [median, p99, max] = [0.5, 0.99, 1.0].map(|part| percentile(&times, part));
    let shown = |time: Option<f64>| time.map_or("–".to_owned(), |time| format!("{time:.0} ms"));
    // Without samples the budget is missed.
    let kept = |time: Option<f64>, budget: Option<f64>| {
        budget.is_none_or(|budget| time.is_some_and(|time| time < budget))
    };
    let budget = |time, budget: Option<f64>| match budget {
        None => "–".to_owned(),
        Some(most) if kept(time, budget) => format!("< {most:.0}: kept"),
        Some(most) => format!("< {most:.0}: **missed**"),
    };
    print(&format!(
        "| {version} | {} | {} | {} | {} | {} | {} | {} |",
        kind.name,
        times.len(),
        shown(median),
        budget(median, kind.median),
        shown(p99),
        budget(p99, kind.p99),
        shown(max),
    ));
    kept(median, kind.median) && kept(p99, kind.p99)
}

/// The nearest-rank percentile of sorted times.
fn percentile(times: &[f64], part: f64) -> Option<f64> {
    let rank = (part * times.len() as f64).ceil() as usize;
    times.get(rank.checked_sub(1)?).copied()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn percentile_returns_existing_sample() {
        let times: Vec<f64> = (1..=100).map(f64::from).collect();
        assert_eq!(percentile(&times, 0.5), Some(50.0));
        assert_eq!(percentile(&times, 0.99), Some(99.0));
        assert_eq!(percentile(&times, 1.0), Some(100.0));
        assert_eq!(percentile(&times[..1], 0.5), Some(1.0));
        assert_eq!(percentile(&[], 0.5), None);
    }
}
