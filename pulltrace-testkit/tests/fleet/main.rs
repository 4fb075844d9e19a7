//! What people see of real pulls: a real containerd, the agent and the server as they are deployed, and
//! readers of the server; scenario by scenario and version by version.
//!
//! The versions are those of `PULLTRACE_CONTAINERD` (`1.6,2.4` where that is not set). The programs are those
//! that `cargo build --workspace --all-features --all-targets` put beside this one.

mod agent;
mod kit;
mod page;
mod pods;
mod pulls;
mod reader;
mod restarts;

use libtest_mimic::{Arguments, Failed, Trial};

use kit::Scenario;
use pods::kit::PodScenario;

const VERSIONS: &str = "1.6,2.4";

/// Scenarios that run at once where `--test-threads` does not say: each mostly waits.
const AT_ONCE: usize = 4;

const ALL: &[&[Scenario]] = &[pulls::ALL, restarts::ALL, agent::ALL];

fn main() {
    let versions = std::env::var("PULLTRACE_CONTAINERD").unwrap_or_default();
    let versions = if versions.is_empty() {
        VERSIONS
    } else {
        &versions
    };
    let versions: Vec<&str> = versions.split(',').map(str::trim).collect();
    let mut trials = Vec::new();
    for version in &versions {
        let scenarios = ALL.iter().copied().flatten();
        trials.extend(scenarios.map(|scenario| trial(version, scenario)));
        let with_pods = pods::ALL.iter().copied().flatten();
        trials.extend(with_pods.map(|scenario| pod_trial(version, scenario)));
    }
    // Of these nothing depends on who pulls.
    if let Some(newest) = versions.last() {
        trials.push(trial(newest, &page::SCENARIO));
        let once = pods::ONCE.iter().copied().flatten();
        trials.extend(once.map(|scenario| pod_trial(newest, scenario)));
    }
    let mut arguments = Arguments::from_args();
    arguments.test_threads.get_or_insert(AT_ONCE);
    libtest_mimic::run(&arguments, trials).exit();
}

fn trial(version: &str, scenario: &'static Scenario) -> Trial {
    let of = version.to_owned();
    let name = format!("{version}::{}", scenario.name);
    Trial::test(name, move || run(scenario.run(&of)))
}

fn pod_trial(version: &str, scenario: &'static PodScenario) -> Trial {
    let of = version.to_owned();
    let name = format!("{version}::pods::{}", scenario.name);
    Trial::test(name, move || run(scenario.run(&of)))
}

fn run(scenario: impl Future<Output = ()>) -> Result<(), Failed> {
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()?;
    runtime.block_on(scenario);
    Ok(())
}
