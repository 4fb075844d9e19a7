//! Responses with an event stream.

mod encoder;
mod reader_guard;

use std::convert::Infallible;
use std::sync::Arc;

use axum::body::{Body, Bytes};
use axum::extract::Request;
use axum::http::header::{CACHE_CONTROL, CONTENT_ENCODING, CONTENT_TYPE, VARY};
use axum::http::{HeaderName, HeaderValue, Version};
use axum::response::{IntoResponse as _, Response};
use futures_util::{Stream, StreamExt as _};
use tokio::sync::OwnedSemaphorePermit;

use self::encoder::StreamEncoder;
use self::reader_guard::ReaderGuard;
use super::connection::Connection;
use super::problem::ProblemResponse;
use super::state::ApiState;

/// Acquires one of the limited reader slots.
pub(super) fn acquire_reader_slot(api: &ApiState) -> Result<OwnedSemaphorePermit, ProblemResponse> {
    Arc::clone(&api.reader_slots).try_acquire_owned().map_err(|_| {
        api.counters.readers_refused.add(1);
        ProblemResponse::unavailable("readers", "Too many readers")
    })
}

/// Responds with an event stream. Each chunk is requested only after the previous one was consumed.
pub(super) fn stream_response(
    api: &ApiState,
    request: &Request,
    place: OwnedSemaphorePermit,
    pieces: impl Stream<Item = String> + Send + 'static,
) -> Response {
    let connection = request.extensions().get::<Arc<Connection>>().cloned();
    // For HTTP/1, the connection's own write timeout detects a stalled reader.
    let watched = connection.is_some() && request.version() == Version::HTTP_2;
    let patience = watched.then_some(api.limits.reader_idle_timeout);
    let mut guard = ReaderGuard::new(Arc::clone(&api.counters), connection, patience);
    let mut encoder = StreamEncoder::new(api, request.headers());
    let coding = encoder.as_ref().map(|_| (CONTENT_ENCODING, HeaderValue::from_static("gzip")));
    let stream = async_stream::stream! {
        let _place = place;
        let mut pieces = std::pin::pin!(pieces);
        while let Some(piece) = pieces.next().await {
            guard.chunk_yielded();
            yield Ok::<Bytes, Infallible>(match &mut encoder {
                Some(packer) => packer.encode(&piece),
                None => Bytes::from(piece),
            });
            guard.chunk_consumed();
        }
        if let Some(packer) = encoder {
            yield Ok(packer.finish());
        }
    };
    let headers = [
        (CONTENT_TYPE, HeaderValue::from_static("text/event-stream")),
        (CACHE_CONTROL, HeaderValue::from_static("no-store")),
        (VARY, HeaderValue::from_static("accept-encoding")),
        (HeaderName::from_static("x-accel-buffering"), HeaderValue::from_static("no")),
    ];
    let mut answer = (headers, Body::from_stream(stream)).into_response();
    answer.headers_mut().extend(coding);
    answer
}
