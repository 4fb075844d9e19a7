//! Gzip compression of the event stream; every chunk can be decompressed on arrival.

use std::io::Write as _;
use std::sync::Arc;

use axum::body::Bytes;
use axum::http::HeaderMap;
use flate2::write::GzEncoder;
use tokio::sync::OwnedSemaphorePermit;

use crate::http::coding;
use crate::http::state::ApiState;

/// Compresses the stream of one reader.
pub(super) struct StreamEncoder {
    gzip: GzEncoder<Vec<u8>>,
    _slot: OwnedSemaphorePermit,
}

impl StreamEncoder {
    /// Returns an encoder if the client accepts gzip and a slot is free.
    pub(super) fn new(api: &ApiState, asked: &HeaderMap) -> Option<Self> {
        if !coding::accepts(asked, "gzip") {
            return None;
        }
        let Ok(permit) = Arc::clone(&api.encoder_slots).try_acquire_owned() else {
            api.counters.readers_uncompressed.add(1);
            return None;
        };
        Some(Self { _slot: permit, gzip: GzEncoder::new(Vec::new(), flate2::Compression::fast()) })
    }

    /// Compresses a chunk and flushes it completely.
    pub(super) fn encode(&mut self, piece: &str) -> Bytes {
        let packed = self.gzip.write_all(piece.as_bytes());
        let packed = packed.and_then(|()| self.gzip.flush());
        packed.expect("writing to a Vec never fails");
        std::mem::take(self.gzip.get_mut()).into()
    }

    /// Returns the gzip trailer.
    pub(super) fn finish(self) -> Bytes {
        self.gzip.finish().expect("writing to a Vec never fails").into()
    }
}
