//! Scenarios with a simulated containerd. Trap numbers refer to `docs/containerd.md`.

mod chains;
mod names;
mod world;

use super::super::input::{Event, Input};
use world::{World, digest, image_fixture};

const REPOSITORY: (&str, &str) = ("registry.example", "team/app");

#[test]
fn pull_is_tracked_from_lease_to_record() {
    let mut world = World::new("v2.4.2");
    let image = image_fixture("app", &[("a", 4_000_000), ("b", 2_000_000)]);
    world.create_lease("123-abcd");
    world.poll();
    assert_eq!(world.pulls().len(), 0, "a young empty lease may belong to a container");
    (0..4).for_each(|_| world.poll());
    assert_eq!(world.single_pull().phase.as_str(), "resolving");
    assert_eq!(world.single_pull().total, None);
    assert_eq!(world.single_pull().waiting_on.as_ref().unwrap().kind.as_str(), "registry");

    world.add_documents("123-abcd", &image, REPOSITORY);
    world.prepare_snapshot("123-abcd", &image.chains[0]);
    for (layer, size) in &image.layers {
        world.write_ingest("123-abcd", &format!("layer-{layer}"), 0, *size);
    }
    world.poll();
    assert_eq!(world.single_pull().total.unwrap().0, 6_000_000);
    assert_eq!(
        world.single_pull().repository.as_ref().unwrap().to_string(),
        "registry.example/team/app"
    );
    // Trap 1: a prepared snapshot does not mean that the layer is being unpacked.
    assert_eq!(world.layer_states(), ["waiting", "waiting"]);

    world.write_ingest("123-abcd", &format!("layer-{}", image.layers[0].0), 1_000_000, 4_000_000);
    world.poll();
    assert_eq!(world.layer_states(), ["downloading", "waiting"]);
    world.commit_blob("123-abcd", "layer", &image.layers[1].0, 2_000_000);
    world.poll();
    assert_eq!(world.layer_states(), ["downloading", "downloaded"]);
    world.commit_blob("123-abcd", "layer", &image.layers[0].0, 4_000_000);
    world.poll();
    assert_eq!(world.layer_states(), ["extracting", "downloaded"]);
    assert_eq!(world.single_pull().phase.as_str(), "extracting");
    assert!(world.single_pull().motion.percent.unwrap().get() < 100.0);
    world.commit_snapshot("123-abcd", &image.chains[0], true);
    world.prepare_snapshot("123-abcd", &image.chains[1]);
    world.poll();
    assert_eq!(world.layer_states(), ["complete", "extracting"]);
    world.commit_snapshot("123-abcd", &image.chains[1], false);
    world.write_record("registry.example/team/app:1", &image);
    world.emit_image_event("registry.example/team/app:1");
    world.delete_lease("123-abcd");
    world.poll();
    assert_eq!(world.single_pull().phase.as_str(), "completed");
    assert_eq!(world.single_pull().display_name().unwrap(), "registry.example/team/app:1");
    assert_eq!(world.layer_states(), ["complete", "complete"]);
    world.assert_consistent();
}

#[test]
fn existing_base_is_cached_when_lease_omits_it() {
    // Trap 5: containerd 1.6.36 and older.
    let mut world = World::new("1.6.20~ds1");
    let image = image_fixture("app", &[("a", 100), ("b", 200), ("c", 300), ("d", 400)]);
    image.chains[..3].iter().for_each(|chain| world.add_chain(chain));
    world.advance(60_000);
    world.create_lease("123-abcd");
    world.add_documents("123-abcd", &image, REPOSITORY);
    world.prepare_snapshot("123-abcd", &image.chains[3]);
    world.write_ingest("123-abcd", &format!("layer-{}", image.layers[3].0), 0, 400);
    world.poll();
    assert_eq!(world.layer_states(), ["cached", "cached", "cached", "waiting"]);
    let pull = world.single_pull();
    assert_eq!(
        (pull.total.unwrap().0, pull.to_download.unwrap().0, pull.cached.0),
        (1_000, 400, 600)
    );
    world.assert_consistent();
}

