//! Invariants of the table that hold for any observations in any order.

use std::collections::{BTreeMap, HashSet};
use std::sync::Arc;
use std::time::Duration;

use proptest::prelude::*;
use pulltrace_core::{
    BlobObservation, Bytes, Compression, Digest, EndEvidence, Image, ImageLayer, LayerObservation,
    Limits, Mono, NodeTime, Now, Observation, Outcome, Percent, Phase, Pull, PullFact, PullId,
    PullTable,
};

const PULLS: usize = 3;
const LAYERS: usize = 5;

fn digest(kind: char, index: usize) -> Digest {
    format!("sha256:{}{index:063x}", if kind == 'l' { 'a' } else { 'b' }).parse().unwrap()
}

fn size(layer: usize) -> Bytes {
    // One layer is empty, and one is larger than any disk.
    Bytes([0, 10, 1_000, 5_000_000, u64::MAX / 8][layer])
}

fn id(pull: usize) -> PullId {
    PullId::Lease {
        node: "node-1".parse().unwrap(),
        // Two namespaces, as equal digests are tracked separately in each.
        namespace: if pull == 2 { "default" } else { "k8s.io" }.parse().unwrap(),
        lease: format!("{pull}-aaaa").parse().unwrap(),
        created: time(0),
    }
}

fn time(second: i64) -> NodeTime {
    NodeTime::from_unix(1_700_000_000 + second, 0)
}

/// The image of a pull; all images share the lower layers.
fn image(pull: usize) -> Arc<Image> {
    let layers = (0..LAYERS - pull).map(|index| ImageLayer {
        digest: digest('l', index),
        size: size(index),
        chains: vec![digest('c', index)],
        compression: Compression::Gzip,
        media_type: "application/vnd.oci.image.layer.v1.tar+gzip".into(),
        created_by: None,
    });
    Arc::new(Image {
        root: digest('r', pull),
        manifests: vec![digest('r', pull)],
        platform: None,
        layers: layers.collect(),
    })
}

fn blob_observations() -> impl Strategy<Value = BlobObservation> {
    prop_oneof![
        3 => (any::<u32>(), 0..40_i64, 0..40_i64).prop_map(|(offset, started, updated)| BlobObservation::Ingest {
            offset: Bytes(u64::from(offset) >> 8),
            started_at: time(started),
            updated_at: time(updated),
            by: Some(id(0)),
        }),
        1 => Just(BlobObservation::Complete),
    ]
}

fn layer_observations() -> impl Strategy<Value = LayerObservation> {
    prop_oneof![
        Just(LayerObservation::Cached),
        Just(LayerObservation::BlobCached),
        Just(LayerObservation::Remote),
        (0..PULLS, proptest::option::of(any::<u32>())).prop_map(|(by, written)| {
            LayerObservation::Unpacking {
                by: id(by),
                written: written.map(|bytes| Bytes(u64::from(bytes))),
            }
        }),
        Just(LayerObservation::Unpacked),
    ]
}

fn end_evidence() -> impl Strategy<Value = EndEvidence> {
    prop_oneof![
        Just(EndEvidence::ImagePresent),
        Just(EndEvidence::ImageAbsent),
        Just(EndEvidence::RuntimeRestarted),
        Just(EndEvidence::Inactive),
        Just(EndEvidence::Unobserved),
    ]
}

fn observations() -> impl Strategy<Value = Observation> {
    let pull = 0..PULLS;
    prop_oneof![
        4 => pull.clone().prop_map(|pull| PullFact::Started { at: time(0) }.of(id(pull))),
        2 => (pull.clone(), 0..PULLS).prop_map(|(pull, root)| PullFact::Root(digest('r', root)).of(id(pull))),
        4 => pull.clone().prop_map(|pull| PullFact::Image(image(pull)).of(id(pull))),
        12 => (0..LAYERS, any::<bool>(), blob_observations()).prop_map(|(layer, other, observed)| Observation::Blob {
            namespace: if other { "default" } else { "k8s.io" }.parse().unwrap(),
            digest: digest('l', layer),
            observed,
        }),
        8 => (pull.clone(), 0..LAYERS, layer_observations())
            .prop_map(|(pull, layer, observed)| PullFact::Layer { digest: digest('l', layer), observed }.of(id(pull))),
        1 => (pull, end_evidence()).prop_map(|(pull, evidence)| PullFact::Ended { evidence, at: time(20) }.of(id(pull))),
        1 => Just(Observation::DownloadSlots { per_node: Some(3) }),
        1 => Just(Observation::SourceLost),
        1 => Just(Observation::SourceRecovered),
    ]
}

