//! `cargo xtask demo`: pulls of a private containerd, shown by `pulltrace up` as
//! a page and by `pulltrace watch` in the terminal, until Ctrl-C; or a recording
//! of that, where there can be none. With pods: `cluster`.
//!
//! Here: what is started and stopped, in which order, and what is said about
//! it. What is pulled stands in `script`, how in `stage`.
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

use pulltrace_testkit::containerd::{Containerd, ContainerdBinary, Options, StartError};
use pulltrace_testkit::need;
use pulltrace_testkit::registry::Registry;

use args::Args;
use child::{Child, Pulltrace};
use images::Library;
use page::Page;
use script::Step;
use stage::Stage;
use stop::Stop;

const HELP: &str = include_str!("help.txt");

/// A recording of this demo on a real containerd.
const RECORDING: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/../recordings/demo-2.4.jsonl");

/// The versions of containerd to look for, the best first.
const VERSIONS: [&str; 2] = ["2.4", "1.6"];

/// Where CRI pulls into.
const NAMESPACE: &str = "k8s.io";

/// The most that containerd's data take, in MiB; seen: half of it.
const MEMORY: u64 = 2 * 1024;
/// With so much memory, in MiB, they are kept there: some disks take half a
/// minute to delete them.
const MEMORY_TO_SPARE: u64 = 8 * 1024;

/// How the demo ends where it does not end well.
#[derive(Debug)]
enum Failure {
    /// The call was wrong: exit code 2.
    Call(String),
    /// Exit code 1.
    Failed(String),
    /// The program that shows the pulls has said why.
    Told(u8),
}

impl From<std::io::Error> for Failure {
    fn from(error: std::io::Error) -> Self {
        Self::Failed(error.to_string())
    }
}

fn main() -> ExitCode {
    match run() {
        Ok(()) => ExitCode::SUCCESS,
        Err(Failure::Call(text)) => {
            say(&text);
            ExitCode::from(2)
        }
        Err(Failure::Failed(text)) => {
            say(&text);
            ExitCode::FAILURE
        }
        Err(Failure::Told(code)) => ExitCode::from(code),
    }
}

fn run() -> Result<(), Failure> {
    let args = args::parse(std::env::args_os().skip(1)).map_err(Failure::Call)?;
    if args.help {
        return Ok(std::io::stdout().write_all(HELP.as_bytes())?);
    }
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()?;
    let ran = runtime.block_on(demo(&args));
    // An image may still be in the making.
    runtime.shutdown_background();
    ran
}

async fn demo(args: &Args) -> Result<(), Failure> {
    let stop = Stop::on_signals()?;
    let pulltrace = Pulltrace::find("pulltrace").map_err(Failure::Failed)?;
    let missing = match choose(args) {
        Ok(binary) if args.kubernetes => {
            return cluster::demo(args, &binary, &pulltrace, &stop).await;
        }
        Ok(binary) => match live(args, &binary, &pulltrace, &stop).await {
            Err(Live::NoStart(error)) => Missing {
                reason: format!("containerd does not start here: {}", with_causes(&error)),
                remedy: None,
            },
            Err(Live::Failed(failure)) => return Err(failure),
            Ok(()) => return Ok(()),
        },
        Err(missing) => missing,
    };
    let Missing { reason, remedy } = missing;
    let remedy = remedy.map_or_else(String::new, |remedy| format!("; {remedy}"));
    if args.containerd.is_some() || args.record.is_some() || args.brief || args.kubernetes {
        return Err(Failure::Failed(format!("{reason}{remedy}")));
    }
    say(&format!(
        "this is a replay of a recording: {reason}{remedy}"
    ));
    replay(args, &pulltrace, &stop).await
}

/// Why there can be no pulls, and what to do about it.
struct Missing {
    reason: String,
    remedy: Option<String>,
}

fn choose(args: &Args) -> Result<ContainerdBinary, Missing> {
    let missing = |reason: &str, remedy: &str| Missing {
        reason: reason.to_owned(),
        remedy: Some(remedy.to_owned()),
    };
    if args.replay {
        return Err(Missing {
            reason: "--replay asks for it".into(),
            remedy: None,
        });
    }
    if need::root().is_err() {
        return Err(missing(
            "without root there is no containerd of one's own",
            "for real pulls run it as root: sudo -E cargo xtask demo",
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
            "there is no containerd on this machine",
            "for real pulls install it: apt-get install containerd runc, or run `cargo xtask \
             containerd 2.4` (needs Go)",
        )
    })
}

enum Live {
    NoStart(StartError),
    Failed(Failure),
}

impl<E: Into<Failure>> From<E> for Live {
    fn from(error: E) -> Self {
        Self::Failed(error.into())
    }
}

