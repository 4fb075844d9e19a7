//! The rule on language: comments, strings, Markdown and test names are plain technical English.
//!
//! A pattern is a habit that this code base once had everywhere and that well-known crates hardly ever show. A file may
//! have a few hits, as their files do; more than that is a finding. `CONTRIBUTING.md` has the style guide.

use regex::{Regex, RegexBuilder};

use super::finding::Finding;
use super::source::Source;

/// The share of a file's lines that may have a hit, in percent.
const SHARE: usize = 4;
/// Hits that a short file may have all the same.
const ALWAYS: usize = 2;

/// Habits: the expression, and what to write instead.
const HABITS: &[(&str, &str)] = &[
    (r"\b(said|told|heard|tells?|says?)\b", "code returns, reports, sends or receives"),
    (
        r"^(What|Who|Whose|Whoever|Whether|Where|How|Of|So long|That which) ",
        "start with a noun phrase or a verb",
    ),
    (r"(^|[;:,.] )where ", "write `if` or `when`"),
    (r"\b(whoever|somebody|nobody|anybody)\b", "name the caller, reader or user"),
    (r"\b(is|are|was|were) (none|no)\b", "write `invalid`, `missing` or `not a`"),
    (r"\banew\b", "write `again`, `restart` or `reset`"),
    (r"\b(goes|went|gone)\b", "write `is removed`, `moves` or `continues`"),
    (r"\b(of|to|from|by|with) which\b", "split the sentence"),
    (r"\beach \d", "write `every`"),
    (r"\bno more\b", "write `no longer`"),
    (r"\b(be it|be at it|is at it)\b", "name the thing"),
    (r"\bfor (ever|good)\b", "write `forever` or `permanently`"),
    (r"\b(is|are|was|were) there\b", "write `exists`"),
    (r"\b(is|are|was|were) over\b", "write `ended`"),
    (r"\bas (it|they) (is|are|was|were|stands|stood)\b", "write `unchanged`"),
    (r"\b(stands|stood)\b", "write `is`"),
    (r"\b(begins?|began|begun)\b", "write `starts`"),
    (r"\b(comes?|came)\b", "write `arrives`, `follows` or `is`"),
    (r"\b(brings?|brought)\b", "write `delivers` or `adds`"),
    (r"\b(one's own|of (its|their) own)\b", "write `its own`"),
    (r"\bwhat\b", "name the thing"),
    (r"\bnothing\b", "write `no …` or `not`"),
];

/// Ordinary uses of those words.
const ORDINARY: &str = r"\bwhere (possible|applicable|available|supported|needed|necessary|appropriate)\b|\bno (longer|more than)\b|\bthere (is|are|was|were) no\b|\b(is|are|was|were) therefore\b";

