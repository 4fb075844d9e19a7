//! A source that replays a recording through the tracker, so that a replay also tests the tracker's
//! rules.

use std::io::BufRead;
use std::time::Duration;

use pulltrace_core::Mono;
use tokio::time::sleep;
use tracing::warn;

use super::input::Input;
use super::recording::{Header, Line, Recording, RecordingError};
use super::tracker::Tracker;
use crate::clock::Clock;
use crate::source::{Batch, PullSource, SourceError};

/// The speed of a replay.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Speed(Option<f64>);

impl Speed {
    /// The original speed.
    pub const REAL: Self = Self(Some(1.0));

    /// As fast as possible.
    pub const FASTEST: Self = Self(None);

    /// A multiple of the original speed; `None` unless the factor is positive and finite.
    #[must_use]
    pub fn times(factor: f64) -> Option<Self> {
        (factor.is_finite() && factor > 0.0).then_some(Self(Some(factor)))
    }

    /// Converts the time since the first recorded line to the time since the start of the replay.
    fn playback_offset(self, recorded: Duration) -> Duration {
        match self.0 {
            Some(factor) => Duration::try_from_secs_f64(recorded.as_secs_f64() / factor)
                .unwrap_or(Duration::MAX),
            None => Duration::ZERO,
        }
    }
}

/// A source that replays a recording. Batches carry the recorded time.
///
/// It ends after the last complete line. [`Replay::is_truncated`] is then true if an incomplete
/// one follows.
#[derive(Debug)]
pub struct Replay<R> {
    recording: Recording<R>,
    tracker: Tracker,
    speed: Speed,
    clock: Clock,
    start: Option<ReplayStart>,
    /// The line that was read and waits for its time.
    pending: Option<Line>,
    truncated: bool,
    sync: SyncState,
}

/// The start of a replay.
#[derive(Clone, Copy, Debug)]
struct ReplayStart {
    /// When the first line was recorded.
    recorded: Mono,
    /// When it was replayed.
    replayed: Mono,
}

/// Progress of the initial sync after a connection.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum SyncState {
    /// No poll yet.
    AwaitingPoll,
    /// One poll; its queries are being answered.
    AwaitingAnswers,
    /// All queries of the first poll are answered.
    Synced,
}

impl SyncState {
    fn next(self, input: &Input) -> Self {
        match (self, input) {
            (_, Input::Lost { .. } | Input::Connected(_)) => Self::AwaitingPoll,
            (Self::AwaitingPoll, Input::Poll(_)) => Self::AwaitingAnswers,
            (Self::AwaitingAnswers, Input::Poll(_) | Input::Event(_)) => Self::Synced,
            (now, _) => now,
        }
    }
}

impl<R: BufRead> Replay<R> {
    /// Opens a recording. The replay starts with the first call of `next`.
    ///
    /// # Errors
    /// Returns an error if the first line is not a valid header or has a newer version.
    pub fn new(input: R, speed: Speed) -> Result<Self, RecordingError> {
        let recording = Recording::open(input)?;
        let header = recording.header();
        let tracker = Tracker::new(header.node.clone(), header.namespace.clone());
        Ok(Self {
            recording,
            tracker,
            speed,
            clock: Clock::system(),
            start: None,
            pending: None,
            truncated: false,
            sync: SyncState::AwaitingPoll,
        })
    }

    /// Returns the header of the recording.
    #[must_use]
    pub fn header(&self) -> &Header {
        self.recording.header()
    }

    /// Returns whether the last line is incomplete. Known once the replay has ended.
    #[must_use]
    pub fn is_truncated(&self) -> bool {
        self.truncated
    }

    /// Reads the next line into `self.pending`, where it survives if the future is dropped during
    /// the wait.
    fn read_line(&mut self) -> Result<bool, RecordingError> {
        if self.pending.is_some() {
            return Ok(true);
        }
        match self.recording.next() {
            Some(Ok(line)) => self.pending = Some(line),
            None => return Ok(false),
            Some(Err(error @ RecordingError::Truncated { .. })) => {
                warn!("{error}");
                self.truncated = true;
                return Ok(false);
            }
            Some(Err(error)) => return Err(error),
        }
        Ok(true)
    }
}

impl<R: BufRead + Send> PullSource for Replay<R> {
    async fn next(&mut self) -> Result<Option<Batch>, SourceError> {
        loop {
            let read = self.read_line();
            if !read.map_err(|error| SourceError::Recording(error.into()))? {
                return Ok(None);
            }
            if let Some(line) = &self.pending {
                let recorded = line.now.mono;
                let now = self.clock.now().mono;
                let start = self.start.get_or_insert(ReplayStart { recorded, replayed: now });
                let at =
                    start.replayed + self.speed.playback_offset(recorded.since(start.recorded));
                // Also without a delay, so that other tasks can run.
                sleep(at.since(now)).await;
            }
            let Some(Line { now, input }) = self.pending.take() else {
                continue;
            };
            // The answers to the tracker's queries are part of the recording.
            let step = self.tracker.step(&input, now);
            self.sync = self.sync.next(&input);
            if matches!(input, Input::Poll(_))
                || !step.observations.is_empty()
                || !step.anomalies.is_empty()
            {
                let mut batch = Batch::new(now, step.observations);
                batch.anomalies = step.anomalies;
                batch.partial = self.sync != SyncState::Synced;
                return Ok(Some(batch));
            }
        }
    }
}
