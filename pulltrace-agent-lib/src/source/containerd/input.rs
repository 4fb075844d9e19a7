//! What the tracker is told and what it asks: plain data, as containerd says it, unchecked.
//!
//! These types are also the lines of a [recording](self): a change of their shape is a
//! new version of that format. Whoever fills them passes on what containerd said; what it means, and
//! whether it can be true, is the tracker's business. No tonic types here.

use std::collections::BTreeMap;

use pulltrace_core::NodeTime;
use serde::{Deserialize, Serialize};

/// One thing that the tracker is told.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "input", rename_all = "snake_case")]
pub enum Input {
    /// A containerd answers: for the first time, or again.
    Connected(Server),
    /// What one round of listing gave.
    Poll(Poll),
    /// What came back of a [`Query`].
    Answer(Answer),
    /// Something that containerd announced.
    Event(Event),
    /// containerd does not answer any more; `reason` is for people.
    Lost {
        /// What failed, in the words of the transport.
        reason: String,
    },
}

/// Which containerd answers.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Server {
    /// `1.6.20~ds1`, `v2.4.2`: as it says it.
    pub version: String,
    /// When it bound its socket, which is when it started; `None` where that could not be read.
    #[serde(
        with = "pulltrace_core::wire::time::option",
        default,
        skip_serializing_if = "Option::is_none"
    )]
    pub started_at: Option<NodeTime>,
}

/// One round of listing, in the order in which it was asked: the ingests **first**.
///
/// The order matters: a blob that is committed between the two lists is then in the second.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Poll {
    /// `Content.ListStatuses`: what is being written.
    pub ingests: Vec<Ingest>,
    /// `Leases.List` of those with `containerd.io/gc.expire`, and what each of them holds.
    pub leases: Vec<Lease>,
}

/// A blob that is being written.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Ingest {
    /// The name that the writer chose; it ends with the digest.
    #[serde(rename = "ref")]
    pub reference: String,
    /// Bytes on disk.
    pub offset: i64,
    /// Bytes when it is whole; 0 where the writer did not say.
    pub total: i64,
    /// When it was opened, for the first time: it survives a resume.
    #[serde(with = "pulltrace_core::wire::time")]
    pub started_at: NodeTime,
    /// When bytes last came.
    #[serde(with = "pulltrace_core::wire::time")]
    pub updated_at: NodeTime,
}

/// A lease: what keeps the garbage collector away from a pull that is not over.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Lease {
    /// Random: nine digits, a dash and four letters where a client made it in the usual way.
    pub id: String,
    /// When it was made.
    #[serde(with = "pulltrace_core::wire::time")]
    pub created_at: NodeTime,
    /// Its labels.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub labels: BTreeMap<String, String>,
    /// What it holds; `None` where it was not asked, or was gone when asked.
    pub resources: Option<Vec<Resource>>,
}

/// One thing that a lease holds.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct Resource {
    /// `content`, `ingests`, or `snapshots/` and the snapshotter.
    pub kind: String,
    /// A digest, an ingest's reference, or a snapshot's key.
    pub id: String,
}

/// Something that the tracker needs to know of containerd. Each is a read, and cheap.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(tag = "query", rename_all = "snake_case")]
pub enum Query {
    /// `Content.Info`: size, age and labels of a blob.
    Info {
        /// The blob.
        digest: String,
    },
    /// `Content.Read`: a whole small blob; answered by [`Reply::Document`].
    Read {
        /// The blob.
        digest: String,
        /// Its size: the reader stops there.
        size: u64,
    },
    /// `Snapshots.Stat`: whether a snapshot is there, and since when.
    Stat {
        /// Which snapshotter.
        snapshotter: String,
        /// The chain id, or the key of an active snapshot.
        key: String,
    },
    /// `Snapshots.Usage`: what unpacking has written so far. It walks the files, so it is asked rarely.
    Usage {
        /// Which snapshotter.
        snapshotter: String,
        /// The key of the active snapshot.
        key: String,
    },
    /// `Images.List` by target: which names point to this digest.
    RecordsOf {
        /// The digest of an index or a manifest.
        target: String,
    },
    /// `Images.Get`: where a name points to.
    Record {
        /// The image's whole name.
        name: String,
    },
}

/// What came back of a query.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Answer {
    /// What was asked.
    pub to: Query,
    /// What was said.
    pub reply: Reply,
}

/// The answers that there are.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "reply", rename_all = "snake_case")]
pub enum Reply {
    /// To [`Query::Info`].
    Info {
        /// Bytes of the blob.
        size: i64,
        /// When it was committed in this namespace.
        #[serde(with = "pulltrace_core::wire::time")]
        created_at: NodeTime,
        /// Its labels: `containerd.io/distribution.source.…` names repositories.
        #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
        labels: BTreeMap<String, String>,
    },
    /// To [`Query::Read`]: the blob as text.
    Document {
        /// The text; what is not UTF-8 is replaced.
        text: String,
    },
    /// To [`Query::Stat`].
    Snapshot {
        /// When it was made (an active one: prepared; a committed one: committed).
        #[serde(with = "pulltrace_core::wire::time")]
        created_at: NodeTime,
        /// Whether it is committed: unpacked and whole.
        committed: bool,
    },
    /// To [`Query::Usage`].
    Usage {
        /// Bytes on disk.
        size: i64,
    },
    /// To [`Query::RecordsOf`] and [`Query::Record`].
    Records {
        /// The image records that match.
        records: Vec<Record>,
    },
    /// It is not there: normal, since everything may be gone between two calls.
    NotFound,
    /// The call failed; it may be asked again. `reason` is for people.
    Failed {
        /// What failed, in the words of the transport.
        reason: String,
    },
}

/// An image record: a name and where it points to.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Record {
    /// The whole name.
    pub name: String,
    /// The digest of the index or manifest.
    pub target: String,
    /// When the name first appeared.
    #[serde(with = "pulltrace_core::wire::time")]
    pub created_at: NodeTime,
    /// When it was last written.
    #[serde(with = "pulltrace_core::wire::time")]
    pub updated_at: NodeTime,
}

/// Something that containerd announced.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "event", rename_all = "snake_case")]
pub enum Event {
    /// `/content/create` (containerd 2.1 and later): a blob is whole.
    ContentCreated {
        /// Its digest.
        digest: String,
        /// Its size in bytes.
        size: i64,
    },
    /// `/snapshot/prepare`: the work on a snapshot begins.
    SnapshotPrepared {
        /// Its key; `extract-…` where a pull unpacks a layer.
        key: String,
    },
    /// `/snapshot/commit`: a snapshot is whole.
    SnapshotCommitted {
        /// The key it had.
        key: String,
        /// The name it has now: the chain id, where a pull unpacked a layer.
        name: String,
    },
    /// `/snapshot/remove`.
    SnapshotRemoved {
        /// Its key.
        key: String,
    },
    /// `/images/create` or `/images/update`.
    ImageWritten {
        /// The record's name.
        name: String,
        /// When containerd said so.
        #[serde(with = "pulltrace_core::wire::time")]
        at: NodeTime,
    },
    /// `/images/delete`.
    ImageDeleted {
        /// The record's name.
        name: String,
    },
    /// The stream of events had to be opened again: what happened in between was not announced.
    Gap,
}
