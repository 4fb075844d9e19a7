//! Pulls that fail, and pods that go: why, what next, and whose.

use pulltrace_core::wire::v1::{FailureReason, ImageState, Outcome, Phase};
use pulltrace_testkit::clock;
use pulltrace_testkit::image::mib;
use pulltrace_testkit::registry::{Refusal, Times};
use pulltrace_testkit::wait;

use super::kit::{PodScenario, Pods, links, pod_scenario};
use crate::kit::{SOON, image_of};
use crate::reader::Log;

pub(crate) const ALL: &[PodScenario] = &[
    pod_scenario!(an_image_that_is_not_there_is_a_row_with_reason_hint_and_next_try),
    pod_scenario!(a_blob_that_is_cut_fails_with_the_kubelet_s_reason),
    pod_scenario!(a_pull_goes_on_when_its_pod_is_deleted),
];

/// A kubelet stamps in whole seconds, and tries again ten of them later.
async fn another_second() {
    let second = clock::wall().as_second();
    let later = async || (clock::wall().as_second() > second).then_some(());
    wait::until("another second begins", SOON, later)
        .await
        .expect("time passes");
}

async fn an_image_that_is_not_there_is_a_row_with_reason_hint_and_next_try(mut pods: Pods) -> Pods {
    let image = image_of(&["a"], 4);
    let reference = pods.push("shop/web:1", &image);
    let manifests = pods.kit.registry.manifests().in_repository("shop/web");
    manifests.refuse(Refusal::status(404));
    let mut web = pods.app("web", &reference).await;
    let pull = pods.pulls(&web, "app").await;
    pods.ends(&mut web, pull)
        .await
        .expect_err("it is not there");
    let failed = |attempt: u32| {
        move |log: &Log| {
            let row = log.find("shop/web")?;
            let known = row.attempt == Some(attempt) && row.failure.is_some();
            (known && row.outcome.is_some()).then(|| row.clone())
        }
    };
    let row = pods.kit.until("it has failed", failed(1)).await;
    assert_eq!(
        (row.phase, row.outcome),
        (Phase::Failed, Some(Outcome::Failed))
    );
    assert_eq!(links(&row), [("web", "app")]);
    let failure = row.failure.clone().expect("a reason");
    assert_eq!(failure.reason, FailureReason::NotFound, "{failure:?}");
    assert!(failure.hint.is_some() && failure.message.is_some());
    let next = failure.next_retry_at.expect("it is tried again");
    let ended = row.completed_at.expect("it has ended");
    assert!(next > ended, "{row:#?}");
    let view = pods.view("web").await.expect("it waits");
    assert_eq!(view.pod.images[0].state, ImageState::Failed);
    assert!(
        view.pod.summary.contains("cannot be pulled: not_found"),
        "{}",
        view.pod.summary
    );
    let rows = pods.kit.list().await;
    assert_eq!(rows.len(), 1, "{rows:#?}");

    another_second().await;
    let pull = pods.pulls(&web, "app").await;
    pods.ends(&mut web, pull)
        .await
        .expect_err("it is still not there");
    let again = pods.kit.until("it has failed again", failed(2)).await;
    let failure = again.failure.expect("a reason");
    assert_eq!(failure.reason, FailureReason::NotFound, "{failure:?}");
    let later = failure.next_retry_at.expect("it is tried again");
    assert!(later > next, "{next} then {later}");
    // Where the agent saw the lease of the first try, that has a row of its own.
    let rows = pods.kit.list().await;
    let second = rows.iter().filter(|row| row.attempt == Some(2));
    assert_eq!(second.count(), 1, "{rows:#?}");
    assert!(
        rows.iter().all(|row| row.outcome == Some(Outcome::Failed)),
        "{rows:#?}"
    );

    another_second().await;
    manifests.clear();
    let gate = pods.kit.hold(&image, mib(2));
    let pull = pods.pulls(&web, "app").await;
    let third = |log: &Log| {
        let row = log.find("shop/web")?;
        (row.attempt == Some(3) && row.downloaded_bytes > Some(0)).then(|| row.clone())
    };
    let row = pods.kit.until("the third try loads", third).await;
    assert_eq!((row.outcome, links(&row)), (None, vec![("web", "app")]));
    gate.release();
    pods.ends(&mut web, pull).await.expect("it succeeds");
    pods.until_view("web", "it is there", |view| view.pod.ready.then_some(()))
        .await;
    let ended = pods.kit.ended("shop/web").await;
    assert_eq!((&ended.id, ended.attempt), (&row.id, Some(3)));
    assert_eq!(ended.outcome, Some(Outcome::Completed));
    pods
}

