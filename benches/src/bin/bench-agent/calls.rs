//! Counts the calls that containerd has answered, from its own metrics.

use std::net::{Ipv4Addr, SocketAddr, TcpListener};
use std::time::Duration;

use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;

use pulltrace_benches::Error;

const METRICS_TIMEOUT: Duration = Duration::from_secs(10);

/// The address of containerd's metrics endpoint.
#[derive(Clone, Copy, Debug)]
pub(crate) struct MetricsEndpoint(SocketAddr);

/// Calls answered since containerd started.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct CallCounts {
    /// `Leases.List`, called once per poll. An idle agent makes no other call.
    pub(crate) polls: u64,
    /// All calls of all clients.
    pub(crate) all: u64,
}

impl MetricsEndpoint {
    /// Chooses a free port.
    pub(crate) fn on_free_port() -> Result<Self, Error> {
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0))?;
        Ok(Self(listener.local_addr()?))
    }

    /// The lines for containerd's configuration.
    pub(crate) fn config(self) -> String {
        format!("[metrics]\naddress = \"{}\"\n", self.0)
    }

    pub(crate) async fn calls(self) -> Result<CallCounts, Error> {
        let text = tokio::time::timeout(METRICS_TIMEOUT, self.fetch())
            .await
            .map_err(|_| format!("no metrics of containerd within {METRICS_TIMEOUT:?}"))??;
        Ok(parse(&text))
    }

    async fn fetch(self) -> Result<String, Error> {
        let mut stream = TcpStream::connect(self.0).await?;
        stream.write_all(b"GET /v1/metrics HTTP/1.0\r\nHost: containerd\r\n\r\n").await?;
        let mut text = String::new();
        // A generous limit: containerd exports a few hundred series.
        stream.take(16 << 20).read_to_string(&mut text).await?;
        let status = text.lines().next().unwrap_or_default();
        if status.contains(" 200 ") {
            Ok(text)
        } else {
            Err(format!("failed to read containerd's metrics: {status}").into())
        }
    }
}

fn parse(text: &str) -> CallCounts {
    let mut calls = CallCounts::default();
    for line in text.lines() {
        let Some(series) = line.strip_prefix("grpc_server_handled_total{") else {
            continue;
        };
        let Some((labels, count)) = series.rsplit_once("} ") else {
            continue;
        };
        let Some(count) = count.parse::<f64>().ok().filter(|count| *count >= 0.0) else {
            continue;
        };
        #[expect(
            clippy::cast_possible_truncation,
            clippy::cast_sign_loss,
            reason = "a non-negative number of calls"
        )]
        let count = count as u64;
        calls.all += count;
        if labels.contains(r#"grpc_method="List""#) && labels.contains("leases.v1.Leases") {
            calls.polls += count;
        }
    }
    calls
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn call_counts_distinguish_methods() {
        let leases = "grpc_service=\"containerd.services.leases.v1.Leases\"";
        let text = format!(
            "# HELP x\n\
            grpc_server_handled_total{{grpc_code=\"OK\",grpc_method=\"List\",{leases}}} 31\n\
            grpc_server_handled_total{{grpc_code=\"Unknown\",grpc_method=\"List\",{leases}}} 1\n\
            grpc_server_handled_total{{grpc_code=\"OK\",grpc_method=\"ListResources\",{leases}}} 4\n\
            grpc_server_handled_total{{grpc_code=\"OK\",grpc_method=\"List\",grpc_service=\"images\"}} 1.2e+01\n\
            grpc_server_started_total{{grpc_method=\"List\",{leases}}} 77\n"
        );
        assert_eq!(parse(&text), CallCounts { polls: 32, all: 48 });
    }
}
