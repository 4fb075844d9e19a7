//! Code shared by the benches: options, exit codes and output.

use std::process::{ExitCode, Termination};
use std::time::Duration;

use clap::{Args, Parser};
use pulltrace_shell as shell;
use tokio::runtime::{Builder, Runtime};

/// Any failure of a bench.
pub type Error = Box<dyn std::error::Error + Send + Sync>;

/// The option `--containerd VERSION`, which can be repeated.
#[derive(Args, Clone, Debug)]
pub struct ContainerdVersions {
    /// Minor version of containerd; repeat it for several.
    #[arg(
        long = "containerd",
        value_name = "VERSION",
        env = "PULLTRACE_CONTAINERD",
        value_delimiter = ',',
        default_values = ["1.6", "2.4"]
    )]
    pub versions: Vec<String>,
}

/// Parses the command line and runs a bench. Prints its error with exit code 1; a wrong command line
/// has exit code 2.
pub fn run<A, T, E>(bench: impl FnOnce(&A) -> Result<T, E>) -> ExitCode
where
    A: Parser,
    T: Termination,
    E: Into<Error>,
{
    let args = match shell::args::parse::<A>() {
        Ok(args) => args,
        Err(code) => return code,
    };
    match bench(&args) {
        Ok(done) => done.report(),
        Err(error) => {
            shell::error::print(A::command().get_name(), &*error.into(), None);
            ExitCode::FAILURE
        }
    }
}

/// The exit code of a bench with goals.
#[must_use]
pub fn goals(reached: bool) -> ExitCode {
    if reached { ExitCode::SUCCESS } else { ExitCode::FAILURE }
}

/// Creates the runtime of a bench. A single thread uses the least CPU next to the measured program.
///
/// # Errors
/// When the system denies the resources.
pub fn runtime() -> std::io::Result<Runtime> {
    Builder::new_current_thread().enable_all().build()
}

/// Parses a number of seconds, at least 1.
///
/// # Errors
/// Returns the expected format.
pub fn seconds(text: &str) -> Result<Duration, String> {
    let number = text.parse::<u32>().ok().filter(|number| *number > 0);
    let number = number.ok_or("invalid number of seconds: expected a positive number")?;
    Ok(Duration::from_secs(number.into()))
}

/// Prints a line of the results to standard output.
#[expect(clippy::print_stdout, reason = "the results are the program's output")]
pub fn print(text: &str) {
    println!("{text}");
}

/// Prints progress to standard error.
#[expect(clippy::print_stderr, reason = "progress is printed to stderr")]
pub fn log(text: &str) {
    eprintln!("{text}");
}

/// Converts bytes to MiB.
#[must_use]
#[expect(clippy::cast_precision_loss, reason = "rounded for output")]
pub fn to_mib(bytes: u64) -> f64 {
    bytes as f64 / f64::from(1 << 20)
}
