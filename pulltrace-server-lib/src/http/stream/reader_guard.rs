//! Counts readers and disconnects stalled ones.

use std::sync::Arc;
use std::time::Duration;

use tokio::sync::watch;

use crate::http::connection::Connection;
use crate::metrics::HttpCounters;

/// Counts a reader while it exists, and whether it was disconnected as stalled.
#[derive(Debug)]
pub(super) struct ReaderGuard {
    counters: Arc<HttpCounters>,
    connection: Option<Arc<Connection>>,
    /// Incremented when a chunk is yielded and when it is consumed: odd while a chunk is pending.
    transitions: watch::Sender<u64>,
}

impl ReaderGuard {
    /// `patience` is the idle timeout of an HTTP/2 reader. Such readers share a connection, which
    /// cannot detect that one of them accepts no data. On timeout the connection is closed; the
    /// other readers reconnect.
    pub(super) fn new(
        counters: Arc<HttpCounters>,
        connection: Option<Arc<Connection>>,
        patience: Option<Duration>,
    ) -> Self {
        counters.readers.add(1);
        let (transitions, seen) = watch::channel(0);
        if let (Some(link), Some(patience)) = (connection.clone(), patience) {
            tokio::spawn(watch_for_stall(seen, patience, link));
        }
        Self { counters, connection, transitions }
    }

    pub(super) fn chunk_yielded(&mut self) {
        self.transitions.send_modify(|pieces| *pieces += 1);
    }

    pub(super) fn chunk_consumed(&mut self) {
        self.transitions.send_modify(|pieces| *pieces += 1);
    }
}

impl Drop for ReaderGuard {
    fn drop(&mut self) {
        self.counters.readers.sub(1);
        if self.connection.as_ref().is_some_and(|connection| connection.is_stalled()) {
            self.counters.readers_cut_off.add(1);
        }
    }
}

async fn watch_for_stall(
    mut pieces: watch::Receiver<u64>,
    patience: Duration,
    connection: Arc<Connection>,
) {
    loop {
        let now = *pieces.borrow_and_update();
        let waits = now % 2 == 1;
        let changed = pieces.wait_for(|pieces| *pieces != now);
        let changed = if waits {
            let Ok(changed) = tokio::time::timeout(patience, changed).await else {
                connection.close_stalled();
                return;
            };
            changed
        } else {
            changed.await
        };
        if changed.is_err() {
            return;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test(start_paused = true)]
    async fn stalled_reader_is_disconnected_after_idle_timeout() {
        let (cut, mut cut_off) = watch::channel(false);
        let link = Arc::new(Connection::new("127.0.0.1:1".parse().unwrap(), cut));
        let stats = Arc::new(HttpCounters::default());
        let patience = Duration::from_secs(30);
        let mut guard = ReaderGuard::new(Arc::clone(&stats), Some(link), Some(patience));
        for _ in 0..3 {
            guard.chunk_yielded();
            tokio::time::sleep(Duration::from_secs(29)).await;
            guard.chunk_consumed();
            tokio::time::sleep(Duration::from_secs(300)).await;
        }
        assert!(!*cut_off.borrow());
        guard.chunk_yielded();
        cut_off.wait_for(|cut| *cut).await.unwrap();
        assert_eq!((stats.readers.get(), stats.readers_cut_off.get()), (1, 0));
        drop(guard);
        assert_eq!((stats.readers.get(), stats.readers_cut_off.get()), (0, 1));
    }
}
