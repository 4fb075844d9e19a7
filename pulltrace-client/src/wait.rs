//! Waits for the end of a pull.

use std::pin::pin;

use futures_util::StreamExt as _;
use pulltrace_core::PullId;
use pulltrace_core::wire::v1::{Outcome, PullStatus};

use crate::client::Client;
use crate::error::{RequestError, WaitError};
use crate::filter::{Filter, Layers};
use crate::follow::{FollowEvent, Start};

/// The pull to wait for.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Target {
    /// The pull with this id.
    Pull(String),
    /// Any pull that matches the filter, except its phases. This includes known ended pulls; of
    /// several, the last to end.
    Any(Filter),
}

/// The condition to wait for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Until {
    /// The pull has ended, with any outcome.
    Ended,
    /// The pull is completed. For [`Target::Pull`], another outcome is an error. For
    /// [`Target::Any`] the wait continues, as failed pulls are retried.
    Completed,
}

impl Until {
    fn is_reached(self, pull: &PullStatus) -> bool {
        match self {
            Self::Ended => pull.outcome.is_some(),
            Self::Completed => pull.outcome == Some(Outcome::Completed),
        }
    }
}

impl Client {
    /// Waits until a pull has ended, across disconnects and server restarts. There is no timeout.
    /// The returned pull has no layers.
    ///
    /// # Errors
    /// If the pull is unknown or has a different outcome, or a request fails with an error that no
    /// retry can fix.
    pub async fn wait(&self, target: &Target, until: Until) -> Result<PullStatus, WaitError> {
        let filter = match target {
            Target::Pull(id) => {
                let known = id.parse::<PullId>();
                let known = known.map_err(|_| WaitError::NotFound(id.clone()))?;
                Filter::default().node(known.node().as_str())
            }
            Target::Any(filter) => filter.clone().in_any_phase(),
        };
        let filter = filter.layers(Layers::None);
        let mut events = pin!(self.follow(&filter, Start::Snapshot));
        while let Some(followed) = events.next().await {
            let ended = match followed? {
                FollowEvent::Event(event) => event.pull.filter(|pull| pull.outcome.is_some()),
                // A snapshot contains only live pulls. The pull may have ended before it, or during a
                // disconnect.
                FollowEvent::SnapshotEnd(_) => find_ended(self, target, &filter, until).await?,
                _ => None,
            };
            let wanted = |pull: &PullStatus| match target {
                Target::Pull(id) => pull.id == *id,
                Target::Any(_) => true,
            };
            let Some(pull) = ended.filter(wanted) else {
                continue;
            };
            if until.is_reached(&pull) {
                return Ok(pull);
            }
            if matches!(target, Target::Pull(_)) {
                return Err(WaitError::Ended(Box::new(pull)));
            }
        }
        // A stream ends only after an error.
        Err(WaitError::Follow(self.http.stream_ended().into()))
    }
}

async fn find_ended(
    client: &Client,
    target: &Target,
    filter: &Filter,
    until: Until,
) -> Result<Option<PullStatus>, WaitError> {
    match target {
        Target::Pull(id) => {
            let pull = retry(client, || client.pull(id)).await?;
            let mut pull = pull.ok_or_else(|| WaitError::NotFound(id.clone()))?;
            pull.layers.clear();
            Ok(pull.outcome.is_some().then_some(pull))
        }
        Target::Any(_) => {
            let pulls = retry(client, || client.pulls(filter)).await?.pulls;
            let reached = pulls.into_iter().filter(|pull| until.is_reached(pull));
            Ok(reached.max_by_key(|pull| pull.completed_at))
        }
    }
}

/// Retries until there is a response, or an error that no retry can fix.
async fn retry<T, F: Future<Output = Result<T, RequestError>>>(
    client: &Client,
    ask: impl Fn() -> F,
) -> Result<T, WaitError> {
    let mut backoff = client.backoff.clone();
    loop {
        match ask().await {
            Ok(answer) => return Ok(answer),
            Err(error) if error.is_transient() => {
                let retry_in = backoff.next_delay(error.retry_after());
                tokio::time::sleep(retry_in).await;
            }
            Err(error) => return Err(WaitError::Follow(error.into())),
        }
    }
}
