//! Lists what users and embedders depend on: flags, variables, routes, metric families and labels, exit codes, features
//! and public items. Two lists are compared with the renames in `renames.tsv` applied.
//!
//! Flags, routes and metrics are read from the pages in `docs` that tests compare with the code.

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};

use quote::ToTokens as _;
use serde_json::Value;

use crate::error::{Context as _, Error, Result};
use crate::files;

/// The published crates.
const LIBRARIES: [&str; 4] =
    ["pulltrace-core", "pulltrace-agent-lib", "pulltrace-server-lib", "pulltrace-client"];

const PROGRAMS: [&str; 3] = ["bins/pulltrace", "bins/pulltrace-agent", "bins/pulltrace-server"];

/// One line per name, `kind name`.
pub(crate) fn list(root: &Path) -> Result<BTreeSet<String>> {
    let mut out = BTreeSet::new();
    flags(&read(&root.join("docs/configuration.md"))?, &mut out);
    metrics(&read(&root.join("docs/metrics.md"))?, &mut out);
    routes(&read(&root.join("docs/openapi.json"))?, &mut out)?;
    for program in PROGRAMS {
        exit_codes(root, program, &mut out)?;
    }
    for library in LIBRARIES {
        features(library, &read(&root.join(library).join("Cargo.toml"))?, &mut out);
        let mut items = Items { name: library.replace('-', "_"), ..Items::default() };
        items.module(&root.join(library).join("src/lib.rs"), "")?;
        items.finish(&mut out);
    }
    Ok(out)
}

fn read(path: &Path) -> Result<String> {
    std::fs::read_to_string(path).context(|| format!("read {}", path.display()))
}

/// The cells of a row of a Markdown table.
fn cells(line: &str) -> Option<Vec<&str>> {
    let row = line.trim().strip_prefix('|')?.strip_suffix('|')?;
    Some(row.split(" |").map(str::trim).collect())
}

fn code(cell: &str) -> Option<&str> {
    cell.strip_prefix('`')?.split('`').next()
}

fn flags(page: &str, out: &mut BTreeSet<String>) {
    let mut program = "";
    for line in page.lines() {
        if let Some(title) = line.strip_prefix("### ").or_else(|| line.strip_prefix("## ")) {
            program = title;
        }
        let Some(cells) = cells(line) else { continue };
        if let Some(flag) = cells.first().and_then(|cell| code(cell)) {
            out.insert(format!("flag {program} {flag}"));
        }
        if let Some(variable) = cells.get(1).and_then(|cell| code(cell)) {
            out.insert(format!("variable {program} {variable}"));
        }
    }
}

fn metrics(page: &str, out: &mut BTreeSet<String>) {
    for cells in page.lines().filter_map(cells) {
        if let [family, kind, labels, ..] = cells.as_slice() {
            out.extend(code(family).map(|family| format!("metric {family} {kind} {labels}")));
        }
    }
}

fn routes(document: &str, out: &mut BTreeSet<String>) -> Result<()> {
    let document: Value = serde_json::from_str(document)
        .map_err(|error| Error::Failed(format!("docs/openapi.json is invalid JSON: {error}")))?;
    for (path, methods) in document["paths"].as_object().into_iter().flatten() {
        for (method, call) in methods.as_object().into_iter().flatten() {
            let parameters = call["parameters"].as_array().into_iter().flatten();
            let names: Vec<&str> = parameters.filter_map(|one| one["name"].as_str()).collect();
            let answers: Vec<&String> =
                call["responses"].as_object().into_iter().flatten().map(|(code, _)| code).collect();
            out.insert(format!("route {method} {path} {names:?} {answers:?}"));
        }
    }
    Ok(())
}

fn exit_codes(root: &Path, program: &str, out: &mut BTreeSet<String>) -> Result<()> {
    for file in files::list(&root.join(program).join("src"), &["rs"])? {
        let text = read(&file)?;
        for (_, after) in
            text.match_indices("ExitCode::from(").map(|(at, found)| text.split_at(at + found.len()))
        {
            let argument = after.split(')').next().unwrap_or_default();
            out.insert(format!("exit-code {program} {argument}"));
        }
    }
    Ok(())
}

fn features(library: &str, manifest: &str, out: &mut BTreeSet<String>) {
    let section = manifest.split("[features]\n").nth(1).unwrap_or_default();
    let lines = section.lines().take_while(|line| !line.starts_with('['));
    let names = lines.filter_map(|line| line.split_once(" = ")).map(|(name, _)| name);
    out.extend(names.map(|name| format!("feature {library} {name}")));
}

