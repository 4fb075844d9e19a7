//! Pulls that fail, stop or are cut off: never called completed, never lost.

use pulltrace_core::{FailureReason, Outcome};
use pulltrace_testkit::image::{Image, Layer, mib};
use pulltrace_testkit::registry::{Refusal, Times};

use crate::kit::{Kit, SOON, Scenario, scenario};

pub(crate) const ALL: &[Scenario] = &[
    scenario!(a_blob_that_is_refused_fails_the_pull),
    scenario!(a_cancelled_pull_ends_at_once),
];

async fn a_blob_that_is_refused_fails_the_pull(kit: Kit) -> Kit {
    let layers = ["a", "b"].map(|name| Layer::random(name, mib(2)));
    let image = Image::builder().layers(layers.clone()).build();
    let gate = kit.registry.blob(layers[0].digest()).hold(mib(1));
    kit.registry
        .blob(layers[1].digest())
        .refuse(Refusal::status(500).times(Times::Always));
    let pull = kit
        .containerd
        .cri()
        .pull(&kit.registry.push("refused/app:1", &image));
    pull.outcome().await.expect_err("it fails");
    gate.release();
    let pull = kit.watch.ended(1).await.remove(0);
    assert_eq!(pull.outcome(), Some(Outcome::Failed));
    assert_eq!(
        pull.failure.as_ref().expect("a reason").reason,
        FailureReason::Unexplained
    );
    kit
}

async fn a_cancelled_pull_ends_at_once(kit: Kit) -> Kit {
    let layer = Layer::random("a", mib(4));
    let image = Image::builder().layer(&layer).build();
    let gate = kit.registry.blob(layer.digest()).hold(mib(2));
    let pull = kit
        .containerd
        .cri()
        .pull(&kit.registry.push("cancelled/app:1", &image));
    gate.await_reached(SOON)
        .await
        .expect("the layer is asked for");
    let half = kit.watch.until("half of it is here", |moment| {
        let pull = moment.find("cancelled/app")?;
        (pull.downloaded.0 >= mib(1)).then_some(())
    });
    half.await;
    assert!(pull.cancel().await);
    let pull = kit.watch.ended(1).await.remove(0);
    assert_eq!(pull.outcome(), Some(Outcome::Failed));
    assert!(pull.percent.expect("known").get() < 100.0);
    kit
}
