//! The loop: choose an action, apply it, publish.
//!
//! Source and sink work at the same time; all state belongs to this one loop, and is changed only
//! between two waits. What a pull is doing is decided by the table, what is due by the outbox.

mod run;

use std::hash::{BuildHasher, Hasher};
use std::time::Duration;

use pulltrace_core::{Counters, Limits, NodeName};

use crate::clock::Clock;
use crate::monitor::Monitor;
use crate::sink::ReportSink;
use crate::sink::outbox::Pace;
use crate::source::{PullSource, SourceError};

/// Watches the pulls of a node through a source, and tells them to a sink.
///
/// - It reports at once when a pull starts or ends, or its sizes become known; otherwise at most each
///   [`report_interval`](Builder::report_interval) while something changes, and each
///   [`heartbeat`](Builder::heartbeat) while nothing does.
/// - A slow sink never delays the source: what changes meanwhile is told together in the next report,
///   each pull in its latest state.
/// - Until the source has said what goes on (at most 2 s from when it sees) it reports nothing, so that
///   a receiver does not take "not looked yet" for "nothing there".
/// - After an error of the sink it waits, 250 ms at first and twice as long with each further one up
///   to 30 s, and then tells all that is not acknowledged.
/// - Pulls that ended stay in the table, as [`Limits`] says: a receiver that was started anew is told
///   them again.
///
/// ```no_run
/// # #[cfg(feature = "testing")] {
/// use pulltrace_agent_lib::{Clock, Collector, sink, source::ScriptedSource};
///
/// # async fn example() -> Result<(), Box<dyn std::error::Error>> {
/// let (source, _script) = ScriptedSource::new(Clock::system());
/// let (sink, mut reports) = sink::channel(16);
/// let collector = Collector::builder("worker-1".parse()?).source(source).sink(sink).build()?;
/// let running = tokio::spawn(collector.run(async {
///     // e.g. a signal; this one stops after a minute
///     tokio::time::sleep(std::time::Duration::from_secs(60)).await;
/// }));
/// while let Some(report) = reports.next().await {
///     println!("{} pulls changed", report.pulls.len());
/// }
/// println!("{:?}", running.await??);
/// # Ok(()) }
/// # }
/// ```
#[derive(Debug)]
pub struct Collector<S, K> {
    node: NodeName,
    source: S,
    sink: K,
    limits: Limits,
    pace: Pace,
    grace: Duration,
    clock: Clock,
    seed: u64,
    monitor: Monitor,
}

impl Collector<(), ()> {
    /// Begins a collector for this node; it needs a [`source`](Builder::source) and a
    /// [`sink`](Builder::sink).
    pub fn builder(node: NodeName) -> Builder<(), ()> {
        let clock = Clock::system();
        Builder(Collector {
            node,
            source: (),
            sink: (),
            limits: Limits::default(),
            pace: Pace {
                interval: Duration::from_secs(1),
                heartbeat: Duration::from_secs(5),
            },
            grace: Duration::from_secs(5),
            clock,
            // The hasher is the standard library's only source of randomness.
            seed: std::hash::RandomState::new().build_hasher().finish(),
            monitor: Monitor::new(clock),
        })
    }
}

impl<S, K> Collector<S, K> {
    /// By which to ask what it is doing while it runs.
    #[must_use]
    pub fn monitor(&self) -> Monitor {
        self.monitor.clone()
    }
}

impl<S: PullSource, K: ReportSink> Collector<S, K> {
    /// Watches until `shutdown` is ready, or the source ends, and then delivers the last state.
    ///
    /// The returned [`Summary`] says whether that arrived. Dropping the future instead stops at once:
    /// what is not delivered is not delivered.
    ///
    /// # Errors
    /// Where the source or the sink is gone for good. After an error of the source the last state is
    /// still delivered.
    pub async fn run(self, shutdown: impl Future<Output = ()>) -> Result<Summary, RunError> {
        run::run(self, shutdown).await
    }
}

/// Makes a [`Collector`].
#[derive(Debug)]
#[must_use]
pub struct Builder<S, K>(Collector<S, K>);

impl<S, K> Builder<S, K> {
    /// Where observations come from.
    pub fn source<T: PullSource>(self, source: T) -> Builder<T, K> {
        let Collector {
            node,
            source: _,
            sink,
            limits,
            pace,
            grace,
            clock,
            seed,
            monitor,
        } = self.0;
        Builder(Collector {
            node,
            source,
            sink,
            limits,
            pace,
            grace,
            clock,
            seed,
            monitor,
        })
    }

