//! From a report to the model: parse, don't validate. An agent is not trusted, so what comes out of
//! here was checked, and what does not pass is refused whole.
//!
//! | file | the question |
//! |---|---|
//! | `report`, `image`, `pull` | what of a report of version 1 can be true? |
//! | `v0` | and of one of version 0.1? |
//! | `bound` | how many, how long, how great? |
//! | `error` | why not? |

mod bound;
mod error;
mod image;
mod pull;
mod report;
mod v0;

pub(in crate::wire) use bound::MAX_NAMES;
pub use bound::{MAX_IMAGES, MAX_NUMBER, MAX_PULLS, MAX_TEXT};
pub use error::ReportError;
pub use pull::CheckedPull;
pub use report::CheckedReport;
pub use v0::{V0Ingest, V0Report};

use super::v1;

/// A report of any version that is known.
#[derive(Clone, Debug)]
#[non_exhaustive]
#[expect(
    clippy::large_enum_variant,
    reason = "almost every report is the large one"
)]
pub enum AnyReport {
    /// Of version 1.
    V1(CheckedReport),
    /// Of an agent of version 0.1, which says no `schemaVersion`.
    V0(V0Report),
}

/// Reads and checks the body of a report.
///
/// ```
/// use pulltrace_core::wire::check::{AnyReport, parse};
/// let body = br#"{"nodeName":"worker-1","timestamp":"2026-11-24T20:00:00Z","pulls":null}"#;
/// assert!(matches!(parse(body), Ok(AnyReport::V0(report)) if report.ingests.is_empty()));
/// assert!(parse(br#"{"schemaVersion":"v7"}"#).is_err());
/// ```
///
/// # Errors
/// Where it is no report of a version that is known, or cannot be true. The same body never passes.
pub fn parse(body: &[u8]) -> Result<AnyReport, ReportError> {
    // Almost every report is of version 1, so its version is asked for only where it is not.
    let error = match serde_json::from_slice::<v1::AgentReport>(body) {
        Ok(report) => return report.try_into().map(AnyReport::V1),
        Err(error) => ReportError::malformed(&error),
    };
    let probe: Probe =
        serde_json::from_slice(body).map_err(|error| ReportError::malformed(&error))?;
    match probe.schema_version {
        Some(version) if version == v1::SCHEMA_VERSION => Err(error),
        Some(version) => Err(report::version(&version)),
        None => serde_json::from_slice::<super::v0::AgentReport>(body)
            .map_err(|error| ReportError::malformed(&error))?
            .try_into()
            .map(AnyReport::V0),
    }
}

#[derive(serde::Deserialize)]
#[serde(rename_all = "camelCase")]
struct Probe {
    schema_version: Option<String>,
}

#[cfg(test)]
mod tests;
