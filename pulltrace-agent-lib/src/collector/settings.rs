//! The settings of a collector.

use std::time::Duration;

use pulltrace_core::{Limits, NodeName};

use crate::clock::Clock;
use crate::sink::outbox::ReportSchedule;

/// The settings of a [`Collector`](super::Collector).
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
    pub(super) node: NodeName,
    pub(super) limits: Limits,
    pub(super) schedule: ReportSchedule,
    pub(super) grace_period: Duration,
    pub(super) clock: Clock,
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

    pub(super) fn check(&self) -> Result<(), SettingsError> {
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

/// An invalid setting of a [`Collector`](super::Collector). A retry does not help.
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
