//! The task around the tracker: it connects, listens, polls, asks, and hands on what the tracker saw.
//!
//! Every input goes through [`Task::tell`], which records it and steps the tracker; so a recording holds
//! exactly what the tracker was told. What the inputs mean is not judged here.

use std::io::Write;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use pulltrace_core::{Mono, NodeTime, Now};
use tokio::sync::mpsc;
use tokio::task::JoinSet;
use tokio::time::sleep;
use tracing::{debug, error, info, warn};

use super::client::{ClientError, chain};
use super::daemon::{Connect, Connected, Daemon};
use super::input::{Answer, Event, Input, Poll, Reply, Server};
use super::interval::{self, Load};
use super::mailbox::{Events, Mailbox, mailbox};
use super::questions::{AT_ONCE, Questions};
use super::recording::{RecordError, Recorder};
use super::tracker::{Step, Tracker};
use super::{Stats, discover};
use crate::clock::Clock;
use crate::source::Batch;

/// The wait after the first failure; it doubles with each.
const FIRST_WAIT: Duration = Duration::from_millis(250);

/// The longest wait between two tries.
const LONGEST_WAIT: Duration = Duration::from_secs(5);

/// How many polls in a row may fail, with the connection standing, before containerd counts as away.
const MAX_FAILURES: u32 = 3;

/// Nobody takes the batches any more.
struct Closed;

/// Why a containerd is not watched any more.
struct Gone {
    reason: String,
    /// It was watched before: the tracker was told of it.
    was_there: bool,
    /// A try right away makes no sense.
    hopeless: bool,
}

pub(super) struct Task<C> {
    connect: C,
    clock: Clock,
    tracker: Tracker,
    recorder: Option<Recorder<Box<dyn Write + Send>>>,
    questions: Questions,
    out: mpsc::Sender<Batch>,
    stats: Arc<Mutex<Stats>>,
    backoff: Backoff,
    /// What was last said of an outage that goes on.
    outage: Option<String>,
    /// How long after a poll the next one comes, as last chosen.
    interval: Option<Duration>,
    /// Not all of what the first poll brought up is answered yet.
    partial: bool,
}

impl<C: Connect> Task<C> {
    pub(super) fn new(
        connect: C,
        clock: Clock,
        tracker: Tracker,
        recorder: Option<Recorder<Box<dyn Write + Send>>>,
        out: mpsc::Sender<Batch>,
        stats: Arc<Mutex<Stats>>,
    ) -> Self {
        Self {
            connect,
            clock,
            tracker,
            recorder,
            questions: Questions::default(),
            out,
            stats,
            backoff: Backoff::default(),
            outage: None,
            interval: None,
            partial: true,
        }
    }

    /// Runs until nobody takes the batches any more.
    pub(super) async fn run(mut self) {
        loop {
            let gone = match self.connect.connect().await {
                Ok(connected) => match self.watch(connected).await {
                    Ok(gone) => gone,
                    Err(Closed) => return,
                },
                Err(error) => Gone {
                    reason: chain(&error),
                    was_there: false,
                    hopeless: false,
                },
            };
            if gone.hopeless {
                self.backoff.skip();
            }
            if self.lost(gone).await.is_err() {
                return;
            }
            sleep(self.backoff.next()).await;
        }
    }

    /// Tells of an outage once, and again where the reason is another.
    async fn lost(&mut self, gone: Gone) -> Result<(), Closed> {
        if self.outage.as_ref() == Some(&gone.reason) {
            return Ok(());
        }
        if gone.was_there {
            warn!("lost containerd: {}", gone.reason);
        } else {
            warn!(
                "no containerd yet, it is looked for until it is there: {}",
                gone.reason
            );
        }
        let told = self.outage.replace(gone.reason.clone()).is_some();
        if told && !gone.was_there {
            return Ok(());
        }
        self.questions.clear();
        let now = self.clock.now();
        let step = self.tell(
            &Input::Lost {
                reason: gone.reason,
            },
            now,
        );
        // Whoever could answer is gone.
        self.questions.clear();
        (self.interval, self.partial) = (None, true);
        self.hand_on(self.batch(now, step)).await
    }

