//! Rules about Markdown files: links and commands.

use std::path::Path;

use cargo_metadata::{Package, TargetKind};

use super::finding::Finding;
use super::source::Source;
use crate::error::Result;
use crate::graph::Graph;
use crate::root::Root;
use crate::{errors, graph};

pub(crate) fn links_resolve(root: &Path, pages: &[Source]) -> Vec<Finding> {
    let mut findings = Vec::new();
    for page in pages {
        let folder = root.join(&page.path);
        for (number, line) in prose(&page.text) {
            for link in local_links(line) {
                let exists = folder.parent().is_some_and(|folder| folder.join(link).exists());
                if !exists {
                    findings.push(Finding::new(
                        &page.path,
                        Some(number),
                        format!("file `{link}` does not exist"),
                    ));
                }
            }
        }
    }
    findings
}

pub(crate) fn errors_are_current(root: &Root) -> Result<Vec<Finding>> {
    let outdated = || Finding::new(errors::PAGE, None, "outdated; run `cargo xtask errors`");
    Ok((!errors::is_current(root)?).then(outdated).into_iter().collect())
}

/// Returns the lines outside of fenced blocks, with their numbers.
fn prose(text: &str) -> impl Iterator<Item = (usize, &str)> {
    fenced(text).filter(|(_, inside, _)| !inside).map(|(number, _, line)| (number, line))
}

/// Returns the number of each line, whether it is in a fenced block, and the line. Skips the fences.
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

/// Returns the targets of `[text](target)` that are files, without `#anchor`.
fn local_links(line: &str) -> impl Iterator<Item = &str> {
    let targets = line.split("](").skip(1).filter_map(|rest| rest.split([')', ' ']).next());
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

/// Returns the possible commands of a page with their lines: lines of fenced blocks, and inline `code`.
pub(crate) fn commands(text: &str) -> Vec<(usize, String)> {
    let mut found = Vec::new();
    for (number, inside, line) in fenced(text) {
        if inside {
            let command = line.trim().trim_start_matches("$ ").trim_start_matches("sudo ");
            found.push((number, command.to_owned()));
        } else {
            let code = line.split('`').skip(1).step_by(2);
            found.extend(code.map(|code| (number, code.to_owned())));
        }
    }
    found
}

/// Describes the part of a command that does not exist. Ignores commands of other projects.
fn unknown(command: &str, graph: &Graph, subcommand: &dyn Fn(&str) -> bool) -> Option<String> {
    let command = command.split('#').next().unwrap_or_default();
    let words: Vec<&str> = command.split_whitespace().collect();
    // Excludes placeholders in capitals or dots, and options.
    let is_name = |word: &str| {
        word.chars().all(|c| c.is_ascii_lowercase() || c == '-' || c.is_ascii_digit())
            && !word.starts_with('-')
    };
    match words.as_slice() {
        // A unit test of `cli` checks these.
        ["cargo", "xtask", ..] => None,
        ["cargo", rest @ ..] => {
            let after = |flags: &[&str]| {
                let at = rest.iter().position(|word| flags.contains(word))?;
                rest.get(at + 1).copied().filter(|name| is_name(name))
            };
            let package = after(&["-p", "--package"]);
            let bin = after(&["--bin"]);
            let is_unknown_package = |name: &&str| graph.member(name).is_none();
            let is_unknown_bin = |name: &&str| {
                let is_selected = |p: &&Package| package.is_none_or(|package| p.name == package);
                !graph
                    .members
                    .iter()
                    .filter(is_selected)
                    .any(|p| graph::targets(p, &TargetKind::Bin).any(|bin| bin.name == *name))
            };
            package
                .filter(is_unknown_package)
                .map(|name| format!("unknown package `{name}`"))
                .or_else(|| {
                    bin.filter(is_unknown_bin).map(|name| format!("unknown program `{name}`"))
                })
        }
        ["pulltrace", name, ..] if is_name(name) && *name != "help" => {
            (!subcommand(name)).then(|| format!("unknown command `pulltrace {name}`"))
        }
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::graph::testing::package;

    #[test]
    fn broken_link_is_found() {
        let root = std::env::temp_dir().join(format!("xtask-pages-{}", std::process::id()));
        std::fs::create_dir_all(root.join("docs")).unwrap();
        std::fs::write(root.join("docs/b.md"), "").unwrap();
        let text = "[a](b.md#x) [w](https://x.y/z) [top](#top)\n```\n[c](code.md)\n```\n![d](../missing.png)\n";
        let page = Source::page("docs/a.md", text);
        let findings = links_resolve(&root, &[page]);
        assert_eq!(
            findings,
            [Finding::new("docs/a.md", Some(5), "file `../missing.png` does not exist")]
        );
        std::fs::remove_dir_all(&root).unwrap();
    }

    #[test]
    fn commands_are_found_in_blocks_and_inline() {
        let found =
            commands("see `cargo xtask demo` and `x`\n```sh\n$ sudo pulltrace watch\n```\n");
        let found: Vec<(usize, &str)> = found.iter().map(|(n, c)| (*n, c.as_str())).collect();
        assert_eq!(found, [(1, "cargo xtask demo"), (1, "x"), (3, "pulltrace watch")]);
    }

    #[test]
    fn unknown_command_is_found() {
        let target = serde_json::json!({"kind": ["bin"], "crate_types": [], "name": "embed", "src_path": "/x.rs", "edition": "2024"});
        let examples = package("examples", serde_json::json!({"targets": [target]}));
        let graph = Graph { members: vec![examples], foreign: Vec::new() };
        let is_unknown =
            |command: &str| unknown(command, &graph, &|name| name == "watch").is_some();
        for good in [
            "cargo run -p examples --bin embed -- --socket /x",
            "cargo run -p examples --bin X",
            "cargo build --release",
            "pulltrace watch --output json",
            "pulltrace --version",
            "ls -p nothing",
        ] {
            assert!(!is_unknown(good), "{good}");
        }
        for bad in
            ["cargo run -p exmaples", "cargo run -p examples --bin missing", "pulltrace wacth"]
        {
            assert!(is_unknown(bad), "{bad}");
        }
    }
}
