//! What the agent costs, and what it makes containerd spend: idle, and with ten
//! pulls of twenty layers that stand still half-way. Beside it a bare loop of
//! the same calls, as often, and ten times as often.
//!
//! `bench-agent [--seconds 30] [--containerd 2.4]…`; `cargo xtask bench agent`
//! calls it. Each is a process of its own. The pulls are held by the registry,
//! so that containerd downloads and unpacks nothing meanwhile.

mod bare;
mod calls;
mod rows;

use std::path::{Path, PathBuf};
use std::process::{ExitCode, Stdio};
use std::time::Duration;

use pulltrace_testkit::CallError;
use pulltrace_testkit::clock;
use pulltrace_testkit::containerd::{Containerd, Options, StartError};
use pulltrace_testkit::cri::Pull;
use pulltrace_testkit::image::{Image, Layer};
use pulltrace_testkit::need::{self, Missing};
use pulltrace_testkit::registry::{Gate, Registry};
use pulltrace_testkit::wait::{self, TimedOut};
use tokio::process::{Child, Command};
use tokio::signal::unix::{SignalKind, signal};

use bare::{Listed, Lists};
use calls::Metrics;
use pulltrace_testkit::proc::{self, Cpu};
use pulltrace_testkit::program::{self, Server};
use rows::{Row, Who};

const USAGE: &str = "usage: bench-agent [--seconds 30] [--containerd 2.4]…";

const PULLS: usize = 10;
const LAYERS: usize = 20;
const LAYER_BYTES: u64 = 256 << 10;
/// Beyond manifests and configs, within each layer.
const HELD_AT: u64 = 128 << 10;

/// How long a process may settle before it is measured.
const SETTLE: Duration = Duration::from_secs(5);
/// How long ten pulls may take to stand still.
const STANDING: Duration = Duration::from_secs(60);
/// For how long nothing may have changed where pulls stand still.
const STILL: Duration = Duration::from_secs(3);
/// How often times are looked at, since those of ended threads are lost.
const LOOK: Duration = Duration::from_secs(1);

