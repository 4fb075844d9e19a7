//! Successful pulls: linked to their pods, queued like in the kubelet, and one row each.

use pulltrace_core::wire::v1::{
    ImageState, LayerState, LinkEvidence, Outcome, Phase, SlotKind, WaitingKind,
};
use pulltrace_testkit::image::{Image, Layer, mib};
use serde_json::json;

use super::kit::{PodKit, PodScenario, evidence, links, pod_scenario};
use crate::kit::image_of;
use crate::reader::{ReaderLog, is_pull_of};

pub(crate) const ALL: &[PodScenario] = &[
    pod_scenario!(pull_has_pod_and_kubelet_times),
    pod_scenario!(followed_pod_stream_ends_when_ready),
    pod_scenario!(queued_pod_keeps_row_when_pull_starts),
    pod_scenario!(two_pods_with_one_image_share_pull),
    pod_scenario!(init_container_image_is_pulled_first),
    pod_scenario!(image_volume_pull_has_pod),
    pod_scenario!(shared_layer_is_downloaded_by_one_pull),
    pod_scenario!(present_image_starts_no_pull),
    pod_scenario!(cached_pull_has_pod),
];

async fn pull_has_pod_and_kubelet_times(mut pods: PodKit) -> PodKit {
    let image = image_of(&["a"], 4);
    let reference = pods.push("shop/web:1", &image);
    let gate = pods.kit.hold(&image, mib(2));
    let mut web = pods.create_app_pod("web", &reference).await;
    let pull = pods.announce_and_start(&web, "app").await;
    pods.wait_linked("shop/web", &[("web", "app")]).await;
    // The pod may arrive before its event.
    let by_event = |log: &ReaderLog| {
        let row = log.find("shop/web")?;
        (evidence(row) == Some(LinkEvidence::Event)).then(|| row.clone())
    };
    let row = pods.kit.until("the event has arrived", by_event).await;
    assert_eq!((&row.pods[0].image, row.attempt), (&reference, Some(1)));
    assert_eq!(row.pods[0].uid, web.object["metadata"]["uid"]);
    assert!(row.queued_at <= Some(row.started_at), "{row:#?}");
    // The list and the pod's view match the stream.
    let waiting = pods.waiting_pods().await.pods;
    let names: Vec<_> = waiting.iter().map(|pod| pod.pod_name.as_str()).collect();
    assert_eq!(names, ["web"]);
    let view = pods.pod_view("web").await.expect("pod is waiting");
    assert_eq!(view.pod.images[0].pull.as_ref(), Some(&row.id));
    assert_eq!(view.pulls.len(), 1);

    gate.release();
    pods.finish_pull(&mut web, pull).await.expect("pull succeeds");
    let has_kubelet_times = |log: &ReaderLog| {
        let row = log.find("shop/web")?;
        (row.outcome.is_some() && row.kubelet.is_some()).then(|| row.clone())
    };
    let ended = pods.kit.until("the kubelet's times have arrived", has_kubelet_times).await;
    assert_eq!((&ended.id, ended.outcome), (&row.id, Some(Outcome::Completed)));
    assert_eq!(evidence(&ended), Some(LinkEvidence::ImageRecord));
    let kubelet = ended.kubelet.expect("kubelet times");
    assert_eq!(kubelet.agrees, Some(true), "{ended:#?}");
    assert!(kubelet.with_waiting_seconds >= Some(kubelet.pull_seconds));
    assert!(kubelet.image_bytes.is_some());
    pods.wait_pod_view("web", "the pod has its image", |view| view.pod.ready.then_some(())).await;
    assert_eq!(pods.kit.list().await.len(), 1);
    pods
}

async fn followed_pod_stream_ends_when_ready(mut pods: PodKit) -> PodKit {
    let image = image_of(&["a"], 4);
    let reference = pods.push("shop/web:1", &image);
    let gate = pods.kit.hold(&image, mib(2));
    let mut web = pods.create_app_pod("web", &reference).await;
    let pull = pods.announce_and_start(&web, "app").await;
    pods.wait_linked("shop/web", &[("web", "app")]).await;
    let mut followed = pods.follow_pod("web").await;
    followed
        .until("the pull makes progress", |said| {
            said.data["pod"]["moving"] == true && said.data["pulls"][0]["downloadedBytes"] != 0
        })
        .await;
    gate.release();
    pods.finish_pull(&mut web, pull).await.expect("pull succeeds");
    let end = followed.wait_end().await;
    assert_eq!((end.event.as_str(), &end.data["reason"]), ("end", &json!("ready")));
    let events = followed.events();
    let last = &events[events.len() - 2].data["pod"];
    assert_eq!(last["ready"], true, "{last:#}");
    assert_eq!(last["summary"], "its image is present");
    pods
}