async fn live(
    args: &Args,
    binary: &ContainerdBinary,
    pulltrace: &Pulltrace,
    stop: &Stop,
) -> Result<(), Live> {
    let show = match &args.record {
        None => pulltrace.args(["watch"]),
        Some(file) => pulltrace.args(["record"]).args([file]),
    };
    passed(show.args(&args.watch).check().await?)?;

    let version = binary.version()?;
    // What stands behind a `+` is for those who build it.
    let version = version.split('+').next().unwrap_or(&version);
    say(&format!(
        "starting a private containerd {version} and a registry; Ctrl-C ends them"
    ));
    let registry = Registry::start()?;
    let library = Library::default();
    // Made while containerd starts: the first pulls begin at once.
    for Step { pull, .. } in script::brief().into_iter().take(3) {
        let library = library.clone();
        tokio::task::spawn_blocking(move || drop(library.make(&pull)));
    }
    let options = Options {
        memory_mib: (memory_available() >= MEMORY_TO_SPARE).then_some(MEMORY),
        mirrors: vec![(stage::HOST.into(), registry.address().to_string())],
        ..Options::default()
    };
    let containerd = tokio::select! {
        started = Containerd::start(binary, &options) => started.map_err(Live::NoStart)?,
        () = stop.asked() => return Ok(()),
    };
    let socket = containerd.socket();
    say(&format!(
        "{} is {}, containerd is {}",
        stage::HOST,
        registry.address(),
        socket.display()
    ));
    // A containerd that never pulled for a kubelet does not have it yet.
    let namespace = ["namespaces", "create", NAMESPACE];
    if let Err(error) = containerd.ctr(NAMESPACE).run(namespace).await {
        return Err(Failure::Failed(error.to_string()).into());
    }
    let source = |command: &Pulltrace| {
        let command = command.args(["--namespace", NAMESPACE, "--socket"]);
        command.args([&socket])
    };
    // What is recorded is what containerd says, so no server stands in between.
    let (mut child, page) = if args.record.is_some() {
        (source(&show).args(&args.watch).start()?, None)
    } else {
        let page = Page::start(&source(&pulltrace.args(["up"])), args.port).await?;
        let shown = page.shown_by(&show).args(&args.watch).start()?;
        (shown, Some(page))
    };
    let line = if args.brief {
        stage::BRIEF_LINE
    } else {
        stage::LINE
    };
    let mut stage = Stage::new(registry, line, containerd.cri(), library);
    let shown = {
        let play = async {
            if args.brief {
                stage.play(script::brief().into_iter()).await;
                // The end of the last pull is still to be seen.
                tokio::time::sleep(Duration::from_secs(1)).await;
            } else {
                stage.play(script::endless(args.seed)).await;
            }
        };
        show_until(&mut child, play, args.time, stop).await
    };
    if let Some(page) = page {
        page.end(stop).await?;
    }
    say("stopping containerd and taking away all that it had");
    let surprises = stage.surprises().to_vec();
    drop(stage);
    drop(containerd);
    passed(shown?)?;
    if surprises.is_empty() {
        return Ok(());
    }
    let text = format!("not as it should be: {}", surprises.join("; "));
    Err(Failure::Failed(text).into())
}

/// How much memory programs can still have, in MiB; none where that is not
/// known.
fn memory_available() -> u64 {
    let table = std::fs::read_to_string("/proc/meminfo").unwrap_or_default();
    table
        .lines()
        .find_map(|line| line.strip_prefix("MemAvailable:"))
        .and_then(|rest| rest.trim().strip_suffix("kB")?.trim().parse::<u64>().ok())
        .map_or(0, |kib| kib / 1024)
}

async fn replay(args: &Args, pulltrace: &Pulltrace, stop: &Stop) -> Result<(), Failure> {
    if !Path::new(RECORDING).is_file() {
        let text = format!("the recording {RECORDING} is missing: check out all of the repository");
        return Err(Failure::Failed(text));
    }
    let show = pulltrace.args(["watch"]);
    passed(show.args(&args.watch).check().await?)?;
    let page = Page::start(&pulltrace.args(["up", "--replay", RECORDING]), args.port).await?;
    let mut child = page.shown_by(&show).args(&args.watch).start()?;
    let shown = show_until(&mut child, std::future::pending(), args.time, stop).await?;
    page.end(stop).await?;
    passed(shown)?;
    say("that was a replay of a recording");
    Ok(())
}

/// Lets `child` show what `play` does, until one of them ends, the time is
/// over, or somebody wants it to stop.
async fn show_until(
    child: &mut Child,
    play: impl Future<Output = ()>,
    time: Option<Duration>,
    stop: &Stop,
) -> std::io::Result<ExitStatus> {
    let over = async {
        match time {
            Some(time) => tokio::time::sleep(time).await,
            None => std::future::pending().await,
        }
    };
    tokio::select! {
        ended = child.ended() => return ended,
        () = play => {}
        () = over => {}
        () = stop.asked() => {}
    }
    child.end(stop).await
}

/// What does not end well has said why, unless it was killed.
fn passed(status: ExitStatus) -> Result<(), Failure> {
    match status.code().map(u8::try_from) {
        Some(Ok(0)) => Ok(()),
        Some(Ok(code)) => Err(Failure::Told(code)),
        Some(Err(_)) | None => {
            let text = format!("the program that shows the pulls was killed ({status})");
            Err(Failure::Failed(text))
        }
    }
}

fn with_causes(error: &dyn std::error::Error) -> String {
    let mut text = error.to_string();
    let mut source = error.source();
    while let Some(cause) = source {
        text += &format!(": {cause}");
        source = cause.source();
    }
    text
}

fn say(text: &str) {
    // Where standard error is gone nobody can be told, and all must be taken
    // away nevertheless.
    let _untold = writeln!(std::io::stderr(), "demo: {text}");
}
