//! HTTP: resolves requests and sends the responses in chunks, as the faults allow.

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

use super::fault::{NextAction, Refusal};
use super::lock::lock;
use super::log::{Request, RequestKind, ResponseEnd};
use super::state::SharedState;
use crate::clock;
use crate::image::Blob;

/// The largest chunk that is sent at once.
const MAX_CHUNK: u64 = 64 * 1024;

const CONTENT_DIGEST: HeaderName = HeaderName::from_static("docker-content-digest");
const API_VERSION: HeaderName = HeaderName::from_static("docker-distribution-api-version");

type Body = UnsyncBoxBody<Bytes, io::Error>;

/// Serves until `stopped` resolves, then drops all connections.
pub(super) async fn run(
    listener: std::net::TcpListener,
    state: Arc<SharedState>,
    mut stopped: oneshot::Receiver<()>,
) {
    let listener = TcpListener::from_std(listener).expect("the listener is non-blocking");
    let mut connections = JoinSet::new();
    loop {
        tokio::select! {
            _ = &mut stopped => return,
            accepted = listener.accept() => match accepted {
                Ok((stream, _)) => {
                    connections.spawn(connection(stream, Arc::clone(&state)));
                }
                // The client has already disconnected, or file descriptors are short: try again.
                Err(_) => tokio::task::yield_now().await,
            },
            Some(_) = connections.join_next() => {}
        }
    }
}

async fn connection(stream: TcpStream, state: Arc<SharedState>) {
    let flushes = Arc::new(watch::Sender::new(0));
    let stream = FlushCountingStream { stream, flushes: Arc::clone(&flushes) };
    let service = service_fn(|request| {
        let state = Arc::clone(&state);
        let flushes = Arc::clone(&flushes);
        async move { Ok::<_, Infallible>(respond(&request, state, flushes).await) }
    });
    let served = hyper::server::conn::http1::Builder::new()
        .serve_connection(TokioIo::new(stream), service)
        .await;
    // An error means that the client disconnected or that the response was cut, both of which the
    // log records.
    drop(served);
}

async fn respond(
    request: &hyper::Request<Incoming>,
    state: Arc<SharedState>,
    flushes: Arc<watch::Sender<u64>>,
) -> Response<Body> {
    let (mut record, found) = resolve(request, &state);
    let head = request.method() == Method::HEAD;
    let range = match &found {
        Resource::Blob { blob, .. } => parse_range(request, blob.len()),
        Resource::Document { .. } | Resource::Base | Resource::NotFound(_) => Range::Whole,
    };
    if let Range::Partial { start, end } = range {
        record.range_start = Some(start);
        record.range_end = Some(end);
    }
    let number = state.log.add(record.clone());
    let mut running = ResponseRecorder { state: Arc::clone(&state), number, ended: false };

    while let Some(silence) = state.faults.silence_for(&record) {
        silence.wait().await;
    }
    if let Some(refusal) = state.faults.refusal_for(&record) {
        running.set_status(refusal.status);
        running.finish(ResponseEnd::Complete);
        return refusal_response(&refusal, head);
    }
    let (response, blob, start, end) = match found {
        Resource::Base => (ok_builder(), Blob::Bytes(Bytes::from_static(b"{}")), 0, 2),
        Resource::NotFound(code) => {
            running.set_status(404);
            running.finish(ResponseEnd::Complete);
            return error_response(Response::builder().status(404), code, head);
        }
        Resource::Document { media_type, digest, data } => {
            let response =
                ok_builder().header(CONTENT_TYPE, media_type).header(CONTENT_DIGEST, digest);
            let len = data.len() as u64;
            (response, Blob::Bytes(data), 0, len)
        }
        Resource::Blob { digest, blob } => {
            let len = blob.len();
            let response = Response::builder()
                .header(CONTENT_TYPE, "application/octet-stream")
                .header(CONTENT_DIGEST, digest)
                .header(ACCEPT_RANGES, "bytes");
            match range {
                Range::Whole => (response.status(StatusCode::OK), blob, 0, len),
                Range::Partial { start, end } => {
                    let part = format!("bytes {start}-{}/{len}", end - 1);
                    let response =
                        response.status(StatusCode::PARTIAL_CONTENT).header(CONTENT_RANGE, part);
                    (response, blob, start, end)
                }
                Range::Unsatisfiable => {
                    running.set_status(416);
                    running.finish(ResponseEnd::Complete);
                    let response = Response::builder()
                        .status(StatusCode::RANGE_NOT_SATISFIABLE)
                        .header(CONTENT_RANGE, format!("bytes */{len}"));
                    return error_response(response, "RANGE_INVALID", head);
                }
            }
        }
    };
    let response = response.header(CONTENT_LENGTH, end - start);
    let status = response
        .headers_ref()
        .map_or(200, |headers| if headers.contains_key(CONTENT_RANGE) { 206 } else { 200 });
    running.set_status(status);
    let body = if head || start == end {
        running.finish(ResponseEnd::Complete);
        empty_body()
    } else {
        stream_body(record, running, flushes, blob, start, end)
    };
    response.body(body).expect("the response is valid")
}

