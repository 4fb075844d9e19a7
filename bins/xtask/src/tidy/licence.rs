//! Checks the allowed licences and banned packages of `deny.toml`, also without cargo-deny.

use cargo_metadata::Package;
use serde::Deserialize;
use spdx::{Expression, Licensee, ParseMode};

use super::finding::Finding;
use crate::error::{Error, Result};
use crate::graph::Graph;

/// The part of `deny.toml` that these rules check.
#[derive(Debug, Deserialize)]
pub(crate) struct Deny {
    licenses: Licences,
    bans: Bans,
}

#[derive(Debug, Deserialize)]
struct Licences {
    allow: Vec<String>,
}

#[derive(Debug, Deserialize)]
struct Bans {
    deny: Vec<Ban>,
}

#[derive(Debug, Deserialize)]
struct Ban {
    name: String,
}

impl Deny {
    pub(crate) fn parse(text: &str) -> Result<Deny> {
        toml::from_str(text).map_err(|error| Error::Failed(format!("invalid deny.toml: {error}")))
    }
}

pub(crate) fn are_allowed(graph: &Graph, deny: &Deny) -> Result<Vec<Finding>> {
    let invalid = |licence: &str| {
        Error::Failed(format!("deny.toml: `{licence}` is not the SPDX id of a licence"))
    };
    let allowed: Vec<Licensee> = deny
        .licenses
        .allow
        .iter()
        .map(|licence| Licensee::parse(licence).map_err(|_| invalid(licence)))
        .collect::<Result<_>>()?;
    let finding = |package: &Package| {
        let problem = problem(package.license.as_deref(), &allowed)?;
        Some(Finding::new(&name_and_version(package), None, problem))
    };
    Ok(graph.foreign.iter().filter_map(finding).collect())
}

pub(crate) fn are_not_banned(graph: &Graph, deny: &Deny) -> Vec<Finding> {
    let is_banned = |package: &&Package| deny.bans.deny.iter().any(|ban| package.name == ban.name);
    let found = graph.foreign.iter().filter(is_banned);
    found
        .map(|package| Finding::new(&name_and_version(package), None, "is banned by deny.toml"))
        .collect()
}

fn name_and_version(package: &Package) -> String {
    format!("{} {}", package.name, package.version)
}

fn problem(licence: Option<&str>, allowed: &[Licensee]) -> Option<String> {
    let Some(licence) = licence else {
        return Some("has no licence".to_owned());
    };
    // Old packages write `MIT/Apache-2.0`.
    let Ok(expression) = Expression::parse_mode(licence, ParseMode::LAX) else {
        return Some(format!("invalid licence expression `{licence}`"));
    };
    let is_allowed =
        expression.evaluate(|required| allowed.iter().any(|licensee| licensee.satisfies(required)));
    (!is_allowed).then(|| format!("has the licence {licence}, which deny.toml does not allow"))
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;
    use crate::graph::testing::package;

    const DENY: &str = "[licenses]\nallow = [\n  \"MIT\", # \"GPL-3.0\"\n  \"Apache-2.0\",\n  \
                        \"Apache-2.0 WITH LLVM-exception\",\n]\n\n[bans]\ndeny = [\n  { name = \"openssl\" },\n]\n";

    #[test]
    fn expression_is_allowed_denied_or_invalid() {
        let allowed = ["MIT", "Apache-2.0", "Apache-2.0 WITH LLVM-exception"];
        let allowed = allowed.map(|licence| Licensee::parse(licence).unwrap());
        for expression in [
            "MIT",
            "MIT OR GPL-3.0-only",
            "MIT/Apache-2.0",
            "(MIT OR GPL-3.0-only) AND Apache-2.0",
            "Apache-2.0 WITH LLVM-exception OR Zlib",
        ] {
            assert_eq!(problem(Some(expression), &allowed), None, "{expression}");
        }
        for (expression, expected) in [
            ("MIT AND GPL-3.0-only", "does not allow"),
            ("GPL-3.0-only OR MIT AND Zlib", "does not allow"),
            ("MIT WITH LLVM-exception", "does not allow"),
            ("", "invalid"),
            ("MIT OR", "invalid"),
            ("(MIT", "invalid"),
            ("MIT MIT", "invalid"),
        ] {
            let problem = problem(Some(expression), &allowed).unwrap();
            assert!(problem.contains(expected), "{expression}: {problem}");
        }
    }

    #[test]
    fn denied_licence_and_banned_package_are_found() {
        let foreign = vec![
            package("good", json!({"license": "MIT"})),
            package("copyleft", json!({"license": "GPL-3.0"})),
            package("unlicensed", json!({})),
            package("openssl", json!({"license": "MIT"})),
        ];
        let graph = Graph { members: Vec::new(), foreign };
        let deny = Deny::parse(DENY).unwrap();
        assert_eq!(are_allowed(&graph, &deny).unwrap().len(), 2);
        assert_eq!(are_not_banned(&graph, &deny).len(), 1);
        assert!(Deny::parse("[bans]\ndeny = []\n").is_err());
    }
}
