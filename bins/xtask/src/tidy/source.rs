//! Finds and reads the files that the rules check. Comments and strings of Rust files are blanked, so
//! that rules about code see only code.

use std::fs;
use std::path::Path;

use crate::error::{Context as _, Result};
use crate::files;

/// A text file of the repository.
#[derive(Debug, Default)]
pub(crate) struct Source {
    /// Relative to the repository, with `/`.
    pub(crate) path: String,
    pub(crate) text: String,
    /// `text` with blanked comments and strings, in the same lines.
    code: String,
    /// The number of lines before the unit tests.
    before_tests: usize,
}

impl Source {
    pub(crate) fn rust(path: &str, text: &str) -> Source {
        let code = blank(text);
        // Only a module starts the tests, not an import or a helper with `#[cfg(test)]`.
        let lines: Vec<&str> = code.lines().collect();
        let starts_tests = |at: usize| {
            lines[at].trim() == "#[cfg(test)]"
                && lines.get(at + 1).is_some_and(|next| next.trim_start().starts_with("mod "))
        };
        let before_tests = if is_test_file(path) {
            0
        } else {
            (0..lines.len()).find(|at| starts_tests(*at)).unwrap_or(lines.len())
        };
        Source { path: path.to_owned(), text: text.to_owned(), before_tests, code }
    }

    pub(crate) fn page(path: &str, text: &str) -> Source {
        Source { path: path.to_owned(), text: text.to_owned(), ..Source::default() }
    }

    /// Returns the lines of code before the unit tests, with their numbers.
    pub(crate) fn code(&self) -> impl Iterator<Item = (usize, &str)> {
        self.numbered().take(self.before_tests)
    }

    /// Returns the lines of code of the unit tests, or all lines of a test file, with their numbers.
    pub(crate) fn tests(&self) -> impl Iterator<Item = (usize, &str)> {
        self.numbered().skip(self.before_tests)
    }

    fn numbered(&self) -> impl Iterator<Item = (usize, &str)> {
        self.code.lines().enumerate().map(|(index, line)| (index + 1, line))
    }

    pub(crate) fn lines_before_tests(&self) -> usize {
        self.before_tests
    }
}

/// Matches integration tests, and unit tests in a separate file.
pub(crate) fn is_test_file(path: &str) -> bool {
    path.contains("/tests/") || path.ends_with("/tests.rs")
}

/// Reports whether the code contains this word or path (`std::fs`), not as a part of another word.
pub(crate) fn contains_word(code: &str, word: &str) -> bool {
    let in_word = |char: char| char.is_alphanumeric() || char == '_';
    code.match_indices(word).any(|(at, _)| {
        let before = code.get(..at).and_then(|text| text.chars().next_back());
        let after = code.get(at + word.len()..).and_then(|text| text.chars().next());
        let ends = after.is_some_and(in_word) && word.ends_with(in_word);
        !before.is_some_and(in_word) && !ends
    })
}

pub(crate) fn read(path: &Path) -> Result<String> {
    fs::read_to_string(path).context(|| format!("read {}", path.display()))
}

pub(crate) fn rust(root: &Path) -> Result<Vec<Source>> {
    load(root, &["rs"], Source::rust)
}

/// The files with these extensions.
pub(crate) fn texts(root: &Path, extensions: &[&str]) -> Result<Vec<Source>> {
    load(root, extensions, Source::page)
}

fn load(root: &Path, extensions: &[&str], source: fn(&str, &str) -> Source) -> Result<Vec<Source>> {
    let mut found = Vec::new();
    for path in files::list(root, extensions)? {
        let text = read(&path)?;
        if !text.starts_with("// @generated") {
            let shown = path.strip_prefix(root).unwrap_or(&path).to_string_lossy();
            found.push(source(&shown, &text));
        }
    }
    Ok(found)
}

/// Replaces the characters of comments, strings and character literals with spaces.
fn blank(text: &str) -> String {
    let chars: Vec<char> = text.chars().collect();
    let mut out = String::with_capacity(text.len());
    let mut at = 0;
    while at < chars.len() {
        let end = match (chars[at], chars.get(at + 1)) {
            ('/', Some('/')) => line_end(&chars, at),
            ('/', Some('*')) => comment_end(&chars, at),
            ('"', _) => string_end(&chars, at),
            ('r', Some('"' | '#')) if !continues_word(&chars, at) => raw_end(&chars, at),
            ('\'', _) => char_end(&chars, at),
            _ => at,
        };
        if end == at {
            out.push(chars[at]);
            at += 1;
        } else {
            out.extend(chars[at..end].iter().map(|char| if *char == '\n' { '\n' } else { ' ' }));
            at = end;
        }
    }
    out
}

