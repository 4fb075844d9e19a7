//! The collector loop: wait for the next action, apply it, report changes.
//!
//! Source and sink run concurrently. All state belongs to this loop and changes only between two
//! waits. The pull table decides the state of each pull, the outbox when a report is due.

mod run;
mod settings;

use crate::monitor::Monitor;
use crate::sink::ReportSink;
use crate::source::PullSource;

pub use run::{RunError, Summary};
pub use settings::{Settings, SettingsError};

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
/// - Ended pulls stay in the table within [`Limits`](pulltrace_core::Limits), so that a restarted
///   receiver gets them again.
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
        run::run(self.source, self.sink, self.settings, self.monitor, shutdown).await
    }
}

impl<S, K> Collector<S, K> {
    /// Returns a handle that reports statistics and health while the collector runs.
    #[must_use]
    pub fn monitor(&self) -> Monitor {
        self.monitor.clone()
    }
}
