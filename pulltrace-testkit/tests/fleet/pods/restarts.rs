//! The server or the agent is killed midway, and comes back: the same pulls, and again with their pods.

use pulltrace_core::wire::v1::Outcome;
use pulltrace_testkit::image::mib;
use pulltrace_testkit::wait;

use super::kit::{PodScenario, Pods, links, pod_scenario};
use crate::kit::{SOON, image_of};
use crate::reader::{Log, is_of};

pub(crate) const ALL: &[PodScenario] = &[
    pod_scenario!(a_killed_server_that_comes_back_knows_the_pods_again),
    pod_scenario!(a_killed_agent_that_comes_back_finds_its_pulls_with_their_pods),
];

async fn a_killed_server_that_comes_back_knows_the_pods_again(mut pods: Pods) -> Pods {
    let (web_image, db_image) = (image_of(&["web"], 6), image_of(&["db"], 2));
    let gate = pods.kit.hold(&web_image, mib(3));
    let (web_name, db_name) = (
        pods.push("shop/web:1", &web_image),
        pods.push("shop/db:1", &db_image),
    );
    let (mut web, mut db) = (
        pods.app("web", &web_name).await,
        pods.app("db", &db_name).await,
    );
    let pull = pods.pulls(&web, "app").await;
    let live = pods.linked("shop/web", &[("web", "app")]).await;
    let waits = pods.announces(&db, "app").await;
    let queued = pods.linked("shop/db", &[("db", "app")]).await;
    pods.kit.server.kill9().await.expect("it is killed");
    pods.kit
        .until("the reader sees it gone", |log| {
            (log.away > 0).then_some(())
        })
        .await;
    pods.kit.server.restart().await.expect("it starts again");
    let anew = |log: &Log| (log.resets == 1 && log.whole).then_some(());
    pods.kit
        .until("the reader was told to begin anew", anew)
        .await;
    let here = async || {
        let rows = pods.kit.list().await;
        let row = |path: &str| rows.iter().find(|row| is_of(row, path)).cloned();
        let (web, db) = (row("shop/web")?, row("shop/db")?);
        (links(&web) == [("web", "app")] && links(&db) == [("db", "app")]).then_some((web, db))
    };
    let here = wait::until("both have their pods again", SOON, here).await;
    let (web_row, db_row) = here.unwrap_or_else(|error| panic!("{error}; {}", pods.kit.logs()));
    assert_eq!((&web_row.id, &db_row.id), (&live.id, &queued.id));
    assert_eq!(web_row.outcome, None);
    gate.release();
    pods.ends(&mut web, pull).await.expect("it succeeds");
    let pull = pods.begins(waits);
    pods.ends(&mut db, pull).await.expect("it succeeds");
    for (path, pod) in [("shop/web", "web"), ("shop/db", "db")] {
        pods.linked(path, &[(pod, "app")]).await;
        let row = pods.kit.ended(path).await;
        assert_eq!(row.outcome, Some(Outcome::Completed), "{row:#?}");
        pods.until_view(pod, "its image is there", |view| {
            view.pod.ready.then_some(())
        })
        .await;
    }
    assert_eq!(pods.kit.list().await.len(), 2);
    pods
}

async fn a_killed_agent_that_comes_back_finds_its_pulls_with_their_pods(mut pods: Pods) -> Pods {
    let image = image_of(&["a"], 6);
    let gate = pods.kit.hold(&image, mib(3));
    let reference = pods.push("shop/web:1", &image);
    let mut web = pods.app("web", &reference).await;
    let pull = pods.pulls(&web, "app").await;
    let live = pods.linked("shop/web", &[("web", "app")]).await;
    pods.kit.agent.kill9().await.expect("it is killed");
    pods.kit.agent_again().await;
    let row = pods.linked("shop/web", &[("web", "app")]).await;
    assert_eq!(row.id, live.id);
    gate.release();
    pods.ends(&mut web, pull).await.expect("it succeeds");
    let row = pods.kit.ended("shop/web").await;
    assert_eq!((&row.id, row.outcome), (&live.id, Some(Outcome::Completed)));
    assert_eq!((links(&row), row.attempt), (vec![("web", "app")], Some(1)));
    assert_eq!(pods.kit.list().await.len(), 1);
    pods
}
