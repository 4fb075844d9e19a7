//! One run: the state of the loop, and what each action does to it.

use std::pin::pin;
use std::time::Duration;

use futures_util::future::BoxFuture;
use pulltrace_core::{Change, ChangeKind, Mono, Now, Observation, PullTable};

use super::{Collector, RunError, Summary};
use crate::clock::Clock;
use crate::log::{self, PullLog};
use crate::monitor::Pulse;
use crate::sink::outbox::Outbox;
use crate::sink::{Ack, ReportSink, SinkError};
use crate::source::{Batch, PullSource, SourceError};

/// Where the source is silent for so long, the table is told that time passed.
const TICK: Duration = Duration::from_secs(1);

/// The longest that the first report waits for a source that has said only part of what goes on.
const SETTLES_IN: Duration = Duration::from_secs(2);

/// What there is to do. Each is applied at once and completely, between two waits.
enum Action<S, K> {
    /// The source saw something.
    Batch(S, Batch),
    /// The source will see nothing any more.
    SourceOver(Option<SourceError>),
    /// A delivery is over.
    Delivered(K, Result<Ack, SinkError>),
    /// A report is due, or time passed in silence, or the grace period is over.
    Due,
    /// The run must end.
    Stop,
}

/// A source that is being asked.
type Look<'a, S> = BoxFuture<'a, (S, Result<Option<Batch>, SourceError>)>;

/// A sink that is delivering.
type Delivery<'a, K> = BoxFuture<'a, (K, Result<Ack, SinkError>)>;

/// Why no more is watched.
enum Over {
    Intended,
    SourceFailed(SourceError),
    SinkClosed,
}

struct Run<'a, S, K> {
    clock: Clock,
    grace: Duration,
    table: PullTable,
    outbox: Outbox,
    log: PullLog,
    /// Source and sink are owned by what they are doing. So a look that is under way goes on while
    /// something else is applied, even where the source is not as cancel-safe as it should be.
    look: Option<Look<'a, S>>,
    sink: Option<K>,
    delivery: Option<Delivery<'a, K>>,
    /// The table's last moment, and when that was on the clock of this loop: a source that replays a
    /// recording has a time of its own.
    moment: Option<(Now, Mono)>,
    /// Whether the source said that it sees nothing now.
    lost: bool,
    /// Since when the source sees without having said all that goes on.
    settling: Option<Mono>,
    /// Whether the source has said all that goes on, or had its time to.
    seen: bool,
    interval: Option<Duration>,
    over: Option<(Over, Mono)>,
    summary: Summary,
    pulse: Pulse,
}

pub(super) async fn run<S: PullSource, K: ReportSink>(
    collector: Collector<S, K>,
    shutdown: impl Future<Output = ()>,
) -> Result<Summary, RunError> {
    let mut shutdown = pin!(shutdown);
    let node = collector.node.clone();
    let mut run = Run::new(collector);
    while !run.is_over() {
        run.begin_delivery();
        let action = run.next(shutdown.as_mut()).await;
        run.apply(action);
        // A source that is always ready, such as a replay without pauses, must leave room for others.
        tokio::task::coop::consume_budget().await;
    }
    let (summary, over) = run.finish();
    let summary_box = || Box::new(summary.clone());
    match over {
        Over::Intended => Ok(summary),
        Over::SourceFailed(source) => Err(RunError::Source {
            node,
            source,
            summary: summary_box(),
        }),
        Over::SinkClosed => Err(RunError::SinkClosed {
            node,
            summary: summary_box(),
        }),
    }
}

impl<'a, S: PullSource + 'a, K: ReportSink + 'a> Run<'a, S, K> {
    fn new(collector: Collector<S, K>) -> Self {
        Self {
            clock: collector.clock,
            grace: collector.grace,
            table: PullTable::new(collector.limits),
            outbox: Outbox::new(collector.node, collector.pace, collector.seed),
            log: PullLog::default(),
            look: Some(look(collector.source)),
            sink: Some(collector.sink),
            delivery: None,
            moment: None,
            lost: false,
            settling: None,
            seen: false,
            interval: None,
            over: None,
            summary: Summary::default(),
            pulse: Pulse(collector.monitor),
        }
    }

