//! A recording, played through the tracker as if it happened now: a replay tests the rules too.

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

/// How fast a recording is played.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Speed(Option<f64>);

impl Speed {
    /// As it was recorded.
    pub const REAL: Self = Self(Some(1.0));

    /// Without any wait.
    pub const FASTEST: Self = Self(None);

    /// This many times as fast as it was recorded; `None` where the number is not positive and finite.
    #[must_use]
    pub fn times(factor: f64) -> Option<Self> {
        (factor.is_finite() && factor > 0.0).then_some(Self(Some(factor)))
    }

    /// When something comes that was recorded this long after the beginning.
    fn after(self, recorded: Duration) -> Duration {
        match self.0 {
            Some(factor) => Duration::try_from_secs_f64(recorded.as_secs_f64() / factor)
                .unwrap_or(Duration::MAX),
            None => Duration::ZERO,
        }
    }
}

/// A source that plays a recording. Each batch bears the time of the recording, not that of its playing.
///
/// It is over after the last whole line; whether a torn one follows, [`Replay::is_torn`] tells then.
#[derive(Debug)]
pub struct Replay<R> {
    recording: Recording<R>,
    tracker: Tracker,
    speed: Speed,
    clock: Clock,
    /// When the first line was recorded, and when it was played.
    begin: Option<(Mono, Mono)>,
    /// Was read, and waits for its time.
    next: Option<Line>,
    torn: bool,
    beginning: Beginning,
}

/// How far the tracker has come in learning what goes on.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Beginning {
    /// It was told of no poll yet.
    Nothing,
    /// It was told of one, and is being told the answers to what that brought up.
    Answers,
    /// It was told all.
    Over,
}

impl Beginning {
    fn after(self, input: &Input) -> Self {
        match (self, input) {
            (_, Input::Lost { .. } | Input::Connected(_)) => Self::Nothing,
            (Self::Nothing, Input::Poll(_)) => Self::Answers,
            (Self::Answers, Input::Poll(_) | Input::Event(_)) => Self::Over,
            (now, _) => now,
        }
    }
}

impl<R: BufRead> Replay<R> {
    /// Plays a recording from its first line on, once it is asked for the first batch.
    ///
    /// # Errors
    /// Where the first line is not that of a recording, or that of a newer version.
    pub fn new(input: R, speed: Speed) -> Result<Self, RecordingError> {
        let recording = Recording::open(input)?;
        let header = recording.header();
        let tracker = Tracker::new(header.node.clone(), header.namespace.clone());
        Ok(Self {
            recording,
            tracker,
            speed,
            clock: Clock::system(),
            begin: None,
            next: None,
            torn: false,
            beginning: Beginning::Nothing,
        })
    }

    /// What the first line says.
    #[must_use]
    pub fn header(&self) -> &Header {
        self.recording.header()
    }

    /// Whether the last line was cut off. Known once the replay is over.
    #[must_use]
    pub fn is_torn(&self) -> bool {
        self.torn
    }

    /// The next line into `self.next`, where it stays if the wait for its time is given up.
    fn read(&mut self) -> Result<bool, RecordingError> {
        if self.next.is_some() {
            return Ok(true);
        }
        match self.recording.next() {
            Some(Ok(line)) => self.next = Some(line),
            None => return Ok(false),
            Some(Err(error @ RecordingError::Torn { .. })) => {
                warn!("{error}");
                self.torn = true;
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
            let read = self.read();
            if !read.map_err(|error| SourceError::Recording(error.into()))? {
                return Ok(None);
            }
            if let Some(line) = &self.next {
                let recorded = line.now.mono;
                let now = self.clock.now().mono;
                let (first, started) = *self.begin.get_or_insert((recorded, now));
                let at = started + self.speed.after(recorded.since(first));
                // Also where the wait is nothing, so that others have their turn.
                sleep(at.since(now)).await;
            }
            let Some(Line { now, input }) = self.next.take() else {
                continue;
            };
            // The answers to what the tracker asks are in the recording.
            let step = self.tracker.step(&input, now);
            self.beginning = self.beginning.after(&input);
            if matches!(input, Input::Poll(_))
                || !step.observations.is_empty()
                || !step.anomalies.is_empty()
            {
                let mut batch = Batch::new(now, step.observations);
                batch.anomalies = step.anomalies;
                batch.partial = self.beginning != Beginning::Over;
                return Ok(Some(batch));
            }
        }
    }
}
