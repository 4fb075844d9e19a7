//! Pod endpoints: list, single pod and stream.

use std::time::Duration;

use hyper::Request;
use hyper::body::Bytes;
use hyper::header::ALLOW;
use pulltrace_server_lib::cluster::{PodUpdate, PullEventUpdate, SourceError, SourceFailureKind};
use pulltrace_server_lib::{HttpLimits, ServeLimits};
use serde_json::{Value, json};
use tokio::io::AsyncWriteExt as _;
use tokio::net::TcpSocket;

use crate::cluster::{TestCluster, failure, kubelet_event, pod_ref, running_pod, waiting_pod};
use crate::test_server::{
    Reader, TestServer, completed, digest, downloading, full_report, partial_report, resolving,
    with_deadline,
};

const APP: &str = "registry.example/team/app:1";
const PULLING: (&str, &str) = ("Pulling", "Pulling image \"registry.example/team/app:1\"");
const PULLED: (&str, &str) = (
    "Pulled",
    "Successfully pulled image \"registry.example/team/app:1\" in 5s (5s including waiting). Image size: 4000 bytes.",
);
const WEB: &str = "/api/v1/namespaces/shop/pods/web/pulls";

fn pod_names(list: &Value) -> Vec<String> {
    let pods = list["pods"].as_array().unwrap().iter();
    let name = |pod: &Value| format!("{}/{}", text(&pod["namespace"]), text(&pod["podName"]));
    pods.map(name).collect()
}

fn text(value: &Value) -> &str {
    value.as_str().unwrap_or_default()
}

#[tokio::test]
async fn waiting_pods_are_ordered_filtered_and_paginated() {
    let cluster = TestCluster::start().await;
    for (name, node, image) in [
        ("shop/web", "w1", APP),
        ("shop/db", "w2", "registry.example/db:9"),
        (
            "ops/cron",
            "w1",
            "registry.example/cron@sha256:abababababababababababababababababababababababababababababababab",
        ),
    ] {
        cluster.send_pod(PodUpdate::Apply(waiting_pod(name, node, image)));
    }
    let all = cluster.wait_for("/api/v1/pods", |list| pod_names(list).len() == 3).await;
    assert_eq!(pod_names(&all), ["ops/cron", "shop/db", "shop/web"]);
    assert_eq!(all["cluster"], json!({"pods": "live", "events": "live"}));
    assert_eq!(all["pods"][2]["images"][0]["state"], "pending");
    for (query, wanted) in [
        ("namespace=shop", &["shop/db", "shop/web"][..]),
        ("node=w1", &["ops/cron", "shop/web"]),
        ("pod=web", &["shop/web"]),
        ("namespace=ops&pod=web", &[]),
        ("image=team/app", &["shop/web"]),
        (&format!("image={}", digest("ab")), &["ops/cron"]),
    ] {
        let list = cluster.server.get(&format!("/api/v1/pods?{query}")).await;
        assert_eq!(pod_names(&list.json()), wanted, "{query}");
    }
    let first = cluster.server.get("/api/v1/pods?limit=2").await.json();
    assert_eq!(pod_names(&first), ["ops/cron", "shop/db"]);
    let next = text(&first["continue"]);
    let rest = format!("/api/v1/pods?limit=2&continue={next}");
    let rest = cluster.server.get(&rest).await.json();
    assert_eq!(pod_names(&rest), ["shop/web"]);
    assert!(rest.get("continue").is_none());
    let all = cluster.server.get("/api/v1/pods?limit=3").await.json();
    assert!(all.get("continue").is_none());
    for query in ["limit=0", "continue=x", "continue=a/b/c/d", "phase=queued", "follow=1"] {
        let answer = cluster.server.get(&format!("/api/v1/pods?{query}")).await;
        answer.assert_problem(400, "query");
    }
    // A deleted pod does not wait.
    cluster.send_pod(PodUpdate::Delete(pod_ref("shop/db").uid));
    cluster.wait_for("/api/v1/pods", |list| pod_names(list) == ["ops/cron", "shop/web"]).await;
}

