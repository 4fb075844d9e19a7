//! How wrong the time left is that the collector says of real pulls, at a
//! quarter, at half and at three quarters of their time.
//!
//! `bench-eta [--runs 5] [--containerd 2.4]…`; `cargo xtask bench eta` calls
//! it. Each kind of pull has a containerd and a registry of its own, all at
//! once: what limits them is the registry's throttle, not the machine.

use std::process::ExitCode;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use futures_util::future::join_all;
use pulltrace_agent_lib::Clock;
use pulltrace_agent_lib::source::PullSource as _;
use pulltrace_agent_lib::source::containerd::Containerd as Source;
use pulltrace_core::{Eta, Limits, NodeTime, PullTable};
use pulltrace_testkit::containerd::{Containerd, ContainerdBinary, Options};
use pulltrace_testkit::image::{Image, Layer, mib};
use pulltrace_testkit::need;
use pulltrace_testkit::registry::Registry;

const USAGE: &str = "usage: bench-eta [--runs 5] [--containerd 2.4]…";

/// Where the time left is looked at, as parts of the whole time of a pull.
const POINTS: [(f64, &str); 3] = [(0.25, "¼"), (0.5, "½"), (0.75, "¾")];

type Error = Box<dyn std::error::Error>;

/// What is pulled, and how fast.
#[derive(Clone, Copy)]
struct Kind {
    name: &'static str,
    layers: fn(run: usize) -> Vec<Layer>,
    /// Bytes per second.
    rate: u64,
    /// Where half of the bytes are through, half of the rate is taken away.
    halved: bool,
    /// The most that the median error at half of the time may be, in percent.
    goal: f64,
}

const KINDS: [Kind; 4] = [
    Kind {
        name: "five layers",
        layers: |run| layers(run, "five", &[12, 2, 16, 4, 8].map(mib)),
        rate: mib(2),
        halved: false,
        goal: 15.0,
    },
    Kind {
        name: "five layers, rate halved midway",
        layers: |run| layers(run, "half", &[8, 2, 12, 3, 5].map(mib)),
        rate: mib(2),
        halved: true,
        goal: 30.0,
    },
    Kind {
        name: "60 layers of 512 KiB",
        layers: |run| layers(run, "small", &[mib(1) / 2; 60]),
        rate: mib(3) / 2,
        halved: false,
        goal: 15.0,
    },
    Kind {
        name: "one layer of 40 MiB",
        layers: |run| layers(run, "huge", &[mib(40)]),
        rate: mib(2),
        halved: false,
        goal: 15.0,
    },
];

fn layers(run: usize, name: &str, sizes: &[u64]) -> Vec<Layer> {
    let layers = sizes.iter().enumerate();
    layers
        .map(|(i, size)| Layer::random(&format!("{name}-{run}-{i}"), *size))
        .collect()
}

/// What was said at a moment.
#[derive(Clone, Copy)]
struct Said {
    at: NodeTime,
    eta: Option<Eta>,
}

/// What was said at one point of one pull, and what was true.
#[derive(Clone, Copy)]
struct Point {
    left: f64,
    said: Option<Eta>,
}

impl Point {
    /// In percent of the time that was left; positive where too much was said.
    fn error(&self) -> Option<f64> {
        let said = self.said?.left.as_secs_f64();
        Some((said - self.left) / self.left * 100.0)
    }

    fn is_within(&self) -> bool {
        let left = self.left;
        self.said
            .is_some_and(|eta| eta.low.as_secs_f64() <= left && left <= eta.high.as_secs_f64())
    }
}

fn main() -> ExitCode {
    match parse(std::env::args().skip(1)) {
        Ok((runs, versions)) => match bench(runs, &versions) {
            Ok(true) => ExitCode::SUCCESS,
            Ok(false) => ExitCode::FAILURE,
            Err(error) => {
                say(&error.to_string());
                ExitCode::FAILURE
            }
        },
        Err(error) => {
            say(&format!("{error}\n{USAGE}"));
            ExitCode::from(2)
        }
    }
}

fn parse(mut args: impl Iterator<Item = String>) -> Result<(usize, Vec<String>), String> {
    let (mut runs, mut versions) = (5, Vec::new());
    while let Some(flag) = args.next() {
        let value = args.next().ok_or(format!("{flag} needs a value"))?;
        match flag.as_str() {
            "--runs" => {
                let read = value.parse().ok().filter(|runs| *runs > 0);
                runs = read.ok_or(format!("--runs {value}: a number from 1 on is accepted"))?;
            }
            "--containerd" => versions.push(value),
            _ => return Err(format!("there is no option {flag}")),
        }
    }
    if versions.is_empty() {
        versions = ["1.6", "2.4"].map(str::to_owned).to_vec();
    }
    Ok((runs, versions))
}

/// Whether all goals were reached.
fn bench(runs: usize, versions: &[String]) -> Result<bool, Error> {
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()?;
    let mut all = Vec::new();
    for version in versions {
        let binary = need::containerd(version)?;
        for kind in KINDS {
            // Built before anything is measured.
            let images: Vec<Image> = (0..runs)
                .map(|run| Image::builder().layers((kind.layers)(run)).build())
                .collect();
            all.push((binary.clone(), kind, images));
        }
    }
    let measured = runtime.block_on(join_all(
        all.iter()
            .map(|(binary, kind, images)| measure(binary, *kind, images)),
    ));
    print("| containerd | pull | at | median error | worst | within low–high | goal |");
    print("|---|---|---|---|---|---|---|");
    let mut reached = true;
    for ((binary, kind, _), pulls) in all.iter().zip(measured) {
        let pulls = pulls?;
        for (i, (part, name)) in POINTS.iter().enumerate() {
            let points: Vec<Point> = pulls.iter().map(|pull| pull[i]).collect();
            reached &= row(binary, kind, *part, name, &points);
        }
    }
    Ok(reached)
}

