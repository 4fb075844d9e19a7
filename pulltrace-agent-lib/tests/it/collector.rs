//! The collector as seen by the receiver of its reports.

use std::time::Duration;

use pulltrace_agent_lib::source::{Batch, PullSource, Script, ScriptedSource, SourceError};
use pulltrace_agent_lib::testing::{FailingSink, SinkHandle};
use pulltrace_agent_lib::{Clock, Collector, RunError, Settings, SettingsError, Summary, sink};
use pulltrace_core::{EndEvidence, Limits, Observation, Outcome};
use tokio::sync::oneshot;
use tokio::task::JoinHandle;

use crate::common::{began, ended, id, named, node, start, within_ten_minutes};

struct TestBench {
    clock: Clock,
    script: Script,
    sink: SinkHandle,
    stop: Option<oneshot::Sender<()>>,
    running: JoinHandle<Result<Summary, RunError>>,
}

impl TestBench {
    fn new() -> Self {
        Self::with_limits(Limits::default())
    }

    fn with_limits(limits: Limits) -> Self {
        let clock = Clock::anchored(start());
        let (source, script) = ScriptedSource::new(clock);
        let (sink, handle) = FailingSink::new();
        let source = source.with_poll_interval(Duration::from_millis(250));
        let settings = Settings::new(node()).limits(limits).clock(clock);
        let collector = Collector::new(source, sink, settings).unwrap();
        let (stop, stopped) = oneshot::channel();
        let running = tokio::spawn(collector.run(async {
            stopped.await.unwrap();
        }));
        Self { clock, script, sink: handle, stop: Some(stop), running }
    }

    fn end(&self, pull: u32) {
        let ended = ended(pull, EndEvidence::ImagePresent, &self.clock);
        self.script.emit(vec![ended]).unwrap();
    }

    /// Waits until the receiver knows this outcome of the pull.
    async fn wait_for_outcome(&self, pull: u32, outcome: Option<Outcome>) {
        let known = |sink: &SinkHandle| {
            let view = sink.view();
            view.get(&id(pull)).map(|pull| pull.outcome()) == Some(outcome)
        };
        within_ten_minutes("the receiver knows the outcome", self.sink.wait_until(known)).await;
    }

    /// Counts the reports that contain the end of this pull.
    fn count_reported_ends(&self, pull: u32) -> usize {
        let reports = self.sink.reports();
        let ends = reports.iter().flat_map(|report| &report.pulls);
        ends.filter(|p| p.id == id(pull) && p.outcome().is_some()).count()
    }

    async fn stop(mut self) -> Result<Summary, RunError> {
        self.stop.take().unwrap().send(()).unwrap();
        within_ten_minutes("the run ends", self.running).await.unwrap()
    }
}

const COMPLETED: Option<Outcome> = Some(Outcome::Completed);

#[tokio::test(start_paused = true)]
async fn start_and_end_are_reported_immediately() {
    let bench = TestBench::new();
    bench.script.emit(vec![]).unwrap();
    within_ten_minutes("the first report", bench.sink.wait_until(|sink| sink.reports().len() == 1))
        .await;
    tokio::time::sleep(Duration::from_millis(300)).await;
    let before = bench.clock.now().mono;
    bench.script.emit(vec![began(1)]).unwrap();
    bench.wait_for_outcome(1, None).await;
    bench.end(1);
    bench.wait_for_outcome(1, COMPLETED).await;
    assert_eq!(bench.clock.now().mono.since(before), Duration::ZERO);
    let report = bench.sink.reports().pop().unwrap();
    assert_eq!(report.poll_interval, Some(Duration::from_millis(250)));
    assert_eq!(report.totals.live_pulls, 0);
}

