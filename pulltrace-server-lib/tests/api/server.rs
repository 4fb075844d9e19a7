//! What the server says of itself, over its router and with time that the test makes.

use std::time::Duration;

use axum::body::Body;
use http_body_util::BodyExt as _;
use hyper::Request;
use hyper::header::CONTENT_TYPE;
use pulltrace_server_lib::{Access, Clock, Limits, Server};
use serde_json::{Value, json};
use tower::ServiceExt as _;

use crate::world::{START, World, downloading, full};

/// The router of a server that runs, and started with the test.
fn start() -> axum::Router {
    let mut limits = Limits::default();
    limits.history_ttl = Duration::from_secs(90);
    let server = Server::builder()
        .clock(Clock::anchored(START.parse().unwrap()))
        .access(Access::new().insecure_open())
        .limits(limits)
        .revision("0123456789ab")
        .cluster_name("prod-eu-1".parse().unwrap())
        .build()
        .unwrap();
    let router = server.router();
    tokio::spawn(server.run(std::future::pending()));
    router
}

async fn send(router: &axum::Router, request: Request<Body>) -> (u16, Value) {
    let response = router.clone().oneshot(request).await.unwrap();
    let status = response.status().as_u16();
    let body = response.into_body().collect().await.unwrap().to_bytes();
    (status, serde_json::from_slice(&body).unwrap())
}

async fn ask(router: &axum::Router) -> Value {
    let request = Request::get("/api/v1/server").body(Body::empty()).unwrap();
    let (status, answer) = send(router, request).await;
    assert_eq!(status, 200, "{answer}");
    answer
}

/// Its values, once there are so many.
async fn values(router: &axum::Router, count: usize) -> Vec<Value> {
    crate::world::within("a value", async {
        loop {
            let answer = ask(router).await;
            let values = answer["throughput"]["bytesPerSec"].as_array().unwrap();
            if values.len() >= count {
                return values.clone();
            }
            tokio::task::yield_now().await;
        }
    })
    .await
}

/// A node reports one pull at this speed.
async fn tell(router: &axum::Router, node: &str, sequence: u64, speed: f64) {
    let mut pull = downloading(node, "1-a", 500);
    pull["bytesPerSec"] = json!(speed);
    let report = full(node, sequence, &[pull]).to_string();
    let request = Request::post("/api/v1/report").header(CONTENT_TYPE, "application/json");
    let (status, answer) = send(router, request.body(report.into()).unwrap()).await;
    assert_eq!(status, 202, "{answer}");
}

#[tokio::test(start_paused = true)]
async fn a_server_says_what_it_is() {
    let router = start();
    let answer = ask(&router).await;
    let version = concat!(env!("CARGO_PKG_VERSION"), " (0123456789ab)");
    assert_eq!(answer["version"], version);
    assert_eq!(answer["clusterName"], "prod-eu-1");
    assert_eq!(answer["startedAt"], START);
    assert_eq!(answer["keepsEndedSeconds"], 90.0);
    assert_eq!(answer["cluster"], json!({"pods": "off", "events": "off"}));
    assert_eq!(answer["seq"], 0);
    tokio::time::advance(Duration::from_secs(60)).await;
    let later = ask(&router).await;
    assert_eq!(later["startedAt"], START);
    assert_eq!(later["now"], "2026-11-24T20:01:00Z");
    assert_eq!(later["epoch"], answer["epoch"]);
}

#[tokio::test(start_paused = true)]
async fn the_speed_of_all_nodes_is_remembered_in_equal_steps() {
    let router = start();
    // Nobody has reported yet.
    assert_eq!(values(&router, 1).await, [Value::Null]);
    tell(&router, "w1", 1, 1_000.4).await;
    tell(&router, "w2", 1, 500.0).await;
    tokio::time::advance(Duration::from_secs(2)).await;
    assert_eq!(values(&router, 2).await, [Value::Null, json!(1_500.0)]);
    let answer = ask(&router).await;
    assert_eq!(answer["throughput"]["stepSeconds"], 2.0);
    assert_eq!(answer["throughput"]["endsAt"], "2026-11-24T20:00:02Z");
    // Both fall silent.
    tokio::time::advance(Duration::from_secs(40)).await;
    assert_eq!(values(&router, 22).await.len(), 22);
    tokio::time::advance(Duration::from_secs(2)).await;
    let all = values(&router, 23).await;
    assert_eq!((&all[1], &all[22]), (&json!(1_500.0), &Value::Null));
}

#[tokio::test]
async fn nothing_of_the_server_can_be_asked_that_it_does_not_know() {
    let world = World::start().await;
    let answer = world.get("/api/v1/server").await;
    assert_eq!(answer.status, 200);
    assert!(answer.json().get("clusterName").is_none());
    let refused = world.get("/api/v1/server?since=1").await;
    refused.is_problem(400, "query");
}
