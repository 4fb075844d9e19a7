//! Reads error types from Rust source: `#[error("…")]`, `help()` and `is_transient()`.
//!
//! A struct without `#[error("…")]` has one text for each of its kinds: `text()` of the enum
//! `…Kind` in the same file returns it, and has `help()` and `is_transient()` too.

use proc_macro2::{TokenStream, TokenTree};
use quote::ToTokens as _;

/// An error type.
pub(super) struct ErrorType {
    /// The first sentence of its documentation, without the full stop.
    pub(super) operation: String,
    pub(super) rows: Vec<Row>,
}

/// A variant, or the whole type if it is a struct.
pub(super) struct Row {
    pub(super) name: String,
    pub(super) text: String,
    /// May be empty.
    pub(super) advice: String,
    pub(super) retry: Option<Retry>,
}

/// The effect of a retry.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Retry {
    Yes,
    No,
    /// On the cause, or on a field.
    Depends,
}

/// The text or the advice of a variant that forwards to its source.
const OF_CAUSE: &str = "*that of the cause*";

/// Returns the visible types of a file that derive `Error`.
pub(super) fn types(source: &str) -> syn::Result<Vec<ErrorType>> {
    let items = syn::parse_file(source)?.items;
    let mut found = Vec::new();
    for item in &items {
        let (name, visibility, attributes) = match item {
            syn::Item::Enum(item) => (&item.ident, &item.vis, &item.attrs),
            syn::Item::Struct(item) => (&item.ident, &item.vis, &item.attrs),
            _ => continue,
        };
        if matches!(visibility, syn::Visibility::Inherited) || !derives_error(attributes) {
            continue;
        }
        let kinds = match item {
            syn::Item::Struct(_) if !has_text(attributes) => kinds(&items, name),
            _ => None,
        };
        let name = kinds.map_or(name, |kinds| &kinds.ident);
        let help = method(&items, name, "help");
        let is_transient = method(&items, name, "is_transient");
        let kind_text = kinds.and_then(|_| method(&items, name, "text"));
        let type_docs = docs(attributes);
        let row = |variant: Option<&syn::Ident>, attributes: &[syn::Attribute]| {
            let name = variant.map_or(name.to_string(), |variant| format!("{name}::{variant}"));
            let variant = variant.map(ToString::to_string).unwrap_or_default();
            let retry = match is_transient {
                Some(body) => Some(retry_value(&arms(body, &variant))),
                None => retry_from_docs(&docs(attributes)).or(retry_from_docs(&type_docs)),
            };
            let advice = help.map(|body| advice(&arms(body, &variant)));
            let text = match kind_text {
                Some(body) => formatted_text(&arms(body, &variant))?,
                None => text(attributes)?,
            };
            syn::Result::Ok(Row { name, text, advice: advice.unwrap_or_default(), retry })
        };
        let variants = match item {
            syn::Item::Enum(item) => Some(item),
            _ => kinds,
        };
        let rows = match variants {
            Some(item) => item
                .variants
                .iter()
                .map(|variant| row(Some(&variant.ident), &variant.attrs))
                .collect::<syn::Result<_>>()?,
            None => vec![row(None, attributes)?],
        };
        found.push(ErrorType { operation: summary(&type_docs), rows });
    }
    Ok(found)
}

fn derives_error(attributes: &[syn::Attribute]) -> bool {
    let mut derives = attributes.iter().filter(|one| one.path().is_ident("derive"));
    derives.any(|derive| {
        let text = derive.to_token_stream().to_string();
        text.trim_end_matches([')', ']', ' ']).split(',').any(|name| name.trim().ends_with("Error"))
    })
}

/// Returns the documentation as one line.
fn docs(attributes: &[syn::Attribute]) -> String {
    let lines = attributes.iter().filter_map(|attribute| {
        let syn::Meta::NameValue(meta) = &attribute.meta else {
            return None;
        };
        match &meta.value {
            syn::Expr::Lit(literal) if meta.path.is_ident("doc") => string(&literal.lit),
            _ => None,
        }
    });
    let lines: Vec<String> = lines.map(|line| line.trim().to_owned()).collect();
    lines.join(" ")
}

fn string(literal: &syn::Lit) -> Option<String> {
    match literal {
        syn::Lit::Str(text) => Some(text.value()),
        _ => None,
    }
}

