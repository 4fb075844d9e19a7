//! Pulls that succeed: told apart, with exact totals, and seen to their end.

use std::sync::Arc;

use pulltrace_core::{LayerState, Outcome, Phase, Pull, WaitingKind};
use pulltrace_testkit::image::{Image, Layer, mib};

use crate::kit::{Kit, SOON, Scenario, scenario};

pub(crate) const ALL: &[Scenario] = &[
    scenario!(one_pull_is_seen_layer_by_layer),
    scenario!(five_at_once_are_five),
    scenario!(a_shared_base_is_waited_for_and_counted_once),
    scenario!(the_same_image_twice_at_once_ends_together),
    scenario!(a_fully_cached_image_is_one_row),
];

#[track_caller]
fn assert_completed(pulls: &[Arc<Pull>]) {
    for pull in pulls {
        assert_eq!(pull.outcome(), Some(Outcome::Completed), "{pull:#?}");
    }
}

async fn one_pull_is_seen_layer_by_layer(kit: Kit) -> Kit {
    let layers = ["one", "two", "three", "four", "five"].map(|name| Layer::random(name, mib(3)));
    let image = Image::builder().layers(layers.clone()).build();
    let reference = kit.registry.push("team/app:1", &image);
    let total = image.manifest().unique_layer_bytes();
    let gates = layers
        .each_ref()
        .map(|layer| kit.registry.blob(layer.digest()).hold(mib(2)));
    let pull = kit.containerd.cri().pull(&reference);

    gates[0]
        .await_reached(SOON)
        .await
        .expect("the first layer is asked for");
    let seen = kit
        .watch
        .until("two MiB of three layers are here", |moment| {
            let pull = moment.find("team/app")?;
            (pull.downloaded.0 >= 3 * mib(2)).then_some(pull)
        });
    let seen = seen.await;
    assert_eq!(seen.total.expect("a total").0, total);
    assert_eq!(seen.to_download.expect("a total").0, total);
    assert_eq!(seen.phase, Phase::Downloading);
    if kit.has_shared_slots() {
        let waiting = kit.watch.until("two layers wait for a slot", |moment| {
            let pull = moment.find("team/app")?;
            let waits = |kind| {
                pull.layers
                    .iter()
                    .filter(|l| l.waiting_on.as_ref().is_some_and(|w| w.kind == kind))
                    .count()
            };
            (waits(WaitingKind::DownloadSlot) == 2).then_some(())
        });
        waiting.await;
    }
    gates.iter().for_each(|gate| gate.release());
    pull.outcome().await.expect("the pull succeeds");
    let pull = kit.watch.ended(1).await.remove(0);
    assert_eq!(pull.outcome(), Some(Outcome::Completed));
    assert_eq!(pull.title().expect("a name"), reference);
    assert_eq!(
        (pull.total.expect("a total").0, pull.downloaded.0),
        (total, total)
    );
    assert!(
        pull.layers
            .iter()
            .all(|layer| layer.state == LayerState::Complete)
    );
    assert_eq!(pull.layers.len(), 5);
    // At every poll after the manifest was there, the total was exact.
    let states = kit.watch.states("team/app");
    assert!(
        states
            .iter()
            .filter_map(|pull| pull.total)
            .all(|seen| seen.0 == total)
    );
    let words = kit.watch.layer_words("team/app", layers[0].digest());
    assert!(words.contains(&"downloading") && words.last() == Some(&"complete"), "{words:?}");
    kit
}

async fn five_at_once_are_five(kit: Kit) -> Kit {
    let names = ["a", "b", "c", "d", "e"];
    let images = names.map(|name| {
        let layers = (0..4).map(|i| {
            Layer::random(
                &format!("{name}{i}"),
                mib(1) + 1_000 * i + name.len() as u64,
            )
        });
        Image::builder().layers(layers).build()
    });
    kit.registry.everything().throttle(Some(mib(6)));
    let cri = kit.containerd.cri();
    let pulls: Vec<_> = names
        .iter()
        .zip(&images)
        .map(|(name, image)| cri.pull(&kit.registry.push(&format!("five/{name}:1"), image)))
        .collect();
    kit.watch
        .until("five are seen at once", |moment| {
            (moment.live().len() == 5).then_some(())
        })
        .await;
    for pull in pulls {
        pull.outcome().await.expect("each succeeds");
    }
    let ended = kit.watch.ended(5).await;
    assert_completed(&ended);
    for (name, image) in names.iter().zip(&images) {
        let total = image.manifest().unique_layer_bytes();
        let states = kit.watch.states(&format!("five/{name}"));
        assert!(
            states
                .iter()
                .filter_map(|pull| pull.total)
                .all(|seen| seen.0 == total),
            "{name} was mixed up"
        );
        assert_eq!(states.last().expect("seen").downloaded.0, total);
    }
    kit
}

