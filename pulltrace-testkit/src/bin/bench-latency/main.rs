//! Measures the delay until a reader of the server sees a change: real pulls, the agent and the
//! server as deployed, and a reader of the event stream, all on one machine with one clock.
//!
//! `bench-latency [--pulls 100] [--containerd 2.4]…`; `cargo xtask bench latency` runs it. The
//! agent reports through a proxy that records the reports.

mod measure;
mod proxy;

use std::process::ExitCode;
use std::time::Duration;

use pulltrace_testkit::{need, proc};

use measure::Latencies;

type Error = Box<dyn std::error::Error + Send + Sync>;

const USAGE: &str = "usage: bench-latency [--pulls 100] [--containerd 2.4]…";

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
    match parse(std::env::args().skip(1)) {
        Ok((pulls, versions)) => match bench(pulls, &versions) {
            Ok(true) => ExitCode::SUCCESS,
            Ok(false) => ExitCode::FAILURE,
            Err(error) => {
                log(&error.to_string());
                ExitCode::FAILURE
            }
        },
        Err(error) => {
            log(&format!("{error}\n{USAGE}"));
            ExitCode::from(2)
        }
    }
}

fn parse(mut args: impl Iterator<Item = String>) -> Result<(usize, Vec<String>), String> {
    let (mut pulls, mut versions) = (100, Vec::new());
    while let Some(flag) = args.next() {
        let value = args.next().ok_or(format!("{flag} requires a value"))?;
        match flag.as_str() {
            "--pulls" => {
                let read = value.parse().ok().filter(|pulls| *pulls > 0);
                pulls =
                    read.ok_or(format!("invalid --pulls {value}: expected a positive number"))?;
            }
            "--containerd" => versions.push(value),
            _ => return Err(format!("unknown option {flag}")),
        }
    }
    if versions.is_empty() {
        versions = ["1.6", "2.4"].map(str::to_owned).to_vec();
    }
    Ok((pulls, versions))
}

/// Runs the benchmark. Returns whether all budgets were kept.
fn bench(pulls: usize, versions: &[String]) -> Result<bool, Error> {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    let load_before = proc::load_average()?;
    let mut all = Vec::new();
    for version in versions {
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
    Ok(kept)
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

#[expect(clippy::print_stdout, reason = "the table is the program's output")]
fn print(text: &str) {
    println!("{text}");
}

#[expect(clippy::print_stderr, reason = "progress is printed to stderr")]
fn log(text: &str) {
    eprintln!("{text}");
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
