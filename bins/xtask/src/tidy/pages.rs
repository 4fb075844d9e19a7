//! Rules about what is written for people: links and commands.

use std::path::Path;

use super::Finding;
use super::source::Source;
use crate::TASKS;
use crate::graph::Graph;

pub(crate) fn links_resolve(root: &Path, pages: &[Source]) -> Vec<Finding> {
    let mut findings = Vec::new();
    for page in pages {
        let folder = root.join(&page.path);
        for (number, line) in prose(&page.text) {
            for link in local_links(line) {
                let there = folder
                    .parent()
                    .is_some_and(|folder| folder.join(link).exists());
                if !there {
                    findings.push(Finding::new(
                        &page.path,
                        Some(number),
                        format!("no file `{link}`"),
                    ));
                }
            }
        }
    }
    findings
}

/// Lines outside of fenced blocks, with their numbers.
fn prose(text: &str) -> impl Iterator<Item = (usize, &str)> {
    fenced(text)
        .filter(|(_, inside, _)| !inside)
        .map(|(number, _, line)| (number, line))
}

/// Number, whether it is in a fenced block, and the line; fences are in neither.
fn fenced(text: &str) -> impl Iterator<Item = (usize, bool, &str)> {
    let mut inside = false;
    text.lines().enumerate().filter_map(move |(index, line)| {
        if line.trim_start().starts_with("```") {
            inside = !inside;
            return None;
        }
        Some((index + 1, inside, line))
    })
}

/// Targets of `[text](target)` that are files, without their `#anchor`.
fn local_links(line: &str) -> impl Iterator<Item = &str> {
    let targets = line
        .split("](")
        .skip(1)
        .filter_map(|rest| rest.split([')', ' ']).next());
    targets
        .filter(|target| !target.contains("://") && !target.starts_with("mailto:"))
        .filter_map(|target| target.split('#').next())
        .filter(|target| !target.is_empty())
}

pub(crate) fn commands_exist(root: &Path, graph: &Graph, pages: &[Source]) -> Vec<Finding> {
    let subcommand = |name: &str| {
        let file = root.join(format!("bins/pulltrace/src/{name}.rs"));
        file.is_file() || file.with_extension("").is_dir()
    };
    let mut findings = Vec::new();
    for page in pages {
        for (number, command) in commands(&page.text) {
            if let Some(what) = unknown(&command, graph, &subcommand) {
                findings.push(Finding::new(&page.path, Some(number), what));
            }
        }
    }
    findings
}

/// What is shown as a command: lines of fenced blocks, and `code` in a text.
fn commands(text: &str) -> Vec<(usize, String)> {
    let mut found = Vec::new();
    for (number, inside, line) in fenced(text) {
        if inside {
            let command = line
                .trim()
                .trim_start_matches("$ ")
                .trim_start_matches("sudo ");
            found.push((number, command.to_owned()));
        } else {
            let code = line.split('`').skip(1).step_by(2);
            found.extend(code.map(|code| (number, code.to_owned())));
        }
    }
    found
}

/// What in a command does not exist, of the commands that this repository has.
fn unknown(command: &str, graph: &Graph, subcommand: &dyn Fn(&str) -> bool) -> Option<String> {
    let command = command.split('#').next().unwrap_or_default();
    let words: Vec<&str> = command.split_whitespace().collect();
    // A placeholder in capitals or dots, or an option, is no name.
    let is_name = |word: &str| {
        word.chars()
            .all(|c| c.is_ascii_lowercase() || c == '-' || c.is_ascii_digit())
            && !word.starts_with('-')
    };
    match words.as_slice() {
        ["cargo", "xtask", task, ..] if is_name(task) => {
            let known = *task == "help" || TASKS.iter().any(|known| known.name == *task);
            (!known).then(|| format!("there is no task `{task}`"))
        }
        ["cargo", rest @ ..] => {
            let after = |flags: &[&str]| {
                let at = rest.iter().position(|word| flags.contains(word))?;
                rest.get(at + 1).copied().filter(|name| is_name(name))
            };
            let package = after(&["-p", "--package"]);
            let bin = after(&["--bin"]);
            let no_package = |name: &&str| graph.member(name).is_none();
            let no_bin = |name: &&str| {
                let of =
                    |p: &&crate::graph::Package| package.is_none_or(|package| p.name == package);
                !graph
                    .members
                    .iter()
                    .filter(of)
                    .any(|p| p.of_kind("bin").any(|bin| bin == *name))
            };
            package
                .filter(no_package)
                .map(|name| format!("there is no package `{name}`"))
                .or_else(|| {
                    bin.filter(no_bin)
                        .map(|name| format!("there is no program `{name}`"))
                })
        }
        ["pulltrace", name, ..] if is_name(name) && *name != "help" => {
            (!subcommand(name)).then(|| format!("there is no `pulltrace {name}`"))
        }
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::graph::{Package, Target};

    #[test]
    fn a_link_to_nothing_is_found() {
        let root = std::env::temp_dir().join(format!("xtask-pages-{}", std::process::id()));
        std::fs::create_dir_all(root.join("docs")).unwrap();
        std::fs::write(root.join("docs/b.md"), "").unwrap();
        let text = "[a](b.md#x) [w](https://x.y/z) [top](#top)\n```\n[c](code.md)\n```\n![d](../gone.png)\n";
        let page = Source::page("docs/a.md", text);
        let findings = links_resolve(&root, &[page]);
        assert_eq!(
            findings,
            [Finding::new("docs/a.md", Some(5), "no file `../gone.png`")]
        );
        std::fs::remove_dir_all(&root).unwrap();
    }

    #[test]
    fn commands_are_found_in_blocks_and_in_the_text() {
        let found =
            commands("see `cargo xtask demo` and `x`\n```sh\n$ sudo pulltrace watch\n```\n");
        let found: Vec<(usize, &str)> = found.iter().map(|(n, c)| (*n, c.as_str())).collect();
        assert_eq!(
            found,
            [(1, "cargo xtask demo"), (1, "x"), (3, "pulltrace watch")]
        );
    }

    #[test]
    fn commands_that_do_not_exist_are_found() {
        let target = Target {
            name: "embed".into(),
            kind: "bin".into(),
        };
        let examples = Package {
            name: "examples".into(),
            targets: vec![target],
            ..Package::default()
        };
        let graph = Graph {
            members: vec![examples],
            foreign: Vec::new(),
        };
        let wrong = |command: &str| unknown(command, &graph, &|name| name == "watch").is_some();
        for good in [
            "cargo xtask test",
            "cargo xtask TASK",
            "cargo run -p examples --bin embed -- --socket /x",
            "cargo run -p examples --bin X",
            "cargo build --release",
            "pulltrace watch --output json",
            "pulltrace --version",
            "ls -p nothing",
        ] {
            assert!(!wrong(good), "{good}");
        }
        for bad in [
            "cargo xtask tets",
            "cargo run -p exmaples",
            "cargo run -p examples --bin gone",
            "pulltrace wacth",
        ] {
            assert!(wrong(bad), "{bad}");
        }
    }
}
