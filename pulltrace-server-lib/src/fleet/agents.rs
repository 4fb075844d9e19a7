//! Selects the active agent if several report for one node.
//!
//! An agent that started later takes over: the node's agent was restarted. If the older one then
//! reports again, both are running, which is a conflict: the older one is active, since it was
//! first, until it is silent.

use std::sync::Arc;
use std::time::Duration;

use pulltrace_core::wire::v1::AgentInfo;
use pulltrace_core::{Mono, NodeTime};

/// Longer report intervals of an agent are capped.
const MAX_INTERVAL: Duration = Duration::from_mins(5);

/// An agent, as of its last report.
#[derive(Clone, Debug)]
pub(super) struct Agent {
    instance: Arc<str>,
    started_at: NodeTime,
    /// The sequence of its last report that was accepted, or received if it is not active.
    pub(super) accepted_seq: u64,
    last_report: Mono,
    interval: Duration,
}

/// The decision about a report.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum ReportDecision {
    /// The next report of the active agent.
    Accept,
    /// A later report of the same agent, or of a newer agent, was accepted before. `accepted` is
    /// the last accepted sequence of its agent.
    Stale { accepted: u64 },
    /// A report of an agent that takes over.
    Takeover,
    /// A report of the previous agent, which was assumed to have stopped: two agents are running.
    Conflict,
    /// A report of an agent that is not active while another one reports.
    Reject,
}

#[derive(Debug)]
pub(super) struct NodeAgents {
    pub(super) active: Agent,
    /// The previous agent; during a conflict, the one that is not active.
    other: Option<Agent>,
    conflict: bool,
}

impl Agent {
    pub(super) fn new(info: &AgentInfo, sequence: u64, now: Mono) -> Self {
        Self {
            instance: info.instance.as_str().into(),
            started_at: info.started_at,
            accepted_seq: sequence,
            last_report: now,
            interval: Duration::from_millis(info.interval_ms).min(MAX_INTERVAL),
        }
    }

    pub(super) fn is_silent(&self, now: Mono, lost_after: Duration) -> bool {
        now.since(self.last_report) > lost_after.max(self.interval.saturating_mul(5))
    }

    pub(super) fn matches(&self, info: &AgentInfo) -> bool {
        *self.instance == *info.instance
    }
}

impl NodeAgents {
    pub(super) const fn new(first: Agent) -> Self {
        Self { active: first, other: None, conflict: false }
    }

    /// Decides about a report that was sent at `sent`, by the node's clock.
    pub(super) fn decide(
        &self,
        info: &AgentInfo,
        sequence: u64,
        sent: NodeTime,
        now: Mono,
        lost_after: Duration,
    ) -> ReportDecision {
        let active = &self.active;
        if active.matches(info) {
            return if sequence > active.accepted_seq {
                ReportDecision::Accept
            } else {
                ReportDecision::Stale { accepted: active.accepted_seq }
            };
        }
        let known = self.other.as_ref().filter(|other| other.matches(info));
        let accepted = known.map_or(0, |known| known.accepted_seq);
        let late = sequence <= accepted;
        let before = (info.started_at, info.instance.as_str());
        let older = before < (active.started_at, &active.instance);
        match older {
            _ if late && !self.conflict => ReportDecision::Stale { accepted },
            _ if active.is_silent(now, lost_after) => ReportDecision::Takeover,
            true if sent > active.started_at => ReportDecision::Conflict,
            true => ReportDecision::Stale { accepted },
            false if self.conflict => ReportDecision::Reject,
            false => ReportDecision::Takeover,
        }
    }

    /// Records the agent of a report, according to the decision about it.
    pub(super) fn apply(&mut self, decision: ReportDecision, agent: Agent) {
        match decision {
            ReportDecision::Accept => self.active = agent,
            ReportDecision::Stale { .. } => {}
            ReportDecision::Takeover => {
                self.other = Some(std::mem::replace(&mut self.active, agent));
                self.conflict = false;
            }
            ReportDecision::Conflict => {
                self.other = Some(std::mem::replace(&mut self.active, agent));
                self.conflict = true;
            }
            ReportDecision::Reject => self.other = Some(agent),
        }
    }

    /// Reports whether the active agent has been silent for too long.
    pub(super) fn is_lost(&self, now: Mono, lost_after: Duration) -> bool {
        self.active.is_silent(now, lost_after)
    }

    /// Returns the time since the last report of the active agent.
    pub(super) fn silent_for(&self, now: Mono) -> Duration {
        now.since(self.active.last_report)
    }

