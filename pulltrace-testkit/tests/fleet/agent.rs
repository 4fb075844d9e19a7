//! What the agent says of itself on its own port, while containerd is there and while it is not.

use pulltrace_testkit::wait;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;

use crate::kit::{Kit, SOON, Scenario, image_of, scenario};

pub(crate) const ALL: &[Scenario] = &[scenario!(
    an_agent_counts_its_calls_and_those_that_failed,
    agent = &["--metrics-addr", "127.0.0.1:0"]
)];

/// What the agent answers on its own port, which it logs.
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

/// The value of this series; `None` where there is none.
async fn value(kit: &Kit, series: &str) -> Option<f64> {
    let metrics = get(kit, "/metrics").await?;
    let mut lines = metrics.lines();
    let value = lines.find_map(|line| line.strip_prefix(series)?.strip_prefix(' '))?;
    Some(value.parse().expect("a number"))
}

/// Waits until a series is above this.
async fn above(kit: &Kit, series: &str, least: f64) -> f64 {
    let grown = async || value(kit, series).await.filter(|value| *value > least);
    let grown = wait::until(format!("{series} is above {least}"), SOON, grown).await;
    grown.unwrap_or_else(|error| panic!("{error}: {}", kit.agent.log()))
}

fn calls(method: &str) -> String {
    format!("pulltrace_agent_runtime_rpc_duration_seconds_count{{method=\"{method}\"}}")
}

async fn an_agent_counts_its_calls_and_those_that_failed(mut kit: Kit) -> Kit {
    assert!(get(&kit, "/healthz").await.is_some(), "it is well");
    let polled = above(&kit, &calls("Leases/List"), 0.0).await;
    above(&kit, &calls("Leases/List"), polled).await;
    let errors = |method: &str| {
        format!(
            "pulltrace_agent_runtime_rpc_errors_total{{code=\"unavailable\",method=\"{method}\"}}"
        )
    };
    assert_eq!(value(&kit, &errors("Leases/List")).await, Some(0.0));

    let image = image_of(&["a"], 4);
    let (pull, gate, _) = kit.pull_half("counted/app:1", &image, 2 << 20).await;
    let downloading = "pulltrace_agent_pulls_in_progress{phase=\"downloading\"}";
    above(&kit, downloading, 0.0).await;
    // What a pull makes the agent ask.
    for method in [
        "Content/ListStatuses",
        "Leases/ListResources",
        "Content/Read",
    ] {
        above(&kit, &calls(method), 0.0).await;
    }
    gate.release();
    pull.outcome().await.expect("it succeeds");
    kit.ended("counted/app").await;
    above(&kit, &calls("Images/List"), 0.0).await;
    above(
        &kit,
        "pulltrace_agent_reports_total{result=\"delivered\"}",
        1.0,
    )
    .await;

    kit.containerd.kill9().expect("it is killed");
    // The stream of events broke.
    above(&kit, &errors("Events/Subscribe"), 0.0).await;
    let connected = async || value(&kit, "pulltrace_agent_runtime_connected").await;
    let gone = async || connected().await.filter(|is| *is == 0.0);
    let gone = wait::until("the agent sees containerd gone", SOON, gone).await;
    gone.unwrap_or_else(|error| panic!("{error}: {}", kit.agent.log()));
    assert!(get(&kit, "/healthz").await.is_some(), "it may come back");

    kit.containerd.restart().await.expect("it starts again");
    above(&kit, "pulltrace_agent_runtime_connections_total", 1.0).await;
    above(&kit, "pulltrace_agent_runtime_connected", 0.0).await;
    kit
}
