//! Index, manifest and config documents of an untrusted registry.
//!
//! The input is a list of documents separated by NUL bytes. Whatever they contain, the image built
//! from them keeps its invariants.
#![no_main]

use std::collections::{BTreeMap, BTreeSet};

use libfuzzer_sys::fuzz_target;
use pulltrace_agent_lib::source::containerd::image::{self, Document};
use pulltrace_core::Digest;

fuzz_target!(|bytes: &[u8]| {
    let texts = bytes.split(|byte| *byte == 0).take(8);
    let documents: Vec<Document> = texts
        .filter_map(|text| image::parse_document(std::str::from_utf8(text).ok()?).ok())
        .collect();

    let mut indexes = Vec::new();
    let mut manifests = BTreeMap::new();
    let mut configs = Vec::new();
    for document in &documents {
        match document {
            Document::Index(index) => indexes.push(index),
            Document::Manifest(manifest) => {
                let digest = digest(manifests.len());
                manifests.insert(digest, manifest.clone());
            }
            Document::Config(config) => configs.push(config),
        }
    }

    let content: BTreeSet<Digest> = manifests.keys().cloned().collect();
    for index in indexes {
        let candidates = image::candidates(index, &content);
        assert!(candidates.iter().all(|digest| content.contains(digest)));
        let held: BTreeSet<Digest> =
            manifests.values().flat_map(|manifest| manifest.layers().take(1).cloned()).collect();
        for held in [&held, &BTreeSet::new()] {
            let selected = image::select(index, &manifests, held, "linux/amd64");
            assert!(selected.iter().all(|digest| candidates.contains(digest)));
            assert_eq!(selected.is_empty(), candidates.is_empty());
        }
    }

    let parts: Vec<_> =
        manifests.iter().zip(&configs).map(|((d, m), c)| (d.clone(), m, *c)).collect();
    let Ok(image) = image::assemble(digest(0), &parts) else {
        return;
    };
    let unique: BTreeSet<&Digest> = image.layers.iter().map(|layer| &layer.digest).collect();
    assert_eq!(unique.len(), image.layers.len(), "layers are unique");
    let sum: u128 = image.layers.iter().map(|layer| u128::from(layer.size.0)).sum();
    assert_eq!(u128::from(image.total().0), sum, "total equals the sum of the layers");
    assert!(sum <= i64::MAX as u128, "total fits into 63 bits");
    for (place, layer) in image.layers.iter().enumerate() {
        assert!(!layer.chains.is_empty(), "each layer has a chain ID");
        assert_eq!(image.layer(&layer.digest), Some(place));
        assert!(layer.created_by.as_ref().is_none_or(|step| step.chars().count() <= 120));
    }
});

/// Returns a digest that seeds can name in an index: its number with 64 digits.
fn digest(number: usize) -> Digest {
    format!("sha256:{number:064x}").parse().expect("valid digest")
}
