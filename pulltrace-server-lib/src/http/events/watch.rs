//! That a reader is there, and that it reads.

use std::sync::Arc;
use std::time::Duration;

use tokio::sync::watch;

use crate::http::Link;
use crate::metrics::Stats;

/// Counts a reader while it lives, and why it went.
#[derive(Debug)]
pub(super) struct Guard {
    stats: Arc<Stats>,
    link: Option<Arc<Link>>,
    /// Odd while a piece of text waits to be taken.
    pieces: watch::Sender<u64>,
}

impl Guard {
    /// `patience`: over HTTP/2 one connection has many readers, and does not see that one of them
    /// takes nothing. After so long the connection is cut off, and the others come back.
    pub(super) fn new(
        stats: Arc<Stats>,
        link: Option<Arc<Link>>,
        patience: Option<Duration>,
    ) -> Self {
        stats.readers.add(1);
        let (pieces, seen) = watch::channel(0);
        if let (Some(link), Some(patience)) = (link.clone(), patience) {
            tokio::spawn(look(seen, patience, link));
        }
        Self {
            stats,
            link,
            pieces,
        }
    }

    pub(super) fn handed_over(&mut self) {
        self.pieces.send_modify(|pieces| *pieces += 1);
    }

    pub(super) fn taken(&mut self) {
        self.pieces.send_modify(|pieces| *pieces += 1);
    }
}

impl Drop for Guard {
    fn drop(&mut self) {
        self.stats.readers.sub(1);
        if self.link.as_ref().is_some_and(|link| link.is_stalled()) {
            self.stats.readers_cut_off.add(1);
        }
    }
}

async fn look(mut pieces: watch::Receiver<u64>, patience: Duration, link: Arc<Link>) {
    loop {
        let now = *pieces.borrow_and_update();
        let waits = now % 2 == 1;
        let changed = pieces.wait_for(|pieces| *pieces != now);
        let changed = if waits {
            let Ok(changed) = tokio::time::timeout(patience, changed).await else {
                link.stalls();
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
    async fn a_reader_of_many_on_one_connection_that_takes_nothing_is_cut_off() {
        let (cut, mut cut_off) = watch::channel(false);
        let link = Arc::new(Link::new("127.0.0.1:1".parse().unwrap(), cut));
        let stats = Arc::new(Stats::default());
        let patience = Duration::from_secs(30);
        let mut guard = Guard::new(Arc::clone(&stats), Some(link), Some(patience));
        for _ in 0..3 {
            guard.handed_over();
            tokio::time::sleep(Duration::from_secs(29)).await;
            guard.taken();
            tokio::time::sleep(Duration::from_secs(300)).await;
        }
        assert!(!*cut_off.borrow());
        guard.handed_over();
        cut_off.wait_for(|cut| *cut).await.unwrap();
        assert_eq!((stats.readers.get(), stats.readers_cut_off.get()), (1, 0));
        drop(guard);
        assert_eq!((stats.readers.get(), stats.readers_cut_off.get()), (0, 1));
    }
}