async fn a_blob_that_is_cut_fails_with_the_kubelet_s_reason(mut pods: Pods) -> Pods {
    let image = image_of(&["a"], 6);
    let gate = pods.kit.hold(&image, mib(3));
    let reference = pods.push("shop/web:1", &image);
    let mut web = pods.app("web", &reference).await;
    let pull = pods.pulls(&web, "app").await;
    let live = pods.linked("shop/web", &[("web", "app")]).await;
    let layer = pods.kit.registry.blob(&image.layers()[0].descriptor.digest);
    layer.cut(mib(3), Times::Always);
    gate.release();
    let error = pods.ends(&mut web, pull).await.expect_err("it fails");
    let told = |log: &Log| {
        let row = log.find("shop/web")?;
        let failure = row.failure.as_ref()?;
        (failure.reason != FailureReason::Unexplained).then(|| row.clone())
    };
    let row = pods.kit.until("its reason is known", told).await;
    assert_eq!((&row.id, row.outcome), (&live.id, Some(Outcome::Failed)));
    assert_eq!((links(&row), row.attempt), (vec![("web", "app")], Some(1)));
    let failure = row.failure.clone().expect("a reason");
    assert!(failure.next_retry_at.is_some(), "{failure:?}");
    let message = failure.message.expect("a text");
    assert!(message.ends_with("EOF"), "{message} of {error}");
    assert!(row.percent < Some(100.0));
    assert_eq!(pods.kit.list().await.len(), 1);

    // What came before is not lost, and the second try is a row of its own.
    another_second().await;
    layer.clear();
    let pull = pods.pulls(&web, "app").await;
    pods.ends(&mut web, pull).await.expect("it succeeds");
    let second = |log: &Log| {
        let mut rows = log.rows().filter(|row| row.attempt == Some(2));
        rows.next().filter(|row| row.outcome.is_some()).cloned()
    };
    let second = pods.kit.until("the second try has ended", second).await;
    assert_eq!(second.outcome, Some(Outcome::Completed));
    assert_ne!(second.id, row.id);
    let rows = pods.kit.list().await;
    assert_eq!(rows.len(), 2, "{rows:#?}");
    pods
}

async fn a_pull_goes_on_when_its_pod_is_deleted(mut pods: Pods) -> Pods {
    let image = image_of(&["a"], 4);
    let gate = pods.kit.hold(&image, mib(2));
    let reference = pods.push("shop/web:1", &image);
    let mut web = pods.app("web", &reference).await;
    let pull = pods.pulls(&web, "app").await;
    let live = pods.linked("shop/web", &[("web", "app")]).await;
    let mut followed = pods.follow("web").await;
    pods.admin
        .delete_pod(&pods.namespace, "web")
        .await
        .expect("it is deleted");
    let end = followed.end().await;
    assert_eq!(
        (end.event.as_str(), &end.data["reason"]),
        ("end", &"gone".into())
    );
    let waiting = pods.waiting().await.pods;
    assert!(waiting.is_empty(), "{waiting:#?}");
    let row = pods.linked("shop/web", &[("web", "app")]).await;
    assert_eq!((&row.id, row.outcome), (&live.id, None), "it goes on");
    gate.release();
    // The kubelet says it all the same; there is no status to write.
    web.forget();
    pods.ends(&mut web, pull).await.expect("it succeeds");
    let row = pods.kit.ended("shop/web").await;
    assert_eq!((&row.id, row.outcome), (&live.id, Some(Outcome::Completed)));
    assert_eq!(links(&row), [("web", "app")]);
    assert_eq!(pods.kit.list().await.len(), 1);
    pods
}
