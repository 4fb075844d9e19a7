//! `cargo xtask demo`: pulls of a private containerd, shown by `pulltrace up` as a web page and by
//! `pulltrace watch` in the terminal until Ctrl-C, or a recording of them if containerd is
//! unavailable. The demo with pods is in `cluster`.
//!
//! This module starts and stops everything in order and prints messages. `script` defines the
//! pulls, `stage` executes them.
#![forbid(unsafe_code)]

mod args;
mod child;
mod cluster;
mod images;
mod page;
mod pods;
mod script;
mod stage;
mod stop;

use std::io::Write as _;
use std::path::Path;
use std::process::{ExitCode, ExitStatus};
use std::time::Duration;

use pulltrace_core::error::error_chain;
use pulltrace_testkit::containerd::{Containerd, ContainerdBinary, Options, StartError};
use pulltrace_testkit::need;
use pulltrace_testkit::registry::Registry;

use args::Args;
use child::{Child, Program};
use images::ImageFactory;
use page::PageServer;
use script::Step;
use stage::Player;
use stop::Stop;

const HELP: &str = include_str!("help.txt");

/// A recording of this demo on a real containerd.
const RECORDING: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/../recordings/demo-2.4.jsonl");

/// The versions of containerd to look for, best first.
const VERSIONS: [&str; 2] = ["2.4", "1.6"];

/// The containerd namespace of CRI.
const NAMESPACE: &str = "k8s.io";

/// The limit of containerd's data, in MiB. Observed: half of it.
const DATA_LIMIT_MIB: u64 = 2 * 1024;
/// The data is kept in memory if this much is available, in MiB: some disks take half a minute to
/// delete it.
const MIN_FREE_MEMORY_MIB: u64 = 8 * 1024;

/// A failure of the demo.
#[derive(Debug)]
enum DemoError {
    /// Invalid arguments: exit code 2.
    Usage(String),
    /// Exit code 1.
    Failed(String),
    /// The program that shows the pulls has printed the reason.
    AlreadyReported(u8),
}

impl From<std::io::Error> for DemoError {
    fn from(error: std::io::Error) -> Self {
        Self::Failed(error.to_string())
    }
}

fn main() -> ExitCode {
    match run() {
        Ok(()) => ExitCode::SUCCESS,
        Err(DemoError::Usage(text)) => {
            log(&text);
            ExitCode::from(2)
        }
        Err(DemoError::Failed(text)) => {
            log(&text);
            ExitCode::FAILURE
        }
        Err(DemoError::AlreadyReported(code)) => ExitCode::from(code),
    }
}

fn run() -> Result<(), DemoError> {
    let args = args::parse(std::env::args_os().skip(1)).map_err(DemoError::Usage)?;
    if args.help {
        return Ok(std::io::stdout().write_all(HELP.as_bytes())?);
    }
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    let ran = runtime.block_on(demo(&args));
    // An image may still be being built.
    runtime.shutdown_background();
    ran
}

async fn demo(args: &Args) -> Result<(), DemoError> {
    let stop = Stop::on_signals()?;
    let pulltrace = Program::find("pulltrace").map_err(DemoError::Failed)?;
    let missing = match find_containerd(args) {
        Ok(binary) if args.kubernetes => {
            return cluster::run(args, &binary, &pulltrace, &stop).await;
        }
        Ok(binary) => match live(args, &binary, &pulltrace, &stop).await {
            Err(LiveError::StartFailed(error)) => Unavailable {
                reason: format!("failed to start containerd: {}", error_chain(&error)),
                remedy: None,
            },
            Err(LiveError::Failed(failure)) => return Err(failure),
            Ok(()) => return Ok(()),
        },
        Err(missing) => missing,
    };
    let Unavailable { reason, remedy } = missing;
    let remedy = remedy.map_or_else(String::new, |remedy| format!("; {remedy}"));
    if args.containerd.is_some() || args.record.is_some() || args.brief || args.kubernetes {
        return Err(DemoError::Failed(format!("{reason}{remedy}")));
    }
    log(&format!("replaying a recording: {reason}{remedy}"));
    replay(args, &pulltrace, &stop).await
}

/// The reason why containerd is unavailable, and a remedy.
struct Unavailable {
    reason: String,
    remedy: Option<String>,
}

