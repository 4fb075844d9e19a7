//! Documents as registries serve them, and documents as nobody should.

use serde_json::{Value, json};

use super::*;

fn d(n: u64) -> Digest {
    format!("sha256:{n:064x}").parse().unwrap()
}

fn layer(n: u64, size: i64) -> Value {
    let media_type = "application/vnd.oci.image.layer.v1.tar+gzip";
    json!({ "mediaType": media_type, "digest": d(n).as_str(), "size": size })
}

fn manifest_json(layers: &[Value]) -> Value {
    json!({
        "schemaVersion": 2,
        "mediaType": "application/vnd.oci.image.manifest.v1+json",
        "config": {
            "mediaType": "application/vnd.oci.image.config.v1+json",
            "digest": d(99).as_str(),
            "size": 7143,
        },
        "layers": layers,
    })
}

fn config_json(diff_ids: &[u64]) -> Value {
    let diff_ids: Vec<_> = diff_ids.iter().map(|n| d(*n).to_string()).collect();
    json!({
        "architecture": "arm", "variant": "v7", "os": "linux",
        "config": { "Env": ["PATH=/usr/bin"], "Cmd": ["sh"] },
        "rootfs": { "type": "layers", "diff_ids": diff_ids },
    })
}

fn manifest(layers: &[Value]) -> Manifest {
    match read(&manifest_json(layers).to_string()) {
        Ok(Document::Manifest(manifest)) => manifest,
        other => panic!("no manifest: {other:?}"),
    }
}

fn config(json: &Value) -> Config {
    match read(&json.to_string()) {
        Ok(Document::Config(config)) => config,
        other => panic!("no config: {other:?}"),
    }
}

fn entry(n: u64, platform: &str) -> Value {
    let (os, architecture) = platform.split_once('/').unwrap();
    json!({
        "mediaType": "application/vnd.oci.image.manifest.v1+json", "digest": d(n).as_str(), "size": 1024,
        "platform": { "os": os, "architecture": architecture },
    })
}

fn attestation(n: u64, platform: &str) -> Value {
    let mut attestation = entry(n, platform);
    attestation["annotations"] = json!({
        "vnd.docker.reference.digest": d(1).as_str(),
        "vnd.docker.reference.type": "attestation-manifest",
    });
    attestation
}

fn index(entries: &[Value]) -> Index {
    let json = json!({
        "schemaVersion": 2, "mediaType": "application/vnd.oci.image.index.v1+json", "manifests": entries,
    });
    match read(&json.to_string()) {
        Ok(Document::Index(index)) => index,
        other => panic!("no index: {other:?}"),
    }
}

fn held(all: &[u64]) -> BTreeSet<Digest> {
    all.iter().map(|n| d(*n)).collect()
}

#[test]
fn an_image_is_what_manifest_and_config_say_together() {
    let manifest = manifest(&[layer(1, 100), layer(2, 0), layer(3, 5 << 30)]);
    let mut json = config_json(&[11, 12, 13]);
    json["history"] = json!([
        { "created_by": "/bin/sh -c #(nop) ADD file:1 in / " },
        { "created_by": "ENV TOKEN=s3cret", "empty_layer": true },
        { "created_by": "RUN |1 TOKEN=s3cret /bin/sh -c make # buildkit" },
        { "created_by": "COPY app /app # buildkit", "empty_layer": false, "comment": "x" },
    ]);
    let image = assemble(d(7), &[(d(8), &manifest, &config(&json))]).unwrap();
    assert_eq!(
        (&image.root, image.manifests.as_slice()),
        (&d(7), [d(8)].as_slice())
    );
    assert_eq!(image.platform.as_deref(), Some("linux/arm/v7"));
    assert_eq!(image.total(), Bytes(100 + (5 << 30)));
    let steps: Vec<_> = image
        .layers
        .iter()
        .map(|layer| layer.created_by.as_deref().unwrap())
        .collect();
    assert_eq!(steps, ["ADD file:1 in /", "RUN make", "COPY app /app"]);
    assert!(
        image
            .layers
            .iter()
            .all(|layer| layer.compression == Compression::Gzip)
    );
}

/// The second is what `printf '%s %s' A B | sha256sum` says of the first two.
#[test]
fn chain_ids_are_those_of_containerd() {
    let diff_ids = [
        "sha256:e7eea1b5b4ebc1c8a9c4a6a3e4d4b1e8f6d4b2c0a8e6d4c2b0a8e6d4c2b0a8e6",
        "sha256:0f5ef1c4a8b2d6e0f4a8c2d6e0f4a8c2d6e0f4a8c2d6e0f4a8c2d6e0f4a8c2d6",
    ];
    let diff_ids = diff_ids.map(|text| text.parse::<Digest>().unwrap());
    let chains = chain_ids(&diff_ids);
    assert_eq!(chains[0], diff_ids[0]);
    assert_eq!(
        chains[1].as_str(),
        "sha256:662ca80f9a9006d587c602ad33dd40dcec3445fe94b5165eaadec1e4b6e35577"
    );
    assert_eq!(chain_ids(&[]), []);
}

