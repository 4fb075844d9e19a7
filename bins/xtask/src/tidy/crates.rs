//! Rules about packages and their dependencies.

use cargo_metadata::{DependencyKind, Package};

use super::finding::Finding;
use super::source;
use crate::error::Result;
use crate::graph::{self, Graph};
use crate::root::Root;

const CORE: &str = "pulltrace-core";
const AGENT: &str = "pulltrace-agent-lib";
const SERVER: &str = "pulltrace-server-lib";

/// Packages that the dependency tree of a package must not contain.
struct Tree {
    package: &'static str,
    /// Arguments of `cargo tree`.
    args: &'static [&'static str],
    excluded: &'static [&'static str],
}

const TREES: &[Tree] = &[
    Tree {
        package: CORE,
        args: &["--all-features", "-e", "normal"],
        excluded: &["tokio", "tonic", "reqwest", "hyper", "mio", "pulltrace-agent-lib"],
    },
    Tree {
        package: AGENT,
        args: &["--no-default-features", "-e", "normal"],
        excluded: &["tonic", "prost", "hyper", "reqwest", "kube", "axum", "opentelemetry"],
    },
    // An agent without the HTTP sink.
    Tree {
        package: AGENT,
        args: &["-e", "normal"],
        excluded: &["reqwest", "rustls", "kube", "axum", "opentelemetry"],
    },
    // An agent without metrics.
    Tree {
        package: AGENT,
        args: &["--features", "http", "-e", "normal"],
        excluded: &["kube", "axum", "opentelemetry", "prometheus"],
    },
    Tree {
        package: SERVER,
        args: &["--no-default-features", "-e", "normal"],
        excluded: &[
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
        excluded: &["kube", "k8s-openapi", "reqwest", "tonic"],
    },
    // Sources without a server.
    Tree {
        package: SERVER,
        args: &["--features", "kube", "-e", "normal"],
        excluded: &["axum", "opentelemetry", "reqwest", "tonic"],
    },
];

pub(crate) fn trees_are_clean(root: &Root) -> Result<Vec<Finding>> {
    let mut findings = Vec::new();
    for tree in TREES {
        findings.extend(excluded_packages(tree, &graph::tree(root, tree.package, tree.args)?));
    }
    Ok(findings)
}

fn excluded_packages(tree: &Tree, names: &[String]) -> Vec<Finding> {
    let found = names.iter().filter(|name| tree.excluded.contains(&name.as_str()));
    let args = tree.args.join(" ");
    found
        .map(|name| Finding::new(tree.package, None, format!("depends on {name} with {args}")))
        .collect()
}

/// Checks direct dependencies, which is enough: the core, on which both depend, must not depend on
/// any package of the workspace.
pub(crate) fn agent_and_server_are_independent(graph: &Graph) -> Vec<Finding> {
    let is_forbidden = |package: &Package, other: &str| match package.name.as_str() {
        CORE => graph.member(other).is_some(),
        AGENT => other == SERVER,
        SERVER => other == AGENT,
        // Published programs may use everything but the testkit.
        _ => graph::is_published(package) && other == "pulltrace-testkit",
    };
    let violations = |package: &Package| -> Vec<Finding> {
        // Tests and build scripts may use any package.
        let needs = package.dependencies.iter().filter(|needed| {
            needed.kind == DependencyKind::Normal && is_forbidden(package, &needed.name)
        });
        needs
            .map(|needed| Finding::new(&package.name, None, format!("depends on {}", needed.name)))
            .collect()
    };
    graph.members.iter().flat_map(violations).collect()
}

pub(crate) fn have_registry_metadata(graph: &Graph) -> Vec<Finding> {
    graph.published().flat_map(missing_metadata).collect()
}

fn missing_metadata(package: &Package) -> Vec<Finding> {
    let fields = [
        ("description", package.description.as_deref()),
        ("license", package.license.as_deref()),
        ("documentation", package.documentation.as_deref()),
        ("readme", package.readme.as_ref().map(|path| path.as_str())),
    ];
    let empty = fields.iter().filter(|(_, value)| value.is_none_or(|text| text.trim().is_empty()));
    let mut findings: Vec<Finding> = empty
        .map(|(field, _)| Finding::new(&package.name, None, format!("has no {field}")))
        .collect();
    if let Some(readme) = &package.readme
        && !graph::dir(package).join(readme).is_file()
    {
        findings.push(Finding::new(&package.name, None, format!("readme {readme} does not exist")));
    }
    findings
}

pub(crate) fn lints_are_shared(root: &Root, graph: &Graph) -> Result<Vec<Finding>> {
    let mut findings = Vec::new();
    for package in &graph.members {
        let manifest = package.manifest_path.as_std_path();
        if !uses_workspace_lints(&source::read(manifest)?) {
            let path = manifest.strip_prefix(&root.dir).unwrap_or(manifest).display().to_string();
            findings.push(Finding::new(&path, None, "lacks `[lints] workspace = true`"));
        }
    }
    Ok(findings)
}

fn uses_workspace_lints(manifest: &str) -> bool {
    let manifest: Option<toml::Table> = manifest.parse().ok();
    let lints = manifest.as_ref().and_then(|manifest| manifest.get("lints"));
    lints.and_then(|lints| lints.get("workspace")?.as_bool()) == Some(true)
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::*;
    use crate::graph::testing;

    fn package(name: &str, needs: &[&str]) -> Package {
        let needed = |name: &&str| json!({"name": name, "req": "*", "kind": null, "optional": false, "uses_default_features": true, "features": []});
        let needs: Vec<Value> = needs.iter().map(needed).collect();
        testing::package(name, json!({"dependencies": needs}))
    }

    #[test]
    fn excluded_package_in_tree_is_found() {
        let names = ["serde", "tokio", "tokio-util"].map(str::to_owned);
        assert_eq!(excluded_packages(&TREES[0], &names).len(), 1);
        assert_eq!(excluded_packages(&TREES[0], &names[..1]), []);
    }

    #[test]
    fn dependency_between_agent_and_server_is_found() {
        let graph = |members| {
            agent_and_server_are_independent(&Graph { members, foreign: Vec::new() }).len()
        };
        assert_eq!(graph(vec![package(CORE, &["serde"]), package(AGENT, &[CORE, "tokio"])]), 0);
        assert_eq!(graph(vec![package(AGENT, &[CORE, SERVER])]), 1);
        assert_eq!(graph(vec![package(SERVER, &[AGENT])]), 1);
        assert_eq!(graph(vec![package(CORE, &[AGENT]), package(AGENT, &[])]), 1);
        assert_eq!(graph(vec![package("pulltrace", &["pulltrace-testkit"])]), 1);
    }

    #[test]
    fn missing_registry_metadata_is_found() {
        let mut bare = package("a", &[]);
        assert_eq!(missing_metadata(&bare).len(), 4);
        let here = Root::find().unwrap().dir;
        bare.manifest_path = here.join("Cargo.toml").try_into().unwrap();
        for field in [&mut bare.description, &mut bare.license, &mut bare.documentation] {
            *field = Some("x".to_owned());
        }
        bare.readme = Some("no-such-file".into());
        assert_eq!(missing_metadata(&bare).len(), 1);
        bare.readme = Some("Cargo.toml".into());
        assert_eq!(missing_metadata(&bare), []);
    }

    #[test]
    fn manifest_without_workspace_lints_is_found() {
        assert!(uses_workspace_lints("[package]\n[lints]\nworkspace = true\n"));
        assert!(!uses_workspace_lints("[package]\nversion.workspace = true\n"));
        assert!(!uses_workspace_lints("[lints]\n# workspace = true\n"));
    }
}
