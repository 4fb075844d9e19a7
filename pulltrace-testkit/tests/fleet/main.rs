//! Real pulls from the view of a user: with containerd, agent and server as deployed, and readers
//! of the server, by scenario and version.
//!
//! `PULLTRACE_CONTAINERD` selects the versions (default `1.6,2.4`). The programs must be built with
//! `cargo build --workspace --all-features --all-targets`.

mod agent;
mod kit;
mod page;
mod pods;
mod pulls;
mod reader;
mod restarts;

use libtest_mimic::{Arguments, Failed, Trial};
use pulltrace_testkit::need;

use kit::Scenario;
use pods::kit::PodScenario;

const VERSIONS: &str = "1.6,2.4";

/// Parallel scenarios unless `--test-threads` is given; each mostly waits.
const PARALLEL_SCENARIOS: usize = 4;

const ALL: &[&[Scenario]] = &[pulls::ALL, restarts::ALL, agent::ALL];

fn main() {
    let versions = std::env::var("PULLTRACE_CONTAINERD").unwrap_or_default();
    let versions = if versions.is_empty() { VERSIONS } else { &versions };
    let versions: Vec<&str> = versions.split(',').map(str::trim).collect();
    let mut trials = Vec::new();
    for version in &versions {
        let scenarios = ALL.iter().copied().flatten();
        trials.extend(scenarios.map(|scenario| trial(version, scenario)));
        let with_pods = pods::ALL.iter().copied().flatten();
        trials.extend(with_pods.map(|scenario| pod_trial(version, scenario)));
    }
    // These don't depend on the version of containerd.
    if let Some(newest) = versions.last() {
        trials.push(trial(newest, &page::SCENARIO));
        let once = pods::ONCE.iter().copied().flatten();
        trials.extend(once.map(|scenario| pod_trial(newest, scenario)));
    }
    let mut arguments = Arguments::from_args();
    arguments.test_threads.get_or_insert(PARALLEL_SCENARIOS);
    libtest_mimic::run(&arguments, trials).exit();
}

fn trial(version: &str, scenario: &'static Scenario) -> Trial {
    let of = version.to_owned();
    let name = format!("{version}::{}", scenario.name);
    Trial::test(name.clone(), need::named_test(name, move || run(scenario.run(&of))))
}

fn pod_trial(version: &str, scenario: &'static PodScenario) -> Trial {
    let of = version.to_owned();
    let name = format!("{version}::pods::{}", scenario.name);
    Trial::test(name.clone(), need::named_test(name, move || run(scenario.run(&of))))
}

fn run(scenario: impl Future<Output = ()>) -> Result<(), Failed> {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    runtime.block_on(scenario);
    Ok(())
}