#[derive(Debug, thiserror::Error)]
enum Error {
    #[error("{0}")]
    Usage(String),
    #[error(transparent)]
    Missing(#[from] Missing),
    #[error(transparent)]
    Start(#[from] StartError),
    #[error(transparent)]
    Late(#[from] TimedOut),
    #[error("containerd cannot be reached: {0}")]
    Transport(#[from] tonic::transport::Error),
    #[error("containerd refused a call: {0}")]
    Call(#[from] Box<tonic::Status>),
    #[error("an image could not be pulled: {0}")]
    Pull(#[from] CallError),
    #[error("containerd's metrics cannot be read: {0}")]
    Metrics(String),
    #[error("{0} ended while it was measured: {1}")]
    Ended(&'static str, std::process::ExitStatus),
    #[error(transparent)]
    Io(#[from] std::io::Error),
}

impl From<tonic::Status> for Error {
    fn from(status: tonic::Status) -> Self {
        Self::Call(Box::new(status))
    }
}

enum Wanted {
    Bench {
        seconds: Duration,
        versions: Vec<String>,
    },
    Bare {
        socket: PathBuf,
        interval: Duration,
    },
}

fn main() -> ExitCode {
    match started() {
        Ok(code) => code,
        Err(Error::Usage(text)) => {
            say(&format!("{text}\n{USAGE}"));
            ExitCode::from(2)
        }
        Err(error) => {
            say(&format!("bench-agent: {error}"));
            ExitCode::FAILURE
        }
    }
}

fn started() -> Result<ExitCode, Error> {
    let wanted = parse(std::env::args().skip(1))?;
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()?;
    runtime.block_on(async {
        match wanted {
            Wanted::Bare { socket, interval } => bare::run(&socket, interval).await?,
            Wanted::Bench { seconds, versions } => {
                let mut interrupted = signal(SignalKind::interrupt())?;
                let mut terminated = signal(SignalKind::terminate())?;
                // What was started ends with the future that is dropped.
                tokio::select! {
                    done = bench(seconds, &versions) => done?,
                    _ = interrupted.recv() => return Ok(ExitCode::from(130)),
                    _ = terminated.recv() => return Ok(ExitCode::from(143)),
                }
            }
        }
        Ok(ExitCode::SUCCESS)
    })
}

fn parse(mut args: impl Iterator<Item = String>) -> Result<Wanted, Error> {
    let mut seconds = 30;
    let mut versions = Vec::new();
    let (mut socket, mut interval) = (None, None);
    let mut args = args.by_ref().peekable();
    let bare = args.next_if(|arg| arg == "bare").is_some();
    while let Some(flag) = args.next() {
        let value = args
            .next()
            .ok_or_else(|| Error::Usage(format!("{flag} needs a value")))?;
        let number = || {
            let number = value.parse::<u64>().ok().filter(|number| *number > 0);
            number.ok_or_else(|| Error::Usage(format!("{flag} {value}: a number is accepted")))
        };
        match flag.as_str() {
            "--seconds" => seconds = number()?,
            "--containerd" => versions.push(value),
            "--socket" if bare => socket = Some(PathBuf::from(value)),
            "--interval-ms" if bare => interval = Some(Duration::from_millis(number()?)),
            _ => return Err(Error::Usage(format!("there is no option {flag}"))),
        }
    }
    if bare {
        let missing = || Error::Usage("bare needs --socket and --interval-ms".into());
        return Ok(Wanted::Bare {
            socket: socket.ok_or_else(missing)?,
            interval: interval.ok_or_else(missing)?,
        });
    }
    if versions.is_empty() {
        versions = ["1.6", "2.4"].map(str::to_owned).to_vec();
    }
    Ok(Wanted::Bench {
        seconds: Duration::from_secs(seconds),
        versions,
    })
}

async fn bench(seconds: Duration, versions: &[String]) -> Result<(), Error> {
    let agent = program::find("pulltrace-agent")?;
    let size = std::fs::metadata(&agent)?;
    // One that takes what the agent reports: that is a part of what it costs.
    let logs = tempfile::tempdir()?;
    let server = Server::start(program::find("pulltrace-server")?, logs.path()).await?;
    let cores = std::thread::available_parallelism()?;
    let began = proc::load_average()?;
    let mut rows = Vec::new();
    for version in versions {
        let bench = Bench {
            agent: &agent,
            server: server.url(),
            seconds,
            version,
        };
        bench.run(&mut rows).await?;
    }
    let ended = proc::load_average()?;
    print(&format!(
        "{} s each; {cores} cores, load {began} at the beginning and {ended} at the end\n\n{}\n{}",
        seconds.as_secs(),
        rows::table(&rows),
        rows::beside(&rows, size.len()),
    ));
    Ok(())
}

/// One version of containerd.
struct Bench<'a> {
    agent: &'a Path,
    /// Where it reports to.
    server: &'a str,
    seconds: Duration,
    version: &'a str,
}

impl Bench<'_> {
    async fn run(&self, rows: &mut Vec<Row>) -> Result<(), Error> {
        let binary = need::containerd(self.version)?;
        let metrics = Metrics::choose()?;
        let options = Options {
            // Held pulls are not to be given up.
            image_pull_progress_timeout: Some(Duration::from_secs(24 * 3600)),
            extra: metrics.config(),
            ..Options::quick()
        };
        let containerd = Containerd::start(&binary, &options).await?;
        let registry = Registry::start()?;
        // A node has containerd's namespace, and an image.
        let small = Image::builder().layer(&Layer::random("small", LAYER_BYTES));
        let small = registry.push("small:1", &small.build());
        containerd.cri().pull(&small).outcome().await?;
        self.state("idle", &containerd, metrics, rows).await?;
        let held = Held::begin(&containerd, &registry).await?;
        self.state("10 × 20", &containerd, metrics, rows).await?;
        held.end().await;
        Ok(())
    }

    /// Containerd alone, with the agent, with the bare loop as often as the
    /// agent was seen to poll, and ten times as often: that shows what a poll
    /// costs containerd where its own work is much more.
    async fn state(
        &self,
        state: &'static str,
        containerd: &Containerd,
        metrics: Metrics,
        rows: &mut Vec<Row>,
    ) -> Result<(), Error> {
        let socket = containerd.socket();
        let listed = Lists::connect(&socket)?.poll().await?;
        let measure = async |who, command: Option<Command>| {
            say(&format!(
                "containerd {}, {state}: {who} for {} s",
                self.version,
                self.seconds.as_secs()
            ));
            self.measure(state, who, listed, containerd, metrics, command)
                .await
        };

        let alone = measure(Who::Nobody, None).await?;
        let mut report = command(self.agent);
        report.args(["--node-name", "bench", "--log-level", "warn"]);
        report.args(["--server-url", self.server, "--socket"]);
        report.arg(&socket);
        let mut agent = measure(Who::Agent, Some(report)).await?;
        let interval = agent.interval().unwrap_or(Duration::from_secs(1));
        let bare_loop = |interval: Duration| -> Result<Command, Error> {
            let mut again = command(&std::env::current_exe()?);
            again.arg("bare").arg("--socket").arg(&socket);
            again
                .arg("--interval-ms")
                .arg(interval.as_millis().max(1).to_string());
            Ok(again)
        };
        let mut bare = measure(Who::Bare, Some(bare_loop(interval)?)).await?;
        let mut often = measure(Who::BareOften, Some(bare_loop(interval / 10)?)).await?;
        for row in [&mut agent, &mut bare, &mut often] {
            row.alone = Some(alone.containerd);
        }
        rows.extend([alone, agent, bare, often]);
        Ok(())
    }

    async fn measure(
        &self,
        state: &'static str,
        who: Who,
        listed: Listed,
        containerd: &Containerd,
        metrics: Metrics,
        command: Option<Command>,
    ) -> Result<Row, Error> {
        let mut child = command.map(|mut command| command.spawn()).transpose()?;
        tokio::time::sleep(SETTLE).await;
        let daemon = containerd
            .pid()
            .ok_or(Error::Metrics("containerd does not run".into()))?;
        let pid = child.as_ref().and_then(Child::id);
        let mut daemon = Cpu::of(daemon);
        let mut client = pid.map(Cpu::of);

        let calls = metrics.calls().await?;
        let daemon_before = daemon.total()?;
        let client_before = client.as_mut().map(Cpu::total).transpose()?;
        let began = clock::now();
        while began.elapsed() < self.seconds {
            let left = self.seconds.saturating_sub(began.elapsed());
            tokio::time::sleep(left.min(LOOK)).await;
            if let Some(child) = &mut child
                && let Some(status) = child.try_wait()?
            {
                return Err(Error::Ended(who.name(), status));
            }
            daemon.total()?;
            client.as_mut().map(Cpu::total).transpose()?;
        }
        let took = began.elapsed();
        let daemon_after = daemon.total()?;
        let client_after = client.as_mut().map(Cpu::total).transpose()?;
        let calls_after = metrics.calls().await?;
        let rss = pid.map(proc::rss).transpose()?;
        if let Some(child) = &mut child {
            child.kill().await?;
        }
        Ok(Row {
            version: self.version.to_owned(),
            state,
            who,
            listed,
            took,
            polls: calls_after.polls - calls.polls,
            calls: calls_after.all - calls.all,
            client: client_after
                .zip(client_before)
                .map(|(after, before)| after.saturating_sub(before)),
            rss,
            containerd: daemon_after.saturating_sub(daemon_before),
            alone: None,
        })
    }
}

/// A child that ends when we do, also when we are killed.
fn command(program: &Path) -> Command {
    let mut command = Command::new("setpriv");
    command
        .args(["--pdeathsig", "KILL", "--"])
        .arg(program)
        .stdin(Stdio::null())
        .stdout(Stdio::null())
        .kill_on_drop(true);
    command
}

/// Pulls that stand still.
struct Held {
    pulls: Vec<Pull>,
    _gate: Gate,
}

impl Held {
    async fn begin(containerd: &Containerd, registry: &Registry) -> Result<Self, Error> {
        let gate = registry.blobs().hold(HELD_AT);
        let cri = containerd.cri();
        let mut pulls = Vec::with_capacity(PULLS);
        for image in 0..PULLS {
            let layers = (0..LAYERS).map(|i| Layer::random(&format!("{image}-{i}"), LAYER_BYTES));
            let built = Image::builder().layers(layers).build();
            let reference = registry.push(&format!("held-{image}:1"), &built);
            pulls.push(cri.pull(&reference));
        }
        let lists = Lists::connect(&containerd.socket())?;
        let mut last = (lists.poll().await?, clock::now());
        let what = format!("{PULLS} pulls stand still");
        wait::until(what, STANDING, async || match lists.poll().await {
            Ok(listed) if listed != last.0 => {
                last = (listed, clock::now());
                None
            }
            Ok(listed) => {
                let still = listed.leases >= PULLS && last.1.elapsed() >= STILL;
                still.then_some(Ok(()))
            }
            Err(error) => Some(Err(error)),
        })
        .await??;
        Ok(Self { pulls, _gate: gate })
    }

    async fn end(self) {
        for pull in self.pulls {
            if !pull.cancel().await {
                say("a pull that was held ended before its time");
            }
        }
    }
}

#[expect(clippy::print_stdout, reason = "the table is what was asked for")]
fn print(text: &str) {
    println!("{text}");
}

#[expect(clippy::print_stderr, reason = "progress and errors are for people")]
fn say(text: &str) {
    eprintln!("{text}");
}
