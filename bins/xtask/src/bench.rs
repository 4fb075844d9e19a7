//! `cargo xtask bench NAME`: builds and runs a program of `benches` with the programs that
//! it measures, or the bench of the page.

use clap::builder::PossibleValuesParser;

use crate::containerd;
use crate::error::Result;
use crate::process;
use crate::root::Root;
use crate::setup;
use crate::web;

#[derive(Debug, PartialEq)]
struct Bench {
    name: &'static str,
    summary: &'static str,
    /// Its options with their defaults.
    options: &'static str,
    /// Programs that the bench starts.
    programs: &'static [&'static str],
    needs_containerd: bool,
}

const BENCHES: &[Bench] = &[
    Bench {
        name: "agent",
        summary: "processor time and memory of the agent, and its load on containerd",
        options: "[--seconds 30] [--containerd 2.4]…",
        programs: &["pulltrace-agent", "pulltrace-server"],
        needs_containerd: true,
    },
    Bench {
        name: "correlate",
        summary: "processor time and memory of correlating pods with pulls",
        options: "[--pods 300000] [--waiting 5000]",
        programs: &[],
        needs_containerd: false,
    },
    Bench {
        name: "eta",
        summary: "error of the estimated time left",
        options: "[--runs 5] [--containerd 2.4]…",
        programs: &[],
        needs_containerd: true,
    },
    Bench {
        name: "latency",
        summary: "age of the data that a reader of the server sees",
        options: "[--pulls 100] [--containerd 2.4]…",
        programs: &["pulltrace-agent", "pulltrace-server"],
        needs_containerd: true,
    },
    Bench {
        name: "server",
        summary: "processor time and memory of a server with many nodes",
        options: "[--nodes 1000]… [--seconds 30] [--settle 10]",
        programs: &["pulltrace-server"],
        needs_containerd: false,
    },
];

/// The newest version that the benches use; the other is Debian's.
const NEWEST_CONTAINERD: &str = "2.4";

/// The bench of the page, a script in `web`.
const WEB: &str = "web";
const WEB_OPTIONS: &str = "[--seconds 20] [--minutes N] [--dist DIR]";

pub(crate) fn details() -> String {
    let lines = BENCHES.iter().map(|bench| (bench.name, bench.summary, bench.options));
    let web = (WEB, "speed and heap growth of the page in Chromium", WEB_OPTIONS);
    let lines: Vec<String> = lines
        .chain([web])
        .map(|(name, summary, options)| format!("  {name:10} {summary}\n  {:10} {options}", ""))
        .collect();
    format!(
        "\
Benches, with their options and defaults:

{}

Installs missing packages and builds release versions of the measured programs.
Results and what they mean: docs/benchmarks.md.",
        lines.join("\n")
    )
}

#[derive(Debug, clap::Args)]
pub(crate) struct Args {
    /// The bench
    #[arg(hide_possible_values = true, value_parser = names())]
    name: String,
    /// Options of the bench
    #[arg(value_name = "OPTION", allow_hyphen_values = true)]
    options: Vec<String>,
}

fn names() -> PossibleValuesParser {
    BENCHES.iter().map(|bench| bench.name).chain([WEB]).collect::<Vec<_>>().into()
}

pub(crate) fn run(root: &Root, args: &Args) -> Result<()> {
    let options = &args.options;
    let Some(bench) = BENCHES.iter().find(|bench| bench.name == args.name) else {
        return web::exec_script(root, "bench", options);
    };
    let versions = bench.needs_containerd.then(|| NEWEST_CONTAINERD.to_owned());
    let versions: Vec<String> = versions.into_iter().collect();
    let containerd = containerd::start(root, &versions)?;
    setup::ensure()?;
    if bench.programs.contains(&"pulltrace-server") {
        // The server embeds the page.
        web::build(root, &mut process::run)?;
    }
    for program in bench.programs {
        process::run(process::cargo(&root.dir).args(["build", "--release", "-p", program]))?;
    }
    containerd.finish()?;
    let mut cargo = process::cargo(&root.dir);
    cargo.args(["run", "--release", "-p", "pulltrace-benches", "--bin"]);
    cargo.arg(format!("bench-{}", bench.name));
    cargo.arg("--").args(options);
    cargo.env("PULLTRACE_CACHE", &root.cache);
    Err(process::exec(&mut cargo))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn options_are_those_of_programs() {
        let root = Root::find().unwrap().dir;
        for bench in BENCHES {
            let stem = format!("benches/src/bin/bench-{}", bench.name);
            let file = root.join(format!("{stem}.rs"));
            let source = std::fs::read_to_string(&file)
                .or_else(|_| std::fs::read_to_string(root.join(stem).join("main.rs")));
            assert!(source.unwrap().contains(bench.options), "{}", bench.name);
        }
    }
}
