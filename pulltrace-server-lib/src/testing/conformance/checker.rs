//! Receives the updates of a source under test and checks each against the contract.

use std::collections::BTreeSet;
use std::time::Duration;

use pulltrace_core::error::error_chain;
use tokio::time::timeout;

use super::violation::{Rule, Violation};
use crate::cluster::{
    PodSource, PodUpdate, PullEventSource, PullEventUpdate, SourceError, SourceFailureKind,
};

/// Time after which the future of `next` is dropped.
const DROP_AFTER: Duration = Duration::from_millis(5);

/// An update, with objects identified by their key.
#[derive(Debug)]
pub(super) enum ObservedUpdate {
    Init,
    InitApply(String),
    InitDone,
    Apply(String),
    Delete(String),
    Malformed,
    Failing(SourceFailureKind),
}

/// A source of pods or events.
pub(super) trait UpdateSource<S> {
    /// True if objects can be deleted.
    const HAS_DELETIONS: bool;

    async fn next(&mut self) -> Result<Option<ObservedUpdate>, SourceError>;
}

pub(super) struct PodUpdates<S>(pub(super) S);

impl<S: PodSource> UpdateSource<S> for PodUpdates<S> {
    const HAS_DELETIONS: bool = true;

    async fn next(&mut self) -> Result<Option<ObservedUpdate>, SourceError> {
        Ok(self.0.next().await?.map(|update| match update {
            PodUpdate::Init => ObservedUpdate::Init,
            PodUpdate::InitApply(pod) => ObservedUpdate::InitApply(pod.pod.uid.to_string()),
            PodUpdate::InitDone => ObservedUpdate::InitDone,
            PodUpdate::Apply(pod) => ObservedUpdate::Apply(pod.pod.uid.to_string()),
            PodUpdate::Delete(uid) => ObservedUpdate::Delete(uid.to_string()),
            PodUpdate::Malformed => ObservedUpdate::Malformed,
            PodUpdate::Failing(failure) => ObservedUpdate::Failing(failure.kind),
        }))
    }
}

pub(super) struct EventUpdates<S>(pub(super) S);

impl<S: PullEventSource> UpdateSource<S> for EventUpdates<S> {
    const HAS_DELETIONS: bool = false;

    async fn next(&mut self) -> Result<Option<ObservedUpdate>, SourceError> {
        Ok(self.0.next().await?.map(|update| match update {
            PullEventUpdate::Init => ObservedUpdate::Init,
            PullEventUpdate::InitApply(event) => ObservedUpdate::InitApply(event.name.to_string()),
            PullEventUpdate::InitDone => ObservedUpdate::InitDone,
            PullEventUpdate::Apply(event) => ObservedUpdate::Apply(event.name.to_string()),
            PullEventUpdate::Malformed => ObservedUpdate::Malformed,
            PullEventUpdate::Failing(failure) => ObservedUpdate::Failing(failure.kind),
        }))
    }
}

#[derive(Debug)]
pub(super) struct ContractChecker<K> {
    source: K,
    during: &'static str,
    drops_next: bool,
    timeout: Duration,
    /// Objects reported as existing.
    known: BTreeSet<String>,
    /// Objects reported since `Init`, until `InitDone`.
    listing: Option<BTreeSet<String>>,
    initialized: bool,
    failing: Option<SourceFailureKind>,
}

impl<K> ContractChecker<K> {
    pub(super) fn new(
        source: K,
        during: &'static str,
        drops_next: bool,
        timeout: Duration,
    ) -> Self {
        Self {
            source,
            during,
            drops_next,
            timeout,
            known: BTreeSet::new(),
            listing: None,
            initialized: false,
            failing: None,
        }
    }

    fn violation(&self, rule: Rule, what: String) -> Violation {
        // If futures are dropped, missing updates were lost with them.
        let lost = self.drops_next && matches!(rule, Rule::Accuracy | Rule::InitialList);
        Violation::Broken {
            rule: if lost { Rule::CancelSafe } else { rule },
            during: self.during,
            what,
        }
    }

    /// Checks that all of these objects are known.
    pub(super) fn expect_known(&self, things: &[&str]) -> Result<(), Violation> {
        match things.iter().find(|thing| !self.known.contains(**thing)) {
            None => Ok(()),
            Some(thing) => {
                let what = format!("existing object `{thing}` was not sent");
                Err(self.violation(Rule::InitialList, what))
            }
        }
    }
}

impl<K> ContractChecker<K> {
    async fn next_update<S>(&mut self) -> Result<ObservedUpdate, Violation>
    where
        K: UpdateSource<S>,
    {
        let step = loop {
            if !self.drops_next {
                break self.source.next().await;
            }
            if let Ok(step) = timeout(DROP_AFTER, self.source.next()).await {
                break step;
            }
        };
        let step = match step {
            Ok(Some(step)) => step,
            Ok(None) => return Err(self.violation(Rule::NeverEnds, "the source ended".to_owned())),
            Err(error) => {
                let what = format!("the source failed: {}", error_chain(&error));
                return Err(self.violation(Rule::NeverEnds, what));
            }
        };
        self.check_update::<S>(&step)?;
        Ok(step)
    }

