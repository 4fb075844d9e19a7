//! Failed pulls and deleted pods: reason, retry and links.

use pulltrace_core::wire::v1::{FailureReason, ImageState, Outcome, Phase};
use pulltrace_testkit::clock;
use pulltrace_testkit::image::mib;
use pulltrace_testkit::registry::{Refusal, Times};
use pulltrace_testkit::wait;

use super::kit::{PodKit, PodScenario, links, pod_scenario};
use crate::kit::{TIMEOUT, image_of};
use crate::reader::ReaderLog;

pub(crate) const ALL: &[PodScenario] = &[
    pod_scenario!(missing_image_shows_reason_hint_and_retry),
    pod_scenario!(cut_blob_fails_with_kubelet_reason),
    pod_scenario!(pull_continues_when_pod_is_deleted),
];

/// Kubelet events have a resolution of one second, and the kubelet retries after ten.
async fn wait_next_second() {
    let second = clock::wall().as_second();
    let later = async || (clock::wall().as_second() > second).then_some(());
    wait::until("the next second starts", TIMEOUT, later).await.expect("clock advances");
}

async fn missing_image_shows_reason_hint_and_retry(mut pods: PodKit) -> PodKit {
    let image = image_of(&["a"], 4);
    let reference = pods.push("shop/web:1", &image);
    let manifests = pods.kit.registry.manifests().in_repository("shop/web");
    manifests.refuse(Refusal::status(404));
    let mut web = pods.create_app_pod("web", &reference).await;
    let pull = pods.announce_and_start(&web, "app").await;
    pods.finish_pull(&mut web, pull).await.expect_err("image is missing");
    let failed = |attempt: u32| {
        move |log: &ReaderLog| {
            let row = log.find("shop/web")?;
            let known = row.attempt == Some(attempt) && row.failure.is_some();
            (known && row.outcome.is_some()).then(|| row.clone())
        }
    };
    let row = pods.kit.until("the pull has failed", failed(1)).await;
    assert_eq!((row.phase, row.outcome), (Phase::Failed, Some(Outcome::Failed)));
    assert_eq!(links(&row), [("web", "app")]);
    let failure = row.failure.clone().expect("a reason");
    assert_eq!(failure.reason, FailureReason::NotFound, "{failure:?}");
    assert!(failure.hint.is_some() && failure.message.is_some());
    let next = failure.next_retry_at.expect("retry is scheduled");
    let ended = row.completed_at.expect("pull has ended");
    assert!(next > ended, "{row:#?}");
    let view = pods.pod_view("web").await.expect("pod is waiting");
    assert_eq!(view.pod.images[0].state, ImageState::Failed);
    assert!(view.pod.summary.contains("cannot be pulled: not_found"), "{}", view.pod.summary);
    let rows = pods.kit.list().await;
    assert_eq!(rows.len(), 1, "{rows:#?}");

    wait_next_second().await;
    let pull = pods.announce_and_start(&web, "app").await;
    pods.finish_pull(&mut web, pull).await.expect_err("image is still missing");
    let again = pods.kit.until("the second attempt has failed", failed(2)).await;
    let failure = again.failure.expect("a reason");
    assert_eq!(failure.reason, FailureReason::NotFound, "{failure:?}");
    let later = failure.next_retry_at.expect("retry is scheduled");
    assert!(later > next, "{next} then {later}");
    // If the agent saw the lease of the first attempt, that attempt has its own row.
    let rows = pods.kit.list().await;
    let second = rows.iter().filter(|row| row.attempt == Some(2));
    assert_eq!(second.count(), 1, "{rows:#?}");
    assert!(rows.iter().all(|row| row.outcome == Some(Outcome::Failed)), "{rows:#?}");

    wait_next_second().await;
    manifests.clear();
    let gate = pods.kit.hold(&image, mib(2));
    let pull = pods.announce_and_start(&web, "app").await;
    let third = |log: &ReaderLog| {
        let row = log.find("shop/web")?;
        (row.attempt == Some(3) && row.downloaded_bytes > Some(0)).then(|| row.clone())
    };
    let row = pods.kit.until("the third attempt downloads", third).await;
    assert_eq!((row.outcome, links(&row)), (None, vec![("web", "app")]));
    gate.release();
    pods.finish_pull(&mut web, pull).await.expect("pull succeeds");
    pods.wait_pod_view("web", "the pod has its image", |view| view.pod.ready.then_some(())).await;
    let ended = pods.kit.wait_ended("shop/web").await;
    assert_eq!((&ended.id, ended.attempt), (&row.id, Some(3)));
    assert_eq!(ended.outcome, Some(Outcome::Completed));
    pods
}

