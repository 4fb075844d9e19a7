//! Statistics and health of a running collector.

use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use pulltrace_core::{Counters, Mono, Phase, PullTable};

use crate::clock::Clock;

/// Time without a connection after which a collector counts as unhealthy. Sources poll every second
/// or two and reconnect on their own; an outage longer than this is unlikely to resolve by itself.
const UNHEALTHY_AFTER: Duration = Duration::from_secs(60);

/// Counters since the collector started, and its current state.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct CollectorStats {
    /// Pulls whose manifest is not known yet.
    pub resolving: u64,
    /// Pulls that are downloading.
    pub downloading: u64,
    /// Pulls that have downloaded everything and are unpacking.
    pub extracting: u64,
    /// Observations received from the source.
    pub observations: u64,
    /// Reports that were acknowledged.
    pub reports: u64,
    /// Reports that failed, including those whose acknowledgement was lost.
    pub failed_reports: u64,
    /// Ended pulls that were evicted before a report with their end was delivered.
    pub ends_lost: u64,
    /// Counters of the pull table.
    pub counters: Counters,
    /// Current poll interval of the source; `None` if it does not poll or is disconnected.
    pub poll_interval: Option<Duration>,
    /// True if the source is connected to the runtime.
    pub connected: bool,
}

/// Statistics and health of a [`Collector`](crate::Collector), before, during and after its run.
#[derive(Clone, Debug)]
pub struct Monitor {
    clock: Clock,
    state: Arc<Mutex<MonitorState>>,
}

/// The reason why a collector is unhealthy.
///
/// A collector that has [`Stopped`](Self::Stopped) never runs again. The other states end when the
/// source recovers.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum HealthError {
    /// The run has ended. A retry does not help.
    #[error("the collector has stopped")]
    Stopped,
    /// The source has been disconnected from the runtime for this long. A retry may help.
    #[error("disconnected from the container runtime for {} s", .0.as_secs())]
    RuntimeUnavailable(Duration),
    /// The source is connected, but has not sent a batch for this long. A retry may help.
    #[error("no data from the source for {} s", .0.as_secs())]
    SourceSilent(Duration),
}

impl HealthError {
    /// Returns advice for the user.
    #[must_use]
    pub const fn help(&self) -> Option<&'static str> {
        match self {
            Self::RuntimeUnavailable(_) => Some("Check the agent's log for the cause."),
            Self::Stopped | Self::SourceSilent(_) => None,
        }
    }
}

#[derive(Debug)]
struct MonitorState {
    stats: CollectorStats,
    /// When the source was last connected to the runtime; initially the time of creation.
    last_connected: Mono,
    stopped: bool,
}

impl Monitor {
    pub(crate) fn new(clock: Clock) -> Self {
        let state = MonitorState {
            stats: CollectorStats::default(),
            last_connected: clock.now().mono,
            stopped: false,
        };
        Self { clock, state: Arc::new(Mutex::new(state)) }
    }

    /// Returns the current statistics.
    #[must_use]
    pub fn stats(&self) -> CollectorStats {
        self.with_state(|state| state.stats.clone())
    }

    /// Checks that the collector has not stopped and that its source was connected within the last
    /// 60 s.
    ///
    /// Batches from a source that is disconnected do not count as a sign of life.
    ///
    /// # Errors
    /// Returns the reason if the collector is unhealthy.
    pub fn health(&self) -> Result<(), HealthError> {
        let now = self.clock.now().mono;
        self.with_state(|state| state.health(now))
    }

    fn with_state<T>(&self, f: impl FnOnce(&mut MonitorState) -> T) -> T {
        f(&mut self.state.lock().unwrap_or_else(PoisonError::into_inner))
    }
}

impl MonitorState {
    fn health(&self, now: Mono) -> Result<(), HealthError> {
        let silent = now.since(self.last_connected);
        match () {
            () if self.stopped => Err(HealthError::Stopped),
            () if silent <= UNHEALTHY_AFTER => Ok(()),
            () if self.stats.connected => Err(HealthError::SourceSilent(silent)),
            () => Err(HealthError::RuntimeUnavailable(silent)),
        }
    }
}

/// The collector's side of a [`Monitor`]. Dropping it marks the run as stopped.
#[derive(Debug)]
pub(crate) struct MonitorWriter(pub(crate) Monitor);

impl MonitorWriter {
    /// Records that the source sent a batch.
    pub(crate) fn record_batch(
        &self,
        observations: usize,
        interval: Option<Duration>,
        connected: bool,
        at: Mono,
    ) {
        self.0.with_state(|state| {
            state.stats.observations += observations as u64;
            state.stats.poll_interval = interval;
            state.stats.connected = connected;
            if connected {
                state.last_connected = at;
            }
        });
    }

    /// Counts the pulls in each phase again.
    pub(crate) fn record_phases(&self, table: &PullTable) {
        let in_phase = |phase| table.pulls().filter(|pull| pull.phase == phase).count() as u64;
        let (resolving, downloading) = (in_phase(Phase::Resolving), in_phase(Phase::Downloading));
        let extracting = in_phase(Phase::Extracting);
        self.0.with_state(|state| {
            state.stats.resolving = resolving;
            state.stats.downloading = downloading;
            state.stats.extracting = extracting;
        });
    }

    /// Updates the counters.
    pub(crate) fn record_counters(&self, counters: &Counters, reports: u64, ends_lost: u64) {
        self.0.with_state(|state| {
            if state.stats.counters != *counters {
                state.stats.counters = counters.clone();
            }
            state.stats.reports = reports;
            state.stats.ends_lost = ends_lost;
        });
    }

    pub(crate) fn record_failed_report(&self) {
        self.0.with_state(|state| state.stats.failed_reports += 1);
    }
}

impl Drop for MonitorWriter {
    fn drop(&mut self) {
        self.0.with_state(|state| state.stopped = true);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test(start_paused = true)]
    async fn collector_is_healthy_while_source_is_connected() {
        let at = "2026-11-24T20:00:00Z".parse().unwrap();
        let clock = Clock::anchored(at);
        let monitor = Monitor::new(clock);
        let pulse = MonitorWriter(monitor.clone());
        let pass = |secs| tokio::time::advance(Duration::from_secs(secs));

        pass(60).await;
        assert_eq!(monitor.health(), Ok(()), "it may still be starting");
        pass(1).await;
        assert_eq!(monitor.health(), Err(HealthError::RuntimeUnavailable(Duration::from_secs(61))));
        pulse.record_batch(0, None, true, clock.now().mono);
        assert_eq!(monitor.health(), Ok(()));
        pass(30).await;
        pulse.record_batch(1, None, false, clock.now().mono);
        assert_eq!(monitor.health(), Ok(()), "it may reconnect");
        pass(31).await;
        let lost = monitor.health().unwrap_err();
        assert_eq!(lost, HealthError::RuntimeUnavailable(Duration::from_secs(61)));
        let line = "disconnected from the container runtime for 61 s";
        assert_eq!(lost.to_string(), line);
        pulse.record_batch(1, None, true, clock.now().mono);
        pass(61).await;
        assert_eq!(monitor.health(), Err(HealthError::SourceSilent(Duration::from_secs(61))));
        pulse.record_batch(0, None, true, clock.now().mono);
        assert_eq!(monitor.health(), Ok(()));
        drop(pulse);
        assert_eq!(monitor.health(), Err(HealthError::Stopped));
        assert_eq!(monitor.stats().observations, 2);
    }
}
