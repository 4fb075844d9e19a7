//! The background task: connects, receives events, polls, runs queries and sends batches.
//!
//! All inputs pass through [`Task::feed`], which records them and steps the tracker, so that a
//! recording contains exactly the tracker's inputs. The task does not interpret them.

use std::io::Write;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use pulltrace_core::backoff::Backoff;
use pulltrace_core::error::error_chain;
use pulltrace_core::{Mono, NodeTime, Now};
use tokio::sync::mpsc;
use tokio::task::JoinSet;
use tokio::time::sleep;
use tracing::{debug, error, info, warn};

use super::client::ClientError;
use super::daemon::{Connect, Connected, ConnectionLost, Daemon};
use super::event_queue::{EventReceiver, EventSender, event_channel};
use super::input::{Answer, Event, Input, Poll, Reply, ServerInfo};
use super::interval::{self, Load};
use super::query_queue::{MAX_PER_ROUND, QueryQueue};
use super::recording::{Recorder, RecorderError};
use super::tracker::{Tracker, TrackerOutput};
use super::{SourceStats, discover};
use crate::clock::Clock;
use crate::source::Batch;

/// Back-off after the first failure; doubles with each further one.
const INITIAL_BACKOFF: Duration = Duration::from_millis(250);

/// The longest back-off.
const MAX_BACKOFF: Duration = Duration::from_secs(5);

/// Consecutive failed polls on an open connection after which containerd counts as lost.
const MAX_FAILURES: u32 = 3;

/// The receiver of the batches was dropped.
struct ReceiverClosed;

pub(super) struct Task<C> {
    connect: C,
    clock: Clock,
    tracker: Tracker,
    recorder: Option<Recorder<Box<dyn Write + Send>>>,
    queries: QueryQueue,
    batches: mpsc::Sender<Batch>,
    stats: Arc<Mutex<SourceStats>>,
    backoff: Backoff,
    /// Reason of the current outage, as last logged.
    last_outage: Option<String>,
    /// The current poll interval.
    poll_interval: Option<Duration>,
    /// True if queries of the first poll are still unanswered.
    partial: bool,
}

impl<C: Connect> Task<C> {
    pub(super) fn new(
        connect: C,
        clock: Clock,
        tracker: Tracker,
        recorder: Option<Recorder<Box<dyn Write + Send>>>,
        batches: mpsc::Sender<Batch>,
        stats: Arc<Mutex<SourceStats>>,
    ) -> Self {
        Self {
            connect,
            clock,
            tracker,
            recorder,
            queries: QueryQueue::default(),
            batches,
            stats,
            backoff: retry_backoff(),
            last_outage: None,
            poll_interval: None,
            partial: true,
        }
    }

    /// Runs until the receiver is dropped.
    pub(super) async fn run(mut self) {
        loop {
            let loss = match self.connect.connect().await {
                Ok(connected) => match self.watch(connected).await {
                    Ok(gone) => gone,
                    Err(ReceiverClosed) => return,
                },
                Err(error) => ConnectionLost {
                    help: error.help(),
                    ..ConnectionLost::new(error_chain(&error), false)
                },
            };
            let permanent = loss.permanent;
            if self.report_outage(loss).await.is_err() {
                return;
            }
            let delay = self.backoff.next_delay(1.0);
            sleep(if permanent { MAX_BACKOFF } else { delay }).await;
        }
    }

    /// Reports an outage, and logs it again only if the reason changes.
    async fn report_outage(&mut self, loss: ConnectionLost) -> Result<(), ReceiverClosed> {
        if self.last_outage.as_ref() == Some(&loss.reason) {
            return Ok(());
        }
        if loss.was_connected {
            warn!("connection to containerd lost: {}", loss.reason);
        } else {
            warn!(help = loss.help, "containerd not available yet; retrying: {}", loss.reason);
        }
        let already_reported = self.last_outage.replace(loss.reason.clone()).is_some();
        if already_reported && !loss.was_connected {
            return Ok(());
        }
        self.queries.clear();
        let now = self.clock.now();
        let step = self.feed(&Input::Lost { reason: loss.reason }, now);
        // Queries cannot be answered without a connection.
        self.queries.clear();
        (self.poll_interval, self.partial) = (None, true);
        self.send(self.new_batch(now, step)).await
    }