/// The public items of one library.
#[derive(Default)]
struct Items {
    name: String,
    paths: BTreeSet<String>,
    /// Fields, variants and methods, by the name of their type. A name is used by one public type only.
    members: BTreeMap<String, BTreeSet<String>>,
}

impl Items {
    /// Reads a module with those below it; `path` is empty for the crate, else starts with `::`.
    fn module(&mut self, file: &Path, path: &str) -> Result<()> {
        let text = read(file)?;
        let parsed = syn::parse_file(&text)
            .map_err(|error| Error::Failed(format!("parse {}: {error}", file.display())))?;
        self.items(&parsed.items, file, Some(path))
    }

    /// `path` is `None` inside a private module, whose items are public only by a `pub use`.
    fn items(&mut self, items: &[syn::Item], file: &Path, path: Option<&str>) -> Result<()> {
        for item in items {
            if attributes(item)
                .iter()
                .any(|attribute| attribute.to_token_stream().to_string().contains("cfg (test)"))
            {
                continue;
            }
            match item {
                syn::Item::Mod(module) => self.child(module, file, path)?,
                syn::Item::Use(item) if public(&item.vis) => self.reexports(&item.tree, path),
                syn::Item::Impl(item) if item.trait_.is_none() => self.methods(item),
                item => self.item(item, path),
            }
        }
        Ok(())
    }

    fn child(&mut self, module: &syn::ItemMod, file: &Path, path: Option<&str>) -> Result<()> {
        let name = module.ident.to_string();
        let below = path.filter(|_| public(&module.vis)).map(|path| format!("{path}::{name}"));
        if let Some((_, items)) = &module.content {
            return self.items(items, file, below.as_deref());
        }
        let next = child_file(file, &name)?;
        let text = read(&next)?;
        let parsed = syn::parse_file(&text)
            .map_err(|error| Error::Failed(format!("parse {}: {error}", next.display())))?;
        self.items(&parsed.items, &next, below.as_deref())
    }

    fn reexports(&mut self, tree: &syn::UseTree, path: Option<&str>) {
        match tree {
            syn::UseTree::Path(next) => self.reexports(&next.tree, path),
            syn::UseTree::Group(group) => {
                group.items.iter().for_each(|tree| self.reexports(tree, path))
            }
            leaf => {
                let leaf = leaf.to_token_stream().to_string();
                let name = leaf.rsplit(" as ").next().unwrap_or_default();
                self.paths.extend(path.map(|path| format!("{path}::{name}")));
            }
        }
    }

    fn item(&mut self, item: &syn::Item, path: Option<&str>) {
        let (visibility, name, members): (_, _, Vec<String>) = match item {
            syn::Item::Struct(item) => {
                let fields = item.fields.iter().filter(|field| public(&field.vis));
                (
                    &item.vis,
                    &item.ident,
                    fields
                        .filter_map(|field| field.ident.as_ref())
                        .map(ToString::to_string)
                        .collect(),
                )
            }
            syn::Item::Enum(item) => (
                &item.vis,
                &item.ident,
                item.variants.iter().map(|one| one.ident.to_string()).collect(),
            ),
            syn::Item::Trait(item) => {
                let names = item.items.iter().filter_map(|member| match member {
                    syn::TraitItem::Fn(function) => Some(function.sig.ident.to_string()),
                    syn::TraitItem::Type(kind) => Some(kind.ident.to_string()),
                    _ => None,
                });
                (&item.vis, &item.ident, names.collect())
            }
            syn::Item::Fn(item) => (&item.vis, &item.sig.ident, Vec::new()),
            syn::Item::Const(item) => (&item.vis, &item.ident, Vec::new()),
            syn::Item::Static(item) => (&item.vis, &item.ident, Vec::new()),
            syn::Item::Type(item) => (&item.vis, &item.ident, Vec::new()),
            _ => return,
        };
        if public(visibility) {
            let name = name.to_string();
            self.paths.extend(path.map(|path| format!("{path}::{name}")));
            self.members.entry(name).or_default().extend(members);
        }
    }

