//! Waiting for the end of a pull.

use pulltrace_client::{Client, Filter, Target, Until, WaitError};
use pulltrace_core::wire::v1::{Outcome, PullStatus};
use tokio::task::JoinHandle;

use crate::server::{Server, within};
use crate::{client, event, id, list, place, pull};

type Waiting = JoinHandle<Result<PullStatus, WaitError>>;

fn wait(client: &Client, target: Target, until: Until) -> Waiting {
    let client = client.clone();
    tokio::spawn(async move { client.wait(&target, until).await })
}

#[tokio::test]
async fn a_pull_that_completes_is_waited_for_over_a_disconnect() {
    let mut server = Server::start().await;
    let client = client(&server).build().unwrap();
    let waiting = wait(&client, Target::Pull(id("a")), Until::Completed);
    let call = server.call().await;
    assert_eq!(call.target(), "/api/v1/events?layers=none&node=w1");
    let feed = call.stream();
    feed.send(&event("pull.started", None, &pull("a", "downloading")))
        .await;
    feed.send(&place("snapshot-end", "e1", 3)).await;
    server.call().await.json(&pull("a", "downloading"));
    feed.send(&event("pull.failed", Some(4), &pull("b", "failed")))
        .await;
    feed.cut().await;
    let feed = server.call().await.stream();
    feed.send(&event("pull.completed", Some(5), &pull("a", "completed")))
        .await;
    let pull = within(waiting).await.unwrap().unwrap();
    assert_eq!((pull.id, pull.outcome), (id("a"), Some(Outcome::Completed)));
}

#[tokio::test]
async fn a_pull_that_ended_before_is_not_waited_for() {
    for (until, known, completes) in [
        (Until::Completed, "completed", true),
        (Until::Ended, "failed", true),
        (Until::Completed, "failed", false),
    ] {
        let mut server = Server::start().await;
        let client = client(&server).build().unwrap();
        let waiting = wait(&client, Target::Pull(id("a")), until);
        let feed = server.call().await.stream();
        feed.send(&place("snapshot-end", "e1", 3)).await;
        // One refusal that a retry cures.
        server.call().await.problem(503, "busy");
        server.call().await.json(&pull("a", known));
        match within(waiting).await.unwrap() {
            Ok(pull) => assert!(completes && pull.id == id("a")),
            Err(error) => {
                assert!(
                    !completes && matches!(error, WaitError::Ended(_)),
                    "{error}"
                );
                assert!(
                    error.to_string().ends_with("ended otherwise: failed"),
                    "{error}"
                );
            }
        }
    }
}

#[tokio::test]
async fn a_pull_that_nobody_knows_is_not_waited_for() {
    let mut server = Server::start().await;
    let client = client(&server).build().unwrap();
    let error = client
        .wait(&Target::Pull("x".to_owned()), Until::Ended)
        .await;
    assert!(matches!(error, Err(WaitError::NotFound(_))));
    let waiting = wait(&client, Target::Pull(id("a")), Until::Ended);
    let feed = server.call().await.stream();
    feed.send(&place("snapshot-end", "e1", 3)).await;
    server.call().await.problem(404, "not_found");
    let error = within(waiting).await.unwrap().unwrap_err();
    assert!(matches!(error, WaitError::NotFound(_)), "{error}");
}

#[tokio::test]
async fn an_image_is_waited_for_over_failed_pulls() {
    let mut server = Server::start().await;
    let client = client(&server).build().unwrap();
    let target = Target::Any(Filter::default().image("nginx"));
    let waiting = wait(&client, target, Until::Completed);
    let call = server.call().await;
    assert_eq!(call.target(), "/api/v1/events?layers=none&image=nginx");
    let feed = call.stream();
    feed.send(&place("snapshot-end", "e1", 3)).await;
    let call = server.call().await;
    assert_eq!(
        call.target(),
        "/api/v1/pulls?layers=none&image=nginx&limit=500"
    );
    call.json(&list("e1", &[pull("a", "failed")], None));
    feed.send(&event("pull.failed", Some(4), &pull("b", "failed")))
        .await;
    feed.send(&event("pull.completed", Some(5), &pull("c", "completed")))
        .await;
    let pull = within(waiting).await.unwrap().unwrap();
    assert_eq!(pull.id, id("c"));
}

#[tokio::test]
async fn a_refusal_ends_the_wait() {
    let mut server = Server::start().await;
    let client = client(&server).build().unwrap();
    let waiting = wait(&client, Target::Any(Filter::default()), Until::Ended);
    server.call().await.problem(403, "forbidden");
    let error = within(waiting).await.unwrap().unwrap_err();
    assert!(matches!(error, WaitError::Follow(_)), "{error}");
}
