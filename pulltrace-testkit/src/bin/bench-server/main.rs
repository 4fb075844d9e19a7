//! `cargo xtask bench server`: measures the cost of a server with many nodes: five pulls of ten
//! layers and a report per second on each, and a few readers. The server is a separate process.

mod load;
mod node;
mod reader;

use std::net::SocketAddr;
use std::process::ExitCode;
use std::time::Duration;

use pulltrace_agent_lib::Clock;
use pulltrace_testkit::clock;
use pulltrace_testkit::proc::{self, CpuTime};
use pulltrace_testkit::program::{self, Server};
use tokio::task::JoinSet;

use load::{ReportStats, StatsRecorder};
use node::SimulatedNode;
use reader::{ByteCounter, READER_KINDS};

type Error = Box<dyn std::error::Error + Send + Sync>;

const USAGE: &str = "usage: bench-server [--nodes 1000]… [--seconds 30] [--settle 10]";

/// The interval at which CPU time is sampled: the kernel discards that of ended threads.
const SAMPLE_INTERVAL: Duration = Duration::from_millis(500);

struct Args {
    nodes: Vec<usize>,
    settle: Duration,
    measure: Duration,
}

fn main() -> ExitCode {
    let ran = parse(std::env::args().skip(1))
        .map_err(|error| (2, format!("{error}\n{USAGE}")))
        .and_then(|wanted| run(&wanted).map_err(|error| (1, error.to_string())));
    match ran {
        Ok(()) => ExitCode::SUCCESS,
        Err((code, error)) => {
            log(&error);
            ExitCode::from(code)
        }
    }
}

fn parse(mut args: impl Iterator<Item = String>) -> Result<Args, String> {
    let mut wanted = Args {
        nodes: Vec::new(),
        settle: Duration::from_secs(10),
        measure: Duration::from_secs(30),
    };
    while let Some(flag) = args.next() {
        let value = args.next().ok_or(format!("{flag} requires a value"))?;
        let number: u32 = value
            .parse()
            .ok()
            .filter(|number| *number > 0)
            .ok_or(format!("invalid {flag} {value:?}: expected a positive number"))?;
        match flag.as_str() {
            "--nodes" => wanted.nodes.push(number as usize),
            "--seconds" => wanted.measure = Duration::from_secs(number.into()),
            "--settle" => wanted.settle = Duration::from_secs(number.into()),
            _ => return Err(format!("unknown option {flag}")),
        }
    }
    if wanted.nodes.is_empty() {
        wanted.nodes.push(1_000);
    }
    Ok(wanted)
}

fn run(wanted: &Args) -> Result<(), Error> {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    print(
        "With two readers of frames without layers:\n\n\
         | nodes | reports/s | report size | server CPU | CPU per report | RSS | per reader | p50 | p99 | max | rejected | load average |\n\
         |--:|--:|--:|--:|--:|--:|--:|--:|--:|--:|--:|--:|",
    );
    let followed =
        |nodes| runtime.block_on(measure(nodes, &[READER_KINDS[0], READER_KINDS[0]], wanted));
    for nodes in &wanted.nodes {
        print(&format_row(*nodes, &followed(*nodes)?)?);
    }
    let kinds: Vec<&str> = READER_KINDS.iter().map(|(kind, _)| *kind).collect();
    print(&format!(
        "\nWith one reader of each kind: MB/s sent to each, and the server's cost:\n\n| nodes | {} | server CPU | RSS |\n|--:|{}--:|--:|",
        kinds.join(" | "),
        "--:|".repeat(kinds.len())
    ));
    for nodes in &wanted.nodes {
        let seen = runtime.block_on(measure(*nodes, &READER_KINDS, wanted))?;
        let sent: Vec<String> = seen.reader_rates.iter().map(|rate| format!("{rate:.2}")).collect();
        print(&format!(
            "| {nodes} | {} | {:.3} cores | {:.0} MiB |",
            sent.join(" | "),
            seen.cpu_seconds / seen.took,
            mebibytes(seen.rss)
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

async fn measure(
    nodes: usize,
    readers: &[(&str, &str)],
    wanted: &Args,
) -> Result<Measurement, Error> {
    let logs = tempfile::tempdir()?;
    let mut server = Server::start(program::find("pulltrace-server")?, logs.path()).await?;
    let address: SocketAddr = server.address().parse()?;
    let pid = server.pid().ok_or("the server has exited")?;
    let record = StatsRecorder::default();
    let mut tasks = JoinSet::new();
    for number in 0..nodes {
        let node = SimulatedNode::new(number, Clock::system());
        let after = Duration::from_secs(1) * u32::try_from(number)? / u32::try_from(nodes)?;
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
    run_load(wanted.settle, &mut tasks, &mut cpu).await?;
    record.take();
    reads.iter().for_each(|read| _ = read.take());
    let (before, began) = (cpu.total()?, clock::now());
    run_load(wanted.measure, &mut tasks, &mut cpu).await?;
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
fn format_row(nodes: usize, seen: &Measurement) -> Result<String, Error> {
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
        mebibytes(seen.rss),
        seen.reader_rates.iter().sum::<f64>() / seen.reader_rates.len().max(1) as f64,
        at(0.5),
        at(0.99),
        at(1.0),
        seen.stats.rejected,
        proc::load_average()?,
    ))
}

#[expect(clippy::cast_precision_loss, reason = "rounded for output")]
fn mebibytes(bytes: u64) -> f64 {
    bytes as f64 / f64::from(1 << 20)
}

#[expect(clippy::cast_precision_loss, reason = "rounded for output")]
fn megabytes(bytes: u64) -> f64 {
    bytes as f64 / 1e6
}

#[expect(clippy::print_stdout, reason = "the results are the program's output")]
fn print(text: &str) {
    println!("{text}");
}

#[expect(clippy::print_stderr, reason = "errors go to stderr")]
fn log(text: &str) {
    eprintln!("bench-server: {text}");
}