#[test]
fn fully_cached_image_has_nothing_to_download() {
    let mut world = World::new("1.6.20~ds1");
    let layers: Vec<(String, i64)> = (0..120).map(|i| (format!("l{i}"), 10)).collect();
    let layers: Vec<(&str, i64)> =
        layers.iter().map(|(word, size)| (word.as_str(), *size)).collect();
    let image = image_fixture("app", &layers);
    image.chains.iter().for_each(|chain| world.add_chain(chain));
    world.create_lease("9-aaaa");
    world.add_documents("9-aaaa", &image, REPOSITORY);
    world.write_record("registry.example/team/app:1", &image);
    world.delete_lease("9-aaaa");
    world.advance(60_000);
    world.queries = 0;
    world.emit_image_event("registry.example/team/app:1");
    world.poll();
    let pull = world.single_pull();
    assert_eq!(pull.phase.as_str(), "completed");
    assert_eq!((pull.to_download.unwrap().0, pull.cached.0), (0, 1_200));
    assert!(world.layer_states().iter().all(|state| *state == "cached"));
    assert!(world.queries < 20, "{} queries for one cached image", world.queries);
    world.assert_consistent();
}

#[test]
fn pulls_shorter_than_poll_are_observed_once() {
    // Trap 14, and the names that the CRI plugin writes afterwards.
    let mut world = World::new("v2.4.2");
    for i in 0..20 {
        let image = image_fixture(&format!("app{i}"), &[(&format!("l{i}"), 10_000)]);
        let lease = format!("{i}-abcd");
        world.create_lease(&lease);
        world.add_documents(&lease, &image, REPOSITORY);
        world.prepare_snapshot(&lease, &image.chains[0]);
        world.commit_blob(&lease, "layer", &image.layers[0].0, 10_000);
        world.commit_snapshot(&lease, &image.chains[0], true);
        let name = format!("registry.example/team/app:{i}");
        world.write_record(&name, &image);
        world.emit_image_event(&name);
        world.delete_lease(&lease);
        let digested = format!("registry.example/team/app@{}", image.root);
        for other in [&image.config, &digested] {
            world.write_record(other, &image);
            world.emit_image_event(other);
        }
        world.poll();
    }
    assert_eq!(world.pulls().len(), 20);
    for pull in world.pulls() {
        assert_eq!(pull.phase.as_str(), "completed");
        assert_eq!(pull.total.unwrap().0, 10_000);
        assert!(pull.display_name().unwrap().contains("app:"));
    }
    world.assert_consistent();
}

#[test]
fn names_written_after_pull_add_no_pull() {
    let mut world = World::new("1.6.20~ds1");
    let image = image_fixture("app", &[("a", 4_000_000)]);
    world.complete_pull("123-abcd", &image, "registry.example/team/app:1");
    world.advance(20);
    for other in [&image.config, "registry.example/team/app:1"] {
        world.write_record(other, &image);
        world.emit_image_event(other);
    }
    world.poll();
    assert_eq!(world.single_pull().phase.as_str(), "completed");
    world.assert_consistent();
}

#[test]
fn pull_without_record_has_failed() {
    // Trap 9: everything is garbage-collected immediately.
    let mut world = World::new("v2.4.2");
    let image = image_fixture("app", &[("a", 4_000_000)]);
    world.create_lease("123-abcd");
    world.add_documents("123-abcd", &image, REPOSITORY);
    world.prepare_snapshot("123-abcd", &image.chains[0]);
    world.write_ingest("123-abcd", &format!("layer-{}", image.layers[0].0), 3_900_000, 4_000_000);
    world.poll();
    world.remove_ingest(&format!("layer-{}", image.layers[0].0));
    world.delete_lease("123-abcd");
    world.poll();
    let pull = world.single_pull();
    assert_eq!(pull.phase.as_str(), "failed");
    assert_eq!(pull.failure.as_ref().unwrap().reason.as_str(), "unexplained");
    assert!(pull.motion.percent.unwrap().get() < 100.0);
    world.assert_consistent();
}

