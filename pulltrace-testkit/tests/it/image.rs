//! Built images have exactly the requested properties.

use std::collections::BTreeSet;
use std::io::Read as _;

use pulltrace_testkit::image::{
    Image, Layer, MIN_GZIP_SIZE, MIN_TAR_SIZE, Platform, digest, media_type, mib,
};

fn bytes(layer: &Layer) -> Vec<u8> {
    layer.blob().read(0, usize::try_from(layer.size()).unwrap()).to_vec()
}

fn unpack(layer: &Layer) -> Vec<u8> {
    let mut tar = Vec::new();
    flate2::bufread::GzDecoder::new(bytes(layer).as_slice()).read_to_end(&mut tar).unwrap();
    tar
}

fn sizes_in(tar: &[u8]) -> Vec<u64> {
    tar::Archive::new(tar).entries().unwrap().map(|entry| entry.unwrap().size()).collect()
}

#[test]
fn random_layer_has_exact_size_and_unpacks() {
    let around_a_block = 65_535 + 18 + 5;
    let sizes = (MIN_GZIP_SIZE..MIN_GZIP_SIZE + 1100)
        .step_by(7)
        .chain(around_a_block - 1040..around_a_block + 1040)
        .chain([10_000, mib(1), mib(1) + 1, 3_333_333]);
    for size in sizes {
        let layer = Layer::random("exact", size);
        assert_eq!(layer.size(), size);
        assert_eq!(layer.digest(), digest(&bytes(&layer)));
        let tar = unpack(&layer);
        assert_eq!(layer.diff_id(), digest(&tar), "{size}");
        assert_eq!(sizes_in(&tar).len(), 1);
    }
}

#[test]
fn random_layer_is_incompressible_and_seeded_by_name() {
    let layer = Layer::random("a", 100_000);
    let content = unpack(&layer);
    let packed = {
        let mut gzip =
            flate2::read::GzEncoder::new(content.as_slice(), flate2::Compression::best());
        let mut out = Vec::new();
        gzip.read_to_end(&mut out).unwrap();
        out
    };
    assert!(packed.len() > 95_000, "compressed to {}", packed.len());
    assert_eq!(layer.digest(), Layer::random("a", 100_000).digest());
    assert_ne!(layer.digest(), Layer::random("b", 100_000).digest());
}

#[test]
fn plain_tar_digest_equals_diff_id() {
    for size in [MIN_TAR_SIZE, 2048, mib(1)] {
        let layer = Layer::random_tar("plain", size);
        assert_eq!(layer.size(), size);
        assert_eq!(layer.digest(), layer.diff_id());
        assert_eq!(sizes_in(&bytes(&layer)), [size - MIN_TAR_SIZE]);
    }
}

#[test]
fn many_files_are_small_compressed_and_large_unpacked() {
    let layer = Layer::many_files("many", 2_000, 3_000);
    assert!(layer.size() < 400_000, "{} bytes", layer.size());
    assert_eq!(sizes_in(&unpack(&layer)), vec![3_000; 2_000]);
}

#[test]
fn empty_and_zero_byte_layers_differ() {
    assert!(sizes_in(&unpack(&Layer::empty())).is_empty());
    let none = Layer::zero_bytes();
    assert_eq!(none.size(), 0);
    assert_eq!(none.digest(), digest(b""));
}

#[test]
fn declared_layer_is_readable_at_any_offset() {
    let size = 5 * 1024 * mib(1) + 3;
    let layer = Layer::with_wrong_digest("huge", size);
    assert_eq!(layer.size(), size);
    let far = layer.blob().read(size - 10, 64);
    assert_eq!(far.len(), 10);
    // Overlapping reads agree, whatever their offsets.
    assert_eq!(layer.blob().read(size - 7, 64), far[3..]);
    assert!(layer.blob().read(size, 1).is_empty());
    assert!(layer.blob().read(size + 1, 1).is_empty());
}

#[test]
fn chain_ids_follow_image_spec() {
    let (a, b) = (Layer::random("a", 5_000), Layer::random("b", 5_000));
    let image = Image::builder().layer(&a).layer(&b).layer(&a).build();
    let layers = image.layers();
    assert_eq!(layers[0].chain_id, a.diff_id());
    let second = digest(format!("{} {}", a.diff_id(), b.diff_id()).as_bytes());
    assert_eq!(layers[1].chain_id, second);
    let third = digest(format!("{second} {}", a.diff_id()).as_bytes());
    assert_eq!(layers[2].chain_id, third);
    assert_eq!(image.manifest().unique_layer_bytes(), 10_000);
}

#[test]
fn label_changes_config_but_no_layer() {
    let layer = Layer::random("a", 5_000);
    let build = |version| Image::builder().layer(&layer).label("version", version).build();
    let (one, two) = (build("1"), build("2"));
    assert_eq!(one.layers(), two.layers());
    assert_ne!(one.manifest().config, two.manifest().config);
    assert_ne!(one.root, two.root);
    assert_eq!(one.root, build("1").root);
}

#[test]
fn index_lists_manifests_and_attestation() {
    let image = |platform, name| {
        Image::builder().platform(platform).layer(&Layer::random(name, 5_000)).build()
    };
    let here = image(Platform::host(), "here");
    let there = image(Platform::foreign(), "there");
    let index = Image::index().image(&there).image(&here).attestation().build();
    assert_eq!(index.root.media_type, media_type::INDEX);
    assert_eq!(index.manifest(), here.manifest());
    let platforms: Vec<_> = index.manifests.iter().map(|m| m.platform.clone()).collect();
    assert_eq!(platforms, [Platform::foreign(), Platform::host(), Platform::unknown()]);
    assert!(index.manifests[2].attestation);
    let digests: BTreeSet<_> = index.manifests.iter().map(|m| &m.descriptor.digest).collect();
    assert_eq!(digests.len(), 3);
}
