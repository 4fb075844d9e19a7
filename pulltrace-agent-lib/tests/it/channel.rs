//! The channel sink: bounded, and closed when nobody listens.

use std::time::Duration;

use pulltrace_agent_lib::source::{Script, ScriptedSource};
use pulltrace_agent_lib::{Clock, Collector, RunError, Summary, sink};
use tokio::sync::oneshot;
use tokio::task::JoinHandle;

use crate::common::{began, named, node, soon, start};

type Running = JoinHandle<Result<Summary, RunError>>;

fn run(capacity: usize) -> (Script, sink::Reports, oneshot::Sender<()>, Running) {
    let clock = Clock::anchored(start());
    let (source, script) = ScriptedSource::new(clock);
    let (sink, reports) = sink::channel(capacity);
    let collector = Collector::builder(node())
        .source(source)
        .sink(sink)
        .clock(clock)
        .build()
        .unwrap();
    let (stop, stopped) = oneshot::channel();
    let running = tokio::spawn(collector.run(async {
        stopped.await.unwrap();
    }));
    (script, reports, stop, running)
}

#[tokio::test(start_paused = true)]
async fn a_reader_that_is_slow_gets_the_latest_state_and_not_each_of_them() {
    let (script, mut reports, stop, running) = run(1);
    script.say(vec![began(1)]).unwrap();
    // Nobody reads: one report waits in the channel, and one for a place there.
    for tag in 1..=20 {
        let name = format!("registry.example/app:{tag}");
        script.say(vec![named(1, &name)]).unwrap();
        tokio::time::advance(Duration::from_secs(1)).await;
        soon("the script is heard", async {
            while script.waiting() > 0 {
                tokio::task::yield_now().await;
            }
        })
        .await;
    }
    let mut names = Vec::new();
    for _ in 0..3 {
        let report = soon("a report", reports.next()).await.unwrap();
        names.push(report.pulls[0].names.len());
    }
    assert_eq!(names.len(), 3);
    // A pull keeps at most 16 names.
    assert_eq!(
        names[2], 16,
        "the third tells all that came meanwhile: {names:?}"
    );
    stop.send(()).unwrap();
    let last = soon("the end", reports.next()).await;
    assert!(last.is_none(), "nothing is left to tell: {last:?}");
    assert!(running.await.unwrap().unwrap().delivered);
}

#[tokio::test(start_paused = true)]
async fn a_reader_that_left_ends_the_run() {
    let (script, reports, _stop, running) = run(1);
    script.say(vec![began(1)]).unwrap();
    drop(reports);
    let error = soon("the run ends", running).await.unwrap().unwrap_err();
    assert!(matches!(error, RunError::SinkClosed { .. }), "{error}");
    assert!(!error.summary().delivered);
    assert_eq!(
        error.to_string(),
        "the pulls of node worker-1 can be told to nobody any more: the sink is closed"
    );
}

#[tokio::test(start_paused = true)]
async fn a_reader_that_left_is_noticed_though_nothing_happens() {
    let (script, mut reports, _stop, running) = run(1);
    script.say(vec![]).unwrap();
    let first = soon("the first report", reports.next()).await.unwrap();
    assert!(first.full && first.pulls.is_empty());
    drop(reports);
    let error = soon("the run ends", running).await.unwrap().unwrap_err();
    assert!(matches!(error, RunError::SinkClosed { .. }), "{error}");
}