#[tokio::test(start_paused = true)]
async fn slow_sink_does_not_delay_source() {
    let bench = TestBench::new();
    bench.script.emit(vec![began(1)]).unwrap();
    bench.wait_for_outcome(1, None).await;
    bench.sink.hold();
    for pull in 2..=500 {
        bench.script.emit(vec![began(pull)]).unwrap();
    }
    let all_heard = async {
        while bench.script.pending() > 0 {
            tokio::time::sleep(Duration::from_millis(1)).await;
        }
    };
    within_ten_minutes("the script is consumed", all_heard).await;
    assert_eq!(bench.sink.attempts(), 2, "one delivery is in progress");
    bench.sink.release();
    bench.wait_for_outcome(500, None).await;
    assert_eq!(bench.sink.view().len(), 500);
    assert_eq!(bench.sink.attempts(), 3, "the next report contains the rest");
}

#[tokio::test(start_paused = true)]
async fn end_is_delivered_once() {
    let bench = TestBench::new();
    bench.script.emit(vec![began(1), began(2)]).unwrap();
    bench.end(1);
    bench.wait_for_outcome(1, COMPLETED).await;
    for tag in 0..10 {
        let name = format!("registry.example/app:{tag}");
        bench.script.emit(vec![named(2, &name)]).unwrap();
        tokio::time::sleep(Duration::from_secs(2)).await;
    }
    assert!(bench.sink.reports().len() > 10);
    assert_eq!(bench.count_reported_ends(1), 1);
    let summary = bench.stop().await.unwrap();
    assert_eq!((summary.started, summary.ended), (2, 1));
}

#[tokio::test(start_paused = true)]
async fn unacknowledged_end_is_sent_again() {
    let bench = TestBench::new();
    bench.script.emit(vec![began(1)]).unwrap();
    bench.wait_for_outcome(1, None).await;
    bench.sink.lose_acks(1);
    bench.end(1);
    within_ten_minutes(
        "the end is received twice",
        bench.sink.wait_until(|_| bench.count_reported_ends(1) == 2),
    )
    .await;
    let sequences: Vec<_> = bench.sink.reports().iter().map(|r| r.sequence).collect();
    assert!(sequences.is_sorted_by(|a, b| a < b), "{sequences:?}");
    assert!(bench.stop().await.unwrap().delivered);
}

#[tokio::test(start_paused = true)]
async fn receiver_outage_loses_no_end() {
    let bench = TestBench::new();
    bench.script.emit(vec![began(1)]).unwrap();
    bench.wait_for_outcome(1, None).await;
    bench.sink.fail(8);
    bench.end(1);
    for pull in 2..=20 {
        bench.script.emit(vec![began(pull)]).unwrap();
        bench.end(pull);
        tokio::time::sleep(Duration::from_secs(2)).await;
    }
    bench.wait_for_outcome(20, COMPLETED).await;
    for pull in 1..=20 {
        assert_eq!(bench.count_reported_ends(pull), 1, "pull {pull}");
    }
    assert_eq!(bench.stop().await.unwrap().undelivered_ends, 0);
}

#[tokio::test(start_paused = true)]
async fn restarted_receiver_gets_all_ends_again() {
    let bench = TestBench::new();
    bench.script.emit(vec![began(1), began(2), began(3)]).unwrap();
    bench.end(1);
    bench.end(2);
    bench.wait_for_outcome(2, COMPLETED).await;
    bench.sink.restart();
    assert!(bench.sink.view().is_empty());
    // Without further changes, the next heartbeat detects the restart.
    let before = bench.clock.now().mono;
    bench.wait_for_outcome(1, COMPLETED).await;
    let took = bench.clock.now().mono.since(before);
    assert!(took <= Duration::from_secs(6), "{took:?}");
    let view = bench.sink.view();
    let phases: Vec<_> = view.values().map(|pull| pull.phase.as_str()).collect();
    assert_eq!(phases, ["completed", "completed", "resolving"]);
}

#[tokio::test(start_paused = true)]
async fn receiver_can_request_full_and_fewer_reports() {
    let bench = TestBench::new();
    bench.script.emit(vec![began(1)]).unwrap();
    bench.wait_for_outcome(1, None).await;
    bench.sink.request_full();
    bench.sink.set_next_report(Some(Duration::from_secs(60)));
    bench.script.emit(vec![began(2)]).unwrap();
    bench.wait_for_outcome(2, None).await;
    let before = bench.clock.now().mono;
    let two_full = |sink: &SinkHandle| sink.reports().iter().filter(|r| r.full).count() == 2;
    within_ten_minutes("a full report", bench.sink.wait_until(two_full)).await;
    let waited = bench.clock.now().mono.since(before);
    assert!(waited >= Duration::from_secs(60), "{waited:?}");
    assert_eq!(bench.sink.view().len(), 2);
}