/// Prints one row; whether its goal was reached.
fn row(binary: &ContainerdBinary, kind: &Kind, part: f64, name: &str, points: &[Point]) -> bool {
    let mut errors: Vec<f64> = points.iter().filter_map(Point::error).collect();
    errors.sort_by(|a, b| a.abs().total_cmp(&b.abs()));
    let within = points.iter().filter(|point| point.is_within()).count();
    // Where nothing was said there is no error, and no goal reached.
    let silent = points.len() - errors.len();
    let median = errors.get(errors.len() / 2).copied();
    let has_goal = part == 0.5;
    let reached = silent == 0 && median.is_some_and(|median| median.abs() <= kind.goal);
    let percent = |error: Option<&f64>| error.map_or("–".to_owned(), |e| format!("{e:+.0} %"));
    let goal = match (has_goal, reached) {
        (false, _) => "–".to_owned(),
        (true, true) => format!("{:.0} %: reached", kind.goal),
        (true, false) => format!("{:.0} %: **missed**", kind.goal),
    };
    let silence = match silent {
        0 => String::new(),
        silent => format!(" ({silent} without)"),
    };
    print(&format!(
        "| {} | {} | {name} | {}{silence} | {} | {within} of {} | {goal} |",
        binary.minor,
        kind.name,
        percent(median.as_ref()),
        percent(errors.last()),
        points.len(),
    ));
    !has_goal || reached
}

/// Pulls each image, one after the other, and looks at what is said meanwhile.
async fn measure(
    binary: &ContainerdBinary,
    kind: Kind,
    images: &[Image],
) -> Result<Vec<[Point; 3]>, Error> {
    let mut options = Options::quick();
    options.memory_mib = Some(2_048);
    let containerd = Containerd::start(binary, &options).await?;
    let registry = Registry::start()?;
    let said = Arc::new(Mutex::new(Vec::new()));
    let source = Source::builder("node-1".parse()?)
        .socket(containerd.socket())
        .start();
    let listener = tokio::spawn(listen(source, Arc::clone(&said)));
    let mut pulls = Vec::new();
    for (run, image) in images.iter().enumerate() {
        said.lock().unwrap_or_else(PoisonError::into_inner).clear();
        let name = format!("eta/run-{run}:1");
        let (from, to) = pull(&containerd, &registry, kind, image, &name).await?;
        let said = said.lock().unwrap_or_else(PoisonError::into_inner);
        pulls.push(POINTS.map(|(part, _)| look(&said, from, to, part)));
        let seconds = to.since(from).as_secs_f64();
        say(&format!(
            "containerd {}, {}: run {} took {seconds:.1} s",
            binary.minor,
            kind.name,
            run + 1
        ));
    }
    listener.abort();
    Ok(pulls)
}

/// Pulls one image; when it began and when it was over.
async fn pull(
    containerd: &Containerd,
    registry: &Registry,
    kind: Kind,
    image: &Image,
    name: &str,
) -> Result<(NodeTime, NodeTime), Error> {
    const LONG: Duration = Duration::from_secs(120);
    let clock = Clock::system();
    let repository = name.split(':').next().unwrap_or(name);
    registry.blobs().throttle(Some(kind.rate));
    let reference = registry.push(name, image);
    let from = clock.now().node;
    let pull = containerd.cri().pull(&reference);
    if kind.halved {
        let half = image.manifest().unique_layer_bytes() / 2;
        let blobs = registry.blobs().in_repository(repository);
        blobs.await_bytes(half, LONG).await?;
        registry.blobs().throttle(Some(kind.rate / 2));
    }
    pull.outcome_within(LONG).await?;
    Ok((from, clock.now().node))
}

/// Writes down each time left that is said of the only pull there is.
async fn listen(mut source: Source, said: Arc<Mutex<Vec<Said>>>) {
    let mut table = PullTable::new(Limits::default());
    while let Ok(Some(batch)) = source.next().await {
        table.apply(&batch.observations, batch.now);
        let live = table.pulls().find(|pull| pull.outcome().is_none());
        if let Some(pull) = live {
            let eta = pull.eta;
            let mut said = said.lock().unwrap_or_else(PoisonError::into_inner);
            said.push(Said {
                at: batch.now.node,
                eta,
            });
        }
    }
}

/// What was last said before this part of the time.
fn look(said: &[Said], from: NodeTime, to: NodeTime, part: f64) -> Point {
    let whole = to.since(from);
    let at = from.saturating_add(whole.mul_f64(part));
    let last = said.iter().rfind(|said| said.at <= at);
    Point {
        // As it was when it was said.
        left: to.since(last.map_or(at, |said| said.at)).as_secs_f64(),
        said: last.and_then(|said| said.eta),
    }
}

#[expect(clippy::print_stdout, reason = "the table is what was asked for")]
fn print(text: &str) {
    println!("{text}");
}

#[expect(clippy::print_stderr, reason = "progress is for people")]
fn say(text: &str) {
    eprintln!("{text}");
}
