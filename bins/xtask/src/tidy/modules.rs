//! The modules of a crate, and the files that define the items its code names.
//!
//! Reads the module tree from `mod` items, and paths from the tokens of all other items, so that paths in macro calls
//! are included. Code for tests (`#[cfg(test)]`) is left out.

use std::collections::{BTreeMap, BTreeSet};

use proc_macro2::{Delimiter, Spacing, TokenStream, TokenTree};
use quote::ToTokens as _;
use syn::ext::IdentExt as _;

use crate::error::{Error, Result};

/// The maximum length of a chain of re-exports. It also ends circular chains, such as an external
/// crate imported under the name of a local one.
const MAX_IMPORTS: usize = 8;

/// A crate: its files, and the uses between them.
#[derive(Debug, Default)]
pub(super) struct Crate {
    /// Paths in the repository; the crate's root is first.
    pub(super) files: Vec<String>,
    modules: Vec<Module>,
    paths: BTreeSet<NamedPath>,
}

#[derive(Debug, Default)]
struct Module {
    file: usize,
    parent: Option<usize>,
    children: BTreeMap<String, usize>,
    items: BTreeSet<String>,
    /// The path of each imported name.
    imports: BTreeMap<String, Vec<String>>,
    /// The paths of imports such as `super::*`.
    globs: Vec<Vec<String>>,
}

/// A path in the code of a module.
#[derive(Debug, PartialEq, Eq, PartialOrd, Ord)]
struct NamedPath {
    module: usize,
    segments: Vec<String>,
}

impl Crate {
    /// Reads a crate. `read` returns the text of a file, if the file exists.
    pub(super) fn load(root: &str, read: &dyn Fn(&str) -> Option<String>) -> Result<Crate> {
        let mut loaded = Crate::default();
        let (dir, _) = split(root);
        loaded.add_file(root, dir, None, read)?;
        Ok(loaded)
    }

    /// Returns, for each file, the other files that it uses and one of the paths by which it does.
    pub(super) fn uses(&self) -> Vec<BTreeMap<usize, String>> {
        let mut uses = vec![BTreeMap::new(); self.files.len()];
        for path in &self.paths {
            let file = self.modules[path.module].file;
            if let Some(used) = self.definition(path.module, &path.segments, MAX_IMPORTS)
                && used != file
            {
                uses[file].entry(used).or_insert_with(|| path.segments.join("::"));
            }
        }
        uses
    }

    /// Returns the file with the definition of a path's item. `None` for a path that names a module,
    /// an item of another crate, or a local variable.
    fn definition(&self, at: usize, path: &[String], imports: usize) -> Option<usize> {
        let (first, rest) = path.split_first()?;
        let module = &self.modules[at];
        match first.as_str() {
            "crate" => return self.definition(0, rest, imports),
            "self" => return self.definition(at, rest, imports),
            "super" => return self.definition(module.parent?, rest, imports),
            _ => {}
        }
        // A function may have the name of a module.
        if let Some(child) = module.children.get(first)
            && (!rest.is_empty() || !module.items.contains(first))
        {
            return self.definition(*child, rest, imports);
        }
        if module.items.contains(first) {
            return Some(module.file);
        }
        let imports = imports.checked_sub(1)?;
        if let Some(import) = module.imports.get(first) {
            return self.definition(at, &[import, rest].concat(), imports);
        }
        module.globs.iter().find_map(|glob| self.definition(at, &[glob, path].concat(), imports))
    }

    /// Adds a file as a module. `dir` is the folder of its child modules.
    fn add_file(
        &mut self,
        file: &str,
        dir: &str,
        parent: Option<usize>,
        read: &dyn Fn(&str) -> Option<String>,
    ) -> Result<usize> {
        let invalid = |reason: &str| Error::Failed(format!("{file}: {reason}"));
        let text = read(file).ok_or_else(|| invalid("the file of a module does not exist"))?;
        let tokens: TokenStream = text.parse().map_err(|_| invalid("invalid tokens"))?;
        let parsed: syn::File =
            syn::parse2(without_tests(tokens)).map_err(|error| invalid(&error.to_string()))?;
        self.files.push(file.to_owned());
        let number = self.files.len() - 1;
        self.add_module(number, dir, parent, &parsed.items, read)
    }

