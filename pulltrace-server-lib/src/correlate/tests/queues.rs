//! What was announced, and waits.

use std::time::Duration;

use pulltrace_core::{Eta, EtaBasis, Phase, PullId, WaitingKind};

use super::world::{
    World, at, completed, lease, pod, pod_ref, pulled, pulling, resolved, says, waiting,
};
use crate::cluster::{PodUpdate, PullEventUpdate};
use pulltrace_core::wire::v1::NodeState;

const APP: &str = "registry.test/shop/app:1";
const DB: &str = "registry.test/shop/db:1";

#[test]
fn the_second_of_two_pods_is_queued_behind_the_first() {
    let mut world = World::new();
    world.apply(pod("web", vec![waiting("app", APP)]));
    world.apply(pod("db", vec![waiting("db", DB)]));
    world.hear(pulling("web", "app", APP, 1.0));
    world.hear(pulling("db", "db", DB, 1.0));
    let mut first = resolved(lease(1, 1.2), "registry.test/shop/app", 'a');
    first.eta = Some(Eta {
        left: Duration::from_secs(12),
        low: Duration::from_secs(10),
        high: Duration::from_secs(20),
        basis: EtaBasis::Assumed,
    });
    world.tell(&first);
    world.pass(3);
    let [(queued, links)] = world.announced()[..] else {
        panic!("{:?}", world.rows)
    };
    assert_eq!(queued.phase, Phase::Queued);
    let waits = queued.waiting_on.as_ref().unwrap();
    assert_eq!(waits.kind, WaitingKind::KubeletQueue);
    assert_eq!(
        (waits.pull.as_ref(), waits.ahead),
        (Some(&first.id), Some(1))
    );
    assert_eq!(
        (waits.since, waits.left),
        (at(1.0), Some(Duration::from_secs(12)))
    );
    assert_eq!(links.pods[0].0.pod.name.as_str(), "db");
    assert_eq!(queued.title().unwrap(), DB);
    assert_eq!(
        world.summary("db"),
        "waits for 1 image: registry.test/shop/db:1 is queued behind 1 pull"
    );
    let before = queued.id.clone();

    world.tell(&completed(first.clone(), 9.0, &[APP]));
    world.hear(pulled("web", "app", APP, 9.0, 7.8, 7.8));
    let second = lease(2, 9.1);
    world.tell(&second);
    assert!(world.announced().is_empty(), "never two rows");
    let (_, links) = world.row(&second);
    assert_eq!(links.supersedes, Some(before));
    assert_eq!(links.queued_at, Some(at(1.0)));
    assert_eq!(world.pods_of(&second), ["db/db by event"]);
}

#[test]
fn a_kubelet_that_pulls_one_by_one_is_known_after_the_first_and_says_so_at_once() {
    let mut world = World::new();
    world.hear(pulling("web", "app", APP, 1.0));
    world.hear(pulling("db", "db", DB, 1.0));
    world.tell(&completed(
        resolved(lease(1, 1.2), "registry.test/shop/app", 'a'),
        9.0,
        &[APP],
    ));
    world.hear(pulled("web", "app", APP, 9.0, 7.8, 7.8));
    let second = resolved(lease(2, 9.1), "registry.test/shop/db", 'b');
    world.tell(&second);
    world.pass(5);
    world.hear(pulling("third", "app", "registry.test/shop/third:1", 14.0));
    let [(queued, _)] = world.announced()[..] else {
        panic!("it is known to wait")
    };
    assert_eq!(
        queued.waiting_on.as_ref().unwrap().pull.as_ref(),
        Some(&second.id)
    );
    world.hear(pulling(
        "fourth",
        "app",
        "registry.test/shop/fourth:1",
        15.0,
    ));
    let ahead: Vec<_> = world
        .announced()
        .iter()
        .filter_map(|(pull, _)| pull.waiting_on.as_ref()?.ahead)
        .collect();
    assert_eq!(ahead.len(), 2);
    assert!(ahead.contains(&1) && ahead.contains(&2), "{ahead:?}");
}

#[test]
fn pulls_of_a_parallel_kubelet_are_not_called_queued() {
    let mut world = World::new();
    world.hear(pulling("web", "app", APP, 1.0));
    world.hear(pulling("db", "db", DB, 1.0));
    assert!(world.announced().is_empty(), "its lease may be under way");
    let first = resolved(lease(1, 1.2), "registry.test/shop/app", 'a');
    world.tell(&first);
    assert!(world.announced().is_empty());
    world.pass(1);
    let second = resolved(lease(2, 1.3), "registry.test/shop/db", 'b');
    world.tell(&second);
    world.pass(10);
    assert!(world.announced().is_empty());
    assert_eq!(world.pods_of(&second), ["db/db by event"]);
    // From here on it is known.
    world.hear(pulling("third", "app", "registry.test/shop/third:1", 11.0));
    assert!(world.announced().is_empty());
}

#[test]
fn two_pods_that_want_one_queued_image_are_one_row() {
    let mut world = World::new();
    world.hear(pulling("web", "app", APP, 1.0));
    world.tell(&resolved(lease(1, 1.2), "registry.test/shop/app", 'a'));
    world.hear(pulling("db-0", "db", DB, 2.0));
    world.hear(pulling("db-1", "db", DB, 3.0));
    world.pass(3);
    let [(queued, links)] = world.announced()[..] else {
        panic!("{:?}", world.announced())
    };
    assert!(matches!(&queued.id, PullId::Announced { pod, .. } if *pod == pod_ref("db-0").uid));
    let pods: Vec<_> = links
        .pods
        .iter()
        .map(|(w, _)| w.pod.name.as_str())
        .collect();
    assert_eq!(pods, ["db-0", "db-1"]);
}

