//! What was requested, and how far each answer got.

use std::collections::VecDeque;
use std::sync::Mutex;
use std::time::Instant;

use super::lock;

/// How many requests are remembered.
const MAX_REQUESTS: usize = 65_536;

/// What a request was about.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Kind {
    /// A manifest or an index.
    Manifest,
    /// A config or a layer.
    Blob,
    /// Anything else, such as `/v2/`.
    Other,
}

/// How an answer ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum End {
    /// All of it was handed to the connection.
    Complete,
    /// [`super::Target::cut`] dropped the connection.
    Cut,
    /// The client went away first, or the registry stopped.
    Abandoned,
}

/// One request.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Request {
    /// When it came.
    pub at: Instant,
    /// `GET` or `HEAD`, or what else came.
    pub method: String,
    /// Path and query as they came.
    pub path: String,
    /// What it is about.
    pub kind: Kind,
    /// The repository, without a tag.
    pub repository: Option<String>,
    /// The tag or digest as the client wrote it.
    pub reference: Option<String>,
    /// The digest that the reference leads to; `None` when it leads nowhere.
    pub digest: Option<String>,
    /// First byte that was asked for; `None` without a range.
    pub range_start: Option<u64>,
    /// Behind the last byte that was asked for; `None` without a range.
    pub range_end: Option<u64>,
    /// The status; `None` while there is no answer.
    pub status: Option<u16>,
    /// Body bytes handed to the connection so far.
    pub sent: u64,
    /// How the answer ended; `None` while it runs.
    pub end: Option<End>,
}

#[derive(Debug, Default)]
pub(super) struct Log {
    inner: Mutex<Inner>,
}

#[derive(Debug, Default)]
struct Inner {
    requests: VecDeque<Request>,
    /// The number of the first request that is still remembered.
    forgotten: u64,
}

impl Log {
    pub(super) fn requests(&self, matches: impl Fn(&Request) -> bool) -> Vec<Request> {
        let inner = lock(&self.inner);
        inner
            .requests
            .iter()
            .filter(|request| matches(request))
            .cloned()
            .collect()
    }

    pub(super) fn forgotten(&self) -> u64 {
        lock(&self.inner).forgotten
    }

    /// Adds a request and returns its number.
    pub(super) fn add(&self, request: Request) -> u64 {
        let mut inner = lock(&self.inner);
        if inner.requests.len() == MAX_REQUESTS {
            inner.requests.pop_front();
            inner.forgotten += 1;
        }
        inner.requests.push_back(request);
        inner.forgotten + inner.requests.len() as u64 - 1
    }

    /// Changes a request, unless it is forgotten.
    pub(super) fn update(&self, number: u64, change: impl FnOnce(&mut Request)) {
        let mut inner = lock(&self.inner);
        let Some(index) = number.checked_sub(inner.forgotten) else {
            return;
        };
        let index = usize::try_from(index).expect("less than MAX_REQUESTS");
        if let Some(request) = inner.requests.get_mut(index) {
            change(request);
        }
    }
}
