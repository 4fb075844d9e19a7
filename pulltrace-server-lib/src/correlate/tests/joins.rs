//! Links between pulls and pods.

use super::world::{
    World, at, completed, digest, lease, lease_on, pod, pod_ref, pulled_event, pulling_event,
    resolved, running, waiting,
};
use crate::cluster::{ImagePresence, PodUpdate};
use pulltrace_core::wire::v1::NodeState;

const APP: &str = "registry.test/shop/app:1";

#[test]
fn announced_image_is_linked_before_manifest() {
    let mut world = World::new();
    world.update_pod(pod("web", vec![waiting("app", APP)]));
    world.emit_event(pulling_event("web", "app", APP, 1.2));
    let pull = lease(1, 1.3);
    world.report_pull(&pull);
    assert_eq!(world.linked_pods(&pull), ["web/app by event"]);
    let (_, links) = world.row(&pull);
    assert_eq!(links.image().unwrap().to_string(), APP);
    assert_eq!((links.attempt, links.queued_at), (Some(1), Some(at(1.0))));
    assert!(world.announced_rows().is_empty());
}

#[test]
fn event_after_lease_still_links_pod() {
    let mut world = World::new();
    let pull = lease(1, 1.3);
    world.report_pull(&pull);
    assert!(world.linked_pods(&pull).is_empty());
    world.emit_event(pulling_event("web", "app", APP, 1.2));
    assert_eq!(world.linked_pods(&pull), ["web/app by event"]);
}

#[test]
fn missing_event_still_links_by_repository_and_record() {
    let mut world = World::without_sources();
    world.sync_pods();
    world.update_pod(pod("web", vec![waiting("app", APP)]));
    let pull = lease(1, 1.3);
    world.report_pull(&pull);
    assert!(world.linked_pods(&pull).is_empty(), "no evidence yet");
    let pull = resolved(pull, "registry.test/shop/app", 'a');
    world.report_pull(&pull);
    assert_eq!(world.linked_pods(&pull), ["web/app by only_candidate"]);
    let pull = completed(pull, 9.0, &[APP]);
    world.report_pull(&pull);
    assert_eq!(world.linked_pods(&pull), ["web/app by image_record"]);
    world.update_pod(pod("web", vec![running("app", APP, 9.2)]));
    world.advance(300);
    assert_eq!(world.linked_pods(&pull), ["web/app by image_record"]);
}

/// The agent observes ends by polling; the kubelet's timestamps may be exact.
#[test]
fn pulled_event_ends_wait_of_pod() {
    let mut world = World::new();
    for name in ["web-1", "web-2"] {
        world.emit_event(pulling_event(name, "app", APP, 1.2));
    }
    let first = resolved(lease(1, 1.3), "registry.test/shop/app", 'a');
    let first = completed(first, 7.0, &[APP]);
    let second = resolved(lease(2, 6.52), "registry.test/shop/app", 'a');
    let second = completed(second, 6.54, &[APP]);
    for (name, when, took) in [("web-1", 6.51, 5.2), ("web-2", 6.54, 0.022)] {
        let mut event = pulled_event(name, "app", APP, when, took, 5.3);
        (event.first_seen, event.last_seen) = (at(when), at(when));
        world.emit_event(event);
    }
    world.report_pull(&first);
    world.report_pull(&second);
    assert_eq!(world.linked_pods(&second), ["web-2/app by image_record"]);
    assert_eq!(world.row(&second).1.attempt, Some(1));
}

/// Timestamps are whole seconds, and the agent observed the first end after the start of the second
/// pull.
#[test]
fn late_end_still_satisfies_waiting_pod() {
    let mut world = World::new();
    for name in ["web-1", "web-2"] {
        world.emit_event(pulling_event(name, "app", APP, 1.2));
    }
    let first = resolved(lease(1, 1.3), "registry.test/shop/app", 'a');
    world.report_pull(&completed(first.clone(), 6.9, &[APP]));
    let second = resolved(lease(2, 6.52), "registry.test/shop/app", 'a');
    let second = completed(second, 6.9, &[APP]);
    world.report_pull(&second);
    world.emit_event(pulled_event("web-1", "app", APP, 6.51, 5.211, 5.3));
    world.emit_event(pulled_event("web-2", "app", APP, 6.54, 0.022, 5.3));
    assert_eq!(world.linked_pods(&second), ["web-2/app by image_record"]);
    assert_eq!(
        world.linked_pods(&first),
        ["web-1/app by image_record", "web-2/app by image_record"]
    );
}

