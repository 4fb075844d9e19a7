//! `cargo xtask`: tasks of this project, such as running the tests.
//!
//! `cli` has the list of tasks. This crate must not depend on other crates of the workspace, so
//! that it compiles in a minute and without protoc. Code that needs them is a program of `benches`
//! or `demo`, which a task builds and starts.
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
mod files;
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

fn main() -> ExitCode {
    let cli = match cli::Cli::from_args(std::env::args()) {
        Ok(cli) => cli,
        Err(error) => error.exit(),
    };
    match cli.run() {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            if let Some(text) = error.text() {
                eprintln!("xtask: {text}");
            }
            error.exit_code()
        }
    }
}