    /// Watches one connection until it is lost.
    async fn watch(
        &mut self,
        connected: Connected<C::Daemon>,
    ) -> Result<ConnectionLost, ReceiverClosed> {
        let Connected { daemon, server, address: at, has_namespace } = connected;
        let daemon = Arc::new(daemon);
        // Subscribe before the first poll, so that no event is missed. The subscription ends with
        // this function.
        let (mailbox, mut events) = event_channel();
        let mut listener = JoinSet::new();
        listener.spawn(forward_events(Arc::clone(&daemon), mailbox));

        let mut failures = 0;
        let mut due = Mono::default();
        let mut last = (Mono::default(), Load::default());
        // A connection counts once a poll has succeeded. Otherwise a daemon that accepts
        // connections but does not answer would be reported as connected and lost with every
        // attempt.
        let mut connected = false;
        loop {
            let mut now = self.clock.now();
            if now.mono >= due {
                if connected && is_restarted(&server, daemon.started_at()) {
                    let reason = "containerd restarted".to_owned();
                    return Ok(ConnectionLost::new(reason, true));
                }
                let polled = daemon.poll(!self.tracker.is_busy()).await;
                now = self.clock.now();
                match polled {
                    Ok(poll) => {
                        failures = 0;
                        if !connected {
                            connected = true;
                            self.backoff.reset();
                            self.last_outage = None;
                            log_connected(&server, &at, has_namespace);
                            self.update_stats(|stats| stats.connections += 1);
                            let step = self.feed(&Input::Connected(server.clone()), now);
                            self.send(self.new_batch(now, step)).await?;
                        }
                        let load = Load::from_poll(&poll);
                        last = (now.mono, load);
                        if let Some(gone) = self.handle_poll(daemon.as_ref(), poll, now).await? {
                            return Ok(gone);
                        }
                        // Chosen only now: the answers may have revealed a pull.
                        due = now.mono + self.update_interval(load);
                    }
                    Err(error) => {
                        failures += 1;
                        self.update_stats(|stats| stats.failed_polls += 1);
                        debug!("poll failed: {}", error_chain(&error));
                        let hopeless = !error.is_transient();
                        if !connected
                            || error.is_disconnect()
                            || hopeless
                            || failures >= MAX_FAILURES
                        {
                            return Ok(ConnectionLost {
                                permanent: hopeless,
                                ..ConnectionLost::new(error_chain(&error), connected)
                            });
                        }
                        due = now.mono + INITIAL_BACKOFF;
                    }
                }
                continue;
            }
            tokio::select! {
                taken = events.recv_all() => {
                    let Some(taken) = taken else {
                        let reason = "the event stream task stopped".to_owned();
                        return Ok(ConnectionLost::new(reason, connected));
                    };
                    let wakes = taken.iter().any(triggers_poll);
                    self.handle_events(taken, &events).await?;
                    if let Some(gone) = self.run_queries(daemon.as_ref()).await? {
                        return Ok(gone);
                    }
                    if wakes {
                        due = due.min(last.0 + interval::event_interval(last.1));
                    }
                }
                () = sleep(due.since(now.mono)) => {}
            }
        }
    }

    /// Feeds a poll to the tracker and runs the resulting queries.
    async fn handle_poll(
        &mut self,
        daemon: &C::Daemon,
        poll: Poll,
        now: Now,
    ) -> Result<Option<ConnectionLost>, ReceiverClosed> {
        let left_out = daemon.take_skipped();
        self.update_stats(|stats| {
            stats.polls += 1;
            stats.skipped_items += left_out;
        });
        let load = Load::from_poll(&poll);
        let step = self.feed(&Input::Poll(poll), now);
        self.update_interval(load);
        self.send(self.new_batch(now, step)).await?;
        let loss = self.run_queries(daemon).await?;
        if loss.is_none() && self.partial && self.queries.is_empty() {
            self.partial = false;
            let nothing = self.new_batch(self.clock.now(), TrackerOutput::default());
            self.send(nothing).await?;
        }
        Ok(loss)
    }

    /// Feeds events to the tracker, in order.
    async fn handle_events(
        &mut self,
        taken: Vec<Event>,
        events: &EventReceiver,
    ) -> Result<(), ReceiverClosed> {
        let now = self.clock.now();
        let dropped = events.take_dropped();
        let gaps = taken.iter().filter(|event| **event == Event::Gap).count();
        self.update_stats(|stats| {
            stats.events += taken.len() as u64;
            stats.event_gaps += gaps as u64;
            stats.dropped_events += dropped;
        });
        let mut all = self.new_batch(now, TrackerOutput::default());
        for event in taken {
            append_output(&mut all, self.feed(&Input::Event(event), now));
        }
        self.send_unless_empty(all).await
    }

    /// Runs queued queries, up to the limit per round. Returns the reason if the connection was
    /// lost.
    async fn run_queries(
        &mut self,
        daemon: &C::Daemon,
    ) -> Result<Option<ConnectionLost>, ReceiverClosed> {
        let mut loss = None;
        for _ in 0..MAX_PER_ROUND {
            let Some(to) = self.queries.pop() else {
                break;
            };
            let answer = daemon.run_query(&to).await;
            let (reply, failed) = match answer {
                Ok(reply) => (reply, None),
                Err(error) => (Reply::Failed { reason: error_chain(&error) }, Some(error)),
            };
            let failures = u64::from(failed.is_some());
            self.update_stats(|stats| {
                stats.queries += 1;
                stats.failed_queries += failures;
            });
            let now = self.clock.now();
            let step = self.feed(&Input::Answer(Answer { to, reply }), now);
            // Each answer gets a separate time and batch, as in a replay.
            self.send_unless_empty(self.new_batch(now, step)).await?;
            match failed {
                Some(error) if error.is_disconnect() => {
                    loss = Some(ConnectionLost::new(error_chain(&error), true));
                    break;
                }
                // After a timeout, leave the other queries to the next round: a poll comes first
                // and shows whether containerd responds again.
                Some(ClientError::Usage(_)) | None => {}
                Some(error) if error.is_transient() => break,
                Some(_) => {}
            }
        }
        Ok(loss)
    }

