//! The rule on cycles of files.
//!
//! A file *uses* another one if it imports or names an item that the other file defines. Re-exports are
//! followed to the definition. These are not uses:
//!
//! - declaring a module (`mod child;`) and re-exporting its items (`pub use child::Item;`),
//! - importing from a module an item that it only re-exports: that is a use of the file with the definition,
//! - calling a method, because the path of its file is not in the source.
//!
//! A parent and its child are therefore a cycle only if the child uses an item *defined* in the parent's file, and the
//! parent's code uses the child. To break it, move that item into a file that both use.

use std::collections::{BTreeMap, BTreeSet, VecDeque};

use cargo_metadata::TargetKind;

use super::finding::Finding;
use super::modules::Crate;
use crate::error::Result;
use crate::graph::Graph;
use crate::root::Root;

pub(crate) fn files_form_no_cycle(root: &Root, graph: &Graph) -> Result<Vec<Finding>> {
    let read = |path: &str| std::fs::read_to_string(root.dir.join(path)).ok();
    let mut findings = Vec::new();
    for target in graph.members.iter().flat_map(|package| &package.targets) {
        if [TargetKind::Test, TargetKind::Bench].iter().any(|kind| target.kind.contains(kind)) {
            continue;
        }
        let path = target.src_path.strip_prefix(&root.dir).unwrap_or(&target.src_path);
        let loaded = Crate::load(path.as_str(), &read)?;
        let uses = loaded.uses();
        findings
            .extend(components(&uses).iter().map(|component| describe(&loaded, &uses, component)));
    }
    Ok(findings)
}

type Uses = [BTreeMap<usize, String>];

/// Returns the strongly connected components with more than one file: files that all use each other,
/// directly or through others.
fn components(uses: &Uses) -> Vec<Vec<usize>> {
    let reached: Vec<BTreeSet<usize>> = (0..uses.len())
        .map(|file| {
            let mut reached = BTreeSet::new();
            let mut next = vec![file];
            while let Some(file) = next.pop() {
                next.extend(uses[file].keys().filter(|used| reached.insert(**used)));
            }
            reached
        })
        .collect();
    let component = |file: usize| -> Vec<usize> {
        reached[file].iter().copied().filter(|other| reached[*other].contains(&file)).collect()
    };
    let components = (0..uses.len()).map(|file| (file, component(file)));
    // Each component is found from each of its files.
    components
        .filter(|(file, component)| component.first() == Some(file))
        .map(|(_, component)| component)
        .collect()
}

/// Describes the shortest cycle of a component.
fn describe(loaded: &Crate, uses: &Uses, component: &[usize]) -> Finding {
    let cycles = component.iter().filter_map(|file| shortest_cycle(uses, *file));
    let cycle = cycles.min_by_key(Vec::len).unwrap_or_default();
    let steps: Vec<String> = cycle
        .iter()
        .zip(cycle.iter().cycle().skip(1))
        .map(|(file, used)| format!("`{}` of {}", uses[*file][used], loaded.files[*used]))
        .collect();
    let mut what = format!("cycle: uses {}", steps.join(", which uses "));
    if component.len() > cycle.len() {
        let others = component.iter().filter(|file| !cycle.contains(file));
        let others: Vec<&str> = others.map(|file| loaded.files[*file].as_str()).collect();
        what = format!("{what}; also in cycles with these: {}", others.join(", "));
    }
    Finding::new(cycle.first().map_or("", |file| &loaded.files[*file]), None, what)
}

