//! The request log, including the progress of each response.

use std::collections::VecDeque;
use std::sync::Mutex;
use std::time::Instant;

use super::lock::lock;

/// The capacity of the log; the oldest requests are evicted.
const MAX_REQUESTS: usize = 65_536;

/// The kind of resource that a request refers to.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum RequestKind {
    /// A manifest or an index.
    Manifest,
    /// A config or a layer.
    Blob,
    /// Anything else, such as `/v2/`.
    Other,
}

/// The way a response ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ResponseEnd {
    /// All of it was passed to the connection.
    Complete,
    /// [`super::Target::cut`] dropped the connection.
    Cut,
    /// The client disconnected, or the registry stopped.
    Abandoned,
}

/// A request and its response.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Request {
    /// The time at which it was received.
    pub received_at: Instant,
    /// The method, normally `GET` or `HEAD`.
    pub method: String,
    /// Path and query as received.
    pub path: String,
    /// The kind of resource.
    pub kind: RequestKind,
    /// The repository, without a tag.
    pub repository: Option<String>,
    /// The tag or digest as sent by the client.
    pub reference: Option<String>,
    /// The digest that the reference resolves to; `None` if there is none.
    pub digest: Option<String>,
    /// The first byte requested; `None` without a range.
    pub range_start: Option<u64>,
    /// The end (exclusive) of the requested range; `None` without a range.
    pub range_end: Option<u64>,
    /// The response status; `None` before the response.
    pub status: Option<u16>,
    /// Body bytes passed to the connection so far.
    pub sent: u64,
    /// The way the response ended; `None` while it is being sent.
    pub end: Option<ResponseEnd>,
}

#[derive(Debug, Default)]
pub(super) struct RequestLog {
    inner: Mutex<Inner>,
}

#[derive(Debug, Default)]
struct Inner {
    requests: VecDeque<Request>,
    /// The number of evicted requests, which is also the number of the oldest one in the log.
    evicted: u64,
}

impl RequestLog {
    pub(super) fn requests(&self, matches: impl Fn(&Request) -> bool) -> Vec<Request> {
        let inner = lock(&self.inner);
        inner.requests.iter().filter(|request| matches(request)).cloned().collect()
    }

    pub(super) fn evicted(&self) -> u64 {
        lock(&self.inner).evicted
    }

    /// Appends a request and returns its number.
    pub(super) fn add(&self, request: Request) -> u64 {
        let mut inner = lock(&self.inner);
        if inner.requests.len() == MAX_REQUESTS {
            inner.requests.pop_front();
            inner.evicted += 1;
        }
        inner.requests.push_back(request);
        inner.evicted + inner.requests.len() as u64 - 1
    }

    /// Updates a request unless it was evicted.
    pub(super) fn update(&self, number: u64, change: impl FnOnce(&mut Request)) {
        let mut inner = lock(&self.inner);
        let Some(index) = number.checked_sub(inner.evicted) else {
            return;
        };
        let index = usize::try_from(index).expect("less than MAX_REQUESTS");
        if let Some(request) = inner.requests.get_mut(index) {
            change(request);
        }
    }
}
