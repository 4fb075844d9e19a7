//! Successful pulls: distinguished from each other, with exact totals, followed to their end.

use std::sync::Arc;

use pulltrace_core::{LayerState, Phase, Pull, WaitingKind};
use pulltrace_testkit::image::{Image, Layer, mib};

use crate::kit::{Kit, Scenario, TIMEOUT, image_of, scenario};
use crate::watch::Moment;

pub(crate) const ALL: &[Scenario] = &[
    scenario!(pull_is_tracked_layer_by_layer),
    scenario!(five_concurrent_pulls_are_five_rows),
    scenario!(shared_base_is_awaited_and_counted_once),
    scenario!(two_pulls_of_one_image_both_complete),
    scenario!(fully_cached_image_is_one_row),
    scenario!(new_config_downloads_no_layer),
    scenario!(new_tag_downloads_no_layer),
    scenario!(twenty_short_pulls_are_twenty_rows),
];

/// A layer of a few MiB that takes long enough to unpack for this to be visible.
fn slow_to_unpack(name: &str) -> Layer {
    let mut noise = Vec::new();
    // Compressed data does not compress again.
    noise.extend_from_slice(&Layer::random(name, mib(3)).blob().read(0, usize::MAX));
    let paths: Vec<String> = (0..6_000).map(|i| format!("{name}/{}/{i}", i / 500)).collect();
    let mut files: Vec<(&str, u32, &[u8])> = vec![(name, 0o644, &noise)];
    files[0].0 = "noise";
    files.extend(paths.iter().map(|path| (path.as_str(), 0o644, name.as_bytes())));
    Layer::from_files(name, &files)
}

fn count_waiting(pull: &Pull, kind: WaitingKind) -> usize {
    let layers = pull.layers.iter();
    layers.filter(|layer| layer.waiting_on.as_ref().is_some_and(|waits| waits.kind == kind)).count()
}

async fn pull_is_tracked_layer_by_layer(kit: Kit) -> Kit {
    let layers = ["one", "two", "three", "four", "five"].map(slow_to_unpack);
    let image = Image::builder().layers(layers.clone()).build();
    let total = image.manifest().unique_layer_bytes();
    let hold = |at| layers.each_ref().map(|layer| kit.registry.blob(layer.digest()).hold(at));
    let (closed, half) = (hold(0), hold(mib(2)));
    let pull = kit.pull("team/app:1", &image);

    // The total is exact before the first byte of a layer.
    let seen = kit.watch.until("the total is known", |moment| {
        moment.find("team/app").filter(|pull| pull.total.is_some() && pull.layers.len() == 5)
    });
    let seen = seen.await;
    assert_eq!(seen.total.map(|bytes| bytes.0), Some(total));
    assert_eq!(seen.to_download.map(|bytes| bytes.0), Some(total));
    assert_eq!((seen.motion.downloaded.0, seen.phase), (0, Phase::Downloading));
    let all_wait = |layer: &pulltrace_core::Layer| layer.state == LayerState::Waiting;
    assert!(seen.layers.iter().all(all_wait), "{seen:#?}");

    // Three layers download; from 2.1 on, the others are shown waiting.
    closed.iter().for_each(|gate| gate.release());
    let slots = if kit.shares_download_slots() { 2 } else { 0 };
    let loads = |layer: &&pulltrace_core::Layer| {
        layer.state == LayerState::Downloading && layer.motion.downloaded.0 >= mib(1)
    };
    kit.watch
        .until("three layers download and the others wait", |moment| {
            let pull = moment.find("team/app")?;
            let loading = pull.layers.iter().filter(loads).count();
            (loading == 3 && count_waiting(&pull, WaitingKind::DownloadSlot) == slots).then_some(())
        })
        .await;

    // All layers but the lowest finish downloading one by one, and wait for it.
    let mut open = [true, false, false, false, false];
    for _ in 1..5 {
        let next = |moment: &Moment| {
            let pull = moment.find("team/app")?;
            let mut upper = (1..5).filter(|i| !open[*i]);
            upper.find(|i| loads(&&pull.layers[*i]))
        };
        let next = kit.watch.until("another layer is partly downloaded", next).await;
        half[next].release();
        open[next] = true;
    }
    let lowest = |moment: &Moment| {
        let pull = moment.find("team/app")?;
        let downloaded = |layer: &pulltrace_core::Layer| layer.state == LayerState::Downloaded;
        (loads(&&pull.layers[0]) && pull.layers[1..].iter().all(downloaded)).then_some(pull)
    };
    let seen = kit.watch.until("only the lowest layer downloads", lowest).await;
    assert_eq!(count_waiting(&seen, WaitingKind::ParentLayer), 4);
    let waits_for = seen.layers[4].waiting_on.clone().expect("pull is waiting");
    assert_eq!(waits_for.layer.expect("a layer").as_str(), layers[0].digest());
    assert_eq!(seen.phase, Phase::Downloading);

    half[0].release();
    pull.outcome().await.expect("pull succeeds");
    let pull = kit.watch.wait_completed(1).await.remove(0);
    assert_eq!(pull.display_name().expect("name is known"), kit.registry.reference("team/app:1"));
    assert_eq!(pull.motion.downloaded.0, total);
    kit.watch.assert_total("team/app", total);
    let all = ["waiting", "downloading", "downloaded", "extracting", "complete"];
    for (i, layer) in layers.iter().enumerate() {
        // The lowest layer has no parent: unpacking starts with its last byte.
        let downloaded = |word: &&&str| i > 0 || **word != "downloaded";
        let expected: Vec<_> = all.iter().filter(downloaded).copied().collect();
        assert_eq!(kit.watch.layer_states("team/app", layer.digest()), expected, "layer {i}");
    }
    kit
}

