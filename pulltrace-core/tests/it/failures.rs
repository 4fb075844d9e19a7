//! Why pulls fail, by what kubelets and runtimes really write, and as the page of docs says it.

use std::collections::BTreeSet;

use pulltrace_core::FailureReason;

/// The words, origins and texts of `failures.tsv`, whose head says how they were made.
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
fn each_real_text_has_the_reason_that_a_person_would_name() {
    let mut wrong = Vec::new();
    for (word, origin, text) in texts() {
        let told = FailureReason::classify(&text);
        if told.as_str() != word {
            wrong.push(format!("{told}, not {word}: {text} ({origin})"));
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

#[test]
fn each_reason_that_a_text_can_have_is_seen_in_one() {
    let texts = texts();
    assert!(texts.len() >= 80, "{}", texts.len());
    let seen: BTreeSet<&str> = texts.iter().map(|(word, ..)| *word).collect();
    let all: BTreeSet<&str> = FailureReason::ALL.iter().map(|r| r.as_str()).collect();
    assert_eq!(seen, all);
    let once: BTreeSet<&String> = texts.iter().map(|(.., text)| text).collect();
    assert_eq!(once.len(), texts.len(), "a text is there twice");
}

#[test]
fn the_page_of_docs_has_each_reason_with_its_hint() {
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
