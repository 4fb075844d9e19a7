//! `cargo xtask`: tasks of this project, such as running the tests.
//!
//! This file has the list of tasks. This crate must not depend on other crates of the workspace, so
//! that it compiles in seconds and without protoc. Code that needs them is a program of the testkit,
//! which a task builds and starts.
#![forbid(unsafe_code)]
#![expect(clippy::print_stdout, clippy::print_stderr, reason = "tasks print to the terminal")]

mod background;
mod bench;
mod cli;
mod clock;
mod containerd;
mod demo;
mod e2e;
mod error;
mod errors;
mod fuzz;
mod go;
mod graph;
mod kubernetes;
mod process;
mod process_tree;
mod progress;
mod root;
mod same_code;
mod setup;
mod test;
mod tidy;
mod web;

use std::process::ExitCode;

use error::Result;
use root::Root;

/// A task: `cargo xtask NAME ARGS`.
struct Task {
    name: &'static str,
    args: &'static str,
    /// One line of `cargo xtask help`.
    summary: &'static str,
    /// The rest of `cargo xtask NAME --help`; may be empty. Must not build anything.
    details: fn() -> String,
    run: fn(&Root, &[String]) -> Result<()>,
}

const TASKS: &[Task] = &[
    Task {
        name: "test",
        args: "[STAGE…]",
        summary: "run all stages of CI, or the named ones",
        details: test::details,
        run: test::run,
    },
    Task {
        name: "demo",
        args: "[OPTION…]",
        summary: "watch pulls of a private containerd, live, until Ctrl-C",
        details: || demo::DETAILS.to_owned(),
        run: demo::run,
    },
    Task {
        name: "e2e",
        args: "[VERSION…] [--kubelet | --random SEED]",
        summary: "run scenarios on more versions of containerd, with a kubelet, or at random",
        details: e2e::details,
        run: e2e::run,
    },
    Task {
        name: "bench",
        args: "agent|correlate|eta|latency|server|web [OPTION…]",
        summary: "measure cost, latency and accuracy",
        details: bench::details,
        run: bench::run,
    },
    Task {
        name: "screenshots",
        args: "[states] [OPTION…]",
        summary: "take the pictures of the README, or of each state of the page",
        details: || web::SCREENSHOTS_DETAILS.to_owned(),
        run: web::screenshots,
    },
    Task {
        name: "fuzz",
        args: "TARGET [SECONDS]",
        summary: "run a parser on random input",
        details: fuzz::details,
        run: fuzz::run,
    },
    Task {
        name: "tidy",
        args: "",
        summary: "check the rules of this repository that no compiler checks",
        details: tidy::details,
        run: tidy::run,
    },
    Task {
        name: "errors",
        args: "",
        summary: "write docs/errors.md from the error types",
        details: String::new,
        run: errors::run,
    },
    Task {
        name: "same-code",
        args: "BASE [--names] [--strings] [--list] [--write-map]",
        summary: "compare the code with BASE, without comments, texts and names",
        details: String::new,
        run: same_code::run,
    },
    Task {
        name: "setup",
        args: "",
        summary: "install required packages, and build containerd and the API server",
        details: setup::details,
        run: setup::run,
    },
    Task {
        name: "containerd",
        args: "VERSION…",
        summary: "build versions of containerd into the cache",
        details: containerd::details,
        run: containerd::run,
    },
    Task {
        name: "kubernetes",
        args: "[node]",
        summary: "build the tests' API server, or a whole node, into the cache",
        details: || kubernetes::DETAILS.to_owned(),
        run: kubernetes::run,
    },
];

fn main() -> ExitCode {
    let args: Vec<String> = std::env::args().skip(1).collect();
    match cli::dispatch(&args) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            if let Some(text) = error.text() {
                eprintln!("xtask: {text}");
            }
            error.exit_code()
        }
    }
}