#[tokio::test(start_paused = true)]
async fn stall_is_reported_while_source_is_silent() {
    let bench = TestBench::new();
    bench.script.emit(vec![began(1)]).unwrap();
    bench.script.emit(vec![crate::common::image(1)]).unwrap();
    bench.script.emit(vec![crate::common::bytes(1, 100, &bench.clock)]).unwrap();
    let stalled = |sink: &SinkHandle| {
        let view = sink.view();
        view.get(&id(1)).is_some_and(|pull| pull.stalled_since.is_some())
    };
    within_ten_minutes("the stall is reported", bench.sink.wait_until(stalled)).await;
    let since = bench.sink.view()[&id(1)].stalled_since.unwrap();
    assert_eq!(since, start());
}

#[tokio::test(start_paused = true)]
async fn graceful_stop_delivers_final_state() {
    let bench = TestBench::new();
    bench.script.emit(vec![began(1)]).unwrap();
    bench.wait_for_outcome(1, None).await;
    // Neither the interval nor the receiver's requested wait delays the final report.
    bench.sink.set_next_report(Some(Duration::from_mins(2)));
    bench.script.emit(vec![began(2)]).unwrap();
    bench.wait_for_outcome(2, None).await;
    bench.end(1);
    while bench.script.pending() > 0 {
        tokio::task::yield_now().await;
    }
    assert_eq!(bench.count_reported_ends(1), 0);
    let sink = bench.sink.clone();
    let summary = bench.stop().await.unwrap();
    assert!(summary.delivered);
    assert_eq!((summary.ended, summary.undelivered_ends), (1, 0));
    assert_eq!(sink.view()[&id(1)].outcome(), COMPLETED);
    assert_eq!(summary.reports, sink.reports().len() as u64);
}

#[tokio::test(start_paused = true)]
async fn stop_gives_up_after_grace_period() {
    let bench = TestBench::new();
    bench.script.emit(vec![began(1)]).unwrap();
    bench.wait_for_outcome(1, None).await;
    bench.sink.hold();
    bench.end(1);
    within_ten_minutes("a delivery hangs", bench.sink.wait_until(|sink| sink.attempts() == 2))
        .await;
    let (clock, before) = (bench.clock, bench.clock.now().mono);
    let summary = bench.stop().await.unwrap();
    assert_eq!(clock.now().mono.since(before), Duration::from_secs(5));
    assert!(!summary.delivered);
    assert_eq!((summary.ended, summary.undelivered_ends), (1, 1));
}

#[tokio::test(start_paused = true)]
async fn stop_retries_failed_final_report() {
    let bench = TestBench::new();
    bench.script.emit(vec![began(1)]).unwrap();
    bench.wait_for_outcome(1, None).await;
    bench.sink.fail(3);
    bench.end(1);
    within_ten_minutes("it fails", bench.sink.wait_until(|sink| sink.attempts() == 2)).await;
    let sink = bench.sink.clone();
    assert!(bench.stop().await.unwrap().delivered);
    assert_eq!(sink.view()[&id(1)].outcome(), COMPLETED);
}

#[tokio::test(start_paused = true)]
async fn ended_source_ends_run_after_final_report() {
    let bench = TestBench::new();
    bench.script.emit(vec![began(1)]).unwrap();
    bench.end(1);
    bench.script.end().unwrap();
    let summary = within_ten_minutes("the run ends", bench.running).await.unwrap().unwrap();
    assert!(summary.delivered);
    assert_eq!(bench.sink.view()[&id(1)].outcome(), COMPLETED);
}

