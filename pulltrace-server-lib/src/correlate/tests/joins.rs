//! Whose pull is it?

use super::world::{
    World, at, completed, digest, lease, lease_on, pod, pod_ref, pulled, pulling, resolved,
    running, waiting,
};
use crate::cluster::{PodUpdate, Seen};
use pulltrace_core::wire::v1::NodeState;

const APP: &str = "registry.test/shop/app:1";

#[test]
fn an_announced_image_is_known_before_its_manifest() {
    let mut world = World::new();
    world.apply(pod("web", vec![waiting("app", APP)]));
    world.hear(pulling("web", "app", APP, 1.2));
    let pull = lease(1, 1.3);
    world.tell(&pull);
    assert_eq!(world.pods_of(&pull), ["web/app by event"]);
    let (_, links) = world.row(&pull);
    assert_eq!(links.image().unwrap().to_string(), APP);
    assert_eq!((links.attempt, links.queued_at), (Some(1), Some(at(1.0))));
    assert!(world.announced().is_empty());
}

#[test]
fn the_event_may_come_after_the_lease() {
    let mut world = World::new();
    let pull = lease(1, 1.3);
    world.tell(&pull);
    assert!(world.pods_of(&pull).is_empty());
    world.hear(pulling("web", "app", APP, 1.2));
    assert_eq!(world.pods_of(&pull), ["web/app by event"]);
}

#[test]
fn the_event_may_never_come() {
    let mut world = World::deaf();
    world.listen_to_pods();
    world.apply(pod("web", vec![waiting("app", APP)]));
    let pull = lease(1, 1.3);
    world.tell(&pull);
    assert!(world.pods_of(&pull).is_empty(), "nothing speaks for it yet");
    let pull = resolved(pull, "registry.test/shop/app", 'a');
    world.tell(&pull);
    assert_eq!(world.pods_of(&pull), ["web/app by only_candidate"]);
    let pull = completed(pull, 9.0, &[APP]);
    world.tell(&pull);
    assert_eq!(world.pods_of(&pull), ["web/app by image_record"]);
    world.apply(pod("web", vec![running("app", APP, 9.2)]));
    world.pass(300);
    assert_eq!(world.pods_of(&pull), ["web/app by image_record"]);
}

/// The agent sees ends by polls; the kubelet's stamp may be exact.
#[test]
fn whose_kubelet_said_that_it_is_pulled_does_not_wait_for_the_next_pull() {
    let mut world = World::new();
    for name in ["web-1", "web-2"] {
        world.hear(pulling(name, "app", APP, 1.2));
    }
    let first = resolved(lease(1, 1.3), "registry.test/shop/app", 'a');
    let first = completed(first, 7.0, &[APP]);
    let second = resolved(lease(2, 6.52), "registry.test/shop/app", 'a');
    let second = completed(second, 6.54, &[APP]);
    for (name, when, took) in [("web-1", 6.51, 5.2), ("web-2", 6.54, 0.022)] {
        let mut event = pulled(name, "app", APP, when, took, 5.3);
        (event.first, event.last) = (at(when), at(when));
        world.hear(event);
    }
    world.tell(&first);
    world.tell(&second);
    assert_eq!(world.pods_of(&second), ["web-2/app by image_record"]);
    assert_eq!(world.row(&second).1.attempt, Some(1));
}

/// Stamps are whole seconds, and the agent's poll saw the first end after the second had begun.
#[test]
fn who_was_served_by_a_pull_that_was_seen_to_end_late_does_not_wait_for_the_next() {
    let mut world = World::new();
    for name in ["web-1", "web-2"] {
        world.hear(pulling(name, "app", APP, 1.2));
    }
    let first = resolved(lease(1, 1.3), "registry.test/shop/app", 'a');
    world.tell(&completed(first.clone(), 6.9, &[APP]));
    let second = resolved(lease(2, 6.52), "registry.test/shop/app", 'a');
    let second = completed(second, 6.9, &[APP]);
    world.tell(&second);
    world.hear(pulled("web-1", "app", APP, 6.51, 5.211, 5.3));
    world.hear(pulled("web-2", "app", APP, 6.54, 0.022, 5.3));
    assert_eq!(world.pods_of(&second), ["web-2/app by image_record"]);
    assert_eq!(
        world.pods_of(&first),
        ["web-1/app by image_record", "web-2/app by image_record"]
    );
}

