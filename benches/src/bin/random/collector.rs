//! Records the collector's reports: every pull with its history, and violated invariants.

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
use pulltrace_testkit::invariants;
use pulltrace_testkit::wait::{self, TimedOut};
use tokio::sync::oneshot;

/// The history of a pull is cut off here.
const MAX_HISTORY: usize = 60;

/// Further violations are only counted.
const MAX_VIOLATIONS: usize = 20;

/// A pull as reported by the collector.
pub(crate) struct ObservedPull {
    pub(crate) pull: Arc<Pull>,
    /// The number of reported ends.
    pub(crate) end_count: u32,
    /// Phases and percentages in order.
    pub(crate) history: Vec<String>,
}

#[derive(Default)]
pub(crate) struct Observed {
    pub(crate) pulls: BTreeMap<PullId, ObservedPull>,
    pub(crate) violations: Vec<String>,
    pub(crate) violation_count: u64,
    pub(crate) anomalies: BTreeMap<Anomaly, u64>,
    pub(crate) batches: u64,
    /// The reason why the source stopped, if it did.
    pub(crate) stop_reason: Option<String>,
}

/// Watches a containerd from a separate thread, so that building images does not delay it.
pub(crate) struct Collector {
    observed: Arc<Mutex<Observed>>,
    stop: Option<oneshot::Sender<()>>,
    thread: Option<std::thread::JoinHandle<()>>,
}

impl Collector {
    pub(crate) fn start(
        socket: &Path,
        record: impl Write + Send + 'static,
    ) -> std::io::Result<Self> {
        let seen = Arc::new(Mutex::new(Observed::default()));
        let builder = Source::builder("node-1".parse().expect("a valid node name"))
            .socket(socket)
            .record_to(record);
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
        let (stop, stopped) = oneshot::channel::<()>();
        let writer = Arc::clone(&seen);
        let thread = std::thread::Builder::new().name("collector".into()).spawn(move || {
            runtime.block_on(async {
                tokio::select! {
                    // The receive error after the sender was dropped is the stop signal.
                    _ = stopped => {}
                    error = collect(builder.start(), &writer) => {
                        lock(&writer).stop_reason = Some(error);
                    }
                }
            });
        })?;
        Ok(Self { observed: seen, stop: Some(stop), thread: Some(thread) })
    }

    pub(crate) fn observed(&self) -> MutexGuard<'_, Observed> {
        lock(&self.observed)
    }

    /// Waits until `holds` returns true for the observations.
    pub(crate) async fn until(
        &self,
        what: &str,
        deadline: Duration,
        mut holds: impl FnMut(&Observed) -> bool,
    ) -> Result<(), TimedOut> {
        wait::until(what, deadline, async || holds(&self.observed()).then_some(())).await
    }
}

impl Drop for Collector {
    fn drop(&mut self) {
        drop(self.stop.take());
        if let Some(thread) = self.thread.take() {
            thread.join().expect("the collector's thread did not panic");
        }
    }
}

fn lock(seen: &Mutex<Observed>) -> MutexGuard<'_, Observed> {
    seen.lock().unwrap_or_else(PoisonError::into_inner)
}

async fn collect(mut source: Source, seen: &Mutex<Observed>) -> String {
    let mut limits = Limits::default();
    // All pulls are compared at the end, so none may be evicted.
    limits.max_ended = usize::MAX;
    limits.retention = Duration::MAX;
    let mut table = PullTable::new(limits);
    loop {
        match source.next().await {
            Ok(Some(batch)) => lock(seen).ingest(&mut table, &batch),
            Ok(None) => return "the source ended".to_owned(),
            Err(error @ SourceError::Stopped) => return error.to_string(),
            Err(error) => return error.to_string(),
        }
    }
}

impl Observed {
    fn ingest(&mut self, table: &mut PullTable, batch: &Batch) {
        self.batches += 1;
        for anomaly in &batch.anomalies {
            table.record_anomaly(*anomaly);
        }
        let changes = table.apply(&batch.observations, batch.now);
        let mut violations = Vec::new();
        for change in changes {
            let was = self.pulls.get(&change.pull.id);
            violations.extend(invariants::violations(was.map(|row| &*row.pull), &change.pull));
            let row = self.pulls.entry(change.pull.id.clone()).or_insert_with(|| ObservedPull {
                pull: Arc::clone(&change.pull),
                end_count: 0,
                history: Vec::new(),
            });
            row.end_count += u32::from(change.kind == ChangeKind::Ended);
            row.pull = change.pull;
            row.record_history();
        }
        violations.extend(invariants::node_totals_violation(&table.totals(batch.now)));
        self.violation_count += violations.len() as u64;
        let room = MAX_VIOLATIONS.saturating_sub(self.violations.len());
        self.violations.extend(violations.into_iter().take(room));
        self.anomalies.clone_from(&table.counters().anomalies);
    }

    pub(crate) fn live(&self) -> impl Iterator<Item = &ObservedPull> {
        self.pulls.values().filter(|row| row.pull.outcome().is_none())
    }

    pub(crate) fn with_root(&self, root: &str) -> impl Iterator<Item = &ObservedPull> {
        self.pulls.values().filter(move |row| row.root().as_deref() == Some(root))
    }

    /// The ids of all ended pulls.
    pub(crate) fn ended(&self) -> BTreeSet<PullId> {
        let ended = self.pulls.iter().filter(|(_, row)| row.pull.outcome().is_some());
        ended.map(|(id, _)| id.clone()).collect()
    }
}

impl ObservedPull {
    pub(crate) fn root(&self) -> Option<String> {
        self.pull.root.as_ref().map(ToString::to_string)
    }

    pub(crate) fn started_at(&self) -> NodeTime {
        self.pull.started_at
    }

    fn record_history(&mut self) {
        let mut text = self.pull.phase.to_string();
        if let Some(percent) = self.pull.motion.percent {
            write!(text, " {percent}").expect("writing to a String cannot fail");
        }
        if let Some(waits) = &self.pull.waiting_on {
            write!(text, " ({})", waits.kind.as_str()).expect("writing to a String cannot fail");
        }
        if self.history.last() != Some(&text) && self.history.len() < MAX_HISTORY {
            self.history.push(text);
        }
    }
}
