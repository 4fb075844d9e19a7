//! In which form an answer is sent: what a reader can unpack, and what it has already.

use axum::http::header::{ACCEPT_ENCODING, IF_NONE_MATCH};
use axum::http::{HeaderMap, HeaderName};

/// How much a reader likes answers packed so, from 0 (not at all) to 1.
pub(crate) fn weight(asked: &HeaderMap, coding: &str) -> f32 {
    let mut any = 0.0;
    for (name, weight) in words(asked, &ACCEPT_ENCODING).map(weighted) {
        if name.eq_ignore_ascii_case(coding) {
            return weight;
        }
        if name == "*" {
            any = weight;
        }
    }
    any
}

/// Whether a reader takes answers packed so.
pub(crate) fn takes(asked: &HeaderMap, coding: &str) -> bool {
    weight(asked, coding) > 0.0
}

/// Whether a reader has what this tag stands for: weak or not, since no ranges are served.
pub(crate) fn has(asked: &HeaderMap, tag: &str) -> bool {
    let opaque = |tag: &str| tag.strip_prefix("W/").unwrap_or(tag).to_owned();
    words(asked, &IF_NONE_MATCH).any(|known| known == "*" || opaque(known) == opaque(tag))
}

/// What a list in a header says, over all headers of that name.
fn words<'a>(asked: &'a HeaderMap, name: &HeaderName) -> impl Iterator<Item = &'a str> {
    let values = asked.get_all(name).iter();
    let words = values.flat_map(|value| value.to_str().unwrap_or_default().split(','));
    words.map(str::trim).filter(|word| !word.is_empty())
}

/// A word and its `q`, which is 1 where it is not said.
fn weighted(word: &str) -> (&str, f32) {
    let mut parts = word.split(';').map(str::trim);
    let name = parts.next().unwrap_or_default();
    let weight = parts.find_map(|part| part.strip_prefix("q=").or(part.strip_prefix("Q=")));
    (name, weight.and_then(|q| q.parse().ok()).unwrap_or(1.0))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn asked(name: &HeaderName, values: &[&str]) -> HeaderMap {
        let mut headers = HeaderMap::new();
        for value in values {
            headers.append(name.clone(), value.parse().unwrap());
        }
        headers
    }

    #[test]
    fn a_coding_is_taken_where_it_is_named_and_not_by_q_0() {
        for (values, takes_gzip) in [
            (&["gzip, br"][..], true),
            (&["br;q=1.0, GZIP;q=0.5"], true),
            (&["br", "gzip"], true),
            (&["gzip;q=0"], false),
            (&["gzip; q=0.000"], false),
            (&["gzip;Q=0, br"], false),
            (&["identity"], false),
            (&["xgzip"], false),
            (&[""], false),
            (&["*"], true),
            (&["*;q=0"], false),
            (&["*;q=0, gzip"], true),
            (&["gzip;q=0, *"], false),
            (&["gzip;q=nan"], false),
        ] {
            let headers = asked(&ACCEPT_ENCODING, values);
            assert_eq!(takes(&headers, "gzip"), takes_gzip, "{values:?}");
        }
        assert!(!takes(&HeaderMap::new(), "gzip"));
        let headers = asked(&ACCEPT_ENCODING, &["br;q=0.5, gzip"]);
        assert!(weight(&headers, "gzip") > weight(&headers, "br"));
    }

    #[test]
    fn a_reader_has_what_it_names() {
        for (values, has_it) in [
            (&["\"a\""][..], true),
            (&["W/\"a\""], true),
            (&["\"b\", \"a\""], true),
            (&["\"b\"", "\"a\""], true),
            (&["*"], true),
            (&["\"b\""], false),
            (&["a"], false),
            (&[""], false),
        ] {
            let headers = asked(&IF_NONE_MATCH, values);
            assert_eq!(has(&headers, "\"a\""), has_it, "{values:?}");
            assert_eq!(has(&headers, "W/\"a\""), has_it, "{values:?}");
        }
        assert!(!has(&HeaderMap::new(), "\"a\""));
    }
}
