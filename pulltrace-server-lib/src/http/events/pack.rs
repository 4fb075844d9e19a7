//! The stream as gzip, each piece of which can be unpacked when it comes.

use std::io::Write as _;
use std::sync::Arc;

use axum::body::Bytes;
use axum::http::HeaderMap;
use flate2::write::GzEncoder;
use tokio::sync::OwnedSemaphorePermit;

use crate::http::{Api, coding};

/// Packs for one reader: what comes again and again is told by where it came before.
pub(super) struct Packer {
    gzip: GzEncoder<Vec<u8>>,
    _place: OwnedSemaphorePermit,
}

impl Packer {
    /// For a reader that takes it, while there is room for one more.
    pub(super) fn new(api: &Api, asked: &HeaderMap) -> Option<Self> {
        if !coding::takes(asked, "gzip") {
            return None;
        }
        let Ok(place) = Arc::clone(&api.packers).try_acquire_owned() else {
            api.stats.readers_unpacked.add(1);
            return None;
        };
        Some(Self {
            _place: place,
            gzip: GzEncoder::new(Vec::new(), flate2::Compression::fast()),
        })
    }

    /// All of this piece: nothing is held back for the next one.
    pub(super) fn pack(&mut self, piece: &str) -> Bytes {
        let packed = self.gzip.write_all(piece.as_bytes());
        let packed = packed.and_then(|()| self.gzip.flush());
        packed.expect("a Vec takes all");
        std::mem::take(self.gzip.get_mut()).into()
    }

    /// What says that nothing comes any more.
    pub(super) fn end(self) -> Bytes {
        self.gzip.finish().expect("a Vec takes all").into()
    }
}
