//! Unusual images: several platforms, and many, empty, duplicate or huge layers.

use std::collections::BTreeMap;

use pulltrace_core::{Bytes, LayerState};
use pulltrace_testkit::containerd::Options;
use pulltrace_testkit::image::{Image, Layer, Platform, mib};
use pulltrace_testkit::registry::Times;

use crate::kit::{Kit, Scenario, image_of, scenario};

pub(crate) const ALL: &[Scenario] = &[
    scenario!(index_counts_only_chosen_platform),
    scenario!(two_matching_platforms_are_one_row),
    scenario!(image_with_120_layers_has_exact_total),
    scenario!(empty_and_equal_layers_count_once),
    scenario!(zero_byte_layer_fails_pull),
    scenario!(size_above_four_gib_is_exact),
    scenario!(
        discarded_layers_still_complete,
        options = |_| Options { discard_unpacked_layers: true, ..Options::in_memory() }
    ),
    scenario!(
        single_download_slot_completes,
        options = |_| Options { max_concurrent_downloads: Some(1), ..Options::in_memory() }
    ),
];

async fn index_counts_only_chosen_platform(kit: Kit) -> Kit {
    let host = image_of(&["host-a", "host-b"], 3);
    let foreign = Image::builder()
        .platform(Platform::foreign())
        .layer(&Layer::random("foreign", mib(3)))
        .build();
    let index = Image::index().image(&foreign).image(&host).attestation().build();
    let (pull, gate) = kit.pull_held("index/app:1", &index, mib(2)).await;
    gate.release();
    pull.outcome().await.expect("pull succeeds");
    let pull = kit.watch.wait_completed(1).await.remove(0);
    assert_eq!(pull.root.as_ref().expect("value is known").as_str(), index.root.digest);
    assert_eq!(pull.layers.len(), 2);
    kit.watch.assert_total("index/app", host.manifest().unique_layer_bytes());
    kit
}

/// Only the transfer service pulls every matching manifest; earlier versions pull the first.
async fn two_matching_platforms_are_one_row(kit: Kit) -> Kit {
    let base = Layer::random("base", mib(3));
    let image = |name: &str| {
        let own = Layer::random(name, mib(2));
        Image::builder().layer(&base).layer(&own).build()
    };
    let (one, two) = (image("one"), image("two"));
    let index = Image::index().image(&one).image(&two).build();
    let (pull, gate) = kit.pull_held("several/app:1", &index, mib(2)).await;
    gate.release();
    pull.outcome().await.expect("pull succeeds");
    let pull = kit.watch.wait_completed(1).await.remove(0);
    let chosen =
        if kit.shares_download_slots() { &index.manifests[..] } else { &index.manifests[..1] };
    let union: BTreeMap<_, _> = chosen
        .iter()
        .flat_map(|manifest| &manifest.layers)
        .map(|layer| (&layer.descriptor.digest, layer.descriptor.size))
        .collect();
    assert_eq!(pull.layers.len(), union.len());
    assert_eq!(pull.total.map(|total| total.0), Some(union.values().sum()));
    assert_eq!(pull.total, pull.to_download);
    kit.watch.assert_total("several/app", union.values().sum());
    kit
}

async fn image_with_120_layers_has_exact_total(kit: Kit) -> Kit {
    let layers = (0..120).map(|i| Layer::random(&format!("layer{i}"), 20_000 + 100 * i));
    let first = Layer::random("first", mib(3));
    let image = Image::builder().layer(&first).layers(layers.skip(1)).build();
    let (pull, gate) = kit.pull_held("many/app:1", &image, mib(2)).await;
    gate.release();
    pull.outcome().await.expect("pull succeeds");
    let pull = kit.watch.wait_completed(1).await.remove(0);
    assert_eq!(pull.layers.len(), 120);
    kit.watch.assert_total("many/app", image.manifest().unique_layer_bytes());
    kit
}

async fn empty_and_equal_layers_count_once(kit: Kit) -> Kit {
    let (one, two, empty) =
        (Layer::random("one", mib(3)), Layer::random("two", mib(2)), Layer::empty());
    let layers = [&one, &empty, &two, &one, &empty, &two].map(Clone::clone);
    let image = Image::builder().layers(layers).build();
    let total = one.size() + two.size() + empty.size();
    let (pull, gate) = kit.pull_held("equal/app:1", &image, mib(2)).await;
    gate.release();
    pull.outcome().await.expect("pull succeeds");
    let pull = kit.watch.wait_completed(1).await.remove(0);
    assert_eq!(pull.layers.len(), 3);
    assert_eq!(pull.motion.downloaded.0, total);
    kit.watch.assert_total("equal/app", total);
    kit
}

