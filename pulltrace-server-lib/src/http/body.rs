//! Request bodies with limits and decompression, and chunked, compressed response bodies.

use std::cell::RefCell;
use std::io::{Cursor, Read as _, Write as _};
use std::time::Duration;

use axum::body::{Body, Bytes};
use axum::http::header::{CACHE_CONTROL, CONTENT_ENCODING, CONTENT_LENGTH, CONTENT_TYPE, VARY};
use axum::http::{HeaderMap, HeaderValue};
use axum::response::{IntoResponse, Response};
use flate2::bufread::GzDecoder;
use flate2::write::GzEncoder;
use futures_util::{Stream, StreamExt as _, stream};
use serde::Serialize;

use super::coding;
use crate::metrics::RejectReason;

/// Size at which a chunk of a list is sent.
pub(super) const CHUNK_SIZE: usize = 64 * 1024;

/// Limits of a request body.
#[derive(Clone, Copy, Debug)]
pub(super) struct BodyLimits {
    /// Maximum size as received.
    pub(super) max_wire_bytes: usize,
    /// Maximum size after decompression.
    pub(super) max_plain_bytes: usize,
    /// Timeout from the request head to the end of the body.
    pub(super) deadline: Duration,
}

/// Reads a JSON body, optionally compressed with gzip.
pub(super) async fn read_json(
    headers: &HeaderMap,
    body: Body,
    bounds: BodyLimits,
) -> Result<Vec<u8>, (RejectReason, String)> {
    if !is_json(headers) {
        return Err((RejectReason::ContentType, String::new()));
    }
    let packed = match headers.get(CONTENT_ENCODING).map(HeaderValue::as_bytes) {
        None | Some(b"" | b"identity") => false,
        Some(b"gzip" | b"x-gzip") => true,
        Some(_) => return Err((RejectReason::Encoding, String::new())),
    };
    // For an uncompressed body both limits apply to the same bytes.
    let wire = if packed { bounds.max_wire_bytes } else { bounds.max_plain_bytes };
    let too_large = || {
        let detail = format!(
            "expected at most {} bytes, or {} compressed with gzip",
            bounds.max_plain_bytes, bounds.max_wire_bytes
        );
        (RejectReason::TooLarge, detail)
    };
    let length = headers.get(CONTENT_LENGTH);
    let length = length.and_then(|length| length.to_str().ok()?.parse::<u64>().ok());
    if length.is_some_and(|length| length > wire as u64) {
        return Err(too_large());
    }
    let mut whole = Vec::with_capacity(length.unwrap_or_default() as usize);
    let mut pieces = body.into_data_stream();
    let reading = async {
        while let Some(piece) = pieces.next().await {
            let piece = piece
                .map_err(|_| (RejectReason::Broken, "the connection closed early".to_owned()))?;
            if whole.len() + piece.len() > wire {
                return Err(too_large());
            }
            whole.extend_from_slice(&piece);
        }
        Ok(())
    };
    tokio::time::timeout(bounds.deadline, reading).await.map_err(|_| {
        let detail = format!("not complete after {:?}", bounds.deadline);
        (RejectReason::Timeout, detail)
    })??;
    if !packed {
        return Ok(whole);
    }
    let plain = decompress(whole, bounds.max_plain_bytes)
        .map_err(|error| (RejectReason::Broken, format!("invalid gzip: {error}")))?;
    if plain.len() > bounds.max_plain_bytes {
        return Err(too_large());
    }
    Ok(plain)
}

thread_local! {
    /// Reused, because its tables take 40 KiB and most reports are far smaller.
    static DECODER: RefCell<GzDecoder<Cursor<Vec<u8>>>> =
        RefCell::new(GzDecoder::new(Cursor::new(Vec::new())));
}

/// Decompresses at most `most` bytes plus one.
fn decompress(packed: Vec<u8>, most: usize) -> std::io::Result<Vec<u8>> {
    // The gzip trailer holds the uncompressed size; it is untrusted and only a capacity hint.
    let declared = packed.last_chunk().map_or(0, |size| u32::from_le_bytes(*size));
    let mut plain = Vec::with_capacity(most.min(declared as usize) + 1);
    DECODER.with_borrow_mut(|decoder| {
        let mut rest = Cursor::new(packed);
        // A body may consist of several gzip members.
        while plain.len() <= most && (rest.position() as usize) < rest.get_ref().len() {
            decoder.reset(rest);
            let room = most + 1 - plain.len();
            let read = decoder.take(room as u64).read_to_end(&mut plain);
            rest = decoder.reset(Cursor::default());
            read?;
        }
        Ok(plain)
    })
}

