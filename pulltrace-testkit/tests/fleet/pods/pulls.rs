//! Pulls that succeed: each has its pods, is queued where the kubelet queues it, and stays one row.

use pulltrace_core::wire::v1::{
    ImageState, LayerState, LinkEvidence, Outcome, Phase, SlotKind, WaitingKind,
};
use pulltrace_testkit::image::{Image, Layer, mib};
use serde_json::json;

use super::kit::{PodScenario, Pods, evidence, links, pod_scenario};
use crate::kit::image_of;
use crate::reader::{Log, is_of};

pub(crate) const ALL: &[PodScenario] = &[
    pod_scenario!(a_pull_has_its_pod_and_the_kubelet_s_own_times),
    pod_scenario!(who_follows_a_pod_is_told_until_its_image_is_there),
    pod_scenario!(the_second_pod_is_queued_behind_the_first_and_goes_on_under_one_id),
    pod_scenario!(two_pods_that_want_one_image_wait_for_one_pull),
    pod_scenario!(a_pod_needs_its_init_container_s_image_before_its_app_s),
    pod_scenario!(an_image_that_is_a_volume_has_its_pod),
    pod_scenario!(a_layer_that_two_pods_need_is_loaded_by_the_pull_of_one),
    pod_scenario!(an_image_that_is_there_is_pulled_by_nobody),
    pod_scenario!(a_pull_of_what_is_cached_has_its_pod),
];

async fn a_pull_has_its_pod_and_the_kubelet_s_own_times(mut pods: Pods) -> Pods {
    let image = image_of(&["a"], 4);
    let reference = pods.push("shop/web:1", &image);
    let gate = pods.kit.hold(&image, mib(2));
    let mut web = pods.app("web", &reference).await;
    let pull = pods.pulls(&web, "app").await;
    pods.linked("shop/web", &[("web", "app")]).await;
    // The pod may be heard before its event.
    let by_event = |log: &Log| {
        let row = log.find("shop/web")?;
        (evidence(row) == Some(LinkEvidence::Event)).then(|| row.clone())
    };
    let row = pods.kit.until("the event is heard", by_event).await;
    assert_eq!((&row.pods[0].image, row.attempt), (&reference, Some(1)));
    assert_eq!(row.pods[0].uid, web.object["metadata"]["uid"]);
    assert!(row.queued_at <= Some(row.started_at), "{row:#?}");
    // The list has what the stream has, and the pod's own page too.
    let waiting = pods.waiting().await.pods;
    let names: Vec<_> = waiting.iter().map(|pod| pod.pod_name.as_str()).collect();
    assert_eq!(names, ["web"]);
    let view = pods.view("web").await.expect("it waits");
    assert_eq!(view.pod.images[0].pull.as_ref(), Some(&row.id));
    assert_eq!(view.pulls.len(), 1);

    gate.release();
    pods.ends(&mut web, pull).await.expect("it succeeds");
    let told = |log: &Log| {
        let row = log.find("shop/web")?;
        (row.outcome.is_some() && row.kubelet.is_some()).then(|| row.clone())
    };
    let ended = pods.kit.until("the kubelet's times are told", told).await;
    assert_eq!(
        (&ended.id, ended.outcome),
        (&row.id, Some(Outcome::Completed))
    );
    assert_eq!(evidence(&ended), Some(LinkEvidence::ImageRecord));
    let kubelet = ended.kubelet.expect("they are told");
    assert_eq!(kubelet.agrees, Some(true), "{ended:#?}");
    assert!(kubelet.with_waiting_seconds >= Some(kubelet.pull_seconds));
    assert!(kubelet.image_bytes.is_some());
    pods.until_view("web", "all of it is there", |view| {
        view.pod.ready.then_some(())
    })
    .await;
    assert_eq!(pods.kit.list().await.len(), 1);
    pods
}

async fn who_follows_a_pod_is_told_until_its_image_is_there(mut pods: Pods) -> Pods {
    let image = image_of(&["a"], 4);
    let reference = pods.push("shop/web:1", &image);
    let gate = pods.kit.hold(&image, mib(2));
    let mut web = pods.app("web", &reference).await;
    let pull = pods.pulls(&web, "app").await;
    pods.linked("shop/web", &[("web", "app")]).await;
    let mut followed = pods.follow("web").await;
    followed
        .until("it moves", |said| {
            said.data["pod"]["moving"] == true && said.data["pulls"][0]["downloadedBytes"] != 0
        })
        .await;
    gate.release();
    pods.ends(&mut web, pull).await.expect("it succeeds");
    let end = followed.end().await;
    assert_eq!(
        (end.event.as_str(), &end.data["reason"]),
        ("end", &json!("ready"))
    );
    let said = followed.said();
    let last = &said[said.len() - 2].data["pod"];
    assert_eq!(last["ready"], true, "{last:#}");
    assert_eq!(last["summary"], "its image is here");
    pods
}

