//! Announced images that wait.

use std::time::Duration;

use pulltrace_core::{Eta, EtaBasis, Phase, PullId, WaitingKind};

use super::world::{
    World, at, completed, kubelet_event, lease, pod, pod_ref, pulled_event, pulling_event,
    resolved, waiting,
};
use crate::cluster::{PodUpdate, PullEventUpdate};
use pulltrace_core::wire::v1::NodeState;

const APP: &str = "registry.test/shop/app:1";
const DB: &str = "registry.test/shop/db:1";

#[test]
fn second_pod_is_queued_behind_first() {
    let mut world = World::new();
    world.update_pod(pod("web", vec![waiting("app", APP)]));
    world.update_pod(pod("db", vec![waiting("db", DB)]));
    world.emit_event(pulling_event("web", "app", APP, 1.0));
    world.emit_event(pulling_event("db", "db", DB, 1.0));
    let mut first = resolved(lease(1, 1.2), "registry.test/shop/app", 'a');
    first.motion.eta = Some(Eta {
        left: Duration::from_secs(12),
        low: Duration::from_secs(10),
        high: Duration::from_secs(20),
        basis: EtaBasis::Assumed,
    });
    world.report_pull(&first);
    world.advance(3);
    let [(queued, links)] = world.announced_rows()[..] else { panic!("{:?}", world.rows) };
    assert_eq!(queued.phase, Phase::Queued);
    let waits = queued.waiting_on.as_ref().unwrap();
    assert_eq!(waits.kind, WaitingKind::KubeletQueue);
    assert_eq!((waits.pull.as_ref(), waits.ahead), (Some(&first.id), Some(1)));
    assert_eq!((waits.since, waits.left), (at(1.0), Some(Duration::from_secs(12))));
    assert_eq!(links.pods[0].0.pod.name.as_str(), "db");
    assert_eq!(queued.display_name().unwrap(), DB);
    assert_eq!(
        world.pod_summary("db"),
        "waits for 1 image: registry.test/shop/db:1 is queued behind 1 pull"
    );
    let before = queued.id.clone();

    world.report_pull(&completed(first.clone(), 9.0, &[APP]));
    world.emit_event(pulled_event("web", "app", APP, 9.0, 7.8, 7.8));
    let second = lease(2, 9.1);
    world.report_pull(&second);
    assert!(world.announced_rows().is_empty(), "only one row");
    let (_, links) = world.row(&second);
    assert_eq!(links.supersedes, Some(before));
    assert_eq!(links.queued_at, Some(at(1.0)));
    assert_eq!(world.linked_pods(&second), ["db/db by event"]);
}

#[test]
fn serial_kubelet_queues_without_grace_once_detected() {
    let mut world = World::new();
    world.emit_event(pulling_event("web", "app", APP, 1.0));
    world.emit_event(pulling_event("db", "db", DB, 1.0));
    world.report_pull(&completed(
        resolved(lease(1, 1.2), "registry.test/shop/app", 'a'),
        9.0,
        &[APP],
    ));
    world.emit_event(pulled_event("web", "app", APP, 9.0, 7.8, 7.8));
    let second = resolved(lease(2, 9.1), "registry.test/shop/db", 'b');
    world.report_pull(&second);
    world.advance(5);
    world.emit_event(pulling_event("third", "app", "registry.test/shop/third:1", 14.0));
    let [(queued, _)] = world.announced_rows()[..] else { panic!("expected one queued row") };
    assert_eq!(queued.waiting_on.as_ref().unwrap().pull.as_ref(), Some(&second.id));
    world.emit_event(pulling_event("fourth", "app", "registry.test/shop/fourth:1", 15.0));
    let ahead: Vec<_> = world
        .announced_rows()
        .iter()
        .filter_map(|(pull, _)| pull.waiting_on.as_ref()?.ahead)
        .collect();
    assert_eq!(ahead.len(), 2);
    assert!(ahead.contains(&1) && ahead.contains(&2), "{ahead:?}");
}

#[test]
fn parallel_kubelet_pulls_are_never_queued() {
    let mut world = World::new();
    world.emit_event(pulling_event("web", "app", APP, 1.0));
    world.emit_event(pulling_event("db", "db", DB, 1.0));
    assert!(world.announced_rows().is_empty(), "its lease may still be reported");
    let first = resolved(lease(1, 1.2), "registry.test/shop/app", 'a');
    world.report_pull(&first);
    assert!(world.announced_rows().is_empty());
    world.advance(1);
    let second = resolved(lease(2, 1.3), "registry.test/shop/db", 'b');
    world.report_pull(&second);
    world.advance(10);
    assert!(world.announced_rows().is_empty());
    assert_eq!(world.linked_pods(&second), ["db/db by event"]);
    // The mode is known now.
    world.emit_event(pulling_event("third", "app", "registry.test/shop/third:1", 11.0));
    assert!(world.announced_rows().is_empty());
}

#[test]
fn pods_with_same_queued_image_share_row() {
    let mut world = World::new();
    world.emit_event(pulling_event("web", "app", APP, 1.0));
    world.report_pull(&resolved(lease(1, 1.2), "registry.test/shop/app", 'a'));
    world.emit_event(pulling_event("db-0", "db", DB, 2.0));
    world.emit_event(pulling_event("db-1", "db", DB, 3.0));
    world.advance(3);
    let [(queued, links)] = world.announced_rows()[..] else {
        panic!("{:?}", world.announced_rows())
    };
    assert!(matches!(&queued.id, PullId::Announced { pod, .. } if *pod == pod_ref("db-0").uid));
    let pods: Vec<_> = links.pods.iter().map(|(w, _)| w.pod.name.as_str()).collect();
    assert_eq!(pods, ["db-0", "db-1"]);
}

