//! Pulls and their layers, as returned by the server.

use macro_rules_attribute::apply;

use super::attributes::is_false;
use super::enums::{
    EtaBasis, FailureReason, LayerState, LinkEvidence, Outcome, Phase, WaitingKind,
};
use crate::time::NodeTime;

/// A pull at one moment.
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
#[apply(response)]
#[non_exhaustive]
pub struct PullStatus {
    /// The id, which never changes and is safe in a URL path.
    pub id: String,
    /// The number that frames use for the pull; valid until the server restarts.
    pub row: Option<u64>,
    /// The node of the pull.
    pub node_name: String,
    /// The full image name with its tag or digest, if known.
    pub image_ref: Option<String>,
    /// Host (without port) and path of the image, known before the full name.
    pub repository: Option<String>,
    /// The digest that the image name points to: that of an index, or of the only manifest.
    pub root_digest: Option<String>,
    /// The digest of the manifest that containers run.
    pub manifest_digest: Option<String>,
    /// The platform, e.g. `linux/amd64`, if the image declares it.
    pub platform: Option<String>,
    /// The pods that wait or waited for it; absent if none are known.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[cfg_attr(feature = "ts", ts(as = "Option<Vec<PodLink>>"))]
    pub pods: Vec<PodLink>,
    /// The pods that may be waiting for it, if the evidence does not decide between several images.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[cfg_attr(feature = "ts", ts(as = "Option<Vec<PodLink>>"))]
    pub candidates: Vec<PodLink>,
    /// The number of the attempt for this image and pod, starting at 1.
    pub attempt: Option<u32>,
    /// The id of the announced pull that this one replaces: a row with that id is the same pull.
    pub supersedes: Option<String>,
    /// The phase, or the outcome of an ended pull.
    pub phase: Phase,
    /// The outcome; absent for a live pull.
    pub outcome: Option<Outcome>,
    /// Why it failed, if it did.
    pub failure: Option<Failure>,
    /// Why it failed, as one text for display.
    pub error: Option<String>,
    /// The current wait, if no part of the pull makes progress.
    pub waiting_on: Option<WaitingOn>,
    /// The progress, 0 to 100. It never decreases, and is 100 only for a completed pull.
    pub percent: Option<f64>,
    /// True if the sizes are known. They are exact, and known once the manifest is.
    pub total_known: bool,
    /// The compressed size of the image.
    pub total_bytes: Option<u64>,
    /// Bytes of `total_bytes` that were on the node before, or are served remotely.
    pub cached_bytes: Option<u64>,
    /// Bytes to download, by this pull or another one: `total_bytes` minus `cached_bytes`.
    pub to_download_bytes: Option<u64>,
    /// Bytes of `to_download_bytes` that are present.
    pub downloaded_bytes: Option<u64>,
    /// Compressed bytes to unpack, by this pull or another one: all layers but those that were
    /// unpacked before, or are served remotely.
    pub to_extract_bytes: Option<u64>,
    /// Bytes of `to_extract_bytes` that are unpacked.
    pub extracted_bytes: Option<u64>,
    /// Downloaded bytes that had to be fetched again.
    pub wasted_bytes: Option<u64>,
    /// The download rate; absent if it is unknown, or no bytes are missing.
    pub bytes_per_sec: Option<f64>,
    /// The estimated remaining time.
    pub eta_seconds: Option<f64>,
    /// The optimistic bound of the remaining time.
    pub eta_low_seconds: Option<f64>,
    /// The pessimistic bound of the remaining time.
    pub eta_high_seconds: Option<f64>,
    /// The basis of the unpacking part of the remaining time.
    pub eta_basis: Option<EtaBasis>,
    /// When the kubelet announced it, before its queue.
    pub queued_at: Option<NodeTime>,
    /// When it started; for a queued pull, when it was announced.
    pub started_at: NodeTime,
    /// When the manifest was first observed, which starts the download.
    pub downloading_at: Option<NodeTime>,
    /// When all bytes were first observed.
    pub extracting_at: Option<NodeTime>,
    /// When it ended, with any outcome.
    pub completed_at: Option<NodeTime>,
    /// The time of the last progress, if the pull is stalled.
    pub stalled_since: Option<NodeTime>,
    /// True if it is far slower than usual for its registry on its node.
    #[serde(default, skip_serializing_if = "is_false")]
    #[cfg_attr(feature = "ts", ts(as = "Option<bool>"))]
    pub slow: bool,
    /// Since when no source has been able to observe it.
    pub stale_since: Option<NodeTime>,
    /// The duration as measured by the kubelet.
    pub kubelet: Option<KubeletTimes>,
    /// The number of layers; absent until the manifest is known.
    pub layer_count: Option<u64>,
    /// The number of layers that have no work left.
    pub layers_done: Option<u64>,
    /// The layers, lowest first; absent until the manifest is known.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[cfg_attr(feature = "ts", ts(as = "Option<Vec<LayerStatus>>"))]
    pub layers: Vec<LayerStatus>,
}