    /// The next action. Nothing is changed here but what the action is about.
    async fn next(
        &mut self,
        shutdown: std::pin::Pin<&mut impl Future<Output = ()>>,
    ) -> Action<S, K> {
        let at = self.clock.now().mono;
        let wait = self.next_due().map(|due| due.since(at));
        tokio::select! {
            biased;
            () = shutdown, if self.over.is_none() => Action::Stop,
            (sink, result) = or_never(&mut self.delivery) => {
                self.delivery = None;
                Action::Delivered(sink, result)
            }
            () = sleep(wait) => Action::Due,
            (source, result) = or_never(&mut self.look) => {
                self.look = None;
                match result {
                    Ok(Some(batch)) => Action::Batch(source, batch),
                    Ok(None) => Action::SourceOver(None),
                    Err(error) => Action::SourceOver(Some(error)),
                }
            }
        }
    }

    fn apply(&mut self, action: Action<S, K>) {
        let at = self.clock.now().mono;
        match action {
            Action::Batch(source, batch) => {
                self.take_batch(&batch, at);
                self.look = Some(look(source));
            }
            Action::SourceOver(error) => {
                // It has said all that it ever will.
                self.seen |= self.settling.is_some();
                self.stop(error.map_or(Over::Intended, Over::SourceFailed), at);
            }
            Action::Delivered(sink, result) => self.take_result(sink, result, at),
            Action::Due => self.tick(at),
            Action::Stop => self.stop(Over::Intended, at),
        }
        let (counters, outbox) = (self.table.counters(), &self.outbox);
        self.pulse
            .counted(counters, outbox.delivered(), outbox.ends_lost());
    }

    fn take_batch(&mut self, batch: &Batch, at: Mono) {
        for anomaly in &batch.anomalies {
            self.table.count(*anomaly);
        }
        self.interval = batch.interval;
        let mut partial = batch.partial;
        for observation in &batch.observations {
            match observation {
                Observation::SourceLost => self.lost = true,
                Observation::SourceBack => (self.lost, partial) = (false, true),
                _ => {}
            }
        }
        self.pulse
            .heard(batch.observations.len(), batch.interval, !self.lost, at);
        self.seen |= !self.lost && !partial;
        self.settling = match self.settling {
            _ if self.lost || self.seen => None,
            None => Some(at),
            since => since,
        };
        // Silence may have been told up to a moment just after the batch's.
        let last = self.moment.map(|(now, _)| now.mono).unwrap_or_default();
        let now = Now {
            mono: batch.now.mono.max(last),
            node: batch.now.node,
        };
        self.advance(&batch.observations, now, at);
    }

