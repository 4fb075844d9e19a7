//! The stream of one pod, until all its images are present or it is gone.

use std::time::Duration;

use futures_util::Stream;
use pulltrace_core::wire::v1::{PodEnd, PodEndReason, PodPulls};
use reqwest::Url;

use crate::client::Client;
use crate::error::{FollowError, RequestError};
use crate::follow::EventError;
use crate::sse::{SseItem, SseParser};

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

/// Returns the URL of a pod. Invalid names are percent-encoded or dropped, so that no pod is found.
pub(crate) fn pod_url(client: &Client, namespace: &str, pod: &str, follow: bool) -> Url {
    let follow = follow.then(|| ("follow", "1".to_owned()));
    let path = ["api", "v1", "namespaces", namespace, "pods", pod, "pulls"];
    client.http.url(&path, follow.as_slice())
}

fn parse_event(name: &str, data: &str) -> Option<PodFollowEvent> {
    let event = match name {
        "" | "message" if data.is_empty() => return None,
        "" | "message" => {
            serde_json::from_str(data).map(|pulls| PodFollowEvent::Pod(Box::new(pulls)))
        }
        "end" => serde_json::from_str(data).map(|end: PodEnd| PodFollowEvent::End(end.reason)),
        // A keep-alive, or an event of a later version.
        _ => return None,
    };
    Some(event.unwrap_or_else(|error| PodFollowEvent::Skipped(error.into())))
}

pub(crate) fn follow(
    client: Client,
    namespace: &str,
    pod: &str,
) -> impl Stream<Item = Result<PodFollowEvent, FollowError>> + Send + 'static + use<> {
    let url = pod_url(&client, namespace, pod, true);
    async_stream::stream! {
        let mut backoff = client.backoff();
        let mut received_pod = false;
        loop {
            let error = match client.http.open_stream(url.clone(), None).await {
                Err(error) => error,
                Ok(mut response) => {
                    let mut parser = SseParser::default();
                    loop {
                        let chunk = match client.http.next_chunk(&mut response, client.idle_timeout).await {
                            Ok(Some(chunk)) => chunk,
                            Ok(None) => break client.http.stream_ended(),
                            Err(error) => break error,
                        };
                        for item in parser.feed(chunk.as_ref()) {
                            let event = match item {
                                SseItem::Retry(first) => {
                                    backoff.set_first_delay(first);
                                    None
                                }
                                SseItem::TooLong => Some(PodFollowEvent::Skipped(EventError::TooLong)),
                                SseItem::Event { name, data, .. } => {
                                    backoff.reset();
                                    self::parse_event(&name, &data)
                                }
                            };
                            if let Some(said) = event {
                                received_pod |= matches!(said, PodFollowEvent::Pod(_));
                                let is_last = matches!(said, PodFollowEvent::End(_));
                                yield Ok(said);
                                if is_last {
                                    return;
                                }
                            }
                        }
                    }
                }
            };
            if received_pod && error.is_not_found() {
                yield Ok(PodFollowEvent::End(PodEndReason::Gone));
                return;
            }
            if !error.is_transient() {
                yield Err(error.into());
                return;
            }
            let retry_in = backoff.next_delay(error.retry_after());
            yield Ok(PodFollowEvent::Disconnected { error, retry_in });
            tokio::time::sleep(retry_in).await;
        }
    }
}
