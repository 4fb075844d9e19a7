//! Under any load, the state stays within its limits and the counts are consistent.

use proptest::prelude::*;
use pulltrace_core::Phase;
use pulltrace_server_lib::Limits;

use crate::network::{Action, Simulation, actions};

proptest! {
    #![proptest_config(ProptestConfig::with_cases(300))]

    #[test]
    fn state_stays_within_limits_and_readers_follow(
        steps in proptest::collection::vec(actions(), 1..120),
        limit in 1..7_usize,
    ) {
        let mut limits = Limits::default();
        limits.live_per_node = 2;
        limits.live = 3;
        limits.ended_per_node = 3;
        limits.ended = 4;
        limits.history_ttl = std::time::Duration::from_secs(40);
        let mut world = Simulation::new(limits, 3);
        for step in &steps {
            world.apply(step)?;
            let stats = world.fleet.stats();
            let rows: Vec<_> = world.table.rows(None).collect();
            let ended = rows.iter().filter(|row| row.pull.outcome().is_some()).count();
            let with_layers = rows
                .iter()
                .filter(|row| row.pull.outcome().is_some() && !row.pull.layers.is_empty())
                .count();
            prop_assert!(rows.len() - ended <= 3);
            prop_assert!(ended <= 4 && with_layers <= 2);
            prop_assert_eq!(stats.ended, ended as u64);
            let count = |phase| rows.iter().filter(|row| row.pull.phase == phase).count() as u64;
            prop_assert_eq!(stats.live.resolving, count(Phase::Resolving));
            prop_assert_eq!(stats.live.downloading, count(Phase::Downloading));
            prop_assert_eq!(stats.live.extracting, count(Phase::Extracting));
            for node in world.table.nodes() {
                let of_node = |live: bool| {
                    let rows = rows.iter().filter(|row| *row.pull.id.node() == node.view.name);
                    rows.filter(|row| row.pull.outcome().is_none() == live).count()
                };
                prop_assert!(of_node(true) <= 2 && of_node(false) <= 3);
            }
            if matches!(step, Action::Advance(_)) {
                world.reader.resume();
                world.reader.catch_up(&world.table, limit)?;
                world.reader.assert_up_to_date(&world.table)?;
            }
        }
    }
}
