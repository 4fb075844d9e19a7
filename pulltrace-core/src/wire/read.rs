//! Converts API responses to the model, for programs that display the pulls of a server like local
//! ones. Responses are trusted. Values that this version does not know become unknown.

use std::str::FromStr;
use std::sync::Arc;
use std::time::Duration;

use super::v1;
use crate::eta::Eta;
use crate::failure::Failure;
use crate::id::Digest;
use crate::image::{Compression, Image, ImageLayer};
use crate::layer::{Layer, LayerFacts, LayerMotion, LayerState};
use crate::pull::{Motion, Pull, PullFacts};
use crate::reference::Repository;
use crate::unit::{Bytes, BytesPerSecond, Percent};
use crate::wait::WaitingOn;

/// A pull that the model cannot represent, as the server is newer. A retry does not help.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("unsupported {what} of a pull: the server has a newer version")]
pub struct StatusError {
    what: &'static str,
}

/// Converts all fields except [`slow_since`](PullFacts::slow_since), which is not on the wire and becomes `None`.
///
/// ```
/// use pulltrace_core::{Phase, Pull, wire::v1::PullStatus};
/// let line = r#"{"id":"lease~w1~k8s.io~1-a~0","nodeName":"w1","phase":"resolving",
///     "totalKnown":false,"startedAt":"2026-11-24T20:00:00Z"}"#;
/// let status: PullStatus = serde_json::from_str(line)?;
/// assert_eq!(Pull::try_from(&status)?.phase, Phase::Resolving);
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
impl TryFrom<&v1::PullStatus> for Pull {
    type Error = StatusError;

    fn try_from(status: &v1::PullStatus) -> Result<Self, StatusError> {
        let invalid = |what| StatusError { what };
        let layers: Option<Vec<Layer>> = status.layers.iter().map(parse_layer).collect();
        let layers = layers.unwrap_or_default();
        let to_extract = layers.iter().filter(|layer| !layer.state.is_idle());
        let to_extract: Bytes = to_extract.map(|layer| layer.size).sum();
        // Older servers do not send it.
        let to_extract = (status.to_extract_bytes.map(Bytes))
            .or_else(|| (!layers.is_empty()).then_some(to_extract));
        let known = |bytes: Option<u64>| bytes.map_or(Bytes::ZERO, Bytes);
        let facts = PullFacts {
            id: status.id.parse().map_err(|_| invalid("id"))?,
            phase: status.phase.try_into().map_err(|_| invalid("phase"))?,
            failure: status.failure.as_ref().map(|failure| Failure {
                reason: failure.reason,
                message: failure.message.clone(),
            }),
            root: parse_optional(status.root_digest.as_ref()),
            repository: status.repository.as_deref().and_then(parse_repository),
            names: parse_optional(status.image_ref.as_ref()).into_iter().collect(),
            image: parse_image(status, layers.len()).map(Arc::new),
            started_at: status.started_at,
            resolved_at: status.downloading_at,
            downloaded_at: status.extracting_at,
            ended_at: status.completed_at,
            total: status.total_bytes.map(Bytes),
            cached: known(status.cached_bytes),
            to_download: status.to_download_bytes.map(Bytes),
            to_extract,
            wasted: known(status.wasted_bytes),
            waiting_on: status.waiting_on.as_ref().and_then(parse_waiting),
            stalled_since: status.stalled_since,
            slow_since: None,
            stale_since: status.stale_since,
        };
        let motion = Motion {
            percent: status.percent.map(Percent::new),
            downloaded: known(status.downloaded_bytes),
            extracted: known(status.extracted_bytes),
            rate: status.bytes_per_sec.and_then(BytesPerSecond::new),
            eta: parse_eta(status),
        };
        Ok(Self { facts, motion, layers })
    }
}

/// Returns `None` if a value is unknown. The caller then drops all layers, as an image is not a
/// subset of its layers.
fn parse_layer(status: &v1::LayerStatus) -> Option<Layer> {
    let state = status.state.try_into().ok()?;
    let size = Bytes(status.total_bytes);
    let downloaded = match (status.downloaded_bytes, state) {
        (Some(bytes), _) => Bytes(bytes),
        (None, LayerState::Cached) => size,
        (None, _) => Bytes::ZERO,
    };
    let facts = LayerFacts {
        digest: status.digest.parse().ok()?,
        size,
        state,
        blob_cached: status.blob_cached,
        waiting_on: status.waiting_on.as_ref().and_then(parse_waiting).map(Box::new),
        started_at: status.started_at,
        downloaded_at: status.downloaded_at,
        extracting_at: status.extracting_at,
        completed_at: status.completed_at,
    };
    let motion = LayerMotion {
        downloaded,
        unpacked_bytes: status.unpacked_bytes.map(Bytes),
        rate: status.bytes_per_sec.and_then(BytesPerSecond::new),
    };
    Some(Layer { facts, motion })
}

