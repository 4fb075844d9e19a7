//! Recordings: the tracker's inputs as JSON lines.
//!
//! The first line is the header. Every other line contains an [`Input`] and its time on both
//! clocks:
//!
//! ```json
//! {"pulltrace_recording":1,"containerd":"1.6.20","node":"worker-1","namespace":"k8s.io","started":"2026-11-24T20:29:40Z"}
//! {"mono_ns":1500000,"at":"2026-11-24T20:29:40.5Z","input":{"input":"poll","ingests":[],"leases":[]}}
//! ```
//!
//! Changing the meaning of a line requires a new version. Readers reject newer versions and ignore
//! unknown members.

use std::io::{self, BufRead, Read as _, Write};
use std::time::Duration;

use pulltrace_core::{Mono, Namespace, NodeName, NodeTime, Now};
use serde::{Deserialize, Serialize};

use super::input::Input;

/// The version that is written, and the newest that is read.
pub const VERSION: u32 = 1;

/// The maximum length of a line in bytes: the largest document with every byte escaped, and space
/// for the rest.
pub const MAX_LINE: usize = 32 << 20;

/// The default size limit of a recording in bytes: several days of a busy node.
pub const DEFAULT_LIMIT: u64 = 1 << 30;

/// The first line of a recording.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Header {
    /// The version of containerd, if the first input contains it.
    pub containerd: Option<String>,
    /// The node.
    pub node: NodeName,
    /// The containerd namespace.
    pub namespace: Namespace,
    /// Time of the first input.
    pub started: NodeTime,
}

/// An input and its time.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Line {
    /// Time of the input.
    pub now: Now,
    /// The input.
    pub input: Input,
}

/// A failure to write a line of a recording. A retry does not help.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum RecorderError {
    /// The writer failed.
    #[error("failed to write the recording")]
    Write(#[source] io::Error),
    /// The recording reached its size limit. It is complete up to here; later inputs are rejected.
    #[error("recording reached its size limit of {0} bytes")]
    Full(u64),
    /// The line is longer than [`MAX_LINE`]. Only this line is skipped.
    #[error("skipped a line of {0} bytes in the recording: limit {MAX_LINE}")]
    TooLong(usize),
}

/// A failure to read a recording. A retry does not help.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum RecordingError {
    /// The reader failed.
    #[error("failed to read line {line} of the recording")]
    Read {
        /// The line number, from 1.
        line: u64,
        /// The I/O error.
        #[source]
        source: io::Error,
    },
    /// The first line is not the header of a recording.
    #[error("not a recording: invalid header in the first line")]
    NotARecording,
    /// The recording has a newer version.
    #[error("unsupported recording version {version} (supported: up to version {VERSION})")]
    UnsupportedVersion {
        /// The version of the recording.
        version: u64,
    },
    /// The last line is incomplete because the writer was interrupted. All earlier lines were read.
    #[error("line {line} of the recording is truncated; all lines before it were read")]
    Truncated {
        /// The line number, from 1.
        line: u64,
    },
    /// The line is invalid.
    #[error("line {line} of the recording is invalid: {reason}")]
    InvalidLine {
        /// The line number, from 1.
        line: u64,
        /// The problem.
        reason: String,
    },
    /// The line is longer than [`MAX_LINE`].
    #[error("line {line} of the recording is longer than {MAX_LINE} bytes")]
    TooLong {
        /// The line number, from 1.
        line: u64,
    },
}

impl RecordingError {
    /// Returns advice for the user.
    #[must_use]
    pub const fn help(&self) -> Option<&'static str> {
        match self {
            Self::UnsupportedVersion { .. } => Some("Use a newer version of pulltrace."),
            _ => None,
        }
    }
}

#[derive(Deserialize)]
struct RawVersion {
    pulltrace_recording: Option<u64>,
}

#[derive(Serialize, Deserialize)]
struct RawHeader {
    pulltrace_recording: u32,
    containerd: Option<String>,
    node: String,
    namespace: String,
    started: String,
}

#[derive(Serialize)]
struct LineOut<'a> {
    mono_ns: u64,
    at: String,
    input: &'a Input,
}

#[derive(Deserialize)]
struct LineIn {
    mono_ns: u64,
    at: String,
    input: Input,
}

/// Writes a recording. Each line is flushed, so the recording is readable after a crash.
#[derive(Debug)]
pub struct Recorder<W> {
    out: W,
    node: NodeName,
    namespace: Namespace,
    limit: u64,
    bytes: u64,
    inputs: u64,
    full: bool,
}

impl<W: Write> Recorder<W> {
    /// Creates a recorder. The header is written with the first input.
    pub fn new(out: W, node: NodeName, namespace: Namespace) -> Self {
        Self { out, node, namespace, limit: DEFAULT_LIMIT, bytes: 0, inputs: 0, full: false }
    }

    /// Sets the size limit in bytes. Default: [`DEFAULT_LIMIT`].
    #[must_use]
    pub fn limit(self, bytes: u64) -> Self {
        Self { limit: bytes, ..self }
    }

    /// Returns the number of inputs written.
    #[must_use]
    pub fn inputs(&self) -> u64 {
        self.inputs
    }

    /// Returns the number of bytes written.
    #[must_use]
    pub fn bytes(&self) -> u64 {
        self.bytes
    }

