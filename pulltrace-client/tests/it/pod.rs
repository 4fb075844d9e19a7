//! Tests of pod lists and of following a pod.

use std::pin::Pin;

use futures_util::{Stream, StreamExt as _};
use pulltrace_client::{Filter, FollowError, PodFollowEvent, RequestError};
use pulltrace_core::wire::v1::SourceState;
use tokio::sync::mpsc;

use crate::server::{Server, within_deadline};
use crate::{NOW, client};

type Pods = Pin<Box<dyn Stream<Item = Result<PodFollowEvent, FollowError>> + Send>>;

const WEB: &str = "/api/v1/namespaces/shop/pods/web/pulls";

fn pod(name: &str, summary: &str) -> String {
    format!(
        r#"{{"namespace":"shop","podName":"{name}","uid":"u","nodeName":"w1","ready":false,"moving":true,"summary":"{summary}","images":[]}}"#
    )
}

fn pulls(summary: &str) -> String {
    let pod = pod("web", summary);
    format!(r#"{{"epoch":"e1","seq":7,"now":"{NOW}","pod":{pod},"pulls":[]}}"#)
}

fn page(name: &str, next: &str) -> String {
    let pod = pod(name, "");
    format!(
        r#"{{"epoch":"e1","seq":7,"now":"{NOW}","cluster":{{"pods":"live","events":"dreaming"}},"pods":[{pod}]{next}}}"#
    )
}

#[tokio::test]
async fn pods_joins_pages() {
    let mut server = Server::start().await;
    let client = client(&server).build().unwrap();
    let filter = Filter::default().namespace("shop").image("app");
    let asked = tokio::spawn(async move { client.pods(&filter).await });
    let call = server.next_request().await;
    let first = "/api/v1/pods?namespace=shop&image=app&limit=500";
    assert_eq!(call.target(), first);
    let next = r#","continue":"shop/db/u""#;
    call.reply(200, "application/json", &page("db", next));
    let call = server.next_request().await;
    assert_eq!(call.target(), format!("{first}&continue=shop%2Fdb%2Fu"));
    call.reply(200, "application/json", &page("web", ""));
    let list = within_deadline(asked).await.unwrap().unwrap();
    let names: Vec<_> = list.pods.iter().map(|pod| &*pod.pod_name).collect();
    assert_eq!(names, ["db", "web"]);
    let cluster = (list.cluster.pods, list.cluster.events);
    assert_eq!(cluster, (SourceState::Live, SourceState::Other));
}

#[tokio::test]
async fn pod_pulls_returns_none_only_for_not_found() {
    let mut server = Server::start().await;
    let client = client(&server).build().unwrap();
    for (status, reason) in [(404, "not_found"), (400, "not_available"), (503, "not_heard")] {
        let client = client.clone();
        let asked = tokio::spawn(async move { client.pod_pulls("shop", "web").await });
        let call = server.next_request().await;
        assert_eq!(call.target(), WEB);
        call.reply_problem(status, reason);
        let result = within_deadline(asked).await.unwrap();
        match result {
            Ok(None) => assert_eq!(status, 404),
            Err(RequestError::Rejected { status: received, .. }) => assert_eq!(received, status),
            other => panic!("{other:?}"),
        }
    }
}

#[tokio::test]
async fn pod_name_is_percent_encoded() {
    let mut server = Server::start().await;
    let client = client(&server).build().unwrap();
    for (name, target) in [
        ("a/../b", "/api/v1/namespaces/shop/pods/a%2F..%2Fb/pulls"),
        ("x?y#z", "/api/v1/namespaces/shop/pods/x%3Fy%23z/pulls"),
    ] {
        let client = client.clone();
        let asked = tokio::spawn(async move { client.pod_pulls("shop", name).await });
        let call = server.next_request().await;
        assert_eq!(call.target(), target);
        call.reply_problem(404, "not_found");
        assert!(within_deadline(asked).await.unwrap().unwrap().is_none());
    }
}

/// Describes the items of the stream; the channel is closed when the stream ends.
fn spawn_reader(mut pods: Pods) -> mpsc::Receiver<String> {
    let (sender, words) = mpsc::channel(16);
    tokio::spawn(async move {
        loop {
            let word = match within_deadline(pods.next()).await {
                Some(Ok(PodFollowEvent::Pod(pulls))) => pulls.pod.summary,
                Some(Ok(PodFollowEvent::End(reason))) => format!("{reason:?}"),
                Some(Ok(PodFollowEvent::Disconnected { .. })) => "away".to_owned(),
                Some(other) => format!("{other:?}"),
                None => break,
            };
            sender.send(word).await.unwrap();
        }
    });
    words
}

async fn next(words: &mut mpsc::Receiver<String>) -> Option<String> {
    within_deadline(words.recv()).await
}

#[tokio::test]
async fn follow_pod_survives_restart_until_ready() {
    let mut server = Server::start().await;
    let client = client(&server).build().unwrap();
    let mut words = spawn_reader(Box::pin(client.follow_pod("shop", "web")));
    let call = server.next_request().await;
    assert_eq!(call.target(), format!("{WEB}?follow=1"));
    let feed = call.reply_stream();
    let one = pulls("one");
    feed.send(&format!("retry: 100\n\ndata: {one}\n\n")).await;
    assert_eq!(next(&mut words).await.unwrap(), "one");
    feed.send("event: ping\ndata: {}\n\nevent: later\ndata: 1\n\n").await;
    feed.disconnect().await;
    // The restarted server has not read all pods yet.
    server.next_request().await.reply_problem(503, "not_heard");
    let feed = server.next_request().await.reply_stream();
    for away in ["away", "away"] {
        assert_eq!(next(&mut words).await.unwrap(), away);
    }
    feed.send(&format!("data: {}\n\n", pulls("two"))).await;
    let end = format!(r#"{{"reason":"ready","seq":9,"now":"{NOW}"}}"#);
    feed.send(&format!("event: end\ndata: {end}\n\n")).await;
    assert_eq!(next(&mut words).await.unwrap(), "two");
    assert_eq!(next(&mut words).await.unwrap(), "Ready");
    assert_eq!(next(&mut words).await, None, "the stream has ended");
}

#[tokio::test]
async fn pod_deleted_during_disconnect_is_gone() {
    let mut server = Server::start().await;
    let client = client(&server).build().unwrap();
    let mut words = spawn_reader(Box::pin(client.follow_pod("shop", "web")));
    let feed = server.next_request().await.reply_stream();
    feed.send(&format!("data: {}\n\n", pulls("one"))).await;
    assert_eq!(next(&mut words).await.unwrap(), "one");
    feed.disconnect().await;
    assert_eq!(next(&mut words).await.unwrap(), "away");
    server.next_request().await.reply_problem(404, "not_found");
    assert_eq!(next(&mut words).await.unwrap(), "Gone");
    assert_eq!(next(&mut words).await, None);
}

#[tokio::test]
async fn follow_pod_fails_for_unknown_pod() {
    let mut server = Server::start().await;
    let client = client(&server).build().unwrap();
    let mut pods: Pods = Box::pin(client.follow_pod("shop", "web"));
    let reader =
        tokio::spawn(async move { within_deadline(pods.next()).await.unwrap().unwrap_err() });
    server.next_request().await.reply_problem(404, "not_found");
    let error = within_deadline(reader).await.unwrap();
    assert!(matches!(error.request(), RequestError::Rejected { status: 404, .. }), "{error:?}");
}
