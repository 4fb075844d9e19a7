//! `cargo xtask demo [ARG…]`: builds what the demo needs and becomes it.

use std::process::Command;

use crate::error::Result;
use crate::process;
use crate::root::Root;
use crate::setup;

/// What cannot be built without; the demo does without the others.
const COMPILER: &str = "protobuf-compiler";

pub(crate) fn run(root: &Root, args: &[String]) -> Result<()> {
    let missing = setup::install_missing(process::run)?;
    if let Some(text) = setup::say_missing(&missing) {
        if missing.contains(&COMPILER) {
            return Err(crate::error::Error::Failed(text));
        }
        // Without containerd the demo replays a recording, and says so too.
        println!("{text}");
    }
    println!("building pulltrace and the demo");
    for (package, bin) in [("pulltrace", "pulltrace"), ("pulltrace-testkit", "demo")] {
        process::run(process::cargo(&root.dir).args(["build", "-p", package, "--bin", bin]))?;
    }
    // Not `cargo run`: Ctrl-C must reach the demo and nothing else, for it has
    // a containerd to stop.
    let mut demo = Command::new(root.target.join("debug/demo"));
    demo.args(args)
        .current_dir(&root.dir)
        .env("PULLTRACE_CACHE", &root.cache);
    Err(process::become_program(&mut demo))
}
