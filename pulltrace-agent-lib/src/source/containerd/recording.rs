//! What the tracker was told, as lines of JSON: written while it happens, and read to replay it.
//!
//! The first line says what this is; each other line is one [`Input`] and the moment on both clocks:
//!
//! ```json
//! {"pulltrace_recording":1,"containerd":"1.6.20","node":"worker-1","namespace":"k8s.io","started":"2026-11-24T20:29:40Z"}
//! {"mono_ns":1500000,"at":"2026-11-24T20:29:40.5Z","input":{"input":"poll","ingests":[],"leases":[]}}
//! ```
//!
//! A change of a line's meaning is a new version, and a reader refuses a version that it does not know. A
//! member that it does not know it leaves alone.

use std::io::{self, BufRead, Read as _, Write};
use std::time::Duration;

use pulltrace_core::{Mono, Namespace, NodeName, NodeTime, Now};
use serde::{Deserialize, Serialize};

use super::input::Input;

/// The version that is written, and the newest that is read.
pub const VERSION: u32 = 1;

/// The longest line, in bytes: the largest document there may be, each byte escaped, and room for the rest.
pub const MAX_LINE: usize = 32 << 20;

/// The largest recording, in bytes, where nobody says otherwise: days of a busy node.
pub const DEFAULT_LIMIT: u64 = 1 << 30;

/// What the first line says.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Header {
    /// The version of containerd, where the first input told it.
    pub containerd: Option<String>,
    /// The node that was watched.
    pub node: NodeName,
    /// The containerd namespace that was watched.
    pub namespace: Namespace,
    /// When the first input came.
    pub started: NodeTime,
}

/// One input, and when it came.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Line {
    /// When the tracker was told.
    pub now: Now,
    /// What it was told.
    pub input: Input,
}

/// A line that was not written.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum RecordError {
    /// The writer failed.
    #[error("cannot write the recording")]
    Write(#[source] io::Error),
    /// The recording has reached its limit; it is whole, and nothing more is written.
    #[error("the recording has reached its limit of {0} bytes")]
    Full(u64),
    /// One line is longer than [`MAX_LINE`]; it is left out, and those after it are written.
    #[error("a line of {0} bytes is left out of the recording, more than {MAX_LINE}")]
    TooLong(usize),
}

/// A recording that cannot be read, or not to its end.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum RecordingError {
    /// The reader failed.
    #[error("cannot read line {line} of the recording")]
    Read {
        /// The line, from 1.
        line: u64,
        /// What failed.
        #[source]
        source: io::Error,
    },
    /// The first line is not that of a recording.
    #[error("no recording: the first line does not say what it is")]
    NotARecording,
    /// Written by a newer program.
    #[error(
        "a recording of version {version}, and this program reads up to version {VERSION}: use a newer one"
    )]
    Newer {
        /// The version that the first line names.
        version: u64,
    },
    /// The last line is not whole: whoever wrote it was stopped. All before it is good.
    #[error("line {line}, the last of the recording, is cut off; everything before it was read")]
    Torn {
        /// The line, from 1.
        line: u64,
    },
    /// A line that is none.
    #[error("line {line} of the recording makes no sense: {reason}")]
    Line {
        /// The line, from 1.
        line: u64,
        /// What is wrong with it.
        reason: String,
    },
    /// A line that is longer than [`MAX_LINE`].
    #[error("line {line} of the recording is longer than {MAX_LINE} bytes")]
    TooLong {
        /// The line, from 1.
        line: u64,
    },
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

/// Writes a recording, and flushes after each line: what was written can be read whatever comes then.
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
    /// A recording of this node and namespace. Nothing is written before the first input.
    pub fn new(out: W, node: NodeName, namespace: Namespace) -> Self {
        Self {
            out,
            node,
            namespace,
            limit: DEFAULT_LIMIT,
            bytes: 0,
            inputs: 0,
            full: false,
        }
    }

    /// Ends the recording before it grows beyond `bytes`, instead of [`DEFAULT_LIMIT`].
    #[must_use]
    pub fn limit(self, bytes: u64) -> Self {
        Self {
            limit: bytes,
            ..self
        }
    }

    /// How many inputs were written.
    #[must_use]
    pub fn inputs(&self) -> u64 {
        self.inputs
    }

    /// How many bytes were written.
    #[must_use]
    pub fn bytes(&self) -> u64 {
        self.bytes
    }

    /// Writes one input.
    ///
    /// # Errors
    /// Where the writer fails, the recording is full (then every later input fails too), or the line is too
    /// long (then only this one is left out).
    pub fn write(&mut self, now: Now, input: &Input) -> Result<(), RecordError> {
        if self.inputs == 0 {
            let containerd = match input {
                Input::Connected(server) => Some(server.version.clone()),
                _ => None,
            };
            self.line(&RawHeader {
                pulltrace_recording: VERSION,
                containerd,
                node: self.node.to_string(),
                namespace: self.namespace.to_string(),
                started: now.node.to_string(),
            })?;
        }
        let mono_ns = u64::try_from(now.mono.0.as_nanos()).unwrap_or(u64::MAX);
        self.line(&LineOut {
            mono_ns,
            at: now.node.to_string(),
            input,
        })?;
        self.inputs += 1;
        Ok(())
    }

    fn line(&mut self, line: &impl Serialize) -> Result<(), RecordError> {
        let mut text =
            serde_json::to_vec(line).map_err(|e| RecordError::Write(io::Error::other(e)))?;
        text.push(b'\n');
        if text.len() > MAX_LINE {
            return Err(RecordError::TooLong(text.len()));
        }
        let bytes = self.bytes.saturating_add(text.len() as u64);
        self.full |= bytes > self.limit;
        if self.full {
            return Err(RecordError::Full(self.limit));
        }
        self.out.write_all(&text).map_err(RecordError::Write)?;
        self.out.flush().map_err(RecordError::Write)?;
        self.bytes = bytes;
        Ok(())
    }
}

