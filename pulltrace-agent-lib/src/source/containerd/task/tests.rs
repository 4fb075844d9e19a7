//! The task with a fake containerd, in paused time.

use std::collections::BTreeMap;
use std::io;
use std::io::Write;
use std::path::PathBuf;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use pulltrace_core::error::error_chain;
use pulltrace_core::{NodeTime, Observation, PullFact};
use tokio::sync::mpsc;
use tokio::time::timeout;

use super::super::client::{Cause, ClientError};
use super::super::daemon::{Connect, Connected, Daemon};
use super::super::discover::DiscoverError;
use super::super::input::{Event, Ingest, Input, Lease, Poll, Query, Reply, Resource, ServerInfo};
use super::super::query_queue::MAX_PER_ROUND;
use super::super::recording::{Recorder, Recording};
use super::super::replay::{Replay, Speed};
use super::super::tracker::Tracker;
use super::super::{Containerd, KUBERNETES_NAMESPACE};
use crate::clock::Clock;
use crate::source::{Batch, PullSource};

/// A containerd controlled by the test.
#[derive(Clone)]
struct FakeDaemon {
    clock: Clock,
    state: Arc<Mutex<FakeState>>,
}

struct FakeState {
    up: bool,
    started_at: Option<NodeTime>,
    poll: Result<Poll, ClientError>,
    answer: Result<Reply, ClientError>,
    connects: Vec<Duration>,
    polls: Vec<Duration>,
    queries: Vec<Query>,
    /// The open event stream.
    stream: Option<mpsc::Sender<Event>>,
    streams: usize,
}

impl FakeDaemon {
    fn new() -> Self {
        let start: NodeTime = "2026-11-24T20:00:00Z".parse().unwrap();
        let state = FakeState {
            up: true,
            started_at: Some(start.saturating_sub(Duration::from_secs(3_600))),
            poll: Ok(Poll::default()),
            answer: Ok(Reply::NotFound),
            connects: Vec::new(),
            polls: Vec::new(),
            queries: Vec::new(),
            stream: None,
            streams: 0,
        };
        Self { clock: Clock::anchored(start), state: Arc::new(Mutex::new(state)) }
    }

    fn update<T>(&self, change: impl FnOnce(&mut FakeState) -> T) -> T {
        change(&mut self.state.lock().unwrap())
    }

    fn elapsed(&self) -> Duration {
        self.clock.now().mono.0
    }

    /// Emits an event, without waiting for the task to process it.
    fn emit(&self, event: Event) {
        let stream = self.update(|state| state.stream.clone()).expect("no open event stream");
        stream.try_send(event).expect("the stream has capacity");
    }

    fn start(&self) -> (Containerd, SharedBuffer) {
        let written = SharedBuffer::default();
        (self.start_with(written.clone()), written)
    }

    fn start_with(&self, out: impl Write + Send + 'static) -> Containerd {
        let (node, namespace) = ("n1".parse().unwrap(), KUBERNETES_NAMESPACE.parse().unwrap());
        let recorder: Recorder<Box<dyn Write + Send>> =
            Recorder::new(Box::new(out), node, namespace);
        let tracker = Tracker::new("n1".parse().unwrap(), KUBERNETES_NAMESPACE.parse().unwrap());
        Containerd::spawn(self.clone(), self.clock, tracker, Some(recorder))
    }
}

impl Connect for FakeDaemon {
    type Daemon = Self;

    async fn connect(&mut self) -> Result<Connected<Self>, DiscoverError> {
        let at = self.elapsed();
        let (up, started_at) = self.update(|state| {
            state.connects.push(at);
            (state.up, state.started_at)
        });
        if !up {
            return Err(DiscoverError::NotFound { path: PathBuf::from("/run/x.sock") });
        }
        Ok(Connected {
            daemon: self.clone(),
            server: ServerInfo { version: "1.6.20".into(), started_at },
            address: "/run/x.sock".into(),
            has_namespace: true,
        })
    }
}

impl Daemon for FakeDaemon {
    fn started_at(&self) -> Option<NodeTime> {
        self.update(|state| state.started_at)
    }