#[tokio::test]
async fn pod_response_includes_its_pulls() {
    let cluster = TestCluster::start().await;
    cluster.send_pod(PodUpdate::Apply(waiting_pod("shop/web", "w1", APP)));
    cluster.send_event(kubelet_event("shop/web", "w1", PULLING, 0));
    let pull = downloading("w1", "1-a", 500);
    cluster.server.report(&full_report("w1", 1, &[pull])).await;
    let pod = cluster.wait_for(WEB, |pod| pod["pulls"][0]["id"].is_string()).await;
    assert_eq!(pod["pod"]["podName"], "web");
    assert_eq!(pod["pod"]["images"][0]["state"], "pulling");
    assert_eq!(pod["pod"]["images"][0]["pull"], pod["pulls"][0]["id"]);
    assert_eq!(pod["pod"]["moving"], true);
    assert_eq!(pod["pulls"][0]["downloadedBytes"], 1500);
    assert_eq!(pod["pulls"][0]["pods"][0]["podName"], "web");
    assert!(pod["pulls"][0].get("layers").is_none());
    assert!(text(&pod["pod"]["summary"]).contains(APP), "{pod}");
}

#[tokio::test]
async fn pod_without_wait_is_not_found_with_advice() {
    let cluster = TestCluster::start().await;
    let answer = cluster.server.get(WEB).await;
    answer.assert_problem(404, "not_found");
    let detail = answer.json()["detail"].clone();
    assert!(text(&detail).contains("kubectl get pod -n shop web"), "{detail}");
    for path in [
        "/api/v1/namespaces/SHOP/pods/web/pulls",
        "/api/v1/namespaces/shop/pods/%2e%2e/pulls",
        "/api/v1/namespaces/shop/pods/a%00b/pulls",
    ] {
        cluster.server.get(path).await.assert_problem(404, "not_found");
    }
    for query in ["follow=yes", "follow=1&follow=1", "layers=none"] {
        let answer = cluster.server.get(&format!("{WEB}?{query}")).await;
        answer.assert_problem(400, "query");
    }
    let follow = cluster.server.get(&format!("{WEB}?follow=1")).await;
    follow.assert_problem(404, "not_found");
    let post = cluster.server.send(Request::post(WEB), Bytes::new()).await;
    post.assert_problem(405, "method");
    assert_eq!(post.headers[ALLOW], "GET,HEAD");
}

#[tokio::test]
async fn pod_queries_are_unavailable_without_kubernetes() {
    let world = TestServer::start().await;
    for path in ["/api/v1/pods", WEB, "/api/v1/pulls?namespace=shop", "/api/v1/events?pod=web"] {
        world.get(path).await.assert_problem(400, "not_available");
    }
}

#[tokio::test]
async fn recreated_pod_replaces_deleted_one() {
    let cluster = TestCluster::start().await;
    cluster.send_pod(PodUpdate::Apply(waiting_pod("shop/web", "w1", APP)));
    cluster.send_pod(PodUpdate::Delete(pod_ref("shop/web").uid));
    cluster.send_pod(PodUpdate::Apply(waiting_pod("shop/web#2", "w2", APP)));
    let pod = cluster.wait_for(WEB, |pod| pod["pod"]["uid"] == "shop-web-2").await;
    assert_eq!(pod["pod"]["nodeName"], "w2");
}

