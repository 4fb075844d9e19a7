//! Reports from agents: accepted ones, and rejected ones with a problem, a count and no effect.

use std::io::Write as _;

use hyper::Request;
use hyper::body::Bytes;
use hyper::header::{CONTENT_ENCODING, CONTENT_TYPE};
use serde_json::{Value, json};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;

use crate::test_server::{TestServer, downloading, full_report, resolving, send, with_deadline};

const JSON: &str = "application/json";

fn gzip(bytes: &[u8]) -> Bytes {
    let mut encoder = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::best());
    encoder.write_all(bytes).unwrap();
    encoder.finish().unwrap().into()
}

#[tokio::test]
async fn report_is_accepted_plain_and_compressed() {
    let world = TestServer::start().await;
    let ack = world.post_report(&full_report("w1", 1, &[resolving("w1", "1-a")])).await;
    assert_eq!(ack.status, 202);
    let ack = ack.json();
    assert_eq!(ack["acceptedSeq"], 1);
    assert_eq!(ack["needFull"], false);
    assert_eq!(ack["serverEpoch"], world.table.read(|table| table.epoch().to_owned()));
    let packed = Request::post("/api/v1/report")
        .header(CONTENT_TYPE, "application/json; charset=utf-8")
        .header(CONTENT_ENCODING, "gzip");
    let body = gzip(full_report("w2", 1, &[downloading("w2", "1-b", 0)]).to_string().as_bytes());
    assert_eq!(world.send(packed, body).await.status, 202);
    assert_eq!(world.table.read(|table| table.rows(None).count()), 2);
    assert_eq!(world.metric("pulltrace_reports_accepted_total").await, Some(2.0));
}

#[tokio::test]
async fn v0_1_agent_gets_status_200() {
    let world = TestServer::start().await;
    for pulls in [Value::Null, json!([])] {
        let report =
            json!({"nodeName": "old", "timestamp": crate::test_server::START, "pulls": pulls});
        let answer = world.post_report(&report).await;
        assert_eq!(answer.status, 200, "{answer:?}");
    }
}

#[tokio::test]
async fn invalid_reports_are_rejected_and_change_nothing() {
    let world = TestServer::start().await;
    world.report(&full_report("w1", 1, &[resolving("w1", "1-a")])).await;
    let before = world.table.read(pulltrace_server_lib::table::Table::seq);
    let good = full_report("w1", 2, &[]).to_string();
    let plain = |body: Vec<u8>| (JSON, None, Bytes::from(body));
    let report = |change: fn(&mut Value)| {
        let mut report = full_report("w1", 2, &[downloading("w1", "1-b", 7)]);
        change(&mut report);
        plain(report.to_string().into_bytes())
    };
    let many = |pulls: usize| {
        let pulls: Vec<_> = (0..pulls).map(|n| resolving("w1", &format!("{n}-a"))).collect();
        full_report("w1", 2, &pulls).to_string().into_bytes()
    };
    let cases = [
        ("malformed", 400, plain(b"{".to_vec())),
        ("malformed", 400, plain(Vec::new())),
        ("malformed", 400, plain(good.as_bytes()[..good.len() / 2].to_vec())),
        ("malformed", 400, plain(b"[[[[[[[[".repeat(10_000))),
        ("malformed", 400, report(|it| it["sequence"] = json!(-1))),
        ("malformed", 400, report(|it| it["sequence"] = json!(1e300))),
        ("invalid", 400, report(|it| it["schemaVersion"] = json!("v9"))),
        ("invalid", 400, report(|it| it["nodeName"] = json!("../w1"))),
        ("invalid", 400, report(|it| it["nodeName"] = json!("w2"))),
        ("invalid", 400, report(|it| it["pulls"][0]["percent"] = json!(101))),
        ("invalid", 400, report(|it| it["pulls"][0]["layers"][1][1] = json!(4000))),
        ("invalid", 400, report(|it| it["pulls"][0]["layers"][1][0] = json!(9))),
        ("invalid", 400, report(|it| it["agent"]["version"] = json!("x".repeat(10_000)))),
        (
            "invalid",
            400,
            report(|it| {
                let pull = it["pulls"][0].clone();
                it["pulls"].as_array_mut().unwrap().push(pull);
            }),
        ),
        ("invalid", 400, (JSON, Some("gzip"), gzip(&many(2_001)))),
        ("too_large", 413, plain(many(20_000))),
        ("too_large", 413, (JSON, Some("gzip"), gzip(&b" ".repeat(1024 * 1024 + 1)))),
        ("too_large", 413, (JSON, Some("gzip"), vec![0; 256 * 1024 + 1].into())),
        ("broken", 400, (JSON, Some("gzip"), good.clone().into())),
        ("content_type", 415, ("text/plain", None, good.clone().into())),
        ("content_type", 415, ("application/x-www-form-urlencoded", None, good.clone().into())),
        ("encoding", 415, (JSON, Some("br"), good.clone().into())),
    ];
    for (reason, status, (kind, encoding, body)) in cases {
        let shown = format!("{reason}: {:?}", body.slice(..body.len().min(60)));
        let series = format!("pulltrace_reports_rejected_total{{reason=\"{reason}\"}}");
        let counted = world.metric(&series).await.expect(&series);
        let mut request = Request::post("/api/v1/report").header(CONTENT_TYPE, kind);
        if let Some(encoding) = encoding {
            request = request.header(CONTENT_ENCODING, encoding);
        }
        let answer = world.send(request, body).await;
        assert_eq!(answer.status, status, "{shown}: {answer:?}");
        answer.assert_problem(status, reason);
        assert_eq!(world.metric(&series).await, Some(counted + 1.0), "{shown}");
    }
    let after = world.table.read(|table| (table.seq(), table.rows(None).count()));
    assert_eq!(after, (before, 1));
}