/// Of the second pull only the record is seen, with the start of the first, which fetched the image.
#[test]
fn a_pull_that_is_known_by_its_record_alone_is_waited_for_when_that_is_written() {
    let mut world = World::new();
    for name in ["web-1", "web-2"] {
        world.hear(pulling(name, "app", APP, 1.2));
    }
    let first = resolved(lease(1, 1.3), "registry.test/shop/app", 'a');
    world.tell(&completed(first, 6.9, &[APP]));
    world.hear(pulled("web-1", "app", APP, 6.51, 5.211, 5.3));
    let mut second = resolved(lease(2, 1.31), "registry.test/shop/app", 'a');
    second.id = pulltrace_core::PullId::Record {
        node: "w1".parse().unwrap(),
        namespace: "k8s.io".parse().unwrap(),
        root: digest('a'),
        at: at(6.53),
    };
    let second = completed(second, 6.9, &[APP]);
    world.tell(&second);
    world.hear(pulled("web-2", "app", APP, 6.54, 0.022, 5.3));
    assert_eq!(world.pods_of(&second), ["web-2/app by image_record"]);
}

#[test]
fn two_pods_want_one_image_and_wait_for_one_pull() {
    let mut world = World::new();
    for name in ["web-1", "web-2"] {
        world.apply(pod(name, vec![waiting("app", APP)]));
        world.hear(pulling(name, "app", APP, 1.2));
    }
    let first = resolved(lease(1, 1.3), "registry.test/shop/app", 'a');
    world.tell(&first);
    assert_eq!(
        world.pods_of(&first),
        ["web-1/app by event", "web-2/app by event"]
    );
    world.pass(5);
    assert!(
        world.announced().is_empty(),
        "the second waits for the same pull"
    );
    let first = completed(first, 6.5, &[APP]);
    world.tell(&first);
    world.hear(pulled("web-1", "app", APP, 6.5, 5.2, 5.2));
    // The kubelet asks the runtime once more.
    let second = completed(
        resolved(lease(2, 6.52), "registry.test/shop/app", 'a'),
        6.54,
        &[APP],
    );
    world.tell(&second);
    world.hear(pulled("web-2", "app", APP, 6.54, 0.022, 5.3));
    world.pass(5);
    assert_eq!(
        world.pods_of(&first),
        ["web-1/app by image_record", "web-2/app by image_record"]
    );
    assert_eq!(world.pods_of(&second), ["web-2/app by image_record"]);
    let kubelet = world.row(&first).1.kubelet.unwrap();
    assert_eq!(
        (kubelet.pulling.as_millis(), kubelet.agrees),
        (5_200, Some(true))
    );
    assert_eq!(
        world.row(&second).1.kubelet.unwrap().pulling.as_millis(),
        22
    );
    assert_eq!(world.correlator.stats().kubelet_agrees, 2);
}

#[test]
fn an_image_wanted_under_two_names_is_linked_by_digest_and_by_record() {
    let by_digest = format!("registry.test/shop/app@{}", digest('a'));
    let mut world = World::new();
    world.hear(pulling("exact", "app", &by_digest, 1.0));
    world.hear(pulling("tagged", "app", APP, 1.0));
    let first = resolved(lease(1, 1.5), "registry.test/shop/app", 'a');
    world.tell(&first);
    assert_eq!(world.pods_of(&first), ["exact/app by digest"]);
    world.tell(&completed(first.clone(), 4.0, &[&by_digest]));
    let second = resolved(lease(2, 4.1), "registry.test/shop/app", 'a');
    world.tell(&second);
    world.tell(&completed(second.clone(), 4.2, &[APP]));
    world.hear(pulled("exact", "app", &by_digest, 4.0, 2.5, 2.5));
    assert_eq!(world.pods_of(&first), ["exact/app by image_record"]);
    assert_eq!(world.pods_of(&second), ["tagged/app by image_record"]);
}

