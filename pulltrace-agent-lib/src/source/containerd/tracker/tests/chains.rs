//! Layers of known size but unknown chains, and chains whose lower part is missing: an anomaly
//! during a pull, but not right after its end.

use pulltrace_core::{Anomaly, Bytes};

use super::REPOSITORY;
use super::world::{World, digest, image_fixture};

/// A world in which the upper of two layers is unpacked and the lower one is missing, after one
/// poll.
fn world_with_missing_lower_chain() -> World {
    let mut world = World::new("v2.4.2");
    let image = image_fixture("app", &[("a", 1_000), ("b", 2_000)]);
    world.create_lease("111-aaaa");
    world.add_documents("111-aaaa", &image, REPOSITORY);
    world.add_chain(&image.chains[1]);
    // Another pull reveals the snapshotter.
    let other = image_fixture("other", &[("c", 3_000)]);
    world.create_lease("222-bbbb");
    world.prepare_snapshot("222-bbbb", &other.chains[0]);
    world.poll();
    world
}

fn broken_chain_count(world: &World) -> Option<u64> {
    let anomalies = &world.table.counters().anomalies;
    anomalies.get(&Anomaly::BrokenChain).copied()
}

#[test]
fn garbage_collection_after_failure_is_no_anomaly() {
    let mut world = world_with_missing_lower_chain();
    world.delete_lease("111-aaaa");
    (0..3).for_each(|_| world.poll());
    assert_eq!(broken_chain_count(&world), None);
}

#[test]
fn missing_lower_chain_is_anomaly_during_pull() {
    let mut world = world_with_missing_lower_chain();
    world.poll();
    assert!(broken_chain_count(&world) >= Some(1));
}

#[test]
fn image_size_is_exact_before_config_arrives() {
    let mut world = World::new("v2.4.2");
    let image = image_fixture("app", &[("a", 4_000_000), ("b", 2_000_000)]);
    world.create_lease("111-aaaa");
    let manifest_only = super::world::ImageFixture {
        documents: image
            .documents
            .clone()
            .into_iter()
            .filter(|(digest, _)| *digest == image.manifest)
            .collect(),
        ..image.clone()
    };
    world.add_documents("111-aaaa", &manifest_only, REPOSITORY);
    let layer = format!("layer-{}", digest("a"));
    world.write_ingest("111-aaaa", &format!("config-{}", image.config), 0, 7);
    world.write_ingest("111-aaaa", &layer, 0, 4_000_000);
    world.poll();
    let pull = world.single_pull();
    assert_eq!(pull.total, Some(Bytes(6_000_000)));
    assert_eq!(pull.phase.as_str(), "downloading");
    assert_eq!(world.layer_states(), ["waiting", "waiting"]);

    world.write_ingest("111-aaaa", &layer, 1_000_000, 4_000_000);
    world.poll();
    assert_eq!(world.single_pull().motion.downloaded, Bytes(1_000_000));
    let percent = world.single_pull().motion.percent;

    // The config arrives, and with it the chains.
    world.remove_ingest(&format!("config-{}", image.config));
    world.add_documents("111-aaaa", &image, REPOSITORY);
    world.poll();
    assert_eq!(world.single_pull().total, Some(Bytes(6_000_000)));
    assert!(world.single_pull().motion.percent >= percent);
    let platform = world.single_pull().image.as_ref().and_then(|image| image.platform.clone());
    assert_eq!(platform.as_deref(), Some("linux/amd64"));
    world.assert_consistent();
}
