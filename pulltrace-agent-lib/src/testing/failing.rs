//! A sink with injected failures, and the state of a receiver behind it.

use std::collections::{BTreeMap, VecDeque};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use pulltrace_core::{Pull, PullId};
use tokio::sync::watch;

use crate::sink::{Ack, Report, ReportSink, SinkError};

/// The number of reports kept for [`SinkHandle::reports`]; the oldest are dropped first.
const MAX_REPORTS: usize = 10_000;

/// A [`ReportSink`] that accepts every report unless its [`SinkHandle`] injects a failure.
#[derive(Debug)]
pub struct FailingSink {
    shared: Arc<Mutex<SinkState>>,
    version: watch::Sender<u64>,
}

/// Controls a [`FailingSink`] and gives access to the received reports. Clones control the same
/// sink.
#[derive(Clone, Debug)]
pub struct SinkHandle {
    shared: Arc<Mutex<SinkState>>,
    version: watch::Receiver<u64>,
    notify: watch::Sender<u64>,
}

#[derive(Debug, Default)]
struct SinkState {
    failures: u32,
    retry_after: Option<Duration>,
    lost_acks: u32,
    held: bool,
    closed: bool,
    epoch: u32,
    need_full: bool,
    next_report: Option<Duration>,
    attempts: u64,
    dropped_reports: u64,
    reports: VecDeque<Report>,
    view: BTreeMap<PullId, Arc<Pull>>,
}

/// The error of an injected failure.
#[derive(Debug, thiserror::Error)]
#[error("injected failure")]
struct InjectedFailure;

impl FailingSink {
    /// Creates a sink and its handle.
    #[must_use]
    pub fn new() -> (Self, SinkHandle) {
        let shared = Arc::new(Mutex::new(SinkState::default()));
        let (version, seen) = watch::channel(0);
        let handle =
            SinkHandle { shared: Arc::clone(&shared), version: seen, notify: version.clone() };
        (Self { shared, version }, handle)
    }
}

impl ReportSink for FailingSink {
    async fn deliver(&mut self, report: Report) -> Result<Ack, SinkError> {
        lock(&self.shared).attempts += 1;
        notify_watchers(&self.version);
        let mut changed = self.version.subscribe();
        // This sink owns a sender, so the channel cannot close.
        let free = changed.wait_for(|_| {
            let shared = lock(&self.shared);
            !shared.held || shared.closed
        });
        free.await.map_err(|_| SinkError::Closed)?;
        let result = lock(&self.shared).receive(report);
        notify_watchers(&self.version);
        result
    }
}

impl SinkState {
    fn receive(&mut self, report: Report) -> Result<Ack, SinkError> {
        if self.closed {
            return Err(SinkError::Closed);
        }
        let unavailable = |retry_after| SinkError::Unavailable {
            retry_after,
            help: None,
            source: Box::new(InjectedFailure),
        };
        if self.failures > 0 {
            self.failures -= 1;
            return Err(unavailable(self.retry_after));
        }
        let ack = Ack {
            epoch: self.epoch.to_string(),
            sequence: report.sequence,
            need_full: std::mem::take(&mut self.need_full),
            next_report: self.next_report,
        };
        if report.full {
            self.view.clear();
        }
        for pull in &report.pulls {
            self.view.insert(pull.id.clone(), Arc::clone(pull));
        }
        if self.reports.len() == MAX_REPORTS {
            self.reports.pop_front();
            self.dropped_reports += 1;
        }
        self.reports.push_back(report);
        if self.lost_acks > 0 {
            self.lost_acks -= 1;
            return Err(unavailable(None));
        }
        Ok(ack)
    }
}

impl SinkHandle {
    /// Fails the next `times` deliveries. Their reports are lost.
    pub fn fail(&self, times: u32) {
        self.update(|shared| (shared.failures, shared.retry_after) = (times, None));
    }

    /// Fails the next `times` deliveries and requests a retry after `after`.
    pub fn fail_with_retry_after(&self, times: u32, after: Duration) {
        self.update(|shared| (shared.failures, shared.retry_after) = (times, Some(after)));
    }

    /// Loses the next `times` acknowledgements: the reports are received, but the deliveries fail.
    pub fn lose_acks(&self, times: u32) {
        self.update(|shared| shared.lost_acks = times);
    }

    /// Blocks deliveries until [`release`](Self::release).
    pub fn hold(&self) {
        self.update(|shared| shared.held = true);
    }

    /// Unblocks deliveries.
    pub fn release(&self) {
        self.update(|shared| shared.held = false);
    }

    /// Restarts the receiver: it forgets its state and gets a new epoch.
    pub fn restart(&self) {
        self.update(|shared| {
            shared.epoch += 1;
            shared.view.clear();
        });
    }

    /// Requests a full report with the next acknowledgement.
    pub fn request_full(&self) {
        self.update(|shared| shared.need_full = true);
    }

    /// Requests this wait with every further acknowledgement.
    pub fn set_next_report(&self, wait: Option<Duration>) {
        self.update(|shared| shared.next_report = wait);
    }

    /// Closes the sink permanently.
    pub fn close(&self) {
        self.update(|shared| shared.closed = true);
    }

    /// Returns the received reports, oldest first; at most the last 10,000.
    #[must_use]
    pub fn reports(&self) -> Vec<Report> {
        lock(&self.shared).reports.iter().cloned().collect()
    }

    /// Returns the number of received reports that are no longer kept.
    #[must_use]
    pub fn dropped_reports(&self) -> u64 {
        lock(&self.shared).dropped_reports
    }

    /// Returns the number of started deliveries.
    #[must_use]
    pub fn attempts(&self) -> u64 {
        lock(&self.shared).attempts
    }

    /// Returns the receiver's state: all pulls, updated from the received reports.
    #[must_use]
    pub fn view(&self) -> BTreeMap<PullId, Arc<Pull>> {
        lock(&self.shared).view.clone()
    }

    /// Waits until `condition` holds. There is no timeout.
    pub async fn wait_until(&self, mut condition: impl FnMut(&Self) -> bool) {
        let mut version = self.version.clone();
        while !condition(self) {
            // This handle owns a sender, so the channel cannot close.
            if version.changed().await.is_err() {
                return;
            }
        }
    }

    fn update(&self, change: impl FnOnce(&mut SinkState)) {
        change(&mut lock(&self.shared));
        notify_watchers(&self.notify);
    }
}

fn notify_watchers(version: &watch::Sender<u64>) {
    version.send_modify(|version| *version += 1);
}

/// Ignores poisoning: a test that panicked while holding the lock has already failed.
fn lock(shared: &Mutex<SinkState>) -> MutexGuard<'_, SinkState> {
    shared.lock().unwrap_or_else(PoisonError::into_inner)
}
