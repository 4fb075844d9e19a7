//! Classification of real error texts of kubelets and runtimes, and its documentation.

use std::collections::BTreeSet;

use pulltrace_core::FailureReason;

/// Returns reason, origin and text of each line of `failures.tsv`, whose header describes the
/// sources.
fn texts() -> Vec<(&'static str, &'static str, String)> {
    let rows = include_str!("../failures.tsv").lines();
    let rows = rows.filter(|row| !row.starts_with('#'));
    rows.map(|row| {
        let mut columns = row.split('\t');
        let mut next = || columns.next().unwrap();
        let row = (next(), next(), next().replace("\\n", "\n"));
        assert_eq!(columns.next(), None, "{}", row.2);
        row
    })
    .collect()
}

#[test]
fn real_texts_classify_as_expected() {
    let mut wrong = Vec::new();
    for (word, origin, text) in texts() {
        let reason = FailureReason::classify(&text);
        if reason.as_str() != word {
            wrong.push(format!("{reason}, not {word}: {text} ({origin})"));
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

#[test]
fn every_reason_has_a_real_text() {
    let texts = texts();
    assert!(texts.len() >= 80, "{}", texts.len());
    let seen: BTreeSet<&str> = texts.iter().map(|(word, ..)| *word).collect();
    let all: BTreeSet<&str> = FailureReason::ALL.iter().map(|r| r.as_str()).collect();
    assert_eq!(seen, all);
    let once: BTreeSet<&String> = texts.iter().map(|(.., text)| text).collect();
    assert_eq!(once.len(), texts.len(), "duplicate text");
}

#[test]
fn docs_list_every_reason_with_its_hint() {
    let page = std::fs::read_to_string("../docs/failures.md").unwrap();
    let rows: Vec<(&str, &str)> = page
        .lines()
        .filter_map(|line| line.strip_prefix("| `")?.strip_suffix(" |"))
        .filter_map(|row| Some((row.split_once('`')?.0, row.rsplit_once(" | ")?.1)))
        .collect();
    let expected: Vec<(&str, &str)> = FailureReason::ALL
        .iter()
        .map(|reason| (reason.as_str(), reason.hint().unwrap_or("–")))
        .collect();
    assert_eq!(rows, expected);
}