    /// Watches a containerd until it is gone.
    async fn watch(&mut self, connected: Connected<C::Daemon>) -> Result<Gone, Closed> {
        let Connected {
            daemon,
            server,
            at,
            has_namespace,
        } = connected;
        let daemon = Arc::new(daemon);
        // Listening begins before the first poll, so that nothing falls in between. It ends with this function.
        let (mailbox, mut events) = mailbox();
        let mut listener = JoinSet::new();
        listener.spawn(listen(Arc::clone(&daemon), mailbox));

        let mut failures = 0;
        let mut due = Mono::default();
        let mut last = (Mono::default(), Load::default());
        // Only one that has answered a poll is there: else one that does not would come and go with each try.
        let mut is_there = false;
        loop {
            let mut now = self.clock.now();
            if now.mono >= due {
                if is_there && is_another(&server, daemon.started_at()) {
                    let reason = "it was started anew".to_owned();
                    return Ok(Gone {
                        reason,
                        was_there: true,
                        hopeless: false,
                    });
                }
                let polled = daemon.poll(!self.tracker.is_busy()).await;
                now = self.clock.now();
                match polled {
                    Ok(poll) => {
                        failures = 0;
                        if !is_there {
                            is_there = true;
                            self.backoff = Backoff::default();
                            self.outage = None;
                            announce(&server, &at, has_namespace);
                            self.count(|stats| stats.connections += 1);
                            let step = self.tell(&Input::Connected(server.clone()), now);
                            self.hand_on(self.batch(now, step)).await?;
                        }
                        let load = Load::of(&poll);
                        last = (now.mono, load);
                        if let Some(gone) = self.polled(daemon.as_ref(), poll, now).await? {
                            return Ok(gone);
                        }
                        // Now, since the answers may have shown that there is something to watch.
                        due = now.mono + self.choose_interval(load);
                    }
                    Err(error) => {
                        failures += 1;
                        self.count(|stats| stats.failed_polls += 1);
                        debug!("a poll failed: {}", chain(&error));
                        let hopeless = !error.is_retryable();
                        if !is_there || error.is_lost() || hopeless || failures >= MAX_FAILURES {
                            return Ok(Gone {
                                reason: chain(&error),
                                was_there: is_there,
                                hopeless,
                            });
                        }
                        due = now.mono + FIRST_WAIT;
                    }
                }
                continue;
            }
            tokio::select! {
                taken = events.take() => {
                    let Some(taken) = taken else {
                        let reason = "the task that listens to its events stopped".to_owned();
                        return Ok(Gone { reason, was_there: is_there, hopeless: false });
                    };
                    let wakes = taken.iter().any(wakes);
                    self.happened(taken, &events).await?;
                    if let Some(gone) = self.ask(daemon.as_ref()).await? {
                        return Ok(gone);
                    }
                    if wakes {
                        due = due.min(last.0 + interval::soonest(last.1));
                    }
                }
                () = sleep(due.since(now.mono)) => {}
            }
        }
    }

    /// Tells of a poll, and asks what it brings up.
    async fn polled(
        &mut self,
        daemon: &C::Daemon,
        poll: Poll,
        now: Now,
    ) -> Result<Option<Gone>, Closed> {
        let left_out = daemon.left_out();
        self.count(|stats| {
            stats.polls += 1;
            stats.left_out += left_out;
        });
        let load = Load::of(&poll);
        let step = self.tell(&Input::Poll(poll), now);
        self.choose_interval(load);
        self.hand_on(self.batch(now, step)).await?;
        let gone = self.ask(daemon).await?;
        if gone.is_none() && self.partial && self.questions.is_empty() {
            self.partial = false;
            let nothing = self.batch(self.clock.now(), Step::default());
            self.hand_on(nothing).await?;
        }
        Ok(gone)
    }

    /// Tells of events, in order.
    async fn happened(&mut self, taken: Vec<Event>, events: &Events) -> Result<(), Closed> {
        let now = self.clock.now();
        let dropped = events.dropped();
        let gaps = taken.iter().filter(|event| **event == Event::Gap).count();
        self.count(|stats| {
            stats.events += taken.len() as u64;
            stats.gaps += gaps as u64;
            stats.dropped_events += dropped;
        });
        let mut all = self.batch(now, Step::default());
        for event in taken {
            append(&mut all, self.tell(&Input::Event(event), now));
        }
        self.hand_on_what_is_there(all).await
    }

    /// Puts the questions that wait to containerd, as many as may be at once. Something where it is gone.
    async fn ask(&mut self, daemon: &C::Daemon) -> Result<Option<Gone>, Closed> {
        let mut gone = None;
        for _ in 0..AT_ONCE {
            let Some(to) = self.questions.next() else {
                break;
            };
            let answer = daemon.answer(&to).await;
            let (reply, failed) = match answer {
                Ok(reply) => (reply, None),
                Err(error) => (
                    Reply::Failed {
                        reason: chain(&error),
                    },
                    Some(error),
                ),
            };
            let failures = u64::from(failed.is_some());
            self.count(|stats| {
                stats.queries += 1;
                stats.failed_queries += failures;
            });
            let now = self.clock.now();
            let step = self.tell(&Input::Answer(Answer { to, reply }), now);
            // Each at its own time, as a replay of the recording says it.
            self.hand_on_what_is_there(self.batch(now, step)).await?;
            match failed {
                Some(error) if error.is_lost() => {
                    gone = Some(Gone {
                        reason: chain(&error),
                        was_there: true,
                        hopeless: false,
                    });
                    break;
                }
                // One that hangs is not asked for the rest too: the next poll shows whether it is back.
                Some(ClientError::Usage(_)) | None => {}
                Some(error) if error.is_retryable() => break,
                Some(_) => {}
            }
        }
        Ok(gone)
    }

