//! What a request knows of the connection that it came on, and how a connection is cut off.

use std::net::SocketAddr;
use std::sync::atomic::{AtomicBool, Ordering};

use tokio::sync::watch;

/// One connection. A router that is mounted elsewhere has none: then nothing is known.
#[derive(Debug)]
pub(crate) struct Link {
    listener: SocketAddr,
    cut: watch::Sender<bool>,
    stalled: AtomicBool,
}

impl Link {
    pub(crate) const fn new(listener: SocketAddr, cut: watch::Sender<bool>) -> Self {
        Self {
            listener,
            cut,
            stalled: AtomicBool::new(false),
        }
    }

    /// What it came in by.
    pub(crate) const fn listener(&self) -> SocketAddr {
        self.listener
    }

    /// The other side accepted nothing for too long: the connection ends.
    pub(crate) fn stalls(&self) {
        self.stalled.store(true, Ordering::Relaxed);
        self.cut.send_replace(true);
    }

    /// Whether it ended so.
    pub(crate) fn is_stalled(&self) -> bool {
        self.stalled.load(Ordering::Relaxed)
    }
}
