//! Waiting for the end of a pull.

use std::pin::pin;

use futures_util::StreamExt as _;
use pulltrace_core::PullId;
use pulltrace_core::wire::v1::{Outcome, PullStatus};

use crate::backoff::random;
use crate::client::Client;
use crate::error::{RequestError, WaitError};
use crate::filter::{Filter, Layers};
use crate::follow::{Followed, Start};

/// What is waited for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Target {
    /// The pull of this id.
    Pull(String),
    /// Any pull that this filter wants, whatever phase it is in, also one that ended already and is
    /// still known: of several, the one that ended last.
    Any(Filter),
}

/// Until when.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Until {
    /// It is over, however it ended.
    Ended,
    /// It is completed. A pull that ends otherwise is an error; of [`Target::Any`] another one is
    /// waited for, as a failed pull is tried again.
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

pub(crate) async fn wait(
    client: &Client,
    target: &Target,
    until: Until,
) -> Result<PullStatus, WaitError> {
    let filter = match target {
        Target::Pull(id) => {
            let known = id.parse::<PullId>();
            let known = known.map_err(|_| WaitError::NotFound(id.clone()))?;
            Filter::default().node(known.node().as_str())
        }
        Target::Any(filter) => filter.clone().in_any_phase(),
    };
    let filter = filter.layers(Layers::None);
    let mut events = pin!(client.follow(&filter, Start::Snapshot));
    while let Some(followed) = events.next().await {
        let ended = match followed? {
            Followed::Event(event) => event.pull.filter(|pull| pull.outcome.is_some()),
            // A snapshot has live pulls only: what ended before, or while nobody listened?
            Followed::SnapshotEnd(_) => ended_before(client, target, &filter, until).await?,
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
    // A stream ends behind an error only.
    Err(WaitError::Follow(client.http.ended().into()))
}

async fn ended_before(
    client: &Client,
    target: &Target,
    filter: &Filter,
    until: Until,
) -> Result<Option<PullStatus>, WaitError> {
    match target {
        Target::Pull(id) => {
            let pull = again(client, || client.pull(id)).await?;
            let mut pull = pull.ok_or_else(|| WaitError::NotFound(id.clone()))?;
            pull.layers.clear();
            Ok(pull.outcome.is_some().then_some(pull))
        }
        Target::Any(_) => {
            let pulls = again(client, || client.pulls(filter)).await?.pulls;
            let reached = pulls.into_iter().filter(|pull| until.is_reached(pull));
            Ok(reached.max_by_key(|pull| pull.completed_at))
        }
    }
}

/// Asks until there is an answer, or a refusal that no retry cures.
async fn again<T, F: Future<Output = Result<T, RequestError>>>(
    client: &Client,
    ask: impl Fn() -> F,
) -> Result<T, WaitError> {
    let mut backoff = client.backoff();
    loop {
        match ask().await {
            Ok(answer) => return Ok(answer),
            Err(error) if error.is_transient() => {
                let retry_in = backoff.failed(error.retry_after(), random());
                tokio::time::sleep(retry_in).await;
            }
            Err(error) => return Err(WaitError::Follow(error.into())),
        }
    }
}
