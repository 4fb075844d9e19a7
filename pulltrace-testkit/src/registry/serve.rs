//! HTTP: turns a request into an answer, and sends it piece by piece as the
//! faults allow.

use std::convert::Infallible;
use std::io;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};

use bytes::Bytes;
use http_body_util::combinators::UnsyncBoxBody;
use http_body_util::{BodyExt as _, Full, StreamBody};
use hyper::body::{Frame, Incoming};
use hyper::header::{
    ACCEPT_RANGES, CONTENT_LENGTH, CONTENT_RANGE, CONTENT_TYPE, HeaderName, HeaderValue, RANGE,
};
use hyper::http::response::Builder;
use hyper::service::service_fn;
use hyper::{Method, Response, StatusCode};
use hyper_util::rt::TokioIo;
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::{oneshot, watch};
use tokio::task::JoinSet;

use super::fault::{Next, Refusal};
use super::log::{End, Kind, Request};
use super::{State, lock};
use crate::clock;
use crate::image::Blob;

/// The most that is sent as one piece.
const MAX_PIECE: u64 = 64 * 1024;

const CONTENT_DIGEST: HeaderName = HeaderName::from_static("docker-content-digest");
const API_VERSION: HeaderName = HeaderName::from_static("docker-distribution-api-version");

type Body = UnsyncBoxBody<Bytes, io::Error>;

/// Answers until `stopped` resolves. Connections end with it.
pub(super) async fn run(
    listener: std::net::TcpListener,
    state: Arc<State>,
    mut stopped: oneshot::Receiver<()>,
) {
    let listener = TcpListener::from_std(listener).expect("a listener that does not block");
    let mut connections = JoinSet::new();
    loop {
        tokio::select! {
            _ = &mut stopped => return,
            accepted = listener.accept() => match accepted {
                Ok((stream, _)) => {
                    connections.spawn(connection(stream, Arc::clone(&state)));
                }
                // The client is gone already, or descriptors are short: the
                // next one may fare better.
                Err(_) => tokio::task::yield_now().await,
            },
            Some(_) = connections.join_next() => {}
        }
    }
}

async fn connection(stream: TcpStream, state: Arc<State>) {
    let flushes = Arc::new(watch::Sender::new(0));
    let stream = Flushing {
        stream,
        flushes: Arc::clone(&flushes),
    };
    let service = service_fn(|request| {
        let state = Arc::clone(&state);
        let flushes = Arc::clone(&flushes);
        async move { Ok::<_, Infallible>(answer(&request, state, flushes).await) }
    });
    let served = hyper::server::conn::http1::Builder::new()
        .serve_connection(TokioIo::new(stream), service)
        .await;
    // An error is a client that went away or a cut; both stand in the log.
    drop(served);
}

async fn answer(
    request: &hyper::Request<Incoming>,
    state: Arc<State>,
    flushes: Arc<watch::Sender<u64>>,
) -> Response<Body> {
    let (mut record, found) = look_up(request, &state);
    let head = request.method() == Method::HEAD;
    let range = match &found {
        Found::Blob { blob, .. } => range_of(request, blob.len()),
        Found::Document { .. } | Found::Base | Found::Nothing(_) => Range::Whole,
    };
    if let Range::Part { start, end } = range {
        record.range_start = Some(start);
        record.range_end = Some(end);
    }
    let number = state.log.add(record.clone());
    let mut running = Running {
        state: Arc::clone(&state),
        number,
        ended: false,
    };

    while let Some(silence) = state.faults.silence(&record) {
        silence.wait().await;
    }
    if let Some(refusal) = state.faults.refusal(&record) {
        running.status(refusal.status);
        running.end(End::Complete);
        return refuse(&refusal, head);
    }
    let (response, blob, start, end) = match found {
        Found::Base => (ok(), Blob::Bytes(Bytes::from_static(b"{}")), 0, 2),
        Found::Nothing(code) => {
            running.status(404);
            running.end(End::Complete);
            return error(Response::builder().status(404), code, head);
        }
        Found::Document {
            media_type,
            digest,
            data,
        } => {
            let response = ok()
                .header(CONTENT_TYPE, media_type)
                .header(CONTENT_DIGEST, digest);
            let len = data.len() as u64;
            (response, Blob::Bytes(data), 0, len)
        }
        Found::Blob { digest, blob } => {
            let len = blob.len();
            let response = Response::builder()
                .header(CONTENT_TYPE, "application/octet-stream")
                .header(CONTENT_DIGEST, digest)
                .header(ACCEPT_RANGES, "bytes");
            match range {
                Range::Whole => (response.status(StatusCode::OK), blob, 0, len),
                Range::Part { start, end } => {
                    let part = format!("bytes {start}-{}/{len}", end - 1);
                    let response = response
                        .status(StatusCode::PARTIAL_CONTENT)
                        .header(CONTENT_RANGE, part);
                    (response, blob, start, end)
                }
                Range::Outside => {
                    running.status(416);
                    running.end(End::Complete);
                    let response = Response::builder()
                        .status(StatusCode::RANGE_NOT_SATISFIABLE)
                        .header(CONTENT_RANGE, format!("bytes */{len}"));
                    return error(response, "RANGE_INVALID", head);
                }
            }
        }
    };
    let response = response.header(CONTENT_LENGTH, end - start);
    let status = response.headers_ref().map_or(200, |headers| {
        if headers.contains_key(CONTENT_RANGE) {
            206
        } else {
            200
        }
    });
    running.status(status);
    let body = if head || start == end {
        running.end(End::Complete);
        empty()
    } else {
        send(record, running, flushes, blob, start, end)
    };
    response.body(body).expect("a valid response")
}

