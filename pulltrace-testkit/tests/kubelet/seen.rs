//! What readers of the server saw: its lists, asked for again and again.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use pulltrace_client::{Client, Filter};
use pulltrace_core::NodeTime;
use pulltrace_core::wire::v1::{FailureReason, Phase, PodLink, PullStatus, WaitingKind};
use serde_json::Value;

/// How often it is asked.
const OFTEN: Duration = Duration::from_millis(150);

/// A container: the uid of its pod, and its name; of an image volume its image.
pub(crate) type Of = (String, String);

#[derive(Debug, Default)]
pub(crate) struct All {
    /// Each row as it was last seen.
    pub(crate) rows: BTreeMap<String, PullStatus>,
    /// Those that are there now.
    pub(crate) now: BTreeSet<String>,
    /// The rows as which a container was shown queued, and from when to when.
    pub(crate) queued: BTreeMap<Of, BTreeMap<String, (NodeTime, NodeTime)>>,
    /// What each try was said to have failed for, in this order.
    pub(crate) failed: BTreeMap<(Of, u32), Vec<FailureReason>>,
    /// Two live rows for one container, at one moment.
    pub(crate) twice: BTreeSet<(Of, [String; 2])>,
    /// The pods that wait, by namespace and name, as they were last seen.
    pub(crate) pods: BTreeMap<(String, String), Value>,
    /// What was said of each pod, without its numbers.
    pub(crate) summaries: BTreeMap<(String, String), Vec<String>>,
    /// What went wrong with asking.
    pub(crate) errors: BTreeSet<String>,
}

#[derive(Clone, Debug, Default)]
pub(crate) struct Seen(Arc<Mutex<All>>);

impl Seen {
    /// Looks at the server of this URL for ever.
    pub(crate) fn of(url: &str) -> Self {
        let seen = Self::default();
        let client = Client::builder(url).build().expect("a client");
        let pods = format!("{url}/api/v1/pods?limit=1000");
        let watching = seen.clone();
        tokio::spawn(async move {
            let mut often = tokio::time::interval(OFTEN);
            often.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
            loop {
                often.tick().await;
                match client.pulls(&Filter::default()).await {
                    Ok(list) => watching.look(|all| all.pulls(list.pulls, list.now)),
                    Err(error) => watching.look(|all| all.error(&error)),
                }
                match get(&pods).await {
                    Ok(list) => watching.look(|all| all.pods(&list)),
                    Err(error) => watching.look(|all| all.error(&error)),
                }
            }
        });
        seen
    }

    pub(crate) fn look<T>(&self, look: impl FnOnce(&mut All) -> T) -> T {
        look(&mut self.0.lock().expect("no panic"))
    }
}

async fn get(url: &str) -> Result<Value, reqwest::Error> {
    let answer = reqwest::get(url).await?.error_for_status()?;
    let body = answer.bytes().await?;
    Ok(serde_json::from_slice(&body).unwrap_or_default())
}

/// Whom a row is for.
pub(crate) fn waiters(pull: &PullStatus) -> impl Iterator<Item = Of> + '_ {
    pull.pods.iter().map(waiter)
}

pub(crate) fn waiter(link: &PodLink) -> Of {
    let volume = link.container.starts_with("Image-");
    let name = if volume { &link.image } else { &link.container };
    (link.uid.clone(), name.clone())
}

impl All {
    fn pulls(&mut self, pulls: Vec<PullStatus>, now: NodeTime) {
        let mut live: BTreeMap<Of, &str> = BTreeMap::new();
        for pull in &pulls {
            for of in waiters(pull) {
                if pull.outcome.is_none()
                    && let Some(other) = live.insert(of.clone(), &pull.id)
                {
                    let ids = [other.to_owned(), pull.id.clone()];
                    self.twice.insert((of.clone(), ids));
                }
                let kind = pull.waiting_on.as_ref().map(|waits| waits.kind);
                if pull.phase == Phase::Queued && kind == Some(WaitingKind::KubeletQueue) {
                    let ids = self.queued.entry(of.clone()).or_default();
                    ids.entry(pull.id.clone()).or_insert((now, now)).1 = now;
                }
                if let (Some(attempt), Some(failure)) = (pull.attempt, &pull.failure) {
                    let reasons = self.failed.entry((of, attempt)).or_default();
                    if reasons.last() != Some(&failure.reason) {
                        reasons.push(failure.reason);
                    }
                }
            }
        }
        self.now = pulls.iter().map(|pull| pull.id.clone()).collect();
        let pulls = pulls.into_iter().map(|pull| (pull.id.clone(), pull));
        self.rows.extend(pulls);
    }

    fn pods(&mut self, list: &Value) {
        self.pods.clear();
        for pod in list["pods"].as_array().into_iter().flatten() {
            let text = |name: &str| pod[name].as_str().unwrap_or_default().to_owned();
            let key = (text("namespace"), text("podName"));
            let summary = text("summary").replace(|c: char| c.is_ascii_digit(), "#");
            let said = self.summaries.entry(key.clone()).or_default();
            if said.last() != Some(&summary) {
                said.push(summary);
            }
            self.pods.insert(key, pod.clone());
        }
    }

    fn error(&mut self, error: &dyn std::error::Error) {
        self.errors.insert(error.to_string());
    }

    /// The rows of this container, as they were last seen.
    pub(crate) fn of(&self, of: &Of) -> Vec<&PullStatus> {
        let rows = self.rows.values();
        rows.filter(|pull| waiters(pull).any(|other| other == *of))
            .collect()
    }

    /// Whether something of these pods is live now.
    pub(crate) fn is_live(&self, uids: &[String]) -> bool {
        let mut now = self.now.iter().filter_map(|id| self.rows.get(id));
        now.any(|pull| pull.outcome.is_none() && waiters(pull).any(|(uid, _)| uids.contains(&uid)))
    }
}
