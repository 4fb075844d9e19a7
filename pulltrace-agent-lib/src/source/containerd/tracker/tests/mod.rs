//! Scenarios on paper, named after what a user would see. The traps that they prove are numbered as in
//! `docs/containerd.md`.

mod chains;
mod names;
mod world;

use super::super::input::{Event, Input};
use world::{World, digest, paper};

const HOST: (&str, &str) = ("registry.example", "team/app");

#[test]
fn one_pull_is_seen_from_its_first_moment_to_its_end() {
    let mut world = World::new("v2.4.2");
    let image = paper("app", &[("a", 4_000_000), ("b", 2_000_000)]);
    world.lease("123-abcd");
    world.poll();
    assert_eq!(
        world.pulls().len(),
        0,
        "a young empty lease may be a container's"
    );
    (0..4).for_each(|_| world.poll());
    assert_eq!(world.only().phase.as_str(), "resolving");
    assert_eq!(world.only().total, None);
    assert_eq!(
        world.only().waiting_on.as_ref().unwrap().kind.as_str(),
        "registry"
    );

    world.resolve("123-abcd", &image, HOST);
    world.prepare("123-abcd", &image.chains[0]);
    for (layer, size) in &image.layers {
        world.write("123-abcd", &format!("layer-{layer}"), 0, *size);
    }
    world.poll();
    assert_eq!(world.only().total.unwrap().0, 6_000_000);
    assert_eq!(
        world.only().repository.as_ref().unwrap().to_string(),
        "registry.example/team/app"
    );
    // Trap 1: a prepared snapshot is not an unpacking.
    assert_eq!(world.layers(), ["waiting", "waiting"]);

    world.write(
        "123-abcd",
        &format!("layer-{}", image.layers[0].0),
        1_000_000,
        4_000_000,
    );
    world.poll();
    assert_eq!(world.layers(), ["downloading", "waiting"]);
    world.commit("123-abcd", "layer", &image.layers[1].0, 2_000_000);
    world.poll();
    assert_eq!(world.layers(), ["downloading", "downloaded"]);
    world.commit("123-abcd", "layer", &image.layers[0].0, 4_000_000);
    world.poll();
    assert_eq!(world.layers(), ["extracting", "downloaded"]);
    assert_eq!(world.only().phase.as_str(), "extracting");
    assert!(world.only().percent.unwrap().get() < 100.0);
    world.unpack("123-abcd", &image.chains[0], true);
    world.prepare("123-abcd", &image.chains[1]);
    world.poll();
    assert_eq!(world.layers(), ["complete", "extracting"]);
    world.unpack("123-abcd", &image.chains[1], false);
    world.record("registry.example/team/app:1", &image);
    world.announce("registry.example/team/app:1");
    world.end_lease("123-abcd");
    world.poll();
    assert_eq!(world.only().phase.as_str(), "completed");
    assert_eq!(world.only().title().unwrap(), "registry.example/team/app:1");
    assert_eq!(world.layers(), ["complete", "complete"]);
    world.assert_sane();
}

#[test]
fn a_base_that_was_there_is_cached_though_the_lease_does_not_list_it() {
    // Trap 5: containerd 1.6.36 and older.
    let mut world = World::new("1.6.20~ds1");
    let image = paper("app", &[("a", 100), ("b", 200), ("c", 300), ("d", 400)]);
    image.chains[..3]
        .iter()
        .for_each(|chain| world.has_chain(chain));
    world.pass(60_000);
    world.lease("123-abcd");
    world.resolve("123-abcd", &image, HOST);
    world.prepare("123-abcd", &image.chains[3]);
    world.write("123-abcd", &format!("layer-{}", image.layers[3].0), 0, 400);
    world.poll();
    assert_eq!(world.layers(), ["cached", "cached", "cached", "waiting"]);
    let pull = world.only();
    assert_eq!(
        (
            pull.total.unwrap().0,
            pull.to_download.unwrap().0,
            pull.cached.0
        ),
        (1_000, 400, 600)
    );
    world.assert_sane();
}