    fn take_skipped(&self) -> u64 {
        0
    }

    async fn poll(&self, _idle: bool) -> Result<Poll, ClientError> {
        let at = self.elapsed();
        self.update(|state| {
            state.polls.push(at);
            state.poll.clone()
        })
    }

    async fn run_query(&self, query: &Query) -> Result<Reply, ClientError> {
        self.update(|state| {
            state.queries.push(query.clone());
            state.answer.clone()
        })
    }

    async fn events(&self, mut tell: impl FnMut(Event) + Send) -> ClientError {
        let (sender, mut events) = mpsc::channel(4_096);
        self.update(|state| {
            state.stream = Some(sender);
            state.streams += 1;
        });
        while let Some(event) = events.recv().await {
            tell(event);
        }
        ClientError::Events(Cause::Unreachable("closed by the test".into()))
    }
}

/// A writer whose content can be read.
#[derive(Clone, Default)]
struct SharedBuffer(Arc<Mutex<Vec<u8>>>);

impl Write for SharedBuffer {
    fn write(&mut self, text: &[u8]) -> io::Result<usize> {
        self.0.lock().unwrap().write(text)
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

impl SharedBuffer {
    fn bytes(&self) -> Vec<u8> {
        self.0.lock().unwrap().clone()
    }

    /// Returns the recorded inputs and their times since the start.
    fn inputs(&self) -> Vec<(Duration, Input)> {
        let bytes = self.bytes();
        if bytes.is_empty() {
            return Vec::new();
        }
        let lines = Recording::open(bytes.as_slice()).unwrap();
        lines.map(Result::unwrap).map(|line| (line.now.mono.0, line.input)).collect()
    }

    /// Returns the inputs other than polls and answers.
    fn lifecycle_inputs(&self) -> Vec<Input> {
        let inputs = self.inputs().into_iter().map(|(_, input)| input);
        inputs.filter(|input| !matches!(input, Input::Poll(_) | Input::Answer(_))).collect()
    }
}

/// Receives batches for this time.
async fn collect_batches(source: &mut Containerd, time: Duration) -> Vec<Batch> {
    let mut all = Vec::new();
    let taking = async {
        loop {
            all.push(source.next().await.unwrap().unwrap());
        }
    };
    assert!(timeout(time, taking).await.is_err());
    all
}

fn observations(batches: &[Batch]) -> Vec<Observation> {
    batches.iter().flat_map(|batch| batch.observations.clone()).collect()
}

fn seconds(s: f64) -> Duration {
    Duration::from_secs_f64(s)
}

fn unreachable_error() -> ClientError {
    ClientError::Ingests(Cause::Unreachable("connection refused".into()))
}

fn image_written(n: usize) -> Event {
    Event::ImageWritten {
        name: format!("docker.io/library/x:{n}"),
        at: "2026-11-24T20:00:00Z".parse().unwrap(),
    }
}

/// A poll that shows one pull with one layer being written.
fn poll_with_pull(clock: Clock, offset: i64) -> Poll {
    let digest = format!("sha256:{}", "a".repeat(64));
    let reference = format!("layer-{digest}");
    let now = clock.now().node;
    let resource = Resource { kind: "ingests".into(), id: reference.clone() };
    let expire = now.saturating_add(Duration::from_secs(86_400)).to_string();
    Poll {
        ingests: vec![Ingest {
            reference,
            offset,
            total: 1_000,
            started_at: "2026-11-24T20:00:00Z".parse().unwrap(),
            updated_at: now,
        }],
        leases: vec![Lease {
            id: "123456-abcd".into(),
            created_at: "2026-11-24T20:00:00Z".parse().unwrap(),
            labels: BTreeMap::from([("containerd.io/gc.expire".to_owned(), expire)]),
            resources: Some(vec![resource]),
        }],
    }
}

#[tokio::test(start_paused = true)]
async fn outage_is_reported_once_with_back_off() {
    let fake = FakeDaemon::new();
    fake.update(|state| state.up = false);
    let (mut source, written) = fake.start();

    let batches = collect_batches(&mut source, seconds(20.0)).await;
    assert_eq!(observations(&batches), [Observation::SourceLost]);
    let connects = fake.update(|state| state.connects.clone());
    let expected = [0.0, 0.25, 0.75, 1.75, 3.75, 7.75, 12.75, 17.75];
    assert_eq!(connects, expected.map(seconds));
    let story = written.lifecycle_inputs();
    let [Input::Lost { reason }] = story.as_slice() else { panic!("{story:?}") };
    assert!(reason.contains("/run/x.sock"), "{reason}");

    fake.update(|state| state.up = true);
    let batches = collect_batches(&mut source, seconds(3.0)).await;
    assert!(observations(&batches).contains(&Observation::SourceRecovered));
    assert_eq!(
        fake.update(|state| state.polls[0]),
        seconds(22.75),
        "polled right after the reconnect"
    );
    assert_eq!(source.stats().connections, 1);
}

#[tokio::test(start_paused = true)]
async fn polls_run_every_second_and_on_events() {
    let fake = FakeDaemon::new();
    let (mut source, _) = fake.start();
    collect_batches(&mut source, seconds(2.5)).await;
    fake.emit(Event::ContentCreated { digest: format!("sha256:{}", "a".repeat(64)), size: 1 });
    collect_batches(&mut source, seconds(0.01)).await;
    // A second event shortly after must not cause a poll within 100 ms.
    fake.emit(Event::SnapshotPrepared { key: "extract-1-x sha256:b".into() });
    collect_batches(&mut source, seconds(1.2)).await;
    // Containers and deleted images are not pulls.
    fake.emit(Event::SnapshotPrepared { key: "box".into() });
    fake.emit(Event::ImageDeleted { name: "x".into() });
    collect_batches(&mut source, seconds(0.1)).await;
    let polls = fake.update(|state| state.polls.clone());
    assert_eq!(polls, [0.0, 1.0, 2.0, 2.5, 2.6, 3.6].map(seconds));
    assert_eq!((source.stats().events, source.stats().event_gaps), (4, 0));
}

#[tokio::test(start_paused = true)]
async fn active_pull_shortens_poll_interval() {
    let fake = FakeDaemon::new();
    fake.update(|state| state.poll = Ok(poll_with_pull(fake.clock, 5)));
    let (mut source, _) = fake.start();
    let batches = collect_batches(&mut source, seconds(1.1)).await;
    let polls = fake.update(|state| state.polls.clone());
    assert_eq!(polls, [0.0, 0.25, 0.5, 0.75, 1.0].map(seconds));
    assert!(batches.iter().any(|batch| batch.poll_interval == Some(seconds(0.25))));
    let began = |observation: &Observation| {
        matches!(observation, Observation::Pull { fact: PullFact::Started { .. }, .. })
    };
    assert!(observations(&batches).iter().any(began));
}

/// A receiver takes pulls missing from the first complete batch as ended.
#[tokio::test(start_paused = true)]
async fn batches_are_partial_until_first_poll_is_resolved() {
    let fake = FakeDaemon::new();
    let mut poll = poll_with_pull(fake.clock, 5);
    let resources = poll.leases[0].resources.as_mut().unwrap();
    resources.extend(
        (0..MAX_PER_ROUND + 9)
            .map(|n| Resource { kind: "content".into(), id: format!("sha256:{n:064x}") }),
    );
    // Blobs that are too large for documents: one query each.
    let layer =
        Reply::Info { size: 8 << 20, created_at: fake.clock.now().node, labels: BTreeMap::new() };
    fake.update(|state| (state.poll, state.answer) = (Ok(poll), Ok(layer)));
    let (mut source, recorded) = fake.start();
    let batches = collect_batches(&mut source, seconds(2.0)).await;
    // There are more queries than fit into one round, so some wait for the second poll.
    let whole = batches.iter().position(|batch| !batch.partial).unwrap();
    assert_eq!(batches[whole].now.mono.0, fake.update(|state| state.polls[1]));
    assert_eq!(batches[whole].poll_interval, Some(seconds(0.25)));
    assert!(
        batches.iter().skip(whole).all(|batch| !batch.partial && batch.poll_interval.is_some())
    );

    // After a restart of containerd, the initial sync runs again.
    let now = fake.clock.now().node;
    fake.update(|state| state.started_at = Some(now));
    let batches = collect_batches(&mut source, seconds(2.0)).await;
    let lost = batches.iter().position(|b| b.observations.contains(&Observation::SourceLost));
    let partial: Vec<bool> = batches[lost.unwrap()..].iter().map(|batch| batch.partial).collect();
    assert_eq!(partial[..4], [true, true, true, false], "lost, recovered, poll, synced");

    let bytes = recorded.bytes();
    let mut replay = Replay::new(bytes.as_slice(), Speed::FASTEST).unwrap();
    let mut partial = Vec::new();
    while let Some(batch) = replay.next().await.unwrap() {
        partial.push(batch.partial);
    }
    partial.dedup();
    assert_eq!(partial, [true, false, true, false]);
}

#[tokio::test(start_paused = true)]
async fn connection_is_lost_when_broken_or_slow() {
    let fake = FakeDaemon::new();
    let (mut source, written) = fake.start();
    collect_batches(&mut source, seconds(0.1)).await;
    fake.update(|state| state.poll = Err(ClientError::Leases(Cause::Timeout)));
    collect_batches(&mut source, seconds(1.0)).await;
    fake.update(|state| state.poll = Ok(Poll::default()));
    collect_batches(&mut source, seconds(1.0)).await;
    assert_eq!(written.lifecycle_inputs().len(), 1, "recovered before the failure limit");
    assert_eq!(source.stats().failed_polls, 1);

    fake.update(|state| state.poll = Err(ClientError::Leases(Cause::Timeout)));
    collect_batches(&mut source, seconds(3.0)).await;
    assert!(matches!(
        written.lifecycle_inputs().as_slice(),
        [Input::Connected(_), Input::Lost { .. }]
    ));

    fake.update(|state| state.poll = Ok(Poll::default()));
    collect_batches(&mut source, seconds(6.0)).await;
    fake.update(|state| state.poll = Err(unreachable_error()));
    let batches = collect_batches(&mut source, seconds(30.0)).await;
    assert_eq!(
        observations(&batches),
        [Observation::SourceLost],
        "reported once although every retry fails"
    );
    let story = written.lifecycle_inputs();
    let [.., Input::Lost { reason }] = story.as_slice() else { panic!("{story:?}") };
    assert_eq!(reason, "failed to list ingests: connection refused");
}

#[tokio::test(start_paused = true)]
async fn restart_between_polls_is_detected() {
    let fake = FakeDaemon::new();
    let (mut source, written) = fake.start();
    collect_batches(&mut source, seconds(1.5)).await;
    let now = fake.clock.now().node;
    fake.update(|state| state.started_at = Some(now));
    let batches = collect_batches(&mut source, seconds(1.0)).await;
    let story = written.lifecycle_inputs();
    let [Input::Connected(old), Input::Lost { .. }, Input::Connected(new)] = story.as_slice()
    else {
        panic!("{story:?}")
    };
    assert!(old.started_at < new.started_at);
    assert_eq!(
        observations(&batches)[..2],
        [Observation::SourceLost, Observation::SourceRecovered]
    );
    assert_eq!(fake.update(|state| state.streams), 2, "the stream was opened again");
}

#[tokio::test(start_paused = true)]
async fn broken_event_stream_is_reopened_with_gap() {
    let fake = FakeDaemon::new();
    let (mut source, written) = fake.start();
    collect_batches(&mut source, seconds(0.1)).await;
    fake.update(|state| state.stream = None);
    collect_batches(&mut source, seconds(0.3)).await;
    assert_eq!(fake.update(|state| state.streams), 2);
    let story = written.lifecycle_inputs();
    assert!(
        matches!(story.as_slice(), [Input::Connected(_), Input::Event(Event::Gap)]),
        "{story:?}"
    );
    assert_eq!(fake.update(|state| state.polls.clone()), [0.0, 0.35].map(seconds));
    assert_eq!(source.stats().event_gaps, 1);
}

#[tokio::test(start_paused = true)]
async fn event_overflow_is_counted_as_gap() {
    let fake = FakeDaemon::new();
    let (mut source, written) = fake.start();
    collect_batches(&mut source, seconds(0.1)).await;
    // Nothing receives the batches, so the task blocks while events arrive.
    tokio::time::sleep(seconds(30.0)).await;
    for n in 0..2_000 {
        fake.emit(Event::ImageDeleted { name: n.to_string() });
    }
    tokio::time::sleep(seconds(1.0)).await;
    collect_batches(&mut source, seconds(5.0)).await;
    let stats = source.stats();
    assert_eq!((stats.event_gaps, stats.dropped_events), (1, 2_000 - 1_024));
    let gaps = written
        .lifecycle_inputs()
        .iter()
        .filter(|input| **input == Input::Event(Event::Gap))
        .count();
    assert_eq!(gaps, 1);
}

#[tokio::test(start_paused = true)]
async fn queries_are_answered_in_bounded_rounds() {
    let fake = FakeDaemon::new();
    let mut poll = poll_with_pull(fake.clock, 5);
    let digests: Vec<String> = (0..300).map(|n| format!("sha256:{n:064x}")).collect();
    let content =
        digests.iter().map(|digest| Resource { kind: "content".into(), id: digest.clone() });
    poll.leases[0].resources.as_mut().unwrap().extend(content);
    fake.update(|state| state.poll = Ok(poll));
    let (mut source, recorded) = fake.start();
    collect_batches(&mut source, seconds(0.1)).await;
    assert_eq!(fake.update(|state| state.queries.len()), MAX_PER_ROUND);

    collect_batches(&mut source, seconds(2.0)).await;
    let asked = fake.update(|state| state.queries.clone());
    for digest in digests {
        assert!(asked.contains(&Query::Info { digest }), "no query is lost");
    }
    let answers = recorded.inputs().into_iter().filter_map(|(_, input)| match input {
        Input::Answer(answer) => Some(answer.to),
        _ => None,
    });
    assert_eq!(answers.collect::<Vec<_>>(), asked, "all answers reach the tracker in order");
    assert_eq!(source.stats().queries, asked.len() as u64);
}

#[tokio::test(start_paused = true)]
async fn broken_connection_during_query_is_lost() {
    let fake = FakeDaemon::new();
    let (mut source, recorded) = fake.start();
    collect_batches(&mut source, seconds(0.5)).await;
    fake.update(|state| {
        state.answer = Err(ClientError::Images(Cause::Unreachable("reset".into())));
        state.up = false;
    });
    fake.emit(image_written(1));
    fake.emit(image_written(2));
    collect_batches(&mut source, seconds(3.0)).await;
    assert_eq!(fake.update(|state| state.queries.len()), 1, "further queries are skipped");
    assert_eq!(source.stats().failed_queries, 1);
    let inputs: Vec<Input> = recorded.inputs().into_iter().map(|(_, input)| input).collect();
    let [.., Input::Answer(answer), Input::Lost { .. }] = inputs.as_slice() else {
        panic!("{inputs:?}")
    };
    assert!(matches!(&answer.reply, Reply::Failed { reason } if reason.contains("reset")));
}

#[tokio::test(start_paused = true)]
async fn hanging_daemon_gets_no_further_queries() {
    let fake = FakeDaemon::new();
    let (mut source, _) = fake.start();
    collect_batches(&mut source, seconds(0.5)).await;
    fake.update(|state| state.answer = Err(ClientError::Images(Cause::Timeout)));
    for n in 0..5 {
        fake.emit(image_written(n));
    }
    collect_batches(&mut source, seconds(0.05)).await;
    let asked = fake.update(|state| state.queries.len());
    assert!(asked < 5, "{asked}");
    fake.update(|state| state.answer = Ok(Reply::NotFound));
    collect_batches(&mut source, seconds(2.0)).await;
    assert_eq!(source.stats().connections, 1, "the connection was kept");
}

#[tokio::test(start_paused = true)]
async fn dropping_source_stops_all_tasks() {
    let fake = FakeDaemon::new();
    let (mut source, _) = fake.start();
    collect_batches(&mut source, seconds(1.5)).await;
    assert!(Arc::strong_count(&fake.state) > 1);
    drop(source);
    // The runtime drops aborted tasks the next time it runs them.
    tokio::task::yield_now().await;
    tokio::task::yield_now().await;
    assert_eq!(Arc::strong_count(&fake.state), 1);
}

#[tokio::test(start_paused = true)]
async fn recording_failure_does_not_stop_source() {
    struct Full(usize);
    impl Write for Full {
        fn write(&mut self, text: &[u8]) -> io::Result<usize> {
            self.0 = self.0.checked_sub(text.len()).ok_or(io::ErrorKind::StorageFull)?;
            Ok(text.len())
        }
        fn flush(&mut self) -> io::Result<()> {
            Ok(())
        }
    }
    let fake = FakeDaemon::new();
    let mut source = fake.start_with(Full(600));
    collect_batches(&mut source, seconds(10.5)).await;
    let stats = source.stats();
    assert!(stats.recorded_inputs > 1, "{stats:?}");
    assert!(stats.recording_error.unwrap().starts_with("failed to write the recording"));
    assert_eq!(stats.polls, 11);
}

/// A replay returns the recorded observations at the recorded times.
#[tokio::test(start_paused = true)]
async fn replay_reproduces_observations_and_timing() {
    let fake = FakeDaemon::new();
    let (mut source, recorded) = fake.start();
    let mut live = collect_batches(&mut source, seconds(1.5)).await;
    for step in 1..=10 {
        fake.update(|state| state.poll = Ok(poll_with_pull(fake.clock, step * 100)));
        if step == 4 {
            fake.emit(image_written(4));
        }
        live.extend(collect_batches(&mut source, seconds(0.3)).await);
    }
    fake.update(|state| state.poll = Ok(Poll::default()));
    live.extend(collect_batches(&mut source, seconds(3.0)).await);
    drop(source);
    let live = observations(&live);
    assert!(
        live.iter().any(|o| matches!(o, Observation::Pull { fact: PullFact::Ended { .. }, .. })),
        "{live:?}"
    );

    let bytes = recorded.bytes();
    let length = recorded.inputs().last().unwrap().0;
    for (speed, takes) in [
        (Speed::FASTEST, Duration::ZERO),
        (Speed::REAL, length),
        (Speed::times(4.0).unwrap(), length / 4),
    ] {
        let before = fake.elapsed();
        let mut replay = Replay::new(bytes.as_slice(), speed).unwrap();
        let mut said = Vec::new();
        // Dropping the future and calling `next` again loses nothing.
        loop {
            let Ok(batch) = timeout(seconds(0.1), replay.next()).await else {
                continue;
            };
            match batch.unwrap() {
                Some(batch) => said.extend(batch.observations),
                None => break,
            }
        }
        assert_eq!(said, live);
        let took = fake.elapsed() - before;
        // tokio's timers have a resolution of 1 ms.
        assert!(took.abs_diff(takes) < seconds(0.2), "{took:?} instead of {takes:?}");
        assert!(!replay.is_truncated());
    }

    let torn = bytes.get(..bytes.len() - 9).unwrap();
    let mut replay = Replay::new(torn, Speed::FASTEST).unwrap();
    while replay.next().await.unwrap().is_some() {}
    assert!(replay.is_truncated());

    let mut bad = bytes.clone();
    bad.extend_from_slice(b"nonsense\n");
    let mut replay = Replay::new(bad.as_slice(), Speed::FASTEST).unwrap();
    let error = loop {
        match replay.next().await {
            Ok(batch) => assert!(batch.is_some(), "the replay ended without an error"),
            Err(error) => break error_chain(&error),
        }
    };
    let line = recorded.inputs().len() + 2;
    assert!(error.contains(&format!("line {line} ")), "{error}");
}

#[test]
fn speed_must_be_positive_and_finite() {
    for bad in [0.0, -1.0, f64::NAN, f64::INFINITY] {
        assert_eq!(Speed::times(bad), None);
    }
    assert_eq!(Speed::times(1.0), Some(Speed::REAL));
}
