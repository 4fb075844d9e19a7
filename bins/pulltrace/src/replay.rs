//! `pulltrace replay`: a recording, shown as `watch` would have shown it.

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
use pulltrace_shell::stop::Stop;

use crate::cli::ReplayArgs;
use crate::error::Error;
use crate::log;
use crate::source::{Teller, Watched};
use crate::view::scene::Scene;
use crate::view::{Form, View};

/// Drawn more often than this nobody could see it.
const DRAWN: Duration = Duration::from_millis(100);

/// A recording, from its first line on.
pub(crate) fn open(path: &Path, speed: Speed) -> Result<Replay<BufReader<File>>, Error> {
    let file = File::open(path).map_err(|source| Error::Open {
        path: path.into(),
        source,
    })?;
    Replay::new(BufReader::new(file), speed).map_err(|source| Error::Recording {
        path: path.into(),
        source,
    })
}

pub(crate) async fn run(args: ReplayArgs, log: LogArgs, stop: Stop) -> Result<(), Error> {
    let path = args.file;
    let replay = open(&path, args.speed)?;
    let form = Form::choose(args.view)?;
    log::begin(log, form.screen(), true);

    let header = replay.header();
    let scene = Scene::new(Teller::Containerd(header.node.clone()), header.started);
    let (mut source, sight) = Watched::new(replay);
    let draws = matches!(form, Form::Live(..));
    let mut view = View::new(form, scene, sight, io::stdout());
    let mut table = PullTable::new(args.limits.limits());
    let clock = Clock::system();
    let mut due = Mono::default();
    // Changed, and not shown yet; each in its latest state.
    let mut waiting = BTreeMap::new();
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
            table.count(*anomaly);
        }
        let changes = table.apply(&batch.observations, batch.now);
        view.scene.runtime = table.runtime().map(str::to_owned);
        waiting.extend(
            changes
                .into_iter()
                .map(|change| (change.pull.id.clone(), change.pull)),
        );
        let now = clock.now().mono;
        if !draws || now >= due {
            due = now + DRAWN;
            let changed: Vec<_> = std::mem::take(&mut waiting).into_values().collect();
            let sums = table.sums(batch.now);
            view.show(&changed, false, sums, batch.now.node)
                .map_err(Error::Output)?;
        }
    }
    let rest: Vec<_> = waiting.into_values().collect();
    view.show(&rest, false, view.scene.sums.clone(), view.scene.now)
        .map_err(Error::Output)
}
