//! The bytes of a gzip layer with one random file, made while they are read:
//! any part of it without the part before, and none of it kept in memory.

use bytes::Bytes;
use flate2::Crc;
use sha2::{Digest as _, Sha256};

use super::layer::{BLOCK_HEADER, BLOCK_MAX, TAR_BLOCK, fill_random};
use super::{hex, layer};

/// How much is made at once for a digest.
const PIECE: usize = 1 << 20;
/// A stored block with its header.
const BLOCK: u64 = BLOCK_HEADER + BLOCK_MAX as u64;

/// Where which bytes of the layer stand.
#[derive(Debug)]
pub struct Stored {
    seed: u64,
    tar_header: [u8; TAR_BLOCK as usize],
    /// Length of the random file.
    content: u64,
    /// Length of the tar file.
    tar: u64,
    gzip_header: Vec<u8>,
    /// Checksum and length of the tar file, at the end.
    trailer: [u8; 8],
    diff_id: String,
}

impl Stored {
    /// A layer of exactly `size` bytes with the file `name`. Reads it once.
    pub(super) fn new(name: &str, size: u64) -> Self {
        let tar = layer::tar_size_within(size);
        let content = tar - super::MIN_TAR_SIZE;
        let mut stored = Self {
            seed: layer::seed(name),
            tar_header: layer::tar_header(&format!("{name}.bin"), content),
            content,
            tar,
            gzip_header: layer::gzip_header(tar, size),
            trailer: [0; 8],
            diff_id: String::new(),
        };
        let (mut crc, mut hash) = (Crc::new(), Sha256::new());
        stored.pieces(tar, Self::fill_tar, |piece| {
            crc.update(piece);
            hash.update(piece);
        });
        stored.trailer[..4].copy_from_slice(&crc.sum().to_le_bytes());
        stored.trailer[4..].copy_from_slice(&crc.amount().to_le_bytes());
        stored.diff_id = hex(&hash.finalize());
        stored
    }

    /// Length of the layer in bytes.
    pub(super) fn len(&self) -> u64 {
        self.gzip_header.len() as u64 + self.body() + self.trailer.len() as u64
    }

    /// Digest of the layer; reads all of it.
    pub(super) fn digest(&self) -> String {
        let mut hash = Sha256::new();
        self.pieces(self.len(), Self::fill, |piece| hash.update(piece));
        hex(&hash.finalize())
    }

    /// Digest of the tar file.
    pub(super) fn diff_id(&self) -> &str {
        &self.diff_id
    }

    /// The `count` bytes from `offset` on, which must all be there.
    pub(super) fn read(&self, offset: u64, count: usize) -> Bytes {
        let mut data = vec![0; count];
        self.fill(offset, &mut data);
        data.into()
    }

    /// Length of the stored blocks.
    fn body(&self) -> u64 {
        self.tar + BLOCK_HEADER * self.tar.div_ceil(BLOCK_MAX as u64)
    }

    fn pieces(&self, len: u64, fill: fn(&Self, u64, &mut [u8]), mut take: impl FnMut(&[u8])) {
        let mut piece = vec![0; PIECE];
        let mut offset = 0;
        while offset < len {
            let n = usize::try_from(len - offset).map_or(PIECE, |rest| rest.min(PIECE));
            fill(self, offset, &mut piece[..n]);
            take(&piece[..n]);
            offset += n as u64;
        }
    }

    fn fill(&self, mut offset: u64, mut data: &mut [u8]) {
        let (head, body) = (self.gzip_header.len() as u64, self.body());
        while !data.is_empty() {
            // What stands at the offset, and how much of it is left there.
            let n = if offset < head {
                copy(&self.gzip_header, offset, data)
            } else if offset < head + body {
                let (block, at) = ((offset - head) / BLOCK, (offset - head) % BLOCK);
                let start = block * BLOCK_MAX as u64;
                let len = (self.tar - start).min(BLOCK_MAX as u64);
                if at < BLOCK_HEADER {
                    let last = start + len == self.tar;
                    copy(&layer::block_header(len, last), at, data)
                } else {
                    let rest = len - (at - BLOCK_HEADER);
                    let n = usize::try_from(rest).map_or(data.len(), |rest| rest.min(data.len()));
                    self.fill_tar(start + at - BLOCK_HEADER, &mut data[..n]);
                    n
                }
            } else {
                copy(&self.trailer, offset - head - body, data)
            };
            offset += n as u64;
            data = &mut data[n..];
        }
    }

    fn fill_tar(&self, mut offset: u64, mut data: &mut [u8]) {
        let end = TAR_BLOCK + self.content;
        while !data.is_empty() {
            let n = if offset < TAR_BLOCK {
                copy(&self.tar_header, offset, data)
            } else if offset < end {
                let rest = end - offset;
                let n = usize::try_from(rest).map_or(data.len(), |rest| rest.min(data.len()));
                fill_random(self.seed, offset - TAR_BLOCK, &mut data[..n]);
                n
            } else {
                data.fill(0);
                data.len()
            };
            offset += n as u64;
            data = &mut data[n..];
        }
    }
}

/// Copies what stands in `from` at `offset`, and returns how much that is.
fn copy(from: &[u8], offset: u64, to: &mut [u8]) -> usize {
    let rest = usize::try_from(offset)
        .ok()
        .and_then(|offset| from.get(offset..))
        .expect("an offset within");
    let n = rest.len().min(to.len());
    to[..n].copy_from_slice(&rest[..n]);
    n
}

#[cfg(test)]
mod tests {
    use super::super::{Layer, MIN_GZIP_SIZE};

    #[test]
    fn what_is_made_while_it_is_read_is_the_same_as_what_is_kept() {
        let around_a_block = 65_535 + 18 + 5;
        let sizes = (MIN_GZIP_SIZE..MIN_GZIP_SIZE + 1100)
            .step_by(13)
            .chain((around_a_block - 1040..around_a_block + 1040).step_by(3))
            .chain([1 << 20, (1 << 20) + 1, 3_333_333]);
        for size in sizes {
            let (kept, made) = (Layer::random("a", size), Layer::made_when_read("a", size));
            assert_eq!(made.size(), size);
            assert_eq!(
                (made.digest(), made.diff_id()),
                (kept.digest(), kept.diff_id())
            );
        }
    }

    #[test]
    fn any_part_can_be_read() {
        let size = 300_000;
        let (kept, made) = (Layer::random("b", size), Layer::made_when_read("b", size));
        for offset in (0..size).step_by(997).chain([0, size - 1, size, size + 9]) {
            for len in [0, 1, 6, 70_000, 400_000] {
                let part = |layer: &Layer| layer.blob().read(offset, len);
                assert_eq!(part(&made), part(&kept), "{len} bytes at {offset}");
            }
        }
    }
}
