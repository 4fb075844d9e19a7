//! The conformance suite, on sources that keep the contract and on sources that break it.

use std::collections::BTreeSet;
use std::convert::Infallible;
use std::time::Duration;

use pulltrace_agent_lib::Clock;
use pulltrace_agent_lib::source::{Batch, PullSource, Script, ScriptedSource, SourceError};
use pulltrace_agent_lib::testing::conformance::{Rig, Rule, Violation, driven, finite};
use pulltrace_core::{Evidence, Mono, Observation};

use crate::common::{began, ended, soon, start};

/// What a source does wrong.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Fault {
    None,
    TellsNoBegin,
    TellsNoEnd,
    TakesBeforeItIsReady,
    TimeGoesBack,
    CallsCompletedFailed,
    CallsVanishedCompleted,
    EndsWhatIsNotMentioned,
    EndsTwice,
    BeginsAgain,
    TellsNoOutage,
    TellsNoReturn,
    EndsInOutage,
    LooksLater,
    NamesAnew,
    EndsWhatNeverBegan,
    SpeaksOfTheUnknown,
    InventsAPull,
    Ends,
    Fails,
}

struct Scripted {
    fault: Fault,
    clock: Clock,
    script: Option<Script>,
    live: BTreeSet<u32>,
}

impl Scripted {
    fn new(fault: Fault) -> Self {
        Self {
            fault,
            clock: Clock::anchored(start()),
            script: None,
            live: BTreeSet::new(),
        }
    }

    fn say(&self, observations: Vec<Observation>) {
        // A source that ended takes no more, which is the point of that fault.
        let said = self.script.as_ref().unwrap().say(observations);
        assert!(said.is_ok() || matches!(self.fault, Fault::Ends | Fault::Fails));
    }

    fn over(&mut self, pull: u32, evidence: &Evidence) {
        self.live.remove(&pull);
        let end = ended(pull, evidence.clone(), &self.clock);
        match self.fault {
            Fault::TellsNoEnd => self.say(vec![]),
            Fault::EndsTwice => {
                self.say(vec![end]);
                self.say(vec![ended(pull, Evidence::ImageAbsent, &self.clock)]);
            }
            Fault::BeginsAgain => {
                self.say(vec![end]);
                self.say(vec![began(pull)]);
            }
            Fault::InventsAPull => self.say(vec![end, began(pull + 100)]),
            Fault::SpeaksOfTheUnknown => {
                let name = crate::common::named(pull + 100, "nginx");
                self.say(vec![name, end]);
            }
            _ => self.say(vec![end]),
        }
    }
}

impl Rig for Scripted {
    type Source = Faulty;
    type Error = Infallible;

    async fn source(&mut self) -> Result<Faulty, Infallible> {
        let (source, script) = ScriptedSource::new(self.clock);
        self.script = Some(script);
        let shift = if self.fault == Fault::NamesAnew {
            10
        } else {
            0
        };
        let live: Vec<_> = self.live.iter().map(|pull| began(*pull + shift)).collect();
        if self.fault == Fault::LooksLater {
            self.say(vec![]);
        }
        self.say(live);
        Ok(Faulty {
            fault: self.fault,
            source,
            batches: 0,
        })
    }

    async fn begin(&mut self, pull: u32) -> Result<(), Infallible> {
        self.live.insert(pull);
        match self.fault {
            Fault::TellsNoBegin => self.say(vec![]),
            Fault::EndsWhatNeverBegan => {
                self.say(vec![
                    ended(pull, Evidence::Silent, &self.clock),
                    began(pull),
                ]);
            }
            Fault::EndsWhatIsNotMentioned => {
                self.say(vec![began(pull)]);
                self.say(vec![ended(pull, Evidence::ImageAbsent, &self.clock)]);
            }
            _ => self.say(vec![began(pull)]),
        }
        Ok(())
    }

    async fn finish(&mut self, pull: u32) -> Result<(), Infallible> {
        let evidence = match self.fault {
            Fault::CallsCompletedFailed => Evidence::ImageAbsent,
            _ => Evidence::ImagePresent,
        };
        self.over(pull, &evidence);
        Ok(())
    }

    async fn abandon(&mut self, pull: u32) -> Result<(), Infallible> {
        let evidence = match self.fault {
            Fault::CallsVanishedCompleted => Evidence::ImagePresent,
            _ => Evidence::ImageAbsent,
        };
        self.over(pull, &evidence);
        Ok(())
    }

    async fn lose(&mut self) -> Result<(), Infallible> {
        match self.fault {
            Fault::TellsNoOutage => self.say(vec![]),
            Fault::EndsInOutage => {
                let pull = *self.live.first().unwrap();
                let end = ended(pull, Evidence::Unseen, &self.clock);
                self.say(vec![Observation::SourceLost, end]);
            }
            _ => self.say(vec![Observation::SourceLost]),
        }
        Ok(())
    }

