//! Why it failed, which try it was, and when the next one comes.

use pulltrace_core::{FailureReason, Outcome, Phase};

use super::world::{
    World, at, completed, failed, fails, lease, pod, pulled, pulling, resolved, says, waiting,
};
use crate::cluster::Seen;

const APP: &str = "registry.test/shop/app:1";
const NOT_FOUND: &str = "rpc error: code = NotFound desc = failed to pull and unpack image \"registry.test/shop/app:1\": failed to resolve reference \"registry.test/shop/app:1\": registry.test/shop/app:1: not found";

fn again(count: u32, last: f64) -> (crate::cluster::PullEvent, crate::cluster::PullEvent) {
    let message = format!("Pulling image \"{APP}\"");
    (
        says("web", "app", "Pulling", &message, (1.0, last, count)),
        fails("web", "app", APP, NOT_FOUND, (1.0, last, count)),
    )
}

#[test]
fn a_failure_that_is_heard_before_its_announcement_is_one_row() {
    let mut world = World::new();
    world.apply(pod("web", vec![waiting("app", APP)]));
    let message = format!("Pulling image \"{APP}\"");
    world.hear(fails("web", "app", APP, NOT_FOUND, (2.0, 2.0, 1)));
    world.hear(says("web", "app", "Pulling", &message, (1.0, 1.0, 1)));
    let [(pull, links)] = world.announced()[..] else {
        panic!("one row: {:#?}", world.announced())
    };
    assert_eq!(pull.phase, Phase::Ended(Outcome::Failed));
    assert_eq!((pull.started_at, links.attempt), (at(1.0), Some(1)));
    world.pass(20);
    assert_eq!(world.ended.len(), 1);
}

#[test]
fn a_failure_before_any_lease_is_a_row_with_its_reason_and_its_next_try() {
    let mut world = World::new();
    world.apply(pod("web", vec![waiting("app", APP)]));
    let (announced, failed) = again(1, 1.0);
    world.hear(announced);
    world.hear(failed);
    let [(pull, links)] = world.announced()[..] else {
        panic!("one row")
    };
    assert_eq!(pull.phase, Phase::Ended(Outcome::Failed));
    let failure = pull.failure.as_ref().unwrap();
    assert_eq!(failure.reason, FailureReason::NotFound);
    assert_eq!(failure.message.as_deref(), Some(NOT_FOUND));
    assert_eq!(
        (links.attempt, links.next_retry_at),
        (Some(1), Some(at(11.0)))
    );
    let first = pull.id.clone();
    assert_eq!(
        world.summary("web"),
        "waits for 1 image: registry.test/shop/app:1 cannot be pulled: not_found"
    );

    world.pass(11);
    let (announced, failed) = again(2, 12.0);
    world.hear(announced);
    world.hear(failed);
    let [(pull, links)] = world.announced()[..] else {
        panic!("the story goes on in one row")
    };
    assert_eq!(
        (links.attempt, links.next_retry_at),
        (Some(2), Some(at(32.0)))
    );
    assert_eq!(links.supersedes, Some(first));
    assert_eq!(pull.started_at, at(12.0));
    world.pass(20);
    let counted: Vec<_> = world.ended.iter().map(|end| end.reason).collect();
    assert_eq!(
        counted,
        [Some(FailureReason::NotFound); 2],
        "each try counts once"
    );
}

#[test]
fn a_failure_of_one_second_is_not_that_of_a_try_of_the_next() {
    let mut world = World::new();
    for (count, last) in [(1, 1.0), (2, 12.0)] {
        let (announced, failed) = again(count, last);
        world.hear(announced);
        world.hear(failed);
    }
    world.hear(again(3, 13.0).0);
    let pull = resolved(lease(1, 13.1), "registry.test/shop/app", 'a');
    world.tell(&pull);
    assert_eq!(world.pods_of(&pull), ["web/app by event"]);
    assert_eq!(world.row(&pull).1.attempt, Some(3));
}