/// All versions of containerd reject an empty blob before they request it.
async fn zero_byte_layer_fails_pull(kit: Kit) -> Kit {
    let one = Layer::random("one", mib(3));
    let image = Image::builder().layer(&one).layer(&Layer::zero_bytes()).build();
    let gate = kit.registry.blob(&image.manifest().config.digest).hold(10);
    let pull = kit.pull("nothing/app:1", &image);
    let seen = kit.watch.until("the pull is visible", |moment| {
        moment.find("nothing/app").filter(|pull| pull.outcome().is_none())
    });
    let total = Bytes(image.manifest().unique_layer_bytes());
    assert_eq!(seen.await.total, Some(total), "total is known without the config");
    gate.release();
    pull.outcome().await.expect_err("pull fails");
    kit.watch.wait_failed().await;
    kit
}

async fn size_above_four_gib_is_exact(kit: Kit) -> Kit {
    let size = (5 << 30) + 12_345;
    let huge = Layer::with_wrong_digest("huge", size);
    let image = Image::builder().layer(&huge).layer(&Layer::random("small", mib(1))).build();
    let (pull, gate) = kit.pull_held("huge/app:1", &image, mib(3)).await;
    kit.registry.blob(huge.digest()).cut(mib(3), Times::Always);
    gate.release();
    pull.outcome().await.expect_err("pull fails");
    let pull = kit.watch.wait_failed().await;
    assert!(pull.motion.downloaded.0 <= mib(4));
    kit.watch.assert_total("huge/app", size + mib(1));
    kit
}

async fn discarded_layers_still_complete(kit: Kit) -> Kit {
    let (base, one, two) =
        (Layer::random("base", mib(3)), Layer::random("one", mib(2)), Layer::random("two", mib(2)));
    let image = |own| Image::builder().layer(&base).layer(own).build();
    let (first, second) = (image(&one), image(&two));
    let (pull, gate) = kit.pull_held("dropped/one:1", &first, mib(2)).await;
    gate.release();
    pull.outcome().await.expect("pull succeeds");
    kit.watch.wait_completed(1).await;
    // The blob of the base layer is deleted, its snapshot is not.
    let own = kit.registry.blob(two.digest()).hold(mib(1));
    let pull = kit.pull("dropped/two:1", &second);
    own.await_reached(crate::kit::TIMEOUT).await.expect("own layer is requested");
    let cached = kit.watch.until("the base layer is shown as cached", |moment| {
        let pull = moment.find("dropped/two")?;
        (pull.layers.first()?.state == LayerState::Cached).then_some(pull)
    });
    assert_eq!(cached.await.to_download.map(|bytes| bytes.0), Some(two.size()));
    own.release();
    pull.outcome().await.expect("pull succeeds");
    kit.watch.wait_completed(2).await;
    kit.watch.assert_total("dropped/one", base.size() + one.size());
    kit.watch.assert_total("dropped/two", base.size() + two.size());
    assert_eq!(kit.registry.blob(base.digest()).requests().len(), 1);
    kit
}

async fn single_download_slot_completes(kit: Kit) -> Kit {
    let image = image_of(&["a", "b", "c"], 3);
    let gates: Vec<_> = image
        .layers()
        .iter()
        .map(|layer| kit.registry.blob(&layer.descriptor.digest).hold(mib(2)))
        .collect();
    let pull = kit.pull("single/app:1", &image);
    kit.watch.wait_bytes("single/app", mib(1)).await;
    gates.iter().for_each(|gate| gate.release());
    pull.outcome().await.expect("pull succeeds");
    kit.watch.wait_completed(1).await;
    kit.watch.assert_total("single/app", image.manifest().unique_layer_bytes());
    let loading = |pull: &pulltrace_core::Pull| {
        let layers = pull.layers.iter();
        layers.filter(|layer| layer.state == LayerState::Downloading).count()
    };
    for pull in kit.watch.pull_history("single/app") {
        assert!(loading(&pull) <= 1, "{pull:#?}");
    }
    kit
}