    fn check_update<S>(&mut self, step: &ObservedUpdate) -> Result<(), Violation>
    where
        K: UpdateSource<S>,
    {
        let disorder = |watcher: &Self| {
            let what = format!("{step:?} is out of order");
            Err(watcher.violation(Rule::Order, what))
        };
        if !self.initialized && !matches!(step, ObservedUpdate::Init) {
            return disorder(self);
        }
        match step {
            ObservedUpdate::Init => {
                self.initialized = true;
                self.listing = Some(BTreeSet::new());
            }
            ObservedUpdate::InitApply(thing) => match &mut self.listing {
                Some(listing) => drop(listing.insert(thing.clone())),
                None => return disorder(self),
            },
            ObservedUpdate::InitDone => {
                match self.listing.take() {
                    Some(listing) => self.known = listing,
                    // Outside a list it ends a failure.
                    None if self.failing.is_none() => return disorder(self),
                    None => {}
                }
                self.failing = None;
            }
            ObservedUpdate::Apply(_) | ObservedUpdate::Delete(_) if self.listing.is_some() => {
                return disorder(self);
            }
            ObservedUpdate::Apply(thing) => drop(self.known.insert(thing.clone())),
            ObservedUpdate::Delete(thing) => drop(self.known.remove(thing)),
            ObservedUpdate::Malformed => {
                let what = "a valid object was reported as malformed".to_owned();
                return Err(self.violation(Rule::Accuracy, what));
            }
            ObservedUpdate::Failing(kind) if self.failing == Some(*kind) => {
                let what = format!("the same failure was reported twice: {kind}");
                return Err(self.violation(Rule::Outage, what));
            }
            ObservedUpdate::Failing(kind) => self.failing = Some(*kind),
        }
        Ok(())
    }

    async fn wait_until<S>(
        &mut self,
        rule: Rule,
        wanted: &str,
        mut is: impl FnMut(&Self, Option<&ObservedUpdate>) -> bool,
    ) -> Result<(), Violation>
    where
        K: UpdateSource<S>,
    {
        if is(self, None) {
            return Ok(());
        }
        let seen = timeout(self.timeout, async {
            loop {
                let step = self.next_update::<S>().await?;
                if is(self, Some(&step)) {
                    return Ok(());
                }
            }
        });
        match seen.await {
            Ok(result) => result,
            Err(_) => {
                let what =
                    format!("timed out waiting for {wanted}; known objects: {:?}", self.known);
                Err(self.violation(rule, what))
            }
        }
    }

    /// Waits until the list is complete and no failure is left.
    pub(super) async fn wait_for_init_done<S>(&mut self) -> Result<(), Violation>
    where
        K: UpdateSource<S>,
    {
        let rule = if self.failing.is_some() { Rule::Outage } else { Rule::Accuracy };
        self.wait_until(rule, "`InitDone`", |watcher, _| {
            watcher.initialized && watcher.listing.is_none() && watcher.failing.is_none()
        })
        .await
    }

    pub(super) async fn wait_for_apply<S>(&mut self, thing: &str) -> Result<(), Violation>
    where
        K: UpdateSource<S>,
    {
        let wanted = format!("a change of `{thing}`");
        let is = |_: &Self, step: Option<&ObservedUpdate>| matches!(step, Some(ObservedUpdate::Apply(it)) if it == thing);
        self.wait_until(Rule::Accuracy, &wanted, is).await
    }

    pub(super) async fn wait_for_known<S>(&mut self, thing: &str) -> Result<(), Violation>
    where
        K: UpdateSource<S>,
    {
        let wanted = format!("`{thing}`");
        let is = |watcher: &Self, _: Option<&ObservedUpdate>| watcher.known.contains(thing);
        self.wait_until(Rule::Accuracy, &wanted, is).await
    }

    /// Waits until the object is deleted. Events are never deleted.
    pub(super) async fn wait_for_delete<S>(&mut self, thing: &str) -> Result<(), Violation>
    where
        K: UpdateSource<S>,
    {
        let wanted = format!("the deletion of `{thing}`");
        let is = |watcher: &Self, _: Option<&ObservedUpdate>| {
            !K::HAS_DELETIONS || !watcher.known.contains(thing)
        };
        self.wait_until(Rule::Accuracy, &wanted, is).await
    }

    pub(super) async fn wait_for_failure<S>(&mut self) -> Result<(), Violation>
    where
        K: UpdateSource<S>,
    {
        let is = |watcher: &Self, _: Option<&ObservedUpdate>| watcher.failing.is_some();
        self.wait_until(Rule::Outage, "`Failing`", is).await
    }
}
