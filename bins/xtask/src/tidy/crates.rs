//! Rules about packages and what they depend on.

use super::Finding;
use super::source;
use crate::error::Result;
use crate::graph::{self, Graph, Package};
use crate::root::Root;

const CORE: &str = "pulltrace-core";
const AGENT: &str = "pulltrace-agent-lib";
const SERVER: &str = "pulltrace-server-lib";

/// What a package's tree may not hold, seen with these arguments of `cargo tree`.
struct Tree {
    package: &'static str,
    args: &'static [&'static str],
    without: &'static [&'static str],
}

const TREES: &[Tree] = &[
    Tree {
        package: CORE,
        args: &["--all-features", "-e", "normal"],
        without: &[
            "tokio",
            "tonic",
            "reqwest",
            "hyper",
            "mio",
            "pulltrace-agent-lib",
        ],
    },
    Tree {
        package: AGENT,
        args: &["--no-default-features", "-e", "normal"],
        without: &[
            "tonic",
            "prost",
            "hyper",
            "reqwest",
            "kube",
            "axum",
            "opentelemetry",
        ],
    },
    // What watches and does not report over HTTP.
    Tree {
        package: AGENT,
        args: &["-e", "normal"],
        without: &["reqwest", "rustls", "kube", "axum", "opentelemetry"],
    },
    // What reports, and is asked for no metrics.
    Tree {
        package: AGENT,
        args: &["--features", "http", "-e", "normal"],
        without: &["kube", "axum", "opentelemetry", "prometheus"],
    },
    Tree {
        package: SERVER,
        args: &["--no-default-features", "-e", "normal"],
        without: &[
            "tonic",
            "prost",
            "hyper",
            "reqwest",
            "kube",
            "k8s-openapi",
            "axum",
            "opentelemetry",
        ],
    },
    // A server without Kubernetes.
    Tree {
        package: SERVER,
        args: &["--features", "metrics", "-e", "normal"],
        without: &["kube", "k8s-openapi", "reqwest", "tonic"],
    },
    // Sources without a server.
    Tree {
        package: SERVER,
        args: &["--features", "kube", "-e", "normal"],
        without: &["axum", "opentelemetry", "reqwest", "tonic"],
    },
];

pub(crate) fn trees_are_clean(root: &Root) -> Result<Vec<Finding>> {
    let mut findings = Vec::new();
    for tree in TREES {
        findings.extend(dirt(tree, &graph::tree(root, tree.package, tree.args)?));
    }
    Ok(findings)
}

fn dirt(tree: &Tree, names: &[String]) -> Vec<Finding> {
    let held = names
        .iter()
        .filter(|name| tree.without.contains(&name.as_str()));
    let args = tree.args.join(" ");
    held.map(|name| Finding::new(tree.package, None, format!("depends on {name} with {args}")))
        .collect()
}

/// Direct dependencies suffice: the core, which both have, may have none of ours.
pub(crate) fn wings_are_apart(graph: &Graph) -> Vec<Finding> {
    let may_not = |package: &Package, other: &str| match package.name.as_str() {
        CORE => graph.member(other).is_some(),
        AGENT => other == SERVER,
        SERVER => other == AGENT,
        // Programs may use everything but the testkit.
        _ => package.published && other == "pulltrace-testkit",
    };
    let wrong = |package: &Package| -> Vec<Finding> {
        let needs = package.needs.iter().filter(|other| may_not(package, other));
        needs
            .map(|other| Finding::new(&package.name, None, format!("depends on {other}")))
            .collect()
    };
    graph.members.iter().flat_map(wrong).collect()
}

pub(crate) fn are_presentable(graph: &Graph) -> Vec<Finding> {
    graph.published().flat_map(missing).collect()
}

fn missing(package: &Package) -> Vec<Finding> {
    let fields = [
        ("description", &package.description),
        ("license", &package.license),
        ("documentation", &package.documentation),
        ("readme", &package.readme),
    ];
    let empty = fields
        .iter()
        .filter(|(_, value)| value.as_ref().is_none_or(|text| text.trim().is_empty()));
    let mut findings: Vec<Finding> = empty
        .map(|(field, _)| Finding::new(&package.name, None, format!("has no {field}")))
        .collect();
    if let Some(readme) = &package.readme
        && !package.dir.join(readme).is_file()
    {
        findings.push(Finding::new(
            &package.name,
            None,
            format!("its readme {readme} is not there"),
        ));
    }
    findings
}

pub(crate) fn lints_are_shared(root: &Root, graph: &Graph) -> Result<Vec<Finding>> {
    let mut findings = Vec::new();
    for package in &graph.members {
        let manifest = package.dir.join("Cargo.toml");
        if !takes_lints(&source::read(&manifest)?) {
            let path = manifest
                .strip_prefix(&root.dir)
                .unwrap_or(&manifest)
                .display()
                .to_string();
            findings.push(Finding::new(
                &path,
                None,
                "lacks `[lints] workspace = true`",
            ));
        }
    }
    Ok(findings)
}

fn takes_lints(manifest: &str) -> bool {
    let mut lines = manifest.lines().map(str::trim);
    lines.any(|line| line == "[lints]") && lines.next() == Some("workspace = true")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn package(name: &str, needs: &[&str]) -> Package {
        Package {
            name: name.to_owned(),
            published: true,
            needs: needs.iter().map(|need| (*need).to_owned()).collect(),
            ..Package::default()
        }
    }

    #[test]
    fn a_tree_with_what_was_left_out_is_found() {
        let names = ["serde", "tokio", "tokio-util"].map(str::to_owned);
        assert_eq!(dirt(&TREES[0], &names).len(), 1);
        assert_eq!(dirt(&TREES[0], &names[..1]), []);
    }

    #[test]
    fn wings_that_see_each_other_are_found() {
        let graph = |members| {
            wings_are_apart(&Graph {
                members,
                foreign: Vec::new(),
            })
            .len()
        };
        assert_eq!(
            graph(vec![
                package(CORE, &["serde"]),
                package(AGENT, &[CORE, "tokio"])
            ]),
            0
        );
        assert_eq!(graph(vec![package(AGENT, &[CORE, SERVER])]), 1);
        assert_eq!(graph(vec![package(SERVER, &[AGENT])]), 1);
        assert_eq!(graph(vec![package(CORE, &[AGENT]), package(AGENT, &[])]), 1);
        assert_eq!(graph(vec![package("pulltrace", &["pulltrace-testkit"])]), 1);
    }

    #[test]
    fn a_package_that_a_registry_cannot_show_is_found() {
        let mut bare = package("a", &[]);
        assert_eq!(missing(&bare).len(), 4);
        let here = Root::find().unwrap().dir;
        bare.dir = here;
        for field in [
            &mut bare.description,
            &mut bare.license,
            &mut bare.documentation,
        ] {
            *field = Some("x".to_owned());
        }
        bare.readme = Some("no-such-file".to_owned());
        assert_eq!(missing(&bare).len(), 1);
        bare.readme = Some("Cargo.toml".to_owned());
        assert_eq!(missing(&bare), []);
    }

    #[test]
    fn a_manifest_without_shared_lints_is_found() {
        assert!(takes_lints("[package]\n[lints]\nworkspace = true\n"));
        assert!(!takes_lints("[package]\nversion.workspace = true\n"));
    }
}
