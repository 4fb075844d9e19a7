//! Tests of the client against a scripted server.

mod follow;
mod list;
mod pod;
mod server;
mod wait;

use pulltrace_client::{Client, ClientBuilder};
use server::Server;
use std::time::Duration;

pub(crate) fn client(server: &Server) -> ClientBuilder {
    let moment = Duration::from_millis(1);
    Client::builder(server.url()).retry(moment, 10 * moment)
}

pub(crate) const NOW: &str = "2026-11-24T20:00:00Z";

/// A pull of node `w1` as JSON.
pub(crate) fn pull(lease: &str, phase: &str) -> String {
    let ended = matches!(phase, "completed" | "failed");
    let ended = if ended {
        format!(r#","outcome":"{phase}","completedAt":"{NOW}""#)
    } else {
        String::new()
    };
    format!(
        r#"{{"id":"{}","nodeName":"w1","phase":"{phase}","totalKnown":false,"startedAt":"{NOW}"{ended}}}"#,
        id(lease)
    )
}

pub(crate) fn id(lease: &str) -> String {
    format!("lease~w1~k8s.io~{lease}~0")
}

/// An event about the pull, as sent in a stream.
pub(crate) fn event(kind: &str, seq: Option<u64>, pull: &str) -> String {
    let place = seq.map_or_else(String::new, |seq| format!("id: e1-{seq}\n"));
    format!(
        "{place}data: {{\"schemaVersion\":\"v1\",\"timestamp\":\"{NOW}\",\"type\":\"{kind}\",\"nodeName\":\"w1\",\"pull\":{pull}}}\n\n"
    )
}

/// A `snapshot-end` or `ping` event.
pub(crate) fn position_event(name: &str, epoch: &str, seq: u64) -> String {
    format!("event: {name}\nid: {epoch}-{seq}\ndata: {{\"seq\":{seq},\"now\":\"{NOW}\"}}\n\n")
}

pub(crate) fn list(epoch: &str, pulls: &[String], next: Option<&str>) -> String {
    let next = next.map_or_else(String::new, |next| format!(r#","continue":"{next}""#));
    let pulls = pulls.join(",");
    format!(r#"{{"epoch":"{epoch}","seq":7,"now":"{NOW}","pulls":[{pulls}]{next}}}"#)
}
