//! Whatever a source says, in whatever order: what is shown stays true.

use std::collections::{BTreeMap, HashSet};
use std::sync::Arc;
use std::time::Duration;

use proptest::prelude::*;
use pulltrace_core::{
    BlobSight, Bytes, Compression, Digest, Evidence, Image, ImageLayer, LayerSight, Limits, Mono,
    NodeTime, Now, Observation, Outcome, Percent, Phase, Pull, PullId, PullTable,
};

const PULLS: usize = 3;
const LAYERS: usize = 5;

fn digest(kind: char, index: usize) -> Digest {
    format!("sha256:{}{index:063x}", if kind == 'l' { 'a' } else { 'b' })
        .parse()
        .unwrap()
}

fn size(layer: usize) -> Bytes {
    // One layer is empty, and one is larger than any disk.
    Bytes([0, 10, 1_000, 5_000_000, u64::MAX / 8][layer])
}

fn id(pull: usize) -> PullId {
    PullId::Lease {
        node: "node-1".parse().unwrap(),
        // Two namespaces, so that equal digests may be apart.
        namespace: if pull == 2 { "default" } else { "k8s.io" }
            .parse()
            .unwrap(),
        lease: format!("{pull}-aaaa").parse().unwrap(),
        created: time(0),
    }
}

fn time(second: i64) -> NodeTime {
    NodeTime::from_unix(1_700_000_000 + second, 0)
}

/// The image of a pull: all share the lower layers.
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

fn blob_sights() -> impl Strategy<Value = BlobSight> {
    prop_oneof![
        3 => (any::<u32>(), 0..40_i64, 0..40_i64).prop_map(|(offset, started, updated)| BlobSight::Ingest {
            offset: Bytes(u64::from(offset) >> 8),
            started_at: time(started),
            updated_at: time(updated),
            by: Some(id(0)),
        }),
        1 => Just(BlobSight::Whole),
    ]
}

fn layer_sights() -> impl Strategy<Value = LayerSight> {
    prop_oneof![
        Just(LayerSight::Cached),
        Just(LayerSight::BlobCached),
        Just(LayerSight::Remote),
        (0..PULLS, proptest::option::of(any::<u32>())).prop_map(|(by, written)| {
            LayerSight::Unpacking {
                by: id(by),
                written: written.map(|bytes| Bytes(u64::from(bytes))),
            }
        }),
        Just(LayerSight::Unpacked),
    ]
}

fn ends() -> impl Strategy<Value = Evidence> {
    prop_oneof![
        Just(Evidence::ImagePresent),
        Just(Evidence::ImageAbsent),
        Just(Evidence::RuntimeRestarted),
        Just(Evidence::Silent),
        Just(Evidence::Unseen),
    ]
}

fn observations() -> impl Strategy<Value = Observation> {
    let pull = 0..PULLS;
    prop_oneof![
        4 => pull.clone().prop_map(|pull| Observation::Began { pull: id(pull), at: time(0) }),
        2 => (pull.clone(), 0..PULLS).prop_map(|(pull, root)| Observation::Root { pull: id(pull), root: digest('r', root) }),
        4 => pull.clone().prop_map(|pull| Observation::Image { pull: id(pull), image: image(pull) }),
        12 => (0..LAYERS, any::<bool>(), blob_sights()).prop_map(|(layer, other, sight)| Observation::Blob {
            namespace: if other { "default" } else { "k8s.io" }.parse().unwrap(),
            digest: digest('l', layer),
            sight,
        }),
        8 => (pull.clone(), 0..LAYERS, layer_sights())
            .prop_map(|(pull, layer, sight)| Observation::Layer { pull: id(pull), digest: digest('l', layer), sight }),
        1 => (pull, ends()).prop_map(|(pull, evidence)| Observation::Ended { pull: id(pull), evidence, at: time(20) }),
        1 => Just(Observation::Slots { per_node: Some(3) }),
        1 => Just(Observation::SourceLost),
        1 => Just(Observation::SourceBack),
    ]
}

