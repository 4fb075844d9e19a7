//! What is known of layers before the config says what they unpack to, and of chains whose lower part is
//! gone: a doubt where the pull lives, and none where it was just over.

use pulltrace_core::{Anomaly, Bytes};

use super::HOST;
use super::world::{World, digest, paper};

/// A poll found that the upper of two layers is unpacked, and the lower one is not.
fn the_lower_layer_is_gone() -> World {
    let mut world = World::new("v2.4.2");
    let image = paper("app", &[("a", 1_000), ("b", 2_000)]);
    world.lease("111-aaaa");
    world.resolve("111-aaaa", &image, HOST);
    world.has_chain(&image.chains[1]);
    // Another pull shows which snapshotter is used.
    let other = paper("other", &[("c", 3_000)]);
    world.lease("222-bbbb");
    world.prepare("222-bbbb", &other.chains[0]);
    world.poll();
    world
}

fn doubts(world: &World) -> Option<u64> {
    let anomalies = &world.table.counters().anomalies;
    anomalies.get(&Anomaly::BrokenChain).copied()
}

#[test]
fn what_is_collected_after_a_failure_is_no_doubt() {
    let mut world = the_lower_layer_is_gone();
    world.end_lease("111-aaaa");
    (0..3).for_each(|_| world.poll());
    assert_eq!(doubts(&world), None);
}

#[test]
fn a_layer_without_the_one_below_is_doubted_while_the_pull_lives() {
    let mut world = the_lower_layer_is_gone();
    world.poll();
    assert!(doubts(&world) >= Some(1));
}

#[test]
fn an_image_whose_config_waits_for_a_slot_has_its_exact_size_from_the_manifest_on() {
    let mut world = World::new("v2.4.2");
    let image = paper("app", &[("a", 4_000_000), ("b", 2_000_000)]);
    world.lease("111-aaaa");
    let manifest_only = super::world::Paper {
        documents: image
            .documents
            .clone()
            .into_iter()
            .filter(|(digest, _)| *digest == image.manifest)
            .collect(),
        ..image.clone()
    };
    world.resolve("111-aaaa", &manifest_only, HOST);
    let layer = format!("layer-{}", digest("a"));
    world.write("111-aaaa", &format!("config-{}", image.config), 0, 7);
    world.write("111-aaaa", &layer, 0, 4_000_000);
    world.poll();
    let pull = world.only();
    assert_eq!(pull.total, Some(Bytes(6_000_000)));
    assert_eq!(pull.phase.as_str(), "downloading");
    assert_eq!(world.layers(), ["waiting", "waiting"]);

    world.write("111-aaaa", &layer, 1_000_000, 4_000_000);
    world.poll();
    assert_eq!(world.only().downloaded, Bytes(1_000_000));
    let percent = world.only().percent;

    // The config comes, and with it how the layers are made.
    world.abort(&format!("config-{}", image.config));
    world.resolve("111-aaaa", &image, HOST);
    world.poll();
    assert_eq!(world.only().total, Some(Bytes(6_000_000)));
    assert!(world.only().percent >= percent);
    let platform = world
        .only()
        .image
        .as_ref()
        .and_then(|image| image.platform.clone());
    assert_eq!(platform.as_deref(), Some("linux/amd64"));
    world.assert_sane();
}
