//! A layer: a valid tar file, packed to exactly the requested size.

use std::collections::BTreeMap;
use std::io::Write as _;
use std::sync::Arc;

use flate2::{Compression, GzBuilder};

use super::blob::Blob;
use super::format::{
    MIN_GZIP_SIZE, MIN_TAR_SIZE, TAR_BLOCK, TAR_TRAILER, append_file, digest, name_seed,
    random_tar, write_tar,
};
use super::lazy_gzip::LazyGzip;
use super::{elf, media_type};

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
        let mut layer = Self::lazy(name, size);
        let len = usize::try_from(size).expect("the layer fits in memory");
        layer.blob = Blob::Bytes(layer.blob.read(0, len));
        layer
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
        Self::from_files("pause", &[("pause", 0o755, &elf::pause_program())])
    }

    /// Like [`Layer::pause`], with the program `/exit`, which exits with 0 at once: for init
    /// containers.
    ///
    /// # Panics
    /// On a machine that is neither `x86_64` nor `aarch64`.
    #[must_use]
    pub fn exit() -> Self {
        Self::from_files("exit", &[("exit", 0o755, &elf::exit_program())])
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
