//! Chains whose lower part is gone: a doubt where the pull lives, and none where it was just over.

use pulltrace_core::Anomaly;

use super::HOST;
use super::world::{World, paper};

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