#[tokio::test]
async fn follow_streams_changes_until_pod_is_ready() {
    let cluster = TestCluster::start().await;
    let world = &cluster.server;
    cluster.send_pod(PodUpdate::Apply(waiting_pod("shop/web", "w1", APP)));
    cluster.wait_for(WEB, |_| true).await;
    let mut reader = Reader::open_path(world, &format!("{WEB}?follow=1")).await;
    assert_eq!(reader.headers["content-type"], "text/event-stream");
    let first = reader.next().await.unwrap();
    assert_eq!(first.name, "", "a default event");
    assert_eq!(first.data["pod"]["images"][0]["state"], "pending");
    assert_eq!(world.metric("pulltrace_sse_readers").await, Some(1.0));

    cluster.send_event(kubelet_event("shop/web", "w1", PULLING, 0));
    world.report(&full_report("w1", 1, &[downloading("w1", "1-a", 0)])).await;
    let mut pulling = reader.next().await.unwrap();
    while pulling.data["pod"]["images"][0]["state"] != "pulling" {
        pulling = reader.next().await.unwrap();
    }
    world.report(&partial_report("w1", 2, &[downloading("w1", "1-a", 700)])).await;
    let mut moved = reader.next().await.unwrap();
    while moved.data["pulls"][0]["downloadedBytes"] != 1700 {
        moved = reader.next().await.unwrap();
    }
    // Changes elsewhere are not sent.
    world.report(&full_report("w2", 1, &[resolving("w2", "9-z")])).await;
    world.report(&partial_report("w1", 3, &[completed("w1", "1-a")])).await;
    cluster.send_event(kubelet_event("shop/web", "w1", PULLED, 5));
    cluster.send_pod(PodUpdate::Apply(running_pod("shop/web", "w1", APP)));
    let rest = reader.read_to_end().await;
    let end = rest.last().unwrap();
    assert_eq!((end.name.as_str(), text(&end.data["reason"])), ("end", "ready"));
    let last = &rest[rest.len() - 2];
    assert_eq!(last.data["pod"]["ready"], true, "{last:?}");
    world.wait_for_metric("pulltrace_sse_readers", 0.0).await;
    let compared = "pulltrace_kubelet_duration_comparisons_total{result=\"match\"}";
    world.wait_for_metric(compared, 1.0).await;

    // A late reader gets the result immediately.
    let mut late = Reader::open_path(world, &format!("{WEB}?follow=1")).await;
    let late = late.read_to_end().await;
    assert_eq!(late.len(), 2);
    assert_eq!(late[0].data["pod"]["ready"], true);
    assert_eq!(late[1].name, "end");
}

#[tokio::test]
async fn follow_ends_when_pod_is_deleted() {
    let cluster = TestCluster::start().await;
    cluster.send_pod(PodUpdate::Apply(waiting_pod("shop/web", "w1", APP)));
    cluster.wait_for(WEB, |_| true).await;
    let mut reader = Reader::open_path(&cluster.server, &format!("{WEB}?follow=1")).await;
    reader.next().await.unwrap();
    cluster.send_pod(PodUpdate::Delete(pod_ref("shop/web").uid));
    // Another pod with the same name does not replace it.
    cluster.send_pod(PodUpdate::Apply(waiting_pod("shop/web#2", "w2", APP)));
    let rest = reader.read_to_end().await;
    assert_eq!(rest.len(), 1, "{rest:?}");
    assert_eq!(rest[0].name, "end");
    assert_eq!(rest[0].data["reason"], "gone");
}

#[tokio::test]
async fn follow_counts_as_reader_and_ends_on_shutdown() {
    let cluster = TestCluster::with(|server| {
        let mut limits = HttpLimits::default();
        limits.max_readers = 1;
        server.http_limits(limits)
    })
    .await;
    cluster.send_pod(PodUpdate::Apply(waiting_pod("shop/web", "w1", APP)));
    cluster.wait_for(WEB, |_| true).await;
    let mut reader = Reader::open_path(&cluster.server, &format!("{WEB}?follow=1")).await;
    reader.next().await.unwrap();
    let second = cluster.server.get(&format!("{WEB}?follow=1")).await;
    second.assert_problem(503, "readers");
    // A HEAD request has no body, so it takes no slot.
    let head = Request::head(format!("{WEB}?follow=1"));
    let head = cluster.server.send(head, Bytes::new()).await;
    assert_eq!(head.status, 405);
    cluster.server.stop().await;
    assert_eq!(reader.read_to_end().await, []);
}