#[tokio::test]
async fn two_agents_for_one_node_conflict() {
    let world = TestServer::start().await;
    let older = |sequence| {
        let mut report = full_report("w1", sequence, &[]);
        report["timestamp"] = json!("2026-11-24T20:01:00Z");
        report
    };
    let younger = |sequence| {
        let mut report = older(sequence);
        report["agent"]["instance"] = json!("b");
        report["agent"]["startedAt"] = json!("2026-11-24T20:00:30Z");
        report
    };
    world.report(&older(1)).await;
    // Looks like a restart of the agent,
    world.report(&younger(1)).await;
    // but the first agent is still running.
    world.report(&older(2)).await;
    let rejected = world.post_report(&younger(2)).await;
    rejected.assert_problem(409, "conflict");
    let problem = rejected.json();
    assert!(
        problem["detail"]
            .as_str()
            .unwrap()
            .ends_with(". Stop one of the agents, or give each node a unique name."),
        "{problem}"
    );
    let series = "pulltrace_reports_rejected_total{reason=\"conflict\"}";
    assert_eq!(world.metric(series).await, Some(1.0));
}

#[tokio::test]
async fn incomplete_body_times_out() {
    let world = TestServer::with_settings(|server| {
        let mut limits = pulltrace_server_lib::HttpLimits::default();
        limits.report_deadline = std::time::Duration::from_millis(100);
        server.http_limits(limits)
    })
    .await;
    let mut stream = TcpStream::connect(world.address).await.unwrap();
    let head = format!(
        "POST /api/v1/report HTTP/1.1\r\nHost: {}\r\nContent-Type: {JSON}\r\nContent-Length: 100\r\n\r\n{{",
        world.address
    );
    stream.write_all(head.as_bytes()).await.unwrap();
    let mut answer = [0; 12];
    with_deadline("the response", stream.read_exact(&mut answer)).await.unwrap();
    assert_eq!(&answer, b"HTTP/1.1 408");
    let series = "pulltrace_reports_rejected_total{reason=\"timeout\"}";
    assert_eq!(world.metric(series).await, Some(1.0));
}

#[tokio::test]
async fn excess_node_is_rejected() {
    let world = TestServer::with_settings(|server| {
        let mut limits = pulltrace_server_lib::Limits::default();
        limits.nodes = 1;
        server.limits(limits)
    })
    .await;
    world.report(&full_report("w1", 1, &[])).await;
    let refused = world.post_report(&full_report("w2", 1, &[])).await;
    refused.assert_problem(503, "full");
    assert_eq!(refused.headers["retry-after"], "5");
    world.report(&full_report("w1", 2, &[])).await;
}

#[tokio::test]
async fn full_queue_rejects_reports_as_busy() {
    let mut limits = pulltrace_server_lib::Limits::default();
    limits.queue = 1;
    let access = pulltrace_server_lib::Access::new().insecure_open();
    let server = pulltrace_server_lib::Server::builder().access(access).limits(limits);
    let server = server.build().unwrap();
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    let router = server.router();
    let served = tokio::spawn(async { axum::serve(listener, router).await });
    let report = |node: &'static str| {
        let request = Request::post("/api/v1/report").header(CONTENT_TYPE, JSON);
        let body = full_report(node, 1, &[]).to_string();
        tokio::spawn(send(address, request, body.into()))
    };
    // The writer is not running: one of the two waits in the queue, and there is no room for the
    // other.
    let (first, second) = (report("w1"), report("w2"));
    let ready = send(address, Request::get("/readyz"), Bytes::new()).await;
    assert_eq!(ready.status, 503);
    let (refused, waiting) = with_deadline("one is rejected", async {
        tokio::select! {
            refused = first => (refused.unwrap(), report("w3")),
            refused = second => (refused.unwrap(), report("w3")),
        }
    })
    .await;
    refused.assert_problem(503, "busy");
    with_deadline("the other one is rejected, too", waiting)
        .await
        .unwrap()
        .assert_problem(503, "busy");
    served.abort();
}