#[test]
fn a_fully_cached_image_has_nothing_to_download() {
    let mut world = World::new("1.6.20~ds1");
    let layers: Vec<(String, i64)> = (0..120).map(|i| (format!("l{i}"), 10)).collect();
    let layers: Vec<(&str, i64)> = layers
        .iter()
        .map(|(word, size)| (word.as_str(), *size))
        .collect();
    let image = paper("app", &layers);
    image.chains.iter().for_each(|chain| world.has_chain(chain));
    world.lease("9-aaaa");
    world.resolve("9-aaaa", &image, HOST);
    world.record("registry.example/team/app:1", &image);
    world.end_lease("9-aaaa");
    world.pass(60_000);
    world.queries = 0;
    world.announce("registry.example/team/app:1");
    world.poll();
    let pull = world.only();
    assert_eq!(pull.phase.as_str(), "completed");
    assert_eq!((pull.to_download.unwrap().0, pull.cached.0), (0, 1_200));
    assert!(world.layers().iter().all(|state| *state == "cached"));
    assert!(
        world.queries < 20,
        "{} questions for one cached image",
        world.queries
    );
    world.assert_sane();
}

#[test]
fn pulls_shorter_than_a_poll_are_each_seen_once() {
    // Trap 14, and the names that the CRI plugin writes afterwards.
    let mut world = World::new("v2.4.2");
    for i in 0..20 {
        let image = paper(&format!("app{i}"), &[(&format!("l{i}"), 10_000)]);
        let lease = format!("{i}-abcd");
        world.lease(&lease);
        world.resolve(&lease, &image, HOST);
        world.prepare(&lease, &image.chains[0]);
        world.commit(&lease, "layer", &image.layers[0].0, 10_000);
        world.unpack(&lease, &image.chains[0], true);
        let name = format!("registry.example/team/app:{i}");
        world.record(&name, &image);
        world.announce(&name);
        world.end_lease(&lease);
        let digested = format!("registry.example/team/app@{}", image.root);
        for other in [&image.config, &digested] {
            world.record(other, &image);
            world.announce(other);
        }
        world.poll();
    }
    assert_eq!(world.pulls().len(), 20);
    for pull in world.pulls() {
        assert_eq!(pull.phase.as_str(), "completed");
        assert_eq!(pull.total.unwrap().0, 10_000);
        assert!(pull.title().unwrap().contains("app:"));
    }
    world.assert_sane();
}

#[test]
fn names_written_after_a_seen_pull_make_no_second_row() {
    let mut world = World::new("1.6.20~ds1");
    let image = paper("app", &[("a", 4_000_000)]);
    world.pull_all("123-abcd", &image, "registry.example/team/app:1");
    world.pass(20);
    for other in [&image.config, "registry.example/team/app:1"] {
        world.record(other, &image);
        world.announce(other);
    }
    world.poll();
    assert_eq!(world.only().phase.as_str(), "completed");
    world.assert_sane();
}

#[test]
fn a_pull_that_vanishes_without_a_record_has_failed() {
    // Trap 9: everything is collected at once.
    let mut world = World::new("v2.4.2");
    let image = paper("app", &[("a", 4_000_000)]);
    world.lease("123-abcd");
    world.resolve("123-abcd", &image, HOST);
    world.prepare("123-abcd", &image.chains[0]);
    world.write(
        "123-abcd",
        &format!("layer-{}", image.layers[0].0),
        3_900_000,
        4_000_000,
    );
    world.poll();
    world.abort(&format!("layer-{}", image.layers[0].0));
    world.end_lease("123-abcd");
    world.poll();
    let pull = world.only();
    assert_eq!(pull.phase.as_str(), "failed");
    assert_eq!(
        pull.failure.as_ref().unwrap().reason.as_str(),
        "unexplained"
    );
    assert!(pull.percent.unwrap().get() < 100.0);
    world.assert_sane();
}

