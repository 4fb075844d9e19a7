//! Measures the cost of the agent and the load that it adds to containerd: idle, and with ten pulls
//! of twenty layers that are held midway. For comparison it runs a bare loop of the same calls, at
//! the same rate and at ten times that rate.
//!
//! `bench-agent [--seconds 30] [--containerd 2.4]…`; `cargo xtask bench agent` runs it. Each client
//! is a separate process. The registry holds the pulls, so that containerd neither downloads nor
//! unpacks while it is measured.

mod bare;
mod calls;
mod results;

use std::path::{Path, PathBuf};
use std::process::{ExitCode, Stdio};
use std::time::Duration;

use clap::{Parser, Subcommand, value_parser};
use pulltrace_benches::{ContainerdVersions, Error, log, print, runtime, seconds};
use pulltrace_testkit::clock;
use pulltrace_testkit::containerd::{Containerd, Options};
use pulltrace_testkit::cri::Pull;
use pulltrace_testkit::image::{Image, Layer};
use pulltrace_testkit::need;
use pulltrace_testkit::registry::{Gate, Registry};
use pulltrace_testkit::wait;
use tokio::process::{Child, Command};
use tokio::signal::unix::{SignalKind, signal};

use bare::{ContainerdClient, PollCounts};
use calls::MetricsEndpoint;
use pulltrace_testkit::proc::{self, CpuTime};
use pulltrace_testkit::program::{self, Server};
use results::{ClientKind, Measurement};

const PULLS: usize = 10;
const LAYERS: usize = 20;
const LAYER_BYTES: u64 = 256 << 10;
/// Larger than manifests and configs, but within every layer.
const HOLD_OFFSET: u64 = 128 << 10;

/// The time that a process gets to settle before it is measured.
const SETTLE: Duration = Duration::from_secs(5);
/// The longest that ten pulls may take until all are held.
const HOLD_TIMEOUT: Duration = Duration::from_secs(60);
/// The pulls are held once nothing has changed for this long.
const STABLE_FOR: Duration = Duration::from_secs(3);
/// The interval at which CPU times are sampled: those of ended threads are lost.
const SAMPLE_INTERVAL: Duration = Duration::from_secs(1);

/// Measures the cost of the agent and the load that it adds to containerd.
#[derive(Parser)]
#[command(name = "bench-agent", args_conflicts_with_subcommands = true)]
struct Args {
    /// Duration of a measurement.
    #[arg(long, value_name = "N", default_value = "30", value_parser = seconds)]
    seconds: Duration,
    #[command(flatten)]
    containerd: ContainerdVersions,
    #[command(subcommand)]
    mode: Option<Mode>,
}

#[derive(Subcommand)]
enum Mode {
    /// Polls containerd until it is killed. The bench starts this mode of its own program.
    #[command(hide = true)]
    Bare {
        #[arg(long)]
        socket: PathBuf,
        #[arg(long, value_parser = value_parser!(u64).range(1..))]
        interval_ms: u64,
    },
}

fn main() -> ExitCode {
    pulltrace_benches::run(run)
}

fn run(args: &Args) -> Result<ExitCode, Error> {
    runtime()?.block_on(async {
        if let Some(Mode::Bare { socket, interval_ms }) = &args.mode {
            bare::run(socket, Duration::from_millis(*interval_ms)).await?;
            return Ok(ExitCode::SUCCESS);
        }
        let mut interrupted = signal(SignalKind::interrupt())?;
        let mut terminated = signal(SignalKind::terminate())?;
        // Dropping the future stops everything that it started.
        tokio::select! {
            done = bench(args.seconds, &args.containerd.versions) => done?,
            _ = interrupted.recv() => return Ok(ExitCode::from(130)),
            _ = terminated.recv() => return Ok(ExitCode::from(143)),
        }
        Ok(ExitCode::SUCCESS)
    })
}