    /// Writes an input.
    ///
    /// # Errors
    /// Returns an error if the writer fails, if the recording is full (and for every later input),
    /// or if the line is too long (only this one is skipped).
    pub fn write(&mut self, now: Now, input: &Input) -> Result<(), RecorderError> {
        if self.inputs == 0 {
            let containerd = match input {
                Input::Connected(server) => Some(server.version.clone()),
                _ => None,
            };
            self.write_line(&RawHeader {
                pulltrace_recording: VERSION,
                containerd,
                node: self.node.to_string(),
                namespace: self.namespace.to_string(),
                started: now.node.to_string(),
            })?;
        }
        let mono_ns = u64::try_from(now.mono.0.as_nanos()).unwrap_or(u64::MAX);
        self.write_line(&LineOut { mono_ns, at: now.node.to_string(), input })?;
        self.inputs += 1;
        Ok(())
    }

    fn write_line(&mut self, line: &impl Serialize) -> Result<(), RecorderError> {
        let mut text =
            serde_json::to_vec(line).map_err(|e| RecorderError::Write(io::Error::other(e)))?;
        text.push(b'\n');
        if text.len() > MAX_LINE {
            return Err(RecorderError::TooLong(text.len()));
        }
        let bytes = self.bytes.saturating_add(text.len() as u64);
        self.full |= bytes > self.limit;
        if self.full {
            return Err(RecorderError::Full(self.limit));
        }
        self.out.write_all(&text).map_err(RecorderError::Write)?;
        self.out.flush().map_err(RecorderError::Write)?;
        self.bytes = bytes;
        Ok(())
    }
}

/// Reads a recording line by line. Ends after the first error.
#[derive(Debug)]
pub struct Recording<R> {
    input: R,
    header: Header,
    /// The number of lines read.
    line: u64,
    last: Mono,
    finished: bool,
}

impl<R: BufRead> Recording<R> {
    /// Reads the header.
    ///
    /// # Errors
    /// Returns an error if the first line is not a valid header or has a newer version.
    pub fn open(mut input: R) -> Result<Self, RecordingError> {
        let RawLine { text, is_complete } =
            read_line(&mut input, 1)?.ok_or(RecordingError::NotARecording)?;
        // serde would also accept an array.
        if !text.starts_with(b"{") {
            return Err(RecordingError::NotARecording);
        }
        let version = match serde_json::from_slice::<RawVersion>(&text) {
            Ok(RawVersion { pulltrace_recording: Some(version) }) => version,
            // The header was cut off.
            Err(error)
                if error.is_eof()
                    && !is_complete
                    && text.starts_with(b"{\"pulltrace_recording\"") =>
            {
                return Err(RecordingError::Truncated { line: 1 });
            }
            Ok(_) | Err(_) => return Err(RecordingError::NotARecording),
        };
        if version > u64::from(VERSION) {
            return Err(RecordingError::UnsupportedVersion { version });
        }
        let raw: RawHeader = serde_json::from_slice(&text).map_err(|e| invalid_line(1, &e))?;
        let header = Header {
            containerd: raw.containerd,
            node: raw.node.parse().map_err(|e| invalid_line(1, &e))?,
            namespace: raw.namespace.parse().map_err(|e| invalid_line(1, &e))?,
            started: raw.started.parse().map_err(|e| invalid_line(1, &e))?,
        };
        Ok(Self { input, header, line: 1, last: Mono::default(), finished: false })
    }

    /// Returns the header.
    #[must_use]
    pub fn header(&self) -> &Header {
        &self.header
    }

    fn read_next(&mut self) -> Result<Option<Line>, RecordingError> {
        let number = self.line + 1;
        let Some(RawLine { text, is_complete }) = read_line(&mut self.input, number)? else {
            return Ok(None);
        };
        self.line = number;
        let raw: LineIn = match serde_json::from_slice(&text) {
            Ok(raw) => raw,
            Err(_) if !is_complete => return Err(RecordingError::Truncated { line: number }),
            Err(error) => return Err(invalid_line(number, &error)),
        };
        let mono = Mono(Duration::from_nanos(raw.mono_ns));
        if mono < self.last {
            return Err(invalid_line(
                number,
                &"its time is earlier than that of the previous line",
            ));
        }
        self.last = mono;
        let node = raw.at.parse().map_err(|e| invalid_line(number, &e))?;
        Ok(Some(Line { now: Now { mono, node }, input: raw.input }))
    }
}

impl<R: BufRead> Iterator for Recording<R> {
    type Item = Result<Line, RecordingError>;

    fn next(&mut self) -> Option<Self::Item> {
        if self.finished {
            return None;
        }
        let line = self.read_next().transpose();
        self.finished = !matches!(line, Some(Ok(_)));
        line
    }
}

struct RawLine {
    /// Without the newline.
    text: Vec<u8>,
    /// True if the line ends with a newline.
    is_complete: bool,
}

/// Returns the next line; `None` at the end of the input.
fn read_line(input: &mut impl BufRead, number: u64) -> Result<Option<RawLine>, RecordingError> {
    let mut text = Vec::new();
    let read = input.take(MAX_LINE as u64 + 1).read_until(b'\n', &mut text);
    read.map_err(|source| RecordingError::Read { line: number, source })?;
    if text.is_empty() {
        return Ok(None);
    }
    let is_complete = text.last() == Some(&b'\n');
    if is_complete {
        text.pop();
    } else if text.len() > MAX_LINE {
        return Err(RecordingError::TooLong { line: number });
    }
    Ok(Some(RawLine { text, is_complete }))
}

fn invalid_line(line: u64, reason: &impl std::fmt::Display) -> RecordingError {
    let reason = reason.to_string().chars().take(200).collect();
    RecordingError::InvalidLine { line, reason }
}

#[cfg(test)]
mod tests;