#[tokio::test(start_paused = true)]
async fn failed_source_ends_run_with_error() {
    let bench = TestBench::new();
    bench.script.emit(vec![began(1)]).unwrap();
    bench.end(1);
    bench.script.fail(SourceError::Other("disk failure".into())).unwrap();
    let error = within_ten_minutes("the run ends", bench.running).await.unwrap().unwrap_err();
    assert!(error.summary().delivered);
    assert_eq!(bench.sink.view()[&id(1)].outcome(), COMPLETED);
    let RunError::Source { node, source, .. } = error else { panic!("{error}") };
    assert_eq!(node.as_str(), "worker-1");
    assert!(matches!(source, SourceError::Other(_)), "{source}");
}

#[tokio::test(start_paused = true)]
async fn closed_sink_ends_run() {
    let bench = TestBench::new();
    bench.script.emit(vec![began(1)]).unwrap();
    bench.wait_for_outcome(1, None).await;
    bench.sink.close();
    bench.end(1);
    let error = within_ten_minutes("the run ends", bench.running).await.unwrap().unwrap_err();
    assert!(matches!(error, RunError::SinkClosed { .. }), "{error}");
    assert_eq!(error.summary().undelivered_ends, 1);
}

#[tokio::test(start_paused = true)]
async fn no_report_before_runtime_is_connected() {
    let bench = TestBench::new();
    bench.script.disconnect().unwrap();
    bench.script.emit(vec![]).unwrap();
    tokio::time::sleep(Duration::from_mins(1)).await;
    assert_eq!(bench.sink.attempts(), 0, "an empty full report would end all pulls");
    bench.script.reconnect().unwrap();
    bench.script.emit(vec![began(1)]).unwrap();
    bench.wait_for_outcome(1, None).await;
    assert_eq!(bench.sink.attempts(), 1, "the first report contains the pull");
}

#[tokio::test(start_paused = true)]
async fn initial_sync_times_out() {
    let bench = TestBench::new();
    let before = bench.clock.now().mono;
    bench.script.reconnect().unwrap();
    within_ten_minutes("a report", bench.sink.wait_until(|sink| sink.reports().len() == 1)).await;
    let waited = bench.clock.now().mono.since(before);
    assert_eq!(waited, Duration::from_secs(2));
}

#[tokio::test(start_paused = true)]
async fn ended_source_completes_initial_sync() {
    let bench = TestBench::new();
    bench.script.reconnect().unwrap();
    bench.script.emit(vec![Observation::SourceRecovered, began(1)]).unwrap();
    bench.script.end().unwrap();
    let summary = within_ten_minutes("the run ends", bench.running).await.unwrap().unwrap();
    assert!(summary.delivered);
    assert_eq!(bench.sink.view().len(), 1);
}

#[tokio::test(start_paused = true)]
async fn stop_during_initial_sync_reports_nothing() {
    let bench = TestBench::new();
    bench.script.emit(vec![Observation::SourceRecovered, began(1)]).unwrap();
    while bench.script.pending() > 0 {
        tokio::task::yield_now().await;
    }
    let sink = bench.sink.clone();
    let summary = bench.stop().await.unwrap();
    assert!(!summary.delivered);
    assert_eq!((summary.started, sink.attempts()), (1, 0));
}

#[tokio::test(start_paused = true)]
async fn run_without_observations_stops_immediately() {
    let bench = TestBench::new();
    let (clock, before) = (bench.clock, bench.clock.now().mono);
    assert!(bench.stop().await.unwrap().delivered);
    assert_eq!(clock.now().mono, before);
}

#[tokio::test(start_paused = true)]
async fn runtime_outage_marks_pulls_stale() {
    let bench = TestBench::new();
    bench.script.emit(vec![began(1)]).unwrap();
    bench.script.disconnect().unwrap();
    let stale = |sink: &SinkHandle| {
        let view = sink.view();
        view.get(&id(1)).is_some_and(|pull| pull.stale_since.is_some())
    };
    within_ten_minutes("the pull is stale", bench.sink.wait_until(stale)).await;
    assert_eq!(bench.sink.view()[&id(1)].outcome(), None);
    bench.script.reconnect().unwrap();
    within_ten_minutes("the pull is no longer stale", bench.sink.wait_until(|sink| !stale(sink)))
        .await;
}

