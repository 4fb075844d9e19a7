//! From what people read back to the model, for programs that show the pulls of a server as they show
//! their own. What a server says is taken as it is; what this version does not understand of it is
//! unknown.

use std::str::FromStr;
use std::sync::Arc;
use std::time::Duration;

use super::v1;
use crate::eta::Eta;
use crate::failure::Failure;
use crate::id::Digest;
use crate::image::{Compression, Image, ImageLayer};
use crate::layer::{Layer, LayerState};
use crate::pull::Pull;
use crate::reference::Repository;
use crate::unit::{Bytes, BytesPerSecond, Percent};
use crate::wait::WaitingOn;

/// A pull that cannot be said in the model: a later version says it otherwise. A retry does not help.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("the {what} of a pull is not understood: the server is of a later version")]
pub struct StatusError {
    what: &'static str,
}

/// Everything but since when it has been slow, which is not said: [`Pull::slow_since`] is `None`.
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
        let not = |what| StatusError { what };
        let layers: Option<Vec<Layer>> = status.layers.iter().map(layer).collect();
        let layers = layers.unwrap_or_default();
        let to_extract = layers.iter().filter(|layer| !layer.state.is_idle());
        let to_extract: Bytes = to_extract.map(|layer| layer.size).sum();
        // An older server does not say it.
        let to_extract = (status.to_extract_bytes.map(Bytes))
            .or_else(|| (!layers.is_empty()).then_some(to_extract));
        let known = |bytes: Option<u64>| bytes.map_or(Bytes::ZERO, Bytes);
        Ok(Self {
            id: status.id.parse().map_err(|_| not("id"))?,
            phase: status.phase.try_into().map_err(|_| not("phase"))?,
            failure: status.failure.as_ref().map(|failure| Failure {
                reason: failure.reason.into(),
                message: failure.message.clone(),
            }),
            root: parsed(status.root_digest.as_ref()),
            repository: status.repository.as_deref().and_then(repository),
            names: parsed(status.image_ref.as_ref()).into_iter().collect(),
            image: image(status, layers.len()).map(Arc::new),
            started_at: status.started_at,
            resolved_at: status.downloading_at,
            downloaded_at: status.extracting_at,
            ended_at: status.completed_at,
            percent: status.percent.map(Percent::new),
            total: status.total_bytes.map(Bytes),
            cached: known(status.cached_bytes),
            to_download: status.to_download_bytes.map(Bytes),
            downloaded: known(status.downloaded_bytes),
            to_extract,
            extracted: known(status.extracted_bytes),
            wasted: known(status.wasted_bytes),
            rate: status.bytes_per_sec.and_then(BytesPerSecond::new),
            eta: eta(status),
            waiting_on: status.waiting_on.as_ref().and_then(waiting),
            stalled_since: status.stalled_since,
            slow_since: None,
            stale_since: status.stale_since,
            layers,
        })
    }
}

/// `None` where one of them is not understood: a part of the layers is no image.
fn layer(status: &v1::LayerStatus) -> Option<Layer> {
    let state = status.state.try_into().ok()?;
    let size = Bytes(status.total_bytes);
    let downloaded = match (status.downloaded_bytes, state) {
        (Some(bytes), _) => Bytes(bytes),
        (None, LayerState::Cached) => size,
        (None, _) => Bytes::ZERO,
    };
    Some(Layer {
        digest: status.digest.parse().ok()?,
        size,
        state,
        blob_cached: status.blob_cached,
        downloaded,
        unpacked_bytes: status.unpacked_bytes.map(Bytes),
        rate: status.bytes_per_sec.and_then(BytesPerSecond::new),
        waiting_on: status.waiting_on.as_ref().and_then(waiting).map(Box::new),
        started_at: status.started_at,
        downloaded_at: status.downloaded_at,
        extracting_at: status.extracting_at,
        completed_at: status.completed_at,
    })
}

/// `None` where not each of its layers is told.
fn image(status: &v1::PullStatus, layers: usize) -> Option<Image> {
    if layers == 0 {
        return None;
    }
    let layer = |told: &v1::LayerStatus| {
        let media_type = told.media_type.clone().unwrap_or_default();
        Some(ImageLayer {
            digest: told.digest.parse::<Digest>().ok()?,
            size: Bytes(told.total_bytes),
            chains: Vec::new(),
            compression: Compression::of(&media_type),
            media_type,
            created_by: told.created_by.clone(),
        })
    };
    Some(Image {
        root: parsed(status.root_digest.as_ref())?,
        manifests: parsed(status.manifest_digest.as_ref())
            .into_iter()
            .collect(),
        platform: status.platform.clone(),
        layers: status.layers.iter().map(layer).collect::<Option<_>>()?,
    })
}

fn eta(status: &v1::PullStatus) -> Option<Eta> {
    let span = |seconds: Option<f64>| Duration::try_from_secs_f64(seconds?).ok();
    let left = span(status.eta_seconds)?;
    Some(Eta {
        left,
        low: span(status.eta_low_seconds).unwrap_or(left),
        high: span(status.eta_high_seconds).unwrap_or(left),
        basis: status.eta_basis.into(),
    })
}

fn waiting(told: &v1::WaitingOn) -> Option<WaitingOn> {
    Some(WaitingOn {
        kind: told.kind.try_into().ok()?,
        since: told.since,
        pull: parsed(told.pull.as_ref()),
        layer: parsed(told.layer.as_ref()),
        ahead: told.ahead,
        left: told
            .eta_seconds
            .and_then(|left| Duration::try_from_secs_f64(left).ok()),
    })
}

fn repository(text: &str) -> Option<Repository> {
    let (host, path) = text.split_once('/')?;
    Repository::new(host, path).ok()
}

fn parsed<T: FromStr>(text: Option<&String>) -> Option<T> {
    text?.parse().ok()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::wire::fixtures::{completed, failed, live, resolving};

    #[test]
    fn what_was_read_says_again_what_was_written() {
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
    fn what_is_to_be_unpacked_is_told_by_layers_where_the_server_does_not_say_it() {
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
    fn no_percentage_goes_back_by_being_read() {
        let mut status = v1::PullStatus::from(&live());
        for tenths in 0..=1_000 {
            status.percent = Some(f64::from(tenths) / 10.0);
            let read = Pull::try_from(&status).unwrap();
            assert_eq!(v1::PullStatus::from(&read).percent, status.percent);
        }
    }

    #[test]
    fn what_a_later_version_says_is_unknown_and_a_pull_without_a_phase_is_none() {
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
