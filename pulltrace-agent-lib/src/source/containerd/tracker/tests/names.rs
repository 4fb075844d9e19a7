//! Attribution of image names to pulls, and detection of pulls that no poll observed.

use super::REPOSITORY;
use super::world::{World, digest, image_fixture};

/// Two pulls of the same image have ended; no names are written yet.
fn world_with_two_ended_pulls(version: &str) -> (World, super::world::ImageFixture) {
    let mut world = World::new(version);
    let image = image_fixture("app", &[("a", 4_000_000)]);
    for lease in ["111-aaaa", "222-bbbb"] {
        world.create_lease(lease);
        world.add_documents(lease, &image, REPOSITORY);
    }
    world.prepare_snapshot("111-aaaa", &image.chains[0]);
    let layer = format!("layer-{}", digest("a"));
    world.write_ingest("111-aaaa", &layer, 1_000_000, 4_000_000);
    world.poll();
    world.commit_blob("111-aaaa", "layer", &digest("a"), 4_000_000);
    world.commit_snapshot("111-aaaa", &image.chains[0], true);
    world.delete_lease("111-aaaa");
    world.delete_lease("222-bbbb");
    (world, image)
}

const TAG: &str = "registry.example/team/app:1";

/// Writes a name 3 ms later and emits its event.
fn write_name(world: &mut World, name: &str, image: &super::world::ImageFixture) {
    world.advance(3);
    world.write_record(name, image);
    world.emit_image_event(name);
}

/// Names written by two pulls that end at the same time, as observed on each version.
const NAME_SEQUENCES: [(&str, &str); 4] =
    [("1.6.20~ds1", "tititdtd"), ("1.7.35", "tidt"), ("v2.0.14", "tidt"), ("v2.4.2", "ttid")];

#[test]
fn names_of_concurrent_pulls_stay_separate() {
    for (version, names) in NAME_SEQUENCES {
        for polled_after in 1..=names.len() {
            let (mut world, image) = world_with_two_ended_pulls(version);
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
                // The event follows immediately.
                world.advance(1);
                world.write_record(name, &image);
                world.emit_image_event(name);
            }
            (0..3).for_each(|_| world.poll());
            let ends: Vec<_> = world.pulls().iter().map(|pull| pull.phase.as_str()).collect();
            assert_eq!(ends, ["completed", "completed"], "{version}, polled after {polled_after}");
            world.assert_consistent();
        }
    }
}

#[test]
fn each_pull_of_cached_image_is_separate() {
    // From 1.7 on, only the tag is written again.
    let mut world = World::new("v2.4.2");
    let image = image_fixture("app", &[("a", 4_000_000)]);
    world.complete_pull("111-aaaa", &image, TAG);
    for name in [&image.config.clone(), &format!("registry.example/team/app@{}", image.root)] {
        write_name(&mut world, name, &image);
    }
    world.poll();
    for (count, tag) in (2..).zip([TAG, TAG, "registry.example/team/app:2", TAG]) {
        world.advance(20);
        write_name(&mut world, tag, &image);
        world.poll();
        assert_eq!(world.pulls().len(), count);
    }
    let completed = |pull: &&pulltrace_core::Pull| pull.phase.as_str() == "completed";
    assert!(world.pulls().iter().all(completed));
    world.assert_consistent();
}

#[test]
fn layers_of_previous_pull_are_cached() {
    // The second pull is unpolled, so its start is an estimate, but nothing of it is older than its
    // manifest.
    let mut world = World::new("v2.4.2");
    let layers = [("a", 4_000_000), ("b", 2_000_000)];
    world.complete_pull("111-aaaa", &image_fixture("one", &layers), TAG);
    let again = image_fixture("two", &layers);
    world.create_lease("222-bbbb");
    world.add_documents("222-bbbb", &again, REPOSITORY);
    world.delete_lease("222-bbbb");
    write_name(&mut world, "registry.example/team/app:2", &again);
    world.poll();
    let pulls = world.pulls();
    let short = pulls.iter().max_by_key(|pull| pull.started_at).expect("two");
    assert_eq!(pulls.len(), 2);
    assert_eq!(short.phase.as_str(), "completed");
    assert_eq!(short.to_download.map(|bytes| bytes.0), Some(0), "{short:#?}");
    world.assert_consistent();
}

