//! The table, shared by one writer and many readers.

use std::sync::{Arc, PoisonError, RwLock};

use tokio::sync::watch;

use super::versioned::{Table, TableVersion};
use crate::change::Stats;
use crate::correlate::ClusterHealth;

/// A handle to the table; cheap to clone.
///
/// One writer changes it. A reader reads a part at a time and sleeps on
/// [`subscribe`](Self::subscribe) in between, without any cost.
#[derive(Clone, Debug)]
pub struct SharedTable(Arc<Inner>);

#[derive(Debug)]
struct Inner {
    state: RwLock<SharedState>,
    version: watch::Sender<TableVersion>,
    urgent: watch::Sender<u64>,
}

#[derive(Debug)]
struct SharedState {
    table: Table,
    stats: Stats,
    cluster_health: ClusterHealth,
}

impl SharedTable {
    /// Shares a table. For the writer, and for tests of readers.
    #[must_use]
    pub fn new(table: Table) -> Self {
        let version = watch::Sender::new(table.version());
        let urgent = watch::Sender::new(table.version().urgent);
        let stats = Stats::default();
        Self(Arc::new(Inner {
            state: RwLock::new(SharedState {
                table,
                stats,
                cluster_health: ClusterHealth::default(),
            }),
            version,
            urgent,
        }))
    }

    /// Reads the table. This blocks the writer: copy the data and process it afterwards.
    pub fn read<T>(&self, read: impl FnOnce(&Table) -> T) -> T {
        let state = self.0.state.read().unwrap_or_else(PoisonError::into_inner);
        read(&state.table)
    }

    /// Returns the gauges and counters as of the writer's last step.
    #[must_use]
    pub fn stats(&self) -> Stats {
        let state = self.0.state.read().unwrap_or_else(PoisonError::into_inner);
        state.stats.clone()
    }

    /// Returns the health of the sources.
    #[must_use]
    pub fn cluster_health(&self) -> ClusterHealth {
        let state = self.0.state.read().unwrap_or_else(PoisonError::into_inner);
        state.cluster_health.clone()
    }

    pub(crate) fn set_cluster_health(&self, cluster_health: ClusterHealth) {
        let mut state = self.0.state.write().unwrap_or_else(PoisonError::into_inner);
        state.cluster_health = cluster_health;
    }

    /// Returns a receiver that wakes when the table has changed, at most every 20 ms, so that many
    /// readers cost little.
    #[must_use]
    pub fn subscribe(&self) -> watch::Receiver<TableVersion> {
        self.0.version.subscribe()
    }

    /// Returns a receiver of [`TableVersion::urgent`] that wakes when a pull has started or ended.
    #[must_use]
    pub fn subscribe_urgent(&self) -> watch::Receiver<u64> {
        self.0.urgent.subscribe()
    }

    /// Changes the table and the stats. Readers are not woken before [`publish`](Self::publish).
    ///
    /// There must be only one caller: a [`Writer`](crate::writer::Writer), or a test of readers.
    pub fn write(&self, write: impl FnOnce(&mut Table, &mut Stats)) {
        let mut state = self.0.state.write().unwrap_or_else(PoisonError::into_inner);
        let SharedState { table, stats, .. } = &mut *state;
        write(table, stats);
    }

    /// Wakes readers if the table has changed since the last call.
    pub fn publish(&self) {
        let mark = self.read(Table::version);
        update_if_changed(&self.0.version, mark);
        update_if_changed(&self.0.urgent, mark.urgent);
    }
}

fn update_if_changed<T: PartialEq>(watched: &watch::Sender<T>, now: T) {
    watched.send_if_modified(|last| {
        let changed = *last != now;
        *last = now;
        changed
    });
}