#[test]
fn two_tags_of_one_repository_are_candidates_until_the_record_says_which() {
    let other = "registry.test/shop/app:2";
    let mut world = World::new();
    world.hear(pulling("one", "app", APP, 1.0));
    world.hear(pulling("two", "app", other, 1.0));
    let first = resolved(lease(1, 1.5), "registry.test/shop/app", 'a');
    let second = resolved(lease(2, 1.6), "registry.test/shop/app", 'b');
    world.tell(&first);
    world.tell(&second);
    for pull in [&first, &second] {
        assert!(world.pods_of(pull).is_empty());
        assert_eq!(world.candidates_of(pull), ["one", "two"]);
    }
    world.tell(&completed(first.clone(), 5.0, &[other]));
    assert_eq!(world.pods_of(&first), ["two/app by image_record"]);
    assert_eq!(
        world.pods_of(&second),
        ["one/app by event"],
        "no other is left"
    );
    assert!(world.candidates_of(&second).is_empty());
}

#[test]
fn a_tag_that_another_node_pulled_settles_it_at_once() {
    let other = "registry.test/shop/app:2";
    let mut world = World::new();
    let before = resolved(lease_on("w2", 1, 0.5), "registry.test/shop/app", 'b');
    world.tell(&completed(before, 0.9, &[other]));
    world.hear(pulling("one", "app", APP, 1.0));
    world.hear(pulling("two", "app", other, 1.0));
    let pull = resolved(lease(1, 1.5), "registry.test/shop/app", 'b');
    world.tell(&pull);
    assert_eq!(world.pods_of(&pull), ["two/app by learned_tag"]);
}

#[test]
fn what_is_learned_elsewhere_settles_a_tie_that_is_shown() {
    let other = "registry.test/shop/app:2";
    let mut world = World::new();
    world.hear(pulling("one", "app", APP, 1.0));
    world.hear(pulling("two", "app", other, 1.0));
    let pull = resolved(lease(1, 1.5), "registry.test/shop/app", 'b');
    world.tell(&pull);
    assert_eq!(world.candidates_of(&pull), ["one", "two"]);
    let elsewhere = resolved(lease_on("w2", 1, 0.5), "registry.test/shop/app", 'b');
    world.tell(&completed(elsewhere, 0.9, &[other]));
    assert_eq!(world.pods_of(&pull), ["two/app by learned_tag"]);
}

#[test]
fn a_pod_that_is_deleted_keeps_its_pull_and_the_pull_goes_on() {
    let mut world = World::new();
    world.apply(pod("web", vec![waiting("app", APP)]));
    world.hear(pulling("web", "app", APP, 1.0));
    let pull = resolved(lease(1, 1.5), "registry.test/shop/app", 'a');
    world.tell(&pull);
    world.say_pod(PodUpdate::Deleted(pod_ref("web").uid));
    world.pass(3);
    assert_eq!(world.pods_of(&pull), ["web/app by event"]);
    let pull = completed(pull, 9.0, &[APP]);
    world.tell(&pull);
    world.pass(120);
    assert_eq!(world.pods_of(&pull), ["web/app by image_record"]);
}

#[test]
fn a_pod_that_is_made_again_under_its_name_is_another() {
    let mut world = World::new();
    world.hear(pulling("web", "app", APP, 1.0));
    let first = completed(
        resolved(lease(1, 1.5), "registry.test/shop/app", 'a'),
        4.0,
        &[APP],
    );
    world.tell(&first);
    world.hear(pulled("web", "app", APP, 4.0, 2.5, 2.5));
    world.say_pod(PodUpdate::Deleted(pod_ref("web").uid));
    let other = "registry.test/shop/other:1";
    world.hear(pulling("web#2", "app", other, 10.0));
    let second = resolved(lease(2, 10.2), "registry.test/shop/other", 'b');
    world.tell(&second);
    let uid = |pull| world.row(pull).1.pods[0].0.pod.uid.to_string();
    assert_eq!(
        (uid(&first), uid(&second)),
        ("uid-web".to_owned(), "uid-web-2".to_owned())
    );
}

#[test]
fn a_server_whose_clock_is_half_a_minute_off_joins_all_the_same() {
    for offset in [30_000, -30_000] {
        let mut world = World::new();
        world.agent("w1", NodeState::Live, offset);
        world.hear(pulling("web", "app", APP, 1.2));
        let pull = lease(1, 1.3);
        world.tell(&pull);
        assert_eq!(world.pods_of(&pull), ["web/app by event"], "{offset}");
    }
}