/// A layer of a pull.
#[apply(response)]
#[non_exhaustive]
pub struct LayerStatus {
    /// The digest of its blob.
    pub digest: String,
    /// The media type according to the manifest.
    pub media_type: Option<String>,
    /// The build step that created it, if the image contains it.
    pub created_by: Option<String>,
    /// The state.
    pub state: LayerState,
    /// The compressed size.
    pub total_bytes: u64,
    /// Bytes that are present; absent if the layer is used without its bytes.
    pub downloaded_bytes: Option<u64>,
    /// True if all bytes were on the node before the pull started and only have to be unpacked.
    #[serde(default, skip_serializing_if = "is_false")]
    #[cfg_attr(feature = "ts", ts(as = "Option<bool>"))]
    pub blob_cached: bool,
    /// Uncompressed bytes written by unpacking so far, if the runtime reports them.
    pub unpacked_bytes: Option<u64>,
    /// The download rate; absent if it is unknown or the download has ended.
    pub bytes_per_sec: Option<f64>,
    /// The current wait, if any.
    pub waiting_on: Option<WaitingOn>,
    /// When the first byte was observed.
    pub started_at: Option<NodeTime>,
    /// When all bytes were first observed.
    pub downloaded_at: Option<NodeTime>,
    /// When unpacking was first observed.
    pub extracting_at: Option<NodeTime>,
    /// When it was first observed unpacked.
    pub completed_at: Option<NodeTime>,
}

/// A container or volume of a pod that waits, or waited, for a pull.
#[apply(response)]
#[derive(Eq)]
#[non_exhaustive]
pub struct PodLink {
    /// The pod's namespace.
    pub namespace: String,
    /// The pod's name.
    pub pod_name: String,
    /// The pod's UID.
    pub uid: String,
    /// The container, or the image volume.
    pub container: String,
    /// The requested image.
    pub image: String,
    /// The evidence for the link; absent for a candidate.
    pub evidence: Option<LinkEvidence>,
}

/// The duration of a pull as measured by the kubelet.
#[apply(response)]
#[derive(Copy)]
#[non_exhaustive]
pub struct KubeletTimes {
    /// The duration of the pull.
    pub pull_seconds: f64,
    /// The duration including the wait in the kubelet's queue; older kubelets do not report it.
    pub with_waiting_seconds: Option<f64>,
    /// The image size reported by the kubelet.
    pub image_bytes: Option<u64>,
    /// True if pulltrace's own measurement is within 20 % or one second of it; absent if pulltrace
    /// did not observe the whole pull.
    pub agrees: Option<bool>,
}

/// Why a pull failed.
#[apply(response)]
#[derive(Eq)]
#[non_exhaustive]
pub struct Failure {
    /// The reason, e.g. `unexplained`. Others may be added.
    pub reason: FailureReason,
    /// The error message, for display.
    pub message: Option<String>,
    /// Advice in one line. Agents do not send it.
    pub hint: Option<String>,
    /// When the kubelet retries, according to its back-off.
    pub next_retry_at: Option<NodeTime>,
}

/// A wait of a pull or layer.
#[apply(response)]
#[non_exhaustive]
pub struct WaitingOn {
    /// The kind of wait.
    pub kind: WaitingKind,
    /// When the wait was first observed.
    pub since: NodeTime,
    /// The id of the pull that must make progress first, if any.
    pub pull: Option<String>,
    /// The digest of the layer that must make progress first, if any.
    pub layer: Option<String>,
    /// The number of pulls ahead in the queue, if queued.
    pub ahead: Option<u32>,
    /// The estimated remaining wait, if known.
    pub eta_seconds: Option<f64>,
}
