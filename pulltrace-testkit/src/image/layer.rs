//! One layer: a valid tar file, packed so that its size is exactly the size
//! that was asked for. Knows nothing of manifests.

use std::collections::BTreeMap;
use std::io::Write as _;
use std::sync::Arc;

use flate2::{Compression, Crc, GzBuilder};
use sha2::{Digest as _, Sha256};

use super::stored::Stored;
use super::{Blob, digest, media_type};

/// The smallest layer that [`Layer::random`] can make, in bytes.
pub const MIN_GZIP_SIZE: u64 = GZIP_FRAME + BLOCK_HEADER + MIN_TAR_SIZE;
/// The smallest layer that [`Layer::random_tar`] can make, in bytes.
pub const MIN_TAR_SIZE: u64 = TAR_BLOCK + TAR_END;

/// Header and trailer of a gzip file.
const GZIP_FRAME: u64 = 10 + 8;
/// Before each block of data that deflate stores as it is.
pub(super) const BLOCK_HEADER: u64 = 5;
/// The most that one stored block holds.
pub(super) const BLOCK_MAX: usize = 65_535;
pub(super) const TAR_BLOCK: u64 = 512;
/// Two empty blocks end a tar file.
const TAR_END: u64 = 2 * TAR_BLOCK;

/// One layer. Clones share the content, so one layer in several images (or
/// twice in one) costs nothing.
#[derive(Debug, Clone)]
pub struct Layer {
    pub(super) media_type: &'static str,
    pub(super) digest: String,
    pub(super) diff_id: String,
    pub(super) blob: Blob,
    pub(super) name: String,
    pub(super) annotations: BTreeMap<String, String>,
}

impl Layer {
    /// A gzip layer of exactly `size` bytes that holds one file of random
    /// content named `name`. The name also chooses the content.
    ///
    /// # Panics
    /// When `size` is below [`MIN_GZIP_SIZE`].
    #[must_use]
    pub fn random(name: &str, size: u64) -> Self {
        assert!(
            size >= MIN_GZIP_SIZE,
            "a gzip layer has at least {MIN_GZIP_SIZE} bytes, not {size}"
        );
        let tar = random_tar(name, tar_size_within(size));
        let gzip = gzip_stored(&tar, size);
        Self::packed(name, media_type::LAYER_GZIP, &tar, gzip)
    }

    /// The same as [`Layer::random`], but made each time when it is read: for
    /// large layers, as it takes no memory.
    ///
    /// # Panics
    /// When `size` is below [`MIN_GZIP_SIZE`].
    #[must_use]
    pub fn made_when_read(name: &str, size: u64) -> Self {
        assert!(
            size >= MIN_GZIP_SIZE,
            "a gzip layer has at least {MIN_GZIP_SIZE} bytes, not {size}"
        );
        let stored = Stored::new(name, size);
        Self {
            media_type: media_type::LAYER_GZIP,
            digest: stored.digest(),
            diff_id: stored.diff_id().to_owned(),
            blob: Blob::Stored(Arc::new(stored)),
            name: name.into(),
            annotations: BTreeMap::new(),
        }
    }

    /// Like [`Layer::random`], but a tar file that is not compressed.
    ///
    /// # Panics
    /// When `size` is below [`MIN_TAR_SIZE`] or no multiple of 512.
    #[must_use]
    pub fn random_tar(name: &str, size: u64) -> Self {
        assert!(
            size >= MIN_TAR_SIZE && size.is_multiple_of(TAR_BLOCK),
            "a tar file has at least {MIN_TAR_SIZE} bytes and whole blocks of 512, not {size}"
        );
        let tar = random_tar(name, size);
        Self::packed(name, media_type::LAYER_TAR, &tar, tar.clone())
    }

