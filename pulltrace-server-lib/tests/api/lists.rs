//! Tests of the read endpoints: lists, single pulls, health, OpenAPI.

use std::io::Read as _;

use hyper::Request;
use hyper::body::Bytes;
use hyper::header::{ACCEPT_ENCODING, ALLOW, CONTENT_ENCODING, ETAG, IF_NONE_MATCH};
use serde_json::Value;

use crate::test_server::{
    TestResponse, TestServer, completed, digest, downloading, failed, full_report, resolving,
};

/// Starts a server that has two nodes and four pulls.
async fn server_with_pulls() -> TestServer {
    let world = TestServer::start().await;
    let one = [completed("w1", "1-a"), downloading("w1", "2-b", 500)];
    world.report(&full_report("w1", 1, &one)).await;
    let two = [failed("w2", "3-c"), resolving("w2", "4-d")];
    world.report(&full_report("w2", 1, &two)).await;
    world
}

/// Returns the lease in each pull's id.
fn pull_names(list: &TestResponse) -> Vec<String> {
    assert_eq!(list.status, 200, "{list:?}");
    let pulls = list.json()["pulls"].as_array().unwrap().clone();
    let lease = |pull: &Value| pull["id"].as_str().unwrap().rsplit('~').nth(1).unwrap().to_owned();
    pulls.iter().map(lease).collect()
}

#[tokio::test]
async fn pulls_are_ordered_and_filtered() {
    let world = server_with_pulls().await;
    for (query, wanted) in [
        ("", &["1-a", "2-b", "3-c", "4-d"][..]),
        ("?node=w1", &["1-a", "2-b"]),
        ("?phase=failed,resolving", &["3-c", "4-d"]),
        ("?image=team/app", &["1-a", "2-b"]),
        ("?image=app:1", &["1-a"]),
        (&format!("?image={}", digest("cd")), &["1-a", "2-b"]),
        ("?image=sha256:ab", &[]),
        ("?node=w1&phase=completed&layers=none", &["1-a"]),
    ] {
        let list = world.get(&format!("/api/v1/pulls{query}")).await;
        assert_eq!(pull_names(&list), wanted, "{query}");
    }
    let list = world.get("/api/v1/pulls?layers=none").await.json();
    assert!(list["pulls"][1]["layers"].is_null());
    assert_eq!(list["pulls"][1]["layerCount"], 2);
    let list = world.get("/api/v1/pulls").await.json();
    assert_eq!(list["pulls"][1]["layers"][1]["downloadedBytes"], 500);
    assert_eq!(list["seq"], world.table.read(pulltrace_server_lib::table::Table::seq));
    assert!(list["now"].as_str().unwrap().starts_with("2026-11-24T20:00:"));
}

#[tokio::test]
async fn long_lists_are_paginated() {
    let world = server_with_pulls().await;
    let first = world.get("/api/v1/pulls?limit=3").await;
    assert_eq!(pull_names(&first), ["1-a", "2-b", "3-c"]);
    let next = first.json()["continue"].as_str().unwrap().to_owned();
    let second = world.get(&format!("/api/v1/pulls?limit=3&continue={next}")).await;
    assert_eq!(pull_names(&second), ["4-d"]);
    assert!(second.json().get("continue").is_none());
    let all = world.get("/api/v1/pulls?limit=4").await;
    assert!(all.json().get("continue").is_none());
}

#[tokio::test]
async fn pulls_can_be_requested_by_id() {
    let world = server_with_pulls().await;
    let id = |node: &str, name: &str| format!("lease~{node}~k8s.io~{name}~0");
    let (a, b, c) = (id("w1", "1-a"), id("w1", "2-b"), id("w2", "3-c"));
    let none = id("w9", "9-z");
    for (query, wanted) in [
        (format!("id={a}"), &["1-a"][..]),
        (format!("id={c},{none},{a},{a}"), &["1-a", "3-c"]),
        (format!("id={none}"), &[]),
        (format!("id={a},{b},{c}&node=w1"), &["1-a", "2-b"]),
        (format!("id={a},{b},{c}&phase=failed&layers=none"), &["3-c"]),
        (format!("id={a}%2C{b}").replace('~', "%7E"), &["1-a", "2-b"]),
    ] {
        let list = world.get(&format!("/api/v1/pulls?{query}")).await;
        assert_eq!(pull_names(&list), wanted, "{query}");
    }
    let list = world.get(&format!("/api/v1/pulls?id={b}")).await.json();
    assert_eq!(list["pulls"][0]["layers"][1]["downloadedBytes"], 500);
    let pages = format!("/api/v1/pulls?id={c},{b},{a}&limit=2");
    let first = world.get(&pages).await;
    assert_eq!(pull_names(&first), ["1-a", "2-b"]);
    let next = first.json()["continue"].as_str().unwrap().to_owned();
    let second = world.get(&format!("{pages}&continue={next}")).await;
    assert_eq!(pull_names(&second), ["3-c"]);
    assert!(second.json().get("continue").is_none());
}