/// Returns `None` if the layers are missing or one of them is invalid.
fn parse_image(status: &v1::PullStatus, layers: usize) -> Option<Image> {
    if layers == 0 {
        return None;
    }
    let layer = |status: &v1::LayerStatus| {
        let media_type = status.media_type.clone().unwrap_or_default();
        Some(ImageLayer {
            digest: status.digest.parse::<Digest>().ok()?,
            size: Bytes(status.total_bytes),
            chains: Vec::new(),
            compression: Compression::from_media_type(&media_type),
            media_type,
            created_by: status.created_by.clone(),
        })
    };
    Some(Image {
        root: parse_optional(status.root_digest.as_ref())?,
        manifests: parse_optional(status.manifest_digest.as_ref()).into_iter().collect(),
        platform: status.platform.clone(),
        layers: status.layers.iter().map(layer).collect::<Option<_>>()?,
    })
}

fn parse_eta(status: &v1::PullStatus) -> Option<Eta> {
    let span = |seconds: Option<f64>| Duration::try_from_secs_f64(seconds?).ok();
    let left = span(status.eta_seconds)?;
    Some(Eta {
        left,
        low: span(status.eta_low_seconds).unwrap_or(left),
        high: span(status.eta_high_seconds).unwrap_or(left),
        basis: status.eta_basis.into(),
    })
}

fn parse_waiting(status: &v1::WaitingOn) -> Option<WaitingOn> {
    Some(WaitingOn {
        kind: status.kind.try_into().ok()?,
        since: status.since,
        pull: parse_optional(status.pull.as_ref()),
        layer: parse_optional(status.layer.as_ref()),
        ahead: status.ahead,
        left: status.eta_seconds.and_then(|left| Duration::try_from_secs_f64(left).ok()),
    })
}

fn parse_repository(text: &str) -> Option<Repository> {
    let (host, path) = text.split_once('/')?;
    Repository::new(host, path).ok()
}

fn parse_optional<T: FromStr>(text: Option<&String>) -> Option<T> {
    text?.parse().ok()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::wire::fixtures::{completed, failed, live, resolving};

    #[test]
    fn status_round_trips_through_model() {
        for pull in [live(), failed(), resolving(), completed()] {
            let written = v1::PullStatus::from(&pull);
            let read = Pull::try_from(&written).unwrap();
            assert_eq!(read.to_extract, pull.to_extract);
            let mut again = v1::PullStatus::from(&read);
            again.slow = written.slow;
            assert_eq!(again, written);
        }
    }

    #[test]
    fn missing_to_extract_is_summed_from_layers() {
        for pull in [live(), completed()] {
            let mut written = v1::PullStatus::from(&pull);
            written.to_extract_bytes = None;
            let read = Pull::try_from(&written).unwrap();
            assert_eq!(read.to_extract, pull.to_extract);
            written.layers.clear();
            assert_eq!(Pull::try_from(&written).unwrap().to_extract, None);
        }
    }

    #[test]
    fn percentage_round_trips() {
        let mut status = v1::PullStatus::from(&live());
        for tenths in 0..=1_000 {
            status.percent = Some(f64::from(tenths) / 10.0);
            let read = Pull::try_from(&status).unwrap();
            assert_eq!(v1::PullStatus::from(&read).percent, status.percent);
        }
    }

    #[test]
    fn unknown_variants_are_dropped_except_phase() {
        let mut status = v1::PullStatus::from(&live());
        status.layers[1].state = v1::LayerState::Other;
        status.layers[3].waiting_on.as_mut().unwrap().kind = v1::WaitingKind::Other;
        status.image_ref = Some("no name".to_owned());
        let read = Pull::try_from(&status).unwrap();
        assert!(read.layers.is_empty() && read.image.is_none() && read.names.is_empty());
        assert_eq!(read.total, Some(Bytes(10_000)));
        assert_eq!(read.to_extract, Some(Bytes(9_000)));
        status.to_extract_bytes = None;
        assert_eq!(Pull::try_from(&status).unwrap().to_extract, None);
        status.phase = v1::Phase::Other;
        let error = Pull::try_from(&status).unwrap_err();
        assert_eq!(error, StatusError { what: "phase" });
        status.id = "?".to_owned();
        let error = Pull::try_from(&status).unwrap_err();
        assert_eq!(error, StatusError { what: "id" });
    }
}
