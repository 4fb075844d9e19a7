//! Pulls, what a reader is told of them and when, and how late that is.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use futures_util::StreamExt as _;
use pulltrace_agent_lib::Clock;
use pulltrace_client::{Client, Filter, Followed, Start};
use pulltrace_core::NodeTime;
use pulltrace_core::wire::v1::{AgentReport, Phase, PullStatus, ReportPull};
use pulltrace_testkit::containerd::{Containerd, ContainerdBinary, Options};
use pulltrace_testkit::image::{Image, Layer};
use pulltrace_testkit::program::{self, Agent, Server};
use pulltrace_testkit::registry::{Kind, Registry};
use pulltrace_testkit::{clock, wait};

use crate::Error;
use crate::wire::Wire;

/// What a layer loads in a second: pulls overlap, and seldom so many that from containerd 2.1 on a config
/// waits for one of the node's three slots, without which no size is known. A manifest and a config are not
/// held up by the registry.
const RATE: u64 = 1 << 21;

const LONG: Duration = Duration::from_secs(60);

pub(crate) struct Measured {
    /// From the moment the manifest was asked for to the first event that knows the size.
    pub(crate) fresh: Vec<Duration>,
    /// From the stamp of a report to the event that says the same, of starts, ends and other phases.
    pub(crate) urgent: Vec<Duration>,
    /// The same of what only moves.
    pub(crate) progress: Vec<Duration>,
    pub(crate) reports: usize,
    /// States of reports that no event said: the next was there before the reader's turn.
    pub(crate) unseen: usize,
}

/// What was told at a moment.
struct Told {
    at: Instant,
    node: NodeTime,
    row: PullStatus,
}

type Log = Arc<Mutex<Vec<Told>>>;

/// What of a pull a report and an event must agree in.
#[derive(Clone, Copy, PartialEq)]
struct State {
    phase: Phase,
    known: bool,
    downloaded: Option<u64>,
    extracted: Option<u64>,
}

impl State {
    fn reported(pull: &ReportPull) -> Self {
        let known = pull.image.is_some();
        Self {
            phase: pull.phase,
            known,
            downloaded: known.then_some(pull.downloaded_bytes),
            extracted: known.then_some(pull.extracted_bytes),
        }
    }

    fn told(row: &PullStatus) -> Self {
        let of_known = |bytes: Option<u64>| bytes.filter(|_| row.total_known);
        Self {
            phase: row.phase,
            known: row.total_known,
            downloaded: of_known(row.downloaded_bytes),
            extracted: of_known(row.extracted_bytes),
        }
    }
}

pub(crate) async fn measure(binary: &ContainerdBinary, pulls: usize) -> Result<Measured, Error> {
    // Built before anything is measured.
    let images: Vec<Image> = (0..pulls).map(image).collect();
    let containerd = Containerd::start(binary, &Options::quick()).await?;
    let registry = Registry::start()?;
    let server = Server::start(program::find("pulltrace-server")?, containerd.dir()).await?;
    let log = Log::default();
    let reader = tokio::spawn(listen(
        Client::builder(server.url()).build()?,
        Arc::clone(&log),
    ));
    let wire = Wire::to(server.address().to_owned()).await?;
    let agent = program::find("pulltrace-agent")?;
    let agent = Agent::start(
        agent,
        containerd.dir(),
        &containerd.socket(),
        wire.url(),
        &[],
    )
    .await?;
    let there = async || (!wire.reports().is_empty()).then_some(());
    wait::until("the agent reports", LONG, there).await?;

    let mut running = Vec::new();
    for (number, image) in images.iter().enumerate() {
        let name = registry.push(&format!("{}:1", path(number)), image);
        for layer in image.layers() {
            registry.blob(&layer.descriptor.digest).throttle(Some(RATE));
        }
        running.push(containerd.cri().pull(&name));
        // Some begin while others run, and some when nothing does.
        let pause = 200 + number as u64 * 7_919 % 1_600;
        tokio::time::sleep(Duration::from_millis(pause)).await;
    }
    for pull in running {
        pull.outcome_within(LONG).await?;
    }
    let told = async || {
        let log = log.lock().unwrap_or_else(PoisonError::into_inner);
        let ended = log.iter().filter(|told| told.row.outcome.is_some());
        let mut ids: Vec<&str> = ended.map(|told| told.row.id.as_str()).collect();
        ids.sort_unstable();
        ids.dedup();
        (ids.len() == pulls).then_some(())
    };
    wait::until("all ends were told", LONG, told).await?;
    reader.abort();
    drop(agent);
    let log = log.lock().unwrap_or_else(PoisonError::into_inner);
    let mut measured = reports(&wire.reports(), &log);
    for number in 0..pulls {
        measured.fresh.push(fresh(&registry, &log, &path(number))?);
    }
    Ok(measured)
}

fn path(number: usize) -> String {
    format!("latency/run-{number}")
}

fn image(number: usize) -> Image {
    let size = |layer: usize| (300 + (number * 37 + layer * 211) % 500) as u64 * 1_024;
    let layers = (0..3).map(|layer| Layer::random(&format!("{number}-{layer}"), size(layer)));
    Image::builder().layers(layers).build()
}

/// Writes down each event.
async fn listen(client: Client, log: Log) {
    let clock = Clock::system();
    let stream = client.follow(&Filter::default(), Start::Snapshot);
    let mut stream = std::pin::pin!(stream);
    while let Some(Ok(followed)) = stream.next().await {
        if let Followed::Event(event) = followed
            && let Some(row) = event.pull
        {
            let mut log = log.lock().unwrap_or_else(PoisonError::into_inner);
            log.push(Told {
                at: clock::now(),
                node: clock.now().node,
                row,
            });
        }
    }
}

fn fresh(registry: &Registry, log: &[Told], path: &str) -> Result<Duration, Error> {
    let asked = registry.manifests().in_repository(path).requests();
    let asked = asked
        .iter()
        .find(|request| request.method == "GET" && request.kind == Kind::Manifest);
    let asked = asked
        .ok_or(format!("the manifest of {path} was never asked for"))?
        .at;
    let named = |told: &&Told| {
        let name = told.row.repository.as_deref();
        name.is_some_and(|name| name.ends_with(&format!("/{path}")))
    };
    let id = log
        .iter()
        .find(named)
        .ok_or(format!("{path} was never told"))?;
    let known = |told: &&Told| told.row.id == id.row.id && told.row.total_known;
    let known = log
        .iter()
        .find(known)
        .ok_or(format!("the size of {path} was never told"))?;
    Ok(known.at.saturating_duration_since(asked))
}

fn reports(reports: &[AgentReport], log: &[Told]) -> Measured {
    let mut measured = Measured {
        fresh: Vec::new(),
        urgent: Vec::new(),
        progress: Vec::new(),
        reports: reports.len(),
        unseen: 0,
    };
    let mut before: BTreeMap<&str, State> = BTreeMap::new();
    for report in reports {
        for pull in &report.pulls {
            let state = State::reported(pull);
            let was = before.insert(&pull.id, state);
            if was == Some(state) {
                continue;
            }
            let same = |told: &&Told| {
                told.node >= report.timestamp
                    && told.row.id == pull.id
                    && State::told(&told.row) == state
            };
            let Some(told) = log.iter().find(same) else {
                measured.unseen += 1;
                continue;
            };
            let late = told.node.since(report.timestamp);
            if was.is_some_and(|was| was.phase == state.phase) {
                measured.progress.push(late);
            } else {
                measured.urgent.push(late);
            }
        }
    }
    measured
}
