//! `pulltrace record`: writes down what the tracker of containerd's pulls is told.

use std::fs::{File, OpenOptions};
use std::io::{self, Write};
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use pulltrace_agent_lib::sink::channel;
use pulltrace_agent_lib::source::containerd::Containerd;
use pulltrace_agent_lib::source::{Batch, PullSource, SourceError};
use pulltrace_agent_lib::{Clock, Collector};
use pulltrace_core::Bytes;

use pulltrace_shell::log::LogArgs;
use pulltrace_shell::stop::Stop;

use crate::cli::RecordArgs;
use crate::error::Error;
use crate::source::{Teller, Watched};
use crate::view::scene::Scene;
use crate::view::{Form, View};
use crate::{GRACE, log, watch};

pub(crate) async fn run(args: RecordArgs, log: LogArgs, stop: Stop) -> Result<(), Error> {
    let node = args.source.node().map_err(Error::NodeName)?;
    let file = create(&args.file, args.force)?;
    log::begin(log, None, true);
    let written = Written::default();
    let counting = Counting {
        to: file,
        written: written.clone(),
    };

    let mut source = Containerd::builder(node.clone())
        .namespace(args.source.namespace)
        .record(counting);
    if let Some(socket) = args.source.socket {
        source = source.socket(socket);
    }
    let (source, sight) = Watched::new(Recording(source.start()));
    let (sink, reports) = channel(4);
    let collector = Collector::builder(node.clone())
        .source(source)
        .sink(sink)
        .limits(args.source.limits.limits())
        .grace(GRACE / 3)
        .build()
        .map_err(Error::Setting)?;
    let clock = Clock::system();
    let scene = Scene::new(Teller::Containerd(node), clock.now().node);
    let view = View::new(Form::Plain, scene, sight, io::stderr());
    let shown = tokio::spawn(watch::show(view, reports, clock));
    let ran = collector.run(async move { stop.wait().await }).await;
    let shown = shown.await.map_err(|_| Error::Panicked)?;
    let said = writeln!(
        io::stderr(),
        "recorded {} lines, {}, to {}",
        written.lines.load(Ordering::SeqCst),
        Bytes(written.bytes.load(Ordering::SeqCst)),
        args.file.display()
    );
    ran.map_err(Error::Run)?;
    shown?;
    said.map_err(Error::Output)
}

/// A new file; one that is there is only overwritten where that was asked for.
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
        _ => Error::Create {
            path: path.into(),
            source,
        },
    })
}

/// What was written until now.
#[derive(Clone, Debug, Default)]
struct Written {
    lines: Arc<AtomicU64>,
    bytes: Arc<AtomicU64>,
}

/// Counts what a file takes.
struct Counting {
    to: File,
    written: Written,
}

impl Write for Counting {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        let taken = self.to.write(bytes)?;
        let lines = bytes.iter().take(taken).filter(|b| **b == b'\n').count();
        self.written.lines.fetch_add(lines as u64, Ordering::SeqCst);
        self.written.bytes.fetch_add(taken as u64, Ordering::SeqCst);
        Ok(taken)
    }

    fn flush(&mut self) -> io::Result<()> {
        self.to.flush()
    }
}

/// Ends with the recording: whoever records does not want to only watch.
struct Recording(Containerd);

impl PullSource for Recording {
    async fn next(&mut self) -> Result<Option<Batch>, SourceError> {
        let batch = self.0.next().await?;
        match self.0.stats().recording_stopped {
            Some(reason) => Err(SourceError::Other(reason.into())),
            None => Ok(batch),
        }
    }
}
