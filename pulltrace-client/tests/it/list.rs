//! Tests of single requests.

use std::time::Duration;

use pulltrace_client::{Filter, RequestError};

use crate::server::{Server, within_deadline};
use crate::{client, id, list, pull};

#[tokio::test]
async fn pulls_joins_pages() {
    let mut server = Server::start().await;
    let client = client(&server).token("s3cret").build().unwrap();
    let asked = tokio::spawn(async move { client.pulls(&Filter::default().node("w1")).await });
    let call = server.next_request().await;
    assert_eq!(call.target(), "/api/v1/pulls?layers=embed&node=w1&limit=500");
    assert_eq!(call.header("authorization"), Some("Bearer s3cret"));
    call.reply_json(&list("e1", &[pull("a", "resolving")], Some(&id("a"))));
    let call = server.next_request().await;
    assert!(call.target().ends_with("&continue=lease%7Ew1%7Ek8s.io%7Ea%7E0"), "{}", call.target());
    call.reply_json(&list("e1", &[pull("b", "failed")], None));
    let whole = within_deadline(asked).await.unwrap().unwrap();
    let ids: Vec<_> = whole.pulls.iter().map(|pull| pull.id.clone()).collect();
    assert_eq!(ids, [id("a"), id("b")]);
    assert_eq!((whole.seq, whole.next), (7, None));
}

#[tokio::test]
async fn pulls_restarts_when_epoch_changes_between_pages() {
    let mut server = Server::start().await;
    let client = client(&server).build().unwrap();
    let asked = tokio::spawn(async move { client.pulls(&Filter::default()).await });
    let pages = [("e1", "a", Some("x")), ("e2", "b", None), ("e2", "c", None)];
    for (epoch, lease, next) in pages {
        let page = list(epoch, &[pull(lease, "resolving")], next);
        server.next_request().await.reply_json(&page);
    }
    let whole = within_deadline(asked).await.unwrap().unwrap();
    assert_eq!(whole.epoch, "e2");
    assert_eq!(whole.pulls.len(), 1);
    assert_eq!(whole.pulls[0].id, id("c"));
}

#[tokio::test]
async fn pull_returns_none_for_unknown_or_malformed_id() {
    let mut server = Server::start().await;
    let client = client(&server).build().unwrap();
    for malformed in ["", "..", "../nodes", "x y", "lease~w1"] {
        assert!(client.pull(malformed).await.unwrap().is_none(), "{malformed}");
    }
    let other = client.clone();
    let asked = tokio::spawn(async move { other.pull(&id("a")).await });
    let call = server.next_request().await;
    assert_eq!(call.target(), format!("/api/v1/pulls/{}", id("a")));
    call.reply_problem(404, "not_found");
    assert!(within_deadline(asked).await.unwrap().unwrap().is_none());
    let asked = tokio::spawn(async move { client.pull(&id("a")).await });
    server.next_request().await.reply(404, "text/html", "<html>");
    let error = within_deadline(asked).await.unwrap().unwrap_err();
    assert!(matches!(error, RequestError::Rejected { status: 404, .. }), "{error}");
}

#[tokio::test]
async fn server_returns_status() {
    let mut server = Server::start().await;
    let client = client(&server).build().unwrap();
    let asked = tokio::spawn(async move { client.server().await });
    let call = server.next_request().await;
    assert_eq!(call.target(), "/api/v1/server");
    call.reply_json(include_str!("../../../pulltrace-core/tests/golden/server_status_v1.json"));
    let status = within_deadline(asked).await.unwrap().unwrap();
    assert_eq!(status.cluster_name.as_deref(), Some("prod-eu-1"));
    let values = status.throughput.bytes_per_sec;
    assert_eq!(values, [None, Some(0.0), Some(123_456_789.0)]);
}

#[tokio::test]
async fn error_names_server_status_and_transience() {
    let mut server = Server::start().await;
    let client = client(&server).token("s3cret").build().unwrap();
    let rejected = |error: &RequestError, expected: u16| matches!(error, RequestError::Rejected { status, .. } if *status == expected);
    let cases: [(u16, &str, &str, bool); 6] = [
        (
            401,
            "application/problem+json",
            r#"{"status":401,"title":"A token is needed","reason":"x"}"#,
            false,
        ),
        (503, "text/plain", "full", true),
        (429, "text/plain", "", true),
        (302, "text/plain", "", false),
        (200, "text/html", "<html>", false),
        (200, "application/json", "{}", false),
    ];
    for (status, media, body, transient) in cases {
        let asker = client.clone();
        let asked = tokio::spawn(async move { asker.nodes().await });
        server.next_request().await.reply(status, media, body);
        let error = within_deadline(asked).await.unwrap().unwrap_err();
        assert_eq!(error.is_transient(), transient, "{error}");
        let as_expected = match (status, media) {
            (200, "text/html") => matches!(error, RequestError::NotPulltrace { .. }),
            (200, _) => matches!(error, RequestError::InvalidResponse { .. }),
            _ => rejected(&error, status),
        };
        assert!(as_expected, "{error}");
        let title = match &error {
            RequestError::Rejected { problem: Some(problem), .. } => Some(&*problem.title),
            _ => None,
        };
        assert_eq!(title, (status == 401).then_some("A token is needed"), "{error}");
        assert!(error.to_string().contains(&server.url()), "{error}");
        assert!(!format!("{error:?}").contains("s3cret"));
    }
}

#[tokio::test]
async fn request_timeout_is_unreachable() {
    let server = Server::start().await;
    let client = client(&server).timeout(Duration::from_millis(50));
    let error = within_deadline(client.build().unwrap().images()).await.unwrap_err();
    assert!(matches!(error, RequestError::Unreachable { .. }), "{error}");
    assert!(error.is_transient());
}
