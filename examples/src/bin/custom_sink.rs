//! A custom sink: prints a line with the totals of the node, and one for each failed pull.
//!
//! `custom_sink [--socket PATH | --recording FILE]`: reads from a running containerd or a
//! recording.

use std::error::Error;
use std::fs::File;
use std::io::{self, BufReader, Write as _};

use pulltrace_agent_lib::sink::{Ack, Report, ReportSink, SinkError};
use pulltrace_agent_lib::source::PullSource;
use pulltrace_agent_lib::source::containerd::Containerd;
use pulltrace_agent_lib::source::containerd::replay::{Replay, Speed};
use pulltrace_agent_lib::{Collector, Settings};
use pulltrace_core::Outcome;

struct StatusSink;

impl ReportSink for StatusSink {
    async fn deliver(&mut self, report: Report) -> Result<Ack, SinkError> {
        // A sink with a temporary failure would return `Unavailable` and get the same changes
        // again.
        write(&report).map_err(|_| SinkError::Closed)?;
        Ok(Ack::for_report(&report))
    }
}

fn write(report: &Report) -> io::Result<()> {
    let mut out = io::stdout();
    // A report contains only the pulls that changed, unless it is full.
    for pull in &report.pulls {
        if pull.outcome() == Some(Outcome::Failed) {
            writeln!(out, "failed: {}", pull.display_name().unwrap_or_default())?;
        }
    }
    let (sums, at) = (&report.totals, report.now.node);
    let (live, here, all) = (sums.live_pulls, sums.downloaded, sums.to_download);
    writeln!(out, "{at}  {live} pulls  {here} of {all}")
}

async fn watch(source: impl PullSource) -> Result<(), Box<dyn Error>> {
    let collector = Collector::new(source, StatusSink, Settings::new("this-node".parse()?))?;
    collector.run(std::future::pending()).await?;
    Ok(())
}

#[tokio::main(flavor = "current_thread")]
async fn main() -> Result<(), Box<dyn Error>> {
    let containerd = Containerd::builder("this-node".parse()?);
    let args: Vec<_> = std::env::args().skip(1).collect();
    match args.iter().map(String::as_str).collect::<Vec<_>>()[..] {
        [] => watch(containerd.start()).await,
        ["--socket", path] => watch(containerd.socket(path).start()).await,
        ["--recording", file] => {
            let file = BufReader::new(File::open(file)?);
            watch(Replay::new(file, Speed::FASTEST)?).await
        }
        _ => Err("usage: [--socket PATH | --recording FILE]".into()),
    }
}
