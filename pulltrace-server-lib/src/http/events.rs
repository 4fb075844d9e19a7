//! `GET /api/v1/events`: what happens, as it happens.
//!
//! A reader holds a cursor, and at most one piece of text of [`CHUNK`] bytes and a few rows; another
//! 64 KiB wait in its connection. It is asked for the next piece only when the one before is on its
//! way, so one that does not read costs no more than that, and slows nobody.

mod chunk;
mod pack;
mod reader;
mod watch;

use std::convert::Infallible;
use std::sync::Arc;

use axum::body::{Body, Bytes};
use axum::extract::{RawQuery, Request, State};
use axum::http::header::{CACHE_CONTROL, CONTENT_ENCODING, CONTENT_TYPE, VARY};
use axum::http::{HeaderName, HeaderValue, Version};
use axum::response::{IntoResponse, Response};
use futures_util::{Stream, StreamExt as _, stream};
use tokio::sync::OwnedSemaphorePermit;

use super::problem::Refusal;
use super::query::{FILTERS, Filter, Query};
use super::{Api, Link};
use pack::Packer;
use reader::Reader;
use watch::Guard;

/// A piece of text that is this long gets no longer.
const CHUNK: usize = 64 * 1024;

/// What a reader asked for.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
struct Options {
    filter: Filter,
    layers: Layers,
    format: Format,
}

/// How layers are told.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
enum Layers {
    /// Inside their pull.
    #[default]
    Embed,
    /// Not at all.
    None,
    /// By events of their own.
    Events,
}

/// How changes are told.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
enum Format {
    /// An event per change.
    #[default]
    Event,
    /// What changed since the last frame.
    Frame,
}

impl Options {
    fn of(query: &Query, pods: bool) -> Result<Self, Refusal> {
        let layers = [
            ("embed", Layers::Embed),
            ("none", Layers::None),
            ("events", Layers::Events),
        ];
        let formats = [("event", Format::Event), ("frame", Format::Frame)];
        let options = Self {
            filter: Filter::of(query, pods)?,
            layers: query.word("layers", &layers, Layers::Embed)?,
            format: query.word("format", &formats, Format::Event)?,
        };
        if (options.format, options.layers) == (Format::Frame, Layers::Events) {
            return Err(Refusal::query().detail("frames have no events of layers"));
        }
        Ok(options)
    }
}

/// The last change that a reader has seen.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Cursor {
    epoch: String,
    seq: u64,
}

impl Cursor {
    fn parse(text: &str) -> Option<Self> {
        let (epoch, seq) = text.rsplit_once('-')?;
        Some(Self {
            epoch: epoch.to_owned(),
            seq: seq.parse().ok()?,
        })
    }
}

pub(super) async fn get(
    State(api): State<Arc<Api>>,
    RawQuery(query): RawQuery,
    request: Request,
) -> Result<Response, Refusal> {
    let known = [&FILTERS[..], &["layers", "format", "since"]].concat();
    let query = Query::parse(query.as_deref(), &known)?;
    let options = Options::of(&query, api.cluster.is_any())?;
    // What a browser sends by itself is newer than the address that it was given.
    let last = request.headers().get("last-event-id");
    let since = match (last, query.get("since")) {
        (Some(id), _) => Some(id.to_str().unwrap_or_default()),
        (None, since) => since,
    };
    let place = place(&api)?;
    let reader = Reader::new(&api, options, since.map(Cursor::parse));
    let pieces = stream::unfold(reader, async |mut reader| {
        let piece = reader.next().await?;
        Some((piece, reader))
    });
    Ok(answer(&api, &request, place, pieces))
}

/// Room for one more reader.
pub(super) fn place(api: &Api) -> Result<OwnedSemaphorePermit, Refusal> {
    Arc::clone(&api.places).try_acquire_owned().map_err(|_| {
        api.stats.readers_refused.add(1);
        Refusal::full("readers", "There are as many readers as there may be")
    })
}

/// A stream of events whose pieces are asked for one by one, when the one before is on its way.
pub(super) fn answer(
    api: &Api,
    request: &Request,
    place: OwnedSemaphorePermit,
    pieces: impl Stream<Item = String> + Send + 'static,
) -> Response {
    let link = request.extensions().get::<Arc<Link>>().cloned();
    // Over HTTP/1 the connection itself sees that nothing is accepted.
    let watched = link.is_some() && request.version() == Version::HTTP_2;
    let patience = watched.then_some(api.limits.reader_idle);
    let mut guard = Guard::new(Arc::clone(&api.stats), link, patience);
    let mut packer = Packer::new(api, request.headers());
    let coding = packer
        .as_ref()
        .map(|_| (CONTENT_ENCODING, HeaderValue::from_static("gzip")));
    let stream = async_stream::stream! {
        let _place = place;
        let mut pieces = std::pin::pin!(pieces);
        while let Some(piece) = pieces.next().await {
            guard.handed_over();
            yield Ok::<Bytes, Infallible>(match &mut packer {
                Some(packer) => packer.pack(&piece),
                None => Bytes::from(piece),
            });
            guard.taken();
        }
        if let Some(packer) = packer {
            yield Ok(packer.end());
        }
    };
    let headers = [
        (CONTENT_TYPE, HeaderValue::from_static("text/event-stream")),
        (CACHE_CONTROL, HeaderValue::from_static("no-store")),
        (VARY, HeaderValue::from_static("accept-encoding")),
        (
            HeaderName::from_static("x-accel-buffering"),
            HeaderValue::from_static("no"),
        ),
    ];
    let mut answer = (headers, Body::from_stream(stream)).into_response();
    answer.headers_mut().extend(coding);
    answer
}

#[cfg(test)]
mod tests;
