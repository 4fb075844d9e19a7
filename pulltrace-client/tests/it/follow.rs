//! The stream, over everything that can happen to it.

use std::pin::Pin;
use std::time::Duration;

use futures_util::{Stream, StreamExt as _};
use pulltrace_client::{
    Client, Filter, FollowError, Followed, Layers, NotUnderstood, RequestError, Start,
};

use crate::server::{Server, within};
use crate::{client, event, place, pull};

type Events = Pin<Box<dyn Stream<Item = Result<Followed, FollowError>> + Send>>;

fn follow(client: &Client, start: Start) -> Events {
    Box::pin(client.follow(&Filter::default(), start))
}

async fn next(events: &mut Events) -> Followed {
    within(events.next()).await.expect("no end").unwrap()
}

/// The word of what comes next: the phase of a pull, or what else it is.
async fn word(events: &mut Events) -> String {
    match next(events).await {
        Followed::Event(event) => format!("{:?}", event.pull.unwrap().phase),
        Followed::SnapshotEnd(place) => format!("end {}", place.cursor),
        Followed::Ping(place) => format!("ping {}", place.cursor),
        Followed::Reset => "reset".to_owned(),
        Followed::Away { .. } => "away".to_owned(),
        other => format!("{other:?}"),
    }
}

#[tokio::test]
async fn a_reader_is_told_what_there_is_and_then_what_happens() {
    let mut server = Server::start().await;
    let client = client(&server).token("s3cret").build().unwrap();
    let filter = Filter::default().image("nginx").layers(Layers::None);
    let mut events: Events = Box::pin(client.follow(&filter, Start::Snapshot));
    let (feed, _) = tokio::join!(
        async {
            let call = server.call().await;
            assert_eq!(call.target(), "/api/v1/events?layers=none&image=nginx");
            assert_eq!(call.header("last-event-id"), None);
            assert_eq!(call.header("authorization"), Some("Bearer s3cret"));
            let feed = call.stream();
            feed.send("retry: 100\n\n: hello\n\n").await;
            feed.send(&event("pull.started", None, &pull("a", "resolving")))
                .await;
            feed
        },
        async { assert_eq!(word(&mut events).await, "Resolving") }
    );
    feed.send(&place("snapshot-end", "e1", 3)).await;
    assert_eq!(word(&mut events).await, "end e1-3");
    feed.send(&event("pull.completed", Some(4), &pull("a", "completed")))
        .await;
    feed.send(&place("ping", "e1", 9)).await;
    assert_eq!(word(&mut events).await, "Completed");
    assert_eq!(word(&mut events).await, "ping e1-9");
}

/// Opens the stream, with what it says at first.
async fn opened(
    server: &mut Server,
    events: &mut Events,
    last: Option<&str>,
    text: &str,
) -> crate::server::Feed {
    let call = async {
        let call = server.call().await;
        assert_eq!(call.header("last-event-id"), last);
        let feed = call.stream();
        feed.send(text).await;
        feed
    };
    let mut said = Vec::new();
    let mut call = Box::pin(call);
    // The client asks only while it is polled.
    loop {
        tokio::select! {
            biased;
            feed = &mut call => {
                assert_eq!(said, Vec::<String>::new());
                return feed;
            }
            word = word(events) => said.push(word),
        }
    }
}

#[tokio::test]
async fn a_reader_that_is_cut_off_goes_on_from_where_it_was() {
    let mut server = Server::start().await;
    let client = client(&server).build().unwrap();
    let mut events = follow(&client, Start::Snapshot);
    let feed = opened(
        &mut server,
        &mut events,
        None,
        &place("snapshot-end", "e1", 3),
    )
    .await;
    assert_eq!(word(&mut events).await, "end e1-3");
    let progress = event("pull.progress", Some(4), &pull("a", "downloading"));
    let end = event("pull.completed", Some(5), &pull("a", "completed"));
    feed.send(&progress).await;
    // In the middle of an event.
    feed.send(end.split_at(end.len() / 2).0).await;
    assert_eq!(word(&mut events).await, "Downloading");
    feed.cut().await;
    assert_eq!(word(&mut events).await, "away");
    let feed = opened(&mut server, &mut events, Some("e1-4"), &end).await;
    assert_eq!(word(&mut events).await, "Completed");
    drop(feed);
    assert_eq!(word(&mut events).await, "away");
}

#[tokio::test]
async fn a_server_that_restarts_makes_its_readers_begin_anew() {
    let mut server = Server::start().await;
    let client = client(&server).build().unwrap();
    let mut events = follow(&client, Start::Snapshot);
    let _feed = opened(
        &mut server,
        &mut events,
        None,
        &place("snapshot-end", "e1", 3),
    )
    .await;
    assert_eq!(word(&mut events).await, "end e1-3");
    let mut server = server.restart().await;
    assert_eq!(word(&mut events).await, "away");
    let text = [
        "event: reset\ndata: {\"reason\":\"other_epoch\"}\n\n",
        &event("pull.started", None, &pull("b", "resolving")),
        &place("snapshot-end", "e2", 1),
    ];
    let _feed = opened(&mut server, &mut events, Some("e1-3"), &text.concat()).await;
    assert_eq!(word(&mut events).await, "reset");
    assert_eq!(word(&mut events).await, "Resolving");
    assert_eq!(word(&mut events).await, "end e2-1");
}

