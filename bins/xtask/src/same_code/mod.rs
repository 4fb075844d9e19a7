//! `cargo xtask same-code BASE`: proves that only comments and, if allowed, names and strings changed.
//!
//! Compares the working tree with a commit: the code of each Rust and TypeScript file without comments (`rust`,
//! `web/scripts/same-code.mjs`), the golden files' bytes, the OpenAPI document without descriptions, and everything
//! that users and embedders depend on (`surface`). `renames.tsv` lists the accepted renames, and the files whose code
//! was changed on purpose.

mod rust;
mod surface;

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use serde_json::Value;

use crate::error::{Context as _, Error, Result};
use crate::files;
use crate::process;
use crate::root::Root;
use rust::Allowed;

/// Tab-separated: `file OLD NEW`, `surface OLD NEW`, `removed NAME REASON`, `added NAME REASON`, `code PATH REASON`.
const MAP: &str = "bins/xtask/renames.tsv";

/// Folders whose JSON files must not change.
const GOLDEN: [&str; 2] = ["pulltrace-core/tests/golden", "recordings"];

#[derive(Debug, clap::Args)]
pub(crate) struct Args {
    /// The commit to compare with
    base: String,
    /// Accept renamed identifiers
    #[arg(long)]
    names: bool,
    /// Accept changed texts
    #[arg(long)]
    strings: bool,
    /// Print each renamed identifier with its file
    #[arg(long)]
    list: bool,
    /// Add the renames of the interface to the map
    #[arg(long)]
    write_map: bool,
}

pub(crate) fn run(root: &Root, args: &Args) -> Result<()> {
    let allowed = Allowed { names: args.names, strings: args.strings };
    let (list, write) = (args.list, args.write_map);
    let base = Checkout::new(root, &args.base)?;
    let mut map = Map::parse(&fs::read_to_string(root.dir.join(MAP)).unwrap_or_default());
    let mut report = Report { list, ..Report::default() };
    compare_rust(root, &base.dir, &map, allowed, &mut report)?;
    compare_typescript(root, &base.dir, &map, allowed, &mut report)?;
    compare_json(root, &base.dir, &mut report)?;
    compare_surface(root, &base.dir, &mut map, write, &mut report)?;
    if write {
        let file = root.dir.join(MAP);
        fs::write(&file, map.to_string()).context(|| format!("write {}", file.display()))?;
    }
    report.print()
}

#[derive(Default)]
struct Report {
    /// Set to print each renamed identifier with its file.
    list: bool,
    files: usize,
    renames: BTreeMap<(String, String), usize>,
    tests: usize,
    /// Files whose code was changed on purpose, according to the map.
    changed: Vec<String>,
    findings: Vec<String>,
}

impl Report {
    fn difference(&mut self, map: &Map, file: &str, text: &str) {
        if map.code.contains_key(file) {
            self.changed.push(file.to_owned());
        } else {
            self.findings.push(format!("{file}: {text}"));
        }
    }

    fn print(&self) -> Result<()> {
        let places: usize = self.renames.values().sum();
        println!("{} Rust files compared, {} tests matched", self.files, self.tests);
        println!("{} names changed in {places} places", self.renames.len());
        println!("{} files changed on purpose ({MAP})", self.changed.len());
        self.findings.iter().for_each(|finding| println!("  {finding}"));
        match self.findings.len() {
            0 => Ok(()),
            count => Err(Error::Failed(format!("{count} differences"))),
        }
    }
}

/// The accepted renames, and the files with other changes.
#[derive(Default)]
struct Map {
    files: BTreeMap<String, String>,
    surface: BTreeMap<String, String>,
    removed: BTreeMap<String, String>,
    added: BTreeMap<String, String>,
    code: BTreeMap<String, String>,
}

impl Map {
    fn parse(text: &str) -> Map {
        let mut map = Map::default();
        for line in text.lines() {
            let mut fields = line.split('\t');
            let Some((kind, old, new)) =
                fields.next().zip(fields.next()).zip(fields.next()).map(|((a, b), c)| (a, b, c))
            else {
                continue;
            };
            let table = match kind {
                "file" => &mut map.files,
                "surface" => &mut map.surface,
                "removed" => &mut map.removed,
                "added" => &mut map.added,
                "code" => &mut map.code,
                _ => continue,
            };
            table.insert(old.to_owned(), new.to_owned());
        }
        map
    }
}