async fn bench(seconds: Duration, versions: &[String]) -> Result<(), Error> {
    let agent = program::find("pulltrace-agent")?;
    let size = std::fs::metadata(&agent)?;
    // A server that receives the agent's reports: sending them is part of the agent's cost.
    let logs = tempfile::tempdir()?;
    let server = Server::start(program::find("pulltrace-server")?, logs.path()).await?;
    let cores = std::thread::available_parallelism()?;
    let load_before = proc::load_average()?;
    let mut rows = Vec::new();
    for version in versions {
        let bench = Bench { agent: &agent, server: server.url(), seconds, version };
        bench.run(&mut rows).await?;
    }
    let load_after = proc::load_average()?;
    print(&format!(
        "{} s each; {cores} cores, load average {load_before} at the start and {load_after} at the end\n\n{}\n{}",
        seconds.as_secs(),
        results::table(&rows),
        results::budget_table(&rows, size.len()),
    ));
    Ok(())
}

/// The benchmark with one version of containerd.
struct Bench<'a> {
    agent: &'a Path,
    /// The server that the agent reports to.
    server: &'a str,
    seconds: Duration,
    version: &'a str,
}

impl Bench<'_> {
    async fn run(&self, rows: &mut Vec<Measurement>) -> Result<(), Error> {
        let binary = need::containerd(self.version)?;
        let metrics = MetricsEndpoint::on_free_port()?;
        let options = Options {
            // containerd must not give up held pulls.
            image_pull_progress_timeout: Some(Duration::from_secs(24 * 3600)),
            extra: metrics.config(),
            ..Options::in_memory()
        };
        let containerd = Containerd::start(&binary, &options).await?;
        let registry = Registry::start()?;
        // Creates the containerd namespace and an image, as on any node.
        let small = Image::builder().layer(&Layer::random("small", LAYER_BYTES));
        let small = registry.push("small:1", &small.build());
        containerd.cri().pull(&small).outcome().await?;
        self.measure_scenario("idle", &containerd, metrics, rows).await?;
        let held = HeldPulls::start(&containerd, &registry).await?;
        self.measure_scenario("10 × 20", &containerd, metrics, rows).await?;
        held.cancel().await;
        Ok(())
    }

    /// Measures containerd alone, with the agent, with the bare loop at the agent's measured rate,
    /// and at ten times that rate. The last shows the cost of a poll to containerd even if
    /// containerd's other work is far greater.
    async fn measure_scenario(
        &self,
        state: &'static str,
        containerd: &Containerd,
        metrics: MetricsEndpoint,
        rows: &mut Vec<Measurement>,
    ) -> Result<(), Error> {
        let socket = containerd.socket();
        let listed = ContainerdClient::connect(&socket)?.poll().await?;
        let measure = async |who, command: Option<Command>| {
            log(&format!(
                "containerd {}, {state}: {who} for {} s",
                self.version,
                self.seconds.as_secs()
            ));
            self.measure(state, who, listed, containerd, metrics, command).await
        };

        let alone = measure(ClientKind::None, None).await?;
        let mut report = child_command(self.agent);
        report.args(["--node-name", "bench", "--log-level", "warn"]);
        report.args(["--server-url", self.server, "--socket"]);
        report.arg(&socket);
        let mut agent = measure(ClientKind::Agent, Some(report)).await?;
        let interval = agent.interval().unwrap_or(Duration::from_secs(1));
        let bare_loop = |interval: Duration| -> Result<Command, Error> {
            let mut again = child_command(&std::env::current_exe()?);
            again.arg("bare").arg("--socket").arg(&socket);
            again.arg("--interval-ms").arg(interval.as_millis().max(1).to_string());
            Ok(again)
        };
        let mut bare = measure(ClientKind::BareLoop, Some(bare_loop(interval)?)).await?;
        let mut often = measure(ClientKind::FastBareLoop, Some(bare_loop(interval / 10)?)).await?;
        for row in [&mut agent, &mut bare, &mut often] {
            row.baseline_cpu = Some(alone.containerd_cpu);
        }
        rows.extend([alone, agent, bare, often]);
        Ok(())
    }

    async fn measure(
        &self,
        state: &'static str,
        who: ClientKind,
        listed: PollCounts,
        containerd: &Containerd,
        metrics: MetricsEndpoint,
        command: Option<Command>,
    ) -> Result<Measurement, Error> {
        let mut child = command.map(|mut command| command.spawn()).transpose()?;
        tokio::time::sleep(SETTLE).await;
        let daemon = containerd.pid().ok_or("containerd is not running")?;
        let pid = child.as_ref().and_then(Child::id);
        let mut daemon = CpuTime::for_pid(daemon);
        let mut client = pid.map(CpuTime::for_pid);

        let calls = metrics.calls().await?;
        let daemon_before = daemon.total()?;
        let client_before = client.as_mut().map(CpuTime::total).transpose()?;
        let began = clock::now();
        while began.elapsed() < self.seconds {
            let left = self.seconds.saturating_sub(began.elapsed());
            tokio::time::sleep(left.min(SAMPLE_INTERVAL)).await;
            if let Some(child) = &mut child
                && let Some(status) = child.try_wait()?
            {
                let name = who.name();
                return Err(format!("{name} exited during the measurement: {status}").into());
            }
            daemon.total()?;
            client.as_mut().map(CpuTime::total).transpose()?;
        }
        let took = began.elapsed();
        let daemon_after = daemon.total()?;
        let client_after = client.as_mut().map(CpuTime::total).transpose()?;
        let calls_after = metrics.calls().await?;
        let rss = pid.map(proc::rss).transpose()?;
        if let Some(child) = &mut child {
            child.kill().await?;
        }
        Ok(Measurement {
            version: self.version.to_owned(),
            state,
            who,
            listed,
            took,
            polls: calls_after.polls - calls.polls,
            calls: calls_after.all - calls.all,
            client_cpu: client_after
                .zip(client_before)
                .map(|(after, before)| after.saturating_sub(before)),
            rss,
            containerd_cpu: daemon_after.saturating_sub(daemon_before),
            baseline_cpu: None,
        })
    }
}

