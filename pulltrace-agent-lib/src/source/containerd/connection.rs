//! One connection to containerd: polls at an adaptive interval, receives events and sends queries,
//! until the connection is lost.

use std::convert::Infallible;
use std::sync::Arc;

use pulltrace_core::error::error_chain;
use pulltrace_core::{Mono, NodeTime, Now};
use tokio::task::JoinSet;
use tokio::time::sleep;
use tracing::debug;

use super::client::ClientError;
use super::daemon::{Connected, ConnectionLost, Daemon};
use super::event_queue::{EventSender, event_channel};
use super::feed::{Feed, ReceiverClosed};
use super::input::{Answer, Event, Poll, Reply, ServerInfo};
use super::interval::{self, Load};
use super::query_queue::MAX_PER_ROUND;
use super::reconnect::{INITIAL_BACKOFF, Reconnect, retry_backoff};

/// Consecutive failed polls on an open connection after which containerd counts as lost.
const MAX_FAILURES: u32 = 3;

/// Why a connection is no longer watched.
pub(super) enum Stop {
    Lost(ConnectionLost),
    ReceiverClosed,
}

impl From<ReceiverClosed> for Stop {
    fn from(_: ReceiverClosed) -> Self {
        Self::ReceiverClosed
    }
}

/// Watches a connection until it is lost.
pub(super) async fn watch(
    connected: Connected<impl Daemon>,
    feed: &mut Feed,
    reconnect: &mut Reconnect,
) -> Stop {
    let Connected { daemon, server, address, has_namespace } = connected;
    let mut connection = Connection {
        daemon: Arc::new(daemon),
        server,
        address,
        has_namespace,
        feed,
        reconnect,
        is_confirmed: false,
        failures: 0,
        next_poll: Mono::default(),
        last_poll: Mono::default(),
        load: Load::default(),
    };
    match connection.run().await {
        Err(stop) => stop,
    }
}

struct Connection<'a, D> {
    daemon: Arc<D>,
    server: ServerInfo,
    /// The address, for log messages.
    address: String,
    has_namespace: bool,
    feed: &'a mut Feed,
    reconnect: &'a mut Reconnect,
    /// True once a poll has succeeded. Otherwise a daemon that accepts connections but does not
    /// answer would be reported as connected and lost with every attempt.
    is_confirmed: bool,
    /// Failed polls since the last successful one.
    failures: u32,
    next_poll: Mono,
    last_poll: Mono,
    /// The size of the last poll.
    load: Load,
}