/// Returns the first sentence, without links and the full stop.
fn summary(docs: &str) -> String {
    let sentence = docs.split(". ").next().unwrap_or_default();
    let mut out = String::new();
    let mut rest = sentence.trim_end_matches('.');
    while let Some((before, after)) = rest.split_once('[') {
        let (label, after) = after.split_once(']').unwrap_or((after, ""));
        let target = after.strip_prefix('(').and_then(|to| to.split_once(')'));
        out += before;
        out += label;
        rest = target.map_or(after, |(_, after)| after);
    }
    out + rest
}

fn retry_from_docs(docs: &str) -> Option<Retry> {
    if docs.contains("A retry does not help") {
        Some(Retry::No)
    } else if docs.contains("A retry helps") || docs.contains("A retry may help") {
        Some(Retry::Yes)
    } else {
        None
    }
}

/// Returns the body of a method of a type.
fn method<'a>(items: &'a [syn::Item], of: &syn::Ident, name: &str) -> Option<&'a syn::Block> {
    items.iter().find_map(|item| {
        let syn::Item::Impl(item) = item else {
            return None;
        };
        let is_inherent =
            item.trait_.is_none() && *of == item.self_ty.to_token_stream().to_string();
        item.items.iter().filter(|_| is_inherent).find_map(|item| match item {
            syn::ImplItem::Fn(function) if function.sig.ident == name => Some(&function.block),
            _ => None,
        })
    })
}

/// Returns the values of a method for a variant: the arms of its `match` that name the variant, else
/// the default one. A body without a `match` is the same for all variants.
fn arms(body: &syn::Block, variant: &str) -> Vec<TokenStream> {
    let Some(arms) = body.stmts.last().and_then(|last| match last {
        syn::Stmt::Expr(expression, None) => find_match(expression),
        _ => None,
    }) else {
        return vec![body.to_token_stream()];
    };
    let of = |wanted: &dyn Fn(&[String]) -> bool| {
        arms.iter()
            .filter(|arm| wanted(&variants(arm.pat.to_token_stream())))
            .map(|arm| arm.body.to_token_stream())
            .collect::<Vec<_>>()
    };
    let own = of(&|names| names.iter().any(|name| name == variant));
    if own.is_empty() { of(&<[String]>::is_empty) } else { own }
}

/// Returns the arms of a `match`, which may be an argument: `Some(match self { … })`.
fn find_match(expression: &syn::Expr) -> Option<&[syn::Arm]> {
    match expression {
        syn::Expr::Match(found) => Some(&found.arms),
        syn::Expr::Call(call) => call.args.iter().find_map(find_match),
        _ => None,
    }
}

/// Returns each `X` of `Self::X` in a pattern.
fn variants(pattern: TokenStream) -> Vec<String> {
    let tokens: Vec<String> = pattern.into_iter().map(|token| token.to_string()).collect();
    let paths = tokens.windows(4);
    paths.filter(|path| path[..3] == ["Self", ":", ":"]).map(|path| path[3].clone()).collect()
}

/// Returns the strings that the arms return, separated by slashes.
fn advice(arms: &[TokenStream]) -> String {
    let mut parts = Vec::new();
    for arm in arms {
        collect_advice(arm.clone(), &mut parts);
    }
    parts.join(" / ")
}

fn collect_advice(tokens: TokenStream, parts: &mut Vec<String>) {
    for token in tokens {
        match &token {
            TokenTree::Group(group) => collect_advice(group.stream(), parts),
            TokenTree::Literal(_) => {
                let literal = syn::parse2::<syn::Lit>(token.into()).ok();
                parts.extend(literal.as_ref().and_then(string));
            }
            TokenTree::Ident(name) if name == "help" => parts.push(OF_CAUSE.to_owned()),
            _ => {}
        }
    }
}

fn retry_value(arms: &[TokenStream]) -> Retry {
    let mut values = arms.iter().map(|arm| match arm.to_string().as_str() {
        "true" => Retry::Yes,
        "false" => Retry::No,
        _ => Retry::Depends,
    });
    let first = values.next().unwrap_or(Retry::Depends);
    if values.all(|value| value == first) { first } else { Retry::Depends }
}

fn has_text(attributes: &[syn::Attribute]) -> bool {
    attributes.iter().any(|one| one.path().is_ident("error"))
}