#[test]
fn documents_are_told_apart_by_what_they_hold() {
    let docker = json!({
        "schemaVersion": 2, "mediaType": "application/vnd.docker.distribution.manifest.list.v2+json",
        "manifests": [],
    });
    assert!(matches!(read(&docker.to_string()), Ok(Document::Index(_))));
    // The config of an image has a member `config` too.
    assert!(matches!(
        read(&config_json(&[1]).to_string()),
        Ok(Document::Config(_))
    ));
    assert!(matches!(
        read(&manifest_json(&[]).to_string()),
        Ok(Document::Manifest(_))
    ));
    for neither in [
        "{}",
        r#"{"config":{}}"#,
        r#"{"fsLayers":[],"schemaVersion":1}"#,
        r#"{"layers":[]}"#,
    ] {
        assert_eq!(read(neither), Err(ImageError::UnknownDocument), "{neither}");
    }
}

#[test]
fn an_image_of_no_layers_is_one() {
    let mut json = config_json(&[]);
    json["rootfs"]["diff_ids"] = Value::Null;
    let image = assemble(d(1), &[(d(1), &manifest(&[]), &config(&json))]).unwrap();
    assert_eq!((image.layers.len(), image.total()), (0, Bytes::ZERO));
}

#[test]
fn a_layer_that_occurs_twice_counts_once_and_keeps_both_chains() {
    let manifest = manifest(&[layer(1, 10), layer(2, 20), layer(1, 10)]);
    let image = assemble(
        d(7),
        &[(d(8), &manifest, &config(&config_json(&[11, 12, 11])))],
    )
    .unwrap();
    assert_eq!(image.total(), Bytes(30));
    assert_eq!(image.layers.len(), 2);
    assert_eq!(image.layers[0].chains.len(), 2);
    assert_eq!(image.layers[0].chains[0], d(11));
}

#[test]
fn two_manifests_make_one_image_of_the_union_of_their_layers() {
    let (one, two) = (
        manifest(&[layer(1, 10), layer(2, 20)]),
        manifest(&[layer(1, 10), layer(3, 30)]),
    );
    let (c1, c2) = (
        config(&config_json(&[11, 12])),
        config(&config_json(&[11, 13])),
    );
    let image = assemble(d(7), &[(d(8), &one, &c1), (d(9), &two, &c2)]).unwrap();
    assert_eq!(image.manifests, [d(8), d(9)]);
    assert_eq!(image.total(), Bytes(60));
    let digests: Vec<_> = image
        .layers
        .iter()
        .map(|layer| layer.digest.clone())
        .collect();
    assert_eq!(digests, [d(1), d(2), d(3)]);
    assert_eq!(
        image.layers[0].chains,
        [d(11)],
        "the same place in both is one chain"
    );
}

#[test]
fn history_that_does_not_fit_the_layers_is_not_known() {
    let manifest = manifest(&[layer(1, 10), layer(2, 20)]);
    let mut json = config_json(&[11, 12]);
    json["history"] =
        json!([{ "created_by": "one" }, { "created_by": "two" }, { "created_by": "three" }]);
    let image = assemble(d(7), &[(d(8), &manifest, &config(&json))]).unwrap();
    assert!(image.layers.iter().all(|layer| layer.created_by.is_none()));
}

#[test]
fn only_what_is_held_and_is_an_image_is_a_candidate() {
    let index = index(&[
        entry(1, "linux/amd64"),
        entry(2, "linux/arm64"),
        attestation(3, "unknown/unknown"),
        entry(4, "unknown/unknown"),
        attestation(5, "linux/amd64"),
        entry(1, "linux/amd64"),
    ]);
    assert_eq!(candidates(&index, &held(&[1, 3, 4, 5])), [d(1)]);
    assert_eq!(candidates(&index, &held(&[2, 1])), [d(1), d(2)]);
    assert_eq!(candidates(&index, &held(&[])), []);
}

#[test]
fn an_entry_without_a_platform_is_a_candidate() {
    let index = index(&[json!({ "digest": d(1).as_str(), "size": 3 })]);
    assert_eq!(candidates(&index, &held(&[1])), [d(1)]);
}

