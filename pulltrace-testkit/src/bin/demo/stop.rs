//! Being told to stop: Ctrl-C, `kill`, a terminal that goes away.

use std::io;
use std::time::Duration;

use tokio::signal::unix::{Signal, SignalKind, signal};
use tokio::sync::watch;

/// Signals so close to the first are no second wish: a terminal that goes away
/// and `timeout` send several.
const TWICE: Duration = Duration::from_millis(500);

/// Counts the signals to stop.
#[derive(Debug, Clone)]
pub(crate) struct Stop {
    count: watch::Receiver<u32>,
}

impl Stop {
    /// Listens from now on; no signal ends this program any more.
    pub(crate) fn on_signals() -> io::Result<Self> {
        let mut signals = [
            signal(SignalKind::interrupt())?,
            signal(SignalKind::terminate())?,
            signal(SignalKind::hangup())?,
        ];
        let (sender, count) = watch::channel(0);
        tokio::spawn(async move {
            loop {
                any(&mut signals).await;
                sender.send_modify(|count| *count += 1);
            }
        });
        Ok(Self { count })
    }

    /// Ends with the first signal.
    pub(crate) async fn asked(&self) {
        self.counts(1).await;
    }

    /// Ends with the first signal from a moment from now on.
    pub(crate) async fn again(&self) {
        tokio::time::sleep(TWICE).await;
        let until_now = *self.count.borrow();
        self.counts(until_now + 1).await;
    }

    async fn counts(&self, least: u32) {
        let mut count = self.count.clone();
        if count.wait_for(|count| *count >= least).await.is_err() {
            // Nobody listens any more, so no signal comes.
            std::future::pending::<()>().await;
        }
    }
}

async fn any([a, b, c]: &mut [Signal; 3]) {
    tokio::select! {
        _ = a.recv() => {}
        _ = b.recv() => {}
        _ = c.recv() => {}
    }
}
