//! Measures the cost of a server with many nodes: five pulls of ten layers and a report per second
//! on each, and a few readers. The server is a separate process.
//!
//! `bench-server [--nodes 1000]… [--seconds 30] [--settle 10]`; `cargo xtask bench server` runs it.

mod load;
mod node;
mod reader;

use std::net::SocketAddr;
use std::process::ExitCode;
use std::time::Duration;

use clap::{Parser, value_parser};
use pulltrace_agent_lib::Clock;
use pulltrace_benches::{Error, print, runtime, seconds, to_mib};
use pulltrace_testkit::clock;
use pulltrace_testkit::proc::{self, CpuTime};
use pulltrace_testkit::program::{self, Server};
use tokio::task::JoinSet;

use load::{ReportStats, StatsRecorder};
use node::SimulatedNode;
use reader::{ByteCounter, READER_KINDS};

/// The interval at which CPU time is sampled: the kernel discards that of ended threads.
const SAMPLE_INTERVAL: Duration = Duration::from_millis(500);

/// Measures the cost of a server with many nodes.
#[derive(Parser)]
#[command(name = "bench-server")]
struct Args {
    /// Nodes of a cluster; repeat it for several.
    #[arg(long, value_name = "N", default_value = "1000", value_parser = value_parser!(u32).range(1..))]
    nodes: Vec<u32>,
    /// Duration of a measurement.
    #[arg(long = "seconds", value_name = "N", default_value = "30", value_parser = seconds)]
    measure: Duration,
    /// Seconds of load before a measurement.
    #[arg(long, value_name = "N", default_value = "10", value_parser = seconds)]
    settle: Duration,
}

fn main() -> ExitCode {
    pulltrace_benches::run(bench)
}

fn bench(args: &Args) -> Result<(), Error> {
    let runtime = runtime()?;
    print(
        "With two readers of frames without layers:\n\n\
         | nodes | reports/s | report size | server CPU | CPU per report | RSS | per reader | p50 | p99 | max | rejected | load average |\n\
         |--:|--:|--:|--:|--:|--:|--:|--:|--:|--:|--:|--:|",
    );
    let followed =
        |nodes| runtime.block_on(measure(nodes, &[READER_KINDS[0], READER_KINDS[0]], args));
    for nodes in &args.nodes {
        print(&format_row(*nodes, &followed(*nodes)?)?);
    }
    let kinds: Vec<&str> = READER_KINDS.iter().map(|(kind, _)| *kind).collect();
    print(&format!(
        "\nWith one reader of each kind: MB/s sent to each, and the server's cost:\n\n| nodes | {} | server CPU | RSS |\n|--:|{}--:|--:|",
        kinds.join(" | "),
        "--:|".repeat(kinds.len())
    ));
    for nodes in &args.nodes {
        let seen = runtime.block_on(measure(*nodes, &READER_KINDS, args))?;
        let sent: Vec<String> = seen.reader_rates.iter().map(|rate| format!("{rate:.2}")).collect();
        print(&format!(
            "| {nodes} | {} | {:.3} cores | {:.0} MiB |",
            sent.join(" | "),
            seen.cpu_seconds / seen.took,
            to_mib(seen.rss)
        ));
    }
    Ok(())
}

/// The measurement of a server over `took` seconds.
struct Measurement {
    took: f64,
    /// CPU time in seconds.
    cpu_seconds: f64,
    rss: u64,
    stats: ReportStats,
    /// MB/s sent to each reader.
    reader_rates: Vec<f64>,
}

async fn measure(nodes: u32, readers: &[(&str, &str)], args: &Args) -> Result<Measurement, Error> {
    let logs = tempfile::tempdir()?;
    let mut server = Server::start(program::find("pulltrace-server")?, logs.path()).await?;
    let address: SocketAddr = server.address().parse()?;
    let pid = server.pid().ok_or("the server has exited")?;
    let record = StatsRecorder::default();
    let mut tasks = JoinSet::new();
    for number in 0..nodes {
        let node = SimulatedNode::new(number as usize, Clock::system());
        let after = Duration::from_secs(1) * number / nodes;
        tasks.spawn(load::run_agent(address, node, after, record.clone()));
    }
    let mut reads = Vec::new();
    for (_, query) in readers {
        let read = ByteCounter::default();
        reads.push(read.clone());
        let query = (*query).to_owned();
        tasks.spawn(async move { reader::follow(address, &query, read).await });
    }
    let mut cpu = CpuTime::for_pid(pid);
    run_load(args.settle, &mut tasks, &mut cpu).await?;
    record.take();
    reads.iter().for_each(|read| _ = read.take());
    let (before, began) = (cpu.total()?, clock::now());
    run_load(args.measure, &mut tasks, &mut cpu).await?;
    let took = began.elapsed().as_secs_f64();
    let seen = Measurement {
        took,
        cpu_seconds: cpu.total()?.saturating_sub(before).as_secs_f64(),
        rss: proc::rss(pid)?,
        stats: record.take(),
        reader_rates: reads.iter().map(|read| megabytes(read.take()) / took).collect(),
    };
    tasks.shutdown().await;
    server.kill9().await?;
    Ok(seen)
}

/// Runs the load for this long. Fails if any of its tasks ends.
async fn run_load(
    time: Duration,
    tasks: &mut JoinSet<Result<(), Error>>,
    cpu: &mut CpuTime,
) -> Result<(), Error> {
    let over = tokio::time::sleep(time);
    tokio::pin!(over);
    loop {
        tokio::select! {
            () = &mut over => return Ok(()),
            () = tokio::time::sleep(SAMPLE_INTERVAL) => { cpu.total()?; }
            Some(ended) = tasks.join_next() => ended??,
        }
    }
}

#[expect(clippy::cast_precision_loss, reason = "rounded for output")]
fn format_row(nodes: u32, seen: &Measurement) -> Result<String, Error> {
    let mut times = seen.stats.latencies_us.clone();
    times.sort_unstable();
    let reports = times.len().max(1) as f64;
    let at = |share: f64| {
        let index = (reports * share) as usize;
        let time = times.get(index.min(times.len().saturating_sub(1)));
        time.map_or(0.0, |micros| f64::from(*micros) / 1e3)
    };
    Ok(format!(
        "| {nodes} | {:.0} | {:.1} kB | {:.3} cores | {:.3} ms | {:.0} MiB | {:.2} MB/s | {:.1} ms | {:.1} ms | {:.1} ms | {} | {} |",
        reports / seen.took,
        seen.stats.bytes_sent as f64 / 1e3 / reports,
        seen.cpu_seconds / seen.took,
        seen.cpu_seconds * 1e3 / reports,
        to_mib(seen.rss),
        seen.reader_rates.iter().sum::<f64>() / seen.reader_rates.len().max(1) as f64,
        at(0.5),
        at(0.99),
        at(1.0),
        seen.stats.rejected,
        proc::load_average()?,
    ))
}

#[expect(clippy::cast_precision_loss, reason = "rounded for output")]
fn megabytes(bytes: u64) -> f64 {
    bytes as f64 / 1e6
}
