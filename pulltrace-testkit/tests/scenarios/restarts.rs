//! What is killed and comes back: the agent, and containerd.

use pulltrace_core::{FailureReason, Limits, Outcome};
use pulltrace_testkit::image::mib;

use crate::kit::{Kit, Scenario, image_of, scenario, source};
use crate::watch::assert_failed;

pub(crate) const ALL: &[Scenario] = &[
    scenario!(a_killed_containerd_fails_its_pull_and_the_next_resumes),
    scenario!(a_killed_agent_goes_on_where_it_was),
    scenario!(an_agent_that_comes_after_the_end_of_a_pull_claims_nothing),
    scenario!(a_containerd_that_is_not_there_yet_is_waited_for),
];

async fn a_killed_containerd_fails_its_pull_and_the_next_resumes(mut kit: Kit) -> Kit {
    let image = image_of(&["a"], 6);
    let layer = kit.registry.blob(&image.layers()[0].descriptor.digest);
    let (pull, gate) = kit.pull_half("resumed/app:1", &image, mib(3)).await;
    kit.containerd.kill9().expect("it is killed");
    pull.outcome().await.expect_err("its call is cut off");
    kit.watch
        .until("containerd is away, and its pull stale", |moment| {
            let pull = moment.find("resumed/app")?;
            (!moment.connected && pull.stale_since.is_some() && pull.outcome().is_none())
                .then_some(())
        })
        .await;
    kit.containerd.restart().await.expect("it starts");
    let old = kit.watch.ended(1).await.remove(0);
    assert_failed(&old, FailureReason::RuntimeRestarted);

    let before = layer.requests().len();
    let later = layer.hold(mib(5));
    gate.release();
    let pull = kit.pull("resumed/app:1", &image);
    let first = kit
        .watch
        .until("the new pull is seen with what was there", |moment| {
            let pull = moment.live().into_iter().next()?;
            (pull.downloaded.0 > 0).then_some(pull)
        });
    let first = first.await;
    assert_ne!(first.id, old.id);
    assert!(first.downloaded >= old.downloaded, "{first:#?}");
    later.release();
    pull.outcome().await.expect("it succeeds");
    let ended = kit.watch.ended(2).await;
    let new = ended
        .iter()
        .find(|pull| pull.id == first.id)
        .expect("it is there");
    assert_eq!(new.outcome(), Some(Outcome::Completed), "{new:#?}");
    let asked = &layer.requests()[before..];
    let resumed = |start: u64| start >= old.downloaded.0;
    assert!(
        asked
            .iter()
            .all(|request| request.range_start.is_some_and(resumed)),
        "{asked:#?}"
    );
    kit.watch.assert_total("resumed/app", mib(6));
    kit
}

async fn a_killed_agent_goes_on_where_it_was(mut kit: Kit) -> Kit {
    let image = image_of(&["a", "b", "c"], 4);
    let (pull, gate) = kit.pull_half("kept/app:1", &image, mib(2)).await;
    let others = |moment: &crate::watch::Moment| {
        moment
            .find("kept/app")
            .filter(|pull| pull.downloaded.0 >= 2 * mib(4))
    };
    kit.watch.until("the other layers are here", others).await;
    let old = kit.watch_anew(source(&kit.containerd), Limits::default());
    let before = old.kill().await;
    let before = before
        .last()
        .and_then(|moment| moment.find("kept/app"))
        .expect("it was seen");
    kit.watch.until_bytes("kept/app", mib(1)).await;
    gate.release();
    pull.outcome().await.expect("it succeeds");
    let after = kit.watch.completed(1).await.remove(0);
    assert_eq!(
        (&after.id, after.started_at, after.total),
        (&before.id, before.started_at, before.total)
    );
    kit.watch.assert_total("kept/app", 3 * mib(4));
    for pull in kit
        .watch
        .states("kept/app")
        .iter()
        .filter(|pull| pull.image.is_some())
    {
        assert_eq!(pull.to_download, before.to_download);
        assert!(
            pull.downloaded >= before.downloaded,
            "{before:#?} then {pull:#?}"
        );
        assert!(pull.percent >= before.percent, "{before:#?} then {pull:#?}");
    }
    kit
}

async fn an_agent_that_comes_after_the_end_of_a_pull_claims_nothing(mut kit: Kit) -> Kit {
    let old = kit.watch_anew(source(&kit.containerd), Limits::default());
    old.kill().await;
    kit.watch.connected().await;
    let unseen = kit.watch_anew(source(&kit.containerd), Limits::default());
    unseen.kill().await;
    kit.pull_whole("gone/app:1", &image_of(&["a"], 1)).await;
    kit.watch_anew(source(&kit.containerd), Limits::default());
    kit.watch.connected().await;
    kit.pull_whole("seen/app:1", &image_of(&["b"], 1)).await;
    let pull = kit.watch.completed(1).await.remove(0);
    assert_eq!(
        pull.title().expect("a name"),
        kit.registry.reference("seen/app:1")
    );
    kit
}

async fn a_containerd_that_is_not_there_yet_is_waited_for(mut kit: Kit) -> Kit {
    kit.containerd.stop().await.expect("it ends");
    let socket = kit.containerd.socket();
    match std::fs::remove_file(&socket) {
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => {}
        removed => removed.expect("the socket is removed"),
    }
    kit.watch_anew(source(&kit.containerd), Limits::default());
    kit.watch
        .until("it is said that containerd is not there", |moment| {
            moment.lost.then_some(())
        })
        .await;
    kit.containerd.restart().await.expect("it starts");
    kit.watch.connected().await;
    kit.pull_whole("late/app:1", &image_of(&["a"], 1)).await;
    kit.watch.completed(1).await;
    kit
}
