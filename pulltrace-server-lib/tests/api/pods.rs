//! What pods wait for: listed, asked for one by one, followed.

use std::time::Duration;

use hyper::Request;
use hyper::body::Bytes;
use hyper::header::ALLOW;
use pulltrace_server_lib::cluster::{PodUpdate, PullEventUpdate, TroubleKind};
use pulltrace_server_lib::{HttpLimits, ServeLimits};
use serde_json::{Value, json};
use tokio::io::AsyncWriteExt as _;
use tokio::net::TcpSocket;

use crate::cluster::{Cluster, pod_ref, runs, says, trouble, waits};
use crate::world::{Reader, World, completed, digest, downloading, full, resolving, some, within};

const APP: &str = "registry.example/team/app:1";
const PULLING: (&str, &str) = ("Pulling", "Pulling image \"registry.example/team/app:1\"");
const PULLED: (&str, &str) = (
    "Pulled",
    "Successfully pulled image \"registry.example/team/app:1\" in 5s (5s including waiting). Image size: 4000 bytes.",
);
const WEB: &str = "/api/v1/namespaces/shop/pods/web/pulls";

fn names(list: &Value) -> Vec<String> {
    let pods = list["pods"].as_array().unwrap().iter();
    let name = |pod: &Value| format!("{}/{}", text(&pod["namespace"]), text(&pod["podName"]));
    pods.map(name).collect()
}

fn text(value: &Value) -> &str {
    value.as_str().unwrap_or_default()
}

#[tokio::test]
async fn pods_that_wait_are_listed_in_order_filtered_and_in_pages() {
    let cluster = Cluster::start().await;
    for (name, node, image) in [
        ("shop/web", "w1", APP),
        ("shop/db", "w2", "registry.example/db:9"),
        (
            "ops/cron",
            "w1",
            "registry.example/cron@sha256:abababababababababababababababababababababababababababababababab",
        ),
    ] {
        cluster.pod(PodUpdate::Applied(waits(name, node, image)));
    }
    let all = cluster
        .until("/api/v1/pods", |list| names(list).len() == 3)
        .await;
    assert_eq!(names(&all), ["ops/cron", "shop/db", "shop/web"]);
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
        let list = cluster.world.get(&format!("/api/v1/pods?{query}")).await;
        assert_eq!(names(&list.json()), wanted, "{query}");
    }
    let first = cluster.world.get("/api/v1/pods?limit=2").await.json();
    assert_eq!(names(&first), ["ops/cron", "shop/db"]);
    let next = text(&first["continue"]);
    let rest = format!("/api/v1/pods?limit=2&continue={next}");
    let rest = cluster.world.get(&rest).await.json();
    assert_eq!(names(&rest), ["shop/web"]);
    assert!(rest.get("continue").is_none());
    let all = cluster.world.get("/api/v1/pods?limit=3").await.json();
    assert!(all.get("continue").is_none());
    for query in [
        "limit=0",
        "continue=x",
        "continue=a/b/c/d",
        "phase=queued",
        "follow=1",
    ] {
        let answer = cluster.world.get(&format!("/api/v1/pods?{query}")).await;
        answer.is_problem(400, "query");
    }
    // One that is gone waits for nothing.
    cluster.pod(PodUpdate::Deleted(pod_ref("shop/db").uid));
    cluster
        .until("/api/v1/pods", |list| {
            names(list) == ["ops/cron", "shop/web"]
        })
        .await;
}