/// Only the record of the second pull is observed, with the start time of the first, which fetched
/// the image.
#[test]
fn record_only_pull_starts_at_record_time() {
    let mut world = World::new();
    for name in ["web-1", "web-2"] {
        world.emit_event(pulling_event(name, "app", APP, 1.2));
    }
    let first = resolved(lease(1, 1.3), "registry.test/shop/app", 'a');
    world.report_pull(&completed(first, 6.9, &[APP]));
    world.emit_event(pulled_event("web-1", "app", APP, 6.51, 5.211, 5.3));
    let mut second = resolved(lease(2, 1.31), "registry.test/shop/app", 'a');
    second.id = pulltrace_core::PullId::Record {
        node: "w1".parse().unwrap(),
        namespace: "k8s.io".parse().unwrap(),
        root: digest('a'),
        at: at(6.53),
    };
    let second = completed(second, 6.9, &[APP]);
    world.report_pull(&second);
    world.emit_event(pulled_event("web-2", "app", APP, 6.54, 0.022, 5.3));
    assert_eq!(world.linked_pods(&second), ["web-2/app by image_record"]);
}

#[test]
fn two_pods_with_one_image_share_pull() {
    let mut world = World::new();
    for name in ["web-1", "web-2"] {
        world.update_pod(pod(name, vec![waiting("app", APP)]));
        world.emit_event(pulling_event(name, "app", APP, 1.2));
    }
    let first = resolved(lease(1, 1.3), "registry.test/shop/app", 'a');
    world.report_pull(&first);
    assert_eq!(world.linked_pods(&first), ["web-1/app by event", "web-2/app by event"]);
    world.advance(5);
    assert!(world.announced_rows().is_empty(), "the second pod waits for the same pull");
    let first = completed(first, 6.5, &[APP]);
    world.report_pull(&first);
    world.emit_event(pulled_event("web-1", "app", APP, 6.5, 5.2, 5.2));
    // The kubelet calls the runtime once more.
    let second = completed(resolved(lease(2, 6.52), "registry.test/shop/app", 'a'), 6.54, &[APP]);
    world.report_pull(&second);
    world.emit_event(pulled_event("web-2", "app", APP, 6.54, 0.022, 5.3));
    world.advance(5);
    assert_eq!(
        world.linked_pods(&first),
        ["web-1/app by image_record", "web-2/app by image_record"]
    );
    assert_eq!(world.linked_pods(&second), ["web-2/app by image_record"]);
    let kubelet = world.row(&first).1.kubelet.unwrap();
    assert_eq!((kubelet.pulling.as_millis(), kubelet.agrees), (5_200, Some(true)));
    assert_eq!(world.row(&second).1.kubelet.unwrap().pulling.as_millis(), 22);
    assert_eq!(world.correlator.stats().kubelet_agrees, 2);
}

#[test]
fn image_named_twice_links_by_digest_and_record() {
    let by_digest = format!("registry.test/shop/app@{}", digest('a'));
    let mut world = World::new();
    world.emit_event(pulling_event("exact", "app", &by_digest, 1.0));
    world.emit_event(pulling_event("tagged", "app", APP, 1.0));
    let first = resolved(lease(1, 1.5), "registry.test/shop/app", 'a');
    world.report_pull(&first);
    assert_eq!(world.linked_pods(&first), ["exact/app by digest"]);
    world.report_pull(&completed(first.clone(), 4.0, &[&by_digest]));
    let second = resolved(lease(2, 4.1), "registry.test/shop/app", 'a');
    world.report_pull(&second);
    world.report_pull(&completed(second.clone(), 4.2, &[APP]));
    world.emit_event(pulled_event("exact", "app", &by_digest, 4.0, 2.5, 2.5));
    assert_eq!(world.linked_pods(&first), ["exact/app by image_record"]);
    assert_eq!(world.linked_pods(&second), ["tagged/app by image_record"]);
}

