//! The channel sink is bounded, and closed when its receiver is dropped.

use std::time::Duration;

use pulltrace_agent_lib::sink::ReportSink as _;
use pulltrace_agent_lib::source::{PullSource as _, Script, ScriptedSource};
use pulltrace_agent_lib::{Clock, Collector, RunError, Settings, Summary, sink};
use tokio::sync::oneshot;
use tokio::task::JoinHandle;

use crate::common::{began, named, node, start, within_ten_minutes};

type Running = JoinHandle<Result<Summary, RunError>>;

fn start_collector(capacity: usize) -> (Script, sink::Reports, oneshot::Sender<()>, Running) {
    let clock = Clock::anchored(start());
    let (source, script) = ScriptedSource::new(clock);
    let (sink, reports) = sink::channel(capacity);
    let collector = Collector::new(source, sink, Settings::new(node()).clock(clock)).unwrap();
    let (stop, stopped) = oneshot::channel();
    let running = tokio::spawn(collector.run(async {
        stopped.await.unwrap();
    }));
    (script, reports, stop, running)
}

#[tokio::test(start_paused = true)]
async fn slow_reader_gets_latest_state() {
    let (script, mut reports, stop, running) = start_collector(1);
    script.emit(vec![began(1)]).unwrap();
    // Nothing is received: one report is buffered, and the next delivery waits.
    for tag in 1..=20 {
        let name = format!("registry.example/app:{tag}");
        script.emit(vec![named(1, &name)]).unwrap();
        tokio::time::advance(Duration::from_secs(1)).await;
        within_ten_minutes("the script is consumed", async {
            while script.pending() > 0 {
                tokio::task::yield_now().await;
            }
        })
        .await;
    }
    let mut names = Vec::new();
    for _ in 0..3 {
        let report = within_ten_minutes("a report", reports.next()).await.unwrap();
        names.push(report.pulls[0].names.len());
    }
    assert_eq!(names.len(), 3);
    // A pull keeps at most 16 names.
    assert_eq!(names[2], 16, "the third report contains all changes since: {names:?}");
    stop.send(()).unwrap();
    let last = within_ten_minutes("the end", reports.next()).await;
    assert!(last.is_none(), "no further report is expected: {last:?}");
    assert!(running.await.unwrap().unwrap().delivered);
}

#[tokio::test(start_paused = true)]
async fn dropped_reader_ends_run() {
    let (script, reports, _stop, running) = start_collector(1);
    script.emit(vec![began(1)]).unwrap();
    drop(reports);
    let error = within_ten_minutes("the run ends", running).await.unwrap().unwrap_err();
    assert!(!error.summary().delivered);
    assert!(matches!(&error, RunError::SinkClosed { node: of, .. } if *of == node()), "{error}");
}

#[tokio::test(start_paused = true)]
async fn boxed_source_and_sink_run() {
    let clock = Clock::anchored(start());
    let (source, script) = ScriptedSource::new(clock);
    let (sink, mut reports) = sink::channel(1);
    let settings = Settings::new(node()).clock(clock);
    let collector = Collector::new(source.boxed(), sink.boxed().boxed(), settings).unwrap();
    script.emit(vec![began(1)]).unwrap();
    let running = tokio::spawn(collector.run(std::future::pending()));
    let report = within_ten_minutes("a report", reports.next()).await.unwrap();
    assert_eq!(report.pulls.len(), 1);
    drop(reports);
    script.emit(vec![began(2)]).unwrap();
    let error = within_ten_minutes("the run ends", running).await.unwrap().unwrap_err();
    assert!(matches!(error, RunError::SinkClosed { .. }), "{error}");
}

#[tokio::test(start_paused = true)]
async fn dropped_reader_is_detected_while_idle() {
    let (script, mut reports, _stop, running) = start_collector(1);
    script.emit(vec![]).unwrap();
    let first = within_ten_minutes("the first report", reports.next()).await.unwrap();
    assert!(first.full && first.pulls.is_empty());
    drop(reports);
    let error = within_ten_minutes("the run ends", running).await.unwrap().unwrap_err();
    assert!(matches!(error, RunError::SinkClosed { .. }), "{error}");
}
