//! The collector, as whoever reads its reports sees it.

use std::time::Duration;

use pulltrace_agent_lib::source::{Batch, PullSource, Script, ScriptedSource, SourceError};
use pulltrace_agent_lib::testing::{FailingSink, SinkHandle};
use pulltrace_agent_lib::{BuildError, Clock, Collector, RunError, Summary, sink};
use pulltrace_core::{Evidence, Limits, Observation, Outcome};
use tokio::sync::oneshot;
use tokio::task::JoinHandle;

use crate::common::{began, ended, id, named, node, soon, start};

struct Bench {
    clock: Clock,
    script: Script,
    sink: SinkHandle,
    stop: Option<oneshot::Sender<()>>,
    running: JoinHandle<Result<Summary, RunError>>,
}

impl Bench {
    fn new() -> Self {
        Self::with(Limits::default())
    }

    fn with(limits: Limits) -> Self {
        let clock = Clock::anchored(start());
        let (source, script) = ScriptedSource::new(clock);
        let (sink, handle) = FailingSink::new();
        let collector = Collector::builder(node())
            .source(source.polling_each(Duration::from_millis(250)))
            .sink(sink)
            .limits(limits)
            .clock(clock)
            .build()
            .unwrap();
        let (stop, stopped) = oneshot::channel();
        let running = tokio::spawn(collector.run(async {
            stopped.await.unwrap();
        }));
        Self {
            clock,
            script,
            sink: handle,
            stop: Some(stop),
            running,
        }
    }

    fn end(&self, pull: u32) {
        let ended = ended(pull, Evidence::ImagePresent, &self.clock);
        self.script.say(vec![ended]).unwrap();
    }

    /// Waits until the receiver knows how this pull ended.
    async fn told(&self, pull: u32, outcome: Option<Outcome>) {
        let known = |sink: &SinkHandle| {
            let view = sink.view();
            view.get(&id(pull)).map(|pull| pull.outcome()) == Some(outcome)
        };
        soon("the receiver is told", self.sink.until(known)).await;
    }

    /// How many reports told that this pull ended.
    fn ends_told(&self, pull: u32) -> usize {
        let reports = self.sink.reports();
        let ends = reports.iter().flat_map(|report| &report.pulls);
        ends.filter(|p| p.id == id(pull) && p.outcome().is_some())
            .count()
    }

    async fn stop(mut self) -> Result<Summary, RunError> {
        self.stop.take().unwrap().send(()).unwrap();
        soon("the run ends", self.running).await.unwrap()
    }
}

const COMPLETED: Option<Outcome> = Some(Outcome::Completed);

#[tokio::test(start_paused = true)]
async fn a_start_and_an_end_are_told_at_once() {
    let bench = Bench::new();
    bench.script.say(vec![]).unwrap();
    soon(
        "the first report",
        bench.sink.until(|sink| sink.reports().len() == 1),
    )
    .await;
    tokio::time::sleep(Duration::from_millis(300)).await;
    let before = bench.clock.now().mono;
    bench.script.say(vec![began(1)]).unwrap();
    bench.told(1, None).await;
    bench.end(1);
    bench.told(1, COMPLETED).await;
    assert_eq!(bench.clock.now().mono.since(before), Duration::ZERO);
    let report = bench.sink.reports().pop().unwrap();
    assert_eq!(report.interval, Some(Duration::from_millis(250)));
    assert_eq!(report.sums.live, 0);
}

#[tokio::test(start_paused = true)]
async fn a_slow_sink_never_delays_the_source() {
    let bench = Bench::new();
    bench.script.say(vec![began(1)]).unwrap();
    bench.told(1, None).await;
    bench.sink.hold();
    for pull in 2..=500 {
        bench.script.say(vec![began(pull)]).unwrap();
    }
    let all_heard = async {
        while bench.script.waiting() > 0 {
            tokio::time::sleep(Duration::from_millis(1)).await;
        }
    };
    soon("the source is heard", all_heard).await;
    assert_eq!(bench.sink.attempts(), 2, "one delivery is under way");
    bench.sink.release();
    bench.told(500, None).await;
    assert_eq!(bench.sink.view().len(), 500);
    assert_eq!(
        bench.sink.attempts(),
        3,
        "and the next tells the rest together"
    );
}