#[test]
fn of_all_platforms_that_one_is_chosen_whose_layers_are_pulled() {
    let index = index(&[
        entry(1, "linux/arm64"),
        entry(2, "linux/amd64"),
        entry(3, "linux/amd64"),
    ]);
    let one = |n: u64| (d(n), manifest(&[layer(10 + n, 5)]));
    let all: BTreeMap<_, _> = [one(1), one(2), one(3)].into();
    assert_eq!(
        select(&index, &all, &held(&[11]), "linux/amd64"),
        [d(1)],
        "the layers decide"
    );
    assert_eq!(
        select(&index, &all, &held(&[12]), "linux/s390x"),
        [d(2), d(3)],
        "and all like it"
    );
    assert_eq!(
        select(&index, &all, &held(&[]), "linux/amd64"),
        [d(2), d(3)],
        "then the host"
    );
    assert_eq!(
        select(&index, &all, &held(&[]), "linux/s390x"),
        [d(1)],
        "then the order"
    );
    let read: BTreeMap<_, _> = [one(3)].into();
    assert_eq!(
        select(&index, &read, &held(&[12]), "linux/arm64"),
        [d(3)],
        "only what was read"
    );
    assert_eq!(
        select(&index, &BTreeMap::new(), &held(&[12]), "linux/arm64"),
        []
    );
}

#[test]
fn a_platform_is_found_however_it_is_written() {
    let mut arm = entry(1, "linux/arm64");
    arm["platform"]["variant"] = json!("v8");
    let mut old = entry(4, "linux/arm");
    old["platform"]["variant"] = json!("v6");
    let index = index(&[
        arm,
        attestation(2, "linux/arm64"),
        entry(3, "linux/arm"),
        old,
        entry(5, "linux/arm64"),
        entry(1, "linux/arm64"),
    ]);
    assert_eq!(index.of_platform("linux/arm64"), [d(1), d(5)]);
    assert_eq!(index.of_platform("linux/arm/v7"), [d(3)]);
    assert_eq!(index.of_platform("linux/arm/v6"), [d(4)]);
    assert_eq!(index.of_platform("linux/s390x"), []);
}

#[track_caller]
fn refused(json: &Value) -> ImageError {
    read(&json.to_string()).expect_err("it was taken")
}

#[test]
fn sizes_that_cannot_be_are_refused() {
    for (size, text) in [
        (json!(-1), "-1"),
        (json!(u64::MAX), "18446744073709551615"),
        (json!(1.5), "1.5"),
        (json!(1e30), "1e+30"),
    ] {
        let mut bad = layer(1, 1);
        bad["size"] = size;
        assert_eq!(
            refused(&manifest_json(&[bad])),
            ImageError::Size(text.into())
        );
    }
    let mut bad = layer(1, 1);
    bad["size"] = Value::Null;
    assert_eq!(refused(&manifest_json(&[bad])), ImageError::NoSize);
    let mut bad = layer(1, 1);
    bad["size"] = json!("12");
    assert!(matches!(
        refused(&manifest_json(&[bad])),
        ImageError::Json { .. }
    ));

    let huge = manifest(&[layer(1, i64::MAX), layer(2, 1)]);
    let error = assemble(d(7), &[(d(8), &huge, &config(&config_json(&[1, 2])))]);
    assert_eq!(error, Err(ImageError::SizesOverflow));
}

#[test]
fn one_layer_has_one_size() {
    let manifest = manifest(&[layer(1, 10), layer(1, 11)]);
    let error = assemble(d(7), &[(d(8), &manifest, &config(&config_json(&[1, 1])))]);
    assert_eq!(
        error,
        Err(ImageError::TwoSizes {
            digest: d(1),
            one: Bytes(10),
            other: Bytes(11)
        })
    );
}

#[test]
fn digests_that_are_none_are_refused() {
    for bad in [json!("sha256:abc"), json!(""), Value::Null, json!("latest")] {
        let mut wrong = layer(1, 1);
        wrong["digest"] = bad.clone();
        assert!(
            matches!(refused(&manifest_json(&[wrong])), ImageError::Digest(_)),
            "{bad}"
        );
        let mut wrong = entry(1, "linux/amd64");
        wrong["digest"] = bad.clone();
        assert!(
            matches!(
                refused(&json!({ "manifests": [wrong] })),
                ImageError::Digest(_)
            ),
            "{bad}"
        );
    }
    let wrong = json!({ "rootfs": { "diff_ids": ["x"] } });
    assert!(matches!(refused(&wrong), ImageError::Digest(_)));
}

