//! Lost and restored access to the cluster, and readers limited to a namespace.

use pulltrace_core::wire::v1::{LinkEvidence, Outcome, SourceState};
use pulltrace_testkit::image::mib;
use pulltrace_testkit::wait;

use super::kit::{PodKit, PodScenario, VERBS, evidence, links, pod_scenario};
use super::stream::Stream;
use crate::kit::{TIMEOUT, image_of};
use crate::reader::ReaderLog;

pub(crate) const ALL: &[PodScenario] = &[
    pod_scenario!(namespace_filter_returns_only_its_pods, own = true),
    pod_scenario!(revoked_right_is_reported_and_rest_continues, own = true),
    pod_scenario!(killed_api_server_is_reported_and_recovered, own = true),
];

/// Creates a pod in a second namespace, which needs an API server that the server watches
/// completely.
async fn pod_in_second_namespace(
    pods: &mut PodKit,
    name: &str,
    reference: &str,
) -> super::kit::Pod {
    let here = pods.namespace.clone();
    pods.namespace = format!("{here}-2");
    pods.admin.create_namespace(&pods.namespace).await.expect("a namespace");
    let pod = pods.create_app_pod(name, reference).await;
    pods.namespace = here;
    pod
}

async fn grant_all(pods: &PodKit) {
    for what in ["pods", "events"] {
        let grant = pods.admin.grant(&pods.user, None, VERBS, &[what]).await;
        grant.expect("right granted");
        pods.wait_live(what).await;
    }
}

async fn namespace_filter_returns_only_its_pods(mut pods: PodKit) -> PodKit {
    grant_all(&pods).await;
    let (mine, other) = (image_of(&["mine"], 4), image_of(&["other"], 4));
    let gates = [&mine, &other].map(|image| pods.kit.hold(image, mib(2)));
    let (mine, other) = (pods.push("shop/mine:1", &mine), pods.push("shop/other:1", &other));
    let path = format!("/api/v1/events?namespace={}", pods.namespace);
    let here = Stream::open(pods.kit.server.address(), &path).await;
    let there = Stream::open(pods.kit.server.address(), &format!("{path}-2")).await;
    let mut web = pods.create_app_pod("web", &mine).await;
    let foreign = pod_in_second_namespace(&mut pods, "web", &other).await;
    let first = pods.announce_and_start(&web, "app").await;
    let second = pods.announce_and_start(&foreign, "app").await;
    pods.wait_linked("shop/mine", &[("web", "app")]).await;
    pods.wait_linked("shop/other", &[("web", "app")]).await;
    for gate in gates {
        gate.release();
    }
    pods.finish_pull(&mut web, first).await.expect("pull succeeds");
    // Its status is in the other namespace and does not matter here.
    let mut foreign = foreign;
    foreign.mark_deleted();
    pods.finish_pull(&mut foreign, second).await.expect("pull succeeds");
    for (stream, own) in [(&here, "/shop/mine:1"), (&there, "/shop/other:1")] {
        stream.until("its pull ends", |event| event.data["type"] == "pull.completed").await;
        for event in stream.events() {
            let links = event.data["pull"]["pods"].as_array();
            for link in links.into_iter().flatten() {
                let image = link["image"].as_str().unwrap_or_default();
                assert!(image.ends_with(own), "{event:#?}");
            }
        }
        let pulls = stream.events().into_iter().filter(|said| said.event == "message");
        let mut ids: Vec<_> = pulls.map(|said| said.data["pull"]["id"].clone()).collect();
        ids.dedup();
        assert_eq!(ids.len(), 1, "{own}: {ids:#?}");
    }
    // Events from before the grant may arrive in another order, so only the list is compared.
    let path = format!("/api/v1/pulls?namespace={}", pods.namespace);
    let one = async || {
        let listed = pods.get(&path).await;
        let rows = listed["pulls"].as_array()?;
        (rows.len() == 1).then_some(())
    };
    let one = wait::until("the list contains only its pull", TIMEOUT, one).await;
    one.unwrap_or_else(|error| panic!("{error}; {}", pods.kit.logs()));
    pods
}

/// Revoked rights take effect when a watch restarts.
async fn restart_api_server(pods: &mut PodKit) {
    let server = pods.own_server.as_mut().expect("own API server");
    server.restart().await.expect("restarted");
}

