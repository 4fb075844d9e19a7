//! `GET /api/v1/server`: the server and cluster-wide statistics.

use std::fmt;
use std::str::FromStr;
use std::sync::Arc;
use std::time::Duration;

use axum::extract::{RawQuery, State};
use axum::http::HeaderMap;
use axum::response::Response;
use pulltrace_core::NodeTime;
use pulltrace_core::wire::v1::ServerStatus;

use super::ApiState;
use super::body;
use super::problem::ProblemResponse;
use super::query::QueryParams;

/// Maximum length of a cluster name, in characters.
const MOST: usize = 63;

/// Properties of the server that do not change while it runs.
#[derive(Debug)]
pub(crate) struct ServerInfo {
    /// Version and revision.
    pub(crate) version: String,
    pub(crate) cluster_name: Option<ClusterName>,
    pub(crate) started_at: NodeTime,
    /// Retention period of ended pulls.
    pub(crate) history_ttl: Duration,
}

/// The display name of a cluster: 1 to 63 visible characters.
///
/// ```
/// use pulltrace_server_lib::ClusterName;
/// let name: ClusterName = " prod, Frankfurt ".parse()?;
/// assert_eq!(name.to_string(), "prod, Frankfurt");
/// assert!("prod\u{1b}[31m".parse::<ClusterName>().is_err());
/// # Ok::<(), pulltrace_server_lib::ClusterNameError>(())
/// ```
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ClusterName(String);

/// An invalid cluster name. A retry does not help.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("invalid cluster name: expected 1 to {MOST} visible characters")]
#[non_exhaustive]
pub struct ClusterNameError;

impl FromStr for ClusterName {
    type Err = ClusterNameError;

    fn from_str(text: &str) -> Result<Self, ClusterNameError> {
        let name = text.trim();
        let length = name.chars().take(MOST + 1).count();
        if (1..=MOST).contains(&length) && name.chars().all(is_visible) {
            Ok(Self(name.to_owned()))
        } else {
            Err(ClusterNameError)
        }
    }
}

impl fmt::Display for ClusterName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(&self.0)
    }
}

/// Returns whether a character is visible: no control characters, no bidirectional controls, no
/// zero-width characters.
fn is_visible(char: char) -> bool {
    let hidden = matches!(
        char,
        '\u{ad}' | '\u{61c}' | '\u{200b}'..='\u{200f}' | '\u{2028}'..='\u{202e}'
            | '\u{2060}'..='\u{206f}' | '\u{feff}' | '\u{fff9}'..='\u{fffb}'
    );
    !char.is_control() && !hidden
}

pub(super) async fn get(
    State(api): State<Arc<ApiState>>,
    RawQuery(query): RawQuery,
    headers: HeaderMap,
) -> Result<Response, ProblemResponse> {
    QueryParams::parse(query.as_deref(), &[])?;
    let (epoch, seq) = api.shared.read(|table| (table.epoch().to_owned(), table.seq()));
    let info = &api.info;
    let status = ServerStatus {
        epoch,
        seq,
        now: api.clock.now().at,
        version: info.version.clone(),
        page: page(&api),
        cluster_name: info.cluster_name.as_ref().map(ToString::to_string),
        started_at: info.started_at,
        keeps_ended_seconds: info.history_ttl.as_secs_f64(),
        cluster: api.cluster.status(&api.shared.cluster_health()),
        throughput: api.throughput.status(),
    };
    Ok(body::json_value(&headers, &status))
}

/// The build id of the embedded page, if there is one.
#[cfg(feature = "ui")]
fn page(api: &ApiState) -> Option<String> {
    api.page.build.map(ToOwned::to_owned)
}

#[cfg(not(feature = "ui"))]
const fn page(_: &ApiState) -> Option<String> {
    None
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn cluster_name_accepts_only_visible_characters() {
        for name in ["a", "prod-eu-1", "Küche 7 (Test)", "東京", &"x".repeat(63)] {
            assert_eq!(name.parse::<ClusterName>().unwrap().to_string(), name);
        }
        let long = "ü".repeat(64);
        for text in ["", "  ", &long, "a\nb", "a\u{1b}[2J", "a\u{202e}b", "\u{200b}", "a\u{7f}"] {
            let error = text.parse::<ClusterName>().unwrap_err().to_string();
            assert!(error.contains("1 to 63 visible characters"), "{text:?}: {error}");
        }
    }
}
