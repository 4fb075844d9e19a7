//! `pulltrace`: the pulls of a containerd or a cluster, in the terminal or as a page. Flags, signals and exit codes are here and
//! beside here; what a pull is doing is decided by the libraries.

#![forbid(unsafe_code)]

mod cli;
mod error;
mod log;
mod record;
mod replay;
mod source;
mod up;
mod value;
mod view;
mod watch;

use std::process::ExitCode;
use std::time::Duration;

use cli::{Cli, Command};
use error::Error;
use pulltrace_shell::stop::Stop;

/// What a command may take to end after it was told to; a pipe that nobody reads can hold it up.
const GRACE: Duration = Duration::from_secs(3);

fn main() -> ExitCode {
    let cli = match pulltrace_shell::args::parse::<Cli>() {
        Ok(cli) => cli,
        Err(code) => return code,
    };
    match run(cli) {
        Ok(()) => ExitCode::SUCCESS,
        // Whoever read has read enough, as `head` does.
        Err(error) if error.is_broken_pipe() => ExitCode::SUCCESS,
        Err(error) => {
            pulltrace_shell::error::print("pulltrace", &error);
            error.exit_code()
        }
    }
}

fn run(cli: Cli) -> Result<(), Error> {
    // The second thread keeps signals heard while the first waits for a pipe that nobody reads.
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .worker_threads(2)
        .enable_all()
        .build()
        .map_err(Error::Runtime)?;
    let result = runtime.block_on(async {
        let stop = Stop::on_signals().map_err(Error::Runtime)?;
        let late = stop.clone();
        let command = tokio::spawn(async move {
            match cli.command {
                Command::Watch(args) => watch::run(args, cli.log, stop).await,
                Command::Up(args) => up::run(args, cli.log, stop).await,
                Command::Record(args) => record::run(args, cli.log, stop).await,
                Command::Replay(args) => replay::run(args, cli.log, stop).await,
            }
        });
        tokio::select! {
            result = command => result.map_err(|_| Error::Panicked)?,
            () = late.overdue(GRACE) => Err(Error::Overdue),
        }
    });
    runtime.shutdown_background();
    view::screen::restore();
    result
}