#[tokio::test]
async fn stalled_follower_is_disconnected() {
    let cluster = TestCluster::with(|server| {
        let mut limits = ServeLimits::default();
        limits.write_timeout = Duration::from_millis(300);
        server.serve_limits(limits)
    })
    .await;
    // A large pod: each change sends it completely.
    let mut pod = waiting_pod("shop/web", "w1", APP);
    let image = pod.images[0].clone();
    pod.images = (0..1_500)
        .map(|n| {
            let mut image = image.clone();
            let name = format!("{n}-{}", "x".repeat(200));
            image.consumer = name.parse().unwrap();
            image.name = name.as_str().into();
            image
        })
        .collect();
    cluster.send_pod(PodUpdate::Apply(pod.clone()));
    cluster.wait_for(WEB, |_| true).await;
    let socket = TcpSocket::new_v4().unwrap();
    socket.set_recv_buffer_size(4_096).unwrap();
    let mut bad = socket.connect(cluster.server.address).await.unwrap();
    let host = cluster.server.address;
    let request = format!("GET {WEB}?follow=1 HTTP/1.1\r\nHost: {host}\r\n\r\n");
    bad.write_all(request.as_bytes()).await.unwrap();
    with_deadline("the reader is disconnected", async {
        let mut long = false;
        while cluster.server.metric("pulltrace_sse_readers_stalled_total").await != Some(1.0) {
            long = !long;
            let reason = if long { "ErrImagePull" } else { "PodInitializing" };
            for image in &mut pod.images {
                image.presence = pulltrace_server_lib::cluster::ImagePresence::Waiting {
                    reason: Some(reason.into()),
                    message: None,
                };
            }
            cluster.send_pod(PodUpdate::Apply(pod.clone()));
            cluster
                .wait_for(WEB, |response| response["pod"]["images"][0]["waitingReason"] == reason)
                .await;
        }
    })
    .await;
    drop(bad);
}

#[tokio::test]
async fn forbidden_source_is_reported_while_other_stays_live() {
    let cluster = TestCluster::without_updates(|server| server).await;
    // Before the first list it is unknown whether the pod waits.
    cluster.wait_for_condition("pods", false).await;
    cluster.server.get(WEB).await.assert_problem(503, "not_heard");
    let list = cluster.server.get("/api/v1/pods").await.json();
    assert_eq!(list["cluster"]["pods"], "listing");
    cluster
        .send_pod(PodUpdate::Failing(failure(SourceFailureKind::Forbidden, "pods is forbidden")));
    for update in [PullEventUpdate::Init, PullEventUpdate::InitDone] {
        cluster.send_event(update);
    }
    cluster.wait_for_condition("events", true).await;
    let list =
        cluster.wait_for("/api/v1/pods", |list| list["cluster"]["pods"] == "forbidden").await;
    assert_eq!(
        list["cluster"],
        json!({"pods": "forbidden", "events": "live", "podsReason": "pods is forbidden"})
    );
    let up = "pulltrace_kubernetes_source_up";
    for (resource, value) in [("pods", 0.0), ("events", 1.0)] {
        let series = format!("{up}{{resource=\"{resource}\"}}");
        assert_eq!(cluster.server.metric(&series).await, Some(value));
    }
    let reason = cluster.wait_for_condition("pods", false).await;
    assert_eq!(reason, "forbidden: pods is forbidden");
    let answer = cluster.server.get(WEB).await;
    answer.assert_problem(404, "not_found");
    assert!(text(&answer.json()["detail"]).contains("forbidden"));
    // Kubelet events still work.
    cluster.send_event(kubelet_event("shop/web", "w1", PULLING, 0));
    cluster.wait_for(WEB, |_| true).await;
    // The permission is granted.
    cluster.send_pod(PodUpdate::Init);
    cluster.send_pod(PodUpdate::InitDone);
    cluster.wait_for_condition("pods", true).await;
    cluster.send_pod(PodUpdate::Failing(failure(SourceFailureKind::Unreachable, "no route")));
    let reason = cluster.wait_for_condition("pods", false).await;
    assert_eq!(reason, "unreachable: no route");
    let other = "/api/v1/namespaces/shop/pods/db/pulls";
    cluster.server.get(other).await.assert_problem(503, "not_heard");
}

