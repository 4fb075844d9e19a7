//! The metrics and health endpoint. Checks that `docs/metrics.md` lists the same families.

use std::collections::BTreeMap;
use std::net::SocketAddr;

use pulltrace_agent_lib::metrics::{Endpoint, Metrics};
use pulltrace_agent_lib::source::containerd::{Containerd, methods};
use pulltrace_agent_lib::source::{Script, ScriptedSource};
use pulltrace_agent_lib::testing::{FailingSink, SinkHandle};
use pulltrace_agent_lib::{Clock, Collector, Settings};
use pulltrace_core::EndEvidence;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;
use tokio::task::JoinHandle;

use crate::common::{began, ended, image, node, start, within_ten_minutes};

struct TestBench {
    address: SocketAddr,
    clock: Clock,
    script: Script,
    sink: SinkHandle,
    running: JoinHandle<()>,
    _serving: JoinHandle<()>,
}

impl TestBench {
    async fn start() -> Self {
        let clock = Clock::anchored(start());
        let endpoint = Endpoint::bind("127.0.0.1:0".parse().unwrap()).await.unwrap();
        let address = endpoint.address();
        let metrics = Metrics::new("1.2.3", "abc").unwrap();
        // This socket does not exist, so the source counts nothing.
        let socket = std::env::temp_dir().join("pulltrace-no-containerd.sock");
        let containerd = Containerd::builder(node()).socket(socket).start();
        metrics.register_source(containerd.stats_reader());
        let (source, script) = ScriptedSource::new(clock);
        let (sink, handle) = FailingSink::new();
        let settings = Settings::new(node()).clock(clock);
        let collector = Collector::new(source, sink, settings).unwrap();
        let serving = tokio::spawn(endpoint.serve(metrics, collector.monitor()));
        let running = tokio::spawn(async {
            collector.run(std::future::pending()).await.unwrap();
        });
        Self { address, clock, script, sink: handle, running, _serving: serving }
    }

    async fn request(&self, request: &str) -> String {
        let mut stream = TcpStream::connect(self.address).await.unwrap();
        stream.write_all(request.as_bytes()).await.unwrap();
        let mut answer = String::new();
        within_ten_minutes("a response", stream.read_to_string(&mut answer)).await.unwrap();
        answer
    }

    async fn get(&self, path: &str) -> String {
        self.request(&format!("GET {path} HTTP/1.1\r\nHost: x\r\n\r\n")).await
    }

    /// Waits until the metrics contain this line.
    async fn wait_for_series(&self, series: &str) {
        let line = format!("\n{series}\n");
        let says = async {
            while !self.get("/metrics").await.contains(&line) {
                tokio::task::yield_now().await;
            }
        };
        within_ten_minutes(series, says).await;
    }
}

