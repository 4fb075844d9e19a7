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

/// Tells what a pull wrote that no poll saw: `t` is its tag, `d` its digest, `i` the image's id.
fn unseen(world: &mut World, image: &super::world::Paper, names: &str) {
    let by_digest = format!("registry.example/team/app@{}", image.root);
    for name in names.chars() {
        match name {
            't' => write(world, TAG, image),
            'i' => write(world, &image.config, image),
            _ => write(world, &by_digest, image),
        }
    }
}

/// An image that was pulled to its end between two polls.
fn fetched_between_two_polls(world: &mut World, lease: &str, name: &str) -> super::world::Paper {
    let image = paper(name, &[("a", 4_000_000)]);
    world.lease(lease);
    world.resolve(lease, &image, HOST);
    world.prepare(lease, &image.chains[0]);
    world.commit(lease, "layer", &digest("a"), 4_000_000);
    world.unpack(lease, &image.chains[0], false);
    world.end_lease(lease);
    image
}

#[test]
fn each_pull_that_no_poll_saw_is_a_row() {
    // What one pull and two at once write, by tag and by digest, as each version was seen to do it.
    for (version, names, rows) in [
        ("1.6.20~ds1", "titd", 1),
        ("1.6.20~ds1", "tititdtd", 2),
        ("1.6.20~ds1", "titittdd", 2),
        ("1.6.20~ds1", "did", 1),
        ("1.6.20~ds1", "ddidid", 2),
        ("1.7.13", "titd", 1),
        ("1.7.14", "tid", 1),
        ("1.7.14", "ttid", 2),
        ("v2.4.2", "tid", 1),
        ("v2.4.2", "ttid", 2),
        ("v2.4.2", "titd", 2),
        ("v2.4.2", "t", 1),
        ("v2.4.2", "di", 1),
        ("v2.4.2", "dd", 2),
    ] {
        for polled_after in 1..=names.len() {
            let mut world = World::new(version);
            let image = fetched_between_two_polls(&mut world, "111-aaaa", "app");
            let (before, after) = names.split_at(polled_after);
            unseen(&mut world, &image, before);
            world.poll();
            unseen(&mut world, &image, after);
            (0..3).for_each(|_| world.poll());
            let ends: Vec<_> = world
                .pulls()
                .iter()
                .map(|pull| pull.phase.as_str())
                .collect();
            let all = vec!["completed"; rows];
            assert_eq!(ends, all, "{version}: {names}, polled after {polled_after}");
            world.assert_sane();
        }
    }
}

#[test]
fn a_pull_that_follows_a_failed_one_at_once_is_its_own_row() {
    for (version, names) in [("1.6.20~ds1", "titd"), ("v2.4.2", "tid")] {
        let mut world = World::new(version);
        let image = paper("app", &[("a", 4_000_000)]);
        world.lease("111-aaaa");
        world.resolve("111-aaaa", &image, HOST);
        let layer = format!("layer-{}", digest("a"));
        world.write("111-aaaa", &layer, 1_000_000, 4_000_000);
        world.poll();
        world.abort(&layer);
        world.end_lease("111-aaaa");
        world.poll();
        assert_eq!(world.only().phase.as_str(), "failed");
        let image = fetched_between_two_polls(&mut world, "222-bbbb", "app");
        unseen(&mut world, &image, names);
        (0..2).for_each(|_| world.poll());
        let mut ends: Vec<_> = world
            .pulls()
            .iter()
            .map(|pull| pull.phase.as_str())
            .collect();
        ends.sort_unstable();
        assert_eq!(ends, ["completed", "failed"], "{version}");
        assert_eq!(world.of("111-aaaa").names, []);
        world.assert_sane();
    }
}

#[test]
fn a_pull_whose_manifest_was_seen_before_its_labels_is_a_row() {
    let mut world = World::new("1.6.20~ds1");
    let image = paper("app", &[("a", 4_000_000)]);
    world.lease("111-aaaa");
    world.resolve("111-aaaa", &image, HOST);
    world.unlabel(&image.root);
    world.poll();
    assert_eq!(world.pulls().len(), 0);
    let source = format!("containerd.io/distribution.source.{}", HOST.0);
    world.label(&image.root, &source, HOST.1);
    world.prepare("111-aaaa", &image.chains[0]);
    world.commit("111-aaaa", "layer", &digest("a"), 4_000_000);
    world.unpack("111-aaaa", &image.chains[0], false);
    world.end_lease("111-aaaa");
    unseen(&mut world, &image, "titd");
    (0..3).for_each(|_| world.poll());
    assert_eq!(world.only().phase.as_str(), "completed");
    world.assert_sane();
}

