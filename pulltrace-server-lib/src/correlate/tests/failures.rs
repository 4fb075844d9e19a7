//! Failure reasons, attempt numbers and retry times.

use pulltrace_core::{FailureReason, Outcome, Phase};

use super::world::{
    World, at, completed, failed, failed_event, kubelet_event, lease, pod, pulled_event,
    pulling_event, resolved, waiting,
};
use crate::cluster::ImagePresence;

const APP: &str = "registry.test/shop/app:1";
const NOT_FOUND: &str = "rpc error: code = NotFound desc = failed to pull and unpack image \"registry.test/shop/app:1\": failed to resolve reference \"registry.test/shop/app:1\": registry.test/shop/app:1: not found";

fn retry_events(count: u32, last: f64) -> (crate::cluster::PullEvent, crate::cluster::PullEvent) {
    let message = format!("Pulling image \"{APP}\"");
    (
        kubelet_event("web", "app", "Pulling", &message, (1.0, last, count)),
        failed_event("web", "app", APP, NOT_FOUND, (1.0, last, count)),
    )
}

#[test]
fn failure_received_before_announcement_makes_one_row() {
    let mut world = World::new();
    world.update_pod(pod("web", vec![waiting("app", APP)]));
    let message = format!("Pulling image \"{APP}\"");
    world.emit_event(failed_event("web", "app", APP, NOT_FOUND, (2.0, 2.0, 1)));
    world.emit_event(kubelet_event("web", "app", "Pulling", &message, (1.0, 1.0, 1)));
    let [(pull, links)] = world.announced_rows()[..] else {
        panic!("expected one row: {:#?}", world.announced_rows())
    };
    assert_eq!(pull.phase, Phase::Ended(Outcome::Failed));
    assert_eq!((pull.started_at, links.attempt), (at(1.0), Some(1)));
    world.advance(20);
    assert_eq!(world.ended.len(), 1);
}

#[test]
fn failure_without_lease_has_reason_and_retry_time() {
    let mut world = World::new();
    world.update_pod(pod("web", vec![waiting("app", APP)]));
    let (announced, failed) = retry_events(1, 1.0);
    world.emit_event(announced);
    world.emit_event(failed);
    let [(pull, links)] = world.announced_rows()[..] else { panic!("expected one row") };
    assert_eq!(pull.phase, Phase::Ended(Outcome::Failed));
    let failure = pull.failure.as_ref().unwrap();
    assert_eq!(failure.reason, FailureReason::NotFound);
    assert_eq!(failure.message.as_deref(), Some(NOT_FOUND));
    assert_eq!((links.attempt, links.next_retry_at), (Some(1), Some(at(11.0))));
    let first = pull.id.clone();
    assert_eq!(
        world.pod_summary("web"),
        "waits for 1 image: registry.test/shop/app:1 cannot be pulled: not_found"
    );

    world.advance(11);
    let (announced, failed) = retry_events(2, 12.0);
    world.emit_event(announced);
    world.emit_event(failed);
    let [(pull, links)] = world.announced_rows()[..] else {
        panic!("expected one row after the retry")
    };
    assert_eq!((links.attempt, links.next_retry_at), (Some(2), Some(at(32.0))));
    assert_eq!(links.supersedes, Some(first));
    assert_eq!(pull.started_at, at(12.0));
    world.advance(20);
    let counted: Vec<_> = world.ended.iter().map(|end| end.reason).collect();
    assert_eq!(counted, [Some(FailureReason::NotFound); 2], "each attempt is counted once");
}

#[test]
fn failure_belongs_to_attempt_of_same_second() {
    let mut world = World::new();
    for (count, last) in [(1, 1.0), (2, 12.0)] {
        let (announced, failed) = retry_events(count, last);
        world.emit_event(announced);
        world.emit_event(failed);
    }
    world.emit_event(retry_events(3, 13.0).0);
    let pull = resolved(lease(1, 13.1), "registry.test/shop/app", 'a');
    world.report_pull(&pull);
    assert_eq!(world.linked_pods(&pull), ["web/app by event"]);
    assert_eq!(world.row(&pull).1.attempt, Some(3));
}

