//! What pods wait for, listed and followed.

use std::pin::Pin;

use futures_util::{Stream, StreamExt as _};
use pulltrace_client::{Filter, FollowError, PodFollowed, RequestError};
use pulltrace_core::wire::v1::SourceState;
use tokio::sync::mpsc;

use crate::server::{Server, within};
use crate::{NOW, client};

type Pods = Pin<Box<dyn Stream<Item = Result<PodFollowed, FollowError>> + Send>>;

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
async fn pods_come_in_pages_and_are_one_list() {
    let mut server = Server::start().await;
    let client = client(&server).build().unwrap();
    let filter = Filter::default().namespace("shop").image("app");
    let asked = tokio::spawn(async move { client.pods(&filter).await });
    let call = server.call().await;
    let first = "/api/v1/pods?namespace=shop&image=app&limit=500";
    assert_eq!(call.target(), first);
    let next = r#","continue":"shop/db/u""#;
    call.answer(200, "application/json", &page("db", next));
    let call = server.call().await;
    assert_eq!(call.target(), format!("{first}&continue=shop%2Fdb%2Fu"));
    call.answer(200, "application/json", &page("web", ""));
    let list = within(asked).await.unwrap().unwrap();
    let names: Vec<_> = list.pods.iter().map(|pod| &*pod.pod_name).collect();
    assert_eq!(names, ["db", "web"]);
    let cluster = (list.cluster.pods, list.cluster.events);
    assert_eq!(cluster, (SourceState::Live, SourceState::Other));
}

#[tokio::test]
async fn a_pod_that_does_not_wait_is_none_and_what_is_refused_is_an_error() {
    let mut server = Server::start().await;
    let client = client(&server).build().unwrap();
    for (status, reason) in [
        (404, "not_found"),
        (400, "not_available"),
        (503, "not_heard"),
    ] {
        let client = client.clone();
        let asked = tokio::spawn(async move { client.pod_pulls("shop", "web").await });
        let call = server.call().await;
        assert_eq!(call.target(), WEB);
        call.problem(status, reason);
        let told = within(asked).await.unwrap();
        match told {
            Ok(None) => assert_eq!(status, 404),
            Err(RequestError::Refused { status: told, .. }) => assert_eq!(told, status),
            other => panic!("{other:?}"),
        }
    }
}

#[tokio::test]
async fn what_is_no_name_of_a_pod_asks_for_nothing_else() {
    let mut server = Server::start().await;
    let client = client(&server).build().unwrap();
    for (name, target) in [
        ("a/../b", "/api/v1/namespaces/shop/pods/a%2F..%2Fb/pulls"),
        ("x?y#z", "/api/v1/namespaces/shop/pods/x%3Fy%23z/pulls"),
    ] {
        let client = client.clone();
        let asked = tokio::spawn(async move { client.pod_pulls("shop", name).await });
        let call = server.call().await;
        assert_eq!(call.target(), target);
        call.problem(404, "not_found");
        assert!(within(asked).await.unwrap().unwrap().is_none());
    }
}

/// The words of a pod as they come; closed at the end of its stream.
fn words(mut pods: Pods) -> mpsc::Receiver<String> {
    let (told, words) = mpsc::channel(16);
    tokio::spawn(async move {
        loop {
            let word = match within(pods.next()).await {
                Some(Ok(PodFollowed::Pod(pulls))) => pulls.pod.summary,
                Some(Ok(PodFollowed::End(reason))) => format!("{reason:?}"),
                Some(Ok(PodFollowed::Away { .. })) => "away".to_owned(),
                Some(other) => format!("{other:?}"),
                None => break,
            };
            told.send(word).await.unwrap();
        }
    });
    words
}

async fn next(words: &mut mpsc::Receiver<String>) -> Option<String> {
    within(words.recv()).await
}

#[tokio::test]
async fn a_pod_is_followed_over_a_restart_until_its_end() {
    let mut server = Server::start().await;
    let client = client(&server).build().unwrap();
    let mut words = words(Box::pin(client.follow_pod("shop", "web")));
    let call = server.call().await;
    assert_eq!(call.target(), format!("{WEB}?follow=1"));
    let feed = call.stream();
    let one = pulls("one");
    feed.send(&format!("retry: 100\n\ndata: {one}\n\n")).await;
    assert_eq!(next(&mut words).await.unwrap(), "one");
    feed.send("event: ping\ndata: {}\n\nevent: later\ndata: 1\n\n")
        .await;
    feed.cut().await;
    // It is back, and does not know all pods yet.
    server.call().await.problem(503, "not_heard");
    let feed = server.call().await.stream();
    for away in ["away", "away"] {
        assert_eq!(next(&mut words).await.unwrap(), away);
    }
    feed.send(&format!("data: {}\n\n", pulls("two"))).await;
    let end = format!(r#"{{"reason":"ready","seq":9,"now":"{NOW}"}}"#);
    feed.send(&format!("event: end\ndata: {end}\n\n")).await;
    assert_eq!(next(&mut words).await.unwrap(), "two");
    assert_eq!(next(&mut words).await.unwrap(), "Ready");
    assert_eq!(next(&mut words).await, None, "nothing follows");
}

#[tokio::test]
async fn a_pod_that_went_while_the_server_was_away_is_gone() {
    let mut server = Server::start().await;
    let client = client(&server).build().unwrap();
    let mut words = words(Box::pin(client.follow_pod("shop", "web")));
    let feed = server.call().await.stream();
    feed.send(&format!("data: {}\n\n", pulls("one"))).await;
    assert_eq!(next(&mut words).await.unwrap(), "one");
    feed.cut().await;
    assert_eq!(next(&mut words).await.unwrap(), "away");
    server.call().await.problem(404, "not_found");
    assert_eq!(next(&mut words).await.unwrap(), "Gone");
    assert_eq!(next(&mut words).await, None);
}

#[tokio::test]
async fn a_pod_that_never_waited_is_an_error() {
    let mut server = Server::start().await;
    let client = client(&server).build().unwrap();
    let mut pods: Pods = Box::pin(client.follow_pod("shop", "web"));
    let told = tokio::spawn(async move { within(pods.next()).await.unwrap().unwrap_err() });
    server.call().await.problem(404, "not_found");
    let error = within(told).await.unwrap();
    assert!(error.request().to_string().contains("404"), "{error:?}");
}
