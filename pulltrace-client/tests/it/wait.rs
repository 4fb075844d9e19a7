//! Tests of waiting for the end of a pull.

use pulltrace_client::{Client, Filter, Target, Until, WaitError};
use pulltrace_core::wire::v1::{Outcome, PullStatus};
use tokio::task::JoinHandle;

use crate::server::{Server, within_deadline};
use crate::{client, event, id, list, position_event, pull};

type Waiting = JoinHandle<Result<PullStatus, WaitError>>;

fn wait(client: &Client, target: Target, until: Until) -> Waiting {
    let client = client.clone();
    tokio::spawn(async move { client.wait(&target, until).await })
}

#[tokio::test]
async fn wait_survives_disconnect_until_completion() {
    let mut server = Server::start().await;
    let client = client(&server).build().unwrap();
    let waiting = wait(&client, Target::Pull(id("a")), Until::Completed);
    let call = server.next_request().await;
    assert_eq!(call.target(), "/api/v1/events?layers=none&node=w1");
    let feed = call.reply_stream();
    feed.send(&event("pull.started", None, &pull("a", "downloading"))).await;
    feed.send(&position_event("snapshot-end", "e1", 3)).await;
    server.next_request().await.reply_json(&pull("a", "downloading"));
    feed.send(&event("pull.failed", Some(4), &pull("b", "failed"))).await;
    feed.disconnect().await;
    let feed = server.next_request().await.reply_stream();
    feed.send(&event("pull.completed", Some(5), &pull("a", "completed"))).await;
    let pull = within_deadline(waiting).await.unwrap().unwrap();
    assert_eq!((pull.id, pull.outcome), (id("a"), Some(Outcome::Completed)));
}

#[tokio::test]
async fn wait_returns_at_once_for_ended_pull() {
    for (until, known, completes) in [
        (Until::Completed, "completed", true),
        (Until::Ended, "failed", true),
        (Until::Completed, "failed", false),
    ] {
        let mut server = Server::start().await;
        let client = client(&server).build().unwrap();
        let waiting = wait(&client, Target::Pull(id("a")), until);
        let feed = server.next_request().await.reply_stream();
        feed.send(&position_event("snapshot-end", "e1", 3)).await;
        // A transient error is retried.
        server.next_request().await.reply_problem(503, "busy");
        server.next_request().await.reply_json(&pull("a", known));
        match within_deadline(waiting).await.unwrap() {
            Ok(pull) => assert!(completes && pull.id == id("a")),
            Err(error) => {
                assert!(!completes, "{error}");
                assert!(error.to_string().ends_with(": failed"), "the outcome is named: {error}");
                let WaitError::Ended(pull) = error else { panic!("{error}") };
                assert_eq!(pull.outcome, Some(Outcome::Failed));
            }
        }
    }
}

#[tokio::test]
async fn wait_fails_for_unknown_pull() {
    let mut server = Server::start().await;
    let client = client(&server).build().unwrap();
    let error = client.wait(&Target::Pull("x".to_owned()), Until::Ended).await;
    assert!(matches!(error, Err(WaitError::NotFound(_))));
    let waiting = wait(&client, Target::Pull(id("a")), Until::Ended);
    let feed = server.next_request().await.reply_stream();
    feed.send(&position_event("snapshot-end", "e1", 3)).await;
    server.next_request().await.reply_problem(404, "not_found");
    let error = within_deadline(waiting).await.unwrap().unwrap_err();
    assert!(matches!(error, WaitError::NotFound(_)), "{error}");
}

#[tokio::test]
async fn wait_for_image_skips_failed_pulls() {
    let mut server = Server::start().await;
    let client = client(&server).build().unwrap();
    let target = Target::Any(Filter::default().image("nginx"));
    let waiting = wait(&client, target, Until::Completed);
    let call = server.next_request().await;
    assert_eq!(call.target(), "/api/v1/events?layers=none&image=nginx");
    let feed = call.reply_stream();
    feed.send(&position_event("snapshot-end", "e1", 3)).await;
    let call = server.next_request().await;
    assert_eq!(call.target(), "/api/v1/pulls?layers=none&image=nginx&limit=500");
    call.reply_json(&list("e1", &[pull("a", "failed")], None));
    feed.send(&event("pull.failed", Some(4), &pull("b", "failed"))).await;
    feed.send(&event("pull.completed", Some(5), &pull("c", "completed"))).await;
    let pull = within_deadline(waiting).await.unwrap().unwrap();
    assert_eq!(pull.id, id("c"));
}

#[tokio::test]
async fn permanent_error_ends_wait() {
    let mut server = Server::start().await;
    let client = client(&server).build().unwrap();
    let waiting = wait(&client, Target::Any(Filter::default()), Until::Ended);
    server.next_request().await.reply_problem(403, "forbidden");
    let error = within_deadline(waiting).await.unwrap().unwrap_err();
    assert!(matches!(error, WaitError::Follow(_)), "{error}");
}
