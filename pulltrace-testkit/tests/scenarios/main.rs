//! Real pulls on a real containerd, from the view of a user, by scenario and version.
//!
//! `PULLTRACE_CONTAINERD` selects the versions (default `1.6,2.4`), so the tests are generated at
//! startup: `cargo test -p pulltrace-testkit --test scenarios -- 2.4::five`.

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
use pulltrace_testkit::need;

use kit::Scenario;

const VERSIONS: &str = "1.6,2.4";

/// Parallel scenarios unless `--test-threads` is given; each mostly waits for polls.
const PARALLEL_SCENARIOS: usize = 4;

const ALL: &[&[Scenario]] =
    &[pulls::ALL, images::ALL, waits::ALL, faults::ALL, restarts::ALL, others::ALL, contract::ALL];

fn main() {
    let versions = std::env::var("PULLTRACE_CONTAINERD").unwrap_or_default();
    let versions = if versions.is_empty() { VERSIONS } else { &versions };
    let mut trials = Vec::new();
    for version in versions.split(',').map(|version| version.trim().to_owned()) {
        for scenario in ALL.iter().copied().flatten() {
            let version = version.clone();
            let name = format!("{version}::{}", scenario.name);
            trials.push(Trial::test(
                name.clone(),
                need::named_test(name, move || run(&version, scenario)),
            ));
        }
    }
    let mut arguments = Arguments::from_args();
    arguments.test_threads.get_or_insert(PARALLEL_SCENARIOS);
    libtest_mimic::run(&arguments, trials).exit();
}

fn run(version: &str, scenario: &Scenario) -> Result<(), Failed> {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    runtime.block_on(scenario.run(version));
    Ok(())
}