/// Sends the bytes `start..end` of `blob` as the faults allow.
fn send(
    record: Request,
    mut running: Running,
    flushes: Arc<watch::Sender<u64>>,
    blob: Blob,
    start: u64,
    end: u64,
) -> Body {
    let stream = async_stream::try_stream! {
        let state = Arc::clone(&running.state);
        let mut offset = start;
        while offset < end {
            match state.faults.next(&record, offset) {
                Next::Wait(standing) => {
                    flushed(&flushes).await;
                    standing.wait().await;
                }
                Next::Cut => {
                    flushed(&flushes).await;
                    running.end(End::Cut);
                    Err(io::Error::from(io::ErrorKind::ConnectionAborted))?;
                }
                Next::Send { max, paces } => {
                    let mut len = max.min(end - offset).min(MAX_PIECE);
                    for pace in &paces {
                        len = len.min(pace.piece());
                    }
                    for pace in &paces {
                        pace.admit(len).await;
                    }
                    let mut data = blob.read(offset, usize::try_from(len).expect("a piece"));
                    if state.faults.corrupts(&record, offset, data.len()) {
                        let mut changed = data.to_vec();
                        state.faults.corrupt_bytes(&record, offset, &mut changed);
                        data = changed.into();
                    }
                    offset += len;
                    running.sent(len);
                    if offset == end {
                        // hyper does not ask again after the last byte.
                        running.end(End::Complete);
                    }
                    yield Frame::data(data);
                }
            }
        }
    };
    StreamBody::new(stream).boxed_unsync()
}

/// Waits until all that was handed to hyper is handed to the network.
async fn flushed(flushes: &watch::Sender<u64>) {
    let mut seen = flushes.subscribe();
    seen.mark_unchanged();
    // hyper flushes as soon as the body has nothing more for it.
    let alive = seen.changed().await;
    debug_assert!(alive.is_ok(), "the connection is gone before its body");
}

