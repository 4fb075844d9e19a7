//! A sink that fails as a test tells it to, and a receiver behind it that keeps what it was told.

use std::collections::{BTreeMap, VecDeque};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use pulltrace_core::{Pull, PullId};
use tokio::sync::watch;

use crate::sink::{Ack, Report, ReportSink, SinkError};

/// Reports that are kept for [`SinkHandle::reports`]; the oldest go first.
const KEPT: usize = 10_000;

/// A [`ReportSink`] that does what its [`SinkHandle`] says, and otherwise takes each report.
#[derive(Debug)]
pub struct FailingSink {
    shared: Arc<Mutex<Shared>>,
    version: watch::Sender<u64>,
}

/// What tells a [`FailingSink`] what to do, and what it was told. Clones speak of the same sink.
#[derive(Clone, Debug)]
pub struct SinkHandle {
    shared: Arc<Mutex<Shared>>,
    version: watch::Receiver<u64>,
    nudge: watch::Sender<u64>,
}

#[derive(Debug, Default)]
struct Shared {
    failures: u32,
    retry_after: Option<Duration>,
    lost_acks: u32,
    held: bool,
    closed: bool,
    epoch: u32,
    need_full: bool,
    next_report: Option<Duration>,
    attempts: u64,
    forgotten: u64,
    reports: VecDeque<Report>,
    view: BTreeMap<PullId, Arc<Pull>>,
}

/// The failure that a [`FailingSink`] was told to show.
#[derive(Debug, thiserror::Error)]
#[error("a failure that the test asked for")]
struct Asked;

impl FailingSink {
    /// A sink, and what tells it what to do.
    #[must_use]
    pub fn new() -> (Self, SinkHandle) {
        let shared = Arc::new(Mutex::new(Shared::default()));
        let (version, seen) = watch::channel(0);
        let handle = SinkHandle {
            shared: Arc::clone(&shared),
            version: seen,
            nudge: version.clone(),
        };
        (Self { shared, version }, handle)
    }
}

impl ReportSink for FailingSink {
    async fn deliver(&mut self, report: Report) -> Result<Ack, SinkError> {
        lock(&self.shared).attempts += 1;
        bump(&self.version);
        let mut changed = self.version.subscribe();
        // The sender is this sink's own, so the channel cannot close.
        let free = changed.wait_for(|_| {
            let shared = lock(&self.shared);
            !shared.held || shared.closed
        });
        free.await.map_err(|_| SinkError::Closed)?;
        let result = lock(&self.shared).take(report);
        bump(&self.version);
        result
    }
}

impl Shared {
    fn take(&mut self, report: Report) -> Result<Ack, SinkError> {
        if self.closed {
            return Err(SinkError::Closed);
        }
        let unavailable = |retry_after| SinkError::Unavailable {
            retry_after,
            source: Box::new(Asked),
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
        if self.reports.len() == KEPT {
            self.reports.pop_front();
            self.forgotten += 1;
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
    /// Fails the next `times` deliveries: nothing of them arrives.
    pub fn fail(&self, times: u32) {
        self.set(|shared| (shared.failures, shared.retry_after) = (times, None));
    }

    /// Fails the next `times` deliveries, asking for a retry not before `after`.
    pub fn fail_for(&self, times: u32, after: Duration) {
        self.set(|shared| (shared.failures, shared.retry_after) = (times, Some(after)));
    }

    /// The next `times` reports arrive, but the sender is told that they did not.
    pub fn lose_acks(&self, times: u32) {
        self.set(|shared| shared.lost_acks = times);
    }

    /// Lets deliveries wait until [`release`](Self::release).
    pub fn hold(&self) {
        self.set(|shared| shared.held = true);
    }

    /// Lets deliveries get on.
    pub fn release(&self) {
        self.set(|shared| shared.held = false);
    }

    /// Starts the receiver anew: it knows nothing any more, and has a new epoch.
    pub fn restart(&self) {
        self.set(|shared| {
            shared.epoch += 1;
            shared.view.clear();
        });
    }

    /// Asks for a full report in the next acknowledgement.
    pub fn need_full(&self) {
        self.set(|shared| shared.need_full = true);
    }

    /// Asks for so long a wait in each acknowledgement from now on.
    pub fn slow_down(&self, wait: Option<Duration>) {
        self.set(|shared| shared.next_report = wait);
    }

    /// Closes the sink for good.
    pub fn close(&self) {
        self.set(|shared| shared.closed = true);
    }

    /// The reports that arrived, oldest first: at most the last 10,000.
    #[must_use]
    pub fn reports(&self) -> Vec<Report> {
        lock(&self.shared).reports.iter().cloned().collect()
    }

    /// How many reports arrived and are not kept any more.
    #[must_use]
    pub fn forgotten(&self) -> u64 {
        lock(&self.shared).forgotten
    }

    /// How many deliveries were begun.
    #[must_use]
    pub fn attempts(&self) -> u64 {
        lock(&self.shared).attempts
    }

    /// What a receiver that reads reports as it should knows now.
    #[must_use]
    pub fn view(&self) -> BTreeMap<PullId, Arc<Pull>> {
        lock(&self.shared).view.clone()
    }

    /// Waits until `condition` is true of this handle. It waits for ever: bound it with a timeout.
    pub async fn until(&self, mut condition: impl FnMut(&Self) -> bool) {
        let mut version = self.version.clone();
        while !condition(self) {
            // This handle holds a sender, so the channel cannot close.
            if version.changed().await.is_err() {
                return;
            }
        }
    }

    fn set(&self, change: impl FnOnce(&mut Shared)) {
        change(&mut lock(&self.shared));
        bump(&self.nudge);
    }
}

fn bump(version: &watch::Sender<u64>) {
    version.send_modify(|version| *version += 1);
}

/// A test that panics while it holds the lock has failed already.
fn lock(shared: &Mutex<Shared>) -> MutexGuard<'_, Shared> {
    shared.lock().unwrap_or_else(PoisonError::into_inner)
}
