//! Being told to stop: Ctrl-C, `kill`, a terminal that goes away.

use std::io;
use std::time::Duration;

use tokio::signal::unix::{Signal, SignalKind, signal};
use tokio::sync::watch;

/// Signals so close to the first are no second wish.
const TWICE: Duration = Duration::from_millis(500);

/// Tells its clones that it is time to stop.
#[derive(Clone, Debug)]
pub struct Stop {
    signals: watch::Receiver<u32>,
}

impl Stop {
    /// Counts the signals to stop from now on.
    ///
    /// # Errors
    /// Where the system refuses to pass on signals.
    pub fn on_signals() -> io::Result<Self> {
        let mut interrupt = signal(SignalKind::interrupt())?;
        let mut terminate = signal(SignalKind::terminate())?;
        let mut hangup = signal(SignalKind::hangup())?;
        let (count, signals) = watch::channel(0);
        tokio::spawn(async move {
            loop {
                any(&mut interrupt, &mut terminate, &mut hangup).await;
                count.send_modify(|count| *count += 1);
            }
        });
        Ok(Self { signals })
    }

    /// Is ready after the first signal.
    pub async fn wait(&self) {
        self.after(1).await;
    }

    /// Is ready after another signal, or when `grace` has passed since the first.
    pub async fn overdue(&self, grace: Duration) {
        self.wait().await;
        // `timeout` and some shells send the first one twice.
        tokio::time::sleep(TWICE).await;
        let until_now = *self.signals.borrow();
        tokio::select! {
            () = self.after(until_now + 1) => {}
            () = tokio::time::sleep(grace) => {}
        }
    }

    async fn after(&self, signals: u32) {
        let mut receiver = self.signals.clone();
        if receiver.wait_for(|count| *count >= signals).await.is_err() {
            // Nobody listens to signals any more: then none comes.
            std::future::pending::<()>().await;
        }
    }
}

async fn any(a: &mut Signal, b: &mut Signal, c: &mut Signal) {
    tokio::select! {
        _ = a.recv() => {}
        _ = b.recv() => {}
        _ = c.recv() => {}
    }
}