#[tokio::test(start_paused = true)]
async fn an_end_is_delivered_exactly_once() {
    let bench = Bench::new();
    bench.script.say(vec![began(1), began(2)]).unwrap();
    bench.end(1);
    bench.told(1, COMPLETED).await;
    for tag in 0..10 {
        let name = format!("registry.example/app:{tag}");
        bench.script.say(vec![named(2, &name)]).unwrap();
        tokio::time::sleep(Duration::from_secs(2)).await;
    }
    assert!(bench.sink.reports().len() > 10);
    assert_eq!(bench.ends_told(1), 1);
    let summary = bench.stop().await.unwrap();
    assert_eq!((summary.started, summary.ended), (2, 1));
}

#[tokio::test(start_paused = true)]
async fn an_end_whose_acknowledgement_was_lost_is_told_again_with_a_new_sequence() {
    let bench = Bench::new();
    bench.script.say(vec![began(1)]).unwrap();
    bench.told(1, None).await;
    bench.sink.lose_acks(1);
    bench.end(1);
    soon(
        "it is told twice",
        bench.sink.until(|_| bench.ends_told(1) == 2),
    )
    .await;
    let sequences: Vec<_> = bench.sink.reports().iter().map(|r| r.sequence).collect();
    assert!(sequences.is_sorted_by(|a, b| a < b), "{sequences:?}");
    assert!(bench.stop().await.unwrap().delivered);
}

#[tokio::test(start_paused = true)]
async fn an_outage_of_the_receiver_loses_no_end() {
    let bench = Bench::new();
    bench.script.say(vec![began(1)]).unwrap();
    bench.told(1, None).await;
    bench.sink.fail(8);
    bench.end(1);
    for pull in 2..=20 {
        bench.script.say(vec![began(pull)]).unwrap();
        bench.end(pull);
        tokio::time::sleep(Duration::from_secs(2)).await;
    }
    bench.told(20, COMPLETED).await;
    for pull in 1..=20 {
        assert_eq!(bench.ends_told(pull), 1, "pull {pull}");
    }
    assert_eq!(bench.stop().await.unwrap().ends_untold, 0);
}

#[tokio::test(start_paused = true)]
async fn a_receiver_that_restarts_gets_all_ends_again() {
    let bench = Bench::new();
    bench
        .script
        .say(vec![began(1), began(2), began(3)])
        .unwrap();
    bench.end(1);
    bench.end(2);
    bench.told(2, COMPLETED).await;
    bench.sink.restart();
    assert!(bench.sink.view().is_empty());
    // Nothing happens any more: a sign of life is what finds out.
    let before = bench.clock.now().mono;
    bench.told(1, COMPLETED).await;
    let took = bench.clock.now().mono.since(before);
    assert!(took <= Duration::from_secs(6), "{took:?}");
    let view = bench.sink.view();
    let phases: Vec<_> = view.values().map(|pull| pull.phase.as_str()).collect();
    assert_eq!(phases, ["completed", "completed", "resolving"]);
}

#[tokio::test(start_paused = true)]
async fn a_receiver_may_ask_for_everything_and_for_fewer_reports() {
    let bench = Bench::new();
    bench.script.say(vec![began(1)]).unwrap();
    bench.told(1, None).await;
    bench.sink.need_full();
    bench.sink.slow_down(Some(Duration::from_secs(60)));
    bench.script.say(vec![began(2)]).unwrap();
    bench.told(2, None).await;
    let before = bench.clock.now().mono;
    let two_full = |sink: &SinkHandle| sink.reports().iter().filter(|r| r.full).count() == 2;
    soon("a full report", bench.sink.until(two_full)).await;
    let waited = bench.clock.now().mono.since(before);
    assert!(waited >= Duration::from_secs(60), "{waited:?}");
    assert_eq!(bench.sink.view().len(), 2);
}

