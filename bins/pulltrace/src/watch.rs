//! `pulltrace watch`: what containerd pulls, as it happens; what all nodes pull is beside here.

mod server;
mod told;

use std::io;
use std::time::Duration;

use pulltrace_agent_lib::sink::{NdjsonSink, Reports, channel};
use pulltrace_agent_lib::source::containerd::Containerd;
use pulltrace_agent_lib::{Clock, Collector};
use tokio::signal::unix::{SignalKind, signal};

use pulltrace_shell::log::LogArgs;
use pulltrace_shell::stop::Stop;

use crate::cli::WatchArgs;
use crate::error::Error;
use crate::source::{Teller, Watched};
use crate::view::scene::Scene;
use crate::view::{Form, View};
use crate::{GRACE, log};

/// From one drawing to the next at the most: times since when go on.
const TICK: Duration = Duration::from_secs(1);

/// How often changes are told where they are drawn, and where they are written as lines.
const DRAWN: Duration = Duration::from_millis(250);
const WRITTEN: Duration = Duration::from_secs(1);

pub(crate) async fn run(args: WatchArgs, log: LogArgs, stop: Stop) -> Result<(), Error> {
    if let Some(url) = args.server.server.clone() {
        return server::run(url, args, log, stop).await;
    }
    let node = args.source.node().map_err(Error::NodeName)?;
    let form = Form::choose(args.view)?;
    log::begin(log, form.screen(), false);
    let usual = match form {
        Form::Live(..) => DRAWN,
        Form::Plain | Form::Json => WRITTEN,
    };
    let interval = args.report_interval.unwrap_or(usual);

    let mut source = Containerd::builder(node.clone()).namespace(args.source.namespace);
    if let Some(socket) = args.source.socket {
        source = source.socket(socket);
    }
    let (source, sight) = Watched::new(source.start());
    let collector = Collector::builder(node.clone())
        .source(source)
        .limits(args.source.limits.limits())
        .report_interval(interval)
        .heartbeat(interval.max(TICK))
        .grace(GRACE / 3);
    let stopped = async move { stop.wait().await };

    if let Form::Json = form {
        let collector = collector.sink(NdjsonSink::new(io::stdout())).build();
        let ran = collector.map_err(Error::Setting)?.run(stopped).await;
        return ran.map(drop).map_err(Error::Run);
    }
    let (sink, reports) = channel(4);
    let collector = collector.sink(sink).build().map_err(Error::Setting)?;
    let clock = Clock::system();
    let scene = Scene::new(Teller::Containerd(node), clock.now().node);
    let view = View::new(form, scene, sight, io::stdout());
    let shown = tokio::spawn(show(view, reports, clock));
    let ran = collector.run(stopped).await;
    // A view that could not be shown is why the collector ended, where it is.
    shown.await.map_err(|_| Error::Panicked)??;
    ran.map(drop).map_err(Error::Run)
}

/// Shows reports until there are no more.
pub(crate) async fn show(mut view: View, mut reports: Reports, clock: Clock) -> Result<(), Error> {
    let mut resized = signal(SignalKind::window_change()).map_err(Error::Runtime)?;
    view.draw().map_err(Error::Output)?;
    loop {
        let shown = tokio::select! {
            report = reports.next() => match report {
                Some(report) => {
                    view.scene.runtime = report.runtime;
                    view.show(&report.pulls, report.full, report.sums, report.now.node)
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
