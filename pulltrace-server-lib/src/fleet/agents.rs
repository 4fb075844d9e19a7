//! Who is believed of the agents that report under one node's name.
//!
//! An agent that was started later takes over: the node's agent was restarted. If the older one then
//! reports again, both live, which is a conflict: the older is believed, since it was there first,
//! until it falls silent.

use std::sync::Arc;
use std::time::Duration;

use pulltrace_core::wire::v1::AgentInfo;
use pulltrace_core::{Mono, NodeName, NodeTime};

use crate::clock::ServerNow;

/// The longest interval that an agent may announce.
const LONGEST_INTERVAL: Duration = Duration::from_mins(5);

/// An agent, as its last report told.
#[derive(Clone, Debug)]
pub(super) struct Agent {
    instance: Arc<str>,
    started_at: NodeTime,
    /// The sequence of its last report that was taken, or heard of where it is not believed.
    pub(super) accepted: u64,
    heard: Mono,
    interval: Duration,
}

/// What is to be done with a report.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Standing {
    /// It is the next of the agent that is believed.
    Next,
    /// A later one of the same agent, or of a later agent, was taken before. `accepted` is the
    /// sequence of the last one that was taken of its agent.
    Late { accepted: u64 },
    /// It is of an agent that takes over.
    Restarted,
    /// It is of the agent before, which was thought to be over: two agents live.
    OlderLives,
    /// It is of an agent that is not believed while another one reports.
    Refused,
}

#[derive(Debug)]
pub(super) struct Agents {
    pub(super) believed: Agent,
    /// The one before it; while there is a conflict, the one that is not believed.
    other: Option<Agent>,
    conflict: bool,
}

impl Agent {
    pub(super) fn new(told: &AgentInfo, sequence: u64, now: Mono) -> Self {
        Self {
            instance: told.instance.as_str().into(),
            started_at: told.started_at,
            accepted: sequence,
            heard: now,
            interval: Duration::from_millis(told.interval_ms).min(LONGEST_INTERVAL),
        }
    }

    pub(super) fn is_silent(&self, now: Mono, lost_after: Duration) -> bool {
        now.since(self.heard) > lost_after.max(self.interval.saturating_mul(5))
    }

    pub(super) fn is_of(&self, told: &AgentInfo) -> bool {
        *self.instance == *told.instance
    }
}

impl Agents {
    pub(super) const fn new(first: Agent) -> Self {
        Self {
            believed: first,
            other: None,
            conflict: false,
        }
    }

    /// What is to be done with a report that was sent at `sent`, by the node's clock.
    pub(super) fn judge(
        &self,
        told: &AgentInfo,
        sequence: u64,
        sent: NodeTime,
        now: Mono,
        lost_after: Duration,
    ) -> Standing {
        let believed = &self.believed;
        if believed.is_of(told) {
            return if sequence > believed.accepted {
                Standing::Next
            } else {
                Standing::Late {
                    accepted: believed.accepted,
                }
            };
        }
        let known = self.other.as_ref().filter(|other| other.is_of(told));
        let accepted = known.map_or(0, |known| known.accepted);
        let late = sequence <= accepted;
        let before = (told.started_at, told.instance.as_str());
        let older = before < (believed.started_at, &believed.instance);
        match older {
            _ if late && !self.conflict => Standing::Late { accepted },
            _ if believed.is_silent(now, lost_after) => Standing::Restarted,
            true if sent > believed.started_at => Standing::OlderLives,
            true => Standing::Late { accepted },
            false if self.conflict => Standing::Refused,
            false => Standing::Restarted,
        }
    }

    /// Takes the agent of a report that was judged so.
    pub(super) fn take(&mut self, standing: Standing, agent: Agent) {
        match standing {
            Standing::Next => self.believed = agent,
            Standing::Late { .. } => {}
            Standing::Restarted => {
                self.other = Some(std::mem::replace(&mut self.believed, agent));
                self.conflict = false;
            }
            Standing::OlderLives => {
                self.other = Some(std::mem::replace(&mut self.believed, agent));
                self.conflict = true;
            }
            Standing::Refused => self.other = Some(agent),
        }
    }

    /// Whether the agent that is believed has been silent for longer than it announced.
    pub(super) fn is_lost(&self, now: Mono, lost_after: Duration) -> bool {
        self.believed.is_silent(now, lost_after)
    }

    /// How long the agent that is believed has been silent.
    pub(super) fn silence(&self, now: Mono) -> Duration {
        now.since(self.believed.heard)
    }