/// Writes the names of an unpolled pull: `t` is the tag, `d` the digest, `i` the id of the image.
fn write_names(world: &mut World, image: &super::world::ImageFixture, names: &str) {
    let by_digest = format!("registry.example/team/app@{}", image.root);
    for name in names.chars() {
        match name {
            't' => write_name(world, TAG, image),
            'i' => write_name(world, &image.config, image),
            _ => write_name(world, &by_digest, image),
        }
    }
}

/// Completes a pull between two polls, without its names.
fn complete_pull_unpolled(
    world: &mut World,
    lease: &str,
    name: &str,
) -> super::world::ImageFixture {
    let image = image_fixture(name, &[("a", 4_000_000)]);
    world.create_lease(lease);
    world.add_documents(lease, &image, REPOSITORY);
    world.prepare_snapshot(lease, &image.chains[0]);
    world.commit_blob(lease, "layer", &digest("a"), 4_000_000);
    world.commit_snapshot(lease, &image.chains[0], false);
    world.delete_lease(lease);
    image
}

#[test]
fn unpolled_pulls_are_counted_by_names() {
    // Names written by one pull or by two concurrent ones, by tag and by digest, as observed on
    // each version.
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
            let image = complete_pull_unpolled(&mut world, "111-aaaa", "app");
            let (before, after) = names.split_at(polled_after);
            write_names(&mut world, &image, before);
            world.poll();
            write_names(&mut world, &image, after);
            (0..3).for_each(|_| world.poll());
            let ends: Vec<_> = world.pulls().iter().map(|pull| pull.phase.as_str()).collect();
            let all = vec!["completed"; rows];
            assert_eq!(ends, all, "{version}: {names}, polled after {polled_after}");
            world.assert_consistent();
        }
    }
}

#[test]
fn pull_after_failed_pull_is_separate() {
    for (version, names) in [("1.6.20~ds1", "titd"), ("v2.4.2", "tid")] {
        let mut world = World::new(version);
        let image = image_fixture("app", &[("a", 4_000_000)]);
        world.create_lease("111-aaaa");
        world.add_documents("111-aaaa", &image, REPOSITORY);
        let layer = format!("layer-{}", digest("a"));
        world.write_ingest("111-aaaa", &layer, 1_000_000, 4_000_000);
        world.poll();
        world.remove_ingest(&layer);
        world.delete_lease("111-aaaa");
        world.poll();
        assert_eq!(world.single_pull().phase.as_str(), "failed");
        let image = complete_pull_unpolled(&mut world, "222-bbbb", "app");
        write_names(&mut world, &image, names);
        (0..2).for_each(|_| world.poll());
        let mut ends: Vec<_> = world.pulls().iter().map(|pull| pull.phase.as_str()).collect();
        ends.sort_unstable();
        assert_eq!(ends, ["completed", "failed"], "{version}");
        assert_eq!(world.pull_of_lease("111-aaaa").names, []);
        world.assert_consistent();
    }
}

#[test]
fn pull_with_late_source_label_is_tracked() {
    let mut world = World::new("1.6.20~ds1");
    let image = image_fixture("app", &[("a", 4_000_000)]);
    world.create_lease("111-aaaa");
    world.add_documents("111-aaaa", &image, REPOSITORY);
    world.remove_source_labels(&image.root);
    world.poll();
    assert_eq!(world.pulls().len(), 0);
    let source = format!("containerd.io/distribution.source.{}", REPOSITORY.0);
    world.add_label(&image.root, &source, REPOSITORY.1);
    world.prepare_snapshot("111-aaaa", &image.chains[0]);
    world.commit_blob("111-aaaa", "layer", &digest("a"), 4_000_000);
    world.commit_snapshot("111-aaaa", &image.chains[0], false);
    world.delete_lease("111-aaaa");
    write_names(&mut world, &image, "titd");
    (0..3).for_each(|_| world.poll());
    assert_eq!(world.single_pull().phase.as_str(), "completed");
    world.assert_consistent();
}