    /// A gzip layer of `count` files of `bytes_each` bytes which compress
    /// well: few bytes to load, much to unpack. Its size is what compression
    /// makes of it.
    ///
    /// # Panics
    /// When `bytes_each` does not fit in memory.
    #[must_use]
    pub fn files(name: &str, count: usize, bytes_each: u64) -> Self {
        let line = format!("{name}\n").into_bytes();
        let len = usize::try_from(bytes_each).expect("a file that fits in memory");
        let content: Vec<u8> = line.iter().copied().cycle().take(len).collect();
        let files = (0..count).map(|i| (format!("{name}/{}/{i}", i / 100), content.as_slice()));
        Self::compressed(name, &write_tar(files))
    }

    /// A gzip layer of the named files, each `(path, mode, content)`.
    #[must_use]
    pub fn of_files(name: &str, files: &[(&str, u32, &[u8])]) -> Self {
        let mut tar = tar::Builder::new(Vec::new());
        for (path, mode, content) in files {
            append(&mut tar, path, *mode, content);
        }
        Self::compressed(name, &tar.into_inner().expect("a Vec takes all bytes"))
    }

    /// A gzip layer with one program, `/pause`, that does nothing for ever:
    /// enough for a container of this machine.
    ///
    /// # Panics
    /// On a machine that is neither `x86_64` nor `aarch64`.
    #[must_use]
    pub fn pause() -> Self {
        Self::of_files("pause", &[("pause", 0o755, &pause_program())])
    }

    /// The same with the program `/exit`, which ends at once and well: for a
    /// container that runs before others.
    ///
    /// # Panics
    /// On a machine that is neither `x86_64` nor `aarch64`.
    #[must_use]
    pub fn exit() -> Self {
        Self::of_files("exit", &[("exit", 0o755, &exit_program())])
    }

    /// A gzip layer without a file: the one that builders write for an
    /// instruction that changed nothing.
    #[must_use]
    pub fn empty() -> Self {
        Self::compressed("empty", &[0; TAR_END as usize])
    }

    /// A layer whose blob has no byte at all. containerd refuses to load it
    /// (seen on 1.6, 2.0 and 2.4), so the pull fails; a layer without content
    /// that is accepted is [`Layer::empty`].
    #[must_use]
    pub fn zero_bytes() -> Self {
        Self::packed("zero bytes", media_type::LAYER_TAR, &[], Vec::new())
    }

    /// A layer that declares `size` bytes, takes no memory and can be loaded
    /// up to its last byte, but whose digest never matches: for sizes above
    /// 4 GiB, of which a pull only needs to be begun.
    #[must_use]
    pub fn declared(name: &str, size: u64) -> Self {
        Self {
            media_type: media_type::LAYER_GZIP,
            digest: digest(format!("declared {name} {size}").as_bytes()),
            diff_id: digest(format!("diff of declared {name} {size}").as_bytes()),
            blob: Blob::Synthetic {
                seed: seed(name),
                len: size,
            },
            name: name.into(),
            annotations: BTreeMap::new(),
        }
    }

    /// Adds an annotation to the layer's descriptor.
    #[must_use]
    pub fn annotation(mut self, key: &str, value: &str) -> Self {
        self.annotations.insert(key.into(), value.into());
        self
    }

    /// The digest, `sha256:<hex>`.
    #[must_use]
    pub fn digest(&self) -> &str {
        &self.digest
    }

    /// The compressed size in bytes.
    #[must_use]
    pub fn size(&self) -> u64 {
        self.blob.len()
    }

    /// Digest of the layer without compression.
    #[must_use]
    pub fn diff_id(&self) -> &str {
        &self.diff_id
    }

    /// The content.
    #[must_use]
    pub fn blob(&self) -> &Blob {
        &self.blob
    }

    fn compressed(name: &str, tar: &[u8]) -> Self {
        let mut gzip = GzBuilder::new().write(Vec::new(), Compression::fast());
        gzip.write_all(tar).expect("a Vec takes all bytes");
        let gzip = gzip.finish().expect("a Vec takes all bytes");
        Self::packed(name, media_type::LAYER_GZIP, tar, gzip)
    }

