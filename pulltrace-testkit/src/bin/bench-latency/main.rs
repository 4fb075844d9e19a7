//! How old what a reader of the server sees is: real pulls, the agent and the server as they are deployed, and
//! a reader of the events, all on one machine and its one clock.
//!
//! `bench-latency [--pulls 100] [--containerd 2.4]…`; `cargo xtask bench latency` calls it. The agent reports
//! by way of a wire that reads along.

mod measure;
mod wire;

use std::process::ExitCode;
use std::time::Duration;

use pulltrace_testkit::{need, proc};

use measure::Measured;

type Error = Box<dyn std::error::Error + Send + Sync>;

const USAGE: &str = "usage: bench-latency [--pulls 100] [--containerd 2.4]…";

/// One thing that was measured, and the most that its median and its 99th percentile may be, in milliseconds.
struct Kind {
    name: &'static str,
    of: fn(&Measured) -> &[Duration],
    median: Option<f64>,
    p99: Option<f64>,
}

const KINDS: [Kind; 3] = [
    Kind {
        name: "manifest asked for → size at the reader",
        of: |measured| &measured.fresh,
        median: Some(300.0),
        p99: Some(1_200.0),
    },
    Kind {
        name: "report → reader, another phase",
        of: |measured| &measured.urgent,
        median: None,
        p99: Some(300.0),
    },
    Kind {
        name: "report → reader, the same phase",
        of: |measured| &measured.progress,
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
                say(&error.to_string());
                ExitCode::FAILURE
            }
        },
        Err(error) => {
            say(&format!("{error}\n{USAGE}"));
            ExitCode::from(2)
        }
    }
}

fn parse(mut args: impl Iterator<Item = String>) -> Result<(usize, Vec<String>), String> {
    let (mut pulls, mut versions) = (100, Vec::new());
    while let Some(flag) = args.next() {
        let value = args.next().ok_or(format!("{flag} needs a value"))?;
        match flag.as_str() {
            "--pulls" => {
                let read = value.parse().ok().filter(|pulls| *pulls > 0);
                pulls = read.ok_or(format!("--pulls {value}: a number from 1 on is accepted"))?;
            }
            "--containerd" => versions.push(value),
            _ => return Err(format!("there is no option {flag}")),
        }
    }
    if versions.is_empty() {
        versions = ["1.6", "2.4"].map(str::to_owned).to_vec();
    }
    Ok((pulls, versions))
}

/// Whether all budgets were kept.
fn bench(pulls: usize, versions: &[String]) -> Result<bool, Error> {
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()?;
    let began = proc::load_average()?;
    let mut all = Vec::new();
    for version in versions {
        let binary = need::containerd(version)?;
        let measured = runtime.block_on(measure::measure(&binary, pulls))?;
        let (reports, unseen) = (measured.reports, measured.unseen);
        say(&format!(
            "containerd {version}: {pulls} pulls, {reports} reports; {unseen} states were overtaken by the next"
        ));
        all.push((version, measured));
    }
    let cores = std::thread::available_parallelism()?;
    let ended = proc::load_average()?;
    print(&format!(
        "{pulls} pulls each; {cores} cores, load {began} at the beginning and {ended} at the end\n"
    ));
    print("| containerd | what | times | p50 | budget | p99 | budget | max |");
    print("|---|---|--:|--:|--:|--:|--:|--:|");
    let mut kept = true;
    for (version, measured) in &all {
        for kind in &KINDS {
            kept &= row(version, kind, (kind.of)(measured));
        }
    }
    Ok(kept)
}

/// Prints one row; whether its budgets were kept.
fn row(version: &str, kind: &Kind, times: &[Duration]) -> bool {
    let mut times: Vec<f64> = times.iter().map(|time| time.as_secs_f64() * 1e3).collect();
    times.sort_by(f64::total_cmp);
    let [median, p99, max] = [0.5, 0.99, 1.0].map(|part| percentile(&times, part));
    let shown = |time: Option<f64>| time.map_or("–".to_owned(), |time| format!("{time:.0} ms"));
    // Where nothing was measured no budget is kept.
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

/// The smallest of these, which are sorted, that so large a part of them is not above.
fn percentile(times: &[f64], part: f64) -> Option<f64> {
    let rank = (part * times.len() as f64).ceil() as usize;
    times.get(rank.checked_sub(1)?).copied()
}

#[expect(clippy::print_stdout, reason = "the table is what was asked for")]
fn print(text: &str) {
    println!("{text}");
}

#[expect(clippy::print_stderr, reason = "progress is for people")]
fn say(text: &str) {
    eprintln!("{text}");
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_percentile_is_one_of_the_times() {
        let times: Vec<f64> = (1..=100).map(f64::from).collect();
        assert_eq!(percentile(&times, 0.5), Some(50.0));
        assert_eq!(percentile(&times, 0.99), Some(99.0));
        assert_eq!(percentile(&times, 1.0), Some(100.0));
        assert_eq!(percentile(&times[..1], 0.5), Some(1.0));
        assert_eq!(percentile(&[], 0.5), None);
    }
}
