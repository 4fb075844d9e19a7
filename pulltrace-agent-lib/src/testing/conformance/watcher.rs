//! Watches one source and checks each of its batches.

use std::collections::{BTreeMap, BTreeSet};
use std::future::poll_fn;
use std::pin::pin;
use std::task::Poll;
use std::time::Duration;

use pulltrace_core::{
    Anomaly, EndEvidence, Limits, Mono, Observation, Outcome, PullFact, PullId, PullTable,
};

use super::violation::{Rule, Violation};
use crate::source::{Batch, PullSource};

/// The way to call `next`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum CallMode {
    /// Each future is awaited to its end.
    Await,
    /// The future is dropped whenever it was woken and is still pending.
    DropOnPending,
}

/// A source that needs more wake-ups than this for a batch is then awaited to the end.
const MAX_DROPS: u32 = 64;

/// Batches or time to watch in order to confirm that a state does not change.
const QUIET_BATCHES: usize = 3;
const QUIET_TIME: Duration = Duration::from_secs(3);

pub(super) struct Watcher<S> {
    source: S,
    during: &'static str,
    mode: CallMode,
    timeout: Duration,
    table: PullTable,
    last: Option<Mono>,
    batches: usize,
    lost: bool,
    /// True if a complete batch was received.
    synced: bool,
    /// Pulls already returned by this watcher, or running before it.
    known: BTreeSet<PullId>,
    began: Vec<PullId>,
    ended: BTreeMap<PullId, EndEvidence>,
}

impl<S: PullSource> Watcher<S> {
    pub(super) fn new(source: S, during: &'static str, mode: CallMode, timeout: Duration) -> Self {
        Self {
            source,
            during,
            mode,
            timeout,
            table: PullTable::new(Limits::default()),
            last: None,
            batches: 0,
            lost: false,
            synced: false,
            known: BTreeSet::new(),
            began: Vec::new(),
            ended: BTreeMap::new(),
        }
    }

    /// Violations seen only by a caller that drops `next` count as missing cancel safety.
    pub(super) fn violation(&self, rule: Rule, what: String) -> Violation {
        let (rule, what) = match self.mode {
            CallMode::Await => (rule, what),
            CallMode::DropOnPending => (Rule::CancelSafe, format!("{what} ({rule})")),
        };
        Violation::Broken { rule, during: self.during, what }
    }

    /// Waits for a pull that was not returned before.
    pub(super) async fn wait_for_start(&mut self) -> Result<PullId, Violation> {
        let is_new = |this: &Self| {
            let mut began = this.began.iter();
            began.find(|id| !this.known.contains(*id)).cloned()
        };
        let id = self.wait_until("no pull started", is_new).await?;
        self.known.insert(id.clone());
        Ok(id)
    }

    pub(super) async fn wait_for_end(&mut self, id: &PullId) -> Result<EndEvidence, Violation> {
        let what = format!("pull {id} did not end");
        self.wait_until(&what, |this| this.ended.get(id).cloned()).await
    }

    pub(super) async fn wait_for_completion(&mut self, id: &PullId) -> Result<(), Violation> {
        match self.wait_for_end(id).await? {
            EndEvidence::ImagePresent => Ok(()),
            other => {
                let what = format!("pull {id} completed but its reported end is {other:?}");
                Err(self.violation(Rule::Evidence, what))
            }
        }
    }

    pub(super) async fn wait_for_disconnect(&mut self) -> Result<(), Violation> {
        let what = "the lost connection was not reported";
        let is_lost = |this: &Self| this.lost.then_some(());
        self.wait_for_rule(Rule::Outage, what, is_lost).await
    }

    pub(super) async fn wait_for_reconnect(&mut self) -> Result<(), Violation> {
        let what = "the recovered connection was not reported";
        let is_back = |this: &Self| (!this.lost).then_some(());
        self.wait_for_rule(Rule::Outage, what, is_back).await
    }

