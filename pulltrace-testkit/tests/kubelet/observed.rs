//! The view of a reader who polls the lists of the server.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use pulltrace_client::{Client, Filter};
use pulltrace_core::NodeTime;
use pulltrace_core::wire::v1::{FailureReason, Phase, PodLink, PullStatus, WaitingKind};
use serde_json::Value;

/// Polling interval.
const POLL_INTERVAL: Duration = Duration::from_millis(150);

/// A container: the UID of its pod and its name, or for an image volume the image.
pub(crate) type ConsumerKey = (String, String);

#[derive(Debug, Default)]
pub(crate) struct Observed {
    /// The last state of each row.
    pub(crate) rows: BTreeMap<String, PullStatus>,
    /// The rows in the last list.
    pub(crate) current: BTreeSet<String>,
    /// The rows in which a container was shown as queued, with first and last time.
    pub(crate) queued: BTreeMap<ConsumerKey, BTreeMap<String, (NodeTime, NodeTime)>>,
    /// The failure reasons shown for each attempt, in order.
    pub(crate) failures: BTreeMap<(ConsumerKey, u32), Vec<FailureReason>>,
    /// Pairs of live rows for one container in one list.
    pub(crate) duplicates: BTreeSet<(ConsumerKey, [String; 2])>,
    /// The waiting pods by namespace and name, in their last state.
    pub(crate) pods: BTreeMap<(String, String), Value>,
    /// The summaries shown for each pod, with digits masked.
    pub(crate) summaries: BTreeMap<(String, String), Vec<String>>,
    /// Request errors.
    pub(crate) errors: BTreeSet<String>,
}

#[derive(Clone, Debug, Default)]
pub(crate) struct Observer(Arc<Mutex<Observed>>);

impl Observer {
    /// Starts polling the server at this URL.
    pub(crate) fn start(url: &str) -> Self {
        let seen = Self::default();
        let client = Client::builder(url).build().expect("a client");
        let pods = format!("{url}/api/v1/pods?limit=1000");
        let watching = seen.clone();
        tokio::spawn(async move {
            let mut often = tokio::time::interval(POLL_INTERVAL);
            often.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
            loop {
                often.tick().await;
                match client.pulls(&Filter::default()).await {
                    Ok(list) => watching.with(|all| all.record_pulls(list.pulls, list.now)),
                    Err(error) => watching.with(|all| all.record_error(&error)),
                }
                match get(&pods).await {
                    Ok(list) => watching.with(|all| all.record_pods(&list)),
                    Err(error) => watching.with(|all| all.record_error(&error)),
                }
            }
        });
        seen
    }

    pub(crate) fn with<T>(&self, look: impl FnOnce(&mut Observed) -> T) -> T {
        look(&mut self.0.lock().expect("lock is not poisoned"))
    }
}

async fn get(url: &str) -> Result<Value, reqwest::Error> {
    let answer = reqwest::get(url).await?.error_for_status()?;
    let body = answer.bytes().await?;
    Ok(serde_json::from_slice(&body).unwrap_or_default())
}

/// Returns the containers that a row is for.
pub(crate) fn consumer_keys(pull: &PullStatus) -> impl Iterator<Item = ConsumerKey> + '_ {
    pull.pods.iter().map(consumer_key)
}

pub(crate) fn consumer_key(link: &PodLink) -> ConsumerKey {
    let volume = link.container.starts_with("Image-");
    let name = if volume { &link.image } else { &link.container };
    (link.uid.clone(), name.clone())
}

impl Observed {
    fn record_pulls(&mut self, pulls: Vec<PullStatus>, now: NodeTime) {
        let mut live: BTreeMap<ConsumerKey, &str> = BTreeMap::new();
        for pull in &pulls {
            for key in consumer_keys(pull) {
                if pull.outcome.is_none()
                    && let Some(other) = live.insert(key.clone(), &pull.id)
                {
                    let ids = [other.to_owned(), pull.id.clone()];
                    self.duplicates.insert((key.clone(), ids));
                }
                let kind = pull.waiting_on.as_ref().map(|waits| waits.kind);
                if pull.phase == Phase::Queued && kind == Some(WaitingKind::KubeletQueue) {
                    let ids = self.queued.entry(key.clone()).or_default();
                    ids.entry(pull.id.clone()).or_insert((now, now)).1 = now;
                }
                if let (Some(attempt), Some(failure)) = (pull.attempt, &pull.failure) {
                    let reasons = self.failures.entry((key, attempt)).or_default();
                    if reasons.last() != Some(&failure.reason) {
                        reasons.push(failure.reason);
                    }
                }
            }
        }
        self.current = pulls.iter().map(|pull| pull.id.clone()).collect();
        let pulls = pulls.into_iter().map(|pull| (pull.id.clone(), pull));
        self.rows.extend(pulls);
    }

    fn record_pods(&mut self, list: &Value) {
        self.pods.clear();
        for pod in list["pods"].as_array().into_iter().flatten() {
            let text = |name: &str| pod[name].as_str().unwrap_or_default().to_owned();
            let key = (text("namespace"), text("podName"));
            let summary = text("summary").replace(|c: char| c.is_ascii_digit(), "#");
            let summaries = self.summaries.entry(key.clone()).or_default();
            if summaries.last() != Some(&summary) {
                summaries.push(summary);
            }
            self.pods.insert(key, pod.clone());
        }
    }

    fn record_error(&mut self, error: &dyn std::error::Error) {
        self.errors.insert(error.to_string());
    }

    /// Returns the rows of this container in their last state.
    pub(crate) fn rows_of(&self, key: &ConsumerKey) -> Vec<&PullStatus> {
        let rows = self.rows.values();
        rows.filter(|pull| consumer_keys(pull).any(|other| other == *key)).collect()
    }

    /// Reports whether a pull for these pods is live.
    pub(crate) fn is_live(&self, uids: &[String]) -> bool {
        let mut now = self.current.iter().filter_map(|id| self.rows.get(id));
        now.any(|pull| {
            pull.outcome.is_none() && consumer_keys(pull).any(|(uid, _)| uids.contains(&uid))
        })
    }
}
