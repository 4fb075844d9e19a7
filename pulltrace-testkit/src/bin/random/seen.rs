//! What the collector says: every row, its history in words, and what of it
//! cannot be true.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt::Write as _;
use std::io::Write;
use std::path::Path;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use pulltrace_agent_lib::source::PullSource as _;
use pulltrace_agent_lib::source::containerd::Containerd as Source;
use pulltrace_agent_lib::source::{Batch, SourceError};
use pulltrace_core::{Anomaly, ChangeKind, Limits, NodeTime, Pull, PullId, PullTable};
use pulltrace_testkit::truth;
use pulltrace_testkit::wait::{self, TimedOut};
use tokio::sync::oneshot;

/// More of a row's history than this is not kept.
const MAX_HISTORY: usize = 60;

/// More untrue states than this are only counted.
const MAX_UNTRUE: usize = 20;

/// One pull as the collector told it.
pub(crate) struct Row {
    pub(crate) pull: Arc<Pull>,
    /// How often it was said to have ended.
    pub(crate) ends: u32,
    /// Its phases and percentages, in the order in which they came.
    pub(crate) history: Vec<String>,
}

#[derive(Default)]
pub(crate) struct Seen {
    pub(crate) rows: BTreeMap<PullId, Row>,
    pub(crate) untrue: Vec<String>,
    pub(crate) untrue_count: u64,
    pub(crate) anomalies: BTreeMap<Anomaly, u64>,
    pub(crate) batches: u64,
    /// Why the source stopped, where it did.
    pub(crate) stopped: Option<String>,
}

/// Watches a containerd from a thread of its own, so that building images does
/// not hold it up.
pub(crate) struct Watch {
    seen: Arc<Mutex<Seen>>,
    stop: Option<oneshot::Sender<()>>,
    thread: Option<std::thread::JoinHandle<()>>,
}

impl Watch {
    pub(crate) fn begin(
        socket: &Path,
        record: impl Write + Send + 'static,
    ) -> std::io::Result<Self> {
        let seen = Arc::new(Mutex::new(Seen::default()));
        let builder = Source::builder("node-1".parse().expect("a node's name"))
            .socket(socket)
            .record(record);
        let runtime = tokio::runtime::Builder::new_current_thread()
            .enable_all()
            .build()?;
        let (stop, stopped) = oneshot::channel::<()>();
        let writer = Arc::clone(&seen);
        let thread = std::thread::Builder::new()
            .name("collector".into())
            .spawn(move || {
                runtime.block_on(async {
                    tokio::select! {
                        // An error, by the drop of the sender, is what is waited for.
                        _ = stopped => {}
                        error = watch(builder.start(), &writer) => {
                            lock(&writer).stopped = Some(error);
                        }
                    }
                });
            })?;
        Ok(Self {
            seen,
            stop: Some(stop),
            thread: Some(thread),
        })
    }

    pub(crate) fn seen(&self) -> MutexGuard<'_, Seen> {
        lock(&self.seen)
    }

    /// Waits until what was seen is as asked.
    pub(crate) async fn until(
        &self,
        what: &str,
        deadline: Duration,
        mut holds: impl FnMut(&Seen) -> bool,
    ) -> Result<(), TimedOut> {
        wait::until(what, deadline, async || holds(&self.seen()).then_some(())).await
    }
}

impl Drop for Watch {
    fn drop(&mut self) {
        drop(self.stop.take());
        if let Some(thread) = self.thread.take() {
            thread
                .join()
                .expect("the collector's thread does not panic");
        }
    }
}

fn lock(seen: &Mutex<Seen>) -> MutexGuard<'_, Seen> {
    seen.lock().unwrap_or_else(PoisonError::into_inner)
}

async fn watch(mut source: Source, seen: &Mutex<Seen>) -> String {
    let mut limits = Limits::default();
    // Every row is compared at the end, so none may be forgotten before.
    limits.ended = usize::MAX;
    limits.ended_for = Duration::MAX;
    let mut table = PullTable::new(limits);
    loop {
        match source.next().await {
            Ok(Some(batch)) => lock(seen).take(&mut table, &batch),
            Ok(None) => return "it ended".to_owned(),
            Err(error @ SourceError::Stopped) => return error.to_string(),
            Err(error) => return error.to_string(),
        }
    }
}

impl Seen {
    fn take(&mut self, table: &mut PullTable, batch: &Batch) {
        self.batches += 1;
        for anomaly in &batch.anomalies {
            table.count(*anomaly);
        }
        let changes = table.apply(&batch.observations, batch.now);
        let mut untrue = Vec::new();
        for change in changes {
            let was = self.rows.get(&change.pull.id);
            untrue.extend(truth::doubts(was.map(|row| &*row.pull), &change.pull));
            let row = self
                .rows
                .entry(change.pull.id.clone())
                .or_insert_with(|| Row {
                    pull: Arc::clone(&change.pull),
                    ends: 0,
                    history: Vec::new(),
                });
            row.ends += u32::from(change.kind == ChangeKind::Ended);
            row.pull = change.pull;
            row.note();
        }
        untrue.extend(truth::doubts_of_sums(&table.sums(batch.now)));
        self.untrue_count += untrue.len() as u64;
        let room = MAX_UNTRUE.saturating_sub(self.untrue.len());
        self.untrue.extend(untrue.into_iter().take(room));
        self.anomalies.clone_from(&table.counters().anomalies);
    }

    pub(crate) fn live(&self) -> impl Iterator<Item = &Row> {
        self.rows
            .values()
            .filter(|row| row.pull.outcome().is_none())
    }

    pub(crate) fn of_root(&self, root: &str) -> impl Iterator<Item = &Row> {
        self.rows
            .values()
            .filter(move |row| row.root().as_deref() == Some(root))
    }

    /// The ids of all that ended.
    pub(crate) fn ended(&self) -> BTreeSet<PullId> {
        let ended = self
            .rows
            .iter()
            .filter(|(_, row)| row.pull.outcome().is_some());
        ended.map(|(id, _)| id.clone()).collect()
    }
}

impl Row {
    pub(crate) fn root(&self) -> Option<String> {
        self.pull.root.as_ref().map(ToString::to_string)
    }

    pub(crate) fn began(&self) -> NodeTime {
        self.pull.started_at
    }

    fn note(&mut self) {
        let mut text = self.pull.phase.to_string();
        if let Some(percent) = self.pull.percent {
            write!(text, " {percent}").expect("a String takes all text");
        }
        if let Some(waits) = &self.pull.waiting_on {
            write!(text, " ({})", waits.kind.as_str()).expect("a String takes all text");
        }
        if self.history.last() != Some(&text) && self.history.len() < MAX_HISTORY {
            self.history.push(text);
        }
    }
}