async fn queued_pod_keeps_row_when_pull_starts(mut pods: PodKit) -> PodKit {
    let (web_image, db_image) = (image_of(&["web"], 6), image_of(&["db"], 4));
    let web_gate = pods.kit.hold(&web_image, mib(3));
    let db_gate = pods.kit.hold(&db_image, mib(2));
    let web_name = pods.push("shop/web:1", &web_image);
    let db_name = pods.push("shop/db:1", &db_image);
    let (mut web, mut db) =
        (pods.create_app_pod("web", &web_name).await, pods.create_app_pod("db", &db_name).await);
    let web_pull = pods.announce_and_start(&web, "app").await;
    let first = pods.wait_linked("shop/web", &[("web", "app")]).await;
    let waits = pods.announce_pull(&db, "app").await;
    let queued = pods.wait_linked("shop/db", &[("db", "app")]).await;
    assert_eq!((queued.phase, queued.outcome), (Phase::Queued, None));
    let behind = queued.waiting_on.clone().expect("pull is waiting");
    assert_eq!(behind.kind, WaitingKind::KubeletQueue);
    assert_eq!((behind.pull.as_ref(), behind.ahead), (Some(&first.id), Some(1)));
    let view = pods.pod_view("db").await.expect("pod is waiting");
    assert_eq!(view.pod.images[0].state, ImageState::Queued);
    assert!(view.pod.summary.contains("queued behind 1 pull"), "{}", view.pod.summary);

    web_gate.release();
    pods.finish_pull(&mut web, web_pull).await.expect("pull succeeds");
    let db_pull = pods.start_pull(waits);
    let began = |log: &ReaderLog| {
        let row = log.find("shop/db")?;
        row.supersedes.as_ref().map(|_| row.clone())
    };
    let row = pods.kit.until("the pull of db is visible", began).await;
    assert_eq!(row.supersedes.as_ref(), Some(&queued.id));
    assert_eq!(row.queued_at, Some(queued.started_at));
    let listed = pods.listed("shop/db").await;
    assert_eq!(listed.len(), 1, "{listed:#?}");
    db_gate.release();
    pods.finish_pull(&mut db, db_pull).await.expect("pull succeeds");
    let has_kubelet_times = |log: &ReaderLog| {
        let row = log.find("shop/db")?;
        (row.outcome.is_some() && row.kubelet.is_some()).then(|| row.clone())
    };
    let ended = pods.kit.until("the kubelet's times have arrived", has_kubelet_times).await;
    assert_eq!((&ended.id, links(&ended)), (&row.id, vec![("db", "app")]));
    assert_eq!(ended.kubelet.expect("kubelet times").agrees, Some(true), "{ended:#?}");
    assert_eq!(pods.kit.list().await.len(), 2);
    assert_eq!(pods.kit.reader.log().rows().count(), 2);
    pods
}

/// Two pods with one image: both announce it, and the second pull starts when the first has ended.
async fn two_pods_with_one_image_share_pull(mut pods: PodKit) -> PodKit {
    let image = image_of(&["a"], 4);
    let gate = pods.kit.hold(&image, mib(2));
    let reference = pods.push("shop/web:1", &image);
    let mut one = pods.create_app_pod("web-1", &reference).await;
    let pull = pods.announce_and_start(&one, "app").await;
    let first = pods.wait_linked("shop/web", &[("web-1", "app")]).await;
    let mut two = pods.create_app_pod("web-2", &reference).await;
    let waits = pods.announce_pull(&two, "app").await;
    let both = pods.wait_linked("shop/web", &[("web-1", "app"), ("web-2", "app")]).await;
    assert_eq!(both.id, first.id);
    let view = pods.pod_view("web-2").await.expect("pod is waiting");
    assert_eq!(view.pod.images[0].pull.as_ref(), Some(&first.id));
    assert_eq!(view.pod.images[0].state, ImageState::Pulling);
    assert_eq!(pods.kit.list().await.len(), 1);
    gate.release();
    pods.finish_pull(&mut one, pull).await.expect("pull succeeds");
    let pull = pods.start_pull(waits);
    pods.finish_pull(&mut two, pull).await.expect("pull succeeds");
    for pod in ["web-1", "web-2"] {
        pods.wait_pod_view(pod, "the pod has its image", |view| view.pod.ready.then_some(())).await;
    }
    let cached = |log: &ReaderLog| {
        let rows = log.rows().filter(|row| row.outcome == Some(Outcome::Completed));
        let rows: Vec<_> = rows.cloned().collect();
        (rows.len() == 2).then_some(rows)
    };
    let rows = pods.kit.until("the second pull is visible", cached).await;
    for row in &rows {
        let expected = if row.id == first.id {
            vec![("web-1", "app"), ("web-2", "app")]
        } else {
            vec![("web-2", "app")]
        };
        assert_eq!(links(row), expected, "{rows:#?}");
    }
    pods
}