/// Returns the files of the shortest cycle through this file, which is first.
fn shortest_cycle(uses: &Uses, file: usize) -> Option<Vec<usize>> {
    let mut previous: BTreeMap<usize, usize> = BTreeMap::new();
    let mut queue = VecDeque::from([file]);
    while let Some(at) = queue.pop_front() {
        for used in uses[at].keys() {
            if *used == file {
                let back = std::iter::successors(Some(at), |at| previous.get(at).copied());
                let mut cycle: Vec<usize> = back.collect();
                cycle.reverse();
                return Some(cycle);
            }
            if !previous.contains_key(used) {
                previous.insert(*used, at);
                queue.push_back(*used);
            }
        }
    }
    None
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Returns the cycles of a crate with these files, each as `a.rs b.rs`.
    fn cycles(files: &[(&str, &str)]) -> Vec<String> {
        let read = |path: &str| {
            let file = files.iter().find(|(name, _)| *name == path);
            file.map(|(_, text)| (*text).to_owned())
        };
        let loaded = Crate::load("lib.rs", &read).unwrap();
        let uses = loaded.uses();
        let names = |component: &Vec<usize>| {
            let names: Vec<&str> =
                component.iter().map(|file| loaded.files[*file].as_str()).collect();
            names.join(" ")
        };
        components(&uses).iter().map(names).collect()
    }

    #[test]
    fn siblings_that_import_each_other_are_a_cycle() {
        let root = ("lib.rs", "mod a; mod b;");
        let b = ("b.rs", "use super::a::A; pub struct B(A);");
        assert_eq!(cycles(&[root, ("a.rs", "pub struct A;"), b]), [""; 0]);
        for a in [
            "use crate::b::B; pub struct A(B);",
            "use crate::b; pub struct A(b::B);",
            "use super::{b as other}; pub struct A(other::B);",
            "use crate::b::*; pub struct A(B);",
            "pub struct A; fn f() { crate::b::B; }",
            "pub struct A; fn f() { use crate::b::B as _; }",
            "pub struct A; fn f() { println!(\"{}\", crate::b::B); }",
            "#[serde(with = \"crate::b::B\")] pub struct A;",
            "mod inline { fn f() { super::super::b::B; } } pub struct A;",
        ] {
            assert_eq!(cycles(&[root, ("a.rs", a), b]), ["a.rs b.rs"], "{a}");
        }
    }

    #[test]
    fn declared_and_re_exported_child_may_use_its_parent() {
        let child = ("a/child.rs", "use super::Parent; pub struct Child(Parent);");
        let parents = [
            "mod child; pub use child::Child; pub struct Parent;",
            "pub mod child; pub struct Parent; fn f(child: u8) { child; x.child; }",
            "pub mod child; pub struct Parent; #[cfg(test)] mod tests { use super::child::Child; }",
        ];
        for parent in parents {
            let files = [("lib.rs", "mod a;"), ("a/mod.rs", parent), child];
            assert_eq!(cycles(&files), [""; 0], "{parent}");
        }
    }

    #[test]
    fn parent_that_uses_child_is_a_cycle_if_child_uses_its_definitions() {
        let parents = [
            "mod child; use child::Child; pub struct Parent; fn f(_: Child) {}",
            "mod child; pub use child::Child; pub struct Parent; fn f(_: Child) {}",
            "mod child; pub struct Parent; fn f() { child::Child; }",
        ];
        for parent in parents {
            let child = ("a/child.rs", "use super::Parent; pub struct Child(Parent);");
            let files = [("lib.rs", "mod a;"), ("a.rs", parent), child];
            assert_eq!(cycles(&files), ["a.rs a/child.rs"], "{parent}");
        }
    }

    #[test]
    fn re_export_is_followed_to_its_definition() {
        let files = [
            ("lib.rs", "mod a; fn main() { a::run(); }"),
            ("a/mod.rs", "mod error; mod work; pub use error::Error; pub use work::run;"),
            ("a/error.rs", "pub struct Error;"),
            ("a/work.rs", "use crate::a::Error; pub fn run() -> Error {}"),
        ];
        assert_eq!(cycles(&files), [""; 0]);
    }

    #[test]
    fn code_for_tests_is_left_out() {
        let b = ("b.rs", "use crate::a::A; pub struct B(A);");
        for a in [
            "pub struct A; #[cfg(test)] use crate::b::B;",
            "pub struct A; #[cfg(test)] mod missing_file;",
            "pub struct A; impl A { #[cfg(test)] fn f<T, U>() { crate::b::B; } }",
            "pub struct A { #[cfg(test)] b: crate::b::B, }",
            "pub struct A; #[cfg(all(test, unix))] fn f() { crate::b::B; }",
        ] {
            assert_eq!(cycles(&[("lib.rs", "mod a; mod b;"), ("a.rs", a), b]), [""; 0], "{a}");
        }
    }

    #[test]
    fn longer_cycle_is_found_and_names_of_other_crates_are_not() {
        let files = [
            ("lib.rs", "mod a; mod b; mod c; mod serde;"),
            ("a.rs", "use crate::b::B; use ::serde::Value; pub struct A(B);"),
            ("b.rs", "use crate::c::C; pub struct B(C);"),
            ("c.rs", "use crate::a::A; pub struct C(A);"),
            ("serde.rs", "use crate::a::A; use serde::Serialize;"),
        ];
        assert_eq!(cycles(&files), ["a.rs b.rs c.rs"]);
    }

    #[test]
    fn finding_names_each_use() {
        let read = |path: &str| match path {
            "lib.rs" => Some("mod a; mod b;".to_owned()),
            "a.rs" => Some("use crate::b::B; pub struct A(B);".to_owned()),
            "b.rs" => Some("pub struct B(crate::a::A);".to_owned()),
            _ => None,
        };
        let loaded = Crate::load("lib.rs", &read).unwrap();
        let uses = loaded.uses();
        let finding = describe(&loaded, &uses, &components(&uses)[0]);
        let what = "cycle: uses `B` of b.rs, which uses `crate::a::A` of a.rs";
        assert_eq!(finding, Finding::new("a.rs", None, what));
    }
}
