//! Valid documents as served by registries, and invalid ones.

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
    match parse_document(&manifest_json(layers).to_string()) {
        Ok(Document::Manifest(manifest)) => manifest,
        other => panic!("expected a manifest: {other:?}"),
    }
}

fn config(json: &Value) -> Config {
    match parse_document(&json.to_string()) {
        Ok(Document::Config(config)) => config,
        other => panic!("expected a config: {other:?}"),
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
    match parse_document(&json.to_string()) {
        Ok(Document::Index(index)) => index,
        other => panic!("expected an index: {other:?}"),
    }
}

fn held(all: &[u64]) -> BTreeSet<Digest> {
    all.iter().map(|n| d(*n)).collect()
}

#[test]
fn image_is_assembled_from_manifest_and_config() {
    let manifest = manifest(&[layer(1, 100), layer(2, 0), layer(3, 5 << 30)]);
    let mut json = config_json(&[11, 12, 13]);
    json["history"] = json!([
        { "created_by": "/bin/sh -c #(nop) ADD file:1 in / " },
        { "created_by": "ENV TOKEN=s3cret", "empty_layer": true },
        { "created_by": "RUN |1 TOKEN=s3cret /bin/sh -c make # buildkit" },
        { "created_by": "COPY app /app # buildkit", "empty_layer": false, "comment": "x" },
    ]);
    let image = assemble(d(7), &[(d(8), &manifest, &config(&json))]).unwrap();
    assert_eq!((&image.root, image.manifests.as_slice()), (&d(7), [d(8)].as_slice()));
    assert_eq!(image.platform.as_deref(), Some("linux/arm/v7"));
    assert_eq!(image.total(), Bytes(100 + (5 << 30)));
    let steps: Vec<_> =
        image.layers.iter().map(|layer| layer.created_by.as_deref().unwrap()).collect();
    assert_eq!(steps, ["ADD file:1 in /", "RUN make", "COPY app /app"]);
    assert!(image.layers.iter().all(|layer| layer.compression == Compression::Gzip));
}

/// The second chain id was computed with `printf '%s %s' A B | sha256sum` from the diff ids.
#[test]
fn chain_ids_match_containerd() {
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
fn document_type_is_detected_from_content() {
    let docker = json!({
        "schemaVersion": 2, "mediaType": "application/vnd.docker.distribution.manifest.list.v2+json",
        "manifests": [],
    });
    assert!(matches!(parse_document(&docker.to_string()), Ok(Document::Index(_))));
    // An image config has a member `config`, too.
    assert!(matches!(parse_document(&config_json(&[1]).to_string()), Ok(Document::Config(_))));
    assert!(matches!(parse_document(&manifest_json(&[]).to_string()), Ok(Document::Manifest(_))));
    for neither in
        ["{}", r#"{"config":{}}"#, r#"{"fsLayers":[],"schemaVersion":1}"#, r#"{"layers":[]}"#]
    {
        assert_eq!(parse_document(neither), Err(ImageError::UnknownDocument), "{neither}");
    }
}

#[test]
fn image_may_have_no_layers() {
    let mut json = config_json(&[]);
    json["rootfs"]["diff_ids"] = Value::Null;
    let image = assemble(d(1), &[(d(1), &manifest(&[]), &config(&json))]).unwrap();
    assert_eq!((image.layers.len(), image.total()), (0, Bytes::ZERO));
}

#[test]
fn repeated_layer_is_merged_with_both_chains() {
    let manifest = manifest(&[layer(1, 10), layer(2, 20), layer(1, 10)]);
    let image = assemble(d(7), &[(d(8), &manifest, &config(&config_json(&[11, 12, 11])))]).unwrap();
    assert_eq!(image.total(), Bytes(30));
    assert_eq!(image.layers.len(), 2);
    assert_eq!(image.layers[0].chains.len(), 2);
    assert_eq!(image.layers[0].chains[0], d(11));
}

#[test]
fn two_manifests_merge_into_one_image() {
    let (one, two) =
        (manifest(&[layer(1, 10), layer(2, 20)]), manifest(&[layer(1, 10), layer(3, 30)]));
    let (c1, c2) = (config(&config_json(&[11, 12])), config(&config_json(&[11, 13])));
    let image = assemble(d(7), &[(d(8), &one, &c1), (d(9), &two, &c2)]).unwrap();
    assert_eq!(image.manifests, [d(8), d(9)]);
    assert_eq!(image.total(), Bytes(60));
    let digests: Vec<_> = image.layers.iter().map(|layer| layer.digest.clone()).collect();
    assert_eq!(digests, [d(1), d(2), d(3)]);
    assert_eq!(image.layers[0].chains, [d(11)], "the same position in both is one chain");
}

#[test]
fn history_of_wrong_length_is_ignored() {
    let manifest = manifest(&[layer(1, 10), layer(2, 20)]);
    let mut json = config_json(&[11, 12]);
    json["history"] =
        json!([{ "created_by": "one" }, { "created_by": "two" }, { "created_by": "three" }]);
    let image = assemble(d(7), &[(d(8), &manifest, &config(&json))]).unwrap();
    assert!(image.layers.iter().all(|layer| layer.created_by.is_none()));
}

#[test]
fn candidates_are_held_images_only() {
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
fn entry_without_platform_is_candidate() {
    let index = index(&[json!({ "digest": d(1).as_str(), "size": 3 })]);
    assert_eq!(candidates(&index, &held(&[1])), [d(1)]);
}

#[test]
fn select_prefers_platform_with_held_layers() {
    let index = index(&[entry(1, "linux/arm64"), entry(2, "linux/amd64"), entry(3, "linux/amd64")]);
    let one = |n: u64| (d(n), manifest(&[layer(10 + n, 5)]));
    let all: BTreeMap<_, _> = [one(1), one(2), one(3)].into();
    assert_eq!(select(&index, &all, &held(&[11]), "linux/amd64"), [d(1)], "held layers decide");
    assert_eq!(
        select(&index, &all, &held(&[12]), "linux/s390x"),
        [d(2), d(3)],
        "with all manifests for the same platform"
    );
    assert_eq!(
        select(&index, &all, &held(&[]), "linux/amd64"),
        [d(2), d(3)],
        "then the host platform"
    );
    assert_eq!(select(&index, &all, &held(&[]), "linux/s390x"), [d(1)], "then index order");
    let read: BTreeMap<_, _> = [one(3)].into();
    assert_eq!(
        select(&index, &read, &held(&[12]), "linux/arm64"),
        [d(3)],
        "only manifests that were read"
    );
    assert_eq!(select(&index, &BTreeMap::new(), &held(&[12]), "linux/arm64"), []);
}

#[test]
fn equivalent_platforms_match() {
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
    assert_eq!(index.manifests_for_platform("linux/arm64"), [d(1), d(5)]);
    assert_eq!(index.manifests_for_platform("linux/arm/v7"), [d(3)]);
    assert_eq!(index.manifests_for_platform("linux/arm/v6"), [d(4)]);
    assert_eq!(index.manifests_for_platform("linux/s390x"), []);
}

#[track_caller]
fn parse_error(json: &Value) -> ImageError {
    parse_document(&json.to_string()).expect_err("expected an error")
}

#[test]
fn invalid_sizes_are_rejected() {
    for (size, text) in [
        (json!(-1), "-1"),
        (json!(u64::MAX), "18446744073709551615"),
        (json!(1.5), "1.5"),
        (json!(1e30), "1e+30"),
    ] {
        let mut bad = layer(1, 1);
        bad["size"] = size;
        assert_eq!(parse_error(&manifest_json(&[bad])), ImageError::Size(text.into()));
    }
    let mut bad = layer(1, 1);
    bad["size"] = Value::Null;
    assert_eq!(parse_error(&manifest_json(&[bad])), ImageError::NoSize);
    let mut bad = layer(1, 1);
    bad["size"] = json!("12");
    assert!(matches!(parse_error(&manifest_json(&[bad])), ImageError::Json { .. }));

    let huge = manifest(&[layer(1, i64::MAX), layer(2, 1)]);
    let error = assemble(d(7), &[(d(8), &huge, &config(&config_json(&[1, 2])))]);
    assert_eq!(error, Err(ImageError::SizesOverflow));
}

#[test]
fn conflicting_layer_sizes_are_rejected() {
    let manifest = manifest(&[layer(1, 10), layer(1, 11)]);
    let error = assemble(d(7), &[(d(8), &manifest, &config(&config_json(&[1, 1])))]);
    assert_eq!(error, Err(ImageError::TwoSizes { digest: d(1), one: Bytes(10), other: Bytes(11) }));
}

#[test]
fn invalid_digests_are_rejected() {
    for bad in [json!("sha256:abc"), json!(""), Value::Null, json!("latest")] {
        let mut wrong = layer(1, 1);
        wrong["digest"] = bad.clone();
        assert!(matches!(parse_error(&manifest_json(&[wrong])), ImageError::Digest(_)), "{bad}");
        let mut wrong = entry(1, "linux/amd64");
        wrong["digest"] = bad.clone();
        assert!(
            matches!(parse_error(&json!({ "manifests": [wrong] })), ImageError::Digest(_)),
            "{bad}"
        );
    }
    let wrong = json!({ "rootfs": { "diff_ids": ["x"] } });
    assert!(matches!(parse_error(&wrong), ImageError::Digest(_)));
}

#[test]
fn list_lengths_are_limited() {
    let layers: Vec<_> = (0..10_000).map(|n| layer(n, 1)).collect();
    let error = parse_error(&manifest_json(&layers));
    assert_eq!(error, ImageError::TooMany { what: "layers", count: 10_000, limit: MAX_LAYERS });
    assert_eq!(manifest(&layers[..MAX_LAYERS]).layers().len(), MAX_LAYERS);

    let entries: Vec<_> = (0..1_001).map(|n| entry(n, "linux/amd64")).collect();
    let error = parse_error(&json!({ "manifests": entries }));
    assert_eq!(error, ImageError::TooMany { what: "index entries", count: 1_001, limit: 1_000 });

    let ids: Vec<_> = (0..1_001).collect();
    assert!(matches!(
        parse_error(&config_json(&ids)),
        ImageError::TooMany { what: "diff ids", .. }
    ));

    let (one, two) = (manifest(&layers[..MAX_LAYERS]), manifest(&layers[1_000..2_000]));
    let c = config(&config_json(&ids[..MAX_LAYERS]));
    let error = assemble(d(7), &[(d(8), &one, &c), (d(9), &two, &c)]);
    assert!(matches!(error, Err(ImageError::TooMany { what: "layers", count: 2_000, .. })));

    // Memory is bounded by the limit, not by the size of the document.
    let many = format!(r#"{{"manifests":[{}{{}}]}}"#, "{},".repeat(1_000_000));
    assert!(matches!(parse_document(&many), Err(ImageError::TooMany { count: 1_000_001, .. })));
    let long = " ".repeat(MAX_DOCUMENT + 1);
    assert_eq!(parse_document(&long), Err(ImageError::TooLong(MAX_DOCUMENT + 1)));
}

#[test]
fn mismatched_manifest_and_config_are_rejected() {
    let error =
        assemble(d(7), &[(d(8), &manifest(&[layer(1, 1)]), &config(&config_json(&[1, 2])))]);
    assert_eq!(error, Err(ImageError::LayerCount { layers: 1, diff_ids: 2 }));
    assert_eq!(assemble(d(7), &[]), Err(ImageError::NoManifest));
}

#[test]
fn truncated_or_invalid_json_is_rejected() {
    let whole = manifest_json(&[layer(1, 1), layer(2, 2)]).to_string();
    for end in 0..whole.len() {
        let part = whole.get(..end).unwrap();
        assert!(matches!(parse_document(part), Err(ImageError::Json { .. })), "{part}");
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
        assert!(matches!(parse_document(bad), Err(ImageError::Json { .. })));
    }
}

proptest::proptest! {
    #[test]
    fn parse_document_accepts_any_text_without_panic(text in ".{0,600}") {
        drop(parse_document(&text));
    }

    /// Valid documents with a few overwritten bytes.
    #[test]
    fn damaged_document_does_not_panic(
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
        if let Ok(Document::Manifest(manifest)) = parse_document(&text) {
            let c = config(&config_json(&[1, 2]));
            drop(assemble(d(7), &[(d(8), &manifest, &c)]));
        }
    }

    /// Each layer occurs once, the total is exact, and every layer has a chain.
    #[test]
    fn merged_image_contains_each_layer_once(
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
