//! What it costs to know which pods wait: memory for each pod, CPU for the
//! kubelet's events, and what a report costs with ever more pods around it.
//!
//! `bench-correlate [--pods 300000] [--waiting 5000]`; `cargo xtask bench
//! correlate` calls it. Nothing is served and nothing is asked: the correlator
//! is told what sources would say.

use std::process::ExitCode;
use std::sync::Arc;
use std::time::Duration;

use pulltrace_core::{
    Bytes, ChangeKind, Mono, NodeTime, Phase, PodRef, Pull, PullId, Repository, WantedImage,
};
use pulltrace_server_lib::cluster::{
    KubeletWord, Pod, PodImage, PodUpdate, PullEvent, PullEventUpdate, Seen, SlotKind,
};
use pulltrace_server_lib::correlate::Correlator;
use pulltrace_server_lib::fleet::{Changes, PullChange, Scope};
use pulltrace_server_lib::{Limits, ServerNow};
use pulltrace_testkit::proc::{self, Cpu};

const USAGE: &str = "usage: bench-correlate [--pods 300000] [--waiting 5000]";

/// Pods of one node, as Kubernetes recommends at most.
const PODS_PER_NODE: usize = 110;

/// Live pulls of the node whose reports are measured, and how many reports.
const PULLS: usize = 5;
const REPORTS: u32 = 20_000;

/// Events whose cost is measured.
const EVENTS: usize = 50_000;

type Error = Box<dyn std::error::Error>;

#[expect(clippy::print_stderr, reason = "an error is for people")]
fn main() -> ExitCode {
    let args: Vec<String> = std::env::args().skip(1).collect();
    let run = parse(&args).and_then(|(pods, waiting)| run(pods, waiting));
    match run {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("bench-correlate: {error}");
            ExitCode::from(2)
        }
    }
}

fn parse(args: &[String]) -> Result<(usize, usize), Error> {
    let (mut pods, mut waiting) = (300_000, 5_000);
    for pair in args.chunks(2) {
        let [name, value] = pair else {
            return Err(USAGE.into());
        };
        match name.as_str() {
            "--pods" => pods = value.parse()?,
            "--waiting" => waiting = value.parse()?,
            _ => return Err(USAGE.into()),
        }
    }
    Ok((pods, waiting.min(pods)))
}

#[expect(clippy::print_stdout, reason = "the figures are what was asked for")]
fn run(pods: usize, waiting: usize) -> Result<(), Error> {
    let me = std::process::id();
    let mut cpu = Cpu::of(me);
    println!("load average {}", proc::load_average()?);

    let before = proc::rss(me)?;
    let spent = cpu.total()?;
    let mut world = World::new();
    world.list(pods, waiting)?;
    let (rss, took) = (proc::rss(me)?, cpu.total()?.saturating_sub(spent));
    let grown = rss.saturating_sub(before);
    println!(
        "{pods} pods, of which {waiting} wait: RSS {:.1} MiB ({:.2} KiB for each that waits), listed in {:.2} s of CPU",
        mib(rss),
        per(grown, waiting) / 1_024.0,
        took.as_secs_f64(),
    );

    let spent = cpu.total()?;
    for index in 0..EVENTS {
        world.event(index % waiting.max(1), index)?;
    }
    let took = cpu.total()?.saturating_sub(spent);
    println!(
        "{EVENTS} events: {:.2} ms of CPU for each 1,000, RSS {:.1} MiB",
        took.as_secs_f64() * 1e6 / per(EVENTS as u64, 1),
        mib(proc::rss(me)?),
    );
    drop(world);

    println!("a report that moves {PULLS} pulls, and one of which a pull begins:");
    for pods in [1_000, 10_000, 100_000] {
        let mut world = World::new();
        world.list(pods, pods / 60)?;
        let moved = world.reports(&mut cpu, false)?;
        let began = world.reports(&mut cpu, true)?;
        println!("{pods:>8} pods  {moved:>6.2} µs  {began:>6.2} µs");
    }
    Ok(())
}

/// A correlator, and what is told to it.
struct World {
    correlator: Correlator,
    now: ServerNow,
}

