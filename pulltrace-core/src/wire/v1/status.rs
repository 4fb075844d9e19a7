//! A pull and its layers, as people and programs read them.

use serde::{Deserialize, Serialize};

use super::is_false;
use super::words::{
    EtaBasis, FailureReason, LayerState, LinkEvidence, Outcome, Phase, WaitingKind,
};
use crate::time::NodeTime;

/// One pull as it is at one moment.
///
/// ```
/// use pulltrace_core::wire::v1::{Phase, PullStatus};
/// let line = r#"{"id":"lease~w1~k8s.io~1-a~0","nodeName":"w1","phase":"resolving",
///     "totalKnown":false,"startedAt":"2026-11-24T20:00:00Z","fromTheFuture":1}"#;
/// let pull: PullStatus = serde_json::from_str(line)?;
/// assert_eq!(pull.phase, Phase::Resolving);
/// assert_eq!(pull.total_bytes, None);
/// # Ok::<(), serde_json::Error>(())
/// ```
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
#[cfg_attr(feature = "ts", derive(ts_rs::TS), ts(optional_fields))]
#[serde(rename_all = "camelCase")]
#[non_exhaustive]
pub struct PullStatus {
    /// Which pull: the same for ever, and safe in a path of a URL.
    pub id: String,
    /// By what frames name it: a number of this life of the server, which is another one in the next.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub row: Option<u64>,
    /// The node that pulls.
    pub node_name: String,
    /// The image's whole name with its tag or digest, where it is known.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub image_ref: Option<String>,
    /// Host (without port) and path of the image, known before its whole name.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub repository: Option<String>,
    /// The digest that the image's name points to: of an index, or of the only manifest.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub root_digest: Option<String>,
    /// The digest of the manifest that is run.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub manifest_digest: Option<String>,
    /// `linux/amd64`, where the image says it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub platform: Option<String>,
    /// The pods that wait for it, or waited; absent where none is known.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[cfg_attr(feature = "ts", ts(as = "Option<Vec<PodLink>>"))]
    pub pods: Vec<PodLink>,
    /// The pods that may be waiting for it, where nothing decides between several images.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[cfg_attr(feature = "ts", ts(as = "Option<Vec<PodLink>>"))]
    pub candidates: Vec<PodLink>,
    /// Which try it is of the same image for the same pod; the first is 1.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub attempt: Option<u32>,
    /// The id that it had while it was only announced: a row of that id is this one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub supersedes: Option<String>,
    /// What it is doing; of a pull that is over, its outcome.
    pub phase: Phase,
    /// How it ended; absent while it lives.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub outcome: Option<Outcome>,
    /// Why it failed, where it did.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub failure: Option<Failure>,
    /// Why it failed, as one text for people.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub error: Option<String>,
    /// What it waits for, where nothing of it moves.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub waiting_on: Option<WaitingOn>,
    /// How far it is, 0 to 100: never goes back, and is 100 only where the pull is completed.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub percent: Option<f64>,
    /// Whether the sizes are known, which they are, exactly, from the manifest on.
    pub total_known: bool,
    /// What the image weighs, compressed.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub total_bytes: Option<u64>,
    /// What of `total_bytes` was on the node before, or is served remotely.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub cached_bytes: Option<u64>,
    /// `total_bytes` less `cached_bytes`: what is to be downloaded by this pull or for it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub to_download_bytes: Option<u64>,
    /// What of `to_download_bytes` is here.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub downloaded_bytes: Option<u64>,
    /// What is to be unpacked by this pull or for it, as compressed bytes: all but layers that were
    /// unpacked before, or are served remotely.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub to_extract_bytes: Option<u64>,
    /// What of `to_extract_bytes` is unpacked.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub extracted_bytes: Option<u64>,
    /// Bytes that came and had to be fetched again.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub wasted_bytes: Option<u64>,
    /// How fast its bytes come; absent where that is not known, or none are to come.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub bytes_per_sec: Option<f64>,
    /// How much longer it takes, by the best guess.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub eta_seconds: Option<f64>,
    /// How much longer it takes if it goes well.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub eta_low_seconds: Option<f64>,
    /// How much longer it takes if it does not.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub eta_high_seconds: Option<f64>,
    /// What the unpacking part of the time left rests on.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub eta_basis: Option<EtaBasis>,
    /// When the kubelet announced it, which is before its queue.
    #[serde(
        with = "super::super::time::option",
        default,
        skip_serializing_if = "Option::is_none"
    )]
    #[cfg_attr(feature = "ts", ts(as = "Option<String>"))]
    pub queued_at: Option<NodeTime>,
    /// When it began; of one that is queued, when it was announced.
    #[serde(with = "super::super::time")]
    #[cfg_attr(feature = "ts", ts(as = "String"))]
    pub started_at: NodeTime,
    /// When its manifest was first seen, with which the download begins.
    #[serde(
        with = "super::super::time::option",
        default,
        skip_serializing_if = "Option::is_none"
    )]
    #[cfg_attr(feature = "ts", ts(as = "Option<String>"))]
    pub downloading_at: Option<NodeTime>,
    /// When all bytes were first seen to be here.
    #[serde(
        with = "super::super::time::option",
        default,
        skip_serializing_if = "Option::is_none"
    )]
    #[cfg_attr(feature = "ts", ts(as = "Option<String>"))]
    pub extracting_at: Option<NodeTime>,
    /// When it ended, however it did.
    #[serde(
        with = "super::super::time::option",
        default,
        skip_serializing_if = "Option::is_none"
    )]
    #[cfg_attr(feature = "ts", ts(as = "Option<String>"))]
    pub completed_at: Option<NodeTime>,
    /// When it last moved, where it should and has not for long.
    #[serde(
        with = "super::super::time::option",
        default,
        skip_serializing_if = "Option::is_none"
    )]
    #[cfg_attr(feature = "ts", ts(as = "Option<String>"))]
    pub stalled_since: Option<NodeTime>,
    /// Whether it is seen to be far slower than pulls from its registry usually are on its node.
    #[serde(default, skip_serializing_if = "is_false")]
    #[cfg_attr(feature = "ts", ts(as = "Option<bool>"))]
    pub slow: bool,
    /// Since when nobody has been able to see it.
    #[serde(
        with = "super::super::time::option",
        default,
        skip_serializing_if = "Option::is_none"
    )]
    #[cfg_attr(feature = "ts", ts(as = "Option<String>"))]
    pub stale_since: Option<NodeTime>,
    /// How long it took as the kubelet measured it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub kubelet: Option<KubeletTimes>,
    /// How many layers it has; absent until the manifest is here.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub layer_count: Option<u64>,
    /// With how many of them nothing is left to do.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub layers_done: Option<u64>,
    /// Each layer, lowest first; absent until the manifest is here.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[cfg_attr(feature = "ts", ts(as = "Option<Vec<LayerStatus>>"))]
    pub layers: Vec<LayerStatus>,
}

