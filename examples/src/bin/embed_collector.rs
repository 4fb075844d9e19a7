//! The containerd collector embedded in a program: prints each change of each image pull.
//!
//! `embed_collector [--socket PATH] [--namespace NAME] [--record FILE]`; Ctrl-C stops it.
#![expect(clippy::print_stdout, reason = "prints its results")]

use std::error::Error;
use std::fs::File;

use pulltrace_agent_lib::source::containerd::Containerd;
use pulltrace_agent_lib::{Collector, Settings, sink};
use pulltrace_core::{NodeName, Pull};

#[tokio::main(flavor = "current_thread")]
async fn main() -> Result<(), Box<dyn Error>> {
    // Logs each ended pull, and when containerd is unavailable.
    let log = tracing_subscriber::fmt().with_writer(std::io::stderr);
    log.init();

    let node: NodeName = "this-node".parse()?;
    let mut containerd = Containerd::builder(node.clone());
    let mut args = std::env::args().skip(1);
    while let Some(flag) = args.next() {
        let value = args.next().ok_or("missing value of a flag")?;
        containerd = match flag.as_str() {
            "--socket" => containerd.socket(value),
            "--namespace" => containerd.namespace(value.parse()?),
            "--record" => containerd.record_to(File::create(value)?),
            _ => return Err("usage: [--socket PATH] [--namespace NAME] [--record FILE]".into()),
        };
    }

    let (sink, mut reports) = sink::channel(16);
    let collector = Collector::new(containerd.start(), sink, Settings::new(node))?;
    // Without a handler, Ctrl-C ends the process anyway.
    let running = tokio::spawn(collector.run(async {
        if tokio::signal::ctrl_c().await.is_err() {
            std::future::pending().await
        }
    }));

    while let Some(report) = reports.next().await {
        for pull in &report.pulls {
            println!("{}", line(pull));
        }
    }
    println!("{} pulls ended", running.await??.ended);
    Ok(())
}

/// Formats a pull; unknown values are left out.
fn line(pull: &Pull) -> String {
    let percent = pull.motion.percent.map(|percent| percent.to_string());
    let rate = pull.motion.rate.map(|rate| rate.to_string());
    let parts = [pull.display_name(), Some(pull.phase.to_string()), percent, rate];
    parts.into_iter().flatten().collect::<Vec<_>>().join("  ")
}
