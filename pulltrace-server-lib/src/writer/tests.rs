//! The writer as agents and readers see it.

use pulltrace_core::wire::check::parse;
use pulltrace_core::wire::v1::NodeState;
use tokio::sync::{mpsc, oneshot};
use tokio::task::JoinHandle;

use super::*;
use crate::cluster::{PodUpdate, ScriptedSource, SourceError};
use crate::correlate::SourceHealth;
use crate::fixture::{ReportBuilder, id, time};

struct Running {
    intake: Intake,
    shared: SharedTable,
    stop: oneshot::Sender<()>,
    task: JoinHandle<()>,
}

fn limits(queue: usize) -> Limits {
    Limits { queue, ..Limits::default() }
}

fn writer(queue: usize) -> (Writer, Intake, SharedTable) {
    Writer::builder().clock(Clock::anchored(time(0))).epoch("e").limits(limits(queue)).start()
}

fn spawn(parts: (Writer, Intake, SharedTable)) -> Running {
    let (writer, intake, shared) = parts;
    let (stop, stopped) = oneshot::channel();
    let task = tokio::spawn(writer.run(async {
        stopped.await.unwrap_or_default();
    }));
    Running { intake, shared, stop, task }
}

fn parse_report(report: &ReportBuilder) -> AnyReport {
    parse(report.body.to_string().as_bytes()).unwrap()
}

/// Enqueues a report without waiting for the response.
async fn enqueue(
    intake: &Intake,
    report: ReportBuilder,
) -> JoinHandle<Result<ReportAck, IntakeError>> {
    let intake = intake.clone();
    let waiting = |intake: &Intake| intake.queue.lock().jobs.len();
    let before = waiting(&intake);
    let watched = intake.clone();
    let handle = tokio::spawn(async move { intake.report(parse_report(&report)).await });
    while waiting(&watched) == before && !handle.is_finished() {
        tokio::task::yield_now().await;
    }
    handle
}

#[tokio::test(start_paused = true)]
async fn report_is_acknowledged_and_wakes_readers() {
    let running = spawn(writer(8));
    let mut changes = running.shared.subscribe();
    let report = ReportBuilder::new("w1", 1, 0).resolving(1);
    let ack = running.intake.report(parse_report(&report)).await.unwrap();
    assert_eq!((ack.accepted_seq, ack.server_epoch.as_str()), (1, "e"));
    assert_eq!(ack.next_report_ms, None);
    let mark = *changes.wait_for(|mark| mark.urgent > 0).await.unwrap();
    assert_eq!(mark.seq, running.shared.read(Table::seq));
    assert!(running.shared.read(|table| table.get(&id("w1", 1)).is_some()));
    assert_eq!(running.shared.stats().live.resolving, 1);
}

