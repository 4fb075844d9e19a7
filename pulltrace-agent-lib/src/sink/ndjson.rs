//! A sink that writes JSON lines, for programs that read a pipe or a file.

use std::io::{self, Write};

use pulltrace_core::wire::v1::PullStatus;

use super::{Ack, Report, ReportSink, SinkError};

/// Writes each pull of each report as one line: a [`PullStatus`] as JSON.
///
/// - After a failed write the truncated line is terminated before the next one, so a reader that
///   skips invalid lines loses only that line.
/// - Each report is written with one call and flushed. The write blocks: use a writer that returns
///   quickly, or run the collector on a separate thread.
/// - A broken pipe is [`SinkError::Closed`]. Any other failure is [`SinkError::Unavailable`], and
///   the pulls are written again with the next report.
///
/// ```
/// use pulltrace_agent_lib::sink::NdjsonSink;
/// let sink = NdjsonSink::new(Vec::new());
/// assert!(sink.into_inner().is_empty());
/// ```
#[derive(Debug)]
pub struct NdjsonSink<W> {
    writer: W,
    /// True if the last write failed, so that the last line may be truncated.
    torn_line: bool,
}

impl<W: Write + Send> NdjsonSink<W> {
    /// Creates a sink for this writer.
    #[must_use]
    pub const fn new(writer: W) -> Self {
        Self { writer, torn_line: false }
    }

    /// Returns the writer.
    #[must_use]
    pub fn into_inner(self) -> W {
        self.writer
    }

    fn write(&mut self, report: &Report) -> io::Result<()> {
        let mut lines = Vec::new();
        if self.torn_line {
            lines.push(b'\n');
        }
        for pull in &report.pulls {
            serde_json::to_writer(&mut lines, &PullStatus::from(pull.as_ref()))?;
            lines.push(b'\n');
        }
        if report.pulls.is_empty() {
            return Ok(());
        }
        self.torn_line = true;
        self.writer.write_all(&lines)?;
        self.writer.flush()?;
        self.torn_line = false;
        Ok(())
    }
}

impl<W: Write + Send> ReportSink for NdjsonSink<W> {
    async fn deliver(&mut self, report: Report) -> Result<Ack, SinkError> {
        match self.write(&report) {
            Ok(()) => Ok(Ack::for_report(&report)),
            Err(error) if error.kind() == io::ErrorKind::BrokenPipe => Err(SinkError::Closed),
            Err(error) => Err(SinkError::unavailable(error)),
        }
    }
}

#[cfg(test)]
mod tests {
    use std::collections::VecDeque;
    use std::sync::Arc;

    use pulltrace_core::{
        Counters, Limits, Mono, NodeTotals, Now, Pull, PullFact, PullId, PullTable,
    };

    use super::*;

    /// A writer with scripted failures: each accepts a number of bytes and then returns its error.
    #[derive(Default)]
    struct FailingWriter {
        written: Vec<u8>,
        fail: VecDeque<(usize, io::ErrorKind)>,
    }

    impl Write for FailingWriter {
        fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
            match self.fail.front() {
                Some((0, kind)) => {
                    let kind = *kind;
                    self.fail.pop_front();
                    Err(kind.into())
                }
                Some((take, kind)) => {
                    let (take, kind) = (bytes.len().min(*take), *kind);
                    self.written.extend(&bytes[..take]);
                    self.fail[0] = (0, kind);
                    Ok(take)
                }
                None => {
                    self.written.extend(bytes);
                    Ok(bytes.len())
                }
            }
        }

        fn flush(&mut self) -> io::Result<()> {
            Ok(())
        }
    }

    fn now() -> Now {
        Now { mono: Mono::default(), node: "2026-11-24T20:00:00Z".parse().unwrap() }
    }

    fn pulls(leases: &[&str]) -> Vec<Arc<Pull>> {
        let mut table = PullTable::new(Limits::default());
        for lease in leases {
            let pull = PullId::Lease {
                node: "w".parse().unwrap(),
                namespace: "k8s.io".parse().unwrap(),
                lease: lease.parse().unwrap(),
                created: now().node,
            };
            table.apply(&[PullFact::Started { at: now().node }.of(pull)], now());
        }
        table.pulls().cloned().collect()
    }

    fn report(sequence: u64, leases: &[&str]) -> Report {
        Report {
            node: "w".parse().unwrap(),
            runtime: None,
            sequence,
            full: false,
            now: now(),
            pulls: pulls(leases),
            totals: NodeTotals::default(),
            counters: Counters::default(),
            ends_lost: 0,
            poll_interval: None,
            next_within: std::time::Duration::from_secs(5),
        }
    }

    fn ids(written: &[u8]) -> Vec<String> {
        std::str::from_utf8(written)
            .unwrap()
            .lines()
            .filter_map(|line| serde_json::from_str::<PullStatus>(line).ok())
            .map(|pull| pull.id)
            .collect()
    }

    #[tokio::test]
    async fn pull_is_written_as_one_line() {
        let mut sink = NdjsonSink::new(Vec::new());
        let ack = sink.deliver(report(1, &["1-a", "2-b"])).await.unwrap();
        assert_eq!(ack.sequence, 1);
        sink.deliver(report(2, &[])).await.unwrap();
        sink.deliver(report(3, &["1-a"])).await.unwrap();
        let written = sink.into_inner();
        let id = |lease| format!("lease~w~k8s.io~{lease}~1795550400000000000");
        assert_eq!(ids(&written), [id("1-a"), id("2-b"), id("1-a")]);
        assert_eq!(written.iter().filter(|b| **b == b'\n').count(), 3);
    }

    #[tokio::test]
    async fn broken_pipe_closes_sink() {
        let mut sink = NdjsonSink::new(FailingWriter {
            fail: [(0, io::ErrorKind::BrokenPipe)].into(),
            ..FailingWriter::default()
        });
        let error = sink.deliver(report(1, &["1-a"])).await.unwrap_err();
        assert!(matches!(error, SinkError::Closed), "{error:?}");
    }

    #[tokio::test]
    async fn truncated_line_does_not_corrupt_the_next() {
        let mut sink = NdjsonSink::new(FailingWriter {
            fail: [(40, io::ErrorKind::StorageFull)].into(),
            ..FailingWriter::default()
        });
        let error = sink.deliver(report(1, &["1-a"])).await.unwrap_err();
        assert!(matches!(error, SinkError::Unavailable { .. }), "{error:?}");
        sink.deliver(report(2, &["1-a"])).await.unwrap();
        let written = sink.into_inner().written;
        assert_eq!(written.iter().filter(|b| **b == b'\n').count(), 2);
        assert_eq!(ids(&written).len(), 1);
    }
}
