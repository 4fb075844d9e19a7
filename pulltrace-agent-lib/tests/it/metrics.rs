//! What Prometheus reads of an agent, and that the page of the docs says the same.

use std::collections::BTreeMap;
use std::net::SocketAddr;

use pulltrace_agent_lib::metrics::{Endpoint, Metrics};
use pulltrace_agent_lib::source::containerd::{Containerd, methods};
use pulltrace_agent_lib::source::{Script, ScriptedSource};
use pulltrace_agent_lib::testing::{FailingSink, SinkHandle};
use pulltrace_agent_lib::{Clock, Collector};
use pulltrace_core::Evidence;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;
use tokio::task::JoinHandle;

use crate::common::{began, ended, image, node, soon, start};

struct Bench {
    address: SocketAddr,
    clock: Clock,
    script: Script,
    sink: SinkHandle,
    running: JoinHandle<()>,
    _serving: JoinHandle<()>,
}

impl Bench {
    async fn start() -> Self {
        let clock = Clock::anchored(start());
        let endpoint = Endpoint::bind("127.0.0.1:0".parse().unwrap())
            .await
            .unwrap();
        let address = endpoint.address();
        let metrics = Metrics::new("1.2.3", "abc").unwrap();
        // Nothing is there: it counts nothing.
        let socket = std::env::temp_dir().join("pulltrace-no-containerd.sock");
        let containerd = Containerd::builder(node()).socket(socket).start();
        metrics.watch_source(containerd.stats_reader());
        let (source, script) = ScriptedSource::new(clock);
        let (sink, handle) = FailingSink::new();
        let collector = Collector::builder(node())
            .source(source)
            .sink(sink)
            .clock(clock);
        let collector = collector.build().unwrap();
        let serving = tokio::spawn(endpoint.serve(metrics, collector.monitor()));
        let running = tokio::spawn(async {
            collector.run(std::future::pending()).await.unwrap();
        });
        Self {
            address,
            clock,
            script,
            sink: handle,
            running,
            _serving: serving,
        }
    }

    async fn ask(&self, request: &str) -> String {
        let mut stream = TcpStream::connect(self.address).await.unwrap();
        stream.write_all(request.as_bytes()).await.unwrap();
        let mut answer = String::new();
        soon("it answers", stream.read_to_string(&mut answer))
            .await
            .unwrap();
        answer
    }

    async fn get(&self, path: &str) -> String {
        self.ask(&format!("GET {path} HTTP/1.1\r\nHost: x\r\n\r\n"))
            .await
    }

    /// Waits until there is a line of this in the metrics.
    async fn says(&self, series: &str) {
        let line = format!("\n{series}\n");
        let says = async {
            while !self.get("/metrics").await.contains(&line) {
                tokio::task::yield_now().await;
            }
        };
        soon(series, says).await;
    }
}

#[tokio::test]
async fn what_the_agent_does_is_counted_from_zero() {
    let bench = Bench::start().await;
    for series in [
        "pulltrace_agent_build_info{revision=\"abc\",version=\"1.2.3\"} 1",
        "pulltrace_agent_pulls_in_progress{phase=\"resolving\"} 0",
        "pulltrace_agent_reports_total{result=\"failed\"} 0",
        "pulltrace_agent_observations_total 0",
        "pulltrace_agent_anomalies_total{kind=\"offset_went_back\"} 0",
        "pulltrace_agent_dropped_total{what=\"end_untold\"} 0",
        "pulltrace_agent_runtime_dropped_total{what=\"event\"} 0",
        "pulltrace_agent_runtime_connected 0",
    ] {
        bench.says(series).await;
    }
    let first = bench.get("/metrics").await;
    for method in methods() {
        for code in ["unavailable", "deadline"] {
            let series = format!(
                "pulltrace_agent_runtime_rpc_errors_total{{code=\"{code}\",method=\"{method}\"}} 0"
            );
            assert!(first.contains(&series), "{series}");
        }
    }
    bench.sink.fail(1);
    bench
        .script
        .say(vec![began(1), image(1), began(2)])
        .unwrap();
    for series in [
        "pulltrace_agent_pulls_in_progress{phase=\"resolving\"} 1",
        "pulltrace_agent_pulls_in_progress{phase=\"downloading\"} 1",
        "pulltrace_agent_pulls_in_progress{phase=\"extracting\"} 0",
        "pulltrace_agent_observations_total 3",
        "pulltrace_agent_runtime_connected 1",
        "pulltrace_agent_reports_total{result=\"failed\"} 1",
        "pulltrace_agent_reports_total{result=\"delivered\"} 1",
    ] {
        bench.says(series).await;
    }
    let end = ended(1, Evidence::ImagePresent, &bench.clock);
    let none = ended(9, Evidence::ImagePresent, &bench.clock);
    bench.script.say(vec![end, none]).unwrap();
    bench
        .says("pulltrace_agent_pulls_in_progress{phase=\"downloading\"} 0")
        .await;
    bench
        .says("pulltrace_agent_anomalies_total{kind=\"unknown_pull\"} 1")
        .await;
    bench.script.lose().unwrap();
    bench.says("pulltrace_agent_runtime_connected 0").await;
}

