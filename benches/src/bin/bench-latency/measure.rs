//! Runs pulls, records the events that a reader receives, and computes their delay.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use futures_util::StreamExt as _;
use pulltrace_agent_lib::Clock;
use pulltrace_client::{Client, Filter, FollowEvent, Start};
use pulltrace_core::NodeTime;
use pulltrace_core::wire::v1::{AgentReport, Phase, PullStatus, ReportPull};
use pulltrace_testkit::containerd::{Containerd, ContainerdBinary, Options};
use pulltrace_testkit::image::{Image, Layer};
use pulltrace_testkit::program::{self, Agent, Server};
use pulltrace_testkit::registry::{Registry, RequestKind};
use pulltrace_testkit::{clock, wait};

use crate::proxy::ReportProxy;
use pulltrace_benches::Error;

/// The rate of a layer's download, in bytes per second. Pulls overlap, but rarely so many that a
/// config has to wait for one of the node's three download slots (containerd 2.1 and later); the
/// size is unknown until then. Manifests and configs are not throttled.
const LAYER_RATE: u64 = 1 << 21;

const TIMEOUT: Duration = Duration::from_secs(60);

pub(crate) struct Latencies {
    /// From the manifest request to the first event with a known size.
    pub(crate) size_known: Vec<Duration>,
    /// From a report's timestamp to the event with the same state, for starts, ends and phase
    /// changes.
    pub(crate) phase_change: Vec<Duration>,
    /// The same for progress within a phase.
    pub(crate) progress: Vec<Duration>,
    pub(crate) reports: usize,
    /// Reported states without an event: the next report arrived before the reader was sent an
    /// update.
    pub(crate) superseded: usize,
}

/// An event and the time at which it was received.
struct ReceivedEvent {
    received_at: Instant,
    node_time: NodeTime,
    pull: PullStatus,
}

type EventLog = Arc<Mutex<Vec<ReceivedEvent>>>;

/// The fields in which a report and its event must agree.
#[derive(Clone, Copy, PartialEq)]
struct PullState {
    phase: Phase,
    known: bool,
    downloaded: Option<u64>,
    extracted: Option<u64>,
}

impl PullState {
    fn from_report(pull: &ReportPull) -> Self {
        let known = pull.image.is_some();
        Self {
            phase: pull.phase,
            known,
            downloaded: known.then_some(pull.downloaded_bytes),
            extracted: known.then_some(pull.extracted_bytes),
        }
    }

    fn from_status(row: &PullStatus) -> Self {
        let of_known = |bytes: Option<u64>| bytes.filter(|_| row.total_known);
        Self {
            phase: row.phase,
            known: row.total_known,
            downloaded: of_known(row.downloaded_bytes),
            extracted: of_known(row.extracted_bytes),
        }
    }
}

pub(crate) async fn measure(binary: &ContainerdBinary, pulls: usize) -> Result<Latencies, Error> {
    // Built in advance, so that it does not affect the measurement.
    let images: Vec<Image> = (0..pulls).map(image).collect();
    let containerd = Containerd::start(binary, &Options::in_memory()).await?;
    let registry = Registry::start()?;
    let server = Server::start(program::find("pulltrace-server")?, containerd.dir()).await?;
    let log = EventLog::default();
    let reader =
        tokio::spawn(record_events(Client::builder(server.url()).build()?, Arc::clone(&log)));
    let wire = ReportProxy::start(server.address().to_owned()).await?;
    let agent = program::find("pulltrace-agent")?;
    let agent =
        Agent::start(agent, containerd.dir(), &containerd.socket(), wire.url(), &[]).await?;
    let there = async || (!wire.reports().is_empty()).then_some(());
    wait::until("the agent reports", TIMEOUT, there).await?;

    let mut running = Vec::new();
    for (number, image) in images.iter().enumerate() {
        let name = registry.push(&format!("{}:1", path(number)), image);
        for layer in image.layers() {
            registry.blob(&layer.descriptor.digest).throttle(Some(LAYER_RATE));
        }
        running.push(containerd.cri().pull(&name));
        // Some pulls overlap and some start while the node is idle.
        let pause = 200 + number as u64 * 7_919 % 1_600;
        tokio::time::sleep(Duration::from_millis(pause)).await;
    }
    for pull in running {
        pull.outcome_within(TIMEOUT).await?;
    }
    let told = async || {
        let log = log.lock().unwrap_or_else(PoisonError::into_inner);
        let ended = log.iter().filter(|told| told.pull.outcome.is_some());
        let mut ids: Vec<&str> = ended.map(|told| told.pull.id.as_str()).collect();
        ids.sort_unstable();
        ids.dedup();
        (ids.len() == pulls).then_some(())
    };
    wait::until("the reader has received all ends", TIMEOUT, told).await?;
    reader.abort();
    drop(agent);
    let log = log.lock().unwrap_or_else(PoisonError::into_inner);
    let mut measured = report_latencies(&wire.reports(), &log);
    for number in 0..pulls {
        measured.size_known.push(size_known_latency(&registry, &log, &path(number))?);
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

/// Records all events with a pull.
async fn record_events(client: Client, log: EventLog) {
    let clock = Clock::system();
    let stream = client.follow(&Filter::default(), Start::Snapshot);
    let mut stream = std::pin::pin!(stream);
    while let Some(Ok(followed)) = stream.next().await {
        if let FollowEvent::Event(event) = followed
            && let Some(row) = event.pull
        {
            let mut log = log.lock().unwrap_or_else(PoisonError::into_inner);
            log.push(ReceivedEvent {
                received_at: clock::now(),
                node_time: clock.now().node,
                pull: row,
            });
        }
    }
}

fn size_known_latency(
    registry: &Registry,
    log: &[ReceivedEvent],
    path: &str,
) -> Result<Duration, Error> {
    let asked = registry.manifests().in_repository(path).requests();
    let asked = asked
        .iter()
        .find(|request| request.method == "GET" && request.kind == RequestKind::Manifest);
    let asked = asked.ok_or(format!("the manifest of {path} was never requested"))?.received_at;
    let named = |told: &&ReceivedEvent| {
        let name = told.pull.repository.as_deref();
        name.is_some_and(|name| name.ends_with(&format!("/{path}")))
    };
    let id = log.iter().find(named).ok_or(format!("no event for {path}"))?;
    let known = |told: &&ReceivedEvent| told.pull.id == id.pull.id && told.pull.total_known;
    let known = log.iter().find(known).ok_or(format!("no event with the size of {path}"))?;
    Ok(known.received_at.saturating_duration_since(asked))
}

fn report_latencies(reports: &[AgentReport], log: &[ReceivedEvent]) -> Latencies {
    let mut measured = Latencies {
        size_known: Vec::new(),
        phase_change: Vec::new(),
        progress: Vec::new(),
        reports: reports.len(),
        superseded: 0,
    };
    let mut before: BTreeMap<&str, PullState> = BTreeMap::new();
    for report in reports {
        for pull in &report.pulls {
            let state = PullState::from_report(pull);
            let was = before.insert(&pull.id, state);
            if was == Some(state) {
                continue;
            }
            let same = |told: &&ReceivedEvent| {
                told.node_time >= report.timestamp
                    && told.pull.id == pull.id
                    && PullState::from_status(&told.pull) == state
            };
            let Some(told) = log.iter().find(same) else {
                measured.superseded += 1;
                continue;
            };
            let late = told.node_time.since(report.timestamp);
            if was.is_some_and(|was| was.phase == state.phase) {
                measured.progress.push(late);
            } else {
                measured.phase_change.push(late);
            }
        }
    }
    measured
}
