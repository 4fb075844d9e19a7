//! What a collector is doing, for whoever asks while it runs: numbers, and whether it is well.

use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use pulltrace_core::{Counters, Mono, Phase, PullTable};

use crate::clock::Clock;

/// Sources look each second or two, and one that is away may be started anew: after this long, whatever is
/// wrong does not go away by itself.
const SILENCE: Duration = Duration::from_secs(60);

/// What a collector did since it started, and does now.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct Vitals {
    /// Pulls whose manifest is not known yet.
    pub resolving: u64,
    /// Pulls that download.
    pub downloading: u64,
    /// Pulls whose bytes are all here, and that unpack.
    pub extracting: u64,
    /// Observations that the source made.
    pub observations: u64,
    /// Reports that were acknowledged.
    pub reports: u64,
    /// Reports that did not arrive, or of which nobody knows whether they did.
    pub failed_reports: u64,
    /// Ends whose pulls were dropped, as too old or too many, before a report of them arrived.
    pub ends_lost: u64,
    /// What the table of pulls counted.
    pub counters: Counters,
    /// How long the source means to wait before it looks again; `None` where that is not known.
    pub interval: Option<Duration>,
    /// Whether the source sees the runtime.
    pub sees: bool,
}

/// Tells what a [`Collector`](crate::Collector) is doing, from before it runs until after.
#[derive(Clone, Debug)]
pub struct Monitor {
    clock: Clock,
    state: Arc<Mutex<State>>,
}

/// Why a collector does not do its work. Whether a retry helps depends on why the source is silent; a
/// collector that [`Stopped`](Self::Stopped) never runs again.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum Unwell {
    /// The run is over.
    #[error("the collector has stopped")]
    Stopped,
    /// The source has not seen the runtime for so long, and said so.
    #[error("the runtime has not been seen for {} s, and is looked for; the log says why", .0.as_secs())]
    Lost(Duration),
    /// The source has said nothing at all for so long.
    #[error("the source has said nothing for {} s", .0.as_secs())]
    Silent(Duration),
}

#[derive(Debug)]
struct State {
    vitals: Vitals,
    /// When the source last saw the runtime, or the collector was made.
    heard: Mono,
    is_over: bool,
}

impl Monitor {
    pub(crate) fn new(clock: Clock) -> Self {
        let state = State {
            vitals: Vitals::default(),
            heard: clock.now().mono,
            is_over: false,
        };
        Self {
            clock,
            state: Arc::new(Mutex::new(state)),
        }
    }

    /// What it did until now, and does.
    #[must_use]
    pub fn vitals(&self) -> Vitals {
        self.with(|state| state.vitals.clone())
    }

    /// Whether it runs, or is about to, and its source was heard within the last 60 s. A source that says
    /// that it sees nothing is not heard meanwhile.
    ///
    /// # Errors
    /// Where that is not so.
    pub fn health(&self) -> Result<(), Unwell> {
        let now = self.clock.now().mono;
        self.with(|state| state.health(now))
    }

    fn with<T>(&self, look: impl FnOnce(&mut State) -> T) -> T {
        look(&mut self.state.lock().unwrap_or_else(PoisonError::into_inner))
    }
}

impl State {
    fn health(&self, now: Mono) -> Result<(), Unwell> {
        let silent = now.since(self.heard);
        match () {
            () if self.is_over => Err(Unwell::Stopped),
            () if silent <= SILENCE => Ok(()),
            () if self.vitals.sees => Err(Unwell::Silent(silent)),
            () => Err(Unwell::Lost(silent)),
        }
    }
}

/// The collector's end of a [`Monitor`]. Dropped, it says that the run is over.
#[derive(Debug)]
pub(crate) struct Pulse(pub(crate) Monitor);

impl Pulse {
    /// The source said something: that it sees, or that it does not.
    pub(crate) fn heard(
        &self,
        observations: usize,
        interval: Option<Duration>,
        sees: bool,
        at: Mono,
    ) {
        self.0.with(|state| {
            state.vitals.observations += observations as u64;
            state.vitals.interval = interval;
            state.vitals.sees = sees;
            if sees {
                state.heard = at;
            }
        });
    }

    /// Something in the table is another.
    pub(crate) fn changed(&self, table: &PullTable) {
        let in_phase = |phase| table.pulls().filter(|pull| pull.phase == phase).count() as u64;
        let (resolving, downloading) = (in_phase(Phase::Resolving), in_phase(Phase::Downloading));
        let extracting = in_phase(Phase::Extracting);
        self.0.with(|state| {
            state.vitals.resolving = resolving;
            state.vitals.downloading = downloading;
            state.vitals.extracting = extracting;
        });
    }

    /// What was counted so far.
    pub(crate) fn counted(&self, counters: &Counters, reports: u64, ends_lost: u64) {
        self.0.with(|state| {
            if state.vitals.counters != *counters {
                state.vitals.counters = counters.clone();
            }
            state.vitals.reports = reports;
            state.vitals.ends_lost = ends_lost;
        });
    }

    pub(crate) fn report_failed(&self) {
        self.0.with(|state| state.vitals.failed_reports += 1);
    }
}

impl Drop for Pulse {
    fn drop(&mut self) {
        self.0.with(|state| state.is_over = true);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test(start_paused = true)]
    async fn a_collector_is_well_while_its_source_is_heard() {
        let at = "2026-11-24T20:00:00Z".parse().unwrap();
        let clock = Clock::anchored(at);
        let monitor = Monitor::new(clock);
        let pulse = Pulse(monitor.clone());
        let pass = |secs| tokio::time::advance(Duration::from_secs(secs));

        pass(60).await;
        assert_eq!(monitor.health(), Ok(()), "it may take its time to start");
        pass(1).await;
        assert_eq!(monitor.health(), Err(Unwell::Lost(Duration::from_secs(61))));
        pulse.heard(0, None, true, clock.now().mono);
        assert_eq!(monitor.health(), Ok(()));
        pass(30).await;
        pulse.heard(1, None, false, clock.now().mono);
        assert_eq!(monitor.health(), Ok(()), "it may come back");
        pass(31).await;
        let lost = monitor.health().unwrap_err();
        assert_eq!(lost, Unwell::Lost(Duration::from_secs(61)));
        let line = "the runtime has not been seen for 61 s, and is looked for; the log says why";
        assert_eq!(lost.to_string(), line);
        pulse.heard(1, None, true, clock.now().mono);
        pass(61).await;
        assert_eq!(
            monitor.health(),
            Err(Unwell::Silent(Duration::from_secs(61)))
        );
        pulse.heard(0, None, true, clock.now().mono);
        assert_eq!(monitor.health(), Ok(()));
        drop(pulse);
        assert_eq!(monitor.health(), Err(Unwell::Stopped));
        assert_eq!(monitor.vitals().observations, 2);
    }
}
