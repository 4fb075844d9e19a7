//! Where reports go: the trait, and what it takes and gives back.
//!
//! Each sink has a file of its own here. None knows of sources. What is not delivered yet is kept by
//! the [`outbox`].

use std::sync::Arc;
use std::time::Duration;

use pulltrace_core::{Counters, NodeName, NodeSums, Now, Pull};

mod channel;
#[cfg(feature = "http")]
pub mod http;
mod ndjson;
pub(crate) mod outbox;

pub use channel::{ChannelSink, Reports, channel};
#[cfg(feature = "http")]
pub use http::HttpSink;
pub use ndjson::NdjsonSink;

/// Somebody who is told what the pulls of a node are doing: a server, a file, a channel.
///
/// - **Who retries.** The caller: after an error it hands over a newer report later, with all that
///   was not acknowledged. A sink tries once.
/// - **Which errors are fatal.** [`SinkError::Closed`] alone.
/// - **Cancel-safety.** Not needed: a delivery that was begun is awaited to its end, except when the
///   caller stops, after its grace period.
/// - **An empty report** says that nothing changed since the last acknowledged one.
/// - **Order.** One report is under way at a time, and each has a greater sequence than the one before.
///   What was not acknowledged is told again in the next: where only the acknowledgement was lost, a
///   receiver is told a state twice.
///
/// ```
/// use pulltrace_agent_lib::sink::{Ack, Report, ReportSink, SinkError};
///
/// /// Counts what was delivered.
/// struct Counting(usize);
///
/// impl ReportSink for Counting {
///     async fn deliver(&mut self, report: Report) -> Result<Ack, SinkError> {
///         self.0 += report.pulls.len();
///         Ok(Ack::of(&report))
///     }
/// }
/// ```
pub trait ReportSink: Send {
    /// Delivers one report and says what of it arrived.
    ///
    /// # Errors
    /// Where it did not arrive, or nobody knows whether it did.
    fn deliver(&mut self, report: Report) -> impl Future<Output = Result<Ack, SinkError>> + Send;
}

/// The state of a node's pulls, whole or as far as it changed.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct Report {
    /// The node.
    pub node: NodeName,
    /// Grows with each report of this agent.
    pub sequence: u64,
    /// Whether `pulls` is everything there is: a pull that is absent is then over and forgotten.
    /// Otherwise it is what changed since the last acknowledged report.
    pub full: bool,
    /// When the state was as told.
    pub now: Now,
    /// The pulls, live and ended, in the order of their ids.
    pub pulls: Vec<Arc<Pull>>,
    /// Which runtime pulls, as it names itself; `None` until it did.
    pub runtime: Option<String>,
    /// The node's sums over its live pulls.
    pub sums: NodeSums,
    /// What was counted: nothing is dropped without a count.
    pub counters: Counters,
    /// Ends that no report told: their pulls were dropped, as too old or too many, before a report of
    /// them arrived. Counted since the agent started.
    pub ends_lost: u64,
    /// How long the source means to wait before it looks again; `None` where it does not poll.
    pub interval: Option<Duration>,
    /// The longest time to the next report, where nothing fails and the receiver asks for no other.
    pub next_within: Duration,
}

/// What arrived.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Ack {
    /// The life of whoever received it: another one than before knows nothing of earlier reports.
    pub epoch: String,
    /// The sequence of the last report that was taken.
    pub sequence: u64,
    /// Whether the next report must be full.
    pub need_full: bool,
    /// How long to wait before the next report at the least; `None` where the receiver does not mind.
    pub next_report: Option<Duration>,
}

impl Ack {
    /// The plainest acknowledgement: this report arrived, at a receiver that never restarts.
    #[must_use]
    pub fn of(report: &Report) -> Self {
        Self {
            epoch: String::new(),
            sequence: report.sequence,
            need_full: false,
            next_report: None,
        }
    }
}

/// A report that did not arrive.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum SinkError {
    /// It may arrive later: a retry helps, not before `retry_after` where that is given.
    #[error("the report was not delivered")]
    Unavailable {
        /// How long to wait at the least.
        retry_after: Option<Duration>,
        /// What failed.
        #[source]
        source: Box<dyn std::error::Error + Send + Sync>,
    },
    /// The receiver is gone for good: a retry does not help.
    #[error("nobody takes reports any more")]
    Closed,
}
