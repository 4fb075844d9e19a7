//! A reader of the event stream that records everything it receives, and violations of invariants.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use futures_util::StreamExt as _;
use pulltrace_client::{Client, Filter, FollowEvent, Start};
use pulltrace_core::Pull;
use pulltrace_core::wire::v1::{EventType, PullEvent, PullStatus};
use pulltrace_testkit::invariants;
use tokio::task::JoinHandle;

pub(crate) struct Reader {
    log: Arc<Mutex<ReaderLog>>,
    task: JoinHandle<()>,
}

/// Everything received so far.
#[derive(Debug, Default)]
pub(crate) struct ReaderLog {
    /// The latest state of each pull, across restarts.
    rows: BTreeMap<String, PullStatus>,
    /// Number of end events per pull since the last reset, for the pulls reported since then.
    ends: BTreeMap<String, u32>,
    /// All totals reported for each pull.
    totals: BTreeMap<String, Vec<u64>>,
    pub(crate) resets: u32,
    pub(crate) disconnects: u32,
    /// Set when the snapshot is complete.
    pub(crate) snapshot_complete: bool,
    violations: Vec<String>,
}

/// Reports whether the image of a pull has this repository path.
pub(crate) fn is_pull_of(row: &PullStatus, path: &str) -> bool {
    let name = row.repository.as_deref().or(row.image_ref.as_deref());
    name.is_some_and(|name| name.ends_with(&format!("/{path}")))
}

impl Reader {
    pub(crate) fn start(client: &Client) -> Self {
        let log = Arc::new(Mutex::new(ReaderLog::default()));
        let writer = Arc::clone(&log);
        let stream = client.follow(&Filter::default(), Start::Snapshot);
        let client = client.clone();
        let task = tokio::spawn(async move {
            let mut stream = std::pin::pin!(stream);
            while let Some(followed) = stream.next().await {
                // Pulls that ended before the snapshot are only in the list. If the server is lost
                // again, it resets again.
                let list = match &followed {
                    Ok(FollowEvent::SnapshotEnd(_)) => client.pulls(&Filter::default()).await.ok(),
                    _ => None,
                };
                let mut log = writer.lock().unwrap_or_else(PoisonError::into_inner);
                match followed {
                    Ok(followed) => log.record(followed),
                    Err(error) => log.violations.push(format!("the stream ended: {error}")),
                }
                for row in list.map(|list| list.pulls).unwrap_or_default() {
                    log.record_listed(row);
                }
            }
        });
        Self { log, task }
    }

    pub(crate) fn log(&self) -> MutexGuard<'_, ReaderLog> {
        self.log.lock().unwrap_or_else(PoisonError::into_inner)
    }

    #[track_caller]
    pub(crate) fn assert_consistent(&self) {
        let log = self.log();
        assert!(log.violations.is_empty(), "{:#?}", log.violations);
        for (id, times) in &log.ends {
            let ended = u32::from(log.rows[id].outcome.is_some());
            assert_eq!(*times, ended, "end events of {id}");
        }
    }
}

impl Drop for Reader {
    fn drop(&mut self) {
        self.task.abort();
    }
}

impl ReaderLog {
    fn record(&mut self, followed: FollowEvent) {
        match followed {
            FollowEvent::Event(event) => self.record_event(*event),
            FollowEvent::SnapshotEnd(_) => self.snapshot_complete = true,
            FollowEvent::Reset => {
                self.resets += 1;
                self.snapshot_complete = false;
                self.ends.clear();
            }
            FollowEvent::Disconnected { .. } => self.disconnects += 1,
            FollowEvent::Ping(_) => {}
            other => self.violations.push(format!("unknown event: {other:?}")),
        }
    }

    fn record_event(&mut self, event: PullEvent) {
        let Some(row) = event.pull else {
            return self.violations.push(format!("event without a pull: {event:?}"));
        };
        let ended = matches!(event.kind, EventType::PullCompleted | EventType::PullFailed);
        // A pull that ended before its first event is reported in its final state, then as ended.
        // Pods, reason and kubelet times may follow later.
        let was_over = self.rows.get(&row.id).is_some_and(|row| row.outcome.is_some());
        let may_be_over = ended || was_over || event.kind == EventType::PullStarted;
        if (ended && row.outcome.is_none()) || (!may_be_over && row.outcome.is_some()) {
            self.violations.push(format!("{:?} of {row:#?}", event.kind));
        }
        *self.ends.entry(row.id.clone()).or_default() += u32::from(ended);
        self.record_row(row);
    }

    fn record_listed(&mut self, row: PullStatus) {
        // Events report the others.
        if row.outcome.is_some() && !self.ends.contains_key(&row.id) {
            self.record_row(row);
        }
    }

    fn record_row(&mut self, row: PullStatus) {
        let was = self.rows.get(&row.id).map(Pull::try_from);
        match (was.transpose(), Pull::try_from(&row)) {
            (Ok(was), Ok(is)) => self.violations.extend(invariants::violations(was.as_ref(), &is)),
            (_, Err(error)) | (Err(error), _) => self.violations.push(error.to_string()),
        }
        let totals = self.totals.entry(row.id.clone()).or_default();
        totals.extend(row.total_bytes);
        // The pull continues with this id.
        if let Some(before) = &row.supersedes {
            self.rows.remove(before);
            self.ends.remove(before);
        }
        self.rows.insert(row.id.clone(), row);
    }

    /// Returns the pull of this repository path; the newest if there are several.
    pub(crate) fn find(&self, path: &str) -> Option<&PullStatus> {
        let rows = self.rows.values().filter(|row| is_pull_of(row, path));
        rows.max_by_key(|row| row.started_at)
    }

    /// Returns the last state of a pull.
    pub(crate) fn last(&self, id: &str) -> Option<&PullStatus> {
        self.rows.get(id)
    }

    /// Returns all pulls ever reported.
    pub(crate) fn rows(&self) -> impl Iterator<Item = &PullStatus> {
        self.rows.values()
    }

    pub(crate) fn live(&self) -> Vec<PullStatus> {
        let live = self.rows().filter(|row| row.outcome.is_none());
        live.cloned().collect()
    }

    /// Asserts that this total was reported for a pull, and no other.
    #[track_caller]
    pub(crate) fn assert_total(&self, row: &PullStatus, total: u64) {
        let totals = &self.totals[&row.id];
        assert!(!totals.is_empty(), "total never reported: {row:#?}");
        assert!(
            totals.iter().all(|seen| *seen == total),
            "expected total {total}, reported {totals:?}"
        );
    }
}
