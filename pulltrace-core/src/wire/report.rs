//! Converts the model to a report. Each field is taken from the model as is, within the limits of
//! [`check`](super::check): one unusual image must not invalidate the report of its node.

use std::time::Duration;

use super::check::MAX_NAMES;
use super::v1;
use crate::image::{Image, ImageLayer};
use crate::layer::Layer;
use crate::pull::Pull;
use crate::time::NodeTime;

impl From<&Image> for v1::ReportImage {
    fn from(image: &Image) -> Self {
        Self {
            root_digest: image.root.to_string(),
            manifest_digests: to_strings(&image.manifests),
            platform: image.platform.clone(),
            layers: image.layers.iter().map(Into::into).collect(),
        }
    }
}

impl From<&ImageLayer> for v1::ReportImageLayer {
    fn from(layer: &ImageLayer) -> Self {
        Self {
            digest: layer.digest.to_string(),
            size: layer.size.0,
            media_type: layer.media_type.clone(),
            created_by: layer.created_by.clone(),
        }
    }
}

impl From<&Pull> for v1::ReportPull {
    fn from(pull: &Pull) -> Self {
        let index_of = |layer: &Layer| pull.image.as_ref()?.layer(&layer.digest);
        let layers = pull.layers.iter().filter_map(|layer| {
            let index = u32::try_from(index_of(layer)?).ok()?;
            Some(report_layer(layer, index, pull.started_at))
        });
        Self {
            id: pull.id.to_string(),
            image: pull.image.as_ref().map(|image| image.root.to_string()),
            root_digest: pull.root.as_ref().map(ToString::to_string),
            repository: pull.repository.as_ref().map(ToString::to_string),
            names: to_strings(&pull.names),
            phase: pull.phase.into(),
            // The receiver derives the hint from the reason.
            failure: pull
                .failure
                .as_ref()
                .map(|failure| v1::Failure { hint: None, ..failure.into() }),
            waiting_on: pull.waiting_on.as_ref().map(Into::into),
            percent: pull.motion.percent.map(super::convert::percent),
            cached_bytes: pull.cached.0,
            downloaded_bytes: pull.motion.downloaded.0,
            to_extract_bytes: pull.to_extract.map(|bytes| bytes.0),
            extracted_bytes: pull.motion.extracted.0,
            wasted_bytes: pull.wasted.0,
            bytes_per_sec: pull.motion.rate.map(super::convert::rate),
            eta_seconds: pull.motion.eta.map(|eta| super::convert::seconds(eta.left)),
            eta_low_seconds: pull.motion.eta.map(|eta| super::convert::seconds(eta.low)),
            eta_high_seconds: pull.motion.eta.map(|eta| super::convert::seconds(eta.high)),
            eta_basis: pull.motion.eta.map(|eta| eta.basis.into()),
            started_at: pull.started_at,
            downloading_at: pull.resolved_at,
            extracting_at: pull.downloaded_at,
            completed_at: pull.ended_at,
            stalled_since: pull.stalled_since,
            slow_since: pull.slow_since,
            stale_since: pull.stale_since,
            layers: layers.collect(),
        }
    }
}

fn report_layer(layer: &Layer, index: u32, start: NodeTime) -> v1::ReportLayer {
    let after = |at: Option<NodeTime>| at.map(|at| millis_after(start, at));
    v1::ReportLayer {
        index,
        bytes: layer.motion.downloaded.0,
        state: layer.state.into(),
        detail: v1::LayerDetail {
            blob_cached: layer.blob_cached,
            unpacked_bytes: layer.motion.unpacked_bytes.map(|bytes| bytes.0),
            bytes_per_sec: layer.motion.rate.map(super::convert::rate),
            waiting_on: layer.waiting_on.as_deref().map(Into::into),
            started_ms: after(layer.started_at),
            downloaded_ms: after(layer.downloaded_at),
            extracting_ms: after(layer.extracting_at),
            completed_ms: after(layer.completed_at),
        },
    }
}

fn millis_after(start: NodeTime, at: NodeTime) -> i64 {
    let millis = |duration: Duration| i64::try_from(duration.as_millis()).unwrap_or(i64::MAX);
    if at < start { -millis(start.since(at)) } else { millis(at.since(start)) }
}

fn to_strings<T: ToString>(names: &[T]) -> Vec<String> {
    let names = names.iter().take(MAX_NAMES);
    names.map(ToString::to_string).collect()
}