#[test]
fn tags_of_one_repository_are_candidates_until_record() {
    let other = "registry.test/shop/app:2";
    let mut world = World::new();
    world.emit_event(pulling_event("one", "app", APP, 1.0));
    world.emit_event(pulling_event("two", "app", other, 1.0));
    let first = resolved(lease(1, 1.5), "registry.test/shop/app", 'a');
    let second = resolved(lease(2, 1.6), "registry.test/shop/app", 'b');
    world.report_pull(&first);
    world.report_pull(&second);
    for pull in [&first, &second] {
        assert!(world.linked_pods(pull).is_empty());
        assert_eq!(world.candidate_pods(pull), ["one", "two"]);
    }
    world.report_pull(&completed(first.clone(), 5.0, &[other]));
    assert_eq!(world.linked_pods(&first), ["two/app by image_record"]);
    assert_eq!(world.linked_pods(&second), ["one/app by event"], "only one candidate is left");
    assert!(world.candidate_pods(&second).is_empty());
}

#[test]
fn tag_learned_on_another_node_selects_candidate() {
    let other = "registry.test/shop/app:2";
    let mut world = World::new();
    let before = resolved(lease_on("w2", 1, 0.5), "registry.test/shop/app", 'b');
    world.report_pull(&completed(before, 0.9, &[other]));
    world.emit_event(pulling_event("one", "app", APP, 1.0));
    world.emit_event(pulling_event("two", "app", other, 1.0));
    let pull = resolved(lease(1, 1.5), "registry.test/shop/app", 'b');
    world.report_pull(&pull);
    assert_eq!(world.linked_pods(&pull), ["two/app by learned_tag"]);
}

#[test]
fn later_learned_tag_resolves_existing_candidates() {
    let other = "registry.test/shop/app:2";
    let mut world = World::new();
    world.emit_event(pulling_event("one", "app", APP, 1.0));
    world.emit_event(pulling_event("two", "app", other, 1.0));
    let pull = resolved(lease(1, 1.5), "registry.test/shop/app", 'b');
    world.report_pull(&pull);
    assert_eq!(world.candidate_pods(&pull), ["one", "two"]);
    let elsewhere = resolved(lease_on("w2", 1, 0.5), "registry.test/shop/app", 'b');
    world.report_pull(&completed(elsewhere, 0.9, &[other]));
    assert_eq!(world.linked_pods(&pull), ["two/app by learned_tag"]);
}

#[test]
fn deleted_pod_stays_linked_to_running_pull() {
    let mut world = World::new();
    world.update_pod(pod("web", vec![waiting("app", APP)]));
    world.emit_event(pulling_event("web", "app", APP, 1.0));
    let pull = resolved(lease(1, 1.5), "registry.test/shop/app", 'a');
    world.report_pull(&pull);
    world.send_pod_update(PodUpdate::Delete(pod_ref("web").uid));
    world.advance(3);
    assert_eq!(world.linked_pods(&pull), ["web/app by event"]);
    let pull = completed(pull, 9.0, &[APP]);
    world.report_pull(&pull);
    world.advance(120);
    assert_eq!(world.linked_pods(&pull), ["web/app by image_record"]);
}

#[test]
fn recreated_pod_with_same_name_is_separate() {
    let mut world = World::new();
    world.emit_event(pulling_event("web", "app", APP, 1.0));
    let first = completed(resolved(lease(1, 1.5), "registry.test/shop/app", 'a'), 4.0, &[APP]);
    world.report_pull(&first);
    world.emit_event(pulled_event("web", "app", APP, 4.0, 2.5, 2.5));
    world.send_pod_update(PodUpdate::Delete(pod_ref("web").uid));
    let other = "registry.test/shop/other:1";
    world.emit_event(pulling_event("web#2", "app", other, 10.0));
    let second = resolved(lease(2, 10.2), "registry.test/shop/other", 'b');
    world.report_pull(&second);
    let uid = |pull| world.row(pull).1.pods[0].0.pod.uid.to_string();
    assert_eq!((uid(&first), uid(&second)), ("uid-web".to_owned(), "uid-web-2".to_owned()));
}

