//! Per-connection data of a request, and a way to close the connection.

use std::net::SocketAddr;
use std::sync::atomic::{AtomicBool, Ordering};

use tokio::sync::watch;

/// A client connection. Requests have none if the router is mounted in another server.
#[derive(Debug)]
pub(crate) struct Connection {
    listener: SocketAddr,
    close: watch::Sender<bool>,
    stalled: AtomicBool,
}

impl Connection {
    pub(crate) const fn new(listener: SocketAddr, close: watch::Sender<bool>) -> Self {
        Self { listener, close, stalled: AtomicBool::new(false) }
    }

    /// The listener that accepted the connection.
    pub(crate) const fn listener(&self) -> SocketAddr {
        self.listener
    }

    /// Closes the connection because the peer accepted no data for too long.
    pub(crate) fn close_stalled(&self) {
        self.stalled.store(true, Ordering::Relaxed);
        self.close.send_replace(true);
    }

    /// Returns whether the connection was closed for that reason.
    pub(crate) fn is_stalled(&self) -> bool {
        self.stalled.load(Ordering::Relaxed)
    }
}