#[test]
fn announcement_is_resolving_when_node_has_no_agent() {
    let mut world = World::new();
    world.set_node("w1", NodeState::Lost, 0);
    world.emit_event(pulling_event("web", "app", APP, 1.0));
    world.advance(3);
    let [(pull, _)] = world.announced_rows()[..] else { panic!("expected one announced row") };
    assert_eq!((pull.phase, pull.stale_since), (Phase::Resolving, Some(at(1.0))));
    assert_eq!(pull.waiting_on, None);
    let id = pull.id.clone();
    world.emit_event(pulled_event("web", "app", APP, 31.0, 29.5, 29.5));
    let [(pull, _)] = world.announced_rows()[..] else { panic!("expected one ended row") };
    assert_eq!((&pull.id, pull.phase.as_str()), (&id, "completed"));
}

#[test]
fn listed_events_of_deleted_pods_are_not_queued() {
    let mut world = World::without_sources();
    world.send_event_update(PullEventUpdate::Init);
    world.send_event_update(PullEventUpdate::InitApply(pulling_event("gone", "app", APP, -900.0)));
    world.send_event_update(PullEventUpdate::InitApply(pulling_event("waits", "db", DB, -20.0)));
    world.send_event_update(PullEventUpdate::InitDone);
    world.send_pod_update(PodUpdate::Init);
    world.send_pod_update(PodUpdate::InitApply(pod("waits", vec![waiting("db", DB)])));
    world.send_pod_update(PodUpdate::InitDone);
    world.advance(5);
    let announced = world.announced_rows();
    let pods: Vec<_> = announced.iter().map(|(_, links)| &links.pods[0].0.pod.name).collect();
    assert_eq!(pods.len(), 1, "{pods:?}");
    assert_eq!(pods[0].as_str(), "waits");
}

#[test]
fn replayed_old_events_of_deleted_pods_are_ignored() {
    let mut world = World::new();
    world.emit_event(pulling_event("gone", "app", APP, -1_800.0));
    world.emit_event(pulling_event("static", "app", DB, -60.0));
    world.advance(5);
    let pods: Vec<_> = world
        .announced_rows()
        .iter()
        .map(|(_, links)| links.pods[0].0.pod.name.to_string())
        .collect();
    assert_eq!(pods, ["static"]);
}

#[test]
fn idle_node_keeps_its_agent() {
    let mut world = World::new();
    world.advance(20);
    world.emit_event(pulling_event("web", "app", APP, 20.0));
    world.advance(5);
    assert_eq!(world.announced_rows()[0].0.phase, Phase::Queued);
}

#[test]
fn already_present_image_creates_no_row() {
    let mut world = World::new();
    world.update_pod(pod("web", vec![waiting("app", APP)]));
    let message = format!("Container image \"{APP}\" already present on machine");
    world.emit_event(kubelet_event("web", "app", "Pulled", &message, (1.0, 1.0, 1)));
    world.advance(10);
    assert!(world.rows.is_empty());
    assert!(world.pods["uid-web"].is_ready());
}

#[test]
fn queued_row_completes_when_pull_was_missed() {
    let mut world = World::new();
    world.emit_event(pulling_event("web", "app", APP, 1.0));
    world.advance(5);
    let id = world.announced_rows()[0].0.id.clone();
    world.emit_event(pulled_event("web", "app", APP, 6.0, 0.02, 5.0));
    let (pull, links) = &world.rows[&id];
    assert_eq!((pull.phase.as_str(), pull.ended_at), ("completed", Some(at(6.0))));
    assert_eq!(links.pods.len(), 1);
    // The agent did observe the pull, and reports it late.
    let pull = completed(resolved(lease(1, 5.98), "registry.test/shop/app", 'a'), 6.0, &[APP]);
    world.report_pull(&pull);
    assert_eq!(world.row(&pull).1.supersedes, Some(id));
    assert!(world.announced_rows().is_empty());
    world.advance(20);
    assert_eq!(world.ended.len(), 1, "the end is counted once");
}

#[test]
fn queued_row_of_deleted_pod_ends_as_unknown() {
    let mut world = World::new();
    world.update_pod(pod("web", vec![waiting("app", APP)]));
    world.emit_event(pulling_event("web", "app", APP, 1.0));
    world.advance(5);
    world.send_pod_update(PodUpdate::Delete(pod_ref("web").uid));
    world.advance(60);
    assert_eq!(world.announced_rows()[0].0.phase, Phase::Queued, "its pull may still start");
    world.advance(300);
    assert_eq!(world.announced_rows()[0].0.phase.as_str(), "unknown");
}

#[test]
fn silent_row_ends_as_unknown_then_expires() {
    let mut world = World::new();
    world.emit_event(pulling_event("web", "app", APP, 1.0));
    world.advance(5);
    assert_eq!(world.announced_rows().len(), 1);
    world.advance(31 * 60);
    let [(pull, _)] = world.announced_rows()[..] else { panic!("expected one ended row") };
    assert_eq!(pull.phase.as_str(), "unknown");
    assert_eq!(world.correlator.stats().demands, 0);
    world.advance(31 * 60);
    assert!(world.announced_rows().is_empty());
}
