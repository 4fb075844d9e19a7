//! The conformance suite on scripted sources: one that keeps the contract, and ones that break a rule each.

use std::collections::BTreeMap;

use pulltrace_core::{NodeName, PodRef};
use pulltrace_server_lib::cluster::{
    KubeletWord, Pod, PodUpdate, PullEvent, PullEventUpdate, Script, ScriptError, Scripted,
    Trouble, TroubleKind,
};
use pulltrace_server_lib::testing::conformance::{self, Rig, Rule, Violation};

/// A cluster of things by number, and a source that is told of them.
struct Cluster<U> {
    things: BTreeMap<u32, u32>,
    script: Option<Script<U>>,
    lost: bool,
    breaks: Option<Break>,
}

/// How a source breaks its contract.
#[derive(Clone, Copy, Debug, PartialEq)]
enum Break {
    NoReset,
    ForgetsTheOld,
    ChangesWhileListing,
    KeepsTheGone,
    SilentInTrouble,
    TroubleTwice,
    NeverWell,
    Ends,
}

/// Both kinds of updates, as a rig makes them.
trait Says: Sized + Send + 'static {
    fn reset() -> Self;
    fn init(thing: u32, count: u32) -> Self;
    fn done() -> Self;
    fn applied(thing: u32, count: u32) -> Self;
    fn deleted(thing: u32) -> Option<Self>;
    fn trouble(trouble: Trouble) -> Self;
}

fn name(thing: u32) -> String {
    format!("thing-{thing}")
}

fn pod_ref(thing: u32) -> PodRef {
    PodRef {
        namespace: "shop".parse().unwrap(),
        name: name(thing).parse().unwrap(),
        uid: name(thing).parse().unwrap(),
    }
}

fn node() -> NodeName {
    "node-1".parse().unwrap()
}

fn pod(thing: u32) -> Pod {
    Pod {
        pod: pod_ref(thing),
        node: node(),
        images: Vec::new(),
    }
}

fn event(thing: u32, count: u32) -> PullEvent {
    let at = "2026-11-24T16:18:27Z".parse().unwrap();
    PullEvent {
        name: name(thing).into(),
        pod: pod_ref(thing),
        node: node(),
        slot: Some("app".parse().unwrap()),
        image: None,
        first: at,
        last: at,
        count,
        word: KubeletWord::Pulling,
    }
}

impl Says for PodUpdate {
    fn reset() -> Self {
        Self::Reset
    }
    fn init(thing: u32, _: u32) -> Self {
        Self::Init(pod(thing))
    }
    fn done() -> Self {
        Self::Done
    }
    fn applied(thing: u32, _: u32) -> Self {
        Self::Applied(pod(thing))
    }
    fn deleted(thing: u32) -> Option<Self> {
        Some(Self::Deleted(name(thing).parse().unwrap()))
    }
    fn trouble(trouble: Trouble) -> Self {
        Self::Trouble(trouble)
    }
}

impl Says for PullEventUpdate {
    fn reset() -> Self {
        Self::Reset
    }
    fn init(thing: u32, count: u32) -> Self {
        Self::Init(event(thing, count))
    }
    fn done() -> Self {
        Self::Done
    }
    fn applied(thing: u32, count: u32) -> Self {
        Self::Applied(event(thing, count))
    }
    fn deleted(_: u32) -> Option<Self> {
        None
    }
    fn trouble(trouble: Trouble) -> Self {
        Self::Trouble(trouble)
    }
}

impl<U: Says> Cluster<U> {
    fn new(breaks: Option<Break>) -> Self {
        Self {
            things: BTreeMap::new(),
            script: None,
            lost: false,
            breaks,
        }
    }

    fn say(&self, update: U) -> Result<(), ScriptError> {
        match &self.script {
            Some(script) if !self.lost => match script.say(update) {
                // Nobody watches.
                Err(ScriptError::Gone) => Ok(()),
                said => said,
            },
            _ => Ok(()),
        }
    }

    fn list(&self) -> Result<(), ScriptError> {
        if self.breaks != Some(Break::NoReset) {
            self.say(U::reset())?;
        }
        if self.breaks == Some(Break::ChangesWhileListing) {
            self.say(U::applied(0, 1))?;
        }
        let forgets = self.breaks == Some(Break::ForgetsTheOld);
        for (thing, count) in self.things.iter().skip(usize::from(forgets)) {
            self.say(U::init(*thing, *count))?;
        }
        self.say(U::done())
    }
}

impl<U: Says> Rig for Cluster<U> {
    type Source = Scripted<U>;
    type Error = ScriptError;