    fn add_module(
        &mut self,
        file: usize,
        dir: &str,
        parent: Option<usize>,
        items: &[syn::Item],
        read: &dyn Fn(&str) -> Option<String>,
    ) -> Result<usize> {
        let number = self.modules.len();
        self.modules.push(Module { file, parent, ..Module::default() });
        for item in items {
            match item {
                syn::Item::Mod(child) => {
                    let name = child.ident.unraw().to_string();
                    let added = match &child.content {
                        Some((_, items)) => {
                            self.add_module(file, &join(dir, &name), Some(number), items, read)?
                        }
                        None => {
                            let (child_file, child_dir) = self.file_of(file, dir, child, read);
                            self.add_file(&child_file, &child_dir, Some(number), read)?
                        }
                    };
                    self.modules[number].children.insert(name, added);
                }
                syn::Item::Use(import) => self.add_import(number, import),
                other => {
                    self.modules[number].items.extend(defined_names(other));
                    self.add_paths(number, other.to_token_stream());
                }
            }
        }
        Ok(number)
    }

    /// Returns the file of `mod name;`, and the folder of its child modules.
    fn file_of(
        &self,
        parent_file: usize,
        dir: &str,
        child: &syn::ItemMod,
        read: &dyn Fn(&str) -> Option<String>,
    ) -> (String, String) {
        if let Some(path) = child.attrs.iter().find_map(path_attribute) {
            let (folder, _) = split(&self.files[parent_file]);
            let file = join(folder, &path);
            let folder = split(&file).0.to_owned();
            return (file, folder);
        }
        let folder = join(dir, &child.ident.unraw().to_string());
        let nested = format!("{folder}/mod.rs");
        let file = if read(&nested).is_some() { nested } else { format!("{folder}.rs") };
        (file, folder)
    }

    /// Adds the names of an import. A private import is also a use of the items it names; a re-export
    /// is not.
    fn add_import(&mut self, module: usize, import: &syn::ItemUse) {
        if import.leading_colon.is_some() {
            return;
        }
        let is_private = matches!(import.vis, syn::Visibility::Inherited);
        for Leaf { name, path } in leaves(&import.tree, &[]) {
            if is_private {
                self.paths.insert(NamedPath { module, segments: path.clone() });
            }
            match name {
                LeafName::Glob => self.modules[module].globs.push(path),
                LeafName::Name(name) => {
                    self.modules[module].imports.insert(name, path);
                }
                LeafName::Unnamed => {}
            }
        }
    }

    /// Adds the paths in these tokens, and the imports in the bodies of functions.
    fn add_paths(&mut self, module: usize, tokens: TokenStream) {
        let tokens: Vec<TokenTree> = tokens.into_iter().collect();
        let mut at = 0;
        while let Some(token) = tokens.get(at) {
            let end = match token {
                TokenTree::Group(group) => {
                    self.add_paths(module, group.stream());
                    at + 1
                }
                // Attributes such as `#[serde(with = "crate::time")]`.
                TokenTree::Literal(literal) => {
                    if let Some(segments) = path_in_literal(literal) {
                        self.paths.insert(NamedPath { module, segments });
                    }
                    at + 1
                }
                TokenTree::Punct(_) => at + 1,
                TokenTree::Ident(word) if word == "use" => {
                    self.add_local_import(module, &tokens, at)
                }
                TokenTree::Ident(_) => {
                    let (segments, end) = path_at(&tokens, at);
                    if !continues_expression(&tokens, at) {
                        self.paths.insert(NamedPath { module, segments });
                    }
                    end
                }
            };
            at = end;
        }
    }

