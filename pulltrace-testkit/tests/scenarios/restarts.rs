//! Agent and containerd killed and restarted.

use pulltrace_core::{FailureReason, Limits, Outcome};
use pulltrace_testkit::image::mib;

use crate::kit::{Kit, Scenario, image_of, scenario, source};
use crate::watch::assert_failed;

pub(crate) const ALL: &[Scenario] = &[
    scenario!(killed_containerd_fails_pull_and_next_resumes),
    scenario!(killed_agent_resumes_without_regression),
    scenario!(agent_started_after_end_claims_nothing),
    scenario!(agent_waits_for_containerd_to_start),
];

async fn killed_containerd_fails_pull_and_next_resumes(mut kit: Kit) -> Kit {
    let image = image_of(&["a"], 6);
    let layer = kit.registry.blob(&image.layers()[0].descriptor.digest);
    let (pull, gate) = kit.pull_held("resumed/app:1", &image, mib(3)).await;
    kit.containerd.kill9().expect("killed");
    pull.outcome().await.expect_err("call is interrupted");
    kit.watch
        .until("containerd is lost and its pull is stale", |moment| {
            let pull = moment.find("resumed/app")?;
            (!moment.connected && pull.stale_since.is_some() && pull.outcome().is_none())
                .then_some(())
        })
        .await;
    kit.containerd.restart().await.expect("started");
    let old = kit.watch.wait_ended(1).await.remove(0);
    assert_failed(&old, FailureReason::RuntimeRestarted);

    let before = layer.requests().len();
    let later = layer.hold(mib(5));
    gate.release();
    let pull = kit.pull("resumed/app:1", &image);
    let first = kit.watch.until("the new pull starts with the existing data", |moment| {
        let pull = moment.live().into_iter().next()?;
        (pull.motion.downloaded.0 > 0).then_some(pull)
    });
    let first = first.await;
    assert_ne!(first.id, old.id);
    assert!(first.motion.downloaded >= old.motion.downloaded, "{first:#?}");
    later.release();
    pull.outcome().await.expect("pull succeeds");
    let ended = kit.watch.wait_ended(2).await;
    let new = ended.iter().find(|pull| pull.id == first.id).expect("new pull");
    assert_eq!(new.outcome(), Some(Outcome::Completed), "{new:#?}");
    let asked = &layer.requests()[before..];
    let resumed = |start: u64| start >= old.motion.downloaded.0;
    assert!(asked.iter().all(|request| request.range_start.is_some_and(resumed)), "{asked:#?}");
    kit.watch.assert_total("resumed/app", mib(6));
    kit
}

async fn killed_agent_resumes_without_regression(mut kit: Kit) -> Kit {
    let image = image_of(&["a", "b", "c"], 4);
    let (pull, gate) = kit.pull_held("kept/app:1", &image, mib(2)).await;
    let others = |moment: &crate::watch::Moment| {
        moment.find("kept/app").filter(|pull| pull.motion.downloaded.0 >= 2 * mib(4))
    };
    kit.watch.until("the other layers are downloaded", others).await;
    let old = kit.restart_watch(source(&kit.containerd), Limits::default());
    let before = old.abort().await;
    let before = before.last().and_then(|moment| moment.find("kept/app")).expect("pull was seen");
    kit.watch.wait_bytes("kept/app", mib(1)).await;
    gate.release();
    pull.outcome().await.expect("pull succeeds");
    let after = kit.watch.wait_completed(1).await.remove(0);
    assert_eq!(
        (&after.id, after.started_at, after.total),
        (&before.id, before.started_at, before.total)
    );
    kit.watch.assert_total("kept/app", 3 * mib(4));
    for pull in kit.watch.pull_history("kept/app").iter().filter(|pull| pull.image.is_some()) {
        assert_eq!(pull.to_download, before.to_download);
        assert!(pull.motion.downloaded >= before.motion.downloaded, "{before:#?} then {pull:#?}");
        assert!(pull.motion.percent >= before.motion.percent, "{before:#?} then {pull:#?}");
    }
    kit
}

async fn agent_started_after_end_claims_nothing(mut kit: Kit) -> Kit {
    let old = kit.restart_watch(source(&kit.containerd), Limits::default());
    old.abort().await;
    kit.watch.wait_connected().await;
    let unseen = kit.restart_watch(source(&kit.containerd), Limits::default());
    unseen.abort().await;
    kit.pull_to_end("gone/app:1", &image_of(&["a"], 1)).await;
    kit.restart_watch(source(&kit.containerd), Limits::default());
    kit.watch.wait_connected().await;
    kit.pull_to_end("seen/app:1", &image_of(&["b"], 1)).await;
    let pull = kit.watch.wait_completed(1).await.remove(0);
    assert_eq!(pull.display_name().expect("name is known"), kit.registry.reference("seen/app:1"));
    kit
}

async fn agent_waits_for_containerd_to_start(mut kit: Kit) -> Kit {
    kit.containerd.stop().await.expect("stopped");
    let socket = kit.containerd.socket();
    match std::fs::remove_file(&socket) {
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => {}
        removed => removed.expect("socket removed"),
    }
    kit.restart_watch(source(&kit.containerd), Limits::default());
    kit.watch.until("containerd is reported as lost", |moment| moment.lost.then_some(())).await;
    kit.containerd.restart().await.expect("started");
    kit.watch.wait_connected().await;
    kit.pull_to_end("late/app:1", &image_of(&["a"], 1)).await;
    kit.watch.wait_completed(1).await;
    kit
}
