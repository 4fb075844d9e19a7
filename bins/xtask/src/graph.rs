//! The packages and dependencies of the workspace, from `cargo metadata` and `cargo tree`.

use std::path::PathBuf;

use serde_json::Value;

use crate::error::{Error, Result};
use crate::process;
use crate::root::Root;

#[derive(Debug, Default)]
pub(crate) struct Graph {
    /// Packages of this workspace.
    pub(crate) members: Vec<Package>,
    /// All dependencies, for all features and platforms.
    pub(crate) foreign: Vec<Package>,
}

#[derive(Debug, Default)]
pub(crate) struct Package {
    /// Cargo's package id.
    pub(crate) id: String,
    pub(crate) name: String,
    pub(crate) version: String,
    pub(crate) dir: PathBuf,
    pub(crate) published: bool,
    pub(crate) license: Option<String>,
    pub(crate) description: Option<String>,
    pub(crate) documentation: Option<String>,
    pub(crate) readme: Option<String>,
    pub(crate) features: Vec<String>,
    pub(crate) targets: Vec<Target>,
    /// Names of direct dependencies, without those for tests and build scripts.
    pub(crate) dependencies: Vec<String>,
}

#[derive(Debug, Default)]
pub(crate) struct Target {
    pub(crate) name: String,
    pub(crate) kind: String,
}

impl Graph {
    pub(crate) fn load(root: &Root) -> Result<Graph> {
        let mut cargo = process::cargo(&root.dir);
        cargo.args(["metadata", "--format-version", "1", "--all-features"]);
        if Root::is_ci() {
            // Rejects an outdated lock file.
            cargo.arg("--locked");
        }
        Graph::parse(&process::output(&mut cargo)?)
    }

    fn parse(json: &str) -> Result<Graph> {
        let missing =
            |part: &str| Error::Failed(format!("missing {part} in the output of `cargo metadata`"));
        let value: Value = serde_json::from_str(json).map_err(|_| missing("JSON"))?;
        let ids = value["workspace_members"].as_array().ok_or_else(|| missing("members"))?;
        let packages = value["packages"].as_array().ok_or_else(|| missing("packages"))?;
        let (ours, theirs): (Vec<&Value>, Vec<&Value>) =
            packages.iter().partition(|package| ids.contains(&package["id"]));
        Ok(Graph {
            members: ours.into_iter().map(package).collect(),
            foreign: theirs.into_iter().map(package).collect(),
        })
    }

    pub(crate) fn member(&self, name: &str) -> Option<&Package> {
        self.members.iter().find(|member| member.name == name)
    }

    pub(crate) fn published(&self) -> impl Iterator<Item = &Package> {
        self.members.iter().filter(|member| member.published)
    }
}

impl Package {
    pub(crate) fn targets_of_kind(&self, kind: &str) -> impl Iterator<Item = &str> {
        self.targets.iter().filter(move |target| target.kind == kind).map(|t| t.name.as_str())
    }
}

fn package(value: &Value) -> Package {
    let text = |key: &str| value[key].as_str().map(str::to_owned);
    let list = |key: &str| value[key].as_array().map_or(&[][..], Vec::as_slice).iter();
    let dir = text("manifest_path").map(PathBuf::from).unwrap_or_default();
    Package {
        id: text("id").unwrap_or_default(),
        name: text("name").unwrap_or_default(),
        version: text("version").unwrap_or_default(),
        dir: dir.parent().map(PathBuf::from).unwrap_or_default(),
        // `publish = false` results in an empty list of registries.
        published: value["publish"].as_array().is_none_or(|registries| !registries.is_empty()),
        license: text("license"),
        description: text("description"),
        documentation: text("documentation"),
        readme: text("readme"),
        features: value["features"]
            .as_object()
            .map(|features| features.keys().cloned().collect())
            .unwrap_or_default(),
        targets: list("targets")
            .map(|target| Target {
                name: target["name"].as_str().unwrap_or_default().to_owned(),
                kind: target["kind"][0].as_str().unwrap_or_default().to_owned(),
            })
            .collect(),
        dependencies: list("dependencies")
            .filter(|dependency| dependency["kind"].is_null())
            .filter_map(|dependency| dependency["name"].as_str().map(str::to_owned))
            .collect(),
    }
}

/// Returns the names of the packages in the dependency tree of a package. `args` are passed to
/// `cargo tree`.
pub(crate) fn tree(root: &Root, package: &str, args: &[&str]) -> Result<Vec<String>> {
    let mut cargo = process::cargo(&root.dir);
    cargo.args(["tree", "--quiet", "--prefix", "none", "--format", "{p}", "-p", package]);
    Ok(names(&process::output(cargo.args(args))?))
}

fn names(tree: &str) -> Vec<String> {
    let mut names: Vec<String> =
        tree.lines().filter_map(|line| line.split(' ').next()).map(str::to_owned).collect();
    names.sort();
    names.dedup();
    names
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn metadata_is_parsed() {
        let graph = Graph::parse(
            r#"{"workspace_members":["a 1"],"packages":[
              {"id":"a 1","name":"a","version":"1.0.0","manifest_path":"/w/a/Cargo.toml",
               "publish":[],"features":{"x":[]},"targets":[{"name":"it","kind":["test"]}],
               "dependencies":[{"name":"b","kind":null},{"name":"c","kind":"dev"}]},
              {"id":"b 2","name":"b","version":"2.0.0","manifest_path":"/r/b/Cargo.toml",
               "publish":null,"license":"MIT","features":{},"targets":[],"dependencies":[]}]}"#,
        )
        .unwrap();
        let a = graph.member("a").unwrap();
        assert_eq!((a.published, a.dir.to_str()), (false, Some("/w/a")));
        assert_eq!(
            (a.features.as_slice(), a.dependencies.as_slice()),
            (&["x".into()][..], &["b".into()][..])
        );
        assert_eq!(a.targets_of_kind("test").collect::<Vec<_>>(), ["it"]);
        assert!(graph.foreign[0].published && graph.foreign[0].license.as_deref() == Some("MIT"));
        assert!(Graph::parse("{}").is_err() && Graph::parse("no").is_err());
    }

    #[test]
    fn tree_names_are_first_words() {
        assert_eq!(names("b v1 (/w/b)\ntokio v1.2 (*)\nb v1 (/w/b)\n"), ["b", "tokio"]);
    }
}
