//! Tests of the event stream.

use std::pin::Pin;
use std::time::Duration;

use futures_util::{Stream, StreamExt as _};
use pulltrace_client::{
    Client, EventError, Filter, FollowError, FollowEvent, Layers, RequestError, Start,
};

use crate::server::{Server, within_deadline};
use crate::{client, event, position_event, pull};

type Events = Pin<Box<dyn Stream<Item = Result<FollowEvent, FollowError>> + Send>>;

fn follow(client: &Client, start: Start) -> Events {
    Box::pin(client.follow(&Filter::default(), start))
}

async fn next(events: &mut Events) -> FollowEvent {
    within_deadline(events.next()).await.expect("the stream has not ended").unwrap()
}

/// Describes the next item: the phase of a pull, or the kind of item.
async fn describe_next(events: &mut Events) -> String {
    match next(events).await {
        FollowEvent::Event(event) => format!("{:?}", event.pull.unwrap().phase),
        FollowEvent::SnapshotEnd(place) => format!("end {}", place.cursor),
        FollowEvent::Ping(place) => format!("ping {}", place.cursor),
        FollowEvent::Reset => "reset".to_owned(),
        FollowEvent::Disconnected { .. } => "away".to_owned(),
        other => format!("{other:?}"),
    }
}

#[tokio::test]
async fn stream_yields_snapshot_then_events() {
    let mut server = Server::start().await;
    let client = client(&server).token("s3cret").build().unwrap();
    let filter = Filter::default().image("nginx").layers(Layers::None);
    let mut events: Events = Box::pin(client.follow(&filter, Start::Snapshot));
    let (feed, _) = tokio::join!(
        async {
            let call = server.next_request().await;
            assert_eq!(call.target(), "/api/v1/events?layers=none&image=nginx");
            assert_eq!(call.header("last-event-id"), None);
            assert_eq!(call.header("authorization"), Some("Bearer s3cret"));
            let feed = call.reply_stream();
            feed.send("retry: 100\n\n: hello\n\n").await;
            feed.send(&event("pull.started", None, &pull("a", "resolving"))).await;
            feed
        },
        async { assert_eq!(describe_next(&mut events).await, "Resolving") }
    );
    feed.send(&position_event("snapshot-end", "e1", 3)).await;
    assert_eq!(describe_next(&mut events).await, "end e1-3");
    feed.send(&event("pull.completed", Some(4), &pull("a", "completed"))).await;
    feed.send(&position_event("ping", "e1", 9)).await;
    assert_eq!(describe_next(&mut events).await, "Completed");
    assert_eq!(describe_next(&mut events).await, "ping e1-9");
}

/// Accepts the stream's request and sends the first text.
async fn accept_stream(
    server: &mut Server,
    events: &mut Events,
    last: Option<&str>,
    text: &str,
) -> crate::server::Feed {
    let call = async {
        let call = server.next_request().await;
        assert_eq!(call.header("last-event-id"), last);
        let feed = call.reply_stream();
        feed.send(text).await;
        feed
    };
    let mut items = Vec::new();
    let mut call = Box::pin(call);
    // The client sends the request only while it is polled.
    loop {
        tokio::select! {
            biased;
            feed = &mut call => {
                assert_eq!(items, Vec::<String>::new());
                return feed;
            }
            word = describe_next(events) => items.push(word),
        }
    }
}

#[tokio::test]
async fn stream_resumes_from_cursor_after_disconnect() {
    let mut server = Server::start().await;
    let client = client(&server).build().unwrap();
    let mut events = follow(&client, Start::Snapshot);
    let feed =
        accept_stream(&mut server, &mut events, None, &position_event("snapshot-end", "e1", 3))
            .await;
    assert_eq!(describe_next(&mut events).await, "end e1-3");
    let progress = event("pull.progress", Some(4), &pull("a", "downloading"));
    let end = event("pull.completed", Some(5), &pull("a", "completed"));
    feed.send(&progress).await;
    // Cut in the middle of an event.
    feed.send(end.split_at(end.len() / 2).0).await;
    assert_eq!(describe_next(&mut events).await, "Downloading");
    feed.disconnect().await;
    assert_eq!(describe_next(&mut events).await, "away");
    let feed = accept_stream(&mut server, &mut events, Some("e1-4"), &end).await;
    assert_eq!(describe_next(&mut events).await, "Completed");
    drop(feed);
    assert_eq!(describe_next(&mut events).await, "away");
}

#[tokio::test]
async fn server_restart_causes_reset() {
    let mut server = Server::start().await;
    let client = client(&server).build().unwrap();
    let mut events = follow(&client, Start::Snapshot);
    let _feed =
        accept_stream(&mut server, &mut events, None, &position_event("snapshot-end", "e1", 3))
            .await;
    assert_eq!(describe_next(&mut events).await, "end e1-3");
    let mut server = server.restart().await;
    assert_eq!(describe_next(&mut events).await, "away");
    let text = [
        "event: reset\ndata: {\"reason\":\"other_epoch\"}\n\n",
        &event("pull.started", None, &pull("b", "resolving")),
        &position_event("snapshot-end", "e2", 1),
    ];
    let _feed = accept_stream(&mut server, &mut events, Some("e1-3"), &text.concat()).await;
    assert_eq!(describe_next(&mut events).await, "reset");
    assert_eq!(describe_next(&mut events).await, "Resolving");
    assert_eq!(describe_next(&mut events).await, "end e2-1");
}

