//! What there is in the fleet, and what was counted: plain numbers for metrics.

use pulltrace_core::Phase;

/// What there is, and what was counted, at one moment.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct Stats {
    /// Live pulls.
    pub live: PerPhase,
    /// Live pulls that are stalled.
    pub stalled: PerPhase,
    /// Ended pulls that are still known.
    pub ended: u64,
    /// Nodes whose agent is heard.
    pub nodes_live: u64,
    /// Nodes whose agent is not heard.
    pub nodes_lost: u64,
    /// Nodes for which two agents report.
    pub nodes_conflict: u64,
    /// What was counted since the server started.
    pub counters: Counters,
    /// Of pods and kubelets.
    pub correlate: CorrelateStats,
}

/// One number for each phase of a live pull.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct PerPhase {
    /// The kubelet announced it, and the runtime has not begun.
    pub queued: u64,
    /// The manifest is not here yet.
    pub resolving: u64,
    /// Bytes of layers are still to come.
    pub downloading: u64,
    /// All bytes are here; layers are still to be unpacked.
    pub extracting: u64,
}

/// What was counted since the server started. Each bound of [`Limits`](crate::Limits) has one.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct Counters {
    /// Reports that were taken.
    pub reports: u64,
    /// Reports that were ignored because a later one of the same agent, or of a later agent of the
    /// node, was taken before: duplicates, and those that came out of order.
    pub reports_late: u64,
    /// Reports that were refused because they contradict themselves.
    pub reports_invalid: u64,
    /// Reports that were refused because another agent reports under the name of their node.
    pub reports_conflict: u64,
    /// Reports that were refused because there were too many nodes.
    pub nodes_refused: u64,
    /// Reports that were refused because too many others waited.
    pub reports_busy: u64,
    /// Live pulls that were left out because there were too many, once for each report of one.
    pub live_refused: u64,
    /// Ended pulls that went before their time, or did not come, because there were too many.
    pub ended_evicted: u64,
    /// Ended pulls that lost their layers because there were many.
    pub layers_evicted: u64,
    /// Pulls that were left out because their image was not told, once for each report of one.
    pub images_missing: u64,
    /// Pulls that were further than what was told next.
    pub percent_back: u64,
    /// Pulls that had ended another way than what was told next.
    pub end_changed: u64,
    /// Two agents were found to report under one name.
    pub conflicts: u64,
    /// Nodes that fell silent.
    pub nodes_lost: u64,
    /// Stalls that began.
    pub stalls: PerPhase,
}

impl PerPhase {
    /// Counts pulls of a phase; those that are over are in none.
    pub(crate) fn add(&mut self, phase: Phase, count: u64) {
        if let Some(number) = self.of(phase) {
            *number = number.saturating_add(count);
        }
    }

    pub(crate) fn remove(&mut self, phase: Phase, count: u64) {
        if let Some(number) = self.of(phase) {
            *number = number.saturating_sub(count);
        }
    }

    fn of(&mut self, phase: Phase) -> Option<&mut u64> {
        match phase {
            Phase::Queued => Some(&mut self.queued),
            Phase::Resolving => Some(&mut self.resolving),
            Phase::Downloading => Some(&mut self.downloading),
            Phase::Extracting => Some(&mut self.extracting),
            _ => None,
        }
    }

    /// All of them.
    #[must_use]
    pub const fn sum(&self) -> u64 {
        self.queued + self.resolving + self.downloading + self.extracting
    }
}

/// What there is, and what was counted.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct CorrelateStats {
    /// Slots of pods that want an image, or did a moment ago.
    pub wants: u64,
    /// Pods that are known to wait for a pull.
    pub pods_waiting: u64,
    /// Pulls that were announced and that the runtime has not begun.
    pub queued: u64,
    /// Events that were taken.
    pub events: u64,
    /// Pods that were not understood.
    pub pods_odd: u64,
    /// Events that a source did not understand.
    pub events_odd: u64,
    /// Changes of pods that were taken.
    pub pods: u64,
    /// Wants that were left out, since there were too many.
    pub wants_refused: u64,
    /// Pulls whose time the kubelet told, and it was about ours.
    pub kubelet_agrees: u64,
    /// Pulls whose time the kubelet told, and it was another: more than 20 % and a second apart.
    pub kubelet_disagrees: u64,
}
