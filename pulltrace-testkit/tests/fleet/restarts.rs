//! Server and agent killed, stopped or unreachable.

use pulltrace_core::wire::v1::{Outcome, PullStatus};
use pulltrace_testkit::image::mib;
use pulltrace_testkit::wait;

use crate::kit::{Kit, Scenario, TIMEOUT, image_of, scenario, total};
use crate::reader::ReaderLog;

pub(crate) const ALL: &[Scenario] = &[
    scenario!(restarted_server_restores_pulls_with_same_ids),
    scenario!(pull_ended_during_outage_is_reported_afterwards),
    scenario!(killed_agent_resumes_without_regression),
    scenario!(stopped_agent_reports_last_state, agent = &["--report-interval", "1h"]),
];

fn assert_completed(row: &PullStatus, id: &str) {
    assert_eq!(row.id, id);
    assert_eq!(row.outcome, Some(Outcome::Completed), "{row:#?}");
    assert_eq!(row.percent, Some(100.0));
}

async fn restarted_server_restores_pulls_with_same_ids(mut kit: Kit) -> Kit {
    kit.pull("killed/before:1", &image_of(&["b"], 1)).outcome().await.expect("pull succeeds");
    let before = kit.wait_ended("killed/before").await;
    let image = image_of(&["a"], 6);
    let (pull, gate, half) = kit.pull_held("killed/app:1", &image, mib(3)).await;
    kit.server.kill9().await.expect("killed");
    kit.until("the reader is disconnected", |log| (log.disconnects > 0).then_some(())).await;
    kit.server.restart().await.expect("restarted");
    let reset = |log: &ReaderLog| (log.resets == 1 && log.snapshot_complete).then_some(());
    kit.until("the reader was reset", reset).await;
    let here = async || Some((kit.listed("killed/before").await?, kit.listed("killed/app").await?));
    let here = wait::until("the new server lists both pulls", TIMEOUT, here).await;
    let (mut again, live) = here.unwrap_or_else(|error| panic!("{error}"));
    // The row number differs after each start of the server.
    again.row = before.row;
    assert_eq!(again, before);
    assert_eq!((&live.id, live.outcome), (&half.id, None));
    assert!(live.downloaded_bytes >= half.downloaded_bytes, "{live:#?}");
    gate.release();
    pull.outcome().await.expect("pull succeeds");
    let row = kit.wait_ended("killed/app").await;
    assert_completed(&row, &half.id);
    let log = kit.reader.log();
    log.assert_total(&row, total(&image));
    assert_eq!((log.rows().count(), log.resets), (2, 1));
    drop(log);
    kit
}

async fn pull_ended_during_outage_is_reported_afterwards(mut kit: Kit) -> Kit {
    let image = image_of(&["a"], 4);
    let (pull, gate, half) = kit.pull_held("away/app:1", &image, mib(2)).await;
    kit.server.kill9().await.expect("killed");
    // The stand-in closes each connection and counts them.
    let stand_in = tokio::net::TcpListener::bind(kit.server.address()).await;
    let instead = stand_in.expect("port is free");
    gate.release();
    pull.outcome().await.expect("pull succeeds");
    kit.pull("away/other:1", &image_of(&["b"], 1)).outcome().await.expect("pull succeeds");
    kit.wait_for_agent_log("pulled ", 2).await;
    let mut calls = 0;
    let called = async || {
        while let Ok(call) = tokio::time::timeout(std::time::Duration::ZERO, instead.accept()).await
        {
            calls += 1;
            drop(call);
        }
        (calls >= 4).then_some(())
    };
    let called = wait::until("four connections have failed", TIMEOUT, called).await;
    called.unwrap_or_else(|error| panic!("{error}"));
    drop(instead);
    kit.server.restart().await.expect("restarted");
    assert_completed(&kit.wait_ended("away/app").await, &half.id);
    let other = kit.wait_ended("away/other").await;
    assert_completed(&other, &other.id);
    assert_eq!(kit.list().await.len(), 2);
    kit
}

async fn killed_agent_resumes_without_regression(mut kit: Kit) -> Kit {
    let image = image_of(&["a"], 6);
    let (pull, gate, half) = kit.pull_held("agent/app:1", &image, mib(3)).await;
    kit.agent.kill9().await.expect("killed");
    kit.restart_agent().await;
    gate.release();
    pull.outcome().await.expect("pull succeeds");
    let row = kit.wait_ended("agent/app").await;
    assert_completed(&row, &half.id);
    // The reader has checked that no state regresses.
    let log = kit.reader.log();
    log.assert_total(&row, total(&image));
    assert_eq!((log.rows().count(), log.resets), (1, 0));
    drop(log);
    kit
}

/// With an interval of one hour, only starts are reported immediately: later states can only come
/// from the final report.
async fn stopped_agent_reports_last_state(mut kit: Kit) -> Kit {
    let image = image_of(&["a"], 6);
    let (closed, half) = (kit.hold(&image, 0), kit.hold(&image, mib(3)));
    let pull = kit.pull("stopped/app:1", &image);
    let live = |log: &ReaderLog| log.live().pop();
    let first = kit.until("the start is reported", live).await;
    closed.release();
    kit.wait_for_agent_log("3.00 MiB of", 1).await;
    let last = kit.reader.log().live().pop().expect("pull is live");
    assert!(last.downloaded_bytes < Some(mib(3)), "already reported: {last:#?}");
    let status = kit.agent.stop().await.expect("stopped");
    assert!(status.success(), "{status}");
    let reported = kit.until("the last state is reported", |log| {
        let row = log.last(&first.id)?;
        (row.downloaded_bytes == Some(mib(3))).then_some(())
    });
    reported.await;
    drop(half);
    pull.outcome().await.expect("pull succeeds");
    kit
}