/// One layer of a pull.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
#[cfg_attr(feature = "ts", derive(ts_rs::TS), ts(optional_fields))]
#[serde(rename_all = "camelCase")]
#[non_exhaustive]
pub struct LayerStatus {
    /// The digest of its blob.
    pub digest: String,
    /// Its media type, as the manifest says it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub media_type: Option<String>,
    /// The build step that made it, where the image tells.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub created_by: Option<String>,
    /// What it is doing.
    pub state: LayerState,
    /// What it weighs, compressed.
    pub total_bytes: u64,
    /// What of that is here; absent where the layer is used without its bytes.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub downloaded_bytes: Option<u64>,
    /// Whether all its bytes were on the node before the pull began, and must only be unpacked.
    #[serde(default, skip_serializing_if = "is_false")]
    #[cfg_attr(feature = "ts", ts(as = "Option<bool>"))]
    pub blob_cached: bool,
    /// Bytes that unpacking has written so far, uncompressed, where the runtime was asked.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub unpacked_bytes: Option<u64>,
    /// How fast its bytes come; absent where that is not known, or none come any more.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub bytes_per_sec: Option<f64>,
    /// What it waits for, where it does.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub waiting_on: Option<WaitingOn>,
    /// When its first byte was seen.
    #[serde(
        with = "super::super::time::option",
        default,
        skip_serializing_if = "Option::is_none"
    )]
    #[cfg_attr(feature = "ts", ts(as = "Option<String>"))]
    pub started_at: Option<NodeTime>,
    /// When all its bytes were seen.
    #[serde(
        with = "super::super::time::option",
        default,
        skip_serializing_if = "Option::is_none"
    )]
    #[cfg_attr(feature = "ts", ts(as = "Option<String>"))]
    pub downloaded_at: Option<NodeTime>,
    /// When its unpacking was seen to begin.
    #[serde(
        with = "super::super::time::option",
        default,
        skip_serializing_if = "Option::is_none"
    )]
    #[cfg_attr(feature = "ts", ts(as = "Option<String>"))]
    pub extracting_at: Option<NodeTime>,
    /// When it was seen unpacked.
    #[serde(
        with = "super::super::time::option",
        default,
        skip_serializing_if = "Option::is_none"
    )]
    #[cfg_attr(feature = "ts", ts(as = "Option<String>"))]
    pub completed_at: Option<NodeTime>,
}