#[derive(Debug)]
pub(crate) struct Prose {
    habits: Vec<(Regex, &'static str)>,
    ordinary: Regex,
    /// Quoted code, and placeholders of format strings.
    code: Regex,
    string: Regex,
    test: Regex,
    word: Regex,
}

impl Prose {
    pub(crate) fn new() -> Prose {
        let regex = |text: &str, insensitive: bool| {
            let built = RegexBuilder::new(text).case_insensitive(insensitive).build();
            built.expect("a constant expression")
        };
        let sentence_start = |text: &str| text.starts_with("^(What");
        Prose {
            habits: HABITS
                .iter()
                .map(|(text, instead)| (regex(text, !sentence_start(text)), *instead))
                .collect(),
            ordinary: regex(ORDINARY, true),
            code: regex(r"`[^`]*`|\{[^{}]*\}", false),
            string: regex(r#""((?:[^"\\]|\\.)*)"|`([^`$]*)`|>([^<>{}\n]{8,})<"#, false),
            test: regex(r"^(?:async )?fn ([a-z0-9_]+)\(\)|^(?:it|test)\(['`](.*?)['`]", false),
            word: regex("[A-Za-z]{2,}", false),
        }
    }

    /// Finds a file with more habits than a file of a well-known crate has.
    pub(crate) fn check(&self, file: &Source) -> Vec<Finding> {
        // This file quotes the patterns.
        if file.path.ends_with("tidy/prose.rs") {
            return Vec::new();
        }
        let texts = self.texts(file);
        let hits: Vec<Finding> = texts
            .iter()
            .filter_map(|(line, text)| {
                Some(Finding::new(&file.path, Some(*line), self.habit(text)?))
            })
            .collect();
        if hits.len() <= ALWAYS.max(texts.len() * SHARE / 100) { Vec::new() } else { hits }
    }

    fn habit(&self, text: &str) -> Option<String> {
        let text = self.code.replace_all(text, "");
        let text = self.ordinary.replace_all(&text, "");
        let asks = text.ends_with('?');
        let (_, instead, found) = self.habits.iter().find_map(|(habit, instead)| {
            let found = habit.find(&text)?;
            (!asks || habit.as_str().starts_with("\\b"))
                .then(|| ((), instead, found.as_str().trim().to_owned()))
        })?;
        Some(format!("`{found}`: {instead}"))
    }

    /// The prose of a file by line: comments, strings of four words or more, names of tests, Markdown.
    fn texts(&self, file: &Source) -> Vec<(usize, String)> {
        let ending = file.path.rsplit('.').next().unwrap_or_default();
        let mut fenced = false;
        let mut out = Vec::new();
        for (line, text) in
            file.text.lines().enumerate().map(|(index, text)| (index + 1, text.trim()))
        {
            match ending {
                "md" => {
                    if text.starts_with("```") {
                        fenced = !fenced;
                    } else if !fenced && !text.is_empty() {
                        let start = text.trim_start_matches(|char: char| {
                            "#|>-*. ".contains(char) || char.is_ascii_digit()
                        });
                        out.push((line, start.to_owned()));
                    }
                }
                "rs" | "ts" | "tsx" | "css" => self.line_of_code(line, text, &mut out),
                _ => out.extend(text.strip_prefix("# ").map(|comment| (line, comment.to_owned()))),
            }
        }
        out
    }

    fn line_of_code(&self, line: usize, text: &str, out: &mut Vec<(usize, String)>) {
        if ["//", "/*", "* ", "{/*"].iter().any(|start| text.starts_with(start)) {
            out.push((line, text.trim_start_matches(['/', '!', '*', '{', ' ']).to_owned()));
            return;
        }
        if let Some((code, comment)) = text.rsplit_once(" // ")
            && code.trim_end().ends_with([';', '{', ',', ')', '}'])
        {
            out.push((line, comment.to_owned()));
        }
        if let Some(name) =
            self.test.captures(text).and_then(|found| found.get(1).or_else(|| found.get(2)))
        {
            if name.as_str().matches(['_', ' ']).count() >= 2 {
                out.push((line, name.as_str().replace('_', " ")));
            }
            return;
        }
        for found in self.string.captures_iter(text) {
            let string = found
                .iter()
                .skip(1)
                .flatten()
                .map(|group| group.as_str())
                .next()
                .unwrap_or_default();
            if string.contains(' ') && self.word.find_iter(string).count() >= 4 {
                out.push((line, string.to_owned()));
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn findings(path: &str, text: &str) -> usize {
        Prose::new().check(&Source::page(path, text)).len()
    }

    #[test]
    fn dialect_is_found_in_every_kind_of_text() {
        for (path, line) in [
            ("a.rs", "/// What is told to nobody."),
            ("a.rs", "    let x = 1; // begun anew"),
            ("a.rs", r#"    let x = "nobody is there any more";"#),
            ("a.rs", "    fn what_is_told_comes_anew() {"),
            ("a.tsx", "{/* Where it stands */}"),
            ("a.ts", "  test('what came is told', () => {"),
            ("a.css", "/* what it says */"),
            ("a.md", "- What nobody hears."),
            ("a.yaml", "# What nobody hears."),
        ] {
            assert_eq!(findings(path, &format!("{line}\n{line}\n{line}\n")), 3, "{line}");
        }
    }

    #[test]
    fn plain_english_and_code_are_accepted() {
        for (path, line) in [
            ("a.rs", "/// Returns the pull, where possible with its layers."),
            ("a.rs", "    let told = what.told(\"said\");"),
            ("a.md", "```\nwhat told said\n```"),
            ("a.yaml", "what: told"),
            ("a.rs", "/// Names `what` was {told}."),
        ] {
            assert_eq!(findings(path, &format!("{line}\n{line}\n{line}\n")), 0, "{line}");
        }
    }

    #[test]
    fn few_hits_in_a_long_file_are_accepted() {
        let hit = "// Nobody reads this.\n";
        let line = "// Readers read this.\n";
        assert_eq!(findings("a.rs", &hit.repeat(2)), 0);
        assert_eq!(findings("a.rs", &(hit.repeat(4) + &line.repeat(96))), 0);
        assert_eq!(findings("a.rs", &(hit.repeat(5) + &line.repeat(95))), 5);
    }
}
