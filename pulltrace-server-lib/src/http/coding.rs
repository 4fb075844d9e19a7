//! Content negotiation: accepted encodings and cached entity tags.

use axum::http::header::{ACCEPT_ENCODING, IF_NONE_MATCH};
use axum::http::{HeaderMap, HeaderName};

/// The client's preference for a content coding, from 0 (not acceptable) to 1.
pub(crate) fn quality(asked: &HeaderMap, coding: &str) -> f32 {
    let mut any = 0.0;
    for (name, weight) in list_items(asked, &ACCEPT_ENCODING).map(parse_quality) {
        if name.eq_ignore_ascii_case(coding) {
            return weight;
        }
        if name == "*" {
            any = weight;
        }
    }
    any
}

/// Returns whether the client accepts a content coding.
pub(crate) fn accepts(asked: &HeaderMap, coding: &str) -> bool {
    quality(asked, coding) > 0.0
}

/// Returns whether the client has a cached copy with this tag. Compares weakly, since no ranges are
/// served.
pub(crate) fn if_none_match(asked: &HeaderMap, tag: &str) -> bool {
    let opaque = |tag: &str| tag.strip_prefix("W/").unwrap_or(tag).to_owned();
    list_items(asked, &IF_NONE_MATCH).any(|known| known == "*" || opaque(known) == opaque(tag))
}

/// Items of a list-valued header, over all headers of that name.
fn list_items<'a>(asked: &'a HeaderMap, name: &HeaderName) -> impl Iterator<Item = &'a str> {
    let values = asked.get_all(name).iter();
    let words = values.flat_map(|value| value.to_str().unwrap_or_default().split(','));
    words.map(str::trim).filter(|word| !word.is_empty())
}

/// Splits an item into its name and its `q` value, which defaults to 1.
fn parse_quality(word: &str) -> (&str, f32) {
    let mut parts = word.split(';').map(str::trim);
    let name = parts.next().unwrap_or_default();
    let weight = parts.find_map(|part| part.strip_prefix("q=").or(part.strip_prefix("Q=")));
    (name, weight.and_then(|q| q.parse().ok()).unwrap_or(1.0))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn headers_with(name: &HeaderName, values: &[&str]) -> HeaderMap {
        let mut headers = HeaderMap::new();
        for value in values {
            headers.append(name.clone(), value.parse().unwrap());
        }
        headers
    }

    #[test]
    fn accepts_follows_accept_encoding_quality() {
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
            let headers = headers_with(&ACCEPT_ENCODING, values);
            assert_eq!(accepts(&headers, "gzip"), takes_gzip, "{values:?}");
        }
        assert!(!accepts(&HeaderMap::new(), "gzip"));
        let headers = headers_with(&ACCEPT_ENCODING, &["br;q=0.5, gzip"]);
        assert!(quality(&headers, "gzip") > quality(&headers, "br"));
    }

    #[test]
    fn if_none_match_compares_tags_weakly() {
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
            let headers = headers_with(&IF_NONE_MATCH, values);
            assert_eq!(if_none_match(&headers, "\"a\""), has_it, "{values:?}");
            assert_eq!(if_none_match(&headers, "W/\"a\""), has_it, "{values:?}");
        }
        assert!(!if_none_match(&HeaderMap::new(), "\"a\""));
    }
}