/// Reports whether the character continues a word. `r` in a word does not start a raw string, but
/// `br"…"` is one.
fn continues_word(chars: &[char], at: usize) -> bool {
    let word = |index: usize| chars.get(index).is_some_and(|c| c.is_alphanumeric() || *c == '_');
    match at.checked_sub(1) {
        Some(before) if chars[before] == 'b' => before.checked_sub(1).is_some_and(word),
        Some(before) => word(before),
        None => false,
    }
}

fn line_end(chars: &[char], from: usize) -> usize {
    (from..chars.len()).find(|at| chars[*at] == '\n').unwrap_or(chars.len())
}

fn comment_end(chars: &[char], from: usize) -> usize {
    let (mut at, mut depth) = (from, 0usize);
    while at < chars.len() {
        match (chars[at], chars.get(at + 1)) {
            ('/', Some('*')) => (depth, at) = (depth + 1, at + 2),
            ('*', Some('/')) => (depth, at) = (depth - 1, at + 2),
            _ => at += 1,
        }
        if depth == 0 {
            return at;
        }
    }
    at
}

fn string_end(chars: &[char], from: usize) -> usize {
    let mut at = from + 1;
    while at < chars.len() && chars[at] != '"' {
        at += if chars[at] == '\\' { 2 } else { 1 };
    }
    (at + 1).min(chars.len())
}

/// Returns the end of `r"…"` or `r#"…"#`, and `from` for a raw identifier such as `r#type`.
fn raw_end(chars: &[char], from: usize) -> usize {
    let hashes = chars[from + 1..].iter().take_while(|char| **char == '#').count();
    let open = from + 1 + hashes;
    if chars.get(open) != Some(&'"') {
        return from;
    }
    let closes = |at: usize| {
        chars[at] == '"'
            && chars[at + 1..].iter().take_while(|char| **char == '#').count() >= hashes
    };
    (open + 1..chars.len()).find(|at| closes(*at)).map_or(chars.len(), |at| at + 1 + hashes)
}

/// Returns the end of `'x'` or `'\n'`, and `from` for a lifetime.
fn char_end(chars: &[char], from: usize) -> usize {
    match (chars.get(from + 1), chars.get(from + 2)) {
        (Some('\\'), _) => {
            // The escaped character may itself be a quote.
            (from + 3..chars.len()).find(|at| chars[*at] == '\'').map_or(chars.len(), |at| at + 1)
        }
        (Some(_), Some('\'')) => from + 3,
        _ => from,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn comments_and_strings_are_blanked() {
        for (text, code) in [
            ("a // tokio\nb", "a         \nb"),
            ("a /* x /* y */ z */ b", "a                   b"),
            (r#"f("tok\"io", x)"#, "f(         , x)"),
            (r###"f(r#"a"b"#, x)"###, "f(        , x)"),
            ("r#type + br\"x\"", "r#type + b    "),
            ("f::<'a>('x', '\\'', '\"')", "f::<'a>(   ,     ,    )"),
        ] {
            let blanked = blank(text);
            assert_eq!(blanked.trim_end(), code.trim_end(), "{text}");
            assert_eq!(blanked.lines().count(), text.lines().count(), "{text}");
        }
    }

    #[test]
    fn word_inside_another_word_is_not_found() {
        assert!(
            contains_word("use tokio::time;", "tokio")
                && contains_word("std::fs::read(x)", "std::fs")
        );
        assert!(!contains_word("use my_tokio;", "tokio") && !contains_word("std::fsx", "std::fs"));
        assert!(contains_word("tokio_util::x(tokio)", "tokio"));
    }

    #[test]
    fn tests_start_at_their_module() {
        let text =
            "//! x\n#[cfg(test)]\nuse a;\nfn f() {}\n#[cfg(test)]\nmod tests {\n sleep();\n}\n";
        let source = Source::rust("a/src/x.rs", text);
        assert_eq!(source.lines_before_tests(), 4);
        assert_eq!(source.tests().nth(2), Some((7, " sleep();")));
        assert_eq!(Source::rust("a/tests/it.rs", text).code().count(), 0);
    }
}