impl std::fmt::Display for Map {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        for (kind, table) in [
            ("file", &self.files),
            ("surface", &self.surface),
            ("removed", &self.removed),
            ("added", &self.added),
            ("code", &self.code),
        ] {
            for (old, new) in table {
                writeln!(f, "{kind}\t{old}\t{new}")?;
            }
        }
        Ok(())
    }
}

/// A commit, unpacked into a temporary folder that is removed on drop.
struct Checkout {
    dir: PathBuf,
}

impl Checkout {
    fn new(root: &Root, commit: &str) -> Result<Checkout> {
        let dir = root.target.join(format!("xtask/same-code-{}", std::process::id()));
        fs::create_dir_all(&dir).context(|| format!("create {}", dir.display()))?;
        let checkout = Checkout { dir };
        let archive = checkout.dir.join("archive.tar");
        let mut git = Command::new("git");
        git.current_dir(&root.dir).args(["archive", "-o"]).arg(&archive).arg(commit);
        process::run(&mut git)?;
        let mut tar = Command::new("tar");
        process::run(tar.arg("-C").arg(&checkout.dir).arg("-xf").arg(&archive))?;
        Ok(checkout)
    }
}

impl Drop for Checkout {
    fn drop(&mut self) {
        drop(fs::remove_dir_all(&self.dir));
    }
}

fn relative(file: &Path, dir: &Path) -> String {
    file.strip_prefix(dir).unwrap_or(file).to_string_lossy().into_owned()
}

fn compare_rust(
    root: &Root,
    base: &Path,
    map: &Map,
    allowed: Allowed,
    report: &mut Report,
) -> Result<()> {
    let read =
        |path: &Path| fs::read_to_string(path).context(|| format!("read {}", path.display()));
    let mut new: BTreeSet<String> =
        files::list(&root.dir, &["rs"])?.iter().map(|file| relative(file, &root.dir)).collect();
    for file in files::list(base, &["rs"])? {
        let old = relative(&file, base);
        let name = map.files.get(&old).unwrap_or(&old);
        if !new.remove(name) {
            report.difference(map, &old, "missing");
            continue;
        }
        let found = rust::compare(&read(&file)?, &read(&root.dir.join(name))?, allowed);
        report.files += 1;
        if let Some(text) = &found.difference {
            report.difference(map, name, text);
            continue;
        }
        let names: BTreeSet<&String> = found.tests.iter().map(|(_, name)| name).collect();
        if names.len() < found.tests.len() {
            report.difference(map, name, "two tests have the same name");
        }
        report.tests += found.tests.len();
        for (pair, count) in found.renames {
            if report.list {
                println!("{name}\t{}\t{}\t{count}", pair.0, pair.1);
            }
            *report.renames.entry(pair).or_default() += count;
        }
    }
    for file in new {
        report.difference(map, &file, "new");
    }
    Ok(())
}

fn compare_typescript(
    root: &Root,
    base: &Path,
    map: &Map,
    allowed: Allowed,
    report: &mut Report,
) -> Result<()> {
    let mut node = Command::new("node");
    node.current_dir(root.dir.join("web")).arg("scripts/same-code.mjs").arg(base.join("web"));
    node.args(allowed.names.then_some("--names")).args(allowed.strings.then_some("--strings"));
    let web = |path: &'_ str| path.strip_prefix("web/").map(str::to_owned);
    let moved =
        map.files.iter().filter_map(|(old, new)| Some(format!("{}={}", web(old)?, web(new)?)));
    node.args(moved);
    for line in process::output(&mut node)?.lines() {
        let found: Value = serde_json::from_str(line)
            .map_err(|error| Error::Failed(format!("same-code.mjs: invalid JSON: {error}")))?;
        let file = format!("web/{}", found["file"].as_str().unwrap_or_default());
        if let Some(text) = found["difference"].as_str() {
            report.difference(map, &file, text);
            continue;
        }
        let count = |key: &str| found[key].as_array().map_or(0, Vec::len);
        if count("before") != count("after") {
            report.difference(
                map,
                &file,
                &format!("{} tests before, {} now", count("before"), count("after")),
            );
        }
        report.tests += count("after");
    }
    Ok(())
}