#[test]
fn clock_offset_does_not_affect_linking() {
    for offset in [30_000, -30_000] {
        let mut world = World::new();
        world.set_node("w1", NodeState::Live, offset);
        world.emit_event(pulling_event("web", "app", APP, 1.2));
        let pull = lease(1, 1.3);
        world.report_pull(&pull);
        assert_eq!(world.linked_pods(&pull), ["web/app by event"], "{offset}");
    }
}

#[test]
fn image_volume_is_matched_by_image() {
    let model = "registry.test/models/big:1";
    let mut world = World::new();
    let mut volume = waiting("ignored", model);
    volume.consumer = crate::cluster::volume_consumer(&volume.image);
    volume.name = "model".into();
    volume.kind = crate::cluster::ImageConsumerKind::Volume;
    world.update_pod(pod("web", vec![volume, waiting("app", APP)]));
    world.emit_event(pulling_event("web", "", model, 1.0));
    let pull = resolved(lease(1, 1.3), "registry.test/models/big", 'c');
    world.report_pull(&pull);
    let view = &world.pods["uid-web"];
    let names: Vec<_> = view.images.iter().map(|image| &*image.name).collect();
    assert_eq!(names, ["model", "app"], "one entry each");
    assert_eq!(view.images[0].pull.as_ref(), Some(&pull.id));
    assert_eq!(world.pod_summary("web"), format!("waits for 2 images: {model} is downloading"));
}

#[test]
fn static_pod_is_linked_by_events_alone() {
    let mut world = World::new();
    world.emit_event(pulling_event("etcd-w1", "etcd", APP, 1.0));
    let pull = resolved(lease(1, 1.3), "registry.test/shop/app", 'a');
    world.report_pull(&pull);
    assert_eq!(world.linked_pods(&pull), ["etcd-w1/etcd by event"]);
}

#[test]
fn pulls_not_requested_by_kubelet_have_no_pod() {
    let mut world = World::new();
    world.update_pod(pod("web", vec![waiting("app", APP)]));
    world.emit_event(pulling_event("web", "app", APP, 1.0));
    let wanted = resolved(lease(1, 1.3), "registry.test/shop/app", 'a');
    world.report_pull(&wanted);
    let by_hand = resolved(lease(2, 2.0), "registry.test/tools/debug", 'd');
    world.report_pull(&by_hand);
    let elsewhere = resolved(lease_on("w2", 3, 2.0), "registry.test/shop/app", 'a');
    world.report_pull(&elsewhere);
    assert!(world.linked_pods(&by_hand).is_empty());
    assert!(world.linked_pods(&elsewhere).is_empty(), "the pod is on another node");
    let mut other = resolved(lease(4, 2.0), "registry.test/shop/app", 'a');
    let pulltrace_core::PullId::Lease { namespace, .. } = &mut other.id else { panic!() };
    *namespace = "buildkit".parse().unwrap();
    world.report_pull(&other);
    assert!(world.linked_pods(&other).is_empty(), "kubelets do not pull there");
}

#[test]
fn long_running_pod_ignores_new_pull() {
    let mut world = World::without_sources();
    world.sync_pods();
    world.update_pod(pod("new", vec![waiting("app", "registry.test/shop/other:1")]));
    world.update_pod(pod(
        "old",
        vec![running("app", APP, -90_000.0), waiting("x", "registry.test/x:1")],
    ));
    let pull = resolved(lease(1, 1.3), "registry.test/shop/app", 'a');
    world.report_pull(&pull);
    world.report_pull(&completed(pull.clone(), 4.0, &[APP]));
    assert!(world.linked_pods(&pull).is_empty());
}

#[test]
fn credential_recheck_is_linked_as_separate_pull() {
    let mut world = World::new();
    world.emit_event(pulling_event("one", "app", APP, 1.0));
    let first = completed(resolved(lease(1, 1.3), "registry.test/shop/app", 'a'), 3.0, &[APP]);
    world.report_pull(&first);
    world.emit_event(pulled_event("one", "app", APP, 3.0, 1.7, 1.7));
    world.advance(30);
    world.emit_event(pulling_event("two", "app", APP, 40.0));
    let second = completed(resolved(lease(2, 40.1), "registry.test/shop/app", 'a'), 40.2, &[APP]);
    world.report_pull(&second);
    world.emit_event(pulled_event("two", "app", APP, 40.3, 0.1, 0.1));
    assert_eq!(world.linked_pods(&first), ["one/app by image_record"]);
    assert_eq!(world.linked_pods(&second), ["two/app by image_record"]);
}

