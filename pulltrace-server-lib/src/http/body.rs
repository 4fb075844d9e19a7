//! Bodies: read within bounds and unpacked; written in pieces and packed.

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
use crate::metrics::Rejected;

/// A piece of a list that is handed over at once.
pub(super) const PIECE: usize = 64 * 1024;

/// The bounds of a body that is read.
#[derive(Clone, Copy, Debug)]
pub(super) struct Bounds {
    /// As it comes.
    pub(super) wire: usize,
    /// As it is when unpacked.
    pub(super) plain: usize,
    /// From the head of the request to the end of its body.
    pub(super) deadline: Duration,
}

/// Reads a body of JSON, which may be packed by gzip.
pub(super) async fn read(
    headers: &HeaderMap,
    body: Body,
    bounds: Bounds,
) -> Result<Vec<u8>, (Rejected, String)> {
    if !is_json(headers) {
        return Err((Rejected::ContentType, String::new()));
    }
    let packed = match headers.get(CONTENT_ENCODING).map(HeaderValue::as_bytes) {
        None | Some(b"" | b"identity") => false,
        Some(b"gzip" | b"x-gzip") => true,
        Some(_) => return Err((Rejected::Encoding, String::new())),
    };
    // Unpacked, both bounds are of the same bytes.
    let wire = if packed { bounds.wire } else { bounds.plain };
    let too_large = || {
        let detail = format!(
            "at most {} bytes are accepted, or {} packed by gzip",
            bounds.plain, bounds.wire
        );
        (Rejected::TooLarge, detail)
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
            let piece = piece.map_err(|_| (Rejected::Broken, "it broke off".to_owned()))?;
            if whole.len() + piece.len() > wire {
                return Err(too_large());
            }
            whole.extend_from_slice(&piece);
        }
        Ok(())
    };
    tokio::time::timeout(bounds.deadline, reading)
        .await
        .map_err(|_| {
            let detail = format!("it may take {:?}", bounds.deadline);
            (Rejected::Timeout, detail)
        })??;
    if !packed {
        return Ok(whole);
    }
    let plain = unpack(whole, bounds.plain)
        .map_err(|error| (Rejected::Broken, format!("it is no gzip: {error}")))?;
    if plain.len() > bounds.plain {
        return Err(too_large());
    }
    Ok(plain)
}

thread_local! {
    /// Its tables have 40 KiB, and most reports are far smaller.
    static UNPACKER: RefCell<GzDecoder<Cursor<Vec<u8>>>> =
        RefCell::new(GzDecoder::new(Cursor::new(Vec::new())));
}

/// What was packed, but at most one byte more than `most`.
fn unpack(packed: Vec<u8>, most: usize) -> std::io::Result<Vec<u8>> {
    // The last four bytes say how much it is, if they are honest.
    let told = packed
        .last_chunk()
        .map_or(0, |told| u32::from_le_bytes(*told));
    let mut plain = Vec::with_capacity(most.min(told as usize) + 1);
    UNPACKER.with_borrow_mut(|unpacker| {
        let mut rest = Cursor::new(packed);
        // A body may be packed in several pieces.
        while plain.len() <= most && (rest.position() as usize) < rest.get_ref().len() {
            unpacker.reset(rest);
            let room = most + 1 - plain.len();
            let read = unpacker.take(room as u64).read_to_end(&mut plain);
            rest = unpacker.reset(Cursor::default());
            read?;
        }
        Ok(plain)
    })
}

/// `application/json`, with parameters or without.
fn is_json(headers: &HeaderMap) -> bool {
    let value = headers.get(CONTENT_TYPE).and_then(|v| v.to_str().ok());
    let kind = value.and_then(|value| value.split(';').next());
    kind.is_some_and(|kind| kind.trim().eq_ignore_ascii_case("application/json"))
}

/// A value of the wire as JSON, packed where the reader takes that.
pub(super) fn told(asked: &HeaderMap, value: &impl Serialize) -> Response {
    let text = crate::json::text(value);
    json(asked, stream::once(std::future::ready(text)))
}