async fn the_second_pod_is_queued_behind_the_first_and_goes_on_under_one_id(
    mut pods: Pods,
) -> Pods {
    let (web_image, db_image) = (image_of(&["web"], 6), image_of(&["db"], 4));
    let web_gate = pods.kit.hold(&web_image, mib(3));
    let db_gate = pods.kit.hold(&db_image, mib(2));
    let web_name = pods.push("shop/web:1", &web_image);
    let db_name = pods.push("shop/db:1", &db_image);
    let (mut web, mut db) = (
        pods.app("web", &web_name).await,
        pods.app("db", &db_name).await,
    );
    let web_pull = pods.pulls(&web, "app").await;
    let first = pods.linked("shop/web", &[("web", "app")]).await;
    let waits = pods.announces(&db, "app").await;
    let queued = pods.linked("shop/db", &[("db", "app")]).await;
    assert_eq!((queued.phase, queued.outcome), (Phase::Queued, None));
    let behind = queued.waiting_on.clone().expect("it waits");
    assert_eq!(behind.kind, WaitingKind::KubeletQueue);
    assert_eq!(
        (behind.pull.as_ref(), behind.ahead),
        (Some(&first.id), Some(1))
    );
    let view = pods.view("db").await.expect("it waits");
    assert_eq!(view.pod.images[0].state, ImageState::Queued);
    assert!(
        view.pod.summary.contains("queued behind 1 pull"),
        "{}",
        view.pod.summary
    );

    web_gate.release();
    pods.ends(&mut web, web_pull).await.expect("it succeeds");
    let db_pull = pods.begins(waits);
    let began = |log: &Log| {
        let row = log.find("shop/db")?;
        row.supersedes.as_ref().map(|_| row.clone())
    };
    let row = pods.kit.until("db is pulled", began).await;
    assert_eq!(row.supersedes.as_ref(), Some(&queued.id));
    assert_eq!(row.queued_at, Some(queued.started_at));
    let listed = pods.listed("shop/db").await;
    assert_eq!(listed.len(), 1, "{listed:#?}");
    db_gate.release();
    pods.ends(&mut db, db_pull).await.expect("it succeeds");
    let told = |log: &Log| {
        let row = log.find("shop/db")?;
        (row.outcome.is_some() && row.kubelet.is_some()).then(|| row.clone())
    };
    let ended = pods.kit.until("its times are told", told).await;
    assert_eq!((&ended.id, links(&ended)), (&row.id, vec![("db", "app")]));
    assert_eq!(
        ended.kubelet.expect("told").agrees,
        Some(true),
        "{ended:#?}"
    );
    assert_eq!(pods.kit.list().await.len(), 2);
    assert_eq!(pods.kit.reader.log().rows().count(), 2);
    pods
}