#[test]
fn a_manifest_that_is_seen_before_it_has_any_label_is_a_pull_all_the_same() {
    for (version, names) in [("1.6.20~ds1", "titd"), ("v2.4.2", "tid")] {
        let mut world = World::new(version);
        let image = paper("app", &[("a", 4_000_000)]);
        world.lease("111-aaaa");
        world.commit("111-aaaa", "manifest", &image.root, 7);
        world.poll();
        assert_eq!(world.pulls().len(), 0);
        world.collect(&[&image.root]);
        world.resolve("111-aaaa", &image, HOST);
        world.prepare("111-aaaa", &image.chains[0]);
        world.commit("111-aaaa", "layer", &digest("a"), 4_000_000);
        world.unpack("111-aaaa", &image.chains[0], false);
        world.end_lease("111-aaaa");
        unseen(&mut world, &image, names);
        (0..3).for_each(|_| world.poll());
        assert_eq!(world.only().phase.as_str(), "completed", "{version}");
        world.assert_sane();
    }
}

#[test]
fn a_pull_that_ends_while_it_resolves_takes_no_name_of_another() {
    let mut world = World::new("v2.4.2");
    world.lease("111-aaaa");
    (0..6).for_each(|_| world.poll());
    assert_eq!(world.only().phase.as_str(), "resolving");
    world.end_lease("111-aaaa");
    world.poll();
    // Its end was seen; what is written now is of a pull that no poll saw.
    let image = fetched_between_two_polls(&mut world, "222-bbbb", "app");
    unseen(&mut world, &image, "tid");
    (0..3).for_each(|_| world.poll());
    assert_eq!(world.pulls().len(), 2);
    assert_eq!(world.of("111-aaaa").phase.as_str(), "failed");
    world.assert_sane();
}

#[test]
fn a_cached_image_is_pulled_in_no_time() {
    let mut world = World::new("v2.4.2");
    let image = paper("app", &[("a", 4_000_000)]);
    world.pull_all("111-aaaa", &image, TAG);
    world.pass(60_000);
    world.poll();
    unseen(&mut world, &image, "t");
    world.poll();
    let pulls = world.pulls();
    let short = pulls.iter().max_by_key(|pull| pull.started_at);
    let short = short.expect("two");
    assert_eq!(pulls.len(), 2);
    assert_eq!(Some(short.started_at), short.ended_at);
    world.assert_sane();
}

#[test]
fn a_lease_whose_manifest_was_not_read_yet_is_the_pull_that_wrote_the_name() {
    for (version, first, others) in [("1.6.20~ds1", "t", "itd"), ("v2.4.2", "t", "")] {
        let mut world = World::new(version);
        let image = paper("app", &[("a", 4_000_000)]);
        image.chains.iter().for_each(|chain| world.has_chain(chain));
        world.lease("111-aaaa");
        world.resolve("111-aaaa", &image, HOST);
        // The first name is told before the lease is listed, and looked up before its manifest is.
        unseen(&mut world, &image, first);
        world.poll();
        world.end_lease("111-aaaa");
        unseen(&mut world, &image, others);
        (0..3).for_each(|_| world.poll());
        assert_eq!(world.only().phase.as_str(), "completed", "{version}");
        world.assert_sane();
    }
}

#[test]
fn a_pull_has_no_name_that_another_gave_the_image_a_moment_later() {
    let mut world = World::new("v2.4.2");
    let image = fetched_between_two_polls(&mut world, "111-aaaa", "app");
    unseen(&mut world, &image, "d");
    // Its last question is answered when the other was seen too.
    world.record(TAG, &image);
    world.poll();
    let by_digest = format!("registry.example/team/app@{}", image.root);
    assert_eq!(world.only().title(), Some(by_digest));
    world.assert_sane();
}
