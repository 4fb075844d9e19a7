//! The tracker's inputs and queries: plain data from containerd, not validated.
//!
//! These types are also the lines of a [recording](self): changing their shape requires a new
//! version of that format. Producers pass on containerd's data; the tracker interprets and
//! validates it. They contain no tonic types.

use std::collections::BTreeMap;

use pulltrace_core::NodeTime;
use serde::{Deserialize, Serialize};

/// One input of the tracker.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "input", rename_all = "snake_case")]
pub enum Input {
    /// A connection to containerd was established, the first or another one.
    Connected(ServerInfo),
    /// The result of one poll.
    Poll(Poll),
    /// The answer to a [`Query`].
    Answer(Answer),
    /// An event from containerd.
    Event(Event),
    /// The connection to containerd was lost.
    Lost {
        /// The error message, for people.
        reason: String,
    },
}

/// The connected containerd.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct ServerInfo {
    /// Version as reported: `1.6.20~ds1`, `v2.4.2`.
    pub version: String,
    /// When its socket was bound, which is when containerd started; `None` if the socket could not
    /// be read.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub started_at: Option<NodeTime>,
}

/// The lists of one poll, requested in field order: ingests **before** leases.
///
/// With this order, a blob that is committed between the two requests appears in the second list.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Poll {
    /// `Content.ListStatuses`: blobs being written.
    pub ingests: Vec<Ingest>,
    /// `Leases.List`, limited to leases with the label `containerd.io/gc.expire`, and their
    /// resources.
    pub leases: Vec<Lease>,
}

/// A blob being written.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Ingest {
    /// The ref chosen by the writer; it ends with the digest.
    #[serde(rename = "ref")]
    pub reference: String,
    /// Bytes on disk.
    pub offset: i64,
    /// Size of the complete blob; 0 if the writer did not specify it.
    pub total: i64,
    /// When the ingest was first opened. A resume keeps it.
    pub started_at: NodeTime,
    /// When bytes were last written.
    pub updated_at: NodeTime,
}

/// A lease, which protects the content of a running pull from garbage collection.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Lease {
    /// The id. The containerd client generates up to nine digits, a dash and four random
    /// characters.
    pub id: String,
    /// When the lease was created.
    pub created_at: NodeTime,
    /// The labels.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub labels: BTreeMap<String, String>,
    /// The resources; `None` if they were not requested or the lease had disappeared by then.
    pub resources: Option<Vec<Resource>>,
}

/// A resource of a lease.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct Resource {
    /// `content`, `ingests`, or `snapshots/` and the name of the snapshotter.
    pub kind: String,
    /// A digest, the ref of an ingest, or the key of a snapshot.
    pub id: String,
}

/// A read-only request from the tracker to containerd.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(tag = "query", rename_all = "snake_case")]
pub enum Query {
    /// `Content.Info`: size, age and labels of a blob.
    Info {
        /// The blob.
        digest: String,
    },
    /// `Content.Read`: a small blob, answered by [`Reply::Document`].
    Read {
        /// The blob.
        digest: String,
        /// Its size, which limits the read.
        size: u64,
    },
    /// `Snapshots.Stat`: whether a snapshot exists, and since when.
    Stat {
        /// The snapshotter.
        snapshotter: String,
        /// The chain id, or the key of an active snapshot.
        key: String,
    },
    /// `Snapshots.Usage`: bytes unpacked so far. containerd walks the files for it, so it is
    /// requested rarely.
    Usage {
        /// The snapshotter.
        snapshotter: String,
        /// The key of the active snapshot.
        key: String,
    },
    /// `Images.List`, filtered by target: the names of an image.
    RecordsOf {
        /// The digest of an index or manifest.
        target: String,
    },
    /// `Images.Get`: the target of a name.
    Record {
        /// The full image name.
        name: String,
    },
}

/// A query and its reply.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Answer {
    /// The query.
    pub to: Query,
    /// The reply.
    pub reply: Reply,
}

/// The reply to a query.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "reply", rename_all = "snake_case")]
pub enum Reply {
    /// To [`Query::Info`].
    Info {
        /// Size of the blob in bytes.
        size: i64,
        /// When it was committed in this namespace.
        created_at: NodeTime,
        /// The labels; `containerd.io/distribution.source.…` contains repositories.
        #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
        labels: BTreeMap<String, String>,
    },
    /// To [`Query::Read`].
    Document {
        /// The text; invalid UTF-8 is replaced.
        text: String,
    },
    /// To [`Query::Stat`].
    Snapshot {
        /// When it was prepared, if active, or committed.
        created_at: NodeTime,
        /// True if it is committed, i.e. completely unpacked.
        committed: bool,
    },
    /// To [`Query::Usage`].
    Usage {
        /// Bytes on disk.
        size: i64,
    },
    /// To [`Query::RecordsOf`] and [`Query::Record`].
    Records {
        /// The matching image records.
        records: Vec<ImageRecord>,
    },
    /// The object does not exist. This is normal: it may have been deleted since it was listed.
    NotFound,
    /// The call failed and may be retried.
    Failed {
        /// The error message, for people.
        reason: String,
    },
}

/// An image record: a name and its target.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct ImageRecord {
    /// The full name.
    pub name: String,
    /// The digest of the index or manifest.
    pub target: String,
    /// When the name was first written.
    pub created_at: NodeTime,
    /// When the record was last written.
    pub updated_at: NodeTime,
}

/// An event from containerd.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "event", rename_all = "snake_case")]
pub enum Event {
    /// `/content/create` (containerd 2.1 and later): a blob is complete.
    ContentCreated {
        /// Its digest.
        digest: String,
        /// Its size in bytes.
        size: i64,
    },
    /// `/snapshot/prepare`: an active snapshot was created.
    SnapshotPrepared {
        /// Its key; starts with `extract-` for a layer of a pull.
        key: String,
    },
    /// `/snapshot/commit`: a snapshot is complete.
    SnapshotCommitted {
        /// Its former key.
        key: String,
        /// Its name: the chain id, for a layer of a pull.
        name: String,
    },
    /// `/snapshot/remove`: a snapshot was removed.
    SnapshotRemoved {
        /// Its key.
        key: String,
    },
    /// `/images/create` or `/images/update`: an image record was written.
    ImageWritten {
        /// The name of the record.
        name: String,
        /// The time of the event.
        at: NodeTime,
    },
    /// `/images/delete`: an image record was deleted.
    ImageDeleted {
        /// The name of the record.
        name: String,
    },
    /// Events may be missing because the stream was interrupted or its queue overflowed.
    Gap,
}
