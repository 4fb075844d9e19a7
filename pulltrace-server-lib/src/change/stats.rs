//! Gauges and counters of the fleet and the correlator, for metrics.

use pulltrace_core::Phase;

/// Gauges and counters at one moment.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct Stats {
    /// Live pulls.
    pub live: PerPhase,
    /// Live pulls that are stalled.
    pub stalled: PerPhase,
    /// Ended pulls that are kept.
    pub ended: u64,
    /// Nodes with a reporting agent.
    pub nodes_live: u64,
    /// Nodes with a silent agent.
    pub nodes_lost: u64,
    /// Nodes with two reporting agents.
    pub nodes_conflict: u64,
    /// Counters since the server started.
    pub counters: Counters,
    /// Gauges and counters of the correlator.
    pub correlate: CorrelateStats,
}

/// A number for each phase of a live pull.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct PerPhase {
    /// Announced by the kubelet, not started by the runtime.
    pub queued: u64,
    /// The manifest is not available yet.
    pub resolving: u64,
    /// Layers are being downloaded.
    pub downloading: u64,
    /// All bytes are downloaded; layers are being unpacked.
    pub extracting: u64,
}

/// Counters since the server started. Each bound of [`Limits`](crate::Limits) has one.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct Counters {
    /// Accepted reports.
    pub reports: u64,
    /// Reports ignored because a later one of the same agent, or of a newer agent of the node, was
    /// accepted before: duplicates and out-of-order deliveries.
    pub reports_late: u64,
    /// Reports rejected as inconsistent.
    pub reports_invalid: u64,
    /// Reports rejected because another agent reports for their node.
    pub reports_conflict: u64,
    /// Reports rejected because of the node limit.
    pub nodes_refused: u64,
    /// Reports rejected because too many others were waiting.
    pub reports_busy: u64,
    /// Live pulls dropped because of a limit, counted once per report.
    pub live_refused: u64,
    /// Ended pulls evicted early, or not accepted, because of a limit.
    pub ended_evicted: u64,
    /// Ended pulls whose layers were dropped because of a limit.
    pub layers_evicted: u64,
    /// Pulls dropped because their image was not reported, counted once per report.
    pub images_missing: u64,
    /// Reports of a pull with a lower percentage than before.
    pub percent_regressed: u64,
    /// Reports of a pull that contradict its known outcome.
    pub outcome_conflicts: u64,
    /// Times that two agents were found to report for one node.
    pub conflicts: u64,
    /// Nodes that became silent.
    pub nodes_lost: u64,
    /// Stalls that started.
    pub stalls: PerPhase,
}

impl PerPhase {
    /// Adds pulls of a phase. Phases of ended pulls are ignored.
    pub(crate) fn add(&mut self, phase: Phase, count: u64) {
        if let Some(number) = self.count_mut(phase) {
            *number = number.saturating_add(count);
        }
    }

    pub(crate) fn remove(&mut self, phase: Phase, count: u64) {
        if let Some(number) = self.count_mut(phase) {
            *number = number.saturating_sub(count);
        }
    }

    fn count_mut(&mut self, phase: Phase) -> Option<&mut u64> {
        match phase {
            Phase::Queued => Some(&mut self.queued),
            Phase::Resolving => Some(&mut self.resolving),
            Phase::Downloading => Some(&mut self.downloading),
            Phase::Extracting => Some(&mut self.extracting),
            _ => None,
        }
    }

    /// Returns the total.
    #[must_use]
    pub const fn sum(&self) -> u64 {
        self.queued + self.resolving + self.downloading + self.extracting
    }
}

/// Gauges and counters of the correlator.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct CorrelateStats {
    /// Containers and volumes that need an image, or did a moment ago.
    pub demands: u64,
    /// Pods known to wait for a pull.
    pub pods_waiting: u64,
    /// Announced pulls that the runtime has not started.
    pub queued: u64,
    /// Events received.
    pub events: u64,
    /// Malformed pods.
    pub pods_malformed: u64,
    /// Malformed events.
    pub events_malformed: u64,
    /// Pod updates received.
    pub pod_updates: u64,
    /// Demands dropped because of a limit.
    pub demands_refused: u64,
    /// Pulls whose duration agrees with the one the kubelet reported.
    pub kubelet_agrees: u64,
    /// Pulls whose duration differs from the one the kubelet reported by more than 20 % and a
    /// second.
    pub kubelet_disagrees: u64,
}
