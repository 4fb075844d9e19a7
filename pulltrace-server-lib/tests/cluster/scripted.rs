//! The conformance suite on scripted sources: one that keeps the contract, and several that break
//! one rule each.

use std::collections::BTreeMap;

use futures_util::stream::{self, Stream};
use pulltrace_core::kubelet::{KubeletMessage, PullEventKind};
use pulltrace_core::{NodeName, PodRef};
use pulltrace_server_lib::cluster::{
    Pod, PodSource, PodUpdate, PullEvent, PullEventSource, PullEventUpdate, ScriptError,
    ScriptHandle, ScriptedSource, SourceError, SourceFailure, SourceFailureKind, from_stream,
};
use pulltrace_server_lib::testing::conformance::{self, Rig, Rule, Violation};

/// A cluster of numbered objects, and a source that follows it.
struct ScriptedCluster<U> {
    things: BTreeMap<u32, u32>,
    script: Option<ScriptHandle<U>>,
    lost: bool,
    fault: Option<Fault>,
}

/// The way in which a source breaks the contract.
#[derive(Clone, Copy, Debug, PartialEq)]
enum Fault {
    NoReset,
    OmitsFirstObject,
    ChangesWhileListing,
    OmitsDeletion,
    OmitsFailure,
    RepeatsFailure,
    NeverRecovers,
    Ends,
    Fails,
}

/// Updates of either kind, as created by the rig.
trait TestUpdate: Sized + Send + 'static {
    fn init() -> Self;
    fn init_apply(thing: u32, count: u32) -> Self;
    fn init_done() -> Self;
    fn apply(thing: u32, count: u32) -> Self;
    fn delete(thing: u32) -> Option<Self>;
    fn failing(trouble: SourceFailure) -> Self;
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
    Pod { pod: pod_ref(thing), node: node(), images: Vec::new() }
}

fn event(thing: u32, count: u32) -> PullEvent {
    let at = "2026-11-24T16:18:27Z".parse().unwrap();
    PullEvent {
        name: name(thing).into(),
        pod: pod_ref(thing),
        node: node(),
        consumer: Some("app".parse().unwrap()),
        message: KubeletMessage { image: None, kind: PullEventKind::Pulling },
        first_seen: at,
        last_seen: at,
        count,
    }
}

impl TestUpdate for PodUpdate {
    fn init() -> Self {
        Self::Init
    }
    fn init_apply(thing: u32, _: u32) -> Self {
        Self::InitApply(pod(thing))
    }
    fn init_done() -> Self {
        Self::InitDone
    }
    fn apply(thing: u32, _: u32) -> Self {
        Self::Apply(pod(thing))
    }
    fn delete(thing: u32) -> Option<Self> {
        Some(Self::Delete(name(thing).parse().unwrap()))
    }
    fn failing(trouble: SourceFailure) -> Self {
        Self::Failing(trouble)
    }
}

impl TestUpdate for PullEventUpdate {
    fn init() -> Self {
        Self::Init
    }
    fn init_apply(thing: u32, count: u32) -> Self {
        Self::InitApply(event(thing, count))
    }
    fn init_done() -> Self {
        Self::InitDone
    }
    fn apply(thing: u32, count: u32) -> Self {
        Self::Apply(event(thing, count))
    }
    fn delete(_: u32) -> Option<Self> {
        None
    }
    fn failing(trouble: SourceFailure) -> Self {
        Self::Failing(trouble)
    }
}

impl<U: TestUpdate> ScriptedCluster<U> {
    fn new(fault: Option<Fault>) -> Self {
        Self { things: BTreeMap::new(), script: None, lost: false, fault }
    }

    fn send(&self, update: U) -> Result<(), ScriptError> {
        match &self.script {
            Some(script) if !self.lost => match script.try_send(update) {
                // No source is watching.
                Err(ScriptError::Closed) => Ok(()),
                said => said,
            },
            _ => Ok(()),
        }
    }

    fn list(&self) -> Result<(), ScriptError> {
        if self.fault != Some(Fault::NoReset) {
            self.send(U::init())?;
        }
        if self.fault == Some(Fault::ChangesWhileListing) {
            self.send(U::apply(0, 1))?;
        }
        let forgets = self.fault == Some(Fault::OmitsFirstObject);
        for (thing, count) in self.things.iter().skip(usize::from(forgets)) {
            self.send(U::init_apply(*thing, *count))?;
        }
        self.send(U::init_done())
    }
}

impl<U: TestUpdate> Rig for ScriptedCluster<U> {
    type Source = ScriptedSource<U>;
    type Error = ScriptError;

    async fn source(&mut self) -> Result<ScriptedSource<U>, ScriptError> {
        let (source, script) = ScriptedSource::new();
        self.script = Some(script);
        self.list()?;
        match (self.fault, self.script.take()) {
            (Some(Fault::Ends), _) => {}
            (Some(Fault::Fails), Some(script)) => script.fail(SourceError::Stopped)?,
            (_, script) => self.script = script,
        }
        Ok(source)
    }

    async fn make(&mut self, thing: u32) -> Result<String, ScriptError> {
        self.things.insert(thing, 1);
        self.send(U::apply(thing, 1))?;
        Ok(name(thing))
    }

    async fn change(&mut self, thing: u32) -> Result<(), ScriptError> {
        let count = self.things.entry(thing).or_default();
        *count += 1;
        let count = *count;
        self.send(U::apply(thing, count))
    }