async fn cut_blob_fails_with_kubelet_reason(mut pods: PodKit) -> PodKit {
    let image = image_of(&["a"], 6);
    let gate = pods.kit.hold(&image, mib(3));
    let reference = pods.push("shop/web:1", &image);
    let mut web = pods.create_app_pod("web", &reference).await;
    let pull = pods.announce_and_start(&web, "app").await;
    let live = pods.wait_linked("shop/web", &[("web", "app")]).await;
    let layer = pods.kit.registry.blob(&image.layers()[0].descriptor.digest);
    layer.cut(mib(3), Times::Always);
    gate.release();
    let error = pods.finish_pull(&mut web, pull).await.expect_err("pull fails");
    let classified = |log: &ReaderLog| {
        let row = log.find("shop/web")?;
        let failure = row.failure.as_ref()?;
        (failure.reason != FailureReason::Unexplained).then(|| row.clone())
    };
    let row = pods.kit.until("the reason is known", classified).await;
    assert_eq!((&row.id, row.outcome), (&live.id, Some(Outcome::Failed)));
    assert_eq!((links(&row), row.attempt), (vec![("web", "app")], Some(1)));
    let failure = row.failure.clone().expect("a reason");
    assert!(failure.next_retry_at.is_some(), "{failure:?}");
    let message = failure.message.expect("a text");
    assert!(message.ends_with("EOF"), "{message} of {error}");
    assert!(row.percent < Some(100.0));
    assert_eq!(pods.kit.list().await.len(), 1);

    // The first attempt is kept, and the second has its own row.
    wait_next_second().await;
    layer.clear();
    let pull = pods.announce_and_start(&web, "app").await;
    pods.finish_pull(&mut web, pull).await.expect("pull succeeds");
    let second = |log: &ReaderLog| {
        let mut rows = log.rows().filter(|row| row.attempt == Some(2));
        rows.next().filter(|row| row.outcome.is_some()).cloned()
    };
    let second = pods.kit.until("the second attempt has ended", second).await;
    assert_eq!(second.outcome, Some(Outcome::Completed));
    assert_ne!(second.id, row.id);
    let rows = pods.kit.list().await;
    assert_eq!(rows.len(), 2, "{rows:#?}");
    pods
}

async fn pull_continues_when_pod_is_deleted(mut pods: PodKit) -> PodKit {
    let image = image_of(&["a"], 4);
    let gate = pods.kit.hold(&image, mib(2));
    let reference = pods.push("shop/web:1", &image);
    let mut web = pods.create_app_pod("web", &reference).await;
    let pull = pods.announce_and_start(&web, "app").await;
    let live = pods.wait_linked("shop/web", &[("web", "app")]).await;
    let mut followed = pods.follow_pod("web").await;
    pods.admin.delete_pod(&pods.namespace, "web").await.expect("deleted");
    let end = followed.wait_end().await;
    assert_eq!((end.event.as_str(), &end.data["reason"]), ("end", &"gone".into()));
    let waiting = pods.waiting_pods().await.pods;
    assert!(waiting.is_empty(), "{waiting:#?}");
    let row = pods.wait_linked("shop/web", &[("web", "app")]).await;
    assert_eq!((&row.id, row.outcome), (&live.id, None), "pull continues");
    gate.release();
    // The kubelet still reports the end, but there is no status to write.
    web.mark_deleted();
    pods.finish_pull(&mut web, pull).await.expect("pull succeeds");
    let row = pods.kit.wait_ended("shop/web").await;
    assert_eq!((&row.id, row.outcome), (&live.id, Some(Outcome::Completed)));
    assert_eq!(links(&row), [("web", "app")]);
    assert_eq!(pods.kit.list().await.len(), 1);
    pods
}