    /// Whether two agents report. It is over when the one that is not believed falls silent.
    pub(super) fn is_conflict(&mut self, now: Mono, lost_after: Duration) -> bool {
        let silent = |other: &Agent| other.is_silent(now, lost_after);
        self.conflict &= !self.other.as_ref().is_none_or(silent);
        self.conflict
    }
}

/// Who reports, and when.
#[derive(Debug)]
pub(super) struct Heard {
    pub(super) node: NodeName,
    /// By the node's clock.
    pub(super) sent: NodeTime,
    pub(super) sequence: u64,
    pub(super) full: bool,
    pub(super) agent: AgentInfo,
    pub(super) runtime: Option<String>,
}

impl Heard {
    pub(super) fn agent(&self, now: ServerNow) -> Agent {
        Agent::new(&self.agent, self.sequence, now.mono)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const LOST: Duration = Duration::from_secs(10);

    fn second(n: i64) -> NodeTime {
        NodeTime::from_unix(1_764_000_000 + n, 0)
    }

    fn info(instance: &str, started: i64) -> AgentInfo {
        AgentInfo {
            version: "0.1.0".to_owned(),
            instance: instance.to_owned(),
            started_at: second(started),
            interval_ms: 1_000,
        }
    }

    /// Judges and takes a report that is sent and received at second `at`.
    fn report(agents: &mut Agents, told: &AgentInfo, sequence: u64, at: i64) -> Standing {
        let now = Mono(Duration::from_secs(at.unsigned_abs()));
        let standing = agents.judge(told, sequence, second(at), now, LOST);
        agents.take(standing, Agent::new(told, sequence, now));
        standing
    }

    #[test]
    fn a_restarted_agent_takes_over_at_once_and_late_reports_of_the_old_one_are_ignored() {
        let (old, new) = (info("old", 0), info("new", 100));
        let mut agents = Agents::new(Agent::new(&old, 7, Mono(Duration::from_secs(99))));
        assert_eq!(report(&mut agents, &new, 1, 101), Standing::Restarted);
        // Sent before the new one started, and delivered after.
        let now = Mono(Duration::from_secs(102));
        let late = agents.judge(&old, 8, second(99), now, LOST);
        assert_eq!(late, Standing::Late { accepted: 7 });
        let twice = agents.judge(&old, 7, second(102), now, LOST);
        assert_eq!(twice, Standing::Late { accepted: 7 });
        assert_eq!(report(&mut agents, &new, 2, 103), Standing::Next);
    }

    #[test]
    fn of_two_agents_with_one_name_the_older_is_believed_until_it_is_silent() {
        let (old, new) = (info("old", 0), info("new", 100));
        let mut agents = Agents::new(Agent::new(&old, 7, Mono(Duration::from_secs(99))));
        assert_eq!(report(&mut agents, &new, 1, 101), Standing::Restarted);
        assert_eq!(report(&mut agents, &old, 8, 102), Standing::OlderLives);
        assert_eq!(report(&mut agents, &new, 2, 103), Standing::Refused);
        assert_eq!(report(&mut agents, &old, 9, 104), Standing::Next);
        assert!(agents.is_conflict(Mono(Duration::from_secs(105)), LOST));
        assert_eq!(report(&mut agents, &new, 3, 114), Standing::Refused);
        assert_eq!(report(&mut agents, &new, 4, 115), Standing::Restarted);
        assert!(!agents.is_conflict(Mono(Duration::from_secs(115)), LOST));
    }

    #[test]
    fn a_conflict_is_over_when_the_other_agent_falls_silent() {
        let (old, new) = (info("old", 0), info("new", 100));
        let mut agents = Agents::new(Agent::new(&new, 1, Mono(Duration::from_secs(101))));
        // Also where the server hears of the newer one first.
        assert_eq!(report(&mut agents, &old, 8, 102), Standing::OlderLives);
        assert!(agents.is_conflict(Mono(Duration::from_secs(111)), LOST));
        assert!(!agents.is_conflict(Mono(Duration::from_secs(112)), LOST));
    }

    #[test]
    fn a_clock_that_was_set_back_keeps_no_node_from_reporting() {
        let (old, new) = (info("old", 5_000), info("new", 0));
        let mut agents = Agents::new(Agent::new(&old, 7, Mono::default()));
        assert_eq!(
            report(&mut agents, &new, 1, 1),
            Standing::Late { accepted: 0 }
        );
        assert_eq!(report(&mut agents, &new, 2, 11), Standing::Restarted);
    }

    #[test]
    fn an_absurd_interval_is_cut() {
        let mut told = info("a", 0);
        told.interval_ms = u64::MAX;
        let agents = Agents::new(Agent::new(&told, 1, Mono::default()));
        assert!(agents.is_lost(Mono(Duration::from_secs(25 * 60 + 1)), LOST));
    }
}