async fn init_container_image_is_pulled_first(mut pods: PodKit) -> PodKit {
    let (setup, app) = (image_of(&["setup"], 4), image_of(&["app"], 4));
    let gates = [&setup, &app].map(|image| pods.kit.hold(image, mib(2)));
    let (setup, app) = (pods.push("shop/setup:1", &setup), pods.push("shop/app:1", &app));
    let spec = json!({
        "initContainers": [{"name": "setup", "image": setup}],
        "containers": [{"name": "app", "image": app}],
    });
    let mut web = pods.create_pod("web", spec).await;
    let pull = pods.announce_and_start(&web, "setup").await;
    pods.wait_linked("shop/setup", &[("web", "setup")]).await;
    let states =
        |view: &pulltrace_core::wire::v1::PodPulls| -> Vec<(String, SlotKind, ImageState)> {
            let images = view.pod.images.iter();
            images.map(|image| (image.container.clone(), image.kind, image.state)).collect()
        };
    let view = pods.pod_view("web").await.expect("pod is waiting");
    let expected = [
        ("setup".to_owned(), SlotKind::Init, ImageState::Pulling),
        ("app".to_owned(), SlotKind::Container, ImageState::Pending),
    ];
    assert_eq!(states(&view), expected);
    assert!(view.pod.summary.contains("2 images"), "{}", view.pod.summary);
    gates[0].release();
    pods.finish_pull(&mut web, pull).await.expect("pull succeeds");
    let over = json!({"terminated": {"exitCode": 0, "reason": "Completed"}});
    pods.set_container_state(&mut web, "setup", over).await;
    pods.wait_pod_view("web", "the first image is present", |view| {
        (view.pod.images[0].state == ImageState::Present && !view.pod.ready).then_some(())
    })
    .await;
    let pull = pods.announce_and_start(&web, "app").await;
    pods.wait_linked("shop/app", &[("web", "app")]).await;
    gates[1].release();
    pods.finish_pull(&mut web, pull).await.expect("pull succeeds");
    pods.wait_pod_view("web", "the pod has both images", |view| view.pod.ready.then_some(())).await;
    assert_eq!(pods.kit.list().await.len(), 2);
    pods
}

async fn image_volume_pull_has_pod(mut pods: PodKit) -> PodKit {
    let (model, app) = (image_of(&["model"], 4), image_of(&["app"], 1));
    let gate = pods.kit.hold(&model, mib(2));
    let (model, app) = (pods.push("shop/model:1", &model), pods.push("shop/app:1", &app));
    let spec = json!({
        "containers": [{"name": "app", "image": app}],
        "volumes": [{"name": "weights", "image": {"reference": model}}],
    });
    let mut web = pods.create_pod("web", spec).await;
    let pull = pods.announce_and_start(&web, "weights").await;
    let view = pods.wait_pod_view("web", "the volume is being pulled", |view| {
        let first = view.pod.images.first()?;
        (first.state == ImageState::Pulling && first.pull.is_some()).then(|| view.clone())
    });
    let view = view.await;
    let volume = &view.pod.images[0];
    assert_eq!((volume.container.as_str(), volume.kind), ("weights", SlotKind::Volume));
    let linked = |log: &ReaderLog| {
        let row = log.find("shop/model")?;
        (!row.pods.is_empty()).then(|| row.clone())
    };
    let row = pods.kit.until("the pull is linked to its pod", linked).await;
    assert_eq!(volume.pull.as_ref(), Some(&row.id));
    assert_eq!((row.pods.len(), row.pods[0].pod_name.as_str()), (1, "web"));
    gate.release();
    pods.finish_pull(&mut web, pull).await.expect("pull succeeds");
    let pull = pods.announce_and_start(&web, "app").await;
    pods.finish_pull(&mut web, pull).await.expect("pull succeeds");
    pods.wait_pod_view("web", "the pod has both images", |view| view.pod.ready.then_some(())).await;
    pods
}

