//! Test programs that Cargo has built. They are started directly, because selecting packages with
//! `cargo test -p` also changes the features that are built.

use std::path::PathBuf;
use std::process::Command;

use serde_json::Value;

use crate::graph::Graph;

#[derive(Debug, PartialEq, Eq)]
pub(crate) struct TestProgram {
    pub(crate) package: String,
    pub(crate) target: String,
    /// `lib`, `bin` or `test`.
    pub(crate) kind: String,
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
    let messages = json.lines().filter_map(|line| serde_json::from_str::<Value>(line).ok());
    messages.filter_map(|message| program(&message, graph)).collect()
}

fn program(message: &Value, graph: &Graph) -> Option<TestProgram> {
    // Programs that are not tests have an executable, too.
    if message["reason"] != "compiler-artifact" || message["profile"]["test"] != true {
        return None;
    }
    let id = message["package_id"].as_str()?;
    let package = graph.members.iter().find(|member| member.id == id)?;
    Some(TestProgram {
        package: package.name.clone(),
        target: message["target"]["name"].as_str()?.to_owned(),
        kind: message["target"]["kind"][0].as_str()?.to_owned(),
        path: message["executable"].as_str()?.into(),
        dir: package.dir.clone(),
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::graph::Package;

    #[test]
    fn test_programs_are_parsed_from_cargo_messages() {
        let package = Package {
            id: "a 1".into(),
            name: "a".into(),
            dir: "/w/a".into(),
            ..Package::default()
        };
        let graph = Graph { members: vec![package], foreign: Vec::new() };
        let json = r#"{"reason":"compiler-artifact","package_id":"a 1","target":{"kind":["test"],"name":"it"},"profile":{"test":true},"executable":"/t/it-1"}
{"reason":"compiler-artifact","package_id":"a 1","target":{"kind":["bin"],"name":"a"},"profile":{"test":false},"executable":"/t/a"}
{"reason":"compiler-artifact","package_id":"b 1","target":{"kind":["lib"],"name":"b"},"profile":{"test":true},"executable":"/t/b"}
{"reason":"build-finished","success":true}
not json"#;
        let programs = parse(json, &graph);
        let [program] = programs.as_slice() else { panic!("{programs:?}") };
        assert_eq!((program.target.as_str(), program.kind.as_str()), ("it", "test"));
        assert_eq!(program.command().get_current_dir(), Some("/w/a".as_ref()));
    }
}
