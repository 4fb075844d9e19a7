//! The background task: connects, watches the connection until it is lost, and connects again.

use pulltrace_core::error::error_chain;
use tokio::time::sleep;

use super::connection::{self, Stop};
use super::daemon::{Connect, ConnectionLost};
use super::feed::Feed;
use super::reconnect::Reconnect;

/// Runs until the receiver of the batches is dropped.
pub(super) async fn run(mut connect: impl Connect, mut feed: Feed) {
    let mut reconnect = Reconnect::new();
    loop {
        let loss = match connect.connect().await {
            Ok(connected) => match connection::watch(connected, &mut feed, &mut reconnect).await {
                Stop::Lost(loss) => loss,
                Stop::ReceiverClosed => return,
            },
            Err(error) => ConnectionLost {
                help: error.help(),
                ..ConnectionLost::new(error_chain(&error), false)
            },
        };
        let permanent = loss.permanent;
        if reconnect.on_lost(&loss) && feed.on_lost(loss.reason).await.is_err() {
            return;
        }
        sleep(reconnect.next_delay(permanent)).await;
    }
}

#[cfg(test)]
mod tests;
