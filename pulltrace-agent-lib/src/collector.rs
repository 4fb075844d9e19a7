//! The collector loop: wait for the next action, apply it, report changes.
//!
//! Source and sink run concurrently. All state belongs to this loop and changes only between two
//! waits. The pull table decides the state of each pull, the outbox when a report is due.

mod run;

use std::time::Duration;

use pulltrace_core::{Counters, Limits, NodeName};

use crate::clock::Clock;
use crate::monitor::Monitor;
use crate::sink::ReportSink;
use crate::sink::outbox::ReportSchedule;
use crate::source::{PullSource, SourceError};

/// Watches the pulls of a node through a source and reports them to a sink.
///
/// - A report is sent immediately when a pull starts or ends or its size becomes known. Other
///   changes are sent at most once per [`report_interval`](Settings::report_interval). Without
///   changes, a report is sent every [`heartbeat`](Settings::heartbeat).
/// - A slow sink never delays the source: changes that happen meanwhile are merged into the next
///   report, with the latest state of each pull.
/// - The first report waits for the source's initial sync, at most 2 s after it connects. Otherwise
///   a receiver would take pulls that are not listed yet as ended.
/// - When the sink fails, delivery is retried with exponential back-off from 250 ms to 30 s. The
///   next report contains everything that has not been acknowledged.
/// - Ended pulls stay in the table within [`Limits`], so that a restarted receiver gets them again.
///
/// ```no_run
/// # #[cfg(feature = "testing")] {
/// use pulltrace_agent_lib::{Clock, Collector, Settings, sink, source::ScriptedSource};
///
/// # async fn example() -> Result<(), Box<dyn std::error::Error>> {
/// let (source, _script) = ScriptedSource::new(Clock::system());
/// let (sink, mut reports) = sink::channel(16);
/// let collector = Collector::new(source, sink, Settings::new("worker-1".parse()?))?;
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
    source: S,
    sink: K,
    settings: Settings,
    monitor: Monitor,
}

impl<S: PullSource, K: ReportSink> Collector<S, K> {
    /// Creates a collector that connects `source` to `sink`.
    ///
    /// # Errors
    /// Returns an error if a setting is invalid.
    pub fn new(source: S, sink: K, settings: Settings) -> Result<Self, SettingsError> {
        settings.check()?;
        let monitor = Monitor::new(settings.clock);
        Ok(Self { source, sink, settings, monitor })
    }

    /// Runs until `shutdown` is ready or the source ends, then delivers the final state.
    ///
    /// [`Summary::delivered`] is true if that delivery succeeded. Dropping the future stops
    /// immediately, without a final report.
    ///
    /// # Errors
    /// Returns an error if the source failed or the sink was closed. The final state is still
    /// delivered after an error of the source.
    pub async fn run(self, shutdown: impl Future<Output = ()>) -> Result<Summary, RunError> {
        run::run(self, shutdown).await
    }
}

impl<S, K> Collector<S, K> {
    /// Returns a handle that reports statistics and health while the collector runs.
    #[must_use]
    pub fn monitor(&self) -> Monitor {
        self.monitor.clone()
    }
}

/// The settings of a [`Collector`].
///
/// ```
/// use std::time::Duration;
/// use pulltrace_agent_lib::Settings;
///
/// # fn main() -> Result<(), pulltrace_core::NameError> {
/// let settings = Settings::new("worker-1".parse()?).report_interval(Duration::from_millis(250));
/// # let _ = settings; Ok(()) }
/// ```
#[derive(Clone, Debug)]
#[must_use]
pub struct Settings {
    node: NodeName,
    limits: Limits,
    schedule: ReportSchedule,
    grace_period: Duration,
    clock: Clock,
    seed: u64,
}

