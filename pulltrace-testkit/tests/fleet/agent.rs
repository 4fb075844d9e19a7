//! The agent's metrics and health endpoint, with containerd running and killed.

use pulltrace_testkit::wait;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;

use crate::kit::{Kit, Scenario, TIMEOUT, image_of, scenario};

pub(crate) const ALL: &[Scenario] =
    &[scenario!(agent_metrics_count_calls_and_errors, agent = &["--metrics-addr", "127.0.0.1:0"])];

/// Returns the response of the agent's endpoint, whose address is in the log.
async fn get(kit: &Kit, path: &str) -> Option<String> {
    let log = kit.agent.log();
    let address = log.split("metrics=\"").nth(1)?.split('"').next()?;
    let mut stream = TcpStream::connect(address).await.ok()?;
    let request = format!("GET {path} HTTP/1.1\r\nHost: x\r\n\r\n");
    stream.write_all(request.as_bytes()).await.ok()?;
    let mut answer = String::new();
    stream.read_to_string(&mut answer).await.ok()?;
    answer.starts_with("HTTP/1.1 200 ").then_some(answer)
}

/// Returns the value of a series, if it exists.
async fn metric_value(kit: &Kit, series: &str) -> Option<f64> {
    let metrics = get(kit, "/metrics").await?;
    let mut lines = metrics.lines();
    let value = lines.find_map(|line| line.strip_prefix(series)?.strip_prefix(' '))?;
    Some(value.parse().expect("a number"))
}

/// Waits until the value of a series exceeds `least`.
async fn wait_above(kit: &Kit, series: &str, least: f64) -> f64 {
    let grown = async || metric_value(kit, series).await.filter(|value| *value > least);
    let grown = wait::until(format!("{series} is above {least}"), TIMEOUT, grown).await;
    grown.unwrap_or_else(|error| panic!("{error}: {}", kit.agent.log()))
}

fn rpc_count_series(method: &str) -> String {
    format!("pulltrace_agent_runtime_rpc_duration_seconds_count{{method=\"{method}\"}}")
}

async fn agent_metrics_count_calls_and_errors(mut kit: Kit) -> Kit {
    assert!(get(&kit, "/healthz").await.is_some(), "healthy");
    let polled = wait_above(&kit, &rpc_count_series("Leases/List"), 0.0).await;
    wait_above(&kit, &rpc_count_series("Leases/List"), polled).await;
    let errors = |method: &str| {
        format!(
            "pulltrace_agent_runtime_rpc_errors_total{{code=\"unavailable\",method=\"{method}\"}}"
        )
    };
    assert_eq!(metric_value(&kit, &errors("Leases/List")).await, Some(0.0));

    let image = image_of(&["a"], 4);
    let (pull, gate, _) = kit.pull_held("counted/app:1", &image, 2 << 20).await;
    let downloading = "pulltrace_agent_pulls_in_progress{phase=\"downloading\"}";
    wait_above(&kit, downloading, 0.0).await;
    // The calls that a pull causes.
    for method in ["Content/ListStatuses", "Leases/ListResources", "Content/Read"] {
        wait_above(&kit, &rpc_count_series(method), 0.0).await;
    }
    gate.release();
    pull.outcome().await.expect("pull succeeds");
    kit.wait_ended("counted/app").await;
    wait_above(&kit, &rpc_count_series("Images/List"), 0.0).await;
    wait_above(&kit, "pulltrace_agent_reports_total{result=\"delivered\"}", 1.0).await;

    kit.containerd.kill9().expect("killed");
    // The event stream broke.
    wait_above(&kit, &errors("Events/Subscribe"), 0.0).await;
    let connected = async || metric_value(&kit, "pulltrace_agent_runtime_connected").await;
    let gone = async || connected().await.filter(|is| *is == 0.0);
    let gone = wait::until("the agent notices the loss of containerd", TIMEOUT, gone).await;
    gone.unwrap_or_else(|error| panic!("{error}: {}", kit.agent.log()));
    assert!(get(&kit, "/healthz").await.is_some(), "healthy without containerd");

    kit.containerd.restart().await.expect("restarted");
    wait_above(&kit, "pulltrace_agent_runtime_connections_total", 1.0).await;
    wait_above(&kit, "pulltrace_agent_runtime_connected", 0.0).await;
    kit
}
