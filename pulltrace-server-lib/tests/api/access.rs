//! Authorization and security headers.

use hyper::Request;
use hyper::body::Bytes;
use hyper::header::{AUTHORIZATION, CONTENT_TYPE, HOST, WWW_AUTHENTICATE};
use pulltrace_server_lib::{Access, Listener, Server};

use crate::test_server::{TestServer, full_report, send};

async fn with_tokens() -> TestServer {
    TestServer::with_settings(|server| {
        let access = Access::new().agent_token("for-agents").unwrap();
        server.access(access.reader_token("for-readers").unwrap())
    })
    .await
}

#[tokio::test]
async fn every_reader_path_requires_reader_token() {
    let world = with_tokens().await;
    for path in ["pulls", "pulls/x", "nodes", "images", "events", "openapi.json"] {
        let path = format!("/api/v1/{path}");
        let refused = world.get(&path).await;
        refused.assert_problem(401, "unauthorized");
        assert_eq!(refused.headers[WWW_AUTHENTICATE], "Bearer realm=\"pulltrace\"");
        for wrong in ["Bearer for-agents", "Bearer ", "Basic for-readers", "for-readers"] {
            let request = Request::get(&path).header(AUTHORIZATION, wrong);
            let refused = world.send(request, Bytes::new()).await;
            assert_eq!(refused.status, 401, "{path} {wrong}");
        }
    }
    let request = Request::get("/api/v1/pulls").header(AUTHORIZATION, "Bearer for-readers");
    assert_eq!(world.send(request, Bytes::new()).await.status, 200);
    for open in ["/healthz", "/readyz"] {
        assert_eq!(world.get(open).await.status, 200, "{open}");
    }
}

#[tokio::test]
async fn report_requires_agent_token() {
    let world = with_tokens().await;
    let report = full_report("w1", 1, &[]);
    world.post_report(&report).await.assert_problem(401, "unauthorized");
    let series = "pulltrace_reports_rejected_total{reason=\"unauthorized\"}";
    assert_eq!(world.metric(series).await, Some(1.0));
    let send = |token: &str| {
        let request = Request::post("/api/v1/report")
            .header(CONTENT_TYPE, "application/json")
            .header(AUTHORIZATION, format!("Bearer {token}"));
        world.send(request, report.to_string().into())
    };
    assert_eq!(send("for-readers").await.status, 401);
    assert_eq!(send("for-agents").await.status, 202);
}

#[tokio::test]
async fn foreign_host_header_is_rejected() {
    let world = TestServer::start().await;
    let request = || Request::get("/api/v1/pulls");
    for host in ["evil.example", "evil.example:80"] {
        let answer = world.send(request().header(HOST, host), Bytes::new()).await;
        answer.assert_problem(421, "host");
    }
    let evil = Request::post("/api/v1/report")
        .header(HOST, "evil.example")
        .header(CONTENT_TYPE, "application/json");
    let body = full_report("w1", 1, &[]).to_string();
    world.send(evil, body.into()).await.assert_problem(421, "host");
    let local = request().header(HOST, "localhost:1");
    assert_eq!(world.send(local, Bytes::new()).await.status, 200);
}

#[tokio::test]
async fn every_response_has_security_headers() {
    let world = TestServer::start().await;
    for path in ["/", "/healthz", "/api/v1/pulls", "/api/v1/nothing"] {
        let headers = world.get(path).await.headers;
        let policy = headers["content-security-policy"].to_str().unwrap();
        assert!(policy.starts_with("default-src 'none'; script-src 'self';"), "{policy}");
        assert!(policy.ends_with("; frame-ancestors 'none'"), "{policy}");
        assert_eq!(headers["x-content-type-options"], "nosniff", "{path}");
        assert_eq!(headers["referrer-policy"], "no-referrer", "{path}");
        assert_eq!(headers["cross-origin-resource-policy"], "same-origin", "{path}");
    }
}

#[tokio::test]
async fn configured_frame_ancestors_appear_in_policy() {
    let sites = "self,https://grafana.example".parse().unwrap();
    let world = TestServer::with_settings(|server| server.frame_ancestors(sites)).await;
    for path in ["/", "/api/v1/pulls", "/api/v1/nothing"] {
        let headers = world.get(path).await.headers;
        let policy = headers["content-security-policy"].to_str().unwrap();
        let (rest, ancestors) = policy.split_once("; frame-ancestors ").unwrap();
        assert!(rest.starts_with("default-src 'none';"), "{policy}");
        assert_eq!(ancestors, "'self' https://grafana.example", "{path}");
        // It would override the policy.
        assert!(!headers.contains_key("x-frame-options"), "{path}");
    }
    let metrics = send(world.metrics, Request::get("/metrics"), Bytes::new()).await;
    let policy = metrics.headers["content-security-policy"].to_str().unwrap();
    assert!(policy.ends_with("; frame-ancestors 'none'"), "{policy}");
}

#[tokio::test]
async fn public_listener_requires_insecure_open_or_tokens() {
    let everywhere = || async { Listener::bind("0.0.0.0:0".parse().unwrap()).await.unwrap() };
    let mut closed = Server::builder().build().unwrap();
    assert!(closed.listen(everywhere().await).is_err());
    let access = Access::new().insecure_open();
    let mut open = Server::builder().access(access).build().unwrap();
    open.listen(everywhere().await).unwrap();
}

#[tokio::test]
async fn mounted_router_denies_access_by_default() {
    let server = Server::builder().build().unwrap();
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    let app = axum::Router::new().nest("/pulltrace", server.router());
    let served = tokio::spawn(async { axum::serve(listener, app).await });
    let get = |path: &'static str| send(address, Request::get(path), Bytes::new());
    get("/pulltrace/api/v1/pulls").await.assert_problem(403, "forbidden");
    assert_eq!(get("/pulltrace/healthz").await.status, 200);
    served.abort();

    let access = Access::new().insecure_open();
    let server = Server::builder().access(access).build().unwrap();
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    let app = axum::Router::new().nest("/pulltrace", server.router());
    let served = tokio::spawn(async { axum::serve(listener, app).await });
    let list = send(address, Request::get("/pulltrace/api/v1/pulls"), Bytes::new()).await;
    assert_eq!(list.status, 200);
    served.abort();
}
