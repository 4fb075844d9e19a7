//! What the server hears of the cluster is taken away and given back, and each reader is told what is its own.

use pulltrace_core::wire::v1::{LinkEvidence, Outcome, SourceState};
use pulltrace_testkit::image::mib;
use pulltrace_testkit::wait;

use super::kit::{MAY, PodScenario, Pods, evidence, links, pod_scenario};
use super::stream::Stream;
use crate::kit::{SOON, image_of};
use crate::reader::Log;

pub(crate) const ALL: &[PodScenario] = &[
    pod_scenario!(
        who_asks_for_a_namespace_is_told_of_its_pods_alone,
        own = true
    ),
    pod_scenario!(
        a_right_that_is_gone_is_named_and_the_rest_goes_on,
        own = true
    ),
    pod_scenario!(
        an_api_server_that_is_killed_is_missed_and_found_again,
        own = true
    ),
];

/// A pod in another namespace, of an API server that the server hears whole.
async fn elsewhere(pods: &mut Pods, name: &str, reference: &str) -> super::kit::Pod {
    let here = pods.namespace.clone();
    pods.namespace = format!("{here}-2");
    pods.admin
        .namespace(&pods.namespace)
        .await
        .expect("a namespace");
    let pod = pods.app(name, reference).await;
    pods.namespace = here;
    pod
}

async fn all_rights(pods: &Pods) {
    for what in ["pods", "events"] {
        let grant = pods.admin.grant(&pods.user, None, MAY, &[what]).await;
        grant.expect("it is granted");
        pods.hears(what).await;
    }
}

async fn who_asks_for_a_namespace_is_told_of_its_pods_alone(mut pods: Pods) -> Pods {
    all_rights(&pods).await;
    let (mine, other) = (image_of(&["mine"], 4), image_of(&["other"], 4));
    let gates = [&mine, &other].map(|image| pods.kit.hold(image, mib(2)));
    let (mine, other) = (
        pods.push("shop/mine:1", &mine),
        pods.push("shop/other:1", &other),
    );
    let path = format!("/api/v1/events?namespace={}", pods.namespace);
    let here = Stream::open(pods.kit.server.address(), &path).await;
    let there = Stream::open(pods.kit.server.address(), &format!("{path}-2")).await;
    let mut web = pods.app("web", &mine).await;
    let foreign = elsewhere(&mut pods, "web", &other).await;
    let first = pods.pulls(&web, "app").await;
    let second = pods.pulls(&foreign, "app").await;
    pods.linked("shop/mine", &[("web", "app")]).await;
    pods.linked("shop/other", &[("web", "app")]).await;
    for gate in gates {
        gate.release();
    }
    pods.ends(&mut web, first).await.expect("it succeeds");
    // Its status is in another namespace; here it does not matter.
    let mut foreign = foreign;
    foreign.forget();
    pods.ends(&mut foreign, second).await.expect("it succeeds");
    for (stream, own) in [(&here, "/shop/mine:1"), (&there, "/shop/other:1")] {
        stream
            .until("its own pull ends", |said| {
                said.data["type"] == "pull.completed"
            })
            .await;
        for said in stream.said() {
            let links = said.data["pull"]["pods"].as_array();
            for link in links.into_iter().flatten() {
                let image = link["image"].as_str().unwrap_or_default();
                assert!(image.ends_with(own), "{said:#?}");
            }
        }
        let pulls = stream
            .said()
            .into_iter()
            .filter(|said| said.event == "message");
        let mut ids: Vec<_> = pulls.map(|said| said.data["pull"]["id"].clone()).collect();
        ids.dedup();
        assert_eq!(ids.len(), 1, "{own}: {ids:#?}");
    }
    // What was said before the right was given may be heard in another order.
    let path = format!("/api/v1/pulls?namespace={}", pods.namespace);
    let one = async || {
        let listed = pods.get(&path).await;
        let rows = listed["pulls"].as_array()?;
        (rows.len() == 1).then_some(())
    };
    let one = wait::until("the list has its own pull alone", SOON, one).await;
    one.unwrap_or_else(|error| panic!("{error}; {}", pods.kit.logs()));
    pods
}

/// Rights that are gone are missed when a watch begins anew.
async fn watches_begin_anew(pods: &mut Pods) {
    let server = pods.own.as_mut().expect("its own");
    server.restart().await.expect("it starts again");
}