async fn shared_layer_is_downloaded_by_one_pull(mut pods: PodKit) -> PodKit {
    let base = Layer::random("base", mib(8));
    let image = |name: &str| {
        let own = Layer::random(name, mib(1));
        Image::builder().layer(&base).layer(&own).build()
    };
    let (one, two) = (image("one"), image("two"));
    let gate = pods.kit.hold(&one, mib(4));
    let names = [("shop/one:1", &one), ("shop/two:1", &two)];
    let [one, two] = names.map(|(name, image)| pods.push(name, image));
    let (mut a, mut b) =
        (pods.create_app_pod("a", &one).await, pods.create_app_pod("b", &two).await);
    let first = pods.announce_and_start(&a, "app").await;
    pods.wait_linked("shop/one", &[("a", "app")]).await;
    let second = pods.announce_and_start(&b, "app").await;
    let shares = |log: &ReaderLog| {
        let (one, two) = (log.find("shop/one")?, log.find("shop/two")?);
        let waits = two.waiting_on.as_ref()?;
        let named = waits.kind == WaitingKind::SharedLayer && waits.pull.as_ref() == Some(&one.id);
        (named && links(two) == [("b", "app")] && links(one) == [("a", "app")]).then_some(())
    };
    pods.kit.until("the second pull waits for the first's layer", shares).await;
    let view = pods.pod_view("b").await.expect("pod is waiting");
    assert!(!view.pod.ready && view.pod.images[0].state == ImageState::Pulling);
    gate.release();
    pods.finish_pull(&mut a, first).await.expect("pull succeeds");
    pods.finish_pull(&mut b, second).await.expect("pull succeeds");
    for (path, pod) in [("shop/one", "a"), ("shop/two", "b")] {
        let row = pods.kit.wait_ended(path).await;
        assert_eq!((row.outcome, links(&row)), (Some(Outcome::Completed), vec![(pod, "app")]));
    }
    pods
}

/// `imagePullPolicy: IfNotPresent`: the kubelet only reports that the image is present.
async fn present_image_starts_no_pull(mut pods: PodKit) -> PodKit {
    let reference = pods.push("shop/web:1", &image_of(&["a"], 1));
    let mut one = pods.create_app_pod("web-1", &reference).await;
    let pull = pods.announce_and_start(&one, "app").await;
    pods.finish_pull(&mut one, pull).await.expect("pull succeeds");
    // A pod that is created while the image is still being pulled waits for it.
    pods.kit.wait_ended("shop/web").await;
    let mut two = pods.create_app_pod("web-2", &reference).await;
    pods.wait_pod_view("web-2", "the pod is listed", |_| Some(())).await;
    let message = format!("Container image \"{reference}\" already present on machine");
    pods.emit_event(&two, Some("spec.containers{app}"), "Pulled", &message).await;
    pods.set_container_state(&mut two, "app", json!({"running": {}})).await;
    pods.wait_pod_view("web-2", "the pod has its image", |view| view.pod.ready.then_some(())).await;
    let rows = pods.kit.list().await;
    assert_eq!(rows.len(), 1, "{rows:#?}");
    assert_eq!(links(&rows[0]), [("web-1", "app")]);
    pods
}

/// `imagePullPolicy: Always`: pulled again, without downloading anything.
async fn cached_pull_has_pod(mut pods: PodKit) -> PodKit {
    let reference = pods.push("shop/web:1", &image_of(&["a", "b"], 1));
    let mut one = pods.create_app_pod("web-1", &reference).await;
    let pull = pods.announce_and_start(&one, "app").await;
    pods.finish_pull(&mut one, pull).await.expect("pull succeeds");
    let first = pods.kit.wait_ended("shop/web").await;
    let mut two = pods.create_app_pod("web-2", &reference).await;
    let pull = pods.announce_and_start(&two, "app").await;
    pods.finish_pull(&mut two, pull).await.expect("pull succeeds");
    let again = |log: &ReaderLog| {
        let mut rows = log.rows().filter(|row| is_pull_of(row, "shop/web") && row.id != first.id);
        let row = rows.next()?;
        (row.outcome.is_some() && !row.pods.is_empty()).then(|| row.clone())
    };
    let again = pods.kit.until("the second pull is linked to its pod", again).await;
    assert_eq!(again.outcome, Some(Outcome::Completed));
    assert_eq!((links(&again), again.attempt), (vec![("web-2", "app")], Some(1)));
    assert_eq!(again.to_download_bytes, Some(0));
    let cached = |layer: &pulltrace_core::wire::v1::LayerStatus| layer.state == LayerState::Cached;
    assert!(again.layers.iter().all(cached), "{again:#?}");
    let first = pods.wait_linked("shop/web", &[("web-2", "app")]).await;
    assert_eq!(first.id, again.id);
    pods.wait_pod_view("web-2", "the pod has its image", |view| view.pod.ready.then_some(())).await;
    assert_eq!(pods.kit.list().await.len(), 2);
    pods
}