/// Reads a recording, line by line; after an error it is over.
#[derive(Debug)]
pub struct Recording<R> {
    input: R,
    header: Header,
    /// How many lines were read.
    line: u64,
    last: Mono,
    over: bool,
}

impl<R: BufRead> Recording<R> {
    /// Reads the first line.
    ///
    /// # Errors
    /// Where it is not the first line of a recording, or that of a newer version.
    pub fn open(mut input: R) -> Result<Self, RecordingError> {
        let (text, whole) = read_line(&mut input, 1)?.ok_or(RecordingError::NotARecording)?;
        // serde would take a list in place of an object.
        if !text.starts_with(b"{") {
            return Err(RecordingError::NotARecording);
        }
        let version = match serde_json::from_slice::<RawVersion>(&text) {
            Ok(RawVersion {
                pulltrace_recording: Some(version),
            }) => version,
            // Whoever wrote it was stopped before its first line was whole.
            Err(error)
                if error.is_eof() && !whole && text.starts_with(b"{\"pulltrace_recording\"") =>
            {
                return Err(RecordingError::Torn { line: 1 });
            }
            Ok(_) | Err(_) => return Err(RecordingError::NotARecording),
        };
        if version > u64::from(VERSION) {
            return Err(RecordingError::Newer { version });
        }
        let raw: RawHeader = serde_json::from_slice(&text).map_err(|e| garbage(1, &e))?;
        let header = Header {
            containerd: raw.containerd,
            node: raw.node.parse().map_err(|e| garbage(1, &e))?,
            namespace: raw.namespace.parse().map_err(|e| garbage(1, &e))?,
            started: raw.started.parse().map_err(|e| garbage(1, &e))?,
        };
        Ok(Self {
            input,
            header,
            line: 1,
            last: Mono::default(),
            over: false,
        })
    }

    /// What the first line says.
    #[must_use]
    pub fn header(&self) -> &Header {
        &self.header
    }

    fn read(&mut self) -> Result<Option<Line>, RecordingError> {
        let number = self.line + 1;
        let Some((text, whole)) = read_line(&mut self.input, number)? else {
            return Ok(None);
        };
        self.line = number;
        let raw: LineIn = match serde_json::from_slice(&text) {
            Ok(raw) => raw,
            Err(_) if !whole => return Err(RecordingError::Torn { line: number }),
            Err(error) => return Err(garbage(number, &error)),
        };
        let mono = Mono(Duration::from_nanos(raw.mono_ns));
        if mono < self.last {
            return Err(garbage(number, &"it is earlier than the line before"));
        }
        self.last = mono;
        let node = raw.at.parse().map_err(|e| garbage(number, &e))?;
        Ok(Some(Line {
            now: Now { mono, node },
            input: raw.input,
        }))
    }
}

impl<R: BufRead> Iterator for Recording<R> {
    type Item = Result<Line, RecordingError>;

    fn next(&mut self) -> Option<Self::Item> {
        if self.over {
            return None;
        }
        let line = self.read().transpose();
        self.over = !matches!(line, Some(Ok(_)));
        line
    }
}

/// The next line without its end, and whether it had one; `None` at the end.
fn read_line(
    input: &mut impl BufRead,
    number: u64,
) -> Result<Option<(Vec<u8>, bool)>, RecordingError> {
    let mut text = Vec::new();
    let read = input.take(MAX_LINE as u64 + 1).read_until(b'\n', &mut text);
    read.map_err(|source| RecordingError::Read {
        line: number,
        source,
    })?;
    if text.is_empty() {
        return Ok(None);
    }
    let whole = text.last() == Some(&b'\n');
    if whole {
        text.pop();
    } else if text.len() > MAX_LINE {
        return Err(RecordingError::TooLong { line: number });
    }
    Ok(Some((text, whole)))
}

fn garbage(line: u64, reason: &impl std::fmt::Display) -> RecordingError {
    let reason = reason.to_string().chars().take(200).collect();
    RecordingError::Line { line, reason }
}

#[cfg(test)]
mod tests;
