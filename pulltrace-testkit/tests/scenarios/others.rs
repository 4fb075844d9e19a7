//! What is no pull, or none of this namespace: never a row.

use pulltrace_core::{Limits, WaitingKind};
use pulltrace_testkit::image::mib;

use crate::kit::{Kit, Scenario, image_of, scenario, source};
use crate::watch::Watch;

pub(crate) const ALL: &[Scenario] = &[
    scenario!(an_import_is_no_pull),
    scenario!(a_sandbox_is_no_pull),
    scenario!(a_container_is_no_pull),
    scenario!(a_lease_of_buildkit_is_no_pull),
    scenario!(another_namespace_stays_apart),
];

const NAMESPACE: &str = "k8s.io";

/// Pulls one image more: then there is that row beside `others`, and nothing else.
async fn only_a_real_pull_is_a_row(kit: &Kit, others: usize) {
    let image = image_of(&["marker"], 3);
    let (pull, gate) = kit.pull_half("marker/app:1", &image, mib(2)).await;
    gate.release();
    pull.outcome().await.expect("it succeeds");
    let rows = kit.watch.completed(others + 1).await;
    let last = rows.iter().max_by_key(|pull| pull.started_at).expect("one");
    assert_eq!(
        last.title().expect("a name"),
        kit.registry.reference("marker/app:1")
    );
}

async fn an_import_is_no_pull(kit: Kit) -> Kit {
    let image = image_of(&["a", "b", "c", "d"], 8);
    let archive = kit.containerd.dir().join("image.tar");
    image
        .write_archive("docker.io/library/imported:1", &archive)
        .expect("an archive");
    let ctr = kit.containerd.ctr(NAMESPACE);
    ctr.import(&archive).await.expect("it is imported");
    let names = ctr.run(["images", "ls", "-q"]).await.expect("a list");
    assert!(names.contains("docker.io/library/imported:1"), "{names}");
    only_a_real_pull_is_a_row(&kit, 0).await;
    kit
}

async fn a_sandbox_is_no_pull(kit: Kit) -> Kit {
    kit.containerd
        .serve_sandbox_image(&kit.registry)
        .expect("it is served");
    // The first brings its image, which is a pull.
    let first = kit.containerd.run_sandbox("first").await;
    let first = first.expect("it runs");
    let rows = kit.watch.completed(1).await;
    assert_eq!(rows[0].title(), Some(kit.containerd.sandbox_image()));
    let second = kit.containerd.run_sandbox("second").await;
    let second = second.expect("it runs");
    only_a_real_pull_is_a_row(&kit, 1).await;
    for sandbox in [first, second] {
        let removed = kit.containerd.cri().remove_sandbox(&sandbox).await;
        removed.expect("it is removed");
    }
    kit
}

async fn a_container_is_no_pull(kit: Kit) -> Kit {
    let image = image_of(&["a"], 1);
    kit.pull_whole("run/app:1", &image).await;
    kit.watch.completed(1).await;
    let ctr = kit.containerd.ctr(NAMESPACE);
    let reference = kit.registry.reference("run/app:1");
    for id in ["one", "two", "three"] {
        ctr.create_container(&reference, id)
            .await
            .expect("a container");
    }
    only_a_real_pull_is_a_row(&kit, 1).await;
    kit
}

/// Its label tells it apart: the same lease without it is a pull that resolves its name.
async fn a_lease_of_buildkit_is_no_pull(kit: Kit) -> Kit {
    let ctr = kit.containerd.ctr(NAMESPACE);
    let label = "buildkit/lease.temporary=2024-01-01T00:00:00Z";
    ctr.create_lease("123456789-abcd", &[label])
        .await
        .expect("a lease");
    ctr.create_lease("123456789-efgh", &[])
        .await
        .expect("a lease");
    let seen = kit
        .watch
        .until("the one without the label is a row", |moment| {
            moment.live().into_iter().next()
        });
    let seen = seen.await;
    assert!(
        seen.id.to_string().contains("123456789-efgh"),
        "{}",
        seen.id
    );
    let waits = seen.waiting_on.as_ref().expect("it waits");
    assert_eq!(waits.kind, WaitingKind::Registry);
    ctr.delete_lease("123456789-efgh").await.expect("deleted");
    kit.watch.failed().await;
    ctr.delete_lease("123456789-abcd").await.expect("deleted");
    kit
}

async fn another_namespace_stays_apart(kit: Kit) -> Kit {
    let builder = source(&kit.containerd).namespace("other".parse().expect("a name"));
    let other = Watch::begin(builder.start(), Limits::default());
    other.connected().await;
    let image = image_of(&["a"], 3);
    let gate = kit
        .registry
        .blob(&image.layers()[0].descriptor.digest)
        .hold(mib(2));
    let reference = kit.registry.push("apart/app:1", &image);
    let pull = kit
        .containerd
        .ctr("other")
        .pull(&reference)
        .expect("ctr runs");
    let seen = other.until_bytes("apart/app", mib(1)).await;
    assert_eq!(seen.id.namespace().as_str(), "other");
    gate.release();
    pull.outcome().await.expect("it succeeds");
    other.completed(1).await;
    // And the other way round; what one namespace has comes to the other without a request.
    only_a_real_pull_is_a_row(&kit, 0).await;
    kit.pull_whole("apart/app:1", &image).await;
    kit.watch.completed(2).await;
    kit.watch.assert_total("apart/app", mib(3));
    other.settled().await;
    other.completed(1).await;
    other.assert_true(&[]);
    kit
}
