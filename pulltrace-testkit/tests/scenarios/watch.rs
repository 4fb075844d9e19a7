//! Somebody who watches a source and writes down every state, and what of it cannot be true.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use pulltrace_agent_lib::source::PullSource;
use pulltrace_core::{
    Anomaly, ChangeKind, FailureReason, Limits, NodeSums, Now, Observation, Outcome, Percent, Pull,
    PullId, PullTable,
};
use pulltrace_testkit::{truth, wait};
use tokio::task::JoinHandle;

use crate::kit::SOON;

pub(crate) struct Watch {
    log: Arc<Mutex<Log>>,
    task: JoinHandle<()>,
}

/// Everything at one moment.
#[derive(Clone, Debug)]
pub(crate) struct Moment {
    pub(crate) now: Now,
    pub(crate) connected: bool,
    /// It was said that containerd is away.
    pub(crate) lost: bool,
    pub(crate) pulls: Vec<Arc<Pull>>,
    pub(crate) sums: NodeSums,
}

struct Log {
    table: PullTable,
    connected: bool,
    lost: bool,
    moments: Vec<Moment>,
    untrue: Vec<String>,
    ends: BTreeMap<PullId, u32>,
    /// How many pulls there were when all had ended.
    rows: Option<usize>,
}

impl Watch {
    pub(crate) fn begin(mut source: impl PullSource + 'static, limits: Limits) -> Self {
        let log = Arc::new(Mutex::new(Log {
            table: PullTable::new(limits),
            connected: false,
            lost: false,
            moments: Vec::new(),
            untrue: Vec::new(),
            ends: BTreeMap::new(),
            rows: None,
        }));
        let writer = Arc::clone(&log);
        let task = tokio::spawn(async move {
            loop {
                let next = source.next().await;
                let mut log = writer.lock().unwrap_or_else(PoisonError::into_inner);
                match next {
                    Ok(Some(batch)) => log.take(&batch),
                    Ok(None) => return,
                    Err(error) => return log.untrue.push(format!("the source stopped: {error}")),
                }
            }
        });
        Self { log, task }
    }

    /// Waits until the source sees containerd.
    pub(crate) async fn connected(&self) {
        let seen = |moment: &Moment| moment.connected.then_some(());
        self.until("containerd is connected", seen).await;
    }

    /// Waits until so many bytes of this image's layers are seen to be here; what is seen then.
    pub(crate) async fn until_bytes(&self, path: &str, bytes: u64) -> Arc<Pull> {
        let here = |moment: &Moment| moment.find(path).filter(|pull| pull.downloaded.0 >= bytes);
        self.until(&format!("{bytes} bytes of {path} are here"), here)
            .await
    }

