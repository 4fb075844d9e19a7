//! The conformance suite, applied to sources that conform and to sources with faults.

use std::collections::BTreeSet;
use std::convert::Infallible;
use std::time::Duration;

use futures_util::stream;
use pulltrace_agent_lib::Clock;
use pulltrace_agent_lib::source::{
    Batch, PullSource, Script, ScriptedSource, SourceError, from_stream,
};
use pulltrace_agent_lib::testing::conformance::{
    Rule, TestRuntime, Violation, check, check_finite,
};
use pulltrace_core::{EndEvidence, Mono, Observation};

use crate::common::{began, ended, start, within_ten_minutes};

/// The fault of a source.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Fault {
    None,
    OmitsStart,
    OmitsEnd,
    ConsumesBeforeReady,
    TimeRunsBackwards,
    ReportsCompletedAsFailed,
    ReportsVanishedAsCompleted,
    EndsUnmentionedPull,
    EndsTwice,
    RestartsEndedPull,
    OmitsOutage,
    OmitsReconnect,
    EndsDuringOutage,
    SyncsLate,
    ChangesIds,
    EndsUnstartedPull,
    NamesUnknownPull,
    InventsPull,
    Ends,
    Fails,
}

struct ScriptedRuntime<S> {
    fault: Fault,
    /// Wraps each source in the adapter under test, if any.
    adapt: fn(Faulty) -> S,
    clock: Clock,
    script: Option<Script>,
    live: BTreeSet<u32>,
}

impl<S> ScriptedRuntime<S> {
    fn new(fault: Fault, adapt: fn(Faulty) -> S) -> Self {
        Self { fault, adapt, clock: Clock::anchored(start()), script: None, live: BTreeSet::new() }
    }

    fn emit(&self, observations: Vec<Observation>) {
        // With these two faults the source has ended and rejects further batches.
        let said = self.script.as_ref().unwrap().emit(observations);
        assert!(said.is_ok() || matches!(self.fault, Fault::Ends | Fault::Fails));
    }

    fn end_pull(&mut self, pull: u32, evidence: &EndEvidence) {
        self.live.remove(&pull);
        let end = ended(pull, evidence.clone(), &self.clock);
        match self.fault {
            Fault::OmitsEnd => self.emit(vec![]),
            Fault::EndsTwice => {
                self.emit(vec![end]);
                self.emit(vec![ended(pull, EndEvidence::ImageAbsent, &self.clock)]);
            }
            Fault::RestartsEndedPull => {
                self.emit(vec![end]);
                self.emit(vec![began(pull)]);
            }
            Fault::InventsPull => self.emit(vec![end, began(pull + 100)]),
            Fault::NamesUnknownPull => {
                let name = crate::common::named(pull + 100, "nginx");
                self.emit(vec![name, end]);
            }
            _ => self.emit(vec![end]),
        }
    }
}

impl<S: PullSource> TestRuntime for ScriptedRuntime<S> {
    type Source = S;
    type Error = Infallible;

    async fn source(&mut self) -> Result<S, Infallible> {
        let (source, script) = ScriptedSource::new(self.clock);
        self.script = Some(script);
        let shift = if self.fault == Fault::ChangesIds { 10 } else { 0 };
        let live: Vec<_> = self.live.iter().map(|pull| began(*pull + shift)).collect();
        if self.fault == Fault::SyncsLate {
            self.emit(vec![]);
        }
        self.emit(live);
        Ok((self.adapt)(Faulty { fault: self.fault, source, batches: 0 }))
    }

    async fn start_pull(&mut self, pull: u32) -> Result<(), Infallible> {
        self.live.insert(pull);
        match self.fault {
            Fault::OmitsStart => self.emit(vec![]),
            Fault::EndsUnstartedPull => {
                self.emit(vec![ended(pull, EndEvidence::Inactive, &self.clock), began(pull)]);
            }
            Fault::EndsUnmentionedPull => {
                self.emit(vec![began(pull)]);
                self.emit(vec![ended(pull, EndEvidence::ImageAbsent, &self.clock)]);
            }
            _ => self.emit(vec![began(pull)]),
        }
        Ok(())
    }

    async fn complete_pull(&mut self, pull: u32) -> Result<(), Infallible> {
        let evidence = match self.fault {
            Fault::ReportsCompletedAsFailed => EndEvidence::ImageAbsent,
            _ => EndEvidence::ImagePresent,
        };
        self.end_pull(pull, &evidence);
        Ok(())
    }

    async fn fail_pull(&mut self, pull: u32) -> Result<(), Infallible> {
        let evidence = match self.fault {
            Fault::ReportsVanishedAsCompleted => EndEvidence::ImagePresent,
            _ => EndEvidence::ImageAbsent,
        };
        self.end_pull(pull, &evidence);
        Ok(())
    }

    async fn disconnect(&mut self) -> Result<(), Infallible> {
        match self.fault {
            Fault::OmitsOutage => self.emit(vec![]),
            Fault::EndsDuringOutage => {
                let pull = *self.live.first().unwrap();
                let end = ended(pull, EndEvidence::Unobserved, &self.clock);
                self.emit(vec![Observation::SourceLost, end]);
            }
            _ => self.emit(vec![Observation::SourceLost]),
        }
        Ok(())
    }

