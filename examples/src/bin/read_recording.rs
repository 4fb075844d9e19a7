//! Reads a recording into a table, without a collector: `read_recording FILE`.
//!
//! A recording contains containerd's own data, which is interpreted again on each read.
#![expect(clippy::print_stdout, reason = "prints its results")]

use std::error::Error;
use std::fs::File;
use std::io::BufReader;

use pulltrace_agent_lib::source::PullSource as _;
use pulltrace_agent_lib::source::containerd::replay::{Replay, Speed};
use pulltrace_core::{ChangeKind, Limits, Pull, PullTable};

#[tokio::main(flavor = "current_thread")]
async fn main() -> Result<(), Box<dyn Error>> {
    let file = std::env::args().nth(1).ok_or("usage: FILE")?;
    let mut replay = Replay::new(BufReader::new(File::open(file)?), Speed::FASTEST)?;
    println!("node {}, from {}", replay.header().node, replay.header().started);

    let mut table = PullTable::new(Limits::default());
    while let Some(batch) = replay.next().await? {
        for change in table.apply(&batch.observations, batch.now) {
            match change.kind {
                ChangeKind::Started => println!("{}  started", change.pull.id),
                ChangeKind::Ended => println!("{}", ended(&change.pull)),
                ChangeKind::Progressed => {}
            }
        }
    }
    if replay.is_truncated() {
        println!("the last line is truncated");
    }
    for (anomaly, count) in &table.counters().anomalies {
        println!("{anomaly}: {count}");
    }
    Ok(())
}

fn ended(pull: &Pull) -> String {
    let took = pull.ended_at.map(|end| end.since(pull.started_at));
    let title = pull.display_name().unwrap_or_else(|| pull.id.to_string());
    let mut text = format!("{title}  {}", pull.phase);
    if let Some(took) = took {
        text += &format!(" after {:.1} s", took.as_secs_f64());
    }
    if let Some(total) = pull.total {
        text += &format!(", {} of {total} downloaded", pull.motion.downloaded);
    }
    text
}
