//! Whoever listens to a source under test, and holds it to its contract with each update.

use std::collections::BTreeSet;
use std::time::Duration;

use tokio::time::timeout;

use super::{Rule, Violation};
use crate::cluster::{PodSource, PodUpdate, PullEventSource, PullEventUpdate, TroubleKind};

/// A caller that drops `next` waits so long for it first.
const BRIEF: Duration = Duration::from_millis(5);

/// An update as the suite sees it: a thing is what it is known by.
#[derive(Debug)]
pub(super) enum Step {
    Reset,
    Init(String),
    Done,
    Applied(String),
    Deleted(String),
    Odd,
    Trouble(TroubleKind),
}

/// A source of either kind.
pub(super) trait Speaks<S> {
    /// Whether things are gone for it.
    const FORGETS: bool;

    async fn next(&mut self) -> Option<Step>;
}

pub(super) struct Pods<S>(pub(super) S);

impl<S: PodSource> Speaks<S> for Pods<S> {
    const FORGETS: bool = true;

    async fn next(&mut self) -> Option<Step> {
        Some(match self.0.next().await? {
            PodUpdate::Reset => Step::Reset,
            PodUpdate::Init(pod) => Step::Init(pod.pod.uid.to_string()),
            PodUpdate::Done => Step::Done,
            PodUpdate::Applied(pod) => Step::Applied(pod.pod.uid.to_string()),
            PodUpdate::Deleted(uid) => Step::Deleted(uid.to_string()),
            PodUpdate::Odd => Step::Odd,
            PodUpdate::Trouble(trouble) => Step::Trouble(trouble.kind),
        })
    }
}

pub(super) struct Events<S>(pub(super) S);

impl<S: PullEventSource> Speaks<S> for Events<S> {
    const FORGETS: bool = false;

    async fn next(&mut self) -> Option<Step> {
        Some(match self.0.next().await? {
            PullEventUpdate::Reset => Step::Reset,
            PullEventUpdate::Init(event) => Step::Init(event.name.to_string()),
            PullEventUpdate::Done => Step::Done,
            PullEventUpdate::Applied(event) => Step::Applied(event.name.to_string()),
            PullEventUpdate::Odd => Step::Odd,
            PullEventUpdate::Trouble(trouble) => Step::Trouble(trouble.kind),
        })
    }
}

#[derive(Debug)]
pub(super) struct Watcher<K> {
    source: K,
    during: &'static str,
    drops: bool,
    patience: Duration,
    /// What is there, as far as it was said.
    known: BTreeSet<String>,
    /// What was said since `Reset`, until `Done`.
    listing: Option<BTreeSet<String>>,
    begun: bool,
    trouble: Option<TroubleKind>,
}

impl<K> Watcher<K> {
    pub(super) fn new(source: K, during: &'static str, drops: bool, patience: Duration) -> Self {
        Self {
            source,
            during,
            drops,
            patience,
            known: BTreeSet::new(),
            listing: None,
            begun: false,
            trouble: None,
        }
    }

    fn broken(&self, rule: Rule, what: String) -> Violation {
        // What is missing where `next` is dropped went with it.
        let lost = self.drops && matches!(rule, Rule::Truth | Rule::Beginning);
        Violation::Broken {
            rule: if lost { Rule::CancelSafe } else { rule },
            during: self.during,
            what,
        }
    }

    /// All of these are known.
    pub(super) fn expect_known(&self, things: &[&str]) -> Result<(), Violation> {
        match things.iter().find(|thing| !self.known.contains(**thing)) {
            None => Ok(()),
            Some(thing) => {
                let what = format!("`{thing}` is there, and was not said");
                Err(self.broken(Rule::Beginning, what))
            }
        }
    }
}

impl<K> Watcher<K> {
    async fn step<S>(&mut self) -> Result<Step, Violation>
    where
        K: Speaks<S>,
    {
        let step = loop {
            if !self.drops {
                break self.source.next().await;
            }
            if let Ok(step) = timeout(BRIEF, self.source.next()).await {
                break step;
            }
        };
        let Some(step) = step else {
            return Err(self.broken(Rule::GoesOn, "it ended".to_owned()));
        };
        self.judge::<S>(&step)?;
        Ok(step)
    }