    fn methods(&mut self, item: &syn::ItemImpl) {
        let syn::Type::Path(path) = item.self_ty.as_ref() else {
            return;
        };
        let Some(name) = path.path.segments.last().map(|last| last.ident.to_string()) else {
            return;
        };
        let names = item.items.iter().filter_map(|member| match member {
            syn::ImplItem::Fn(function) if public(&function.vis) => {
                Some(function.sig.ident.to_string())
            }
            syn::ImplItem::Const(constant) if public(&constant.vis) => {
                Some(constant.ident.to_string())
            }
            _ => None,
        });
        self.members.entry(name).or_default().extend(names);
    }

    fn finish(self, out: &mut BTreeSet<String>) {
        let crate_name = &self.name;
        for path in &self.paths {
            out.insert(format!("item {crate_name}{path}"));
            let name = path.rsplit("::").next().unwrap_or_default();
            let members = self.members.get(name).into_iter().flatten();
            out.extend(members.map(|member| format!("item {crate_name}{path}::{member}")));
        }
    }
}

fn attributes(item: &syn::Item) -> &[syn::Attribute] {
    match item {
        syn::Item::Mod(item) => &item.attrs,
        syn::Item::Use(item) => &item.attrs,
        syn::Item::Impl(item) => &item.attrs,
        syn::Item::Fn(item) => &item.attrs,
        _ => &[],
    }
}

fn public(visibility: &syn::Visibility) -> bool {
    matches!(visibility, syn::Visibility::Public(_))
}

fn child_file(parent: &Path, name: &str) -> Result<PathBuf> {
    let dir = parent.parent().unwrap_or(Path::new(""));
    let stem = parent.file_stem().unwrap_or_default().to_string_lossy();
    let dir = if matches!(stem.as_ref(), "lib" | "mod" | "main") {
        dir.to_path_buf()
    } else {
        dir.join(stem.as_ref())
    };
    [dir.join(format!("{name}.rs")), dir.join(name).join("mod.rs")]
        .into_iter()
        .find(|file| file.is_file())
        .ok_or_else(|| {
            Error::Failed(format!("module `{name}` of {} has no file", parent.display()))
        })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn listed(fill: impl FnOnce(&mut BTreeSet<String>)) -> Vec<String> {
        let mut out = BTreeSet::new();
        fill(&mut out);
        out.into_iter().collect()
    }

    #[test]
    fn documented_names_are_listed_without_their_descriptions() {
        let page = "## pulltrace\n\n| flag | variable | default | description |\n|---|---|---|---|\n| `--log LEVEL` | `LOG` | `info` | Log level |\n";
        assert_eq!(
            listed(|out| flags(page, out)),
            ["flag pulltrace --log LEVEL", "variable pulltrace LOG"]
        );
        let page = "| `x_total` | counter | node, reason | Everything |";
        assert_eq!(listed(|out| metrics(page, out)), ["metric x_total counter node, reason"]);
        let document = r#"{"paths": {"/a": {"get": {"description": "A", "parameters": [{"name": "q"}], "responses": {"200": {}}}}}}"#;
        assert_eq!(listed(|out| routes(document, out).unwrap()), [r#"route get /a ["q"] ["200"]"#]);
        let manifest =
            "[features]\ndefault = []\nhttp = [\"dep:x\"]\n\n[dependencies]\ny = \"1\"\n";
        assert_eq!(
            listed(|out| features("lib", manifest, out)),
            ["feature lib default", "feature lib http"]
        );
    }

    #[test]
    fn public_items_are_listed_by_path_with_their_members() {
        let dir = std::env::temp_dir().join(format!("xtask-surface-{}", std::process::id()));
        std::fs::create_dir_all(&dir).unwrap();
        let lib = "pub mod a;\nmod b;\npub use b::{Hidden as Shown, Kept};\n#[cfg(test)]\nmod c;\n";
        std::fs::write(dir.join("lib.rs"), lib).unwrap();
        std::fs::write(
            dir.join("a.rs"),
            "pub enum E { X }\nimpl E { pub fn f() {} fn g() {} }\nstruct P;",
        )
        .unwrap();
        std::fs::write(
            dir.join("b.rs"),
            "pub struct Kept { pub open: u8, closed: u8 }\npub fn gone() {}",
        )
        .unwrap();
        let mut items = Items { name: "k".to_owned(), ..Items::default() };
        items.module(&dir.join("lib.rs"), "").unwrap();
        std::fs::remove_dir_all(&dir).unwrap();
        let expected = [
            "item k::Kept",
            "item k::Kept::open",
            "item k::Shown",
            "item k::a::E",
            "item k::a::E::X",
            "item k::a::E::f",
        ];
        assert_eq!(listed(|out| items.finish(out)), expected);
    }
}
