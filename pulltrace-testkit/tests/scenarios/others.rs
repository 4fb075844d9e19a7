//! Operations that are not pulls, or are in another namespace: they never add a row.

use pulltrace_core::{Limits, WaitingKind};
use pulltrace_testkit::image::mib;

use crate::kit::{Kit, Scenario, image_of, scenario, source};
use crate::watch::Watch;

pub(crate) const ALL: &[Scenario] = &[
    scenario!(import_is_not_a_pull),
    scenario!(sandbox_is_not_a_pull),
    scenario!(container_is_not_a_pull),
    scenario!(buildkit_lease_is_not_a_pull),
    scenario!(namespaces_are_separate),
];

const NAMESPACE: &str = "k8s.io";

/// Pulls another image, and asserts that it adds the only row beside `others`.
async fn assert_only_marker_is_added(kit: &Kit, others: usize) {
    let image = image_of(&["marker"], 3);
    let (pull, gate) = kit.pull_held("marker/app:1", &image, mib(2)).await;
    gate.release();
    pull.outcome().await.expect("pull succeeds");
    let rows = kit.watch.wait_completed(others + 1).await;
    let last = rows.iter().max_by_key(|pull| pull.started_at).expect("at least one pull");
    assert_eq!(last.display_name().expect("name is known"), kit.registry.reference("marker/app:1"));
}

async fn import_is_not_a_pull(kit: Kit) -> Kit {
    let image = image_of(&["a", "b", "c", "d"], 8);
    let archive = kit.containerd.dir().join("image.tar");
    image.write_archive("docker.io/library/imported:1", &archive).expect("an archive");
    let ctr = kit.containerd.ctr(NAMESPACE);
    ctr.import(&archive).await.expect("image imported");
    let names = ctr.run(["images", "ls", "-q"]).await.expect("a list");
    assert!(names.contains("docker.io/library/imported:1"), "{names}");
    assert_only_marker_is_added(&kit, 0).await;
    kit
}

async fn sandbox_is_not_a_pull(kit: Kit) -> Kit {
    kit.containerd.serve_sandbox_image(&kit.registry).expect("sandbox image served");
    // The first sandbox pulls its image.
    let first = kit.containerd.run_sandbox("first").await;
    let first = first.expect("sandbox runs");
    let rows = kit.watch.wait_completed(1).await;
    assert_eq!(rows[0].display_name(), Some(kit.containerd.sandbox_image()));
    let second = kit.containerd.run_sandbox("second").await;
    let second = second.expect("sandbox runs");
    assert_only_marker_is_added(&kit, 1).await;
    for sandbox in [first, second] {
        let removed = kit.containerd.cri().remove_sandbox(&sandbox).await;
        removed.expect("sandbox removed");
    }
    kit
}

async fn container_is_not_a_pull(kit: Kit) -> Kit {
    let image = image_of(&["a"], 1);
    kit.pull_to_end("run/app:1", &image).await;
    kit.watch.wait_completed(1).await;
    let ctr = kit.containerd.ctr(NAMESPACE);
    let reference = kit.registry.reference("run/app:1");
    for id in ["one", "two", "three"] {
        ctr.create_container(&reference, id).await.expect("a container");
    }
    assert_only_marker_is_added(&kit, 1).await;
    kit
}

/// Recognized by its label: the same lease without it is a pull that resolves its name.
async fn buildkit_lease_is_not_a_pull(kit: Kit) -> Kit {
    let ctr = kit.containerd.ctr(NAMESPACE);
    let label = "buildkit/lease.temporary=2024-01-01T00:00:00Z";
    ctr.create_lease("123456789-abcd", &[label]).await.expect("a lease");
    ctr.create_lease("123456789-efgh", &[]).await.expect("a lease");
    let seen = kit
        .watch
        .until("the lease without the label is a row", |moment| moment.live().into_iter().next());
    let seen = seen.await;
    assert!(seen.id.to_string().contains("123456789-efgh"), "{}", seen.id);
    let waits = seen.waiting_on.as_ref().expect("pull is waiting");
    assert_eq!(waits.kind, WaitingKind::Registry);
    ctr.delete_lease("123456789-efgh").await.expect("deleted");
    kit.watch.wait_failed().await;
    ctr.delete_lease("123456789-abcd").await.expect("deleted");
    kit
}

async fn namespaces_are_separate(kit: Kit) -> Kit {
    let builder = source(&kit.containerd).namespace("other".parse().expect("valid namespace"));
    let other = Watch::start(builder.start(), Limits::default());
    other.wait_connected().await;
    let image = image_of(&["a"], 3);
    let gate = kit.registry.blob(&image.layers()[0].descriptor.digest).hold(mib(2));
    let reference = kit.registry.push("apart/app:1", &image);
    let pull = kit.containerd.ctr("other").pull(&reference).expect("ctr starts");
    let seen = other.wait_bytes("apart/app", mib(1)).await;
    assert_eq!(seen.id.namespace().as_str(), "other");
    gate.release();
    pull.outcome().await.expect("pull succeeds");
    other.wait_completed(1).await;
    // Vice versa, too. Content of one namespace is available to the other without a request.
    assert_only_marker_is_added(&kit, 0).await;
    kit.pull_to_end("apart/app:1", &image).await;
    kit.watch.wait_completed(2).await;
    kit.watch.assert_total("apart/app", mib(3));
    other.wait_settled().await;
    other.wait_completed(1).await;
    other.assert_consistent(&[]);
    kit
}
