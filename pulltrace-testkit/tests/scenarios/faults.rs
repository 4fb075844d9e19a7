//! Pulls that fail, stop or are cut off: never called completed, never lost.
//!
//! Each is first seen to load something: containerd keeps no trace of a pull that begins and fails between
//! two polls.

use std::time::Duration;

use pulltrace_core::{Limits, Outcome, Percent, Phase};
use pulltrace_testkit::containerd::Options;
use pulltrace_testkit::image::{Image, Layer, Platform, mib};
use pulltrace_testkit::registry::{Refusal, Times};

use crate::kit::{Kit, Scenario, image_of, scenario, source};

pub(crate) const ALL: &[Scenario] = &[
    scenario!(a_manifest_that_is_not_there_is_never_completed),
    scenario!(a_manifest_that_is_forbidden_is_never_completed),
    scenario!(a_blob_that_is_refused_fails_the_pull),
    scenario!(a_blob_that_is_cut_for_good_fails_the_pull),
    scenario!(a_corrupt_blob_fails_the_pull),
    scenario!(
        a_full_disk_fails_the_pull,
        options = |_| Options {
            content_limit_mib: Some(8),
            ..Options::quick()
        }
    ),
    scenario!(an_image_of_no_platform_fails),
    scenario!(a_cancelled_pull_ends_at_once),
    scenario!(a_killed_client_stalls_and_ends_as_unknown),
];

async fn never_completed(kit: Kit, status: u16) -> Kit {
    kit.registry
        .manifests()
        .in_repository("none/app")
        .refuse(Refusal::status(status));
    let pull = kit.pull("none/app:1", &image_of(&["a"], 1));
    pull.outcome().await.expect_err("it fails");
    // Another one shows that whatever there was to see of the first has been seen.
    kit.pull_whole("some/app:1", &image_of(&["b"], 1)).await;
    let all_over = kit.watch.until("the other is completed", |moment| {
        let pull = moment.find("some/app")?;
        let over = moment.live().is_empty() && pull.outcome() == Some(Outcome::Completed);
        over.then(|| moment.pulls.clone())
    });
    let rows = all_over.await;
    assert!(rows.len() <= 2, "{rows:#?}");
    for moment in kit.watch.moments() {
        let others = moment.pulls.iter().filter(|pull| {
            pull.repository
                .as_ref()
                .is_none_or(|repository| repository.path() != "some/app")
        });
        for pull in others {
            let failed = pull.phase == Phase::Ended(Outcome::Failed);
            assert!(
                pull.image.is_none() || pull.phase == Phase::Ended(Outcome::Completed),
                "{pull:#?}"
            );
            assert!(
                failed || pull.phase == Phase::Resolving || pull.image.is_some(),
                "{pull:#?}"
            );
        }
    }
    kit
}

async fn a_manifest_that_is_not_there_is_never_completed(kit: Kit) -> Kit {
    never_completed(kit, 404).await
}

async fn a_manifest_that_is_forbidden_is_never_completed(kit: Kit) -> Kit {
    never_completed(kit, 401).await
}

/// The first layer is seen to load; then the fault strikes.
async fn fails_once_seen(kit: Kit, image: &Image, strike: impl AsyncFnOnce(&Kit)) -> Kit {
    let (pull, gate) = kit.pull_half("broken/app:1", image, mib(2)).await;
    strike(&kit).await;
    gate.release();
    pull.outcome().await.expect_err("it fails");
    let pull = kit.watch.failed().await;
    assert!(pull.image.is_some());
    kit.watch
        .assert_total("broken/app", image.manifest().unique_layer_bytes());
    kit
}

async fn a_blob_that_is_refused_fails_the_pull(kit: Kit) -> Kit {
    let image = image_of(&["a", "b"], 3);
    let second = kit.registry.blob(&image.layers()[1].descriptor.digest);
    let gate = second.silent();
    second.refuse(Refusal::status(500).times(Times::Always));
    fails_once_seen(kit, &image, async |_| gate.release()).await
}