/// Of two pods that want one image each announces it; the second's own pull begins when the first's has ended.
async fn two_pods_that_want_one_image_wait_for_one_pull(mut pods: Pods) -> Pods {
    let image = image_of(&["a"], 4);
    let gate = pods.kit.hold(&image, mib(2));
    let reference = pods.push("shop/web:1", &image);
    let mut one = pods.app("web-1", &reference).await;
    let pull = pods.pulls(&one, "app").await;
    let first = pods.linked("shop/web", &[("web-1", "app")]).await;
    let mut two = pods.app("web-2", &reference).await;
    let waits = pods.announces(&two, "app").await;
    let both = pods
        .linked("shop/web", &[("web-1", "app"), ("web-2", "app")])
        .await;
    assert_eq!(both.id, first.id);
    let view = pods.view("web-2").await.expect("it waits");
    assert_eq!(view.pod.images[0].pull.as_ref(), Some(&first.id));
    assert_eq!(view.pod.images[0].state, ImageState::Pulling);
    assert_eq!(pods.kit.list().await.len(), 1);
    gate.release();
    pods.ends(&mut one, pull).await.expect("it succeeds");
    let pull = pods.begins(waits);
    pods.ends(&mut two, pull).await.expect("it succeeds");
    for pod in ["web-1", "web-2"] {
        pods.until_view(pod, "its image is there", |view| {
            view.pod.ready.then_some(())
        })
        .await;
    }
    let cached = |log: &Log| {
        let rows = log
            .rows()
            .filter(|row| row.outcome == Some(Outcome::Completed));
        let rows: Vec<_> = rows.cloned().collect();
        (rows.len() == 2).then_some(rows)
    };
    let rows = pods
        .kit
        .until("the second's own pull is seen", cached)
        .await;
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

async fn a_pod_needs_its_init_container_s_image_before_its_app_s(mut pods: Pods) -> Pods {
    let (setup, app) = (image_of(&["setup"], 4), image_of(&["app"], 4));
    let gates = [&setup, &app].map(|image| pods.kit.hold(image, mib(2)));
    let (setup, app) = (
        pods.push("shop/setup:1", &setup),
        pods.push("shop/app:1", &app),
    );
    let spec = json!({
        "initContainers": [{"name": "setup", "image": setup}],
        "containers": [{"name": "app", "image": app}],
    });
    let mut web = pods.pod("web", spec).await;
    let pull = pods.pulls(&web, "setup").await;
    pods.linked("shop/setup", &[("web", "setup")]).await;
    let states =
        |view: &pulltrace_core::wire::v1::PodPulls| -> Vec<(String, SlotKind, ImageState)> {
            let images = view.pod.images.iter();
            images
                .map(|image| (image.container.clone(), image.kind, image.state))
                .collect()
        };
    let view = pods.view("web").await.expect("it waits");
    let expected = [
        ("setup".to_owned(), SlotKind::Init, ImageState::Pulling),
        ("app".to_owned(), SlotKind::Container, ImageState::Pending),
    ];
    assert_eq!(states(&view), expected);
    assert!(
        view.pod.summary.contains("2 images"),
        "{}",
        view.pod.summary
    );
    gates[0].release();
    pods.ends(&mut web, pull).await.expect("it succeeds");
    let over = json!({"terminated": {"exitCode": 0, "reason": "Completed"}});
    pods.stands(&mut web, "setup", over).await;
    pods.until_view("web", "the first is there", |view| {
        (view.pod.images[0].state == ImageState::Present && !view.pod.ready).then_some(())
    })
    .await;
    let pull = pods.pulls(&web, "app").await;
    pods.linked("shop/app", &[("web", "app")]).await;
    gates[1].release();
    pods.ends(&mut web, pull).await.expect("it succeeds");
    pods.until_view("web", "both are there", |view| view.pod.ready.then_some(()))
        .await;
    assert_eq!(pods.kit.list().await.len(), 2);
    pods
}

async fn an_image_that_is_a_volume_has_its_pod(mut pods: Pods) -> Pods {
    let (model, app) = (image_of(&["model"], 4), image_of(&["app"], 1));
    let gate = pods.kit.hold(&model, mib(2));
    let (model, app) = (
        pods.push("shop/model:1", &model),
        pods.push("shop/app:1", &app),
    );
    let spec = json!({
        "containers": [{"name": "app", "image": app}],
        "volumes": [{"name": "weights", "image": {"reference": model}}],
    });
    let mut web = pods.pod("web", spec).await;
    let pull = pods.pulls(&web, "weights").await;
    let view = pods.until_view("web", "its volume is pulled", |view| {
        let first = view.pod.images.first()?;
        (first.state == ImageState::Pulling && first.pull.is_some()).then(|| view.clone())
    });
    let view = view.await;
    let volume = &view.pod.images[0];
    assert_eq!(
        (volume.container.as_str(), volume.kind),
        ("weights", SlotKind::Volume)
    );
    let linked = |log: &Log| {
        let row = log.find("shop/model")?;
        (!row.pods.is_empty()).then(|| row.clone())
    };
    let row = pods.kit.until("the pull has its pod", linked).await;
    assert_eq!(volume.pull.as_ref(), Some(&row.id));
    assert_eq!((row.pods.len(), row.pods[0].pod_name.as_str()), (1, "web"));
    gate.release();
    pods.ends(&mut web, pull).await.expect("it succeeds");
    let pull = pods.pulls(&web, "app").await;
    pods.ends(&mut web, pull).await.expect("it succeeds");
    pods.until_view("web", "both are there", |view| view.pod.ready.then_some(()))
        .await;
    pods
}

async fn a_layer_that_two_pods_need_is_loaded_by_the_pull_of_one(mut pods: Pods) -> Pods {
    let base = Layer::random("base", mib(8));
    let image = |name: &str| {
        let own = Layer::random(name, mib(1));
        Image::builder().layer(&base).layer(&own).build()
    };
    let (one, two) = (image("one"), image("two"));
    let gate = pods.kit.hold(&one, mib(4));
    let names = [("shop/one:1", &one), ("shop/two:1", &two)];
    let [one, two] = names.map(|(name, image)| pods.push(name, image));
    let (mut a, mut b) = (pods.app("a", &one).await, pods.app("b", &two).await);
    let first = pods.pulls(&a, "app").await;
    pods.linked("shop/one", &[("a", "app")]).await;
    let second = pods.pulls(&b, "app").await;
    let shares = |log: &Log| {
        let (one, two) = (log.find("shop/one")?, log.find("shop/two")?);
        let waits = two.waiting_on.as_ref()?;
        let named = waits.kind == WaitingKind::SharedLayer && waits.pull.as_ref() == Some(&one.id);
        (named && links(two) == [("b", "app")] && links(one) == [("a", "app")]).then_some(())
    };
    pods.kit
        .until("the second waits for the first's layer", shares)
        .await;
    let view = pods.view("b").await.expect("it waits");
    assert!(!view.pod.ready && view.pod.images[0].state == ImageState::Pulling);
    gate.release();
    pods.ends(&mut a, first).await.expect("it succeeds");
    pods.ends(&mut b, second).await.expect("it succeeds");
    for (path, pod) in [("shop/one", "a"), ("shop/two", "b")] {
        let row = pods.kit.ended(path).await;
        assert_eq!(
            (row.outcome, links(&row)),
            (Some(Outcome::Completed), vec![(pod, "app")])
        );
    }
    pods
}

/// `imagePullPolicy: IfNotPresent`: the kubelet only says that it is there.
async fn an_image_that_is_there_is_pulled_by_nobody(mut pods: Pods) -> Pods {
    let reference = pods.push("shop/web:1", &image_of(&["a"], 1));
    let mut one = pods.app("web-1", &reference).await;
    let pull = pods.pulls(&one, "app").await;
    pods.ends(&mut one, pull).await.expect("it succeeds");
    // Who comes while it is still seen to be pulled waits for it.
    pods.kit.ended("shop/web").await;
    let mut two = pods.app("web-2", &reference).await;
    pods.until_view("web-2", "it is known", |_| Some(())).await;
    let message = format!("Container image \"{reference}\" already present on machine");
    pods.says(&two, Some("spec.containers{app}"), "Pulled", &message)
        .await;
    pods.stands(&mut two, "app", json!({"running": {}})).await;
    pods.until_view("web-2", "it is there", |view| view.pod.ready.then_some(()))
        .await;
    let rows = pods.kit.list().await;
    assert_eq!(rows.len(), 1, "{rows:#?}");
    assert_eq!(links(&rows[0]), [("web-1", "app")]);
    pods
}

/// `imagePullPolicy: Always`: it is pulled, and nothing comes down.
async fn a_pull_of_what_is_cached_has_its_pod(mut pods: Pods) -> Pods {
    let reference = pods.push("shop/web:1", &image_of(&["a", "b"], 1));
    let mut one = pods.app("web-1", &reference).await;
    let pull = pods.pulls(&one, "app").await;
    pods.ends(&mut one, pull).await.expect("it succeeds");
    let first = pods.kit.ended("shop/web").await;
    let mut two = pods.app("web-2", &reference).await;
    let pull = pods.pulls(&two, "app").await;
    pods.ends(&mut two, pull).await.expect("it succeeds");
    let again = |log: &Log| {
        let mut rows = log
            .rows()
            .filter(|row| is_of(row, "shop/web") && row.id != first.id);
        let row = rows.next()?;
        (row.outcome.is_some() && !row.pods.is_empty()).then(|| row.clone())
    };
    let again = pods.kit.until("the second pull has its pod", again).await;
    assert_eq!(again.outcome, Some(Outcome::Completed));
    assert_eq!(
        (links(&again), again.attempt),
        (vec![("web-2", "app")], Some(1))
    );
    assert_eq!(again.to_download_bytes, Some(0));
    let cached = |layer: &pulltrace_core::wire::v1::LayerStatus| layer.state == LayerState::Cached;
    assert!(again.layers.iter().all(cached), "{again:#?}");
    let first = pods.linked("shop/web", &[("web-2", "app")]).await;
    assert_eq!(first.id, again.id);
    pods.until_view("web-2", "it is there", |view| view.pod.ready.then_some(()))
        .await;
    assert_eq!(pods.kit.list().await.len(), 2);
    pods
}