    /// Checks that no pull ends while all keep running.
    pub(super) async fn expect_no_end(&mut self) -> Result<(), Violation> {
        let before: BTreeSet<_> = self.ended.keys().cloned().collect();
        self.watch_briefly().await?;
        match self.ended.iter().find(|(id, _)| !before.contains(*id)) {
            None => Ok(()),
            Some((id, evidence)) => {
                let what = format!("pull {id} is running but ended by {evidence:?}");
                Err(self.violation(Rule::Evidence, what))
            }
        }
    }

    /// Checks that no further pull starts. Ended pulls that restart are found by the check of each
    /// batch.
    pub(super) async fn expect_no_start(&mut self) -> Result<(), Violation> {
        self.watch_briefly().await?;
        match self.began.iter().find(|id| !self.known.contains(*id)) {
            None => Ok(()),
            Some(id) => Err(self.violation(
                Rule::StableIds,
                format!("pull {id} started although no pull was started"),
            )),
        }
    }

    /// Checks that a new source lists this running pull before its first complete batch.
    pub(super) async fn expect_in_initial_sync(&mut self, id: &PullId) -> Result<(), Violation> {
        let whole = |this: &Self| this.synced.then_some(());
        self.wait_until("no complete batch was received", whole).await?;
        if self.began.contains(id) {
            self.known.insert(id.clone());
            return Ok(());
        }
        match self.began.first() {
            Some(other) => {
                let what = format!("a new source reports the running pull {id} as {other}");
                Err(self.violation(Rule::StableIds, what))
            }
            None => {
                let what = format!("the running pull {id} is missing");
                Err(self.violation(Rule::InitialSync, what))
            }
        }
    }

    /// Returns all batches of a finite source.
    pub(super) async fn collect_batches(&mut self) -> Result<Vec<Batch>, Violation> {
        let mut batches = Vec::new();
        loop {
            match self.next_step(self.timeout).await? {
                NextStep::Batch(batch) => batches.push(batch),
                NextStep::Ended => return Ok(batches),
                NextStep::Timeout => {
                    let what = format!("no batch and no end for {:?}", self.timeout);
                    return Err(self.violation(Rule::Observed, what));
                }
            }
        }
    }

    async fn wait_until<T>(
        &mut self,
        what: &str,
        condition: impl Fn(&Self) -> Option<T>,
    ) -> Result<T, Violation> {
        self.wait_for_rule(Rule::Observed, what, condition).await
    }

    async fn wait_for_rule<T>(
        &mut self,
        rule: Rule,
        what: &str,
        condition: impl Fn(&Self) -> Option<T>,
    ) -> Result<T, Violation> {
        let mut end = pin!(tokio::time::sleep(self.timeout));
        loop {
            if let Some(found) = condition(self) {
                return Ok(found);
            }
            let step = tokio::select! {
                step = self.next_step(Duration::MAX) => step?,
                () = &mut end => {
                    let what = format!("{what} within {:?}", self.timeout);
                    return Err(self.violation(rule, what));
                }
            };
            if matches!(step, NextStep::Ended) {
                return Err(self.violation(Rule::StaysAlive, "the source ended".into()));
            }
        }
    }

    async fn watch_briefly(&mut self) -> Result<(), Violation> {
        let before = self.batches;
        while self.batches < before + QUIET_BATCHES {
            match self.next_step(QUIET_TIME).await? {
                NextStep::Batch(_) => {}
                NextStep::Timeout => break,
                NextStep::Ended => {
                    return Err(self.violation(Rule::StaysAlive, "the source ended".into()));
                }
            }
        }
        Ok(())
    }

    async fn next_step(&mut self, bound: Duration) -> Result<NextStep, Violation> {
        let looked = match self.mode {
            CallMode::Await => tokio::time::timeout(bound, self.source.next()).await,
            CallMode::DropOnPending => {
                tokio::time::timeout(bound, next_with_drops(&mut self.source)).await
            }
        };
        match looked {
            Err(_elapsed) => Ok(NextStep::Timeout),
            Ok(Ok(None)) => Ok(NextStep::Ended),
            Ok(Ok(Some(batch))) => {
                self.check_batch(&batch)?;
                Ok(NextStep::Batch(batch))
            }
            Ok(Err(error)) => {
                let mut what = error.to_string();
                if let Some(cause) = std::error::Error::source(&error) {
                    what += &format!(": {cause}");
                }
                Err(self.violation(Rule::StaysAlive, what))
            }
        }
    }