#[tokio::test]
async fn it_is_well_while_the_collector_runs() {
    let bench = Bench::start().await;
    let well = bench.get("/healthz").await;
    assert!(
        well.starts_with("HTTP/1.1 200 OK\r\n") && well.ends_with("ok\n"),
        "{well}"
    );
    bench.running.abort();
    let unwell = async {
        loop {
            let answer = bench.get("/healthz").await;
            if !answer.starts_with("HTTP/1.1 200") {
                return answer;
            }
        }
    };
    let unwell = soon("it is known", unwell).await;
    assert!(unwell.starts_with("HTTP/1.1 503 "), "{unwell}");
    assert!(
        unwell.contains("content-type: application/problem+json\r\n"),
        "{unwell}"
    );
    assert!(
        unwell.contains("\"detail\":\"the collector has stopped\""),
        "{unwell}"
    );
}

#[tokio::test]
async fn what_is_asked_wrongly_is_refused_and_the_next_is_answered() {
    let bench = Bench::start().await;
    for (request, status) in [
        ("GET /api/v1/pulls HTTP/1.1\r\nHost: x\r\n\r\n", "404"),
        (
            "POST /metrics HTTP/1.1\r\nHost: x\r\nContent-Length: 0\r\n\r\n",
            "405",
        ),
        ("nonsense\r\n\r\n", "400"),
    ] {
        let answer = bench.ask(request).await;
        assert!(
            answer.starts_with(&format!("HTTP/1.1 {status} ")),
            "{request}: {answer}"
        );
    }
    let long = format!("GET /{} HTTP/1.1\r\nHost: x\r\n\r\n", "x".repeat(14 * 1024));
    assert!(bench.ask(&long).await.starts_with("HTTP/1.1 404"));
    let head = bench.ask("HEAD /metrics HTTP/1.1\r\nHost: x\r\n\r\n").await;
    assert!(
        head.starts_with("HTTP/1.1 200") && head.ends_with("\r\n\r\n"),
        "{head}"
    );
}

/// The agent's families of `docs/metrics.md`: name, type, labels.
#[tokio::test]
async fn the_page_of_the_docs_has_every_family() {
    let bench = Bench::start().await;
    bench.script.say(vec![began(1)]).unwrap();
    bench.says("pulltrace_agent_observations_total 1").await;
    let text = bench.get("/metrics").await;
    let mut families: BTreeMap<String, (String, String)> = BTreeMap::new();
    for line in text.lines() {
        if let Some((name, kind)) = line
            .strip_prefix("# TYPE ")
            .and_then(|rest| rest.split_once(' '))
        {
            families.insert(name.to_owned(), (kind.to_owned(), String::new()));
            assert!(text.contains(&format!("# HELP {name} ")), "{name}");
        } else if let Some((name, labels)) = line.split_once('{') {
            let labels = labels
                .split("\",")
                .filter_map(|label| label.split_once('='));
            let labels: Vec<_> = labels.map(|(name, _)| name).collect();
            families.get_mut(name).unwrap().1 = labels.join(", ");
        }
    }
    let page = concat!(env!("CARGO_MANIFEST_DIR"), "/../docs/metrics.md");
    let page = std::fs::read_to_string(page).unwrap();
    let (_, page) = page.split_once("\n## An agent\n").unwrap();
    let rows = page
        .lines()
        .filter(|line| line.starts_with("| `pulltrace_"));
    let mut told: BTreeMap<String, (String, String)> = rows
        .map(|row| {
            let cells: Vec<_> = row
                .split('|')
                .map(|cell| cell.trim().replace('`', ""))
                .collect();
            (
                cells[1].clone(),
                (cells[2].clone(), cells[3].replace('–', "")),
            )
        })
        .collect();
    // These two are there from the first call, and the first poll, of a containerd on.
    let later = [
        "pulltrace_agent_runtime_rpc_duration_seconds",
        "pulltrace_agent_poll_interval_seconds",
    ];
    for name in later {
        assert!(told.remove(name).is_some(), "{name}");
    }
    assert_eq!(families, told);
    assert!(page.contains(&methods().map(|name| format!("`{name}`")).last().unwrap()));
}