impl Settings {
    /// Returns the defaults for this node.
    pub fn new(node: NodeName) -> Self {
        Self {
            node,
            limits: Limits::default(),
            schedule: ReportSchedule {
                interval: Duration::from_secs(1),
                heartbeat: Duration::from_secs(5),
            },
            grace_period: Duration::from_secs(5),
            clock: Clock::system(),
            seed: fastrand::u64(..),
        }
    }

    /// Sets the limits of the pull table. Defaults to [`Limits::default`].
    pub fn limits(mut self, limits: Limits) -> Self {
        self.limits = limits;
        self
    }

    /// Sets the minimum time between two reports while no pull starts or ends. Default: 1 s.
    pub fn report_interval(mut self, interval: Duration) -> Self {
        self.schedule.interval = interval;
        self
    }

    /// Sets the time between two reports while nothing changes. Default: 5 s.
    ///
    /// A restarted receiver uses the heartbeat to request a full report.
    pub fn heartbeat(mut self, heartbeat: Duration) -> Self {
        self.schedule.heartbeat = heartbeat;
        self
    }

    /// Sets how long the delivery of the final state may take. Default: 5 s.
    pub fn grace_period(mut self, grace: Duration) -> Self {
        self.grace_period = grace;
        self
    }

    /// Sets the clock of the collector. Default: the system's.
    pub fn clock(mut self, clock: Clock) -> Self {
        self.clock = clock;
        self
    }

    fn check(&self) -> Result<(), SettingsError> {
        let ReportSchedule { interval, heartbeat } = self.schedule;
        if interval < MIN_REPORT_INTERVAL {
            return Err(SettingsError::ReportInterval(interval));
        }
        if heartbeat < interval {
            return Err(SettingsError::Heartbeat { heartbeat, interval });
        }
        if self.limits.max_live == 0 {
            return Err(SettingsError::ZeroLiveLimit);
        }
        Ok(())
    }
}

/// The shortest report interval.
const MIN_REPORT_INTERVAL: Duration = Duration::from_millis(10);

/// An invalid setting of a [`Collector`]. A retry does not help.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum SettingsError {
    /// The report interval is too short.
    #[error("invalid report interval {0:?}: expected at least 10 ms")]
    ReportInterval(Duration),
    /// The heartbeat is shorter than the report interval.
    #[error(
        "invalid heartbeat {heartbeat:?}: expected at least the report interval of {interval:?}"
    )]
    Heartbeat {
        /// The configured heartbeat.
        heartbeat: Duration,
        /// The configured report interval.
        interval: Duration,
    },
    /// The limit of live pulls is 0.
    #[error("invalid limit of live pulls 0: expected at least 1")]
    ZeroLiveLimit,
}

/// The result of a run.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct Summary {
    /// Pulls that started. A pull that resumes after an unknown end counts again.
    pub started: u64,
    /// Pulls that ended.
    pub ended: u64,
    /// Reports that were acknowledged.
    pub reports: u64,
    /// True if the final state was acknowledged. If not, the receiver may lack any change since the
    /// last acknowledged report.
    pub delivered: bool,
    /// Ends that no acknowledged report contained.
    pub undelivered_ends: u64,
    /// Counters of the pull table.
    pub counters: Counters,
}

/// A run that ended because its source failed or its sink was closed. A retry does not help.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum RunError {
    /// The source failed. [`Summary::delivered`] is true if its last state was delivered.
    #[error("failed to watch the pulls of node {node}")]
    Source {
        /// The node.
        node: NodeName,
        /// The error of the source.
        #[source]
        source: SourceError,
        /// The result until then.
        summary: Box<Summary>,
    },
    /// The receiver of reports was dropped.
    #[error("failed to report the pulls of node {node}: the sink is closed")]
    SinkClosed {
        /// The node.
        node: NodeName,
        /// The result until then.
        summary: Box<Summary>,
    },
}

impl RunError {
    /// Returns the result of the run until it failed.
    #[must_use]
    pub fn summary(&self) -> &Summary {
        match self {
            Self::Source { summary, .. } | Self::SinkClosed { summary, .. } => summary,
        }
    }
}
