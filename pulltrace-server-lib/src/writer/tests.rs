//! What agents and readers see of the writer.

use pulltrace_core::wire::check::parse;
use pulltrace_core::wire::v1::NodeState;
use tokio::sync::{mpsc, oneshot};
use tokio::task::JoinHandle;

use super::*;
use crate::fixture::{Told, id, time};

struct Running {
    intake: Intake,
    shared: Shared,
    stop: oneshot::Sender<()>,
    task: JoinHandle<()>,
}

fn limits(queue: usize) -> Limits {
    Limits {
        queue,
        ..Limits::default()
    }
}

fn writer(queue: usize) -> (Writer, Intake, Shared) {
    Writer::builder()
        .clock(Clock::anchored(time(0)))
        .epoch("e")
        .limits(limits(queue))
        .start()
}

fn running(parts: (Writer, Intake, Shared)) -> Running {
    let (writer, intake, shared) = parts;
    let (stop, stopped) = oneshot::channel();
    let task = tokio::spawn(writer.run(async {
        stopped.await.unwrap_or_default();
    }));
    Running {
        intake,
        shared,
        stop,
        task,
    }
}

fn report(told: &Told) -> AnyReport {
    parse(told.body.to_string().as_bytes()).unwrap()
}

/// Hands over a report for which nobody takes the time to wait.
async fn hand_over(intake: &Intake, told: Told) -> JoinHandle<Result<ReportAck, IntakeError>> {
    let intake = intake.clone();
    let waiting = |intake: &Intake| intake.desk.state().waiting.len();
    let before = waiting(&intake);
    let watched = intake.clone();
    let handle = tokio::spawn(async move { intake.report(report(&told)).await });
    while waiting(&watched) == before && !handle.is_finished() {
        tokio::task::yield_now().await;
    }
    handle
}

#[tokio::test(start_paused = true)]
async fn a_report_is_answered_and_readers_wake() {
    let running = running(writer(8));
    let mut changes = running.shared.changes();
    let told = Told::new("w1", 1, 0).resolving(1);
    let ack = running.intake.report(report(&told)).await.unwrap();
    assert_eq!((ack.accepted_seq, ack.server_epoch.as_str()), (1, "e"));
    assert_eq!(ack.next_report_ms, None);
    let mark = *changes.wait_for(|mark| mark.urgent > 0).await.unwrap();
    assert_eq!(mark.seq, running.shared.read(Table::seq));
    assert!(
        running
            .shared
            .read(|table| table.get(&id("w1", 1)).is_some())
    );
    assert_eq!(running.shared.stats().live.resolving, 1);
}

#[tokio::test(start_paused = true)]
async fn a_silent_node_is_lost_while_nobody_reports() {
    let running = running(writer(8));
    let mut changes = running.shared.changes();
    let told = Told::new("w1", 1, 0).resolving(1);
    running.intake.report(report(&told)).await.unwrap();
    let name = "w1".parse().unwrap();
    let lost = || {
        running.shared.read(|table| {
            let node = table.node(&name);
            node.is_some_and(|node| node.view.state == NodeState::Lost)
        })
    };
    while !lost() {
        changes.changed().await.unwrap();
    }
    let stats = running.shared.stats();
    assert_eq!((stats.nodes_live, stats.nodes_lost), (0, 1));
}

#[tokio::test(start_paused = true)]
async fn where_too_many_reports_wait_one_more_is_busy_and_counted() {
    let parts = writer(1);
    let intake = parts.1.clone();
    let first = hand_over(&intake, Told::new("w1", 1, 0)).await;
    let second = intake.report(report(&Told::new("w1", 2, 0))).await;
    assert!(matches!(second, Err(IntakeError::Busy)));
    let running = running(parts);
    // Agents are only asked to wait while more than half of the queue is taken.
    assert_eq!(first.await.unwrap().unwrap().next_report_ms, None);
    running
        .intake
        .report(report(&Told::new("w1", 3, 0)))
        .await
        .unwrap();
    assert_eq!(running.shared.stats().counters.reports_busy, 1);
}

#[tokio::test(start_paused = true)]
async fn agents_are_asked_to_wait_while_many_reports_do() {
    let parts = writer(4);
    let intake = parts.1.clone();
    let mut waiting = Vec::new();
    for sequence in 1..=4 {
        waiting.push(hand_over(&intake, Told::new("w1", sequence, 0)).await);
    }
    let _running = running(parts);
    let mut asked = Vec::new();
    for answer in waiting {
        asked.push(answer.await.unwrap().unwrap().next_report_ms);
    }
    assert_eq!(asked, [Some(5_000), None, None, None]);
}

#[tokio::test(start_paused = true)]
async fn what_waits_at_the_stop_is_taken_and_what_comes_later_is_told_so() {
    let (writer, intake, shared) = writer(4);
    let waits = hand_over(&intake, Told::new("w1", 1, 0).resolving(1)).await;
    let running = running((writer, intake, shared));
    running.stop.send(()).unwrap();
    running.task.await.unwrap();
    assert!(waits.await.unwrap().is_ok());
    assert!(
        running
            .shared
            .read(|table| table.get(&id("w1", 1)).is_some())
    );
    let late = running.intake.report(report(&Told::new("w1", 2, 0))).await;
    assert!(matches!(late, Err(IntakeError::Stopped)));
}

#[tokio::test(start_paused = true)]
async fn where_a_step_panics_whoever_reports_is_told_and_the_writer_ends() {
    let parts = Writer::builder()
        .observer(|changes, _| assert!(changes.pulls.is_empty(), "as the test wants it"))
        .start();
    let running = running(parts);
    let intake = running.intake.clone();
    let told = report(&Told::new("w1", 1, 0).resolving(1));
    let broken = tokio::spawn(async move { intake.report(told).await });
    assert!(broken.await.unwrap_err().is_panic());
    let next = running.intake.report(report(&Told::new("w1", 2, 0))).await;
    assert!(matches!(next, Err(IntakeError::Stopped)));
    assert!(running.task.await.unwrap_err().is_panic());
}

#[tokio::test(start_paused = true)]
async fn an_observer_hears_of_each_end() {
    let (sender, mut ends) = mpsc::channel(4);
    let parts = Writer::builder()
        .clock(Clock::anchored(time(0)))
        .observer(move |changes, stats| {
            for ended in &changes.ended {
                sender.try_send((ended.outcome, stats.ended)).unwrap();
            }
        })
        .start();
    let running = running(parts);
    let told = Told::new("w1", 1, 0).ended(1, "failed", 0);
    running.intake.report(report(&told)).await.unwrap();
    let seen = ends.recv().await;
    assert_eq!(seen, Some((pulltrace_core::Outcome::Failed, 1)));
}

#[tokio::test]
async fn each_life_of_a_server_has_a_name_of_its_own() {
    let epoch = |at| {
        let (_, _, shared) = Writer::builder().clock(Clock::anchored(at)).start();
        shared.read(|table| table.epoch().to_owned())
    };
    assert_ne!(epoch(time(0)), epoch(time(1)));
    assert!(!epoch(time(0)).contains('-'));
}