/// Sends the bytes `start..end` of `blob` as the faults allow.
fn stream_body(
    record: Request,
    mut running: ResponseRecorder,
    flushes: Arc<watch::Sender<u64>>,
    blob: Blob,
    start: u64,
    end: u64,
) -> Body {
    let stream = async_stream::try_stream! {
        let state = Arc::clone(&running.state);
        let mut offset = start;
        while offset < end {
            match state.faults.next_action(&record, offset) {
                NextAction::Wait(standing) => {
                    wait_for_flush(&flushes).await;
                    standing.wait().await;
                }
                NextAction::Cut => {
                    wait_for_flush(&flushes).await;
                    running.finish(ResponseEnd::Cut);
                    Err(io::Error::from(io::ErrorKind::ConnectionAborted))?;
                }
                NextAction::Send { max, limiters } => {
                    let mut len = max.min(end - offset).min(MAX_CHUNK);
                    for limiter in &limiters {
                        len = len.min(limiter.chunk_len());
                    }
                    for limiter in &limiters {
                        limiter.admit(len).await;
                    }
                    let mut data = blob.read(offset, usize::try_from(len).expect("a piece"));
                    if state.faults.would_corrupt(&record, offset, data.len()) {
                        let mut changed = data.to_vec();
                        state.faults.corrupt_bytes(&record, offset, &mut changed);
                        data = changed.into();
                    }
                    offset += len;
                    running.add_sent(len);
                    if offset == end {
                        // hyper does not poll the body again after the last byte.
                        running.finish(ResponseEnd::Complete);
                    }
                    yield Frame::data(data);
                }
            }
        }
    };
    StreamBody::new(stream).boxed_unsync()
}

/// Waits until all data passed to hyper has been passed to the network.
async fn wait_for_flush(flushes: &watch::Sender<u64>) {
    let mut seen = flushes.subscribe();
    seen.mark_unchanged();
    // hyper flushes as soon as the body is pending.
    let alive = seen.changed().await;
    debug_assert!(alive.is_ok(), "the connection was dropped before its body");
}