#[tokio::test]
async fn a_pod_says_what_it_waits_for_with_its_pulls() {
    let cluster = Cluster::start().await;
    cluster.pod(PodUpdate::Applied(waits("shop/web", "w1", APP)));
    cluster.event(says("shop/web", "w1", PULLING, 0));
    let pull = downloading("w1", "1-a", 500);
    cluster.world.tell(&full("w1", 1, &[pull])).await;
    let pod = cluster
        .until(WEB, |pod| pod["pulls"][0]["id"].is_string())
        .await;
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
async fn a_pod_that_waits_for_nothing_is_not_there_and_it_is_said_what_to_do() {
    let cluster = Cluster::start().await;
    let answer = cluster.world.get(WEB).await;
    answer.is_problem(404, "not_found");
    let detail = answer.json()["detail"].clone();
    assert!(
        text(&detail).contains("kubectl get pod -n shop web"),
        "{detail}"
    );
    for path in [
        "/api/v1/namespaces/SHOP/pods/web/pulls",
        "/api/v1/namespaces/shop/pods/%2e%2e/pulls",
        "/api/v1/namespaces/shop/pods/a%00b/pulls",
    ] {
        cluster.world.get(path).await.is_problem(404, "not_found");
    }
    for query in ["follow=yes", "follow=1&follow=1", "layers=none"] {
        let answer = cluster.world.get(&format!("{WEB}?{query}")).await;
        answer.is_problem(400, "query");
    }
    let follow = cluster.world.get(&format!("{WEB}?follow=1")).await;
    follow.is_problem(404, "not_found");
    let post = cluster.world.send(Request::post(WEB), Bytes::new()).await;
    post.is_problem(405, "method");
    assert_eq!(post.headers[ALLOW], "GET,HEAD");
}

#[tokio::test]
async fn what_needs_pods_is_not_available_where_none_are_known() {
    let world = World::start().await;
    for path in [
        "/api/v1/pods",
        WEB,
        "/api/v1/pulls?namespace=shop",
        "/api/v1/events?pod=web",
    ] {
        world.get(path).await.is_problem(400, "not_available");
    }
}

#[tokio::test]
async fn of_pods_with_one_name_the_one_that_is_there_is_told() {
    let cluster = Cluster::start().await;
    cluster.pod(PodUpdate::Applied(waits("shop/web", "w1", APP)));
    cluster.pod(PodUpdate::Deleted(pod_ref("shop/web").uid));
    cluster.pod(PodUpdate::Applied(waits("shop/web#2", "w2", APP)));
    let pod = cluster
        .until(WEB, |pod| pod["pod"]["uid"] == "shop-web-2")
        .await;
    assert_eq!(pod["pod"]["nodeName"], "w2");
}

#[tokio::test]
async fn who_follows_a_pod_is_told_each_change_until_its_image_is_there() {
    let cluster = Cluster::start().await;
    let world = &cluster.world;
    cluster.pod(PodUpdate::Applied(waits("shop/web", "w1", APP)));
    cluster.until(WEB, |_| true).await;
    let mut reader = Reader::at(world, &format!("{WEB}?follow=1")).await;
    assert_eq!(reader.headers["content-type"], "text/event-stream");
    let first = reader.next().await.unwrap();
    assert_eq!(first.name, "", "a default event");
    assert_eq!(first.data["pod"]["images"][0]["state"], "pending");
    assert_eq!(world.metric("pulltrace_sse_clients").await, Some(1.0));

    cluster.event(says("shop/web", "w1", PULLING, 0));
    world
        .tell(&full("w1", 1, &[downloading("w1", "1-a", 0)]))
        .await;
    let mut pulling = reader.next().await.unwrap();
    while pulling.data["pod"]["images"][0]["state"] != "pulling" {
        pulling = reader.next().await.unwrap();
    }
    world
        .tell(&some("w1", 2, &[downloading("w1", "1-a", 700)]))
        .await;
    let mut moved = reader.next().await.unwrap();
    while moved.data["pulls"][0]["downloadedBytes"] != 1700 {
        moved = reader.next().await.unwrap();
    }
    // What others do is nothing to it.
    world.tell(&full("w2", 1, &[resolving("w2", "9-z")])).await;
    world.tell(&some("w1", 3, &[completed("w1", "1-a")])).await;
    cluster.event(says("shop/web", "w1", PULLED, 5));
    cluster.pod(PodUpdate::Applied(runs("shop/web", "w1", APP)));
    let rest = reader.rest().await;
    let end = rest.last().unwrap();
    assert_eq!(
        (end.name.as_str(), text(&end.data["reason"])),
        ("end", "ready")
    );
    let last = &rest[rest.len() - 2];
    assert_eq!(last.data["pod"]["ready"], true, "{last:?}");
    world.until_metric("pulltrace_sse_clients", 0.0).await;
    let compared = "pulltrace_kubelet_durations_compared_total{verdict=\"agrees\"}";
    world.until_metric(compared, 1.0).await;

    // Who comes a moment later is told the same at once.
    let mut late = Reader::at(world, &format!("{WEB}?follow=1")).await;
    let late = late.rest().await;
    assert_eq!(late.len(), 2);
    assert_eq!(late[0].data["pod"]["ready"], true);
    assert_eq!(late[1].name, "end");
}

#[tokio::test]
async fn who_follows_a_pod_is_told_that_it_is_gone() {
    let cluster = Cluster::start().await;
    cluster.pod(PodUpdate::Applied(waits("shop/web", "w1", APP)));
    cluster.until(WEB, |_| true).await;
    let mut reader = Reader::at(&cluster.world, &format!("{WEB}?follow=1")).await;
    reader.next().await.unwrap();
    cluster.pod(PodUpdate::Deleted(pod_ref("shop/web").uid));
    // Another one of the same name is another pod.
    cluster.pod(PodUpdate::Applied(waits("shop/web#2", "w2", APP)));
    let rest = reader.rest().await;
    assert_eq!(rest.len(), 1, "{rest:?}");
    assert_eq!(rest[0].name, "end");
    assert_eq!(rest[0].data["reason"], "gone");
}

#[tokio::test]
async fn who_follows_a_pod_takes_a_place_and_is_told_when_the_server_stops() {
    let cluster = Cluster::with(|server| {
        let mut limits = HttpLimits::default();
        limits.readers = 1;
        server.http_limits(limits)
    })
    .await;
    cluster.pod(PodUpdate::Applied(waits("shop/web", "w1", APP)));
    cluster.until(WEB, |_| true).await;
    let mut reader = Reader::at(&cluster.world, &format!("{WEB}?follow=1")).await;
    reader.next().await.unwrap();
    let second = cluster.world.get(&format!("{WEB}?follow=1")).await;
    second.is_problem(503, "readers");
    // Nobody reads the answer to this; it takes no place.
    let head = Request::head(format!("{WEB}?follow=1"));
    let head = cluster.world.send(head, Bytes::new()).await;
    assert_eq!(head.status, 405);
    cluster.world.stop().await;
    assert_eq!(reader.rest().await, []);
}

#[tokio::test]
async fn who_follows_a_pod_and_never_reads_is_cut_off() {
    let cluster = Cluster::with(|server| {
        let mut limits = ServeLimits::default();
        limits.write = Duration::from_millis(300);
        server.serve_limits(limits)
    })
    .await;
    // A pod of much: each change of it is told whole.
    let mut pod = waits("shop/web", "w1", APP);
    let image = pod.images[0].clone();
    pod.images = (0..1_500)
        .map(|n| {
            let mut image = image.clone();
            let name = format!("{n}-{}", "x".repeat(200));
            image.slot = name.parse().unwrap();
            image.name = name.as_str().into();
            image
        })
        .collect();
    cluster.pod(PodUpdate::Applied(pod.clone()));
    cluster.until(WEB, |_| true).await;
    let socket = TcpSocket::new_v4().unwrap();
    socket.set_recv_buffer_size(4_096).unwrap();
    let mut bad = socket.connect(cluster.world.address).await.unwrap();
    let host = cluster.world.address;
    let request = format!("GET {WEB}?follow=1 HTTP/1.1\r\nHost: {host}\r\n\r\n");
    bad.write_all(request.as_bytes()).await.unwrap();
    within("it is cut off", async {
        let mut long = false;
        while cluster
            .world
            .metric("pulltrace_sse_readers_cut_off_total")
            .await
            != Some(1.0)
        {
            long = !long;
            let reason = if long {
                "ErrImagePull"
            } else {
                "PodInitializing"
            };
            for image in &mut pod.images {
                image.state = pulltrace_server_lib::cluster::Seen::Waiting {
                    reason: Some(reason.into()),
                    message: None,
                };
            }
            cluster.pod(PodUpdate::Applied(pod.clone()));
            cluster
                .until(WEB, |told| {
                    told["pod"]["images"][0]["waitingReason"] == reason
                })
                .await;
        }
    })
    .await;
    drop(bad);
}

#[tokio::test]
async fn a_source_that_is_forbidden_is_named_and_the_other_goes_on() {
    let cluster = Cluster::silent(|server| server).await;
    // Before anything was said nobody can know that a pod does not wait.
    cluster.until_condition("pods", false).await;
    cluster.world.get(WEB).await.is_problem(503, "not_heard");
    let list = cluster.world.get("/api/v1/pods").await.json();
    assert_eq!(list["cluster"]["pods"], "listing");
    cluster.pod(PodUpdate::Trouble(trouble(
        TroubleKind::Forbidden,
        "pods is forbidden",
    )));
    for update in [PullEventUpdate::Reset, PullEventUpdate::Done] {
        cluster.event(update);
    }
    cluster.until_condition("events", true).await;
    let list = cluster
        .until("/api/v1/pods", |list| {
            list["cluster"]["pods"] == "forbidden"
        })
        .await;
    assert_eq!(
        list["cluster"],
        json!({"pods": "forbidden", "events": "live", "podsReason": "pods is forbidden"})
    );
    let up = "pulltrace_kubernetes_source_up";
    for (source, value) in [("pods", 0.0), ("events", 1.0)] {
        let series = format!("{up}{{source=\"{source}\"}}");
        assert_eq!(cluster.world.metric(&series).await, Some(value));
    }
    let reason = cluster.until_condition("pods", false).await;
    assert_eq!(reason, "forbidden: pods is forbidden");
    let answer = cluster.world.get(WEB).await;
    answer.is_problem(404, "not_found");
    assert!(text(&answer.json()["detail"]).contains("forbidden"));
    // What the kubelet says is known all the same.
    cluster.event(says("shop/web", "w1", PULLING, 0));
    cluster.until(WEB, |_| true).await;
    // The permission comes.
    cluster.pod(PodUpdate::Reset);
    cluster.pod(PodUpdate::Done);
    cluster.until_condition("pods", true).await;
    cluster.pod(PodUpdate::Trouble(trouble(
        TroubleKind::Unreachable,
        "no route",
    )));
    let reason = cluster.until_condition("pods", false).await;
    assert_eq!(reason, "unreachable: no route");
    let other = "/api/v1/namespaces/shop/pods/db/pulls";
    cluster.world.get(other).await.is_problem(503, "not_heard");
}

#[tokio::test]
async fn pulls_are_filtered_by_the_pods_that_wait_for_them() {
    let cluster = Cluster::start().await;
    let world = &cluster.world;
    cluster.pod(PodUpdate::Applied(waits("shop/web", "w1", APP)));
    cluster.event(says("shop/web", "w1", PULLING, 0));
    let pulls = [downloading("w1", "1-a", 0), resolving("w1", "2-b")];
    world.tell(&full("w1", 1, &pulls)).await;
    cluster
        .until("/api/v1/pulls?namespace=shop", |list| {
            list["pulls"].as_array().unwrap().len() == 1
        })
        .await;
    for (query, wanted) in [
        ("namespace=shop&pod=web", 1),
        ("pod=web", 1),
        ("pod=we", 0),
        ("namespace=ops", 0),
        ("namespace=ops&pod=web", 0),
        // Only the pod says the tag.
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
async fn a_pull_whose_pod_is_known_late_is_told_whole_to_who_waits_for_it() {
    let cluster = Cluster::start().await;
    let world = &cluster.world;
    let mut all = Reader::open(world, "").await;
    let mut shop = Reader::open(world, "?namespace=shop").await;
    let mut image = Reader::open(world, "?image=app:1").await;
    let mut other = Reader::open(world, "?namespace=ops").await;
    let mut frames = Reader::open(world, "?namespace=shop&pod=web&format=frame").await;
    for reader in [&mut all, &mut shop, &mut image, &mut other, &mut frames] {
        reader.until("snapshot-end").await;
    }
    world
        .tell(&full("w1", 1, &[downloading("w1", "1-a", 100)]))
        .await;
    all.until("pull.started").await;
    world
        .tell(&some("w1", 2, &[downloading("w1", "1-a", 200)]))
        .await;
    // All of them have passed it.
    all.until("pull.progress").await;
    cluster.pod(PodUpdate::Applied(waits("shop/web", "w1", APP)));
    cluster.event(says("shop/web", "w1", PULLING, 0));
    for reader in [&mut shop, &mut image] {
        let told = reader.next().await.unwrap();
        assert_eq!(
            told.told(),
            ("pull.started", "1-a"),
            "it is new to this one"
        );
        assert_eq!(told.data["pull"]["pods"][0]["podName"], "web");
        assert_eq!(told.data["pull"]["layers"].as_array().unwrap().len(), 2);
    }
    let mut frame = frames.next().await.unwrap();
    while frame.data.get("rows").is_none() {
        // Nodes are told to all.
        assert!(frame.data.get("nodes").is_some(), "{frame:?}");
        frame = frames.next().await.unwrap();
    }
    let row = &frame.data["rows"][0];
    assert_eq!(row["layers"].as_array().unwrap().len(), 2, "{frame:?}");
    assert_eq!(row["pods"][0]["podName"], "web");
    // One that comes back goes on from its place, and sees it as new too.
    let epoch = world.table.read(|table| table.epoch().to_owned());
    let mut back = Reader::resume(world, "?namespace=shop", Some(&format!("{epoch}-1"))).await;
    assert_eq!(back.next().await.unwrap().told(), ("pull.started", "1-a"));

    world
        .tell(&some("w1", 3, &[downloading("w1", "1-a", 300)]))
        .await;
    let moved = shop.next().await.unwrap();
    assert_eq!(moved.told(), ("pull.progress", "1-a"), "once is enough");
    world.tell(&some("w1", 4, &[completed("w1", "1-a")])).await;
    for reader in [&mut shop, &mut image, &mut back] {
        let told = reader.until("pull.completed").await.pop().unwrap();
        assert_eq!(told.pull(), "1-a");
    }
    // A pod of theirs waits, too: it is all that they are told.
    let pulls = [resolving("w2", "2-b")];
    world.tell(&full("w2", 1, &pulls)).await;
    cluster.pod(PodUpdate::Applied(waits("ops/cron", "w2", APP)));
    cluster.event(says("ops/cron", "w2", PULLING, 0));
    let told = other.next().await.unwrap();
    assert_eq!(told.told(), ("pull.started", "2-b"));
}

#[tokio::test]
async fn an_end_whose_pod_is_known_late_is_told_to_who_waits_for_it() {
    let cluster = Cluster::start().await;
    let world = &cluster.world;
    let mut all = Reader::open(world, "").await;
    let mut shop = Reader::open(world, "?namespace=shop").await;
    for reader in [&mut all, &mut shop] {
        reader.until("snapshot-end").await;
    }
    let pull = completed("w1", "1-a");
    world.tell(&full("w1", 1, &[pull])).await;
    all.until("pull.completed").await;
    cluster.event(says("shop/web", "w1", PULLING, 0));
    cluster.event(says("shop/web", "w1", PULLED, 5));
    let told = [shop.next().await.unwrap(), shop.next().await.unwrap()];
    let told: Vec<_> = told.iter().map(crate::world::Event::told).collect();
    assert_eq!(told, [("pull.started", "1-a"), ("pull.completed", "1-a")]);
}

#[tokio::test]
async fn what_a_kubelet_announces_is_told_and_counted_as_queued() {
    let cluster = Cluster::start().await;
    let world = &cluster.world;
    // What was pulled one after the other says that the next one waits.
    cluster.pod(PodUpdate::Applied(waits("shop/web", "w1", APP)));
    cluster.event(says("shop/web", "w1", PULLING, 0));
    world.tell(&full("w1", 1, &[])).await;
    let mut queued = Reader::open(world, "?phase=queued&namespace=shop").await;
    let told = within("it is queued", async {
        loop {
            let event = queued.next().await.unwrap();
            if event.data["pull"].is_object() {
                return event;
            }
        }
    })
    .await;
    assert_eq!(told.kind(), "pull.started");
    assert_eq!(told.data["pull"]["phase"], "queued");
    assert_eq!(told.data["pull"]["pods"][0]["podName"], "web");
    let list = world.get("/api/v1/pulls?phase=queued").await.json();
    assert_eq!(list["pulls"].as_array().unwrap().len(), 1);
    world
        .until_metric("pulltrace_pulls_in_progress{phase=\"queued\"}", 1.0)
        .await;
    world
        .until_metric("pulltrace_pods_waiting_on_pull", 1.0)
        .await;
}
