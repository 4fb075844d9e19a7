//! Somebody who follows the stream of events, and writes down what was said and what of it cannot be true.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use futures_util::StreamExt as _;
use pulltrace_client::{Client, Filter, Followed, Start};
use pulltrace_core::Pull;
use pulltrace_core::wire::v1::{EventType, PullEvent, PullStatus};
use pulltrace_testkit::truth;
use tokio::task::JoinHandle;

pub(crate) struct Reader {
    log: Arc<Mutex<Log>>,
    task: JoinHandle<()>,
}

/// What was said so far.
#[derive(Debug, Default)]
pub(crate) struct Log {
    /// The latest of each pull, over all restarts.
    rows: BTreeMap<String, PullStatus>,
    /// How often a pull was said to have ended since the last reset, of those told since then.
    ends: BTreeMap<String, u32>,
    /// Every total that was said of a pull.
    totals: BTreeMap<String, Vec<u64>>,
    pub(crate) resets: u32,
    pub(crate) away: u32,
    /// The snapshot is whole.
    pub(crate) whole: bool,
    untrue: Vec<String>,
}

/// Whether the image of this pull has this repository path.
pub(crate) fn is_of(row: &PullStatus, path: &str) -> bool {
    let name = row.repository.as_deref().or(row.image_ref.as_deref());
    name.is_some_and(|name| name.ends_with(&format!("/{path}")))
}

impl Reader {
    pub(crate) fn begin(client: &Client) -> Self {
        let log = Arc::new(Mutex::new(Log::default()));
        let writer = Arc::clone(&log);
        let stream = client.follow(&Filter::default(), Start::Snapshot);
        let client = client.clone();
        let task = tokio::spawn(async move {
            let mut stream = std::pin::pin!(stream);
            while let Some(followed) = stream.next().await {
                // What ended before the snapshot is in the list. A server that is away again resets again.
                let list = match &followed {
                    Ok(Followed::SnapshotEnd(_)) => client.pulls(&Filter::default()).await.ok(),
                    _ => None,
                };
                let mut log = writer.lock().unwrap_or_else(PoisonError::into_inner);
                match followed {
                    Ok(followed) => log.take(followed),
                    Err(error) => log.untrue.push(format!("the stream ended: {error}")),
                }
                for row in list.map(|list| list.pulls).unwrap_or_default() {
                    log.listed(row);
                }
            }
        });
        Self { log, task }
    }

    pub(crate) fn log(&self) -> MutexGuard<'_, Log> {
        self.log.lock().unwrap_or_else(PoisonError::into_inner)
    }

    #[track_caller]
    pub(crate) fn assert_true(&self) {
        let log = self.log();
        assert!(log.untrue.is_empty(), "{:#?}", log.untrue);
        for (id, times) in &log.ends {
            let ended = u32::from(log.rows[id].outcome.is_some());
            assert_eq!(*times, ended, "how often the end of {id} was told");
        }
    }
}

impl Drop for Reader {
    fn drop(&mut self) {
        self.task.abort();
    }
}

impl Log {
    fn take(&mut self, followed: Followed) {
        match followed {
            Followed::Event(event) => self.event(*event),
            Followed::SnapshotEnd(_) => self.whole = true,
            Followed::Reset => {
                self.resets += 1;
                self.whole = false;
                self.ends.clear();
            }
            Followed::Away { .. } => self.away += 1,
            Followed::Ping(_) => {}
            other => self.untrue.push(format!("not understood: {other:?}")),
        }
    }

    fn event(&mut self, event: PullEvent) {
        let Some(row) = event.pull else {
            return self.untrue.push(format!("an event of no pull: {event:?}"));
        };
        let ended = matches!(event.kind, EventType::PullCompleted | EventType::PullFailed);
        // One that is over when it is first heard of is told as it is, and then its end. More may become known of
        // it after that: its pods, its reason, what its kubelet measured.
        let was_over = self
            .rows
            .get(&row.id)
            .is_some_and(|row| row.outcome.is_some());
        let may_be_over = ended || was_over || event.kind == EventType::PullStarted;
        if (ended && row.outcome.is_none()) || (!may_be_over && row.outcome.is_some()) {
            self.untrue.push(format!("{:?} of {row:#?}", event.kind));
        }
        *self.ends.entry(row.id.clone()).or_default() += u32::from(ended);
        self.row(row);
    }

    fn listed(&mut self, row: PullStatus) {
        // Of the others the events tell.
        if row.outcome.is_some() && !self.ends.contains_key(&row.id) {
            self.row(row);
        }
    }

    fn row(&mut self, row: PullStatus) {
        let was = self.rows.get(&row.id).map(Pull::try_from);
        match (was.transpose(), Pull::try_from(&row)) {
            (Ok(was), Ok(is)) => self.untrue.extend(truth::doubts(was.as_ref(), &is)),
            (_, Err(error)) | (Err(error), _) => self.untrue.push(error.to_string()),
        }
        let totals = self.totals.entry(row.id.clone()).or_default();
        totals.extend(row.total_bytes);
        // It went on under this id.
        if let Some(before) = &row.supersedes {
            self.rows.remove(before);
            self.ends.remove(before);
        }
        self.rows.insert(row.id.clone(), row);
    }

    /// The pull of the repository with this path; the newest of several.
    pub(crate) fn find(&self, path: &str) -> Option<&PullStatus> {
        let rows = self.rows.values().filter(|row| is_of(row, path));
        rows.max_by_key(|row| row.started_at)
    }

    /// What was last said of a pull.
    pub(crate) fn last(&self, id: &str) -> Option<&PullStatus> {
        self.rows.get(id)
    }

    /// All pulls that were ever told.
    pub(crate) fn rows(&self) -> impl Iterator<Item = &PullStatus> {
        self.rows.values()
    }

    pub(crate) fn live(&self) -> Vec<PullStatus> {
        let live = self.rows().filter(|row| row.outcome.is_none());
        live.cloned().collect()
    }

    /// That every total that was said of a pull was this, and that one was.
    #[track_caller]
    pub(crate) fn assert_total(&self, row: &PullStatus, total: u64) {
        let totals = &self.totals[&row.id];
        assert!(!totals.is_empty(), "its total was never known: {row:#?}");
        assert!(
            totals.iter().all(|seen| *seen == total),
            "it weighs {total}: {totals:?}"
        );
    }
}