#[test]
fn attempt_number_survives_server_restart() {
    let mut world = World::new();
    let (announced, failed) = retry_events(4, 90.0);
    world.emit_event(failed);
    world.emit_event(announced);
    let [(_, links)] = world.announced_rows()[..] else { panic!("expected one row") };
    assert_eq!(links.attempt, Some(4));
}

#[test]
fn unexplained_failure_takes_kubelet_reason() {
    let mut world = World::new();
    world.emit_event(pulling_event("web", "app", APP, 1.0));
    let pull = resolved(lease(1, 1.2), "registry.test/shop/app", 'a');
    world.report_pull(&pull);
    let pull = failed(pull, 5.0);
    world.report_pull(&pull);
    assert_eq!(world.row(&pull).0.failure.as_ref().unwrap().reason, FailureReason::Unexplained);
    assert!(world.ended.is_empty(), "it waits for the kubelet's reason");
    world.emit_event(failed_event(
        "web",
        "app",
        APP,
        "failed to pull and unpack image: failed to copy: httpReadSeeker: failed open: unexpected status code https://registry.test/v2/shop/app/blobs/sha256:aa: 503 Service Unavailable",
        (5.0, 5.0, 1),
    ));
    let (shown, links) = world.row(&pull);
    assert_eq!(shown.failure.as_ref().unwrap().reason, FailureReason::RegistryError);
    assert_eq!(links.next_retry_at, Some(at(15.0)));
    let reasons: Vec<_> = world.ended.iter().map(|end| end.reason).collect();
    assert_eq!(reasons, [Some(FailureReason::RegistryError)]);
    assert!(world.announced_rows().is_empty(), "the pull has a row already");
    // The back-off event is less specific.
    world.emit_event(kubelet_event(
        "web",
        "app",
        "BackOff",
        &format!("Back-off pulling image \"{APP}\""),
        (6.0, 6.0, 1),
    ));
    assert_eq!(world.row(&pull).0.failure.as_ref().unwrap().reason, FailureReason::RegistryError);
}

#[test]
fn unexplained_end_is_counted_after_ten_seconds() {
    let mut world = World::new();
    world.emit_event(pulling_event("web", "app", APP, 1.0));
    let pull = failed(lease(1, 1.2), 5.0);
    world.report_pull(&pull);
    world.advance(9);
    assert!(world.ended.is_empty());
    world.advance(2);
    assert_eq!(world.ended[0].reason, Some(FailureReason::Unexplained));
    assert_eq!(world.ended.len(), 1);
}

