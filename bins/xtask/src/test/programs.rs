//! Test programs that Cargo has built. They are started directly, because selecting packages with
//! `cargo test -p` also changes the features that are built.

use std::path::PathBuf;
use std::process::Command;

use cargo_metadata::{Message, TargetKind};

use crate::graph::{self, Graph};

#[derive(Debug, PartialEq, Eq)]
pub(crate) struct TestProgram {
    pub(crate) package: String,
    pub(crate) target: String,
    pub(crate) kind: TargetKind,
    path: PathBuf,
    /// The folder of its package, in which Cargo runs tests.
    dir: PathBuf,
}

impl TestProgram {
    pub(crate) fn command(&self) -> Command {
        let mut command = Command::new(&self.path);
        command
            .current_dir(&self.dir)
            .env("CARGO_MANIFEST_DIR", &self.dir)
            .env("CARGO_PKG_NAME", &self.package);
        command
    }
}

/// Parses the output of `cargo test --no-run --message-format json`.
pub(crate) fn parse(json: &str, graph: &Graph) -> Vec<TestProgram> {
    let messages = Message::parse_stream(json.as_bytes()).filter_map(std::result::Result::ok);
    messages.filter_map(|message| program(message, graph)).collect()
}

fn program(message: Message, graph: &Graph) -> Option<TestProgram> {
    // Programs that are not tests have an executable, too.
    let Message::CompilerArtifact(artifact) = message else { return None };
    if !artifact.profile.test {
        return None;
    }
    let package = graph.members.iter().find(|member| member.id == artifact.package_id)?;
    Some(TestProgram {
        package: package.name.to_string(),
        target: artifact.target.name,
        kind: artifact.target.kind.into_iter().next()?,
        path: artifact.executable?.into(),
        dir: graph::dir(package).to_path_buf(),
    })
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::*;
    use crate::graph::testing;

    fn artifact_message(package: &str, target: &Value, profile: &Value, path: &str) -> String {
        let message = json!({
            "reason": "compiler-artifact",
            "package_id": package,
            "manifest_path": "/w/Cargo.toml",
            "target": target,
            "profile": profile,
            "features": [],
            "filenames": [],
            "executable": path,
            "fresh": true,
        });
        message.to_string()
    }

    #[test]
    fn test_programs_are_parsed_from_cargo_messages() {
        let member = testing::package("a", json!({}));
        let graph = Graph { members: vec![member], foreign: Vec::new() };
        let artifact = |package: &str, kind: &str, name: &str, test: bool| {
            let profile = json!({"test": test, "opt_level": "0", "debuginfo": 0, "debug_assertions": true, "overflow_checks": true});
            let target = json!({"kind": [kind], "crate_types": [], "name": name, "src_path": "/x.rs", "edition": "2024"});
            artifact_message(package, &target, &profile, &format!("/t/{name}"))
        };
        let json = [
            artifact("a 1.0.0", "test", "it", true),
            artifact("a 1.0.0", "bin", "a", false),
            artifact("b 1.0.0", "lib", "b", true),
            json!({"reason": "build-finished", "success": true}).to_string(),
            "not json".to_owned(),
        ];
        let json = json.join("\n");
        let programs = parse(&json, &graph);
        let [program] = programs.as_slice() else { panic!("{programs:?}") };
        assert_eq!((program.target.as_str(), &program.kind), ("it", &TargetKind::Test));
        assert_eq!(program.command().get_current_dir(), Some("/w/a".as_ref()));
    }
}