/// JSON in pieces, packed where the reader takes that. A piece is made when the one before is gone.
pub(super) fn json(
    asked: &HeaderMap,
    pieces: impl Stream<Item = String> + Send + 'static,
) -> Response {
    let headers = [
        (CONTENT_TYPE, HeaderValue::from_static("application/json")),
        (CACHE_CONTROL, HeaderValue::from_static("no-store")),
        (VARY, HeaderValue::from_static("accept-encoding")),
    ];
    if !coding::takes(asked, "gzip") {
        let pieces = pieces.map(|piece| Ok::<_, std::io::Error>(Bytes::from(piece)));
        return (headers, Body::from_stream(pieces)).into_response();
    }
    let packed = async_stream::stream! {
        let mut pieces = std::pin::pin!(pieces);
        let mut packer = GzEncoder::new(Vec::new(), flate2::Compression::fast());
        while let Some(piece) = pieces.next().await {
            if let Err(error) = packer.write_all(piece.as_bytes()) {
                yield Err(error);
                return;
            }
            let ready = std::mem::take(packer.get_mut());
            if !ready.is_empty() {
                yield Ok(Bytes::from(ready));
            }
        }
        yield packer.finish().map(Bytes::from);
    };
    let gzip = [(CONTENT_ENCODING, HeaderValue::from_static("gzip"))];
    (headers, gzip, Body::from_stream(packed)).into_response()
}

#[cfg(test)]
mod tests {
    use super::*;

    const BOUNDS: Bounds = Bounds {
        wire: 1_000,
        plain: 4_000,
        deadline: Duration::from_secs(10),
    };

    fn headers(pairs: &[(axum::http::HeaderName, &str)]) -> HeaderMap {
        let pairs = pairs.iter();
        pairs
            .map(|(name, value)| (name.clone(), value.parse().unwrap()))
            .collect()
    }

    fn gzip(bytes: &[u8]) -> Vec<u8> {
        let mut packer = GzEncoder::new(Vec::new(), flate2::Compression::best());
        packer.write_all(bytes).unwrap();
        packer.finish().unwrap()
    }

    async fn refused(encoding: &str, body: Vec<u8>) -> Rejected {
        let headers = headers(&[
            (CONTENT_TYPE, "application/json; charset=utf-8"),
            (CONTENT_ENCODING, encoding),
        ]);
        read(&headers, Body::from(body), BOUNDS)
            .await
            .unwrap_err()
            .0
    }

    #[tokio::test]
    async fn what_unpacks_to_too_much_is_refused_however_small_it_is() {
        assert_eq!(
            refused("gzip", gzip(&[b' '; 4_001])).await,
            Rejected::TooLarge
        );
        let mut twice = gzip(&[b' '; 4_000]);
        twice.extend(gzip(b"x"));
        assert_eq!(refused("gzip", twice).await, Rejected::TooLarge);
        assert_eq!(
            refused("identity", vec![b' '; 4_001]).await,
            Rejected::TooLarge
        );
        assert_eq!(refused("gzip", b"no gzip".to_vec()).await, Rejected::Broken);
        assert_eq!(refused("br", Vec::new()).await, Rejected::Encoding);
    }

    #[tokio::test]
    async fn what_fits_is_read() {
        let headers = headers(&[
            (CONTENT_TYPE, "Application/JSON"),
            (CONTENT_ENCODING, "gzip"),
        ]);
        let body = Body::from(gzip(&[b'x'; 4_000]));
        assert_eq!(
            read(&headers, body, BOUNDS).await.unwrap(),
            vec![b'x'; 4_000]
        );
    }

    #[tokio::test(start_paused = true)]
    async fn a_body_that_does_not_end_is_waited_for_only_so_long() {
        let headers = headers(&[(CONTENT_TYPE, "application/json")]);
        let body = Body::from_stream(futures_util::stream::pending::<std::io::Result<Bytes>>());
        let (why, _) = read(&headers, body, BOUNDS).await.unwrap_err();
        assert_eq!(why, Rejected::Timeout);
    }
}