#[tokio::test(start_paused = true)]
async fn a_stall_shows_though_the_source_is_silent() {
    let bench = Bench::new();
    bench.script.say(vec![began(1)]).unwrap();
    bench.script.say(vec![crate::common::image(1)]).unwrap();
    bench
        .script
        .say(vec![crate::common::bytes(1, 100, &bench.clock)])
        .unwrap();
    let stalled = |sink: &SinkHandle| {
        let view = sink.view();
        view.get(&id(1))
            .is_some_and(|pull| pull.stalled_since.is_some())
    };
    soon("the stall is told", bench.sink.until(stalled)).await;
    let since = bench.sink.view()[&id(1)].stalled_since.unwrap();
    assert_eq!(since, start());
}

#[tokio::test(start_paused = true)]
async fn a_graceful_stop_delivers_the_last_state() {
    let bench = Bench::new();
    bench.script.say(vec![began(1)]).unwrap();
    bench.told(1, None).await;
    // Neither the interval nor what the receiver asks for stands against the last report.
    bench.sink.slow_down(Some(Duration::from_mins(2)));
    bench.script.say(vec![began(2)]).unwrap();
    bench.told(2, None).await;
    bench.end(1);
    while bench.script.waiting() > 0 {
        tokio::task::yield_now().await;
    }
    assert_eq!(bench.ends_told(1), 0);
    let sink = bench.sink.clone();
    let summary = bench.stop().await.unwrap();
    assert!(summary.delivered);
    assert_eq!((summary.ended, summary.ends_untold), (1, 0));
    assert_eq!(sink.view()[&id(1)].outcome(), COMPLETED);
    assert_eq!(summary.reports, sink.reports().len() as u64);
}

#[tokio::test(start_paused = true)]
async fn a_stop_does_not_wait_for_ever_and_says_what_was_not_delivered() {
    let bench = Bench::new();
    bench.script.say(vec![began(1)]).unwrap();
    bench.told(1, None).await;
    bench.sink.hold();
    bench.end(1);
    soon(
        "a delivery hangs",
        bench.sink.until(|sink| sink.attempts() == 2),
    )
    .await;
    let (clock, before) = (bench.clock, bench.clock.now().mono);
    let summary = bench.stop().await.unwrap();
    assert_eq!(clock.now().mono.since(before), Duration::from_secs(5));
    assert!(!summary.delivered);
    assert_eq!((summary.ended, summary.ends_untold), (1, 1));
}

#[tokio::test(start_paused = true)]
async fn a_stop_tries_again_where_the_last_report_fails() {
    let bench = Bench::new();
    bench.script.say(vec![began(1)]).unwrap();
    bench.told(1, None).await;
    bench.sink.fail(3);
    bench.end(1);
    soon("it fails", bench.sink.until(|sink| sink.attempts() == 2)).await;
    let sink = bench.sink.clone();
    assert!(bench.stop().await.unwrap().delivered);
    assert_eq!(sink.view()[&id(1)].outcome(), COMPLETED);
}

#[tokio::test(start_paused = true)]
async fn a_source_that_ends_ends_the_run_after_its_last_state_was_told() {
    let bench = Bench::new();
    bench.script.say(vec![began(1)]).unwrap();
    bench.end(1);
    bench.script.end().unwrap();
    let summary = soon("the run ends", bench.running).await.unwrap().unwrap();
    assert!(summary.delivered);
    assert_eq!(bench.sink.view()[&id(1)].outcome(), COMPLETED);
}

#[tokio::test(start_paused = true)]
async fn a_source_that_fails_ends_the_run_with_its_error_after_the_rest_was_told() {
    let bench = Bench::new();
    bench.script.say(vec![began(1)]).unwrap();
    bench.end(1);
    bench
        .script
        .fail(SourceError::Other("the disk burns".into()))
        .unwrap();
    let error = soon("the run ends", bench.running)
        .await
        .unwrap()
        .unwrap_err();
    assert!(error.summary().delivered);
    assert_eq!(bench.sink.view()[&id(1)].outcome(), COMPLETED);
    let text = "the pulls of node worker-1 can be watched no longer";
    assert_eq!(error.to_string(), text);
    let cause = std::error::Error::source(&error).unwrap();
    assert_eq!(cause.to_string(), "the source cannot go on");
}

