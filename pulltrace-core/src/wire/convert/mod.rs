//! Converts the model to API responses. Each field is taken from the model as is.

use std::time::Duration;

use super::v1;
use crate::failure::Failure;
use crate::image::ImageLayer;
use crate::layer::Layer;
use crate::link::{KubeletTimes, LinkEvidence, Links, Waiter};
use crate::pull::Pull;
use crate::reference::TagOrDigest;
use crate::unit::{Bytes, BytesPerSecond, Percent};
use crate::wait::WaitingOn;

impl From<&Pull> for v1::PullStatus {
    fn from(pull: &Pull) -> Self {
        let tagged =
            pull.names.iter().find(|name| matches!(name.tag_or_digest(), TagOrDigest::Tag(_)));
        let image = pull.image.as_deref();
        let v1::PullMotion {
            percent,
            downloaded_bytes,
            extracted_bytes,
            bytes_per_sec,
            eta_seconds,
            eta_low_seconds,
            eta_high_seconds,
            layers_done,
            ..
        } = pull.into();
        let layers: Vec<_> = pull
            .layers
            .iter()
            .map(|layer| layer_status(layer, image.and_then(|image| image_layer(image, layer))))
            .collect();
        Self {
            id: pull.id.to_string(),
            row: None,
            node_name: pull.id.node().to_string(),
            image_ref: tagged.or(pull.names.first()).map(ToString::to_string),
            repository: pull.repository.as_ref().map(ToString::to_string),
            pods: Vec::new(),
            candidates: Vec::new(),
            attempt: None,
            supersedes: None,
            queued_at: None,
            kubelet: None,
            root_digest: pull.root.as_ref().map(ToString::to_string),
            manifest_digest: image
                .and_then(|image| image.manifests.first())
                .map(ToString::to_string),
            platform: image.and_then(|image| image.platform.clone()),
            phase: pull.phase.into(),
            outcome: pull.outcome().map(Into::into),
            failure: pull.failure.as_ref().map(Into::into),
            error: pull.failure.as_ref().map(|failure| {
                failure.message.clone().unwrap_or_else(|| failure.reason.to_string())
            }),
            waiting_on: pull.waiting_on.as_ref().map(Into::into),
            percent,
            total_known: pull.total.is_some(),
            total_bytes: pull.total.map(|bytes| bytes.0),
            cached_bytes: if_resolved(pull, pull.cached),
            to_download_bytes: pull.to_download.map(|bytes| bytes.0),
            downloaded_bytes,
            to_extract_bytes: pull.to_extract.map(|bytes| bytes.0),
            extracted_bytes,
            wasted_bytes: if_resolved(pull, pull.wasted),
            bytes_per_sec,
            eta_seconds,
            eta_low_seconds,
            eta_high_seconds,
            eta_basis: pull.motion.eta.map(|eta| eta.basis.into()),
            started_at: pull.started_at,
            downloading_at: pull.resolved_at,
            extracting_at: pull.downloaded_at,
            completed_at: pull.ended_at,
            stalled_since: pull.stalled_since,
            slow: pull.slow_since.is_some(),
            stale_since: pull.stale_since,
            layer_count: image.map(|image| count(image.layers.len())),
            layers_done,
            layers,
        }
    }
}

/// The caller sets the row, and adds layers with [`v1::PullMotion::push_layer`].
impl From<&Pull> for v1::PullMotion {
    fn from(pull: &Pull) -> Self {
        // The layers of a pull that ended long ago may have been dropped.
        let complete = pull.image.iter().find(|image| image.layers.len() == pull.layers.len());
        let done = || pull.layers.iter().filter(|layer| layer.state.is_done());
        Self {
            row: 0,
            percent: pull.motion.percent.map(percent),
            downloaded_bytes: if_resolved(pull, pull.motion.downloaded),
            extracted_bytes: if_resolved(pull, pull.motion.extracted),
            bytes_per_sec: pull.motion.rate.map(rate),
            eta_seconds: pull.motion.eta.map(|eta| seconds(eta.left)),
            eta_low_seconds: pull.motion.eta.map(|eta| seconds(eta.low)),
            eta_high_seconds: pull.motion.eta.map(|eta| seconds(eta.high)),
            layers_done: complete.map(|_| count(done().count())),
            layers: Vec::new(),
        }
    }
}

impl v1::PullMotion {
    /// Adds the layer with this index in its pull.
    pub fn push_layer(&mut self, index: usize, layer: &Layer) {
        let index = u32::try_from(index).unwrap_or(u32::MAX);
        let unpacked = layer.motion.unpacked_bytes.map(|bytes| bytes.0);
        self.layers.push((index, downloaded(layer), unpacked, layer.motion.rate.map(rate)));
    }
}

