//! Which pods wait for which pulls, from sources of one's own and without a server: `who_waits FILE`.
//!
//! The pulls are of a recording. What the kubelet would say is typed in: a pod, a container, an image and
//! seconds after the recording began, as in `shop/web app 127.0.0.1:43325/app:1 0`.
#![expect(clippy::print_stdout, reason = "printing is what it is for")]

use std::error::Error;
use std::fs::File;
use std::io::BufReader;
use std::time::Duration;

use pulltrace_agent_lib::source::PullSource as _;
use pulltrace_agent_lib::source::containerd::replay::{Replay, Speed};
use pulltrace_core::{NodeName, NodeTime, PodRef, PullTable};
use pulltrace_server_lib::cluster::{KubeletWord, PullEvent, PullEventUpdate};
use pulltrace_server_lib::correlate::Correlator;
use pulltrace_server_lib::fleet::{Changes, PullChange};
use pulltrace_server_lib::{Limits, ServerNow};

#[tokio::main(flavor = "current_thread")]
async fn main() -> Result<(), Box<dyn Error>> {
    let file = std::env::args().nth(1).ok_or("usage: FILE")?;
    let mut replay = Replay::new(BufReader::new(File::open(file)?), Speed::FASTEST)?;
    let (node, started) = (replay.header().node.clone(), replay.header().started);
    let mut correlator = Correlator::new(Limits::default());
    let mut now = ServerNow {
        mono: pulltrace_core::Mono::default(),
        at: started,
    };
    for line in std::io::stdin().lines() {
        let event = announced(&line?, &node, started)?;
        correlator.event(PullEventUpdate::Applied(event), now);
    }
    let mut table = PullTable::new(pulltrace_core::Limits::default());
    while let Some(batch) = replay.next().await? {
        now = ServerNow {
            mono: batch.now.mono,
            at: batch.now.node,
        };
        let mut changes = Changes::default();
        for change in table.apply(&batch.observations, batch.now) {
            changes
                .pulls
                .push(PullChange::new(change.kind, change.pull));
        }
        let shown = correlator.pulls(changes, now).pulls;
        for change in shown
            .iter()
            .filter(|change| change.pull.outcome().is_some())
        {
            let title = change.pull.title().unwrap_or_default();
            println!("{title}  {}", change.pull.phase);
            for (waiter, evidence) in change.links.iter().flat_map(|links| &links.pods) {
                println!("  for {} ({}), by {evidence}", waiter.pod, waiter.slot);
            }
        }
    }
    Ok(())
}

fn announced(line: &str, node: &NodeName, at: NodeTime) -> Result<PullEvent, Box<dyn Error>> {
    let words: Vec<&str> = line.split_whitespace().collect();
    let [pod, container, image, seconds] = words[..] else {
        return Err("POD CONTAINER IMAGE SECONDS".into());
    };
    let (namespace, name) = pod.split_once('/').ok_or("a pod is NAMESPACE/NAME")?;
    let said = KubeletWord::of("Pulling", &format!("Pulling image \"{image}\""));
    let (word, image) = said.ok_or("no event of an image")?;
    let at = at.saturating_add(Duration::try_from_secs_f64(seconds.parse()?)?);
    Ok(PullEvent {
        name: line.into(),
        pod: PodRef {
            namespace: namespace.parse()?,
            name: name.parse()?,
            uid: name.parse()?,
        },
        node: node.clone(),
        slot: Some(container.parse()?),
        image,
        first: at,
        last: at,
        count: 1,
        word,
    })
}