#[test]
fn kubelet_duration_mismatch_is_counted_once() {
    let mut world = World::new();
    world.emit_event(pulling_event("web", "app", APP, 1.0));
    let pull = completed(resolved(lease(1, 1.3), "registry.test/shop/app", 'a'), 11.3, &[APP]);
    world.report_pull(&pull);
    world.emit_event(pulled_event("web", "app", APP, 14.0, 13.0, 13.0));
    let kubelet = world.row(&pull).1.kubelet.unwrap();
    assert_eq!(kubelet.agrees, Some(false), "10 s differ from 13 s");
    world.advance(3);
    let stats = world.correlator.stats();
    assert_eq!((stats.kubelet_agrees, stats.kubelet_disagrees), (0, 1));
}

#[test]
fn pod_summary_sums_time_of_all_images() {
    let mut world = World::new();
    let big = "registry.test/shop/big:1";
    let elsewhere = resolved(lease_on("w2", 1, 0.0), "registry.test/shop/big", 'b');
    world.report_pull(&completed(elsewhere, 0.5, &[big]));
    world.update_pod(pod("web", vec![waiting("app", APP), waiting("big", big)]));
    world.emit_event(pulling_event("web", "app", APP, 1.0));
    let mut pull = resolved(lease(1, 1.3), "registry.test/shop/app", 'a');
    pull.motion.rate = pulltrace_core::BytesPerSecond::new(100.0);
    pull.motion.eta = Some(pulltrace_core::Eta {
        left: std::time::Duration::from_secs(20),
        low: std::time::Duration::from_secs(15),
        high: std::time::Duration::from_secs(30),
        basis: pulltrace_core::EtaBasis::Assumed,
    });
    world.report_pull(&pull);
    assert_eq!(
        world.pod_summary("web"),
        "waits for 2 images: registry.test/shop/app:1 is downloading; about 30 s left",
        "20 s, and 1,000 bytes at 100 a second"
    );
    world.report_pull(&completed(pull, 20.0, &[APP]));
    world.emit_event(pulled_event("web", "app", APP, 20.0, 18.7, 18.7));
    assert_eq!(
        world.pod_summary("web"),
        "waits for 1 of 2 images: registry.test/shop/big:1 is not requested yet"
    );
    world.update_pod(pod("web", vec![running("app", APP, 20.5), running("big", big, 21.0)]));
    assert_eq!(world.pod_summary("web"), "all 2 images are present");
    world.advance(120);
    assert!(world.pods.is_empty(), "followers have seen it become ready");
}

#[test]
fn completed_pull_marks_image_present_before_event() {
    let mut world = World::new();
    for name in ["web-1", "web-2"] {
        world.update_pod(pod(name, vec![waiting("app", APP)]));
        world.emit_event(pulling_event(name, "app", APP, 1.0));
    }
    let pull = resolved(lease(1, 1.3), "registry.test/shop/app", 'a');
    world.report_pull(&pull);
    world.report_pull(&completed(pull, 5.0, &[APP]));
    world.advance(10);
    assert!(world.announced_rows().is_empty(), "no image is queued");
    for name in ["web-1", "web-2"] {
        assert_eq!(world.pod_summary(name), "its image is present");
    }
}

#[test]
fn pod_missing_from_relist_is_marked_removed() {
    let mut world = World::new();
    world.update_pod(pod("web", vec![waiting("app", APP)]));
    world.update_pod(pod("db", vec![waiting("app", APP)]));
    world.send_pod_update(PodUpdate::Init);
    world.send_pod_update(PodUpdate::InitApply(pod("db", vec![waiting("app", APP)])));
    assert!(!world.pods["uid-web"].gone, "the list is incomplete");
    world.send_pod_update(PodUpdate::InitDone);
    assert!(world.pods["uid-web"].gone);
    assert!(!world.pods["uid-db"].gone);
    let seen = &world.pods["uid-db"].images[0];
    assert_eq!(seen.reason.as_deref(), Some("ContainerCreating"));
    assert!(matches!(waiting("a", APP).presence, ImagePresence::Waiting { .. }));
}