    fn check_batch(&mut self, batch: &Batch) -> Result<(), Violation> {
        if let Some(last) = self.last.filter(|last| batch.now.mono < *last) {
            let what = format!("time {:?} follows {:?}", batch.now.mono.0, last.0);
            return Err(self.violation(Rule::Order, what));
        }
        self.last = Some(batch.now.mono);
        self.batches += 1;
        for observation in &batch.observations {
            self.check_observation(observation)?;
        }
        let back = batch.observations.contains(&Observation::SourceRecovered);
        self.synced |= !self.lost && !back && !batch.partial;
        let before = self.source_anomalies();
        self.table.apply(&batch.observations, batch.now);
        match self.source_anomalies().into_iter().find(|a| !before.contains(a)) {
            None => Ok(()),
            Some(anomaly) => {
                let what = format!("`{anomaly}` in a batch of {:?}", batch.observations);
                Err(self.violation(Rule::Consistent, what))
            }
        }
    }

    fn check_observation(&mut self, observation: &Observation) -> Result<(), Violation> {
        match observation {
            Observation::SourceLost => self.lost = true,
            Observation::SourceRecovered => self.lost = false,
            Observation::Pull { pull, fact: PullFact::Started { .. } } => {
                return self.check_start(pull);
            }
            Observation::Pull { pull, fact: PullFact::Ended { evidence, .. } } => {
                return self.check_end(pull, evidence);
            }
            _ => {}
        }
        Ok(())
    }

    fn check_start(&mut self, pull: &PullId) -> Result<(), Violation> {
        if let Some(evidence) = self.ended.get(pull) {
            if Outcome::from_evidence(evidence).0 != Outcome::Unknown {
                let what = format!("pull {pull} ended by {evidence:?} and started again");
                return Err(self.violation(Rule::EndIsFinal, what));
            }
            self.ended.remove(pull);
        }
        if !self.began.contains(pull) {
            self.began.push(pull.clone());
        }
        Ok(())
    }

    fn check_end(&mut self, pull: &PullId, evidence: &EndEvidence) -> Result<(), Violation> {
        if self.lost {
            let what = format!("pull {pull} ended by {evidence:?} during an outage");
            return Err(self.violation(Rule::Outage, what));
        }
        if !self.began.contains(pull) {
            let what = format!("pull {pull} ended without a start");
            return Err(self.violation(Rule::Consistent, what));
        }
        if let Some(before) = self.ended.insert(pull.clone(), evidence.clone())
            && Outcome::from_evidence(&before).0 != Outcome::Unknown
        {
            let what = format!("pull {pull} ended by {before:?} and then by {evidence:?}");
            return Err(self.violation(Rule::EndIsFinal, what));
        }
        Ok(())
    }

    /// Returns the anomalies that only a faulty source causes. Others may be caused by a hostile
    /// registry.
    fn source_anomalies(&self) -> Vec<Anomaly> {
        let source_faults = [
            Anomaly::UnknownPull,
            Anomaly::UnknownLayer,
            Anomaly::EndedTwice,
            Anomaly::RootChanged,
        ];
        let counted = self.table.counters().anomalies.keys().copied();
        counted.filter(|anomaly| source_faults.contains(anomaly)).collect()
    }
}

enum NextStep {
    Batch(Batch),
    Timeout,
    Ended,
}

/// Calls `next`, dropping the future whenever it was woken and is still pending.
///
/// A source that consumes input before it is ready loses it then.
async fn next_with_drops<S: PullSource>(
    source: &mut S,
) -> Result<Option<Batch>, crate::source::SourceError> {
    for _ in 0..MAX_DROPS {
        let mut next = pin!(source.next());
        let mut polls = 0;
        let ready = poll_fn(|context| match next.as_mut().poll(context) {
            Poll::Ready(batch) => Poll::Ready(Some(batch)),
            Poll::Pending if polls > 0 => Poll::Ready(None),
            Poll::Pending => {
                polls += 1;
                Poll::Pending
            }
        });
        if let Some(batch) = ready.await {
            return batch;
        }
    }
    source.next().await
}
