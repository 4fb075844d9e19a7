//! The tracker with its inputs and outputs: inputs are recorded and stepped, batches are sent, and
//! queries are queued.
//!
//! All inputs pass through [`Feed::step`], so that a recording contains exactly the tracker's
//! inputs. The feed does not interpret them.

use std::io::Write;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use pulltrace_core::Now;
use pulltrace_core::error::error_chain;
use tokio::sync::mpsc;
use tracing::{error, warn};

use super::input::{Answer, Event, Input, Poll, Query, Reply, ServerInfo};
use super::interval::{self, Load};
use super::query_queue::QueryQueue;
use super::recording::{Recorder, RecorderError};
use super::stats::SourceStats;
use super::tracker::{Tracker, TrackerOutput};
use crate::clock::Clock;
use crate::source::Batch;

/// The receiver of the batches was dropped.
pub(super) struct ReceiverClosed;

pub(super) struct Feed {
    clock: Clock,
    tracker: Tracker,
    recorder: Option<Recorder<Box<dyn Write + Send>>>,
    queries: QueryQueue,
    batches: mpsc::Sender<Batch>,
    stats: Arc<Mutex<SourceStats>>,
    /// The current poll interval.
    poll_interval: Option<Duration>,
    /// True if queries of the first poll are still unanswered.
    partial: bool,
}

impl Feed {
    pub(super) fn new(
        clock: Clock,
        tracker: Tracker,
        recorder: Option<Recorder<Box<dyn Write + Send>>>,
        batches: mpsc::Sender<Batch>,
        stats: Arc<Mutex<SourceStats>>,
    ) -> Self {
        Self {
            clock,
            tracker,
            recorder,
            queries: QueryQueue::default(),
            batches,
            stats,
            poll_interval: None,
            partial: true,
        }
    }

    pub(super) fn now(&self) -> Now {
        self.clock.now()
    }

    pub(super) fn is_busy(&self) -> bool {
        self.tracker.is_busy()
    }

    /// Returns the oldest query to send.
    pub(super) fn pop_query(&mut self) -> Option<Query> {
        self.queries.pop()
    }

    pub(super) async fn on_connected(
        &mut self,
        server: &ServerInfo,
        now: Now,
    ) -> Result<(), ReceiverClosed> {
        self.update_stats(|stats| stats.connections += 1);
        let output = self.step(&Input::Connected(server.clone()), now);
        self.send(self.new_batch(now, output)).await
    }

    pub(super) async fn on_lost(&mut self, reason: String) -> Result<(), ReceiverClosed> {
        self.queries.clear();
        let now = self.clock.now();
        let output = self.step(&Input::Lost { reason }, now);
        // Queries cannot be answered without a connection.
        self.queries.clear();
        (self.poll_interval, self.partial) = (None, true);
        self.send(self.new_batch(now, output)).await
    }

    pub(super) async fn on_poll(&mut self, poll: Poll, now: Now) -> Result<(), ReceiverClosed> {
        let load = Load::from_poll(&poll);
        let output = self.step(&Input::Poll(poll), now);
        self.update_interval(load);
        self.send(self.new_batch(now, output)).await
    }

    /// Feeds events to the tracker, in order.
    pub(super) async fn on_events(
        &mut self,
        events: Vec<Event>,
        dropped: u64,
    ) -> Result<(), ReceiverClosed> {
        let now = self.clock.now();
        let gaps = events.iter().filter(|event| **event == Event::Gap).count();
        self.update_stats(|stats| {
            stats.events += events.len() as u64;
            stats.event_gaps += gaps as u64;
            stats.dropped_events += dropped;
        });
        let mut all = self.new_batch(now, TrackerOutput::default());
        for event in events {
            let output = self.step(&Input::Event(event), now);
            all.observations.extend(output.observations);
            all.anomalies.extend(output.anomalies);
        }
        self.send_unless_empty(all).await
    }

    /// Feeds the answer to a query. Each answer gets a separate time and batch, as in a replay.
    pub(super) async fn on_answer(&mut self, answer: Answer) -> Result<(), ReceiverClosed> {
        let now = self.clock.now();
        let output = self.step(&Input::Answer(answer), now);
        self.send_unless_empty(self.new_batch(now, output)).await
    }

    /// Ends the initial sync once all queries of the first poll are answered.
    pub(super) async fn end_sync_if_answered(&mut self) -> Result<(), ReceiverClosed> {
        if !self.partial || !self.queries.is_empty() {
            return Ok(());
        }
        self.partial = false;
        self.send(self.new_batch(self.clock.now(), TrackerOutput::default())).await
    }

    /// Returns the time from a poll of this load to the next one.
    pub(super) fn update_interval(&mut self, load: Load) -> Duration {
        let busy = self.tracker.is_busy() || !self.queries.is_empty();
        *self.poll_interval.insert(interval::poll_interval(busy, load))
    }

    pub(super) fn update_stats(&self, change: impl FnOnce(&mut SourceStats)) {
        change(&mut self.stats.lock().unwrap_or_else(PoisonError::into_inner));
    }

    /// The only place that feeds the tracker.
    fn step(&mut self, input: &Input, now: Now) -> TrackerOutput {
        self.record(now, input);
        let mut all = self.tracker.step(input, now);
        let mut refused = self.queries.enqueue(std::mem::take(&mut all.queries));
        // Queries that do not fit into the queue are answered as failed. Queries that result from
        // these answers are dropped.
        while let Some(to) = refused.pop() {
            let reason = "too many queued queries".to_owned();
            let input = Input::Answer(Answer { to, reply: Reply::Failed { reason } });
            self.record(now, &input);
            let output = self.tracker.step(&input, now);
            let again = self.queries.enqueue(output.queries).len() as u64;
            self.update_stats(|stats| stats.dropped_queries += 1 + again);
            all.observations.extend(output.observations);
            all.anomalies.extend(output.anomalies);
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

    fn new_batch(&self, now: Now, output: TrackerOutput) -> Batch {
        let mut batch = Batch::new(now, output.observations);
        batch.anomalies = output.anomalies;
        batch.poll_interval = self.poll_interval;
        batch.partial = self.partial;
        batch
    }

    async fn send_unless_empty(&mut self, batch: Batch) -> Result<(), ReceiverClosed> {
        if batch.observations.is_empty() && batch.anomalies.is_empty() {
            return Ok(());
        }
        self.send(batch).await
    }

    /// Blocks while the receiver is slow. Meanwhile no poll runs, and events queue up to their
    /// limit.
    async fn send(&mut self, batch: Batch) -> Result<(), ReceiverClosed> {
        self.batches.send(batch).await.map_err(|_| ReceiverClosed)
    }
}
