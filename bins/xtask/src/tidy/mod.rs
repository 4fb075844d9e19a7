//! `cargo xtask tidy`: the rules of this repository that no compiler checks.
//!
//! A rule is a small function from what is there to what is wrong with it, and
//! has a test that shows that it can find something. Here: their list, and how
//! findings are told.

mod code;
mod crates;
mod licence;
mod pages;
mod source;

use std::fmt;

use crate::error::{Error, Result};
use crate::graph::Graph;
use crate::root::Root;
use source::Source;

/// One thing that is wrong, and where.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Finding {
    /// A path in the repository, or the name of a package.
    at: String,
    /// Counted from 1; `None` where the whole is meant.
    line: Option<usize>,
    what: String,
}

impl Finding {
    fn new(at: &str, line: Option<usize>, what: impl Into<String>) -> Finding {
        Finding {
            at: at.to_owned(),
            line,
            what: what.into(),
        }
    }
}

impl fmt::Display for Finding {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.line {
            Some(line) => write!(f, "{}:{line}: {}", self.at, self.what),
            None => write!(f, "{}: {}", self.at, self.what),
        }
    }
}

pub(crate) fn run(root: &Root, args: &[String]) -> Result<()> {
    if let Some(arg) = args.first() {
        return Err(Error::Usage(format!(
            "tidy takes no argument, and got `{arg}`"
        )));
    }
    let checked = check(root)?;
    let broken = checked.iter().filter(|(_, findings)| !findings.is_empty());
    let mut count = 0;
    for (rule, findings) in broken {
        count += 1;
        println!("{rule}:");
        findings.iter().for_each(|finding| println!("  {finding}"));
    }
    if count > 0 {
        return Err(Error::Failed(format!(
            "{count} of {} rules are broken",
            checked.len()
        )));
    }
    println!("all {} rules hold", checked.len());
    Ok(())
}

/// Every rule, with what breaks it.
pub(crate) fn check(root: &Root) -> Result<Vec<(&'static str, Vec<Finding>)>> {
    let sources = source::rust(&root.dir)?;
    let pages = source::markdown(&root.dir)?;
    let graph = Graph::load(root)?;
    let deny = source::read(&root.dir.join("deny.toml"))?;
    let each = |rule: fn(&Source) -> Vec<Finding>| sources.iter().flat_map(rule).collect();
    Ok(vec![
        (
            "a file says at its top what lives in it",
            each(code::starts_with_doc),
        ),
        (
            "a file has at most 500 lines before its tests",
            each(code::is_short),
        ),
        (
            "main.rs has at most 150 lines before its tests",
            each(code::main_is_short),
        ),
        (
            "nothing is marked as still to be done",
            each(code::nothing_left_to_do),
        ),
        (
            "the core does no I/O, reads no clock and has no runtime",
            each(code::core_is_pure),
        ),
        (
            "the core's model is not serialisable, its wire types are",
            each(code::model_is_plain),
        ),
        (
            "only the containerd client names tonic and prost",
            each(code::grpc_stays_inside),
        ),
        (
            "only the HTTP sink and the client name reqwest",
            each(code::http_client_stays_inside),
        ),
        (
            "of server and agent, only their rims name axum and hyper",
            each(code::http_server_stays_inside),
        ),
        (
            "of server and agent, only metrics name opentelemetry",
            each(code::telemetry_stays_inside),
        ),
        (
            "of the server, only the source of pods names kube",
            each(code::kube_stays_inside),
        ),
        ("no test sleeps", each(code::tests_do_not_sleep)),
        (
            "every package takes the workspace's lints",
            crates::lints_are_shared(root, &graph)?,
        ),
        (
            "published packages carry what a registry shows",
            crates::are_presentable(&graph),
        ),
        (
            "the wings depend on the core and never on each other",
            crates::wings_are_apart(&graph),
        ),
        (
            "what is left out by features is not built",
            crates::trees_are_clean(root)?,
        ),
        (
            "every dependency has an allowed licence",
            licence::are_allowed(&graph, &deny)?,
        ),
        (
            "no dependency is banned",
            licence::are_not_banned(&graph, &deny)?,
        ),
        (
            "links between pages resolve",
            pages::links_resolve(&root.dir, &pages),
        ),
        (
            "commands on pages exist",
            pages::commands_exist(&root.dir, &graph, &pages),
        ),
    ])
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_finding_can_be_clicked() {
        assert_eq!(
            Finding::new("a/b.rs", Some(3), "x").to_string(),
            "a/b.rs:3: x"
        );
        assert_eq!(Finding::new("tokio", None, "x").to_string(), "tokio: x");
    }

    #[test]
    fn the_rules_can_be_checked_here() {
        let root = Root::find().unwrap();
        assert!(
            source::rust(&root.dir)
                .unwrap()
                .iter()
                .any(|s| s.path == "bins/xtask/src/main.rs")
        );
    }
}