async fn revoked_right_is_reported_and_rest_continues(mut pods: PodKit) -> PodKit {
    // No rights yet.
    for what in ["pods", "events"] {
        pods.wait_unavailable(what, "forbidden").await;
    }
    let grant = pods.admin.grant(&pods.user, None, VERBS, &["pods"]).await;
    let of_pods = grant.expect("right granted");
    pods.wait_live("pods").await;

    // Only pods: pulls are not announced.
    let image = image_of(&["a"], 6);
    let gate = pods.kit.hold(&image, mib(3));
    let reference = pods.push("shop/web:1", &image);
    let mut web = pods.create_app_pod("web", &reference).await;
    let pull = pods.announce_and_start(&web, "app").await;
    let row = pods.wait_linked("shop/web", &[("web", "app")]).await;
    assert_eq!((evidence(&row), row.attempt), (Some(LinkEvidence::OnlyCandidate), None));
    let cluster = pods.waiting_pods().await.cluster;
    assert_eq!((cluster.pods, cluster.events), (SourceState::Live, SourceState::Forbidden));

    // With events, the link is more certain, also from earlier events.
    let grant = pods.admin.grant(&pods.user, None, VERBS, &["events"]).await;
    let of_events = grant.expect("right granted");
    pods.wait_live("events").await;
    let better = |log: &ReaderLog| {
        let row = log.find("shop/web")?;
        (row.attempt == Some(1)).then(|| row.clone())
    };
    let linked = pods.kit.until("the link comes from the event", better).await;
    assert_eq!((&linked.id, evidence(&linked)), (&row.id, Some(LinkEvidence::Event)));

    // Only events: announced pulls are linked anyway.
    pods.admin.revoke(of_pods).await.expect("right revoked");
    restart_api_server(&mut pods).await;
    pods.wait_unavailable("pods", "forbidden").await;
    pods.wait_live("events").await;
    let other = image_of(&["b"], 4);
    let other_gate = pods.kit.hold(&other, mib(2));
    let other_name = pods.push("shop/db:1", &other);
    let mut db = pods.create_app_pod("db", &other_name).await;
    let other_pull = pods.announce_and_start(&db, "app").await;
    let other_row = pods.wait_linked("shop/db", &[("db", "app")]).await;
    assert_eq!(evidence(&other_row), Some(LinkEvidence::Event));
    let linked = pods.wait_linked("shop/web", &[("web", "app")]).await;
    assert_eq!(linked.id, row.id);

    // Both again.
    pods.admin.grant(&pods.user, None, VERBS, &["pods"]).await.expect("right granted");
    pods.wait_live("pods").await;
    gate.release();
    other_gate.release();
    pods.finish_pull(&mut web, pull).await.expect("pull succeeds");
    pods.finish_pull(&mut db, other_pull).await.expect("pull succeeds");
    for (path, pod) in [("shop/web", "web"), ("shop/db", "db")] {
        let row = pods.kit.wait_ended(path).await;
        assert_eq!((row.outcome, links(&row)), (Some(Outcome::Completed), vec![(pod, "app")]));
        pods.wait_pod_view(pod, "the pod has its image", |view| view.pod.ready.then_some(())).await;
    }
    drop(of_events);
    pods
}

async fn killed_api_server_is_reported_and_recovered(mut pods: PodKit) -> PodKit {
    grant_all(&pods).await;
    let image = image_of(&["a"], 6);
    let gate = pods.kit.hold(&image, mib(3));
    let reference = pods.push("shop/web:1", &image);
    let mut web = pods.create_app_pod("web", &reference).await;
    let pull = pods.announce_and_start(&web, "app").await;
    let row = pods.wait_linked("shop/web", &[("web", "app")]).await;
    let server = pods.own_server.as_mut().expect("own API server");
    server.kill9().await.expect("killed");
    for what in ["pods", "events"] {
        pods.wait_unavailable(what, "unreachable").await;
    }
    // Links stay, and pulls are still reported.
    let alone = pods.kit.pull("shop/alone:1", &image_of(&["b"], 1));
    alone.outcome().await.expect("pull succeeds");
    let alone = pods.kit.wait_ended("shop/alone").await;
    assert!(alone.pods.is_empty(), "{alone:#?}");
    let kept = pods.wait_linked("shop/web", &[("web", "app")]).await;
    assert_eq!(kept.id, row.id);

    let server = pods.own_server.as_mut().expect("own API server");
    server.restart().await.expect("restarted");
    for what in ["pods", "events"] {
        pods.wait_live(what).await;
    }
    gate.release();
    pods.finish_pull(&mut web, pull).await.expect("pull succeeds");
    let ended = pods.kit.wait_ended("shop/web").await;
    assert_eq!((&ended.id, links(&ended)), (&row.id, vec![("web", "app")]));
    pods.wait_pod_view("web", "the pod has its image", |view| view.pod.ready.then_some(())).await;
    pods
}
