//! The names that are written when pulls end: whose they are, and what they tell of pulls that no poll saw.

use super::HOST;
use super::world::{World, digest, paper};

/// Both pulls of one image are over; one of them wrote its names.
fn two_pulls_of_one_image_end(version: &str) -> (World, super::world::Paper) {
    let mut world = World::new(version);
    let image = paper("app", &[("a", 4_000_000)]);
    for lease in ["111-aaaa", "222-bbbb"] {
        world.lease(lease);
        world.resolve(lease, &image, HOST);
    }
    world.prepare("111-aaaa", &image.chains[0]);
    let layer = format!("layer-{}", digest("a"));
    world.write("111-aaaa", &layer, 1_000_000, 4_000_000);
    world.poll();
    world.commit("111-aaaa", "layer", &digest("a"), 4_000_000);
    world.unpack("111-aaaa", &image.chains[0], true);
    world.end_lease("111-aaaa");
    world.end_lease("222-bbbb");
    (world, image)
}

const TAG: &str = "registry.example/team/app:1";

/// Writes a name some milliseconds later, and says so.
fn write(world: &mut World, name: &str, image: &super::world::Paper) {
    world.pass(3);
    world.record(name, image);
    world.announce(name);
}

/// The names that two pulls write which end at once, as each version was seen to do it.
const ENDS: [(&str, &str); 4] = [
    ("1.6.20~ds1", "tititdtd"),
    ("1.7.35", "tidt"),
    ("v2.0.14", "tidt"),
    ("v2.4.2", "ttid"),
];

#[test]
fn the_last_name_of_one_pull_closes_no_other_of_the_same_image() {
    for (version, names) in ENDS {
        for polled_after in 1..=names.len() {
            let (mut world, image) = two_pulls_of_one_image_end(version);
            let by_digest = format!("registry.example/team/app@{}", image.root);
            for (i, name) in names.chars().enumerate() {
                if i == polled_after {
                    world.poll();
                }
                let name = match name {
                    't' => TAG,
                    'i' => &image.config,
                    _ => &by_digest,
                };
                // Told at once.
                world.pass(1);
                world.record(name, &image);
                world.announce(name);
            }
            (0..3).for_each(|_| world.poll());
            let ends: Vec<_> = world
                .pulls()
                .iter()
                .map(|pull| pull.phase.as_str())
                .collect();
            assert_eq!(
                ends,
                ["completed", "completed"],
                "{version}, polled after {polled_after}"
            );
            world.assert_sane();
        }
    }
}

#[test]
fn a_cached_image_that_is_pulled_again_and_again_is_a_row_each_time() {
    // From 1.7 on only the tag is written again.
    let mut world = World::new("v2.4.2");
    let image = paper("app", &[("a", 4_000_000)]);
    world.pull_all("111-aaaa", &image, TAG);
    for name in [
        &image.config.clone(),
        &format!("registry.example/team/app@{}", image.root),
    ] {
        write(&mut world, name, &image);
    }
    world.poll();
    for (count, tag) in (2..).zip([TAG, TAG, "registry.example/team/app:2", TAG]) {
        world.pass(20);
        write(&mut world, tag, &image);
        world.poll();
        assert_eq!(world.pulls().len(), count);
    }
    let completed = |pull: &&pulltrace_core::Pull| pull.phase.as_str() == "completed";
    assert!(world.pulls().iter().all(completed));
    world.assert_sane();
}

#[test]
fn what_one_pull_unpacked_a_moment_before_is_cached_for_the_next() {
    // Shorter than a poll, so its own start is not known; but nothing of it is older than its manifest.
    let mut world = World::new("v2.4.2");
    let layers = [("a", 4_000_000), ("b", 2_000_000)];
    world.pull_all("111-aaaa", &paper("one", &layers), TAG);
    let again = paper("two", &layers);
    world.lease("222-bbbb");
    world.resolve("222-bbbb", &again, HOST);
    world.end_lease("222-bbbb");
    write(&mut world, "registry.example/team/app:2", &again);
    world.poll();
    let pulls = world.pulls();
    let short = pulls
        .iter()
        .max_by_key(|pull| pull.started_at)
        .expect("two");
    assert_eq!(pulls.len(), 2);
    assert_eq!(short.phase.as_str(), "completed");
    assert_eq!(
        short.to_download.map(|bytes| bytes.0),
        Some(0),
        "{short:#?}"
    );
    world.assert_sane();
}