    /// Who is told.
    pub fn sink<T: ReportSink>(self, sink: T) -> Builder<S, T> {
        let Collector {
            node,
            source,
            sink: _,
            limits,
            pace,
            grace,
            clock,
            seed,
            monitor,
        } = self.0;
        Builder(Collector {
            node,
            source,
            sink,
            limits,
            pace,
            grace,
            clock,
            seed,
            monitor,
        })
    }

    /// The bounds of what is kept. Default: those of [`Limits`].
    pub fn limits(mut self, limits: Limits) -> Self {
        self.0.limits = limits;
        self
    }

    /// From one report to the next at the least, where no pull started or ended. Default 1 s.
    pub fn report_interval(mut self, interval: Duration) -> Self {
        self.0.pace.interval = interval;
        self
    }

    /// From one report to the next where nothing changed: a sign of life, by which a receiver that
    /// was started anew asks for everything. Default 5 s.
    pub fn heartbeat(mut self, heartbeat: Duration) -> Self {
        self.0.pace.heartbeat = heartbeat;
        self
    }

    /// How long the delivery of the last state may take. Default 5 s.
    pub fn grace(mut self, grace: Duration) -> Self {
        self.0.grace = grace;
        self
    }

    /// The clock of the collector. Default: that of this machine.
    pub fn clock(mut self, clock: Clock) -> Self {
        self.0.clock = clock;
        self.0.monitor = Monitor::new(clock);
        self
    }
}

impl<S: PullSource, K: ReportSink> Builder<S, K> {
    /// Makes the collector.
    ///
    /// # Errors
    /// Where a setting cannot work.
    pub fn build(self) -> Result<Collector<S, K>, BuildError> {
        let Pace {
            interval,
            heartbeat,
        } = self.0.pace;
        if interval < SHORTEST {
            return Err(BuildError::Interval(interval));
        }
        if heartbeat < interval {
            return Err(BuildError::Heartbeat {
                heartbeat,
                interval,
            });
        }
        if self.0.limits.live == 0 {
            return Err(BuildError::NoRoom);
        }
        Ok(self.0)
    }
}

/// Reports closer to one another than this would be work for nothing.
const SHORTEST: Duration = Duration::from_millis(10);

/// A setting that cannot work.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum BuildError {
    /// Too many reports.
    #[error("the report interval is {0:?}: at least 10 ms are needed")]
    Interval(Duration),
    /// A sign of life more often than changes.
    #[error(
        "the heartbeat is {heartbeat:?}: at least the report interval of {interval:?} is needed"
    )]
    Heartbeat {
        /// What was set.
        heartbeat: Duration,
        /// What it must not be below.
        interval: Duration,
    },
    /// No pull could be watched.
    #[error("the limit of live pulls is 0: at least 1 is needed")]
    NoRoom,
}

/// What a run did.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct Summary {
    /// Pulls that were seen to start; one that lives again after an unknown end counts again.
    pub started: u64,
    /// Ends that were seen.
    pub ended: u64,
    /// Reports that were acknowledged.
    pub reports: u64,
    /// Whether the last state was acknowledged. Where it was not, the receiver may lack any change
    /// since the last acknowledged report.
    pub delivered: bool,
    /// Ends that no acknowledged report told.
    pub ends_untold: u64,
    /// What was counted.
    pub counters: Counters,
}

/// A run that ended because a part of it is gone for good.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum RunError {
    /// The source failed; what was seen until then was delivered as [`Summary::delivered`] says.
    #[error("the pulls of node {node} can be watched no longer")]
    Source {
        /// Whose pulls.
        node: NodeName,
        /// What failed.
        #[source]
        source: SourceError,
        /// What was done until then.
        summary: Box<Summary>,
    },
    /// The sink is closed: nobody can be told any more.
    #[error("the pulls of node {node} can be told to nobody any more: the sink is closed")]
    SinkClosed {
        /// Whose pulls.
        node: NodeName,
        /// What was done until then.
        summary: Box<Summary>,
    },
}

impl RunError {
    /// What was done until then.
    #[must_use]
    pub fn summary(&self) -> &Summary {
        match self {
            Self::Source { summary, .. } | Self::SinkClosed { summary, .. } => summary,
        }
    }
}
