//! The stream of what happens, over disconnects and restarts.

use std::fmt;
use std::str::FromStr;
use std::time::Duration;

use futures_util::Stream;
use pulltrace_core::NodeTime;
use pulltrace_core::wire::v1::{PullEvent, PullList};
use serde::Deserialize;

use crate::backoff::random;
use crate::client::Client;
use crate::error::{FollowError, RequestError};
use crate::filter::Filter;
use crate::sse::{Parser, Sse};

/// Where in a server's changes somebody is: `<epoch>-<seq>`.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Cursor(String);

/// From where on to follow.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub enum Start {
    /// From now on: first each live pull, as started, then [`Followed::SnapshotEnd`].
    #[default]
    Snapshot,
    /// From there on, if the server still has what came since; else with [`Followed::Reset`] and a
    /// snapshot.
    After(Cursor),
}

/// What a stream says.
#[derive(Debug)]
#[non_exhaustive]
pub enum Followed {
    /// Something happened to a pull, or it is of the snapshot.
    Event(Box<PullEvent>),
    /// The snapshot is whole. Pulls that ended before are not in it: [`Client::pulls`] has them.
    SnapshotEnd(Place),
    /// What was said so far is worth nothing: forget it. A snapshot follows.
    Reset,
    /// Nothing more happened until here.
    Ping(Place),
    /// The server is away. The stream comes back by itself; what is known may be out of date.
    Away {
        /// Why.
        error: RequestError,
        /// When it comes back.
        retry_in: Duration,
    },
    /// Something that this version does not understand, or that is longer than it may be, was passed
    /// over.
    NotUnderstood(NotUnderstood),
}

/// Where a reader is.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Place {
    /// To go on from, in another stream too.
    pub cursor: Cursor,
    /// The server's clock.
    pub now: NodeTime,
}

/// Something that was passed over. A retry does not help.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum NotUnderstood {
    /// It is no event of this version.
    #[error("an event is not understood")]
    Event(#[from] serde_json::Error),
    /// It is longer than 4 MiB, or has a line longer than 1 MiB.
    #[error("an event is longer than it may be")]
    TooLong,
}

impl Start {
    /// From where this list was true.
    #[must_use]
    pub fn after(list: &PullList) -> Self {
        Self::After(Cursor(format!("{}-{}", list.epoch, list.seq)))
    }
}

impl FromStr for Cursor {
    type Err = CursorError;

    fn from_str(text: &str) -> Result<Self, CursorError> {
        let whole = text.rsplit_once('-').filter(|(epoch, seq)| {
            !epoch.is_empty()
                && text.len() <= 256
                && epoch.bytes().all(|byte| byte.is_ascii_graphic())
                && seq.parse::<u64>().is_ok()
        });
        whole.map(|_| Self(text.to_owned())).ok_or(CursorError)
    }
}

impl fmt::Display for Cursor {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(&self.0)
    }
}

/// A text that is no [`Cursor`].
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("a cursor is EPOCH-SEQ, as the server says it")]
pub struct CursorError;

/// What a reader was told, and from where to go on.
#[derive(Debug)]
struct Told {
    cursor: Option<Cursor>,
    /// Something was told that a new snapshot makes worthless.
    something: bool,
}

#[derive(Deserialize)]
struct Here {
    #[serde(with = "pulltrace_core::wire::time")]
    now: NodeTime,
}

impl Told {
    fn new(start: Start) -> Self {
        let cursor = match start {
            Start::Snapshot => None,
            Start::After(cursor) => Some(cursor),
        };
        Self {
            something: cursor.is_some(),
            cursor,
        }
    }

    /// A connection stands: what comes is either what follows, or a snapshot.
    fn connected(&mut self) -> Option<Followed> {
        // The server says no reset to one that does not say where it was.
        (self.cursor.is_none() && std::mem::take(&mut self.something)).then_some(Followed::Reset)
    }

    fn event(&mut self, name: &str, id: Option<&str>, data: &str) -> Option<Followed> {
        if name == "reset" {
            *self = Self::new(Start::Snapshot);
            return Some(Followed::Reset);
        }
        if let Some(cursor) = id.and_then(|id| id.parse().ok()) {
            self.cursor = Some(cursor);
        }
        let place = |cursor: &Option<Cursor>| {
            let here: Here = serde_json::from_str(data)?;
            let place = cursor.clone().map(|cursor| Place {
                cursor,
                now: here.now,
            });
            Ok::<_, serde_json::Error>(place)
        };
        let said = match name {
            "" | "message" if data.is_empty() => return None,
            "" | "message" => {
                self.something = true;
                serde_json::from_str(data).map(|event| Some(Followed::Event(Box::new(event))))
            }
            "snapshot-end" => {
                self.something = true;
                place(&self.cursor).map(|place| place.map(Followed::SnapshotEnd))
            }
            "ping" => place(&self.cursor).map(|place| place.map(Followed::Ping)),
            // Of a later version.
            _ => return None,
        };
        said.unwrap_or_else(|error| Some(Followed::NotUnderstood(error.into())))
    }
}

