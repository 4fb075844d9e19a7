//! Watches one source and judges each batch of it.

use std::collections::{BTreeMap, BTreeSet};
use std::future::poll_fn;
use std::pin::pin;
use std::task::Poll;
use std::time::Duration;

use pulltrace_core::{Anomaly, Evidence, Limits, Mono, Observation, Outcome, PullId, PullTable};

use super::{Rule, Violation};
use crate::source::{Batch, PullSource};

/// How `next` is called.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Patience {
    /// It is awaited to its end.
    Waits,
    /// It is dropped each time that it was woken and is still not ready.
    Drops,
}

/// A source that needs more wake-ups than this for a batch is awaited to its end after all.
const MAX_DROPS: u32 = 64;

/// For "nothing more happens" so many batches are looked at, or so long.
const QUIET_BATCHES: usize = 3;
const QUIET_TIME: Duration = Duration::from_secs(3);

pub(super) struct Watcher<S> {
    source: S,
    during: &'static str,
    patience: Patience,
    bound: Duration,
    table: PullTable,
    last: Option<Mono>,
    batches: usize,
    lost: bool,
    /// A batch came that was not partial.
    whole: bool,
    /// Pulls that this watcher has handed out, or that went on before it.
    known: BTreeSet<PullId>,
    began: Vec<PullId>,
    ended: BTreeMap<PullId, Evidence>,
}

impl<S: PullSource> Watcher<S> {
    pub(super) fn new(
        source: S,
        during: &'static str,
        patience: Patience,
        bound: Duration,
    ) -> Self {
        Self {
            source,
            during,
            patience,
            bound,
            table: PullTable::new(Limits::default()),
            last: None,
            batches: 0,
            lost: false,
            whole: false,
            known: BTreeSet::new(),
            began: Vec::new(),
            ended: BTreeMap::new(),
        }
    }

    /// What only a caller that drops `next` gets to see is the fault of its drops.
    pub(super) fn broken(&self, rule: Rule, what: String) -> Violation {
        let (rule, what) = match self.patience {
            Patience::Waits => (rule, what),
            Patience::Drops => (Rule::CancelSafe, format!("{what} ({rule})")),
        };
        Violation::Broken {
            rule,
            during: self.during,
            what,
        }
    }

    /// The first pull that is seen to begin and was not handed out yet.
    pub(super) async fn until_begun(&mut self) -> Result<PullId, Violation> {
        let is_new = |this: &Self| {
            let mut began = this.began.iter();
            began.find(|id| !this.known.contains(*id)).cloned()
        };
        let id = self.until("no pull was seen to begin", is_new).await?;
        self.known.insert(id.clone());
        Ok(id)
    }

    pub(super) async fn until_ended(&mut self, id: &PullId) -> Result<Evidence, Violation> {
        let what = format!("pull {id} was not seen to end");
        self.until(&what, |this| this.ended.get(id).cloned()).await
    }

    pub(super) async fn until_completed(&mut self, id: &PullId) -> Result<(), Violation> {
        match self.until_ended(id).await? {
            Evidence::ImagePresent => Ok(()),
            other => {
                let what = format!("pull {id} completed, and was said to end by {other:?}");
                Err(self.broken(Rule::Evidence, what))
            }
        }
    }

    pub(super) async fn until_lost(&mut self) -> Result<(), Violation> {
        let what = "the runtime is out of sight, and that was not said";
        let is_lost = |this: &Self| this.lost.then_some(());
        self.until_rule(Rule::Outage, what, is_lost).await
    }

    pub(super) async fn until_back(&mut self) -> Result<(), Violation> {
        let what = "the runtime is in sight again, and that was not said";
        let is_back = |this: &Self| (!this.lost).then_some(());
        self.until_rule(Rule::Outage, what, is_back).await
    }

    /// No pull ends while all go on.
    pub(super) async fn expect_nothing_ends(&mut self) -> Result<(), Violation> {
        let before: BTreeSet<_> = self.ended.keys().cloned().collect();
        self.watch_quietly().await?;
        match self.ended.iter().find(|(id, _)| !before.contains(*id)) {
            None => Ok(()),
            Some((id, evidence)) => {
                let what = format!("pull {id} goes on, and was said to end by {evidence:?}");
                Err(self.broken(Rule::Evidence, what))
            }
        }
    }

    /// Nothing begins once all is over: what returns would be told by the judging of each batch.
    pub(super) async fn expect_nothing_returns(&mut self) -> Result<(), Violation> {
        self.watch_quietly().await?;
        match self.began.iter().find(|id| !self.known.contains(*id)) {
            None => Ok(()),
            Some(id) => Err(self.broken(
                Rule::Names,
                format!("nothing was begun any more, and pull {id} was said to begin"),
            )),
        }
    }

    /// A source that was made while this pull went on says so before it has said all.
    pub(super) async fn expect_beginning(&mut self, id: &PullId) -> Result<(), Violation> {
        let whole = |this: &Self| this.whole.then_some(());
        self.until("there was no batch that is not partial", whole)
            .await?;
        if self.began.contains(id) {
            self.known.insert(id.clone());
            return Ok(());
        }
        match self.began.first() {
            Some(other) => {
                let what = format!("pull {id} goes on, and a new source calls it {other}");
                Err(self.broken(Rule::Names, what))
            }
            None => {
                let what = format!("pull {id} goes on, and was not said");
                Err(self.broken(Rule::Beginning, what))
            }
        }
    }