#[test]
fn record_without_unpacked_layers_is_failure() {
    // Trap 11: containerd 2.1 and later leave a record behind if no platform matches.
    let mut world = World::new("v2.4.2");
    let mut image = image_fixture("app", &[("a", 100)]);
    let index = digest("index");
    let text = format!(
        r#"{{"schemaVersion":2,"manifests":[{{"mediaType":"application/vnd.oci.image.manifest.v1+json","digest":"{}","size":9,"platform":{{"os":"windows","architecture":"amd64"}}}}]}}"#,
        image.manifest
    );
    image.documents = [(index.clone(), text)].into();
    image.root = index;
    world.create_lease("123-abcd");
    world.add_documents("123-abcd", &image, REPOSITORY);
    world.poll();
    world.write_record("registry.example/team/app:1", &image);
    world.delete_lease("123-abcd");
    world.poll();
    assert_eq!(world.single_pull().phase.as_str(), "failed");
    world.assert_consistent();
}

#[test]
fn shared_base_is_attributed_to_other_pull() {
    let mut world = World::new("v2.4.2");
    let first = image_fixture("one", &[("base", 4_000_000), ("one", 1_000)]);
    let second = image_fixture("two", &[("base", 4_000_000), ("two", 2_000)]);
    world.create_lease("111-aaaa");
    world.add_documents("111-aaaa", &first, REPOSITORY);
    world.prepare_snapshot("111-aaaa", &first.chains[0]);
    world.write_ingest("111-aaaa", &format!("layer-{}", digest("base")), 1_000_000, 4_000_000);
    world.create_lease("222-bbbb");
    world.add_documents("222-bbbb", &second, ("registry.example", "team/other"));
    world.poll();
    let (one, two) = (world.pull_of_lease("111-aaaa"), world.pull_of_lease("222-bbbb"));
    assert_eq!(one.waiting_on, None);
    let waits = two.waiting_on.as_ref().unwrap();
    assert_eq!((waits.kind.as_str(), waits.pull.as_ref()), ("shared_layer", Some(&one.id)));
    assert_eq!(waits.layer, Some(World::parse_digest(&digest("base"))));
    assert_eq!((one.total.unwrap().0, two.total.unwrap().0), (4_001_000, 4_002_000));
    // The base counts once in the node's totals.
    assert_eq!(world.table.totals(world.now).to_download.0, 4_003_000);
    assert_eq!(world.table.totals(world.now).downloaded.0, 1_000_000);
    world.assert_consistent();
}

#[test]
fn two_pulls_of_same_image_both_complete() {
    let mut world = World::new("v2.4.2");
    let image = image_fixture("app", &[("a", 4_000_000)]);
    for lease in ["111-aaaa", "222-bbbb"] {
        world.create_lease(lease);
        world.add_documents(lease, &image, REPOSITORY);
    }
    world.prepare_snapshot("111-aaaa", &image.chains[0]);
    world.write_ingest("111-aaaa", &format!("layer-{}", digest("a")), 1_000_000, 4_000_000);
    world.poll();
    assert_eq!(
        world.pull_of_lease("222-bbbb").waiting_on.as_ref().unwrap().kind.as_str(),
        "shared_layer"
    );
    world.commit_blob("111-aaaa", "layer", &digest("a"), 4_000_000);
    world.poll();
    assert_eq!(
        world.pull_of_lease("222-bbbb").waiting_on.as_ref().unwrap().kind.as_str(),
        "shared_layer"
    );
    world.commit_snapshot("111-aaaa", &image.chains[0], true);
    world.write_record("registry.example/team/app:1", &image);
    world.emit_image_event("registry.example/team/app:1");
    world.delete_lease("111-aaaa");
    world.delete_lease("222-bbbb");
    world.poll();
    assert_eq!(
        world.pulls().iter().map(|p| p.phase.as_str()).collect::<Vec<_>>(),
        ["completed"; 2]
    );
    world.assert_consistent();
}

