//! The stored images, the faults and the log of a registry.

use std::collections::{BTreeSet, HashMap};
use std::sync::Mutex;

use bytes::Bytes;

use super::fault::Faults;
use super::log::RequestLog;
use crate::image::Blob;

/// State shared by the handles and the server thread.
#[derive(Debug, Default)]
pub(super) struct SharedState {
    pub(super) content: Mutex<Storage>,
    pub(super) faults: Faults,
    pub(super) log: RequestLog,
}

#[derive(Debug, Default)]
pub(super) struct Storage {
    pub(super) repositories: HashMap<String, Repository>,
    pub(super) blobs: HashMap<String, Blob>,
}

#[derive(Debug, Default)]
pub(super) struct Repository {
    pub(super) tags: HashMap<String, String>,
    pub(super) documents: HashMap<String, (String, Bytes)>,
    pub(super) blobs: BTreeSet<String>,
}
