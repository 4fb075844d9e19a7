//! What a user sees of real pulls of a real containerd, scenario by scenario and version by version.
//!
//! The versions are those of `PULLTRACE_CONTAINERD` (`1.6,2.4` where that is not set), so the tests are made
//! when this starts: `cargo test -p pulltrace-testkit --test scenarios -- 2.4::five`.

mod contract;
mod faults;
mod images;
mod kit;
mod others;
mod pulls;
mod restarts;
mod waits;
mod watch;

use libtest_mimic::{Arguments, Failed, Trial};

use kit::Scenario;

const VERSIONS: &str = "1.6,2.4";

/// Scenarios that run at once where `--test-threads` does not say: each mostly waits for polls.
const AT_ONCE: usize = 4;

const ALL: &[&[Scenario]] = &[
    pulls::ALL,
    images::ALL,
    waits::ALL,
    faults::ALL,
    restarts::ALL,
    others::ALL,
    contract::ALL,
];

fn main() {
    let versions = std::env::var("PULLTRACE_CONTAINERD").unwrap_or_default();
    let versions = if versions.is_empty() {
        VERSIONS
    } else {
        &versions
    };
    let mut trials = Vec::new();
    for version in versions.split(',').map(|version| version.trim().to_owned()) {
        for scenario in ALL.iter().copied().flatten() {
            let version = version.clone();
            let name = format!("{version}::{}", scenario.name);
            trials.push(Trial::test(name, move || run(&version, scenario)));
        }
    }
    let mut arguments = Arguments::from_args();
    arguments.test_threads.get_or_insert(AT_ONCE);
    libtest_mimic::run(&arguments, trials).exit();
}

fn run(version: &str, scenario: &Scenario) -> Result<(), Failed> {
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()?;
    runtime.block_on(scenario.run(version));
    Ok(())
}
