//! `pulltrace replay`: shows a recording like `watch`.

use std::collections::BTreeMap;
use std::fs::File;
use std::io::{self, BufReader};
use std::path::Path;
use std::time::Duration;

use pulltrace_agent_lib::Clock;
use pulltrace_agent_lib::source::PullSource as _;
use pulltrace_agent_lib::source::containerd::Replay;
use pulltrace_agent_lib::source::containerd::replay::Speed;
use pulltrace_core::{Mono, PullTable};

use pulltrace_shell::log::LogArgs;
use pulltrace_shell::shutdown::Shutdown;

use crate::cli::ReplayArgs;
use crate::error::Error;
use crate::log;
use crate::source::{MonitoredSource, Origin};
use crate::view::scene::Scene;
use crate::view::{OutputMode, View};

/// Minimum time between frames; more would not be visible.
const DRAW_INTERVAL: Duration = Duration::from_millis(100);

/// Opens a recording.
pub(crate) fn open(path: &Path, speed: Speed) -> Result<Replay<BufReader<File>>, Error> {
    let file = File::open(path).map_err(|source| Error::Open { path: path.into(), source })?;
    Replay::new(BufReader::new(file), speed)
        .map_err(|source| Error::Recording { path: path.into(), source })
}

pub(crate) async fn run(args: ReplayArgs, log: LogArgs, stop: Shutdown) -> Result<(), Error> {
    let path = args.file;
    let replay = open(&path, args.speed)?;
    let form = OutputMode::from_args(args.view)?;
    log::init(log, form.screen(), true);

    let header = replay.header();
    let scene = Scene::new(Origin::Containerd(header.node.clone()), header.started);
    let (mut source, status) = MonitoredSource::new(replay);
    let draws = matches!(form, OutputMode::Live(..));
    let mut view = View::new(form, scene, status, io::stdout());
    let mut table = PullTable::new(args.limits.limits());
    let clock = Clock::system();
    let mut due = Mono::default();
    // The latest state of each pull that changed since the last frame.
    let mut pending = BTreeMap::new();
    loop {
        let batch = tokio::select! {
            batch = source.next() => batch.map_err(|source| Error::Replay {
                path: path.clone(),
                source,
            })?,
            () = stop.wait() => None,
        };
        let Some(batch) = batch else { break };
        for anomaly in &batch.anomalies {
            table.record_anomaly(*anomaly);
        }
        let changes = table.apply(&batch.observations, batch.now);
        view.scene.runtime = table.runtime().map(str::to_owned);
        pending.extend(changes.into_iter().map(|change| (change.pull.id.clone(), change.pull)));
        let now = clock.now().mono;
        if !draws || now >= due {
            due = now + DRAW_INTERVAL;
            let changed: Vec<_> = std::mem::take(&mut pending).into_values().collect();
            let sums = table.totals(batch.now);
            view.show(&changed, false, sums, batch.now.node).map_err(Error::Output)?;
        }
    }
    let rest: Vec<_> = pending.into_values().collect();
    view.show(&rest, false, view.scene.sums.clone(), view.scene.now).map_err(Error::Output)
}