/// Returns whether the content type is `application/json`, with or without parameters.
fn is_json(headers: &HeaderMap) -> bool {
    let value = headers.get(CONTENT_TYPE).and_then(|v| v.to_str().ok());
    let kind = value.and_then(|value| value.split(';').next());
    kind.is_some_and(|kind| kind.trim().eq_ignore_ascii_case("application/json"))
}

/// Responds with a value as JSON, compressed if the client accepts gzip.
pub(super) fn json_value(asked: &HeaderMap, value: &impl Serialize) -> Response {
    let text = crate::json::to_string(value);
    json_stream(asked, stream::once(std::future::ready(text)))
}

/// Responds with JSON in chunks, compressed if the client accepts gzip. Chunks are produced on
/// demand.
pub(super) fn json_stream(
    asked: &HeaderMap,
    pieces: impl Stream<Item = impl Into<Bytes> + 'static> + Send + 'static,
) -> Response {
    let pieces = pieces.map(Into::<Bytes>::into);
    let headers = [
        (CONTENT_TYPE, HeaderValue::from_static("application/json")),
        (CACHE_CONTROL, HeaderValue::from_static("no-store")),
        (VARY, HeaderValue::from_static("accept-encoding")),
    ];
    if !coding::accepts(asked, "gzip") {
        let pieces = pieces.map(Ok::<_, std::io::Error>);
        return (headers, Body::from_stream(pieces)).into_response();
    }
    let packed = async_stream::stream! {
        let mut pieces = std::pin::pin!(pieces);
        let mut encoder = GzEncoder::new(Vec::new(), flate2::Compression::fast());
        while let Some(piece) = pieces.next().await {
            if let Err(error) = encoder.write_all(&piece) {
                yield Err(error);
                return;
            }
            let ready = std::mem::take(encoder.get_mut());
            if !ready.is_empty() {
                yield Ok(Bytes::from(ready));
            }
        }
        yield encoder.finish().map(Bytes::from);
    };
    let gzip = [(CONTENT_ENCODING, HeaderValue::from_static("gzip"))];
    (headers, gzip, Body::from_stream(packed)).into_response()
}

#[cfg(test)]
mod tests {
    use super::*;

    const LIMITS: BodyLimits = BodyLimits {
        max_wire_bytes: 1_000,
        max_plain_bytes: 4_000,
        deadline: Duration::from_secs(10),
    };

    fn headers(pairs: &[(axum::http::HeaderName, &str)]) -> HeaderMap {
        let pairs = pairs.iter();
        pairs.map(|(name, value)| (name.clone(), value.parse().unwrap())).collect()
    }

    fn gzip(bytes: &[u8]) -> Vec<u8> {
        let mut encoder = GzEncoder::new(Vec::new(), flate2::Compression::best());
        encoder.write_all(bytes).unwrap();
        encoder.finish().unwrap()
    }

    async fn rejection(encoding: &str, body: Vec<u8>) -> RejectReason {
        let headers = headers(&[
            (CONTENT_TYPE, "application/json; charset=utf-8"),
            (CONTENT_ENCODING, encoding),
        ]);
        read_json(&headers, Body::from(body), LIMITS).await.unwrap_err().0
    }

    #[tokio::test]
    async fn read_rejects_oversized_and_undecodable_bodies() {
        assert_eq!(rejection("gzip", gzip(&[b' '; 4_001])).await, RejectReason::TooLarge);
        let mut twice = gzip(&[b' '; 4_000]);
        twice.extend(gzip(b"x"));
        assert_eq!(rejection("gzip", twice).await, RejectReason::TooLarge);
        assert_eq!(rejection("identity", vec![b' '; 4_001]).await, RejectReason::TooLarge);
        assert_eq!(rejection("gzip", b"no gzip".to_vec()).await, RejectReason::Broken);
        assert_eq!(rejection("br", Vec::new()).await, RejectReason::Encoding);
    }

    #[tokio::test]
    async fn read_accepts_gzip_body_at_the_limit() {
        let headers = headers(&[(CONTENT_TYPE, "Application/JSON"), (CONTENT_ENCODING, "gzip")]);
        let body = Body::from(gzip(&[b'x'; 4_000]));
        assert_eq!(read_json(&headers, body, LIMITS).await.unwrap(), vec![b'x'; 4_000]);
    }

    #[tokio::test(start_paused = true)]
    async fn read_times_out_when_body_never_ends() {
        let headers = headers(&[(CONTENT_TYPE, "application/json")]);
        let body = Body::from_stream(futures_util::stream::pending::<std::io::Result<Bytes>>());
        let (why, _) = read_json(&headers, body, LIMITS).await.unwrap_err();
        assert_eq!(why, RejectReason::Timeout);
    }
}
