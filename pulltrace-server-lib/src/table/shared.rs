//! The table as one writer and many readers share it.

use std::sync::{Arc, PoisonError, RwLock};

use tokio::sync::watch;

use super::{Mark, Table};
use crate::correlate::Listening;
use crate::fleet::Stats;

/// A handle to the table; cheap to clone.
///
/// One writer changes it. A reader reads a little of it at a time, sleeps on [`changes`](Self::changes)
/// in between, and costs nothing while it does.
#[derive(Clone, Debug)]
pub struct Shared(Arc<Inner>);

#[derive(Debug)]
struct Inner {
    state: RwLock<State>,
    mark: watch::Sender<Mark>,
    urgent: watch::Sender<u64>,
}

#[derive(Debug)]
struct State {
    table: Table,
    stats: Stats,
    listening: Listening,
}

impl Shared {
    /// Shares a table. Whoever runs the writer makes it; tests of readers may too.
    #[must_use]
    pub fn new(table: Table) -> Self {
        let mark = watch::Sender::new(table.mark());
        let urgent = watch::Sender::new(table.mark().urgent);
        let stats = Stats::default();
        Self(Arc::new(Inner {
            state: RwLock::new(State {
                table,
                stats,
                listening: Listening::default(),
            }),
            mark,
            urgent,
        }))
    }

    /// Reads the table. The writer waits meanwhile: take what is needed, and work on it afterwards.
    pub fn read<T>(&self, read: impl FnOnce(&Table) -> T) -> T {
        let state = self.0.state.read().unwrap_or_else(PoisonError::into_inner);
        read(&state.table)
    }

    /// What was counted, and what there is, when the writer last did something.
    #[must_use]
    pub fn stats(&self) -> Stats {
        let state = self.0.state.read().unwrap_or_else(PoisonError::into_inner);
        state.stats.clone()
    }

    /// Whether anything is heard of the cluster.
    #[must_use]
    pub fn listening(&self) -> Listening {
        let state = self.0.state.read().unwrap_or_else(PoisonError::into_inner);
        state.listening.clone()
    }

    pub(crate) fn set_listening(&self, listening: Listening) {
        let mut state = self.0.state.write().unwrap_or_else(PoisonError::into_inner);
        state.listening = listening;
    }

    /// Wakes when the table changed. Marks come at most each 20 ms, so many readers cost little.
    #[must_use]
    pub fn changes(&self) -> watch::Receiver<Mark> {
        self.0.mark.subscribe()
    }

    /// Wakes when a pull started or ended; has [`Mark::urgent`].
    #[must_use]
    pub fn urgent(&self) -> watch::Receiver<u64> {
        self.0.urgent.subscribe()
    }

    /// Changes the table and what was counted. Nobody is woken before [`publish`](Self::publish).
    ///
    /// Only one may: a [`Writer`](crate::writer::Writer), or a test of readers.
    pub fn write(&self, write: impl FnOnce(&mut Table, &mut Stats)) {
        let mut state = self.0.state.write().unwrap_or_else(PoisonError::into_inner);
        let State { table, stats, .. } = &mut *state;
        write(table, stats);
    }

    /// Wakes whoever sleeps, where the table changed since the last time.
    pub fn publish(&self) {
        let mark = self.read(Table::mark);
        set(&self.0.mark, mark);
        set(&self.0.urgent, mark.urgent);
    }
}

fn set<T: PartialEq>(watched: &watch::Sender<T>, now: T) {
    watched.send_if_modified(|last| {
        let changed = *last != now;
        *last = now;
        changed
    });
}