#[test]
fn a_record_without_the_unpacked_layers_is_no_success() {
    // Trap 11: containerd 2.1 and later leave a record behind where no platform matches.
    let mut world = World::new("v2.4.2");
    let mut image = paper("app", &[("a", 100)]);
    let index = digest("index");
    let text = format!(
        r#"{{"schemaVersion":2,"manifests":[{{"mediaType":"application/vnd.oci.image.manifest.v1+json","digest":"{}","size":9,"platform":{{"os":"windows","architecture":"amd64"}}}}]}}"#,
        image.manifest
    );
    image.documents = [(index.clone(), text)].into();
    image.root = index;
    world.lease("123-abcd");
    world.resolve("123-abcd", &image, HOST);
    world.poll();
    world.record("registry.example/team/app:1", &image);
    world.end_lease("123-abcd");
    world.poll();
    assert_eq!(world.only().phase.as_str(), "failed");
    world.assert_sane();
}

#[test]
fn two_images_that_share_a_base_name_each_other() {
    let mut world = World::new("v2.4.2");
    let first = paper("one", &[("base", 4_000_000), ("one", 1_000)]);
    let second = paper("two", &[("base", 4_000_000), ("two", 2_000)]);
    world.lease("111-aaaa");
    world.resolve("111-aaaa", &first, HOST);
    world.prepare("111-aaaa", &first.chains[0]);
    world.write(
        "111-aaaa",
        &format!("layer-{}", digest("base")),
        1_000_000,
        4_000_000,
    );
    world.lease("222-bbbb");
    world.resolve("222-bbbb", &second, ("registry.example", "team/other"));
    world.poll();
    let (one, two) = (world.of("111-aaaa"), world.of("222-bbbb"));
    assert_eq!(one.waiting_on, None);
    let waits = two.waiting_on.as_ref().unwrap();
    assert_eq!(
        (waits.kind.as_str(), waits.pull.as_ref()),
        ("shared_layer", Some(&one.id))
    );
    assert_eq!(waits.layer, Some(World::parse(&digest("base"))));
    assert_eq!(
        (one.total.unwrap().0, two.total.unwrap().0),
        (4_001_000, 4_002_000)
    );
    // The base counts once in the node's sums.
    assert_eq!(world.table.sums(world.now).to_download.0, 4_003_000);
    assert_eq!(world.table.sums(world.now).downloaded.0, 1_000_000);
    world.assert_sane();
}

#[test]
fn the_same_image_twice_ends_twice() {
    let mut world = World::new("v2.4.2");
    let image = paper("app", &[("a", 4_000_000)]);
    for lease in ["111-aaaa", "222-bbbb"] {
        world.lease(lease);
        world.resolve(lease, &image, HOST);
    }
    world.prepare("111-aaaa", &image.chains[0]);
    world.write(
        "111-aaaa",
        &format!("layer-{}", digest("a")),
        1_000_000,
        4_000_000,
    );
    world.poll();
    assert_eq!(
        world
            .of("222-bbbb")
            .waiting_on
            .as_ref()
            .unwrap()
            .kind
            .as_str(),
        "shared_layer"
    );
    world.commit("111-aaaa", "layer", &digest("a"), 4_000_000);
    world.poll();
    assert_eq!(
        world
            .of("222-bbbb")
            .waiting_on
            .as_ref()
            .unwrap()
            .kind
            .as_str(),
        "shared_layer"
    );
    world.unpack("111-aaaa", &image.chains[0], true);
    world.record("registry.example/team/app:1", &image);
    world.announce("registry.example/team/app:1");
    world.end_lease("111-aaaa");
    world.end_lease("222-bbbb");
    world.poll();
    assert_eq!(
        world
            .pulls()
            .iter()
            .map(|p| p.phase.as_str())
            .collect::<Vec<_>>(),
        ["completed"; 2]
    );
    world.assert_sane();
}

