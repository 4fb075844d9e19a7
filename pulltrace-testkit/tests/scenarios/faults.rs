//! Pulls that fail, stall or are cut off: never shown as completed, never lost.
//!
//! Each pull is first seen downloading: containerd keeps no trace of a pull that starts and fails
//! between two polls.

use std::time::Duration;

use pulltrace_core::{Limits, Outcome, Percent, Phase};
use pulltrace_testkit::containerd::Options;
use pulltrace_testkit::image::{Image, Layer, Platform, mib};
use pulltrace_testkit::registry::{Refusal, Times};

use crate::kit::{Kit, Scenario, image_of, scenario, source};

pub(crate) const ALL: &[Scenario] = &[
    scenario!(missing_manifest_never_completes),
    scenario!(unauthorized_manifest_never_completes),
    scenario!(refused_blob_fails_pull),
    scenario!(permanently_cut_blob_fails_pull),
    scenario!(corrupt_blob_fails_pull),
    scenario!(
        full_disk_fails_pull,
        options = |_| Options { content_limit_mib: Some(8), ..Options::in_memory() }
    ),
    scenario!(image_without_matching_platform_fails),
    scenario!(cancelled_pull_ends_immediately),
    scenario!(killed_client_stalls_and_ends_unknown),
];

async fn assert_never_completed(kit: Kit, status: u16) -> Kit {
    kit.registry.manifests().in_repository("none/app").refuse(Refusal::status(status));
    let pull = kit.pull("none/app:1", &image_of(&["a"], 1));
    pull.outcome().await.expect_err("pull fails");
    // Once a second pull is visible, everything about the first one is too.
    kit.pull_to_end("some/app:1", &image_of(&["b"], 1)).await;
    let all_over = kit.watch.until("the second pull has completed", |moment| {
        let pull = moment.find("some/app")?;
        let over = moment.live().is_empty() && pull.outcome() == Some(Outcome::Completed);
        over.then(|| moment.pulls.clone())
    });
    let rows = all_over.await;
    assert!(rows.len() <= 2, "{rows:#?}");
    for moment in kit.watch.moments() {
        let others = moment.pulls.iter().filter(|pull| {
            pull.repository.as_ref().is_none_or(|repository| repository.path() != "some/app")
        });
        for pull in others {
            let failed = pull.phase == Phase::Ended(Outcome::Failed);
            assert!(
                pull.image.is_none() || pull.phase == Phase::Ended(Outcome::Completed),
                "{pull:#?}"
            );
            assert!(failed || pull.phase == Phase::Resolving || pull.image.is_some(), "{pull:#?}");
        }
    }
    kit
}

async fn missing_manifest_never_completes(kit: Kit) -> Kit {
    assert_never_completed(kit, 404).await
}

async fn unauthorized_manifest_never_completes(kit: Kit) -> Kit {
    assert_never_completed(kit, 401).await
}

/// Injects the fault once the first layer is seen downloading.
async fn fail_mid_download(kit: Kit, image: &Image, strike: impl AsyncFnOnce(&Kit)) -> Kit {
    let (pull, gate) = kit.pull_held("broken/app:1", image, mib(2)).await;
    strike(&kit).await;
    gate.release();
    pull.outcome().await.expect_err("pull fails");
    let pull = kit.watch.wait_failed().await;
    assert!(pull.image.is_some());
    kit.watch.assert_total("broken/app", image.manifest().unique_layer_bytes());
    kit
}

async fn refused_blob_fails_pull(kit: Kit) -> Kit {
    let image = image_of(&["a", "b"], 3);
    let second = kit.registry.blob(&image.layers()[1].descriptor.digest);
    let gate = second.silent();
    second.refuse(Refusal::status(500).times(Times::Always));
    fail_mid_download(kit, &image, async |_| gate.release()).await
}

async fn permanently_cut_blob_fails_pull(kit: Kit) -> Kit {
    let image = image_of(&["a", "b"], 3);
    let first = kit.registry.blob(&image.layers()[0].descriptor.digest);
    fail_mid_download(kit, &image, async |_| first.cut(mib(2), Times::Always)).await
}