enum Resource {
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
    /// Not found, with the error code of the OCI distribution specification.
    NotFound(&'static str),
}

fn resolve(request: &hyper::Request<Incoming>, state: &SharedState) -> (Request, Resource) {
    let mut record = Request {
        received_at: clock::now(),
        method: request.method().to_string(),
        path: request.uri().to_string(),
        kind: RequestKind::Other,
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
        return (record, Resource::NotFound("UNSUPPORTED"));
    };
    if path.is_empty() {
        return (record, Resource::Base);
    }
    let parts = [
        ("/manifests/", RequestKind::Manifest, "MANIFEST_UNKNOWN"),
        ("/blobs/", RequestKind::Blob, "BLOB_UNKNOWN"),
    ]
    .into_iter()
    .find_map(|(infix, kind, unknown)| {
        let (repository, reference) = path.rsplit_once(infix)?;
        Some((repository, reference, kind, unknown))
    });
    let Some((repository, reference, kind, unknown)) = parts else {
        return (record, Resource::NotFound("UNSUPPORTED"));
    };
    record.kind = kind;
    record.repository = Some(repository.to_owned());
    record.reference = Some(reference.to_owned());
    let content = lock(&state.content);
    let Some(repo) = content.repositories.get(repository) else {
        return (record, Resource::NotFound("NAME_UNKNOWN"));
    };
    let digest = repo.tags.get(reference).map_or(reference, String::as_str);
    let found = match kind {
        RequestKind::Manifest => {
            repo.documents.get(digest).map(|(media_type, data)| Resource::Document {
                media_type: media_type.clone(),
                digest: digest.to_owned(),
                data: data.clone(),
            })
        }
        RequestKind::Blob | RequestKind::Other => content
            .blobs
            .get(reference)
            .filter(|_| repo.blobs.contains(reference))
            .map(|blob| Resource::Blob { digest: reference.to_owned(), blob: blob.clone() }),
    };
    match found {
        Some(found) => {
            record.digest = Some(digest.to_owned());
            (record, found)
        }
        None => (record, Resource::NotFound(unknown)),
    }
}

#[derive(Debug, Clone, Copy)]
enum Range {
    Whole,
    Partial { start: u64, end: u64 },
    Unsatisfiable,
}

/// Parses the range header. Anything but a single byte range is ignored, as HTTP allows.
fn parse_range(request: &hyper::Request<Incoming>, len: u64) -> Range {
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
    if start < end { Range::Partial { start, end } } else { Range::Unsatisfiable }
}

fn ok_builder() -> Builder {
    Response::builder().status(StatusCode::OK).header(API_VERSION, "registry/2.0")
}

fn refusal_response(refusal: &Refusal, head: bool) -> Response<Body> {
    let mut response = Response::builder().status(refusal.status);
    for (name, value) in &refusal.headers {
        response = response.header(name, value);
    }
    error_response(response, "REFUSED", head)
}

fn error_response(response: Builder, code: &str, head: bool) -> Response<Body> {
    let text = serde_json::json!({
        "errors": [{ "code": code, "message": "refused by the test registry" }],
    })
    .to_string();
    let response = response
        .header(CONTENT_TYPE, HeaderValue::from_static("application/json"))
        .header(CONTENT_LENGTH, text.len());
    let body = if head { empty_body() } else { full_body(text) };
    response.body(body).expect("the response is valid")
}

fn full_body(data: impl Into<Bytes>) -> Body {
    Full::new(data.into()).map_err(|never| match never {}).boxed_unsync()
}

fn empty_body() -> Body {
    full_body(Bytes::new())
}

/// Updates the log entry of a response, including when the response is dropped midway.
struct ResponseRecorder {
    state: Arc<SharedState>,
    number: u64,
    ended: bool,
}

impl ResponseRecorder {
    fn set_status(&self, status: u16) {
        self.state.log.update(self.number, |request| request.status = Some(status));
    }

    fn add_sent(&self, bytes: u64) {
        self.state.log.update(self.number, |request| request.sent += bytes);
    }

    fn finish(&mut self, end: ResponseEnd) {
        self.ended = true;
        self.state.log.update(self.number, |request| request.end = Some(end));
    }
}

impl Drop for ResponseRecorder {
    fn drop(&mut self) {
        if !self.ended {
            self.finish(ResponseEnd::Abandoned);
        }
    }
}

/// A connection that counts the completed flushes of its writer.
struct FlushCountingStream {
    stream: TcpStream,
    flushes: Arc<watch::Sender<u64>>,
}

impl AsyncRead for FlushCountingStream {
    fn poll_read(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_read(context, buffer)
    }
}

impl AsyncWrite for FlushCountingStream {
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
