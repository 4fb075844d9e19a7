//! Measures the cost of correlating pods and pulls: memory per waiting pod, CPU for kubelet events,
//! and CPU per report as the number of pods grows.
//!
//! `bench-correlate [--pods 300000] [--waiting 5000]`; `cargo xtask bench correlate` runs it. It
//! starts neither a server nor a cluster: the correlator is called directly with the updates that
//! its sources would send.

use std::process::ExitCode;
use std::sync::Arc;
use std::time::Duration;

use clap::Parser;
use pulltrace_benches::{Error, print, to_mib};
use pulltrace_core::kubelet::{KubeletMessage, PullEventKind};
use pulltrace_core::{
    Bytes, ChangeKind, Mono, NodeTime, Phase, PodRef, Pull, PullId, Repository, RequestedImage,
};
use pulltrace_server_lib::change::{Changes, PullChange, Scope};
use pulltrace_server_lib::cluster::{
    ImageConsumerKind, ImagePresence, Pod, PodImage, PodUpdate, PullEvent, PullEventUpdate,
};
use pulltrace_server_lib::correlate::Correlator;
use pulltrace_server_lib::{Limits, ServerNow};
use pulltrace_testkit::proc::{self, CpuTime};

/// Measures the cost of correlating pods and pulls.
#[derive(Parser)]
#[command(name = "bench-correlate")]
struct Args {
    /// Pods of the cluster.
    #[arg(long, value_name = "N", default_value_t = 300_000)]
    pods: usize,
    /// Pods that wait for an image.
    #[arg(long, value_name = "N", default_value_t = 5_000)]
    waiting: usize,
}

/// The maximum of pods per node that Kubernetes recommends.
const PODS_PER_NODE: usize = 110;

/// The live pulls of the measured node, and the number of reports.
const PULLS: usize = 5;
const REPORTS: u32 = 20_000;

/// The number of events to measure.
const EVENTS: usize = 50_000;

fn main() -> ExitCode {
    pulltrace_benches::run(bench)
}

fn bench(args: &Args) -> Result<(), Error> {
    let Args { pods, waiting } = *args;
    let waiting = waiting.min(pods);
    let pid = std::process::id();
    let mut cpu = CpuTime::for_pid(pid);
    print(&format!("load average {}", proc::load_average()?));

    let before = proc::rss(pid)?;
    let spent = cpu.total()?;
    let mut world = Bench::new();
    world.load_pods(pods, waiting)?;
    let (rss, took) = (proc::rss(pid)?, cpu.total()?.saturating_sub(spent));
    let grown = rss.saturating_sub(before);
    print(&format!(
        "{pods} pods, {waiting} waiting: RSS {:.1} MiB ({:.2} KiB per waiting pod), initial list took {:.2} s of CPU",
        to_mib(rss),
        ratio(grown, waiting) / 1_024.0,
        took.as_secs_f64(),
    ));

    let spent = cpu.total()?;
    for index in 0..EVENTS {
        world.send_event(index % waiting.max(1), index)?;
    }
    let took = cpu.total()?.saturating_sub(spent);
    print(&format!(
        "{EVENTS} events: {:.2} ms of CPU per 1,000, RSS {:.1} MiB",
        took.as_secs_f64() * 1e6 / ratio(EVENTS as u64, 1),
        to_mib(proc::rss(pid)?),
    ));
    drop(world);

    print(&format!("CPU per report: {PULLS} pulls progress; the same and one pull starts:"));
    for pods in [1_000, 10_000, 100_000] {
        let mut world = Bench::new();
        world.load_pods(pods, pods / 60)?;
        let progress = world.measure_reports(&mut cpu, false)?;
        let with_start = world.measure_reports(&mut cpu, true)?;
        print(&format!("{pods:>8} pods  {progress:>6.2} µs  {with_start:>6.2} µs"));
    }
    Ok(())
}

/// A correlator and the time of its updates.
struct Bench {
    correlator: Correlator,
    now: ServerNow,
}

impl Bench {
    fn new() -> Self {
        let at = NodeTime::from_unix(1_795_536_000, 0);
        let mono = Mono(Duration::from_secs(1_000));
        Self { correlator: Correlator::new(Limits::default()), now: ServerNow { mono, at } }
    }

    /// Lists all pods. The first `waiting` ones wait, on as few nodes as can hold them.
    fn load_pods(&mut self, pods: usize, waiting: usize) -> Result<(), Error> {
        self.correlator.apply_pod(PodUpdate::Init, self.now);
        for index in 0..pods {
            let pod = pod(index, index < waiting)?;
            self.correlator.apply_pod(PodUpdate::InitApply(pod), self.now);
        }
        self.correlator.apply_pod(PodUpdate::InitDone, self.now);
        self.correlator.apply_event(PullEventUpdate::Init, self.now);
        self.correlator.apply_event(PullEventUpdate::InitDone, self.now);
        Ok(())
    }

