//! The stream of changes, across disconnects and restarts.

use std::fmt;
use std::str::FromStr;
use std::time::Duration;

use futures_util::Stream;
use pulltrace_core::NodeTime;
use pulltrace_core::wire::v1::{PullEvent, PullList};
use serde::Deserialize;

use crate::client::Client;
use crate::error::{EventError, FollowError, RequestError};
use crate::filter::Filter;
use crate::stream::{self, Follower};

/// A position in the server's changes: `<epoch>-<seq>`.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Cursor(String);

/// The start of a stream.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub enum Start {
    /// The current state: each live pull as a started event, then [`FollowEvent::SnapshotEnd`].
    #[default]
    Snapshot,
    /// The changes after this position, if the server still has them; otherwise
    /// [`FollowEvent::Reset`] and a snapshot.
    After(Cursor),
}

/// An item of a stream.
#[derive(Debug)]
#[non_exhaustive]
pub enum FollowEvent {
    /// A change of a pull, or a pull of the snapshot.
    Event(Box<PullEvent>),
    /// The snapshot is complete. It does not contain pulls that have ended; [`Client::pulls`]
    /// returns them.
    SnapshotEnd(Position),
    /// Discard all state: a new snapshot follows.
    Reset,
    /// There were no changes up to this position.
    Ping(Position),
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

/// The position of a reader.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Position {
    /// The cursor; another stream can start there.
    pub cursor: Cursor,
    /// The server's clock.
    pub now: NodeTime,
}

impl Start {
    /// Starts after the position of the list.
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

/// An invalid [`Cursor`]. A retry does not help.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("invalid cursor: expected EPOCH-SEQ, as sent by the server")]
pub struct CursorError;

/// The position to resume from.
#[derive(Debug)]
struct ResumePoint {
    cursor: Option<Cursor>,
    /// True if anything was delivered that a new snapshot invalidates.
    delivered_any: bool,
}

#[derive(Deserialize)]
struct PositionData {
    now: NodeTime,
}

impl ResumePoint {
    fn new(start: Start) -> Self {
        let cursor = match start {
            Start::Snapshot => None,
            Start::After(cursor) => Some(cursor),
        };
        Self { delivered_any: cursor.is_some(), cursor }
    }
}

impl Follower for ResumePoint {
    type Item = FollowEvent;

    fn last_event_id(&self) -> Option<&str> {
        self.cursor.as_ref().map(|cursor| cursor.0.as_str())
    }

    /// The stream either resumes or starts with a snapshot.
    fn on_connected(&mut self) -> Option<FollowEvent> {
        // The server sends no reset to a client without a cursor.
        (self.cursor.is_none() && std::mem::take(&mut self.delivered_any))
            .then_some(FollowEvent::Reset)
    }

    fn on_event(
        &mut self,
        name: &str,
        id: Option<&str>,
        data: &str,
    ) -> Result<Option<FollowEvent>, serde_json::Error> {
        if name == "reset" {
            *self = Self::new(Start::Snapshot);
            return Ok(Some(FollowEvent::Reset));
        }
        if let Some(cursor) = id.and_then(|id| id.parse().ok()) {
            self.cursor = Some(cursor);
        }
        let position = |cursor: &Option<Cursor>| {
            let here: PositionData = serde_json::from_str(data)?;
            Ok(cursor.clone().map(|cursor| Position { cursor, now: here.now }))
        };
        match name {
            "" | "message" if data.is_empty() => Ok(None),
            "" | "message" => {
                self.delivered_any = true;
                serde_json::from_str(data).map(|event| Some(FollowEvent::Event(Box::new(event))))
            }
            "snapshot-end" => {
                self.delivered_any = true;
                position(&self.cursor).map(|place| place.map(FollowEvent::SnapshotEnd))
            }
            "ping" => position(&self.cursor).map(|place| place.map(FollowEvent::Ping)),
            // Sent by a later version.
            _ => Ok(None),
        }
    }

    fn skipped(error: EventError) -> FollowEvent {
        FollowEvent::Skipped(error)
    }