/// Returns the enum of the kinds of an error.
fn kinds<'a>(items: &'a [syn::Item], error: &syn::Ident) -> Option<&'a syn::ItemEnum> {
    let wanted = format!("{error}Kind");
    items.iter().find_map(|item| match item {
        syn::Item::Enum(item) if item.ident == wanted => Some(item),
        _ => None,
    })
}

/// Returns the text of the first `format!(…)` in the arms.
fn formatted_text(arms: &[TokenStream]) -> syn::Result<String> {
    for token in arms.iter().cloned().flatten() {
        let TokenTree::Group(group) = token else { continue };
        if matches!(group.stream().into_iter().next(), Some(TokenTree::Literal(_))) {
            return format_text(group.stream());
        }
        let nested = formatted_text(&[group.stream()])?;
        if !nested.is_empty() {
            return Ok(nested);
        }
    }
    Ok(String::new())
}

/// Returns the text of `#[error(…)]`.
fn text(attributes: &[syn::Attribute]) -> syn::Result<String> {
    match attributes.iter().find(|one| one.path().is_ident("error")) {
        Some(attribute) => format_text(attribute.meta.require_list()?.tokens.clone()),
        None => Ok(String::new()),
    }
}

/// Returns the text of a format string and its arguments, or of `transparent`.
fn format_text(tokens: TokenStream) -> syn::Result<String> {
    let mut tokens = tokens.into_iter();
    let Some(first) = tokens.next() else { return Ok(String::new()) };
    if matches!(&first, TokenTree::Ident(word) if word == "transparent") {
        return Ok(OF_CAUSE.to_owned());
    }
    let format = syn::parse2::<syn::LitStr>(first.into())?.value();
    Ok(fill_in(&format, &arguments(tokens)))
}

/// Returns a name for each argument of a format string.
fn arguments(tokens: impl Iterator<Item = TokenTree>) -> Vec<String> {
    let mut arguments: Vec<Vec<TokenTree>> = Vec::new();
    for token in tokens {
        match (&token, arguments.last_mut()) {
            (TokenTree::Punct(comma), _) if comma.as_char() == ',' => arguments.push(Vec::new()),
            (_, Some(argument)) => argument.push(token),
            (_, None) => {}
        }
    }
    let named = arguments.iter().filter(|argument| !argument.is_empty());
    named.map(|argument| argument_name(argument).unwrap_or_else(|| "…".to_owned())).collect()
}

/// Returns the last name that is not a function: `path` of `path.display()`, `DEADLINE` of
/// `super::DEADLINE.as_secs()`. `None` for the field of a tuple.
fn argument_name(tokens: &[TokenTree]) -> Option<String> {
    let mut found = None;
    for (index, token) in tokens.iter().enumerate() {
        let call = tokens.get(index + 1).and_then(|next| match next {
            TokenTree::Group(group) if group.delimiter() == proc_macro2::Delimiter::Parenthesis => {
                Some(group.stream())
            }
            _ => None,
        });
        match (token, call) {
            (TokenTree::Ident(_), Some(inside)) => {
                let inside: Vec<TokenTree> = inside.into_iter().collect();
                found = argument_name(&inside).or(found);
            }
            (TokenTree::Ident(name), None) => found = Some(name.to_string()),
            _ => {}
        }
    }
    found
}