#[tokio::test]
async fn invalid_queries_are_rejected() {
    let world = server_with_pulls().await;
    for query in [
        "limit=0",
        "limit=5001",
        "limit=x",
        "continue=x",
        "layers=all",
        "layers=events",
        "phase=done",
        "nod=w1",
        "id=",
        "id=w1",
    ] {
        let answer = world.get(&format!("/api/v1/pulls?{query}")).await;
        assert_eq!(answer.status, 400, "{query}");
        answer.assert_problem(400, "query");
    }
}

#[tokio::test]
async fn single_pull_is_found_by_id() {
    let world = server_with_pulls().await;
    let pull = world.get("/api/v1/pulls/lease~w1~k8s.io~2-b~0").await;
    assert_eq!(pull.status, 200);
    assert_eq!(pull.json()["totalBytes"], 4000);
    for id in ["lease~w1~k8s.io~9-z~0", "nonsense", "%00"] {
        world.get(&format!("/api/v1/pulls/{id}")).await.assert_problem(404, "not_found");
    }
}

#[tokio::test]
async fn unchanged_pull_yields_304() {
    let world = server_with_pulls().await;
    let path = "/api/v1/pulls/lease~w1~k8s.io~2-b~0";
    let first = world.get(path).await;
    let tag = first.headers[ETAG].clone();
    let again = async |coding: &str| {
        let request = Request::get(path).header(IF_NONE_MATCH, &tag);
        let request = request.header(ACCEPT_ENCODING, coding);
        world.send(request, Bytes::new()).await
    };
    for coding in ["identity", "gzip"] {
        let same = again(coding).await;
        assert_eq!((same.status.as_u16(), same.body.len()), (304, 0));
        assert_eq!(same.headers[ETAG], tag);
    }
    let more = [completed("w1", "1-a"), downloading("w1", "2-b", 600)];
    world.report(&full_report("w1", 2, &more)).await;
    let other = again("identity").await;
    assert_eq!(other.status, 200);
    assert_ne!(other.headers[ETAG], tag);
    assert_eq!(other.json()["layers"][1]["downloadedBytes"], 600);
}

#[tokio::test]
async fn nodes_and_images_are_listed() {
    let world = server_with_pulls().await;
    let nodes = world.get("/api/v1/nodes").await.json();
    assert_eq!(nodes["nodes"][0]["name"], "w1");
    assert_eq!(nodes["nodes"][0]["live"], 1);
    assert_eq!(nodes["nodes"][1]["ended"], 1);
    let images = world.get("/api/v1/images").await.json();
    assert_eq!(images["images"].as_array().unwrap().len(), 1, "{images}");
    let image = &images["images"][0];
    assert_eq!(image["name"], "registry.example/team/app:1");
    assert_eq!(image["totalBytes"], 4000);
    assert_eq!(image["phases"]["completed"], 1);
    assert_eq!(image["phases"]["downloading"], 1);
    assert_eq!(image["nodes"], 1);
}

#[tokio::test]
async fn lists_are_compressed_for_gzip_clients() {
    let world = server_with_pulls().await;
    let request = Request::get("/api/v1/pulls").header(ACCEPT_ENCODING, "gzip");
    let packed = world.send(request, Bytes::new()).await;
    assert_eq!(packed.headers[CONTENT_ENCODING], "gzip");
    let mut text = String::new();
    flate2::read::GzDecoder::new(&*packed.body).read_to_string(&mut text).unwrap();
    let list: Value = serde_json::from_str(&text).unwrap();
    assert_eq!(list["pulls"].as_array().unwrap().len(), 4);
}

#[tokio::test]
async fn health_and_readiness_are_reported() {
    let world = TestServer::start().await;
    assert_eq!(world.get("/healthz").await.status, 200);
    let ready = world.get("/readyz").await;
    assert_eq!(ready.status, 200);
    let conditions = ready.json()["conditions"].as_array().unwrap().clone();
    let condition = |name: &str| conditions.iter().find(|one| one["name"] == name).unwrap();
    assert_eq!(condition("state")["holds"], true);
    for name in ["pods", "events"] {
        let off = "off: no source configured";
        assert_eq!(condition(name)["reason"], off);
        assert_eq!(condition(name)["required"], false);
    }
}

#[tokio::test]
async fn unknown_paths_and_methods_yield_problems() {
    let world = TestServer::start().await;
    for path in ["/api/v1/nothing", "/api", "/api/v2/pulls", "/etc/passwd"] {
        world.get(path).await.assert_problem(404, "not_found");
    }
    for (request, allowed) in [
        (Request::get("/api/v1/report"), "POST"),
        (Request::post("/api/v1/pulls"), "GET,HEAD"),
        (Request::delete("/api/v1/events"), "GET,HEAD"),
    ] {
        let answer = world.send(request, Bytes::new()).await;
        answer.assert_problem(405, "method");
        assert_eq!(answer.headers[ALLOW], allowed);
    }
}
