//! The queue of jobs of the writer.

use std::collections::VecDeque;
use std::fmt;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use tokio::sync::{OwnedSemaphorePermit, Semaphore, TryAcquireError};

use super::error::IntakeError;
use super::state::{Job, QueueLoad, WriterState};

/// A flat-combining queue: the enqueuing task drains it unless another task already does. So
/// reports are applied without waking a task.
#[derive(Debug)]
pub(super) struct CombiningQueue {
    limit: usize,
    /// The free slots. Closed when the queue is, and only while `inner` is locked.
    slots: Arc<Semaphore>,
    inner: Mutex<QueueState>,
}

pub(super) struct QueueState {
    pub(super) jobs: VecDeque<QueuedJob>,
    /// `None` while a task drains the queue, and before the writer runs.
    writer: Option<Box<WriterState>>,
    /// Number of reports rejected because the queue was full.
    rejected: u64,
}

pub(super) struct QueuedJob {
    job: Job,
    /// `None` for jobs of the timer, which do not count towards the limit.
    slot: Option<Slot>,
}

/// A reserved slot, which is free again when this is dropped.
pub(super) type Slot = OwnedSemaphorePermit;

impl CombiningQueue {
    pub(super) fn new(limit: usize) -> Self {
        let limit = limit.clamp(1, Semaphore::MAX_PERMITS);
        Self {
            limit,
            slots: Arc::new(Semaphore::new(limit)),
            inner: Mutex::new(QueueState { jobs: VecDeque::new(), writer: None, rejected: 0 }),
        }
    }

    /// Reserves a slot for a report; counts a rejection if all are taken.
    pub(super) fn try_reserve(&self) -> Result<Slot, IntakeError> {
        Arc::clone(&self.slots).try_acquire_owned().map_err(|error| match error {
            TryAcquireError::NoPermits => {
                self.lock().rejected += 1;
                IntakeError::Busy
            }
            TryAcquireError::Closed => IntakeError::Stopped,
        })
    }

    /// Waits for a slot. Slots are handed out in the order of the calls, and before later reports.
    pub(super) async fn reserve(&self) -> Result<Slot, IntakeError> {
        let slot = Arc::clone(&self.slots).acquire_owned().await;
        slot.map_err(|_| IntakeError::Stopped)
    }

    /// Enqueues a job.
    pub(super) fn push(&self, job: Job, slot: Slot) -> Result<(), IntakeError> {
        let mut inner = self.lock();
        if self.slots.is_closed() {
            return Err(IntakeError::Stopped);
        }
        inner.jobs.push_back(QueuedJob { job, slot: Some(slot) });
        self.drain(inner);
        Ok(())
    }

    /// Enqueues a job of the timer, ahead of reports, which may keep the queue full.
    ///
    /// # Panics
    /// If an earlier job panicked.
    pub(super) fn push_front(&self, job: Job) {
        let mut inner = self.lock();
        assert!(!self.slots.is_closed(), "a step of the fleet panicked");
        inner.jobs.push_front(QueuedJob { job, slot: None });
        self.drain(inner);
    }

    /// Lets the tasks that enqueue jobs run them.
    pub(super) fn start(&self, writer: Box<WriterState>) {
        self.lock().writer = Some(writer);
    }

    /// Rejects further jobs. Those that are queued still run, and then `last`.
    pub(super) fn close(&self, last: Job) {
        let mut inner = self.lock();
        self.slots.close();
        inner.jobs.push_back(QueuedJob { job: last, slot: None });
        self.drain(inner);
    }

    /// Runs the queued jobs, unless another task already does.
    fn drain<'a>(&'a self, mut inner: MutexGuard<'a, QueueState>) {
        let Some(writer) = inner.writer.take() else {
            return;
        };
        let mut guard = DrainGuard { queue: self, writer: Some(writer) };
        while let Some(writer) = &mut guard.writer {
            let Some(QueuedJob { job, slot }) = inner.jobs.pop_front() else {
                inner.writer = guard.writer.take();
                return;
            };
            let load = QueueLoad {
                high: inner.jobs.len() > self.limit / 2,
                rejected_reports: inner.rejected,
            };
            drop(inner);
            drop(slot);
            writer.process(job, load);
            inner = self.lock();
        }
    }

    pub(super) fn lock(&self) -> MutexGuard<'_, QueueState> {
        self.inner.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Closes the queue if a job panics: the fleet is lost, and callers get an error.
struct DrainGuard<'a> {
    queue: &'a CombiningQueue,
    writer: Option<Box<WriterState>>,
}

impl Drop for DrainGuard<'_> {
    fn drop(&mut self) {
        if self.writer.is_some() {
            let mut inner = self.queue.lock();
            self.queue.slots.close();
            inner.jobs.clear();
        }
    }
}

impl fmt::Debug for QueueState {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("QueueState").field("jobs", &self.jobs.len()).finish_non_exhaustive()
    }
}
