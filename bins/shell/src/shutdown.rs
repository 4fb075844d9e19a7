//! Termination signals: Ctrl-C, `kill`, a closed terminal.

use std::io;
use std::time::Duration;

use tokio::signal::unix::{Signal, SignalKind, signal};
use tokio::sync::watch;

/// Signals this soon after the first count as the same request.
const REPEAT_WINDOW: Duration = Duration::from_millis(500);

/// A shutdown request, shared by its clones.
#[derive(Clone, Debug)]
pub struct Shutdown {
    signals: watch::Receiver<u32>,
}

impl Shutdown {
    /// Installs the signal handlers.
    ///
    /// # Errors
    /// Returns an error if a handler cannot be installed.
    pub fn on_signals() -> io::Result<Self> {
        let mut interrupt = signal(SignalKind::interrupt())?;
        let mut terminate = signal(SignalKind::terminate())?;
        let mut hangup = signal(SignalKind::hangup())?;
        let (count, signals) = watch::channel(0);
        tokio::spawn(async move {
            loop {
                next_signal(&mut interrupt, &mut terminate, &mut hangup).await;
                count.send_modify(|count| *count += 1);
            }
        });
        Ok(Self { signals })
    }

    /// Completes after the first signal.
    pub async fn wait(&self) {
        self.wait_for_count(1).await;
    }

    /// Completes after another signal, or once `grace` has passed since the first.
    pub async fn wait_force(&self, grace: Duration) {
        self.wait().await;
        // `timeout` and some shells send the first signal twice.
        tokio::time::sleep(REPEAT_WINDOW).await;
        let until_now = *self.signals.borrow();
        tokio::select! {
            () = self.wait_for_count(until_now + 1) => {}
            () = tokio::time::sleep(grace) => {}
        }
    }

    async fn wait_for_count(&self, signals: u32) {
        let mut receiver = self.signals.clone();
        if receiver.wait_for(|count| *count >= signals).await.is_err() {
            // The signal task has ended, so no signal will arrive.
            std::future::pending::<()>().await;
        }
    }
}

async fn next_signal(a: &mut Signal, b: &mut Signal, c: &mut Signal) {
    tokio::select! {
        _ = a.recv() => {}
        _ = b.recv() => {}
        _ = c.recv() => {}
    }
}
