//! Watches a source, and records every state and every violation of invariants.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use pulltrace_agent_lib::source::PullSource;
use pulltrace_core::{
    Anomaly, ChangeKind, FailureReason, Limits, NodeTotals, Now, Observation, Outcome, Percent,
    Pull, PullId, PullTable,
};
use pulltrace_testkit::{invariants, wait};
use tokio::task::JoinHandle;

use crate::kit::TIMEOUT;

pub(crate) struct Watch {
    log: Arc<Mutex<WatchLog>>,
    task: JoinHandle<()>,
}

/// The complete state at one time.
#[derive(Clone, Debug)]
pub(crate) struct Moment {
    pub(crate) now: Now,
    pub(crate) connected: bool,
    /// The source has reported that containerd is unavailable.
    pub(crate) lost: bool,
    pub(crate) pulls: Vec<Arc<Pull>>,
    pub(crate) sums: NodeTotals,
}

struct WatchLog {
    table: PullTable,
    connected: bool,
    lost: bool,
    moments: Vec<Moment>,
    violations: Vec<String>,
    ends: BTreeMap<PullId, u32>,
    /// Number of pulls when all had ended.
    expected_rows: Option<usize>,
}

impl Watch {
    pub(crate) fn start(mut source: impl PullSource + 'static, limits: Limits) -> Self {
        let log = Arc::new(Mutex::new(WatchLog {
            table: PullTable::new(limits),
            connected: false,
            lost: false,
            moments: Vec::new(),
            violations: Vec::new(),
            ends: BTreeMap::new(),
            expected_rows: None,
        }));
        let writer = Arc::clone(&log);
        let task = tokio::spawn(async move {
            loop {
                let next = source.next().await;
                let mut log = writer.lock().unwrap_or_else(PoisonError::into_inner);
                match next {
                    Ok(Some(batch)) => log.record(&batch),
                    Ok(None) => return,
                    Err(error) => {
                        return log.violations.push(format!("the source stopped: {error}"));
                    }
                }
            }
        });
        Self { log, task }
    }

    /// Waits until the source is connected to containerd.
    pub(crate) async fn wait_connected(&self) {
        let seen = |moment: &Moment| moment.connected.then_some(());
        self.until("containerd is connected", seen).await;
    }

    /// Waits until this many bytes of an image are downloaded; returns the pull.
    pub(crate) async fn wait_bytes(&self, path: &str, bytes: u64) -> Arc<Pull> {
        let here =
            |moment: &Moment| moment.find(path).filter(|pull| pull.motion.downloaded.0 >= bytes);
        self.until(&format!("{bytes} bytes of {path} are downloaded"), here).await
    }

    fn log(&self) -> MutexGuard<'_, WatchLog> {
        self.log.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Waits until `look` finds something in a state, starting with the last one.
    pub(crate) async fn until<T>(
        &self,
        what: &str,
        mut look: impl FnMut(&Moment) -> Option<T>,
    ) -> T {
        let mut next = self.log().moments.len().saturating_sub(1);
        let found = wait::until(what, TIMEOUT, async || {
            let log = self.log();
            while next < log.moments.len() {
                if let Some(found) = look(&log.moments[next]) {
                    return Some(found);
                }
                next += 1;
            }
            None
        });
        match found.await {
            Ok(found) => found,
            Err(error) => panic!("{error}; last seen: {:#?}", self.log().moments.last()),
        }
    }

    /// Waits until this many pulls have ended and none is live.
    pub(crate) async fn wait_ended(&self, count: usize) -> Vec<Arc<Pull>> {
        let all = |moment: &Moment| {
            let ended = moment.pulls.iter().all(|pull| pull.outcome().is_some());
            (ended && moment.pulls.len() >= count).then(|| moment.pulls.clone())
        };
        let pulls = self.until(&format!("{count} pulls have ended"), all).await;
        assert_eq!(pulls.len(), count, "{pulls:#?}");
        self.log().expected_rows = Some(count);
        pulls
    }

    /// Waits until this many pulls have completed, and asserts that there are no others.
    pub(crate) async fn wait_completed(&self, count: usize) -> Vec<Arc<Pull>> {
        let pulls = self.wait_ended(count).await;
        for pull in &pulls {
            assert_eq!(pull.outcome(), Some(Outcome::Completed), "{pull:#?}");
        }
        pulls
    }

    /// Waits until one pull has failed without a reason from containerd, and asserts that there are
    /// no others.
    pub(crate) async fn wait_failed(&self) -> Arc<Pull> {
        let pull = self.wait_ended(1).await.remove(0);
        assert_failed(&pull, FailureReason::Unexplained);
        pull
    }

    /// Waits for the end of a finite source.
    pub(crate) async fn wait_source_end(&self) {
        let over = async || self.task.is_finished().then_some(());
        let over = wait::until("the source ends", TIMEOUT, over).await;
        over.unwrap_or_else(|error| panic!("{error}"));
    }

    /// Waits for late events of ended pulls.
    pub(crate) async fn wait_settled(&self) {
        /// containerd's last event of a pull arrives within this time after its end.
        const LATE: std::time::Duration = std::time::Duration::from_millis(600);
        if self.task.is_finished() {
            return;
        }
        let late = |moment: &Moment| {
            let last = moment.pulls.iter().filter_map(|pull| pull.ended_at).max();
            last.is_none_or(|end| moment.now.node.since(end) >= LATE).then_some(())
        };
        self.until("late events have arrived", late).await;
    }