impl<D: Daemon> Connection<'_, D> {
    async fn run(&mut self) -> Result<Infallible, Stop> {
        // Subscribe before the first poll, so that no event is missed. The subscription ends with
        // this function.
        let (mailbox, mut events) = event_channel();
        let mut listener = JoinSet::new();
        listener.spawn(forward_events(Arc::clone(&self.daemon), mailbox));
        loop {
            let now = self.feed.now();
            if now.mono >= self.next_poll {
                self.poll().await?;
                continue;
            }
            tokio::select! {
                taken = events.recv_all() => {
                    let Some(taken) = taken else {
                        return Err(self.lost("the event stream task stopped"));
                    };
                    let wakes = taken.iter().any(triggers_poll);
                    self.feed.on_events(taken, events.take_dropped()).await?;
                    self.run_queries().await?;
                    if wakes {
                        let earliest = self.last_poll + interval::event_interval(self.load);
                        self.next_poll = self.next_poll.min(earliest);
                    }
                }
                () = sleep(self.next_poll.since(now.mono)) => {}
            }
        }
    }

    async fn poll(&mut self) -> Result<(), Stop> {
        if self.is_confirmed && is_restarted(&self.server, self.daemon.started_at()) {
            return Err(self.lost("containerd restarted"));
        }
        let polled = self.daemon.poll(!self.feed.is_busy()).await;
        let now = self.feed.now();
        match polled {
            Ok(poll) => self.on_poll(poll, now).await,
            Err(error) => self.on_failed_poll(&error, now),
        }
    }

    async fn on_poll(&mut self, poll: Poll, now: Now) -> Result<(), Stop> {
        self.failures = 0;
        if !self.is_confirmed {
            self.is_confirmed = true;
            self.reconnect.on_connected(&self.server, &self.address, self.has_namespace);
            self.feed.on_connected(&self.server, now).await?;
        }
        (self.last_poll, self.load) = (now.mono, Load::from_poll(&poll));
        let skipped = self.daemon.take_skipped();
        self.feed.update_stats(|stats| {
            stats.polls += 1;
            stats.skipped_items += skipped;
        });
        self.feed.on_poll(poll, now).await?;
        self.run_queries().await?;
        self.feed.end_sync_if_answered().await?;
        // Chosen only now: the answers may have revealed a pull.
        self.next_poll = now.mono + self.feed.update_interval(self.load);
        Ok(())
    }

    fn on_failed_poll(&mut self, error: &ClientError, now: Now) -> Result<(), Stop> {
        self.failures += 1;
        self.feed.update_stats(|stats| stats.failed_polls += 1);
        debug!("poll failed: {}", error_chain(error));
        let permanent = !error.is_transient();
        if !self.is_confirmed || error.is_disconnect() || permanent || self.failures >= MAX_FAILURES
        {
            let loss = ConnectionLost::new(error_chain(error), self.is_confirmed);
            return Err(Stop::Lost(ConnectionLost { permanent, ..loss }));
        }
        self.next_poll = now.mono + INITIAL_BACKOFF;
        Ok(())
    }

    /// Sends queued queries, up to the limit per round.
    async fn run_queries(&mut self) -> Result<(), Stop> {
        for _ in 0..MAX_PER_ROUND {
            let Some(to) = self.feed.pop_query() else {
                break;
            };
            let (reply, failed) = match self.daemon.run_query(&to).await {
                Ok(reply) => (reply, None),
                Err(error) => (Reply::Failed { reason: error_chain(&error) }, Some(error)),
            };
            let failures = u64::from(failed.is_some());
            self.feed.update_stats(|stats| {
                stats.queries += 1;
                stats.failed_queries += failures;
            });
            self.feed.on_answer(Answer { to, reply }).await?;
            match failed {
                Some(error) if error.is_disconnect() => {
                    return Err(self.lost(&error_chain(&error)));
                }
                // After a timeout, leave the other queries to the next round: a poll comes first
                // and shows whether containerd responds again.
                Some(ClientError::Usage(_)) | None => {}
                Some(error) if error.is_transient() => break,
                Some(_) => {}
            }
        }
        Ok(())
    }

    fn lost(&self, reason: &str) -> Stop {
        Stop::Lost(ConnectionLost::new(reason.to_owned(), self.is_confirmed))
    }
}

/// Forwards events until it is aborted. Reopens the stream when it breaks.
async fn forward_events(daemon: Arc<impl Daemon>, mailbox: EventSender) {
    let mut backoff = retry_backoff();
    loop {
        let mut received = false;
        let error = daemon
            .events(|event| {
                received = true;
                mailbox.send(event);
            })
            .await;
        debug!("{}", error_chain(&error));
        if received {
            backoff.reset();
        }
        sleep(backoff.next_delay(1.0)).await;
        // Events since the interruption are lost. The gap triggers a poll, which shows their
        // effects.
        mailbox.send(Event::Gap);
    }
}

/// Returns whether the socket was bound again since the connection, i.e. containerd restarted.
fn is_restarted(server: &ServerInfo, now: Option<NodeTime>) -> bool {
    matches!((server.started_at, now), (Some(then), Some(now)) if then != now)
}

/// Returns whether a poll should follow immediately, because a pull has started, advanced or ended.
fn triggers_poll(event: &Event) -> bool {
    match event {
        // Containers have snapshots, too; only those of pulls have such a key.
        Event::SnapshotPrepared { key }
        | Event::SnapshotCommitted { key, .. }
        | Event::SnapshotRemoved { key } => key.contains("extract-"),
        Event::ContentCreated { .. } | Event::ImageWritten { .. } | Event::Gap => true,
        Event::ImageDeleted { .. } => false,
    }
}
