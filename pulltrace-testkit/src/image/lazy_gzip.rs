//! A gzip layer with one random file, generated on read. Any range can be read without the bytes
//! before it, and no content is kept in memory.

use bytes::Bytes;
use flate2::Crc;
use sha2::{Digest as _, Sha256};

use super::format::{self, BLOCK_HEADER_LEN, MAX_BLOCK_DATA, TAR_BLOCK, fill_random, hex};

/// The chunk size for computing digests.
const CHUNK: usize = 1 << 20;
/// A full stored block with its header.
const BLOCK: u64 = BLOCK_HEADER_LEN + MAX_BLOCK_DATA as u64;

/// The layout of the layer.
#[derive(Debug)]
pub struct LazyGzip {
    seed: u64,
    tar_header: [u8; TAR_BLOCK as usize],
    /// Length of the random file.
    content_len: u64,
    /// Length of the tar file.
    tar_len: u64,
    gzip_header: Vec<u8>,
    /// Checksum and length of the tar file, at the end of the gzip file.
    trailer: [u8; 8],
    diff_id: String,
}

impl LazyGzip {
    /// A layer of exactly `size` bytes with the file `name`. Generates the content once, for the
    /// digests.
    pub(super) fn new(name: &str, size: u64) -> Self {
        let tar = format::max_tar_size(size);
        let content = tar - format::MIN_TAR_SIZE;
        let mut stored = Self {
            seed: format::name_seed(name),
            tar_header: format::tar_header(&format!("{name}.bin"), content),
            content_len: content,
            tar_len: tar,
            gzip_header: format::gzip_header(tar, size),
            trailer: [0; 8],
            diff_id: String::new(),
        };
        let (mut crc, mut hash) = (Crc::new(), Sha256::new());
        stored.for_each_chunk(tar, Self::fill_tar, |piece| {
            crc.update(piece);
            hash.update(piece);
        });
        stored.trailer[..4].copy_from_slice(&crc.sum().to_le_bytes());
        stored.trailer[4..].copy_from_slice(&crc.amount().to_le_bytes());
        stored.diff_id = hex(&hash.finalize());
        stored
    }

    /// The length of the layer in bytes.
    pub(super) fn len(&self) -> u64 {
        self.gzip_header.len() as u64 + self.blocks_len() + self.trailer.len() as u64
    }

    /// The digest of the layer; generates all of it.
    pub(super) fn digest(&self) -> String {
        let mut hash = Sha256::new();
        self.for_each_chunk(self.len(), Self::fill, |piece| hash.update(piece));
        hex(&hash.finalize())
    }

    /// The digest of the tar file.
    pub(super) fn diff_id(&self) -> &str {
        &self.diff_id
    }

    /// Reads `count` bytes from `offset` on. The range must be within the layer.
    pub(super) fn read(&self, offset: u64, count: usize) -> Bytes {
        let mut data = vec![0; count];
        self.fill(offset, &mut data);
        data.into()
    }

    /// The length of the stored blocks, including their headers.
    fn blocks_len(&self) -> u64 {
        self.tar_len + BLOCK_HEADER_LEN * self.tar_len.div_ceil(MAX_BLOCK_DATA as u64)
    }

    fn for_each_chunk(
        &self,
        len: u64,
        fill: fn(&Self, u64, &mut [u8]),
        mut take: impl FnMut(&[u8]),
    ) {
        let mut piece = vec![0; CHUNK];
        let mut offset = 0;
        while offset < len {
            let n = usize::try_from(len - offset).map_or(CHUNK, |rest| rest.min(CHUNK));
            fill(self, offset, &mut piece[..n]);
            take(&piece[..n]);
            offset += n as u64;
        }
    }

    fn fill(&self, mut offset: u64, mut data: &mut [u8]) {
        let (head, body) = (self.gzip_header.len() as u64, self.blocks_len());
        while !data.is_empty() {
            // Copy from the section at `offset`; `n` is the number of bytes copied.
            let n = if offset < head {
                copy_at(&self.gzip_header, offset, data)
            } else if offset < head + body {
                let (block, at) = ((offset - head) / BLOCK, (offset - head) % BLOCK);
                let start = block * MAX_BLOCK_DATA as u64;
                let len = (self.tar_len - start).min(MAX_BLOCK_DATA as u64);
                if at < BLOCK_HEADER_LEN {
                    let last = start + len == self.tar_len;
                    copy_at(&format::block_header(len, last), at, data)
                } else {
                    let rest = len - (at - BLOCK_HEADER_LEN);
                    let n = usize::try_from(rest).map_or(data.len(), |rest| rest.min(data.len()));
                    self.fill_tar(start + at - BLOCK_HEADER_LEN, &mut data[..n]);
                    n
                }
            } else {
                copy_at(&self.trailer, offset - head - body, data)
            };
            offset += n as u64;
            data = &mut data[n..];
        }
    }

    fn fill_tar(&self, mut offset: u64, mut data: &mut [u8]) {
        let end = TAR_BLOCK + self.content_len;
        while !data.is_empty() {
            let n = if offset < TAR_BLOCK {
                copy_at(&self.tar_header, offset, data)
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

/// Copies the bytes of `from` at `offset` and returns their number.
fn copy_at(from: &[u8], offset: u64, to: &mut [u8]) -> usize {
    let rest = usize::try_from(offset)
        .ok()
        .and_then(|offset| from.get(offset..))
        .expect("the offset is within the data");
    let n = rest.len().min(to.len());
    to[..n].copy_from_slice(&rest[..n]);
    n
}

#[cfg(test)]
mod tests {
    use std::io::Read as _;
    use std::sync::Arc;

    use flate2::read::GzDecoder;

    use super::super::blob::Blob;
    use super::super::format::{MIN_GZIP_SIZE, digest, random_tar};
    use super::*;

    fn read_all(layer: &LazyGzip) -> Bytes {
        layer.read(0, usize::try_from(layer.len()).unwrap())
    }

    #[test]
    fn lazy_layer_is_gzip_file_of_exact_size() {
        let around_a_block = 65_535 + 18 + 5;
        let sizes = (MIN_GZIP_SIZE..MIN_GZIP_SIZE + 1100)
            .step_by(13)
            .chain((around_a_block - 1040..around_a_block + 1040).step_by(3))
            .chain([1 << 20, (1 << 20) + 1, 3_333_333]);
        for size in sizes {
            let layer = LazyGzip::new("a", size);
            let gzip = read_all(&layer);
            assert_eq!((gzip.len() as u64, layer.digest()), (size, digest(&gzip)));
            let mut tar = Vec::new();
            GzDecoder::new(&gzip[..]).read_to_end(&mut tar).unwrap();
            // Also checks that the tar file is the largest that fits.
            assert_eq!(tar, random_tar("a", format::max_tar_size(size)), "{size}");
            assert_eq!(layer.diff_id(), digest(&tar));
        }
    }

    #[test]
    fn lazy_layer_reads_any_range() {
        let size = 300_000;
        let layer = Arc::new(LazyGzip::new("b", size));
        let all = read_all(&layer);
        for offset in (0..size).step_by(997).chain([0, size - 1, size, size + 9]) {
            for len in [0, 1, 6, 70_000, 400_000] {
                let start = usize::try_from(offset.min(size)).unwrap();
                let expected = &all[start..all.len().min(start + len)];
                let part = Blob::LazyGzip(Arc::clone(&layer)).read(offset, len);
                assert_eq!(part, expected, "{len} bytes at {offset}");
            }
        }
    }
}