    /// All batches of a source that ends.
    pub(super) async fn until_over(&mut self) -> Result<Vec<Batch>, Violation> {
        let mut batches = Vec::new();
        loop {
            match self.step(self.bound).await? {
                Step::Batch(batch) => batches.push(batch),
                Step::Over => return Ok(batches),
                Step::Nothing => {
                    let what = format!("nothing came for {:?}, not even an end", self.bound);
                    return Err(self.broken(Rule::Seen, what));
                }
            }
        }
    }

    async fn until<T>(
        &mut self,
        what: &str,
        condition: impl Fn(&Self) -> Option<T>,
    ) -> Result<T, Violation> {
        self.until_rule(Rule::Seen, what, condition).await
    }

    async fn until_rule<T>(
        &mut self,
        rule: Rule,
        what: &str,
        condition: impl Fn(&Self) -> Option<T>,
    ) -> Result<T, Violation> {
        let mut end = pin!(tokio::time::sleep(self.bound));
        loop {
            if let Some(found) = condition(self) {
                return Ok(found);
            }
            let step = tokio::select! {
                step = self.step(Duration::MAX) => step?,
                () = &mut end => {
                    let what = format!("{what} within {:?}", self.bound);
                    return Err(self.broken(rule, what));
                }
            };
            if matches!(step, Step::Over) {
                return Err(self.broken(Rule::GoesOn, "it ended".into()));
            }
        }
    }

    async fn watch_quietly(&mut self) -> Result<(), Violation> {
        let before = self.batches;
        while self.batches < before + QUIET_BATCHES {
            match self.step(QUIET_TIME).await? {
                Step::Batch(_) => {}
                Step::Nothing => break,
                Step::Over => return Err(self.broken(Rule::GoesOn, "it ended".into())),
            }
        }
        Ok(())
    }

    async fn step(&mut self, bound: Duration) -> Result<Step, Violation> {
        let looked = match self.patience {
            Patience::Waits => tokio::time::timeout(bound, self.source.next()).await,
            Patience::Drops => tokio::time::timeout(bound, next_dropping(&mut self.source)).await,
        };
        match looked {
            Err(_elapsed) => Ok(Step::Nothing),
            Ok(Ok(None)) => Ok(Step::Over),
            Ok(Ok(Some(batch))) => {
                self.judge(&batch)?;
                Ok(Step::Batch(batch))
            }
            Ok(Err(error)) => {
                let mut what = error.to_string();
                if let Some(cause) = std::error::Error::source(&error) {
                    what += &format!(": {cause}");
                }
                Err(self.broken(Rule::GoesOn, what))
            }
        }
    }

    fn judge(&mut self, batch: &Batch) -> Result<(), Violation> {
        if let Some(last) = self.last.filter(|last| batch.now.mono < *last) {
            let what = format!("{:?} came after {:?}", batch.now.mono.0, last.0);
            return Err(self.broken(Rule::Order, what));
        }
        self.last = Some(batch.now.mono);
        self.batches += 1;
        for observation in &batch.observations {
            self.judge_one(observation)?;
        }
        let back = batch.observations.contains(&Observation::SourceBack);
        self.whole |= !self.lost && !back && !batch.partial;
        let before = self.anomalies();
        self.table.apply(&batch.observations, batch.now);
        match self.anomalies().into_iter().find(|a| !before.contains(a)) {
            None => Ok(()),
            Some(anomaly) => {
                let what = format!("`{anomaly}` in a batch of {:?}", batch.observations);
                Err(self.broken(Rule::Coherent, what))
            }
        }
    }

    fn judge_one(&mut self, observation: &Observation) -> Result<(), Violation> {
        match observation {
            Observation::SourceLost => self.lost = true,
            Observation::SourceBack => self.lost = false,
            Observation::Began { pull, .. } => {
                if let Some(evidence) = self.ended.get(pull) {
                    if Outcome::from_evidence(evidence).0 != Outcome::Unknown {
                        let what = format!("pull {pull} ended by {evidence:?}, and began again");
                        return Err(self.broken(Rule::EndIsFinal, what));
                    }
                    self.ended.remove(pull);
                }
                if !self.began.contains(pull) {
                    self.began.push(pull.clone());
                }
            }
            Observation::Ended { pull, evidence, .. } => {
                if self.lost {
                    let what = format!("pull {pull} ended by {evidence:?} while nothing is seen");
                    return Err(self.broken(Rule::Outage, what));
                }
                if !self.began.contains(pull) {
                    let what = format!("pull {pull} ended and never began");
                    return Err(self.broken(Rule::Coherent, what));
                }
                if let Some(before) = self.ended.insert(pull.clone(), evidence.clone())
                    && Outcome::from_evidence(&before).0 != Outcome::Unknown
                {
                    let what = format!("pull {pull} ended by {before:?}, and then by {evidence:?}");
                    return Err(self.broken(Rule::EndIsFinal, what));
                }
            }
            _ => {}
        }
        Ok(())
    }

    /// Anomalies that only a source can be to blame for: the others a hostile registry can cause.
    fn anomalies(&self) -> Vec<Anomaly> {
        let blamed = [
            Anomaly::UnknownPull,
            Anomaly::UnknownLayer,
            Anomaly::EndedTwice,
            Anomaly::RootChanged,
        ];
        let counted = self.table.counters().anomalies.keys().copied();
        counted.filter(|anomaly| blamed.contains(anomaly)).collect()
    }
}

enum Step {
    Batch(Batch),
    Nothing,
    Over,
}

/// Calls `next`, and drops the future each time that it was woken and is still not ready: just after
/// it took something, if it takes something before it is ready.
async fn next_dropping<S: PullSource>(
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