#[test]
fn a_layer_without_a_slot_waits_for_one() {
    // Traps 2 and 16.
    let mut world = World::new("v2.4.2");
    let image = paper(
        "app",
        &[
            ("a", 4_000_000),
            ("b", 4_000_000),
            ("c", 4_000_000),
            ("d", 4_000_000),
        ],
    );
    world.lease("123-abcd");
    world.resolve("123-abcd", &image, HOST);
    for (layer, _) in &image.layers {
        let offset = if *layer == digest("d") { 0 } else { 1_000_000 };
        world.write("123-abcd", &format!("layer-{layer}"), offset, 4_000_000);
    }
    world.lease("222-bbbb");
    world.write("222-bbbb", &format!("index-{}", digest("other")), 0, 1_320);
    world.poll();
    let pull = world.of("123-abcd");
    assert_eq!(
        pull.layers[3].waiting_on.as_ref().unwrap().kind.as_str(),
        "download_slot"
    );
    // Trap 6: its manifest waits too, and only its root is known.
    let other = world.of("222-bbbb");
    assert_eq!((other.phase.as_str(), other.total), ("resolving", None));
    assert_eq!(other.root, Some(World::parse(&digest("other"))));
    assert_eq!(
        other.waiting_on.as_ref().unwrap().kind.as_str(),
        "download_slot"
    );
    world.assert_sane();
}

#[test]
fn a_blob_that_is_being_committed_does_not_fall_to_zero() {
    // Traps 3 and 4: the ingest is in the lease, and not in the list.
    let mut world = World::new("v2.4.2");
    let image = paper("app", &[("a", 4_000_000)]);
    world.lease("123-abcd");
    world.resolve("123-abcd", &image, HOST);
    let reference = format!("layer-{}", digest("a"));
    world.write("123-abcd", &reference, 3_000_000, 4_000_000);
    world.poll();
    world.abort(&reference);
    world.poll();
    assert_eq!(world.only().downloaded.0, 3_000_000);
    world.commit("123-abcd", "layer", &digest("a"), 4_000_000);
    world.poll();
    assert_eq!(world.only().downloaded.0, 4_000_000);
    world.assert_sane();
}

#[test]
fn a_client_that_was_killed_is_not_shown_as_running_for_a_day() {
    // Trap 10.
    let mut world = World::new("v2.4.2");
    let image = paper("app", &[("a", 4_000_000)]);
    world.lease("123-abcd");
    world.resolve("123-abcd", &image, HOST);
    world.prepare("123-abcd", &image.chains[0]);
    let reference = format!("layer-{}", digest("a"));
    world.write("123-abcd", &reference, 1_000_000, 4_000_000);
    world.poll();
    world.pass(31_000);
    world.poll();
    assert!(world.only().stalled_since.is_some());
    world.pass(330_000);
    world.poll();
    assert_eq!(world.only().phase.as_str(), "unknown");
    // It lives after all.
    world.write("123-abcd", &reference, 2_000_000, 4_000_000);
    world.poll();
    world.poll();
    assert_eq!(world.only().phase.as_str(), "downloading");
    world.assert_sane();
}

#[test]
fn a_lease_that_was_dead_before_the_agent_came_is_not_claimed() {
    let mut world = World::new("v2.4.2");
    let image = paper("app", &[("a", 4_000_000)]);
    world.lease("123-abcd");
    world.resolve("123-abcd", &image, HOST);
    world.write(
        "123-abcd",
        &format!("layer-{}", digest("a")),
        1_000_000,
        4_000_000,
    );
    world.pass(400_000);
    world.poll();
    world.poll();
    assert_eq!(world.pulls().len(), 0, "nobody saw it alive");
}