async fn five_concurrent_pulls_are_five_rows(kit: Kit) -> Kit {
    let names = ["a", "b", "c", "d", "e"];
    let images: Vec<Image> = (1..)
        .zip(names)
        .map(|(number, name)| {
            let size = |i: u64| mib(1) + 100_000 * number + 1_000 * i;
            let layers = (0..4).map(|i| Layer::random(&format!("{name}{i}"), size(i)));
            Image::builder().layers(layers).build()
        })
        .collect();
    let path = |name: &str| format!("five/{name}");
    // All are held until seen at the same time; the first takes the available slots.
    let layers = images.iter().flat_map(Image::layers);
    let gates: Vec<_> =
        layers.map(|layer| kit.registry.blob(&layer.descriptor.digest).hold(mib(1))).collect();
    let mut pulls = vec![kit.pull("five/a:1", &images[0])];
    kit.watch.wait_bytes("five/a", 3 * mib(1)).await;
    for (name, image) in names.iter().zip(&images).skip(1) {
        pulls.push(kit.pull(&format!("five/{name}:1"), image));
    }
    let five = |moment: &Moment| (moment.live().len() == 5).then(|| moment.live());
    if kit.shares_download_slots() {
        let queued = kit.watch.until("four pulls wait for a slot", |moment| {
            let of_slot = |pull: &&Arc<Pull>| {
                let waits = pull.waiting_on.as_ref();
                waits.is_some_and(|waits| waits.kind == WaitingKind::DownloadSlot)
            };
            let queued: Vec<_> = moment.live().iter().filter(of_slot).cloned().collect();
            (queued.len() == 4).then_some(queued)
        });
        for pull in queued.await {
            assert_eq!(
                (pull.phase, pull.total, pull.motion.percent),
                (Phase::Resolving, None, None)
            );
        }
    } else {
        let seen = kit.watch.until("five pulls are live", five).await;
        assert_eq!(seen.len(), 5);
    }
    kit.registry.everything().throttle(Some(mib(12)));
    gates.iter().for_each(|gate| gate.release());
    for pull in pulls {
        pull.outcome().await.expect("pull succeeds");
    }
    kit.watch.wait_completed(5).await;
    for (name, image) in names.iter().zip(&images) {
        let total = image.manifest().unique_layer_bytes();
        kit.watch.assert_total(&path(name), total);
        let states = kit.watch.pull_history(&path(name));
        assert_eq!(states.last().expect("at least one state").motion.downloaded.0, total);
    }
    kit
}

async fn shared_base_is_awaited_and_counted_once(kit: Kit) -> Kit {
    let base = Layer::random("base", mib(8));
    let image = |name: &str| {
        let own = Layer::random(name, mib(1));
        Image::builder().layer(&base).layer(&own).build()
    };
    let (one, two) = (image("one"), image("two"));
    let gate = kit.registry.blob(base.digest()).hold(mib(4));
    let first = kit.pull("shared/one:1", &one);
    gate.await_reached(TIMEOUT).await.expect("base layer is requested");
    let second = kit.pull("shared/two:1", &two);
    let waits = kit.watch.until("the second pull waits for the first", |moment| {
        let (one, two) = (moment.find("shared/one")?, moment.find("shared/two")?);
        let waits = two.waiting_on.clone()?;
        (waits.kind == WaitingKind::SharedLayer).then_some((one, two, waits, moment.sums.clone()))
    });
    let (first_row, second_row, waits, sums) = waits.await;
    assert_eq!(waits.pull.as_ref(), Some(&first_row.id));
    assert_eq!(waits.layer.expect("a layer").as_str(), base.digest());
    assert_eq!(first_row.waiting_on, None);
    let totals = [&one, &two].map(|image| image.manifest().unique_layer_bytes());
    assert_eq!(second_row.total.expect("a total").0, totals[1]);
    assert_eq!(sums.to_download.0, totals[0] + totals[1] - base.size());
    gate.release();
    first.outcome().await.expect("first pull succeeds");
    second.outcome().await.expect("second pull succeeds");
    kit.watch.wait_completed(2).await;
    kit.watch.assert_total("shared/one", totals[0]);
    kit.watch.assert_total("shared/two", totals[1]);
    kit
}

