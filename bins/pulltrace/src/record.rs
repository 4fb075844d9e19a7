//! `pulltrace record`: records what containerd reports, for `pulltrace replay`.

use std::fs::{File, OpenOptions};
use std::io::{self, Write};
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use pulltrace_agent_lib::sink::channel;
use pulltrace_agent_lib::source::containerd::Containerd;
use pulltrace_agent_lib::source::{Batch, PullSource, SourceError};
use pulltrace_agent_lib::{Clock, Collector, Settings};
use pulltrace_core::Bytes;

use pulltrace_shell::log::LogArgs;
use pulltrace_shell::shutdown::Shutdown;

use crate::cli::RecordArgs;
use crate::error::Error;
use crate::shutdown::PART_LIMIT;
use crate::source::{MonitoredSource, Origin};
use crate::view::scene::Scene;
use crate::view::{OutputMode, View};
use crate::{log, watch};

pub(crate) async fn run(args: RecordArgs, log: LogArgs, stop: Shutdown) -> Result<(), Error> {
    let node = args.source.node().map_err(Error::NodeName)?;
    let file = create(&args.file, args.force)?;
    log::init(log, None, true);
    let stats = WriteStats::default();
    let writer = CountingWriter { inner: file, stats: stats.clone() };

    let mut source =
        Containerd::builder(node.clone()).namespace(args.source.namespace).record_to(writer);
    if let Some(socket) = args.source.socket {
        source = source.socket(socket);
    }
    let (source, status) = MonitoredSource::new(RecordingSource(source.start()));
    let (sink, reports) = channel(4);
    let settings =
        Settings::new(node.clone()).limits(args.source.limits.limits()).grace_period(PART_LIMIT);
    let collector = Collector::new(source, sink, settings).map_err(Error::ReportInterval)?;
    let clock = Clock::system();
    let scene = Scene::new(Origin::Containerd(node), clock.now().node);
    let view = View::new(OutputMode::Plain, scene, status, io::stderr());
    let shown = tokio::spawn(watch::show_reports(view, reports, clock));
    let ran = collector.run(async move { stop.wait().await }).await;
    let shown = shown.await.map_err(|_| Error::Panicked)?;
    let summary = writeln!(
        io::stderr(),
        "recorded {} lines ({}) to {}",
        stats.lines.load(Ordering::SeqCst),
        Bytes(stats.bytes.load(Ordering::SeqCst)),
        args.file.display()
    );
    ran.map_err(Error::Run)?;
    shown?;
    summary.map_err(Error::Output)
}

/// Creates the file; overwrites an existing one only with `force`.
fn create(path: &Path, force: bool) -> Result<File, Error> {
    let mut options = OpenOptions::new();
    options.write(true);
    if force {
        options.create(true).truncate(true);
    } else {
        options.create_new(true);
    }
    options.open(path).map_err(|source| match source.kind() {
        io::ErrorKind::AlreadyExists => Error::Exists { path: path.into() },
        _ => Error::Create { path: path.into(), source },
    })
}

/// The numbers of written lines and bytes. Clones share them.
#[derive(Clone, Debug, Default)]
struct WriteStats {
    lines: Arc<AtomicU64>,
    bytes: Arc<AtomicU64>,
}

/// Writes to a file and counts the written lines and bytes.
struct CountingWriter {
    inner: File,
    stats: WriteStats,
}

impl Write for CountingWriter {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        let count = self.inner.write(bytes)?;
        let lines = bytes.iter().take(count).filter(|b| **b == b'\n').count();
        self.stats.lines.fetch_add(lines as u64, Ordering::SeqCst);
        self.stats.bytes.fetch_add(count as u64, Ordering::SeqCst);
        Ok(count)
    }

    fn flush(&mut self) -> io::Result<()> {
        self.inner.flush()
    }
}

/// A source that fails as soon as recording fails: `record` has no other purpose.
struct RecordingSource(Containerd);

impl PullSource for RecordingSource {
    async fn next(&mut self) -> Result<Option<Batch>, SourceError> {
        let batch = self.0.next().await?;
        match self.0.stats().recording_error {
            Some(reason) => Err(SourceError::Other(reason.into())),
            None => Ok(batch),
        }
    }
}
