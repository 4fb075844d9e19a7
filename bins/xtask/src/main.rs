//! `cargo xtask`: the project's own tasks.
//!
//! Here: the list of tasks and how one is chosen. Each task has its own file.
//! Nothing here may depend on a crate of this workspace: what needs them is a
//! program of the testkit, which a task builds and starts.
#![forbid(unsafe_code)]
#![expect(
    clippy::print_stdout,
    clippy::print_stderr,
    reason = "a task talks to the person who started it"
)]

mod bench;
mod clock;
mod containerd;
mod demo;
mod e2e;
mod error;
mod fuzz;
mod graph;
mod kubernetes;
mod process;
mod root;
mod same_code;
mod setup;
mod test;
mod tidy;
mod web;

use std::process::ExitCode;

use error::{Error, Result};
use root::Root;

/// One task: its name, its arguments and one line for `help`.
struct Task {
    name: &'static str,
    args: &'static str,
    line: &'static str,
    run: fn(&Root, &[String]) -> Result<()>,
}

const TASKS: &[Task] = &[
    Task {
        name: "test",
        args: "[STAGE…]",
        line: "everything that CI runs, or only the named stages",
        run: test::run,
    },
    Task {
        name: "demo",
        args: "[ARG…]",
        line: "pulls of a private containerd, shown live until Ctrl-C (--help)",
        run: demo::run,
    },
    Task {
        name: "e2e",
        args: "[VERSION…] [--kubelet | --random SEED]",
        line: "the scenarios on more versions of containerd or with a real kubelet, or random pulls",
        run: e2e::run,
    },
    Task {
        name: "bench",
        args: "agent|correlate|eta|latency|server|web [ARG…]",
        line: "what agent, server and page cost, how far off times left are, how old what is shown",
        run: bench::run,
    },
    Task {
        name: "screenshots",
        args: "[states] [ARG…]",
        line: "the README's pictures of the page, or one of each of its states (--out DIR)",
        run: web::screenshots,
    },
    Task {
        name: "fuzz",
        args: "TARGET [SECONDS]",
        line: "feed a reader with random input (default: 600 s)",
        run: fuzz::run,
    },
    Task {
        name: "tidy",
        args: "",
        line: "the rules of this repository that no compiler checks",
        run: tidy::run,
    },
    Task {
        name: "same-code",
        args: "BASE [--names] [--strings] [--write-map]",
        line: "prove that a change of comments, texts or names changes nothing else",
        run: same_code::run,
    },
    Task {
        name: "setup",
        args: "",
        line: "install protoc, make, containerd, runc, chromium and curl, and build the API server, where missing",
        run: setup::run,
    },
    Task {
        name: "containerd",
        args: "VERSION…",
        line: "build a version of containerd into the cache (needs Go)",
        run: containerd::run,
    },
    Task {
        name: "kubernetes",
        args: "[node]",
        line: "build the tests' API server, or a whole node, into the cache (needs Go)",
        run: kubernetes::run,
    },
];

fn main() -> ExitCode {
    let args: Vec<String> = std::env::args().skip(1).collect();
    match dispatch(&args) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            if let Some(text) = error.text() {
                eprintln!("xtask: {text}");
            }
            error.exit_code()
        }
    }
}

fn dispatch(args: &[String]) -> Result<()> {
    let Some((name, rest)) = args.split_first() else {
        return Err(Error::Usage(format!("which task?\n\n{}", help())));
    };
    if matches!(name.as_str(), "help" | "--help" | "-h") {
        println!("{}", help());
        return Ok(());
    }
    let task = TASKS
        .iter()
        .find(|task| task.name == name)
        .ok_or_else(|| Error::Usage(format!("there is no task `{name}`\n\n{}", help())))?;
    (task.run)(&Root::find()?, rest)
}

fn help() -> String {
    let shown = |task: &Task| format!("{} {}", task.name, task.args).trim_end().to_owned();
    let width = TASKS
        .iter()
        .map(|task| shown(task).chars().count())
        .max()
        .unwrap_or(0);
    let lines: Vec<String> = TASKS
        .iter()
        .map(|task| format!("  {:width$}  {}", shown(task), task.line))
        .collect();
    format!("cargo xtask TASK\n\n{}", lines.join("\n"))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn words(line: &str) -> Vec<String> {
        line.split_whitespace().map(str::to_owned).collect()
    }

    #[test]
    fn help_has_a_line_for_each_task() {
        let help = help();
        for task in TASKS {
            assert!(
                help.lines()
                    .any(|l| l.trim().starts_with(task.name) && l.contains(task.line))
            );
        }
    }

    #[test]
    fn an_unknown_task_is_a_usage_error_that_names_it() {
        for line in ["", "tset", "--test"] {
            let error = dispatch(&words(line)).expect_err("not a task");
            assert!(
                matches!(&error, Error::Usage(text) if text.contains(line)),
                "{error:?}"
            );
        }
    }
}
