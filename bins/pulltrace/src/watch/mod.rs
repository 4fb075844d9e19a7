//! `pulltrace watch`: shows the pulls of containerd as they happen; `server` shows those of all
//! nodes.

mod remote;
mod server;

use std::io;

use pulltrace_agent_lib::sink::{NdjsonSink, Reports, channel};
use pulltrace_agent_lib::source::containerd::Containerd;
use pulltrace_agent_lib::{Clock, Collector, Settings};
use tokio::signal::unix::{SignalKind, signal};

use pulltrace_shell::log::LogArgs;
use pulltrace_shell::shutdown::Shutdown;

use crate::cli::WatchArgs;
use crate::error::Error;
use crate::log;
use crate::shutdown::PART_LIMIT;
use crate::source::{MonitoredSource, Origin};
use crate::view::scene::Scene;
use crate::view::{OutputMode, TICK, View};

pub(crate) async fn run(args: WatchArgs, log: LogArgs, stop: Shutdown) -> Result<(), Error> {
    if let Some(url) = args.server.server.clone() {
        return server::run(url, args, log, stop).await;
    }
    let node = args.source.node().map_err(Error::NodeName)?;
    let form = OutputMode::from_args(args.view)?;
    log::init(log, form.screen(), false);
    let interval = args.report_interval.unwrap_or(form.default_interval());

    let mut source = Containerd::builder(node.clone()).namespace(args.source.namespace);
    if let Some(socket) = args.source.socket {
        source = source.socket(socket);
    }
    let (source, status) = MonitoredSource::new(source.start());
    let settings = Settings::new(node.clone())
        .limits(args.source.limits.limits())
        .report_interval(interval)
        .heartbeat(interval.max(TICK))
        .grace_period(PART_LIMIT);
    let stopped = async move { stop.wait().await };

    if let OutputMode::Json = form {
        let collector = Collector::new(source, NdjsonSink::new(io::stdout()), settings);
        let ran = collector.map_err(Error::ReportInterval)?.run(stopped).await;
        return ran.map(drop).map_err(Error::Run);
    }
    let (sink, reports) = channel(4);
    let collector = Collector::new(source, sink, settings).map_err(Error::ReportInterval)?;
    let clock = Clock::system();
    let scene = Scene::new(Origin::Containerd(node), clock.now().node);
    let view = View::new(form, scene, status, io::stdout());
    let shown = tokio::spawn(show_reports(view, reports, clock));
    let ran = collector.run(stopped).await;
    // If the view failed, that is why the collector ended.
    shown.await.map_err(|_| Error::Panicked)??;
    ran.map(drop).map_err(Error::Run)
}

/// Shows reports until the channel closes.
pub(crate) async fn show_reports(
    mut view: View,
    mut reports: Reports,
    clock: Clock,
) -> Result<(), Error> {
    let mut resized = signal(SignalKind::window_change()).map_err(Error::Runtime)?;
    view.draw().map_err(Error::Output)?;
    loop {
        let shown = tokio::select! {
            report = reports.next() => match report {
                Some(report) => {
                    view.scene.runtime = report.runtime;
                    view.show(&report.pulls, report.full, report.totals, report.now.node)
                }
                None => return Ok(()),
            },
            _ = resized.recv() => view.draw(),
            () = tokio::time::sleep(TICK) => {
                view.scene.now = clock.now().node;
                view.draw()
            }
        };
        shown.map_err(Error::Output)?;
    }
}