#[test]
fn pull_with_initially_unlabelled_manifest_is_tracked() {
    for (version, names) in [("1.6.20~ds1", "titd"), ("v2.4.2", "tid")] {
        let mut world = World::new(version);
        let image = image_fixture("app", &[("a", 4_000_000)]);
        world.create_lease("111-aaaa");
        world.commit_blob("111-aaaa", "manifest", &image.root, 7);
        world.poll();
        assert_eq!(world.pulls().len(), 0);
        world.garbage_collect(&[&image.root]);
        world.add_documents("111-aaaa", &image, REPOSITORY);
        world.prepare_snapshot("111-aaaa", &image.chains[0]);
        world.commit_blob("111-aaaa", "layer", &digest("a"), 4_000_000);
        world.commit_snapshot("111-aaaa", &image.chains[0], false);
        world.delete_lease("111-aaaa");
        write_names(&mut world, &image, names);
        (0..3).for_each(|_| world.poll());
        assert_eq!(world.single_pull().phase.as_str(), "completed", "{version}");
        world.assert_consistent();
    }
}

#[test]
fn pull_ended_while_resolving_takes_no_name() {
    let mut world = World::new("v2.4.2");
    world.create_lease("111-aaaa");
    (0..6).for_each(|_| world.poll());
    assert_eq!(world.single_pull().phase.as_str(), "resolving");
    world.delete_lease("111-aaaa");
    world.poll();
    // The end of the first pull has been reported, so the following names belong to an unpolled
    // pull.
    let image = complete_pull_unpolled(&mut world, "222-bbbb", "app");
    write_names(&mut world, &image, "tid");
    (0..3).for_each(|_| world.poll());
    assert_eq!(world.pulls().len(), 2);
    assert_eq!(world.pull_of_lease("111-aaaa").phase.as_str(), "failed");
    world.assert_consistent();
}

#[test]
fn pull_of_cached_image_has_zero_duration() {
    let mut world = World::new("v2.4.2");
    let image = image_fixture("app", &[("a", 4_000_000)]);
    world.complete_pull("111-aaaa", &image, TAG);
    world.advance(60_000);
    world.poll();
    write_names(&mut world, &image, "t");
    world.poll();
    let pulls = world.pulls();
    let short = pulls.iter().max_by_key(|pull| pull.started_at);
    let short = short.expect("two");
    assert_eq!(pulls.len(), 2);
    assert_eq!(Some(short.started_at), short.ended_at);
    world.assert_consistent();
}

#[test]
fn record_matches_lease_with_unread_manifest() {
    for (version, first, others) in [("1.6.20~ds1", "t", "itd"), ("v2.4.2", "t", "")] {
        let mut world = World::new(version);
        let image = image_fixture("app", &[("a", 4_000_000)]);
        image.chains.iter().for_each(|chain| world.add_chain(chain));
        world.create_lease("111-aaaa");
        world.add_documents("111-aaaa", &image, REPOSITORY);
        // The first name is written before the lease is listed, and looked up before its manifest
        // is read.
        write_names(&mut world, &image, first);
        world.poll();
        world.delete_lease("111-aaaa");
        write_names(&mut world, &image, others);
        (0..3).for_each(|_| world.poll());
        assert_eq!(world.single_pull().phase.as_str(), "completed", "{version}");
        world.assert_consistent();
    }
}

#[test]
fn pull_ignores_names_written_by_later_pull() {
    let mut world = World::new("v2.4.2");
    let image = complete_pull_unpolled(&mut world, "111-aaaa", "app");
    write_names(&mut world, &image, "d");
    // The last query of the first pull is answered after the other name was written.
    world.write_record(TAG, &image);
    world.poll();
    let by_digest = format!("registry.example/team/app@{}", image.root);
    assert_eq!(world.single_pull().display_name(), Some(by_digest));
    world.assert_consistent();
}