fn compare_json(root: &Root, base: &Path, report: &mut Report) -> Result<()> {
    for dir in GOLDEN {
        for file in files::list(&base.join(dir), &["json", "ndjson", "jsonl"])? {
            let name = relative(&file, base);
            if stripped(&file)? != stripped(&root.dir.join(&name))? {
                report.findings.push(format!("{name}: changed"));
            }
        }
    }
    let document = |dir: &Path| stripped(&dir.join("docs/openapi.json"));
    if document(base)? != document(&root.dir)? {
        report.findings.push("docs/openapi.json: changed beyond its descriptions".to_owned());
    }
    Ok(())
}

/// Returns the values of a file, one or one per line, without texts.
fn stripped(path: &Path) -> Result<Vec<Value>> {
    let text = fs::read_to_string(path).context(|| format!("read {}", path.display()))?;
    serde_json::Deserializer::from_str(&text)
        .into_iter()
        .map(|value| {
            let mut value = value.map_err(|error| {
                Error::Failed(format!("{} is invalid JSON: {error}", path.display()))
            })?;
            strip_descriptions(&mut value);
            Ok(value)
        })
        .collect()
}

/// Removes descriptions, summaries and hints, if they are strings: a schema may have a property
/// called `description`.
fn strip_descriptions(value: &mut Value) {
    match value {
        Value::Object(fields) => {
            fields.retain(|key, value| {
                !(matches!(key.as_str(), "description" | "summary" | "hint") && value.is_string())
            });
            fields.values_mut().for_each(strip_descriptions);
        }
        Value::Array(items) => items.iter_mut().for_each(strip_descriptions),
        _ => {}
    }
}

fn compare_surface(
    root: &Root,
    base: &Path,
    map: &mut Map,
    write: bool,
    report: &mut Report,
) -> Result<()> {
    let (old, new) = (surface::list(base)?, surface::list(&root.dir)?);
    let mut added: BTreeSet<&String> = new.difference(&old).collect();
    for line in old.difference(&new) {
        if write && !map.surface.contains_key(line) {
            let renamed = added.iter().find(|other| is_renamed(line, other, &report.renames));
            if let Some(renamed) = renamed {
                map.surface.insert(line.clone(), (*renamed).clone());
            }
        }
        match map.surface.get(line) {
            Some(name) if new.contains(name) => {
                added.remove(name);
            }
            None if map.removed.contains_key(line) => {}
            _ => report.findings.push(format!("removed: {line}")),
        }
    }
    added.retain(|line| !map.added.contains_key(*line));
    report.findings.extend(added.iter().map(|line| format!("added: {line}")));
    Ok(())
}

/// Reports whether each part of an item's path is the same or was renamed in the code.
fn is_renamed(old: &str, new: &str, renames: &BTreeMap<(String, String), usize>) -> bool {
    let (old, new): (Vec<&str>, Vec<&str>) = (old.split("::").collect(), new.split("::").collect());
    old.len() == new.len()
        && old.iter().zip(&new).all(|(old, new)| {
            old == new || renames.contains_key(&((*old).to_owned(), (*new).to_owned()))
        })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn map_round_trips() {
        let text =
            "file\ta/old.rs\ta/new.rs\nsurface\titem k::A\titem k::B\ncode\tb.rs\tfixes a bug\n";
        assert_eq!(Map::parse(text).to_string(), text);
    }

    #[test]
    fn descriptions_are_stripped() {
        let mut value = serde_json::json!({"description": "x", "properties": {"description": {"type": "string", "summary": "y"}}});
        strip_descriptions(&mut value);
        assert_eq!(value, serde_json::json!({"properties": {"description": {"type": "string"}}}));
    }

    #[test]
    fn path_is_renamed_only_by_known_renames() {
        let renames = BTreeMap::from([(("Told".to_owned(), "LastSent".to_owned()), 3)]);
        assert!(is_renamed("item k::a::Told", "item k::a::LastSent", &renames));
        assert!(!is_renamed("item k::a::Told", "item k::b::LastSent", &renames));
        assert!(!is_renamed("item k::a::Other", "item k::a::LastSent", &renames));
    }
}