async fn a_right_that_is_gone_is_named_and_the_rest_goes_on(mut pods: Pods) -> Pods {
    // Nothing was granted yet.
    for what in ["pods", "events"] {
        pods.misses(what, "forbidden").await;
    }
    let grant = pods.admin.grant(&pods.user, None, MAY, &["pods"]).await;
    let of_pods = grant.expect("it is granted");
    pods.hears("pods").await;

    // Pods alone: nobody says what is announced.
    let image = image_of(&["a"], 6);
    let gate = pods.kit.hold(&image, mib(3));
    let reference = pods.push("shop/web:1", &image);
    let mut web = pods.app("web", &reference).await;
    let pull = pods.pulls(&web, "app").await;
    let row = pods.linked("shop/web", &[("web", "app")]).await;
    assert_eq!(
        (evidence(&row), row.attempt),
        (Some(LinkEvidence::OnlyCandidate), None)
    );
    let cluster = pods.waiting().await.cluster;
    assert_eq!(
        (cluster.pods, cluster.events),
        (SourceState::Live, SourceState::Forbidden)
    );

    // With events it is known better, though they were said before.
    let grant = pods.admin.grant(&pods.user, None, MAY, &["events"]).await;
    let of_events = grant.expect("it is granted");
    pods.hears("events").await;
    let better = |log: &Log| {
        let row = log.find("shop/web")?;
        (row.attempt == Some(1)).then(|| row.clone())
    };
    let known = pods.kit.until("it is known from its event", better).await;
    assert_eq!(
        (&known.id, evidence(&known)),
        (&row.id, Some(LinkEvidence::Event))
    );

    // Events alone: what is announced is known of all the same.
    pods.admin.revoke(of_pods).await.expect("it is taken back");
    watches_begin_anew(&mut pods).await;
    pods.misses("pods", "forbidden").await;
    pods.hears("events").await;
    let other = image_of(&["b"], 4);
    let other_gate = pods.kit.hold(&other, mib(2));
    let other_name = pods.push("shop/db:1", &other);
    let mut db = pods.app("db", &other_name).await;
    let other_pull = pods.pulls(&db, "app").await;
    let other_row = pods.linked("shop/db", &[("db", "app")]).await;
    assert_eq!(evidence(&other_row), Some(LinkEvidence::Event));
    let linked = pods.linked("shop/web", &[("web", "app")]).await;
    assert_eq!(linked.id, row.id);

    // And both again.
    pods.admin
        .grant(&pods.user, None, MAY, &["pods"])
        .await
        .expect("it is granted");
    pods.hears("pods").await;
    gate.release();
    other_gate.release();
    pods.ends(&mut web, pull).await.expect("it succeeds");
    pods.ends(&mut db, other_pull).await.expect("it succeeds");
    for (path, pod) in [("shop/web", "web"), ("shop/db", "db")] {
        let row = pods.kit.ended(path).await;
        assert_eq!(
            (row.outcome, links(&row)),
            (Some(Outcome::Completed), vec![(pod, "app")])
        );
        pods.until_view(pod, "its image is there", |view| {
            view.pod.ready.then_some(())
        })
        .await;
    }
    drop(of_events);
    pods
}

async fn an_api_server_that_is_killed_is_missed_and_found_again(mut pods: Pods) -> Pods {
    all_rights(&pods).await;
    let image = image_of(&["a"], 6);
    let gate = pods.kit.hold(&image, mib(3));
    let reference = pods.push("shop/web:1", &image);
    let mut web = pods.app("web", &reference).await;
    let pull = pods.pulls(&web, "app").await;
    let row = pods.linked("shop/web", &[("web", "app")]).await;
    let server = pods.own.as_mut().expect("its own");
    server.kill9().await.expect("it is killed");
    for what in ["pods", "events"] {
        pods.misses(what, "unreachable").await;
    }
    // Who was ready stays it, and pulls are seen as before.
    let alone = pods.kit.pull("shop/alone:1", &image_of(&["b"], 1));
    alone.outcome().await.expect("it succeeds");
    let alone = pods.kit.ended("shop/alone").await;
    assert!(alone.pods.is_empty(), "{alone:#?}");
    let kept = pods.linked("shop/web", &[("web", "app")]).await;
    assert_eq!(kept.id, row.id);

    let server = pods.own.as_mut().expect("its own");
    server.restart().await.expect("it starts again");
    for what in ["pods", "events"] {
        pods.hears(what).await;
    }
    gate.release();
    pods.ends(&mut web, pull).await.expect("it succeeds");
    let ended = pods.kit.ended("shop/web").await;
    assert_eq!((&ended.id, links(&ended)), (&row.id, vec![("web", "app")]));
    pods.until_view("web", "its image is there", |view| {
        view.pod.ready.then_some(())
    })
    .await;
    pods
}