    /// Adds the import that starts here, and returns its end.
    fn add_local_import(&mut self, module: usize, tokens: &[TokenTree], at: usize) -> usize {
        let length = tokens[at..].iter().position(|token| is_punct(token, ';'));
        let end = length.map_or(tokens.len(), |length| at + length + 1);
        // `use<'a>` in a type is not an import.
        match syn::parse2::<syn::ItemUse>(tokens[at..end].iter().cloned().collect()) {
            Ok(import) => {
                self.add_import(module, &import);
                end
            }
            Err(_) => at + 1,
        }
    }
}

enum LeafName {
    Name(String),
    /// `as _`
    Unnamed,
    Glob,
}

struct Leaf {
    name: LeafName,
    path: Vec<String>,
}

fn leaves(tree: &syn::UseTree, prefix: &[String]) -> Vec<Leaf> {
    let with = |ident: &syn::Ident| [prefix, &[ident.unraw().to_string()]].concat();
    // `a::{self}` imports `a`.
    let path_of = |ident: &syn::Ident| {
        if ident == "self" && !prefix.is_empty() { prefix.to_vec() } else { with(ident) }
    };
    match tree {
        syn::UseTree::Path(path) => leaves(&path.tree, &with(&path.ident)),
        syn::UseTree::Group(group) => {
            group.items.iter().flat_map(|item| leaves(item, prefix)).collect()
        }
        syn::UseTree::Glob(_) => vec![Leaf { name: LeafName::Glob, path: prefix.to_vec() }],
        syn::UseTree::Name(name) => {
            let path = path_of(&name.ident);
            let name = path.last().cloned().map_or(LeafName::Unnamed, LeafName::Name);
            vec![Leaf { name, path }]
        }
        syn::UseTree::Rename(rename) => {
            let name = match rename.rename.unraw().to_string() {
                name if name == "_" => LeafName::Unnamed,
                name => LeafName::Name(name),
            };
            vec![Leaf { name, path: path_of(&rename.ident) }]
        }
    }
}

/// Returns the names that an item defines. A macro call may define several.
fn defined_names(item: &syn::Item) -> Vec<String> {
    let name = match item {
        syn::Item::Const(item) => &item.ident,
        syn::Item::Enum(item) => &item.ident,
        syn::Item::Fn(item) => &item.sig.ident,
        syn::Item::Static(item) => &item.ident,
        syn::Item::Struct(item) => &item.ident,
        syn::Item::Trait(item) => &item.ident,
        syn::Item::TraitAlias(item) => &item.ident,
        syn::Item::Type(item) => &item.ident,
        syn::Item::Union(item) => &item.ident,
        syn::Item::Macro(item) => match &item.ident {
            Some(name) => name,
            None => return names_in_macro(item.mac.tokens.clone()),
        },
        _ => return Vec::new(),
    };
    vec![name.unraw().to_string()]
}

fn names_in_macro(tokens: TokenStream) -> Vec<String> {
    let tokens: Vec<TokenTree> = tokens.into_iter().collect();
    let is_keyword = |token: &TokenTree| {
        let keywords = ["const", "enum", "fn", "static", "struct", "trait", "type", "union"];
        matches!(token, TokenTree::Ident(word) if keywords.iter().any(|keyword| word == keyword))
    };
    tokens
        .windows(2)
        .filter_map(|pair| match pair {
            [keyword, TokenTree::Ident(name)] if is_keyword(keyword) => Some(name.to_string()),
            _ => None,
        })
        .collect()
}

/// Returns the path that starts here, and its end.
fn path_at(tokens: &[TokenTree], at: usize) -> (Vec<String>, usize) {
    let mut segments = Vec::new();
    let mut end = at;
    while let Some(TokenTree::Ident(word)) = tokens.get(end) {
        segments.push(word.unraw().to_string());
        end += 1;
        match tokens.get(end..end + 3) {
            Some([colon, other, TokenTree::Ident(_)]) if is_double_colon(colon, other) => end += 2,
            _ => break,
        }
    }
    (segments, end)
}

