//! With reports lost, duplicated or reordered and agents or the server restarted, the server
//! converges to the agents' state and no reader misses an end.

use proptest::prelude::*;
use pulltrace_core::Outcome;
use pulltrace_core::wire::v1::{Phase, ReportPull};
use pulltrace_server_lib::Limits;
use pulltrace_server_lib::fleet::Fleet;
use pulltrace_server_lib::table::Table;

use crate::agent::{LAYERS, Request, SimulatedAgent, now, time};
use crate::reader::Reader;

pub(crate) const NODES: usize = 2;
pub(crate) const PULLS: usize = 4;

#[derive(Clone, Debug)]
pub(crate) enum Action {
    StartPull(usize, usize),
    AddBytes(usize, usize, usize, u64),
    EndPull(usize, usize, bool),
    /// A report, and how it is delivered.
    Report(usize, Delivery),
    /// An earlier report is delivered again, or late.
    Resend(usize),
    RestartAgent(usize),
    RestartServer,
    /// Reads up to this many changes: only starts and ends, or all.
    Read(usize, bool),
    Advance(u64),
}

#[derive(Clone, Copy, Debug)]
pub(crate) enum Delivery {
    Delivered,
    ReportLost,
    AckLost,
}

pub(crate) fn actions() -> impl Strategy<Value = Action> {
    let (node, pull) = (0..NODES, 0..PULLS);
    let fate = prop_oneof![
        4 => Just(Delivery::Delivered),
        1 => Just(Delivery::ReportLost),
        1 => Just(Delivery::AckLost),
    ];
    prop_oneof![
        4 => (node.clone(), pull.clone()).prop_map(|(node, pull)| Action::StartPull(node, pull)),
        8 => (node.clone(), pull.clone(), 0..LAYERS, 1..80_u64)
            .prop_map(|(node, pull, layer, by)| Action::AddBytes(node, pull, layer, by)),
        3 => (node.clone(), pull, any::<bool>())
            .prop_map(|(node, pull, well)| Action::EndPull(node, pull, well)),
        12 => (node.clone(), fate).prop_map(|(node, fate)| Action::Report(node, fate)),
        3 => (0..20_usize).prop_map(Action::Resend),
        1 => node.prop_map(Action::RestartAgent),
        1 => Just(Action::RestartServer),
        4 => (1..6_usize, any::<bool>()).prop_map(|(limit, urgent)| Action::Read(limit, urgent)),
        2 => (0..12_u64).prop_map(Action::Advance),
    ]
}

pub(crate) struct Simulation {
    pub(crate) limits: Limits,
    tombstones: usize,
    pub(crate) fleet: Fleet,
    pub(crate) table: Table,
    server_restarts: u32,
    second: u64,
    agents: Vec<SimulatedAgent>,
    sent: Vec<Request>,
    pub(crate) reader: Reader,
}

impl Simulation {
    pub(crate) fn new(limits: Limits, tombstones: usize) -> Self {
        Self {
            limits,
            tombstones,
            fleet: Fleet::new("0", limits, time(0)),
            table: Table::new("0", tombstones),
            server_restarts: 0,
            second: 1,
            agents: (0..NODES).map(SimulatedAgent::new).collect(),
            sent: Vec::new(),
            reader: Reader::new(),
        }
    }

    pub(crate) fn apply(&mut self, step: &Action) -> Result<(), TestCaseError> {
        self.second += 1;
        let second = self.second;
        match *step {
            Action::StartPull(node, pull) => self.agents[node].start_pull(pull, second),
            Action::AddBytes(node, pull, layer, by) => self.agents[node].add_bytes(pull, layer, by),
            Action::EndPull(node, pull, well) => self.agents[node].end_pull(pull, well, second),
            Action::Report(node, fate) => self.report(node, fate),
            Action::Resend(index) => {
                if let Some(request) = self.sent.iter().rev().nth(index) {
                    let report = request.report();
                    let applied = self.fleet.apply(report, now(second));
                    self.table.apply(&applied.changes);
                }
            }
            Action::RestartAgent(node) => self.agents[node].restart(second),
            Action::RestartServer => {
                self.server_restarts += 1;
                let epoch = self.server_restarts.to_string();
                self.fleet = Fleet::new(epoch.as_str(), self.limits, time(second));
                self.table = Table::new(epoch, self.tombstones);
                self.reader = Reader::new();
            }
            Action::Read(limit, urgent) => {
                self.reader.read(&self.table, limit, urgent)?;
            }
            Action::Advance(seconds) => {
                self.second += seconds;
                let changes = self.fleet.expire(now(self.second));
                self.table.apply(&changes);
            }
        }
        Ok(())
    }

    fn report(&mut self, node: usize, fate: Delivery) {
        let request = self.agents[node].request(self.second);
        self.sent.push(request.clone());
        if matches!(fate, Delivery::ReportLost) {
            return;
        }
        let applied = self.fleet.apply(request.report(), now(self.second));
        self.table.apply(&applied.changes);
        if let (Delivery::Delivered, Ok(ack)) = (fate, applied.response) {
            self.agents[node].receive_ack(request, &ack);
        }
    }

    /// Agents report until everything is acknowledged: at most one partial and one full report
    /// each.
    fn settle(&mut self) -> Result<(), TestCaseError> {
        for node in 0..NODES {
            for _ in 0..2 {
                self.second += 1;
                self.report(node, Delivery::Delivered);
                if self.agents[node].is_settled() {
                    break;
                }
            }
            prop_assert!(self.agents[node].is_settled(), "more than one full report");
        }
        Ok(())
    }

    /// Asserts that the server's state equals that of the agents.
    fn assert_agrees(&self) -> Result<(), TestCaseError> {
        let mut live = 0;
        for agent in &self.agents {
            for pull in agent.current_pulls() {
                let row = self.table.get(&pull.id.parse().unwrap());
                let shown = row.map(|row| ReportPull::from(&*row.pull));
                live += usize::from(!matches!(pull.phase, Phase::Completed | Phase::Failed));
                prop_assert_eq!(shown, Some(pull));
            }
        }
        let rows = self.table.rows(None);
        let shown = rows.filter(|row| row.pull.outcome().is_none()).count();
        prop_assert_eq!(shown, live, "live rows that no agent reports");
        prop_assert_eq!(self.fleet.stats().live.sum(), live as u64);
        Ok(())
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(400))]

    #[test]
    fn server_converges_and_readers_see_each_end_once(
        steps in proptest::collection::vec(actions(), 1..120),
        limit in 1..7_usize,
    ) {
        let mut world = Simulation::new(Limits::default(), 1_000);
        for step in &steps {
            world.apply(step)?;
        }
        world.settle()?;
        world.assert_agrees()?;
        world.reader.catch_up(&world.table, limit)?;
        world.reader.assert_up_to_date(&world.table)?;
        for row in world.table.rows(None) {
            let shown = row.pull.outcome().is_some_and(|outcome| outcome != Outcome::Unknown);
            let seen = world.reader.ends.get(&row.pull.id).copied().unwrap_or(0);
            prop_assert_eq!(seen, u32::from(shown), "each end once");
        }
    }
}
