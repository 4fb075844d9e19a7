//! `GET /api/v1/events`: the event stream.
//!
//! Each reader holds a cursor, at most one chunk of about [`CHUNK_TARGET`] bytes and a few rows;
//! another 64 KiB are buffered by its connection. The next chunk is produced only after the
//! previous one was consumed, so a slow reader costs no more than that and delays no other reader.

mod chunk;
mod encoder;
mod reader;
mod reader_guard;

use std::convert::Infallible;
use std::sync::Arc;

use axum::body::{Body, Bytes};
use axum::extract::{RawQuery, Request, State};
use axum::http::header::{CACHE_CONTROL, CONTENT_ENCODING, CONTENT_TYPE, VARY};
use axum::http::{HeaderName, HeaderValue, Version};
use axum::response::{IntoResponse, Response};
use futures_util::{Stream, StreamExt as _, stream};
use tokio::sync::OwnedSemaphorePermit;

use super::problem::ProblemResponse;
use super::query::{FILTER_PARAMS, Filter, QueryParams};
use super::{ApiState, Connection};
use encoder::StreamEncoder;
use reader::Reader;
use reader_guard::ReaderGuard;

/// A chunk that has reached this size is sent.
const CHUNK_TARGET: usize = 64 * 1024;

/// Options of a stream, from its query parameters.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
struct StreamOptions {
    filter: Filter,
    layers: LayerMode,
    format: StreamFormat,
}

/// The representation of layers.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
enum LayerMode {
    /// Embedded in their pull.
    #[default]
    Embed,
    /// Omitted.
    None,
    /// As separate events.
    Events,
}

/// The representation of changes.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
enum StreamFormat {
    /// One event per change.
    #[default]
    Event,
    /// Frames with everything that changed since the previous frame.
    Frame,
}

impl StreamOptions {
    fn from_query(query: &QueryParams, pods: bool) -> Result<Self, ProblemResponse> {
        let layers =
            [("embed", LayerMode::Embed), ("none", LayerMode::None), ("events", LayerMode::Events)];
        let formats = [("event", StreamFormat::Event), ("frame", StreamFormat::Frame)];
        let options = Self {
            filter: Filter::from_query(query, pods)?,
            layers: query.choice("layers", &layers, LayerMode::Embed)?,
            format: query.choice("format", &formats, StreamFormat::Event)?,
        };
        if (options.format, options.layers) == (StreamFormat::Frame, LayerMode::Events) {
            return Err(ProblemResponse::invalid_query()
                .with_detail("`format=frame` does not support `layers=events`"));
        }
        Ok(options)
    }
}

/// The last change a reader has seen.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Cursor {
    epoch: String,
    seq: u64,
}

impl Cursor {
    fn parse(text: &str) -> Option<Self> {
        let (epoch, seq) = text.rsplit_once('-')?;
        Some(Self { epoch: epoch.to_owned(), seq: seq.parse().ok()? })
    }
}

pub(super) async fn get(
    State(api): State<Arc<ApiState>>,
    RawQuery(query): RawQuery,
    request: Request,
) -> Result<Response, ProblemResponse> {
    let known = [&FILTER_PARAMS[..], &["layers", "format", "since"]].concat();
    let query = QueryParams::parse(query.as_deref(), &known)?;
    let options = StreamOptions::from_query(&query, api.cluster.has_any())?;
    // `Last-Event-ID` is set by the browser on reconnect and is newer than the URL.
    let last = request.headers().get("last-event-id");
    let since = match (last, query.get("since")) {
        (Some(id), _) => Some(id.to_str().unwrap_or_default()),
        (None, since) => since,
    };
    let permit = acquire_reader_slot(&api)?;
    let reader = Reader::new(&api, options, since.map(Cursor::parse));
    let pieces = stream::unfold(reader, async |mut reader| {
        let piece = reader.next_chunk().await?;
        Some((piece, reader))
    });
    Ok(stream_response(&api, &request, permit, pieces))
}

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

#[cfg(test)]
mod tests;