async fn a_blob_that_is_cut_for_good_fails_the_pull(kit: Kit) -> Kit {
    let image = image_of(&["a", "b"], 3);
    let first = kit.registry.blob(&image.layers()[0].descriptor.digest);
    fails_once_seen(kit, &image, async |_| first.cut(mib(2), Times::Always)).await
}

async fn a_corrupt_blob_fails_the_pull(kit: Kit) -> Kit {
    let image = image_of(&["a", "b"], 3);
    let first = kit.registry.blob(&image.layers()[0].descriptor.digest);
    fails_once_seen(kit, &image, async |_| first.corrupt(mib(2) + 10)).await
}

async fn a_full_disk_fails_the_pull(kit: Kit) -> Kit {
    let image = image_of(&["a", "b"], 7);
    let second = kit.registry.blob(&image.layers()[1].descriptor.digest);
    let gate = second.silent();
    fails_once_seen(kit, &image, async |_| gate.release()).await
}

/// From 2.1 on the image gets its record before containerd finds that nothing of it is for this machine.
async fn an_image_of_no_platform_fails(kit: Kit) -> Kit {
    let foreign = Image::builder()
        .platform(Platform::foreign())
        .layer(&Layer::random("foreign", mib(1)))
        .build();
    let index = Image::index().image(&foreign).build();
    // Only its body is held: the name is resolved.
    let gate = kit.registry.manifest(&index.root.digest).hold(10);
    let pull = kit.pull("foreign/app:1", &index);
    kit.watch
        .until("the pull is seen", |moment| {
            (moment.live().len() == 1).then_some(())
        })
        .await;
    gate.release();
    pull.outcome().await.expect_err("it fails");
    let record = kit
        .containerd
        .ctr("k8s.io")
        .run(["images", "ls", "-q"])
        .await
        .expect("a list");
    let reference = kit.registry.reference("foreign/app:1");
    assert_eq!(
        record.lines().any(|name| name == reference),
        kit.has_shared_slots(),
        "{record}"
    );
    let pull = kit.watch.failed().await;
    assert_eq!(
        pull.root.as_ref().expect("known").as_str(),
        index.root.digest
    );
    kit
}

async fn a_cancelled_pull_ends_at_once(kit: Kit) -> Kit {
    let image = image_of(&["a"], 4);
    let (pull, _gate) = kit.pull_half("cancelled/app:1", &image, mib(2)).await;
    assert!(pull.cancel().await);
    let pull = kit.watch.failed().await;
    assert!(pull.percent.expect("known") < Percent::DONE);
    kit.watch.assert_total("cancelled/app", mib(4));
    kit
}

async fn a_killed_client_stalls_and_ends_as_unknown(mut kit: Kit) -> Kit {
    let mut limits = Limits::default();
    limits.stall_after = Duration::from_secs(2);
    let silence = Duration::from_secs(8);
    kit.watch_anew(source(&kit.containerd).silence(silence), limits);
    kit.watch.connected().await;
    let image = image_of(&["a"], 4);
    let gate = kit
        .registry
        .blob(&image.layers()[0].descriptor.digest)
        .hold(mib(2));
    let reference = kit.registry.push("killed/app:1", &image);
    let client = kit
        .containerd
        .ctr("k8s.io")
        .pull(&reference)
        .expect("ctr runs");
    kit.watch.until_bytes("killed/app", mib(1)).await;
    client.kill9().await.expect("it is killed");
    let stalled = kit.watch.until("it is stalled", |moment| {
        moment
            .find("killed/app")
            .filter(|pull| pull.stalled_since.is_some())
    });
    let stalled = stalled.await;
    assert_eq!(
        (stalled.phase, &stalled.waiting_on),
        (Phase::Downloading, &None)
    );
    let pull = kit.watch.ended(1).await.remove(0);
    assert_eq!(
        (pull.outcome(), &pull.failure),
        (Some(Outcome::Unknown), &None)
    );
    assert_eq!(pull.percent, stalled.percent);
    // Its lease is there for a day, and says nothing any more.
    let leases = kit
        .containerd
        .ctr("k8s.io")
        .run(["leases", "ls", "-q"])
        .await
        .expect("a list");
    assert_eq!(leases.lines().count(), 1, "{leases}");
    drop(gate);
    kit
}
