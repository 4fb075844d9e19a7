//! The bytes of layers: tar and gzip files of an exact size, random content, and digests.
//!
//! The crates `tar` and `flate2` write most of them, but not a gzip file of a given size, and not a
//! part of a file without the bytes before it. The tests read the results with both crates.

use std::fmt::Write as _;

use sha2::{Digest as _, Sha256};

/// The smallest layer that [`Layer::random`](super::Layer::random) can make, in bytes.
pub const MIN_GZIP_SIZE: u64 = GZIP_OVERHEAD + BLOCK_HEADER_LEN + MIN_TAR_SIZE;
/// The smallest layer that [`Layer::random_tar`](super::Layer::random_tar) can make, in bytes.
pub const MIN_TAR_SIZE: u64 = TAR_BLOCK + TAR_TRAILER;

/// Header and trailer of a gzip file.
const GZIP_OVERHEAD: u64 = 10 + 8;
/// The header of an uncompressed ("stored") deflate block.
pub(super) const BLOCK_HEADER_LEN: u64 = 5;
/// The most data that a stored block can hold.
pub(super) const MAX_BLOCK_DATA: usize = 65_535;
pub(super) const TAR_BLOCK: u64 = 512;
/// A tar file ends with two empty blocks.
pub(super) const TAR_TRAILER: u64 = 2 * TAR_BLOCK;

/// The digest of `data` as `sha256:<hex>`.
#[must_use]
pub fn digest(data: &[u8]) -> String {
    hex(&Sha256::digest(data))
}

pub(super) fn hex(hash: &[u8]) -> String {
    let mut text = String::from("sha256:");
    for byte in hash {
        write!(text, "{byte:02x}").expect("writing to a String cannot fail");
    }
    text
}

/// Derives a seed from a name.
pub(super) fn name_seed(name: &str) -> u64 {
    let hash: [u8; 32] = Sha256::digest(name.as_bytes()).into();
    u64::from_le_bytes(hash[..8].try_into().expect("eight bytes"))
}

/// Fills `data` with the bytes at `offset` of the infinite random file of `seed`. Random access:
/// earlier bytes need not be generated.
pub(super) fn fill_random(seed: u64, offset: u64, data: &mut [u8]) {
    let mut word = offset / 8;
    let mut skip = usize::try_from(offset % 8).expect("less than 8");
    let mut rest = data;
    while !rest.is_empty() {
        let bytes = mix64(seed.wrapping_add(word.wrapping_mul(0x9E37_79B9_7F4A_7C15)));
        let n = rest.len().min(8 - skip);
        let (now, later) = rest.split_at_mut(n);
        now.copy_from_slice(&bytes.to_le_bytes()[skip..skip + n]);
        rest = later;
        skip = 0;
        word += 1;
    }
}

/// The finalizer of SplitMix64: maps adjacent inputs to unrelated outputs.
const fn mix64(mut z: u64) -> u64 {
    z = (z ^ (z >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
    z = (z ^ (z >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
    z ^ (z >> 31)
}

/// A tar file of exactly `size` bytes with one random file.
pub(super) fn random_tar(name: &str, size: u64) -> Vec<u8> {
    let len = usize::try_from(size - MIN_TAR_SIZE).expect("the layer fits in memory");
    let mut content = vec![0; len];
    fill_random(name_seed(name), 0, &mut content);
    let tar = write_tar([(format!("{name}.bin"), content.as_slice())]);
    assert_eq!(tar.len() as u64, size, "the name {name:?} is too long");
    tar
}

pub(super) fn write_tar<'a>(files: impl IntoIterator<Item = (String, &'a [u8])>) -> Vec<u8> {
    let mut tar = tar::Builder::new(Vec::new());
    for (path, content) in files {
        append_file(&mut tar, &path, 0o644, content);
    }
    tar.into_inner().expect("writing to a Vec cannot fail")
}

/// The tar header of a file.
pub(super) fn tar_header(path: &str, len: u64) -> [u8; TAR_BLOCK as usize] {
    let mut header = file_header(0o644, len);
    header.set_path(path).expect("the name fits into the header");
    header.set_cksum();
    *header.as_bytes()
}

fn file_header(mode: u32, len: u64) -> tar::Header {
    let mut header = tar::Header::new_gnu();
    header.set_size(len);
    header.set_mode(mode);
    header.set_mtime(0);
    header.set_uid(0);
    header.set_gid(0);
    header
}

pub(super) fn append_file(tar: &mut tar::Builder<Vec<u8>>, path: &str, mode: u32, content: &[u8]) {
    let mut header = file_header(mode, content.len() as u64);
    tar.append_data(&mut header, path, content).expect("writing to a Vec cannot fail");
}

/// Returns the size of the largest tar file that fits uncompressed into a gzip file of `size`
/// bytes.
pub(super) fn max_tar_size(size: u64) -> u64 {
    let packed =
        |tar: u64| GZIP_OVERHEAD + tar + BLOCK_HEADER_LEN * tar.div_ceil(MAX_BLOCK_DATA as u64);
    let mut tar = (size - GZIP_OVERHEAD) / TAR_BLOCK * TAR_BLOCK;
    while packed(tar) > size {
        tar -= TAR_BLOCK;
    }
    tar
}

/// The header of a gzip file of exactly `size` bytes that stores a tar file of `tar` bytes. The
/// file name and comment fields of the header are used as padding.
pub(super) fn gzip_header(tar: u64, size: u64) -> Vec<u8> {
    let packed = GZIP_OVERHEAD + tar + BLOCK_HEADER_LEN * tar.div_ceil(MAX_BLOCK_DATA as u64);
    let padding = usize::try_from(size - packed).expect("less than two blocks");
    // Readers accept at most 512 bytes per field, including the terminating zero.
    let comment = padding.min(512);
    let name = padding - comment;
    let flags = if name > 0 { 0x08 } else { 0 } | if comment > 0 { 0x10 } else { 0 };

    let mut out = vec![0x1f, 0x8b, 8, flags, 0, 0, 0, 0, 0, 255];
    for field in [name, comment] {
        if field > 0 {
            out.extend(std::iter::repeat_n(b'-', field - 1));
            out.push(0);
        }
    }
    out
}

/// The header of a stored block of `len` bytes.
pub(super) fn block_header(len: u64, last: bool) -> [u8; BLOCK_HEADER_LEN as usize] {
    let len = u16::try_from(len).expect("a block length fits in 16 bits");
    let ([a, b], [c, d]) = (len.to_le_bytes(), (!len).to_le_bytes());
    [u8::from(last), a, b, c, d]
}
