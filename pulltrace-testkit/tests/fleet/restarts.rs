//! What is killed, stopped or away, and comes back: the server, and the agent.

use pulltrace_core::wire::v1::{Outcome, PullStatus};
use pulltrace_testkit::image::mib;
use pulltrace_testkit::wait;

use crate::kit::{Kit, SOON, Scenario, image_of, scenario, total};
use crate::reader::Log;

pub(crate) const ALL: &[Scenario] = &[
    scenario!(a_killed_server_that_comes_back_knows_all_by_the_same_ids),
    scenario!(what_ends_while_the_server_is_away_is_told_when_it_is_back),
    scenario!(a_killed_agent_goes_on_where_it_was),
    scenario!(
        an_agent_that_is_stopped_tells_the_last_state,
        agent = &["--report-interval", "1h"]
    ),
];

fn completed(row: &PullStatus, id: &str) {
    assert_eq!(row.id, id);
    assert_eq!(row.outcome, Some(Outcome::Completed), "{row:#?}");
    assert_eq!(row.percent, Some(100.0));
}

async fn a_killed_server_that_comes_back_knows_all_by_the_same_ids(mut kit: Kit) -> Kit {
    kit.pull("killed/before:1", &image_of(&["b"], 1))
        .outcome()
        .await
        .expect("it succeeds");
    let before = kit.ended("killed/before").await;
    let image = image_of(&["a"], 6);
    let (pull, gate, half) = kit.pull_half("killed/app:1", &image, mib(3)).await;
    kit.server.kill9().await.expect("it is killed");
    kit.until("the reader sees it gone", |log| {
        (log.away > 0).then_some(())
    })
    .await;
    kit.server.restart().await.expect("it starts again");
    let anew = |log: &Log| (log.resets == 1 && log.whole).then_some(());
    kit.until("the reader was told to begin anew", anew).await;
    let here = async || {
        Some((
            kit.listed("killed/before").await?,
            kit.listed("killed/app").await?,
        ))
    };
    let here = wait::until("the new server knows both", SOON, here).await;
    let (mut again, live) = here.unwrap_or_else(|error| panic!("{error}"));
    // That number is another one in each life of the server.
    again.row = before.row;
    assert_eq!(again, before);
    assert_eq!((&live.id, live.outcome), (&half.id, None));
    assert!(live.downloaded_bytes >= half.downloaded_bytes, "{live:#?}");
    gate.release();
    pull.outcome().await.expect("it succeeds");
    let row = kit.ended("killed/app").await;
    completed(&row, &half.id);
    let log = kit.reader.log();
    log.assert_total(&row, total(&image));
    assert_eq!((log.rows().count(), log.resets), (2, 1));
    drop(log);
    kit
}

async fn what_ends_while_the_server_is_away_is_told_when_it_is_back(mut kit: Kit) -> Kit {
    let image = image_of(&["a"], 4);
    let (pull, gate, half) = kit.pull_half("away/app:1", &image, mib(2)).await;
    kit.server.kill9().await.expect("it is killed");
    // Who stands in for it hangs up, and counts.
    let instead = tokio::net::TcpListener::bind(kit.server.address()).await;
    let instead = instead.expect("its port is free");
    gate.release();
    pull.outcome().await.expect("it succeeds");
    kit.pull("away/other:1", &image_of(&["b"], 1))
        .outcome()
        .await
        .expect("it succeeds");
    kit.agent_says("pulled ", 2).await;
    let mut calls = 0;
    let called = async || {
        while let Ok(call) = tokio::time::timeout(std::time::Duration::ZERO, instead.accept()).await
        {
            calls += 1;
            drop(call);
        }
        (calls >= 4).then_some(())
    };
    let called = wait::until("it was called in vain four times", SOON, called).await;
    called.unwrap_or_else(|error| panic!("{error}"));
    drop(instead);
    kit.server.restart().await.expect("it starts again");
    completed(&kit.ended("away/app").await, &half.id);
    let other = kit.ended("away/other").await;
    completed(&other, &other.id);
    assert_eq!(kit.list().await.len(), 2);
    kit
}

async fn a_killed_agent_goes_on_where_it_was(mut kit: Kit) -> Kit {
    let image = image_of(&["a"], 6);
    let (pull, gate, half) = kit.pull_half("agent/app:1", &image, mib(3)).await;
    kit.agent.kill9().await.expect("it is killed");
    kit.agent_again().await;
    gate.release();
    pull.outcome().await.expect("it succeeds");
    let row = kit.ended("agent/app").await;
    completed(&row, &half.id);
    // No step back: the reader has looked at each state beside the one before.
    let log = kit.reader.log();
    log.assert_total(&row, total(&image));
    assert_eq!((log.rows().count(), log.resets), (1, 0));
    drop(log);
    kit
}

/// It tells a start at once and what comes after it once an hour, so what is told then is told because it
/// is stopped.
async fn an_agent_that_is_stopped_tells_the_last_state(mut kit: Kit) -> Kit {
    let image = image_of(&["a"], 6);
    let (closed, half) = (kit.hold(&image, 0), kit.hold(&image, mib(3)));
    let pull = kit.pull("stopped/app:1", &image);
    let live = |log: &Log| log.live().pop();
    let first = kit.until("its start is told", live).await;
    closed.release();
    kit.agent_says("3.00 MiB of", 1).await;
    let last = kit.reader.log().live().pop().expect("it lives");
    assert!(
        last.downloaded_bytes < Some(mib(3)),
        "it was told before: {last:#?}"
    );
    let status = kit.agent.stop().await.expect("it stops");
    assert!(status.success(), "{status}");
    let told = kit.until("the last state is told", |log| {
        let row = log.last(&first.id)?;
        (row.downloaded_bytes == Some(mib(3))).then_some(())
    });
    told.await;
    drop(half);
    pull.outcome().await.expect("it succeeds");
    kit
}