fn find_containerd(args: &Args) -> Result<ContainerdBinary, Unavailable> {
    let missing = |reason: &str, remedy: &str| Unavailable {
        reason: reason.to_owned(),
        remedy: Some(remedy.to_owned()),
    };
    if args.replay {
        return Err(Unavailable { reason: "requested by --replay".into(), remedy: None });
    }
    if need::root().is_err() {
        return Err(missing(
            "starting containerd requires root",
            "run as root for real pulls: sudo -E cargo xtask demo",
        ));
    }
    if let Some(version) = &args.containerd {
        let found = ContainerdBinary::find(version);
        return found
            .map_err(|error| missing(&format!("{} is missing", error.what), &error.remedy));
    }
    let found = VERSIONS.map(ContainerdBinary::find);
    let last = found.into_iter().reduce(Result::or);
    last.and_then(Result::ok).ok_or_else(|| {
        missing(
            "containerd not found",
            "install it for real pulls: apt-get install containerd runc, or run `cargo xtask \
             containerd 2.4` (requires Go)",
        )
    })
}

enum LiveError {
    StartFailed(StartError),
    Failed(DemoError),
}

impl<E: Into<DemoError>> From<E> for LiveError {
    fn from(error: E) -> Self {
        Self::Failed(error.into())
    }
}

async fn live(
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

    let version = binary.version()?;
    // The part after `+` is only of interest to maintainers.
    let version = version.split('+').next().unwrap_or(&version);
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
        memory_mib: (available_memory_mib() >= MIN_FREE_MEMORY_MIB).then_some(DATA_LIMIT_MIB),
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
        show_until(&mut child, play, args.duration, stop).await
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

/// The memory available to programs, in MiB; 0 if unknown.
fn available_memory_mib() -> u64 {
    let table = std::fs::read_to_string("/proc/meminfo").unwrap_or_default();
    table
        .lines()
        .find_map(|line| line.strip_prefix("MemAvailable:"))
        .and_then(|rest| rest.trim().strip_suffix("kB")?.trim().parse::<u64>().ok())
        .map_or(0, |kib| kib / 1024)
}

async fn replay(args: &Args, pulltrace: &Program, stop: &Stop) -> Result<(), DemoError> {
    if !Path::new(RECORDING).is_file() {
        let text = format!("missing recording {RECORDING}: check out the whole repository");
        return Err(DemoError::Failed(text));
    }
    let show = pulltrace.args(["watch"]);
    check_status(show.args(&args.watch_flags).check_args().await?)?;
    let page = PageServer::start(&pulltrace.args(["up", "--replay", RECORDING]), args.port).await?;
    let mut child = page.watch_command(&show).args(&args.watch_flags).start()?;
    let shown = show_until(&mut child, std::future::pending(), args.duration, stop).await?;
    page.stop(stop).await?;
    check_status(shown)?;
    log("the pulls were replayed from a recording");
    Ok(())
}

/// Runs `play` while `child` shows the pulls, until either ends, the time is up, or a stop is
/// requested.
async fn show_until(
    child: &mut Child,
    play: impl Future<Output = ()>,
    time: Option<Duration>,
    stop: &Stop,
) -> std::io::Result<ExitStatus> {
    let deadline = async {
        match time {
            Some(time) => tokio::time::sleep(time).await,
            None => std::future::pending().await,
        }
    };
    tokio::select! {
        ended = child.wait() => return ended,
        () = play => {}
        () = deadline => {}
        () = stop.requested() => {}
    }
    child.stop(stop).await
}

/// A program that exits with an error has printed the reason, unless it was killed.
fn check_status(status: ExitStatus) -> Result<(), DemoError> {
    match status.code().map(u8::try_from) {
        Some(Ok(0)) => Ok(()),
        Some(Ok(code)) => Err(DemoError::AlreadyReported(code)),
        Some(Err(_)) | None => {
            let text = format!("the program that shows the pulls was killed ({status})");
            Err(DemoError::Failed(text))
        }
    }
}

fn log(text: &str) {
    // Cleanup must continue even if stderr is closed.
    let _ignored = writeln!(std::io::stderr(), "demo: {text}");
}
