//! A stream that times out if the peer accepts no data, and that detects the HTTP version before
//! the first request.

use std::io;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, ready};
use std::time::Duration;

use tokio::io::{AsyncRead, AsyncReadExt as _, AsyncWrite, ReadBuf};
use tokio::time::Sleep;

use crate::http::Connection;

/// The client preface of HTTP/2 without TLS.
const PREFACE: &[u8] = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n";

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum HttpVersion {
    Http1,
    Http2,
}

/// A stream with a timeout for stalled writes.
#[derive(Debug)]
pub(super) struct IdleTimeout<S> {
    stream: S,
    /// Bytes consumed to detect the version, which are returned again by reads.
    sniffed: Vec<u8>,
    timeout: Duration,
    /// Running while data is pending that the peer does not accept.
    deadline: Option<Pin<Box<Sleep>>>,
    connection: Arc<Connection>,
}

impl<S: AsyncRead + AsyncWrite + Unpin> IdleTimeout<S> {
    pub(super) fn new(stream: S, timeout: Duration, connection: Arc<Connection>) -> Self {
        Self { stream, sniffed: Vec::new(), timeout, deadline: None, connection }
    }

    /// Reads until the HTTP version is known.
    pub(super) async fn detect_version(&mut self) -> io::Result<HttpVersion> {
        let mut seen = Vec::with_capacity(PREFACE.len());
        let version = loop {
            if !PREFACE.starts_with(&seen) {
                break HttpVersion::Http1;
            }
            if seen.len() == PREFACE.len() {
                break HttpVersion::Http2;
            }
            let missing = PREFACE.len() - seen.len();
            if (&mut self.stream).take(missing as u64).read_buf(&mut seen).await? == 0 {
                return Err(io::ErrorKind::UnexpectedEof.into());
            }
        };
        self.sniffed = seen;
        Ok(version)
    }

    fn check_deadline<T>(
        &mut self,
        cx: &mut Context<'_>,
        done: Poll<io::Result<T>>,
    ) -> Poll<io::Result<T>> {
        if done.is_ready() {
            self.deadline = None;
            return done;
        }
        let patience = self.timeout;
        let waiting = self.deadline.get_or_insert_with(|| Box::pin(tokio::time::sleep(patience)));
        ready!(waiting.as_mut().poll(cx));
        self.connection.close_stalled();
        Poll::Ready(Err(io::ErrorKind::TimedOut.into()))
    }
}

impl<S: AsyncRead + AsyncWrite + Unpin> AsyncRead for IdleTimeout<S> {
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        if self.sniffed.is_empty() {
            return Pin::new(&mut self.stream).poll_read(cx, buf);
        }
        let many = self.sniffed.len().min(buf.remaining());
        for byte in self.sniffed.drain(..many) {
            buf.put_slice(&[byte]);
        }
        if !self.sniffed.is_empty() {
            return Poll::Ready(Ok(()));
        }
        self.sniffed = Vec::new();
        // Include the following bytes: a partial head makes hyper double its buffer for the
        // lifetime of the connection.
        match Pin::new(&mut self.stream).poll_read(cx, buf) {
            Poll::Pending => Poll::Ready(Ok(())),
            done @ Poll::Ready(_) => done,
        }
    }
}

impl<S: AsyncRead + AsyncWrite + Unpin> AsyncWrite for IdleTimeout<S> {
    fn poll_write(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &[u8],
    ) -> Poll<io::Result<usize>> {
        let done = Pin::new(&mut self.stream).poll_write(cx, buf);
        self.check_deadline(cx, done)
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bufs: &[io::IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        let done = Pin::new(&mut self.stream).poll_write_vectored(cx, bufs);
        self.check_deadline(cx, done)
    }

    fn is_write_vectored(&self) -> bool {
        self.stream.is_write_vectored()
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        let done = Pin::new(&mut self.stream).poll_flush(cx);
        self.check_deadline(cx, done)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        let done = Pin::new(&mut self.stream).poll_shutdown(cx);
        self.check_deadline(cx, done)
    }
}

#[cfg(test)]
mod tests {
    use tokio::io::AsyncWriteExt as _;
    use tokio::sync::watch;

    use super::*;

    fn idle_timeout_stream(
        room: usize,
    ) -> (IdleTimeout<tokio::io::DuplexStream>, tokio::io::DuplexStream, Arc<Connection>) {
        let (ours, theirs) = tokio::io::duplex(room);
        let connection =
            Arc::new(Connection::new("127.0.0.1:1".parse().unwrap(), watch::channel(false).0));
        let patient = IdleTimeout::new(ours, Duration::from_secs(30), Arc::clone(&connection));
        (patient, theirs, connection)
    }

    #[tokio::test(start_paused = true)]
    async fn write_times_out_when_peer_accepts_nothing() {
        let (mut ours, _theirs, link) = idle_timeout_stream(16);
        let error = ours.write_all(&[0; 17]).await.unwrap_err();
        assert_eq!(error.kind(), io::ErrorKind::TimedOut);
        assert!(link.is_stalled());
    }

    #[tokio::test(start_paused = true)]
    async fn slow_but_steady_peer_does_not_time_out() {
        let (mut ours, mut theirs, link) = idle_timeout_stream(16);
        let reading = tokio::spawn(async move {
            let mut read = [0; 1];
            for _ in 0..64 {
                tokio::time::sleep(Duration::from_secs(29)).await;
                theirs.read_exact(&mut read).await.unwrap();
            }
            theirs
        });
        ours.write_all(&[0; 64]).await.unwrap();
        assert!(!link.is_stalled());
        drop(reading.await.unwrap());
    }

    #[tokio::test]
    async fn detect_version_consumes_no_bytes() {
        for (bytes, version) in [
            (&b"GET / HTTP/1.1\r\n\r\n"[..], HttpVersion::Http1),
            (b"POST / HTTP/1.1\r\n\r\n", HttpVersion::Http1),
            (b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\nmore", HttpVersion::Http2),
        ] {
            let (mut ours, mut theirs, _) = idle_timeout_stream(1_024);
            theirs.write_all(bytes).await.unwrap();
            drop(theirs);
            assert_eq!(ours.detect_version().await.unwrap(), version);
            let mut all = Vec::new();
            ours.read_to_end(&mut all).await.unwrap();
            assert_eq!(all, bytes);
        }
    }

    #[tokio::test]
    async fn sniffed_bytes_are_read_with_following_bytes() {
        let (mut ours, mut theirs, _) = idle_timeout_stream(1_024);
        let head = b"POST /api/v1/report HTTP/1.1\r\nhost: a\r\n\r\n";
        theirs.write_all(head).await.unwrap();
        ours.detect_version().await.unwrap();
        let mut read = [0; 1_024];
        assert_eq!(ours.read(&mut read).await.unwrap(), head.len());
        assert_eq!(&read[..head.len()], head);
    }

    #[tokio::test]
    async fn detect_version_fails_on_early_eof() {
        let (mut ours, mut theirs, _) = idle_timeout_stream(1_024);
        theirs.write_all(b"PRI * HT").await.unwrap();
        drop(theirs);
        assert_eq!(ours.detect_version().await.unwrap_err().kind(), io::ErrorKind::UnexpectedEof);
    }
}