async fn two_pulls_of_one_image_both_complete(kit: Kit) -> Kit {
    let image = image_of(&["only"], 4);
    let (first, gate) = kit.pull_held("twice/app:1", &image, mib(2)).await;
    let second = kit.pull("twice/app:1", &image);
    let rows = kit.watch.until("one of the two pulls waits for the other", |moment| {
        let waits = |pull: &&Arc<Pull>| {
            let waits = pull.waiting_on.as_ref();
            waits.is_some_and(|waits| waits.kind == WaitingKind::SharedLayer)
        };
        let rows = moment.live();
        (rows.len() == 2 && rows.iter().filter(waits).count() == 1).then_some(rows)
    });
    let rows = rows.await;
    assert_eq!(rows[0].root, rows[1].root);
    gate.release();
    first.outcome().await.expect("first pull succeeds");
    second.outcome().await.expect("second pull succeeds");
    for pull in kit.watch.wait_completed(2).await {
        assert_eq!(
            pull.display_name().expect("name is known"),
            kit.registry.reference("twice/app:1")
        );
    }
    kit
}

/// Waits for the second of two pulls, and asserts that it completed from cache under this name.
async fn wait_completed_from_cache(kit: &Kit, name: &str) -> Arc<Pull> {
    let ended = kit.watch.wait_completed(2).await;
    let again = ended.iter().max_by_key(|pull| pull.started_at);
    let again = again.expect("two pulls");
    assert_eq!(again.display_name().expect("name is known"), kit.registry.reference(name));
    assert_eq!(again.to_download.map(|bytes| bytes.0), Some(0));
    let cached = |layer: &pulltrace_core::Layer| layer.state == LayerState::Cached;
    assert!(!again.layers.is_empty() && again.layers.iter().all(cached), "{again:#?}");
    Arc::clone(again)
}

async fn fully_cached_image_is_one_row(kit: Kit) -> Kit {
    let image = image_of(&["a", "b", "c"], 1);
    kit.pull_to_end("cached/app:1", &image).await;
    kit.watch.wait_completed(1).await;
    kit.pull_to_end("cached/app:1", &image).await;
    let again = wait_completed_from_cache(&kit, "cached/app:1").await;
    assert_eq!(again.total, Some(again.cached));
    kit
}

async fn new_config_downloads_no_layer(kit: Kit) -> Kit {
    let layers = ["a", "b", "c"].map(|name| Layer::random(name, mib(1)));
    let image = |version| {
        let builder = Image::builder().layers(layers.clone());
        builder.label("version", version).build()
    };
    let (one, two) = (image("1"), image("2"));
    kit.pull_to_end("config/app:1", &one).await;
    kit.watch.wait_completed(1).await;
    kit.pull_to_end("config/app:2", &two).await;
    let again = wait_completed_from_cache(&kit, "config/app:2").await;
    assert_eq!(again.root.as_ref().expect("value is known").as_str(), two.root.digest);
    for layer in &layers {
        assert_eq!(kit.registry.blob(layer.digest()).requests().len(), 1);
    }
    kit
}

async fn new_tag_downloads_no_layer(kit: Kit) -> Kit {
    let image = image_of(&["a", "b", "c"], 1);
    kit.pull_to_end("tagged/app:1", &image).await;
    kit.watch.wait_completed(1).await;
    kit.pull_to_end("tagged/app:2", &image).await;
    let again = wait_completed_from_cache(&kit, "tagged/app:2").await;
    assert_eq!(again.total, Some(again.cached));
    kit
}

async fn twenty_short_pulls_are_twenty_rows(kit: Kit) -> Kit {
    let mut names = Vec::new();
    for i in 0..20 {
        let layer = Layer::random(&format!("small{i}"), 10 * 1024);
        let name = format!("small/app{i}:1");
        kit.pull_to_end(&name, &Image::builder().layer(&layer).build()).await;
        names.push(kit.registry.reference(&name));
    }
    let mut seen: Vec<String> =
        kit.watch.wait_completed(20).await.iter().filter_map(|pull| pull.display_name()).collect();
    seen.sort();
    names.sort();
    assert_eq!(seen, names);
    kit
}
