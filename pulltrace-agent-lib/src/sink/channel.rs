//! A sink that hands reports to another task of the same program.

use tokio::sync::mpsc;

use crate::sink::{Ack, Report, ReportSink, SinkError};

/// A sink, and where its reports come out. At most `capacity` reports wait in between (at least one).
///
/// Where that many wait, the next delivery waits too. Nothing is lost by that: what changes meanwhile
/// is in the report after it, in its latest state.
///
/// ```
/// let (sink, mut reports) = pulltrace_agent_lib::sink::channel(16);
/// // Hand `sink` to a `Collector`, and elsewhere:
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

/// More reports than this never wait: each may hold the whole table.
const MAX_CAPACITY: usize = 1_024;

/// The sink of [`channel`]. It is closed when the [`Reports`] are dropped.
#[derive(Debug)]
pub struct ChannelSink(mpsc::Sender<Report>);

/// The reports of a [`channel`].
#[derive(Debug)]
pub struct Reports(mpsc::Receiver<Report>);

impl Reports {
    /// The next report; `None` when the sink is gone and all its reports were taken.
    ///
    /// Cancel-safe: a future that is dropped has taken nothing.
    pub async fn next(&mut self) -> Option<Report> {
        self.0.recv().await
    }

    /// A report that waits already; `None` where none does.
    pub fn try_next(&mut self) -> Option<Report> {
        self.0.try_recv().ok()
    }
}

impl ReportSink for ChannelSink {
    async fn deliver(&mut self, report: Report) -> Result<Ack, SinkError> {
        let ack = Ack::of(&report);
        self.0.send(report).await.map_err(|_| SinkError::Closed)?;
        Ok(ack)
    }
}
