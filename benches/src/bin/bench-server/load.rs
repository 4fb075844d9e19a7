//! The agents of a cluster. Each reports once a second, on its own connection.

use std::io::Write as _;
use std::net::SocketAddr;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use bytes::Bytes;
use flate2::Compression;
use flate2::write::GzEncoder;
use http_body_util::{BodyExt as _, Full};
use hyper::client::conn::http1::{self, SendRequest};
use hyper::header::{CONTENT_ENCODING, CONTENT_TYPE, HOST};
use hyper::{Request, StatusCode};
use hyper_util::rt::TokioIo;
use pulltrace_testkit::clock;
use tokio::net::TcpStream;

use super::node::SimulatedNode;
use pulltrace_benches::Error;

/// The outcomes of the reports since the last call of [`StatsRecorder::take`].
#[derive(Clone, Debug, Default)]
pub(crate) struct ReportStats {
    /// From the first byte of the report to the last byte of the response, in microseconds.
    pub(crate) latencies_us: Vec<u32>,
    /// Reports with a response other than 202.
    pub(crate) rejected: u64,
    /// Bytes of request bodies, compressed.
    pub(crate) bytes_sent: u64,
}

#[derive(Clone, Debug, Default)]
pub(crate) struct StatsRecorder(Arc<Mutex<ReportStats>>);

impl StatsRecorder {
    pub(crate) fn take(&self) -> ReportStats {
        std::mem::take(&mut self.0.lock().unwrap_or_else(PoisonError::into_inner))
    }

    fn record(&self, took: Duration, taken: bool, sent: usize) {
        let mut answers = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        answers.latencies_us.push(u32::try_from(took.as_micros()).unwrap_or(u32::MAX));
        answers.rejected += u64::from(!taken);
        answers.bytes_sent += sent as u64;
    }
}

/// Reports every second as the agent of one node, until it fails. `after` staggers the agents.
pub(crate) async fn run_agent(
    server: SocketAddr,
    mut node: SimulatedNode,
    after: Duration,
    record: StatsRecorder,
) -> Result<(), Error> {
    tokio::time::sleep(after).await;
    let mut connection = connect(server).await?;
    let mut seconds = tokio::time::interval(Duration::from_secs(1));
    loop {
        seconds.tick().await;
        let body = gzip(&node.next_report()?)?;
        let sent = body.len();
        let request = Request::post("/api/v1/report")
            .header(HOST, server.to_string())
            .header(CONTENT_TYPE, "application/json")
            .header(CONTENT_ENCODING, "gzip")
            .body(Full::new(body))?;
        let began = clock::now();
        let answer = connection.send_request(request).await?;
        let taken = answer.status() == StatusCode::ACCEPTED;
        answer.into_body().collect().await?;
        record.record(began.elapsed(), taken, sent);
    }
}

async fn connect(server: SocketAddr) -> Result<SendRequest<Full<Bytes>>, Error> {
    let stream = TcpStream::connect(server).await?;
    stream.set_nodelay(true)?;
    let (sender, connection) = http1::handshake(TokioIo::new(stream)).await?;
    // The next request returns the same error.
    tokio::spawn(async move { drop(connection.await) });
    Ok(sender)
}

fn gzip(json: &[u8]) -> Result<Bytes, Error> {
    let mut encoder = GzEncoder::new(Vec::new(), Compression::fast());
    encoder.write_all(json)?;
    Ok(encoder.finish()?.into())
}
