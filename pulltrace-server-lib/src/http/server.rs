//! What the server says of itself, and of all nodes together.

use std::fmt;
use std::str::FromStr;
use std::sync::Arc;
use std::time::Duration;

use axum::extract::{RawQuery, State};
use axum::http::HeaderMap;
use axum::response::Response;
use pulltrace_core::NodeTime;
use pulltrace_core::wire::v1::ServerStatus;

use super::Api;
use super::body;
use super::problem::Refusal;
use super::query::Query;

/// The longest name of a cluster, in characters.
const MOST: usize = 63;

/// What never changes while it runs.
#[derive(Debug)]
pub(crate) struct About {
    /// Its version and revision.
    pub(crate) version: String,
    pub(crate) cluster_name: Option<ClusterName>,
    pub(crate) started_at: NodeTime,
    /// How long a pull that ended is kept.
    pub(crate) keeps_ended: Duration,
}

/// What people call a cluster: 1 to 63 characters that can be seen.
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

/// A text that names no cluster. A retry does not help.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("no name of a cluster; accepted are 1 to {MOST} characters that can be seen")]
#[non_exhaustive]
pub struct ClusterNameError;

impl FromStr for ClusterName {
    type Err = ClusterNameError;

    fn from_str(text: &str) -> Result<Self, ClusterNameError> {
        let name = text.trim();
        let length = name.chars().take(MOST + 1).count();
        if (1..=MOST).contains(&length) && name.chars().all(is_seen) {
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

/// Not what steers a terminal, turns the direction of a text, or takes no room.
fn is_seen(char: char) -> bool {
    let hidden = matches!(
        char,
        '\u{ad}' | '\u{61c}' | '\u{200b}'..='\u{200f}' | '\u{2028}'..='\u{202e}'
            | '\u{2060}'..='\u{206f}' | '\u{feff}' | '\u{fff9}'..='\u{fffb}'
    );
    !char.is_control() && !hidden
}

/// `GET /api/v1/server`.
pub(super) async fn get(
    State(api): State<Arc<Api>>,
    RawQuery(query): RawQuery,
    headers: HeaderMap,
) -> Result<Response, Refusal> {
    Query::parse(query.as_deref(), &[])?;
    let (epoch, seq) = api
        .shared
        .read(|table| (table.epoch().to_owned(), table.seq()));
    let about = &api.about;
    let status = ServerStatus {
        epoch,
        seq,
        now: api.clock.now().at,
        version: about.version.clone(),
        page: page(&api),
        cluster_name: about.cluster_name.as_ref().map(ToString::to_string),
        started_at: about.started_at,
        keeps_ended_seconds: about.keeps_ended.as_secs_f64(),
        cluster: api.cluster.status(&api.shared.listening()),
        throughput: api.throughput.status(),
    };
    Ok(body::told(&headers, &status))
}

/// Which build of the page is embedded, if any is.
#[cfg(feature = "ui")]
fn page(api: &Api) -> Option<String> {
    api.page.build.map(ToOwned::to_owned)
}

#[cfg(not(feature = "ui"))]
const fn page(_: &Api) -> Option<String> {
    None
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_cluster_has_a_name_that_people_can_read() {
        for name in ["a", "prod-eu-1", "Küche 7 (Test)", "東京", &"x".repeat(63)] {
            assert_eq!(name.parse::<ClusterName>().unwrap().to_string(), name);
        }
        let long = "ü".repeat(64);
        for text in [
            "",
            "  ",
            &long,
            "a\nb",
            "a\u{1b}[2J",
            "a\u{202e}b",
            "\u{200b}",
            "a\u{7f}",
        ] {
            let error = text.parse::<ClusterName>().unwrap_err().to_string();
            assert!(error.contains("1 to 63 characters"), "{text:?}: {error}");
        }
    }
}