/// Sizes are unknown until the manifest is known; the model's counters start at zero.
fn if_resolved(pull: &Pull, bytes: Bytes) -> Option<u64> {
    pull.total.map(|_| bytes.0)
}

/// Returns the bytes of a layer; `None` if the layer is used without its bytes.
fn downloaded(layer: &Layer) -> Option<u64> {
    (!layer.state.is_idle()).then_some(layer.motion.downloaded.0)
}

impl From<(&Pull, &Links)> for v1::PullStatus {
    fn from((pull, links): (&Pull, &Links)) -> Self {
        let mut status = Self::from(pull);
        if status.image_ref.is_none() {
            status.image_ref = links.image().map(ToString::to_string);
        }
        let known = links.pods.iter();
        status.pods = known.map(|(waiter, evidence)| pod_link(waiter, Some(*evidence))).collect();
        let possible = links.candidates.iter();
        status.candidates = possible.map(|waiter| pod_link(waiter, None)).collect();
        status.attempt = links.attempt;
        status.supersedes = links.supersedes.as_ref().map(ToString::to_string);
        status.queued_at = links.queued_at;
        status.kubelet = links.kubelet.map(Into::into);
        if let Some(failure) = &mut status.failure {
            failure.next_retry_at = links.next_retry_at;
        }
        status
    }
}

fn pod_link(waiter: &Waiter, evidence: Option<LinkEvidence>) -> v1::PodLink {
    v1::PodLink {
        namespace: waiter.pod.namespace.to_string(),
        pod_name: waiter.pod.name.to_string(),
        uid: waiter.pod.uid.to_string(),
        container: waiter.consumer.to_string(),
        image: waiter.image.to_string(),
        evidence: evidence.map(Into::into),
    }
}

impl From<KubeletTimes> for v1::KubeletTimes {
    fn from(times: KubeletTimes) -> Self {
        Self {
            // Not rounded, as the kubelet reports milliseconds.
            pull_seconds: times.pulling.as_secs_f64(),
            with_waiting_seconds: times.with_waiting.map(|wait| wait.as_secs_f64()),
            image_bytes: times.size.map(|size| size.0),
            agrees: times.agrees,
        }
    }
}

fn image_layer<'a>(image: &'a crate::image::Image, layer: &Layer) -> Option<&'a ImageLayer> {
    image.layer(&layer.digest).map(|index| &image.layers[index])
}

fn layer_status(layer: &Layer, image_layer: Option<&ImageLayer>) -> v1::LayerStatus {
    v1::LayerStatus {
        digest: layer.digest.to_string(),
        media_type: image_layer.map(|told| told.media_type.clone()),
        created_by: image_layer.and_then(|told| told.created_by.clone()),
        state: layer.state.into(),
        total_bytes: layer.size.0,
        downloaded_bytes: downloaded(layer),
        blob_cached: layer.blob_cached,
        unpacked_bytes: layer.motion.unpacked_bytes.map(|bytes| bytes.0),
        bytes_per_sec: layer.motion.rate.map(rate),
        waiting_on: layer.waiting_on.as_deref().map(Into::into),
        started_at: layer.started_at,
        downloaded_at: layer.downloaded_at,
        extracting_at: layer.extracting_at,
        completed_at: layer.completed_at,
    }
}

impl From<&Failure> for v1::Failure {
    fn from(failure: &Failure) -> Self {
        Self {
            reason: failure.reason,
            message: failure.message.clone(),
            hint: failure.reason.hint().map(str::to_owned),
            next_retry_at: None,
        }
    }
}

impl From<&WaitingOn> for v1::WaitingOn {
    fn from(waiting: &WaitingOn) -> Self {
        Self {
            kind: waiting.kind.into(),
            since: waiting.since,
            pull: waiting.pull.as_ref().map(ToString::to_string),
            layer: waiting.layer.as_ref().map(ToString::to_string),
            ahead: waiting.ahead,
            eta_seconds: waiting.left.map(seconds),
        }
    }
}

/// Rounds down to one decimal, so that only 100 is shown as 100.
pub(super) fn percent(percent: Percent) -> f64 {
    (percent.get() * 10.0).floor() / 10.0
}

/// Rounds to whole bytes per second.
pub(super) fn rate(rate: BytesPerSecond) -> f64 {
    rate.get().round()
}

/// Rounds to one decimal.
pub(super) fn seconds(duration: Duration) -> f64 {
    (duration.as_secs_f64() * 10.0).round() / 10.0
}

fn count(count: usize) -> u64 {
    u64::try_from(count).unwrap_or(u64::MAX)
}

#[cfg(test)]
mod tests;