#[tokio::test]
async fn interrupted_snapshot_is_restarted() {
    let mut server = Server::start().await;
    let client = client(&server).build().unwrap();
    let mut events = follow(&client, Start::Snapshot);
    let row = event("pull.started", None, &pull("a", "resolving"));
    let feed = accept_stream(&mut server, &mut events, None, &row).await;
    assert_eq!(describe_next(&mut events).await, "Resolving");
    feed.disconnect().await;
    assert_eq!(describe_next(&mut events).await, "away");
    let _feed = accept_stream(&mut server, &mut events, None, &row).await;
    assert_eq!(describe_next(&mut events).await, "reset");
    assert_eq!(describe_next(&mut events).await, "Resolving");
}

#[tokio::test]
async fn stream_starts_from_list_position() {
    let mut server = Server::start().await;
    let client = client(&server).build().unwrap();
    let list = serde_json::from_str(&crate::list("e1", &[], None)).unwrap();
    let mut events = follow(&client, Start::after(&list));
    let text = event("pull.failed", Some(8), &pull("a", "failed"));
    let _feed = accept_stream(&mut server, &mut events, Some("e1-7"), &text).await;
    assert_eq!(describe_next(&mut events).await, "Failed");
}

#[tokio::test]
async fn permanent_error_ends_stream() {
    for status in [400, 401, 403, 404, 421] {
        let mut server = Server::start().await;
        let client = client(&server).build().unwrap();
        let mut events = follow(&client, Start::Snapshot);
        let reader = tokio::spawn(async move {
            let error = within_deadline(events.next()).await.unwrap().unwrap_err();
            assert!(within_deadline(events.next()).await.is_none(), "the stream has ended");
            error
        });
        server.next_request().await.reply_problem(status, "no");
        let error = within_deadline(reader).await.unwrap();
        let RequestError::Rejected { status: actual, problem, .. } = error.request() else {
            panic!("{error:?}");
        };
        assert_eq!((*actual, problem.as_ref().unwrap().reason.as_str()), (status, "no"));
    }
}

#[tokio::test]
async fn non_stream_response_ends_stream() {
    let mut server = Server::start().await;
    let client = client(&server).build().unwrap();
    let mut events = follow(&client, Start::Snapshot);
    let reader =
        tokio::spawn(async move { within_deadline(events.next()).await.unwrap().unwrap_err() });
    server.next_request().await.reply(200, "text/html", "<html>");
    let error = within_deadline(reader).await.unwrap();
    assert!(matches!(error.request(), RequestError::NotPulltrace { .. }), "{error:?}");
}

#[tokio::test]
async fn overloaded_server_is_retried() {
    let mut server = Server::start().await;
    let client = client(&server).build().unwrap();
    let mut events = follow(&client, Start::Snapshot);
    let refuse = async {
        for _ in 0..3 {
            server.next_request().await.reply_problem(503, "readers");
        }
    };
    let disconnects = async {
        for _ in 0..3 {
            assert_eq!(describe_next(&mut events).await, "away");
        }
    };
    tokio::join!(refuse, disconnects);
    let _feed =
        accept_stream(&mut server, &mut events, None, &position_event("snapshot-end", "e1", 3))
            .await;
    assert_eq!(describe_next(&mut events).await, "end e1-3");
}

#[tokio::test]
async fn request_timeout_reports_disconnect() {
    let server = Server::start().await;
    let client = client(&server).timeout(Duration::from_millis(50)).build().unwrap();
    let mut events = follow(&client, Start::Snapshot);
    let away = next(&mut events).await;
    let FollowEvent::Disconnected { error, .. } = away else {
        panic!("{away:?}");
    };
    assert!(matches!(error, RequestError::Unreachable { .. }), "{error}");
}

#[tokio::test]
async fn idle_stream_is_reopened() {
    let mut server = Server::start().await;
    let client = client(&server).idle_timeout(Duration::from_secs(1)).build().unwrap();
    let mut events = follow(&client, Start::Snapshot);
    let _feed =
        accept_stream(&mut server, &mut events, None, &position_event("snapshot-end", "e1", 3))
            .await;
    assert_eq!(describe_next(&mut events).await, "end e1-3");
    assert_eq!(describe_next(&mut events).await, "away");
    let _feed =
        accept_stream(&mut server, &mut events, Some("e1-3"), &position_event("ping", "e1", 4))
            .await;
    assert_eq!(describe_next(&mut events).await, "ping e1-4");
}

#[tokio::test]
async fn invalid_and_oversized_events_are_skipped() {
    let mut server = Server::start().await;
    let client = client(&server).build().unwrap();
    let mut events = follow(&client, Start::Snapshot);
    let feed =
        accept_stream(&mut server, &mut events, None, "data: {\n\nevent: later\ndata: 1\n\n").await;
    let odd = next(&mut events).await;
    assert!(matches!(odd, FollowEvent::Skipped(EventError::Invalid(_))), "{odd:?}");
    let long = "x".repeat(1 << 18);
    let reader = async {
        let odd = next(&mut events).await;
        assert!(matches!(odd, FollowEvent::Skipped(EventError::TooLong)), "{odd:?}");
        describe_next(&mut events).await
    };
    let writer = async {
        feed.send("data: ").await;
        for _ in 0..5 {
            feed.send(&long).await;
        }
        feed.send("\n\n").await;
        feed.send(&event("pull.progress", Some(5), &pull("a", "downloading"))).await;
    };
    let (word, ()) = tokio::join!(reader, writer);
    assert_eq!(word, "Downloading");
}
