//! `cargo xtask bench server`: what a server costs that many nodes report to: five pulls of ten layers
//! on each, a report a second, and some who follow. The server is a process of its own.

mod load;
mod node;
mod reader;

use std::net::SocketAddr;
use std::process::ExitCode;
use std::time::Duration;

use pulltrace_agent_lib::Clock;
use pulltrace_testkit::clock;
use pulltrace_testkit::proc::{self, Cpu};
use pulltrace_testkit::program::{self, Server};
use tokio::task::JoinSet;

use load::{Answers, Record};
use node::Node;
use reader::{KINDS, Read};

type Error = Box<dyn std::error::Error + Send + Sync>;

const USAGE: &str = "usage: bench-server [--nodes 1000]… [--seconds 30] [--settle 10]";

/// The kernel forgets the time of a thread that ends, so it is asked so often.
const LOOK: Duration = Duration::from_millis(500);

struct Wanted {
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
            say(&error);
            ExitCode::from(code)
        }
    }
}

fn parse(mut args: impl Iterator<Item = String>) -> Result<Wanted, String> {
    let mut wanted = Wanted {
        nodes: Vec::new(),
        settle: Duration::from_secs(10),
        measure: Duration::from_secs(30),
    };
    while let Some(flag) = args.next() {
        let value = args.next().ok_or(format!("{flag} needs a value"))?;
        let number: u32 = value
            .parse()
            .ok()
            .filter(|number| *number > 0)
            .ok_or(format!(
                "{flag} is {value:?}: a number from 1 on is accepted"
            ))?;
        match flag.as_str() {
            "--nodes" => wanted.nodes.push(number as usize),
            "--seconds" => wanted.measure = Duration::from_secs(number.into()),
            "--settle" => wanted.settle = Duration::from_secs(number.into()),
            _ => return Err(format!("there is no option {flag}")),
        }
    }
    if wanted.nodes.is_empty() {
        wanted.nodes.push(1_000);
    }
    Ok(wanted)
}

fn run(wanted: &Wanted) -> Result<(), Error> {
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()?;
    print(
        "Two readers follow by frames without layers.\n\n\
         | nodes | reports/s | a report | server's CPU | a report | RSS | one reader | p50 | p99 | longest | refused | load of the machine |\n\
         |--:|--:|--:|--:|--:|--:|--:|--:|--:|--:|--:|--:|",
    );
    let followed = |nodes| runtime.block_on(measure(nodes, &[KINDS[0], KINDS[0]], wanted));
    for nodes in &wanted.nodes {
        print(&row(*nodes, &followed(*nodes)?)?);
    }
    let kinds: Vec<&str> = KINDS.iter().map(|(kind, _)| *kind).collect();
    print(&format!(
        "\nSent to one reader of each kind, MB/s, and what the server then costs:\n\n| nodes | {} | server's CPU | RSS |\n|--:|{}--:|--:|",
        kinds.join(" | "),
        "--:|".repeat(kinds.len())
    ));
    for nodes in &wanted.nodes {
        let seen = runtime.block_on(measure(*nodes, &KINDS, wanted))?;
        let sent: Vec<String> = seen.sent.iter().map(|rate| format!("{rate:.2}")).collect();
        print(&format!(
            "| {nodes} | {} | {:.3} cores | {:.0} MiB |",
            sent.join(" | "),
            seen.spent / seen.took,
            mebibytes(seen.rss)
        ));
    }
    Ok(())
}

/// What was seen of a server in so many seconds.
struct Seen {
    took: f64,
    /// Seconds of processor time.
    spent: f64,
    rss: u64,
    answers: Answers,
    /// Of each reader, MB/s.
    sent: Vec<f64>,
}

async fn measure(nodes: usize, readers: &[(&str, &str)], wanted: &Wanted) -> Result<Seen, Error> {
    let logs = tempfile::tempdir()?;
    let mut server = Server::start(program::find("pulltrace-server")?, logs.path()).await?;
    let address: SocketAddr = server.address().parse()?;
    let pid = server.pid().ok_or("the server has ended")?;
    let record = Record::default();
    let mut tasks = JoinSet::new();
    for number in 0..nodes {
        let node = Node::new(number, Clock::system());
        let after = Duration::from_secs(1) * u32::try_from(number)? / u32::try_from(nodes)?;
        tasks.spawn(load::report(address, node, after, record.clone()));
    }
    let mut reads = Vec::new();
    for (_, query) in readers {
        let read = Read::default();
        reads.push(read.clone());
        let query = (*query).to_owned();
        tasks.spawn(async move { reader::follow(address, &query, read).await });
    }
    let mut cpu = Cpu::of(pid);
    pass(wanted.settle, &mut tasks, &mut cpu).await?;
    record.take();
    reads.iter().for_each(|read| _ = read.take());
    let (before, began) = (cpu.total()?, clock::now());
    pass(wanted.measure, &mut tasks, &mut cpu).await?;
    let took = began.elapsed().as_secs_f64();
    let seen = Seen {
        took,
        spent: cpu.total()?.saturating_sub(before).as_secs_f64(),
        rss: proc::rss(pid)?,
        answers: record.take(),
        sent: reads
            .iter()
            .map(|read| megabytes(read.take()) / took)
            .collect(),
    };
    tasks.shutdown().await;
    server.kill9().await?;
    Ok(seen)
}

/// Lets the load go on; whoever of it ends has failed.
async fn pass(
    time: Duration,
    tasks: &mut JoinSet<Result<(), Error>>,
    cpu: &mut Cpu,
) -> Result<(), Error> {
    let over = tokio::time::sleep(time);
    tokio::pin!(over);
    loop {
        tokio::select! {
            () = &mut over => return Ok(()),
            () = tokio::time::sleep(LOOK) => { cpu.total()?; }
            Some(ended) = tasks.join_next() => ended??,
        }
    }
}

#[expect(clippy::cast_precision_loss, reason = "figures for people")]
fn row(nodes: usize, seen: &Seen) -> Result<String, Error> {
    let mut times = seen.answers.took.clone();
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
        seen.answers.sent as f64 / 1e3 / reports,
        seen.spent / seen.took,
        seen.spent * 1e3 / reports,
        mebibytes(seen.rss),
        seen.sent.iter().sum::<f64>() / seen.sent.len().max(1) as f64,
        at(0.5),
        at(0.99),
        at(1.0),
        seen.answers.refused,
        proc::load_average()?,
    ))
}

#[expect(clippy::cast_precision_loss, reason = "figures for people")]
fn mebibytes(bytes: u64) -> f64 {
    bytes as f64 / f64::from(1 << 20)
}

#[expect(clippy::cast_precision_loss, reason = "figures for people")]
fn megabytes(bytes: u64) -> f64 {
    bytes as f64 / 1e6
}

#[expect(clippy::print_stdout, reason = "the figures are what was asked for")]
fn print(text: &str) {
    println!("{text}");
}

#[expect(clippy::print_stderr, reason = "what went wrong is for people")]
fn say(text: &str) {
    eprintln!("bench-server: {text}");
}
