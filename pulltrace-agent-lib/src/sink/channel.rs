//! A sink that passes reports to another task.

use tokio::sync::mpsc;

use crate::sink::{Ack, Report, ReportSink, SinkError};

/// Creates a sink and the receiving end of its reports, with a buffer of `capacity` reports (at
/// least 1).
///
/// When the buffer is full, the next delivery waits. No state is lost: changes that happen
/// meanwhile are merged into the report after it.
///
/// ```
/// let (sink, mut reports) = pulltrace_agent_lib::sink::channel(16);
/// // Pass `sink` to a `Collector`, and elsewhere:
/// # let _later = async move {
/// while let Some(report) = reports.next().await {
///     println!("{} pulls changed", report.pulls.len());
/// }
/// # };
/// ```
#[must_use]
pub fn channel(capacity: usize) -> (ChannelSink, Reports) {
    let (sender, receiver) = mpsc::channel(capacity.clamp(1, MAX_CAPACITY));
    (ChannelSink(sender), Reports(receiver))
}

/// Limit of the buffer: each report may contain the whole table.
const MAX_CAPACITY: usize = 1_024;

/// The sink of [`channel`]. It is closed when the [`Reports`] are dropped.
#[derive(Debug)]
pub struct ChannelSink(mpsc::Sender<Report>);

/// The reports of a [`channel`].
#[derive(Debug)]
pub struct Reports(mpsc::Receiver<Report>);

impl Reports {
    /// Waits for the next report. Returns `None` when the sink was dropped and the buffer is empty.
    ///
    /// Cancel-safe.
    pub async fn next(&mut self) -> Option<Report> {
        self.0.recv().await
    }

    /// Returns the next buffered report, without waiting.
    pub fn try_next(&mut self) -> Option<Report> {
        self.0.try_recv().ok()
    }
}

impl ReportSink for ChannelSink {
    async fn deliver(&mut self, report: Report) -> Result<Ack, SinkError> {
        let ack = Ack::for_report(&report);
        self.0.send(report).await.map_err(|_| SinkError::Closed)?;
        Ok(ack)
    }
}