#[test]
fn a_restarted_containerd_ends_its_pulls_and_leaves_their_leases_alone() {
    let mut world = World::new("v2.4.2");
    let image = paper("app", &[("a", 4_000_000)]);
    let reference = format!("layer-{}", digest("a"));
    world.lease("111-aaaa");
    world.resolve("111-aaaa", &image, HOST);
    world.write("111-aaaa", &reference, 1_000_000, 4_000_000);
    world.poll();
    world.tell(Input::Lost {
        reason: "gone".into(),
    });
    assert!(world.only().stale_since.is_some());
    assert_eq!(world.only().outcome(), None, "losing sight of it is no end");
    world.pass(2_000);
    world.connect("v2.4.2");
    world.poll();
    let pull = world.only();
    assert_eq!(
        pull.failure.as_ref().unwrap().reason.as_str(),
        "runtime_restarted"
    );
    // A new pull of the same image resumes what is there.
    world.lease("222-bbbb");
    world.resolve("222-bbbb", &image, HOST);
    world.write("222-bbbb", &reference, 1_500_000, 4_000_000);
    world.poll();
    assert_eq!(world.of("222-bbbb").downloaded.0, 1_500_000);
    assert_eq!(world.pulls().len(), 2);
    world.assert_sane();
}

#[test]
fn a_restarted_agent_gives_a_pull_the_same_id_and_no_step_back() {
    let mut world = World::new("v2.4.2");
    let image = paper("app", &[("a", 4_000_000), ("b", 1_000)]);
    world.lease("123-abcd");
    world.resolve("123-abcd", &image, HOST);
    world.prepare("123-abcd", &image.chains[0]);
    world.write(
        "123-abcd",
        &format!("layer-{}", digest("a")),
        1_000_000,
        4_000_000,
    );
    world.commit("123-abcd", "layer", &digest("b"), 1_000);
    world.poll();
    let before = world.only().clone();
    world.tracker = super::Tracker::new("node-1".parse().unwrap(), "k8s.io".parse().unwrap());
    world.table = pulltrace_core::PullTable::new(pulltrace_core::Limits::default());
    world.poll();
    world.poll();
    let after = world.only();
    assert_eq!(
        (&after.id, after.downloaded, after.total),
        (&before.id, before.downloaded, before.total)
    );
    assert!(after.percent >= before.percent);
    world.assert_sane();
}

#[test]
fn leases_that_are_no_pulls_make_no_rows() {
    let mut world = World::new("v2.4.2");
    world.lease_with(&"0123456789abcdef".repeat(4), &[]);
    world.lease_with(
        "1-aaaa",
        &["containerd.io/gc.expire", "buildkit/lease.temporary"],
    );
    // A container that is made.
    world.lease("2-bbbb");
    world.hold("2-bbbb", "snapshots/overlayfs", "my-container");
    // An import: by its ingests, and without them by its content that comes from no registry.
    world.lease("3-cccc");
    world.write(
        "3-cccc",
        &format!("tar-blobs/sha256/{}", "0".repeat(64)),
        5,
        10,
    );
    let image = paper("imported", &[("x", 100)]);
    world.lease("4-dddd");
    world.resolve("4-dddd", &image, HOST);
    image.documents.keys().for_each(|blob| world.unlabel(blob));
    (0..20).for_each(|_| world.poll());
    world.record("docker.io/library/imported:1", &image);
    world.announce("docker.io/library/imported:1");
    world.end_lease("4-dddd");
    (0..3).for_each(|_| world.poll());
    assert_eq!(world.pulls().len(), 0, "{:#?}", world.pulls());
    world.assert_sane();
}

#[test]
fn a_long_unpacking_is_neither_stalled_nor_dead_while_it_writes() {
    let mut world = World::new("v2.4.2");
    let image = paper("app", &[("a", 4_000_000)]);
    world.lease("123-abcd");
    world.resolve("123-abcd", &image, HOST);
    world.prepare("123-abcd", &image.chains[0]);
    world.write(
        "123-abcd",
        &format!("layer-{}", digest("a")),
        3_000_000,
        4_000_000,
    );
    world.poll();
    world.commit("123-abcd", "layer", &digest("a"), 4_000_000);
    world.poll();
    for minute in 0..15 {
        for quarter in 0..4 {
            world.use_bytes(&image.chains[0], minute * 1_000 + quarter);
            world.pass(15_000);
            world.poll();
        }
        assert_eq!(world.layers(), ["extracting"]);
        assert_eq!(world.only().stalled_since, None, "minute {minute}");
    }
    for _ in 0..8 {
        world.pass(15_000);
        world.poll();
    }
    assert!(
        world.only().stalled_since.is_some(),
        "its bytes are known not to grow"
    );
    world.assert_sane();
}

