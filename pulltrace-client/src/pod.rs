//! One pod, until all its images are there or it is gone.

use std::time::Duration;

use futures_util::Stream;
use pulltrace_core::wire::v1::{PodEnd, PodEndReason, PodPulls};
use reqwest::Url;

use crate::backoff::random;
use crate::client::Client;
use crate::error::{FollowError, RequestError};
use crate::follow::NotUnderstood;
use crate::sse::{Parser, Sse};

/// What is said of a pod that is followed.
#[derive(Debug)]
#[non_exhaustive]
pub enum PodFollowed {
    /// The pod with its pulls, as it is now.
    Pod(Box<PodPulls>),
    /// Nothing more comes. [`PodEndReason::Gone`] also where that happened while the server was away, and it
    /// knows no such pod any more: then it may have all its images.
    End(PodEndReason),
    /// The server is away. The stream comes back by itself; what is known may be out of date.
    Away {
        /// Why.
        error: RequestError,
        /// When it comes back.
        retry_in: Duration,
    },
    /// Something that this version does not understand, or that is longer than it may be, was passed over.
    NotUnderstood(NotUnderstood),
}

/// Where a pod is asked for. What is no name is encoded, or left out, and then there is nothing.
pub(crate) fn url(client: &Client, namespace: &str, pod: &str, follow: bool) -> Url {
    let follow = follow.then(|| ("follow", "1".to_owned()));
    let path = ["api", "v1", "namespaces", namespace, "pods", pod, "pulls"];
    client.http.url(&path, follow.as_slice())
}

fn said(name: &str, data: &str) -> Option<PodFollowed> {
    let said = match name {
        "" | "message" if data.is_empty() => return None,
        "" | "message" => serde_json::from_str(data).map(|pulls| PodFollowed::Pod(Box::new(pulls))),
        "end" => serde_json::from_str(data).map(|end: PodEnd| PodFollowed::End(end.reason)),
        // A sign of life, or of a later version.
        _ => return None,
    };
    Some(said.unwrap_or_else(|error| PodFollowed::NotUnderstood(error.into())))
}

pub(crate) fn follow(
    client: Client,
    namespace: &str,
    pod: &str,
) -> impl Stream<Item = Result<PodFollowed, FollowError>> + Send + 'static + use<> {
    let url = url(&client, namespace, pod, true);
    async_stream::stream! {
        let mut backoff = client.backoff();
        let mut told = false;
        loop {
            let error = match client.http.stream(url.clone(), None).await {
                Err(error) => error,
                Ok(mut response) => {
                    let mut parser = Parser::default();
                    loop {
                        let chunk = match client.http.chunk(&mut response, client.silence).await {
                            Ok(Some(chunk)) => chunk,
                            Ok(None) => break client.http.ended(),
                            Err(error) => break error,
                        };
                        for said in parser.feed(chunk.as_ref()) {
                            let said = match said {
                                Sse::Retry(first) => {
                                    backoff.asked(first);
                                    None
                                }
                                Sse::TooLong => Some(PodFollowed::NotUnderstood(NotUnderstood::TooLong)),
                                Sse::Event { name, data, .. } => {
                                    backoff.worked();
                                    self::said(&name, &data)
                                }
                            };
                            if let Some(said) = said {
                                told |= matches!(said, PodFollowed::Pod(_));
                                let over = matches!(said, PodFollowed::End(_));
                                yield Ok(said);
                                if over {
                                    return;
                                }
                            }
                        }
                    }
                }
            };
            if told && error.is_not_found() {
                yield Ok(PodFollowed::End(PodEndReason::Gone));
                return;
            }
            if !error.is_transient() {
                yield Err(error.into());
                return;
            }
            let retry_in = backoff.failed(error.retry_after(), random());
            yield Ok(PodFollowed::Away { error, retry_in });
            tokio::time::sleep(retry_in).await;
        }
    }
}