#[test]
fn layer_without_slot_waits_for_one() {
    // Traps 2 and 16.
    let mut world = World::new("v2.4.2");
    let image = image_fixture(
        "app",
        &[("a", 4_000_000), ("b", 4_000_000), ("c", 4_000_000), ("d", 4_000_000)],
    );
    world.create_lease("123-abcd");
    world.add_documents("123-abcd", &image, REPOSITORY);
    for (layer, _) in &image.layers {
        let offset = if *layer == digest("d") { 0 } else { 1_000_000 };
        world.write_ingest("123-abcd", &format!("layer-{layer}"), offset, 4_000_000);
    }
    world.create_lease("222-bbbb");
    world.write_ingest("222-bbbb", &format!("index-{}", digest("other")), 0, 1_320);
    world.poll();
    let pull = world.pull_of_lease("123-abcd");
    assert_eq!(pull.layers[3].waiting_on.as_ref().unwrap().kind.as_str(), "download_slot");
    // Trap 6: its manifest waits as well, and only its root is known.
    let other = world.pull_of_lease("222-bbbb");
    assert_eq!((other.phase.as_str(), other.total), ("resolving", None));
    assert_eq!(other.root, Some(World::parse_digest(&digest("other"))));
    assert_eq!(other.waiting_on.as_ref().unwrap().kind.as_str(), "download_slot");
    world.assert_consistent();
}

#[test]
fn downloaded_bytes_survive_commit_window() {
    // Traps 3 and 4: the lease lists the ingest, the list of ingests does not.
    let mut world = World::new("v2.4.2");
    let image = image_fixture("app", &[("a", 4_000_000)]);
    world.create_lease("123-abcd");
    world.add_documents("123-abcd", &image, REPOSITORY);
    let reference = format!("layer-{}", digest("a"));
    world.write_ingest("123-abcd", &reference, 3_000_000, 4_000_000);
    world.poll();
    world.remove_ingest(&reference);
    world.poll();
    assert_eq!(world.single_pull().motion.downloaded.0, 3_000_000);
    world.commit_blob("123-abcd", "layer", &digest("a"), 4_000_000);
    world.poll();
    assert_eq!(world.single_pull().motion.downloaded.0, 4_000_000);
    world.assert_consistent();
}

#[test]
fn killed_client_ends_pull_as_unknown() {
    // Trap 10.
    let mut world = World::new("v2.4.2");
    let image = image_fixture("app", &[("a", 4_000_000)]);
    world.create_lease("123-abcd");
    world.add_documents("123-abcd", &image, REPOSITORY);
    world.prepare_snapshot("123-abcd", &image.chains[0]);
    let reference = format!("layer-{}", digest("a"));
    world.write_ingest("123-abcd", &reference, 1_000_000, 4_000_000);
    world.poll();
    world.advance(31_000);
    world.poll();
    assert!(world.single_pull().stalled_since.is_some());
    world.advance(330_000);
    world.poll();
    assert_eq!(world.single_pull().phase.as_str(), "unknown");
    // It resumes after all.
    world.write_ingest("123-abcd", &reference, 2_000_000, 4_000_000);
    world.poll();
    world.poll();
    assert_eq!(world.single_pull().phase.as_str(), "downloading");
    world.assert_consistent();
}

#[test]
fn lease_dead_before_agent_start_is_ignored() {
    let mut world = World::new("v2.4.2");
    let image = image_fixture("app", &[("a", 4_000_000)]);
    world.create_lease("123-abcd");
    world.add_documents("123-abcd", &image, REPOSITORY);
    world.write_ingest("123-abcd", &format!("layer-{}", digest("a")), 1_000_000, 4_000_000);
    world.advance(400_000);
    world.poll();
    world.poll();
    assert_eq!(world.pulls().len(), 0, "it was never seen active");
}

