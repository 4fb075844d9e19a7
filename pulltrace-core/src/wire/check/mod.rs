//! Converts reports to the model. Agents are not trusted: every value is checked, and a report with
//! an invalid value is rejected as a whole.
//!
//! | module | contents |
//! |---|---|
//! | `report`, `image`, `pull` | checks of reports of version 1 |
//! | `v0` | checks of reports of version 0.1 |
//! | `limits` | limits of lists, texts and numbers |
//! | `error` | the reasons for rejecting a report |

mod error;
mod image;
mod limits;
mod pull;
mod report;
mod v0;

pub use error::ReportError;
pub(in crate::wire) use limits::MAX_NAMES;
pub use limits::{MAX_IMAGES, MAX_NUMBER, MAX_PULLS, MAX_TEXT};
pub use pull::CheckedPull;
pub use report::CheckedReport;
pub use v0::{V0Ingest, V0Report};

use super::v1;

/// A report of any supported version.
#[derive(Clone, Debug)]
#[non_exhaustive]
#[expect(clippy::large_enum_variant, reason = "almost every report has the large variant")]
pub enum AnyReport {
    /// A report of version 1.
    V1(CheckedReport),
    /// A report of version 0.1, which has no `schemaVersion`.
    V0(V0Report),
}

/// Parses and checks the body of a report.
///
/// ```
/// use pulltrace_core::wire::check::{AnyReport, parse};
/// let body = br#"{"nodeName":"worker-1","timestamp":"2026-11-24T20:00:00Z","pulls":null}"#;
/// assert!(matches!(parse(body), Ok(AnyReport::V0(report)) if report.ingests.is_empty()));
/// assert!(parse(br#"{"schemaVersion":"v7"}"#).is_err());
/// ```
///
/// # Errors
/// If the body is not a report of a supported version, or is invalid. A retry does not help.
pub fn parse(body: &[u8]) -> Result<AnyReport, ReportError> {
    // Almost every report has version 1, so the version is read only if that fails.
    let error = match serde_json::from_slice::<v1::AgentReport>(body) {
        Ok(report) => return report.try_into().map(AnyReport::V1),
        Err(error) => ReportError::malformed(&error),
    };
    let probe: Probe =
        serde_json::from_slice(body).map_err(|error| ReportError::malformed(&error))?;
    match probe.schema_version {
        Some(version) if version == v1::SCHEMA_VERSION => Err(error),
        Some(version) => Err(report::unsupported_version(&version)),
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