    fn packed(name: &str, media_type: &'static str, tar: &[u8], packed: Vec<u8>) -> Self {
        Self {
            media_type,
            digest: digest(&packed),
            diff_id: digest(tar),
            blob: Blob::Bytes(packed.into()),
            name: name.into(),
            annotations: BTreeMap::new(),
        }
    }
}

/// A static ELF program of one loaded segment that waits for ever.
fn pause_program() -> Vec<u8> {
    // again: mov eax, 34 (pause); syscall; jmp again
    let x86_64 = [0xb8, 34, 0, 0, 0, 0x0f, 0x05, 0xeb, 0xf7];
    let aarch64 = [
        0xd280_0000, // again: mov x0, 0
        0xd280_0001, // mov x1, 0
        0xd280_0002, // mov x2, 0
        0xd280_0003, // mov x3, 0
        0xd280_0928, // mov x8, 73 (ppoll)
        0xd400_0001, // svc 0
        0x17ff_fffa, // b again
    ];
    program(&x86_64, &aarch64)
}

fn exit_program() -> Vec<u8> {
    // xor edi, edi; mov eax, 60 (exit); syscall
    let x86_64 = [0x31, 0xff, 0xb8, 60, 0, 0, 0, 0x0f, 0x05];
    let aarch64 = [
        0xd280_0000, // mov x0, 0
        0xd280_0ba8, // mov x8, 93 (exit)
        0xd400_0001, // svc 0
    ];
    program(&x86_64, &aarch64)
}

/// The smallest program there is of this machine's code.
fn program(x86_64: &[u8], aarch64: &[u32]) -> Vec<u8> {
    const HEADERS: u64 = 64 + 56;
    const BASE: u64 = 0x40_0000;
    let (machine, code): (u16, Vec<u8>) = match std::env::consts::ARCH {
        "x86_64" => (62, x86_64.to_vec()),
        "aarch64" => (
            183,
            aarch64.iter().flat_map(|word| word.to_le_bytes()).collect(),
        ),
        other => panic!("no program for {other}"),
    };
    let mut elf = vec![0x7f, b'E', b'L', b'F', 2, 1, 1, 0];
    elf.extend([0; 8]);
    let half = |elf: &mut Vec<u8>, value: u16| elf.extend(value.to_le_bytes());
    let word = |elf: &mut Vec<u8>, value: u32| elf.extend(value.to_le_bytes());
    let long = |elf: &mut Vec<u8>, value: u64| elf.extend(value.to_le_bytes());
    half(&mut elf, 2); // an executable
    half(&mut elf, machine);
    word(&mut elf, 1); // version
    long(&mut elf, BASE + HEADERS); // entry
    long(&mut elf, 64); // program headers
    long(&mut elf, 0); // no sections
    word(&mut elf, 0); // flags
    for value in [64, 56, 1, 0, 0, 0] {
        half(&mut elf, value); // sizes and counts of headers
    }
    let size = HEADERS + code.len() as u64;
    word(&mut elf, 1); // load
    word(&mut elf, 5); // readable, executable
    for value in [0, BASE, BASE, size, size, 0x1_0000] {
        long(&mut elf, value); // offset, addresses, sizes, alignment
    }
    elf.extend(code);
    elf
}

/// The number that a name stands for.
pub(super) fn seed(name: &str) -> u64 {
    let hash: [u8; 32] = Sha256::digest(name.as_bytes()).into();
    u64::from_le_bytes(hash[..8].try_into().expect("eight bytes"))
}

/// Fills `data` with the bytes that stand at `offset` of the endless random
/// file `seed`: any part of it can be made without the part before.
pub(super) fn fill_random(seed: u64, offset: u64, data: &mut [u8]) {
    let mut word = offset / 8;
    let mut skip = usize::try_from(offset % 8).expect("less than eight");
    let mut rest = data;
    while !rest.is_empty() {
        let bytes = scramble(seed.wrapping_add(word.wrapping_mul(0x9E37_79B9_7F4A_7C15)));
        let n = rest.len().min(8 - skip);
        let (now, later) = rest.split_at_mut(n);
        now.copy_from_slice(&bytes.to_le_bytes()[skip..skip + n]);
        rest = later;
        skip = 0;
        word += 1;
    }
}

