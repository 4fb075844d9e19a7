//! The agents of a cluster: each reports once a second, on a connection of its own.

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

use super::Error;
use super::node::Node;

/// What became of the reports since this was last asked.
#[derive(Clone, Debug, Default)]
pub(crate) struct Answers {
    /// From the first byte of a report to the last of its answer, in microseconds.
    pub(crate) took: Vec<u32>,
    /// Reports that were not answered with 202.
    pub(crate) refused: u64,
    /// Bytes of bodies, as they were sent.
    pub(crate) sent: u64,
}

#[derive(Clone, Debug, Default)]
pub(crate) struct Record(Arc<Mutex<Answers>>);

impl Record {
    pub(crate) fn take(&self) -> Answers {
        std::mem::take(&mut self.0.lock().unwrap_or_else(PoisonError::into_inner))
    }

    fn note(&self, took: Duration, taken: bool, sent: usize) {
        let mut answers = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        answers
            .took
            .push(u32::try_from(took.as_micros()).unwrap_or(u32::MAX));
        answers.refused += u64::from(!taken);
        answers.sent += sent as u64;
    }
}

/// Reports for ever, each second, as the agent of one node; `after` sets the agents apart.
pub(crate) async fn report(
    server: SocketAddr,
    mut node: Node,
    after: Duration,
    record: Record,
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
        record.note(began.elapsed(), taken, sent);
    }
}

async fn connect(server: SocketAddr) -> Result<SendRequest<Full<Bytes>>, Error> {
    let stream = TcpStream::connect(server).await?;
    stream.set_nodelay(true)?;
    let (sender, connection) = http1::handshake(TokioIo::new(stream)).await?;
    // Its error is that of the next request.
    tokio::spawn(async move { drop(connection.await) });
    Ok(sender)
}

fn gzip(json: &[u8]) -> Result<Bytes, Error> {
    let mut encoder = GzEncoder::new(Vec::new(), Compression::fast());
    encoder.write_all(json)?;
    Ok(encoder.finish()?.into())
}
