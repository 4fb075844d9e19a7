//! Somebody who watches a source and writes down every state, and what of it cannot be true.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use pulltrace_agent_lib::source::PullSource;
use pulltrace_core::{
    Anomaly, ChangeKind, Limits, NodeSums, Observation, Outcome, Percent, Phase, Pull, PullId,
    PullTable,
};
use pulltrace_testkit::wait;
use tokio::task::JoinHandle;

use crate::kit::SOON;

pub(crate) struct Watch {
    log: Arc<Mutex<Log>>,
    task: JoinHandle<()>,
}

/// Everything at one moment.
#[derive(Clone, Debug)]
pub(crate) struct Moment {
    pub(crate) connected: bool,
    pub(crate) pulls: Vec<Arc<Pull>>,
    pub(crate) sums: NodeSums,
}

struct Log {
    table: PullTable,
    connected: bool,
    moments: Vec<Moment>,
    untrue: Vec<String>,
    ends: BTreeMap<PullId, u32>,
}

impl Watch {
    pub(crate) fn begin(mut source: impl PullSource + 'static) -> Self {
        let log = Arc::new(Mutex::new(Log {
            table: PullTable::new(Limits::default()),
            connected: false,
            moments: Vec::new(),
            untrue: Vec::new(),
            ends: BTreeMap::new(),
        }));
        let writer = Arc::clone(&log);
        let task = tokio::spawn(async move {
            while let Ok(Some(batch)) = source.next().await {
                let mut log = writer.lock().unwrap_or_else(PoisonError::into_inner);
                log.take(&batch);
            }
        });
        Self { log, task }
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
        pulls
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

    /// Stops watching, as an agent that is killed does.
    pub(crate) fn kill(&self) {
        self.task.abort();
    }

    #[track_caller]
    pub(crate) fn assert_true(&self, doubts: &[Anomaly]) {
        let log = self.log();
        assert!(log.untrue.is_empty(), "{:#?}", log.untrue);
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
                Observation::SourceBack => self.connected = true,
                Observation::SourceLost => self.connected = false,
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
            connected: self.connected,
            pulls: self.table.pulls().cloned().collect(),
            sums: self.table.sums(batch.now),
        };
        if let Some(before) = self.moments.last() {
            for pull in &moment.pulls {
                let was = before.pulls.iter().find(|other| other.id == pull.id);
                check(was.map(AsRef::as_ref), pull, &mut self.untrue);
            }
        }
        if moment.sums.downloaded > moment.sums.to_download {
            self.untrue
                .push(format!("more is here than was to come: {:?}", moment.sums));
        }
        self.moments.push(moment);
    }
}

/// What can never be true, whatever the scenario.
fn check(was: Option<&Pull>, is: &Pull, untrue: &mut Vec<String>) {
    let mut claim = |holds: bool, what: &str| {
        if !holds {
            untrue.push(format!("{what}: {was:#?} then {is:#?}"));
        }
    };
    claim(
        is.percent.is_none_or(|p| p.get() <= 100.0),
        "more than 100 %",
    );
    let done = is.percent == Some(Percent::DONE);
    claim(
        done == (is.phase == Phase::Ended(Outcome::Completed)),
        "100 % is said of what is completed, and only of that",
    );
    claim(
        is.to_download.is_none_or(|all| is.downloaded <= all),
        "more is here than was to come",
    );
    claim(
        is.layers.iter().all(|layer| layer.downloaded <= layer.size),
        "a layer has more bytes than it has",
    );
    claim(
        is.total
            .is_none_or(|total| total == is.layers.iter().map(|layer| layer.size).sum()),
        "a total that is no sum",
    );
    let Some(was) = was else { return };
    claim(
        was.percent
            .is_none_or(|before| is.percent.is_some_and(|now| now >= before)),
        "the percentage went back",
    );
    claim(
        was.total.is_none() || was.total == is.total,
        "the total changed",
    );
    let revived = was.outcome() == Some(Outcome::Unknown);
    claim(
        was.outcome().is_none() || was.outcome() == is.outcome() || revived,
        "an end was taken back",
    );
    if is.wasted == was.wasted {
        for (before, now) in was.layers.iter().zip(&is.layers) {
            claim(
                now.downloaded >= before.downloaded || now.state.is_idle(),
                "the bytes of a layer went back",
            );
            claim(now.state >= before.state, "the state of a layer went back");
        }
    }
}