    /// Reports whether two agents report. The conflict ends when the inactive one is silent.
    pub(super) fn has_conflict(&mut self, now: Mono, lost_after: Duration) -> bool {
        let silent = |other: &Agent| other.is_silent(now, lost_after);
        self.conflict &= !self.other.as_ref().is_none_or(silent);
        self.conflict
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const LOST_AFTER: Duration = Duration::from_secs(10);

    fn at_second(n: i64) -> NodeTime {
        NodeTime::from_unix(1_764_000_000 + n, 0)
    }

    fn info(instance: &str, started: i64) -> AgentInfo {
        AgentInfo {
            version: "0.1.0".to_owned(),
            instance: instance.to_owned(),
            started_at: at_second(started),
            interval_ms: 1_000,
        }
    }

    /// Decides about and records a report that is sent and received at second `at`.
    fn submit(agents: &mut NodeAgents, info: &AgentInfo, sequence: u64, at: i64) -> ReportDecision {
        let now = Mono(Duration::from_secs(at.unsigned_abs()));
        let decision = agents.decide(info, sequence, at_second(at), now, LOST_AFTER);
        agents.apply(decision, Agent::new(info, sequence, now));
        decision
    }

    #[test]
    fn restarted_agent_takes_over_immediately() {
        let (old, new) = (info("old", 0), info("new", 100));
        let mut agents = NodeAgents::new(Agent::new(&old, 7, Mono(Duration::from_secs(99))));
        assert_eq!(submit(&mut agents, &new, 1, 101), ReportDecision::Takeover);
        // Sent before the new agent started, and delivered after that.
        let now = Mono(Duration::from_secs(102));
        let late = agents.decide(&old, 8, at_second(99), now, LOST_AFTER);
        assert_eq!(late, ReportDecision::Stale { accepted: 7 });
        let twice = agents.decide(&old, 7, at_second(102), now, LOST_AFTER);
        assert_eq!(twice, ReportDecision::Stale { accepted: 7 });
        assert_eq!(submit(&mut agents, &new, 2, 103), ReportDecision::Accept);
    }

    #[test]
    fn older_agent_stays_active_until_silent() {
        let (old, new) = (info("old", 0), info("new", 100));
        let mut agents = NodeAgents::new(Agent::new(&old, 7, Mono(Duration::from_secs(99))));
        assert_eq!(submit(&mut agents, &new, 1, 101), ReportDecision::Takeover);
        assert_eq!(submit(&mut agents, &old, 8, 102), ReportDecision::Conflict);
        assert_eq!(submit(&mut agents, &new, 2, 103), ReportDecision::Reject);
        assert_eq!(submit(&mut agents, &old, 9, 104), ReportDecision::Accept);
        assert!(agents.has_conflict(Mono(Duration::from_secs(105)), LOST_AFTER));
        assert_eq!(submit(&mut agents, &new, 3, 114), ReportDecision::Reject);
        assert_eq!(submit(&mut agents, &new, 4, 115), ReportDecision::Takeover);
        assert!(!agents.has_conflict(Mono(Duration::from_secs(115)), LOST_AFTER));
    }

    #[test]
    fn conflict_ends_when_other_agent_is_silent() {
        let (old, new) = (info("old", 0), info("new", 100));
        let mut agents = NodeAgents::new(Agent::new(&new, 1, Mono(Duration::from_secs(101))));
        // Also if the newer agent reports first.
        assert_eq!(submit(&mut agents, &old, 8, 102), ReportDecision::Conflict);
        assert!(agents.has_conflict(Mono(Duration::from_secs(111)), LOST_AFTER));
        assert!(!agents.has_conflict(Mono(Duration::from_secs(112)), LOST_AFTER));
    }

    #[test]
    fn agent_with_clock_set_back_takes_over_eventually() {
        let (old, new) = (info("old", 5_000), info("new", 0));
        let mut agents = NodeAgents::new(Agent::new(&old, 7, Mono::default()));
        assert_eq!(submit(&mut agents, &new, 1, 1), ReportDecision::Stale { accepted: 0 });
        assert_eq!(submit(&mut agents, &new, 2, 11), ReportDecision::Takeover);
    }

    #[test]
    fn oversized_interval_is_capped() {
        let mut info = info("a", 0);
        info.interval_ms = u64::MAX;
        let agents = NodeAgents::new(Agent::new(&info, 1, Mono::default()));
        assert!(agents.is_lost(Mono(Duration::from_secs(25 * 60 + 1)), LOST_AFTER));
    }
}
