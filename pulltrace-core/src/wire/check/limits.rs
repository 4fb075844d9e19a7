//! The limits of texts, numbers and lists in a report.

use std::collections::BTreeSet;
use std::str::FromStr;

use super::error::ReportError;
use crate::id::NameError;

/// The maximum number of pulls in a report: the live and ended pulls that an agent keeps.
pub const MAX_PULLS: usize = 2_000;

/// The maximum number of images in a report.
pub const MAX_IMAGES: usize = 2_000;

/// The maximum length of a text that is not a name, in bytes: a message, media type or version.
pub const MAX_TEXT: usize = 1_024;

/// The maximum number of bytes or milliseconds: 2^63 - 1, the largest size that a manifest can
/// declare.
pub const MAX_NUMBER: u64 = i64::MAX as u64;

/// The maximum number of full names, and of manifests, of an image.
pub(in crate::wire) const MAX_NAMES: usize = 64;

/// The maximum number of kinds of anomalies.
pub(super) const MAX_ANOMALIES: usize = 64;

pub(super) fn parse_name<T: FromStr<Err = NameError>>(
    what: &'static str,
    text: &str,
) -> Result<T, ReportError> {
    text.parse().map_err(|source| ReportError::InvalidName { what, source })
}

pub(super) fn check_count(
    what: &'static str,
    found: usize,
    most: usize,
) -> Result<(), ReportError> {
    if found > most {
        return Err(ReportError::TooMany { what, found, most });
    }
    Ok(())
}

pub(super) fn check_text(what: &'static str, text: Option<&String>) -> Result<(), ReportError> {
    check_count(what, text.map_or(0, String::len), MAX_TEXT)
}

pub(super) fn check_number(what: &'static str, number: u64) -> Result<u64, ReportError> {
    if number > MAX_NUMBER {
        return Err(ReportError::InvalidNumber { what });
    }
    Ok(number)
}

/// Checks that the number is finite and not negative.
pub(super) fn check_float(what: &'static str, number: f64) -> Result<f64, ReportError> {
    if (0.0..=f64::MAX).contains(&number) {
        Ok(number)
    } else {
        Err(ReportError::InvalidNumber { what })
    }
}

pub(super) fn check_unique<'a, T: Ord + ToString + 'a>(
    items: impl Iterator<Item = &'a T>,
) -> Result<(), ReportError> {
    let mut seen = BTreeSet::new();
    for item in items {
        if !seen.insert(item) {
            return Err(ReportError::Duplicate(item.to_string()));
        }
    }
    Ok(())
}