/// Checks the invariants of two consecutive states of a pull.
fn check(was: Option<&Pull>, is: &Pull, saw_image: bool) -> Result<(), TestCaseError> {
    let done = is.motion.percent == Some(Percent::DONE);
    prop_assert_eq!(
        done,
        is.phase == Phase::Ended(Outcome::Completed),
        "100 % if and only if completed"
    );
    prop_assert!(!done || saw_image, "completed without evidence");
    prop_assert!(
        is.to_download.is_none_or(|all| is.motion.downloaded <= all),
        "bytes exceed their total"
    );
    prop_assert!(
        is.to_extract.is_none_or(|all| is.motion.extracted <= all),
        "bytes exceed their total"
    );
    prop_assert!(
        is.total.is_none_or(|total| is.to_download.unwrap() + is.cached == total),
        "the total is not the sum of its parts"
    );
    for layer in &is.layers {
        prop_assert!(layer.motion.downloaded <= layer.size, "the bytes of a layer exceed its size");
    }
    if let Some(eta) = is.motion.eta {
        prop_assert!(
            eta.low <= eta.left && eta.left <= eta.high,
            "the estimate is outside its range"
        );
    }
    let Some(was) = was else { return Ok(()) };
    prop_assert!(
        was.motion.percent.is_none_or(|before| is.motion.percent.is_some_and(|now| now >= before)),
        "the percentage decreased"
    );
    let is_final =
        matches!(was.outcome(), Some(Outcome::Completed | Outcome::Failed | Outcome::Cancelled));
    prop_assert!(!is_final || was.outcome() == is.outcome(), "a final outcome changed");
    prop_assert!(is.ended_at.is_some() == is.outcome().is_some());
    Ok(())
}

/// The node's totals, computed independently: each layer of live pulls once per namespace.
fn expected_totals(table: &PullTable) -> (Bytes, Bytes) {
    let (mut to_download, mut downloaded) = (Bytes::ZERO, Bytes::ZERO);
    let mut seen = HashSet::new();
    for pull in table.pulls().filter(|pull| pull.outcome().is_none()) {
        for layer in pull.layers.iter().filter(|layer| !layer.state.is_idle() && !layer.blob_cached)
        {
            if seen.insert((pull.id.namespace().clone(), layer.digest.clone())) {
                to_download += layer.size;
                downloaded += layer.motion.downloaded;
            }
        }
    }
    (to_download, downloaded)
}

proptest! {
    #[test]
    fn invariants_hold_for_any_observations(batches in proptest::collection::vec(
        (proptest::collection::vec(observations(), 0..6), 0..20_000_u64), 0..60,
    )) {
        let mut table = PullTable::new(Limits::default());
        let mut now = Now { mono: Mono::default(), node: time(0) };
        let mut before: BTreeMap<PullId, Pull> = BTreeMap::new();
        let mut present: HashSet<PullId> = HashSet::new();
        for (batch, milliseconds) in batches {
            now = now.plus(Duration::from_millis(milliseconds));
            for observation in &batch {
                if let Observation::Pull {
                    pull,
                    fact: PullFact::Ended { evidence: EndEvidence::ImagePresent, .. },
                } = observation {
                    present.insert(pull.clone());
                }
            }
            let revision = table.revision();
            let changes = table.apply(&batch, now);
            for change in &changes {
                prop_assert!(table.get(&change.pull.id).is_some_and(|pull| *pull == change.pull));
            }
            let changed: Vec<_> = table.changed_since(revision).map(|pull| &pull.id).collect();
            prop_assert_eq!(changed.len(), changes.len());
            for pull in table.pulls() {
                check(before.get(&pull.id), pull, present.contains(&pull.id))?;
            }
            let (to_download, downloaded) = expected_totals(&table);
            let node = table.totals(now);
            prop_assert_eq!((node.to_download, node.downloaded), (to_download, downloaded));
            before = table.pulls().map(|pull| (pull.id.clone(), Pull::clone(pull))).collect();
        }
    }

    #[test]
    fn repeated_observations_change_nothing(batch in proptest::collection::vec(observations(), 0..30)) {
        let now = Now { mono: Mono(Duration::from_secs(50)), node: time(50) };
        let mut table = PullTable::new(Limits::default());
        let quiet = |o: &&Observation| {
            !matches!(
                o,
                Observation::Blob { .. }
                    | Observation::Pull { fact: PullFact::Ended { .. } | PullFact::Root(_), .. }
            )
        };
        let batch: Vec<Observation> = batch.iter().filter(quiet).cloned().collect();
        // An observation is lost if it precedes one that it depends on, so it takes several rounds
        // until everything is known.
        for _ in 0..4 {
            table.apply(&batch, now);
        }
        let revision = table.revision();
        table.apply(&batch, now);
        prop_assert_eq!(table.revision(), revision, "repeated observations changed the table");
    }
}