#[tokio::test(start_paused = true)]
async fn evicted_ends_are_reported_as_count() {
    let mut limits = Limits::default();
    limits.max_ended = 3;
    let bench = TestBench::with_limits(limits);
    bench.script.emit(vec![]).unwrap();
    within_ten_minutes("a first report", bench.sink.wait_until(|sink| sink.reports().len() == 1))
        .await;
    bench.sink.hold();
    bench.script.emit(vec![began(1)]).unwrap();
    within_ten_minutes("a delivery hangs", bench.sink.wait_until(|sink| sink.attempts() == 2))
        .await;
    for pull in 1..=10 {
        bench.script.emit(vec![began(pull)]).unwrap();
        bench.end(pull);
        tokio::time::sleep(Duration::from_secs(1)).await;
    }
    bench.sink.release();
    bench.wait_for_outcome(10, COMPLETED).await;
    let report = bench.sink.reports().pop().unwrap();
    assert_eq!((report.ends_lost, report.counters.evicted), (7, 7));
    assert_eq!(bench.stop().await.unwrap().undelivered_ends, 7);
}

/// A source that sleeps in every call, as a naive implementation might.
struct SleepingSource(Clock, u32);

impl PullSource for SleepingSource {
    async fn next(&mut self) -> Result<Option<Batch>, SourceError> {
        tokio::time::sleep(Duration::from_secs(3)).await;
        self.1 += 1;
        Ok(Some(Batch::new(self.0.now(), vec![began(self.1)])))
    }
}

#[tokio::test(start_paused = true)]
async fn slow_source_is_not_starved_by_reports() {
    let clock = Clock::anchored(start());
    let (sink, handle) = FailingSink::new();
    let settings = Settings::new(node()).clock(clock);
    let collector = Collector::new(SleepingSource(clock, 0), sink, settings).unwrap();
    let running = tokio::spawn(collector.run(std::future::pending()));
    within_ten_minutes(
        "three pulls are received",
        handle.wait_until(|sink| sink.view().len() == 3),
    )
    .await;
    running.abort();
}

/// A source that is always ready.
struct ReadySource(Clock);

impl PullSource for ReadySource {
    async fn next(&mut self) -> Result<Option<Batch>, SourceError> {
        Ok(Some(Batch::new(self.0.now(), vec![began(1)])))
    }
}

#[tokio::test]
async fn always_ready_source_yields_to_sink() {
    let (sink, mut reports) = sink::channel(1);
    let source = ReadySource(Clock::system());
    let collector = Collector::new(source, sink, Settings::new(node())).unwrap();
    let (stop, stopped) = oneshot::channel();
    let running = tokio::spawn(collector.run(async {
        stopped.await.unwrap();
    }));
    let report = within_ten_minutes("a report", reports.next()).await.unwrap();
    assert_eq!(report.pulls.len(), 1);
    stop.send(()).unwrap();
    drop(reports);
    within_ten_minutes("the run ends", running).await.unwrap().unwrap();
}

#[test]
fn invalid_settings_are_rejected() {
    let build = |interval, heartbeat, live| {
        let mut limits = Limits::default();
        limits.max_live = live;
        let settings =
            Settings::new(node()).limits(limits).report_interval(interval).heartbeat(heartbeat);
        let (source, _script) = ScriptedSource::new(Clock::anchored(start()));
        Collector::new(source, FailingSink::new().0, settings).map(drop)
    };
    let (second, half) = (Duration::from_secs(1), Duration::from_millis(500));
    assert_eq!(build(second, second, 1), Ok(()));
    let error = SettingsError::ReportInterval(Duration::ZERO);
    assert_eq!(build(Duration::ZERO, second, 1), Err(error));
    let error = SettingsError::Heartbeat { heartbeat: half, interval: second };
    assert_eq!(build(second, half, 1), Err(error));
    assert_eq!(build(second, second, 0), Err(SettingsError::ZeroLiveLimit));
}