    async fn remove(&mut self, thing: u32) -> Result<(), ScriptError> {
        self.things.remove(&thing);
        match U::delete(thing) {
            Some(update) if self.fault != Some(Fault::OmitsDeletion) => self.send(update),
            _ => Ok(()),
        }
    }

    async fn lose(&mut self) -> Result<(), ScriptError> {
        let trouble = || {
            U::failing(SourceFailure {
                kind: SourceFailureKind::Unreachable,
                message: "gone".to_owned(),
            })
        };
        let times = match self.fault {
            Some(Fault::OmitsFailure) => 0,
            Some(Fault::RepeatsFailure) => 2,
            _ => 1,
        };
        for _ in 0..times {
            self.send(trouble())?;
        }
        self.lost = true;
        Ok(())
    }

    async fn restore(&mut self, _gap: bool) -> Result<(), ScriptError> {
        self.lost = false;
        if self.fault == Some(Fault::NeverRecovers) {
            return Ok(());
        }
        self.list()
    }
}

#[tokio::test(start_paused = true)]
async fn conforming_scripted_sources_pass() {
    conformance::pods(&mut ScriptedCluster::<PodUpdate>::new(None)).await.unwrap();
    conformance::pull_events(&mut ScriptedCluster::<PullEventUpdate>::new(None)).await.unwrap();
}

#[tokio::test(start_paused = true)]
async fn each_fault_breaks_its_rule() {
    for (breaks, rule) in [
        (Fault::NoReset, Rule::Order),
        (Fault::ChangesWhileListing, Rule::Order),
        (Fault::OmitsFirstObject, Rule::InitialList),
        (Fault::OmitsDeletion, Rule::Accuracy),
        (Fault::OmitsFailure, Rule::Outage),
        (Fault::RepeatsFailure, Rule::Outage),
        (Fault::NeverRecovers, Rule::Outage),
        (Fault::Ends, Rule::NeverEnds),
        (Fault::Fails, Rule::NeverEnds),
    ] {
        let pods = conformance::pods(&mut ScriptedCluster::<PodUpdate>::new(Some(breaks))).await;
        assert_eq!(pods.unwrap_err().rule(), Some(rule), "{breaks:?}");
        if breaks != Fault::OmitsDeletion {
            let mut cluster = ScriptedCluster::<PullEventUpdate>::new(Some(breaks));
            let events = conformance::pull_events(&mut cluster).await;
            assert_eq!(events.unwrap_err().rule(), Some(rule), "{breaks:?}");
        }
    }
}

/// A scripted cluster whose sources are converted to another type.
struct ConvertedRig<U, S>(ScriptedCluster<U>, fn(ScriptedSource<U>) -> S);

impl<U: TestUpdate, S> ConvertedRig<U, S> {
    fn new(convert: fn(ScriptedSource<U>) -> S) -> Self {
        Self(ScriptedCluster::new(None), convert)
    }
}

impl<U: TestUpdate, S: Send + 'static> Rig for ConvertedRig<U, S> {
    type Source = S;
    type Error = ScriptError;

    async fn source(&mut self) -> Result<S, ScriptError> {
        self.0.source().await.map(self.1)
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
async fn boxed_sources_pass_conformance() {
    conformance::pods(&mut ConvertedRig::new(PodSource::boxed)).await.unwrap();
    conformance::pull_events(&mut ConvertedRig::new(PullEventSource::boxed)).await.unwrap();
}

#[tokio::test(start_paused = true)]
async fn sources_from_streams_pass_conformance() {
    fn pods(
        source: ScriptedSource<PodUpdate>,
    ) -> impl Stream<Item = Result<PodUpdate, SourceError>> {
        let next = async |mut source: ScriptedSource<PodUpdate>| {
            PodSource::next(&mut source).await.transpose().map(|update| (update, source))
        };
        stream::unfold(source, next)
    }
    fn events(
        source: ScriptedSource<PullEventUpdate>,
    ) -> impl Stream<Item = Result<PullEventUpdate, SourceError>> {
        let next = async |mut source: ScriptedSource<PullEventUpdate>| {
            PullEventSource::next(&mut source).await.transpose().map(|update| (update, source))
        };
        stream::unfold(source, next)
    }
    conformance::pods(&mut ConvertedRig::new(|source| from_stream(pods(source)))).await.unwrap();
    let mut rig = ConvertedRig::new(|source| from_stream(events(source)));
    conformance::pull_events(&mut rig).await.unwrap();
}

/// Loses an update if the future is dropped.
struct NotCancelSafe(ScriptedSource<PodUpdate>);

impl PodSource for NotCancelSafe {
    async fn next(&mut self) -> Result<Option<PodUpdate>, SourceError> {
        let update = self.0.next().await;
        // Longer than the suite waits before it drops the future.
        tokio::time::sleep(std::time::Duration::from_millis(20)).await;
        update
    }
}

#[tokio::test(start_paused = true)]
async fn cancel_unsafe_source_is_detected() {
    let violation = conformance::pods(&mut ConvertedRig::new(NotCancelSafe)).await.unwrap_err();
    assert!(matches!(&violation, Violation::Broken { .. }), "{violation}");
    assert_eq!(violation.rule(), Some(Rule::CancelSafe), "{violation}");
}