/// What holds of any two states of a pull that follow each other.
fn check(was: Option<&Pull>, is: &Pull, shown_present: bool) -> Result<(), TestCaseError> {
    let done = is.percent == Some(Percent::DONE);
    prop_assert_eq!(
        done,
        is.phase == Phase::Ended(Outcome::Completed),
        "100 only at completed"
    );
    prop_assert!(!done || shown_present, "completed without evidence");
    prop_assert!(
        is.to_download.is_none_or(|all| is.downloaded <= all),
        "bytes above totals"
    );
    prop_assert!(
        is.to_extract.is_none_or(|all| is.extracted <= all),
        "bytes above totals"
    );
    prop_assert!(
        is.total
            .is_none_or(|total| is.to_download.unwrap() + is.cached == total),
        "a total that is no sum"
    );
    for layer in &is.layers {
        prop_assert!(
            layer.downloaded <= layer.size,
            "a layer has more bytes than it has"
        );
    }
    if let Some(eta) = is.eta {
        prop_assert!(
            eta.low <= eta.left && eta.left <= eta.high,
            "a range that is none"
        );
    }
    let Some(was) = was else { return Ok(()) };
    prop_assert!(
        was.percent
            .is_none_or(|before| is.percent.is_some_and(|now| now >= before)),
        "percent went back"
    );
    let stands = matches!(
        was.outcome(),
        Some(Outcome::Completed | Outcome::Failed | Outcome::Cancelled)
    );
    prop_assert!(
        !stands || was.outcome() == is.outcome(),
        "an end was taken back"
    );
    prop_assert!(is.ended_at.is_some() == is.outcome().is_some());
    Ok(())
}

/// The node's sums, counted by hand: each layer of live pulls once in a namespace.
fn sums(table: &PullTable) -> (Bytes, Bytes) {
    let (mut to_download, mut downloaded) = (Bytes::ZERO, Bytes::ZERO);
    let mut seen = HashSet::new();
    for pull in table.pulls().filter(|pull| pull.outcome().is_none()) {
        for layer in pull
            .layers
            .iter()
            .filter(|layer| !layer.state.is_idle() && !layer.blob_cached)
        {
            if seen.insert((pull.id.namespace().clone(), layer.digest.clone())) {
                to_download += layer.size;
                downloaded += layer.downloaded;
            }
        }
    }
    (to_download, downloaded)
}

proptest! {
    #[test]
    fn what_is_shown_stays_true(batches in proptest::collection::vec(
        (proptest::collection::vec(observations(), 0..6), 0..20_000_u64), 0..60,
    )) {
        let mut table = PullTable::new(Limits::default());
        let mut now = Now { mono: Mono::default(), node: time(0) };
        let mut before: BTreeMap<PullId, Pull> = BTreeMap::new();
        let mut present: HashSet<PullId> = HashSet::new();
        for (batch, milliseconds) in batches {
            now = now.plus(Duration::from_millis(milliseconds));
            for observation in &batch {
                if let Observation::Ended { pull, evidence: Evidence::ImagePresent, .. } = observation {
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
            let (to_download, downloaded) = sums(&table);
            let node = table.sums(now);
            prop_assert_eq!((node.to_download, node.downloaded), (to_download, downloaded));
            before = table.pulls().map(|pull| (pull.id.clone(), Pull::clone(pull))).collect();
        }
    }

    #[test]
    fn saying_it_twice_changes_nothing(batch in proptest::collection::vec(observations(), 0..30)) {
        let now = Now { mono: Mono(Duration::from_secs(50)), node: time(50) };
        let mut table = PullTable::new(Limits::default());
        let quiet = |o: &&Observation| !matches!(o, Observation::Ended { .. } | Observation::Blob { .. } | Observation::Root { .. });
        let batch: Vec<Observation> = batch.iter().filter(quiet).cloned().collect();
        // What comes before that which it needs is lost, so it takes some rounds until all is known.
        for _ in 0..4 {
            table.apply(&batch, now);
        }
        let revision = table.revision();
        table.apply(&batch, now);
        prop_assert_eq!(table.revision(), revision, "a repeat was a change");
    }
}