async fn a_shared_base_is_waited_for_and_counted_once(kit: Kit) -> Kit {
    let base = Layer::random("base", mib(8));
    let image = |name: &str| {
        Image::builder()
            .layer(&base)
            .layer(&Layer::random(name, mib(1)))
            .build()
    };
    let (one, two) = (image("one"), image("two"));
    let gate = kit.registry.blob(base.digest()).hold(mib(4));
    let cri = kit.containerd.cri();
    let first = cri.pull(&kit.registry.push("shared/one:1", &one));
    gate.await_reached(SOON)
        .await
        .expect("the base is asked for");
    let second = cri.pull(&kit.registry.push("shared/two:1", &two));
    let waits = kit.watch.until("the second waits for the first", |moment| {
        let (one, two) = (moment.find("shared/one")?, moment.find("shared/two")?);
        let waits = two.waiting_on.clone()?;
        (waits.kind == WaitingKind::SharedLayer).then_some((one, two, waits, moment.sums.clone()))
    });
    let (first_row, second_row, waits, sums) = waits.await;
    assert_eq!(waits.pull.as_ref(), Some(&first_row.id));
    assert_eq!(waits.layer.expect("a layer").as_str(), base.digest());
    assert_eq!(first_row.waiting_on, None);
    assert_eq!(
        second_row.total.expect("a total").0,
        two.manifest().unique_layer_bytes()
    );
    assert_eq!(
        sums.to_download.0,
        one.manifest().unique_layer_bytes() + two.manifest().unique_layer_bytes() - base.size()
    );
    gate.release();
    first.outcome().await.expect("the first succeeds");
    second.outcome().await.expect("the second succeeds");
    let ended = kit.watch.ended(2).await;
    assert_completed(&ended);
    kit
}

async fn the_same_image_twice_at_once_ends_together(kit: Kit) -> Kit {
    let layer = Layer::random("only", mib(4));
    let image = Image::builder().layer(&layer).build();
    let reference = kit.registry.push("twice/app:1", &image);
    let gate = kit.registry.blob(layer.digest()).hold(mib(2));
    let cri = kit.containerd.cri();
    let first = cri.pull(&reference);
    gate.await_reached(SOON)
        .await
        .expect("the layer is asked for");
    let second = cri.pull(&reference);
    let rows = kit.watch.until("one of two waits for the other", |moment| {
        let waits = |pull: &&Arc<Pull>| {
            pull.waiting_on
                .as_ref()
                .is_some_and(|w| w.kind == WaitingKind::SharedLayer)
        };
        (moment.live().len() == 2 && moment.live().iter().filter(waits).count() == 1)
            .then(|| moment.live())
    });
    let rows = rows.await;
    assert_eq!(rows[0].root, rows[1].root);
    gate.release();
    first.outcome().await.expect("the first succeeds");
    second.outcome().await.expect("the second succeeds");
    let ended = kit.watch.ended(2).await;
    assert_completed(&ended);
    kit
}

async fn a_fully_cached_image_is_one_row(kit: Kit) -> Kit {
    let image = Image::builder()
        .layers(["a", "b", "c"].map(|name| Layer::random(name, mib(1))))
        .build();
    let reference = kit.registry.push("cached/app:1", &image);
    kit.containerd
        .cri()
        .pull(&reference)
        .outcome()
        .await
        .expect("it succeeds");
    kit.watch.ended(1).await;
    kit.containerd
        .cri()
        .pull(&reference)
        .outcome()
        .await
        .expect("it succeeds again");
    let ended = kit.watch.ended(2).await;
    let again = ended
        .iter()
        .max_by_key(|pull| pull.started_at)
        .expect("two");
    assert_eq!(again.outcome(), Some(Outcome::Completed));
    assert_eq!(again.to_download.expect("a total").0, 0);
    assert!(
        again
            .layers
            .iter()
            .all(|layer| layer.state == LayerState::Cached),
        "{again:#?}"
    );
    kit
}