#[test]
fn runtime_cancellation_is_failure_with_retry() {
    let mut world = World::new();
    world.emit_event(pulling_event("web", "app", APP, 1.0));
    let pull = failed(resolved(lease(1, 1.2), "registry.test/shop/app", 'a'), 5.0);
    world.report_pull(&pull);
    world.emit_event(failed_event(
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
        "a cancellation by the runtime is a failure"
    );
    assert_eq!(shown.failure.as_ref().unwrap().reason, FailureReason::Cancelled);
    assert_eq!(links.next_retry_at, Some(at(15.0)));
    assert_eq!(world.ended[0].outcome, Outcome::Failed);
}

#[test]
fn retry_has_attempt_number_two() {
    let mut world = World::new();
    world.emit_event(pulling_event("web", "app", APP, 1.0));
    let first = failed(resolved(lease(1, 1.2), "registry.test/shop/app", 'a'), 3.0);
    world.report_pull(&first);
    world.emit_event(failed_event("web", "app", APP, NOT_FOUND, (3.0, 3.0, 1)));
    world.advance(12);
    let message = format!("Pulling image \"{APP}\"");
    world.emit_event(kubelet_event("web", "app", "Pulling", &message, (1.0, 14.0, 2)));
    let second = completed(resolved(lease(2, 14.1), "registry.test/shop/app", 'a'), 16.0, &[APP]);
    world.report_pull(&second);
    world.emit_event(pulled_event("web", "app", APP, 16.0, 1.9, 1.9));
    assert_eq!(world.row(&first).1.attempt, Some(1));
    assert_eq!(world.row(&second).1.attempt, Some(2));
    assert_eq!(world.linked_pods(&first), ["web/app by learned_tag"]);
    assert_eq!(world.linked_pods(&second), ["web/app by image_record"]);
    // When the container is started again much later, attempts are counted from 1.
    world.emit_event(kubelet_event("web", "app", "Pulling", &message, (1.0, 300.0, 3)));
    let third = resolved(lease(3, 300.1), "registry.test/shop/app", 'a');
    world.report_pull(&third);
    assert_eq!(world.row(&third).1.attempt, Some(1));
}

#[test]
fn invalid_name_and_never_pull_have_no_retry() {
    let mut world = World::new();
    world.update_pod(pod("bad", vec![waiting("app", "registry.test/UPPER:1")]));
    let message = "Failed to apply default image tag \"registry.test/UPPER:1\": couldn't parse image name \"registry.test/UPPER:1\": invalid reference format: repository name (library/UPPER) must be lowercase";
    world.emit_event(kubelet_event("bad", "app", "InspectFailed", message, (1.0, 1.0, 1)));
    let never = format!("Container image \"{APP}\" is not present with pull policy of Never");
    world.emit_event(kubelet_event("never", "app", "ErrImageNeverPull", &never, (1.0, 1.0, 1)));
    let mut reasons: Vec<_> = world
        .announced_rows()
        .iter()
        .map(|(pull, links)| (pull.failure.as_ref().unwrap().reason, links.next_retry_at))
        .collect();
    reasons.sort();
    assert_eq!(reasons, [(FailureReason::InvalidName, None), (FailureReason::NeverPull, None)]);
    let ids: Vec<_> = world.rows.keys().cloned().collect();
    // The event is repeated.
    world.emit_event(kubelet_event("bad", "app", "InspectFailed", message, (1.0, 60.0, 6)));
    assert_eq!(world.rows.keys().cloned().collect::<Vec<_>>(), ids);
    let image = |text: &str| world.pods["uid-bad"].images[0].image.to_string() == text;
    assert!(image("registry.test/UPPER:1"));
}

#[test]
fn failure_reason_is_read_from_status_without_events() {
    let mut world = World::without_sources();
    world.sync_pods();
    world.update_pod(pod("web", vec![waiting("app", APP)]));
    let pull = resolved(lease(1, 1.2), "registry.test/shop/app", 'a');
    world.report_pull(&pull);
    let pull = failed(pull, 5.0);
    world.report_pull(&pull);
    let mut image = waiting("app", APP);
    image.presence = ImagePresence::Waiting {
        reason: Some("ErrImagePull".into()),
        message: Some(NOT_FOUND.into()),
    };
    world.update_pod(pod("web", vec![image]));
    assert_eq!(world.row(&pull).0.failure.as_ref().unwrap().reason, FailureReason::NotFound);
    assert_eq!(world.linked_pods(&pull), ["web/app by only_candidate"]);
    assert!(world.pod_summary("web").ends_with("cannot be pulled: not_found"));
}

#[test]
fn kubelet_qps_limit_is_not_registry_rate_limit() {
    let mut world = World::new();
    world.emit_event(pulling_event("web", "app", APP, 1.0));
    world.emit_event(failed_event("web", "app", APP, "pull QPS exceeded", (1.0, 1.0, 1)));
    let reason = world.announced_rows()[0].0.failure.as_ref().unwrap().reason;
    assert_eq!(reason, FailureReason::KubeletQps);
}