    async fn restore(&mut self) -> Result<(), Infallible> {
        match self.fault {
            Fault::TellsNoReturn => self.say(vec![]),
            _ => self.say(vec![Observation::SourceBack]),
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
            Fault::TakesBeforeItIsReady => tokio::time::sleep(Duration::from_millis(1)).await,
            Fault::Ends => return Ok(None),
            Fault::Fails => return Err(SourceError::Stopped),
            _ => {}
        }
        self.batches += 1;
        if self.fault == Fault::TimeGoesBack
            && let Some(batch) = &mut batch
        {
            batch.now.mono = Mono(Duration::from_secs(60 - u64::from(self.batches)));
        }
        Ok(batch)
    }
}

async fn check(fault: Fault) -> Result<(), Violation> {
    soon("the suite", driven(&mut Scripted::new(fault))).await
}

#[tokio::test(start_paused = true)]
async fn a_scripted_source_keeps_the_contract() {
    check(Fault::None).await.unwrap();
}

#[tokio::test(start_paused = true)]
async fn each_way_to_break_the_contract_is_found_and_named() {
    for (fault, rule) in [
        (Fault::TellsNoBegin, Rule::Seen),
        (Fault::TellsNoEnd, Rule::Seen),
        (Fault::TakesBeforeItIsReady, Rule::CancelSafe),
        (Fault::TimeGoesBack, Rule::Order),
        (Fault::CallsCompletedFailed, Rule::Evidence),
        (Fault::CallsVanishedCompleted, Rule::Evidence),
        (Fault::EndsWhatIsNotMentioned, Rule::Evidence),
        (Fault::EndsTwice, Rule::EndIsFinal),
        (Fault::BeginsAgain, Rule::EndIsFinal),
        (Fault::TellsNoOutage, Rule::Outage),
        (Fault::TellsNoReturn, Rule::Outage),
        (Fault::EndsInOutage, Rule::Outage),
        (Fault::LooksLater, Rule::Beginning),
        (Fault::NamesAnew, Rule::Names),
        (Fault::InventsAPull, Rule::Names),
        (Fault::EndsWhatNeverBegan, Rule::Coherent),
        (Fault::SpeaksOfTheUnknown, Rule::Coherent),
        (Fault::Ends, Rule::GoesOn),
        (Fault::Fails, Rule::GoesOn),
    ] {
        let violation = check(fault).await.expect_err("it breaks a rule");
        assert_eq!(violation.rule(), Some(rule), "{fault:?}: {violation}");
    }
}

#[tokio::test(start_paused = true)]
async fn a_violation_says_what_was_tried_and_what_was_seen() {
    let violation = check(Fault::CallsVanishedCompleted).await.unwrap_err();
    let text = violation.to_string();
    for part in [
        "a pull that ends without its image",
        "a pull ends with evidence only",
        "lease-3",
    ] {
        assert!(text.contains(part), "{text}");
    }
}

/// A source that says a script and ends.
fn finished(fault: Fault) -> Faulty {
    let clock = Clock::anchored(start());
    let (source, script) = ScriptedSource::new(clock);
    tokio::spawn(async move {
        script.say(vec![began(1)]).unwrap();
        for _ in 0..3 {
            tokio::time::sleep(Duration::from_secs(1)).await;
            script.say(vec![]).unwrap();
        }
        let end = ended(1, Evidence::ImagePresent, &clock);
        script.say(vec![end]).unwrap();
    });
    Faulty {
        fault,
        source,
        batches: 0,
    }
}

#[tokio::test(start_paused = true)]
async fn a_source_that_ends_by_itself_says_the_same_to_an_impatient_caller() {
    let patience = Duration::from_secs(5);
    let said = finite(|| finished(Fault::None), patience).await.unwrap();
    assert_eq!(said.len(), 5);
    let violation = finite(|| finished(Fault::TakesBeforeItIsReady), patience).await;
    assert_eq!(violation.unwrap_err().rule(), Some(Rule::CancelSafe));
}

#[tokio::test(start_paused = true)]
async fn a_source_that_never_ends_is_not_waited_for() {
    let idle = || ScriptedSource::new(Clock::anchored(start()));
    let mut scripts = Vec::new();
    let make = || {
        let (source, script) = idle();
        scripts.push(script);
        source
    };
    let violation = finite(make, Duration::from_secs(5)).await.unwrap_err();
    assert_eq!(violation.rule(), Some(Rule::Seen), "{violation}");
}