/// A container or a volume of a pod that waits for a pull, or waited.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
#[cfg_attr(feature = "ts", derive(ts_rs::TS), ts(optional_fields))]
#[serde(rename_all = "camelCase")]
#[non_exhaustive]
pub struct PodLink {
    /// The pod's namespace.
    pub namespace: String,
    /// The pod's name.
    pub pod_name: String,
    /// The pod's uid.
    pub uid: String,
    /// The container, or the image volume.
    pub container: String,
    /// The image that it wants.
    pub image: String,
    /// How that is known; absent of a candidate.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub evidence: Option<LinkEvidence>,
}

/// How long a pull took as the kubelet measured it.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
#[cfg_attr(feature = "ts", derive(ts_rs::TS), ts(optional_fields))]
#[serde(rename_all = "camelCase")]
#[non_exhaustive]
pub struct KubeletTimes {
    /// The pull itself.
    pub pull_seconds: f64,
    /// The pull and the wait for it in the kubelet's queue; older kubelets do not say.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub with_waiting_seconds: Option<f64>,
    /// What the kubelet says that the image weighs.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub image_bytes: Option<u64>,
    /// Whether what was measured here is within 20 % of it, or within a second; absent where not the
    /// whole pull was seen.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub agrees: Option<bool>,
}

/// Why a pull failed.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
#[cfg_attr(feature = "ts", derive(ts_rs::TS), ts(optional_fields))]
#[serde(rename_all = "camelCase")]
#[non_exhaustive]
pub struct Failure {
    /// One word of a set that grows: `unexplained`.
    pub reason: FailureReason,
    /// What is known beyond the word, for people.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub message: Option<String>,
    /// What a person does next, in one line. Agents do not tell it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub hint: Option<String>,
    /// When the kubelet tries again, as its back-off implies.
    #[serde(
        with = "super::super::time::option",
        default,
        skip_serializing_if = "Option::is_none"
    )]
    #[cfg_attr(feature = "ts", ts(as = "Option<String>"))]
    pub next_retry_at: Option<NodeTime>,
}

/// What a pull or a layer waits for.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
#[cfg_attr(feature = "ts", derive(ts_rs::TS), ts(optional_fields))]
#[serde(rename_all = "camelCase")]
#[non_exhaustive]
pub struct WaitingOn {
    /// What kind of thing.
    pub kind: WaitingKind,
    /// Since when that is seen.
    #[serde(with = "super::super::time")]
    #[cfg_attr(feature = "ts", ts(as = "String"))]
    pub since: NodeTime,
    /// The id of the pull that must get on first, where one must.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub pull: Option<String>,
    /// The digest of the layer that must get on first, where one must.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub layer: Option<String>,
    /// How many pulls come before it, where it stands in a queue.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub ahead: Option<u32>,
    /// How much longer what it waits for takes, where that is known.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub eta_seconds: Option<f64>,
}
