//! What a text, a number or a list of a report may be at the most.

use std::collections::BTreeSet;
use std::str::FromStr;

use super::ReportError;
use crate::id::NameError;

/// The most pulls that a report may have: as many live and ended ones as an agent keeps.
pub const MAX_PULLS: usize = 2_000;

/// The most images that a report may have.
pub const MAX_IMAGES: usize = 2_000;

/// The longest text that is no name, in bytes: a message, a media type, a version.
pub const MAX_TEXT: usize = 1_024;

/// The greatest number of bytes or milliseconds: 2^63 - 1, the greatest size that a manifest can
/// declare.
pub const MAX_NUMBER: u64 = i64::MAX as u64;

/// The most whole names and the most manifests of one image.
pub(in crate::wire) const MAX_NAMES: usize = 64;

/// The most words of anomalies.
pub(super) const MAX_WORDS: usize = 64;

pub(super) fn name<T: FromStr<Err = NameError>>(
    what: &'static str,
    text: &str,
) -> Result<T, ReportError> {
    text.parse()
        .map_err(|source| ReportError::Name { what, source })
}

pub(super) fn count(what: &'static str, found: usize, most: usize) -> Result<(), ReportError> {
    if found > most {
        return Err(ReportError::TooMany { what, found, most });
    }
    Ok(())
}

pub(super) fn text(what: &'static str, text: Option<&String>) -> Result<(), ReportError> {
    count(what, text.map_or(0, String::len), MAX_TEXT)
}

pub(super) fn number(what: &'static str, number: u64) -> Result<u64, ReportError> {
    if number > MAX_NUMBER {
        return Err(ReportError::Number { what });
    }
    Ok(number)
}

/// Not negative, and finite.
pub(super) fn real(what: &'static str, number: f64) -> Result<f64, ReportError> {
    if (0.0..=f64::MAX).contains(&number) {
        Ok(number)
    } else {
        Err(ReportError::Number { what })
    }
}

pub(super) fn unique<'a, T: Ord + ToString + 'a>(
    items: impl Iterator<Item = &'a T>,
) -> Result<(), ReportError> {
    let mut seen = BTreeSet::new();
    for item in items {
        if !seen.insert(item) {
            return Err(ReportError::Twice(item.to_string()));
        }
    }
    Ok(())
}
