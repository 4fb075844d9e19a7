//! The packages and dependencies of the workspace, from `cargo metadata` and `cargo tree`.

use std::path::Path;

use cargo_metadata::{CargoOpt, Metadata, MetadataCommand, Package, Target, TargetKind};

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

impl Graph {
    pub(crate) fn load(root: &Root) -> Result<Graph> {
        let mut command = MetadataCommand::new();
        command.current_dir(&root.dir).features(CargoOpt::AllFeatures);
        if Root::is_ci() {
            // Rejects an outdated lock file.
            command.other_options(["--locked".to_owned()]);
        }
        let metadata = command.exec().map_err(|error| Error::Failed(error.to_string()))?;
        let Metadata { packages, workspace_members, .. } = metadata;
        let (members, foreign) =
            packages.into_iter().partition(|package| workspace_members.contains(&package.id));
        Ok(Graph { members, foreign })
    }

    pub(crate) fn member(&self, name: &str) -> Option<&Package> {
        self.members.iter().find(|member| member.name == name)
    }

    pub(crate) fn published(&self) -> impl Iterator<Item = &Package> {
        self.members.iter().filter(|member| is_published(member))
    }
}

pub(crate) fn is_published(package: &Package) -> bool {
    // `publish = false` results in an empty list of registries.
    package.publish.as_ref().is_none_or(|registries| !registries.is_empty())
}

/// Returns the folder of a package.
pub(crate) fn dir(package: &Package) -> &Path {
    let manifest = package.manifest_path.as_std_path();
    manifest.parent().unwrap_or(manifest)
}

pub(crate) fn targets<'a>(
    package: &'a Package,
    kind: &'a TargetKind,
) -> impl Iterator<Item = &'a Target> {
    package.targets.iter().filter(move |target| target.kind.contains(kind))
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
pub(crate) mod testing {
    use serde_json::{Value, json};

    use super::Package;

    /// Returns a package with these fields of `cargo metadata`.
    pub(crate) fn package(name: &str, fields: Value) -> Package {
        let mut package = json!({
            "name": name,
            "version": "1.0.0",
            "id": format!("{name} 1.0.0"),
            "dependencies": [],
            "targets": [],
            "features": {},
            "manifest_path": format!("/w/{name}/Cargo.toml"),
        });
        let (Value::Object(all), Value::Object(fields)) = (&mut package, fields) else {
            panic!("the fields of a package are an object");
        };
        all.extend(fields);
        serde_json::from_value(package).unwrap()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn members_of_workspace_are_separate_from_dependencies() {
        let graph = Graph::load(&Root::find().unwrap()).unwrap();
        let xtask = graph.member("xtask").unwrap();
        assert!(!is_published(xtask) && dir(xtask).ends_with("bins/xtask"));
        assert_eq!(targets(xtask, &TargetKind::Bin).count(), 1);
        assert!(graph.published().any(|package| package.name == "pulltrace-core"));
        let serde = graph.foreign.iter().find(|package| package.name == "serde").unwrap();
        assert!(is_published(serde) && graph.member("serde").is_none());
    }

    #[test]
    fn tree_names_are_first_words() {
        assert_eq!(names("b v1 (/w/b)\ntokio v1.2 (*)\nb v1 (/w/b)\n"), ["b", "tokio"]);
    }
}