impl World {
    fn new() -> Self {
        let at = NodeTime::from_unix(1_795_536_000, 0);
        let mono = Mono(Duration::from_secs(1_000));
        Self {
            correlator: Correlator::new(Limits::default()),
            now: ServerNow { mono, at },
        }
    }

    /// All pods are listed; so many wait, on as few nodes as hold them.
    fn list(&mut self, pods: usize, waiting: usize) -> Result<(), Error> {
        self.correlator.pod(PodUpdate::Reset, self.now);
        for index in 0..pods {
            let pod = pod(index, index < waiting)?;
            self.correlator.pod(PodUpdate::Init(pod), self.now);
        }
        self.correlator.pod(PodUpdate::Done, self.now);
        self.correlator.event(PullEventUpdate::Reset, self.now);
        self.correlator.event(PullEventUpdate::Done, self.now);
        Ok(())
    }

    /// A kubelet announces the image of a pod again.
    fn event(&mut self, pod: usize, index: usize) -> Result<(), Error> {
        let count = u32::try_from(index / 1_000 + 1)?;
        let at = self
            .now
            .at
            .saturating_add(Duration::from_secs(u64::from(count)));
        let event = PullEvent {
            name: format!("web-{pod}.18eb06eb6f4319f2").into(),
            pod: pod_ref(pod)?,
            node: node(pod).parse()?,
            slot: Some("app".parse()?),
            image: Some(image(pod)),
            first: self.now.at,
            last: at,
            count,
            word: KubeletWord::Pulling,
        };
        self.correlator
            .event(PullEventUpdate::Applied(event), self.now);
        Ok(())
    }

    /// Microseconds of CPU for each of many reports of one node.
    fn reports(&mut self, cpu: &mut Cpu, begin: bool) -> Result<f64, Error> {
        let pulls: Vec<Pull> = (0..PULLS)
            .map(|index| pull(index, 0))
            .collect::<Result<_, _>>()?;
        let mut first = Changes::default();
        first
            .pulls
            .extend(pulls.iter().map(|pull| change(pull, ChangeKind::Started)));
        self.correlator.pulls(first, self.now);
        let spent = cpu.total()?;
        let mut said = 0;
        for round in 0..REPORTS {
            let mut changes = Changes::default();
            for pull in &pulls {
                let mut pull = pull.clone();
                pull.downloaded = Bytes(u64::from(round));
                changes.pulls.push(change(&pull, ChangeKind::Progressed));
            }
            if begin {
                // Another one begins, and the one before is forgotten.
                let pull = pull(PULLS, round)?;
                changes.pulls.push(change(&pull, ChangeKind::Started));
                if round > 0 {
                    changes.forgotten.push(self::pull(PULLS, round - 1)?.id);
                }
            }
            said += self.correlator.pulls(changes, self.now).pulls.len();
        }
        let took = cpu.total()?.saturating_sub(spent);
        assert!(said >= PULLS * REPORTS as usize, "what was told was shown");
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

fn image(pod: usize) -> WantedImage {
    WantedImage::of(&format!(
        "registry.example/team-{}/web:1.{}",
        pod % 50,
        pod % 7
    ))
}

fn pod(index: usize, waits: bool) -> Result<Pod, Error> {
    let state = if waits {
        Seen::Waiting {
            reason: Some("ContainerCreating".into()),
            message: None,
        }
    } else {
        Seen::Present {
            root: None,
            since: None,
        }
    };
    Ok(Pod {
        pod: pod_ref(index)?,
        node: node(index).parse()?,
        images: vec![PodImage {
            slot: "app".parse()?,
            name: "app".into(),
            kind: SlotKind::Container,
            image: image(index),
            state,
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
    pull.repository = Some(Repository::new(
        "registry.example",
        &format!("team-{index}/web"),
    )?);
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

fn mib(bytes: u64) -> f64 {
    per(bytes, 1) / 1_048_576.0
}

#[expect(clippy::cast_precision_loss, reason = "figures for people")]
fn per(sum: u64, count: usize) -> f64 {
    sum as f64 / count.max(1) as f64
}
