//! Compares two versions of a Rust file token by token.
//!
//! Comments, doc attributes and the choices of rustfmt are ignored: trailing commas, braces around a single
//! expression, and the order of `use` and `mod` items. Renames and changed texts are found by comparing the two token
//! streams position by position.

use std::collections::BTreeMap;

use proc_macro2::{Delimiter, TokenStream, TokenTree};
use quote::ToTokens as _;
use syn::visit_mut::{self, VisitMut};

/// The accepted differences. Comments and docs may always differ.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Allowed {
    /// Identifiers may differ.
    pub(crate) names: bool,
    /// String literals may differ, as long as they have as many placeholders.
    pub(crate) strings: bool,
}

/// The result of comparing two versions of one file.
#[derive(Debug, Default, PartialEq, Eq)]
pub(crate) struct Comparison {
    /// The first difference that is not allowed.
    pub(crate) difference: Option<String>,
    /// The old and new name of each renamed identifier, with the number of places.
    pub(crate) renames: BTreeMap<(String, String), usize>,
    /// Test functions of the base, and their names now.
    pub(crate) tests: Vec<(String, String)>,
}

/// A file without comments; items that rustfmt sorts are separate.
struct Code {
    tokens: Vec<Token>,
    /// One entry for each `use` leaf and each `mod name;`, sorted.
    declarations: Vec<String>,
}

#[derive(Clone, Debug, PartialEq, Eq)]
enum Token {
    Name(String),
    Text(String),
    /// Punctuation, delimiters and other literals.
    Other(String),
}

impl Token {
    fn show(&self) -> &str {
        match self {
            Token::Name(text) | Token::Text(text) | Token::Other(text) => text,
        }
    }
}

pub(crate) fn compare(base: &str, now: &str, allowed: Allowed) -> Comparison {
    let (base, now) = match (parse(base), parse(now)) {
        (Ok(base), Ok(now)) => (base, now),
        (Err(error), _) => return differs(format!("the base does not parse: {error}")),
        (_, Err(error)) => return differs(format!("it does not parse: {error}")),
    };
    let mut found = Comparison::default();
    if allowed.names {
        if base.declarations.len() != now.declarations.len() {
            let counts = (base.declarations.len(), now.declarations.len());
            found.difference =
                Some(format!("{} imports and modules became {}", counts.0, counts.1));
        }
    } else if base.declarations != now.declarations {
        let changed = now.declarations.iter().find(|line| !base.declarations.contains(line));
        found.difference = Some(format!(
            "imports or modules differ: {}",
            changed.map_or("one is missing", String::as_str)
        ));
    }
    compare_tokens(&base.tokens, &now.tokens, allowed, &mut found);
    found
}

fn differs(text: String) -> Comparison {
    Comparison { difference: Some(text), ..Comparison::default() }
}

fn compare_tokens(base: &[Token], now: &[Token], allowed: Allowed, found: &mut Comparison) {
    let mut is_test = false;
    for (at, (old, new)) in base.iter().zip(now).enumerate() {
        match (old, new) {
            (Token::Name(old), Token::Name(new)) if old == new || allowed.names => {
                if old != new {
                    *found.renames.entry((old.clone(), new.clone())).or_default() += 1;
                }
                let previous = at.checked_sub(1).map(|before| base[before].show());
                // `#[test]`, `#[tokio::test]`, `#[tokio::test(…)]`.
                is_test |= old == "test" && matches!(previous, Some("[" | ":"));
                if previous == Some("fn") && is_test {
                    found.tests.push((old.clone(), new.clone()));
                    is_test = false;
                }
            }
            (Token::Text(old), Token::Text(new))
                if old == new || allowed.strings && placeholders(old) == placeholders(new) => {}
            (old, new) if old == new => {}
            _ => {
                let around = |tokens: &[Token]| {
                    let near = tokens.iter().skip(at.saturating_sub(6)).take(12);
                    near.map(Token::show).collect::<Vec<_>>().join(" ")
                };
                let text = format!("`{}` became `{}`", around(base), around(now));
                found.difference.get_or_insert(text);
                return;
            }
        }
    }
    if base.len() != now.len() {
        found.difference.get_or_insert(format!("{} tokens became {}", base.len(), now.len()));
    }
}

