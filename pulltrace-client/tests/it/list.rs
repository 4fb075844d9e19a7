//! What is asked for once.

use std::time::Duration;

use pulltrace_client::{Filter, RequestError};

use crate::server::{Server, within};
use crate::{client, id, list, pull};

#[tokio::test]
async fn a_list_of_several_pages_is_one() {
    let mut server = Server::start().await;
    let client = client(&server).token("s3cret").build().unwrap();
    let asked = tokio::spawn(async move { client.pulls(&Filter::default().node("w1")).await });
    let call = server.call().await;
    assert_eq!(
        call.target(),
        "/api/v1/pulls?layers=embed&node=w1&limit=500"
    );
    assert_eq!(call.header("authorization"), Some("Bearer s3cret"));
    call.json(&list("e1", &[pull("a", "resolving")], Some(&id("a"))));
    let call = server.call().await;
    assert!(
        call.target()
            .ends_with("&continue=lease%7Ew1%7Ek8s.io%7Ea%7E0"),
        "{}",
        call.target()
    );
    call.json(&list("e1", &[pull("b", "failed")], None));
    let whole = within(asked).await.unwrap().unwrap();
    let ids: Vec<_> = whole.pulls.iter().map(|pull| pull.id.clone()).collect();
    assert_eq!(ids, [id("a"), id("b")]);
    assert_eq!((whole.seq, whole.next), (7, None));
}

#[tokio::test]
async fn a_server_that_restarts_between_two_pages_is_asked_anew() {
    let mut server = Server::start().await;
    let client = client(&server).build().unwrap();
    let asked = tokio::spawn(async move { client.pulls(&Filter::default()).await });
    let pages = [("e1", "a", Some("x")), ("e2", "b", None), ("e2", "c", None)];
    for (epoch, lease, next) in pages {
        let page = list(epoch, &[pull(lease, "resolving")], next);
        server.call().await.json(&page);
    }
    let whole = within(asked).await.unwrap().unwrap();
    assert_eq!(whole.epoch, "e2");
    assert_eq!(whole.pulls.len(), 1);
    assert_eq!(whole.pulls[0].id, id("c"));
}

#[tokio::test]
async fn a_pull_that_is_not_there_is_none_and_what_is_no_id_is_not_asked_for() {
    let mut server = Server::start().await;
    let client = client(&server).build().unwrap();
    for no_id in ["", "..", "../nodes", "x y", "lease~w1"] {
        assert!(client.pull(no_id).await.unwrap().is_none(), "{no_id}");
    }
    let other = client.clone();
    let asked = tokio::spawn(async move { other.pull(&id("a")).await });
    let call = server.call().await;
    assert_eq!(call.target(), format!("/api/v1/pulls/{}", id("a")));
    call.problem(404, "not_found");
    assert!(within(asked).await.unwrap().unwrap().is_none());
    let asked = tokio::spawn(async move { client.pull(&id("a")).await });
    server.call().await.answer(404, "text/html", "<html>");
    let error = within(asked).await.unwrap().unwrap_err();
    assert!(error.to_string().contains("answers 404"), "{error}");
}

#[tokio::test]
async fn a_server_says_what_it_is() {
    let mut server = Server::start().await;
    let client = client(&server).build().unwrap();
    let asked = tokio::spawn(async move { client.server().await });
    let call = server.call().await;
    assert_eq!(call.target(), "/api/v1/server");
    call.json(include_str!(
        "../../../pulltrace-core/tests/golden/server_status_v1.json"
    ));
    let told = within(asked).await.unwrap().unwrap();
    assert_eq!(told.cluster_name.as_deref(), Some("prod-eu-1"));
    let values = told.throughput.bytes_per_sec;
    assert_eq!(values, [None, Some(0.0), Some(123_456_789.0)]);
}

#[tokio::test]
async fn an_error_says_who_what_and_whether_to_retry() {
    let mut server = Server::start().await;
    let client = client(&server).token("s3cret").build().unwrap();
    let cases: [(u16, &str, &str, bool, &str); 6] = [
        (
            401,
            "application/problem+json",
            r#"{"status":401,"title":"A token is needed","reason":"x"}"#,
            false,
            "answers 401: A token is needed",
        ),
        (503, "text/plain", "full", true, "answers 503"),
        (429, "text/plain", "", true, "answers 429"),
        (302, "text/plain", "", false, "answers 302"),
        (200, "text/html", "<html>", false, "is no pulltrace server"),
        (200, "application/json", "{}", false, "is not understood"),
    ];
    for (status, media, body, transient, words) in cases {
        let asker = client.clone();
        let asked = tokio::spawn(async move { asker.nodes().await });
        server.call().await.answer(status, media, body);
        let error = within(asked).await.unwrap().unwrap_err();
        assert_eq!(error.is_transient(), transient, "{error}");
        assert!(error.to_string().contains(words), "{error}");
        assert!(error.to_string().contains(&server.url()), "{error}");
        assert!(!format!("{error:?}").contains("s3cret"));
    }
}

#[tokio::test]
async fn a_server_that_never_answers_is_unreachable() {
    let server = Server::start().await;
    let client = client(&server).timeout(Duration::from_millis(50));
    let error = within(client.build().unwrap().images()).await.unwrap_err();
    assert!(matches!(error, RequestError::Unreachable { .. }), "{error}");
    assert!(error.is_transient());
}
