//! Images of every shape: of several platforms, with many, empty, equal or huge layers.

use std::collections::BTreeMap;

use pulltrace_core::{Bytes, LayerState};
use pulltrace_testkit::containerd::Options;
use pulltrace_testkit::image::{Image, Layer, Platform, mib};
use pulltrace_testkit::registry::Times;

use crate::kit::{Kit, Scenario, image_of, scenario};

pub(crate) const ALL: &[Scenario] = &[
    scenario!(an_index_counts_only_its_chosen_platform),
    scenario!(two_matching_platforms_are_one_row),
    scenario!(a_hundred_and_twenty_layers_have_one_exact_total),
    scenario!(empty_and_equal_layers_count_once),
    scenario!(a_layer_without_a_byte_fails_the_pull),
    scenario!(more_than_four_gib_are_declared_exactly),
    scenario!(
        layers_that_are_dropped_once_unpacked_complete,
        options = |_| Options {
            discard_unpacked_layers: true,
            ..Options::quick()
        }
    ),
    scenario!(
        one_download_at_a_time_completes,
        options = |_| Options {
            max_concurrent_downloads: Some(1),
            ..Options::quick()
        }
    ),
];

async fn an_index_counts_only_its_chosen_platform(kit: Kit) -> Kit {
    let host = image_of(&["host-a", "host-b"], 3);
    let foreign = Image::builder()
        .platform(Platform::foreign())
        .layer(&Layer::random("foreign", mib(3)))
        .build();
    let index = Image::index()
        .image(&foreign)
        .image(&host)
        .attestation()
        .build();
    let (pull, gate) = kit.pull_half("index/app:1", &index, mib(2)).await;
    gate.release();
    pull.outcome().await.expect("it succeeds");
    let pull = kit.watch.completed(1).await.remove(0);
    assert_eq!(
        pull.root.as_ref().expect("known").as_str(),
        index.root.digest
    );
    assert_eq!(pull.layers.len(), 2);
    kit.watch
        .assert_total("index/app", host.manifest().unique_layer_bytes());
    kit
}