/// The number of `{…}` in a format string; `{{` is an escaped brace.
fn placeholders(literal: &str) -> usize {
    literal.replace("{{", "").matches('{').count()
}

fn parse(text: &str) -> syn::Result<Code> {
    let mut file = syn::parse_file(text)?;
    let mut normalise = Normalise::default();
    normalise.visit_file_mut(&mut file);
    let mut tokens = Vec::new();
    flatten(file.to_token_stream(), &mut tokens);
    let mut declarations = normalise.declarations;
    declarations.sort();
    Ok(Code { tokens, declarations })
}

/// Removes docs, and undoes the changes that rustfmt makes after a rename.
#[derive(Default)]
struct Normalise {
    declarations: Vec<String>,
}

impl Normalise {
    fn declared(&mut self, item: &syn::Item) -> bool {
        match item {
            syn::Item::Use(item) => {
                let head = format!("{} use", item.vis.to_token_stream());
                leaves(&item.tree, &head, &mut self.declarations);
                true
            }
            syn::Item::Mod(item) if item.content.is_none() => {
                self.declarations.push(format!(
                    "{} mod {}",
                    item.vis.to_token_stream(),
                    item.ident
                ));
                true
            }
            _ => false,
        }
    }
}

fn leaves(tree: &syn::UseTree, path: &str, out: &mut Vec<String>) {
    match tree {
        syn::UseTree::Path(next) => leaves(&next.tree, &format!("{path} {} ::", next.ident), out),
        syn::UseTree::Group(group) => group.items.iter().for_each(|tree| leaves(tree, path, out)),
        leaf => out.push(format!("{path} {}", leaf.to_token_stream())),
    }
}

impl VisitMut for Normalise {
    fn visit_attributes_mut(&mut self, attributes: &mut Vec<syn::Attribute>) {
        let is_doc = |attribute: &syn::Attribute| match &attribute.meta {
            // `#[doc = include_str!(…)]` is code; `#[doc(hidden)]` is not a name-value pair.
            syn::Meta::NameValue(pair) => {
                pair.path.is_ident("doc") && matches!(pair.value, syn::Expr::Lit(_))
            }
            _ => false,
        };
        attributes.retain(|attribute| !is_doc(attribute));
    }

    fn visit_file_mut(&mut self, file: &mut syn::File) {
        file.items.retain(|item| !self.declared(item));
        self.visit_attributes_mut(&mut file.attrs);
        visit_mut::visit_file_mut(self, file);
    }

    fn visit_item_mod_mut(&mut self, module: &mut syn::ItemMod) {
        if let Some((_, items)) = &mut module.content {
            items.retain(|item| !self.declared(item));
        }
        visit_mut::visit_item_mod_mut(self, module);
    }

    fn visit_block_mut(&mut self, block: &mut syn::Block) {
        // rustfmt adds a semicolon after these when it breaks the line.
        if let Some(syn::Stmt::Expr(
            syn::Expr::Return(_) | syn::Expr::Break(_) | syn::Expr::Continue(_),
            semicolon,
        )) = block.stmts.last_mut()
        {
            *semicolon = None;
        }
        visit_mut::visit_block_mut(self, block);
    }

    fn visit_field_value_mut(&mut self, field: &mut syn::FieldValue) {
        // A renamed field turns `Pull { layers }` into `Pull { rows: layers }`.
        field.colon_token.get_or_insert_default();
        visit_mut::visit_field_value_mut(self, field);
    }

    fn visit_field_pat_mut(&mut self, field: &mut syn::FieldPat) {
        field.colon_token.get_or_insert_default();
        visit_mut::visit_field_pat_mut(self, field);
    }

    fn visit_arm_mut(&mut self, arm: &mut syn::Arm) {
        visit_mut::visit_arm_mut(self, arm);
        unwrap(&mut arm.body);
        arm.comma = None;
    }

    fn visit_expr_closure_mut(&mut self, closure: &mut syn::ExprClosure) {
        visit_mut::visit_expr_closure_mut(self, closure);
        unwrap(&mut closure.body);
    }
}

/// `{ expression }` → `expression`.
fn unwrap(body: &mut Box<syn::Expr>) {
    while let syn::Expr::Block(block) = body.as_mut() {
        let plain = block.attrs.is_empty() && block.label.is_none();
        match block.block.stmts.as_mut_slice() {
            [syn::Stmt::Expr(_, None)] if plain => {}
            _ => return,
        }
        let Some(syn::Stmt::Expr(inner, None)) = block.block.stmts.pop() else {
            return;
        };
        **body = inner;
    }
}

