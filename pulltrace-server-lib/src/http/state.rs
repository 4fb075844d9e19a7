//! State shared by all requests.

use std::sync::Arc;
use std::time::Duration;

use pulltrace_core::NodeTime;
use tokio::sync::{Semaphore, watch};

use super::cluster_name::ClusterName;
use crate::access::Access;
use crate::clock::Clock;
use crate::metrics::HttpCounters;
use crate::ready::Readiness;
use crate::sources::ConfiguredSources;
use crate::table::SharedTable;
use crate::throughput::ThroughputHistory;
use crate::writer::Intake;

/// Limits of requests and of the event stream.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct HttpLimits {
    /// Maximum size of a compressed report, in bytes. Default 256 KiB.
    pub max_compressed_report_bytes: usize,
    /// Maximum size of a report after decompression, in bytes. Default 1 MiB.
    pub max_report_bytes: usize,
    /// Timeout from the request head to the end of the report's body. Default 10 s.
    pub report_deadline: Duration,
    /// Maximum number of concurrent stream readers. Further readers are rejected with 503 and
    /// counted. Default 10,000.
    pub max_readers: usize,
    /// Maximum number of readers with a compressed stream, which costs a few hundred KiB each.
    /// Further readers get the stream uncompressed and are counted. Default 200.
    pub max_compressed_readers: usize,
    /// Idle timeout of HTTP/2 readers, which share a connection: if a reader accepts no data for
    /// this long, its connection is closed. Default 30 s. For HTTP/1 see
    /// [`ServeLimits::write_timeout`](crate::ServeLimits::write_timeout).
    pub reader_idle_timeout: Duration,
}

impl Default for HttpLimits {
    fn default() -> Self {
        Self {
            max_compressed_report_bytes: 256 * 1024,
            max_report_bytes: 1024 * 1024,
            report_deadline: Duration::from_secs(10),
            max_readers: 10_000,
            max_compressed_readers: 200,
            reader_idle_timeout: Duration::from_secs(30),
        }
    }
}

/// State shared by all requests.
#[derive(Debug)]
pub(crate) struct ApiState {
    pub(crate) info: ServerInfo,
    pub(crate) shared: SharedTable,
    pub(crate) intake: Intake,
    pub(crate) access: Access,
    pub(crate) readiness: Readiness,
    pub(crate) cluster: ConfiguredSources,
    pub(crate) throughput: ThroughputHistory,
    pub(crate) counters: Arc<HttpCounters>,
    pub(crate) clock: Clock,
    pub(crate) limits: HttpLimits,
    /// One permit per concurrent reader.
    pub(crate) reader_slots: Arc<Semaphore>,
    /// One permit per reader with a compressed stream.
    pub(crate) encoder_slots: Arc<Semaphore>,
    pub(crate) stopping: watch::Receiver<bool>,
    #[cfg(feature = "ui")]
    pub(crate) page: &'static crate::ui::Page,
}

/// Properties of the server that do not change while it runs.
#[derive(Debug)]
pub(crate) struct ServerInfo {
    /// Version and revision.
    pub(crate) version: String,
    pub(crate) cluster_name: Option<ClusterName>,
    pub(crate) started_at: NodeTime,
    /// Retention period of ended pulls.
    pub(crate) history_ttl: Duration,
}