#[tokio::test]
async fn a_snapshot_that_is_cut_off_is_begun_anew() {
    let mut server = Server::start().await;
    let client = client(&server).build().unwrap();
    let mut events = follow(&client, Start::Snapshot);
    let row = event("pull.started", None, &pull("a", "resolving"));
    let feed = opened(&mut server, &mut events, None, &row).await;
    assert_eq!(word(&mut events).await, "Resolving");
    feed.cut().await;
    assert_eq!(word(&mut events).await, "away");
    let _feed = opened(&mut server, &mut events, None, &row).await;
    assert_eq!(word(&mut events).await, "reset");
    assert_eq!(word(&mut events).await, "Resolving");
}

#[tokio::test]
async fn a_reader_may_begin_where_a_list_was() {
    let mut server = Server::start().await;
    let client = client(&server).build().unwrap();
    let list = serde_json::from_str(&crate::list("e1", &[], None)).unwrap();
    let mut events = follow(&client, Start::after(&list));
    let text = event("pull.failed", Some(8), &pull("a", "failed"));
    let _feed = opened(&mut server, &mut events, Some("e1-7"), &text).await;
    assert_eq!(word(&mut events).await, "Failed");
}

#[tokio::test]
async fn what_no_retry_cures_is_the_end() {
    for status in [400, 401, 403, 404, 421] {
        let mut server = Server::start().await;
        let client = client(&server).build().unwrap();
        let mut events = follow(&client, Start::Snapshot);
        let told = tokio::spawn(async move {
            let error = within(events.next()).await.unwrap().unwrap_err();
            assert!(within(events.next()).await.is_none(), "nothing follows");
            error
        });
        server.call().await.problem(status, "no");
        let error = within(told).await.unwrap();
        let RequestError::Refused {
            status: told,
            problem,
            ..
        } = error.request()
        else {
            panic!("{error:?}");
        };
        assert_eq!(
            (*told, problem.as_ref().unwrap().reason.as_str()),
            (status, "no")
        );
    }
}

#[tokio::test]
async fn what_is_no_stream_is_the_end() {
    let mut server = Server::start().await;
    let client = client(&server).build().unwrap();
    let mut events = follow(&client, Start::Snapshot);
    let told = tokio::spawn(async move { within(events.next()).await.unwrap().unwrap_err() });
    server.call().await.answer(200, "text/html", "<html>");
    let error = within(told).await.unwrap();
    assert!(
        matches!(error.request(), RequestError::NotOurs { .. }),
        "{error:?}"
    );
}

#[tokio::test]
async fn a_server_that_is_full_is_asked_again() {
    let mut server = Server::start().await;
    let client = client(&server).build().unwrap();
    let mut events = follow(&client, Start::Snapshot);
    let refuse = async {
        for _ in 0..3 {
            server.call().await.problem(503, "readers");
        }
    };
    let told = async {
        for _ in 0..3 {
            assert_eq!(word(&mut events).await, "away");
        }
    };
    tokio::join!(refuse, told);
    let _feed = opened(
        &mut server,
        &mut events,
        None,
        &place("snapshot-end", "e1", 3),
    )
    .await;
    assert_eq!(word(&mut events).await, "end e1-3");
}

#[tokio::test]
async fn a_server_that_never_answers_is_away() {
    let server = Server::start().await;
    let client = client(&server)
        .timeout(Duration::from_millis(50))
        .build()
        .unwrap();
    let mut events = follow(&client, Start::Snapshot);
    let away = next(&mut events).await;
    let Followed::Away { error, .. } = away else {
        panic!("{away:?}");
    };
    assert!(matches!(error, RequestError::Unreachable { .. }), "{error}");
}

#[tokio::test]
async fn a_stream_that_falls_silent_is_opened_anew() {
    let mut server = Server::start().await;
    let client = client(&server)
        .silence(Duration::from_secs(1))
        .build()
        .unwrap();
    let mut events = follow(&client, Start::Snapshot);
    let _feed = opened(
        &mut server,
        &mut events,
        None,
        &place("snapshot-end", "e1", 3),
    )
    .await;
    assert_eq!(word(&mut events).await, "end e1-3");
    assert_eq!(word(&mut events).await, "away");
    let _feed = opened(
        &mut server,
        &mut events,
        Some("e1-3"),
        &place("ping", "e1", 4),
    )
    .await;
    assert_eq!(word(&mut events).await, "ping e1-4");
}

#[tokio::test]
async fn what_is_not_understood_is_passed_over_and_said() {
    let mut server = Server::start().await;
    let client = client(&server).build().unwrap();
    let mut events = follow(&client, Start::Snapshot);
    let feed = opened(
        &mut server,
        &mut events,
        None,
        "data: {\n\nevent: later\ndata: 1\n\n",
    )
    .await;
    let odd = next(&mut events).await;
    assert!(
        matches!(odd, Followed::NotUnderstood(NotUnderstood::Event(_))),
        "{odd:?}"
    );
    let long = "x".repeat(1 << 18);
    let reader = async {
        let odd = next(&mut events).await;
        assert!(
            matches!(odd, Followed::NotUnderstood(NotUnderstood::TooLong)),
            "{odd:?}"
        );
        word(&mut events).await
    };
    let writer = async {
        feed.send("data: ").await;
        for _ in 0..5 {
            feed.send(&long).await;
        }
        feed.send("\n\n").await;
        feed.send(&event("pull.progress", Some(5), &pull("a", "downloading")))
            .await;
    };
    let (word, ()) = tokio::join!(reader, writer);
    assert_eq!(word, "Downloading");
}