    /// The one place in which the tracker is told anything.
    fn tell(&mut self, input: &Input, now: Now) -> Step {
        self.record(now, input);
        let mut all = self.tracker.step(input, now);
        let mut refused = self.questions.add(std::mem::take(&mut all.queries));
        // For what cannot wait there is an answer too. What that makes the tracker ask finds no room either.
        while let Some(to) = refused.pop() {
            let reason = "too many questions wait already".to_owned();
            let input = Input::Answer(Answer {
                to,
                reply: Reply::Failed { reason },
            });
            self.record(now, &input);
            let step = self.tracker.step(&input, now);
            let again = self.questions.add(step.queries).len() as u64;
            self.count(|stats| stats.refused_queries += 1 + again);
            all.observations.extend(step.observations);
            all.anomalies.extend(step.anomalies);
        }
        all
    }

    fn record(&mut self, now: Now, input: &Input) {
        let Some(recorder) = &mut self.recorder else {
            return;
        };
        let result = recorder.write(now, input);
        let (inputs, bytes) = (recorder.inputs(), recorder.bytes());
        let stopped = match result {
            Ok(()) => None,
            Err(error @ RecordError::TooLong(_)) => {
                warn!("{error}");
                None
            }
            Err(error) => {
                let reason = chain(&error);
                error!("the recording stops here, the watching goes on: {reason}");
                self.recorder = None;
                Some(reason)
            }
        };
        self.count(|stats| {
            stats.recorded_inputs = inputs;
            stats.recorded_bytes = bytes;
            stats.recording_stopped = stopped;
        });
    }

    fn batch(&self, now: Now, step: Step) -> Batch {
        let mut batch = Batch::new(now, step.observations);
        batch.anomalies = step.anomalies;
        batch.interval = self.interval;
        batch.partial = self.partial;
        batch
    }

    fn choose_interval(&mut self, load: Load) -> Duration {
        let busy = self.tracker.is_busy() || !self.questions.is_empty();
        *self.interval.insert(interval::next(busy, load))
    }

    async fn hand_on_what_is_there(&mut self, batch: Batch) -> Result<(), Closed> {
        if batch.observations.is_empty() && batch.anomalies.is_empty() {
            return Ok(());
        }
        self.hand_on(batch).await
    }

    /// Waits where nobody takes the batches; meanwhile nothing is polled, and events pile up to their bound.
    fn hand_on(&self, batch: Batch) -> impl Future<Output = Result<(), Closed>> + Send + use<C> {
        let out = self.out.clone();
        async move { out.send(batch).await.map_err(|_| Closed) }
    }

    fn count(&self, change: impl FnOnce(&mut Stats)) {
        change(&mut self.stats.lock().unwrap_or_else(PoisonError::into_inner));
    }
}

/// Listens for as long as it is let; a stream that breaks is opened again.
async fn listen(daemon: Arc<impl Daemon>, mailbox: Mailbox) {
    let mut backoff = Backoff::default();
    loop {
        let mut heard = false;
        let error = daemon
            .events(|event| {
                heard = true;
                mailbox.put(event);
            })
            .await;
        debug!("{}", chain(&error));
        if heard {
            backoff = Backoff::default();
        }
        sleep(backoff.next()).await;
        // What happened since the stream broke is announced to nobody; the poll that this brings shows it.
        mailbox.put(Event::Gap);
    }
}

/// Whether the socket that is there now is another than that of this server.
fn is_another(server: &Server, now: Option<NodeTime>) -> bool {
    matches!((server.started_at, now), (Some(then), Some(now)) if then != now)
}

/// Whether a poll now would show something: a pull begins, goes a step further, or ends.
fn wakes(event: &Event) -> bool {
    match event {
        // Containers have snapshots too; those of a pull are named like this.
        Event::SnapshotPrepared { key }
        | Event::SnapshotCommitted { key, .. }
        | Event::SnapshotRemoved { key } => key.contains("extract-"),
        Event::ContentCreated { .. } | Event::ImageWritten { .. } | Event::Gap => true,
        Event::ImageDeleted { .. } => false,
    }
}

fn announce(server: &Server, at: &str, has_namespace: bool) {
    let version = &server.version;
    info!(socket = at, version, "watching containerd");
    if !discover::is_known(version) {
        warn!(
            version,
            "this containerd is none of 1.6 to 2.x: what is shown of it may be wrong"
        );
    }
    if !has_namespace {
        warn!(
            "containerd does not have the namespace yet: nothing is seen before something is pulled in it"
        );
    }
}

fn append(batch: &mut Batch, step: Step) {
    batch.observations.extend(step.observations);
    batch.anomalies.extend(step.anomalies);
}

/// How long to wait before the next try.
#[derive(Debug)]
struct Backoff(Duration);

impl Default for Backoff {
    fn default() -> Self {
        Self(FIRST_WAIT)
    }
}

impl Backoff {
    fn next(&mut self) -> Duration {
        let wait = self.0;
        self.0 = (wait * 2).min(LONGEST_WAIT);
        wait
    }

    /// Goes to the longest wait at once.
    fn skip(&mut self) {
        self.0 = LONGEST_WAIT;
    }
}

#[cfg(test)]
mod tests;