enum Found {
    Base,
    Document {
        media_type: String,
        digest: String,
        data: Bytes,
    },
    Blob {
        digest: String,
        blob: Blob,
    },
    /// Not there, with the error code of the OCI distribution specification.
    Nothing(&'static str),
}

fn look_up(request: &hyper::Request<Incoming>, state: &State) -> (Request, Found) {
    let mut record = Request {
        at: clock::now(),
        method: request.method().to_string(),
        path: request.uri().to_string(),
        kind: Kind::Other,
        repository: None,
        reference: None,
        digest: None,
        range_start: None,
        range_end: None,
        status: None,
        sent: 0,
        end: None,
    };
    let Some(path) = request.uri().path().strip_prefix("/v2/") else {
        return (record, Found::Nothing("UNSUPPORTED"));
    };
    if path.is_empty() {
        return (record, Found::Base);
    }
    let parts = [
        ("/manifests/", Kind::Manifest, "MANIFEST_UNKNOWN"),
        ("/blobs/", Kind::Blob, "BLOB_UNKNOWN"),
    ]
    .into_iter()
    .find_map(|(infix, kind, unknown)| {
        let (repository, reference) = path.rsplit_once(infix)?;
        Some((repository, reference, kind, unknown))
    });
    let Some((repository, reference, kind, unknown)) = parts else {
        return (record, Found::Nothing("UNSUPPORTED"));
    };
    record.kind = kind;
    record.repository = Some(repository.to_owned());
    record.reference = Some(reference.to_owned());
    let content = lock(&state.content);
    let Some(repo) = content.repositories.get(repository) else {
        return (record, Found::Nothing("NAME_UNKNOWN"));
    };
    let digest = repo.tags.get(reference).map_or(reference, String::as_str);
    let found = match kind {
        Kind::Manifest => repo
            .documents
            .get(digest)
            .map(|(media_type, data)| Found::Document {
                media_type: media_type.clone(),
                digest: digest.to_owned(),
                data: data.clone(),
            }),
        Kind::Blob | Kind::Other => content
            .blobs
            .get(reference)
            .filter(|_| repo.blobs.contains(reference))
            .map(|blob| Found::Blob {
                digest: reference.to_owned(),
                blob: blob.clone(),
            }),
    };
    match found {
        Some(found) => {
            record.digest = Some(digest.to_owned());
            (record, found)
        }
        None => (record, Found::Nothing(unknown)),
    }
}

#[derive(Debug, Clone, Copy)]
enum Range {
    Whole,
    Part { start: u64, end: u64 },
    Outside,
}

/// The range that a request asks for; a header that is no single range of
/// bytes is ignored, as HTTP allows.
fn range_of(request: &hyper::Request<Incoming>, len: u64) -> Range {
    let parsed = request
        .headers()
        .get(RANGE)
        .and_then(|value| value.to_str().ok())
        .and_then(|value| value.strip_prefix("bytes="))
        .and_then(|value| value.split_once('-'));
    let Some((first, last)) = parsed else {
        return Range::Whole;
    };
    let (start, end) = match (first.parse::<u64>(), last.parse::<u64>()) {
        (Ok(first), Ok(last)) if last >= first => (first, last.saturating_add(1).min(len)),
        (Ok(first), Err(_)) if last.is_empty() => (first, len),
        (Err(_), Ok(suffix)) if first.is_empty() => (len.saturating_sub(suffix), len),
        _ => return Range::Whole,
    };
    if start < end {
        Range::Part { start, end }
    } else {
        Range::Outside
    }
}

fn ok() -> Builder {
    Response::builder()
        .status(StatusCode::OK)
        .header(API_VERSION, "registry/2.0")
}

fn refuse(refusal: &Refusal, head: bool) -> Response<Body> {
    let mut response = Response::builder().status(refusal.status);
    for (name, value) in &refusal.headers {
        response = response.header(name, value);
    }
    error(response, "REFUSED", head)
}

fn error(response: Builder, code: &str, head: bool) -> Response<Body> {
    let text = serde_json::json!({
        "errors": [{ "code": code, "message": "refused by the test registry" }],
    })
    .to_string();
    let response = response
        .header(CONTENT_TYPE, HeaderValue::from_static("application/json"))
        .header(CONTENT_LENGTH, text.len());
    let body = if head { empty() } else { full(text) };
    response.body(body).expect("a valid response")
}

fn full(data: impl Into<Bytes>) -> Body {
    Full::new(data.into())
        .map_err(|never| match never {})
        .boxed_unsync()
}

fn empty() -> Body {
    full(Bytes::new())
}

/// Keeps the log entry of one answer true, also when it is dropped midway.
struct Running {
    state: Arc<State>,
    number: u64,
    ended: bool,
}

impl Running {
    fn status(&self, status: u16) {
        self.state
            .log
            .update(self.number, |request| request.status = Some(status));
    }

    fn sent(&self, bytes: u64) {
        self.state
            .log
            .update(self.number, |request| request.sent += bytes);
    }

    fn end(&mut self, end: End) {
        self.ended = true;
        self.state
            .log
            .update(self.number, |request| request.end = Some(end));
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        if !self.ended {
            self.end(End::Abandoned);
        }
    }
}

/// A connection that tells when its writer has handed on all it had.
struct Flushing {
    stream: TcpStream,
    flushes: Arc<watch::Sender<u64>>,
}

impl AsyncRead for Flushing {
    fn poll_read(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_read(context, buffer)
    }
}

impl AsyncWrite for Flushing {
    fn poll_write(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        data: &[u8],
    ) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.stream).poll_write(context, data)
    }

    fn poll_flush(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        let flushed = Pin::new(&mut self.stream).poll_flush(context);
        if flushed.is_ready() {
            self.flushes.send_modify(|count| *count += 1);
        }
        flushed
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_shutdown(context)
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        data: &[io::IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.stream).poll_write_vectored(context, data)
    }

    fn is_write_vectored(&self) -> bool {
        self.stream.is_write_vectored()
    }
}