/// Only the transfer service takes each manifest that matches; before, it is the first.
async fn two_matching_platforms_are_one_row(kit: Kit) -> Kit {
    let base = Layer::random("base", mib(3));
    let image = |name: &str| {
        let own = Layer::random(name, mib(2));
        Image::builder().layer(&base).layer(&own).build()
    };
    let (one, two) = (image("one"), image("two"));
    let index = Image::index().image(&one).image(&two).build();
    let (pull, gate) = kit.pull_half("several/app:1", &index, mib(2)).await;
    gate.release();
    pull.outcome().await.expect("it succeeds");
    let pull = kit.watch.completed(1).await.remove(0);
    let chosen = if kit.has_shared_slots() {
        &index.manifests[..]
    } else {
        &index.manifests[..1]
    };
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

async fn a_hundred_and_twenty_layers_have_one_exact_total(kit: Kit) -> Kit {
    let layers = (0..120).map(|i| Layer::random(&format!("layer{i}"), 20_000 + 100 * i));
    let first = Layer::random("first", mib(3));
    let image = Image::builder()
        .layer(&first)
        .layers(layers.skip(1))
        .build();
    let (pull, gate) = kit.pull_half("many/app:1", &image, mib(2)).await;
    gate.release();
    pull.outcome().await.expect("it succeeds");
    let pull = kit.watch.completed(1).await.remove(0);
    assert_eq!(pull.layers.len(), 120);
    kit.watch
        .assert_total("many/app", image.manifest().unique_layer_bytes());
    kit
}

async fn empty_and_equal_layers_count_once(kit: Kit) -> Kit {
    let (one, two, empty) = (
        Layer::random("one", mib(3)),
        Layer::random("two", mib(2)),
        Layer::empty(),
    );
    let layers = [&one, &empty, &two, &one, &empty, &two].map(Clone::clone);
    let image = Image::builder().layers(layers).build();
    let total = one.size() + two.size() + empty.size();
    let (pull, gate) = kit.pull_half("equal/app:1", &image, mib(2)).await;
    gate.release();
    pull.outcome().await.expect("it succeeds");
    let pull = kit.watch.completed(1).await.remove(0);
    assert_eq!(pull.layers.len(), 3);
    assert_eq!(pull.downloaded.0, total);
    kit.watch.assert_total("equal/app", total);
    kit
}

/// containerd refuses a blob of no byte at all, whatever the version, before it asks the registry.
async fn a_layer_without_a_byte_fails_the_pull(kit: Kit) -> Kit {
    let one = Layer::random("one", mib(3));
    let image = Image::builder()
        .layer(&one)
        .layer(&Layer::zero_bytes())
        .build();
    let gate = kit.registry.blob(&image.manifest().config.digest).hold(10);
    let pull = kit.pull("nothing/app:1", &image);
    let seen = kit.watch.until("the pull is seen", |moment| {
        moment
            .find("nothing/app")
            .filter(|pull| pull.outcome().is_none())
    });
    let total = Bytes(image.manifest().unique_layer_bytes());
    assert_eq!(seen.await.total, Some(total), "the config is not needed");
    gate.release();
    pull.outcome().await.expect_err("it fails");
    kit.watch.failed().await;
    kit
}

async fn more_than_four_gib_are_declared_exactly(kit: Kit) -> Kit {
    let size = (5 << 30) + 12_345;
    let huge = Layer::declared("huge", size);
    let image = Image::builder()
        .layer(&huge)
        .layer(&Layer::random("small", mib(1)))
        .build();
    let (pull, gate) = kit.pull_half("huge/app:1", &image, mib(3)).await;
    kit.registry.blob(huge.digest()).cut(mib(3), Times::Always);
    gate.release();
    pull.outcome().await.expect_err("it fails");
    let pull = kit.watch.failed().await;
    assert!(pull.downloaded.0 <= mib(4));
    kit.watch.assert_total("huge/app", size + mib(1));
    kit
}

async fn layers_that_are_dropped_once_unpacked_complete(kit: Kit) -> Kit {
    let (base, one, two) = (
        Layer::random("base", mib(3)),
        Layer::random("one", mib(2)),
        Layer::random("two", mib(2)),
    );
    let image = |own| Image::builder().layer(&base).layer(own).build();
    let (first, second) = (image(&one), image(&two));
    let (pull, gate) = kit.pull_half("dropped/one:1", &first, mib(2)).await;
    gate.release();
    pull.outcome().await.expect("it succeeds");
    kit.watch.completed(1).await;
    // The blob of the base is gone, its snapshot is not.
    let own = kit.registry.blob(two.digest()).hold(mib(1));
    let pull = kit.pull("dropped/two:1", &second);
    own.await_reached(crate::kit::SOON)
        .await
        .expect("its own layer is asked for");
    let cached = kit.watch.until("the base is known to be there", |moment| {
        let pull = moment.find("dropped/two")?;
        (pull.layers.first()?.state == LayerState::Cached).then_some(pull)
    });
    assert_eq!(
        cached.await.to_download.map(|bytes| bytes.0),
        Some(two.size())
    );
    own.release();
    pull.outcome().await.expect("it succeeds");
    kit.watch.completed(2).await;
    kit.watch
        .assert_total("dropped/one", base.size() + one.size());
    kit.watch
        .assert_total("dropped/two", base.size() + two.size());
    assert_eq!(kit.registry.blob(base.digest()).requests().len(), 1);
    kit
}

async fn one_download_at_a_time_completes(kit: Kit) -> Kit {
    let image = image_of(&["a", "b", "c"], 3);
    let gates: Vec<_> = image
        .layers()
        .iter()
        .map(|layer| kit.registry.blob(&layer.descriptor.digest).hold(mib(2)))
        .collect();
    let pull = kit.pull("single/app:1", &image);
    kit.watch.until_bytes("single/app", mib(1)).await;
    gates.iter().for_each(|gate| gate.release());
    pull.outcome().await.expect("it succeeds");
    kit.watch.completed(1).await;
    kit.watch
        .assert_total("single/app", image.manifest().unique_layer_bytes());
    let loading = |pull: &pulltrace_core::Pull| {
        let layers = pull.layers.iter();
        layers
            .filter(|layer| layer.state == LayerState::Downloading)
            .count()
    };
    for pull in kit.watch.states("single/app") {
        assert!(loading(&pull) <= 1, "{pull:#?}");
    }
    kit
}
