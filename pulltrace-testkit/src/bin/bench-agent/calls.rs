//! How many calls containerd has answered, by its own metrics.

use std::net::{Ipv4Addr, SocketAddr, TcpListener};
use std::time::Duration;

use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;

use super::Error;

const PATIENCE: Duration = Duration::from_secs(10);

/// Where containerd shows its metrics.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Metrics(SocketAddr);

/// Calls that were answered since containerd started.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Calls {
    /// `Leases.List`, which each poll asks once; an idle one asks nothing else.
    pub(crate) polls: u64,
    /// All, of every client.
    pub(crate) all: u64,
}

impl Metrics {
    /// A free port for them.
    pub(crate) fn choose() -> Result<Self, Error> {
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0))?;
        Ok(Self(listener.local_addr()?))
    }

    /// What containerd's configuration needs for them.
    pub(crate) fn config(self) -> String {
        format!("[metrics]\naddress = \"{}\"\n", self.0)
    }

    pub(crate) async fn calls(self) -> Result<Calls, Error> {
        let text = tokio::time::timeout(PATIENCE, self.text())
            .await
            .map_err(|_| Error::Metrics(format!("no answer within {PATIENCE:?}")))??;
        Ok(parse(&text))
    }

    async fn text(self) -> Result<String, Error> {
        let mut stream = TcpStream::connect(self.0).await?;
        stream
            .write_all(b"GET /v1/metrics HTTP/1.0\r\nHost: containerd\r\n\r\n")
            .await?;
        let mut text = String::new();
        // containerd has a few hundred series.
        stream.take(16 << 20).read_to_string(&mut text).await?;
        let status = text.lines().next().unwrap_or_default();
        if status.contains(" 200 ") {
            Ok(text)
        } else {
            Err(Error::Metrics(status.to_owned()))
        }
    }
}

fn parse(text: &str) -> Calls {
    let mut calls = Calls::default();
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
            reason = "a count of calls, not negative"
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
    fn calls_are_counted_by_method() {
        let leases = "grpc_service=\"containerd.services.leases.v1.Leases\"";
        let text = format!(
            "# HELP x\n\
            grpc_server_handled_total{{grpc_code=\"OK\",grpc_method=\"List\",{leases}}} 31\n\
            grpc_server_handled_total{{grpc_code=\"Unknown\",grpc_method=\"List\",{leases}}} 1\n\
            grpc_server_handled_total{{grpc_code=\"OK\",grpc_method=\"ListResources\",{leases}}} 4\n\
            grpc_server_handled_total{{grpc_code=\"OK\",grpc_method=\"List\",grpc_service=\"images\"}} 1.2e+01\n\
            grpc_server_started_total{{grpc_method=\"List\",{leases}}} 77\n"
        );
        assert_eq!(parse(&text), Calls { polls: 32, all: 48 });
    }
}
