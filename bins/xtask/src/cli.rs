//! Selects a task by its name, and prints help. Help never builds anything.

use crate::error::{Error, Result};
use crate::root::Root;
use crate::{TASKS, Task};

/// Runs the task that the arguments name.
pub(crate) fn dispatch(args: &[String]) -> Result<()> {
    let Some((first, rest)) = args.split_first() else {
        return Err(Error::Usage(format!("missing task\n\n{}", overview())));
    };
    if let Some(help) = requested_help(first, rest)? {
        println!("{help}");
        return Ok(());
    }
    (find(first)?.run)(&Root::find()?, rest)
}

/// Returns the help that `help`, `help TASK`, `TASK --help` or `TASK -h` asks for. After `--`, flags
/// belong to another program.
fn requested_help(first: &str, rest: &[String]) -> Result<Option<String>> {
    let is_flag = |arg: &str| matches!(arg, "--help" | "-h");
    if first == "help" || is_flag(first) {
        return match rest.first() {
            Some(name) if !is_flag(name) => Ok(Some(task_help(find(name)?))),
            _ => Ok(Some(overview())),
        };
    }
    let task = find(first)?;
    let mut flags = rest.iter().take_while(|arg| *arg != "--");
    Ok(flags.any(|arg| is_flag(arg)).then(|| task_help(task)))
}

fn find(name: &str) -> Result<&'static Task> {
    let task = TASKS.iter().find(|task| task.name == name);
    task.ok_or_else(|| Error::Usage(format!("unknown task `{name}`\n\n{}", overview())))
}

fn usage(task: &Task) -> String {
    format!("{} {}", task.name, task.args).trim_end().to_owned()
}

fn overview() -> String {
    let width = TASKS.iter().map(|task| usage(task).chars().count()).max();
    let width = width.unwrap_or(0);
    let lines: Vec<String> =
        TASKS.iter().map(|task| format!("  {:width$}  {}", usage(task), task.summary)).collect();
    format!(
        "Usage: cargo xtask TASK\n\n{}\n\nHelp for a task: cargo xtask TASK --help",
        lines.join("\n")
    )
}

fn task_help(task: &Task) -> String {
    let help = format!("Usage: cargo xtask {}\n\n{}", usage(task), task.summary);
    let details = (task.details)();
    if details.is_empty() {
        return help;
    }
    format!("{help}\n\n{details}")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn words(line: &str) -> Vec<String> {
        line.split_whitespace().map(str::to_owned).collect()
    }

    fn help(line: &str) -> Option<String> {
        let words = words(line);
        requested_help(&words[0], &words[1..]).unwrap()
    }

    #[test]
    fn overview_has_a_line_for_each_task() {
        let overview = overview();
        for task in TASKS {
            let is_line =
                |line: &str| line.trim().starts_with(task.name) && line.contains(task.summary);
            assert!(overview.lines().any(is_line), "{}", task.name);
        }
    }

    #[test]
    fn every_task_answers_help_without_running() {
        for task in TASKS {
            let name = task.name;
            let expected = help(&format!("help {name}")).unwrap();
            assert!(expected.starts_with(&format!("Usage: cargo xtask {name}")));
            assert!(expected.contains(task.summary));
            for line in ["--help", "-h", "x --help", "x -h --y"] {
                let found = help(&format!("{name} {line}"));
                assert_eq!(found.as_ref(), Some(&expected), "{name} {line}");
            }
            assert_eq!(help(name), None);
            assert_eq!(help(&format!("{name} x -- --help")), None);
        }
        assert_eq!(help("help"), Some(overview()));
        assert_eq!(help("--help"), Some(overview()));
    }

    #[test]
    fn help_lists_stages_versions_and_benches() {
        assert!(help("test --help").unwrap().contains("  integration "));
        assert!(help("containerd -h").unwrap().contains("2.4"));
        assert!(help("bench eta --help").unwrap().contains("--runs"));
        assert!(help("demo --help").unwrap().contains("--seconds"));
        assert!(help("fuzz --help").unwrap().contains("manifest"));
    }

    #[test]
    fn help_is_at_most_100_columns_wide() {
        for task in TASKS {
            for line in task_help(task).lines() {
                assert!(line.chars().count() <= 100, "{}: {line}", task.name);
            }
        }
    }

    #[test]
    fn unknown_task_is_usage_error_that_names_it() {
        for line in ["", "tset", "--test", "help tset", "tset --help"] {
            let error = dispatch(&words(line)).unwrap_err();
            let name = if line.contains("tset") { "tset" } else { line };
            assert!(matches!(&error, Error::Usage(text) if text.contains(name)), "{error:?}");
        }
    }
}
