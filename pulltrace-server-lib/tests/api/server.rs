//! The server endpoint, tested with its router and paused time.

use std::time::Duration;

use axum::body::Body;
use http_body_util::BodyExt as _;
use hyper::Request;
use hyper::header::CONTENT_TYPE;
use pulltrace_server_lib::{Access, Clock, Limits, Server};
use serde_json::{Value, json};
use tower::ServiceExt as _;

use crate::test_server::{START, TestServer, downloading, full_report};

/// The router of a running server that started with the test.
fn start_router() -> axum::Router {
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

async fn get_server(router: &axum::Router) -> Value {
    let request = Request::get("/api/v1/server").body(Body::empty()).unwrap();
    let (status, answer) = send(router, request).await;
    assert_eq!(status, 200, "{answer}");
    answer
}

/// Waits until there are this many samples, and returns them.
async fn wait_for_samples(router: &axum::Router, count: usize) -> Vec<Value> {
    crate::test_server::with_deadline("a value", async {
        loop {
            let answer = get_server(router).await;
            let values = answer["throughput"]["bytesPerSec"].as_array().unwrap();
            if values.len() >= count {
                return values.clone();
            }
            tokio::task::yield_now().await;
        }
    })
    .await
}

/// Reports one pull with this download speed.
async fn report_speed(router: &axum::Router, node: &str, sequence: u64, speed: f64) {
    let mut pull = downloading(node, "1-a", 500);
    pull["bytesPerSec"] = json!(speed);
    let report = full_report(node, sequence, &[pull]).to_string();
    let request = Request::post("/api/v1/report").header(CONTENT_TYPE, "application/json");
    let (status, answer) = send(router, request.body(report.into()).unwrap()).await;
    assert_eq!(status, 202, "{answer}");
}

#[tokio::test(start_paused = true)]
async fn server_endpoint_describes_server() {
    let router = start_router();
    let answer = get_server(&router).await;
    let version = concat!(env!("CARGO_PKG_VERSION"), " (0123456789ab)");
    assert_eq!(answer["version"], version);
    assert_eq!(answer["clusterName"], "prod-eu-1");
    assert_eq!(answer["startedAt"], START);
    assert_eq!(answer["keepsEndedSeconds"], 90.0);
    assert_eq!(answer["cluster"], json!({"pods": "off", "events": "off"}));
    assert_eq!(answer["seq"], 0);
    tokio::time::advance(Duration::from_secs(60)).await;
    let later = get_server(&router).await;
    assert_eq!(later["startedAt"], START);
    assert_eq!(later["now"], "2026-11-24T20:01:00Z");
    assert_eq!(later["epoch"], answer["epoch"]);
}

#[tokio::test(start_paused = true)]
async fn throughput_history_has_fixed_steps() {
    let router = start_router();
    // No node has reported yet.
    assert_eq!(wait_for_samples(&router, 1).await, [Value::Null]);
    report_speed(&router, "w1", 1, 1_000.4).await;
    report_speed(&router, "w2", 1, 500.0).await;
    tokio::time::advance(Duration::from_secs(2)).await;
    assert_eq!(wait_for_samples(&router, 2).await, [Value::Null, json!(1_500.0)]);
    let answer = get_server(&router).await;
    assert_eq!(answer["throughput"]["stepSeconds"], 2.0);
    assert_eq!(answer["throughput"]["endsAt"], "2026-11-24T20:00:02Z");
    // Both nodes stop reporting.
    tokio::time::advance(Duration::from_secs(40)).await;
    assert_eq!(wait_for_samples(&router, 22).await.len(), 22);
    tokio::time::advance(Duration::from_secs(2)).await;
    let all = wait_for_samples(&router, 23).await;
    assert_eq!((&all[1], &all[22]), (&json!(1_500.0), &Value::Null));
}

#[tokio::test]
async fn server_endpoint_omits_unset_name_and_rejects_parameters() {
    let world = TestServer::start().await;
    let answer = world.get("/api/v1/server").await;
    assert_eq!(answer.status, 200);
    assert!(answer.json().get("clusterName").is_none());
    let refused = world.get("/api/v1/server?since=1").await;
    refused.assert_problem(400, "query");
}
