//! `pulltrace`: shows the pulls of containerd or of a cluster, in the terminal or as a page. This
//! crate holds flags, views, signals and exit codes; the libraries track pulls.

#![forbid(unsafe_code)]

mod cli;
mod error;
mod log;
mod record;
mod replay;
mod shutdown;
mod source;
mod up;
mod value;
mod view;
mod watch;

use std::process::ExitCode;

use cli::{Cli, Command};
use error::Error;
use pulltrace_shell::shutdown::Shutdown;

fn main() -> ExitCode {
    let cli = match pulltrace_shell::args::parse::<Cli>() {
        Ok(cli) => cli,
        Err(code) => return code,
    };
    match run(cli) {
        Ok(()) => ExitCode::SUCCESS,
        // The reader closed the pipe, as `head` does.
        Err(error) if error.is_broken_pipe() => ExitCode::SUCCESS,
        Err(error) => {
            pulltrace_shell::error::print("pulltrace", &error, error.help());
            error.exit_code()
        }
    }
}

fn run(cli: Cli) -> Result<(), Error> {
    // The second thread handles signals while the first is blocked by an unread pipe.
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .worker_threads(2)
        .enable_all()
        .build()
        .map_err(Error::Runtime)?;
    let result = runtime.block_on(async {
        let stop = Shutdown::on_signals().map_err(Error::Runtime)?;
        let force = stop.clone();
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
            () = force.wait_force(shutdown::COMMAND_LIMIT) => Err(Error::ShutdownTimeout),
        }
    });
    runtime.shutdown_background();
    view::screen::restore();
    result
}