#[tokio::test]
async fn failed_source_is_reported_as_condition() {
    let cluster = TestCluster::start().await;
    cluster.fail_pods(SourceError::Transient("exec plug-in killed".into()));
    let reason = cluster.wait_for_condition("pods", false).await;
    assert!(reason.contains("exec plug-in killed"), "{reason}");
}

#[tokio::test]
async fn pulls_are_filtered_by_waiting_pods() {
    let cluster = TestCluster::start().await;
    let world = &cluster.server;
    cluster.send_pod(PodUpdate::Apply(waiting_pod("shop/web", "w1", APP)));
    cluster.send_event(kubelet_event("shop/web", "w1", PULLING, 0));
    let pulls = [downloading("w1", "1-a", 0), resolving("w1", "2-b")];
    world.report(&full_report("w1", 1, &pulls)).await;
    cluster
        .wait_for("/api/v1/pulls?namespace=shop", |list| {
            list["pulls"].as_array().unwrap().len() == 1
        })
        .await;
    for (query, wanted) in [
        ("namespace=shop&pod=web", 1),
        ("pod=web", 1),
        ("pod=we", 0),
        ("namespace=ops", 0),
        ("namespace=ops&pod=web", 0),
        // Only the pod has the tag.
        ("image=app:1", 1),
        ("image=app:2", 0),
        ("namespace=shop&node=w2", 0),
        ("namespace=shop&phase=downloading", 1),
        ("namespace=shop&phase=resolving", 0),
    ] {
        let list = world.get(&format!("/api/v1/pulls?{query}")).await.json();
        assert_eq!(list["pulls"].as_array().unwrap().len(), wanted, "{query}");
    }
}

#[tokio::test]
async fn late_pod_link_sends_full_pull_to_filtered_readers() {
    let cluster = TestCluster::start().await;
    let world = &cluster.server;
    let mut all = Reader::open(world, "").await;
    let mut shop = Reader::open(world, "?namespace=shop").await;
    let mut image = Reader::open(world, "?image=app:1").await;
    let mut other = Reader::open(world, "?namespace=ops").await;
    let mut frames = Reader::open(world, "?namespace=shop&pod=web&format=frame").await;
    for reader in [&mut all, &mut shop, &mut image, &mut other, &mut frames] {
        reader.read_until("snapshot-end").await;
    }
    world.report(&full_report("w1", 1, &[downloading("w1", "1-a", 100)])).await;
    all.read_until("pull.started").await;
    world.report(&partial_report("w1", 2, &[downloading("w1", "1-a", 200)])).await;
    // All readers are past it.
    all.read_until("pull.progress").await;
    cluster.send_pod(PodUpdate::Apply(waiting_pod("shop/web", "w1", APP)));
    cluster.send_event(kubelet_event("shop/web", "w1", PULLING, 0));
    for reader in [&mut shop, &mut image] {
        let event = reader.next().await.unwrap();
        assert_eq!(event.kind_and_pull(), ("pull.started", "1-a"), "new to this reader");
        assert_eq!(event.data["pull"]["pods"][0]["podName"], "web");
        assert_eq!(event.data["pull"]["layers"].as_array().unwrap().len(), 2);
    }
    let mut frame = frames.next().await.unwrap();
    while frame.data.get("rows").is_none() {
        // Nodes are sent to all readers.
        assert!(frame.data.get("nodes").is_some(), "{frame:?}");
        frame = frames.next().await.unwrap();
    }
    let row = &frame.data["rows"][0];
    assert_eq!(row["layers"].as_array().unwrap().len(), 2, "{frame:?}");
    assert_eq!(row["pods"][0]["podName"], "web");
    // A reader that resumes from before the link also sees it as new.
    let epoch = world.table.read(|table| table.epoch().to_owned());
    let mut back = Reader::resume(world, "?namespace=shop", Some(&format!("{epoch}-1"))).await;
    assert_eq!(back.next().await.unwrap().kind_and_pull(), ("pull.started", "1-a"));

    world.report(&partial_report("w1", 3, &[downloading("w1", "1-a", 300)])).await;
    let moved = shop.next().await.unwrap();
    assert_eq!(moved.kind_and_pull(), ("pull.progress", "1-a"), "not new a second time");
    world.report(&partial_report("w1", 4, &[completed("w1", "1-a")])).await;
    for reader in [&mut shop, &mut image, &mut back] {
        let event = reader.read_until("pull.completed").await.pop().unwrap();
        assert_eq!(event.pull(), "1-a");
    }
    // This reader only gets the pull that its own pod waits for.
    let pulls = [resolving("w2", "2-b")];
    world.report(&full_report("w2", 1, &pulls)).await;
    cluster.send_pod(PodUpdate::Apply(waiting_pod("ops/cron", "w2", APP)));
    cluster.send_event(kubelet_event("ops/cron", "w2", PULLING, 0));
    let event = other.next().await.unwrap();
    assert_eq!(event.kind_and_pull(), ("pull.started", "2-b"));
}