#[tokio::test(start_paused = true)]
async fn a_sink_that_is_gone_ends_the_run() {
    let bench = Bench::new();
    bench.script.say(vec![began(1)]).unwrap();
    bench.told(1, None).await;
    bench.sink.close();
    bench.end(1);
    let error = soon("the run ends", bench.running)
        .await
        .unwrap()
        .unwrap_err();
    assert!(matches!(error, RunError::SinkClosed { .. }), "{error}");
    assert_eq!(error.summary().ends_untold, 1);
}

#[tokio::test(start_paused = true)]
async fn nothing_is_reported_before_the_source_has_seen_the_node() {
    let bench = Bench::new();
    bench.script.lose().unwrap();
    bench.script.say(vec![]).unwrap();
    tokio::time::sleep(Duration::from_mins(1)).await;
    assert_eq!(
        bench.sink.attempts(),
        0,
        "an empty full report would end all pulls"
    );
    bench.script.back().unwrap();
    bench.script.say(vec![began(1)]).unwrap();
    bench.told(1, None).await;
    assert_eq!(bench.sink.attempts(), 1, "what it saw is in the first");
}

#[tokio::test(start_paused = true)]
async fn a_source_that_never_says_that_it_said_all_is_not_waited_for_for_ever() {
    let bench = Bench::new();
    let before = bench.clock.now().mono;
    bench.script.back().unwrap();
    soon(
        "a report",
        bench.sink.until(|sink| sink.reports().len() == 1),
    )
    .await;
    let waited = bench.clock.now().mono.since(before);
    assert_eq!(waited, Duration::from_secs(2));
}

#[tokio::test(start_paused = true)]
async fn a_source_that_ends_early_has_said_all_there_is() {
    let bench = Bench::new();
    bench.script.back().unwrap();
    bench
        .script
        .say(vec![Observation::SourceBack, began(1)])
        .unwrap();
    bench.script.end().unwrap();
    let summary = soon("the run ends", bench.running).await.unwrap().unwrap();
    assert!(summary.delivered);
    assert_eq!(bench.sink.view().len(), 1);
}

#[tokio::test(start_paused = true)]
async fn a_stop_before_all_was_said_tells_no_part_of_it_as_the_whole() {
    let bench = Bench::new();
    bench
        .script
        .say(vec![Observation::SourceBack, began(1)])
        .unwrap();
    while bench.script.waiting() > 0 {
        tokio::task::yield_now().await;
    }
    let sink = bench.sink.clone();
    let summary = bench.stop().await.unwrap();
    assert!(!summary.delivered);
    assert_eq!((summary.started, sink.attempts()), (1, 0));
}

#[tokio::test(start_paused = true)]
async fn a_run_that_has_seen_nothing_stops_at_once() {
    let bench = Bench::new();
    let (clock, before) = (bench.clock, bench.clock.now().mono);
    assert!(bench.stop().await.unwrap().delivered);
    assert_eq!(clock.now().mono, before);
}

#[tokio::test(start_paused = true)]
async fn an_outage_of_the_runtime_ends_nothing_and_is_told() {
    let bench = Bench::new();
    bench.script.say(vec![began(1)]).unwrap();
    bench.script.lose().unwrap();
    let stale = |sink: &SinkHandle| {
        let view = sink.view();
        view.get(&id(1))
            .is_some_and(|pull| pull.stale_since.is_some())
    };
    soon("it is told to be stale", bench.sink.until(stale)).await;
    assert_eq!(bench.sink.view()[&id(1)].outcome(), None);
    bench.script.back().unwrap();
    soon("it is fresh again", bench.sink.until(|sink| !stale(sink))).await;
}