    /// Repeats the kubelet's event `Pulling` for a pod.
    fn send_event(&mut self, pod: usize, index: usize) -> Result<(), Error> {
        let count = u32::try_from(index / 1_000 + 1)?;
        let at = self.now.at.saturating_add(Duration::from_secs(u64::from(count)));
        let event = PullEvent {
            name: format!("web-{pod}.18eb06eb6f4319f2").into(),
            pod: pod_ref(pod)?,
            node: node(pod).parse()?,
            consumer: Some("app".parse()?),
            message: KubeletMessage { image: Some(image(pod)), kind: PullEventKind::Pulling },
            first_seen: self.now.at,
            last_seen: at,
            count,
        };
        self.correlator.apply_event(PullEventUpdate::Apply(event), self.now);
        Ok(())
    }

    /// Returns the CPU time per report of one node, in microseconds.
    fn measure_reports(&mut self, cpu: &mut CpuTime, with_start: bool) -> Result<f64, Error> {
        let pulls: Vec<Pull> = (0..PULLS).map(|index| pull(index, 0)).collect::<Result<_, _>>()?;
        let mut first = Changes::default();
        first.pulls.extend(pulls.iter().map(|pull| change(pull, ChangeKind::Started)));
        self.correlator.apply_pulls(first, self.now);
        let spent = cpu.total()?;
        let mut changed = 0;
        for round in 0..REPORTS {
            let mut changes = Changes::default();
            for pull in &pulls {
                let mut pull = pull.clone();
                pull.motion.downloaded = Bytes(u64::from(round));
                changes.pulls.push(change(&pull, ChangeKind::Progressed));
            }
            if with_start {
                // A pull starts, and the one started before is forgotten.
                let pull = pull(PULLS, round)?;
                changes.pulls.push(change(&pull, ChangeKind::Started));
                if round > 0 {
                    changes.removed_pulls.push(self::pull(PULLS, round - 1)?.facts.id);
                }
            }
            changed += self.correlator.apply_pulls(changes, self.now).pulls.len();
        }
        let took = cpu.total()?.saturating_sub(spent);
        assert!(changed >= PULLS * REPORTS as usize, "every update was passed on");
        Ok(took.as_secs_f64() * 1e6 / f64::from(REPORTS))
    }
}

fn node(pod: usize) -> String {
    format!("worker-{}", pod / PODS_PER_NODE)
}

fn pod_ref(index: usize) -> Result<PodRef, Error> {
    Ok(PodRef {
        namespace: format!("team-{}", index % 50).parse()?,
        name: format!("web-5d8f7c9b64-{index:06}").parse()?,
        uid: format!("f7d35e9a-c3e3-4e59-8323-{index:012}").parse()?,
    })
}

fn image(pod: usize) -> RequestedImage {
    RequestedImage::from_text(&format!("registry.example/team-{}/web:1.{}", pod % 50, pod % 7))
}

fn pod(index: usize, waits: bool) -> Result<Pod, Error> {
    let presence = if waits {
        ImagePresence::Waiting { reason: Some("ContainerCreating".into()), message: None }
    } else {
        ImagePresence::Present { root_digest: None, started_at: None }
    };
    Ok(Pod {
        pod: pod_ref(index)?,
        node: node(index).parse()?,
        images: vec![PodImage {
            consumer: "app".parse()?,
            name: "app".into(),
            kind: ImageConsumerKind::Container,
            image: image(index),
            presence,
        }],
    })
}

fn pull(index: usize, round: u32) -> Result<Pull, Error> {
    let created = NodeTime::from_unix(1_795_536_100, 0);
    let id = PullId::Lease {
        node: node(0).parse()?,
        namespace: "k8s.io".parse()?,
        lease: format!("{index}-{round}").parse()?,
        created,
    };
    let mut pull = Pull::new(id, Phase::Downloading, created);
    pull.repository = Some(Repository::new("registry.example", &format!("team-{index}/web"))?);
    pull.total = Some(Bytes(1 << 30));
    Ok(pull)
}

fn change(pull: &Pull, kind: ChangeKind) -> PullChange {
    let mut change = PullChange::new(kind, Arc::new(pull.clone()));
    if kind == ChangeKind::Progressed {
        change.scope = Scope::Motion;
    }
    change
}

#[expect(clippy::cast_precision_loss, reason = "rounded for output")]
fn ratio(sum: u64, count: usize) -> f64 {
    sum as f64 / count.max(1) as f64
}
