//! A layer: a valid tar file, packed to exactly the requested size.

use std::collections::BTreeMap;
use std::io::Write as _;
use std::sync::Arc;

use flate2::{Compression, Crc, GzBuilder};
use sha2::{Digest as _, Sha256};

use super::lazy_gzip::LazyGzip;
use super::{Blob, digest, media_type};

/// The smallest layer that [`Layer::random`] can make, in bytes.
pub const MIN_GZIP_SIZE: u64 = GZIP_OVERHEAD + BLOCK_HEADER_LEN + MIN_TAR_SIZE;
/// The smallest layer that [`Layer::random_tar`] can make, in bytes.
pub const MIN_TAR_SIZE: u64 = TAR_BLOCK + TAR_TRAILER;

/// Header and trailer of a gzip file.
const GZIP_OVERHEAD: u64 = 10 + 8;
/// The header of an uncompressed ("stored") deflate block.
pub(super) const BLOCK_HEADER_LEN: u64 = 5;
/// The most data that a stored block can hold.
pub(super) const MAX_BLOCK_DATA: usize = 65_535;
pub(super) const TAR_BLOCK: u64 = 512;
/// A tar file ends with two empty blocks.
const TAR_TRAILER: u64 = 2 * TAR_BLOCK;

/// A layer. Clones share the content, so using a layer in several images, or twice in one, costs
/// nothing.
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
    /// A gzip layer of exactly `size` bytes with one file of random content. `name` is the name of
    /// the file and the seed of its content.
    ///
    /// # Panics
    /// When `size` is less than [`MIN_GZIP_SIZE`].
    #[must_use]
    pub fn random(name: &str, size: u64) -> Self {
        assert!(
            size >= MIN_GZIP_SIZE,
            "invalid size {size}: expected at least {MIN_GZIP_SIZE} bytes for a gzip layer"
        );
        let tar = random_tar(name, max_tar_size(size));
        let gzip = gzip_stored(&tar, size);
        Self::from_blob(name, media_type::LAYER_GZIP, &tar, gzip)
    }

    /// Like [`Layer::random`], but generated on every read: takes no memory, for large layers.
    ///
    /// # Panics
    /// When `size` is less than [`MIN_GZIP_SIZE`].
    #[must_use]
    pub fn lazy(name: &str, size: u64) -> Self {
        assert!(
            size >= MIN_GZIP_SIZE,
            "invalid size {size}: expected at least {MIN_GZIP_SIZE} bytes for a gzip layer"
        );
        let stored = LazyGzip::new(name, size);
        Self {
            media_type: media_type::LAYER_GZIP,
            digest: stored.digest(),
            diff_id: stored.diff_id().to_owned(),
            blob: Blob::LazyGzip(Arc::new(stored)),
            name: name.into(),
            annotations: BTreeMap::new(),
        }
    }

    /// Like [`Layer::random`], but an uncompressed tar file.
    ///
    /// # Panics
    /// When `size` is less than [`MIN_TAR_SIZE`] or not a multiple of 512.
    #[must_use]
    pub fn random_tar(name: &str, size: u64) -> Self {
        assert!(
            size >= MIN_TAR_SIZE && size.is_multiple_of(TAR_BLOCK),
            "invalid size {size}: expected at least {MIN_TAR_SIZE} bytes and a multiple of 512"
        );
        let tar = random_tar(name, size);
        Self::from_blob(name, media_type::LAYER_TAR, &tar, tar.clone())
    }

    /// A gzip layer of `count` files of `bytes_each` bytes that compress well: little to download,
    /// much to unpack. Its size depends on the compression.
    ///
    /// # Panics
    /// When `bytes_each` does not fit in memory.
    #[must_use]
    pub fn many_files(name: &str, count: usize, bytes_each: u64) -> Self {
        let line = format!("{name}\n").into_bytes();
        let len = usize::try_from(bytes_each).expect("the file fits in memory");
        let content: Vec<u8> = line.iter().copied().cycle().take(len).collect();
        let files = (0..count).map(|i| (format!("{name}/{}/{i}", i / 100), content.as_slice()));
        Self::compressed(name, &write_tar(files))
    }

    /// A gzip layer of files, each given as `(path, mode, content)`.
    #[must_use]
    pub fn from_files(name: &str, files: &[(&str, u32, &[u8])]) -> Self {
        let mut tar = tar::Builder::new(Vec::new());
        for (path, mode, content) in files {
            append_file(&mut tar, path, *mode, content);
        }
        Self::compressed(name, &tar.into_inner().expect("writing to a Vec cannot fail"))
    }

    /// A gzip layer with the program `/pause`, which sleeps forever: enough to run a container on
    /// this machine.
    ///
    /// # Panics
    /// On a machine that is neither `x86_64` nor `aarch64`.
    #[must_use]
    pub fn pause() -> Self {
        Self::from_files("pause", &[("pause", 0o755, &pause_program())])
    }

    /// Like [`Layer::pause`], with the program `/exit`, which exits with 0 at once: for init
    /// containers.
    ///
    /// # Panics
    /// On a machine that is neither `x86_64` nor `aarch64`.
    #[must_use]
    pub fn exit() -> Self {
        Self::from_files("exit", &[("exit", 0o755, &exit_program())])
    }

    /// A gzip layer without files, as builders write it for an instruction without changes.
    #[must_use]
    pub fn empty() -> Self {
        Self::compressed("empty", &[0; TAR_TRAILER as usize])
    }

    /// A layer whose blob is 0 bytes long. containerd refuses to download it (observed on 1.6, 2.0
    /// and 2.4), so the pull fails. [`Layer::empty`] is a valid layer without content.
    #[must_use]
    pub fn zero_bytes() -> Self {
        Self::from_blob("zero bytes", media_type::LAYER_TAR, &[], Vec::new())
    }

    /// A layer of `size` bytes that takes no memory and can be downloaded completely, but whose
    /// digest never matches. For sizes above 4 GiB in tests that only need to start a pull.
    #[must_use]
    pub fn with_wrong_digest(name: &str, size: u64) -> Self {
        Self {
            media_type: media_type::LAYER_GZIP,
            digest: digest(format!("declared {name} {size}").as_bytes()),
            diff_id: digest(format!("diff of declared {name} {size}").as_bytes()),
            blob: Blob::Synthetic { seed: name_seed(name), len: size },
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

    /// The digest of the uncompressed layer.
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
        gzip.write_all(tar).expect("writing to a Vec cannot fail");
        let gzip = gzip.finish().expect("writing to a Vec cannot fail");
        Self::from_blob(name, media_type::LAYER_GZIP, tar, gzip)
    }

    fn from_blob(name: &str, media_type: &'static str, tar: &[u8], packed: Vec<u8>) -> Self {
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

/// A static ELF program with a single segment that sleeps forever.
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
    elf_program(&x86_64, &aarch64)
}

fn exit_program() -> Vec<u8> {
    // xor edi, edi; mov eax, 60 (exit); syscall
    let x86_64 = [0x31, 0xff, 0xb8, 60, 0, 0, 0, 0x0f, 0x05];
    let aarch64 = [
        0xd280_0000, // mov x0, 0
        0xd280_0ba8, // mov x8, 93 (exit)
        0xd400_0001, // svc 0
    ];
    elf_program(&x86_64, &aarch64)
}

/// Returns a minimal ELF executable with the code for this machine.
fn elf_program(x86_64: &[u8], aarch64: &[u32]) -> Vec<u8> {
    const HEADERS: u64 = 64 + 56;
    const BASE: u64 = 0x40_0000;
    let (machine, code): (u16, Vec<u8>) = match std::env::consts::ARCH {
        "x86_64" => (62, x86_64.to_vec()),
        "aarch64" => (183, aarch64.iter().flat_map(|word| word.to_le_bytes()).collect()),
        other => panic!("unsupported architecture {other}"),
    };
    let mut elf = vec![0x7f, b'E', b'L', b'F', 2, 1, 1, 0];
    elf.extend([0; 8]);
    let half = |elf: &mut Vec<u8>, value: u16| elf.extend(value.to_le_bytes());
    let word = |elf: &mut Vec<u8>, value: u32| elf.extend(value.to_le_bytes());
    let long = |elf: &mut Vec<u8>, value: u64| elf.extend(value.to_le_bytes());
    half(&mut elf, 2); // e_type: executable
    half(&mut elf, machine);
    word(&mut elf, 1); // e_version
    long(&mut elf, BASE + HEADERS); // e_entry
    long(&mut elf, 64); // e_phoff: right behind this header
    long(&mut elf, 0); // e_shoff: no sections
    word(&mut elf, 0); // e_flags
    for value in [64, 56, 1, 0, 0, 0] {
        half(&mut elf, value); // header sizes and counts
    }
    let size = HEADERS + code.len() as u64;
    word(&mut elf, 1); // p_type: PT_LOAD
    word(&mut elf, 5); // p_flags: readable, executable
    for value in [0, BASE, BASE, size, size, 0x1_0000] {
        long(&mut elf, value); // p_offset, addresses, sizes, p_align
    }
    elf.extend(code);
    elf
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
fn random_tar(name: &str, size: u64) -> Vec<u8> {
    let len = usize::try_from(size - MIN_TAR_SIZE).expect("the layer fits in memory");
    let mut content = vec![0; len];
    fill_random(name_seed(name), 0, &mut content);
    let tar = write_tar([(format!("{name}.bin"), content.as_slice())]);
    assert_eq!(tar.len() as u64, size, "the name {name:?} is too long");
    tar
}

fn write_tar<'a>(files: impl IntoIterator<Item = (String, &'a [u8])>) -> Vec<u8> {
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

fn append_file(tar: &mut tar::Builder<Vec<u8>>, path: &str, mode: u32, content: &[u8]) {
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

/// A gzip file of exactly `size` bytes. The content is stored uncompressed: random bytes do not
/// compress.
fn gzip_stored(tar: &[u8], size: u64) -> Vec<u8> {
    let mut out = gzip_header(tar.len() as u64, size);
    out.reserve(usize::try_from(size).expect("fits in memory"));
    let blocks = tar.chunks(MAX_BLOCK_DATA);
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
