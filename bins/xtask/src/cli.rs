//! The command line: the list of tasks, their arguments and their help. Help never builds anything.

use clap::{Parser, Subcommand};

use crate::error::Result;
use crate::root::Root;
use crate::{
    bench, containerd, demo, e2e, errors, fuzz, kubernetes, same_code, setup, test, tidy, web,
};

#[derive(Debug, Parser)]
#[command(
    bin_name = "cargo xtask",
    about = "Tasks of this project, such as running the tests",
    max_term_width = 100,
    disable_version_flag = true
)]
pub(crate) struct Cli {
    #[command(subcommand)]
    task: Task,
}

#[derive(Debug, Subcommand)]
enum Task {
    /// Run all stages of CI, or the named ones
    #[command(after_help = test::DETAILS)]
    Test(test::Args),
    /// Watch pulls of a private containerd, live, until Ctrl-C
    #[command(after_help = demo::DETAILS)]
    Demo(demo::Args),
    /// Run scenarios on more versions of containerd, with a kubelet, or at random
    #[command(after_help = e2e::details())]
    E2e(e2e::Args),
    /// Measure cost, latency and accuracy
    #[command(after_help = bench::details())]
    Bench(bench::Args),
    /// Take the pictures of the README, or of each state of the page
    #[command(after_help = web::SCREENSHOTS_DETAILS)]
    Screenshots(web::ScreenshotArgs),
    /// Run a parser on random input
    #[command(after_help = fuzz::details())]
    Fuzz(fuzz::Args),
    /// Check the rules of this repository that no compiler checks
    #[command(after_help = tidy::DETAILS)]
    Tidy,
    /// Write docs/errors.md from the error types
    Errors,
    /// Compare the code with a commit, without comments, texts and names
    SameCode(same_code::Args),
    /// Install required packages, and build containerd and the API server
    #[command(after_help = setup::details())]
    Setup,
    /// Build versions of containerd into the cache
    #[command(after_help = containerd::details())]
    Containerd(containerd::Args),
    /// Build the tests' API server, or a whole node, into the cache
    #[command(after_help = kubernetes::DETAILS)]
    Kubernetes(kubernetes::Args),
}

impl Cli {
    /// Parses the command line of this program.
    pub(crate) fn from_args(args: impl IntoIterator<Item = String>) -> clap::error::Result<Cli> {
        let mut args: Vec<String> = args.into_iter().collect();
        let own = args.iter().take_while(|arg| *arg != "--");
        // The task answers, not the program that would receive the options before the flag.
        if own.skip(2).any(|arg| matches!(arg.as_str(), "--help" | "-h")) {
            args.truncate(2);
            args.push("--help".to_owned());
        }
        Cli::try_parse_from(args)
    }

    /// Runs the task.
    pub(crate) fn run(self) -> Result<()> {
        let root = Root::find()?;
        match self.task {
            Task::Test(args) => test::run(&root, &args),
            Task::Demo(args) => demo::run(&root, &args),
            Task::E2e(args) => e2e::run(&root, &args),
            Task::Bench(args) => bench::run(&root, &args),
            Task::Screenshots(args) => web::screenshots(&root, &args),
            Task::Fuzz(args) => fuzz::run(&root, &args),
            Task::Tidy => tidy::run(&root),
            Task::Errors => errors::run(&root),
            Task::SameCode(args) => same_code::run(&root, &args),
            Task::Setup => setup::run(&root),
            Task::Containerd(args) => containerd::run(&root, &args),
            Task::Kubernetes(args) => kubernetes::run(&root, &args),
        }
    }
}

#[cfg(test)]
mod tests {
    use clap::CommandFactory as _;
    use clap::error::ErrorKind;

    use super::*;

    fn parse(line: &str) -> clap::error::Result<Cli> {
        let words = std::iter::once("xtask").chain(line.split_whitespace());
        Cli::from_args(words.map(str::to_owned))
    }

    fn help(line: &str) -> String {
        let error = parse(line).unwrap_err();
        assert_eq!(error.kind(), ErrorKind::DisplayHelp, "{line}: {error}");
        error.to_string()
    }

    #[test]
    fn command_line_is_consistent() {
        Cli::command().debug_assert();
    }

    #[test]
    fn every_task_answers_help_without_running() {
        for task in Cli::command().get_subcommands() {
            let name = task.get_name();
            assert!(task.get_about().is_some(), "{name}");
            let expected = help(&format!("{name} --help"));
            assert!(expected.contains(&format!("Usage: cargo xtask {name}")), "{expected}");
            for line in ["-h", "x --help", "x -h --y"] {
                assert_eq!(help(&format!("{name} {line}")), expected, "{name} {line}");
            }
        }
    }

    #[test]
    fn help_lists_stages_versions_and_benches() {
        assert!(help("test --help").contains("integration"));
        assert!(help("containerd --help").contains("2.4"));
        assert!(help("bench eta --help").contains("--runs"));
        assert!(help("demo --help").contains("--seconds"));
        assert!(help("fuzz --help").contains("manifest"));
    }

    #[test]
    fn help_is_at_most_100_columns_wide() {
        for task in Cli::command().get_subcommands() {
            for line in help(&format!("{} --help", task.get_name())).lines() {
                assert!(line.chars().count() <= 100, "{}: {line}", task.get_name());
            }
        }
    }

    #[test]
    fn unknown_task_is_usage_error_that_names_it() {
        for line in ["tset", "tset --help", "help tset"] {
            let error = parse(line).unwrap_err();
            assert_eq!(error.kind(), ErrorKind::InvalidSubcommand);
            assert!(error.to_string().contains("tset") && error.exit_code() == 2, "{error}");
        }
    }

    #[test]
    fn documented_commands_are_valid() {
        let mut count = 0;
        for page in tidy::pages(&Root::find().unwrap()).unwrap() {
            for (line, command) in tidy::commands(&page.text) {
                let command = command.split('#').next().unwrap_or_default().trim();
                let Some(args) = command.strip_prefix("cargo xtask ") else { continue };
                let is_placeholder =
                    |text: &str| text.contains(|c: char| c.is_ascii_uppercase() || c == '$');
                let task = args.split_whitespace().next().unwrap_or_default();
                if is_placeholder(task) {
                    continue;
                }
                // With placeholders, such as TARGET and $v, only the task is checked.
                let args =
                    if is_placeholder(args) { format!("{task} --help") } else { args.to_owned() };
                count += 1;
                if let Err(error) = parse(&args) {
                    let kind = error.kind();
                    let expected = [ErrorKind::DisplayHelp, ErrorKind::MissingRequiredArgument];
                    assert!(expected.contains(&kind), "{}:{line}: {command}: {error}", page.path);
                }
            }
        }
        assert!(count > 20, "{count}");
    }
}
