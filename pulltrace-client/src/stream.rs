//! Follows an event stream across disconnects.

use std::time::Duration;

use futures_util::Stream;
use reqwest::Url;

use crate::client::Client;
use crate::error::{EventError, FollowError, RequestError};
use crate::sse::{SseItem, SseParser};

/// The state of a followed stream. Parses its events and keeps the position to resume from.
pub(crate) trait Follower: Send + 'static {
    /// An item for the caller.
    type Item: Send;

    /// Returns the id of the event after which a new connection resumes.
    fn last_event_id(&self) -> Option<&str> {
        None
    }

    /// Handles a new connection.
    fn on_connected(&mut self) -> Option<Self::Item> {
        None
    }

    /// Handles an event. `None` for events that callers do not need.
    fn on_event(
        &mut self,
        name: &str,
        id: Option<&str>,
        data: &str,
    ) -> Result<Option<Self::Item>, serde_json::Error>;

    /// Returns the last item if this error is the regular end of the stream.
    fn on_error(&mut self, _: &RequestError) -> Option<Self::Item> {
        None
    }

    /// Reports whether this item ends the stream.
    fn is_last(_: &Self::Item) -> bool {
        false
    }

    fn skipped(error: EventError) -> Self::Item;

    fn disconnected(error: RequestError, retry_in: Duration) -> Self::Item;
}

/// Follows the stream at this URL until its last item, or an error that no retry can fix.
pub(crate) fn follow<F: Follower>(
    client: Client,
    url: Url,
    mut follower: F,
) -> impl Stream<Item = Result<F::Item, FollowError>> + Send + 'static {
    async_stream::stream! {
        let mut backoff = client.backoff.clone();
        loop {
            let opened = client.http.open_stream(url.clone(), follower.last_event_id()).await;
            let error = match opened {
                Err(error) => error,
                Ok(mut response) => {
                    if let Some(item) = follower.on_connected() {
                        yield Ok(item);
                    }
                    let mut parser = SseParser::default();
                    loop {
                        let chunk = client.http.next_chunk(&mut response, client.idle_timeout).await;
                        let chunk = match chunk {
                            Ok(Some(chunk)) => chunk,
                            Ok(None) => break client.http.stream_ended(),
                            Err(error) => break error,
                        };
                        for item in parser.feed(chunk.as_ref()) {
                            let item = match item {
                                SseItem::Retry(first) => {
                                    backoff.set_first_delay(first);
                                    None
                                }
                                SseItem::TooLong => Some(F::skipped(EventError::TooLong)),
                                SseItem::Event { name, id, data } => {
                                    backoff.reset();
                                    let item = follower.on_event(&name, id.as_deref(), &data);
                                    item.unwrap_or_else(|error| Some(F::skipped(error.into())))
                                }
                            };
                            if let Some(item) = item {
                                let is_last = F::is_last(&item);
                                yield Ok(item);
                                if is_last {
                                    return;
                                }
                            }
                        }
                    }
                }
            };
            if let Some(last) = follower.on_error(&error) {
                yield Ok(last);
                return;
            }
            if !error.is_transient() {
                yield Err(error.into());
                return;
            }
            let retry_in = backoff.next_delay(error.retry_after());
            yield Ok(F::disconnected(error, retry_in));
            tokio::time::sleep(retry_in).await;
        }
    }
}