    async fn reconnect(&mut self) -> Result<(), Infallible> {
        match self.fault {
            Fault::OmitsReconnect => self.emit(vec![]),
            _ => self.emit(vec![Observation::SourceRecovered]),
        }
        Ok(())
    }
}

struct Faulty {
    fault: Fault,
    source: ScriptedSource,
    batches: u32,
}

impl PullSource for Faulty {
    async fn next(&mut self) -> Result<Option<Batch>, SourceError> {
        let mut batch = self.source.next().await?;
        match self.fault {
            Fault::ConsumesBeforeReady => tokio::time::sleep(Duration::from_millis(1)).await,
            Fault::Ends => return Ok(None),
            Fault::Fails => return Err(SourceError::Stopped),
            _ => {}
        }
        self.batches += 1;
        if self.fault == Fault::TimeRunsBackwards
            && let Some(batch) = &mut batch
        {
            batch.now.mono = Mono(Duration::from_secs(60 - u64::from(self.batches)));
        }
        Ok(batch)
    }
}

async fn check_fault(fault: Fault) -> Result<(), Violation> {
    check_adapter(fault, |source| source).await
}

async fn check_adapter<S: PullSource>(
    fault: Fault,
    adapt: fn(Faulty) -> S,
) -> Result<(), Violation> {
    within_ten_minutes("the suite", check(&mut ScriptedRuntime::new(fault, adapt))).await
}

#[tokio::test(start_paused = true)]
async fn scripted_source_conforms() {
    check_fault(Fault::None).await.unwrap();
}

#[tokio::test(start_paused = true)]
async fn adapters_conform() {
    check_adapter(Fault::None, |source| source.boxed().boxed()).await.unwrap();
    let streamed = |source| {
        from_stream(stream::unfold(source, async |mut source: Faulty| {
            source.next().await.transpose().map(|batch| (batch, source))
        }))
    };
    check_adapter(Fault::None, streamed).await.unwrap();
    let violation = check_adapter(Fault::Fails, streamed).await.unwrap_err();
    assert_eq!(violation.rule(), Some(Rule::StaysAlive));
}

#[tokio::test(start_paused = true)]
async fn each_fault_violates_its_rule() {
    for (fault, rule) in [
        (Fault::OmitsStart, Rule::Observed),
        (Fault::OmitsEnd, Rule::Observed),
        (Fault::ConsumesBeforeReady, Rule::CancelSafe),
        (Fault::TimeRunsBackwards, Rule::Order),
        (Fault::ReportsCompletedAsFailed, Rule::Evidence),
        (Fault::ReportsVanishedAsCompleted, Rule::Evidence),
        (Fault::EndsUnmentionedPull, Rule::Evidence),
        (Fault::EndsTwice, Rule::EndIsFinal),
        (Fault::RestartsEndedPull, Rule::EndIsFinal),
        (Fault::OmitsOutage, Rule::Outage),
        (Fault::OmitsReconnect, Rule::Outage),
        (Fault::EndsDuringOutage, Rule::Outage),
        (Fault::SyncsLate, Rule::InitialSync),
        (Fault::ChangesIds, Rule::StableIds),
        (Fault::InventsPull, Rule::StableIds),
        (Fault::EndsUnstartedPull, Rule::Consistent),
        (Fault::NamesUnknownPull, Rule::Consistent),
        (Fault::Ends, Rule::StaysAlive),
        (Fault::Fails, Rule::StaysAlive),
    ] {
        let violation = check_fault(fault).await.expect_err("the fault violates a rule");
        assert_eq!(violation.rule(), Some(rule), "{fault:?}: {violation}");
    }
}

#[tokio::test(start_paused = true)]
async fn violation_describes_step_and_observation() {
    let violation = check_fault(Fault::ReportsVanishedAsCompleted).await.unwrap_err();
    let text = violation.to_string();
    for part in
        ["pull that ends without its image", "a pull ends only with correct evidence", "lease-3"]
    {
        assert!(text.contains(part), "{text}");
    }
}

/// A source that emits a script and ends.
fn finite_source(fault: Fault) -> Faulty {
    let clock = Clock::anchored(start());
    let (source, script) = ScriptedSource::new(clock);
    tokio::spawn(async move {
        script.emit(vec![began(1)]).unwrap();
        for _ in 0..3 {
            tokio::time::sleep(Duration::from_secs(1)).await;
            script.emit(vec![]).unwrap();
        }
        let end = ended(1, EndEvidence::ImagePresent, &clock);
        script.emit(vec![end]).unwrap();
    });
    Faulty { fault, source, batches: 0 }
}

#[tokio::test(start_paused = true)]
async fn finite_source_is_checked_for_cancel_safety() {
    let patience = Duration::from_secs(5);
    let said = check_finite(|| finite_source(Fault::None), patience).await.unwrap();
    assert_eq!(said.len(), 5);
    let violation = check_finite(|| finite_source(Fault::ConsumesBeforeReady), patience).await;
    assert_eq!(violation.unwrap_err().rule(), Some(Rule::CancelSafe));
}

#[tokio::test(start_paused = true)]
async fn endless_source_times_out() {
    let idle = || ScriptedSource::new(Clock::anchored(start()));
    let mut scripts = Vec::new();
    let make = || {
        let (source, script) = idle();
        scripts.push(script);
        source
    };
    let violation = check_finite(make, Duration::from_secs(5)).await.unwrap_err();
    assert_eq!(violation.rule(), Some(Rule::Observed), "{violation}");
}