fn flatten(stream: TokenStream, out: &mut Vec<Token>) {
    for token in stream {
        match token {
            TokenTree::Group(group) => {
                let (open, close) = match group.delimiter() {
                    Delimiter::Parenthesis => ("(", ")"),
                    Delimiter::Brace => ("{", "}"),
                    Delimiter::Bracket => ("[", "]"),
                    Delimiter::None => ("", ""),
                };
                out.push(Token::Other(open.to_owned()));
                flatten(group.stream(), out);
                // A trailing comma, which rustfmt adds where it breaks a line.
                if out.last() == Some(&Token::Other(",".to_owned())) {
                    out.pop();
                }
                out.push(Token::Other(close.to_owned()));
            }
            TokenTree::Ident(name) => out.push(Token::Name(name.to_string())),
            TokenTree::Punct(punct) => out.push(Token::Other(punct.as_char().to_string())),
            TokenTree::Literal(literal) => {
                let text = literal.to_string();
                out.push(if text.contains('"') { Token::Text(text) } else { Token::Other(text) });
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const NAMES: Allowed = Allowed { names: true, strings: false };
    const STRINGS: Allowed = Allowed { names: false, strings: true };

    fn differs(base: &str, now: &str, allowed: Allowed) -> bool {
        compare(base, now, allowed).difference.is_some()
    }

    #[test]
    fn comments_and_docs_do_not_count() {
        let base = "//! Old.\n/// Old.\n#[must_use]\nfn f() -> u8 { 1 /* one */ }";
        let now =
            "//! New.\n\n/// New,\n/// longer.\n#[must_use]\nfn f() -> u8 {\n    // One.\n    1\n}";
        assert_eq!(compare(base, now, Allowed::default()), Comparison::default());
        assert!(differs(base, &now.replace("#[must_use]", ""), Allowed::default()));
        assert!(differs(base, &now.replace("    1", "    2"), NAMES));
    }

    #[test]
    fn formatting_does_not_count() {
        let base =
            "use b::{C, A};\nmod z;\nfn f() { g(|x| x + 1, match y { A => { h() } _ => k(), }) }";
        let now = "mod z;\nuse b::{A, C};\nfn f() { g(|x| { x + 1 }, match y { A => h(), _ => { k() } },) }";
        assert_eq!(compare(base, now, Allowed::default()), Comparison::default());
        assert!(differs(base, &now.replace("{A, C}", "A"), NAMES));
    }

    #[test]
    fn renamed_field_may_lose_its_short_form() {
        let base = "fn f(S { a, .. }: S) -> T { let T { b } = g() else { return h() }; T { b } }";
        let now = "fn f(S { x: a, .. }: S) -> T { let T { y: b } = g() else { return h(); }; T { y: b } }";
        assert_eq!(compare(base, now, NAMES).difference, None);
        assert!(differs(base, now, STRINGS));
    }

    #[test]
    fn renames_are_listed_and_only_allowed_on_request() {
        let base = "#[tokio::test(start_paused = true)]\nasync fn a_b() { told(told) }\nfn c() {}";
        let now = "#[tokio::test(start_paused = true)]\nasync fn b() { sent(sent) }\nfn c() {}";
        let found = compare(base, now, NAMES);
        assert_eq!(found.difference, None);
        let pair = |old: &str, new: &str| (old.to_owned(), new.to_owned());
        assert_eq!(
            found.renames,
            BTreeMap::from([(pair("a_b", "b"), 1), (pair("told", "sent"), 2)])
        );
        assert_eq!(found.tests, [pair("a_b", "b")]);
        assert!(differs(base, now, STRINGS));
    }

    #[test]
    fn strings_keep_their_placeholders() {
        let base = r#"fn f() { g(format!("no {what}: {}", x)) }"#;
        let now = |text: &str| base.replace("no {what}: {}", text);
        assert!(!differs(base, &now("invalid {what}: {}"), STRINGS));
        assert!(differs(base, &now("invalid {what}: {}"), NAMES));
        assert!(differs(base, &now("invalid name"), STRINGS));
    }
}