/// The finaliser of SplitMix64: neighbouring numbers in, unrelated ones out.
const fn scramble(mut z: u64) -> u64 {
    z = (z ^ (z >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
    z = (z ^ (z >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
    z ^ (z >> 31)
}

/// A tar file of exactly `size` bytes with one random file.
fn random_tar(name: &str, size: u64) -> Vec<u8> {
    let len = usize::try_from(size - MIN_TAR_SIZE).expect("a layer that fits in memory");
    let mut content = vec![0; len];
    fill_random(seed(name), 0, &mut content);
    let tar = write_tar([(format!("{name}.bin"), content.as_slice())]);
    assert_eq!(tar.len() as u64, size, "the name {name:?} is too long");
    tar
}

fn write_tar<'a>(files: impl IntoIterator<Item = (String, &'a [u8])>) -> Vec<u8> {
    let mut tar = tar::Builder::new(Vec::new());
    for (path, content) in files {
        append(&mut tar, &path, 0o644, content);
    }
    tar.into_inner().expect("a Vec takes all bytes")
}

/// The block before a file's content.
pub(super) fn tar_header(path: &str, len: u64) -> [u8; TAR_BLOCK as usize] {
    let mut header = file_header(0o644, len);
    header.set_path(path).expect("a short name");
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

fn append(tar: &mut tar::Builder<Vec<u8>>, path: &str, mode: u32, content: &[u8]) {
    let mut header = file_header(mode, content.len() as u64);
    tar.append_data(&mut header, path, content)
        .expect("a Vec takes all bytes");
}

/// The largest tar file that, stored in a gzip file, needs at most `size` bytes.
pub(super) fn tar_size_within(size: u64) -> u64 {
    let packed = |tar: u64| GZIP_FRAME + tar + BLOCK_HEADER * tar.div_ceil(BLOCK_MAX as u64);
    let mut tar = (size - GZIP_FRAME) / TAR_BLOCK * TAR_BLOCK;
    while packed(tar) > size {
        tar -= TAR_BLOCK;
    }
    tar
}

/// The header of a gzip file of exactly `size` bytes in which a tar file of
/// `tar` bytes is stored: what is missing to `size` goes into its fields for a
/// name and a comment.
pub(super) fn gzip_header(tar: u64, size: u64) -> Vec<u8> {
    let packed = GZIP_FRAME + tar + BLOCK_HEADER * tar.div_ceil(BLOCK_MAX as u64);
    let padding = usize::try_from(size - packed).expect("less than two blocks");
    // Readers accept at most 512 bytes per field, the closing zero included.
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

/// What stands before `len` stored bytes.
pub(super) fn block_header(len: u64, last: bool) -> [u8; BLOCK_HEADER as usize] {
    let len = u16::try_from(len).expect("at most BLOCK_MAX");
    let ([a, b], [c, d]) = (len.to_le_bytes(), (!len).to_le_bytes());
    [u8::from(last), a, b, c, d]
}

/// A gzip file of exactly `size` bytes. The content is stored, since random
/// bytes do not compress.
fn gzip_stored(tar: &[u8], size: u64) -> Vec<u8> {
    let mut out = gzip_header(tar.len() as u64, size);
    out.reserve(usize::try_from(size).expect("fits in memory"));
    let blocks = tar.chunks(BLOCK_MAX);
    let last = blocks.len() - 1;
    for (i, block) in blocks.enumerate() {
        out.extend(block_header(block.len() as u64, i == last));
        out.extend(block);
    }
    let mut crc = Crc::new();
    crc.update(tar);
    out.extend(crc.sum().to_le_bytes());
    out.extend(crc.amount().to_le_bytes());
    out
}