#[tokio::test]
async fn metrics_count_from_zero() {
    let bench = TestBench::start().await;
    for series in [
        "pulltrace_agent_build_info{revision=\"abc\",version=\"1.2.3\"} 1",
        "pulltrace_agent_pulls_in_progress{phase=\"resolving\"} 0",
        "pulltrace_agent_reports_total{result=\"failed\"} 0",
        "pulltrace_agent_observations_total 0",
        "pulltrace_agent_anomalies_total{kind=\"offset_went_back\"} 0",
        "pulltrace_agent_dropped_total{kind=\"undelivered_end\"} 0",
        "pulltrace_agent_runtime_dropped_total{kind=\"event\"} 0",
        "pulltrace_agent_runtime_connected 0",
    ] {
        bench.wait_for_series(series).await;
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
    bench.script.emit(vec![began(1), image(1), began(2)]).unwrap();
    for series in [
        "pulltrace_agent_pulls_in_progress{phase=\"resolving\"} 1",
        "pulltrace_agent_pulls_in_progress{phase=\"downloading\"} 1",
        "pulltrace_agent_pulls_in_progress{phase=\"extracting\"} 0",
        "pulltrace_agent_observations_total 3",
        "pulltrace_agent_runtime_connected 1",
        "pulltrace_agent_reports_total{result=\"failed\"} 1",
        "pulltrace_agent_reports_total{result=\"delivered\"} 1",
    ] {
        bench.wait_for_series(series).await;
    }
    let end = ended(1, EndEvidence::ImagePresent, &bench.clock);
    let none = ended(9, EndEvidence::ImagePresent, &bench.clock);
    bench.script.emit(vec![end, none]).unwrap();
    bench.wait_for_series("pulltrace_agent_pulls_in_progress{phase=\"downloading\"} 0").await;
    bench.wait_for_series("pulltrace_agent_anomalies_total{kind=\"unknown_pull\"} 1").await;
    bench.script.disconnect().unwrap();
    bench.wait_for_series("pulltrace_agent_runtime_connected 0").await;
}

#[tokio::test]
async fn healthz_fails_when_collector_stops() {
    let bench = TestBench::start().await;
    let well = bench.get("/healthz").await;
    assert!(well.starts_with("HTTP/1.1 200 OK\r\n") && well.ends_with("ok\n"), "{well}");
    bench.running.abort();
    let unwell = async {
        loop {
            let answer = bench.get("/healthz").await;
            if !answer.starts_with("HTTP/1.1 200") {
                return answer;
            }
        }
    };
    let unwell = within_ten_minutes("an unhealthy response", unwell).await;
    assert!(unwell.starts_with("HTTP/1.1 503 "), "{unwell}");
    assert!(unwell.contains("content-type: application/problem+json\r\n"), "{unwell}");
    assert!(unwell.contains("\"detail\":\"the collector has stopped\""), "{unwell}");
}

#[tokio::test]
async fn invalid_requests_are_rejected() {
    let bench = TestBench::start().await;
    for (request, status) in [
        ("GET /api/v1/pulls HTTP/1.1\r\nHost: x\r\n\r\n", "404"),
        ("POST /metrics HTTP/1.1\r\nHost: x\r\nContent-Length: 0\r\n\r\n", "405"),
        ("nonsense\r\n\r\n", "400"),
    ] {
        let answer = bench.request(request).await;
        assert!(answer.starts_with(&format!("HTTP/1.1 {status} ")), "{request}: {answer}");
    }
    let long = format!("GET /{} HTTP/1.1\r\nHost: x\r\n\r\n", "x".repeat(14 * 1024));
    assert!(bench.request(&long).await.starts_with("HTTP/1.1 404"));
    let head = bench.request("HEAD /metrics HTTP/1.1\r\nHost: x\r\n\r\n").await;
    assert!(head.starts_with("HTTP/1.1 200") && head.ends_with("\r\n\r\n"), "{head}");
}

/// Compares names, types and labels with the agent's table in `docs/metrics.md`.
#[tokio::test]
async fn documentation_lists_every_metric_family() {
    let bench = TestBench::start().await;
    bench.script.emit(vec![began(1)]).unwrap();
    bench.wait_for_series("pulltrace_agent_observations_total 1").await;
    let text = bench.get("/metrics").await;
    let mut families: BTreeMap<String, (String, String)> = BTreeMap::new();
    for line in text.lines() {
        if let Some((name, kind)) =
            line.strip_prefix("# TYPE ").and_then(|rest| rest.split_once(' '))
        {
            families.insert(name.to_owned(), (kind.to_owned(), String::new()));
            assert!(text.contains(&format!("# HELP {name} ")), "{name}");
        } else if let Some((name, labels)) = line.split_once('{') {
            let labels = labels.split("\",").filter_map(|label| label.split_once('='));
            let labels: Vec<_> = labels.map(|(name, _)| name).collect();
            families.get_mut(name).unwrap().1 = labels.join(", ");
        }
    }
    let page = concat!(env!("CARGO_MANIFEST_DIR"), "/../docs/metrics.md");
    let page = std::fs::read_to_string(page).unwrap();
    let (_, page) = page.split_once("\n## An agent\n").unwrap();
    let rows = page.lines().filter(|line| line.starts_with("| `pulltrace_"));
    let mut documented: BTreeMap<String, (String, String)> = rows
        .map(|row| {
            let cells: Vec<_> = row.split('|').map(|cell| cell.trim().replace('`', "")).collect();
            (cells[1].clone(), (cells[2].clone(), cells[3].replace('–', "")))
        })
        .collect();
    // These two families appear with the first call and the first poll of a containerd.
    let later =
        ["pulltrace_agent_runtime_rpc_duration_seconds", "pulltrace_agent_poll_interval_seconds"];
    for name in later {
        assert!(documented.remove(name).is_some(), "{name}");
    }
    assert_eq!(families, documented);
    assert!(page.contains(&methods().map(|name| format!("`{name}`")).last().unwrap()));
}
