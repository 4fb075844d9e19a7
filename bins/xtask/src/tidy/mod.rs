//! `cargo xtask tidy`: checks rules of this repository that no compiler checks.
//!
//! A rule is a function that returns findings, and has a test with a violation. This module lists the
//! rules and prints the findings.

mod code;
mod crates;
mod cycles;
mod finding;
mod licence;
mod modules;
mod pages;
mod prose;
mod source;

use crate::error::{Error, Result};
use crate::graph::Graph;
use crate::root::Root;
pub(crate) use finding::Finding;
use licence::Deny;
#[cfg(test)]
pub(crate) use pages::commands;
use prose::Prose;
use source::Source;

pub(crate) const DETAILS: &str =
    "Prints each violation with its file and line. `cargo xtask test tidy` checks the same rules.";

pub(crate) fn run(root: &Root) -> Result<()> {
    let checked = check(root)?;
    let violated = checked.iter().filter(|(_, findings)| !findings.is_empty());
    let mut count = 0;
    for (rule, findings) in violated {
        count += 1;
        println!("{rule}:");
        findings.iter().for_each(|finding| println!("  {finding}"));
    }
    if count > 0 {
        return Err(Error::Failed(format!("{count} of {} rules are violated", checked.len())));
    }
    println!("all {} rules hold", checked.len());
    Ok(())
}

/// Returns the Markdown files of the repository.
pub(crate) fn pages(root: &Root) -> Result<Vec<Source>> {
    source::texts(&root.dir, &["md"])
}

/// Checks every rule and returns its findings.
pub(crate) fn check(root: &Root) -> Result<Vec<(&'static str, Vec<Finding>)>> {
    let sources = source::rust(&root.dir)?;
    let pages = pages(root)?;
    let others = source::texts(&root.dir, &["ts", "tsx", "css", "toml", "yaml", "sh"])?;
    let prose = Prose::new();
    let graph = Graph::load(root)?;
    let deny = Deny::parse(&source::read(&root.dir.join("deny.toml"))?)?;
    let check_each = |rule: fn(&Source) -> Vec<Finding>| sources.iter().flat_map(rule).collect();
    Ok(vec![
        ("a file starts with a comment that describes it", check_each(code::starts_with_doc)),
        ("a file has at most 500 lines before its tests", check_each(code::is_short)),
        ("main.rs has at most 150 lines before its tests", check_each(code::main_is_short)),
        ("no file has markers of unfinished work", check_each(code::has_no_unfinished_work)),
        ("the core does no I/O, reads no clock and is not async", check_each(code::core_is_pure)),
        ("only the wire types of the core are serialisable", check_each(code::model_is_plain)),
        ("only the containerd client uses tonic and prost", check_each(code::grpc_stays_inside)),
        (
            "only the HTTP sink and the client use reqwest",
            check_each(code::http_client_stays_inside),
        ),
        (
            "only the HTTP modules of server and agent use axum and hyper",
            check_each(code::http_server_stays_inside),
        ),
        (
            "only the metrics of server and agent use opentelemetry",
            check_each(code::telemetry_stays_inside),
        ),
        ("only the pod source of the server uses kube", check_each(code::kube_stays_inside)),
        (
            "comments, texts and pages are plain technical English",
            sources
                .iter()
                .chain(&pages)
                .chain(&others)
                .flat_map(|file| prose.check(file))
                .collect(),
        ),
        ("the files of a crate form no cycle", cycles::files_form_no_cycle(root, &graph)?),
        ("no test sleeps", check_each(code::tests_do_not_sleep)),
        ("every package uses the workspace's lints", crates::lints_are_shared(root, &graph)?),
        ("published packages have registry metadata", crates::have_registry_metadata(&graph)),
        (
            "agent and server depend on the core, not on each other",
            crates::agent_and_server_are_independent(&graph),
        ),
        ("disabled features add no dependencies", crates::trees_are_clean(root)?),
        ("every dependency has an allowed licence", licence::are_allowed(&graph, &deny)?),
        ("no dependency is banned", licence::are_not_banned(&graph, &deny)),
        ("links between Markdown files resolve", pages::links_resolve(&root.dir, &pages)),
        ("docs/errors.md matches the source", pages::errors_are_current(root)?),
        ("commands in Markdown files exist", pages::commands_exist(&root.dir, &graph, &pages)),
    ])
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rules_find_files_of_repository() {
        let root = Root::find().unwrap();
        assert!(
            source::rust(&root.dir).unwrap().iter().any(|s| s.path == "bins/xtask/src/main.rs")
        );
    }
}