#[test]
fn an_image_volume_has_no_field_path_and_is_found_by_its_image() {
    let model = "registry.test/models/big:1";
    let mut world = World::new();
    let mut volume = waiting("ignored", model);
    volume.slot = crate::cluster::volume_slot(&volume.image);
    volume.name = "model".into();
    volume.kind = crate::cluster::SlotKind::Volume;
    world.apply(pod("web", vec![volume, waiting("app", APP)]));
    world.hear(pulling("web", "", model, 1.0));
    let pull = resolved(lease(1, 1.3), "registry.test/models/big", 'c');
    world.tell(&pull);
    let view = &world.pods["uid-web"];
    let names: Vec<_> = view.images.iter().map(|image| &*image.name).collect();
    assert_eq!(names, ["model", "app"], "one slot each");
    assert_eq!(view.images[0].pull.as_ref(), Some(&pull.id));
    assert_eq!(
        world.summary("web"),
        format!("waits for 2 images: {model} is downloading")
    );
}

#[test]
fn a_static_pod_is_known_by_its_kubelet_alone() {
    let mut world = World::new();
    world.hear(pulling("etcd-w1", "etcd", APP, 1.0));
    let pull = resolved(lease(1, 1.3), "registry.test/shop/app", 'a');
    world.tell(&pull);
    assert_eq!(world.pods_of(&pull), ["etcd-w1/etcd by event"]);
}

#[test]
fn pulls_that_no_kubelet_asked_for_have_no_pod() {
    let mut world = World::new();
    world.apply(pod("web", vec![waiting("app", APP)]));
    world.hear(pulling("web", "app", APP, 1.0));
    let wanted = resolved(lease(1, 1.3), "registry.test/shop/app", 'a');
    world.tell(&wanted);
    let by_hand = resolved(lease(2, 2.0), "registry.test/tools/debug", 'd');
    world.tell(&by_hand);
    let elsewhere = resolved(lease_on("w2", 3, 2.0), "registry.test/shop/app", 'a');
    world.tell(&elsewhere);
    assert!(world.pods_of(&by_hand).is_empty());
    assert!(
        world.pods_of(&elsewhere).is_empty(),
        "the pod is on another node"
    );
    let mut other = resolved(lease(4, 2.0), "registry.test/shop/app", 'a');
    let pulltrace_core::PullId::Lease { namespace, .. } = &mut other.id else {
        panic!()
    };
    *namespace = "buildkit".parse().unwrap();
    world.tell(&other);
    assert!(
        world.pods_of(&other).is_empty(),
        "kubelets do not pull there"
    );
}

#[test]
fn a_pod_that_runs_for_days_does_not_wait_for_what_is_pulled_again() {
    let mut world = World::deaf();
    world.listen_to_pods();
    world.apply(pod(
        "new",
        vec![waiting("app", "registry.test/shop/other:1")],
    ));
    world.apply(pod(
        "old",
        vec![
            running("app", APP, -90_000.0),
            waiting("x", "registry.test/x:1"),
        ],
    ));
    let pull = resolved(lease(1, 1.3), "registry.test/shop/app", 'a');
    world.tell(&pull);
    world.tell(&completed(pull.clone(), 4.0, &[APP]));
    assert!(world.pods_of(&pull).is_empty());
}

#[test]
fn a_credential_that_is_checked_anew_makes_a_pull_of_its_own() {
    let mut world = World::new();
    world.hear(pulling("one", "app", APP, 1.0));
    let first = completed(
        resolved(lease(1, 1.3), "registry.test/shop/app", 'a'),
        3.0,
        &[APP],
    );
    world.tell(&first);
    world.hear(pulled("one", "app", APP, 3.0, 1.7, 1.7));
    world.pass(30);
    world.hear(pulling("two", "app", APP, 40.0));
    let second = completed(
        resolved(lease(2, 40.1), "registry.test/shop/app", 'a'),
        40.2,
        &[APP],
    );
    world.tell(&second);
    world.hear(pulled("two", "app", APP, 40.3, 0.1, 0.1));
    assert_eq!(world.pods_of(&first), ["one/app by image_record"]);
    assert_eq!(world.pods_of(&second), ["two/app by image_record"]);
}

