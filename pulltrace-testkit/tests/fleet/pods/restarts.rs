//! Server or agent killed during a pull: afterwards the pulls and their links are the same.

use pulltrace_core::wire::v1::Outcome;
use pulltrace_testkit::image::mib;
use pulltrace_testkit::wait;

use super::kit::{PodKit, PodScenario, links, pod_scenario};
use crate::kit::{TIMEOUT, image_of};
use crate::reader::{ReaderLog, is_pull_of};

pub(crate) const ALL: &[PodScenario] = &[
    pod_scenario!(restarted_server_restores_pod_links),
    pod_scenario!(restarted_agent_keeps_pulls_and_pod_links),
];

async fn restarted_server_restores_pod_links(mut pods: PodKit) -> PodKit {
    let (web_image, db_image) = (image_of(&["web"], 6), image_of(&["db"], 2));
    let gate = pods.kit.hold(&web_image, mib(3));
    let (web_name, db_name) =
        (pods.push("shop/web:1", &web_image), pods.push("shop/db:1", &db_image));
    let (mut web, mut db) =
        (pods.create_app_pod("web", &web_name).await, pods.create_app_pod("db", &db_name).await);
    let pull = pods.announce_and_start(&web, "app").await;
    let live = pods.wait_linked("shop/web", &[("web", "app")]).await;
    let waits = pods.announce_pull(&db, "app").await;
    let queued = pods.wait_linked("shop/db", &[("db", "app")]).await;
    pods.kit.server.kill9().await.expect("killed");
    pods.kit.until("the reader is disconnected", |log| (log.disconnects > 0).then_some(())).await;
    pods.kit.server.restart().await.expect("restarted");
    let reset = |log: &ReaderLog| (log.resets == 1 && log.snapshot_complete).then_some(());
    pods.kit.until("the reader was reset", reset).await;
    let here = async || {
        let rows = pods.kit.list().await;
        let row = |path: &str| rows.iter().find(|row| is_pull_of(row, path)).cloned();
        let (web, db) = (row("shop/web")?, row("shop/db")?);
        (links(&web) == [("web", "app")] && links(&db) == [("db", "app")]).then_some((web, db))
    };
    let here = wait::until("both pulls are linked again", TIMEOUT, here).await;
    let (web_row, db_row) = here.unwrap_or_else(|error| panic!("{error}; {}", pods.kit.logs()));
    assert_eq!((&web_row.id, &db_row.id), (&live.id, &queued.id));
    assert_eq!(web_row.outcome, None);
    gate.release();
    pods.finish_pull(&mut web, pull).await.expect("pull succeeds");
    let pull = pods.start_pull(waits);
    pods.finish_pull(&mut db, pull).await.expect("pull succeeds");
    for (path, pod) in [("shop/web", "web"), ("shop/db", "db")] {
        pods.wait_linked(path, &[(pod, "app")]).await;
        let row = pods.kit.wait_ended(path).await;
        assert_eq!(row.outcome, Some(Outcome::Completed), "{row:#?}");
        pods.wait_pod_view(pod, "the pod has its image", |view| view.pod.ready.then_some(())).await;
    }
    assert_eq!(pods.kit.list().await.len(), 2);
    pods
}

async fn restarted_agent_keeps_pulls_and_pod_links(mut pods: PodKit) -> PodKit {
    let image = image_of(&["a"], 6);
    let gate = pods.kit.hold(&image, mib(3));
    let reference = pods.push("shop/web:1", &image);
    let mut web = pods.create_app_pod("web", &reference).await;
    let pull = pods.announce_and_start(&web, "app").await;
    let live = pods.wait_linked("shop/web", &[("web", "app")]).await;
    pods.kit.agent.kill9().await.expect("killed");
    pods.kit.restart_agent().await;
    let row = pods.wait_linked("shop/web", &[("web", "app")]).await;
    assert_eq!(row.id, live.id);
    gate.release();
    pods.finish_pull(&mut web, pull).await.expect("pull succeeds");
    let row = pods.kit.wait_ended("shop/web").await;
    assert_eq!((&row.id, row.outcome), (&live.id, Some(Outcome::Completed)));
    assert_eq!((links(&row), row.attempt), (vec![("web", "app")], Some(1)));
    assert_eq!(pods.kit.list().await.len(), 1);
    pods
}
