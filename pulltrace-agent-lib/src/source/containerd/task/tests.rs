//! The task with a containerd that a test holds in its hand, in the time of the test.

use std::collections::BTreeMap;
use std::io;
use std::path::PathBuf;

use pulltrace_core::Observation;
use tokio::time::timeout;

use super::super::client::Cause;
use super::super::discover::DiscoverError;
use super::super::input::{Ingest, Lease, Query, Resource};
use super::super::recording::Recording;
use super::super::replay::{Replay, Speed};
use super::super::{Containerd, KUBERNETES};
use super::*;
use crate::source::PullSource;

/// A containerd that does what the test says.
#[derive(Clone)]
struct Fake {
    clock: Clock,
    state: Arc<Mutex<State>>,
}

struct State {
    up: bool,
    started_at: Option<NodeTime>,
    poll: Result<Poll, ClientError>,
    answer: Result<Reply, ClientError>,
    connects: Vec<Duration>,
    polls: Vec<Duration>,
    asked: Vec<Query>,
    /// Of the stream that is open.
    stream: Option<mpsc::Sender<Event>>,
    streams: usize,
}

impl Fake {
    fn new() -> Self {
        let start: NodeTime = "2026-11-24T20:00:00Z".parse().unwrap();
        let state = State {
            up: true,
            started_at: Some(start.saturating_sub(Duration::from_secs(3_600))),
            poll: Ok(Poll::default()),
            answer: Ok(Reply::NotFound),
            connects: Vec::new(),
            polls: Vec::new(),
            asked: Vec::new(),
            stream: None,
            streams: 0,
        };
        Self {
            clock: Clock::anchored(start),
            state: Arc::new(Mutex::new(state)),
        }
    }

    fn with<T>(&self, change: impl FnOnce(&mut State) -> T) -> T {
        change(&mut self.state.lock().unwrap())
    }

    fn elapsed(&self) -> Duration {
        self.clock.now().mono.0
    }

    /// Announces something. The task has not seen it yet.
    fn say(&self, event: Event) {
        let stream = self
            .with(|state| state.stream.clone())
            .expect("nobody listens");
        stream.try_send(event).expect("there is room");
    }

    fn start(&self) -> (Containerd, Written) {
        let written = Written::default();
        (self.start_with(written.clone()), written)
    }

    fn start_with(&self, out: impl Write + Send + 'static) -> Containerd {
        let (node, namespace) = ("n1".parse().unwrap(), KUBERNETES.parse().unwrap());
        let recorder: Recorder<Box<dyn Write + Send>> =
            Recorder::new(Box::new(out), node, namespace);
        let tracker = Tracker::new("n1".parse().unwrap(), KUBERNETES.parse().unwrap());
        Containerd::spawn(self.clone(), self.clock, tracker, Some(recorder))
    }
}

impl Connect for Fake {
    type Daemon = Self;

    async fn connect(&mut self) -> Result<Connected<Self>, DiscoverError> {
        let at = self.elapsed();
        let (up, started_at) = self.with(|state| {
            state.connects.push(at);
            (state.up, state.started_at)
        });
        if !up {
            return Err(DiscoverError::Missing {
                path: PathBuf::from("/run/x.sock"),
            });
        }
        Ok(Connected {
            daemon: self.clone(),
            server: Server {
                version: "1.6.20".into(),
                started_at,
            },
            at: "/run/x.sock".into(),
            has_namespace: true,
        })
    }
}

impl Daemon for Fake {
    fn started_at(&self) -> Option<NodeTime> {
        self.with(|state| state.started_at)
    }

    fn left_out(&self) -> u64 {
        0
    }

    async fn poll(&self, _idle: bool) -> Result<Poll, ClientError> {
        let at = self.elapsed();
        self.with(|state| {
            state.polls.push(at);
            state.poll.clone()
        })
    }

    async fn answer(&self, query: &Query) -> Result<Reply, ClientError> {
        self.with(|state| {
            state.asked.push(query.clone());
            state.answer.clone()
        })
    }

    async fn events(&self, mut tell: impl FnMut(Event) + Send) -> ClientError {
        let (sender, mut events) = mpsc::channel(4_096);
        self.with(|state| {
            state.stream = Some(sender);
            state.streams += 1;
        });
        while let Some(event) = events.recv().await {
            tell(event);
        }
        ClientError::Events(Cause::Unreachable("the test broke it".into()))
    }
}

