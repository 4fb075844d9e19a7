//! Prometheus metrics, and their documentation.

use std::collections::BTreeMap;

use hyper::Request;
use hyper::body::Bytes;

use crate::test_server::{
    TestServer, completed, downloading, failed, full_report, resolving, send,
};

#[tokio::test]
async fn outcomes_are_counted_by_registry_and_reason() {
    let world = TestServer::start().await;
    let pulls = [
        completed("w1", "1-a"),
        failed("w1", "2-b"),
        downloading("w1", "3-c", 10),
        resolving("w1", "4-d"),
    ];
    world.report(&full_report("w1", 1, &pulls)).await;
    for (series, value) in [
        ("pulltrace_pulls_in_progress{phase=\"downloading\"}", 1.0),
        ("pulltrace_pulls_in_progress{phase=\"resolving\"}", 1.0),
        ("pulltrace_pulls_in_progress{phase=\"extracting\"}", 0.0),
        ("pulltrace_pulls_total{registry=\"registry.example\",result=\"completed\"}", 1.0),
        ("pulltrace_pulls_total{registry=\"registry.example\",result=\"failed\"}", 0.0),
        ("pulltrace_pulls_total{registry=\"unknown\",result=\"failed\"}", 1.0),
        ("pulltrace_pull_failures_total{reason=\"unexplained\",registry=\"unknown\"}", 1.0),
        (
            "pulltrace_pull_duration_seconds_count{registry=\"registry.example\",result=\"completed\"}",
            1.0,
        ),
        (
            "pulltrace_pull_duration_seconds_sum{registry=\"registry.example\",result=\"completed\"}",
            5.0,
        ),
        ("pulltrace_image_size_bytes_sum", 4000.0),
        ("pulltrace_reports_accepted_total", 1.0),
        ("pulltrace_reports_rejected_total{reason=\"busy\"}", 0.0),
        ("pulltrace_sse_readers_stalled_total", 0.0),
    ] {
        assert_eq!(world.metric(series).await, Some(value), "{series}");
    }
    world.wait_for_metric("pulltrace_agents_connected", 1.0).await;
    assert_eq!(send(world.metrics, Request::get("/healthz"), Bytes::new()).await.status, 200);
    let other = send(world.metrics, Request::get("/api/v1/pulls"), Bytes::new()).await;
    other.assert_problem(404, "not_found");
}

#[tokio::test]
async fn registries_beyond_twenty_share_one_label() {
    let world = TestServer::start().await;
    let pulls: Vec<_> = (0..25)
        .map(|n| {
            let mut pull = completed("w1", &format!("{n}-a"));
            pull["repository"] = format!("r{n}.example/app").into();
            pull["names"] = serde_json::json!([]);
            pull
        })
        .collect();
    world.report(&full_report("w1", 1, &pulls)).await;
    let other = "pulltrace_pulls_total{registry=\"other\",result=\"completed\"}";
    assert_eq!(world.metric(other).await, Some(5.0));
    let first = "pulltrace_pulls_total{registry=\"r0.example\",result=\"completed\"}";
    assert_eq!(world.metric(first).await, Some(1.0));
}

/// Compares name, type and labels of all families with `docs/metrics.md`.
#[tokio::test]
async fn docs_list_every_metric_family() {
    let world = TestServer::start().await;
    world.report(&full_report("w1", 1, &[completed("w1", "1-a"), failed("w1", "2-b")])).await;
    let text = send(world.metrics, Request::get("/metrics"), Bytes::new()).await;
    assert_eq!(text.headers["content-type"], "text/plain; version=0.0.4; charset=utf-8");
    let text = text.text();
    let mut families: BTreeMap<String, (String, String)> = BTreeMap::new();
    for line in text.lines() {
        if let Some(rest) = line.strip_prefix("# TYPE ") {
            let (name, kind) = rest.split_once(' ').unwrap();
            families.insert(name.to_owned(), (kind.to_owned(), String::new()));
            assert!(text.contains(&format!("# HELP {name} ")), "{name}");
        } else if let Some((series, labels)) = line.split_once('{') {
            let labels = labels.split_once('}').unwrap().0;
            let labels = labels.split("\",").filter_map(|label| label.split_once('='));
            let labels: Vec<_> =
                labels.map(|(name, _)| name).filter(|name| *name != "le").collect();
            let name = families.keys().rev().find(|name| series.starts_with(name.as_str()));
            let name = name.unwrap().clone();
            families.get_mut(&name).unwrap().1 = labels.join(", ");
        }
    }
    let page = concat!(env!("CARGO_MANIFEST_DIR"), "/../docs/metrics.md");
    let page = std::fs::read_to_string(page).unwrap();
    let (page, _) = page.split_once("\n## An agent\n").unwrap();
    let rows = page.lines().filter(|line| line.starts_with("| `pulltrace_"));
    let documented: BTreeMap<String, (String, String)> = rows
        .map(|row| {
            let cells: Vec<_> = row.split('|').map(|cell| cell.trim().replace('`', "")).collect();
            (cells[1].clone(), (cells[2].clone(), cells[3].replace('–', "")))
        })
        .collect();
    assert_eq!(families, documented);
}
