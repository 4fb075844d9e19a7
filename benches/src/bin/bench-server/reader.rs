//! Readers of the event stream, which count the bytes that they receive.

use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use bytes::Bytes;
use http_body_util::{BodyExt as _, Empty};
use hyper::Request;
use hyper::client::conn::http1;
use hyper::header::HOST;
use hyper_util::rt::TokioIo;
use tokio::net::TcpStream;

use pulltrace_benches::Error;

/// The kinds of readers: name in the table, query string.
pub(crate) const READER_KINDS: [(&str, &str); 4] = [
    ("frames", "?format=frame&layers=none"),
    ("frames with layers", "?format=frame&layers=embed"),
    ("events", "?layers=none"),
    ("events with layers", "?layers=embed"),
];

#[derive(Clone, Debug, Default)]
pub(crate) struct ByteCounter(Arc<AtomicU64>);

impl ByteCounter {
    /// Returns the bytes received since the last call.
    pub(crate) fn take(&self) -> u64 {
        self.0.swap(0, Ordering::Relaxed)
    }
}

/// Follows the stream until it fails.
pub(crate) async fn follow(
    server: SocketAddr,
    query: &str,
    read: ByteCounter,
) -> Result<(), Error> {
    let stream = TcpStream::connect(server).await?;
    let (mut sender, connection) = http1::handshake(TokioIo::new(stream)).await?;
    // The body returns the same error.
    tokio::spawn(async move { drop(connection.await) });
    let request = Request::get(format!("/api/v1/events{query}"))
        .header(HOST, server.to_string())
        .body(Empty::<Bytes>::new())?;
    let answer = sender.send_request(request).await?;
    if !answer.status().is_success() {
        return Err(format!("unexpected status {} for a reader", answer.status()).into());
    }
    let mut body = answer.into_body();
    while let Some(frame) = body.frame().await {
        let bytes = frame?.into_data().map_or(0, |data| data.len());
        read.0.fetch_add(bytes as u64, Ordering::Relaxed);
    }
    Err("the server closed a stream".into())
}