    fn take_result(&mut self, sink: K, result: Result<Ack, SinkError>, at: Mono) {
        if result.is_err() {
            self.pulse.report_failed();
        }
        match result {
            Ok(ack) => self.outbox.acknowledged(&ack, at),
            Err(SinkError::Closed) => {
                self.outbox.failed(None, at);
                self.stop(Over::SinkClosed, at);
                return;
            }
            Err(SinkError::Unavailable {
                retry_after,
                source,
            }) => {
                self.outbox.failed(retry_after, at);
                tracing::warn!(
                    target: "pulltrace::report",
                    error = &*source as &(dyn std::error::Error + 'static),
                    retry_ms = self.retry_in(at).map(|wait| wait.as_millis() as u64),
                    "the report was not delivered; all that is in it will be told again"
                );
            }
        }
        self.sink = Some(sink);
    }

    fn tick(&mut self, at: Mono) {
        if self
            .settling
            .is_some_and(|since| at.since(since) >= SETTLES_IN)
        {
            self.seen = true;
            self.settling = None;
        }
        let Some((now, when)) = self.moment else {
            return;
        };
        let passed = at.since(when);
        if passed >= TICK && self.over.is_none() {
            self.advance(&[], now.plus(passed), at);
        }
    }

    fn advance(&mut self, observations: &[Observation], now: Now, at: Mono) {
        self.moment = Some((now, at));
        let changes = self.table.apply(observations, now);
        if !changes.is_empty() {
            self.pulse.changed(&self.table);
        }
        self.outbox.note(&changes, &self.table);
        for pull in self.log.due(&changes, &self.table, now) {
            log::write(&pull, now.node);
        }
        let count = |kind| changes.iter().filter(|c: &&Change| c.kind == kind).count() as u64;
        self.summary.started += count(ChangeKind::Started);
        self.summary.ended += count(ChangeKind::Ended);
    }

    /// The first reason stands, except that without a sink nothing is left to wait for.
    fn stop(&mut self, why: Over, at: Mono) {
        self.look = None;
        if self.over.is_none() {
            self.over = Some((why, at + self.grace));
        }
    }

    fn begin_delivery(&mut self) {
        let at = self.clock.now().mono;
        let Some((moment, when)) = self.moment else {
            return;
        };
        if self.report_due().is_none_or(|due| due > at) {
            return;
        }
        if let Some(mut sink) = self.sink.take() {
            let now = moment.plus(at.since(when));
            let report = self.outbox.take(&self.table, now, at, self.interval);
            self.delivery = Some(Box::pin(async move {
                let result = sink.deliver(report).await;
                (sink, result)
            }));
        }
    }

    fn report_due(&self) -> Option<Mono> {
        let revision = self.table.revision();
        match &self.over {
            _ if !self.seen => None,
            None => self.outbox.due(revision),
            Some(_) => self.outbox.due_before_stop(revision),
        }
    }

    fn retry_in(&self, at: Mono) -> Option<Duration> {
        self.report_due().map(|due| due.since(at))
    }

    /// When there is something to do though nobody says anything.
    fn next_due(&self) -> Option<Mono> {
        let other = match (&self.over, &self.moment) {
            (Some((_, last)), _) => Some(*last),
            (None, Some((_, when))) => Some(*when + TICK),
            (None, None) => None,
        };
        let settled = self.settling.map(|since| since + SETTLES_IN);
        [self.report_due(), other, settled]
            .into_iter()
            .flatten()
            .min()
    }

    fn is_settled(&self) -> bool {
        !self.seen || self.outbox.is_settled(self.table.revision())
    }

    fn is_over(&self) -> bool {
        let has_sink = self.sink.is_some() || self.delivery.is_some();
        self.over.as_ref().is_some_and(|(_, last)| {
            !has_sink || self.is_settled() || self.clock.now().mono >= *last
        })
    }

    fn finish(mut self) -> (Summary, Over) {
        self.summary.reports = self.outbox.delivered();
        self.summary.delivered = self.is_settled() && (self.seen || self.table.revision() == 0);
        self.summary.ends_untold = self.outbox.ends_untold();
        self.summary.counters = self.table.counters().clone();
        let over = self.over.map_or(Over::Intended, |(over, _)| over);
        (self.summary, over)
    }
}

fn look<'a, S: PullSource + 'a>(mut source: S) -> Look<'a, S> {
    Box::pin(async move {
        let result = source.next().await;
        (source, result)
    })
}

async fn or_never<T>(future: &mut Option<BoxFuture<'_, T>>) -> T {
    match future {
        Some(future) => future.await,
        None => std::future::pending().await,
    }
}

async fn sleep(wait: Option<Duration>) {
    match wait {
        Some(wait) => tokio::time::sleep(wait).await,
        None => std::future::pending().await,
    }
}