    fn disconnected(error: RequestError, retry_in: Duration) -> FollowEvent {
        FollowEvent::Disconnected { error, retry_in }
    }
}

impl Client {
    /// Streams the changes of the pulls that match the filter.
    ///
    /// The stream reconnects after disconnects and server restarts. It resumes where it was if the
    /// server still has the changes since then; otherwise it yields [`FollowEvent::Reset`] and a
    /// new snapshot. The delay before a reconnect is 1 s, or the server's retry time, and doubles
    /// with each failure up to 30 s; half of it is random. A server that is silent for 20 s is
    /// considered disconnected. Events are not buffered while the stream is not polled.
    ///
    /// The stream ends after an error, which no retry can fix.
    pub fn follow(
        &self,
        filter: &Filter,
        start: Start,
    ) -> impl Stream<Item = Result<FollowEvent, FollowError>> + Send + 'static + use<> {
        let url = self.http.url(&["api", "v1", "events"], &filter.stream_query());
        stream::follow(self.clone(), url, ResumePoint::new(start))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const PING: &str = r#"{"seq":9,"now":"2026-11-24T20:00:00Z","later":1}"#;
    const EVENT: &str = r#"{"schemaVersion":"v1","timestamp":"2026-11-24T20:00:00Z",
        "type":"pull.dreaming","nodeName":"w1","later":1}"#;

    #[test]
    fn interrupted_snapshot_causes_reset() {
        let mut resume = ResumePoint::new(Start::Snapshot);
        assert!(resume.on_connected().is_none(), "no events were delivered yet");
        let event = resume.on_event("", None, EVENT).unwrap();
        assert!(matches!(event, Some(FollowEvent::Event(_))));
        assert_eq!(resume.last_event_id(), None, "the events of a snapshot have no cursor");
        assert!(matches!(resume.on_connected(), Some(FollowEvent::Reset)));
        assert!(resume.on_connected().is_none(), "once");
    }

    #[test]
    fn cursor_advances_after_snapshot() {
        let mut resume = ResumePoint::new(Start::Snapshot);
        let end = resume.on_event("snapshot-end", Some("e-8"), PING).unwrap();
        assert!(matches!(end, Some(FollowEvent::SnapshotEnd(_))));
        let ping = resume.on_event("ping", Some("e-9"), PING).unwrap();
        assert!(matches!(ping, Some(FollowEvent::Ping(place)) if place.cursor.0 == "e-9"));
        resume.on_event("", Some("e-10"), EVENT).unwrap();
        assert!(resume.on_connected().is_none());
        assert_eq!(resume.last_event_id(), Some("e-10"));
    }

    #[test]
    fn reset_clears_cursor() {
        let mut resume = ResumePoint::new(Start::After("e-8".parse().unwrap()));
        assert!(resume.on_connected().is_none());
        let reset = resume.on_event("reset", None, r#"{"reason":"other_epoch"}"#).unwrap();
        assert!(matches!(reset, Some(FollowEvent::Reset)));
        assert_eq!(resume.last_event_id(), None);
    }

    #[test]
    fn invalid_event_is_reported_and_unknown_ignored() {
        let mut resume = ResumePoint::new(Start::Snapshot);
        assert!(resume.on_event("", Some("e-3"), "{}").is_err());
        assert_eq!(resume.last_event_id(), Some("e-3"), "an invalid event advances the cursor too");
        assert!(resume.on_event("dream", Some("e-4"), "{}").unwrap().is_none());
        assert_eq!(resume.last_event_id(), Some("e-4"));
        assert!(resume.on_event("ping", Some("no place"), "[]").is_err());
        assert_eq!(resume.last_event_id(), Some("e-4"));
    }

    #[test]
    fn cursor_parses_only_epoch_and_sequence() {
        for good in ["e-0", "a-b-18446744073709551615"] {
            assert_eq!(good.parse::<Cursor>().unwrap().to_string(), good);
        }
        for bad in ["", "e", "-1", "e-", "e-x", "e\n-1", &format!("{}-1", "x".repeat(300))] {
            assert_eq!(bad.parse::<Cursor>(), Err(CursorError));
        }
    }
}