#[test]
fn restarted_containerd_ends_its_pulls() {
    let mut world = World::new("v2.4.2");
    let image = image_fixture("app", &[("a", 4_000_000)]);
    let reference = format!("layer-{}", digest("a"));
    world.create_lease("111-aaaa");
    world.add_documents("111-aaaa", &image, REPOSITORY);
    world.write_ingest("111-aaaa", &reference, 1_000_000, 4_000_000);
    world.poll();
    world.feed(Input::Lost { reason: "gone".into() });
    assert!(world.single_pull().stale_since.is_some());
    assert_eq!(world.single_pull().outcome(), None, "a lost connection ends no pull");
    world.advance(2_000);
    world.connect("v2.4.2");
    world.poll();
    let pull = world.single_pull();
    assert_eq!(pull.failure.as_ref().unwrap().reason.as_str(), "runtime_restarted");
    // A new pull of the same image resumes the existing ingest.
    world.create_lease("222-bbbb");
    world.add_documents("222-bbbb", &image, REPOSITORY);
    world.write_ingest("222-bbbb", &reference, 1_500_000, 4_000_000);
    world.poll();
    assert_eq!(world.pull_of_lease("222-bbbb").motion.downloaded.0, 1_500_000);
    assert_eq!(world.pulls().len(), 2);
    world.assert_consistent();
}

#[test]
fn restarted_agent_keeps_id_and_progress() {
    let mut world = World::new("v2.4.2");
    let image = image_fixture("app", &[("a", 4_000_000), ("b", 1_000)]);
    world.create_lease("123-abcd");
    world.add_documents("123-abcd", &image, REPOSITORY);
    world.prepare_snapshot("123-abcd", &image.chains[0]);
    world.write_ingest("123-abcd", &format!("layer-{}", digest("a")), 1_000_000, 4_000_000);
    world.commit_blob("123-abcd", "layer", &digest("b"), 1_000);
    world.poll();
    let before = world.single_pull().clone();
    world.tracker = super::Tracker::new("node-1".parse().unwrap(), "k8s.io".parse().unwrap());
    world.table = pulltrace_core::PullTable::new(pulltrace_core::Limits::default());
    world.poll();
    world.poll();
    let after = world.single_pull();
    assert_eq!(
        (&after.id, after.motion.downloaded, after.total),
        (&before.id, before.motion.downloaded, before.total)
    );
    assert!(after.motion.percent >= before.motion.percent);
    world.assert_consistent();
}

#[test]
fn non_pull_leases_are_ignored() {
    let mut world = World::new("v2.4.2");
    world.create_lease_with(&"0123456789abcdef".repeat(4), &[]);
    world.create_lease_with("1-aaaa", &["containerd.io/gc.expire", "buildkit/lease.temporary"]);
    // Creation of a container.
    world.create_lease("2-bbbb");
    world.add_resource("2-bbbb", "snapshots/overlayfs", "my-container");
    // Two imports: one recognised by its ingests, one by content that does not come from a
    // registry.
    world.create_lease("3-cccc");
    world.write_ingest("3-cccc", &format!("tar-blobs/sha256/{}", "0".repeat(64)), 5, 10);
    let image = image_fixture("imported", &[("x", 100)]);
    world.create_lease("4-dddd");
    world.add_documents("4-dddd", &image, REPOSITORY);
    image.documents.keys().for_each(|blob| world.remove_source_labels(blob));
    (0..20).for_each(|_| world.poll());
    world.write_record("docker.io/library/imported:1", &image);
    world.emit_image_event("docker.io/library/imported:1");
    world.delete_lease("4-dddd");
    (0..3).for_each(|_| world.poll());
    assert_eq!(world.pulls().len(), 0, "{:#?}", world.pulls());
    world.assert_consistent();
}

#[test]
fn long_unpack_is_not_stalled_while_writing() {
    let mut world = World::new("v2.4.2");
    let image = image_fixture("app", &[("a", 4_000_000)]);
    world.create_lease("123-abcd");
    world.add_documents("123-abcd", &image, REPOSITORY);
    world.prepare_snapshot("123-abcd", &image.chains[0]);
    world.write_ingest("123-abcd", &format!("layer-{}", digest("a")), 3_000_000, 4_000_000);
    world.poll();
    world.commit_blob("123-abcd", "layer", &digest("a"), 4_000_000);
    world.poll();
    for minute in 0..15 {
        for quarter in 0..4 {
            world.set_usage(&image.chains[0], minute * 1_000 + quarter);
            world.advance(15_000);
            world.poll();
        }
        assert_eq!(world.layer_states(), ["extracting"]);
        assert_eq!(world.single_pull().stalled_since, None, "minute {minute}");
    }
    for _ in 0..8 {
        world.advance(15_000);
        world.poll();
    }
    assert!(world.single_pull().stalled_since.is_some(), "its unpacked bytes do not grow");
    world.assert_consistent();
}