/// Reports whether the word here follows `.`, `::` or `'`, so that it is a field, a method, a part of
/// a path that does not start in this crate, or a lifetime.
fn continues_expression(tokens: &[TokenTree], at: usize) -> bool {
    let Some(previous) = at.checked_sub(1).map(|previous| &tokens[previous]) else {
        return false;
    };
    let earlier = at.checked_sub(2).map(|earlier| &tokens[earlier]);
    let follows_range =
        is_punct(previous, '.') && earlier.is_some_and(|token| is_punct(token, '.'));
    is_punct(previous, '\'')
        || is_punct(previous, '.') && !follows_range
        || earlier.is_some_and(|earlier| is_double_colon(earlier, previous))
}

fn is_punct(token: &TokenTree, char: char) -> bool {
    matches!(token, TokenTree::Punct(punct) if punct.as_char() == char)
}

fn is_double_colon(first: &TokenTree, second: &TokenTree) -> bool {
    let is_joint = matches!(first, TokenTree::Punct(colon) if colon.spacing() == Spacing::Joint);
    is_joint && is_punct(first, ':') && is_punct(second, ':')
}

fn path_in_literal(literal: &proc_macro2::Literal) -> Option<Vec<String>> {
    let text = literal.to_string();
    let text = text.strip_prefix('"')?.strip_suffix('"')?;
    let is_path = ["crate::", "self::", "super::"].iter().any(|start| text.starts_with(start));
    is_path.then(|| text.split("::").map(str::to_owned).collect())
}

fn path_attribute(attribute: &syn::Attribute) -> Option<String> {
    let syn::Meta::NameValue(pair) = &attribute.meta else { return None };
    match &pair.value {
        syn::Expr::Lit(syn::ExprLit { lit: syn::Lit::Str(path), .. })
            if pair.path.is_ident("path") =>
        {
            Some(path.value())
        }
        _ => None,
    }
}

/// Removes the items, fields and statements with `#[cfg(test)]`.
fn without_tests(tokens: TokenStream) -> TokenStream {
    let mut kept = TokenStream::new();
    let mut tokens = tokens.into_iter().peekable();
    while let Some(token) = tokens.next() {
        if is_punct(&token, '#')
            && tokens
                .next_if(|next| matches!(next, TokenTree::Group(group) if is_test_attribute(group)))
                .is_some()
        {
            let mut is_item = false;
            for skipped in tokens.by_ref() {
                match &skipped {
                    TokenTree::Group(body) if body.delimiter() == Delimiter::Brace => break,
                    TokenTree::Ident(word) => {
                        is_item |= ["fn", "impl", "struct", "use"].iter().any(|item| word == item);
                    }
                    // A comma ends a field or a variant, not an item with parameters.
                    end if is_punct(end, ';') || is_punct(end, ',') && !is_item => break,
                    _ => {}
                }
            }
            continue;
        }
        let token = match token {
            TokenTree::Group(group) => {
                let mut filtered =
                    proc_macro2::Group::new(group.delimiter(), without_tests(group.stream()));
                filtered.set_span(group.span());
                TokenTree::Group(filtered)
            }
            other => other,
        };
        kept.extend([token]);
    }
    kept
}

/// Matches `[cfg(test)]` and `[cfg(all(test, …))]`.
fn is_test_attribute(attribute: &proc_macro2::Group) -> bool {
    let text: String = attribute.to_string().split_whitespace().collect();
    text == "[cfg(test)]" || text.starts_with("[cfg(all(test,")
}

fn split(path: &str) -> (&str, &str) {
    path.rsplit_once('/').unwrap_or(("", path))
}

fn join(dir: &str, name: &str) -> String {
    if dir.is_empty() { name.to_owned() } else { format!("{dir}/{name}") }
}
