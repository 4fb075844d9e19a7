//! Receivers of reports: the [`ReportSink`] trait and its implementations.
//!
//! Each sink is a separate module, independent of the sources. The [`outbox`] keeps track of
//! undelivered changes.

use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use futures_util::future::BoxFuture;
use pulltrace_core::{Counters, NodeName, NodeTotals, Now, Pull};

mod channel;
#[cfg(feature = "http")]
pub mod http;
mod ndjson;
pub(crate) mod outbox;

pub use channel::{ChannelSink, Reports, channel};
#[cfg(feature = "http")]
pub use http::HttpSink;
pub use ndjson::NdjsonSink;

/// A receiver of reports about the pulls of a node: a server, a file, a channel.
///
/// - **Retries.** The caller retries: after an error it delivers a newer report with everything
///   that was not acknowledged. A sink tries once.
/// - **Errors.** Only [`SinkError::Closed`] is fatal.
/// - **Cancel safety.** Not required: a delivery is awaited to its end, unless the caller stops and
///   its grace period is over.
/// - **Empty reports** mean that no pull changed since the last acknowledged report.
/// - **Order.** Reports are delivered one at a time, with increasing sequence numbers.
///   Unacknowledged changes are repeated in the next report, so a receiver gets a state twice if
///   only the acknowledgement was lost.
///
/// ```
/// use pulltrace_agent_lib::sink::{Ack, Report, ReportSink, SinkError};
///
/// /// Counts the delivered pulls.
/// struct Counting(usize);
///
/// impl ReportSink for Counting {
///     async fn deliver(&mut self, report: Report) -> Result<Ack, SinkError> {
///         self.0 += report.pulls.len();
///         Ok(Ack::for_report(&report))
///     }
/// }
/// ```
pub trait ReportSink: Send {
    /// Delivers a report.
    ///
    /// # Errors
    /// Returns an error if the report was not delivered, or if it is unknown whether it was.
    fn deliver(&mut self, report: Report) -> impl Future<Output = Result<Ack, SinkError>> + Send;

    /// Moves the sink behind a pointer, so that its type can be chosen at run time.
    fn boxed(self) -> BoxReportSink
    where
        Self: Sized + 'static,
    {
        BoxReportSink::new(self)
    }
}

/// A [`ReportSink`] whose type is chosen at run time; created by [`ReportSink::boxed`].
///
/// ```
/// use pulltrace_agent_lib::sink::{self, BoxReportSink, NdjsonSink, ReportSink};
///
/// fn sink(json: bool) -> BoxReportSink {
///     if json {
///         NdjsonSink::new(std::io::stdout()).boxed()
///     } else {
///         sink::channel(16).0.boxed()
///     }
/// }
/// # let _ = sink(false);
/// ```
pub struct BoxReportSink(Box<dyn DynReportSink>);

/// [`ReportSink`] with a boxed future, so that it has trait objects.
trait DynReportSink: Send {
    fn deliver_boxed(&mut self, report: Report) -> BoxFuture<'_, Result<Ack, SinkError>>;
}

impl<K: ReportSink> DynReportSink for K {
    fn deliver_boxed(&mut self, report: Report) -> BoxFuture<'_, Result<Ack, SinkError>> {
        Box::pin(self.deliver(report))
    }
}

impl BoxReportSink {
    fn new(sink: impl ReportSink + 'static) -> Self {
        Self(Box::new(sink))
    }
}

impl ReportSink for BoxReportSink {
    fn deliver(&mut self, report: Report) -> impl Future<Output = Result<Ack, SinkError>> + Send {
        self.0.deliver_boxed(report)
    }

    fn boxed(self) -> Self {
        self
    }
}

impl fmt::Debug for BoxReportSink {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("BoxReportSink").finish_non_exhaustive()
    }
}

/// The state of a node's pulls, or the changes since the last acknowledged report.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct Report {
    /// The node.
    pub node: NodeName,
    /// Sequence number; increases with each report of this agent.
    pub sequence: u64,
    /// True if `pulls` is the complete state. A pull missing from a full report has ended and been
    /// evicted. Other reports contain the pulls that changed since the last acknowledged one.
    pub full: bool,
    /// Time of the state.
    pub now: Now,
    /// Live and ended pulls, sorted by id.
    pub pulls: Vec<Arc<Pull>>,
    /// Name and version of the container runtime, once known.
    pub runtime: Option<String>,
    /// Totals over the live pulls of the node.
    pub totals: NodeTotals,
    /// Counters of the pull table.
    pub counters: Counters,
    /// Ends whose pulls were evicted before a report contained them, since the agent started.
    pub ends_lost: u64,
    /// Current poll interval of the source; `None` if it does not poll.
    pub poll_interval: Option<Duration>,
    /// The latest time of the next report, unless a delivery fails or the receiver asks for another
    /// time.
    pub next_within: Duration,
}

/// The receiver's response to a report.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Ack {
    /// Identifies the receiver's instance. A receiver with a new epoch has none of the earlier
    /// reports.
    pub epoch: String,
    /// Sequence number of the accepted report.
    pub sequence: u64,
    /// True if the next report must be full.
    pub need_full: bool,
    /// Minimum time until the next report, if the receiver requests one.
    pub next_report: Option<Duration>,
}

impl Ack {
    /// Acknowledges this report and requests nothing, with the empty epoch of a receiver that never
    /// restarts.
    #[must_use]
    pub fn for_report(report: &Report) -> Self {
        Self {
            epoch: String::new(),
            sequence: report.sequence,
            need_full: false,
            next_report: None,
        }
    }
}

/// A report that was not delivered.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum SinkError {
    /// The delivery failed. A retry may help, but not before `retry_after` if given.
    #[error("failed to deliver the report")]
    Unavailable {
        /// Minimum time before the retry.
        retry_after: Option<Duration>,
        /// Advice for the user.
        help: Option<&'static str>,
        /// The cause.
        #[source]
        source: Box<dyn std::error::Error + Send + Sync>,
    },
    /// The receiver was dropped. A retry does not help.
    #[error("the receiver of reports was dropped")]
    Closed,
}

impl SinkError {
    /// Returns the error of a failed delivery, without advice or a minimum time before the retry.
    pub fn unavailable(source: impl Into<Box<dyn std::error::Error + Send + Sync>>) -> Self {
        Self::Unavailable { retry_after: None, help: None, source: source.into() }
    }

    /// Returns advice for the user, if the sink has any.
    #[must_use]
    pub const fn help(&self) -> Option<&'static str> {
        match self {
            Self::Unavailable { help, .. } => *help,
            Self::Closed => None,
        }
    }
}