#[test]
fn a_server_that_starts_in_the_middle_counts_the_tries_too() {
    let mut world = World::new();
    let (announced, failed) = again(4, 90.0);
    world.hear(failed);
    world.hear(announced);
    let [(_, links)] = world.announced()[..] else {
        panic!("one row")
    };
    assert_eq!(links.attempt, Some(4));
}

#[test]
fn a_pull_that_failed_for_the_runtime_alone_gets_the_kubelets_reason() {
    let mut world = World::new();
    world.hear(pulling("web", "app", APP, 1.0));
    let pull = resolved(lease(1, 1.2), "registry.test/shop/app", 'a');
    world.tell(&pull);
    let pull = failed(pull, 5.0);
    world.tell(&pull);
    assert_eq!(
        world.row(&pull).0.failure.as_ref().unwrap().reason,
        FailureReason::Unexplained
    );
    assert!(
        world.ended.is_empty(),
        "it is counted once the kubelet had its say"
    );
    world.hear(fails(
        "web",
        "app",
        APP,
        "failed to pull and unpack image: failed to copy: httpReadSeeker: failed open: unexpected status code https://registry.test/v2/shop/app/blobs/sha256:aa: 503 Service Unavailable",
        (5.0, 5.0, 1),
    ));
    let (shown, links) = world.row(&pull);
    assert_eq!(
        shown.failure.as_ref().unwrap().reason,
        FailureReason::RegistryError
    );
    assert_eq!(links.next_retry_at, Some(at(15.0)));
    let reasons: Vec<_> = world.ended.iter().map(|end| end.reason).collect();
    assert_eq!(reasons, [Some(FailureReason::RegistryError)]);
    assert!(world.announced().is_empty(), "it has its row");
    // The back-off says less.
    world.hear(says(
        "web",
        "app",
        "BackOff",
        &format!("Back-off pulling image \"{APP}\""),
        (6.0, 6.0, 1),
    ));
    assert_eq!(
        world.row(&pull).0.failure.as_ref().unwrap().reason,
        FailureReason::RegistryError
    );
}

#[test]
fn an_end_that_nobody_explains_is_counted_as_that_after_a_while() {
    let mut world = World::new();
    world.hear(pulling("web", "app", APP, 1.0));
    let pull = failed(lease(1, 1.2), 5.0);
    world.tell(&pull);
    world.pass(9);
    assert!(world.ended.is_empty());
    world.pass(2);
    assert_eq!(world.ended[0].reason, Some(FailureReason::Unexplained));
    assert_eq!(world.ended.len(), 1);
}

#[test]
fn a_pull_that_the_runtime_broke_off_failed_and_is_tried_again() {
    let mut world = World::new();
    world.hear(pulling("web", "app", APP, 1.0));
    let pull = failed(resolved(lease(1, 1.2), "registry.test/shop/app", 'a'), 5.0);
    world.tell(&pull);
    world.hear(fails(
        "web",
        "app",
        APP,
        "rpc error: code = Canceled desc = context canceled",
        (5.0, 5.0, 1),
    ));
    let (shown, links) = world.row(&pull);
    assert_eq!(
        shown.phase,
        Phase::Ended(Outcome::Failed),
        "nobody called it off"
    );
    assert_eq!(
        shown.failure.as_ref().unwrap().reason,
        FailureReason::Cancelled
    );
    assert_eq!(links.next_retry_at, Some(at(15.0)));
    assert_eq!(world.ended[0].outcome, Outcome::Failed);
}