    fn judge<S>(&mut self, step: &Step) -> Result<(), Violation>
    where
        K: Speaks<S>,
    {
        let disorder = |watcher: &Self| {
            let what = format!("{step:?} came out of order");
            Err(watcher.broken(Rule::Order, what))
        };
        if !self.begun && !matches!(step, Step::Reset) {
            return disorder(self);
        }
        match step {
            Step::Reset => {
                self.begun = true;
                self.listing = Some(BTreeSet::new());
            }
            Step::Init(thing) => match &mut self.listing {
                Some(listing) => drop(listing.insert(thing.clone())),
                None => return disorder(self),
            },
            Step::Done => {
                match self.listing.take() {
                    Some(listing) => self.known = listing,
                    // Alone, it is the end of a trouble.
                    None if self.trouble.is_none() => return disorder(self),
                    None => {}
                }
                self.trouble = None;
            }
            Step::Applied(_) | Step::Deleted(_) if self.listing.is_some() => return disorder(self),
            Step::Applied(thing) => drop(self.known.insert(thing.clone())),
            Step::Deleted(thing) => drop(self.known.remove(thing)),
            Step::Odd => {
                let what = "a thing that is as it should be is odd to it".to_owned();
                return Err(self.broken(Rule::Truth, what));
            }
            Step::Trouble(kind) if self.trouble == Some(*kind) => {
                let what = format!("the same trouble is told twice: {kind}");
                return Err(self.broken(Rule::Outage, what));
            }
            Step::Trouble(kind) => self.trouble = Some(*kind),
        }
        Ok(())
    }

    async fn until<S>(
        &mut self,
        rule: Rule,
        wanted: &str,
        mut is: impl FnMut(&Self, Option<&Step>) -> bool,
    ) -> Result<(), Violation>
    where
        K: Speaks<S>,
    {
        if is(self, None) {
            return Ok(());
        }
        let seen = timeout(self.patience, async {
            loop {
                let step = self.step::<S>().await?;
                if is(self, Some(&step)) {
                    return Ok(());
                }
            }
        });
        match seen.await {
            Ok(result) => result,
            Err(_) => {
                let what = format!("{wanted} was not said; known: {:?}", self.known);
                Err(self.broken(rule, what))
            }
        }
    }

    /// All that is there was said, and nothing troubles.
    pub(super) async fn until_done<S>(&mut self) -> Result<(), Violation>
    where
        K: Speaks<S>,
    {
        let rule = if self.trouble.is_some() {
            Rule::Outage
        } else {
            Rule::Truth
        };
        self.until(rule, "`Done`", |watcher, _| {
            watcher.begun && watcher.listing.is_none() && watcher.trouble.is_none()
        })
        .await
    }

    pub(super) async fn until_applied<S>(&mut self, thing: &str) -> Result<(), Violation>
    where
        K: Speaks<S>,
    {
        let wanted = format!("a change of `{thing}`");
        let is =
            |_: &Self, step: Option<&Step>| matches!(step, Some(Step::Applied(it)) if it == thing);
        self.until(Rule::Truth, &wanted, is).await
    }

    pub(super) async fn until_known<S>(&mut self, thing: &str) -> Result<(), Violation>
    where
        K: Speaks<S>,
    {
        let wanted = format!("`{thing}`");
        let is = |watcher: &Self, _: Option<&Step>| watcher.known.contains(thing);
        self.until(Rule::Truth, &wanted, is).await
    }

    /// What is an event's is never gone, and needs not be waited for.
    pub(super) async fn until_gone<S>(&mut self, thing: &str) -> Result<(), Violation>
    where
        K: Speaks<S>,
    {
        let wanted = format!("that `{thing}` is gone");
        let is = |watcher: &Self, _: Option<&Step>| !K::FORGETS || !watcher.known.contains(thing);
        self.until(Rule::Truth, &wanted, is).await
    }

    pub(super) async fn until_trouble<S>(&mut self) -> Result<(), Violation>
    where
        K: Speaks<S>,
    {
        let is = |watcher: &Self, _: Option<&Step>| watcher.trouble.is_some();
        self.until(Rule::Outage, "trouble", is).await
    }
}