#[test]
fn a_layer_that_occurs_twice_counts_once() {
    let mut world = World::new("v2.4.2");
    let image = paper("app", &[("a", 100), ("b", 50), ("a", 100)]);
    world.pull_all("123-abcd", &image, "registry.example/team/app:1");
    let pull = world.only();
    assert_eq!((pull.total.unwrap().0, pull.layers.len()), (150, 2));
    assert_eq!(pull.phase.as_str(), "completed");
}

#[test]
fn a_lazy_layer_is_remote_and_not_to_be_downloaded() {
    let mut world = World::new("v2.4.2");
    let image = paper("app", &[("a", 1_000), ("b", 500)]);
    world.lease("123-abcd");
    world.resolve("123-abcd", &image, HOST);
    world.has_chain(&image.chains[0]);
    world.hold("123-abcd", "snapshots/overlayfs", &image.chains[0]);
    world.prepare("123-abcd", &image.chains[1]);
    world.write("123-abcd", &format!("layer-{}", digest("b")), 0, 500);
    world.poll();
    assert_eq!(world.layers(), ["remote", "waiting"]);
    assert_eq!(world.only().to_download.unwrap().0, 500);
    world.assert_sane();
}

#[test]
fn content_of_another_namespace_appears_at_once_and_is_unpacked() {
    let mut world = World::new("v2.4.2");
    let image = paper("app", &[("a", 1_000)]);
    world.lease("123-abcd");
    world.resolve("123-abcd", &image, HOST);
    world.pass(5);
    world.commit("123-abcd", "layer", &digest("a"), 1_000);
    world.prepare("123-abcd", &image.chains[0]);
    world.poll();
    assert_eq!(world.layers(), ["extracting"]);
    world.assert_sane();
}

#[test]
fn a_manifest_that_is_none_is_no_wrong_row() {
    let mut world = World::new("v2.4.2");
    let mut image = paper("app", &[("a", 1_000)]);
    image.documents.insert(
        image.manifest.clone(),
        r#"{"schemaVersion":2,"layers":"#.into(),
    );
    world.lease("123-abcd");
    world.write("123-abcd", &format!("manifest-{}", image.manifest), 0, 10);
    world.poll();
    world.commit("123-abcd", "manifest", &image.manifest, 10);
    world.collect(&[&image.manifest]);
    world.resolve("123-abcd", &image, HOST);
    world.poll();
    assert_eq!(
        (world.only().phase.as_str(), world.only().total),
        ("resolving", None)
    );
    world.end_lease("123-abcd");
    world.poll();
    assert_eq!(world.only().phase.as_str(), "failed");
    assert!(!world.table.counters().anomalies.is_empty());
}

#[test]
fn an_ingest_of_another_size_is_not_mixed_in() {
    let mut world = World::new("v2.4.2");
    let image = paper("app", &[("a", 1_000)]);
    world.lease("123-abcd");
    world.resolve("123-abcd", &image, HOST);
    world.write("123-abcd", &format!("layer-{}", digest("a")), 900, 2_000);
    world.poll();
    assert_eq!(world.only().downloaded.0, 0);
    assert!(
        world
            .table
            .counters()
            .anomalies
            .contains_key(&pulltrace_core::Anomaly::SizeChanged)
    );
}

