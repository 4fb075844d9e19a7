//! The output of a step.

use std::collections::BTreeSet;

use pulltrace_core::{Anomaly, Observation};

use super::super::input::Query;

/// The maximum number of queries per poll; the rest is requested after the next one.
const MAX_QUERIES: usize = 1_024;

/// The output of a step.
#[derive(Debug, Default, PartialEq)]
#[non_exhaustive]
pub struct TrackerOutput {
    /// Queries for containerd. Unanswered ones are returned again after the next poll.
    pub queries: Vec<Query>,
    /// The observations.
    pub observations: Vec<Observation>,
    /// Contradictions in the input.
    pub anomalies: Vec<Anomaly>,
}

/// Collects the output of a step. Each query is emitted once per poll.
#[derive(Debug, Default)]
pub(super) struct OutputBuilder {
    pub(super) collected: TrackerOutput,
    queried: BTreeSet<Query>,
}

impl OutputBuilder {
    pub(super) fn observe(&mut self, observation: Observation) {
        self.collected.observations.push(observation);
    }

    pub(super) fn report_anomaly(&mut self, anomaly: Anomaly) {
        self.collected.anomalies.push(anomaly);
    }

    pub(super) fn query(&mut self, query: Query) {
        if self.queried.len() < MAX_QUERIES && self.queried.insert(query.clone()) {
            self.collected.queries.push(query);
        }
    }

    pub(super) fn query_all(&mut self, queries: impl IntoIterator<Item = Query>) {
        queries.into_iter().for_each(|query| self.query(query));
    }

    /// Removes and returns the observations from this index on.
    pub(super) fn split_off_observations(&mut self, from: usize) -> Vec<Observation> {
        self.collected.observations.split_off(from)
    }

    /// Emits unanswered queries again from now on.
    pub(super) fn forget_queried(&mut self) {
        self.queried.clear();
    }
}
