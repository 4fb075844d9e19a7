//! Pulls that wait: for the registry, for its patience, for another pull that may fail.

use std::time::Duration;

use pulltrace_core::{Outcome, Phase, WaitingKind};
use pulltrace_testkit::image::{Image, Layer, mib};
use pulltrace_testkit::registry::{Refusal, Times};

use crate::kit::{Kit, SOON, Scenario, image_of, scenario};
use crate::watch::assert_failed;

pub(crate) const ALL: &[Scenario] = &[
    scenario!(a_registry_that_is_silent_is_waited_for),
    scenario!(a_silent_registry_that_refuses_later_fails_the_pull),
    scenario!(too_many_requests_are_no_failure),
    scenario!(one_cut_is_no_failure),
    scenario!(who_waits_for_a_pull_that_fails_takes_over),
    scenario!(a_shared_base_is_taken_over_from_a_pull_that_fails),
];

/// Within this time a pull that has not resolved its name is seen.
const RESOLVING_WITHIN: Duration = Duration::from_millis(2_500);

/// Waits until a pull is seen that resolves its name, which is soon, and that it says what it waits for.
async fn until_resolving(kit: &Kit) {
    let first = kit.watch.until("a pull resolves its name", |moment| {
        let pull = moment.live().into_iter().next()?;
        Some((moment.now.node, pull))
    });
    let (at, pull) = first.await;
    assert_eq!(
        (pull.phase, pull.total, pull.percent),
        (Phase::Resolving, None, None)
    );
    let after = at.since(pull.started_at);
    assert!(after <= RESOLVING_WITHIN, "{after:?} after its beginning");
    let waits = pull.waiting_on.clone().expect("it waits");
    assert_eq!(waits.kind, WaitingKind::Registry);
}

async fn a_registry_that_is_silent_is_waited_for(kit: Kit) -> Kit {
    let image = image_of(&["a"], 2);
    let gate = kit.registry.manifest("1").silent();
    let pull = kit.pull("silent/app:1", &image);
    until_resolving(&kit).await;
    gate.release();
    pull.outcome().await.expect("it succeeds");
    let pull = kit.watch.completed(1).await.remove(0);
    assert_eq!(
        pull.title().expect("a name"),
        kit.registry.reference("silent/app:1")
    );
    assert_eq!(pull.total.map(|total| total.0), Some(mib(2)));
    kit
}

async fn a_silent_registry_that_refuses_later_fails_the_pull(kit: Kit) -> Kit {
    let image = image_of(&["a"], 2);
    let gate = kit.registry.manifest("1").silent();
    kit.registry.manifests().refuse(Refusal::status(404));
    let pull = kit.pull("silent/app:1", &image);
    until_resolving(&kit).await;
    gate.release();
    pull.outcome().await.expect_err("it fails");
    let pull = kit.watch.failed().await;
    assert_eq!((pull.total, pull.percent), (None, None));
    kit
}

async fn too_many_requests_are_no_failure(kit: Kit) -> Kit {
    let image = image_of(&["a", "b"], 3);
    let second = kit.registry.blob(&image.layers()[1].descriptor.digest);
    second.refuse(Refusal::status(429).times(Times::Times(2)));
    let (pull, gate) = kit.pull_half("limited/app:1", &image, mib(2)).await;
    second.await_requests(3, SOON).await.expect("it asks again");
    gate.release();
    pull.outcome().await.expect("it succeeds");
    kit.watch.completed(1).await;
    kit.watch
        .assert_total("limited/app", image.manifest().unique_layer_bytes());
    kit
}

async fn one_cut_is_no_failure(kit: Kit) -> Kit {
    let image = image_of(&["a"], 4);
    let layer = kit.registry.blob(&image.layers()[0].descriptor.digest);
    let (pull, gate) = kit.pull_half("cut/app:1", &image, mib(2)).await;
    layer.cut(mib(2), Times::Once);
    let later = layer.hold(mib(3));
    gate.release();
    later
        .await_reached(SOON)
        .await
        .expect("it goes on behind the cut");
    let resumed = layer
        .requests()
        .iter()
        .any(|request| request.range_start.is_some_and(|start| start > 0));
    assert!(resumed, "{:#?}", layer.requests());
    kit.watch.until_bytes("cut/app", mib(2)).await;
    later.release();
    pull.outcome().await.expect("it succeeds");
    let pull = kit.watch.completed(1).await.remove(0);
    assert_eq!((pull.wasted.0, pull.downloaded.0), (0, mib(4)));
    kit
}

async fn who_waits_for_a_pull_that_fails_takes_over(kit: Kit) -> Kit {
    let image = image_of(&["only"], 6);
    let (first, gate) = kit.pull_half("takeover/app:1", &image, mib(3)).await;
    let second = kit.pull("takeover/app:1", &image);
    ends_well_where_the_first_fails(kit, image, first, second, gate, "takeover/app").await
}

async fn a_shared_base_is_taken_over_from_a_pull_that_fails(kit: Kit) -> Kit {
    let base = Layer::random("base", mib(6));
    let image = |name: &str| {
        let own = Layer::random(name, mib(1));
        Image::builder().layer(&base).layer(&own).build()
    };
    let (one, two) = (image("one"), image("two"));
    let (first, gate) = kit.pull_half("takeover/one:1", &one, mib(3)).await;
    let second = kit.pull("takeover/two:1", &two);
    ends_well_where_the_first_fails(kit, two, first, second, gate, "takeover/two").await
}

async fn ends_well_where_the_first_fails(
    kit: Kit,
    image: Image,
    first: pulltrace_testkit::cri::Pull,
    second: pulltrace_testkit::cri::Pull,
    gate: pulltrace_testkit::registry::Gate,
    path: &str,
) -> Kit {
    let waits = kit.watch.until("the second waits for the first", |moment| {
        let shared = |pull: &&std::sync::Arc<pulltrace_core::Pull>| {
            let waits = pull.waiting_on.as_ref();
            waits.is_some_and(|waits| waits.kind == WaitingKind::SharedLayer)
        };
        moment.live().iter().find(shared).cloned()
    });
    let waiter = waits.await;
    assert!(first.cancel().await);
    kit.watch
        .until("the first is over", |moment| {
            let ended = |pull: &std::sync::Arc<pulltrace_core::Pull>| pull.outcome().is_some();
            moment.pulls.iter().any(ended).then_some(())
        })
        .await;
    gate.release();
    second.outcome().await.expect("the second succeeds");
    let ended = kit.watch.ended(2).await;
    for pull in &ended {
        if pull.id == waiter.id {
            assert_eq!(pull.outcome(), Some(Outcome::Completed), "{pull:#?}");
            assert_eq!(pull.wasted.0, 0, "what was here is not fetched again");
        } else {
            assert_failed(pull, pulltrace_core::FailureReason::Unexplained);
        }
    }
    kit.watch
        .assert_total(path, image.manifest().unique_layer_bytes());
    kit
}