    /// The only place that feeds the tracker.
    fn feed(&mut self, input: &Input, now: Now) -> TrackerOutput {
        self.record(now, input);
        let mut all = self.tracker.step(input, now);
        let mut refused = self.queries.enqueue(std::mem::take(&mut all.queries));
        // Queries that do not fit into the queue are answered as failed. Queries that result from
        // these answers are dropped.
        while let Some(to) = refused.pop() {
            let reason = "too many queued queries".to_owned();
            let input = Input::Answer(Answer { to, reply: Reply::Failed { reason } });
            self.record(now, &input);
            let step = self.tracker.step(&input, now);
            let again = self.queries.enqueue(step.queries).len() as u64;
            self.update_stats(|stats| stats.dropped_queries += 1 + again);
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
            Err(error @ RecorderError::TooLong(_)) => {
                warn!("{error}");
                None
            }
            Err(error) => {
                let reason = error_chain(&error);
                error!("recording stopped, watching continues: {reason}");
                self.recorder = None;
                Some(reason)
            }
        };
        self.update_stats(|stats| {
            stats.recorded_inputs = inputs;
            stats.recorded_bytes = bytes;
            stats.recording_error = stopped;
        });
    }

    fn new_batch(&self, now: Now, step: TrackerOutput) -> Batch {
        let mut batch = Batch::new(now, step.observations);
        batch.anomalies = step.anomalies;
        batch.poll_interval = self.poll_interval;
        batch.partial = self.partial;
        batch
    }

    fn update_interval(&mut self, load: Load) -> Duration {
        let busy = self.tracker.is_busy() || !self.queries.is_empty();
        *self.poll_interval.insert(interval::poll_interval(busy, load))
    }

    async fn send_unless_empty(&mut self, batch: Batch) -> Result<(), ReceiverClosed> {
        if batch.observations.is_empty() && batch.anomalies.is_empty() {
            return Ok(());
        }
        self.send(batch).await
    }

    /// Blocks while the receiver is slow. Meanwhile no poll runs, and events queue up to their
    /// limit.
    fn send(
        &self,
        batch: Batch,
    ) -> impl Future<Output = Result<(), ReceiverClosed>> + Send + use<C> {
        let out = self.batches.clone();
        async move { out.send(batch).await.map_err(|_| ReceiverClosed) }
    }

    fn update_stats(&self, change: impl FnOnce(&mut SourceStats)) {
        change(&mut self.stats.lock().unwrap_or_else(PoisonError::into_inner));
    }
}

/// Forwards events until it is aborted. Reopens the stream when it breaks.
async fn forward_events(daemon: Arc<impl Daemon>, mailbox: EventSender) {
    let mut backoff = retry_backoff();
    loop {
        let mut received = false;
        let error = daemon
            .events(|event| {
                received = true;
                mailbox.send(event);
            })
            .await;
        debug!("{}", error_chain(&error));
        if received {
            backoff.reset();
        }
        sleep(backoff.next_delay(1.0)).await;
        // Events since the interruption are lost. The gap triggers a poll, which shows their
        // effects.
        mailbox.send(Event::Gap);
    }
}

/// Returns whether the socket was bound again since the connection, i.e. containerd restarted.
fn is_restarted(server: &ServerInfo, now: Option<NodeTime>) -> bool {
    matches!((server.started_at, now), (Some(then), Some(now)) if then != now)
}

/// Returns whether a poll should follow immediately, because a pull has started, advanced or ended.
fn triggers_poll(event: &Event) -> bool {
    match event {
        // Containers have snapshots, too; only those of pulls have such a key.
        Event::SnapshotPrepared { key }
        | Event::SnapshotCommitted { key, .. }
        | Event::SnapshotRemoved { key } => key.contains("extract-"),
        Event::ContentCreated { .. } | Event::ImageWritten { .. } | Event::Gap => true,
        Event::ImageDeleted { .. } => false,
    }
}

fn log_connected(server: &ServerInfo, at: &str, has_namespace: bool) {
    let version = &server.version;
    info!(socket = at, version, "connected to containerd");
    if !discover::is_supported(version) {
        warn!(
            version,
            "unsupported containerd version (supported: 1.6 to 2.x); results may be wrong"
        );
    }
    if !has_namespace {
        warn!("the containerd namespace does not exist yet; it is created by the first pull");
    }
}

fn append_output(batch: &mut Batch, step: TrackerOutput) {
    batch.observations.extend(step.observations);
    batch.anomalies.extend(step.anomalies);
}

/// The back-off of connections and event streams. It is not random: each daemon has one client.
const fn retry_backoff() -> Backoff {
    Backoff::new(INITIAL_BACKOFF, MAX_BACKOFF)
}

#[cfg(test)]
mod tests;
