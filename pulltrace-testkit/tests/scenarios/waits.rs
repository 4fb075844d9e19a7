//! Pulls that wait: for a silent registry, after a 429, or for another pull that may fail.

use std::time::Duration;

use pulltrace_core::{Outcome, Phase, WaitingKind};
use pulltrace_testkit::image::{Image, Layer, mib};
use pulltrace_testkit::registry::{Refusal, Times};

use crate::kit::{Kit, Scenario, TIMEOUT, image_of, scenario};
use crate::watch::assert_failed;

pub(crate) const ALL: &[Scenario] = &[
    scenario!(silent_registry_shows_waiting_pull),
    scenario!(silent_registry_refusing_later_fails_pull),
    scenario!(retried_429_is_not_a_failure),
    scenario!(single_cut_is_not_a_failure),
    scenario!(waiting_pull_takes_over_after_failure),
    scenario!(shared_base_is_taken_over_after_failure),
];

/// Time within which a pull that has not resolved its name is visible.
const MAX_DETECTION_DELAY: Duration = Duration::from_millis(2_500);

/// Waits for a pull that resolves its name, and asserts that it appears in time and waits for the
/// registry.
async fn wait_resolving(kit: &Kit) {
    let first = kit.watch.until("a pull resolves its name", |moment| {
        let pull = moment.live().into_iter().next()?;
        Some((moment.now.node, pull))
    });
    let (at, pull) = first.await;
    assert_eq!((pull.phase, pull.total, pull.motion.percent), (Phase::Resolving, None, None));
    let after = at.since(pull.started_at);
    assert!(after <= MAX_DETECTION_DELAY, "visible only after {after:?}");
    let waits = pull.waiting_on.clone().expect("pull is waiting");
    assert_eq!(waits.kind, WaitingKind::Registry);
}

async fn silent_registry_shows_waiting_pull(kit: Kit) -> Kit {
    let image = image_of(&["a"], 2);
    let gate = kit.registry.manifest("1").silent();
    let pull = kit.pull("silent/app:1", &image);
    wait_resolving(&kit).await;
    gate.release();
    pull.outcome().await.expect("pull succeeds");
    let pull = kit.watch.wait_completed(1).await.remove(0);
    assert_eq!(pull.display_name().expect("name is known"), kit.registry.reference("silent/app:1"));
    assert_eq!(pull.total.map(|total| total.0), Some(mib(2)));
    kit
}

async fn silent_registry_refusing_later_fails_pull(kit: Kit) -> Kit {
    let image = image_of(&["a"], 2);
    let gate = kit.registry.manifest("1").silent();
    kit.registry.manifests().refuse(Refusal::status(404));
    let pull = kit.pull("silent/app:1", &image);
    wait_resolving(&kit).await;
    gate.release();
    pull.outcome().await.expect_err("pull fails");
    let pull = kit.watch.wait_failed().await;
    assert_eq!((pull.total, pull.motion.percent), (None, None));
    kit
}

async fn retried_429_is_not_a_failure(kit: Kit) -> Kit {
    let image = image_of(&["a", "b"], 3);
    let second = kit.registry.blob(&image.layers()[1].descriptor.digest);
    second.refuse(Refusal::status(429).times(Times::Times(2)));
    let (pull, gate) = kit.pull_held("limited/app:1", &image, mib(2)).await;
    second.await_requests(3, TIMEOUT).await.expect("retried");
    gate.release();
    pull.outcome().await.expect("pull succeeds");
    kit.watch.wait_completed(1).await;
    kit.watch.assert_total("limited/app", image.manifest().unique_layer_bytes());
    kit
}

async fn single_cut_is_not_a_failure(kit: Kit) -> Kit {
    let image = image_of(&["a"], 4);
    let layer = kit.registry.blob(&image.layers()[0].descriptor.digest);
    let (pull, gate) = kit.pull_held("cut/app:1", &image, mib(2)).await;
    layer.cut(mib(2), Times::Once);
    let later = layer.hold(mib(3));
    gate.release();
    later.await_reached(TIMEOUT).await.expect("resumed after the cut");
    let resumed =
        layer.requests().iter().any(|request| request.range_start.is_some_and(|start| start > 0));
    assert!(resumed, "{:#?}", layer.requests());
    kit.watch.wait_bytes("cut/app", mib(2)).await;
    later.release();
    pull.outcome().await.expect("pull succeeds");
    let pull = kit.watch.wait_completed(1).await.remove(0);
    assert_eq!((pull.wasted.0, pull.motion.downloaded.0), (0, mib(4)));
    kit
}

async fn waiting_pull_takes_over_after_failure(kit: Kit) -> Kit {
    let image = image_of(&["only"], 6);
    let (first, gate) = kit.pull_held("takeover/app:1", &image, mib(3)).await;
    let second = kit.pull("takeover/app:1", &image);
    assert_second_takes_over(kit, image, first, second, gate, "takeover/app").await
}

async fn shared_base_is_taken_over_after_failure(kit: Kit) -> Kit {
    let base = Layer::random("base", mib(6));
    let image = |name: &str| {
        let own = Layer::random(name, mib(1));
        Image::builder().layer(&base).layer(&own).build()
    };
    let (one, two) = (image("one"), image("two"));
    let (first, gate) = kit.pull_held("takeover/one:1", &one, mib(3)).await;
    let second = kit.pull("takeover/two:1", &two);
    assert_second_takes_over(kit, two, first, second, gate, "takeover/two").await
}

async fn assert_second_takes_over(
    kit: Kit,
    image: Image,
    first: pulltrace_testkit::cri::Pull,
    second: pulltrace_testkit::cri::Pull,
    gate: pulltrace_testkit::registry::Gate,
    path: &str,
) -> Kit {
    let waits = kit.watch.until("the second pull waits for the first", |moment| {
        let shared = |pull: &&std::sync::Arc<pulltrace_core::Pull>| {
            let waits = pull.waiting_on.as_ref();
            waits.is_some_and(|waits| waits.kind == WaitingKind::SharedLayer)
        };
        moment.live().iter().find(shared).cloned()
    });
    let waiter = waits.await;
    assert!(first.cancel().await);
    kit.watch
        .until("the first pull has ended", |moment| {
            let ended = |pull: &std::sync::Arc<pulltrace_core::Pull>| pull.outcome().is_some();
            moment.pulls.iter().any(ended).then_some(())
        })
        .await;
    gate.release();
    second.outcome().await.expect("second pull succeeds");
    let ended = kit.watch.wait_ended(2).await;
    for pull in &ended {
        if pull.id == waiter.id {
            assert_eq!(pull.outcome(), Some(Outcome::Completed), "{pull:#?}");
            assert_eq!(pull.wasted.0, 0, "existing data was downloaded again");
        } else {
            assert_failed(pull, pulltrace_core::FailureReason::Unexplained);
        }
    }
    kit.watch.assert_total(path, image.manifest().unique_layer_bytes());
    kit
}