#[test]
fn repeated_layer_counts_once() {
    let mut world = World::new("v2.4.2");
    let image = image_fixture("app", &[("a", 100), ("b", 50), ("a", 100)]);
    world.complete_pull("123-abcd", &image, "registry.example/team/app:1");
    let pull = world.single_pull();
    assert_eq!((pull.total.unwrap().0, pull.layers.len()), (150, 2));
    assert_eq!(pull.phase.as_str(), "completed");
}

#[test]
fn lazy_layer_is_remote_and_not_downloaded() {
    let mut world = World::new("v2.4.2");
    let image = image_fixture("app", &[("a", 1_000), ("b", 500)]);
    world.create_lease("123-abcd");
    world.add_documents("123-abcd", &image, REPOSITORY);
    world.add_chain(&image.chains[0]);
    world.add_resource("123-abcd", "snapshots/overlayfs", &image.chains[0]);
    world.prepare_snapshot("123-abcd", &image.chains[1]);
    world.write_ingest("123-abcd", &format!("layer-{}", digest("b")), 0, 500);
    world.poll();
    assert_eq!(world.layer_states(), ["remote", "waiting"]);
    assert_eq!(world.single_pull().to_download.unwrap().0, 500);
    world.assert_consistent();
}

#[test]
fn content_from_other_namespace_is_unpacked() {
    let mut world = World::new("v2.4.2");
    let image = image_fixture("app", &[("a", 1_000)]);
    world.create_lease("123-abcd");
    world.add_documents("123-abcd", &image, REPOSITORY);
    world.advance(5);
    world.commit_blob("123-abcd", "layer", &digest("a"), 1_000);
    world.prepare_snapshot("123-abcd", &image.chains[0]);
    world.poll();
    assert_eq!(world.layer_states(), ["extracting"]);
    world.assert_consistent();
}

