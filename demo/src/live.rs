//! The demo with pulls of a private containerd, without pods.

use std::time::Duration;

use pulltrace_testkit::containerd::{Containerd, ContainerdBinary, Options, StartError};
use pulltrace_testkit::registry::Registry;

use crate::args::Args;
use crate::child::{Program, check_status, show_until};
use crate::containerd::{memory_limit, short_version};
use crate::error::{DemoError, log};
use crate::images::ImageFactory;
use crate::page::PageServer;
use crate::script::{self, Step};
use crate::stage::{self, Player};
use crate::stop::Stop;

/// The containerd namespace of CRI.
const NAMESPACE: &str = "k8s.io";

pub(crate) enum LiveError {
    StartFailed(StartError),
    Failed(DemoError),
}

impl<E: Into<DemoError>> From<E> for LiveError {
    fn from(error: E) -> Self {
        Self::Failed(error.into())
    }
}

/// Pulls until the demo is stopped.
pub(crate) async fn run(
    args: &Args,
    binary: &ContainerdBinary,
    pulltrace: &Program,
    stop: &Stop,
) -> Result<(), LiveError> {
    let show = match &args.record {
        None => pulltrace.args(["watch"]),
        Some(file) => pulltrace.args(["record"]).args([file]),
    };
    check_status(show.args(&args.watch_flags).check_args().await?)?;

    let version = short_version(binary)?;
    log(&format!(
        "starting a private containerd {version} and a registry; press Ctrl-C to stop them"
    ));
    let registry = Registry::start()?;
    let library = ImageFactory::default();
    // Built while containerd starts, so that the first pulls can start at once.
    for Step { pull, .. } in script::brief().into_iter().take(3) {
        let library = library.clone();
        tokio::task::spawn_blocking(move || drop(library.build(&pull)));
    }
    let options = Options {
        memory_mib: memory_limit(),
        mirrors: vec![(stage::HOST.into(), registry.address().to_string())],
        ..Options::default()
    };
    let containerd = tokio::select! {
        started = Containerd::start(binary, &options) => started.map_err(LiveError::StartFailed)?,
        () = stop.requested() => return Ok(()),
    };
    let socket = containerd.socket();
    log(&format!("{} is {}, containerd is {}", stage::HOST, registry.address(), socket.display()));
    // A containerd that has never pulled for a kubelet lacks the namespace.
    let namespace = ["namespaces", "create", NAMESPACE];
    if let Err(error) = containerd.ctr(NAMESPACE).run(namespace).await {
        return Err(DemoError::Failed(error.to_string()).into());
    }
    let source = |command: &Program| {
        let command = command.args(["--namespace", NAMESPACE, "--socket"]);
        command.args([&socket])
    };
    // A recording is made of containerd's data directly, without a server in between.
    let (mut child, page) = if args.record.is_some() {
        (source(&show).args(&args.watch_flags).start()?, None)
    } else {
        let page = PageServer::start(&source(&pulltrace.args(["up"])), args.port).await?;
        let shown = page.watch_command(&show).args(&args.watch_flags).start()?;
        (shown, Some(page))
    };
    let line = if args.brief { stage::BRIEF_LINE_RATE } else { stage::LINE_RATE };
    let mut stage = Player::new(registry, line, containerd.cri(), library);
    let shown = {
        let play = async {
            if args.brief {
                stage.play(script::brief().into_iter()).await;
                // Time to see the end of the last pull.
                tokio::time::sleep(Duration::from_secs(1)).await;
            } else {
                stage.play(script::endless(args.seed)).await;
            }
        };
        show_until(&mut child, play, args.duration(), stop).await
    };
    if let Some(page) = page {
        page.stop(stop).await?;
    }
    log("stopping containerd and removing all of its data");
    let surprises = stage.unexpected().to_vec();
    drop(stage);
    drop(containerd);
    check_status(shown?)?;
    if surprises.is_empty() {
        return Ok(());
    }
    let text = format!("unexpected results: {}", surprises.join("; "));
    Err(DemoError::Failed(text).into())
}