#[test]
fn where_no_agent_looks_nothing_is_called_queued() {
    let mut world = World::new();
    world.agent("w1", NodeState::Lost, 0);
    world.hear(pulling("web", "app", APP, 1.0));
    world.pass(3);
    let [(pull, _)] = world.announced()[..] else {
        panic!("it is known all the same")
    };
    assert_eq!(
        (pull.phase, pull.stale_since),
        (Phase::Resolving, Some(at(1.0)))
    );
    assert_eq!(pull.waiting_on, None);
    let id = pull.id.clone();
    world.hear(pulled("web", "app", APP, 31.0, 29.5, 29.5));
    let [(pull, _)] = world.announced()[..] else {
        panic!("its end is known, too")
    };
    assert_eq!((&pull.id, pull.phase.as_str()), (&id, "completed"));
}

#[test]
fn what_was_listed_of_pods_that_are_gone_is_no_queue() {
    let mut world = World::deaf();
    world.say_event(PullEventUpdate::Reset);
    world.say_event(PullEventUpdate::Init(pulling("gone", "app", APP, -900.0)));
    world.say_event(PullEventUpdate::Init(pulling("waits", "db", DB, -20.0)));
    world.say_event(PullEventUpdate::Done);
    world.say_pod(PodUpdate::Reset);
    world.say_pod(PodUpdate::Init(pod("waits", vec![waiting("db", DB)])));
    world.say_pod(PodUpdate::Done);
    world.pass(5);
    let announced = world.announced();
    let pods: Vec<_> = announced
        .iter()
        .map(|(_, links)| &links.pods[0].0.pod.name)
        .collect();
    assert_eq!(pods.len(), 1, "{pods:?}");
    assert_eq!(pods[0].as_str(), "waits");
}

#[test]
fn what_is_said_again_after_a_gap_is_no_queue_where_its_pod_is_gone() {
    let mut world = World::new();
    world.hear(pulling("gone", "app", APP, -1_800.0));
    world.hear(pulling("static", "app", DB, -60.0));
    world.pass(5);
    let pods: Vec<_> = world
        .announced()
        .iter()
        .map(|(_, links)| links.pods[0].0.pod.name.to_string())
        .collect();
    assert_eq!(pods, ["static"]);
}

#[test]
fn a_node_on_which_nothing_happens_keeps_its_agent() {
    let mut world = World::new();
    world.pass(20);
    world.hear(pulling("web", "app", APP, 20.0));
    world.pass(5);
    assert_eq!(world.announced()[0].0.phase, Phase::Queued);
}

#[test]
fn an_image_that_was_there_all_along_is_no_row() {
    let mut world = World::new();
    world.apply(pod("web", vec![waiting("app", APP)]));
    let message = format!("Container image \"{APP}\" already present on machine");
    world.hear(says("web", "app", "Pulled", &message, (1.0, 1.0, 1)));
    world.pass(10);
    assert!(world.rows.is_empty());
    assert!(world.pods["uid-web"].is_ready());
}

#[test]
fn what_was_queued_and_was_pulled_unseen_ends_and_does_not_vanish() {
    let mut world = World::new();
    world.hear(pulling("web", "app", APP, 1.0));
    world.pass(5);
    let id = world.announced()[0].0.id.clone();
    world.hear(pulled("web", "app", APP, 6.0, 0.02, 5.0));
    let (pull, links) = &world.rows[&id];
    assert_eq!(
        (pull.phase.as_str(), pull.ended_at),
        ("completed", Some(at(6.0)))
    );
    assert_eq!(links.pods.len(), 1);
    // The agent saw it after all, and tells it late.
    let pull = completed(
        resolved(lease(1, 5.98), "registry.test/shop/app", 'a'),
        6.0,
        &[APP],
    );
    world.tell(&pull);
    assert_eq!(world.row(&pull).1.supersedes, Some(id));
    assert!(world.announced().is_empty());
    world.pass(20);
    assert_eq!(world.ended.len(), 1, "it counts once");
}

#[test]
fn what_was_queued_for_a_pod_that_is_gone_ends_after_a_while() {
    let mut world = World::new();
    world.apply(pod("web", vec![waiting("app", APP)]));
    world.hear(pulling("web", "app", APP, 1.0));
    world.pass(5);
    world.say_pod(PodUpdate::Deleted(pod_ref("web").uid));
    world.pass(60);
    assert_eq!(
        world.announced()[0].0.phase,
        Phase::Queued,
        "its pull may still come"
    );
    world.pass(300);
    assert_eq!(world.announced()[0].0.phase.as_str(), "unknown");
}

#[test]
fn a_row_that_nothing_is_heard_of_any_more_goes_with_its_time() {
    let mut world = World::new();
    world.hear(pulling("web", "app", APP, 1.0));
    world.pass(5);
    assert_eq!(world.announced().len(), 1);
    world.pass(31 * 60);
    let [(pull, _)] = world.announced()[..] else {
        panic!("whoever saw it is told that it is over")
    };
    assert_eq!(pull.phase.as_str(), "unknown");
    assert_eq!(world.correlator.stats().wants, 0);
    world.pass(31 * 60);
    assert!(world.announced().is_empty());
}