#[test]
fn invalid_manifest_is_counted_as_anomaly() {
    let mut world = World::new("v2.4.2");
    let mut image = image_fixture("app", &[("a", 1_000)]);
    image.documents.insert(image.manifest.clone(), r#"{"schemaVersion":2,"layers":"#.into());
    world.create_lease("123-abcd");
    world.write_ingest("123-abcd", &format!("manifest-{}", image.manifest), 0, 10);
    world.poll();
    world.commit_blob("123-abcd", "manifest", &image.manifest, 10);
    world.garbage_collect(&[&image.manifest]);
    world.add_documents("123-abcd", &image, REPOSITORY);
    world.poll();
    assert_eq!(
        (world.single_pull().phase.as_str(), world.single_pull().total),
        ("resolving", None)
    );
    world.delete_lease("123-abcd");
    world.poll();
    assert_eq!(world.single_pull().phase.as_str(), "failed");
    assert!(!world.table.counters().anomalies.is_empty());
}

#[test]
fn ingest_of_different_size_is_ignored() {
    let mut world = World::new("v2.4.2");
    let image = image_fixture("app", &[("a", 1_000)]);
    world.create_lease("123-abcd");
    world.add_documents("123-abcd", &image, REPOSITORY);
    world.write_ingest("123-abcd", &format!("layer-{}", digest("a")), 900, 2_000);
    world.poll();
    assert_eq!(world.single_pull().motion.downloaded.0, 0);
    assert!(world.table.counters().anomalies.contains_key(&pulltrace_core::Anomaly::SizeChanged));
}

#[test]
fn resolving_pull_is_named_by_late_record() {
    let mut world = World::new("1.6.20~ds1");
    let image = image_fixture("app", &[("a", 1_000)]);
    world.create_lease("123-abcd");
    (0..6).for_each(|_| world.poll());
    assert_eq!(world.single_pull().phase.as_str(), "resolving");
    world.add_documents("123-abcd", &image, REPOSITORY);
    world.prepare_snapshot("123-abcd", &image.chains[0]);
    world.commit_blob("123-abcd", "layer", &digest("a"), 1_000);
    world.commit_snapshot("123-abcd", &image.chains[0], true);
    world.write_record("registry.example/team/app:1", &image);
    world.emit_image_event("registry.example/team/app:1");
    world.delete_lease("123-abcd");
    (0..3).for_each(|_| world.poll());
    assert_eq!(world.single_pull().phase.as_str(), "completed");
    world.assert_consistent();
}

#[test]
fn event_gap_loses_no_polled_pull() {
    let mut world = World::new("1.6.20~ds1");
    let image = image_fixture("app", &[("a", 1_000)]);
    world.create_lease("123-abcd");
    world.add_documents("123-abcd", &image, REPOSITORY);
    world.prepare_snapshot("123-abcd", &image.chains[0]);
    world.write_ingest("123-abcd", &format!("layer-{}", digest("a")), 0, 1_000);
    world.poll();
    world.event(Event::Gap);
    world.commit_blob("123-abcd", "layer", &digest("a"), 1_000);
    world.commit_snapshot("123-abcd", &image.chains[0], false);
    world.write_record("registry.example/team/app:1", &image);
    world.delete_lease("123-abcd");
    world.poll();
    assert_eq!(world.single_pull().phase.as_str(), "completed");
    assert_eq!(world.layer_states(), ["complete"]);
    world.assert_consistent();
}

#[test]
fn blob_of_several_repositories_has_no_repository() {
    let mut world = World::new("v2.4.2");
    let image = image_fixture("app", &[("a", 1_000)]);
    world.create_lease("123-abcd");
    world.add_documents("123-abcd", &image, REPOSITORY);
    world.add_label(&image.root, "containerd.io/distribution.source.mirror.example", "other/app");
    world.write_ingest("123-abcd", &format!("layer-{}", digest("a")), 0, 1_000);
    world.poll();
    assert_eq!(world.single_pull().repository, None);
    assert_eq!(world.single_pull().root, Some(World::parse_digest(&image.root)));
}

#[test]
fn blob_missing_after_its_event_is_queried_again() {
    let mut world = World::new("v2.4.2");
    let image = image_fixture("app", &[("a", 1_000)]);
    world.create_lease("123-abcd");
    world.write_ingest("123-abcd", &format!("manifest-{}", image.manifest), 0, 10);
    world.poll();
    world.remove_ingest(&format!("manifest-{}", image.manifest));
    world.add_resource("123-abcd", "content", &image.manifest);
    world.poll();
    assert_eq!(world.single_pull().total, None);
    world.add_documents("123-abcd", &image, REPOSITORY);
    world.poll();
    assert_eq!(world.single_pull().total.unwrap().0, 1_000);
    world.assert_consistent();
}

#[test]
fn repeated_pull_of_cached_image_is_new_pull() {
    let mut world = World::new("v2.4.2");
    let image = image_fixture("app", &[("a", 4_000_000)]);
    let (tag, by_digest) =
        ("registry.example/team/app:1", format!("registry.example/team/app@{}", image.root));
    world.complete_pull("123-abcd", &image, tag);
    for other in [&image.config, &by_digest] {
        world.advance(2);
        world.write_record(other, &image);
        world.emit_image_event(other);
    }
    world.poll();
    assert_eq!(world.pulls().len(), 1);
    world.advance(40);
    world.write_record(tag, &image);
    world.emit_image_event(tag);
    world.poll();
    assert_eq!(world.pulls().len(), 2);
    let again = world.pulls().into_iter().max_by_key(|pull| pull.started_at).unwrap();
    assert_eq!((again.phase.as_str(), again.to_download.unwrap().0), ("completed", 0));
    world.assert_consistent();
}

#[test]
fn newer_pull_takes_over_abandoned_ingest() {
    let mut world = World::new("v2.4.2");
    let image = image_fixture("app", &[("a", 4_000_000)]);
    let reference = format!("layer-{}", digest("a"));
    world.create_lease("111-aaaa");
    world.add_documents("111-aaaa", &image, REPOSITORY);
    world.write_ingest("111-aaaa", &reference, 1_000_000, 4_000_000);
    world.poll();
    world.advance(45_000);
    world.poll();
    // The first client is dead. Another one resumes the download of the same layer.
    world.create_lease("222-bbbb");
    world.add_documents("222-bbbb", &image, REPOSITORY);
    world.write_ingest("222-bbbb", &reference, 2_000_000, 4_000_000);
    world.poll();
    world.poll();
    assert_eq!(world.pull_of_lease("111-aaaa").phase.as_str(), "unknown");
    let newer = world.pull_of_lease("222-bbbb");
    assert_eq!((newer.phase.as_str(), newer.waiting_on.as_ref()), ("downloading", None));
    assert_eq!(newer.motion.downloaded.0, 2_000_000);
    world.assert_consistent();
}

#[test]
fn contradictory_input_is_counted() {
    use pulltrace_core::Anomaly;

    let counts = |change: &dyn Fn(&mut World)| {
        let mut world = World::new("1.6.20~ds1");
        let image = image_fixture("app", &[("a", 1_000), ("b", 1_000)]);
        world.create_lease("123-abcd");
        world.add_documents("123-abcd", &image, REPOSITORY);
        world.write_ingest("123-abcd", &format!("layer-{}", digest("a")), 0, 1_000);
        world.poll();
        change(&mut world);
        world.poll();
        world.table.counters().anomalies.keys().copied().collect::<Vec<_>>()
    };
    let reference = format!("layer-{}", digest("a"));
    let beyond = |world: &mut World| world.write_ingest("123-abcd", &reference, 1_001, 1_000);
    assert_eq!(counts(&beyond), [Anomaly::Unreadable]);
    let negative = |world: &mut World| world.write_ingest("123-abcd", &reference, -1, 1_000);
    assert_eq!(counts(&negative), [Anomaly::Unreadable]);
    let stranger = |world: &mut World| world.prepare_snapshot("123-abcd", &digest("stranger"));
    assert_eq!(counts(&stranger), [Anomaly::UnknownChain]);
    let size = |world: &mut World| world.commit_blob("123-abcd", "layer", &digest("b"), 999);
    assert_eq!(counts(&size), [Anomaly::SizeChanged]);
}

#[test]
fn late_labels_still_name_the_repository() {
    let mut world = World::new("v2.4.2");
    let image = image_fixture("app", &[("a", 1_000)]);
    world.create_lease("123-abcd");
    world.write_ingest("123-abcd", &format!("manifest-{}", image.manifest), 0, 10);
    (0..40).for_each(|_| world.poll());
    assert_eq!(world.queries, 0, "a blob was queried before it existed");
    world.remove_ingest(&format!("manifest-{}", image.manifest));
    world.add_documents("123-abcd", &image, REPOSITORY);
    // The labels appear some polls after the blob.
    let source = format!("containerd.io/distribution.source.{}", REPOSITORY.0);
    world.remove_source_labels(&image.manifest);
    (0..10).for_each(|_| world.poll());
    assert_eq!(world.single_pull().repository, None);
    world.add_label(&image.manifest, &source, REPOSITORY.1);
    world.poll();
    let repository = world.single_pull().repository.as_ref().unwrap();
    assert_eq!(repository.to_string(), "registry.example/team/app");
    world.assert_consistent();
}

#[test]
fn cancelled_pull_of_present_image_is_not_completed() {
    let mut world = World::new("v2.4.2");
    let image = image_fixture("app", &[("a", 4_000_000)]);
    world.complete_pull("111-aaaa", &image, "registry.example/team/app:1");
    world.advance(60_000);
    // The image is pulled again by another tag. Everything is present, but the client gives up
    // before writing the record.
    world.create_lease("222-bbbb");
    world.add_documents("222-bbbb", &image, REPOSITORY);
    world.poll();
    world.delete_lease("222-bbbb");
    (0..3).for_each(|_| world.poll());
    assert_eq!(world.pull_of_lease("222-bbbb").phase.as_str(), "failed");
    assert_eq!(world.pull_of_lease("111-aaaa").phase.as_str(), "completed");
    world.assert_consistent();
}