#[test]
fn a_resolving_pull_that_ends_between_two_polls_takes_its_name_from_the_record() {
    let mut world = World::new("1.6.20~ds1");
    let image = paper("app", &[("a", 1_000)]);
    world.lease("123-abcd");
    (0..6).for_each(|_| world.poll());
    assert_eq!(world.only().phase.as_str(), "resolving");
    world.resolve("123-abcd", &image, HOST);
    world.prepare("123-abcd", &image.chains[0]);
    world.commit("123-abcd", "layer", &digest("a"), 1_000);
    world.unpack("123-abcd", &image.chains[0], true);
    world.record("registry.example/team/app:1", &image);
    world.announce("registry.example/team/app:1");
    world.end_lease("123-abcd");
    (0..3).for_each(|_| world.poll());
    assert_eq!(world.only().phase.as_str(), "completed");
    world.assert_sane();
}

#[test]
fn a_gap_in_the_events_loses_no_pull_that_polls_see() {
    let mut world = World::new("1.6.20~ds1");
    let image = paper("app", &[("a", 1_000)]);
    world.lease("123-abcd");
    world.resolve("123-abcd", &image, HOST);
    world.prepare("123-abcd", &image.chains[0]);
    world.write("123-abcd", &format!("layer-{}", digest("a")), 0, 1_000);
    world.poll();
    world.event(Event::Gap);
    world.commit("123-abcd", "layer", &digest("a"), 1_000);
    world.unpack("123-abcd", &image.chains[0], false);
    world.record("registry.example/team/app:1", &image);
    world.end_lease("123-abcd");
    world.poll();
    assert_eq!(world.only().phase.as_str(), "completed");
    assert_eq!(world.layers(), ["complete"]);
    world.assert_sane();
}

#[test]
fn several_repositories_of_one_blob_are_no_guess() {
    let mut world = World::new("v2.4.2");
    let image = paper("app", &[("a", 1_000)]);
    world.lease("123-abcd");
    world.resolve("123-abcd", &image, HOST);
    world.label(
        &image.root,
        "containerd.io/distribution.source.mirror.example",
        "other/app",
    );
    world.write("123-abcd", &format!("layer-{}", digest("a")), 0, 1_000);
    world.poll();
    assert_eq!(world.only().repository, None);
    assert_eq!(world.only().root, Some(World::parse(&image.root)));
}

#[test]
fn a_blob_that_is_announced_before_it_is_there_is_asked_for_again() {
    let mut world = World::new("v2.4.2");
    let image = paper("app", &[("a", 1_000)]);
    world.lease("123-abcd");
    world.write("123-abcd", &format!("manifest-{}", image.manifest), 0, 10);
    world.poll();
    world.abort(&format!("manifest-{}", image.manifest));
    world.hold("123-abcd", "content", &image.manifest);
    world.poll();
    assert_eq!(world.only().total, None);
    world.resolve("123-abcd", &image, HOST);
    world.poll();
    assert_eq!(world.only().total.unwrap().0, 1_000);
    world.assert_sane();
}

#[test]
fn a_cached_image_that_is_pulled_again_at_once_is_another_row() {
    let mut world = World::new("v2.4.2");
    let image = paper("app", &[("a", 4_000_000)]);
    let (tag, by_digest) = (
        "registry.example/team/app:1",
        format!("registry.example/team/app@{}", image.root),
    );
    world.pull_all("123-abcd", &image, tag);
    for other in [&image.config, &by_digest] {
        world.pass(2);
        world.record(other, &image);
        world.announce(other);
    }
    world.poll();
    assert_eq!(world.pulls().len(), 1);
    world.pass(40);
    world.record(tag, &image);
    world.announce(tag);
    world.poll();
    assert_eq!(world.pulls().len(), 2);
    let again = world
        .pulls()
        .into_iter()
        .max_by_key(|pull| pull.started_at)
        .unwrap();
    assert_eq!(
        (again.phase.as_str(), again.to_download.unwrap().0),
        ("completed", 0)
    );
    world.assert_sane();
}