    async fn source(&mut self) -> Result<Scripted<U>, ScriptError> {
        let (source, script) = Scripted::new();
        self.script = Some(script);
        self.list()?;
        if self.breaks == Some(Break::Ends) {
            self.script = None;
        }
        Ok(source)
    }

    async fn make(&mut self, thing: u32) -> Result<String, ScriptError> {
        self.things.insert(thing, 1);
        self.say(U::applied(thing, 1))?;
        Ok(name(thing))
    }

    async fn change(&mut self, thing: u32) -> Result<(), ScriptError> {
        let count = self.things.entry(thing).or_default();
        *count += 1;
        let count = *count;
        self.say(U::applied(thing, count))
    }

    async fn remove(&mut self, thing: u32) -> Result<(), ScriptError> {
        self.things.remove(&thing);
        match U::deleted(thing) {
            Some(update) if self.breaks != Some(Break::KeepsTheGone) => self.say(update),
            _ => Ok(()),
        }
    }

    async fn lose(&mut self) -> Result<(), ScriptError> {
        let trouble = || {
            U::trouble(Trouble {
                kind: TroubleKind::Unreachable,
                message: "gone".to_owned(),
            })
        };
        let times = match self.breaks {
            Some(Break::SilentInTrouble) => 0,
            Some(Break::TroubleTwice) => 2,
            _ => 1,
        };
        for _ in 0..times {
            self.say(trouble())?;
        }
        self.lost = true;
        Ok(())
    }

    async fn restore(&mut self, _gap: bool) -> Result<(), ScriptError> {
        self.lost = false;
        if self.breaks == Some(Break::NeverWell) {
            return Ok(());
        }
        self.list()
    }
}

#[tokio::test(start_paused = true)]
async fn scripted_sources_that_keep_the_contract_pass() {
    conformance::pods(&mut Cluster::<PodUpdate>::new(None))
        .await
        .unwrap();
    conformance::pull_events(&mut Cluster::<PullEventUpdate>::new(None))
        .await
        .unwrap();
}

#[tokio::test(start_paused = true)]
async fn a_source_that_breaks_a_rule_is_told_which() {
    for (breaks, rule) in [
        (Break::NoReset, Rule::Order),
        (Break::ChangesWhileListing, Rule::Order),
        (Break::ForgetsTheOld, Rule::Beginning),
        (Break::KeepsTheGone, Rule::Truth),
        (Break::SilentInTrouble, Rule::Outage),
        (Break::TroubleTwice, Rule::Outage),
        (Break::NeverWell, Rule::Outage),
        (Break::Ends, Rule::GoesOn),
    ] {
        let pods = conformance::pods(&mut Cluster::<PodUpdate>::new(Some(breaks))).await;
        assert_eq!(pods.unwrap_err().rule(), Some(rule), "{breaks:?}");
        if breaks != Break::KeepsTheGone {
            let mut cluster = Cluster::<PullEventUpdate>::new(Some(breaks));
            let events = conformance::pull_events(&mut cluster).await;
            assert_eq!(events.unwrap_err().rule(), Some(rule), "{breaks:?}");
        }
    }
}

/// Takes an update, and loses it where it is not waited for.
struct Careless(Scripted<PodUpdate>);

impl pulltrace_server_lib::cluster::PodSource for Careless {
    async fn next(&mut self) -> Option<PodUpdate> {
        let update = self.0.next().await;
        // Longer than whoever drops it waits.
        tokio::time::sleep(std::time::Duration::from_millis(20)).await;
        update
    }
}

struct CarelessRig(Cluster<PodUpdate>);

impl Rig for CarelessRig {
    type Source = Careless;
    type Error = ScriptError;

    async fn source(&mut self) -> Result<Careless, ScriptError> {
        self.0.source().await.map(Careless)
    }
    async fn make(&mut self, thing: u32) -> Result<String, ScriptError> {
        self.0.make(thing).await
    }
    async fn change(&mut self, thing: u32) -> Result<(), ScriptError> {
        self.0.change(thing).await
    }
    async fn remove(&mut self, thing: u32) -> Result<(), ScriptError> {
        self.0.remove(thing).await
    }
    async fn lose(&mut self) -> Result<(), ScriptError> {
        self.0.lose().await
    }
    async fn restore(&mut self, gap: bool) -> Result<(), ScriptError> {
        self.0.restore(gap).await
    }
}

#[tokio::test(start_paused = true)]
async fn a_source_that_loses_what_a_dropped_next_took_is_found() {
    let violation = conformance::pods(&mut CarelessRig(Cluster::new(None)))
        .await
        .unwrap_err();
    assert!(
        matches!(&violation, Violation::Broken { .. }),
        "{violation}"
    );
    assert_eq!(violation.rule(), Some(Rule::CancelSafe), "{violation}");
}