/// A writer whose text can be looked at.
#[derive(Clone, Default)]
struct Written(Arc<Mutex<Vec<u8>>>);

impl Write for Written {
    fn write(&mut self, text: &[u8]) -> io::Result<usize> {
        self.0.lock().unwrap().write(text)
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

impl Written {
    fn bytes(&self) -> Vec<u8> {
        self.0.lock().unwrap().clone()
    }

    /// What the tracker was told, and how long after the start.
    fn inputs(&self) -> Vec<(Duration, Input)> {
        let bytes = self.bytes();
        if bytes.is_empty() {
            return Vec::new();
        }
        let lines = Recording::open(bytes.as_slice()).unwrap();
        lines
            .map(Result::unwrap)
            .map(|line| (line.now.mono.0, line.input))
            .collect()
    }

    /// The inputs that are neither polls nor answers.
    fn story(&self) -> Vec<Input> {
        let inputs = self.inputs().into_iter().map(|(_, input)| input);
        inputs
            .filter(|input| !matches!(input, Input::Poll(_) | Input::Answer(_)))
            .collect()
    }
}

/// Takes what comes for as long as this.
async fn take(source: &mut Containerd, time: Duration) -> Vec<Batch> {
    let mut all = Vec::new();
    let taking = async {
        loop {
            all.push(source.next().await.unwrap().unwrap());
        }
    };
    assert!(timeout(time, taking).await.is_err());
    all
}

fn observed(batches: &[Batch]) -> Vec<Observation> {
    batches
        .iter()
        .flat_map(|batch| batch.observations.clone())
        .collect()
}

fn seconds(s: f64) -> Duration {
    Duration::from_secs_f64(s)
}

fn unreachable() -> ClientError {
    ClientError::Ingests(Cause::Unreachable("connection refused".into()))
}

fn written(n: usize) -> Event {
    Event::ImageWritten {
        name: format!("docker.io/library/x:{n}"),
        at: "2026-11-24T20:00:00Z".parse().unwrap(),
    }
}

/// One pull, one layer of which is being written.
fn pulling(clock: Clock, offset: i64) -> Poll {
    let digest = format!("sha256:{}", "a".repeat(64));
    let reference = format!("layer-{digest}");
    let now = clock.now().node;
    let resource = Resource {
        kind: "ingests".into(),
        id: reference.clone(),
    };
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
async fn an_outage_is_told_once_and_looked_at_less_and_less() {
    let fake = Fake::new();
    fake.with(|state| state.up = false);
    let (mut source, written) = fake.start();

    let batches = take(&mut source, seconds(20.0)).await;
    assert_eq!(observed(&batches), [Observation::SourceLost]);
    let connects = fake.with(|state| state.connects.clone());
    let expected = [0.0, 0.25, 0.75, 1.75, 3.75, 7.75, 12.75, 17.75];
    assert_eq!(connects, expected.map(seconds));
    let story = written.story();
    let [Input::Lost { reason }] = story.as_slice() else {
        panic!("{story:?}")
    };
    assert!(
        reason.contains("/run/x.sock") && reason.contains("start containerd"),
        "{reason}"
    );

    fake.with(|state| state.up = true);
    let batches = take(&mut source, seconds(3.0)).await;
    assert!(observed(&batches).contains(&Observation::SourceBack));
    assert_eq!(
        fake.with(|state| state.polls[0]),
        seconds(22.75),
        "polled as soon as it was back"
    );
    assert_eq!(source.stats().connections, 1);
}

#[tokio::test(start_paused = true)]
async fn it_polls_each_second_and_when_something_happens() {
    let fake = Fake::new();
    let (mut source, _) = fake.start();
    take(&mut source, seconds(2.5)).await;
    fake.say(Event::ContentCreated {
        digest: format!("sha256:{}", "a".repeat(64)),
        size: 1,
    });
    take(&mut source, seconds(0.01)).await;
    // Another right behind it does not make the third poll within a tenth of a second.
    fake.say(Event::SnapshotPrepared {
        key: "extract-1-x sha256:b".into(),
    });
    take(&mut source, seconds(1.2)).await;
    // A container, and an image that goes away, are no pull.
    fake.say(Event::SnapshotPrepared { key: "box".into() });
    fake.say(Event::ImageDeleted { name: "x".into() });
    take(&mut source, seconds(0.1)).await;
    let polls = fake.with(|state| state.polls.clone());
    assert_eq!(polls, [0.0, 1.0, 2.0, 2.5, 2.6, 3.6].map(seconds));
    assert_eq!((source.stats().events, source.stats().gaps), (4, 0));
}

#[tokio::test(start_paused = true)]
async fn a_pull_is_polled_more_often() {
    let fake = Fake::new();
    fake.with(|state| state.poll = Ok(pulling(fake.clock, 5)));
    let (mut source, _) = fake.start();
    let batches = take(&mut source, seconds(1.1)).await;
    let polls = fake.with(|state| state.polls.clone());
    assert_eq!(polls, [0.0, 0.25, 0.5, 0.75, 1.0].map(seconds));
    assert!(
        batches
            .iter()
            .any(|batch| batch.interval == Some(seconds(0.25)))
    );
    let began = |observation: &Observation| matches!(observation, Observation::Began { .. });
    assert!(observed(&batches).iter().any(began));
}

/// A receiver takes what the first whole batch does not know of for over.
#[tokio::test(start_paused = true)]
async fn batches_are_partial_until_the_first_poll_is_understood() {
    let fake = Fake::new();
    let mut poll = pulling(fake.clock, 5);
    let resources = poll.leases[0].resources.as_mut().unwrap();
    resources.extend((0..AT_ONCE + 9).map(|n| Resource {
        kind: "content".into(),
        id: format!("sha256:{n:064x}"),
    }));
    // Blobs that are too large for documents: one question each.
    let layer = Reply::Info {
        size: 8 << 20,
        created_at: fake.clock.now().node,
        labels: BTreeMap::new(),
    };
    fake.with(|state| (state.poll, state.answer) = (Ok(poll), Ok(layer)));
    let (mut source, recorded) = fake.start();
    let batches = take(&mut source, seconds(2.0)).await;
    // Of more questions than are asked at once, some wait for the second poll.
    let whole = batches.iter().position(|batch| !batch.partial).unwrap();
    assert_eq!(batches[whole].now.mono.0, fake.with(|state| state.polls[1]));
    assert_eq!(batches[whole].interval, Some(seconds(0.25)));
    assert!(
        batches
            .iter()
            .skip(whole)
            .all(|batch| !batch.partial && batch.interval.is_some())
    );

    // Another containerd, and it begins again.
    let now = fake.clock.now().node;
    fake.with(|state| state.started_at = Some(now));
    let batches = take(&mut source, seconds(2.0)).await;
    let lost = batches
        .iter()
        .position(|b| b.observations.contains(&Observation::SourceLost));
    let partial: Vec<bool> = batches[lost.unwrap()..]
        .iter()
        .map(|batch| batch.partial)
        .collect();
    assert_eq!(
        partial[..4],
        [true, true, true, false],
        "lost, back, a poll, all said"
    );

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
async fn a_broken_connection_is_lost_at_once_and_a_slow_one_after_three_polls() {
    let fake = Fake::new();
    let (mut source, written) = fake.start();
    take(&mut source, seconds(0.1)).await;
    fake.with(|state| state.poll = Err(ClientError::Leases(Cause::Timeout)));
    take(&mut source, seconds(1.0)).await;
    fake.with(|state| state.poll = Ok(Poll::default()));
    take(&mut source, seconds(1.0)).await;
    assert_eq!(written.story().len(), 1, "it came back in time");
    assert_eq!(source.stats().failed_polls, 1);

    fake.with(|state| state.poll = Err(ClientError::Leases(Cause::Timeout)));
    take(&mut source, seconds(3.0)).await;
    assert!(matches!(
        written.story().as_slice(),
        [Input::Connected(_), Input::Lost { .. }]
    ));

    fake.with(|state| state.poll = Ok(Poll::default()));
    take(&mut source, seconds(6.0)).await;
    fake.with(|state| state.poll = Err(unreachable()));
    let batches = take(&mut source, seconds(30.0)).await;
    assert_eq!(
        observed(&batches),
        [Observation::SourceLost],
        "once, though each try fails"
    );
    let story = written.story();
    let [.., Input::Lost { reason }] = story.as_slice() else {
        panic!("{story:?}")
    };
    assert_eq!(
        reason,
        "cannot list what is being written: connection refused"
    );
}

#[tokio::test(start_paused = true)]
async fn a_restart_between_two_polls_is_noticed() {
    let fake = Fake::new();
    let (mut source, written) = fake.start();
    take(&mut source, seconds(1.5)).await;
    let now = fake.clock.now().node;
    fake.with(|state| state.started_at = Some(now));
    let batches = take(&mut source, seconds(1.0)).await;
    let story = written.story();
    let [
        Input::Connected(old),
        Input::Lost { .. },
        Input::Connected(new),
    ] = story.as_slice()
    else {
        panic!("{story:?}")
    };
    assert!(old.started_at < new.started_at);
    assert_eq!(
        observed(&batches)[..2],
        [Observation::SourceLost, Observation::SourceBack]
    );
    assert_eq!(
        fake.with(|state| state.streams),
        2,
        "the stream was opened anew"
    );
}

#[tokio::test(start_paused = true)]
async fn a_stream_that_breaks_is_opened_again_and_is_a_gap() {
    let fake = Fake::new();
    let (mut source, written) = fake.start();
    take(&mut source, seconds(0.1)).await;
    fake.with(|state| state.stream = None);
    take(&mut source, seconds(0.3)).await;
    assert_eq!(fake.with(|state| state.streams), 2);
    let story = written.story();
    assert!(
        matches!(
            story.as_slice(),
            [Input::Connected(_), Input::Event(Event::Gap)]
        ),
        "{story:?}"
    );
    assert_eq!(
        fake.with(|state| state.polls.clone()),
        [0.0, 0.35].map(seconds)
    );
    assert_eq!(source.stats().gaps, 1);
}

#[tokio::test(start_paused = true)]
async fn more_events_than_fit_are_counted_and_a_gap() {
    let fake = Fake::new();
    let (mut source, written) = fake.start();
    take(&mut source, seconds(0.1)).await;
    // The task waits for room for its batches, as nobody takes them: meanwhile events come.
    tokio::time::sleep(seconds(30.0)).await;
    for n in 0..2_000 {
        fake.say(Event::ImageDeleted {
            name: n.to_string(),
        });
    }
    tokio::time::sleep(seconds(1.0)).await;
    take(&mut source, seconds(5.0)).await;
    let stats = source.stats();
    assert_eq!((stats.gaps, stats.dropped_events), (1, 2_000 - 1_024));
    let gaps = written
        .story()
        .iter()
        .filter(|input| **input == Input::Event(Event::Gap))
        .count();
    assert_eq!(gaps, 1);
}

#[tokio::test(start_paused = true)]
async fn what_the_tracker_asks_is_answered_at_once_but_not_without_end() {
    let fake = Fake::new();
    let mut poll = pulling(fake.clock, 5);
    let digests: Vec<String> = (0..300).map(|n| format!("sha256:{n:064x}")).collect();
    let content = digests.iter().map(|digest| Resource {
        kind: "content".into(),
        id: digest.clone(),
    });
    poll.leases[0].resources.as_mut().unwrap().extend(content);
    fake.with(|state| state.poll = Ok(poll));
    let (mut source, recorded) = fake.start();
    take(&mut source, seconds(0.1)).await;
    assert_eq!(fake.with(|state| state.asked.len()), AT_ONCE);

    take(&mut source, seconds(2.0)).await;
    let asked = fake.with(|state| state.asked.clone());
    for digest in digests {
        assert!(asked.contains(&Query::Info { digest }), "none is forgotten");
    }
    let answers = recorded
        .inputs()
        .into_iter()
        .filter_map(|(_, input)| match input {
            Input::Answer(answer) => Some(answer.to),
            _ => None,
        });
    assert_eq!(
        answers.collect::<Vec<_>>(),
        asked,
        "the tracker is told each answer, in order"
    );
    assert_eq!(source.stats().queries, asked.len() as u64);
}

#[tokio::test(start_paused = true)]
async fn a_connection_that_breaks_while_it_is_asked_is_lost() {
    let fake = Fake::new();
    let (mut source, recorded) = fake.start();
    take(&mut source, seconds(0.5)).await;
    fake.with(|state| {
        state.answer = Err(ClientError::Images(Cause::Unreachable("reset".into())));
        state.up = false;
    });
    fake.say(written(1));
    fake.say(written(2));
    take(&mut source, seconds(3.0)).await;
    assert_eq!(
        fake.with(|state| state.asked.len()),
        1,
        "the rest is not asked"
    );
    assert_eq!(source.stats().failed_queries, 1);
    let inputs: Vec<Input> = recorded
        .inputs()
        .into_iter()
        .map(|(_, input)| input)
        .collect();
    let [.., Input::Answer(answer), Input::Lost { .. }] = inputs.as_slice() else {
        panic!("{inputs:?}")
    };
    assert!(matches!(&answer.reply, Reply::Failed { reason } if reason.contains("reset")));
}

#[tokio::test(start_paused = true)]
async fn one_that_hangs_is_not_asked_the_rest() {
    let fake = Fake::new();
    let (mut source, _) = fake.start();
    take(&mut source, seconds(0.5)).await;
    fake.with(|state| state.answer = Err(ClientError::Images(Cause::Timeout)));
    for n in 0..5 {
        fake.say(written(n));
    }
    take(&mut source, seconds(0.05)).await;
    let asked = fake.with(|state| state.asked.len());
    assert!(asked < 5, "{asked}");
    fake.with(|state| state.answer = Ok(Reply::NotFound));
    take(&mut source, seconds(2.0)).await;
    assert_eq!(source.stats().connections, 1, "it was not lost");
}

#[tokio::test(start_paused = true)]
async fn who_drops_the_source_stops_all_of_it() {
    let fake = Fake::new();
    let (mut source, _) = fake.start();
    take(&mut source, seconds(1.5)).await;
    assert!(Arc::strong_count(&fake.state) > 1);
    drop(source);
    // The runtime ends what was aborted when it has its turn.
    tokio::task::yield_now().await;
    tokio::task::yield_now().await;
    assert_eq!(Arc::strong_count(&fake.state), 1);
}

#[tokio::test(start_paused = true)]
async fn a_recording_that_cannot_be_written_does_not_stop_the_watching() {
    struct Full(usize);
    impl Write for Full {
        fn write(&mut self, text: &[u8]) -> io::Result<usize> {
            self.0 = self
                .0
                .checked_sub(text.len())
                .ok_or(io::ErrorKind::StorageFull)?;
            Ok(text.len())
        }
        fn flush(&mut self) -> io::Result<()> {
            Ok(())
        }
    }
    let fake = Fake::new();
    let mut source = fake.start_with(Full(600));
    take(&mut source, seconds(10.5)).await;
    let stats = source.stats();
    assert!(stats.recorded_inputs > 1, "{stats:?}");
    assert!(
        stats
            .recording_stopped
            .unwrap()
            .starts_with("cannot write the recording")
    );
    assert_eq!(stats.polls, 11);
}

/// A replay says what was said when it was recorded, and in the same time.
#[tokio::test(start_paused = true)]
async fn a_replay_says_the_same() {
    let fake = Fake::new();
    let (mut source, recorded) = fake.start();
    let mut live = take(&mut source, seconds(1.5)).await;
    for step in 1..=10 {
        fake.with(|state| state.poll = Ok(pulling(fake.clock, step * 100)));
        if step == 4 {
            fake.say(written(4));
        }
        live.extend(take(&mut source, seconds(0.3)).await);
    }
    fake.with(|state| state.poll = Ok(Poll::default()));
    live.extend(take(&mut source, seconds(3.0)).await);
    drop(source);
    let live = observed(&live);
    assert!(
        live.iter().any(|o| matches!(o, Observation::Ended { .. })),
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
        // One that is given up and called again loses nothing.
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
        // tokio's timers have a grain of a millisecond.
        assert!(
            took.abs_diff(takes) < seconds(0.2),
            "{took:?} instead of {takes:?}"
        );
        assert!(!replay.is_torn());
    }

    let torn = bytes.get(..bytes.len() - 9).unwrap();
    let mut replay = Replay::new(torn, Speed::FASTEST).unwrap();
    while replay.next().await.unwrap().is_some() {}
    assert!(replay.is_torn());

    let mut bad = bytes.clone();
    bad.extend_from_slice(b"nonsense\n");
    let mut replay = Replay::new(bad.as_slice(), Speed::FASTEST).unwrap();
    let error = loop {
        match replay.next().await {
            Ok(batch) => assert!(batch.is_some(), "it ended well"),
            Err(error) => break chain(&error),
        }
    };
    let line = recorded.inputs().len() + 2;
    assert!(error.contains(&format!("line {line} ")), "{error}");
}

#[test]
fn a_speed_is_a_number_above_zero() {
    for bad in [0.0, -1.0, f64::NAN, f64::INFINITY] {
        assert_eq!(Speed::times(bad), None);
    }
    assert_eq!(Speed::times(1.0), Some(Speed::REAL));
}
