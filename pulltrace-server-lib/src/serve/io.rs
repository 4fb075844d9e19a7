//! A connection that gives up where the other side accepts nothing for too long, and that knows its
//! version of HTTP before the first request is read.

use std::io;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, ready};
use std::time::Duration;

use tokio::io::{AsyncRead, AsyncReadExt as _, AsyncWrite, ReadBuf};
use tokio::time::Sleep;

use crate::http::Link;

/// How an HTTP/2 connection without TLS begins.
const PREFACE: &[u8] = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n";

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Version {
    One,
    Two,
}

/// The connection.
#[derive(Debug)]
pub(super) struct Patient<S> {
    stream: S,
    /// What was read to see the version, and must be read again.
    seen: Vec<u8>,
    patience: Duration,
    /// Runs while something is to be written that the other side does not accept.
    waiting: Option<Pin<Box<Sleep>>>,
    link: Arc<Link>,
}

impl<S: AsyncRead + AsyncWrite + Unpin> Patient<S> {
    pub(super) fn new(stream: S, patience: Duration, link: Arc<Link>) -> Self {
        Self {
            stream,
            seen: Vec::new(),
            patience,
            waiting: None,
            link,
        }
    }

    /// Reads until it is clear which version is spoken.
    pub(super) async fn sniff(&mut self) -> io::Result<Version> {
        let mut seen = Vec::with_capacity(PREFACE.len());
        let version = loop {
            if !PREFACE.starts_with(&seen) {
                break Version::One;
            }
            if seen.len() == PREFACE.len() {
                break Version::Two;
            }
            let missing = PREFACE.len() - seen.len();
            if (&mut self.stream)
                .take(missing as u64)
                .read_buf(&mut seen)
                .await?
                == 0
            {
                return Err(io::ErrorKind::UnexpectedEof.into());
            }
        };
        self.seen = seen;
        Ok(version)
    }

    fn wait<T>(&mut self, cx: &mut Context<'_>, done: Poll<io::Result<T>>) -> Poll<io::Result<T>> {
        if done.is_ready() {
            self.waiting = None;
            return done;
        }
        let patience = self.patience;
        let waiting = self
            .waiting
            .get_or_insert_with(|| Box::pin(tokio::time::sleep(patience)));
        ready!(waiting.as_mut().poll(cx));
        self.link.stalls();
        Poll::Ready(Err(io::ErrorKind::TimedOut.into()))
    }
}

impl<S: AsyncRead + AsyncWrite + Unpin> AsyncRead for Patient<S> {
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        if self.seen.is_empty() {
            return Pin::new(&mut self.stream).poll_read(cx, buf);
        }
        let many = self.seen.len().min(buf.remaining());
        for byte in self.seen.drain(..many) {
            buf.put_slice(&[byte]);
        }
        if !self.seen.is_empty() {
            return Poll::Ready(Ok(()));
        }
        self.seen = Vec::new();
        // With what follows: a piece of a head makes hyper double its buffer, for as long as the connection is.
        match Pin::new(&mut self.stream).poll_read(cx, buf) {
            Poll::Pending => Poll::Ready(Ok(())),
            done @ Poll::Ready(_) => done,
        }
    }
}

impl<S: AsyncRead + AsyncWrite + Unpin> AsyncWrite for Patient<S> {
    fn poll_write(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &[u8],
    ) -> Poll<io::Result<usize>> {
        let done = Pin::new(&mut self.stream).poll_write(cx, buf);
        self.wait(cx, done)
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bufs: &[io::IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        let done = Pin::new(&mut self.stream).poll_write_vectored(cx, bufs);
        self.wait(cx, done)
    }

    fn is_write_vectored(&self) -> bool {
        self.stream.is_write_vectored()
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        let done = Pin::new(&mut self.stream).poll_flush(cx);
        self.wait(cx, done)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        let done = Pin::new(&mut self.stream).poll_shutdown(cx);
        self.wait(cx, done)
    }
}

#[cfg(test)]
mod tests {
    use tokio::io::AsyncWriteExt as _;
    use tokio::sync::watch;

    use super::*;

    fn patient(
        room: usize,
    ) -> (
        Patient<tokio::io::DuplexStream>,
        tokio::io::DuplexStream,
        Arc<Link>,
    ) {
        let (ours, theirs) = tokio::io::duplex(room);
        let link = Arc::new(Link::new(
            "127.0.0.1:1".parse().unwrap(),
            watch::channel(false).0,
        ));
        let patient = Patient::new(ours, Duration::from_secs(30), Arc::clone(&link));
        (patient, theirs, link)
    }

    #[tokio::test(start_paused = true)]
    async fn one_that_accepts_nothing_for_30_s_is_given_up() {
        let (mut ours, _theirs, link) = patient(16);
        let error = ours.write_all(&[0; 17]).await.unwrap_err();
        assert_eq!(error.kind(), io::ErrorKind::TimedOut);
        assert!(link.is_stalled());
    }

    #[tokio::test(start_paused = true)]
    async fn one_that_accepts_a_little_now_and_then_is_not() {
        let (mut ours, mut theirs, link) = patient(16);
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
    async fn the_version_is_seen_and_nothing_is_lost() {
        for (bytes, version) in [
            (&b"GET / HTTP/1.1\r\n\r\n"[..], Version::One),
            (b"POST / HTTP/1.1\r\n\r\n", Version::One),
            (b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\nmore", Version::Two),
        ] {
            let (mut ours, mut theirs, _) = patient(1_024);
            theirs.write_all(bytes).await.unwrap();
            drop(theirs);
            assert_eq!(ours.sniff().await.unwrap(), version);
            let mut all = Vec::new();
            ours.read_to_end(&mut all).await.unwrap();
            assert_eq!(all, bytes);
        }
    }

    #[tokio::test]
    async fn what_was_seen_is_read_together_with_what_follows_it() {
        let (mut ours, mut theirs, _) = patient(1_024);
        let head = b"POST /api/v1/report HTTP/1.1\r\nhost: a\r\n\r\n";
        theirs.write_all(head).await.unwrap();
        ours.sniff().await.unwrap();
        let mut read = [0; 1_024];
        assert_eq!(ours.read(&mut read).await.unwrap(), head.len());
        assert_eq!(&read[..head.len()], head);
    }

    #[tokio::test]
    async fn a_connection_that_ends_within_its_greeting_is_an_error() {
        let (mut ours, mut theirs, _) = patient(1_024);
        theirs.write_all(b"PRI * HT").await.unwrap();
        drop(theirs);
        assert_eq!(
            ours.sniff().await.unwrap_err().kind(),
            io::ErrorKind::UnexpectedEof
        );
    }
}