pub(crate) fn follow(
    client: Client,
    filter: &Filter,
    start: Start,
) -> impl Stream<Item = Result<Followed, FollowError>> + Send + 'static + use<> {
    let url = client
        .http
        .url(&["api", "v1", "events"], &filter.of_stream());
    async_stream::stream! {
        let mut told = Told::new(start);
        let mut backoff = client.backoff();
        loop {
            let last = told.cursor.as_ref().map(|cursor| cursor.0.as_str());
            let error = match client.http.stream(url.clone(), last).await {
                Err(error) => Some(error),
                Ok(mut response) => {
                    if let Some(reset) = told.connected() {
                        yield Ok(reset);
                    }
                    let mut parser = Parser::default();
                    loop {
                        let chunk = match client.http.chunk(&mut response, client.silence).await {
                            Ok(Some(chunk)) => chunk,
                            Ok(None) => break None,
                            Err(error) => break Some(error),
                        };
                        for said in parser.feed(chunk.as_ref()) {
                            let said = match said {
                                Sse::Retry(first) => {
                                    backoff.asked(first);
                                    None
                                }
                                Sse::TooLong => Some(Followed::NotUnderstood(NotUnderstood::TooLong)),
                                Sse::Event { name, id, data } => {
                                    backoff.worked();
                                    told.event(&name, id.as_deref(), &data)
                                }
                            };
                            if let Some(said) = said {
                                yield Ok(said);
                            }
                        }
                    }
                }
            };
            let error = error.unwrap_or_else(|| client.http.ended());
            if !error.is_transient() {
                yield Err(error.into());
                return;
            }
            let retry_in = backoff.failed(error.retry_after(), random());
            yield Ok(Followed::Away { error, retry_in });
            tokio::time::sleep(retry_in).await;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const PING: &str = r#"{"seq":9,"now":"2026-11-24T20:00:00Z","later":1}"#;
    const EVENT: &str = r#"{"schemaVersion":"v1","timestamp":"2026-11-24T20:00:00Z",
        "type":"pull.dreaming","nodeName":"w1","later":1}"#;

    fn cursor(told: &Told) -> Option<&str> {
        told.cursor.as_ref().map(|cursor| cursor.0.as_str())
    }

    #[test]
    fn a_snapshot_that_was_cut_off_is_worth_nothing() {
        let mut told = Told::new(Start::Snapshot);
        assert!(told.connected().is_none(), "nothing was told yet");
        assert!(matches!(
            told.event("", None, EVENT),
            Some(Followed::Event(_))
        ));
        assert_eq!(cursor(&told), None, "the rows of a snapshot have no place");
        assert!(matches!(told.connected(), Some(Followed::Reset)));
        assert!(told.connected().is_none(), "once");
    }

    #[test]
    fn after_the_snapshot_it_goes_on_from_where_it_was() {
        let mut told = Told::new(Start::Snapshot);
        let end = told.event("snapshot-end", Some("e-8"), PING);
        assert!(matches!(end, Some(Followed::SnapshotEnd(_))));
        let ping = told.event("ping", Some("e-9"), PING);
        assert!(matches!(ping, Some(Followed::Ping(place)) if place.cursor.0 == "e-9"));
        drop(told.event("", Some("e-10"), EVENT));
        assert!(told.connected().is_none());
        assert_eq!(cursor(&told), Some("e-10"));
    }

    #[test]
    fn a_reset_forgets_the_place() {
        let mut told = Told::new(Start::After("e-8".parse().unwrap()));
        assert!(told.connected().is_none());
        let reset = told.event("reset", None, r#"{"reason":"other_epoch"}"#);
        assert!(matches!(reset, Some(Followed::Reset)));
        assert_eq!(cursor(&told), None);
    }

    #[test]
    fn what_is_not_understood_is_said_and_what_is_new_is_passed_over() {
        let mut told = Told::new(Start::Snapshot);
        let odd = told.event("", Some("e-3"), "{}");
        assert!(matches!(odd, Some(Followed::NotUnderstood(_))));
        assert_eq!(cursor(&told), Some("e-3"), "it is behind us all the same");
        assert!(told.event("dream", Some("e-4"), "{}").is_none());
        assert_eq!(cursor(&told), Some("e-4"));
        let odd = told.event("ping", Some("no place"), "[]");
        assert!(matches!(odd, Some(Followed::NotUnderstood(_))));
        assert_eq!(cursor(&told), Some("e-4"));
    }

    #[test]
    fn a_cursor_is_what_a_server_says() {
        for good in ["e-0", "a-b-18446744073709551615"] {
            assert_eq!(good.parse::<Cursor>().unwrap().to_string(), good);
        }
        for bad in [
            "",
            "e",
            "-1",
            "e-",
            "e-x",
            "e\n-1",
            &format!("{}-1", "x".repeat(300)),
        ] {
            assert_eq!(bad.parse::<Cursor>(), Err(CursorError));
        }
    }
}
