//! `cargo xtask demo`: pulls of a private containerd, shown by `pulltrace up` as a web page and by
//! `pulltrace watch` in the terminal until Ctrl-C, or a recording of them if containerd is
//! unavailable. The demo with pods is in `cluster`, the one without in `live`.
//!
//! `script` defines the pulls, `stage` executes them.
#![forbid(unsafe_code)]

mod args;
mod child;
mod cluster;
mod containerd;
mod error;
mod images;
mod live;
mod page;
mod pods;
mod script;
mod stage;
mod stop;

use std::path::Path;
use std::process::ExitCode;

use pulltrace_core::error::error_chain;

use args::Args;
use child::{Program, check_status, show_until};
use containerd::Unavailable;
use error::{DemoError, log};
use live::LiveError;
use page::PageServer;
use stop::Stop;

/// A recording of this demo on a real containerd.
const RECORDING: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/../recordings/demo-2.4.jsonl");

fn main() -> ExitCode {
    let args = match args::parse() {
        Ok(args) => args,
        Err(code) => return code,
    };
    match run(&args) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => error.report(),
    }
}

fn run(args: &Args) -> Result<(), DemoError> {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    let ran = runtime.block_on(demo(args));
    // An image may still be being built.
    runtime.shutdown_background();
    ran
}

async fn demo(args: &Args) -> Result<(), DemoError> {
    let stop = Stop::on_signals()?;
    let pulltrace = Program::find("pulltrace").map_err(DemoError::Failed)?;
    let missing = match containerd::find(args) {
        Ok(binary) if args.kubernetes => {
            return cluster::run(args, &binary, &pulltrace, &stop).await;
        }
        Ok(binary) => match live::run(args, &binary, &pulltrace, &stop).await {
            Err(LiveError::StartFailed(error)) => Unavailable {
                reason: format!("failed to start containerd: {}", error_chain(&error)),
                remedy: None,
            },
            Err(LiveError::Failed(failure)) => return Err(failure),
            Ok(()) => return Ok(()),
        },
        Err(missing) => missing,
    };
    let Unavailable { reason, remedy } = missing;
    let remedy = remedy.map_or_else(String::new, |remedy| format!("; {remedy}"));
    if args.containerd.is_some() || args.record.is_some() || args.brief || args.kubernetes {
        return Err(DemoError::Failed(format!("{reason}{remedy}")));
    }
    log(&format!("replaying a recording: {reason}{remedy}"));
    replay(args, &pulltrace, &stop).await
}

async fn replay(args: &Args, pulltrace: &Program, stop: &Stop) -> Result<(), DemoError> {
    if !Path::new(RECORDING).is_file() {
        let text = format!("missing recording {RECORDING}: check out the whole repository");
        return Err(DemoError::Failed(text));
    }
    let show = pulltrace.args(["watch"]);
    check_status(show.args(&args.watch_flags).check_args().await?)?;
    let page = PageServer::start(&pulltrace.args(["up", "--replay", RECORDING]), args.port).await?;
    let mut child = page.watch_command(&show).args(&args.watch_flags).start()?;
    let shown = show_until(&mut child, std::future::pending(), args.duration(), stop).await?;
    page.stop(stop).await?;
    check_status(shown)?;
    log("the pulls were replayed from a recording");
    Ok(())
}