/// Runs a program that ends when this process does, even if this process is killed.
fn child_command(program: &Path) -> Command {
    let mut command = Command::new("setpriv");
    command
        .args(["--pdeathsig", "KILL", "--"])
        .arg(program)
        .stdin(Stdio::null())
        .stdout(Stdio::null())
        .kill_on_drop(true);
    command
}

/// Pulls that the registry holds midway.
struct HeldPulls {
    pulls: Vec<Pull>,
    _gate: Gate,
}

impl HeldPulls {
    async fn start(containerd: &Containerd, registry: &Registry) -> Result<Self, Error> {
        let gate = registry.blobs().hold(HOLD_OFFSET);
        let cri = containerd.cri();
        let mut pulls = Vec::with_capacity(PULLS);
        for image in 0..PULLS {
            let layers = (0..LAYERS).map(|i| Layer::random(&format!("{image}-{i}"), LAYER_BYTES));
            let built = Image::builder().layers(layers).build();
            let reference = registry.push(&format!("held-{image}:1"), &built);
            pulls.push(cri.pull(&reference));
        }
        let lists = ContainerdClient::connect(&containerd.socket())?;
        let mut last = (lists.poll().await?, clock::now());
        let what = format!("{PULLS} pulls are held");
        wait::until(what, HOLD_TIMEOUT, async || match lists.poll().await {
            Ok(listed) if listed != last.0 => {
                last = (listed, clock::now());
                None
            }
            Ok(listed) => {
                let still = listed.leases >= PULLS && last.1.elapsed() >= STABLE_FOR;
                still.then_some(Ok(()))
            }
            Err(error) => Some(Err(error)),
        })
        .await??;
        Ok(Self { pulls, _gate: gate })
    }

    async fn cancel(self) {
        for pull in self.pulls {
            if !pull.cancel().await {
                log("a held pull ended early");
            }
        }
    }
}
