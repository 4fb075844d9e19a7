//! The pulls of one pod: now, or as a stream until all its images are present or it is gone.

use std::time::Duration;

use futures_util::Stream;
use pulltrace_core::wire::v1::{PodEnd, PodEndReason, PodPulls};
use reqwest::Url;

use crate::client::Client;
use crate::error::{EventError, FollowError, RequestError};
use crate::stream::{self, Follower};

/// An item of the stream of a pod.
#[derive(Debug)]
#[non_exhaustive]
pub enum PodFollowEvent {
    /// The current state of the pod and its pulls.
    Pod(Box<PodPulls>),
    /// The last item. It is [`PodEndReason::Gone`] also if the server no longer knew the pod after
    /// a reconnect; the pod may have all its images then.
    End(PodEndReason),
    /// The connection was lost. The stream reconnects by itself; known state may be stale.
    Disconnected {
        /// The cause.
        error: RequestError,
        /// The delay before the reconnect.
        retry_in: Duration,
    },
    /// An invalid or oversized event was skipped.
    Skipped(EventError),
}

/// The state of the stream of a pod.
#[derive(Debug, Default)]
struct PodFollower {
    received_pod: bool,
}

impl Follower for PodFollower {
    type Item = PodFollowEvent;

    fn on_event(
        &mut self,
        name: &str,
        _: Option<&str>,
        data: &str,
    ) -> Result<Option<PodFollowEvent>, serde_json::Error> {
        let event = match name {
            "" | "message" if data.is_empty() => return Ok(None),
            "" | "message" => {
                let pod = PodFollowEvent::Pod(Box::new(serde_json::from_str(data)?));
                self.received_pod = true;
                pod
            }
            "end" => PodFollowEvent::End(serde_json::from_str::<PodEnd>(data)?.reason),
            // A keep-alive, or an event of a later version.
            _ => return Ok(None),
        };
        Ok(Some(event))
    }

    fn on_error(&mut self, error: &RequestError) -> Option<PodFollowEvent> {
        let is_gone = self.received_pod && error.is_not_found();
        is_gone.then_some(PodFollowEvent::End(PodEndReason::Gone))
    }

    fn is_last(event: &PodFollowEvent) -> bool {
        matches!(event, PodFollowEvent::End(_))
    }

    fn skipped(error: EventError) -> PodFollowEvent {
        PodFollowEvent::Skipped(error)
    }

    fn disconnected(error: RequestError, retry_in: Duration) -> PodFollowEvent {
        PodFollowEvent::Disconnected { error, retry_in }
    }
}

impl Client {
    /// Returns the images a pod waits for, and its pulls; `None` if no such pod is known to wait.
    ///
    /// # Errors
    /// If the request fails, or the server has no pod source or has not read all pods yet.
    pub async fn pod_pulls(
        &self,
        namespace: &str,
        pod: &str,
    ) -> Result<Option<PodPulls>, RequestError> {
        let url = self.pod_url(namespace, pod, false);
        match self.http.get_json(url).await {
            Ok(pulls) => Ok(Some(pulls)),
            Err(error) if error.is_not_found() => Ok(None),
            Err(error) => Err(error),
        }
    }

    /// Follows a pod until all its images are present or it is gone. The stream yields the pod at
    /// once and after each change.
    ///
    /// It reconnects after disconnects and server restarts like [`follow`](Self::follow), and then
    /// yields the pod again. The stream ends after [`PodFollowEvent::End`], or after an error that
    /// no retry can fix, such as a pod that is not known to wait.
    pub fn follow_pod(
        &self,
        namespace: &str,
        pod: &str,
    ) -> impl Stream<Item = Result<PodFollowEvent, FollowError>> + Send + 'static + use<> {
        let url = self.pod_url(namespace, pod, true);
        stream::follow(self.clone(), url, PodFollower::default())
    }

    /// Invalid names are percent-encoded or dropped, so that no pod is found.
    fn pod_url(&self, namespace: &str, pod: &str, follow: bool) -> Url {
        let follow = follow.then(|| ("follow", "1".to_owned()));
        let path = ["api", "v1", "namespaces", namespace, "pods", pod, "pulls"];
        self.http.url(&path, follow.as_slice())
    }
}
