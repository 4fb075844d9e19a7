//! Checks the allowed licences and banned packages of `deny.toml`, also without cargo-deny.

use super::Finding;
use crate::error::{Error, Result};
use crate::graph::{Graph, Package};

pub(crate) fn are_allowed(graph: &Graph, deny: &str) -> Result<Vec<Finding>> {
    let allowed = strings(deny, "licenses", "allow")?;
    let foreign = graph.foreign.iter().filter_map(|package| rejected(package, &allowed));
    Ok(foreign.collect())
}

pub(crate) fn are_not_banned(graph: &Graph, deny: &str) -> Result<Vec<Finding>> {
    let banned = strings(deny, "bans", "deny")?;
    let found = graph.foreign.iter().filter(|package| banned.contains(&package.name));
    Ok(found
        .map(|package| Finding::new(&name_and_version(package), None, "is banned by deny.toml"))
        .collect())
}

fn name_and_version(package: &Package) -> String {
    format!("{} {}", package.name, package.version)
}

fn rejected(package: &Package, allowed: &[String]) -> Option<Finding> {
    let Some(licence) = &package.license else {
        return Some(Finding::new(&name_and_version(package), None, "has no licence"));
    };
    match is_allowed(licence, allowed) {
        Some(true) => None,
        Some(false) => Some(Finding::new(
            &name_and_version(package),
            None,
            format!("has the licence {licence}, which deny.toml does not allow"),
        )),
        None => Some(Finding::new(
            &name_and_version(package),
            None,
            format!("invalid licence expression `{licence}`"),
        )),
    }
}

/// Parses a list such as `allow = ["MIT", …]` in a section of `deny.toml`. For `{ name = "x" }` it
/// returns the name. Not a general TOML parser.
fn strings(toml: &str, section: &str, key: &str) -> Result<Vec<String>> {
    let header = format!("[{section}]");
    let list = || -> Option<Vec<String>> {
        let lines = toml.lines().map(|line| line.split('#').next().unwrap_or_default());
        let section_lines = lines
            .skip_while(|line| line.trim() != header)
            .skip(1)
            .take_while(|line| !line.starts_with('['));
        let text: String = section_lines.map(|line| format!("{line}\n")).collect();
        let (_, rest) = text.split_once(&format!("{key} = ["))?;
        let (list, _) = rest.split_once(']')?;
        // Odd parts are between quotes.
        let quoted = |item: &str| item.split('"').nth(1).map(str::to_owned);
        Some(list.split(',').filter_map(quoted).collect())
    };
    list().ok_or_else(|| Error::Failed(format!("deny.toml has no list `{key}` in {header}")))
}

/// Reports whether these licences satisfy an SPDX expression; `None` if it is invalid. `AND` binds
/// closer than `OR`, and `/` is an old notation for `OR`.
fn is_allowed(expression: &str, allowed: &[String]) -> Option<bool> {
    let spaced = expression.replace('(', " ( ").replace(')', " ) ").replace('/', " OR ");
    let words: Vec<&str> = spaced.split_whitespace().collect();
    let mut words = words.as_slice();
    let result = parse_or(&mut words, allowed)?;
    words.is_empty().then_some(result)
}

fn parse_or(words: &mut &[&str], allowed: &[String]) -> Option<bool> {
    let mut result = parse_and(words, allowed)?;
    while accept(words, "OR") {
        result |= parse_and(words, allowed)?;
    }
    Some(result)
}

fn parse_and(words: &mut &[&str], allowed: &[String]) -> Option<bool> {
    let mut result = parse_licence(words, allowed)?;
    while accept(words, "AND") {
        result &= parse_licence(words, allowed)?;
    }
    Some(result)
}

fn parse_licence(words: &mut &[&str], allowed: &[String]) -> Option<bool> {
    if accept(words, "(") {
        let result = parse_or(words, allowed)?;
        return accept(words, ")").then_some(result);
    }
    let (name, rest) = words.split_first()?;
    if matches!(*name, "AND" | "OR" | "WITH" | ")") {
        return None;
    }
    *words = rest;
    let mut licence = (*name).to_owned();
    if accept(words, "WITH") {
        let (exception, rest) = words.split_first()?;
        *words = rest;
        licence = format!("{licence} WITH {exception}");
    }
    Some(allowed.contains(&licence))
}

fn accept(words: &mut &[&str], word: &str) -> bool {
    match words.split_first() {
        Some((first, rest)) if *first == word => {
            *words = rest;
            true
        }
        _ => false,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const DENY: &str = "[licenses]\nallow = [\n  \"MIT\", # \"GPL-3.0\"\n  \"Apache-2.0\",\n  \
                        \"Apache-2.0 WITH LLVM-exception\",\n]\n\n[bans]\ndeny = [\n  { name = \"openssl\" },\n]\n";

    fn package(name: &str, license: Option<&str>) -> Package {
        Package { name: name.to_owned(), license: license.map(str::to_owned), ..Package::default() }
    }

    #[test]
    fn expression_is_allowed_denied_or_invalid() {
        let allowed = strings(DENY, "licenses", "allow").unwrap();
        for (expression, expected) in [
            ("MIT", Some(true)),
            ("MIT OR GPL-3.0", Some(true)),
            ("MIT/Apache-2.0", Some(true)),
            ("MIT AND GPL-3.0", Some(false)),
            ("(MIT OR GPL-3.0) AND Apache-2.0", Some(true)),
            ("GPL-3.0 OR MIT AND Zlib", Some(false)),
            ("Apache-2.0 WITH LLVM-exception OR Zlib", Some(true)),
            ("MIT WITH other-exception", Some(false)),
            ("GPL-3.0", Some(false)),
            ("", None),
            ("MIT OR", None),
            ("(MIT", None),
            ("MIT MIT", None),
        ] {
            assert_eq!(is_allowed(expression, &allowed), expected, "{expression}");
        }
    }

    #[test]
    fn denied_licence_and_banned_package_are_found() {
        let foreign = vec![
            package("good", Some("MIT")),
            package("copyleft", Some("GPL-3.0")),
            package("unsaid", None),
            package("openssl", Some("MIT")),
        ];
        let graph = Graph { members: Vec::new(), foreign };
        assert_eq!(are_allowed(&graph, DENY).unwrap().len(), 2);
        assert_eq!(are_not_banned(&graph, DENY).unwrap().len(), 1);
        assert!(are_allowed(&graph, "[bans]\ndeny = []\n").is_err());
    }
}
