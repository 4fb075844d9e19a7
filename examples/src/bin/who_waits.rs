//! Links pods to pulls from custom sources, without a server: `who_waits FILE`.
//!
//! The pulls are read from a recording. Kubelet events are read from standard input as pod, container,
//! image and seconds since the start of the recording: `shop/web app 127.0.0.1:43325/app:1 0`.
#![expect(clippy::print_stdout, reason = "prints its results")]

use std::error::Error;
use std::fs::File;
use std::io::BufReader;
use std::time::Duration;

use pulltrace_agent_lib::source::PullSource as _;
use pulltrace_agent_lib::source::containerd::replay::{Replay, Speed};
use pulltrace_core::kubelet::KubeletMessage;
use pulltrace_core::{NodeName, NodeTime, PodRef, PullTable};
use pulltrace_server_lib::change::{Changes, PullChange};
use pulltrace_server_lib::cluster::{PullEvent, PullEventUpdate};
use pulltrace_server_lib::correlate::Correlator;
use pulltrace_server_lib::{Limits, ServerNow};

#[tokio::main(flavor = "current_thread")]
async fn main() -> Result<(), Box<dyn Error>> {
    let file = std::env::args().nth(1).ok_or("usage: FILE")?;
    let mut replay = Replay::new(BufReader::new(File::open(file)?), Speed::FASTEST)?;
    let (node, started) = (replay.header().node.clone(), replay.header().started);
    let mut correlator = Correlator::new(Limits::default());
    let mut now = ServerNow { mono: pulltrace_core::Mono::default(), at: started };
    for line in std::io::stdin().lines() {
        let event = parse_event(&line?, &node, started)?;
        correlator.apply_event(PullEventUpdate::Apply(event), now);
    }
    let mut table = PullTable::new(pulltrace_core::Limits::default());
    while let Some(batch) = replay.next().await? {
        now = ServerNow { mono: batch.now.mono, at: batch.now.node };
        let mut changes = Changes::default();
        for change in table.apply(&batch.observations, batch.now) {
            changes.pulls.push(PullChange::new(change.kind, change.pull));
        }
        let shown = correlator.apply_pulls(changes, now).pulls;
        for change in shown.iter().filter(|change| change.pull.outcome().is_some()) {
            let title = change.pull.display_name().unwrap_or_default();
            println!("{title}  {}", change.pull.phase);
            for (waiter, evidence) in change.links.iter().flat_map(|links| &links.pods) {
                println!("  for {} ({}), by {evidence}", waiter.pod, waiter.consumer);
            }
        }
    }
    Ok(())
}

fn parse_event(line: &str, node: &NodeName, at: NodeTime) -> Result<PullEvent, Box<dyn Error>> {
    let words: Vec<&str> = line.split_whitespace().collect();
    let [pod, container, image, seconds] = words[..] else {
        return Err("expected POD CONTAINER IMAGE SECONDS".into());
    };
    let (namespace, name) = pod.split_once('/').ok_or("invalid pod: expected NAMESPACE/NAME")?;
    let message = KubeletMessage::parse("Pulling", &format!("Pulling image \"{image}\""));
    let at = at.saturating_add(Duration::try_from_secs_f64(seconds.parse()?)?);
    Ok(PullEvent {
        name: line.into(),
        pod: PodRef { namespace: namespace.parse()?, name: name.parse()?, uid: name.parse()? },
        node: node.clone(),
        consumer: Some(container.parse()?),
        message: message.ok_or("invalid image in event")?,
        first_seen: at,
        last_seen: at,
        count: 1,
    })
}