#[tokio::test(start_paused = true)]
async fn silent_node_is_marked_lost_by_timer() {
    let running = spawn(writer(8));
    let mut changes = running.shared.subscribe();
    let report = ReportBuilder::new("w1", 1, 0).resolving(1);
    running.intake.report(parse_report(&report)).await.unwrap();
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
async fn report_is_rejected_as_busy_when_queue_full() {
    let parts = writer(1);
    let intake = parts.1.clone();
    let first = enqueue(&intake, ReportBuilder::new("w1", 1, 0)).await;
    let second = intake.report(parse_report(&ReportBuilder::new("w1", 2, 0))).await;
    assert!(matches!(second, Err(IntakeError::Busy)));
    let running = spawn(parts);
    // Agents are only slowed down while the queue is more than half full.
    assert_eq!(first.await.unwrap().unwrap().next_report_ms, None);
    running.intake.report(parse_report(&ReportBuilder::new("w1", 3, 0))).await.unwrap();
    assert_eq!(running.shared.stats().counters.reports_busy, 1);
}

#[tokio::test(start_paused = true)]
async fn agents_are_slowed_down_above_half_queue() {
    let parts = writer(4);
    let intake = parts.1.clone();
    let mut waiting = Vec::new();
    for sequence in 1..=4 {
        waiting.push(enqueue(&intake, ReportBuilder::new("w1", sequence, 0)).await);
    }
    let _running = spawn(parts);
    let mut asked = Vec::new();
    for answer in waiting {
        asked.push(answer.await.unwrap().unwrap().next_report_ms);
    }
    assert_eq!(asked, [Some(5_000), None, None, None]);
}

#[tokio::test(start_paused = true)]
async fn shutdown_applies_queued_reports_and_rejects_later() {
    let (writer, intake, shared) = writer(4);
    let waits = enqueue(&intake, ReportBuilder::new("w1", 1, 0).resolving(1)).await;
    let running = spawn((writer, intake, shared));
    running.stop.send(()).unwrap();
    running.task.await.unwrap();
    assert!(waits.await.unwrap().is_ok());
    assert!(running.shared.read(|table| table.get(&id("w1", 1)).is_some()));
    let late = running.intake.report(parse_report(&ReportBuilder::new("w1", 2, 0))).await;
    assert!(matches!(late, Err(IntakeError::Stopped)));
}

/// Forwards one update of a source, which waits until there is a free slot. Returns after it waits.
async fn forward_init(intake: &Intake) -> JoinHandle<Result<(), SourceError>> {
    let (pods, script) = ScriptedSource::new();
    script.try_send(PodUpdate::Init).unwrap();
    drop(script);
    let forwarded = intake.clone();
    let task = tokio::spawn(async move { forwarded.forward_pods(pods).await });
    // The task runs until it waits for a slot.
    tokio::task::yield_now().await;
    assert!(!task.is_finished());
    task
}

#[tokio::test(start_paused = true)]
async fn source_waits_for_free_slot_without_timer() {
    let parts = writer(1);
    let intake = parts.1.clone();
    let report = enqueue(&intake, ReportBuilder::new("w1", 1, 0)).await;
    let source = forward_init(&intake).await;
    assert_eq!(intake.queue.lock().jobs.len(), 1, "the queue is bounded");
    let before = intake.clock.now().mono;
    let running = spawn(parts);
    report.await.unwrap().unwrap();
    source.await.unwrap().unwrap();
    assert_eq!(running.shared.cluster_health().pods, SourceHealth::Listing);
    assert_eq!(intake.clock.now().mono, before);
    assert_eq!(running.shared.stats().counters.reports_busy, 0);
}

#[tokio::test]
async fn waiting_source_gets_slot_before_later_report() {
    let queue = CombiningQueue::new(1);
    let slot = queue.try_reserve().unwrap();
    let mut source = std::pin::pin!(queue.reserve());
    tokio::select! {
        biased;
        _ = &mut source => panic!("the queue is full"),
        () = std::future::ready(()) => {}
    }
    drop(slot);
    assert!(matches!(queue.try_reserve(), Err(IntakeError::Busy)));
    let slot = source.await.unwrap();
    drop(slot);
    assert!(queue.try_reserve().is_ok());
}

#[tokio::test(start_paused = true)]
async fn waiting_source_ends_when_server_stops() {
    let parts = writer(1);
    let intake = parts.1.clone();
    let report = enqueue(&intake, ReportBuilder::new("w1", 1, 0)).await;
    let source = forward_init(&intake).await;
    let running = spawn(parts);
    running.stop.send(()).unwrap();
    running.task.await.unwrap();
    source.await.unwrap().unwrap();
    assert!(report.await.unwrap().is_ok());
    assert_eq!(running.shared.cluster_health().pods, SourceHealth::Unknown);
}

#[tokio::test(start_paused = true)]
async fn panic_stops_writer_and_rejects_reports() {
    let parts = Writer::builder()
        .observer(|changes, _| assert!(changes.pulls.is_empty(), "panic on purpose"))
        .start();
    let running = spawn(parts);
    let intake = running.intake.clone();
    let report = parse_report(&ReportBuilder::new("w1", 1, 0).resolving(1));
    let broken = tokio::spawn(async move { intake.report(report).await });
    assert!(broken.await.unwrap_err().is_panic());
    let next = running.intake.report(parse_report(&ReportBuilder::new("w1", 2, 0))).await;
    assert!(matches!(next, Err(IntakeError::Stopped)));
    assert!(running.task.await.unwrap_err().is_panic());
}

#[tokio::test(start_paused = true)]
async fn observer_receives_each_end() {
    let (sender, mut ends) = mpsc::channel(4);
    let parts = Writer::builder()
        .clock(Clock::anchored(time(0)))
        .observer(move |changes, stats| {
            for ended in &changes.ended {
                sender.try_send((ended.outcome, stats.ended)).unwrap();
            }
        })
        .start();
    let running = spawn(parts);
    let report = ReportBuilder::new("w1", 1, 0).ended(1, "failed", 0);
    running.intake.report(parse_report(&report)).await.unwrap();
    let seen = ends.recv().await;
    assert_eq!(seen, Some((pulltrace_core::Outcome::Failed, 1)));
}

#[tokio::test]
async fn each_start_has_distinct_epoch() {
    let epoch = |at| {
        let (_, _, shared) = Writer::builder().clock(Clock::anchored(at)).start();
        shared.read(|table| table.epoch().to_owned())
    };
    assert_ne!(epoch(time(0)), epoch(time(1)));
    assert!(!epoch(time(0)).contains('-'));
}
