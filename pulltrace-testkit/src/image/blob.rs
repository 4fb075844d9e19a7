//! The content of a blob, in memory or generated on read.

use std::sync::Arc;

use bytes::Bytes;

use super::format;
use super::lazy_gzip::LazyGzip;

/// The content of a blob.
#[derive(Debug, Clone)]
pub enum Blob {
    /// Held in memory.
    Bytes(Bytes),
    /// Generated on read, see [`Layer::lazy`](super::Layer::lazy).
    LazyGzip(Arc<LazyGzip>),
    /// Generated on read. Its digest does not match the content, so a pull of it always fails.
    Synthetic {
        /// The seed of the content.
        seed: u64,
        /// The length in bytes.
        len: u64,
    },
}

impl Blob {
    /// The length in bytes.
    #[must_use]
    pub fn len(&self) -> u64 {
        match self {
            Self::Bytes(bytes) => bytes.len() as u64,
            Self::LazyGzip(stored) => stored.len(),
            Self::Synthetic { len, .. } => *len,
        }
    }

    /// Reports whether the blob is 0 bytes long.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// Reads up to `max` bytes from `offset` on; empty past the end.
    #[must_use]
    pub fn read(&self, offset: u64, max: usize) -> Bytes {
        let rest = self.len().saturating_sub(offset);
        let n = usize::try_from(rest).map_or(max, |rest| rest.min(max));
        match self {
            Self::Bytes(bytes) => {
                let start =
                    bytes.len() - usize::try_from(rest).expect("at most the slice's length");
                bytes.slice(start..start + n)
            }
            Self::LazyGzip(stored) => stored.read(offset, n),
            Self::Synthetic { seed, .. } => {
                let mut data = vec![0; n];
                format::fill_random(*seed, offset, &mut data);
                data.into()
            }
        }
    }
}
