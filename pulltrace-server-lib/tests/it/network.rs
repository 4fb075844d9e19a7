//! Whatever is lost, doubled, reordered or restarted: the server comes to the agents' truth, and no
//! reader misses an end.

use proptest::prelude::*;
use pulltrace_core::Outcome;
use pulltrace_core::wire::v1::{Phase, ReportPull};
use pulltrace_server_lib::Limits;
use pulltrace_server_lib::fleet::Fleet;
use pulltrace_server_lib::table::Table;

use crate::agent::{Agent, LAYERS, Request, now, time};
use crate::reader::Reader;

pub(crate) const NODES: usize = 2;
pub(crate) const PULLS: usize = 4;

#[derive(Clone, Debug)]
pub(crate) enum Step {
    Begin(usize, usize),
    Grow(usize, usize, usize, u64),
    End(usize, usize, bool),
    /// A report, and what becomes of it.
    Report(usize, Fate),
    /// A report of before comes again, or late.
    Again(usize),
    AgentRestarts(usize),
    ServerRestarts,
    /// Reads so many changes; only starts and ends of them, or all.
    Read(usize, bool),
    Pass(u64),
}

#[derive(Clone, Copy, Debug)]
pub(crate) enum Fate {
    Arrives,
    Lost,
    AnswerLost,
}

pub(crate) fn steps() -> impl Strategy<Value = Step> {
    let (node, pull) = (0..NODES, 0..PULLS);
    let fate = prop_oneof![
        4 => Just(Fate::Arrives),
        1 => Just(Fate::Lost),
        1 => Just(Fate::AnswerLost),
    ];
    prop_oneof![
        4 => (node.clone(), pull.clone()).prop_map(|(node, pull)| Step::Begin(node, pull)),
        8 => (node.clone(), pull.clone(), 0..LAYERS, 1..80_u64)
            .prop_map(|(node, pull, layer, by)| Step::Grow(node, pull, layer, by)),
        3 => (node.clone(), pull, any::<bool>())
            .prop_map(|(node, pull, well)| Step::End(node, pull, well)),
        12 => (node.clone(), fate).prop_map(|(node, fate)| Step::Report(node, fate)),
        3 => (0..20_usize).prop_map(Step::Again),
        1 => node.prop_map(Step::AgentRestarts),
        1 => Just(Step::ServerRestarts),
        4 => (1..6_usize, any::<bool>()).prop_map(|(limit, urgent)| Step::Read(limit, urgent)),
        2 => (0..12_u64).prop_map(Step::Pass),
    ]
}

pub(crate) struct World {
    pub(crate) limits: Limits,
    tombstones: usize,
    pub(crate) fleet: Fleet,
    pub(crate) table: Table,
    lives: u32,
    second: u64,
    agents: Vec<Agent>,
    sent: Vec<Request>,
    pub(crate) reader: Reader,
}

impl World {
    pub(crate) fn new(limits: Limits, tombstones: usize) -> Self {
        Self {
            limits,
            tombstones,
            fleet: Fleet::new("0", limits, time(0)),
            table: Table::new("0", tombstones),
            lives: 0,
            second: 1,
            agents: (0..NODES).map(Agent::new).collect(),
            sent: Vec::new(),
            reader: Reader::new(),
        }
    }

    pub(crate) fn step(&mut self, step: &Step) -> Result<(), TestCaseError> {
        self.second += 1;
        let second = self.second;
        match *step {
            Step::Begin(node, pull) => self.agents[node].begin(pull, second),
            Step::Grow(node, pull, layer, by) => self.agents[node].grow(pull, layer, by),
            Step::End(node, pull, well) => self.agents[node].end(pull, well, second),
            Step::Report(node, fate) => self.report(node, fate),
            Step::Again(index) => {
                if let Some(request) = self.sent.iter().rev().nth(index) {
                    let report = request.report();
                    let applied = self.fleet.apply(report, now(second));
                    self.table.take(&applied.changes);
                }
            }
            Step::AgentRestarts(node) => self.agents[node].restart(second),
            Step::ServerRestarts => {
                self.lives += 1;
                let epoch = self.lives.to_string();
                self.fleet = Fleet::new(epoch.as_str(), self.limits, time(second));
                self.table = Table::new(epoch, self.tombstones);
                self.reader = Reader::new();
            }
            Step::Read(limit, urgent) => {
                self.reader.read(&self.table, limit, urgent)?;
            }
            Step::Pass(seconds) => {
                self.second += seconds;
                let changes = self.fleet.expire(now(self.second));
                self.table.take(&changes);
            }
        }
        Ok(())
    }

    fn report(&mut self, node: usize, fate: Fate) {
        let request = self.agents[node].request(self.second);
        self.sent.push(request.clone());
        if matches!(fate, Fate::Lost) {
            return;
        }
        let applied = self.fleet.apply(request.report(), now(self.second));
        self.table.take(&applied.changes);
        if let (Fate::Arrives, Ok(ack)) = (fate, applied.verdict) {
            self.agents[node].acknowledged(request, &ack);
        }
    }

    /// The agents report until they have told all: at most what they changed, and everything.
    fn settle(&mut self) -> Result<(), TestCaseError> {
        for node in 0..NODES {
            for _ in 0..2 {
                self.second += 1;
                self.report(node, Fate::Arrives);
                if self.agents[node].is_settled() {
                    break;
                }
            }
            prop_assert!(self.agents[node].is_settled(), "more than one full report");
        }
        Ok(())
    }

    /// What the server shows is what the agents have.
    fn agrees(&self) -> Result<(), TestCaseError> {
        let mut live = 0;
        for agent in &self.agents {
            for told in agent.state() {
                let row = self.table.get(&told.id.parse().unwrap());
                let shown = row.map(|row| ReportPull::from(&*row.pull));
                live += usize::from(!matches!(told.phase, Phase::Completed | Phase::Failed));
                prop_assert_eq!(shown, Some(told));
            }
        }
        let rows = self.table.rows(None);
        let shown = rows.filter(|row| row.pull.outcome().is_none()).count();
        prop_assert_eq!(shown, live, "nothing lives that no agent tells of");
        prop_assert_eq!(self.fleet.stats().live.sum(), live as u64);
        Ok(())
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(400))]

    #[test]
    fn the_server_comes_to_the_agents_truth_and_readers_see_each_end_once(
        steps in proptest::collection::vec(steps(), 1..120),
        limit in 1..7_usize,
    ) {
        let mut world = World::new(Limits::default(), 1_000);
        for step in &steps {
            world.step(step)?;
        }
        world.settle()?;
        world.agrees()?;
        world.reader.catch_up(&world.table, limit)?;
        world.reader.has_all(&world.table)?;
        for row in world.table.rows(None) {
            let shown = row.pull.outcome().is_some_and(|outcome| outcome != Outcome::Unknown);
            let seen = world.reader.ends.get(&row.pull.id).copied().unwrap_or(0);
            prop_assert_eq!(seen, u32::from(shown), "each end once");
        }
    }
}