    /// Returns all states so far, in order.
    pub(crate) fn moments(&self) -> Vec<Moment> {
        self.log().moments.clone()
    }

    /// Returns all states of the only pull of this repository path.
    pub(crate) fn pull_history(&self, path: &str) -> Vec<Arc<Pull>> {
        let all = self.moments();
        all.iter().filter_map(|moment| moment.find(path)).collect()
    }

    /// Returns the names of a layer's states in order, without repetitions.
    pub(crate) fn layer_states(&self, path: &str, digest: &str) -> Vec<&'static str> {
        let mut words = Vec::new();
        for pull in self.pull_history(path) {
            let layer = pull.layers.iter().find(|layer| layer.digest.as_str() == digest);
            words.extend(layer.map(|layer| layer.state.as_str()));
        }
        words.dedup();
        words
    }

    /// Asserts that this total was seen for an image, and no other.
    #[track_caller]
    pub(crate) fn assert_total(&self, path: &str, total: u64) {
        let states = self.pull_history(path);
        let totals: Vec<u64> = states.iter().filter_map(|pull| Some(pull.total?.0)).collect();
        assert!(!totals.is_empty(), "total of {path} never known");
        assert!(
            totals.iter().all(|seen| *seen == total),
            "expected total {total} for {path}, got {totals:?}"
        );
    }

    /// Aborts watching, like a killed agent; returns all states.
    pub(crate) async fn abort(self) -> Vec<Moment> {
        self.task.abort();
        let ended = self.task.await.expect_err("task runs until aborted");
        assert!(ended.is_cancelled(), "{ended}");
        let log = self.log.lock().unwrap_or_else(PoisonError::into_inner);
        log.moments.clone()
    }

    #[track_caller]
    pub(crate) fn assert_consistent(&self, doubts: &[Anomaly]) {
        let log = self.log();
        assert!(log.violations.is_empty(), "{:#?}", log.violations);
        for (pull, times) in &log.ends {
            assert_eq!(*times, 1, "{pull} ended more than once");
        }
        let rows = log.moments.last().map_or(0, |moment| moment.pulls.len());
        assert_eq!(log.expected_rows.unwrap_or(rows), rows, "rows were added later");
        let anomalies = &log.table.counters().anomalies;
        let strange: BTreeMap<_, _> =
            anomalies.iter().filter(|(anomaly, _)| !doubts.contains(anomaly)).collect();
        assert!(strange.is_empty(), "{strange:?}");
    }
}

impl Moment {
    /// Returns the pull of this repository path; the newest if there are several.
    pub(crate) fn find(&self, path: &str) -> Option<Arc<Pull>> {
        let of = |pull: &&Arc<Pull>| {
            let repository = pull.repository.as_ref().map(|repository| repository.path());
            let named = || pull.names.first().map(|name| name.path().to_owned());
            repository.map(str::to_owned).or_else(named).is_some_and(|found| found == path)
        };
        self.pulls.iter().filter(of).max_by_key(|pull| pull.started_at).cloned()
    }

    pub(crate) fn live(&self) -> Vec<Arc<Pull>> {
        self.pulls.iter().filter(|pull| pull.outcome().is_none()).cloned().collect()
    }
}

impl WatchLog {
    fn record(&mut self, batch: &pulltrace_agent_lib::source::Batch) {
        for observation in &batch.observations {
            match observation {
                Observation::SourceRecovered => (self.connected, self.lost) = (true, false),
                Observation::SourceLost => (self.connected, self.lost) = (false, true),
                _ => {}
            }
        }
        batch.anomalies.iter().for_each(|anomaly| self.table.record_anomaly(*anomaly));
        for change in self.table.apply(&batch.observations, batch.now) {
            if change.kind == ChangeKind::Ended {
                *self.ends.entry(change.pull.id.clone()).or_default() += 1;
            }
        }
        let moment = Moment {
            now: batch.now,
            connected: self.connected,
            lost: self.lost,
            pulls: self.table.pulls().cloned().collect(),
            sums: self.table.totals(batch.now),
        };
        if let Some(before) = self.moments.last() {
            for pull in &moment.pulls {
                let was = before.pulls.iter().find(|other| other.id == pull.id);
                self.violations.extend(invariants::violations(was.map(AsRef::as_ref), pull));
            }
        }
        for pull in moment.live() {
            let layers = pull.layers.iter().map(|layer| layer.waiting_on.as_deref());
            let waits = layers.chain([pull.waiting_on.as_ref()]).flatten();
            for by in waits.filter_map(|waits| waits.pull.as_ref()) {
                if !moment.live().iter().any(|other| other.id == *by) {
                    self.violations.push(format!("waits for {by}, which has ended: {pull:#?}"));
                }
            }
        }
        self.violations.extend(invariants::node_totals_violation(&moment.sums));
        self.moments.push(moment);
    }
}

#[track_caller]
pub(crate) fn assert_failed(pull: &Pull, reason: FailureReason) {
    assert_eq!(pull.outcome(), Some(Outcome::Failed), "{pull:#?}");
    let failure = pull.failure.as_ref().expect("failure reason");
    assert_eq!(failure.reason, reason);
    assert!(pull.motion.percent.is_none_or(|percent| percent < Percent::DONE));
}