/// Replaces each placeholder by a name in braces, or by `…` for the field of a tuple.
fn fill_in(format: &str, arguments: &[String]) -> String {
    let mut out = String::new();
    let mut arguments = arguments.iter();
    let mut chars = format.chars().peekable();
    while let Some(char) = chars.next() {
        match char {
            '{' | '}' if chars.next_if_eq(&char).is_some() => out.push(char),
            '{' => {
                let placeholder: String = chars.by_ref().take_while(|c| *c != '}').collect();
                let name = placeholder.split(':').next().unwrap_or_default();
                let name = match name.parse::<usize>() {
                    _ if name.is_empty() => arguments.next().map_or("…", String::as_str),
                    Ok(_) => "…",
                    Err(_) => name,
                };
                match name {
                    "…" => out.push('…'),
                    name => out += &format!("{{{name}}}"),
                }
            }
            char => out.push(char),
        }
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    const SOURCE: &str = r#"
        /// A failed call of [`Client`](super::Client). More about it.
        #[derive(Debug, thiserror::Error)]
        pub enum CallError {
            #[error("failed to reach {server}{detail}")]
            Connect { server: String, detail: String },
            #[error("`{}` is too long, limit {MAX:?}", path.display())]
            File { path: PathBuf },
            #[error("no response from {0} within {} s", super::DEADLINE.as_secs())]
            Timeout(String),
            #[error(transparent)]
            Other(#[from] OtherError),
        }
        impl CallError {
            pub fn help(&self) -> Option<&'static str> {
                match self {
                    Self::Connect { .. } | Self::Timeout(_) => Some("Start the server."),
                    Self::Other(error) => error.help(),
                    _ => None,
                }
            }
            pub fn is_transient(&self) -> bool {
                match self {
                    Self::Connect { .. } => true,
                    Self::Timeout(Some(1)) => true,
                    Self::Timeout(_) => false,
                    Self::Other(error) => error.is_transient(),
                    _ => false,
                }
            }
        }
        /// An address in use. A retry may help.
        #[derive(Error)]
        #[error("{} in use", describe(.address.as_ref()))]
        pub(crate) struct AddressError { address: String }
        impl AddressError {
            fn help(&self) -> Option<&'static str> { Some("Stop the other process.") }
        }
        /// A failed request.
        #[derive(Debug, thiserror::Error)]
        pub struct RequestError { kind: RequestErrorKind, server: String }
        #[derive(Debug)]
        pub enum RequestErrorKind { Busy, Status(u16) }
        impl RequestErrorKind {
            const fn is_transient(self) -> bool {
                match self { Self::Busy => true, Self::Status(_) => false }
            }
            const fn help(self) -> Option<&'static str> {
                match self { Self::Busy => Some("Wait."), _ => None }
            }
            fn text(self, server: &str) -> String {
                match self {
                    Self::Busy => format!("{server} is busy for {} s", BUSY.as_secs()),
                    Self::Status(status) => {
                        format!("{server} failed with {status}")
                    }
                }
            }
        }
        #[derive(Debug, thiserror::Error)]
        #[error("private")]
        struct Private;
        #[derive(Debug, Clone)]
        pub struct NotAnError;
        #[cfg(test)]
        mod tests {}
    "#;

    fn rows() -> Vec<(String, Row)> {
        let types = types(SOURCE).unwrap().into_iter();
        types
            .flat_map(|found| found.rows.into_iter().map(move |row| (found.operation.clone(), row)))
            .collect()
    }

    #[test]
    fn visible_error_types_are_listed_with_summaries() {
        let rows = rows();
        let names: Vec<_> = rows.iter().map(|(_, row)| row.name.as_str()).collect();
        let expected = [
            "CallError::Connect",
            "CallError::File",
            "CallError::Timeout",
            "CallError::Other",
            "AddressError",
            "RequestErrorKind::Busy",
            "RequestErrorKind::Status",
        ];
        assert_eq!(names, expected);
        assert_eq!(rows[0].0, "A failed call of `Client`");
    }

    #[test]
    fn placeholders_are_named() {
        let texts: Vec<_> = rows().into_iter().map(|(_, row)| row.text).collect();
        let expected = [
            "failed to reach {server}{detail}",
            "`{path}` is too long, limit {MAX}",
            "no response from … within {DEADLINE} s",
            OF_CAUSE,
            "{address} in use",
            "{server} is busy for {BUSY} s",
            "{server} failed with {status}",
        ];
        assert_eq!(texts, expected);
        assert_eq!(fill_in("{{a}} {}", &["b".to_owned()]), "{a} {b}");
    }

    #[test]
    fn advice_is_found_by_variant() {
        let advice: Vec<_> = rows().into_iter().map(|(_, row)| row.advice).collect();
        let start = "Start the server.";
        assert_eq!(advice, [start, "", start, OF_CAUSE, "Stop the other process.", "Wait.", ""]);
    }

    #[test]
    fn retry_is_found_in_method_or_docs() {
        let retries: Vec<_> = rows().into_iter().map(|(_, row)| row.retry).collect();
        let expected = [
            Retry::Yes,
            Retry::No,
            Retry::Depends,
            Retry::Depends,
            Retry::Yes,
            Retry::Yes,
            Retry::No,
        ];
        assert_eq!(retries, expected.map(Some));
    }
}