#[test]
fn a_retry_is_the_second_try_of_the_same_image() {
    let mut world = World::new();
    world.hear(pulling("web", "app", APP, 1.0));
    let first = failed(resolved(lease(1, 1.2), "registry.test/shop/app", 'a'), 3.0);
    world.tell(&first);
    world.hear(fails("web", "app", APP, NOT_FOUND, (3.0, 3.0, 1)));
    world.pass(12);
    let message = format!("Pulling image \"{APP}\"");
    world.hear(says("web", "app", "Pulling", &message, (1.0, 14.0, 2)));
    let second = completed(
        resolved(lease(2, 14.1), "registry.test/shop/app", 'a'),
        16.0,
        &[APP],
    );
    world.tell(&second);
    world.hear(pulled("web", "app", APP, 16.0, 1.9, 1.9));
    assert_eq!(world.row(&first).1.attempt, Some(1));
    assert_eq!(world.row(&second).1.attempt, Some(2));
    assert_eq!(world.pods_of(&first), ["web/app by learned_tag"]);
    assert_eq!(world.pods_of(&second), ["web/app by image_record"]);
    // A container that is started again much later begins at 1.
    world.hear(says("web", "app", "Pulling", &message, (1.0, 300.0, 3)));
    let third = resolved(lease(3, 300.1), "registry.test/shop/app", 'a');
    world.tell(&third);
    assert_eq!(world.row(&third).1.attempt, Some(1));
}

#[test]
fn names_that_are_none_and_pulls_that_are_forbidden_are_rows_without_a_try() {
    let mut world = World::new();
    world.apply(pod("bad", vec![waiting("app", "registry.test/UPPER:1")]));
    let message = "Failed to apply default image tag \"registry.test/UPPER:1\": couldn't parse image name \"registry.test/UPPER:1\": invalid reference format: repository name (library/UPPER) must be lowercase";
    world.hear(says("bad", "app", "InspectFailed", message, (1.0, 1.0, 1)));
    let never = format!("Container image \"{APP}\" is not present with pull policy of Never");
    world.hear(says(
        "never",
        "app",
        "ErrImageNeverPull",
        &never,
        (1.0, 1.0, 1),
    ));
    let mut reasons: Vec<_> = world
        .announced()
        .iter()
        .map(|(pull, links)| (pull.failure.as_ref().unwrap().reason, links.next_retry_at))
        .collect();
    reasons.sort();
    assert_eq!(
        reasons,
        [
            (FailureReason::InvalidName, None),
            (FailureReason::NeverPull, None)
        ]
    );
    let ids: Vec<_> = world.rows.keys().cloned().collect();
    // It is said again and again.
    world.hear(says("bad", "app", "InspectFailed", message, (1.0, 60.0, 6)));
    assert_eq!(world.rows.keys().cloned().collect::<Vec<_>>(), ids);
    let image = |text: &str| world.pods["uid-bad"].images[0].image.to_string() == text;
    assert!(image("registry.test/UPPER:1"));
}

#[test]
fn without_events_the_pods_status_tells_why() {
    let mut world = World::deaf();
    world.listen_to_pods();
    world.apply(pod("web", vec![waiting("app", APP)]));
    let pull = resolved(lease(1, 1.2), "registry.test/shop/app", 'a');
    world.tell(&pull);
    let pull = failed(pull, 5.0);
    world.tell(&pull);
    let mut image = waiting("app", APP);
    image.state = Seen::Waiting {
        reason: Some("ErrImagePull".into()),
        message: Some(NOT_FOUND.into()),
    };
    world.apply(pod("web", vec![image]));
    assert_eq!(
        world.row(&pull).0.failure.as_ref().unwrap().reason,
        FailureReason::NotFound
    );
    assert_eq!(world.pods_of(&pull), ["web/app by only_candidate"]);
    assert!(
        world
            .summary("web")
            .ends_with("cannot be pulled: not_found")
    );
}

#[test]
fn too_many_pulls_a_second_for_the_kubelet_are_no_word_of_the_registry() {
    let mut world = World::new();
    world.hear(pulling("web", "app", APP, 1.0));
    world.hear(fails("web", "app", APP, "pull QPS exceeded", (1.0, 1.0, 1)));
    let reason = world.announced()[0].0.failure.as_ref().unwrap().reason;
    assert_eq!(reason, FailureReason::KubeletQps);
}