#[tokio::test]
async fn late_pod_link_still_sends_end() {
    let cluster = TestCluster::start().await;
    let world = &cluster.server;
    let mut all = Reader::open(world, "").await;
    let mut shop = Reader::open(world, "?namespace=shop").await;
    for reader in [&mut all, &mut shop] {
        reader.read_until("snapshot-end").await;
    }
    let pull = completed("w1", "1-a");
    world.report(&full_report("w1", 1, &[pull])).await;
    all.read_until("pull.completed").await;
    cluster.send_event(kubelet_event("shop/web", "w1", PULLING, 0));
    cluster.send_event(kubelet_event("shop/web", "w1", PULLED, 5));
    let events = [shop.next().await.unwrap(), shop.next().await.unwrap()];
    let kinds: Vec<_> = events.iter().map(crate::test_server::Event::kind_and_pull).collect();
    assert_eq!(kinds, [("pull.started", "1-a"), ("pull.completed", "1-a")]);
}

#[tokio::test]
async fn announced_pull_is_sent_and_counted_as_queued() {
    let cluster = TestCluster::start().await;
    let world = &cluster.server;
    // Consecutive pulls show that the next one is queued.
    cluster.send_pod(PodUpdate::Apply(waiting_pod("shop/web", "w1", APP)));
    cluster.send_event(kubelet_event("shop/web", "w1", PULLING, 0));
    world.report(&full_report("w1", 1, &[])).await;
    let mut queued = Reader::open(world, "?phase=queued&namespace=shop").await;
    let event = with_deadline("it is queued", async {
        loop {
            let event = queued.next().await.unwrap();
            if event.data["pull"].is_object() {
                return event;
            }
        }
    })
    .await;
    assert_eq!(event.kind(), "pull.started");
    assert_eq!(event.data["pull"]["phase"], "queued");
    assert_eq!(event.data["pull"]["pods"][0]["podName"], "web");
    let list = world.get("/api/v1/pulls?phase=queued").await.json();
    assert_eq!(list["pulls"].as_array().unwrap().len(), 1);
    world.wait_for_metric("pulltrace_pulls_in_progress{phase=\"queued\"}", 1.0).await;
    world.wait_for_metric("pulltrace_pods_waiting", 1.0).await;
}