async fn corrupt_blob_fails_pull(kit: Kit) -> Kit {
    let image = image_of(&["a", "b"], 3);
    let first = kit.registry.blob(&image.layers()[0].descriptor.digest);
    fail_mid_download(kit, &image, async |_| first.corrupt(mib(2) + 10)).await
}

async fn full_disk_fails_pull(kit: Kit) -> Kit {
    let image = image_of(&["a", "b"], 7);
    let second = kit.registry.blob(&image.layers()[1].descriptor.digest);
    let gate = second.silent();
    fail_mid_download(kit, &image, async |_| gate.release()).await
}

/// From 2.1 on, the image gets its record before containerd finds no matching platform.
async fn image_without_matching_platform_fails(kit: Kit) -> Kit {
    let foreign = Image::builder()
        .platform(Platform::foreign())
        .layer(&Layer::random("foreign", mib(1)))
        .build();
    let index = Image::index().image(&foreign).build();
    // Holds only the body of the manifest: the name is resolved.
    let gate = kit.registry.manifest(&index.root.digest).hold(10);
    let pull = kit.pull("foreign/app:1", &index);
    kit.watch.until("the pull is visible", |moment| (moment.live().len() == 1).then_some(())).await;
    gate.release();
    pull.outcome().await.expect_err("pull fails");
    let record = kit.containerd.ctr("k8s.io").run(["images", "ls", "-q"]).await.expect("a list");
    let reference = kit.registry.reference("foreign/app:1");
    assert_eq!(
        record.lines().any(|name| name == reference),
        kit.shares_download_slots(),
        "{record}"
    );
    let pull = kit.watch.wait_failed().await;
    assert_eq!(pull.root.as_ref().expect("value is known").as_str(), index.root.digest);
    kit
}

async fn cancelled_pull_ends_immediately(kit: Kit) -> Kit {
    let image = image_of(&["a"], 4);
    let (pull, _gate) = kit.pull_held("cancelled/app:1", &image, mib(2)).await;
    assert!(pull.cancel().await);
    let pull = kit.watch.wait_failed().await;
    assert!(pull.motion.percent.expect("value is known") < Percent::DONE);
    kit.watch.assert_total("cancelled/app", mib(4));
    kit
}

async fn killed_client_stalls_and_ends_unknown(mut kit: Kit) -> Kit {
    let mut limits = Limits::default();
    limits.stall_timeout = Duration::from_secs(2);
    let silence = Duration::from_secs(8);
    kit.restart_watch(source(&kit.containerd).inactivity_timeout(silence), limits);
    kit.watch.wait_connected().await;
    let image = image_of(&["a"], 4);
    let gate = kit.registry.blob(&image.layers()[0].descriptor.digest).hold(mib(2));
    let reference = kit.registry.push("killed/app:1", &image);
    let client = kit.containerd.ctr("k8s.io").pull(&reference).expect("ctr starts");
    kit.watch.wait_bytes("killed/app", mib(1)).await;
    client.kill9().await.expect("killed");
    let stalled = kit.watch.until("the pull is stalled", |moment| {
        moment.find("killed/app").filter(|pull| pull.stalled_since.is_some())
    });
    let stalled = stalled.await;
    assert_eq!((stalled.phase, &stalled.waiting_on), (Phase::Downloading, &None));
    let pull = kit.watch.wait_ended(1).await.remove(0);
    assert_eq!((pull.outcome(), &pull.failure), (Some(Outcome::Unknown), &None));
    assert_eq!(pull.motion.percent, stalled.motion.percent);
    // Its lease remains for a day and must not be taken for a live pull.
    let leases = kit.containerd.ctr("k8s.io").run(["leases", "ls", "-q"]).await.expect("a list");
    assert_eq!(leases.lines().count(), 1, "{leases}");
    drop(gate);
    kit
}