    fn log(&self) -> MutexGuard<'_, Log> {
        self.log.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Waits until a moment, past or to come, is as asked.
    pub(crate) async fn until<T>(
        &self,
        what: &str,
        mut look: impl FnMut(&Moment) -> Option<T>,
    ) -> T {
        let mut next = self.log().moments.len().saturating_sub(1);
        let found = wait::until(what, SOON, async || {
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

    /// Waits until so many pulls have ended and none lives.
    pub(crate) async fn ended(&self, count: usize) -> Vec<Arc<Pull>> {
        let all = |moment: &Moment| {
            let ended = moment.pulls.iter().all(|pull| pull.outcome().is_some());
            (ended && moment.pulls.len() >= count).then(|| moment.pulls.clone())
        };
        let pulls = self.until(&format!("{count} pulls have ended"), all).await;
        assert_eq!(pulls.len(), count, "{pulls:#?}");
        self.log().rows = Some(count);
        pulls
    }

    /// Waits until so many pulls are completed, and nothing else.
    pub(crate) async fn completed(&self, count: usize) -> Vec<Arc<Pull>> {
        let pulls = self.ended(count).await;
        for pull in &pulls {
            assert_eq!(pull.outcome(), Some(Outcome::Completed), "{pull:#?}");
        }
        pulls
    }

    /// Waits until one pull has failed, for a reason that containerd does not tell, and nothing else was seen.
    pub(crate) async fn failed(&self) -> Arc<Pull> {
        let pull = self.ended(1).await.remove(0);
        assert_failed(&pull, FailureReason::Unexplained);
        pull
    }

    /// Waits until a source that ends by itself has ended.
    pub(crate) async fn over(&self) {
        let over = async || self.task.is_finished().then_some(());
        let over = wait::until("the source ends", SOON, over).await;
        over.unwrap_or_else(|error| panic!("{error}"));
    }

    /// Waits until what is seen late of pulls that are over was seen.
    pub(crate) async fn settled(&self) {
        /// containerd's last event of a pull comes sooner after its end than this.
        const LATE: std::time::Duration = std::time::Duration::from_millis(600);
        if self.task.is_finished() {
            return;
        }
        let late = |moment: &Moment| {
            let last = moment.pulls.iter().filter_map(|pull| pull.ended_at).max();
            last.is_none_or(|end| moment.now.node.since(end) >= LATE)
                .then_some(())
        };
        self.until("what is late was seen", late).await;
    }

    /// Every state of every pull, in the order in which they were seen.
    pub(crate) fn moments(&self) -> Vec<Moment> {
        self.log().moments.clone()
    }

    /// Every state of the one pull whose image has this repository path.
    pub(crate) fn states(&self, path: &str) -> Vec<Arc<Pull>> {
        let all = self.moments();
        all.iter().filter_map(|moment| moment.find(path)).collect()
    }

    /// The words of a layer's states, each once, in the order in which they came.
    pub(crate) fn layer_words(&self, path: &str, digest: &str) -> Vec<&'static str> {
        let mut words = Vec::new();
        for pull in self.states(path) {
            let layer = pull
                .layers
                .iter()
                .find(|layer| layer.digest.as_str() == digest);
            words.extend(layer.map(|layer| layer.state.as_str()));
        }
        words.dedup();
        words
    }

    /// That at each poll which knows the image, its total was this; and that there was such a poll.
    #[track_caller]
    pub(crate) fn assert_total(&self, path: &str, total: u64) {
        let states = self.states(path);
        let totals: Vec<u64> = states
            .iter()
            .filter_map(|pull| Some(pull.total?.0))
            .collect();
        assert!(!totals.is_empty(), "the total of {path} was never known");
        assert!(
            totals.iter().all(|seen| *seen == total),
            "{path} weighs {total}: {totals:?}"
        );
    }

    /// Stops watching, as an agent that is killed does.
    pub(crate) async fn kill(self) -> Vec<Moment> {
        self.task.abort();
        let ended = self.task.await.expect_err("it never stops by itself");
        assert!(ended.is_cancelled(), "{ended}");
        let log = self.log.lock().unwrap_or_else(PoisonError::into_inner);
        log.moments.clone()
    }

    #[track_caller]
    pub(crate) fn assert_true(&self, doubts: &[Anomaly]) {
        let log = self.log();
        assert!(log.untrue.is_empty(), "{:#?}", log.untrue);
        for (pull, times) in &log.ends {
            assert_eq!(*times, 1, "{pull} ended more than once");
        }
        let rows = log.moments.last().map_or(0, |moment| moment.pulls.len());
        assert_eq!(log.rows.unwrap_or(rows), rows, "rows were invented later");
        let anomalies = &log.table.counters().anomalies;
        let strange: BTreeMap<_, _> = anomalies
            .iter()
            .filter(|(anomaly, _)| !doubts.contains(anomaly))
            .collect();
        assert!(strange.is_empty(), "{strange:?}");
    }
}

impl Moment {
    /// The pull of the repository with this path; the newest of several.
    pub(crate) fn find(&self, path: &str) -> Option<Arc<Pull>> {
        let of = |pull: &&Arc<Pull>| {
            let repository = pull.repository.as_ref().map(|repository| repository.path());
            let named = || pull.names.first().map(|name| name.path().to_owned());
            repository
                .map(str::to_owned)
                .or_else(named)
                .is_some_and(|found| found == path)
        };
        self.pulls
            .iter()
            .filter(of)
            .max_by_key(|pull| pull.started_at)
            .cloned()
    }

    pub(crate) fn live(&self) -> Vec<Arc<Pull>> {
        self.pulls
            .iter()
            .filter(|pull| pull.outcome().is_none())
            .cloned()
            .collect()
    }
}

impl Log {
    fn take(&mut self, batch: &pulltrace_agent_lib::source::Batch) {
        for observation in &batch.observations {
            match observation {
                Observation::SourceBack => (self.connected, self.lost) = (true, false),
                Observation::SourceLost => (self.connected, self.lost) = (false, true),
                _ => {}
            }
        }
        batch
            .anomalies
            .iter()
            .for_each(|anomaly| self.table.count(*anomaly));
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
            sums: self.table.sums(batch.now),
        };
        if let Some(before) = self.moments.last() {
            for pull in &moment.pulls {
                let was = before.pulls.iter().find(|other| other.id == pull.id);
                self.untrue
                    .extend(truth::doubts(was.map(AsRef::as_ref), pull));
            }
        }
        for pull in moment.live() {
            let layers = pull.layers.iter().map(|layer| layer.waiting_on.as_deref());
            let waits = layers.chain([pull.waiting_on.as_ref()]).flatten();
            for by in waits.filter_map(|waits| waits.pull.as_ref()) {
                if !moment.live().iter().any(|other| other.id == *by) {
                    self.untrue
                        .push(format!("it waits for {by}, which is over: {pull:#?}"));
                }
            }
        }
        self.untrue.extend(truth::doubts_of_sums(&moment.sums));
        self.moments.push(moment);
    }
}

#[track_caller]
pub(crate) fn assert_failed(pull: &Pull, reason: FailureReason) {
    assert_eq!(pull.outcome(), Some(Outcome::Failed), "{pull:#?}");
    let failure = pull.failure.as_ref().expect("a reason");
    assert_eq!(failure.reason, reason);
    assert!(pull.percent.is_none_or(|percent| percent < Percent::DONE));
}
