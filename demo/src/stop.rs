//! Stop requests: Ctrl-C, `kill`, and a closed terminal.

use std::io;
use std::time::Duration;

use tokio::signal::unix::{Signal, SignalKind, signal};
use tokio::sync::watch;

/// Signals this soon after the first do not count as a second request: `timeout` and a closing
/// terminal send several.
const REPEAT_DELAY: Duration = Duration::from_millis(500);

/// Counts the received stop signals.
#[derive(Debug, Clone)]
pub(crate) struct Stop {
    count: watch::Receiver<u32>,
}

impl Stop {
    /// Handles the signals from now on; they no longer terminate the process.
    pub(crate) fn on_signals() -> io::Result<Self> {
        let mut signals = [
            signal(SignalKind::interrupt())?,
            signal(SignalKind::terminate())?,
            signal(SignalKind::hangup())?,
        ];
        let (sender, count) = watch::channel(0);
        tokio::spawn(async move {
            loop {
                recv_any(&mut signals).await;
                sender.send_modify(|count| *count += 1);
            }
        });
        Ok(Self { count })
    }

    /// Waits for the first signal.
    pub(crate) async fn requested(&self) {
        self.wait_for_count(1).await;
    }

    /// Waits for another signal, ignoring those within [`REPEAT_DELAY`].
    pub(crate) async fn requested_again(&self) {
        tokio::time::sleep(REPEAT_DELAY).await;
        let until_now = *self.count.borrow();
        self.wait_for_count(until_now + 1).await;
    }

    async fn wait_for_count(&self, least: u32) {
        let mut count = self.count.clone();
        if count.wait_for(|count| *count >= least).await.is_err() {
            // The signal handler has ended, so no signal can arrive.
            std::future::pending::<()>().await;
        }
    }
}

async fn recv_any([a, b, c]: &mut [Signal; 3]) {
    tokio::select! {
        _ = a.recv() => {}
        _ = b.recv() => {}
        _ = c.recv() => {}
    }
}
