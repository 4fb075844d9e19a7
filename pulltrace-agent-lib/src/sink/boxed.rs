//! A sink behind a pointer.

use std::fmt;

use futures_util::future::BoxFuture;

use super::{Ack, Report, ReportSink, SinkError};

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
    pub(super) fn new(sink: impl ReportSink + 'static) -> Self {
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
