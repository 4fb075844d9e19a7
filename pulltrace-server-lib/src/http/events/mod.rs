//! `GET /api/v1/events`: the event stream.
//!
//! Each reader holds a cursor, at most one chunk of about
//! [`CHUNK_TARGET`](options::CHUNK_TARGET) bytes and a few rows; another 64 KiB are buffered by its
//! connection. The next chunk is produced only after the previous one was consumed, so a slow reader
//! costs no more than that and delays no other reader.

mod chunk;
mod options;
mod reader;

use std::sync::Arc;

use axum::extract::{RawQuery, Request, State};
use axum::response::Response;
use futures_util::stream;
use pulltrace_core::wire::v1::{Frame, PullEvent};

use self::options::{Cursor, LAST_EVENT_ID, PARAMS, SINCE, StreamOptions};
use self::reader::Reader;
use super::openapi::{Endpoint, Routes, content_any_of, response};
use super::problem::ProblemResponse;
use super::query::QueryParams;
use super::state::ApiState;
use super::stream::{acquire_reader_slot, stream_response};

pub(super) fn routes() -> Routes {
    let stream = content_any_of::<PullEvent, Frame>();
    let endpoint = Endpoint::new("followEvents", "Stream all changes")
        .description(
            "Server-sent events. Events without a name are a PullEvent, events named `frame` a \
             Frame (with format=frame). `snapshot-end`, `reset` and `ping` control the stream. \
             Event ids are `<epoch>-<seq>`.",
        )
        .params(&PARAMS)
        .response("200", response("The stream.").content("text/event-stream", stream))
        .or_problem();
    Routes::default().get("/api/v1/events", get, endpoint)
}

async fn get(
    State(api): State<Arc<ApiState>>,
    RawQuery(query): RawQuery,
    request: Request,
) -> Result<Response, ProblemResponse> {
    let query = QueryParams::parse(query.as_deref(), &PARAMS)?;
    let options = StreamOptions::from_query(&query, api.cluster.has_any())?;
    // `Last-Event-ID` is set by the browser on reconnect and is newer than the URL.
    let last = request.headers().get(LAST_EVENT_ID.name);
    let since = match (last, query.get(&SINCE)) {
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

#[cfg(test)]
mod tests;
