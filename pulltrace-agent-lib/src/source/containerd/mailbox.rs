//! The events on their way from the stream to the task: the stream is always drained, whatever the task does.
//!
//! containerd queues without a bound for a subscriber that does not read, so what does not fit here is
//! dropped, counted, and told as one [`Event::Gap`].

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};

use tokio::sync::mpsc;

use super::input::Event;

/// The most events that wait for the task.
pub(super) const CAPACITY: usize = 1_024;

/// Where the stream puts events.
#[derive(Clone, Debug)]
pub(super) struct Mailbox {
    events: mpsc::Sender<Event>,
    shared: Arc<Shared>,
}

/// Where the task takes them.
#[derive(Debug)]
pub(super) struct Events {
    events: mpsc::Receiver<Event>,
    shared: Arc<Shared>,
}

#[derive(Debug, Default)]
struct Shared {
    overflowed: AtomicBool,
    dropped: AtomicU64,
}

pub(super) fn mailbox() -> (Mailbox, Events) {
    let (sender, receiver) = mpsc::channel(CAPACITY);
    let shared = Arc::new(Shared::default());
    let events = Events {
        events: receiver,
        shared: Arc::clone(&shared),
    };
    let mailbox = Mailbox {
        events: sender,
        shared,
    };
    (mailbox, events)
}

impl Mailbox {
    /// Never waits.
    pub(super) fn put(&self, event: Event) {
        match self.events.try_send(event) {
            Ok(()) => {}
            Err(mpsc::error::TrySendError::Full(_)) => {
                self.shared.dropped.fetch_add(1, Ordering::Relaxed);
                self.shared.overflowed.store(true, Ordering::Release);
            }
            // The task is gone, and this side will be too.
            Err(mpsc::error::TrySendError::Closed(_)) => {}
        }
    }
}

impl Events {
    /// All events that wait, at least one; `None` where the stream's task is gone. Cancel-safe.
    pub(super) async fn take(&mut self) -> Option<Vec<Event>> {
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

    /// How many were dropped since the last call.
    pub(super) fn dropped(&self) -> u64 {
        self.shared.dropped.swap(0, Ordering::Relaxed)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn event(n: usize) -> Event {
        Event::ImageDeleted {
            name: n.to_string(),
        }
    }

    #[tokio::test]
    async fn what_does_not_fit_is_a_gap_and_counted() {
        let (mailbox, mut events) = mailbox();
        for n in 0..CAPACITY + 3 {
            mailbox.put(event(n));
        }
        let taken = events.take().await.unwrap();
        assert_eq!(taken.len(), CAPACITY + 1);
        assert_eq!(taken[CAPACITY - 1], event(CAPACITY - 1));
        assert_eq!(taken[CAPACITY], Event::Gap);
        assert_eq!((events.dropped(), events.dropped()), (3, 0));

        mailbox.put(event(7));
        assert_eq!(
            events.take().await.unwrap(),
            [event(7)],
            "one gap is told once"
        );
        drop(mailbox);
        assert_eq!(events.take().await, None);
    }
}