#[test]
fn a_newer_pull_takes_over_what_a_killed_client_left() {
    let mut world = World::new("v2.4.2");
    let image = paper("app", &[("a", 4_000_000)]);
    let reference = format!("layer-{}", digest("a"));
    world.lease("111-aaaa");
    world.resolve("111-aaaa", &image, HOST);
    world.write("111-aaaa", &reference, 1_000_000, 4_000_000);
    world.poll();
    world.pass(45_000);
    world.poll();
    // The client of the first is dead; another fetches the same layer, from where it stopped.
    world.lease("222-bbbb");
    world.resolve("222-bbbb", &image, HOST);
    world.write("222-bbbb", &reference, 2_000_000, 4_000_000);
    world.poll();
    world.poll();
    assert_eq!(world.of("111-aaaa").phase.as_str(), "unknown");
    let newer = world.of("222-bbbb");
    assert_eq!(
        (newer.phase.as_str(), newer.waiting_on.as_ref()),
        ("downloading", None)
    );
    assert_eq!(newer.downloaded.0, 2_000_000);
    world.assert_sane();
}

#[test]
fn what_contradicts_itself_is_counted() {
    use pulltrace_core::Anomaly;

    let counts = |change: &dyn Fn(&mut World)| {
        let mut world = World::new("1.6.20~ds1");
        let image = paper("app", &[("a", 1_000), ("b", 1_000)]);
        world.lease("123-abcd");
        world.resolve("123-abcd", &image, HOST);
        world.write("123-abcd", &format!("layer-{}", digest("a")), 0, 1_000);
        world.poll();
        change(&mut world);
        world.poll();
        world
            .table
            .counters()
            .anomalies
            .keys()
            .copied()
            .collect::<Vec<_>>()
    };
    let reference = format!("layer-{}", digest("a"));
    let beyond = |world: &mut World| world.write("123-abcd", &reference, 1_001, 1_000);
    assert_eq!(counts(&beyond), [Anomaly::Unreadable]);
    let negative = |world: &mut World| world.write("123-abcd", &reference, -1, 1_000);
    assert_eq!(counts(&negative), [Anomaly::Unreadable]);
    let stranger = |world: &mut World| world.prepare("123-abcd", &digest("stranger"));
    assert_eq!(counts(&stranger), [Anomaly::UnknownChain]);
    let size = |world: &mut World| world.commit("123-abcd", "layer", &digest("b"), 999);
    assert_eq!(counts(&size), [Anomaly::SizeChanged]);
}

#[test]
fn a_pull_that_waited_long_for_its_manifest_still_gets_its_name() {
    let mut world = World::new("v2.4.2");
    let image = paper("app", &[("a", 1_000)]);
    world.lease("123-abcd");
    world.write("123-abcd", &format!("manifest-{}", image.manifest), 0, 10);
    (0..40).for_each(|_| world.poll());
    assert_eq!(world.queries, 0, "what is not there yet was asked for");
    world.abort(&format!("manifest-{}", image.manifest));
    world.resolve("123-abcd", &image, HOST);
    // The labels come some polls after the blob.
    let source = format!("containerd.io/distribution.source.{}", HOST.0);
    world.unlabel(&image.manifest);
    (0..10).for_each(|_| world.poll());
    assert_eq!(world.only().repository, None);
    world.label(&image.manifest, &source, HOST.1);
    world.poll();
    let repository = world.only().repository.as_ref().unwrap();
    assert_eq!(repository.to_string(), "registry.example/team/app");
    world.assert_sane();
}

#[test]
fn a_cancelled_pull_of_an_image_that_was_there_has_not_completed() {
    let mut world = World::new("v2.4.2");
    let image = paper("app", &[("a", 4_000_000)]);
    world.pull_all("111-aaaa", &image, "registry.example/team/app:1");
    world.pass(60_000);
    // Again, by another tag: everything is there, and the client gives up before the record is written.
    world.lease("222-bbbb");
    world.resolve("222-bbbb", &image, HOST);
    world.poll();
    world.end_lease("222-bbbb");
    (0..3).for_each(|_| world.poll());
    assert_eq!(world.of("222-bbbb").phase.as_str(), "failed");
    assert_eq!(world.of("111-aaaa").phase.as_str(), "completed");
    world.assert_sane();
}