#[test]
fn the_kubelets_number_is_compared_with_ours() {
    let mut world = World::new();
    world.hear(pulling("web", "app", APP, 1.0));
    let pull = completed(
        resolved(lease(1, 1.3), "registry.test/shop/app", 'a'),
        11.3,
        &[APP],
    );
    world.tell(&pull);
    world.hear(pulled("web", "app", APP, 14.0, 13.0, 13.0));
    let kubelet = world.row(&pull).1.kubelet.unwrap();
    assert_eq!(kubelet.agrees, Some(false), "10 s are not 13 s");
    world.pass(3);
    let stats = world.correlator.stats();
    assert_eq!((stats.kubelet_agrees, stats.kubelet_disagrees), (0, 1));
}

#[test]
fn a_pod_says_how_long_all_its_images_take() {
    let mut world = World::new();
    let big = "registry.test/shop/big:1";
    let elsewhere = resolved(lease_on("w2", 1, 0.0), "registry.test/shop/big", 'b');
    world.tell(&completed(elsewhere, 0.5, &[big]));
    world.apply(pod("web", vec![waiting("app", APP), waiting("big", big)]));
    world.hear(pulling("web", "app", APP, 1.0));
    let mut pull = resolved(lease(1, 1.3), "registry.test/shop/app", 'a');
    pull.rate = pulltrace_core::BytesPerSecond::new(100.0);
    pull.eta = Some(pulltrace_core::Eta {
        left: std::time::Duration::from_secs(20),
        low: std::time::Duration::from_secs(15),
        high: std::time::Duration::from_secs(30),
        basis: pulltrace_core::EtaBasis::Assumed,
    });
    world.tell(&pull);
    assert_eq!(
        world.summary("web"),
        "waits for 2 images: registry.test/shop/app:1 is downloading; about 30 s left",
        "20 s, and 1,000 bytes at 100 a second"
    );
    world.tell(&completed(pull, 20.0, &[APP]));
    world.hear(pulled("web", "app", APP, 20.0, 18.7, 18.7));
    assert_eq!(
        world.summary("web"),
        "waits for 1 of 2 images: registry.test/shop/big:1 is not asked for yet"
    );
    world.apply(pod(
        "web",
        vec![running("app", APP, 20.5), running("big", big, 21.0)],
    ));
    assert_eq!(world.summary("web"), "all of its 2 images are here");
    world.pass(120);
    assert!(world.pods.is_empty(), "whoever follows it was told");
}

#[test]
fn an_image_that_a_pull_brought_is_there_before_its_kubelet_says_so() {
    let mut world = World::new();
    for name in ["web-1", "web-2"] {
        world.apply(pod(name, vec![waiting("app", APP)]));
        world.hear(pulling(name, "app", APP, 1.0));
    }
    let pull = resolved(lease(1, 1.3), "registry.test/shop/app", 'a');
    world.tell(&pull);
    world.tell(&completed(pull, 5.0, &[APP]));
    world.pass(10);
    assert!(world.announced().is_empty(), "nothing is queued");
    for name in ["web-1", "web-2"] {
        assert_eq!(world.summary(name), "its image is here");
    }
}

#[test]
fn a_list_that_lacks_a_pod_says_that_it_is_gone() {
    let mut world = World::new();
    world.apply(pod("web", vec![waiting("app", APP)]));
    world.apply(pod("db", vec![waiting("app", APP)]));
    world.say_pod(PodUpdate::Reset);
    world.say_pod(PodUpdate::Init(pod("db", vec![waiting("app", APP)])));
    assert!(!world.pods["uid-web"].gone, "the list is not over");
    world.say_pod(PodUpdate::Done);
    assert!(world.pods["uid-web"].gone);
    assert!(!world.pods["uid-db"].gone);
    let seen = &world.pods["uid-db"].images[0];
    assert_eq!(seen.reason.as_deref(), Some("ContainerCreating"));
    assert!(matches!(waiting("a", APP).state, Seen::Waiting { .. }));
}