#[test]
fn lists_have_a_limit() {
    let layers: Vec<_> = (0..10_000).map(|n| layer(n, 1)).collect();
    let error = refused(&manifest_json(&layers));
    assert_eq!(
        error,
        ImageError::TooMany {
            what: "layers",
            count: 10_000,
            limit: MAX_LAYERS
        }
    );
    assert_eq!(manifest(&layers[..MAX_LAYERS]).layers().len(), MAX_LAYERS);

    let entries: Vec<_> = (0..1_001).map(|n| entry(n, "linux/amd64")).collect();
    let error = refused(&json!({ "manifests": entries }));
    assert_eq!(
        error,
        ImageError::TooMany {
            what: "index entries",
            count: 1_001,
            limit: 1_000
        }
    );

    let ids: Vec<_> = (0..1_001).collect();
    assert!(matches!(
        refused(&config_json(&ids)),
        ImageError::TooMany {
            what: "diff ids",
            ..
        }
    ));

    let (one, two) = (
        manifest(&layers[..MAX_LAYERS]),
        manifest(&layers[1_000..2_000]),
    );
    let c = config(&config_json(&ids[..MAX_LAYERS]));
    let error = assemble(d(7), &[(d(8), &one, &c), (d(9), &two, &c)]);
    assert!(matches!(
        error,
        Err(ImageError::TooMany {
            what: "layers",
            count: 2_000,
            ..
        })
    ));

    // The memory for a list is bounded by its limit, not by the document.
    let many = format!(r#"{{"manifests":[{}{{}}]}}"#, "{},".repeat(1_000_000));
    assert!(matches!(
        read(&many),
        Err(ImageError::TooMany {
            count: 1_000_001,
            ..
        })
    ));
    let long = " ".repeat(MAX_DOCUMENT + 1);
    assert_eq!(read(&long), Err(ImageError::TooLong(MAX_DOCUMENT + 1)));
}

#[test]
fn what_does_not_belong_together_is_refused() {
    let error = assemble(
        d(7),
        &[(
            d(8),
            &manifest(&[layer(1, 1)]),
            &config(&config_json(&[1, 2])),
        )],
    );
    assert_eq!(
        error,
        Err(ImageError::LayerCount {
            layers: 1,
            diff_ids: 2
        })
    );
    assert_eq!(assemble(d(7), &[]), Err(ImageError::NoManifest));
}

#[test]
fn what_is_cut_off_or_no_json_is_refused() {
    let whole = manifest_json(&[layer(1, 1), layer(2, 2)]).to_string();
    for end in 0..whole.len() {
        let part = whole.get(..end).unwrap();
        assert!(matches!(read(part), Err(ImageError::Json { .. })), "{part}");
    }
    for bad in [
        "[]",
        "[[],null,null,null]",
        "null",
        "7",
        "\"x\"",
        "\u{0}",
        &"[".repeat(100_000),
        &r#"{"manifests":"#.repeat(10_000),
    ] {
        assert!(matches!(read(bad), Err(ImageError::Json { .. })));
    }
}

proptest::proptest! {
    #[test]
    fn any_text_is_read_or_refused(text in ".{0,600}") {
        drop(read(&text));
    }

    /// Real documents with something overwritten in the middle.
    #[test]
    fn a_damaged_document_is_read_or_refused(
        which in 0..3_usize, at in 0..600_usize, junk in "[-\\[\\]{}\",:0-9a-z\u{0}]{1,12}",
    ) {
        let json = match which {
            0 => manifest_json(&[layer(1, 1), layer(2, 2)]),
            1 => config_json(&[1, 2]),
            _ => json!({ "manifests": [entry(1, "linux/amd64"), attestation(2, "unknown/unknown")] }),
        };
        let mut text = json.to_string();
        let at = at % text.len();
        let end = (at + junk.len()).min(text.len());
        text.replace_range(at..end, &junk);
        if let Ok(Document::Manifest(manifest)) = read(&text) {
            let c = config(&config_json(&[1, 2]));
            drop(assemble(d(7), &[(d(8), &manifest, &c)]));
        }
    }

    /// Whatever the layers are: each once, the sum exact, as many chains as places.
    #[test]
    fn the_union_holds_each_layer_once(
        first in proptest::collection::vec((0..6_u64, 0..6_u64), 0..12),
        second in proptest::collection::vec((0..6_u64, 0..6_u64), 0..12),
    ) {
        let part = |layers: &[(u64, u64)]| {
            let all: Vec<_> = layers.iter().map(|(n, _)| layer(*n, i64::try_from(*n).unwrap() * 1000)).collect();
            let ids: Vec<_> = layers.iter().map(|(_, id)| *id).collect();
            (manifest(&all), config(&config_json(&ids)))
        };
        let ((m1, c1), (m2, c2)) = (part(&first), part(&second));
        let image = assemble(d(70), &[(d(80), &m1, &c1), (d(90), &m2, &c2)]).unwrap();
        let unique: BTreeSet<u64> = first.iter().chain(&second).map(|(n, _)| *n).collect();
        proptest::prop_assert_eq!(image.layers.len(), unique.len());
        proptest::prop_assert_eq!(image.total(), Bytes(unique.iter().map(|n| n * 1000).sum()));
        for (i, layer) in image.layers.iter().enumerate() {
            proptest::prop_assert_eq!(image.layer(&layer.digest), Some(i));
            proptest::prop_assert!(!layer.chains.is_empty());
        }
    }
}
