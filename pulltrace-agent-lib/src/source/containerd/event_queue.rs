//! A bounded queue of events between the event stream and the task.
//!
//! containerd queues events without limit for a slow subscriber, so the stream is always drained.
//! Events that do not fit into this queue are dropped, counted and replaced by one [`Event::Gap`].

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};

use tokio::sync::mpsc;

use super::input::Event;

/// The maximum number of queued events.
pub(super) const CAPACITY: usize = 1_024;

/// The sending side, used by the event stream.
#[derive(Clone, Debug)]
pub(super) struct EventSender {
    events: mpsc::Sender<Event>,
    shared: Arc<Shared>,
}

/// The receiving side, used by the task.
#[derive(Debug)]
pub(super) struct EventReceiver {
    events: mpsc::Receiver<Event>,
    shared: Arc<Shared>,
}

#[derive(Debug, Default)]
struct Shared {
    overflowed: AtomicBool,
    dropped: AtomicU64,
}

pub(super) fn event_channel() -> (EventSender, EventReceiver) {
    let (sender, receiver) = mpsc::channel(CAPACITY);
    let shared = Arc::new(Shared::default());
    let events = EventReceiver { events: receiver, shared: Arc::clone(&shared) };
    let mailbox = EventSender { events: sender, shared };
    (mailbox, events)
}

impl EventSender {
    /// Queues an event or drops it. Never blocks.
    pub(super) fn send(&self, event: Event) {
        match self.events.try_send(event) {
            Ok(()) => {}
            Err(mpsc::error::TrySendError::Full(_)) => {
                self.shared.dropped.fetch_add(1, Ordering::Relaxed);
                self.shared.overflowed.store(true, Ordering::Release);
            }
            // The task has ended; the stream will be dropped, too.
            Err(mpsc::error::TrySendError::Closed(_)) => {}
        }
    }
}

impl EventReceiver {
    /// Waits for at least one event and returns all queued ones; `None` if the stream's task has
    /// ended. Cancel-safe.
    pub(super) async fn recv_all(&mut self) -> Option<Vec<Event>> {
        let mut all = vec![self.events.recv().await?];
        while all.len() < CAPACITY
            && let Ok(event) = self.events.try_recv()
        {
            all.push(event);
        }
        if self.shared.overflowed.swap(false, Ordering::Acquire) {
            all.push(Event::Gap);
        }
        Some(all)
    }

    /// Returns the number of events dropped since the last call.
    pub(super) fn take_dropped(&self) -> u64 {
        self.shared.dropped.swap(0, Ordering::Relaxed)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn event(n: usize) -> Event {
        Event::ImageDeleted { name: n.to_string() }
    }

    #[tokio::test]
    async fn overflow_is_counted_and_sent_as_gap() {
        let (mailbox, mut events) = event_channel();
        for n in 0..CAPACITY + 3 {
            mailbox.send(event(n));
        }
        let taken = events.recv_all().await.unwrap();
        assert_eq!(taken.len(), CAPACITY + 1);
        assert_eq!(taken[CAPACITY - 1], event(CAPACITY - 1));
        assert_eq!(taken[CAPACITY], Event::Gap);
        assert_eq!((events.take_dropped(), events.take_dropped()), (3, 0));

        mailbox.send(event(7));
        assert_eq!(events.recv_all().await.unwrap(), [event(7)], "the gap is sent once");
        drop(mailbox);
        assert_eq!(events.recv_all().await, None);
    }
}