#[tokio::test(start_paused = true)]
async fn what_was_dropped_before_it_was_told_is_told_by_its_count() {
    let mut limits = Limits::default();
    limits.ended = 3;
    let bench = Bench::with(limits);
    bench.script.say(vec![]).unwrap();
    soon(
        "a first report",
        bench.sink.until(|sink| sink.reports().len() == 1),
    )
    .await;
    bench.sink.hold();
    bench.script.say(vec![began(1)]).unwrap();
    soon(
        "a delivery hangs",
        bench.sink.until(|sink| sink.attempts() == 2),
    )
    .await;
    for pull in 1..=10 {
        bench.script.say(vec![began(pull)]).unwrap();
        bench.end(pull);
        tokio::time::sleep(Duration::from_secs(1)).await;
    }
    bench.sink.release();
    bench.told(10, COMPLETED).await;
    let report = bench.sink.reports().pop().unwrap();
    assert_eq!((report.ends_lost, report.counters.evicted), (7, 7));
    assert_eq!(bench.stop().await.unwrap().ends_untold, 7);
}

/// A source that sleeps each time that it is asked, as a first attempt of a custom one does.
struct Sleepy(Clock, u32);

impl PullSource for Sleepy {
    async fn next(&mut self) -> Result<Option<Batch>, SourceError> {
        tokio::time::sleep(Duration::from_secs(3)).await;
        self.1 += 1;
        Ok(Some(Batch::new(self.0.now(), vec![began(self.1)])))
    }
}

#[tokio::test(start_paused = true)]
async fn a_source_that_sleeps_longer_than_the_reports_are_apart_is_heard() {
    let clock = Clock::anchored(start());
    let (sink, handle) = FailingSink::new();
    let collector = Collector::builder(node())
        .source(Sleepy(clock, 0))
        .sink(sink)
        .clock(clock)
        .build()
        .unwrap();
    let running = tokio::spawn(collector.run(std::future::pending()));
    soon("it is heard", handle.until(|sink| sink.view().len() == 3)).await;
    running.abort();
}

/// A source that is always ready.
struct Eager(Clock);

impl PullSource for Eager {
    async fn next(&mut self) -> Result<Option<Batch>, SourceError> {
        Ok(Some(Batch::new(self.0.now(), vec![began(1)])))
    }
}

#[tokio::test]
async fn a_source_that_is_always_ready_leaves_room_for_others() {
    let (sink, mut reports) = sink::channel(1);
    let collector = Collector::builder(node())
        .source(Eager(Clock::system()))
        .sink(sink)
        .build()
        .unwrap();
    let (stop, stopped) = oneshot::channel();
    let running = tokio::spawn(collector.run(async {
        stopped.await.unwrap();
    }));
    let report = soon("a report", reports.next()).await.unwrap();
    assert_eq!(report.pulls.len(), 1);
    stop.send(()).unwrap();
    drop(reports);
    soon("the run ends", running).await.unwrap().unwrap();
}

#[test]
fn settings_that_cannot_work_are_refused_with_what_is_needed() {
    let clock = Clock::anchored(start());
    let build = |interval, heartbeat, live| {
        let mut limits = Limits::default();
        limits.live = live;
        let built = Collector::builder(node())
            .source(ScriptedSource::new(clock).0)
            .sink(FailingSink::new().0)
            .limits(limits)
            .report_interval(interval)
            .heartbeat(heartbeat)
            .build();
        built
            .map(|_| ())
            .map_err(|error: BuildError| error.to_string())
    };
    let second = Duration::from_secs(1);
    assert_eq!(build(second, second, 1), Ok(()));
    for (interval, heartbeat, live, message) in [
        (
            Duration::ZERO,
            second,
            1,
            "the report interval is 0ns: at least 10 ms are needed",
        ),
        (
            second,
            second / 2,
            1,
            "the heartbeat is 500ms: at least the report interval of 1s is needed",
        ),
        (
            second,
            second,
            0,
            "the limit of live pulls is 0: at least 1 is needed",
        ),
    ] {
        assert_eq!(build(interval, heartbeat, live), Err(message.into()));
    }
}
